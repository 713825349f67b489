"""The query that services already make, on the index of ops/run --mongo: one field's first location, and its bytes.

    python ops/mongo_find_one.py PORT
"""

import hashlib
import sys

import pymongo
import requests


def main(port):
    db = pymongo.MongoClient("127.0.0.1", port, replicaSet="rs0").gribstore
    some = db.fields.find_one()
    if some is None:
        sys.exit("the index is empty")
    param, base_time = some["param"], some["base_time"]
    print(f'db.fields.findOne({{param: "{param}", base_time: ISODate("{base_time:%Y-%m-%dT%H:%M:%SZ}")}}).locations[0]')
    field = db.fields.find_one({"param": param, "base_time": base_time})
    at = field["locations"][0]
    print(f"-> url {at['url']}, offset {at['offset']}, length {at['length']}")
    grib = requests.get(at["url"], headers={"Range": f"bytes={at['offset']}-{at['offset'] + at['length'] - 1}"}, timeout=30)
    grib.raise_for_status()
    digest = hashlib.sha256(grib.content).hexdigest()
    if digest != field["digest"] or grib.content[:4] != b"GRIB" or grib.content[-4:] != b"7777":
        sys.exit(f"the bytes at that place are not the message: {digest}, not {field['digest']}")
    print(f"-> {len(grib.content)} bytes from GRIB to 7777, SHA-256 {digest}: the document's")


if __name__ == "__main__":
    main(int(sys.argv[1]))
