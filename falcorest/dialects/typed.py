"""The typed query language: values carry type hints, because there is no schema to ask.

::

    filter   = field "=" value
    value    = typed | text              typed when it starts like eq[int]. or [int]. ; else text
    typed    = ["not."] [operator] "[" hint "]." rest
    group    = ("and" | "or" | "nor") "=" "(" member *("," member) ")"
    member   = field "." ["not."] operator "[" hint "]." item
             | ("and" | "or" | "nor") "(" member *("," member) ")"
    item     = quoted | bare | list      bare stops at "," or ")"
    list     = "[" [element *("," element)] "]"
    element  = quoted | bare             bare stops at "," or "]"

Operators are those of :data:`falcorest.operators.OPERATORS`, hints those of
:data:`falcorest.hints.HINTS`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

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
    too_complex,
    too_many_conditions,
    too_many_fields,
    too_many_values,
)
from falcorest.errors import QueryError
from falcorest.hints import Hint, find_hint, parse_literal, shorten
from falcorest.limits import Limits
from falcorest.operators import OPERATORS, Operator
from falcorest.query import EVERYTHING, Filter, Query, conjunction, is_path

GROUPS = ("and", "or", "nor")
RESERVED = ("_after", "_before", "_count", "_fields", "_order_by")
CONTROLS = ("_projection", "_sort", "_limit", "_skip")
ITEM_CONTROLS = ("_projection",)
LIST_CONTROLS = (*CONTROLS, "_after", "_before", "_count")
DIRECTIONS = {"ascending": 1, "descending": -1}

_TYPED = re.compile(r"(not\.)?([$\w]*)\[([^\]]*)\]\.")
_GROUP_MEMBER = re.compile(r"(and|or|nor)\(")
_PLAIN_FIELD = re.compile(r"[^(),]*")
_EQUALITY = OPERATORS["eq"]


class TypedDialect:
    """Reads the typed query language.

    Args:
        regex: Whether clients may use the ``regex`` operator.
        limits: How much a query may ask for.
    """

    def __init__(self, *, regex: bool = False, limits: Limits | None = None) -> None:
        self._operators = dict(OPERATORS)
        self._regex = regex
        #: What stands before a value, as it was read. NOTE: there are only so many that can be.
        self._known: dict[str, tuple[bool, Operator, Hint, bool]] = {}
        self._limits = limits = limits or Limits()
        # PERF: what is that short needs no closer look.
        self._small = min(limits.max_query_bytes, limits.max_parameters)
        self._short = min(
            limits.max_value_characters, limits.max_pattern_characters, limits.max_list_values
        )
        self._controls: dict[str, Callable[[str], Any]] = {
            "_projection": self._projection,
            # PERF: an application sorts in few ways.
            "_sort": functools.lru_cache(maxsize=64)(self._sort),
            "_limit": count_parser("_limit", "query.invalid_limit"),
            "_skip": count_parser("_skip", "query.invalid_skip", limits.max_skip),
            "_after": str,
            "_before": str,
            "_count": parse_count,
        }

    def parse_list(self, query_string: str) -> Query:
        """Read the query string of a list."""
        if not query_string:
            return EVERYTHING
        return self._parse(query_string, LIST_CONTROLS, ())

    def parse_bulk(self, query_string: str) -> Query:
        """Read the query string of a bulk write; what doesn't filter is passed over."""
        return self._parse(query_string, (), CONTROLS)

    def parse_item(self, query_string: str) -> Query:
        """Read the query string of a request for one document."""
        if not query_string:
            return EVERYTHING
        if len(query_string) > self._small:
            bound_size(query_string, self._limits)
        projection: tuple[str, ...] | None = None
        for name, value in pairs(query_string):
            if name not in ITEM_CONTROLS:
                raise QueryError(
                    "query.unknown_parameter",
                    f"A request for one document takes _projection and no {name!r}.",
                    parameter=name,
                )
            if projection is not None:
                raise repeated(name)
            projection = self._projection(value)
        return Query(projection=projection)

    def page(self, has_more: bool | None, extra: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """Return the brackets of a JSON array; there is no place for more."""
        return b"[", b"]"

    def created(self, documents: bytes) -> bytes:
        """Return the answer to a bulk create."""
        return b"[%b]" % documents

    def page_at(self, query_string: str, limit: int, place: Place | None) -> str:
        """Return the query string of another page of a list."""
        return page_at(query_string, limit, place)

    def updated(self, matched: int, modified: int) -> dict[str, Any]:
        """Return the answer to a bulk update."""
        return {"matched_items": matched, "modified_items": modified}

    def deleted(self, count: int) -> dict[str, Any]:
        """Return the answer to a bulk delete."""
        return {"items_deleted": count}

    def _parse(
        self, query_string: str, served: tuple[str, ...], passed_over: tuple[str, ...]
    ) -> Query:
        if len(query_string) > self._small:
            bound_size(query_string, self._limits)
        conditions: list[Filter] = []
        members, most = 0, self._limits.max_conditions
        controls: dict[str, Any] = {}
        for name, value in pairs(query_string):
            if name in served:
                if name in controls:
                    raise repeated(name)
                controls[name] = self._controls[name](value)
            elif name in passed_over:
                continue
            elif name in RESERVED:
                raise QueryError(
                    "query.reserved_parameter",
                    f"{name} is a reserved name and not served here.",
                    parameter=name,
                )
            elif name in GROUPS:
                reader = _Reader(value, name, "query.invalid_group")
                conditions.append({f"${name}": self._group(reader)})
                members += reader.members
            else:
                conditions.append(self._filter(name, value))
            if len(conditions) + members > most:
                raise too_many_conditions(self._limits, name)
        return Query(
            filter=conjunction(conditions),
            projection=controls.get("_projection"),
            sort=controls.get("_sort", ()),
            skip=controls.get("_skip", 0),
            # NOTE: 0 is no limit here.
            limit=controls.get("_limit") or None,
            cursor=cursor_of(controls),
            count=controls.get("_count"),
        )

    def _filter(self, field: str, value: str) -> Filter:
        check_field(field, parameter=field)
        typed = _TYPED.match(value)
        if typed is None:
            if len(value) > self._short:
                bound_value(_EQUALITY, value, self._limits, field)
            return {field: value}
        known = self._known.get(typed[0])
        if known is None:
            negate, operator_name, hint_name = typed.groups()
            found = self._operator(operator_name or "eq", hint_name, parameter=field)
            known = self._known[typed[0]] = (bool(negate), *found)
        negated, operator, hint, is_list = known
        rest = value[typed.end() :]
        literal: Any = rest
        if is_list:
            reader = _Reader(rest, field, "query.invalid_value")
            literal = reader.list_of_texts()
            reader.expect_end()
        if len(rest) > self._short:
            bound_value(operator, literal, self._limits, field)
        return _condition(operator, hint, field, literal, negated, parameter=field)

    def _operator(
        self, name: str, hint_name: str, *, parameter: str
    ) -> tuple[Operator, Hint, bool]:
        operator = self._operators.get(name)
        if operator is None:
            raise QueryError(
                "query.unknown_operator",
                f"There is no operator {shorten(name)}; there are {', '.join(self._operators)}.",
                parameter=parameter,
            )
        if name == "regex" and not self._regex:
            raise QueryError(
                "query.regex_disabled",
                "Regular expressions are switched off on this server.",
                parameter=parameter,
            )
        hint, is_list = find_hint(hint_name, parameter=parameter)
        takes = operator.takes
        fits = is_list if takes == "list" else not is_list and takes in {"scalar", hint.name}
        if not fits:
            wanted = {"scalar": "a hint that is no list", "list": "a list- hint"}
            raise QueryError(
                "query.operator_hint",
                f"The operator {name} takes {wanted.get(takes, f'the hint [{takes}]')}, "
                f"not [{hint_name}].",
                parameter=parameter,
            )
        return operator, hint, is_list

    def _group(self, reader: _Reader) -> list[Filter]:
        members = self._members(reader, 1)
        reader.expect_end()
        return members

    def _members(self, reader: _Reader, depth: int) -> list[Filter]:
        if depth > self._limits.max_group_depth:
            raise too_complex(
                f"Groups may be nested {self._limits.max_group_depth} deep at the most.",
                reader.parameter,
            )
        reader.expect("(")
        members = [self._member(reader, depth)]
        while reader.accept(","):
            members.append(self._member(reader, depth))
        reader.expect(")")
        return members

    def _member(self, reader: _Reader, depth: int) -> Filter:
        reader.members += 1
        group = reader.match(_GROUP_MEMBER)
        if group is not None:
            reader.position -= 1
            return {f"${group[1]}": self._members(reader, depth + 1)}
        field, negate, operator_name, hint_name = reader.head()
        check_field(field, parameter=reader.parameter)
        operator, hint, is_list = self._operator(
            operator_name, hint_name, parameter=reader.parameter
        )
        literal: Any = reader.list_of_texts() if is_list else reader.text(",)")
        if len(reader.source) > self._short:
            bound_value(operator, literal, self._limits, reader.parameter)
        return _condition(operator, hint, field, literal, negate, parameter=reader.parameter)

    def _projection(self, value: str) -> tuple[str, ...]:
        """Read ``a,b``; a path below another one that stands there too is left out."""
        given = value.split(",")
        if len(given) > self._limits.max_list_values:
            raise too_many_values(self._limits, "_projection")
        names = dict.fromkeys(given)
        if names.keys() == {""}:
            raise QueryError(
                "query.invalid_projection",
                "_projection takes the names of fields with commas between them.",
                parameter="_projection",
            )
        for name in names:
            check_field(name, parameter="_projection")
        return tuple(name for name in names if not _has_ancestor(name, names))

    def _sort(self, value: str) -> tuple[tuple[str, int], ...]:
        """Read ``(a:ascending),(b:descending)``."""
        if not (value.startswith("(") and value.endswith(")")):
            raise _bad_sort(value)
        sort: dict[str, int] = {}
        for part in value[1:-1].split("),("):
            field, colon, direction = part.rpartition(":")
            if not colon or direction not in DIRECTIONS or not _PLAIN_FIELD.fullmatch(field):
                raise _bad_sort(part)
            check_field(field, parameter="_sort")
            if field in sort:
                raise QueryError(
                    "query.invalid_sort", f"{shorten(field)} stands twice in it.", parameter="_sort"
                )
            sort[field] = DIRECTIONS[direction]
        if len(sort) > self._limits.max_sort_fields:
            raise too_many_fields(self._limits, "_sort")
        return tuple(sort.items())


def _condition(
    operator: Operator, hint: Hint, field: str, literal: Any, negate: bool, *, parameter: str
) -> Filter:
    value = (
        [parse_literal(hint, text, parameter=parameter) for text in literal]
        if type(literal) is list
        else parse_literal(hint, literal, parameter=parameter)
    )
    try:
        return operator.condition(field, value, negate)
    except ValueError as error:
        raise QueryError(
            "query.invalid_value",
            f"The operator {operator.op} can't take {shorten(str(value))}: {error}.",
            parameter=parameter,
        ) from error


class _Reader:
    """Reads a group or a list from left to right."""

    def __init__(self, text: str, parameter: str, code: str) -> None:
        self.source = text
        self.parameter = parameter
        self.code = code
        self.position = 0
        self.members = 0

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.source, self.position)
        if found is not None:
            self.position = found.end()
        return found

    def accept(self, character: str) -> bool:
        if self.source.startswith(character, self.position):
            self.position += 1
            return True
        return False

    def expect(self, character: str) -> None:
        if not self.accept(character):
            raise self.error(f"{character!r} is expected")

    def expect_end(self) -> None:
        if self.position != len(self.source):
            raise self.error("the end is expected")

    def error(self, expectation: str) -> QueryError:
        found = self.source[self.position : self.position + 20]
        where = f"{found!r}" if found else "the end"
        return QueryError(
            self.code,
            f"At character {self.position + 1}, {expectation} and {where} is there.",
            parameter=self.parameter,
        )

    def head(self) -> tuple[str, bool, str, str]:
        """Read ``field.[not.]operator[hint].``, from the hint backwards."""
        start = self.position
        opening = self.source.find("[", start)
        stop = min(
            (at for at in (self.source.find(mark, start) for mark in ",()") if at >= 0),
            default=len(self.source),
        )
        closing = self.source.find("]", opening)
        if not 0 <= opening < stop or closing < 0 or self.source[closing + 1 : closing + 2] != ".":
            raise self.error("field.operator[hint].value is expected")
        field, _, operator = self.source[start:opening].rpartition(".")
        negate = field.endswith(".not")
        if negate:
            field = field.removesuffix(".not")
        self.position = closing + 2
        return field, negate, operator, self.source[opening + 1 : closing]

    def list_of_texts(self) -> list[str]:
        """Read ``[a,"b",…]``."""
        self.expect("[")
        if self.accept("]"):
            return []
        texts = [self.text(",]")]
        while self.accept(","):
            texts.append(self.text(",]"))
        self.expect("]")
        return texts

    def text(self, stops: str) -> str:
        """Read a quoted text, or a bare one up to one of the stops."""
        if self.accept('"'):
            return self._quoted()
        start = self.position
        while self.position < len(self.source) and self.source[self.position] not in stops:
            self.position += 1
        return self.source[start : self.position]

    def _quoted(self) -> str:
        characters: list[str] = []
        while self.position < len(self.source):
            character = self.source[self.position]
            self.position += 1
            if character == '"':
                return "".join(characters)
            if character == "\\":
                character = self.source[self.position : self.position + 1]
                if character not in {'"', "\\"}:
                    raise self.error("a quote or a backslash is expected behind the backslash")
                self.position += 1
            characters.append(character)
        raise self.error("a closing quote is expected")


def check_field(field: str, *, parameter: str) -> None:
    """Refuse a field name that is no path of plain names.

    Raises:
        QueryError: A part of it is empty, starts with ``$`` or holds NUL.
    """
    if not is_path(field):
        raise QueryError(
            "query.invalid_field",
            f"{shorten(field)} is not the name of a field: its parts may not be empty, start "
            "with a dollar sign or hold NUL.",
            parameter=parameter,
        )


def _has_ancestor(path: str, names: dict[str, None]) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:length]) in names for length in range(1, len(parts)))


def _bad_sort(text: str) -> QueryError:
    return QueryError(
        "query.invalid_sort",
        f"{shorten(text)} can't be read; (a:ascending),(b:descending) is expected.",
        parameter="_sort",
    )
