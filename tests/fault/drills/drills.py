"""The drills: each breaks a node again and again, and lets check.py look at what is left.

A campaign is one data directory (or three) that a few rounds are played on, one after the other, under one seed. A drill is
as many campaigns as its rounds need; campaign i has the seed of the drill + i, so `--seed` with the number that a failure
names repeats it.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import pathlib
import random
import shutil
import subprocess
import tempfile
import time
import traceback

from check import Findings, check_nodes, check_reads
from ledger import Ledger
from messages import make
from nodes import BIN, DrillNode, EndedEarly, make_cluster
from replay import MODES, Unsound
from shim import ALWAYS, DELAY, FAIL, SHORT, mount_small, unmount
from traffic import ERRORS, Traffic, make_runs, send_again

CAMPAIGN_ROUNDS = 6


@dataclasses.dataclass
class Result:
    """A row of the table."""
    name: str
    rounds: int = 0
    fired: int = 0
    acknowledged: int = 0
    purges: int = 0
    lost: int = 0
    wrong: int = 0
    doubled: int = 0
    failed_starts: int = 0
    other: int = 0
    seconds: float = 0.0
    failures: list = dataclasses.field(default_factory=list)

    def take(self, seed, campaign):
        findings = campaign.findings
        self.rounds += campaign.ledger.round
        self.fired += campaign.fired
        self.acknowledged += campaign.ledger.count
        self.purges += campaign.purges
        self.lost += len(findings.lost)
        self.wrong += len(findings.wrong)
        self.doubled += len(findings.doubled)
        self.failed_starts += len(findings.starts)
        self.other += len(findings.other)
        self.failures += [f"seed {seed}: {text}" for text in findings.all()]

    @property
    def is_good(self):
        return self.fired > 0 and self.acknowledged > 0 and not self.failures


class Failed(Exception):
    """The campaign can't go on; what it found says why."""


