"""Three real mongods as one replica set, each behind a gate: a TCP proxy of ours whose port is the member's address in the set's
configuration, so that members and clients alike come through it and can be kept out, one way or both.

    with ReplicaSet(folder) as database:
        database.uri                         what an indexer is given
        place = database.primary()           waits for one; a member's number
        database.kill(place); database.start(place)
        database.stop(place); database.go_on(place)          SIGSTOP, SIGCONT
        database.cut(into=place)             nothing reaches it; what it begins itself gets through
        database.cut(into=place, of=place)   nothing in or out
        database.cut(into=place, of=place, clients=False)    members don't reach it, clients do: an old primary that answers on
        database.heal()

A gate that is shut swallows: connections stay open and nothing moves, as when a network drops packets. What was swallowed goes
on when it opens, as TCP has it.
"""

import asyncio
import contextlib
import os
import pathlib
import signal
import subprocess
import threading

import pymongo
import pymongo.errors

from mongod import SET_NAME, die_with_parent, find_binary, free_port
from processes import await_condition

MEMBERS = 3
START_TIMEOUT_MS = 120_000
STOP_TIMEOUT_S = 60
PRIMARY_TIMEOUT_S = 120
PIECE_SIZE = 1 << 16
SETTINGS = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500, "heartbeatTimeoutSecs": 2}


class Way:
    """A connection to a gate. Whose it is is looked up once, when it is asked for first: most are over before a gate is shut."""

    def __init__(self, gates, port, place):
        self.gates = gates
        self.port = port
        self.place = place
        self.found = None

    def owner(self):
        if self.found is None:
            self.found = self.gates.loop.run_in_executor(None, self.gates.owner_of, self.port, self.gates.ports[self.place])
        return asyncio.shield(self.found)


class Gates:
    """The proxies of all members, on a loop in a thread of its own."""

    def __init__(self, targets, owner_of):
        self.ports = [free_port() for _ in targets]
        self.targets = targets
        self.owner_of = owner_of  # (from, to: ports) -> the member whose process connects; None: a client
        self.shut = set()  # (from, to): members' numbers, None for clients
        self.loop = asyncio.new_event_loop()
        self.changed = None
        started = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(started,), daemon=True)
        self.thread.start()
        started.wait()

    def run(self, started):
        asyncio.set_event_loop(self.loop)
        self.changed = asyncio.Event()
        servers = [self.loop.run_until_complete(asyncio.start_server(self.guard(place), "127.0.0.1", port))
                   for place, port in enumerate(self.ports)]
        started.set()
        self.loop.run_forever()
        for server in servers:
            server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def set_shut(self, pairs):
        def change():
            self.shut = set(pairs)
            self.changed.set()
            self.changed = asyncio.Event()
        self.loop.call_soon_threadsafe(change)

    async def opened(self, way):
        """While any gate is shut it matters whose connection this is."""
        while self.shut and (await way.owner(), way.place) in self.shut:
            await self.changed.wait()

    def guard(self, place):
        async def accept(reader, writer):
            way = Way(self, writer.get_extra_info("peername")[1], place)
            await self.opened(way)
            try:
                behind, before = await asyncio.open_connection("127.0.0.1", self.targets[place])
            except OSError:
                writer.transport.abort()
                return
            await asyncio.gather(self.carry(way, reader, before), self.carry(way, behind, writer))
        return accept

    async def carry(self, way, reader, writer):
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_SIZE):
                await self.opened(way)
                writer.write(piece)
                await writer.drain()
        await self.opened(way)
        with contextlib.suppress(OSError):
            writer.close()


