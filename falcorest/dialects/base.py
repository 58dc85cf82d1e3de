"""What a dialect is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias
from urllib.parse import unquote_to_bytes, urlencode

from falcorest.errors import QueryError
from falcorest.hints import shorten
from falcorest.limits import Limits
from falcorest.operators import Operator
from falcorest.query import Query

_NUMBER = re.compile(r"[0-9]{1,19}")
_LARGEST = 2**63 - 1

#: How the documents that match can be counted.
COUNTS = ("exact", "estimated", "capped")

#: A parameter that says where a page is, and its value.
Place: TypeAlias = tuple[str, str | int]

_PAGING = frozenset({"_limit", "_skip", "_after", "_before"})
_PUNCTUATION = "(),:"
# NOTE: a parameter that is the same when it is read and written again, but for brackets.
_AS_IT_IS = re.compile(rf"[\w.~{_PUNCTUATION}-]*=[\w.~{_PUNCTUATION}\[\]-]*", re.ASCII)


class Dialect(Protocol):
    """How a query string is read, and how an answer is wrapped.

    The view owns methods and statuses; this owns the query string and the wrapping.
    """

    def parse_list(self, query_string: str) -> Query:
        """Read the query string of a list."""

    def parse_item(self, query_string: str) -> Query:
        """Read the query string of a request for one document; it has no filter."""

    def parse_bulk(self, query_string: str) -> Query:
        """Read the query string of a bulk write: its filter is all that counts."""

    def page(self, has_more: bool | None, extra: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """Return what stands before and behind the documents of a list.

        Args:
            has_more: Whether more documents follow; None when all of them are sent.
            extra: What the resource wants to say beside them.
        """

    def created(self, documents: bytes) -> bytes:
        """Return the answer to a bulk create.

        Args:
            documents: As JSON, with commas between them.
        """

    def page_at(self, query_string: str, limit: int, place: Place | None) -> str:
        """Return the query string of another page of a list.

        Args:
            query_string: That of this page.
            limit: How many documents a page has.
            place: The parameter that says where the other page is, and its value; None for the
                first page.
        """

    def updated(self, matched: int, modified: int) -> dict[str, Any]:
        """Return the answer to a bulk update."""

    def deleted(self, count: int) -> dict[str, Any]:
        """Return the answer to a bulk delete."""


def pairs(query_string: str) -> Iterator[tuple[str, str]]:
    """Read a form-encoded query string, strictly.

    Args:
        query_string: As WSGI hands it over: percent-encoded, other bytes as latin-1.

    Yields:
        Names and values, in order.

    Raises:
        QueryError: A part has no ``=``, or isn't UTF-8.
    """
    # PERF: mostly, nothing in it is encoded.
    encoded = "%" in query_string or "+" in query_string or not query_string.isascii()
    for part in query_string.split("&"):
        if not part:
            continue
        name, equals, value = part.partition("=")
        if encoded:
            name, value = _decode(name), _decode(value)
        if not equals:
            raise QueryError(
                "query.malformed",
                f"The parameter {name!r} has no value; name=value is expected.",
                parameter=name,
            )
        yield name, value


def _decode(text: str) -> str:
    try:
        return unquote_to_bytes(text.replace("+", " ").encode("latin-1")).decode("utf-8")
    except UnicodeError as error:
        raise QueryError("query.malformed", "The query string is not UTF-8.") from error


def bound_size(query_string: str, limits: Limits) -> None:
    """Refuse a query string that is too long, or has too many parameters.

    Raises:
        QueryError: It is, or has.
    """
    # NOTE: it comes as latin-1, so a character is a byte.
    if len(query_string) > limits.max_query_bytes:
        raise QueryError(
            "query.too_long",
            f"The query string may have {limits.max_query_bytes} bytes at the most.",
        )
    most = limits.max_parameters
    if query_string.count("&") >= most and sum(map(bool, query_string.split("&"))) > most:
        raise too_complex(f"A query string may have {most} parameters at the most.", None)


def bound_value(operator: Operator, value: str | list[str], limits: Limits, parameter: str) -> None:
    """Refuse a value in a filter that is too long, or a list of too many.

    Raises:
        QueryError: It is.
    """
    longest = limits.max_pattern_characters if operator.in_texts else limits.max_value_characters
    if type(value) is list:
        if len(value) > limits.max_list_values:
            raise too_many_values(limits, parameter)
        length = max(map(len, value), default=0)
    else:
        length = len(value)
    if length > longest:
        raise QueryError(
            "query.too_long",
            f"A value of the operator {operator.op} may have {longest} characters at the most.",
            parameter=parameter,
        )


def too_many_values(limits: Limits, parameter: str) -> QueryError:
    """Return the error for a list of too many values."""
    return too_complex(f"A list may have {limits.max_list_values} values at the most.", parameter)


def too_many_conditions(limits: Limits, parameter: str) -> QueryError:
    """Return the error for a filter of too many conditions."""
    return too_complex(
        f"A filter may have {limits.max_conditions} conditions at the most, and each member of a "
        "group counts.",
        parameter,
    )


def too_many_fields(limits: Limits, parameter: str) -> QueryError:
    """Return the error for a sort by too many fields."""
    return QueryError(
        "query.invalid_sort",
        f"A sort may have {limits.max_sort_fields} fields at the most.",
        parameter=parameter,
    )


def too_complex(detail: str, parameter: str | None) -> QueryError:
    """Return the error for a query that has too much in it."""
    return QueryError("query.too_complex", detail, parameter=parameter)


def count_parser(name: str, code: str, most: int = _LARGEST) -> Callable[[str], int]:
    """Return a function that reads a parameter which is a whole number, not negative.

    Args:
        name: The parameter.
        code: Of the error for anything else.
        most: The largest that it may be.
    """

    def parse(value: str) -> int:
        if _NUMBER.fullmatch(value) is None or int(value) > most:
            raise QueryError(
                code,
                f"{name} takes a whole number from 0 to {most}; {shorten(value)} is none.",
                parameter=name,
            )
        return int(value)

    return parse


def repeated(name: str) -> QueryError:
    """Return the error for a parameter that stands twice."""
    return QueryError("query.repeated_parameter", f"{name} may stand once.", parameter=name)


def cursor_of(controls: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the parameter that says where a page begins or ends, and its value, if there is one.

    Args:
        controls: What the query string has, by parameter.

    Raises:
        QueryError: It says so twice.
    """
    given = [name for name in ("_after", "_before", "_skip") if name in controls]
    if len(given) > 1 and given != ["_skip"]:
        raise QueryError(
            "query.invalid_cursor",
            f"{given[0]} and {given[1]} can't stand together.",
            parameter=given[0],
        )
    return (given[0], controls[given[0]]) if given and given[0] != "_skip" else None


def parse_count(value: str) -> str:
    """Read ``_count``.

    Raises:
        QueryError: It is none of :data:`COUNTS`.
    """
    if value not in COUNTS:
        raise QueryError(
            "query.invalid_count",
            f"_count takes one of {', '.join(COUNTS)}; {shorten(value)} is none.",
            parameter="_count",
        )
    return value


def page_at(query_string: str, limit: int, place: Place | None) -> str:
    """Return the query string of another page of a list; see :meth:`Dialect.page_at`."""
    # PERF: mostly, there is nothing to encode but brackets.
    parts = [
        part if _AS_IT_IS.fullmatch(part) else _encoded(*pairs(part))
        for part in query_string.split("&")
        if part
    ]
    changed = [part for part in parts if part.partition("=")[0] not in _PAGING]
    changed.append(f"_limit={limit}")
    if place is not None:
        part = f"{place[0]}={place[1]}"
        changed.append(part if _AS_IT_IS.fullmatch(part) else _encoded(place))
    return "&".join(changed).replace("[", "%5B").replace("]", "%5D")


def _encoded(*parameters: tuple[str, str | int]) -> str:
    return urlencode(parameters, safe=_PUNCTUATION)
