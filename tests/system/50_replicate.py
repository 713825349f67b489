"""Several nodes under one map: copies, handoffs, nodes that are away, maps that go round, joining."""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import threading
import time

import pytest
import requests

from processes import Cluster, await_condition

SHARDS = 32


def small_message(number, padding=0):
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + number.to_bytes(8, "big") + bytes(padding)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


RUN = "20200102T0300Z"


def digest(data):
    return hashlib.sha256(data).hexdigest()


def make_map(nodes, cluster, epoch=1, replicas=2, min_replicas=2, shards=SHARDS):
    """Shard s lies on nodes s, s + 1, ... of the ring."""
    names = [node.name for node in nodes]
    return {
        "cluster": cluster, "epoch": epoch, "shards": shards, "replicas": replicas, "min_replicas": min_replicas,
        "indexers": [],
        "nodes": [{"id": node.name, "url": node.url, "host": node.name, "colo": "a", "weight": 100, "state": "in"}
                  for node in nodes],
        "eras": [{"from": None, "owners": [[names[(shard + copy) % len(names)] for copy in range(replicas)]
                                           for shard in range(shards)]}],
    }


def tell_map(nodes, cluster_map):
    for node in nodes:
        answer = node.put("/cluster/map", json.dumps(cluster_map))
        assert answer.status_code == 200, answer.text
    for node in nodes:
        node.wait_ready()  # whom another's cluster took in asks for the runs' states first


@pytest.fixture
def nodes(daemons):
    """They don't catch up with each other: what is where, a PUT has brought there."""
    nodes = [daemons.node(f"n{place}", arguments=["--sync-period", "0"]) for place in (1, 2, 3)]
    tell_map(nodes, make_map(nodes, nodes[0].json("/cluster/map")["cluster"]))
    return nodes


def owners(nodes, line):
    shard = int(line["digest"][:2], 16) >> 3
    return {nodes[shard % 3].url, nodes[(shard + 1) % 3].url}


def urls(line):
    return {location["url"].split("/data/")[0] for location in line["locations"]}


def check_copies(lines, messages):
    for line, message in zip(lines, messages):
        assert line["digest"] == digest(message)
        for location in line["locations"]:
            last = location["offset"] + location["length"] - 1
            answer = requests.get(location["url"], headers={"Range": f"bytes={location['offset']}-{last}"}, timeout=60)
            assert (answer.status_code, answer.content) == (206, message)


def test_each_message_lies_on_its_owners_whoever_took_it(nodes, grib):
    messages = grib.split_grib(grib.GRIB_DIR / "gfs-308-fields.grib2")
    data = (grib.GRIB_DIR / "gfs-308-fields.grib2").read_bytes()
    first = nodes[0].put("/ingest/gfs/", data)
    assert first.status_code == 201
    lines = first.json()["messages"]
    assert len(lines) == len(messages)
    for line in lines:
        assert line["copies"] == 2
        assert urls(line) == owners(nodes, line)
    check_copies(lines[::7], [message.data for message in messages][::7])
    for node in nodes[1:]:
        again = node.put("/ingest/gfs/", data)
        assert again.status_code == 200
        assert [sorted(map(str, line["locations"])) for line in again.json()["messages"]] == [
            sorted(map(str, line["locations"])) for line in lines]


def test_copies_carry_the_same_stamp(nodes):
    messages = [small_message(i) for i in range(300)]
    lines = nodes[1].put("/ingest/stamp/", b"".join(messages)).json()["messages"]
    stamps = {line["digest"]: line["stored_at"] for line in lines}
    assert len(set(stamps.values())) == len(messages)
    seen = 0
    for node in nodes:
        for shard in range(SHARDS):
            for member in node.json(f"/cluster/shards/stamp/{RUN}?shard={shard}"):
                assert member["stored_at"] == stamps[member["digest"]]
                seen += 1
    assert seen == 2 * len(messages)


def test_a_handoff_stands_in_for_a_node_that_is_away(nodes):
    nodes[2].kill()
    messages = [small_message(i) for i in range(200)]
    answer = nodes[0].put("/ingest/away/", b"".join(messages))
    assert answer.status_code == 201
    for line in answer.json()["messages"]:
        assert line["copies"] == 2
        assert urls(line) == {nodes[0].url, nodes[1].url}
    check_copies(answer.json()["messages"][::10], messages[::10])


