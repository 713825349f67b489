"""What many clients at once may hold of a node: memory, descriptors."""

import contextlib
import os
import resource
import socket

from processes import await_condition


def begin_put(node, length):
    """A map's PUT whose body does not come."""
    host, port = node.listen.split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(f"PUT /cluster/map HTTP/1.1\r\nHost: {node.listen}\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n".encode())
    return connection, connection.recv(4096)


def test_bodies_that_are_gathered_whole_have_a_limit_in_all(daemons):
    node = daemons.node("n1", arguments=["--loops", "1"])
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            connection, answer = begin_put(node, 60 << 20)
            stack.enter_context(connection)
            assert answer.startswith(b"HTTP/1.1 100 ")
        connection, answer = begin_put(node, 60 << 20)
        stack.enter_context(connection)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"Retry-After" in answer
        question = {"source": "x", "base_time": "2020-01-02T03:00:00Z", "digests": ["0" * 64]}
        assert node.post("/have", json=question).status_code == 200  # a small one has room

    def room():
        connection, answer = begin_put(node, 60 << 20)
        connection.close()
        return answer.startswith(b"HTTP/1.1 100 ")

    await_condition(room, "those that left have given it back")


def small_message(month):
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([month, 2, 3, 0, 0]) + bytes(2)
    body = section1 + bytes(8)
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


def test_a_node_without_descriptors_refuses_for_now_and_not_for_good(node):
    messages = [small_message(month) for month in range(1, 13)]
    assert node.put("/ingest/files/", messages[0]).status_code == 201
    pid = node.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(number) for number in os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 8, before[1]))
    answer = node.put("/ingest/files/", b"".join(messages))  # a directory and a journal each
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded"), answer.text
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    answer = node.put("/ingest/files/", b"".join(messages))
    assert answer.status_code == 201, answer.text
    assert answer.json()["stored"] + answer.json()["known"] == 12
    assert node.get("/readyz").status_code == 200


def test_a_node_takes_as_many_descriptors_as_it_may_have(daemons):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        node = daemons.node("n1")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE)[0] == hard
