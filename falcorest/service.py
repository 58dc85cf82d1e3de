"""CollectionService: everything that touches a collection, and nothing of HTTP."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar

import bson
import pymongo
from bson import CodecOptions, ObjectId
from bson.binary import UuidRepresentation
from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.errors import BulkWriteError, PyMongoError

from falcorest.database import (
    MongoDatabase,
    Transactions,
    Translation,
    in_memory,
    operation,
    time_limit,
    translate,
)
from falcorest.errors import FalcorestError, NotFound, Problem
from falcorest.memory import open_collection
from falcorest.policy import Policy
from falcorest.query import EVERYTHING, Document, Filter, Page, Query, conjunction
from falcorest.updates import Update

#: How many documents are fetched, and held in memory, at once.
BATCH = 500

#: How many documents are asked for by their ids at once.
CHUNK = 200

#: The largest limit that MongoDB takes.
LARGEST = 2**63 - 1

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


_operation = functools.partial(
    operation,
    attrgetter("time_limit"),
    running_in=lambda service: service._transactions.running,
)


class CollectionService:
    """Reads and writes one collection, within its policy.

    Every method raises :class:`~falcorest.errors.Problem` for what MongoDB refuses or can't
    do, never an exception of the driver.

    Args:
        database: Where the collection is.
        name: The collection.
        policy: What may be asked of it.
        transactions: Shared by the services of one database.
    """

    def __init__(
        self, database: MongoDatabase, name: str, policy: Policy, transactions: Transactions
    ) -> None:
        self.collection: Collection[Document] = open_collection(database, name)
        self.policy = policy
        self.time_limit = time_limit(database)
        self._database = database
        self._transactions = transactions
        self._codec = _own_codec(database)

    def sibling(self, name: str, policy: Policy) -> CollectionService:
        """Return the service of another collection, with which this one can write together."""
        return CollectionService(self._database, name, policy, self._transactions)

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
        with Translation():
            return DocumentStream(self._find(query, query.limit or 0), self.time_limit)

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
        stages: list[dict[str, Any]] = [{"$match": query.condition}, {"$sort": {"_id": 1}}]
        if query.limit:
            stages.append({"$limit": query.limit})
        if query.projection is not None:
            stages.append({"$project": dict.fromkeys(query.projection, 1)})
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
        document = self.collection.find_one(
            self._identify(identity, query),
            None if query.projection is None else list(query.projection),
            **self._in_transaction(),
        )
        if document is None:
            raise not_found()
        return document

    def _find(self, query: Query, limit: int) -> Any:
        return self.collection.find(
            query.condition,
            None if query.projection is None else list(query.projection),
            skip=query.skip,
            limit=limit,
            sort=list(query.sort) or None,
            batch_size=BATCH,
            **self._in_transaction(),
        )

    def _identify(self, identity: Any, query: Query) -> Filter:
        # APPSEC: an _id that is an object would be read as operators where it stands bare.
        own: Filter = {"_id": {"$eq": identity} if isinstance(identity, dict) else identity}
        condition = query.condition
        return conjunction([own, condition]) if condition else own

    # ------------------------------------------------------------------------ single writes

    @_operation(write=True)
    def insert(self, document: Document) -> Document:
        """Store a new document and return it, with its ``_id`` in front."""
        document = with_id(document)
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
        document: Document | None = self.collection.find_one_and_update(
            self._identify(identity, query),
            update,
            None if query.projection is None else list(query.projection),
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
        result = self.collection.replace_one(
            self._identify(identity, query),
            {"_id": identity, **document},
            upsert=True,
            **self._in_transaction(),
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
        whole = Query(query.filter, rule=query.rule)
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
        documents = [with_id(document) for document in documents]

        def work(session: ClientSession | None) -> None:
            self.collection.insert_many(documents, **_in(session))

        try:
            self._transactions.run(work)
        except BulkWriteError as error:
            raise self._explain_insert(error, len(documents)) from error
        return [self._as_read(document) for document in documents]

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

        def work(session: ClientSession | None) -> Updated:
            affected = self._affected(query, session)
            if not update:
                return Updated(affected.count, 0)
            result = self.collection.update_many(affected.filter, update, **_in(session))
            return Updated(result.matched_count, result.modified_count)

        return self._transactions.run(work)

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
            condition = query.condition
            if session is not None:
                count = self.collection.count_documents(condition, limit=bound, session=session)
                affected = _Affected(count, condition)
            else:
                found = [one["_id"] for one in self._find(Query(condition, ("_id",)), bound)]
                own = {"_id": {"$in": found}}
                affected = _Affected(len(found), conjunction([own, condition]))
        except PyMongoError as error:
            if error.has_error_label("TransientTransactionError"):
                raise
            # NOTE: nothing was written yet, so it is the query that failed.
            raise translate(error) from error
        self.policy.bound_affected(affected.count)
        return affected


@dataclass(frozen=True, slots=True)
class _Affected:
    count: int
    filter: Filter


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


def not_found() -> NotFound:
    """Return the error for a document that isn't there."""
    return NotFound("document.not_found", "There is no such document.")