def test_a_node_that_is_emptied_stands_in_only_where_nobody_else_can(daemons):
    nodes = [daemons.node(f"n{place}") for place in (1, 2, 3, 4)]
    cluster_map = make_map(nodes, nodes[0].json("/cluster/map")["cluster"])
    cluster_map["eras"] = [{"from": None, "owners": [["n1", "n2"]] * SHARDS}]
    cluster_map["nodes"][2]["state"] = "evacuating"
    tell_map(nodes, cluster_map)
    nodes[1].kill()
    for coordinator in (nodes[0], nodes[2]):
        lines = coordinator.put("/ingest/leaving/", b"".join(small_message(i) for i in range(200))).json()["messages"]
        assert all(urls(line) == {nodes[0].url, nodes[3].url} for line in lines)
    nodes[3].kill()
    lines = nodes[0].put("/ingest/leaving/", b"".join(small_message(i) for i in range(1000, 1100))).json()["messages"]
    assert all(urls(line) == {nodes[0].url, nodes[2].url} for line in lines)


def test_too_few_nodes_acknowledge_nothing(nodes):
    nodes[1].kill()
    nodes[2].kill()
    answer = nodes[0].put("/ingest/few/", small_message(1))
    assert (answer.status_code, answer.json()["code"]) == (503, "too-few-copies")
    assert "Retry-After" in answer.headers
    nodes[1].start().wait_ready()
    await_condition(lambda: nodes[0].put("/ingest/few/", small_message(1)).status_code in (200, 201),
                    "the peer that came back is found")


def test_fewer_copies_than_wanted_are_said(daemons):
    nodes = [daemons.node(f"n{place}") for place in (1, 2, 3)]
    tell_map(nodes, make_map(nodes, nodes[0].json("/cluster/map")["cluster"], min_replicas=1))
    nodes[1].kill()
    nodes[2].kill()
    line = nodes[0].put("/ingest/one/", small_message(1)).json()["messages"][0]
    assert line["copies"] == 1
    nodes[1].start().wait_ready()
    nodes[2].start().wait_ready()

    def whole():
        return nodes[0].put("/ingest/one/", small_message(1)).json()["messages"][0]["copies"] == 2

    await_condition(whole, "the message has its copies again")


def test_a_message_is_found_through_any_node(nodes):
    messages = [small_message(i) for i in range(12)] + [small_message(99, padding=3 << 20)]
    nodes[0].put("/ingest/any/", b"".join(messages))
    for message in messages:
        for node in nodes:
            answer = node.get(f"/sha256/{digest(message)}")
            assert (answer.status_code, answer.content) == (200, message)
            part = node.get(f"/sha256/{digest(message)}", headers={"Range": "bytes=-4"})
            assert (part.status_code, part.content) == (206, b"7777")
    assert nodes[0].get(f"/sha256/{'0' * 64}").status_code == 404
    one_side = node_without(nodes, digest(messages[0]))
    assert one_side.get(f"/sha256/{digest(messages[0])}", headers={"Gribstore-Hop": "1"}).status_code == 404


def node_without(nodes, name):
    shard = int(name[:2], 16) >> 3
    return nodes[(shard + 2) % 3]


def test_a_silent_holder_is_no_proof_of_absence(nodes):
    nodes[2].kill()
    (answer,) = await_condition(lambda: holder_down(nodes[0]), "the silent node is noticed")
    assert answer.json()["unasked"] == ["n3"]
    assert "Retry-After" in answer.headers


def holder_down(node):
    answer = node.get(f"/sha256/{'1' * 64}")
    return [answer] if answer.status_code == 503 and answer.json()["code"] == "holder-down" else None


def test_damage_on_one_node_is_served_from_another(nodes):
    message = small_message(5)
    line = nodes[0].put("/ingest/dam/", message).json()["messages"][0]
    location = line["locations"][0]
    holder = next(node for node in nodes if location["url"].startswith(node.url))
    path = holder.data / "runs" / location["url"].split("/data/")[1]
    with open(path, "r+b") as file:
        file.seek(location["offset"] + 30)
        file.write(b"\xff")
    answer = holder.get(f"/sha256/{line['digest']}")
    assert (answer.status_code, answer.content) == (200, message)


