"""Nested writes: objects inside of a body, written with the document around them.

Everything is checked before anything is written: the objects are taken out of the body, validated
and permitted by their own writer, and leave their ids behind. Then they are written, and the
document around them last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from bson import ObjectId

from falcorest.bodies import located
from falcorest.declaration import Declaration
from falcorest.errors import BodyError
from falcorest.methods import Replace, Update
from falcorest.naming import Relation
from falcorest.query import Document
from falcorest.resource import Resource
from falcorest.service import CollectionService


@dataclass
class Write:
    """A document that may be written, after those inside of it.

    Attributes:
        identity: Its ``_id``.
        data: What is stored; the references in it are the planned ids.
        write: Stores it, given the data, and returns the document.
        inside: What is written first.
    """

    identity: Any
    data: Document
    write: Callable[[Document], Document]
    inside: list[Write] = field(default_factory=list)

    def run(self) -> Document:
        """Write it, after what is inside."""
        moved = {}
        for write in self.inside:
            written = write.run()["_id"]
            if written != write.identity:
                moved[write.identity] = written
        # NOTE: a hook may have found another document to take the place of a new one.
        return self.write(_moved(self.data, moved) if moved else self.data)


def _moved(value: Any, moved: dict[Any, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _moved(item, moved) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, moved) for item in value]
    return moved.get(value, value) if isinstance(value, ObjectId) else value


class Writer(Protocol):
    """What reads and prepares the documents of a resource, see :mod:`falcorest.writing`."""

    declaration: Declaration
    resource: Resource
    service: CollectionService

    def related(self, relation: Relation) -> Self:
        """Return the one for a relation."""

    def read_many(self, identities: Sequence[Any]) -> dict[Any, Document]:
        """Return documents to be changed, by id."""

    def only_changed(self, body: dict[str, Any], document: Document) -> dict[str, Any]:
        """Return what of a body isn't what was read."""

    def prepare_create(self, body: Any) -> Write:
        """Validate and permit a new document."""

    def prepare_update(self, document: Document, body: Any) -> Write:
        """Validate and permit a change."""


def holds_objects(declaration: Declaration, body: Any, *, beyond_ids: bool = False) -> bool:
    """Tell whether a body has objects in it that are to be written with it.

    Args:
        declaration: That of the document.
        body: API names.
        beyond_ids: Whether objects count only that hold more than an id.
    """
    if not declaration.saved or not isinstance(body, dict):
        return False
    for name in declaration.saved:
        ids = {declaration.of(declaration.relations[name].resource).id_name}
        for item in _items(body.get(declaration.api[name])):
            if isinstance(item, dict) and not (beyond_ids and item.keys() == ids):
                return True
    return False


def take_objects(writer: Writer, body: Any) -> tuple[Any, list[Write]]:
    """Take the objects that are to be written out of a body.

    Returns:
        The body with ids in their place, and the writes.

    Raises:
        BodyError: One of them is wrong, or names a document that isn't there.
        Problem: The caller may not do this, or not so much of it.
    """
    declaration = writer.declaration
    if not holds_objects(declaration, body):
        return body, []
    taken = dict(body)
    writes: list[Write] = []
    for name in declaration.saved:
        relation = declaration.relations[name]
        value = body.get(relation.api)
        if not any(isinstance(item, dict) for item in _items(value)):
            continue
        taker = _Taker(writer.related(relation), _items(value))
        if isinstance(value, list):
            taken[relation.api] = [
                taker.take(item, relation.api, str(index)) for index, item in enumerate(value)
            ]
        else:
            taken[relation.api] = taker.take(value, relation.api)
        writes += taker.writes
    return taken, writes


class _Taker:
    """Takes the objects of one relation; the documents that they name are read at once."""

    def __init__(self, related: Writer, items: list[Any]) -> None:
        if related.resource.view_method is Replace:
            related.resource.view_method = Update
        objects = [item for item in items if isinstance(item, dict)]
        related.service.policy.bound_affected(len(objects))
        self.writes: list[Write] = []
        self._related = related
        self._name = related.declaration.id_name
        wanted = (self._identity(item[self._name]) for item in objects if self._name in item)
        ids = list(dict.fromkeys(identity for identity in wanted if identity is not None))
        self._documents = related.read_many(ids) if ids else {}

    def _identity(self, given: Any) -> Any:
        try:
            identity = self._related.declaration.convert_id(given)
        except ValueError:
            return None
        return None if identity.__hash__ is None else identity

    def take(self, item: Any, *place: str) -> Any:
        """Return the id of an object, which is to be written; an id stays as it is."""
        if not isinstance(item, dict):
            return item
        with located(*place):
            write = self._prepare(item)
        self.writes.append(write)
        return write.identity

    def _prepare(self, item: dict[str, Any]) -> Write:
        name = self._name
        if name not in item:
            return self._related.prepare_create(item)
        document = self._documents.get(self._identity(item[name]))
        if document is None:
            raise BodyError(
                "body.invalid",
                f"The {name} names no document.",
                field_errors={name: ["There is no such document."]},
            )
        rest = {key: value for key, value in item.items() if key != name}
        # NOTE: what was read may be sent back by somebody who may not change it.
        rest = self._related.only_changed(rest, document)
        if rest:
            return self._related.prepare_update(document, rest)
        return Write(document["_id"], document, lambda data: data)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
