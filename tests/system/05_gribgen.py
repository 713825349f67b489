"""gribgen keeps its promises: runs that decode to the formula, the same bytes from the same options, fast stamping."""

import collections
import datetime
import hashlib
import json
import math
import os
import resource
import subprocess

import pytest

from gribfile import split_bytes, split_grib
from processes import BIN, LEAK_FREE, SANITIZER_REPORTS

GRIBGEN = (BIN / "gribgen").resolve()
COMMAND_TIMEOUT_S = 500
STAMPED = 250_000
STAMPED_SANITIZED = 70_000  # more than 16 bits hold; nobody looks at the rate
RATE_WANTED = 100_000

Field = collections.namedtuple("Field", "message offset length sub digest identity")


def run(*arguments, expect=0):
    command = [str(argument) for argument in arguments]
    done = subprocess.run(command, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False,
                          env={**os.environ, **LEAK_FREE})
    error = done.stderr.decode(errors="replace")
    assert done.returncode == expect, f"{command}: {done.returncode}: {error}"
    assert not any(report in error for report in SANITIZER_REPORTS), error
    return done


def gribgen(*arguments, expect=0):
    assert GRIBGEN.exists(), f"no gribgen in {BIN}: build first, or set GRIBSTORE_BIN"
    return run(GRIBGEN, *arguments, expect=expect)


def make(out, *arguments):
    return json.loads(gribgen("--json", "--out", out, *arguments).stderr)


def verify(path, *arguments):
    return json.loads(gribgen("--json", "--verify", path, *arguments).stderr)


def identities(path):
    return [Field(*line.split("\t")) for line in gribgen("--identities", path).stdout.decode().splitlines()]


def grib_ls(path, keys):
    """What ecCodes' own tool says: a row of keys a field."""
    lines = run("grib_ls", "-p", keys, path).stdout.decode().splitlines()
    return [line.split() for line in lines[2:] if line and " of " not in line and " messages in " not in line]


VARIANTS = [
    (),
    ("--edition", "1"),
    ("--edition", "2"),
    ("--edition", "1", "--members", "2"),
    ("--members", "2", "--control"),
    ("--edition", "2", "--centre", "kwbc", "--members", "2", "--control"),
    ("--centre", "kwbc"),
    ("--centre", "kwbc", "--edition", "1"),
    ("--steps", "0/45m/90m/252/300", "--multi", "off"),
    ("--size-median", "5000", "--count", "200"),
    ("--base-time", "20000101T000030Z", "--edition", "2", "--seed", "7"),
    ("--base-time", "19991231T1800Z", "--bits", "24"),
    ("--preset", "tiny"),
]


@pytest.mark.parametrize("arguments", VARIANTS, ids=" ".join)
def test_a_run_holds_what_it_says(tmp_path, arguments):
    path = tmp_path / "run.grib"
    summary = make(path, *arguments)
    data = path.read_bytes()
    messages = split_bytes(data)

    assert sum(message.length for message in messages) == len(data) == summary["bytes"]
    assert len(messages) == summary["messages"]
    assert summary["sha256"] == hashlib.sha256(data).hexdigest()
    seed = ("--seed", "7") if "--seed" in arguments else ()
    checked = verify(path, *seed)
    assert (checked["messages"], checked["fields"]) == (summary["messages"], summary["fields"])
    assert len({field.identity for field in identities(path)}) == summary["fields"]
    assert int(run("grib_count", path).stdout) == summary["messages"]
    if "90m" not in "".join(arguments):    # ecCodes 2.28 can't print 90 minutes of edition 1
        names = [row[0] for row in grib_ls(path, "shortName")]
        assert len(names) == summary["fields"] and "unknown" not in names


def test_the_same_seed_gives_the_same_bytes_and_another_base_time_others(tmp_path):
    first, again, later, reissue = (tmp_path / name for name in ("first", "again", "later", "reissue"))
    make(first)
    make(again)
    make(later, "--base-time", "20261120T1200Z")
    make(reissue, "--seed", "2")
    assert first.read_bytes() == again.read_bytes()

    fields, moved, issued = identities(first), identities(later), identities(reissue)
    assert not {field.digest for field in fields} & {field.digest for field in moved}
    assert not {field.identity for field in fields} & {field.identity for field in moved}
    assert not {field.digest for field in fields} & {field.digest for field in issued}
    assert [field.identity for field in fields] == [field.identity for field in issued]


