"""CollectionService: everything that touches a collection, and nothing of HTTP."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter
from typing import Any, ParamSpec, TypeVar

import bson
import pymongo
from bson import CodecOptions, ObjectId
from bson.binary import UuidRepresentation
from pymongo import ReturnDocument, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.errors import BulkWriteError, PyMongoError

from falcorest.caller import Caller
from falcorest.database import (
    MongoDatabase,
    Transactions,
    Translation,
    in_memory,
    operation,
    time_limit,
    translate,
)
from falcorest.errors import Conflict, FalcorestError, Forbidden, NotFound, Problem
from falcorest.limits import Limits
from falcorest.memory import open_collection
from falcorest.memory.applying import apply_update, check_update
from falcorest.policy import Policy
from falcorest.protection import Projection
from falcorest.query import EVERYTHING, WHOLE, Document, Filter, Page, Query, conjunction
from falcorest.rows import Rows
from falcorest.updates import Update

#: How many documents are fetched, and held in memory, at once.
BATCH = 500

#: How many documents are asked for by their ids at once.
CHUNK = 200

#: How often a write that depends on what is stored is tried where there are no transactions.
ATTEMPTS = 20

#: The largest limit that MongoDB takes.
LARGEST = 2**63 - 1

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Updated:
    """The outcome of a bulk update.

    Attributes:
        matched: How many documents the filter matched.
        modified: How many of them are different now.
    """

    matched: int
    modified: int


class DocumentStream:
    """The documents of a query, a batch at a time. The first batch is there at once.

    Args:
        documents: All of them, or a cursor that has not been read from yet.
        time_limit: How long to wait for each further batch, in seconds.
    """

    def __init__(self, documents: Any, time_limit: float | None = None) -> None:
        self._cursor = documents
        self._time_limit = time_limit
        self._read = 0
        self.complete = type(documents) is list
        self.first: list[Document] = documents if self.complete else self._fetch(None)

    def batches(self) -> Iterator[list[Document]]:
        """Yield the documents, and let go of the cursor at the end.

        Raises:
            FalcorestError: The database failed under way.
        """
        try:
            yield self.first
            while not self.complete and (batch := self._fetch(self._time_limit)):
                yield batch
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the cursor."""
        if not self.complete:
            self._cursor.close()

    def __iter__(self) -> Iterator[Document]:
        for batch in self.batches():
            yield from batch

    def _fetch(self, time_limit: float | None) -> list[Document]:
        with Translation(), pymongo.timeout(time_limit):
            batch = next_batch(self._cursor, self._read)
        self._read += len(batch)
        return batch


def next_batch(cursor: Any, read: int) -> list[Document]:
    """Return the documents of the next answer of the database, which has 16 MiB at the most.

    PERF: so large documents, of which few fit into an answer, take no more memory than small
    ones.

    Args:
        cursor: Of pymongo, or of a database in memory.
        read: How many documents have been read from it before.
    """
    if not isinstance(cursor, Cursor):
        return list(islice(cursor, BATCH))
    batch: list[Document] = cursor.to_list(1)
    at_hand = cursor.retrieved - read - len(batch)
    return batch + cursor.to_list(at_hand) if at_hand else batch


_database_operation = functools.partial(
    operation,
    attrgetter("time_limit"),
    running_in=lambda service: service._transactions.running,
)


