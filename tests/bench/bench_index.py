"""The index beside mongod without us: inserts, removals, finds; what has a fixed limit beside it.

`tests/bench/index` starts it; README.md beside this file says how to read what it prints.
"""

import contextlib
import http.client
import json
import os
import pathlib
import queue
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse

from bench import BASE_TIME, ROOT, SOURCE, command_output, put_file
from bench_main import Figure, main, parse_arguments
from bench_servers import BenchError, Server, Storaged

sys.path.insert(0, str(ROOT / "tests/lib"))
from mongod import NoMongod, running as mongod_running  # noqa: E402

REQUEST_TIMEOUT_S = 600
POLL_S = 0.01
FOUND_TIMEOUT_S = 60
NEXT_BASE_TIME = "20261120T1200Z"
TEMPLATE = ["--edition", "2", "--members", "1", "--params", "t", "--levels", "500", "--steps", "0", "--minutes", "off",
            "--preset", "tiny"]


class Settings:
    def __init__(self, arguments):
        quick = arguments.quick
        self.rounds = arguments.rounds or (1 if quick else 3)
        self.count = arguments.count or (2500 if quick else 250_000)
        self.rebuild_count = min(self.count, 500) if quick else self.count
        self.seconds = 0.3 if quick else 3.0
        self.decode_count = 300 if quick else 10_000
        self.rate = 100 if quick else 500
        self.rate_seconds = 1 if quick else 20
        self.threads, self.batch = 2, 1000  # as two tails and their batches


class Indexer(Server):
    name = "indexer"
    ready_path = "/healthz"

    def __init__(self, binary, folder, catalog, nodes=()):
        super().__init__(folder, None)
        self.binary, self.catalog, self.nodes = binary, catalog, nodes

    def command(self):
        return [str(self.binary), "--listen", f"127.0.0.1:{self.port}", "--catalog", self.catalog, "--log-level", "warn",
                *(f"--node={node.url}" for node in self.nodes)]


