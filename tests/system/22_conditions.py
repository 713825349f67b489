"""Conditions (RFC 9110 section 13): what If- headers make of a GET, alone, in pairs and in their order of precedence."""

import datetime
import email.utils

import pytest

from conftest import Daemons
from raw_http import Wire, ask, problem_of, request


def message(number=0):
    """An edition 2 message that frames and has a date; nobody could decode it."""
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + number.to_bytes(8, "big") + bytes(1000)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    running = Daemons(tmp_path_factory.mktemp("conditions"))
    yield running.node("n1", arguments=["--shards", "1"])
    running.stop()


@pytest.fixture(scope="module")
def paths(node):
    """Of a data file, and of a message in it."""
    line = node.put("/ingest/conditions/", message()).json()["messages"][0]
    return {"data": line["locations"][0]["url"].removeprefix(node.url), "sha256": f"/sha256/{line['digest']}"}


class Entity:
    def __init__(self, node, path):
        self.node, self.path = node, path
        head = ask(node, request("HEAD", path), "HEAD")
        self.etag, self.modified = head.get("ETag"), head.get("Last-Modified")
        self.size = int(head.get("Content-Length"))
        self.seconds = email.utils.parsedate_to_datetime(self.modified)

    def date(self, seconds=0, form="%a, %d %b %Y %H:%M:%S GMT"):
        return (self.seconds + datetime.timedelta(seconds=seconds)).strftime(form)

    def get(self, fields, method="GET"):
        return ask(self.node, request(method, self.path, *fields), method)


@pytest.fixture(params=["data", "sha256"])
def entity(node, paths, request):
    return Entity(node, paths[request.param])


RANGE = "Range: bytes=0-9"
OTHER = '"0123456789abcdef-1"'
OLD = "Mon, 01 Jan 1990 00:00:00 GMT"

# Section, status, the fields: {E} the etag, {M} Last-Modified, {N} the next second, {P} the one before.
CASES = [
    ("13.1.1", 200, ["If-Match: {E}"]),
    ("13.1.1", 200, ["If-Match: *"]),
    ("13.1.1", 412, ["If-Match: {O}"]),
    ("13.1.1 strong comparison", 412, ["If-Match: W/{E}"]),
    ("13.1.1 a list", 200, ['If-Match: "a", W/"b" ,, {E}']),
    ("13.1.1 a list in two fields", 200, ['If-Match: "a"', "If-Match: {E}"]),
    ("13.1.1 no tag", 412, ["If-Match: 12345"]),
    ("13.1.1 a range with it", 206, ["If-Match: {E}", RANGE]),
    ("13.1.1 a range without it", 412, ["If-Match: {O}", RANGE]),
    ("13.1.2", 304, ["If-None-Match: {E}"]),
    ("13.1.2 weak comparison", 304, ["If-None-Match: W/{E}"]),
    ("13.1.2", 304, ["If-None-Match: *"]),
    ("13.1.2", 200, ["If-None-Match: {O}"]),
    ("13.1.2 a list", 304, ['If-None-Match: {O}, W/"x",{E}']),
    ("13.1.2 a list in two fields", 304, ["If-None-Match: {O}", "If-None-Match: {E}"]),
    ("13.1.2 a comma in a tag", 200, ['If-None-Match: "a,{e},b"']),
    ("13.1.2 no quotes", 200, ["If-None-Match: {e}"]),
    ("13.1.2 304 before the range", 304, ["If-None-Match: {E}", RANGE]),
    ("13.1.2 304 before 416", 304, ["If-None-Match: {E}", "Range: bytes=99999999-"]),
    ("13.1.3", 304, ["If-Modified-Since: {M}"]),
    ("13.1.3", 304, ["If-Modified-Since: {N}"]),
    ("13.1.3", 200, ["If-Modified-Since: {P}"]),
    ("13.1.3", 200, ["If-Modified-Since: {X}"]),
    ("13.1.3 no date", 200, ["If-Modified-Since: yesterday"]),
    ("13.1.3 no day of the calendar", 200, ["If-Modified-Since: Wed, 30 Feb 2999 00:00:00 GMT"]),
    ("13.1.3 two dates", 200, ["If-Modified-Since: {M}", "If-Modified-Since: {M}"]),
    ("5.6.7 RFC 850", 304, ["If-Modified-Since: {rfc850}"]),
    ("5.6.7 asctime", 304, ["If-Modified-Since: {asctime}"]),
    ("13.1.4", 200, ["If-Unmodified-Since: {M}"]),
    ("13.1.4", 200, ["If-Unmodified-Since: {N}"]),
    ("13.1.4", 412, ["If-Unmodified-Since: {P}"]),
    ("13.1.4 no date", 200, ["If-Unmodified-Since: soon"]),
    ("13.1.4 two dates", 200, ["If-Unmodified-Since: {X}", "If-Unmodified-Since: {X}"]),
    ("13.1.5", 206, ["If-Range: {E}", RANGE]),
    ("13.1.5", 200, ["If-Range: {O}", RANGE]),
    ("13.1.5 strong comparison", 200, ["If-Range: W/{E}", RANGE]),
    ("13.1.5", 206, ["If-Range: {M}", RANGE]),
    ("13.1.5 an exact match", 200, ["If-Range: {N}", RANGE]),
    ("13.1.5", 200, ["If-Range: {P}", RANGE]),
    ("13.1.5 no list", 200, ["If-Range: {E}, {E}", RANGE]),
    ("13.1.5 no star", 200, ["If-Range: *", RANGE]),
    ("13.1.5 twice", 200, ["If-Range: {E}", "If-Range: {E}", RANGE]),
    ("13.1.5 empty", 200, ["If-Range:", RANGE]),
    ("13.1.5 without a range", 200, ["If-Range: {O}"]),
    ("13.1.5 before 416", 200, ["If-Range: {O}", "Range: bytes=99999999-"]),
    ("13.1.5 416 with it", 416, ["If-Range: {E}", "Range: bytes=99999999-"]),
    ("13.2.2 1 before 2", 200, ["If-Match: {E}", "If-Unmodified-Since: {X}"]),
    ("13.2.2 1 before 3", 412, ["If-Match: {O}", "If-None-Match: {E}"]),
    ("13.2.2 1, then 3", 304, ["If-Match: {E}", "If-None-Match: {E}"]),
    ("13.2.2 2 before 3", 412, ["If-Unmodified-Since: {X}", "If-None-Match: {E}"]),
    ("13.2.2 2 before 4", 412, ["If-Unmodified-Since: {X}", "If-Modified-Since: {M}"]),
    ("13.2.2 3 and not 4", 200, ["If-None-Match: {O}", "If-Modified-Since: {M}"]),
    ("13.2.2 3 and not 4", 304, ["If-None-Match: {E}", "If-Modified-Since: {X}"]),
    ("13.2.2 4 before 5", 304, ["If-Modified-Since: {M}", "If-Range: {E}", RANGE]),
    ("13.2.2 5 after all", 206, ["If-Match: {E}", "If-None-Match: {O}", "If-Range: {E}", RANGE]),
    ("13.2.2 5 after all", 200, ["If-Match: {E}", "If-None-Match: {O}", "If-Range: {O}", RANGE]),
]


