"""Where the index differs from what a node holds, the node's journal is read again by itself; told, bounded, and no more than once for the same difference."""

import json
import sqlite3

import pytest

from processes import await_condition

LEASE = ["--lease", "1s", "--grace", "0s"]
RUN = "/v1/runs/heal/20261101T0000Z"
COUNT = 40


@pytest.fixture
def healer(daemons, node, stamped):
    indexer = daemons.indexer([node], arguments=LEASE)
    answer = node.put("/ingest/heal/", data=stamped("20261101T0000Z", COUNT))
    assert answer.status_code == 201, answer.text
    indexer.await_messages("heal", COUNT)
    await_condition(lambda: indexer.json(f"{RUN}?fingerprint=1")["nodes"]["equal"], "index and node agree")
    return indexer


def change(indexer, statement, *values):
    """Behind the indexer's back."""
    with sqlite3.connect(indexer.catalog.removeprefix("sqlite:"), timeout=60) as database:
        changed = database.execute(statement, values).rowcount
    database.close()
    return changed


def sweep_of(indexer):
    return indexer.json("/v1/status")["sweep"]


def equal(indexer):
    return indexer.json(RUN)["messages"] == COUNT and indexer.json(f"{RUN}?fingerprint=1")["nodes"]["equal"]


@pytest.mark.parametrize("found_by", ["a sweep", "a fingerprint"])
def test_documents_that_are_missing_come_back_by_themselves(healer, found_by):
    assert change(healer, "DELETE FROM fields WHERE rowid IN (SELECT rowid FROM fields LIMIT 7)") == 7
    if found_by == "a sweep":
        assert healer.post("/v1/sweep").status_code == 202
    else:  # what was counted before is known to be old by a restart
        healer.restart()
        assert healer.json(f"{RUN}?fingerprint=1")["nodes"]["equal"] is False
    await_condition(lambda: sweep_of(healer)["read_again"] == 1, "the run is read again", 30)
    await_condition(lambda: "sweep.differs" in healer.output(), "it is told in the log")
    await_condition(lambda: len(healer.fields(source="heal", limit=1000)) == COUNT, "they are back", 30)
    # Looked at once more, without being asked; and well.
    await_condition(lambda: "runs that differed" in healer.output(), "it is swept by itself", 30)
    await_condition(lambda: (lambda told: not told["running"] and told["differing"] == 0)(sweep_of(healer)), "nothing differs", 30)
    await_condition(lambda: equal(healer), "index and node agree again")
    assert sweep_of(healer)["read_again"] == 1
    told = {line.split(" ")[0]: float(line.split(" ")[1]) for line in healer.get("/metrics").text.splitlines() if line.startswith("gribstore_sweep")}
    assert (told["gribstore_sweep_rereads_total"], told["gribstore_sweep_unhealed"]) == (1, 0)


def put_wrong(healer):
    """A record of a message that the node never had, in a file that it has: no journal says that it has to go."""
    with sqlite3.connect(healer.catalog.removeprefix("sqlite:"), timeout=60) as database:
        row, text = database.execute("SELECT rowid, doc FROM fields LIMIT 1").fetchone()
        document = json.loads(text)
        document["digest"] = "ab" * 32
        document["stored_at"] += 1_000_000
        database.execute("UPDATE fields SET doc = ?, digest = ? WHERE rowid = ?", (json.dumps(document), document["digest"], row))
    database.close()


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))


def test_what_is_slow_to_be_read_again_is_looked_at_until_it_is(healer, node):
    put_wrong(healer)
    record = node.data / "runs/heal/20261101T0000Z/journal", 64 * 4 + 5  # handed out as it is on disk
    flip(*record)
    assert healer.post("/v1/sweep").status_code == 202
    await_condition(lambda: healer.output().count("runs that differed") >= 2, "it is looked at, in vain, and again")
    assert sweep_of(healer)["unhealed"] == 0
    flip(*record)
    await_condition(lambda: sweep_of(healer)["unhealed"] == 1, "it is told")


def test_what_reading_again_does_not_heal_is_told_and_left_alone(healer):
    put_wrong(healer)
    assert healer.post("/v1/sweep").status_code == 202
    await_condition(lambda: sweep_of(healer)["unhealed"] == 1, "it is told", 30)
    again = sweep_of(healer)["read_again"]
    assert again in (1, 2)  # the record that it hid came back with the first reading
    for _ in range(2):
        before = sweep_of(healer)["ended_at"]
        assert healer.post("/v1/sweep").status_code == 202
        await_condition(lambda: sweep_of(healer).get("ended_at") != before, "another sweep", 30)
    assert (sweep_of(healer)["read_again"], sweep_of(healer)["unhealed"]) == (again, 1)
    assert "gribstore_sweep_unhealed 1" in healer.get("/metrics").text


def test_a_run_that_is_written_to_is_not_read_again(healer, node, stamped):
    """Sweeps while messages come: index and node differ all the time, and nothing is amiss."""
    for hour in ("06", "12", "18"):
        answer = node.put("/ingest/heal/", data=stamped(f"20261101T{hour}00Z", 150))
        assert answer.status_code == 201
        assert healer.post("/v1/sweep").status_code == 202
    healer.await_messages("heal", COUNT + 450)
    await_condition(lambda: not sweep_of(healer)["running"], "it ends")
    assert sweep_of(healer)["read_again"] == 0


def test_a_node_that_does_not_answer_keeps_its_records(healer, node):
    """A sweep without it takes nothing of it away: that nobody heard of a file is no proof that it is gone."""
    before = healer.fields(source="heal", limit=1000)
    node.kill()
    healer.sweep()
    assert sweep_of(healer)["nodes_skipped"] == 1
    assert healer.fields(source="heal", limit=1000) == before
    node.start().wait_ready()
    await_condition(healer.caught_up, "it is there again")
    assert healer.fields(source="heal", limit=1000) == before and sweep_of(healer)["read_again"] == 0
