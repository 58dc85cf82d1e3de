"""Stored paths: whether one leads to something that a schema stores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from marshmallow import fields as ma

from falcorest.fields import Binary, Decimal128, ObjectId
from falcorest.naming import EMBEDDED, Names
from falcorest.schema import leaf_of

_COMPUTED = (ma.Method, ma.Function, ma.Constant)
#: Fields whose values have no parts. What is in a field of another class isn't known.
_PLAIN = (
    *(ma.String, ma.Number, ma.Boolean, ma.DateTime, ma.Time, ma.TimeDelta, ma.UUID, ma.Enum),
    *(ObjectId, Decimal128, Binary),
)


def check_indexes(names: Names) -> None:
    """Note the indexes of a resource on something that its schema doesn't store."""
    # NOTE: those that are inherited may be on what only the other class stores.
    if not names.has_schema or "indexes" not in vars(names.resource):
        return
    for place, index in enumerate(names.resource.compiled_indexes()):
        for path in index.paths:
            if not leads_to_field(names, path):
                names.wrong(f"indexes[{place}]", _unknown(names, path))


def _unknown(names: Names, path: str) -> str:
    stored = names.stored.get(names.by_api.get(path, path))
    meant = f" {path!r} is stored as {stored!r}." if stored is not None else ""
    return f"the schema stores nothing as {path!r}.{meant}"


def leads_to_field(names: Names, path: str) -> bool:
    """Tell whether a stored path leads to something that a resource stores, or may."""
    if path == "_id" or path == names.resource.type_field:
        return True
    for kind in (names, *map(names.of, names.children.values())):
        for name, field in kind.fields.items():
            rest = _rest(path, kind.stored[name], field)
            relation = kind.relations.get(name)
            if rest and relation is not None and relation.kind == EMBEDDED:
                if leads_to_field(kind.of(relation.resource), rest):
                    return True
            elif rest is not None and _leads_on(field, rest):
                return True
    return False


def _rest(path: str, stored: str, field: ma.Field[Any]) -> str | None:
    """Return what follows in a path behind a field; None if it doesn't lead there."""
    if isinstance(leaf_of(field), _COMPUTED):
        return None
    # NOTE: a field that is stored inside of an object makes that object.
    if path == stored or stored.startswith(f"{path}."):
        return ""
    if not path.startswith(f"{stored}."):
        return None
    rest = path[len(stored) + 1 :]
    first, _, others = rest.partition(".")
    is_list = isinstance(field, ma.List) or (isinstance(field, ma.Nested) and field.many)
    return others if is_list and first.isdecimal() else rest


def _leads_on(field: ma.Field[Any], rest: str) -> bool:
    leaf = leaf_of(field)
    if not rest:
        return True
    if isinstance(leaf, ma.Nested):
        return _leads_to_one_of(leaf.schema.fields.items(), rest)
    return not isinstance(leaf, _PLAIN)


def _leads_to_one_of(fields: Iterable[tuple[str, ma.Field[Any]]], path: str) -> bool:
    for name, field in fields:
        rest = _rest(path, field.attribute or name, field)
        if rest is not None and _leads_on(field, rest):
            return True
    return False
