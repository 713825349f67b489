"""Quarantine and reindex as an operator meets them: the client's commands, and what requests refuse."""

import csv
import importlib
import io

import pytest

from processes import Client, await_condition

killers = importlib.import_module("43_killers")


def test_the_client_lists_quarantine_and_reindexes(daemons, node, grib, stamped):
    indexer = killers.start(daemons, node, "killable_decoder")
    client = Client(indexer, node)
    assert client.run("quarantine").stdout == b""
    killers.put_refused(node, grib, stamped, count=8)
    await_condition(lambda: killers.quarantine(indexer)[1]["count"] == 8, "what it refuses is in quarantine")

    listed = client.run("quarantine", "killers")
    lines = [line.split("\t") for line in listed.stdout.decode().splitlines()]
    assert len(lines) == 8 and {line[2] for line in lines} == {"died", "refused", "garbage"}
    assert b"8 messages in quarantine, 2 refused, 4 died, 2 garbage" in listed.stderr
    died = client.run("quarantine", "killers/20261120T0000Z", "--class", "died").stdout.decode().splitlines()
    assert len(died) == 4 and all("decoder died: signal" in line for line in died)
    assert client.run("quarantine", "others").stdout == b""
    assert len(client.run("quarantine", "--json").stdout.splitlines()) == 8
    client.run("quarantine", "killers", "--class", "no-such", expected=None)
    client.run("quarantine", "two", "words", expected=2)

    # The same decoder refuses the same.
    assert b"names: " in client.run("reindex").stdout
    await_condition(lambda: b"names: ended" in client.run("reindex", "--status").stdout, "names are made anew")
    await_condition(lambda: b"quarantine: ended, 0 messages decode now, 8 are refused again" in client.run("reindex", "--status").stdout,
                    "quarantine was tried again")
    assert b"names: ended" in client.run("reindex", "--cancel").stdout  # nothing is under way
    client.run("reindex", "--cancel", "--status", expected=2)


def test_a_reindex_makes_names_anew_and_can_be_ended(daemons, node, grib, stamped):
    indexer = daemons.indexer([node])
    assert node.put("/ingest/names/", data=stamped("20261120T0000Z", 300)).status_code == 201
    indexer.await_messages("names", 300)
    before = indexer.fields(source="names", limit=1000)
    begun = indexer.post("/v1/reindex")
    assert begun.status_code == 202 and begun.json()["names"]["running"]
    ended = indexer.delete("/v1/reindex")
    assert ended.status_code == 202
    await_condition(lambda: not indexer.json("/v1/reindex")["names"]["running"], "it has ended")
    assert indexer.post("/v1/reindex").status_code == 202
    names = await_condition(lambda: (lambda names: not names["running"] and names)(indexer.json("/v1/reindex")["names"]), "all of it")
    assert (names["documents"], names["fields"], names["renamed"], names["cancelled"]) == (300, 300, 0, False)
    assert "error" not in names
    assert indexer.fields(source="names", limit=1000) == before


def test_a_stop_in_the_middle_of_a_reindex_is_a_clean_one(daemons, node, stamped):
    indexer = daemons.indexer([node])
    assert node.put("/ingest/names/", data=stamped("20261120T0000Z", 1200)).status_code == 201
    indexer.await_messages("names", 1200)
    for _ in range(3):
        assert indexer.post("/v1/reindex").status_code == 202
        indexer.stop()  # exit code 0, and no report
        indexer.start().wait_ready()


@pytest.mark.parametrize("backend", ["sqlite", "mongodb"])
def test_pages_of_quarantine_leave_nothing_out(daemons, node, grib, stamped, backend, request):
    """Ids of sources with shorter and longer names: databases order them each in its own way."""
    catalog = request.getfixturevalue("mongod").replace("/?", "/gribstore?") if backend == "mongodb" else None
    indexer = daemons.indexer([node], catalog=catalog)
    digests = set()
    for source in ("z", "a-longer-name", "mm"):
        for message in killers.split(grib, stamped("20261120T0000Z", 3)):
            broken = bytearray(message)
            at = 16 + int.from_bytes(broken[16:20], "big")
            while broken[at + 4] != 4:
                at += int.from_bytes(broken[at:at + 4], "big")
            broken[at + 7:at + 9] = b"\xfe\xfe"  # a product definition template that no table has
            answer = node.put(f"/ingest/{source}/", data=bytes(broken))
            assert answer.status_code == 201, answer.text
            digests.add((source, answer.json()["messages"][0]["digest"]))
    await_condition(lambda: killers.quarantine(indexer)[1]["count"] == 9, "all are in quarantine")
    for limit in (1, 2, 9, 10):
        entries, answer = killers.quarantine(indexer, limit=limit)
        assert len(entries) == 9 and {(entry["source"], entry["digest"]) for entry in entries} == digests
        assert answer["classes"]["refused"] == answer["count"] == 9
    for source in ("z", "mm"):
        for query in ({"source": source}, {"source": source, "base_time": "20261120T0000Z"}):
            entries, answer = killers.quarantine(indexer, limit=1, **query)
            assert {(entry["source"], entry["digest"]) for entry in entries} == {pair for pair in digests if pair[0] == source}
            assert answer["count"] == 3


