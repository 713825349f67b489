"""The index on a replica set of three while its members die, hang and lose each other: nothing is lost or doubled, no cursor is ahead
of its records, queries are back in time, and the indexer stays.

GRIBSTORE_FAILOVERS=30 asks for that many faults in place of three, GRIBSTORE_SEED for others."""

import collections
import contextlib
import itertools
import math
import os
import pathlib
import random
import subprocess
import threading
import time

import pymongo.errors
import pytest

import evidence
from processes import BIN, POLL_S, PRIMARY_LOST, ROOT, await_condition, stamp
from replica_set import MEMBERS, ReplicaSet

FAULTS = int(os.environ.get("GRIBSTORE_FAILOVERS", "3"))
SEED = int(os.environ.get("GRIBSTORE_SEED", "1"))
QUERY_GAP_MAX_S = 90
LEADER_S = 120
STANDS_S = 90
SUITE_S = 1200  # nobody waits for it but where it hangs
HOLD_S = 4
LOCKED_S = 12
RUN_MESSAGES = 240
BODY_MESSAGES = 40
PACE_S = 0.5
TIMEOUT_S = 300 + 90 * FAULTS
HEADER_SIZE = RECORD_SIZE = 64
KIND_STORED = 2


@pytest.fixture
def database(tmp_path, mongod_binary):
    with ReplicaSet(tmp_path) as found:
        yield found


# --- what goes on meanwhile ---


class Ingest(threading.Thread):
    """Runs, one after another, in bodies of a few messages; every second run is a reissue of the one before it. Keeps what was acknowledged."""

    def __init__(self, folder, nodes):
        super().__init__(daemon=True)
        self.folder = pathlib.Path(folder)
        self.nodes = itertools.cycle(nodes)
        self.enough = threading.Event()
        self.acknowledged = collections.defaultdict(set)  # base_time -> digests
        self.failure = None

    def count(self):
        return sum(len(digests) for digests in list(self.acknowledged.values()))

    def make(self, number):
        base_time = f"202611{1 + number // 48:02d}T{number // 2 % 24:02d}00Z"
        path = stamp(self.folder / "run.grib", base_time, RUN_MESSAGES, "--values-seed", str(1 + number % 2))
        return base_time, path.read_bytes()

    def put(self, base_time, body):
        answer = next(self.nodes).put("/ingest/db/", data=body, timeout=60)
        assert answer.status_code in (200, 201), answer.text
        self.acknowledged[base_time].update(message["digest"] for message in answer.json()["messages"])

    def run(self):
        try:
            for number in itertools.count():
                base_time, data = self.make(number)
                for body in bodies(data):
                    self.put(base_time, body)
                    if self.enough.wait(PACE_S):
                        return
        except Exception as error:  # told by end()
            self.failure = error

    def end(self):
        self.enough.set()
        self.join()
        if self.failure is not None:
            raise self.failure


def bodies(data):
    starts = [place for place in range(len(data)) if data.startswith(b"GRIB", place) and (place == 0 or data.startswith(b"7777", place - 4))]
    marks = [*starts[::BODY_MESSAGES], len(data)]
    return [data[first:last] for first, last in itertools.pairwise(marks)]


class Questions(threading.Thread):
    """Asks on and on; how long it went without an answer."""

    def __init__(self):
        super().__init__(daemon=True)
        self.enough = threading.Event()
        self.good_at = time.monotonic()
        self.gap = self.longest = 0
        self.asked = collections.Counter()
        self.failure = None

    def run(self):
        try:
            while not self.enough.wait(0.02):
                good = self.ask()
                now = time.monotonic()
                self.gap = max(self.gap, now - self.good_at)
                if good:
                    self.good_at = now
        except Exception as error:
            self.failure = error

    def take_gap(self):
        """The longest since it was taken last."""
        gap, self.gap = self.gap, 0
        self.longest = max(self.longest, gap)
        return gap

    def end(self):
        self.enough.set()
        self.join()
        if self.failure is not None:
            raise self.failure


class Queries(Questions):
    def __init__(self, indexer):
        super().__init__()
        self.indexer = indexer

    def ask(self):
        answer = self.indexer.get("/v1/fields", params={"source": "db", "limit": 3}, timeout=120)
        assert answer.status_code in (200, 503, 504), answer.text
        self.asked[answer.status_code] += 1
        return answer.status_code == 200


class Reads(Questions):
    """What no client can help: members that hear each other badly, on a machine that is busy, may take a minute to agree on a primary. This
    one gives up after a second and asks the next."""

    def __init__(self, database):
        super().__init__()
        self.client = database.client(readConcernLevel="majority", serverSelectionTimeoutMS=1000, socketTimeoutMS=1000, connectTimeoutMS=1000,
                                      retryReads=False, heartbeatFrequencyMS=1000)

    def ask(self):
        with contextlib.suppress(pymongo.errors.PyMongoError):
            self.client.gribstore.fields.find_one({}, {"_id": 1})
            return True
        return False


