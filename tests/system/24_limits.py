"""Limits: each is a setting, and what goes beyond is told by its code.

One node has those of sizes lowered, one those of times, another keeps the defaults, and the same three of indexers; then what many
clients at once may hold.
"""

import contextlib
import itertools
import os
import re
import resource
import time

import pytest
import requests

from conftest import Daemons
from processes import await_condition
from raw_http import TIMEOUT_S, Wire, ask, chunked, problem_of, request

MIB = 1 << 20
WAIT_MS = 300
WINDOW_MS = 800
LATE_S = 60  # that a busy machine may be late by, where only being cut at all is asked
SIZES = {
    "head-max": "2KiB", "line-max": "1KiB", "fields-max": "20", "target-max": "300", "body-max": "64KiB", "chunk-line-max": "64",
    "trailer-max": "128",
}
NODE_SIZES = SIZES | {"message-max": "4KiB", "ranges-max": "5"}
TIMES = {
    "head-timeout": f"{WAIT_MS}ms", "idle-timeout": f"{4 * WAIT_MS}ms", "rate-min": "2KiB", "rate-window": f"{WINDOW_MS}ms",
    "linger": f"{WAIT_MS}ms",
}


def message(number=0, size=49):
    """An edition 2 message of that size; nobody could decode it."""
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + number.to_bytes(8, "big") + bytes(size - 49)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


def dated_message(month):
    """Of a run of its own."""
    return message().replace(bytes([1, 2, 3, 0, 0]), bytes([month, 2, 3, 0, 0]))


def flags(settings):
    return [word for name, value in settings.items() for word in (f"--{name}", value)]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    running = Daemons(tmp_path_factory.mktemp("limits"))
    running.node("tight", arguments=flags(NODE_SIZES))
    running.node("default", arguments=["--loops", "1"])
    running.node("hasty", arguments=flags(TIMES))
    running.indexer(running.started[1:2])
    running.indexer(running.started[1:2], "tight indexer", arguments=flags(SIZES))
    running.indexer(running.started[1:2], "hasty indexer", arguments=flags(TIMES))
    yield running.started
    running.stop()


@pytest.fixture
def tight(nodes):
    return nodes[0]


@pytest.fixture
def default(nodes):
    return nodes[1]


@pytest.fixture
def hasty(nodes):
    return nodes[2]


@pytest.fixture(params=["hasty", "hasty indexer"])
def hasty_either(request, nodes):
    return next(node for node in nodes if node.name == request.param)


# --- of one request: who, what, just within, just beyond, its code, whether the connection is kept ---

def get(*fields, target="/healthz"):
    return request("GET", target, *fields, host="limits")


def head_of(size):
    """A head of so many bytes, in lines that are short enough."""
    fields = []
    while len(get(*fields)) + 1002 < size:
        fields.append("A: " + "a" * 997)
    fields.append("B: " + "b" * (size - len(get(*fields)) - 5))
    assert len(get(*fields)) == size
    return get(*fields)


def put_chunked(body):
    return request("PUT", "/ingest/limits/", "Transfer-Encoding: chunked") + body


def post_chunked(body):
    """A question for fields in chunks."""
    return request("POST", "/v1/fields", "Transfer-Encoding: chunked") + body


RETRIEVE = b"retrieve, param=msl"


def trailers_of(size):
    """The lines behind the last chunk: so many bytes with the empty one."""
    return b"A: " + b"a" * (size - 7) + b"\r\n"


