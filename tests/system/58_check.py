"""gribstore check: what differs between index and nodes is named, and nothing else; --repair mends it; a node that is down is no reason to say anything of it."""

import hashlib
import json
import shutil
import sqlite3
import threading
import time

import pytest

from conftest import Daemons
from gribfile import frames
from processes import Client, Cluster, await_condition, await_seen, stamp

BASE = "20261101T0000Z"
RUN = f"check/{BASE}"
COUNT = 60
# Whatever is pulled is pulled because it was asked for.
NODE = ["--sync-period", "1h"]
QUICK = ["--settle", "300ms", "--wait", "2min"]


class Checked(Cluster):
    def check(self, *arguments, expected=0):
        """The report; with what was found as {(finding, node): count}, notes apart."""
        done = self.client.run("check", "--json", *QUICK, *arguments, expected=expected)
        report = json.loads(done.stdout)
        report["found"] = {(finding["finding"], finding["node"]): finding["count"]
                           for finding in report["findings"] if finding["weight"] != "note"}
        assert report["clean"] == (expected == 0)
        return report

    def change(self, statement, *values):
        """In the index, behind its back."""
        with sqlite3.connect(self.indexer.catalog.removeprefix("sqlite:"), timeout=60) as database:
            changed = database.execute(statement, values).rowcount
        database.close()
        return changed

    def fields(self):
        return self.indexer.fields(source="check", limit=1000)

    def named(self, node):
        return sum(place["node"] == node.name for field in self.fields() for place in field["locations"])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Three nodes with COUNT messages in two copies each. Every test leaves them whole."""
    folder = tmp_path_factory.mktemp("check")
    daemons = Daemons(folder)
    nodes = [daemons.node(f"n{place}", arguments=NODE) for place in (1, 2, 3)]
    found = Checked(nodes, daemons.indexer(nodes, ready=False, arguments=["--lease", "1s"])).init()
    found.indexer.wait_ready()
    found.stamped = lambda count, name: stamp(folder / f"{name}.grib", BASE, count).read_bytes()
    nodes[0].ingest("check", found.stamped(COUNT, "all"))
    found.indexer.await_messages("check", COUNT, copies=2)
    yield found
    daemons.stop()


def test_a_cluster_that_is_whole_is_clean_while_it_is_written_to(world):
    messages = list(frames(world.stamped(300, "busy")))
    ended = threading.Event()

    def write():
        for place in range(0, len(messages), 5):
            world.nodes[place % 3].ingest("busy", b"".join(messages[place:place + 5]))
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        while True:
            last = ended.is_set()
            report = world.check("--settle", "2s")
            assert report["found"] == {} and report["nodes_listed"] == report["nodes"] == 3
            if last:
                break
    finally:
        thread.join()
    world.indexer.await_messages("busy", 300, copies=2)
    report = world.check()
    assert (report["runs"], report["copies"], report["locations"]) == (2, 2 * (COUNT + 300), 2 * (COUNT + 300))


def test_documents_that_were_removed_are_unindexed_and_come_back(world):
    before = {node.name: world.named(node) for node in world.nodes}
    assert world.change("DELETE FROM fields WHERE rowid IN (SELECT rowid FROM fields WHERE source = 'check' LIMIT 7)") == 7
    lacks = {("unindexed", node.name): before[node.name] - world.named(node) for node in world.nodes}
    report = world.check(expected=3)
    assert report["found"] == {key: count for key, count in lacks.items() if count > 0}
    assert all(finding["run"] == RUN and finding["examples"] for finding in report["findings"])
    report = world.check("--repair")
    assert report["mended"] == len([count for count in lacks.values() if count > 0])
    assert {(action["action"], action["error"]) for action in report["actions"]} == {("reread", None)}
    assert {node.name: world.named(node) for node in world.nodes} == before


def falsify(world, change):
    """One document's places become what change() makes of them; its digest and node of its first place."""
    field = world.fields()[0]
    places = [dict(place) for place in field["locations"]]
    node = places[0]["node"]
    change(places)
    assert world.change("UPDATE fields SET doc = json_set(doc, '$.locations', json(?)) WHERE digest = ? AND source = 'check'",
                        json.dumps(places), field["digest"]) == 1
    return field["digest"], node


