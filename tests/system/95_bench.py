"""tests/bench: a smoke run prints every row, and its load generator does not take wrong answers."""

import contextlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading

import pytest

from processes import BIN, LEAK_FREE, ROOT, SANITIZER_REPORTS

sys.path.insert(0, str(ROOT / "tests/bench"))
from bench_cases import CASES  # noqa: E402

FILE_SIZE = 100_000
RANGE_SIZE = 1000
RUN_TIMEOUT_S = 540
LOAD_TIMEOUT_S = 300


def test_a_quick_run_prints_every_row(tmp_path):
    if shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin") is None:
        missing = "no nginx here: ops/setup --test brings it"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [ROOT / "tests/bench/run", "--bin", BIN, "--quick", "--dir", tmp_path, "--json", figures], capture_output=True,
        text=True, timeout=RUN_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(report in done.stderr for report in SANITIZER_REPORTS), done.stderr
    names = [case.name for case in CASES]
    for name in names:
        assert re.search(rf"^{name} +[\d,.]+ +[\d,.]+ +[\d.]+", done.stdout, re.MULTILINE), done.stdout
    cases = json.loads(figures.read_text())["cases"]
    assert [case["name"] for case in cases] == names
    for case in cases:
        for measured in case["rounds"]:
            for side in ("ours", "nginx"):
                assert measured[side]["requests"] > 0, case["name"]
                assert measured[side]["p50_us"] <= measured[side]["p99_us"] <= measured[side]["max_us"] * 1.01


def test_a_quick_run_of_the_node_alone_prints_every_figure(tmp_path):
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [ROOT / "tests/bench/run", "--node", "--bin", BIN, "--quick", "--dir", tmp_path, "--json", figures], capture_output=True,
        text=True, timeout=RUN_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [figure["name"] for figure in json.loads(figures.read_text())] == [
        "put-body", "put-alone", "read-during-put", "put-two-copies", "refill", "refill-reads", "sha256-runs", "idle",
        "purge-answer", "purge-reads", "start", "heap"]
    assert len(done.stdout.splitlines()) == 12, done.stdout


def test_a_quick_run_of_the_index_prints_every_figure(tmp_path, mongod_server):
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [ROOT / "tests/bench/index", "--bin", BIN, "--quick", "--dir", tmp_path, "--json", figures],
        capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False,
        env={**LEAK_FREE, "GRIBSTORE_TEST_MONGO_URI": mongod_server})
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(report in done.stderr for report in SANITIZER_REPORTS), done.stderr
    assert [figure["name"] for figure in json.loads(figures.read_text())] == [
        "insert", "insert-first", "insert-second", "remove", "sqlite-insert", "sqlite-remove", "find-1", "find-16", "range-100",
        "sqlite-find-1", "sqlite-find-16", "sqlite-range", "rebuild-first", "rebuild", "decode-one", "decode-all", "decode-dates",
        "latency"]


# --- a server that lies, one lie a test ---

def content(size=FILE_SIZE):
    return bytes(at * 7 % 251 for at in range(size))


class LyingHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one segment

    def do_GET(self):
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        answer = {"status": 206, "range": f"bytes {first}-{last}/{FILE_SIZE}", "body": content()[first:last + 1]}
        self.server.lie(answer)
        self.send_response(answer["status"])
        self.send_header("Content-Range", answer["range"])
        self.send_header("Content-Length", str(answer.get("length", len(answer["body"]))))
        self.end_headers()
        self.wfile.write(answer["body"])

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def lying_server(lie):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), LyingHandler) as server:
        server.daemon_threads = True
        server.lie = lie
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def load(tmp_path, port, seconds):
    local, files = tmp_path / "file", tmp_path / "files"
    local.write_bytes(content())
    files.write_text(f"/data/x {local}\n")
    return subprocess.run(
        [BIN / "httpload", "get", "--port", str(port), "--files", files, "--size", str(RANGE_SIZE), "--connections", "2",
         "--seconds", str(seconds), "--warmup", "0", "--check-one-in", "1"], capture_output=True, text=True,
        timeout=LOAD_TIMEOUT_S, check=False, env=LEAK_FREE)


def test_the_truth_is_measured(tmp_path):
    for seconds in (1, 5, 30):  # a machine that stands still for one measures nothing in it
        with lying_server(lambda answer: None) as port:
            done = load(tmp_path, port, seconds)
        result = json.loads(done.stdout) if done.returncode == 0 else {"requests": 0}
        if result["requests"] > 0:
            break
    assert done.returncode == 0, done.stderr
    assert result["requests"] > 0
    assert result["checked"] > 0
    assert result["bytes"] == result["requests"] * RANGE_SIZE


def wrong_byte(answer):
    body = bytearray(answer["body"])
    body[-1] ^= 1
    answer["body"] = bytes(body)


LIES = {
    "status 200 instead of 206": lambda answer: answer.update(status=200),
    "status 503 instead of 206": lambda answer: answer.update(status=503),
    "wrong bytes": wrong_byte,
    "Content-Range '": lambda answer: answer.update(range=f"bytes 0-{RANGE_SIZE}/{FILE_SIZE}"),
    "Content-Length is": lambda answer: answer.update(body=answer["body"][:-1]),
    "more bytes than Content-Length says": lambda answer: answer.update(length=RANGE_SIZE, body=answer["body"] + b"x"),
}


@pytest.mark.parametrize("seen", LIES)
def test_each_lie_ends_the_measurement(tmp_path, seen):
    with lying_server(LIES[seen]) as port:
        done = load(tmp_path, port, 30)  # over at the first answer
    assert done.returncode == 1, done.stdout
    assert seen in done.stderr
    assert done.stdout == ""
