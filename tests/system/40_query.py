"""Queries: keys, lists, ranges, pages, forms, and what is wrong with a bad one."""

import json

import pytest

from conftest import Daemons


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """An index of nothing, for requests that are refused."""
    running = Daemons(tmp_path_factory.mktemp("asked"))
    yield running.indexer([running.node("n1")])
    running.stop()


@pytest.fixture
def era5(node, indexer, grib):
    """The 160 fields of four base times, two levels, ten members."""
    answer = node.put("/ingest/era5/", data=(grib.GRIB_DIR / "era5-levels-members.grib").read_bytes())
    assert answer.status_code == 201, answer.text
    indexer.await_messages("era5", 160)
    return indexer


def test_keys_narrow_and_lists_widen(era5):
    everything = era5.fields(source="era5")
    assert len(everything) == 160
    levels = sorted({field["levelist"] for field in everything})
    params = sorted({field["param"] for field in everything})
    some = era5.fields(source="era5", param=params[0], levelist=levels[0])
    assert 0 < len(some) < 160
    assert all(field["param"] == params[0] and field["levelist"] == levels[0] for field in some)
    widened = era5.fields(source="era5", param="/".join(params), levelist="/".join(map(str, levels)))
    assert len(widened) == 160
    members = era5.fields(source="era5", number="0/to/4")
    assert {field["number"] for field in members} == {0, 1, 2, 3, 4}


def test_base_time_is_taken_in_both_forms(era5):
    compact = era5.fields(source="era5", base_time="20170101T1200Z")
    rfc3339 = era5.fields(source="era5", base_time="2017-01-01T12:00:00Z")
    assert len(compact) == 40 and compact == rfc3339


def test_paging_shows_each_field_once(era5):
    whole = era5.fields(source="era5", limit=1000)
    paged = era5.fields(source="era5", limit=7)
    assert paged == whole and len({field["id"] for field in paged}) == 160


