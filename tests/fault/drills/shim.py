"""A process under the shim: its environment, its rules while it runs, what a power loss leaves of its directory."""

import errno
import mmap
import os
import pathlib
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "shim"))

import replay  # noqa: E402

MAGIC, VERSION = 0x4D494853, 1
CONTROL_SIZE, RULES, RULES_AT, RULE_SIZE, NAME_SIZE = 4096, 8, 216, 144, 64
CALLS_AT, UNMODELLED_AT, UNMODELLED_NAME_AT, CLOCK_AT = 16, 144, 152, 1368
OPS = ("open", "read", "write", "flush", "flush-dir", "rename", "unlink", "make", "truncate", "alloc")
PASS, FAIL, SHORT, DELAY, LIE = range(5)
SKIP_FLUSH = 1
ALWAYS = 2 ** 63
# After the action: ops, error, -, skip, left, delay (2), bytes (2), seen, fired, name.
RULE = struct.Struct(f"<IIiIQQQQQQQQ{NAME_SIZE}s")


class Rule:
    """One rule of the control page, as long as it stands."""

    def __init__(self, shim, place):
        self.shim, self.at = shim, RULES_AT + place * RULE_SIZE

    @property
    def seen(self):
        return struct.unpack_from("<Q", self.shim.page, self.at + 64)[0]

    @property
    def fired(self):
        return struct.unpack_from("<Q", self.shim.page, self.at + 72)[0]

    def end(self):
        """Takes it out; how often it fired."""
        struct.pack_into("<I", self.shim.page, self.at, PASS)
        return self.fired


class Shim:
    """What one data directory is played with by. folder lies on the same file system, beside it."""

    def __init__(self, library, data, folder, log=False):
        self.library, self.data, self.folder = pathlib.Path(library), pathlib.Path(data).resolve(), pathlib.Path(folder)
        if not self.library.exists():
            raise FileNotFoundError(f"{self.library}: build the target gribstore_fault_shim")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = log
        if log:
            replay.reset(self.data, self.folder)
        control = self.folder / "control"
        control.write_bytes(bytes(CONTROL_SIZE))
        with open(control, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), CONTROL_SIZE)
        struct.pack_into("<III", self.page, 0, MAGIC, VERSION, SKIP_FLUSH if log else 0)
        self.rules = 0
        self.fired_before = 0

    def environment(self, program):
        """For a process that runs `program`: its sanitizer comes first, where it has one."""
        libraries = [*sanitizers_of(program), self.library]
        environment = {
            "LD_PRELOAD": " ".join(map(str, libraries)), "GRIBSTORE_SHIM_ROOT": str(self.data),
            "GRIBSTORE_SHIM_CONTROL": str(self.folder / "control"), "UV_USE_IO_URING": "0",
        }
        if self.log:
            environment["GRIBSTORE_SHIM_LOG"] = str(self.folder)
        return environment

    def rule(self, action, *ops, error=errno.EIO, skip=0, left=ALWAYS, delay_ms=(0, 0), extent=(0, 0), name=""):
        """A new rule in the next place; eight stand at a time."""
        place = self.rules % RULES
        self.rules += 1
        bits = sum(1 << OPS.index(op) for op in ops)
        at = RULES_AT + place * RULE_SIZE
        struct.pack_into("<I", self.page, at, PASS)
        RULE.pack_into(self.page, at, PASS, bits, error, 0, skip, left, int(delay_ms[0] * 1000), int(delay_ms[1] * 1000), *extent, 0, 0,
                       name.encode())
        struct.pack_into("<I", self.page, at, action)
        return Rule(self, place)

    def end_rules(self):
        for place in range(RULES):
            struct.pack_into("<I", self.page, RULES_AT + place * RULE_SIZE, PASS)

    def set_clock(self, ahead_s):
        """The wall clock of the process, against the real one."""
        struct.pack_into("<q", self.page, CLOCK_AT, int(ahead_s * 1e6))

    @property
    def clock_reads(self):
        return struct.unpack_from("<Q", self.page, CLOCK_AT + 8)[0]

    def calls(self, op):
        return struct.unpack_from("<Q", self.page, CALLS_AT + 8 * OPS.index(op))[0]

    def check_modelled(self):
        """A change that the log does not know: what is built from it would prove nothing."""
        count = struct.unpack_from("<Q", self.page, UNMODELLED_AT)[0]
        name = self.page[UNMODELLED_NAME_AT:UNMODELLED_NAME_AT + NAME_SIZE].split(b"\0")[0].decode()
        assert count == 0, f"the shim does not know {count} changes of {self.data}: {name}"

    def lose_power(self, mode, seed):
        """After the process is dead: its directory as a disk could hold it. What was lost, counted."""
        self.check_modelled()
        return replay.replay(self.data, self.folder, mode, seed)


def sanitizers_of(program):
    """The sanitizer's library that a program is linked to: it refuses to come second."""
    found = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False, timeout=60).stdout
    return [line.split("=>")[1].split("(")[0].strip() for line in found.splitlines() if "libasan" in line or "libtsan" in line]


def mount_small(folder, size, kind):
    """A file system of so many bytes: tmpfs, or ext4 in a file beside the folder. False: none can be had (root alone may)."""
    if os.geteuid() != 0:
        return False
    commands = [["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]]
    if kind == "ext4":
        image = folder.with_suffix(".img")
        with open(image, "wb") as file:
            file.truncate(size)
        commands = [["mkfs.ext4", "-q", "-F", str(image)], ["mount", "-o", "loop", str(image), str(folder)]]
    try:
        return all(subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0 for command in commands)
    except FileNotFoundError:
        return False


def unmount(folder):
    subprocess.run(["umount", "-l", str(folder)], check=True, timeout=60)
