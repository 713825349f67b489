"""A MongoDB of an earlier form is brought to this one while the index serves, however often it is killed meanwhile; one of a later form is left alone."""

import pytest

from processes import Indexer, await_condition
from replica_set import MEMBERS, ReplicaSet

COUNT = 200


@pytest.fixture
def database(tmp_path, mongod_binary):
    with ReplicaSet(tmp_path, ["--setParameter", "enableTestCommands=1"]) as found:
        yield found


@pytest.fixture
def filled(daemons, node, database, stamped):
    """An indexer that has indexed a run, and is not running."""
    indexer = daemons.indexer([node], catalog=database.uri)
    assert node.put("/ingest/db/", data=stamped("20261119T0000Z", COUNT)).status_code == 201
    await_condition(lambda: sum(run["messages"] for run in indexer.runs(source="db")) == COUNT, "it is in the index", 60)
    indexer.stop()
    return indexer


def index_names(client):
    return set(client.gribstore.fields.index_information())


def hang_builds(database, mode):
    """On every member: whoever leads."""
    for place in range(MEMBERS):
        with database.member(place, 60_000) as member:
            member.admin.command("configureFailPoint", "hangAfterStartingIndexBuild", mode=mode)


def test_missing_indexes_are_made_while_the_index_serves_and_a_kill_does_not_matter(filled, database):
    with database.client() as client:
        wanted = index_names(client)
        newest = client.gribstore.settings.find_one({"_id": "format"})["format"]
        for name in wanted - {"_id_"}:
            client.gribstore.fields.drop_index(name)
        client.gribstore.settings.update_one({"_id": "format"}, {"$set": {"format": 1}, "$inc": {"rev": 1}})
        hang_builds(database, "alwaysOn")
        try:
            for _ in range(2):
                filled.start().wait_ready()
                await_condition(lambda: len(filled.fields(source="db")) == COUNT, "it serves")
                await_condition(lambda: "in the background" in filled.output(), "it says what it does")
                assert "all are there" not in filled.output()
                filled.kill()
        finally:
            hang_builds(database, "off")
        filled.start().wait_ready()
        await_condition(lambda: index_names(client) == wanted, "the indexes are there", 60)
        # A build that is under way is listed, too: it is over once the planner takes it.
        await_condition(lambda: "IXSCAN" in str(client.gribstore.fields.find({"digest": "x"}).explain()["queryPlanner"]["winningPlan"]),
                        "the indexes are used", 60)
        assert client.gribstore.settings.find_one({"_id": "format"})["format"] == newest > 1


def test_a_later_form_is_refused_and_nothing_of_it_is_changed(filled, node, database, tmp_path):
    with database.client() as client:
        client.gribstore.settings.update_one({"_id": "format"}, {"$set": {"format": 1000}})
        client.gribstore.fields.drop_index("digest")
        before = index_names(client), client.gribstore.settings.find_one({"_id": "format"})
        late = Indexer("late", tmp_path, [node], catalog=database.uri).start()
        assert late.process.wait(120) == 1
        late.process = None
        assert "form 1000, this program knows up to" in late.output()
        assert (index_names(client), client.gribstore.settings.find_one({"_id": "format"})) == before
