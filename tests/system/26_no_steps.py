"""No size of an answer waits for a timer: Nagle's algorithm, a cork and delayed acknowledgements make steps of 40 ms."""

import random
import re
import socket
import statistics
import time

import pytest

KIB, MIB = 1 << 10, 1 << 20
SIZE = 5 * MIB
ASKED = 7      # times a size: a step is in most of them
TRIES = 100    # a busy machine is slow now and then, a step is always there
STEP_S = 0.025
LEAST_RATE = 400 * MIB  # bytes a second: 4 MiB may take 10 ms more

# Around what packets, pages, buffers of ours and of the kernel, and sendfile's threshold come to.
EDGES = [1, 536, 1448, 4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 48 * KIB, 64 * KIB, 72 * KIB, 96 * KIB, 128 * KIB, 192 * KIB,
         256 * KIB, 512 * KIB, MIB, 2 * MIB, 4 * MIB]
AROUND = [-4097, -1449, -700, -600, -500, -64, -1, 0, 1, 64, 1449, 4097]
SINGLE = sorted({edge + more for edge in EDGES for more in AROUND if 0 < edge + more <= 4 * MIB} |
                set(range(60 * KIB, 70 * KIB, 509)))
SEVERAL = [1, 700, 4 * KIB, 8 * KIB - 300, 16 * KIB, 21 * KIB, 22 * KIB, 32 * KIB - 1, 32 * KIB, 64 * KIB, 400 * KIB, MIB]


@pytest.fixture
def data_file(node):
    """A data file of one large message: (path, bytes)."""
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + random.Random(1).randbytes(SIZE)
    data = b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"
    answer = node.put("/ingest/hres/", data)
    assert answer.status_code == 201
    return answer.json()["messages"][0]["locations"][0]["url"].removeprefix(node.url), data


class Connection:
    """Kept alive; counts seconds from a request's first byte to its answer's last."""

    def __init__(self, node, path):
        self.socket = socket.create_connection(("127.0.0.1", int(node.url.rpartition(":")[2])))
        self.path = path

    def ask(self, ranges):
        """(seconds, body)"""
        began = time.perf_counter()
        self.socket.sendall(f"GET {self.path} HTTP/1.1\r\nHost: n\r\nRange: bytes={ranges}\r\n\r\n".encode())
        text = b""
        while b"\r\n\r\n" not in text:
            text += self.take()
        head, _, body = text.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 206 "), head
        pieces, left = [body], int(re.search(rb"Content-Length: (\d+)", head).group(1)) - len(body)
        while left > 0:
            pieces.append(self.take())
            left -= len(pieces[-1])
        assert left == 0
        return time.perf_counter() - began, b"".join(pieces)

    def take(self):
        piece = self.socket.recv(1 << 20)
        assert piece, "the node hung up"
        return piece

    def median_of(self, size, ranges, holds):
        """The median latency, of the best try so far that is within limits."""
        for _ in range(TRIES):
            times = []
            for _ in range(ASKED):
                seconds, body = self.ask(ranges)
                assert holds(body)
                times.append(seconds)
            if statistics.median(times) < STEP_S + size / LEAST_RATE:
                return
        pytest.fail(f"{size} bytes ({ranges}): {statistics.median(times) * 1000:.1f} ms")


def test_one_range_of_any_size(node, data_file):
    path, data = data_file
    connection = Connection(node, path)
    for size in SINGLE:
        first = size * 7 % (SIZE - 4 * MIB)
        connection.median_of(size, f"{first}-{first + size - 1}", lambda body: body == data[first:first + size])


def test_several_ranges_of_any_size(node, data_file):
    path, data = data_file
    connection = Connection(node, path)
    for count in (2, 3, 16):
        for size in SEVERAL:
            if count * size > 4 * MIB:
                continue
            firsts = [(number * 301_007 + size) % (SIZE - size) for number in range(count)]
            ranges = ",".join(f"{first}-{first + size - 1}" for first in firsts)
            connection.median_of(count * size, ranges,
                                 lambda body: all(data[first:first + size] in body for first in firsts[:2]))
