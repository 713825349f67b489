"""What the disk damages: found by scrub, readers and fsck, marked bad, never served, brought back from another owner."""

import hashlib
import json
import os
import random
import re
import subprocess
import sys

import pytest
import requests

from processes import BIN, LEAK_FREE, ROOT, await_condition

sys.path.insert(0, str(ROOT / "tests/fault/drills"))

from shim import FAIL, Shim  # noqa: E402

SHARDS = 32
SCRUB_OFF = ["--scrub-rate", "0"]
SYNC_OFF = ["--sync-period", "0"]  # what comes back comes by repair
BITS = int(os.environ.get("GRIBSTORE_DAMAGE_BITS", "100"))  # flipped in one directory


def message(number, size=2000):
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + random.Random(number).randbytes(size - 41)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


def digest_of(data):
    return hashlib.sha256(data).hexdigest()


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
    return requests.get(location["url"], headers={"Range": f"bytes={location['offset']}-{last}"}, timeout=60)


def scrub(node, **query):
    """A pass from its beginning to its end."""
    begun = node.post("/cluster/scrub", params=query)
    assert begun.status_code == 202
    assert begun.json()["running"]

    def ended():
        answer = node.json("/cluster/scrub")
        return None if answer["running"] else answer
    return await_condition(ended, f"{node.name} has read everything")


def await_missing(node, count):
    """Who brings messages back hears of what a pass found a moment later."""
    await_condition(lambda: node.json("/cluster/scrub")["missing"] == count, f"{node.name} looks for {count} messages")


def put_all(node, source, count, first=0, size=2000):
    messages = [message(first + number, size) for number in range(count)]
    answer = node.put(f"/ingest/{source}/", b"".join(messages))
    assert answer.status_code == 201
    return messages, answer.json()["messages"]


@pytest.fixture
def nodes(daemons):
    """Three nodes; the first two own all shards."""
    nodes = [daemons.node(name, arguments=["--loops", "1", *SCRUB_OFF, *SYNC_OFF]) for name in ("n1", "n2", "n3")]
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


def healed(node, count):
    return await_condition(
        lambda: node.metric("gribstore_repaired_messages_total") == count and node.json("/cluster/scrub")["missing"] == 0,
        f"{count} messages of {node.name} are good again")


def test_a_damaged_message_is_410_its_neighbours_are_served_and_a_put_stores_it_anew(daemons):
    node = daemons.node("n1", arguments=["--shards", "1", *SCRUB_OFF])
    messages, lines = put_all(node, "dam", 5)
    places = [line["locations"][0] for line in lines]
    flip(path_of(node, places[2]), places[2]["offset"] + 1000)
    answer = scrub(node)
    assert (answer["last"]["messages"], answer["last"]["findings"], answer["bad"]) == (5, 1, 1)
    await_missing(node, 1)
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
    scrub(nodes[0])
    await_missing(nodes[0], 1)
    nodes[0].restart()  # its journal remembers
    await_missing(nodes[0], 1)
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
    for node, count in zip(nodes, (1, 1, 0)):
        await_missing(node, count)


def test_locations_of_bad_copies_leave_the_index_and_come_back(daemons, grib):
    cluster = daemons.cluster(colos=("a", "a"), node_arguments=SYNC_OFF)
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


def test_a_data_file_that_went_while_its_node_was_down_leaves_the_index_and_its_messages_come_back(daemons, grib):
    cluster = daemons.cluster(colos=("a", "a"), node_arguments=[*SYNC_OFF, *SCRUB_OFF])
    node, other = cluster.nodes
    answer = node.put("/ingest/gone/", (grib.GRIB_DIR / min(grib.manifest())).read_bytes())
    assert answer.status_code == 201, answer.text
    lines = answer.json()["messages"]
    count = len({line["digest"] for line in lines})
    cluster.indexer.await_messages("gone", count, copies=2)
    lost = here(node, lines[0])["url"]
    node.stop()
    os.unlink(path_of(node, here(node, lines[0])))
    other.stop()  # what is lost can't be fetched yet
    node.start().wait_ready()

    def urls():
        return {at["url"] for field in cluster.indexer.fields(source="gone", limit=10000) for at in field["locations"]}
    await_condition(lambda: lost not in urls(), "no place in the lost file is in the index")
    other.start().wait_ready()
    cluster.indexer.await_messages("gone", count, copies=2)
    assert lost not in urls()
    for line in lines:
        held = node.get(f"/sha256/{line['digest']}", headers={"Gribstore-Hop": "1"})
        assert held.status_code == 200 and hashlib.sha256(held.content).hexdigest() == line["digest"]


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


# --- storaged --fsck ---

def fsck(node, expected, *arguments):
    """Findings and totals of a node that is stopped."""
    done = subprocess.run([str(BIN / "storaged"), "--data", str(node.data), "--fsck", "--json", *arguments],
                          capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **LEAK_FREE})
    assert done.returncode == expected, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    totals = lines.pop()["totals"] if lines and "totals" in lines[-1] else None
    return lines, totals


