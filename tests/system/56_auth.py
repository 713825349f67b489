"""Who may do what: tokens, roles, sources, rates, quotas; and that no secret shows anywhere."""

import base64
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests

from conftest import Daemons
from openapi import METHODS
from processes import BIN, ROOT, Client, Cluster, await_condition

PROGRAMS = ("storaged", "indexer")
ROLES = ("read", "ingest", "admin", "node")
OPEN_PATHS = {"/healthz", "/readyz", "/openapi.json"}
PARAMETERS = {"source": "hres", "base_time": "20200102T0300Z", "name": "rotate-hres", "digest": "0" * 64,
              "file": "0000-0000000000000001.grib"}
# What a request may be answered once its token was taken.
TAKEN = set(range(200, 600)) - {401, 403, 429}


class Tokens:
    """A token file, and the tokens that belong to it."""

    def __init__(self, folder, name="tokens"):
        self.file = pathlib.Path(folder) / name
        self.file.touch(mode=0o600)
        self.secrets = {}

    def add(self, name, roles, **options):
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        made = subprocess.run([BIN / "gribstore", "token", "--name", name, "--role", roles, "--append", self.file, *words],
                              capture_output=True, check=True, timeout=60)
        self.secrets[name] = made.stdout.decode().strip()
        return self.header(name)

    def put(self, name, roles, **options):
        """The same by hand: what `gribstore token` would not make."""
        secret = "gst_" + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
        words = "".join(f" {key}={value}" for key, value in options.items())
        with open(self.file, "a") as file:
            file.write(f"{name} sha256:{hashlib.sha256(secret.encode()).hexdigest()} {roles}{words}\n")
        self.secrets[name] = secret
        return self.header(name)

    def header(self, name):
        return {"Authorization": f"Bearer {self.secrets[name]}"}

    def secret_file(self, name):
        file = self.file.parent / f"{name}.token"
        file.write_text(self.secrets[name] + "\n")
        file.chmod(0o600)
        return file


def all_roles(folder):
    tokens = Tokens(folder)
    for role in ROLES:
        tokens.add(role, role)
    tokens.put("expired", ",".join(ROLES), expires="2020-01-01T00:00:00Z")
    tokens.add("cluster", "node,admin")
    return tokens


def heavy_message():
    """Of 150 kB: at 1 KiB a second no machine is so slow that what it takes is forgiven meanwhile."""
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    return b"GRIB\0\0\0\2" + (150_000).to_bytes(8, "big") + (section1 + bytes(150_000))[:150_000 - 20] + b"7777"


def message_of(grib, number=0):
    return grib.split_grib(sorted(grib.GRIB_DIR.glob("*.grib2"))[number])[0].data


def hangup(daemon, said):
    """SIGHUP, and wait until the log says that it was heard."""
    before = daemon.output().count(said)
    daemon.process.send_signal(signal.SIGHUP)
    await_condition(lambda: daemon.output().count(said) > before, f"{daemon.name} has read again")


# --- every route, with every kind of token ---

@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("auth")
    running = Daemons(folder)
    tokens = all_roles(folder)
    arguments = ["--tokens", tokens.file, "--node-token", tokens.secret_file("cluster")]
    node = running.node("n1", arguments=arguments)
    indexer = running.indexer([node], arguments=arguments)
    yield {"storaged": node, "indexer": indexer, "tokens": tokens}
    running.stop()


def page_of(program):
    return json.loads((ROOT / program / "openapi.json").read_text())


def routes_of(program):
    """Method, path and roles of each row of routes.c."""
    text = (ROOT / program / "routes.c").read_text()
    macros = dict(re.findall(r'^#define (\w+) "([^"]*)"', text, flags=re.MULTILINE))
    for method, pattern, roles in re.findall(r"\{ HTTP_([A-Z]+)_, ((?:\w+|\"[^\"]*\")(?: +\"[^\"]*\")*),\s+([A-Z_ |]+),", text):
        words = re.findall(r'"([^"]*)"|(\w+)', pattern)
        path = "".join(literal or macros.get(name, "") for literal, name in words)
        yield method.lower(), path, {role.removeprefix("ROLE_").lower() for role in re.findall(r"\w+", roles)}


def ask(daemon, method, path, **options):
    for name in re.findall(r"\{(\w+)\}", path):
        path = path.replace(f"{{{name}}}", PARAMETERS[name])
    body = b"x" if method in ("put", "post") else None
    return requests.request(method, daemon.url + path, data=body, timeout=60, **options)


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_route_takes_the_roles_of_its_row_and_no_others(served, program):
    daemon, tokens = served[program], served["tokens"]
    routes = list(routes_of(program))
    assert len(routes) == (ROOT / program / "routes.c").read_text().count("{ HTTP_") > 10
    for method, path, roles in routes:
        what = f"{program} {method} {path}"
        if roles == {"none"}:
            assert path in OPEN_PATHS, what
            for headers in ({}, tokens.header("expired"), {"Authorization": "Bearer nonsense"}):
                assert ask(daemon, method, path, headers=headers).status_code in (200, 503), what
            continue
        bare = ask(daemon, method, path)
        assert (bare.status_code, bare.json()["code"]) == (401, "unauthorized"), what
        assert bare.headers["WWW-Authenticate"] == 'Bearer realm="gribstore"', what
        for shown in (tokens.header("expired"), {"Authorization": "Bearer gst_unknown"}):
            wrong = ask(daemon, method, path, headers=shown)
            assert wrong.status_code == 401, what
            assert wrong.headers["WWW-Authenticate"] == 'Bearer realm="gribstore", error="invalid_token"', what
        for role in ROLES:
            answer = ask(daemon, method, path, headers=tokens.header(role))
            if role in roles or "read" in roles:
                assert answer.status_code in TAKEN, f"{what} with {role}: {answer.text}"
            else:
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), f"{what} with {role}"
                assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"], what


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_page_says_which_roles_a_request_takes(program):
    page = page_of(program)
    listed = {}
    for path, item in page["paths"].items():
        for method in METHODS:
            if method in item and method != "head":
                listed[method, path] = {role for need in item[method]["security"]
                                        for role in need.get("token", [])}
    rows = {(method, path): roles - {"none", "bound"} for method, path, roles in routes_of(program)}
    assert listed == rows


