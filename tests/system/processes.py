"""Real daemons on loopback, for one test each: start, wait until ready, end, look at how they ended."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time

import requests

from mongod import die_with_parent, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GRIBSTORE_BIN", ROOT / "build/asan/bin"))

# How long is waited for what has to come: only a test that fails waits so long, and no test that passes may fail where the machine
# is ten times as slow.
READY_TIMEOUT_S = 120
STOP_TIMEOUT_S = 60
POLL_S = 0.05
REQUEST_TIMEOUT_S = 60
COMMAND_TIMEOUT_S = 300
LOG_TAIL_SIZE = 20_000
LEAK_FREE = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
# For an indexer whose database loses its primary, and no other: what leaks in libmongoc then.
PRIMARY_LOST = {"LSAN_OPTIONS": f"suppressions={pathlib.Path(__file__).with_name('libmongoc.lsan')}:print_suppressions=0"}
SANITIZER_REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", ": runtime error: ")


class NotNow(AssertionError):
    """A daemon said 503 or 504: ask again. await_condition() does."""


def await_condition(condition, what, timeout_s=READY_TIMEOUT_S):
    """What condition() returns as soon as that is true. It is asked again and again until the deadline, then it fails. A shorter
    time than usual is not taken: how soon it is true depends on the machine. An answer of 503 or 504 to one of its questions is no failure
    yet: databases and nodes of tests are given short times, and a busy machine takes longer now and then."""
    timeout_s = max(timeout_s, READY_TIMEOUT_S)
    deadline = time.monotonic() + timeout_s
    while True:
        told = ""
        try:
            result = condition()
        except NotNow as answer:
            result, told = None, f"; {answer}"
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}{told}")
        time.sleep(POLL_S)


def stamp(path, base_time, count, *arguments, template=("--preset", "tiny")):
    """A file of count distinct messages of one run, made from a template that lies beside it; arguments: gribgen's. The path."""
    source = path.with_name("template.grib")
    if not source.exists():
        subprocess.run([BIN / "gribgen", *template, "--out", source], check=True, capture_output=True, timeout=300)
    subprocess.run([BIN / "gribgen", "--stamp", source, "--count", str(count), "--base-time", base_time, *arguments, "--out", path],
                   check=True, capture_output=True, timeout=300)
    return path


class EndedEarly(AssertionError):
    """A daemon left before it was ready; the text holds what it said."""


