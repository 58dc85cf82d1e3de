"""Indexing: the indexes that are declared for what is served, beside those that are there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.collection import Collection

from falcorest.bson_json import dumps
from falcorest.catalog import Served
from falcorest.database import MongoDatabase, in_memory
from falcorest.errors import ConfigurationError
from falcorest.indexes import Index, merge
from falcorest.indexes.comparison import (
    Compared,
    State,
    compare,
    is_usually_named,
    look,
    text_keys,
)
from falcorest.query import Document
from falcorest.responding import View
from falcorest.settings import ResourceSettings, Settings
from falcorest.views import ResourceView

#: The indexes that are declared, by collection.
Declared = Mapping[Collection[Document], tuple[Index, ...]]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Report:
    """How a collection stands.

    Attributes:
        collection: The collection.
        label: What to call it.
        compared: Its indexes.
    """

    collection: Collection[Document]
    label: str
    compared: Sequence[Compared]


def declared_in_settings(
    settings: Settings, database: MongoDatabase, served: Iterable[Served]
) -> Declared:
    """Return what ``falcorest.toml`` declares for what is served; nothing of views, or in memory.

    Raises:
        ConfigurationError: Two resources declare for one collection what can't be at once.
    """
    if in_memory(database):
        return {}
    return _merged(
        (database[one.collection], settings.resources.get(one.name, ResourceSettings()).indexes)
        for one in served
        if not one.read_only
    )


def declared_in_views(views: Iterable[View]) -> Declared:
    """Return what the resources of views, and those that they are related to, declare.

    Raises:
        ConfigurationError: Two resources declare for one collection what can't be at once, or a
            database is in memory.
    """
    found: list[tuple[Collection[Document], Sequence[Index]]] = []
    for view in views:
        if not isinstance(view, ResourceView):
            continue
        collection: Any = view.service.collection
        if not isinstance(collection, Collection):
            raise ConfigurationError(
                f"{view.name}: its database is in memory, where there are no indexes to compare."
            )
        found += (
            (collection.database[kind.collection], kind.compiled_indexes())
            for kind in view.declaration.known
            if kind.collection is not None
        )
    return _merged(found)


def _merged(found: Iterable[tuple[Collection[Document], Sequence[Index]]]) -> Declared:
    merged: dict[Collection[Document], tuple[Index, ...]] = {}
    for collection, indexes in found:
        try:
            merged[collection] = merge(merged.get(collection, ()), indexes)
        except ConfigurationError as error:
            raise ConfigurationError(
                *(f"indexes of {collection.name!a}: {problem}" for problem in error.problems)
            ) from error
    return merged


def compare_all(declared: Declared) -> list[Report]:
    """Compare the indexes that are declared with those that are there.

    Raises:
        ConfigurationError: A collection is a view, or the database can't be reached.
    """
    several = len({collection.database for collection in declared}) > 1
    return [
        Report(
            collection,
            collection.full_name if several else collection.name,
            compare(indexes, look(collection)),
        )
        for collection, indexes in declared.items()
    ]


def summary(
    reports: Iterable[Report], command: str = "falcorest indexes", *, tried: bool = False
) -> list[str]:
    """Say what isn't as it is declared, in a line each; nothing where all is well.

    Args:
        reports: How collections stand.
        command: What shows them.
        tried: Whether what is missing was to be built just now.
    """
    counts = Counter(one.state for report in reports for one in report.compared)
    lines = {
        State.MISSING: f"missing: {command} --apply builds {_it(counts[State.MISSING])}."
        if not tried
        else "missing still.",
        State.BUILDING: f"being built: {command} --apply waits for {_it(counts[State.BUILDING])}.",
        State.DIFFERENT: f"different in the database: {command} says how.",
    }
    return [
        f"{counts[state]} {'index is' if counts[state] == 1 else 'indexes are'} {line}"
        for state, line in lines.items()
        if counts[state]
    ]


def _it(count: int) -> str:
    return "it" if count == 1 else "them"


# --------------------------------------------------------------------------------- in writing


def keys_of(spec: Mapping[str, Any]) -> str:
    """Return the keys of an index as they are declared."""
    return ", ".join(_key(path, order) for path, order in text_keys(spec))


def _key(path: str, order: Any) -> str:
    if isinstance(order, str):
        return f"{path}:{order}"
    return {1: path, -1: f"-{path}"}.get(order, f"{path}: {order}")


_WORDS = {
    "unique": "unique",
    "sparse": "sparse",
    "hidden": "hidden",
    "expireAfterSeconds": "expires after {:g} s",
    "partialFilterExpression": "partial {}",
    "collation": "collation {}",
    "weights": "weights {}",
    "default_language": "language {}",
}


def options_of(spec: Mapping[str, Any]) -> str:
    """Return what an index is beside its keys."""
    return "; ".join(_options(spec))


def _options(spec: Mapping[str, Any]) -> Iterator[str]:
    for name, word in _WORDS.items():
        value = spec.get(name, False)
        if name == "collation" and value:
            simple = value["locale"] == "simple"
            value = False if simple else f"{value['locale']}, strength {value.get('strength', 3)}"
        elif name == "weights":
            value = {**value} if value and set(value.values()) != {1} else False
        elif name == "default_language" and value == "english":
            continue
        if value is not False and value is not None:
            yield word.format(dumps(value).decode() if isinstance(value, Mapping) else value)
    if not is_usually_named(spec):
        yield f"name {spec['name']}"


def in_words(spec: Mapping[str, Any]) -> str:
    """Return an index in one line."""
    return "; ".join(part for part in (keys_of(spec), options_of(spec)) if part)


def way_out(report: Report, one: Compared) -> list[str]:
    """Say of an index that is different what is there, and how to have it as it is declared."""
    assert one.declared is not None
    assert one.found is not None
    name = report.collection.name
    shell = f"db.{name}" if _NAME.fullmatch(name) else f"db.getCollection({dumps(name).decode()})"
    return [
        f"{report.label}: {in_words(one.declared.spec())}",
        f"    is different from {in_words(one.found.spec)}, which is called {one.found.name}.",
        "    MongoDB has one of them only. To have the declared one, drop the other one first:",
        f"    {shell}.dropIndex({dumps(one.found.name).decode()})",
    ]
