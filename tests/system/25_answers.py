"""What every answer carries: one shape of error, CORS, digests, a listing that programs can follow; and what is ignored."""

import base64
import hashlib
import re
import urllib.parse

import pytest

from conftest import Daemons
from processes import Cluster
from raw_http import ask, problem_of, request


def message(number=0):
    """An edition 2 message that frames and has a date; nobody could decode it."""
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + number.to_bytes(8, "big") + bytes(1000)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


@pytest.fixture(scope="module")
def daemons(tmp_path_factory):
    running = Daemons(tmp_path_factory.mktemp("answers"))
    running.node("n1")
    running.indexer(running.started[:1])
    yield running
    running.stop()


@pytest.fixture
def node(daemons):
    return daemons.started[0]


@pytest.fixture(params=["storaged", "indexer"])
def face(daemons, request):
    return daemons.started[request.param == "indexer"]


@pytest.fixture
def line(node):
    return node.put("/ingest/answers/", message()).json()["messages"][0]


def field_of(data):
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


# --- every answer ---

def answers_of(face):
    """One of each kind that both daemons give."""
    return [ask(face, data, method) for method, data in [
        ("GET", request("GET", "/healthz")), ("HEAD", request("HEAD", "/healthz")), ("GET", request("GET", "/metrics")),
        ("GET", request("GET", "/openapi.json")), ("GET", request("GET", "/none")), ("HEAD", request("HEAD", "/none")),
        ("POST", request("POST", "/healthz", body=b"")), ("OPTIONS", request("OPTIONS", "/healthz")), ("GET", b"nonsense\r\n\r\n"),
        ("GET", request("GET", "/" + "x" * 9000)), ("PUT", request("PUT", "/healthz", "Expect: more", body=b"")),
    ]]


def test_every_answer_says_what_it_is_and_nothing_of_versions(face):
    for answer in answers_of(face):
        assert answer.get("X-Content-Type-Options") == "nosniff"
        assert not re.search(r"\d", answer.get("Server"))
        assert answer.get("Date") and answer.get("X-Request-Id")
        if answer.status >= 300:
            assert answer.get("Cache-Control") == "no-store"
        assert answer.get("Set-Cookie") is None and answer.get("Content-Disposition") is None


def test_errors_have_one_shape_and_are_short(face):
    seen = [answer for answer in answers_of(face) if answer.status >= 400 and answer.body]
    assert {answer.status for answer in seen} == {400, 404, 405, 414}
    for answer in seen:
        problem_of(answer)
        assert len(answer.body) < 400


def test_request_ids_are_passed_on_and_insane_ones_replaced(face):
    for sent, kept in (("abc.DEF_1-2", True), ("a" * 64, True), ("a" * 65, False), ("a b", False), ('"x"', False), ("<b>", False)):
        answer = ask(face, request("GET", "/none", f"X-Request-Id: {sent}"))
        assert (answer.get("X-Request-Id") == sent) == kept
        assert answer.json["instance"] == answer.get("X-Request-Id")


