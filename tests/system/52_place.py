"""Messages of `gribstore put` get to their owners, whichever way they go: all copies, one stamp, also when a node or the client dies meanwhile."""

import hashlib
import json
import os
import random
import signal
import subprocess

import pytest

from processes import BIN, Client, Node, await_condition

SHARDS = 32
RUN = "20200102T0300Z"
WAYS = ("by-owner", "direct", "any")
ROUNDS = int(os.environ.get("GRIBSTORE_TEST_CLIENT_KILLS", "2"))


def message(number, size=400):
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + random.Random(number).randbytes(size - 41)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


def digest_of(data):
    return hashlib.sha256(data).hexdigest()


def make_map(nodes, cluster, epoch=1, turn=0):
    """Shard s lies on nodes s + turn, s + turn + 1 of the ring."""
    ring = [node.name for node in nodes]
    return {
        "cluster": cluster, "epoch": epoch, "shards": SHARDS, "replicas": 2, "min_replicas": 1, "indexers": [],
        "nodes": [{"id": node.name, "url": node.url, "host": node.name, "colo": "a", "weight": 100, "state": "in"} for node in nodes],
        "eras": [{"from": None, "owners": [[ring[(shard + turn + copy) % len(ring)] for copy in (0, 1)] for shard in range(SHARDS)]}],
    }


def tell_map(nodes, cluster_map):
    for node in nodes:
        answer = node.put("/cluster/map", json.dumps(cluster_map))
        assert answer.status_code in (200, 412), answer.text
    for node in nodes:
        node.wait_ready()  # whom another's cluster took in asks for the runs' states first


def begin(daemons, *arguments):
    nodes = [daemons.node(f"n{place}", arguments=arguments) for place in (1, 2, 3)]
    tell_map(nodes, make_map(nodes, nodes[0].json("/cluster/map")["cluster"]))
    return nodes


@pytest.fixture
def nodes(daemons):
    """They don't catch up with each other: what is where, the client has put there."""
    return begin(daemons, "--sync-period", "0")


@pytest.fixture
def healing(daemons):
    return begin(daemons, "--sync-period", "1s")


def owners_of(cluster_map, digest):
    return set(cluster_map["eras"][0]["owners"][int(digest[:2], 16) >> 3])


def held(node, source):
    """Digest -> stamp of all that the node has."""
    found = {}
    for shard in node.json(f"/cluster/shards/{source}/{RUN}") if node.get(f"/data/{source}/{RUN}/").status_code == 200 else []:
        if shard["count"]:
            members = node.json(f"/cluster/shards/{source}/{RUN}?shard={shard['shard']}")
            assert len({member["digest"] for member in members}) == len(members), "something is there twice"
            found.update((member["digest"], member["stored_at"]) for member in members)
    return found


def copies(nodes, source):
    """Digest -> {node: stamp}."""
    found = {}
    for node in nodes:
        for digest, stamp in held(node, source).items():
            found.setdefault(digest, {})[node.name] = stamp
    return found


def write(path, messages):
    path.write_bytes(b"".join(messages))
    return path


def put(nodes, way, source, *files, expected=0):
    done = Client(node=nodes[0]).run("put", "--source", source, "--way", way, "--json", *files, expected=expected)
    return json.loads(done.stdout)


def check_whole(nodes, source, digests, owners_only=True):
    """Each message on all of its owners, under one stamp; the client's own doing where owners_only: nowhere else."""
    cluster_map = nodes[0].json("/cluster/map")
    found = copies(nodes, source)
    assert set(found) == set(digests)
    for digest, places in found.items():
        assert owners_of(cluster_map, digest) <= set(places), digest
        assert not owners_only or owners_of(cluster_map, digest) == set(places), digest
        assert len(set(places.values())) == 1, (digest, places)