@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_is_said_of_what_is_there_before_a_token(served, program):
    daemon, tokens = served[program], served["tokens"]
    for method, path in (("get", "/nothing/here"), ("get", "/"), ("delete", "/healthz"), ("patch", "/metrics"),
                         ("post", "/no/such?key=1"), ("options", "/no/such"), ("get", "/sha256/nonsense")):
        assert requests.request(method, daemon.url + path, timeout=60).status_code == 401, path
        shown = requests.request(method, daemon.url + path, headers=tokens.header("read"), timeout=60)
        assert shown.status_code in (404, 405, 400), f"{path}: {shown.status_code}"
    # Browsers ask how a path may be asked before they show a token.
    preflight = requests.options(daemon.url + "/metrics", timeout=60)
    assert preflight.status_code == 204
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]


def test_a_message_and_its_absence_look_alike(served, grib):
    node, tokens = served["storaged"], served["tokens"]
    message = message_of(grib)
    stored = node.put("/ingest/hres/", message, headers=tokens.header("ingest")).json()["messages"][0]
    there = f"/sha256/{stored['digest']}"
    place = stored["locations"][0]["url"].removeprefix(node.url)
    conditions = ({}, {"If-None-Match": f'"{stored["digest"]}"'}, {"Range": "bytes=999999999-"}, {"If-Match": '"x"'})
    for path, absent in ((there, f"/sha256/{'0' * 64}"), (place, place[:-6] + "0.grib")):
        for headers in conditions:
            answers = [node.get(each, headers=headers) for each in (path, absent)]
            assert [answer.status_code for answer in answers] == [401, 401], (path, headers)
            bodies = [{key: value for key, value in answer.json().items() if key != "instance"} for answer in answers]
            assert bodies[0] == bodies[1], path
    assert node.get(there, headers=tokens.header("read")).content == message
    kept = node.get(there, headers=tokens.header("read")).headers["Cache-Control"]
    assert "private" in kept and "public" not in kept
    head = node.request("HEAD", there)
    assert (head.status_code, head.content) == (401, b"")


def raw(daemon, text, read_all=False):
    """What comes back on a fresh connection, up to the end of the first head."""
    host, port = daemon.listen.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(text.encode("latin-1"))
        got = b""
        while b"\r\n\r\n" not in got or read_all:
            piece = connection.recv(65536)
            if not piece:
                break
            got += piece
    return got.decode("latin-1")


