"""Requests for fields: what is missing, axes, as of a time, the latest run, orders, colos, MARS text, JSON bodies, forms; on both databases."""

import csv
import io
import json

import pytest
import requests

from processes import await_condition

@pytest.fixture(params=["sqlite", "mongodb"])
def era5(request, daemons, grib):
    """The 160 fields of four base times, two levels, ten members."""
    node = daemons.node()
    catalog = request.getfixturevalue("mongod") if request.param == "mongodb" else None
    indexer = daemons.indexer([node], catalog=catalog)
    answer = node.put("/ingest/era5/", data=(grib.GRIB_DIR / "era5-levels-members.grib").read_bytes())
    assert answer.status_code == 201, answer.text
    indexer.await_messages("era5", 160)
    indexer.node = node
    return indexer


def ask(indexer, body, content_type=None, expected=200, **query):
    headers = {"Content-Type": content_type} if content_type else {}
    answer = indexer.post("/v1/fields", data=body, headers=headers, params=query)
    assert answer.status_code == expected, answer.text
    return answer.json()


def code_of(answer):
    assert answer.status_code == 400, answer.text
    return answer.json()["code"], answer.json()["detail"]


def test_all_ways_to_ask_on_one_index(era5):
    """One index for many claims: starting one costs more than all of them."""
    what_is_missing(era5)
    axes_and_counts(era5)
    orders_and_pages(era5)
    latest_and_gone(era5)
    bodies(era5)
    forms(era5)
    hostile(era5)


def what_is_missing(indexer):
    one = {"source": "era5", "base_time": "20170101T1200Z"}
    # Nothing is said where all is there.
    whole = indexer.json("/v1/fields", params={**one, "param": "t/z"})
    assert set(whole) == {"fields", "next"} and len(whole["fields"]) == 40
    some = indexer.json("/v1/fields", params={**one, "param": "t", "levelist": "500/501", "number": "0/to/1"})
    assert len(some["fields"]) == 2
    assert some["missing"] == ["source=era5,base_time=20170101T1200Z,param=t,levelist=501,number=0/1"]
    # A name that is none, and the nearest there is, when it is asked for.
    typo = indexer.json("/v1/fields", params={**one, "levtype": "pll", "missing": "1"})
    assert typo["fields"] == [] and typo["missing"] == ["source=era5,base_time=20170101T1200Z,levtype=pll"]
    assert typo["hints"] == [{"key": "levtype", "value": "pll", "nearest": "pl"}]
    # A page that does not end the answer says nothing.
    assert "missing" not in indexer.json("/v1/fields", params={**one, "levelist": "500/501", "limit": "3"})
    assert "missing" not in indexer.json("/v1/fields", params={**one, "levelist": "501", "missing": "0"})
    lines = indexer.get("/v1/fields", params={**one, "levelist": "500/501", "format": "ndjson", "missing": "1"})
    assert json.loads(f"[{lines.headers['Gribstore-Missing']}]") == ["source=era5,base_time=20170101T1200Z,levelist=501"]
    assert all("id" in json.loads(line) for line in lines.text.splitlines())
    streamed = indexer.get("/v1/fields", params={**one, "levelist": "500/501", "format": "ndjson", "missing": "1", "limit": "all"})
    assert "missing" in json.loads(streamed.text.splitlines()[-1])
    gaps = indexer.json("/v1/fields", params={**one, "levelist": "500/501", "count": "1", "missing": "1"})
    assert gaps == {"count": 20, "missing": ["source=era5,base_time=20170101T1200Z,levelist=501"]}


