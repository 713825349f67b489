"""Tailing when something is wrong: one run that can't be read keeps no other waiting, and what a node no longer has leaves the index."""

import struct
import subprocess
import time


from processes import await_condition

JOURNAL_RECORD_SIZE = 64


def messages(indexer, source):
    return {run["base_time"]: run["messages"] for run in indexer.runs(source=source)}


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))


def test_a_run_that_cannot_be_read_keeps_no_other_waiting(daemons, node, stamped):
    for hour in range(3):
        node.ingest("tail", stamped(f"20261101T{hour:02}00Z", 20))
    journals = sorted((node.data / "runs/tail").glob("*/journal"))
    # The node has read it already, and hands it out as it is on disk.
    damaged = journals[:2]
    for journal in damaged:
        flip(journal, JOURNAL_RECORD_SIZE * 3 + 5)
    indexer = daemons.indexer([node])
    await_condition(lambda: messages(indexer, "tail").get("2026-11-01T02:00:00Z") == 20, "the sound one is in the index")
    node.ingest("tail", stamped("20261101T0300Z", 20))
    await_condition(lambda: messages(indexer, "tail").get("2026-11-01T03:00:00Z") == 20, "a later one too")
    await_condition(lambda: "record" in indexer.json("/v1/cluster/nodes")["nodes"][0].get("error", ""), "it says what is wrong")
    for journal in damaged:
        flip(journal, JOURNAL_RECORD_SIZE * 3 + 5)
    indexer.await_messages("tail", 80)
    await_condition(lambda: "error" not in indexer.json("/v1/cluster/nodes")["nodes"][0], "the trouble is over")


def test_heads_that_are_more_than_one_answer_are_asked_for_in_parts(daemons, node, grib):
    """1,000 messages with 70 kB of local section each: 70 MB of heads, where a node gives 64 MiB at once."""
    whole = grib.split_bytes((grib.GRIB_DIR / "regular_latlon_surface.grib2").read_bytes())[0].data
    at = 16 + int.from_bytes(whole[16:20], "big")
    if whole[at + 4] == 2:
        rest = whole[at + int.from_bytes(whole[at:at + 4], "big"):]
    else:
        rest = whole[at:]
    body = bytearray()
    for number in range(1000):
        local = struct.pack(">IBHI", 70_000, 2, 0, number).ljust(70_000, b"\0")
        size = at + len(local) + len(rest)
        body += whole[:8] + struct.pack(">Q", size) + whole[16:at] + local + rest
    node.ingest("large", bytes(body))
    indexer = daemons.indexer([node])  # now, so that they are one batch
    await_condition(lambda: sum(messages(indexer, "large").values()) == 1000, "all of it is in the index", 120)
    run = indexer.runs(source="large")[0]
    # What ecCodes says of such a local section is its business; the node has to have given the heads.
    assert run["fields"] + run["quarantined"] == 1000
    assert "heads.unreadable" not in node.output()
    assert run["fields"] == 1000


def test_what_a_node_held_leaves_the_index_when_the_map_counts_it_out(cluster, stamped):
    indexer, gone = cluster.indexer, cluster.nodes[2]
    assert cluster.nodes[0].put("/ingest/out/", data=stamped("20261101T0000Z", 200)).status_code == 201
    indexer.await_messages("out", 200, copies=2)
    gone.kill()
    answer = indexer.get("/v1/cluster/map")
    changed = answer.json()
    for node in changed["nodes"]:
        if node["id"] == gone.name:
            node["state"] = "out"
    changed["epoch"] += 1
    taken = indexer.put("/v1/cluster/map", json=changed, headers={"If-Match": str(changed["epoch"] - 1)})
    assert taken.status_code == 200, taken.text

    def left():
        return not any(at["node"] == gone.name for field in indexer.fields(source="out", limit=1000) for at in field["locations"])
    await_condition(left, "nothing of it is in the index")
    assert len(indexer.fields(source="out", limit=1000)) == 200
    await_condition(lambda: gone.name not in {node["id"] for node in indexer.json("/v1/cluster/nodes")["nodes"]}, "it is followed no more")


