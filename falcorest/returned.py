"""Returned: what a client sends back as it was read, though it can't be written.

Ids, computed fields and other fields that are only dumped may stand in the body of a change, as
long as they are what was read; at the top and in embedded documents. References that the caller may
not see are shown as null or left out of lists; sent back so, they stay as they are stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import marshmallow
import orjson
from marshmallow import fields as ma

from falcorest.bodies import located, require_object
from falcorest.declaration import Declaration
from falcorest.naming import EMBEDDED, REFERENCE, Relation
from falcorest.protection import forbidden, pair
from falcorest.query import Document
from falcorest.related import stored_value
from falcorest.schema import leaf_of

#: What says how a document, or one that is embedded without a resource, is read and written.
Shape: TypeAlias = Declaration | marshmallow.Schema


def _key(name: str, field: ma.Field[Any]) -> str:
    return name if field.data_key is None else field.data_key


def _read_only(shape: Shape) -> frozenset[str]:
    if isinstance(shape, Declaration):
        return shape.read_only
    loaded = {_key(name, field) for name, field in shape.load_fields.items()}
    return frozenset({_key(name, field) for name, field in shape.dump_fields.items()} - loaded)


def _relation(shape: Shape, api: str) -> Relation | None:
    if isinstance(shape, Declaration):
        return shape.relations.get(shape.by_api.get(api, api))
    return None


def _inside(shape: Shape, api: str) -> tuple[Shape, str] | None:
    """Return the shape of what is embedded under an API name, and its stored name."""
    relation = _relation(shape, api)
    if relation is not None and isinstance(shape, Declaration):
        if relation.kind != EMBEDDED:
            return None
        return shape.of(relation.resource), relation.stored
    if isinstance(shape, Declaration):
        nested = shape.embedding.get(api)
        return None if nested is None else (nested.schema, shape.stored[shape.by_api[api]])
    for name, field in shape.load_fields.items():
        leaf = leaf_of(field)
        if _key(name, field) == api and isinstance(leaf, ma.Nested):
            return leaf.schema, field.attribute or name
    return None


def holds_read_only(shape: Shape, body: Any) -> bool:
    """Tell whether a body holds something that is judged by what was read."""
    if type(body) is not dict:
        return False
    # NOTE: of several kinds of embedded documents, it is the stored one that tells which.
    if isinstance(shape, Declaration):
        if shape.children:
            return True
        # PERF: mostly there is nothing to look at.
        if shape.holding.isdisjoint(body):
            return False
    return not _read_only(shape).isdisjoint(body) or any(
        _is_shown(_relation(shape, api), value)
        or any(holds_read_only(inner, item) for inner, item in _embedded(shape, api, value))
        for api, value in body.items()
    )


def _embedded(shape: Shape, api: str, value: Any) -> Iterator[tuple[Shape, Any]]:
    # PERF: what is neither an object nor a list embeds nothing.
    if type(value) is dict or type(value) is list:
        inside = _inside(shape, api)
        if inside is not None:
            for item in value if type(value) is list else [value]:
                yield inside[0], item


def _is_shown(relation: Relation | None, value: Any) -> bool:
    """Tell whether a reference in a body may stand for what is shown in its place."""
    if relation is None or relation.kind != REFERENCE:
        return False
    if relation.many and isinstance(value, list):
        shown = relation.resource.uri_prefix is not None
        return shown or not value or any(isinstance(item, dict) for item in value)
    return value is None or isinstance(value, dict)


def without_read_only(
    shape: Shape, body: Any, shown: Mapping[str, Any], document: Document
) -> dict[str, Any]:
    """Take what can't be written out of a body.

    Args:
        shape: That of the document.
        body: API names.
        shown: What was read, as JSON.
        document: As it is stored.

    Raises:
        Forbidden: It isn't what was read.
    """
    kept: dict[str, Any] = {}
    read_only = _read_only(shape)
    for api, value in require_object(body).items():
        same = api in shown and shown[api] == value
        if api in read_only:
            if not same:
                raise forbidden(api, "written")
            continue
        kept[api] = value
        relation, inside = _relation(shape, api), _inside(shape, api)
        if inside is not None:
            stored = stored_value(document, inside[1])
            kept[api] = _below(inside[0], value, shown.get(api), stored, api)
        elif same and relation is not None:
            stored = stored_value(document, relation.stored)
            if stored is not None:
                kept[api] = [*map(str, stored)] if isinstance(stored, list) else str(stored)
    return kept


def _below(inner: Shape, value: Any, shown: Any, stored: Any, *place: str) -> Any:
    if isinstance(value, dict) and isinstance(shown, dict) and isinstance(stored, dict):
        key = inner.kind_of(stored) if isinstance(inner, Declaration) else None
        if isinstance(inner, Declaration) and key is not None:
            if value.get(inner.kind_name, key if value == shown else None) != key:
                return value
            # NOTE: the kind isn't shown unless the schema has a field for it.
            value = {inner.kind_name: key, **value}
            inner = inner.of(inner.children[key])
        with located(*place):
            return without_read_only(inner, value, shown, stored)
    if isinstance(value, list) and isinstance(shown, list) and isinstance(stored, list):
        return [
            _below(inner, item, *pair, *place, str(index))
            for index, (item, pair) in enumerate(
                zip(value, paired(value, shown, stored), strict=True)
            )
        ]
    for item in value if isinstance(value, list) else [value]:
        with located(*place):
            require_writable(inner, item)
    return value


def require_writable(shape: Shape, body: Any) -> None:
    """Refuse a new document with something in it that can't be written.

    Args:
        shape: That of the document.
        body: API names.

    Raises:
        Forbidden: It has.
    """
    if type(body) is not dict:
        return
    # PERF: mostly there is nothing to look at.
    if isinstance(shape, Declaration) and (shape.children or shape.holding.isdisjoint(body)):
        return
    read_only = _read_only(shape)
    for api, value in body.items():
        if api in read_only:
            raise forbidden(api, "written")
        # PERF: most values embed nothing.
        if type(value) is dict or type(value) is list:
            for inner, item in _embedded(shape, api, value):
                with located(api):
                    require_writable(inner, item)


def paired(sent: list[Any], shown: list[Any], stored: list[Any]) -> list[tuple[Any, Any]]:
    """Return, for each item of a list that is sent, the one that it was: as shown, and as stored.

    That is the one that it equals; for those that were changed, the one at the same place, unless
    the list has become shorter. For a new one, both are None.
    """
    if len(shown) != len(stored):
        return [(None, None)] * len(sent)
    before = pair([_written(item) for item in sent], [_written(item) for item in shown])
    return [(None, None) if was is None else (shown[was], stored[was]) for was in before]


def _written(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
