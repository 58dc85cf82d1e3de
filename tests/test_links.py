"""Links between the pages of a list: they ask for the same list, at another place."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus

from hypothesis import example, given, settings
from hypothesis import strategies as st

from falcorest.dialects.base import page_at, pairs
from falcorest.dialects.typed import TypedDialect
from falcorest.errors import QueryError
from falcorest.query import Query

DIALECT = TypedDialect(regex=True)
PAGING = {"_limit", "_skip", "_after", "_before"}

#: What may stand in a header between < and >, by RFC 3986.
SAFE = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*")

ODD = st.sampled_from("[]()\"\\<>,;:&=+%# ?!*~^`{}|'/@$\t\n\0éß€🚀[[.")
TEXTS = st.text(ODD | st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = (
    st.sampled_from(["a", "a.b", "_id", "größe", "_sort", "_count", *PAGING])
    | TEXTS
    | TEXTS.map("_limit".__add__)
)
VALUES = (
    st.sampled_from(
        [
            *("5", "x", "int[int].5", "gte[int].1", "in[list-str].[a,b c,&]", 'eq[str].[a"]b'),
            *("not.regex[str].^a+%[b]", "[null].", "exists[bool].true", "[datetime].2021-11-01"),
            *("(a:ascending),(b:descending)", '(a.eq[str]."x,\\")",b.in[list-int].[1,2])'),
        ]
    )
    | TEXTS
)


def raw(text: str) -> str:
    """Return a text as WSGI hands it over where a client has encoded only what it must."""
    must = {character: quote(character) for character in "%&=+#"}
    return "".join(must.get(one, one) for one in text).encode().decode("latin-1")


ENCODINGS = st.sampled_from([quote, quote_plus, raw, lambda text: quote(text, safe="[](),:")])
PLACES = st.one_of(
    st.none(),
    st.tuples(st.just("_skip"), st.integers(0, 10**6)),
    st.tuples(st.sampled_from(["_after", "_before"]), TEXTS | st.just("Az09-_.~")),
)


@given(
    st.lists(st.tuples(NAMES, VALUES, ENCODINGS, ENCODINGS), max_size=5),
    st.integers(1, 10**6),
    PLACES,
)
@example([("a", "[x]", quote, raw), ("_limit", "5", raw, raw)], 20, ("_skip", 20))
@example([("%5Flimit", "5", raw, quote)], 20, None)
@settings(max_examples=400, deadline=None)
def test_a_link_asks_for_the_same_list_at_another_place(
    parameters: Any, limit: int, place: Any
) -> None:
    query_string = "&".join(
        f"{of_name(name)}={of_value(value)}" for name, value, of_name, of_value in parameters
    )
    asked = [(name, value) for name, value, *_ in parameters]
    assert [*pairs(query_string)] == asked
    other = page_at(query_string, limit, place)
    assert SAFE.fullmatch(other), other
    kept = [(name, value) for name, value in asked if name not in PAGING]
    added = [("_limit", str(limit))] + ([(place[0], str(place[1]))] if place else [])
    assert [*pairs(other)] == kept + added
    # What is linked is linked again in the same way.
    assert page_at(other, limit, place) == other
    assert_same_list(query_string, other, limit, place)


def assert_same_list(query_string: str, other: str, limit: int, place: Any) -> None:
    try:
        query = DIALECT.parse_list(query_string)
    except QueryError:
        return
    at: dict[str, Any] = {"skip": 0, "cursor": None}
    if place is not None and place[0] == "_skip":
        at["skip"] = place[1]
    elif place is not None:
        at["cursor"] = place
    expected: Query = replace(query, limit=limit, **at)
    assert repr(DIALECT.parse_list(other)) == repr(expected)


@given(st.text("%5Fablimt_=&+[]", max_size=20))
@settings(max_examples=300, deadline=None)
def test_no_parameter_of_a_page_is_left_however_it_is_spelt(query_string: str) -> None:
    try:
        asked = [*pairs(query_string)]
    except QueryError:
        return
    kept = [(name, value) for name, value in asked if name not in PAGING]
    assert [*pairs(page_at(query_string, 7, None))] == [*kept, ("_limit", "7")]
