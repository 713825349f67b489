"""A node that nobody hears is counted out after a time, and only then; who rules the map, and how it comes back."""

import contextlib
import json
import sqlite3

import pymongo
import pytest

from front import Front
from processes import Indexer, await_condition, await_seen

QUICK = ["--sync-period", "1s"]
OUT_AFTER = ["--out-after", "3s", "--lease", "2s"]  # longer than a node of a busy machine is silent


class Lost:
    """n1 to n4 behind their fronts, all owners, two copies, and an indexer that counts out who is silent."""

    def __init__(self, daemons, arguments=OUT_AFTER, replicas=2, min_replicas=1, names=("n1", "n2", "n3", "n4"), catalog=None):
        self.fronts = {name: Front() for name in names}
        self.nodes = {}
        for name, front in self.fronts.items():
            self.nodes[name] = daemons.node(name, arguments=["--url", front.url, *QUICK])
            front.node_url = self.nodes[name].url
        cluster = self.nodes["n1"].json("/cluster/map")["cluster"]
        ring = list(names)
        self.map = {
            "cluster": cluster, "epoch": 1, "shards": 32, "replicas": replicas, "min_replicas": min_replicas, "indexers": [],
            "nodes": [{"id": name, "url": front.url, "host": name, "colo": "a", "weight": 100, "state": "in"} for name, front in self.fronts.items()],
            "eras": [{"from": None, "owners": [[ring[(shard + copy) % len(ring)] for copy in range(replicas)] for shard in range(32)]}]}
        for node in self.nodes.values():
            assert node.put("/cluster/map", json.dumps(self.map)).status_code == 200
        for node in self.nodes.values():
            node.wait_ready()
        self.indexer = daemons.indexer(list(self.nodes.values()), arguments=arguments, catalog=catalog)

    def close(self):
        for front in self.fronts.values():
            front.close()

    def states(self):
        return {node["id"]: node["state"] for node in self.indexer.json("/v1/cluster/map")["nodes"]}

    def out(self):
        return sorted(name for name, state in self.states().items() if state == "out")

    def status(self):
        return self.indexer.json("/v1/status")["out_after"]

    def await_kept(self, word):
        return await_condition(lambda: word in (self.status()["kept"] or ""), f"it is said: {word}")


@pytest.fixture
def lost(daemons):
    made = []

    def make(**options):
        made.append(Lost(daemons, **options))
        return made[-1]
    yield make
    for one in made:
        one.close()


def copies(field):
    return {at["node"] for at in field["locations"]}


def test_a_node_that_nobody_hears_is_counted_out_and_its_shards_are_made_whole(lost, stamped):
    cluster = lost()
    data = stamped("20261101T0000Z", 60)
    cluster.nodes["n1"].ingest("lost", data)
    cluster.indexer.await_messages("lost", 60, copies=2)
    await_condition(lambda: cluster.status() == {"seconds": 3, "silent": [], "kept": None, "marked_out": []}, "all are heard")
    cluster.nodes["n4"].kill()
    await_condition(lambda: cluster.out() == ["n4"], "n4 is out")
    cluster_map = cluster.indexer.json("/v1/cluster/map")
    assert cluster_map["epoch"] == 2
    assert all("n4" not in owners and len(owners) == 2 for era in cluster_map["eras"] for owners in era["owners"])
    assert "event=node.out" in cluster.indexer.output()
    assert cluster.indexer.metric("gribstore_nodes_marked_out_total") == 1
    assert [marked["node"] for marked in cluster.status()["marked_out"]] == ["n4"]
    # Its places leave the index; what it had comes from the others.
    cluster.indexer.await_messages("lost", 60, copies=2)
    await_condition(lambda: all("n4" not in copies(field) for field in cluster.indexer.fields(source="lost", limit=1000)), "nothing of n4 is named")
    # It comes back, and is neither used nor named until somebody adds it.
    cluster.nodes["n4"].start().wait_ready()
    await_condition(lambda: cluster.nodes["n4"].json("/cluster/map")["epoch"] == 2, "it has learned that it is out")
    cluster.nodes["n1"].ingest("lost", stamped("20261101T0600Z", 40))
    cluster.indexer.await_messages("lost", 100, copies=2)
    assert all("n4" not in copies(field) for field in cluster.indexer.fields(source="lost", limit=1000))
    assert cluster.out() == ["n4"]
    changed = cluster.indexer.json("/v1/cluster/map")
    next(node for node in changed["nodes"] if node["id"] == "n4")["state"] = "in"
    changed["epoch"] += 1
    assert cluster.indexer.put("/v1/cluster/map", json=changed, headers={"If-Match": str(changed["epoch"] - 1)}).status_code == 200
    await_condition(lambda: any("n4" in copies(field) for field in cluster.indexer.fields(source="lost", limit=1000)), "it is named again")