@pytest.mark.parametrize("way", WAYS)
def test_every_message_is_on_its_owners_and_nowhere_else(nodes, tmp_path, way):
    messages = [message(number, 41 + number % 3000) for number in range(700)] + [message(9000, 3 << 20)]
    told = put(nodes, way, "placed", write(tmp_path / "a.grib", messages))
    assert (told["stored"], told["known"], told["copies"], told["retries"]) == (701, 0, 2, 0)
    check_whole(nodes, "placed", map(digest_of, messages))
    again = put(nodes, way, "placed", tmp_path / "a.grib")
    assert (again["stored"], again["known"], again["bytes_pushed"]) == (0, 701, 0)
    # An owner that has nothing of some of them: they are sent, and have the stamp that the other copy has.
    more = [message(10000 + number) for number in range(60)]
    first = {digest_of(data): make_map(nodes, "")["eras"][0]["owners"][hashlib.sha256(data).digest()[0] >> 3][0] for data in more}
    for data in more:
        (node,) = (node for node in nodes if node.name == first[digest_of(data)])
        assert node.put("/replica/placed", data).status_code == 201
    told = put(nodes, way, "placed", write(tmp_path / "b.grib", more))
    assert (told["stored"], told["copies"]) == (60, 2)
    if way != "any":  # a node that does not own it, and gives it a stamp of its own, can't know
        check_whole(nodes, "placed", map(digest_of, messages + more))


@pytest.mark.parametrize("way", WAYS)
def test_an_owner_that_dies_meanwhile_costs_no_message_and_no_copy(healing, tmp_path, way):
    messages = [message(number, 2000) for number in range(2000)]
    file = write(tmp_path / "a.grib", messages)
    process = subprocess.Popen(
        [BIN / "gribstore", "put", "--source", "dies", "--way", way, "--json", "--body-size", "40KiB", file],
        env={**os.environ, "GRIBSTORE_NODE": healing[0].url}, stdout=subprocess.PIPE)
    await_condition(lambda: healing[1].metric("gribstore_put_messages_total") > 100, "some messages are there")
    healing[1].kill()
    told = json.loads(process.communicate(timeout=300)[0])
    assert process.returncode == 0 and told["stored"] + told["known"] == 2000 and told["copies"] == 2, told
    alive = copies([healing[0], healing[2]], "dies")
    healing[1].start().wait_ready()
    cluster_map = healing[0].json("/cluster/map")
    wanted = {digest_of(data) for data in messages}
    assert {digest for digest in wanted if digest not in alive} == set()
    await_condition(lambda: all(owners_of(cluster_map, digest) <= set(places) for digest, places in copies(healing, "dies").items()),
                    "each owner has its messages")
    assert set(copies(healing, "dies")) == wanted


def stopped_on_its_way(nodes, file):
    """A client that is stopped when it has put some of many messages, and their source. Where it was too fast for this process, another one."""
    for attempt in range(10):
        before = sum(node.metric("gribstore_put_messages_total") for node in nodes)
        source = f"moved{attempt}"
        process = subprocess.Popen(
            [BIN / "gribstore", "put", "--source", source, "--way", "direct", "--json", "--body-size", "2KiB", "--parallel", "2", file],
            env={**os.environ, "GRIBSTORE_NODE": nodes[0].url}, stdout=subprocess.PIPE)
        await_condition(lambda: sum(node.metric("gribstore_put_messages_total") for node in nodes) > before + 200, "it is on its way")  # noqa: B023
        process.send_signal(signal.SIGSTOP)
        if len(copies(nodes, source)) < 5000:
            return process, source
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=300)
    raise AssertionError("it could not be stopped on its way")


def test_a_newer_map_is_heard_of_and_followed(nodes, tmp_path):
    messages = [message(number, 100) for number in range(10000)]
    process, source = stopped_on_its_way(nodes, write(tmp_path / "a.grib", messages))
    kept_before = sum(node.metric('gribstore_copies_total{result="kept"}') for node in nodes)
    older = nodes[0].json("/cluster/map")
    newer = make_map(nodes, older["cluster"], epoch=2, turn=1)
    tell_map(nodes, newer)
    before = len(copies(nodes, source))
    process.send_signal(signal.SIGCONT)
    told = json.loads(process.communicate(timeout=300)[0])
    assert process.returncode == 0 and (told["stored"], told["copies"]) == (10000, 2), told
    found = copies(nodes, source)
    assert set(found) == {digest_of(data) for data in messages}
    assert [places for places in found.values() if len(places) < 2] == []
    assert [places for places in found.values() if len(set(places.values())) > 1] == []
    # What was sent later is where the newer map wants it, put there by the client itself: few were left to nodes.
    moved = sum(owners_of(newer, digest) == set(places) for digest, places in found.items())
    assert moved > (10000 - before) / 2
    assert sum(node.metric('gribstore_copies_total{result="kept"}') for node in nodes) - kept_before < (10000 - before) / 2