def axes_and_counts(indexer):
    everything = indexer.fields(source="era5")
    axes = indexer.json("/v1/fields", params={"source": "era5", "axes": "1"})
    assert axes["count"] == 160
    for key in ("param", "levelist", "number", "step", "base_time", "valid_time", "source", "levtype", "paramId"):
        assert axes["axes"][key] == sorted({field[key] for field in everything}), key
    # With a condition of the table, warm; and with one that only the database can answer.
    some = {"source": "era5", "base_time": "20170101T1200Z", "levelist": "500"}
    for more in ({}, {}, {"gridType": everything[0]["gridType"]}, {"all": "1"}):
        axes = indexer.json("/v1/fields", params={**some, "axes": "1", **more})
        assert axes["count"] == 20 and axes["axes"]["levelist"] == [500]
        assert axes["axes"]["base_time"] == ["2017-01-01T12:00:00Z"]
    assert indexer.json("/v1/fields", params={"source": "none", "axes": "1"}) == {"count": 0, "axes": {}}
    assert indexer.json("/v1/fields", params={**some, "count": "1"}) == {"count": 20}
    assert indexer.json("/v1/fields", params={"count": "1"}) == {"count": 160}


def orders_and_pages(indexer):
    for sort, key in (
            ("-levelist,param,-number", lambda field: (-field["levelist"], field["param"], -field["number"])),
            ("valid_time,-levelist", lambda field: (field["valid_time"], -field["levelist"])),
            ("number", lambda field: field["number"])):
        whole = indexer.fields(source="era5", sort=sort)
        assert [(*([key(f)]), f["id"]) for f in whole] == sorted((*([key(f)]), f["id"]) for f in whole), sort
        paged = indexer.fields(source="era5", sort=sort, limit=7)
        assert [field["id"] for field in paged] == [field["id"] for field in whole]
    first = indexer.json("/v1/fields", params={"source": "era5", "sort": "number", "limit": "5"})
    for wrong in ({"sort": "-step"}, {}, {"sort": "number,step"}):
        answer = indexer.get("/v1/fields", params={"source": "era5", "cursor": first["next"], **wrong})
        assert wrong == {"sort": "-step"} or code_of(answer)[0] == "bad-value"
    link = indexer.get("/v1/fields", params={"source": "era5", "sort": "number", "limit": "5"}).headers["Link"]
    target = link[link.index("<") + 1:link.index(">")]
    assert [f["id"] for f in indexer.json(target)["fields"]] == [f["id"] for f in indexer.fields(source="era5", sort="number")[5:10]]


def latest_and_gone(indexer):
    latest = {"source": "era5", "base_time": "latest"}
    none = indexer.json("/v1/fields", params=latest)
    assert none["fields"] == [] and none["missing"] == ["source=era5,base_time=latest"]
    times = sorted({field["base_time"] for field in indexer.fields(source="era5")})
    for base_time in times[:2]:
        assert indexer.post(f"/v1/runs/era5/{base_time}/ready").status_code == 200
    found = indexer.fields(limit=7, **latest)
    assert len(found) == 40 and {field["base_time"] for field in found} == {times[1]}
    # A page goes on in the run that it began with.
    page = indexer.json("/v1/fields", params={**latest, "limit": "10"})
    assert indexer.post(f"/v1/runs/era5/{times[2]}/ready").status_code == 200
    rest = indexer.json("/v1/fields", params={**latest, "limit": "1000", "cursor": page["next"]})
    assert {field["base_time"] for field in page["fields"] + rest["fields"]} == {times[1]}
    assert len(page["fields"] + rest["fields"]) == 40
    assert {field["base_time"] for field in indexer.fields(**latest)} == {times[2]}
    assert {field["base_time"] for field in indexer.fields(base_time="latest", param="t")} == {times[2]}
    # A run that is on its way out says so, in the middle of its pages as well; and what was remembered of it is told no more.
    oldest = {"source": "era5", "base_time": times[0]}
    page = indexer.json("/v1/fields", params={**oldest, "limit": "10"})
    both = indexer.json("/v1/fields", params={"source": "era5", "limit": "10"})
    assert [indexer.json("/v1/fields", params={**asked, "axes": "1"})["count"] for asked in (oldest, {"source": "era5"})] == [40, 160]
    assert indexer.post(f"/v1/runs/era5/{times[0]}/retire?grace=1h").status_code == 200
    await_condition(lambda: indexer.json("/v1/fields", params={**oldest, "count": "1"})["count"] == 0, "its records are gone")
    for asked in (oldest, {**oldest, "limit": "10", "cursor": page["next"]}):
        gone = indexer.json("/v1/fields", params=asked)
        assert gone["fields"] == [] and gone["next"] is None and gone["gone"] == [{**oldest, "state": "retired"}]
    assert [field["base_time"] for field in both["fields"]] == times[:1] * 10
    rest = indexer.fields(source="era5", limit=50, cursor=both["next"])
    assert len(rest) == len({field["id"] for field in rest}) == 120 and times[0] not in {field["base_time"] for field in rest}
    assert indexer.json("/v1/fields", params={**oldest, "axes": "1"})["count"] == 0
    axes = indexer.json("/v1/fields", params={"source": "era5", "axes": "1"})
    assert axes["count"] == 120 and axes["axes"]["base_time"] == times[1:]


