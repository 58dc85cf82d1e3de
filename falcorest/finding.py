"""Finder: how documents of a collection are found, within what its policy allows a caller."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Self

import bson
from bson import CodecOptions
from bson.binary import UuidRepresentation
from bson.raw_bson import RawBSONDocument
from pymongo import ReadPreference
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from falcorest.caller import Caller
from falcorest.concerns import Concerns
from falcorest.database import (
    MongoDatabase,
    Transactions,
    Translation,
    in_memory,
    operation,
)
from falcorest.errors import FalcorestError, NotFound, QueryError
from falcorest.find_command import find_at_once, takes_command
from falcorest.limits import Limits
from falcorest.memory import open_collection
from falcorest.policy import Policy
from falcorest.protection import Projection, is_same
from falcorest.query import EVERYTHING, Document, Filter, Page, Query, conjunction
from falcorest.rows import Rows
from falcorest.streams import BATCH, DocumentStream, next_batch, read_all

#: How many documents are asked for by their ids at once.
CHUNK = 200

#: The largest limit that MongoDB takes.
LARGEST = 2**63 - 1

#: How many fields MongoDB sorts by.
SORTED = 32

#: Compares texts as bytes, whatever the collection says.
_SIMPLE = {"locale": "simple"}


def _outage_of(service: Any, write: bool) -> Any:
    return service.outage if write or service.reads_primary else None


#: Makes a decorator for a method that does one thing with the database.
database_operation = functools.partial(
    operation,
    attrgetter("time_limit"),
    running_in=lambda service: service._transactions.running,
    outage_of=_outage_of,
)


class Changed(FalcorestError):
    """A document isn't any more what a write expects it to be; nothing was changed."""


@dataclass(slots=True)
class Expected:
    """What a write expects to find at an ``_id``.

    Attributes:
        identity: The ``_id``, as the client names it.
        stored: The ``_id``, as it is stored.
        condition: A filter that finds the document unchanged; None: nothing is there.
        met: Whether a write has found it so, after which it is another one.
    """

    identity: Any
    stored: Any
    condition: Filter | None
    met: bool = False

    def is_open(self, identity: Any) -> bool:
        """Tell whether it is about an ``_id``, and no write has met it yet."""
        # NOTE: a collation may find a document by another _id than it has.
        return not self.met and (is_same(identity, self.identity) or is_same(identity, self.stored))


