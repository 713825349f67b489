"""gribstore mirror: another cluster's runs, whole, with the same current issues, whatever happens on the way."""

import hashlib
import json
import os
import subprocess

import pytest

from conftest import Daemons
from gribfile import frames
from processes import BIN, Client, Cluster, await_condition, await_seen, stamp

BASE = "20261101T0000Z"
COUNT = 40
LONG = 800  # more than a window
QUICK = ["--wait", "2min"]


def cluster_of(folder, name, count):
    """Nodes that look at each other at once, and an indexer."""
    daemons = Daemons(folder / name)
    daemons.folder.mkdir()
    nodes = [daemons.node(f"{name}{place}", arguments=["--sync-period", "1s"]) for place in range(count)]
    found = Cluster(nodes, daemons.indexer(nodes, ready=False, arguments=["--lease", "1s", "--grace", "0s"])).init()
    found.indexer.wait_ready()
    found.daemons = daemons
    return found


class World:
    def __init__(self, folder):
        self.folder = folder
        self.there = cluster_of(folder, "there", 3)
        self.here = cluster_of(folder, "here", 2)

    def stamped(self, count, *arguments):
        return stamp(self.folder / "stamped.grib", BASE, count, *arguments).read_bytes()

    def mirror(self, *arguments, expected=0, retry="20s"):
        """What came of each run, by its name."""
        done = Client(self.here.indexer, self.here.nodes[0]).run(
            "mirror", "--from", self.there.indexer.url, "--json", "--retry", retry, *QUICK, *arguments, expected=expected)
        return {run["run"]: run for run in map(json.loads, done.stdout.splitlines())}

    def put(self, source, messages, count=None):
        """There, on one node after another; until the index has them, twice each."""
        for place, message in enumerate(messages):
            self.there.nodes[place % 3].ingest(source, message)
        self.await_indexed(source, count or len(messages))

    def await_indexed(self, source, count):
        path = f"/v1/runs/{source}/{BASE}/locations"

        def whole():
            answer = self.there.indexer.get(path)
            lines = [json.loads(line) for line in answer.text.splitlines()] if answer.status_code == 200 else []
            return len({line["digest"] for line in lines[:-1]}) == count and len({(line["digest"], line["node"]) for line in lines[:-1]}) == 2 * count
        await_condition(whole, f"the index there has {count} messages of {source} in two copies")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    found = World(tmp_path_factory.mktemp("mirror"))
    yield found
    found.here.daemons.stop()
    found.there.daemons.stop()


def fingerprint(cluster, source):
    run = cluster.indexer.json(f"/v1/runs/{source}/{BASE}?fingerprint=1")
    assert run["nodes"]["equal"]
    return run["fingerprint"], run["state"]


def current(cluster, source):
    """Each field's issues: digest and stamp, the current one first."""
    return {field["id"][-32:]: [(issue["digest"], issue["stored_at"]) for issue in [field, *field["older"]]]
            for field in cluster.indexer.fields(source=source, limit=1000)}


def test_a_run_comes_whole_and_its_state_follows(world):
    world.put("plain", [world.stamped(COUNT)], COUNT)
    report = world.mirror("--dry-run")
    assert report[f"plain/{BASE}"]["result"] == "lacks" and report[f"plain/{BASE}"]["lacking"] == COUNT
    assert world.here.indexer.runs() == []
    run = world.mirror()[f"plain/{BASE}"]
    assert (run["result"], run["copied"], run["state_here"]) == ("equal", COUNT, "filling")
    assert world.there.indexer.post(f"/v1/runs/plain/{BASE}/ready").status_code == 200
    run = world.mirror("--source", "plain")[f"plain/{BASE}"]
    assert (run["result"], run["copied"], run["state_here"]) == ("equal", 0, "ready")
    assert fingerprint(world.here, "plain") == fingerprint(world.there, "plain")
    assert current(world.here, "plain") == current(world.there, "plain")