class Campaign:
    """One drill on one set of directories. A drill gives play(); fired counts its faults that really happened."""
    name = ""
    about = ""
    nodes_count = 1
    log = False
    purge_pause_s = 0.3
    putters = 3
    large = True

    def __init__(self, folder, seed, plant=None):
        self.folder, self.seed = pathlib.Path(folder), seed
        self.random = random.Random(f"{self.name}/{seed}")
        self.ledger, self.findings = Ledger(), Findings()
        self.fired = self.purges = 0
        # A defect that a test puts in, called at "traffic", "check", "freed", "second": the drill has to find it.
        self.plant = plant or (lambda campaign, moment: None)
        self.runs = make_runs(self.random, 4)
        self.nodes = []
        self.traffic = None

    # --- the course of it ---

    def open(self):
        shards = self.random.choice((1, 4, 32))
        arguments = ["--shards", shards, "--loops", self.random.choice((1, 2)),
                     "--batch-size", self.random.choice(("64KiB", "1MiB", "64MiB"))]
        self.nodes = [self.make_node(f"n{place}", arguments) for place in range(1, self.nodes_count + 1)]
        for node in self.nodes:
            node.start().wait_ready()
        if self.nodes_count > 1:
            make_cluster(self.nodes, shards, self.seed)

    def make_node(self, name, arguments):
        return DrillNode(name, self.folder, arguments, log=self.log)

    def close(self):
        if self.traffic is not None:
            self.traffic.stopped.set()
        for node in self.nodes:
            node.end()

    def run(self, rounds):
        try:
            self.open()
            for self.ledger.round in range(1, rounds + 1):
                self.play()
                self.check_modelled()
            self.check_at_rest()
        except Failed:
            pass
        except Unsound as error:
            self.findings.other.append(f"the drill itself: {error}")
        except Exception:  # a node that ends while it is looked at, too
            ended = [node.describe(f"ended with {node.process.returncode}")[-3000:] for node in self.nodes
                     if node.process is not None and node.process.poll() is not None]
            self.findings.other.append("\n".join([traceback.format_exc(), *ended]))
        finally:
            self.close()
        return self

    def check_modelled(self):
        if self.log:
            for node in self.nodes:
                node.shim.check_modelled()

    def check_at_rest(self):
        """The last look: storaged --fsck at each directory, as a killed process left it. A tail is no damage."""
        for node in self.nodes:
            node.end()
            done = subprocess.run([str(BIN / "storaged"), "--fsck", "--json", "--data", str(node.data)], capture_output=True, text=True,
                                  timeout=120, check=False)
            if done.returncode != 0:
                self.findings.wrong.append(f"{node.name}: fsck ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-1000:]}")

    @property
    def urls(self):
        return [node.url for node in self.nodes]

    @property
    def node(self):
        return self.nodes[0]

    # --- what rounds are made of ---

    def begin_traffic(self, **options):
        options = {"putters": self.putters, "purge_pause_s": self.purge_pause_s, "large": self.large, **options}
        self.plant(self, "traffic")
        self.traffic = Traffic(self.ledger, self.urls, f"{self.seed}/{self.ledger.round}", self.runs, **options).start()

    def let_run(self, least_s=0.05, most_s=0.5):
        time.sleep(self.random.uniform(least_s, most_s))

    def end_traffic(self):
        self.traffic.stop()
        self.purges += self.traffic.purges
        statuses = self.traffic.statuses()
        self.traffic = None
        return statuses

    def end_node(self, in_order=0.15):
        """Killed; at times it leaves in order, and what it said is as durable as ever."""
        if self.random.random() < in_order:
            self.node.leave()
        self.node.end()

    def start(self, node):
        """It has to come up, and in time."""
        try:
            node.start().wait_ready()
        except (EndedEarly, AssertionError) as error:
            self.findings.starts.append(str(error)[-2000:])
            raise Failed from None

    def start_all(self):
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            try:
                node.wait_ready()
            except (EndedEarly, AssertionError) as error:
                self.findings.starts.append(str(error)[-2000:])
                raise Failed from None

    def check(self):
        """Everything that is owed, then what was not acknowledged once more, then all of it again if that changed anything."""
        self.plant(self, "check")
        check_nodes(self.urls, self.ledger, f"{self.seed}/{self.ledger.round}", self.findings)
        if self.ledger.unacknowledged:
            send_again(self.ledger, self.urls, self.findings)
            check_nodes(self.urls, self.ledger, f"{self.seed}/{self.ledger.round}/again", self.findings)
        if self.findings.all():
            raise Failed

    def check_reads_go_on(self, node=None):
        for one in [node] if node is not None else self.nodes:
            check_reads(one.url, self.ledger, f"{self.seed}/{self.ledger.round}/reads", self.findings)

    def play(self):
        raise NotImplementedError


# --- killed ---

class Kill(Campaign):
    name = "kill"
    about = "kill -9 under ingest and purges; at times again during the recovery"

    def play(self):
        self.begin_traffic()
        self.let_run()
        self.node.kill()
        self.fired += 1
        self.end_traffic()
        while self.random.random() < 0.3:
            self.node.start_for_moment(self.random)
            self.fired += 1
        self.start(self.node)
        self.check()


class KillAll(Campaign):
    name = "kill-all"
    about = "kill -9 of all three nodes of a cluster at once"
    nodes_count = 3
    large = False

    def play(self):
        self.begin_traffic()
        self.let_run(0.1, 0.8)
        for node in self.nodes:
            node.process.kill()
        for node in self.nodes:
            node.kill()
        self.fired += 1
        self.end_traffic()
        self.start_all()
        self.check()


# --- the power goes ---

class Power(Campaign):
    name = "power"
    about = "power loss: what was not flushed is gone, torn, zero or noise; names too; also during the recovery"
    log = True

    def slow_the_disk(self):
        """So that the end comes between a write and its flush, and between one flush and the next."""
        for node in self.nodes:
            node.shim.end_rules()
            if self.random.random() < 0.8:
                node.shim.rule(DELAY, "flush", "flush-dir", delay_ms=(0, self.random.choice((1, 5, 30))))

    def lose_power(self, node):
        mode = MODES[(self.ledger.round + self.fired) % len(MODES)]
        node.shim.lose_power(mode, f"{self.seed}/{self.ledger.round}/{self.fired}/{node.name}")
        self.fired += 1

    def play(self):
        self.slow_the_disk()
        self.begin_traffic()
        self.let_run(0.05, 0.7)
        self.end_node()
        self.end_traffic()
        while self.random.random() < 0.2:  # first only the process goes: what it did not flush is found by the next
            self.node.start_for_moment(self.random)
        self.lose_power(self.node)
        while self.random.random() < 0.3:
            self.node.start_for_moment(self.random)
            self.lose_power(self.node)
        self.start(self.node)
        self.check()