def test_have_asks_all_owners(nodes):
    messages = [small_message(i) for i in range(50)]
    nodes[0].put("/ingest/have/", b"".join(messages[:40]))
    question = {"source": "have", "base_time": "2020-01-02T03:00:00Z", "digests": [digest(message) for message in messages]}
    for node in nodes:
        assert node.post("/have?scope=cluster", json=question).json()["missing"] == question["digests"][40:]
    alone = [message for message in messages[40:]]
    nodes[1].put("/replica/have", b"".join(alone))
    missing = nodes[0].post("/have?scope=cluster", json=question).json()["missing"]
    assert missing == question["digests"][40:]  # each still lacks at least one owner


def test_a_known_message_is_sent_only_where_it_is_missing(nodes):
    messages = [small_message(i) for i in range(60)]
    for node in nodes[:1]:
        node.put("/replica/known", b"".join(messages), headers={"Gribstore-Stored-At": "1600000000000000"})
    answer = nodes[0].put("/ingest/known/", b"".join(messages)).json()
    for place, line in enumerate(answer["messages"]):
        assert urls(line) == owners(nodes, line)
        assert line["stored_at"] == 1600000000000000 + place


def test_a_newer_map_goes_round_by_itself(nodes):
    newer = make_map(nodes, nodes[0].json("/cluster/map")["cluster"], epoch=2)
    assert nodes[1].put("/cluster/map", json.dumps(newer)).status_code == 200
    for node in nodes:
        await_condition(lambda node=node: node.json("/cluster/map")["epoch"] == 2, f"{node.name} has the newer map")


def test_an_older_map_is_refused_with_the_newer_one(nodes):
    answer = nodes[0].put("/cluster/map", json.dumps(make_map(nodes, nodes[0].json("/cluster/map")["cluster"], epoch=1,
                                                              min_replicas=1)))
    assert (answer.status_code, answer.json()["code"]) == (412, "stale-epoch")
    assert answer.json()["epoch"] == 1 and answer.json()["nodes"]


def test_another_cluster_is_refused(nodes):
    theirs = make_map(nodes, "0123456789abcdef0123456789abcdef", epoch=9)
    answer = nodes[0].put("/cluster/map", json.dumps(theirs))
    assert (answer.status_code, answer.json()["code"]) == (409, "other-cluster")
    foreign = {"Gribstore-Cluster": theirs["cluster"], "Gribstore-Epoch": "9"}
    assert nodes[0].put("/replica/x", small_message(1), headers=foreign).json()["code"] == "other-cluster"
    own = nodes[0].get("/cluster/runs")
    assert own.headers["Gribstore-Epoch"] == "1" and len(own.headers["Gribstore-Cluster"]) == 32


def test_a_node_with_data_is_taken_in_only_by_what_could_be_its_own(daemons):
    first, second = daemons.node("n1"), daemons.node("n2")
    first.put("/ingest/a/", small_message(1))
    theirs = make_map([first, second], second.json("/cluster/map")["cluster"])
    assert first.put("/cluster/map", json.dumps(theirs)).json()["code"] == "other-cluster"
    ours = make_map([first, second], first.json("/cluster/map")["cluster"])
    tell_map([first, second], ours)
    assert second.json("/cluster/map")["cluster"] == ours["cluster"]
    second.restart()
    assert second.json("/cluster/map")["epoch"] == 1


def test_an_empty_node_takes_another_number_of_shards(daemons):
    first, second = daemons.node("n1", arguments=["--shards", "64"]), daemons.node("n2")
    first.put("/ingest/a/", small_message(1))
    wide = make_map([first, second], first.json("/cluster/map")["cluster"], shards=64)
    tell_map([first, second], wide)
    await_condition(lambda: shards_of(second) == 64, "the node began anew")
    second.wait_ready()
    messages = [small_message(i) for i in range(100)]
    answer = await_condition(lambda: ok(second.put("/ingest/a/", b"".join(messages))), "copies reach both")
    assert all(line["copies"] == 2 for line in answer.json()["messages"])
    assert len(second.json(f"/cluster/shards/a/{RUN}")) == 64


def ok(answer):
    return answer if answer.status_code in (200, 201) else None