class Daemon:
    """One process of ours. Its output goes to a file, shown when a test fails."""

    def __init__(self, program, name, folder, arguments, environment=None):
        self.name = name
        self.command = [str(BIN / program), *map(str, arguments)]
        self.environment = {**os.environ, **LEAK_FREE, **(environment or {})}
        self.log = pathlib.Path(folder) / f"{name}.log"
        self.process = None
        self.url = None

    def start(self):
        assert self.process is None, f"{self.name} is running"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment,
                preexec_fn=die_with_parent)
        return self

    def output(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def describe(self, text):
        return f"{self.name}: {text}\n{' '.join(self.command)}\n{self.output()[-LOG_TAIL_SIZE:]}"

    def is_ready(self):
        if self.process.poll() is not None:
            code, self.process = self.process.returncode, None
            raise EndedEarly(self.describe(f"ended with {code} before it was ready"))
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/readyz", timeout=REQUEST_TIMEOUT_S).status_code == 200
        return False

    def answers(self):
        """It serves, ready or not; a node that still reads its runs has one answer to everything."""
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/healthz", timeout=REQUEST_TIMEOUT_S).status_code == 200 and \
                "recovering" not in requests.get(f"{self.url}/readyz", timeout=REQUEST_TIMEOUT_S).text
        return False

    def wait_ready(self, timeout_s=READY_TIMEOUT_S):
        try:
            await_condition(self.is_ready, f"{self.name} is ready", timeout_s)
        except EndedEarly:
            raise
        except AssertionError as error:
            raise AssertionError(self.describe(str(error))) from error
        return self

    def kill(self):
        """The power goes: SIGKILL, and nothing is asked of how it ended."""
        self.process.kill()
        self.process.wait()
        self.process = None
        self.check_reports()

    def stop(self, expected=0):
        """SIGTERM, and it has to leave in time, with exit code 0 and no sanitizer report."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(self.describe(f"did not leave within {STOP_TIMEOUT_S} s of SIGTERM")) from None
        self.check_reports()
        assert process.returncode == expected, self.describe(f"ended with {process.returncode}")

    def check_reports(self):
        output = self.output()
        for report in SANITIZER_REPORTS:
            assert report not in output, self.describe(f"sanitizer report: {report}")

    def restart(self):
        self.stop()
        return self.start().wait_ready()

    def request(self, method, path, **options):
        options.setdefault("timeout", REQUEST_TIMEOUT_S)
        return requests.request(method, self.url + path, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def put(self, path, data=None, **options):
        return self.request("PUT", path, data=data, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)

    def json(self, path, **options):
        answer = self.get(path, **options)
        if answer.status_code in (503, 504):
            raise NotNow(f"{path}: {answer.status_code} {answer.text}")
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def metric(self, name):
        """A series by its name and labels; by its name alone the sum of all that have it. It has to be there."""
        values = [float(line.rsplit(" ", 1)[1]) for line in self.get("/metrics").text.splitlines()
                  if line.rsplit(" ", 1)[0] == name or line.startswith(name + "{")]
        assert values, f"{self.name} has no {name}"
        return sum(values)


class Node(Daemon):
    """One storaged with its data directory."""

    def __init__(self, name, folder, colo="a", arguments=(), environment=None):
        self.data = pathlib.Path(folder) / name
        self.data.mkdir(exist_ok=True)
        self.listen = f"127.0.0.1:{free_port()}"
        super().__init__("storaged", name, folder, [
            "--data", self.data, "--listen", self.listen, "--id", name, "--url", f"http://{self.listen}",
            "--host", name, "--colo", colo, *arguments], environment)
        self.url = f"http://{self.listen}"

    def ingest(self, source, data):
        """Messages that are stored now, or were there before; the answer."""
        answer = self.put(f"/ingest/{source}/", data=data, timeout=COMMAND_TIMEOUT_S)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()


    def sees_all(self):
        """No other node of the map is down for it. Whoever was started again may have to be found first."""
        up = [line.endswith(" 1") for line in self.get("/metrics").text.splitlines() if line.startswith("gribstore_peer_up{")]
        return bool(up) and all(up)


def await_seen(nodes):
    """Until each of them, all of a map that are to run, sees the others: no copy goes to another than its owners."""
    for node in nodes:
        await_condition(node.sees_all, f"{node.name} sees the other nodes")


class Indexer(Daemon):
    """One indexer; catalog: a file for SQLite in the test's folder unless a URI is given."""

    def __init__(self, name, folder, nodes, catalog=None, arguments=(), environment=None):
        self.listen = f"127.0.0.1:{free_port()}"
        self.catalog = catalog or f"sqlite:{pathlib.Path(folder) / name}.sqlite"
        seeds = [word for node in nodes for word in ("--node", node.url)]
        super().__init__("indexer", name, folder, [
            "--listen", self.listen, "--catalog", self.catalog, *seeds, *arguments], environment)
        self.url = f"http://{self.listen}"

    def runs(self, **query):
        return self.json("/v1/runs", params=query)["runs"]

    def pages(self, path, **query):
        """Every answer of a list that comes in pages."""
        cursor = None
        while True:
            answer = self.json(path, params={**query, **({"cursor": cursor} if cursor else {})})
            yield answer
            cursor = answer["next"]
            if cursor is None:
                return

    def fields(self, **query):
        """Every document of a query."""
        return [field for page in self.pages("/v1/fields", **query) for field in page["fields"]]

    def sweep(self):
        """By one that begins now: one that is under way has seen a part already."""
        await_condition(lambda: not self.json("/v1/status")["sweep"]["running"], "no sweep is under way")
        before = self.json("/v1/status")["sweep"].get("ended_at")
        assert self.post("/v1/sweep").status_code == 202
        await_condition(lambda: self.json("/v1/status")["sweep"].get("ended_at") not in (before, None), "a sweep came to its end")

    def caught_up(self):
        nodes = self.json("/v1/cluster/nodes")["nodes"]
        return nodes and all(node["caught_up"] for node in nodes)

    def await_messages(self, source, count, copies=1, timeout_s=60):
        """Until the runs of a source hold so many messages, each of them with so many copies; the runs."""
        def there():
            runs = self.runs(source=source)
            if sum(run["messages"] for run in runs) != count:
                return None
            fields = self.fields(source=source, limit=10000)
            whole = all(len({at["node"] for at in field["locations"]}) >= copies for field in fields)
            return runs if whole else None
        return await_condition(there, f"{count} messages of {source} in the index, {copies} copies each", timeout_s)


class Client:
    """The gribstore command, pointed at an indexer and nodes."""

    def __init__(self, indexer=None, node=None):
        self.environment = {**os.environ, **LEAK_FREE}
        if indexer is not None:
            self.environment["GRIBSTORE_INDEXER"] = indexer.url
        if node is not None:
            self.environment["GRIBSTORE_NODE"] = node.url

    def run(self, *arguments, expected=0, timeout_s=COMMAND_TIMEOUT_S, **options):
        """The finished process; its exit code has to be the expected one, unless that is None."""
        command = [str(BIN / "gribstore"), *map(str, arguments)]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, timeout=max(timeout_s, COMMAND_TIMEOUT_S), check=False,
            preexec_fn=die_with_parent, **options)
        told = done.stderr.decode(errors="replace")
        for report in SANITIZER_REPORTS:
            assert report not in told, f"{command}: {told}"
        assert expected is None or done.returncode == expected, f"{command} ended with {done.returncode}: {told}"
        return done


class Cluster:
    """Nodes and an indexer under one map."""

    def __init__(self, nodes, indexer):
        self.nodes = nodes
        self.indexer = indexer
        self.client = Client(indexer, nodes[0])

    def init(self):
        """Make one cluster of the nodes; afterwards each of them has the map."""
        await_condition(self.indexer.answers, "the indexer answers")
        self.client.run("cluster", "init", *[node.url for node in self.nodes])
        for node in self.nodes:
            await_condition(lambda node=node: node.json("/cluster/map")["epoch"] > 0, f"{node.name} has the map")
            node.wait_ready()
        return self

    def by_url(self, url):
        """The node that a location's URL lies on."""
        return next(node for node in self.nodes if url.startswith(node.url + "/"))
