"""A campaign: load, faults by chance from a seed, quiet, and the last look at what is on the disks."""

import json
import pathlib
import random
import time
import traceback

from book import Book
from check import Findings
from faults import KINDS, NotNow
from fields import Fields
from ground import Ground
from judge import SETTLE_S, Judge
from links import NoLinks
from load import Load
from messages import Run
from processes import await_condition

AT_ONCE = 2
GAP_S = 1.5
NOT_NOW_S = 4.0     # what was refused is tried again after that
WEIGHT_A_CARD = 4
MEMORY_PERIOD_S = 1.0


class Deck:
    """Kinds of faults as cards: first each once, then each as often as its weight says, again and again. What can't be played now
    stays on top, so that each kind has its turn sooner or later."""

    def __init__(self, kinds, random_):
        self.kinds, self.random = kinds, random_
        self.cards = []  # (not before, kind)
        self.add(list(kinds))

    def add(self, kinds):
        self.random.shuffle(kinds)
        self.cards += [(0.0, kind) for kind in kinds]

    def draw(self, can):
        """The first one that can be played; None: there is none now."""
        return self.draw_held(can) or self.draw_new(can)

    def draw_held(self, can):
        now = time.monotonic()
        card = next((card for card in self.cards if card[0] <= now and can(card[1])), None)
        if card is None:
            return None
        self.cards.remove(card)
        return card[1]

    def draw_new(self, can):
        """Kinds that are held back, as they were refused just now, are not asked again by the new cards."""
        held = {kind for _, kind in self.cards}
        possible = [kind for kind in self.kinds if kind not in held and can(kind)]
        if not possible:
            return None
        self.add([kind for kind in self.kinds if kind not in held for _ in range(max(1, round(kind.weight / WEIGHT_A_CARD)))])
        return self.draw_held(can)

    def put_back(self, kind):
        self.cards.insert(0, (time.monotonic() + NOT_NOW_S, kind))


class Campaign:
    """A cluster under load that something befalls, and the last look. play() says what."""

    def __init__(self, folder, seed, *, colos, min_replicas=2, said=lambda text: None, load=None, **ground):
        self.folder, self.seed, self.said = pathlib.Path(folder), seed, said
        self.random = random.Random(f"{seed}/faults")
        self.findings, self.book = Findings(), Book()
        self.colos, self.min_replicas, self.settings, self.load_settings = colos, min_replicas, ground, load or {}
        self.number = 0
        self.fired, self.tried, self.told = {}, {}, {}
        self.plants = []  # defects, put in when the load has ended
        self.settle_s = None
        self.seconds = 0.0
        self.ground = self.load = None

    def play(self):
        raise NotImplementedError

    def run(self):
        began = time.monotonic()
        try:
            self.ground = Ground(self.folder, colos=self.colos, random_=random.Random(f"{self.seed}/ground"), min_replicas=self.min_replicas,
                                 **self.settings)
            self.ground.open()
            self.load = Load(self.ground, self.book, self.findings, Fields(), self.seed, self.folder, **self.load_settings).start()
            self.play()
            await_condition(lambda: self.book.owed() or self.findings.all(), "something is acknowledged")
            self.load.stop()
            if self.plants:
                self.told["planted"] = [plant(self) for plant in self.plants]
            self.quiet()
        except NoLinks:
            raise
        except Exception:  # noqa: BLE001
            self.findings.other.append(traceback.format_exc())
        finally:
            if self.load is not None:
                self.load.stopped.set()
            if self.ground is not None:
                self.ground.close()
        self.seconds = time.monotonic() - began
        return self

    def quiet(self):
        self.say(f"quiet; {len(self.book.owed())} messages are owed")
        for finding in self.findings.all()[:5]:
            self.say(finding)
        judge = Judge(self)
        self.settle_s = judge.settle()
        judge.check_reads()
        judge.check_index()
        self.told["given_up_by_others"] = judge.await_given_up()
        self.finish()
        judge.check_index()
        if self.settle_s is not None:
            self.told["check"] = judge.check_by_command()
        self.ground.look_at_memory()
        judge.check_at_rest()

    def finish(self):
        """What was begun and needs quiet to end."""

    def say(self, text):
        self.said(f"[{self.number}] {text}")

    # --- what is told of it ---

    def is_good(self):
        return not self.findings.all() and all(self.fired.values()) and self.book.acknowledged > 0

    def report(self):
        counts = self.load.counts if self.load else None
        return {
            "seed": self.seed, "good": self.is_good(), "seconds": round(self.seconds, 1), "settle_seconds": self.settle_s, "faults": sum(self.fired.values()),
            "fired": self.fired, "never_fired": [name for name, count in self.fired.items() if count == 0], "tried": {name: count for name, count in self.tried.items() if count != self.fired[name]},
            "acknowledged": self.book.acknowledged, "promises": len(self.book.promises), "given_up": self.book.given_up,
            "lost": len(self.findings.lost), "wrong": len(self.findings.wrong), "other": len(self.findings.other),
            **self.told, "max_rss_mib": self.ground.memory_mib() if self.ground else {}, **({} if counts is None else {
                "puts": {str(key): count for key, count in counts.puts.items()}, "copies": counts.copies, "short": counts.short,
                "reads": {" ".join(key): count for key, count in counts.reads.items()}, "purges": counts.purges, "reopened": counts.reopened,
                "slowest": [f"{seconds} s: {text}" for seconds, text in counts.slowest]}),
        }

    def report_text(self):
        return json.dumps(self.report(), indent=1)


