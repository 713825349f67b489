"""A database that is slow, full, read-only or broken: the indexer stays, says so, answers what it can, refuses with 503 what it can't, waits,
and goes on by itself when it is over.

MongoDB is told to fail by its own door for tests (own_mongod.py); below SQLite it is the disk that fails (tests/fault/shim)."""

import contextlib
import errno
import subprocess
import sys
import threading

import pytest

from processes import BIN, ROOT, await_condition

sys.path.insert(0, str(ROOT / "tests/fault/drills"))

from shim import DELAY, FAIL, Shim  # noqa: E402

COUNT = 60
QUERIES = 16
WRITES = ["insert", "update", "delete", "findAndModify"]
EVERYTHING = [*WRITES, "find", "aggregate"]
OUT_OF_DISK_SPACE, USER_WRITES_BLOCKED, UNAUTHORIZED = 14031, 371, 13
needs_shim = pytest.mark.skipif(not (BIN / "fault_shim.so").exists(), reason="build the target gribstore_fault_shim")


def failing_checks(indexer):
    """Answered at once, whatever the database does."""
    return [check["check"] for check in indexer.get("/readyz", timeout=30).json()["checks"] if not check["ok"]]


def failures(indexer, kind):
    return indexer.metric(f'gribstore_catalog_failures_total{{kind="{kind}"}}')


def await_whole(indexer, count):
    def there():
        answer = indexer.get("/v1/runs", params={"source": "slow"}, timeout=60)
        return answer.status_code == 200 and sum(run["messages"] for run in answer.json()["runs"]) == count
    await_condition(there, f"{count} messages in the index", 90)


def refused(answer):
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0


def check_that_it_waits(indexer, node, stamped, day, trouble, kind):
    """trouble: a context in which the database writes nothing. Each has a day of its own, the first is 1."""
    runs = [f"202611{day:02}T{hour:02}00Z" for hour in (0, 6, 12)]
    ready, there = f"/v1/runs/slow/{runs[0]}/ready", COUNT * len(runs) * (day - 1)
    node.ingest("slow", stamped(runs[0], COUNT))
    await_whole(indexer, there + COUNT)
    with trouble:
        before = failures(indexer, kind)
        for run in runs[1:]:
            node.ingest("slow", stamped(run, COUNT))
        await_condition(lambda: failures(indexer, kind) > before, f"a failure is counted as {kind}")
        await_condition(lambda: failing_checks(indexer) == ["database"] and indexer.metric("gribstore_catalog_up") == 0, "it says so")
        asked = await_condition(lambda: indexer.json("/v1/fields", params={"source": "slow", "limit": 10}, timeout=60), "questions are answered")
        assert len(asked["fields"]) == 10
        refused(indexer.post(ready, timeout=60))
        assert indexer.get("/healthz", timeout=30).status_code == 200
        await_condition(lambda: indexer.metric('gribstore_index_records_behind{node="n1"}') > 0, "it is told how far behind it is")
    await_whole(indexer, there + COUNT * len(runs))
    await_condition(lambda: indexer.post(ready, timeout=60).status_code == 200, "what was refused is taken")
    indexer.wait_ready()
    assert indexer.metric("gribstore_catalog_up") == 1
    assert indexer.process.poll() is None


# --- MongoDB ---


def test_a_mongodb_that_takes_no_writes_is_waited_for(daemons, node, stamped, database):
    database.create()
    indexer = daemons.indexer([node], catalog=database.uri)
    for day, (code, kind) in enumerate([(OUT_OF_DISK_SPACE, "full"), (USER_WRITES_BLOCKED, "read-only"), (UNAUTHORIZED, "refused")], 1):
        trouble = database.failing({"failCommands": WRITES, "errorCode": code})
        check_that_it_waits(indexer, node, stamped, day, trouble, kind)


def test_a_mongodb_that_is_slow_is_waited_for_and_one_that_is_too_slow_is_told(daemons, node, stamped, database):
    database.create()
    indexer = daemons.indexer([node], catalog=database.uri + "&retryReads=false")
    # Slower than anybody likes, and faster than anybody gives up.
    with database.failing({"failCommands": EVERYTHING, "blockConnection": True, "blockTimeMS": 100}):
        node.ingest("slow", stamped("20261101T0000Z", COUNT))
        await_whole(indexer, COUNT)
    with database.failing({"failCommands": EVERYTHING, "blockConnection": True, "blockTimeMS": 8000}):
        node.ingest("slow", stamped("20261101T0600Z", COUNT))
        answers = []
        askers = [threading.Thread(target=lambda: answers.append(indexer.get("/v1/fields", params={"source": "slow", "limit": 1}, timeout=120)))
                  for _ in range(QUERIES)]
        for asker in askers:
            asker.start()
        # Meanwhile the loop is free.
        await_condition(lambda: failing_checks(indexer) == ["database"], "it says so")
        assert indexer.get("/v1/cluster/nodes", timeout=30).status_code == 200
        for asker in askers:
            asker.join()
        assert len(answers) == QUERIES
        for answer in answers:
            refused(answer)
    await_whole(indexer, 2 * COUNT)
    indexer.wait_ready()


# --- SQLite ---


@contextlib.contextmanager
def disk(shim, *rules):
    standing = [shim.rule(*rule[0], **rule[1]) for rule in rules]
    yield
    fired = [rule.end() for rule in standing]
    assert any(fired), "the disk was asked for nothing"


@pytest.fixture
def shimmed(daemons, node, tmp_path):
    """An indexer with SQLite on a disk that can be told to fail."""
    folder = tmp_path / "index"
    folder.mkdir()
    shim = Shim(BIN / "fault_shim.so", folder, tmp_path / "shim")
    indexer = daemons.indexer([node], catalog=f"sqlite:{folder}/index.sqlite", environment=shim.environment(BIN / "indexer"))
    return indexer, shim


@needs_shim
def test_a_disk_below_sqlite_that_fails_or_is_slow_is_waited_for(shimmed, node, stamped):
    indexer, shim = shimmed
    for day, (code, kind) in enumerate([(errno.ENOSPC, "full"), (errno.EIO, "other")], 1):
        trouble = disk(shim, ((FAIL, "write", "truncate"), {"error": code, "name": "index.sqlite"}))
        check_that_it_waits(indexer, node, stamped, day, trouble, kind)
    there = sum(run["messages"] for run in indexer.runs(source="slow"))
    before = sum(failures(indexer, kind) for kind in ("timeout", "full", "other"))
    with disk(shim, ((DELAY, "flush"), {"delay_ms": (200, 200), "name": "index.sqlite"})):
        node.ingest("slow", stamped("20261130T0000Z", COUNT))
        while not indexer.caught_up():
            assert indexer.get("/v1/fields", params={"source": "slow", "limit": 10}, timeout=60).status_code == 200
        await_whole(indexer, there + COUNT)
    assert sum(failures(indexer, kind) for kind in ("timeout", "full", "other")) == before


@contextlib.contextmanager
def filled(folder):
    """To the last byte, as another program's files would."""
    with open(folder / "filling", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    yield
    (folder / "filling").unlink()


@pytest.fixture
def file_system(tmp_path):
    """One of its own, small, for who may mount."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", folder], capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_file_system_that_is_full_below_sqlite_is_waited_for(file_system, daemons, node, stamped):
    indexer = daemons.indexer([node], catalog=f"sqlite:{file_system}/index.sqlite")
    check_that_it_waits(indexer, node, stamped, 1, filled(file_system), "full")