class PowerAll(Power):
    name = "power-all"
    about = "power loss of all three nodes of a cluster at once"
    nodes_count = 3
    large = False

    def play(self):
        self.slow_the_disk()
        self.begin_traffic()
        self.let_run(0.1, 0.8)
        for node in self.nodes:
            node.process.kill()
        for node in self.nodes:
            node.kill()
        self.end_traffic()
        for node in self.nodes:
            self.lose_power(node)
        self.start_all()
        self.check()


# --- the disk refuses ---

class Full(Campaign):
    name = "enospc"
    about = "a small disk is filled to its last byte at a random moment and freed: 507, reads go on, writes again soon"
    large = False
    DISK_SIZE = 128 << 20
    SPACE_BACK_S = 60

    def make_node(self, name, arguments):
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        kind = self.random.choice(("tmpfs", "ext4"))
        self.is_mounted = mount_small(self.disk, self.DISK_SIZE, kind) or mount_small(self.disk, self.DISK_SIZE, "tmpfs")
        return DrillNode(name, self.folder, arguments, data=self.disk / "data")

    def close(self):
        super().close()
        if self.nodes and self.is_mounted:
            unmount(self.disk)

    def fill(self):
        """A ballast that takes all there is; without a disk of our own, a rule says the same."""
        if not self.is_mounted:
            self.rule = self.node.shim.rule(FAIL, "write", "make", "truncate", error=errno.ENOSPC, skip=self.random.randrange(40))
            return
        with open(self.disk / "ballast", "ab", buffering=0) as file, contextlib.suppress(OSError):
            size = 1 << 20
            while size:
                try:
                    file.write(bytes(size))
                except OSError:
                    size //= 2

    def free(self):
        if self.is_mounted:
            (self.disk / "ballast").unlink()
        else:
            self.rule.end()

    def await_writes(self):
        deadline = time.monotonic() + self.SPACE_BACK_S
        run = self.runs[0]
        while True:
            status = self.put_one(run)
            if status in (200, 201):
                return
            if time.monotonic() > deadline:
                self.findings.other.append(f"{self.SPACE_BACK_S} s after space was back a PUT is still {status}")
                raise Failed
            time.sleep(0.1)

    def put_one(self, run):
        """A PUT with a source of its own: no purge is in its way."""
        message = make(dataclasses.replace(run, source="space"), 5000, self.random)
        self.ledger.book(message.run)
        connection = self.node.connection()
        status, _, text = connection.ask("PUT", "/ingest/space/", body=message.data)
        connection.close()
        if status in (200, 201):
            self.ledger.take(json.loads(text)["messages"], {message.digest: message}, {message.run: 0})
        return status

    def play(self):
        self.begin_traffic(body_messages=80)
        self.let_run(0.05, 0.3)
        self.fill()
        self.let_run(0.1, 0.5)
        self.check_reads_go_on()
        if self.random.random() < 0.3:
            self.node.kill()  # a start on a full disk
            self.end_traffic_into_fired()
            if self.random.random() < 0.5:
                self.free()
                self.start(self.node)
            else:
                self.node.start()
                with contextlib.suppress(EndedEarly, AssertionError):
                    self.node.wait_ready(3)
                self.node.end()
                self.free()
                self.start(self.node)
            self.await_writes()  # ext4 gives freed blocks out with its next commit
        else:
            self.free()
            self.plant(self, "freed")
            self.await_writes()
            self.end_traffic_into_fired()
            if self.node.metric("gribstore_read_only") != 0:
                self.findings.other.append("read-only after the disk was full")
        self.check()
        if self.random.random() < 0.5:
            self.node.kill()
            self.start(self.node)
            self.check()
        self.make_room()

    def check(self):
        """What had no answer is sent again as far as the small disk has room for it."""
        room, kept = shutil.disk_usage(self.disk).free // 4, []
        for messages in self.ledger.unacknowledged:
            room -= sum(len(message.data) for message in messages)
            if room > 0:
                kept.append(messages)
        self.ledger.unacknowledged = kept
        super().check()

    def end_traffic_into_fired(self):
        self.fired += self.end_traffic().get(507, 0)

    def make_room(self):
        """Before the disk is full of runs: a new one, and the runs on it are forgotten."""
        if not self.is_mounted or shutil.disk_usage(self.disk).free > self.DISK_SIZE // 2:
            return
        self.node.end()
        shutil.rmtree(self.node.data)
        self.node.data.mkdir()
        self.ledger.acknowledged.clear()
        self.ledger.runs.clear()
        self.ledger.unacknowledged.clear()
        self.start(self.node)