def test_what_proxies_and_frameworks_add_changes_nothing(face):
    """No method, path, host or address but the request's own."""
    answer = ask(face, request("GET", "/healthz", "X-HTTP-Method-Override: DELETE", "X-Method-Override: PUT", "X-Original-URL: /none",
                               "X-Rewrite-URL: /none", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-Host: elsewhere", "Forwarded: for=10.0.0.1"))
    assert answer.status == 200


# --- pages of other hosts (R13) ---

def test_pages_of_other_hosts_may_read(node, line):
    path = line["locations"][0]["url"].removeprefix(node.url)
    for target in (path, f"/sha256/{line['digest']}", "/data/answers/20200102T0300Z/", "/none"):
        answer = ask(node, request("GET", target, "Origin: http://elsewhere", "Range: bytes=0-3"))
        assert answer.get("Access-Control-Allow-Origin") == "*"
        assert {"Content-Range", "Accept-Ranges", "ETag", "Content-Length"} <= \
            set(answer.get("Access-Control-Expose-Headers").split(", "))
        assert answer.get("Access-Control-Allow-Credentials") is None
        asked = ask(node, request("OPTIONS", target, "Origin: http://elsewhere", "Access-Control-Request-Method: GET",
                                  "Access-Control-Request-Headers: range,if-range,authorization"))
        if target != "/none":
            assert (asked.status, asked.get("Access-Control-Allow-Origin")) == (204, "*")
            assert {"Range", "If-Range", "Authorization"} <= set(asked.get("Access-Control-Allow-Headers").split(", "))
            assert "GET" in asked.get("Access-Control-Allow-Methods").split(", ")


# --- digests (RFC 9530) ---

def test_a_put_is_answered_with_the_address_of_its_message(node):
    data = message(1)
    for status in (201, 200):
        answer = ask(node, request("PUT", "/ingest/answers/", body=data))
        digest = hashlib.sha256(data).hexdigest()
        assert (answer.status, answer.get("ETag"), answer.get("Repr-Digest")) == (status, f'"{digest}"', field_of(data))
        assert answer.get("Location").endswith(f"/sha256/{digest}")
    several = ask(node, request("PUT", "/ingest/answers/", body=message(2) + message(3)))
    assert (several.get("Location"), several.get("Repr-Digest")) == (None, None)


def test_a_message_tells_its_digest_whole_or_in_parts(node, line):
    target = f"/sha256/{line['digest']}"
    for method, fields in (("GET", []), ("HEAD", []), ("GET", ["Range: bytes=0-3"]), ("GET", ["Range: bytes=0-3,5-6"])):
        assert ask(node, request(method, target, *fields), method).get("Repr-Digest") == field_of(message())


def test_who_wants_a_digest_of_what_is_sent_gets_it(node, line):
    target = f"/sha256/{line['digest']}"
    for want, given in (("sha-256=10", True), ("sha-512=9, sha-256=1", True), ("sha-256=0", False), ("sha-512=9", False), ("md5", False)):
        for fields in ([], ["Range: bytes=0-3"], ["Range: bytes=0-3,5-6"]):
            answer = ask(node, request("GET", target, f"Want-Content-Digest: {want}", *fields))
            assert answer.get("Content-Digest") == (field_of(answer.body) if given else None)
    assert ask(node, request("GET", target)).get("Content-Digest") is None


# --- methods that clients try ---

def test_a_post_is_no_put(node):
    for target in ("/ingest/answers/", "/ingest/answers", "/ingest/answers/name.grib", "/replica/answers", f"/sha256/{'0' * 64}"):
        answer = ask(node, request("POST", target, body=message()))
        problem_of(answer, "method")
        assert "PUT" in answer.get("Allow").split(", ")


# --- the listing (R14) ---

def test_the_links_of_a_listing_lead_to_its_files(node, line):
    base = f"{node.url}/data/answers/20200102T0300Z/"
    page = ask(node, request("GET", "/data/answers/20200102T0300Z/", "Accept: text/html, */*;q=0.1"))
    assert page.get("Content-Type") == "text/html; charset=utf-8" and page.get("Vary") == "Accept"
    links = re.findall(r'href="([^"]+)"', page.body.decode())
    listed = node.json("/data/answers/20200102T0300Z/")["files"]
    assert sorted(urllib.parse.urljoin(base, link) for link in links) == sorted(file["url"] for file in listed)
    assert not any("/" in link or ":" in link for link in links)
    for link in links:
        assert node.request("HEAD", urllib.parse.urljoin(base, link).removeprefix(node.url)).status_code == 200
    assert line["locations"][0]["url"] in {file["url"] for file in listed}


# --- elsewhere ---

def test_a_redirect_is_not_stored_and_keeps_the_request(tmp_path_factory):
    running = Daemons(tmp_path_factory.mktemp("redirect"))
    try:
        nodes = [running.node(f"n{place}", arguments=["--redirect"]) for place in (1, 2, 3)]
        Cluster(nodes, running.indexer(nodes, ready=False)).init()
        line = nodes[0].put("/ingest/answers/", message(9)).json()["messages"][0]
        holders = {location["url"].partition("/data/")[0] for location in line["locations"]}
        other = next(node for node in nodes if node.url not in holders)
        answer = ask(other, request("GET", f"/sha256/{line['digest']}", "Range: bytes=0-3,5-6"))
        assert (answer.status, answer.get("Cache-Control"), answer.body) == (307, "no-store", b"")
        assert answer.get("Location") in {f"{holder}/sha256/{line['digest']}" for holder in holders}
    finally:
        running.stop()
