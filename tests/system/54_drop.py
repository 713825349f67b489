"""A node gives up what the map does not give to it: with an indexer's leave and never without, served through a grace, then gone. And a map that is paused.

The indexer is played by the test: what it answers is said by each test, and what it was asked is kept."""

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from processes import Cluster, await_condition

SHARDS = 32
RUN = "20200102T0300Z"
QUICK = ["--sync-period", "200ms", "--release-period", "200ms", "--release-grace", "100ms"]
ASK, DROPPED = "/v1/releases", "/v1/releases/dropped"


def message(number, size=600):
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + hashlib.shake_128(str(number).encode()).digest(size - 41)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


def digest_of(data):
    return hashlib.sha256(data).hexdigest()


def an_hour_ago():
    """What is younger than some seconds nobody misses."""
    return {"Gribstore-Stored-At": str(int((time.time() - 3600) * 1e6))}


def births(body):
    return [file["birth"] for file in body["files"]]


def grant(body):
    return {"granted": births(body), "refused": []}


def refuse(code):
    return lambda body: {"granted": [], "refused": [{"birth": birth, "code": code, "why": "so the test wants it"} for birth in births(body)]}


def removed(body):
    return {"removed": body["files"]}


class FakeIndexer:
    """Answers by self.answers, a function of the body for each path; what it was asked is in self.asked."""

    def __init__(self):
        self.answers = {ASK: refuse("behind"), DROPPED: lambda body: {"removed": []}}
        self.asked = {ASK: [], DROPPED: []}
        self.answered = []  # by which of the functions, request by request
        self.under_way = set()  # connections
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self):
                fake.under_way.add(self)
                try:
                    super().handle()
                finally:
                    fake.under_way.discard(self)

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.asked[self.path].append(body)
                made_by = fake.answers[self.path]
                answer = made_by(body)
                status, answer = answer if isinstance(answer, tuple) else (200, answer)
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
                fake.answered.append(made_by)

            def do_GET(self):
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def await_asked(self, path, more=1):
        wanted = len(self.asked[path]) + more
        await_condition(lambda: len(self.asked[path]) >= wanted, f"{more} more requests for {path}")
        return self.asked[path][-1]

    def await_answered(self, made_by):
        """Until the node has asked again behind an answer of this function: it has seen what that says."""
        await_condition(lambda: made_by in self.answered, "it is answered so")
        self.await_asked(ASK)

    def await_over(self):
        """Until all that a dead node sent is read: what was not accepted yet stands in front of this test's own request."""
        requests.get(self.url, timeout=60)
        await_condition(lambda: not self.under_way, "its connections have ended")

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def indexer():
    fake = FakeIndexer()
    yield fake
    fake.close()


class Given:
    """Node n1 holds all messages of a run; the map gives them to it and n2 until give_away(): then to n2 and n3, which may well be down."""

    def __init__(self, daemons, indexer, count=100, names=("n1",)):
        self.indexer = indexer
        self.nodes = [daemons.node(name, arguments=QUICK) for name in names]
        self.urls = {"n2": "http://127.0.0.1:2", "n3": "http://127.0.0.1:3", **{node.name: node.url for node in self.nodes}}
        self.one = self.nodes[0]
        self.cluster = self.one.json("/cluster/map")["cluster"]
        self.epoch = 0
        self.tell(["n1", "n2"])
        self.messages = [message(number) for number in range(count)]
        assert self.one.put("/replica/give", b"".join(self.messages)).status_code == 201

    def tell(self, owners, **more):
        self.epoch += 1
        cluster_map = {
            "cluster": self.cluster, "epoch": self.epoch, "shards": SHARDS, "replicas": 2, "min_replicas": 1, "indexers": [self.indexer.url],
            "nodes": [{"id": name, "url": url, "host": name, "colo": "a", "weight": 100, "state": "in"} for name, url in self.urls.items()],
            "eras": [{"from": None, "owners": [owners for _ in range(SHARDS)]}], **more}
        for node in self.nodes:
            answer = node.put("/cluster/map", json.dumps(cluster_map))
            assert answer.status_code == 200, answer.text
        for node in self.nodes:
            node.wait_ready()

    def give_away(self):
        self.tell(["n2", "n3"])

    def releases(self):
        return self.one.json("/cluster/releases")

    def await_progress(self, **wanted):
        await_condition(lambda: wanted.items() <= self.releases().items(), f"progress is {wanted}")

    def files(self):
        """Names of the data files that the node lists."""
        return {file["name"] for file in self.one.json(f"/data/give/{RUN}/", headers={"Accept": "application/json"})["files"]}

    def state(self, name):
        return self.one.json(f"/cluster/releases/give/{RUN}/{name}")["state"]

    def data(self, name):
        return self.one.get(f"/data/give/{RUN}/{name}")

    def has(self):
        asked = {"source": "give", "base_time": RUN, "digests": [digest_of(data) for data in self.messages]}
        missing = self.one.post("/have", json=asked).json()["missing"]
        return len(self.messages) - len(missing)


