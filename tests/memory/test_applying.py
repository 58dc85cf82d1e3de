"""Updates applied to plain documents. What they leave was taken down from mongod 6.0."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import bson
import pytest
from bson import DBRef, Decimal128, Int64, MinKey
from pymongo.errors import WriteError

from falcorest.memory.applying import apply_update, check_update, counts_as_change

ONE = {"_id": 1}


def applied(a: Any, update: dict[str, Any]) -> dict[str, Any]:
    document = ONE if a is ... else {"_id": 1, "a": a}
    before = deepcopy(document)
    check_update(update)
    result = apply_update(document, update)
    assert document == before
    return result


@pytest.mark.parametrize(
    ("a", "update", "expected"),
    [
        (1, {"$set": {"a": 2}}, 2),
        ({"x": 1}, {"$set": {"a.y": 2, "a.z.w": 3}}, {"x": 1, "y": 2, "z": {"w": 3}}),
        ([5], {"$set": {"a.3.x": 1}}, [5, None, None, {"x": 1}]),
        ([5], {"$set": {"a.00": 1}}, [1]),
        ([], {"$set": {"a.10": 1, "a.9": 2}}, [None] * 9 + [2, 1]),
        ({"0": 1}, {"$set": {"a.0": 5}}, {"0": 5}),
        (DBRef("c", 1), {"$set": {"a.x": 1}}, {"$ref": "c", "$id": 1, "x": 1}),
        ({"x": 1, "y": 2}, {"$unset": {"a.x": ""}}, {"y": 2}),
        ([1, 2], {"$unset": {"a.0": ""}}, [None, 2]),
        (5, {"$unset": {"a.b": ""}}, 5),
        ([5], {"$unset": {"a.b": "", "a.7": ""}}, [5]),
        (1, {"$inc": {"a": 2}}, 3),
        (..., {"$inc": {"a": Int64(2)}}, Int64(2)),
        (2147483647, {"$inc": {"a": 1}}, 2147483648),
        (Int64(5), {"$inc": {"a": 1}}, Int64(6)),
        (Int64(2**53 + 1), {"$inc": {"a": 0.5}}, 9007199254740992.0),
        (1, {"$inc": {"a": 0.0}}, 1.0),
        (0.1, {"$inc": {"a": Decimal128("1")}}, Decimal128("1.100000000000000")),
        (2.5, {"$inc": {"a": Decimal128("1")}}, Decimal128("3.50000000000000")),
        (0.0, {"$inc": {"a": Decimal128("1")}}, Decimal128("1")),
        (Decimal128("-0"), {"$inc": {"a": 0}}, Decimal128("-0")),
        (Decimal128("1.0"), {"$inc": {"a": Decimal128("0.00")}}, Decimal128("1.0")),
        (Decimal128("1.10"), {"$inc": {"a": 2}}, Decimal128("3.10")),
        (Decimal128("1.10"), {"$mul": {"a": 2.5}}, Decimal128("2.7500000000000000")),
        (Decimal128("9E+6144"), {"$mul": {"a": 10}}, Decimal128("Infinity")),
        (1e308, {"$mul": {"a": 10}}, float("inf")),
        (2**30, {"$mul": {"a": 4}}, 2**32),
        (..., {"$mul": {"a": 5}}, 0),
        (..., {"$mul": {"a": Int64(5)}}, Int64(0)),
        (..., {"$mul": {"a": Decimal128("2.5")}}, Decimal128("0.0")),
        (1, {"$min": {"a": 1.0}}, 1),
        ("x", {"$min": {"a": 5}}, 5),
        (..., {"$min": {"a": 5}}, 5),
        ([1], {"$max": {"a": 5}}, [1]),
        (..., {"$max": {"a": None}}, None),
        (float("nan"), {"$max": {"a": 5}}, 5),
        ([1], {"$push": {"a": [2]}}, [1, [2]]),
        (..., {"$push": {"a": {"x": 1}}}, [{"x": 1}]),
        (..., {"$push": {"a": {"$each": []}}}, []),
        ([3, 1, 2], {"$push": {"a": {"$each": [0], "$sort": 1}}}, [0, 1, 2, 3]),
        ([3, 1, 2], {"$push": {"a": {"$each": [], "$slice": 2}}}, [3, 1]),
        ([3, 1, 2], {"$push": {"a": {"$each": [9], "$slice": -2}}}, [2, 9]),
        ([3, 1, 2], {"$push": {"a": {"$each": [9], "$slice": 0}}}, []),
        ([3, 1, 2], {"$push": {"a": {"$each": [9], "$slice": 99}}}, [3, 1, 2, 9]),
        ([3, 1, 2], {"$push": {"a": {"$each": [8, 9], "$position": 1}}}, [3, 8, 9, 1, 2]),
        ([3, 1, 2], {"$push": {"a": {"$each": [9], "$position": -1}}}, [3, 1, 9, 2]),
        ([3, 1, 2], {"$push": {"a": {"$each": [9], "$position": -10}}}, [9, 3, 1, 2]),
        ([3, 1, 2], {"$push": {"a": {"$each": [9], "$position": 2**40}}}, [3, 1, 2, 9]),
        ([{"x": 1}, 5, {"y": 1}, {"x": [0]}, {"x": 0}],
         {"$push": {"a": {"$each": [], "$sort": {"x": 1}}}},
         [5, {"y": 1}, {"x": 0}, {"x": 1}, {"x": [0]}]),
        ([{"x": 1, "n": 1}, {"x": 1.0, "n": 2}, {"x": 0}, {"x": 1, "n": 3}],
         {"$push": {"a": {"$each": [], "$sort": {"x": -1}}}},
         [{"x": 1, "n": 1}, {"x": 1.0, "n": 2}, {"x": 1, "n": 3}, {"x": 0}]),
        ([1], {"$addToSet": {"a": 1.0}}, [1]),
        ([1, 1], {"$addToSet": {"a": {"$each": [2, Decimal128("2")]}}}, [1, 1, 2]),
        ([{"x": 1, "y": 1}], {"$addToSet": {"a": {"y": 1, "x": 1}}},
         [{"x": 1, "y": 1}, {"y": 1, "x": 1}]),
        (..., {"$addToSet": {"a": {"$each": [1, 1.0, [1]]}}}, [1, [1]]),
        ([1, [1, 2], 1.0, None], {"$pull": {"a": 1}}, [[1, 2], None]),
        ([1, [1, 2], 0, {"x": 1}], {"$pull": {"a": {"$gte": 1}}}, [0, {"x": 1}]),
        ([{"x": 1}, {"x": 2, "y": 1}, 5, [{"x": 1}]], {"$pull": {"a": {"x": 1}}},
         [{"x": 2, "y": 1}, 5, [{"x": 1}]]),
        ([{"x": 1}, {}, 5], {"$pull": {"a": {"x": None}}}, [{"x": 1}, 5]),
        ([{"x": [1, 2]}, {"x": 3}], {"$pull": {"a": {"x": {"$in": [2, 3]}}}}, []),
        ([{"x": 1}, 5, [{}]], {"$pull": {"a": {}}}, [5, [{}]]),
        ([[1, 2], [1]], {"$pull": {"a": [1]}}, [[1, 2]]),
        ([MinKey(), 1, None], {"$pull": {"a": {"$gt": MinKey()}}}, [MinKey()]),
        ([1, 2.0, Decimal128("3"), "x"], {"$pullAll": {"a": [1.0, 2, 3]}}, ["x"]),
        ([1, 2], {"$pop": {"a": 1}}, [1]),
        ([1, 2], {"$pop": {"a": -1}}, [2]),
        ([], {"$pop": {"a": 1}}, []),
        ([5], {"$pop": {"a.5": 1}}, [5]),
    ],
)  # fmt: skip
def test_one_field(a: Any, update: dict[str, Any], expected: Any) -> None:
    # NOTE: as BSON, which tells 1 from 1.0, and looks at the order of fields.
    assert bson.encode({"": applied(a, update)["a"]}) == bson.encode({"": expected})


@pytest.mark.parametrize("operator", ["$pull", "$pullAll", "$pop", "$unset"])
def test_what_is_not_there_is_not_made(operator: str) -> None:
    argument = {"$pullAll": [1], "$pop": 1}.get(operator, 1)
    assert applied(..., {operator: {"a": argument, "b.c": argument}}) == ONE


@pytest.mark.parametrize(
    ("document", "update", "expected"),
    [
        ({"a": 1, "b": 2, "c": 3}, {"$rename": {"a": "b"}}, {"b": 1, "c": 3}),
        ({"a": 1, "c": 3}, {"$rename": {"a": "d", "c": "b"}}, {"b": 3, "d": 1}),
        ({"a": {"x": 1}}, {"$rename": {"a.x": "b.c"}}, {"a": {}, "b": {"c": 1}}),
        ({"a": 1, "b": 5}, {"$rename": {"zz": "b.x"}}, {"a": 1, "b": 5}),
        ({"a": [1]}, {"$rename": {"a.5": "b"}}, {"a": [1]}),
        ({}, {"$set": {"z": 1, "b": 1}, "$inc": {"10": 1, "9": 1}},
         {"9": 1, "10": 1, "b": 1, "z": 1}),
    ],
)  # fmt: skip
def test_the_order_of_fields(document: Any, update: Any, expected: Any) -> None:
    result = apply_update({"_id": 1, **document}, update)
    assert list(result.items()) == list({"_id": 1, **expected}.items())


@pytest.mark.parametrize(
    ("a", "update", "code"),
    [
        (1, {"$set": {"a": 1}, "$inc": {"a": 1}}, 40),
        (1, {"$set": {"a.b": 1, "a": 2}}, 40),
        (1, {"$rename": {"a": "b"}, "$set": {"b": 2}}, 40),
        (1, {"$rename": {"x": "y", "y": "z"}}, 40),
        (1, {"$rename": {"a": "a"}}, 2),
        (1, {"$rename": {"a": "a.b"}}, 2),
        (1, {"$rename": {"a.b": "a"}}, 2),
        ([1], {"$rename": {"a.0": "b"}}, 2),
        ([{"x": 1}], {"$rename": {"a.0.x": "b"}}, 2),
        ([1], {"$rename": {"_id": "a.x"}}, 2),
        ([1], {"$rename": {"a.x": "b"}}, 28),
        (1, {"$rename": {"a.x": "b"}}, 28),
        (1, {"$rename": {"_id": "x"}}, 66),
        (1, {"$rename": {"a": "_id"}}, 66),
        (1, {"$set": {"_id": 5}}, 66),
        (1, {"$set": {"_id": 1.0}}, 66),
        (1, {"$unset": {"_id": ""}}, 66),
        (1, {"$set": {"_id.x": 5}}, 28),
        ("x", {"$inc": {"a": 1}, "$set": {"_id": 5}}, 66),
        (5, {"$set": {"a.b": 1}}, 28),
        (None, {"$set": {"a.b": 1}}, 28),
        ([5], {"$set": {"a.b": 1}}, 28),
        ([5], {"$set": {"a.0.b": 1}}, 28),
        ([], {"$set": {"a.4294967296": 1}}, 28),
        ([], {"$set": {"a." + "9" * 5000: 1}}, 28),
        ([], {"$set": {"a.1500001": 1}}, 34),
        (5, {"$pull": {"a.b": 1}}, 28),
        (5, {"$pop": {"a.b": 1}}, 28),
        (None, {"$inc": {"a": 1}}, 14),
        ("1", {"$mul": {"a": 1}}, 14),
        (True, {"$inc": {"a": 1}}, 14),
        (5, {"$pop": {"a": 1}}, 14),
        (5, {"$pull": {"a": 1}}, 2),
        (5, {"$pullAll": {"a": [1]}}, 2),
        (5, {"$push": {"a": 1}}, 2),
        (None, {"$addToSet": {"a": 1}}, 2),
        (Int64(2**63 - 1), {"$inc": {"a": 1}}, 2),
        (Int64(2**62), {"$mul": {"a": 3}}, 2),
    ],
)
def test_what_is_refused(a: Any, update: dict[str, Any], code: int) -> None:
    with pytest.raises(WriteError) as caught:
        applied(a, update)
    assert caught.value.code == code


def test_conflicts_are_seen_without_a_document() -> None:
    check_update({"$set": {"a.b": 1, "a.c": 1, "ab": 1}})
    with pytest.raises(WriteError):
        check_update({"$set": {"a": 1}, "$unset": {"a.b": ""}})


def test_an_operator_that_is_not_known() -> None:
    with pytest.raises(NotImplementedError):
        applied(1, {"$bit": {"a": {"and": 1}}})


@pytest.mark.parametrize(
    ("update", "counts"),
    [
        ({"$set": {"a": 1}}, False),
        ({"$push": {"a": 1}}, True),
        ({"$push": {"a": {"$each": []}}}, False),
        ({"$push": {"a": {"$each": [], "$slice": 1}}}, False),
        ({"$push": {"a": {"$each": [], "$sort": 1}}}, True),
        ({"$push": {"a": {"$each": [1], "$slice": 0}}}, True),
    ],
)
def test_what_counts_as_a_change(update: dict[str, Any], counts: bool) -> None:
    assert counts_as_change(update) is counts


def test_values_of_an_update_are_not_shared() -> None:
    value: list[Any] = [{"x": []}]
    for update in ({"$set": {"a": value}}, {"$push": {"a": {"$each": value}}}):
        result = applied(..., update)
        result["a"][0]["x"].append(1)
        assert value == [{"x": []}]
