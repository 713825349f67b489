"""Nginx, Varnish and HAProxy in front of a node: the same bytes, the right things cached, and nothing smuggled through."""

import contextlib
import hashlib
import random
import re
import time

import pytest

import proxies
from conftest import Daemons
from processes import await_condition
from raw_http import TIMEOUT_S, Wire, ask, chunked, request

MIB = 1 << 20


def message(number=0, size=49, source_year=2020):
    """An edition 2 message of that size; nobody could decode it."""
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + source_year.to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + number.to_bytes(8, "big") + random.Random(number).randbytes(size - 49)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    running = Daemons(tmp_path_factory.mktemp("behind"))
    yield running.node("behind", arguments=["--shards", "1", "--access-log"])
    running.stop()


@pytest.fixture(scope="module", params=proxies.ALL, ids=lambda kind: kind.program)
def proxy(node, request, tmp_path_factory):
    if proxies.find(request.param.program) is None:
        pytest.skip(f"no {request.param.program} here: ops/setup --test brings it")
    front = request.param(tmp_path_factory.mktemp("front"), node)
    try:
        yield front.start()
    finally:
        front.stop()


@pytest.fixture(scope="module")
def lines(node):
    """Of a small message, and of one that is streamed."""
    return node.put("/ingest/proxied/", message(1, 5000) + message(2, 3 * MIB)).json()["messages"]


@pytest.fixture(scope="module")
def path(node, lines):
    return lines[0]["locations"][0]["url"].removeprefix(node.url)


def seen_by(node, path, method="GET"):
    """How many requests of a path the node's access log has. A path is one test's own: what others asked for may be logged meanwhile."""
    return len(re.findall(rf"http\.request.* method={method} path={re.escape(path)} ", node.output()))


def await_seen(node, path, count):
    """A request is logged when its answer's last byte has left: who has that byte may be a moment early."""
    await_condition(lambda: seen_by(node, path) >= count, f"{count} requests of {path} are logged")
    assert seen_by(node, path) == count


def unlike(answer):
    """Without what a proxy may add, and what differs from one answer to the next."""
    mine = {"etag", "last-modified", "cache-control", "accept-ranges", "content-type", "content-length", "content-range",
            "x-content-type-options", "access-control-allow-origin", "repr-digest"}
    return {name.lower(): value for name, value in answer.fields if name.lower() in mine}


def boundary_of(answer):
    return re.search(r"boundary=([0-9A-Za-z]+)$", answer.get("Content-Type"))[1].encode()


def parts_of(answer):
    """Offsets and bytes of a multipart answer, whoever made it."""
    boundary, parts = boundary_of(answer), []
    for part in answer.body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        first, last = map(int, re.search(rb"Content-Range: bytes (\d+)-(\d+)/", head).groups())
        parts.append((first, last, content.removesuffix(b"\r\n")))
    return parts


# --- reading ---

ASKED = [
    [], ["Range: bytes=0-0"], ["Range: bytes=100-"], ["Range: bytes=-7"], ["Range: bytes=4990-99999999"], ["Range: bytes=99999999-"],
    ["Range: nonsense"], ['If-None-Match: "x"'], ['If-Match: "x"'], ["If-Range: \"x\"", "Range: bytes=0-3"],
    ["If-Modified-Since: Mon, 01 Jan 1990 00:00:00 GMT"],
]


@pytest.mark.parametrize("fields", ASKED, ids=lambda fields: "; ".join(fields) or "whole")
def test_a_data_file_reads_as_from_the_node(node, proxy, path, fields):
    direct, through = ask(node, request("GET", path, *fields)), ask(proxy, request("GET", path, *fields))
    assert (through.status, through.body) == (direct.status, direct.body) or direct.status >= 400
    assert through.status == direct.status
    if direct.status < 400:
        assert unlike(through) == unlike(direct)
    headed = ask(proxy, request("HEAD", path, *fields), "HEAD")
    assert unlike(headed) == unlike(ask(node, request("HEAD", path, *fields), "HEAD"))


def test_conditions_are_judged_alike(node, proxy, path, lines):
    for target in (path, f"/sha256/{lines[0]['digest']}"):
        head = ask(node, request("HEAD", target), "HEAD")
        for fields in ([f"If-None-Match: {head.get('ETag')}"], [f"If-Modified-Since: {head.get('Last-Modified')}"]):
            for method in ("GET", "HEAD"):
                through = ask(proxy, request(method, target, *fields), method)
                assert (through.status, through.get("ETag"), through.body) == (304, head.get("ETag"), b"")
        part = ask(proxy, request("GET", target, f"If-Range: {head.get('ETag')}", "Range: bytes=0-3"))
        assert (part.status, part.body) == (206, b"GRIB")


