"""A node beside others that behave badly: it is asked for copies and says nothing, or nonsense, or stops in the middle.

n1 takes the PUTs. The even shards lie on n1 and n2, the odd ones on n1 and n3, so n3 is the handoff of the even ones. Where n2 is
not a real node it is this test: it answers probes, and the requests for copies as a test tells it to. n1 has one event loop: what
is held up there is held up for everybody.
"""

import concurrent.futures
import hashlib
import http.server
import json
import os
import re
import signal
import struct
import socket
import threading
import time

import pytest

from processes import await_condition

SHARDS = 32
RUN = "20200102T0300Z"
STALL_S = 10        # a node that moves no byte for so long is given up (PEER_STALL_TIMEOUT_MS)
STALLED_S = 5       # it is asked for no copies for so long then (PEER_STALLED_DELAY_MIN_MS)
REQUESTS_MAX = 4    # for copies, under way to one node (copies.c)
ATTEMPTS = 4        # on a machine that is slower than STALL_S
TIMEOUT_S = 60
DRIP = os.environ.get("GRIBSTORE_TEST_DRIP")  # set: also what takes half a minute


def small_message(number, padding=0):
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + number.to_bytes(8, "big") + bytes(padding)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


def digest(data):
    return hashlib.sha256(data).hexdigest()


def shard_of(message):
    return int(digest(message)[:2], 16) >> 3


def messages_of(parity, count, first=0, padding=0):
    """Messages of the even (0) or odd (1) shards."""
    found = []
    number = first
    while len(found) < count:
        message = small_message(number, padding)
        number += 1
        if shard_of(message) % 2 == parity:
            found.append(message)
    return found


def cut(body):
    """The messages of a body."""
    at, found = 0, []
    while at < len(body):
        size = int.from_bytes(body[at + 8:at + 16], "big")
        found.append(body[at:at + size])
        at += size
    return found


def sound_answer(messages, url="http://127.0.0.1:1", stored=201):
    lines = [{"digest": digest(message), "base_time": "2020-01-02T03:00:00Z", "length": len(message), "new": True, "copies": 1,
              "locations": [{"url": f"{url}/data/x/{RUN}/0001-00000000000000aa.grib", "offset": 0, "length": len(message)}]}
             for message in messages]
    return stored, json.dumps({"source": "x", "messages": lines, "stored": len(lines), "known": 0, "skipped": []}).encode()


