"""A door between one indexer and its mongod: a TCP proxy that reads the names of the commands that go through, and can hold one, or kill
the indexer at the n-th of them.

    with MongoDoor(uri) as door:
        door.uri                                        what the indexer is given
        with door.hold("insert update", "fields", b"hres") as held:
            held.await_reached()                        the next such command that has those bytes in it is kept here, and nothing else
            ...                                         the database has not seen it, the indexer waits for its answer
            held.release(); held.await_answered()       let through, and done
        door.kill_at(process, 7)                        SIGKILL in place of the 7th command from now: the database never sees it
        door.kill_at(process, 7, after=True)            the database does it, the indexer dies before it hears so
        door.disarm()                                   no more; True: it came to that

What a driver asks for itself (hello, ping, sessions) is not counted. Nothing of this is in the way of what is not held: each connection has
its own pair of tasks.
"""

import asyncio
import contextlib
import os
import signal
import struct
import threading
from urllib.parse import urlsplit

from mongod import free_port

HEAD = struct.Struct("<iiii")
OP_MSG = 2013
PIECE_SIZE = 1 << 16
UNCOUNTED = {"hello", "ismaster", "isMaster", "ping", "endSessions", "buildInfo", "killCursors"}
REACHED_TIMEOUT_S = 120


def command_of(message):
    """The name of a command and what it is about, a collection as a rule: the first member of its document."""
    if HEAD.unpack_from(message)[3] != OP_MSG or message[20] != 0:
        return None, None
    kind, name_at = message[25], 26
    name_end = message.index(0, name_at)
    name = message[name_at:name_end].decode()
    if kind != 2:
        return name, None
    size = struct.unpack_from("<i", message, name_end + 1)[0]
    return name, message[name_end + 5:name_end + 4 + size].decode()


class Hold:
    """The next command of a kind, kept until it is released or the block is left."""

    def __init__(self, door, names, collection, holding):
        self.door, self.names, self.collection, self.holding = door, names.split(), collection, holding
        self.reached, self.answered = threading.Event(), threading.Event()
        self.passed = asyncio.Event()

    def wants(self, name, collection, message):
        return (not self.reached.is_set() and name in self.names and collection == self.collection
                and self.holding in message)

    def await_reached(self):
        assert self.reached.wait(REACHED_TIMEOUT_S), \
            f"no {self.names} of {self.collection} came by: {self.door.seen[-40:]}"

    def await_answered(self):
        assert self.answered.wait(REACHED_TIMEOUT_S), f"{self.names} of {self.collection} has no answer"

    def release(self):
        self.door.loop.call_soon_threadsafe(self.passed.set)
        return self

    def __enter__(self):
        self.door.holds.append(self)
        return self

    def __exit__(self, *failure):
        self.release()
        self.door.holds.remove(self)


class MongoDoor:
    def __init__(self, uri):
        parts = urlsplit(uri)
        self.target = parts.hostname, parts.port
        self.port = free_port()
        # A set's members are known by their own addresses: a driver that looks for them would go past the door. What is held takes its time.
        self.uri = f"mongodb://127.0.0.1:{self.port}/?directConnection=true&socketTimeoutMS=600000"
        self.seen = []  # (name, collection), in the order they came
        self.holds = []
        self.counting = None  # [process, left, after, killed]
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(started,), daemon=True)
        self.thread.start()
        started.wait()

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def run(self, started):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self.accept, "127.0.0.1", self.port))
        started.set()
        self.loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    # --- what a test says ---

    def hold(self, names, collection, holding=b""):
        return Hold(self, names, collection, holding)

    def kill_at(self, process, count, after=False):
        self.counting = [process, count, after, False]

    def disarm(self):
        counting, self.counting = self.counting, None
        settled = threading.Event()
        self.loop.call_soon_threadsafe(settled.set)  # a blow that is about to fall falls before
        settled.wait()
        return counting[3]

    def since(self, place):
        """The commands that came after the first `place` of them."""
        return self.seen[place:]

    # --- what goes through ---

    async def accept(self, reader, writer):
        try:
            behind, before = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        last = {"swallow": None, "hold": None}  # who dies in place of the next answer; who waits for it
        await asyncio.gather(self.ask(reader, before, last), self.answer(behind, writer, last))

    @staticmethod
    async def message(reader):
        head = await reader.readexactly(HEAD.size)
        return head + await reader.readexactly(HEAD.unpack(head)[0] - HEAD.size)

    async def ask(self, reader, writer, last):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = await self.message(reader)
                name, collection = command_of(message)
                if name is not None and name not in UNCOUNTED:
                    self.seen.append((name, collection))
                    if self.dies_here(last):
                        break
                    for hold in list(self.holds):
                        if hold.wants(name, collection, message):
                            hold.reached.set()
                            await hold.passed.wait()
                            last["hold"] = hold
                writer.write(message)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()

    def dies_here(self, last):
        """Whether the indexer is killed in place of this command."""
        counting = self.counting
        if counting is None or counting[1] == 0:
            return False
        counting[1] -= 1
        if counting[1] > 0:
            return False
        if counting[2]:
            last["swallow"] = counting
            return False
        self.strike(counting)
        return True

    @staticmethod
    def strike(counting):
        counting[3] = True
        os.kill(counting[0].pid, signal.SIGKILL)

    async def answer(self, reader, writer, last):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = await self.message(reader)
                if last["swallow"] is not None and last["swallow"] is self.counting:
                    self.strike(last["swallow"])
                    break
                if last["hold"] is not None:
                    last["hold"].answered.set()
                    last["hold"] = None
                writer.write(message)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()
