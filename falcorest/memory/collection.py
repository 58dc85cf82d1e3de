"""Collections in memory: kept by mongomock, queried and changed by code of our own.

mongomock evaluates filters and updates unlike MongoDB in many corners, so it only keeps the
documents and knows the indexes here.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from time import monotonic
from typing import Any, TypeAlias

import bson
from bson import CodecOptions, Decimal128, Int64, ObjectId, Regex
from bson.codec_options import DatetimeConversion
from pymongo.errors import (
    BulkWriteError,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    WriteError,
)
from pymongo.results import DeleteResult, InsertManyResult, InsertOneResult, UpdateResult

from falcorest.database import MongoDatabase, in_memory
from falcorest.memory.applying import apply_update, check_update, counts_as_change
from falcorest.memory.bson_order import is_nan, order
from falcorest.memory.matching import index_keys, matcher, matches, project, sort_documents
from falcorest.query import Document, Filter

_CODEC: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
#: The paths that are kept, or a mapping of paths to 1 or 0, as MongoDB has it.
Projection: TypeAlias = Sequence[str] | Mapping[str, int]

_MAX_BYTES = 16 * 1024 * 1024
_TOO_LARGE = 17419
#: How deep MongoDB lets documents be, and with which code it refuses more.
_MAX_LEVELS = 180
_OVERFLOW = 15
_INVALID_ID = 53
_TIME_IS_OVER = 50

#: How long one query may search, in seconds; patterns take the longest.
MAX_SECONDS = 5.0

#: The types of an ``_id`` whose values are equal in Python where they are in MongoDB.
_KEYS = {str, ObjectId, int, Int64, float, Decimal, datetime, bytes, type(None)}

# NOTE: one lock for whatever is in memory, since several objects may stand for one collection.
_WRITING = threading.RLock()


def open_collection(database: MongoDatabase, name: str) -> Any:
    """Return a collection of a database: pymongo's own, or one in memory."""
    return MemoryCollection(database[name]) if in_memory(database) else database[name]


class MemoryCursor:
    """What a query found.

    Args:
        documents: As they are kept; copies of them are given out.
        projection: What to give of them, or None for all.
    """

    def __init__(self, documents: Sequence[Document], projection: Projection | None) -> None:
        self._documents = deque(documents)
        self._projection = projection

    @property
    def alive(self) -> bool:
        """Whether there is more to read."""
        return bool(self._documents)

    def close(self) -> None:
        """Let go of what is left."""
        self._documents.clear()

    def __iter__(self) -> Iterator[Document]:
        return self

    def __next__(self) -> Document:
        if not self._documents:
            raise StopIteration
        document = self._documents.popleft()
        if self._projection is not None:
            document = project(document, self._projection)
        copied: Document = bson.decode(bson.encode(document, codec_options=_CODEC), _CODEC)
        return copied


