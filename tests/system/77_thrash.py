"""A short, seeded form of the thrasher (ops/thrash has the long one): a whole cluster on hosts of its own, cut, killed, filled and wiped under load."""

import json
import os
import subprocess
import sys

import pytest

from mongod import die_with_parent
from processes import BIN, ROOT

SEED = 20261121
SKIPPED = 77
# What is cheap: none of them has to wait for another.
KINDS = ("kill", "stop", "cut-one-way", "cut-node", "cut-colos", "flapping", "slow", "lossy", "full", "clock", "map", "kill-indexer")


def test_nothing_acknowledged_is_lost_whatever_befalls_the_cluster():
    done = subprocess.run([sys.executable, ROOT / "tests/fault/thrash/main.py", "--seed", str(SEED), "--faults", "12", "--nodes", "3", "--length", "0.4",
                           "--quiet", "--kinds", ",".join(KINDS)],
                          env={**os.environ, "GRIBSTORE_BIN": str(BIN)}, capture_output=True, text=True, check=False, timeout=900,
                          preexec_fn=die_with_parent)
    if done.returncode == SKIPPED and not os.environ.get("CI"):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, f"ops/thrash --seed {SEED}: {done.stdout}\n{done.stderr}"
    report = json.loads(done.stdout[done.stdout.index("{"):])
    print(done.stdout)
    assert report["faults"] >= 12 and all(report["fired"].values())