def bodies(indexer):
    run = "2017-01-01T12:00:00Z"
    expected = [f["id"] for f in indexer.fields(source="era5", base_time=run, param="t", levelist="500", number="0/to/3")]
    assert len(expected) == 4
    text = f"""retrieve,  # a comment
        levtype = pl, param = T, source = era5, base_time = "{run}", LEVELLIST = 500, number = 0/TO/3, target = 'x.grib'
        .""".replace("= T,", "= t,")
    for kind in ("text/plain", "application/x-mars; charset=utf-8", None):
        answer = ask(indexer, text, kind)
        assert [f["id"] for f in answer["fields"]] == expected
    assert indexer.post("/v1/fields", data=text).headers["Gribstore-Ignored"] == "target"
    body = {"source": "era5", "base_time": run, "param": ["t"], "levelist": 500, "number": {"from": 0, "to": 3}}
    assert [f["id"] for f in ask(indexer, json.dumps(body), "application/json")["fields"]] == expected
    assert [f["id"] for f in ask(indexer, json.dumps({**body, "sort": "-number", "limit": 2}))["fields"]] == expected[:0] + [
        f["id"] for f in indexer.fields(source="era5", base_time=run, param="t", levelist="500", number="0/to/3", sort="-number")[:2]]
    # Several requests, one after another, paged as one; the second inherits from the first.
    two = f"retrieve,source=era5,base_time={run},param=t,levelist=500\nretrieve,param=z,levelist=850\n"
    whole = ask(indexer, two)["fields"]
    assert [(f["param"], f["levelist"]) for f in whole] == [("t", 500)] * 10 + [("z", 850)] * 10
    paged, cursor = [], None
    while True:
        page = ask(indexer, two, **({"limit": "3"} | ({"cursor": cursor} if cursor else {})))
        paged += page["fields"]
        cursor = page["next"]
        if cursor is None:
            break
    assert paged == whole
    # A list that no URL holds; one more value is too many.
    many = "/".join(map(str, range(10000)))
    assert len(ask(indexer, json.dumps({**body, "levelist": many}))["fields"]) == 8  # both levels are among them
    assert ask(indexer, json.dumps({**body, "levelist": many + "/10000"}), expected=400)["code"] == "bad-value"
    assert ask(indexer, "retrieve,param=" + "t/" * 600_000 + "t", expected=413)["code"] == "too-large"


def forms(indexer):
    one = {"source": "era5", "base_time": "20170101T1200Z"}
    documents = indexer.fields(**one, limit=1000)
    for query in ({"format": "csv"}, {"format": "csv", "limit": "all"}):
        answer = indexer.get("/v1/fields", params={**one, **query})
        assert answer.headers["Content-Type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert [(r["param"], int(r["number"]), r["digest"], r["url"], int(r["offset"])) for r in rows] == [
            (f["param"], f["number"], f["digest"], f["locations"][0]["url"], f["locations"][0]["offset"]) for f in documents]
    accepted = indexer.get("/v1/fields", params=one, headers={"Accept": "text/csv"})
    assert accepted.text == answer.text
    everything = indexer.fields(source="era5", limit=1000)
    for query, read in (({"format": "ndjson"}, lambda text: [json.loads(line) for line in text.splitlines()]),
                        ({}, lambda text: json.loads(text)["fields"])):
        answer = indexer.get("/v1/fields", params={"source": "era5", "limit": "all", **query})
        assert read(answer.text) == everything


