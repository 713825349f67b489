"""A short, seeded form of each drill (ops/drill has the long ones), and proof that drills find what they are there for.

The planted bugs are the shim's or the driver's, never the product's: a flush that does nothing and tells success, a byte that is
flipped, an acknowledgement that nobody gave.
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from processes import BIN, ROOT

sys.path.insert(0, str(ROOT / "tests/fault/drills"))

import drills  # noqa: E402
import replay  # noqa: E402
from check import Findings, NodeCheck, Place  # noqa: E402
from ledger import Acknowledged, Ledger  # noqa: E402
from messages import make  # noqa: E402
from shim import ALWAYS, DELAY, FAIL, LIE, Shim, sanitizers_of  # noqa: E402

SEED = 20261121
TRIES = 10  # what a campaign meets is a matter of chance
ROUNDS = {"kill": 3, "power": 3, "any-call": 3, "purge-race": 3, "kill-all": 1, "power-all": 1, "enospc": 1, "short": 1, "slow": 1}


@pytest.mark.parametrize("name", drills.DRILLS)
def test_nothing_acknowledged_is_lost(name):
    if name == "memory" and sanitizers_of(BIN / "storaged"):
        pytest.skip("a sanitizer's allocator can't be made to fail")
    for seed in range(SEED, SEED + TRIES):  # on a machine that stands still nothing is sent, and no fault fires
        result = drills.run_drill(name, ROUNDS.get(name, 2), seed)
        assert not result.failures, f"ops/drill {name} --seed {seed}: " + "\n".join(result.failures[:10])
        if result.fired > 0 and result.acknowledged > 0:
            break
    assert result.fired > 0 and result.acknowledged > 0, result


# --- planted bugs ---

def found(name, plant, tmp_path, rounds=4, **settings):
    """The drill with a defect; what it says."""
    drill = type("Planted", (drills.DRILLS[name],), settings)
    for attempt in range(TRIES):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        campaign = drill(folder, SEED + attempt, plant)
        campaign.run(rounds)
        if campaign.findings.all():
            return campaign.findings
    raise AssertionError(f"{name} does not find it")


def in_traffic(*arguments, **rule):
    def plant(campaign, moment):
        if moment == "traffic":
            for node in campaign.nodes:
                node.shim.end_rules()
                node.shim.rule(*arguments, **rule)
    return plant


@pytest.mark.parametrize("drill", ["power", "power-all"])
def test_a_flush_that_does_nothing_is_found(drill, tmp_path):
    findings = found(drill, in_traffic(LIE, "flush", name=".grib"), tmp_path)
    assert findings.lost or findings.wrong


def test_a_directory_that_is_not_flushed_is_found(tmp_path):
    findings = found("power", in_traffic(LIE, "flush-dir"), tmp_path)
    assert findings.lost


def test_a_journal_that_is_not_flushed_is_found(tmp_path):
    findings = found("purge-race", in_traffic(LIE, "flush", name="journal"), tmp_path, purge_pause_s=1)
    assert findings.lost or findings.other


@pytest.mark.parametrize("drill", ["kill", "short", "eio-write"])
def test_a_write_that_does_nothing_is_found(drill, tmp_path):
    def plant(campaign, moment):
        if moment == "traffic":
            campaign.node.shim.rule(LIE, "write", name=".grib", skip=20, left=1)
    findings = found(drill, plant, tmp_path)
    assert findings.wrong or findings.lost


def flip_byte(campaign, moment):
    owed = campaign.ledger.owed()
    if moment == "check" and owed:
        url, offset, length = owed[min(owed)].places[0]
        node = next(node for node in campaign.nodes if url.startswith(node.url + "/"))
        with open(node.data / "runs" / url.split("/data/")[1], "r+b") as file:
            file.seek(offset + length // 2)
            byte = file.read(1)
            file.seek(offset + length // 2)
            file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("drill", ["kill", "kill-all", "any-call", "clock"])
def test_a_flipped_bit_is_found(drill, tmp_path):
    """By who reads the range, or, where the node's own scrub was there first, by its 410."""
    findings = found(drill, flip_byte, tmp_path)
    assert findings.wrong or findings.lost


@pytest.mark.parametrize("drill", ["kill", "eio-flush", "memory", "two"])
def test_an_acknowledgement_that_nobody_gave_is_found(drill, tmp_path):
    def plant(campaign, moment):
        if moment == "check":
            message = make(campaign.runs[0], 1000, random.Random(1))
            url = f"{campaign.node.url}/data/{message.run.path}/0000-0123456789abcdef.grib"
            campaign.ledger.runs[message.run].is_open = True
            campaign.ledger.acknowledged[message.digest] = Acknowledged(
                message.run, campaign.ledger.epoch(message.run), 1000, [(url, 0, 1000)], campaign.ledger.round)
    assert found(drill, plant, tmp_path).lost


