"""PUT and GET load on the whole cluster, runs that come and go, and the look at each acknowledgement and each answer."""

import contextlib
import dataclasses
import hashlib
import http.client
import json
import os
import random
import threading
import time
import urllib.parse

from messages import KIB, MIB, Run
from processes import COMMAND_TIMEOUT_S, Client, await_condition
from traffic import ERRORS, Connection

TIMEOUT_S = 90
# On a machine that is too busy to answer probes in time it has to be more.
REACHABLE_S = float(os.environ.get("GRIBSTORE_THRASH_REACHABLE", 13))  # a way that has been good so long serves: probes, time limits and back-off of the nodes lie behind it
SIZES = ((70, 300, 2 * KIB), (25, 2 * KIB, 64 * KIB), (4, 64 * KIB, 512 * KIB), (0.5, MIB, 6 * MIB))
BODY_MESSAGES_MAX = 30


def some_size(random_):
    _, least, most = random_.choices(SIZES, weights=[share for share, _, _ in SIZES])[0]
    return random_.randint(least, most)


@dataclasses.dataclass
class Counts:
    puts: dict = dataclasses.field(default_factory=dict)      # status or error -> how many
    reads: dict = dataclasses.field(default_factory=dict)     # (way, outcome) -> how many
    copies: dict = dataclasses.field(default_factory=dict)    # said -> messages
    short: dict = dataclasses.field(default_factory=dict)     # faults that stood -> messages with fewer copies than replicas
    by_node: dict = dataclasses.field(default_factory=dict)   # node asked -> messages
    commands: int = 0
    audited: int = 0
    purges: int = 0
    reopened: int = 0
    slowest: list = dataclasses.field(default_factory=list)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def add(self, counter, key, count=1):
        with self.lock:
            counter[key] = counter.get(key, 0) + count

    def took(self, seconds, text):
        """The slowest are kept, with what stood in their way."""
        with self.lock:
            self.slowest = sorted([*self.slowest, (round(seconds, 1), text)], reverse=True)[:8]


class Worker(threading.Thread):
    """What goes on until the load is told to stop. What goes wrong in it is a finding, not the end of a thread that nobody sees."""
    is_brief = True  # a turn of it is waited for by who pauses the load

    def __init__(self, load, seed):
        super().__init__(daemon=True)
        self.load, self.ground, self.book, self.counts = load, load.ground, load.book, load.counts
        self.random = random.Random(seed)
        self.connections = {}

    def connection(self, url):
        if url not in self.connections:
            self.connections[url] = Connection(url, TIMEOUT_S)
        return self.connections[url]

    def took(self, began, what):
        """With what befell the cluster meanwhile."""
        since = [name for ended, name in list(self.ground.ended) if ended > began] + [fault.describe() for _, fault in list(self.ground.standing)]
        self.counts.took(time.monotonic() - began, f"{what}; {', '.join(since) or 'no fault'}")

    def ask(self, url, method, path, **options):
        """A connection that was idle may have been closed by the other side meanwhile: then it is asked once more."""
        try:
            return self.connection(url).ask(method, path, **options)
        except http.client.RemoteDisconnected:
            return self.connection(url).ask(method, path, **options)

    def rest(self, seconds):
        self.load.stopped.wait(seconds)

    def run(self):
        while not self.load.stopped.is_set():
            if not self.load.going.wait(0.5):
                continue
            try:
                with self.load.busy(self.is_brief):
                    self.turn()
            except Exception as error:  # noqa: BLE001
                self.load.findings.other.append(f"{type(self).__name__}: {error!r}")
                self.rest(1)
        for connection in self.connections.values():
            connection.close()


