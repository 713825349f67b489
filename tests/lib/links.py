"""Hosts on one machine with addresses of their own, and wires between them that are cut, slow or lossy on command: tests/tools/links.c.

    with Links(BIN / "links", ["control", "n1", "n2"]) as links:
        links.enter("control")             # this thread, and what it starts, is on that host from now on
        links.address("n1")                # 10.77.0.2
        Popen(..., preexec_fn=links.on("n1"))
        links.cut("n1", "n2"); links.heal()

The hosts are gone when nobody runs on them any more, however the test ends.
"""

import ctypes
import os
import subprocess
import threading

from mongod import die_with_parent

CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
MS_PRIVATE, MS_REC = 1 << 18, 1 << 14


class NoLinks(Exception):
    """Namespaces are not to be had here; the text says why."""


def libc_call(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def enter_namespace(path):
    """This thread alone; what it starts begins there too."""
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc_call("setns", namespace, CLONE_NEWNET)
    finally:
        os.close(namespace)


def own_mounts():
    """What this process mounts from now on is seen by itself and its children, and gone with them."""
    libc_call("unshare", CLONE_NEWNS)
    libc_call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)


class Links:
    def __init__(self, program, names, net="10.77.0"):
        if not os.path.exists(program):
            raise FileNotFoundError(f"{program}: build the target links")
        if os.geteuid() != 0:
            raise NoLinks("only root makes network namespaces")
        if not os.path.exists("/dev/net/tun"):
            raise NoLinks("there is no /dev/net/tun")
        self.lock = threading.Lock()
        self.hosts = {}
        self.process = subprocess.Popen([str(program), "--net", net, *names], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        for line in self.process.stdout:
            word, *rest = line.split()
            if word == "ready":
                return
            self.take_host(*rest)
        reason = self.process.stderr.read().strip()
        self.process.wait()
        raise NoLinks(reason)

    def take_host(self, name, address, descriptor):
        self.hosts[name] = (address, f"/proc/{self.process.pid}/fd/{descriptor}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()
        self.process.stderr.close()

    def ask(self, *words):
        """What stands behind `ok` in the answer."""
        with self.lock:
            self.process.stdin.write(" ".join(map(str, words)) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().split()
        if answer[:1] != ["ok"]:
            raise ValueError(f"links: {words}: {' '.join(answer)}")
        return answer[1:]

    def add(self, name):
        self.take_host(*self.ask("add", name))

    def address(self, name):
        return self.hosts[name][0]

    def enter(self, name):
        enter_namespace(self.hosts[name][1])

    def on(self, name):
        """For preexec_fn: the process runs on that host, and does not outlive the thread that started it."""
        path = self.hosts[name][1]

        def enter():
            die_with_parent()
            enter_namespace(path)
        return enter

    def cut(self, sender, receiver):
        self.ask("cut", sender, receiver)

    def join(self, sender, receiver):
        self.ask("join", sender, receiver)

    def delay(self, sender, receiver, ms):
        self.ask("delay", sender, receiver, ms)

    def loss(self, sender, receiver, percent):
        self.ask("loss", sender, receiver, percent)

    def heal(self):
        self.ask("heal")

    def counts(self, sender, receiver):
        """Packets carried and thrown away since the beginning."""
        return tuple(map(int, self.ask("counts", sender, receiver)))
