"""Operations: the requests to one view, described."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from falcon import MEDIA_JSON

from falcorest import methods
from falcorest.fields import ObjectId
from falcorest.formats import CSV, NDJSON
from falcorest.idempotency import takes_key
from falcorest.methods import Method
from falcorest.openapi.access import Access, Request
from falcorest.openapi.answers import Traits, content, errors, imported, like, one_of, success
from falcorest.openapi.collections import Documents
from falcorest.openapi.components import Components, Schema, title_of
from falcorest.openapi.fields import OBJECT_ID, Fields
from falcorest.openapi.headers import headers, parameters
from falcorest.openapi.parameters import Parameters
from falcorest.openapi.patches import json_patch, merge_patch
from falcorest.openapi.shapes import Shapes, Way
from falcorest.openapi.updates import fields as fields_to_set
from falcorest.openapi.updates import operators as update_operators
from falcorest.patches import JSON_PATCH, MERGE_PATCH
from falcorest.views import ResourceView
from falcorest.writing import Writer

_TEXT: Schema = {"type": "string"}

#: The HTTP methods that are described; HEAD is GET without the body.
_VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")

#: How an operation is called, and what it does, by what is asked for.
NAMES: dict[type[Method], tuple[str, str]] = {
    methods.List: ("list", "List documents"),
    methods.Fetch: ("fetch", "Fetch one document"),
    methods.Create: ("create", "Store a new document"),
    methods.BulkCreate: ("create", "Store several new documents"),
    methods.Update: ("update", "Change fields of one document"),
    methods.Replace: ("replace", "Put a whole document in the place of another"),
    methods.BulkUpdate: ("updateMany", "Change every document that a filter matches"),
    methods.Delete: ("delete", "Remove one document"),
    methods.BulkDelete: ("deleteMany", "Remove every document that a filter matches"),
}


class Operations:
    """Describes the requests to one view.

    Args:
        components: Where schemas and responses are put.
        view: The view.
        title: How the view is called in the names of operations.
        work: Reads for the caller.
        access: What the caller may ask.
        shapes: Those of declared resources.
        documents: That of the documents of a collection without a schema; None with one.
        fields: Converts fields as they are sent.
        security: What operations say of those who log in.
        headers: Those of every answer.
    """

    def __init__(
        self,
        components: Components,
        view: ResourceView,
        title: str,
        work: Writer,
        access: Access,
        *,
        shapes: Shapes,
        documents: Documents | None,
        fields: Fields,
        security: list[dict[str, list[Any]]],
        headers: Schema,
    ) -> None:
        self._plain = view.plain_json
        self._most = view.limits.max_update_fields
        self._components = components
        self._view = view
        self._title = title
        self._work = work
        self._access = access
        self._shapes = shapes
        self._documents = documents
        self._security = security
        self._headers = headers
        known = work.available() if documents is None else documents.fields
        settled = documents is None and "get_fields" in work.resource.overridden
        self._parameters = Parameters(components, fields, view, known, settled=settled)
        self._fields = fields

    def paths(self) -> dict[str, dict[str, Any]]:
        """Return the operations by path and HTTP method."""
        url = quote(self._view.url)
        paths = {
            url: self._described(self._access.collection, item=False),
            f"{url}/{{id}}": self._described(self._access.item, item=True),
        }
        return {path: operations for path, operations in paths.items() if operations}

    def _described(self, requests: Mapping[str, Request], *, item: bool) -> dict[str, Any]:
        taken: set[str] = set()
        described: dict[str, Any] = {}
        for verb in _VERBS:
            if verb not in requests:
                continue
            operation = self._operation(verb, requests[verb])
            # NOTE: PUT and PATCH may ask for the same.
            if operation["operationId"] in taken:
                operation["operationId"] += title_of(verb.lower())
            taken.add(operation["operationId"])
            described[verb.lower()] = operation
        if described and item:
            described["parameters"] = [self._id()]
        return described

    def _operation(self, verb: str, request: Request) -> dict[str, Any]:
        method = request.method
        _, summary = NAMES[method]
        if method is methods.Create and methods.BulkCreate in self._view.methods:
            summary += ", or several"
        bodies = self._bodies(verb, method)
        traits = self._traits(verb, method)
        operation: dict[str, Any] = {
            "operationId": self._operation_id(request),
            "tags": [self._view.name],
            "summary": summary,
            "parameters": [*self._parameters.of(method), *parameters(traits)],
            "responses": {
                **self._successes(method, traits),
                **errors(self._components, traits, self._headers),
            },
        }
        if method.bulk_write:
            most = self._view.policy.max_affected
            operation["description"] = (
                f"It needs a filter, and touches {most} documents at the most."
            )
        if bodies:
            operation["requestBody"] = {"required": True, "content": content(bodies)}
        if self._security:
            operation["security"] = [*([{}] if request.public else []), *self._security]
        return operation

    def _traits(self, verb: str, method: type[Method]) -> Traits:
        authentication = self._view.authentication_methods or ()
        item = bool(method.on_item)
        return Traits(
            filtered=method.bulk_write or not method.writes,
            item=item,
            body=method in _BODIES,
            writes=method.writes,
            bulk=method.bulk_write,
            lists=method is methods.List,
            imports=method in _CREATING and methods.BulkCreate in self._view.methods,
            patches=_takes_patches(verb, method),
            matched=item and method.writes and self._view.resource.require_if_match,
            keyed=takes_key(self._view, f"on_{verb.lower()}{'_item' * item}"),
            puts=verb == "PUT" and method is methods.Replace,
            shows_written=method in _CREATING or method in {methods.Update, methods.Replace},
            stored=True,
            login=True,
            password=any("Basic" in one.challenge for one in authentication),
        )

    def _id(self) -> dict[str, Any]:
        field = self._view.declaration.id_field
        schema = _TEXT if field is None else self._fields.property(field)
        schema = OBJECT_ID if isinstance(field, ObjectId) else schema
        text = "The id of the document."
        if field is None:
            text = (
                "The `_id` of the document: 24 hexadecimal digits mean an ObjectId, a type hint "
                "in front says another type (`[int].5`), and anything else is a text."
            )
        return {"name": "id", "in": "path", "required": True, "description": text, "schema": schema}

    # ----------------------------------------------------------------------------------- bodies

    def _bodies(self, verb: str, method: type[Method]) -> dict[str, Schema]:
        """Return the bodies that are taken, by media type."""
        if method not in _BODIES:
            return {}
        bodies = {MEDIA_JSON: _BODIES[method](self)}
        if method in _CREATING and methods.BulkCreate in self._view.methods:
            lines = _lines(self._new(), "New documents, one a line.")
            bodies[NDJSON] = {**lines, "minItems": 1}
        if _takes_patches(verb, method):
            free, most = self._documents is not None, self._most
            bodies[MERGE_PATCH] = (
                merge_patch(self._components, most)
                if free
                else self._shapes.sent(self._view.resource, Way.MERGE)
            )
            bodies[JSON_PATCH] = json_patch(self._components, most, free=free)
        return bodies

    def _new(self) -> Schema:
        if self._documents is not None:
            return self._documents.sent()
        return self._shapes.sent(self._view.resource, Way.NEW)

    def _create_body(self) -> Schema:
        one = self._new()
        several = {
            "type": "array",
            "items": one,
            "minItems": 1,
            "maxItems": self._view.limits.max_documents,
        }
        ways = {methods.Create: one, methods.BulkCreate: several}
        return one_of(ways[method] for method in ways if method in self._view.methods)

    def _update_body(self) -> Schema:
        if self._documents is None:
            return self._shapes.sent(self._view.resource, Way.CHANGE)
        fields = fields_to_set(self._components, self._most)
        return {"anyOf": [fields, update_operators(self._components, self._most)]}

    def _bulk_update_body(self) -> Schema:
        if self._documents is None:
            return self._shapes.sent(self._view.resource, Way.MANY)
        return update_operators(self._components, self._most)

    # ---------------------------------------------------------------------------------- answers

    def _shown(self) -> Schema:
        if self._documents is not None:
            return self._documents.shown()
        return self._shapes.shown(self._work)

    def _successes(self, method: type[Method], traits: Traits) -> dict[str, Schema]:
        of_all: dict[str, Schema] = dict(self._headers)
        if traits.keyed:
            of_all |= headers("Idempotency-Replayed")
        if traits.shows_written:
            of_all |= headers("Preference-Applied")
        found = {
            status: success(text, schema, {**of_all, **own}, **self._others(method, schema))
            for status, (text, schema, own) in _ANSWERS[method](self).items()
        }
        if traits.imports:
            made = self._components
            found["200"] = success("What became of an import.", imported(made), self._headers)
        if method is methods.Create and self._access.item:
            found["201"]["links"] = self._links()
        return found

    def _others(self, method: type[Method], schema: Schema | None) -> dict[str, Schema]:
        """Return what is answered in other media types than JSON."""
        if method is not methods.List:
            return {}
        return {
            NDJSON: _lines(self._shown(), "The documents, one a line."),
            CSV: {**_TEXT, "description": "A table (RFC 4180) with a line of names above it."},
        }

    def _kept(self) -> dict[str, Schema]:
        """Return the headers that say how what is read may be kept."""
        found: dict[str, Schema] = {}
        if self._view.resource.cache_control is not None:
            found |= headers("Cache-Control", always=True)
        return found | headers("Vary", always=self._view.depends_on_caller)

    def _links(self) -> Schema:
        """Return what can be done with a document that is new."""
        # NOTE: without a schema it is an ObjectId, unless the client has chosen another.
        name = "_id" if self._plain else "_id/$oid"
        if self._documents is None:
            name = self._view.declaration.id_name
        parameters = {"id": f"$response.body#/{name}"}
        names = {verb: self._operation_id(one) for verb, one in self._access.item.items()}
        return {
            name: {"operationId": name, "parameters": parameters}
            for verb, name in names.items()
            if verb in _VERBS
        }

    def _operation_id(self, request: Request) -> str:
        return NAMES[request.method][0] + self._title

    def _list_answer(self) -> _Answers:
        more = False if self._view.resource.paginate else None
        schema = like(_page(self._dialect, more, {}), self._shown())
        if "properties" in schema:
            counted = like(_page(self._dialect, more, {"total_count": 0}), {})["properties"]
            schema["properties"] = {**counted, **schema["properties"]}
        found = self._kept() | headers("Vary", always=True)
        found |= headers("Link", "X-Total-Count", "X-Total-Count-Kind")
        return {"200": ("The documents.", schema, found)}

    def _fetch_answer(self) -> _Answers:
        found = headers("ETag", always=True) | self._kept()
        return {
            "200": ("The document.", self._shown(), found),
            "304": ("It is one that `If-None-Match` names.", None, found),
        }

    def _create_answer(self) -> _Answers:
        one = self._shown() if self._documents is None else self._id_or_shown()
        several = like(json.loads(self._dialect.created(b"")), one)
        ways = {methods.Create: one, methods.BulkCreate: several}
        schema = one_of(ways[method] for method in ways if method in self._view.methods)
        if "oneOf" in schema:
            schema = {"anyOf": schema["oneOf"]}
        text = "What is stored now."
        if self._documents is None:
            text += " With `Prefer: return=minimal`, there is no body."
        return {"201": (text, schema, headers("ETag", "Location"))}

    def _update_answer(self) -> _Answers:
        return {
            "200": ("The document as it is now.", self._shown(), headers("ETag")),
            "204": ("It is changed.", None, {}),
        }

    def _replace_answer(self) -> _Answers:
        found: _Answers = {
            "200": ("The document as it is now.", self._shown(), {}),
            "204": ("It is replaced.", None, {}),
        }
        if self._documents is not None:
            made = self._id_or_shown()
            found["201"] = ("A new document is stored.", made, headers("Location"))
        return found

    def _id_or_shown(self) -> Schema:
        """Return what is said of a new document without a schema."""
        made: Schema = {"type": "object", "required": ["_id"], "properties": {"_id": {}}}
        # APPSEC: who doesn't see documents gets the id, whatever is preferred.
        return {"anyOf": [made, self._shown()]} if self._work.may_read else made

    def _bulk_update_answer(self) -> _Answers:
        return {"200": ("What was changed.", like(self._dialect.updated(0, 0), {}), {})}

    def _delete_answer(self) -> _Answers:
        return {"204": ("It is removed.", None, {})}

    def _bulk_delete_answer(self) -> _Answers:
        return {"200": ("What was removed.", like(self._dialect.deleted(0), {}), {})}

    @property
    def _dialect(self) -> Any:
        return self._view.dialect


_Answers = dict[str, tuple[str, Schema | None, dict[str, Schema]]]


#: What stores new documents.
_CREATING = (methods.Create, methods.BulkCreate)


def _takes_patches(verb: str, method: type[Method]) -> bool:
    return verb == "PATCH" and method is methods.Update


def _page(dialect: Any, more: bool | None, extra: dict[str, Any]) -> Any:
    opening, closing = dialect.page(more, extra)
    return json.loads(opening + closing)


def _lines(one: Schema, text: str) -> Schema:
    """Return the schema of lines of JSON.

    As OpenAPI 3.2 has it, it is that of a list of what stands in them.

    Source: https://spec.openapis.org/oas/v3.2.0.html#sequential-media-types
    """
    return {"type": "array", "items": one, "description": text}


#: The body that is taken, by what is asked for.
_BODIES: dict[type[Method], Callable[[Operations], Schema]] = {
    methods.Create: Operations._create_body,
    methods.BulkCreate: Operations._create_body,
    methods.Update: Operations._update_body,
    methods.Replace: Operations._new,
    methods.BulkUpdate: Operations._bulk_update_body,
}

#: What comes back when all is well, by what is asked for.
_ANSWERS: dict[type[Method], Callable[[Operations], _Answers]] = {
    methods.List: Operations._list_answer,
    methods.Fetch: Operations._fetch_answer,
    methods.Create: Operations._create_answer,
    methods.BulkCreate: Operations._create_answer,
    methods.Update: Operations._update_answer,
    methods.Replace: Operations._replace_answer,
    methods.BulkUpdate: Operations._bulk_update_answer,
    methods.Delete: Operations._delete_answer,
    methods.BulkDelete: Operations._bulk_delete_answer,
}
