"""Ranges (RFC 9110 section 14), in the dialect that clients read: tables of headers for data files and for messages.

What a table says is asked of a data file, of a message that is answered from memory and of one that is read while it is sent.
"""

import random
import re
import threading

import pytest
import requests

from conftest import Daemons
from processes import await_condition
from raw_http import Wire, ask, problem_of, request

MIB = 1 << 20


def message(number=0, size=49):
    """An edition 2 message of that size; nobody could decode it."""
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + number.to_bytes(8, "big") + random.Random(number).randbytes(size - 49)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    running = Daemons(tmp_path_factory.mktemp("ranges"))
    yield running.cluster(colos=("a", "a", "b"))
    running.stop()


@pytest.fixture(scope="module")
def node(cluster):
    return cluster.nodes[0]


class Entity:
    """A path of a node, and the bytes behind it."""

    def __init__(self, node, path, content):
        self.node, self.path, self.content, self.size = node, path, content, len(content)

    def get(self, text, method="GET", **headers):
        return ask(self.node, request(method, self.path, f"Range: {text}", *[f"{name}: {value}" for name, value in headers.items()]),
                   method)


# Whole in memory; streamed, or read to its end before a range of it leaves; more than the buffers of a socket.
SIZES = {"small": 5_000, "large": 1 * MIB + 12_345, "huge": 17 * MIB + 1}


@pytest.fixture(scope="module")
def entities(cluster):
    """A data file; a message of each size on a node that has it, and on one that has not."""
    found = {}
    for number, (name, size) in enumerate(SIZES.items(), 1):
        data = message(number, size)
        line = cluster.nodes[0].ingest("ranges", data)["messages"][0]
        holders = [cluster.by_url(location["url"]) for location in line["locations"]]
        other = next(node for node in cluster.nodes if node not in holders)
        found[name] = Entity(holders[0], f"/sha256/{line['digest']}", data)
        found[f"{name}, elsewhere"] = Entity(other, f"/sha256/{line['digest']}", data)
        if name == "small":
            location = line["locations"][0]
            path = location["url"].removeprefix(holders[0].url)
            found["file"] = Entity(holders[0], path, holders[0].get(path).content)
    return found


WHERE = ["file", "small", "large", "small, elsewhere", "large, elsewhere"]


@pytest.fixture(params=WHERE)
def entity(entities, request):
    return entities[request.param]


def parts_of(answer, size):
    """The parts of a multipart/byteranges answer, taken apart as strictly as clients do (R3)."""
    boundary = re.fullmatch(r"multipart/byteranges; boundary=([0-9A-Za-z]{1,70})", answer.get("Content-Type"))[1].encode()
    rest, parts = b"\r\n" + answer.body, []
    while not rest == b"\r\n--" + boundary + b"--\r\n":
        head, _, rest = rest.partition(b"\r\n\r\n")
        match = re.fullmatch(rb"\r\n--" + boundary + rb"\r\nContent-Type: (\S+)\r\nContent-Range: bytes (\d+)-(\d+)/(\d+)", head)
        assert match, head
        first, last = int(match[2]), int(match[3])
        assert int(match[4]) == size
        parts.append((first, last, rest[:last - first + 1]))
        rest = rest[last - first + 1:]
    return parts


def check_part(entity, answer, first, last):
    assert answer.status == 206, answer
    assert answer.get("Content-Range") == f"bytes {first}-{last}/{entity.size}"
    assert answer.body == entity.content[first:last + 1]
    for name in ("Transfer-Encoding", "Content-Encoding", "Content-Disposition"):
        assert answer.get(name) is None


# --- one range: what is asked for, first and last byte as functions of the size ---

