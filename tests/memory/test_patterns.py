"""Patterns in memory: what could hold the process up isn't begun."""

from __future__ import annotations

import re
import time

import mongomock
import pytest
from pymongo.errors import ExecutionTimeout

from falcorest.memory import collection, open_collection
from falcorest.memory.patterns import MAX_STEPS, _parser, _ways, searcher

#: Repeated choices: the ways double with each character.
CATASTROPHIC = [
    *("(a+)+$", "^(a+)+$", "(a*)*b", "(a|aa)+$", "(a|a)*b", "(.+)+[bc]", "(?:a?){50}b", "(a+?)+?b"),
    *("^(([a-z])+.)+[A-Z]([a-z])+$", "((){1000}){1000}", "((a{1,9}){1,9}){1,9}b", "(?=(a+)+$)a"),
    *("(?i)(a+)+$", "(?x) ( a + ) + $", "(?x)# [\n(a+)+$# ]", "(?#[)(a+)+$(?#])", r"(\d+|\w+)*-"),
]
#: Choices one after the other: it depends on the length of the text.
POLYNOMIAL = [
    *("a*a*a*[^a!]", "a*[^a!]", ".*a.*a.*[^a!]", "(a|a)" * 20 + "[^a!]", "a?" * 20 + "[^a!]"),
    *(r"(a*)\1[^a!]", "(?:a{2})+[^a!]", "(a)?(?(1)a*|b*)[^a!]", "(?=a*)a*[^a!]", "(?>a*)a*[^a!]"),
]
HARMLESS = [
    *("^RD-", "b$", "a|b", "^$", "[a-z]+", "foo|bar|baz", "(ab)*c", r"^(\d{2}:){2}\d{2}$", ".*x"),
    *(r"\w+@\w+\.\w+", "(?i)north", "a{3,}", "(?:ab){2}", "(a|b)?c", "", "()", "a+?b", r"(a)\1"),
]


@pytest.mark.parametrize("pattern", CATASTROPHIC)
def test_a_choice_that_is_repeated_is_not_begun(pattern: str) -> None:
    with pytest.raises(NotImplementedError):
        searcher(pattern)


@pytest.mark.parametrize("pattern", POLYNOMIAL)
def test_a_text_that_is_too_long_for_a_pattern_is_not_searched(pattern: str) -> None:
    search = searcher(pattern)
    started = time.monotonic()
    assert not search("aaaaaaaa!")
    with pytest.raises(NotImplementedError):
        search("a" * 100_000 + "!")
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("pattern", HARMLESS)
@pytest.mark.parametrize("text", ["", "RD-180", "north@pole.example", "ab" * 20, "09:30:00", "aaa"])
def test_what_is_harmless_is_searched_for(pattern: str, text: str) -> None:
    assert searcher(pattern)(text) is (re.search(pattern, text) is not None)


@pytest.mark.parametrize("pattern", ["(?:a{2})+[^a!]", "a*[^a!]"])
def test_the_most_steps_take_no_more_than_seconds(pattern: str) -> None:
    parsed = _parser.parse(pattern)
    longest = next(n for n in range(20_000, 0, -1) if n * _ways(parsed, n) <= MAX_STEPS)
    started = time.monotonic()
    assert not searcher(pattern)("a" * (longest - 1) + "!")
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("pattern", ["(", "[", "a{99999999999}", "(" * 5000 + ")" * 5000, "*"])
def test_a_pattern_that_can_not_be_read_is_an_error_of_its_own(pattern: str) -> None:
    with pytest.raises(re.error):
        searcher(pattern)


def test_a_query_that_has_searched_for_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "MAX_SECONDS", -1.0)
    things = open_collection(mongomock.MongoClient()["db"], "things")
    assert things.find_one({"a": 1}) is None
    things.insert_one({"_id": 1, "a": 1})
    with pytest.raises(ExecutionTimeout):
        things.find({"a": 1})
