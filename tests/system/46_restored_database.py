"""A database that is changed for another under a running indexer: set back to an earlier day, emptied, renamed away, replaced by a backup.
Each time the index is in the end what the nodes are."""

import contextlib
import os
import sqlite3

from processes import PRIMARY_LOST, await_condition

LEASE = ["--lease", "2s", "--grace", "0s"]
CATCH_UP_S = 120


def runs(indexer):
    """None while the database does not answer."""
    answer = indexer.get("/v1/runs", params={"source": "old"}, timeout=60)
    if answer.status_code != 200:
        return None
    return {run["base_time"]: (run["state"], run["incarnation"], run["messages"]) for run in answer.json()["runs"]}


def await_runs(indexer, truth):
    await_condition(lambda: runs(indexer) == truth, f"the index is {truth}", CATCH_UP_S)


def await_state(indexer, run, state):
    """Asked for until it is so: the outcome of a request that the database did not answer is not known."""
    def there():
        answer = indexer.get(run, timeout=60)
        return answer.status_code == 200 and answer.json()["state"] == state
    await_condition(there, f"{run} is {state}", CATCH_UP_S)


def check_as_the_node_is(indexer, node):
    known = {line["digest"] for run in node.json("/cluster/runs")["runs"] if run.get("files")
             for shard in node.json(f"/cluster/shards/old/{run['base_time']}") if shard["count"]
             for line in node.json(f"/cluster/shards/old/{run['base_time']}?shard={shard['shard']}")}
    # Counts may be of the moment before; what is given out is not.
    await_condition(lambda: {field["digest"] for field in indexer.fields(source="old", limit=10000, all=1)} == known, "the fields are the node's",
                    CATCH_UP_S)
    for run in indexer.runs(source="old"):
        await_condition(lambda at=run["base_time"]: indexer.json(f"/v1/runs/old/{at}?fingerprint=1")["nodes"]["equal"], f"{run} is as the nodes say")


def failing_checks(indexer):
    return [check["check"] for check in indexer.get("/readyz").json()["checks"] if not check["ok"]]


# --- MongoDB ---


def test_a_mongodb_of_an_earlier_day_comes_to_the_truth_under_a_running_indexer(daemons, node, stamped, database):
    database.create()
    indexer = daemons.indexer([node], catalog=database.uri, environment=PRIMARY_LOST, arguments=LEASE)
    for hour, count in (("00", 100), ("06", 110), ("12", 120), ("18", 130)):
        node.ingest("old", stamped(f"20261101T{hour}00Z", count))
    indexer.await_messages("old", 460)
    database.keep("earlier")
    # Since then: a run went on, one came, one was purged, one purged and filled again, one is ready; the map is another one.
    node.ingest("old", stamped("20261101T0000Z", 300))
    node.ingest("old", stamped("20261102T0000Z", 80))
    for hour in ("06", "12"):
        run = f"/v1/runs/old/20261101T{hour}00Z"
        await_condition(lambda at=run: indexer.post(f"{at}/retire?grace=0s", timeout=60).status_code == 200, "retired", CATCH_UP_S)
        await_state(indexer, run, "purged")
    # One that was done and not answered is refused when it is asked for again.
    reopened = "/v1/runs/old/20261101T1200Z"
    await_condition(lambda: indexer.post(f"{reopened}/reopen", timeout=60).status_code == 200 or indexer.json(reopened)["state"] == "filling",
                    "reopened")
    await_condition(lambda: any(run["state"] == "filling" and run["incarnation"] == 2 for run in node.json("/cluster/runs")["runs"]), "told")
    node.ingest("old", stamped("20261101T1200Z", 60))
    await_answer(lambda: indexer.post("/v1/runs/old/20261101T1800Z/ready", timeout=60))
    change_map(indexer)
    truth = {"2026-11-01T00:00:00Z": ("filling", 1, 300), "2026-11-01T06:00:00Z": ("purged", 1, 0),
             "2026-11-01T12:00:00Z": ("filling", 2, 60), "2026-11-01T18:00:00Z": ("ready", 1, 130),
             "2026-11-02T00:00:00Z": ("filling", 1, 80)}
    await_runs(indexer, truth)
    database.set_back("earlier")
    await_condition(lambda: "run.went-back" in indexer.output(), "it has noticed", CATCH_UP_S)
    await_runs(indexer, truth)
    check_as_the_node_is(indexer, node)
    assert indexer.process.poll() is None
    # The map of that day is lower than the one that rules, and makes way.
    change_map(indexer)
    indexer.restart()
    await_runs(indexer, truth)


