"""The database stops in the middle and comes back: nodes go on taking and serving, and the index catches up by itself."""

import contextlib
import signal

import pytest
import requests

from processes import PRIMARY_LOST, Indexer, await_condition

COUNT = 1500
CATCH_UP_S = 120


def check_reads(node, messages, count=20):
    for message in messages[::max(1, len(messages) // count)]:
        assert node.get(f"/sha256/{message['digest']}").status_code == 200
        location = message["locations"][0]
        last = location["offset"] + location["length"] - 1
        assert requests.get(location["url"], headers={"Range": f"bytes={location['offset']}-{last}"}, timeout=60).status_code == 206


def await_some(indexer):
    await_condition(lambda: any(run["messages"] > 0 for run in indexer.runs(source="db")), "some of it is in the index")


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_the_index_catches_up_by_itself_when_the_database_is_back(daemons, node, stamped, database, how):
    database.create()
    indexer = daemons.indexer([node], catalog=database.uri, environment=PRIMARY_LOST)
    first = node.ingest("db", stamped("20261119T0000Z", COUNT))["messages"]
    await_some(indexer)

    if how == "killed":
        database.kill()
    else:
        database.process.send_signal(signal.SIGSTOP)
    second = node.ingest("db", stamped("20261119T1200Z", COUNT))["messages"]
    check_reads(node, first + second)
    refused = indexer.get("/v1/fields", params={"source": "db", "limit": 1}, timeout=60)
    assert refused.status_code in (503, 504), refused.text
    assert indexer.get("/healthz").status_code == 200
    await_condition(lambda: failing_checks(indexer) == ["database"], "it says that it is not ready, and why")
    await_condition(lambda: indexer.json("/v1/cluster/nodes")["nodes"][0].get("error"), "it says what it waits for", 60)

    if how == "killed":
        database.launch()
    else:
        database.process.send_signal(signal.SIGCONT)
    await_whole(indexer, 2 * COUNT)
    await_condition(lambda: "error" not in indexer.json("/v1/cluster/nodes")["nodes"][0], "the trouble is over")
    indexer.wait_ready()


def failing_checks(indexer):
    """Answered at once, whatever the database does: nothing is asked for it. None: this time the machine was busy."""
    with contextlib.suppress(requests.Timeout):
        return [check["check"] for check in indexer.get("/readyz", timeout=10).json()["checks"] if not check["ok"]]
    return None


def await_whole(indexer, count):
    """All messages in the index; an answer of 503 while a new primary is elected counts as not yet."""
    def there():
        answer = indexer.get("/v1/runs", params={"source": "db"}, timeout=60)
        return answer.status_code == 200 and sum(run["messages"] for run in answer.json()["runs"]) == count
    await_condition(there, f"{count} messages in the index", CATCH_UP_S)


def test_an_indexer_started_while_the_database_is_down_becomes_ready_with_it(daemons, node, stamped, database):
    database.create()
    database.kill()
    indexer = daemons.indexer([node], catalog=database.uri, environment=PRIMARY_LOST, ready=False)
    node.ingest("db", stamped("20261119T0000Z", 200))
    await_condition(lambda: "catalog.wait" in indexer.output(), "it says that it waits")
    assert indexer.process.poll() is None
    database.launch()
    indexer.wait_ready(60)
    await_whole(indexer, 200)


def test_an_indexer_leaves_on_sigterm_while_the_database_does_not_answer(daemons, node, stamped, database):
    database.create()
    indexer = daemons.indexer([node], catalog=database.uri, environment=PRIMARY_LOST)
    node.ingest("db", stamped("20261119T0000Z", COUNT))
    await_some(indexer)
    database.process.send_signal(signal.SIGSTOP)
    indexer.stop()


def test_a_retirement_asked_for_while_the_database_stops_ends_in_purged(daemons, node, stamped, database):
    database.create()
    indexer = daemons.indexer([node], catalog=database.uri, environment=PRIMARY_LOST)
    node.ingest("db", stamped("20261119T0000Z", 500))
    await_whole(indexer, 500)
    run = "/v1/runs/db/20261119T0000Z"
    database.process.send_signal(signal.SIGSTOP)
    # Whether it was written nobody can say: the answer is an error, and asking again settles it.
    assert indexer.post(f"{run}/retire?grace=0s", timeout=60).status_code in (503, 504)
    database.process.send_signal(signal.SIGCONT)
    await_condition(lambda: indexer.post(f"{run}/retire?grace=0s", timeout=60).status_code == 200, "it is retired", 60)
    await_condition(lambda: indexer.json(run, timeout=60)["state"] == "purged", "it is purged", 60)
    await_condition(lambda: not list((node.data / "runs").rglob("*.grib")), "the files are gone")


def test_a_second_indexer_on_one_sqlite_file_is_refused(daemons, node, tmp_path):
    first = daemons.indexer([node])
    second = Indexer("second", tmp_path, [node], catalog=first.catalog).start()
    assert second.process.wait(120) != 0
    second.process = None
    assert "another indexer holds it" in second.output()
    assert first.get("/readyz").status_code == 200
