"""What the disk damages: found by scrub, readers and fsck, marked bad, never served, brought back from another owner."""

import hashlib
import json
import os
import random

import pytest
import requests

from processes import await_condition

SHARDS = 32
SCRUB_OFF = ["--scrub-rate", "0"]


def message(number, size=2000):
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + random.Random(number).randbytes(size - 41)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


def digest_of(data):
    return hashlib.sha256(data).hexdigest()


def metric(node, name):
    (line,) = (line for line in node.get("/metrics").text.splitlines() if line.startswith(name + " "))
    return float(line.split()[1])


def path_of(node, location):
    assert location["url"].startswith(node.url)
    return node.data / "runs" / location["url"].split("/data/")[1]


def here(node, line):
    """Where the message of a line lies on the node; None: it does not."""
    found = [place for place in line["locations"] if place["url"].startswith(node.url + "/")]
    return found[0] if found else None


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1 << at % 8]))


def read(location):
    last = location["offset"] + location["length"] - 1
    return requests.get(location["url"], headers={"Range": f"bytes={location['offset']}-{last}"}, timeout=30)


def scrub(node, **query):
    """A pass from its beginning to its end."""
    begun = node.post("/cluster/scrub", params=query)
    assert begun.status_code == 202
    assert begun.json()["running"]

    def ended():
        answer = node.json("/cluster/scrub")
        return None if answer["running"] else answer
    return await_condition(ended, f"{node.name} has read everything")


def put_all(node, source, count, first=0, size=2000):
    messages = [message(first + number, size) for number in range(count)]
    answer = node.put(f"/ingest/{source}/", b"".join(messages))
    assert answer.status_code == 201
    return messages, answer.json()["messages"]


@pytest.fixture
def nodes(daemons):
    """Three nodes; the first two own all shards."""
    nodes = [daemons.node(name, arguments=["--loops", "1", *SCRUB_OFF]) for name in ("n1", "n2", "n3")]
    cluster_map = {
        "cluster": nodes[0].json("/cluster/map")["cluster"], "epoch": 1, "shards": SHARDS, "replicas": 2, "min_replicas": 2,
        "indexers": [],
        "nodes": [{"id": node.name, "url": node.url, "host": node.name, "colo": "a", "weight": 100, "state": "in"} for node in nodes],
        "eras": [{"from": None, "owners": [["n1", "n2"]] * SHARDS}],
    }
    for node in nodes:
        assert node.put("/cluster/map", json.dumps(cluster_map)).status_code == 200
    return nodes


def healed(node, count):
    return await_condition(
        lambda: metric(node, "gribstore_repaired_messages_total") == count and node.json("/cluster/scrub")["missing"] == 0,
        f"{count} messages of {node.name} are good again")


def test_a_damaged_message_is_410_its_neighbours_are_served_and_a_put_stores_it_anew(daemons):
    node = daemons.node("n1", arguments=["--shards", "1", *SCRUB_OFF])
    messages, lines = put_all(node, "dam", 5)
    places = [line["locations"][0] for line in lines]
    flip(path_of(node, places[2]), places[2]["offset"] + 1000)
    answer = scrub(node)
    assert (answer["last"]["messages"], answer["last"]["findings"], answer["bad"], answer["missing"]) == (5, 1, 1, 1)
    (finding,) = answer["findings"]
    assert finding["digest"] == digest_of(messages[2])
    assert (finding["finding"], finding["offset"], finding["length"]) == ("damaged", places[2]["offset"], len(messages[2]))
    for number, place in enumerate(places):
        answer = read(place)
        if number == 2:
            assert (answer.status_code, answer.json()["code"]) == (410, "damaged")
            assert answer.headers["Cache-Control"] == "no-store"
        else:
            assert (answer.status_code, answer.content) == (206, messages[number])
    have = {"source": "dam", "base_time": "2020-01-02T03:00:00Z", "digests": [digest_of(data) for data in messages]}
    assert node.post("/have", json=have).json()["missing"] == [digest_of(messages[2])]
    assert node.get(f"/sha256/{digest_of(messages[2])}").status_code == 404
    (check,) = (check for check in node.json("/readyz")["checks"] if check["name"] == "messages")
    assert check["ok"] and check["detail"].startswith("1 damaged")  # told, and no reason to leave the node out
    again = node.put("/ingest/dam/", messages[2])
    assert again.status_code == 201
    (line,) = again.json()["messages"]
    assert line["new"] and line["locations"][0] != places[2]
    assert read(line["locations"][0]).content == messages[2]
    assert node.get(f"/sha256/{digest_of(messages[2])}").content == messages[2]
    assert read(places[2]).status_code == 410
    node.restart()
    assert node.get(f"/sha256/{digest_of(messages[2])}").content == messages[2]
    assert read(places[2]).status_code == 410