class MemoryCollection:
    """The methods of a pymongo collection that falcorest uses, on one of mongomock.

    Args:
        collection: Keeps the documents.
    """

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        # NOTE: falcorest needs no more than there is here; somebody's hook may.
        return getattr(self._collection, name)

    @property
    def _store(self) -> Any:
        # NOTE: mongomock's public methods would compare and hash the _ids in their own way.
        return self._collection._store

    # ------------------------------------------------------------------------------- reading

    def find(
        self,
        filter: Filter,
        projection: Projection | None = None,
        *,
        skip: int = 0,
        limit: int = 0,
        sort: Sequence[tuple[str, int]] | None = None,
        batch_size: int = 0,
    ) -> MemoryCursor:
        """Return a cursor on the documents that a filter matches."""
        documents = self._matching(filter)
        if sort:
            documents = sort_documents(documents, sort)
        return MemoryCursor(documents[skip : skip + limit if limit else None], projection)

    def find_one(self, filter: Filter, projection: Projection | None = None) -> Document | None:
        """Return the first document that a filter matches."""
        return next(self.find(filter, projection, limit=1), None)

    def count_documents(self, filter: Filter, limit: int = 0) -> int:
        """Count the documents that a filter matches, up to a limit if there is one."""
        count = len(self._matching(filter))
        return min(count, limit) if limit else count

    def _matching(self, filter: Filter) -> list[Document]:
        is_match = matcher(filter)
        until = monotonic() + MAX_SECONDS
        found = []
        for document in self._candidates(filter):
            if is_match(document):
                found.append(document)
            if monotonic() > until:
                raise ExecutionTimeout("the time limit is over", _TIME_IS_OVER)
        return found

    def _candidates(self, filter: Filter) -> list[Document]:
        # PERF: one document is mostly asked for by its _id, which needs no search.
        identity = filter.get("_id")
        if isinstance(identity, (str, ObjectId)):
            try:
                return [self._store[identity]]
            except KeyError:
                return []
        return self._documents()

    def _documents(self) -> list[Document]:
        # NOTE: a list at once, since mongomock holds a lock until the last one is read.
        return list(self._store.documents)

    # ------------------------------------------------------------------------------- writing

    def insert_one(self, document: Document) -> InsertOneResult:
        """Keep a new document."""
        with _WRITING:
            stored = _stored(document)
            if isinstance(stored["_id"], (list, Regex)):
                raise WriteError("a value can't be an _id", _INVALID_ID)
            self._require_unique(stored, None)
            self._store[_key(stored["_id"])] = stored
        return InsertOneResult(stored["_id"], True)

    def insert_many(
        self, documents: Sequence[Document], *, ordered: bool = True
    ) -> InsertManyResult:
        """Keep new documents, if ordered up to the first that is refused."""
        # NOTE: the driver looks at all of them before it sends the first.
        stored = [_stored(document) for document in documents]
        failures: list[dict[str, Any]] = []
        for index, document in enumerate(stored):
            try:
                self.insert_one(document)
            except WriteError as error:
                failures.append({**(error.details or {}), "index": index, "code": error.code})
                if ordered:
                    raise BulkWriteError({"writeErrors": failures, "nInserted": index}) from error
        if failures:
            count = len(stored) - len(failures)
            raise BulkWriteError({"writeErrors": failures, "nInserted": count})
        return InsertManyResult([document["_id"] for document in stored], True)

    def update_one(self, filter: Filter, update: dict[str, Any]) -> UpdateResult:
        """Change the first document that a filter matches."""
        return self._update(filter, update, 1)

    def update_many(self, filter: Filter, update: dict[str, Any]) -> UpdateResult:
        """Change all documents that a filter matches, or none if one refuses."""
        return self._update(filter, update, None)

    def _update(self, filter: Filter, update: dict[str, Any], limit: int | None) -> UpdateResult:
        check_update(update)
        with _WRITING:
            found = self._matching(filter)[:limit]
            changed = [(old, _updated(old, update)) for old in found]
            try:
                for old, new in changed:
                    self._replace(old, new)
            except DuplicateKeyError:
                for old in found:
                    self._store[_key(old["_id"])] = old
                raise
        always = counts_as_change(update)
        modified = sum(always or bson.encode(old) != bson.encode(new) for old, new in changed)
        return UpdateResult({"n": len(found), "nModified": modified}, True)

    def find_one_and_update(
        self,
        filter: Filter,
        update: dict[str, Any],
        projection: Projection | None = None,
        *,
        return_document: bool,
    ) -> Document | None:
        """Change the first document that a filter matches, and return it as it is then."""
        with _WRITING:
            found = self.find_one(filter, ["_id"])
            if found is None:
                return None
            own = {"_id": {"$eq": found["_id"]}}
            self.update_one(own, update)
            return self.find_one(own, projection)

    def replace_one(
        self, filter: Filter, replacement: Document, upsert: bool = False
    ) -> UpdateResult:
        """Put a document in the place of the first that a filter matches, or of none."""
        with _WRITING:
            found = self._matching(filter)[:1]
            for old in found:
                self._replace(old, _stored(replacement))
            inserted = {}
            if not found and upsert:
                inserted["upserted"] = self.insert_one(replacement).inserted_id
        return UpdateResult({"n": len(found), "nModified": len(found), **inserted}, True)

    def _replace(self, old: Document, new: Document) -> None:
        self._require_unique(new, old)
        self._store[_key(old["_id"])] = new

    def delete_one(self, filter: Filter) -> DeleteResult:
        """Remove the first document that a filter matches."""
        return self._delete(filter, 1)

    def delete_many(self, filter: Filter) -> DeleteResult:
        """Remove all documents that a filter matches."""
        return self._delete(filter, None)

    def _delete(self, filter: Filter, limit: int | None) -> DeleteResult:
        with _WRITING:
            found = self._matching(filter)[:limit]
            for document in found:
                del self._store[_key(document["_id"])]
        return DeleteResult({"n": len(found)}, True)

    # -------------------------------------------------------------------------- unique fields

    def _require_unique(self, document: Document, replaced: Document | None) -> None:
        if replaced is None and _key(document["_id"]) in self._store:
            _refuse_duplicate(["_id"])
        for index in self._collection.index_information().values():
            paths = [path for path, _ in index["key"]]
            if not index.get("unique") or not _is_indexed(document, index, paths):
                continue
            keys = index_keys(document, paths)
            # NOTE: by its _id, since a bulk update has put another object in its place.
            others = (
                other
                for other in self._documents()
                if order(other["_id"]) != order(document["_id"])
            )
            if any(
                _is_indexed(other, index, paths) and keys & index_keys(other, paths)
                for other in others
            ):
                _refuse_duplicate(paths)


def _is_indexed(document: Document, index: dict[str, Any], paths: list[str]) -> bool:
    if index.get("sparse") and not any(matches(document, {p: {"$exists": True}}) for p in paths):
        return False
    return matches(document, index.get("partialFilterExpression") or {})


def _refuse_duplicate(paths: list[str]) -> None:
    details = {"keyPattern": dict.fromkeys(paths, 1)}
    raise DuplicateKeyError("another document has the same value", 11000, details)


def _stored(document: Document) -> Document:
    """Return a document as a database gives it back: by way of BSON.

    Raises:
        DocumentTooLarge: It is larger than a document may be.
        OverflowError: An integer in it is.
    """
    # NOTE: the driver puts the _id in front.
    data = bson.encode({"_id": document["_id"], **document}, codec_options=_CODEC)
    if _is_deeper(document, _MAX_LEVELS):
        raise WriteError("the document is nested too deeply", _OVERFLOW)
    if len(data) > _MAX_BYTES:
        raise DocumentTooLarge("the document is too large")
    stored: Document = bson.decode(data, _CODEC)
    return stored


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    items = value.values() if isinstance(value, dict) else value
    return not levels or any(_is_deeper(item, levels - 1) for item in items)


def _updated(document: Document, update: dict[str, Any]) -> Document:
    try:
        return _stored(apply_update(document, update))
    except DocumentTooLarge as error:
        raise WriteError("the document would be too large", _TOO_LARGE) from error


def _key(identity: Any) -> Any:
    """Return what a document is kept under: its ``_id``, as mongomock does it.

    What can't be hashed, or would be taken for something else, as true is for 1, goes by its
    place in BSON's order.
    """
    key = identity.to_decimal() if isinstance(identity, Decimal128) else identity
    return order(identity) if type(key) not in _KEYS or is_nan(identity) else key
