"""Runs come, are ready as a whole, and go: records first, then the nodes."""

import contextlib
import json
import os
import pathlib

import pytest
import requests

from processes import await_condition, stamp


def stamped(tmp_path, name, base_time, count):
    return stamp(tmp_path / name, base_time, count)


def state(indexer, source, base_time):
    return indexer.json(f"/v1/runs/{source}/{base_time}")["state"]


def used(nodes):
    """Bytes of data files on the nodes' disks, runs and what waits to be unlinked; files may go while they are counted."""
    total = 0
    for node in nodes:
        for part in ("runs", "purged"):
            for folder, _, names in os.walk(node.data / part):
                for name in names:
                    with contextlib.suppress(FileNotFoundError):
                        total += os.stat(os.path.join(folder, name)).st_size if name.endswith(".grib") else 0
    return total


def test_a_run_is_replaced_and_its_space_comes_back(cluster, tmp_path):
    count = int(os.environ.get("GRIBSTORE_TEST_ROTATE", "300"))
    old = stamped(tmp_path, "old.grib", "20261119T0000Z", count)
    new = stamped(tmp_path, "new.grib", "20261119T1200Z", count)
    indexer, client = cluster.indexer, cluster.client

    client.run("rotate", "--source", "gen", "--keep", "1", old, timeout_s=600)
    assert state(indexer, "gen", "20261119T0000Z") == "ready"
    location = indexer.fields(source="gen", limit=1)[0]["locations"][0]

    client.run("rotate", "--source", "gen", "--keep", "1", "--grace", "1s", new, timeout_s=600)
    await_condition(lambda: state(indexer, "gen", "20261119T0000Z") == "purged", "the old run is purged")
    runs = {run["base_time"]: run for run in indexer.runs(source="gen")}
    assert runs["2026-11-19T12:00:00Z"]["messages"] == count
    assert runs["2026-11-19T12:00:00Z"]["state"] == "ready"
    assert runs["2026-11-19T00:00:00Z"]["messages"] == 0
    assert {field["base_time"] for field in indexer.fields(source="gen", limit=10000)} == {"2026-11-19T12:00:00Z"}
    assert requests.get(location["url"], timeout=60).status_code in (404, 410)
    # Two copies of the new run, and nothing of the old one.
    await_condition(lambda: used(cluster.nodes) == 2 * new.stat().st_size, "the disk has the space back")

    pushed = put_bytes(cluster.nodes)
    report = json.loads(client.run("rotate", "--source", "gen", "--keep", "1", "--json", new, timeout_s=600).stdout.splitlines()[-1])
    assert put_bytes(cluster.nodes) == pushed, report
    assert indexer.runs(source="gen", state="ready")[0]["messages"] == count


def put_bytes(nodes):
    """Bytes of messages that the nodes have taken since they were started, from their metrics."""
    total = 0.0
    for node in nodes:
        for line in node.get("/metrics").text.splitlines():
            if line.startswith("gribstore_put_bytes_total"):
                total += float(line.rsplit(" ", 1)[1])
    return total


def test_a_retirement_can_be_undone_before_the_nodes_delete(cluster, tmp_path):
    indexer = cluster.indexer
    file = stamped(tmp_path, "run.grib", "20261119T0000Z", 200)
    cluster.client.run("put", "--source", "undo", file)
    indexer.await_messages("undo", 200, copies=2)
    before = indexer.fields(source="undo", limit=1000)
    run = "/v1/runs/undo/20261119T0000Z"

    assert indexer.post(f"{run}/retire?grace=10min").json()["state"] == "retired"
    await_condition(lambda: indexer.fields(source="undo") == [], "its records are removed")
    refused = cluster.nodes[0].put("/ingest/undo/", data=file.read_bytes())
    assert refused.status_code == 410 and refused.json()["code"] == "run-retired"
    # What is known there is about to go: a push must not take it for kept.
    assert cluster.client.run("put", "--source", "undo", file, expected=6)

    assert indexer.post(f"{run}/ready").json()["state"] == "ready"
    indexer.await_messages("undo", 200, copies=2)
    assert indexer.fields(source="undo", limit=1000) == before