def await_answer(ask):
    """Asked for again where the database did not answer in time."""
    def answered():
        answer = ask()
        assert answer.status_code in (200, 503, 504), answer.text
        return answer.status_code == 200
    await_condition(answered, "it is done")


def change_map(indexer):
    """Asked for until it is taken: once a lease it is looked whether the database has an older map, and that one makes way."""
    def taken():
        changed = indexer.json("/v1/cluster/map")
        changed["epoch"] += 1
        return indexer.put("/v1/cluster/map", json=changed, headers={"If-Match": str(changed["epoch"] - 1)}).status_code == 200
    await_condition(taken, "another map is taken")


def test_a_mongodb_that_was_emptied_is_filled_again_under_a_running_indexer(daemons, node, stamped, database):
    database.create()
    indexer = daemons.indexer([node], catalog=database.uri, environment=PRIMARY_LOST, arguments=LEASE)
    node.ingest("old", stamped("20261101T0000Z", 200))
    node.ingest("old", stamped("20261101T0600Z", 100))
    indexer.await_messages("old", 300)
    await_answer(lambda: indexer.post("/v1/runs/old/20261101T0600Z/ready", timeout=60))
    with database.client() as client:
        indexes = set(client.gribstore.fields.index_information())
        client.drop_database("gribstore")
        await_condition(lambda: "catalog.lost" in indexer.output(), "it has noticed")
        node.ingest("old", stamped("20261102T0000Z", 50))
        await_runs(indexer, {"2026-11-01T00:00:00Z": ("filling", 1, 200), "2026-11-01T06:00:00Z": ("ready", 1, 100),
                             "2026-11-02T00:00:00Z": ("filling", 1, 50)})
        await_condition(lambda: set(client.gribstore.fields.index_information()) == indexes, "all indexes are there again")
    check_as_the_node_is(indexer, node)
    change_map(indexer)
    assert indexer.process.poll() is None


# --- SQLite ---


def path_of(indexer):
    return indexer.catalog.removeprefix("sqlite:")


def back_up(indexer, target):
    """As `sqlite3 FILE .backup TARGET` does, beside a running indexer."""
    with contextlib.closing(sqlite3.connect(path_of(indexer))) as source, contextlib.closing(sqlite3.connect(target)) as copy:
        source.backup(copy)


def test_a_backup_renamed_over_an_open_file_ends_the_indexer_and_the_next_one_is_whole(daemons, node, stamped, tmp_path):
    indexer = daemons.indexer([node], arguments=LEASE)
    node.ingest("old", stamped("20261101T0000Z", 100))
    indexer.await_messages("old", 100)
    backup = tmp_path / "backup.sqlite"
    back_up(indexer, backup)
    node.ingest("old", stamped("20261101T0000Z", 250))
    node.ingest("old", stamped("20261102T0000Z", 400))
    indexer.await_messages("old", 650)
    os.rename(backup, path_of(indexer))
    node.ingest("old", stamped("20261103T0000Z", 50))
    assert indexer.process.wait(120) == 1, indexer.output()
    indexer.process = None
    indexer.check_reports()
    assert "event=catalog.gone" in indexer.output() and "another file lies at" in indexer.output()
    # The log beside it is of the file of before.
    indexer.start().wait_ready()
    indexer.await_messages("old", 700)
    check_as_the_node_is(indexer, node)
    indexer.stop()
    with contextlib.closing(sqlite3.connect(path_of(indexer))) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_file_that_is_away_for_a_moment_is_waited_for_and_one_that_stays_away_is_made_anew(daemons, node, stamped):
    indexer = daemons.indexer([node], arguments=LEASE)
    node.ingest("old", stamped("20261101T0000Z", 100))
    indexer.await_messages("old", 100)
    path = path_of(indexer)
    os.rename(path, f"{path}.away")
    await_condition(lambda: failing_checks(indexer) == ["database"], "it says so")
    os.rename(f"{path}.away", path)
    node.ingest("old", stamped("20261101T0000Z", 150))
    indexer.await_messages("old", 150)
    indexer.wait_ready()
    assert "catalog.gone" not in indexer.output()
    os.unlink(path)
    assert indexer.process.wait(120) == 1, indexer.output()
    indexer.process = None
    indexer.check_reports()
    indexer.start().wait_ready()
    indexer.await_messages("old", 150)
