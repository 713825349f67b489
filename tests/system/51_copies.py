"""What counts as a copy: only what a node holds in the run's present incarnation, and takes messages for."""

import hashlib
import json

import pytest

SHARDS = 32
RUN = "20200102T0300Z"
CLUSTER_RUN = "/cluster/runs/{}/" + RUN


def small_message(number):
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + number.to_bytes(8, "big")
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


def digest(data):
    return hashlib.sha256(data).hexdigest()


def tell_map(nodes, owners):
    """All shards lie on the owners."""
    cluster_map = {
        "cluster": nodes[0].json("/cluster/map")["cluster"], "epoch": 1, "shards": SHARDS, "replicas": 2, "min_replicas": 2,
        "indexers": [],
        "nodes": [{"id": node.name, "url": node.url, "host": node.name, "colo": "a", "weight": 100, "state": "in"} for node in nodes],
        "eras": [{"from": None, "owners": [owners] * SHARDS}],
    }
    for node in nodes:
        assert node.put("/cluster/map", json.dumps(cluster_map)).status_code == 200
    for node in nodes:
        node.wait_ready()  # whom another's cluster took in asks for the runs' states first


@pytest.fixture
def pair(daemons):
    """Two nodes that both own all shards, and don't catch up with each other: what one lacks it lacks until a PUT brings it."""
    nodes = [daemons.node(name, arguments=["--sync-period", "0"]) for name in ("n1", "n2")]
    tell_map(nodes, ["n1", "n2"])
    return nodes


def tell(node, source, incarnation, version, state):
    answer = node.put(CLUSTER_RUN.format(source), json.dumps({"incarnation": incarnation, "version": version, "state": state}))
    assert answer.status_code == 200, answer.text


def held(node, source):
    answer = node.get(f"/data/{source}/{RUN}/")
    return answer.json()["messages"] if answer.status_code == 200 else 0


def test_what_a_node_holds_of_an_older_incarnation_is_no_copy(pair):
    first, second = pair
    message = small_message(1)
    assert first.put("/ingest/re/", message).status_code == 201
    # The run was purged and opened again while the second node slept, and the first one has the message anew.
    tell(first, "re", 1, 9, "purged")
    tell(first, "re", 2, 10, "filling")
    assert first.put("/replica/re", message, headers={"Gribstore-Incarnation": "2"}).status_code == 201
    answer = first.put("/ingest/re/", message)
    assert answer.status_code in (200, 201), answer.text
    assert answer.json()["messages"][0]["copies"] == 2
    tell(second, "re", 2, 10, "filling")
    assert [held(node, "re") for node in pair] == [1, 1]


def test_a_known_message_of_a_run_that_an_owner_knows_as_retired_is_refused(pair):
    first, second = pair
    message = small_message(2)
    assert first.put("/ingest/ret/", message).status_code == 201
    tell(second, "ret", 1, 5, "retired")
    answer = first.put("/ingest/ret/", message)
    assert (answer.status_code, answer.json()["code"]) == (410, "run-retired")


def test_a_known_message_finds_a_run_that_was_opened_again_elsewhere(pair):
    first, second = pair
    message = small_message(3)
    assert first.put("/ingest/ahead/", message).status_code == 201
    tell(second, "ahead", 1, 9, "purged")
    tell(second, "ahead", 2, 10, "filling")
    answer = first.put("/ingest/ahead/", message)
    assert answer.status_code == 201, answer.text
    assert answer.json()["messages"][0]["copies"] == 2
    assert first.json(CLUSTER_RUN.format("ahead"))["incarnation"] == 2
    assert [held(node, "ahead") for node in pair] == [1, 1]


def test_have_of_a_later_incarnation_knows_nothing(pair):
    message = small_message(4)
    assert pair[0].put("/ingest/have/", message).status_code == 201
    question = {"source": "have", "base_time": "2020-01-02T03:00:00Z", "digests": [digest(message)]}
    assert pair[0].post("/have", json=question, headers={"Gribstore-Incarnation": "1"}).json()["missing"] == []
    assert pair[0].post("/have", json=question, headers={"Gribstore-Incarnation": "2"}).json()["missing"] == question["digests"]
    tell(pair[0], "have", 3, 1, "filling")
    answer = pair[0].post("/have", json=question, headers={"Gribstore-Incarnation": "2"})
    assert (answer.status_code, answer.json()["code"]) == (409, "stale-run")


def test_owners_of_an_older_incarnation_count_as_lacking_it(pair):
    first, second = pair
    message = small_message(5)
    assert first.put("/ingest/all/", message).status_code == 201
    tell(first, "all", 1, 9, "purged")
    tell(first, "all", 2, 10, "filling")
    assert first.put("/replica/all", message, headers={"Gribstore-Incarnation": "2"}).status_code == 201
    question = {"source": "all", "base_time": "2020-01-02T03:00:00Z", "digests": [digest(message)]}
    assert first.post("/have?scope=cluster", json=question).json()["missing"] == question["digests"]


def test_an_incarnation_that_no_json_holds_is_refused(pair):
    answer = pair[0].put("/replica/inc", small_message(6), headers={"Gribstore-Incarnation": str(2**63)})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-value")


def test_a_message_has_one_stamp_however_often_and_wherever_it_is_sent(daemons):
    nodes = [daemons.node(name) for name in ("n1", "n2", "n3")]
    tell_map(nodes, ["n1", "n2"])
    messages = [small_message(100 + i) for i in range(5)] + [small_message(100)] * 5
    first = nodes[0].put("/ingest/stamp/", b"".join(messages)).json()["messages"]
    stamps = {line["digest"]: line["stored_at"] for line in first[:5]}
    assert len(set(stamps.values())) == 5
    for node in nodes:  # the third one owns nothing
        for line in node.put("/ingest/stamp/", b"".join(messages)).json()["messages"]:
            assert line["stored_at"] == stamps[line["digest"]]
    for node in nodes[:2]:
        for shard in range(SHARDS):
            for member in node.json(f"/cluster/shards/stamp/{RUN}?shard={shard}"):
                assert member["stored_at"] == stamps[member["digest"]]


def test_a_node_alone_answers_with_the_stamp_that_it_keeps(node):
    first = node.put("/ingest/one/", small_message(7)).json()["messages"][0]
    again = node.put("/ingest/one/", small_message(7)).json()["messages"][0]
    assert again["stored_at"] == first["stored_at"]


def test_the_smallest_stamp_travels_like_any_other(pair):
    first, second = pair
    assert first.put("/replica/old", small_message(8), headers={"Gribstore-Stored-At": "1"}).status_code == 201
    line = first.put("/ingest/old/", small_message(8)).json()["messages"][0]
    assert (line["copies"], line["stored_at"]) == (2, 1)
    assert held(second, "old") == 1


def test_data_whose_journal_was_lost_is_not_taken_into_another_cluster(node):
    node.put("/ingest/lost/", b"".join(small_message(i) for i in range(20)))
    node.put("/ingest/lost/", small_message(20))
    node.stop()
    journal = node.data / "runs" / "lost" / RUN / "journal"
    damaged = bytearray(journal.read_bytes())
    damaged[64 * 3] ^= 0xFF  # a record that is not of the last batch
    journal.write_bytes(damaged)
    node.start().wait_ready()
    assert held(node, "lost") == 0  # adopted: read again from the data files, and not confirmed yet
    theirs = {**node.json("/cluster/map"), "cluster": "0123456789abcdef0123456789abcdef", "epoch": 1}
    answer = node.put("/cluster/map", json.dumps(theirs))
    assert (answer.status_code, answer.json()["code"]) == (409, "other-cluster")
