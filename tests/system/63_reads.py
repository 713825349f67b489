"""Reads go on through the death of any one node, and who reads notices nothing of it."""

import subprocess

import pytest

import gribfile
from processes import BIN, await_condition

MESSAGES = 2100  # more than are fetched before the first ones are handed on


@pytest.fixture
def filled(cluster, stamped):
    data = stamped("20260101T0000Z", MESSAGES)
    cluster.nodes[0].ingest("reads", data)
    await_condition(lambda: sum(run["messages"] for run in cluster.indexer.runs(source="reads")) == MESSAGES, "all is in the index")
    await_condition(cluster.indexer.caught_up, "with its copies")
    return cluster, data


def split(data):
    messages, at = [], 0
    while at < len(data):
        size = gribfile.message_length(data, at)
        messages.append(data[at:at + size])
        at += size
    return messages


def test_a_list_is_read_whole_while_each_node_in_turn_is_killed(filled):
    cluster, data = filled
    for node in cluster.nodes:
        process = subprocess.Popen([BIN / "gribstore", "get", "source=reads", "-o", "-"], env=cluster.client.environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        begun = process.stdout.read(1000)
        node.kill()
        rest, told = process.communicate(timeout=300)
        assert process.returncode == 0, told
        assert sorted(split(begun + rest)) == sorted(split(data))
        node.start().wait_ready()
