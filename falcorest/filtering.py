"""Filtering: which filters and which ordering a resource declares."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import marshmallow
from marshmallow import fields as ma

from falcorest.dialects.suffix import CONTROLS, DeclaredFilter, Sort
from falcorest.fields import ObjectId, Reference
from falcorest.hints import HINTS
from falcorest.naming import EMBEDDED, Names
from falcorest.operators import Operator
from falcorest.schema import holds_load_only, leaf_of, to_bson


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a path of API names leads to.

    Attributes:
        stored: The stored path.
        field: What is there; of a list, what is in it.
        hidden: Whether it, or something around it, is never shown.
    """

    stored: str
    field: ma.Field[Any]
    hidden: bool


def read_filters(names: Names) -> dict[str, DeclaredFilter]:
    """Return the filters that a resource declares, by the names of their parameters."""
    filters: dict[str, DeclaredFilter] = {}
    for path, operators in names.resource.filters.items():
        found = resolve(names, path) if isinstance(path, str) else None
        if found is None:
            names.wrong("filters", f"there is no field {path!r}.")
        elif found.hidden:
            names.wrong("filters", f"{path!r} is never shown, so no filter may tell it.")
        elif not isinstance(operators, (list, tuple)):
            names.wrong("filters", f"{path!r}: a list of operators is expected.")
        else:
            for given in operators:
                operator = _operator(given)
                if operator is None:
                    names.wrong("filters", f"{path!r}: {given!r} is no operator with an op.")
                else:
                    _add_filter(names, filters, path, found, operator)
    return filters


def _operator(given: Any) -> Operator | None:
    if isinstance(given, type) and issubclass(given, Operator):
        try:
            given = given()
        except TypeError:
            return None
    if not isinstance(given, Operator) or not isinstance(getattr(given, "op", None), str):
        return None
    return given


def _add_filter(
    names: Names,
    filters: dict[str, DeclaredFilter],
    path: str,
    found: Resolved,
    operator: Operator,
) -> None:
    base = path.replace(".", "__")
    convert = _converter(found.field, operator)
    if convert is None:
        names.wrong("filters", f"{path!r}: {operator.op} takes a single value, not an object.")
        return
    parameters = [(f"{base}__{operator.op}", False)]
    if operator.bare:
        parameters.append((base, False))
    if operator.allow_negation:
        parameters.append((f"{base}__not__{operator.op}", True))
    for name, negate in parameters:
        other = filters.get(name)
        if name in CONTROLS or (other is not None and other.stored != found.stored):
            names.wrong("filters", f"{path!r}: the name {name!r} is taken.")
        elif other is None or name != base:
            filters[name] = DeclaredFilter(operator, found.stored, convert, negate)


def read_ordering(names: Names) -> dict[str, Sort]:
    """Return what each word of ``_order_by`` sorts by."""
    ordering: dict[str, Sort] = {}
    for entry in names.resource.allowed_ordering:
        sort: list[tuple[str, int]] = []
        for word in entry.split(","):
            found = resolve(names, word.removeprefix("-"))
            if found is None or found.hidden:
                names.wrong("allowed_ordering", f"there is no field {word!r} to order by.")
            elif holds_load_only(found.field):
                # APPSEC: MongoDB compares objects by what is in them.
                problem = (
                    f"{word!r} holds something that is never shown, which the order would tell."
                )
                names.wrong("allowed_ordering", problem)
            else:
                sort.append((found.stored, -1 if word.startswith("-") else 1))
        ordering[entry] = tuple(sort)
    return ordering


def resolve(names: Names, path: str) -> Resolved | None:
    """Return what a path of API names leads to; None if to nothing that is stored.

    Args:
        names: Those of a resource.
        path: With ``__`` or dots between its parts; lists don't count.
    """
    path = path.replace(".", "__")
    for api in sorted(names.by_api, key=len, reverse=True):
        name = names.by_api[api]
        field = names.fields.get(name)
        if field is None or not (path == api or path.startswith(f"{api}__")):
            continue
        relation = names.relations.get(name)
        if path == api or relation is None or relation.kind != EMBEDDED:
            return _resolve_below(field, names.stored[name], path[len(api) :])
        below = resolve(names.of(relation.resource), path[len(api) + 2 :])
        return below and _below(names.stored[name], field, below)
    found = [resolve(names.of(child), path) for child in names.children.values()]
    known = [one for one in found if one is not None]
    if not known:
        return None
    # APPSEC: what one kind of documents hides, another one may show, by this or another name.
    stored = {one.stored for one in known}
    hidden = any(one.hidden for one in known) or any(
        field.load_only and names.of(child).stored[name] in stored
        for child in names.children.values()
        for name, field in names.of(child).fields.items()
    )
    return replace(known[0], hidden=hidden)


def _resolve_below(field: ma.Field[Any], stored: str, rest: str) -> Resolved | None:
    """Resolve the rest of a path through the schemas that a field nests."""
    leaf = leaf_of(field)
    if isinstance(leaf, (ma.Method, ma.Function, ma.Constant)):
        return None
    if not rest:
        return Resolved(stored, leaf, field.load_only)
    if not isinstance(leaf, ma.Nested):
        return None
    rest = rest.removeprefix("__")
    inner = leaf.schema.fields
    by_api = {inner_field.data_key or name: name for name, inner_field in inner.items()}
    for api in sorted(by_api, key=len, reverse=True):
        if rest == api or rest.startswith(f"{api}__"):
            name = by_api[api]
            below = _resolve_below(inner[name], inner[name].attribute or name, rest[len(api) :])
            return below and _below(stored, field, below)
    return None


def _below(stored: str, field: ma.Field[Any], found: Resolved) -> Resolved:
    hidden = found.hidden or field.load_only
    return replace(found, stored=f"{stored}.{found.stored}", hidden=hidden)


def _converter(field: ma.Field[Any], operator: Operator) -> Callable[[str], Any] | None:
    """Return what turns the text in a query string into a value to compare with."""
    if operator.takes == "str":
        return str
    if operator.takes == "bool":
        return field_converter(field if isinstance(field, ma.Boolean) else ma.Boolean())
    if operator.takes in HINTS:
        return HINTS[operator.takes].parse
    return None if isinstance(field, (ma.Nested, ma.Mapping)) else field_converter(field)


def field_converter(field: ma.Field[Any]) -> Callable[[str], Any]:
    """Return what the field makes of a text. Its validators are for what is stored."""
    if type(field) in (ObjectId, Reference) and not (field.pre_load or field.post_load):
        read: Callable[[Any], Any] = functools.partial(field._deserialize, attr=None, data=None)
        return _refusing(read)
    field = copy.copy(field)
    field.validators = []
    of_texts = copy.copy(field)
    if isinstance(of_texts, ma.Integer):
        # NOTE: a strict one takes numbers only, and here is none that isn't a text.
        of_texts.strict = False

    def read_any(text: Any) -> Any:
        return to_bson((of_texts if isinstance(text, str) else field).deserialize(text))

    return _refusing(read_any)


def _refusing(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what raises a ValueError where a field refuses a value."""

    def convert(text: Any) -> Any:
        try:
            return read(text)
        except marshmallow.ValidationError as error:
            raise ValueError(" ".join(map(str, error.messages))) from error

    return convert
