"""The indexer is killed at every step of a run's life: at its n-th command to the database, for n = 1, 2, ... until it comes to its end
unharmed; in place of the command, and behind it. Started again it goes on: at the end nothing of a retired run is left, neither records nor
files nor cursors; no record without bytes, and none lost.

GRIBSTORE_KILLS: how many kills a phase gets (short form: a few, spread over its commands by a seed); 0: all of them.
GRIBSTORE_SEED: of the short form.
"""

import os
import random

import pymongo
import pytest
import requests

from mongo_door import MongoDoor
from processes import Cluster, await_condition

KILLS = int(os.environ.get("GRIBSTORE_KILLS", "1"))
SEED = int(os.environ.get("GRIBSTORE_SEED", "20261121"))
LEASE_S = 1
RUN_TIME, KEPT_TIME = "20261101T0000Z", "20261101T1200Z"
RUN, KEPT = f"/v1/runs/steps/{RUN_TIME}", f"/v1/runs/steps/{KEPT_TIME}"
COUNT, KEPT_COUNT = 12, 10
NEVER = 1_000_000, False
GONE_FILE = "0001-0123456789abcdef.grib"


class Steps:
    """Two nodes, an indexer behind a door, a run that comes and goes, one that stays."""

    def __init__(self, daemons, door, mongod, stamped):
        self.daemons, self.door, self.mongod, self.stamped = daemons, door, mongod, stamped
        self.nodes = [daemons.node(name) for name in ("n1", "n2")]
        self.indexer = daemons.indexer(self.nodes, name="killed", catalog=door.uri, ready=False, arguments=self.arguments("killed"))
        Cluster(self.nodes, self.indexer).init()
        self.indexer.wait_ready()
        self.fired, self.unharmed = {}, {}  # by phase: deaths; how many commands it was where it lived
        self.put(KEPT_TIME, KEPT_COUNT)
        self.indexer.await_messages("steps", KEPT_COUNT, copies=2)
        self.incarnation = 1

    @staticmethod
    def arguments(name):
        return ["--name", name, "--lease", f"{LEASE_S}s", "--grace", "0s", "--sweep", "0s", "--decoders", "1"]

    def put(self, base_time, count):
        answer = self.nodes[0].put("/ingest/steps/", data=self.stamped(base_time, count), timeout=60)
        assert answer.status_code in (200, 201), answer.text

    def ask(self, method, path):
        """None: it died over it."""
        try:
            return self.indexer.request(method, path, timeout=60)
        except requests.RequestException:
            return None

    def died(self):
        return self.indexer.process is not None and self.indexer.process.poll() is not None

    def until(self, condition, what):
        """True when that holds, False when the indexer died first; it may die between two questions."""
        def look():
            if self.died():
                return "died"
            try:
                return "holds" if condition() else None
            except requests.RequestException:
                return None
        return await_condition(look, what, 60) == "holds"

    def revive(self):
        """Again with the power on, and no more blows."""
        self.indexer.process.wait()
        self.indexer.process = None
        self.indexer.check_reports()
        self.indexer.start().wait_ready()

    def phase(self, name, count, after, begin, done):
        """begin(), killed at its count-th command, then whatever an operator does again, until done(). False: it was not killed any more."""
        before = len(self.door.seen)
        if self.indexer.process is not None:
            self.door.kill_at(self.indexer.process, count, after)
        begin()
        self.until(done, f"{name} is done, or dies at {count}")
        if not self.door.disarm():
            self.unharmed.setdefault(name, []).append(len(self.door.since(before)))
            return False
        self.fired[name] = self.fired.get(name, 0) + 1
        self.revive()
        begin()
        assert self.until(done, f"{name} is done after a death at {count}, after={after}")
        return True

    # --- what is there ---

    def state(self):
        answer = self.indexer.get(RUN)
        return (answer.json()["state"], answer.json()["incarnation"]) if answer.status_code == 200 else None

    def stored(self, collection, base_time):
        import datetime
        moment = datetime.datetime.strptime(base_time, "%Y%m%dT%H%MZ")
        with pymongo.MongoClient(self.mongod) as client:
            return list(client.gribstore[collection].find({"source": "steps", "base_time": {"$in": [moment, f"{moment:%Y-%m-%dT%H:%M:%SZ}"]}}))

    def files(self):
        return [path for node in self.nodes for path in (node.data / "runs/steps").glob(f"{RUN_TIME}/*")]

    def check_whole(self, path, count):
        """Every record has its bytes, every message its records: by the fingerprint of index and nodes, and by each location."""
        base_time = path.split("/")[-1]

        def whole():
            told = self.indexer.json(f"{path}?fingerprint=1")
            # Both copies: what a node has not told of yet, nobody misses.
            return told["messages"] == count and told["nodes"]["equal"] and \
                sum(len(document["locations"]) for document in self.stored("fields", base_time)) >= 2 * count
        await_condition(whole, f"{path} is whole", 30)
        documents = self.stored("fields", base_time)
        assert len(documents) == count
        for document in documents:
            assert sorted(at["node"] for at in document["locations"]) == ["n1", "n2"], document
            assert not document.get("older")
        told = {(node.name, message["offset"], message["digest"]) for node in self.nodes
                for shard in node.json(f"/cluster/shards/steps/{base_time}") if shard["count"]
                for message in node.json(f"/cluster/shards/steps/{base_time}?shard={shard['shard']}")}
        assert {(at["node"], int(at["offset"]), document["digest"]) for document in documents for at in document["locations"]} == told

    # --- the phases ---

    def fill(self, count, after):
        def done():
            runs = {run["base_time"]: run for run in self.indexer.runs(source="steps")}
            run = runs.get("2026-11-01T00:00:00Z")
            return run and run["messages"] == COUNT and self.indexer.caught_up()
        died = self.phase("fill", count, after, lambda: self.put(RUN_TIME, COUNT), done)
        self.check_whole(RUN, COUNT)
        return died

    def retire(self, count, after):
        died = self.phase("retire", count, after, lambda: self.ask("POST", f"{RUN}/retire?grace=0s"),
                          lambda: self.state() == ("purged", self.incarnation))
        # Nobody's sweep has helped.
        for collection in ("fields", "quarantine", "cursors"):
            assert self.stored(collection, RUN_TIME) == [], f"{collection} of a purged run, after {count}"
        await_condition(lambda: not self.files(), "its files are gone")
        self.check_whole(KEPT, KEPT_COUNT)
        return died

    def reopen(self, count, after):
        died = self.phase("reopen", count, after, lambda: self.ask("POST", f"{RUN}/reopen"),
                          lambda: self.state() == ("filling", self.incarnation + 1))
        self.incarnation += 1
        await_condition(lambda: all(run["incarnation"] == self.incarnation for node in self.nodes
                                    for run in node.json("/cluster/runs")["runs"] if run["base_time"].startswith(("20261101T0000Z", "2026-11-01T00:00:00Z"))),
                        "the nodes know")
        return died

    def sweep(self, count, after):
        """Of a record without bytes, in a file that nobody has."""
        with pymongo.MongoClient(self.mongod) as client:
            fields = client.gribstore.fields
            one = fields.find_one({"source": "steps", "base_time": {"$gt": fields.find_one({"source": "steps"}, sort=[("base_time", 1)])["base_time"]}})
            gone = {**one["locations"][0], "file": GONE_FILE}
            fields.update_one({"_id": one["_id"]}, {"$push": {"locations": gone}, "$inc": {"rev": 1}})

        def done():
            with pymongo.MongoClient(self.mongod) as client:
                return client.gribstore.fields.count_documents({"locations.file": GONE_FILE}) == 0
        died = self.phase("sweep", count, after, lambda: self.ask("POST", "/v1/sweep"), done)
        self.check_whole(KEPT, KEPT_COUNT)
        return died

    def take_over(self, count, after):
        """The other indexer dies while this one is at work, and this one at its n-th command after that."""
        other = self.daemons.indexer(self.nodes, name="other", catalog=self.mongod, arguments=self.arguments("other"))
        await_condition(lambda: len(other.json("/v1/cluster/nodes")["nodes"]) == 1, "each has a node")

        def begin():
            if other.process is not None:
                other.kill()
        died = self.phase("take-over", count, after, begin,
                          lambda: len(self.indexer.json("/v1/cluster/nodes")["nodes"]) == 2 and self.indexer.caught_up())
        self.daemons.started.remove(other)
        self.check_whole(RUN, COUNT)
        return died

    def start(self, count, after):
        """A start that is killed, and one that is not."""
        self.indexer.stop()

        def begin():
            if self.indexer.process is None:
                self.indexer.start()
                self.door.kill_at(self.indexer.process, count, after)
        died = self.phase("start", count, after, begin, lambda: self.indexer.answers() and self.indexer.caught_up())
        self.check_whole(RUN, COUNT)
        return died


