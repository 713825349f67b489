"""GRIB messages that frame, of any size, each unlike any other: what a drill feeds a node with."""

import dataclasses
import hashlib

KIB, MIB = 1 << 10, 1 << 20
HEAD_SIZE = 16 + 21
SIZE_MIN = 200
# Share, smallest, largest. Large ones go through an unnamed file (over 16 MiB) or a batch of their own.
SIZES = ((60, SIZE_MIN, 2 * KIB), (30, 2 * KIB, 64 * KIB), (9, 64 * KIB, 512 * KIB), (1, MIB, 20 * MIB))


@dataclasses.dataclass(frozen=True)
class Run:
    source: str
    base_time: tuple  # year, month, day, hour

    @property
    def time(self):
        year, month, day, hour = self.base_time
        return f"{year:04d}{month:02d}{day:02d}T{hour:02d}00Z"

    @property
    def path(self):
        return f"{self.source}/{self.time}"


@dataclasses.dataclass(frozen=True)
class Message:
    run: Run
    data: bytes
    digest: str


def make(run, size, random_):
    """Edition 2 from its first octet to its trailer; between them octets by chance."""
    year, month, day, hour = run.base_time
    section1 = (21).to_bytes(4, "big") + b"\1" + bytes(7) + year.to_bytes(2, "big") + bytes([month, day, hour, 0, 0, 0, 0])
    size = max(size, SIZE_MIN)
    data = b"GRIB\0\0\0\2" + size.to_bytes(8, "big") + section1 + random_.randbytes(size - HEAD_SIZE - 4) + b"7777"
    return Message(run, data, hashlib.sha256(data).hexdigest())


def some_size(random_, large=True):
    shares = SIZES if large else SIZES[:-1]
    _, least, most = random_.choices(shares, weights=[share for share, _, _ in shares])[0]
    return random_.randint(least, most)
