"""Returned: what a client sends back as it was read, though it can't be written.

Ids, computed fields and other fields that are only dumped may stand in the body of a change, as
long as they are what was read; at the top and in embedded documents. References that the caller may
not see are shown as null or left out of lists; sent back so, they stay as they are stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from falcorest.bodies import located, require_object
from falcorest.declaration import Declaration
from falcorest.errors import BodyError
from falcorest.naming import EMBEDDED, REFERENCE, Relation
from falcorest.query import Document
from falcorest.related import stored_value


def holds_read_only(declaration: Declaration, body: Any) -> bool:
    """Tell whether a body holds something that is judged by what was read."""
    if type(body) is not dict:
        return False
    # NOTE: of several kinds of embedded documents, it is the stored one that tells which.
    if declaration.children:
        return True
    return (
        not declaration.read_only.isdisjoint(body)
        or any(_is_shown(relation, body) for relation in declaration.relations.values())
        or any(holds_read_only(related, item) for related, item in _embedded(declaration, body))
    )


def _is_shown(relation: Relation, body: Mapping[str, Any]) -> bool:
    """Tell whether a reference in a body may stand for what is shown in its place."""
    if relation.kind != REFERENCE or relation.api not in body:
        return False
    value = body[relation.api]
    if relation.many and isinstance(value, list):
        shown = relation.resource.uri_prefix is not None
        return shown or not value or any(isinstance(item, dict) for item in value)
    return value is None or isinstance(value, dict)


def _embedded(
    declaration: Declaration, body: Mapping[str, Any]
) -> Iterator[tuple[Declaration, Any]]:
    for relation in declaration.relations.values():
        if relation.kind == EMBEDDED and relation.api in body:
            value = body[relation.api]
            for item in value if isinstance(value, list) else [value]:
                yield declaration.of(relation.resource), item


def without_read_only(
    declaration: Declaration, body: Any, shown: Mapping[str, Any], document: Document
) -> dict[str, Any]:
    """Take what can't be written out of a body.

    Args:
        declaration: That of the document.
        body: API names.
        shown: What was read, as JSON.
        document: As it is stored.

    Raises:
        BodyError: It isn't what was read.
    """
    kept: dict[str, Any] = {}
    for api, value in require_object(body).items():
        same = api in shown and shown[api] == value
        if api not in declaration.read_only:
            relation = declaration.relations.get(declaration.by_api.get(api, api))
            if relation is not None:
                stored = stored_value(document, relation.stored)
                if relation.kind == EMBEDDED:
                    related = declaration.of(relation.resource)
                    value = _below(related, value, shown.get(api), stored, api)
                elif same and stored is not None:
                    value = [*map(str, stored)] if isinstance(stored, list) else str(stored)
            kept[api] = value
        elif not same:
            raise BodyError(
                "body.invalid",
                f"{api} can't be written.",
                field_errors={api: ["It can't be written."]},
            )
    return kept


def _below(related: Declaration, value: Any, shown: Any, stored: Any, *place: str) -> Any:
    if isinstance(value, dict) and isinstance(shown, dict) and isinstance(stored, dict):
        key = related.kind_of(stored)
        if key is not None:
            if value.get(related.kind_name, key) != key:
                return value
            # NOTE: the kind isn't shown unless the schema has a field for it.
            value = {related.kind_name: key, **value}
            related = related.of(related.children[key])
        with located(*place):
            return without_read_only(related, value, shown, stored)
    if isinstance(value, list) and isinstance(shown, list) and isinstance(stored, list):
        known = list(zip(shown, stored, strict=False)) if len(shown) == len(stored) else []
        known += [(None, None)] * len(value)
        return [
            _below(related, item, *known[index], *place, str(index))
            for index, item in enumerate(value)
        ]
    return value