@pytest.fixture
def given(daemons, indexer):
    return Given(daemons, indexer)


def test_a_copy_is_given_up_with_leave_served_through_its_grace_and_gone(given, indexer):
    before = given.files()
    content = {name: given.data(name).content for name in before}
    given.give_away()
    asked = indexer.await_asked(ASK)
    assert asked["node"] == "n1" and asked["source"] == "give" and asked["base_time"] == RUN and asked["incarnation"] == 1
    (run,) = (run for run in given.one.json("/cluster/runs")["runs"] if run["source"] == "give")
    # Behind the last message of the files that were asked for: other files' may come after it.
    assert asked["journal"] == run["journal"] and len(asked["files"]) < asked["records"] <= run["records"]
    for file in asked["files"]:
        name = f"{file['shard']:04d}-{file['birth']}.grib"
        assert sorted(file["digests"]) == sorted(
            digest_of(data) for data in given.messages if data in content[name])
    assert given.has() == len(given.messages)  # refused: nothing has changed
    await_condition(lambda: given.releases()["refused"] == {"behind": len(before)}, "all of them are behind")
    size = sum(map(len, content.values()))
    given.await_progress(files=len(before), bytes=size)
    await_condition(lambda: given.one.metric("gribstore_release_bytes_left") == size, "the metric has it, too")
    await_condition(lambda: given.one.metric('gribstore_release_refused_total{code="behind"}') > 0, "refusals are counted")

    indexer.answers[ASK] = grant
    await_condition(lambda: given.files() == set(), "all are dropped")
    assert given.has() == 0
    assert given.one.get(f"/sha256/{digest_of(given.messages[0])}", headers={"Gribstore-Hop": "1"}).status_code == 404
    for name, bytes_of in content.items():
        assert given.state(name) == "dropped"
        answer = given.data(name)
        assert answer.status_code == 200 and answer.content == bytes_of
    told = indexer.await_asked(DROPPED)
    assert told["final"] is False and told["records"] >= asked["records"] + len(told["files"])
    given.await_progress(files=0, grace_files=len(before), grace_bytes=size)
    await_condition(lambda: given.one.metric("gribstore_released_messages_total") == len(given.messages), "what was dropped is counted")

    indexer.answers[DROPPED] = removed
    await_condition(lambda: all(given.data(name).status_code == 410 for name in before), "all are gone")
    assert {given.state(name) for name in before} == {"gone"}
    assert {birth for body in indexer.asked[DROPPED] if body["final"] for birth in body["files"]} == {name[5:21] for name in before}
    await_condition(lambda: given.releases()["grace_files"] == 0, "none is in its grace")
    await_condition(lambda: not list((given.one.data / "purged").iterdir()), "the disk has its room back")
    assert not list((given.one.data / "runs" / "give" / RUN).glob("*.grib"))
    given.one.restart()
    assert {given.data(name).status_code for name in before} == {410}


def test_without_leave_nothing_is_given_up_whatever_is_answered(given, indexer):
    before = given.files()
    given.give_away()
    strange = [
        lambda body: (503, {"code": "overloaded"}), lambda body: {}, lambda body: {"granted": "all", "refused": []}, lambda body: [],
        lambda body: {"granted": births(body), "refused": [{"birth": birth} for birth in births(body)]},
        lambda body: {"granted": ["0000000000000001"], "refused": []}, lambda body: {"granted": births(body)[:0], "refused": []},
        lambda body: {"granted": births(body), "refused": [{"birth": birth, "code": "locked", "why": "n9"} for birth in births(body)]},
        refuse("owner"), refuse("never-heard-of")]
    for answer in strange:
        indexer.answers[ASK] = answer
        indexer.await_answered(answer)
        assert given.files() == before and given.has() == len(given.messages)
        assert not indexer.asked[DROPPED]
    await_condition(lambda: given.releases()["refused"].get("other"), "a code that nobody knows is told as such")