def reissued(messages, number):
    """The same fields, other values."""
    for message in messages:
        changed = bytearray(message)
        changed[-5] ^= number
        changed[-6] ^= number
        yield bytes(changed)


def test_issues_keep_their_order_also_where_one_is_here_already(world):
    first = list(frames(world.stamped(30)))
    second, third = list(reissued(first, 1)), list(reissued(first, 2))
    world.put("issues", [b"".join(first)], 30)
    world.mirror("--source", "issues")
    world.put("issues", [b"".join(second)], 60)
    world.put("issues", [b"".join(third[:10])], 70)
    run = world.mirror("--source", "issues")[f"issues/{BASE}"]
    assert (run["result"], run["copied"], run["other_current"]) == ("equal", 40, 0)
    assert current(world.here, "issues") == current(world.there, "issues")
    assert fingerprint(world.here, "issues") == fingerprint(world.there, "issues")
    # Put here by somebody else, later: the same message, and another issue is the current one here.
    world.here.nodes[0].ingest("issues", b"".join(third[10:12]))
    world.put("issues", [b"".join(third[10:12])], 72)
    world.put("issues", [b"".join(reissued(first[10:11], 3))], 73)
    run = world.mirror("--source", "issues")[f"issues/{BASE}"]
    assert run["result"] == "equal"
    # What is here and not there is told, and stays.
    world.here.nodes[0].ingest("issues", b"".join(reissued(first[:1], 4)))
    world.here.indexer.await_messages("issues", 74, copies=2)
    run = world.mirror("--source", "issues", expected=3)[f"issues/{BASE}"]
    assert (run["result"], run["only_here"]) == ("differs", 1)


def test_an_order_that_can_not_be_met_is_told(world):
    older, newer = list(frames(world.stamped(1)))[0], list(reissued(frames(world.stamped(1)), 9))[0]
    world.put("order", [older, newer], 2)
    # The older one comes here by itself, later than the newer one came there.
    world.here.nodes[0].ingest("order", older)
    world.here.indexer.await_messages("order", 1, copies=2)
    run = world.mirror("--source", "order", expected=3)[f"order/{BASE}"]
    assert (run["result"], run["only_here"], run["other_current"]) == ("differs", 0, 2)
    assert run["fingerprint_here"] == run["fingerprint_there"] and "stamps" in run["detail"]


def test_messages_that_do_not_decode_come_too(world):
    message = bytearray(next(frames(world.stamped(1))))
    assert message[7] == 2
    at = 16
    while message[at + 4] != 4:
        at += int.from_bytes(message[at:at + 4], "big")
    message[at + 7:at + 9] = b"\xfe\xfe"  # a product definition template that nobody knows
    world.put("odd", [bytes(message)], 1)
    await_condition(lambda: world.there.indexer.json(f"/v1/runs/odd/{BASE}")["quarantined"] == 1, "it is in quarantine there")
    run = world.mirror("--source", "odd")[f"odd/{BASE}"]
    assert (run["result"], run["copied"]) == ("equal", 1)
    await_condition(lambda: world.here.indexer.json(f"/v1/runs/odd/{BASE}")["quarantined"] == 1, "and here")


def test_it_goes_on_where_it_was_killed_and_any_one_holder_is_enough(world):
    messages = list(reissued(frames(world.stamped(LONG)), 5))
    world.put("long", [b"".join(messages)], LONG)
    command = [str(BIN / "gribstore"), "mirror", "--from", world.there.indexer.url, "--source", "long", "--json"]
    environment = {**os.environ, "GRIBSTORE_INDEXER": world.here.indexer.url, "GRIBSTORE_NODE": world.here.nodes[0].url}
    before = sum(node.metric("gribstore_put_messages_total") for node in world.here.nodes)
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        await_condition(lambda: sum(node.metric("gribstore_put_messages_total") for node in world.here.nodes) > before, "it has begun")
        process.kill()
    world.there.nodes[2].kill()
    run = world.mirror("--source", "long", retry="2s")[f"long/{BASE}"]
    assert (run["result"], run["messages"]) == ("equal", LONG) and run["unread"] == 0
    world.there.nodes[2].start().wait_ready()
    await_seen(world.there.nodes)
    assert current(world.here, "long") == current(world.there, "long")


