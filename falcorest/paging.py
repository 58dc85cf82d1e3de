"""Pager: the pages of a list, and how many documents there are in all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import pymongo
from bson import CodecOptions
from pymongo.errors import OperationFailure

from falcorest.database import MongoDatabase, Transactions, in_memory
from falcorest.errors import QueryError
from falcorest.finding import LARGEST, Finder, database_operation
from falcorest.keyset import (
    Sort,
    Unplaceable,
    at,
    belongs,
    beyond,
    place_of,
    require_places,
    whole_order,
)
from falcorest.limits import Limits
from falcorest.memory.matching import is_condition, project
from falcorest.policy import Policy
from falcorest.protection import filter_paths
from falcorest.query import NOTHING, Document, Filter, Keyset, Page, Query, conjunction
from falcorest.streams import BATCH, DocumentStream

#: How long it is taken for granted which indexes a collection has, in seconds.
INDEX_SECONDS = 60.0

#: How many verdicts are kept of how lists are read.
VERDICTS = 200

#: What MongoDB answers where an index isn't there that it is told to read, among others.
_BAD_VALUE = 2


@dataclass(frozen=True, slots=True)
class Total:
    """How many documents a query matches.

    Attributes:
        count: So many.
        kind: ``exact``; ``estimated``, from what the database keeps of the collection; or
            ``capped``: at least so many.
    """

    count: int
    kind: str


class Pager(Finder):
    """Reads one collection page by page, within its policy.

    Attributes:
        max_count: How far documents are counted, unless their exact number is asked for.

    Args:
        database: Where the collection is.
        name: The collection.
        policy: What may be asked of it.
        transactions: Shared by the services of one database.
    """

    def __init__(
        self, database: MongoDatabase, name: str, policy: Policy, transactions: Transactions
    ) -> None:
        super().__init__(database, name, policy, transactions)
        self.max_count = Limits.max_count
        #: Which indexes there are; shared by the copies for callers.
        self._indexes = KnownIndexes()

    # --------------------------------------------------------------------------------- pages

    def stream(self, query: Query) -> DocumentStream:
        keyset = query.keyset
        if keyset is not None:
            # NOTE: it may not be that the way in which it is read depends on what was.
            self._indexes.until = 0.0
        if keyset is not None and keyset.parameter is not None and query.limit:
            raise QueryError(
                "query.invalid_limit",
                f"With {keyset.parameter}, _limit may be {BATCH} at the most here.",
                parameter="_limit",
            )
        return super().stream(query)

    def find(self, query: Query, *, few: bool = False) -> list[Document]:
        documents = super().find(query, few=few)
        if _is_reversed(query):
            documents.reverse()
        return documents

    def page(self, query: Query) -> Page:
        keyset = query.keyset
        if keyset is None or query.limit is None:
            return super().page(query)
        return self._page(query, keyset, query.limit)

    @database_operation()
    def _page(self, query: Query, keyset: Keyset, limit: int) -> Page:
        """Return a page, and note how it stands in the order of the list."""
        try:
            read, documents = self._read_page(query, keyset, limit)
        except OperationFailure as error:
            # NOTE: the index that it is to be read by may be gone.
            if keyset.index is None or error.code != _BAD_VALUE:
                raise
            self._indexes.until = 0.0
            read, documents = self._read_page(query, keyset, limit)
        order, keyset.order = keyset.order, None
        more = len(documents) > limit
        del documents[limit:]
        keyset.ordered = False
        if order is None:
            keyset.after = more
            return Page(documents, more)
        past = keyset.place is not None and self._reaches_back(query, keyset, order)
        if keyset.backwards:
            documents.reverse()
            keyset.before, keyset.after = more, past
        else:
            keyset.before, keyset.after = past, more
        self._note(keyset, documents, order)
        if read.projection != query.projection:
            assert query.projection is not None
            documents = [project(document, query.projection) for document in documents]
        return Page(documents, keyset.after)

    def _read_page(self, query: Query, keyset: Keyset, limit: int) -> tuple[Query, list[Document]]:
        """Return what was asked for a page, and the documents of it and one more."""
        keyset.order = order = self._order(query)
        read = query
        if order is not None and query.projection is not None:
            missing = [path for path, _ in order if path not in query.projection]
            if missing and missing != ["_id"]:
                read = replace(query, projection=_joined(query.projection, order))
        return read, self._read(read, min(limit + 1, LARGEST))

    def _reaches_back(self, query: Query, keyset: Keyset, order: Sort) -> bool:
        """Tell whether there is anything at the place where a page begins, or behind it."""
        assert keyset.place is not None
        sign = 1 if keyset.backwards else -1
        found = [*beyond(keyset.place, order, sign), at(keyset.place, order)]
        condition = _any_of(found, self._condition(replace(query, keyset=None)))
        return self.collection.find_one(condition, ["_id"], **self._options()) is not None

    def _note(self, keyset: Keyset, documents: Sequence[Document], order: Sort) -> None:
        """Note the places at which a page begins and ends.

        Raises:
            QueryError: A document on it has none, and the client pages by places.
        """
        keyset.first = keyset.last = None
        try:
            require_places(documents, order)
            # PERF: of most pages, one end is enough.
            if documents and keyset.before:
                keyset.first = place_of(documents[0], order, self._read_by)
            if documents and keyset.after:
                keyset.last = place_of(documents[-1], order, self._read_by)
        except Unplaceable as error:
            if keyset.parameter is not None:
                raise unplaceable(error, keyset.parameter) from error
        else:
            keyset.ordered = True

    @property
    def _read_by(self) -> CodecOptions[Any]:
        if in_memory(self._database):
            return CodecOptions()
        return self.collection.codec_options

    # ------------------------------------------------------------------------------ their order

    def _asked(self, query: Query) -> dict[str, Any]:
        asked = super()._asked(query)
        if query.keyset is not None:
            query.keyset.used = True
            if query.keyset.index is not None:
                asked["hint"] = query.keyset.index
        return asked

    def _condition(self, query: Query) -> Filter:
        condition = super()._condition(query)
        keyset = query.keyset
        if keyset is None or keyset.place is None:
            return condition
        order = whole_order(query.sort)
        if not belongs(keyset.place, order):
            raise QueryError(
                "query.invalid_cursor",
                f"The cursor in {keyset.parameter} belongs to another sort.",
                parameter=keyset.parameter,
            )
        return _any_of(beyond(keyset.place, order, -1 if keyset.backwards else 1), condition)

    def _sort(self, query: Query) -> list[tuple[str, int]]:
        keyset = query.keyset
        order = None if keyset is None else keyset.order or self._order(query)
        if order is None:
            return super()._sort(query)
        sign = -1 if _is_reversed(query) else 1
        return [(path, direction * sign) for path, direction in order]

    def _order(self, query: Query) -> Sort | None:
        """Return the order in which a list is read if it leaves nothing open, else None.

        What the client's sort leaves open is decided by the ``_id`` where the client pages by
        places, wherever that costs nothing, and where each page might be in another order.
        Otherwise the keyset says which index is read.
        """
        assert query.keyset is not None
        query.keyset.index = None
        own = super()._sort(query)
        order = whole_order(own)
        if query.keyset.parameter is not None or len(order) <= len(own):
            return order
        index = self._only_index(query)
        if index is None:
            return order
        query.keyset.index = index.name
        return None

    def _only_index(self, query: Query) -> Index | None:
        """Return the index by which a list is read that isn't read in a whole order.

        A whole order is where it costs nothing, and where there is no such index, so that pages
        wouldn't fit together otherwise.
        """
        # NOTE: what a sort leaves open is in another order on each server.
        if in_memory(self._database) or self.collection.read_preference.mode:
            return None
        known = self._indexes
        if monotonic() >= known.until:
            self._look_at_indexes(known)
        indexes, verdicts = known.found
        # NOTE: a view has none, and sorts ties as it likes.
        if indexes is None:
            return None
        rule = {} if self.rows is None else self.rows.condition
        condition = query.condition
        # PERF: there is always an index on the _id.
        if not (rule or condition or query.sort):
            return None
        if rule:
            condition = conjunction([rule, condition])
        shape = _shape(condition, query.sort)
        if shape in verdicts:
            return verdicts[shape]
        asked = (condition, query.sort, indexes)
        verdict = None if serves_whole_order(*asked) else only_index(*asked)
        if shape is not None and len(verdicts) < VERDICTS:
            verdicts[shape] = verdict
        return verdict

    @database_operation()
    def _look_at_indexes(self, known: KnownIndexes) -> None:
        """Note the indexes of the collection; None for a view, which has none."""
        indexes: list[Index] | None = None
        try:
            found = [Index.of(one) for one in self.collection.list_indexes()]
        except OperationFailure as error:
            if error.timeout:
                raise
        else:
            indexes = [index for index in found if index is not None]
        known.found = indexes, {}
        known.until = monotonic() + INDEX_SECONDS

    # --------------------------------------------------------------------------------- counts

    def count(self, query: Query, since: float) -> Total:
        """Return how many documents a query matches, whatever its limit.

        Args:
            query: It says how they are counted, too.
            since: When the request began to wait for the database, by the monotonic clock. The
                time limit is for all of it.
        """
        limit = self.time_limit
        left = None if limit is None else max(limit - (monotonic() - since), 0.001)
        with pymongo.timeout(left):
            return self._count(replace(query, keyset=None))

    @database_operation()
    def _count(self, query: Query) -> Total:
        condition = self._condition(query)
        # APPSEC: what the database keeps of the collection counts documents that aren't there
        # for the caller.
        if query.count == "estimated" and not condition:
            return Total(self.collection.estimated_document_count(), "estimated")
        if query.count == "exact":
            return Total(self.collection.count_documents(condition, **self._options()), "exact")
        most = self.max_count
        count = self.collection.count_documents(condition, limit=most + 1, **self._options())
        return Total(most, "capped") if count > most else Total(count, "exact")


def unplaceable(error: Unplaceable, parameter: str) -> QueryError:
    """Return the error for a document that can't be paged by."""
    return QueryError(
        "query.invalid_sort",
        f"A document on this page has {error.what} in {error.path!r}, by which no cursor can be "
        "made; _skip leads from page to page here.",
        parameter=parameter,
    )


