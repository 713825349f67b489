"""Ports for servers of tests: nobody else is told the same, and no outgoing connection takes them meanwhile."""

import contextlib
import fcntl
import itertools
import pathlib
import random
import socket
import tempfile

# Below those that the system gives to outgoing connections.
PORT_BLOCKS = range(10_000, 32_000, 200)


def own_ports():
    """A block of ports that no other process's tests take, as long as this one lives; round and round."""
    for first in random.sample(PORT_BLOCKS, len(PORT_BLOCKS)):
        with contextlib.suppress(OSError):
            lock = open(pathlib.Path(tempfile.gettempdir()) / f"gribstore-ports-{first}.lock", "w")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for port in itertools.cycle(range(first, first + PORT_BLOCKS.step)):
                yield lock, port


PORTS = own_ports()


def free_port():
    """Whoever asks binds it later, several times perhaps: nobody else is told the same meanwhile."""
    for _, port in PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that just left may come back
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no ports are left")
