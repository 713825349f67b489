"""GET of data files and messages; listings, feeds. Ranges and conditions: 21_ranges.py, 22_conditions.py."""

import json
import re
import socket

import pytest

from gribfile import split_bytes
from processes import await_condition


@pytest.fixture
def stored(node, grib):
    """A real file on a node: (its data file's URL path, that file's bytes as the messages say, the put's lines)."""
    data = (grib.GRIB_DIR / "ens_50.grib").read_bytes()
    lines = node.put("/ingest/ens/", data).json()["messages"]
    messages = {message.digest: message.data for message in split_bytes(data)}
    files = {}
    for line in lines:
        location = line["locations"][0]
        files.setdefault(location["url"], {})[location["offset"]] = messages[line["digest"]]
    url, parts = max(files.items(), key=lambda item: len(item[1]))
    content = b"".join(parts[offset] for offset in sorted(parts))
    return url.removeprefix(node.url), content, lines


def parts_of(answer):
    """The parts of a multipart/byteranges answer, taken apart as strictly as clients do."""
    boundary = re.fullmatch(r"multipart/byteranges; boundary=([0-9A-Za-z]+)", answer.headers["Content-Type"]).group(1)
    body = answer.content
    assert int(answer.headers["Content-Length"]) == len(body)
    end = f"--{boundary}--\r\n".encode()
    assert body.endswith(b"\r\n" + end)
    parts = []
    for part in body[:-len(end)].split(f"\r\n--{boundary}\r\n".encode())[1:] if body.startswith(b"\r\n--") else \
            (b"\r\n" + body[:-len(end)]).split(f"\r\n--{boundary}\r\n".encode())[1:]:
        head, _, content = part.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        first, last, size = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", fields["Content-Range"]).groups()
        parts.append((int(first), int(last), int(size), content))
    parts[-1] = (*parts[-1][:3], parts[-1][3].removesuffix(b"\r\n"))
    return parts


def test_head_says_what_get_says(node, stored):
    path, content, _ = stored
    got, headed = node.get(path), node.request("HEAD", path)
    assert got.content == content
    assert headed.content == b""
    for name in ("Content-Length", "Accept-Ranges", "ETag", "Last-Modified", "Content-Type", "Cache-Control"):
        assert headed.headers[name] == got.headers[name], name
    assert headed.headers["Accept-Ranges"] == "bytes"
    assert headed.headers["Content-Length"] == str(len(content))
    birth = re.search(r"-([0-9a-f]{16})\.grib$", path).group(1)
    assert headed.headers["ETag"] == f'"{birth}-{len(content)}"'
    assert headed.headers["Cache-Control"] == "no-cache"


def test_what_is_not_there_is_404_at_once_and_the_connection_stays(node):
    wanted = b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in [
        b"/data/none/20200101T0000Z/0001-0123456789abcdef.grib", b"/data/none/20200101T0000Z/../../etc/passwd",
        b"/sha256/" + b"0" * 64, b"/data/none/20200101T0000Z/", b"/healthz"])
    with socket.create_connection(node.listen.split(":"), timeout=60) as client:
        client.sendall(wanted)
        data = b""
        while data.count(b"HTTP/1.1 ") < 5 or not data.endswith(b'{"status":"ok"}'):
            chunk = client.recv(65536)
            assert chunk, data
            data += chunk
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", data)
    assert statuses == [b"404", b"404", b"404", b"404", b"200"]