def test_a_place_that_is_another_is_misplaced(world):
    def move(places):
        places[0]["offset"] += 1

    digest, node = falsify(world, move)
    report = world.check("--run", RUN, expected=3)
    assert report["found"] == {("misplaced", node): 1} and report["findings"][0]["examples"] == [digest]
    world.check("--repair")
    world.check()


def test_a_place_on_a_node_that_does_not_hold_it_is_dangling(world):
    other = []

    def add(places):
        other.append(({node.name for node in world.nodes} - {place["node"] for place in places}).pop())
        node, = (node for node in world.nodes if node.name == other[0])
        file = f"{int(digest_shard(places), 10):04d}-00000000000000aa.grib"
        places.append({"url": f"{node.url}/data/{RUN}/{file}", "offset": 0, "length": places[0]["length"], "node": node.name, "file": file})

    def digest_shard(places):
        return places[0]["file"].split("-")[0]

    falsify(world, add)
    report = world.check("--source", "check", expected=3)
    assert report["found"] == {("dangling", other[0]): 1}
    world.check("--repair")
    world.check()


def test_a_message_that_nobody_holds_is_lost_and_stays_so_in_the_report(world):
    field = world.fields()[0]
    digest = hashlib.sha256(b"never stored").hexdigest()
    nodes = {place["node"] for place in field["locations"]}
    assert world.change("UPDATE fields SET doc = json_set(doc, '$.digest', ?), digest = ? WHERE digest = ? AND source = 'check'",
                        digest, digest, field["digest"]) == 1
    report = world.check(expected=7)
    expected = {("lost", None): 1}
    for node in nodes:
        expected[("dangling", node)] = expected[("unindexed", node)] = 1
    assert report["found"] == expected
    report = world.check("--repair", expected=7)
    assert report["found"] == {("lost", None): 1} and report["findings"][0]["examples"] == [digest]
    assert world.check()["found"] == {}


def test_what_one_owner_lacks_is_a_missing_copy_and_is_pulled(world):
    message = list(frames(world.stamped(COUNT + 1, "one more")))[COUNT]
    owners = world.nodes[0].json("/cluster/map")["eras"][0]["owners"][hashlib.sha256(message).digest()[0] >> 3]
    holder, lacking = owners
    node, = (node for node in world.nodes if node.name == holder)
    hour_ago = int((time.time() - 3600) * 1e6)  # not so young that its copies may be on their way
    assert node.put("/replica/check", message, headers={"Gribstore-Stored-At": str(hour_ago)}).status_code == 201
    world.indexer.await_messages("check", COUNT + 1)
    report = world.check(expected=3)
    assert report["found"] == {("missing-copy", lacking): 1, ("under-replicated", None): 1}
    report = world.check("--repair")
    assert {action["action"] for action in report["actions"]} == {"sync"} and report["mended"] == 2
    world.indexer.await_messages("check", COUNT + 1, copies=2)


def test_a_node_that_is_down_is_named_and_nothing_is_said_of_it(world):
    before = world.named(world.nodes[2])
    world.nodes[2].kill()
    for arguments in ((), ("--repair",)):
        report = world.check(*arguments, expected=5)
        assert report["found"] == {("not-listed", "n3"): 0} and report["actions"] == []
        assert report["nodes_listed"] == 2
    assert world.named(world.nodes[2]) == before > 0
    world.nodes[2].start().wait_ready()
    await_seen(world.nodes)
    world.check()


