"""While a node reads its runs at the start it lives, says how far it is, and takes nothing; then it is ready, and nothing was lost."""

import contextlib
import random
import socket
import sys

import pytest
import requests

from processes import BIN, ROOT, await_condition

sys.path.insert(0, str(ROOT / "tests/fault/drills"))

from messages import Run, make  # noqa: E402
from nodes import DrillNode  # noqa: E402
from shim import DELAY  # noqa: E402

RUNS = 40
SLOW_MS = (300, 300)  # a run: nobody misses that on a busy machine
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


def reading(node, told):
    """What it says of itself; from its first answer on the node has one to everything."""
    def asked():
        try:
            return [node.get("/readyz")]
        except requests.ConnectionError:
            assert not told, "nobody listens any more"
            return None
    (answer,) = await_condition(asked, "somebody listens")
    return answer


def test_while_runs_are_read_the_node_lives_and_says_how_far_it_is(node):
    node.start().wait_ready()
    messages = fill(node)
    # A machine that stands still while the runs are read sees nothing of it.
    assert any(seen_while_runs_are_read(node, messages) for _ in range(5))
    for message in messages:
        assert node.get(f"/sha256/{message.digest}").content == message.data


def seen_while_runs_are_read(node, messages):
    """Whether the start took long enough to be seen: then all that was seen is as it should be."""
    node.kill()
    rule = node.shim.rule(DELAY, "open", name="journal", delay_ms=SLOW_MS)
    node.start()
    told, refused, fired = [], None, 0
    while (ready := reading(node, told)).status_code != 200:
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
        if not fired and len(told) > 2 and told[-1]["read"] > told[0]["read"]:
            fired = rule.end()  # seen enough: the rest goes fast
    assert "recovering" not in ready.json()
    if fired == 0:
        rule.end()
        return False
    if any(answer.status_code != 503 for answer in refused):
        return False
    assert all("recovering" in answer.json()["detail"] and answer.headers["Retry-After"] for answer in refused)
    counts = [progress["read"] for progress in told]
    assert counts == sorted(counts)
    assert all(progress["runs"] in (0, RUNS) and progress["read"] <= RUNS for progress in told)
    return True


def is_open(connection):
    connection.setblocking(False)
    try:
        return bool(connection.recv(1))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def start_with_connections_held(node):
    """Whether the node was ready before it gave up two connections: a head that is never sent whole, and a client that asks nothing."""
    rule = node.shim.rule(DELAY, "open", name="journal", delay_ms=SLOW_MS)
    node.start()
    assert reading(node, []).status_code == 503
    with contextlib.ExitStack() as held:
        connections = [held.enter_context(socket.create_connection(node.listen.split(":"))) for _ in range(2)]
        connections[0].sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n")
        reading(node, connections)  # asked behind them: they are known by now
        rule.end()
        node.wait_ready()
        result = all(map(is_open, connections))
        node.stop()  # within its time, and with exit code 0
    return result


def test_who_holds_on_to_a_connection_holds_up_no_start(node):
    node.start().wait_ready()
    fill(node)
    node.kill()
    # It gives them up after two seconds: where a machine takes as long for all this, nothing is shown.
    assert any(start_with_connections_held(node) for _ in range(10))


def ready_code(node):
    with socket.create_connection(node.listen.split(":")) as client:
        client.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return int(client.recv(65536).split()[1])


def test_who_connects_while_the_loops_take_over_has_an_answer(node):
    """One connection after the other across that moment, none of them reset or refused; and who said that it is ready stays so."""
    node.start().wait_ready()
    fill(node)
    for _ in range(5):
        node.kill()
        node.start()
        heard, codes = False, set()
        while 200 not in codes:
            try:
                codes.add(ready_code(node))
                heard = True
            except ConnectionError:
                assert not heard
        assert codes <= {200, 503}
        assert {ready_code(node) for _ in range(50)} == {200}


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
