"""What can be done with a resource: the classes that a view lists in ``methods``."""

from __future__ import annotations

from typing import ClassVar


class Method:
    """Base class of methods.

    Attributes:
        on_collection: The HTTP methods that ask for it at the address of the collection.
        on_item: The HTTP methods that ask for it at the address of one document.
        bulk_write: Whether it changes whatever a filter matches.
        reads: Whether it needs to see what is stored, because it shows or changes that.
        writes: Whether it stores something, or removes it.
    """

    on_collection: ClassVar[tuple[str, ...]] = ()
    on_item: ClassVar[tuple[str, ...]] = ()
    bulk_write: ClassVar[bool] = False
    reads: ClassVar[bool] = True
    writes: ClassVar[bool] = True


class List(Method):
    """Many documents."""

    on_collection = ("GET", "HEAD")
    writes = False


class Fetch(Method):
    """One document."""

    on_item = ("GET", "HEAD")
    writes = False


class Create(Method):
    """Store a new document."""

    on_collection = ("POST",)
    reads = False


class BulkCreate(Method):
    """Store several new documents, all or nothing."""

    on_collection = ("POST",)
    reads = False


class Update(Method):
    """Change fields of one document."""

    on_item = ("PATCH", "PUT")


class Replace(Method):
    """Put a whole document in the place of another."""

    on_item = ("PUT",)


class BulkUpdate(Method):
    """Change every document that a filter matches, all or nothing."""

    on_collection = ("PATCH", "PUT")
    bulk_write = True


class Delete(Method):
    """Remove one document."""

    on_item = ("DELETE",)


class BulkDelete(Method):
    """Remove every document that a filter matches, all or nothing."""

    on_collection = ("DELETE",)
    bulk_write = True


READING: tuple[type[Method], ...] = (List, Fetch)
ALL: tuple[type[Method], ...] = (
    *READING,
    Create,
    BulkCreate,
    Update,
    Replace,
    BulkUpdate,
    Delete,
    BulkDelete,
)
