"""A storage node beside itself, one thread, or a fixed limit: what nginx is no measure for.

`tests/bench/run --node` starts it; README.md beside this file says how to read what it prints.
"""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.parse

from bench import BASE_TIME, MIB, SOURCE, command_output, cpus, put_file, run_listing, settle, spread_folders
from bench_cases import TEMPLATES
from bench_main import Figure, main, parse_arguments
from bench_servers import BenchError, Server, Storaged, in_child

REQUEST_TIMEOUT_S = 600
APPEND_SIZE = 4096
OTHER_RUN = "20261121T0000Z"
MILLION = 1_000_000
US = 1e6


class Settings:
    def __init__(self, arguments):
        quick = arguments.quick
        self.rounds = arguments.rounds or (1 if quick else 3)
        self.seconds = 0.3 if quick else 3.0
        self.warmup = 0.1 if quick else 0.5
        self.pause_s = 0 if quick else 1.5
        self.body_count = 8 if quick else 250
        self.appends = 50 if quick else 3000
        self.runs = 20 if quick else 1000
        self.idle = 100 if quick else 10000
        self.purge_count = 500 if quick else 250_000
        self.start_count = 10_000 if quick else 5 * MILLION
        self.run_count = 2000 if quick else 40_000
        self.refill_count = 500 if quick else 12_000


# --- servers ---

class Sink(Server):
    """body_sink: the reference of a large body."""

    name = "body_sink"

    def __init__(self, binary, folder, cpu, piece):
        super().__init__(folder, cpu)
        self.argv = [str(binary), str(self.folder), str(piece)]

    def start(self):
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=in_child(self.cpu))
        self.port = int(self.process.stdout.readline())
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Indexer(Server):
    """What makes one cluster of two nodes."""

    name = "indexer"
    ready_path = "/healthz"

    def __init__(self, binary, folder, cpu, nodes):
        super().__init__(folder, cpu)
        self.binary, self.nodes = binary, nodes

    def command(self):
        return [str(self.binary), "--listen", f"127.0.0.1:{self.port}", "--catalog", f"sqlite:{self.folder}/index.sqlite",
                "--log-level", "warn", *(f"--node={node.url}" for node in self.nodes)]


