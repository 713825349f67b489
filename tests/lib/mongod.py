"""A mongod for tests: a replica set of one on loopback, with throw-away data.

    mongod.py COMMAND [ARGUMENT...]     run COMMAND with GRIBSTORE_TEST_MONGO_URI; exit code 77: none can be had

Which one: the server named by GRIBSTORE_TEST_MONGO_URI, else the mongod on PATH, else what ops/setup put into
.cache/mongod.
"""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import pymongo

from ports import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
SET_NAME = "rs0"
START_TIMEOUT_MS = 120_000
STOP_TIMEOUT_S = 60
EXIT_SKIPPED = 77


class NoMongod(Exception):
    """There is none here; the text says why."""


def die_with_parent():
    """In the child: nothing that a test started outlives it, however the test ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def find_binary():
    cached = ROOT / ".cache/mongod/mongod"
    found = shutil.which("mongod") or (str(cached) if cached.exists() else None)
    if found is None:
        raise NoMongod("no mongod on PATH nor in .cache/mongod (ops/setup --mongo), and no GRIBSTORE_TEST_MONGO_URI")
    return found


def initiate(port):
    """Make it a set of one. Server selection waits for the server, then for the primary: no sleeping here."""
    address = f"127.0.0.1:{port}"
    config = {"_id": SET_NAME, "members": [{"_id": 0, "host": address}]}
    with pymongo.MongoClient(address, directConnection=True, serverSelectionTimeoutMS=START_TIMEOUT_MS) as client:
        client.admin.command("replSetInitiate", config)
    uri = f"mongodb://{address}/?replicaSet={SET_NAME}"
    with pymongo.MongoClient(uri, serverSelectionTimeoutMS=START_TIMEOUT_MS) as client:
        client.admin.command("ping")
    return uri


@contextlib.contextmanager
def running(cache_gb=0.25, folder=None):
    """The URI of a server that is there until the block ends, its data below folder. Raises NoMongod."""
    given = os.environ.get("GRIBSTORE_TEST_MONGO_URI")
    if given:
        yield given
        return

    binary = find_binary()
    with tempfile.TemporaryDirectory(prefix="gribstore-mongod-", dir=folder) as data:
        port = free_port()
        log = pathlib.Path(data, "mongod.log")
        process = subprocess.Popen(
            [binary, "--replSet", SET_NAME, "--bind_ip", "127.0.0.1", "--port", str(port), "--dbpath", data,
             "--wiredTigerCacheSizeGB", str(cache_gb), "--logpath", str(log), "--nounixsocket"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        try:
            try:
                uri = initiate(port)
            except pymongo.errors.PyMongoError as error:
                tail = log.read_text(errors="replace")[-2000:] if log.exists() else "(no log)"
                raise RuntimeError(f"mongod did not come up: {error}\n{tail}") from error
            yield uri
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def main():
    try:
        with running() as uri:
            environment = dict(os.environ, GRIBSTORE_TEST_MONGO_URI=uri)
            return subprocess.run(sys.argv[1:], env=environment, preexec_fn=die_with_parent).returncode
    except NoMongod as reason:
        print(reason)
        return EXIT_SKIPPED


if __name__ == "__main__":
    sys.exit(main() & 0xFF)