def test_an_empty_disk_lacks_all_that_it_owns(world):
    node = world.nodes[1]
    held = world.named(node)
    cluster_map = node.json("/cluster/map")
    node.stop()
    shutil.rmtree(node.data)
    node.data.mkdir()
    node.command[node.command.index("1h")] = "0s"
    node.start().wait_ready()
    assert node.put("/cluster/map", json.dumps(cluster_map)).status_code in (200, 412)
    await_condition(lambda: node.json("/cluster/map")["cluster"] == cluster_map["cluster"], "it is of the cluster again")
    await_condition(lambda: world.named(node) == 0, "the index has seen that it is empty")
    report = world.check("--source", "check", expected=3)
    assert report["found"] == {("missing-copy", node.name): held, ("under-replicated", None): held}
    # It asks nobody: that is said, and the difference stays.
    report = world.check("--source", "check", "--repair", "--wait", "1s", expected=3)
    assert any("sync-period" in (action["error"] or "") for action in report["actions"])
    node.stop()
    node.command[node.command.index("0s")] = "1h"
    node.start().wait_ready()
    await_seen(world.nodes)
    world.check("--repair")
    assert world.named(node) == held


def test_what_is_damaged_wherever_it_lies_is_lost_until_it_is_put_again(world):
    message = bytearray(next(frames(world.stamped(1, "damaged"))))
    message[-5] ^= 0x55  # values that no other run holds: a copy there would be as good
    message = bytes(message)
    digest = hashlib.sha256(message).hexdigest()
    world.nodes[0].ingest("bad", message)
    world.indexer.await_messages("bad", 1, copies=2)
    field, = world.indexer.fields(source="bad")
    holders = {node.name: node for node in world.nodes if node.name in {place["node"] for place in field["locations"]}}
    for place in field["locations"]:
        with open(holders[place["node"]].data / "runs" / "bad" / BASE / place["file"], "r+b") as file:
            file.seek(place["offset"] + len(message) - 6)
            file.write(bytes([message[-6] ^ 0xff]))
    for node in holders.values():
        assert node.post("/cluster/scrub").status_code == 202
    for node in holders.values():
        await_condition(lambda node=node: node.json("/cluster/scrub")["missing"] == 1, f"{node.name} has found it")
    await_condition(lambda: world.indexer.fields(source="bad") == [], "the index has read that")
    report = world.check("--source", "bad", expected=7)
    assert report["found"] == {("lost", None): 1, **{("damaged", name): 1 for name in holders}}
    assert report["findings"][0]["examples"] == [digest]
    world.nodes[0].ingest("bad", message)
    await_condition(lambda: all(node.json("/cluster/scrub")["missing"] == 0 for node in holders.values()), "it is there again")
    world.indexer.await_messages("bad", 1, copies=2)
    world.check()


def test_another_map_and_another_state_are_followed_and_then_all_is_clean(world):
    before = world.indexer.json("/v1/cluster/map")
    run, = world.indexer.runs(source="check")
    ring = ["n1", "n2", "n3"]
    owners = [[ring[(ring.index(shard[0]) + 1) % 3], shard[0]] for shard in before["eras"][0]["owners"]]
    after = {**before, "epoch": before["epoch"] + 1, "eras": [{**before["eras"][0], "owners": owners}]}
    assert world.indexer.put("/v1/cluster/map", json.dumps(after), headers={"If-Match": str(before["epoch"])}).status_code == 200
    told = {"incarnation": run["incarnation"], "version": run["version"] + 5, "state": "ready"}
    assert world.nodes[0].put(f"/cluster/runs/{RUN}", json.dumps(told)).status_code == 200
    report = world.check("--repair")
    assert report["epoch"] == after["epoch"]
    assert {finding["finding"] for finding in report["findings"]} <= {"surplus"}
    await_condition(lambda: world.indexer.json(f"/v1/runs/{RUN}")["state"] == "ready", "the index has the state")
    await_condition(lambda: all(node.json(f"/cluster/runs/{RUN}")["state"] == "ready" for node in world.nodes), "every node has it")


def test_what_is_asked_wrongly_is_refused(world):
    for arguments in (["x"], ["--run", "check"], ["--source", "No such"]):
        world.client.run("check", *arguments, expected=2)
    Client(world.indexer, world.nodes[0]).run("check", "--run", "none/20200101T0000Z", expected=4)