ONE = [
    ("14.1.2", "the first byte", "bytes=0-0", lambda n: (0, 0)),
    ("14.1.2", "a part", "bytes=10-19", lambda n: (10, 19)),
    ("14.1.2", "to the end", "bytes=100-", lambda n: (100, n - 1)),
    ("14.1.2", "all of it", "bytes=0-", lambda n: (0, n - 1)),
    ("14.1.2", "a suffix", "bytes=-7", lambda n: (n - 7, n - 1)),
    ("14.1.2", "the last byte", "bytes=-1", lambda n: (n - 1, n - 1)),
    ("14.1.2", "an end behind the end", "bytes=5-99999999999", lambda n: (5, n - 1)),
    ("14.1.2", "a suffix longer than all", "bytes=-99999999999", lambda n: (0, n - 1)),
    ("14.2", "an end beyond 64 bits", "bytes=5-" + "9" * 40, lambda n: (5, n - 1)),
    ("14.2", "a suffix beyond 64 bits", "bytes=-" + "9" * 40, lambda n: (0, n - 1)),
    ("14.1.1", "leading zeros", "bytes=0000000000000000000000000010-00000000000000000000000000000019", lambda n: (10, 19)),
    ("14.1", "the unit in capitals", "BYTES=10-19", lambda n: (10, 19)),
    ("5.6.1", "blanks and empty members around it", "bytes= ,\t10-19 ,, ", lambda n: (10, 19)),
    ("14.1.2", "one that holds, one that does not", "bytes=10-19,99999999999-", lambda n: (10, 19)),
]

WHOLE = [
    ("14.2", "another unit", "lines=0-5"),
    ("14.2", "no unit", "0-5"),
    ("14.2", "no equals sign", "bytes 0-5"),
    ("14.2", "a blank in front of the equals sign", "bytes =0-5"),
    ("14.1.1", "nothing", "bytes="),
    ("14.1.1", "nothing but commas", "bytes=,,"),
    ("14.1.1", "a dash", "bytes=-"),
    ("14.1.2", "backwards", "bytes=5-2"),
    ("14.1.2", "one that is none among good ones", "bytes=0-1,5-2,3-4"),
    ("14.1.1", "no numbers", "bytes=a-b"),
    ("14.1.1", "a sign", "bytes=+5-9"),
    ("14.1.1", "hexadecimal", "bytes=0x5-9"),
    ("14.1.1", "a fraction", "bytes=0.5-9"),
    ("14.1.1", "two dashes", "bytes=0--5"),
    ("14.1.1", "three numbers", "bytes=0-5-9"),
    ("14.1.1", "a blank inside", "bytes=0 -5"),
    ("14.1.1", "another blank inside", "bytes=0- 5"),
    ("14.1.1", "no comma", "bytes=0-1 3-4"),
    ("14.1.1", "a semicolon", "bytes=0-1;3-4"),
    ("14.1.1", "something behind it", "bytes=0-5x"),
]

NONE = [
    ("14.1.2", "a start at the end", lambda n: f"bytes={n}-"),
    ("14.1.2", "a start behind the end", lambda n: f"bytes={n + 1}-{n + 5}"),
    ("14.2", "a start beyond 64 bits", lambda n: "bytes=" + "9" * 40 + "-"),
    ("14.1.2", "no byte of the end", lambda n: "bytes=-0"),
    ("14.1.2", "none of several", lambda n: f"bytes={n}-,-0,{n + 7}-{n + 9}"),
]


def name_of(case):
    return f"{case[0]}: {case[1]}" if isinstance(case, tuple) else None


@pytest.mark.parametrize("case", ONE, ids=name_of)
def test_one_range(entity, case):
    check_part(entity, entity.get(case[2], **{"Accept-Encoding": "gzip"}), *case[3](entity.size))


@pytest.mark.parametrize("case", WHOLE, ids=name_of)
def test_what_is_no_range_is_ignored(entity, case):
    answer = entity.get(case[2])
    assert (answer.status, answer.body == entity.content, answer.get("Content-Range")) == (200, True, None)


@pytest.mark.parametrize("case", NONE, ids=name_of)
def test_what_lies_behind_the_end_is_416_with_the_size(entity, case):
    answer = entity.get(case[2](entity.size))
    problem_of(answer, "range")
    assert (answer.status, answer.get("Content-Range")) == (416, f"bytes */{entity.size}")


def test_a_header_that_came_twice_is_no_range(entity):
    """A proxy may have taken the one or the other: neither is right."""
    answer = entity.get("bytes=0-1\r\nRange: bytes=2-3")
    assert (answer.status, answer.body == entity.content) == (200, True)


def test_head_says_what_get_says_and_knows_no_ranges(entity):
    for text in ("bytes=0-3", "bytes=0-3,5-6", "bytes=99999999999-", "nonsense"):
        headed = entity.get(text, "HEAD")
        got = ask(entity.node, request("GET", entity.path))
        ignored = ("Date", "X-Request-Id")
        assert [field for field in headed.fields if field[0] not in ignored] == \
            [field for field in got.fields if field[0] not in ignored]
        assert (headed.status, headed.get("Content-Length"), headed.get("Accept-Ranges")) == (200, str(entity.size), "bytes")