@pytest.mark.parametrize("way", ("by-owner", "direct"))
def test_a_client_that_is_killed_and_begins_again_leaves_whole_copies_with_one_stamp(nodes, tmp_path, way):
    chance = random.Random(way)
    everything = []
    for number in range(ROUNDS):
        messages = [message(100000 * (1 + number) + i, 1000) for i in range(800)]
        everything += messages
        file = write(tmp_path / f"{number}.grib", messages)
        before = sum(node.metric("gribstore_put_messages_total") for node in nodes)
        process = subprocess.Popen([BIN / "gribstore", "put", "--source", "killed", "--way", way, "--body-size", "20KiB", file],
                                   env={**os.environ, "GRIBSTORE_NODE": nodes[0].url}, stderr=subprocess.DEVNULL)
        enough = before + chance.randrange(1, 1500)
        await_condition(lambda: sum(node.metric("gribstore_put_messages_total") for node in nodes) >= enough, "it is on its way")  # noqa: B023
        process.kill()
        process.wait()
        told = put(nodes, way, "killed", file)
        assert told["stored"] + told["known"] == 800
    check_whole(nodes, "killed", map(digest_of, everything))


@pytest.mark.parametrize("way", WAYS)
def test_a_node_of_another_cluster_at_a_members_address_gets_nothing(daemons, nodes, tmp_path, way):
    nodes[2].kill()
    stranger = Node("stranger", tmp_path)
    for flag, value in (("--listen", nodes[2].listen), ("--url", nodes[2].url), ("--id", nodes[2].name)):
        stranger.command[stranger.command.index(flag) + 1] = value
    stranger.url = nodes[2].url
    daemons.begin(stranger)
    tell_map([stranger], {**make_map([nodes[2]], stranger.json("/cluster/map")["cluster"], epoch=1000), "replicas": 1,
                          "eras": [{"from": None, "owners": [["n3"]] * SHARDS}]})
    messages = [message(number) for number in range(200)]
    told = put(nodes, way, "ours", write(tmp_path / "a.grib", messages))
    assert (told["stored"], told["copies"]) == (200, 2)
    assert stranger.json("/cluster/runs")["runs"] == []
    assert set(copies(nodes[:2], "ours")) == set(map(digest_of, messages))


def test_a_put_goes_on_without_a_node_that_is_stopped_meanwhile(healing, tmp_path):
    """SIGSTOP: its kernel goes on to take bytes, and nothing ever comes back. All ways at once, as each has to wait for it."""
    messages = {way: [message(number, 10000) for number in range(300 * place, 300 * (1 + place))] for place, way in enumerate(WAYS)}
    puts = {way: subprocess.Popen(
        [BIN / "gribstore", "put", "--source", "stopped", "--way", way, "--json", "--body-size", "20KiB", write(tmp_path / way, messages[way])],
        env={**os.environ, "GRIBSTORE_NODE": healing[0].url}, stdout=subprocess.PIPE) for way in WAYS}
    await_condition(lambda: healing[1].metric("gribstore_put_messages_total") > 30, "some messages are there")
    healing[1].process.send_signal(signal.SIGSTOP)
    try:
        told = {way: json.loads(process.communicate(timeout=300)[0]) for way, process in puts.items()}
    finally:
        healing[1].process.send_signal(signal.SIGCONT)
    for way in WAYS:
        assert puts[way].returncode == 0, told[way]
        assert (told[way]["stored"] + told[way]["known"], told[way]["copies"]) == (300, 2), told[way]
    cluster_map = healing[0].json("/cluster/map")
    wanted = {digest_of(data) for way in WAYS for data in messages[way]}

    def are_whole():
        found = copies(healing, "stopped")
        return set(found) == wanted and all(owners_of(cluster_map, digest) <= set(places) for digest, places in found.items())

    await_condition(are_whole, "each owner has its messages")
