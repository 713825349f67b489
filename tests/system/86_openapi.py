"""The pages that the daemons serve: whole, of the same paths as their routes, and true of every answer of a tour."""

import hashlib
import json
import re
import subprocess

import jsonschema
import pytest
import requests

from conftest import Daemons
from openapi import METHODS, Api, api_checked, api_watch  # noqa: F401
from processes import BIN, ROOT, await_condition

PROGRAMS = ("storaged", "indexer")
GENERAL_PARAMETERS = {"source": "tour", "base_time": "20200102T0300Z", "name": "tour", "digest": "0" * 64,
                      "file": "0000-0000000000000001.grib"}
# For these whoever looks at a daemon's health may add what he likes.
ANY_KEYS = {"/healthz", "/readyz", "/openapi.json"}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = Daemons(tmp_path_factory.mktemp("openapi"))
    yield found
    found.stop()


@pytest.fixture(scope="module")
def served(running):
    """A daemon of each program."""
    node = running.node("page")
    return {"storaged": node, "indexer": running.indexer([node], name="pages")}


def page_of(program):
    return json.loads((ROOT / program / "openapi.json").read_text())


def operations(page):
    for path, item in page["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method], item.get("parameters", []) + item[method].get("parameters", [])


def routes_of(program):
    """Method and pattern of each row of routes.c."""
    text = (ROOT / program / "routes.c").read_text()
    macros = dict(re.findall(r'^#define (\w+) "([^"]*)"', text, flags=re.MULTILINE))
    found = set()
    for method, pattern in re.findall(r"\{ HTTP_([A-Z]+)_, ((?:\w+|\"[^\"]*\")(?: +\"[^\"]*\")*),", text):
        words = re.findall(r'"([^"]*)"|(\w+)', pattern)
        found.add((method.lower(), "".join(literal or macros.get(name, "") for literal, name in words)))
    return found


def walk(part, place=""):
    """Every object of a page, with where it stands."""
    if isinstance(part, dict):
        yield place, part
        for key, value in part.items():
            yield from walk(value, f"{place}/{key}")
    elif isinstance(part, list):
        for number, value in enumerate(part):
            yield from walk(value, f"{place}/{number}")


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_page_is_served_as_it_is_written(served, program):
    answer = served[program].get("/openapi.json")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    page = page_of(program)
    assert answer.json() == page
    assert page["openapi"].startswith("3.1.")
    told = subprocess.run([str(BIN / program), "--version"], capture_output=True, check=True, timeout=60).stdout.decode()
    assert told.split()[1] == page["info"]["version"]
    port = {"storaged": 8410, "indexer": 8400}[program]
    assert [server["url"] for server in page["servers"]] == [f"{scheme}://127.0.0.1:{port}" for scheme in ("http", "https")]


@pytest.mark.parametrize("program", PROGRAMS)
def test_routes_and_page_have_the_same_paths(program):
    routes = routes_of(program)
    assert len(routes) == (ROOT / program / "routes.c").read_text().count("{ HTTP_") > 10
    listed = {(method, path) for path, method, _, _ in operations(page_of(program)) if method != "head"}
    assert listed == routes
    heads = {("get", path) for path, method, _, _ in operations(page_of(program)) if method == "head"}
    assert heads <= routes


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_page_is_whole(program):
    page = page_of(program)
    for path, method, operation, parameters in operations(page):
        what = f"{method} {path}"
        assert operation["summary"] and (operation.get("description") or path == "/openapi.json"), what
        assert set(operation["tags"]) <= {tag["name"] for tag in page["tags"]}, what
        assert any(status.startswith("2") for status in operation["responses"]), what
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}, what
        asked = set(operation["responses"]) & {"401", "403", "429"}
        assert asked == ({"401", "403", "429"} if operation["security"] else set()), what
        declared = {part["name"] for part in parameters if part["in"] == "path"}
        assert declared == set(re.findall(r"\{(\w+)\}", path)), what
        for part in parameters:
            assert part["description"] and part["schema"], f"{what}: {part['name']}"
            assert part["in"] != "path" or part["required"], f"{what}: {part['name']}"
    for place, part in walk(page):
        if place.rsplit("/", 2)[-2:-1] == ["responses"] and "$ref" not in part:
            assert part["description"], place