class WriteError(Campaign):
    name = "eio-write"
    about = "a write fails: read-only until the restart, reads go on"
    ops = ("write",)
    purge_pause_s = 0.15

    def arm(self):
        left = self.random.choice((1, ALWAYS))
        name = self.random.choice(("", "", "journal", ".grib"))
        return self.node.shim.rule(FAIL, *self.ops, skip=self.random.randrange(self.random.choice((20, 60, 200))), left=left, name=name)

    def await_fault(self, rule):
        deadline = time.monotonic() + 3
        while rule.fired == 0 and time.monotonic() < deadline:
            time.sleep(0.01)

    def play(self):
        rule = self.arm()
        self.begin_traffic()
        self.await_fault(rule)
        self.let_run(0.05, 0.2)
        if self.node.process.poll() is None:
            self.check_fail_stop(rule)
        self.end_node(in_order=0.4)
        self.end_traffic()
        self.fired += rule.end()
        self.lose_more()
        self.start(self.node)
        self.check()

    def lose_more(self):
        pass

    def check_fail_stop(self, rule):
        """A body that could not be spooled is only refused; an append that failed makes the node read-only."""
        self.check_reads_go_on()
        deadline = time.monotonic() + 30  # the metrics are a second behind
        while (is_read_only := self.node.metric("gribstore_read_only") == 1) == self.node.checks()["writable"]:
            if time.monotonic() > deadline:
                self.findings.other.append("/readyz and the metrics say different things")
                raise Failed
            time.sleep(0.05)
        if not is_read_only:
            return
        connection = self.node.connection()
        message = make(dataclasses.replace(self.runs[0], source="after"), 500, self.random)
        status, _, text = connection.ask("PUT", "/ingest/after/", body=message.data)
        connection.close()
        if (status, json.loads(text)["code"]) != (503, "read-only"):
            self.findings.other.append(f"a PUT after a failed write: {status} {text!r}")


class FlushError(WriteError):
    name = "eio-flush"
    about = "a flush fails, once or from then on: read-only; its pages are lost though they can be read, then the power goes"
    ops = ("flush", "flush-dir")
    log = True

    def arm(self):
        left = self.random.choice((1, 1, ALWAYS))
        return self.node.shim.rule(FAIL, *self.ops, skip=self.random.randrange(self.random.choice((10, 100, 400))), left=left)

    def lose_more(self):
        for _ in range(self.random.choice((0, 1, 1))):
            self.start(self.node)  # on the same page cache: it sees what the disk has not got
            send_again(self.ledger, self.urls, self.findings)
            self.end_node(in_order=0.4)
        self.node.shim.lose_power(self.random.choice(MODES), f"{self.seed}/{self.ledger.round}")


