"""What a document says of its field: found by its own keys, kept apart from its neighbours, named anew by another decoder."""

import base64
import collections
import datetime
import hashlib
import json
import os
import pathlib
import random
import re
import subprocess

import pytest

from conftest import Daemons
from mongod import die_with_parent
from processes import BIN, LEAK_FREE, REQUEST_TIMEOUT_S, SANITIZER_REPORTS, await_condition

COMMAND_TIMEOUT_S = 120
SPELLINGS = os.environ.get("GRIBSTORE_TEST_SPELLINGS", "1")

# What tells fields of a run apart, where a field has it.
OWN_KEYS = (
    "param", "paramId", "levtype", "levelist", "level", "topLevel", "bottomLevel", "typeOfLevel", "number", "step", "stepRange",
    "stepType", "date", "time", "type", "stream", "class", "expver", "discipline", "parameterCategory", "parameterNumber",
    "typeOfFirstFixedSurface", "typeOfSecondFixedSurface", "scaledValueOfFirstFixedSurface", "typeOfStatisticalProcessing",
    "table2Version", "indicatorOfParameter", "gridType", "direction", "frequency",
)


def read(session, location):
    first, last = location["offset"], location["offset"] + location["length"] - 1
    answer = session.get(location["url"], headers={"Range": f"bytes={first}-{last}"}, timeout=REQUEST_TIMEOUT_S)
    assert answer.status_code == 206
    return answer.content


def source_of(name):
    return name.lower().replace("_", "-")


def query_of(field):
    """A query that names a field by all that it says of itself."""
    keys = {key: field[key] for key in OWN_KEYS if key in field and "/" not in str(field[key])}
    return {"source": field["source"], "base_time": field["base_time"], **keys}


