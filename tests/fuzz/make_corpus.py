#!/usr/bin/env python3
"""Writes the inputs from which fuzzing begins into corpus/: the smallest of each form, and heads of real messages.

Usage: make_corpus.py [DIRECTORY]. What is there and not written by this script (inputs that found something) is left alone.
Heads are those of the real files (GRIBSTORE_TEST_GRIB, else ../shared/grib beside the project), one of each kind, their values
left out; without the files those that are there stay. How an input is read stands in front of each target.
"""

import json
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
GRIB_DIR = pathlib.Path(os.environ.get("GRIBSTORE_TEST_GRIB", ROOT.parent / "shared/grib"))
HEAD_MAX = 2000
HEADS_MAX = 40


def section2(number, size, head=b""):
    return (size.to_bytes(4, "big") + bytes([number]) + head).ljust(size, b"\x55")


DATE2 = b"\x00" * 7 + b"\x07\xdd\x04\x08\x0c\x00\x00"


def grib2(*sections):
    body = b"".join(sections) + b"7777"
    return b"GRIB\xff\xff\x00\x02" + (len(body) + 16).to_bytes(8, "big") + body


def field2(*, start=3):
    sizes = {2: 9, 3: 14, 4: 9, 5: 11, 6: 6, 7: 8}
    return [section2(number, sizes[number]) for number in range(start, 8)]


def grib1(flags, length=None, section4=24):
    section1 = (b"\x00\x00\x1c\x02\x62\x01\xff" + bytes([flags]) + b"\x0b\x64\x01\xf4").ljust(12)
    section1 = (section1 + b"\x0d\x04\x08\x0c\x00\x01\x00\x00\x00\x00\x00\x00\x15").ljust(28, b"\x00")
    body = section1
    if flags & 0x80:
        body += b"\x00\x00\x20" + b"\x00" * 29
    if flags & 0x40:
        body += b"\x00\x00\x08" + b"\x00" * 5
    body += section4.to_bytes(3, "big") + b"\x08" + b"\x00" * 20 + b"7777"
    length = len(body) + 8 if length is None else length
    return b"GRIB" + length.to_bytes(3, "big") + b"\x01" + body


ONE2 = grib2(section2(1, 21, DATE2), *field2())
TWO2 = grib2(section2(1, 21, DATE2), *field2(start=2), *field2(start=4), *field2(start=3), *field2(start=2))
MESSAGES = {
    "one2": ONE2,
    "two2": TWO2,
    "plain1": grib1(0x80),
    "bitmap1": grib1(0xC0),
    "bare1": grib1(0),
    "extended1": grib1(0x80, length=0x800001, section4=8),
    "long1": grib1(0x80, length=0x80006C, section4=0x7FFFFF),
}
BODIES = {
    "heading": b"\x01\r\r\nTTAA01 KWBC 080000\r\r\n" + ONE2 + b"\r\r\n\x03",
    "several": ONE2 + b"GRI\0" + MESSAGES["plain1"] + TWO2 + b"GRIG",
    "cut": ONE2[:-5],
    "edition3": b"GRIB\0\0\0\x03" + b"\0" * 20,
    "html": b"<!DOCTYPE html><html>",
    "netcdf": b"CDF\x01\0\0\0\0\0\0\0\n\0\0\0\x01",
    "empty": b"",
}


def cluster_map(**changes):
    nodes = [
        {"id": f"n{i}", "url": f"http://a:{i}", "host": f"h{i}", "colo": "c", "weight": i, "state": state}
        for i, state in enumerate(("in", "retiring", "evacuating", "out"), 1)
    ]
    eras = [
        {"from": None, "owners": [["n1"], ["n2", "n1"]]},
        {"from": "2013-04-08T00:00:00Z", "owners": [["n1", "n3"], ["n2", "n3"]]},
    ]
    whole = {"cluster": "0123456789abcdef" * 2, "epoch": 3, "shards": 2, "replicas": 2, "min_replicas": 1,
             "indexers": ["http://i:8400"], "nodes": nodes, "eras": eras}
    return json.dumps(whole | changes, separators=(",", ":")).encode()


def journal_record(kind, birth=0, offset=0, length=0, shard=1):
    return (birth.to_bytes(8, "big").ljust(32, b"\0") + offset.to_bytes(8, "big") + length.to_bytes(8, "big")
            + (5).to_bytes(8, "big") + shard.to_bytes(2, "big") + kind.to_bytes(2, "big") + b"\0" * 4)


