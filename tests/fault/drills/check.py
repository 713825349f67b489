"""What has to hold of a node after whatever befell it: nothing acknowledged is gone, nothing served is wrong, nothing stands twice."""

import dataclasses
import hashlib
import json
import random
import time
import urllib.parse

from traffic import ERRORS, Connection

FILE, STORED, BAD, DROPPED = 1, 2, 3, 4
VOID = 0x8000
RECORD_SIZE = 64
TRIES = 5
OLD_SAMPLE = 60  # of messages acknowledged in earlier rounds, asked for one by one


@dataclasses.dataclass
class Findings:
    """Each a sentence. Anything in any of them fails a drill."""
    lost: list = dataclasses.field(default_factory=list)
    wrong: list = dataclasses.field(default_factory=list)
    doubled: list = dataclasses.field(default_factory=list)
    starts: list = dataclasses.field(default_factory=list)
    other: list = dataclasses.field(default_factory=list)

    def all(self):
        return [f"{name}: {text}" for name in ("lost", "wrong", "doubled", "starts", "other") for text in getattr(self, name)]


@dataclasses.dataclass(frozen=True)
class Place:
    digest: str
    shard: int
    birth: str
    offset: int
    length: int
    stored_at: int


def records_of(raw):
    """(kind, is void, digest or birth, shard, offset, length, stored_at) of a feed's bytes."""
    for at in range(0, len(raw), RECORD_SIZE):
        record = raw[at:at + RECORD_SIZE]
        offset, length, stored_at = (int.from_bytes(record[place:place + 8], "big") for place in (32, 40, 48))
        kind = int.from_bytes(record[58:60], "big")
        yield kind & 0xFF, bool(kind & VOID), record[:32], int.from_bytes(record[56:58], "big"), offset, length, stored_at


class NodeCheck:
    """One node against the ledger."""

    def __init__(self, url, ledger, findings, seed):
        self.url, self.ledger, self.findings = url, ledger, findings
        self.random = random.Random(seed)
        self.connection = Connection(url)
        self.served = {}  # (run path, file name, offset, length) -> digest that the bytes have
        self.contents = {}

    def get(self, path, headers=None):
        """Status, headers, body; the status is 0 when the answer was cut."""
        try:
            return self.connection.ask("GET", path, headers=headers)
        except ERRORS as error:
            return 0, {}, repr(error).encode()

    def run(self):
        for path, journal in self.journals().items():
            self.check_run(path, journal)
        self.check_states()
        self.connection.close()

    def journals(self):
        """The journal of each run that the node holds."""
        status, listing = self.connection.json("GET", "/cluster/runs")
        if status != 200:
            self.findings.other.append(f"/cluster/runs: {status}")
            return {}
        return {f"{run['source']}/{compact(run['base_time'])}": run["journal"]
                for run in listing["runs"] if run.get("journal") and int(run["journal"], 16) != 0}

    def check_run(self, path, journal):
        """A repair, or a purge that a peer told of, may come between two questions: then all are asked again."""
        for attempt in range(TRIES):
            before = len(self.findings.other)
            places = self.feed(path, journal)
            self.check_members(path, places)
            if len(self.findings.other) == before or attempt == TRIES - 1:
                break
            del self.findings.other[before:]
            time.sleep(0.2)
            journal = self.journals().get(path)
            if journal is None:
                return
        by_file = {}
        for place in places:
            by_file.setdefault(f"{place.shard:04d}-{place.birth}.grib", []).append(place)
        for name, members in by_file.items():
            self.check_file(f"/data/{path}/{name}", members)

    def feed(self, path, journal):
        """Places of the run's journal that are not void."""
        births, places, at = {}, [], 0
        while True:
            status, headers, raw = self.get(f"/cluster/journal/{path}?journal={journal}&from={at}")
            if status != 200:
                self.findings.other.append(f"journal of {path} from {at}: {status} {raw[:200]!r}")
                return places
            for kind, is_void, digest, shard, offset, length, stored_at in records_of(raw):
                if kind == FILE:
                    births[shard] = digest[:8].hex()
                elif kind == STORED and not is_void:
                    places.append(Place(digest.hex(), shard, births.get(shard, ""), offset, length, stored_at))
            at += len(raw) // RECORD_SIZE
            if not raw or at >= int(headers["Gribstore-Records"]):
                return places

    def check_members(self, path, places):
        """The shards' members are what the feed names, each once."""
        status, shards = self.connection.json("GET", f"/cluster/shards/{path}")
        if status != 200:
            self.findings.other.append(f"shards of {path}: {status}")
            return
        members = []
        for shard in shards:
            if shard["count"] == 0:
                continue
            listed = self.connection.json("GET", f"/cluster/shards/{path}?shard={shard['shard']}")[1]
            if len(listed) != shard["count"]:
                self.findings.other.append(f"{path}, shard {shard['shard']}: {shard['count']} counted, {len(listed)} listed")
            members += [(member["digest"], member["birth"], member["offset"], member["length"]) for member in listed]
        digests = [member[0] for member in members]
        if len(digests) != len(set(digests)):
            self.findings.doubled.append(f"{path}: {len(digests) - len(set(digests))} digests stand twice")
        fed = {(place.digest, place.birth, place.offset, place.length) for place in places if place.stored_at != 0}
        # After a repair a digest may have two good records; the table has one of them.
        if not set(members) <= fed or {place[0] for place in fed} != set(digests):
            self.findings.other.append(f"{path}: the feed names {len(fed)} messages, the shards {len(members)}")

    def check_file(self, url, members):
        """The whole file by one GET; where a part of it is damaged, message by message."""
        status, _, content = self.get(url)
        for place in members:
            if status == 200:
                data = content[place.offset:place.offset + place.length]
            else:
                part, _, data = self.get(
                    url, headers={"Range": f"bytes={place.offset}-{place.offset + place.length - 1}"})
                if part != 206:
                    self.findings.other.append(f"{self.url}{url} at {place.offset}: {part}, and it is in the feed")
                    continue
            digest = hashlib.sha256(data).hexdigest()
            self.served[url, place.offset, place.length] = digest
            if digest != place.digest:
                self.findings.wrong.append(f"{self.url}{url} at {place.offset}: not the bytes of {place.digest}")

    def check_states(self):
        """No state that was acknowledged is forgotten."""
        for run, book in list(self.ledger.runs.items()):
            if book.told == (1, 0):
                continue
            status, state = self.connection.json("GET", f"/cluster/runs/{run.path}")
            if status != 200 or (state["incarnation"], state["version"]) < book.told:
                self.findings.lost.append(f"{self.url}: {run.path} was told {book.told}, and is {state}")
            elif book.purged and state["state"] != "purged":
                self.findings.lost.append(f"{self.url}: {run.path} was purged, and is {state}")

    def check_place(self, digest, url, offset, length):
        """An acknowledged place: by what was just read of its file, or read now."""
        path = urllib.parse.urlsplit(url).path
        if (path, offset, length) in self.served:
            if self.served[path, offset, length] != digest:
                self.findings.wrong.append(f"{url} at {offset}: not the bytes of {digest}")
            return
        self.read_place(digest, url, offset, length)

    def read_place(self, digest, url, offset, length):
        path = urllib.parse.urlsplit(url).path
        status, _, data = self.get(path, headers={"Range": f"bytes={offset}-{offset + length - 1}"})
        if status != 206:
            self.findings.lost.append(f"{url} at {offset}: {status} for {digest}")
        elif hashlib.sha256(data).hexdigest() != digest:
            self.findings.wrong.append(f"{url} at {offset}: not the bytes of {digest}")

    def read_digest(self, digest):
        status, _, data = self.get(f"/sha256/{digest}")
        if status != 200:
            self.findings.lost.append(f"{self.url}/sha256/{digest}: {status} {data[:200]!r}")
        elif hashlib.sha256(data).hexdigest() != digest:
            self.findings.wrong.append(f"{self.url}/sha256/{digest}: other bytes")