def test_several_ranges_come_through(node, proxy, path, lines):
    """1,000 of them, too, in a line as long as it gets."""
    content = node.get(path).content
    few = [(500, 700), (0, 3), (100, 120)]
    many = [(at * 37 % 1_000_000, at * 37 % 1_000_000 + 2) for at in range(1000)]
    for wanted in (few, many):
        answer = ask(proxy, request("GET", path, "Range: bytes=" + ",".join(f"{first:010}-{last:010}" for first, last in wanted)))
        assert answer.status == 206
        assert parts_of(answer) == [(first, last, content[first:last + 1]) for first, last in wanted]
    for line, size in zip(lines, (5000, 3 * MIB)):
        data = message(1 if size == 5000 else 2, size)
        answer = ask(proxy, request("GET", f"/sha256/{line['digest']}", "Range: bytes=0-3,100-120,-4"))
        assert answer.status == 206
        assert parts_of(answer) == [(0, 3, data[:4]), (100, 120, data[100:121]), (size - 4, size - 1, data[-4:])]


def test_a_growing_file_is_never_stale(node, proxy):
    """What the proxy has seen before says nothing of now: no 416 for bytes that are there, no old size."""
    source = f"growing-{proxy.program}"
    path = node.put(f"/ingest/{source}/", message(3, 3000)).json()["messages"][0]["locations"][0]["url"].removeprefix(node.url)
    for _ in range(3):
        size = int(ask(proxy, request("HEAD", path), "HEAD").get("Content-Length"))
        assert ask(proxy, request("GET", path, f"Range: bytes={size}-")).status == 416
        etag = ask(proxy, request("GET", path, "Range: bytes=0-0")).get("ETag")
        data = message(random.getrandbits(40), 3000)
        assert node.put(f"/ingest/{source}/", data).status_code == 201
        grown = ask(proxy, request("GET", path, f"Range: bytes={size}-"))
        assert (grown.status, grown.body) == (206, data)
        assert grown.get("Content-Range") == f"bytes {size}-{size + 2999}/{size + 3000}"
        assert ask(proxy, request("GET", path, f"If-None-Match: {etag}")).status == 200
        assert len(ask(proxy, request("GET", path, f"If-Range: {etag}", "Range: bytes=0-3")).body) == size + 3000


# --- caching ---

def test_messages_are_cached_for_good(node, proxy):
    for number, size in ((random.getrandbits(40), 2000), (random.getrandbits(40), 2 * MIB)):
        data = message(number, size)
        target = f"/sha256/{node.put('/ingest/written/', data).json()['messages'][0]['digest']}"
        first = ask(proxy, request("GET", target))
        assert (first.status, first.body, first.get("X-Cache")) == (200, data, "MISS" if proxy.caches else None)
        await_seen(node, target, 1)
        asked = 1
        while proxy.caches and asked < 100 and ask(proxy, request("GET", target)).get("X-Cache") != "HIT":
            asked += 1  # whoever has the last byte may be a moment ahead of the cache
        for fields, status, body in (([], 200, data), (["Range: bytes=0-3"], 206, data[:4]), (["Range: bytes=-4"], 206, data[-4:]),
                                     ([f"If-None-Match: {first.get('ETag')}"], 304, b"")):
            answer = ask(proxy, request("GET", target, *fields))
            assert (answer.status, answer.body, answer.get("X-Cache")) == (status, body, "HIT" if proxy.caches else None), fields
            assert answer.get("ETag") == first.get("ETag") and "immutable" in answer.get("Cache-Control")
        await_seen(node, target, asked if proxy.caches else 5)


def test_what_is_missing_is_not_remembered(node, proxy):
    data = message(random.getrandbits(40), 2000)
    target = f"/sha256/{hashlib.sha256(data).hexdigest()}"
    for count in (1, 2):
        answer = ask(proxy, request("GET", target))
        assert (answer.status, answer.json["code"], answer.get("Cache-Control")) == (404, "not-found", "no-store")
        await_seen(node, target, count)
    node.put("/ingest/written/", data)
    assert ask(proxy, request("GET", target)).body == data


def test_a_purged_run_is_gone_at_once(node, proxy):
    source = f"purged-{proxy.program}"
    data = message(random.getrandbits(40), 2000)
    location = node.put(f"/ingest/{source}/", data).json()["messages"][0]["locations"][0]
    target = location["url"].removeprefix(node.url)
    assert ask(proxy, request("GET", target)).body == data
    run = f"{source}/20200102T0300Z"
    assert node.put(f"/cluster/runs/{run}", '{"incarnation": 1, "version": 2, "state": "retired"}').status_code == 200
    assert node.delete(f"/data/{run}/?incarnation=1&version=2").status_code == 204
    for method in ("GET", "HEAD", "GET"):
        answer = ask(proxy, request(method, target), method)
        assert answer.status in (404, 410) and answer.get("Cache-Control") == "no-store"