RECORDS = {
    "file": journal_record(0x101, birth=77),
    "stored": journal_record(2, birth=1 << 60, offset=100, length=200),
    "void": journal_record(0x8002, birth=1 << 60, offset=100, length=200),
    "bad": journal_record(3, birth=1 << 60, offset=100, length=7),
    "dropped": journal_record(4, birth=77),
    "header": b"GRSTOJNL" + (1).to_bytes(8, "big") + (1).to_bytes(8, "big") + (9).to_bytes(8, "big") + b"\0" * 32,
    "run": b"\x04hres".ljust(72, b"\0") + (1365379200).to_bytes(8, "big") + (1).to_bytes(8, "big") + b"\0" * 16
           + b"\0\x02" + b"\0" * 22,
}

# --- heads of real messages ---

def messages_of(data):
    at = data.find(b"GRIB")
    while at >= 0 and at + 16 <= len(data):
        edition = data[at + 7]
        size = int.from_bytes(data[at + 8:at + 16], "big") if edition == 2 else int.from_bytes(data[at + 4:at + 7], "big")
        if edition in (1, 2) and 16 < size <= len(data) - at and data[at + size - 4:at + size] == b"7777":
            yield data[at:at + size]
            at += size - 1
        at = data.find(b"GRIB", at + 1)


def without_values2(message):
    """Sections 0 to 5, six octets of 6, five of 7; lengths set right."""
    sections, kind, at = [], [], 16
    while message[at:at + 4] != b"7777":
        size, number = int.from_bytes(message[at:at + 4], "big"), message[at + 4]
        section = message[at:at + size]
        if number in (3, 4, 5):
            kind.append((number, section[{3: 12, 4: 7, 5: 9}[number]:][:2], size))
        keep = {6: 6, 7: 5}.get(number, size)
        sections.append(keep.to_bytes(4, "big") + section[4:keep])
        at += size
    body = b"".join(sections) + b"7777"
    return message[:8] + (16 + len(body)).to_bytes(8, "big") + body, tuple(kind)


def without_values1(message):
    """Sections 0, 1, 2, and eleven octets of section 4."""
    flags, at = message[15], 8 + int.from_bytes(message[8:11], "big")
    for bit in (0x80, 0x40):
        at += int.from_bytes(message[at:at + 3], "big") if flags & bit else 0
    section4 = (11).to_bytes(3, "big") + message[at + 3:at + 11]
    whole = message[:at] + section4 + b"7777"
    return b"GRIB" + len(whole).to_bytes(3, "big") + whole[7:], (flags, message[12], message[18:21], at)


def real_heads():
    heads = {}
    for path in sorted(GRIB_DIR.glob("*.grib*")) if GRIB_DIR.is_dir() else []:
        for message in messages_of(path.read_bytes()):
            head, kind = (without_values2 if message[7] == 2 else without_values1)(message)
            if len(head) <= HEAD_MAX and len(heads) < HEADS_MAX:
                heads.setdefault((message[7], kind), head)
    return {f"real-{place:02}": head for place, head in enumerate(heads.values())}


REAL = real_heads()

# --- HTTP ---

HOST = b"Host: a\r\n"
REQUESTS = {
    "get": b"GET /names/a/b?param=2t&x=%20+ HTTP/1.1\r\n" + HOST + b"Accept: a\r\nAccept: b\r\n\r\n",
    "old": b"GET /file HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "put": b"PUT /gather HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    "chunked": b"POST /stream HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
    "both": b"PUT /gather HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "fold": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    "patch": b"PATCH /gather HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n",
    "upgrade": b"GET / HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "absolute": b"\r\nOPTIONS http://[::1]:80?q HTTP/1.1\r\n" + HOST + b"\r\n",
    "star": b"OPTIONS * HTTP/1.1\r\nHost: a:80\r\nConnection: close, x\r\n\r\n",
    "ranges": b"GET /file HTTP/1.1\r\n" + HOST + b"Range: bytes=0-9,90-,-5\r\n\r\n",
    "head": b"HEAD /file HTTP/1.1\r\n" + HOST + b"\r\n",
    "flow": b"GET /flow HTTP/1.1\r\n" + HOST + b"\r\n",
    "early": b"PUT /early HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n123456789",
    "cut": b"GET /cut HTTP/1.1\r\n" + HOST + b"\r\n",
    "remove": b"DELETE /names/a%2fb/%00/ HTTP/1.1\r\n" + HOST + b"\r\n",
}
CUTS = b"\x03\x00\x10\x03"
BODIES_CHUNKED = {
    "one": b"5\r\nhello\r\n0\r\n\r\n",
    "upper": b"00a;x=\"y\"\r\n0123456789\r\nA\r\n0123456789\r\n0\r\nt: v\r\n\r\nGET",
    "huge": b"fffffffffffffffff\r\n",
    "bare": b"5\nhello\r\n0\r\n\r\n",
}
TAG = b'"6f3a92c1d0e4b7a5-4096"'
CONDITIONS = {
    "tags": b"\x1f" + TAG + b', W/"a"\n*\nSun, 06 Nov 1994 08:49:37 GMT\nSunday, 06-Nov-94 08:49:37 GMT\nSun Nov  6 08:49:37 1994',
    "range": b"\x10" + TAG,
    "dates": b"\x0cSat, 29 Feb 2020 23:59:60 GMT\nThu, 01 Jan 1970 00:00:00 GMT",
}
TOKENS = {
    "some": b"# who\n\nreader sha256:" + b"a1" * 32 + b" read sources=hres,gfs requests=10 bytes=1MiB\n"
            b"n1\tcert:" + b"b2" * 32 + b"\tnode,admin expires=2030-01-01T00:00:00Z\n",
    "twice": 2 * (b"a sha256:" + b"a1" * 32 + b" ingest\n"),
}

