"""Headers: what requests say in them, and what answers do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from falcorest.dialects.base import COUNTS
from falcorest.idempotency import KEY
from falcorest.openapi.answers import Traits
from falcorest.openapi.components import Schema
from falcorest.preferences import MINIMAL, REPRESENTATION

_TEXT: Schema = {"type": "string"}
_TAG = r'"[\u0021\u0023-\u007e]*"'
_RETURN = [f"return={wanted}" for wanted in (MINIMAL, REPRESENTATION)]


@dataclass(frozen=True)
class RequestHeader:
    """A header that some requests take.

    Attributes:
        text: What it is for.
        schema: Of its value.
        taken: Tells which operations take it.
        needed: Tells which of them need it; None: none does.
    """

    text: str
    schema: Schema
    taken: Callable[[Traits], bool]
    needed: Callable[[Traits], bool] | None = None


_TAGS: Schema = {"type": "string", "pattern": rf"^(\*|(W/)?{_TAG}(, *(W/)?{_TAG})*)$"}


#: The headers of requests, by name.
REQUEST: dict[str, RequestHeader] = {
    "If-Match": RequestHeader(
        "Do it only if the document is one of these: the `ETag` of an answer, or `*`.",
        _TAGS,
        lambda traits: traits.item,
        # NOTE: a PUT may say instead that there must be no document yet.
        lambda traits: traits.matched and not traits.puts,
    ),
    "If-None-Match": RequestHeader(
        "Do it only if the document is none of these; `*` is whatever there is.",
        _TAGS,
        lambda traits: traits.item,
    ),
    "Prefer": RequestHeader(
        "What to answer with (RFC 7240). Other preferences don't matter.",
        {**_TEXT, "examples": _RETURN},
        lambda traits: traits.shows_written,
    ),
    "Idempotency-Key": RequestHeader(
        "A key of your own for this request. Sent again under it, the request isn't done again, "
        "and has the answer that it had.",
        {"type": "string", "pattern": KEY},
        lambda traits: traits.keyed,
    ),
}

#: The headers of answers, by name: what they say, and how.
ANSWER: dict[str, tuple[str, Schema]] = {
    "X-Request-ID": ("Under which the log has the request.", _TEXT),
    "ETag": ("Changes whenever the document does, as it is shown.", {**_TEXT, "pattern": _TAG}),
    "Cache-Control": ("How it may be kept (RFC 9111).", _TEXT),
    "Vary": ("The headers of requests that it depends on.", _TEXT),
    "Link": ('Other pages, as `<…>; rel="next"`; there are `next`, `prev` and `first`.', _TEXT),
    "X-Total-Count": (
        "How many documents there are in all, if `_count` asks for it.",
        {"type": "integer", "minimum": 0},
    ),
    "X-Total-Count-Kind": (
        "How they were counted; there may be more than `capped` says.",
        {**_TEXT, "enum": list(COUNTS)},
    ),
    "Preference-Applied": ("The part of `Prefer` that was followed.", {**_TEXT, "enum": _RETURN}),
    "Idempotency-Replayed": (
        "The answer is that of an earlier request under this `Idempotency-Key`.",
        {**_TEXT, "enum": ["true"]},
    ),
    "Location": (
        "Where a single new document is.",
        {"type": "string", "format": "uri-reference"},
    ),
}


def parameters(traits: Traits) -> list[dict[str, Any]]:
    """Return the headers of an operation's requests."""
    return [
        {
            "name": name,
            "in": "header",
            "required": header.needed is not None and header.needed(traits),
            "description": header.text,
            "schema": header.schema,
        }
        for name, header in REQUEST.items()
        if header.taken(traits)
    ]


def headers(*names: str, always: bool = False) -> dict[str, Schema]:
    """Return headers of an answer.

    Args:
        *names: Of :data:`ANSWER`.
        always: Whether the answer always has them.
    """
    return {
        name: {"description": text, "schema": schema, "required": always}
        for name, (text, schema) in ANSWER.items()
        if name in names
    }
