"""What MongoDB does for each form of a query: by which index, and how many keys and documents it looks at for what it gives.

The server's own profile of what the indexer really sent is read. SQLite's plans: tests/unit/indexer/test_catalog_plans.c.
"""

import json
import re
import typing

import pytest

from processes import await_condition, stamp

TEMPLATE = ("--preset", "tiny", "--edition", "2", "--members", "1", "--params", "t/u/q/r", "--levels", "500", "--steps", "0",
            "--minutes", "off", "--multi", "off")
# A run: 4 parameters, 5 members, 4 levels, 5 steps.
SHAPE = ("--members", "5", "--levels", "850/500/250/100", "--steps", "0/6/12/18/24")
RUN_SIZE = 400
MIDNIGHT, NOON = "20261119T0000Z", "20261119T1200Z"
RUNS = [("plan", MIDNIGHT), ("plan", NOON), ("other", MIDNIGHT)]
RUN = {"source": "plan", "base_time": MIDNIGHT}
FIELD, PARAM_ID, ID_TABLE, DIGEST, ID = "param", "paramId", "idTable", "digest", "_id"


class Form(typing.NamedTuple):
    """What is asked; the first keys of indexes that may serve it; how many documents the answer has, and are looked at, at most."""

    name: str
    query: dict
    indexes: set
    given: int
    examined: int


# Two runs are of midnight, and no index but that of _id knows a source: where examined is twice given, that is why.
FORMS = [
    Form("a field by all its keys", RUN | {"param": "t", "step": 6, "levelist": 500, "number": 3, "limit": 1}, {FIELD}, 1, 2),
    Form("the same without a source", {"base_time": MIDNIGHT, "param": "t", "step": 6, "levelist": 500, "number": 3}, {FIELD}, 2, 2),
    Form("steps and levels of a member", RUN | {"param": "t", "step": "0/to/12/by/6", "levelist": "850/500", "number": 3, "limit": "all"},
         {FIELD}, 6, 12),
    Form("parameters and steps", RUN | {"param": "t/u", "step": "0/6"}, {FIELD}, 80, 160),
    Form("a parameter by its number", RUN | {"param": "130", "step": 6}, {PARAM_ID}, 20, 40),
    Form("names and numbers", RUN | {"param": "u/130", "step": 6}, {FIELD, PARAM_ID}, 40, 80),
    Form("id.table", RUN | {"param": "130.128", "step": 6}, {PARAM_ID, ID_TABLE}, 20, 40),
    # Looked for twice: without an order first, as far as the page goes, and that is not all.
    Form("a page of the many levels and members of a step", RUN | {"param": "t", "step": 6, "limit": 5}, {FIELD}, 5, 52),
    # The server tries both: the first in the order of _id may come sooner than all of them are sorted.
    Form("the first of a parameter", {"base_time": MIDNIGHT, "param": "t", "limit": 1}, {FIELD, ID}, 1, 200),
    Form("a parameter of a run", RUN | {"param": "t"}, {FIELD}, 100, 200),
    Form("how many of a parameter", RUN | {"param": "t", "count": 1}, {FIELD}, 100, 200),
    Form("a page of a run", RUN | {"limit": 50}, {ID}, 50, 51),
    Form("a page of a source", {"source": "plan", "limit": 50}, {ID}, 50, 51),
    Form("a member of a run", RUN | {"number": 3}, {ID}, 80, RUN_SIZE),
    Form("an order of one's own", RUN | {"sort": "-step", "limit": 10}, {ID}, 10, RUN_SIZE),
    Form("a run as it was", RUN | {"param": "t", "as_of": "2100-01-01T00:00:00Z"}, {ID}, 100, RUN_SIZE),
    Form("all issues", RUN | {"param": "t", "all": 1}, {ID}, 100, RUN_SIZE),
    Form("a whole run", RUN | {"limit": "all"}, {ID}, RUN_SIZE, RUN_SIZE),
    Form("how many in a run", RUN | {"count": 1}, {ID}, RUN_SIZE, RUN_SIZE),
    Form("the axes of a run", RUN | {"axes": 1}, {ID}, RUN_SIZE, RUN_SIZE),
    Form("the latest run", {"source": "plan", "base_time": "latest", "param": "t", "step": 6}, {FIELD}, 20, 20),
    Form("several runs of a source", {"source": "plan", "base_time": f"{MIDNIGHT}/{NOON}", "number": 3}, {ID}, 160, 2 * RUN_SIZE),
    Form("everything", {"limit": 50}, {ID}, 50, 51),
]