def _is_reversed(query: Query) -> bool:
    """Tell whether documents are read from the last to the first."""
    # NOTE: without a limit, all of them are read, which can be done in their own order.
    return query.keyset is not None and query.keyset.backwards and query.limit is not None


def _any_of(filters: Sequence[Filter], condition: Filter) -> Filter:
    """Return a filter for what matches one of some filters, and a condition.

    PERF: with the condition in each of them, MongoDB finds for each the index that serves both.
    """
    if not filters:
        return dict(NOTHING)
    if not condition:
        return {"$or": list(filters)}
    return {"$or": [conjunction([filter, condition]) for filter in filters]}


def _joined(projection: Iterable[str], order: Sort) -> tuple[str, ...]:
    """Return a projection that has the fields of a sort as well."""
    names = dict.fromkeys([*projection, *(path for path, _ in order if path != "_id")])
    return tuple(name for name in names if not any(one in names for one in _around(name)))


def _around(path: str) -> Iterator[str]:
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


# -------------------------------------------------------------------------------------- indexes


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a collection.

    Attributes:
        name: Its name.
        fields: Paths and directions.
        orders: Whether all documents are in it, in MongoDB's own order.
    """

    name: str
    fields: tuple[tuple[str, Any], ...]
    orders: bool

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Index | None:
        """Return an index as the database describes it; None for one that isn't used."""
        if described.get("hidden"):
            return None
        fields = tuple(described["key"].items())
        special = {"sparse", "partialFilterExpression", "collation"} & described.keys()
        orders = not special and all(direction in (1, -1) for _, direction in fields)
        return cls(described["name"], fields, orders)