class ReadError(Campaign):
    name = "eio-read"
    about = "a message of one node can't be read: that range only, another node has it"
    FOUND_WITHIN_S = 60
    nodes_count = 2
    large = False
    purge_pause_s = 0

    def play(self):
        self.begin_traffic()
        self.let_run(0.2, 0.4)
        self.end_traffic()
        owed = self.ledger.owed()
        victims = []
        for digest in self.random.sample(sorted(owed), min(3, len(owed))):
            url, offset, length = self.random.choice(owed[digest].places)
            node = next(node for node in self.nodes if url.startswith(node.url + "/"))
            name = url.rsplit("/", 1)[1]
            # Two thirds that last, as a bad sector does.
            left = self.random.choice((1, ALWAYS, ALWAYS))
            at = self.random.randrange(length)
            victims.append((digest, node, url, offset, length,
                            node.shim.rule(FAIL, "read", extent=(offset + at, offset + at + 1), name=name, left=left)))
        for digest, node, url, offset, length, rule in victims:
            self.read_victim(digest, node, url, offset, length)
        self.read_others({victim[0] for victim in victims}, owed)
        if self.random.random() < 0.5:  # a start that meets it
            self.nodes[0].kill()
            self.start(self.nodes[0])
        for *_, rule in victims:
            self.fired += rule.end()
        self.check_healed({victim[0] for victim in victims})

    def check_at_rest(self):
        """What could not be read may still be on its way to being bad."""

    def read_victim(self, digest, node, url, offset, length):
        connection = node.connection()
        for _ in range(2):
            with contextlib.suppress(*ERRORS):  # cut is an answer, too
                status, _, data = connection.ask(
                    "GET", url.removeprefix(node.url), headers={"Range": f"bytes={offset}-{offset + length - 1}"})
                if status == 206 and not self.has_digest(data, digest):
                    self.findings.wrong.append(f"{url} at {offset}: other bytes after a failed read")
                elif status not in (206, 410, 500, 503):
                    self.findings.other.append(f"{url} at {offset}: {status} {data[:200]!r}")
        for other in self.nodes:
            self.read_by_digest(other, digest)
        connection.close()

    def read_by_digest(self, node, digest):
        """One of the copies is good: asked again, as clients do, the node finds it. An answer may be cut, or be a 503 that
        says to come again, while the other node is not known to be up."""
        connection = node.connection()
        deadline = time.monotonic() + self.FOUND_WITHIN_S
        while True:
            told = "cut"
            with contextlib.suppress(*ERRORS):
                status, _, data = connection.ask("GET", f"/sha256/{digest}")
                if status == 200 and not self.has_digest(data, digest):
                    self.findings.wrong.append(f"{node.url}/sha256/{digest}: other bytes")
                if status == 200:
                    break
                told = f"{status} {data[:200]!r}"
                if status != 503:
                    deadline = 0
            if time.monotonic() > deadline:
                self.findings.lost.append(f"{node.url}/sha256/{digest}: {told}")
                break
            time.sleep(0.05)
        connection.close()

    @staticmethod
    def has_digest(data, digest):
        return hashlib.sha256(data).hexdigest() == digest

    def read_others(self, victims, owed):
        """Everything else is served as before, by its place."""
        others = [digest for digest in sorted(owed) if digest not in victims]
        for digest in self.random.sample(others, min(30, len(others))):
            for url, offset, length in owed[digest].places:
                node = next(node for node in self.nodes if url.startswith(node.url + "/"))
                connection = node.connection()
                status, _, data = connection.ask(
                    "GET", url.removeprefix(node.url), headers={"Range": f"bytes={offset}-{offset + length - 1}"})
                connection.close()
                if status != 206 or not self.has_digest(data, digest):
                    self.findings.lost.append(f"{url} at {offset}: {status}, and it was never touched")

    def check_healed(self, victims):
        """A place that was found bad may stay so; the message is there by its digest, and everything else by its place."""
        with self.ledger.lock:
            for digest in victims:
                ack = self.ledger.acknowledged.pop(digest, None)
                if ack is not None:
                    self.bad.append(digest)
        for digest in self.bad:
            for node in self.nodes:
                self.read_by_digest(node, digest)
        self.check()

    def open(self):
        self.bad = []
        super().open()


class ShortCalls(Campaign):
    name = "short"
    about = "reads and writes do a part of what they are asked, and are interrupted: everything is as if not; then killed"

    def play(self):
        rules = [self.node.shim.rule(SHORT, "read", "write"),
                 self.node.shim.rule(FAIL, "open", "read", "write", "flush", "flush-dir", "truncate", error=errno.EINTR,
                                     skip=self.random.randrange(20), left=self.random.choice((1, 5)))]
        self.begin_traffic()
        self.let_run(0.2, 0.6)
        self.check_reads_go_on()
        if self.random.random() < 0.5:
            self.node.kill()
            self.end_traffic()
            self.start(self.node)
        else:
            self.end_traffic()
        self.fired += sum(rule.end() for rule in rules)
        if self.node.metric("gribstore_read_only") != 0:
            self.findings.other.append("read-only after short writes")
        self.check()


