"""Bytes that are no longer what they were: never served as the message, and the other copy is found."""

import hashlib
import json
import os

import pytest
import requests

from processes import await_condition

SHARDS = 32


def large_message(number):
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + number.to_bytes(8, "big") + bytes(3 << 20)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


@pytest.fixture
def nodes(daemons):
    """Three nodes of one loop each; the first two own all shards. Nobody finds damage before it is asked for."""
    nodes = [daemons.node(name, arguments=["--loops", "1", "--scrub-rate", "0"]) for name in ("n1", "n2", "n3")]
    cluster_map = {
        "cluster": nodes[0].json("/cluster/map")["cluster"], "epoch": 1, "shards": SHARDS, "replicas": 2, "min_replicas": 2,
        "indexers": [],
        "nodes": [{"id": node.name, "url": node.url, "host": node.name, "colo": "a", "weight": 100, "state": "in"} for node in nodes],
        "eras": [{"from": None, "owners": [["n1", "n2"]] * SHARDS}],
    }
    for node in nodes:
        assert node.put("/cluster/map", json.dumps(cluster_map)).status_code == 200
    for node in nodes:
        node.wait_ready()  # whom another's cluster took in asks for the runs' states first
    return nodes


def damage(node, line, at):
    (location,) = (place for place in line["locations"] if place["url"].startswith(node.url))
    path = node.data / "runs" / location["url"].split("/data/")[1]
    with open(path, "r+b") as file:
        file.seek(location["offset"] + at)
        file.write(b"zzzz")


def test_a_file_that_lost_its_end_is_still_good_for_the_rest(daemons):
    node = daemons.node("n1", arguments=["--shards", "1", "--scrub-rate", "0"])
    messages = [large_message(number) for number in range(2)]
    lines = node.put("/ingest/cut/", b"".join(messages)).json()["messages"]
    node.put("/ingest/cut/", large_message(2))  # a batch of its own: only the last one can have been torn
    node.stop()
    url = lines[0]["locations"][0]["url"].removeprefix(node.url)
    size = len(messages[0]) + 1000
    os.truncate(node.data / "runs" / url.removeprefix("/data/"), size)
    node.start().wait_ready()
    headed = node.request("HEAD", url)  # what most clients begin with
    assert (headed.status_code, headed.headers["Content-Length"]) == (200, str(size))
    good = node.get(url, headers={"Range": f"bytes=0-{len(messages[0]) - 1}"})
    assert (good.status_code, good.content) == (206, messages[0])
    for headers in ({}, {"Range": f"bytes={len(messages[0])}-"}, {"Range": f"bytes=0-9,{size - 1}-"}):
        answer = node.get(url, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (410, "damaged")


@pytest.mark.parametrize("asked", [0, 2])  # who holds the damaged copy; who holds none
def test_a_large_message_that_is_damaged_is_cut_once_then_served_from_another_node(nodes, asked):
    message = large_message(1)
    line = nodes[0].put("/ingest/dam/", message).json()["messages"][0]
    damage(nodes[0], line, len(message) - 100)
    path = f"/sha256/{hashlib.sha256(message).hexdigest()}"
    with pytest.raises(requests.RequestException):  # its last piece is withheld
        nodes[asked].get(path)
    for headers, status, wanted in (({}, 200, message), ({"Range": "bytes=5-9"}, 206, message[5:10])):
        answer = nodes[asked].get(path, headers=headers)
        assert (answer.status_code, answer.content) == (status, wanted)
    # who holds it was told, and has marked it bad
    await_condition(lambda: nodes[0].metric("gribstore_corrupt_messages_total") == 1, "the copy is marked bad")
    (location,) = (place for place in line["locations"] if place["url"].startswith(nodes[0].url))
    answer = requests.get(location["url"], headers={"Range": f"bytes={location['offset']}-{location['offset'] + 9}"})
    assert (answer.status_code, answer.json()["code"]) == (410, "damaged")