def test_what_keeps_a_silent_node_in(lost):
    cluster = lost()
    # The indexer alone is cut off from it.
    cluster.fronts["n4"].deaf = ("gribstore-indexer",)
    cluster.await_kept("hears it")
    cluster.fronts["n4"].deaf = ()
    await_condition(lambda: cluster.status()["kept"] is None, "nothing keeps anybody")
    # More than a third.
    for name in ("n3", "n4"):
        cluster.fronts[name].silent.set()
    cluster.await_kept("more than a third")
    # One node in that time, whichever indexer counted it out.
    with contextlib.closing(sqlite3.connect(cluster.indexer.catalog.removeprefix("sqlite:"), timeout=60, isolation_level=None)) as database:
        database.execute("INSERT INTO leases (name, owner, expires_us) VALUES ('lost/node', 'another', ?)", (2 ** 62,))
        cluster.fronts["n3"].silent.clear()
        cluster.await_kept("has to wait")
        assert cluster.out() == []
        database.execute("DELETE FROM leases WHERE name = 'lost/node'")
    await_condition(lambda: cluster.out() == ["n4"], "n4 is out")


def test_too_few_nodes_or_too_little_room_keep_a_node_in(lost):
    cluster = lost(names=("n1", "n2", "n3"), min_replicas=2)
    full = json.loads(cluster.nodes["n1"].get("/cluster/capacity").content)
    cluster.nodes["n1"].ingest("room", open_message())
    full.update(used=full["high_water"])
    for name in ("n1", "n2"):
        cluster.fronts[name].answers["/cluster/capacity"] = (200, json.dumps(full).encode())
    cluster.fronts["n3"].silent.set()
    cluster.await_kept("past its high-water mark")
    assert cluster.out() == []
    for name in ("n1", "n2"):
        del cluster.fronts[name].answers["/cluster/capacity"]
    await_condition(lambda: cluster.out() == ["n3"], "there is room now")
    # Two are left, and two copies are wanted: the next one stays whatever happens.
    cluster.fronts["n2"].silent.set()
    cluster.await_kept("more than a third")
    assert cluster.out() == ["n3"]


def open_message():
    """200 messages, so that each shard has some."""
    made = b""
    for number in range(200):
        section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
        body = section1 + number.to_bytes(8, "big")
        made += b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"
    return made


# --- the map's authority ---


def put(indexer, changed, match):
    return indexer.put("/v1/cluster/map", data=json.dumps(changed), headers={"If-Match": str(match)})


def test_of_two_admins_one_wins_and_the_other_sees_the_newer_map(daemons, mongod):
    node = daemons.node()
    lease = ["--lease", "2s"]
    indexers = [daemons.indexer([node], name, catalog=mongod, arguments=lease) for name in ("one", "two")]
    first = indexers[0].json("/v1/cluster/map")
    mine, theirs = ({**first, "epoch": 1, "nodes": [{**first["nodes"][0], "weight": weight}]} for weight in (10, 20))
    assert put(indexers[0], mine, 0).status_code == 200
    # By way of the other indexer, which may not have heard of it yet: the database decides.
    answer = put(indexers[1], theirs, 0)
    assert answer.status_code == 412, answer.text
    assert answer.headers["ETag"] == '"1"'
    assert (answer.json()["epoch"], answer.json()["nodes"]) == (1, mine["nodes"])
    assert answer.json()["type"].endswith(":stale-epoch")
    for indexer in indexers:
        await_condition(lambda indexer=indexer: indexer.json("/v1/cluster/map") == mine, "both have it")
    theirs["epoch"] = 2
    assert put(indexers[1], theirs, 1).status_code == 200
    await_condition(lambda: indexers[0].json("/v1/cluster/map") == theirs, "the other way round")
    await_condition(lambda: node.json("/cluster/map") == theirs, "the node is told")


