"""Filter operators: the table, and what each of them sends to MongoDB."""

from __future__ import annotations

from typing import Any

import pytest

from falcorest.hints import HINTS
from falcorest.operators import BSON_TYPES, OPERATORS

#: The contract's table: what each operator compares with.
TAKES = {
    **dict.fromkeys(("eq", "ne", "gt", "gte", "lt", "lte"), "scalar"),
    **dict.fromkeys(("in", "nin", "all"), "list"),
    "exists": "bool",
    "size": "int",
    "type": "str",
    "regex": "str",
}


def test_the_operators_are_those_of_the_contract() -> None:
    assert {name: operator.takes for name, operator in OPERATORS.items()} == TAKES
    assert all(name == operator.op for name, operator in OPERATORS.items())


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_takes_hints_that_there_are_and_says_what_it_means(name: str) -> None:
    operator = OPERATORS[name]
    assert operator.takes in {"scalar", "list", *HINTS}
    assert operator.meaning


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 5) for name in ("eq", "ne", "gt", "gte", "lt", "lte", "size")),
        *((name, [1, 2]) for name in ("in", "nin", "all")),
        ("eq", None),
        ("exists", True),
        ("exists", False),
        ("size", 0),
        ("regex", "^RD-.*$"),
        *(("type", name) for name in BSON_TYPES),
    ],
)
def test_a_condition_is_the_operator_of_mongodb_with_the_value(name: str, value: Any) -> None:
    operator = OPERATORS[name]
    assert operator.condition("a.b", value) == {"a.b": {f"${name}": value}}
    assert operator.condition("a.b", value, negate=True) == {"a.b": {"$not": {f"${name}": value}}}


@pytest.mark.parametrize(
    ("name", "value"),
    [("size", -1), ("type", "integer"), ("type", ""), ("type", "String"), ("regex", "a\0b")],
)
def test_a_value_that_mongodb_would_fail_on_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        OPERATORS[name].condition("a", value)
