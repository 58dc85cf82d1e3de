"""Query and Page: what a request asks of a collection, and what it gets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]
Filter: TypeAlias = dict[str, Any]

#: The most parts in the dotted path of a field.
MAX_PATH_PARTS = 100

_PATH = re.compile(r"[^.$\0][^.\0]*(?:\.[^.$\0][^.\0]*)*")

#: A filter that no document matches.
NOTHING: Mapping[str, Any] = {"_id": {"$in": []}}


def is_path(text: str) -> bool:
    """Tell whether a text can be the dotted path of a field.

    No part may be empty, start with ``$`` or hold NUL, and MongoDB nests no deeper than that.
    """
    return text.isidentifier() or (
        _PATH.fullmatch(text) is not None and text.count(".") < MAX_PATH_PARTS
    )


def conjunction(conditions: Iterable[Filter]) -> Filter:
    """AND filters together.

    Conditions on different fields become one flat filter, which is what a person would
    write; the rest stands below ``$and``.
    """
    flat: Filter = {}
    rest: list[Filter] = []
    for condition in conditions:
        if flat.keys().isdisjoint(condition):
            flat.update(condition)
        else:
            rest.append(condition)
    if rest:
        return {"$and": [flat, *rest]} if flat else {"$and": rest}
    return flat


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order of a list: that of one document.

    Attributes:
        order: Stands for the sort that it belongs to.
        values: What the document has in the fields of the sort, the ``_id`` last.
    """

    order: bytes
    values: tuple[Any, ...]


@dataclass(slots=True)
class Keyset:
    """How a page of a list stands in its order, which is what links to other pages are made of.

    Whoever reads the page notes what it has found, for whoever makes the links.

    Attributes:
        parameter: The one with which the client says where the page begins or ends, ``_after``
            or ``_before``; None where it says neither.
        place: That place; None for the beginning, or the end, of the list.
        used: Whether documents were read by it.
        order: The order in which a page is being read, if it leaves nothing open.
        index: Otherwise, the name of the index that it is read by, so that each page is.
        ordered: Whether they were read in an order that leaves nothing open, so that there are
            places in it.
        first: The place of the first document of the page, if there is one.
        last: That of the last one.
        before: Whether there are documents before the page.
        after: Whether there are some after it; None if nobody knows.
    """

    parameter: str | None = None
    place: Place | None = None
    used: bool = False
    order: tuple[tuple[str, int], ...] | None = None
    index: str | None = None
    ordered: bool = False
    first: Place | None = None
    last: Place | None = None
    before: bool = False
    after: bool | None = None

    @property
    def backwards(self) -> bool:
        """Whether the page is what comes before its place."""
        return self.parameter == "_before"


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a collection. Names are stored names.

    Attributes:
        filter: A MongoDB filter, what the client asks for; empty means all documents.
        projection: Names of the fields to read, or None for all of them.
        sort: Pairs of field and direction, 1 or -1.
        skip: Documents to pass over first.
        limit: Documents to read at the most; None means no limit.
        fields: API names of the fields to show, or None for the usual ones.
        rule: A MongoDB filter, what the caller may see; empty means all documents.
        whole: Whether hidden fields are read as well, because a write needs them.
        cursor: The parameter that names where a page begins or ends, and its value, not read yet.
        keyset: The same, read; there in lists from which links lead to other pages.
        count: How all documents are counted that match, if they are.
    """

    filter: Filter = field(default_factory=dict)
    projection: tuple[str, ...] | None = None
    sort: tuple[tuple[str, int], ...] = ()
    skip: int = 0
    limit: int | None = None
    fields: tuple[str, ...] | None = None
    rule: Filter = field(default_factory=dict)
    whole: bool = False
    cursor: tuple[str, str] | None = None
    keyset: Keyset | None = field(default=None, compare=False)
    count: str | None = None

    @property
    def condition(self) -> Filter:
        """What a document must satisfy: what is asked for, and what may be seen."""
        if not self.rule:
            return self.filter
        return conjunction([self.rule, self.filter]) if self.filter else self.rule

    # PERF: dataclasses.replace() takes twice as long, and these are called for each request.

    def paged(self, limit: int | None, keyset: Keyset) -> Query:
        """Return this query with a limit, and with what links from its page are made of."""
        own = (self.filter, self.projection, self.sort, self.skip)
        return Query(
            *own, limit, self.fields, self.rule, self.whole, self.cursor, keyset, self.count
        )

    def reading(self, projection: tuple[str, ...]) -> Query:
        """Return this query with the names of the fields to read."""
        own = (self.sort, self.skip, self.limit, self.fields, self.rule, self.whole)
        return Query(self.filter, projection, *own, self.cursor, self.keyset, self.count)

    def matching(self, filter: Filter) -> Query:
        """Return this query with another filter."""
        own = (
            self.projection,
            self.sort,
            self.skip,
            self.limit,
            self.fields,
            self.rule,
            self.whole,
        )
        return Query(filter, *own, self.cursor, self.keyset, self.count)

    def where(self, condition: Filter) -> Query:
        """Return this query narrowed to what satisfies a condition.

        The client's own filter stays apart, so that a bulk write which has none is still
        known for it.
        """
        return replace(self, rule=conjunction([condition, self.rule]))

    def none(self) -> Query:
        """Return this query narrowed to nothing."""
        return self.where(dict(NOTHING))


#: The query of a request that asks for nothing in particular.
EVERYTHING = Query()

#: The query that reads a document in order to change it.
WHOLE = Query(whole=True)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what a query matches.

    Attributes:
        documents: The documents, as stored.
        has_more: Whether more documents follow.
    """

    documents: list[Document]
    has_more: bool
