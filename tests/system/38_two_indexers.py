"""Several indexers on one database: they share the nodes, one goes on for the other, and one that slept does no harm.

Where one sleeps is no matter of luck: a door between it and the database (mongo_door.py) holds the command at which it is stopped.
GRIBSTORE_SLEEP_S: how long it sleeps (the short form: until the other has done what there is to do, which takes a lease).
"""

import contextlib
import datetime
import json
import os
import signal
import struct
import time

import pymongo
import pytest
import requests

from mongo_door import MongoDoor
from processes import Client, Cluster, await_condition

LEASE_S = 3
SLEEP_S = float(os.environ.get("GRIBSTORE_SLEEP_S", "0"))
LEASE = ["--lease", f"{LEASE_S}s", "--grace", "0s"]
# Who is awake must not lose its lease because the machine stands still for a moment; who sleeps is made to.
SLEEPERS_LEASE_S = 2 * LEASE_S


@pytest.fixture
def pair(daemons, mongod):
    """Three nodes, two indexers on one database."""
    nodes = [daemons.node(f"n{place}", colo=colo) for place, colo in enumerate("aab", 1)]
    first = daemons.indexer(nodes, name="one", catalog=mongod, arguments=["--name", "one", *LEASE], ready=False)
    cluster = Cluster(nodes, first).init()
    first.wait_ready()
    cluster.second = daemons.indexer(nodes, name="two", catalog=mongod, arguments=["--name", "two", *LEASE])
    cluster.client = Client(first, nodes[0])
    await_condition(lambda: is_shared(first), "both have nodes")
    return cluster


def shares(indexer):
    """Which indexer tails which nodes, as one of them sees it."""
    return {each["name"]: sorted(each["nodes"]) for each in indexer.json("/v1/status")["indexers"]}


