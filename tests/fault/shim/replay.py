#!/usr/bin/env python3
"""replay.py: the directory as a disk could hold it after a power loss, from the shim's log of changes and flushes.

    replay.py --data DIR --log FOLDER --mode MODE --seed N

The process is dead; DIR is what the page cache had. What was not flushed is decided by MODE:

    clean   gone: bytes, sizes and names are those of the last flush
    torn    of each file's bytes a random prefix, or random blocks of 512 or 4,096 bytes; some names
    zero    names and sizes are there, new bytes are 0
    noise   names and sizes are there, new bytes are anything
    names   bytes of each file all there or all gone; each name decided by itself, a renamed one may stand twice
    mixed   each file and each directory by a random one of these

What was flushed is never harmed, but bytes that were written over since may be the old or the new ones. A flush of a
file covers its bytes and size, not its name. A file is nowhere only if it was so when its directory was last flushed, or was
taken away since: a rename never loses it. What a failed flush covered is lost, whatever a later flush said.

Afterwards DIR holds the new directory and the log is empty: what is there now counts as flushed.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import random
import shutil
import struct
import sys

RECORD = struct.Struct("<II8QIHH")
MAGIC = 0x4D494853
(WRITE, SIZE, NEW, ADD, REMOVE, RENAME, FLUSH, FLUSH_DIR, FLUSH_ALL, FLUSH_FAILED, START) = range(1, 12)
MODES = ("clean", "torn", "zero", "noise", "names", "mixed")
KEEP = "keep"  # a file's part in the mode names: all of its bytes
BLOCKS = (512, 4096)


class Unsound(Exception):
    """The log does not tell enough of what was done: nothing that is built from it would prove anything."""


@dataclasses.dataclass
class Change:
    """A change of a file's bytes (WRITE) or size (SIZE). after: the bytes it wrote, found while it is taken back."""
    kind: int
    at: int        # in the log
    offset: int
    length: int
    size: int      # of the file before
    undo: bytes
    flushed: bool = False
    lost: bool = False
    after: bytes = b""


@dataclasses.dataclass
class Entry:
    """Half of a change of names: a name that came (ADD) to a directory or went (REMOVE); the halves of a rename know each other."""
    kind: int
    at: int
    directory: int
    name: str
    node: int
    replaced: int = 0
    other: "Entry | None" = None
    flushed: bool = False


@dataclasses.dataclass
class Node:
    """An inode of one life: numbers are used again, so each has its own key."""
    changes: list = dataclasses.field(default_factory=list)
    entries: list = dataclasses.field(default_factory=list)
    is_dir: bool = False
    size: "int | None" = None  # as the log has it