@dataclass(slots=True)
class KnownIndexes:
    """The indexes of a collection, as of late.

    Attributes:
        found: They, None for a view, which has none; and what follows from them: by which of them
            a list is read, by the shape of what is asked.
        until: When to look again, by the monotonic clock.
    """

    found: tuple[list[Index] | None, dict[Any, Index | None]] = (None, {})
    until: float = 0.0


def _shape(condition: Filter, sort: Sort) -> Any:
    """Return what a verdict on a list depends on, without the values; None if it isn't simple."""
    paths: list[tuple[str, bool]] = []
    for name, argument in condition.items():
        if name.startswith("$"):
            return None
        paths.append((name, _is_equal(argument)))
    return tuple(paths), tuple(sort)


def serves_whole_order(condition: Filter, sort: Sort, indexes: Sequence[Index]) -> bool:
    """Tell whether a list can be read in a whole order at the cost of its sort alone.

    Where an index gives the documents that match, or gives them in the order of the sort,
    another order would make MongoDB sort them in memory, unless there is an index for that as
    well. Where none does, MongoDB sorts or searches anyway.

    Args:
        condition: What documents are to match.
        sort: What is asked for, without the ``_id``.
        indexes: Those of the collection.
    """
    equal = set(_equal_paths(condition))
    asked = tuple(part for part in sort if part[0] not in equal)
    whole = whole_order(asked)
    complete = [
        index.fields[:length]
        for index in indexes
        if index.orders and (length := _reach(index, whole, equal))
    ]
    if asked:
        serving = [_taken(one.fields, equal) for one in indexes if _reach(one, asked, equal)]
    else:
        # NOTE: without filter and sort, no index at all is what a list is read by.
        paths = set(filter_paths(condition))
        by_filter = (one.fields for one in indexes if one.fields[0][0] in paths - {"_id"})
        serving = [set(), *({one[0][0], *_taken(one, equal)} for one in by_filter)]
    return all(any(one <= _taken(other, equal) for other in complete) for one in serving)