def compact(base_time):
    """20130408T0000Z of an RFC 3339 time."""
    text = base_time.replace("-", "").replace(":", "")
    return text[:13] + ("" if text[13:15] == "00" else text[13:15]) + "Z"


def check_reads(url, ledger, seed, findings, count=20):
    """A sample of what is owed can be read now: what goes on while writes don't. What is purged meanwhile is owed no more."""
    node = NodeCheck(url, ledger, Findings(), seed)
    owed = ledger.owed()
    for digest in node.random.sample(sorted(owed), min(count, len(owed))):
        for place in owed[digest].places:
            if place[0].startswith(url + "/"):
                node.read_place(digest, *place)
        node.read_digest(digest)
        if not ledger.is_owed(owed[digest]):
            node.findings.lost.clear()
        findings.lost += node.findings.lost
        node.findings.lost.clear()
    findings.wrong += node.findings.wrong
    node.connection.close()


def check_nodes(urls, ledger, seed, findings):
    """Every node by itself, then every owed message on each node that was named for it."""
    checks = {url: NodeCheck(url, ledger, findings, f"{seed}/{url}") for url in urls}
    for check in checks.values():
        check.run()
    for line in ledger.invented:
        findings.other.append(f"acknowledged and never sent: {json.dumps(line)}")
    ledger.invented.clear()
    owed = ledger.owed()
    old = [digest for digest, ack in owed.items() if ack.round != ledger.round]
    sample = set(random.Random(f"{seed}/old").sample(old, min(OLD_SAMPLE, len(old))))
    for digest, ack in owed.items():
        is_new = ack.round == ledger.round or digest in sample
        for url, offset, length in ack.places:
            check = checks.get(url.split("/data/")[0])
            if check is None:
                findings.other.append(f"{url}: none of the nodes")
            elif is_new and length < 4 << 20:
                check.read_place(digest, url, offset, length)
            else:
                check.check_place(digest, url, offset, length)
        if not ack.places:
            findings.other.append(f"{digest} was acknowledged without a place")
        if is_new:
            check = checks[random.Random(f"{seed}/{digest}").choice(urls)]
            check.read_digest(digest)
    for check in checks.values():
        check.connection.close()
