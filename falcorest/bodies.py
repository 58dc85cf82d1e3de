"""Bodies: how what a client sends becomes documents and updates, with a schema or without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import marshmallow

from falcorest import bson_json
from falcorest.declaration import Declaration
from falcorest.errors import BodyError, Forbidden
from falcorest.query import Document
from falcorest.schema import name_errors, to_bson
from falcorest.updates import Update, is_update, update_from_fields, update_from_operators

# ------------------------------------------------------------------------------- with a schema


def load(declaration: Declaration, body: Any, *, partial: bool, changing: bool = True) -> Document:
    """Turn a parsed body into what is stored, by the schema of a resource.

    Args:
        declaration: Whose schema it is.
        body: API names.
        partial: Whether it may lack required fields. What is nested in it has to be whole,
            because it replaces what is stored.
        changing: Whether it changes a document.

    Returns:
        Stored names; for a change, dotted paths for fields that are stored in a path.

    Raises:
        marshmallow.ValidationError: It doesn't fit the schema.
        BodyError: It is no object, or has a key that may not be stored.
    """
    plan = declaration.partial_load_plan if partial else declaration.load_plan
    data, is_stored = plan.load(require_object(body))
    if not is_stored:
        data = _stored(declaration.load_schema, data)
    return _with_paths(declaration, data) if changing and declaration.paths else data


def _stored(schema: Any, loaded: Any) -> Document:
    if not isinstance(loaded, dict):
        raise TypeError(f"{type(schema).__name__}.load() gives no dict, but {type(loaded)}")
    try:
        data: Document = to_bson(loaded)
    except marshmallow.ValidationError as error:
        raise marshmallow.ValidationError(name_errors(schema, error.messages)) from error
    except BodyError as error:
        errors = name_errors(schema, error.field_errors or [error.detail])
        raise _refusal((), errors, error.code) from error
    return data


def _with_paths(declaration: Declaration, data: Document) -> Document:
    """Take the values of fields that are stored in a path out of the objects around them."""
    for path in declaration.paths:
        around: Any = data
        *parents, name = path.split(".")
        for parent in parents:
            around = around.get(parent) if type(around) is dict else None
        if type(around) is dict and name in around:
            data[path] = around.pop(name)
    roots = {path.partition(".")[0] for path in declaration.paths}
    return {name: value for name, value in data.items() if name not in roots or value != {}}


def change(data: Mapping[str, Any], absent: Iterable[str] = ()) -> Update:
    """Return the update that sets some fields and takes others away."""
    update: Update = {"$set": dict(data)} if data else {}
    unset = dict.fromkeys(absent, "")
    return {**update, "$unset": unset} if unset else update


def located(*place: str, api: Mapping[str, str] | None = None, body: Any = None) -> Located:
    """Turn what a schema refuses into an answer to the client, with its place in the body.

    Args:
        *place: Where in the body it is refused.
        api: API names by schema names, since an author's validators use those.
        body: What the client sent; the names in it are its own.
    """
    return Located(place, api, body)


class Located:
    """A context, see :func:`located`."""

    # PERF: there is one for each document of a body; one of contextlib's costs several times this.
    __slots__ = ("_api", "_body", "_place")

    def __init__(self, place: tuple[str, ...], api: Mapping[str, str] | None, body: Any) -> None:
        self._place = place
        self._api = api
        self._body = body

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, marshmallow.ValidationError):
            raise _refusal(self._place, self._named(error), "body.invalid") from error
        if isinstance(error, BodyError) and self._place:
            messages = error.field_errors or {"_schema": [error.detail]}
            raise _refusal(self._place, messages, error.code) from error
        if isinstance(error, Forbidden):
            for part in reversed(self._place if error.field_errors else ()):
                error.field_errors = {part: error.field_errors}

    def _named(self, error: marshmallow.ValidationError) -> Any:
        # NOTE: marshmallow has no annotations there.
        messages: Any = error.normalized_messages()  # type: ignore[no-untyped-call]
        # PERF: it is known where it was raised, and in a circle, all of the request would wait
        # for the garbage collector.
        error.__traceback__ = None
        api, body = self._api, self._body
        if api and isinstance(messages, dict):
            taken = {*api.values(), *(body if isinstance(body, dict) else ())}
            messages = {
                name if name in taken else api.get(name, name): one
                for name, one in messages.items()
            }
        return messages


def _refusal(place: tuple[str, ...], messages: Any, code: str) -> BodyError:
    errors = _with_text_keys(messages)
    for part in reversed(place):
        errors = {part: errors}
    path, message = _first(errors)
    where = ".".join(part for part in path if part != "_schema")
    return BodyError(
        code,
        f"The body doesn't fit: {where}: {message}"
        if where
        else f"The body doesn't fit: {message}",
        field_errors=errors,
    )


def _with_text_keys(messages: Any) -> Any:
    if isinstance(messages, Mapping):
        return {str(key): _with_text_keys(value) for key, value in messages.items()}
    if isinstance(messages, (list, tuple)):
        return [_with_text_keys(message) for message in messages]
    return messages if isinstance(messages, str) else str(messages)


def _first(errors: Any) -> tuple[list[str], str]:
    path = []
    while isinstance(errors, (dict, list)) and errors:
        if isinstance(errors, dict):
            key = next(iter(errors))
            path.append(key)
            errors = errors[key]
        else:
            errors = errors[0]
    return path, str(errors)


def require_object(body: Any) -> dict[str, Any]:
    """Return a body that is an object.

    Raises:
        BodyError: It is something else.
    """
    if type(body) is not dict:
        raise BodyError("body.wrong_type", "An object is expected.")
    return body


# ---------------------------------------------------------------------------- without a schema


def load_document(body: Any) -> Document:
    """Turn a parsed body into a document to store, as it stands.

    Raises:
        BodyError: It is no object, or not what may be stored.
    """
    return require_object(bson_json.decode(body))


def load_replacement(body: Any, identity: Any) -> Document:
    """Turn a parsed body into the document that is to stand at an ``_id``.

    Raises:
        BodyError: It isn't one, or it has another ``_id``.
    """
    document = load_document(body)
    if "_id" in document:
        require_same_id(document["_id"], identity)
    return document


def load_update(body: Any, identity: Any) -> Update:
    """Turn a parsed body into the update of one document: fields to set, or operators.

    Raises:
        BodyError: It is neither, or it has another ``_id``.
    """
    fields = require_object(body)
    if is_update(fields):
        return update_from_operators(fields)
    if "_id" in fields:
        require_same_id(bson_json.decode(fields["_id"]), identity)
        fields = {path: value for path, value in fields.items() if path != "_id"}
    return update_from_fields(fields)


def load_bulk_update(body: Any) -> Update:
    """Turn a parsed body into the update of many documents: operators.

    Raises:
        BodyError: It is something else.
    """
    fields = require_object(body)
    if not is_update(fields):
        raise BodyError(
            "body.invalid_update",
            'A bulk update takes update operators, such as {"$set": {"field": value}}.',
        )
    return update_from_operators(fields)


def require_same_id(given: Any, identity: Any, name: str = "_id") -> None:
    """Refuse an ``_id`` in a body that isn't that of the address.

    Raises:
        BodyError: It is another one; 1 and true aren't the same, 1 and 1.0 are.
    """
    if isinstance(given, bool) or isinstance(identity, bool):
        same = given is identity
    else:
        same = bool(given == identity)
    if not same:
        raise BodyError(
            "body.invalid_update",
            f"The {name} in the body is not that of the address; it can't be changed.",
            field_errors={name: ["It is not that of the address."]},
        )