def shards_of(node):
    """None while it begins anew: nobody listens, or reads runs."""
    with contextlib.suppress(requests.RequestException):
        answer = node.get("/cluster/map")
        return answer.json()["shards"] if answer.status_code == 200 else None
    return None


def test_a_node_that_joins_takes_no_put_before_it_has_map_and_states(daemons):
    nodes = [daemons.node(f"n{place}") for place in (1, 2)]
    tell_map(nodes, make_map(nodes, nodes[0].json("/cluster/map")["cluster"]))
    state = {"incarnation": 3, "version": 7, "state": "retired"}
    for node in nodes:
        node.put(f"/cluster/runs/old/{RUN}", json.dumps(state))
    nodes[0].kill()
    third = daemons.node("n3", ready=False, arguments=["--join", f"{nodes[0].url}"])
    await_condition(third.answers, "it answers")
    assert third.get("/readyz").status_code == 503
    assert third.put("/ingest/x/", small_message(1)).status_code == 503
    nodes[0].start().wait_ready()
    third.wait_ready()
    assert third.json("/cluster/map")["epoch"] == 1
    assert third.json(f"/cluster/runs/old/{RUN}")["version"] == 7
    everyone = make_map([*nodes, third], nodes[0].json("/cluster/map")["cluster"], epoch=2)
    tell_map([*nodes, third], everyone)
    assert third.put("/ingest/x/", small_message(1)).status_code == 201
    assert third.put("/ingest/old/", small_message(1)).status_code == 410
    third.restart()  # with the map on disk it need not ask again


RETIRED = {"incarnation": 3, "version": 7, "state": "retired"}


def wipe(node):
    """Its disk is replaced by an empty one: it begins as a cluster of one."""
    node.kill()
    shutil.rmtree(node.data)
    return node.start().wait_ready()


def why(node):
    """What keeps it from being ready; "" when it is."""
    return next((check.get("detail", "?") for check in node.get("/readyz").json()["checks"] if not check["ok"]), "")


def test_an_empty_disk_under_an_old_name_takes_no_put_before_it_has_run_states(nodes):
    for node in nodes:
        assert node.put(f"/cluster/runs/old/{RUN}", json.dumps(RETIRED)).status_code == 200
    held, third = nodes[0].json("/cluster/map"), wipe(nodes[2])
    assert third.json("/cluster/map")["epoch"] == 0
    for node in nodes[:2]:
        node.kill()
    assert third.put("/cluster/map", json.dumps(held)).status_code == 200
    await_condition(lambda: "catching up" in why(third) and nodes[1].url in why(third), "it says what it waits for")
    for path in ("/ingest/old/", "/replica/old", "/ingest/new/"):
        assert third.put(path, small_message(1)).status_code == 503
    third.kill()  # it still waits when it has begun anew, with the map on disk
    third.start()
    await_condition(third.answers, "it answers")
    await_condition(lambda: "catching up" in why(third), "it waits")
    assert third.json("/cluster/map")["epoch"] == held["epoch"]
    assert third.put("/ingest/new/", small_message(1)).status_code == 503
    nodes[0].start().wait_ready()
    third.wait_ready()
    assert third.json(f"/cluster/runs/old/{RUN}")["version"] == RETIRED["version"]
    assert third.put("/replica/old", small_message(1)).status_code == 410
    third.restart()
    nodes[1].start().wait_ready()
    await_condition(lambda: ok(third.put("/ingest/new/", small_message(1))), "all take part again")


def test_disks_that_are_all_new_make_a_cluster_and_who_is_down_is_waited_for_until_it_is_out(nodes):
    assert nodes[2].put(f"/cluster/runs/old/{RUN}", json.dumps(RETIRED)).status_code == 200
    held = nodes[0].json("/cluster/map")
    nodes[2].kill()
    for node in nodes[:2]:
        wipe(node)
    for node in nodes[:2]:
        assert node.put("/cluster/map", json.dumps(held)).status_code == 200
    for node in nodes[:2]:  # each has told the other what it knows, and n3 may know more
        await_condition(lambda node=node: nodes[2].url in why(node), "n3 is waited for")
        assert node.put("/ingest/new/", small_message(1)).status_code == 503
    left = make_map(nodes[:2], held["cluster"], epoch=2)
    left["nodes"].append({**held["nodes"][2], "state": "out"})
    tell_map(nodes[:2], left)
    assert ok(nodes[0].put("/ingest/new/", small_message(1)))