class FakeNode:
    """An HTTP server that passes for a node. replica(handler, messages) answers PUT /replica by itself."""

    name = "n2"

    def __init__(self):
        self.replica = lambda handler, messages: handler.say(*sound_answer(messages))
        self.batches = []  # the messages of each request for copies
        self.over = threading.Event()
        self.cluster = ""

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def say(handler, status, data, length=None, content_type="application/json"):
                handler.send_response(status)
                for name, value in (("Content-Type", content_type), ("Gribstore-Cluster", self.cluster), ("Gribstore-Epoch", "1"),
                                    ("Content-Length", str(len(data) if length is None else length))):
                    handler.send_header(name, value)
                handler.end_headers()
                handler.wfile.write(data)
                handler.wfile.flush()

            def say_raw(handler, data):
                handler.wfile.write(data)
                handler.wfile.flush()

            def cut(handler):
                """The connection is reset."""
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                handler.close_connection = True
                handler.connection.close()
                handler.rfile = handler.wfile = open(os.devnull, "rb+", buffering=0)

            def do_GET(handler):
                handler.say(200 if handler.path == "/healthz" else 404, b"{}")

            def do_POST(handler):
                handler.rfile.read(int(handler.headers["Content-Length"]))
                handler.say(404, b"{}")

            def do_PUT(handler):
                messages = cut(handler.rfile.read(int(handler.headers["Content-Length"])))
                self.batches.append(messages)
                self.replica(handler, messages)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                """Connections of a test are cut when it ends."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def close(self):
        self.over.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def tell_map(first, second, third):
    cluster_map = {
        "cluster": first.json("/cluster/map")["cluster"], "epoch": 1, "shards": SHARDS, "replicas": 2, "min_replicas": 2,
        "indexers": [],
        "nodes": [{"id": node.name, "url": node.url, "host": node.name, "colo": "a", "weight": 100, "state": "in"}
                  for node in (first, second, third)],
        "eras": [{"from": None, "owners": [[first.name, third.name if shard % 2 else second.name] for shard in range(SHARDS)]}],
    }
    for node in (first, second, third):
        if not isinstance(node, FakeNode):
            answer = node.put("/cluster/map", json.dumps(cluster_map))
            assert answer.status_code == 200, answer.text
            node.wait_ready()
    return cluster_map["cluster"]


@pytest.fixture
def fake():
    made = FakeNode()
    yield made
    made.close()


@pytest.fixture
def beside(daemons, fake):
    """n1 and n3, with n2 played by the test."""
    first, third = (daemons.node(name, arguments=["--loops", "1"]) for name in ("n1", "n3"))
    fake.cluster = tell_map(first, fake, third)
    yield first, third
    fake.over.set()
    fake.server.shutdown()  # nobody waits for an answer of it when the nodes leave


@pytest.fixture
def attempts(daemons):
    """attempts(attempt): attempt(n1, n3, n2) has to show something before n1 gives n2 up. Where the machine took longer nothing was shown
    by a failure: with other nodes it is tried again, a few times. n2 is the test's, or a node, where a name is given."""
    fakes = []

    def begin(number, second_name):
        first, third = (daemons.node(f"{name}-{number}", arguments=["--loops", "1"]) for name in ("n1", "n3"))
        if second_name is None:
            second = FakeNode()
            fakes.append(second)
        else:
            second = daemons.node(f"{second_name}-{number}", arguments=["--loops", "1"])
        second.cluster = tell_map(first, second, third)
        return first, third, second

    def run(attempt, second_name=None):
        for number in range(ATTEMPTS):
            nodes = begin(number, second_name)
            began = time.monotonic()
            try:
                return attempt(*nodes)
            except AssertionError:
                if time.monotonic() - began < STALL_S or number == ATTEMPTS - 1:
                    raise
                for made in fakes:
                    made.over.set()

    yield run
    for made in fakes:
        made.close()


def sees(node, name):
    return re.search(rf'gribstore_peer_up\{{[^}}]*"{name}"[^}}]*\}} 1', node.get("/metrics").text)


def check_kept(answer, messages, nodes):
    """Acknowledged with two copies, on these nodes, and there they are."""
    assert answer.status_code == 201, answer.text
    lines = answer.json()["messages"]
    assert [line["digest"] for line in lines] == [digest(message) for message in messages]
    for line, message in zip(lines, messages):
        assert line["copies"] == 2
        assert {place["url"].split("/data/")[0] for place in line["locations"]} == {node.url for node in nodes}
        for place in line["locations"]:
            node = next(node for node in nodes if place["url"].startswith(node.url + "/"))
            last = place["offset"] + place["length"] - 1
            got = node.get(place["url"].removeprefix(node.url), headers={"Range": f"bytes={place['offset']}-{last}"})
            assert (got.status_code, got.content) == (206, message)


def test_messages_of_many_connections_travel_together(attempts):
    def attempt(first, _, fake):
        release = threading.Event()

        def replica(handler, messages):
            release.wait(TIMEOUT_S)
            handler.say(*sound_answer(messages, fake.url))

        fake.replica = replica
        messages = messages_of(0, REQUESTS_MAX + 20)
        with concurrent.futures.ThreadPoolExecutor(len(messages)) as pool:
            def put(message):
                return pool.submit(first.put, "/ingest/many/", message, timeout=TIMEOUT_S)

            answers = []
            for place, message in enumerate(messages[:REQUESTS_MAX]):
                answers.append(put(message))
                await_condition(lambda count=place + 1: len(fake.batches) == count, "each leaves at once")
            answers += [put(message) for message in messages[REQUESTS_MAX:]]
            await_condition(lambda: first.metric("gribstore_put_messages_total") == len(messages), "all of them have come")
            waiting = len(fake.batches)
            release.set()
            answers = [answer.result() for answer in answers]
        assert waiting == REQUESTS_MAX
        assert [answer.status_code for answer in answers] == [201] * len(messages)
        assert [answer.json()["messages"][0]["copies"] for answer in answers] == [2] * len(messages)
        assert [answer.json()["messages"][0]["digest"] for answer in answers] == [digest(message) for message in messages]
        assert sorted(fake.batches[REQUESTS_MAX]) == sorted(messages[REQUESTS_MAX:])  # one request for all that had gathered
        assert len(fake.batches) == REQUESTS_MAX + 1
    attempts(attempt)