def test_what_quarantine_can_not_answer_is_refused(node, indexer):
    for query, code in (("limit=0", "bad-value"), ("limit=1001", "bad-value"), ("limit=x", "bad-value"), ("class=dead", "bad-value"),
                        ("cursor=x", "bad-value"), ("cursor=a/b/c", "bad-value"), ("base_time=20261120T0000Z", "bad-value"),
                        ("source=", "bad-value"), ("sauce=hres", "unknown-key")):
        answer = indexer.get(f"/v1/quarantine?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, code), query
    answer = indexer.json("/v1/quarantine?source=none&limit=1")
    assert (answer["entries"], answer["next"], answer["count"]) == ([], None, 0)
    assert answer["eccodes"] == indexer.json("/readyz")["eccodes"] and answer["decoder"] > 0


# expver of ECMWF's local section is four octets of anything, and goes into documents as it is.
ODD_TEXTS = (b"<b>\"", b"\x01\x1f\x7f\\", b"\xff\xfe\xc3\x28", b"a\r\nb", b"=1+1", b"\x1b[2J", b"$gt.", b",;\t'")


def test_text_of_a_head_is_a_value_in_csv_and_on_a_terminal_too(node, indexer, grib):
    client = Client(indexer, node)
    message = bytearray(grib.split_bytes((grib.GRIB_DIR / "era5-levels-members.grib").read_bytes())[0].data)
    messages = []
    for text in ODD_TEXTS:
        message[8 + 45:8 + 49] = text
        messages.append(bytes(message))
    assert node.put("/ingest/odd/", data=b"".join(messages)).status_code == 201
    [run] = await_condition(lambda: (lambda runs: runs and runs[0]["messages"] == len(messages) and runs)(indexer.runs(source="odd")), "all are there")
    fields = indexer.fields(source="odd", limit=100)
    assert len(fields) + run["quarantined"] == len(messages) and fields

    csv_text = indexer.get("/v1/fields", params={"source": "odd", "format": "csv"})
    assert csv_text.status_code == 200, csv_text.text
    rows = list(csv.reader(io.StringIO(csv_text.content.decode("utf-8", errors="strict"), newline="")))
    assert len(rows) == 1 + len(fields) and all(len(row) == len(rows[0]) for row in rows)
    assert not any(cell[:1] in ("=", "+", "@") for row in rows for cell in row), "a spreadsheet takes it for a formula"

    for arguments in (("query", "source=odd"), ("query", "source=odd", "--json"), ("quarantine", "odd"), ("quarantine", "--json")):
        shown = client.run(*arguments).stdout
        assert not any(byte < 0x20 and byte not in (0x09, 0x0A) for byte in shown), f"{arguments}: {shown}"
        shown.decode("utf-8", errors="strict")
    for field in fields:  # as a value it is found again, whatever it looks like
        if "expver" in field and field["expver"].isprintable():
            found = indexer.fields(source="odd", expver=[field["expver"]], limit=100)
            assert field["id"] in {other["id"] for other in found}, field["expver"]


def test_names_with_operators_and_dots_are_no_keys(node, indexer, stamped):
    assert node.put("/ingest/ops/", data=stamped("20261120T0000Z", 6)).status_code == 201
    indexer.await_messages("ops", 6)
    for name in ("$where", "locations.url", "param.$gt", "param[$ne]", "$or", "older.0.digest", "__proto__", "doc", "rev", "_id", "a b", ""):
        answer = indexer.get("/v1/fields", params={"source": "ops", name: "1"})
        assert (answer.status_code, answer.json()["code"]) == (400, "unknown-key"), f"{name}: {answer.text}"
        posted = indexer.post("/v1/fields", json={"source": "ops", name: {"$gt": ""}})
        assert posted.status_code == 400, f"{name}: {posted.text}"
    for value in ("$gt", '{"$gt": ""}', "a.b", "%", "_", "*"):
        assert indexer.fields(source="ops", expver=value) == []
    assert indexer.post("/v1/fields", json={"source": "ops", "param": {"$ne": "x"}}).status_code == 400
