"""A database that wants TLS and a password: the indexer has both from a file or the environment, and shows them to nobody."""

import pathlib
import subprocess
import urllib.parse

import pymongo
import pytest

from mongod import SET_NAME, START_TIMEOUT_MS, die_with_parent, find_binary, free_port
from processes import Indexer, await_condition

USER, PASSWORD = "indexer", "s3cret/with@signs"


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=True)


class Authority:
    def __init__(self, folder, name):
        self.folder = folder
        self.key, self.cert = folder / f"{name}.key", folder / f"{name}.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={name}",
                "-keyout", self.key, "-out", self.cert)

    def make(self, name):
        """Key and certificate of loopback in one file, as mongod wants them."""
        key, request, made, extra = (self.folder / f"{name}.{what}" for what in ("key", "csr", "crt", "ext"))
        extra.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-days", "20", "-extfile", extra, "-out", made)
        both = self.folder / f"{name}.both"
        both.write_text(key.read_text() + made.read_text())
        return both


class Guarded:
    """A set of one with TLS, a key file, and a user who may read and write one database."""

    def __init__(self, folder, authority):
        self.port = free_port()
        self.authority = authority
        data, key = folder / "mongod", folder / "keyfile"
        data.mkdir()
        key.write_text("Z3JpYnN0b3Jl" * 8)
        key.chmod(0o600)
        self.process = subprocess.Popen(
            [find_binary(), "--replSet", SET_NAME, "--bind_ip", "127.0.0.1", "--port", str(self.port), "--dbpath", str(data),
             "--wiredTigerCacheSizeGB", "0.25", "--logpath", str(data / "log"), "--nounixsocket", "--keyFile", str(key), "--auth",
             "--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(authority.make("db")), "--tlsCAFile", str(authority.cert),
             "--tlsAllowConnectionsWithoutCertificates"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)

    def prepare(self):
        # Without a user there is nobody to authenticate, so loopback may do this much.
        with self.client(directConnection=True) as client:
            client.admin.command("replSetInitiate", {"_id": SET_NAME, "members": [{"_id": 0, "host": f"127.0.0.1:{self.port}"}]})
            await_condition(lambda: client.admin.command("hello")["isWritablePrimary"], "there is a primary")
            client.admin.command("createUser", "root", pwd="root", roles=["root"])
        with self.client(directConnection=True, username="root", password="root") as client:
            client.admin.command("createUser", USER, pwd=PASSWORD, roles=[{"role": "readWrite", "db": "gribstore"}])

    def client(self, **options):
        return pymongo.MongoClient("127.0.0.1", self.port, tls=True, tlsCAFile=str(self.authority.cert),
                                   serverSelectionTimeoutMS=START_TIMEOUT_MS, **options)

    def uri(self, password=PASSWORD, authority=None):
        ca = (authority or self.authority).cert
        return (f"mongodb://{USER}:{urllib.parse.quote(password, safe='')}@127.0.0.1:{self.port}/gribstore?replicaSet={SET_NAME}&authSource=admin"
                f"&tls=true&tlsCAFile={ca}&serverSelectionTimeoutMS=2000")


@pytest.fixture(scope="module")
def server(tmp_path_factory, mongod_binary):
    folder = tmp_path_factory.mktemp("guarded")
    found = Guarded(folder, Authority(folder, "ca"))
    try:
        found.prepare()
        yield found
    finally:
        found.process.kill()
        found.process.wait()


@pytest.fixture
def database(server):
    with server.client(username="root", password="root") as client:
        client.drop_database("gribstore")
    return server


class SecretIndexer(Indexer):
    """Its URI is not among the arguments."""

    def __init__(self, folder, nodes, arguments=(), environment=None):
        super().__init__("indexer", folder, nodes, arguments=arguments, environment=environment)
        place = self.command.index("--catalog")
        del self.command[place:place + 2]


def is_secret(text):
    quoted = urllib.parse.quote(PASSWORD, safe="")
    return PASSWORD in text or quoted in text


def write_secret(folder, uri):
    path = pathlib.Path(folder) / "catalog.uri"
    path.write_text(uri + "\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("given", ["file", "environment", "settings"])
def test_records_are_kept_behind_tls_and_a_password(daemons, node, grib, database, tmp_path, given):
    uri = database.uri()
    arguments, environment = (), {}
    if given == "file":
        arguments = ("--catalog-file", write_secret(tmp_path, uri))
    elif given == "settings":
        path = write_secret(tmp_path, uri)
        settings = tmp_path / "indexer.ini"
        settings.write_text(f"[indexer]\ncatalog-file = {path}\n")
        arguments = ("--config", settings)
    else:
        environment = {"GRIBSTORE_CATALOG": uri}
    indexer = daemons.begin(SecretIndexer(tmp_path, [node], arguments, environment))
    name, data = next(iter(sorted((path.name, path.read_bytes()) for path in grib.GRIB_DIR.glob("*.grib*"))))
    stored = node.put(f"/ingest/db/{name}", data=data)
    assert stored.status_code == 201, stored.text
    await_condition(lambda: indexer.runs(source="db"), "the run is in the index")
    assert not is_secret(pathlib.Path(f"/proc/{indexer.process.pid}/cmdline").read_bytes().decode())
    checked = subprocess.run([*indexer.command, "--check-config"], env=indexer.environment, capture_output=True, text=True)
    assert checked.returncode == 0 and "mongodb://indexer:***@" in checked.stdout
    assert not is_secret(checked.stdout + checked.stderr + indexer.output())


def test_a_password_among_the_arguments_is_taken_away_and_said(daemons, node, database, tmp_path):
    indexer = daemons.indexer([node], catalog=database.uri())
    assert not is_secret(pathlib.Path(f"/proc/{indexer.process.pid}/cmdline").read_bytes().decode())
    assert "catalog.password" in indexer.output() and not is_secret(indexer.output())


def test_a_wrong_password_ends_the_start_and_is_not_shown(node, database, tmp_path):
    path = write_secret(tmp_path, database.uri(password=PASSWORD + "x"))
    indexer = SecretIndexer(tmp_path, [node], ("--catalog-file", path)).start()
    assert indexer.process.wait(120) == 1
    assert "Authentication failed" in indexer.output()
    assert not is_secret(indexer.output())


def test_another_authority_is_named_as_the_trouble(daemons, node, database, tmp_path):
    path = write_secret(tmp_path, database.uri(authority=Authority(tmp_path, "another")))
    indexer = SecretIndexer(tmp_path, [node], ("--catalog-file", path)).start()
    await_condition(lambda: "certificate verify failed" in indexer.output() or indexer.process.poll() is not None, "it says what is wrong")
    indexer.process.kill()
    indexer.process.wait()
    assert "certificate verify failed" in indexer.output()
    assert not is_secret(indexer.output())


@pytest.mark.parametrize("content, mode, told", [
    ("mongodb://u:s3cret/with@signs@h/", 0o644, "others can read it"),
    ("", 0o600, "empty"),
    ("\n", 0o600, "1 to 8192 characters"),
    ("x" * 9000, 0o600, "1 to 8192 characters"),
    ("postgres://u:s3cret/with@signs@h/", 0o600, "neither sqlite:FILE nor mongodb"),
    (None, 0, "catalog.uri"),
])
def test_a_file_that_holds_no_uri_is_refused(tmp_path, content, mode, told):
    path = tmp_path / "catalog.uri"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    indexer = SecretIndexer(tmp_path, [], ("--catalog-file", path)).start()
    assert indexer.process.wait(120) == 2
    assert told in indexer.output() and not is_secret(indexer.output())