@pytest.mark.parametrize("program", PROGRAMS)
def test_references_lead_somewhere_and_nothing_is_left_over(program):
    page = page_of(program)
    used = set()
    for place, part in walk(page):
        target = part.get("$ref")
        if isinstance(target, str):
            at = page
            for word in target.removeprefix("#/").split("/"):
                assert word in at, f"{place}: {target}"
                at = at[word]
            used.add(target)
        for need in part.get("security", []):
            used.update(f"#/components/securitySchemes/{scheme}" for scheme in need)
    for kind, parts in page["components"].items():
        for name in parts:
            assert f"#/components/{kind}/{name}" in used, f"nobody uses {kind} {name}"


@pytest.mark.parametrize("program", PROGRAMS)
def test_schemas_are_schemas(program):
    page = page_of(program)
    for name, schema in page["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        for place, part in walk(schema, name):
            missing = set(part.get("required", [])) - set(part["properties"]) if "properties" in part and part.get("type") == "object" else ()
            assert not missing, f"{place}: requires {missing}, which it does not describe"
    for place, part in walk(page):
        if "schema" in part and isinstance(part["schema"], dict):
            jsonschema.Draft202012Validator.check_schema(part["schema"])


# Contract and code: a code has one HTTP status, the same in the page, in status.h and here.
CODES = {
    400: "bad-request unknown-key bad-value clock",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method",
    408: "timeout",
    411: "length-required",
    413: "too-large",
    414: "target-too-long",
    416: "range",
    417: "expectation",
    431: "head-too-large",
    409: "stale-run journal-changed other-cluster",
    410: "run-retired purged damaged",
    412: "precondition stale-epoch",
    415: "encoding",
    422: "not-grib bad-grib bad-date digest-mismatch",
    429: "limited",
    503: "overloaded draining too-few-copies holder-down read-only",
    507: "full",
}


def test_the_codes_of_errors_are_those_agreed():
    agreed = {code: status for status, codes in CODES.items() for code in codes.split()}
    text = (ROOT / "proto/base/status.h").read_text()
    rows = re.findall(r"X\((\w+), (\d+), \"([a-z-]+)\", \"([^\"]+)\"\)", text)
    assert len(rows) > 40
    coded = {code: int(status) for _, status, code, _ in rows if code not in ("ok", "more", "internal")}
    assert coded == agreed
    for program in PROGRAMS:
        page = page_of(program)
        assert set(page["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]) == set(agreed) | {"internal"}
        for name, response in page["components"]["responses"].items():
            for part in response["content"]["application/problem+json"]["schema"].get("allOf", []):
                for code in part.get("properties", {}).get("code", {}).get("enum", []):
                    assert agreed[code] == part["properties"]["status"]["const"], f"{program} {name}: {code}"


def ask(daemon, path, method, query):
    for name in re.findall(r"\{(\w+)\}", path):
        path = path.replace(f"{{{name}}}", GENERAL_PARAMETERS[name])
    body = b"x" if method in ("put", "post") else None
    return requests.request(method, f"{daemon.url}{path}?{query}", data=body, timeout=60)


def knows(answer):
    return not (answer.status_code == 400 and answer.json()["code"] == "unknown-key")


@pytest.mark.parametrize("program", PROGRAMS)
def test_queries_take_the_keys_on_the_page_and_no_others(served, program):
    for path, method, _, parameters in operations(page_of(program)):
        if method == "head":
            continue
        keys = [part["name"] for part in parameters if part["in"] == "query" and part["schema"].get("type") != "object"]
        for key in keys:
            answer = ask(served[program], path, method, f"{key}=%01")
            assert answer.status_code < 500 and knows(answer), f"{method} {path}: {key} is on the page only: {answer.text}"
        answer = ask(served[program], path, method, "no-such-key=1")
        assert knows(answer) == (path in ANY_KEYS), f"{method} {path}: {answer.status_code}"


# --- the tour ---

def message_of(grib):
    return grib.split_grib(grib.GRIB_DIR / "regular_latlon_surface.grib2")[0].data


def tour_of_a_node(node, message):
    """Each path that a node serves, with success; what was stored where."""
    digest = hashlib.sha256(message).hexdigest()
    line = node.put("/ingest/tour/", message).json()["messages"][0]
    for path in ("/ingest/tour", "/ingest/tour/file.grib", "/ingest/tour/?answer=summary", "/replica/tour", f"/sha256/{digest}?source=tour"):
        assert node.put(path, message).status_code == 200
    location = line["locations"][0]
    path = location["url"].removeprefix(node.url)
    run = path.rsplit("/", 1)[0].removeprefix("/data/")
    for file in (path, f"/sha256/{digest}"):
        whole = node.get(file)
        assert whole.content == message
        assert node.request("HEAD", file).status_code == 200
        assert node.get(file, headers={"Range": "bytes=0-3"}).status_code == 206
        assert node.get(file, headers={"Range": "bytes=0-3,8-9"}).headers["Content-Type"].startswith("multipart/byteranges")
        assert node.get(file, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
        assert node.get(file, headers={"If-Match": '"x"'}).status_code == 412
        assert node.get(file, headers={"Range": "bytes=99999999-"}).status_code == 416
    for query in ("", "?format=html", "?format=json"):
        assert node.get(f"/data/{run}/{query}").status_code == 200
    question = {"source": "tour", "base_time": line["base_time"], "digests": [digest, "0" * 64]}
    assert node.post("/have", json={**question, "places": True}).json()["missing"] == ["0" * 64]
    assert node.post("/have?scope=cluster", json=question).json()["missing"] == ["0" * 64]
    listed, = [entry for entry in node.json("/cluster/runs?wait=0")["runs"] if entry["source"] == "tour"]
    journal = node.get(f"/cluster/journal/{run}?journal={listed['journal']}&from=0&count=10")
    assert len(journal.content) == 64 * listed["records"]
    heads = node.post(f"/cluster/heads/{run}", json={"journal": listed["journal"], "records": list(range(listed["records"]))})
    assert len(heads.content) > 2 * listed["records"]
    shard, = [entry["shard"] for entry in node.json(f"/cluster/shards/{run}") if entry["count"]]
    assert node.json(f"/cluster/shards/{run}?shard={shard}")[0]["digest"] == digest
    held = node.json("/cluster/map")
    assert node.put("/cluster/map", json.dumps({**held, "epoch": held["epoch"] + 1})).status_code == 200
    assert node.put("/cluster/map", json.dumps(held)).status_code == 412
    assert node.post("/cluster/scrub?rate=1000000").status_code == 202
    assert node.get("/cluster/scrub").status_code == 200
    assert node.get("/cluster/sync").status_code == 200
    assert node.post("/cluster/sync").status_code == 202
    assert node.get("/cluster/capacity").status_code == 200
    assert node.get("/cluster/releases").status_code == 200
    name = line["locations"][0]["url"].rsplit("/", 1)[1]
    assert node.json(f"/cluster/releases/{run}/{name}") == {"state": "none"}
    assert node.json(f"/cluster/releases/{run}/0000-00000000000000ab.grib") == {"state": "gone"}
    assert node.get(f"/cluster/releases/{run}/else").status_code == 404
    assert node.post("/cluster/scrub?rate=fast").status_code == 400
    for path in ("/metrics", "/healthz", "/readyz", "/openapi.json"):
        assert node.get(path).status_code == 200
    assert node.request("OPTIONS", "/ingest/tour/").status_code == 204
    return run


def end_of_a_run(node, run):
    state = node.json(f"/cluster/runs/{run}")
    told = {"incarnation": state["incarnation"], "version": state["version"] + 10, "state": "retired"}
    assert node.put(f"/cluster/runs/{run}", json.dumps(told)).status_code == 200
    assert node.put(f"/cluster/runs/{run}", json.dumps({**told, "version": 0})).status_code == 409
    assert node.delete(f"/data/{run}/?incarnation={told['incarnation']}&version={told['version']}").status_code == 204


def tour_of_an_indexer(indexer, run):
    for query in ("?source=tour", "?source=tour&all=1&limit=1", "?source=tour&format=ndjson", "?source=tour&typeOfLevel=surface", "?source=tour&format=csv",
                  "?source=tour&count=1&missing=1&levtype=sfx", "?source=tour&axes=1", "?source=tour&limit=all&sort=-step", "?source=none&param=t"):
        assert indexer.get(f"/v1/fields{query}").status_code == 200
    assert indexer.get("/v1/fields?parm=1").status_code == 400
    assert indexer.post("/v1/fields?limit=3", data="retrieve,source=tour,target=x.grib").status_code == 200
    assert indexer.post("/v1/fields", json={"source": "tour", "step": {"from": 0, "to": 6}}).status_code == 200
    assert indexer.post("/v1/fields", data="archive,source=tour").status_code == 400
    assert indexer.get("/v1/runs").status_code == 200
    run_path = f"/v1/runs/{run}"
    assert indexer.get(run_path).status_code == 200
    assert indexer.get("/v1/runs/nobody/20200101T0000Z").status_code == 404
    assert indexer.post(f"{run_path}/check", json={"digests": ["0" * 64]}).json()["missing"] == ["0" * 64]
    assert indexer.get(f"{run_path}/locations").text.splitlines()[-1].startswith('{"end":true')
    assert indexer.post(f"{run_path}/reread", params={"node": indexer.json("/v1/cluster/map")["nodes"][0]["id"]}).status_code == 202
    assert indexer.post(f"{run_path}/reread").status_code == 400
    assert indexer.post(f"{run_path}/ready").status_code == 200
    assert indexer.post(f"{run_path}/reopen").status_code == 409
    held = indexer.json("/v1/cluster/map")
    newer = {**held, "epoch": held["epoch"] + 1}
    assert indexer.put("/v1/cluster/map", json.dumps(newer), headers={"If-Match": str(held["epoch"])}).status_code == 200
    assert indexer.put("/v1/cluster/map", json.dumps(newer), headers={"If-Match": str(held["epoch"])}).status_code == 412
    assert indexer.get("/v1/cluster/nodes").status_code == 200
    assert indexer.post("/v1/leases/tour", json={"owner": "a", "ttl_ms": 60000}).status_code == 200
    assert indexer.post("/v1/leases/tour", json={"owner": "b", "ttl_ms": 60000}).json()["holder"] == "a"
    assert indexer.delete("/v1/leases/tour?owner=a").status_code == 204
    assert indexer.get("/v1/status").status_code == 200
    assert indexer.get(f"{run_path}?fingerprint=1").status_code == 200
    file = {"node": "nobody", "source": run.split("/")[0], "base_time": run.split("/")[1], "incarnation": 1, "journal": "0" * 16, "records": 0}
    asked = indexer.post("/v1/releases", json={**file, "files": [{"shard": 0, "birth": "1" * 16, "digests": []}]})
    assert [line["code"] for line in asked.json()["refused"]] == ["not-found"]
    assert indexer.post("/v1/releases/dropped", json={**file, "files": ["1" * 16], "final": False}).json() == {"removed": []}
    assert indexer.post("/v1/releases/dropped", json={**file, "incarnation": 9, "files": ["1" * 16], "final": False}).status_code == 409
    assert indexer.post("/v1/sweep").status_code == 202
    assert indexer.get("/v1/quarantine", params={"limit": 1}).status_code == 200
    assert indexer.post("/v1/reindex").status_code == 202
    assert indexer.get("/v1/reindex").status_code == 200
    assert indexer.delete("/v1/reindex").status_code == 202
    for path in ("/metrics", "/healthz", "/readyz", "/openapi.json"):
        assert indexer.get(path).status_code == 200
    assert indexer.request("OPTIONS", "/v1/fields").status_code == 204
    assert indexer.post(f"{run_path}/retire?grace=0s").status_code == 200
    await_condition(lambda: indexer.json(run_path)["state"] == "purged", "the run is purged")
    assert indexer.post(f"{run_path}/reopen").json()["state"] == "filling"


def check_coverage(watch, class_name, program):
    """Each operation of the page was answered with success at least once."""
    seen = {(method.lower(), path) for name, method, path, status in watch.seen if name == class_name and status < 300}
    assert {(method, path) for path, method, _, _ in operations(page_of(program))} <= seen


def test_a_tour_of_every_path(daemons, grib, api_checked):  # noqa: F811
    node = daemons.node("tour")
    run = tour_of_a_node(node, message_of(grib))
    indexer = daemons.indexer([node], name="index")
    indexer.await_messages("tour", 1)
    tour_of_an_indexer(indexer, run)
    check_coverage(api_checked, "Indexer", "indexer")
    assert node.put("/ingest/end/", message_of(grib)).status_code == 201
    end_of_a_run(node, run.replace("tour", "end"))
    check_coverage(api_checked, "Node", "storaged")


def test_an_answer_that_is_not_on_the_page_is_noticed(served):
    """The check itself: what would it say?"""
    page = Api(page_of("storaged"))
    answer = requests.get(f"{served['storaged'].url}/readyz", timeout=60)
    page.check(answer)
    for spoiled in (b'{"ready": true, "node": "n"}', b'{"ready": 1, "node": "n", "checks": []}', b'{"ready": true, "node": "n", "checks": [], "more": 1}'):
        answer._content = spoiled
        with pytest.raises(AssertionError, match="readyz"):
            page.check(answer)
