"""Trials of one promise each: a rebalance that is killed again and again, colos cut from each other, any one node's death."""

import hashlib
import time

from judge import Judge
from processes import await_condition
from thrash import Campaign
from traffic import ERRORS, Connection

STEADY_MESSAGES = 400
KILLS_A_MOVE = 10


class Trial(Campaign):
    name = ""
    about = ""

    def await_messages(self, count):
        await_condition(lambda: len(self.book.owed()) >= count or self.findings.lost or self.findings.wrong, f"{count} messages are owed")


class Rebalance(Trial):
    """The map gets other owners again and again, slowly carried out, and nodes are killed meanwhile."""
    name, about = "rebalance", "kill -9 at random moments while shards move to other nodes, readers and writers beside it"

    def __init__(self, folder, seed, *, faults, **settings):
        settings["load"] = {"rotate_pause_s": 0, "fields_a_run": 100000, "putters": 2, "put_pause_s": 2}
        super().__init__(folder, seed, arguments=["--sync-rate", "2MiB"], **{**settings, "disk_mib": 1024})
        self.wanted = faults
        self.fired = {"kill": 0, "kill-indexer": 0, "map": 0}
        self.told = {"killed_while_moving": 0, "resumed_s": []}

    def is_moving(self):
        return bool(Judge(self).lacking(1))

    def play(self):
        self.await_messages(STEADY_MESSAGES)
        while self.fired["kill"] < self.wanted and not self.findings.lost and not self.findings.wrong:
            self.fired["map"] += self.ground.change_map()
            for _ in range(KILLS_A_MOVE):
                time.sleep(self.random.uniform(0, 0.7))
                self.kill_some()
            self.let_it_end()

    def let_it_end(self):
        """What was moved of it is not moved again: it comes to its end, with writers beside it."""
        began = time.monotonic()
        owed = set(self.book.owed())
        await_condition(lambda: not any(digest in owed for digest, _ in Judge(self).lacking()), "shards are where the map has them")
        self.told["resumed_s"].append(round(time.monotonic() - began, 1))

    def kill_some(self):
        self.number += 1
        moving = self.is_moving()
        if self.random.random() < 0.1:
            self.ground.kill_indexer()
            self.ground.start_indexer()
            self.fired["kill-indexer"] += 1
            return
        node = self.random.choice(self.ground.nodes)
        self.fired["kill"] += node.blow()
        self.told["killed_while_moving"] += moving
        time.sleep(self.random.uniform(0, 0.5))
        node.start().wait_up()
        self.say(f"{node.name} was killed{', while shards moved' if moving else ''}")


class Partition(Trial):
    """Two colos, each with writers, can't speak to each other for a while."""
    name, about = "partition", "two colos cut from each other, writes on both sides; how long until they hold the same"
    cut_s = 25.0

    def __init__(self, folder, seed, *, faults, **settings):
        settings["load"] = {"rotate_pause_s": 0, "putters": 4, "library_putters": 0}
        super().__init__(folder, seed, **settings)
        self.wanted = max(1, faults)
        self.fired = {"cut-colos": 0}
        self.told = {"healed_s": [], "acknowledged_in_each_colo": []}

    def sides(self):
        return [[node for node in self.ground.nodes if node.colo == colo] for colo in sorted({node.colo for node in self.ground.nodes})]

    def play(self):
        for round_ in range(self.wanted):
            if round_ > 0:
                self.resume_load()
            self.await_messages(STEADY_MESSAGES * (round_ + 1))
            self.cut_and_heal()
            self.number += 1

    def cut_and_heal(self):
        one, other = self.sides()[:2]
        pairs = [pair for a in one for b in other for pair in ((a.name, b.name), (b.name, a.name))]
        before = sum(self.ground.links.counts(*pair)[1] for pair in pairs)
        self.ground.spoil(pairs)
        for pair in pairs:
            self.ground.links.cut(*pair)
        time.sleep(self.cut_s / 3)  # by now each side has given the other up
        marks = self.load.acknowledged_by()
        time.sleep(self.cut_s * 2 / 3)
        now = self.load.acknowledged_by()
        by_side = [sum(now.get(node.name, 0) - marks.get(node.name, 0) for node in side) for side in (one, other)]
        self.told["acknowledged_in_each_colo"].append(by_side)
        can = self.min_replicas == 1 or min(len(one), len(other)) >= self.min_replicas
        if can and 0 in by_side:
            self.findings.other.append(f"the colos took {by_side} messages while they were cut from each other")
        self.load.pause()
        for pair in pairs:
            self.ground.links.join(*pair)
        self.ground.mend(pairs)
        self.await_same(time.monotonic())
        self.fired["cut-colos"] += sum(self.ground.links.counts(*pair)[1] for pair in pairs) > before

    def resume_load(self):
        self.load.resume()

    def await_same(self, joined):
        """Owners have what they owe, on disk; nodes' and index's fingerprints agree."""
        judge = Judge(self)
        if judge.settle() is None:
            return
        on_disk = time.monotonic() - joined
        judge.check_index()
        whole = time.monotonic() - joined
        self.told["healed_s"].append({"owners": round(on_disk, 1), "fingerprints": round(whole, 1)})
        self.say(f"the same on all owners after {on_disk:.1f} s, fingerprints of index and nodes after {whole:.1f} s")