def _operation(*, write: bool = False) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a decorator for a method that does one thing with the database."""

    def decorate(method: Callable[P, T]) -> Callable[P, T]:
        translated = _database_operation(write=write)(method)
        if not write:
            return translated

        @functools.wraps(method)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return translated(*args, **kwargs)
            except Conflict as conflict:
                service: Any = args[0]
                service.policy.protection.unname(conflict)
                raise

        return wrapper

    return decorate


class CollectionService:
    """Reads and writes one collection, within its policy.

    Every method raises :class:`~falcorest.errors.Problem` for what MongoDB refuses or can't
    do, never an exception of the driver.

    Attributes:
        rows: Which documents are there for the caller; None for all of them.
        stream_limit_ms: How long the database may work on one stream, in milliseconds.

    Args:
        database: Where the collection is.
        name: The collection.
        policy: What may be asked of it.
        transactions: Shared by the services of one database.
    """

    rows: Rows | None = None

    def __init__(
        self, database: MongoDatabase, name: str, policy: Policy, transactions: Transactions
    ) -> None:
        self.collection: Collection[Document] = open_collection(database, name)
        self.policy = policy
        self.time_limit = time_limit(database)
        self.stream_limit_ms = Limits.stream_timeout_ms
        self._database = database
        self._transactions = transactions
        self._codec = _own_codec(database)

    def sibling(self, name: str, policy: Policy) -> CollectionService:
        """Return the service of another collection, with which this one can write together."""
        return CollectionService(self._database, name, policy, self._transactions)

    def for_caller(self, caller: Caller) -> CollectionService:
        """Return this service as far as its policy lets a caller use it."""
        if not self.policy.is_personal:
            return self
        bound = copy.copy(self)
        bound.rows = self.policy.rows_of(caller)
        return bound

    def _in_transaction(self) -> dict[str, Any]:
        return _in(self._transactions.session)

    # ------------------------------------------------------------------------------- reading

    def stream(self, query: Query) -> DocumentStream:
        """Return all documents of a query, to be read batch by batch."""
        whole = self._whole(query)
        if whole is not None:
            return DocumentStream(whole)
        # NOTE: MongoDB counts a time limit for a cursor over all its batches. So the beginning
        # was asked for within the limit, and what is streamed has it batch by batch.
        # The longer limit of its own is for all of it.
        with Translation():
            cursor = self._find(query, query.limit or 0)
            if not in_memory(self._database):
                cursor.max_time_ms(self.stream_limit_ms)
            return DocumentStream(cursor, self.time_limit)

    @_operation()
    def _whole(self, query: Query) -> list[Document] | None:
        """Return the documents of a query if they are one batch, else None."""
        if query.limit == 0:
            return []
        bound = BATCH if query.limit is None else min(query.limit, BATCH)
        cursor = self._find(query, bound)
        documents = next_batch(cursor, 0)
        if not cursor.alive and (len(documents) < bound or bound == query.limit):
            return documents
        cursor.close()
        return None

    @_operation()
    def page(self, query: Query) -> Page:
        """Return the documents of a query, and whether there are more behind its limit."""
        if query.limit is None:
            return Page(list(self._find(query, 0)), False)
        documents = list(self._find(query, min(query.limit + 1, LARGEST)))
        return Page(documents[: query.limit], len(documents) > query.limit)

    @_operation()
    def find(self, query: Query) -> list[Document]:
        """Return the documents of a query."""
        return list(self._find(query, query.limit or 0))

    def find_by_ids(self, identities: Sequence[Any], query: Query) -> list[Document]:
        """Return those of some documents that a query allows, in chunks of :data:`CHUNK`.

        Args:
            identities: Their ``_id``, without duplicates.
            query: Narrows what may be found, and says which fields to read.
        """
        found: list[Document] = []
        for first in range(0, len(identities), CHUNK):
            chunk = list(identities[first : first + CHUNK])
            found += self.find(replace(query, filter={"_id": {"$in": chunk}}))
        return found

    def find_referring(
        self, owners: CollectionService, identities: Sequence[Any], field: str, query: Query
    ) -> dict[Any, list[Document]]:
        """Return the documents that refer to some others, by what they refer to.

        Source: https://www.mongodb.com/docs/manual/reference/operator/aggregation/lookup/

        Args:
            owners: The collection of the others.
            identities: Their ``_id``, without duplicates.
            field: The stored name of the reference.
            query: Narrows what may be found, and says which fields to read; its limit holds
                for each of the others.
        """
        found: dict[Any, list[Document]] = {}
        if query.limit == 0:
            return found
        for first in range(0, len(identities), CHUNK):
            chunk = list(identities[first : first + CHUNK])
            for identity, document in self._referring(owners, chunk, field, query):
                found.setdefault(identity, []).append(document)
        return found

    @_operation()
    def _referring(
        self, owners: CollectionService, identities: list[Any], field: str, query: Query
    ) -> list[tuple[Any, Document]]:
        query = replace(query, sort=(("_id", 1),))
        if in_memory(self._database):
            return [
                (identity, document)
                for identity in identities
                for document in self._find(
                    replace(query, filter={field: identity}), query.limit or 0
                )
            ]
        stages: list[dict[str, Any]] = [{"$match": self._condition(query)}, {"$sort": {"_id": 1}}]
        if query.limit:
            stages.append({"$limit": query.limit})
        projection = self._projection(query)
        if projection:
            named = projection if isinstance(projection, dict) else dict.fromkeys(projection, 1)
            stages.append({"$project": named})
        pipeline: list[dict[str, Any]] = [
            {"$match": {"_id": {"$in": identities}}},
            {"$project": {"_id": 1}},
            {
                "$lookup": {
                    "from": self.collection.name,
                    "localField": "_id",
                    "foreignField": field,
                    "pipeline": stages,
                    "as": "referring",
                }
            },
            {"$unwind": "$referring"},
        ]
        # NOTE: one answer for all of them, if it fits.
        cursor = owners.collection.aggregate(
            pipeline, batchSize=BATCH * len(identities), **self._in_transaction()
        )
        return [(one["_id"], one["referring"]) for one in cursor]

    @_operation()
    def get(self, identity: Any, query: Query = EVERYTHING) -> Document:
        """Return one document.

        Args:
            identity: Its ``_id``.
            query: Narrows what may be found, and says which fields to read.

        Raises:
            NotFound: There is none.
        """
        return self._one(self._identify(identity, query), query)

    def _one(self, filter: Filter, query: Query) -> Document:
        document = self.collection.find_one(
            filter, self._projection(query), **self._in_transaction()
        )
        if document is None:
            raise not_found()
        return document

    def _find(self, query: Query, limit: int) -> Any:
        return self.collection.find(
            self._condition(query),
            self._projection(query),
            skip=query.skip,
            limit=limit,
            sort=list(query.sort) or None,
            batch_size=BATCH,
            **self._in_transaction(),
        )

    def _identify(self, identity: Any, query: Query) -> Filter:
        own = _is(identity)
        condition = self._condition(query)
        return conjunction([own, condition]) if condition else own

    # ---------------------------------------------------------------------------- the policy

    def _condition(self, query: Query) -> Filter:
        """Return what documents must satisfy: what is asked for, and what the policy says.

        Raises:
            Forbidden: It is asked for by something that the caller doesn't see.
        """
        if self.policy.protection.hidden:
            self.policy.protection.check_query(query)
        condition = query.condition
        rule = None if self.rows is None else self.rows.condition
        if not rule:
            return condition
        return conjunction([rule, condition]) if condition else rule

    def _projection(self, query: Query) -> Projection:
        """Return what is read of documents.

        Raises:
            Forbidden: Something is asked for that the caller doesn't see.
        """
        if self.policy.protection.hidden and not query.whole:
            return self.policy.protection.projection(query.projection)
        return None if query.projection is None else list(query.projection)

    def _new(self, document: Document) -> Document:
        """Return a new document as it is stored.

        Raises:
            Forbidden: The caller can't store it.
        """
        if self.policy.protection.protected:
            self.policy.protection.check_new(document)
        document = self.stamped(document)
        if self.rows is not None:
            self.rows.require(document)
        return with_id(document)

    def stamped(self, document: Document) -> Document:
        """Return a new document with its owner in it, where documents have one."""
        return document if self.rows is None else self.rows.stamp(document)

    def _depends(self, update: Update, *, many: bool = False) -> bool:
        """Tell whether it depends on what is stored how, and if, an update may be made.

        Raises:
            Forbidden: It may not, whatever is stored.
        """
        protection = self.policy.protection
        kept = bool(protection.protected) and protection.check_update(update, many=many)
        return kept or (self.rows is not None and self.rows.touched_by(update))

    def _change(self, identity: Any, update: Update, query: Query) -> bool:
        """Change one document by an update that depends on what is stored.

        Returns:
            Whether it is different now.

        Raises:
            NotFound: There is none.
            Forbidden: The policy doesn't allow it.
        """
        whole = replace(query, projection=None, whole=True)
        for _ in range(ATTEMPTS):
            filter = self._identify(identity, whole)
            stored = self._one(filter, whole)
            kept = self.policy.protection.kept_in_update(update, stored)
            if self.rows is not None and self.rows.touched_by(kept):
                check_update(kept)
                self.rows.require(apply_update(stored, kept))
            if not kept:
                return False
            roots = {path.partition(".")[0] for one in kept.values() for path in one}
            result = self.collection.update_one(
                self._unchanged(filter, stored, roots), kept, **self._in_transaction()
            )
            if result.matched_count:
                return bool(result.modified_count)
        raise write_conflict()

    def _unchanged(self, filter: Filter, stored: Document, names: Iterable[str]) -> Filter:
        """Return a filter that finds a document as long as some of its fields are as they were.

        In a transaction, the database itself sees to it.
        """
        if self._transactions.session is not None:
            return filter
        rows = () if self.rows is None else self.rows.names
        were = {
            name: {"$eq": stored[name]} if name in stored else {"$exists": False}
            for name in {*names, *rows} - {"_id"}
        }
        return conjunction([filter, were])

    # ------------------------------------------------------------------------ single writes

    @_operation(write=True)
    def insert(self, document: Document) -> Document:
        """Store a new document and return it, with its ``_id`` in front."""
        document = self._new(document)
        self.collection.insert_one(document, **self._in_transaction())
        return self._as_read(document)

    @_operation(write=True)
    def update(self, identity: Any, update: Update, query: Query = EVERYTHING) -> None:
        """Change one document in one statement.

        Raises:
            NotFound: There is none.
        """
        if not update:
            self.get(identity, replace(query, projection=("_id",)))
            return
        if self._depends(update):
            self._transactions.run(lambda session: self._change(identity, update, query))
            return
        result = self.collection.update_one(
            self._identify(identity, query), update, **self._in_transaction()
        )
        if not result.matched_count:
            raise not_found()

    @_operation(write=True)
    def modify(self, identity: Any, update: Update, query: Query = EVERYTHING) -> Document:
        """Change one document in one statement, and return it as it is then.

        Raises:
            NotFound: There is none.
        """
        if not update:
            return self.get(identity, query)
        if self._depends(update):
            self._transactions.run(lambda session: self._change(identity, update, query))
            return self._one(_is(identity), query)
        document: Document | None = self.collection.find_one_and_update(
            self._identify(identity, query),
            update,
            self._projection(query),
            return_document=ReturnDocument.AFTER,
            **self._in_transaction(),
        )
        if document is None:
            raise not_found()
        return document

    @_operation(write=True)
    def replace(self, identity: Any, document: Document, query: Query = EVERYTHING) -> bool:
        """Put a document in the place of another, or of none.

        Returns:
            Whether it is a new one.
        """
        document = {"_id": identity, **document}
        if self.policy.protection.protected or self.rows is not None:
            return self._transactions.run(lambda session: self._replace(document, query))
        return self._put(self._identify(identity, query), document)

    def _replace(self, document: Document, query: Query) -> bool:
        """Put a document in the place of another as the policy allows it."""
        for _ in range(ATTEMPTS):
            filter = self._identify(document["_id"], query)
            try:
                stored = self._one(filter, WHOLE)
            except NotFound:
                return self._put(filter, self._new(document))
            kept = self.policy.protection.kept_in_replacement(document, stored)
            if self.rows is not None:
                owner = self.rows.owner
                if owner is not None and owner in stored and owner not in kept:
                    kept = {**kept, owner: stored[owner]}
                self.rows.require(kept)
            names = self.policy.protection.protected.tree
            unchanged = self._unchanged(filter, stored, names)
            result = self.collection.replace_one(unchanged, kept, **self._in_transaction())
            if result.matched_count:
                return False
        raise write_conflict()

    def _put(self, filter: Filter, document: Document) -> bool:
        result = self.collection.replace_one(
            filter, document, upsert=True, **self._in_transaction()
        )
        # NOTE: a new document whose _id is null is counted as matched by pymongo.
        return "upserted" in (result.raw_result or {})

    @_operation(write=True)
    def delete(self, identity: Any, query: Query = EVERYTHING) -> None:
        """Remove one document.

        Raises:
            NotFound: There is none.
        """
        deleted = self.collection.delete_one(
            self._identify(identity, query), **self._in_transaction()
        )
        if not deleted.deleted_count:
            raise not_found()

    # -------------------------------------------------------------------------- bulk writes

    @_operation(write=True)
    def together(self, work: Callable[[], T]) -> T:
        """Do several things with the collections of a database, all or nothing where possible.

        Args:
            work: What it calls of this service and its siblings belongs to one transaction. It
                may be called again when the transaction met another one.
        """
        return self._transactions.run(lambda session: work())

    def translation(self) -> Translation:
        """Return a context in which the driver's errors become ours, for somebody's own writes."""
        return Translation(write=True, running=self._transactions.running)

    @_operation()
    def find_affected(self, query: Query) -> list[Document]:
        """Return the documents that a bulk write would touch.

        Raises:
            Forbidden: There is no filter, or it matches too much.
        """
        self.policy.require_filter(query)
        whole = Query(query.filter, rule=query.rule, whole=True)
        documents = list(self._find(whole, self.policy.max_affected + 1))
        self.policy.bound_affected(len(documents))
        return documents

    @_operation(write=True)
    def insert_many(self, documents: list[Document]) -> list[Document]:
        """Store new documents, all or nothing where the database has transactions.

        Returns:
            The documents, each with its ``_id`` in front.

        Raises:
            Problem: Without transactions, its members ``inserted`` and ``not_inserted`` name
                the documents by their index.
        """
        documents = [self._new_at(index, one) for index, one in enumerate(documents)]

        def work(session: ClientSession | None) -> None:
            self.collection.insert_many(documents, **_in(session))

        try:
            self._transactions.run(work)
        except BulkWriteError as error:
            raise self._explain_insert(error, len(documents)) from error
        return [self._as_read(document) for document in documents]

    def _new_at(self, index: int, document: Document) -> Document:
        try:
            return self._new(document)
        except Forbidden as error:
            error.detail = f"The document at index {index}: {error.detail}"
            if error.field_errors is not None:
                error.field_errors = {str(index): error.field_errors}
            raise

    def _as_read(self, document: Document) -> Document:
        """Return a document as the driver would read it, where it reads in a way of its own."""
        if self._codec is None:
            return document
        read: Document = bson.decode(bson.encode(document, codec_options=self._codec), self._codec)
        return read

    def _explain_insert(self, error: BulkWriteError, count: int) -> FalcorestError:
        problem = translate(error, write=True)
        failures = (error.details or {}).get("writeErrors") or []
        if isinstance(problem, Problem) and failures:
            failed = failures[0]["index"]
            inserted = 0 if self._transactions.supported else failed
            problem.members["inserted"] = list(range(inserted))
            problem.members["not_inserted"] = list(range(inserted, count))
            problem.detail = f"The document at index {failed}: {problem.detail} " + (
                f"The {inserted} before it were inserted." if inserted else "None was inserted."
            )
        return problem

    @_operation(write=True)
    def update_many(self, query: Query, update: Update) -> Updated:
        """Change every document that a filter matches, all or nothing where possible.

        Raises:
            Forbidden: There is no filter, or it matches too much; nothing was changed.
        """
        self.policy.require_filter(query)

        depends = self._depends(update, many=True)

        def work(session: ClientSession | None) -> Updated:
            if depends:
                return self._change_many(query, update)
            affected = self._affected(query, session)
            if not update or not affected.count:
                return Updated(affected.count, 0)
            if affected.identities is not None and not in_memory(self._database):
                return self._update_by_ids(affected.identities, affected.filter, update)
            result = self.collection.update_many(affected.filter, update, **_in(session))
            return Updated(result.matched_count, result.modified_count)

        return self._transactions.run(work)

    def _change_many(self, query: Query, update: Update) -> Updated:
        documents = self.find_affected(query)
        modified = 0
        for done, document in enumerate(documents):
            try:
                modified += self._change(document["_id"], update, query)
            except (Forbidden, Problem, PyMongoError) as error:
                if self._transactions.session is not None:
                    raise
                problem = error if isinstance(error, Problem) else translate(error, write=True)
                raise _stopped(problem, done, len(documents)) from error
        return Updated(len(documents), modified)

    def _update_by_ids(self, identities: list[Any], filter: Filter, update: Update) -> Updated:
        """Change documents one after the other, where there are no transactions.

        Source: https://www.mongodb.com/docs/manual/core/bulk-write-operations/
        """
        changes = [UpdateOne(conjunction([_is(one), filter]), update) for one in identities]
        try:
            result = self.collection.bulk_write(changes)
        except BulkWriteError as error:
            done = int((error.details or {}).get("nMatched", 0))
            raise _stopped(translate(error, write=True), done, len(identities)) from error
        return Updated(result.matched_count, result.modified_count)

    @_operation(write=True)
    def delete_many(self, query: Query) -> int:
        """Remove every document that a filter matches, all or nothing where possible.

        Returns:
            How many there were.

        Raises:
            Forbidden: There is no filter, or it matches too much; nothing was removed.
        """
        self.policy.require_filter(query)

        def work(session: ClientSession | None) -> int:
            affected = self._affected(query, session)
            return self.collection.delete_many(affected.filter, **_in(session)).deleted_count

        return self._transactions.run(work)

    def _affected(self, query: Query, session: ClientSession | None) -> _Affected:
        """Count what a bulk write would touch, and refuse too much.

        In a transaction the count and the write see the same data. Without one, the write is
        bound to the documents that were counted.
        """
        bound = self.policy.max_affected + 1
        try:
            condition = self._condition(query)
            if session is not None:
                count = self.collection.count_documents(condition, limit=bound, session=session)
                affected = _Affected(count, condition)
            else:
                asked = replace(EVERYTHING, filter=query.filter, rule=query.rule)
                found = self._find(replace(asked, projection=("_id",)), bound)
                identities = [one["_id"] for one in found]
                affected = _Affected(len(identities), condition, identities)
        except PyMongoError as error:
            if error.has_error_label("TransientTransactionError"):
                raise
            # NOTE: nothing was written yet, so it is the query that failed.
            raise translate(error) from error
        self.policy.bound_affected(affected.count)
        if affected.identities is not None:
            own = {"_id": {"$in": affected.identities}}
            return replace(affected, filter=conjunction([own, condition]))
        return affected


@dataclass(frozen=True, slots=True)
class _Affected:
    count: int
    filter: Filter
    identities: list[Any] | None = None


def _stopped(problem: FalcorestError, done: int, count: int) -> FalcorestError:
    """Say in a problem how far a bulk write came that could not be undone."""
    if isinstance(problem, Problem) and done:
        problem.members |= {"changed": done, "not_changed": count - done}
        problem.detail += f" The first {done} of {count} documents were changed."
    return problem


def _is(identity: Any) -> Filter:
    # APPSEC: an _id that is an object would be read as operators where it stands bare.
    return {"_id": {"$eq": identity} if isinstance(identity, dict) else identity}


def _own_codec(database: MongoDatabase) -> CodecOptions[Document] | None:
    """Return how documents are read, if somebody wants that in another way than we do."""
    if in_memory(database):
        return None
    options = database.codec_options
    if options.tz_aware or options.uuid_representation != UuidRepresentation.UNSPECIFIED:
        return options
    return None


def _in(session: ClientSession | None) -> dict[str, Any]:
    return {} if session is None else {"session": session}


def with_id(document: Document) -> Document:
    """Return a document with its ``_id`` in front, where MongoDB puts it; a new one if none."""
    identity = document["_id"] if "_id" in document else ObjectId()
    return {"_id": identity, **document}


def write_conflict() -> Conflict:
    """Return the error for a write that others came in between again and again."""
    return Conflict(
        "write.conflict", "Another write came in between; nothing was changed. Try again."
    )


def not_found() -> NotFound:
    """Return the error for a document that isn't there."""
    return NotFound("document.not_found", "There is no such document.")
