"""Queries: keys, lists, ranges, pages, forms, and what is wrong with a bad one."""

import json

import pytest


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


def test_an_absent_key_is_not_zero(node, indexer, grib):
    node.put("/ingest/surface/", data=(grib.GRIB_DIR / "regular_latlon_surface.grib2").read_bytes())
    indexer.await_messages("surface", 1)
    field = indexer.fields(source="surface")[0]
    assert "levelist" not in field
    assert indexer.fields(source="surface", levelist=0) == []


@pytest.mark.parametrize(("query", "code", "named"), [
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
])
def test_a_bad_query_says_what_is_wrong(indexer, query, code, named):
    answer = indexer.get("/v1/fields", params=query)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code
    assert named in problem["detail"]


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