def test_a_map_that_a_database_of_an_earlier_day_lost_is_written_again_under_a_running_indexer(daemons, mongod):
    node = daemons.node()
    indexer = daemons.indexer([node], catalog=mongod, arguments=["--lease", "2s"])
    changed = {**indexer.json("/v1/cluster/map"), "epoch": 1}
    with pymongo.MongoClient(mongod) as client:
        settings = client.gribstore.settings
        earlier = settings.find_one({"_id": "map"})
        assert put(indexer, changed, 0).status_code == 200
        settings.replace_one({"_id": "map"}, earlier)
        await_condition(lambda: settings.find_one({"_id": "map"})["epoch"] == 1, "it is as it was")
        settings.delete_one({"_id": "map"})
        await_condition(lambda: settings.find_one({"_id": "map"}), "it is there again")
    await_condition(lambda: "event=map.went-back" in indexer.output(), "it is told")
    assert indexer.json("/v1/cluster/map") == changed


def test_an_indexer_with_an_empty_database_takes_the_highest_map_and_states_that_nodes_have(daemons, stamped, tmp_path):
    nodes = [daemons.node(f"n{place}", arguments=QUICK) for place in (1, 2)]
    cluster = nodes[0].json("/cluster/map")["cluster"]
    maps = [{"cluster": cluster, "epoch": epoch, "shards": 32, "replicas": 1, "min_replicas": 1, "indexers": [],
             "nodes": [{"id": node.name, "url": node.url, "host": node.name, "colo": "a", "weight": 100, "state": "in"} for node in nodes],
             "eras": [{"from": None, "owners": [[name] for _ in range(32)]}]} for epoch, name in ((5, "n1"), (7, "n2"))]
    nodes[0].put("/cluster/map", json.dumps(maps[0]))
    nodes[1].put("/cluster/map", json.dumps(maps[0]))
    nodes[1].wait_ready()
    nodes[0].ingest("old", stamped("20261101T0000Z", 20))
    # n1 has gone to sleep by the time of the newer map and of a run's state.
    nodes[0].kill()
    nodes[1].put("/cluster/map", json.dumps(maps[1]))
    told = {"incarnation": 1, "version": 3, "state": "ready"}
    assert nodes[1].put("/cluster/runs/old/20261101T0000Z", json.dumps(told)).status_code == 200
    nodes[0].start().wait_ready()
    indexer = daemons.indexer(nodes, arguments=["--lease", "2s"])
    await_condition(lambda: indexer.json("/v1/cluster/map") == maps[1], "it has the highest map")
    await_condition(lambda: nodes[0].json("/cluster/map") == maps[1], "who has an old map is told")
    indexer.await_messages("old", 20)
    await_condition(lambda: [(run["state"], run["version"]) for run in indexer.runs(source="old")] == [("ready", 3)], "and the highest state")
    await_condition(lambda: nodes[0].json("/cluster/runs/old/20261101T0000Z")["state"] == "ready", "and of the run's state")
    # An older database: what nodes know since then wins.
    indexer.stop()
    (tmp_path / "kept").write_bytes((tmp_path / "indexer.sqlite").read_bytes())
    indexer.start().wait_ready()
    assert put(indexer, {**maps[1], "epoch": 8}, 7).status_code == 200
    assert indexer.post("/v1/runs/old/20261101T0000Z/retire?grace=1h").status_code == 200
    await_condition(lambda: all(node.json("/cluster/runs/old/20261101T0000Z")["state"] == "retired" and node.json("/cluster/map")["epoch"] == 8
                                for node in nodes), "the nodes know")
    indexer.stop()
    (tmp_path / "indexer.sqlite").write_bytes((tmp_path / "kept").read_bytes())
    indexer.start().wait_ready()
    await_condition(lambda: indexer.json("/v1/cluster/map")["epoch"] == 8, "the newer map is back")
    await_condition(lambda: indexer.runs(source="old")[0]["state"] == "retired", "retired again")


def test_nodes_go_on_with_the_map_on_disk_when_indexer_and_database_are_down(daemons, stamped):
    cluster = daemons.cluster()
    cluster.indexer.kill()
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    for node in cluster.nodes:
        node.wait_ready()
        assert node.json("/cluster/map")["epoch"] == 1
    await_seen(cluster.nodes)
    answer = cluster.nodes[0].ingest("on", stamped("20261101T0000Z", 50))
    assert all(message["copies"] == 2 for message in answer["messages"])


def test_out_after_is_nothing_or_a_second_to_a_day(tmp_path):
    for value, code in (("500ms", 2), ("2d", 2), ("1h", 0), ("0", 0)):
        indexer = Indexer("check", tmp_path, [], arguments=["--out-after", value, "--check-config"]).start()
        assert indexer.process.wait(60) == code, indexer.output()
        indexer.process = None
