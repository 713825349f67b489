"""An index that is wrong comes back to the truth: an older database, records of what no node has any more."""

import contextlib
import json
import signal
import sqlite3

import pytest
import requests

from processes import await_condition

LEASE = ["--lease", "3s", "--grace", "0s"]


def path_of(indexer):
    return indexer.catalog.removeprefix("sqlite:")


def copy(source, target):
    """The whole of a database into another, as one transaction, whether somebody uses it or not."""
    with sqlite3.connect(source) as old, sqlite3.connect(target, timeout=60) as new:
        old.backup(new)
    old.close()
    new.close()


def cursors(indexer):
    with contextlib.closing(sqlite3.connect(path_of(indexer), timeout=60)) as database:
        return database.execute("SELECT count(*) FROM cursors").fetchone()[0]


def runs(indexer):
    return {run["base_time"]: (run["state"], run["incarnation"], run["messages"]) for run in indexer.runs(source="old")}


@pytest.mark.parametrize("while_it_is", ["stopped", "running"])
def test_an_older_database_comes_to_the_truth_by_itself(daemons, node, stamped, tmp_path, while_it_is):
    indexer = daemons.indexer([node], arguments=LEASE)
    for hour, count in (("00", 100), ("06", 110), ("12", 120), ("18", 130)):
        node.ingest("old", stamped(f"20261101T{hour}00Z", count))
    indexer.await_messages("old", 460)
    backup = tmp_path / "backup.sqlite"
    copy(path_of(indexer), backup)
    # Since then: a run went on, one came, one was purged, one purged and filled again, one is ready.
    node.ingest("old", stamped("20261101T0000Z", 300))
    node.ingest("old", stamped("20261102T0000Z", 80))
    for hour in ("06", "12"):
        run = f"/v1/runs/old/20261101T{hour}00Z"
        assert indexer.post(f"{run}/retire?grace=0s").status_code == 200
        await_condition(lambda at=run: indexer.json(at)["state"] == "purged", "purged")
    assert indexer.post("/v1/runs/old/20261101T1200Z/reopen").status_code == 200
    await_condition(lambda: any(run["state"] == "filling" and run["incarnation"] == 2 for run in node.json("/cluster/runs")["runs"]), "told")
    node.ingest("old", stamped("20261101T1200Z", 60))
    assert indexer.post("/v1/runs/old/20261101T1800Z/ready").status_code == 200
    truth = {"2026-11-01T00:00:00Z": ("filling", 1, 300), "2026-11-01T06:00:00Z": ("purged", 1, 0),
             "2026-11-01T12:00:00Z": ("filling", 2, 60), "2026-11-01T18:00:00Z": ("ready", 1, 130),
             "2026-11-02T00:00:00Z": ("filling", 1, 80)}
    await_condition(lambda: runs(indexer) == truth, "the index is at the end", 60)
    if while_it_is == "stopped":
        indexer.stop()
        copy(backup, path_of(indexer))
        indexer.start().wait_ready()
    else:
        copy(backup, path_of(indexer))
        await_condition(lambda: "run.went-back" in indexer.output(), "it has noticed")
    await_condition(lambda: runs(indexer) == truth, f"the index is what the node is: {runs(indexer)}", 60)
    indexer.sweep()
    await_condition(lambda: runs(indexer) == truth, "the index is what the node is, after a sweep, too")
    known = {line["digest"] for run in node.json("/cluster/runs")["runs"] if run.get("files")
             for shard in node.json(f"/cluster/shards/old/{run['base_time']}") if shard["count"]
             for line in node.json(f"/cluster/shards/old/{run['base_time']}?shard={shard['shard']}")}
    await_condition(lambda: {field["digest"] for field in indexer.fields(source="old", limit=10000, all=1)} == known, "its messages are the node's")
    for base_time in truth:
        await_condition(lambda at=base_time: indexer.json(f"/v1/runs/old/{at}?fingerprint=1")["nodes"]["equal"], f"{base_time} is as the node says")


