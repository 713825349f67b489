"""A short, seeded form of the thrasher (ops/thrash has the long one): a whole cluster on hosts of its own, cut, killed, filled and wiped under load."""

import concurrent.futures
import json
import os
import random
import socket
import subprocess
import sys
import time

import pytest

from links import Links, NoLinks
from mongod import die_with_parent
from processes import BIN, ROOT, await_condition

SEED = 20261121
SKIPPED = 77
# What is cheap: none of them has to wait for another.
KINDS = ("kill", "stop", "cut-one-way", "cut-node", "cut-colos", "flapping", "slow", "lossy", "full", "clock", "map", "kill-indexer")


@pytest.fixture
def links():
    try:
        with Links(BIN / "links", ["control", "n1"]) as found:
            yield found
    except NoLinks as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))


def test_wires_are_cut_slow_and_lossy_on_command(links):
    def on(host, action):
        """By a thread of its own, which stays on that host until it ends."""
        def run():
            links.enter(host)
            return action()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return pool.submit(run).result()

    server = on("n1", lambda: socket.create_server(("0.0.0.0", 7)))
    address = (links.address("n1"), 7)

    def seconds(timeout_s):
        """To connect; None: not in that time."""
        def connect():
            began = time.monotonic()
            try:
                socket.create_connection(address, timeout_s).close()
            except TimeoutError:
                return None
            return time.monotonic() - began
        return on("control", connect)

    assert seconds(60) is not None
    for pair in (("control", "n1"), ("n1", "control")):
        links.cut(*pair)
        assert seconds(0.5) is None
        await_condition(lambda pair=pair: links.counts(*pair)[1] > 0, "what was lost is counted")
        links.join(*pair)
        assert seconds(60) is not None
    links.delay("control", "n1", 200)
    assert seconds(60) > 0.15  # counted in whole milliseconds on the way
    links.heal()
    links.loss("n1", "control", 100)
    assert seconds(0.5) is None
    links.add("n2")
    with pytest.raises(ValueError, match="not a new name"):
        links.add("n2")
    server.close()


def test_each_kind_of_fault_has_its_turn_however_rarely_it_is_possible():
    sys.path.append(str(ROOT / "tests/fault/thrash"))
    sys.path.append(str(ROOT / "tests/fault/drills"))
    from thrash import Deck

    class Often:
        weight = 20

    class Seldom:
        weight = 4

    class Never:
        weight = 4

    deck = Deck([Often, Seldom, Never], random.Random(SEED))
    drawn = [deck.draw(lambda kind: kind is Often or kind is Seldom and turn % 50 == 49) for turn in range(200)]
    assert drawn[49::50] == [Seldom] * 4 and drawn.count(Often) == 196
    assert deck.draw(lambda kind: kind is Never) is Never
    deck.put_back(Never)
    assert deck.draw(lambda kind: kind is Never) is None  # in a while it is tried again


def thrash(*arguments, **environment):
    """How long it takes, and when it has to be over, is of no account."""
    environment = {**os.environ, "GRIBSTORE_BIN": str(BIN), "GRIBSTORE_THRASH_REACHABLE": "600", "GRIBSTORE_THRASH_SETTLE": "600", **environment}
    done = subprocess.run([sys.executable, ROOT / "tests/fault/thrash/main.py", "--seed", str(SEED), "--quiet", "--disk-mib", "192", *arguments],
                          env=environment, capture_output=True, text=True, check=False, timeout=3000, preexec_fn=die_with_parent)
    if done.returncode == SKIPPED and not os.environ.get("CI"):
        pytest.skip(done.stderr.strip())
    return done


def test_nothing_acknowledged_is_lost_whatever_befalls_the_cluster():
    done = thrash("--faults", "12", "--nodes", "3", "--length", "0.25", "--kinds", ",".join(KINDS))
    assert done.returncode == 0, f"ops/thrash --seed {SEED}: {done.stdout}\n{done.stderr}"
    report = json.loads(done.stdout[done.stdout.index("{"):])
    print(done.stdout)
    assert report["faults"] >= 12 and all(report["fired"].values())


def test_what_is_lost_is_found():
    done = thrash("--faults", "1", "--nodes", "3", "--length", "0.2", "--kinds", "kill", "--plant", "delete-file,acknowledge-nothing",
                  GRIBSTORE_THRASH_SETTLE="1")
    assert done.returncode == 1, done.stdout
    planted = json.loads(done.stdout[done.stdout.index("{"):])["planted"]
    assert len(planted) == 2 and all(f"{digest}: not whole on the disk" in done.stderr for digest in planted), done.stderr
