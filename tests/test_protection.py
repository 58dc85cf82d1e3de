"""Protection: what is kept when a client sends back what it has read."""

from __future__ import annotations

from typing import Any

import pytest

from falcorest.errors import Forbidden
from falcorest.protection import Protection, is_same, pair


@pytest.mark.parametrize(
    ("sent", "shown", "before"),
    [
        ("", "", []),
        ("abc", "abc", [0, 1, 2]),
        ("cab", "abc", [2, 0, 1]),
        ("aab", "aab", [0, 1, 2]),
        ("baa", "aab", [2, 1, 0]),
        ("axc", "abc", [0, 1, 2]),
        ("xbc", "abc", [0, 1, 2]),
        ("cxa", "abc", [2, 1, 0]),
        ("abcd", "abc", [0, 1, 2, None]),
        ("dabc", "abc", [None, 0, 1, 2]),
        ("xyzabc", "abc", [None, None, None, 0, 1, 2]),
        ("ab", "abc", [0, 1]),
        ("ax", "abc", [0, None]),
        ("x", "", [None]),
        ("", "abc", []),
        ("aaaa", "aa", [0, 1, None, None]),
        ("bb", "ab", [0, 1]),
        ("cbb", "abc", [2, 1, 0]),
        ("cbbx", "abc", [2, 1, 0, None]),
    ],
)
def test_an_item_is_the_one_that_it_equals_or_the_one_at_its_place(
    sent: str, shown: str, before: list[int | None]
) -> None:
    assert pair(list(sent), list(shown)) == before


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1, True),
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (0, None, False),
        ("1", 1, False),
        (float("nan"), float("nan"), True),
        ({"a": 1, "b": [2]}, {"b": [2], "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ([1], 1, False),
    ],
)
def test_what_is_sent_back_as_it_was(one: Any, other: Any, same: bool) -> None:
    assert is_same(one, other) is same
    assert is_same(other, one) is same


MANY = range(20_000)


@pytest.mark.parametrize(
    "sent",
    [
        [{"n": -1 - n} for n in MANY],
        [{"n": 1} for n in MANY],
        [{"n": n} for n in reversed(MANY)],
    ],
    ids=["all changed", "all the same", "turned around"],
)
def test_long_lists_are_paired_soon(sent: list[Any]) -> None:
    """In minutes if each item were held against each other one."""
    stored = {"a": [{"n": n, "secret": n} for n in MANY]}
    kept = Protection.of(["a.secret"], []).kept_in_replacement({"a": sent}, stored)
    assert sorted(item["secret"] for item in kept["a"]) == list(MANY)
    assert [item["n"] for item in kept["a"]] == [item["n"] for item in sent]


def test_lists_in_lists_are_read_once() -> None:
    def around(items: list[Any]) -> list[Any]:
        for _ in range(90):
            items = [items]
        return items

    stored = {"a": around([{"n": n, "secret": n} for n in MANY])}
    sent = {"a": around([{"n": n + 1} for n in MANY])}
    kept = Protection.of(["a.secret"], []).kept_in_replacement(sent, stored)["a"]
    while isinstance(kept[0], list):
        (kept,) = kept
    assert sorted(item["secret"] for item in kept) == list(MANY)


def test_an_object_may_not_lose_what_it_holds() -> None:
    protection = Protection.of(["a.b.secret"], ["a.stamp"])
    stored = {"a": {"b": {"secret": 1, "x": 2}, "stamp": 3}}
    for sent in ({}, {"a": {}}, {"a": {"b": 5}}, {"a": {"b": {}, "stamp": 4}}, {"a": None}):
        with pytest.raises(Forbidden) as caught:
            protection.kept_in_replacement(sent, stored)
        assert caught.value.code == "policy.field"
    kept = protection.kept_in_replacement({"a": {"b": {}}}, stored)
    assert kept == {"a": {"b": {"secret": 1}, "stamp": 3}}
