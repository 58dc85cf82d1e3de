"""The query language of declared resources: operators are suffixes, types come from the schema.

::

    filter     = path ["__not"] ["__" operator] "=" value     without an operator: exact, or boolean
    path       = name *("__" name)                            sub-fields of embedded documents
    _skip      = number
    _limit     = number                                       0: no documents
    _after     = cursor                                       empty: the first page
    _before    = cursor                                       empty: the last page
    _count     = "exact" | "estimated" | "capped"
    _fields    = name *("," name) | "_all"
    _order_by  = ["-"] path *("," ["-"] path)

Every name that a client may use is known beforehand, so a query string is looked up rather than
taken apart: what isn't in the tables isn't served.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from falcorest import bson_json
from falcorest.dialects.base import (
    Place,
    bound_size,
    bound_value,
    count_parser,
    cursor_of,
    page_at,
    pairs,
    parse_count,
    repeated,
    too_many_conditions,
    too_many_fields,
    too_many_values,
)
from falcorest.errors import BodyError, Problem, QueryError
from falcorest.hints import shorten
from falcorest.limits import Limits
from falcorest.operators import Operator
from falcorest.protection import forbidden
from falcorest.query import EVERYTHING, Filter, Query, conjunction

CONTROLS = ("_skip", "_limit", "_after", "_before", "_count", "_fields", "_order_by")
ITEM_CONTROLS = ("_fields",)

#: What ``_fields`` says to get the optional fields as well.
ALL_FIELDS = "_all"

Sort: TypeAlias = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class DeclaredFilter:
    """A filter that a resource declares.

    Attributes:
        operator: What it compares by.
        stored: Stored name of the field, perhaps a dotted path.
        convert: Turns a text into a value to compare with, or raises ValueError.
        negate: Whether it matches what the operator doesn't.
    """

    operator: Operator
    stored: str
    convert: Callable[[str], Any]
    negate: bool

    def split(self, text: str) -> str | list[str]:
        """Return a value from a query string, or the values, where the operator takes a list."""
        if self.operator.takes == "list":
            return text.split(",") if text else []
        return text

    def condition(self, text: str | list[str]) -> Filter:
        """Return the condition for a value, or for values.

        Raises:
            ValueError: It doesn't convert.
        """
        value = list(map(self.convert, text)) if isinstance(text, list) else self.convert(text)
        return self.operator.condition(self.stored, value, self.negate)


class SuffixDialect:
    """Reads the query language of declared resources.

    Args:
        filters: By the name of the parameter.
        ordering: What each word of ``_order_by`` sorts by.
        limits: How much a query may ask for.
        is_hidden: Tells of a name that isn't declared whether it leads to a hidden field.
    """

    def __init__(
        self,
        filters: Mapping[str, DeclaredFilter],
        ordering: Mapping[str, Sort],
        limits: Limits | None = None,
        is_hidden: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._is_hidden = is_hidden
        self._filters = filters
        self._ordering = ordering
        self._limits = limits = limits or Limits()
        self._plain: dict[str, Callable[[str], Any]] = {
            "_limit": count_parser("_limit", "query.invalid_limit"),
            "_skip": count_parser("_skip", "query.invalid_skip", limits.max_skip),
            "_after": str,
            "_before": str,
            "_count": parse_count,
        }

    def parse_list(self, query_string: str) -> Query:
        """Read the query string of a list."""
        return self._parse(query_string, CONTROLS) if query_string else EVERYTHING

    def parse_item(self, query_string: str) -> Query:
        """Read the query string of a request for one document."""
        if not query_string:
            return EVERYTHING
        bound_size(query_string, self._limits)
        for name, _ in pairs(query_string):
            if name not in ITEM_CONTROLS:
                raise QueryError(
                    "query.unknown_parameter",
                    f"A request for one document takes _fields and no {name!r}.",
                    parameter=name,
                )
        return self._parse(query_string, ITEM_CONTROLS)

    def parse_bulk(self, query_string: str) -> Query:
        """Read the query string of a bulk write, which takes filters only."""
        return self._parse(query_string, ())

    def page(self, has_more: bool | None, extra: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """Return the envelope around the documents of a list."""
        more = dict(extra) if has_more is None else {"has_more": has_more, **extra}
        return b'{"data":[', b"]," + bson_json.dumps(more)[1:] if more else b"]}"

    def created(self, documents: bytes) -> bytes:
        """Return the answer to a bulk create."""
        return b'{"data":[%b]}' % documents

    def page_at(self, query_string: str, limit: int, place: Place | None) -> str:
        """Return the query string of another page of a list."""
        return page_at(query_string, limit, place)

    def updated(self, matched: int, modified: int) -> dict[str, Any]:
        """Return the answer to a bulk update."""
        return {"count": matched}

    def deleted(self, count: int) -> dict[str, Any]:
        """Return the answer to a bulk delete."""
        return {"count": count}

    def _parse(self, query_string: str, served: tuple[str, ...]) -> Query:
        bound_size(query_string, self._limits)
        conditions: list[Filter] = []
        most = self._limits.max_conditions
        controls: dict[str, Any] = {}
        for name, value in pairs(query_string):
            declared = self._filters.get(name.replace(".", "__"))
            if declared is not None:
                conditions.append(self._condition(declared, name, value))
                if len(conditions) > most:
                    raise too_many_conditions(self._limits, name)
            elif name in served:
                if name in controls:
                    raise repeated(name)
                controls[name] = self._control(name, value)
            else:
                raise self._unknown(name, served)
        return Query(
            filter=conjunction(conditions),
            sort=controls.get("_order_by", ()),
            skip=controls.get("_skip", 0),
            limit=controls.get("_limit"),
            fields=controls.get("_fields"),
            cursor=cursor_of(controls),
            count=controls.get("_count"),
        )

    def _control(self, name: str, value: str) -> Any:
        if name == "_fields":
            names = value.split(",")
            if len(names) > self._limits.max_list_values:
                raise too_many_values(self._limits, name)
            return tuple(dict.fromkeys(names))
        if name == "_order_by":
            return self._sort(value)
        return self._plain[name](value)

    def _condition(self, declared: DeclaredFilter, name: str, text: str) -> Filter:
        value = declared.split(text)
        bound_value(declared.operator, value, self._limits, name)
        try:
            return declared.condition(value)
        except BodyError as error:
            reason = error.detail
        except ValueError as error:
            reason = str(error)
        raise QueryError(
            "query.invalid_value", f"{shorten(text)} can't be used here: {reason}", parameter=name
        )

    def _sort(self, value: str) -> Sort:
        whole = self._ordering.get(value)
        if whole is not None:
            return whole
        sort: dict[str, int] = {}
        for word in value.split(","):
            for stored, direction in self._ordering.get(word, ()):
                if stored in sort:
                    raise QueryError(
                        "query.invalid_sort",
                        f"{shorten(value)} names a field twice.",
                        parameter="_order_by",
                    )
                sort[stored] = direction
            if word not in self._ordering:
                if self._is_hidden(word.removeprefix("-")):
                    raise forbidden(word.removeprefix("-"), "sorted by", "_order_by")
                allowed = ", ".join(self._ordering)
                raise QueryError(
                    "query.invalid_sort",
                    f"Nothing is ordered by {shorten(word)} here; "
                    + (f"there are {allowed}." if allowed else "this resource has no ordering."),
                    parameter="_order_by",
                )
            if len(sort) > self._limits.max_sort_fields:
                raise too_many_fields(self._limits, "_order_by")
        return tuple(sort.items())

    def _unknown(self, name: str, served: tuple[str, ...]) -> Problem:
        if self._is_hidden(name):
            return forbidden(name, "filtered by", name)
        if name in CONTROLS:
            detail = f"{name} has no place here; a bulk write takes filters only."
        else:
            known = ", ".join([*self._filters, *served])
            detail = f"There is no filter {shorten(name)}" + (
                f"; there are {known}." if known else "."
            )
        return QueryError("query.unknown_parameter", detail, parameter=name)
