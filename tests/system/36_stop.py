"""SIGTERM at any moment: the indexer leaves in time, with exit code 0 and nothing leaked, and goes on where it was.

GRIBSTORE_TEST_STOPS says how often it is stopped."""

import concurrent.futures
import contextlib
import os
import random
import signal
import socket
import threading
import time

import requests

from processes import await_condition

STOPS = int(os.environ.get("GRIBSTORE_TEST_STOPS", "8"))
COUNT = 400


def base_time_of(hour):
    return f"202611{hour // 24 + 1:02}T{hour % 24:02}00Z"


class Load:
    """Threads that ask, retire and undo until the load ends; some leave before the answer."""

    def __init__(self, indexer, seed):
        self.indexer = indexer
        self.seed = seed
        self.ended = threading.Event()
        self.pool = concurrent.futures.ThreadPoolExecutor(6)
        self.done = [self.pool.submit(self.work, random.Random(f"{seed}.{worker}")) for worker in range(6)]

    def work(self, chance):
        while not self.ended.is_set():
            # Not the run that is being put: a node that is told it is retired takes nothing more of it.
            hour = chance.choice([hour for hour in range(24) if hour != self.seed])
            run = f"/v1/runs/stop/20261101T{hour:02}00Z"
            method, path, options = chance.choice([
                ("GET", "/v1/runs", {}),
                ("GET", "/v1/runs", {"timeout": 0.01}),
                ("GET", "/v1/fields?source=stop&limit=1000", {"timeout": chance.choice([0.02, 30])}),
                ("POST", f"{run}/check", {"json": {"digests": ["0" * 64] * 100}}),
                ("POST", f"{run}/ready", {}),
                ("POST", f"{run}/retire?grace=10min", {}),
                ("POST", "/v1/leases/stop", {"json": {"owner": "me", "ttl_ms": 1000}}),
                ("GET", "/readyz", {}),
            ])
            with contextlib.suppress(requests.RequestException):
                requests.request(method, self.indexer.url + path, **{"timeout": 30, **options})

    def end(self):
        self.ended.set()
        for one in self.done:
            one.result()
        self.pool.shutdown()


def test_the_indexer_leaves_on_sigterm_at_any_moment(cluster, stamped):
    indexer = cluster.indexer
    chance = random.Random(1)
    total = 0
    for stop in range(STOPS):
        body = stamped(base_time_of(stop), COUNT)
        load = Load(indexer, stop)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            putting = pool.submit(cluster.nodes[stop % 3].put, "/ingest/stop/", data=body, timeout=60)
            time.sleep(chance.choice([0, 0.02, 0.1, 0.3, 0.6, 1.0, 1.5]))
            try:
                indexer.stop()
            finally:
                load.end()
            assert putting.result().status_code == 201
        total += COUNT
        indexer.start()
        indexer.wait_ready()
    for run in indexer.runs(source="stop"):
        if run["state"] == "retired":
            path = f"/v1/runs/stop/{run['base_time'][:13].replace('-', '')}00Z/ready"
            assert indexer.post(path).status_code == 200
    await_condition(lambda: sum(run["messages"] for run in indexer.runs(source="stop")) == total, "all of it is in the index", 120)
    indexer.await_messages("stop", total, copies=2)


def test_the_indexer_leaves_when_it_has_hardly_begun(daemons, node):
    for delay_ms in range(0, 4 * STOPS, 2):
        indexer = daemons.indexer([node], name=f"early{delay_ms}", ready=False)
        await_condition(lambda indexer=indexer: "indexer.started" in indexer.output(), "it has begun")
        time.sleep(delay_ms / 1000)
        indexer.stop()


def test_the_indexer_leaves_while_no_decoder_comes_up(daemons, node, stamped):
    indexer = daemons.indexer([node], arguments=["--decoder", "/bin/false"], ready=False)
    await_condition(indexer.answers, "it answers")
    assert node.put("/ingest/stop/", data=stamped(base_time_of(0), 50)).status_code == 201
    await_condition(lambda: indexer.runs(source="stop"), "it has seen the run")
    assert indexer.get("/readyz").status_code == 503
    indexer.stop()


def test_the_indexer_leaves_while_a_node_hangs(daemons, node, indexer, stamped):
    assert node.put("/ingest/stop/", data=stamped(base_time_of(0), 50)).status_code == 201
    indexer.await_messages("stop", 50)
    node.process.send_signal(signal.SIGSTOP)
    try:
        assert indexer.post("/v1/runs/stop/20261101T0000Z/retire?grace=0s").status_code == 200
        indexer.stop()
    finally:
        node.process.send_signal(signal.SIGCONT)
    indexer.start().wait_ready()
    await_condition(lambda: indexer.json("/v1/runs/stop/20261101T0000Z")["state"] == "purged", "the retirement went on", 60)


def test_a_node_that_hangs_does_not_hold_up_a_stop(indexer, node, stamped):
    """Somebody asks what the nodes hold while one of them stands still; the indexer leaves without its answer, and says so."""
    assert node.put("/ingest/stop/", data=stamped(base_time_of(0), 5)).status_code == 201
    indexer.await_messages("stop", 5)
    node.process.send_signal(signal.SIGSTOP)
    try:
        host, port = indexer.listen.split(":")
        with socket.create_connection((host, int(port)), timeout=120) as asking:
            asking.sendall(f"GET /v1/runs/stop/{base_time_of(0)}?fingerprint=1 HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            for _ in range(2):  # what came before them is under way
                assert indexer.get("/healthz").status_code == 200
            indexer.stop()
            answer = b""
            while piece := asking.recv(65536):
                answer += piece
    finally:
        node.process.send_signal(signal.SIGCONT)
    assert answer.startswith(b"HTTP/1.1 200 ") and b'"equal":false' in answer.replace(b" ", b"")
    told = [line for line in indexer.output().splitlines() if "fingerprint.node" in line]
    assert len(told) == 1 and "cancelled" in told[0], told