def process_seconds(pid):
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class IndexBench:
    """The checks, each a method named check_*. Nothing is pinned: client, indexer and mongod share the processors as they would."""

    def __init__(self, arguments, folder, mongo):
        self.arguments, self.folder, self.mongo = arguments, folder, mongo
        self.settings = Settings(arguments)
        self.count = 0

    def binary(self, name):
        path = self.arguments.bin / name
        if not path.exists():
            raise BenchError(f"there is no {path}: build it, or leave --bin out")
        return path

    def run(self, name, *arguments):
        done = subprocess.run([str(self.binary(name)), *map(str, arguments)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"{name} {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def database(self, name):
        """The URI of a database of the server."""
        url = urllib.parse.urlsplit(self.mongo)
        return url._replace(path="/" + name).geturl()

    def drop(self, *names):
        import pymongo

        with pymongo.MongoClient(self.mongo) as client:
            for name in names:
                client.drop_database(name)

    def insert(self, uri, first=0, nodes=2):
        return self.run("bench_catalog", "insert", uri, self.settings.count, self.settings.threads, self.settings.batch, first, nodes)

    # --- writes ---

    def check_insert(self):
        """Ours, then the same documents without us, then both removed: round after round."""
        rates = {name: [] for name in ("ours", "raw", "ours-remove", "raw-remove", "first", "second")}
        cpu = []
        for _ in range(self.settings.rounds):
            self.drop("ours", "raw", "apart")
            ours = self.insert(self.database("ours"))
            cpu.append(ours["cpu_us"])
            rates["ours"].append(ours["rate"])
            raw = self.run("bench_mongo", "copy", self.database("raw"), "ours", "raw", self.settings.threads, self.settings.batch)
            if raw["count"] != self.settings.count:
                raise BenchError(f"{raw['count']} documents of {self.settings.count} are there")
            rates["raw"].append(raw["rate"])
            removed = self.run("bench_catalog", "remove", self.database("ours"))
            raw_removed = self.run("bench_mongo", "remove", self.database("raw"), "raw")
            if removed["count"] != self.settings.count or raw_removed["count"] != self.settings.count:
                raise BenchError("not all was removed")
            rates["ours-remove"].append(removed["rate"])
            rates["raw-remove"].append(raw_removed["rate"])
            rates["first"].append(self.insert(self.database("apart"), 0, 1)["rate"])
            rates["second"].append(self.insert(self.database("apart"), 1, 1)["rate"])
        self.drop("ours", "raw", "apart")
        middle = {name: statistics.median(values) for name, values in rates.items()}
        yield Figure("insert", f"{self.settings.count:,} fields with two locations each; {statistics.median(cpu):.1f} us of CPU of ours each",
                     middle["ours"], "/s", middle["raw"], "the same documents raw", at_least=0.85)
        yield Figure("insert-first", "one location each", middle["first"], "/s")
        yield Figure("insert-second", "the second location of each, arriving later", middle["second"], "/s")
        yield Figure("remove", "the run, as a retirement does it", middle["ours-remove"], "/s", middle["raw-remove"], "deleteMany",
                     at_least=0.8)

    def check_sqlite_insert(self):
        rates, removed = [], []
        for number in range(self.settings.rounds):
            uri = f"sqlite:{self.folder}/insert-{number}.sqlite"
            rates.append(self.insert(uri)["rate"])
            removed.append(self.run("bench_catalog", "remove", uri)["rate"])
        yield Figure("sqlite-insert", "two locations each, SQLite", statistics.median(rates), "/s")
        yield Figure("sqlite-remove", "the run, SQLite", statistics.median(removed), "/s")

    # --- reads ---

    def ask(self, kind, indexer, threads):
        return self.run("bench_query", kind, indexer.port, self.settings.count, threads, self.settings.seconds)

    def check_find(self):
        self.drop("find")
        self.insert(self.database("find"))
        with Indexer(self.binary("indexer"), self.folder / "find", self.database("find")) as indexer:
            def raw(kind, threads):
                return self.run("bench_mongo", kind, self.database("find"), "find", self.settings.count, threads, self.settings.seconds)

            self.ask("find", indexer, 4), raw("find", 4)  # warm
            for threads in (1, 16):
                ours, other = [], []
                for _ in range(self.settings.rounds):
                    ours.append(self.ask("find", indexer, threads)["rate"])
                    other.append(raw("find", threads)["rate"])
                yield Figure(f"find-{threads}", f"a field by its keys over HTTP, {threads} clients", statistics.median(ours), "/s",
                             statistics.median(other), "raw find", at_least=0.6)
            ours, other = [], []
            for _ in range(self.settings.rounds):
                ours.append(self.ask("range", indexer, 1)["p50_us"] / 1000)
                other.append(raw("range", 1)["p50_us"] / 1000)
            yield Figure("range-100", "100 fields by steps and levels as NDJSON", statistics.median(ours), "ms", statistics.median(other),
                         "the raw cursor", at_most=3.0)
        self.drop("find")

    def check_sqlite_find(self):
        uri = f"sqlite:{self.folder}/find.sqlite"
        self.insert(uri)
        with Indexer(self.binary("indexer"), self.folder / "sqlite-find", uri) as indexer:
            self.ask("find", indexer, 4)
            for threads in (1, 16):
                rates, cpu = [], []
                for _ in range(self.settings.rounds):
                    before = process_seconds(indexer.pid)
                    asked = self.ask("find", indexer, threads)
                    cpu.append((process_seconds(indexer.pid) - before) * 1e6 / asked["count"])
                    rates.append(asked["rate"])
                yield Figure(f"sqlite-find-{threads}", f"a field by its keys over HTTP, {threads} clients; "
                             f"{statistics.median(cpu):.0f} us of CPU each", statistics.median(rates), "/s",
                             at_least=15000 if threads > 1 else None)
            times = [self.ask("range", indexer, 1)["p50_us"] / 1000 for _ in range(self.settings.rounds)]
            yield Figure("sqlite-range", "100 fields by steps and levels as NDJSON", statistics.median(times), "ms")

    # --- the whole way ---

    @contextlib.contextmanager
    def node(self):
        self.count += 1
        node = Storaged(self.binary("storaged"), self.folder / f"node-{self.count}", None)
        with node:
            yield node
        node.remove_data()

    def stamped(self, count, base_time=BASE_TIME):
        template, path = self.folder / "tiny.grib", self.folder / f"run-{count}-{base_time}.grib"
        if not template.exists():
            command_output([str(self.binary("gribgen")), "--out", str(template), *TEMPLATE])
        if not path.exists():
            command_output([str(self.binary("gribgen")), "--stamp", str(template), "--count", str(count), "--base-time", base_time,
                            "--out", str(path)])
        return path

    @staticmethod
    def get(server, path):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=REQUEST_TIMEOUT_S)
        connection.request("GET", path)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return json.loads(data) if answer.status == 200 else None

    def indexed(self, indexer):
        """Fields written since it started."""
        connection = http.client.HTTPConnection("127.0.0.1", indexer.port, timeout=REQUEST_TIMEOUT_S)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return sum(int(float(word.split()[1])) for word in text.splitlines() if word.startswith("gribstore_index_fields_total"))

    def wait_indexed(self, indexer, count):
        while self.indexed(indexer) < count:
            time.sleep(POLL_S)

    def lose_database(self, name):
        """As a database that was lost under a running indexer: it has its indexes and nothing in them."""
        import pymongo

        with pymongo.MongoClient(self.mongo) as client:
            for collection in ("fields", "cursors"):
                client[name][collection].delete_many({})

    def rebuild_again(self, indexer, count):
        """Records a second and us of CPU a record, from the last look at which none was there: when the indexer finds out is a matter of its leases."""
        before = self.indexed(indexer)
        self.lose_database("rebuild")
        while True:
            begun, used = time.monotonic(), process_seconds(indexer.pid)
            if self.indexed(indexer) != before:
                break
        self.wait_indexed(indexer, before + count)
        return count / (time.monotonic() - begun), (process_seconds(indexer.pid) - used) * 1e6 / count

    def check_rebuild(self):
        cold, warm, cpu, count = [], [], [], self.settings.rebuild_count
        with self.node() as node:
            put_file(f"{node.url}/ingest/{SOURCE}/?answer=summary", self.stamped(count))
            for number in range(self.settings.rounds):
                self.drop("rebuild")
                folder = self.folder / f"rebuild-{number}"
                with Indexer(self.binary("indexer"), folder, self.database("rebuild"), [node]) as indexer:
                    begun = time.monotonic()
                    self.wait_indexed(indexer, count)
                    cold.append(count / (time.monotonic() - begun))
                    rate, used = self.rebuild_again(indexer, count)
                    warm.append(rate)
                    cpu.append(used)
                    run = self.get(indexer, f"/v1/runs/{SOURCE}/{BASE_TIME}")
                    if run is None or run["fields"] != count:
                        raise BenchError(f"the rebuilt run is {run}")
        self.drop("rebuild")
        yield Figure("rebuild-first", f"{count:,} records of one node into an empty database, from the start of the indexer on: all are decoded",
                     statistics.median(cold), "/s")
        yield Figure("rebuild", f"the same again, as the database was lost: decodes are remembered; {statistics.median(cpu):.0f} us of CPU "
                     "of the indexer each", statistics.median(warm), "/s", at_least=20000)

    # --- decoding ---

    def check_decode(self):
        """ecCodes in a loop, one decoder, one a processor: round after round; then the next run, remembered."""
        count, cores = self.settings.decode_count, len(os.sched_getaffinity(0))
        first, after = self.stamped(count), self.stamped(count, NEXT_BASE_TIME)
        runs = {"plain": ("plain", first), "one": ("pool", first, 1), "all": ("pool", first, cores), "memo": ("memo", first, after)}
        rates = {name: [] for name in runs}
        for _ in range(self.settings.rounds):
            for name, arguments in runs.items():
                done = self.run("bench_decode", *arguments)
                if done["count"] != count:
                    raise BenchError(f"{done['count']} fields of {count} were decoded")
                rates[name].append(done["rate"])
        middle = {name: statistics.median(values) for name, values in rates.items()}
        yield Figure("decode-one", f"{count:,} heads never seen before, one decoder", middle["one"], "/s", middle["plain"],
                     "ecCodes in a loop", at_least=0.9)
        yield Figure("decode-all", f"the same, {cores} decoders", middle["all"], "/s", middle["one"], "one decoder")
        yield Figure("decode-dates", "the same fields of the next run", middle["memo"], "/s", at_least=50000)

    def send_paced(self, node, messages, sent, begun, senders, number):
        """Every senders-th message at its time, one PUT each; when it was acknowledged."""
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=REQUEST_TIMEOUT_S)
        for at in range(number, len(messages), senders):
            wait = begun + at / self.settings.rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            connection.request("PUT", f"/ingest/{SOURCE}/", messages[at])
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 201:
                raise BenchError(f"PUT: {answer.status} {text[:300]!r}")
            sent.put((time.monotonic(), json.loads(text)["messages"][0]["digest"]))
        connection.close()

    def check_latency(self):
        count, senders = self.settings.rate * self.settings.rate_seconds, 4
        messages = split_messages(self.stamped(count).read_bytes())
        sent, waits = queue.Queue(), []
        with self.node() as node:
            self.drop("latency")
            with Indexer(self.binary("indexer"), self.folder / "latency", self.database("latency"), [node]) as indexer:
                self.wait_ready(indexer)
                begun = time.monotonic() + 0.2
                threads = [threading.Thread(target=self.send_paced, args=(node, messages, sent, begun, senders, number))
                           for number in range(senders)]
                for thread in threads:
                    thread.start()
                while any(thread.is_alive() for thread in threads) or not sent.empty():
                    with contextlib.suppress(queue.Empty):
                        waits.append(self.wait_found(indexer, *self.newest(sent)))
                for thread in threads:
                    thread.join()
                self.wait_indexed(indexer, count)
        self.drop("latency")
        waits.sort()
        yield Figure("latency", f"p99 from an acknowledged PUT until a query finds it, {self.settings.rate} messages/s, {len(waits)} looked for",
                     waits[len(waits) * 99 // 100], "s", at_most=1.0)

    @staticmethod
    def newest(sent):
        """The one acknowledged last: others meanwhile are not looked for."""
        latest = sent.get(timeout=0.1)
        while not sent.empty():
            latest = sent.get()
        return latest

    def wait_ready(self, indexer):
        deadline = time.monotonic() + FOUND_TIMEOUT_S
        while time.monotonic() < deadline:
            connection = http.client.HTTPConnection("127.0.0.1", indexer.port, timeout=REQUEST_TIMEOUT_S)
            connection.request("GET", "/readyz")
            status = connection.getresponse().status
            connection.close()
            if status == 200:
                return
            time.sleep(POLL_S)
        raise BenchError("the indexer is not ready")

    def wait_found(self, indexer, acknowledged, digest):
        connection = http.client.HTTPConnection("127.0.0.1", indexer.port, timeout=REQUEST_TIMEOUT_S)
        while True:
            connection.request("GET", f"/v1/fields?digest={digest}&limit=1")
            found = json.loads(connection.getresponse().read())
            waited = time.monotonic() - acknowledged
            if found.get("fields"):
                connection.close()
                return waited
            if waited > FOUND_TIMEOUT_S:
                raise BenchError(f"{digest} is not found after {FOUND_TIMEOUT_S} s")
            time.sleep(0.002)


def split_messages(data):
    """GRIB2 messages one behind the other: their length stands in octets 9 to 16."""
    messages, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at + 8:at + 16], "big") if data[at + 7] == 2 else int.from_bytes(data[at + 4:at + 7], "big")
        messages.append(data[at:at + size])
        at += size
    return messages


@contextlib.contextmanager
def with_mongod(parent):
    try:
        with mongod_running(cache_gb=2, folder=parent) as uri:
            yield (uri,)
    except NoMongod as error:
        raise BenchError(error) from None


COUNT = ("--count", {"type": int, "metavar": "N", "help": "records (default 250,000)"})

if __name__ == "__main__":
    sys.exit(main(parse_arguments("tests/bench/index", "the index beside mongod without us", IndexBench, [COUNT]), IndexBench, with_mongod))
