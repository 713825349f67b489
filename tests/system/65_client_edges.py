"""The command at its edges: odd files, small limits, signals, pipes, every --json, wrong bytes on the nodes."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import threading

import pytest

from mongod import die_with_parent
from processes import BIN, COMMAND_TIMEOUT_S, SANITIZER_REPORTS, await_condition, stamp

BASE_TIME = "20261119T0000Z"


def stamped(tmp_path, name, base_time=BASE_TIME, count=20, seed=1):
    return stamp(tmp_path / name, base_time, count, "--values-seed", str(seed))


def put_json(client, *arguments, expected=0, **options):
    done = client.run("put", "--json", "--source", "edge", *arguments, expected=expected, **options)
    return json.loads(done.stdout)


def bytes_of(client, *keys):
    return client.run("get", *keys).stdout


# ---- files ----


def test_files_with_odd_names_and_pipes_are_put(client, indexer, tmp_path, grib):
    spaced = stamped(tmp_path, "a run, with spaces.grib", count=7)
    odd = stamped(tmp_path, "odd\n\"name\\.grib", count=5, seed=2)
    assert put_json(client, spaced, odd)["stored"] == 12
    piped = stamped(tmp_path, "piped.grib", count=3, seed=3)
    assert put_json(client, "-", input=piped.read_bytes())["stored"] == 3
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(stamped(tmp_path, "f.grib", count=4, seed=4).read_bytes(),))
    writer.start()
    assert put_json(client, fifo)["stored"] == 4
    writer.join()
    with open(piped, "rb") as file:  # a regular file as standard input is read where it is
        assert put_json(client, "-", stdin=file)["known"] == 3
    runs = indexer.await_messages("edge", 19)
    assert len(runs) == 1


def test_what_is_no_grib_file_is_named_and_the_others_go_on(client, indexer, tmp_path):
    good = stamped(tmp_path, "good.grib", count=4)
    empty, folder, text = tmp_path / "empty", tmp_path / "folder", tmp_path / "text"
    empty.touch()
    folder.mkdir()
    text.write_text("<html>not here</html>" * 10)
    cut = tmp_path / "cut.grib"
    cut.write_bytes(stamped(tmp_path, "whole.grib", count=3, seed=2).read_bytes()[:-10])
    for bad in (folder, text, tmp_path / "absent", cut, empty):
        done = client.run("put", "--json", "--source", "edge", bad, good, expected=3)
        answer = json.loads(done.stdout)
        assert str(bad) in answer["problems"][0]["detail"], answer
        assert answer["stored"] + answer["known"] >= 4
    assert put_json(client, cut, expected=3)["messages"] == 2
    assert client.run("put", "--source", "edge", tmp_path / "absent", expected=4).stderr
    # A run is not made ready from what could be read of it.
    done = client.run("rotate", "--source", "edge", good, cut, expected=1)
    assert str(cut) in done.stderr.decode()
    indexer.await_messages("edge", 6)
    assert [run["state"] for run in indexer.runs(source="edge")] == ["filling"]


def test_a_message_that_stands_twice_is_sent_once(client, indexer, tmp_path):
    file = stamped(tmp_path, "run.grib", count=6)
    twice = tmp_path / "twice.grib"
    twice.write_bytes(file.read_bytes() * 2)
    answer = put_json(client, twice)
    assert (answer["messages"], answer["stored"], answer["bytes_pushed"]) == (12, 6, file.stat().st_size)
    indexer.await_messages("edge", 6)


def test_more_files_than_descriptors_are_put(client, indexer, tmp_path, grib):
    file = stamped(tmp_path, "run.grib", count=1200)
    names = []
    for message in grib.split_grib(file):
        names.append(tmp_path / f"{len(names)}.grib")
        names[-1].write_bytes(message.data)
    done = subprocess.run(["prlimit", "--nofile=512:512", str(BIN / "gribstore"), "put", "--json", "--source", "edge", *map(str, names)],
                          env=client.environment, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False, preexec_fn=die_with_parent)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["stored"], answer["problems"]) == (0, 1200, []), done.stderr.decode()


def test_runs_of_several_base_times_rotate_together(client, indexer, tmp_path):
    times = ["20261117T0000Z", "20261118T0000Z", "20261119T0000Z"]
    mixed = tmp_path / "mixed.grib"
    mixed.write_bytes(b"".join(stamped(tmp_path, f"{at}.grib", base_time=at, count=30).read_bytes() for at in times))
    client.run("rotate", "--source", "edge", "--keep", "1", "--grace", "0s", mixed)
    # All three were pushed by this call: none of them goes, however few are to be kept.
    assert [(run["state"], run["messages"]) for run in indexer.runs(source="edge")] == [("ready", 30)] * 3
    newer = stamped(tmp_path, "newer.grib", base_time="20261120T0000Z", count=30)
    client.run("rotate", "--source", "edge", "--keep", "2", "--grace", "0s", newer)
    assert [run["state"] for run in indexer.runs(source="edge")] == ["purged", "purged", "ready", "ready"]


# ---- runs in the wrong state ----


def test_a_purged_run_takes_nothing_and_says_so(client, indexer, node, tmp_path):
    file = stamped(tmp_path, "run.grib")
    client.run("put", "--source", "edge", file)
    indexer.await_messages("edge", 20)
    client.run("purge", "edge", BASE_TIME, "--yes", "--grace", "0s")
    await_condition(lambda: indexer.runs(source="edge")[0]["state"] == "purged", "purged")
    await_condition(lambda: node.json(f"/cluster/runs/edge/{BASE_TIME}")["state"] == "purged", "the node is told")
    for command in ("put", "rotate"):
        done = client.run(command, "--source", "edge", file, expected=6)
        assert b"purged" in done.stderr


def test_a_retired_run_is_refused_at_once(client, indexer, tmp_path):
    file = stamped(tmp_path, "run.grib")
    client.run("put", "--source", "edge", file)
    indexer.await_messages("edge", 20)
    client.run("purge", "edge", BASE_TIME, "--yes", "--grace", "10min")
    await_condition(lambda: indexer.fields(source="edge") == [], "its records are gone")
    done = client.run("rotate", "--source", "edge", file, expected=6, timeout_s=60)
    assert b"retired" in done.stderr
    assert indexer.runs(source="edge")[0]["state"] == "retired"


def test_undo_brings_back_only_what_was_retired(client, indexer, tmp_path):
    client.run("put", "--source", "edge", stamped(tmp_path, "run.grib"))
    indexer.await_messages("edge", 20)
    client.run("purge", "edge", BASE_TIME, "--undo", expected=6)
    assert indexer.runs(source="edge")[0]["state"] == "filling"
    client.run("purge", "edge", BASE_TIME, "--yes", "--grace", "10min")
    client.run("purge", "edge", BASE_TIME, "--undo")
    assert indexer.runs(source="edge")[0]["state"] == "ready"


def test_a_purge_needs_a_yes_and_spares_the_newest(client, indexer, tmp_path):
    client.run("rotate", "--source", "edge", stamped(tmp_path, "run.grib"))
    client.run("purge", "edge", BASE_TIME, expected=6, stdin=subprocess.DEVNULL)
    client.run("purge", "edge", BASE_TIME, "--yes", expected=6)
    client.run("purge", "edge", "20261101T0000Z", "--yes", expected=4)
    assert indexer.runs(source="edge")[0]["state"] == "ready"


# ---- signals and pipes ----


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_ends_a_put_that_waits_for_its_input(client, number, code):
    with subprocess.Popen([str(BIN / "gribstore"), "put", "--source", "edge", "-"], env=client.environment, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_parent) as process:
        os.write(process.stdin.fileno(), b" ")  # may stand before the first message
        await_condition(lambda: unread(process.stdin) == 0, "it reads")
        process.send_signal(number)
        assert process.wait(60) == code


def unread(pipe):
    """Bytes that nobody has taken from the other end."""
    return int.from_bytes(fcntl.ioctl(pipe.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)


def test_a_reader_that_leaves_ends_a_query_quietly(client, indexer, tmp_path):
    client.run("put", "--source", "edge", stamped(tmp_path, "run.grib", count=2000))
    indexer.await_messages("edge", 2000)
    for command in (["query", "source=edge", "--json"], ["get", "source=edge"]):
        with subprocess.Popen([str(BIN / "gribstore"), *command], env=client.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              preexec_fn=die_with_parent) as process:
            process.stdout.read(10)
            process.stdout.close()
            told = process.stderr.read().decode()
            assert process.wait(60) != 0
            assert not any(report in told for report in SANITIZER_REPORTS), told


# ---- output ----


def test_every_json_is_json(cluster, tmp_path):
    client, indexer = cluster.client, cluster.indexer
    file = stamped(tmp_path, "run.grib")

    def lines(*arguments, expected=0):
        done = client.run(*arguments, "--json", expected=expected)
        return [json.loads(line) for line in done.stdout.splitlines()], [json.loads(line) for line in done.stderr.splitlines()]

    (put,), talk = lines("put", "--source", "edge", file)
    assert {"source", "files", "messages", "stored", "known", "bytes", "bytes_pushed", "copies", "runs", "problems"} <= put.keys() and not talk
    (dry,), _ = lines("put", "--source", "edge", "--dry-run", file)
    assert dry["known"] == 20
    (rotate,), talk = lines("rotate", "--source", "edge", file)
    assert {"source", "push", "runs_ready", "runs_retired", "runs_purged", "seconds", "bound_by"} <= rotate.keys() and not talk
    fields, _ = lines("query", "source=edge")
    assert len(fields) == 20 and all(len(field["locations"]) == 2 for field in fields)
    runs, _ = lines("runs", "edge")
    assert runs and {"source", "base_time", "state", "incarnation", "version", "messages", "fingerprint"} <= runs[0].keys()
    status, _ = lines("status", expected=None)
    assert status
    assert lines("cluster", "show")[0]
    # Failures are one JSON line of standard error, with the exit code.
    for arguments, code in ((["query", "param="], 2), (["runs", "edge/20200101T0000Z"], 4), (["purge", "edge", BASE_TIME], 6),
                            (["get", "param=msl", "source=nobody"], 4), (["put", "--source", "edge", "/nonexistent"], 4),
                            (["put", "--source", "Bad Source", file], 2), (["runs", "--no-such-option"], 2)):
        done = client.run(*arguments, "--json", expected=code, stdin=subprocess.DEVNULL)
        errors = [json.loads(line) for line in done.stderr.splitlines()]
        told = errors[-1]["error"] if errors else json.loads(done.stdout)["problems"][0]
        assert told["exit_code"] == code, (arguments, told)
    retired, _ = lines("purge", "edge", BASE_TIME, "--yes", "--force", "--grace", "1h", expected=0)
    assert retired[-1]["state"] == "retired"
    assert indexer.json(f"/v1/runs/edge/{BASE_TIME}")["state"] == "retired"


def test_get_falls_over_to_the_good_copy_and_never_writes_wrong_bytes(cluster, tmp_path, grib):
    client, indexer = cluster.client, cluster.indexer
    file = stamped(tmp_path, "run.grib", count=1)
    client.run("put", "--source", "edge", file)
    indexer.await_messages("edge", 1, copies=2)
    locations = indexer.fields(source="edge")[0]["locations"]

    def damage(location):
        folder = cluster.by_url(location["url"]).data / "runs" / "edge" / BASE_TIME
        path = folder / location["url"].rsplit("/", 1)[1]
        with open(path, "r+b") as data:
            data.seek(location["offset"] + location["length"] // 2)
            byte = data.read(1)[0]
            data.seek(-1, os.SEEK_CUR)
            data.write(bytes([byte ^ 1]))

    damage(locations[0])
    assert client.run("get", "source=edge").stdout == file.read_bytes()
    for node in cluster.nodes:
        client.environment["GRIBSTORE_NODE"] = node.url
        assert client.run("get", grib.split_grib(file)[0].digest).stdout == file.read_bytes()

    def healed():
        now = indexer.fields(source="edge")[0]["locations"]
        return now if len(now) == 2 and locations[0] not in now else None

    # Asked for by address, its node found out, and fetched it anew: nothing is left to heal from now.
    for location in await_condition(healed, "the damaged copy is replaced"):
        damage(location)
    out = tmp_path / "out" / "a file.grib"
    out.parent.mkdir()
    done = client.run("get", "source=edge", "-o", out, expected=7, timeout_s=120)
    assert done.stdout == b"" and list(out.parent.iterdir()) == []
    # The nodes know that both are damaged, then the index: it is nowhere, and what was there before stays.
    await_condition(lambda: indexer.fields(source="edge") == [], "no location is left")
    out.write_bytes(b"before")
    client.run("get", "source=edge", "-o", out, expected=4, timeout_s=120)
    client.run("get", grib.split_grib(file)[0].digest, "-o", out, expected=4, timeout_s=120)
    assert out.read_bytes() == b"before" and list(out.parent.iterdir()) == [out]


def test_a_file_that_can_not_be_written_is_named(client, indexer, tmp_path):
    client.run("put", "--source", "edge", stamped(tmp_path, "run.grib", count=2))
    indexer.await_messages("edge", 2)
    done = client.run("get", "source=edge", "-o", tmp_path / "no" / "folder.grib", expected=1)
    assert b"folder.grib" in done.stderr
    done = client.run("get", "source=edge", "-o", "/dev/full", expected=1)
    assert b"/dev/full" in done.stderr
    done = client.run("get", "source=edge", "-o", tmp_path, expected=1)
    assert str(tmp_path).encode() in done.stderr


# ---- servers that are odd ----


@contextlib.contextmanager
def raw_server(answer):
    """Answers every connection with these bytes, and notes what it was sent."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    heard.append(connection.recv(65536))
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(65536)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", heard
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("head", ["HTTP/1.1  200 OK", "HTTP/1.1 200", "HTTP/1.1 000 OK", "HTTP/1.1 099 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK",
                                  "HTTP/1.1 200 OK\r\nHTTP/1.1: x", "HTTP/1.1 200 OK\r\nHTTP/: 9", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK",
                                  "HTTP/1.1 101 Switching Protocols", "HTTP/1.0 999 x", "ICY 200 OK", "HTTP/2 200", "x"])
def test_odd_answers_are_failures_and_not_crashes(client, head):
    with raw_server(f"{head}\r\nContent-Length: 2\r\n\r\n{{}}".encode()) as (url, heard):
        client.environment["GRIBSTORE_INDEXER"] = url
        done = client.run("runs", "--retry", "0s", expected=None)
        assert done.returncode in (1, 4, 5), done.stderr.decode()
        assert heard


def test_a_token_stays_out_of_arguments_errors_and_the_clear(client, tmp_path):
    token = tmp_path / "token"
    token.write_text("very-secret-word\n")
    for host in ("127.evil.invalid", "127.0.0.1.evil.invalid", "localhost.evil.invalid", "storage.invalid"):
        client.environment["GRIBSTORE_INDEXER"] = f"http://{host}:8400"
        done = client.run("runs", "--token-file", token, "--retry", "0s", expected=6)
        assert b"plain http" in done.stderr and b"very-secret" not in done.stderr
    with raw_server(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n") as (url, heard):
        client.environment["GRIBSTORE_INDEXER"] = url
        done = client.run("runs", "--token-file", token, expected=6)
        assert b"very-secret" not in done.stderr
        assert b"Authorization: Bearer very-secret-word\r\n" in heard[0]
