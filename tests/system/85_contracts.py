"""The shapes that processes, scripts and clients share, sentence by sentence, against real processes.

Every answer in this file is also held against the page that its daemon serves (openapi.py). What is compared with is
cut, hashed and parsed here, in Python, apart from any code of the project. Of the codes of errors these can't be
provoked from outside yet and are not in here: unauthorized, forbidden, limited (no tokens), draining (a daemon that
leaves closes its connections).
"""

import hashlib
import http.server
import json
import math
import os
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time
import types

import pytest
import requests

from conftest import Daemons
from mongod import die_with_parent, free_port
from openapi import api_checked, api_watch  # noqa: F401
from processes import BIN, LEAK_FREE, ROOT, Client, Cluster, Indexer, Node, await_condition

pytestmark = pytest.mark.usefixtures("api_checked")

SHARDS = 32
DAY = "2020-01-02T03:00:00Z"
COMPACT = "20200102T0300Z"
PUT_MEMBERS = {"source", "messages", "stored", "known", "skipped"}
LINE_MEMBERS = {"digest", "base_time", "length", "new", "copies", "stored_at", "locations"}
STATE_MEMBERS = {"source", "base_time", "incarnation", "version", "state"}
RUN_MEMBERS = STATE_MEMBERS | {"messages", "fields", "bytes", "quarantined", "fingerprint"}


# --- what is sent ---

def small_message(number=0, year=2020, second=0):
    """An edition 2 message that frames and has a date; nobody could decode it."""
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + year.to_bytes(2, "big") + bytes([1, 2, 3, 0, second]) + bytes(2)
    body = section1 + number.to_bytes(8, "big")
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


def digest(data):
    return hashlib.sha256(data).hexdigest()


def sections2(message):
    """Number and bytes of the sections of an edition 2 message, section 0 and the end left out."""
    at = 16
    while message[at:at + 4] != b"7777":
        length = int.from_bytes(message[at:at + 4], "big")
        yield message[at + 4], message[at:at + length]
        at += length


def rebuild2(message, change):
    """The message with sections as change(number, bytes) gives them."""
    body = b"".join(change(number, data) for number, data in sections2(message))
    return message[:8] + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


def with_other_values(message):
    """Another issue of the same field: one byte of the packed values differs."""
    def change(number, data):
        return data[:-1] + bytes([data[-1] ^ 0x10]) if number == 7 else data
    return rebuild2(message, change)


def with_step_of_minutes(message, minutes):
    def change(number, data):
        return data[:17] + b"\x00" + minutes.to_bytes(4, "big") + data[22:] if number == 4 else data
    return rebuild2(message, change)


def heads_of(message):
    """The heads of a message's fields, cut here."""
    if message[7] == 1:
        at = 8 + int.from_bytes(message[8:11], "big")
        head = message[:at]
        if message[15] & 0x80:
            size = int.from_bytes(message[at:at + 3], "big")
            head += message[at:at + size]
            at += size
        if message[15] & 0x40:
            at += int.from_bytes(message[at:at + 3], "big")
        return [head + message[at:at + 11]]
    heads, now = [], {}
    for number, data in sections2(message):
        now[number] = data
        if number == 7:
            heads.append(message[:16] + b"".join(now.get(place, b"") for place in (1, 2, 3, 4, 5)) + now[6][:6])
    return heads


def parse_heads(body, count):
    """The answer of /cluster/heads: a list of heads for each record."""
    records, at = [], 0
    for _ in range(count):
        fields = struct.unpack_from(">H", body, at)[0]
        at += 2
        heads = []
        for _ in range(fields):
            size = struct.unpack_from(">I", body, at)[0]
            heads.append(body[at + 4:at + 4 + size])
            at += 4 + size
        records.append(heads)
    assert at == len(body), "bytes behind the last record"
    return records


def set_hash(digests):
    return f"{sum(int(text, 16) for text in digests) % (1 << 256):064x}"


def fingerprint(digests):
    return f"{len(set(digests))}-{set_hash(set(digests))}"


def seconds(text):
    return int(time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone)


def field_id(source, base_time, identity):
    """FORMATS.md section 9."""
    return source.encode() + b"\0" + ((seconds(base_time) ^ (1 << 63)) % (1 << 64)).to_bytes(8, "big") + bytes.fromhex(identity)


def compact(text):
    whole = text.replace("-", "").replace(":", "").removesuffix("Z")
    return (whole[:-2] if whole.endswith("00") else whole) + "Z"


def shard_of(text, shards=SHARDS):
    return int(text, 16) >> (256 - int(math.log2(shards)))


def read_location(location):
    first, last = location["offset"], location["offset"] + location["length"] - 1
    answer = requests.get(location["url"], headers={"Range": f"bytes={first}-{last}"}, timeout=60)
    assert answer.status_code == 206, answer.text
    return answer.content


def make_map(nodes, cluster, epoch=1, replicas=2, min_replicas=2):
    """nodes: (id, url); each shard on all of the first `replicas`, turned round."""
    names = [name for name, _ in nodes]
    return {
        "cluster": cluster, "epoch": epoch, "shards": SHARDS, "replicas": replicas, "min_replicas": min_replicas, "indexers": [],
        "nodes": [{"id": name, "url": url, "host": name, "colo": "a", "weight": 100, "state": "in"} for name, url in nodes],
        "eras": [{"from": None, "owners": [[names[(shard + copy) % len(names)] for copy in range(replicas)]
                                           for shard in range(SHARDS)]}],
    }


def put_file(node, source, data):
    answer = node.put(f"/ingest/{source}/", data)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def problem_of(answer, status, code):
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()


# --- who is asked ---

@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = Daemons(tmp_path_factory.mktemp("contracts"))
    yield found
    found.stop()


@pytest.fixture(scope="module")
def world(running, grib):
    """Three nodes and an indexer that have some real files; and one node alone, without an indexer."""
    cluster = running.cluster()
    files = {"nam": "nam-multi-field.grib2", "ens": "ens_50.grib", "flux": "gfs-flux.grib2", "both": "t_on_different_level_types.grib"}
    answers = {source: put_file(cluster.nodes[0], source, (grib.GRIB_DIR / name).read_bytes()) for source, name in files.items()}
    for source, name in files.items():
        cluster.indexer.await_messages(source, grib.manifest()[name]["messages"], copies=2)
    return types.SimpleNamespace(cluster=cluster, nodes=cluster.nodes, indexer=cluster.indexer, client=cluster.client, files=files,
                                 answers=answers, alone=running.node("alone"), grib=grib)


@pytest.fixture
def alone(world):
    return world.alone


@pytest.fixture
def indexer(world):
    """Instead of the one of conftest.py: that of the cluster."""
    return world.indexer