def gribgen(out, *arguments):
    command = [str(BIN / "gribgen"), "--out", str(out), "--grid", "30", "--steps", "0/6", "--levels", "500/850", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False, env={**os.environ, **LEAK_FREE})
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return out.read_bytes()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A node and an indexer for the tests that only read."""
    running = Daemons(tmp_path_factory.mktemp("keys"))
    node = running.node()
    yield node, running.indexer([node])
    running.stop()


@pytest.fixture(scope="module")
def loaded(world, grib):
    """Every real file in the index; by name, the documents in the order of their messages."""
    node, indexer = world
    files = sorted(grib.manifest())
    for name in files:
        node.ingest(source_of(name), (grib.GRIB_DIR / name).read_bytes())
    fields = {}
    for name in files:
        indexer.await_messages(source_of(name), grib.manifest()[name]["messages"])
        order = {(row["digest"], row["sub"]): i for i, row in enumerate(grib.fields(name))}
        fields[name] = sorted(indexer.fields(source=source_of(name), limit=1000),
                              key=lambda field: order[field["digest"], field["sub"]])
    return fields


@pytest.fixture(scope="module")
def reader(world, loaded):
    """The indexer that has them."""
    return world[1]


def test_every_real_field_is_found_by_its_own_keys_byte_for_byte(loaded, reader, grib):
    import requests

    session = requests.Session()
    for name, fields in loaded.items():
        data = (grib.GRIB_DIR / name).read_bytes()
        for field, row in zip(fields, grib.fields(name), strict=True):
            answer = session.get(reader.url + "/v1/fields", params=query_of(field), timeout=REQUEST_TIMEOUT_S)
            assert answer.status_code == 200, answer.text
            found = answer.json()["fields"]
            assert field["id"] in {other["id"] for other in found}, query_of(field)
            assert len(found) == 1, (query_of(field), len(found))
            assert (found[0]["digest"], found[0]["sub"], found[0]["length"]) == (row["digest"], row["sub"], row["length"])
            # Each field of a message points at the whole of it.
            for location in found[0]["locations"]:
                assert read(session, location) == data[row["offset"]:row["offset"] + row["length"]]


# ---- spellings ----

# What says where bytes are, or how they are packed, in nearly as many ways as there are fields; by whom they were named.
NOT_ASKED_BY = ("id", "locations", "older", "octets", "stored_at", "digest", "length", "referenceValue", "data_offset", "data_length", "eccodes")
ALIASES = {"levtype": {"sfc": "surface", "pl": "pressure levels", "ml": "model levels"}, "stream": {"oper": "da"}, "class": {"od": "operations"},
           "type": {"an": "analysis", "fc": "forecast", "pf": "perturbed forecast", "cf": "control forecast"}}


def spellings_of_param(field):
    """Names, paramId, id.table of both kinds, the three numbers of edition 2."""
    number = field["paramId"]
    yield from ((key, field["param"]) for key in ("param", "shortName", "parameter"))
    yield from (("param", str(number)), ("paramId", str(number)))
    if 0 < number < 1_000_000 and (number < 1000 or number % 1000):
        yield "param", f"{number % 1000}.{number // 1000 or 128}"
    if 0 < number < 256:
        yield "param", f"{128000 + number}"
    if field["edition"] == 1:
        yield "param", f"{field['indicatorOfParameter']}.{field['table2Version']}"
    else:
        yield "param", f"{field['parameterNumber']}.{field['parameterCategory']}.{field['discipline']}"


def spellings_of_time(field):
    seconds, hours, day, clock = field["step_seconds"], field["step"], str(field["date"]), field["time"]
    yield from (("step", f"{hours:g}"), ("endStep", f"{hours:g}h"), ("step", f"{seconds // 60}m"), ("step", f"{seconds}s"),
                ("startStep", f"{field['startStep']:g}"), ("stepRange", field["stepRange"]))
    if "-" in field["stepRange"][1:]:
        yield "step", field["stepRange"]
    yield from (("date", day), ("date", f"{day[:4]}-{day[4:6]}-{day[6:]}"), ("dataDate", f"{datetime.date.fromisoformat(day):%Y-%j}"))
    yield from (("time", clock), ("time", clock[:2]), ("dataTime", f"{clock[:2]}:{clock[2:]}"), ("time", f"{clock[:2]}:{clock[2:]}:00"))
    base_time = field["base_time"]
    yield from (("base_time", base_time), ("base_time", base_time.replace("-", "").replace(":", "")[:13] + "Z"))


def spellings_of_level(field):
    if "levelist" in field:
        yield from (("levelist", f"{field['levelist']!r}"), ("leve", f"{float(field['levelist'])!r}"))
    if "number" in field:
        yield from (("number", str(field["number"])), ("number", f"{field['number']:03d}"))
    if "expver" in field:
        yield "expver", field["expver"].lstrip("0")
    for key, words in ALIASES.items():
        if field.get(key) in words:
            yield from ((key, words[field[key]]), (key, words[field[key]].upper()), (key, field[key].upper()))


def spellings(field):
    """All that a field may be asked for by, each as one key and one value."""
    yield from spellings_of_param(field)
    yield from spellings_of_time(field)
    yield from spellings_of_level(field)
    for key, value in field.items():
        if key not in NOT_ASKED_BY and "/" not in str(value):
            yield key, value if isinstance(value, str) else repr(value)


def some_of(pairs):
    """Some values of each key, of param the most; with GRIBSTORE_TEST_SPELLINGS all (1,800)."""
    if SPELLINGS == "all":
        return list(pairs)
    by_key = collections.defaultdict(list)
    for pair in sorted(pairs):
        by_key[pair[0]].append(pair)
    chosen = random.Random(SPELLINGS)
    return [pair for key, some in by_key.items() for pair in chosen.sample(some, min(len(some), 80 if key == "param" else 3))]


def test_every_spelling_of_every_key_finds_exactly_the_fields_that_have_it(loaded, reader):
    import requests

    session = requests.Session()
    asked = collections.defaultdict(set)
    for fields in loaded.values():
        for field in fields:
            for pair in spellings(field):
                asked[pair].add(field["id"])
    assert len({key for key, _ in asked}) > 60
    for key, value in some_of(asked):
        ids = asked[key, value]
        brief = {"count": 1} if len(ids) > 20 else {"limit": 1000}
        answer = session.get(reader.url + "/v1/fields", params={key: value, **brief}, timeout=REQUEST_TIMEOUT_S)
        assert answer.status_code == 200, (key, value, answer.text)
        if len(ids) > 20:
            assert answer.json()["count"] == len(ids), (key, value)
        else:
            assert {field["id"] for field in answer.json()["fields"]} == ids, (key, value)


def test_the_place_of_values_lies_in_the_message(loaded, grib):
    """Section 7, or 4 of edition 1, by an eye of its own; messages of several fields do not say."""
    for name, fields in loaded.items():
        data = (grib.GRIB_DIR / name).read_bytes()
        rows = grib.fields(name)
        counts = collections.Counter(row["digest"] for row in rows)
        for field, row in zip(fields, rows, strict=True):
            if counts[row["digest"]] > 1:
                assert "data_offset" not in field
                continue
            message = data[row["offset"]:row["offset"] + row["length"]]
            at, length = field["data_offset"], field["data_length"]
            assert message[at + length:] == b"7777"
            if message[7] == 2:
                assert int.from_bytes(message[at:at + 4], "big") == length and message[at + 4] == 7
            else:
                assert int.from_bytes(message[at:at + 3], "big") == length


LS_KEYS = ("shortName", "paramId", "typeOfLevel", "level:d", "topLevel:d", "bottomLevel:d", "stepRange", "startStep", "endStep",
           "validityDate", "validityTime", "gridType", "packingType", "bitsPerValue", "decimalScaleFactor", "binaryScaleFactor")
DOCUMENT_NAMES = {"shortName": "param"}


@pytest.mark.parametrize("name", ["gfs-308-fields.grib2", "nam-multi-field.grib2", "ens_50.grib", "regular_gg_ml_g2.grib"])
def test_keys_are_those_of_grib_ls(loaded, grib, name):
    fields = loaded[name]
    told = subprocess.run(["grib_get", "-p", ",".join(LS_KEYS), grib.GRIB_DIR / name], capture_output=True, text=True,
                          timeout=COMMAND_TIMEOUT_S, check=True).stdout.splitlines()
    assert len(told) == len(fields)
    for field, line in zip(fields, told, strict=True):
        for key, value in zip(LS_KEYS, line.split(), strict=True):
            name = key.split(":")[0]
            ours = field.get(DOCUMENT_NAMES.get(name, name))
            if name in ("topLevel", "bottomLevel") and ours is None:
                continue    # one surface
            if isinstance(ours, str) and not value.isdigit():
                assert ours == value, (key, field["id"])
            else:
                assert float(ours) == pytest.approx(float(value), rel=1e-5), (key, field["id"])


def test_layers_are_told_apart_by_both_their_surfaces(loaded, reader):
    layers = [field for field in loaded["gfs-308-fields.grib2"] if field["typeOfLevel"] == "depthBelowLandLayer"]
    bounds = {(field["topLevel"], field["bottomLevel"]) for field in layers}
    assert bounds == {(0, 0.1), (0.1, 0.4), (0.4, 1), (1, 2)}
    for top, bottom in bounds:
        found = reader.fields(source=source_of("gfs-308-fields.grib2"), typeOfLevel="depthBelowLandLayer",
                               topLevel=top, bottomLevel=bottom)
        assert {(field["topLevel"], field["bottomLevel"]) for field in found} == {(top, bottom)}
        assert len(found) == sum(1 for field in layers if (field["topLevel"], field["bottomLevel"]) == (top, bottom))


@pytest.mark.parametrize("spelled", [("2t", "167", "167.128", "128167"), ("t", "130", "130.128", "128130"), ("z", "129", "129.128"),
                                     ("sp", "134", "134.128"), ("10u", "165", "165.128")])
def test_a_parameter_answers_to_every_spelling(loaded, reader, spelled):
    """GRIB2 fields as well: 167.128 is how Metview and MARS of edition 1 spell 2t."""
    every = [field for fields in loaded.values() for field in fields]
    named = {field["id"] for field in every if field["param"] == spelled[0]}
    numbered = {field["id"] for field in every if field["paramId"] == int(spelled[1])}
    assert numbered and numbered <= named
    for name in spelled[1:]:
        assert {field["id"] for field in reader.fields(param=name, limit=1000)} == numbered, name
        assert {field["id"] for field in reader.fields(param=f"{spelled[0]}/{name}", limit=1000)} == named, name
    assert {field["id"] for field in reader.fields(param=spelled[0], limit=1000)} == named
    assert {field["id"] for field in reader.fields(shortName=spelled[0], limit=1000)} == named
    assert {field["id"] for field in reader.fields(paramId=spelled[1], limit=1000)} == numbered


# ---- parameters of other centres ----

# Centre, table, id; how ecCodes calls it, where that matters.
OF_TABLES = ((7, 2, 11, "t"), (7, 2, 250, "unknown"), (7, 133, 33, None), (7, 128, 167, None), (78, 2, 11, None), (78, 201, 20, "unknown"),
             (34, 200, 71, None), (34, 2, 11, "t"), (85, 129, 250, None), (74, 2, 33, "u"), (98, 128, 167, "2t"), (98, 2, 11, "t"),
             (98, 228, 246, "100u"), (1, 255, 255, "unknown"))
# Centre, discipline, category, number.
OF_DISCIPLINES = ((7, 0, 3, 196, "unknown"), (7, 0, 0, 0, "2t"), (78, 0, 16, 201, "unknown"), (34, 192, 1, 200, "unknown"), (85, 0, 192, 7, "unknown"),
                  (74, 10, 0, 250, "unknown"), (98, 192, 228, 246, None), (254, 209, 3, 12, "unknown"))
PARAM_IDS = {"2t": 167, "100u": 228246}


def of_table(grib, centre, table, number):
    """A message of edition 1 without a local section."""
    message = grib.split_grib(grib.GRIB_DIR / "regular_latlon_surface.grib1")[0].data
    one = bytearray(message[8:8 + 28])
    one[0:3], one[3], one[4], one[8] = (28).to_bytes(3, "big"), table, centre, number
    rest = message[8 + int.from_bytes(message[8:11], "big"):]
    return b"GRIB" + (8 + len(one) + len(rest)).to_bytes(3, "big") + b"\x01" + bytes(one) + rest


def of_discipline(grib, centre, discipline, category, number):
    """A message of edition 2 with local tables and no local section."""
    message = grib.split_grib(grib.GRIB_DIR / "regular_latlon_surface.grib2")[0].data
    sections, at = [], 16
    while message[at:at + 4] != b"7777":
        size = int.from_bytes(message[at:at + 4], "big")
        sections.append(bytearray(message[at:at + size]))
        at += size
    sections = [section for section in sections if section[4] != 2]
    for section in sections:
        if section[4] == 1:
            section[5:7], section[10] = centre.to_bytes(2, "big"), 1
        if section[4] == 4:
            section[9], section[10] = category, number
    rest = b"".join(sections) + b"7777"
    return message[:6] + bytes([discipline, 2]) + (16 + len(rest)).to_bytes(8, "big") + rest


@pytest.mark.parametrize("backend", ["sqlite", "mongodb"])
def test_id_and_table_find_a_parameter_of_any_centre_named_or_not(daemons, node, grib, backend, request):
    import pymongo

    catalog = request.getfixturevalue("mongod").replace("/?", "/gribstore?") if backend == "mongodb" else None
    indexer = daemons.indexer([node], catalog=catalog)
    messages = [of_table(grib, *numbers) for *numbers, _ in OF_TABLES] + [of_discipline(grib, *numbers) for *numbers, _ in OF_DISCIPLINES]
    node.ingest("tables", b"".join(messages))
    indexer.await_messages("tables", len(messages))
    fields = {hashlib.sha256(message).hexdigest(): None for message in messages}
    fields |= {field["digest"]: field for field in indexer.fields(source="tables", limit=1000)}
    cases = [(fields[hashlib.sha256(of_table(grib, *numbers)).hexdigest()], f"{numbers[2]}.{numbers[1]}", name)
             for *numbers, name in OF_TABLES]
    cases += [(fields[hashlib.sha256(of_discipline(grib, *numbers)).hexdigest()], f"{numbers[3]}.{numbers[2]}.{numbers[1]}", name)
              for *numbers, name in OF_DISCIPLINES]
    wanted = collections.defaultdict(set)
    for field, spelled, name in cases:
        assert name is None or field["param"] == name, (spelled, field["param"])
        wanted[spelled].add(field["id"])
        number = field["paramId"]
        wanted[f"{number % 1000}.{number // 1000 or 128}"].add(field["id"])
    for field, spelled, _ in cases:
        assert {other["id"] for other in indexer.fields(param=spelled)} == wanted[spelled], spelled
        assert {other["id"] for other in indexer.fields(param=f"{spelled}/nothing", source="tables")} == wanted[spelled], spelled
        own, = {other["id"] for other in indexer.fields(param=spelled, centre=field["centre"], edition=field["edition"])}
        assert own == field["id"]
    # A list of all of them, and what of a list is missing.
    every = "/".join(spelled for _, spelled, _ in cases)
    assert {field["id"] for field in indexer.fields(param=every, limit=1000)} == {field["id"] for field, _, _ in cases}
    answer = indexer.json("/v1/fields", params={"source": "tables", "param": f"11.2/77.99/{every}/9.9.9/33.2", "limit": 1000})
    assert answer["missing"] == ["source=tables,param=77.99/9.9.9"]
    if backend == "mongodb":
        with pymongo.MongoClient(catalog) as client:
            either = {"$and": [{"$or": [{"paramId": 167.0}, {"idTable": "167.128"}]}]}
            plan = str(client.gribstore.fields.find(either).explain()["queryPlanner"]["winningPlan"])
        assert "COLLSCAN" not in plan and "'idTable'" in plan, plan


# Fields that differ in these alone: template, the keys that all have, a key with its two values.
PRODUCTS = ((2, {}, "derivedForecast", (0, 4)), (5, {"probabilityType": 1, "scaledValueOfUpperLimit": 300}, "scaledValueOfLowerLimit", (-5, 5)),
            (6, {}, "percentileValue", (10, 90)), (12, {}, "derivedForecast", (1, 2)), (1, {"typeOfEnsembleForecast": 3}, "perturbationNumber", (1, 2)),
            (40, {}, "constituentType", (0, 4)), (44, {"constituentType": 62001}, "scaledValueOfFirstSize", (10, 25)),
            (48, {}, "scaledValueOfFirstWavelength", (340, 550)), (55, {}, "tileIndex", (1, 2)), (70, {}, "typeOfPostProcessing", (1, 2)),
            (86, {"totalNumberOfQuantiles": 4}, "quantileValue", (1, 3)),
            (60, {"YearOfModelVersion": 2012, "MonthOfModelVersion": 6}, "DayOfModelVersion", (7, 11)))


def test_a_field_of_a_grid_known_by_number_alone_is_found(node, indexer, grib):
    """Edition 1 without section 2: octet 7 of section 1 names a grid of the centre's."""
    messages = []
    for number in (3, 255):
        whole = of_table(grib, 7, 2, 11)
        one, rest = bytearray(whole[8:36]), whole[36 + int.from_bytes(whole[36:39], "big"):]
        one[6], one[7] = number, 0
        messages.append(b"GRIB" + (8 + len(one) + len(rest)).to_bytes(3, "big") + b"\x01" + bytes(one) + rest)
    node.ingest("gridless", b"".join(messages))
    run, = indexer.await_messages("gridless", 2)
    fields = indexer.fields(source="gridless", param="11.2")
    assert (len(fields), run["quarantined"]) == (2, 0)
    assert len({field["id"] for field in fields}) == 2 and all("gridHash" not in field for field in fields)
    assert {field["digest"] for field in fields} == {hashlib.sha256(message).hexdigest() for message in messages}
    assert {field["gridDefinition"] for field in fields} == {3, 255} and all("gridType" not in field for field in fields)


