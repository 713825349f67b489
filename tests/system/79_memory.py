"""Each allocation of a short day in a node's life fails once, then each of its start: it may end on it, in order (SIGABRT, or an error and
an exit code), or answer with an error; it neither crashes, nor hangs, nor answers wrongly, and what was acknowledged stays.

Every GRIBSTORE_MEMORY_STEP-th one (1: all of them, a few minutes).
"""

import contextlib
import itertools
import json
import os
import random
import signal
import sys
import time

import pytest

from processes import BIN, ROOT, EndedEarly

sys.path.insert(0, str(ROOT / "tests/fault/drills"))

from messages import Run, make  # noqa: E402
from nodes import DrillNode  # noqa: E402
from shim import FAIL, sanitizers_of  # noqa: E402
from traffic import ERRORS  # noqa: E402

STEP = int(os.environ.get("GRIBSTORE_MEMORY_STEP", "40"))
START_STEP = 12 * STEP
TIMEOUT_S = 60
ENDS_WITHIN_S = 60  # who can't go on, on a machine that is busy
FAILURES = (500, 503, 507)
pytestmark = pytest.mark.skipif(
    not (BIN / "fault_shim.so").exists() or bool(sanitizers_of(BIN / "storaged")),
    reason="build the target gribstore_fault_shim; a sanitizer's allocator can't be made to fail")


@pytest.fixture
def node(tmp_path):
    node = DrillNode("short", tmp_path, arguments=["--loops", "1", "--pool-threads", "2"])
    yield node
    node.end()


class Day:
    """PUT, a range, a digest, /have, retire, purge: of messages of its own. What was promised is kept here."""

    def __init__(self, node, number):
        self.node, self.run = node, Run(f"day-{number}", (2020, 1, 2, 6))
        random_ = random.Random(number)
        self.messages = [make(self.run, size, random_) for size in (300, 5000, 150_000, 1_300_000)]
        self.acknowledged = self.purging = False
        self.strict = False  # every step has to succeed
        self.cut = False
        self.connection = node.connection(TIMEOUT_S)

    def ask(self, method, path, body=None, headers=None, good=(200,)):
        """The answer's body; None: it failed, as it may."""
        try:
            status, _, data = self.connection.ask(method, path, body, headers)
        except ERRORS as error:
            assert not isinstance(error, TimeoutError), f"{method} {path}: no answer"
            assert not self.strict, f"{method} {path}: {error!r}"
            self.cut = True
            return None
        assert status in good or (status in FAILURES and not self.strict), f"{method} {path}: {status} {data[:300]!r}"
        return data if status in good else None

    def live(self):
        with contextlib.closing(self.connection):
            self.put()
            if self.acknowledged:
                self.read()
                self.purge()

    def put(self):
        data = self.ask("PUT", f"/ingest/{self.run.source}/", b"".join(message.data for message in self.messages), good=(200, 201))
        if data is None:
            return
        lines = json.loads(data)["messages"]
        assert [line["digest"] for line in lines] == [message.digest for message in self.messages]
        self.acknowledged = True
        self.places = [line["locations"][0] for line in lines]

    def read(self):
        for message, place in zip(self.messages, self.places):
            last = place["offset"] + place["length"] - 1
            data = self.ask("GET", place["url"].removeprefix(self.node.url), good=(206,),
                            headers={"Range": f"bytes={place['offset']}-{last}"})
            assert data in (None, message.data)
            assert self.ask("GET", f"/sha256/{message.digest}") in (None, message.data)
        asked = {"source": self.run.source, "base_time": self.run.time, "digests": [message.digest for message in self.messages]}
        data = self.ask("POST", "/have", json.dumps(asked))
        assert data is None or json.loads(data)["missing"] == []

    def purge(self):
        state = {"incarnation": 1, "version": 1, "state": "retired"}
        self.purging = True
        if self.ask("PUT", f"/cluster/runs/{self.run.path}", json.dumps(state)) is not None:
            self.ask("DELETE", f"/data/{self.run.path}/?incarnation=1&version=1", good=(204,))

    def check(self):
        """Once it answers again: what was acknowledged, and not about to go."""
        if not self.acknowledged or self.purging:
            return
        self.strict = True
        with contextlib.closing(self.connection):
            self.connection.close()  # it was the process's that ended
            for message in self.messages:
                assert self.ask("GET", f"/sha256/{message.digest}") == message.data


def has_ended(node, patience_s=0):
    """Did the process end? Then as it may."""
    deadline = time.monotonic() + patience_s
    while node.process.poll() is None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.005)
    code, node.process = node.process.returncode, None
    assert code == -signal.SIGABRT or code > 0, node.describe(f"ended with {code}")
    return True


def check_after(node, day, name):
    """What was promised is kept, and another day is as any."""
    day.check()
    after = Day(node, f"{name}-after")
    after.strict = True
    after.live()
    assert after.acknowledged and after.purging


def test_any_allocation_of_a_day_may_fail(node):
    node.start().wait_ready()
    fired = 0
    Day(node, "warm").live()
    for n in itertools.count(0, STEP):
        rule = node.shim.rule(FAIL, "alloc", skip=n, left=1)
        day = Day(node, n)
        day.live()
        over = rule.end() == 0
        fired += not over
        # Who let go of a connection is about to end, and so may be a thread that nobody waited for.
        if has_ended(node, patience_s=0.5 if day.cut else 0 if over else 0.1):
            node.start().wait_ready()
        try:
            check_after(node, day, n)
        except AssertionError:
            if over or not has_ended(node, ENDS_WITHIN_S):
                raise
            node.start().wait_ready()  # it was about to, and this was a moment too early
            check_after(node, day, f"{n}-again")
        if over:
            break
    assert fired > 2


def test_any_allocation_of_a_start_may_fail(node):
    node.start().wait_ready()
    kept = []
    for number in range(3):
        kept.append(Day(node, f"kept-{number}"))
        kept[-1].put()
    node.kill()
    for n in itertools.count(0, START_STEP):
        rule = node.shim.rule(FAIL, "alloc", skip=n, left=1)
        node.start()
        over = False
        try:
            node.wait_ready(TIMEOUT_S)
            over = rule.end() == 0
            node.kill()
        except EndedEarly:
            rule.end()
        if over:
            break
    node.start().wait_ready()
    for day in kept:
        assert day.acknowledged
        day.check()
