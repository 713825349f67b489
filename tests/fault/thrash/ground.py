"""The cluster that is thrashed: nodes on hosts of their own in several colos, an indexer and clients on a control host."""

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import threading
import time

from disks import Disk
from links import Links, NoLinks, own_mounts
from nodes import DrillNode
from own_mongod import OwnMongod
from processes import BIN, Client, EndedEarly, Indexer, await_condition
from shim import mount_small
from traffic import ERRORS, Connection

CONTROL = "control"
PORT = 8410
RESERVE = 4 << 20
STATE_STOPPED = "T"
SETTINGS = {"--insecure": None, "--sync-period": "2s", "--release-period": "2s", "--release-grace": "3s", "--loops": "2", "--scrub-rate": "0", "--pool-threads": "8"}


@functools.cache
def settings_of(program):
    """An older version does not know all of them."""
    known = subprocess.run([str(program), "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    return [word for flag, value in SETTINGS.items() if flag in known for word in (flag, value) if word is not None]


def peak_kib(pid):
    """0: it is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)
    return 0


class HostNode(DrillNode):
    """A storaged on a host of its own, under the shim (its clock), with a small disk. Its files are read by `disk`."""

    def __init__(self, name, folder, links, colo, disk_mib, arguments=(), program=None, shim=True):
        data = folder / f"{name}.disk"
        data.mkdir()
        if not mount_small(data, disk_mib << 20, "tmpfs"):
            raise OSError("a tmpfs could not be mounted")
        self.mounted = data
        super().__init__(name, folder, [*settings_of(program or BIN / "storaged"), *arguments], data=data / "data", shim=shim)
        self.links, self.colo = links, colo
        self.listen = f"{links.address(name)}:{PORT}"
        self.url = f"http://{self.listen}"
        self.say("--listen", self.listen)
        self.say("--url", self.url)
        self.say("--colo", colo)
        self.say("--reserve", RESERVE)
        if program is not None:
            self.command[0] = str(program)
        self.disk = Disk(self.data)
        self.wipes = 0
        self.up_since = None  # monotonic; None: it is down, or stands still
        self.quiet_since = 0.0
        self.old_log = 0

    def say(self, flag, value):
        """The last one of a flag holds: there is one only."""
        self.command[self.command.index(flag) + 1] = str(value)

    def start(self):
        assert self.process is None
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment,
                                            preexec_fn=self.links.on(self.name))
        return self

    def get_ready(self):
        with contextlib.suppress(*ERRORS):
            connection = self.connection(5)
            try:
                return connection.ask("GET", "/readyz")[0] == 200
            finally:
                connection.close()
        return False

    def wait_up(self):
        def ready():
            if self.process.poll() is not None:
                raise EndedEarly(self.describe(f"ended with {self.process.returncode}"))
            return self.get_ready()
        await_condition(ready, f"{self.name} is ready")
        self.up_since = time.monotonic()
        return self

    def blow(self):
        """SIGKILL."""
        self.up_since = None
        process, self.process = self.process, None
        process.send_signal(signal.SIGKILL)
        process.send_signal(signal.SIGCONT)
        process.wait()
        self.check_reports()
        return process.returncode == -signal.SIGKILL

    def freeze(self):
        self.up_since = None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)
        self.up_since = time.monotonic()

    def stands_still(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == STATE_STOPPED

    def wipe(self):
        """The disk is replaced by an empty one. The process is gone."""
        assert self.process is None
        self.wipes += 1
        shutil.rmtree(self.data)
        self.data.mkdir()
        self.disk.forget()

    def fill(self):
        """Nothing is left on its disk."""
        with open(self.mounted / "ballast", "wb", buffering=0) as file:
            for left in (1 << 20, 2 << 20, 3 << 20):  # the node writes meanwhile
                room = os.statvfs(self.mounted)
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), 0, max(1, room.f_bavail * room.f_frsize - left))
                    return

    def free(self):
        (self.mounted / "ballast").unlink()

    def fsck(self):
        """Findings of `storaged --fsck`, a line each, that are damage; the process is gone."""
        done = subprocess.run([str(BIN / "storaged"), "--fsck", "--json", "--data", str(self.data)], capture_output=True, text=True,
                              check=False, timeout=300)
        return [] if done.returncode == 0 else [f"{self.name}: exit {done.returncode}", *done.stdout.splitlines()[:5], done.stderr[-500:]]


class HostIndexer(Indexer):
    """On the control host, where this process is too."""

    def __init__(self, folder, links, nodes, catalog=None, arguments=()):
        super().__init__("indexer", folder, nodes, catalog, ["--insecure", "--grace", "2s", "--log-level", "warn", *arguments])
        self.listen = f"{links.address(CONTROL)}:8400"
        self.url = f"http://{self.listen}"
        self.command[self.command.index("--listen") + 1] = self.listen
        self.command += ["--url", self.url]


class Ground:
    """All of it, from nothing to gone. Everything is started by the thread that made it: children don't outlive theirs."""

    def __init__(self, folder, *, colos, random_, replicas=2, min_replicas=2, mongo=False, old_bin=None, shards=32, spare=20, disk_mib=512, arguments=()):
        try:
            own_mounts()
        except OSError as error:
            raise NoLinks(str(error)) from error
        self.folder, self.random, self.shards = folder, random_, shards
        self.replicas, self.min_replicas = replicas, min_replicas
        names = [f"n{place}" for place in range(1, len(colos) + 1)]
        self.spare = [f"s{place}" for place in range(1, spare + 1)]
        self.links = Links(BIN / "links", [CONTROL, *names, *self.spare])
        self.links.enter(CONTROL)
        self.arguments, self.disk_mib = arguments, disk_mib  # of memory, as far as they are used
        self.has_older = old_bin is not None
        self.memory = {}        # program -> KiB that one of its processes had at most
        self.nodes = [HostNode(name, folder, self.links, colo, disk_mib, arguments, program=old_bin / "storaged" if old_bin and place % 2 else None)
                      for place, (name, colo) in enumerate(zip(names, colos))]
        self.mongod = OwnMongod(folder) if mongo else None
        self.indexer = None
        self.lock = threading.Lock()
        self.bad_wires = {}     # (sender, receiver) -> None: it is bad, else since when it is good
        self.map = None
        self.old_maps = []
        self.index_since = None  # monotonic; the index has been there since
        self.gone = []          # nodes that were taken out of the map
        self.standing = []      # (end, fault), as the thrasher has them
        self.ended = []         # (when, name of a fault)

    # --- up and down ---

    def open(self):
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_up()
        self.map = self.first_map()
        for node in self.nodes:
            self.tell_map(node)
        for node in self.nodes:
            node.wait_up()
            node.command += ["--join", ",".join(other.url for other in self.nodes if other is not node)]
        catalog = self.mongod.create().uri if self.mongod else None
        self.indexer = HostIndexer(self.folder, self.links, self.nodes, catalog)
        self.start_indexer()
        self.client = Client(self.indexer, self.nodes[0])

    def start_indexer(self):
        self.indexer.start().wait_ready()
        self.index_since = time.monotonic()

    def kill_indexer(self):
        self.index_since = None
        self.indexer.kill()

    def close(self):
        if self.indexer is not None and self.indexer.process is not None:
            self.indexer.kill()
        if self.mongod is not None:
            self.mongod.kill()
        for node in [*self.nodes, *self.gone]:
            if node.process is not None:
                node.blow()
        self.links.close()

    def node(self, name):
        return next(node for node in [*self.nodes, *self.gone] if node.name == name)

    def by_url(self, url):
        return next((node for node in [*self.nodes, *self.gone] if url.startswith(node.url + "/") or url == node.url), None)

    def look_at_memory(self):
        """The kernel keeps each process's peak: what is missed is what it took in its last second before a kill."""
        for program, daemon in [("indexer", self.indexer), *(("storaged", node) for node in self.nodes)]:
            process = daemon.process
            if process is not None:
                self.memory[program] = max(self.memory.get(program, 0), peak_kib(process.pid))

    def memory_mib(self):
        return {program: round(kib / 1024) for program, kib in self.memory.items()}

    # --- the map ---

    def some_owners(self, map_=None):
        """For each shard other nodes, on different colos while there are enough; everybody has its share."""
        staying = {node["id"] for node in map_["nodes"] if node["state"] == "in"} if map_ else {node.name for node in self.nodes}
        nodes = [node for node in self.nodes if node.name in staying]
        load = {node.name: 0 for node in nodes}
        table = []
        for _ in range(self.shards):
            chosen = []
            while len(chosen) < min(self.replicas, len(nodes)):
                colos = {self.node(name).colo for name in chosen}
                free = [node for node in nodes if node.name not in chosen]
                apart = [node for node in free if node.colo not in colos] or free
                name = min(apart, key=lambda node: (load[node.name], self.random.random())).name
                load[name] += 1
                chosen.append(name)
            table.append(chosen)
        return table

    def first_map(self):
        connection = self.nodes[0].connection()
        cluster = json.loads(connection.ask("GET", "/cluster/map")[2])["cluster"]
        connection.close()
        return self.make_map(cluster, 1)

    def make_map(self, cluster, epoch):
        return {
            "cluster": cluster, "epoch": epoch, "shards": self.shards, "replicas": self.replicas, "min_replicas": self.min_replicas,
            "indexers": [f"http://{self.links.address(CONTROL)}:8400"],
            "nodes": [{"id": node.name, "url": node.url, "host": node.name, "colo": node.colo, "weight": 100, "state": "in"}
                      for node in self.nodes],
            "eras": [{"from": None, "owners": self.some_owners()}],
        }

    def tell_map(self, node):
        connection = node.connection()
        status, _, text = connection.ask("PUT", "/cluster/map", body=json.dumps(self.map))
        connection.close()
        assert status == 200, text

    def change_map(self, timeout_s=20):
        """The next epoch with other owners, by the indexer. False: it did not take it, or nobody knows."""
        connection = Connection(self.indexer.url, timeout_s)
        try:
            old = json.loads(connection.ask("GET", "/v1/cluster/map")[2])
            new = {**old, "epoch": old["epoch"] + 1, "eras": [{**era, "owners": self.some_owners(old)} for era in old["eras"]]}
            status, _, _ = connection.ask("PUT", "/v1/cluster/map", body=json.dumps(new), headers={"If-Match": str(old["epoch"])})
        except (*ERRORS, KeyError):
            return False
        finally:
            connection.close()
        if status == 200:
            self.take_map(new)
        return status == 200

    def take_map(self, new):
        if new["epoch"] > self.map["epoch"]:
            self.old_maps.append(self.map)
            self.map = new

    # --- nodes that come and go ---

    def new_node(self):
        """An empty node on a host that has none, running: nobody has it in a map yet."""
        name = self.spare.pop(0)
        node = HostNode(name, self.folder, self.links, self.random.choice(self.nodes).colo, self.disk_mib, self.arguments)
        node.command += ["--join", ",".join(other.url for other in self.nodes)]
        node.start()
        return node

    def leave(self, node):
        """It is in no map any more."""
        self.nodes = [other for other in self.nodes if other is not node]
        self.gone.append(node)

    def refresh_map(self):
        """The one that the indexer has: a change whose answer was lost may have been taken."""
        self.take_map(self.indexer.json("/v1/cluster/map"))
        return self.map

    def owners(self, digest, run):
        """Of a message: those of its run's era."""
        shard = int(digest[:4], 16) >> (16 - (self.shards.bit_length() - 1))
        year, month, day, hour = run.base_time
        time_ = f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:00:00Z"
        return [era for era in self.map["eras"] if era["from"] is None or era["from"] <= time_][-1]["owners"][shard]

    # --- wires ---

    def spoil(self, pairs):
        with self.lock:
            for pair in pairs:
                self.bad_wires[pair] = None

    def mend(self, pairs):
        with self.lock:
            for pair in pairs:
                self.bad_wires[pair] = time.monotonic()

    def wire_good_since(self, a, b):
        """Both ways; None: it is bad now."""
        with self.lock:
            since = [self.bad_wires.get(pair, 0.0) for pair in ((a, b), (b, a))]
        return None if None in since else max(since)

    def reachable_since(self, through, holder):
        """Since when nothing stands between a client of one node and a copy on another; None: something does."""
        times = [through.up_since, holder.up_since]
        if through is not holder:
            times.append(self.wire_good_since(through.name, holder.name))
        return None if None in times else max(times)