def mix(number):
    number = (number + 0x9E3779B97F4A7C15) % 2**64
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    number = (number ^ number >> 27) * 0x94D049BB133111EB % 2**64
    return number ^ number >> 31


def unit(seed, x, y):
    return (mix(mix(mix(seed) ^ x % 2**64) ^ y % 2**64) >> 11) / 2**53


def formula(name, base, slope, scale, level, end_hours, member, base_time, seed, hours):
    """The formula of gribgen_field.h, written anew."""
    name_hash = 0xCBF29CE484222325
    for byte in name.encode():
        name_hash = (name_hash ^ byte) * 0x100000001B3 % 2**64
    a = 2 * math.pi * unit(seed, name_hash, level)
    p = unit(seed, member + 1, base_time)
    t = base_time / 3600 + end_hours

    def value(latitude, longitude):
        phi, lam = math.radians(latitude), math.radians(longitude)
        c = math.cos(phi)
        u = (0.5 + 0.2 * (2 * c * c - 1) + 0.2 * c * math.sin(2 * lam + a + p - 2 * math.pi * t / 120)
             + 0.1 * c * c * math.sin(5 * lam + 3 * phi + 2 * a - p + 2 * math.pi * t / 48))
        return (base + slope * level + scale * u) * hours

    return value


@pytest.mark.parametrize("arguments, constants, level, end, member, hours", [
    (("--params", "2t", "--steps", "90m"), ("2t", 240, 0, 70), 0, 1.5, -1, 1),
    (("--params", "t", "--steps", "12", "--levels", "850", "--members", "1"), ("t", 205, 0.07, 30), 850, 12, 1, 1),
    (("--params", "tp", "--steps", "18", "--edition", "1"), ("tp", 0, 0, 0.002), 0, 18, -1, 18),
    (("--params", "apcp", "--steps", "18", "--centre", "kwbc"), ("apcp", 0, 0, 2), 0, 18, -1, 6),
    (("--params", "sm3", "--edition", "2", "--steps", "6"), ("sm3", 0.1, 0.001, 0.4), 100, 6, -1, 1),
])
def test_values_follow_the_published_formula(tmp_path, arguments, constants, level, end, member, hours):
    path = tmp_path / "field.grib"
    make(path, *arguments, "--bits", "16", "--grid", "15", "--seed", "3", "--base-time", "20130408T1200Z")
    base_time = int(datetime.datetime(2013, 4, 8, 12, tzinfo=datetime.timezone.utc).timestamp())
    value = formula(*constants, level, end, member, base_time, 3, hours)

    rows = [line.split() for line in run("grib_get_data", "-F", "%.9e", path).stdout.decode().splitlines()[1:]]
    assert len(rows) == 24 * 13
    spread = constants[3] * hours
    for latitude, longitude, decoded in ((float(word) for word in row) for row in rows):
        assert abs(decoded - value(latitude, longitude)) <= spread * 2**-15


def test_verify_finds_what_is_wrong(tmp_path):
    path = tmp_path / "run.grib"
    make(path, "--edition", "2")
    good = path.read_bytes()
    first = split_bytes(good)[0]

    def verified(data, expect):
        path.write_bytes(data)
        return gribgen("--verify", path, expect=expect).stderr.decode()

    verified(good, 0)
    value = first.length - 40
    assert "packing step" in verified(good[:value] + bytes([good[value] ^ 0x40]) + good[value + 1:], 1)
    assert "same identity" in verified(good + first.data, 1)
    assert "message at byte" in verified(good[:-1], 1)
    assert "message at byte" in verified(good[:first.length] + b"\0" + good[first.length:], 1)
    path.write_bytes(good)
    assert "seed 2" in gribgen("--verify", path, "--seed", "2", expect=1).stderr.decode()


def test_identities_are_those_of_the_oracle(grib):
    for name in grib.manifest():
        expected = [Field(*(str(row[key]) for key in Field._fields)) for row in grib.fields(name)]
        assert identities(grib.GRIB_DIR / name) == expected, name


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.grib"
    gribgen("--small-template", "--out", path)
    assert all(200 <= message.length <= 400 for message in split_grib(path))
    return path


