"""Paths: which paths belong to a set, and what of it is below them."""

from __future__ import annotations

from typing import Any

import pytest

from falcorest.paths import Paths, Tree, value_at

PATHS = Paths(["a", "b.c", "b.d.e", "list.x"])


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("a", {}),
        ("a.x", {}),
        ("a.0.x", {}),
        ("aa", None),
        ("0", None),
        ("0.a", None),
        ("b", {"c": {}, "d": {"e": {}}}),
        ("b.3", {"c": {}, "d": {"e": {}}}),
        ("b.3.7", {"c": {}, "d": {"e": {}}}),
        ("b.c", {}),
        ("b.c.x", {}),
        ("b.0.c", {}),
        ("b.0.1.c.2.x", {}),
        ("b.x", None),
        ("b.x.c", None),
        ("b.d", {"e": {}}),
        ("b.0.d.1", {"e": {}}),
        ("b.0.d.1.e", {}),
        ("c", None),
        ("list.x", {}),
        ("list.y", None),
        ("list.-1.x", None),
    ],
)
def test_what_is_below_a_path(path: str, below: Tree | None) -> None:
    assert PATHS.below(path) == below


def test_a_number_may_be_a_name_and_the_place_in_a_list() -> None:
    paths = Paths(["a.0.b", "a.c"])
    assert paths.below("a.0.b") == {}
    assert paths.below("a.0.c") == {}
    assert paths.below("a.0") == {"b": {}, "0": {"b": {}}, "c": {}}
    assert paths.below("a.1.0.b") == {}
    assert paths.below("a.0.d") is None


def test_what_is_below_another_path_of_the_set_adds_nothing() -> None:
    paths = Paths(["a.b.c", "a.b", "d", "d.e", "d"])
    assert list(paths) == ["d", "a.b"]
    assert paths.tree == {"d": {}, "a": {"b": {}}}


def test_an_empty_set() -> None:
    assert not Paths()
    assert Paths().below("a.b") is None
    assert list(Paths()) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a", {"b": [{"c": 1}, 5]}),
        ("a.b.0.c", 1),
        ("a.b.1", 5),
        ("a.b.2", ...),
        ("a.b.c", ...),
        ("a.x", ...),
        ("n.0", ...),
        ("d.0", "zero"),
    ],
)
def test_what_is_at_a_path(path: str, value: Any) -> None:
    document = {"a": {"b": [{"c": 1}, 5]}, "n": 5, "d": {"0": "zero"}}
    if value is ...:
        with pytest.raises(LookupError):
            value_at(document, path)
    else:
        assert value_at(document, path) == value