def test_an_indexer_has_run_states_for_a_node_that_is_alone(daemons):
    node = daemons.node("n1")
    cluster = Cluster([node], daemons.indexer([node], ready=False)).init()
    cluster.indexer.wait_ready()
    node.put("/ingest/old/", small_message(1))
    await_condition(lambda: cluster.indexer.get(f"/v1/runs/old/{RUN}").status_code == 200, "the index has the run")
    assert cluster.indexer.post(f"/v1/runs/old/{RUN}/retire?grace=0s").status_code == 200
    await_condition(lambda: cluster.indexer.json(f"/v1/runs/old/{RUN}")["state"] == "purged", "the run is purged")
    states = node.json(f"/cluster/runs/old/{RUN}")
    held = node.json("/cluster/map")
    cluster.indexer.stop()
    wipe(node)
    assert node.put("/cluster/map", json.dumps(held)).status_code == 200
    await_condition(lambda: cluster.indexer.url in why(node), "it says whom it needs")
    assert node.put("/ingest/old/", small_message(1)).status_code == 503
    cluster.indexer.start()
    node.wait_ready()
    assert node.json(f"/cluster/runs/old/{RUN}") == states
    assert node.put("/ingest/old/", small_message(1)).status_code == 410


def test_a_message_under_two_stamps_is_one_record_with_all_its_locations(daemons, grib, stamped):
    """Two coordinators that are sent it at once each give it a stamp, and each may be the first at one of its owners."""
    cluster = daemons.cluster()
    names = [node.name for node in cluster.nodes]
    cluster_map, base_time, now = cluster.nodes[0].json("/cluster/map"), "20261101T0000Z", time.time_ns() // 1000 - 3_600_000_000
    path = daemons.folder / "twice.grib"
    path.write_bytes(stamped(base_time, 40))
    messages = [message.data for message in grib.split_grib(path)]
    for number, data in enumerate(messages):
        owners = cluster_map["eras"][0]["owners"][int(digest(data)[:2], 16) >> 3]
        for copy, name in enumerate(owners):
            stamp = now + 1000 * number + (copy if number % 2 else 1 - copy)  # the first owner's is the greater one, or the second's
            answer = cluster.nodes[names.index(name)].put("/replica/twice", data, headers={"Gribstore-Stored-At": str(stamp)})
            assert answer.status_code == 201 and answer.json()["messages"][0]["stored_at"] == stamp

    def records():
        return {field["digest"]: (field["stored_at"], sorted(place["node"] for place in field["locations"]), field["older"])
                for field in cluster.indexer.fields(source="twice", limit=1000)}
    wanted = {digest(data): (now + 1000 * number + 1, sorted(cluster_map["eras"][0]["owners"][int(digest(data)[:2], 16) >> 3]), [])
              for number, data in enumerate(messages)}
    await_condition(lambda: records() == wanted, "one record each, with the greater stamp")
    assert len(cluster.indexer.fields(source="twice", limit=1000)) == len(messages)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:  # sent again by way of everybody at once
        again = list(pool.map(lambda node: node.put("/ingest/twice/", b"".join(messages)), cluster.nodes))
    assert [answer.status_code for answer in again] == [200] * 3
    for answer in again:
        assert {line["digest"]: line["stored_at"] for line in answer.json()["messages"]} == {name: kept[0] for name, kept in wanted.items()}
    cluster.indexer.stop()  # whatever is read first, an index that is made anew says the same
    pathlib.Path(cluster.indexer.catalog.removeprefix("sqlite:")).unlink()
    cluster.indexer.start().wait_ready()
    await_condition(lambda: records() == wanted, "the same")


def test_a_node_with_nobody_to_ask_goes_on_by_itself(daemons):
    first, node = daemons.node("n1"), daemons.node("n2")
    alone = {**make_map([node], first.json("/cluster/map")["cluster"]), "replicas": 1, "min_replicas": 1,
             "eras": [{"from": None, "owners": [[node.name]] * SHARDS}]}
    tell_map([node], alone)
    assert ok(node.put("/ingest/new/", small_message(1)))


