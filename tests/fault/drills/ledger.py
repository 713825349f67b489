"""What was acknowledged to the drill: kept on its own side, believed over anything that a node says later."""

import dataclasses
import threading


@dataclasses.dataclass
class Acknowledged:
    run: object
    epoch: int     # of the run when the PUT began
    length: int
    places: list   # (url, offset, length)
    round: int


@dataclasses.dataclass
class RunBook:
    """A run as the drill has it. Messages are owed while it is open, those of its present epoch."""
    epoch: int = 0
    is_open: bool = True
    incarnation: int = 1
    version: int = 0
    purged: bool = False      # that was acknowledged, and nothing was told since
    told: tuple = (1, 0)      # the highest state that was acknowledged


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.acknowledged = {}
        self.count = 0
        self.runs = {}
        self.unacknowledged = []
        self.invented = []
        self.round = 0

    def book(self, run):
        with self.lock:
            return self.runs.setdefault(run, RunBook())

    def epoch(self, run):
        return self.book(run).epoch

    def take(self, lines, sent, epochs):
        """Lines of an answer against what was sent: digest -> message."""
        with self.lock:
            for line in lines:
                message = sent.get(line["digest"])
                if message is None or line["length"] != len(message.data):
                    self.invented.append(line)
                    continue
                places = [(at["url"], at["offset"], at["length"]) for at in line["locations"]]
                if line["digest"] not in self.acknowledged or self.acknowledged[line["digest"]].epoch != epochs[message.run]:
                    self.count += 1
                self.acknowledged[line["digest"]] = Acknowledged(message.run, epochs[message.run], len(message.data), places, self.round)

    def give_up(self, messages):
        """A body without its answer: it may be there or not; it is sent again later."""
        with self.lock:
            self.unacknowledged.append(messages)

    def owed(self):
        """digest -> Acknowledged, of what has to be there."""
        with self.lock:
            return {digest: ack for digest, ack in self.acknowledged.items() if self.is_owed(ack)}

    def is_owed(self, ack):
        return self.runs[ack.run].is_open and self.runs[ack.run].epoch == ack.epoch
