"""Resource: what a collection shows and allows, and the hooks around it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import falcon

from falcorest.attributes import Attributes, check_attributes, has_schema
from falcorest.bodies import load, load_document
from falcorest.declaration import declaration_of, declare
from falcorest.methods import Method, Replace
from falcorest.naming import NotYet
from falcorest.permissions import PERMISSIONS, Permissions, overridden
from falcorest.query import EVERYTHING, Document, Query
from falcorest.service import CollectionService
from falcorest.streams import BATCH

HOOKS = (
    *PERMISSIONS,
    *("get_fields", "get_optional_fields", "get_max_limit", "get_objects", "get_object"),
    *("validate_request", "create_object", "update_object", "delete_object"),
    *("serialize", "handle_serialization_error"),
)


class Resource(Attributes, Permissions):
    """What a collection shows and allows.

    One is made for each request. Without a schema, documents are shown and stored as they are.

    What a class says stands in attributes, see :class:`falcorest.attributes.Attributes`; methods
    are hooks, each a few lines over the service, to be overridden.

    Args:
        req: The request that it was made for.
        view_method: The method that is running.
        service: The collection.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_attributes(cls)
        cls.overridden = overridden(cls, Resource, HOOKS)
        cls.declaration = None
        related = (*cls.related_resources.values(), *cls.child_document_resources.values())
        # NOTE: what a function returns may not be there yet; that waits for register().
        if all(isinstance(one, type) or not callable(one) for one in related):
            with suppress(NotYet):
                declare(cls)

    def __init__(
        self, req: falcon.Request, view_method: type[Method], service: CollectionService
    ) -> None:
        self.req = req
        self.view_method = view_method
        self.service = service
        #: What works for it in this request, how to make it again, and whether the schema has been
        #: asked.
        self._working: Any = None
        self._loaded = False

    @property
    def _at_work(self) -> Any:
        """What works for it; made again for a hook that goes on after the request."""
        working, kind, view, depth = self._working
        return working() or kind(self, view, depth)

    # -------------------------------------------------------------------------- what is shown

    def get_fields(self) -> Sequence[str]:
        """Return the names of what is shown."""
        return declaration_of(type(self)).shown

    def get_optional_fields(self) -> Sequence[str]:
        """Return the names of what is shown only when ``_fields`` names it."""
        return ()

    def get_max_limit(self) -> int | None:
        """Return the most documents in one list, or None for any number."""
        return self.max_limit

    # ---------------------------------------------------------------------------------- hooks

    def get_objects(self, query: Query) -> Any:
        """Return the documents of a list, and whether more follow.

        A third value, a dict, becomes part of the list's envelope.
        """
        if not self.paginate and (query.limit is None or query.limit > BATCH):
            return self.service.stream(query), None
        page = self.service.page(query)
        return page.documents, page.has_more if self.paginate else None

    def get_object(self, id: Any, query: Query = EVERYTHING) -> Document:
        """Return one document.

        Raises:
            NotFound: There is none.
        """
        return self.service.get(id, query)

    def validate_request(self, data: Any, document: Document | None = None) -> Document:
        """Turn the body of a request into what is stored, by the schema.

        What returns a body without calling this one has it loaded nevertheless.

        Args:
            data: The body; API names.
            document: The stored one that is to be changed; None for a new one.

        Returns:
            Stored names.

        Raises:
            marshmallow.ValidationError: It is answered with 400.
        """
        self._loaded = True
        if not has_schema(type(self)):
            return load_document(data)
        partial = document is not None and self.view_method is not Replace
        declaration = declaration_of(type(self))
        return load(declaration, data, partial=partial, changing=document is not None)

    def create_object(self, data: Document) -> Document:
        """Store a new document and return it."""
        return self.service.insert(self._at_work.as_stored(data))

    def update_object(self, document: Document, data: Document) -> Document:
        """Change a document.

        Args:
            document: As it is stored.
            data: The fields that change; stored names. Without a schema, a MongoDB update.

        Returns:
            The document as it is then.
        """
        updated: Document = self._at_work.modify(document, data)
        return updated

    def delete_object(self, document: Document) -> None:
        """Remove a document."""
        self._at_work.remove(document)

    def serialize(self, document: Document) -> dict[str, Any]:
        """Return a document as it is shown."""
        shown: dict[str, Any] = self._at_work.show(document)
        return shown

    def handle_serialization_error(
        self, error: Exception, document: Document
    ) -> dict[str, Any] | None:
        """Return what to show of a document that can't be shown; None leaves it out."""
        raise error
