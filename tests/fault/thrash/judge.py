"""The last look: every message that was promised lies where it belongs, on disk, and the index says the same."""

import hashlib
import json
import os
import random
import time

from traffic import ERRORS, Connection

SETTLE_S = float(os.environ.get("GRIBSTORE_THRASH_SETTLE", 180))
READS = 300
OLDER_RELEASE_S = 20
CHECK_SETTLE, CHECK_WAIT = "1s", "60s"
LOST = 7  # exit code of `gribstore check`


class Judge:
    def __init__(self, thrash):
        self.thrash, self.ground, self.book, self.findings = thrash, thrash.ground, thrash.book, thrash.findings
        self.random = random.Random(f"{thrash.seed}/judge")

    # --- settled: what is owed is on its owners' disks ---

    def lacking(self, limit=1 << 30):
        """(digest, owner) of what an owner has not got in its journal."""
        found = []
        held = {}
        for digest, promise in self.book.owed().items():
            path = promise.message.run.path
            for name in self.ground.owners(digest, promise.message.run):
                if (name, path) not in held:
                    held[name, path] = self.ground.node(name).disk.digests(path)
                if digest not in held[name, path]:
                    found.append((digest, name))
                    if len(found) >= limit:
                        return found
        return found

    def settle(self):
        """Seconds until every owner has what it owes."""
        began = time.monotonic()
        self.ground.refresh_map()
        while self.lacking(1):
            if time.monotonic() > began + SETTLE_S:
                lacking = self.lacking()
                for digest, name in lacking[:10]:
                    promise = self.book.find(digest)
                    holders = [node.name for node in self.ground.nodes if node.disk.holds(promise.message.run.path, digest)]
                    self.findings.lost.append(f"{promise.message.run.path} {digest}: not on {name}, which owns it, {SETTLE_S} s after all was well; on {holders}; "
                                              f"{promise.copies} copies were said, on {promise.nodes}")
                self.findings.other.append(f"{len(lacking)} copies are missing; sync says {self.sync_status()}")
                return None
            time.sleep(0.1)
        return round(time.monotonic() - began, 1)

    def sync_status(self):
        return {node.name: node.json("/cluster/sync") for node in self.ground.nodes}

    def extra(self):
        """(digest, node) of what lies on nodes that don't own it."""
        found = []
        owed = self.book.owed()
        for node in self.ground.nodes:
            for run in {promise.message.run for promise in owed.values()}:
                found += [(digest, node.name) for digest in node.disk.digests(run.path) if node.name not in self.ground.owners(digest, run)]
        return found

    def await_given_up(self):
        """Until nodes have given up what they don't own. After how long; what is left then is a finding, unless older nodes are there
        that may not do it, nor say that their copies stay."""
        began = time.monotonic()
        while (left := len(self.extra())) > 0 and time.monotonic() < began + (OLDER_RELEASE_S if self.ground.has_older else SETTLE_S):
            time.sleep(0.3)
        told = {"left": left, "seconds": round(time.monotonic() - began, 1)}
        if left > 0:
            told["why"] = {node.name: node.get("/cluster/releases").text[:1000] for node in self.ground.nodes
                           if node.name in {name for _, name in self.extra()}}
            if not self.ground.has_older:
                self.findings.other.append(f"copies that nobody needs stay: {told}")
        return told

    # --- reads ---

    def check_reads(self):
        """Each of a sample, by its address on every node."""
        owed = self.book.owed()
        connections = {node.name: Connection(node.url, 60) for node in self.ground.nodes}
        for digest in self.random.sample(sorted(owed), min(READS, len(owed))):
            node = self.random.choice(self.ground.nodes)
            self.await_read(connections[node.name], node, digest, owed[digest].length)
        for connection in connections.values():
            connection.close()

    def await_read(self, connection, node, digest, length):
        """A 503 says that it is to be asked again."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            try:
                status, _, data = connection.ask("GET", f"/sha256/{digest}")
            except ERRORS as error:
                status, data = 0, repr(error).encode()
            if status == 200 and hashlib.sha256(data).hexdigest() == digest and len(data) == length:
                return
            if status == 200:
                self.findings.wrong.append(f"/sha256/{digest} on {node.name}: other bytes")
                return
            if status not in (0, 503) or time.monotonic() > deadline:
                self.findings.lost.append(f"/sha256/{digest} on {node.name}: {status} {data[:200]!r}")
                return
            time.sleep(0.2)

    # --- the index ---

    def ask_index(self, method, path, body=None):
        connection = Connection(self.ground.indexer.url, 60)
        try:
            return connection.json(method, path, body)
        finally:
            connection.close()

    def await_index(self, question, what):
        deadline = time.monotonic() + SETTLE_S
        while True:
            try:
                answer, told = question()
            except ERRORS as error:
                answer, told = False, repr(error)
            if answer:
                return
            if time.monotonic() > deadline:
                self.findings.other.append(f"the index: {what}: {str(told)[:1500]}")
                return
            time.sleep(0.3)

    def check_index(self):
        by_run = {}
        for digest, promise in self.book.owed().items():
            by_run.setdefault(promise.message.run.path, []).append(digest)
        for path, digests in by_run.items():
            def whole(path=path, digests=digests):
                status, answer = self.ask_index("POST", f"/v1/runs/{path}/check", {"digests": digests})
                return status == 200 and not answer["missing"] and not answer["under_replicated"], answer
            self.await_index(whole, f"{path} is whole")

            def agrees(path=path):
                status, answer = self.ask_index("GET", f"/v1/runs/{path}?fingerprint=1")
                return status == 200 and answer["nodes"]["equal"], answer
            self.await_index(agrees, f"{path} has the nodes' fingerprint")

    def is_owed_to_nobody(self, finding):
        """A PUT that was refused may leave its message on one node. When that node is lost for good the index goes on naming it, and
        check calls it lost, which is so: its sender was told to send it again. That all which was acknowledged is whole is looked at
        message by message."""
        owed = self.book.owed()
        return finding["finding"] == "lost" and not any(digest in owed for digest in finding["examples"])

    def check_by_command(self):
        """`gribstore check` as an admin runs it. What it finds has to go; where nothing is left to be done it is clean at once."""
        began, first, looks = time.monotonic(), None, 0
        while True:
            done = self.thrash.load.client().run("check", "--json", "--quiet", "--settle", CHECK_SETTLE, "--wait", CHECK_WAIT, expected=None)
            looks += 1
            report = json.loads(done.stdout or b"{}")
            found = [{key: finding[key] for key in ("finding", "run", "node", "count", "examples", "detail")} for finding in report.get("findings", [])]
            first = first or found
            rest = [finding for finding in found if not self.is_owed_to_nobody(finding)]
            is_clean = (done.returncode == 0 and report.get("clean")) if len(rest) == len(found) else \
                done.returncode == LOST and report.get("nodes") == report.get("nodes_listed")
            is_clean = is_clean and (not rest or self.ground.has_older)
            if is_clean or time.monotonic() > began + SETTLE_S:
                break
        told = {"exit": done.returncode, "looks": looks, "findings": found, "first_findings": first,
                **{key: report.get(key) for key in ("runs", "nodes", "nodes_listed", "copies", "locations", "seconds")}}
        if not is_clean:
            self.findings.other.append(f"gribstore check: {told} {done.stderr[-500:]!r}")
        return told

    # --- at rest ---

    def check_at_rest(self):
        """The processes are gone: what the disks have, byte for byte."""
        for node in self.ground.nodes:
            node.leave()
            node.up_since = None
        self.ground.indexer.stop()
        for digest, promise in self.book.owed().items():
            path = promise.message.run.path
            for name in self.ground.owners(digest, promise.message.run):
                if not self.ground.node(name).disk.holds(path, digest):
                    self.findings.lost.append(f"{path} {digest}: not whole on the disk of {name}, which owns it")
        for node in self.ground.nodes:
            self.findings.other += [f"fsck: {line}" for line in node.fsck()]
        self.check_purged()

    def check_purged(self):
        """No run that is purged has a directory."""
        closed = {run.path for run in self.thrash.load.closed_runs} - {run.path for run in self.thrash.load.open_runs()}
        for node in self.ground.nodes:
            for path in set(node.disk.listed()) & closed:
                self.thrash.say(f"{node.name} has {path} still")
