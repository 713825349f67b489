"""A disk that fills up, and what an admin gets wrong: each says what, where and what to do, and nothing half-visible stays."""

import os
import subprocess

import pytest
import requests

from processes import BIN, await_condition, stamp


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def stamped(tmp_path, count, base_time):
    return stamp(tmp_path / f"{base_time}.grib", base_time, count, template=("--preset", "small", "--grid", "2.0"))


def test_a_full_disk_refuses_and_goes_on_when_space_is_back(small_disk, daemons, tmp_path, grib):
    from processes import Node

    node = Node("n1", tmp_path, arguments=["--reserve", "4MiB"])
    node.data.rmdir()
    node.command[node.command.index("--data") + 1] = str(small_disk / "data")
    daemons.begin(node)
    acknowledged, refused = [], None
    for turn in range(40):
        file = stamped(tmp_path, 120, f"202611{turn % 28 + 1:02d}T{turn // 28:02d}00Z")
        answer = node.put("/ingest/fill/", data=file.read_bytes())
        messages = {message.digest: message.data for message in grib.split_grib(file)}
        acknowledged += [(message, messages[message["digest"]]) for message in answer.json().get("messages", [])]
        file.unlink()
        if answer.status_code != 201:
            refused = answer
            break
    assert refused is not None and refused.status_code == 507, refused
    problem = refused.json()
    assert problem["code"] == "full" and refused.headers["Content-Type"] == "application/problem+json"
    # Reads go on, and what was acknowledged is whole.
    for message, data in acknowledged[::37]:
        at = message["locations"][0]
        answer = requests.get(at["url"], headers={"Range": f"bytes={at['offset']}-{at['offset'] + at['length'] - 1}"}, timeout=60)
        assert answer.status_code == 206 and answer.content == data
    # A run is purged; then there is room again.
    run = "/cluster/runs/fill/20261101T0000Z"
    assert node.put(run, json={"incarnation": 1, "version": 1, "state": "retired"}).status_code in (200, 204)
    assert node.delete("/data/fill/20261101T0000Z/?incarnation=1&version=1").status_code == 204
    file = stamped(tmp_path, 10, "20261201T0000Z")
    await_condition(lambda: node.put("/ingest/fill/", data=file.read_bytes()).status_code in (200, 201), "it takes messages again")


@pytest.mark.parametrize(("program", "arguments", "named"), [
    ("storaged", ["--data", "{tmp}", "--listen", "0.0.0.0:0"], "--insecure"),
    ("storaged", ["--data", "{tmp}", "--listen", "nowhere"], "nowhere"),
    ("storaged", ["--data", "{tmp}", "--lisen", "127.0.0.1:0"], "lisen"),
    ("storaged", [], "--data"),
    ("storaged", ["--data", "{tmp}", "--id", "Not Valid"], "Not Valid"),
    ("storaged", ["--data", "{tmp}", "--config", "{tmp}/bad.conf"], "bad.conf:2"),
    ("storaged", ["--data", "{tmp}", "--config", "{tmp}/none.conf"], "none.conf"),
    ("indexer", ["--listen", "0.0.0.0:0"], "--insecure"),
    ("indexer", ["--catalog", "postgres://x"], "postgres"),
    ("indexer", ["--config", "{tmp}/bad.conf"], "bad.conf:2"),
    ("indexer", ["extra"], "extra"),
    ("gribstore", ["frobnicate"], "frobnicate"),
    ("gribstore", ["put", "--source", "UPPER", "x.grib"], "UPPER"),
])
def test_a_wrong_setting_is_named(tmp_path, program, arguments, named):
    (tmp_path / "bad.conf").write_text("[node]\nlisten_on = 127.0.0.1:1\n" if program == "storaged" else "[indexer]\nlisten_on = 127.0.0.1:1\n")
    command = [str(BIN / program), *(argument.format(tmp=tmp_path) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    told = done.stderr.decode()
    assert done.returncode in (1, 2) and named in told, told
    assert "Sanitizer" not in told


def test_a_map_with_an_unknown_node_is_refused_by_name(node):
    map_ = node.json("/cluster/map")
    map_["epoch"] += 1
    map_["eras"][0]["owners"][0] = ["stranger"]
    answer = node.put("/cluster/map", json=map_)
    assert answer.status_code == 400 and "stranger" in answer.json()["detail"]
    assert node.json("/cluster/map")["epoch"] == 0


@pytest.mark.parametrize("program", ["storaged", "indexer", "gribstore"])
def test_help_and_version_teach(program):
    for flag, wanted in (("--help", "Example" if program != "storaged" else "Try it"), ("--version", program)):
        done = subprocess.run([str(BIN / program), flag], capture_output=True, timeout=60, check=False)
        assert done.returncode == 0 and wanted.lower() in done.stdout.decode().lower(), done.stdout
