"""While a node reads its runs at the start it lives, says how far it is, and takes nothing; then it is ready, and nothing was lost."""

import random
import socket
import sys
import time

import pytest
import requests

from processes import BIN, ROOT

sys.path.insert(0, str(ROOT / "tests/fault/drills"))

from messages import Run, make  # noqa: E402
from nodes import DrillNode  # noqa: E402
from shim import DELAY  # noqa: E402

RUNS = 40
pytestmark = pytest.mark.skipif(not (BIN / "fault_shim.so").exists(), reason="build the target gribstore_fault_shim")


@pytest.fixture
def node(tmp_path):
    node = DrillNode("slow", tmp_path)
    yield node
    node.end()


def fill(node):
    """A message a run."""
    random_ = random.Random(1)
    messages = [make(Run("slow", (2020, 1, 1 + day // 4, 6 * (day % 4))), 1000, random_) for day in range(RUNS)]
    answer = node.put("/ingest/slow/", b"".join(message.data for message in messages))
    assert answer.status_code == 201
    return messages


def test_while_runs_are_read_the_node_lives_and_says_how_far_it_is(node):
    node.start().wait_ready()
    messages = fill(node)
    node.kill()
    rule = node.shim.rule(DELAY, "open", name="journal", delay_ms=(60, 60))
    node.start()
    told, refused = [], None
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            ready = node.get("/readyz")
        except requests.ConnectionError:
            assert not told, "nobody listens any more"  # from its first answer on the node has one to everything
            time.sleep(0.005)
            continue
        if ready.status_code == 200:
            break
        assert ready.status_code == 503
        body = ready.json()
        if "recovering" in body:
            told.append(body["recovering"])
            assert not body["ready"] and body["node"] == "slow"
            assert body["checks"][0]["name"] == "recovered" and "recovering" in body["checks"][0]["detail"]
            assert ready.headers["Retry-After"]
        if refused is None:
            assert node.get("/healthz").status_code == 200
            refused = [node.get(f"/sha256/{messages[0].digest}"), node.put("/ingest/slow/", messages[0].data)]
    assert rule.end() > 0
    assert ready.status_code == 200 and "recovering" not in ready.json()
    assert len(told) > 2
    assert [answer.status_code for answer in refused] == [503, 503]
    assert all("recovering" in answer.json()["detail"] and answer.headers["Retry-After"] for answer in refused)
    counts = [progress["read"] for progress in told]
    assert counts == sorted(counts) and counts[-1] > counts[0]
    assert all(progress["runs"] in (0, RUNS) and progress["read"] <= RUNS for progress in told)
    for message in messages:
        assert node.get(f"/sha256/{message.digest}").content == message.data


def test_who_holds_on_to_a_connection_holds_up_no_start(node):
    """A head that is never sent whole, and a client that asks nothing more."""
    node.start().wait_ready()
    fill(node)
    node.kill()
    rule = node.shim.rule(DELAY, "open", name="journal", delay_ms=(40, 40))
    node.start()
    held = []
    with pytest.raises(AssertionError):
        node.wait_ready(0.5)
    for text in (b"", b"GET /readyz HTTP/1.1\r\nHost: x\r\n"):
        host, port = node.listen.split(":")
        held.append(socket.create_connection((host, int(port))))
        held[-1].sendall(text)
    rule.end()
    begun = time.monotonic()
    node.wait_ready(10)
    assert time.monotonic() - begun < 1.5
    node.stop()  # within its time, and with exit code 0
    for connection in held:
        connection.close()


def test_who_connects_while_the_loops_take_over_has_an_answer(node):
    """One connection after the other across that moment, none of them reset or refused."""
    node.start().wait_ready()
    fill(node)
    for _ in range(5):
        node.kill()
        node.start()
        heard, codes = False, set()
        while 200 not in codes:
            try:
                with socket.create_connection(node.listen.split(":")) as client:
                    client.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    codes.add(int(client.recv(65536).split()[1]))
                heard = True
            except ConnectionError:
                assert not heard
        assert codes <= {200, 503}


def test_a_second_process_on_the_directory_says_nothing_in_its_name(node, tmp_path):
    node.start().wait_ready()
    second = DrillNode("second", tmp_path, shim=False)
    second.command[second.command.index("--data") + 1] = str(node.data)
    second.start()
    with pytest.raises(requests.ConnectionError):
        while second.process.poll() is None:
            second.get("/healthz")
        second.get("/healthz")
    second.end()
    assert node.get("/readyz").status_code == 200