def test_what_is_asked_about_takes_no_more_messages(given, indexer):
    before = given.files()
    given.give_away()
    indexer.await_asked(ASK)
    await_condition(lambda: len({birth for body in indexer.asked[ASK] for birth in births(body)}) == len(before), "all were asked about")
    late = [message(1000 + number) for number in range(100)]
    assert given.one.put("/replica/give", b"".join(late)).status_code == 201
    fresh = given.files() - before
    assert sum(len(given.data(name).content) for name in before) == sum(map(len, given.messages))
    indexer.answers[ASK] = lambda body: {
        "granted": [birth for birth in births(body) if any(birth in name for name in before)],
        "refused": [{"birth": birth, "code": "behind", "why": ""} for birth in births(body) if any(birth in name for name in fresh)]}
    await_condition(lambda: given.files() == fresh, "what was granted is dropped, and what is new stays")
    assert sum(len(given.data(name).content) for name in fresh) == sum(map(len, late))


def test_a_grant_that_comes_after_the_next_start_is_void(given, indexer):
    before = given.files()
    waits, answered = threading.Event(), threading.Event()

    def late(body):
        waits.wait(60)
        answered.set()
        return grant(body)
    indexer.answers[ASK] = late
    given.give_away()
    asked = indexer.await_asked(ASK)
    for file in asked["files"]:
        assert given.state(f"{file['shard']:04d}-{file['birth']}.grib") == "asked"
    given.one.kill()
    indexer.answers[ASK] = refuse("behind")
    given.one.start().wait_ready()
    waits.set()
    assert answered.wait(60)
    indexer.await_asked(ASK)
    assert given.files() == before and given.has() == len(given.messages)
    assert not indexer.asked[DROPPED]


def test_killed_at_each_step_it_ends_the_same(given, indexer):
    before = given.files()
    indexer.answers[ASK] = grant
    given.give_away()
    await_condition(lambda: given.files() == set(), "all are dropped")
    for final in (False, True):
        given.one.kill()
        given.one.start().wait_ready()
        assert given.files() == set() and given.has() == 0
        assert {given.state(name) for name in before} == {"dropped"}
        assert {given.data(name).status_code for name in before} == {200}
        seen = len(indexer.asked[DROPPED])
        indexer.answers[DROPPED] = lambda body, final=final: removed(body) if final and not body["final"] else {"removed": []}
        await_condition(lambda: {birth for body in indexer.asked[DROPPED][seen:] if body["final"] == final for birth in body["files"]}
                        == {name[5:21] for name in before}, "the index is asked about all")
    given.one.kill()  # told once, and asked for the last time: all of it is said again
    indexer.await_over()
    seen = len(indexer.asked[DROPPED])
    indexer.answers[DROPPED] = removed
    given.one.start().wait_ready()
    await_condition(lambda: {given.data(name).status_code for name in before} == {410}, "all are gone")
    assert [body["final"] for body in indexer.asked[DROPPED][seen:]][0] is False


def test_a_pause_stops_asking_and_pulling_and_not_what_was_dropped(daemons, indexer):
    given = Given(daemons, indexer, names=("n1", "n3"))
    third = given.nodes[1]
    before = given.files()
    sent = []

    def one_file(body):
        """The first file that is asked about, and no other."""
        sent.append(births(body)[0])
        return {"granted": sent[:1] if sent[0] in births(body) else [],
                "refused": [{"birth": birth, "code": "behind", "why": ""} for birth in births(body) if birth != sent[0]]}
    indexer.answers[ASK] = one_file
    given.give_away()
    await_condition(lambda: len(given.files()) == len(before) - 1, "one is dropped")
    given.tell(["n3", "n2"], paused=True)
    await_condition(lambda: given.releases().get("paused"), "it is seen")
    looked = lambda: [peer for peer in third.json("/cluster/sync")["nodes"] if peer.get("looked_at")]  # noqa: E731
    await_condition(lambda: not looked(), "no look is under way, and none has been with this map")
    indexer.answers[ASK] = grant
    extra = [message(5000 + number) for number in range(20)]
    assert given.one.put("/replica/give", b"".join(extra), headers=an_hour_ago()).status_code == 201
    asked = len(indexer.asked[ASK])
    indexer.answers[DROPPED] = removed
    (name,) = (name for name in before if sent[0] in name)
    await_condition(lambda: given.data(name).status_code == 410, "what was dropped goes its way")
    assert len(indexer.asked[ASK]) == asked
    assert not looked()
    lacking = third.post("/have", json={"source": "give", "base_time": RUN, "digests": [digest_of(data) for data in extra]})
    assert len(lacking.json()["missing"]) == len(extra)
    indexer.answers[ASK] = refuse("too-few-copies")
    given.tell(["n2", "n3"])
    await_condition(lambda: third.post("/have", json={
        "source": "give", "base_time": RUN, "digests": [digest_of(data) for data in extra]}).json()["missing"] == [], "it is pulled now")
    indexer.answers[ASK] = grant
    await_condition(lambda: given.files() == set(), "and given up")