def test_a_node_that_joins_is_not_taken_by_another_cluster_at_an_address_of_its_own(daemons):
    ours, theirs = (daemons.node(name) for name in ("n1", "other"))
    for node in (ours, theirs):
        tell_map([node], {**make_map([node], node.json("/cluster/map")["cluster"]), "replicas": 1, "min_replicas": 1,
                          "eras": [{"from": None, "owners": [[node.name]] * SHARDS}]})
    new = daemons.node("n2", ready=False, arguments=["--join", f"{theirs.url},{ours.url}"])
    await_condition(lambda: new.answers() and "several clusters" in new.get("/readyz").text, "it says what keeps it from joining")
    assert new.json("/cluster/map")["epoch"] == 0
    new.kill()
    ours_map = make_map([ours, new], ours.json("/cluster/map")["cluster"], epoch=2)
    tell_map([ours], ours_map)
    new.start().wait_ready()
    assert new.json("/cluster/map")["cluster"] == ours_map["cluster"]


def test_a_node_whose_addresses_of_join_are_all_gone_joins_by_a_map_that_is_told(daemons):
    """As one whose disk is replaced years later: of those it was once told to ask nobody is left."""
    nodes = [daemons.node(name) for name in ("n1", "n2")]
    cluster = nodes[0].json("/cluster/map")["cluster"]
    tell_map(nodes, make_map(nodes, cluster))
    assert nodes[0].put(f"/cluster/runs/old/{RUN}", json.dumps(RETIRED)).status_code == 200
    late = daemons.node("n3", ready=False, arguments=["--join", "http://127.0.0.1:1,http://127.0.0.1:2"])
    await_condition(late.answers, "it answers")
    tell_map([*nodes, late], make_map([*nodes, late], cluster, epoch=2))  # and awaits that it is ready
    assert late.json(f"/cluster/runs/old/{RUN}")["state"] == "retired"


def test_a_node_that_joins_does_not_say_that_a_message_is_nowhere(daemons):
    node = daemons.node("n1", ready=False, arguments=["--join", "http://127.0.0.1:1"])
    await_condition(node.answers, "it answers")
    answer = node.get(f"/sha256/{'1' * 64}")
    assert (answer.status_code, answer.json()["code"]) == (503, "holder-down")
    # Asked by another node it speaks of itself only.
    assert node.get(f"/sha256/{'1' * 64}", headers={"Gribstore-Hop": "1"}).status_code == 404


def test_a_reopened_run_is_caught_up_with(nodes):
    run = f"/cluster/runs/re/{RUN}"
    for node in nodes[1:]:
        assert node.put(run, json.dumps({"incarnation": 2, "version": 5, "state": "filling"})).status_code == 200
    answer = nodes[0].put("/ingest/re/", b"".join(small_message(i) for i in range(40)))
    assert answer.status_code == 201, answer.text
    assert all(line["copies"] == 2 for line in answer.json()["messages"])
    assert nodes[0].json(run)["incarnation"] == 2


def test_a_retired_run_on_any_owner_is_the_answer(nodes):
    for node in nodes[1:]:
        node.put(f"/cluster/runs/ret/{RUN}", json.dumps({"incarnation": 1, "version": 2, "state": "retired"}))
    answer = nodes[0].put("/ingest/ret/", b"".join(small_message(i) for i in range(10)))
    assert (answer.status_code, answer.json()["code"]) == (410, "run-retired")


def test_large_messages_reach_their_owners(nodes):
    messages = [small_message(i, padding=17 << 20) for i in range(3)]
    answer = nodes[0].put("/ingest/large/", b"".join(messages), timeout=120)
    assert answer.status_code == 201, answer.text
    check_copies(answer.json()["messages"], messages)
    for node in nodes:
        assert node.get(f"/sha256/{digest(messages[0])}").content == messages[0]