def test_a_retirement_killed_at_any_moment_ends_in_purged(cluster, stamped):
    indexer = cluster.indexer
    for turn, delay_s in enumerate((0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)):
        base_time = f"202611{turn + 1:02}T0000Z"
        assert cluster.nodes[0].put("/ingest/kill/", data=stamped(base_time, 300)).status_code == 201
        await_condition(lambda at=f"2026-11-{turn + 1:02}T00:00:00Z": messages(indexer, "kill").get(at) == 300, "it is in the index")
        assert indexer.post(f"/v1/runs/kill/{base_time}/retire?grace=0s").status_code == 200
        time.sleep(delay_s)
        indexer.kill()
        indexer.start().wait_ready()
        await_condition(lambda run=base_time: indexer.json(f"/v1/runs/kill/{run}")["state"] == "purged", "it is purged")
    await_condition(lambda: indexer.fields(source="kill") == [], "nothing of them is in the index")  # who wrote late takes it away
    await_condition(lambda: not [file for node in cluster.nodes for file in (node.data / "runs").rglob("*.grib")], "the files are gone")


def test_a_reopening_killed_at_any_moment_is_made_or_not_made(cluster, stamped):
    indexer = cluster.indexer
    run = "/v1/runs/again/20261101T0000Z"
    assert cluster.nodes[0].put("/ingest/again/", data=stamped("20261101T0000Z", 50)).status_code == 201
    for turn, delay_s in enumerate((0, 0.005, 0.05), 1):
        await_condition(lambda: indexer.get(run).status_code == 200 and indexer.json(run)["messages"] == 50, "it is in the index")
        assert indexer.post(f"{run}/retire?grace=0s").status_code == 200
        await_condition(lambda: indexer.json(run)["state"] == "purged", "it is purged")
        asked = subprocess.Popen(["curl", "-s", "-X", "POST", f"{indexer.url}{run}/reopen"], stdout=subprocess.DEVNULL)
        time.sleep(delay_s)
        indexer.kill()
        asked.wait()
        indexer.start().wait_ready()
        found = indexer.json(run)
        assert (found["incarnation"], found["state"]) in ((turn, "purged"), (turn + 1, "filling"))
        if found["state"] == "purged":
            assert indexer.post(f"{run}/reopen").status_code == 200
        # Nodes that were not told are told when they show a lower state.
        await_condition(lambda at=turn + 1: all(
            any((told["source"], told["incarnation"], told["state"]) == ("again", at, "filling") for told in node.json("/cluster/runs")["runs"])
            for node in cluster.nodes), "every node knows")
        assert cluster.nodes[0].put("/ingest/again/", data=stamped("20261101T0000Z", 50)).status_code == 201
    indexer.await_messages("again", 50, copies=2)


def test_a_lost_index_learns_of_purged_runs_before_a_node_that_slept_brings_them_back(cluster, stamped, tmp_path):
    indexer, sleeper = cluster.indexer, cluster.nodes[0]
    assert cluster.nodes[1].put("/ingest/lost/", data=stamped("20261101T0000Z", 200)).status_code == 201
    indexer.await_messages("lost", 200, copies=2)
    sleeper.stop()
    run = "/v1/runs/lost/20261101T0000Z"
    assert indexer.post(f"{run}/retire?grace=0s").status_code == 200
    await_condition(lambda: indexer.json(run)["state"] == "purged", "purged without the sleeper")
    indexer.stop()
    for file in tmp_path.glob("indexer.sqlite*"):
        file.unlink()
    sleeper.start().wait_ready()
    indexer.start().wait_ready()
    await_condition(lambda: indexer.get(run).status_code == 200 and indexer.json(run)["state"] == "purged", "it is known as purged")
    await_condition(lambda: not list((sleeper.data / "runs").rglob("*.grib")), "the sleeper was told, and dropped its files")
    await_condition(lambda: indexer.fields(source="lost") == [], "nothing of it is in the index")