class Putter(Worker):
    """A client that PUTs to any node."""

    def some_messages(self):
        runs = self.load.open_runs()
        source = self.random.choice(runs).source
        runs = [run for run in runs if run.source == source]
        if self.random.random() < 0.12 and self.load.sent:
            return list(self.random.choice(list(self.load.sent)))
        count = 1 if self.random.random() < 0.4 else self.random.randint(2, BODY_MESSAGES_MAX)
        messages = []
        for _ in range(count):
            run = self.random.choice(runs)
            number = self.random.randrange(self.load.fields_a_run)  # sooner or later each is issued again
            messages.append(self.load.fields.some(run, number, some_size(self.random), self.random))
        self.load.remember(messages)
        return messages

    def turn(self):
        messages = self.some_messages()
        began = time.monotonic()
        epochs = self.book.epochs(messages)
        outcome = self.put(messages, epochs)
        self.took(began, outcome)
        self.rest(self.load.put_pause_s * self.random.random())

    def put(self, messages, epochs):
        node = self.random.choice(self.load.targets())
        wipes = {node.name: node.wipes for node in self.ground.nodes}
        path = f"/ingest/{messages[0].run.source}/"
        if len(messages) == 1 and self.random.random() < 0.3:
            path = f"/sha256/{messages[0].digest}?source={messages[0].run.source}"
        try:
            status, _, text = self.connection(node.url).ask("PUT", path, body=b"".join(message.data for message in messages))
            answer = json.loads(text)
        except ERRORS as error:
            self.counts.add(self.counts.puts, type(error).__name__)
            self.rest(0.1)
            return f"PUT on {node.name}: {error!r}"
        self.counts.add(self.counts.puts, status if status < 400 else f"{status} {answer.get('code')}")
        self.load.take_answer(answer.get("messages", []), messages, epochs, wipes)
        self.counts.add(self.counts.by_node, node.name, len(answer.get("messages", [])))
        if status >= 500:
            self.rest(0.1)
        return f"PUT on {node.name}: {status}"


class LibraryPutter(Putter):
    """The same by `gribstore put`: it places for itself, as libgribstore does."""

    def put(self, messages, epochs):
        wipes = {node.name: node.wipes for node in self.ground.nodes}
        path = self.load.folder / f"{self.name}.grib"
        path.write_bytes(b"".join(message.data for message in messages))
        done = self.load.client().run("put", "--source", messages[0].run.source, "--retry", "3s", "--quiet", path, expected=None)
        self.counts.add(self.counts.puts, f"gribstore put: {done.returncode}")
        self.counts.commands += 1
        if done.returncode == 0:
            self.load.take_promises(messages, epochs, wipes, self.ground.min_replicas)
        self.rest(3 * self.load.put_pause_s)
        return f"gribstore put: {done.returncode}"


class Getter(Worker):
    """Reads what is owed, by its address on any node, by places asked for now, or by `gribstore get`."""

    def turn(self):
        promises = self.book.sample(self.random, 1)
        if not promises:
            self.rest(0.1)
            return
        way = self.random.choices((self.by_digest, self.by_location, self.by_command), weights=(60, 35, 3))[0]
        began = time.monotonic()
        way(promises[0])
        self.took(began, way.__name__)
        self.rest(self.load.get_pause_s * self.random.random())

    def note(self, way, outcome):
        self.counts.add(self.counts.reads, (way, outcome))

    def failed(self, way, promise, holders_since, began, text):
        """Was there a good way to a good copy, all the time and for long enough before? Then it had to work."""
        self.note(way, "failed")
        good = [since for since in holders_since() if since is not None]
        if good and min(good) < began - REACHABLE_S and self.book.find(promise.message.digest) is promise:
            self.load.findings.lost.append(f"{way}: {promise.message.run.path} {promise.message.digest} could not be read, and was reachable: {text}")

    def holders(self, promise):
        """Who has it now: asked before a read begins, as it may come to others meanwhile."""
        return [node for node in list(self.ground.nodes) if node.disk.has(promise.message.run.path, promise.message.digest)]

    def check(self, way, promise, data):
        if hashlib.sha256(data).hexdigest() == promise.message.digest:
            self.note(way, "ok")
        else:
            self.load.findings.wrong.append(f"{way}: other bytes for {promise.message.digest}")

    def by_digest(self, promise):
        node, holders = self.random.choice(self.load.targets()), self.holders(promise)
        began = time.monotonic()
        try:
            status, _, data = self.ask(node.url, "GET", f"/sha256/{promise.message.digest}")
        except ERRORS as error:
            status, data = 0, repr(error).encode()
        if status == 200:
            self.check("/sha256/", promise, data)
            return
        self.failed("/sha256/", promise, lambda: [self.ground.reachable_since(node, holder) for holder in holders], began,
                    f"{node.name}: {status} {data[:300]!r}")

    def by_location(self, promise):
        began = time.monotonic()
        try:
            status, _, text = self.ask(
                self.ground.indexer.url, "GET", f"/v1/fields?source={promise.message.run.source}&digest={promise.message.digest}&all=1")
            documents = json.loads(text)["fields"] if status == 200 else []
        except ERRORS:
            self.note("index", "failed")
            return
        if not documents:
            self.note("index", "not yet")
            return
        self.note("index", "ok")
        issue = next(issue for issue in [documents[0], *documents[0].get("older", [])] if issue["digest"] == promise.message.digest)
        tried = []
        for place in issue["locations"]:
            try:
                end = place["offset"] + place["length"] - 1
                status, _, data = self.ask(
                    self.ground.by_url(place["url"]).url, "GET", urllib.parse.urlsplit(place["url"]).path, headers={"Range": f"bytes={place['offset']}-{end}"})
            except ERRORS as error:
                status, data = 0, repr(error).encode()
            if status == 206:
                self.check("location", promise, data)
                return
            tried.append(f"{place['url']}: {status} {data[:100]!r}")
        # What an index says that was away is of a while ago.
        index = self.ground.index_since
        self.failed("location", promise, lambda: [max(up, index) for up in (self.ground.by_url(place["url"]).up_since for place in issue["locations"])
                                                  if up is not None and index is not None], began, "; ".join(tried))

    def by_command(self, promise):
        node, holders = self.random.choice(self.load.targets()), self.holders(promise)
        began = time.monotonic()
        done = Client(self.ground.indexer, node).run("get", "--quiet", "--retry", "30s", f"sha256:{promise.message.digest}", expected=None)
        self.counts.commands += 1
        if done.returncode == 0:
            self.check("gribstore get", promise, done.stdout)
            return
        if done.returncode == 7:
            self.load.findings.wrong.append(f"gribstore get {promise.message.digest}: {done.stderr!r}")

        def ways():
            """It knows the indexer and one node to begin with: one of them has to know the others."""
            entries = [since for since in (node.up_since, self.ground.index_since) if since is not None]
            return [max(holder.up_since, min(entries)) for holder in holders if holder.up_since is not None and entries]
        self.failed("gribstore get", promise, ways, began,
                    f"{done.returncode} {done.stderr[-300:]!r}")


