"""GRIB framing apart from any code of the project, and the tables beside the real files.

What tests compare with: nothing here calls gribstore or ecCodes.
"""

import csv
import dataclasses
import hashlib
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
GRIB_DIR = pathlib.Path(os.environ.get("GRIBSTORE_TEST_GRIB", ROOT / "../shared/grib")).resolve()


@dataclasses.dataclass(frozen=True)
class Message:
    offset: int
    data: bytes

    @property
    def length(self):
        return len(self.data)

    @property
    def digest(self):
        return hashlib.sha256(self.data).hexdigest()

    @property
    def edition(self):
        return self.data[7]


def number(data, at, size):
    return int.from_bytes(data[at:at + size], "big")


def edition1_length(data, at):
    """Octets 5-7, unless they are the extended form: then 120 times as much, less what octets 1-3 of section 4 say.

    Bit 23 alone does not tell: writers also put plain lengths of 8 to 16 MiB there. A section 4 shorter than 120 does.
    """
    length = number(data, at + 4, 3)
    if not length & 0x800000:
        return length
    flags = data[at + 15]
    section = at + 8
    section += number(data, section, 3)
    for bit in (0x80, 0x40):
        if flags & bit:
            section += number(data, section, 3)
    section4 = number(data, section, 3)
    if section4 >= 120:
        return length
    return (length & 0x7FFFFF) * 120 - section4 + 4


def message_length(data, at):
    edition = data[at + 7]
    if edition == 1:
        return edition1_length(data, at)
    if edition == 2:
        return number(data, at + 8, 8)
    raise ValueError(f"edition {edition} at {at}")


def split_bytes(data):
    """The messages of a file's bytes, in order; what lies between them is left out."""
    messages = []
    at = data.find(b"GRIB")
    while at >= 0:
        length = message_length(data, at)
        message = data[at:at + length]
        if len(message) != length or message[-4:] != b"7777":
            raise ValueError(f"no whole message at {at}")
        messages.append(Message(at, message))
        at = data.find(b"GRIB", at + length)
    return messages


def frames(data):
    """The same, as bytes one by one; of data that holds nothing else."""
    messages = split_bytes(data)
    assert sum(message.length for message in messages) == len(data)
    return iter([message.data for message in messages])


def split_grib(path):
    return split_bytes(pathlib.Path(path).read_bytes())


def read_table(path):
    """The rows of a tab-separated file as dictionaries; what is a number becomes an int."""
    with open(path, newline="", encoding="utf-8") as file:
        return [{key: int(value) if value.isdigit() and len(value) < 16 else value for key, value in row.items()}
                for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def manifest():
    """MANIFEST.tsv by file name: bytes, messages, fields, edition, base_times, sha256_of_first_message."""
    return {row["file"]: row for row in read_table(GRIB_DIR / "MANIFEST.tsv")}


def fields(name=None):
    """FIELDS.tsv, a row a field: file, message, offset, length, sub, digest, identity; of one file if name is given."""
    return [row for row in read_table(GRIB_DIR / "FIELDS.tsv") if name in (None, row["file"])]


# What is made where there are no real files: file name, gribgen's options.
GENERATED = {
    "generated-small.grib": ("--preset", "small", "--base-time", "20261119T0000Z"),
    "generated-members.grib": ("--preset", "small", "--centre", "kwbc", "--edition", "2", "--members", "5", "--base-time", "20261119T1200Z"),
}


class GeneratedFolder:
    """A folder in the place of the real one: a test that needs a file that is not here is skipped, by name."""

    def __init__(self, folder):
        self.folder = folder

    def __truediv__(self, name):
        import pytest

        if not (self.folder / name).exists():
            pytest.skip(f"{name} is a real file, and there are none here (GRIBSTORE_TEST_GRIB)")
        return self.folder / name

    def glob(self, pattern):
        return self.folder.glob(pattern)


def generate(folder, gribgen):
    """GENERATED, with a MANIFEST.tsv and a FIELDS.tsv; identities are gribgen's, which has none of the project's code."""
    manifest = ["file\tbytes\tmessages\tfields\tedition\tbase_times\tsha256_of_first_message"]
    table = ["file\tmessage\toffset\tlength\tsub\tdigest\tidentity"]
    for name, options in GENERATED.items():
        path = folder / name
        subprocess.run([str(gribgen), *options, "--out", str(path)], check=True, capture_output=True, timeout=300)
        listed = subprocess.run([str(gribgen), "--identities", str(path)], check=True, capture_output=True, timeout=300, text=True)
        rows = listed.stdout.splitlines()
        messages = split_grib(path)
        editions = ",".join(str(edition) for edition in sorted({message.edition for message in messages}))
        manifest.append(f"{name}\t{path.stat().st_size}\t{len(messages)}\t{len(rows)}\t{editions}\t1\t{messages[0].digest}")
        table += [f"{name}\t{row}" for row in rows]
    (folder / "MANIFEST.tsv").write_text("\n".join(manifest) + "\n")
    (folder / "FIELDS.tsv").write_text("\n".join(table) + "\n")
