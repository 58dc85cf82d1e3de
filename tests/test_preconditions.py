"""Preconditions: lists of entity tags, and what they ask of a representation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falcorest.errors import BadRequest, PreconditionFailed
from falcorest.preconditions import Preconditions, Tags, tag_of


def read(value: str) -> Tags:
    return Tags.read("If-Match", value)


def asking(match: str | None = None, none_match: str | None = None) -> Preconditions:
    environ: dict[str, Any] = {"HTTP_IF_MATCH": match, "HTTP_IF_NONE_MATCH": none_match}
    found = Preconditions.of({name: one for name, one in environ.items() if one is not None})
    assert found is not None
    return found


def test_a_tag_is_of_the_bytes_and_nothing_else() -> None:
    assert tag_of(b"{}") == tag_of(b"{}")
    assert tag_of(b"{}") != tag_of(b"{} ")
    assert read(tag_of(b"x")).strong == {tag_of(b"x")}


@pytest.mark.parametrize(
    ("value", "strong", "weak"),
    [
        ('"a"', {'"a"'}, set()),
        ('W/"a"', set(), {'"a"'}),
        ('"a","b"', {'"a"', '"b"'}, set()),
        ('"a" , W/"b"\t,"c"', {'"a"', '"c"'}, {'"b"'}),
        (' "a" ', {'"a"'}, set()),
        # RFC 9110, section 5.6.1.2: empty elements are ignored.
        (',, "a" ,, ,"b",', {'"a"', '"b"'}, set()),
        ('""', {'""'}, set()),
        ('"a,b"', {'"a,b"'}, set()),
        ('"W/a"', {'"W/a"'}, set()),
        ('"!#$%&\'()*+-./:;<=>?@[\\]^_`{|}~"', {'"!#$%&\'()*+-./:;<=>?@[\\]^_`{|}~"'}, set()),
        ('"\x80\xe9\xff"', {'"\x80\xe9\xff"'}, set()),
        ('"*"', {'"*"'}, set()),
        ('"a-gzip"', {'"a"'}, set()),
        ('W/"a-br", "b-zstd", "c-deflate"', {'"b"', '"c"'}, {'"a"'}),
        ('"a-gzip-gzip", "gzip", "a-gzipped"', {'"a-gzip"', '"gzip"', '"a-gzipped"'}, set()),
    ],
)
def test_a_list_of_tags(value: str, strong: set[str], weak: set[str]) -> None:
    assert read(value) == Tags(frozenset(strong), frozenset(weak))


@pytest.mark.parametrize("value", ["*", " *", "* \t"])
def test_whatever_there_is(value: str) -> None:
    assert read(value) == Tags(frozenset(), frozenset(), any=True)


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", ",", "a", '"', '"a', 'a"', "'a'", '"a" "b"', '"a""b"', 'w/"a"', 'W/ "a"'),
        *('W/a"', '"a b"', '"a\tb"', '"a\x7f"', '"a\x00"', '*, "a"', '"a", *', "**", "W/*"),
        *('"a";q=1', '"a"\n', '"\u0100"'),
    ],
)
def test_what_is_no_list_of_tags_is_refused(value: str) -> None:
    for header in ("If-Match", "If-None-Match"):
        with pytest.raises(BadRequest) as caught:
            Tags.read(header, value)
        assert caught.value.code == "precondition.malformed"
        assert header in caught.value.detail


@given(st.text(alphabet='",W/ \ta*-gzip', max_size=40))
def test_nothing_else_is_raised(value: str) -> None:
    try:
        tags = read(value)
    except BadRequest:
        return
    assert tags.any or tags.strong or tags.weak
    assert all(tag[0] == tag[-1] == '"' for tag in tags.strong | tags.weak)


def test_none_are_asked_without_headers() -> None:
    assert Preconditions.of({"HTTP_ACCEPT": "*/*"}) is None


@pytest.mark.parametrize(
    ("match", "none_match", "holds"),
    [
        ('"a"', None, True),
        ('"b", "a"', None, True),
        ('"a-gzip"', None, True),
        ('W/"a"', None, False),
        ('"b"', None, False),
        ("*", None, True),
        (None, '"b"', True),
        (None, '"a"', False),
        (None, 'W/"a"', False),
        (None, "*", False),
        ('"a"', '"b"', True),
        ('"a"', '"a"', False),
        ('"b"', '"b"', False),
        ("*", "*", False),
    ],
)
def test_what_holds_of_what_is_there(
    match: str | None, none_match: str | None, holds: bool
) -> None:
    preconditions = asking(match, none_match)
    if holds:
        preconditions.require('"a"')
        return
    with pytest.raises(PreconditionFailed) as caught:
        preconditions.require('"a"')
    assert caught.value.code == "precondition.failed"
    assert ("If-None-Match" in caught.value.detail) == (match != '"b"' and match != 'W/"a"')


@pytest.mark.parametrize(
    ("match", "none_match", "holds"),
    [("*", None, True), ('"a"', None, False), (None, '"a"', True), (None, "*", False)],
)
def test_what_holds_of_what_has_no_tag(
    match: str | None, none_match: str | None, holds: bool
) -> None:
    if holds:
        asking(match, none_match).require(None)
    else:
        with pytest.raises(PreconditionFailed):
            asking(match, none_match).require(None)


@pytest.mark.parametrize(
    ("match", "none_match", "needs_tag", "asks_for_none"),
    [
        ("*", None, False, False),
        ('"a"', None, True, False),
        (None, "*", False, True),
        (None, '"a"', True, False),
        ("*", '"a"', True, False),
        ('"a"', "*", True, True),
    ],
)
def test_what_they_take_to_judge(
    match: str | None, none_match: str | None, needs_tag: bool, asks_for_none: bool
) -> None:
    preconditions = asking(match, none_match)
    assert preconditions.needs_tag is needs_tag
    assert preconditions.asks_for_none is asks_for_none