class SlowDisk(Campaign):
    name = "slow"
    about = "each flush takes 100 ms to 2 s: reads don't wait for it; killed while one is under way"
    READS_WITHIN_S = 2
    READS_TRIES = 3  # a machine is busy now and then, a slow flush is always there
    READS_SLOWER = 3  # than without it, on a machine that is always busy
    purge_pause_s = 0.5

    def seconds_of_reads(self):
        begun = time.monotonic()
        self.check_reads_go_on()
        return time.monotonic() - begun

    def play(self):
        self.begin_traffic()
        self.let_run(0.1, 0.3)
        rule = self.node.shim.rule(DELAY, "flush", "flush-dir", delay_ms=(100, self.random.choice((300, 2000))))
        self.let_run(0.3, 1.2)
        tries = [self.seconds_of_reads()]
        while min(tries) > self.READS_WITHIN_S:
            if len(tries) == self.READS_TRIES:
                self.node.shim.end_rules()
                usual = min(self.seconds_of_reads() for _ in tries)
                if min(tries) <= self.READS_SLOWER * usual:
                    break
                self.findings.other.append(f"40 reads took {min(tries):.1f} s while a flush was slow, {usual:.1f} s otherwise")
                raise Failed
            tries.append(self.seconds_of_reads())
        self.node.kill()
        self.end_traffic()
        self.fired += rule.end()
        self.start(self.node)
        self.check()


class AnyCall(Campaign):
    name = "any-call"
    about = "the n-th call of any kind fails with any error, under ingest or during the start"
    log = True
    purge_pause_s = 0.1
    ERRORS = (errno.EIO, errno.ENOSPC, errno.EMFILE, errno.EACCES, errno.ENOMEM)

    def arm(self, *spans):
        return self.node.shim.rule(
            FAIL, *self.random.sample(("open", "write", "flush", "flush-dir", "rename", "unlink", "make", "truncate"), self.random.randint(1, 8)),
            error=self.random.choice(self.ERRORS), skip=self.random.randrange(self.random.choice(spans)), left=self.random.choice((1, 1, 2, ALWAYS)))

    def play(self):
        rule = self.arm(50, 300, 1500)
        self.begin_traffic()
        self.let_run(0.1, 0.6)
        if self.node.process.poll() is None:
            self.check_reads_go_on()
        self.end_node(in_order=0.3)
        self.end_traffic()
        self.fired += rule.end()
        rule = self.arm(20, 100)
        self.node.start()  # it may refuse, it may come up
        with contextlib.suppress(EndedEarly, AssertionError):
            self.node.wait_ready(3)
        self.end_node(in_order=0.3)
        self.fired += rule.end()
        if self.random.random() < 0.5:
            self.node.shim.lose_power(self.random.choice(MODES), f"{self.seed}/{self.ledger.round}")
        self.start(self.node)
        self.check()


class NoMemory(Campaign):
    name = "memory"
    about = "the n-th allocation fails, under ingest or during the start: the process may end, nothing is lost"

    def play(self):
        self.begin_traffic()
        self.let_run(0.05, 0.2)
        rule = self.node.shim.rule(FAIL, "alloc", skip=self.random.randrange(3000), left=self.random.choice((1, 1, 3)))
        self.let_run(0.1, 0.2)
        self.node.end()
        self.end_traffic()
        self.fired += rule.end()
        rule = self.node.shim.rule(FAIL, "alloc", skip=self.random.randrange(2000), left=1)
        self.node.start_for_moment(self.random)
        self.fired += rule.end()
        self.start(self.node)
        self.check()


# --- two at once ---

