"""PUT: what a body may hold, what the answer says, what is kept when something goes wrong."""

import json
import socket
import subprocess

import pytest
import requests

from gribfile import edition1_length
from processes import await_condition

REPLICA_HEADERS = ("Gribstore-Stored-At", "Gribstore-Incarnation")


def small_message(number=0, year=2020, padding=0):
    """An edition 2 message that frames and has a date; nobody could decode it."""
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + year.to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + number.to_bytes(8, "big") + bytes(padding)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


def edition1_extended(section4_fill):
    """An edition 1 message with the extended length, as large as ECMWF writes them: bit 23 set, a multiple of 120."""
    section1 = bytearray((28).to_bytes(3, "big") + bytes(25))
    section1[7] = 0x80
    section1[12:17] = bytes([20, 1, 2, 3, 0])
    section1[24] = 21
    section2 = (32).to_bytes(3, "big") + bytes(29)
    front = 8 + len(section1) + len(section2)
    total = -(-(front + 3 + len(section4_fill) + 4) // 120) * 120
    rest = total * 1 - (front + 3 + len(section4_fill) + 4)
    section4 = section4_fill + bytes(rest)
    s4 = 4  # total = units * 120 - s4 + 4
    head = b"GRIB" + (0x800000 | total // 120).to_bytes(3, "big") + b"\x01"
    message = head + bytes(section1) + section2 + s4.to_bytes(3, "big") + section4 + b"7777"
    assert len(message) == total == edition1_length(message, 0)
    return message


def digest(data):
    import hashlib

    return hashlib.sha256(data).hexdigest()


def read_location(location, session=requests):
    first, last = location["offset"], location["offset"] + location["length"] - 1
    answer = session.get(location["url"], headers={"Range": f"bytes={first}-{last}"}, timeout=60)
    assert answer.status_code == 206, answer.text
    return answer.content


def test_every_real_file_comes_back_byte_for_byte(node, grib):
    with requests.Session() as session:
        for name in grib.manifest():
            messages = grib.split_grib(grib.GRIB_DIR / name)
            data = (grib.GRIB_DIR / name).read_bytes()
            answer = session.put(f"{node.url}/ingest/real/{name}", data=data, timeout=60)
            assert answer.status_code in (200, 201), f"{name}: {answer.text}"
            lines = answer.json()["messages"]
            assert [line["digest"] for line in lines] == [message.digest for message in messages], name
            for line, message in zip(lines, messages):
                assert read_location(line["locations"][0], session) == message.data, name


def test_curl_sends_a_file_and_is_told_to_go_on_at_once(node, grib):
    path = grib.GRIB_DIR / "gfs-flux.grib2"
    # curl sends nothing of the body before it is told to, and gives up before it would do so by itself.
    done = subprocess.run(["curl", "-sS", "-D", "-", "--max-time", "120", "--expect100-timeout", "600", "-H", "Expect: 100-continue",
                           "-T", path, f"{node.url}/ingest/gfs/"], capture_output=True, check=True)
    head, _, rest = done.stdout.decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 100 ")
    assert rest.startswith("HTTP/1.1 201 ")


def test_an_unknown_length_is_taken_too(node, grib):
    data = (grib.GRIB_DIR / "regular_gg_sfc.grib").read_bytes()
    parts = (data[at:at + 1000] for at in range(0, len(data), 1000))
    answer = node.put("/ingest/chunked/", parts)
    assert answer.status_code == 201
    assert len(answer.json()["messages"]) == len(grib.split_bytes(data))


def test_the_same_body_again_changes_nothing(node, grib):
    data = (grib.GRIB_DIR / "hpa_and_pa.grib").read_bytes()
    first, second = node.put("/ingest/hres/", data), node.put("/ingest/hres/", data)
    assert (first.status_code, second.status_code) == (201, 200)
    assert [line["locations"] for line in first.json()["messages"]] == [
        line["locations"] for line in second.json()["messages"]]
    assert second.json()["stored"] == 0
    assert second.json()["known"] == first.json()["stored"]
    assert not any(line["new"] for line in second.json()["messages"])


def test_a_message_twice_in_a_body_is_kept_once(node):
    message = small_message(1)
    answer = node.put("/ingest/twice/", message + message).json()
    assert (answer["stored"], answer["known"]) == (1, 1)
    assert answer["messages"][0]["locations"] == answer["messages"][1]["locations"]


def test_one_message_has_a_location_and_its_digest_in_the_head(node):
    message = small_message(7)
    answer = node.put("/ingest/one/", message)
    assert answer.headers["ETag"] == f'"{digest(message)}"'
    assert answer.headers["Location"] == f"{node.url}/sha256/{digest(message)}"
    assert answer.headers["Repr-Digest"].startswith("sha-256=:")
    assert requests.get(answer.headers["Location"], timeout=60).content == message
    several = node.put("/ingest/one/", small_message(8) + small_message(9))
    assert "Location" not in several.headers


def test_the_summary_leaves_the_messages_out(node):
    answer = node.put("/ingest/sum/?answer=summary", b"".join(small_message(i) for i in range(100))).json()
    assert answer == {"source": "sum", "stored": 100, "known": 0, "skipped": []}


def test_what_lies_between_messages_is_skipped_and_reported(node):
    first, second = small_message(1), small_message(2)
    body = b"\x01\r\r\n001\r\r\nHTXX01 ECMF 010203\r\r\n" + first + bytes(9) + second + b"\r\n\x03"
    answer = node.put("/ingest/wmo/", body).json()
    assert answer["stored"] == 2
    lead = body.index(b"GRIB")
    assert answer["skipped"] == [{"offset": 0, "length": lead},
                                 {"offset": lead + len(first), "length": 9},
                                 {"offset": len(body) - 3, "length": 3}]


@pytest.mark.parametrize("body, code, named", [
    (b"", "not-grib", "empty"),
    (b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", "not-grib", "HTML"),
    (b"\x1f\x8b\x08" + bytes(100), "not-grib", "gzip"),
    (b"CDF\x01" + bytes(100), "not-grib", "netCDF"),
    (b"GRIB\0\0\0\3" + bytes(100), "bad-grib", "edition"),
    (small_message()[:-4] + b"8888", "bad-grib", "7777"),
    (small_message()[:-1], "bad-grib", ""),
    (small_message(year=0), "bad-date", ""),
])
def test_a_body_that_is_no_grib_is_named_for_what_it_is(node, body, code, named):
    answer = node.put("/ingest/bad/", body)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["type"]) == (code, f"urn:gribstore:error:{code}")
    assert named.lower() in problem["detail"].lower()


def test_an_error_says_where_and_what_was_stored_before(node):
    good = [small_message(i) for i in range(5)]
    body = b"".join(good) + b"GRIB\0\0\0\7" + bytes(50) + small_message(99)
    problem = node.put("/ingest/half/", body).json()
    assert problem["code"] == "bad-grib"
    assert problem["offset"] == sum(map(len, good))
    assert problem["stored"] == 5
    assert [line["digest"] for line in problem["messages"]] == [digest(message) for message in good]
    for line, message in zip(problem["messages"], good):
        assert read_location(line["locations"][0]) == message


def test_large_messages_and_extended_lengths_go_through_a_file(node):
    large = small_message(3, padding=20 << 20)
    extended = edition1_extended(bytes(range(256)) * 4096)
    answer = node.put("/ingest/large/", large + extended + small_message(4))
    assert answer.status_code == 201, answer.text
    lines = answer.json()["messages"]
    assert [line["length"] for line in lines] == [len(large), len(extended), len(small_message(4))]
    assert read_location(lines[0]["locations"][0]) == large
    assert read_location(lines[1]["locations"][0]) == extended
    assert node.get(f"/sha256/{digest(large)}").content == large
    part = node.get(f"/sha256/{digest(large)}", headers={"Range": f"bytes=1000000-{(19 << 20) + 5}"})
    assert (part.status_code, part.content) == (206, large[1000000:(19 << 20) + 6])


def test_a_declared_digest_has_to_be_the_bytes_digest(node):
    message = small_message(11)
    path = f"/sha256/{digest(message)}?source=named"
    assert node.put(path, small_message(12)).json()["code"] == "digest-mismatch"
    assert node.get(f"/sha256/{digest(message)}").status_code == 404
    assert node.put(path, message).status_code == 201
    assert node.put(path, message).status_code == 200
    assert node.put(path, message + small_message(12)).status_code == 422
    assert node.put(f"/sha256/{digest(message)}", message).json()["code"] == "bad-request"


def test_replicas_keep_the_senders_stamps(node):
    messages = [small_message(i) for i in range(4)]
    answer = node.put("/replica/rep", b"".join(messages), headers={"Gribstore-Stored-At": "1700000000000000"})
    assert [line["stored_at"] for line in answer.json()["messages"]] == [1700000000000000 + i for i in range(4)]
    messages = [small_message(10 + i) for i in range(4)]
    answer = node.put("/replica/rep", b"".join(messages), headers={"Gribstore-Stored-At": "5,9,20"})
    assert [line["stored_at"] for line in answer.json()["messages"]] == [5, 9, 20, 21]


def test_a_stamp_far_ahead_of_the_clock_is_refused(node):
    answer = node.put("/replica/rep", small_message(), headers={"Gribstore-Stored-At": "99999999999999999"})
    assert (answer.status_code, answer.json()["code"]) == (400, "clock")


@pytest.mark.parametrize("path, headers, status, code", [
    ("/ingest/hres/?anwser=summary", {}, 400, "unknown-key"),
    ("/ingest/HRES/", {}, 400, "bad-value"),
    ("/ingest/hres/", {"Content-Encoding": "gzip"}, 415, "encoding"),
    ("/ingest/hres/", {"Content-Range": "bytes 0-9/20"}, 400, "bad-request"),
    ("/sha256/xyz?source=a", {}, 400, "bad-value"),
    ("/replica/hres", {"Gribstore-Stored-At": "yesterday"}, 400, "bad-value"),
])
def test_bad_requests_are_refused_before_the_body(node, path, headers, status, code):
    answer = node.put(path, small_message(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_near_miss_among_keys_is_named(node):
    assert "answer" in node.put("/ingest/hres/?anwser=summary", small_message()).json()["detail"]


def test_other_methods_are_told_which_there_are(node):
    answer = node.post("/ingest/hres/file.grib", data=small_message())
    assert answer.status_code == 405
    assert "PUT" in answer.headers["Allow"]


def test_what_was_whole_when_a_client_left_stays(node):
    whole = [small_message(i) for i in range(20)]
    with socket.create_connection(node.listen.split(":")) as client:
        client.sendall(b"PUT /ingest/left/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        client.sendall(b"".join(whole) + small_message(99)[:20])
        await_condition(lambda: node.get(f"/sha256/{digest(whole[-1])}").status_code == 200, "the last whole one is there")
    for message in whole:
        assert node.get(f"/sha256/{digest(message)}").content == message
    assert node.get(f"/sha256/{digest(small_message(99))}").status_code == 404


def test_little_memory_slows_bodies_down_and_stops_none(daemons):
    node = daemons.node(arguments=["--body-memory", "8MiB", "--loops", "1"])
    import concurrent.futures

    def put(client):
        body = b"".join(small_message(client * 100 + i, padding=900_000) for i in range(12))
        return node.put(f"/ingest/slow{client % 2}/", body)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(put, range(8)))
    assert [answer.status_code for answer in answers] == [201] * 8
    assert sum(answer.json()["stored"] for answer in answers) == 96


def test_the_answer_to_many_messages_is_whole(node):
    count = 20_000
    body = b"".join(small_message(i) for i in range(count))
    answer = node.put("/ingest/many/", body)
    assert answer.status_code == 201
    assert len(answer.content) > 4 << 20  # more than is kept in memory
    lines = answer.json()["messages"]
    assert len(lines) == count
    assert len({line["digest"] for line in lines}) == count
    for place in (0, 1, count // 2, count - 1):
        assert read_location(lines[place]["locations"][0]) == small_message(place)
    broken = node.put("/ingest/many/", body + b"GRIB\0\0\0\5" + bytes(100))
    assert broken.status_code == 422
    assert broken.json()["known"] == len(broken.json()["messages"]) == count


def test_have_names_what_is_missing(node):
    messages = [small_message(i) for i in range(10)]
    node.put("/ingest/have/", b"".join(messages[:5]))
    question = {"source": "have", "base_time": "2020-01-02T03:00:00Z", "digests": [digest(message) for message in messages]}
    for scope in ("", "?scope=cluster"):
        assert node.post(f"/have{scope}", json=question).json()["missing"] == question["digests"][5:]
    known = node.post("/have", json={**question, "places": True}).json()["known"]
    assert [entry["digest"] for entry in known] == question["digests"][:5]
    assert read_location(known[3]) == messages[3]
    assert node.post("/have", json={**question, "base_time": "2019-01-01T00:00:00Z"}).json()["missing"] == question["digests"]
    assert node.post("/have", json={**question, "digests": ["x"]}).json()["code"] == "bad-value"
    assert node.post("/have", data="{").json()["code"] == "bad-value"


def test_acknowledged_messages_survive_the_power_switch(daemons):
    node = daemons.node()
    kept = {}
    for turn in range(5):
        for part in range(20):
            messages = [small_message(turn * 1000 + part * 10 + i) for i in range(10)]
            for line, message in zip(node.put("/ingest/kill/", b"".join(messages)).json()["messages"], messages):
                kept[line["digest"]] = (line["locations"][0], message)
        node.kill()
        node.start().wait_ready()
        with requests.Session() as session:
            for location, message in kept.values():
                assert read_location(location, session) == message


def test_a_run_that_is_told_retired_takes_nothing_more(node):
    assert node.put("/ingest/ret/", small_message(1)).status_code == 201
    run = "/cluster/runs/ret/20200102T0300Z"
    state = {"incarnation": 1, "version": 3, "state": "retired"}
    told = node.put(run, json.dumps(state))
    assert (told.status_code, told.json()["state"]) == (200, "retired")
    assert node.put(run, json.dumps(state)).status_code == 200
    lower = node.put(run, json.dumps({**state, "version": 2, "state": "ready"}))
    assert (lower.status_code, lower.json()["code"], lower.json()["run"]["version"]) == (409, "stale-run", 3)
    refused = node.put("/ingest/ret/", small_message(1) + small_message(2))
    assert (refused.status_code, refused.json()["code"]) == (410, "run-retired")
    other = node.put("/ingest/ret/", small_message(3, year=2021) + small_message(4))
    assert (other.status_code, other.json()["stored"], other.json()["offset"]) == (410, 1, len(small_message()))


def test_a_purge_takes_exactly_the_retired_run(node):
    line = node.put("/ingest/gone/", small_message(1)).json()["messages"][0]
    run = "/cluster/runs/gone/20200102T0300Z"
    path = "/data/gone/20200102T0300Z/"
    assert node.delete(path).json()["code"] == "bad-request"
    assert node.delete(f"{path}?incarnation=1&version=0").status_code == 409
    node.put(run, json.dumps({"incarnation": 1, "version": 1, "state": "retired"}))
    assert node.delete(f"{path}?incarnation=1&version=2").status_code == 409
    assert node.delete(f"{path}?incarnation=1&version=1").status_code == 204
    assert node.delete(f"{path}?incarnation=1&version=1").status_code == 204
    assert requests.get(line["locations"][0]["url"], timeout=60).status_code in (404, 410)
    assert node.get(f"/sha256/{line['digest']}").status_code == 404
    node.put(run, json.dumps({"incarnation": 1, "version": 2, "state": "purged"}))
    assert node.put("/ingest/gone/", small_message(1)).json()["code"] == "purged"
    node.put(run, json.dumps({"incarnation": 2, "version": 3, "state": "filling"}))
    again = node.put("/ingest/gone/", small_message(1))
    assert again.status_code == 201
    assert again.json()["messages"][0]["locations"][0]["url"] != line["locations"][0]["url"]


def test_a_full_disk_is_507_before_the_body_is_sent(daemons):
    node = daemons.node(arguments=["--reserve", "900TiB"], ready=False)
    await_condition(node.answers, "it answers")
    with socket.create_connection(node.listen.split(":"), timeout=60) as client:
        client.sendall(b"PUT /ingest/full/ HTTP/1.1\r\nHost: x\r\nContent-Length: 49\r\nExpect: 100-continue\r\n\r\n")
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 507 ")
    assert b'"code":"full"' in answer
    ready = node.get("/readyz")
    assert ready.status_code == 503
    assert [check["name"] for check in ready.json()["checks"] if not check["ok"]] == ["disk"]
    assert node.get("/cluster/runs").status_code == 200
