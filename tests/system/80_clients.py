"""What users have already: curl, ten lines of Python, pymongo, multiurl."""

import hashlib
import json
import subprocess

import pytest

TEN_LINES = '''
import sys, hashlib, datetime, pymongo, requests
db = pymongo.MongoClient(sys.argv[1]).gribstore
field = db.fields.find_one({"param": sys.argv[2], "base_time": datetime.datetime.fromisoformat(sys.argv[3])})
at = field["locations"][0]
last = at["offset"] + at["length"] - 1
grib = requests.get(at["url"], headers={"Range": f"bytes={at['offset']}-{last}"}).content
assert hashlib.sha256(grib).hexdigest() == field["digest"]
print(len(grib))
'''


def curl(*arguments):
    done = subprocess.run(["curl", "-sS", "-f", *map(str, arguments)], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_curl_puts_a_file_and_reads_a_range(node, indexer, grib):
    file = grib.GRIB_DIR / "padding.grib"
    answer = json.loads(curl("-T", file, f"{node.url}/ingest/demo/"))
    assert answer["stored"] == 2
    indexer.await_messages("demo", 2)
    fields = json.loads(curl(f"{indexer.url}/v1/fields?source=demo"))["fields"]
    messages = {message.digest: message.data for message in grib.split_grib(file)}
    for field in fields:
        at = field["locations"][0]
        assert curl("-r", f"{at['offset']}-{at['offset'] + at['length'] - 1}", at["url"]) == messages[field["digest"]]


def test_ten_lines_of_python_read_a_field_through_mongodb(daemons, node, grib, mongod):
    import sys

    indexer = daemons.indexer([node], catalog=mongod.replace("/?", "/gribstore?"))
    node.put("/ingest/services/", data=(grib.GRIB_DIR / "regular_gg_sfc.grib").read_bytes())
    indexer.await_messages("services", 1)
    field = indexer.fields(source="services")[0]
    done = subprocess.run([sys.executable, "-c", TEN_LINES, mongod, field["param"], field["base_time"].rstrip("Z")], capture_output=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) == field["length"]


@pytest.mark.parametrize("count", [1, 40, 160])
def test_multiurl_parts_are_the_messages(node, indexer, grib, tmp_path, count):
    import multiurl

    node.put("/ingest/parts/", data=(grib.GRIB_DIR / "era5-levels-members.grib").read_bytes())
    indexer.await_messages("parts", 160)
    by_url = {}
    for field in indexer.fields(source="parts", limit=1000)[:count]:
        at = field["locations"][0]
        by_url.setdefault(at["url"], {})[(at["offset"], at["length"])] = field["digest"]
    found = []
    for url, parts in by_url.items():
        target = tmp_path / "target.grib"
        multiurl.download(url=url, parts=sorted(parts), target=str(target))
        data, at = target.read_bytes(), 0
        for part in sorted(parts):
            found.append(hashlib.sha256(data[at:at + part[1]]).hexdigest() == parts[part])
            at += part[1]
        assert at == len(data)
    assert len(found) == count and all(found)