class Two(Campaign):
    name = "two"
    about = "a second storaged on the same directory: refused, and the first goes on"
    REFUSED_WITHIN_S = 60

    def play(self):
        self.begin_traffic()
        second = DrillNode(f"second{self.ledger.round}", self.folder, shim=False)
        self.second_data = self.node.data
        self.plant(self, "second")
        second.command[second.command.index("--data") + 1] = str(self.second_data)
        try:
            done = subprocess.run(second.command, capture_output=True, timeout=self.REFUSED_WITHIN_S, check=False, text=True)
        except subprocess.TimeoutExpired:
            self.findings.other.append("a second process was let in")
            raise Failed from None
        if done.returncode == 0 or str(self.node.data) not in done.stderr:
            self.findings.other.append(f"a second process: {done.returncode} {done.stderr[-500:]}")
        else:
            self.fired += 1
        self.let_run(0, 0.2)
        self.end_traffic()
        if self.random.random() < 0.5:
            self.node.kill()
            self.start(self.node)
        self.check()


class PurgeRace(Power):
    name = "purge-race"
    about = "PUTs into runs that are retired, purged and opened again all the time; killed or robbed of power at any step"
    purge_pause_s = 0.01
    large = False

    def open(self):
        super().open()
        self.runs = self.runs[:2]

    def play(self):
        self.slow_the_disk()
        # The end comes behind the n-th rename or unlink: the steps of a purge.
        step = self.node.shim.rule(DELAY, self.random.choice(("rename", "unlink", "flush-dir", "make")), skip=self.random.randrange(30),
                                   delay_ms=(200, 200), left=1)
        self.begin_traffic(putters=4, body_messages=8)
        deadline = time.monotonic() + self.random.uniform(0.3, 1)
        while step.fired == 0 and time.monotonic() < deadline:
            time.sleep(0.002)
        self.node.kill()
        self.end_traffic()
        step.end()
        self.fired += 1
        if self.random.random() < 0.7:
            self.lose_power(self.node)
        self.start(self.node)
        self.check()


class Clock(Campaign):
    name = "clock"
    about = "the wall clock jumps by hours and days, forward and back, under ingest and purges; then killed"
    purge_pause_s = 0.1
    JUMPS_S = (-86400, -3600, -10, 10, 3600, 86400, 300 * 86400)  # from 400 days on a purged run is forgotten, as is right

    def play(self):
        self.begin_traffic()
        for _ in range(self.random.randint(1, 4)):
            reads = self.node.shim.clock_reads
            self.node.shim.set_clock(self.random.choice(self.JUMPS_S))
            self.let_run(0.05, 0.2)
            self.fired += self.node.shim.clock_reads > reads
        self.check_reads_go_on()
        self.node.kill()
        self.end_traffic()
        self.node.shim.set_clock(self.random.choice(self.JUMPS_S))
        self.start(self.node)
        self.check()


DRILLS = {drill.name: drill for drill in (
    Kill, KillAll, Power, PowerAll, Full, WriteError, FlushError, ReadError, ShortCalls, SlowDisk, AnyCall, NoMemory, Two, PurgeRace,
    Clock)}
# Rounds of the long form.
LONG = {"kill": 200, "kill-all": 200, "power": 200, "power-all": 50, "enospc": 50, "eio-write": 50, "eio-flush": 50, "eio-read": 50,
        "short": 50, "slow": 30, "any-call": 100, "memory": 50, "two": 100, "purge-race": 100, "clock": 50}


def run_drill(name, rounds, seed, *, campaign_rounds=CAMPAIGN_ROUNDS, keep=None, stop_early=True, said=lambda result: None):
    """A row of the table. Directories of campaigns that failed are moved to keep, if that is given."""
    result, begun = Result(name), time.monotonic()
    while result.rounds < rounds:
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"gribstore-drill-{name}-"))
        campaign = DRILLS[name](folder, seed)
        result.take(seed, campaign.run(min(campaign_rounds, rounds - result.rounds)))
        result.seconds = time.monotonic() - begun
        if campaign.findings.all() and keep is not None:
            shutil.move(folder, pathlib.Path(keep) / folder.name)
            result.failures[-1] += f"\n  kept in {pathlib.Path(keep) / folder.name}"
        shutil.rmtree(folder, ignore_errors=True)
        said(result)
        if result.failures and stop_early:
            break
        seed += 1
    return result
