"""May a node give up its copies? The indexer is asked as a node would ask it: each condition alone not met refuses, and leaves no lock behind.

Nodes are real; in front of each stands front.py, so that a test says what a node answers of its own files (`none` unless it says otherwise) and can
keep it silent. The map names no indexer, so no node asks by itself."""

import contextlib
import hashlib
import json
import signal
import sqlite3
import threading
import time

import pymongo
import pytest
import requests

from front import Front
from processes import Indexer, Node, await_condition, stamp

SHARDS = 32
SOURCE = "give"
COUNT = 40
NONE = (200, b'{"state": "none"}')
ATTEMPTS = 4
STALL_S = 10  # who moves no byte for so long is asked no more (TRANSFER_STALL_TIMEOUT_MS)


def shard_of(digest):
    return int(digest[:2], 16) >> 3


def digests_of(data):
    """Digests of a file's messages, all of which are GRIB2."""
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at + 8:at + 16], "big")
        found.append(hashlib.sha256(data[at:at + size]).hexdigest())
        at += size
    return found


class Nodes:
    """n1 to n4 behind their fronts, and an indexer: n1 and n2 own all shards, n3 and n4 hold what is not theirs."""

    def __init__(self, folder, catalog=None, arguments=()):
        self.fronts, self.nodes, self.indexer, self.folder = {}, {}, None, folder
        for name in ("n1", "n2", "n3", "n4"):
            self.fronts[name] = Front()
            self.nodes[name] = Node(name, folder, arguments=["--url", self.fronts[name].url, "--sync-period", "0"]).start()
            self.fronts[name].node_url = self.nodes[name].url
        for node in self.nodes.values():
            node.wait_ready()
        self.cluster = self.nodes["n1"].json("/cluster/map")["cluster"]
        self.map = self.make_map(1, ["n1", "n2"])
        for node in self.nodes.values():
            assert node.put("/cluster/map", json.dumps(self.map)).status_code == 200
        for node in self.nodes.values():
            node.wait_ready()
        self.indexer = Indexer("indexer", folder, list(self.nodes.values()), catalog=catalog, arguments=arguments).start().wait_ready()

    def close(self):
        if self.indexer is not None:
            self.indexer.stop()
        for node in self.nodes.values():
            node.stop()
        for front in self.fronts.values():
            front.close()

    def make_map(self, epoch, owners, states=None, without=(), **more):
        return {
            "cluster": self.cluster, "epoch": epoch, "shards": SHARDS, "replicas": 2, "min_replicas": 1, "indexers": [],
            "nodes": [{"id": name, "url": front.url, "host": name, "colo": "a", "weight": 100, "state": (states or {}).get(name, "in")}
                      for name, front in self.fronts.items() if name not in without],
            "eras": [{"from": None, "owners": [owners for _ in range(SHARDS)]}], **more}

    def put_map(self, owners=("n1", "n2"), **more):
        self.map = self.make_map(self.map["epoch"] + 1, list(owners), **more)
        answer = self.indexer.put("/v1/cluster/map", data=json.dumps(self.map), headers={"If-Match": str(self.map["epoch"] - 1)})
        assert answer.status_code == 200, answer.text

    def reset(self):
        """As at the beginning, but for the epoch."""
        for front in self.fronts.values():
            front.reset()
            front.answers["/cluster/releases/"] = NONE
        if self.map != self.make_map(self.map["epoch"], ["n1", "n2"]):
            self.put_map()