def test_wrong_bytes_are_never_stored(world):
    messages = list(reissued(frames(world.stamped(40)), 6))  # which no other run holds
    world.put("wrong", [b"".join(messages)], 40)
    path = f"/v1/runs/wrong/{BASE}/locations"
    lines = [json.loads(line) for line in world.there.indexer.get(path).text.splitlines()][:-1]
    victim = lines[0]["digest"]
    damaged = [line for line in lines if line["digest"] == victim] + [line for line in lines if line["node"] == "there0"][:10]
    nodes = {node.name: node for node in world.there.nodes}
    for line in damaged:
        with open(nodes[line["node"]].data / "runs" / "wrong" / BASE / line["file"], "r+b") as file:
            file.seek(line["offset"] + line["length"] // 2)
            file.write(bytes(byte ^ 0xff for byte in messages[0][:8]) + os.urandom(4))
    run = world.mirror("--source", "wrong", expected=7, retry="1s")[f"wrong/{BASE}"]
    assert (run["result"], run["unread"]) == ("unread", 1) and victim in run["detail"]
    assert run["copied"] == 39
    digests = {hashlib.sha256(message).hexdigest(): message for message in messages}

    def held_here():
        return [json.loads(line) for line in world.here.indexer.get(path).text.splitlines()][:-1]
    await_condition(lambda: {line["digest"] for line in held_here()} >= set(digests) - {victim}, "the index here has the others")
    held = held_here()
    assert {line["digest"] for line in held} == set(digests) - {victim}
    here = {node.name: node for node in world.here.nodes}
    for line in held:
        last = line["offset"] + line["length"] - 1
        answer = here[line["node"]].get(f"/data/wrong/{BASE}/{line['file']}", headers={"Range": f"bytes={line['offset']}-{last}"})
        assert answer.content == digests[line["digest"]]


def test_a_run_that_is_over_there_is_retired_here_when_that_is_asked_for(world):
    assert world.there.indexer.post(f"/v1/runs/plain/{BASE}/retire").status_code == 200
    assert world.mirror("--source", "plain") == {}
    assert world.here.indexer.json(f"/v1/runs/plain/{BASE}")["state"] == "ready"
    run = world.mirror("--source", "plain", "--retire")[f"plain/{BASE}"]
    assert run["result"] == "retired" and run["state_here"] in ("retired", "purged")
    await_condition(lambda: world.here.indexer.json(f"/v1/runs/plain/{BASE}")["state"] == "purged", "it is gone")


def test_it_follows_until_it_is_stopped(world):
    command = [str(BIN / "gribstore"), "mirror", "--from", world.there.indexer.url, "--source", "more", "--follow", "--every", "200ms", "--json"]
    environment = {**os.environ, "GRIBSTORE_INDEXER": world.here.indexer.url, "GRIBSTORE_NODE": world.here.nodes[0].url}
    messages = list(frames(world.stamped(20)))
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        world.put("more", [b"".join(messages[:10])], 10)
        world.here.indexer.await_messages("more", 10, copies=2)
        world.put("more", [b"".join(messages[10:])], 20)
        world.here.indexer.await_messages("more", 20, copies=2)
        process.terminate()
        process.wait(timeout=60)
    assert current(world.here, "more") == current(world.there, "more")


def test_the_same_cluster_is_refused(world):
    Client(world.here.indexer, world.here.nodes[0]).run("mirror", "--from", world.here.indexer.url, expected=2)
    Client(world.here.indexer, world.here.nodes[0]).run("mirror", expected=2)
