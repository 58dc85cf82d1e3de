"""ResourceView: the Falcon resource class of a collection. It owns methods and statuses."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from typing import Any, ClassVar
from urllib.parse import quote

import falcon
import orjson
from falcon import HTTP_201, HTTP_204

from falcorest import bson_json, conditional, methods, patches, plain_json
from falcorest.database import MongoDatabase, Transactions
from falcorest.declaration import declare
from falcorest.dialects import Dialect, SuffixDialect, TypedDialect
from falcorest.errors import (
    BadRequest,
    BodyError,
    ConfigurationError,
    NotFound,
    PreconditionRequired,
)
from falcorest.finding import not_found
from falcorest.formats import FORMAT, JSON, NDJSON, write_list
from falcorest.imports import Import
from falcorest.keyset import Cursors
from falcorest.limits import Limits
from falcorest.lines import Body
from falcorest.links import link_header
from falcorest.methods import Method
from falcorest.permissions import PERMISSIONS, Permissions, overridden
from falcorest.planning import IndexedService
from falcorest.preconditions import Preconditions, tag_of
from falcorest.preferences import MINIMAL, REPRESENTATION, apply_preference, preference
from falcorest.query import EVERYTHING, Document
from falcorest.resource import Resource
from falcorest.responding import (
    ACCEPT_PATCH,
    View,
    answer_tagged,
    log_failure,
    media_type,
    read_json,
)
from falcorest.service import CollectionService, with_id
from falcorest.streams import DocumentStream
from falcorest.writing import Writer

#: Where the middleware leaves, for the view, what does the work and what is asked.
PREPARED = "falcorest.prepared"

_RESPONDERS = ("get", "head", "post", "put", "patch", "delete")


class ResourceView(View, Permissions):
    """Serves a resource over HTTP.

    With a schema, writes are answered with the object; without, as little as there is to say.

    Attributes:
        resource: What is served.
        methods: What can be done with it.
        authentication_methods: Asked in turn who is calling, classes or instances. An empty
            list: everybody may. None: those of the :class:`~falcorest.FalcoRest`.
        public_methods: HTTP methods that need no caller, though authentication methods are
            listed.
        dialect: How query strings are read and answers wrapped. Unless given, that of declared
            resources where there is a schema, else the typed one.
        limits: How much a request may ask for. A dialect that is given has its own, as
            ``TypedDialect(limits=…)``.
        plain_json: Whether BSON's types are written as plain JSON, with hexadecimal ids, ISO 8601
            dates and the like, and not as Extended JSON.

    Args:
        name: The name of the resource.
        url: Where it stands, without a slash at the end.
        database: Where its collection is.
        transactions: Shared by the views of one database.
        secret: Signs cursors; the name of the database does unless one is given.
    """

    resource: ClassVar[type[Resource]]
    methods: ClassVar[Sequence[type[Method]]] = ()
    authentication_methods: Sequence[Any] | None = None
    public_methods: ClassVar[frozenset[str]] = frozenset()
    dialect: Dialect | None = None
    limits: ClassVar[Limits] = Limits()
    plain_json: ClassVar[bool] = False

    #: Which method is asked for at the address of the collection, and of one document.
    collection_methods: ClassVar[dict[str, type[Method]]] = {}
    item_methods: ClassVar[dict[str, type[Method]]] = {}
    #: What ``WWW-Authenticate`` says when nobody is known.
    challenge: str = ""
    #: The permissions that are the author's own.
    overridden: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _check_view(cls)
        cls.overridden = overridden(cls, ResourceView, PERMISSIONS)
        served = [method for method in methods.ALL if method in cls.methods]
        # NOTE: in this order Create stands in for BulkCreate until the body has been read, and
        # PUT means Replace where that is listed.
        cls.collection_methods = cls._responding(
            "", {verb: method for method in reversed(served) for verb in method.on_collection}
        )
        cls.item_methods = cls._responding(
            "_item", {verb: method for method in served for verb in method.on_item}
        )

    @classmethod
    def _responding(cls, suffix: str, served: dict[str, type[Method]]) -> dict[str, type[Method]]:
        """Give the class its responders, and return what they serve.

        Falcon answers 405, with the right ``Allow``, where a responder is None. A class that
        says so itself doesn't serve what its methods say.
        """
        for verb in _RESPONDERS:
            name = f"on_{verb}{suffix}"
            if vars(cls).get(name, ...) is None:
                served.pop(verb.upper(), None)
            elif verb.upper() not in served:
                setattr(cls, name, None)
            elif getattr(cls, name) is None:
                # NOTE: the class that it derives from didn't serve it.
                inherited = (vars(kind).get(name) for kind in cls.__mro__)
                setattr(cls, name, next(filter(None, inherited)))
        return served

    def __init__(
        self,
        name: str,
        url: str,
        database: MongoDatabase,
        transactions: Transactions,
        secret: str | None = None,
    ) -> None:
        self.name = name
        self.url = url
        self._quoted_url = quote(url)
        kind = getattr(self, "resource", None)
        if not isinstance(kind, type) or not issubclass(kind, Resource):
            raise ConfigurationError(f"{type(self).__name__}.resource: a Resource is expected.")
        if kind.collection is None:
            raise ConfigurationError(f"{kind.__name__}.collection: a view needs one.")
        if not self.methods:
            raise ConfigurationError(f"{type(self).__name__}.methods: nothing would be served.")
        self.declaration = declare(kind)
        if self.dialect is None:
            self.dialect = (
                SuffixDialect(
                    self.declaration.filters,
                    self.declaration.ordering,
                    self.limits,
                    self.declaration.hides,
                )
                if self.declaration.has_schema
                else TypedDialect(limits=self.limits)
            )
        if self.declaration.has_schema and isinstance(self.dialect, TypedDialect):
            raise ConfigurationError(
                f"{type(self).__name__}.dialect: the typed one filters by whatever is stored; "
                f"it is for resources without a schema, and {kind.__name__} has one."
            )
        self.policy = kind.compiled_policy()
        if not kind.transactional:
            transactions = Transactions(database, wanted=False, outage=transactions.outage)
        service = IndexedService if kind.require_index else CollectionService
        self.service = service(database, kind.collection, self.policy, transactions)
        self.service.stream_limit_ms = self.limits.stream_timeout_ms
        self.service.version_field = kind.version_field
        for one in self.declaration.known:
            place = f"{one.__name__}.read_concern"
            one.compiled_concerns().require_possible(place, database[kind.collection])
        self.service.heed(kind.compiled_concerns())
        self.service.max_count = self.limits.max_count
        self.answering = self.service.answering()
        self.cursors = Cursors(secret or database.name, name)

    # ---------------------------------------------------------------------- the collection

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List documents."""
        work, query = req.env[PREPARED]
        documents, has_more, extra = work.find(query)
        resp.append_header("Vary", "Accept")
        self._say_how_to_keep(resp)
        if work.total is not None:
            resp.set_header("X-Total-Count", str(work.total.count))
            resp.set_header("X-Total-Count-Kind", work.total.kind)
            extra = {"total_count": work.total.count, **extra}
        opening, closing = self._dialect.page(has_more, extra)
        resp.content_type = falcon.MEDIA_JSON
        links = link_header(
            self._address(req), req.query_string, query, has_more, self._dialect, self.cursors
        )
        if links is not None:
            resp.set_header("Link", links)
        if FORMAT in req.env:
            most = self.limits.max_list_values
            write_list(req, resp, work, query, documents, most, log_failure)
            return
        if isinstance(documents, DocumentStream):
            if not documents.complete:
                if req.method == "HEAD":
                    documents.close()
                resp.stream = _joined(opening, closing, documents, work)
                return
            documents = documents.first
        # PERF: documents aren't copied more often than they must be.
        dumped = work.json(work.shown(documents))
        if (opening, closing) == (b"[", b"]"):
            resp.data = dumped
        else:
            resp.data = b"".join((opening, memoryview(dumped)[1:-1], closing))

    on_head = on_get

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Store one new document, or several."""
        imports = methods.BulkCreate in self.methods
        if imports and media_type(req) == NDJSON:
            self._import(req, resp)
            return
        work, _ = req.env[PREPARED]
        accepted = f"{JSON}, {NDJSON}" if imports else JSON
        # PERF: a document that is stored as it comes is decoded while it is read.
        if work.stores_as_sent:
            data, work.is_decoded = self._read(req, accepted, parse=bson_json.parse_decoded)
        else:
            data = self._read(req, accepted)
        if type(data) is list:
            self._create_many(req, resp, data)
            return
        if methods.Create not in self.methods:
            raise BodyError("body.wrong_type", "A list of objects is expected.")
        wanted = self._preference(req, work)
        document = work.create(data)
        self._answer_created(req, resp, document["_id"])
        shown = self._created_json(work, [document], wanted)
        if self.declaration.has_schema or wanted == REPRESENTATION:
            self._tag(resp, shown)
        self._answer_written(resp, shown)
        apply_preference(resp, wanted)

    def _import(self, req: falcon.Request, resp: falcon.Response) -> None:
        work, _ = req.env[PREPARED]
        work.resource.view_method = methods.BulkCreate
        lines = Body(req, self.limits.max_import_bytes, self.limits.client_timeout_ms).lines(
            self.limits.max_line_bytes
        )
        self._answer(resp, Import(work, self.limits).run(lines))

    def _create_many(self, req: falcon.Request, resp: falcon.Response, data: list[Any]) -> None:
        if methods.BulkCreate not in self.methods:
            raise BodyError("body.wrong_type", "An object is expected.")
        if len(data) > self.limits.max_documents:
            raise BodyError(
                "body.too_complex",
                f"A list may have {self.limits.max_documents} documents at the most.",
            )
        work, _ = req.env[PREPARED]
        work.resource.view_method = methods.BulkCreate
        documents = work.create_many(data)
        resp.status = HTTP_201
        wanted = self._preference(req, work)
        shown = self._created_json(work, documents, wanted)
        if wanted != MINIMAL or not self.declaration.has_schema:
            resp.content_type = falcon.MEDIA_JSON
            resp.data = self._dialect.created(shown)
        apply_preference(resp, wanted)

    def _preference(self, req: falcon.Request, work: Writer) -> str | None:
        """Return what the client prefers to get back of what it creates, if it may."""
        wanted = preference(req)
        if wanted == REPRESENTATION and not (self.declaration.has_schema or work.may_read):
            return None
        return wanted

    def _created_json(self, work: Writer, documents: list[Document], wanted: str | None) -> bytes:
        """Return what is said of new documents: all that a client sees of them, or their ids."""
        if self.declaration.has_schema:
            return b"" if wanted == MINIMAL else work.dump_json(documents)
        if wanted == REPRESENTATION:
            return work.dump_json([with_id(document) for document in documents])
        return work.json([{"_id": document["_id"]} for document in documents])[1:-1]

    def on_patch(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Change every document that the filter matches."""
        work, query = req.env[PREPARED]
        updated = work.update_many(query, self._read_update(req))
        self._answer(resp, self._dialect.updated(updated.matched, updated.modified))

    on_put = on_patch

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Remove every document that the filter matches."""
        work, query = req.env[PREPARED]
        count = work.delete_many(query)
        self._answer(resp, self._dialect.deleted(count))

    # ------------------------------------------------------------------------ one document

    def on_get_item(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Fetch one document."""
        work, query = req.env[PREPARED]
        document = work.fetch(self._identity(req, id), query)
        shown = work.dump_json([document])
        if not shown:
            raise not_found()
        self._say_how_to_keep(resp)
        answer_tagged(req, resp, shown, falcon.MEDIA_JSON)

    on_head_item = on_get_item

    def on_patch_item(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Change fields of one document."""
        self._update(req, resp, id)

    def _update(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        preconditions = self._preconditions(req)
        work, _ = req.env[PREPARED]
        identity, wanted = self._identity(req, id), preference(req)
        kind = media_type(req)
        if kind in patches.MEDIA_TYPES and req.method == "PATCH":
            body = self._without_plain_id(self._read(req, ACCEPT_PATCH), identity)
            shown_as = _plain if self.plain_json else None
            given = patches.read_patch(kind, body, self.limits, shown_as)
            document = conditional.patch(
                work,
                identity,
                given,
                preconditions,
                limits=self.limits,
                returning=wanted == REPRESENTATION,
            )
        else:
            body = self._read_update(req, ACCEPT_PATCH if req.method == "PATCH" else JSON)
            body = self._without_plain_id(body, identity)
            document = conditional.update(
                work, identity, body, preconditions, returning=wanted == REPRESENTATION
            )
        shown = b"" if document is None or wanted == MINIMAL else work.dump_json([document])
        # NOTE: RFC 9110, section 9.3.4: to a PUT, a tag would be that of what was sent.
        if req.method == "PATCH":
            self._tag(resp, shown)
        self._answer_written(resp, shown)
        if shown or wanted == MINIMAL:
            apply_preference(resp, wanted)

    def on_put_item(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Replace a document; without a schema, put one where none was as well."""
        if self.declaration.has_schema or methods.Replace not in self.methods:
            self._update(req, resp, id)
            return
        preconditions = self._preconditions(req)
        identity, wanted = self._identity(req, id), preference(req)
        work, _ = req.env[PREPARED]
        body = self._without_plain_id(self._read(req), identity)
        is_new = conditional.put(work, identity, body, preconditions)
        shown = b""
        if wanted == REPRESENTATION:
            with suppress(NotFound):
                shown = work.dump_json([work.fetch(identity, EVERYTHING)])
        elif is_new:
            shown = work.json({"_id": identity})
        if is_new:
            self._answer_created(req, resp, identity)
        self._answer_written(resp, shown)
        if shown or wanted == MINIMAL:
            apply_preference(resp, wanted)

    def on_delete_item(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Remove one document."""
        preconditions = self._preconditions(req)
        work, _ = req.env[PREPARED]
        conditional.delete(work, self._identity(req, id), preconditions)
        resp.status = HTTP_204

    def on_options_item(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Tell which methods are served, and which bodies a change may have (RFC 5789)."""
        resp.set_header("Allow", ", ".join([*self.allowed("_item"), "OPTIONS"]))
        if "PATCH" in self.item_methods:
            resp.set_header("Accept-Patch", ACCEPT_PATCH)

    # ---------------------------------------------------------------------------- plumbing

    def _identity(self, req: falcon.Request, text: str) -> Any:
        # NOTE: Falcon reads bytes that aren't UTF-8 as U+FFFD, which would name another id.
        if "\ufffd" in text and not _is_utf8(req.env["PATH_INFO"]):
            raise BadRequest("id.invalid", "The path is not UTF-8.", parameter="id")
        try:
            return self.declaration.convert_id(text)
        except ValueError as error:
            raise not_found() from error

    @property
    def _dialect(self) -> Dialect:
        assert self.dialect is not None
        return self.dialect

    @functools.cached_property
    def depends_on_caller(self) -> bool:
        """Whether callers may see different things at one address, or some of them nothing."""
        # NOTE: what is shown may have documents of other resources in it.
        shown: list[Any] = [self, *self.declaration.known]
        return (
            bool(self.authentication_methods)
            and not self.policy.is_public(methods.Fetch, "GET", self.public_methods)
        ) or any(
            "has_read_permission" in one.overridden
            or (one is not self and one.compiled_policy().is_personal)
            for one in shown
        )

    def _say_how_to_keep(self, resp: falcon.Response) -> None:
        """Say in an answer how caches may keep it (RFC 9111), and on what it depends."""
        if self.resource.cache_control is not None:
            resp.set_header("Cache-Control", self.resource.cache_control)
        if self.depends_on_caller:
            resp.append_header("Vary", "Authorization, X-API-Key")

    def _preconditions(self, req: falcon.Request) -> Preconditions | None:
        """Return what has to hold for a write of one document.

        Raises:
            PreconditionRequired: There is nothing, and there must be.
        """
        given = Preconditions.of(req.env)
        if self.resource.require_if_match:
            is_new = req.method == "PUT" and given is not None and given.asks_for_none
            if given is None or (given.if_match is None and not is_new):
                new = " For a new one, say If-None-Match: *." if req.method == "PUT" else ""
                raise PreconditionRequired(
                    "precondition.required",
                    f"Say which version of the document is meant: If-Match with its ETag.{new}",
                )
        return given

    def _read(
        self,
        req: falcon.Request,
        accepted: str = JSON,
        parse: Callable[[bytes, int], Any] = bson_json.parse,
    ) -> Any:
        limits = self.limits
        return read_json(
            req,
            limits.max_body_bytes,
            limits.max_body_depth,
            accepted,
            parse,
            limits.client_timeout_ms,
        )

    def _without_plain_id(self, body: Any, identity: Any) -> Any:
        """Take the ``_id`` of the address out of a body, where it stands as plain JSON shows it."""
        if not self.plain_json or type(body) is not dict or type(body.get("_id")) is not str:
            return body
        shown = orjson.loads(plain_json.dumps(identity))
        return {k: v for k, v in body.items() if k != "_id"} if body["_id"] == shown else body

    def _read_update(self, req: falcon.Request, accepted: str = JSON) -> Any:
        """Read a body that names the fields which change, alone or below operators."""
        body = self._read(req, accepted)
        most, count = self.limits.max_update_fields, 0
        for key, one in body.items() if type(body) is dict else ():
            count += len(one) if key[:1] == "$" and type(one) is dict else 1
        if count > most:
            raise BodyError("body.too_complex", f"An update may name {most} fields at the most.")
        return body

    def _address(self, req: falcon.Request) -> str:
        # PERF: mostly the application stands at the root.
        root = req.root_path.rstrip("/")
        return quote(root) + self._quoted_url if root else self._quoted_url

    def _answer_created(self, req: falcon.Request, resp: falcon.Response, identity: Any) -> None:
        resp.status = HTTP_201
        segment = self.declaration.format_id(identity)
        if segment is not None:
            resp.set_header("Location", f"{self._address(req)}/{segment}")

    def _tag(self, resp: falcon.Response, shown: bytes) -> None:
        """Give the answer to a write the tag that a ``GET`` has next."""
        if shown and not self.declaration.is_shown_by_hooks:
            resp.set_header("ETag", tag_of(shown))

    def _answer_written(self, resp: falcon.Response, shown: bytes) -> None:
        # NOTE: a hook may leave a document out that can't be shown.
        if shown:
            resp.content_type = falcon.MEDIA_JSON
            resp.data = shown
        elif resp.status_code == 200:
            resp.status = HTTP_204

    def _answer(self, resp: falcon.Response, result: dict[str, Any]) -> None:
        resp.content_type = falcon.MEDIA_JSON
        resp.data = bson_json.dumps(result)


def _plain(value: Any) -> Any:
    """Return plain JSON for Extended JSON."""
    # NOTE: what is decoded is changed in place.
    return orjson.loads(plain_json.dumps(bson_json.decode(deepcopy(value))))


def _joined(
    opening: bytes, closing: bytes, documents: DocumentStream, work: Writer
) -> Iterator[bytes]:
    """Yield a list in pieces. An exception in the middle leaves it without its end."""
    separator = opening
    try:
        for batch in documents.batches():
            # NOTE: of a batch, all documents may be left out.
            if (dumped := work.dump_json(batch)) or separator is opening:
                yield separator + dumped
                separator = b"," if dumped else b""
    except Exception as error:
        log_failure(work.resource.req, error)
        raise
    yield closing


#: What a view class may be meant to say, where it says something near it.
_KNOWN = (
    *("resource", "methods", "authentication_methods", "public_methods", "dialect", "limits"),
    "plain_json",
)


def _check_view(view: type[ResourceView]) -> None:
    problems = []
    if not isinstance(view.methods, (list, tuple)):
        raise ConfigurationError(f"{view.__name__}.methods: a list is expected.")
    for method in view.methods:
        if method not in methods.ALL:
            problems.append(f"{view.__name__}.methods: {method!r} is none of falcorest.methods.")
    for name, value in vars(view).items():
        near = difflib.get_close_matches(name, (*_KNOWN, *PERMISSIONS), 1, 0.8)
        # APPSEC: a view whose authentication_methods are misspelt would let everybody in.
        if near and near[0] != name:
            problems.append(f"{view.__name__}.{name}: is {near[0]} meant?")
        if name == "authentication_methods" and not isinstance(value, (list, tuple, type(None))):
            problems.append(f"{view.__name__}.{name}: a list is expected.")
        if name in Limits.__dataclass_fields__:
            problems.append(f"{view.__name__}.{name}: say limits = Limits({name}={value!r}).")
        if name == "limits" and not isinstance(value, Limits):
            problems.append(f"{view.__name__}.{name}: falcorest.limits.Limits is expected.")
    if problems:
        raise ConfigurationError(*problems)


def _is_utf8(path: str) -> bool:
    try:
        path.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return False
    return True
