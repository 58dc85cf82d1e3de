"""What is known of indexes, and how long: verdicts by the shape of a query."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from bson import SON, ObjectId, Regex

from falcorest.database import Transactions
from falcorest.paging import VERDICTS, Index, Pager, _shape, only_index, serves_whole_order
from falcorest.policy import Policy
from falcorest.query import Keyset, Query, conjunction
from tests.support import Api

#: What stands in a filter for a field.
ARGUMENTS: list[Any] = [
    *(5, None, "x", "$x", ObjectId(), [1], ["$in"], re.compile("a"), Regex("a")),
    *({}, {"x": 1}, {"x": 1, "$in": [1]}, SON(x=1)),
    *({"$eq": 1}, {"$in": [1, 2]}, {"$in": []}, {"$gt": 1, "$in": [1]}, {"$not": {"$eq": 1}}),
    *({"$gt": 1}, {"$gt": 1, "$lt": 5}, {"$ne": 1}, {"$exists": True}, {"$all": [1]}),
    *(SON([("$gt", 1)]), SON([("$in", [1])]), SON([("$eq", 1)])),
]
NAMES = ("a", "b", "_id")
SORTS = [(), *((one,) for one in (("a", 1), ("b", -1), ("_id", 1))), (("a", 1), ("b", 1))]
INDEX_SETS = [
    [Index("", (("_id", 1),), True), *more]
    for more in (
        [],
        [Index("", (("a", 1),), True)],
        [Index("", (("a", 1),), True), Index("", (("b", 1),), True)],
        [Index("", (("a", 1), ("b", 1), ("_id", 1)), True)],
        [Index("", (("b", -1), ("_id", -1)), True), Index("", (("a", "hashed"),), False)],
        [Index("", (("a", 1), ("_id", 1)), False), Index("", (("a", 1), ("b", 1)), True)],
    )
]


def conditions() -> Iterator[dict[str, Any]]:
    for argument in ARGUMENTS:
        for name in NAMES:
            yield {name: argument}
    for one, other in itertools.product(ARGUMENTS, repeat=2):
        yield {"a": one, "b": other}
        yield {"_id": one, "a": other}
    for one in ARGUMENTS:
        for logic in ("$and", "$or", "$nor"):
            yield {logic: [{"a": one}, {"b": 1}]}
            yield {"b": 1, logic: [{"a": one}]}
        yield conjunction([{"a": one}, {"a": 1}])
        yield conjunction([{"a": one}, {"b": 1}])


def verdict(condition: Mapping[str, Any], sort: Any, indexes: Any) -> Index | None:
    asked = (condition, sort, indexes)
    return None if serves_whole_order(*asked) else only_index(*asked)


def test_queries_of_one_shape_are_read_in_one_way() -> None:
    for sort in SORTS:
        shapes: dict[Any, list[Any]] = {}
        for condition in conditions():
            shape = _shape(condition, sort)
            if shape is not None:
                shapes.setdefault(shape, []).append(condition)
        assert any(len(alike) > 100 for alike in shapes.values())
        for indexes, alike in itertools.product(INDEX_SETS, shapes.values()):
            assert len({verdict(one, sort, indexes) for one in alike}) == 1, alike


def test_sorts_and_the_order_of_fields_are_part_of_the_shape() -> None:
    """Nothing else than values is left out."""
    shapes = {_shape({"a": 1}, sort) for sort in SORTS}
    assert len(shapes) == len(SORTS)
    assert _shape({"a": 1}, ()) == _shape({"a": {"$eq": 2}}, ())
    assert _shape({"a": 1}, ()) != _shape({"b": 1}, ())
    assert _shape({"a": 1}, ()) != _shape({"a": {"$gt": 1}}, ())
    assert _shape({"a": 1}, [("a", 1)]) == _shape({"a": 1}, (("a", 1),))


def pager(api: Api) -> Pager:
    return Pager(api.database, "rocket_engines", Policy(), Transactions(api.database))


def query_of(condition: dict[str, Any], sort: Any = ()) -> Query:
    return Query(condition, sort=sort, limit=5, keyset=Keyset())


QUERIES = [query_of({"a": 1}, (("b", 1),)), query_of({"a": {"$gt": 1}}), query_of({}, [("a", 1)])]


@pytest.mark.live
def test_what_indexes_there_are_is_asked_again(api: Api) -> None:
    found = []
    for keys in ("", "a", "ab", "b"):
        api.rockets.drop_indexes()
        for key in keys:
            api.rockets.create_index(key)
        known = pager(api)
        found.append([known._only_index(one) for one in QUERIES])
        old = pager(api)
        old._only_index(QUERIES[0])
        api.rockets.create_index([("a", 1), ("b", 1), ("_id", 1)])
        old._indexes.until = 0
        known = pager(api)
        assert [old._only_index(one) for one in QUERIES] == [
            known._only_index(one) for one in QUERIES
        ]
    assert len({tuple(one) for one in found}) > 1


@pytest.mark.live
def test_threads_that_ask_at_once_find_the_same(api: Api) -> None:
    known = pager(api)

    def ask(number: int) -> list[Index | None]:
        if number % 7 == 0:
            known._indexes.until = 0
        return [known._only_index(one) for one in QUERIES]

    for keys in (["a"], ["a", "b"], []):
        api.rockets.drop_indexes()
        for key in keys:
            api.rockets.create_index(key)
        known._indexes.until = 0
        expected = [pager(api)._only_index(one) for one in QUERIES]
        ask(0)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(200))) == [expected] * 200


@pytest.mark.live
def test_no_more_verdicts_are_kept_than_there_are_places(api: Api) -> None:
    known = pager(api)
    for number in range(VERDICTS + 50):
        expected = pager(api)._only_index(query_of({f"f{number}": 1}))
        assert known._only_index(query_of({f"f{number}": 1})) is expected
        known._only_index(query_of({"$or": [{"a": number}]}))
    assert len(known._indexes.found[1]) == VERDICTS
