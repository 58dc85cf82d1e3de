"""Permissions: what a caller may read, add, change and delete."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import falcon

from falcorest.query import Document, Query

PERMISSIONS = (
    "has_read_permission",
    "has_add_permission",
    "has_change_permission",
    "has_delete_permission",
)


class Permissions:
    """What a caller may do; everything, unless an author says otherwise.

    On a Resource they hold wherever that Resource is used, on a view for the requests to that
    view, in addition. What a caller may not read isn't there: 404. The others are asked before
    anything is written; refusal is 403, or 401 when nobody is logged in.
    """

    def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
        """Return the query narrowed to what this caller may see.

        Use ``query.where({"is_published": True})``, which takes stored names, ``query.none()``,
        or return the query as it is.
        """
        return query

    def has_add_permission(self, req: falcon.Request, document: Document) -> bool:
        """Tell whether this caller may store this document."""
        return True

    def has_change_permission(self, req: falcon.Request, document: Document) -> bool:
        """Tell whether this caller may change this document, which is given as it is stored."""
        return True

    def has_delete_permission(self, req: falcon.Request, document: Document) -> bool:
        """Tell whether this caller may remove this document."""
        return True


def overridden(kind: type[Any], base: type[Any], names: Iterable[str]) -> frozenset[str]:
    """Return which methods of a class are its author's own."""
    return frozenset(name for name in names if getattr(kind, name) is not getattr(base, name))