def test_products_that_differ_in_one_octet_are_found_one_by_one(daemons, node, indexer, grib, tmp_path):
    messages, path = {}, tmp_path / "product.grib"
    for template, common, key, values in PRODUCTS:
        for value in values:
            keys = {"tablesVersion": 28, "productDefinitionTemplateNumber": template, **common, key: value}
            subprocess.run(["grib_set", "-s", ",".join(f"{name}={number}" for name, number in keys.items()),
                            grib.GRIB_DIR / "regular_latlon_surface.grib2", path], check=True, capture_output=True, timeout=COMMAND_TIMEOUT_S)
            messages[template, key, value] = grib.split_grib(path)[0].data
    node.ingest("products", b"".join(messages.values()))
    indexer.await_messages("products", len(messages))
    assert len({field["id"] for field in indexer.fields(source="products", limit=1000)}) == len(messages)
    for (template, key, value), message in messages.items():
        field, = indexer.fields(source="products", productDefinitionTemplateNumber=template, **{key: value})
        assert (field["digest"], field[key]) == (hashlib.sha256(message).hexdigest(), value)


def test_what_has_no_name_is_found_by_its_numbers(loaded, reader):
    unknown = [field for fields in loaded.values() for field in fields if field["param"] == "unknown"]
    assert len(unknown) > 0
    for field in unknown:
        keys = ("discipline", "parameterCategory", "parameterNumber") if field["edition"] == 2 else (
            "table2Version", "indicatorOfParameter")
        found = reader.fields(source=field["source"], centre=field["centre"], **{key: field[key] for key in keys}, limit=1000)
        assert field["id"] in {other["id"] for other in found}
        octets = base64.b64decode(field["octets"], validate=True)
        assert octets[0] == field["edition"]
        if field["edition"] == 2:
            assert octets[1] == field["discipline"]