# --- faults ---


class Fault:
    def __init__(self, database):
        self.database = database
        self.place = database.primary()

    def is_over(self):
        """Whether another leads by now."""
        return self.database.primary() != self.place


class Killed(Fault):
    def begin(self):
        self.database.kill(self.place)

    def end(self):
        self.database.start(self.place)


class Stopped(Fault):
    def begin(self):
        self.database.stop(self.place)

    def end(self):
        self.database.go_on(self.place)


class Partitioned(Fault):
    """Neither members nor clients reach it, nor does it reach anybody."""

    def begin(self):
        self.database.cut(into=self.place, of=self.place)

    def end(self):
        self.database.heal()


class Split(Partitioned):
    """Cut off from the others, but not from clients: for a while there are two that take themselves for the primary."""

    def begin(self):
        self.database.cut(into=self.place, of=self.place, clients=False)


class OneWay(Partitioned):
    """Nobody reaches it; what it begins itself gets through."""

    def begin(self):
        self.database.cut(into=self.place)


class SteppedDown(Fault):
    def begin(self):
        self.database.step_down(self.place)

    def is_over(self):
        """Nobody else may be able to lead yet, or the old one is elected again."""
        over = super().is_over()
        if not over:
            self.database.step_down(self.place)
        return over

    def end(self):
        pass


class Hiccup(Stopped):
    """Too short for an election, perhaps."""

    def is_over(self):
        threading.Event().wait(1)
        return True


class NoMajority(Fault):
    """Both others take nothing in: writes are not confirmed in time, and are there all the same."""

    def begin(self):
        self.others = [place for place in range(MEMBERS) if place != self.place]
        for place in self.others:
            self.database.lock(place)
        self.since = time.monotonic()

    def is_over(self):
        return time.monotonic() - self.since > LOCKED_S

    def end(self):
        for place in self.others:
            self.database.unlock(place)


KINDS = [Killed, Stopped, Split, Partitioned, OneWay, SteppedDown, Hiccup, NoMajority]


def kinds(count):
    """Killed, stopped and split first; each as often as the others, in an order of the seed."""
    rest = [kind for _ in range(count) for kind in random.Random(SEED).sample(KINDS, len(KINDS))]
    return [*KINDS[:3], *rest][:count]


# --- what has to hold ---


def places_of(client):
    """(digest, node) -> how often it stands in the index. Nothing is doubled in a document: that is looked at on the way."""
    found = collections.Counter()
    for document in client.gribstore.fields.find({}, {"digest": 1, "locations": 1, "older": 1}):
        issues = [document, *document.get("older", [])]
        assert len({issue["digest"] for issue in issues}) == len(issues), f"doubled: {document}"
        for issue in issues:
            nodes = [location["node"] for location in issue["locations"]]
            assert len(set(nodes)) == len(nodes), f"doubled: {document}"
            found.update((issue["digest"], node) for node in nodes)
    return found


def check_cursors(database, nodes):
    """Every record before a cursor is in the index. The cursors are read first: records only come."""
    with database.client(readConcernLevel="majority") as client:
        cursors = list(client.gribstore.cursors.find())
        there = places_of(client)
    checked = 0
    for cursor in cursors:
        node = next(node for node in nodes if node.name == cursor["node"])
        path = f"/cluster/journal/db/{cursor['base_time']:%Y%m%dT%H%MZ}"
        answer = node.get(path, params={"journal": cursor["journal"], "from": 0})
        assert answer.status_code == 200, answer.text
        records = answer.content[:cursor["record"] * RECORD_SIZE]
        for at in range(0, len(records), RECORD_SIZE):
            kind = records[at + 59]
            if kind == KIND_STORED:
                checked += 1
                assert (records[at:at + 32].hex(), cursor["node"]) in there, f"the cursor is ahead: {cursor}, record {at // RECORD_SIZE}"
    return checked