def test_a_retirement_goes_on_after_the_indexer_was_killed(cluster, tmp_path):
    indexer = cluster.indexer
    cluster.client.run("put", "--source", "crash", stamped(tmp_path, "run.grib", "20261119T0000Z", 500))
    indexer.await_messages("crash", 500, copies=2)
    indexer.post("/v1/runs/crash/20261119T0000Z/retire?grace=1s")
    indexer.kill()
    indexer.start().wait_ready()
    await_condition(lambda: state(indexer, "crash", "20261119T0000Z") == "purged", "it is purged all the same")
    assert indexer.fields(source="crash") == []
    await_condition(lambda: used(cluster.nodes) == 0, "the files are gone")


def test_a_node_that_slept_through_a_purge_drops_the_run(cluster, tmp_path):
    indexer, sleeper = cluster.indexer, cluster.nodes[2]
    cluster.client.run("put", "--source", "sleep", stamped(tmp_path, "run.grib", "20261119T0000Z", 200))
    indexer.await_messages("sleep", 200, copies=2)
    sleeper.stop()
    indexer.post("/v1/runs/sleep/20261119T0000Z/retire?grace=1s")
    await_condition(lambda: state(indexer, "sleep", "20261119T0000Z") == "purged", "purged without it")
    sleeper.start().wait_ready()
    await_condition(lambda: used([sleeper]) == 0, "it was told, and dropped its files")
    assert indexer.fields(source="sleep") == []


def test_a_purged_run_is_reopened_and_filled_again(cluster, tmp_path):
    indexer = cluster.indexer
    file = stamped(tmp_path, "run.grib", "20261119T0000Z", 100)
    cluster.client.run("put", "--source", "again", file)
    indexer.await_messages("again", 100, copies=2)
    run = "/v1/runs/again/20261119T0000Z"
    assert indexer.post(f"{run}/reopen").status_code == 409
    indexer.post(f"{run}/retire?grace=0s")
    await_condition(lambda: indexer.json(run)["state"] == "purged", "purged")
    # The nodes are told behind that; until then they know of a run that is retired.
    await_condition(lambda: cluster.nodes[0].put("/ingest/again/", data=file.read_bytes()).json()["code"] == "purged", "the nodes know")
    reopened = indexer.post(f"{run}/reopen").json()
    assert (reopened["state"], reopened["incarnation"]) == ("filling", 2)
    await_condition(lambda: cluster.nodes[0].put("/ingest/again/", data=file.read_bytes()).status_code in (200, 201), "it takes messages again")
    assert indexer.await_messages("again", 100, copies=2)[0]["incarnation"] == 2


def test_check_tells_missing_from_under_replicated(cluster, tmp_path, grib):
    file = stamped(tmp_path, "run.grib", "20261119T0000Z", 50)
    digests = [message.digest for message in grib.split_grib(file)]
    cluster.client.run("put", "--source", "check", file)
    cluster.indexer.await_messages("check", 50, copies=2)
    answer = cluster.indexer.post("/v1/runs/check/20261119T0000Z/check", json={"digests": [*digests, "0" * 64]}).json()
    assert answer == {"missing": ["0" * 64], "under_replicated": [], "quarantined": []}
    bad = cluster.indexer.post("/v1/runs/check/20261119T0000Z/check", json={"digests": ["xyz"]})
    assert bad.status_code == 400 and "digests[0]" in bad.json()["detail"]


@pytest.mark.parametrize("path", [pathlib.Path("/nonexistent.grib")])
def test_rotate_refuses_what_it_cannot_read(cluster, path):
    done = cluster.client.run("rotate", "--source", "none", path, expected=None)
    assert done.returncode not in (0, 3)
    assert str(path) in done.stderr.decode()
