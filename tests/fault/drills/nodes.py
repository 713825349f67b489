"""storaged under the shim: started, killed, robbed of its power, started again."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
for folder in ("tests/system", "tests/lib"):
    sys.path.insert(0, str(ROOT / folder))

from processes import BIN, STOP_TIMEOUT_S, EndedEarly, Node  # noqa: E402
from shim import Shim  # noqa: E402
from traffic import ERRORS, Connection  # noqa: E402

LIBRARY = BIN / "fault_shim.so"
START_LIMIT_S = float(os.environ.get("GRIBSTORE_DRILL_START_LIMIT", 60))
POLL_S = 0.01


class DrillNode(Node):
    """A node in a folder of its own, with its shim beside its data. log: what a power loss would leave is kept track of."""

    def __init__(self, name, folder, arguments=(), log=False, data=None, shim=True):
        super().__init__(name, folder, arguments=["--log-level", "warn", "--reserve", "1", *arguments])
        if data is not None:
            self.data.rmdir()
            self.data = pathlib.Path(data)
            self.data.mkdir(exist_ok=True)
            self.command[self.command.index("--data") + 1] = str(self.data)
        self.data = self.data.resolve()
        self.shim = None
        if shim:
            # An ASan build under the shim leaks what a killed process would have freed: leaks are looked for elsewhere.
            self.shim = Shim(LIBRARY, self.data, pathlib.Path(folder) / f"{name}.shim", log)
            self.environment.update(self.shim.environment(BIN / "storaged"))
            self.environment["ASAN_OPTIONS"] += ":detect_leaks=0"

    def connection(self, timeout_s=30):
        return Connection(self.url, timeout_s)

    def get_status(self, path):
        connection = self.connection()
        try:
            return connection.ask("GET", path)[0]
        finally:
            connection.close()

    def wait_ready(self, timeout_s=None):
        """Until /readyz is 200: within the time that a start may take."""
        deadline = time.monotonic() + (timeout_s or START_LIMIT_S)
        while True:
            if self.process.poll() is not None:
                code, self.process = self.process.returncode, None
                raise EndedEarly(self.describe(f"ended with {code} before it was ready"))
            try:
                if self.get_status("/readyz") == 200:
                    return self
            except ERRORS:
                pass
            if time.monotonic() > deadline:
                raise AssertionError(self.describe(f"not ready within {timeout_s or START_LIMIT_S} s"))
            time.sleep(POLL_S)

    def kill(self):
        if self.process is not None:
            super().kill()

    def end(self):
        """However it stands: gone."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def leave(self):
        """SIGTERM, and it leaves in order, whatever its exit code: what it does then must not cover up what failed before."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(self.describe(f"did not leave within {STOP_TIMEOUT_S} s of SIGTERM")) from None
        self.process = None
        self.check_reports()

    def metric(self, name):
        connection = self.connection()
        try:
            text = connection.ask("GET", "/metrics")[2].decode()
        finally:
            connection.close()
        return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " ") or line.startswith(name + "{")), None)

    def checks(self):
        """name -> ok, of /readyz."""
        connection = self.connection()
        try:
            return {check["name"]: check["ok"] for check in json.loads(connection.ask("GET", "/readyz")[2])["checks"]}
        finally:
            connection.close()

    def start_for_moment(self, random_, longest_s=0.5):
        """A start that is killed again, perhaps in the middle of its recovery."""
        self.start()
        try:
            self.process.wait(random_.uniform(0, longest_s))
        except subprocess.TimeoutExpired:
            pass
        self.end()


def make_map(nodes, shards, random_):
    """Copies of each shard on two of the nodes."""
    names = [node.name for node in nodes]
    owners = [random_.sample(names, min(2, len(names))) for _ in range(shards)]
    connection = nodes[0].connection()
    cluster = json.loads(connection.ask("GET", "/cluster/map")[2])["cluster"]
    connection.close()
    return {
        "cluster": cluster, "epoch": 1, "shards": shards, "replicas": 2, "min_replicas": 2, "indexers": [],
        "nodes": [{"id": node.name, "url": node.url, "host": node.name, "colo": "a", "weight": 100, "state": "in"} for node in nodes],
        "eras": [{"from": None, "owners": owners}],
    }


def make_cluster(nodes, shards, seed):
    """One cluster of nodes that run and are empty."""
    map_ = make_map(nodes, shards, random.Random(seed))
    for node in nodes:
        connection = node.connection()
        status, _, text = connection.ask("PUT", "/cluster/map", body=json.dumps(map_))
        assert status == 200, text
        connection.close()
    for node in nodes:
        node.wait_ready()
