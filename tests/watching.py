"""What tests look at behind an API: the commands that are sent, and all that is stored."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import mongomock
import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandListener, CommandStartedEvent

#: What belongs to sessions and connections, and so to no request in particular.
_ASIDE = frozenset({"endSessions", "hello", "ismaster", "ping"})


class Commands(CommandListener):
    """Notes the commands that a client sends, each as a dict with its ``name``."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name not in _ASIDE:
            self.sent.append({"name": event.command_name, **event.command})

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass

    def take(self) -> list[dict[str, Any]]:
        """Return what was sent since this was called last."""
        sent, self.sent = self.sent, []
        return sent

    def names(self) -> list[str]:
        """Return the names of what was sent since this was called last."""
        return [one["name"] for one in self.take()]


def snapshot(database: Any) -> dict[str, list[dict[str, Any]]]:
    """Return all that is in a database; empty collections count for nothing."""
    stored = {
        name: sorted(database[name].find(), key=lambda one: str(one["_id"]))
        for name in sorted(database.list_collection_names())
    }
    return {name: documents for name, documents in stored.items() if documents}


#: The collections of shared databases. They are there, and empty, when a test begins.
COLLECTIONS = (
    "animals",
    "articles",
    "companies",
    "log",
    "nodes",
    "pages",
    "posts",
    "people",
    "users",
)
_URIS = {"mongod": "mongo_uri", "standalone": "standalone_uri"}


@pytest.fixture(scope="module")
def shared_databases(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Any]]:
    """Databases that the tests of a module share, one of each kind."""
    made: dict[str, Any] = {}

    def get(kind: str) -> Any:
        if kind not in made:
            client: MongoClient[Any] = MongoClient(request.getfixturevalue(_URIS[kind]))
            made[kind] = client[f"shared_{uuid.uuid4().hex[:12]}"]
            for name in COLLECTIONS:
                made[kind].create_collection(name)
        return made[kind]

    yield get
    for database in made.values():
        database.client.drop_database(database.name)
        database.client.close()


@pytest.fixture
def make_database(
    request: pytest.FixtureRequest, shared_databases: Callable[[str], Any]
) -> Iterator[Callable[..., Any]]:
    """Stands in for the fixture of that name where fresh databases would take too long."""
    used: list[Any] = []
    clients: list[Any] = []

    def make(kind: str, **options: Any) -> Any:
        if kind == "mongomock":
            return mongomock.MongoClient(**options)["declared"]
        database = shared_databases(kind)
        used.append(database)
        if not options:
            return database
        clients.append(MongoClient(request.getfixturevalue(_URIS[kind]), **options))
        return clients[-1][database.name]

    yield make
    for client in clients:
        client.close()
    for database in used:
        for name in database.list_collection_names():
            if name not in COLLECTIONS:
                database.drop_collection(name)
                continue
            database[name].delete_many({})
            if len(database[name].index_information()) > 1:
                database[name].drop_indexes()