def test_a_message_that_no_copy_has_whole_is_found(tmp_path):
    def plant(campaign, moment):
        owed = campaign.ledger.owed()
        if moment == "traffic" and campaign.ledger.round == 2 and owed:
            for digest in owed:
                for url, offset, length in owed[digest].places:
                    node = next(node for node in campaign.nodes if url.startswith(node.url + "/"))
                    with open(node.data / "runs" / url.split("/data/")[1], "r+b") as file:
                        file.seek(offset + length // 2)
                        file.write(b"zzzz")
    findings = found("eio-read", plant, tmp_path, FOUND_WITHIN_S=0.5)
    assert findings.lost or findings.wrong


def test_a_disk_that_stays_full_is_found(tmp_path):
    def plant(campaign, moment):
        if moment == "freed":
            campaign.node.shim.rule(FAIL, "write", error=28)
    assert any("space was back" in text for text in found("enospc", plant, tmp_path, SPACE_BACK_S=0.5).other)


def test_reads_that_wait_for_a_slow_disk_are_found(tmp_path):
    findings = found("slow", in_traffic(DELAY, "read", delay_ms=(50, 50)), tmp_path, rounds=1, READS_WITHIN_S=0.4)
    assert any("reads took" in text for text in findings.other)


def test_a_second_process_that_is_let_in_is_found(tmp_path):
    def plant(campaign, moment):
        if moment == "second":
            campaign.second_data = campaign.folder / "elsewhere"
    assert "a second process was let in" in found("two", plant, tmp_path, rounds=1, REFUSED_WITHIN_S=1).other


class Shards:
    """A node that lists members as it is told."""

    def __init__(self, members):
        self.members = members

    def json(self, method, path):
        del method
        return 200, self.members if "?shard=" in path else [{"shard": 0, "count": len(self.members)}]


@pytest.mark.parametrize(("listed", "fed", "kind"), [("aa", "a", "doubled"), ("a", "ab", "other"), ("ab", "a", "other"), ("ab", "ab", None)])
def test_what_stands_twice_or_only_in_one_list_is_found(listed, fed, kind):
    node = NodeCheck("http://127.0.0.1:1", Ledger(), Findings(), 1)
    node.connection = Shards([{"digest": digest, "birth": "1", "offset": 0, "length": 9} for digest in listed])
    node.check_members("hres/20260101T0000Z", [Place(digest, 0, "1", 0, 9, 1) for digest in fed])
    assert [name for name in ("doubled", "other") if getattr(node.findings, name)][:1] == ([kind] if kind else [])


def test_a_drill_whose_fault_never_fires_proves_nothing():
    result = drills.Result("kill", rounds=10, acknowledged=100)
    assert not result.is_good
    result.fired = 1
    assert result.is_good


# --- the shim itself ---

CHILD = """
import json, os, signal, sys
os.chdir(sys.argv[1])
for operation, *arguments in json.load(sys.stdin):
    if operation == "write":
        name, offset, data = arguments
        fd = os.open(name, os.O_WRONLY | os.O_CREAT)
        os.pwrite(fd, bytes.fromhex(data), offset)
        os.close(fd)
    elif operation == "size":
        os.truncate(os.open(arguments[0], os.O_RDWR), arguments[1])
    elif operation == "flush":
        os.fdatasync(os.open(arguments[0], os.O_RDWR))
    elif operation == "flush-dir":
        os.fsync(os.open(arguments[0], os.O_RDONLY))
    elif operation == "rename":
        os.rename(*arguments)
    elif operation == "unlink":
        os.unlink(arguments[0])
os.kill(os.getpid(), signal.SIGKILL)
"""
NAMES = ["a", "b", "d/a", "d/b"]


class Model:
    """Files as a child changes them, and as they were when flushed: the slow and simple way."""

    def __init__(self):
        self.now, self.flushed = {}, {}      # name -> file number
        self.bytes, self.safe = {}, {}       # file number -> what it holds; what it held when flushed
        self.ever = {}                       # file number -> every content it had since its flush

    def play(self, operation, *arguments):
        if operation == "write":
            name, offset, data = arguments
            file = self.now.setdefault(name, len(self.bytes))
            old = self.bytes.setdefault(file, b"")
            new = old.ljust(offset, b"\0")
            self.change(file, new[:offset] + bytes.fromhex(data) + new[offset + len(data) // 2:])
        elif operation == "size":
            name, size = arguments
            self.change(self.now[name], self.bytes[self.now[name]][:size].ljust(size, b"\0"))
        elif operation == "flush":
            file = self.now[arguments[0]]
            self.safe[file] = self.bytes[file]
            self.ever[file] = [self.bytes[file]]
        elif operation == "flush-dir":
            folder = arguments[0]
            self.flushed = {name: file for name, file in self.flushed.items() if os.path.dirname(name) != folder.strip(".")}
            self.flushed.update({name: file for name, file in self.now.items() if os.path.dirname(name) == folder.strip(".")})
        elif operation == "rename":
            self.now[arguments[1]] = self.now.pop(arguments[0])
        else:
            del self.now[arguments[0]]

    def change(self, file, content):
        self.bytes[file] = content
        self.ever.setdefault(file, [b""]).append(content)

    def some_operation(self, random_):
        kind = random_.choice(["write"] * 5 + ["flush"] * 3 + ["flush-dir"] * 2 + ["size", "rename", "unlink"])
        if kind == "write":
            return kind, random_.choice(NAMES), random_.randrange(6000), random_.randbytes(random_.randint(1, 3000)).hex()
        if kind == "flush-dir":
            return kind, random_.choice([".", "d"])
        if not self.now:
            return "flush-dir", "."
        name = random_.choice(sorted(self.now))
        if kind == "size":
            return kind, name, random_.randrange(7000)
        if kind == "rename":
            to = os.path.join(os.path.dirname(name), random_.choice("abc"))
            return (kind, name, to) if to != name else ("flush", name)
        return kind, name


def play(tmp_path, seed, mode):
    """The directory after a power loss, and the model of it; what of names was touched since they were flushed."""
    random_, model, operations = random.Random(seed), Model(), []
    data = tmp_path / "data"
    (data / "d").mkdir(parents=True)
    shim = Shim(BIN / "fault_shim.so", data, tmp_path / "shim", log=True)
    for _ in range(random_.randint(5, 40)):
        operation = model.some_operation(random_)
        model.play(*operation)
        operations.append(operation)
    done = subprocess.run([sys.executable, "-c", CHILD, str(data)], input=json.dumps(operations), text=True, capture_output=True,
                          check=False, timeout=60, env={**os.environ, **shim.environment(sys.executable)})
    assert done.returncode == -signal.SIGKILL, done.stderr
    for name, file in model.now.items():
        assert (data / name).read_bytes() == model.bytes[file]
    shim.lose_power(mode, seed)
    return model, {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mode", replay.MODES)
def test_what_was_flushed_is_never_harmed(mode, tmp_path):
    changed = 0
    for seed in range(8):
        folder = tmp_path / str(seed)
        folder.mkdir()
        model, left = play(folder, f"{mode}/{seed}", mode)
        if mode == "clean":
            assert left == {name: model.safe.get(file, b"") for name, file in model.flushed.items()}
        for name, file in model.flushed.items():
            if model.now.get(name) != file:
                continue  # its name was changed since: it may be there or not
            safe, content = model.safe.get(file, b""), left[name]
            histories = model.ever.get(file, [b""])
            for at, byte in enumerate(safe):
                versions = {history[at] if at < len(history) else None for history in histories}
                if len(versions) == 1:
                    assert content[at] == byte, f"{mode}/{seed}: {name} at {at}"
                elif at < len(content) and None not in versions:
                    assert content[at] in versions, f"{mode}/{seed}: {name} at {at}"
        changed += left != {name: model.bytes[file] for name, file in model.now.items()}
    assert changed > 1


def test_a_change_that_the_shim_does_not_see_is_refused(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    shim = Shim(BIN / "fault_shim.so", data, tmp_path / "shim", log=True)
    (data / "made").write_bytes(b"by a process that is not under the shim")
    with pytest.raises(replay.Unsound, match="made"):
        shim.lose_power("clean", 1)
    subprocess.run([sys.executable, "-c", "import sys; open(sys.argv[1], 'w')", str(data / "other")], check=True, timeout=60,
                   env={**os.environ, **shim.environment(sys.executable)})
    assert pathlib.Path(data / "other").exists()


def test_each_fault_is_counted_and_hits_only_where_it_is_meant(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    shim = Shim(BIN / "fault_shim.so", data, tmp_path / "shim")
    hit = shim.rule(FAIL, "write", error=5, skip=1, left=2, name="hit")
    elsewhere = shim.rule(FAIL, "open", left=ALWAYS, name="nowhere")
    code = """
import errno, os, sys
os.chdir(sys.argv[1])
told = []
for name in ("hit", "spared", "../outside-hit"):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT)
    for _ in range(5):
        try:
            told.append(os.write(fd, b"12"))
        except OSError as error:
            told.append(errno.errorcode[error.errno])
print(told)
"""
    done = subprocess.run([sys.executable, "-c", code, str(data)], check=True, text=True, capture_output=True, timeout=60,
                          env={**os.environ, **shim.environment(sys.executable)})
    assert done.stdout.strip() == str([2, "EIO", "EIO", 2, 2] + [2] * 10)
    assert (hit.seen, hit.fired, elsewhere.fired) == (5, 2, 0)
    assert shim.calls("write") == 10


def test_the_wall_clock_is_what_the_driver_says(tmp_path):
    shim = Shim(BIN / "fault_shim.so", tmp_path, tmp_path / "shim")
    shim.set_clock(-3 * 86400.25)
    code = "import time; print(time.time(), time.time_ns() // 10**9)"
    before = time.time()
    done = subprocess.run([sys.executable, "-c", code], check=True, text=True, capture_output=True, timeout=60,
                          env={**os.environ, **shim.environment(sys.executable)})
    for told in map(float, done.stdout.split()):
        assert -1 < told - (before - 3 * 86400.25) < 61