class Finder:
    """Reads one collection, within its policy.

    Every method raises :class:`~falcorest.errors.Problem` for what MongoDB refuses or can't
    do, never an exception of the driver.

    Attributes:
        rows: Which documents are there for the caller; None for all of them.
        outage: Knows whether the primary answers.
        reads_primary: Whether documents are read from the primary only.
        stream_limit_ms: How long the database may work on one stream, in milliseconds.
        version_field: The field that counts the changes of a document, if there is one.

    Args:
        database: Where the collection is.
        name: The collection.
        policy: What may be asked of it.
        transactions: Shared by the services of one database.
    """

    rows: Rows | None = None
    version_field: str | None = None
    _expected: Expected | None = None
    #: Whether it reads for answers, and not for writes.
    _answers = False

    def __init__(
        self, database: MongoDatabase, name: str, policy: Policy, transactions: Transactions
    ) -> None:
        self._opened: Collection[Document] = open_collection(database, name)
        self.policy = policy
        self.stream_limit_ms = Limits.stream_timeout_ms
        self._database = database
        self._transactions = transactions
        self._codec = _own_codec(database)
        self.outage = transactions.outage
        self.heed(Concerns())

    def heed(self, concerns: Concerns) -> None:
        """Use the collection as it is said: for writes, unless :meth:`answering` is asked for."""
        self.time_limit = concerns.limit(self._database)
        self._for_writes: Collection[Document] = concerns.of_writes(self._opened)
        self._for_answers: Collection[Document] = concerns.of_answers(self._opened)
        self._use(self._for_writes)

    def _use(self, collection: Collection[Document]) -> None:
        self.collection = collection
        self.reads_primary = collection.read_preference == ReadPreference.PRIMARY
        self._takes_command = not in_memory(self._database) and takes_command(collection)

    def answering(self) -> Self:
        """Return this service as it reads for answers, from the servers that may be asked."""
        bound = copy.copy(self)
        bound._answers = True
        bound._use(self._for_answers)
        return bound

    def writing(self) -> Self:
        """Return this service as it writes, and reads for that."""
        if not self._answers:
            return self
        bound = copy.copy(self)
        bound._answers = False
        bound._use(self._for_writes)
        return bound

    def for_caller(self, caller: Caller) -> Self:
        """Return this service as far as its policy lets a caller use it."""
        if not self.policy.is_personal:
            return self
        bound = copy.copy(self)
        bound.rows = self.policy.rows_of(caller)
        return bound

    def _in_transaction(self) -> dict[str, Any]:
        return in_session(self._transactions.session)

    def _options(self, session: ClientSession | None = None) -> dict[str, Any]:
        """Return the options of an operation that looks for documents."""
        options = in_session(session or self._transactions.session)
        ruled = self.rows is not None and self.rows.rule
        # APPSEC: to a collation, the names of two owners may be the same, or two documents.
        if (ruled or self._expected is not None) and not in_memory(self._database):
            options["collation"] = _SIMPLE
        return options

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

    @database_operation()
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

    @database_operation()
    def page(self, query: Query) -> Page:
        """Return the documents of a query, and whether there are more behind its limit."""
        if query.limit is None:
            return Page(self._read(query, 0), False)
        documents = self._read(query, min(query.limit + 1, LARGEST))
        return Page(documents[: query.limit], len(documents) > query.limit)

    @database_operation()
    def names(self, query: Query, most: int) -> set[str]:
        """Return the names of the fields that the documents of a query have, hidden ones aside.

        Source: https://www.mongodb.com/docs/manual/reference/operator/aggregation/objectToArray/

        Args:
            query: Its projection doesn't count.
            most: How many names are enough.
        """
        hidden = [name for name, below in self.policy.protection.hidden.tree.items() if not below]
        if in_memory(self._database):
            found = self._find(replace(query, projection=None, whole=True), query.limit or 0)
            names = {name for document in found for name in document} - {*hidden}
            return set(sorted(names)[:most])
        stages: list[dict[str, Any]] = [{"$match": self._condition(query)}]
        if query.skip or query.limit:
            stages += [{"$sort": dict(self._sort(query))}] if self._sort(query) else []
            stages += [{"$skip": query.skip}] if query.skip else []
            stages += [{"$limit": query.limit}] if query.limit else []
        if hidden:
            # NOTE: before they are counted.
            stages.append({"$project": dict.fromkeys(hidden, 0)})
        names_of = {"$map": {"input": {"$objectToArray": "$$ROOT"}, "in": "$$this.k"}}
        stages += [
            {"$project": {"_id": 0, "name": names_of}},
            {"$unwind": "$name"},
            {"$group": {"_id": "$name"}},
            {"$limit": most},
        ]
        return {one["_id"] for one in self.collection.aggregate(stages, **self._options())}

    @database_operation()
    def find(self, query: Query, *, few: bool = False) -> list[Document]:
        """Return the documents of a query.

        Args:
            query: What is asked.
            few: Whether they are known to be few, where there is no limit.
        """
        return self._read(query, query.limit or 0, few=few)

    def find_by_ids(self, identities: Sequence[Any], query: Query) -> list[Document]:
        """Return those of some documents that a query allows, in chunks of :data:`CHUNK`.

        Args:
            identities: Their ``_id``, without duplicates.
            query: Narrows what may be found, and says which fields to read.
        """
        found: list[Document] = []
        for first in range(0, len(identities), CHUNK):
            chunk = list(identities[first : first + CHUNK])
            found += self.find(query.matching({"_id": {"$in": chunk}}), few=True)
        return found

    def find_referring(
        self, owners: Finder, identities: Sequence[Any], field: str, query: Query
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

    @database_operation()
    def _referring(
        self, owners: Finder, identities: list[Any], field: str, query: Query
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
        # NOTE: what is shown says from where it is read; of the others it is no more than the ids.
        read_from = owners.collection.with_options(
            read_preference=self.collection.read_preference,
            read_concern=self.collection.read_concern,
        )
        # NOTE: one answer for all of them, if it fits.
        cursor = read_from.aggregate(pipeline, batchSize=BATCH * len(identities), **self._options())
        return [(one["_id"], one["referring"]) for one in cursor]

    @database_operation()
    def get(self, identity: Any, query: Query = EVERYTHING) -> Document:
        """Return one document.

        Args:
            identity: Its ``_id``.
            query: Narrows what may be found, and says which fields to read.

        Raises:
            NotFound: There is none.
        """
        return self._one(identity, self._identify(identity, query), query)

    def _one(self, identity: Any, filter: Filter, query: Query) -> Document:
        asked = {"filter": filter, "projection": self._projection(query), **self._options()}
        documents = self._at_once(asked, 1)
        if documents is None:
            document = self.collection.find_one(**asked)
            documents = [] if document is None else [document]
        if not documents:
            raise self._missing(identity)
        return documents[0]

    def _read(self, query: Query, limit: int, *, few: bool = False) -> list[Document]:
        """Return the documents of a query; 0 is no limit."""
        asked = self._asked(query)
        documents = self._at_once(asked, limit) if few or 0 < limit <= BATCH else None
        if documents is None:
            documents = read_all(self.collection.find(limit=limit, batch_size=BATCH, **asked))
        return documents

    def _find(self, query: Query, limit: int) -> Any:
        """Return a cursor on the documents of a query; 0 is no limit."""
        return self.collection.find(limit=limit, batch_size=BATCH, **self._asked(query))

    def _asked(self, query: Query) -> dict[str, Any]:
        """Return what a collection is asked for by a query, but for its limit."""
        sort = self._sort(query)
        if len(sort) > SORTED:
            raise QueryError(
                "query.invalid_sort",
                f"A sort may have {SORTED - 1} fields here, since the _id decides what it leaves "
                "open.",
            )
        return {
            "filter": self._condition(query),
            "projection": self._projection(query),
            "skip": query.skip,
            "sort": sort or None,
            **self._options(),
        }

    def _at_once(self, asked: Mapping[str, Any], limit: int) -> list[Document] | None:
        """Return documents as one answer, or None if a cursor has to be asked; 0 is no limit."""
        return find_at_once(self.collection, asked, limit) if self._takes_command else None

    def _sort(self, query: Query) -> list[tuple[str, int]]:
        """Return how documents are sorted, in one order only where some of them are not seen.

        APPSEC: what a sort leaves open is in the order of an index, and that may hold a hidden
        field.
        """
        sort = list(query.sort)
        unseen = self.policy.protection.hidden or (self.rows is not None and self.rows.rule)
        if unseen and all(path != "_id" for path, _ in sort):
            # NOTE: so that one index, on the field and the _id, serves both directions.
            sort.append(("_id", sort[-1][1] if sort else 1))
        return sort

    def _identify(self, identity: Any, query: Query) -> Filter:
        own = with_identity(identity)
        expected = self._expectation(identity)
        if expected is not None and expected.condition is not None:
            own = with_identity(expected.stored) | expected.condition
        condition = self._condition(query)
        return conjunction([own, condition]) if condition else own

    # -------------------------------------------------------------------- what a write expects

    @database_operation()
    def as_stored(self, identity: Any, query: Query) -> tuple[Document, Expected]:
        """Return one document whole, and what a write expects that is to find it unchanged.

        Source: https://www.mongodb.com/docs/manual/reference/operator/aggregation/literal/

        Raises:
            NotFound: There is none.
        """
        filter = self._identify(identity, query)
        if in_memory(self._database):
            document = as_it_is = self._one(identity, filter, query)
        else:
            # NOTE: as bytes, since not every type of BSON survives Python.
            codec = self.collection.codec_options
            raw = self.collection.with_options(codec.with_options(document_class=RawBSONDocument))
            as_it_is = raw.find_one(filter, **self._options())  # type: ignore[assignment]
            if as_it_is is None:
                raise self._missing(identity)
            document = bson.decode(as_it_is.raw, codec)  # type: ignore[attr-defined]
        name = self.version_field
        condition: Filter = {"$expr": {"$eq": ["$$ROOT", {"$literal": as_it_is}]}}
        if name is not None and is_version(document.get(name)):
            condition = {name: {"$eq": document[name]}}
        return document, Expected(identity, document["_id"], condition)

    def expecting(self, expected: Expected) -> Self:
        """Return this service with an expectation, which writes of that document then have.

        They raise :class:`Changed` where it isn't met.
        """
        bound = copy.copy(self)
        bound._expected = expected
        return bound

    def _expectation(self, identity: Any) -> Expected | None:
        """Return what is expected of a document, unless a write has met it already."""
        expected = self._expected
        return expected if expected is not None and expected.is_open(identity) else None

    def _meet(self, identity: Any) -> None:
        """Note that a write has found what was expected."""
        expected = self._expectation(identity)
        if expected is not None:
            expected.met = True

    def _missing(self, identity: Any) -> FalcorestError:
        """Return the error for a document that wasn't found."""
        expected = self._expectation(identity)
        return not_found() if expected is None or expected.condition is None else Changed()

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
        if query.projection is None:
            return None
        # NOTE: MongoDB takes an empty one for everything.
        return dict.fromkeys(query.projection, 1) or {"_id": 1}

    @database_operation()
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


def is_version(value: Any) -> bool:
    """Tell whether a value can count changes: a whole number that one can be added to."""
    if isinstance(value, float):
        # NOTE: beyond that, one more is the same double.
        return value.is_integer() and abs(value) < 2**53
    return isinstance(value, int) and not isinstance(value, bool) and value < 2**63 - 1


def with_identity(identity: Any) -> Filter:
    """Return a filter that finds the document with an ``_id``."""
    # APPSEC: an _id that is an object would be read as operators where it stands bare.
    return {"_id": {"$eq": identity} if isinstance(identity, dict) else identity}


def not_found() -> NotFound:
    """Return the error for a document that isn't there."""
    return NotFound("document.not_found", "There is no such document.")


def _own_codec(database: MongoDatabase) -> CodecOptions[Document] | None:
    """Return how documents are read, if somebody wants that in another way than we do."""
    if in_memory(database):
        return None
    options = database.codec_options
    if options.tz_aware or options.uuid_representation != UuidRepresentation.UNSPECIFIED:
        return options
    return None


def in_session(session: ClientSession | None) -> dict[str, Any]:
    """Return the options of an operation that belongs to a session, if there is one."""
    return {} if session is None else {"session": session}
