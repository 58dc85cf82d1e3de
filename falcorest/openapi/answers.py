"""Answers: the statuses, headers and bodies of what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from falcon import MEDIA_JSON

from falcorest.errors import CODES, PROBLEM_JSON
from falcorest.imports import LISTED
from falcorest.openapi.components import Components, Schema, title_of


@dataclass(frozen=True)
class Traits:
    """What an operation does, as far as it decides which errors may come back.

    Attributes:
        filtered: Whether it takes a query, or one of its parts.
        item: Whether it is about one document.
        body: Whether it takes a body.
        writes: Whether it stores or removes something.
        bulk: Whether it writes to whatever a filter matches.
        lists: Whether it is for many documents.
        imports: Whether its body may be documents line by line.
        patches: Whether its body may be a patch.
        matched: Whether it has to name a version.
        keyed: Whether it may be sent again under a key.
        puts: Whether it may store a document where none was.
        shows_written: Whether it may be answered with what is stored.
        stored: Whether it is about documents.
        login: Whether it asks for a caller.
        password: Whether a password may be checked.
    """

    filtered: bool = False
    item: bool = False
    body: bool = False
    writes: bool = False
    bulk: bool = False
    lists: bool = False
    imports: bool = False
    patches: bool = False
    matched: bool = False
    keyed: bool = False
    puts: bool = False
    shows_written: bool = False
    stored: bool = False
    login: bool = False
    password: bool = False


def _always(traits: Traits) -> bool:
    return True


def _never(traits: Traits) -> bool:
    return False


#: Which operations may be answered with a code: by the code, or by the part before the dot.
APPLIES: dict[str, Callable[[Traits], bool]] = {
    "query": lambda traits: traits.filtered,
    "query.unknown_parameter": lambda traits: traits.stored,
    "query.invalid_cursor": lambda traits: traits.lists,
    "query.invalid_count": lambda traits: traits.lists,
    "query.timeout": _always,
    "id": lambda traits: traits.item,
    "body": lambda traits: traits.body,
    "body.invalid_patch": lambda traits: traits.patches,
    "patch": lambda traits: traits.patches,
    "import": lambda traits: traits.imports,
    "precondition": lambda traits: traits.stored and (traits.item or traits.writes),
    "precondition.required": lambda traits: traits.matched,
    "idempotency": lambda traits: traits.keyed,
    "auth": lambda traits: traits.login,
    "auth.too_many_attempts": lambda traits: traits.password,
    "auth.busy": lambda traits: traits.password,
    "bulk": lambda traits: traits.bulk,
    "permission": lambda traits: traits.stored,
    "policy": lambda traits: traits.filtered or traits.writes,
    "policy.row": lambda traits: traits.writes and not (traits.bulk and not traits.body),
    "route": lambda traits: traits.item,
    "document": lambda traits: traits.stored,
    "document.not_found": lambda traits: traits.item,
    "document.duplicate": lambda traits: traits.writes and traits.body,
    # NOTE: an operation that is described is served.
    "method": _never,
    "accept": lambda traits: traits.stored,
    "write": lambda traits: traits.writes,
    "server": _always,
    "http": _never,
    "database": _always,
}

#: The headers of an error, by its status: whether it always has them, and what for.
_HEADERS: dict[int, dict[str, tuple[bool, str]]] = {
    401: {"WWW-Authenticate": (True, "How callers may be known (RFC 9110).")},
    406: {"Vary": (False, "The headers of requests that it depends on.")},
    409: {"Retry-After": (False, "How long to wait, in seconds.")},
    415: {
        "Accept": (False, "The media types that are read."),
        "Accept-Patch": (False, "The media types that are read (RFC 5789)."),
        "Accept-Encoding": (False, "The coding that is read."),
    },
    429: {"Retry-After": (True, "How long to wait, in seconds.")},
    503: {"Retry-After": (False, "How long to wait, in seconds.")},
}


def may_come(code: str, traits: Traits) -> bool:
    """Tell whether an operation may be answered with a code."""
    # NOTE: a test sees to it that every code has a rule.
    return APPLIES.get(code, APPLIES.get(code.partition(".")[0], _always))(traits)


def errors(components: Components, traits: Traits, headers: Schema) -> dict[str, Schema]:
    """Return the errors with which an operation may be answered, by status.

    Args:
        components: Where they are put.
        traits: What the operation does.
        headers: Those of every answer.
    """
    return of_codes(components, [code for code in CODES if may_come(code, traits)], headers)


def of_codes(components: Components, codes: Iterable[str], headers: Schema) -> dict[str, Schema]:
    """Return the errors of some codes, by status; see :func:`errors`."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(CODES[code][0], []).append(code)
    return {
        str(status): _error(components, status, some, headers)
        for status, some in sorted(by_status.items())
    }


