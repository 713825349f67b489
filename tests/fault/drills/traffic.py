"""Ingest over several connections, and purges beside it, until told to stop or until the node is gone."""

import contextlib
import http.client
import json
import random
import socket
import threading
import time
import urllib.parse

from messages import Run, make, some_size

TIMEOUT_S = 30
AGAIN_S = 60  # a disk that was full has room again, a peer that was down is up
BODY_MESSAGES_MAX = 40
BODY_SIZE_MAX = 24 << 20
ERRORS = (OSError, http.client.HTTPException, ValueError)


class Connection:
    """One keep-alive connection, opened anew after an error."""

    def __init__(self, url, timeout_s=TIMEOUT_S):
        self.address = urllib.parse.urlsplit(url)
        self.timeout_s = timeout_s
        self.http = None

    def ask(self, method, path, body=None, headers=None):
        """Status, headers, body; any of ERRORS: there was no whole answer."""
        if self.http is None:
            self.http = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=self.timeout_s)
            self.http.connect()
            self.http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.http.request(method, path, body=body, headers=headers or {})
            answer = self.http.getresponse()
            return answer.status, answer.headers, answer.read()
        except ERRORS:
            self.close()
            raise

    def json(self, method, path, body=None):
        status, _, text = self.ask(method, path, body=None if body is None else json.dumps(body))
        return status, json.loads(text) if text else None

    def close(self):
        if self.http is not None:
            self.http.close()
            self.http = None


def make_runs(random_, count):
    """Runs of a few sources; some base_times are those of several."""
    sources = ["hres", "gfs", "ens-2"]
    return list(dict.fromkeys(Run(random_.choice(sources), (2026, 1 + place % 12, 1 + random_.randrange(3), 6 * random_.randrange(4)))
                              for place in range(count)))


class Putter(threading.Thread):
    """One client that PUTs."""

    def __init__(self, traffic, seed):
        super().__init__(daemon=True)
        self.traffic = traffic
        self.random = random.Random(seed)
        self.connection = Connection(self.random.choice(traffic.urls))
        self.statuses = {}

    def some_messages(self):
        """A body: one message or many, of one source; at times such as were sent before."""
        traffic = self.traffic
        source = self.random.choice(traffic.runs).source
        runs = [run for run in traffic.runs if run.source == source]
        if self.random.random() < 0.15 and traffic.sent:
            return list(self.random.choice(traffic.sent))
        count = 1 if self.random.random() < 0.5 else self.random.randint(2, traffic.body_messages)
        messages, size = [], 0
        for _ in range(count):
            run = self.random.choice(runs)
            size += (length := some_size(self.random, traffic.large and size == 0))
            messages.append(make(run, length, self.random))
            if size > BODY_SIZE_MAX:
                break
        traffic.sent.append(messages)
        del traffic.sent[:-200]
        return messages

    def put(self, messages):
        ledger = self.traffic.ledger
        epochs = {message.run: ledger.epoch(message.run) for message in messages}
        if len(messages) == 1 and self.random.random() < 0.3:
            path = f"/sha256/{messages[0].digest}?source={messages[0].run.source}"
        else:
            path = f"/ingest/{messages[0].run.source}/"
        try:
            status, _, text = self.connection.ask("PUT", path, body=b"".join(message.data for message in messages))
            answer = json.loads(text)
        except ERRORS:
            ledger.give_up(messages)
            raise
        self.statuses[status] = self.statuses.get(status, 0) + 1
        ledger.take(answer.get("messages", []), {message.digest: message for message in messages}, epochs)
        if status not in (200, 201):
            ledger.give_up(messages)
        return status

    def run(self):
        while not self.traffic.stopped.is_set():
            try:
                status = self.put(self.some_messages())
                if status >= 500:
                    self.traffic.stopped.wait(0.02)
            except ERRORS:
                if self.traffic.stops_with_node:
                    return
                self.traffic.stopped.wait(0.05)
        self.connection.close()