def reissued(message, number):
    """The same field with other values: its last bytes before the trailer."""
    return message[:-8] + number.to_bytes(4, "big") + message[-4:]


def test_more_issues_of_a_field_than_the_index_has_room_for_are_a_note(world):
    message = next(frames(world.stamped(1, "often")))
    issues = [reissued(message, number) for number in range(66)]
    for issue in issues:
        world.nodes[0].ingest("often", issue)
    newest = hashlib.sha256(issues[-1]).hexdigest()
    await_condition(lambda: [(field["digest"], len(field["older"])) for field in world.indexer.fields(source="often")] == [(newest, 63)],
                    "the index has the newest 64")
    report = world.check()  # clean: there is nothing to mend
    assert report["found"] == {}
    told = [finding for finding in report["findings"] if finding["finding"] == "superseded"]
    assert sum(finding["count"] for finding in told) == 2 * 2
    assert {name for finding in told for name in finding["examples"]} == {hashlib.sha256(issue).hexdigest() for issue in issues[:2]}


@pytest.fixture
def leaving(daemons, stamped):
    """Three nodes; n3, which is down, has copies of many messages, and one that nobody else has."""
    nodes = [daemons.node(f"n{place}", arguments=NODE) for place in (1, 2, 3)]
    cluster = Checked(nodes, daemons.indexer(nodes, ready=False, arguments=["--lease", "1s"])).init()
    cluster.indexer.wait_ready()
    messages = list(frames(stamped(BASE, COUNT + 1)))
    assert nodes[0].put("/ingest/check/", b"".join(messages[:-1])).status_code == 201
    cluster.lonely = messages[-1]
    assert nodes[2].put("/replica/check", cluster.lonely).status_code == 201
    await_condition(lambda: sum(len(field["locations"]) for field in cluster.fields()) == 2 * COUNT + 1, "all copies are in the index")
    nodes[2].kill()
    return cluster


def without(cluster, *, state):
    """n3 owns nothing any more: it is out, or (None) in the map no more."""
    cluster_map = cluster.indexer.json("/v1/cluster/map")
    others = {"n1": "n2", "n2": "n1"}
    for era in cluster_map["eras"]:
        for owners in era["owners"]:
            if "n3" in owners:
                owners[owners.index("n3")] = others[next(name for name in owners if name != "n3")]
    for node in [*cluster_map["nodes"]]:
        if node["id"] == "n3" and state is None:
            cluster_map["nodes"].remove(node)
        elif node["id"] == "n3":
            node["state"] = state
    cluster_map["epoch"] += 1
    answer = cluster.indexer.put("/v1/cluster/map", json=cluster_map, headers={"If-Match": str(cluster_map["epoch"] - 1)})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("state", ["out", None], ids=["out", "removed"])
def test_of_a_node_that_left_the_index_keeps_what_it_alone_had_and_check_says_it_is_lost(leaving, state):
    name = hashlib.sha256(leaving.lonely).hexdigest()
    without(leaving, state=state)
    await_condition(lambda: leaving.named(leaving.nodes[2]) == 1, "all else that was there is forgotten")
    assert [field["digest"] for field in leaving.fields() for place in field["locations"] if place["node"] == "n3"] == [name]
    assert len(leaving.fields()) == COUNT + 1
    leaving.indexer.sweep()
    assert leaving.indexer.json("/v1/status")["sweep"]["kept"] == 1
    report = leaving.check("--repair", expected=7)  # nothing brings it back, and no sweep may take it away
    assert report["found"] == {("lost", None): 1} and report["findings"][0]["examples"] == [name]
    assert leaving.named(leaving.nodes[2]) == 1
    assert "named on nodes alone that are no members: 1" in leaving.client.run("status").stdout.decode()
    leaving.nodes[0].ingest("check", leaving.lonely)  # put again
    leaving.indexer.await_messages("check", COUNT + 1, copies=2)
    leaving.check("--repair")
    assert leaving.named(leaving.nodes[2]) == 0
    leaving.check()