class NodeBench:
    """The checks, each a method named check_*; all on one CPU, the client on another."""

    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.settings = Settings(arguments)
        self.server_cpu, self.client_cpu = cpus()
        spread_folders(folder)
        self.seed = 0
        self.count = 0
        self.templates = {}

    def binary(self, name):
        path = self.arguments.bin / name
        if not path.exists():
            raise BenchError(f"there is no {path}: build it, or leave --bin out")
        return path

    def template(self, name):
        if name not in self.templates:
            path = self.folder / f"{name}.grib"
            command_output([str(self.binary("gribgen")), "--out", str(path), "--edition", "2", "--members", "1", "--params",
                            "t", "--levels", "500", "--steps", "0", "--minutes", "off", *TEMPLATES[name]])
            self.templates[name] = path
        return self.templates[name]

    def stamped(self, name, count, base_time=BASE_TIME):
        """A file of `count` distinct messages of a run."""
        path = self.folder / f"run-{name}-{count}-{base_time}.grib"
        if not path.exists():
            command_output([str(self.binary("gribgen")), "--stamp", str(self.template(name)), "--count", str(count),
                            "--base-time", base_time, "--out", str(path)])
        return path

    @contextlib.contextmanager
    def node(self, name=None):
        self.count += 1
        node = Storaged(self.binary("storaged"), self.folder / (name or f"node-{self.count}"), self.server_cpu)
        with node:
            yield node
        node.remove_data()
        settle(self.settings)

    def httpload(self, kind, node, connections, *options, seconds=None):
        self.seed += 1
        return [str(self.binary("httpload")), kind, "--port", str(node.port), "--pid", str(node.pid), "--connections",
                str(connections), "--seconds", str(seconds or self.settings.seconds), "--warmup", str(self.settings.warmup),
                "--seed", str(self.seed), *map(str, options)]

    def load(self, *arguments, **options):
        done = subprocess.run(self.httpload(*arguments, **options), capture_output=True, text=True, check=False,
                              preexec_fn=in_child(self.client_cpu))
        if done.returncode != 0:
            raise BenchError(f"httpload: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def put_load(self, node, connections, name, seconds=None):
        return self.load("put", node, connections, "--path", f"/ingest/{SOURCE}/", "--template", self.template(name),
                         seconds=seconds)

    def files_of(self, node, messages):
        """The list that httpload reads: each data file of the run, with a copy of its bytes."""
        lines = []
        for number, url in enumerate(sorted({message["locations"][0]["url"] for message in messages})):
            path = urllib.parse.urlsplit(url).path
            copy = self.folder / f"copy-{self.count}-{number}"
            copy.write_bytes(self.get(node, path))
            lines.append(f"{path} {copy}\n")
        files = self.folder / f"files-{self.count}.txt"
        files.write_text("".join(lines))
        return files

    @staticmethod
    def get(node, path):
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=REQUEST_TIMEOUT_S)
        connection.request("GET", path)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if answer.status != 200:
            raise BenchError(f"GET {path}: {answer.status} {data[:300]!r}")
        return data

    def medians(self, measure_a, measure_b):
        """A B A B: two lists of figures, their medians."""
        a, b = [], []
        for _ in range(self.settings.rounds):
            a.append(measure_a())
            b.append(measure_b())
        return statistics.median(a), statistics.median(b)

    # --- the checks ---

    def send_body(self, server, path, target):
        """One PUT of a file on one connection, by sendfile; bytes a second until the answer."""
        size = path.stat().st_size
        with open(path, "rb") as file, socket.create_connection(("127.0.0.1", server.port), REQUEST_TIMEOUT_S) as peer:
            begun = time.monotonic()
            peer.sendall(f"PUT {target} HTTP/1.1\r\nHost: bench\r\nContent-Length: {size}\r\n\r\n".encode())
            peer.sendfile(file)
            answer = peer.recv(65536)
            elapsed = time.monotonic() - begun
        if not answer.startswith(b"HTTP/1.1 201 "):
            raise BenchError(f"PUT to {server.name}: {answer[:300]!r}")
        return size / elapsed

    def check_body(self):
        body = self.stamped("1m", self.settings.body_count)
        piece = self.template("1m").stat().st_size

        def ours():
            with self.node() as node:
                rate = self.send_body(node, body, f"/ingest/{SOURCE}/?answer=summary")
                if run_listing(node)["messages"] != self.settings.body_count:
                    raise BenchError("the node has not got what it acknowledged")
            return rate / MIB

        def other():
            with Sink(self.binary("body_sink"), self.folder / "sink", self.server_cpu, piece) as sink:
                rate = self.send_body(sink, body, "/")
            settle(self.settings)
            return rate / MIB

        rate, reference = self.medians(ours, other)
        yield Figure("put-body", f"one body of {body.stat().st_size / 1e6:.0f} MB of 1 MiB messages, one connection", rate, "MiB/s",
                     reference, "one thread", at_least=0.9)

    def append_p50_us(self):
        """A 4 KiB append and its fdatasync, alone."""
        path = self.folder / "append"
        data, times = os.urandom(APPEND_SIZE), []
        os.sched_setaffinity(0, {self.server_cpu})
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o640)
        try:
            for _ in range(self.settings.appends):
                begun = time.perf_counter_ns()
                os.write(fd, data)
                os.fdatasync(fd)
                times.append(time.perf_counter_ns() - begun)
        finally:
            os.close(fd)
            path.unlink()
            os.sched_setaffinity(0, {self.server_cpu, self.client_cpu})
        return statistics.median(times) / 1000

    def check_alone(self):
        def ours():
            with self.node() as node:
                return self.put_load(node, 1, "4k")["p50_us"]

        p50, reference = self.medians(ours, self.append_p50_us)
        yield Figure("put-alone", "one PUT of 4 KiB at a time, p50", p50, "us", reference, "append + fdatasync", at_most=2.0)

    def check_mixed(self):
        with self.node() as node:
            messages = put_file(f"{node.url}/ingest/other/", self.stamped("64k", self.settings.run_count // 10))["messages"]
            files = self.files_of(node, messages)

            def idle():
                return self.load("get", node, 16, "--files", files, "--size", 4096, "--ranges", 1)["p99_us"]

            def busy():
                writers = subprocess.Popen(
                    self.httpload("put", node, 16, "--path", f"/ingest/{SOURCE}/", "--template", self.template("64k"),
                                  seconds=self.settings.seconds + 1), stdout=subprocess.DEVNULL,
                    preexec_fn=in_child(self.client_cpu))
                try:
                    return idle()
                finally:
                    writers.terminate()
                    writers.wait()

            p99, reference = self.medians(busy, idle)
        yield Figure("read-during-put", "p99 of 4 KiB reads while 16 connections PUT 64 KiB", p99 / 1000, "ms", reference / 1000,
                     "idle", at_most=3.0)

    def check_copies(self):
        def one():
            with self.node() as node:
                return self.put_load(node, 64, "64k")["rate"]

        def two():
            with contextlib.ExitStack() as stack:
                nodes = [Storaged(self.binary("storaged"), self.folder / f"pair-{self.seed}-{number}", self.server_cpu)
                         for number in (1, 2)]
                for number, node in enumerate(nodes, 1):
                    node.node_id = f"pair{number}"
                    stack.enter_context(node)
                indexer = stack.enter_context(Indexer(self.binary("indexer"), self.folder / f"pair-index-{self.seed}",
                                                      self.client_cpu, nodes))
                command_output([str(self.binary("gribstore")), "cluster", "init", "--indexer", indexer.url,
                                *(node.url for node in nodes)])
                rate = self.put_load(nodes[0], 64, "64k")["rate"]
            for node in nodes:
                node.remove_data()
            settle(self.settings)
            return rate

        rate, reference = self.medians(two, one)
        yield Figure("put-two-copies", "PUT of 64 KiB, two copies on two nodes of this machine", rate, "/s", reference, "one node",
                     at_least=0.35)

    # --- an empty node in the place of one that was lost ---

    def three_nodes(self, stack, *options):
        """Of a map by which each message lies on two of them; the first one runs beside the client."""
        nodes = []
        for number in (1, 2, 3):
            node = Storaged(self.binary("storaged"), self.folder / f"three-{self.seed}-{number}",
                            self.client_cpu if number == 1 else self.server_cpu)
            node.node_id, node.options = f"three{number}", (*node.options, "--scrub-rate", "0", "--sync-period", "1s", *options)
            nodes.append(stack.enter_context(node))
        self.seed += 1
        ring = [node.node_id for node in nodes]
        self.map_of_three = json.dumps({
            "cluster": os.urandom(16).hex(), "epoch": 1, "shards": 8, "replicas": 2, "min_replicas": 1, "indexers": [],
            "nodes": [{"id": node.node_id, "url": node.url, "host": node.node_id, "colo": "", "weight": 1, "state": "in"}
                      for node in nodes],
            "eras": [{"from": None, "owners": [[ring[shard % 3], ring[(shard + 1) % 3]] for shard in range(8)]}]})
        for node in nodes:
            self.send(node, "PUT", "/cluster/map", self.map_of_three)
        for node in nodes:
            node.wait_ready()
        return nodes

    @staticmethod
    def send(node, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=REQUEST_TIMEOUT_S)
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status not in (200, 201):
            raise BenchError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return text

    def put_old(self, nodes, run):
        """The same messages on each of them, with stamps of an hour ago: nobody takes them for being on their way."""
        stamp = str(int((time.time() - 3600) * US))
        for node in nodes:
            with open(run, "rb") as body:
                self.send(node, "PUT", f"/replica/{SOURCE}?answer=summary", body, {
                    "Gribstore-Stored-At": stamp, "Content-Length": str(run.stat().st_size)})

    def empty(self, node):
        node.stop()
        for name in ("runs", "purged", "runs.log", "closed"):
            path = node.data / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def synced(self, node):
        """Messages and bytes that it has fetched since it began."""
        words = dict(line.rsplit(" ", 1) for line in self.get(node, "/metrics").decode().splitlines() if line[:1] != "#")
        return int(float(words["gribstore_synced_messages_total"])), int(float(words["gribstore_synced_bytes_total"]))

    def owned_by_first(self, node):
        """What the first node is to have, by another that has everything."""
        shards = json.loads(self.get(node, f"/cluster/shards/{SOURCE}/{BASE_TIME}"))
        return sum(shard["count"] for shard in shards if shard["shard"] % 3 != 1)

    def refill_seconds(self, node, messages):
        """From the first byte fetched to the last; bytes. A start and the first look at others are not in it."""
        node.start()
        begun, (count, size) = None, self.synced(node)
        while count < messages:
            if begun is None and count:
                begun, counted = time.monotonic(), size
            time.sleep(0.002)
            count, size = self.synced(node)
        took = time.monotonic() - begun if begun is not None else 0
        return (size - counted) / took if took > 0 else 0  # nothing was seen on its way: a quick run

    def write_rate(self, size):
        """A file in pieces of 4 MiB, flushed at its end."""
        path, piece = self.folder / "written", os.urandom(4 * MIB)
        begun = time.monotonic()
        with open(path, "wb", buffering=0) as file:
            for _ in range(max(1, size // len(piece))):
                file.write(piece)
            os.fdatasync(file.fileno())
        rate = max(len(piece), size) / (time.monotonic() - begun)
        path.unlink()
        return rate

    def loopback_rate(self, node):
        """Its data files, one after the other on one connection; bytes thrown away."""
        listing = json.loads(self.get(node, f"/data/{SOURCE}/{BASE_TIME}/"))
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=REQUEST_TIMEOUT_S)
        room, size, begun = bytearray(MIB), 0, time.monotonic()
        for file in listing["files"]:
            connection.request("GET", f"/data/{SOURCE}/{BASE_TIME}/{file['name']}")
            answer = connection.getresponse()
            while got := answer.readinto(room):
                size += got
        connection.close()
        return size / (time.monotonic() - begun)

    def check_refill(self):
        run = self.stamped("64k", self.settings.refill_count)
        rates, limits = [], []
        with contextlib.ExitStack() as stack:
            first, *others = self.three_nodes(stack, "--sync-rate", "0")
            self.put_old(others, run)
            messages = self.owned_by_first(others[0])
            for _ in range(self.settings.rounds):
                self.empty(first)
                limits.append(min(self.write_rate(run.stat().st_size), self.loopback_rate(others[0])))
                rates.append(self.refill_seconds(first, messages))
            for node in (first, *others):
                node.stop()
                node.remove_data()
        settle(self.settings)
        yield Figure("refill", "an empty node fetches its messages of 64 KiB from two, no limit set", statistics.median(rates) / MIB, "MiB/s",
                     statistics.median(limits) / MIB, "disk or loopback", at_least=0.7)

    def check_refill_reads(self):
        run = self.stamped("64k", self.settings.refill_count)
        with contextlib.ExitStack() as stack:
            first, *others = self.three_nodes(stack)
            self.put_old(others, run)
            messages = json.loads(self.send(others[0], "PUT", f"/replica/{SOURCE}", self.template("64k").read_bytes()))["messages"]
            files = self.files_of(others[0], messages)

            def read():
                return self.load("get", others[0], 4, "--files", files, "--size", 4096, "--ranges", 1)["p99_us"]

            def busy():
                self.empty(first)
                first.start()
                while not self.synced(first)[0]:
                    time.sleep(0.01)
                return read()

            p99, reference = self.medians(busy, read)
            for node in (first, *others):
                node.stop()
                node.remove_data()
        settle(self.settings)
        yield Figure("refill-reads", "p99 of 4 KiB reads from a node that another is filled from, at the usual rate", p99 / 1000, "ms",
                     reference / 1000, "idle", at_most=2.0)

    def check_addresses(self):
        """/sha256/ of 1,000 runs: the look-up goes through all of them at worst."""
        with self.node() as node:
            start = time.mktime((2001, 1, 1, 0, 0, 0, 0, 0, 0))
            messages = []
            for number in range(self.settings.runs):
                base_time = time.strftime("%Y%m%dT%H00Z", time.localtime(start + 43200 * number))
                run = self.stamped("4k", 4, base_time)
                messages += put_file(f"{node.url}/ingest/{SOURCE}/", run)["messages"]
                run.unlink()
            lines = []
            for number, message in enumerate(messages):
                copy = self.folder / f"message-{number}"
                copy.write_bytes(self.get(node, f"/sha256/{message['digest']}"))
                lines.append(f"/sha256/{message['digest']} {copy}\n")
            by_address = self.folder / "addresses.txt"
            by_address.write_text("".join(lines))
            files = self.files_of(node, messages)

            def read(listed):
                measured = self.load("get", node, 16, "--files", listed, "--size", 4096, "--ranges", 1)
                return measured["rate"]

            rate, reference = self.medians(lambda: read(by_address), lambda: read(files))
        yield Figure("sha256-runs", f"4 KiB by address, {self.settings.runs} runs on the node", rate, "/s", reference,
                     "by data file")

    @staticmethod
    def anonymous_kib(pid):
        for text in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if text.startswith("RssAnon:"):
                return int(text.split()[1])
        raise BenchError("no RssAnon")

    def check_idle(self):
        """Connections that have had an answer, and wait."""
        with self.node() as node:
            before = self.anonymous_kib(node.pid)
            peers = []
            try:
                for _ in range(self.settings.idle):
                    peers.append(socket.create_connection(("127.0.0.1", node.port)))
                for peer in peers:
                    peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: bench\r\n\r\n")
                for peer in peers:
                    if not peer.recv(4096).startswith(b"HTTP/1.1 200 "):
                        raise BenchError("a connection got no answer")
                grown = self.anonymous_kib(node.pid) - before
            finally:
                for peer in peers:
                    peer.close()
        yield Figure("idle", f"memory of an idle connection, {self.settings.idle:,} of them", grown / self.settings.idle, "KiB",
                     at_most=64)

    def change_run(self, node, method, query="", body=None):
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=REQUEST_TIMEOUT_S)
        base = "/cluster/runs" if method == "PUT" else "/data"
        slash = "" if method == "PUT" else "/"
        begun = time.monotonic()
        connection.request(method, f"{base}/{SOURCE}/{BASE_TIME}{slash}{query}", body=body)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status not in (200, 204):
            raise BenchError(f"{method} of the run: {answer.status} {text[:300]!r}")
        return time.monotonic() - begun

    def check_purge(self):
        answers, slower = [], []
        for _ in range(self.settings.rounds):
            with self.node() as node:
                kept = put_file(f"{node.url}/ingest/{SOURCE}/", self.stamped("64k", self.settings.run_count // 10, OTHER_RUN))
                files = self.files_of(node, kept["messages"])
                put_file(f"{node.url}/ingest/{SOURCE}/?answer=summary", self.stamped("4k", self.settings.purge_count))

                def read():
                    return self.load("get", node, 16, "--files", files, "--size", 4096, "--ranges", 1)["p99_us"]

                quiet = read()
                self.change_run(node, "PUT", body=json.dumps({"incarnation": 1, "version": 1, "state": "retired"}))
                answers.append(self.change_run(node, "DELETE", "?incarnation=1&version=1") * 1000)
                slower.append(read() / quiet)
        yield Figure("purge-answer", f"DELETE of a run of {self.settings.purge_count:,} messages", statistics.median(answers), "ms",
                     at_most=50)
        yield Figure("purge-reads", "p99 of 4 KiB reads while its files go, against before", statistics.median(slower), "x",
                     at_most=2.0)

    def check_start(self):
        folder = self.folder / "start"
        command_output([str(self.binary("bench_store")), "make", str(folder), str(self.settings.start_count)])
        seconds, heap = [], []
        for _ in range(self.settings.rounds):
            words = dict(word.split("=") for word in command_output([str(self.binary("bench_store")), "open", str(folder)]).split()
                         if "=" in word)
            if int(words["messages"]) != self.settings.start_count:
                raise BenchError(f"{words['messages']} messages of {self.settings.start_count} opened")
            seconds.append(float(words["seconds"]))
            heap.append(float(words["heap_per_message"]))
        yield Figure("start", f"the store opens with {self.settings.start_count:,} messages", statistics.median(seconds), "s", at_most=2)
        yield Figure("heap", "of a stored message", statistics.median(heap), "bytes", at_most=16)


if __name__ == "__main__":
    sys.exit(main(parse_arguments("tests/bench/run --node", "a storage node beside itself and fixed limits", NodeBench), NodeBench))