def check_whole(database, cluster, acknowledged):
    """The index holds exactly what was acknowledged, each with both copies, and says the same as the nodes do."""
    with database.client(readConcernLevel="majority") as client:
        there = places_of(client)
        documents = client.gribstore.fields.count_documents({})
    told = {digest for digests in acknowledged.values() for digest in digests}
    assert {digest for digest, _ in there} == told
    assert set(there.values()) == {1} and len(there) == 2 * len(told)
    runs = {run["base_time"]: run for run in cluster.indexer.json("/v1/runs", params={"source": "db"})["runs"]}
    assert len(runs) == len(acknowledged)
    for node in cluster.nodes:
        for base_time, digests in acknowledged.items():
            shards = node.json(f"/cluster/shards/db/{base_time}")
            total = sum(int(shard["hash"], 16) for shard in shards) % 2 ** 256
            count = sum(shard["count"] for shard in shards)
            run = next(run for name, run in runs.items() if name.translate({45: None, 58: None})[:13] == base_time[:13])
            assert run["fingerprint"] == f"{count}-{total:064x}"
            assert count == len(digests)
    return documents, len(told)


# --- the drill ---


@pytest.mark.timeout(TIMEOUT_S)
def test_failovers_lose_and_double_nothing(daemons, database, tmp_path, capsys):
    cluster = daemons.cluster(colos=("a", "b"), catalog=database.uri, environment=PRIMARY_LOST)
    ingest, queries, reads = Ingest(tmp_path, cluster.nodes), Queries(cluster.indexer), Reads(database)
    ingest.start()
    await_condition(lambda: ingest.count() > RUN_MESSAGES, "messages flow", 60)
    queries.start()
    reads.start()
    gaps, late, checked = collections.defaultdict(list), 0, 0
    for kind in kinds(FAULTS):
        database.await_healthy()
        fault = kind(database)
        queries.take_gap(), reads.take_gap()
        before, began = ingest.count(), time.monotonic()
        fault.begin()
        await_condition(fault.is_over, f"{kind.__name__} is over", LEADER_S)
        await_condition(lambda: ingest.count() >= before + BODY_MESSAGES and time.monotonic() > began + HOLD_S, "messages flow on", 60)
        await_condition(lambda: queries.good_at > began + 0.5, "queries are answered again", LEADER_S)
        checked += check_cursors(database, cluster.nodes)
        fault.end()
        gaps[kind.__name__].append(queries.take_gap())
        late = max(late, gaps[kind.__name__][-1] - reads.take_gap())
        assert cluster.indexer.process.poll() is None
    database.await_healthy()
    ingest.end()
    await_caught_up(cluster, database, ingest)
    queries.end()
    reads.end()
    documents, messages = check_whole(database, cluster, ingest.acknowledged)
    with capsys.disabled():
        told = ", ".join(f"{name} {len(found)} (longest gap {max(found):.1f} s)" for name, found in gaps.items())
        print(f"\n{FAULTS} faults: {told}; {messages} messages in {documents} records, {checked} records looked at behind cursors, "
              f"queries {dict(queries.asked)}, longest gap {queries.longest:.1f} s; at most {late:.1f} s longer than the database's own")
    assert checked > 0
    assert late <= QUERY_GAP_MAX_S


def await_caught_up(cluster, database, ingest):
    """As long as it gets on: how much is left to do nobody knows, nor how fast this machine is."""
    fewest, deadline = math.inf, 0
    while not (caught_up(cluster.indexer, ingest) and has_all_copies(database, cluster, ingest)):
        # What is read again is no progress.
        left = sum(node["records_behind"] for node in cluster.indexer.json("/v1/cluster/nodes", timeout=60)["nodes"])
        if left < fewest:
            fewest, deadline = left, time.monotonic() + STANDS_S
        if time.monotonic() > deadline:
            with database.client(readConcernLevel="majority") as client:
                told = evidence.of(cluster.indexer, cluster.nodes, client, ingest.acknowledged, places_of(client))
            raise AssertionError(f"for {STANDS_S} s no record more has come into the index, and it is not whole\n{told}")
        time.sleep(POLL_S)


def caught_up(indexer, ingest):
    if not indexer.caught_up():
        return False
    answer = indexer.get("/v1/runs", params={"source": "db"}, timeout=60)
    return answer.status_code == 200 and sum(run["messages"] for run in answer.json()["runs"]) == ingest.count()


def has_all_copies(database, cluster, ingest):
    """What a node has told nobody yet, nobody misses: an index that has caught up may lack its copies."""
    with database.client(readConcernLevel="majority") as client:
        return len(places_of(client)) >= len(cluster.nodes) * ingest.count()


# --- the catalog by itself ---


@pytest.mark.timeout(2 * SUITE_S)
def test_the_suite_of_catalogs_passes_on_three_members(database):
    suite = BIN.parent / "tests/test_catalog_mongo"
    if not suite.exists():
        pytest.skip("test_catalog_mongo is not built")
    done = subprocess.run([suite], env={**os.environ, **PRIMARY_LOST, "GRIBSTORE_TEST_MONGO_URI": database.uri}, capture_output=True, text=True,
                          timeout=SUITE_S, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
