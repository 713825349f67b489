"""What befalls the cluster. A fault begins, stands for a while, and ends; it counts once it has been seen to do what it is for."""

import contextlib
import json
import os
import shutil
import subprocess
import time

from ground import CONTROL, settings_of
from mongod import die_with_parent, free_port
from processes import BIN, Daemon, await_condition
from traffic import ERRORS, Connection

FELT_S = 8
NODES_MIN, NODES_MAX = 3, 6
QUICK_S, LONG_S = (0.3, 2.0), (2.0, 14.0)


class NotNow(Exception):
    """It would cost what nobody promised to keep, or what it needs is not there: another one is taken."""


def await_felt(was_felt):
    """It stands until it has done something, or for so long in vain."""
    deadline = time.monotonic() + FELT_S
    while not (felt := was_felt()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return felt


class Fault:
    """One of a kind. `fired` is true once it really happened."""
    name = ""
    about = ""
    weight = 10
    needs_node = False   # one that is up, and no other fault's
    length_s = LONG_S

    def __init__(self, thrash, node=None):
        self.thrash, self.ground, self.load, self.random, self.node = thrash, thrash.ground, thrash.load, thrash.random, node
        self.fired = False

    @classmethod
    def can(cls, thrash):
        return True

    def begin(self):
        raise NotImplementedError

    def end(self):
        pass

    def describe(self):
        return f"{self.name}{' ' + self.node.name if self.node else ''}"


class Kill(Fault):
    name, about, needs_node, weight = "kill", "kill -9, and a start a while later", True, 20

    def begin(self):
        self.fired = self.node.blow()

    def end(self):
        self.node.start().wait_up()


class KillTwice(Kill):
    """And again in the middle of its start."""
    name, about, weight = "kill-starting", "kill -9, a start that is killed too, a start", 6

    def end(self):
        self.node.start_for_moment(self.random, 0.3)
        self.node.start().wait_up()


class Stop(Fault):
    name, about, needs_node, weight = "stop", "SIGSTOP, SIGCONT: it accepts and never answers", True, 14
    length_s = (1.0, 18.0)

    def begin(self):
        self.node.freeze()
        await_condition(self.node.stands_still, f"{self.node.name} stands still")
        self.fired = True

    def end(self):
        self.node.thaw()


class Wires(Fault):
    """Of the hosts' wires some are cut or bad."""

    def pairs(self):
        raise NotImplementedError

    def spoil(self, pair):
        self.ground.links.cut(*pair)

    def mend(self, pair):
        self.ground.links.join(*pair)

    def begin(self):
        self.chosen = self.pairs()
        self.before = self.lost()
        self.ground.spoil(self.chosen)
        for pair in self.chosen:
            self.spoil(pair)

    def end(self):
        self.fired = await_felt(self.was_felt)
        for pair in self.chosen:
            self.mend(pair)
        self.ground.mend(self.chosen)

    def lost(self):
        return sum(self.ground.links.counts(*pair)[1] for pair in self.chosen)

    def was_felt(self):
        return self.lost() > self.before

    def names(self):
        return [node.name for node in self.ground.nodes]

    def colos(self):
        """Names of one colo, and of all others."""
        colo = self.random.choice(sorted({node.colo for node in self.ground.nodes}))
        ours = [node.name for node in self.ground.nodes if node.colo == colo]
        return ours, [name for name in self.names() if name not in ours]

    def between_colos(self):
        ours, theirs = self.colos()
        return [pair for a in ours for b in theirs for pair in ((a, b), (b, a))]


class CutOneWay(Wires):
    name, about, weight = "cut-one-way", "what one node sends to another is lost", 8

    def pairs(self):
        return [tuple(self.random.sample(self.names(), 2))]


class CutNode(Wires):
    name, about, weight = "cut-node", "one node is cut from all others, not from clients", 8

    def pairs(self):
        one = self.random.choice(self.names())
        return [pair for other in self.names() if other != one for pair in ((one, other), (other, one))]


class CutColos(Wires):
    name, about, weight = "cut-colos", "a colo is cut from the others, both ways", 10

    def pairs(self):
        return self.between_colos()


class CutIndexer(Wires):
    name, about, weight, needs_node = "cut-control", "what one node sends to the indexer and to clients is lost", 5, True
    length_s = (1.0, 8.0)

    def pairs(self):
        return [(self.node.name, CONTROL)]

    def begin(self):
        super().begin()
        self.node.up_since = None

    def end(self):
        super().end()
        self.node.up_since = time.monotonic()


class Flapping(Wires):
    name, about, weight = "flapping", "the wires between colos come and go, ten times", 6
    length_s = (0.0, 0.1)

    def pairs(self):
        return self.between_colos()

    def begin(self):
        super().begin()
        for _ in range(10):
            for pair in self.chosen:
                self.ground.links.cut(*pair)
            time.sleep(self.random.uniform(0.05, 0.6))
            for pair in self.chosen:
                self.ground.links.join(*pair)
            time.sleep(self.random.uniform(0.05, 0.4))


class Slow(Wires):
    name, about, weight = "slow", "200 ms each way between colos", 6

    def pairs(self):
        return self.between_colos()

    def lost(self):
        return sum(self.ground.links.counts(*pair)[0] for pair in self.chosen)

    def spoil(self, pair):
        self.ground.links.delay(*pair, 200)

    def mend(self, pair):
        self.ground.links.delay(*pair, 0)


class Lossy(Wires):
    name, about, weight = "lossy", "one packet in ten between colos is lost", 6

    def pairs(self):
        return self.between_colos()

    def spoil(self, pair):
        self.ground.links.loss(*pair, 10)

    def mend(self, pair):
        self.ground.links.loss(*pair, 0)


class Full(Fault):
    name, about, needs_node, weight = "full", "nothing is left on a node's disk", True, 8

    def begin(self):
        self.node.fill()

    def end(self):
        self.fired = await_felt(self.refuses)
        self.node.free()

    def refuses(self):
        with contextlib.suppress(*ERRORS):
            message = self.load.fields.make(self.thrash.side_run, self.random.randrange(1 << 20), 500, self.random)
            connection = self.node.connection(10)
            status, _, text = connection.ask("PUT", f"/replica/{message.run.source}", body=message.data)
            connection.close()
            return status == 507 or b"full" in text
        return False


class Clock(Fault):
    name, about, needs_node, weight = "clock", "a node's clock an hour off, either way", True, 8

    def begin(self):
        self.reads = self.node.shim.clock_reads
        self.node.shim.set_clock(self.random.choice((-3600, 3600)))

    def end(self):
        self.fired = await_felt(lambda: self.node.shim.clock_reads > self.reads)
        self.node.shim.set_clock(0)


class Stranger(Fault):
    name, about, needs_node, weight = "stranger", "a node of another cluster stands at a member's address", True, 6
    length_s = (3.0, 10.0)

    @classmethod
    def can(cls, thrash):
        return not thrash.stands("stop")

    def begin(self):
        self.name_ = f"stranger-{self.thrash.number}"
        self.folder = self.ground.folder / self.name_
        self.folder.mkdir()
        self.found_cluster()
        with self.load.lock:
            self.load.absent.add(self.node.name)
        self.await_told()
        self.node.blow()
        self.stranger = self.stranger_at(self.node.listen, self.ground.links.on(self.node.name))
        await_condition(self.stranger.answers, "the stranger answers")

    def await_told(self):
        """Clients that began with that address would take that cluster's map for theirs: those under way end first."""
        self.load.pause()
        self.load.resume()

    def stranger_at(self, listen, preexec):
        """A storaged on that directory, which calls itself by the member's name and URL."""
        stranger = Daemon("storaged", self.name_, self.ground.folder, [
            "--data", self.folder, "--listen", listen, "--id", self.node.name, "--url", self.node.url, "--reserve", "1",
            *settings_of(BIN / "storaged"), "--log-level", "warn"])
        stranger.url = f"http://{listen}"
        with open(stranger.log, "ab") as log:
            stranger.process = subprocess.Popen(stranger.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                env=stranger.environment, preexec_fn=preexec)
        return stranger

    def found_cluster(self):
        """Where nobody sees it: one that is alone yet may be taken in. Its epoch may be far above ours."""
        stranger = self.stranger_at(f"127.0.0.1:{free_port()}", die_with_parent)
        stranger.wait_ready()
        map_ = stranger.json("/cluster/map")
        map_["epoch"] = self.random.choice((1, 1000))
        answer = stranger.put("/cluster/map", json.dumps(map_))
        assert answer.status_code == 200, answer.text
        stranger.stop()

    def end(self):
        held = [run for run in (self.folder / "runs").glob("*/*")] if (self.folder / "runs").exists() else []
        if held:
            self.thrash.findings.wrong.append(f"a node of another cluster was given messages of ours: {held}")
        self.fired = any("other-cluster" in node.output() for node in self.ground.nodes)
        self.stranger.kill()
        shutil.rmtree(self.folder)
        self.node.start().wait_up()
        self.load.absent.discard(self.node.name)


class NewMap(Fault):
    name, about, weight = "map", "other owners for every shard", 4
    length_s = (0.0, 0.1)

    @classmethod
    def can(cls, thrash):
        return thrash.ground.indexer.process is not None

    def begin(self):
        self.fired = self.ground.change_map()
        if not self.fired:
            with contextlib.suppress(AssertionError, *ERRORS):
                self.ground.refresh_map()
            raise NotNow("the indexer did not take it")


class OldMap(Fault):
    name, about, needs_node, weight = "old-map", "a node comes back with an older map, and is told an older one", True, 5
    length_s = QUICK_S

    @classmethod
    def can(cls, thrash):
        return bool(thrash.ground.old_maps)

    def begin(self):
        old = self.random.choice(self.ground.old_maps[-3:])
        self.node.blow()
        (self.node.data / "cluster-map.json").write_text(json.dumps(old), encoding="utf-8")
        self.epoch = old["epoch"]

    def end(self):
        self.node.start().wait_up()
        old = self.ground.old_maps[0]
        connection = self.node.connection()
        status, _, text = connection.ask("PUT", "/cluster/map", body=json.dumps(old))
        if status == 200 and json.loads(text or b"{}").get("epoch") == old["epoch"] < self.epoch:
            self.thrash.findings.other.append(f"{self.node.name} took an older map: {text[:200]!r}")
        await_condition(lambda: json.loads(connection.ask("GET", "/cluster/map")[2])["epoch"] > self.epoch or
                        self.thrash.is_alone(self.node), f"{self.node.name} has a newer map than {self.epoch}")
        connection.close()
        self.fired = True


class Wipe(Fault):
    name, about, needs_node, weight = "wipe", "a node's disk is replaced by an empty one; it comes back by --join", True, 6
    length_s = QUICK_S

    def begin(self):
        self.node.blow()
        only = self.thrash.only_on(self.node)
        if any(promise.copies > 1 for promise in only):
            self.node.start().wait_up()
            raise NotNow("other disks are not whole yet")
        for promise in only:
            self.thrash.book.give_up(promise.message.digest)
        self.node.wipe()
        self.fired = True

    def end(self):
        self.node.start()
        self.thrash.starting(self.node)


class SleepThroughPurge(Fault):
    name, about, needs_node, weight = "slept-through-purge", "a node is away while a run is purged, and opened again", True, 5
    length_s = (0.0, 0.1)

    @classmethod
    def can(cls, thrash):
        return thrash.ground.indexer.process is not None and bool(thrash.load.closed_runs)

    def begin(self):
        self.closed = len(self.load.closed_runs)
        self.purges = self.load.counts.purges
        self.node.blow()
        self.load.rotate_now.set()
        deadline = time.monotonic() + 25
        while time.monotonic() < deadline and self.load.counts.purges == self.purges:
            time.sleep(0.05)
        self.fired = self.load.counts.purges > self.purges

    def end(self):
        self.node.start().wait_up()


class Admin(Fault):
    """A change of the cluster by `gribstore cluster`, while all else goes on. It refuses what is dangerous: that is no fault then."""
    length_s = (0.0, 0.1)
    weight = 4

    @classmethod
    def can(cls, thrash):
        return not thrash.stands("kill-indexer", "kill-database", "stop", "stranger") and \
            all(node.up_since is not None for node in thrash.ground.nodes)

    def command(self, *words):
        done = self.load.client().run("cluster", *words, "--yes", "--retry", "5s", "--quiet", expected=None)
        if done.returncode != 0:
            self.thrash.say(f"cluster {' '.join(words)}: {done.returncode} {done.stderr.decode()[-300:].strip()}")
            with contextlib.suppress(AssertionError, *ERRORS):
                self.ground.refresh_map()
            return False
        self.ground.refresh_map()
        return True

    def is_in_map(self, node):
        return any(entry["id"] == node.name for entry in self.ground.refresh_map()["nodes"])

    def take_in(self, node, *words):
        """The command that puts a new node into the map; without it the node goes again."""
        await_condition(node.answers, f"{node.name} answers")
        self.ground.nodes = [*self.ground.nodes, node]  # before the map has it: what lies there counts at once
        taken = self.command(*words) or self.is_in_map(node)
        if taken:
            self.thrash.starting(node)
        else:
            self.ground.leave(node)
            node.blow()
        return taken


class AddNode(Admin):
    name, about = "add", "a new node is taken in, into all eras"

    @classmethod
    def can(cls, thrash):
        return super().can(thrash) and bool(thrash.ground.spare) and len(thrash.ground.nodes) < NODES_MAX

    def begin(self):
        node = self.ground.new_node()
        self.fired = self.take_in(node, "add", node.url, "--all-eras")
        if not self.fired:
            raise NotNow("it was refused")


class Evacuate(Admin):
    name, about, needs_node = "evacuate", "all that a node holds moves to others; it is removed when it is empty", True

    @classmethod
    def can(cls, thrash):
        staying = [node for node in thrash.ground.map["nodes"] if node["state"] == "in"]
        return super().can(thrash) and len(staying) > NODES_MIN and not thrash.leaving

    def begin(self):
        self.fired = self.command("evacuate", self.node.name)
        if not self.fired:
            raise NotNow("it was refused")
        self.thrash.leaving.append(self.node)


class Replace(Admin):
    name, about, needs_node = "replace", "a node is dead for good, disk and all; an empty one takes its place", True

    @classmethod
    def can(cls, thrash):
        return super().can(thrash) and bool(thrash.ground.spare) and not thrash.leaving

    def begin(self):
        if any(promise.copies > 1 for promise in self.thrash.only_on(self.node)):
            raise NotNow("other disks are not whole yet")
        new = self.ground.new_node()
        self.node.blow()
        only = self.thrash.only_on(self.node)
        if any(promise.copies > 1 for promise in only) or \
                not self.take_in(new, "replace", self.node.name, new.url, "--force", "not-reachable,fewer-copies"):
            if new.process is not None:
                new.blow()
            self.node.start().wait_up()
            raise NotNow("other disks are not whole yet, or it was refused")
        for promise in only:
            self.thrash.book.give_up(promise.message.digest)
        self.node.wipe()
        self.ground.leave(self.node)
        self.fired = True


class KillIndexer(Fault):
    name, about, weight = "kill-indexer", "kill -9 of the indexer", 8

    @classmethod
    def can(cls, thrash):
        return not thrash.stands("kill-indexer", "kill-database")

    def begin(self):
        self.ground.kill_indexer()
        self.fired = True

    def end(self):
        self.ground.start_indexer()


class KillDatabase(Fault):
    name, about, weight = "kill-database", "kill -9 of mongod", 8

    @classmethod
    def can(cls, thrash):
        return thrash.ground.mongod is not None and not thrash.stands("kill-indexer", "kill-database")

    def begin(self):
        self.ground.mongod.kill()
        self.ground.index_since = None
        self.fired = True

    def end(self):
        self.ground.mongod.launch()
        self.ground.index_since = time.monotonic()


KINDS = {kind.name: kind for kind in (
    Kill, KillTwice, Stop, CutOneWay, CutNode, CutColos, CutIndexer, Flapping, Slow, Lossy, Full, Clock, Stranger, NewMap, OldMap, Wipe,
    SleepThroughPurge, KillIndexer, KillDatabase, AddNode, Evacuate, Replace)}