@pytest.fixture(scope="module")
def planned(tmp_path_factory, mongod_server):
    """An indexer with three runs, and the database that profiles what is asked of its fields."""
    import pymongo

    from conftest import Daemons

    folder = tmp_path_factory.mktemp("explain")
    with pymongo.MongoClient(mongod_server) as client:
        client.drop_database("gribstore")
        daemons = Daemons(folder)
        node = daemons.node("n1")
        indexer = daemons.indexer([node], catalog=mongod_server)
        for source, base_time in RUNS:
            data = stamp(folder / f"{base_time}.grib", base_time, RUN_SIZE, *SHAPE, template=TEMPLATE).read_bytes()
            assert node.put(f"/ingest/{source}/", data=data, timeout=120).status_code == 201
        for source in ("plan", "other"):
            indexer.await_messages(source, RUN_SIZE * sum(name == source for name, _ in RUNS))
        await_condition(indexer.caught_up, "all is read")
        assert indexer.post(f"/v1/runs/plan/{NOON}/ready").status_code == 200
        database = client.gribstore
        database.command({"profile": 1, "filter": {"ns": "gribstore.fields"}})
        yield indexer, database
        database.command({"profile": 0, "filter": "unset"})
        daemons.stop()


def ours(database):
    """What queries of clients led to: they alone have this limit of time."""
    ours = {"$or": [{"command.maxTimeMS": 15000}, {"originatingCommand.maxTimeMS": 15000}]}
    return list(database.system.profile.find(ours, sort=[("$natural", 1)]))


def profile_of(database, ask):
    """What the server did for it."""
    before = len(ours(database))
    answer = ask()
    return answer, await_condition(lambda: ours(database)[before:], "the server has said what it did")


def ask_for(indexer, form):
    answer = indexer.get("/v1/fields", params=form.query)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return found.get("count", len(found.get("fields", ())))


def indexes_of(entry):
    """The first key of each index of the plan; "none" for a scan of the collection."""
    steps = re.findall(r"(IXSCAN|COUNT_SCAN|DISTINCT_SCAN|COLLSCAN|IDHACK|EOF)(?: \{ \"?(\w+))?", entry["planSummary"])
    assert steps, entry["planSummary"]
    return {{"COLLSCAN": "none", "IDHACK": ID}.get(step, key) for step, key in steps}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_each_form_of_a_query_is_served_by_an_index(planned, form):
    indexer, database = planned
    given, profile = profile_of(database, lambda: ask_for(indexer, form))
    assert given == form.given
    told = [(entry["planSummary"], entry["keysExamined"], entry["docsExamined"], entry["nreturned"]) for entry in profile]
    print(json.dumps({"form": form.name, "given": given, "did": told}))
    assert set().union(*map(indexes_of, profile)) <= form.indexes, told
    assert sum(entry["docsExamined"] for entry in profile) <= form.examined, told
    # Beside a key for each document there are those that lists of values skip to.
    assert sum(entry["keysExamined"] for entry in profile) <= 2 * form.examined + 20, told


def test_a_page_begins_where_the_last_one_ended_without_looking_at_what_lies_before(planned):
    indexer, database = planned
    cursor = None
    for page in range(RUN_SIZE // 50):
        query = RUN | {"limit": 50} | ({"cursor": cursor} if cursor else {})
        found, profile = profile_of(database, lambda query=query: indexer.json("/v1/fields", params=query))
        assert len(found["fields"]) == 50
        assert [entry["docsExamined"] <= 51 and entry["keysExamined"] <= 52 for entry in profile] == [True], (page, profile)
        cursor = found["next"]
    assert cursor is None


def test_a_digest_is_looked_up(planned):
    indexer, database = planned
    digest = indexer.json("/v1/fields", params={"limit": 1})["fields"][0]["digest"]
    found, profile = profile_of(database, lambda: indexer.json("/v1/fields", params={"digest": f"{digest}/{'0' * 64}"}))
    assert {field["digest"] for field in found["fields"]} == {digest}
    assert set().union(*map(indexes_of, profile)) == {DIGEST}
    assert sum(entry["docsExamined"] for entry in profile) == len(found["fields"])


def test_a_request_in_the_language_of_mars_is_the_same_query(planned):
    indexer, database = planned
    text = f"retrieve, source=plan, base_time={MIDNIGHT}, param=t, step=6, levelist=500, number=3"
    answer, profile = profile_of(database, lambda: indexer.post("/v1/fields", data=text))
    assert len(answer.json()["fields"]) == 1
    assert [(indexes_of(entry), entry["docsExamined"]) for entry in profile] == [({FIELD}, 2)]