def test_coordinators_with_little_memory_do_not_starve_each_other(daemons):
    nodes = [daemons.node(f"n{place}", arguments=["--body-memory", "8MiB", "--loops", "1"]) for place in (1, 2, 3)]
    tell_map(nodes, make_map(nodes, nodes[0].json("/cluster/map")["cluster"]))

    def put(client):
        body = b"".join(small_message(client * 1000 + i, padding=700_000) for i in range(8))
        return nodes[client % 3].put(f"/ingest/busy{client % 2}/", body, timeout=120)

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers_ = list(pool.map(put, range(12)))
    assert [answer.status_code for answer in answers_] == [201] * 12
    assert all(line["copies"] == 2 for answer in answers_ for line in answer.json()["messages"])


def test_nothing_acknowledged_is_lost_when_a_node_is_killed_under_load(nodes):
    kept = {}

    def put(turn):
        messages = [small_message(turn * 100 + i) for i in range(20)]
        try:
            answer = nodes[0].put("/ingest/load/", b"".join(messages))
        except requests.RequestException:
            return
        for line in answer.json().get("messages", []):
            kept[line["digest"]] = line

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        work = [pool.submit(put, turn) for turn in range(60)]
        work[10].result()
        nodes[2].kill()
        concurrent.futures.wait(work)
    nodes[2].start().wait_ready()
    assert kept
    for name, line in kept.items():
        assert line["copies"] == 2
        assert len(urls(line)) == 2
        assert digest(nodes[1].get(f"/sha256/{name}").content) == name


def test_a_rolling_restart_under_load_loses_no_request(nodes):
    """A client that tries once more, at another node, sees no error."""
    stop, kept, errors = threading.Event(), {}, []

    def once(node, number):
        messages = [small_message(number * 10 + i) for i in range(5)]
        answer = node.put("/ingest/roll/", b"".join(messages))
        answer.raise_for_status()
        for line, message in zip(answer.json()["messages"], messages):
            kept[line["digest"]] = message
        got = node.get(f"/sha256/{digest(messages[0])}")
        got.raise_for_status()
        assert got.content == messages[0]

    def client(first):
        number = first
        while not stop.is_set():
            try:
                once(nodes[number % 3], number)
            except requests.RequestException:
                try:
                    once(nodes[(number + 1) % 3], number)
                except requests.RequestException as error:
                    errors.append(f"{error} {error.response.text if error.response is not None else ''}")
            number += 4

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        work = [pool.submit(client, first) for first in range(4)]
        for node in nodes:
            node.restart()
            await_condition(lambda: all(peers_up(other) for other in nodes), "all see each other again")
        await_condition(lambda: len(kept) > 100 or errors, "there was a load")
        stop.set()
        for done in work:
            done.result()
    assert not errors
    assert len(kept) > 100
    for name, message in kept.items():
        assert nodes[0].get(f"/sha256/{name}").content == message


def peers_up(node):
    return "gribstore_peer_up{" in (text := node.get("/metrics").text) and not re.search(r"gribstore_peer_up\{.*\} 0", text)


def test_a_node_that_drains_finishes_what_is_under_way(nodes):
    body = b"".join(small_message(i) for i in range(3000))

    def trickle():
        for at in range(0, len(body), 2000):
            if at == 20000:
                os.kill(nodes[0].process.pid, signal.SIGTERM)
            yield body[at:at + 2000]

    answer = nodes[0].put("/ingest/drain/", trickle())
    assert answer.status_code == 201
    assert len(answer.json()["messages"]) == 3000
    nodes[0].process.wait(60)
    assert nodes[0].process.returncode == 0
    nodes[0].process = None
    nodes[0].start().wait_ready()


def test_another_name_is_refused_and_says_how_to_change_it(node):
    node.stop()
    url = node.url
    place = node.command.index("--url") + 1
    node.command[place] = "http://127.0.0.1:1"
    node.start()
    assert node.process.wait(60) == 2
    node.process = None
    assert "cluster rename" in node.output()
    node.command[place] = url
    node.start().wait_ready()


def test_a_second_process_on_the_same_directory_is_refused(node, daemons):
    other = daemons.node("n1", ready=False)
    assert other.process.wait(60) == 1
    other.process = None
    assert "another process" in other.output()


def test_an_open_address_needs_to_be_meant(node):
    place = node.command.index("--listen") + 1
    node.stop()
    node.command[place] = "0.0.0.0:0"
    node.start()
    assert node.process.wait(60) == 2
    node.process = None
    assert "--insecure" in node.output()
    node.command[place] = node.listen
    node.start().wait_ready()
