"""What a dialect is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from falcorest.errors import QueryError
from falcorest.query import Query


class Dialect(Protocol):
    """How a query string is read, and how an answer is wrapped.

    The view owns methods and statuses; this owns the query string, the wrapping and the
    limit of a list that names none.
    """

    #: The most documents in a list without a limit; None sends all of them.
    default_limit: int | None

    def parse_list(self, query_string: str) -> Query:
        """Read the query string of a list."""

    def parse_item(self, query_string: str) -> Query:
        """Read the query string of a request for one document; it has no filter."""

    def parse_bulk(self, query_string: str) -> Query:
        """Read the query string of a bulk write: its filter is all that counts."""

    def page(self, has_more: bool | None) -> tuple[bytes, bytes]:
        """Return what stands before and behind the documents of a list.

        Args:
            has_more: Whether more documents follow; None when all of them are sent.
        """

    def next_page(self, query_string: str, query: Query) -> str:
        """Return the query string of the page that follows."""

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
    for part in query_string.split("&"):
        if not part:
            continue
        name, equals, value = part.partition("=")
        if "%" in part or "+" in part or not part.isascii():
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
