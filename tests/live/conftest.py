"""Fixtures of the live tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from falcorest import server
from tests.live.faults import Faulty
from tests.live.processes import eventually, plain_mongod
from tests.live.replicas import Trio, trio_in


@pytest.fixture(scope="session")
def faulty(mongod: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    """A replica set of one with fail points."""
    options = ("--replSet", "faulty", "--setParameter", "enableTestCommands=1")
    options += ("--setParameter", "transactionLifetimeLimitSeconds=3")
    with plain_mongod(mongod, tmp_path_factory.mktemp("faulty"), *options) as process:
        port = process.cmdline()[process.cmdline().index("--port") + 1]
        uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        with MongoClient[dict[str, Any]](uri) as client:
            member = {"_id": 0, "host": f"127.0.0.1:{port}"}
            client.admin.command("replSetInitiate", {"_id": "faulty", "members": [member]})
            assert eventually(lambda: client.admin.command("hello")["isWritablePrimary"])
            yield Faulty(uri, client)


@pytest.fixture(scope="session")
def trio(mongod: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    """A replica set of three."""
    with trio_in(tmp_path_factory.mktemp("trio"), mongod) as trio:
        yield trio


@pytest.fixture
def closed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what ``create_app`` opens, which an application has until its process ends."""
    opened: list[Any] = []
    opening = server.open_database

    def open_database(*arguments: Any) -> Any:
        opened.append(opening(*arguments))
        return opened[-1]

    monkeypatch.setattr(server, "open_database", open_database)
    yield
    for database in opened:
        database.client.close()