class Death(Trial):
    """Each node in turn is dead; everything is read, by every way."""
    name, about = "death", "any one node is killed: every message by its locations, by /sha256/ on any node, by `gribstore get`"

    def __init__(self, folder, seed, *, faults, **settings):
        settings["load"] = {"rotate_pause_s": 0, "getters": 0}
        super().__init__(folder, seed, **settings)
        self.fired = {"kill": 0}
        self.told = {"read": {}}

    def play(self):
        self.await_messages(STEADY_MESSAGES)
        self.load.pause()
        judge = Judge(self)
        judge.settle()
        judge.check_index()
        for node in list(self.ground.nodes):
            self.number += 1
            self.fired["kill"] += node.blow()
            self.read_all(node)
            node.start().wait_up()
            self.await_known()

    def await_known(self):
        """Who came back is taken for gone until somebody looks: that a second one dies meanwhile is not what is tried here."""
        def known():
            return all(" 0" not in line[-3:] for node in self.ground.nodes for line in node.get("/metrics").text.splitlines()
                       if line.startswith("gribstore_peer_up{"))
        await_condition(known, "all nodes know that all are up")

    def read_all(self, dead):
        alive = [node for node in self.ground.nodes if node is not dead]
        owed = self.book.owed()
        connections = {node.name: Connection(node.url, 60) for node in self.ground.nodes}
        for number, (digest, promise) in enumerate(owed.items()):
            node = alive[number % len(alive)]
            status, _, data = connections[node.name].ask("GET", f"/sha256/{digest}")
            self.take("/sha256/", promise, status == 200, data, f"{status} {data[:200]!r}")
            self.by_location(connections, promise)
        self.by_command(owed)
        for connection in connections.values():
            connection.close()

    def take(self, way, promise, is_read, data, text):
        self.told["read"][way] = self.told["read"].get(way, 0) + 1
        if not is_read:
            self.findings.lost.append(f"{way}: {promise.message.digest}: {text}")
        elif hashlib.sha256(data).hexdigest() != promise.message.digest:
            self.findings.wrong.append(f"{way}: other bytes for {promise.message.digest}")

    def by_location(self, connections, promise):
        """As a reader does it: the first location, then the next."""
        answer = self.ground.indexer.json(f"/v1/fields?source={promise.message.run.source}&digest={promise.message.digest}&all=1")["fields"]
        issues = [issue for document in answer for issue in [document, *document.get("older", [])] if issue["digest"] == promise.message.digest]
        tried = []
        for place in issues[0]["locations"] if issues else []:
            node = self.ground.by_url(place["url"])
            try:
                end = place["offset"] + place["length"] - 1
                status, _, data = connections[node.name].ask("GET", place["url"][len(node.url):], headers={"Range": f"bytes={place['offset']}-{end}"})
            except ERRORS as error:
                tried.append(f"{node.name}: {error!r}")
                continue
            if status == 206:
                self.take("location", promise, True, data, "")
                return
            tried.append(f"{node.name}: {status}")
        if not issues:  # nothing that ecCodes knows: it is in quarantine, and has its places there
            return
        self.take("location", promise, False, b"", "; ".join(tried))

    def by_command(self, owed):
        digests = [f"sha256:{digest}" for digest in list(owed)[:200]]
        done = self.load.client().run("get", "--quiet", *digests, expected=None)
        whole = sum(owed[digest.split(":")[1]].length for digest in digests)
        self.told["read"]["gribstore get"] = self.told["read"].get("gribstore get", 0) + len(digests)
        if done.returncode != 0 or len(done.stdout) != whole:
            self.findings.lost.append(f"gribstore get: {done.returncode}, {len(done.stdout)} of {whole} bytes: {done.stderr[-300:]!r}")


TRIALS = {trial.name: trial for trial in (Rebalance, Partition, Death)}
