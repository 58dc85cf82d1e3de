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
    """

    filter: Filter = field(default_factory=dict)
    projection: tuple[str, ...] | None = None
    sort: tuple[tuple[str, int], ...] = ()
    skip: int = 0
    limit: int | None = None
    fields: tuple[str, ...] | None = None
    rule: Filter = field(default_factory=dict)
    whole: bool = False

    @property
    def condition(self) -> Filter:
        """What a document must satisfy: what is asked for, and what may be seen."""
        if not self.rule:
            return self.filter
        return conjunction([self.rule, self.filter]) if self.filter else self.rule

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