def test_a_run_that_is_purged_meanwhile_takes_its_files_with_it(given, indexer):
    before = given.files()
    indexer.answers[ASK] = grant
    given.give_away()
    await_condition(lambda: given.files() == set(), "all are dropped")
    told = json.dumps({"incarnation": 1, "version": 1, "state": "retired"})
    assert given.one.put(f"/cluster/runs/give/{RUN}", told).status_code == 200
    assert given.one.delete(f"/data/give/{RUN}/?incarnation=1&version=1").status_code == 204
    await_condition(lambda: given.releases()["grace_files"] == 0, "nothing is in its grace")
    assert {given.data(name).status_code for name in before} == {410}
    assert {given.state(name) for name in before} == {"gone"}


# --- with a real indexer ---

class Readers:
    """Read all along what the index names. A place may be gone by the time that it is read: then the index names it no more."""

    def __init__(self, indexer, source):
        self.indexer, self.source = indexer, source
        self.stop = threading.Event()
        self.read, self.failures = 0, []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def names(self, digest, url, offset):
        return any(field["digest"] == digest and any(at["url"] == url and at["offset"] == offset for at in field["locations"])
                   for field in self.indexer.fields(source=self.source, limit=1000))

    def look(self, field, at):
        answer = requests.get(at["url"], headers={"Range": f"bytes={at['offset']}-{at['offset'] + at['length'] - 1}"}, timeout=60)
        self.read += 1
        if answer.status_code == 206 and digest_of(answer.content) == field["digest"]:
            return
        if answer.status_code != 410 or self.names(field["digest"], at["url"], at["offset"]):
            self.failures.append((answer.status_code, at))

    def run(self):
        while not self.stop.is_set():
            fields = self.indexer.fields(source=self.source, limit=1000)
            for field in fields[self.read % 3::3]:
                if len(field["locations"]) < 2:
                    self.failures.append(("too few", field["locations"]))
                for at in field["locations"]:
                    self.look(field, at)
            time.sleep(0.05)

    def end(self):
        self.stop.set()
        self.thread.join()
        assert not self.failures, self.failures[:3]
        assert self.read > 0


def change_map(indexer, change):
    held = indexer.json("/v1/cluster/map")
    fresh = {**held, "epoch": held["epoch"] + 1, "eras": [{**era, "owners": [change(owners) for owners in era["owners"]]} for era in held["eras"]]}
    answer = indexer.put("/v1/cluster/map", json.dumps(fresh), headers={"If-Match": str(held["epoch"])})
    assert answer.status_code == 200, answer.text


def await_empty(node):
    def empty():
        progress = node.json("/cluster/releases")
        return progress["files"] == 0 and progress["grace_files"] == 0 and not list(node.data.glob("runs/*/*/*.grib"))
    await_condition(empty, f"{node.name} holds nothing", 120)


def test_a_node_that_the_map_leaves_out_ends_empty_and_nobody_misses_anything(daemons, stamped):
    nodes = [daemons.node(f"n{place}", arguments=QUICK) for place in (1, 2, 3)]
    indexer = daemons.indexer(nodes, ready=False)
    Cluster(nodes, indexer).init()
    indexer.wait_ready()
    count = 120
    assert nodes[0].put("/replica/move", stamped(RUN, count), headers=an_hour_ago()).status_code == 201
    indexer.await_messages("move", count, copies=2)
    readers = Readers(indexer, "move")
    try:
        change_map(indexer, lambda owners: ["n2", "n3"])
        await_empty(nodes[0])
    finally:
        readers.end()
    fields = indexer.fields(source="move", limit=10000)
    assert len(fields) == count
    assert all(sorted(at["node"] for at in field["locations"]) == ["n2", "n3"] for field in fields)
    # And back: what was given up is pulled anew, and what another one holds too much of goes.
    change_map(indexer, lambda owners: ["n1", "n2"])
    await_empty(nodes[2])
    indexer.await_messages("move", count, copies=2)
    assert all(sorted(at["node"] for at in field["locations"]) == ["n1", "n2"] for field in indexer.fields(source="move", limit=10000))
