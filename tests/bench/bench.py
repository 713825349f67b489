"""A storage node beside nginx: the same bytes by range, the same bodies by PUT, in turns, on one CPU each.

tests/bench/run is how it is started; README.md beside this file says how to read what it prints.
"""

import argparse
import contextlib
import hashlib
import http.client
import json
import mmap
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from bench_cases import CASES, MIB, TEMPLATES
from bench_report import busy_table, summarize, table
from bench_servers import BenchError, Certificate, Nginx, Storaged, first_line, in_child

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = "bench"
BASE_TIME = "20261120T0000Z"
RUN_TEMPLATE = "64k"
HTTP_TIMEOUT_S = 600
TOUCH_SIZE_MAX = 8 << 30
PAGE_SIZE = 4096
PUT_DISK_SHARE = 3  # what PUTs may write in all: one part of the free disk in so many
PROFILE_HZ = 997
PROFILE_SHOWN = 20
SYSTEM_CALLS = re.compile(r"\] (__x64_sys_|__sys_|ksys_|do_(read|write|pread|pwrite)v|handle_softirqs|ret_from_fork)")


class Settings:
    """How much is done; what --quick cuts down to seconds."""

    def __init__(self, arguments):
        quick = arguments.quick
        self.rounds = arguments.rounds or (1 if quick else 5)
        self.seconds = arguments.seconds or (0.3 if quick else 4.0)
        self.warmup = 0.1 if quick else 0.5
        self.run_size = 16 * MIB if quick else 256 * MIB
        self.put_bytes_max = 512 * MIB if quick else 2048 * MIB
        self.check_one_in = 4 if quick else 256
        self.pause_s = 0 if quick else 1.5
        self.touch = not quick and not arguments.no_touch


def say(text):
    print(text, file=sys.stderr, flush=True)


# --- what stands around a measurement ---

