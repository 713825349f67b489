"""An ensemble run of a centre without MARS keys: members, layers and both fields of a message apart, issue after issue, index after index."""

import collections
import hashlib
import os
import pathlib
import random
import subprocess

import pytest
import requests

from conftest import Daemons
from processes import BIN, LEAK_FREE

MEMBERS = 50
LEVELS = os.environ.get("GRIBSTORE_TEST_LEVELS", "500/850")    # 8 of them: 2,900 fields
RUN = ("--edition", "2", "--centre", "kwbc", "--members", str(MEMBERS), "--control", "--grid", "90", "--steps", "0/6", "--levels", LEVELS,
       "--params", "2t/t/u/v/st1/st2/st3/st4")
SINGLES = 50    # asked for one by one
# What tells a field from its neighbours.
OWN_KEYS = ("param", "paramId", "typeOfLevel", "level", "topLevel", "bottomLevel", "number", "perturbationNumber", "step", "stepRange", "sub")


def gribgen(*arguments):
    done = subprocess.run([str(BIN / "gribgen"), *map(str, arguments)], capture_output=True, timeout=300, check=False, env={**os.environ, **LEAK_FREE})
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode()


def documents(indexer, **query):
    return {field["id"]: field for field in indexer.fields(source="ens", limit=10000, **query)}


def own_keys(field):
    return {key: field[key] for key in OWN_KEYS if key in field}


def reissue(message):
    """The same field with another value: the last octet of its data is another."""
    return message[:-5] + bytes([message[-5] ^ 1]) + message[-4:]


class World:
    """What the tests of this file share, in their order: a run, then its second issue, then an index made anew."""

    def __init__(self, folder, grib):
        self.running = Daemons(folder)
        self.node = self.running.node()
        self.indexer = self.running.indexer([self.node])
        path = folder / "ens.grib"
        gribgen("--out", path, *RUN)
        self.messages = [message.data for message in grib.split_grib(path)]
        # digest, sub -> identity, by code that is none of the indexer's
        self.identities = {(row[4], int(row[3])): row[5]
                           for row in (line.split("\t") for line in gribgen("--identities", path).splitlines())}
        self.node.ingest("ens", b"".join(self.messages))
        self.indexer.await_messages("ens", len(self.messages))
        self.first = documents(self.indexer)

    def index_is_lost(self):
        self.indexer.stop()
        path = pathlib.Path(self.indexer.catalog.removeprefix("sqlite:"))
        for file in path.parent.glob(path.name + "*"):
            file.unlink()
        self.indexer.start().wait_ready()


@pytest.fixture(scope="module")
def world(tmp_path_factory, grib):
    made = World(tmp_path_factory.mktemp("ensemble"), grib)
    yield made
    made.running.stop()


def read_files(fields):
    """Every data file that these name, whole, by URL."""
    session = requests.Session()
    return {url: session.get(url, timeout=60).content for url in {at["url"] for field in fields for at in field["locations"]}}


def test_there_are_as_many_identities_as_fields_and_each_holds_its_message(world):
    assert len(world.first) == len(world.identities) == len(set(world.identities.values()))
    assert len(world.identities) > 20 * MEMBERS
    assert {(field["digest"], field["sub"]): field["id"][-32:] for field in world.first.values()} == world.identities
    originals = {hashlib.sha256(message).hexdigest(): message for message in world.messages}
    files = read_files(world.first.values())
    for field in world.first.values():
        assert field["locations"]
        for at in field["locations"]:
            assert files[at["url"]][at["offset"]:at["offset"] + at["length"]] == originals[field["digest"]]


def test_every_member_level_layer_and_step_is_found_by_itself(world):
    def ids(**query):
        return set(documents(world.indexer, **query))

    def grouped(*keys):
        groups = collections.defaultdict(set)
        for field in world.first.values():
            if all(key in field for key in keys):
                groups[tuple(field[key] for key in keys)].add(field["id"])
        return groups

    assert len({tuple(own_keys(field).items()) for field in world.first.values()}) == len(world.first)
    members = grouped("number")
    assert set(members) == {(number,) for number in range(MEMBERS + 1)}
    for (number,), wanted in members.items():
        assert ids(number=number) == wanted
    # Both fields of a message.
    for (param, level, step), wanted in grouped("param", "level", "step").items():
        assert len(wanted) % (MEMBERS + 1) == 0
        assert ids(param=param, level=level, step=step) == wanted
    layers = grouped("topLevel", "bottomLevel")
    assert len(layers) > 1
    for (top, bottom), wanted in layers.items():
        assert ids(topLevel=top, bottomLevel=bottom) == wanted
    for field in random.Random(MEMBERS).sample(sorted(world.first.values(), key=lambda field: field["id"]), SINGLES):
        assert ids(**own_keys(field)) == {field["id"]}


def test_a_second_issue_takes_every_place_and_the_first_is_still_to_be_had(world):
    messages = [reissue(message) for message in world.messages]
    world.node.ingest("ens", b"".join(messages))
    world.indexer.await_messages("ens", 2 * len(messages))
    now = documents(world.indexer)
    assert set(now) == set(world.first)
    digests = {hashlib.sha256(old).hexdigest(): hashlib.sha256(new).hexdigest() for old, new in zip(world.messages, messages, strict=True)}
    for field in now.values():
        before = world.first[field["id"]]
        assert (field["digest"], field["sub"]) == (digests[before["digest"]], before["sub"])
        assert [(old["digest"], old["sub"]) for old in field["older"]] == [(before["digest"], before["sub"])]
        assert own_keys(field) == own_keys(before)
    between = max(field["stored_at"] for field in world.first.values())
    assert between < min(field["stored_at"] for field in now.values())
    back = documents(world.indexer, as_of=between)
    assert {field["id"]: field["digest"] for field in back.values()} == {field["id"]: field["digest"] for field in world.first.values()}
    assert {key: field["locations"] for key, field in back.items()} == {key: field["locations"] for key, field in world.first.items()}
    assert documents(world.indexer, as_of=min(field["stored_at"] for field in world.first.values()) - 1) == {}


def test_an_index_made_anew_is_the_same(world):
    before, runs = documents(world.indexer), world.indexer.runs(source="ens")
    world.index_is_lost()
    again = world.indexer.await_messages("ens", sum(run["messages"] for run in runs))
    assert [(run["fields"], run["fingerprint"]) for run in again] == [(run["fields"], run["fingerprint"]) for run in runs]
    assert documents(world.indexer) == before
