"""CollectionService: everything that touches a collection, and nothing of HTTP."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, TypeVar

import bson
from bson import ObjectId
from bson.errors import BSONError
from pymongo import ReturnDocument, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError, ExecutionTimeout, PyMongoError

from falcorest.concerns import Concerns
from falcorest.database import (
    MongoDatabase,
    Transactions,
    Translation,
    in_memory,
    is_undone,
    refusals,
    translate,
    write_conflict,
)
from falcorest.errors import (
    Conflict,
    ContentTooLarge,
    FalcorestError,
    Forbidden,
    NotFound,
    Problem,
    Unavailable,
    WriteRefused,
)
from falcorest.finding import Changed, database_operation, in_session, is_version, with_identity
from falcorest.memory.applying import apply_update, check_update
from falcorest.paging import Pager
from falcorest.policy import Policy
from falcorest.query import EVERYTHING, WHOLE, Document, Filter, Query, conjunction
from falcorest.updates import Update

#: How often a write that depends on what is stored is tried where there are no transactions.
ATTEMPTS = 20

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


def _writing(method: Callable[P, T]) -> Callable[P, T]:
    """Bound a method that writes in time, and name no hidden field where it fails."""
    translated: Callable[..., T] = database_operation(write=True)(method)

    @functools.wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        service: Any = args[0]
        try:
            return translated(service.writing(), *args[1:], **kwargs)
        except Conflict as conflict:
            service.policy.protection.unname(conflict)
            raise

    return wrapper


class CollectionService(Pager):
    """Reads and writes one collection, within its policy.

    Every method raises :class:`~falcorest.errors.Problem` for what MongoDB refuses or can't
    do, never an exception of the driver.
    """

    def __init__(
        self, database: MongoDatabase, name: str, policy: Policy, transactions: Transactions
    ) -> None:
        super().__init__(database, name, policy, transactions)
        #: Those of other collections; shared by the copies for callers. NOTE: each keeps the
        #: policy that its key has the id of.
        self._siblings: dict[Any, CollectionService] = {}

    def sibling(
        self,
        name: str,
        policy: Policy,
        version_field: str | None = None,
        concerns: Concerns | None = None,
    ) -> CollectionService:
        """Return the service of another collection, with which this one can write together."""
        key = (name, id(policy), version_field, self._answers)
        other = self._siblings.get(key)
        if other is None:
            other = CollectionService(self._database, name, policy, self._transactions)
            other.version_field = version_field
            other.heed(concerns or Concerns())
            # NOTE: what is asked for says how long all of it may take.
            other.time_limit = self.time_limit
            if self._answers:
                other = other.answering()
            self._siblings[key] = other
        return other

    def _new(self, document: Document) -> Document:
        """Return a new document as it is stored.

        Raises:
            Forbidden: The caller can't store it.
        """
        if self.policy.protection.protected:
            self.policy.protection.check_new(document)
        document = with_id(self.stamped(document))
        if self.version_field is not None:
            document[self.version_field] = 1
        if self.rows is not None:
            self.rows.require(document)
        return document

    @property
    def _stores_anything(self) -> bool:
        """Whether every new document is stored as it is."""
        ruled = self.policy.protection.protected or self.rows is not None
        return not ruled and self.version_field is None

    def stamped(self, document: Document) -> Document:
        """Return a new document with its owner in it, where documents have one."""
        return document if self.rows is None else self.rows.stamp(document)

    def _counted(self, update: Update) -> Update:
        """Return an update that counts the change as well, where that is done."""
        if self.version_field is None:
            return update
        return {**update, "$inc": {**update.get("$inc", {}), self.version_field: 1}}

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
            stored = self._one(identity, filter, whole)
            kept = self.policy.protection.kept_in_update(update, stored)
            if self.rows is not None and self.rows.touched_by(kept):
                check_update(kept)
                self.rows.require(apply_update(stored, kept))
            if not kept:
                return False
            roots = {path.partition(".")[0] for one in kept.values() for path in one}
            result = self.collection.update_one(
                self._unchanged(filter, stored, roots), self._counted(kept), **self._options()
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

    def _run(self, work: Callable[[ClientSession | None], T]) -> T:
        return self._transactions.run(work, self.collection.write_concern)

    # ------------------------------------------------------------------------ single writes

    @_writing
    def insert(self, document: Document) -> Document:
        """Store a new document and return it, with its ``_id`` in front."""
        document = self._new(document)
        self.collection.insert_one(document, **self._in_transaction())
        return self._as_read(document)

    @_writing
    def update(self, identity: Any, update: Update, query: Query = EVERYTHING) -> None:
        """Change one document in one statement.

        Raises:
            NotFound: There is none.
        """
        if not update:
            self.get(identity, replace(query, projection=("_id",)))
            return
        if self._depends(update):
            self._run(lambda session: self._change(identity, update, query))
        else:
            result = self.collection.update_one(
                self._identify(identity, query), self._counted(update), **self._options()
            )
            if not result.matched_count:
                raise self._missing(identity)
        self._meet(identity)

    @_writing
    def modify(self, identity: Any, update: Update, query: Query = EVERYTHING) -> Document:
        """Change one document in one statement, and return it as it is then.

        Raises:
            NotFound: There is none.
        """
        if not update:
            return self.get(identity, query)
        if self._depends(update):
            self._run(lambda session: self._change(identity, update, query))
            self._meet(identity)
            return self._one(identity, with_identity(identity), query)
        document: Document | None = self.collection.find_one_and_update(
            self._identify(identity, query),
            self._counted(update),
            self._projection(query),
            return_document=ReturnDocument.AFTER,
            **self._options(),
        )
        if document is None:
            raise self._missing(identity)
        self._meet(identity)
        return document

    @_writing
    def replace(self, identity: Any, document: Document, query: Query = EVERYTHING) -> bool:
        """Put a document in the place of another, or of none.

        Returns:
            Whether it is a new one.
        """
        document = {"_id": identity, **document}
        ruled = self.policy.protection.protected or self.rows is not None
        counted = self.version_field is not None
        if not (ruled or counted) and self._expectation(identity) is None:
            return self._put(self._identify(identity, query), document)
        is_new = self._run(lambda session: self._replace(document, query))
        self._meet(identity)
        return is_new

    def _replace(self, document: Document, query: Query) -> bool:
        """Put a document in the place of another as the policy allows it."""
        for _ in range(ATTEMPTS):
            identity = document["_id"]
            filter = self._identify(identity, query)
            try:
                stored = self._one(identity, filter, WHOLE)
            except NotFound:
                if self._insert_new(self._new(document), filter):
                    return True
                continue
            expected = self._expectation(identity)
            if expected is not None and expected.condition is None:
                raise Changed
            kept = self.policy.protection.kept_in_replacement(document, stored)
            if self.rows is not None:
                owner = self.rows.owner
                if owner is not None and owner in stored and owner not in kept:
                    kept = {**kept, owner: stored[owner]}
                self.rows.require(kept)
            names = {*self.policy.protection.protected.tree}
            if self.version_field is not None:
                kept = {**kept, self.version_field: _next(stored.get(self.version_field, 0))}
                names.add(self.version_field)
            unchanged = self._unchanged(filter, stored, names)
            result = self.collection.replace_one(unchanged, kept, **self._options())
            if result.matched_count:
                return False
        raise write_conflict()

    def _insert_new(self, document: Document, filter: Filter) -> bool:
        """Store a document where none was; tell whether there still was none."""
        try:
            self.collection.insert_one(document, **self._in_transaction())
        except DuplicateKeyError:
            if self._transactions.session is not None or not self.collection.count_documents(
                filter, limit=1, **self._options()
            ):
                raise
            return False
        return True

    def _put(self, filter: Filter, document: Document) -> bool:
        result = self.collection.replace_one(filter, document, upsert=True, **self._options())
        # NOTE: a new document whose _id is null is counted as matched by pymongo.
        return "upserted" in (result.raw_result or {})

    @_writing
    def delete(self, identity: Any, query: Query = EVERYTHING) -> None:
        """Remove one document.

        Raises:
            NotFound: There is none.
        """
        deleted = self.collection.delete_one(self._identify(identity, query), **self._options())
        if not deleted.deleted_count:
            raise self._missing(identity)
        self._meet(identity)

    # -------------------------------------------------------------------------- bulk writes

    @property
    def can_be_undone(self) -> bool:
        """Whether several writes can be made all or none: whether there are transactions."""
        return self._transactions.supported

    @_writing
    def together(self, work: Callable[[], T]) -> T:
        """Do several things with the collections of a database, all or nothing where possible.

        Args:
            work: What it calls of this service and its siblings belongs to one transaction. It
                may be called again when the transaction met another one.
        """

        def again(session: ClientSession | None) -> T:
            if self._expected is not None:
                self._expected.met = False
            return work()

        return self._run(again)

    @property
    def has_transactions(self) -> bool:
        """Whether several writes can be done as one."""
        return self._transactions.supported

    def translation(self) -> Translation:
        """Return a context in which the driver's errors become ours, for somebody's own writes."""
        return Translation(write=True, running=self._transactions.running)

    @_writing
    def insert_many(self, documents: list[Document]) -> list[Document]:
        """Store new documents, all or nothing where the database has transactions.

        Returns:
            The documents, each with its ``_id``.

        Raises:
            Problem: Without transactions, its members ``inserted`` and ``not_inserted`` name
                the documents by their index.
        """
        if self._stores_anything:
            for document in documents:
                # PERF: where it stands makes no difference to the driver.
                if "_id" not in document:
                    document["_id"] = ObjectId()
        else:
            documents = [self._new_at(index, one) for index, one in enumerate(documents)]

        def work(session: ClientSession | None) -> None:
            self.collection.insert_many(documents, **in_session(session))

        try:
            self._run(work)
        except BulkWriteError as error:
            raise self._explain_insert(error, len(documents)) from error
        return documents if self._codec is None else [self._as_read(one) for one in documents]

    @_writing
    def insert_each(self, documents: list[Document]) -> dict[int, FalcorestError]:
        """Store new documents, each by itself; return what was refused, by index.

        Args:
            documents: As many as go into one message, which has 48 MB.
        """
        refused: dict[int, FalcorestError] = {}
        new: dict[int, Document] = {}
        for index, document in enumerate(documents):
            try:
                new[index] = self._new(document)
            except Forbidden as error:
                refused[index] = error
        indexes = list(new)
        try:
            if new:
                documents = list(new.values())
                self.collection.insert_many(documents, ordered=False, **self._in_transaction())
        except BulkWriteError as error:
            refused |= {indexes[index]: problem for index, problem in refusals(error).items()}
        except (BSONError, OverflowError, PyMongoError) as error:
            if not isinstance(translate(error, write=True), (ContentTooLarge, WriteRefused)):
                raise
            # NOTE: none of them was stored; only one by one it shows which is at fault.
            refused |= self._insert_one_by_one(new)
        for problem in refused.values():
            if isinstance(problem, Conflict):
                self.policy.protection.unname(problem)
        return refused

    def _insert_one_by_one(self, documents: dict[int, Document]) -> dict[int, FalcorestError]:
        refused: dict[int, FalcorestError] = {}
        for index, document in documents.items():
            try:
                self.collection.insert_one(document, **self._in_transaction())
            except (BSONError, OverflowError, PyMongoError) as error:
                refused[index] = translate(error, write=True)
        return refused

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
        if isinstance(problem, Problem) and failures and problem.code != "write.outcome_unknown":
            failed = failures[0]["index"]
            inserted = 0 if self._transactions.supported else failed
            problem.members["inserted"] = list(range(inserted))
            problem.members["not_inserted"] = list(range(inserted, count))
            problem.detail = f"The document at index {failed}: {problem.detail} " + (
                f"The {inserted} before it were inserted." if inserted else "None was inserted."
            )
        return problem

    @_writing
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
                return self._update_by_ids(affected.identities, affected.condition, update)
            result = self.collection.update_many(
                affected.filter, self._counted(update), **self._options()
            )
            return Updated(result.matched_count, result.modified_count)

        return self._run(work)

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

    def _update_by_ids(self, identities: list[Any], condition: Filter, update: Update) -> Updated:
        """Change documents one after the other, where there are no transactions.

        Source: https://www.mongodb.com/docs/manual/core/bulk-write-operations/
        """
        counted = self._counted(update)
        changes = [
            UpdateOne(conjunction([with_identity(one), condition]), counted, **self._options())
            for one in identities
        ]
        try:
            with _perhaps_in_part(None):
                result = self.collection.bulk_write(changes)
        except BulkWriteError as error:
            done = int((error.details or {}).get("nMatched", 0))
            raise _stopped(translate(error, write=True), done, len(identities)) from error
        return Updated(result.matched_count, result.modified_count)

    @_writing
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
            with _perhaps_in_part(session):
                deleted = self.collection.delete_many(affected.filter, **self._options())
            return deleted.deleted_count

        return self._run(work)

    def _affected(self, query: Query, session: ClientSession | None) -> _Affected:
        """Count what a bulk write would touch, and refuse too much.

        In a transaction the count and the write see the same data. Without one, the write is
        bound to the documents that were counted.
        """
        bound = self.policy.max_affected + 1
        try:
            condition = self._condition(query)
            if session is not None:
                affected = _Affected(self._count_up_to(bound, condition), condition)
            else:
                asked = replace(EVERYTHING, filter=query.filter, rule=query.rule)
                found = self._find(replace(asked, projection=("_id",)), bound)
                identities = [one["_id"] for one in found]
                affected = _Affected(len(identities), condition, identities)
        except PyMongoError as error:
            if is_undone(error):
                raise
            # NOTE: nothing was written yet, so it is the query that failed.
            raise translate(error) from error
        self.policy.bound_affected(affected.count)
        return affected

    def _count_up_to(self, bound: int, condition: Filter) -> int:
        """Count documents in a transaction, as the driver does.

        PERF: as a command, since what the driver does to try again has no place in there.
        """
        options = self._options()
        command = {
            "aggregate": self.collection.name,
            "pipeline": [
                {"$match": condition},
                {"$limit": bound},
                {"$group": {"_id": 1, "n": {"$sum": 1}}},
            ],
            "cursor": {},
        }
        if "collation" in options:
            command["collation"] = options["collation"]
        reply = self._database.command(
            command,
            codec_options=self.collection.codec_options,
            session=options["session"],
        )
        found = reply["cursor"]["firstBatch"]
        return int(found[0]["n"]) if found else 0


@dataclass(frozen=True, slots=True)
class _Affected:
    """What a bulk write would touch; without a transaction, by its ids as well."""

    count: int
    condition: Filter
    identities: list[Any] | None = None

    @property
    def filter(self) -> Filter:
        if self.identities is None:
            return self.condition
        return conjunction([{"_id": {"$in": self.identities}}, self.condition])


@contextmanager
def _perhaps_in_part(session: ClientSession | None) -> Iterator[None]:
    """Say of several changes that are given up that some may have happened, if nothing undoes them.

    Raises:
        Unavailable: They were given up.
    """
    try:
        yield
    except ExecutionTimeout as error:
        if session is not None:
            raise
        raise Unavailable(
            "write.outcome_unknown",
            "The database didn't do all of it in time. A part of it may have happened.",
            headers={"Retry-After": "1"},
        ) from error


def _stopped(problem: FalcorestError, done: int, count: int) -> FalcorestError:
    """Say in a problem how far a bulk write came that could not be undone."""
    if isinstance(problem, Problem) and done:
        problem.members |= {"changed": done, "not_changed": count - done}
        problem.detail += f" The first {done} of {count} documents were changed."
    return problem


def _next(version: Any) -> int:
    """Return the version that follows another one.

    Raises:
        WriteRefused: It is no whole number.
    """
    if not is_version(version):
        raise WriteRefused("write.refused", "The version of the document is no whole number.")
    return int(version) + 1


def with_id(document: Document) -> Document:
    """Return a document with its ``_id`` in front, where MongoDB puts it; a new one if none."""
    identity = document["_id"] if "_id" in document else ObjectId()
    return {"_id": identity, **document}
