"""Several indexers on one database: they share the nodes, one goes on for the other, and one that slept does no harm.

GRIBSTORE_SLEEP_S: how long it sleeps (the short form: a few leases); GRIBSTORE_SLEEP_MOMENTS: seconds into the batch at which it stops, several by commas.
"""

import os
import signal
import time

import pymongo
import pytest

from processes import Client, Cluster, await_condition

LEASE_S = 3
SLEEP_S = float(os.environ.get("GRIBSTORE_SLEEP_S", "8"))
MOMENTS_S = [float(text) for text in os.environ.get("GRIBSTORE_SLEEP_MOMENTS", "0.15").split(",")]
LEASE = ["--lease", f"{LEASE_S}s", "--grace", "0s"]


@pytest.fixture
def pair(daemons, mongod):
    """Three nodes, two indexers on one database."""
    nodes = [daemons.node(f"n{place}", colo=colo) for place, colo in enumerate("aab", 1)]
    first = daemons.indexer(nodes, name="one", catalog=mongod, arguments=["--name", "one", *LEASE], ready=False)
    cluster = Cluster(nodes, first).init()
    first.wait_ready()
    cluster.second = daemons.indexer(nodes, name="two", catalog=mongod, arguments=["--name", "two", *LEASE])
    cluster.client = Client(first, nodes[0])
    await_condition(lambda: len(shares(first)) == 2 and all(shares(first).values()), "both have nodes")
    return cluster


def shares(indexer):
    """Which indexer tails which nodes, as one of them sees it."""
    return {each["name"]: sorted(each["nodes"]) for each in indexer.json("/v1/status")["indexers"]}


def put(node, source, data):
    answer = node.put(f"/ingest/{source}/", data=data, timeout=120)
    assert answer.status_code == 201, answer.text


def counted(indexer, source):
    return {run["base_time"]: run["messages"] for run in indexer.runs(source=source)}


def swept(indexer):
    before = indexer.json("/v1/status")["sweep"].get("ended_at")
    assert indexer.post("/v1/sweep").status_code == 202
    await_condition(lambda: indexer.json("/v1/status")["sweep"].get("ended_at") not in (before, None), "a sweep came to its end")


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
                    digests.setdefault(at, set()).update((node.name, message["digest"], message["offset"]) for message in listed)
    return files, digests


def compact(base_time):
    return base_time.replace("-", "").replace(":", "")[:13] + "Z"


def indexed(indexer, source):
    digests = {}
    for field in indexer.fields(source=source, limit=10000, all=1):
        for location in field["locations"]:
            at = f"{source}/{compact(field['base_time'])}"
            digests.setdefault(at, set()).add((location["node"], field["digest"], location["offset"]))
    return digests


def check_equal(pair, source):
    """Index and nodes agree exactly: each location is a message that lies there, and each message has its location."""
    def equal():
        _, there = held(pair.nodes, source)
        return {compact_key(at): found for at, found in there.items()} == indexed(pair.indexer, source)
    await_condition(equal, f"index and nodes agree on {source}", 30)
    for run in pair.indexer.runs(source=source):
        told = pair.indexer.json(f"/v1/runs/{source}/{run['base_time']}?fingerprint=1")["nodes"]
        # What a file that was lost held on one node alone, its other owners still have: until sync runs they disagree.
        assert told["equal"] or told["shards_disagreed"], told


def compact_key(at):
    source, base_time = at.split("/")
    return f"{source}/{compact(base_time)}" if "-" in base_time else at


def test_two_indexers_share_the_nodes_and_one_goes_on_for_the_other(pair, stamped):
    one, two = pair.indexer, pair.second
    assert sorted(sum(shares(one).values(), [])) == ["n1", "n2", "n3"]
    assert sorted(map(len, shares(one).values())) == [1, 2]
    put(pair.nodes[0], "share", stamped("20261101T0000Z", 300))
    one.await_messages("share", 300, copies=2)
    two.kill()
    killed = time.monotonic()
    await_condition(lambda: shares(one) == {"one": ["n1", "n2", "n3"]}, "one has them all", 30)
    # The lease, and what a busy machine takes to look.
    assert time.monotonic() - killed < LEASE_S + 4
    put(pair.nodes[0], "share", stamped("20261101T1200Z", 300))
    one.await_messages("share", 600, copies=2)
    # Given up on SIGTERM at once: nobody waits for a lease to run out.
    two.start().wait_ready()
    await_condition(lambda: len(shares(one).get("two", [])) == 1, "two has its share again", 30)
    two.stop()
    stopped = time.monotonic()
    await_condition(lambda: shares(one) == {"one": ["n1", "n2", "n3"]}, "one has them all", 30)
    assert time.monotonic() - stopped < LEASE_S
    check_equal(pair, "share")