class Rotator(Worker):
    """A run is retired and purged, and opened again, or another one comes in its place."""
    is_brief = False

    def state(self, run):
        with contextlib.suppress(*ERRORS):
            status, answer = self.connection(self.ground.indexer.url).json("GET", f"/v1/runs/{run.path}")
            return answer["state"] if status == 200 else None
        return None

    def insist(self, run, verb, wanted):
        """Asks until the run is in one of the states; False: the load has ended first."""
        while not self.load.stopped.is_set():
            if self.state(run) in wanted:
                return True
            with contextlib.suppress(*ERRORS):
                self.ask(self.ground.indexer.url, "POST", f"/v1/runs/{run.path}/{verb}")
            self.rest(0.3)
        return False

    def turn(self):
        self.load.rotate_now.wait(self.load.rotate_pause_s * self.random.uniform(0.7, 1.3))
        self.load.rotate_now.clear()
        if self.load.stopped.is_set():
            return
        run = self.load.open_runs()[0]
        self.load.close_run(run)
        if not self.insist(run, "retire?grace=1s", ("retired", "purged")):
            return
        while self.state(run) != "purged":
            self.rest(0.3)
            if self.load.stopped.is_set():
                return
        self.counts.purges += 1
        if self.random.random() < 0.6:
            if not self.insist(run, "reopen", ("filling", "ready")):
                return
            self.counts.reopened += 1
            self.load.open_run(run)
        else:
            self.load.open_run(self.load.next_run())