def hostile(indexer):
    for query in ({"$where": "1"}, {"a.b": "1"}, {"locations.url": "x"}, {"older": "1"}, {"grid": "1/1"}, {"_id": "1"}):
        assert code_of(indexer.get("/v1/fields", params=query))[0] == "unknown-key", query
    for query in ({"sort": "digest"}, {"sort": ""}, {"sort": "step,step"}, {"sort": "-"}, {"as_of": "yesterday"},
                  {"as_of": "0"}, {"colo": "nowhere"}, {"colo": ""}, {"format": "xml"}, {"count": "2"}, {"count": "1", "axes": "1"},
                  {"all": "1", "as_of": "2017-01-01T00:00:00Z"}, {"limit": "all", "cursor": "00"}, {"cursor": "1.00"},
                  {"cursor": "99999.00"}, {"date": "20170230"}, {"date": "2017-366"}, {"time": "2460"},
                  {"base_time": "latest", "date": "20170101"}, {"levelist": "1/" * 500 + "x"}):
        assert code_of(indexer.get("/v1/fields", params=query))[0] == "bad-value", query
    # What looks like a formula, markup, an operator or a control is only a value.
    for value in ("=1+1", "<script>alert(1)</script>", '{"$gt": ""}', "a\tb\x01\x7f", "ä\u2028", "'; DROP TABLE fields;--"):
        answer = indexer.json("/v1/fields", params={"name": value, "missing": "1"})
        assert answer["fields"] == [] and answer["missing"] == [f"name={value}"]
        lines = indexer.get("/v1/fields", params={"name": value, "missing": "1", "format": "ndjson"})
        assert lines.text == "" and "name=" in lines.headers["Gribstore-Missing"]
    assert len(indexer.fields(source="era5")) == 120


def test_as_of_gives_the_issue_that_was_current_then(daemons, grib):
    """Two issues of one field: at each instant the one that was there."""
    node = daemons.node()
    indexer = daemons.indexer([node])
    first = (grib.GRIB_DIR / "regular_latlon_surface.grib2").read_bytes()
    values = bytearray(first)
    values[-8] ^= 1  # in the values: another digest, the same field
    stamps = []
    for body in (first, bytes(values)):
        answer = node.put("/ingest/issue/", data=body)
        assert answer.status_code == 201, answer.text
        stamps.append(answer.json()["messages"][0]["stored_at"])
        digest = answer.json()["messages"][0]["digest"]
        await_condition(lambda at=digest: [field["digest"] for field in indexer.fields(source="issue")] == [at], "it is the current one")
    assert indexer.fields(source="issue", as_of=stamps[0] - 1) == []
    for as_of, stamp in ((stamps[0], stamps[0]), (stamps[1] - 1, stamps[0]), (stamps[1], stamps[1]), (stamps[1] + 10**9, stamps[1])):
        field, = indexer.fields(source="issue", as_of=as_of)
        assert field["stored_at"] == stamp and field["older"] == []
    assert {field["stored_at"] for field in indexer.fields(source="issue", all="1")} == set(stamps)