def sleeper_of(pair, node):
    """The indexer that tails the node, and the other."""
    both = {"one": pair.indexer, "two": pair.second}
    name = next(name for name, nodes in shares(pair.indexer).items() if node in nodes)
    return both.pop(name), both.popitem()[1]


@pytest.mark.parametrize("moment_s", MOMENTS_S)
def test_an_indexer_that_slept_over_its_lease_does_no_harm(pair, stamped, moment_s):
    """It stops in the middle of a batch; meanwhile a run is retired and purged, a file is damaged, a run goes on."""
    for hour in ("00", "06", "12"):
        put(pair.nodes[0], "sleep", stamped(f"20261101T{hour}00Z", 200))
    pair.indexer.await_messages("sleep", 600, copies=2)
    sleeper, awake = sleeper_of(pair, "n1")
    put(pair.nodes[0], "sleep", stamped("20261101T0000Z", 1500))
    put(pair.nodes[1], "sleep", stamped("20261101T1200Z", 1500))
    time.sleep(moment_s)
    sleeper.process.send_signal(signal.SIGSTOP)
    slept = time.monotonic()
    pair.indexer = awake
    run = "/v1/runs/sleep/20261101T0000Z"
    assert awake.post(f"{run}/retire?grace=0s", timeout=60).status_code == 200
    await_condition(lambda: awake.json(run)["state"] == "purged", "purged meanwhile", 60)
    # One that is filled again meanwhile: what the sleeper has of the one before has no place in it.
    assert awake.post(f"{run}/reopen").status_code == 200
    await_condition(lambda: all(
        any(at["base_time"].startswith(("20261101T0000Z", "2026-11-01T00:00:00Z")) and at["incarnation"] == 2
            for at in node.json("/cluster/runs")["runs"]) for node in pair.nodes), "the nodes know")
    put(pair.nodes[0], "sleep", stamped("20261101T0000Z", 150))
    # A file of a node is given up: it is cut to nothing while the node is down.
    gone = pair.nodes[0]
    gone.stop()
    next(iter(sorted((gone.data / "runs/sleep/20261101T0600Z").glob("*.grib")))).unlink()
    gone.start().wait_ready()
    await_condition(lambda: awake.caught_up() and len(awake.json("/v1/cluster/nodes")["nodes"]) == 3, "the other has it all", 60)
    time.sleep(max(0.0, SLEEP_S - (time.monotonic() - slept)))
    sleeper.process.send_signal(signal.SIGCONT)
    await_condition(lambda: len(shares(awake)) == 2 and all(shares(awake).values()), "the sleeper is back", 60)
    await_condition(lambda: awake.caught_up() and sleeper.caught_up(), "all is read", 60)
    swept(awake)
    check_equal(pair, "sleep")
    assert {field["incarnation"] for field in awake.fields(source="sleep", base_time="2026-11-01T00:00:00Z", limit=10000)} == {2}
    # A cursor never says more than there is, and is at the end.
    with pymongo.MongoClient(awake.catalog) as client:
        cursors = {(found["node"], found["journal"]): found for found in client.gribstore.cursors.find({"source": "sleep"})}
    for node in pair.nodes:
        for run in node.json("/cluster/runs")["runs"]:
            if run["source"] == "sleep" and run.get("journal"):
                cursor = cursors.pop((node.name, run["journal"]))
                assert (cursor["record"], cursor["complete"]) == (run["records"], True)
    assert not cursors


def test_a_second_indexer_of_the_same_name_waits_for_the_first(pair, daemons, mongod):
    third = daemons.indexer(pair.nodes, name="three", catalog=mongod, arguments=["--name", "one", *LEASE])
    await_condition(lambda: "share.name" in third.output(), "it says so")
    assert third.json("/v1/cluster/nodes")["nodes"] == []
    pair.indexer.stop()
    await_condition(lambda: third.json("/v1/cluster/nodes")["nodes"], "it goes on", 30)


def test_another_indexers_change_is_known_a_moment_later(pair, stamped):
    one, two = pair.indexer, pair.second
    put(pair.nodes[0], "told", stamped("20261101T0000Z", 100))
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
        await_condition(lambda: one.json(run)["messages"] == 0 and two.json(run)["messages"] == 0, "gone again", 30)
    assert one.post(f"{run}/ready").status_code == 200
    one.await_messages("told", 100, copies=2)
    check_equal(pair, "told")