class Log:
    """What the log says was not flushed, by node."""

    def __init__(self, path):
        self.nodes = {}
        self.current = {}
        self.flushes = self.starts = 0
        if path.exists():
            self.read(path.read_bytes())

    def node(self, ino):
        key = self.current.setdefault(ino, ino)
        return key, self.nodes.setdefault(key, Node())

    def read(self, log):
        at = 0
        while at + RECORD.size <= len(log):
            (magic, kind, ino, directory, directory2, other, offset, length, size, data_size, is_dir, name_size, name2_size) = \
                RECORD.unpack_from(log, at)
            end = at + RECORD.size + name_size + name2_size + data_size
            if magic != MAGIC:
                raise Unsound(f"log: no record at {at}")
            if end > len(log):
                break  # the process was killed in the write of it
            names = at + RECORD.size
            name = log[names:names + name_size].decode()
            name2 = log[names + name_size:names + name_size + name2_size].decode()
            data = log[end - data_size:end]
            self.take(kind, at, ino, (directory, directory2), other, (offset, length, size), (name, name2), data, is_dir)
            at = end

    def take(self, kind, at, ino, directories, other, extent, names, data, is_dir):
        if kind == NEW:
            key = f"{ino}@{at}"
            self.current[ino] = key
            self.nodes[key] = Node(is_dir=bool(is_dir), size=0)
        elif kind in (WRITE, SIZE):
            offset, length, size = extent
            node = self.node(ino)[1]
            node.changes.append(Change(kind, at, *extent, data))
            node.size = max(size, offset + length) if kind == WRITE else length
        elif kind in (ADD, REMOVE):
            self.add_entry(kind, at, directories[0], names[0], ino, other, is_dir)
        elif kind == RENAME:
            gone = self.add_entry(REMOVE, at, directories[0], names[0], ino, 0, is_dir)
            come = self.add_entry(ADD, at, directories[1], names[1], ino, other, is_dir)
            gone.other, come.other = come, gone
        elif kind == FLUSH:
            self.flushes += 1
            self.flush_file(self.node(ino)[1], other)
        elif kind == FLUSH_DIR:
            self.flushes += 1
            self.flush_names(self.node(ino)[1], other)
        elif kind == FLUSH_ALL:
            for node in self.nodes.values():
                self.flush_file(node, other)
                self.flush_names(node, other)
        elif kind == FLUSH_FAILED:
            for change in self.node(ino)[1].changes:
                change.lost |= change.at < other and not change.flushed
        elif kind == START:
            self.starts += 1
        else:
            raise Unsound(f"log: record of kind {kind} at {at}")

    def add_entry(self, kind, at, directory, name, ino, replaced, is_dir):
        key, node = self.node(directory)
        node.is_dir = True
        child, child_node = self.node(ino)
        child_node.is_dir |= bool(is_dir)
        entry = Entry(kind, at, key, name, child, self.node(replaced)[0] if replaced else 0)
        node.entries.append(entry)
        return entry

    @staticmethod
    def flush_file(node, end):
        for change in node.changes:
            change.flushed |= change.at < end and not change.lost
        while node.changes and node.changes[0].flushed:
            node.changes.pop(0)

    @staticmethod
    def flush_names(node, end):
        for entry in node.entries:
            entry.flushed |= entry.at < end
        while node.entries and node.entries[0].flushed:
            node.entries.pop(0)


# --- bytes ---

def take_back(content, changes):
    """The file before its changes; each learns which bytes it wrote."""
    for change in reversed(changes):
        if change.kind == WRITE:
            change.after = bytes(content[change.offset:change.offset + change.length])
            content[change.offset:change.offset + len(change.undo)] = change.undo
            del content[max(change.size, 0):]
        elif change.length < change.size:
            del content[change.length:]
            content.extend(bytes(change.length - len(content)))
            content.extend(change.undo)
        else:
            del content[change.size:]
    return content


