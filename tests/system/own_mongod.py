"""A mongod of a test's own, whose data and port are kept over a restart: it may be killed, stopped, set back to an earlier day, told to fail.

    database = OwnMongod(folder).create()
    database.kill(); database.launch()
    database.keep("monday"); database.set_back("monday")        its data as it was then, under the running indexer
    with database.failing({"failCommands": ["insert"], "errorCode": 14031}):        what the indexer's commands are answered meanwhile
"""

import contextlib
import pathlib
import shutil
import signal
import subprocess

import pymongo

from mongod import SET_NAME, die_with_parent, find_binary, free_port, initiate

APP_NAME = "gribstore"  # what an indexer calls itself, unless its URI says otherwise


class OwnMongod:
    def __init__(self, folder, arguments=()):
        self.data = pathlib.Path(folder) / "mongod"
        self.data.mkdir()
        self.arguments = list(arguments)
        self.port = free_port()
        # Short waits, so that a test does not take minutes to see a failure.
        self.uri = f"mongodb://127.0.0.1:{self.port}/gribstore?replicaSet={SET_NAME}&serverSelectionTimeoutMS=1000&socketTimeoutMS=3000"
        self.process = None

    def launch(self):
        self.process = subprocess.Popen(
            [find_binary(), "--replSet", SET_NAME, "--bind_ip", "127.0.0.1", "--port", str(self.port), "--dbpath", str(self.data),
             "--wiredTigerCacheSizeGB", "0.25", "--logpath", f"{self.data}.log", "--logappend", "--nounixsocket",
             "--setParameter", "enableTestCommands=1", *self.arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        return self

    def create(self):
        self.launch()
        initiate(self.port)
        return self

    def kill(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        self.process = None

    def client(self):
        return pymongo.MongoClient(self.uri)

    # --- another day ---

    def at(self, name):
        return self.data.with_name(f"{self.data.name}-{name}")

    def keep(self, name):
        """What lies on its disk now; it is down for a moment."""
        self.kill()
        shutil.copytree(self.data, self.at(name))
        self.launch()

    def set_back(self, name):
        self.kill()
        shutil.rmtree(self.data)
        shutil.copytree(self.at(name), self.data)
        self.launch()

    # --- failures ---

    @contextlib.contextmanager
    def failing(self, data, mode="alwaysOn"):
        """The server's own door for tests: commands of indexers fail, or are kept waiting; members and other clients see nothing of it."""
        point = {"configureFailPoint": "failCommand"}
        with pymongo.MongoClient("127.0.0.1", self.port, directConnection=True) as client:
            client.admin.command({**point, "mode": mode, "data": {"appName": APP_NAME, **data}})
            try:
                yield
            finally:
                client.admin.command({**point, "mode": "off"})