def stamp(template, out, count, *arguments):
    return json.loads(gribgen("--json", "--stamp", template, "--count", count, "--out", out, *arguments).stderr)


def cpu_seconds():
    """Of all children that have ended: what else the machine is busy with does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_stamping_makes_that_many_distinct_messages_fast(tmp_path, tiny):
    path, reissue = tmp_path / "run.grib", tmp_path / "reissue.grib"
    sanitized = b"__asan_init" in GRIBGEN.read_bytes() or b"__tsan_init" in GRIBGEN.read_bytes()
    count = STAMPED_SANITIZED if sanitized else STAMPED
    before = cpu_seconds()
    summary = stamp(tiny, path, count, "--base-time", "20261121T1200Z")
    rate = count / (cpu_seconds() - before)
    print(f"stamped {summary['messages_per_second']:,.0f} messages a second of {summary['size_median']} bytes, {rate:,.0f} a second of CPU time")
    assert sanitized or rate >= RATE_WANTED

    fields = identities(path)
    assert len(fields) == len({field.identity for field in fields}) == len({field.digest for field in fields}) == count
    assert int(run("grib_count", path).stdout) == count
    stamp(tiny, reissue, count, "--base-time", "20261121T1200Z", "--values-seed", "5")
    issued = identities(reissue)
    assert [field.identity for field in issued] == [field.identity for field in fields]
    assert not {field.digest for field in issued} & {field.digest for field in fields}


def test_stamped_octets_say_step_level_member_and_base_time(tmp_path, tiny):
    path = tmp_path / "stamped.grib"
    stamp(tiny, path, 48, "--base-time", "20130408T1200Z", "--members", "2", "--levels", "850/300", "--steps", "12/to/36/by/12")
    rows = grib_ls(path, "shortName,number,level,stepRange,dataDate,dataTime,numberOfForecastsInEnsemble")
    expected = [[name, str(member), str(level), str(step), "20130408", "1200", "2"]
                for step in (12, 24) for level in (850, 300) for member in (1, 2)
                for name in ("t", "u", "v", "gh", "r", "q")]
    assert rows == expected


@pytest.mark.parametrize("arguments, count", [
    (("--params", "2t/tp/t/u/v", "--steps", "6", "--levels", "500"), 500),
    (("--params", "2t/tp/t/u/v", "--steps", "6", "--levels", "500", "--edition", "2", "--members", "1"), 500),
    (("--params", "2t/tp/t", "--steps", "6", "--levels", "500", "--edition", "1", "--members", "1"), 500),
    (("--params", "2t/apcp/t", "--steps", "6", "--centre", "kwbc", "--edition", "2", "--members", "1"), 500),
    (("--params", "2t/apcp/t", "--steps", "0/6", "--centre", "kwbc", "--edition", "1", "--levels", "500"), 120),
])
def test_every_kind_of_template_can_be_stamped(tmp_path, arguments, count):
    """Steps of every message come back as ecCodes reads them: an instant N, a range of as many hours as before."""
    template, path = tmp_path / "template.grib", tmp_path / "stamped.grib"
    make(template, "--grid", "30", *arguments)
    stamp(template, path, count, "--base-time", "20261231T1800Z")
    fields = identities(path)
    assert len({field.identity for field in fields}) == len(fields) >= count

    rows = grib_ls(path, "shortName,stepRange,endStep,dataDate,dataTime")
    assert len(rows) == len(fields)
    for name, step_range, end, date, time in rows:
        assert (date, time) == ("20261231", "1800")
        if name == "tp":
            start, stop = map(int, step_range.split("-"))
            assert stop - start == 6 and int(end) == stop
        else:
            assert step_range == end
    assert len({row[1] for row in rows if row[0] == "2t"}) > 1


def test_the_end_of_a_stamped_range_is_a_date(tmp_path):
    template, path = tmp_path / "template.grib", tmp_path / "stamped.grib"
    make(template, "--params", "tp", "--steps", "6", "--edition", "2", "--grid", "30")
    stamp(template, path, 3, "--base-time", "20261231T1800Z", "--steps", "0/to/24/by/6")
    keys = ("yearOfEndOfOverallTimeInterval,monthOfEndOfOverallTimeInterval,dayOfEndOfOverallTimeInterval,"
            "hourOfEndOfOverallTimeInterval")
    assert grib_ls(path, keys) == [["2027", "1", "1", "0"], ["2027", "1", "1", "6"], ["2027", "1", "1", "12"]]


def test_templates_that_differ_in_a_stamped_octet_only_take_turns(tmp_path):
    template, path = tmp_path / "template.grib", tmp_path / "stamped.grib"
    make(template, "--params", "2t/t", "--steps", "0/to/24/by/6", "--levels", "1000/850/500", "--grid", "30", "--edition", "2")
    stamp(template, path, 1000)
    assert len({field.identity for field in identities(path)}) == 1000


def test_real_messages_can_be_stamped(tmp_path, grib):
    for name in ("ens_50.grib", "gfs-308-fields.grib2", "era5-levels-members.grib", "hpa_and_pa.grib"):
        path = tmp_path / name
        stamp(grib.GRIB_DIR / name, path, 2000, "--base-time", "20261120T0000Z")
        fields = identities(path)
        assert len({field.identity for field in fields}) == len(fields) >= 2000, name


@pytest.mark.parametrize("arguments, says", [
    ((), "--out"),
    (("--out",), "needs a value"),
    (("--frobnicate",), "unknown option"),
    (("--out", "x.grib", "surplus"), "unexpected argument"),
    (("--out", "x.grib", "--base-time", "20261132T0000Z"), "--base-time"),
    (("--out", "x.grib", "--grid", "7"), "--grid"),
    (("--out", "x.grib", "--grid", "nan"), "--grid"),
    (("--out", "x.grib", "--steps", "0/to/12/by/0"), "--steps"),
    (("--out", "x.grib", "--steps", "6/6"), "twice"),
    (("--out", "x.grib", "--steps", "6/"), "--steps"),
    (("--out", "x.grib", "--levels", "99999"), "too large"),
    (("--out", "x.grib", "--params", "2t/nosuch"), "nosuch"),
    (("--out", "x.grib", "--preset", "huge"), "--preset"),
    (("--out", "x.grib", "--members", "0"), "--members"),
    (("--out", "x.grib", "--control"), "--members"),
    (("--out", "x.grib", "--edition", "1", "--base-time", "20261120T000030Z"), "seconds"),
    (("--out", "x.grib", "--centre", "kwbc", "--edition", "1", "--members", "2"), "kwbc"),
    (("--out", "x.grib", "--values-seed", "2"), "--values-seed"),
    (("--stamp", "y.grib", "--out", "x.grib"), "--count"),
    (("--stamp", "y.grib", "--count", "1", "--out", "x.grib", "--grid", "2"), "--grid"),
    (("--stamp", "y.grib", "--count", "1", "--out", "x.grib", "--steps", "0/90m"), "whole hours"),
    (("--verify", "a", "--identities", "b"), "only one"),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_bad_usage_is_named_and_exits_with_2(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert says in gribgen(*arguments, expect=2).stderr.decode()
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_done_leaves_the_output_alone(tmp_path, tiny):
    out = tmp_path / "out.grib"
    out.write_bytes(b"precious")
    gribgen("--count", "1000", "--steps", "0", "--out", out, expect=1)
    gribgen("--stamp", tiny, "--count", "1000", "--steps", "0/6", "--members", "1", "--levels", "500", "--out", out, expect=1)
    gribgen("--stamp", out, "--count", "1", "--out", out, expect=1)
    gribgen("--verify", tmp_path / "absent", expect=1)
    assert out.read_bytes() == b"precious"


def test_help_names_every_mode():
    text = gribgen("--help").stdout.decode()
    assert all(word in text for word in ("--stamp", "--verify", "--identities", "--preset", "Exit status"))


def test_the_summary_file_says_the_same(tmp_path):
    path, summary = tmp_path / "run.grib", tmp_path / "run.json"
    printed = json.loads(gribgen("--json", "--summary", summary, "--out", path).stderr)
    assert json.loads(summary.read_text()) == printed