def test_what_one_message_is_refused_for_costs_no_other_body_its_copy(attempts):
    messages = messages_of(0, REQUESTS_MAX + 3, first=1000)
    refused = messages[-2]
    problem = json.dumps({"type": "urn:gribstore:error:bad-grib", "code": "bad-grib", "title": "no", "status": 422,
                          "detail": "it is no good", "messages": []}).encode()

    def attempt(first, third, fake):
        release = threading.Event()

        def replica(handler, batch):
            release.wait(TIMEOUT_S)
            if refused in batch:
                handler.say(422, problem, content_type="application/problem+json")
            else:
                handler.say(*sound_answer(batch, fake.url))

        fake.replica = replica
        with concurrent.futures.ThreadPoolExecutor(len(messages)) as pool:
            answers = []
            for place, message in enumerate(messages):
                answers.append(pool.submit(first.put, "/ingest/mixed/", message, timeout=TIMEOUT_S))
                await_condition(lambda count=place + 1: first.metric("gribstore_put_messages_total") == count, "it has come")
            # Each of the first ones left in the turn of its coming, and is on its way.
            await_condition(lambda: len(fake.batches) >= REQUESTS_MAX, "they are asked for")
            waiting = len(fake.batches)
            release.set()
            answers = [answer.result() for answer in answers]
        assert waiting == REQUESTS_MAX
        assert [answer.status_code for answer in answers] == [201] * (REQUESTS_MAX + 1) + [422, 201]
        assert answers[-2].json()["code"] == "bad-grib"
        assert fake.batches[REQUESTS_MAX] == messages[REQUESTS_MAX:]
        assert sorted(fake.batches[REQUESTS_MAX + 1:]) == sorted([message] for message in messages[REQUESTS_MAX:])
        for answer in answers[:-2] + answers[-1:]:
            assert answer.json()["messages"][0]["copies"] == 2
        assert third.get(f"/data/mixed/{RUN}/").status_code == 404
    attempts(attempt)


def test_a_node_that_never_answers_holds_up_no_other(attempts):
    to_silent = messages_of(0, 40, first=2000)
    to_other = messages_of(1, 20, first=3000)

    def attempt(first, third, fake):
        fake.replica = lambda handler, messages: fake.over.wait(TIMEOUT_S)
        with concurrent.futures.ThreadPoolExecutor(len(to_silent)) as pool:
            slow, ends = [], []
            for place, message in enumerate(to_silent):
                slow.append(pool.submit(first.put, "/ingest/silent/", message, timeout=TIMEOUT_S))
                slow[-1].add_done_callback(lambda _: ends.append(time.monotonic()))
                if place < REQUESTS_MAX:
                    await_condition(lambda count=place + 1: len(fake.batches) >= count, "it is asked")
            await_condition(lambda: first.metric("gribstore_put_messages_total") == len(to_silent), "all of them have come")
            # Answered while the others wait, which they do for ten seconds.
            answers = [first.put("/ingest/silent/", message) for message in to_other]
            assert not ends
            for answer, message in zip(answers, to_other):
                check_kept(answer, [message], (first, third))
            for answer, message in zip(slow, to_silent):
                check_kept(answer.result(), [message], (first, third))
        # One time limit for all of them: what had gathered behind the silent requests did not wait for its own.
        assert len(fake.batches) == REQUESTS_MAX
        assert max(ends) - min(ends) < STALL_S
        # It answers probes, and is asked for no copies for a while all the same.
        asked = len(fake.batches)
        for message in messages_of(0, 5, first=4000):
            check_kept(first.put("/ingest/silent/", message), [message], (first, third))
        assert time.monotonic() - max(ends) > STALLED_S or len(fake.batches) == asked
    attempts(attempt)