def touch_memory():
    """A guest's page costs its host a fault when it is first used: better now than in a round."""
    size = min(TOUCH_SIZE_MAX, os.sysconf("SC_AVPHYS_PAGES") * PAGE_SIZE // 2)
    with mmap.mmap(-1, size) as pages:
        for at in range(0, size, PAGE_SIZE):
            pages[at] = 1


def settle(settings):
    """After writing or removing much the disk is slow for a while, and what is dirty is somebody else's next burden. A smoke
    run waits for nobody's writes."""
    if settings.pause_s == 0:
        return
    os.sync()
    time.sleep(settings.pause_s)


def cpus():
    """The CPU of the server and that of the client."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def busy_seconds():
    """CPU time that this machine has spent on anything, stolen time with it."""
    fields = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    user, nice, system, _, _, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def process_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def command_output(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{pathlib.Path(command[0]).name} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def describe(bench):
    """What was compared, and where."""
    git = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True,
                         check=False)
    model = [line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    return {
        "ours": first_line([str(bench.binary("storaged")), "--version"]),
        "ours_commit": git.stdout.strip() or "unknown",
        "ours_settings": " ".join(Storaged.options),
        "nginx": first_line([bench.nginx.binary, "-v"]),
        "nginx_settings": "1 worker, sendfile, tcp_nopush off, open_file_cache, DAV PUT (nginx.conf.in)",
        "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs, {(model or ['unknown CPU'])[0]}",
        "pinned": f"server to CPU {bench.server_cpu}, client to CPU {bench.client_cpu}",
        "load_average": os.getloadavg(),
        "rounds": bench.settings.rounds,
        "seconds": bench.settings.seconds,
    }


# --- the data that both serve ---

def put_file(url, path):
    """PUT a file; the answer as JSON."""
    at = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=HTTP_TIMEOUT_S)
    with open(path, "rb") as body:
        connection.request("PUT", at.path, body=body, headers={"Content-Length": str(path.stat().st_size)})
        answer = connection.getresponse()
        text = answer.read()
    connection.close()
    if answer.status != 201:
        raise BenchError(f"PUT {url}: {answer.status} {text[:500]!r}")
    return json.loads(text)


def get(url):
    with urllib.request.urlopen(url, timeout=HTTP_TIMEOUT_S) as answer:
        return answer.read()


def run_listing(server):
    return json.loads(get(f"{server.url}/data/{SOURCE}/{BASE_TIME}/?format=json"))


def check_messages(run, answer, local):
    """Each message of the run lies in the downloaded files where the answer to the PUT says."""
    size = run.stat().st_size // len(answer["messages"])
    with open(run, "rb") as file:
        for message in answer["messages"]:
            data = file.read(size)
            at = message["locations"][0]
            found = local[at["url"]][at["offset"]:at["offset"] + at["length"]]
            if found != data or hashlib.sha256(data).hexdigest() != message["digest"]:
                raise BenchError(f"message {message['digest']} is not at {at}")


def copy_run(storaged, nginx, run, folder):
    """Fill storaged with a run, give nginx its data files, and list both for httpload."""
    answer = put_file(f"{storaged.url}/ingest/{SOURCE}/", run)
    lines, local = [], {}
    for file in run_listing(storaged)["files"]:
        path = urllib.parse.urlsplit(file["url"]).path
        copy = nginx.html / path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        local[file["url"]] = get(storaged.url + path)
        copy.write_bytes(local[file["url"]])
        lines.append(f"{path} {copy}\n")
    check_messages(run, answer, local)
    files = folder / "files.txt"
    files.write_text("".join(lines))
    return files


def spread_folders(folder):
    """Ask ext4 to put each folder made in here into another part of the disk (chattr +T); others don't know it.

    ext4 passes over inodes that were freed in the last minutes, one by one: where many files have just been removed, by
    anybody, making one costs a millisecond, and nginx makes one a PUT.
    """
    subprocess.run(["chattr", "+T", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


class Bench:
    """The servers, the client and the cases of one comparison."""

    def __init__(self, arguments, folder):
        self.arguments = arguments
        self.settings = Settings(arguments)
        self.folder = folder
        spread_folders(folder)
        self.server_cpu, self.client_cpu = cpus()
        self.nginx = Nginx(folder / "nginx", self.server_cpu)
        self.seed = 0
        self.files = None
        self.templates = {}

    def binary(self, name):
        path = self.arguments.bin / name
        if not path.exists():
            raise BenchError(f"there is no {path}: build it, or leave --bin out")
        return path

    # --- preparing ---

    def make_templates(self):
        for name, options in TEMPLATES.items():
            path = self.folder / f"{name}.grib"
            command_output([str(self.binary("gribgen")), "--out", str(path), "--edition", "2", "--members", "1", "--params",
                            "t", "--levels", "500", "--steps", "0", "--minutes", "off", *options])
            self.templates[name] = path

    def make_run(self):
        template, run = self.templates[RUN_TEMPLATE], self.folder / "run.grib"
        count = self.settings.run_size // template.stat().st_size
        command_output([str(self.binary("gribgen")), "--stamp", str(template), "--count", str(count), "--base-time",
                        BASE_TIME, "--out", str(run)])
        return run

    # --- measuring ---

    def load(self, server, kind, case, *options):
        """One measurement by httpload, with who was busy meanwhile."""
        self.seed += 1
        command = [str(self.binary("httpload")), kind, "--port", str(server.port), "--pid", str(server.pid),
                   "--connections", str(case.connections), "--seconds", str(self.settings.seconds), "--warmup",
                   str(self.settings.warmup), "--check-one-in", str(self.settings.check_one_in), "--seed", str(self.seed),
                   *(["--ca-file", str(server.certificate.cert)] if server.certificate else []), *map(str, options)]
        before = busy_seconds(), process_seconds(server.pid), time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=in_child(self.client_cpu))
        if done.returncode != 0:
            raise BenchError(f"{case.name}, {server.name}: {done.stderr.strip()}\n{server.output()}")
        measured = json.loads(done.stdout)
        elapsed = time.monotonic() - before[2]
        server_busy = (process_seconds(server.pid) - before[1]) / elapsed
        client_busy = measured["client_cpu_seconds"] / measured["seconds"]
        measured["cpu_us"] = measured["server_cpu_seconds"] / measured["requests"] * 1e6
        measured["server_busy"] = measured["server_cpu_seconds"] / measured["seconds"]
        measured["client_busy"] = client_busy
        measured["others_busy"] = max(0.0, (busy_seconds() - before[0]) / elapsed - server_busy - client_busy)
        return measured

    def read(self, server, case):
        return self.load(server, "get", case, "--files", self.files, "--size", case.size, "--ranges", case.ranges)

    def put(self, server, case, path):
        return self.load(server, "put", case, "--path", path, "--template", self.templates[case.template], "--bytes-max",
                         self.settings.put_bytes_max)

    def put_ours(self, case, measure=None):
        """Into an empty node each time; afterwards it has as many messages as it acknowledged."""
        storaged = Storaged(self.binary("storaged"), self.folder / "storaged-put", self.server_cpu)
        with storaged:
            measured = (measure or self.put)(storaged, case, f"/ingest/{SOURCE}/")
            kept = run_listing(storaged)["messages"]
            if kept != measured["total"]:
                raise BenchError(f"{case.name}: {measured['total']} messages acknowledged, {kept} there")
        storaged.remove_data()
        settle(self.settings)
        return measured

    def put_nginx(self, case):
        """With an empty folder each time. Its files stay until the end: removing them would make the next ones slow."""
        with Nginx(self.folder / f"nginx-put-{self.seed}", self.server_cpu) as nginx:
            measured = self.put(nginx, case, "/put/{n}")
            kept = sum(1 for _ in os.scandir(nginx.folder / "put"))
        if kept != measured["total"]:
            raise BenchError(f"{case.name}: {measured['total']} PUTs answered, {kept} files there")
        settle(self.settings)
        return measured

    def rounds(self, case, sides):
        """A B A B: neighbours' load comes and goes within minutes, and so meets both."""
        rounds = []
        for _ in range(self.settings.rounds):
            rounds.append({side: measure(case) for side, measure in sides.items()})
            say(f"  {case.name}: " + ", ".join(f"{side} {measured['rate']:,.0f}/s" for side, measured in rounds[-1].items()))
        return summarize(case, rounds)

    def read_rounds(self, case, storaged, nginx):
        row = self.rounds(case, {
            "ours": lambda case: self.read(storaged, case), "nginx": lambda case: self.read(nginx, case)})
        if self.arguments.profile:
            self.profile(storaged, case, lambda case=case: self.read(storaged, case))
        return row

    def run_reads(self, cases):
        """Those over TLS behind the others: the same files, under the same paths, by two servers that are started for it."""
        if not cases:
            return []
        run = self.make_run()
        rows = {}
        storaged = Storaged(self.binary("storaged"), self.folder / "storaged", self.server_cpu)
        with self.nginx, storaged:
            self.files = copy_run(storaged, self.nginx, run, self.folder)
            settle(self.settings)
            for case in (case for case in cases if not case.tls):
                rows[case.name] = self.read_rounds(case, storaged, self.nginx)
        if any(case.tls for case in cases):
            certificate = Certificate.make(self.folder)
            with Nginx(self.nginx.folder, self.server_cpu, certificate) as nginx, Storaged(
                    self.binary("storaged"), storaged.folder, self.server_cpu, certificate, storaged.url) as storaged:
                for case in (case for case in cases if case.tls):
                    rows[case.name] = self.read_rounds(case, storaged, nginx)
        storaged.remove_data()
        return [rows[case.name] for case in cases]

    def run_puts(self, cases):
        rows = []
        measurements = len(cases) * self.settings.rounds
        room = shutil.disk_usage(self.folder).free // PUT_DISK_SHARE // max(measurements, 1)
        self.settings.put_bytes_max = min(self.settings.put_bytes_max, room)
        for case in cases:
            rows.append(self.rounds(case, {"ours": self.put_ours, "nginx": self.put_nginx}))
            if self.arguments.profile:
                self.put_ours(case, self.profile_put)
        return rows

    # --- where the time goes ---

    def profile_put(self, server, case, path):
        return self.profile(server, case, lambda: self.put(server, case, path))

    def profile(self, server, case, measure):
        """One more measurement of ours, under perf by the CPU clock (a guest has no counters)."""
        if shutil.which("perf") is None:
            raise BenchError("--profile needs perf: apt-get install linux-perf")
        self.arguments.profile.mkdir(parents=True, exist_ok=True)
        data = self.arguments.profile / f"{case.name}.perf"
        perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", str(PROFILE_HZ), "-g", "-o", str(data),
                                 "-p", str(server.pid)], preexec_fn=in_child(self.client_cpu))
        try:
            measured = measure()
        finally:
            perf.terminate()
            perf.wait()
        self.print_profile(case, data)
        return measured

    def print_profile(self, case, data):
        def report(*options, keep=lambda line: True):
            text = command_output(["perf", "report", "-i", str(data), "--stdio", "-q", "-g", "none", "--percent-limit",
                                   "0.7", *options])
            lines = [line.rstrip(" -") for line in text.splitlines() if line.strip() and keep(line)]
            return "\n".join(lines[:PROFILE_SHOWN])

        print(f"\n== {case.name}: where storaged spends its CPU time\n"
              f"\nby library\n{report('--no-children', '--sort', 'dso')}\n"
              f"\nby system call (its share with all below it)\n"
              f"{report('--children', '--sort', 'symbol', keep=SYSTEM_CALLS.search)}\n"
              f"\nby function\n{report('--no-children', '--sort', 'symbol', keep=lambda line: '] 0x' not in line)}",
              flush=True)

    def run(self):
        cases = [case for case in CASES if not self.arguments.cases or case.name in self.arguments.cases]
        if self.settings.touch:
            say("touching memory")
            touch_memory()
        self.make_templates()
        about = describe(self)
        say("\n".join(f"{key}: {value}" for key, value in about.items()))
        rows = self.run_reads([case for case in cases if not case.is_put])
        rows += self.run_puts([case for case in cases if case.is_put])
        about["load_average_after"] = os.getloadavg()
        return {"about": about, "cases": rows}