def test_the_answer_comes_before_the_body_and_before_100_continue(served):
    node = served["storaged"]
    head = "PUT /ingest/hres/ HTTP/1.1\r\nHost: n\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n"
    assert raw(node, head).startswith("HTTP/1.1 401 ")
    # Not one byte of the body is sent, and none is waited for.
    assert raw(node, head.replace("Expect: 100-continue\r\n", "")).startswith("HTTP/1.1 401 ")
    answer = raw(node, "PUT /ingest/hres/ HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert answer.startswith("HTTP/1.1 401 ") and "Connection: close" in answer


def test_what_is_no_bearer_token(served):
    node, tokens = served["storaged"], served["tokens"]
    good = tokens.secrets["read"]
    cases = (
        (f"Authorization: Bearer {good}", 200), (f"authorization: bEaReR {good}", 200), (f"Authorization: BEARER    {good}", 200),
        (f"Authorization: Bearer {good}\r\nAuthorization: Bearer {good}", 400),
        (f"Authorization: Basic eDp5\r\nAuthorization: Bearer {good}", 400),
        ("Authorization: Bearer", 400), ("Authorization: Bearer ", 400), (f"Authorization: Bearer {good} more", 400),
        (f"Authorization: Bearer {good},x", 400), ('Authorization: Bearer "x"', 400), ("Authorization: Bearer a=b", 400),
        ("Authorization: Basic eDp5", 401), (f"Authorization: Bearer{good}", 401), (f"Authorization: {good}", 401), ("Authorization:", 401),
        (f"Authorization: Bearer {good}=", 401), (f"Authorization: Bearer {good[:-1]}", 401), (f"Authorization: Bearer {good.upper()}", 401),
        (f"Cookie: token={good}", 401), (f"X-Authorization: Bearer {good}", 401), (f"Proxy-Authorization: Bearer {good}", 401),
    )
    for field, status in cases:
        answer = raw(node, f"GET /metrics HTTP/1.1\r\nHost: n\r\n{field}\r\n\r\n")
        assert answer.startswith(f"HTTP/1.1 {status} "), f"{field}: {answer[:200]}"
        assert status != 400 or 'error="invalid_request"' in answer, field
    for key in ("access_token", "token"):
        assert raw(node, f"GET /metrics?{key}={good} HTTP/1.1\r\nHost: n\r\n\r\n").startswith("HTTP/1.1 401 ")


def test_a_malformed_head_is_400_whoever_sends_it(served):
    for text in ("GET /metrics HTTP/1.1\r\n\r\n", "GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                 "PUT /ingest/x/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"):
        assert raw(served["storaged"], text).startswith("HTTP/1.1 400 ")


# --- settings ---

def start_fails(program, *arguments):
    done = subprocess.run([BIN / program, *map(str, arguments)], capture_output=True, timeout=60, check=False)
    assert done.returncode != 0, done
    return done.stderr.decode()


@pytest.mark.parametrize("program", PROGRAMS)
def test_off_loopback_it_needs_tls_and_tokens_or_to_be_told(program, tmp_path):
    tokens = all_roles(tmp_path)
    data = ["--data", tmp_path / "d"] if program == "storaged" else ["--catalog", f"sqlite:{tmp_path}/i"]
    listen = ["--listen", "192.0.2.1:1"]
    told = start_fails(program, *data, *listen)
    assert all(word in told for word in ("--tls-cert", "--tls-key", "--tokens", "--insecure", "192.0.2.1")), told
    told = start_fails(program, *data, *listen, "--tokens", tokens.file)
    assert "--tls-cert" in told and "--tokens" not in told, told
    assert "none or read" in start_fails(program, *data, "--anonymous", "all")
    # 192.0.2.1 is no address of this machine: told to be insecure it gets as far as that.
    told = start_fails(program, *data, *listen, "--url", "http://192.0.2.1:1", "--insecure")
    assert "loopback" not in told, told


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_token_file_that_others_read_or_that_is_wrong_ends_the_start(program, tmp_path):
    tokens = all_roles(tmp_path)
    secret = tokens.secret_file("node")
    data = ["--data", tmp_path / "d"] if program == "storaged" else ["--catalog", f"sqlite:{tmp_path}/i"]
    log = []
    tokens.file.chmod(0o644)
    log.append(start_fails(program, *data, "--listen", "127.0.0.1:0", "--tokens", tokens.file))
    assert "0644" in log[-1] and "chmod 600" in log[-1]
    tokens.file.chmod(0o640)
    secret.chmod(0o604)
    log.append(start_fails(program, *data, "--listen", "127.0.0.1:0", "--tokens", tokens.file, "--node-token", secret))
    assert "0604" in log[-1]
    with open(tokens.file, "a") as file:
        file.write(f"{tokens.secrets['read']} is no line\n")
    log.append(start_fails(program, *data, "--listen", "127.0.0.1:0", "--tokens", tokens.file))
    assert "line 7" in log[-1]
    log.append(start_fails(program, *data, "--listen", "127.0.0.1:0", "--tokens", tmp_path / "nowhere"))
    assert not any(text in each for each in log for text in tokens.secrets.values())


def test_anonymous_may_read_when_told(daemons, tmp_path, grib):
    tokens = all_roles(tmp_path)
    node = daemons.node(arguments=["--tokens", tokens.file, "--anonymous", "read"])
    message = message_of(grib)
    assert node.put("/ingest/hres/", message).status_code == 401
    line = node.put("/ingest/hres/", message, headers=tokens.header("ingest")).json()["messages"][0]
    answer = node.get(f"/sha256/{line['digest']}")
    assert answer.content == message and "public" in answer.headers["Cache-Control"]
    assert node.get("/nothing").status_code == 404
    assert node.get("/metrics").status_code == 200
    assert node.get("/cluster/runs?wait=0").status_code == 401
    # Who shows a token that is not known is told so, even where none is needed.
    assert node.get("/metrics", headers={"Authorization": "Bearer gst_x"}).status_code == 401


# --- sources ---

def test_a_bound_token_sees_and_changes_its_own_source_only(daemons, tmp_path, grib):
    tokens = all_roles(tmp_path)
    ours = tokens.add("ours", "ingest,admin", source="hres")
    arguments = ["--tokens", tokens.file, "--node-token", tokens.secret_file("cluster")]
    nodes = [daemons.node(f"n{number}", arguments=arguments) for number in (1, 2, 3)]
    cluster = Cluster(nodes, daemons.indexer(nodes, ready=False, arguments=arguments))
    cluster.client.environment["GRIBSTORE_TOKEN_FILE"] = str(tokens.secret_file("cluster"))
    await_condition(cluster.indexer.answers, "the indexer answers")
    cluster.client.run("cluster", "init", *[node.url for node in nodes])
    for node in nodes:
        await_condition(lambda node=node: node.json("/cluster/map", headers=tokens.header("read"))["epoch"] > 0, "the map")
        node.wait_ready()
    node, other, third = nodes
    messages = [message_of(grib, number) for number in (0, 1)]
    admin, ingest, read = (tokens.header(name) for name in ("admin", "ingest", "read"))
    hres = node.put("/ingest/hres/", messages[0], headers=ours)
    assert hres.status_code == 201 and hres.json()["messages"][0]["copies"] == 2
    gfs = node.put("/ingest/gfs/", messages[1], headers=ingest)
    assert gfs.status_code == 201 and gfs.json()["messages"][0]["copies"] == 2
    mine, theirs = hres.json()["messages"][0], gfs.json()["messages"][0]
    run = f"gfs/{theirs['locations'][0]['url'].split('/')[-2]}"

    def refused(answer):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), answer.text
        assert "gfs" not in answer.json()["detail"]

    # In the path, in the query, in the body.
    refused(node.put("/ingest/gfs/", messages[1], headers=ours))
    refused(node.put("/replica/gfs", messages[1], headers=ours))
    refused(node.put(f"/sha256/{theirs['digest']}?source=gfs", messages[1], headers=ours))
    assert node.put(f"/sha256/{theirs['digest']}?source=hres", messages[1], headers=ours).status_code == 201
    question = {"source": "gfs", "base_time": theirs["base_time"], "digests": [theirs["digest"]]}
    refused(node.post("/have", json=question, headers=ours))
    assert node.post("/have", json={**question, "source": "hres"}, headers=ours).status_code == 200
    refused(node.get(f"/data/{run}/", headers=ours))
    refused(node.get("/data/nosuch/20200101T0000Z/", headers=ours))
    refused(node.delete(f"/data/{run}/?incarnation=1&version=0", headers=ours))
    for location in theirs["locations"]:
        assert requests.get(location["url"], headers=ours, timeout=60).status_code == 403
        assert requests.get(location["url"], headers=read, timeout=60).status_code == 200
    assert node.get("/cluster/runs?wait=0", headers=ours).status_code == 403
    held = json.dumps(node.json("/cluster/map", headers=ours))
    assert node.put("/cluster/map", held, headers=ours).status_code == 403

    # Where a route names no source, that of what is found counts: here, and on the node that is asked for it.
    only_theirs = message_of(grib, 2)
    digest = node.put("/ingest/gfs/", only_theirs, headers=ingest).json()["messages"][0]["digest"]
    for each in nodes:
        assert each.get(f"/sha256/{digest}", headers=read).content == only_theirs
        assert each.get(f"/sha256/{digest}", headers=ours).status_code == 404
        assert each.request("HEAD", f"/sha256/{digest}", headers=ours).status_code == 404
        assert each.get(f"/sha256/{digest}", headers={**ours, "If-None-Match": f'"{digest}"'}).status_code == 404
        assert each.get(f"/sha256/{mine['digest']}", headers=ours).content == messages[0]
        # A message of both is there for the sake of the one.
        assert each.get(f"/sha256/{theirs['digest']}", headers=ours).content == messages[1]

    indexer = cluster.indexer
    def runs(headers, **query):
        return indexer.json("/v1/runs", params=query, headers=headers)["runs"]
    await_condition(lambda: sum(each["messages"] for each in runs(read)) == 4, "all is indexed")
    assert {each["source"] for each in runs(ours)} == {"hres"}
    assert {each["source"] for each in runs(read)} == {"hres", "gfs"}
    refused(indexer.get("/v1/runs?source=gfs", headers=ours))
    refused(indexer.get(f"/v1/runs/{run}", headers=ours))
    refused(indexer.post(f"/v1/runs/{run}/check", json={"digests": []}, headers=ours))
    for verb in ("ready", "retire", "reopen"):
        refused(indexer.post(f"/v1/runs/{run}/{verb}", headers=ours))

    def sources(headers, **query):
        return {field["source"] for field in indexer.json("/v1/fields", params=query, headers=headers)["fields"]}
    assert sources(read) == {"hres", "gfs"}
    assert sources(ours) == sources(ours, source="hres") == {"hres"}
    for asked in ("gfs", "hres/gfs", "gfs/hres", "all"):
        refused(indexer.get("/v1/fields", params={"source": asked}, headers=ours))
    following = indexer.get("/v1/fields", params={"limit": 1}, headers=ours)
    while following.json()["next"]:
        assert {field["source"] for field in following.json()["fields"]} == {"hres"}
        following = indexer.get("/v1/fields", params={"limit": 1, "cursor": following.json()["next"]}, headers=ours)
    lease = {"owner": "a", "ttl_ms": 1000}
    assert indexer.post("/v1/leases/rotate-hres", json=lease, headers=ours).status_code == 200
    refused(indexer.post("/v1/leases/rotate-gfs", json=lease, headers=ours))
    assert indexer.delete("/v1/leases/rotate-gfs?owner=a", headers=ours).status_code == 403
    assert indexer.post("/v1/leases/rotate-gfs", json=lease, headers=admin).status_code == 200
    assert indexer.put("/v1/cluster/map", held, headers={**ours, "If-Match": "1"}).status_code == 403
    assert third.get("/metrics", headers=ours).status_code == 200


def test_a_redirect_leads_a_bound_token_nowhere_either(daemons, tmp_path, grib):
    tokens = all_roles(tmp_path)
    ours = tokens.add("ours", "read", source="hres")
    arguments = ["--tokens", tokens.file, "--node-token", tokens.secret_file("cluster")]
    node, other = daemons.node("n1", arguments=[*arguments, "--redirect"]), daemons.node("n2", arguments=arguments)
    client = Client(node=node)
    client.environment["GRIBSTORE_TOKEN_FILE"] = str(tokens.secret_file("cluster"))
    client.run("cluster", "init", node.url, other.url)
    for each in (node, other):
        await_condition(lambda each=each: each.json("/cluster/map", headers=tokens.header("read"))["epoch"] > 0, "the map")
        each.wait_ready()
    theirs = other.put("/replica/gfs", message_of(grib), headers=tokens.header("ingest")).json()["messages"][0]
    answer = node.get(f"/sha256/{theirs['digest']}", headers=tokens.header("read"), allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, f"{other.url}/sha256/{theirs['digest']}")
    assert node.get(f"/sha256/{theirs['digest']}", headers=ours, allow_redirects=False).status_code == 404


# --- rates ---

def large_message(number):
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + number.to_bytes(8, "big") + bytes(3 << 20)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


def test_only_a_node_has_messages_read_again(daemons, tmp_path):
    tokens = all_roles(tmp_path)
    node = daemons.node(arguments=["--tokens", tokens.file, "--anonymous", "read", "--scrub-rate", "0"])
    messages = [large_message(number) for number in range(2)]
    lines = node.put("/ingest/hres/", b"".join(messages), headers=tokens.header("ingest")).json()["messages"]
    for line in lines:
        place = line["locations"][0]
        with open(node.data / "runs" / place["url"].split("/data/")[1], "r+b") as file:
            file.seek(place["offset"] + (2 << 20))
            file.write(b"zzzz")
    words = {"Gribstore-Hop": "1", "Gribstore-Suspect": "1"}
    for headers in ({}, tokens.header("read"), tokens.header("ingest")):
        assert node.request("HEAD", f"/sha256/{lines[0]['digest']}", headers=words | headers).status_code == 200
    assert node.request("HEAD", f"/sha256/{lines[1]['digest']}", headers=words | tokens.header("node")).status_code == 200

    def found():
        answer = node.json("/cluster/scrub", headers=tokens.header("admin"))
        return [finding["digest"] for finding in answer["findings"]] if answer["suspects"] == 0 else None
    # One after another, in the order of asking: what comes last has been read when this is found.
    assert await_condition(found, "the suspect was read") == [lines[1]["digest"]]


def test_a_token_has_a_rate_of_requests(daemons, tmp_path):
    tokens = all_roles(tmp_path)
    slow = tokens.add("slow", "read", requests=1)
    node = daemons.node(arguments=["--tokens", tokens.file, "--loops", 4])
    began = time.monotonic()
    # Ten one after another, and then so many at once that no machine takes a second for each.
    answers = [node.get("/metrics", headers=slow) for _ in range(10)]
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        answers += pool.map(lambda _: node.get("/metrics", headers=slow), range(30))
    statuses = [answer.status_code for answer in answers]
    passed = statuses.count(200)
    # Ten seconds' worth at once, and one a second; whichever of the loops took the connection.
    assert 10 <= passed <= 11 + (time.monotonic() - began)
    assert set(statuses) == {200, 429} and statuses[:10] == [200] * 10
    limited = answers[statuses.index(429)]  # the next request may have its turn again
    assert limited.json()["code"] == "limited"
    assert 1 <= int(limited.headers["Retry-After"]) <= 2
    # It is the token's, not the node's; and what is no right of it stays 403.
    assert node.get("/metrics", headers=tokens.header("read")).status_code == 200
    assert node.put("/ingest/x/", b"", headers=slow).status_code == 403
    # Read again, the buckets are as empty.
    hangup(node, "tokens: read again")
    passed += [node.get("/metrics", headers=slow).status_code for _ in range(12)].count(200)
    assert passed <= 11 + (time.monotonic() - began)


def test_a_token_has_a_rate_of_bytes(daemons, tmp_path):
    tokens = all_roles(tmp_path)
    slow = tokens.add("slow", "ingest", bytes="1KiB")
    node = daemons.node(arguments=["--tokens", tokens.file])
    message = heavy_message()
    # The request that begins within the limit is served to its end; the one that begins beyond is not.
    assert node.put("/ingest/hres/", message, headers=slow).status_code == 201
    refused = node.put("/ingest/hres/", message, headers=slow)
    assert (refused.status_code, refused.json()["code"]) == (429, "limited")
    assert int(refused.headers["Retry-After"]) >= 1
    # A body without a length counts too, and so does what is read.
    chunks = tokens.add("chunks", "ingest", bytes="1KiB")
    reads = tokens.add("reads", "read", bytes="1KiB")
    hangup(node, "tokens: read again")
    assert node.put("/ingest/hres/", iter([message[:100], message[100:]]), headers=chunks).status_code == 200
    assert node.put("/ingest/hres/", message, headers=chunks).status_code == 429
    path = f"/sha256/{hashlib.sha256(message).hexdigest()}"
    assert node.request("HEAD", path, headers=reads).status_code == 200
    assert node.get(path, headers=reads).status_code == 200
    assert node.get(path, headers=reads).status_code == 429


# --- reload ---

def test_tokens_change_under_load_without_a_lost_request(daemons, tmp_path):
    tokens = all_roles(tmp_path)
    before = tokens.file.read_text()
    node = daemons.node(arguments=["--tokens", tokens.file, "--loops", 2])
    wrong, done, stop = [], [0], threading.Event()

    def load():
        with requests.Session() as session:
            while not stop.is_set():
                answer = session.get(node.url + "/metrics", headers=tokens.header("read"), timeout=60)
                done[0] += 1
                if answer.status_code != 200:
                    wrong.append(answer.status_code)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(10):
        late = tokens.add(f"late{number}", "read")
        assert node.get("/metrics", headers=late).status_code == 401
        hangup(node, "tokens: read again")
        assert node.get("/metrics", headers=late).status_code == 200
    # What is wrong leaves the old one in force.
    good = tokens.file.read_text()
    tokens.file.write_text("nonsense\n")
    hangup(node, "stays in force")
    tokens.file.write_text(good)
    tokens.file.chmod(0o644)
    hangup(node, "stays in force")
    tokens.file.chmod(0o600)
    assert node.get("/metrics", headers=late).status_code == 200
    # Taken away.
    tokens.file.write_text(before)
    hangup(node, "tokens: read again")
    assert node.get("/metrics", headers=late).status_code == 401
    await_condition(lambda: wrong or done[0] > 50, "there was a load")
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong, (wrong, done)


# --- quotas and windows ---

def test_a_run_holds_what_its_source_may(daemons, tmp_path, grib):
    rules = tmp_path / "sources"
    rules.write_text("# what may come in\n[few]\nrun-messages = 2\n[small]\nrun-bytes = 20KiB\n"
                     "[new]\noldest = 1h\n[old]\nnewest = 1h\n[*]\nunknown = no\n[free]\n")
    node = daemons.node(arguments=["--sources", rules])
    message = message_of(grib)
    made = [same_run(message, number) for number in range(6)]

    answer = node.put("/ingest/few/", b"".join(made))
    assert (answer.status_code, answer.json()["code"], answer.json()["stored"]) == (507, "full", 2)
    assert "run-messages" in answer.json()["detail"]
    assert node.put("/ingest/few/", made[0]).status_code == 200, "what is there is no new one"
    assert node.put("/ingest/few/", made[5]).status_code == 507
    assert node.put("/replica/few", made[5]).status_code == 507

    fit = 20 * 1024 // len(message)
    answer = node.put("/ingest/small/", b"".join(made))
    assert (answer.status_code, answer.json()["code"], answer.json()["stored"]) == (507, "full", min(fit, 6))
    assert "run-bytes" in answer.json()["detail"]

    answer = node.put("/ingest/new/", message)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-date")
    assert "oldest" in answer.json()["detail"]
    assert node.put("/ingest/old/", message).status_code == 201
    assert node.put("/ingest/old/", dated(message, 2200)).json()["code"] == "bad-date"

    answer = node.put("/ingest/unknown/", message)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert node.put("/ingest/free/", message).status_code == 201

    rules.write_text("[few]\nrun-messages = 3\n")
    hangup(node, "sources: read again")
    assert node.put("/ingest/few/", made[5]).status_code == 201
    assert node.put("/ingest/few/", made[4]).status_code == 507
    assert node.put("/ingest/unknown/", message).status_code == 201
    rules.write_text("[few\n")
    hangup(node, "stays in force")
    assert node.put("/ingest/few/", made[4]).status_code == 507


def test_a_quota_is_the_runs_and_not_the_nodes(daemons, tmp_path, grib):
    """Nobody stands in for a node that a run has filled its share of, and that node takes others as before."""
    rules = tmp_path / "sources"
    rules.write_text("[few]\nrun-messages = 1\n")
    nodes = [daemons.node(f"n{number}", arguments=["--sources", rules, "--shards", "1"]) for number in (1, 2, 3)]
    Client(node=nodes[0]).run("cluster", "init", *[node.url for node in nodes])
    for node in nodes:
        await_condition(lambda node=node: node.json("/cluster/map")["epoch"] > 0, "the map")
        node.wait_ready()
    held = nodes[0].json("/cluster/map")
    owners = set(held["eras"][0]["owners"][0])
    urls = {node["id"]: node["url"] for node in held["nodes"]}
    message = message_of(grib)

    def places(answer):
        assert answer.status_code == 201, answer.text
        line, = answer.json()["messages"]
        return {name for name, url in urls.items() if any(at["url"].startswith(url + "/") for at in line["locations"])}

    for number, node in enumerate(nodes):  # an owner, another one, and one that is none: each coordinates
        few = [same_run(message, 2 * number + each) for each in (0, 1)]
        if number == 0:
            assert places(node.put("/ingest/few/", few[0])) == owners
        answer = node.put("/ingest/few/", few[1])
        assert (answer.status_code, answer.json()["code"]) == (507, "full"), answer.text
        assert "run-messages" in answer.json()["detail"] and answer.headers["Gribstore-Quota"] == "run"
        assert places(node.put(f"/ingest/other{number}/", message)) == owners
    assert sum(run["source"] == "few" for node in nodes for run in node.json("/cluster/runs?wait=0")["runs"]) == len(owners)


def same_run(message, number):
    """Another message of the same run: its last byte of data differs."""
    changed = bytearray(message)
    changed[-5] ^= number
    return bytes(changed)


def dated(message, year):
    """The same with another year in section 1 (GRIB2)."""
    changed = bytearray(message)
    changed[16 + 12:16 + 14] = year.to_bytes(2, "big")
    return bytes(changed)


# --- a cluster with tokens ---

def cluster_with_tokens(daemons, tokens, arguments=()):
    arguments = ["--tokens", tokens.file, "--node-token", tokens.secret_file("cluster"), "--access-log", "--log-level", "debug", *arguments]
    nodes = [daemons.node(f"n{number}", colo=colo, arguments=arguments) for number, colo in ((1, "a"), (2, "a"), (3, "b"))]
    cluster = Cluster(nodes, daemons.indexer(nodes, ready=False, arguments=arguments))
    cluster.client.environment["GRIBSTORE_TOKEN_FILE"] = str(tokens.secret_file("admin"))
    await_condition(cluster.indexer.answers, "the indexer answers")
    cluster.client.run("cluster", "init", *[node.url for node in nodes])
    cluster.indexer.wait_ready()
    for node in nodes:
        await_condition(lambda node=node: node.json("/cluster/map", headers=tokens.header("read"))["epoch"] > 0, f"{node.name} has the map")
        node.wait_ready()
    return cluster


def test_a_cluster_works_with_tokens_on_and_shows_no_secret(daemons, tmp_path, grib):
    tokens = all_roles(tmp_path)
    tokens.add("rotator", "ingest,admin")
    cluster = cluster_with_tokens(daemons, tokens)
    files = sorted(grib.GRIB_DIR.glob("*.grib2"))[:3]
    client = Client(cluster.indexer, cluster.nodes[0])

    # Without a token, or with the wrong one, the command says so and is refused.
    for name in (None, "read"):
        if name is not None:
            client.environment["GRIBSTORE_TOKEN_FILE"] = str(tokens.secret_file(name))
        refused = client.run("put", "--source", "tok", files[0], expected=6)
        assert b"token" in refused.stderr
    client.environment["GRIBSTORE_TOKEN_FILE"] = str(tokens.secret_file("ingest"))
    client.run("put", "--source", "tok", *files)
    count = sum(len(grib.split_grib(file)) for file in files)
    def stored():
        runs = cluster.indexer.json("/v1/runs?source=tok", headers=tokens.header("read"))["runs"]
        return sum(run["messages"] for run in runs) == count and runs
    runs = await_condition(stored, "all is indexed", 60)
    for run in runs:
        time_text = run["base_time"].replace("-", "").replace(":", "")[:13] + "Z"
        digests = {line["digest"] for line in cluster.indexer.json(
            f"/v1/fields?source=tok&base_time={run['base_time']}&limit=10000", headers=tokens.header("read"))["fields"]}
        def checked(time_text=time_text, digests=digests):
            found = cluster.indexer.post(f"/v1/runs/tok/{time_text}/check", json={"digests": sorted(digests)}, headers=tokens.header("read"))
            assert found.status_code == 200, found.text
            return found.json()["missing"] == [] and found.json()["under_replicated"] == []
        await_condition(checked, "two copies of each message are in the index", 60)
    client.environment["GRIBSTORE_TOKEN_FILE"] = str(tokens.secret_file("read"))
    listed = client.run("query", "source=tok", "--json").stdout.splitlines()
    assert len(listed) >= count
    got = tmp_path / "got"
    client.run("get", "source=tok", "-o", got)
    assert {hashlib.sha256(each.data).hexdigest() for each in grib.split_grib(got)} == {
        hashlib.sha256(each.data).hexdigest() for file in files for each in grib.split_grib(file)}
    assert client.run("runs").stdout and client.run("status", expected=None).returncode in (0, 1)
    assert b"token" in client.run("check", expected=6).stderr
    client.environment["GRIBSTORE_TOKEN_FILE"] = str(tokens.secret_file("admin"))
    client.run("check", "--settle", "500ms")
    client.environment["GRIBSTORE_TOKEN_FILE"] = str(tokens.secret_file("read"))
    client.run("rotate", "--source", "tok", "--grace", "0s", files[0], expected=6)
    client.environment["GRIBSTORE_TOKEN_FILE"] = str(tokens.secret_file("rotator"))
    client.run("rotate", "--source", "tok", "--keep", "1", "--grace", "0s", *files)
    states = {run["state"] for run in cluster.indexer.json("/v1/runs?source=tok", headers=tokens.header("read"))["runs"]}
    assert "ready" in states, states

    daemons_all = [*cluster.nodes, cluster.indexer]
    for daemon in daemons_all:
        for path in ("/metrics", "/nothing", "/healthz", "/readyz"):
            answers = [daemon.get(path, headers=tokens.header("read")), daemon.get(path, headers={"Authorization": "Bearer gst_wrong"}),
                       daemon.get(f"{path}?access_token={tokens.secrets['read']}")]
            for answer in answers:
                assert_no_secret(answer.text + str(answer.headers), tokens)
        assert_no_secret(daemon.output(), tokens)
        pid = daemon.process.pid
        assert_no_secret(pathlib.Path(f"/proc/{pid}/cmdline").read_text(), tokens)
        assert_no_secret(pathlib.Path(f"/proc/{pid}/environ").read_text(), tokens)
    metrics = cluster.nodes[0].get("/metrics", headers=tokens.header("read")).text
    assert re.search(r'gribstore_http_token_requests_total\{token="cluster"\} [1-9]', metrics)
    assert re.search(r'gribstore_http_denied_total\{reason="unknown-token"\} [1-9]', metrics)
    await_condition(lambda: re.search('token="?ingest', cluster.nodes[0].output()), "the access log says by which token")


def assert_no_secret(text, tokens):
    for name, secret in tokens.secrets.items():
        assert secret not in text, name
        assert hashlib.sha256(secret.encode()).hexdigest() not in text, name


def test_only_the_cluster_is_believed_about_epochs(daemons, tmp_path, grib):
    """Else anybody could have a node ask all others for a map that is not there, for good."""
    tokens = all_roles(tmp_path)
    node, other = cluster_with_tokens(daemons, tokens).nodes[:2]
    words = {"Gribstore-Cluster": node.json("/cluster/map", headers=tokens.header("read"))["cluster"]}

    def asked():
        found = re.search(r'requests_total\{handler="cluster-map",method="GET",code="200"\} (\d+)',
                          other.get("/metrics", headers=tokens.header("read")).text)
        return int(found.group(1)) if found else 0
    before = asked()
    for path, headers in (("/healthz", {}), ("/metrics", tokens.header("read")), ("/metrics", tokens.header("ingest"))):
        assert node.get(path, headers=words | headers | {"Gribstore-Epoch": "1000000"}).status_code == 200
    for number in range(3):  # each goes to the other too, behind what would have been asked
        put = node.put("/ingest/epochs/", message_of(grib, number), headers=tokens.header("ingest"))
        assert put.json()["messages"][0]["copies"] == 2
    assert asked() == before
    assert node.get("/metrics", headers=words | tokens.header("cluster") | {"Gribstore-Epoch": "1000"}).status_code == 200
    await_condition(lambda: asked() > before, "the node asks for the map it heard of")


def test_a_node_without_a_token_is_no_part_of_the_cluster(daemons, tmp_path, grib):
    tokens = all_roles(tmp_path)
    given = ["--tokens", tokens.file, "--node-token", tokens.secret_file("cluster")]
    nodes = [daemons.node("n1", arguments=given), daemons.node("n2", arguments=given[:2])]
    client = Client(node=nodes[0])
    client.environment["GRIBSTORE_TOKEN_FILE"] = str(tokens.secret_file("admin"))
    # n2 shows none: nobody tells it the runs' states, so it does not become ready, and says why.
    client.run("cluster", "init", "--wait", "1s", *[node.url for node in nodes], expected=5)
    for node in nodes:
        await_condition(lambda node=node: node.json("/cluster/map", headers=tokens.header("read"))["epoch"] > 0, "the map")
    await_condition(lambda: "token" in nodes[1].get("/readyz").text, "it says what it lacks")
    nodes[0].wait_ready()
    message = message_of(grib)
    # Nobody counts on it, and it takes nothing itself.
    answer = nodes[0].put("/ingest/a/", message, headers=tokens.header("ingest"))
    assert (answer.status_code, answer.json()["code"]) == (503, "too-few-copies"), answer.text
    answer = nodes[1].put("/ingest/b/", message, headers=tokens.header("ingest"))
    assert answer.status_code == 503, answer.text


def test_a_nodes_token_is_read_again(daemons, tmp_path, grib):
    tokens = all_roles(tmp_path)
    secret = tokens.secret_file("cluster")
    nodes = [daemons.node(f"n{number}", arguments=["--tokens", tokens.file, "--node-token", secret]) for number in (1, 2)]
    client = Client(node=nodes[0])
    client.environment["GRIBSTORE_TOKEN_FILE"] = str(tokens.secret_file("admin"))
    client.run("cluster", "init", *[node.url for node in nodes])
    for node in nodes:
        await_condition(lambda node=node: node.json("/cluster/map", headers=tokens.header("read"))["epoch"] > 0, "the map")
        node.wait_ready()
    # A new one is made known everywhere, shown everywhere, and then the old one is taken away.
    tokens.add("cluster2", "node,admin")
    for node in nodes:
        hangup(node, "tokens: read again")
    secret.write_text(tokens.secrets["cluster2"] + "\n")
    for node in nodes:
        hangup(node, "node token: read again")
    lines = tokens.file.read_text().splitlines(keepends=True)
    tokens.file.write_text("".join(line for line in lines if not line.startswith("cluster ")))
    for node in nodes:
        hangup(node, "tokens: read again")
        answer = node.put(f"/ingest/{node.name}/", message_of(grib), headers=tokens.header("ingest"))
        assert answer.status_code == 201 and answer.json()["messages"][0]["copies"] == 2, answer.text


# --- certificates ---

def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=True, timeout=60)


