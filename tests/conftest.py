"""Fixtures: a real mongod for the whole run, and an API on a fresh database for each test."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, monitoring
from pymongo.errors import PyMongoError

from falcorest.embedded import engine, find_mongod
from falcorest.errors import ConfigurationError
from falcorest.runner import prepare
from falcorest.server import build_app, monitor_of, open_database
from falcorest.settings import Settings
from tests.support import SECRET, Api, clean_environment, free_port
from tests.watching import MONITOR

MakeApi = Callable[..., Api]

# NOTE: the settings of whoever runs the tests stay out of them.
for _name in set(os.environ) - set(clean_environment()):
    del os.environ[_name]

# NOTE: for all clients of this process, so before the first of them is made.
monitoring.register(MONITOR)


@pytest.fixture(autouse=True)
def _known_operators() -> Iterator[None]:
    """Fail a test in which falcorest sends MongoDB an operator that isn't on the list."""
    yield
    found = MONITOR.take()
    assert not found, f"falcorest sent what it never should: {found}"


@pytest.fixture(scope="session")
def empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for tests that need none."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(autouse=True)
def _own_folder(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, empty_folder: Path
) -> Iterator[None]:
    """Keep the settings in the folder of whoever runs the tests out of them."""
    # PERF: making a folder takes longer than most tests.
    own = "tmp_path" in request.fixturenames
    monkeypatch.chdir(request.getfixturevalue("tmp_path") if own else empty_folder)
    yield
    assert own or not os.listdir(empty_folder), "a test that writes needs tmp_path"


@pytest.fixture(scope="session")
def mongod() -> Path:
    """The ``mongod`` program; without one, the live tests are skipped, which CI refuses."""
    try:
        return find_mongod(None)
    except ConfigurationError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def mongo_uri(mongod: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A replica set of one."""
    with engine(tmp_path_factory.mktemp("mongod"), mongod, serving=True) as running:
        yield running.uri


@pytest.fixture(scope="session")
def standalone_uri(mongod: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that is no replica set, and so has no transactions."""
    folder = tmp_path_factory.mktemp("standalone")
    port = free_port()
    options = "--bind_ip 127.0.0.1 --nounixsocket --wiredTigerCacheSizeGB 0.25"
    process = subprocess.Popen(
        [str(mongod), "--dbpath", str(folder), "--port", str(port), *options.split()],
        stdout=subprocess.DEVNULL,
    )
    uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
    with MongoClient(uri, serverSelectionTimeoutMS=30000) as client:
        client.admin.command("ping")
    yield uri
    process.terminate()
    process.wait(30)


ROCKETS = "rockets:rocket_engines"


class Pool:
    """Databases that tests use one after another, because MongoDB takes its time to drop one.

    Those with ``rockets`` hold nothing but an empty collection of rockets, the others nothing.
    """

    def __init__(self) -> None:
        self._free: defaultdict[tuple[str, bool], list[str]] = defaultdict(list)

    def take(self, uri: str, *, rockets: bool) -> str:
        """Return the name of a database that nobody uses."""
        free = self._free[uri, rockets]
        return free.pop() if free else f"test_{uuid.uuid4().hex[:12]}"

    def give(self, uri: str, database: Any, *, rockets: bool) -> None:
        """Take a database back when a test has ended."""
        with suppress(PyMongoError):
            empty(database, rockets=rockets)
            self._free[uri, rockets].append(database.name)


@pytest.fixture(scope="session")
def pool() -> Pool:
    """Names of the databases that are empty again."""
    return Pool()


@pytest.fixture
def make_api(pool: Pool) -> Iterator[MakeApi]:
    """Make APIs on databases of their own.

    Call it with a URI, ``resource="collection"`` pairs as ``collections``, and settings.
    """
    made: list[tuple[Any, str, bool | None]] = []

    def make(uri: str, collections: str = ROCKETS, **settings: Any) -> Api:
        pooled = "database" not in settings and uri.startswith("mongodb")
        rockets = collections == ROCKETS if pooled else None
        settings = {
            "mongodb_uri": uri,
            "database": "test" if rockets is None else pool.take(uri, rockets=rockets),
            "collections_text": collections,
            "jwt_secret_key": SECRET,
            **settings,
        }
        configured = Settings(**settings)
        monitor = monitor_of(configured)
        database = open_database(configured, monitor)
        made.append((database, uri, rockets))
        if collections != "*" and not uri.startswith("mongomock"):
            present = database.list_collection_names()
            for collection in dict(p.split(":") for p in collections.split(",")).values():
                if collection not in present:
                    database.create_collection(collection)
        served = prepare(configured, database, demo=False)
        return Api(build_app(configured, database, served, monitor), database, configured)

    yield make
    for database, uri, rockets in made:
        if rockets is None:
            with suppress(PyMongoError):
                database.client.drop_database(database.name)
        else:
            pool.give(uri, database, rockets=rockets)
        database.client.close()


def empty(database: Any, *, rockets: bool) -> None:
    """Leave nothing in a database; an empty collection of rockets, as it is when it is new."""
    for info in database.list_collections():
        collection = database[info["name"]]
        usual = rockets and info["name"] == "rocket_engines" and not info["options"]
        if usual and len(collection.index_information()) == 1:
            collection.delete_many({})
        elif not info["name"].startswith("system."):
            collection.drop()


@pytest.fixture
def api(make_api: MakeApi, mongo_uri: str) -> Api:
    """An API that serves ``rocket_engines`` as ``rockets`` from a real replica set."""
    return make_api(mongo_uri)


@pytest.fixture(params=["mongod", "standalone", "mongomock"])
def any_uri(request: pytest.FixtureRequest) -> str:
    """Where each kind of database is."""
    kinds = {"mongod": "mongo_uri", "standalone": "standalone_uri"}
    name = kinds.get(request.param)
    return "mongomock://" if name is None else str(request.getfixturevalue(name))


@pytest.fixture
def any_api(make_api: MakeApi, any_uri: str) -> Api:
    """The same on each kind of database."""
    return make_api(any_uri)
