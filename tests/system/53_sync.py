"""Nodes catch up: what the others have of a node's shards, and it lacks, comes by itself: after an outage, onto an empty disk, with another map."""

import hashlib
import json
import random
import shutil

import pytest
import requests

from processes import await_condition

SHARDS = 32
RUN = "20200102T0300Z"
QUICK = ["--sync-period", "1s"]


def message(number, size=600):
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + random.Random(number).randbytes(size - 41)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


def digest_of(data):
    return hashlib.sha256(data).hexdigest()


def shard_of(data):
    return hashlib.sha256(data).digest()[0] >> 3


def make_map(nodes, cluster, epoch=1, replicas=2, min_replicas=1, owners=None):
    """Shard s lies on nodes s, s + 1, ... of the ring of owners."""
    ring = [node.name for node in owners or nodes]
    return {
        "cluster": cluster, "epoch": epoch, "shards": SHARDS, "replicas": replicas, "min_replicas": min_replicas, "indexers": [],
        "nodes": [{"id": node.name, "url": node.url, "host": node.name, "colo": "a", "weight": 100, "state": "in"} for node in nodes],
        "eras": [{"from": None, "owners": [[ring[(shard + copy) % len(ring)] for copy in range(replicas)] for shard in range(SHARDS)]}],
    }


def tell_map(nodes, cluster_map):
    for node in nodes:
        answer = node.put("/cluster/map", json.dumps(cluster_map))
        assert answer.status_code == 200, answer.text
    for node in nodes:
        node.wait_ready()  # whom another's cluster took in asks for the runs' states first


def owned(node, cluster_map, messages):
    owners = cluster_map["eras"][0]["owners"]
    return {digest_of(data) for data in messages if node.name in owners[shard_of(data)]}


def held(node, source):
    """Digests that the node lists; each is read from its own file."""
    found = {}
    for shard in range(SHARDS):
        answer = node.get(f"/cluster/shards/{source}/{RUN}?shard={shard}")
        if answer.status_code == 404:
            return {}
        for member in answer.json():
            found[member["digest"]] = (shard, member)
    return found


def check_bytes(node, source, found):
    for digest, (shard, member) in found.items():
        last = member["offset"] + member["length"] - 1
        answer = node.get(f"/data/{source}/{RUN}/{shard:04d}-{member['birth']}.grib", headers={"Range": f"bytes={member['offset']}-{last}"})
        assert answer.status_code == 206
        assert digest_of(answer.content) == digest


def await_held(node, source, wanted):
    await_condition(lambda: set(held(node, source)) >= wanted, f"{node.name} has its {len(wanted)} messages of {source}")
    found = held(node, source)
    check_bytes(node, source, {digest: found[digest] for digest in list(wanted)[:20]})
    return found


@pytest.fixture
def nodes(daemons):
    nodes = [daemons.node(f"n{place}", arguments=QUICK) for place in (1, 2, 3)]
    tell_map(nodes, make_map(nodes, nodes[0].json("/cluster/map")["cluster"]))
    return nodes


def the_map(nodes):
    return nodes[0].json("/cluster/map")


def put(node, source, messages):
    answer = node.put(f"/ingest/{source}/", b"".join(messages))
    assert answer.status_code == 201, answer.text
    return answer.json()["messages"]


def test_a_node_that_was_away_catches_up_with_the_stamps_that_others_have(nodes):
    before = [message(number) for number in range(100)]
    put(nodes[0], "away", before)
    nodes[2].kill()
    after = [message(1000 + number) for number in range(200)]
    lines = put(nodes[0], "away", after)
    nodes[2].start().wait_ready()
    found = await_held(nodes[2], "away", owned(nodes[2], the_map(nodes), before + after))
    stamps = {line["digest"]: line["stored_at"] for line in lines}
    assert {digest: found[digest][1]["stored_at"] for digest in stamps if digest in found} == {
        digest: stamp for digest, stamp in stamps.items() if digest in found}
    await_condition(lambda: nodes[2].metric("gribstore_synced_messages_total") >= len(owned(nodes[2], the_map(nodes), after)), "they are counted")


def test_an_empty_disk_is_filled_again_with_messages_of_every_size(daemons, nodes):
    messages = [message(number) for number in range(300)] + [message(7000 + number, 5 << 20) for number in range(6)]
    put(nodes[1], "empty", messages)
    cluster_map = the_map(nodes)
    nodes[0].stop()
    for entry in ("runs", "purged", "runs.log", "closed", "scrub.json"):
        path = nodes[0].data / entry
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    nodes[0].start().wait_ready()
    await_held(nodes[0], "empty", owned(nodes[0], cluster_map, messages))


def test_another_map_moves_what_a_node_owns_now_and_takes_nothing_away(daemons):
    nodes = [daemons.node(f"n{place}", arguments=QUICK) for place in (1, 2, 3)]
    cluster = nodes[0].json("/cluster/map")["cluster"]
    tell_map(nodes, make_map(nodes, cluster, owners=nodes[:2]))
    messages = [message(number) for number in range(300)]
    put(nodes[0], "grow", messages)
    assert held(nodes[2], "grow") == {}
    tell_map(nodes, make_map(nodes, cluster, epoch=2))
    await_held(nodes[2], "grow", owned(nodes[2], the_map(nodes), messages))
    for node in nodes[:2]:
        assert set(held(node, "grow")) == {digest_of(data) for data in messages}