def test_fingerprints_say_whether_index_and_nodes_hold_the_same(daemons, stamped):
    cluster = daemons.cluster(node_arguments=["--sync-period", "0"])  # what differs stays so
    indexer = cluster.indexer
    cluster.nodes[0].ingest("old", stamped("20261101T0000Z", 100))
    indexer.await_messages("old", 100, copies=2)
    run = "/v1/runs/old/20261101T0000Z"
    assert "nodes" not in indexer.json(run)
    told = await_condition(lambda: (lambda answer: answer["nodes"]["equal"] and answer)(indexer.json(f"{run}?fingerprint=1")), "they hold the same")
    assert told["nodes"] == {"fingerprint": told["fingerprint"], "equal": True, "shards_disagreed": 0, "shards_unanswered": 0, "nodes_unanswered": 0}
    assert told["fingerprint"].startswith("100-")
    # One message more on one node alone: its owners disagree, or it lies with none of them.
    assert cluster.nodes[1].put("/replica/old", data=stamped("20261101T0000Z", 140)).status_code == 201
    await_condition(lambda: indexer.json(run)["messages"] == 140, "it is in the index")
    told = await_condition(lambda: (lambda nodes: nodes["nodes_unanswered"] == 0 and nodes)(indexer.json(f"{run}?fingerprint=1")["nodes"]), "all answer")
    assert not told["equal"] and told["shards_disagreed"] > 0 and "fingerprint" not in told
    cluster.nodes[2].stop()
    await_condition(lambda: indexer.json(f"{run}?fingerprint=1")["nodes"]["nodes_unanswered"] == 1, "one of them does not answer")


def test_a_start_without_news_reads_no_journal_and_scans_no_run(daemons, node, stamped):
    indexer = daemons.indexer([node], arguments=LEASE)
    for hour in range(8):
        node.ingest("old", stamped(f"20261101T{hour:02}00Z", 30))
    indexer.await_messages("old", 240)
    await_condition(indexer.caught_up, "all is read")
    indexer.stop()

    def asked():
        text = node.get("/metrics").text
        return sum(float(line.split()[-1]) for line in text.splitlines()
                   if line.startswith("gribstore_http_requests_total") and 'handler="journal"' in line)
    before = asked()
    with sqlite3.connect(path_of(indexer)) as database:
        revisions = dict(database.execute("SELECT id, rev FROM cursors"))
        assert all(json.loads(doc)["complete"] for (doc,) in database.execute("SELECT doc FROM cursors"))
    indexer.start().wait_ready()
    await_condition(indexer.caught_up, "all is read")
    assert asked() == before
    indexer.stop()
    with sqlite3.connect(path_of(indexer)) as database:
        assert dict(database.execute("SELECT id, rev FROM cursors")) == revisions
    # A file that went while it was away is missed.
    node.stop()
    next(iter(sorted((node.data / "runs/old/20261101T0300Z").glob("*.grib")))).unlink()
    node.start().wait_ready()
    indexer.start().wait_ready()
    await_condition(lambda: indexer.json("/v1/runs/old/20261101T0300Z")["messages"] < 30, "what lay in it is gone")
    assert indexer.json("/v1/runs/old/20261101T0400Z")["messages"] == 30


def test_a_sweep_takes_away_what_no_node_has(daemons, node, stamped):
    indexer = daemons.indexer([node], arguments=LEASE)
    node.ingest("old", stamped("20261101T0000Z", 40))
    node.ingest("old", stamped("20261102T0000Z", 50))
    indexer.await_messages("old", 90)
    await_condition(indexer.caught_up, "the cursors are written")
    with sqlite3.connect(path_of(indexer)) as database:
        rows = database.execute("SELECT * FROM fields").fetchall()
    run = "/v1/runs/old/20261101T0000Z"
    assert indexer.post(f"{run}/retire?grace=0s").status_code == 200
    await_condition(lambda: indexer.json(run)["state"] == "purged", "purged")
    await_condition(lambda: cursors(indexer) == 1, "its cursor has gone: where it is found at the start, so goes what is put in below")
    indexer.stop()
    # What a batch that slept would leave, had its process died then: documents of a purged run, places in a file that is gone.
    with sqlite3.connect(path_of(indexer)) as database:
        holes = ", ".join("?" * len(rows[0]))
        database.executemany(f"INSERT OR IGNORE INTO fields VALUES ({holes})", rows)
        for (identity, doc) in database.execute("SELECT id, doc FROM fields WHERE doc LIKE '%2026-11-02%' LIMIT 7").fetchall():
            changed = json.loads(doc)
            gone = {**changed["locations"][0], "file": "31-00000000000000aa.grib", "url": "http://127.0.0.1:1/gone"}
            stray = {**changed["locations"][0], "node": "nobody", "file": "30-00000000000000ab.grib"}
            changed["locations"] = sorted([*changed["locations"], gone, stray], key=lambda at: (at["node"], at["file"], at["offset"]))
            database.execute("UPDATE fields SET doc = ?, rev = rev + 1 WHERE id = ?", (json.dumps(changed, separators=(",", ":")), identity))
    indexer.start().wait_ready()
    assert len(indexer.fields(source="old", limit=1000)) == 90
    indexer.sweep()
    fields = indexer.fields(source="old", limit=1000)
    assert len(fields) == 50
    assert {field["base_time"] for field in fields} == {"2026-11-02T00:00:00Z"}
    assert {at["node"] for field in fields for at in field["locations"]} == {"n1"}
    assert all(len(field["locations"]) == 1 for field in fields)
    told = indexer.json("/v1/status")["sweep"]
    assert (told["files_removed"], told["documents_removed"], told["nodes_skipped"]) == (2, 40, 0)
    assert indexer.metric("gribstore_sweep_documents_total") == 40


