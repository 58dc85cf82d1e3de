"""Looking at a database: samples of documents, validators, indexes, and what refers to what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bson
from bson import ObjectId
from pymongo.collection import Collection

from falcorest.catalog import Served, find_collections, resolve_collections
from falcorest.database import MongoDatabase, Translation, in_memory, operation, time_limit
from falcorest.errors import ConfigurationError
from falcorest.indexes import Index as DeclaredIndex
from falcorest.indexes.comparison import as_declared
from falcorest.indexes.comparison import look as look_at_indexes
from falcorest.query import Document
from falcorest.scaffold.shapes import Shape
from falcorest.settings import ResourceSettings, Settings, is_resource_name

#: A name that can be a part of a URL as it is.
_IN_URLS = re.compile(r"(?!\.\.?$)[\w.~-]+")

#: How many ids are looked for at once.
_CHUNK = 10_000


@dataclass(frozen=True)
class Index:
    """An index.

    Attributes:
        keys: Its fields, paths perhaps, and how each is ordered.
        unique: Whether no two documents have the same values.
        partial: Whether it leaves documents out.
    """

    keys: tuple[tuple[str, Any], ...]
    unique: bool
    partial: bool


@dataclass(frozen=True)
class Seen:
    """What was seen of a collection.

    Attributes:
        name: Its name.
        resource: Its name in URLs.
        shape: What its documents look like.
        looked_at: How many of them were looked at.
        total: How many there are, None if that isn't known.
        read_only: Whether it is a view.
        indexes: In the order of their names.
        declared: Those that a Resource can declare.
    """

    name: str
    resource: str
    shape: Shape
    looked_at: int
    total: int | None
    read_only: bool
    indexes: tuple[Index, ...]
    declared: tuple[DeclaredIndex, ...] = ()


def look(
    settings: Settings,
    database: MongoDatabase,
    names: Sequence[str],
    sample: int,
    say: Callable[[str], None],
) -> list[Seen]:
    """Look at collections, in the order of their names.

    Raises:
        ConfigurationError: One of them isn't there or is never served, or there is none.
    """
    if in_memory(database):
        raise ConfigurationError(
            "MONGODB_URI: a database in memory is empty when a command starts; there is nothing "
            "to look at."
        )
    every = settings.replace(collections_text="*", resources={})
    everything = resolve_collections(every, database)
    chosen = everything
    if names:
        chosen = _named(every, database, sorted(set(names)))
    else:
        for name in find_collections(database):
            if not is_resource_name(name) and not settings.never_served(name):
                say(f"Left out: {name!a}; it can't stand in a URL. Name it to have it.")
    if not chosen:
        raise ConfigurationError(f"DATABASE: {database.name} has no collections to serve.")
    seen = []
    resources = _url_names([one.collection for one in chosen])
    for one in chosen:
        seen.append(_look_at(database, one, resources[one.collection], sample))
        say(f"{one.collection!a}: looked at {seen[-1].looked_at} documents.")
    # NOTE: a view shows ids that are those of its collection.
    candidates = {one.collection for one in (*everything, *chosen) if not one.read_only}
    _find_references(database, seen, sorted(candidates))
    return seen


def _named(settings: Settings, database: MongoDatabase, names: Iterable[str]) -> list[Served]:
    """Return collections that are asked for by name."""
    # NOTE: resolving a collection that isn't there would make it in an embedded database.
    found = find_collections(database)
    problems = [
        f"There is no collection {name!a} in the database {database.name}."
        for name in names
        if name not in found
    ]
    served = []
    for name in () if problems else names:
        one = settings.replace(
            collections_text=None, resources={"any": ResourceSettings(collection=name)}
        )
        try:
            served += resolve_collections(one, database)
        except ConfigurationError:
            problems.append(f"The collection {name!a} is never served.")
    if problems:
        raise ConfigurationError(*problems)
    return served


def _url_names(names: Sequence[str]) -> dict[str, str]:
    """Return what collections are called in URLs, by name."""
    # APPSEC: Falcon writes routes into source of its own, without a care for quotes.
    found = {name: name for name in names if _IN_URLS.fullmatch(name) is not None}
    for name in names:
        if name not in found:
            draft = re.sub(r"[\W_]+", "-", name).strip("-") or "collection"
            resource, number = draft, 2
            while resource in found.values():
                resource, number = f"{draft}-{number}", number + 1
            found[name] = resource
    return found


# ------------------------------------------------------------------------------ one collection


def _look_at(database: MongoDatabase, served: Served, resource: str, sample: int) -> Seen:
    collection = database[served.collection]
    shape = Shape(bounded=False)
    looked_at = 0
    options = {} if served.read_only else _options(database, served.collection)
    indexed = not served.read_only and "timeseries" not in options
    for document in _sample(collection, sample, indexed=indexed):
        shape.add(document)
        looked_at += 1
    shape.settle()
    if served.read_only:
        total = looked_at if looked_at < sample else None
        return Seen(served.collection, resource, shape, looked_at, total, True, ())
    for rule in _rules(options.get("validator")):
        shape.apply(rule)
    total = looked_at if looked_at < sample else max(_count(database, served.collection), looked_at)
    found = _indexes(database, served.collection)
    declared = _declared(database, served.collection)
    return Seen(served.collection, resource, shape, looked_at, total, False, found, declared)


def _sample(collection: Collection[Document], size: int, *, indexed: bool) -> Iterator[Document]:
    """Yield documents of a collection, the same ones every time.

    They are the first and the last by ``_id``: it is indexed, ids tend to grow, and collections
    tend to change, so the oldest and the newest documents differ most. Without that index, as in
    a view, they are the first ones.
    """
    if not indexed:
        yield from _read(collection, None, size)
        return
    first = (size + 1) // 2
    seen: set[bytes] = set()
    for document in _read(collection, 1, first):
        seen.add(_key(document))
        yield document
    if len(seen) == first and size > first:
        for document in _read(collection, -1, size - first):
            if _key(document) in seen:
                return
            yield document


def _key(document: Document) -> bytes:
    return bson.encode({"_id": document["_id"]})


def _read(collection: Collection[Document], order: int | None, size: int) -> Iterator[Document]:
    # NOTE: without a time limit of its own, each of the batches has that of the client.
    with (
        Translation(),
        collection.find(
            {}, sort=None if order is None else [("_id", order)], limit=size, batch_size=100
        ) as cursor,
    ):
        yield from cursor


@operation(time_limit)
def _options(database: MongoDatabase, name: str) -> Mapping[str, Any]:
    options: Mapping[str, Any] = database[name].options()
    return options


@operation(time_limit)
def _count(database: MongoDatabase, name: str) -> int:
    return database[name].estimated_document_count()


@operation(time_limit)
def _indexes(database: MongoDatabase, name: str) -> tuple[Index, ...]:
    found = sorted(database[name].index_information().items())
    return tuple(
        Index(
            tuple((str(path), order) for path, order in index["key"]),
            bool(index.get("unique")),
            bool(index.get("sparse")) or "partialFilterExpression" in index,
        )
        for _, index in found
    )


@operation(time_limit)
def _declared(database: MongoDatabase, name: str) -> tuple[DeclaredIndex, ...]:
    return tuple(as_declared(look_at_indexes(database[name])))


def _rules(validator: Any) -> Iterator[Any]:
    """Yield the ``$jsonSchema`` of a validator, and those that it joins with ``$and``."""
    if isinstance(validator, Mapping):
        if "$jsonSchema" in validator:
            yield validator["$jsonSchema"]
        if isinstance(validator.get("$and"), list):
            for part in validator["$and"]:
                yield from _rules(part)


# ---------------------------------------------------------------------------------- references


def _find_references(database: MongoDatabase, seen: list[Seen], candidates: list[str]) -> None:
    """Note the places whose ObjectIds are those of another collection's documents."""
    places = [
        (key, place)
        for one in seen
        for key, shape in _below(one.shape)
        for place in shape.everything()
        if place.kind == "objectId" and place.ids
    ]
    wanted = sorted({value for _, place in places for value in place.ids})
    hits = {name: _present(database, name, wanted) for name in candidates} if wanted else {}
    for key, place in places:
        best = min(
            candidates,
            key=lambda name: (-len(hits[name] & place.ids.keys()), not _alike(key, name), name),
            default=None,
        )
        if best is not None and 2 * len(hits[best] & place.ids.keys()) > len(place.ids):
            place.refers = best


def _below(shape: Shape) -> Iterator[tuple[str, Shape]]:
    """Yield the fields of documents but for their ``_id``."""
    return ((key, field) for key, field in shape.fields.items() if key != "_id")


def _present(database: MongoDatabase, name: str, wanted: list[ObjectId]) -> set[ObjectId]:
    """Return those ids that documents of a collection have."""
    return {
        value
        for start in range(0, len(wanted), _CHUNK)
        for value in _ask(database, name, wanted[start : start + _CHUNK])
    }


@operation(time_limit)
def _ask(database: MongoDatabase, name: str, ids: list[ObjectId]) -> list[ObjectId]:
    return [found["_id"] for found in database[name].find({"_id": {"$in": ids}}, ["_id"])]


def _alike(key: str, collection: str) -> bool:
    """Tell whether a field is called like a collection."""
    stem = re.sub(r"_?ids?$", "", key.lower())
    return bool(stem) and (stem in collection.lower() or collection.lower().rstrip("s") in stem)