# --- what is on disk, and what processes say to each other ---

def runs_log(*records):
    header = b"GRSTORUN" + (1).to_bytes(8, "big") + b"\0" * 8 + (9).to_bytes(8, "big") + b"\0" * 32
    return header + b"".join(record.ljust(128, b"\0") for record in records)


DIGESTS = ["11" * 32, "22" * 32]
RUN = {"source": "hres", "base_time": "2013-04-08T00:00:00Z"}
LOCATION = {"url": "http://a:1/data/hres/20130408T0000Z/0001-000000000000004d.grib", "offset": 0, "length": 100}
GIVEN_UP = RUN | {"node": "n3", "incarnation": 1, "journal": "00000000000000aa", "records": 5}
PLACE = {"digest": "a1" * 32, "length": 9, "stored_at": 7, "node": "n1", "file": "0017-6f3a92c1d0e4b7a5.grib", "offset": 4, "as": "field"}


def jsons(*values):
    return b"\n".join(json.dumps(value, separators=(",", ":")).encode() for value in values)


def frame(tag, word, body):
    return (len(body) + 12).to_bytes(4, "big") + tag.to_bytes(8, "big") + word.to_bytes(4, "big") + body


LISTING = {"seq": "1.2", "full": True, "runs": [{
    **RUN, "incarnation": 1, "version": 0, "state": "filling", "journal": "000000000000004d", "records": 3,
    "files": [{"shard": 1, "birth": "000000000000004d", "size": 100, "count": 1}]}]}
SURVEY = jsons(
    LISTING, LISTING | {"runs": [LISTING["runs"][0] | {"source": "gfs"}, *LISTING["runs"]]},
    {"node": "n1", "total": 1000, "free": 400, "reserve": 50, "used": 600, "high_water": 900},
    {"rate": 100, "running": True, "bytes_left": 7, "nodes": [{"up": True, "settled": False}]}, {"files": 3, "grace_files": 1},
    {"plan": 1, "action": "retire", "subject": "n1", "before": json.loads(cluster_map(epoch=1)), "after": json.loads(cluster_map(epoch=2))})
NODE = {"format": 1, "cluster": "0123456789abcdef" * 2, "id": "n1", "url": "http://a:1", "host": "h", "colo": "c"}
KEYS = {"param": "msl", "level": 0, "step": 1.5, "gridType": "reduced_gg", "$where": "x", "digest": "x", "list": [1]}
RECOVERED = b"".join(bytes(record) for record in (
    [0x80, 1, 0, 0, 0, 5, 0], [1, 1, 0, 0, 0, 6, 0], [1, 1, 1, 0, 0, 7, 0],
    [0x80, 2, 0, 0, 0, 8, 0], [1, 2, 0, 0, 0, 9, 0], [0x82, 1, 0, 1, 0, 10, 0], [0x81, 2, 1, 0, 0, 11, 0]))
