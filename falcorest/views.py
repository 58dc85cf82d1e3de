"""ResourceView: the Falcon resource class of a collection. It owns methods and statuses."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

import falcon
from falcon import HTTP_201, HTTP_204
from falcon.constants import HTTP_METHODS

from falcorest import bson_json, methods
from falcorest.database import MongoDatabase, Transactions
from falcorest.dialects import Dialect
from falcorest.errors import (
    BadRequest,
    BodyError,
    ContentTooLarge,
    UnsupportedMediaType,
)
from falcorest.hints import format_id, parse_id
from falcorest.methods import Method
from falcorest.resource import Resource
from falcorest.service import CollectionService, DocumentStream

logger = logging.getLogger("falcorest")

_RESPONDERS = ("get", "head", "post", "put", "patch", "delete")


class View:
    """Base class of everything that falcorest serves: a Falcon resource class."""

    def allowed(self, suffix: str) -> list[str]:
        """Return the HTTP methods that are served at an address.

        Args:
            suffix: That of the route's responders.
        """
        return [
            method
            for method in HTTP_METHODS
            if callable(getattr(self, f"on_{method.lower()}{suffix}", None))
        ]


class ResourceView(View):
    """Serves a resource over HTTP.

    Attributes:
        resource: What is served.
        methods: What can be done with it.
        authentication_methods: Asked in turn who is calling. None of them: everybody may.
        public_methods: HTTP methods that need no caller, though authentication methods are
            listed.
        dialect: How query strings are read and answers wrapped.
        max_body_bytes: The largest body that is read.

    Args:
        name: The name of the resource.
        url: Where it stands, without a slash at the end.
        database: Where its collection is.
        transactions: Shared by the views of one database.
    """

    resource: ClassVar[type[Resource]]
    methods: ClassVar[Sequence[type[Method]]] = ()
    authentication_methods: ClassVar[Sequence[Any]] = ()
    public_methods: ClassVar[frozenset[str]] = frozenset()
    dialect: ClassVar[Dialect]
    max_body_bytes: ClassVar[int] = 1024 * 1024

    #: Which method is asked for at the address of the collection, and of one document.
    collection_methods: ClassVar[dict[str, type[Method]]] = {}
    item_methods: ClassVar[dict[str, type[Method]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        served = [method for method in methods.ALL if method in cls.methods]
        # NOTE: in this order Create stands in for BulkCreate until the body has been read.
        cls.collection_methods = {
            verb: method for method in reversed(served) for verb in method.on_collection
        }
        cls.item_methods = {verb: method for method in served for verb in method.on_item}
        for verb in _RESPONDERS:
            # NOTE: Falcon answers 405, with the right Allow, where a responder is None.
            if verb.upper() not in cls.collection_methods:
                setattr(cls, f"on_{verb}", None)
            if verb.upper() not in cls.item_methods:
                setattr(cls, f"on_{verb}_item", None)

    def __init__(
        self, name: str, url: str, database: MongoDatabase, transactions: Transactions
    ) -> None:
        self.name = name
        self.url = url
        self.policy = self.resource.policy()
        if not self.resource.transactional:
            transactions = Transactions(database, wanted=False)
        self.service = CollectionService(
            database, self.resource.collection, self.policy, transactions
        )

    # ---------------------------------------------------------------------- the collection

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List documents."""
        query = req.context.query
        resource = self.resource(req, methods.List, self.service)
        documents, has_more = resource.get_objects(query)
        opening, closing = self.dialect.page(has_more)
        dump = resource.serializer.dump_many
        resp.content_type = falcon.MEDIA_JSON
        if has_more:
            following = self.dialect.next_page(req.query_string, query)
            resp.set_header("Link", f'<{self._address(req)}?{following}>; rel="next"')
        if isinstance(documents, DocumentStream):
            if not documents.complete:
                if req.method == "HEAD":
                    documents.close()
                resp.stream = _joined(opening, closing, documents, resource)
                return
            documents = documents.first
        resp.data = opening + dump(documents) + closing

    on_head = on_get

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Store one new document, or several."""
        data = self._read(req)
        if type(data) is list:
            self._create_many(req, resp, data)
            return
        if methods.Create not in self.methods:
            raise BodyError("body.wrong_type", "A list of objects is expected.")
        resource = self.resource(req, methods.Create, self.service)
        document = resource.create_object(resource.load(data))
        self._answer_created(req, resp, document["_id"])
        resp.data = bson_json.dumps({"_id": document["_id"]})

    def _create_many(self, req: falcon.Request, resp: falcon.Response, data: list[Any]) -> None:
        if methods.BulkCreate not in self.methods:
            raise BodyError("body.wrong_type", "An object is expected.")
        resource = self.resource(req, methods.BulkCreate, self.service)
        documents = resource.create_objects(resource.load_many(data))
        resp.status = HTTP_201
        resp.content_type = falcon.MEDIA_JSON
        resp.data = bson_json.dumps([{"_id": document["_id"]} for document in documents])

    def on_patch(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Change every document that the filter matches."""
        resource = self.resource(req, methods.BulkUpdate, self.service)
        update = resource.load_bulk_update(self._read(req))
        updated = resource.update_objects(req.context.query, update)
        self._answer(resp, self.dialect.updated(updated.matched, updated.modified))

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Remove every document that the filter matches."""
        resource = self.resource(req, methods.BulkDelete, self.service)
        count = resource.delete_objects(req.context.query)
        self._answer(resp, self.dialect.deleted(count))

    # ------------------------------------------------------------------------ one document

    def on_get_item(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Fetch one document."""
        resource = self.resource(req, methods.Fetch, self.service)
        document = resource.get_object(self._identity(req, id), req.context.query)
        resp.content_type = falcon.MEDIA_JSON
        resp.data = resource.serializer.dump(document)

    on_head_item = on_get_item

    def on_patch_item(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Change fields of one document."""
        identity = self._identity(req, id)
        resource = self.resource(req, methods.Update, self.service)
        resource.update_object(identity, resource.load_update(self._read(req), identity))
        resp.status = HTTP_204

    def on_put_item(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Put a whole document in the place of another, or of none."""
        identity = self._identity(req, id)
        resource = self.resource(req, methods.Replace, self.service)
        document = resource.load_replacement(self._read(req), identity)
        if resource.replace_object(identity, document):
            self._answer_created(req, resp, identity)
            resp.data = bson_json.dumps({"_id": identity})
        else:
            resp.status = HTTP_204

    def on_delete_item(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Remove one document."""
        resource = self.resource(req, methods.Delete, self.service)
        resource.delete_object(self._identity(req, id))
        resp.status = HTTP_204

    # ---------------------------------------------------------------------------- plumbing

    def _identity(self, req: falcon.Request, text: str) -> Any:
        # NOTE: Falcon reads bytes that aren't UTF-8 as U+FFFD, which would name another id.
        if "\ufffd" in text and not _is_utf8(req.env["PATH_INFO"]):
            raise BadRequest("id.invalid", "The path is not UTF-8.", parameter="id")
        return parse_id(text)

    def _read(self, req: falcon.Request) -> Any:
        return read_json(req, self.max_body_bytes)

    def _address(self, req: falcon.Request) -> str:
        return quote(req.root_path + self.url)

    def _answer_created(self, req: falcon.Request, resp: falcon.Response, identity: Any) -> None:
        resp.status = HTTP_201
        resp.content_type = falcon.MEDIA_JSON
        segment = format_id(identity)
        if segment is not None:
            resp.set_header("Location", f"{self._address(req)}/{segment}")

    def _answer(self, resp: falcon.Response, result: dict[str, Any]) -> None:
        resp.content_type = falcon.MEDIA_JSON
        resp.data = bson_json.dumps(result)


def _joined(
    opening: bytes, closing: bytes, documents: DocumentStream, resource: Resource
) -> Iterator[bytes]:
    """Yield a list in pieces. An exception in the middle leaves it without its end."""
    dump = resource.serializer.dump_many
    separator = opening
    try:
        for batch in documents.batches():
            yield separator + dump(batch)
            separator = b","
    except Exception as error:
        log_failure(resource.req, error)
        raise
    yield closing


def _is_utf8(path: str) -> bool:
    try:
        path.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return False
    return True


def read_json(req: falcon.Request, max_bytes: int) -> Any:
    """Read the body of a request as JSON; ``$`` objects in it are left as they stand.

    Args:
        req: Its ``Content-Type`` may be missing, and is JSON otherwise.
        max_bytes: The largest body that is read.

    Raises:
        UnsupportedMediaType: It is something else (415).
        ContentTooLarge: It is larger (413).
        BodyError: It can't be read (400).
    """
    kind = req.content_type
    if kind and kind.partition(";")[0].strip().lower() != falcon.MEDIA_JSON:
        raise UnsupportedMediaType(
            "body.unsupported_type",
            "The body must be JSON, with Content-Type: application/json.",
            headers={"Accept": falcon.MEDIA_JSON},
        )
    length = req.content_length
    if length is not None and length > max_bytes:
        raise _too_large(max_bytes)
    if length is None and not req.env.get("wsgi.input_terminated"):
        length = 0
    # NOTE: without a length, the body is chunked, and the server tells where it ends.
    body = b""
    stream = req.stream if length is None else req.bounded_stream
    while piece := _read_piece(stream, max_bytes + 1 - len(body)):
        body += piece
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    if length is not None and len(body) < length:
        raise BodyError("body.malformed", "The body is shorter than its Content-Length says.")
    return bson_json.parse(body)


def _read_piece(stream: Any, size: int) -> bytes:
    try:
        piece: bytes = stream.read(size)
    except Exception as error:
        # NOTE: each server has exceptions of its own for a body that breaks off or is chunked
        # wrongly.
        raise BodyError("body.malformed", "The body can't be read to its end.") from error
    return piece


def _too_large(max_bytes: int) -> ContentTooLarge:
    return ContentTooLarge("body.too_large", f"The body may have {max_bytes} bytes at the most.")


def log_failure(req: falcon.Request, error: Exception) -> None:
    """Log what went wrong with a request, under its id."""
    # APPSEC: ascii() keeps line breaks and escape sequences of a client out of the log.
    logger.error(
        "%s %s failed (request %s)",
        req.method,
        ascii(req.path),
        getattr(req.context, "request_id", "-"),
        exc_info=error,
    )