def _error(components: Components, status: int, codes: list[str], headers: Schema) -> Schema:
    phrase = HTTPStatus(status).phrase
    meanings = "\n".join(f"* `{code}`: {CODES[code][1]}" for code in codes)
    own = {
        name: header(text, {"type": "string"}, required=required)
        for name, (required, text) in _HEADERS.get(status, {}).items()
    }
    schema = {
        "allOf": [problem(components)],
        "properties": {"status": {"const": status}, "code": {"enum": codes}},
    }
    response: Schema = {
        "description": f"{phrase}\n\n{meanings}",
        "content": {PROBLEM_JSON: {"schema": schema}},
    }
    if headers or own:
        response["headers"] = {**headers, **own}
    return components.response(title_of(phrase), response)


def problem(components: Components) -> Schema:
    """Return a reference to the schema of problems."""

    def make() -> Schema:
        text = {"type": "string"}
        return {
            "type": "object",
            "description": "What went wrong (RFC 9457).",
            "required": ["type", "title", "status", "detail", "code"],
            "properties": {
                "type": {"type": "string", "format": "uri-reference"},
                "title": text,
                "status": {"type": "integer"},
                "detail": {**text, "description": "What is wrong, for people."},
                "code": {**text, "description": "What is wrong, for programs; it stays the same."},
                "parameter": {**text, "description": "The parameter at fault."},
                "field-errors": {
                    "type": "object",
                    "description": "What is wrong, by field; nested as the body is, with the "
                    "indexes of lists as keys.",
                },
                **_MEMBERS,
            },
        }

    return components.schema("Problem", make)


_NUMBER: Schema = {"type": "integer", "minimum": 0}

_INDEXES: Schema = {"type": "array", "items": _NUMBER}

#: What is said of an import.
_IMPORTED: Schema = {
    "inserted": {**_NUMBER, "description": "How many documents of an import were stored."},
    "refused": {**_NUMBER, "description": "How many lines of an import were refused."},
    "errors": {
        "type": "array",
        "description": "Why lines of an import were refused, each as a problem says it.",
        "maxItems": LISTED,
        "items": {
            "type": "object",
            "required": ["line", "status", "code", "detail"],
            "properties": {"line": {"type": "integer", "minimum": 1}},
        },
    },
}

#: What problems of one kind or another have beside the rest.
_MEMBERS: Schema = {
    "since": {
        "type": "string",
        "format": "date-time",
        "description": "Since when the database can't be reached.",
    },
    **_IMPORTED,
    "inserted": {
        "description": "What was stored: of an import how many, of a list which, by index.",
        "anyOf": [_NUMBER, _INDEXES],
    },
    "not_inserted": {**_INDEXES, "description": "Which documents of a list weren't, by index."},
    "done": {**_NUMBER, "description": "How many lines of an import were dealt with."},
    "changed": {**_NUMBER, "description": "How many documents a bulk write changed."},
    "not_changed": {**_NUMBER, "description": "How many it didn't."},
}


def imported(components: Components) -> Schema:
    """Return a reference to the schema of what becomes of an import."""
    return components.schema(
        "Import",
        lambda: {"type": "object", "required": list(_IMPORTED), "properties": _IMPORTED},
    )


def header(text: str, schema: Schema, *, required: bool = False) -> Schema:
    """Return a header of an answer."""
    return {"description": text, "schema": schema, "required": required}


def success(
    text: str, schema: Schema | None, headers: Mapping[str, Schema], **others: Schema
) -> Schema:
    """Return a response that isn't an error.

    Args:
        text: What it says.
        schema: Of its body; None if it has none.
        headers: Its headers.
        **others: Schemas of its body in other media types than JSON.
    """
    response: Schema = {"description": text}
    if headers:
        response["headers"] = dict(headers)
    if schema is not None:
        response["content"] = content({MEDIA_JSON: schema, **others})
    return response


def content(schemas: Mapping[str, Schema]) -> Schema:
    """Return what a body may be, by media type."""
    return {media_type: {"schema": schema} for media_type, schema in schemas.items()}


def like(value: Any, items: Schema) -> Schema:
    """Return the schema of what is wrapped as a value is.

    Args:
        value: An answer of a dialect in which nothing was found.
        items: The schema of what stands in its lists.
    """
    if isinstance(value, list):
        return {"type": "array", "items": items}
    if isinstance(value, dict):
        properties = {name: like(one, items) for name, one in value.items()}
        return {"type": "object", "required": list(value), "properties": properties}
    if isinstance(value, bool):
        return {"type": "boolean"}
    return {"type": "integer", "minimum": 0}


def one_of(schemas: Iterable[Schema]) -> Schema:
    """Return a schema for what follows one of several."""
    several = list(schemas)
    return several[0] if len(several) == 1 else {"oneOf": several}