LIMITS = [
    ("tight", "the head", head_of(2048), head_of(2049), 431, False),
    ("default", "the head", head_of(40 << 10), head_of((40 << 10) + 1), 431, False),
    ("tight", "a line", get("A: " + "a" * 1019), get("A: " + "a" * 1020), 431, False),
    ("default", "a line", get("A: " + "a" * 32763), get("A: " + "a" * 32764), 431, False),
    ("tight", "the fields", get(*["A: b"] * 19), get(*["A: b"] * 20), 431, True),
    ("default", "the fields", get(*["A: b"] * 99), get(*["A: b"] * 100), 431, True),
    ("tight", "the target", get(target="/healthz".ljust(300, "x")), get(target="/healthz".ljust(301, "x")), 414, True),
    ("default", "the target", get(target="/healthz".ljust(8192, "x")), get(target="/healthz".ljust(8193, "x")), 414, True),
    ("indexer", "the head", head_of(40 << 10), head_of((40 << 10) + 1), 431, False),
    ("indexer", "the fields", get(*["A: b"] * 99), get(*["A: b"] * 100), 431, True),
    ("indexer", "the target", get(target="/healthz".ljust(8192, "x")), get(target="/healthz".ljust(8193, "x")), 414, True),
    ("tight indexer", "the head", head_of(2048), head_of(2049), 431, False),
    ("tight indexer", "a line", get("A: " + "a" * 1019), get("A: " + "a" * 1020), 431, False),
    ("tight indexer", "the fields", get(*["A: b"] * 19), get(*["A: b"] * 20), 431, True),
    ("tight indexer", "the target", get(target="/healthz".ljust(300, "x")), get(target="/healthz".ljust(301, "x")), 414, True),
    ("tight indexer", "a body by its length", request("POST", "/v1/fields", body=RETRIEVE.ljust(65536)),
     request("POST", "/v1/fields", body=bytes(65537)), 413, True),
    ("tight indexer", "a chunk's line", post_chunked(chunked(RETRIEVE, extension=b";" + b"a" * 59)),
     post_chunked(chunked(RETRIEVE, extension=b";" + b"a" * 60)), 400, False),
    ("tight indexer", "trailers", post_chunked(chunked(RETRIEVE, trailers=trailers_of(128))),
     post_chunked(chunked(RETRIEVE, trailers=trailers_of(129))), 400, False),
    ("tight", "the request line", None, get(target="/healthz".ljust(1100, "x")), 414, False),
    ("tight", "a body by its length", request("PUT", "/ingest/limits/", body=message(1, 4096).ljust(65536, b" ")),
     request("PUT", "/ingest/limits/", body=bytes(65537)), 413, True),
    ("tight", "a body in chunks", put_chunked(chunked(message(1, 4096).ljust(65536, b" "))),
     put_chunked(chunked(message(1, 4096).ljust(40000, b" "), bytes(25537))), 413, False),
    ("default", "a body by its length", None, request("PUT", "/ingest/limits/") [:-2] + b"Content-Length: 68719476737\r\n\r\n", 413, False),
    ("tight", "a message", request("PUT", "/ingest/limits/", body=message(2, 4096)),
     request("PUT", "/ingest/limits/", body=message(2, 4097)), 413, True),
    ("tight", "a message by its digest", None, request("PUT", "/sha256/" + "0" * 64 + "?source=limits", body=message(2, 4097)), 413, True),
    ("default", "a message", None, request("PUT", "/ingest/limits/", body=b"GRIB\0\0\0\2" + ((1 << 30) + 1).to_bytes(8, "big") + bytes(100)),
     413, True),
    ("tight", "a chunk's line", put_chunked(chunked(message(3), extension=b";" + b"a" * 59)),
     put_chunked(chunked(message(3), extension=b";" + b"a" * 60)), 400, False),
    ("default", "a chunk's line", put_chunked(chunked(message(3), extension=b";" + b"a" * 4091)),
     put_chunked(chunked(message(3), extension=b";" + b"a" * 4092)), 400, False),
    ("tight", "trailers", put_chunked(chunked(message(4), trailers=trailers_of(128))),
     put_chunked(chunked(message(4), trailers=trailers_of(129))), 400, False),
    ("default", "trailers", put_chunked(chunked(message(4), trailers=trailers_of(8192))),
     put_chunked(chunked(message(4), trailers=trailers_of(8193))), 400, False),
]


@pytest.mark.parametrize("who, what, within, beyond, status, kept", LIMITS, ids=lambda value: value if isinstance(value, str) else "")
def test_limits_hold_to_the_byte(nodes, who, what, within, beyond, status, kept):
    node = next(node for node in nodes if node.name == who)
    if within is not None:
        assert ask(node, within).status in (200, 201, 404), what
    with Wire(node) as wire:
        wire.send(beyond)
        answer = wire.answer()
        assert (answer.status, answer.closes) == (status, not kept), answer
        problem_of(answer)
        if kept:
            wire.send(get())
            assert wire.answer().status == 200
        else:
            assert wire.closed()


def test_extensions_have_16_kib_more_than_the_body_in_all(default):
    within = [b"1;" + b"a" * 2041 + b"\r\n"] * 8  # with the ends of lines and chunks 16,384 bytes and as many as the body has
    for lines, status in ((within, 422), (within + [b"1;aaaaaaaaaaaaaaaaaaaa\r\n"], 400)):
        body = b"".join(line + b" \r\n" for line in lines)
        assert ask(default, put_chunked(body + b"0\r\n\r\n")).status == status


def test_more_ranges_than_the_limit_are_ignored(tight):
    line = tight.put("/ingest/limits/", message(5, 1000)).json()["messages"][0]
    for path in (f"/sha256/{line['digest']}", line["locations"][0]["url"].removeprefix(tight.url)):
        assert ask(tight, get("Range: bytes=" + ",".join(["0-0"] * 5), target=path)).status == 206
        assert ask(tight, get("Range: bytes=" + ",".join(["0-0"] * 6), target=path)).status == 200