# --- writing ---

@pytest.mark.parametrize("expect", [False, True], ids=["at once", "Expect"])
@pytest.mark.parametrize("size", [1000, 20 * MIB])
def test_a_put_comes_through(node, proxy, size, expect):
    data = message(random.getrandbits(40), size)
    head = request("PUT", "/ingest/written/", *(["Expect: 100-continue"] if expect else []), body=data)[:-len(data)]
    with Wire(proxy) as wire:
        wire.send(head)
        if expect:
            assert wire.head().status == 100
        wire.send(data)
        answer = wire.answer()
        assert answer.status == 201, answer
        assert node.get(f"/sha256/{answer.json['messages'][0]['digest']}").content == data


def test_a_chunked_put_comes_through(node, proxy):
    data = message(random.getrandbits(40), 300_000)
    pieces = [data[at:at + 7000] for at in range(0, len(data), 7000)]
    extras = {} if proxy.plain_chunks else {"extension": b";a=b", "trailers": b"X-Trailer: y\r\n"}
    with Wire(proxy) as wire:
        wire.send(request("PUT", "/ingest/written/", "Transfer-Encoding: chunked") + chunked(*pieces, **extras))
        answer = wire.answer()
        assert answer.status == 201, answer
    assert node.get(f"/sha256/{answer.json['messages'][0]['digest']}").content == data


def test_errors_come_through_as_they_are(node, proxy):
    for data, status, code in (
            (request("PUT", "/ingest/written/", body=b"<html>"), 422, "not-grib"), (request("PUT", "/ingest/PROXIED/", body=b"x"), 400, "bad-value"),
            (request("POST", "/ingest/written/", body=b"x"), 405, "method"), (request("GET", "/none"), 404, "not-found")):
        answer = ask(proxy, data)
        assert (answer.status, answer.json["code"], answer.get("Content-Type")) == (status, code, "application/problem+json")
        assert answer.get("X-Request-Id") == answer.json["instance"]
    assert ask(proxy, request("POST", "/ingest/written/", body=b"x")).get("Allow") == "PUT, OPTIONS"


# --- connections ---

def test_requests_one_after_another_and_at_once(proxy, path):
    ids = [f"r{number}" for number in range(20)]
    wanted = [request("GET", path if number % 3 else "/healthz", "Range: bytes=0-9", f"X-Request-Id: {name}")
              for number, name in enumerate(ids)]
    with Wire(proxy) as wire:
        for one, name in zip(wanted, ids):
            wire.send(one)
            answer = wire.answer()
            assert (answer.get("X-Request-Id"), answer.closes) == (name, False)
        wire.send(b"".join(wanted))
        assert [wire.answer().get("X-Request-Id") for _ in ids] == ids


def test_slow_clients_are_served(node, proxy):
    """A reader that takes 64 KiB now and then, and a writer that brings 2 KiB now and then."""
    data = message(random.getrandbits(40), 2 * MIB)
    line = node.put("/ingest/written/", data).json()["messages"][0]
    with Wire(proxy, receive_size=8192) as wire:
        wire.send(request("GET", f"/sha256/{line['digest']}"))
        length, taken = int(wire.head().get("Content-Length")), b""
        while len(taken) < length:
            taken += wire.take(min(1 << 16, length - len(taken)))
            time.sleep(0.01)
        assert taken == data
    data = message(random.getrandbits(40), 60_000)
    with Wire(proxy) as wire:
        wire.send(request("PUT", "/ingest/written/", body=data)[:-len(data)])
        for at in range(0, len(data), 2000):
            wire.send(data[at:at + 2000])
            time.sleep(0.02)
        assert wire.answer().status == 201


# --- smuggling: what hides in a body must not be answered to the next client ---

