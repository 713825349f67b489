"""TLS between everybody: clients, nodes, the indexer; certificates that change, that are asked for, that do not hold."""

import contextlib
import hashlib
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading

import pytest
import requests

from processes import BIN, LEAK_FREE, Client, Cluster, Daemon, Indexer, Node, await_condition

IDLE_CONNECTIONS = 1000
IDLE_SIZE_MAX = 64 * 1024
SOURCE_RUN = "20200102T0300Z"
TIMEOUT_S = 60
NOT_FOUND, REFUSED = 4, 6  # exit codes of the client


def message(number, size=4000):
    section1 = (21).to_bytes(4, "big") + b"\x01" + bytes(7) + (2020).to_bytes(2, "big") + bytes([1, 2, 3, 0, 0]) + bytes(2)
    body = section1 + number.to_bytes(8, "big") + bytes(i * 7 + number & 255 for i in range(size))
    return b"GRIB\0\0\0\2" + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"


# --- certificates, made by openssl(1) ---

def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Authority:
    """A CA in a folder, and what it signs."""

    def __init__(self, folder, name="ca"):
        self.folder = pathlib.Path(folder)
        self.cert, self.key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
                f"/CN={name}", "-keyout", self.key, "-out", self.cert)

    def sign(self, name, alternatives="IP:127.0.0.1,DNS:localhost", to=None):
        """A pair (cert, key) for this name; in the place of another pair, if one is given."""
        cert, key = to or (self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request, extra = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extra.write_text(f"subjectAltName={alternatives}\n")
        made = self.folder / f"{name}.new"
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{made}.key", "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-days", "20", "-extfile", extra, "-out", made)
        os.chmod(f"{made}.key", 0o600)
        os.replace(f"{made}.key", key)
        os.replace(made, cert)
        return cert, key


@pytest.fixture
def authority(tmp_path, monkeypatch):
    folder = tmp_path / "certificates"
    folder.mkdir()
    made = Authority(folder)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made.cert))  # of requests, in this process
    return made


# --- daemons with TLS ---

def tls_options(authority, name, *more):
    cert, key = authority.sign(name)
    return ["--tls-cert", cert, "--tls-key", key, "--ca-file", authority.cert, *more]


class TlsNode(Node):
    def __init__(self, name, folder, authority, *more, environment=None, **options):
        super().__init__(name, folder, arguments=tls_options(authority, name, *more), environment=environment, **options)
        at = self.command.index("--url")
        del self.command[at:at + 2]  # the default, which is https with TLS
        self.url = f"https://{self.listen}"
        self.cert, self.key = authority.folder / f"{name}.pem", authority.folder / f"{name}.key"


class TlsIndexer(Indexer):
    def __init__(self, name, folder, nodes, authority, *more):
        super().__init__(name, folder, nodes, arguments=tls_options(authority, name, *more))
        self.url = f"https://{self.listen}"


@pytest.fixture
def node(daemons, tmp_path, authority):
    return daemons.begin(TlsNode("n1", tmp_path, authority))


def port(daemon):
    return int(daemon.listen.rpartition(":")[2])


def client(authority, indexer=None, node=None):
    made = Client(indexer, node)
    made.environment["GRIBSTORE_CA_FILE"] = str(authority.cert)
    return made


def context(authority, pair=None):
    made = ssl.create_default_context(cafile=authority.cert)
    if pair is not None:
        made.load_cert_chain(*pair)
    return made


def connect(daemon, made):
    plain = socket.create_connection(("127.0.0.1", port(daemon)), timeout=TIMEOUT_S)
    return made.wrap_socket(plain, server_hostname="localhost")


def name_shown(connection):
    return dict(pair[0] for pair in connection.getpeercert()["subject"])["commonName"]


# --- one node ---

