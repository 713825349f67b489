"""What really lies on a node's disk: its journals and data files, read behind its back, running or not (proto/FORMATS.md section 5)."""

import dataclasses
import hashlib
import pathlib
import threading

from check import BAD, DROPPED, FILE, RECORD_SIZE, STORED, records_of

HEADER_SIZE = 64
ZERO = bytes(RECORD_SIZE)


@dataclasses.dataclass
class RunOnDisk:
    """As far as its journal was read."""
    journal: bytes
    incarnation: int
    read: int = 0                                   # records
    births: dict = dataclasses.field(default_factory=dict)    # shard -> birth of its open file
    good: dict = dataclasses.field(default_factory=dict)      # digest -> (shard, birth, offset, length)


class Disk:
    """One data directory. Safe for threads."""

    def __init__(self, data):
        self.data = pathlib.Path(data)
        self.lock = threading.Lock()
        self.runs = {}

    def run(self, path):
        """What the journal of a run says by now; None: there is none."""
        with self.lock:
            try:
                with open(self.data / "runs" / path / "journal", "rb") as file:
                    return self.read_on(path, file)
            except FileNotFoundError:
                self.runs.pop(path, None)
                return None

    def read_on(self, path, file):
        header = file.read(HEADER_SIZE)
        run = self.runs.get(path)
        if run is None or run.journal != header[24:32]:
            run = self.runs[path] = RunOnDisk(header[24:32], int.from_bytes(header[16:24], "big"))
        file.seek(HEADER_SIZE + run.read * RECORD_SIZE)
        raw = file.read()
        raw = raw[:len(raw) // RECORD_SIZE * RECORD_SIZE]
        for at, record in enumerate(records_of(raw)):
            if raw[at * RECORD_SIZE:(at + 1) * RECORD_SIZE] == ZERO:
                break  # being written
            self.take(run, *record)
            run.read += 1
        return run

    @staticmethod
    def take(run, kind, _, digest, shard, offset, length, _stored_at):
        if kind == FILE:
            run.births[shard] = digest[:8].hex()
        elif kind == STORED:
            run.good[digest.hex()] = (shard, run.births.get(shard), offset, length)
        elif kind == BAD:
            if run.good.get(digest.hex(), (0, 0, None))[2] == offset:
                del run.good[digest.hex()]
        elif kind == DROPPED:
            birth = digest[:8].hex()
            run.good = {key: place for key, place in run.good.items() if place[1] != birth}

    def digests(self, path):
        run = self.run(path)
        with self.lock:
            return frozenset(run.good) if run else frozenset()

    def has(self, path, digest):
        """Its journal says so."""
        run = self.run(path)
        return run is not None and digest in run.good

    def listed(self):
        """Runs that have a directory."""
        return sorted(f"{run.parent.name}/{run.name}" for run in self.data.glob("runs/*/*") if not run.name.startswith("."))

    def holds(self, path, digest):
        """It is in the journal, and the file has bytes of that digest where the journal says."""
        run = self.run(path)
        place = run.good.get(digest) if run else None
        return place is not None and self.bytes_hold(path, digest, place)

    def bytes_hold(self, path, digest, place):
        shard, birth, offset, length = place
        try:
            with open(self.data / "runs" / path / f"{shard:04d}-{birth}.grib", "rb") as file:
                file.seek(offset)
                return hashlib.sha256(file.read(length)).hexdigest() == digest
        except FileNotFoundError:
            return False

    def forget(self):
        """The disk was wiped."""
        with self.lock:
            self.runs.clear()
