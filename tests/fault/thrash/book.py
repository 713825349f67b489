"""What was acknowledged, with how many copies, and where: the thrasher's own side of it."""

import dataclasses
import threading

from ledger import RunBook


@dataclasses.dataclass
class Promise:
    """One message, as its last acknowledgement has it."""
    message: object  # messages.Message, without its bytes
    epoch: int       # of the run when the PUT began
    copies: int      # that were said; least, where several acknowledgements differ
    nodes: tuple     # names that the answer placed copies on; (): it did not say
    length: int


class Book:
    def __init__(self):
        self.lock = threading.Lock()
        self.runs = {}
        self.promises = {}       # digest -> Promise
        self.acknowledged = 0    # each PUT of each message
        self.given_up = 0        # messages that may be gone: the only disk with them was wiped

    def run(self, run):
        with self.lock:
            return self.runs.setdefault(run, RunBook())

    def epochs(self, messages):
        return {message.run: self.run(message.run).epoch for message in messages}

    def promise(self, message, length, epoch, copies, nodes):
        with self.lock:
            self.acknowledged += 1
            promise = self.promises[message.digest] = Promise(message, epoch, copies, tuple(nodes), length)
            return promise

    def is_owed(self, promise):
        run = self.runs[promise.message.run]
        return run.is_open and run.epoch == promise.epoch

    def owed(self):
        """digest -> Promise, of what has to be there."""
        with self.lock:
            return {digest: promise for digest, promise in self.promises.items() if self.is_owed(promise)}

    def find(self, digest):
        """The promise, if it is owed now."""
        with self.lock:
            promise = self.promises.get(digest)
            return promise if promise is not None and self.is_owed(promise) else None

    def sample(self, random_, count):
        """Some that are owed, newer ones rather."""
        with self.lock:
            digests = list(self.promises)
            chosen = [digests[-1 - min(int(random_.expovariate(1 / 200)), len(digests) - 1)] if random_.random() < 0.5 else random_.choice(digests)
                      for _ in range(count if digests else 0)]
            return [self.promises[digest] for digest in chosen if self.is_owed(self.promises[digest])]

    def give_up(self, digest):
        with self.lock:
            if self.promises.pop(digest, None) is not None:
                self.given_up += 1

    def close_run(self, run):
        """From here on nothing of it is owed."""
        with self.lock:
            book = self.runs.setdefault(run, RunBook())
            book.is_open = False
            book.epoch += 1
            self.promises = {digest: promise for digest, promise in self.promises.items() if promise.message.run != run}

    def open_run(self, run):
        with self.lock:
            book = self.runs.setdefault(run, RunBook())
            book.epoch += 1
            book.is_open = True