@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_puts_and_gets_over_tls(tmp_path, authority, node, version):
    sent = tmp_path / "sent.grib"
    sent.write_bytes(b"".join(message(number, size=90_000) for number in range(30)))

    def curl(*arguments):
        done = subprocess.run(["curl", "-sS", "--fail", "--cacert", authority.cert, f"--tlsv{version}", "--tls-max", version,
                               *arguments], capture_output=True, timeout=TIMEOUT_S, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    answer = requests.models.complexjson.loads(curl("-T", str(sent), f"{node.url}/ingest/hres/"))
    assert answer["stored"] == 30
    for line in answer["messages"]:
        at = line["locations"][0]
        assert at["url"].startswith(node.url)
        got = curl("-r", f"{at['offset']}-{at['offset'] + at['length'] - 1}", at["url"])
        assert hashlib.sha256(got).hexdigest() == line["digest"]
    said = curl("-I", answer["messages"][0]["locations"][0]["url"]).decode()
    assert "HTTP/1.1 200" in said and "ccept-ranges: bytes" in said.replace("Accept", "accept").replace("Ranges", "ranges")


def ask(node, path, headers):
    answer = node.get(path, headers=headers)
    kind = answer.headers.get("Content-Type", "")
    boundary = re.search(r"boundary=\"?([^\";]+)", kind)
    body, kept = answer.content, {name: answer.headers.get(name) for name in ("Content-Range", "ETag", "Accept-Ranges")}
    if boundary:
        body = body.replace(boundary.group(1).encode(), b"BOUNDARY")
    return answer.status_code, kept, body if answer.ok else b""  # what was wrong is told with the request's id


def test_ranges_are_the_same_bytes_as_over_http(node):
    """The same data served by the same node without TLS afterwards, under the same name."""
    answer = node.put("/ingest/hres/", b"".join(message(number, size=50_000) for number in range(200))).json()
    paths = {line["locations"][0]["url"][len(node.url):] for line in answer["messages"]}
    ranges = ["bytes=0-0", "bytes=-1", "bytes=5-", "bytes=0-16383", "bytes=1-16384", "bytes=100-65635", "bytes=0-0,2-2",
              "bytes=0-4095,9000-14095,20000-40000", "bytes=" + ",".join(f"{at}-{at + 9}" for at in range(0, 9000, 100)),
              "bytes=90000000-", "bytes=-200000,0-70000", "lines=1-2"]

    def all_answers():
        told = {(path, asked): ask(node, path, {"Range": asked}) for path in sorted(paths) for asked in ranges}
        told |= {(path, None): ask(node, path, {}) for path in sorted(paths)}
        return told | {("sha256", line["digest"]): ask(node, f"/sha256/{line['digest']}", {"Range": "bytes=7-40006"})
                       for line in answer["messages"][:20]}

    secure = all_answers()
    node.stop()
    at = node.command.index("--tls-cert")
    node.command[at:at + 4] = ["--url", node.url]
    node.url = node.url.replace("https:", "http:")
    node.start().wait_ready()
    plain = all_answers()
    assert {asked for asked in plain if plain[asked] != secure[asked]} == set()
    assert {status for status, _, _ in plain.values()} == {200, 206, 416}
    assert max(len(body) for _, _, body in plain.values()) > 300_000


def test_a_plain_request_to_a_tls_port_is_told_so(node):
    told = requests.get(node.url.replace("https:", "http:") + "/healthz", timeout=TIMEOUT_S)
    assert told.status_code == 400
    assert "https://" in told.json()["detail"]
    assert told.headers["Connection"] == "close"
    put = requests.put(node.url.replace("https:", "http:") + "/ingest/hres/", message(1), timeout=TIMEOUT_S)
    assert put.status_code == 400
    assert node.json("/cluster/runs")["runs"] == []


@pytest.mark.parametrize("garbage", [b"\0" * 40, b"\x16\x03\x01\xff\xff" + bytes(100), b"\x80\x2e\x01\0\x02" + b"A" * 60, b"ssh-2.0\r\n"])
def test_garbage_is_closed(node, garbage):
    with socket.create_connection(("127.0.0.1", port(node)), timeout=TIMEOUT_S) as plain:
        plain.sendall(garbage)
        with contextlib.suppress(ConnectionResetError):
            while plain.recv(4096):  # at most an alert
                pass
    assert node.get("/healthz").status_code == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_1_1_is_refused(authority, node):
    old = context(authority)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="(?i)protocol.version|unsupported.protocol"):
        connect(node, old)
    with connect(node, context(authority)) as new:
        assert new.version() == "TLSv1.3"
        assert new.compression() is None


@pytest.mark.parametrize("notify", [True, False], ids=["with close_notify", "without"])
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with a length"])
def test_the_end_of_a_stream_is_not_the_end_of_a_body(authority, node, chunked, notify):
    body = message(1)
    head = (b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n" if chunked
            else b"Content-Length: %d\r\n\r\n" % (len(body) + 10) + body)
    connection = connect(node, context(authority))
    connection.sendall(b"PUT /ingest/cut/ HTTP/1.1\r\nHost: localhost\r\n" + head)
    if notify:
        with contextlib.suppress(OSError):
            connection.unwrap()
    connection.close()
    await_condition(lambda: "gribstore_http_aborted_total 1\n" in node.get("/metrics").text, "the request is given up")
    assert not re.search(r'handler="ingest"[^}]*code="2', node.get("/metrics").text)  # nobody was told that it was taken