class Listener:
    """An HTTP server of the test: answers with what a function says, and keeps what it was asked."""

    def __init__(self, answer):
        self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(handler):
                body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
                self.asked.append((handler.command, handler.path, dict(handler.headers.items()), body))
                status, headers, data = answer(handler)
                handler.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    handler.send_header(name, value)
                handler.end_headers()
                handler.wfile.write(b"" if handler.command == "HEAD" else data)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """Connections of a test are cut when it ends."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def help_of(program, *arguments):
    return subprocess.run([str(BIN / program), *arguments, "--help"], capture_output=True, check=True, timeout=60).stdout.decode()


def option_of(text, name):
    """What --help says of one option, in one line."""
    options = re.split(r"^  (?:    |-\w, )(?=--)", text.split("Options:\n", 1)[1], flags=re.MULTILINE)
    found = next(option for option in options if re.match(rf"--(\[no-\])?{name}(?![\w-])", option))
    return " ".join(found.split())


# --- addresses and flags ---

def test_default_addresses():
    assert "(default: 127.0.0.1:8410)" in option_of(help_of("storaged"), "listen")
    assert "(default: 127.0.0.1:8400;" in option_of(help_of("indexer"), "listen")
    assert "http://127.0.0.1:8410" in option_of(help_of("indexer"), "node")
    for command in (["put"], ["get"], ["query"], ["runs"], ["rotate"], ["purge"], ["status"], ["cluster", "show"], ["cluster", "init"]):
        text = help_of("gribstore", *command)
        assert "(default: http://127.0.0.1:8400; environment: GRIBSTORE_INDEXER)" in option_of(text, "indexer"), command
        assert "(default: http://127.0.0.1:8410; environment: GRIBSTORE_NODE)" in option_of(text, "node"), command


def test_the_demonstration_uses_8410_to_8412():
    script = (ROOT / "ops/run").read_text()
    assert "INDEXER=http://127.0.0.1:$((8400 + SHIFT)) NODE=http://127.0.0.1:$((8410 + SHIFT))" in script
    ports = re.search(r"^declare -rA PORTS=\((.*)\)$", (ROOT / "ops/cluster").read_text(), flags=re.MULTILINE).group(1)
    assert dict(re.findall(r"\[(\w+)\]=\$\(\((\d+) \+ SHIFT\)\)", ports)).items() >= {
        "n1": "8410", "n2": "8411", "n3": "8412", "indexer": "8400"}.items()


def test_times_and_digests_as_text(alone):
    """RFC 3339 in JSON, the compact form in paths, either in what is asked; digests in lower case."""
    line, = alone.put("/ingest/text/", small_message(1)).json()["messages"]
    exact, = alone.put("/ingest/text/", small_message(2, second=7)).json()["messages"]
    assert (line["base_time"], exact["base_time"]) == (DAY, "2020-01-02T03:00:07Z")
    for told, path in ((line, COMPACT), (exact, "20200102T030007Z")):
        assert told["locations"][0]["url"].startswith(f"{alone.url}/data/text/{path}/")
        assert alone.json(f"/data/text/{path}/") == alone.json(f"/data/text/{told['base_time']}/")
        question = {"source": "text", "digests": [told["digest"]]}
        for text in (path, told["base_time"]):
            assert alone.post("/have", json={**question, "base_time": text}).json()["missing"] == []
    assert re.fullmatch("[0-9a-f]{64}", line["digest"])
    problem_of(alone.get(f"/sha256/{line['digest'].upper()}"), 400, "bad-value")
    problem_of(alone.get(f"/sha256/{line['digest'][:-1]}"), 400, "bad-value")


def test_the_daemons_have_their_flags():
    text = help_of("storaged")
    for name in ("data DIR", "listen", "id", "url", "host", "colo", "weight", "join URL,...", "config", "check-config", "insecure"):
        assert f"--{name}" in text, name
    text = help_of("indexer")
    for name in ("listen", "catalog", "node URL", "config"):
        assert f"--{name}" in text, name
    assert "sqlite:FILE" in option_of(text, "catalog") and "mongodb://" in option_of(text, "catalog")


def start_refused(*arguments):
    done = subprocess.run([str(BIN / "storaged"), *map(str, arguments)], capture_output=True, timeout=60, check=False,
                          env={**LEAK_FREE, "PATH": "/usr/bin"})
    return done.returncode, done.stderr.decode()


def test_a_nodes_name_is_random_and_kept_and_its_url_is_not_changed(daemons, tmp_path):
    names = set()
    for place in range(2):
        node = Node(f"d{place}", tmp_path)
        at = node.command.index("--id")
        del node.command[at:at + 2]
        daemons.begin(node)
        names.add(node.json("/readyz")["node"])
        assert json.loads((node.data / "node.json").read_text())["id"] in names
    assert len(names) == 2
    assert node.restart().json("/readyz")["node"] in names
    kept = json.loads((node.data / "node.json").read_text())
    assert kept["url"] == node.url and kept["format"] == 1
    node.stop()
    assert json.loads((node.data / "node.json").read_text()) == kept
    code, told = start_refused("--data", node.data, "--listen", node.listen, "--url", "http://127.0.0.1:1")
    assert code != 0 and "cluster rename" in told, told


def test_check_config_says_what_is_wrong_and_leaves(tmp_path):
    code, _ = start_refused("--data", tmp_path / "c", "--check-config")
    assert (code, (tmp_path / "c").exists()) == (0, False)
    assert start_refused("--data", tmp_path / "c", "--check-config", "--weight", "0")[0] == 2
    file = tmp_path / "storaged.conf"
    file.write_text("[node]\nweight = 7\n")  # the unit gives --data
    assert start_refused("--check-config", "--config", file)[0] == 0
    code, told = start_refused("--data", tmp_path / "c", "--check-config", "--listen", "0.0.0.0:0")
    assert code == 2 and "--insecure" in told
    assert start_refused("--data", tmp_path / "c", "--check-config", "--listen", "0.0.0.0:0", "--url", "http://h:1", "--insecure")[0] == 0


# --- the answer to a PUT ---

def check_put_answer(answer, source, messages, new, members=frozenset()):
    told = answer.json()
    assert answer.status_code == (201 if new else 200)
    assert answer.headers["Content-Type"] == "application/json"
    assert set(told) == PUT_MEMBERS
    assert (told["source"], told["stored"], told["known"]) == (source, *((len(messages), 0) if new else (0, len(messages))))
    assert [line["digest"] for line in told["messages"]] == [digest(message) for message in messages]
    for line, message in zip(told["messages"], messages):
        assert set(line) == LINE_MEMBERS | members
        assert (line["length"], line["new"]) == (len(message), new)
        assert line["base_time"].endswith("Z") and isinstance(line["stored_at"], int)
        assert len(line["locations"]) <= line["copies"]
        for location in line["locations"]:
            assert set(location) == {"url", "offset", "length"}
            assert read_location(location) == message
    return told


@pytest.mark.parametrize("first, path", list(enumerate(["/ingest/answer", "/ingest/answer/", "/ingest/answer/file.grib",
                                                         "/replica/answer"])))
def test_the_answer_to_a_put(alone, first, path):
    messages = [small_message(10 * first + number) for number in range(3)]
    for new in (True, False):
        answer = alone.put(path, b"".join(messages))
        copy = path.startswith("/replica/")  # of a run's incarnation, for whoever tells the next owner
        told = check_put_answer(answer, "answer", messages, new, {"incarnation"} if copy else set())
        assert not copy or (answer.headers["Gribstore-Epoch"], {line["incarnation"] for line in told["messages"]}) == ("0", {1})
        assert told["skipped"] == [] and "Location" not in answer.headers
        assert {line["base_time"] for line in told["messages"]} == {DAY}


def test_a_put_on_a_cluster_names_every_copy(world):
    message = small_message(77)
    for turn, node in enumerate(world.nodes):
        told = check_put_answer(node.put("/ingest/copies/", message), "copies", [message], turn == 0)
        line = told["messages"][0]
        assert line["copies"] == len({location["url"].split("/data/")[0] for location in line["locations"]}) == 2


def test_a_location_only_for_one_message(alone):
    message = small_message(5001)
    path = f"/sha256/{digest(message)}?source=one"
    for new in (True, False):
        answer = alone.put(path, message)
        check_put_answer(answer, "one", [message], new)
        assert answer.headers["Location"] == f"{alone.url}/sha256/{digest(message)}"
    assert requests.get(answer.headers["Location"], timeout=60).content == message
    assert "Location" in alone.put("/replica/one", small_message(5002)).headers
    assert "Location" not in alone.put("/ingest/one/", small_message(5003) + small_message(5004)).headers


def test_a_summary_leaves_messages_out(alone):
    body = b"\r\r\n" + small_message(5101) + bytes(7) + small_message(5102)
    gaps = [{"offset": 0, "length": 3}, {"offset": 3 + len(small_message()), "length": 7}]
    for path in ("/ingest/summary/?answer=summary", "/replica/summary?answer=summary"):
        told = alone.put(path, body)
        new = "ingest" in path
        assert told.status_code == (201 if new else 200)
        assert told.json() == {"source": "summary", "stored": 2 if new else 0, "known": 0 if new else 2, "skipped": gaps}


def test_the_answer_comes_after_the_last_message(alone):
    first, last = small_message(5201), small_message(5202)
    with socket.create_connection(alone.listen.split(":"), timeout=60) as connection:
        connection.sendall(b"PUT /ingest/late/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (len(first) + len(last)))
        connection.sendall(first + last[:-1])
        await_condition(lambda: alone.get(f"/sha256/{digest(first)}").status_code == 200, "the first one is stored")
        assert select.select([connection], [], [], 0)[0] == []
        connection.sendall(last[-1:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")


def test_an_error_behind_a_stored_message_carries_what_was_stored(alone, daemons):
    good = [small_message(5300 + number) for number in range(3)]
    size = len(good[0])

    def check(answer, status, code, known=0):
        problem = problem_of(answer, status, code)
        assert PUT_MEMBERS <= set(problem), problem
        assert problem["stored"] + problem["known"] == len(problem["messages"]) == 3
        assert problem["known"] == known
        assert [line["digest"] for line in problem["messages"]] == [digest(message) for message in good]
        return problem

    assert check(alone.put("/ingest/part/", b"".join(good) + b"GRIB\0\0\0\7" + bytes(40)), 422, "bad-grib")["offset"] == 3 * size
    assert check(alone.put("/ingest/part/", b"".join(good) + small_message(year=0)), 422, "bad-date", 3)["offset"] == 3 * size
    told = alone.put("/ingest/part/?answer=summary", b"".join(good) + small_message()[:-1])
    problem = problem_of(told, 422, "bad-grib")
    assert (problem["stored"], problem["known"], "messages" in problem) == (0, 3, False)

    retired = {"incarnation": 1, "version": 1, "state": "retired"}
    assert alone.put("/cluster/runs/part/20190102T0300Z", json.dumps(retired)).status_code == 200
    assert check(alone.put("/ingest/part/", b"".join(good) + small_message(year=2019)), 410, "run-retired", 3)["offset"] == 3 * size

    little = daemons.node("little", arguments=["--body-max", str(4 * size)])
    answer = little.put("/ingest/part/", iter([*good, small_message(9), small_message(10)]))
    problem = problem_of(answer, 413, "too-large")
    assert PUT_MEMBERS <= set(problem) and problem["stored"] == len(problem["messages"]) >= 3


def test_a_replica_has_the_senders_stamps_and_the_runs_incarnation(alone):
    messages = [small_message(5400 + number) for number in range(4)]
    stamp = 1_700_000_000_000_000
    answer = alone.put("/replica/stamps", b"".join(messages), headers={"Gribstore-Stored-At": str(stamp), "Gribstore-Incarnation": "3"})
    assert [line["stored_at"] for line in answer.json()["messages"]] == [stamp + number for number in range(4)]
    # The lower side takes over the higher incarnation, and refuses a lower one.
    assert alone.json(f"/cluster/runs/stamps/{COMPACT}")["incarnation"] == 3
    stale = alone.put("/replica/stamps", messages[0], headers={"Gribstore-Incarnation": "2"})
    assert problem_of(stale, 409, "stale-run")["code"] == "stale-run"


# --- fields ---

def check_document(world, document):
    assert isinstance(document["param"], str) and isinstance(document["paramId"], int)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["base_time"])
    assert isinstance(document["step"], (int, float)) and not isinstance(document["step"], bool)
    assert document["step_seconds"] == document["step"] * 3600
    assert seconds(document["valid_time"]) == seconds(document["base_time"]) + document["step_seconds"]
    assert isinstance(document["stepRange"], str)
    assert isinstance(document["levtype"], str) and isinstance(document["typeOfLevel"], str)
    assert isinstance(document.get("level", 0), (int, float))
    assert isinstance(document["stored_at"], int) and document["stored_at"] > 1_600_000_000_000_000
    assert document["incarnation"] == 1 and document["older"] == []
    assert len(document["locations"]) == len({location["node"] for location in document["locations"]})
    for location in document["locations"]:
        assert set(location) == {"url", "offset", "length", "node", "file"}
        assert location["length"] == document["length"]
        node = next(node for node in world.nodes if node.name == location["node"])
        assert location["url"] == f"{node.url}/data/{document['source']}/{compact(document['base_time'])}/{location['file']}"


def test_field_documents(world):
    for source, name in world.files.items():
        expected = {(row["digest"], row["sub"]): row for row in world.grib.fields(name)}
        documents = world.indexer.fields(source=source)
        assert len(documents) == len(expected)
        for document in documents:
            check_document(world, document)
            row = expected.pop((document["digest"], document["sub"]))
            assert document["length"] == row["length"]
            assert bytes.fromhex(document["id"]) == field_id(source, document["base_time"], row["identity"])
        stamps = {line["digest"]: line["stored_at"] for line in world.answers[source]["messages"]}
        assert all(document["stored_at"] == stamps[document["digest"]] for document in documents)
    for document in documents[:2]:
        for location in document["locations"]:
            assert digest(read_location(location)) == document["digest"]


def test_keys_stand_where_a_field_has_them_and_only_there(world):
    ensemble = world.indexer.fields(source="ens")
    assert sorted(field["number"] for field in ensemble) == list(range(51))
    flux = world.indexer.fields(source="flux")
    assert not any("number" in field for field in flux)
    nam = world.indexer.fields(source="nam", levtype="pl")
    assert nam and all(field["levelist"] == field["level"] for field in nam)
    assert not any("levelist" in field for field in world.indexer.fields(source="nam", levtype="sfc"))
    # sub counts the fields of a message.
    subs = {}
    for field in world.indexer.fields(source="nam"):
        subs.setdefault(field["digest"], []).append(field["sub"])
    assert {tuple(sorted(places)) for places in subs.values()} == {(1,), (1, 2)}


def test_a_step_that_is_no_whole_hour(world):
    message = world.grib.split_grib(world.grib.GRIB_DIR / "regular_latlon_surface.grib2")[0].data
    world.nodes[0].put("/ingest/minutes/", with_step_of_minutes(message, 90))
    world.indexer.await_messages("minutes", 1, copies=2)
    field, = world.indexer.fields(source="minutes")
    assert (field["step"], field["step_seconds"], field["stepRange"]) == (1.5, 5400, "90m")
    for step in ("1.5", "90m"):
        assert world.indexer.fields(source="minutes", step=step) == [field]
    assert world.indexer.fields(source="minutes", step="90") == []


def test_the_query_of_a_service(world):
    known = world.indexer.fields(source="flux")[0]
    query = {"param": known["param"], "base_time": known["base_time"], "source": "flux", "limit": "1000"}
    answer = world.indexer.json("/v1/fields", params=query)
    assert set(answer) == {"fields", "next"} and answer["next"] is None and known in answer["fields"]
    query["base_time"] = compact(known["base_time"])
    assert world.indexer.json("/v1/fields", params=query) == answer
    problem_of(world.indexer.get("/v1/fields", params={"limit": "10001"}), 400, "bad-value")
    assert world.indexer.get("/v1/fields", params={"limit": "10000"}).status_code == 200


def test_pages_are_joined_by_cursors(world):
    whole = world.indexer.json("/v1/fields", params={"source": "ens", "limit": "10000"})["fields"]
    pages, cursor = [], None
    while True:
        page = world.indexer.json("/v1/fields", params={"source": "ens", "limit": "20", **({"cursor": cursor} if cursor else {})})
        pages.append(page["fields"])
        cursor = page["next"]
        if cursor is None:
            break
        assert isinstance(cursor, str)
    assert [len(page) for page in pages] == [20, 20, 11]
    assert sum(pages, []) == whole
    lines = world.indexer.get("/v1/fields?source=ens&format=ndjson")
    assert [json.loads(line) for line in lines.content.splitlines()] == whole


def test_an_issue_that_was_superseded_is_older(world):
    message = world.grib.split_grib(world.grib.GRIB_DIR / "regular_latlon_surface.grib2")[0].data
    issues = [message, with_other_values(message)]
    stamps = [world.nodes[0].put("/ingest/issue/", issue).json()["messages"][0]["stored_at"] for issue in issues]
    world.indexer.await_messages("issue", 2)

    def newest():
        found = world.indexer.fields(source="issue")
        return found if [field["digest"] for field in found] == [digest(issues[1])] else None
    document, = await_condition(newest, "the newer issue is the current one")
    older, = document["older"]
    assert (document["stored_at"], older["stored_at"]) == (stamps[1], stamps[0])
    assert {"digest", "sub", "length", "stored_at", "locations"} <= set(older)
    assert (older["digest"], older["length"]) == (digest(message), len(message))
    assert read_location(older["locations"][0]) == message
    both = world.indexer.fields(source="issue", all="1")
    assert [field["digest"] for field in both] == [digest(issues[1]), digest(message)]
    assert len({field["id"] for field in both}) == 1


def test_documents_in_mongodb(daemons, mongod, grib):
    import bson
    import pymongo
    from bson.codec_options import CodecOptions

    node = daemons.node()
    catalog = mongod.replace("/?", "/gribstore?")
    indexer = daemons.indexer([node], catalog=catalog)
    for name in ("t_on_different_level_types.grib", "ens_50.grib"):
        put_file(node, "mongo", (grib.GRIB_DIR / name).read_bytes())
    indexer.await_messages("mongo", 53)
    answers = {field["id"]: field for field in indexer.fields(source="mongo")}
    with pymongo.MongoClient(catalog) as client:
        raw = list(client["gribstore"].get_collection("fields", codec_options=CodecOptions(document_class=bson.raw_bson.RawBSONDocument)).find())
        found = client["gribstore"]["fields"].find_one({"param": answers[min(answers)]["param"]})
        assert found is not None and found["locations"][0]["url"].startswith(node.url)
    assert len(raw) == len(answers) == 53
    for document in raw:
        # Elements by their types on the wire: 5 binary, 9 date, 18 (0x12) a 64-bit integer.
        kinds = element_kinds(document.raw)
        answer = answers[bytes(document["_id"]).hex()]
        assert kinds["_id"] == 5
        assert (kinds["base_time"], kinds["valid_time"]) == (9, 9)
        assert (kinds["length"], kinds["stored_at"]) == (0x12, 0x12)
        location = document["locations"][0]
        kinds = element_kinds(location.raw)
        assert (kinds["offset"], kinds["length"]) == (0x12, 0x12)
        plain = bson.decode(document.raw)
        assert plain["base_time"].strftime("%Y-%m-%dT%H:%M:%SZ") == answer["base_time"]
        assert plain["valid_time"].strftime("%Y-%m-%dT%H:%M:%SZ") == answer["valid_time"]
        for key in ("digest", "sub", "length", "stored_at", "param", "paramId", "step", "source", "older", "locations"):
            assert plain[key] == answer[key], key
        assert "id" not in plain


def element_kinds(raw):
    """Types of the elements of a BSON document, by the specification."""
    sizes = {0x01: 8, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8}
    kinds, at = {}, 4
    while raw[at] != 0:
        kind, end = raw[at], raw.index(b"\0", at + 1)
        kinds[raw[at + 1:end].decode()] = kind
        at = end + 1
        size = int.from_bytes(raw[at:at + 4], "little")
        at += sizes.get(kind, {0x02: 4 + size, 0x03: size, 0x04: size, 0x05: 5 + size}.get(kind, 0))
    return kinds


# --- runs ---

def test_runs(world):
    runs = world.indexer.json("/v1/runs")["runs"]
    assert {run["source"] for run in runs} >= set(world.files)
    assert [(run["source"], run["base_time"]) for run in runs] == sorted((run["source"], run["base_time"]) for run in runs)
    for source, name in world.files.items():
        messages = world.grib.split_grib(world.grib.GRIB_DIR / name)
        run, = world.indexer.runs(source=source)
        assert set(run) == RUN_MEMBERS
        assert (run["incarnation"], run["version"], run["state"], run["quarantined"]) == (1, 0, "filling", 0)
        assert run["messages"] == len(messages)
        assert run["fields"] == world.grib.manifest()[name]["fields"]
        assert run["bytes"] == sum(message.length for message in messages)
        assert run["fingerprint"] == fingerprint([message.digest for message in messages])
        assert world.indexer.json(f"/v1/runs/{source}/{compact(run['base_time'])}") == run
        assert world.indexer.json(f"/v1/runs/{source}/{run['base_time']}") == run
    problem_of(world.indexer.get("/v1/runs/nobody/20200101T0000Z"), 404, "not-found")


def test_what_is_missing_in_the_index(world):
    run, = world.indexer.runs(source="ens")
    path = f"/v1/runs/ens/{compact(run['base_time'])}/check"
    known = [message.digest for message in world.grib.split_grib(world.grib.GRIB_DIR / "ens_50.grib")]
    absent = [digest(b"1"), digest(b"2")]
    answer = world.indexer.post(path, json={"digests": [absent[1], *known, absent[0]]})
    assert answer.json() == {"missing": [absent[1], absent[0]], "under_replicated": [], "quarantined": []}
    too_many = world.indexer.post(path, data='{"digests":[' + ",".join([f'"{known[0]}"'] * 100_001) + "]}")
    problem_of(too_many, 413, "too-large")
    limit = world.indexer.post(path, data='{"digests":[' + ",".join([f'"{known[0]}"'] * 100_000) + "]}")
    assert limit.json()["missing"] == []
    # One copy where the map says two; and one that nobody can decode, there all the same.
    odd, base = small_message(31), f"/v1/runs/odd/{COMPACT}"
    assert world.nodes[0].put("/replica/odd", odd).status_code == 201
    await_condition(lambda: world.indexer.get(base).status_code == 200 and world.indexer.json(base)["quarantined"] == 1, "it is quarantined")
    answer = world.indexer.post(f"{base}/check", json={"digests": [digest(odd)]})
    assert answer.json() == {"missing": [], "under_replicated": [digest(odd)], "quarantined": [digest(odd)]}


def test_a_runs_states(world):
    message = world.grib.split_grib(world.grib.GRIB_DIR / "regular_latlon_surface.grib2")[0]
    world.nodes[0].put("/ingest/states/", message.data)
    base_time = world.indexer.await_messages("states", 1, copies=2)[0]["base_time"]
    path = f"/v1/runs/states/{compact(base_time)}"

    def change(verb, state, incarnation, version):
        answer = world.indexer.post(f"{path}/{verb}")
        assert answer.status_code == 200, answer.text
        run = answer.json()
        assert set(run) - {"ready_at", "retired_at", "purged_at"} == RUN_MEMBERS
        assert (run["state"], run["incarnation"], run["version"]) == (state, incarnation, version)
        return run

    problem_of(world.indexer.post("/v1/runs/nobody/20200101T0000Z/ready"), 404, "not-found")
    problem_of(world.indexer.post(f"{path}/reopen"), 409, "stale-run")
    assert change("ready", "ready", 1, 1)["fingerprint"] == fingerprint([message.digest])
    change("ready", "ready", 1, 1)
    change("retire?grace=1h", "retired", 1, 2)
    change("retire?grace=1h", "retired", 1, 2)
    problem_of(world.indexer.post(f"{path}/reopen"), 409, "stale-run")
    change("ready", "ready", 1, 3)
    change("retire?grace=0s", "retired", 1, 4)
    run = await_condition(lambda: next((run for run in world.indexer.runs(source="states", state="purged")), None), "it is purged")
    assert (run["messages"], run["fingerprint"], run["version"]) == (0, f"0-{0:064x}", 5)
    problem_of(world.indexer.post(f"{path}/ready"), 409, "stale-run")
    change("reopen", "filling", 2, 6)
    # Nodes are told; what comes again is of the next incarnation.
    for node in world.nodes:
        told = f"/cluster/runs/states/{compact(base_time)}"
        await_condition(lambda node=node: node.json(told)["incarnation"] == 2, f"{node.name} is told")
        assert set(node.json(told)) == STATE_MEMBERS
    world.nodes[1].put("/ingest/states/", message.data)
    world.indexer.await_messages("states", 1, copies=2)
    assert world.indexer.fields(source="states")[0]["incarnation"] == 2


# --- between processes ---

def cluster_headers(answer):
    return answer.headers.get("Gribstore-Cluster"), answer.headers.get("Gribstore-Epoch")


def test_answers_between_processes_name_cluster_and_epoch(world):
    held = world.nodes[0].json("/cluster/map")
    mine = (held["cluster"], str(held["epoch"]))
    node, run = world.nodes[0], f"ens/{compact(world.indexer.runs(source='ens')[0]['base_time'])}"
    listed = next(entry for entry in node.json("/cluster/runs")["runs"] if entry["source"] == "ens")
    asked = {"Gribstore-Cluster": mine[0], "Gribstore-Epoch": mine[1]}
    for path in ("/cluster/runs", f"/cluster/runs/{run}", f"/cluster/journal/{run}?journal={listed['journal']}", f"/cluster/shards/{run}",
                 "/cluster/map", "/cluster/shards/nobody/20200101T0000Z", f"/cluster/journal/{run}?journal={1:016x}"):
        assert cluster_headers(node.get(path)) == mine, path
    heads = node.post(f"/cluster/heads/{run}", json={"journal": listed["journal"], "records": []})
    assert cluster_headers(heads) == mine
    # Paths that anybody asks, when a process asks: nodes, and the indexer.
    for path in ("/sha256/" + digest(b"x"), "/healthz"):
        assert cluster_headers(node.get(path, headers=asked)) == mine
    assert cluster_headers(world.indexer.get("/v1/cluster/map", headers=asked)) == mine
    other = {**asked, "Gribstore-Cluster": "0" * 32}
    for path in ("/cluster/runs", f"/cluster/shards/{run}", "/sha256/" + digest(b"x")):
        problem_of(node.get(path, headers=other), 409, "other-cluster")
    problem_of(node.put("/replica/x", small_message(1), headers=other), 409, "other-cluster")
    problem_of(world.indexer.get("/v1/runs", headers=other), 409, "other-cluster")


def test_requests_between_processes_name_cluster_and_epoch(daemons, tmp_path):
    """A node and an indexer, and beside them a node that is this test."""
    real = daemons.node("real")
    cluster = real.json("/cluster/map")["cluster"]
    shared = {}

    def answer(handler):
        headers = {"Gribstore-Cluster": cluster, "Gribstore-Epoch": str(shared["map"]["epoch"]), "Content-Type": "application/json"}
        if handler.path == "/cluster/map":
            return 200, headers, json.dumps(shared["map"]).encode()
        if handler.path.startswith("/cluster/runs"):
            return 200, headers, b'{"seq": "0000000000000001.1", "full": true, "runs": []}'
        return 404, headers, b"{}"

    with Listener(answer) as fake:
        shared["map"] = make_map([("real", real.url), ("fake", fake.url)], cluster, epoch=7)
        assert real.put("/cluster/map", json.dumps(shared["map"])).status_code == 200
        problem_of(real.put("/ingest/asked/", small_message(1)), 503, "too-few-copies")
        by_node = len(fake.asked)
        indexer = daemons.indexer([real], ready=False)
        # The node looks at what it has; the indexer waits for news.
        await_condition(lambda: any(path.startswith("/cluster/runs") and "wait=0" not in path for _, path, _, _ in fake.asked), "the indexer follows the node")
        assert by_node > 0
        for place, (method, path, headers, _) in enumerate(fake.asked):
            # Whoever has no map yet has nothing to say of it.
            named = (headers.get("Gribstore-Cluster"), headers.get("Gribstore-Epoch"))
            assert named == (cluster, "7") or (place >= by_node and path == "/cluster/map"), (method, path, headers)
        replica = next(entry for entry in fake.asked if entry[1].startswith("/replica/asked"))
        assert replica[0] == "PUT" and replica[3] == small_message(1)
        assert int(replica[2]["Gribstore-Stored-At"]) > 1_600_000_000_000_000 and replica[2]["Gribstore-Incarnation"] == "1"
        # An answer with a higher epoch: whoever has the lower one fetches the map.
        shared["map"] = {**shared["map"], "epoch": 9}
        problem_of(real.put("/ingest/asked/", small_message(2)), 503, "too-few-copies")
        await_condition(lambda: real.json("/cluster/map")["epoch"] == 9, "the node has fetched the map")
        await_condition(lambda: indexer.json("/v1/cluster/map")["epoch"] == 9, "the indexer has fetched the map")
        indexer.stop()
        real.stop()


def test_the_lower_epoch_fetches_the_map(daemons):
    first, second = daemons.node("first"), daemons.node("second")
    held = first.json("/cluster/map")
    nodes = [("first", first.url), ("second", second.url)]
    for node in (first, second):
        assert node.put("/cluster/map", json.dumps(make_map(nodes, held["cluster"], epoch=1))).status_code == 200
    assert first.put("/cluster/map", json.dumps(make_map(nodes, held["cluster"], epoch=5))).status_code == 200
    second.get("/cluster/runs?wait=0", headers={"Gribstore-Cluster": held["cluster"], "Gribstore-Epoch": "5"})
    await_condition(lambda: second.json("/cluster/map")["epoch"] == 5, "it has fetched the map")


def ens_run(world, node):
    return next(entry for entry in node.json("/cluster/runs")["runs"] if entry["source"] == "ens")


def test_the_runs_that_changed(world):
    node, full = world.nodes[0], {}

    # What other tests left may change yet: a copy that goes home, a state that is told.
    def quiet():
        full.update(node.json("/cluster/runs"))
        return node.json(f"/cluster/runs?since={full['seq']}&wait=0")["runs"] == []
    await_condition(quiet, "nothing changes")
    assert set(full) == {"seq", "full", "runs"} and full["full"] is True
    assert re.fullmatch(r"[0-9a-f]{16}\.\d+", full["seq"])
    assert {entry["source"] for entry in full["runs"]} >= set(world.files)
    for entry in full["runs"]:
        assert set(entry) == STATE_MEMBERS | {"journal", "records", "files"}
        folder = node.data / "runs" / entry["source"] / compact(entry["base_time"])
        if entry["journal"] is None:
            continue
        journal = (folder / "journal").read_bytes()
        assert journal[:8] == b"GRSTOJNL" and struct.unpack_from(">QQQ", journal, 8) == (1, entry["incarnation"], int(entry["journal"], 16))
        assert len(journal) >= 64 + 64 * entry["records"]
        for file in entry["files"]:
            assert set(file) == {"shard", "birth", "size", "count"}
            path = folder / f"{file['shard']:04d}-{file['birth']}.grib"
            assert path.stat().st_size == file["size"]
            messages = world.grib.split_bytes(path.read_bytes())
            assert len(messages) == file["count"] and {shard_of(message.digest) for message in messages} == {file["shard"]}
    await_condition(quiet, "nothing changes")
    assert node.json(f"/cluster/runs?since={full['seq']}&wait=0")["full"] is False
    node.put("/replica/news", small_message(1))
    news = node.json(f"/cluster/runs?since={full['seq']}")
    assert news["full"] is False and "news" in [entry["source"] for entry in news["runs"]]
    assert len(news["runs"]) < len(full["runs"])  # what did not change is not told again
    boot, counter = full["seq"].split(".")
    assert news["seq"].split(".")[0] == boot and int(news["seq"].split(".")[1]) > int(counter)
    assert node.json(f"/cluster/runs?since={1:016x}.1&wait=0")["full"] is True


def test_the_journal(world):
    node = world.nodes[0]
    entry = ens_run(world, node)
    run = f"ens/{compact(entry['base_time'])}"
    path, records = f"/cluster/journal/{run}?journal={entry['journal']}", entry["records"]
    answer = node.get(path)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert (answer.headers["Gribstore-Journal"], answer.headers["Gribstore-Records"]) == (entry["journal"], str(records))
    assert len(answer.content) == 64 * records
    file = (node.data / "runs" / run / "journal").read_bytes()
    assert answer.content == file[64:64 + 64 * records]
    stored, files = {}, {}
    for number in range(records):
        digest_bytes, offset, length, stamp, shard, kind, check = struct.unpack_from(">32sQQQHHI", answer.content, 64 * number)
        assert kind & 0x7EFF in (1, 2) and check != 0
        if kind & 0xFF == 1:
            files[shard] = digest_bytes[:8].hex()
        else:
            stored[digest_bytes.hex()] = (f"{shard:04d}-{files[shard]}.grib", offset, length, stamp)
    for message in world.grib.split_grib(world.grib.GRIB_DIR / "ens_50.grib"):
        if message.digest not in stored:
            continue
        name, offset, length, stamp = stored.pop(message.digest)
        assert (node.data / "runs" / run / name).read_bytes()[offset:offset + length] == message.data
        assert stamp == next(line["stored_at"] for line in world.answers["ens"]["messages"] if line["digest"] == message.digest)
    assert not stored
    # From N on, with the stored checksum of record N - 1.
    for start in (1, records // 2, records):
        check = struct.unpack_from(">I", answer.content, 64 * start - 4)[0]
        assert node.get(f"{path}&from={start}&check={check}").content == answer.content[64 * start:]
        problem_of(node.get(f"{path}&from={start}&check={check ^ 1}"), 409, "journal-changed")
    problem_of(node.get(f"/cluster/journal/{run}?journal={int(entry['journal'], 16) ^ 1:016x}"), 409, "journal-changed")


@pytest.mark.parametrize("source", ["nam", "ens", "both"])
def test_heads_are_the_sections_of_the_message(world, source):
    messages = {message.digest: message.data for message in world.grib.split_grib(world.grib.GRIB_DIR / world.files[source])}
    checked = 0
    for node in world.nodes:
        entry = next((entry for entry in node.json("/cluster/runs")["runs"] if entry["source"] == source), None)
        if entry is None:
            continue
        run = f"{source}/{compact(entry['base_time'])}"
        journal = node.get(f"/cluster/journal/{run}?journal={entry['journal']}").content
        numbers = list(range(entry["records"]))[::-1]  # in the order asked
        answer = node.post(f"/cluster/heads/{run}", json={"journal": entry["journal"], "records": numbers})
        assert answer.headers["Content-Type"] == "application/octet-stream"
        for number, heads in zip(numbers, parse_heads(answer.content, len(numbers))):
            record = journal[64 * number:64 * number + 64]
            if record[59] == 2:
                assert heads == heads_of(messages[record[:32].hex()])
                checked += len(heads)
            else:
                assert heads == []  # void
    assert checked == 2 * len(world.grib.fields(world.files[source]))


def test_shards(world):
    messages = world.grib.split_grib(world.grib.GRIB_DIR / "ens_50.grib")
    owners = world.nodes[0].json("/cluster/map")["eras"][0]["owners"]
    stamps = {line["digest"]: line["stored_at"] for line in world.answers["ens"]["messages"]}
    for node in world.nodes:
        entry = ens_run(world, node)
        run = f"ens/{compact(entry['base_time'])}"
        here = [message for message in messages if node.name in owners[shard_of(message.digest)]]
        for line in node.json(f"/cluster/shards/{run}"):
            inside = [message for message in here if shard_of(message.digest) == line["shard"]]
            assert line == {"shard": line["shard"], "count": len(inside), "bytes": sum(message.length for message in inside),
                            "hash": set_hash([message.digest for message in inside])}
        for shard in range(SHARDS):
            members = node.json(f"/cluster/shards/{run}?shard={shard}")
            assert {member["digest"] for member in members} == {message.digest for message in here if shard_of(message.digest) == shard}
            for member in members:
                assert set(member) == {"digest", "stored_at", "birth", "offset", "length"}
                assert member["stored_at"] == stamps[member["digest"]]
                location = {**member, "url": f"{node.url}/data/{run}/{shard:04d}-{member['birth']}.grib"}
                assert shard % 8 or digest(read_location(location)) == member["digest"]


def test_the_map(world):
    answer = world.indexer.get("/v1/cluster/map")
    held = answer.json()
    assert set(held) == {"cluster", "epoch", "shards", "replicas", "min_replicas", "indexers", "nodes", "eras"}
    assert answer.headers["ETag"] == f'"{held["epoch"]}"'
    for node in held["nodes"]:
        assert set(node) == {"id", "url", "host", "colo", "weight", "state"} and node["state"] == "in"
    assert {(node["id"], node["url"]) for node in held["nodes"]} == {(node.name, node.url) for node in world.nodes}
    assert held["indexers"] == [world.indexer.url]
    assert held["eras"][0]["from"] is None and len(held["eras"][0]["owners"]) == held["shards"] == SHARDS
    assert all(len(set(owners)) == held["replicas"] == 2 for owners in held["eras"][0]["owners"])
    for node in world.nodes:
        assert node.json("/cluster/map") == held

    # Compare and set: a second era, from some day on.
    newer = {**held, "epoch": held["epoch"] + 1, "eras": [held["eras"][0], {"from": "2030-01-01T00:00:00Z", "owners": held["eras"][0]["owners"]}]}
    problem_of(world.indexer.put("/v1/cluster/map", json.dumps(newer)), 400, "bad-request")
    taken = world.indexer.put("/v1/cluster/map", json.dumps(newer), headers={"If-Match": str(held["epoch"])})
    assert (taken.status_code, taken.json()) == (200, newer), taken.text
    for node in world.nodes:
        await_condition(lambda node=node: node.json("/cluster/map") == newer, f"{node.name} is told")
    late = world.indexer.put("/v1/cluster/map", json.dumps(newer), headers={"If-Match": f'"{held["epoch"]}"'})
    problem = problem_of(late, 412, "stale-epoch")
    assert {key: problem[key] for key in newer} == newer  # the newer one is handed back
    same = world.indexer.put("/v1/cluster/map", json.dumps(newer), headers={"If-Match": str(newer["epoch"])})
    assert problem_of(same, 412, "stale-epoch")["epoch"] == newer["epoch"]
    ahead = world.indexer.put("/v1/cluster/map", json.dumps(newer), headers={"If-Match": "999"})
    assert problem_of(ahead, 412, "precondition")["epoch"] == newer["epoch"]
    problem = problem_of(world.nodes[0].put("/cluster/map", json.dumps(held)), 412, "stale-epoch")
    assert {key: problem[key] for key in newer} == newer
    # Eras ascend, are unique, and the first has no beginning.
    era = newer["eras"][1]
    for eras in ([era], [newer["eras"][0], era, era], [newer["eras"][0], newer["eras"][0]],
                 [newer["eras"][0], era, {**era, "from": "2029-01-01T00:00:00Z"}]):
        wrong = {**newer, "epoch": newer["epoch"] + 1, "eras": eras}
        problem_of(world.indexer.put("/v1/cluster/map", json.dumps(wrong), headers={"If-Match": str(newer["epoch"])}), 400, "bad-value")
    other = {**newer, "epoch": newer["epoch"] + 1, "cluster": "0" * 32}
    problem_of(world.indexer.put("/v1/cluster/map", json.dumps(other), headers={"If-Match": str(newer["epoch"])}), 409, "other-cluster")
    assert world.indexer.json("/v1/cluster/map") == newer


# --- errors ---

TITLES = {}


def check_problem(answer, status, code):
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    problem = problem_of(answer, status, code)
    assert problem["instance"] == answer.headers["X-Request-Id"]
    assert ("Retry-After" in answer.headers) == (status in (429, 503))
    assert problem["type"] == f"urn:gribstore:error:{code}" and problem["status"] == status
    assert problem["title"] and problem["detail"]
    assert TITLES.setdefault(code, problem["title"]) == problem["title"]
    return problem


ERRORS_OF_A_NODE = [
    (400, "bad-request", "PUT", "/sha256/" + "0" * 64, {"data": b"GRIB"}),
    (400, "bad-request", "DELETE", f"/data/x/{COMPACT}/", {}),
    (400, "bad-request", "PUT", "/ingest/x/", {"data": b"GRIB", "headers": {"Content-Range": "bytes 0-3/8"}}),
    (400, "unknown-key", "GET", "/cluster/runs?sinse=1", {}),
    (400, "unknown-key", "PUT", "/ingest/x/?anwser=summary", {"data": b"GRIB"}),
    (400, "bad-value", "PUT", "/ingest/X/", {"data": b"GRIB"}),
    (400, "bad-value", "GET", "/data/x/yesterday/", {}),
    (400, "bad-value", "POST", "/have", {"data": b"{"}),
    (400, "bad-value", "PUT", "/cluster/map", {"data": b"[]"}),
    (400, "clock", "PUT", "/replica/x", {"data": small_message(1), "headers": {"Gribstore-Stored-At": "99999999999999999"}}),
    (404, "not-found", "GET", "/nothing", {}),
    (404, "not-found", "GET", "/sha256/" + "0" * 64, {}),
    (404, "not-found", "GET", f"/data/x/{COMPACT}/0000-0000000000000001.grib", {}),
    (404, "not-found", "GET", "/data/nobody/20200101T0000Z/", {}),
    (405, "method", "POST", "/ingest/x/", {"data": b"GRIB"}),
    (405, "method", "DELETE", "/have", {}),
    (409, "other-cluster", "GET", "/cluster/runs", {"headers": {"Gribstore-Cluster": "0" * 32}}),
    (412, "stale-epoch", "PUT", "/cluster/map", {"map": True}),
    (415, "encoding", "PUT", "/ingest/x/", {"data": b"GRIB", "headers": {"Content-Encoding": "gzip"}}),
    (417, "expectation", "PUT", "/ingest/x/", {"data": b"GRIB", "headers": {"Expect": "a miracle"}}),
    (422, "not-grib", "PUT", "/ingest/x/", {"data": b"<html>"}),
    (422, "bad-grib", "PUT", "/ingest/x/", {"data": b"GRIB\0\0\0\7" + bytes(90)}),
    (422, "bad-date", "PUT", "/ingest/x/", {"data": small_message(year=0)}),
    (422, "digest-mismatch", "PUT", f"/sha256/{digest(b'')}?source=x", {"data": small_message(2)}),
    (431, "head-too-large", "GET", "/healthz", {"headers": {f"x-{number}": "y" for number in range(120)}}),
    (414, "target-too-long", "GET", "/" + "x" * 9000, {}),
]


@pytest.mark.parametrize("status, code, method, path, options", ERRORS_OF_A_NODE,
                         ids=[f"{entry[0]} {entry[1]} {entry[2]} {entry[3][:24]}" for entry in ERRORS_OF_A_NODE])
def test_errors_of_a_node(alone, status, code, method, path, options):
    options = dict(options)
    if options.pop("map", False):
        held = alone.json("/cluster/map")
        higher = make_map([("alone", alone.url)], held["cluster"], epoch=held["epoch"] + 1, replicas=1, min_replicas=1)
        assert alone.put("/cluster/map", json.dumps(higher)).status_code == 200
        options["data"] = json.dumps(held)
    headers = {**options.pop("headers", {}), "X-Request-Id": "of-this-test"}
    problem = check_problem(alone.request(method, path, headers=headers, **options), status, code)
    assert problem["instance"] == "of-this-test" or status in (414, 431)
    assert ("offset" in problem) == (code in ("not-grib", "bad-grib", "bad-date", "digest-mismatch")) or code in ("bad-value", "clock")


ERRORS_OF_AN_INDEXER = [
    (400, "bad-request", "PUT", "/v1/cluster/map", {"data": "{}"}),
    (400, "bad-value", "PUT", "/v1/cluster/map", {"data": "{}", "headers": {"If-Match": "soon"}}),
    (400, "bad-value", "GET", "/v1/fields?step=soon", {}),
    (400, "bad-value", "GET", "/v1/runs?state=gone", {}),
    (400, "bad-value", "GET", "/v1/runs/X/20200101T0000Z", {}),
    (400, "bad-value", "POST", f"/v1/runs/x/{COMPACT}/check", {"data": '{"digests": ["x"]}'}),
    (400, "bad-value", "POST", f"/v1/runs/x/{COMPACT}/retire?grace=soon", {}),
    (400, "bad-value", "POST", "/v1/leases/a", {"data": "{}"}),
    (400, "unknown-key", "GET", "/v1/fields?parm=msl", {}),
    (400, "unknown-key", "GET", "/v1/runs?stat=ready", {}),
    (400, "unknown-key", "GET", f"/v1/runs/x/{COMPACT}?a=1", {}),
    (400, "unknown-key", "POST", f"/v1/runs/x/{COMPACT}/ready?force=1", {}),
    (400, "unknown-key", "POST", f"/v1/runs/x/{COMPACT}/retire?grase=1s", {}),
    (400, "unknown-key", "POST", f"/v1/runs/x/{COMPACT}/check?a", {"data": "{}"}),
    (400, "unknown-key", "GET", "/v1/cluster/map?epoch=1", {}),
    (400, "unknown-key", "GET", "/v1/cluster/nodes?id=1", {}),
    (400, "unknown-key", "DELETE", "/v1/leases/a?owner=me&force=1", {}),
    (404, "not-found", "GET", "/v1/nothing", {}),
    (404, "not-found", "POST", f"/v1/runs/nobody/{COMPACT}/retire", {}),
    (405, "method", "DELETE", "/v1/fields", {}),
    (409, "other-cluster", "GET", "/v1/fields", {"headers": {"Gribstore-Cluster": "0" * 32}}),
    (413, "too-large", "POST", "/v1/leases/a", {"data": " " * 5000}),
    (415, "encoding", "POST", "/v1/leases/a", {"data": "{}", "headers": {"Content-Encoding": "gzip"}}),
]


@pytest.mark.parametrize("status, code, method, path, options", ERRORS_OF_AN_INDEXER,
                         ids=[f"{entry[0]} {entry[1]} {entry[2]} {entry[3][:40]}" for entry in ERRORS_OF_AN_INDEXER])
def test_errors_of_an_indexer(indexer, status, code, method, path, options):
    headers = {**options.get("headers", {}), "X-Request-Id": "of-this-test"}
    problem = check_problem(indexer.request(method, path, **{**options, "headers": headers}), status, code)
    assert problem["instance"] == "of-this-test"


def test_errors_of_ranges_and_conditions(alone):
    location = alone.put("/ingest/cond/", small_message(1)).json()["messages"][0]["locations"][0]
    path = location["url"].removeprefix(alone.url)
    size = len(alone.get(path).content)
    answer = alone.get(path, headers={"Range": f"bytes={size}-"})
    check_problem(answer, 416, "range")
    assert answer.headers["Content-Range"] == f"bytes */{size}"
    check_problem(alone.get(path, headers={"If-Match": '"x"'}), 412, "precondition")
    check_problem(alone.get(f"/sha256/{digest(small_message(1))}", headers={"If-Match": '"x"'}), 412, "precondition")


def raw_request(daemon, data):
    """For what no client library sends."""
    with socket.create_connection(daemon.listen.split(":"), timeout=60) as connection:
        connection.sendall(data)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert b"Content-Type: application/problem+json" in head, head
    problem = json.loads(body)
    assert problem["status"] == status and problem["type"] == f"urn:gribstore:error:{problem['code']}"
    return status, problem["code"]


def test_errors_that_no_client_asks_for(alone, daemons):
    close = b"Host: x\r\nConnection: close\r\n\r\n"
    assert raw_request(alone, b"PUT /ingest/x/ HTTP/1.1\r\n" + close) == (411, "length-required")
    assert raw_request(alone, b"GET  /ingest/x/ HTTP/1.1\r\n" + close) == (400, "bad-request")
    assert raw_request(alone, b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000 + b"\r\n" + close) == (431, "head-too-large")
    assert raw_request(alone, b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\n" + close) == (414, "target-too-long")
    assert raw_request(alone, b"PUT /ingest/x/ HTTP/1.1\r\nContent-Length: 99999999999999\r\n" + close) == (413, "too-large")
    slow = daemons.node("slow", arguments=["--head-timeout", "200ms"])
    assert raw_request(slow, b"GET / HTTP/1.1\r\nHost: ") == (408, "timeout")


def test_errors_of_a_run_that_goes(alone):
    message = small_message(6001)
    line = alone.put("/ingest/going/", message).json()["messages"][0]
    run, path = f"/cluster/runs/going/{COMPACT}", line["locations"][0]["url"].removeprefix(alone.url)

    def tell(incarnation, version, state):
        return alone.put(run, json.dumps({"incarnation": incarnation, "version": version, "state": state}))

    assert tell(1, 2, "retired").json()["state"] == "retired"
    problem = check_problem(tell(1, 1, "ready"), 409, "stale-run")
    assert problem["run"] == {"source": "going", "base_time": DAY, "incarnation": 1, "version": 2, "state": "retired"}
    check_problem(alone.put("/ingest/going/", small_message(6002)), 410, "run-retired")
    check_problem(alone.delete(f"/data/going/{COMPACT}/?incarnation=1&version=1"), 409, "stale-run")
    assert alone.delete(f"/data/going/{COMPACT}/?incarnation=1&version=2").status_code == 204
    assert tell(1, 3, "purged").status_code == 200
    check_problem(alone.put("/ingest/going/", message), 410, "purged")
    check_problem(alone.get(f"/data/going/{COMPACT}/"), 410, "purged")
    gone = alone.get(path)
    assert gone.status_code in (404, 410) and gone.json()["code"] in ("not-found", "purged")


def test_errors_while_others_are_away(daemons):
    """One node whose map has a second that nobody has started; a node and an indexer that wait for one."""
    dead = f"http://127.0.0.1:{free_port()}"
    node = daemons.node("left")
    held = node.json("/cluster/map")
    assert node.put("/cluster/map", json.dumps(make_map([("left", node.url), ("dead", dead)], held["cluster"]))).status_code == 200
    answer = node.put("/ingest/few/", small_message(1))
    problem = check_problem(answer, 503, "too-few-copies")
    assert (problem["stored"], int(answer.headers["Retry-After"]) > 0) == (0, True)
    answer = node.get(f"/sha256/{digest(b'somewhere')}")
    assert check_problem(answer, 503, "holder-down")["unasked"] == ["dead"]
    assert int(answer.headers["Retry-After"]) > 0

    joining = daemons.node("joining", ready=False, arguments=["--join", dead])
    await_condition(joining.answers, "it answers")
    check_problem(joining.put("/ingest/early/", small_message(1)), 503, "overloaded")
    indexer = daemons.begin(Indexer("waiting", daemons.folder, [types.SimpleNamespace(url=dead)]), ready=False)
    await_condition(indexer.answers, "it answers")
    check_problem(indexer.get("/v1/cluster/map"), 503, "overloaded")
    check_problem(indexer.put("/v1/cluster/map", json.dumps(held), headers={"If-Match": "4"}), 412, "precondition")  # it has none
    check_problem(indexer.post(f"/v1/runs/x/{COMPACT}/check", json={"digests": []}), 503, "overloaded")


def test_errors_of_a_disk(daemons):
    """A data file that lost its end; then a run for which there can be no folder."""
    node = daemons.node("disk", arguments=["--shards", "1"])
    lines = node.put("/ingest/cut/", small_message(1) + small_message(2)).json()["messages"]
    node.put("/ingest/cut/", small_message(3))  # a batch of its own: only the last one can have been torn
    node.stop()
    path = lines[0]["locations"][0]["url"].removeprefix(node.url)
    os.truncate(node.data / "runs" / path.removeprefix("/data/"), len(small_message()) + 10)
    node.start().wait_ready()
    assert node.get(path, headers={"Range": f"bytes=0-{len(small_message()) - 1}"}).content == small_message(1)
    check_problem(node.get(path), 410, "damaged")

    (node.data / "runs" / "blocked").write_bytes(b"")
    check_problem(node.put("/ingest/blocked/", small_message(4)), 500, "internal")
    check_problem(node.put("/ingest/cut/", small_message(5)), 503, "read-only")
    assert [check["name"] for check in node.get("/readyz").json()["checks"] if not check["ok"]] == ["writable"]
    (node.data / "runs" / "blocked").unlink()
    node.restart()
    assert node.put("/ingest/cut/", small_message(5)).status_code == 201


def test_errors_of_limits(daemons):
    little = daemons.node("little", arguments=["--body-max", "1KiB", "--reserve", "900TiB"], ready=False)
    await_condition(little.answers, "it answers")
    check_problem(little.put("/ingest/x/", bytes(2000)), 413, "too-large")
    check_problem(little.put("/ingest/x/", small_message(1)), 507, "full")


# --- exit codes of the client ---

def test_exit_codes_are_explained():
    told = subprocess.run([str(BIN / "gribstore"), "help", "exit-codes"], capture_output=True, check=True, timeout=60).stdout.decode()
    for line in ("0  ok", "1  failed", "2  usage", "3  partial", "4  not found", "5  temporary", "6  refused", "7  data corrupt"):
        assert f"  {line}" in told
    assert "130  interrupted (143: terminated)" in told


def test_exit_codes(world, tmp_path):
    client = world.client
    good = tmp_path / "good.grib"
    good.write_bytes((world.grib.GRIB_DIR / "regular_latlon_surface.grib2").read_bytes())
    bad = tmp_path / "bad.grib"
    bad.write_bytes(good.read_bytes() + b"GRIB\0\0\0\7" + bytes(50))

    client.run("put", "--source", "exit", good, expected=0)
    out = tmp_path / "out.grib"
    client.run("get", "source=ens", "number=1", "-o", out, expected=0)
    field, = world.indexer.fields(source="ens", number="1")
    assert digest(out.read_bytes()) == field["digest"]
    client.run("get", "source=ens", "number=1", "-o", tmp_path / "no" / "folder", expected=1)
    client.run("put", good, expected=2)
    client.run("--nonsense", expected=2)
    client.run("query", "parm=msl", expected=2)
    client.run("put", "--source", "exit", bad, expected=3)
    client.run("get", "source=nobody", "-o", out, expected=4)
    client.run("get", "source=ens", "--expect", "50", "-o", out, expected=4)
    client.run("get", digest(b"nothing"), "-o", out, expected=4)
    client.run("runs", "nobody/20200101T0000Z", expected=4)

    nobody = types.SimpleNamespace(url=f"http://127.0.0.1:{free_port()}")
    away = Client(nobody, nobody)
    away.run("query", "param=msl", "--retry", "0s", expected=5)
    away.run("put", "--source", "exit", good, "--retry", "0s", expected=5)

    base_time = world.indexer.await_messages("exit", 1, copies=2)[0]["base_time"]
    assert world.indexer.post(f"/v1/runs/exit/{compact(base_time)}/ready").status_code == 200
    client.run("purge", "exit", compact(base_time), "--yes", expected=6)
    client.run("purge", "exit", compact(base_time), "--yes", "--force", "--grace", "1h", expected=0)
    await_condition(lambda: world.indexer.fields(source="exit") == [], "the nodes are told, and its records are gone")
    changed = tmp_path / "changed.grib"
    changed.write_bytes(with_other_values(good.read_bytes()))
    client.run("put", "--source", "exit", changed, expected=6)


def test_no_good_copy_is_exit_code_7(world, tmp_path):
    document = dict(world.indexer.fields(source="flux")[0])
    wrong = bytes(document["length"])

    def lie(handler):
        if handler.path.startswith("/v1/fields"):
            return 200, {"Content-Type": "application/json"}, json.dumps({"fields": [document], "next": None}).encode()
        if handler.path.startswith("/lie.grib"):
            return 206, {"Content-Range": f"bytes 0-{len(wrong) - 1}/{len(wrong)}"}, wrong
        problem = {"type": "urn:gribstore:error:not-found", "code": "not-found", "title": "x", "status": 404}
        return 404, {"Content-Type": "application/problem+json"}, json.dumps(problem).encode()

    with Listener(lie) as liar:
        document["locations"] = [{"url": f"{liar.url}/lie.grib", "offset": 0, "length": document["length"], "node": "liar", "file": "lie.grib"}]
        out = tmp_path / "out.grib"
        done = Client(liar, liar).run("get", "source=flux", "-o", out, expected=7)
        assert any(path == "/lie.grib" for _, path, _, _ in liar.asked), liar.asked
    assert not out.exists() and b"\x00" not in done.stdout


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(number, code):
    asked, over = threading.Event(), threading.Event()

    def wait(handler):
        asked.set()
        over.wait(30)
        return 503, {}, b""

    with Listener(wait) as indexer:
        process = subprocess.Popen([str(BIN / "gribstore"), "query", "param=msl", "--indexer", indexer.url, "--node", indexer.url],
                                   env=LEAK_FREE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        try:
            assert asked.wait(30)
            process.send_signal(number)
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
            over.set()
    assert process.returncode == code, told.decode()
