"""Query: paths of fields, and how filters are ANDed."""

from __future__ import annotations

import dataclasses

import pytest

from falcorest.query import EVERYTHING, NOTHING, Query, conjunction, is_path


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "_id",
        "a.b",
        "a.0.b",
        "größe",
        "a b",
        "a-b",
        "a$",
        "a.b$c",
        "a\nb",
        "and",
        "5",
        "ﬁ",
        "[0]",
    ],
)
def test_a_path_has_parts_of_plain_names(text: str) -> None:
    assert is_path(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "$",
        "$a",
        "a.$b",
        "a.$",
        "a.$[]",
        "a.$[x].b",
        "\0",
        "a\0",
        "a.b\0c",
    ],
)
def test_a_path_has_no_empty_part_no_leading_dollar_and_no_nul(text: str) -> None:
    assert not is_path(text)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], {}),
        ([{}], {}),
        ([{"a": 1}], {"a": 1}),
        ([{"a": 1}, {"b": 2}], {"a": 1, "b": 2}),
        ([{"a": 1}, {"a": 2}], {"$and": [{"a": 1}, {"a": 2}]}),
        ([{"a": 1}, {"b": 3}, {"a": 2}], {"$and": [{"a": 1, "b": 3}, {"a": 2}]}),
        (
            [{"$or": [{"a": 1}]}, {"$or": [{"b": 2}]}],
            {"$and": [{"$or": [{"a": 1}]}, {"$or": [{"b": 2}]}]},
        ),
        ([{}, {"a": 1}], {"a": 1}),
    ],
)
def test_conjunction_keeps_every_condition(conditions: list[dict], expected: dict) -> None:
    assert conjunction(conditions) == expected


def test_conjunction_leaves_its_parts_as_they_were() -> None:
    parts = [{"a": 1}, {"b": 2}, {"a": 3}]
    conjunction(parts)
    assert parts == [{"a": 1}, {"b": 2}, {"a": 3}]


def test_where_narrows_and_keeps_the_rest() -> None:
    query = Query({"a": 1}, projection=("a",), sort=(("a", -1),), skip=2, limit=3)
    assert query.where({"b": 2}) == dataclasses.replace(query, rule={"b": 2})
    assert query.where({"b": 2}).condition == {"b": 2, "a": 1}
    assert query.where({"a": 2}).condition == {"$and": [{"a": 2}, {"a": 1}]}
    assert query.where({"b": 2}).where({"c": 3}).condition == {"c": 3, "b": 2, "a": 1}
    assert (query.filter, query.rule, query.condition) == ({"a": 1}, {}, {"a": 1})


def test_a_rule_is_no_filter_of_the_client() -> None:
    assert EVERYTHING.where({"a": 1}).filter == {}


def test_none_matches_nothing_and_stays_apart_from_a_filter_on_the_id() -> None:
    assert EVERYTHING.none().condition == NOTHING == {"_id": {"$in": []}}
    assert Query({"_id": 5}).none().condition == {"$and": [{"_id": {"$in": []}}, {"_id": 5}]}


def test_a_query_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EVERYTHING.limit = 5  # type: ignore[misc]
    assert Query() == EVERYTHING