def only_index(condition: Filter, sort: Sort, indexes: Sequence[Index]) -> Index | None:
    """Return the index by which MongoDB reads a list, if there is no other way to read it.

    Then it gives documents that a sort leaves open in one order for every page, and needs no sort
    in memory.

    Args:
        condition: What documents are to match.
        sort: What is asked for, without the ``_id``.
        indexes: Those of the collection.
    """
    equal = set(_equal_paths(condition))
    asked = tuple(part for part in sort if part[0] not in equal)
    paths = set(filter_paths(condition))
    sorting = [one for one in indexes if one.orders and asked and _reach(one, asked, equal)]
    filtering = [one for one in indexes if one.fields[0][0] in paths]
    if (asked and not sorting) or {"$or", "$nor"} & condition.keys():
        return None
    ways = [*sorting, *(one for one in filtering if one not in sorting)]
    if len(ways) != 1 and paths:
        return None
    return next((one for one in ways if one.orders), None)


def _reach(index: Index, sort: Sort, equal: set[str]) -> int:
    """Return how many fields of an index give a sort, in either direction; 0 if it doesn't."""
    for sign in (1, -1):
        wanted = [(path, direction * sign) for path, direction in sort]
        for length, (path, direction) in enumerate(index.fields, 1):
            if wanted and (path, direction) == wanted[0]:
                wanted.pop(0)
            elif path not in equal:
                break
            if not wanted:
                return length
    return 0


def _taken(fields: Sequence[tuple[str, Any]], equal: set[str]) -> set[str]:
    return {path for path, _ in fields if path in equal}


def _equal_paths(condition: Filter) -> Iterator[str]:
    """Yield the paths of fields that equal one value, or one of some."""
    for name, argument in condition.items():
        if name == "$and":
            for member in argument:
                yield from _equal_paths(member)
        elif not name.startswith("$") and _is_equal(argument):
            yield name


def _is_equal(argument: Any) -> bool:
    """Tell whether what stands in a filter for a field is one value, or one of some."""
    return not is_condition(argument) or not argument.keys().isdisjoint({"$eq", "$in"})