QUERIES = {
    "mars": b"param=2t/msl&step=0/to/240/by/6&levelist=500&source=hres&base_time=2013-04-08T00:00:00Z&limit=1000&all=1",
    "ids": b"param=167/130.128&levtype=sfc&date=20130408/to/20130410&time=00/12&number=1/to/50&expver=1&format=ndjson",
    "units": b"step=90m/1h30m/0-24&valid_time=20130408T0000Z&digest=" + b"a1" * 32 + b"&class=od&stream=oper&type=fc",
    "order": b"sort=-levelist,param&cursor=3.68726573008000000051620800" + b"00" * 16 + b"~5b3530302c2274225d&as_of=2013-04-08T00:00:00.5Z",
    "other": b"base_time=latest&limit=all&colo=a&count=1&missing=1&format=csv&number=any&levelist=off&valid_time=20130408T0000Z/to/20130408T0600Z/by/90m",
}
QUERY_BODIES = {
    "mars": b"retrieve, # all of it\n class = od, param = t/130.128/'gh', levelist = 500/to/1000/by/100,\n step = 0/to/24/by/6, target = \"a b.grib\" .\n",
    "inherits": b"ret,param=t,levelist=500,date=-1,time=0/12\nlist,param=2t,levelist=off,area=off\n",
    "json": b'{"param": ["t", "z"], "step": {"from": 0, "to": 240, "by": 6}, "number": 1, "all": true, "sort": "step"}',
    "list": b'[{"param": "2t/167", "step": "0-24/90m"}, {"base_time": "2013-04-08T00:00:00Z", "levelist": [500, {"from": 1, "to": 3}]}]',
}

