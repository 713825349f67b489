"""Where a request begins and ends (RFC 9112): tables of raw bytes by section, sent to both daemons over bare sockets.

Behind every case a second request follows in the same bytes. Whatever a case is refused with, that one is not answered: it may
be what an attacker hid in the first one's body. Where a case is served, it is answered too, and as itself.
"""

import os
import socket

import pytest

from conftest import Daemons
from raw_http import Wire, ask, chunked, problem_of, request

CANARY = b"GET /healthz HTTP/1.1\r\nHost: canary\r\nX-Request-Id: canary\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
PUT = b"PUT /ingest/wire/ HTTP/1.1\r\nHost: x\r\n"
CHUNKED = PUT + b"Transfer-Encoding: chunked\r\n\r\n"


def message(number=0):
    """An edition 2 message that frames and has a date; nobody could decode it."""
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + number.to_bytes(8, "big")
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


@pytest.fixture(scope="module")
def daemons(tmp_path_factory):
    running = Daemons(tmp_path_factory.mktemp("framing"))
    patient = ["--linger", "60s"]  # with a client that goes on sending, however slow this machine is
    running.node(arguments=patient)
    running.indexer([running.started[0]], arguments=patient)
    yield running
    running.stop()


@pytest.fixture(params=["storaged", "indexer"])
def face(daemons, request):
    return daemons.started[request.param == "indexer"]


@pytest.fixture
def node(daemons):
    return daemons.started[0]


# --- refused: section, what, bytes, status. The answer says close, and the second request is not answered. ---

