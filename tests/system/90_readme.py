"""The README's tour, command by command, as it is written there: only addresses, file names and placeholders are filled in.
And the commands that README and RUNBOOK name: each is one, with options that it has."""

import functools
import pathlib
import re
import subprocess

import pytest

from processes import BIN, ROOT


def tour():
    text = (ROOT / "README.md").read_text()
    part = text[text.index("## The tour"):text.index("In Python, with what services")]
    lines = [line.strip() for line in part.splitlines() if line.startswith("    ")]
    return [re.sub(r"\s{2,}#.*$", "", line) for line in lines]


@pytest.fixture
def filled(cluster, grib, tmp_path):
    """A cluster that holds what the tour talks of, and how to fill in a line of it."""
    file = tmp_path / "your.grib"
    file.write_bytes((grib.GRIB_DIR / "reduced_latlon_surface.grib2").read_bytes())
    newer = tmp_path / "new.grib"
    subprocess.run([str(BIN / "gribgen"), "--preset", "small", "--base-time", "20261120T1200Z", "--out", str(newer)], check=True,
                   capture_output=True, timeout=120)
    cluster.nodes[0].put("/ingest/mine/", data=newer.read_bytes())
    cluster.indexer.await_messages("mine", 108, copies=2)
    field = cluster.indexer.fields(source="mine", param="2t", limit=1)[0]
    at = field["locations"][0]
    fills = {
        "http://127.0.0.1:8410": cluster.nodes[0].url, "http://127.0.0.1:8411": cluster.nodes[1].url,
        "http://127.0.0.1:8400": cluster.indexer.url, "OFFSET-LAST": f"{at['offset']}-{at['offset'] + at['length'] - 1}",
        " URL": f" {at['url']}", "DIGEST": field["digest"], "your.grib": str(file), "new.grib": str(newer),
        "2t.grib": str(tmp_path / "2t.grib"),
    }

    def fill(line):
        for word, value in fills.items():
            line = line.replace(word, value)
        return line
    return cluster, fill


def test_every_line_of_the_tour_works(filled):
    cluster, fill = filled
    lines = tour()
    assert len(lines) >= 9, lines
    environment = {**cluster.client.environment, "PATH": f"{BIN}:/usr/bin:/bin"}
    for line in lines:
        line = fill(line)
        line = line.replace("curl ", "curl -fsS -o /dev/null ", 1) if line.startswith("curl ") else line
        done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, timeout=120, check=False)
        told = done.stderr.decode(errors="replace")
        assert done.returncode == 0, f"{line}\n{told}"
        assert "Sanitizer" not in told, told


def test_every_file_that_a_readme_names_is_there():
    missing = []
    for readme in ROOT.glob("**/*.md"):
        if any(part in ("build", ".cache", ".run") for part in readme.relative_to(ROOT).parts):
            continue
        for target in re.findall(r"\]\(([^)#]+)\)", readme.read_text()):
            if "://" not in target and not (readme.parent / target).exists():
                missing.append(f"{readme.relative_to(ROOT)}: {target}")
    assert not missing, missing
    assert pathlib.Path(ROOT / "ops/RUNBOOK.md").exists()


@functools.cache
def help_of(*words):
    done = subprocess.run([str(BIN / words[0]), *words[1:], "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


@functools.cache
def client_commands():
    part = help_of("gribstore").split("Commands:")[1]
    return {line.split("  ")[0] for line in (line.strip() for line in part.splitlines() if line.startswith("  "))}


def what_is_wrong(command):
    """Of a command as a page has it, with words in capitals for what one fills in: that it is none, or lacks an option; None."""
    program, *words = command.split()
    call = [program]
    if program == "gribstore" and words and not words[0].startswith("-"):
        two, one = " ".join(words[:2]), words[0]
        if two not in client_commands() and one not in client_commands():
            is_any = len(words) > 1 and words[1].isupper() and any(name.startswith(f"{one} ") for name in client_commands())
            return None if is_any else "no such command"
        call += two.split() if two in client_commands() else [one]
    options = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)} - {"--help"}
    known = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", help_of(*call))) if options else set()
    return f"no option {', '.join(sorted(options - known))}" if options - known else None


def commands_in(page):
    quoted = re.findall(r"`((?:gribstore|storaged|indexer) [^`]*)`", page)
    lines = re.findall(r"^    ((?:gribstore|storaged|indexer) .*)$", page, re.MULTILINE)
    return [re.split(r"\s{2,}#|[|&;>]", command)[0].strip() for command in quoted + lines]


def test_every_command_that_a_page_names_is_one():
    pages = {name: (ROOT / name).read_text() for name in ("README.md", "ops/RUNBOOK.md", "ops/README.md", "ARCHITECTURE.md", "proto/FORMATS.md")}
    commands = [(name, command) for name, page in pages.items() for command in commands_in(page)]
    assert len(commands) > 60, commands
    wrong = [f"{name}: `{command}`: {why}" for name, command in commands if (why := what_is_wrong(command)) is not None]
    assert not wrong, "\n".join(wrong)


def test_a_command_that_is_none_is_found():
    for command, why in {"gribstore cluster grow n1": "no such command", "gribstore cluster evacuate NODE --soon": "no option --soon",
                         "storaged --fast": "no option --fast", "indexer --catalogue FILE": "no option --catalogue"}.items():
        assert what_is_wrong(command) == why
