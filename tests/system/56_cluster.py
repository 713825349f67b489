"""Nodes come and go while a reader reads all the time: what a plan says is what moves, and no read fails."""

import hashlib
import json
import os
import random
import re
import subprocess
import threading
import time

import pytest
import requests

from mongod import free_port
from processes import BIN, Cluster, await_condition

RUN, LATER, LAST = "20200102T0000Z", "20200102T1200Z", "20200103T0000Z"
GRACE_S = 3
QUICK = ["--sync-period", "500ms", "--release-period", "500ms", "--release-grace", f"{GRACE_S}s"]
MESSAGES = 400
ONCE = ["--yes", "--wait", "--timeout", "5min", "--json"]


def shown(cluster):
    return json.loads(cluster.client.run("cluster", "show", "--json").stdout)


def shown_node(cluster, name):
    return next(node for node in shown(cluster)["nodes"] if node["id"] == name)


def change(cluster, *arguments, expected=0):
    """A change without a question; what it printed, or what it refused."""
    done = cluster.client.run("cluster", *arguments, *ONCE, expected=expected)
    if expected != 0:
        return json.loads(done.stderr.decode().splitlines()[-1])["error"]
    return json.loads(done.stdout)


def plan(cluster, *arguments):
    return json.loads(cluster.client.run("cluster", "plan", *arguments, "--json").stdout)


def the_map(cluster):
    return cluster.indexer.json("/v1/cluster/map")


class Reader(threading.Thread):
    """Reads fields at locations freshly asked for, and by digest from any node, until it is told to stop."""

    def __init__(self, cluster, source):
        super().__init__(daemon=True)
        self.cluster, self.source = cluster, source
        self.stopping = threading.Event()
        self.reads, self.failures = 0, []
        self.nodes = list(cluster.nodes)
        self.random = random.Random(56)
        self.session = requests.Session()
        self.asked_at = 0

    def look(self, url, digest, **options):
        answer = self.session.get(url, timeout=60, **options)
        good = answer.status_code in (200, 206) and hashlib.sha256(answer.content).hexdigest() == digest
        # A machine that slept longer than the grace read nothing that was fresh.
        if not good and time.monotonic() - self.asked_at < GRACE_S:
            self.failures.append(f"{url}: {answer.status_code} {answer.text[:200] if answer.status_code >= 300 else len(answer.content)}")
        self.reads += good

    def look_at(self, field):
        at = self.random.choice(field["locations"])
        last = at["offset"] + at["length"] - 1
        self.look(at["url"], field["digest"], headers={"Range": f"bytes={at['offset']}-{last}"})
        self.look(f"{self.random.choice(self.nodes).url}/sha256/{field['digest']}", field["digest"])

    def run(self):
        try:
            while not self.stopping.is_set():
                self.asked_at = time.monotonic()
                answer = self.session.get(f"{self.cluster.indexer.url}/v1/fields", params={"source": self.source, "limit": 10000}, timeout=60)
                fields = answer.json()["fields"]
                for field in self.random.sample(fields, min(10, len(fields))):
                    self.look_at(field)
        except Exception as error:  # what ended it is a failure of the test
            self.failures.append(repr(error))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join()
        assert not self.failures, self.failures[:5]
        assert self.reads > 0


def synced_bytes(nodes):
    return {node.name: node.metric("gribstore_synced_bytes_total") for node in nodes}


def held_bytes(node):
    return sum(file["size"] for run in node.json("/cluster/runs")["runs"] for file in run["files"])


def held_base_times(node):
    return {re.sub("[-:]|00Z$", "", run["base_time"]) + "Z" for run in node.json("/cluster/runs")["runs"] if run["files"]}


def await_settled(cluster):
    """A PUT on a busy machine may have left copies with others than their owners: they go home first."""
    def settled():
        return all(node.get("pull_messages_left") == node.get("give_up_messages_left") == 0 for node in shown(cluster)["nodes"])
    await_condition(settled, "all is where it belongs")


@pytest.fixture
def grown(daemons, stamped):
    """Three nodes with data, and a fourth on its own."""
    nodes = [daemons.node(f"n{place}", colo=colo, arguments=QUICK) for place, colo in ((1, "a"), (2, "b"), (3, "c"))]
    cluster = Cluster(nodes, daemons.indexer(nodes, ready=False)).init()
    cluster.indexer.wait_ready()
    nodes[0].ingest("tour", stamped(RUN, MESSAGES))
    cluster.indexer.await_messages("tour", MESSAGES, copies=2)
    await_settled(cluster)
    return cluster