def test_members_of_any_centre_stay_apart_and_absent_is_not_0(node, indexer, tmp_path, grib):
    for source, arguments in (("ncep", ("--edition", "2", "--centre", "kwbc", "--members", "3", "--control")),
                              ("ecmf", ("--edition", "1", "--members", "3")), ("alone", ("--edition", "2"))):
        data = gribgen(tmp_path / f"{source}.grib", *arguments)
        node.ingest(source, data)
        indexer.await_messages(source, len(grib.split_bytes(data)))
    for source, numbers in (("ncep", {0, 1, 2, 3}), ("ecmf", {1, 2, 3})):
        fields = indexer.fields(source=source, limit=1000)
        assert {field["number"] for field in fields} == numbers
        assert {field["perturbationNumber"] for field in fields} == numbers
        counts = collections.Counter(field["number"] for field in fields)
        for number in numbers:
            found = indexer.fields(source=source, number=number, limit=1000)
            assert len(found) == counts[number] and {field["number"] for field in found} == {number}
    assert all("number" not in field for field in indexer.fields(source="alone", limit=1000))
    assert indexer.fields(source="alone", number=0) == []
    assert {field["typeOfEnsembleForecast"] for field in indexer.fields(source="ncep", limit=1000)} != set()


def test_a_reissue_takes_the_place_of_what_has_the_same_keys(node, indexer, tmp_path, grib):
    first, second = gribgen(tmp_path / "first.grib"), gribgen(tmp_path / "second.grib", "--seed", "2")
    node.ingest("reissued", first)
    count = len(grib.split_bytes(first))
    indexer.await_messages("reissued", count)
    before = {field["id"]: field for field in indexer.fields(source="reissued", limit=1000)}
    node.ingest("reissued", second)
    indexer.await_messages("reissued", 2 * count)
    after = indexer.fields(source="reissued", limit=1000)
    assert {field["id"] for field in after} == set(before)
    for field in after:
        assert field["digest"] != before[field["id"]]["digest"]
        assert [old["digest"] for old in field["older"]] == [before[field["id"]]["digest"]]
        found = indexer.fields(**query_of(field))
        assert [other["digest"] for other in found] == [field["digest"]]