CORPUS = {
    "fuzz_grib_frame": {name: CUTS + data for name, data in (MESSAGES | BODIES).items()},
    "fuzz_grib_scan": {name: CUTS + data for name, data in (MESSAGES | BODIES).items()},
    "fuzz_grib_head": {name: flag + data for name, data in (MESSAGES | REAL).items() for flag in (b"\0",)}
    | {f"{name}-sized": b"\x01" + data for name, data in MESSAGES.items()},
    "fuzz_http_head": {name: CUTS + data for name, data in REQUESTS.items()},
    "fuzz_http_conn": {name: b"\0" + CUTS + data for name, data in REQUESTS.items()}
    | {"pipelined": b"\0\0" + b"".join(REQUESTS[name] for name in ("get", "put", "chunked", "ranges", "flow", "head")),
       "bytewise": b"\0\1\0" + REQUESTS["put"] + REQUESTS["chunked"],
       "left": b"\1" + CUTS + REQUESTS["flow"]},
    "fuzz_http_chunks": {name: b"\0" + CUTS + data for name, data in BODIES_CHUNKED.items()}
    | {"length": b"\1" + CUTS + b"x" * 110},
    "fuzz_http_range": {
        "one": (1 << 20).to_bytes(8, "big") + b"bytes=0-9",
        "many": (1 << 20).to_bytes(8, "big") + b"bytes=0-0, 5-9,-3 ,7-,,",
        "huge": (1 << 62).to_bytes(8, "big") + b"Bytes=0-18446744073709551615,99999999999999999999-",
    },
    "fuzz_http_condition": {name: (1 << 58).to_bytes(8, "big") + data for name, data in CONDITIONS.items()},
    "fuzz_token_file": TOKENS,
    "fuzz_journal_record": {name: b"\x01" + data for name, data in RECORDS.items()},
    "fuzz_journal_feed": {"some": b"\x03" + b"".join(RECORDS[name] for name in ("file", "stored", "void", "stored", "bad", "dropped"))},
    "fuzz_run_log": {"two": b"\x01" + runs_log(RECORDS["run"], RECORDS["run"]), "none": b"\x01" + runs_log()},
    "fuzz_recover": {
        "sound": b"\x08\x02\x02\x02\x02" + RECOVERED,
        "header": b"\x19\x06\x06\x86\xff" + RECOVERED,
        "torn": b"\x2c\x02\x83\x02\x02" + RECOVERED,
    },
    "fuzz_node_json": {"whole": jsons(NODE), "newer": jsons(NODE | {"format": 2})},
    "fuzz_config": {
        "size": b"\x0064MiB", "time": b"\x0015min", "near": b"\0lisen",
        "file": b"\x01[node]\nlisten = 127.0.0.1:0 ; here\ndata = /tmp/x\n# no\n[store]\nbatch-size = 1MiB\n[http]\nidle-timeout = 5s\n",
    },
    "fuzz_sources_file": {
        "some": b"[*]\nrun-bytes = 1GiB\nunknown = no\n[hres]\nrun-messages = 100\noldest = 30d\nnewest = 12h ; ahead\n",
        "twice": b"[hres]\noldest = 1d\n[hres]\noldest = 2d\n",
    },
    "fuzz_cluster_map": {
        "whole": cluster_map(),
        "one": cluster_map(shards=1, replicas=1, nodes=[{"id": "a", "url": "", "host": "", "colo": "", "weight": 1,
                                                         "state": "in"}],
                           eras=[{"from": None, "owners": [["a"]]}], later=[1, {}]),
        "unknown": cluster_map(nodes=[]),
    },
    "fuzz_names": {
        "run": b"hres/20130408T0000Z", "time": b"2013-04-08T00:00:30Z", "file": b"0017-6f3a92c1d0e4b7a5.grib",
        "digest": b"a1" * 32, "stamps": b"1,2,18446744073709551615", "address": b"[::1]:8410", "url": b"https://a:1",
        "id": b"hres\0" + (1365379200 ^ 1 << 63).to_bytes(8, "big"),
    },
    "fuzz_have_request": {"both": jsons(RUN | {"digests": DIGESTS, "places": True}, {"missing": DIGESTS[1:]}),
                          "none": jsons(RUN | {"digests": DIGESTS}, {"missing": []})},
    "fuzz_replica_answer": {
        "put": b"\0" + jsons({"messages": [{"digest": DIGESTS[0], "new": True, "stored_at": 7, "locations": [LOCATION]},
                                           {"digest": DIGESTS[1]}]}),
        "have": b"\1" + jsons({"known": [LOCATION | {"digest": DIGESTS[1], "stored_at": 7}]}),
        "run": b"\0" + jsons({"incarnation": 1, "version": 2, "state": "retired"}),
        "problem": b"\0" + jsons({"code": "full", "detail": "only 1 byte", "offset": 7, "title": "The disk is full"}),
        "granted": b"\0" + jsons({"granted": ["6f3a92c1d0e4b7a5"], "refused": [{"birth": "0000000000000002", "code": "behind", "why": "by 7"}]}),
        "removed": b"\0" + jsons({"removed": ["6f3a92c1d0e4b7a5"]}),
    },
    "fuzz_client_objects": {
        "lines": b"\n".join(json.dumps(line).encode() for line in (PLACE, PLACE | {"as": "older", "stored_at": 0}, {"end": True, "locations": 2})) + b"\n",
        "node": json.dumps(PLACE | {"node": "../a b"}).encode(),
        "members": json.dumps([{"digest": DIGESTS[0], "stored_at": 7, "birth": "6f3a92c1d0e4b7a5", "offset": 0, "length": 9}, {}]).encode(),
        "runs": json.dumps({"full": True, "runs": [RUN | {"incarnation": 1, "version": 2, "state": "ready", "records": 3}]}).encode(),
        "braces": b' [{"a":"}{][\\"\\\\"} , {"b":[{},[]]}]',
    },
    "fuzz_release": {
        "asked": jsons(GIVEN_UP | {"files": [{"shard": 0, "birth": "6f3a92c1d0e4b7a5", "digests": DIGESTS}]},
                       {"missing": [], "known": [{"digest": digest, "stored_at": 7, "url": LOCATION["url"].replace("0001-", "0000-"), "offset": 0, "length": 9}
                                                 for digest in DIGESTS]}, {"state": "none"}),
        "dropped": jsons(GIVEN_UP | {"files": ["6f3a92c1d0e4b7a5"], "final": True}, {"known": []}, {"state": "asked"}),
    },
    "fuzz_survey": {
        "all": SURVEY,
        "shard": SURVEY.replace(b'"shard":1', b'"shard":99999'),
        "part": SURVEY.replace(b'"full":true', b'"full":false', 1),
        "later": SURVEY.replace(b'"epoch":2', b'"epoch":3'),
    },
    "fuzz_tail_listing": {"two": jsons(LISTING, LISTING | {"full": False, "runs": []}, LISTING | {"runs": []}),
                          "shard": jsons(LISTING).replace(b'"shard":1', b'"shard":99999')},
    "fuzz_decoder_answer": {
        "keys": b"\0" + frame(1, 0, jsons(KEYS)) + frame(2, 1, b"no such template") + frame(3, 0, b"[]"),
        "none": CUTS + frame(1, 0, b"") + b"\xff\xff\xff\xff" + b"\0" * 12,
    },
    "fuzz_query": QUERIES,
    "fuzz_query_body": QUERY_BODIES,
}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "corpus")
    for target, inputs in CORPUS.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (folder / target / name).write_bytes(data)


if __name__ == "__main__":
    main()
