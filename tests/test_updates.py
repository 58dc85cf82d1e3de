"""Update operators: what each takes, what it refuses, and nothing else beside them."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId, Regex
from hypothesis import given, settings
from hypothesis import strategies as st

from falcorest.errors import BodyError
from falcorest.updates import (
    UPDATE_OPERATORS,
    is_update,
    update_from_fields,
    update_from_operators,
)

OID = "6195b0eb829a2784b4459a7f"
REGEX = {"$regularExpression": {"pattern": "a", "options": ""}}

ALLOWED = (
    *("$set", "$unset", "$inc", "$mul", "$min", "$max", "$rename", "$currentDate"),
    *("$push", "$pull", "$pullAll", "$pop", "$addToSet"),
)
VALUED = ("$set", "$min", "$max", "$push", "$addToSet", "$pull")


def refusal(body: Any) -> BodyError:
    with pytest.raises(BodyError) as caught:
        update_from_operators(body)
    return caught.value


def assert_same(found: Any, expected: Any) -> None:
    """Compare values with their types: 1 is neither 1.0 nor true."""
    assert repr(found) == repr(expected)


def test_the_operators_are_those_that_the_issue_allows() -> None:
    assert set(UPDATE_OPERATORS) == set(ALLOWED)


# ------------------------------------------------------------------------- fields or operators


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, False),
        ({"a": 1}, False),
        ({"a": {"$inc": 1}}, False),
        ({"a.b": 1, "c": 2}, False),
        ({"$set": {"a": 1}}, True),
        ({"$set": {}, "$inc": {}}, True),
        ({"$where": 1}, True),
    ],
)
def test_a_body_whose_keys_are_all_operators_is_an_update(body: Any, expected: bool) -> None:
    assert is_update(body) is expected


@pytest.mark.parametrize(
    "body", [{"a": 1, "$set": {"b": 1}}, {"$set": {"b": 1}, "a": 1}, {"$set": {}, "": 1}]
)
def test_a_mix_of_fields_and_operators_is_refused(body: Any) -> None:
    with pytest.raises(BodyError) as caught:
        is_update(body)
    assert caught.value.code == "body.invalid_update"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {}),
        ({"a": 1}, {"$set": {"a": 1}}),
        ({"a.b": 1, "c.0": None}, {"$set": {"a.b": 1, "c.0": None}}),
        ({"a": {"b": {"c": []}}}, {"$set": {"a": {"b": {"c": []}}}}),
        ({"a": {"$oid": OID}}, {"$set": {"a": ObjectId(OID)}}),
        ({"a": {"$numberLong": "5"}}, {"$set": {"a": Int64(5)}}),
        ({"a": "$b"}, {"$set": {"a": "$b"}}),
        ({"a": "\0"}, {"$set": {"a": "\0"}}),
        ({"a": REGEX}, {"$set": {"a": Regex("a")}}),
    ],
)
def test_plain_fields_are_set(body: Any, expected: Any) -> None:
    assert_same(update_from_fields(body), expected)


BAD_PATHS = ["", ".", "a.", ".a", "a..b", "$a", "a.$b", "a.$", "a.$.b", "a.$[]", "a.$[x]", "a\0"]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_field_to_set_is_a_path_of_plain_names(path: str) -> None:
    with pytest.raises(BodyError) as caught:
        update_from_fields({path: 1})
    assert caught.value.code == "body.invalid_key"


@pytest.mark.parametrize(
    "value", [{"$inc": 1}, {"b.c": 1}, {"": 1}, [{"$where": 1}], {"b": {"$set": {}}}, {"\0": 1}]
)
def test_a_value_to_set_is_what_may_be_stored(value: Any) -> None:
    for body in ({"a": value}, {"x": {"a": value}}):
        with pytest.raises(BodyError) as caught:
            update_from_fields(body)
        assert caught.value.code == "body.invalid_key"


def test_a_wrong_value_is_named_from_the_field_down() -> None:
    with pytest.raises(BodyError) as caught:
        update_from_fields({"a": {"b": [{"$oid": "x"}]}})
    assert json.dumps(caught.value.field_errors).startswith('{"a": {"b": {"0": ["')
    with pytest.raises(BodyError) as caught:
        update_from_fields({"a": {"$oid": "x"}})
    assert list(caught.value.field_errors or {}) == ["a"]


def test_a_wrong_value_of_an_operator_is_named_from_the_operator_down() -> None:
    error = refusal({"$set": {"a": {"b": [{"$oid": "x"}]}}})
    assert json.dumps(error.field_errors).startswith('{"$set": {"a": {"b": {"0": ["')
    error = refusal({"$inc": {"a": "x"}})
    assert json.dumps(error.field_errors).startswith('{"$inc": {"a": ["')


# ------------------------------------------------------------------------- what operators take

ACCEPTED: list[tuple[str, Any, Any]] = [
    *((operator, 5, 5) for operator in VALUED),
    *((operator, None, None) for operator in VALUED),
    *((operator, "$b", "$b") for operator in VALUED),
    *((operator, [1, "a"], [1, "a"]) for operator in VALUED),
    *((operator, {"b": 1}, {"b": 1}) for operator in VALUED),
    *((operator, {"$oid": OID}, ObjectId(OID)) for operator in VALUED),
    *((operator, {"$numberDouble": "NaN"}, float("nan")) for operator in VALUED),
    ("$set", REGEX, Regex("a")),
    ("$unset", "", ""),
    ("$unset", True, ""),
    ("$unset", 1, ""),
    *(
        (operator, literal, value)
        for operator in ("$inc", "$mul")
        for literal, value in (
            (1, 1),
            (-1.5, -1.5),
            ({"$numberInt": "5"}, 5),
            ({"$numberLong": "5"}, Int64(5)),
            ({"$numberDouble": "1.0"}, 1.0),
            ({"$numberDecimal": "0.1"}, Decimal128("0.1")),
        )
    ),
    ("$rename", "b", "b"),
    ("$rename", "b.c", "b.c"),
    ("$currentDate", True, True),
    ("$currentDate", {"$type": "date"}, {"$type": "date"}),
    ("$currentDate", {"$type": "timestamp"}, {"$type": "timestamp"}),
    ("$push", {"$each": []}, {"$each": []}),
    ("$push", {"$each": [{"$oid": OID}, 1]}, {"$each": [ObjectId(OID), 1]}),
    ("$push", {"$each": [1], "$position": 0}, {"$each": [1], "$position": 0}),
    ("$push", {"$each": [1], "$position": -2}, {"$each": [1], "$position": -2}),
    ("$push", {"$each": [1], "$slice": -5}, {"$each": [1], "$slice": -5}),
    ("$push", {"$each": [1], "$slice": 0}, {"$each": [1], "$slice": 0}),
    ("$push", {"$each": [1], "$sort": 1}, {"$each": [1], "$sort": 1}),
    ("$push", {"$each": [], "$sort": {"a.b": -1}}, {"$each": [], "$sort": {"a.b": -1}}),
    (
        "$push",
        {"$sort": {"a": 1, "b": -1}, "$slice": 3, "$position": 1, "$each": [1]},
        {"$sort": {"a": 1, "b": -1}, "$slice": 3, "$position": 1, "$each": [1]},
    ),
    ("$addToSet", {"$each": [1, 2]}, {"$each": [1, 2]}),
    *(
        ("$pull", {comparison: 5}, {comparison: 5})
        for comparison in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")
    ),
    ("$pull", {"$gte": 1, "$lt": 5}, {"$gte": 1, "$lt": 5}),
    ("$pull", {"$in": [1, {"$oid": OID}]}, {"$in": [1, ObjectId(OID)]}),
    ("$pull", {"$nin": []}, {"$nin": []}),
    ("$pull", {"$eq": {"b": 1}}, {"$eq": {"b": 1}}),
    ("$pull", {"b": {"$gt": 5}}, {"b": {"$gt": 5}}),
    ("$pull", {"b": {"$gt": 5}, "c": "x"}, {"b": {"$gt": 5}, "c": "x"}),
    ("$pull", {"b": {"c": {"$in": [1]}}}, {"b": {"c": {"$in": [1]}}}),
    ("$pullAll", [1, {"$oid": OID}], [1, ObjectId(OID)]),
    ("$pullAll", [], []),
    ("$pop", 1, 1),
    ("$pop", -1, -1),
]


@pytest.mark.parametrize(("operator", "argument", "expected"), ACCEPTED)
def test_an_operator_takes_its_arguments(operator: str, argument: Any, expected: Any) -> None:
    body = json.loads(json.dumps({operator: {"a": argument, "b.0.c": argument}}))
    assert_same(update_from_operators(body), {operator: {"a": expected, "b.0.c": expected}})


REFUSED: list[tuple[str, Any]] = [
    *((operator, {"$where": 1}) for operator in VALUED),
    *((operator, {"$oid": "x"}) for operator in VALUED),
    *((operator, {"b": {"$inc": 1}}) for operator in VALUED),
    *((operator, {"": 1}) for operator in VALUED),
    *((operator, {"b\0": 1}) for operator in VALUED),
    *((operator, [{"$gt": 1}]) for operator in VALUED),
    *((operator, {"b.c": 1}) for operator in VALUED if operator != "$pull"),
    *(
        (operator, argument)
        for operator in ("$inc", "$mul")
        for argument in ("1", None, True, [], {}, {"$oid": OID}, {"$numberInt": "x"}, {"$add": 1})
    ),
    *(("$rename", name) for name in (5, None, True, [], {}, *BAD_PATHS)),
    *(("$currentDate", argument) for argument in (False, None, 1, "date", {}, [], {"$type": 9})),
    ("$currentDate", {"$type": "string"}),
    ("$currentDate", {"$type": "date", "x": 1}),
    # $push takes $each, $position, $slice, $sort; $addToSet takes $each.
    ("$push", {"$each": 5}),
    ("$push", {"$each": {"a": 1}}),
    ("$push", {"$each": None}),
    ("$push", {"$each": [{"$gt": 1}]}),
    ("$push", {"$position": 0}),
    ("$push", {"$slice": 1, "$sort": 1}),
    ("$push", {"$each": [1], "x": 1}),
    ("$push", {"$each": [1], "$where": "x"}),
    *(("$push", {"$each": [1], "$position": value}) for value in ("0", 1.5, None, True, {})),
    *(("$push", {"$each": [1], "$slice": value}) for value in ("0", 1.5, None, True, {})),
    *(("$push", {"$each": [1], "$sort": value}) for value in (0, 2, "a", True, 1.0, None, {}, [])),
    *(
        ("$push", {"$each": [1], "$sort": {path: order}})
        for path, order in (("a", 0), ("a", "1"), ("a", True), ("$a", 1), ("a.$b", 1), ("", 1))
    ),
    ("$addToSet", {"$each": 5}),
    *(("$addToSet", {"$each": [1], key: 1}) for key in ("$position", "$slice", "$sort", "x")),
    ("$addToSet", {"$slice": 1}),
    # $pull takes values, or conditions made of the comparison operators.
    *(
        ("$pull", {operator: argument})
        for operator, argument in (
            ("$exists", True),
            ("$size", 1),
            ("$type", "string"),
            ("$regex", "a"),
            ("$mod", [2, 0]),
            ("$all", [1]),
            ("$not", {"$gt": 1}),
            ("$or", [{"a": 1}]),
            ("$and", [{"a": 1}]),
            ("$elemMatch", {"a": 1}),
            ("$expr", {}),
            ("$where", "1"),
            ("$each", [1]),
        )
    ),
    *(("$pull", {"b": {operator: 1}}) for operator in ("$exists", "$regex", "$not", "$where")),
    ("$pull", {"$gt": 1, "$where": "1"}),
    ("$pull", {"$gt": 1, "$exists": True}),
    ("$pull", {"$gt": 1, "b": 1}),
    ("$pull", {"b": 1, "$gt": 1}),
    ("$pull", {"b": 1, "$or": []}),
    ("$pull", {"$gt": {"$gt": 1}}),
    ("$pull", {"$in": 5}),
    ("$pull", {"$in": {"a": 1}}),
    ("$pull", {"$nin": None}),
    ("$pull", {"$in": [{"$gt": 1}]}),
    ("$pull", {"$b": 1}),
    ("$pull", {"b.$c": 1}),
    # It would match a regular expression, not compare with it.
    ("$pull", REGEX),
    ("$pull", [REGEX]),
    ("$pull", {"b": REGEX}),
    ("$pull", {"b": {"c": [REGEX]}}),
    ("$pull", {"$in": [REGEX]}),
    ("$pull", {"$nin": [REGEX]}),
    ("$pull", {"$eq": REGEX}),
    ("$pull", {"$ne": REGEX}),
    ("$pull", {"b": {"$in": [1, REGEX]}}),
    ("$pull", {"$eq": {"c": REGEX}}),
    *(("$pullAll", argument) for argument in (5, None, {}, "a", {"$in": [1]}, [{"$gt": 1}])),
    *(("$pop", argument) for argument in (0, 2, "1", True, False, None, 1.0, {"$numberInt": "1"})),
]


def _label(value: Any) -> str:
    return repr(value)[:60]


@pytest.mark.parametrize(("operator", "argument"), REFUSED, ids=_label)
def test_an_operator_refuses_anything_else(operator: str, argument: Any) -> None:
    error = refusal({operator: {"a": argument}})
    assert error.status == 400
    assert error.code.startswith("body.")


@pytest.mark.parametrize("operator", VALUED)
@pytest.mark.parametrize("depth", [101, 900])
def test_a_value_that_nests_too_deeply_is_refused(operator: str, depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = {"b": value}
    assert refusal({operator: {"a": value}}).code == "body.too_deep"


# --------------------------------------------------------------------- the shape of an update


@pytest.mark.parametrize(
    "operator",
    [
        *("$setOnInsert", "$bit", "$pushAll", "$isolated", "$where", "$expr", "$", "$Set", "$set "),
        # The stages of a pipeline, which can read fields.
        *("$addFields", "$project", "$replaceRoot", "$replaceWith", "$unionWith", "$out"),
    ],
)
def test_any_other_operator_is_refused(operator: str) -> None:
    assert refusal({operator: {"a": 1}}).code == "body.invalid_update"
    assert refusal({"$set": {"a": 1}, operator: {"a": 1}}).code == "body.invalid_update"
    assert operator in refusal({operator: {"a": 1}}).detail


@pytest.mark.parametrize("operator", ALLOWED)
@pytest.mark.parametrize("argument", [5, None, "a", [], [{"a": 1}], True])
def test_an_operator_takes_an_object_of_paths(operator: str, argument: Any) -> None:
    assert refusal({operator: argument}).code == "body.invalid_update"


#: For each operator, an argument that it takes.
EXAMPLES = {operator: argument for operator, argument, _ in reversed(ACCEPTED)}


@pytest.mark.parametrize("operator", ALLOWED)
@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_is_made_of_plain_names_and_not_positional(operator: str, path: str) -> None:
    update_from_operators({operator: {"a": deepcopy(EXAMPLES[operator])}})
    assert refusal({operator: {path: EXAMPLES[operator]}}).code == "body.invalid_key"


def test_operators_stand_side_by_side_in_their_order() -> None:
    update = update_from_operators({"$inc": {"n": 1}, "$set": {"a": 1, "b": 2}, "$unset": {"c": 1}})
    assert list(update) == ["$inc", "$set", "$unset"]
    assert update == {"$inc": {"n": 1}, "$set": {"a": 1, "b": 2}, "$unset": {"c": ""}}


@pytest.mark.parametrize("operator", ALLOWED)
def test_an_operator_without_fields_changes_nothing(operator: str) -> None:
    assert update_from_operators({operator: {}}) == {}
    assert update_from_operators({operator: {}, "$set": {"a": 1}}) == {"$set": {"a": 1}}


# ------------------------------------------------------------------------------ any body at all

KEYS = st.sampled_from(
    [
        *ALLOWED,
        *("$each", "$position", "$slice", "$sort", "$eq", "$gt", "$in", "$nin", "$type", "$where"),
        *("$regularExpression", "pattern", "options", "$oid", "$numberLong", "$scope", "$code"),
        *("a", "a.b", "b.$", "", "$"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "5", "date", "x.y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)
BODIES = st.dictionaries(
    st.sampled_from(ALLOWED), st.dictionaries(KEYS, JSON, max_size=2), max_size=2
)

INNER = {
    "$push": {"$each", "$position", "$slice", "$sort"},
    "$addToSet": {"$each"},
    "$pull": {"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"},
    "$currentDate": {"$type"},
}


@given(BODIES)
@settings(max_examples=200, deadline=None)
def test_an_update_that_passes_has_no_dollar_sign_but_where_it_is_foreseen(body: Any) -> None:
    try:
        update = update_from_operators(body)
    except BodyError:
        return
    for operator, argument in update.items():
        assert operator in ALLOWED
        stack = list(argument.items())
        assert all(not part.startswith("$") for path, _ in stack for part in path.split("."))
        while stack:
            _, value = stack.pop()
            if type(value) is dict:
                dollars = {key for key in value if key.startswith("$")}
                assert dollars <= INNER.get(operator, set())
                stack.extend(value.items())
            elif type(value) is list:
                stack.extend(("", item) for item in value)
            assert not (operator == "$pull" and isinstance(value, Regex))