def parse_arguments():
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="a storage node beside nginx, in turns")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin", metavar="DIR",
                        help="measure the binaries of DIR; nothing is built (default: build the release preset)")
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds: every row, no figure worth reading")
    parser.add_argument("--rounds", type=int, metavar="N", help="A B A B ... so many times (default 5)")
    parser.add_argument("--seconds", type=float, metavar="S", help="of each measurement (default 4)")
    parser.add_argument("--cases", nargs="+", choices=names, metavar="CASE", help=f"some of: {' '.join(names)}")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="all figures of all rounds")
    parser.add_argument("--profile", type=pathlib.Path, metavar="DIR",
                        help="one more measurement of ours a case, under perf; the data is kept in DIR")
    parser.add_argument("--dir", type=pathlib.Path, metavar="DIR",
                        help="on the disk to be measured (default: build/bench in the project's root)")
    parser.add_argument("--no-touch", action="store_true", help="don't touch free memory first (a guest's pages)")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    parent = (arguments.dir or ROOT / "build/bench").resolve()
    parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=parent)))
        try:
            result = Bench(arguments, folder).run()
        except BenchError as error:
            say(f"bench: {error}")
            return 1
    print("\n".join(f"{key}: {value}" for key, value in result["about"].items()))
    print(f"\n{table(result['cases'])}\n\n{busy_table(result['cases'])}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
