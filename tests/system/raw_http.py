"""HTTP over bare sockets, read strictly and apart from any library: what leaves the machine is what a test wrote.

    with Wire(daemon) as wire:
        wire.send(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        answer = wire.answer()          one whole answer; a malformed one is an AssertionError
        assert wire.closed()            the server's end, and nothing before it
"""

import dataclasses
import json
import re
import socket

TIMEOUT_S = 60
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [ -~]*")
FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([ -~]*)")
READ_SIZE = 1 << 16


@dataclasses.dataclass
class Answer:
    status: int
    fields: list
    body: bytes = b""

    def get(self, name):
        """The value of a field that comes once at most; None without it."""
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def closes(self):
        return (self.get("Connection") or "").lower() == "close"


class Wire:
    """One connection."""

    def __init__(self, daemon, receive_size=None):
        host, port = daemon.listen.split(":")
        self.strict = getattr(daemon, "strict", True)
        self.socket = socket.socket()
        if receive_size:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_size)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect((host, int(port)))
        self.buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """All of it, or as much as a server that has gone takes: what it answered is read afterwards."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def end(self):
        self.socket.shutdown(socket.SHUT_WR)

    def more(self):
        data = self.socket.recv(READ_SIZE)
        self.buffer += data
        return bool(data)

    def until(self, mark):
        while mark not in self.buffer:
            assert self.more(), f"closed inside {bytes(self.buffer[-200:])}"
        at = self.buffer.index(mark)
        return self.take(at + len(mark))[:at]

    def take(self, size):
        while len(self.buffer) < size:
            assert self.more(), f"closed {size - len(self.buffer)} bytes before the end"
        found = bytes(self.buffer[:size])
        del self.buffer[:size]
        return found

    def chunks(self):
        body = b""
        while size := int(self.until(b"\r\n"), 16):
            body += self.take(size)
            assert self.take(2) == b"\r\n"
        assert self.until(b"\r\n") == b"", "trailers"
        return body

    def head(self):
        """The head of an answer, of a 100 as well."""
        line, *lines = self.until(b"\r\n\r\n").split(b"\r\n")
        match = STATUS_LINE.fullmatch(line)
        assert match, line
        fields = []
        for text in lines:
            field = FIELD_LINE.fullmatch(text)
            assert field, text
            fields.append((field[1].decode(), field[2].decode()))
        return Answer(int(match[1]), fields)

    def answer(self, method="GET"):
        """One final answer; the method says whether it has a body."""
        answer = self.head()
        length, coding = answer.get("Content-Length"), answer.get("Transfer-Encoding")
        assert length is None or coding is None, "both framings"
        if method == "HEAD" or answer.status in (204, 304):
            assert answer.status not in (204, 304) or coding is None
        elif coding is not None:
            assert coding == "chunked"
            answer.body = self.chunks()
        elif length is not None:
            answer.body = self.take(int(length))
        else:
            assert answer.closes or not self.strict, "no length, and the connection stays"
            while self.more():
                pass
            answer.body = self.take(len(self.buffer))
        return answer

    def closed(self):
        """True at the server's end; what comes before it is a failure."""
        assert not self.buffer, self.buffer[:200]
        try:
            return not self.more()
        except ConnectionResetError:
            return True


def ask(daemon, request, method="GET"):
    """The one answer to a request of a connection of its own."""
    with Wire(daemon) as wire:
        wire.send(request)
        return wire.answer(method)


def request(method, target, *fields, body=None, host="x"):
    """The bytes of a request; a body brings its Content-Length."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def chunked(*pieces, extension=b"", trailers=b""):
    """A body in chunks, with its end."""
    return b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"


def problem_of(answer, code=None):
    """An error has one shape on every path: RFC 9457, named by its code, never stored."""
    assert answer.get("Content-Type") == "application/problem+json", answer
    assert answer.get("Cache-Control") == "no-store"
    problem = answer.json
    assert problem["type"] == f"urn:gribstore:error:{problem['code']}"
    assert problem["status"] == answer.status
    assert problem["title"] and problem["instance"] == answer.get("X-Request-Id")
    assert code is None or problem["code"] == code, problem
    assert len(answer.body) < 1024
    if answer.status in (429, 503):
        assert int(answer.get("Retry-After")) > 0
    return problem
