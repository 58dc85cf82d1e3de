"""Parameters: what may stand in a query string, by the dialect that reads it."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from falcorest.dialects import SuffixDialect, TypedDialect, suffix, typed
from falcorest.dialects.base import COUNTS
from falcorest.dialects.suffix import ALL_FIELDS, DeclaredFilter
from falcorest.dialects.typed import DIRECTIONS, GROUPS
from falcorest.filtering import resolve
from falcorest.hints import HINTS, LIST
from falcorest.methods import Fetch, List, Method
from falcorest.openapi.components import Components, Schema
from falcorest.openapi.fields import Fields
from falcorest.openapi.updates import PATH
from falcorest.operators import OPERATORS
from falcorest.views import ResourceView

Parameter = dict[str, Any]

#: A name in a list of names.
_NAME = r"^[^.$\u0000,():][^.\u0000,():]*(\.[^.$\u0000,():][^.\u0000,():]*)*$"
_HINTED: dict[str, Schema] = {"int": {"type": "integer"}, "bool": {"type": "boolean"}}


class Parameters:
    """The parameters of the requests to one view.

    Args:
        components: Where schemas are put.
        fields: Converts fields as they are sent.
        view: The view.
        known: The names of fields: of those that may be filtered by without a schema, and of those
            that ``_fields`` may name with one.
        settled: Whether a declared filter may only name what is known.
    """

    def __init__(
        self,
        components: Components,
        fields: Fields,
        view: ResourceView,
        known: Iterable[str],
        *,
        settled: bool,
    ) -> None:
        self._components = components
        self._fields = fields
        self._view = view
        self._known = list(known)
        self._settled = settled

    def of(self, method: type[Method]) -> list[Parameter]:
        """Return the query parameters of a request for a method."""
        dialect = self._view.dialect
        is_list, filtered = method is List, method is List or method.bulk_write
        found: list[Parameter] = []
        if isinstance(dialect, TypedDialect):
            found += self._typed_filters() if filtered else []
            names = typed.LIST_CONTROLS if is_list else typed.ITEM_CONTROLS
        elif isinstance(dialect, SuffixDialect):
            found += self._declared_filters() if filtered else []
            names = suffix.CONTROLS if is_list else suffix.ITEM_CONTROLS
        else:
            return []
        return found + (self._bounds(*names) if is_list or method is Fetch else [])

    # -------------------------------------------------------------------------------- controls

    def _bounds(self, *names: str) -> list[Parameter]:
        return [one for name in names if (one := CONTROLS[name](self)) is not None]

    def _projection(self) -> Parameter:
        return query(
            "_projection",
            "The fields to show, with commas between them.",
            self._names({"type": "string", "pattern": _NAME}),
            explode=False,
        )

    def _sort(self) -> Parameter:
        ways = "|".join(DIRECTIONS)
        word = rf"^\([^.$\u0000,():][^.\u0000,():]*(\.[^.$\u0000,():][^.\u0000,():]*)*:({ways})\)$"
        return query(
            "_sort",
            f"What to sort by, such as `(name:{next(iter(DIRECTIONS))})`, with commas between.",
            {
                **self._names({"type": "string", "pattern": word}),
                "maxItems": self._view.limits.max_sort_fields,
                "uniqueItems": True,
            },
            explode=False,
        )

    def _limit(self) -> Parameter:
        said: Schema = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
        resource = self._view.resource
        text = "The most documents to give."
        if resource.paginate and resource.max_limit is not None:
            said["maximum"] = resource.max_limit
        if resource.paginate and resource.default_limit is not None:
            said["default"] = resource.default_limit
        if isinstance(self._view.dialect, TypedDialect) and not resource.paginate:
            text += " 0 is all of them."
        return query("_limit", text, said)

    def _skip(self) -> Parameter:
        most = min(self._view.limits.max_skip, 2**63 - 1)
        said = {"type": "integer", "minimum": 0, "maximum": most}
        return query("_skip", "How many documents to pass over first.", said)

    def _after(self) -> Parameter:
        return self._cursor("_after", "behind", "first")

    def _before(self) -> Parameter:
        return self._cursor("_before", "in front of", "last")

    def _cursor(self, name: str, where: str, page: str) -> Parameter:
        text = (
            f"Show the documents {where} this place, which a `Link` names; an empty text is the "
            f"{page} page. Neither the other one nor `_skip` may stand beside it."
        )
        return query(name, text, {"type": "string", "format": "falcorest-cursor"})

    def _count(self) -> Parameter:
        text = "Count the documents that match: all of them, roughly, or up to a bound."
        return query("_count", text, {"type": "string", "enum": list(COUNTS)})

    def _shown_fields(self) -> Parameter:
        return query(
            "_fields",
            f"The fields to show, with commas between them; `{ALL_FIELDS}` for all there are.",
            self._names({"enum": [*self._known, ALL_FIELDS]}),
            explode=False,
        )

    def _order_by(self) -> Parameter | None:
        words = [
            word for word in self._view.declaration.ordering if self._is_shown(word.lstrip("-"))
        ]
        if not words:
            return None
        whole = [word for word in words if "," in word]
        single = [word for word in words if "," not in word]
        ways: list[Schema] = [{"enum": whole}] if whole else []
        if single:
            # NOTE: a field can't be sorted by both ways at once.
            both = [
                {"not": {"allOf": [{"contains": {"const": w}} for w in (word, f"-{word}")]}}
                for word in single
                if f"-{word}" in single
            ]
            several = {**self._names({"enum": single}), "uniqueItems": True}
            ways.append({**several, "allOf": both} if both else several)
        text = "What to sort by, `-` in front for the largest first; several with commas between."
        said = ways[0] if len(ways) == 1 else {"anyOf": ways}
        return query("_order_by", f"{text} There are {_listed(words)}.", said, explode=False)

    def _names(self, one: Schema) -> Schema:
        most = self._view.limits.max_list_values
        return {
            "type": "array",
            "items": one,
            "minItems": 1,
            "maxItems": most,
        }

    # --------------------------------------------------------------------------- typed filters

    def _typed_filters(self) -> list[Parameter]:
        own = [
            query(name, _FILTER, self._filter())
            for name in self._known
            if (name not in GROUPS and not name.startswith("_")) or name == "_id"
        ]
        groups = [
            query(
                name,
                f"Conditions of which {_MEANING[name]} hold: "
                f"`{name}={_GROUP}`, say. Groups may stand in groups.",
                {"type": "string", "format": "falcorest-group"},
            )
            for name in GROUPS
        ]
        others: Parameter = {
            "name": "filters",
            "in": "query",
            "description": "Any other field, or dotted path, as a parameter of its own.",
            "style": "form",
            "explode": True,
            "schema": {
                "type": "object",
                "propertyNames": {"pattern": PATH},
                "additionalProperties": self._filter(),
                # NOTE: a page to try it makes up two fields otherwise.
                "examples": [{}],
            },
        }
        return [*own, *groups, others]

    def _filter(self) -> Schema:
        def make() -> Schema:
            operators = ", ".join(f"`{name}` {one.meaning}" for name, one in OPERATORS.items())
            hints = ", ".join(
                f"`[{name}].{one.example}` {one.accepts}" for name, one in HINTS.items()
            )
            return {
                "type": "string",
                "format": "falcorest-filter",
                "description": "A text that the field equals, or `operator[hint].value`. "
                f"`not.` in front of an operator negates it. Operators: {operators}. Hints: "
                f"{hints}; `[{LIST}int].[1,2]` and the like for lists. A parameter that stands "
                "several times has to hold each time.",
                "maxLength": self._view.limits.max_value_characters,
            }

        return self._components.schema("Filter", make)

    # ------------------------------------------------------------------------ declared filters

    def _declared_filters(self) -> list[Parameter]:
        found = []
        for name, one in self._view.declaration.filters.items():
            path = _path(name, one)
            if not self._is_shown(path):
                continue
            meaning = getattr(one.operator, "meaning", "") or f"{one.operator.op} the value"
            text = f"Documents of which {path} {'does not hold: it ' * one.negate}{meaning}."
            said = self._value(path, one)
            explode = None if one.operator.takes != "list" else False
            found.append(query(name, text, said, explode=explode))
        return found

    def _is_shown(self, path: str) -> bool:
        """Tell whether a caller sees a field at all, where the fields depend on the caller."""
        return not self._settled or any(
            path == name or path.startswith(f"{name}__") for name in self._known
        )

    def _value(self, path: str, declared: DeclaredFilter) -> Schema:
        operator, limits = declared.operator, self._view.limits
        if operator.takes == "bool":
            return {"type": "boolean"}
        if operator.takes == "str":
            most = limits.max_value_characters
            most = limits.max_pattern_characters if operator.in_texts else most
            return {"type": "string", "maxLength": most, "pattern": r"^[^\u0000]*$"}
        if operator.takes in HINTS:
            return _HINTED.get(operator.takes, {"type": "string"})
        resolved = resolve(self._view.declaration, path)
        said: Schema = {}
        if resolved is not None:
            field = copy.copy(resolved.field)
            # NOTE: they are for what is stored.
            field.validators = []
            said = self._fields.property(field)
        said = {key: said[key] for key in _VALUE_KEYWORDS if key in said} or {"type": "string"}
        if operator.takes == "list":
            if said.get("type") == "string" and "pattern" not in said and "format" not in said:
                said["pattern"] = "^[^,]+$"
            most = limits.max_list_values
            return {"type": "array", "items": said, "minItems": 1, "maxItems": most}
        return said


#: How each parameter that isn't a filter is described.
CONTROLS = {
    "_projection": Parameters._projection,
    "_sort": Parameters._sort,
    "_limit": Parameters._limit,
    "_skip": Parameters._skip,
    "_after": Parameters._after,
    "_before": Parameters._before,
    "_count": Parameters._count,
    "_fields": Parameters._shown_fields,
    "_order_by": Parameters._order_by,
}
_MEANING = {"and": "all", "or": "at least one", "nor": "none"}
_FILTER = "A text that this field equals, or `operator[hint].value`, such as `gte[int].50`."
_GROUP = "(a.gt[int].1,b.eq[str].text)"
_VALUE_KEYWORDS = ("type", "format", "pattern", "enum", "anyOf", "minimum", "maximum")


def query(name: str, text: str, schema: Schema, *, explode: bool | None = None) -> Parameter:
    """Return a query parameter.

    Args:
        name: Its name.
        text: What it is for.
        schema: Of its value.
        explode: Whether a list is written as one parameter for each value; else with commas.
    """
    parameter: Parameter = {"name": name, "in": "query", "description": text, "schema": schema}
    return parameter if explode is None else {**parameter, "style": "form", "explode": explode}


def _path(name: str, declared: DeclaredFilter) -> str:
    path = name.removesuffix(f"__{declared.operator.op}")
    return path.removesuffix("__not") if declared.negate else path


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