def flip_bits(node, lines, count, seed):
    """Flip a bit at so many random places of data files; the digests of the messages they lie in."""
    chance = random.Random(seed)
    places = [(line["digest"], here(node, line)) for line in lines if here(node, line)]
    hit = set()
    for _ in range(count):
        digest, place = chance.choice(places)
        flip(path_of(node, place), place["offset"] + chance.randrange(place["length"]))
        hit.add(digest)
    return hit


def damaged_now(node, lines, bytes_of):
    """Bits may be flipped back: what is really damaged."""
    found = set()
    for line in lines:
        place = here(node, line)
        if place is None:
            continue
        with open(path_of(node, place), "rb") as file:
            file.seek(place["offset"])
            if file.read(place["length"]) != bytes_of[line["digest"]]:
                found.add(line["digest"])
    return found


def test_fsck_names_each_damaged_message_and_nothing_else_and_scrub_brings_them_back(nodes):
    messages, lines = put_all(nodes[0], "fsck", 4 * BITS, size=3000)
    bytes_of = {digest_of(data): data for data in messages}
    nodes[0].stop()
    assert fsck(nodes[0], 0) == ([], {"runs": 1, "files": 32, "messages": 4 * BITS, "bytes": 12000 * BITS, "findings": dict.fromkeys(
        ("damaged", "journal", "missing", "header", "stray", "tail", "bad", "dropped"), 0)})
    flip_bits(nodes[0], lines, BITS, seed=5)
    damaged = damaged_now(nodes[0], lines, bytes_of)
    assert len(damaged) > BITS / 2
    findings, totals = fsck(nodes[0], 7)
    assert {finding["digest"] for finding in findings} == damaged and len(findings) == len(damaged)
    assert all(finding["finding"] == "damaged" for finding in findings)
    by_digest = {line["digest"]: here(nodes[0], line) for line in lines}
    for finding in findings:
        place = by_digest[finding["digest"]]
        assert (finding["offset"], finding["length"]) == (place["offset"], place["length"])
        assert finding["run"] == "fsck/20200102T0300Z"
        assert place["url"].endswith("/" + finding["file"])
    assert totals["findings"]["damaged"] == len(damaged)
    nodes[0].start().wait_ready()
    assert scrub(nodes[0])["last"]["findings"] == len(damaged)
    healed(nodes[0], len(damaged))
    for digest, data in bytes_of.items():
        assert nodes[0].get(f"/sha256/{digest}", headers={"Gribstore-Hop": "1"}).content == data
    nodes[0].stop()
    assert fsck(nodes[0], 0)[0] == []  # healed is sound


def test_bits_flipped_under_a_running_node_are_found_and_healed_while_it_takes_more(nodes):
    messages, lines = put_all(nodes[0], "live", 200, size=3000)
    bytes_of = {digest_of(data): data for data in messages}
    flip_bits(nodes[0], lines, 40, seed=6)
    damaged = damaged_now(nodes[0], lines, bytes_of)
    begun = nodes[0].post("/cluster/scrub")
    assert begun.status_code == 202
    more, _ = put_all(nodes[0], "live", 100, first=1000)
    await_condition(lambda: not nodes[0].json("/cluster/scrub")["running"], "all is read")
    healed(nodes[0], len(damaged))
    for data in messages + more:
        answer = nodes[0].get(f"/sha256/{digest_of(data)}", headers={"Gribstore-Hop": "1"})
        assert (answer.status_code, answer.content) == (200, data)