def test_moments_are_found_by_the_two_numbers_of_grib(loaded, reader):
    field = next(field for field in loaded["gfs-308-fields.grib2"] if field["step"] > 0)
    assert field["valid_time"].replace("-", "").startswith(str(field["validityDate"]))
    found = reader.fields(source=field["source"], validityDate=field["validityDate"], validityTime=field["validityTime"], limit=1000)
    assert field["id"] in {other["id"] for other in found}
    assert reader.fields(source=field["source"], validityDate="19000101") == []
    by_date = reader.fields(source=field["source"], dataDate=field["date"], dataTime=field["time"], endStep=field["step"], limit=1000)
    assert field["id"] in {other["id"] for other in by_date}


def test_text_of_a_head_is_escaped_wherever_it_shows(node, indexer, grib):
    """expver of ECMWF's local section is four octets of anything."""
    message = bytearray(grib.split_bytes((grib.GRIB_DIR / "era5-levels-members.grib").read_bytes())[0].data)
    texts = (b"<b>\"", b"\x01\x1f\x7f\\", b"\xff\xfe\xc3\x28", b"a\r\nb", b"</s>")
    for i, text in enumerate(texts):
        message[8 + 45:8 + 49] = text
        node.ingest(f"odd{i}", bytes(message))
        run = indexer.await_messages(f"odd{i}", 1)[0]
        answer = indexer.get("/v1/fields", params={"source": f"odd{i}"})
        assert all(byte >= 0x20 or byte == 0x0A for byte in answer.content)
        assert answer.headers["Content-Type"].startswith("application/json")
        fields = json.loads(answer.content.decode("utf-8", errors="strict"))["fields"]
        assert len(fields) + run["quarantined"] == 1
        lines = indexer.get("/v1/fields", params={"source": f"odd{i}", "format": "ndjson"})
        assert len([line for line in lines.content.split(b"\n") if line]) == len(fields)
        for field in fields:
            assert all(len(value) < 2048 for value in field.values() if isinstance(value, str))


