"""What tests look at behind an API: the commands that are sent, and all that is stored."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import mongomock
import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandListener, CommandStartedEvent

#: What belongs to sessions and connections, and so to no request in particular; and the look at
#: the indexes of a collection once a minute (paging.py).
_ASIDE = frozenset({"endSessions", "hello", "ismaster", "ping", "listIndexes"})


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


# --------------------------------------------------------------------- the operators in commands

#: The ``$`` operators that falcorest itself sends, by where they stand, and what for. A command
#: with any other one fails the test that sent it; see :func:`unknown_operators`.
ALLOWED: dict[str, frozenset[str]] = {
    # What clients filter by (operators.py), what joins it with rules (query.py), and what a
    # schema with kinds adds (naming.py, reading.py).
    "filter": frozenset(
        {
            *("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$all"),
            *("$exists", "$size", "$type", "$regex", "$not", "$and", "$or", "$nor"),
        }
    ),
    # The update operators that clients may use (updates.py); bodies.py makes the first two.
    "update": frozenset(
        {
            *("$set", "$unset", "$inc", "$mul", "$min", "$max", "$rename", "$currentDate"),
            *("$push", "$pull", "$pullAll", "$pop", "$addToSet"),
        }
    ),
    # What stands within some of them.
    "$push": frozenset({"$each", "$position", "$slice", "$sort"}),
    "$addToSet": frozenset({"$each"}),
    "$pull": frozenset({"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"}),
    "$currentDate": frozenset({"$type"}),
    # Reverse relations and the names of fields (finding.py), how pymongo counts documents, and how
    # far an index is built, which the command alone asks (indexes/build.py).
    "stage": frozenset(
        {
            *("$match", "$sort", "$skip", "$limit", "$project", "$lookup", "$unwind", "$group"),
            "$currentOp",
        }
    ),
    # How pymongo counts documents, and the names of fields (finding.py).
    "expression": frozenset({"$sum", "$map", "$objectToArray", "$$ROOT", "$$this.k", "$name"}),
    # Values are data: falcorest refuses others but a reference, which may be spelt out where
    # something around it is kept (protection.py).
    "value": frozenset({"$ref", "$id", "$db"}),
    # Paths are names.
    "path": frozenset(),
}

#: An operator and where it stands, by the names in :data:`ALLOWED`.
Found = tuple[str, str]

_JUDGED = frozenset(
    {
        *("find", "aggregate", "update", "delete", "insert", "findAndModify"),
        *("count", "distinct", "explain"),
    }
)
_LOGIC = ("$and", "$or", "$nor")


def operators(command: Mapping[str, Any]) -> Iterator[Found]:
    """Yield the ``$`` operators in a command, and where each of them stands."""
    if "explain" in command:
        yield from operators(command["explain"])
    for name in ("filter", "query"):
        yield from _in_filter(command.get(name) or {})
    for name in ("projection", "fields", "sort", "key"):
        yield from _in_selection(command.get(name) or {})
    yield from _in_update(command.get("update") if "findAndModify" in command else {})
    for statement in command.get("updates", ()):
        yield from _in_filter(statement["q"])
        yield from _in_update(statement["u"])
        for filter in statement.get("arrayFilters", ()):
            yield from _in_filter(filter)
    for statement in command.get("deletes", ()):
        yield from _in_filter(statement["q"])
    yield from _in_pipeline(command.get("pipeline", ()))
    for document in command.get("documents", ()):
        yield from _in_value(document)


def unknown_operators(command: Mapping[str, Any]) -> list[Found]:
    """Return the operators in a command that aren't in :data:`ALLOWED`."""
    return [found for found in operators(command) if found[1] not in ALLOWED[found[0]]]


def _in_filter(filter: Mapping[str, Any]) -> Iterator[Found]:
    for name, condition in filter.items():
        if not name.startswith("$"):
            yield from _in_path(name)
            yield from _in_condition(condition)
        else:
            if name == "$expr":
                yield from _in_comparison(condition)
                continue
            yield "filter", name
            for member in condition if name in _LOGIC else ():
                yield from _in_filter(member)


def _in_comparison(expression: Any) -> Iterator[Found]:
    """Look at the one expression in a filter: a document is still what it was, to the byte."""
    # NOTE: what is compared is data that was stored before, and no value of a client's.
    match expression:
        case {"$eq": ["$$ROOT", {"$literal": _, **rest}], **more} if not rest and not more:
            return
    yield "filter", "$expr"


