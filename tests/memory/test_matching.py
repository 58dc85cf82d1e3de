"""Filters, sorts and projections on plain documents, and BSON's order of values."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from pymongo.errors import OperationFailure

from falcorest.memory.bson_order import MISSING, order, type_name
from falcorest.memory.matching import index_keys, matches, project, sort_documents

NAN = float("nan")
OID = ObjectId("6195b0eb829a2784b4459a01")

#: By type, and within each type, from the least to the greatest.
IN_ORDER: list[Any] = [
    MinKey(),
    None,
    *(NAN, float("-inf"), -1, Decimal128("0.1"), 0.1, 1, Decimal128("1.5"), 2**40, float("inf")),
    *("", "A", "a", "ab", "é", "\U0001f680"),
    *({}, {"a": 1}, {"a": 1, "b": 1}, {"b": 1}, DBRef("a", 1), {"a": "x"}),
    *([], [None], [1], [1, 0], [2], [[]]),
    *(b"", b"b", Binary(b"a", 128), b"aa"),
    *(OID, ObjectId("ffffffffffffffffffffffff")),
    *(False, True),
    *(DatetimeMS(-(10**15)), datetime(1960, 1, 1), datetime(2021, 11, 1)),
    *(Timestamp(1, 2), Timestamp(2, 1)),
    *(Regex("a"), Regex("a", "i"), Regex("b")),
    *(Code("a"), Code("a", {}), Code("a", {"b": 1})),
    MaxKey(),
]


def test_the_order_of_values() -> None:
    shuffled = random.Random(1).sample(IN_ORDER, len(IN_ORDER))
    assert [order(value) for value in sorted(shuffled, key=order)] == [
        order(value) for value in IN_ORDER
    ]
    assert len({order(value) for value in IN_ORDER}) == len(IN_ORDER)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, Int64(1)),
        (1, Decimal128("1.00")),
        (0.0, -0.0),
        (NAN, Decimal128("NaN")),
        (None, MISSING),
        (b"a", Binary(b"a", 0)),
        (datetime(2021, 11, 1), datetime(2021, 11, 1, tzinfo=UTC)),
        (datetime(2021, 11, 1), DatetimeMS(1635724800000)),
        (Regex("a", "i"), re.compile("a", re.I)),
        ({"a": [1]}, {"a": [1.0]}),
        (DBRef("a", 1), {"$ref": "a", "$id": 1}),
    ],
)
def test_values_that_are_equal(one: Any, other: Any) -> None:
    if not isinstance(other, re.Pattern):
        assert order(one) == order(other)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        *((1.0, "double"), ("a", "string"), ({}, "object"), (DBRef("a", 1), "object")),
        *(([], "array"), (b"", "binData"), (OID, "objectId"), (True, "bool"), (None, "null")),
        *((datetime.min, "date"), (DatetimeMS(0), "date"), (Regex("a"), "regex")),
        *((Code("a"), "javascript"), (Code("a", {}), "javascriptWithScope")),
        *((1, "int"), (2**31, "long"), (Int64(1), "long"), (Decimal128("1"), "decimal")),
        *((Timestamp(1, 1), "timestamp"), (MinKey(), "minKey"), (MaxKey(), "maxKey")),
    ],
)
def test_the_names_of_types(value: Any, name: str) -> None:
    assert type_name(value) == name
    assert matches({"a": value}, {"a": {"$type": name}})
    if name != "array":
        assert matches({"a": [value]}, {"a": {"$type": name}})


def test_a_value_that_bson_does_not_have() -> None:
    with pytest.raises(NotImplementedError):
        type_name(object())


@pytest.mark.parametrize(
    ("filter", "yes", "no"),
    [
        ({}, [{}, {"a": 1}], []),
        ({"a": 1}, [{"a": 1}, {"a": 1.0}, {"a": Decimal128("1")}, {"a": [2, 1]}],
         [{}, {"a": True}, {"a": "1"}, {"a": [[1]]}, {"a": None}, {"a": {"a": 1}}]),
        ({"a": {"$eq": [1, 2]}}, [{"a": [1, 2]}, {"a": [[1, 2]]}], [{"a": [2, 1]}, {"a": 1}]),
        ({"a": {"b": 1, "c": 2}}, [{"a": {"b": 1, "c": 2}}, {"a": [{"b": 1, "c": 2.0}]}],
         [{"a": {"c": 2, "b": 1}}, {"a": {"b": 1}}]),
        ({"a": {"$eq": False}}, [{"a": False}], [{"a": 0}, {}, {"a": None}]),
        ({"a": {"$eq": None}}, [{}, {"a": None}, {"a": [None]}], [{"a": 0}, {"a": []}]),
        ({"a": {"$ne": 1}}, [{}, {"a": [2]}, {"a": "1"}], [{"a": 1}, {"a": [1, 2]}]),
        ({"a": {"$ne": None}}, [{"a": 1}, {"a": []}], [{}, {"a": None}, {"a": [1, None]}]),
        ({"a": {"$gt": 1}}, [{"a": 2}, {"a": Decimal128("1.1")}, {"a": [0, 2]}],
         [{"a": 1}, {"a": NAN}, {"a": "2"}, {"a": True}, {}, {"a": [1]}, {"a": [[2]]}]),
        ({"a": {"$lt": 1}}, [{"a": 0}, {"a": float("-inf")}],
         [{"a": NAN}, {"a": None}, {}, {"a": ""}, {"a": False}]),
        ({"a": {"$gte": "b"}}, [{"a": "b"}, {"a": "ba"}], [{"a": "a"}, {"a": 3}]),
        ({"a": {"$gte": None}}, [{}, {"a": None}, {"a": [None]}], [{"a": 1}, {"a": []}]),
        ({"a": {"$gt": None}}, [], [{}, {"a": None}, {"a": 1}]),
        ({"a": {"$lte": NAN}}, [{"a": NAN}], [{"a": 0}, {}]),
        ({"a": {"$gt": MinKey()}}, [{"a": 1}, {}, {"a": MaxKey()}], [{"a": MinKey()}]),
        ({"a": {"$lt": MaxKey()}}, [{"a": 1}, {}, {"a": MinKey()}], [{"a": MaxKey()}]),
        ({"a": {"$lt": datetime(2021, 1, 1)}}, [{"a": datetime(2020, 1, 1)}, {"a": DatetimeMS(0)}],
         [{"a": datetime(2021, 1, 1)}, {"a": Timestamp(1, 1)}]),
        ({"a": {"$gt": OID}}, [{"a": ObjectId("f" * 24)}], [{"a": OID}, {"a": "f" * 24}]),
        ({"a": {"$gt": False}}, [{"a": True}], [{"a": 1}, {"a": False}]),
        ({"a": {"$gt": 0, "$lt": 2}}, [{"a": 1}, {"a": [3, -1]}], [{"a": 2}, {"a": 0}]),
        ({"a": {"$in": [1, "x"]}}, [{"a": 1.0}, {"a": ["x"]}], [{}, {"a": 2}, {"a": [[1]]}]),
        ({"a": {"$in": [None]}}, [{}, {"a": None}], [{"a": 1}]),
        ({"a": {"$in": []}}, [], [{}, {"a": 1}]),
        ({"a": {"$nin": [1, 2]}}, [{}, {"a": 3}, {"a": [[1]]}], [{"a": 1}, {"a": [3, 2]}]),
        ({"a": {"$nin": []}}, [{}, {"a": 1}], []),
        ({"a": {"$all": [1, 2]}}, [{"a": [2, 3, 1]}], [{"a": [1]}, {"a": 1}, {}]),
        ({"a": {"$all": [1]}}, [{"a": 1}, {"a": [1]}], [{}]),
        ({"a": {"$all": []}}, [], [{}, {"a": []}, {"a": 1}]),
        ({"a": {"$not": {"$all": []}}}, [{}, {"a": []}], []),
        ({"a": {"$exists": True}}, [{"a": None}, {"a": []}], [{}, {"b": 1}]),
        ({"a": {"$exists": False}}, [{}, {"b": 1}], [{"a": None}]),
        ({"a.b": {"$exists": True}}, [{"a": {"b": 1}}, {"a": [1, {"b": None}]}],
         [{"a": 1}, {"a": []}, {"a": [1]}, {"a": [[{"b": 1}]]}]),
        ({"a": {"$size": 2}}, [{"a": [1, 2]}, {"a": [[], []]}],
         [{"a": "ab"}, {"a": {"x": 1, "y": 2}}, {"a": [[1, 2]]}, {"a": b"ab"}, {}]),
        ({"a": {"$size": 0}}, [{"a": []}], [{}, {"a": None}, {"a": ""}, {"a": {}}]),
        ({"a.b": {"$size": 1}}, [{"a": [{"b": [5]}]}], [{"a": {"b": 5}}]),
        ({"a": {"$type": "number"}}, [{"a": 1}, {"a": Int64(1)}, {"a": 1.0}, {"a": [1]}],
         [{"a": True}, {"a": "1"}, {}]),
        ({"a": {"$type": "null"}}, [{"a": None}], [{}]),
        ({"a": {"$type": "array"}}, [{"a": []}, {"a": [1]}], [{"a": {}}]),
        ({"a": {"$type": "undefined"}}, [], [{}, {"a": None}]),
        ({"a": {"$regex": "^x"}}, [{"a": "xy"}, {"a": ["a", "x"]}, {"a": Regex("^x")}],
         [{"a": "yx"}, {"a": 5}, {}, {"a": Code("x")}]),
        ({"a": {"$not": {"$gte": 1}}}, [{}, {"a": 0}, {"a": "x"}], [{"a": 1}, {"a": [0, 1]}]),
        ({"a": {"$not": {"$eq": 1}}}, [{}, {"a": {"x": 1}}], [{"a": 1}]),
        ({"a.b": {"$not": {"$size": 1}}}, [{}, {"a": 5}, {"a": {"b": 1}}], [{"a": {"b": [1]}}]),
        ({"$and": [{"a": 1}, {"b": 1}]}, [{"a": 1, "b": 1}], [{"a": 1}]),
        ({"$or": [{"a": 1}, {"b": 1}]}, [{"a": 1}, {"b": 1}], [{}]),
        ({"$nor": [{"a": 1}, {"b": 1}]}, [{}, {"a": 2}], [{"a": 1}, {"b": 1}]),
        ({"$or": [{"a": 1, "b": {"$gt": 1}}], "c": 1}, [{"a": 1, "b": 2, "c": 1}],
         [{"a": 1, "b": 2}, {"a": 1, "b": 1, "c": 1}]),
        ({"a.b": 1}, [{"a": {"b": 1}}, {"a": [{}, {"b": 1}]}, {"a": {"b": [1]}}],
         [{"a": 1}, {"a.b": 1}, {"a": [[{"b": 1}]]}]),
        ({"a.b": None}, [{}, {"a": 5}, {"a": {}}, {"a": [{}]}], [{"a": []}, {"a": [5]}]),
        ({"a.b.c": None}, [{"a": {"b": 1}}, {"a": [{"b": 1}]}], [{"a": {"b": [1]}}]),
        ({"a.0": 1}, [{"a": [1]}, {"a": {"0": 1}}, {"a": [{"0": 1}]}, {"a": {"0": [1]}}],
         [{"a": [2, 1]}, {"a": [[1]]}, {"a": 1}]),
        ({"a.00": 1}, [{"a": {"00": 1}}], [{"a": [1]}]),
        ({"a.0.0": 1}, [{"a": [[1]]}], [{"a": [1]}, {"a": [[[1]]]}]),
        ({"a.0.b": 1}, [{"a": [{"b": 1}]}, {"a": [{"b": [1]}]}], [{"a": [5, {"b": 1}]}]),
        ({"a.0.b": None}, [{"a": 5}, {"a": [{}]}], [{"a": [5]}, {"a": [[1]]}]),
        ({"a.x": 1}, [{"a": DBRef("c", 1, x=1)}, {"a": [DBRef("c", 1, x=1)]}], []),
    ],
)  # fmt: skip
def test_filters(filter: dict[str, Any], yes: list[Any], no: list[Any]) -> None:
    assert [document for document in yes if not matches(document, filter)] == []
    assert [document for document in no if matches(document, filter)] == []


@pytest.mark.parametrize(
    "filter",
    [
        {"$where": "1"},
        {"$expr": {}},
        {"$text": {}},
        {"a": {"$mod": [2, 1]}},
        {"a": {"$elemMatch": {"b": 1}}},
        {"a": {"$not": {"$near": 1}}},
        {"$or": [{"a": {"$foo": 1}}]},
        {"a": Regex("x")},
        {"a": {"$in": [re.compile("x")]}},
    ],
)
def test_what_is_not_known(filter: dict[str, Any]) -> None:
    with pytest.raises(NotImplementedError):
        matches({}, filter)


def test_a_pattern_that_cannot_be_read() -> None:
    with pytest.raises(re.error):
        matches({}, {"a": {"$regex": "("}})


@pytest.mark.parametrize(
    ("values", "sort"),
    [
        # From the first to the last; MISSING is left out of the document.
        ([MinKey(), [], None, 1, "a", {}, [[]], True, MaxKey()], [("a", 1)]),
        ([MaxKey(), True, [[]], {}, "a", 1, None, [], MinKey()], [("a", -1)]),
        ([MISSING, None, MISSING, 0], [("a", 1)]),
        ([[5, 1], 2, [3, 4]], [("a", 1)]),
        ([[5, 1], [3, 4], 2], [("a", -1)]),
        ([{"b": 0}, [{"b": 5}, {"b": 1}], {"b": [2, 9]}], [("a.b", 1)]),
        ([MISSING, 5, [5], {"b": None}, [], [{"b": 1}, {}], {"b": 0}], [("a.b", 1)]),
        ([MISSING, [], [3], [0, 1], [0, [2]]], [("a.1", 1)]),
        ([[{"b": 1}, {"b": 0}], [{"b": 2}]], [("a.0.b", 1)]),
        ([[{"x": 1, "y": 3}], [{"x": 1, "y": 5}, {"x": 2, "y": 0}]], [("a.x", 1), ("a.y", 1)]),
        ([[[2], 1], [[1], 2]], [("a.0", -1)]),
        ([[[]], 1, [[0]]], [("a.0", 1)]),
        ([[5], [{"5": 1}], [{"5": 2}], {"5": 3}], [("a.5", 1)]),
    ],
)  # fmt: skip
def test_sorts(values: list[Any], sort: list[tuple[str, int]]) -> None:
    documents = [{} if value is MISSING else {"a": value} for value in values]
    keys = [min(index_keys(document, [path for path, _ in sort])) for document in documents]
    assert sort_documents(documents, sort) == documents, keys


def test_documents_that_sort_alike_keep_their_order() -> None:
    documents = [{"_id": n, "a": n % 2, "b": n % 3} for n in range(12)]
    found = sort_documents(documents, [("a", -1), ("b", 1)])
    assert [document["_id"] for document in found] == [3, 9, 1, 7, 5, 11, 0, 6, 4, 10, 2, 8]


@pytest.mark.parametrize(
    ("document", "paths", "code"),
    [
        ({"a": [1], "b": [1]}, ["a", "b"], 2),
        ({"a": [{"b": [1], "c": [1]}]}, ["a.b", "a.c"], 2),
        ({"a": [{"0": 1}]}, ["a.0"], 16746),
    ],
)
def test_sorts_that_mongodb_refuses(document: Any, paths: list[str], code: int) -> None:
    with pytest.raises(OperationFailure) as caught:
        sort_documents([document], [(path, 1) for path in paths])
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("document", "paths", "expected"),
    [
        ({"_id": 1, "b": 2, "a": 3}, ["a", "b"], {"_id": 1, "b": 2, "a": 3}),
        ({"_id": 1, "b": 2, "a": 3}, ["_id"], {"_id": 1}),
        ({"_id": 1, "b": 2}, ["zz"], {"_id": 1}),
        ({"_id": {"x": 1, "y": 2}, "b": 2}, ["_id.x"], {"_id": {"x": 1}}),
        ({"a": {"x": 1, "y": {"z": 2, "w": 3}}}, ["a.y.z"], {"a": {"y": {"z": 2}}}),
        ({"a": {"y": 1, "x": 2, "z": 3}}, ["a.x", "a.y"], {"a": {"y": 1, "x": 2}}),
        ({"a": 5, "b": None}, ["a.x", "b.x"], {}),
        ({"a": {}}, ["a.x"], {"a": {}}),
        ({"a": [{"x": 1, "y": 2}, 5, {}, [{"x": 3}, 6]]}, ["a.x"],
         {"a": [{"x": 1}, {}, [{"x": 3}]]}),
        ({"a": [1, 2]}, ["a.0"], {"a": []}),
        ({"a": {"0": 1, "1": 2}}, ["a.0"], {"a": {"0": 1}}),
        ({"a": DBRef("c", 1, x=2)}, ["a.x"], {"a": {"x": 2}}),
    ],
)  # fmt: skip
def test_projections(document: Any, paths: list[str], expected: Any) -> None:
    found = project(document, paths)
    assert found == expected
    assert list(found) == list(expected)