# ---- names made anew ----

NAMED_FILES = ("eta-154-fields.grib2", "regular_latlon_surface.grib1", "reduced_gg.grib", "t_on_different_level_types.grib")

def definitions():
    return pathlib.Path(subprocess.run(["codes_info", "-d"], capture_output=True, text=True, check=True).stdout.strip().split(":")[0])


# What no table names, in eta-154-fields.grib2 and in a message made for it.
LATER_NAMED = {"grib1": (("later1", "777001"), "{ table2Version = 2; indicatorOfParameter = 250; }"),
               "grib2": (("later2", "777002"), "{ discipline = 0; parameterCategory = 3; parameterNumber = 196; }")}


@pytest.fixture
def other_names(tmp_path):
    """Environment of an ecCodes whose table calls 2t "t2m", whose 167 is 4242, and that has names for two parameters of NCEP's more."""
    folder = tmp_path / "definitions"
    for file in ("shortName.def", "paramId.def"):
        for path in definitions().glob(f"grib[12]/**/{file}"):
            text = path.read_text()
            changed = re.sub(r"^'2t' =", "'t2m' =", re.sub(r"^'167' =", "'4242' =", text, flags=re.M), flags=re.M)
            if path.parent.name == "kwbc":
                names, condition = LATER_NAMED[path.relative_to(definitions()).parts[0]]
                changed += f"\n'{names[file == 'paramId.def']}' = {condition}\n"
            if changed != text:
                target = folder / path.relative_to(definitions())
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(changed)
    assert any(folder.rglob("*.def"))
    return {"ECCODES_DEFINITION_PATH": f"{folder}:{definitions()}"}