def pieces_of(change, block):
    """[from, to) of a write, cut where blocks of the disk end."""
    at, end = change.offset, change.offset + len(change.after)
    while at < end:
        to = min(end, (at // block + 1) * block)
        yield at, to
        at = to


def put(content, at, data):
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at:at + len(data)] = data


def set_size(content, size):
    del content[size:]
    content.extend(bytes(size - len(content)))


class Bytes:
    """What becomes of one file's bytes."""

    def __init__(self, mode, random_):
        self.mode = mode
        self.random = random_
        self.block = random_.choice(BLOCKS)

    def build(self, live, changes):
        live_size = len(live)
        content = take_back(bytearray(live), changes)
        base_size = len(content)
        left = self.random.randrange(sum(1 + len(list(pieces_of(change, self.block))) for change in changes) + 1)
        is_prefix = self.random.random() < 0.5
        chance = self.random.random()

        def is_kept():
            nonlocal left
            left -= 1
            return left >= 0 if is_prefix else self.random.random() < chance

        for change in changes:
            if change.flushed or self.mode == KEEP and not change.lost:
                self.apply(content, change)
            elif self.mode == "torn":
                self.tear(content, change, is_kept)
            elif self.mode in ("zero", "noise"):
                self.spoil(content, change, base_size)
        if self.mode in ("zero", "noise") and any(not change.flushed for change in changes):
            set_size(content, max(live_size, base_size if self.random.random() < 0.2 else 0))
        elif self.mode == "torn" and self.random.random() < 0.3 and len(content) < live_size:
            set_size(content, live_size)
        return bytes(content)

    @staticmethod
    def apply(content, change):
        if change.kind == WRITE:
            put(content, change.offset, change.after)
        else:
            set_size(content, change.length)

    def tear(self, content, change, is_kept):
        if change.kind == SIZE:
            if is_kept():
                set_size(content, change.length)
            return
        for at, to in pieces_of(change, self.block):
            if is_kept():
                put(content, at, change.after[at - change.offset:to - change.offset])

    def spoil(self, content, change, base_size):
        """New bytes behind the flushed end read as others; those that were written over are old or new."""
        if change.kind == SIZE:
            if self.random.random() < 0.8:
                set_size(content, change.length)
            return
        for at, to in pieces_of(change, self.block):
            new = change.after[at - change.offset:to - change.offset]
            over = max(0, min(to, base_size) - at)
            if over > 0 and self.random.random() < 0.5:
                put(content, at, new[:over])
            if to - at > over:
                put(content, at + over, bytes(to - at - over) if self.mode == "zero" else self.garbage(new[over:]))

    def garbage(self, new):
        kind = self.random.randrange(4)
        if kind == 0:
            return new
        if kind == 1:
            return bytes(len(new))
        return self.random.randbytes(len(new))


# --- names ---

def decide_names(log, mode_of, random_):
    """Which of the entries that were not flushed are there."""
    applied = set()
    for key, node in log.nodes.items():
        open_entries = [entry for entry in node.entries if not entry.flushed]
        if not open_entries:
            continue
        mode = mode_of(key)
        if mode == "clean":
            chance = 0
        elif mode in ("zero", "noise", KEEP):
            chance = 1
        else:
            chance = random_.choice((0, 1, random_.random()))
        prefix = random_.randrange(len(open_entries) + 1) if chance not in (0, 1) and random_.random() < 0.3 else None
        for place, entry in enumerate(open_entries):
            if place < prefix if prefix is not None else random_.random() < chance:
                applied.add(id(entry))
    for node in log.nodes.values():
        for entry in node.entries:
            # A rename never leaves its file nowhere.
            if entry.kind != ADD or entry.other is None or id(entry) in applied or entry.flushed:
                continue
            if id(entry.other) in applied:
                applied.discard(id(entry.other))
            elif entry.other.flushed:
                applied.add(id(entry))
    return applied


class Tree:
    """The directory as it is, its nodes by key: names of directories, paths of files."""

    def __init__(self, data, shadow, log, sizes):
        self.log = log
        self.sizes = sizes
        self.unlogged = []
        self.key_of = {ino: key for ino, key in log.current.items()}
        self.names = {}
        self.paths = {}
        self.root = self.walk(data)
        for path in shadow.iterdir():
            self.paths.setdefault(self.key_of.get(int(path.name), int(path.name)), path)

    def walk(self, folder):
        ino = folder.stat().st_ino
        key = self.key_of.get(ino, ino)
        names = self.names[key] = {}
        for entry in os.scandir(folder):
            ino = entry.inode()
            if entry.is_dir(follow_symlinks=False):
                names[entry.name] = self.walk(pathlib.Path(entry.path))
            else:
                child = self.key_of.get(ino, ino)
                names[entry.name] = child
                self.paths.setdefault(child, pathlib.Path(entry.path))
                self.check_size(child, entry)
        return key

    def check_size(self, key, entry):
        """A file that is not as long as the log has it was changed by a call that the shim did not see."""
        node = self.log.nodes.get(key)
        known = node.size if node is not None and node.size is not None else self.sizes.get(key)
        size = entry.stat(follow_symlinks=False).st_size
        if size != known:
            self.unlogged.append(f"{entry.path}: {size} bytes, by the log {known}")

    def settle(self, applied):
        """Names as they are after the loss."""
        for key, node in self.log.nodes.items():
            if not node.is_dir:
                continue
            names = self.names.setdefault(key, {})
            for entry in reversed(node.entries):
                if entry.kind == REMOVE:
                    names[entry.name] = entry.node
                elif names.get(entry.name) == entry.node:
                    if entry.replaced:
                        names[entry.name] = entry.replaced
                    else:
                        del names[entry.name]
            for entry in node.entries:
                if not entry.flushed and id(entry) not in applied:
                    continue
                if entry.kind == ADD:
                    names[entry.name] = entry.node
                elif names.get(entry.name) == entry.node:
                    del names[entry.name]

    def is_dir(self, key):
        return key in self.names


class Builder:
    """Writes what a tree has come to."""

    def __init__(self, tree, log, mode_of, random_):
        self.tree, self.log, self.mode_of, self.random = tree, log, mode_of, random_
        self.built = {}
        self.dirs_built = set()
        self.changed = 0

    def build(self, key, to):
        to.mkdir()
        is_second = key in self.dirs_built  # a directory under two names: each has files of its own
        self.dirs_built.add(key)
        for name, child in sorted(self.tree.names[key].items()):
            if self.tree.is_dir(child):
                self.build(child, to / name)
            else:
                self.build_file(child, to / name, is_second)

    def build_file(self, key, to, is_copy):
        if key in self.built:
            if is_copy:
                shutil.copyfile(self.built[key], to)
            else:
                os.link(self.built[key], to)
            return
        path = self.tree.paths.get(key)
        if path is None:
            raise Unsound(f"{to}: its bytes were not kept")
        node = self.log.nodes.get(key)
        mode = self.mode_of(key)
        if node is None or not node.changes:
            os.link(path, to)
        else:
            live = path.read_bytes()
            content = Bytes(mode, self.random).build(live, node.changes)
            self.changed += content != live
            to.write_bytes(content)
            shutil.copymode(path, to)
        self.built[key] = to


def modes_by_node(mode, random_):
    """The part that each node plays; asked for again it is the same."""
    parts = {}

    def mode_of(key):
        if key not in parts:
            if mode == "mixed":
                parts[key] = random_.choice(("clean", "torn", "zero", "noise", "names", KEEP))
            else:
                parts[key] = mode
            if parts[key] == "names" and not (key in mode_of.dirs):
                parts[key] = random_.choice(("clean", KEEP))
        return parts[key]

    mode_of.dirs = set()
    return mode_of


def replay(data, log_folder, mode, seed):
    """Builds it in place; how many files and names are not as the page cache had them."""
    data, log_folder = pathlib.Path(data), pathlib.Path(log_folder)
    random_ = random.Random(seed)
    log = Log(log_folder / "log")
    sizes = {int(ino): size for ino, size in json.loads((log_folder / "sizes").read_text()).items()}
    tree = Tree(data, log_folder / "shadow", log, sizes)
    if len(tree.unlogged) > log.starts:
        raise Unsound("; ".join(tree.unlogged))
    before = {key: dict(names) for key, names in tree.names.items()}
    mode_of = modes_by_node(mode, random_)
    mode_of.dirs = {key for key, node in log.nodes.items() if node.is_dir}
    tree.settle(decide_names(log, mode_of, random_))
    builder = Builder(tree, log, mode_of, random_)
    after = data.with_name(data.name + ".after")
    builder.build(tree.root, after)
    old = data.with_name(data.name + ".before")
    data.rename(old)
    after.rename(data)
    shutil.rmtree(old)
    reset(data, log_folder)
    names_changed = sum(before.get(key) != names for key, names in tree.names.items())
    return {"files": builder.changed, "directories": names_changed, "flushes": log.flushes}


def reset(data, log_folder):
    """An empty log: whatever the directory holds now counts as flushed."""
    log_folder = pathlib.Path(log_folder)
    sizes = {path.stat().st_ino: path.stat().st_size for path in pathlib.Path(data).rglob("*") if path.is_file()}
    shutil.rmtree(log_folder / "shadow", ignore_errors=True)
    (log_folder / "shadow").mkdir(parents=True)
    (log_folder / "log").write_bytes(b"")
    (log_folder / "sizes").write_text(json.dumps(sizes))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--mode", choices=MODES, default="mixed")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(replay(options.data, options.log, options.mode, options.seed))


if __name__ == "__main__":
    sys.exit(main())