REFUSED_HEADS = [
    ("9112 2.2", "bare LF", b"GET /healthz HTTP/1.1\nHost: x\n\n", 400),
    ("9112 2.2", "bare LF after a field", GET + b"A: b\nC: d\r\n\r\n", 400),
    ("9112 2.2", "bare CR in a value", GET + b"A: b\rC: d\r\n\r\n", 400),
    ("9112 2.2", "bare CR ends the head", GET + b"A: b\r\r\n\r\n", 400),
    ("9112 2.2", "NUL in a value", GET + b"A: b\0c\r\n\r\n", 400),
    ("9112 2.2", "NUL in a name", GET + b"A\0: b\r\n\r\n", 400),
    ("9112 2.2", "NUL in the target", b"GET /health\0z HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 2.2", "two empty lines in front", b"\r\n\r\n" + GET + b"\r\n", 400),
    ("9112 2.2", "a blank before the first field", b"GET /healthz HTTP/1.1\r\n Host: x\r\n\r\n", 400),
    ("9112 2.3", "HTTP/0.9", b"GET /healthz\r\n\r\n", 400),
    ("9112 2.3", "HTTP/1.2", b"GET /healthz HTTP/1.2\r\nHost: x\r\n\r\n", 400),
    ("9112 2.3", "HTTP/2.0", b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n", 400),
    ("9112 2.3", "HTTP/1.10", b"GET /healthz HTTP/1.10\r\nHost: x\r\n\r\n", 400),
    ("9112 2.3", "http/1.1", b"GET /healthz http/1.1\r\nHost: x\r\n\r\n", 400),
    ("9113 3.4", "the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("9112 3", "two blanks", b"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 3", "a tab", b"GET\t/healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 3", "a blank at the end", b"GET /healthz HTTP/1.1 \r\nHost: x\r\n\r\n", 400),
    ("9112 3", "a blank in the target", b"GET /health z HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 3", "no method", b" /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 3.1", "a method that is no token", b"G(T /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 3.2", "a target that is neither path nor URL", b"GET healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 3.2", "a fragment", b"GET /healthz#a HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 3.2", "bytes past ASCII", "GET /healthé HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 400),
    ("9112 3.2.2", "another scheme", b"GET ftp://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9110 4.2.1", "a URL without a host", b"GET http:///healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9110 4.2.4", "a user in the URL", b"GET http://u:p@x/healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 3.2.3", "CONNECT", b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", 400),
    ("9112 3.2.4", "GET *", b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("9112 3.2", "no Host", b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    ("9112 3.2", "no Host beside a URL", b"GET http://x/healthz HTTP/1.1\r\n\r\n", 400),
    ("9112 3.2", "two Hosts", GET + b"Host: y\r\n\r\n", 400),
    ("9112 3.2", "the same Host twice", GET + b"Host: x\r\n\r\n", 400),
    ("9110 7.2", "an empty Host", b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", 400),
    ("9110 7.2", "a path in Host", b"GET /healthz HTTP/1.1\r\nHost: x/y\r\n\r\n", 400),
    ("9110 7.2", "a user in Host", b"GET /healthz HTTP/1.1\r\nHost: u@x\r\n\r\n", 400),
    ("9110 7.2", "a list in Host", b"GET /healthz HTTP/1.1\r\nHost: x y\r\n\r\n", 400),
    ("9110 7.2", "a port beyond 65535", b"GET /healthz HTTP/1.1\r\nHost: x:65536\r\n\r\n", 400),
    ("9112 5.1", "a blank before the colon", GET + b"A : b\r\n\r\n", 400),
    ("9112 5.1", "a tab before the colon of a framing field", PUT + b"Content-Length\t: 5\r\n\r\nhello", 400),
    ("9112 5.1", "an empty name", GET + b": b\r\n\r\n", 400),
    ("9112 5.1", "no colon", GET + b"A\r\n\r\n", 400),
    ("9110 5.6.2", "a name that is no token", GET + b"A/B: c\r\n\r\n", 400),
    ("9110 5.5", "a control character", GET + b"A: b\x08c\r\n\r\n", 400),
    ("9112 5.2", "obs-fold", GET + b"A: b\r\n c\r\n\r\n", 400),
    ("9112 5.2", "obs-fold with a tab", GET + b"A: b\r\n\tc\r\n\r\n", 400),
    ("9112 5.2", "obs-fold in a length", PUT + b"Content-Length: 1\r\n 0\r\n\r\n", 400),
    ("9112 6.1", "both framings", PUT + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("9112 6.1", "both, the other way round", PUT + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    ("9112 6.1", "chunked twice", PUT + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("9112 6.1", "chunked, chunked", PUT + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    ("9112 6.1", "gzip, chunked", PUT + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    ("9112 6.1", "chunked, identity", PUT + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    ("9112 6.1", "identity", PUT + b"Transfer-Encoding: identity\r\n\r\n", 400),
    ("9112 6.1", "xchunked", PUT + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    ("9112 6.1", "a vertical tab before chunked", PUT + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("9112 6.1", "chunked in quotes", PUT + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
    ("9112 6.1", "chunked with a parameter", PUT + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", 400),
    ("9112 6.1", "an empty coding", PUT + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
    ("9112 6.1", "chunked in HTTP/1.0", b"PUT /ingest/wire/ HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("9112 6.3", "a list of lengths", PUT + b"Content-Length: 5, 5\r\n\r\nhello", 400),
    ("9112 6.3", "two lengths", PUT + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    ("9112 6.3", "the same length twice", PUT + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    ("9112 6.3", "+5", PUT + b"Content-Length: +5\r\n\r\nhello", 400),
    ("9112 6.3", "-5", PUT + b"Content-Length: -5\r\n\r\nhello", 400),
    ("9112 6.3", "0x5", PUT + b"Content-Length: 0x5\r\n\r\nhello", 400),
    ("9112 6.3", "5 5", PUT + b"Content-Length: 5 5\r\n\r\nhello", 400),
    ("9112 6.3", "5.0", PUT + b"Content-Length: 5.0\r\n\r\nhello", 400),
    ("9112 6.3", "no digits", PUT + b"Content-Length:\r\n\r\nhello", 400),
    ("9112 6.3", "20 digits", PUT + b"Content-Length: 00000000000000000005\r\n\r\nhello", 400),
    ("9112 6.3", "beyond 64 bits", PUT + b"Content-Length: 18446744073709551621\r\n\r\nhello", 400),
]

REFUSED_CHUNKS = [
    ("9112 7.1", "no size", b"\r\nhello\r\n0\r\n\r\n"),
    ("9112 7.1", "a size that is none", b"g\r\nhello\r\n0\r\n\r\n"),
    ("9112 7.1", "0x5", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("9112 7.1", "-5", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("9112 7.1", "+5", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("9112 7.1", "a blank before the size", b" 5\r\nhello\r\n0\r\n\r\n"),
    ("9112 7.1", "a blank behind the size", b"5 \r\nhello\r\n0\r\n\r\n"),
    ("9112 7.1", "2 to the 64th and 5", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("9112 7.1", "no end of digits", b"f" * 64 + b"\r\nhello\r\n0\r\n\r\n"),
    ("9112 7.1", "a bare LF behind the size", b"5\nhello\r\n0\r\n\r\n"),
    ("9112 7.1", "a bare LF behind the bytes", b"5\r\nhello\n0\r\n\r\n"),
    ("9112 7.1", "a bare CR behind the size", b"5\rhello\r\n0\r\n\r\n"),
    ("9112 7.1", "more bytes than the size", b"5\r\nhelloX\r\n0\r\n\r\n"),
    ("9112 7.1", "fewer bytes than the size", b"6\r\nhello\r\n0\r\n\r\n"),
    ("9112 7.1.1", "a bare LF ends an extension", b"5;a\nhello\r\n0\r\n\r\n"),
    ("9112 7.1.1", "a bare CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("9112 7.1.1", "a NUL in an extension", b"5;a\0b\r\nhello\r\n0\r\n\r\n"),
    ("9112 7.1.1", "an extension of 5 KiB", b"5;" + b"a" * 5120 + b"\r\nhello\r\n0\r\n\r\n"),
    ("9112 7.1.1", "20 KiB of extensions", b"".join(b"1;" + b"a" * 2000 + b"\r\nx\r\n" for _ in range(10)) + b"0\r\n\r\n"),
    ("9112 7.1.2", "trailers of 9 KiB", b"5\r\nhello\r\n0\r\n" + b"A: b\r\n" * 1536 + b"\r\n"),
    ("9112 7.1.2", "a trailer that is no field", b"5\r\nhello\r\n0\r\nA b\r\n\r\n"),
    ("9112 7.1.2", "a trailer without a name", b"5\r\nhello\r\n0\r\n: b\r\n\r\n"),
    ("9112 7.1.2", "a blank before the colon of a trailer", b"5\r\nhello\r\n0\r\nA : b\r\n\r\n"),
    ("9112 7.1.2", "a trailer that is folded", b"5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n"),
    ("9112 7.1.2", "a bare LF ends a trailer", b"5\r\nhello\r\n0\r\nA: b\n\r\n"),
    ("9112 7.1.2", "a bare CR in a trailer", b"5\r\nhello\r\n0\r\nA: b\rc\r\n\r\n"),
    ("9112 7.1.2", "a NUL in a trailer", b"5\r\nhello\r\n0\r\nA: b\0c\r\n\r\n"),
    ("9112 7.1.2", "a bare LF ends the trailers", b"5\r\nhello\r\n0\r\n\n"),
]


def name_of(case):
    return f"{case[0]}: {case[1]}" if isinstance(case, tuple) else None


def refused(face, data, status):
    with Wire(face) as wire:
        wire.send(data + CANARY)
        answer = wire.answer()
        assert answer.status == status, answer
        assert answer.closes, answer
        problem_of(answer, "bad-request" if status == 400 else None)
        assert wire.closed()


@pytest.mark.parametrize("case", REFUSED_HEADS, ids=name_of)
def test_heads_that_are_refused(face, case):
    refused(face, case[2], case[3])


@pytest.mark.parametrize("case", REFUSED_CHUNKS, ids=name_of)
def test_chunked_bodies_that_are_refused(node, case):
    """Behind a whole message: what is refused is the framing, not the bytes. What was stored before is told."""
    with Wire(node) as wire:
        wire.send(CHUNKED + b"%x\r\n" % len(message(1)) + message(1) + b"\r\n" + case[2] + CANARY)
        answer = wire.answer()
        assert (answer.status, answer.closes) == (400, True), answer
        problem_of(answer, "bad-request")
        assert wire.closed()


# --- served: section, what, bytes, statuses. The second request is answered as well. ---

SERVED = [
    ("9112 2.2", "an empty line in front", b"\r\n" + GET + b"\r\n", [200]),
    ("9112 2.3", "HTTP/1.0 with keep-alive", b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", [200]),
    ("9112 3.2.2", "a URL", b"GET http://x/healthz HTTP/1.1\r\nHost: y\r\n\r\n", [200]),
    ("9112 3.2.2", "an https URL, port and query", b"GET HTTPS://x:1/data/none/20200101T0000Z/?format=json HTTP/1.1\r\nHost: y\r\n\r\n", [404]),
    ("9112 3.2.2", "a URL without a path", b"GET http://x HTTP/1.1\r\nHost: y\r\n\r\n", [404]),
    ("9112 3.2.4", "OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", [204]),
    ("9112 3.1", "a method that nobody knows", b"BREW /healthz HTTP/1.1\r\nHost: x\r\n\r\n", None),
    ("9110 7.2", "an address and a port", b"GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", [200]),
    ("9112 5", "blanks around a value", b"GET /healthz HTTP/1.1\r\nHost: \t x \t\r\n\r\n", [200]),
    ("9112 5", "no blank, no value, any byte past ASCII", GET + b"A:b\r\nC:\r\nD: \xff\r\n\r\n", [200]),
    ("9112 5", "names in any case", b"GET /healthz HTTP/1.1\r\nhOST: x\r\n\r\n", [200]),
    ("9110 5.5", "a field again and again", GET + b"A: b\r\n" * 90 + b"\r\n", [200]),
    ("9110 9.3.1", "a GET with a body", GET + b"Content-Length: 5\r\n\r\nhello", [200]),
    ("9112 6.3", "a body that looks like a request", GET + b"Content-Length: %d\r\n\r\n" % len(CANARY) + CANARY, [200]),
    ("9112 6.3", "leading zeros", GET + b"Content-Length: 0005\r\n\r\nhello", [200]),
    ("9110 7.8", "an upgrade to what we have not got", GET + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", [200]),
    ("9112 9.3.2", "three at once", (GET + b"\r\n") * 3, [200, 200, 200]),
    ("9112 9.3", "an error between two", GET + b"\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n" + GET + b"\r\n", [200, 404, 200]),
    ("9110 9.3.2", "a HEAD between two", GET + b"\r\n" + b"HEAD" + GET[3:] + b"\r\n", [200, "HEAD"]),
]


@pytest.mark.parametrize("case", SERVED, ids=name_of)
def test_requests_that_are_served(face, case):
    _, _, data, statuses = case
    with Wire(face) as wire:
        wire.send(data + CANARY)
        for status in statuses or [405]:
            answer = wire.answer("HEAD" if status == "HEAD" else "GET")
            assert answer.status == (200 if status == "HEAD" else status), answer
        if statuses is None:  # its framing is not certain: nothing behind it is believed
            assert answer.closes and wire.closed()
        else:
            canary = wire.answer()
            assert (canary.status, canary.get("X-Request-Id"), canary.closes) == (200, "canary", False)


CHUNKED_BODIES = [
    ("9112 7.1", "one chunk", chunked(message(2))),
    ("9112 7.1", "a byte a chunk", chunked(*[bytes([byte]) for byte in message(2)])),
    ("9112 7.1", "leading zeros, capitals", b"00000%X\r\n" % len(message(2)) + message(2) + b"\r\n000\r\n\r\n"),
    ("9112 7.1.1", "extensions", chunked(message(2), extension=b';a;b=c;d="e f"')),
    ("9112 7.1.1", "an extension of 4 KiB", chunked(message(2), extension=b";" + b"a" * 4000)),
    ("9112 7.1.2", "trailers", chunked(message(2), trailers=b"A: b\r\nC: d\r\n")),
    ("9110 6.5.1", "trailers that would change the framing", chunked(message(2), trailers=b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: y\r\n")),
    ("9110 6.5.1", "trailers that would change the request", chunked(message(2), trailers=b"Content-Encoding: gzip\r\nAuthorization: a\r\n")),
]


@pytest.mark.parametrize("case", CHUNKED_BODIES, ids=name_of)
def test_chunked_bodies_that_are_read(node, case):
    with Wire(node) as wire:
        wire.send(CHUNKED + case[2] + CANARY)
        answer = wire.answer()
        assert answer.status in (200, 201), answer
        assert [line["length"] for line in answer.json["messages"]] == [len(message(2))]
        assert wire.answer().get("X-Request-Id") == "canary"


# --- anywhere a network may cut ---

def test_requests_cut_at_every_byte_are_read_alike(node):
    data = CHUNKED.replace(b"Host", b"X-Request-Id: first\r\nHost") + chunked(message(3), trailers=b"A: b\r\n") + \
        request("HEAD", "/healthz", "X-Request-Id: second") + CANARY
    ask(node, CHUNKED + chunked(message(3)))
    with Wire(node) as wire:
        for cut in range(1, len(data)):
            wire.send(data[:cut])
            wire.send(data[cut:])
            seen = [wire.answer(), wire.answer("HEAD"), wire.answer()]
            assert [(answer.status, answer.get("X-Request-Id")) for answer in seen] == \
                [(200, "first"), (200, "second"), (200, "canary")], cut


def test_a_request_that_comes_byte_by_byte_is_read(node):
    with Wire(node) as wire:
        for byte in CHUNKED + chunked(message(3), extension=b";a=b"):
            wire.send(bytes([byte]))
        assert wire.answer().status in (200, 201)


# --- persistence, order, ends ---

def test_answers_keep_the_order_of_requests_behind_a_put_and_a_cold_read(node):
    """The second waits for the disks of the first; the fourth for a read that the page cache can't serve."""
    body = b"".join(message(number) for number in range(100, 400))
    line = node.put("/ingest/wire/", body).json()["messages"][0]
    path = line["locations"][0]["url"].removeprefix(node.url)
    run, name = path.removeprefix("/data/").rsplit("/", 1)
    with open(node.data / "runs" / run / name, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    fresh = b"".join(message(number) for number in range(1000, 1300))
    with Wire(node) as wire:
        wire.send(request("PUT", "/ingest/wire/", "X-Request-Id: r1", body=fresh) +
                  request("GET", "/healthz", "X-Request-Id: r2") + request("GET", path, "X-Request-Id: r3") +
                  request("GET", f"/sha256/{line['digest']}", "X-Request-Id: r4") + request("GET", "/none", "X-Request-Id: r5"))
        seen = [wire.answer() for _ in range(5)]
        assert [(answer.get("X-Request-Id"), answer.status) for answer in seen] == \
            [("r1", 201), ("r2", 200), ("r3", 200), ("r4", 200), ("r5", 404)]
        assert seen[0].json["stored"] == 300
        assert seen[3].body == message(100)


def test_http_1_0_is_answered_and_closed(node):
    with Wire(node) as wire:
        wire.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        answer = wire.answer()
        assert (answer.status, answer.closes, answer.get("Transfer-Encoding")) == (200, True, None)
        assert wire.closed()


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, close", "close, te"])
def test_close_is_obeyed(face, value):
    with Wire(face) as wire:
        wire.send(GET + f"Connection: {value}\r\n\r\n".encode() + CANARY)
        answer = wire.answer()
        assert (answer.status, answer.closes) == (200, True)
        assert wire.closed()


def test_clients_that_end_their_side_get_their_answers(face):
    with Wire(face) as wire:
        wire.send(GET + b"\r\n" + CANARY)
        wire.end()
        assert [wire.answer().status, wire.answer().status] == [200, 200]
        assert wire.closed()


def test_a_body_that_never_ends_stores_what_was_whole(node):
    """RFC 9112 section 8: an incomplete request is not taken for a whole one."""
    with Wire(node) as wire:
        wire.send(request("PUT", "/ingest/wire/") [:-2] + b"Content-Length: 1000\r\n\r\n" + message(50) + message(51)[:30])
        wire.end()
        assert wire.closed()
    answer = node.put("/ingest/wire/", message(51))
    assert answer.json()["stored"] == 1


# --- Expect (RFC 9110 section 10.1.1) ---

def test_continue_comes_before_the_body_and_once(node):
    with Wire(node) as wire:
        for number in (60, 61):
            head, body = request("PUT", "/ingest/wire/", "Expect: 100-continue", body=message(number))[:-len(message(0))], message(number)
            wire.send(head)
            assert wire.head().status == 100
            wire.send(body)
            assert wire.answer().status == 201


def test_continue_is_not_said_to_who_did_not_wait(node):
    with Wire(node) as wire:
        wire.send(request("PUT", "/ingest/wire/", "Expect: 100-continue", body=message(62)))
        assert wire.answer().status == 201


@pytest.mark.parametrize("lines, method, target, status", [
    (["Content-Length: 99999999999999"], "PUT", "/ingest/wire/", 413),
    (["Content-Length: 5", "Content-Encoding: gzip"], "PUT", "/ingest/wire/", 415),
    (["Content-Length: 5", "Content-Range: bytes 0-4/10"], "PUT", "/ingest/wire/", 400),
    (["Content-Length: 5"], "PUT", "/ingest/WIRE/", 400),
    (["Content-Length: 5"], "PUT", "/none", 404),
    (["Content-Length: 5"], "POST", "/ingest/wire/", 405),
    (["Content-Length: 5"], "PUT", f"/sha256/{'0' * 63}x", 400),
])
def test_the_final_answer_comes_instead_of_continue(node, lines, method, target, status):
    with Wire(node) as wire:
        wire.send(request(method, target, "Expect: 100-continue", *lines))
        answer = wire.answer()
        assert (answer.status, answer.closes) == (status, True)
        assert wire.closed()


@pytest.mark.parametrize("value", ["200-ok", "100-continue, 200-ok", "100-continue;a=b", ""])
def test_other_expectations_are_417(node, value):
    with Wire(node) as wire:
        wire.send(request("PUT", "/ingest/wire/", f"Expect: {value}", body=message(63)))
        problem_of(wire.answer(), "expectation")


def test_expectations_of_http_1_0_are_ignored(node):
    head = b"PUT /ingest/wire/ HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(message(64))
    with Wire(node) as wire:
        wire.send(head)
        wire.send(message(64))
        assert wire.answer().status == 201


def test_an_expectation_without_a_body_is_nothing(face):
    with Wire(face) as wire:
        wire.send(GET + b"Expect: 100-continue\r\n\r\n" + CANARY)
        assert [wire.answer().status, wire.answer().status] == [200, 200]


# --- an answer before the body is over ---

@pytest.mark.parametrize("target, status", [("/none", 404), ("/ingest/WIRE/", 400), ("/data/x", 404)])
def test_an_early_answer_survives_a_long_body(node, target, status):
    """The client goes on sending what nobody wants: the answer must not be lost to a reset."""
    with Wire(node) as wire:
        wire.send(request("PUT", target) [:-2] + b"Content-Length: %d\r\n\r\n" % (16 << 20))
        for _ in range(16):
            if not wire.send(bytes(1 << 18)):
                break
        answer = wire.answer()
        assert (answer.status, answer.closes) == (status, True)


def test_a_short_rest_of_a_body_is_read_and_the_connection_kept(node):
    with Wire(node) as wire:
        wire.send(request("PUT", "/none", body=bytes(100_000)) + CANARY)
        assert wire.answer().status == 404
        assert wire.answer().get("X-Request-Id") == "canary"


def test_a_client_that_resets_harms_nobody(node):
    for data in (GET, CHUNKED + b"ff\r\n", request("PUT", "/ingest/wire/", body=message(65)), GET + b"\r\n"):
        wire = Wire(node)
        wire.send(data)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        wire.socket.close()
    assert node.get("/healthz").status_code == 200


# --- methods (RFC 9110 section 9) ---

METHODS = [
    ("/healthz", "GET, HEAD, OPTIONS"), ("/ingest/wire/", "PUT, OPTIONS"), ("/have", "POST, OPTIONS"),
    (f"/sha256/{'0' * 64}", "GET, HEAD, PUT, OPTIONS"), ("/data/wire/20200102T0300Z/", "GET, HEAD, DELETE, OPTIONS"),
    ("/cluster/map", "GET, HEAD, PUT, OPTIONS"),
]


@pytest.mark.parametrize("target, allowed", METHODS)
def test_methods_that_a_path_has_not_are_405_with_allow(node, target, allowed):
    for method in ("GET", "HEAD", "PUT", "POST", "DELETE", "TRACE", "PATCH", "COPY", "get", "M" * 1000):
        if method in allowed.split(", "):
            continue
        body = b"" if method in ("PUT", "POST") else None
        answer = ask(node, request(method, target, body=body), method)
        assert (answer.status, answer.get("Allow")) == (405, allowed), method
        if method != "HEAD":
            problem_of(answer, "method")
    answer = ask(node, request("OPTIONS", target))
    assert (answer.status, answer.get("Allow"), answer.get("Access-Control-Allow-Origin")) == (204, allowed, "*")
