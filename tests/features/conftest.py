"""Fixtures: APIs of declared resources, on each kind of database."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import mongomock
import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from falcorest import ResourceView
from tests.declared import DeclaredApi, MakeDeclared

KINDS = ("mongod", "standalone", "mongomock")
_URIS = {"mongod": "mongo_uri", "standalone": "standalone_uri"}


@pytest.fixture
def make_database(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Make fresh databases that are dropped at the end.

    Call it with a kind of database, one of ``KINDS``, and options of the client.
    """
    made: list[Any] = []

    def make(kind: str, **options: Any) -> Any:
        if kind == "mongomock":
            return mongomock.MongoClient(**options)["declared"]
        client: MongoClient[Any] = MongoClient(request.getfixturevalue(_URIS[kind]), **options)
        made.append(client[f"declared_{uuid.uuid4().hex[:12]}"])
        return made[-1]

    yield make
    for database in made:
        with suppress(PyMongoError):
            database.client.drop_database(database.name)
        database.client.close()


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


@pytest.fixture(params=KINDS)
def declared_api(request: pytest.FixtureRequest, make_database: Callable[..., Any]) -> MakeDeclared:
    """Serve views from each kind of database: ``declared_api(posts=PostView)``."""
    return _factory(make_database, request.param)