# --- several ---

def specs(ranges):
    return "bytes=" + ",".join(f"{first}-{last}" for first, last in ranges)


SEVERAL = [
    ("R3", "in the order asked, none merged", lambda n: [(500, 700), (0, 3), (100, 120), (100, 120), (121, 130)]),
    ("R4", "one that has to be clamped", lambda n: [(0, 3), (n - 10, n + 50)]),
    ("14.2", "overlapping", lambda n: [(0, 99), (50, 149), (0, 99)]),
    ("R3", "all of it in two", lambda n: [(0, n // 2), (n // 2 + 1, n - 1)]),
    ("R5", "from the end to the start", lambda n: [(at, at) for at in range(n - 1, n - 50, -1)]),
    ("R5", "1,000 of two bytes", lambda n: [(at * 7 % (n - 2), at * 7 % (n - 2) + 1) for at in range(1000)]),
    ("R5", "1,000 across all of it", lambda n: [(n // 1000 * at, n // 1000 * (at + 1) - 1) for at in range(1000)]),
]


@pytest.mark.parametrize("case", SEVERAL, ids=name_of)
def test_several_ranges(entity, case):
    ranges = case[2](entity.size)
    answer = entity.get(specs(ranges))
    assert answer.status == 206, answer.status
    clamped = [(first, min(last, entity.size - 1)) for first, last in ranges]
    assert parts_of(answer, entity.size) == [(first, last, entity.content[first:last + 1]) for first, last in clamped]
    assert answer.get("Content-Range") is None


def test_suffix_and_open_ranges_among_several(entity):
    answer = entity.get("bytes=0-0, -3 ,99999999999-, 7-9,")
    assert [part[:2] for part in parts_of(answer, entity.size)] == [(0, 0), (entity.size - 3, entity.size - 1), (7, 9)]


MANY = [
    ("R5", "1,001 ranges", lambda n: ["0-0"] * 1001),
    ("R5", "1,001, most of which are behind the end", lambda n: ["0-0"] + ["99999999999-"] * 1000),
    ("14.2", "500 times all of it", lambda n: ["0-"] * 500),
    ("14.2", "more than the file and 400 bytes a part", lambda n: ["0-", f"0-{800}"]),
]


@pytest.mark.parametrize("case", MANY, ids=name_of)
def test_what_would_blow_an_answer_up_is_ignored(entity, case):
    answer = entity.get("bytes=" + ",".join(case[2](entity.size)))
    assert (answer.status, answer.body == entity.content) == (200, True)


def test_up_to_400_bytes_a_part_may_come_twice(entity):
    answer = entity.get("bytes=0-,0-799")
    assert [part[:2] for part in parts_of(answer, entity.size)] == [(0, entity.size - 1), (0, 799)]


def test_boundaries_are_fresh_and_not_in_the_bytes(entity):
    boundaries = {entity.get("bytes=0-0,2-2").get("Content-Type") for _ in range(5)}
    assert len(boundaries) == 5


def test_a_thousand_ranges_of_ten_digits_fit_into_a_line(entities):
    entity = entities["file"]
    answer = entity.get("bytes=" + ",".join(["0-0"] + [f"{9_000_000_000 + at}-{9_000_000_001 + at}" for at in range(999)]))
    check_part(entity, answer, 0, 0)


@pytest.mark.parametrize("text, count", [("bytes=5-9", 1), ("bytes=-4,5-9,0-3", 3)])
def test_a_damaged_copy_is_passed_over_before_a_range_of_it_leaves(cluster, text, count):
    """Though the damage lies where nobody asked: what a message is, all of its bytes decide."""
    data = message(500 + count, 2 * MIB)
    line = cluster.nodes[0].ingest("ranges", data)["messages"][0]
    location = line["locations"][0]
    holder = cluster.by_url(location["url"])
    with open(holder.data / "runs" / location["url"].partition("/data/")[2], "r+b") as file:
        file.seek(location["offset"] + MIB)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    entity = Entity(holder, f"/sha256/{line['digest']}", data)
    answer = entity.get(text)
    assert answer.status == 206
    if count == 1:
        check_part(entity, answer, 5, 9)
    else:
        assert [part[:2] for part in parts_of(answer, entity.size)] == [(entity.size - 4, entity.size - 1), (5, 9), (0, 3)]
        assert [part[2] for part in parts_of(answer, entity.size)] == [data[-4:], data[5:10], data[:4]]
    await_condition(lambda: f"{line['digest']} does not have its digest on this node" in holder.output(), "it is told in the log")


# --- memory, and files that grow ---

def resident(node):
    with open(f"/proc/{node.process.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) << 10


def test_readers_that_wait_hold_little_of_a_node(entities):
    """Twenty answers of 17 MiB each that nobody reads. (Of another node's messages: 24_limits.py.)"""
    entity = entities["huge"]
    half = entity.size // 2
    ask(entity.node, request("GET", entity.path))
    before = resident(entity.node)
    wires = [Wire(entity.node, receive_size=4096) for _ in range(20)]
    try:
        for wire in wires:
            wire.send(request("GET", entity.path, f"Range: bytes=0-{half},{half + 1}-{entity.size - 1}"))
        for wire in wires:
            assert wire.head().status == 206
        assert resident(entity.node) - before < 20 * MIB
    finally:
        for wire in wires:
            wire.socket.close()


@pytest.fixture(scope="module")
def growing(tmp_path_factory):
    """A node of one shard: every message of a run goes into the same file."""
    running = Daemons(tmp_path_factory.mktemp("growing"))
    yield running.node("alone", arguments=["--shards", "1", "--rate-window", "10min"])
    running.stop()


def test_a_file_that_grows_while_it_is_sent_is_sent_as_it_was(growing):
    location = [growing.ingest("ranges", message(number, 6 * MIB))["messages"][0]["locations"][0] for number in range(2)][-1]
    path = location["url"].removeprefix(growing.url)
    content = growing.get(path).content
    etag = f'"{re.search(r"-([0-9a-f]{16})[.]grib$", path)[1]}-{len(content)}"'
    with Wire(growing, receive_size=4096) as wire:
        wire.send(request("GET", path))
        head = wire.head()
        assert (head.get("ETag"), head.get("Content-Length")) == (etag, str(len(content)))
        growing.ingest("ranges", message(100, 2000))
        assert wire.take(len(content)) == content
    grown = ask(growing, request("HEAD", path), "HEAD")
    assert grown.get("ETag") != etag and int(grown.get("Content-Length")) > len(content)
    entity = Entity(growing, path, growing.get(path).content)
    assert entity.content.startswith(content)
    check_part(entity, entity.get(f"bytes={len(content)}-"), len(content), entity.size - 1)
    check_part(entity, entity.get("bytes=0-9", **{"If-Range": grown.get("ETag")}), 0, 9)
    old = entity.get("bytes=0-9", **{"If-Range": etag})
    assert (old.status, old.body == entity.content) == (200, True)
    assert ask(growing, request("GET", path, f"If-None-Match: {etag}")).status == 200
    assert ask(growing, request("GET", path, f"If-Match: {etag}")).status == 412


def test_readers_of_a_growing_file_never_see_other_bytes(growing):
    """Ranges that reach behind the end while messages are appended: each is a piece of what the file becomes."""
    path = growing.ingest("ranges", message(1000, 100_000))["messages"][0]["locations"][0]["url"].removeprefix(growing.url)
    seen, stop, failures = {}, threading.Event(), []

    def read():
        with requests.Session() as session:
            while not stop.is_set():
                answer = session.get(growing.url + path, headers={"Range": "bytes=0-99999999999"}, timeout=60)
                size = int(answer.headers["Content-Range"].rpartition("/")[2])
                if answer.status_code != 206 or len(answer.content) != size or not answer.headers["ETag"].endswith(f'-{size}"'):
                    failures.append((answer.status_code, dict(answer.headers)))
                seen[size] = answer.content

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    await_condition(lambda: seen or failures, "it is read")
    for number in range(40):
        growing.ingest("ranges", message(2000 + number, 3_000))
    await_condition(lambda: len(seen) > 1 or failures, "it is read as it grows")
    stop.set()
    for reader in readers:
        reader.join()
    whole = growing.get(path).content
    assert not failures
    assert all(whole.startswith(content) and len(content) == size for size, content in seen.items())