@pytest.mark.parametrize("path, status", [
    ("/data/HRES/20200101T0000Z/", 400), ("/data/hres/2020/", 400), ("/data/hres/20200230T0000Z/", 400),
    ("/data/hres/20200101T0000Z/1-0123456789abcdef.grib", 404), ("/sha256/12", 400), ("/cluster/runs?sinec=1", 400),
])
def test_bad_names_are_named(node, path, status):
    answer = node.get(path)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_messages_by_their_digest_are_immutable(node, stored):
    _, _, lines = stored
    line = lines[3]
    location = line["locations"][0]
    answer = node.get(f"/sha256/{line['digest']}")
    part = node.get(location["url"].removeprefix(node.url),
                    headers={"Range": f"bytes={location['offset']}-{location['offset'] + location['length'] - 1}"})
    assert answer.content == part.content
    assert answer.headers["ETag"] == f'"{line["digest"]}"'
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Repr-Digest"].startswith("sha-256=:")
    assert node.get(f"/sha256/{line['digest']}", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    two = node.get(f"/sha256/{line['digest']}", headers={"Range": "bytes=0-3,-4"})
    assert [part[3] for part in parts_of(two)] == [b"GRIB", b"7777"]


def test_damaged_bytes_never_leave_by_their_digest(node, stored):
    path, _, lines = stored
    line = next(line for line in lines if line["locations"][0]["url"].endswith(path))
    run, name = path.removeprefix("/data/").rsplit("/", 1)
    with open(node.data / "runs" / run / name, "r+b") as file:
        file.seek(line["locations"][0]["offset"] + line["length"] // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    answer = node.get(f"/sha256/{line['digest']}")
    assert (answer.status_code, answer.json()["code"]) == (410, "damaged")
    await_condition(lambda: "message.damaged" in node.output(), "it is told in the log")


def test_a_run_is_listed_as_json_and_as_html(node, stored):
    path, content, lines = stored
    folder = path.rsplit("/", 1)[0] + "/"
    listing = node.json(folder)
    assert listing["messages"] == len(lines)
    file = next(file for file in listing["files"] if file["url"].endswith(path))
    assert file["size"] == len(content)
    assert sum(file["count"] for file in listing["files"]) == len(lines)
    page = node.get(folder, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert f'href="{file["name"]}"' in page.text
    assert node.get(f"{folder}?format=html").headers["Content-Type"].startswith("text/html")
    assert node.get(f"{folder}?format=json", headers={"Accept": "text/html"}).json() == listing
    assert node.get(f"{folder}?format=xml").status_code == 400


def test_the_runs_are_fed_and_wait_for_news(node, stored):
    _, _, lines = stored
    full = node.json("/cluster/runs")
    assert full["full"] is True
    run = full["runs"][0]
    assert run["records"] == len(lines) + len(run["files"])
    quiet = node.json(f"/cluster/runs?since={full['seq']}&wait=0")
    assert (quiet["full"], quiet["runs"], quiet["seq"]) == (False, [], full["seq"])
    assert node.json("/cluster/runs?since=0123456789abcdef.1&wait=0")["full"] is True
    with socket.create_connection(node.listen.split(":"), timeout=60) as client:
        client.sendall(f"GET /cluster/runs?since={full['seq']}&wait=30 HTTP/1.0\r\n\r\n".encode())
        state = {"incarnation": 1, "version": 1, "state": "ready"}
        node.put(f"/cluster/runs/ens/{run['base_time'].replace('-', '').replace(':', '')[:13]}Z", json.dumps(state))
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    news = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert [(entry["version"], entry["state"]) for entry in news["runs"]] == [(1, "ready")]
    assert news["seq"] != full["seq"]


def test_the_journal_is_fed_from_a_place_that_is_proven(node, stored):
    _, _, lines = stored
    run = node.json("/cluster/runs")["runs"][0]
    path = f"/cluster/journal/ens/{run['base_time']}"
    all_of_it = node.get(f"{path}?journal={run['journal']}&from=0")
    assert len(all_of_it.content) == 64 * run["records"]
    assert all_of_it.headers["Gribstore-Records"] == str(run["records"])
    records = [all_of_it.content[at:at + 64] for at in range(0, len(all_of_it.content), 64)]
    stored_digests = {record[:32].hex() for record in records if record[59] == 2}
    assert stored_digests == {line["digest"] for line in lines}
    check = int.from_bytes(records[4][60:], "big")
    rest = node.get(f"{path}?journal={run['journal']}&from=5&check={check}&count=3")
    assert rest.content == b"".join(records[5:8])
    assert node.get(f"{path}?journal={run['journal']}&from=5&check={check ^ 1}").json()["code"] == "journal-changed"
    assert node.get(f"{path}?journal=0123456789abcdef&from=0").status_code == 409
    assert node.get("/cluster/journal/none/20200101T0000Z?journal=0123456789abcdef&from=0").status_code in (404, 409)


def test_heads_are_the_messages_without_their_values(node, grib):
    data = (grib.GRIB_DIR / "nam-multi-field.grib2").read_bytes()
    node.put("/ingest/nam/", data)
    run = node.json("/cluster/runs")["runs"][0]
    answer = node.post(f"/cluster/heads/nam/{run['base_time']}",
                       json={"journal": run["journal"], "records": list(range(run["records"]))})
    assert answer.status_code == 200
    at, fields, void = 0, 0, 0
    while at < len(answer.content):
        count = int.from_bytes(answer.content[at:at + 2], "big")
        at += 2
        void += count == 0
        for _ in range(count):
            length = int.from_bytes(answer.content[at:at + 4], "big")
            assert answer.content[at + 4:at + 8] == b"GRIB"
            at += 4 + length
            fields += 1
    assert fields == grib.manifest()["nam-multi-field.grib2"]["fields"]
    assert void == len(run["files"])
    assert len(answer.content) < len(data) / 3


def test_shards_sum_up_to_the_run(node, stored):
    _, _, lines = stored
    run = node.json("/cluster/runs")["runs"][0]
    path = f"/cluster/shards/ens/{run['base_time']}"
    shards = node.json(path)
    assert sum(shard["count"] for shard in shards) == len(lines)
    assert sum(shard["bytes"] for shard in shards) == sum(line["length"] for line in lines)
    total = sum(int(shard["hash"], 16) for shard in shards) % (1 << 256)
    assert total == sum(int(line["digest"], 16) for line in lines) % (1 << 256)
    one = next(shard for shard in shards if shard["count"])
    members = node.json(f"{path}?shard={one['shard']}")
    assert len(members) == one["count"]
    places = {line["digest"]: line for line in lines}
    for member in members:
        assert member["offset"] == places[member["digest"]]["locations"][0]["offset"]
        assert member["stored_at"] == places[member["digest"]]["stored_at"]


def test_the_node_describes_itself(node):
    api = node.json("/openapi.json")
    assert api["openapi"].startswith("3.1")
    for path, methods in api["paths"].items():
        allowed = node.request("OPTIONS", re.sub(r"{\w+}", "x", path)).headers["Allow"].lower().replace(" ", "").split(",")
        assert set(methods) - set(allowed) == set(), path
    ready = node.json("/readyz")
    assert ready["ready"] is True and ready["node"] == node.name
    metrics = node.get("/metrics")
    assert "gribstore_http_requests_total" in metrics.text
    assert "gribstore_disk_bytes{" in metrics.text