def test_copies_from_other_nodes_are_not_measured_anew(tight):
    """What a cluster has taken must be repairable, whatever the limit is now."""
    assert tight.put("/replica/limits", message(6, 8192)).status_code == 201


def test_wrong_limits_are_refused_at_the_start(daemons):
    for name, value in (("head-max", "10"), ("fields-max", "101"), ("ranges-max", "1001"), ("message-max", "2GiB"), ("rate-min", "0")):
        node = daemons.node("refused", ready=False, arguments=[f"--{name}", value])
        assert node.process.wait(60) == 2
        assert f"--{name}" in node.output()
        node.process = None
    for name, value in (("head-max", "10"), ("fields-max", "101"), ("connections", "0"), ("rate-window", "2h")):
        indexer = daemons.indexer([], "refused-indexer", ready=False, arguments=[f"--{name}", value])
        assert indexer.process.wait(60) == 2
        assert f"--{name}" in indexer.output()
        indexer.process = None


# --- time ---

def in_time(attempt, tries=20):
    """The clocks of the hasty ones are short: where the machine keeps this test, or them, waiting for a moment, a good client looks like a
    bad one. What is wrong is wrong each time."""
    for left in reversed(range(tries)):
        try:
            return attempt()
        except (AssertionError, ConnectionError, requests.RequestException):
            if left == 0:
                raise
    return None


def await_closed(wire):
    with contextlib.suppress(ConnectionResetError):
        while wire.more():
            pass


def drip(wire, data=b"a", pause_s=0.02, most_s=20, begun=None):
    """A byte now and then, until the server says something or is gone; how long that took since begun."""
    begun = begun or time.monotonic()
    wire.socket.settimeout(pause_s)
    while time.monotonic() - begun < most_s:
        wire.send(data)
        try:
            if wire.more():
                break
        except TimeoutError:
            continue
        except ConnectionResetError:
            break
        break
    wire.socket.settimeout(TIMEOUT_S)
    return time.monotonic() - begun


def test_a_slow_head_is_408_however_often_a_byte_comes(hasty_either):
    def attempt():
        begun = time.monotonic()  # before the server's clock can have begun
        with Wire(hasty_either) as wire:
            wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: ")
            assert WAIT_MS / 1000 * 0.9 < drip(wire, begun=begun) < LATE_S
            answer = wire.answer()
            assert (answer.status, answer.closes) == (408, True)
            problem_of(answer, "timeout")
    in_time(attempt)


def test_a_slow_body_is_408_and_stores_what_was_whole(hasty):
    numbers = itertools.count(1000)

    def attempt():
        with Wire(hasty) as wire:
            wire.send(request("PUT", "/ingest/limits/") [:-2] + b"Content-Length: 60000\r\n\r\n" + message(next(numbers)))
            assert drip(wire) < LATE_S
            answer = wire.answer()
            assert (answer.status, answer.closes) == (408, True)
            assert problem_of(answer, "timeout").get("stored") == 1
    in_time(attempt)


def test_a_slow_question_is_408(nodes):
    indexer = next(node for node in nodes if node.name == "hasty indexer")

    def attempt():
        with Wire(indexer) as wire:
            wire.send(request("POST", "/v1/fields")[:-2] + b"Content-Length: 60000\r\n\r\n")
            assert drip(wire) < LATE_S
            answer = wire.answer()
            assert (answer.status, answer.closes) == (408, True)
            problem_of(answer, "timeout")
    in_time(attempt)


def test_a_body_that_keeps_the_rate_is_read(hasty):
    """A PUT of 2,000 bytes every 60 ms: 33 kB/s, over more than two windows."""
    body = message(8).ljust(60_000, b" ")

    def attempt():
        with Wire(hasty) as wire:
            wire.send(request("PUT", "/ingest/limits/", body=body)[:-len(body)])
            begun = time.monotonic()
            for at in range(0, len(body), 2_000):
                wire.send(body[at:at + 2_000])
                time.sleep(max(0, begun + 0.06 * (at / 2_000 + 1) - time.monotonic()))
            assert time.monotonic() - begun > 2 * WINDOW_MS / 1000
            assert wire.answer().status in (200, 201)
    in_time(attempt)


def test_a_reader_that_takes_nothing_is_cut(hasty):
    def put():
        answer = hasty.put("/ingest/limits/", message(9, 16 * MIB))
        assert answer.status_code in (200, 201), answer.text
        return answer.json()["messages"][0]
    line = in_time(put)
    for path in (line["locations"][0]["url"].removeprefix(hasty.url), f"/sha256/{line['digest']}"):
        def attempt(path=path):
            before = in_time(lambda: aborted(hasty))
            with Wire(hasty, receive_size=4096) as wire:
                wire.send(request("GET", path))
                await_condition(lambda: in_time(lambda: aborted(hasty)) > before, "the reader is given up")
                head = wire.head()
                assert head.status == 200
                with pytest.raises((AssertionError, ConnectionResetError)):
                    wire.take(int(head.get("Content-Length")))
        in_time(attempt)