class Purger(threading.Thread):
    """Retires runs, purges them, and opens them again for their next incarnation."""

    def __init__(self, traffic, seed, pause_s):
        super().__init__(daemon=True)
        self.traffic = traffic
        self.random = random.Random(seed)
        self.pause_s = pause_s
        self.connections = [Connection(url) for url in traffic.urls]
        self.purged = 0

    def tell(self, run, book, state, incarnation):
        """On every node; the book moves once all have said yes."""
        book.version += 1
        for connection in self.connections:
            status, answer = connection.json("PUT", f"/cluster/runs/{run.path}",
                                             {"incarnation": incarnation, "version": book.version, "state": state})
            if status not in (200, 204):
                raise OSError(f"{state}: {status} {answer}")
        book.incarnation = incarnation
        book.told = (incarnation, book.version)

    def open_again(self, run, book):
        """Its next incarnation, whatever became of a purge before."""
        ledger = self.traffic.ledger
        with ledger.lock:
            book.purged = False
        self.tell(run, book, "filling", book.incarnation + 1)
        with ledger.lock:
            book.epoch += 1
            book.is_open = True

    def purge(self, run):
        ledger = self.traffic.ledger
        book = ledger.book(run)
        if not book.is_open and self.random.random() < 0.8:
            self.open_again(run, book)
            return
        with ledger.lock:  # from here on nothing of it is owed
            book.is_open = False
            book.purged = False
            book.epoch += 1
        self.tell(run, book, "retired", book.incarnation)
        for connection in self.connections:
            status, _, text = connection.ask(
                "DELETE", f"/data/{run.path}/?incarnation={book.incarnation}&version={book.version}")
            if status != 204:
                raise OSError(f"DELETE: {status} {text!r}")
        self.purged += 1
        if self.random.random() < 0.7:
            self.tell(run, book, "purged", book.incarnation)
            with ledger.lock:
                book.purged = True
        if book.purged and self.random.random() < 0.6:
            self.open_again(run, book)

    def run(self):
        while not self.traffic.stopped.wait(self.random.uniform(0, self.pause_s)):
            with contextlib.suppress(*ERRORS):
                self.purge(self.random.choice(self.traffic.runs))
        for connection in self.connections:
            connection.close()


class Traffic:
    """urls: of the nodes that take it. stops_with_node: a client leaves when its node does not answer."""

    def __init__(self, ledger, urls, seed, runs, *, putters=3, purge_pause_s=0, large=True, body_messages=BODY_MESSAGES_MAX,
                 stops_with_node=True):
        self.ledger, self.urls, self.runs = ledger, urls, runs
        self.large, self.body_messages, self.stops_with_node = large, body_messages, stops_with_node
        self.sent = []
        self.stopped = threading.Event()
        for run in runs:
            ledger.book(run)
        self.putters = [Putter(self, f"{seed}/{place}") for place in range(putters)]
        self.purger = Purger(self, f"{seed}/purger", purge_pause_s) if purge_pause_s else None
        self.threads = [*self.putters, *([self.purger] if self.purger else [])]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(TIMEOUT_S + 10)
            assert not thread.is_alive(), "a request was not answered"

    def statuses(self):
        total = {}
        for putter in self.putters:
            for status, count in putter.statuses.items():
                total[status] = total.get(status, 0) + count
        return total

    @property
    def purges(self):
        return self.purger.purged if self.purger else 0


def send_again(ledger, urls, findings):
    """Bodies without their answer: now each is stored or known. What belongs to a run that was purged is left out."""
    connection = Connection(urls[0])
    bodies, ledger.unacknowledged = ledger.unacknowledged, []
    for messages in bodies:
        messages = [message for message in messages if ledger.book(message.run).is_open]
        if not messages:
            continue
        epochs = {message.run: ledger.epoch(message.run) for message in messages}
        deadline = time.monotonic() + AGAIN_S
        while True:
            status, _, text = connection.ask("PUT", f"/ingest/{messages[0].run.source}/", body=b"".join(message.data for message in messages))
            # Each loop of a node looks at the disk once a second, and at the peers that were down.
            if status not in (503, 507) or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        if status not in (200, 201):
            findings.other.append(f"sent again: {status} {text[:300]!r}")
            continue
        lines = json.loads(text)["messages"]
        if [line["digest"] for line in lines] != [message.digest for message in messages]:
            findings.other.append(f"sent again: {len(lines)} lines for {len(messages)} messages")
        ledger.take(lines, {message.digest: message for message in messages}, epochs)
    connection.close()