class ReplicaSet:
    """Members' data and addresses last as long as the set does, whatever becomes of the processes."""

    def __init__(self, folder, arguments=(), database="gribstore"):
        self.folder = pathlib.Path(folder)
        self.arguments = list(arguments)
        self.binary = find_binary()
        self.ports = [free_port() for _ in range(MEMBERS)]
        self.processes = [None] * MEMBERS
        self.gates = Gates(self.ports, self.owner_of)
        hosts = ",".join(self.hosts())
        self.uri = f"mongodb://{hosts}/{database}?replicaSet={SET_NAME}"

    def __enter__(self):
        try:
            for place in range(MEMBERS):
                self.start(place)
            self.initiate()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *failure):
        self.close()

    def close(self):
        self.gates.set_shut(())
        for place, process in enumerate(self.processes):
            if process is not None:
                self.kill(place)
        self.gates.close()

    def hosts(self):
        return [f"127.0.0.1:{port}" for port in self.gates.ports]

    def folder_of(self, place):
        return self.folder / f"mongod{place}"

    def start(self, place):
        data = self.folder_of(place)
        data.mkdir(exist_ok=True)
        self.processes[place] = subprocess.Popen(
            [self.binary, "--replSet", SET_NAME, "--bind_ip", "127.0.0.1", "--port", str(self.ports[place]), "--dbpath", str(data),
             "--wiredTigerCacheSizeGB", "0.25", "--logpath", str(data / "log"), "--logappend", "--nounixsocket",
             "--setParameter", "diagnosticDataCollectionEnabled=false", *self.arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)

    def initiate(self):
        for place in range(MEMBERS):
            with self.member(place, START_TIMEOUT_MS) as client:
                client.admin.command("ping")
        members = [{"_id": place, "host": host} for place, host in enumerate(self.hosts())]
        with self.member(0, START_TIMEOUT_MS) as client:
            client.admin.command("replSetInitiate", {"_id": SET_NAME, "members": members, "settings": SETTINGS})
        await_condition(lambda: self.healthy(), "all members are in", PRIMARY_TIMEOUT_S)

    def member(self, place, timeout_ms=3000):
        """A client of one member, past its gate."""
        return pymongo.MongoClient("127.0.0.1", self.ports[place], directConnection=True,
                                   serverSelectionTimeoutMS=timeout_ms, socketTimeoutMS=timeout_ms)

    def client(self, **options):
        return pymongo.MongoClient(self.uri, **options)

    def states(self, place):
        """What a member that answers thinks of all: a state by number."""
        with contextlib.suppress(pymongo.errors.PyMongoError), self.member(place) as client:
            status = client.admin.command("replSetGetStatus")
            return {member["_id"]: member["stateStr"] for member in status["members"]}
        return {}

    def primary(self):
        """The one that most of them take for it: an old one that is cut off may still think so of itself."""
        def seen():
            views = [self.states(place) for place in range(MEMBERS)
                     if self.processes[place] is not None and not self.is_stopped(place)]
            for place in range(MEMBERS):
                if sum(view.get(place) == "PRIMARY" for view in views) > MEMBERS // 2:
                    return place + 1
            return None
        return await_condition(seen, "there is a primary", PRIMARY_TIMEOUT_S) - 1

    def healthy(self):
        states = [self.states(place) for place in range(MEMBERS)]
        return all(sorted(view.values()) == ["PRIMARY", "SECONDARY", "SECONDARY"] for view in states) and \
            len({tuple(sorted(view.items())) for view in states}) == 1

    def await_healthy(self):
        await_condition(self.healthy, "all members are in again", PRIMARY_TIMEOUT_S)

    # --- faults ---

    def kill(self, place):
        process, self.processes[place] = self.processes[place], None
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(STOP_TIMEOUT_S)

    def stop(self, place):
        self.processes[place].send_signal(signal.SIGSTOP)

    def go_on(self, place):
        self.processes[place].send_signal(signal.SIGCONT)

    def is_stopped(self, place):
        stat = pathlib.Path(f"/proc/{self.processes[place].pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def cut(self, into=None, of=None, clients=True):
        everybody = [*range(MEMBERS), *([None] if clients else [])]
        pairs = set()
        if into is not None:
            pairs |= {(other, into) for other in everybody if other != into}
        if of is not None:
            pairs |= {(of, other) for other in range(MEMBERS) if other != of}
        self.gates.set_shut(pairs)

    def heal(self):
        self.gates.set_shut(())

    def step_down(self, place):
        with self.member(place, 20_000) as client, contextlib.suppress(pymongo.errors.PyMongoError):
            client.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=1)

    def lock(self, place):
        with self.member(place, 20_000) as client:
            client.admin.command("fsync", lock=True)

    def unlock(self, place):
        with self.member(place, 20_000) as client:
            client.admin.command("fsyncUnlock")

    # --- whose connection it is ---

    def owner_of(self, port, gate):
        inode = inode_of(port, gate)
        for place, process in enumerate(self.processes):
            if process is not None and inode is not None and inode in socket_inodes(process.pid):
                return place
        return None


def inode_of(port, to):
    """Of the loopback socket that connects from one port to another: a port may have several connections, to others."""
    with open("/proc/net/tcp") as table:
        for line in list(table)[1:]:
            words = line.split()
            if words[1] == f"0100007F:{port:04X}" and words[2] == f"0100007F:{to:04X}":
                return words[9]
    return None


def socket_inodes(pid):
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{name}")
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found