def test_locations_of_the_colo_asked_for_come_first(cluster, grib):
    """Copies in two colos, each asked for by name; an unknown one is told which there are."""
    answer = cluster.nodes[0].put("/ingest/era5/", data=(grib.GRIB_DIR / "era5-levels-members.grib").read_bytes())
    assert answer.status_code == 201, answer.text
    cluster.indexer.await_messages("era5", 160, copies=2)
    colo_of = {node["id"]: node["colo"] for node in cluster.indexer.json("/v1/cluster/map")["nodes"]}
    assert set(colo_of.values()) == {"a", "b"}
    plain = {field["id"]: field for field in cluster.indexer.fields(source="era5", limit=1000)}
    for colo in ("a", "b"):
        for query in ({}, {"all": "1"}):
            for field in cluster.indexer.fields(source="era5", colo=colo, limit=1000, **query):
                wanted = [colo_of[at["node"]] == colo for at in field["locations"]]
                assert wanted == sorted(wanted, reverse=True)
                assert sorted(at["url"] for at in field["locations"]) == sorted(at["url"] for at in plain[field["id"]]["locations"])
    code, detail = code_of(cluster.indexer.get("/v1/fields", params={"colo": "c"}))
    assert code == "bad-value" and "a, b" in detail
    # The client asks for it by its setting; messages are fetched many at a time, and are the ones that were put.
    done = cluster.client.run("get", "source=era5", "--colo", "b", "--sort", "base_time,param,levelist,number", "--expect", "160")
    assert len(done.stdout) == sum(field["length"] for field in plain.values()) and done.stdout.count(b"GRIB") >= 160
    sent = sum(node_requests(node) for node in cluster.nodes)
    assert sent < 160


def node_requests(node):
    """Requests for ranges of data files that a node has answered."""
    total = 0
    for line in requests.get(f"{node.url}/metrics", timeout=60).text.splitlines():
        if line.startswith("gribstore_http_requests_total") and 'handler="data"' in line:
            total += int(float(line.rsplit(" ", 1)[1]))
    return total


def test_the_command_asks_in_all_ways(node, indexer, client, grib, tmp_path):
    answer = node.put("/ingest/era5/", data=(grib.GRIB_DIR / "era5-levels-members.grib").read_bytes())
    assert answer.status_code == 201
    indexer.await_messages("era5", 160)
    run = "source=era5,base_time=20170101T1200Z"
    assert client.run("query", run, "--count").stdout == b"40\n"
    axes = dict(line.split("=", 1) for line in client.run("query", run, "--axes").stdout.decode().splitlines())
    assert axes["levelist"] == "500/850" and axes["param"] == "t/z" and axes["number"] == "0/1/2/3/4/5/6/7/8/9"
    assert json.loads(client.run("query", run, "--axes", "--json").stdout)["param"] == ["t", "z"]
    done = client.run("query", run, "levelist=500/501", "--expect", "all", expected=4)
    assert b"levelist=501" in done.stderr and len(done.stdout.splitlines()) == 20
    assert client.run("query", run, "--expect", "all").stderr == b""
    done = client.run("query", run, "levtype=pll", expected=0)
    assert b"missing: " in done.stderr and b"did you mean pl?" in done.stderr
    client.run("query", run, "--expect", "39", expected=4)
    client.run("query", run, "--expect", "most", expected=2)
    numbers = [json.loads(line)["number"] for line in client.run("query", run, "--sort=-number", "--format", "ndjson").stdout.splitlines()]
    assert numbers == sorted(numbers, reverse=True) and len(numbers) == 40
    rows = list(csv.reader(io.StringIO(client.run("query", run, "--format", "csv").stdout.decode(), newline="")))
    assert len(rows) == 41 and rows[0][0] == "source"
    # A request from a file, keys beside it, and from standard input.
    request = tmp_path / "request.mars"
    request.write_text("retrieve, source=era5, date=20170101, time=12, param=t, levelist=500\nretrieve, param=z\n")
    assert len(client.run("query", "-f", request).stdout.splitlines()) == 20
    assert len(client.run("query", "number=3", "-f", "-", input=request.read_bytes()).stdout.splitlines()) == 2
    got = client.run("get", "-f", request, "--sort", "number", "--expect", "all").stdout
    assert got.count(b"GRIB") == 20 and got.endswith(b"7777")
    assert client.run("query", "-f", tmp_path / "none", expected=2).stderr
    assert b"grid" in client.run("query", "-f", "-", input=b"retrieve,grid=1/1", expected=2).stderr
    # A list that no URL holds.
    many = "/".join(map(str, range(5000)))
    assert len(client.run("query", run, f"levelist={many}").stdout.splitlines()) == 40
    assert client.run("query", run, "--as-of", "2001-01-01T00:00:00Z", "--expect", "0").stdout == b""
