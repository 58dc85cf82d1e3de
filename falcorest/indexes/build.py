"""Build: making an index, and how far that is."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pymongo
from pymongo import IndexModel
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from falcorest.bson_json import dumps
from falcorest.errors import ConfigurationError
from falcorest.indexes.index import Index
from falcorest.query import Document

#: How long a build may take, in seconds: the longest time that MongoDB can be told.
BUILD_SECONDS = (2**31 - 1) // 1000

_DUPLICATE = 11000
_NOT_ALLOWED = 13
#: MongoDB may give all of a document.
_LONGEST = 200
_PHASE = re.compile(r"Index Build: ([a-z ]+)")


@dataclass(frozen=True)
class Progress:
    """How far a build is.

    Attributes:
        phase: What MongoDB is doing, in its words.
        done: How much of it is done.
        total: How much there is to do; 0 if that isn't known.
    """

    phase: str
    done: int
    total: int


def build(
    collection: Collection[Document],
    index: Index,
    tell: Callable[[Progress], None] = lambda progress: None,
    *,
    every: float = 0.2,
) -> None:
    """Build an index; wait for one that is being built already.

    Args:
        collection: What to index; it is made where it isn't there.
        index: As it is declared.
        tell: Is told how far it is, from another thread.
        every: How often, in seconds.

    Raises:
        PyMongoError: It failed; see :func:`reason`.
    """
    spec = index.spec()
    # NOTE: while the database can still be found within the usual time.
    collection.database.command("ping")
    with _watched(collection, spec["name"], tell, every), pymongo.timeout(BUILD_SECONDS):
        collection.create_indexes([IndexModel([*spec.pop("key").items()], **spec)])


@contextmanager
def _watched(
    collection: Collection[Document], name: str, tell: Callable[[Progress], None], every: float
) -> Iterator[None]:
    """Tell how far a build is until the block ends."""
    over = threading.Event()

    def watch() -> None:
        # NOTE: without the right to look, there is nothing to tell.
        with suppress(PyMongoError):
            while not over.wait(every):
                for progress in _look(collection, name):
                    tell(progress)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _look(collection: Collection[Document], name: str) -> Iterable[Progress]:
    """Return how far the build of an index is, if that is known; the shards together."""
    namespace = f"{collection.database.name}.{collection.name}"
    # NOTE: it takes no other read concern.
    admin = collection.database.client.get_database(
        "admin", read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern()
    )
    running = admin.aggregate(
        [
            # NOTE: MongoDB builds in a thread of its own, which is nobody's.
            {"$currentOp": {"allUsers": True}},
            {"$match": {"ns": namespace, "command.indexes.name": name}},
        ]
    )
    found = [one for one in running if _PHASE.match(one.get("msg") or "")]
    if not found:
        return []
    phase = _PHASE.match(found[0]["msg"])
    assert phase is not None
    parts = [one.get("progress") or {"done": 0, "total": 0} for one in found]
    done, total = (int(sum(part[what] for part in parts)) for what in ("done", "total"))
    return [Progress(phase[1].removesuffix(" Index Build").strip(), done, total)]


def reason(error: PyMongoError) -> str:
    """Say why an index couldn't be built, briefly."""
    text = _reason(error)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _reason(error: PyMongoError) -> str:
    if isinstance(error, OperationFailure):
        details: Any = error.details or {}
        values = details.get("keyValue")
        if error.code == _DUPLICATE and values:
            return f"several documents have {dumps(values).decode()}."
        if error.code == _NOT_ALLOWED:
            return "the database user may not do this."
        # NOTE: MongoDB says first that the build failed, and under which ids.
        return str(details.get("errmsg", error)).rpartition(":: caused by :: ")[2]
    if isinstance(error, AutoReconnect):
        return f"the connection broke, and MongoDB may go on building it: {error}"
    return str(error)


def build_in_memory(collection: Collection[Document], indexes: Iterable[Index], place: str) -> None:
    """Give a collection in memory its unique indexes; the others would make no difference.

    Args:
        collection: One of mongomock.
        indexes: As they are declared.
        place: Where that is.

    Raises:
        ConfigurationError: Documents that are there have the same values.
    """
    for index in indexes:
        if index.unique and not index.kinds:
            options = index.spec()
            options.pop("collation", None)
            try:
                collection.create_index([*options.pop("key").items()], **options)
            except OperationFailure as error:
                named = ", ".join(index.paths)
                raise ConfigurationError(
                    f"{place}: several documents have the same {named}, which is to be unique."
                ) from error