def test_a_sweep_leaves_what_came_while_it_was_at_work(cluster, stamped):
    """The listing of one node is taken, that of another hangs: what is put meanwhile is in no listing, and stays."""
    indexer, nodes = cluster.indexer, cluster.nodes
    nodes[1].ingest("old", stamped("20261101T0000Z", 100))
    indexer.await_messages("old", 100, copies=2)
    nodes[0].process.send_signal(signal.SIGSTOP)
    try:
        for day in range(2, 12):  # it waits for a node for a minute, which a slow machine may need for less than this
            assert indexer.post("/v1/sweep").status_code == 202
            began = await_condition(lambda: (lambda sweep: sweep["running"] and sweep["started_at"])(indexer.json("/v1/status")["sweep"]), "it runs")
            # On this node alone: the one that hangs is not asked.
            assert nodes[1].put("/replica/old", data=stamped(f"202611{day:02}T0000Z", 100)).status_code == 201
            await_condition(lambda at=f"2026-11-{day:02}T00:00:00Z": runs(indexer).get(at, (0, 0, 0))[2] == 100, "the new run is in the index", 60)
            sweep = indexer.json("/v1/status")["sweep"]
            if sweep["running"] and sweep["started_at"] == began:
                break
        else:
            raise AssertionError("no sweep was at work for as long as it takes to index a run")
    finally:
        nodes[0].process.send_signal(signal.SIGCONT)
    await_condition(lambda: not indexer.json("/v1/status")["sweep"]["running"], "it ends", 90)
    indexer.await_messages("old", 100 * day)
    assert indexer.json("/v1/status")["sweep"]["files_removed"] == 0


def test_a_node_that_goes_by_another_url_has_its_locations_rewritten(cluster, stamped):
    indexer, node = cluster.indexer, cluster.nodes[0]
    node.ingest("old", stamped("20261101T0000Z", 100))
    indexer.await_messages("old", 100, copies=2)
    indexer.sweep()
    answer = indexer.get("/v1/cluster/map")
    changed = answer.json()
    other = node.url.replace("127.0.0.1", "localhost")
    for each in changed["nodes"]:
        if each["id"] == node.name:
            each["url"] = other
    changed["epoch"] += 1
    taken = indexer.put("/v1/cluster/map", json=changed, headers={"If-Match": str(changed["epoch"] - 1)})
    assert taken.status_code == 200, taken.text

    def urls():
        return {at["url"].split("/data/")[0] for field in indexer.fields(source="old", limit=1000)
                for at in field["locations"] if at["node"] == node.name}
    await_condition(lambda: urls() == {other}, "they name the other URL")
    fields = indexer.fields(source="old", limit=1000)
    assert len(fields) == 100 and all(len(field["locations"]) == 2 for field in fields)
    location = next(at for field in fields for at in field["locations"] if at["node"] == node.name)
    last = location["offset"] + location["length"] - 1
    assert requests.get(location["url"], headers={"Range": f"bytes={location['offset']}-{last}"}, timeout=60).content.startswith(b"GRIB")
    cluster.nodes[1].ingest("old", stamped("20261101T0000Z", 120))
    indexer.await_messages("old", 120, copies=2)
    assert urls() == {other}
