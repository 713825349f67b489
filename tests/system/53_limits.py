"""What many clients at once may hold of a node's memory."""

import contextlib
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
