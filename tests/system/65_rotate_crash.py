"""A rotation that is killed anywhere and run again ends the same; two at once: one of them goes."""

import contextlib
import os
import random
import signal
import subprocess

import pytest

from mongod import die_with_parent
from processes import BIN, SANITIZER_REPORTS, await_condition, stamp

COUNT = 400
PHASES = ["retire", "lease", "space", "push", "index", "ready"]  # as the command tells them
PAUSE_S = 0.2
KILLS = int(os.environ.get("GRIBSTORE_TEST_KILLS", "10"))
OLD, NEW = "20261119T0000Z", "20261119T1200Z"


def stamped(tmp_path, base_time, count=COUNT):
    return stamp(tmp_path / f"{base_time}.grib", base_time, count)


def rotator(client, *arguments):
    return subprocess.Popen([str(BIN / "gribstore"), "rotate", "--source", "crash", "--keep", "1", "--grace", "0s", *map(str, arguments)],
                            env=client.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            preexec_fn=die_with_parent)


def kill_in(process, phase, pause_s):
    """SIGKILL, a moment after it said that it begins this phase; what it ended with."""
    for line in process.stderr:
        if line.decode().split()[0] == phase:
            break
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(pause_s)
    process.kill()
    process.communicate()
    return process.returncode


def wait(process, timeout_s=300):
    _, told = process.communicate(timeout=timeout_s)
    told = told.decode()
    assert not any(report in told for report in SANITIZER_REPORTS), told
    return process.returncode, told


def states(indexer):
    return {run["base_time"]: run["state"] for run in indexer.runs(source="crash")}


def data_files(cluster):
    return [file for node in cluster.nodes for part in ("runs", "purged") for file in (node.data / part).rglob("*.grib")]


def check_end(cluster, grib, new, gone):
    """Exactly the new run's records, each message on two nodes, at places that hold it; nothing of the old runs."""
    indexer = cluster.indexer
    digests = {message.digest for message in grib.split_grib(new)}
    fields = indexer.fields(source="crash", limit=10000)
    assert len(fields) == len({field["id"] for field in fields}) == len(digests)
    assert {field["digest"] for field in fields} == digests
    for field in fields:
        places = [(at["url"], at["offset"]) for at in field["locations"]]
        assert len(places) == len(set(places)) == len({at["node"] for at in field["locations"]}) == 2, field
        assert not field["older"]
    # No two records name bytes that overlap.
    taken = {}
    for field in fields:
        for at in field["locations"]:
            taken.setdefault(at["url"], []).append((at["offset"], at["offset"] + at["length"]))
    for spans in taken.values():
        spans.sort()
        assert all(first[1] <= second[0] for first, second in zip(spans, spans[1:]))
    now = states(indexer)
    assert [now.pop(run) for run in gone] == ["purged"] * len(gone) and set(now.values()) == {"ready"}, now
    for node in cluster.nodes:
        for run in gone:
            folder = run.replace("-", "").replace(":", "")[:13] + "Z"
            assert not (node.data / "runs" / "crash" / folder).exists(), folder
    await_condition(lambda: sum(file.stat().st_size for file in data_files(cluster)) == 2 * new.stat().st_size, "two copies, and no byte more")


def free_lease(indexer, name="rotate-crash"):
    """Takes the lease from a rotator that is dead, as its time would."""
    asked = indexer.post(f"/v1/leases/{name}", json={"owner": "test:2", "ttl_ms": 1000})
    holder = "test:2" if asked.status_code == 200 else asked.json()["holder"]
    assert indexer.delete(f"/v1/leases/{name}?owner={holder}").status_code < 300


def lease_free(indexer, name="rotate-crash"):
    """Asks as somebody else would, and gives it back."""
    got = indexer.post(f"/v1/leases/{name}", json={"owner": "test:1", "ttl_ms": 1000}).status_code == 200
    if got:
        indexer.delete(f"/v1/leases/{name}?owner=test:1")
    return got


def test_a_rotation_killed_anywhere_is_run_again_and_ends_the_same(cluster, tmp_path, grib):
    """Every run of the loop replaces the last run, whose rotation was killed at a moment of its own."""
    indexer, client = cluster.indexer, cluster.client
    seed = int(os.environ.get("GRIBSTORE_TEST_SEED", "65"))
    moments = random.Random(seed)
    # Who was not killed at work was over before this process had its turn: then there are more turns.
    times = [f"2026{9 + turn // 56:02d}{1 + turn // 2 % 28:02d}T{turn % 2 * 12:02d}00Z" for turn in range(3 * KILLS + 1)]
    code, told = wait(rotator(client, stamped(tmp_path, times[0])))
    assert code == 0, told
    killed = []
    for turn, base_time in enumerate(times[1:], 1):
        if turn > KILLS and len(killed) >= KILLS * 2 // 3:
            break
        file = stamped(tmp_path, base_time)
        phase = PHASES[turn % len(PHASES)]
        code = kill_in(rotator(client, file), phase, moments.random() * PAUSE_S)
        killed += [phase] * (code == -signal.SIGKILL)
        # Whatever it was doing, there is a run that is ready.
        assert "ready" in states(indexer).values(), f"seed {seed}, turn {turn}"
        if turn > 1:  # the first time it is waited for
            free_lease(indexer)
        code, told = wait(rotator(client, file))
        assert code == 0, f"seed {seed}, turn {turn}: {told}"
        gone = sorted(states(indexer))[:turn]
        check_end(cluster, grib, file, gone)
        puts = put_bytes(cluster)
        code, told = wait(rotator(client, file))
        assert code == 0 and put_bytes(cluster) == puts, told
    assert len(killed) >= KILLS * 2 // 3, f"too few were killed at work: {killed}"


