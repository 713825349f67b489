"""The two servers of a comparison, each pinned to one CPU and gone when this process is."""

import contextlib
import ctypes
import dataclasses
import os
import pathlib
import pwd
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

from ports import free_port  # noqa: E402

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 60
POLL_S = 0.02
LOG_SHOWN_SIZE = 4000
PR_SET_PDEATHSIG = 1


class BenchError(Exception):
    """It can't be measured; the text says why."""


def in_child(cpu):
    """What a child does before it becomes its program: stays on one CPU (None: on any), and does not outlive this process."""
    def prepare():
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        # Not SIGKILL: nginx's worker would outlive it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    return prepare


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A certificate that signs itself, for 127.0.0.1: both servers show it, and clients trust it."""

    cert: pathlib.Path
    key: pathlib.Path

    @classmethod
    def make(cls, folder):
        made = cls(folder / "cert.pem", folder / "key.pem")
        done = subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(made.key), "-out", str(made.cert)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"openssl req: {done.stderr.strip()}")
        made.key.chmod(0o600)
        return made


def first_line(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return (done.stdout.splitlines() or [f"{command[0]}: says nothing"])[0]


class Server:
    """One process with a port. Subclasses set command, and may override pid."""

    name = "server"
    ready_path = "/"
    certificate = None  # with one: https

    def __init__(self, folder, cpu):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cpu = cpu
        self.port = free_port()
        self.log = self.folder / "output.log"
        self.process = None

    @property
    def url(self):
        return f"{'http' if self.certificate is None else 'https'}://127.0.0.1:{self.port}"

    def context(self):
        """For urllib: whom to trust; None: plain HTTP."""
        return None if self.certificate is None else ssl.create_default_context(cafile=self.certificate.cert)

    @property
    def pid(self):
        """The process that does the work."""
        return self.process.pid

    def command(self):
        raise NotImplementedError

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=in_child(self.cpu))
        self.wait_ready()
        return self

    def wait_ready(self):
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_ready():
            if self.process.poll() is not None:
                raise BenchError(f"{self.name} ended with {self.process.returncode}:\n{self.output()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} is not ready after {START_TIMEOUT_S} s:\n{self.output()}")
            time.sleep(POLL_S)

    def is_ready(self):
        try:
            with urllib.request.urlopen(
                    self.url + self.ready_path, timeout=START_TIMEOUT_S, context=self.context()) as answer:
                return answer.status == 200
        except urllib.error.HTTPError as answer:
            return self.ready_path == "/" and answer.code in (403, 404)
        except OSError:
            return False

    def output(self):
        return self.log.read_text(errors="replace")[-LOG_SHOWN_SIZE:]

    def stop(self):
        """SIGTERM, and it has to leave well: what breaks at its end was not worth measuring."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise BenchError(f"{self.name} did not leave within {STOP_TIMEOUT_S} s of SIGTERM") from None
        if code != 0:
            raise BenchError(f"{self.name} ended with {code}:\n{self.output()}")

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.stop()
            return
        with contextlib.suppress(BenchError):  # what went wrong first is what is told
            self.stop()


class Storaged(Server):
    """One storage node with one event loop; a cluster of its own, so one copy of each message."""

    name = "storaged"
    node_id = "bench"
    ready_path = "/readyz"
    options = ("--loops", "1", "--shards", "8", "--reserve", "1GiB", "--log-level", "warn")

    def __init__(self, binary, folder, cpu, certificate=None, url=None):
        super().__init__(folder, cpu)
        self.binary = binary
        self.data = self.folder / "data"
        self.certificate = certificate
        self.kept_url = url  # of the node that made the data

    def command(self):
        return [str(self.binary), "--data", str(self.data), "--listen", f"127.0.0.1:{self.port}", "--id", self.node_id,
                *(["--url", self.kept_url] if self.kept_url else []), *self.tls_options(), *self.options]

    def tls_options(self):
        if self.certificate is None:
            return []
        return ["--tls-cert", str(self.certificate.cert), "--tls-key", str(self.certificate.key)]

    def remove_data(self):
        shutil.rmtree(self.data, ignore_errors=True)


class Nginx(Server):
    """nginx with one worker; nginx.conf.in says how it is tuned."""

    name = "nginx"

    def __init__(self, folder, cpu, certificate=None):
        super().__init__(folder, cpu)
        self.certificate = certificate
        self.binary = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if self.binary is None:
            raise BenchError("there is no nginx: ops/setup --test brings it")
        self.html = self.folder / "html"
        for name in ("html", "put", "body", "unused"):
            (self.folder / name).mkdir(exist_ok=True)

    def command(self):
        user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
        text = (HERE / "nginx.conf.in").read_text()
        for name, value in {"ROOT": str(self.folder), "PORT": str(self.port), "USER": user, **self.tls_words()}.items():
            text = text.replace(f"@{name}@", value)
        path = self.folder / "nginx.conf"
        path.write_text(text)
        return [self.binary, "-p", str(self.folder), "-e", str(self.folder / "error.log"), "-c", str(path)]

    def tls_words(self):
        if self.certificate is None:
            return {"SSL": "", "TLS": ""}
        return {"SSL": "ssl", "TLS": f"ssl_certificate {self.certificate.cert};\n"
                                     f"        ssl_certificate_key {self.certificate.key};\n"
                                     "        ssl_protocols TLSv1.3;\n"
                                     "        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;"}

    @property
    def pid(self):
        """The worker: the one child of the process that was started."""
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.process.pid:
                return int(stat.parent.name)
        raise BenchError("nginx has no worker")