def is_shared(indexer, nodes=("n1", "n2", "n3")):
    """By two, as evenly as goes, and nobody is without."""
    held = list(shares(indexer).values())
    return sorted(sum(held, [])) == list(nodes) and sorted(map(len, held)) == [len(nodes) // 2, (len(nodes) + 1) // 2]


def put_here(node, source, data):
    """On this node alone: no other indexer brings these documents first."""
    answer = node.put(f"/replica/{source}", data=data, timeout=120)
    assert answer.status_code == 201, answer.text


def held(nodes, source):
    """What the nodes hold and can give, by their own listings and journals: (node, file) of each run, and digests."""
    files, digests = {}, {}
    for node in nodes:
        for run in node.json("/cluster/runs")["runs"]:
            if run["source"] != source or not run.get("files"):
                continue
            at = f"{source}/{run['base_time']}"
            files.setdefault(at, set()).update((node.name, f"{file['shard']:02}-{file['birth']}.grib") for file in run["files"])
            shards = node.json(f"/cluster/shards/{at}")
            shards = shards if isinstance(shards, list) else shards["shards"]
            for shard in shards:
                if shard["count"]:
                    listed = node.json(f"/cluster/shards/{at}?shard={shard['shard']}")
                    listed = listed if isinstance(listed, list) else listed["messages"]
                    digests.setdefault(at, set()).update(
                        (node.name, message["digest"], f"{shard['shard']:04}-{message['birth']}.grib", message["offset"]) for message in listed)
    return files, digests


def compact(base_time):
    return base_time.replace("-", "").replace(":", "")[:13] + "Z"


def indexed(indexer, source):
    digests = {}
    for field in indexer.fields(source=source, limit=10000, all=1):
        for location in field["locations"]:
            at = f"{source}/{compact(field['base_time'])}"
            digests.setdefault(at, set()).add((location["node"], field["digest"], location["file"], location["offset"]))
    return digests


def is_equal(pair, source):
    _, there = held(pair.nodes, source)
    return {compact_key(at): found for at, found in there.items()} == indexed(pair.indexer, source)


def check_equal(pair, source):
    """Index and nodes agree exactly: each location is a message that lies there, and each message has its location."""
    await_condition(lambda: is_equal(pair, source), f"index and nodes agree on {source}", 30)
    for run in pair.indexer.runs(source=source):
        def told(at=run["base_time"]):
            nodes = pair.indexer.json(f"/v1/runs/{source}/{at}?fingerprint=1")["nodes"]
            # What a file that was lost held on one node alone, its other owners still have: until sync runs they disagree.
            return nodes["equal"] or nodes["shards_disagreed"]
        await_condition(told, f"{run['base_time']} is as the nodes say")


def compact_key(at):
    source, base_time = at.split("/")
    return f"{source}/{compact(base_time)}" if "-" in base_time else at


def shown_as_json(pair):
    told = pair.client.run("status", "--json", expected=None)
    index = next(server["index"] for server in json.loads(told.stdout)["servers"] if "index" in server)
    return {each["name"]: sorted(each["nodes"]) for each in index["indexers"]} if index["catalog"] == {"backend": "mongodb", "ok": True} else None


def shown_in_words(pair):
    shown = pair.client.run("status", expected=None).stdout.decode()
    if "2 indexers alive" not in shown or "mongodb answers" not in shown:
        return None
    rows = [line.split()[:2] for line in shown.splitlines()]
    return {name: sorted(row[0] for row in rows if len(row) == 2 and row[0] in ("n1", "n2", "n3") and row[1] == name) for name in ("one", "two")}


def test_two_indexers_share_the_nodes_and_one_goes_on_for_the_other(pair, stamped):
    one, two = pair.indexer, pair.second
    # Two looks, between which a lease may run out on a slow machine.
    await_condition(lambda: shown_as_json(pair) == shares(one) and shown_in_words(pair) == shares(one), "the client shows it")
    pair.nodes[0].ingest("share", stamped("20261101T0000Z", 300))
    one.await_messages("share", 300, copies=2)
    two.kill()
    await_condition(lambda: shares(one) == {"one": ["n1", "n2", "n3"]}, "one has them all, once the lease is over")
    pair.nodes[0].ingest("share", stamped("20261101T1200Z", 300))
    one.await_messages("share", 600, copies=2)
    # Given up on SIGTERM at once: nobody waits for a lease to run out.
    two.start().wait_ready()
    await_condition(lambda: is_shared(one), "two has its share again")
    with pymongo.MongoClient(one.catalog) as client:
        def names(owner):
            return {lease["_id"] for lease in client.gribstore.leases.find({"owner": owner})}
        owner = client.gribstore.leases.find_one({"_id": "indexer/two"})["owner"]
        await_condition(lambda: any(name.startswith("node/") for name in names(owner)), "it holds a node")
        two.stop()
        assert names(owner) == set()
    await_condition(lambda: shares(one) == {"one": ["n1", "n2", "n3"]}, "one has them all")
    check_equal(pair, "share")


# --- one sleeps at the worst moment ---

@pytest.fixture
def doors(mongod):
    with MongoDoor(mongod) as one, MongoDoor(mongod) as two:
        yield {"one": one, "two": two}


class Sleepers:
    """Two nodes, two indexers, each behind a door to the database: `sleeper` tails n1, `awake` the other."""

    def __init__(self, daemons, doors, mongod):
        self.mongod = mongod
        self.nodes = [daemons.node(name) for name in ("n1", "n2")]
        both = {name: daemons.indexer(self.nodes, name=name, catalog=doors[name].uri, ready=False,
                                      arguments=["--name", name, "--lease", f"{SLEEPERS_LEASE_S}s", "--grace", "0s", "--sweep", "0s"])
                for name in doors}
        Cluster(self.nodes, both["one"]).init()
        for indexer in both.values():
            indexer.wait_ready()
        await_condition(lambda: sorted(shares(both["one"]).values()) == [["n1"], ["n2"]], "each has a node")
        name = next(name for name, nodes in shares(both["one"]).items() if nodes == ["n1"])
        self.sleeper, self.door = both.pop(name), doors[name]
        name, self.awake = both.popitem()
        self.awake_door = doors[name]
        self.indexer = self.awake

    def sleep(self):
        self.sleeper.process.send_signal(signal.SIGSTOP)
        self.slept = time.monotonic()
        self.end_leases()
        await_condition(lambda: list(shares(self.awake).values()) == [["n1", "n2"]], "the other has taken over", 30)
        await_condition(self.awake.caught_up, "the other has it all")
        self.await_no_sweep()

    def end_leases(self):
        """Those of the sleeper run out now."""
        with pymongo.MongoClient(self.mongod) as client:
            leases = client.gribstore.leases
            owner = leases.find_one({"_id": f"indexer/{self.sleeper.name}"})["owner"]
            leases.update_many({"owner": owner}, {"$set": {"expires": datetime.datetime(2000, 1, 1)}})

    def await_no_sweep(self):
        """A takeover begins one; what is looked at here has to be right without."""
        await_condition(lambda: (lambda sweep: not sweep["running"] and "ended_at" in sweep)(self.awake.json("/v1/status")["sweep"]),
                        "the takeover's sweep is over", 60)

    def wake(self):
        """What it told its door goes on with it, at once or when the test says so."""
        time.sleep(max(0.0, SLEEP_S - (time.monotonic() - self.slept)))
        self.sleeper.process.send_signal(signal.SIGCONT)

    def await_even(self):
        await_condition(lambda: sorted(shares(self.awake).values()) == [["n1"], ["n2"]], "the sleeper is back", 60)
        await_condition(lambda: self.awake.caught_up() and self.sleeper.caught_up(), "all is read", 60)


@pytest.fixture
def sleepers(doors, daemons, mongod):  # the doors last longer than who goes through them
    return Sleepers(daemons, doors, mongod)


RUN = "/v1/runs/sleep/20261101T0000Z"
RUN_ID = b"sleep\0" + struct.pack(">Q", 1793491200 + (1 << 63))


def documents(mongod, **query):
    with pymongo.MongoClient(mongod) as client:
        return client.gribstore.fields.count_documents({"source": "sleep", **query})


def cursors(mongod):
    with pymongo.MongoClient(mongod) as client:
        return {(found["node"], found["journal"]): found for found in client.gribstore.cursors.find({"source": "sleep"})}


def check_cursors(sleepers, mongod):
    """A cursor never says more than there is, and is at the end."""
    def right():
        found = cursors(mongod)
        for node in sleepers.nodes:
            for run in node.json("/cluster/runs")["runs"]:
                if run.get("journal"):
                    cursor = found.pop((node.name, run["journal"]), None)
                    if cursor is None or (cursor["record"], cursor["complete"]) != (run["records"], True):
                        return False
        return not found
    await_condition(right, "cursors are at the ends of their journals")


def purge(sleepers):
    assert sleepers.awake.post(f"{RUN}/retire?grace=0s", timeout=60).status_code == 200
    await_condition(lambda: sleepers.awake.json(RUN)["state"] == "purged", "purged meanwhile", 60)


def reopen(sleepers, data):
    assert sleepers.awake.post(f"{RUN}/reopen").status_code == 200
    await_condition(lambda: all(run["incarnation"] == 2 for node in sleepers.nodes
                                for run in node.json("/cluster/runs")["runs"]), "the nodes know")
    sleepers.nodes[1].ingest("sleep", data)
    await_condition(lambda: sleepers.awake.json(RUN)["messages"] == 50, "it is filled again")


@pytest.mark.parametrize("then", ["purged", "filled again"])
def test_what_is_written_into_a_run_that_was_purged_meanwhile_goes_by_itself(sleepers, stamped, mongod, then):
    """It stops between the look at the run's state and the write: that comes when the run is purged, or another incarnation. No
    sweep takes it away here, nor a cursor that is found elsewhere, nor its tail, which sees in the node's listing that the run is gone and
    is held where it looks for that node's documents: with the look behind the write (run_guard_check), or its removal, left out 40
    documents stay."""
    sleepers.nodes[0].ingest("sleep", stamped("20261101T0000Z", 20))
    sleepers.awake.await_messages("sleep", 20, copies=2)
    check_cursors(sleepers, mongod)  # else the first batch's cursor is what is held below
    with sleepers.door.hold("insert update", "fields", RUN_ID) as written, sleepers.door.hold("find", "cursors", b"n1\0" + RUN_ID), \
            sleepers.door.hold("find", "fields", b"n1\0"):
        put_here(sleepers.nodes[0], "sleep", stamped("20261101T0000Z", 60))
        written.await_reached()
        sleepers.sleep()
        await_condition(lambda: sleepers.awake.json(RUN)["messages"] == 60, "the other has written the batch")
        purge(sleepers)
        if then == "filled again":
            reopen(sleepers, stamped("20261101T0000Z", 50))
        sleepers.await_no_sweep()
        sleepers.wake()
        before = len(sleepers.door.seen)
        written.release().await_answered()
        await_condition(lambda: ("delete", "fields") in sleepers.door.since(before), "who wrote it takes it away")
        await_condition(lambda: documents(mongod, incarnation=1) == 0, "nothing of the run before is left")
        sleepers.sleeper.kill()
    sleepers.sleeper.start().wait_ready()
    sleepers.await_even()
    assert documents(mongod) == (50 if then == "filled again" else 0)
    check_cursors(sleepers, mongod)
    sleepers.awake.sweep()
    check_equal(sleepers, "sleep")


def test_a_run_that_was_purged_meanwhile_is_not_written_to(sleepers, stamped, mongod):
    """It stops before the look at the run's state: what that finds is what holds now, and no write follows. With run_guard_check
    before the write left out there is one."""
    sleepers.nodes[0].ingest("sleep", stamped("20261101T0000Z", 20))
    sleepers.awake.await_messages("sleep", 20, copies=2)
    check_cursors(sleepers, mongod)
    with sleepers.door.hold("find", "runs", RUN_ID) as looked:
        before = len(sleepers.door.seen)
        sleepers.nodes[0].ingest("sleep", stamped("20261101T0000Z", 60))
        looked.await_reached()
        sleepers.sleep()
        purge(sleepers)
        sleepers.wake()
        looked.release().await_answered()
    sleepers.await_even()
    assert ("insert", "fields") not in sleepers.door.since(before) and ("update", "fields") not in sleepers.door.since(before)
    assert documents(mongod) == 0 and not cursors(mongod)


def place_of(node, digest):
    """Where a message of the run lies: its shard's number, its path, what the node says of it."""
    for shard in node.json("/cluster/shards/sleep/20261101T0000Z"):
        for message in node.json(f"/cluster/shards/sleep/20261101T0000Z?shard={shard['shard']}") if shard["count"] else ():
            if message["digest"] == digest:
                return shard["shard"], node.data / f"runs/sleep/20261101T0000Z/{shard['shard']:04}-{message['birth']}.grib", message
    return None


def lose_its_file(node, digest):
    """A file is given up: it is cut to nothing while the node is down."""
    _, path, _ = place_of(node, digest)
    node.stop()
    path.unlink()
    node.start().wait_ready()


def damage_it(node, digest):
    """Who reads it finds that out."""
    _, path, message = place_of(node, digest)
    with open(path, "r+b") as file:
        file.seek(message["offset"] + message["length"] // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0xFF]))
    with contextlib.suppress(requests.RequestException):  # it is cut before its last byte
        node.get(f"/sha256/{digest}")
    await_condition(lambda: (lambda now: now is None or now[2]["offset"] != message["offset"])(place_of(node, digest)), "the node knows that it is bad")


@pytest.mark.parametrize("harm, first", [(lose_its_file, "the answer"), (damage_it, "the loss")])
def test_locations_written_after_they_were_removed_go_again(sleepers, stamped, mongod, harm, first):
    """It stops before the write of a message. Meanwhile the other, who tails its node now, has acted on the loss of its file, or on its
    damage, and its next cursor is under way when the sleeper writes. The cursor tells: the sleeper finds it elsewhere and sets it back
    (catalog_cursor_check), the other's write meets another revision and gives way, and reads again. With the compare and set left out, of the
    revision or of all, the other's cursor covers the set-back and what was removed stays in the index; so it does without the set-back.
    first: whether the sleeper hears of its batch or of its lost lease first; it looks at its cursor either way."""
    sleepers.nodes[0].ingest("sleep", stamped("20261101T0000Z", 20))
    sleepers.awake.await_messages("sleep", 20, copies=2)
    door = sleepers.door
    with door.hold("insert update", "fields", RUN_ID) as written, door.hold("findAndModify", "leases", b"indexer/") as looks:
        looks.release()
        before = {digest for _, digest, *_ in held(sleepers.nodes, "sleep")[1].popitem()[1]}
        sleepers.nodes[0].ingest("sleep", stamped("20261101T0000Z", 21))
        written.await_reached()
        sleepers.sleep()
        sleepers.awake.await_messages("sleep", 21, copies=2)
        new = {digest for _, digest, *_ in held(sleepers.nodes, "sleep")[1].popitem()[1]} - before
        assert len(new) == 1
        harm(sleepers.nodes[0], new.pop())
        await_condition(lambda: is_equal(sleepers, "sleep"), "the other has acted on it", 60)
        with sleepers.awake_door.hold("update", "cursors", b"n1\0" + RUN_ID) as cursor:
            sleepers.nodes[0].ingest("sleep", stamped("20261101T0000Z", 60))
            cursor.await_reached()
            with door.hold("findAndModify", "leases") as lease, door.hold("update", "cursors", b"n1\0" + RUN_ID) as set_back:
                if first == "the loss":
                    lease.release()
                set_back.release()
                told = len(sleepers.sleeper.output())
                sleepers.wake()
                if first == "the loss":
                    await_condition(lambda: "n1: not ours" in sleepers.sleeper.output()[told:], "it knows that the node is another's")
                written.release().await_answered()
                set_back.await_answered()
                await_condition(lambda: not is_equal(sleepers, "sleep"), "the late write has done its harm")
    sleepers.await_even()
    check_equal(sleepers, "sleep")
    check_cursors(sleepers, mongod)
    sleepers.awake.sweep()
    check_equal(sleepers, "sleep")


def test_a_second_indexer_of_the_same_name_waits_for_the_first(pair, daemons, mongod):
    third = daemons.indexer(pair.nodes, name="three", catalog=mongod, arguments=["--name", "one", *LEASE])
    await_condition(lambda: "share.name" in third.output(), "it says so")
    assert third.json("/v1/cluster/nodes")["nodes"] == []
    pair.indexer.stop()
    await_condition(lambda: third.json("/v1/cluster/nodes")["nodes"], "it goes on", 30)


def test_another_indexers_change_is_known_a_moment_later(pair, stamped):
    one, two = pair.indexer, pair.second
    pair.nodes[0].ingest("told", stamped("20261101T0000Z", 100))
    one.await_messages("told", 100, copies=2)
    run = "/v1/runs/told/20261101T0000Z"
    await_condition(lambda: two.get(run).status_code == 200 and two.json(run)["messages"] == 100, "two knows the run")
    assert one.post(f"{run}/ready").status_code == 200
    await_condition(lambda: two.json(run)["state"] == "ready", "two knows that it is ready")
    assert two.post(f"{run}/retire?grace=1h").status_code == 200
    await_condition(lambda: one.json(run)["state"] == "retired" and one.json(run)["messages"] == 0, "its records are gone")
    # Undone at the one that does not run the retirement, whichever that is: it is read again.
    for indexer in (one, two):
        assert indexer.post(f"{run}/ready").status_code == 200
        await_condition(lambda at=indexer: at.json(run)["state"] == "ready" and at.json(run)["messages"] == 100, "it is back", 30)
        assert indexer.post(f"{run}/retire?grace=1h").status_code == 200
        await_condition(lambda: all((at.json(run)["state"], at.json(run)["messages"]) == ("retired", 0) for at in (one, two)), "gone again", 30)
    assert one.post(f"{run}/ready").status_code == 200
    one.await_messages("told", 100, copies=2)
    check_equal(pair, "told")