def reindex(catalog, environment=None):
    done = subprocess.run([str(BIN / "indexer"), "--catalog", catalog, "--decoders", "1", "--reindex-names"], capture_output=True,
                          timeout=COMMAND_TIMEOUT_S, check=False, preexec_fn=die_with_parent,
                          env={**os.environ, **LEAK_FREE, **(environment or {})})
    told = (done.stdout + done.stderr).decode(errors="replace")
    assert not any(report in told for report in SANITIZER_REPORTS), told
    return done.returncode, told


def without_names(field):
    return {key: value for key, value in field.items() if key not in ("param", "paramId", "idTable")}


@pytest.mark.parametrize("backend", ["sqlite", "mongodb"])
def test_names_are_made_anew_and_nothing_else(daemons, node, grib, backend, request, other_names):
    catalog = request.getfixturevalue("mongod").replace("/?", "/gribstore?") if backend == "mongodb" else None
    indexer = daemons.indexer([node], catalog=catalog)
    for name in NAMED_FILES:
        node.ingest(source_of(name), (grib.GRIB_DIR / name).read_bytes())
        indexer.await_messages(source_of(name), grib.manifest()[name]["messages"])
    node.ingest("nameless", of_table(grib, 7, 2, 250))
    indexer.await_messages("nameless", 1)
    before = {field["id"]: field for field in indexer.fields(limit=1000)}
    named = [field for field in before.values() if field["param"] == "2t"]
    assert {field["edition"] for field in named} == {1, 2}
    nameless = {field["edition"]: field["id"] for field in before.values() if (field["param"], field["paramId"]) == ("unknown", 0)}
    assert set(nameless) == {1, 2}

    if backend == "sqlite":
        code, told = reindex(indexer.catalog, other_names)
        assert code == 1 and "reindex.start" in told    # the indexer has the file
        indexer.stop()
    code, told = reindex(indexer.catalog, other_names)
    assert code == 0, told
    assert f"{len(named) + len(nameless)} have new names, 0 without octets, 0 refused" in told.splitlines()[-1], told
    code, told = reindex(indexer.catalog, other_names)
    assert code == 0 and " 0 have new names" in told.splitlines()[-1], told
    if backend == "sqlite":
        indexer.start().wait_ready()

    after = {field["id"]: field for field in indexer.fields(limit=1000)}
    assert {key: without_names(field) for key, field in after.items()} == {
        key: without_names(field) for key, field in before.items()}
    assert {field["id"] for field in indexer.fields(param="t2m", limit=1000)} == {field["id"] for field in named}
    assert {field["id"] for field in indexer.fields(param="4242", limit=1000)} == {field["id"] for field in named}
    assert indexer.fields(param="2t") == [] and indexer.fields(param="unknown") == []
    for edition, spellings in ((1, ("later1", "777001", "250.2")), (2, ("later2", "777002", "196.3.0"))):
        for spelling in spellings:
            assert [field["id"] for field in indexer.fields(param=spelling, centre="kwbc")] == [nameless[edition]], spelling
    await_condition(indexer.caught_up, "the index has caught up")
    assert sum(run["messages"] for run in indexer.runs()) == 1 + sum(grib.manifest()[name]["messages"] for name in NAMED_FILES)