def put_bytes(cluster):
    return sum(float(line.rsplit(" ", 1)[1]) for node in cluster.nodes for line in node.get("/metrics").text.splitlines()
               if line.startswith("gribstore_put_bytes_total"))


def test_of_two_rotations_at_once_one_waits_or_goes(cluster, tmp_path, grib):
    indexer, client = cluster.indexer, cluster.client
    old, new = stamped(tmp_path, OLD), stamped(tmp_path, NEW)
    assert wait(rotator(client, old))[0] == 0
    # The first one holds the lease for as long as its grace lasts: longer than the second one tries.
    holder = subprocess.Popen([str(BIN / "gribstore"), "rotate", "--source", "crash", "--keep", "1", "--grace", "10min", str(new)],
                              env=client.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              preexec_fn=die_with_parent)
    await_condition(lambda: not lease_free(indexer), "the first one holds the lease")
    code, told = wait(rotator(client, "--retry", "3s", new))
    assert code == 6 and "rotate-crash" in told, told
    assert holder.poll() is None, "the first one was over before the second one gave up"
    await_condition(lambda: states(indexer).get("2026-11-19T00:00:00Z") == "retired", "the first one waits for the purge")
    holder.send_signal(signal.SIGTERM)
    assert wait(holder)[0] == 143
    # Undone, and retired anew without a grace, by one that is alone.
    assert indexer.post(f"/v1/runs/crash/{OLD}/ready").status_code == 200
    assert wait(rotator(client, new))[0] == 0
    check_end(cluster, grib, new, ["2026-11-19T00:00:00Z"])


def test_two_rotations_that_start_together_end_as_one(cluster, tmp_path, grib):
    client = cluster.client
    old, new = stamped(tmp_path, OLD), stamped(tmp_path, NEW)
    assert wait(rotator(client, old))[0] == 0
    pair = [rotator(client, new) for _ in range(2)]
    ends = [wait(process) for process in pair]
    assert {code for code, _ in ends} <= {0, 6} and 0 in {code for code, _ in ends}, ends
    check_end(cluster, grib, new, ["2026-11-19T00:00:00Z"])


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_rotation_that_is_told_to_stop_gives_its_lease_back(cluster, tmp_path, grib, number, code):
    client, indexer = cluster.client, cluster.indexer
    old, new = stamped(tmp_path, OLD), stamped(tmp_path, NEW)
    assert wait(rotator(client, old))[0] == 0
    stopped = subprocess.Popen([str(BIN / "gribstore"), "rotate", "--source", "crash", "--keep", "1", "--grace", "10min", str(new)],
                               env=client.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               preexec_fn=die_with_parent)
    await_condition(lambda: states(indexer).get("2026-11-19T00:00:00Z") == "retired", "it waits for the purge")
    stopped.send_signal(number)
    assert wait(stopped, 60)[0] == code  # ten minutes before its time
    assert lease_free(indexer)
    assert states(indexer)["2026-11-19T12:00:00Z"] == "ready"


@pytest.mark.parametrize("phase", ["push", "index", "ready", "retire"])
def test_a_rotator_that_slept_while_another_went_on_purges_nothing_wrong(cluster, tmp_path, grib, phase):
    """The sleeper holds an older run; when it wakes up, a newer one is ready and its own on the way out."""
    client, indexer = cluster.client, cluster.indexer
    first, slept, newest = (stamped(tmp_path, at) for at in (OLD, NEW, "20261120T0000Z"))
    assert wait(rotator(client, first))[0] == 0
    sleeper = rotator(client, slept)
    for line in sleeper.stderr:
        if line.decode().split()[0] == phase:
            break
    sleeper.send_signal(signal.SIGSTOP)
    free_lease(indexer)
    code, told = wait(rotator(client, newest))
    assert code == 0, told
    assert states(indexer)["2026-11-20T00:00:00Z"] == "ready"
    sleeper.send_signal(signal.SIGCONT)
    code, told = wait(sleeper)
    assert code in (0, 6), told
    assert states(indexer)["2026-11-20T00:00:00Z"] == "ready"
    assert {field["base_time"] for field in indexer.fields(source="crash", limit=10000)} >= {"2026-11-20T00:00:00Z"}
    # Whatever the sleeper left, the next rotation of the newest puts straight.
    assert wait(rotator(client, newest))[0] == 0
    check_end(cluster, grib, newest, [run for run, state in sorted(states(indexer).items()) if run < "2026-11-20"])