def test_ndjson_has_a_document_a_line(era5):
    answer = era5.get("/v1/fields", params={"source": "era5", "limit": 1000}, headers={"Accept": "application/x-ndjson"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines == era5.fields(source="era5", limit=1000)


def test_a_limit_is_the_same_in_each_form(era5):
    """A page of at most 10,000 with a cursor to the next, or everything as a stream."""
    for form, head, document in (("json", 0, '"digest":'), ("ndjson", 0, '"digest":'), ("csv", 1, "\n")):
        def ask(limit, form=form):
            return era5.get("/v1/fields", params={"source": "era5", "format": form, "limit": limit})
        for limit, given in (("7", 7), ("160", 160), ("10000", 160), ("all", 160)):
            answer = ask(limit)
            assert answer.status_code == 200, answer.text
            assert answer.text.count(document) - head == given, (form, limit)
            assert ("Gribstore-Next" in answer.headers) == (limit == "7"), (form, limit)
        for limit in ("10001", "0", "-1", "ALL", "1e3", ""):
            answer = ask(limit)
            assert (answer.status_code, answer.json()["code"]) == (400, "bad-value"), (form, limit)


def test_an_absent_key_is_not_zero(node, indexer, grib):
    node.put("/ingest/surface/", data=(grib.GRIB_DIR / "regular_latlon_surface.grib2").read_bytes())
    indexer.await_messages("surface", 1)
    field = indexer.fields(source="surface")[0]
    assert "levelist" not in field
    assert indexer.fields(source="surface", levelist=0) == []


BAD_QUERIES = [
    ({"parm": "msl"}, "unknown-key", "param"),
    ({"$where": "1"}, "unknown-key", "$where"),
    ({"locations.node": "n1"}, "unknown-key", "locations.node"),
    ({"step": "0/to/24/by/0"}, "bad-value", "by"),
    ({"step": "0/to"}, "bad-value", "to"),
    ({"step": "abc"}, "bad-value", "abc"),
    ({"base_time": "20130230T0000Z"}, "bad-value", "base_time"),
    ({"limit": "0"}, "bad-value", "limit"),
    ({"limit": "10001"}, "bad-value", "limit"),
    ({"cursor": "zz"}, "bad-value", "cursor"),
    ({"param": ""}, "bad-value", "param"),
]
# On one index, since starting one takes longer than all of them.
MORE_BAD_QUERIES = [
    *(({"step": step}, "bad-value", "step") for step in (
        "0/to/24/by", "0/to/24/by/x", "0/to/24/by/-6", "/", "0//6", "6/", "to/24", "by/6", "0/to/24/by/6/by/6", "0/to/24/to/48")),
    *(({"number": number}, "bad-value", "number") for number in ("1e400", "nan", "inf", "0x10", "1 2", "--1", "1/to/10001")),
    *(({"levelist": levels}, "bad-value", "levelist") for levels in ("0/to/1/by/1e-9", "0/to/1e308/by/1e300")),
    *(({key: time}, "bad-value", key) for key in ("base_time", "valid_time") for time in (
        "20130229T0000Z", "20130408T2400Z", "20131301T0000Z", "20130400T0000Z", "2013-04-31T00:00:00Z", "2013-04-08")),
    *(({"date": date}, "bad-value", "date") for date in ("20170229", "20170000", "2017-13-01", "20170101/to/20170230")),
    *(({"time": time}, "bad-value", "time") for time in ("25", "1260", "12:60")),
    *(({key: "1"}, "unknown-key", "no key") for key in (
        "param.x", "param[$ne]", "$gt", "a$b", "", ".level", "level.", "locations", "locations.0.url", "k" * 300, "param\0", "PARAM", "param ")),
    ({"param": "2t\0"}, "bad-value", "param"),
    ({"digest": "0" * 63}, "bad-value", "digest"),
    *(({"limit": limit}, "bad-value", "limit") for limit in ("-1", "1x", "", "18446744073709551617")),
    *(({"cursor": cursor}, "bad-value", "cursor") for cursor in ("", "00", "0.", "z" * 1000)),
    ({"param": ["t", "z"]}, "bad-value", "twice"),
]
BAD_BODIES = [
    *(({"param": value}, "bad-value", "param") for value in ({"$gt": ""}, {"$ne": None}, None, [], [["t"]], {}, {"from": 1})),
    *((body, "unknown-key", "no key") for body in ({"$or": [{"param": "t"}]}, {"$where": {"x": 1}}, {"a.b": 1}, {"a.b": None})),
    *((body, "bad-value", "request") for body in ([], None, 5, "param", [5])),
    ({"step": {"from": 0, "to": 24, "by": 0}}, "bad-value", "by"),
    ({"step": {"from": 0, "to": 24, "by": {"x": 1}}}, "bad-value", "step"),
    ([{"param": "t"}, {"date": "20170230"}], "bad-value", "request 2"),
    ("[" * 100_000, "bad-value", "JSON"),
    ('{"number": 1e999}', "bad-value", "JSON"),
    ('{"param": "t", "param": "z"}', "bad-value", "JSON"),
]
BAD_TEXTS = [
    ("retrieve,step=0/to/24/by/0", "bad-value", "by"), ("retrieve,date=20170230", "bad-value", "date"), ("retrieve,a.b=1", "unknown-key", "a.b"),
    ("retrieve,$gt=1", "bad-value", "word"), ("retrieve,param=", "bad-value", "value"), ('retrieve,param="x', "bad-value", "quote"),
    ("drop,param=t", "bad-value", "retrieve"), ("", "bad-value", "no request"), ("# nothing", "bad-value", "no request"),
]


def check_bad(answer, code, named):
    assert answer.status_code == 400, (named, answer.text)
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code, problem
    assert named in problem["detail"]


@pytest.mark.parametrize(("query", "code", "named"), BAD_QUERIES)
def test_a_bad_query_says_what_is_wrong(asked, query, code, named):
    check_bad(asked.get("/v1/fields", params=query), code, named)


def test_each_malformed_list_date_key_and_body_is_named(asked):
    for query, code, named in MORE_BAD_QUERIES:
        check_bad(asked.get("/v1/fields", params=query), code, named)
    for body, code, named in BAD_BODIES:
        text = body if isinstance(body, str) and body != "param" else json.dumps(body)
        check_bad(asked.post("/v1/fields", data=text, headers={"Content-Type": "application/json"}), code, named)
    for text, code, named in BAD_TEXTS:
        check_bad(asked.post("/v1/fields", data=text, headers={"Content-Type": "text/plain"}), code, named)


def test_ten_thousand_values_are_taken_and_each_that_is_missing_is_told(asked):
    levels = asked.json("/v1/fields", params={"levelist": "1/to/10000"})
    assert levels == {"fields": [], "next": None, "missing": ["levelist=1/to/10000/by/1"]}
    squares = [number * number for number in range(1, 10001)]  # at no one distance
    answer = asked.post("/v1/fields", json={"levelist": squares}).json()
    told = [int(value) for line in answer["missing"] for value in line.removeprefix("levelist=").split("/")]
    assert answer["fields"] == [] and told == squares
    one_more = asked.post("/v1/fields", json={"levelist": [*squares, 0]})
    check_bad(one_more, "bad-value", "levelist")
    # What is too much to tell says so: an answer never looks whole for it.
    many = asked.post("/v1/fields", json=[{"class": name, "levelist": squares} for name in ("od", "rd", "mc", "ea", "ei")]).json()
    assert many["fields"] == [] and many["missing"][-1] == "..." and len(many["missing"]) > 100
    names = [f"source-of-a-name-that-is-as-long-as-it-may-be-{number:05}" for number in range(5000)]
    latest = asked.post("/v1/fields", json={"base_time": "latest", "source": names}).json()
    assert latest["missing"][0] == f"source={names[0]},base_time=latest" and latest["missing"][-1] == "..."


def test_unknown_runs_and_paths_are_404(indexer):
    assert indexer.get("/v1/runs/none/20130408T0000Z").json()["code"] == "not-found"
    assert indexer.get("/v2/fields").status_code == 404
    answer = indexer.request("DELETE", "/v1/fields")
    assert answer.status_code == 405 and "GET" in answer.headers["Allow"] and "POST" in answer.headers["Allow"]


def test_the_api_page_names_every_route(indexer):
    page = indexer.json("/openapi.json")
    assert page["openapi"].startswith("3.1")
    for path in ("/v1/fields", "/v1/runs", "/v1/cluster/map"):
        assert path in page["paths"]
