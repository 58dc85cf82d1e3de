"""Returned: what a client sends back as it was read, though it can't be written.

Ids, computed fields and other fields that are only dumped may stand in the body of a change, as
long as they are what was read; at the top and in embedded documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from falcorest.bodies import located, require_object
from falcorest.declaration import Declaration
from falcorest.errors import BodyError
from falcorest.naming import EMBEDDED


def holds_read_only(declaration: Declaration, body: Any) -> bool:
    """Tell whether a body holds something that can't be written."""
    if type(body) is not dict:
        return False
    return not declaration.read_only.isdisjoint(body) or any(
        holds_read_only(related, item) for related, item in _embedded(declaration, body)
    )


def _embedded(
    declaration: Declaration, body: Mapping[str, Any]
) -> Iterator[tuple[Declaration, Any]]:
    for relation in declaration.relations.values():
        if relation.kind == EMBEDDED and relation.api in body:
            value = body[relation.api]
            for item in value if isinstance(value, list) else [value]:
                yield declaration.of(relation.resource), item


def without_read_only(
    declaration: Declaration, body: Any, shown: Mapping[str, Any]
) -> dict[str, Any]:
    """Take what can't be written out of a body.

    Args:
        declaration: That of the document.
        body: API names.
        shown: What was read, as JSON.

    Raises:
        BodyError: It isn't what was read.
    """
    kept: dict[str, Any] = {}
    for api, value in require_object(body).items():
        if api not in declaration.read_only:
            relation = declaration.relations.get(declaration.by_api.get(api, api))
            if relation is not None and relation.kind == EMBEDDED:
                related = declaration.of(relation.resource)
                value = _without_read_only_below(related, value, shown.get(api), api)
            kept[api] = value
        elif api not in shown or shown[api] != value:
            raise BodyError(
                "body.invalid",
                f"{api} can't be written.",
                field_errors={api: ["It can't be written."]},
            )
    return kept


def _without_read_only_below(related: Declaration, value: Any, shown: Any, *place: str) -> Any:
    if isinstance(value, dict) and isinstance(shown, dict):
        with located(*place):
            return without_read_only(related, value, shown)
    if isinstance(value, list) and isinstance(shown, list):
        below = [*shown, *([None] * len(value))]
        return [
            _without_read_only_below(related, item, below[index], *place, str(index))
            for index, item in enumerate(value)
        ]
    return value
