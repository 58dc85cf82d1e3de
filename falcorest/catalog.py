"""The catalog: which collections of a database are served, and under which names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pymongo.errors import CollectionInvalid, InvalidName, OperationFailure, PyMongoError

from falcorest.concerns import (
    LINEARIZABLE,
    MAJORITY,
    require_confirmable,
    require_linearizable,
)
from falcorest.database import PASSING, MongoDatabase, in_memory
from falcorest.errors import ConfigurationError
from falcorest.settings import EXTERNAL, Settings, is_resource_name

_SYSTEM_DATABASES = {"admin", "config", "local"}


class Unreachable(ConfigurationError):
    """The database can't be reached, so that it isn't known what is in it."""


@dataclass(frozen=True)
class Served:
    """A collection that is served.

    Attributes:
        name: The name of the resource.
        collection: The name of the collection.
        read_only: Whether it is a MongoDB view, which can't be written to.
        transactional: Whether it can take part in transactions.
    """

    name: str
    collection: str
    read_only: bool = False
    transactional: bool = True


@dataclass(frozen=True)
class Found:
    """A collection that is there.

    Attributes:
        sources: The collections that it shows, if it is a view.
        transactional: Whether it can take part in transactions; capped and time-series
            collections can't.
    """

    sources: frozenset[str] = frozenset()
    transactional: bool = True


def resolve_collections(settings: Settings, database: MongoDatabase) -> list[Served]:
    """Find the collections that the settings name, in the order of their resources' names.

    Named ones that don't exist are made in an embedded database and in memory.

    Args:
        settings: ``COLLECTIONS`` and the resources of ``falcorest.toml``.
        database: Where they are.

    Raises:
        ConfigurationError: One of them isn't there or may not be served, or the database
            can't be reached.
    """
    if database.name in _SYSTEM_DATABASES:
        raise ConfigurationError(f"DATABASE: {database.name} is MongoDB's own and never served.")
    found = find_collections(database)
    named = settings.collections()
    if named is None:
        if settings.collections_text is None and settings.engine == EXTERNAL:
            raise ConfigurationError(
                "COLLECTIONS: it isn't set; resource:collection pairs, or * for all of them."
            )
        in_file = settings.named_in_file()
        # APPSEC: what the file says of a collection must not be passed by, under the name of the
        # collection or of a view on it.
        ruled = {*in_file.values(), *(settings.resources.keys() - in_file.keys())}
        named = {
            name: name
            for name in found
            if is_resource_name(name)
            and not _shows(settings.never_served, found, name)
            and (name in settings.resources or not _shows(ruled.__contains__, found, name))
        }
        named |= in_file
    problems = [
        problem
        for resource, collection in named.items()
        for problem in _provide(settings, database, found, resource, collection)
    ]
    problems.extend(
        f"falcorest.toml: resources.{name}: COLLECTIONS doesn't name it, "
        "and no collection is given."
        for name in settings.resources
        if name not in named
    )
    problems.extend(
        f"falcorest.toml: resources.{name}.indexes: {named[name]} is a view, which has none; "
        "say it of the collection behind it."
        for name, own in settings.resources.items()
        if own.indexes and name in named and found.get(named[name], Found()).sources
    )
    if problems:
        raise ConfigurationError(*problems)
    if not in_memory(database):
        _require_possible(settings, database)
    return [
        Served(name, collection, bool(kind.sources), kind.transactional)
        for name, collection in sorted(named.items())
        for kind in [found.get(collection, Found())]
    ]


def _require_possible(settings: Settings, database: MongoDatabase) -> None:
    """Refuse what is said of reading and writing where the database can't do it.

    Raises:
        ConfigurationError: It names where it is said.
    """
    w, level = database.write_concern.document.get("w", MAJORITY), database.read_concern.level
    by_setting = str(w) == settings.write_concern
    confirmed = {"FALCOREST_WRITE_CONCERN" if by_setting else "MONGODB_URI": w}
    by_setting = level == settings.read_concern
    read = {"FALCOREST_READ_CONCERN" if by_setting else "MONGODB_URI": level}
    for name, own in settings.resources.items():
        place = f"falcorest.toml: resources.{name}"
        if own.write_concern is not None:
            confirmed[f"{place}.write_concern"] = own.write_concern
        read[f"{place}.read_concern"] = own.read_concern
    places = [place for place, level in read.items() if level == LINEARIZABLE]
    try:
        require_confirmable(database, settings.user_collection, confirmed)
        require_linearizable(database, settings.user_collection, places)
    except PyMongoError as error:
        raise _unreachable(error) from error


def _provide(
    settings: Settings,
    database: MongoDatabase,
    found: Mapping[str, Found],
    resource: str,
    collection: str,
) -> Iterator[str]:
    """Make a collection where it isn't there and may be made; yield what is wrong."""
    if _shows(settings.never_served, found, collection):
        yield f"COLLECTIONS: {resource}: {collection} is never served."
    elif collection not in found and settings.engine == EXTERNAL:
        yield (
            f"COLLECTIONS: {resource}: there is no collection {collection} "
            f"in the database {database.name}."
        )
    elif collection not in found:
        try:
            with suppress(CollectionInvalid):
                # NOTE: another resource may have made it already.
                database.create_collection(collection)
        except (InvalidName, OperationFailure):
            yield f"COLLECTIONS: {collection!r} can't be the name of a collection."


def _shows(one_of: Callable[[str], bool], found: Mapping[str, Found], name: str) -> bool:
    """Tell whether a collection is one of some, or shows one of them as a view."""
    sources = found[name].sources if name in found else frozenset()
    return one_of(name) or any(_shows(one_of, found, source) for source in sources)


def find_collections(database: MongoDatabase) -> dict[str, Found]:
    """Return what is in a database, by name.

    Raises:
        Unreachable: The database can't be reached.
        ConfigurationError: It doesn't let us in.
    """
    try:
        if in_memory(database):
            return dict.fromkeys(sorted(database.list_collection_names()), Found())
        listed = sorted(database.list_collections(), key=lambda info: str(info["name"]))
        return {info["name"]: _found(info) for info in listed}
    except OperationFailure as error:
        message = (error.details or {}).get("errmsg", error)
        kind = Unreachable if error.code in PASSING or error.timeout else ConfigurationError
        raise kind(f"MONGODB_URI: the database refuses: {message}") from error
    except PyMongoError as error:
        raise _unreachable(error) from error


def _unreachable(error: PyMongoError) -> Unreachable:
    reason = str(error).partition(", Timeout:")[0].partition(" (configured timeouts")[0]
    return Unreachable(f"MONGODB_URI: the database can't be reached: {reason}")


def _found(info: Mapping[str, Any]) -> Found:
    options = info.get("options", {})
    if info["type"] == "view":
        return Found(frozenset({options["viewOn"], *_joined(options.get("pipeline", []))}))
    return Found(transactional=info["type"] != "timeseries" and not options.get("capped"))


def _joined(stage: Any) -> Iterator[str]:
    """Yield the collections that the pipeline of a view reads beside its own."""
    if isinstance(stage, list):
        for item in stage:
            yield from _joined(item)
    elif isinstance(stage, dict):
        for key, value in stage.items():
            if key in {"from", "coll", "$unionWith"} and isinstance(value, str):
                yield value
            yield from _joined(value)