def test_scrub_brings_damaged_messages_back_from_another_owner(nodes):
    messages, lines = put_all(nodes[0], "heal", 60)
    random.Random(57).shuffle(lines)
    damaged = lines[:20]
    for line in damaged:
        place = here(nodes[0], line)
        flip(path_of(nodes[0], place), place["offset"] + 1500)
    answer = scrub(nodes[0])
    assert answer["last"]["findings"] == 20
    assert {finding["digest"] for finding in answer["findings"]} == {line["digest"] for line in damaged}
    healed(nodes[0], 20)
    bytes_of = {digest_of(data): data for data in messages}
    shards = [node.json("/cluster/shards/heal/20200102T0300Z") for node in nodes[:2]]
    assert shards[0] == shards[1]
    for line in lines:
        got = nodes[0].get(f"/sha256/{line['digest']}", headers={"Gribstore-Hop": "1"})
        assert (got.status_code, got.content) == (200, bytes_of[line["digest"]])
    assert scrub(nodes[0])["last"]["findings"] == 0
    # the stamp is the one it had
    again = nodes[0].put("/ingest/heal/", bytes_of[damaged[0]["digest"]]).json()["messages"][0]
    assert (again["new"], again["stored_at"]) == (False, damaged[0]["stored_at"])


def test_a_large_message_is_brought_back_too(nodes):
    data = message(1, size=20 << 20)
    (line,) = nodes[0].put("/ingest/large/", data).json()["messages"]
    place = here(nodes[1], line)
    flip(path_of(nodes[1], place), place["offset"] + (10 << 20))
    assert scrub(nodes[1], rate=1 << 30)["last"]["findings"] == 1
    healed(nodes[1], 1)
    got = nodes[1].get(f"/sha256/{line['digest']}", headers={"Gribstore-Hop": "1"})
    assert got.content == data


def test_what_was_damaged_while_the_other_owner_was_down_is_brought_back_when_it_is_up(nodes):
    _, lines = put_all(nodes[0], "late", 10)
    nodes[1].stop()
    nodes[2].stop()
    place = here(nodes[0], lines[4])
    flip(path_of(nodes[0], place), place["offset"])
    assert scrub(nodes[0])["missing"] == 1
    nodes[0].restart()  # its journal remembers
    await_condition(lambda: nodes[0].json("/cluster/scrub")["missing"] == 1, "it is looked for")
    nodes[1].start().wait_ready()
    healed(nodes[0], 1)


def test_a_message_that_is_nowhere_whole_stays_missing_and_is_never_served(nodes):
    _, lines = put_all(nodes[0], "lost", 4)
    for node in nodes[:2]:
        place = here(node, lines[1])
        flip(path_of(node, place), place["offset"] + 100)
    for node in nodes[:2]:
        scrub(node)
    for node in nodes:
        answer = node.get(f"/sha256/{lines[1]['digest']}")
        assert answer.status_code in (404, 410)
    assert [node.json("/cluster/scrub")["missing"] for node in nodes] == [1, 1, 0]


def test_locations_of_bad_copies_leave_the_index_and_come_back(daemons, grib):
    cluster = daemons.cluster(colos=("a", "a"))
    node = cluster.nodes[0]
    answer = node.put("/ingest/idx/", (grib.GRIB_DIR / min(grib.manifest())).read_bytes())
    assert answer.status_code == 201, answer.text
    lines = answer.json()["messages"]
    count = len({line["digest"] for line in lines})
    cluster.indexer.await_messages("idx", count, copies=2)
    line = lines[0]
    place = here(node, line)
    cluster.nodes[1].stop()  # nothing can be repaired for now
    flip(path_of(node, place), place["offset"] + place["length"] // 2)
    scrub(node)

    def locations():
        return [(at["url"], at["offset"]) for field in cluster.indexer.fields(source="idx", limit=10000)
                if field["digest"] == line["digest"] for at in field["locations"]]
    old = (place["url"], place["offset"])
    await_condition(lambda: old not in locations(), "the bad copy left the index")
    cluster.nodes[1].start().wait_ready()
    healed(node, 1)

    def back():
        found = [at for at in locations() if at[0].startswith(node.url)]
        return found and old not in found
    await_condition(back, "the good copy is in the index")


def test_a_truncated_file_and_a_lost_one_are_healed(nodes):
    _, lines = put_all(nodes[0], "cut", 40)
    places = [here(nodes[0], line) for line in lines]
    os.truncate(path_of(nodes[0], places[0]), 1)
    os.unlink(path_of(nodes[0], next(place for place in places if place["url"] != places[0]["url"])))
    bad = scrub(nodes[0])["bad"]
    assert bad >= 2
    healed(nodes[0], bad)
    for line in lines:
        assert nodes[0].get(f"/sha256/{line['digest']}", headers={"Gribstore-Hop": "1"}).status_code == 200