class Load:
    def __init__(self, ground, book, findings, fields, seed, folder, *, putters=3, getters=3, library_putters=1, rotate_pause_s=25,
                 put_pause_s=0.1, get_pause_s=0.03, fields_a_run=600, runs=4):
        self.ground, self.book, self.findings, self.fields, self.folder = ground, book, findings, fields, folder
        self.random = random.Random(f"{seed}/load")
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.rotate_now = threading.Event()
        self.going = threading.Event()
        self.going.set()
        self.under_way = 0
        self.counts = Counts()
        self.put_pause_s, self.get_pause_s, self.rotate_pause_s, self.fields_a_run = put_pause_s, get_pause_s, rotate_pause_s, fields_a_run
        self.sent = []
        self.runs_made = 0
        self.runs = []
        self.closed_runs = []
        for _ in range(runs):
            self.open_run(self.next_run())
        self.absent = set()  # names of nodes that are not asked: another one stands at their address
        self.threads = [*(Putter(self, f"{seed}/putter/{i}") for i in range(putters)),
                        *(LibraryPutter(self, f"{seed}/library/{i}") for i in range(library_putters)),
                        *(Getter(self, f"{seed}/getter/{i}") for i in range(getters)),
                        *([Rotator(self, f"{seed}/rotator")] if rotate_pause_s else [])]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.stopped.set()
        self.rotate_now.set()
        for thread in self.threads:
            thread.join(TIMEOUT_S + COMMAND_TIMEOUT_S)
            assert not thread.is_alive(), "a request was not answered"

    @contextlib.contextmanager
    def busy(self, counts):
        with self.lock:
            self.under_way += counts
        try:
            yield
        finally:
            with self.lock:
                self.under_way -= counts

    def pause(self):
        """Until what is under way has its answers, and no further."""
        self.going.clear()
        await_condition(lambda: self.under_way == 0, "what was under way has ended")

    def resume(self):
        self.going.set()

    def acknowledged_by(self):
        """Node asked -> messages acknowledged by it."""
        with self.counts.lock:
            return dict(self.counts.by_node)

    def client(self):
        """Any node to begin with: the others come from the map."""
        with self.lock:
            return Client(self.ground.indexer, self.random.choice(self.targets()))

    def targets(self):
        return [node for node in list(self.ground.nodes) if node.name not in self.absent]

    # --- runs ---

    def next_run(self):
        self.runs_made += 1
        return Run(("hres", "gfs")[self.runs_made % 2], (2026, 1 + self.runs_made // 112 % 12, 1 + self.runs_made // 4 % 28, 6 * (self.runs_made % 4)))

    def open_run(self, run):
        self.book.open_run(run)
        with self.lock:
            self.runs.append(run)

    def close_run(self, run):
        self.book.close_run(run)
        with self.lock:
            self.runs.remove(run)
            self.closed_runs.append(run)
            self.sent = [messages for messages in self.sent if all(message.run != run for message in messages)]

    def open_runs(self):
        with self.lock:
            return list(self.runs)

    def remember(self, messages):
        if sum(len(message.data) for message in messages) < 4 * MIB:
            with self.lock:
                self.sent = [*self.sent[-100:], messages]

    # --- acknowledgements ---

    def take_answer(self, lines, messages, epochs, wipes):
        """What an answer says of each message, against what the disks hold now."""
        sent = {message.digest: message for message in messages}
        for line in lines:
            message = sent.get(line["digest"])
            if message is None or line["length"] != len(message.data):
                self.findings.other.append(f"acknowledged, and never sent: {line}")
                continue
            nodes = {self.name_of(place["url"]) for place in line["locations"]}
            if line["copies"] != len(nodes) or line["copies"] < self.ground.min_replicas:
                self.findings.other.append(f"{line['copies']} copies were said, on {sorted(nodes)}: {line}")
            self.take(message, epochs, wipes, line["copies"], nodes)

    def take_promises(self, messages, epochs, wipes, copies):
        for message in {message.digest: message for message in messages}.values():
            self.take(message, epochs, wipes, copies, ())

    def take(self, message, epochs, wipes, copies, nodes):
        epoch, length = epochs[message.run], len(message.data)
        light = dataclasses.replace(message, data=b"")
        promise = self.book.promise(light, length, epoch, copies, nodes)
        self.counts.add(self.counts.copies, copies)
        self.counts.audited += 1
        if copies < self.ground.replicas and nodes:
            self.counts.add(self.counts.short, ", ".join(sorted(fault.name for _, fault in self.ground.standing)) or "no fault")
        holders = {node.name for node in [*self.ground.nodes, *self.ground.gone] if node.disk.holds(message.run.path, message.digest)}
        # On others than were named it may be by now: a stand-in gives up what an owner has. Excused: what was promised before the run
        # went, or a disk that was replaced meanwhile.
        if len(holders) >= copies or not self.book.is_owed(promise) or any(node.wipes != wipes.get(node.name) for node in self.ground.nodes):
            return
        self.findings.lost.append(f"{message.run.path} {message.digest}: {copies} copies were said (on {sorted(nodes)}), {sorted(holders)} have one")

    def name_of(self, url):
        node = self.ground.by_url(url)
        return node.name if node else url
