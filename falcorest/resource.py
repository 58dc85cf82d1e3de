"""Resource: what a collection shows and allows, and the hooks around it."""

from __future__ import annotations

from typing import Any, ClassVar

import falcon

from falcorest import bson_json
from falcorest.errors import BodyError
from falcorest.methods import Method
from falcorest.policy import Policy
from falcorest.query import EVERYTHING, Document, Query
from falcorest.serializer import Serializer
from falcorest.service import CollectionService, DocumentStream, Updated
from falcorest.updates import Update, is_update, update_from_fields, update_from_operators


class Resource:
    """What a collection shows and allows.

    One is made for each request. Without a schema, documents are shown and stored as they are.

    Attributes:
        collection: The collection behind the resource.
        paginate: Whether a list is a page, which knows if more documents follow; else all
            matching documents are streamed.
        max_limit: The most documents in one list, or None for any number.
        bulk_update_limit: The most documents that a bulk write may match.
        transactional: Whether bulk writes run in a transaction where the database has them.
            MongoDB has none for capped and time-series collections.
        serializer: Writes documents as JSON.

    Args:
        req: The request that it was made for.
        view_method: The method that is running.
        service: The collection.
    """

    collection: ClassVar[str]
    paginate: ClassVar[bool] = True
    max_limit: ClassVar[int | None] = 100
    bulk_update_limit: ClassVar[int] = 1000
    transactional: ClassVar[bool] = True
    serializer: ClassVar[Serializer] = Serializer()

    def __init__(
        self, req: falcon.Request, view_method: type[Method], service: CollectionService
    ) -> None:
        self.req = req
        self.view_method = view_method
        self.service = service

    @classmethod
    def policy(cls) -> Policy:
        """Return the policy that the class declares."""
        return Policy(max_limit=cls.max_limit, max_affected=cls.bulk_update_limit)

    # ------------------------------------------------------------------------------- reading

    def get_objects(self, query: Query) -> tuple[list[Document] | DocumentStream, bool | None]:
        """Return the documents of a list, and whether more follow (None: these are all)."""
        if not self.paginate:
            return self.service.stream(query), None
        page = self.service.page(query)
        return page.documents, page.has_more

    def get_object(self, identity: Any, query: Query = EVERYTHING) -> Document:
        """Return one document.

        Raises:
            NotFound: There is none.
        """
        return self.service.get(identity, query)

    # ------------------------------------------------------------------------------- loading

    def load(self, data: Any) -> Document:
        """Turn a parsed body into a document to store.

        Raises:
            BodyError: It is no object, or not what may be stored.
        """
        document = bson_json.decode(data)
        if type(document) is not dict:
            raise BodyError("body.wrong_type", "An object is expected.")
        return document

    def load_many(self, data: list[Any]) -> list[Document]:
        """Turn the items of a parsed body into documents to store.

        Raises:
            BodyError: There are none, or one of them is not what may be stored.
        """
        if not data:
            raise BodyError("body.wrong_type", "The list is empty; there is nothing to store.")
        documents = []
        for index, item in enumerate(data):
            try:
                documents.append(self.load(item))
            except BodyError as error:
                raise BodyError(
                    error.code,
                    f"The document at index {index}: {error.detail}",
                    field_errors={str(index): error.field_errors or [error.detail]},
                ) from error
        return documents

    def load_replacement(self, data: Any, identity: Any) -> Document:
        """Turn a parsed body into the document that is to stand at an ``_id``.

        Raises:
            BodyError: It isn't one, or it has another ``_id``.
        """
        document = self.load(data)
        if "_id" in document and not same_id(document["_id"], identity):
            raise _other_id()
        return document

    def load_update(self, data: Any, identity: Any) -> Update:
        """Turn a parsed body into the update of one document: fields to set, or operators.

        Raises:
            BodyError: It is neither, or it has another ``_id``.
        """
        fields = _object(data)
        if is_update(fields):
            return update_from_operators(fields)
        if "_id" in fields:
            if not same_id(bson_json.decode(fields["_id"]), identity):
                raise _other_id()
            fields = {path: value for path, value in fields.items() if path != "_id"}
        return update_from_fields(fields)

    def load_bulk_update(self, data: Any) -> Update:
        """Turn a parsed body into the update of many documents: operators.

        Raises:
            BodyError: It is something else.
        """
        fields = _object(data)
        if not is_update(fields):
            raise BodyError(
                "body.invalid_update",
                'A bulk update takes update operators, such as {"$set": {"field": value}}.',
            )
        return update_from_operators(fields)

    # ------------------------------------------------------------------------------- writing

    def create_object(self, document: Document) -> Document:
        """Store a new document and return it."""
        return self.service.insert(document)

    def create_objects(self, documents: list[Document]) -> list[Document]:
        """Store new documents and return them."""
        return self.service.insert_many(documents)

    def update_object(self, identity: Any, update: Update) -> None:
        """Change one document."""
        self.service.update(identity, update)

    def replace_object(self, identity: Any, document: Document) -> bool:
        """Put a document at an ``_id``; tell whether there was none."""
        return self.service.replace(identity, document)

    def delete_object(self, identity: Any) -> None:
        """Remove one document."""
        self.service.delete(identity)

    def update_objects(self, query: Query, update: Update) -> Updated:
        """Change the documents that a filter matches."""
        return self.service.update_many(query, update)

    def delete_objects(self, query: Query) -> int:
        """Remove the documents that a filter matches."""
        return self.service.delete_many(query)


def same_id(one: Any, other: Any) -> bool:
    """Tell whether two values are the same ``_id``; 1 and true aren't, 1 and 1.0 are."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _object(data: Any) -> dict[str, Any]:
    if type(data) is not dict:
        raise BodyError("body.wrong_type", "An object is expected.")
    return data


def _other_id() -> BodyError:
    return BodyError(
        "body.invalid_update",
        "The _id in the body is not that of the address; an _id can't be changed.",
        field_errors={"_id": ["It is not that of the address."]},
    )
