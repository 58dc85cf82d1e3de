"""Operations: the requests to one view, described."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from falcon import MEDIA_JSON

from falcorest import methods
from falcorest.fields import ObjectId
from falcorest.methods import Method
from falcorest.openapi.access import Access, Request
from falcorest.openapi.answers import Traits, errors, header, like, one_of, success
from falcorest.openapi.collections import Documents
from falcorest.openapi.components import Components, Schema, title_of
from falcorest.openapi.fields import OBJECT_ID, Fields
from falcorest.openapi.parameters import Parameters
from falcorest.openapi.shapes import Shapes, Way
from falcorest.openapi.updates import fields as fields_to_set
from falcorest.openapi.updates import operators as update_operators
from falcorest.views import ResourceView
from falcorest.writing import Writer

_TEXT: Schema = {"type": "string"}
_REFERENCE: Schema = {"type": "string", "format": "uri-reference"}

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
        body = _BODIES[method](self) if method in _BODIES else None
        operation: dict[str, Any] = {
            "operationId": self._operation_id(request),
            "tags": [self._view.name],
            "summary": summary,
            "parameters": self._parameters.of(method),
            "responses": {
                **self._successes(method),
                **errors(self._components, self._traits(method, body), self._headers),
            },
        }
        if method.bulk_write:
            most = self._view.policy.max_affected
            operation["description"] = (
                f"It needs a filter, and touches {most} documents at the most."
            )
        if body is not None:
            operation["requestBody"] = {
                "required": True,
                "content": {MEDIA_JSON: {"schema": body}},
            }
        if self._security:
            operation["security"] = [*([{}] if request.public else []), *self._security]
        return operation

    def _traits(self, method: type[Method], body: Schema | None) -> Traits:
        authentication = self._view.authentication_methods or ()
        return Traits(
            filtered=method.bulk_write or not method.writes,
            item=bool(method.on_item),
            body=body is not None,
            writes=method.writes,
            bulk=method.bulk_write,
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
        return {"anyOf": [fields_to_set(self._components), update_operators(self._components)]}

    def _bulk_update_body(self) -> Schema:
        if self._documents is None:
            return self._shapes.sent(self._view.resource, Way.MANY)
        return update_operators(self._components)

    # ---------------------------------------------------------------------------------- answers

    def _shown(self) -> Schema:
        if self._documents is not None:
            return self._documents.shown()
        return self._shapes.shown(self._work)

    def _successes(self, method: type[Method]) -> dict[str, Schema]:
        found = {
            status: success(text, schema, {**self._headers, **headers})
            for status, (text, schema, headers) in _ANSWERS[method](self).items()
        }
        if method is methods.Create and self._access.item:
            found["201"]["links"] = self._links()
        return found

    def _links(self) -> Schema:
        """Return what can be done with a document that is new."""
        # NOTE: without a schema it is an ObjectId, unless the client has chosen another.
        name = "_id/$oid" if self._documents is not None else self._view.declaration.id_name
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
        opening, closing = self._dialect.page(False if self._view.resource.paginate else None, {})
        schema = like(json.loads(opening + closing), self._shown())
        following = header('The next page: `<…>; rel="next"`.', _TEXT)
        headers = {"Link": following} if self._view.resource.paginate else {}
        return {"200": ("The documents.", schema, headers)}

    def _fetch_answer(self) -> _Answers:
        return {"200": ("The document.", self._shown(), {})}

    def _create_answer(self) -> _Answers:
        one = self._shown() if self._documents is None else _id_of_new()
        several = like(json.loads(self._dialect.created(b"")), one)
        ways = {methods.Create: one, methods.BulkCreate: several}
        schema = one_of(ways[method] for method in ways if method in self._view.methods)
        if "oneOf" in schema:
            schema = {"anyOf": schema["oneOf"]}
        location = header("Where a single new document is.", _REFERENCE)
        return {"201": ("What is stored now.", schema, {"Location": location})}

    def _update_answer(self) -> _Answers:
        if self._documents is not None:
            return {"204": ("It is changed.", None, {})}
        return {"200": ("The document as it is now.", self._shown(), {})}

    def _replace_answer(self) -> _Answers:
        if self._documents is None:
            return self._update_answer()
        location = header("Where the new document is.", _REFERENCE)
        return {
            "201": ("A new document is stored.", _id_of_new(), {"Location": location}),
            "204": ("It is replaced.", None, {}),
        }

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


def _id_of_new() -> Schema:
    return {"type": "object", "required": ["_id"], "properties": {"_id": {}}}


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