@pytest.fixture
def steps(mongod):
    with MongoDoor(mongod) as door:
        yield lambda daemons, stamped: Steps(daemons, door, mongod, stamped)


USUAL = {"fill": 20, "retire": 25, "reopen": 2, "sweep": 6, "start": 12, "take-over": 8}  # commands that it takes at least
QUIET_ENOUGH = 6


def numbers(random_numbers, name):
    """In the long form every number, both ways; else one, somewhere among what such a phase takes at least."""
    if KILLS == 0:
        return iter([(count, after) for count in range(1, 1000) for after in (False, True)])
    return iter([(random_numbers.randint(1, USUAL[name]), random_numbers.random() < 0.5) for _ in range(KILLS)])


# In the short form one life goes through all of it.
LIVES = [("fill", "retire", "reopen"), ("sweep",), ("start",), ("take-over",)]


@pytest.mark.parametrize("names", LIVES if KILLS == 0 else [sum(LIVES, ())], ids="-".join)
def test_killed_at_any_command_it_goes_on_where_it_was(steps, daemons, stamped, names):
    """Each phase's blows one after another. It has come to its end when it does so several times running: background commands come and go."""
    life = steps(daemons, stamped)
    phases = {"fill": life.fill, "retire": life.retire, "reopen": life.reopen, "sweep": life.sweep, "start": life.start,
              "take-over": life.take_over}
    random_numbers = random.Random(SEED)
    plans = {name: numbers(random_numbers, name) for name in names}
    quiet = dict.fromkeys(names, 0)
    filled, rounds = False, 0
    while plans and (KILLS == 0 or rounds < KILLS):
        rounds += 1
        for name in names:
            if name not in ("fill", "retire", "reopen") and not filled:
                life.fill(*NEVER)
            blow = next(plans[name], None) if name in plans else None
            if blow is None and name not in ("fill", "retire", "reopen"):
                plans.pop(name, None)
                continue
            quiet[name] = 0 if phases[name](*(blow or NEVER)) else quiet[name] + 1
            filled = name not in ("retire", "reopen")
            if blow is None or quiet[name] >= QUIET_ENOUGH:
                plans.pop(name, None)
    print(life.fired, life.unharmed)
    assert len(life.fired) >= min(3, len(names)), life.fired
