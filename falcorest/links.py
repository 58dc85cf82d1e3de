"""Links: from one page of a list to the others, by the ``Link`` header.

Source: https://www.rfc-editor.org/rfc/rfc8288
"""

from __future__ import annotations

from falcorest.dialects import Dialect
from falcorest.dialects.base import Place as Parameter
from falcorest.errors import QueryError
from falcorest.keyset import Cursors
from falcorest.query import Keyset, Place, Query


def begin(query: Query, limit: int | None, cursors: Cursors) -> Query:
    """Return the query of a list with its limit, and with what links from its page are made of.

    Raises:
        QueryError: It names a cursor that is none.
    """
    if query.cursor is None:
        return query if limit is None else query.paged(limit, Keyset())
    parameter, text = query.cursor
    place = cursors.read(text, parameter) if text else None
    return query.paged(limit, Keyset(parameter, place))


def link_header(
    address: str,
    query_string: str,
    query: Query,
    has_more: bool | None,
    dialect: Dialect,
    cursors: Cursors,
) -> str | None:
    """Return the links from a page that was read, or None if there are none.

    Args:
        address: Of the list, without a query string.
        query_string: That of the page.
        query: What it was read by.
        has_more: Whether more follows; None for what was noted when it was read.
        dialect: Writes query strings.
        cursors: Writes places.

    Raises:
        QueryError: The client pages by cursor, and the page can't be paged by.
    """
    keyset = query.keyset
    if keyset is None:
        return None
    if keyset.parameter is not None and not keyset.used:
        raise QueryError(
            "query.invalid_cursor", "This list has no cursors.", parameter=keyset.parameter
        )
    if not query.limit:
        return None
    more = bool(keyset.after if has_more is None else has_more)
    others = _by_cursor(query, keyset, more, cursors)
    if others is None:
        others = _by_number(query.skip, query.limit, more)
    links = [
        f'<{address}?{dialect.page_at(query_string, query.limit, parameter)}>; rel="{relation}"'
        for relation, parameter in others.items()
    ]
    return ", ".join(links) or None


def _by_cursor(
    query: Query, keyset: Keyset, more: bool, cursors: Cursors
) -> dict[str, Parameter | None] | None:
    if query.skip or not keyset.ordered:
        return None
    others: dict[str, Parameter | None] = {}
    for relation, there, parameter, place in (
        ("next", more, "_after", keyset.last),
        ("prev", keyset.before, "_before", keyset.first),
    ):
        if not there:
            continue
        text = _written(place, cursors)
        if text is None:
            if keyset.parameter is None:
                return None
            raise QueryError(
                "query.invalid_sort",
                "The values that this list is sorted by are too long for a cursor; _skip leads "
                "from page to page here.",
                parameter=keyset.parameter,
            )
        others[relation] = (parameter, text)
    if keyset.before:
        others["first"] = ("_after", "")
    return others


def _written(place: Place | None, cursors: Cursors) -> str | None:
    # NOTE: beside an empty page is the first one, or the last.
    return "" if place is None else cursors.write(place)


def _by_number(skip: int, limit: int, more: bool) -> dict[str, Parameter | None]:
    others: dict[str, Parameter | None] = {}
    if more:
        others["next"] = ("_skip", skip + limit)
    if skip:
        others |= {"prev": ("_skip", max(skip - limit, 0)), "first": None}
    return others