def test_states_of_runs_that_were_slept_through_are_taken_over_before_bytes(nodes):
    put(nodes[0], "gone", [message(number) for number in range(100)])
    nodes[2].kill()
    for version, state in ((1, "ready"), (2, "retired")):
        for node in nodes[:2]:
            answer = node.put(f"/cluster/runs/gone/{RUN}", json.dumps({"incarnation": 1, "version": version, "state": state}))
            assert answer.status_code == 200, answer.text
    nodes[2].start().wait_ready()
    await_condition(lambda: nodes[2].json(f"/cluster/runs/gone/{RUN}")["state"] == "retired", "the state came with the look")


def test_bytes_that_do_not_hold_are_not_spread_and_their_holder_is_told(nodes):
    messages = [message(number) for number in range(150)]
    nodes[2].kill()
    put(nodes[0], "rot", messages)
    cluster_map = the_map(nodes)
    victim = next(data for data in messages if cluster_map["eras"][0]["owners"][shard_of(data)] == ["n2", "n3"])
    shard, member = held(nodes[1], "rot")[digest_of(victim)]
    path = nodes[1].data / "runs" / "rot" / RUN / f"{shard:04d}-{member['birth']}.grib"
    with open(path, "r+b") as file:
        file.seek(member["offset"] + 100)
        file.write(b"\xff\x00\xff\x00")
    nodes[0].stop()
    nodes[2].start().wait_ready()
    await_condition(lambda: nodes[1].json("/cluster/scrub")["bad"] >= 1, "the holder has found it bad")
    assert digest_of(victim) not in held(nodes[2], "rot")
    nodes[0].start().wait_ready()  # it took the message in for n3: from there it comes, onto both
    await_held(nodes[2], "rot", owned(nodes[2], cluster_map, messages))
    await_held(nodes[1], "rot", owned(nodes[1], cluster_map, messages))


def test_a_damaged_message_keeps_no_other_from_being_fetched(daemons):
    nodes = [daemons.node(name, arguments=["--shards", "1", "--scrub-rate", "0", *QUICK]) for name in ("n1", "n2")]
    messages = [message(number) for number in range(60)]
    place = put(nodes[0], "dam", messages)[30]["locations"][0]
    with open(nodes[0].data / "runs" / place["url"].split("/data/")[1], "r+b") as file:
        file.seek(place["offset"] + 500)
        file.write(bytes(40))
    assert nodes[0].post("/cluster/scrub").status_code == 202
    await_condition(lambda: nodes[0].json("/cluster/scrub")["bad"] == 1, "the damage is found")
    tell_map(nodes, {
        "cluster": nodes[0].json("/cluster/map")["cluster"], "epoch": 1, "shards": 1, "replicas": 2, "min_replicas": 2, "indexers": [],
        "nodes": [{"id": node.name, "url": node.url, "host": node.name, "colo": "a", "weight": 100, "state": "in"} for node in nodes],
        "eras": [{"from": None, "owners": [["n1", "n2"]]}],
    })

    def listed():
        answer = nodes[1].get(f"/cluster/shards/dam/{RUN}?shard=0")
        return {member["digest"] for member in answer.json()} if answer.status_code == 200 else set()
    whole = {digest_of(data) for number, data in enumerate(messages) if number != 30}
    await_condition(lambda: listed() == whole, "what lies around the damage is fetched")


def test_how_far_it_is_can_be_seen_and_the_rate_holds(daemons):
    nodes = [daemons.node("n1", arguments=QUICK), daemons.node("n2", arguments=[*QUICK, "--sync-rate", "100KiB"])]
    cluster = nodes[0].json("/cluster/map")["cluster"]
    tell_map(nodes, make_map(nodes, cluster, replicas=1, owners=nodes[:1]))
    messages = [message(number, 20000) for number in range(200)]
    put(nodes[0], "slow", messages)
    tell_map(nodes, make_map(nodes, cluster, epoch=2, replicas=2))

    def halfway():
        status = nodes[1].json("/cluster/sync")
        return status if status["running"] and status.get("bytes", 0) > 0 and status["bytes_left"] > 0 else None
    status = await_condition(halfway, "bytes are on their way")
    assert status["rate"] == 100 << 10
    assert status["run"] == f"slow/{RUN}"
    assert status["seconds_left"] > 0
    assert status["bytes"] + status["bytes_left"] <= 1.1 * 200 * 20000
    await_condition(lambda: nodes[1].metric("gribstore_sync_bytes_left") > 0, "the metric has it, too")
    nodes[1].stop()  # in the middle: it goes on where it was
    nodes[1].command += ["--sync-rate", "0"]
    nodes[1].start().wait_ready()
    await_held(nodes[1], "slow", {digest_of(data) for data in messages})

    def settled():
        (peer,) = nodes[1].json("/cluster/sync")["nodes"]
        return peer if peer["settled"] else None
    assert await_condition(settled, "the look has come to its end")["error"] is None


def test_a_node_told_not_to_looks_at_nobody(daemons):
    node = daemons.node(arguments=["--sync-period", "0"])
    assert node.json("/cluster/sync") == {"rate": 100 << 20, "period_seconds": 0}
    assert requests.get(f"{node.url}/cluster/sync?x=1", timeout=60).status_code == 400