class Releases:
    """A run of its own on all nodes, in the index."""

    runs = 0

    def __init__(self, nodes, stamped):
        nodes.reset()
        self.all, self.fronts, self.nodes, self.indexer, self.cluster = nodes, nodes.fronts, nodes.nodes, nodes.indexer, nodes.cluster
        self.put_map, self.held = nodes.put_map, {}
        Releases.runs += 1
        self.run = f"202611{1 + Releases.runs // 24:02}T{Releases.runs % 24:02}00Z"
        self.time = f"{self.run[:4]}-{self.run[4:6]}-{self.run[6:8]}T{self.run[9:11]}:00:00Z"
        self.stamped = stamped
        self.data = stamped(self.run, COUNT)
        self.store(self.data, *self.nodes)
        self.await_indexed(len(self.nodes))

    def store(self, data, *names):
        self.held = {}
        for name in names:
            assert self.nodes[name].put(f"/replica/{SOURCE}", data=data).status_code == 201

    def one_more(self):
        """A message that comes later."""
        return self.stamped(self.run, COUNT + 1)[len(self.data):]

    def fields(self):
        return self.indexer.fields(source=SOURCE, base_time=self.time, limit=10000)

    def await_indexed(self, copies):
        wanted = set(digests_of(self.data))

        def there():
            fields = self.fields()
            return {field["digest"] for field in fields} == wanted and all(len(field["locations"]) >= copies for field in fields)
        await_condition(there, f"{len(wanted)} messages, {copies} copies each")
        # A cursor is written behind what it covers.
        await_condition(lambda: all(node["caught_up"] for node in self.indexer.json("/v1/cluster/nodes")["nodes"]), "caught up")

    def leave(self, name, **change):
        """Out: what the index says of it goes. await_back() ends it."""
        self.put_map(**change)
        await_condition(lambda: not any(at["node"] == name for field in self.fields() for at in field["locations"]), f"nothing of {name} is named")

    def await_back(self):
        self.put_map()
        self.await_indexed(len(self.nodes))

    def listed(self, name):
        """The run as the node lists it."""
        (run,) = (run for run in self.nodes[name].json("/cluster/runs")["runs"] if (run["source"], run["base_time"]) == (SOURCE, self.time))
        return run

    def files(self, name):
        """birth -> (shard, digests): each of the node's data files."""
        if name not in self.held:
            found = self.held[name] = {}
            for line in self.nodes[name].json(f"/cluster/shards/{SOURCE}/{self.run}"):
                for member in self.nodes[name].json(f"/cluster/shards/{SOURCE}/{self.run}?shard={line['shard']}") if line["count"] else []:
                    found.setdefault(member["birth"], (line["shard"], []))[1].append(member["digest"])
        return self.held[name]

    def question(self, name, births=None, **changes):
        run, files = self.listed(name), self.files(name)
        return {"node": name, "source": SOURCE, "base_time": self.run, "incarnation": 1, "journal": run["journal"], "records": run["records"],
                "files": [{"shard": files[birth][0], "birth": birth, "digests": list(files[birth][1])} for birth in births or files], **changes}

    def ask(self, name, births=None, headers=None, **changes):
        return self.post(self.question(name, births, **changes), headers)

    def ask_read(self, name, births=None, **changes):
        """The same when the index has read what there is: it may read a run anew at any time, behind a machine that stood still say."""
        told = {}

        def asked():
            told.update(self.ask(name, births, **changes))
            return not any(line["code"] == "behind" for line in told["refused"])
        await_condition(asked, f"the index has read {name}")
        return told

    def post(self, question, headers=None, at=None):
        answer = (at or self.indexer).post("/v1/releases", data=json.dumps(question), headers=headers or {})
        assert answer.status_code == 200, answer.text
        told = answer.json()
        births = {file["birth"] for file in question["files"]}
        assert set(told["granted"]) | {line["birth"] for line in told["refused"]} == births
        assert len(told["granted"]) + len(told["refused"]) == len(births)
        return told

    def some_file(self, name):
        """One that holds several messages."""
        return max(self.files(name).items(), key=lambda file: (len(file[1][1]), file[0]))[0]

    def file_of_shard(self, name, shard):
        return next(birth for birth, (at, _) in self.files(name).items() if at == shard)

    def dropped(self, name, births, final, **changes):
        run = self.listed(name)
        return self.indexer.post("/v1/releases/dropped", data=json.dumps({
            "node": name, "source": SOURCE, "base_time": self.run, "incarnation": 1, "journal": run["journal"], "records": run["records"],
            "files": births, "final": final, **changes}))

    def locks(self):
        """name -> holder, as the database has them."""
        if self.indexer.catalog.startswith("sqlite:"):
            with contextlib.closing(sqlite3.connect(self.indexer.catalog.removeprefix("sqlite:"))) as database:
                found = [json.loads(text) for (text,) in database.execute("SELECT doc FROM settings WHERE CAST(id AS TEXT) LIKE 'lock/%'")]
        else:
            with pymongo.MongoClient(self.indexer.catalog) as client:
                found = list(client.gribstore.settings.find({"_id": {"$regex": "^lock/"}}))
        return {lock["name"]: lock["holder"] for lock in found if f"/{self.run}/" in lock["name"]}

    def lose_locks(self):
        """The database is one of an earlier day."""
        with contextlib.closing(sqlite3.connect(self.indexer.catalog.removeprefix("sqlite:"), timeout=60)) as database:
            database.execute("DELETE FROM settings WHERE CAST(id AS TEXT) LIKE 'lock/%'")
            database.commit()

    def lock_of(self, name, birth):
        return {f"release/{SOURCE}/{self.run}/{self.files(name)[birth][0]}": f"{name} {birth}"}

    def refused(self, code, name="n3", births=None, **changes):
        """All are refused for this, and no lock is left; why."""
        before = self.locks()
        told = (self.ask if code == "behind" else self.ask_read)(name, births, **changes)
        assert told["granted"] == []
        assert {line["code"] for line in told["refused"]} == {code}, told["refused"][:3]
        assert self.locks() == before
        return told["refused"][0]["why"]

    def granted(self, name, births):
        told = self.ask_read(name, births)
        assert told == {"granted": births, "refused": []}

    def says(self, name, birth, state):
        """What the node says of one of its files from now on."""
        path = f"/cluster/releases/{SOURCE}/{self.run}/{self.files(name)[birth][0]:04d}-{birth}.grib"
        self.fronts[name].answers = {path: (200, json.dumps({"state": state}).encode()), **{
            key: value for key, value in self.fronts[name].answers.items() if key != path}}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    made = Nodes(tmp_path_factory.mktemp("release"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def kept(nodes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stamped")
    return Releases(nodes, lambda base_time, count: stamp(folder / f"{base_time}-{count}.grib", base_time, count).read_bytes())


@pytest.fixture
def releases(kept):
    """A run that a test leaves as it was."""
    kept.all.reset()
    kept.lose_locks()
    return kept


@pytest.fixture
def own_run(nodes, stamped):
    """One that a test may add to, read anew, or purge."""
    return Releases(nodes, stamped)


def test_what_owners_have_and_the_index_names_may_be_given_up(releases):
    births = list(releases.files("n3"))
    before = releases.indexer.metric('gribstore_releases_total{outcome="granted"}')
    told = releases.ask_read("n3")
    assert (sorted(told["granted"]), told["refused"]) == (sorted(births), [])
    assert releases.locks() == {lock: holder for birth in births for lock, holder in releases.lock_of("n3", birth).items()}
    assert releases.indexer.metric('gribstore_releases_total{outcome="granted"}') == before + len(births)
    # Asked again: the locks are the same node's and file's already.
    assert releases.ask_read("n3")["refused"] == []


def test_a_run_of_another_incarnation_or_on_its_way_out_is_not_judged(own_run):
    assert "incarnation is 1" in own_run.refused("stale-run", incarnation=2)
    assert "no such run" in own_run.refused("stale-run", source="other")
    assert own_run.indexer.post(f"/v1/runs/{SOURCE}/{own_run.run}/retire?grace=1h").status_code == 200
    own_run.refused("run-retired")
    assert own_run.dropped("n3", [own_run.some_file("n3")], False).json()["type"].endswith(":run-retired")
    assert own_run.indexer.post(f"/v1/runs/{SOURCE}/{own_run.run}/ready").status_code == 200
    own_run.await_indexed(4)
    # It is read anew from every node: what is indexed may be of before, and the cursors gone.
    await_condition(lambda: own_run.ask("n3")["refused"] == [], "it is judged as any")
    assert own_run.locks() != {}
    # The run's end frees its locks.
    assert own_run.indexer.post(f"/v1/runs/{SOURCE}/{own_run.run}/retire?grace=0s").status_code == 200
    await_condition(lambda: own_run.indexer.json(f"/v1/runs/{SOURCE}/{own_run.run}")["state"] == "purged", "purged")
    assert own_run.locks() == {}
    question = {"node": "n3", "source": SOURCE, "base_time": own_run.run, "incarnation": 1, "journal": "00" * 8, "records": 0,
                "files": [{"shard": 0, "birth": "aa" * 8, "digests": []}]}
    assert [line["code"] for line in own_run.post(question)["refused"]] == ["purged"]


def test_nothing_is_given_up_while_the_map_is_paused(releases):
    releases.put_map(paused=True)
    releases.refused("paused")
    releases.put_map()
    assert releases.ask_read("n3")["refused"] == []


def test_who_owns_the_shard_keeps_it_and_who_is_in_no_map_is_not_heard(releases):
    assert "n1 owns the shard" in releases.refused("owner", "n1")
    question = releases.question("n3", node="n9")
    assert {line["code"] for line in releases.post(question)["refused"]} == {"not-found"}
    assert releases.locks() == {}
    # By the map of now, not of the start: n3 owns it, then n1 does not.
    releases.put_map(("n3", "n2"))
    releases.refused("owner", "n3")
    assert releases.ask_read("n1")["refused"] == []


def test_a_catalog_whose_map_is_older_than_one_that_somebody_has_seen_grants_nothing(releases):
    question = releases.question("n3")
    epoch = releases.all.map["epoch"]
    seen = {"Gribstore-Cluster": releases.cluster, "Gribstore-Epoch": str(epoch + 1)}
    answer = releases.indexer.post("/v1/releases", data=json.dumps(question), headers=seen)
    assert answer.status_code == 503 and f"epoch {epoch}," in answer.json()["detail"], answer.text
    assert releases.locks() == {}
    # An owner shows it, in its answer.
    releases.fronts["n2"].headers = seen
    answer = releases.indexer.post("/v1/releases", data=json.dumps(question))
    assert answer.status_code == 503 and f"epoch {epoch}," in answer.json()["detail"], answer.text
    assert releases.locks() == {}


def test_the_index_has_to_have_read_what_the_node_wrote(releases):
    records = releases.listed("n3")["records"]
    assert f"{records} of the {records + 1}" in releases.refused("behind", records=records + 1)
    assert "has read journal" in releases.refused("behind", journal="0123456789abcdef")
    assert releases.ask("n3", records=records)["refused"] == []


def test_an_index_that_has_not_read_the_node_at_all_is_behind(own_run):
    own_run.fronts["n3"].answers["/cluster/journal"] = (503, b"{}")
    with contextlib.closing(sqlite3.connect(own_run.indexer.catalog.removeprefix("sqlite:"), timeout=60)) as database:
        gone = database.execute("DELETE FROM cursors WHERE doc ->> 'node' = 'n3' AND doc ->> 'base_time' = ?", (own_run.time,))
        assert gone.rowcount == 1
        database.commit()
    # The indexer that meets the loss begins anew at 0: before that, or behind it.
    assert own_run.refused("behind").startswith(("the index has read nothing", "the index has read 0 of"))


def test_each_owner_has_to_have_each_message_now(own_run):
    more = own_run.one_more()
    own_run.store(more, "n1", "n3")
    own_run.data += more
    own_run.await_indexed(2)
    (digest,) = digests_of(more)
    (lacking,) = (birth for birth, (_, digests) in own_run.files("n3").items() if digest in digests)
    told = own_run.ask_read("n3")
    assert [(line["birth"], line["code"]) for line in told["refused"]] == [(lacking, "too-few-copies")]
    assert told["refused"][0]["why"].startswith("n2 lacks 1 of ")
    assert set(own_run.locks().values()) == {f"n3 {birth}" for birth in told["granted"]}
    # What is bad here and nowhere else is as well kept until somebody decides: it is in the list, and owners lack it.
    own_run.store(more, "n2")
    own_run.await_indexed(3)
    own_run.granted("n3", [lacking])


def test_an_owner_that_does_not_answer_confirms_nothing(releases):
    birth = releases.some_file("n3")
    releases.fronts["n2"].silent.set()
    assert releases.refused("too-few-copies", births=[birth]).startswith("n2: ")
    releases.fronts["n2"].silent.clear()
    releases.fronts["n2"].answers["/have"] = (200, b'{"missing": [], "known": [{"digest": "00"}]}')
    assert releases.refused("too-few-copies", births=[birth]).startswith("n2: known[0]: ")
    del releases.fronts["n2"].answers["/have"]
    # Of another version: it can't say whether it gives the file up itself.
    releases.fronts["n2"].answers["/cluster/releases/"] = (404, b"{}")
    assert releases.refused("too-few-copies", births=[birth]).startswith("n2: ")
    releases.fronts["n2"].answers["/cluster/releases/"] = NONE
    releases.granted("n3", [birth])


def test_an_owner_that_is_out_or_one_too_few_counts_as_no_copy(releases):
    releases.leave("n2", states={"n2": "out"})
    assert "n2, an owner, is out" in releases.refused("too-few-copies")
    releases.await_back()


def test_a_copy_that_its_owner_gives_up_itself_counts_for_nothing(releases):
    birth = releases.some_file("n3")
    theirs = releases.file_of_shard("n2", releases.files("n3")[birth][0])
    for state in ("asked", "dropped", "gone"):
        releases.says("n2", theirs, state)
        assert f"{theirs}.grib is given up there itself ({state})" in releases.refused("too-few-copies", births=[birth])
    releases.says("n2", theirs, "none")
    releases.granted("n3", [birth])


def test_the_index_has_to_name_each_message_at_each_owner(own_run):
    """n2 has it, and its journal is not read."""
    own_run.fronts["n2"].answers["/cluster/journal"] = (503, b"{}")
    more = own_run.one_more()
    own_run.store(more, "n1", "n2", "n3")
    (digest,) = digests_of(more)

    def read():
        places = {at["node"] for field in own_run.fields() if field["digest"] == digest for at in field["locations"]}
        return places == {"n1", "n3"} and own_run.ask("n3")["refused"][0]["code"] != "behind"
    await_condition(read, "of n1 and n3 it is read")
    (lacking,) = (birth for birth, (_, digests) in own_run.files("n3").items() if digest in digests)
    assert own_run.refused("not-indexed", births=[lacking]).startswith("the index does not name 1 of ")
    del own_run.fronts["n2"].answers["/cluster/journal"]
    own_run.data += more
    own_run.await_indexed(3)
    own_run.granted("n3", [lacking])


def test_a_file_is_not_given_up_by_a_list_that_lacks_what_the_index_has_in_it(releases):
    birth = releases.some_file("n3")
    question = releases.question("n3", [birth])
    question["files"][0]["digests"].pop()
    (line,) = releases.post(question)["refused"]
    assert (line["birth"], line["code"]) == (birth, "incomplete")
    assert releases.locks() == {}


def test_a_digest_that_is_nowhere_else_keeps_the_file(releases):
    birth = releases.some_file("n3")
    question = releases.question("n3", [birth])
    shard = question["files"][0]["shard"]
    question["files"][0]["digests"].append(next(digest for digest in (hashlib.sha256(bytes([byte])).hexdigest() for byte in range(256))
                                                if shard_of(digest) == shard))
    (line,) = releases.post(question)["refused"]
    assert line["code"] == "too-few-copies"
    assert releases.locks() == {}


def test_a_node_that_is_out_and_comes_back_may_give_up_what_it_has(releases):
    """Nothing of it is read or named any more, so no cursor says that it was."""
    birth = releases.some_file("n3")
    releases.leave("n3", states={"n3": "out"})
    releases.granted("n3", [birth])
    assert releases.locks() == releases.lock_of("n3", birth)
    assert releases.dropped("n3", [birth], False).json() == {"removed": [birth]}
    assert releases.locks() == {}
    assert releases.dropped("n3", [birth], True).json() == {"removed": [birth]}
    releases.await_back()


# --- locks ---


def two_files(releases):
    """Of one shard, on n3 and on n4."""
    birth = releases.some_file("n3")
    return birth, releases.file_of_shard("n4", releases.files("n3")[birth][0])


def test_two_files_of_one_shard_are_given_up_one_after_the_other(releases):
    first, second = two_files(releases)
    releases.says("n3", first, "asked")
    releases.granted("n3", [first])
    for state in ("asked", "dropped"):
        releases.says("n3", first, state)
        assert releases.refused("locked", "n4", [second]) == f"n3 {first} is giving up its copy"
    # The other shards are not in its way.
    told = releases.ask_read("n4")
    assert [line["birth"] for line in told["refused"]] == [second]
    releases.says("n3", first, "none")
    releases.granted("n4", [second])
    assert releases.locks()[f"release/{SOURCE}/{releases.run}/{releases.files('n3')[first][0]}"] == f"n4 {second}"


def test_two_files_of_one_shard_in_one_request_are_not_both_granted(releases):
    birth = releases.some_file("n3")
    question = releases.question("n3", [birth])
    question["files"].append({"shard": question["files"][0]["shard"], "birth": "ab" * 8, "digests": []})
    told = releases.post(question)
    assert told["granted"] == [birth]
    assert [(line["birth"], line["code"]) for line in told["refused"]] == [("ab" * 8, "locked")]
    assert releases.locks() == releases.lock_of("n3", birth)


def test_a_lock_goes_when_its_holder_is_gone_out_or_in_no_map_and_not_because_it_is_silent(releases):
    first, second = two_files(releases)
    releases.granted("n3", [first])
    releases.fronts["n3"].silent.set()
    releases.refused("locked", "n4", [second])
    releases.leave("n3", states={"n3": "out"})
    releases.granted("n4", [second])
    assert releases.locks() == releases.lock_of("n4", second)
    releases.fronts["n3"].silent.clear()
    releases.await_back()
    releases.says("n4", second, "gone")
    releases.granted("n3", [first])
    # A node that has left the map.
    releases.put_map(without=["n3"])
    releases.granted("n4", [second])
    assert releases.locks() == releases.lock_of("n4", second)
    releases.await_back()


def test_many_at_once_for_one_shard_get_one_grant_between_them(releases):
    first, second = two_files(releases)
    releases.says("n3", first, "asked")
    releases.says("n4", second, "asked")
    questions = [releases.question("n3", [first]), releases.question("n4", [second])] * 4
    told = []
    threads = [threading.Thread(target=lambda question=question: told.append((question["node"], releases.post(question)))) for question in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == len(questions)
    # Asked again at the same time, a node may void its own; never are both granted.
    assert len({node for node, answer in told if answer["granted"]}) <= 1
    assert len(releases.locks()) <= 1


def test_a_lock_that_an_older_database_lost_lets_no_second_copy_go(releases):
    """n2 owned it no more and was granted; the database goes back to a day without that lock, and n3's place was given to n2's: who counts on
    n2's copy is refused because n2 says that it is giving it up."""
    releases.put_map(("n1", "n3"))
    shard = next(iter(releases.files("n3").values()))[0]
    second = releases.file_of_shard("n2", shard)
    third = releases.file_of_shard("n3", shard)
    releases.says("n2", second, "asked")
    releases.granted("n2", [second])
    releases.lose_locks()
    releases.put_map(("n1", "n2"))
    assert "given up there itself" in releases.refused("too-few-copies", "n3", [third])
    releases.says("n2", second, "none")
    releases.granted("n3", [third])


# --- dropped ---


def test_what_was_dropped_frees_its_lock_and_leaves_the_index_by_name(own_run):
    birth = own_run.some_file("n3")
    own_run.granted("n3", [birth])
    records = own_run.listed("n3")["records"]
    assert own_run.dropped("n3", [birth], False, records=records + 1).json() == {"removed": []}
    assert own_run.dropped("n3", [birth], True, records=records + 1).json() == {"removed": []}
    assert own_run.dropped("n3", [birth], True, journal="00" * 8).json() == {"removed": []}
    assert own_run.locks() == own_run.lock_of("n3", birth)
    assert own_run.dropped("n3", [birth], False).json() == {"removed": [birth]}
    assert own_run.locks() == {}
    assert own_run.dropped("n3", [birth], True).json() == {"removed": [birth]}
    for field in own_run.fields():
        assert not any(birth in at["file"] for at in field["locations"])
        assert {"n1", "n2", "n4"} <= {at["node"] for at in field["locations"]}
    assert own_run.dropped("n3", [birth], True).json() == {"removed": [birth]}
    assert own_run.dropped("n3", [birth], True, incarnation=2).json()["type"].endswith(":stale-run")


def test_what_a_node_that_is_out_has_dropped_leaves_the_index_by_name_before_its_grace(own_run):
    """Nothing is read of it any more, so no tail removes what its journal says is dropped."""
    lonely = own_run.one_more()
    name, = digests_of(lonely)
    own_run.store(lonely, "n3")

    def named(node):
        return {field["digest"] for field in own_run.fields() for at in field["locations"] if at["node"] == node}
    await_condition(lambda: name in named("n3"), "it is in the index")
    own_run.put_map(states={"n3": "out"})
    await_condition(lambda: named("n3") == {name}, "what it alone has stays named")
    birth = next(birth for birth, (_, digests) in own_run.files("n3").items() if name in digests)
    here = own_run.some_file("n2")
    before = named("n2")
    assert own_run.dropped("n2", [here], False).json() == {"removed": [here]}
    assert named("n2") == before  # of a node that is read the tail does it
    assert own_run.dropped("n3", [birth], False, records=10 ** 6).json() == {"removed": [birth]}
    assert named("n3") == set() and name not in {field["digest"] for field in own_run.fields()}
    own_run.put_map()


def test_what_another_file_holds_is_not_freed_by_a_name_that_is_alike(releases):
    first, second = two_files(releases)
    releases.says("n3", first, "asked")
    releases.granted("n3", [first])
    assert releases.dropped("n4", [first], True).json() == {"removed": [first]}
    assert releases.dropped("n3", [second], True).json() == {"removed": [second]}
    assert releases.locks() == releases.lock_of("n3", first)


# --- what comes late ---


def test_an_indexer_that_slept_over_its_judgement_frees_no_lock_that_was_taken_since(releases):
    """A refusal that comes after the node has asked again, and was granted. A machine that is slower than the indexer waits for an owner shows
    nothing of it: then it is tried again."""
    for attempt in range(ATTEMPTS):
        releases.all.reset()
        releases.lose_locks()
        began = time.monotonic()
        try:
            sleep_over_a_judgement(releases, releases.some_file("n3"))
            break
        except AssertionError:
            if time.monotonic() - began < STALL_S / 2 or attempt == ATTEMPTS - 1:
                raise


def sleep_over_a_judgement(releases, birth):
    released, reached = threading.Event(), threading.Event()
    front = releases.fronts["n2"]
    front.held = ("/have", released, reached)
    front.rewrite = lambda path, content: b'{"missing": [], "known": []}' if path == "/have" else content
    told = []
    first = threading.Thread(target=lambda: told.append(releases.ask("n3", [birth])))
    first.start()
    try:
        assert reached.wait(60)
        assert releases.locks() == releases.lock_of("n3", birth)
        front.held, front.rewrite = None, None
        releases.granted("n3", [birth])
        front.rewrite = lambda path, content: b'{"missing": [], "known": []}' if path == "/have" else content
    finally:
        released.set()
        first.join()
    assert [line["code"] for line in told[0]["refused"]] == ["too-few-copies"]
    assert releases.locks() == releases.lock_of("n3", birth)


def test_a_map_that_changes_under_a_judgement_is_seen(releases):
    """It is read again behind the lock; here it changes while the holder of a lock is asked."""
    first, second = two_files(releases)
    releases.granted("n3", [first])
    released, reached = threading.Event(), threading.Event()
    releases.fronts["n3"].held = ("/cluster/releases/", released, reached)
    told = []
    thread = threading.Thread(target=lambda: told.append(releases.ask("n4", [second])))
    began = time.monotonic()
    thread.start()
    assert reached.wait(60)
    releases.put_map(("n1", "n4"))
    released.set()
    late = time.monotonic() - began > STALL_S / 2  # perhaps it waits for the holder no more
    thread.join()
    assert [line["code"] for line in told[0]["refused"]] == ["owner"] or (late and told[0]["refused"][0]["code"] == "locked")
    assert releases.locks() == {}


def test_an_indexer_that_stops_ends_its_judgements_and_leaves_no_lock(releases):
    birth = releases.some_file("n3")
    question = releases.question("n3", [birth])
    released, reached = threading.Event(), threading.Event()
    releases.fronts["n2"].held = ("/have", released, reached)
    told = []
    thread = threading.Thread(target=lambda: told.append(releases.indexer.post("/v1/releases", data=json.dumps(question))))
    thread.start()
    assert reached.wait(60)
    releases.indexer.stop()
    thread.join()
    released.set()
    releases.fronts["n2"].held = None
    assert told[0].status_code == 503 or not told[0].json()["granted"], told[0].text
    assert releases.locks() == {}
    releases.indexer.start().wait_ready()
    releases.await_indexed(4)
    releases.granted("n3", [birth])


# --- what is sent ---


BAD_QUESTIONS = [
    ({"node": "no/node"}, "node"), ({"node": None}, "node"), ({"source": "UP"}, "source"), ({"base_time": "20261301T0000Z"}, "base"),
    ({"incarnation": 0}, "incarnation"), ({"incarnation": "1"}, "incarnation"), ({"journal": "12"}, "journal"), ({"journal": "zz" * 8}, "journal"),
    ({"records": -1}, "records"), ({"records": 2 ** 63}, "JSON"), ({"files": []}, "files"), ({"files": {}}, "files"), ({"files": [7]}, "files[0]"),
    ({"files": [{"shard": 32, "birth": "ab" * 8, "digests": []}]}, "shard"), ({"files": [{"shard": 0, "birth": "ab", "digests": []}]}, "birth"),
    ({"files": [{"shard": 0, "birth": "00" * 8, "digests": []}]}, "birth"), ({"files": [{"shard": 0, "birth": "ab" * 8}]}, "digests"), ({"files": [{"shard": 0, "birth": "ab" * 8, "digests": ["00"]}]}, "digests[0]"),
    ({"files": [{"shard": 0, "birth": "ab" * 8, "digests": ["ff" * 32]}]}, "not of shard 0"),
    ({"files": [{"shard": 0, "birth": "ab" * 8, "digests": []}] * 2}, "files[1]: birth"),
]
QUESTION = {"node": "n1", "source": "s", "base_time": "20261101T0000Z", "incarnation": 1, "journal": "00" * 8, "records": 0,
            "files": [{"shard": 0, "birth": "ab" * 8, "digests": []}]}


def test_a_question_that_is_none_is_named(nodes):
    for change, word in BAD_QUESTIONS:
        question = {**QUESTION, **change}
        answer = nodes.indexer.post("/v1/releases", data=json.dumps(question))
        assert answer.status_code == 400, (change, answer.text)
        assert word in answer.json()["detail"], change
        if set(change) & {"node", "source", "journal", "records"}:
            answer = nodes.indexer.post("/v1/releases/dropped", data=json.dumps({**question, "files": ["ab" * 8], "final": True}))
            assert answer.status_code == 400 and word in answer.json()["detail"], (change, answer.text)


def test_a_request_holds_at_most_so_many_digests(nodes):
    indexer = nodes.indexer
    question = {**QUESTION, "files": [{"shard": 0, "birth": "ab" * 8, "digests": ["00" * 32] * 200000}, {"shard": 1, "birth": "cd" * 8, "digests": ["08" + "00" * 31]}]}
    answer = indexer.post("/v1/releases", data=json.dumps(question))
    assert answer.status_code == 413, answer.text
    assert "200001" in answer.json()["detail"]
    assert indexer.post("/v1/releases", data=b" " * (73 << 20)).status_code == 413
    assert indexer.post("/v1/releases/dropped", data=json.dumps({**question, "files": ["ab" * 8] * 10001, "final": False})).status_code == 413
    for wrong in ({"files": ["ab" * 8], "final": 1}, {"files": ["00" * 8], "final": True}, {"files": ["ab"], "final": True}, {"files": [], "final": True}):
        assert indexer.post("/v1/releases/dropped", data=json.dumps({**question, **wrong})).status_code == 400, wrong


def test_more_requests_than_can_wait_are_told_to_come_again(releases):
    birth = releases.some_file("n3")
    question = json.dumps(releases.question("n3", [birth]))
    released, reached = threading.Event(), threading.Event()
    releases.fronts["n2"].held = ("/have", released, reached)
    codes = []

    def post():
        codes.append(requests.post(f"{releases.indexer.url}/v1/releases", data=question, timeout=120).status_code)
    threads = [threading.Thread(target=post) for _ in range(30)]
    for thread in threads:
        thread.start()
    await_condition(lambda: codes.count(503) >= 30 - 18, "some were told to come again")
    released.set()
    for thread in threads:
        thread.join()
    assert set(codes) <= {200, 503} and 200 in codes
    releases.fronts["n2"].held = None
    releases.granted("n3", [birth])


# --- MongoDB ---


def test_the_same_with_mongodb(tmp_path, stamped, mongod):
    nodes = Nodes(tmp_path, catalog=mongod, arguments=["--lease", "2s"])
    other = None
    try:
        releases = Releases(nodes, stamped)
        first, second = two_files(releases)
        releases.says("n3", first, "asked")
        releases.granted("n3", [first])
        assert releases.locks() == releases.lock_of("n3", first)
        releases.refused("locked", "n4", [second])
        # Another indexer of the same database.
        other = Indexer("other", tmp_path, list(nodes.nodes.values()), catalog=mongod, arguments=["--lease", "2s"]).start().wait_ready()
        releases.indexer = other
        releases.refused("locked", "n4", [second])
        assert releases.dropped("n3", [first], True).json() == {"removed": [first]}
        releases.granted("n4", [second])
        releases.indexer = nodes.indexer
        releases.refused("behind", records=10 ** 6)
        # It stops between lock and answer; the node has given up waiting, and the other indexer goes on.
        releases.dropped("n4", [second], True)
        released, reached = threading.Event(), threading.Event()
        releases.fronts["n2"].held = ("/have", released, reached)
        told = []
        thread = threading.Thread(target=lambda: told.append(releases.post(question, at=nodes.indexer)))
        question = releases.question("n3", [first])
        releases.says("n3", first, "none")
        began = time.monotonic()
        thread.start()
        assert reached.wait(60)
        nodes.indexer.process.send_signal(signal.SIGSTOP)
        releases.fronts["n2"].held = None
        releases.indexer = other
        releases.granted("n4", [second])
        assert releases.locks() == releases.lock_of("n4", second)
        nodes.indexer.process.send_signal(signal.SIGCONT)
        released.set()
        late = time.monotonic() - began > STALL_S / 2  # perhaps it wakes up to an owner that has been silent for too long
        thread.join()
        assert told[0]["granted"] == [] and (late or [line["code"] for line in told[0]["refused"]] == ["locked"]), told
        assert releases.locks() == releases.lock_of("n4", second)
        # Both indexers at once: one of the two gets it.
        releases.dropped("n4", [second], True)
        releases.says("n3", first, "asked")
        releases.says("n4", second, "asked")
        questions = [(releases.question("n3", [first]), other), (releases.question("n4", [second]), nodes.indexer)] * 3
        told = []
        threads = [threading.Thread(target=lambda question=question, at=at: told.append((question["node"], releases.post(question, at=at))))
                   for question, at in questions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(told) == len(questions)
        assert len({node for node, answer in told if answer["granted"]}) <= 1
        assert len(releases.locks()) <= 1
        for name, birth in (("n3", first), ("n4", second)):
            releases.says(name, birth, "none")
        releases.indexer = nodes.indexer
        releases.granted("n4", [second])
        releases.says("n2", releases.file_of_shard("n2", releases.files("n4")[second][0]), "asked")
        # Asked again: what was granted before is void, so the lock goes with the refusal.
        (line,) = releases.ask("n4", [second])["refused"]
        assert (line["code"], releases.locks()) == ("too-few-copies", {})
        releases.says("n2", releases.file_of_shard("n2", releases.files("n4")[second][0]), "none")
        releases.granted("n4", [second])
        assert releases.indexer.post(f"/v1/runs/{SOURCE}/{releases.run}/retire?grace=0s").status_code == 200
        await_condition(lambda: releases.indexer.json(f"/v1/runs/{SOURCE}/{releases.run}")["state"] == "purged", "purged")
        assert releases.locks() == {}
    finally:
        nodes.indexer.process.send_signal(signal.SIGCONT)
        if other is not None:
            other.stop()
        nodes.close()