def _in_condition(condition: Any) -> Iterator[Found]:
    if not isinstance(condition, Mapping) or not next(iter(condition), "").startswith("$"):
        yield from _in_value(condition)
        return
    for operator, argument in condition.items():
        yield "filter", operator
        yield from _in_condition(argument) if operator == "$not" else _in_value(argument)


def _in_update(update: Any) -> Iterator[Found]:
    if isinstance(update, list):
        yield "update", "a pipeline"
        update = {}
    if not next(iter(update), "").startswith("$"):
        yield from _in_value(update)
        return
    for operator, arguments in update.items():
        yield "update", operator
        for path, argument in arguments.items():
            yield from _in_path(path)
            if operator == "$pull":
                yield from _in_pulled(argument)
            elif operator == "$rename":
                yield from _in_path(argument)
            elif operator in ALLOWED and _is_operators(argument):
                yield from ((operator, name) for name in argument)
                yield from _in_value(list(argument.values()))
            else:
                yield from _in_value(argument)


def _in_pulled(condition: Any) -> Iterator[Found]:
    if _is_operators(condition):
        yield from (("$pull", name) for name in condition)
        yield from _in_value(list(condition.values()))
    elif isinstance(condition, Mapping):
        for path, inner in condition.items():
            yield from _in_path(path)
            yield from _in_pulled(inner)


def _is_operators(value: Any) -> bool:
    return isinstance(value, Mapping) and any(name.startswith("$") for name in value)


def _in_selection(selection: Any) -> Iterator[Found]:
    """Look at a projection or a sort: names and numbers, or a name alone."""
    if isinstance(selection, Mapping):
        for path, value in selection.items():
            yield from _in_path(path)
            yield from _in_expression(value)
    else:
        yield from _in_path(selection)


def _in_pipeline(stages: Sequence[Mapping[str, Any]]) -> Iterator[Found]:
    for stage in stages:
        for name, argument in stage.items():
            yield "stage", name
            if name == "$match":
                yield from _in_filter(argument)
            elif name == "$lookup":
                yield from _in_pipeline(argument.get("pipeline", ()))
            elif name in {"$project", "$sort"}:
                yield from _in_selection(argument)
            elif name == "$group":
                yield from _in_expression(argument)


def _in_expression(expression: Any) -> Iterator[Found]:
    if isinstance(expression, str) and expression.startswith("$"):
        yield "expression", expression
    elif isinstance(expression, Mapping):
        for name, argument in expression.items():
            if name.startswith("$"):
                yield "expression", name
            yield from _in_expression(argument)


def _in_value(value: Any) -> Iterator[Found]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            yield from (("value", name) for name in item if name.startswith("$"))
            stack.extend(item.values())
        elif isinstance(item, (list, tuple)):
            stack.extend(item)


def _in_path(path: str) -> Iterator[Found]:
    yield from (("path", part) for part in path.split(".") if part.startswith("$"))


class Monitor(CommandListener):
    """Notes the operators that falcorest sends from this process and that aren't allowed.

    What tests send themselves is their own affair: whoever called the driver is judged.

    Attributes:
        seen: How many commands it has looked at.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.found: list[tuple[Found, Mapping[str, Any]]] = []
        self._record: list[str] | None = None

    @contextmanager
    def recording(self) -> Iterator[list[str]]:
        """Note the names of all commands on data that falcorest sends until the block ends."""
        self._record = []
        try:
            yield self._record
        finally:
            self._record = None

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in _JUDGED:
            self.seen += 1
            if self._record is not None and _sender() == "falcorest":
                self._record.append(event.command_name)
            try:
                unknown = unknown_operators(event.command)
            except Exception as error:
                # NOTE: the driver would only print it.
                unknown = [("a command that can't be read", repr(error))]
            if unknown and _sender() == "falcorest":
                self.found.extend((one, event.command) for one in unknown)

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass

    def take(self) -> list[tuple[Found, Mapping[str, Any]]]:
        """Return what was found since this was called last."""
        found, self.found = self.found, []
        return found


#: That of this process; it is registered with the driver when the tests begin.
MONITOR = Monitor()


def _sender() -> str:
    """Return the package that called the driver: the first one up the stack that isn't it."""
    frame: FrameType | None = sys._getframe(1)
    names = []
    while frame is not None:
        names.append(str(frame.f_globals.get("__name__")).partition(".")[0])
        frame = frame.f_back
    within = names.index("pymongo")
    return next(name for name in names[within:] if name not in {"pymongo", "contextlib"})