def check_moved(cluster, said, before):
    """What nodes pulled since is what was said, within a tenth."""
    after = synced_bytes(cluster.nodes)
    for node in said["nodes"]:
        moved = after.get(node["id"], 0) - before.get(node["id"], 0)
        assert abs(moved - node["in"]["bytes"]) <= 0.1 * node["in"]["bytes"], (node["id"], moved, node["in"])


def check_balanced(cluster, era=-1):
    """Equal nodes: everybody who has part in an era, and in the newest all have, is within one shard of the others."""
    owners = the_map(cluster)["eras"][era]["owners"]
    members = {name for of in owners for name in of} if era == 0 else {node["id"] for node in the_map(cluster)["nodes"] if node["state"] == "in"}
    counts = [sum(name in of for of in owners) for name in members]
    assert max(counts) - min(counts) <= 1, counts
    assert all(len(of) == 2 for of in owners)


def test_a_cluster_grows_and_shrinks_while_it_is_read(daemons, grown, stamped, tmp_path):
    cluster = grown
    # From the next base time on: nothing moves, and what comes then is shared with the new one.
    fourth = daemons.node("n4", colo="d", arguments=[*QUICK, "--weight", "100", "--join", ",".join(node.url for node in cluster.nodes)])
    with Reader(cluster, "tour"):
        before = synced_bytes(cluster.nodes)
        said = change(cluster, "add", fourth.url)
        assert said["in"] == {"messages": 0, "bytes": 0} and len(the_map(cluster)["eras"]) == 2
        cluster.nodes.append(fourth)
        assert synced_bytes(cluster.nodes) == {**before, "n4": 0}
        cluster.nodes[0].ingest("tour", stamped(LATER, MESSAGES))
        cluster.indexer.await_messages("tour", 2 * MESSAGES, copies=2)
        await_settled(cluster)
        assert held_base_times(fourth) == {LATER}
        check_balanced(cluster)

        # Into all eras: its share moves, no more, and the plan knew.
        fifth = daemons.node("n5", colo="e", arguments=QUICK)
        kept = tmp_path / "grow.plan"
        cluster.client.run("cluster", "plan", "add", fifth.url, "--all-eras", "-o", kept)
        assert the_map(cluster)["epoch"] == 2  # nothing was changed
        before = {**synced_bytes(cluster.nodes), "n5": 0}
        said = change(cluster, "apply", kept)
        assert 0 < said["in"]["bytes"] <= 1.1 * said["least_bytes"]
        cluster.nodes.append(fifth)
        check_moved(cluster, said, before)
        check_balanced(cluster, 0)
        check_balanced(cluster)
        cluster.client.run("cluster", "apply", kept, "--yes", expected=6)  # the map is another one

        # Away with one: it is empty at the end.
        before = synced_bytes(cluster.nodes)
        said = change(cluster, "evacuate", "n2")
        assert 0 < said["in"]["bytes"] <= 1.1 * said["least_bytes"]
        check_moved(cluster, said, before)
        assert held_bytes(cluster.nodes[1]) == 0
        await_condition(lambda: shown_node(cluster, "n2")["grace_files"] == 0, "the grace of its files is over")
    change(cluster, "remove", "n2")
    # No new runs: what it holds stays until it is purged.
    before = synced_bytes(cluster.nodes)
    said = change(cluster, "retire", "n1")
    assert said["in"] == said["out"] == {"messages": 0, "bytes": 0}
    assert synced_bytes(cluster.nodes) == before
    assert "owns shards" in change(cluster, "remove", "n1", expected=6)["detail"]
    cluster.nodes[2].ingest("tour", stamped(LAST, MESSAGES))
    cluster.indexer.await_messages("tour", 3 * MESSAGES, copies=2)
    await_condition(lambda: held_base_times(cluster.nodes[0]) == {RUN, LATER}, "the retiring node has nothing new")
    for base_time in (RUN, LATER):
        cluster.client.run("purge", "tour", base_time, "--grace", "0s", "--yes")
    await_condition(lambda: held_bytes(cluster.nodes[0]) == 0, "the retired node is empty")
    await_condition(lambda: shown_node(cluster, "n1")["grace_files"] == 0, "the grace of what it stood in for is over")
    assert len(change(cluster, "remove", "n1")["after"]["eras"]) == 1  # nothing needs the older ones any more
    assert {node["id"] for node in the_map(cluster)["nodes"]} == {"n3", "n4", "n5"}
    cluster.indexer.await_messages("tour", MESSAGES, copies=2)


