"""Related documents: what a page refers to, fetched in batches and shown through its reader.

There is one query for each relation and level of a page (in chunks of ids), never one for each
document. The read rule of the other resource holds: what the caller may not see isn't there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, Protocol, Self

from bson import ObjectId

from falcorest.hints import format_id
from falcorest.naming import EMBEDDED, REFERENCE, Relation
from falcorest.query import Document

Shown = dict[str, Any]

_SINGLE = frozenset({ObjectId, type(None)})


class Reader(Protocol):
    """What finds and shows the documents of a resource, see :mod:`falcorest.reading`."""

    depth: int

    @property
    def changes_dump(self) -> bool:
        """Whether a hook has a say in what is shown."""

    def related(self, relation: Relation) -> Self:
        """Return the one through which a relation is shown."""

    def dump(self, documents: Sequence[Document]) -> list[Shown | None]:
        """Return documents as they are shown."""

    @property
    def has_rules(self) -> bool:
        """Whether there are documents that some callers may not see."""

    def show_by_ids(self, identities: Sequence[Any], *, ids_only: bool) -> dict[Any, Any]:
        """Return what is shown of some documents, by id."""

    def show_referring(
        self, owner: Self, identities: Sequence[Any], field: str
    ) -> dict[Any, list[Any]]:
        """Return what is shown of the documents that refer to some others."""


def show_related(
    reader: Reader,
    relations: Sequence[Relation],
    documents: Sequence[Document],
    shown: Sequence[Shown],
) -> None:
    """Put what documents are related to in the place of ids, embedded objects, or nothing.

    Args:
        reader: The reader of the documents.
        relations: Which of its relations are shown.
        documents: As they are stored.
        shown: As they are shown so far, in the same order; changed in place.
    """
    for relation in relations:
        if relation.kind == EMBEDDED:
            _show_embedded(reader.related(relation), relation, documents, shown)
        elif relation.kind == REFERENCE:
            _show_references(reader, relation, documents, shown)
        elif reader.depth > 0:
            _show_reverse(reader, relation, documents, shown)


def _show_embedded(
    related: Reader, relation: Relation, documents: Sequence[Document], shown: Sequence[Shown]
) -> None:
    found: list[Any] = []
    for document in documents:
        value = stored_value(document, relation.stored)
        found += [item for item in _items(value) if isinstance(item, dict)]
    dumped = iter(related.dump(found))

    def replaced(item: Any) -> Any:
        return next(dumped) if isinstance(item, dict) else item

    for one in shown:
        if relation.api in one:
            one[relation.api] = _replace(one[relation.api], replaced)


def _show_references(
    reader: Reader, relation: Relation, documents: Sequence[Document], shown: Sequence[Shown]
) -> None:
    related = reader.related(relation)
    # NOTE: at the end of the depth ids are shown; a look at the documents is only for the rule.
    if reader.depth == 0 and not related.has_rules:
        return
    api, path = relation.api, relation.stored
    if "." in path:
        values = [stored_value(document, path) for document in documents]
    else:
        values = [document.get(path) for document in documents]
    # PERF: mostly they are single ids.
    plain = _SINGLE.issuperset(map(type, values)) and not reader.changes_dump
    items = values if plain else [item for value in values for item in _items(value)]
    wanted = dict.fromkeys(item for item in items if _is_id(item))
    found = related.show_by_ids(list(wanted), ids_only=reader.depth == 0) if wanted else {}
    # NOTE: a hook that changes what it shows must not change it for other documents.
    place = deepcopy if reader.changes_dump else _same
    for value, one in zip(values, shown, strict=True):
        if api in one:
            one[api] = (
                found.get(value)
                if plain
                else _replace(value, lambda item: place(found.get(item)) if _is_id(item) else None)
            )


def _show_reverse(
    reader: Reader, relation: Relation, documents: Sequence[Document], shown: Sequence[Shown]
) -> None:
    owners = dict.fromkeys(document["_id"] for document in documents)
    found = reader.related(relation).show_referring(reader, list(owners), relation.stored)
    for document, one in zip(documents, shown, strict=True):
        one[relation.api] = found.get(document["_id"], [])


def stored_value(document: Any, path: str) -> Any:
    """Return what a document holds at a dotted path; None if there is nothing."""
    for part in path.split("."):
        if not isinstance(document, dict):
            return None
        document = document.get(part)
    return document


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else (value,)


def _same(value: Any) -> Any:
    return value


def _is_id(value: Any) -> bool:
    return value is not None and value.__hash__ is not None


def _replace(value: Any, replaced: Callable[[Any], Any]) -> Any:
    """Replace a value, or the items of a list; what is replaced by None is dropped from it."""
    if isinstance(value, list):
        return [item for item in map(replaced, value) if item is not None]
    return replaced(value)


def uri_of(prefix: str, identity: Any) -> str:
    """Return the URL of a document, to be shown in its place."""
    return f"{prefix.rstrip('/')}/{format_id(identity)}"