@pytest.mark.parametrize("section, status, fields", CASES)
def test_conditions(entity, section, status, fields):
    words = {"E": entity.etag, "e": entity.etag.strip('"'), "O": OTHER, "M": entity.modified, "N": entity.date(1),
             "P": entity.date(-1), "X": OLD, "rfc850": entity.date(0, "%A, %d-%b-%y %H:%M:%S GMT"),
             "asctime": entity.date(0, "%a %b ") + f"{entity.seconds.day:2} " + entity.date(0, "%H:%M:%S %Y")}
    fields = [field.format(**words) for field in fields]
    answer = entity.get(fields)
    assert answer.status == status, answer
    # A HEAD is told the same, but that there are no ranges in it.
    headed = entity.get(fields, "HEAD")
    assert headed.status == (200 if status in (206, 416) else status)
    if status == 304:
        # Section 15.4.5: what a 200 would have said of the representation, and no length of a body that is not sent.
        whole = ask(entity.node, request("GET", entity.path))
        for name in ("ETag", "Last-Modified", "Cache-Control"):
            assert answer.get(name) == whole.get(name), name
        assert (answer.get("Content-Length"), answer.get("Content-Type"), answer.closes) == (None, None, False)
    if status in (412, 416):
        problem_of(answer)
    if status in (200, 206):
        assert len(answer.body) == (entity.size if status == 200 else 10)


def test_what_is_missing_has_no_conditions(node):
    """Section 13.2.1: they are looked at only where a plain request would succeed."""
    for fields in (["If-None-Match: *"], ["If-Match: *"], ["If-Modified-Since: " + OLD], [RANGE]):
        for path in ("/sha256/" + "0" * 64, "/data/conditions/20200102T0300Z/0000-0123456789abcdef.grib", "/none"):
            answer = ask(node, request("GET", path, *fields))
            problem_of(answer, "not-found")


def test_a_304_keeps_the_connection(node, paths):
    with Wire(node) as wire:
        for path in paths.values():
            etag = Entity(node, path).etag
            wire.send(request("GET", path, f"If-None-Match: {etag}") + request("HEAD", path, f"If-None-Match: {etag}"))
            assert [wire.answer().status, wire.answer("HEAD").status] == [304, 304]


def test_dates_are_in_the_one_form_and_not_ahead(entity):
    answer = entity.get([])
    date = email.utils.parsedate_to_datetime(answer.get("Date"))
    assert entity.seconds <= date
    assert entity.modified == entity.date() and answer.get("Date").endswith(" GMT")