def test_a_node_that_was_to_go_is_kept(grown, stamped):
    cluster = grown
    n3 = cluster.nodes[2]
    assert "n3 is in already" in change(cluster, "keep", "n3", expected=6)["detail"]
    # Retiring: nothing has moved, nothing does, and new runs come to it again.
    change(cluster, "retire", "n3")
    assert plan(cluster, "keep", "n3")["in"]["bytes"] == 0
    assert shown_node(cluster, "n3")["state"] == "retiring"
    said = change(cluster, "keep", "n3")
    assert said["in"] == said["out"] == {"messages": 0, "bytes": 0}
    cluster.nodes[0].ingest("tour", stamped(LATER, MESSAGES))
    cluster.indexer.await_messages("tour", 2 * MESSAGES, copies=2)
    await_condition(lambda: LATER in held_base_times(n3), "it has its share of the new run")
    await_settled(cluster)
    # Evacuating, and nothing has moved yet: it pulls what it lacks of its share alone.
    held = held_messages(n3)
    cluster.client.run("cluster", "pause", "--yes")
    cluster.client.run("cluster", "evacuate", "n3", "--yes")
    assert shown_node(cluster, "n3")["give_up_messages_left"] == held
    cluster.client.run("cluster", "keep", "n3", "--yes")
    cluster.client.run("cluster", "resume", "--yes", "--wait")
    check_balanced(cluster, 0)
    check_balanced(cluster)
    # Counted out, and it comes back as it was.
    n3.kill()
    change(cluster, "remove", "n3", "--lost")
    n3.start().wait_ready()
    said = change(cluster, "keep", "n3")
    assert said["action"] == "keep" and shown_node(cluster, "n3")["state"] == "in"
    check_balanced(cluster, 0)
    cluster.indexer.await_messages("tour", 2 * MESSAGES, copies=2)


def move_to_new_address(node):
    """As an admin edits its settings: where it listens, and by which name."""
    node.listen = f"127.0.0.1:{free_port()}"
    for flag, value in (("--listen", node.listen), ("--url", f"http://{node.listen}")):
        node.command[node.command.index(flag) + 1] = value
    return f"http://{node.listen}"


def urls_in_index(cluster, name):
    return {at["url"].split("/data/")[0] for field in cluster.indexer.fields(source="tour") for at in field["locations"] if at["node"] == name}


def held_messages(node):
    return sum(file["count"] for run in node.json("/cluster/runs")["runs"] for file in run["files"])


class Asked:
    """A command on a terminal."""

    def __init__(self, cluster, *arguments):
        self.ours, theirs = os.openpty()
        command = [str(BIN / "gribstore"), *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=cluster.client.environment)
        os.close(theirs)
        self.told = ""

    def read(self):
        try:
            chunk = os.read(self.ours, 65536).decode(errors="replace")
        except OSError:  # it has ended
            chunk = ""
        self.told += chunk
        return chunk

    def await_question(self):
        while "[y/N]" not in self.told:
            assert self.read(), self.told

    def answer(self, text):
        os.write(self.ours, text.encode() + b"\n")
        while self.read():
            pass
        os.close(self.ours)
        return self.process.wait(timeout=60), self.told