class Thrash(Campaign):
    """Faults of all kinds by chance, one or two at a time."""

    def __init__(self, folder, seed, *, faults, kinds=None, length=1.0, **settings):
        super().__init__(folder, seed, **settings)
        self.wanted, self.length = faults, length
        self.kinds = [KINDS[name] for name in kinds or KINDS]
        self.side_run = Run("side", (2026, 2, 3, 0))
        self.fired = {kind.name: 0 for kind in self.kinds}
        self.tried = {kind.name: 0 for kind in self.kinds}
        self.standing = []      # (end, fault)
        self.late = []          # nodes that are coming back by themselves
        self.leaving = []       # nodes that are being emptied
        self.leaving_again = 0.0
        self.removed = 0

    # --- what faults ask ---

    def stands(self, *names):
        return any(fault.name in names for _, fault in self.standing)

    def is_alone(self, node):
        """It can't hear of anything now."""
        others = [other for other in self.ground.nodes if other is not node]
        return all(self.ground.reachable_since(node, other) is None for other in others)

    def starting(self, node):
        """It is ready as soon as it can hear of the others."""
        self.late.append(node)

    def only_on(self, node):
        """Promises of which no other disk has a copy."""
        others = [other for other in self.ground.nodes if other is not node]
        owed = self.book.owed()
        held = {}
        for other in others:
            for path in {promise.message.run.path for promise in owed.values()}:
                held.setdefault(path, set()).update(other.disk.digests(path))
        return [promise for digest, promise in owed.items() if digest not in held.get(promise.message.run.path, ())]

    # --- the course of it ---

    def play(self):
        self.ground.standing = self.standing
        deck = Deck(self.kinds, self.random)
        while self.is_wanting() and not self.is_hopeless():  # again, where one of the last did not fire
            self.thrash(deck)
            self.end_all()

    def is_wanting(self):
        """There are not enough faults yet, with those that stand."""
        return sum(self.fired.values()) + len(self.standing) < self.wanted or self.lacking()

    def thrash(self, deck):
        next_at, memory_at = time.monotonic() + 1, 0.0
        while self.is_wanting() and not self.is_hopeless():
            self.end_due(deck)
            self.look_at_late()
            self.look_at_leaving()
            if time.monotonic() >= next_at and len(self.standing) < AT_ONCE:
                self.begin_some(deck)
                next_at = time.monotonic() + self.length * self.random.uniform(0, GAP_S)
            if time.monotonic() >= memory_at:
                self.ground.look_at_memory()
                memory_at = time.monotonic() + MEMORY_PERIOD_S
            time.sleep(0.05)

    def lacking(self):
        """Kinds that have not fired yet, and don't stand."""
        return [kind for kind in self.kinds if self.fired[kind.name] == 0 and not self.stands(kind.name)]

    def is_hopeless(self):
        return self.findings.lost or self.findings.wrong or self.number > 4 * self.wanted + 40

    def begin_some(self, deck):
        kind = deck.draw(lambda kind: kind.can(self) and not self.is_busy(kind) and not (kind.needs_node and not self.free_nodes()))
        if kind is None:
            return
        self.number += 1
        fault = kind(self, self.random.choice(self.free_nodes()) if kind.needs_node else None)
        self.tried[kind.name] += 1
        try:
            fault.begin()
        except NotNow as reason:
            self.say(f"{fault.describe()}: not now: {reason}")
            deck.put_back(kind)
            return
        length = self.length * self.random.uniform(*kind.length_s)
        self.say(f"{fault.describe()}, {length:.1f} s")
        self.standing.append((time.monotonic() + length, fault))

    def is_busy(self, kind):
        """Two of a kind at once would undo each other; so do two that play with the wires between colos."""
        names = {fault.name for _, fault in self.standing}
        wires = {"cut-one-way", "cut-node", "cut-colos", "flapping", "slow", "lossy"}
        return kind.name in names or (kind.name in wires and names & wires)

    def free_nodes(self):
        taken = {fault.node for _, fault in self.standing} | set(self.late) | set(self.leaving)
        return [node for node in self.ground.nodes if node not in taken and node.up_since is not None]

    def end_due(self, deck):
        for due in [entry for entry in self.standing if entry[0] <= time.monotonic()]:
            self.standing.remove(due)
            self.end(due[1])
            if not due[1].fired:
                deck.put_back(type(due[1]))

    def end(self, fault):
        fault.end()
        self.ground.ended = [*self.ground.ended[-20:], (time.monotonic(), fault.describe())]
        self.fired[fault.name] += fault.fired
        if not fault.fired:
            self.say(f"{fault.describe()}: did not fire")

    def look_at_late(self):
        for node in list(self.late):
            if node.process.poll() is not None:
                raise AssertionError(node.describe(f"ended with {node.process.returncode}"))
            if node.get_ready():
                node.up_since = time.monotonic()
                self.late.remove(node)

    def look_at_leaving(self):
        """A node that is empty by now is taken out."""
        for node in list(self.leaving):
            if time.monotonic() < self.leaving_again or self.stands("kill-indexer", "kill-database", "stop", "stranger"):
                return
            self.leaving_again = time.monotonic() + 3
            done = self.load.client().run("cluster", "remove", node.name, "--yes", "--quiet", "--retry", "1s", expected=None)
            if done.returncode == 0:
                self.leaving.remove(node)
                self.ground.refresh_map()
                self.ground.leave(node)
                node.up_since = None  # before it leaves: from here on nobody is answered
                node.leave()
                self.removed += 1
                self.say(f"{node.name} is empty, and was removed")

    def end_all(self):
        while self.standing:
            self.end(self.standing.pop()[1])
        self.ground.links.heal()
        for node in list(self.late):
            node.wait_up()
        self.late.clear()

    def finish(self):
        """Who was being emptied can be taken out now. Older nodes don't give anything up."""
        if self.ground.has_older:
            return
        deadline = time.monotonic() + SETTLE_S
        while self.leaving and time.monotonic() < deadline:
            self.look_at_leaving()
            time.sleep(0.3)
        for node in self.leaving:
            self.findings.other.append(f"{node.name} was evacuated, and can't be removed")
