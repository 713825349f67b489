#!/usr/bin/env python3
"""Writes the inputs from which fuzzing begins into corpus/: the smallest of each form, made here and nowhere else.

Usage: make_corpus.py [DIRECTORY]. What is there and not written by this script (inputs that found something) is left alone.
"""

import json
import pathlib
import sys


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

CORPUS = {
    "fuzz_grib_scan": {name: b"\x02" + data for name, data in (MESSAGES | BODIES).items()},
    "fuzz_grib_head": {name: flag + data for name, data in MESSAGES.items() for flag in (b"\0",)}
    | {f"{name}-sized": b"\x01" + data for name, data in MESSAGES.items()},
    "fuzz_journal_record": {name: b"\x01" + data for name, data in RECORDS.items()},
    "fuzz_cluster_map": {
        "whole": cluster_map(),
        "one": cluster_map(shards=1, replicas=1, nodes=[{"id": "a", "url": "", "host": "", "colo": "", "weight": 1,
                                                         "state": "in"}],
                           eras=[{"from": None, "owners": [["a"]]}], later=[1, {}]),
        "unknown": cluster_map(nodes=[]),
    },
}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "corpus")
    for target, inputs in CORPUS.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (folder / target / name).write_bytes(data)


if __name__ == "__main__":
    main()