def check_that_harm_is_refused(daemons, cluster, stamped):
    full = daemons.node("full", arguments=[*QUICK, "--high-water", "1", "--low-water", "1"])
    epoch = the_map(cluster)["epoch"]
    assert "high-water: full would have" in change(cluster, "add", full.url, "--all-eras", expected=6)["detail"]
    full.ingest("other", stamped(RUN, 50))
    assert "has-data: full holds 50 messages" in change(cluster, "add", full.url, expected=6)["detail"]
    alone = Cluster([full], None)  # without an indexer nodes are told themselves
    alone.client.run("cluster", "init", full.url, "--indexer", "http://127.0.0.1:1")
    alone.client.run("cluster", "pause", "--yes", "--indexer", "http://127.0.0.1:1")
    assert full.json("/cluster/map")["paused"] is True
    assert "belongs to cluster" in change(cluster, "add", full.url, expected=6)["detail"]
    assert change(cluster, "add", "http://127.0.0.1:1", expected=5)
    assert change(cluster, "evacuate", "nobody", expected=4)
    asked = cluster.client.run("cluster", "pause", expected=6)
    assert "--yes" in asked.stderr.decode()
    cluster.client.run("cluster", "pause", "--yes", "--force", "anything", expected=2)
    cluster.client.run("cluster", "plan", "destroy", "n1", expected=2)
    assert the_map(cluster)["epoch"] == epoch
    asking = Asked(cluster, "cluster", "rebalance", "--weight", "n1=50")
    asking.await_question()
    change(cluster, "pause")  # another admin is faster
    code, told = asking.answer("y")
    assert code == 6 and f"epoch {epoch + 1} holds: epoch: {epoch} -> {epoch + 1};paused: no -> yes" in told, told
    asking = Asked(cluster, "cluster", "resume")
    asking.await_question()
    code, told = asking.answer("n")
    assert code == 6 and "nothing was changed" in told, told
    assert the_map(cluster)["paused"] is True and shown(cluster)["paused"] is True
    assert "paused already" in change(cluster, "pause", expected=6)["detail"]
    change(cluster, "resume")
    assert "paused" not in the_map(cluster)


def test_harm_is_refused_the_dead_are_replaced_or_left_behind_and_nodes_get_other_names(daemons, grown, stamped):
    cluster = grown
    check_that_harm_is_refused(daemons, cluster, stamped)
    n1, n2, n3 = cluster.nodes
    had = held_messages(n3)
    n3.kill()
    spare = daemons.node("n4", colo="c", arguments=QUICK)
    assert "not-reachable: n3" in change(cluster, "evacuate", "n2", expected=6)["detail"]
    said = change(cluster, "replace", "n3", spare.url)
    assert said["in"]["messages"] == had == held_messages(spare)
    assert shown_node(cluster, "n3")["state"] == "out"
    cluster.indexer.await_messages("tour", MESSAGES, copies=2)
    change(cluster, "remove", "n3")
    await_condition(lambda: not urls_in_index(cluster, "n3"), "the index names nothing of who is no longer there")
    cluster.indexer.await_messages("tour", MESSAGES, copies=2)

    # Another name while it runs; it is there again at the new one.
    url = move_to_new_address(n2)
    cluster.client.run("cluster", "rename", "n2", url, "--yes")
    await_condition(lambda: json.loads((n2.data / "node.json").read_text())["url"] == url, "the node knows its new name")
    n2.stop()
    n2.url = url
    n2.start().wait_ready()
    # Another name while it is down: the others tell it.
    n1.stop()
    cluster.client.run("cluster", "rename", "n1", f"http://{n1.listen}", "--yes", expected=6)  # that is its name
    was, n1.url = n1.url, move_to_new_address(n1)
    refused = cluster.client.run("cluster", "rename", "n1", spare.url, "--yes", expected=6)
    assert "is the URL of n4" in refused.stderr.decode()
    cluster.client.run("cluster", "rename", "n1", n1.url, "--yes")
    n1.start().wait_ready()
    assert json.loads((n1.data / "node.json").read_text())["url"] == n1.url != was
    await_condition(lambda: (urls_in_index(cluster, "n1"), urls_in_index(cluster, "n2")) == ({n1.url}, {n2.url}), "the index has the new names")
    await_condition(lambda: all(node["ready"] and node["epochs_behind"] == 0 for node in shown(cluster)["nodes"]), "all are there")

    # Lost: the others have it all, from the copies that are left.
    spare.kill()
    said = change(cluster, "remove", "n4", "--lost")
    assert said["in"]["messages"] > 0 and said["copies_after"] == 2
    assert held_messages(n1) == held_messages(n2) == MESSAGES
    change(cluster, "remove", "n4")
    detail = change(cluster, "evacuate", "n2", expected=6)["detail"]
    assert "fewer-copies: 32 shards would have fewer copies than now (at least 1, now 2)" in detail, detail