@pytest.mark.skipif(not DRIP, reason="takes half a minute: GRIBSTORE_TEST_DRIP=1")
def test_a_node_whose_answer_drips_is_given_up(beside, fake):
    """It is never silent for long: the whole request has a time limit, too."""
    first, third = beside

    def replica(handler, messages):
        handler.say(201, b"{", length=10_000)
        while not fake.over.wait(1):
            handler.say_raw(b" ")

    fake.replica = replica
    messages = messages_of(0, 3, first=7000)
    began = time.monotonic()
    check_kept(first.put("/ingest/drip/", b"".join(messages), timeout=TIMEOUT_S), messages, (first, third))
    assert 2 * STALL_S < time.monotonic() - began < 4 * STALL_S


def answer_cut_in_its_middle(handler, messages):
    status, data = sound_answer(messages)
    handler.say(status, data[:len(data) // 2], length=len(data))
    handler.cut()


def answer_that_ends_early(handler, messages):
    status, data = sound_answer(messages)
    handler.say(status, data[:len(data) // 2], length=len(data))
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def answer_of_half(handler, messages):
    handler.say(*sound_answer(messages[:len(messages) // 2]))


NONSENSE = {
    "no json": lambda handler, messages: handler.say(200, b"\x00\xff<html>all is well</html>"),
    "nothing": lambda handler, messages: handler.say(200, b""),
    "another shape": lambda handler, messages: handler.say(200, b'{"messages": {"stored": true}}'),
    "no list": lambda handler, messages: handler.say(201, b'{"stored": 5}'),
    "an empty list": lambda handler, messages: handler.say(201, b'{"messages": []}'),
    "others": lambda handler, messages: handler.say(*sound_answer([message + b"x" for message in messages])),
    "a digest that is none": lambda handler, messages: handler.say(
        201, sound_answer(messages)[1].replace(b'"digest": "', b'"digest": "Z')),
    "an offset that is none": lambda handler, messages: handler.say(
        201, sound_answer(messages)[1].replace(b'"offset": 0', b'"offset": -1')),
    "a number beyond all": lambda handler, messages: handler.say(
        201, sound_answer(messages)[1].replace(b'"new": true', b'"stored_at": 1e999')),
    "nested without end": lambda handler, messages: handler.say(200, b"[" * 100_000),
    "too much": lambda handler, messages: handler.say(200, b" " * (9 << 20)),
    "no status line": lambda handler, messages: handler.say_raw(b"hello\r\n\r\n"),
    "cut": answer_cut_in_its_middle,
    "ends early": answer_that_ends_early,
    "cut before": lambda handler, messages: handler.cut(),
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_a_node_that_answers_nonsense_loses_its_place(beside, fake, nonsense):
    first, third = beside

    def replica(handler, messages):
        NONSENSE[nonsense](handler, messages)
        handler.close_connection = True

    fake.replica = replica
    messages = messages_of(0, 5, first=4000)
    check_kept(first.put("/ingest/nonsense/", b"".join(messages)), messages, (first, third))
    asked = len(fake.batches)  # on a connection that was kept, a request that is cut is sent once more
    assert {message for batch in fake.batches for message in batch} == set(messages)
    # Sound again: it is asked again, and counts.
    fake.replica = lambda handler, messages: handler.say(*sound_answer(messages, fake.url))
    await_condition(lambda: sees(first, "n2"), "n2 is up again")
    more = messages_of(0, 5, first=5000)
    answer = first.put("/ingest/nonsense/", b"".join(more))
    assert [line["copies"] for line in answer.json()["messages"]] == [2] * len(more)
    assert [message for batch in fake.batches[asked:] for message in batch] == more


def test_what_a_node_names_of_a_batch_counts_and_the_rest_finds_another(beside, fake):
    first, third = beside
    fake.replica = answer_of_half
    messages = messages_of(0, 8, first=6000)
    answer = first.put("/ingest/half/", b"".join(messages))
    assert answer.status_code == 201, answer.text
    assert [line["copies"] for line in answer.json()["messages"]] == [2] * 8
    asked = [len(batch) for batch in fake.batches]
    assert sum(asked) == 8
    held = third.json(f"/data/half/{RUN}/")["messages"]
    assert held == sum(count - count // 2 for count in asked)


def test_a_node_that_stops_in_the_middle_of_bodies_is_replaced(attempts):
    """SIGSTOP: the kernel goes on to take bytes until its buffers are full, and nothing ever comes back."""
    attempts(stop_in_the_middle, second_name="n2")


def stop_in_the_middle(first, third, second):
    bodies = [messages_of(0, 12, first=10_000 * (1 + number), padding=1 << 20) for number in range(3)]
    stopped = threading.Event()

    def slowly(messages, own):
        data = b"".join(messages)
        for at in range(0, len(data), 1 << 19):
            if at > len(data) // 2 and own == 0 and not stopped.is_set():
                os.kill(second.process.pid, signal.SIGSTOP)
                stopped.set()
            if at > len(data) // 2:
                stopped.wait(TIMEOUT_S)
            yield data[at:at + (1 << 19)]

    with concurrent.futures.ThreadPoolExecutor(len(bodies)) as pool:
        try:
            answers = [pool.submit(first.put, "/ingest/stopped/", slowly(messages, number), timeout=TIMEOUT_S)
                       for number, messages in enumerate(bodies)]
            assert stopped.wait(TIMEOUT_S)
            others = messages_of(1, 10, first=90_000)
            prompt = [first.put("/ingest/stopped/", message) for message in others]
            # Answered while at least one of those waits for the node that stands still.
            assert not all(answer.done() for answer in answers)
            for answer, message in zip(prompt, others):
                check_kept(answer, [message], (first, third))
            answers = [answer.result() for answer in answers]
        finally:
            os.kill(second.process.pid, signal.SIGCONT)
    for answer, messages in zip(answers, bodies):
        assert answer.status_code == 201, answer.text
        assert [line["copies"] for line in answer.json()["messages"]] == [2] * len(messages)
    await_condition(lambda: sees(first, second.name), "n2 is up again")
    for answer, messages in zip(answers, bodies):
        for line, message in zip(answer.json()["messages"], messages):
            assert {place["url"].split("/data/")[0] for place in line["locations"]} <= {first.url, second.url, third.url}
            for place in line["locations"]:
                node = next(node for node in (first, second, third) if place["url"].startswith(node.url + "/"))
                last = place["offset"] + place["length"] - 1
                got = node.get(place["url"].removeprefix(node.url), headers={"Range": f"bytes={place['offset']}-{last}"})
                assert (got.status_code, got.content) == (206, message)
    # What n2 had stored before is no obstacle: everything is known, everywhere, and counted once.
    for messages in bodies:
        again = first.put("/ingest/stopped/", b"".join(messages))
        assert again.status_code in (200, 201), again.text
        assert [line["copies"] for line in again.json()["messages"]] == [2] * len(messages)
    assert first.json(f"/data/stopped/{RUN}/")["messages"] == sum(map(len, bodies)) + 10


def test_the_copies_that_an_answer_counts_are_those_that_are_there(daemons):
    """Many connections at once, with messages that others send too."""
    first, second, third = (daemons.node(name, arguments=["--loops", "1"]) for name in ("n1", "n2", "n3"))
    tell_map(first, second, third)
    messages = [small_message(200_000 + number) for number in range(60)]

    def put(turn):
        chosen = [messages[(turn * 7 + step * 11) % len(messages)] for step in range(6)]
        return chosen, (first if turn % 3 else third).put("/ingest/count/", b"".join(chosen))

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(put, range(48)))
    sent = set()
    for chosen, answer in answers:
        assert answer.status_code in (200, 201), answer.text
        lines = answer.json()["messages"]
        assert [line["digest"] for line in lines] == [digest(message) for message in chosen]
        for line, message in zip(lines, chosen):
            owners = (first, third if shard_of(message) % 2 else second)
            assert line["copies"] == 2
            assert {place["url"].split("/data/")[0] for place in line["locations"]} == {node.url for node in owners}
            sent.add(line["digest"])
    held = [node.json(f"/data/count/{RUN}/")["messages"] for node in (first, second, third)]
    even = sum(1 for message in messages if digest(message) in sent and shard_of(message) % 2 == 0)
    assert held == [len(sent), even, len(sent) - even]