def test_fsck_could_not_look(daemons, tmp_path):
    node = daemons.node("n1", arguments=SCRUB_OFF)
    assert node.put("/ingest/one/", message(1)).status_code == 201
    done = subprocess.run([str(BIN / "storaged"), "--data", str(node.data), "--fsck"], capture_output=True, text=True, timeout=60,
                          check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "another process" in done.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run([str(BIN / "storaged"), "--data", str(empty), "--fsck"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, list(empty.iterdir())) == (1, "", [])


def test_fsck_after_a_kill_calls_nothing_damage(daemons):
    node = daemons.node("n1", arguments=SCRUB_OFF)
    put_all(node, "kill", 50)
    node.kill()
    findings, totals = fsck(node, 0)
    assert (findings, totals["messages"]) == ([], 50)
    done = subprocess.run([str(BIN / "storaged"), "--data", str(node.data), "--fsck"], capture_output=True, text=True, timeout=60, check=True)
    assert re.fullmatch(r"1 runs, [0-9]+ data files, 50 messages, 100000 bytes: sound\n", done.stdout)
    place = node.start().wait_ready().put("/ingest/kill/", message(3)).json()["messages"][0]["locations"][0]
    node.stop()
    flip(path_of(node, place), place["offset"])
    done = subprocess.run([str(BIN / "storaged"), "--data", str(node.data), "--fsck"], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 7
    first, last = done.stdout.splitlines()
    assert first.startswith("damaged kill/20200102T0300Z ") and digest_of(message(3)) in first
    assert re.fullmatch(r"1 runs, [0-9]+ data files, 50 messages, 100000 bytes: 1 damaged", last)


def test_a_message_whose_record_can_not_be_read_is_not_said_to_be_nowhere(daemons):
    """404 would say that nobody has it: its bytes are here, and the next start finds them."""
    node = daemons.node(arguments=SCRUB_OFF)
    messages, lines = put_all(node, "rot", 3)
    journal = path_of(node, lines[1]["locations"][0]).parent / "journal"
    flip(journal, journal.read_bytes().index(bytes.fromhex(lines[1]["digest"])) + 40)
    answer = node.get(f"/sha256/{lines[1]['digest']}")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "record" in answer.json()["detail"]
    for place in (0, 2):
        assert node.get(f"/sha256/{lines[place]['digest']}").content == messages[place]
    assert node.get(f"/sha256/{'0' * 64}").status_code == 404


# --- a disk that answers EIO ---

@pytest.fixture
def shimmed(daemons, tmp_path):
    """Two owners of all shards, each on a disk that fails when told to."""
    library = BIN / "fault_shim.so"
    if not library.exists():
        pytest.skip(f"{library}: build the target gribstore_fault_shim")
    nodes = []
    for name in ("n1", "n2"):
        (tmp_path / name).mkdir()
        shim = Shim(library, tmp_path / name, tmp_path / f"shim-{name}")
        node = daemons.node(name, arguments=["--loops", "1", *SCRUB_OFF, *SYNC_OFF], environment=shim.environment(BIN / "storaged"))
        node.shim = shim
        nodes.append(node)
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


def bad_sector(node, place):
    """The bytes at a message's middle can't be read any more."""
    at = place["offset"] + place["length"] // 2
    return node.shim.rule(FAIL, "read", extent=(at, at + 1), name=place["url"].rsplit("/", 1)[1])


@pytest.mark.parametrize("size", [2000, 3 << 20])
def test_a_range_that_can_not_be_read_is_410_and_its_message_comes_from_the_other_owner(shimmed, size):
    node = shimmed[0]
    messages, lines = put_all(node, "eio", 6, size=size)
    place = here(node, lines[2])
    rule = bad_sector(node, place)
    whole = None
    try:
        answer = read(place)
        assert (answer.status_code, answer.json()["code"]) == (410, "damaged")
    except requests.RequestException as error:  # what had left already can't be taken back: cut, never other bytes
        whole = error
    assert size > 1 << 20 or whole is None
    assert rule.fired > 0
    healed(node, 1)
    answer = read(place)
    assert (answer.status_code, answer.json()["code"]) == (410, "damaged")
    for data, line in zip(messages, lines):
        got = node.get(f"/sha256/{line['digest']}", headers={"Gribstore-Hop": "1"})
        assert (got.status_code, got.content) == (200, data)
        if line is not lines[2]:
            assert read(here(node, line)).content == data
    assert node.metric("gribstore_corrupt_messages_total") == 1


def test_a_digest_that_can_not_be_read_here_is_served_from_the_other_owner(shimmed):
    node = shimmed[0]
    messages, lines = put_all(node, "eio", 3)
    rule = bad_sector(node, here(node, lines[1]))
    answer = node.get(f"/sha256/{lines[1]['digest']}")
    assert (answer.status_code, answer.content) == (200, messages[1])
    assert rule.fired > 0
    healed(node, 1)


def test_a_read_that_fails_once_condemns_nothing(shimmed):
    node = shimmed[0]
    _, lines = put_all(node, "once", 3)
    place = here(node, lines[1])
    at = place["offset"] + 5
    rule = node.shim.rule(FAIL, "read", extent=(at, at + 1), name=place["url"].rsplit("/", 1)[1], left=1)
    assert read(place).status_code == 410
    await_condition(lambda: node.json("/cluster/scrub")["suspects"] == 0, "it was looked at")
    assert scrub(node)["bad"] == 0  # a pass begins behind what is suspected
    assert rule.fired == 1
    assert read(place).status_code == 206


def test_what_was_purged_is_not_brought_back_into_the_run_that_came_after(nodes):
    _, lines = put_all(nodes[0], "again", 5)
    run = "/cluster/runs/again/20200102T0300Z"
    nodes[1].stop()  # it keeps the old one
    place = here(nodes[0], lines[0])
    flip(path_of(nodes[0], place), place["offset"])
    scrub(nodes[0])
    await_missing(nodes[0], 1)
    for state in ({"incarnation": 1, "version": 1, "state": "purged"}, {"incarnation": 2, "version": 0, "state": "filling"}):
        assert nodes[0].put(run, json.dumps(state)).status_code == 200
    nodes[1].start().wait_ready()
    await_condition(lambda: nodes[0].json("/cluster/scrub")["missing"] == 0, "it is given up")
    assert nodes[0].metric("gribstore_repaired_messages_total") == 0
    assert nodes[0].get(f"/sha256/{lines[0]['digest']}", headers={"Gribstore-Hop": "1"}).status_code == 404
