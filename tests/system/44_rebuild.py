"""The index can be lost: it is dropped, under a stopped indexer and under a running one, and read again from the nodes: the same documents, byte
by byte, but for `rev`, a counter that begins at a random number with each document that is made.

GRIBSTORE_REBUILD_COUNT: messages (250000: the full run). The long form prints what it took: pytest -s.
"""

import hashlib
import os
import time

import bson
import pymongo

from mongod import running as mongod_running
from processes import Cluster, await_condition, stamp

COUNT = int(os.environ.get("GRIBSTORE_REBUILD_COUNT", "400"))
BASE_TIMES = ("20261101T0000Z", "20261101T1200Z")
TIMEOUT_S = 120 + COUNT // 20
COPIES = 2


def told(text):
    print(f"rebuild of {COUNT} messages, {COPIES} copies each: {text}", flush=True)


def dumped(uri):
    """What the database holds: of each field its document without rev, as a hash; cursors; names of indexes."""
    with pymongo.MongoClient(uri) as client:
        database = client.gribstore
        fields = {document.pop("_id"): hashlib.sha256(bson.encode(document)).digest()
                  for document in database.fields.find({}, {"rev": 0})}
        cursors = {(cursor["node"], cursor["source"], str(cursor["base_time"])): (cursor["journal"], cursor["record"], cursor["complete"])
                   for cursor in database.cursors.find({})}
        return {"fields": fields, "quarantine": database.quarantine.count_documents({}), "cursors": cursors,
                "indexes": sorted(database.fields.index_information()),
                "runs": {(run["source"], str(run["base_time"])): (run["state"], run["incarnation"]) for run in database.runs.find({})}}


def stored(uri):
    with pymongo.MongoClient(uri) as client:
        return client.gribstore.fields.estimated_document_count()


def state_at(node, base_time):
    return next(run["state"] for run in node.json("/cluster/runs")["runs"] if run["base_time"].replace("-", "").replace(":", "")[:13] == base_time[:13])


def whole(cluster, uri):
    """Every journal read to its end; then every message with its copies, by the indexer's own count."""
    def at_the_end():
        with pymongo.MongoClient(uri) as client:
            at = {cursor["node"] + cursor["journal"]: cursor["record"] for cursor in client.gribstore.cursors.find({"complete": True})}
        return all(at.get(node.name + run["journal"]) == run["records"]
                   for node in cluster.nodes for run in node.json("/cluster/runs")["runs"] if run.get("journal"))
    await_condition(lambda: stored(uri) == COUNT and at_the_end(), "all is in the index again", TIMEOUT_S)
    await_condition(lambda: sum(run["messages"] for run in cluster.indexer.json("/v1/runs", timeout=TIMEOUT_S)["runs"]) == COUNT,
                    "the indexer counts them all", TIMEOUT_S)


def rebuilt(cluster, uri, how, before):
    """From the drop to the last document."""
    documents = stored(uri)
    if how == "stopped":
        cluster.indexer.stop()
    with pymongo.MongoClient(uri) as client:
        client.drop_database("gribstore")
    began = time.monotonic()
    if how == "stopped":
        cluster.indexer.start()
    whole(cluster, uri)
    took = time.monotonic() - began
    told(f"{how} indexer: {took:.1f} s, {documents / took:.0f} documents/s, {COPIES * documents / took:.0f} records/s")
    held = {}

    def equal():  # a run that a sweep found half read is read once more: its cursor is back at its end a moment later
        held.update(dumped(uri))
        return held == before
    try:
        await_condition(equal, "the index holds what it held", TIMEOUT_S)
    except AssertionError:
        fields = [key for key in before["fields"] if before["fields"][key] != held["fields"].get(key)]
        other = {key: (before[key], held[key]) for key in before if key != "fields" and before[key] != held[key]}
        raise AssertionError(f"{len(held['fields'])} documents, {len(fields)} differ: {fields[:3]}; {other}") from None
    for base_time in BASE_TIMES:
        await_condition(lambda at=base_time: cluster.indexer.json(f"/v1/runs/rebuild/{at}?fingerprint=1", timeout=TIMEOUT_S)["nodes"]["equal"],
                        f"index and nodes agree on {base_time}")


def test_an_index_that_was_dropped_comes_back_as_it_was(daemons, tmp_path):
    with mongod_running(cache_gb=0.25 if COUNT < 10_000 else 1, folder=tmp_path) as uri:
        nodes = [daemons.node(name) for name in ("n1", "n2")]
        indexer = daemons.indexer(nodes, catalog=uri, ready=False, arguments=["--lease", "2s"])
        cluster = Cluster(nodes, indexer).init()
        indexer.wait_ready()
        began = time.monotonic()
        for base_time in BASE_TIMES:
            with open(stamp(tmp_path / f"{base_time}.grib", base_time, COUNT // len(BASE_TIMES)), "rb") as body:
                answer = nodes[0].put("/ingest/rebuild/?answer=summary", data=body, timeout=TIMEOUT_S)
            assert answer.status_code == 201, answer.text
        assert indexer.post(f"/v1/runs/rebuild/{BASE_TIMES[0]}/ready", timeout=TIMEOUT_S).status_code == 200
        await_condition(lambda: all(state_at(node, BASE_TIMES[0]) == "ready" for node in nodes), "every node was told: theirs is what a lost index is made of")
        whole(cluster, uri)
        told(f"PUT and indexed in {time.monotonic() - began:.1f} s")
        before = dumped(uri)
        assert len(before["fields"]) == COUNT
        rebuilt(cluster, uri, "stopped", before)
        rebuilt(cluster, uri, "running", before)
        daemons.stop()  # in front of their database
