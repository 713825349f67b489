"""kill -9 in the middle of a PUT: what was acknowledged is there, and the PUT sent again completes the rest, nothing doubled."""

import concurrent.futures
import random
import subprocess

import pytest
import requests

from processes import BIN, stamp

MESSAGES = 400


@pytest.fixture
def messages(tmp_path, grib):
    path = stamp(tmp_path / "run.grib", "20261119T0000Z", MESSAGES)
    return [message.data for message in grib.split_grib(path)]


def put_each(url, bodies):
    """PUT body after body until the node is gone; the answers' messages, which is what was acknowledged."""
    acknowledged = []
    with requests.Session() as session:
        for body in bodies:
            try:
                answer = session.put(f"{url}/ingest/crash/", data=body, timeout=60)
            except requests.RequestException:
                break
            if answer.status_code not in (200, 201):
                break
            acknowledged += answer.json()["messages"]
    return acknowledged


def check_read_back(acknowledged, by_digest):
    for message in acknowledged:
        for location in message["locations"]:
            last = location["offset"] + location["length"] - 1
            answer = requests.get(location["url"], headers={"Range": f"bytes={location['offset']}-{last}"}, timeout=60)
            assert answer.status_code == 206 and answer.content == by_digest[message["digest"]]


@pytest.mark.timeout(600)
def test_killed_twenty_times_loses_and_doubles_nothing(node, indexer, messages, grib):
    random_ = random.Random(20261119)
    by_digest = {message.digest: message.data for data in messages for message in grib.split_bytes(data)}
    acknowledged, place = [], 0
    for _ in range(20):
        bodies = [b"".join(messages[at:at + 4]) for at in range(place % MESSAGES, MESSAGES, 4)]
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            putting = pool.submit(put_each, node.url, bodies)
            # Some puts are under way when it dies; how many is left to chance, seeded.
            concurrent.futures.wait([putting], timeout=random_.uniform(0.005, 0.15))
            node.kill()
            got = putting.result()
        acknowledged += got
        place += len(got)
        node.start().wait_ready()
        check_read_back(got, by_digest)

    answer = node.put("/ingest/crash/", data=b"".join(messages)).json()
    assert answer["stored"] + answer["known"] == MESSAGES
    assert answer["known"] >= len({message["digest"] for message in acknowledged})
    runs = indexer.await_messages("crash", MESSAGES)
    assert runs[0]["fields"] == MESSAGES
    check_read_back(acknowledged, by_digest)
    places = [(at["url"], at["offset"]) for field in indexer.fields(source="crash", limit=1000) for at in field["locations"]]
    assert len(places) == len(set(places)) == MESSAGES


@pytest.mark.timeout(600)
def test_any_node_of_three_may_be_killed_during_a_put(cluster, messages, grib):
    by_digest = {message.digest: message.data for data in messages for message in grib.split_bytes(data)}
    acknowledged = []
    for turn, victim in enumerate(cluster.nodes):
        others = [node for node in cluster.nodes if node is not victim]
        bodies = [b"".join(messages[at:at + 5]) for at in range(turn * 100, turn * 100 + 100, 5)]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            putting = [pool.submit(put_each, node.url, bodies) for node in (victim, others[0])]
            concurrent.futures.wait(putting, timeout=0.05)
            victim.kill()
            for one in putting:
                acknowledged += one.result()
        victim.start().wait_ready()
    assert all(message["copies"] == 2 for message in acknowledged)
    check_read_back(acknowledged, by_digest)
    for digest in list(by_digest)[:300:30]:
        for node in cluster.nodes:
            answer = node.get(f"/sha256/{digest}")
            assert answer.status_code in (200, 404)
            assert answer.status_code == 404 or answer.content == by_digest[digest]
    whole = cluster.nodes[0].put("/ingest/crash/", data=b"".join(messages))
    assert whole.status_code in (200, 201), whole.text
    runs = cluster.indexer.await_messages("crash", MESSAGES, copies=2)
    assert runs[0]["fields"] == MESSAGES


def test_a_second_storaged_on_the_same_directory_is_refused(node):
    done = subprocess.run([str(BIN / "storaged"), "--data", str(node.data), "--listen", "127.0.0.1:0"], capture_output=True, timeout=60,
                          check=False)
    assert done.returncode != 0
    assert str(node.data) in done.stderr.decode()
    assert node.get("/readyz").status_code == 200
