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


def thrash(*arguments, **environment):
    done = subprocess.run([sys.executable, ROOT / "tests/fault/thrash/main.py", "--seed", str(SEED), "--quiet", *arguments],
                          env={**os.environ, "GRIBSTORE_BIN": str(BIN), **environment}, capture_output=True, text=True, check=False, timeout=900,
                          preexec_fn=die_with_parent)
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