HIDDEN = b"GET /none HTTP/1.1\r\nHost: x\r\nX-Request-Id: hidden\r\n\r\n"
PUT = b"PUT /ingest/written/ HTTP/1.1\r\nHost: x\r\n"
ATTACKS = {
    "both framings": PUT + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (5 + len(HIDDEN)) + HIDDEN,
    "both, the short length first": PUT + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n",
    "two lengths": PUT + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a list of lengths": PUT + b"Content-Length: 0, %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a signed length": PUT + b"Content-Length: +%d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a long length": PUT + b"Content-Length: 18446744073709551616\r\n\r\n" + HIDDEN,
    "chunked twice": PUT + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "xchunked": PUT + b"Transfer-Encoding: xchunked\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a vertical tab": PUT + b"Transfer-Encoding: \x0bchunked\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a blank before the colon": PUT + b"Transfer-Encoding : chunked\r\nContent-Length: %d\r\n\r\n" % (5 + len(HIDDEN)) + b"0\r\n\r\n" + HIDDEN,
    "folded": PUT + b"A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n" % (5 + len(HIDDEN)) + b"0\r\n\r\n" + HIDDEN,
    "a bare CR": PUT + b"A: b\rTransfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n" % (5 + len(HIDDEN)) + b"0\r\n\r\n" + HIDDEN,
    "a NUL": PUT + b"A: b\0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "chunked in HTTP/1.0": b"PUT /ingest/written/ HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n" %
                           (5 + len(HIDDEN)) + HIDDEN,
    "a size beyond 64 bits": PUT + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + HIDDEN,
    "a size with 0x": PUT + b"Transfer-Encoding: chunked\r\n\r\n0x%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n",
    "a bare LF in a chunk's line": PUT + b"Transfer-Encoding: chunked\r\n\r\n3;\nxxx\r\n0\r\n\r\n" + HIDDEN,
    "a trailer that is folded": PUT + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n" + HIDDEN,
    "a body behind a GET": b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "a body behind a HEAD": b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "an upgrade": b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + HIDDEN,
    "two Hosts": b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + HIDDEN,
    "a rest that the next would complete": PUT + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /none HTTP/1.1\r\nA: ",
}


END = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def hidden_in(node, name):
    return node.output().count(f"request={name}")


def answers_to(name, answers):
    return sum(answer.get("X-Request-Id") == name for answer in answers)


def test_a_hidden_request_is_seen_where_it_comes_through(node):
    hidden = f"{random.getrandbits(24):06x}"  # of this test alone
    assert ask(node, HIDDEN.replace(b"hidden", hidden.encode())).get("X-Request-Id") == hidden
    await_condition(lambda: hidden_in(node, hidden) == 1, "the log has it")


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_is_smuggled(node, proxy, name):
    """If the node sees the hidden request, the proxy has seen it as well: its answer goes to who sent it, and to nobody else."""
    hidden, answers = f"{random.getrandbits(24):06x}", []  # as long as the word, and of this attack alone
    with Wire(proxy) as wire:
        wire.send(ATTACKS[name].replace(b"hidden", hidden.encode()) + END)
        with contextlib.suppress(AssertionError, TimeoutError, ConnectionResetError):
            while True:
                # Some leave the proxy waiting for more: what has come is all there is. Who has not been answered waits for that.
                wire.socket.settimeout(3 if answers or name.startswith("a rest") else TIMEOUT_S)
                answers.append(wire.answer("HEAD" if "HEAD" in name and not answers else "GET"))
        if hidden_in(node, hidden) > answers_to(hidden, answers):  # three seconds may be too few: it is on its way, here or to somebody else
            with contextlib.suppress(AssertionError, TimeoutError, ConnectionResetError):
                wire.socket.settimeout(TIMEOUT_S)
                answers.append(wire.answer())
    for number in range(4):
        victim = ask(proxy, request("GET", "/healthz", f"X-Request-Id: victim-{number}"))
        assert (victim.status, victim.get("X-Request-Id")) == (200, f"victim-{number}")
    assert hidden_in(node, hidden) <= answers_to(hidden, answers), answers
    assert answers or name.startswith("a rest"), "no answer at all"


def test_what_the_node_would_refuse_is_refused(node, proxy):
    """Of the worst, none is taken: the proxy says 400 or 501, or the node does."""
    path, marker = f"/ingest/{proxy.program:_<7.7}/", f"/none/{random.getrandbits(40)}"
    for name in ("two lengths", "a signed length", "a long length", "xchunked", "a vertical tab", "a NUL", "a bare CR", "two Hosts"):
        answer = ask(proxy, ATTACKS[name].replace(b"/ingest/written/", path.encode()))
        assert answer.status in (400, 501), name
    ask(node, request("GET", marker))
    await_seen(node, marker, 1)  # so what came before it is logged, too
    taken = [line for line in node.output().splitlines() if f" path={path} " in line]
    assert all(" status=400 " in line for line in taken), taken


def test_a_node_that_goes_is_told(node, proxy, lines):
    """Its proxy answers for it, and again with its bytes when it is back."""
    node.stop()
    assert ask(proxy, request("GET", "/healthz")).status in (502, 503, 504)
    node.start().wait_ready()
    await_condition(lambda: ask(proxy, request("GET", "/healthz")).status == 200, "it is back")
    assert ask(proxy, request("GET", f"/sha256/{lines[0]['digest']}")).body == message(1, 5000)