def certificate(folder, name, *more):
    """A key and a certificate of our own CA; the SHA-256 of its DER form."""
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={name}")
    (folder / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    openssl(folder, "x509", "-in", f"{name}.pem", "-outform", "DER", "-out", f"{name}.der")
    return hashlib.sha256((folder / f"{name}.der").read_bytes()).hexdigest()


def test_a_clients_certificate_counts_as_its_token(daemons, tmp_path, grib):
    openssl(tmp_path, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA")
    tokens = all_roles(tmp_path)
    prints = {name: certificate(tmp_path, name) for name in ("server", "job", "stranger")}
    with open(tokens.file, "a") as file:
        file.write(f"job cert:{prints['job']} ingest sources=hres\n")
        # The hash of a token that is a certificate's fingerprint is no token's, and the other way round.
        file.write(f"odd sha256:{prints['stranger']} admin\n")
    node = daemons.node(ready=False, arguments=[
        "--tokens", tokens.file, "--tls-cert", tmp_path / "server.pem", "--tls-key", tmp_path / "server.key",
        "--tls-client-ca", tmp_path / "ca.pem", "--url", "https://127.0.0.1:1"])
    url = f"https://{node.listen}"
    message = message_of(grib)

    def ask(method, path, name=None, **options):
        shown = None if name is None else (str(tmp_path / f"{name}.pem"), str(tmp_path / f"{name}.key"))
        return requests.request(method, url + path, cert=shown, verify=str(tmp_path / "ca.pem"), timeout=60, **options)

    def answers():
        try:
            return ask("GET", "/readyz").status_code == 200
        except requests.ConnectionError:
            return False
    await_condition(answers, "https is served and the node is ready")
    assert ask("PUT", "/ingest/hres/", "job", data=message).status_code == 201
    assert ask("PUT", "/ingest/gfs/", "job", data=message).status_code == 403
    assert ask("GET", "/metrics", "job").status_code == 200
    for name in (None, "stranger", "server"):
        assert ask("GET", "/metrics", name).status_code == 401, name
    # Who shows both is who his token says.
    assert ask("PUT", "/ingest/gfs/", "job", data=message, headers=tokens.header("ingest")).status_code == 201
    assert ask("GET", "/metrics", "job", headers={"Authorization": "Bearer gst_wrong"}).status_code == 401
    assert ask("GET", "/metrics", headers=tokens.header("read")).status_code == 200
