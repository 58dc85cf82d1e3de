"""What a fault strikes: a database, falcorest in front of it, and what its clients wrote there."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from bson import ObjectId
from pymongo import MongoClient, WriteConcern
from pymongo.read_concern import ReadConcern

from falcorest.settings import ResourceSettings
from tests.faults.clients import COLLECTIONS, seed
from tests.faults.proxy import Proxy
from tests.faults.replicas import ReplicaSet
from tests.faults.verdict import Stored
from tests.live.processes import Running, eventually, serving
from tests.support import SECRET, clean_environment, free_port

WORKERS = 2

#: Whether resources may say where they are read from.
NEAR = any(one.name == "read_preference" for one in dataclasses.fields(ResourceSettings))

_NEAR_TOML = """
[resources.near]
collection = "documents"
read_preference = "secondaryPreferred"
"""


@dataclass(frozen=True)
class Options:
    """How falcorest is run.

    Attributes:
        server: That which serves it.
        limit: How long a request may wait for the database, in seconds.
    """

    server: str = "granian"
    limit: float = 5.0


@dataclass
class World:
    """A database, falcorest and a folder for one run.

    Attributes:
        folder: Where falcorest runs.
        options: How.
        replicas: The database; None is the embedded one.
        concern: What stands behind the URI of the database.
        proxy: What stands between the clients and falcorest, if anything does.
        port: Where falcorest listens.
    """

    folder: Path
    options: Options
    replicas: ReplicaSet | None
    concern: str = ""
    proxy: Proxy | None = None
    name: str = field(default_factory=lambda: f"faults_{uuid.uuid4().hex[:8]}")
    port: int = field(default_factory=free_port)
    _stack: ExitStack = field(default_factory=ExitStack)
    _server: Running | None = None

    @property
    def set(self) -> ReplicaSet:
        """The replica set, for faults that strike one."""
        assert self.replicas is not None
        return self.replicas

    @property
    def server(self) -> Running:
        assert self._server is not None
        return self._server

    @property
    def address(self) -> int:
        """The port that clients use."""
        return self.port if self.proxy is None else self.proxy.port

    def start(self) -> None:
        """Start falcorest, or start it again."""
        self._server = self._stack.enter_context(
            serving(
                self.folder,
                *("--server", self.options.server, "--workers", str(WORKERS)),
                port=self.port,
                environment=self._environment(),
            )
        )

    def _environment(self) -> Mapping[str, str]:
        settings = {
            "COLLECTIONS": COLLECTIONS,
            "DATABASE": self.name,
            "FALCOREST_ACCESS_LOG": "off",
            "FALCOREST_PUBLIC_METHODS": "GET,POST,PUT,PATCH,DELETE",
            "FALCOREST_TIMEOUT_MS": str(int(1000 * self.options.limit)),
            "JWT_SECRET_KEY": SECRET,
        }
        if self.replicas is not None:
            settings["MONGODB_URI"] = self.replicas.uri + self.concern
        return clean_environment(**settings)

    def workers(self) -> list[psutil.Process]:
        """Return the processes of falcorest that answer requests."""
        return [
            one
            for one in psutil.Process(self.server.process.pid).children()
            if one.status() != psutil.STATUS_ZOMBIE and is_worker(one.cmdline())
        ]

    @contextmanager
    def database(self) -> Iterator[Any]:
        """Give the database, as it is behind falcorest's back."""
        with ExitStack() as stack:
            if self.replicas is not None:
                client = stack.enter_context(self.replicas.client())
            else:
                client = stack.enter_context(MongoClient(self._embedded_uri()))
            yield client[self.name]

    def _embedded_uri(self) -> str:
        state = self.folder / "falcorest-data" / "engine.json"
        port = json.loads(eventually(lambda: state.exists() and state.read_text()))["port"]
        return f"mongodb://127.0.0.1:{port}/?directConnection=true"

    def seed(self) -> None:
        """Put in what the clients start from, on every member."""
        concern = WriteConcern(3 if self.replicas is not None else "majority")
        with self.database() as database:
            seed(database.with_options(write_concern=concern))

    def stored(self) -> Stored:
        """Read all of it with majority concern, behind all that was written before."""
        with self.database() as database, database.client.start_session() as session:
            settled = database.with_options(
                read_concern=ReadConcern("majority"), write_concern=WriteConcern("majority")
            )
            # NOTE: what is read in a session is not older than what was written in it.
            settled.barrier.insert_one({}, session=session)
            return read_stored(settled, session)

    def drop(self) -> None:
        """Remove what was written."""
        with self.database() as database:
            database.client.drop_database(self.name)

    def close(self) -> None:
        """Stop falcorest."""
        self._stack.close()


def is_worker(command: list[str]) -> bool:
    """Tell whether a process below falcorest, by its command, is a worker."""
    text = " ".join(command)
    return bool(text) and "resource_tracker" not in text and "mongod" not in command[0]


def read_stored(database: Any, session: Any) -> Stored:
    """Return what the clients have written."""
    documents: dict[Any, list[str]] = {}
    for one in database.documents.find({"mark": {"$exists": True}}, session=session):
        documents.setdefault(one["mark"], []).append(_text(one["_id"]))
    counters = {
        one["_id"]: (one["value"], one["log"]) for one in database.counters.find(session=session)
    }
    groups: dict[str, list[list[int]]] = {}
    for one in database.members.find(session=session):
        groups.setdefault(one["group"], []).append(one["rounds"])
    batches: dict[str, int] = {}
    for one in database.batches.find(session=session):
        batches[one["batch"]] = batches.get(one["batch"], 0) + 1
    return Stored(documents, counters, groups, batches)


def _text(value: Any) -> str:
    return str(value) if isinstance(value, ObjectId) else value


@contextmanager
def world(
    options: Options, replicas: ReplicaSet | None, *, concern: str = "", proxied: bool = False
) -> Iterator[World]:
    """Make a world; falcorest isn't started yet."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, ExitStack() as stack:
        if NEAR:
            (Path(folder) / "falcorest.toml").write_text(_NEAR_TOML)
        made = World(Path(folder), options, replicas, concern)
        if proxied:
            made.proxy = stack.enter_context(Proxy(made.port))
        stack.callback(made.close)
        yield made
