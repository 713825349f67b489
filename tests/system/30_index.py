"""From PUT to record: every field of the real files is found, by its own identity, with a place that holds its bytes."""

import hashlib

import pytest
import requests

from processes import await_condition


def read(location, session=requests):
    """The bytes at a location, by URL and range."""
    first, last = location["offset"], location["offset"] + location["length"] - 1
    answer = session.get(location["url"], headers={"Range": f"bytes={first}-{last}"}, timeout=60)
    assert answer.status_code == 206, f"{location}: {answer.status_code}"
    return answer.content


def check_bytes(fields):
    """Each location of each field holds the message that its digest names."""
    with requests.Session() as session:
        for field in fields:
            for location in field["locations"]:
                data = read(location, session)
                assert hashlib.sha256(data).hexdigest() == field["digest"], location
                assert data[:4] == b"GRIB" and data[-4:] == b"7777"


def check_against_tables(indexer, grib, name, source):
    """Messages, fields and identities of a file in the index are those of MANIFEST.tsv and FIELDS.tsv."""
    manifest = grib.manifest()[name]
    fields = indexer.fields(source=source, limit=1000)
    assert len(fields) == manifest["fields"]
    assert len({field["digest"] for field in fields}) == manifest["messages"]
    expected = {(row["digest"], row["sub"], row["identity"]) for row in grib.fields(name)}
    # The last 16 bytes of an id are the identity.
    assert {(field["digest"], field["sub"], field["id"][-32:]) for field in fields} == expected
    return fields


def source_of(name):
    return name.lower().replace("_", "-")


@pytest.mark.parametrize("backend", ["sqlite", "mongodb"])
def test_every_real_file_is_indexed_field_by_field(daemons, node, grib, backend, request):
    catalog = request.getfixturevalue("mongod").replace("/?", "/gribstore?") if backend == "mongodb" else None
    indexer = daemons.indexer([node], catalog=catalog)
    names = sorted(grib.manifest())
    for name in names:
        node.ingest(source_of(name), (grib.GRIB_DIR / name).read_bytes())
    for name in names:
        indexer.await_messages(source_of(name), grib.manifest()[name]["messages"])
        check_bytes(check_against_tables(indexer, grib, name, source_of(name)))
    quarantined = sum(run["quarantined"] for run in indexer.runs())
    assert quarantined == 0


def test_fields_of_other_centres_stay_apart(node, indexer, grib):
    for name, fields in (("ens_50.grib", 51), ("nam-multi-field.grib2", 181), ("gfs-308-fields.grib2", 344)):
        node.ingest(source_of(name), (grib.GRIB_DIR / name).read_bytes())
        indexer.await_messages(source_of(name), grib.manifest()[name]["messages"])
        assert len({field["id"] for field in indexer.fields(source=source_of(name), limit=1000)}) == fields


def test_sent_again_changes_nothing(node, indexer, grib):
    data = (grib.GRIB_DIR / "ens_50.grib").read_bytes()
    first = node.ingest("again", data)
    indexer.await_messages("again", 51)
    before = indexer.fields(source="again")
    second = node.ingest("again", data)
    assert (first["stored"], second["stored"], second["known"]) == (51, 0, 51)
    await_condition(indexer.caught_up, "the index has caught up")
    assert indexer.fields(source="again") == before


def test_a_message_that_does_not_decode_is_quarantined_and_readable(node, indexer, grib):
    whole = bytearray((grib.GRIB_DIR / "regular_latlon_surface.grib2").read_bytes())
    message = grib.split_bytes(bytes(whole))[0]
    broken = bytearray(message.data)
    # The product definition template's number becomes one that no table has.
    at = 16 + int.from_bytes(broken[16:20], "big")
    while broken[at + 4] != 4:
        at += int.from_bytes(broken[at:at + 4], "big")
    broken[at + 7:at + 9] = b"\xfe\xfe"
    answer = node.ingest("odd", bytes(broken) + message.data)
    runs = indexer.await_messages("odd", 2)
    assert sum(run["quarantined"] for run in runs) == 1
    assert len(indexer.fields(source="odd")) == 1
    location = answer["messages"][0]["locations"][0]
    assert read(location) == bytes(broken)


def test_a_message_whose_sections_do_not_hold_is_quarantined(node, indexer, grib):
    whole = (grib.GRIB_DIR / "regular_latlon_surface.grib2").read_bytes()
    broken = bytearray(grib.split_bytes(whole)[0].data)
    # Behind section 1, which has the date, is a section longer than the message: framed, stored, and without heads.
    at = 16 + int.from_bytes(broken[16:20], "big")
    broken[at:at + 4] = b"\x7f\xff\xff\xff"
    answer = node.ingest("broken", bytes(broken))
    runs = indexer.await_messages("broken", 1)
    assert (runs[0]["quarantined"], runs[0]["fields"]) == (1, 0)
    assert read(answer["messages"][0]["locations"][0]) == bytes(broken)
    run = "/v1/runs/broken/" + runs[0]["base_time"].replace("-", "").replace(":", "")[:13] + "Z"
    checked = indexer.post(f"{run}/check", json={"digests": [answer["messages"][0]["digest"]]}).json()
    assert checked["missing"] == [] and checked["quarantined"] == [answer["messages"][0]["digest"]]


@pytest.mark.parametrize("backend", ["sqlite", "mongodb"])
def test_a_lost_index_is_read_again_from_the_nodes(daemons, node, grib, backend, request, tmp_path):
    import pymongo

    catalog = request.getfixturevalue("mongod").replace("/?", "/gribstore?") if backend == "mongodb" else None
    indexer = daemons.indexer([node], catalog=catalog)
    for name in ("nam-multi-field.grib2", "era5-levels-members.grib"):
        node.ingest("lost", (grib.GRIB_DIR / name).read_bytes())
    before = indexer.await_messages("lost", 314)
    documents = indexer.fields(source="lost", limit=1000)

    indexer.stop()
    if catalog is None:
        for file in tmp_path.glob("indexer.sqlite*"):
            file.unlink()
    else:
        with pymongo.MongoClient(catalog) as client:
            client.drop_database("gribstore")
    indexer.start().wait_ready()

    after = indexer.await_messages("lost", 314)
    assert [run["fingerprint"] for run in after] == [run["fingerprint"] for run in before]
    assert [run["fields"] for run in after] == [run["fields"] for run in before]
    assert indexer.fields(source="lost", limit=1000) == documents


def test_an_indexer_that_was_down_catches_up(node, indexer, grib):
    node.ingest("late", (grib.GRIB_DIR / "ens_50.grib").read_bytes())
    indexer.await_messages("late", 51)
    indexer.stop()
    node.ingest("late", (grib.GRIB_DIR / "wave_spectra.grib").read_bytes())
    indexer.start().wait_ready()
    indexer.await_messages("late", 69)


def test_an_indexer_killed_while_it_reads_doubles_nothing(node, indexer, grib):
    node.ingest("killed", (grib.GRIB_DIR / "gfs-308-fields.grib2").read_bytes())
    await_condition(lambda: any(run["messages"] > 0 for run in indexer.runs(source="killed")), "some of it is in the index")
    indexer.kill()
    indexer.start().wait_ready()
    runs = indexer.await_messages("killed", 308)
    assert runs[0]["fields"] == 344
