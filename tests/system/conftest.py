"""Fixtures: real processes on free ports of loopback, with data directories that are thrown away.

    node       one storaged
    indexer    an indexer with SQLite over that node
    cluster    three storaged in two colos and an indexer with SQLite
    mongod     the URI of a MongoDB replica set of one; skips with the reason where none can be had
    daemons    the same by hand: daemons.node(...), daemons.indexer(...), daemons.cluster(...)
    database   a mongod of the test's own, to be killed, stopped, set back; skips as mongod does
    stamped    messages of a run, as many as are wanted

What a test started is ended with SIGTERM after it, in the order of the data's way backwards, and has to leave with exit
code 0 and without a sanitizer report. Where a test fails, what its daemons said is shown.
"""

import pytest

import gribfile
from mongod import NoMongod, find_binary, running as mongod_running
from own_mongod import OwnMongod
from processes import BIN, Client, Cluster, Indexer, Node, stamp

LOG_SHOWN_SIZE = 10_000


class Daemons:
    """What one test has running."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def begin(self, daemon, ready=True):
        self.started.append(daemon)
        daemon.start()
        return daemon.wait_ready() if ready else daemon

    def node(self, name="n1", ready=True, **options):
        return self.begin(Node(name, self.folder, **options), ready)

    def indexer(self, nodes, name="indexer", ready=True, **options):
        return self.begin(Indexer(name, self.folder, nodes, **options), ready)

    def cluster(self, colos=("a", "a", "b"), catalog=None, node_arguments=(), environment=None):
        nodes = [self.node(f"n{place}", colo=colo, arguments=node_arguments) for place, colo in enumerate(colos, 1)]
        # Ready only once the nodes are one cluster.
        cluster = Cluster(nodes, self.indexer(nodes, catalog=catalog, ready=False, environment=environment)).init()
        cluster.indexer.wait_ready()
        return cluster

    def stop(self):
        """All of them, even if one ends badly; then the first that did is the failure."""
        failures = []
        for daemon in reversed(self.started):
            try:
                daemon.stop()
            except AssertionError as error:
                failures.append(error)
        if failures:
            raise failures[0]


@pytest.fixture
def daemons(tmp_path):
    assert (BIN / "storaged").exists(), f"no storaged in {BIN}: build first, or set GRIBSTORE_BIN"
    running = Daemons(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def node(daemons):
    return daemons.node()


@pytest.fixture
def indexer(daemons, node):
    return daemons.indexer([node])


@pytest.fixture
def cluster(daemons):
    return daemons.cluster()


@pytest.fixture
def client(indexer, node):
    return Client(indexer, node)


@pytest.fixture(scope="session")
def mongod_server():
    try:
        with mongod_running() as uri:
            yield uri
    except NoMongod as reason:
        pytest.skip(f"MongoDB: {reason}")


@pytest.fixture
def mongod(mongod_server):
    """A server whose database is empty."""
    import pymongo

    with pymongo.MongoClient(mongod_server) as client:
        client.drop_database("gribstore")
    return mongod_server


@pytest.fixture(scope="session")
def mongod_binary():
    """For who starts servers of its own."""
    try:
        return find_binary()
    except NoMongod as reason:
        pytest.skip(f"MongoDB: {reason}")


@pytest.fixture
def database(tmp_path, mongod_binary):
    """A mongod of the test's own, not yet running: own_mongod.py."""
    found = OwnMongod(tmp_path)
    yield found
    found.kill()


@pytest.fixture
def stamped(tmp_path):
    """stamped(base_time, count): the bytes of so many distinct messages of a run; the same again for the same run."""
    return lambda base_time, count: stamp(tmp_path / f"{base_time}-{count}.grib", base_time, count).read_bytes()


@pytest.fixture(scope="session")
def grib(tmp_path_factory):
    """gribfile.py: the real files' folder, their tables, an independent framer. Where there are no real files, generated ones
    with tables made apart from the project's code; a test that asks for a real file by its name is skipped then."""
    if not gribfile.GRIB_DIR.is_dir():
        folder = tmp_path_factory.mktemp("grib")
        gribfile.generate(folder, BIN / "gribgen")
        gribfile.GRIB_DIR = gribfile.GeneratedFolder(folder)
    return gribfile


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    daemons = item.funcargs.get("daemons") if hasattr(item, "funcargs") else None
    if report.failed and daemons is not None:
        for daemon in daemons.started:
            report.sections.append((f"what {daemon.name} said", daemon.output()[-LOG_SHOWN_SIZE:]))
    return report