def aborted(node):
    found = re.search(r"^gribstore_http_aborted_total (\d+)", node.get("/metrics").text, re.MULTILINE)
    assert found, "it has not answered"
    return int(found[1])


def test_a_connection_without_a_request_is_closed_in_time(hasty_either):
    def attempt():
        with Wire(hasty_either) as wire:
            begun = time.monotonic()  # before the answer that the server counts from
            wire.send(get())
            assert wire.answer().status == 200
            await_closed(wire)
            assert WAIT_MS / 1000 * 3 < time.monotonic() - begun < LATE_S
    in_time(attempt)


def test_a_refused_client_that_goes_on_is_cut_in_time(hasty_either):
    def attempt():
        with Wire(hasty_either) as wire:
            wire.send(b"nonsense\r\n\r\n")
            assert wire.answer().status == 400
            assert drip(wire) < LATE_S
    in_time(attempt)


# --- what many clients at once may hold ---

def connections_of(wire):
    wire.send(get(target="/metrics"))
    return int(re.search(rb"^gribstore_http_connections (\d+)", wire.answer().body, re.MULTILINE)[1])


def test_more_connections_than_the_limit_wait_for_their_turn(daemons, node):
    indexer = daemons.indexer([node], arguments=["--connections", "4"])
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Wire(indexer))
        assert connections_of(first) <= 4
        others = [stack.enter_context(Wire(indexer)) for _ in range(8)]
        for wire in others:
            wire.send(get())
        assert connections_of(first) <= 4
        first.socket.close()
        for wire in others:  # each makes room for the next
            assert wire.answer().status == 200
            wire.socket.close()


def test_messages_on_their_way_out_hold_a_bounded_memory(daemons):
    """4 MiB in all here: room for one large message that is streamed; others are told to come again."""
    node = daemons.node("n1", arguments=["--loops", "1", "--body-memory", "8MiB", "--rate-window", "10min"])
    data = message(1, 24 * MIB)
    path = f"/sha256/{node.put('/ingest/out/', data).json()['messages'][0]['digest']}"
    with Wire(node, receive_size=4096) as slow:
        slow.send(request("GET", path))
        assert slow.head().status == 200
        answer = ask(node, request("GET", path))
        assert (answer.status, answer.closes) == (503, False)
        problem_of(answer, "overloaded")
        assert node.get("/healthz").status_code == 200
    await_condition(lambda: ask(node, request("HEAD", path), "HEAD").status == 200, "there is room again")
    assert node.get(path).content == data


def begin_put(node, length):
    """A map's PUT whose body does not come."""
    wire = Wire(node)
    wire.send(request("PUT", "/cluster/map", "Expect: 100-continue", f"Content-Length: {length}"))
    return wire, wire.head()


def test_bodies_that_are_gathered_whole_have_a_limit_in_all(daemons):
    node = daemons.node("n1", arguments=["--loops", "1", "--rate-window", "10min"])
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            wire, answer = begin_put(node, 60 << 20)
            stack.enter_context(wire)
            assert answer.status == 100
        wire, answer = begin_put(node, 60 << 20)
        stack.enter_context(wire)
        assert answer.status == 503 and int(answer.get("Retry-After")) > 0
        question = {"source": "x", "base_time": "2020-01-02T03:00:00Z", "digests": ["0" * 64]}
        assert node.post("/have", json=question).status_code == 200  # a small one has room

    def room():
        wire, answer = begin_put(node, 60 << 20)
        with wire:
            return answer.status == 100

    await_condition(room, "those that left have given it back")


def test_a_node_without_descriptors_refuses_for_now_and_not_for_good(node):
    messages = [dated_message(month) for month in range(1, 13)]
    assert node.put("/ingest/files/", messages[0]).status_code == 201
    pid = node.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(number) for number in os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 8, before[1]))
    answer = node.put("/ingest/files/", b"".join(messages))  # a directory and a journal each
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded"), answer.text
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    answer = node.put("/ingest/files/", b"".join(messages))
    assert answer.status_code == 201, answer.text
    assert answer.json()["stored"] + answer.json()["known"] == 12
    assert node.get("/readyz").status_code == 200


def test_daemons_take_as_many_descriptors_as_they_may_have(daemons):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        node = daemons.node("n1")
        indexer = daemons.indexer([node])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for daemon in (node, indexer):
        assert resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)[0] == hard