def rss(process):
    return int(re.search(r"^VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE).group(1)) * 1024


def test_a_thousand_idle_connections_are_small(daemons, tmp_path, authority):
    # What was freed is given back at once, so that memory is what is in use.
    options = ":".join([LEAK_FREE["ASAN_OPTIONS"], "quarantine_size_mb=0", "thread_local_quarantine_size_kb=0"])
    node = TlsNode("n1", tmp_path, authority, environment={"ASAN_OPTIONS": options})
    node.command += ["--idle-timeout", "1h"]  # a thousand handshakes may take longer than the default
    daemons.begin(node)
    made = context(authority)
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def used():
        connection = connect(node, made)
        connection.sendall(request)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        return connection

    first = [used() for _ in range(50)]
    before = rss(node.process)
    idle = [used() for _ in range(IDLE_CONNECTIONS)]
    each = (rss(node.process) - before) / IDLE_CONNECTIONS
    print(f"{each:.0f} bytes a connection")
    assert each <= IDLE_SIZE_MAX
    for connection in first + idle:
        connection.sendall(request)  # they are all still served
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.close()


# --- certificates that change ---

def test_a_new_certificate_loses_no_request(authority, node):
    node.put("/ingest/hres/", message(1, size=200_000))
    path = node.json("/cluster/runs")["runs"][0]["files"][0]
    url = f"{node.url}/data/hres/{SOURCE_RUN}/{path['shard']:04d}-{path['birth']}.grib"
    wanted = requests.get(url, timeout=TIMEOUT_S).content
    stop, failures, counts = threading.Event(), [], [0, 0]

    def fresh():  # a connection each
        while not stop.is_set():
            try:
                assert requests.get(url, timeout=TIMEOUT_S).content == wanted
                counts[0] += 1
            except (AssertionError, requests.RequestException) as error:
                failures.append(error)

    def kept():  # one connection
        with requests.Session() as session:
            while not stop.is_set():
                try:
                    assert session.get(url, timeout=TIMEOUT_S).content == wanted
                    counts[1] += 1
                except (AssertionError, requests.RequestException) as error:
                    failures.append(error)

    threads = [threading.Thread(target=work) for work in (fresh, fresh, kept)]
    for thread in threads:
        thread.start()
    with connect(node, context(authority)) as old:
        assert name_shown(old) == "n1"
        for turn in range(3):
            authority.sign(f"anew{turn}", to=(node.cert, node.key))
            before = list(counts)
            node.process.send_signal(signal.SIGHUP)

            def is_shown(turn=turn):
                with connect(node, context(authority)) as new:
                    return name_shown(new) == f"anew{turn}"
            await_condition(is_shown, "the new certificate is shown")
            await_condition(lambda before=before: counts[0] > before[0] and counts[1] > before[1], "requests go on")
        old.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")  # a connection of before goes on
        assert old.recv(65536).startswith(b"HTTP/1.1 200")
        assert name_shown(old) == "n1"
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("damage, told", [
    (lambda node, other: node.key.unlink(), "No such file"),
    (lambda node, other: node.key.chmod(0o644), "chmod 600"),
    (lambda node, other: node.cert.write_text("nothing\n"), "no certificate"),
    (lambda node, other: node.key.write_bytes(other.read_bytes()), "is not the key of"),
], ids=["missing", "open", "empty", "mismatched"])
def test_a_certificate_that_does_not_do_leaves_the_old(authority, node, damage, told):
    _, other = authority.sign("other")
    damage(node, other)
    node.process.send_signal(signal.SIGHUP)
    await_condition(lambda: "event=tls.reload" in node.output(), "the reload is logged")
    assert "level=error event=tls.reload" in node.output() and told in node.output()
    with connect(node, context(authority)) as connection:
        assert name_shown(connection) == "n1"
    authority.sign("mended", to=(node.cert, node.key))
    node.process.send_signal(signal.SIGHUP)

    def is_mended():
        with connect(node, context(authority)) as connection:
            return name_shown(connection) == "mended"
    await_condition(is_mended, "a pair that does is taken")


@pytest.mark.parametrize("program", ["storaged", "indexer"])
def test_settings_that_do_not_fit_are_refused_at_the_start(tmp_path, authority, program):
    cert, key = authority.sign("n1")
    _, other = authority.sign("other")
    opened = tmp_path / "open.key"
    opened.write_bytes(key.read_bytes())
    opened.chmod(0o644)
    where = ["--data", tmp_path / "data"] if program == "storaged" else ["--catalog", f"sqlite:{tmp_path}/index.sqlite"]
    cases = [
        (["--tls-cert", cert], "--tls-key"),
        (["--tls-key", key], "--tls-cert"),
        (["--tls-client-ca", authority.cert], "--tls-cert"),
        (["--tls-cert", cert, "--tls-key", key, "--tls-client-required"], "--tls-client-ca"),
        (["--tls-cert", cert, "--tls-key", tmp_path / "none"], "none: No such file"),
        (["--tls-cert", cert, "--tls-key", opened], "chmod 600"),
        (["--tls-cert", cert, "--tls-key", other], "is not the key of"),
        (["--tls-cert", key, "--tls-key", key], "no certificate"),
    ]
    for arguments, told in cases:
        done = subprocess.run([BIN / program, *map(str, [*where, *arguments, "--check-config"])], capture_output=True, text=True,
                              env={**os.environ, **LEAK_FREE}, timeout=TIMEOUT_S, check=False)
        assert done.returncode == 2 and told in done.stderr, (arguments, done.returncode, done.stderr)
    done = subprocess.run([BIN / program, *map(str, [*where, "--tls-cert", cert, "--tls-key", key, "--check-config"])],
                          capture_output=True, text=True, env={**os.environ, **LEAK_FREE}, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr


# --- certificates of clients ---

def test_who_shows_no_certificate_is_not_served_where_one_is_required(daemons, tmp_path, authority):
    node = TlsNode("n1", tmp_path, authority, "--tls-client-ca", authority.cert, "--tls-client-required")
    pair = authority.sign("somebody")
    strangers = Authority(tmp_path, "strangers").sign("stranger")
    daemons.begin(node, ready=False)

    def healthz(*arguments):
        return subprocess.run(["curl", "-s", "--fail", "--cacert", authority.cert, *arguments, f"{node.url}/healthz"],
                              capture_output=True, timeout=TIMEOUT_S, check=False)

    shown = ["--cert", pair[0], "--key", pair[1]]
    await_condition(lambda: healthz(*shown).returncode == 0, "the node serves who shows a certificate")
    assert healthz().returncode == 56  # the alert comes behind the handshake of TLS 1.3
    assert healthz("--tls-max", "1.2").returncode != 0
    assert healthz("--cert", strangers[0], "--key", strangers[1]).returncode != 0
    assert healthz(*shown, "--tls-max", "1.2").returncode == 0
    assert requests.get(f"{node.url}/healthz", cert=tuple(map(str, pair)), timeout=TIMEOUT_S).status_code == 200
    ours = client(authority, node=node)
    told = ours.run("get", "sha256:" + 64 * "0", expected=REFUSED, timeout_s=TIMEOUT_S)  # at once: trying again would not help
    assert b"--cert" in told.stderr
    ours.run("get", "sha256:" + 64 * "0", "--cert", pair[0], "--key", pair[1], expected=NOT_FOUND)


# --- all together ---

def answers(daemon, path, shown):
    with contextlib.suppress(requests.RequestException):
        return requests.get(daemon.url + path, cert=shown, timeout=TIMEOUT_S).status_code == 200
    return False


@pytest.fixture
def cluster(daemons, tmp_path, authority, monkeypatch):
    """Nobody is served without a certificate: each shows its own to the others."""
    required = ("--tls-client-ca", authority.cert, "--tls-client-required")
    shown = tuple(map(str, authority.sign("somebody")))
    monkeypatch.setattr(Daemon, "request", lambda self, method, path, **options: requests.request(
        method, self.url + path, **{"timeout": TIMEOUT_S, "cert": shown, **options}))
    monkeypatch.setattr(Daemon, "is_ready", lambda self: answers(self, "/readyz", shown))
    monkeypatch.setattr(Daemon, "answers", lambda self: answers(self, "/healthz", shown))
    nodes = [daemons.begin(TlsNode(f"n{place}", tmp_path, authority, *required)) for place in (1, 2, 3)]
    made = Cluster(nodes, daemons.begin(TlsIndexer("indexer", tmp_path, nodes, authority, *required), ready=False))
    made.client = client(authority, made.indexer, nodes[0])
    made.client.environment |= {"GRIBSTORE_CERT": shown[0], "GRIBSTORE_KEY": shown[1]}
    made.init()
    made.indexer.wait_ready()
    return made


def test_a_cluster_speaks_https_throughout(tmp_path, authority, cluster, grib):
    files = sorted(path for path in grib.GRIB_DIR.glob("*.grib*") if path.stat().st_size < 400_000)[:3]
    assert files
    done = cluster.client.run("put", "--source", "hres", *files)
    assert done.returncode == 0
    digests = {message["digest"] for node in cluster.nodes for run in node.json("/cluster/runs")["runs"]
               for message in digests_of(node, run)}
    assert digests
    cluster.indexer.await_messages("hres", len(digests), copies=2)
    for field in cluster.indexer.fields(source="hres", limit=1000):
        for at in field["locations"]:
            assert at["url"].startswith("https://")
            end = at["offset"] + at["length"] - 1
            got = cluster.by_url(at["url"]).get(at["url"][len(cluster.by_url(at["url"]).url):],
                                                headers={"Range": f"bytes={at['offset']}-{end}"})
            assert got.status_code == 206 and hashlib.sha256(got.content).hexdigest() == field["digest"]
    # Any node has any message: passed through from another, over TLS.
    for digest in digests:
        for node in cluster.nodes:
            assert hashlib.sha256(node.get(f"/sha256/{digest}").content).hexdigest() == digest
    out = tmp_path / "out.grib"
    cluster.client.run("get", "source=hres", "-o", out)
    assert out.stat().st_size > 0
    assert "https://" in cluster.client.run("cluster", "show").stdout.decode()


def digests_of(node, run):
    for shard in {file["shard"] for file in run["files"]}:
        yield from node.json(f"/cluster/shards/{run['source']}/{run['base_time']}?shard={shard}")


def test_a_cluster_goes_on_through_new_certificates(cluster, authority):
    """All of them are replaced, one by one, while messages come in."""
    def put(number):
        answer = cluster.nodes[number % 3].put("/ingest/hres/", message(number))
        assert answer.status_code == 201, answer.text
        assert answer.json()["messages"][0]["copies"] == 2

    for number, node in enumerate(cluster.nodes):
        put(10 * number)
        authority.sign(f"anew{number}", to=(node.cert, node.key))
        node.process.send_signal(signal.SIGHUP)
        await_condition(lambda node=node: "event=tls.reload" in node.output(), f"{node.name} has loaded it")
        put(10 * number + 1)
    cluster.indexer.await_messages("hres", 6, copies=2)


def test_a_node_that_is_not_trusted_is_passed_over(cluster, tmp_path):
    """It comes back with a certificate of another CA: for the others it is down, and a handoff stands in."""
    stranger = cluster.nodes[2]
    stranger.stop()
    Authority(tmp_path, "strangers").sign(stranger.name, to=(stranger.cert, stranger.key))
    stranger.start()
    await_condition(lambda: stranger.output().count("event=node.serving") == 2, "it serves")
    for number in range(40):
        answer = cluster.nodes[number % 2].put("/ingest/hres/", message(number))
        assert answer.status_code == 201, answer.text
        line = answer.json()["messages"][0]
        assert line["copies"] == 2 and not any(at["url"].startswith(stranger.url) for at in line["locations"])
    # And it finds nobody who takes its certificate.
    await_condition(lambda: len(re.findall(r"event=peer\.down.*alert unknown ca", stranger.output())) >= 2, "the others refuse it")


# --- the client ---

def data_url(node):
    """Of a file that holds one message."""
    line = node.put("/ingest/hres/", message(1)).json()["messages"][0]
    return line["locations"][0]["url"], line["length"]


def test_the_client_checks_whom_it_speaks_to(daemons, tmp_path, authority, node):
    strangers = Authority(tmp_path, "strangers")
    url, length = data_url(node)

    def get(*arguments, to=node, at=url, expected=0):
        with_system_cas = Client(node=to)
        return with_system_cas.run("get", "--url", at, "--range", f"0-{length}", "--retry", "1s", *arguments, expected=expected)

    assert get("--ca-file", authority.cert).stdout == message(1)
    trusting = client(authority, node=node)
    assert trusting.run("get", "--url", url, "--range", f"0-{length}").stdout == message(1)
    for arguments, told in (((), b"certificate"), (("--ca-file", strangers.cert), b"certificate"),
                            (("--ca-file", tmp_path / "none.pem"), b"none.pem")):
        done = get(*arguments, expected=None)
        assert done.returncode == REFUSED and done.stdout == b"" and told in done.stderr, done.stderr
    # A certificate of another host, by a CA that is trusted.
    misnamed = TlsNode("n2", tmp_path, authority)
    authority.sign("elsewhere", alternatives="DNS:elsewhere.example", to=(misnamed.cert, misnamed.key))
    daemons.begin(misnamed, ready=False)
    await_condition(lambda: "event=node.serving" in misnamed.output(), "it serves")
    done = get("--ca-file", authority.cert, to=misnamed, at=url.replace(node.url, misnamed.url), expected=None)
    assert done.returncode != 0 and b"127.0.0.1" in done.stderr and b"certificate" in done.stderr, done.stderr
