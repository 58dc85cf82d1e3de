"""What the command shows: the resources, where the data is, what to do next."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pymongo.errors import OperationFailure
from rich.console import Console
from rich.text import Text

from falcorest.catalog import Served, Unreachable, find_collections
from falcorest.database import MongoDatabase, in_memory
from falcorest.embedded import Engine
from falcorest.indexing import compare_all, declared_in_settings, summary
from falcorest.query import Document
from falcorest.runner import Run
from falcorest.server import public_methods
from falcorest.settings import IN_MEMORY, ResourceSettings, Settings, is_resource_name

_WRITING = ("POST", "PUT", "PATCH", "DELETE")


def show(*things: Any) -> None:
    """Print to standard output."""
    # NOTE: long lines stay whole, so that an address can be copied and a pipe can be read.
    console = Console(highlight=False, soft_wrap=True)
    for thing in things:
        console.print(thing)
    console.file.flush()


def welcome(
    settings: Settings,
    running: Engine | None,
    run: Run,
    served: list[Served],
    database: MongoDatabase,
) -> list[Text]:
    """Return what ``falcorest serve`` shows when it listens."""
    facts = [
        *_listening(run),
        ("Data", where(settings, running, database)),
        *_access(settings),
        *_left_out(settings, database),
        *_indexes(settings, served, database),
        *_next_steps(settings, running, run, served, database),
        ("Stop", "Ctrl-C"),
    ]
    return [
        Text.assemble(("falcorest", "bold"), " serves the database ", (database.name, "bold")),
        resources(settings, served, database) if served else Text(),
        *map(Text, columns([list(fact) for fact in facts])),
        Text(),
    ]


def welcome_late(settings: Settings, run: Run, reason: Unreachable) -> list[Text]:
    """Return what ``falcorest serve`` shows when it listens before there is a database."""
    facts = [
        *_listening(run),
        ("Waiting", f"{reason}; until it can, requests are answered with 503"),
        *_access(settings),
        ("Stop", "Ctrl-C"),
    ]
    return [
        Text.assemble(("falcorest", "bold"), " waits for its database"),
        *map(Text, columns([list(fact) for fact in facts])),
        Text(),
    ]


def _listening(run: Run) -> list[tuple[str, str]]:
    processes = "1 worker" if run.workers == 1 else f"{run.workers} workers"
    return [
        ("Address", run.url),
        ("Server", f"{run.server}, {processes}, {run.threads} threads each"),
    ]


def resources(
    settings: Settings, served: list[Served], database: MongoDatabase, *, indexes: bool = False
) -> Text:
    """Return a table of the resources, with their collections and how much is in them.

    Args:
        settings: For the prefix.
        served: What is served.
        database: Is asked for counts.
        indexes: Whether the names of the indexes are shown.
    """
    ruled = any(resource.rules for resource in settings.resources.values())
    also = [*(["Indexes"] if indexes else []), *(["Policy"] if ruled else [])]
    rows = [["Resource", "Collection", "Documents", *also]]
    for one in served:
        collection = database[one.collection]
        row = [f"{settings.prefix}/{one.name}", one.collection]
        if one.read_only:
            row.append("a view, read only")
        else:
            row.append(f"{collection.estimated_document_count():,}")
        if indexes:
            named = [] if one.read_only else sorted(collection.index_information())
            row.append(", ".join(named))
        if ruled:
            row.append(_policy(settings.resources.get(one.name, ResourceSettings()).rules))
        rows.append(row)
    heading, *lines = columns(rows)
    return Text("\n").join([Text(), Text(heading, style="dim"), *map(Text, lines), Text()])


def _policy(rules: Mapping[str, Any]) -> str:
    """Say in one line what ``falcorest.toml`` says of a resource."""
    return "; ".join(
        f"{name}: {value if isinstance(value, str) else ', '.join(value) or 'nobody'}"
        for name, value in rules.items()
    )


def _is_public(settings: Settings, one: Served) -> bool:
    rules = settings.resources.get(one.name, ResourceSettings()).rules
    return "public" in (rules.get("read") or ["public"])


def where(settings: Settings, running: Engine | None, database: MongoDatabase) -> str:
    """Say in one line where the data is and whether it is kept."""
    if settings.engine == IN_MEMORY:
        return "in memory; nothing is kept when the server stops"
    version = database.client.server_info()["version"]
    if running is None:
        hosts = ", ".join(f"{host}:{port}" for host, port in sorted(database.client.nodes))
        return f"MongoDB {version} at {hosts}, database {database.name}"
    place = f"embedded MongoDB {version} in {settings.data_dir}, kept when the server stops"
    if running.attached:
        return f"{place}; run by process {running.owner} and gone when that stops"
    return place


def _access(settings: Settings) -> list[tuple[str, str]]:
    login = "needs a login (POST /login)"
    if "bearer" not in settings.authentication:
        login = f"needs credentials ({', '.join(settings.authentication)})"
    public = public_methods(settings)
    writing = [method for method in _WRITING if method in public]
    reading = "public" if "GET" in public else login
    if not writing:
        return [("Reading", reading), ("Writing", login)]
    who = "public" if len(writing) == len(_WRITING) else f"public for {', '.join(writing)}"
    return [("Reading", reading), ("Writing", who)]


def _next_steps(
    settings: Settings,
    running: Engine | None,
    run: Run,
    served: list[Served],
    database: MongoDatabase,
) -> Iterable[tuple[str, str]]:
    if settings.registration == "open":
        yield "First user", f"POST {run.url}/register"
    elif in_memory(database):
        yield "First user", "start with FALCOREST_REGISTRATION=open, then POST /register"
    elif not _has_users(settings, database):
        beside = " (in this folder, beside the server)" if running else ""
        yield "First user", f"{_program()} createuser NAME{beside}"
    if served:
        open_ones = [one for one in served if _is_public(settings, one)]
        yield "Try", f"curl {run.url}{settings.prefix}/{(open_ones or served)[0].name}"
    else:
        yield "Resources", "none yet: name them in COLLECTIONS, or start with --demo"


def _program() -> str:
    """Return how this command is called: by its name, or by its path where that is not known."""
    called = sys.argv[0]
    by_path = Path(called).name == "falcorest" and shutil.which("falcorest") is None
    return called if by_path else "falcorest"


def _left_out(settings: Settings, database: MongoDatabase) -> Iterable[tuple[str, str]]:
    """Name the collections that ``*`` can't serve, because their names don't fit into a URL."""
    if settings.collections() is None:
        for name in find_collections(database):
            if not is_resource_name(name) and not settings.never_served(name):
                yield "Left out", f"{name!r}: give it a name for URLs in COLLECTIONS"


def _indexes(
    settings: Settings, served: list[Served], database: MongoDatabase
) -> Iterable[tuple[str, str]]:
    """Say which of the indexes that are declared aren't there."""
    try:
        reports = compare_all(declared_in_settings(settings, database, served))
    except OperationFailure:
        yield "Indexes", "not known: the database user may not list them"
        return
    for line in summary(reports, f"{_program()} indexes"):
        yield "Indexes", line.removesuffix(".")


def _has_users(settings: Settings, database: MongoDatabase) -> bool:
    found: Document | None = database[settings.user_collection].find_one({}, ["_id"])
    return found is not None


def columns(rows: list[list[str]]) -> list[str]:
    """Return rows as lines, each column as wide as its widest text."""
    rows = [[printable(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    return ["  " + "   ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def printable(text: str) -> str:
    """Return a text without what would write to the terminal."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
