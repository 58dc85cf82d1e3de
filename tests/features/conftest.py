"""Fixtures: APIs of declared resources, on each kind of database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mongomock
import pytest
from pymongo import MongoClient

from falcorest import ResourceView
from tests.conftest import Pool
from tests.declared import DeclaredApi, MakeDeclared

KINDS = ("mongod", "standalone", "mongomock")
_URIS = {"mongod": "mongo_uri", "standalone": "standalone_uri"}


# NOTE: one fixture for each, so that a client is closed before its server: one without a server
# takes half a minute to close.
@pytest.fixture(scope="session")
def mongod_client(mongo_uri: str) -> Iterator[MongoClient[Any]]:
    """A client of the replica set, without options."""
    with MongoClient[Any](mongo_uri) as client:
        yield client


@pytest.fixture(scope="session")
def standalone_client(standalone_uri: str) -> Iterator[MongoClient[Any]]:
    """A client of the server that is no replica set, without options."""
    with MongoClient[Any](standalone_uri) as client:
        yield client


@pytest.fixture
def make_database(request: pytest.FixtureRequest, pool: Pool) -> Iterator[Callable[..., Any]]:
    """Make databases in which nothing is stored, but that may have an empty collection.

    Call it with a kind of database, one of ``KINDS``, and options of the client.
    """
    made: list[tuple[str, Any, Any]] = []

    def make(kind: str, **options: Any) -> Any:
        if kind == "mongomock":
            return mongomock.MongoClient(**options)["declared"]
        uri = request.getfixturevalue(_URIS[kind])
        usual = request.getfixturevalue(f"{kind}_client")
        client = MongoClient[Any](uri, **options) if options else usual
        name = pool.take(uri, rockets=True)
        made.append((uri, client, usual[name]))
        return client[name]

    yield make
    for uri, client, database in made:
        pool.give(uri, database, rockets=True)
        if client is not database.client:
            client.close()


def _factory(make_database: Callable[..., Any], kind: str) -> MakeDeclared:
    def make(
        *, database: Any = None, options: dict[str, Any] | None = None, **views: type[ResourceView]
    ) -> DeclaredApi:
        database = make_database(kind) if database is None else database
        return DeclaredApi(database, **(options or {})).register(**views)

    return make


@pytest.fixture
def make_declared(make_database: Callable[..., Any]) -> MakeDeclared:
    """Serve views from mongomock, for what doesn't depend on the database."""
    return _factory(make_database, "mongomock")


@pytest.fixture
def live_declared(make_database: Callable[..., Any]) -> MakeDeclared:
    """Serve views from a replica set."""
    return _factory(make_database, "mongod")


@pytest.fixture
def standalone_declared(make_database: Callable[..., Any]) -> MakeDeclared:
    """Serve views from a server that has no transactions."""
    return _factory(make_database, "standalone")


def kind_of(uri: str) -> str:
    """Return the kind of database that is at one of the addresses in ``any_uri``."""
    if uri.startswith("mongomock"):
        return "mongomock"
    return "standalone" if "directConnection" in uri else "mongod"


@pytest.fixture
def declared_beside(any_uri: str, make_database: Callable[..., Any]) -> MakeDeclared:
    """Serve views from the kind of database that ``any_api`` is on."""
    return _factory(make_database, kind_of(any_uri))


@pytest.fixture(params=KINDS)
def declared_api(request: pytest.FixtureRequest, make_database: Callable[..., Any]) -> MakeDeclared:
    """Serve views from each kind of database: ``declared_api(posts=PostView)``."""
    return _factory(make_database, request.param)
