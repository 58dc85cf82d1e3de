"""The typed query language, held against the grammar and the tables of the contract."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from bson import Decimal128, ObjectId
from hypothesis import example, given, settings
from hypothesis import strategies as st

from falcorest.dialects import TypedDialect
from falcorest.errors import QueryError
from falcorest.query import EVERYTHING, Query

PLAIN = TypedDialect()
WITH_REGEX = TypedDialect(regex=True)

OID = "6195b0eb829a2784b4459a7f"

#: For each hint of a scalar, two literals and what they mean.
SCALARS: dict[str, list[tuple[str, Any]]] = {
    "int": [("50", 50), ("-9223372036854775808", -(2**63))],
    "float": [("2.5", 2.5), ("-1e3", -1000.0)],
    "bool": [("true", True), ("false", False)],
    "str": [("USA", "USA"), ("", "")],
    "date": [("2021-11-01", datetime(2021, 11, 1)), ("1969-12-31", datetime(1969, 12, 31))],
    "datetime": [
        ("2021-11-01T09:30:00", datetime(2021, 11, 1, 9, 30)),
        ("2021-11-01T09:30:00.123%2B02:00", datetime(2021, 11, 1, 7, 30, 0, 123000)),
    ],
    "time": [("09:30:00", "09:30:00"), ("23:59:59.000001", "23:59:59.000001")],
    "timedelta": [("90", 90.0), ("PT1H30M", 5400.0)],
    "oid": [(OID, ObjectId(OID)), (OID.upper(), ObjectId(OID))],
    "decimal": [("9.99", Decimal128("9.99")), ("-1E3", Decimal128("-1E+3"))],
    "null": [("", None)],
}
LISTS: dict[str, tuple[str, list[Any]]] = {
    f"list-{hint}": (
        "[" + ",".join(literal or '""' for literal, _ in pairs) + "]",
        [value for _, value in pairs],
    )
    for hint, pairs in SCALARS.items()
    if hint != "null"
}

COMPARISONS = ("eq", "ne", "gt", "gte", "lt", "lte")
MEMBERSHIPS = ("in", "nin", "all")
OPERATORS = (*COMPARISONS, *MEMBERSHIPS, "exists", "size", "type", "regex")

#: The contract's table of operators: every literal of every hint that an operator takes.
VALID: list[tuple[str, str, str, Any]] = [
    *(
        (operator, hint, literal, value)
        for operator in COMPARISONS
        for hint, pairs in SCALARS.items()
        for literal, value in pairs
    ),
    *(
        (operator, hint, literal, value)
        for operator in MEMBERSHIPS
        for hint, (literal, value) in LISTS.items()
    ),
    ("exists", "bool", "true", True),
    ("exists", "bool", "false", False),
    ("size", "int", "0", 0),
    ("size", "int", "3", 3),
    ("type", "str", "string", "string"),
    ("type", "str", "objectId", "objectId"),
    ("regex", "str", "^RD-", "^RD-"),
]
ALLOWED = {(operator, hint) for operator, hint, _, _ in VALID}
REFUSED = [
    (operator, hint)
    for operator in OPERATORS
    for hint in (*SCALARS, *LISTS)
    if (operator, hint) not in ALLOWED
]


def filter_of(query_string: str) -> dict[str, Any]:
    return WITH_REGEX.parse_list(query_string).filter


def assert_same(found: Any, expected: Any) -> None:
    """Compare values with their types: 1 is neither 1.0 nor true."""
    assert repr(found) == repr(expected)


def refusal(query_string: str, dialect: TypedDialect = PLAIN) -> QueryError:
    with pytest.raises(QueryError) as caught:
        dialect.parse_list(query_string)
    return caught.value


def assert_refused(
    query_string: str, code: str, parameter: str | None, dialect: TypedDialect = PLAIN
) -> None:
    error = refusal(query_string, dialect)
    assert (error.code, error.parameter) == (code, parameter), error.detail


# ------------------------------------------------------------------- operators and their hints


@pytest.mark.parametrize(("operator", "hint", "literal", "value"), VALID)
def test_an_operator_takes_each_of_its_hints(
    operator: str, hint: str, literal: str, value: Any
) -> None:
    expression = {f"${operator}": value}
    typed = f"{operator}[{hint}].{literal}"
    assert_same(filter_of(f"f={typed}"), {"f": expression})
    assert_same(filter_of(f"f=not.{typed}"), {"f": {"$not": expression}})
    assert_same(filter_of(f"or=(f.{typed})"), {"$or": [{"f": expression}]})
    assert_same(filter_of(f"or=(f.not.{typed})"), {"$or": [{"f": {"$not": expression}}]})


@pytest.mark.parametrize(("operator", "hint"), REFUSED)
def test_a_pair_of_operator_and_hint_that_is_not_in_the_table_is_refused(
    operator: str, hint: str
) -> None:
    literal = LISTS[hint][0] if hint in LISTS else SCALARS[hint][0][0]
    typed = f"{operator}[{hint}].{literal}"
    assert_refused(f"f={typed}", "query.operator_hint", "f", WITH_REGEX)
    assert_refused(f"f=not.{typed}", "query.operator_hint", "f", WITH_REGEX)
    assert_refused(f"or=(f.{typed})", "query.operator_hint", "or", WITH_REGEX)
    assert_refused(f"or=(f.not.{typed})", "query.operator_hint", "or", WITH_REGEX)


@pytest.mark.parametrize(
    ("hint", "literal", "value"),
    [(hint, literal, value) for hint, pairs in SCALARS.items() for literal, value in pairs],
)
def test_a_hint_without_an_operator_means_equality(hint: str, literal: str, value: Any) -> None:
    assert_same(filter_of(f"f=[{hint}].{literal}"), {"f": {"$eq": value}})
    assert_same(filter_of(f"f=not.[{hint}].{literal}"), {"f": {"$not": {"$eq": value}}})


@pytest.mark.parametrize("hint", LISTS)
def test_equality_with_a_list_is_not_in_the_table(hint: str) -> None:
    assert_refused(f"f=[{hint}].{LISTS[hint][0]}", "query.operator_hint", "f")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("equals[int].5", "query.unknown_operator"),
        ("EQ[int].5", "query.unknown_operator"),
        ("and[int].5", "query.unknown_operator"),
        ("or[str].x", "query.unknown_operator"),
        ("not[int].5", "query.unknown_operator"),
        ("where[str].x", "query.unknown_operator"),
        ("elemMatch[str].x", "query.unknown_operator"),
        ("expr[str].x", "query.unknown_operator"),
        ("options[str].i", "query.unknown_operator"),
        ("größer[int].5", "query.unknown_operator"),
        ("$eq[int].5", "query.unknown_operator"),
        ("$where[str].1", "query.unknown_operator"),
        ("not.$gt[int].5", "query.unknown_operator"),
        ("g$t[int].5", "query.unknown_operator"),
        ("eq[integer].5", "query.unknown_hint"),
        ("eq[INT].5", "query.unknown_hint"),
        ("eq[].5", "query.unknown_hint"),
        ("[].5", "query.unknown_hint"),
        ("eq[ int].5", "query.unknown_hint"),
        ("in[list-].[5]", "query.unknown_hint"),
        ("in[list].[5]", "query.unknown_hint"),
        ("in[list-null].[]", "query.unknown_hint"),
        ("in[list-list-int].[5]", "query.unknown_hint"),
        ("eq[$int].5", "query.unknown_hint"),
        ("eq[int].five", "query.invalid_value"),
        ("eq[int].", "query.invalid_value"),
        ("eq[int].5.", "query.invalid_value"),
        ("eq[int].9223372036854775808", "query.invalid_value"),
        ("eq[float].nan", "query.invalid_value"),
        ("eq[bool].yes", "query.invalid_value"),
        ("eq[bool].True", "query.invalid_value"),
        ("eq[date].2021-02-30", "query.invalid_value"),
        ("eq[datetime].yesterday", "query.invalid_value"),
        ("eq[time].25:00", "query.invalid_value"),
        ("eq[timedelta].P1Y", "query.invalid_value"),
        (f"eq[oid].{OID[:-1]}", "query.invalid_value"),
        ("eq[decimal].Infinity", "query.invalid_value"),
        ("eq[null].null", "query.invalid_value"),
        ("in[list-int].[1,x]", "query.invalid_value"),
        ("in[list-int].[1,]", "query.invalid_value"),
        ("size[int].-1", "query.invalid_value"),
        ("type[str].integer", "query.invalid_value"),
        ("type[str].", "query.invalid_value"),
        ("regex[str].a", "query.regex_disabled"),
        ("not.regex[str].a", "query.regex_disabled"),
    ],
)
def test_a_typed_value_that_is_wrong_names_its_parameter(value: str, code: str) -> None:
    assert_refused(f"a.b={quote(value)}", code, "a.b")


@pytest.mark.parametrize(
    "rest", ["", "1,2", "[1,2", "1,2]", "[1,2]]", "[1,2]x", '["a]', '["a"b]', r'["\n"]', "[[1]]"]
)
def test_a_list_that_is_malformed_names_its_parameter(rest: str) -> None:
    assert refusal(f"a.b={quote(f'in[list-str].{rest}')}").parameter == "a.b"


def test_a_malformed_list_is_not_called_a_malformed_group() -> None:
    assert_refused("a=in[list-int].1,2", "query.invalid_value", "a")


def test_messages_say_what_was_expected() -> None:
    assert "gte" in refusal("f=equals[int].5").detail
    assert "timedelta" in refusal("f=eq[integer].5").detail
    assert "decimal digits" in refusal("f=eq[int].five").detail
    assert "list-" in refusal("f=in[int].5").detail
    assert "descending" in refusal("_sort=(a:down)").detail


def test_a_message_does_not_repeat_a_long_value_in_full() -> None:
    assert len(refusal("f=eq[int]." + "x" * 5000).detail) < 300
    assert len(refusal("f." * 5000 + "=1").detail) < 300


# ------------------------------------------------------------------------------------- regex


@pytest.mark.parametrize("pattern", ["^RD-", ".*", "a|b", "[a-z]+", "(", ""])
def test_regex_is_passed_on_where_it_is_switched_on(pattern: str) -> None:
    assert filter_of(f"f={quote(f'regex[str].{pattern}')}") == {"f": {"$regex": pattern}}


@pytest.mark.parametrize(
    ("query_string", "parameter"),
    [
        ("f=regex[str].^RD-", "f"),
        ("f=regex[int].5", "f"),
        ("or=(f.regex[str].a)", "or"),
        ("and=(or(f.not.regex[str].a))", "and"),
    ],
)
def test_regex_is_off_unless_switched_on(query_string: str, parameter: str) -> None:
    assert_refused(query_string, "query.regex_disabled", parameter)


def test_a_pattern_can_not_hold_nul() -> None:
    assert_refused("f=regex[str].a%00", "query.invalid_value", "f", WITH_REGEX)


# ----------------------------------------------------------------------- text or typed value


@pytest.mark.parametrize(
    "text",
    [
        "USA",
        "",
        "5",
        "true",
        "gte",
        "gte.5",
        "eq[int]5",
        "eq[int",
        "[int]",
        "[int]5",
        "int].5",
        "eq (int).5",
        "not.5",
        "not.not.eq[int].5",
        "not eq[int].5",
        "a b[int].5",
        "a.b[int].5",
        "a-b[int].5",
        " [int].5",
        "(a,b)",
        '"quoted"',
        "$where",
        "$gt.5",
        "{$gt: 1}",
        "x=y=z",
        "a,b",
        "größe",
        "\0",
        "a\nb",
        "http://a/?b#c",
    ],
)
def test_what_is_not_typed_is_text_as_it_stands(text: str) -> None:
    assert_same(PLAIN.parse_list(urlencode({"f": text})).filter, {"f": text})


@pytest.mark.parametrize("text", ["gte[int].5", "[int].5", "not.x[y].z", "$x[y].", "", "a,b]", '"'])
def test_text_that_looks_typed_is_written_with_eq_str(text: str) -> None:
    query_string = urlencode({"f": f"eq[str].{text}"})
    assert PLAIN.parse_list(query_string).filter == {"f": {"$eq": text}}


@pytest.mark.parametrize(
    "field", ["a", "a.b", "a.0.b", "_id", "a b", "größe", "a$", "a[0]", "nota"]
)
def test_a_field_is_a_path_of_plain_names(field: str) -> None:
    query_string = urlencode({field: "[int].5"})
    assert PLAIN.parse_list(query_string).filter == {field: {"$eq": 5}}


# ---------------------------------------------------------------------- the form's encoding


@pytest.mark.parametrize(
    ("query_string", "expected"),
    [
        ("f=North+Pole", {"f": "North Pole"}),
        ("f=North%20Pole", {"f": "North Pole"}),
        ("f=a%2Bb", {"f": "a+b"}),
        ("f=%22%3C%26%3D%23%22", {"f": '"<&=#"'}),
        ("f+g=1", {"f g": "1"}),
        ("f%2Eg=1", {"f.g": "1"}),
        ("f%3D=1", {"f=": "1"}),
        ("gr%C3%B6%C3%9Fe=%C3%A4", {"größe": "ä"}),
        ("größe=ä".encode().decode("latin-1"), {"größe": "ä"}),
        ("f=%F0%9F%9A%80", {"f": "🚀"}),
        ("f=%00", {"f": "\0"}),
        ("f=gte%5Bint%5D.5", {"f": {"$gte": 5}}),
        ("f=eq[str].Rocket+Lab", {"f": {"$eq": "Rocket Lab"}}),
        ("f=in%5Blist-str%5D.%5BNorth+Pole,Moon%5D", {"f": {"$in": ["North Pole", "Moon"]}}),
        ("a=1&&b=2&", {"a": "1", "b": "2"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=1;b=2", {"a": "1;b=2"}),
    ],
)
def test_query_strings_are_form_encoded(query_string: str, expected: dict[str, Any]) -> None:
    assert filter_of(query_string) == expected


@pytest.mark.parametrize(
    "query_string",
    ["f=%FF", "%FF=1", "f=%C3", "f=\xff", "f=%ED%A0%80", "f=%C0%80", "f=%C3%28", "f=\ud800", "f=€"],
)
def test_bytes_that_are_not_utf_8_are_refused(query_string: str) -> None:
    assert refusal(query_string).code == "query.malformed"


@pytest.mark.parametrize(
    ("part", "name"), [("f", "f"), ("a=1&f", "f"), ("%20", " "), ("_limit", "_limit")]
)
def test_a_parameter_without_a_value_is_refused(part: str, name: str) -> None:
    assert_refused(part, "query.malformed", name)


# ---------------------------------------------------------------------------- several filters


@pytest.mark.parametrize(
    ("query_string", "expected"),
    [
        ("", {}),
        ("&", {}),
        ("a=x&b=[int].5", {"a": "x", "b": {"$eq": 5}}),
        ("n=gte[int].1&n=lt[int].5", {"$and": [{"n": {"$gte": 1}}, {"n": {"$lt": 5}}]}),
        ("n=x&n=x", {"$and": [{"n": "x"}, {"n": "x"}]}),
        (
            "n=[int].1&m=y&n=[int].2&n=[int].3",
            {"$and": [{"n": {"$eq": 1}, "m": "y"}, {"n": {"$eq": 2}}, {"n": {"$eq": 3}}]},
        ),
        (
            "or=(a.eq[int].1)&or=(b.eq[int].2)",
            {"$and": [{"$or": [{"a": {"$eq": 1}}]}, {"$or": [{"b": {"$eq": 2}}]}]},
        ),
        (
            "or=(a.eq[int].1)&a=x&nor=(b.eq[int].2)",
            {"$or": [{"a": {"$eq": 1}}], "a": "x", "$nor": [{"b": {"$eq": 2}}]},
        ),
        (
            "and=(a.eq[int].1)&and=(a.eq[int].2)",
            {"$and": [{"$and": [{"a": {"$eq": 1}}]}, {"$and": [{"a": {"$eq": 2}}]}]},
        ),
    ],
)
def test_all_filters_are_anded_a_repeated_one_included(
    query_string: str, expected: dict[str, Any]
) -> None:
    assert PLAIN.parse_list(query_string).filter == expected
    assert PLAIN.parse_bulk(query_string).filter == expected


# ------------------------------------------------------------------------------------- groups


def eq(field: str, value: Any) -> dict[str, Any]:
    return {field: {"$eq": value}}


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("and=(a.eq[int].1)", {"$and": [eq("a", 1)]}),
        ("or=(a.eq[int].1,b.eq[str].x)", {"$or": [eq("a", 1), eq("b", "x")]}),
        ("nor=(a.eq[int].1,a.eq[int].2)", {"$nor": [eq("a", 1), eq("a", 2)]}),
        # The field is what stands before the operator, and may be a path.
        ("or=(engine.cycle.eq[str].x)", {"$or": [eq("engine.cycle", "x")]}),
        ("or=(a.0.b.eq[str].x)", {"$or": [eq("a.0.b", "x")]}),
        ("or=(gt.eq[int].1)", {"$or": [eq("gt", 1)]}),
        ("or=(eq.eq.eq[int].1)", {"$or": [eq("eq.eq", 1)]}),
        ("or=(and.eq[int].1)", {"$or": [eq("and", 1)]}),
        ("or=(a+b.eq[int].1)", {"$or": [eq("a b", 1)]}),
        ("or=(_limit.eq[int].1)", {"$or": [eq("_limit", 1)]}),
        # `not` is a prefix before the operator, and a name anywhere else.
        ("or=(a.not.eq[int].1)", {"$or": [{"a": {"$not": {"$eq": 1}}}]}),
        ("or=(a.b.not.in[list-int].[1])", {"$or": [{"a.b": {"$not": {"$in": [1]}}}]}),
        ("or=(not.eq[int].1)", {"$or": [eq("not", 1)]}),
        ("or=(not.not.eq[int].1)", {"$or": [{"not": {"$not": {"$eq": 1}}}]}),
        ("or=(not.a.eq[int].1)", {"$or": [eq("not.a", 1)]}),
        ("or=(cannot.eq[int].1)", {"$or": [eq("cannot", 1)]}),
        # A bare item stops at a comma or a closing parenthesis.
        ("or=(a.eq[str].)", {"$or": [eq("a", "")]}),
        ("or=(a.eq[null].)", {"$or": [eq("a", None)]}),
        ("or=(a.eq[str].x.y[z](w)", {"$or": [eq("a", "x.y[z](w")]}),
        ('or=(a.eq[str].x"y)', {"$or": [eq("a", 'x"y')]}),
        ("or=(a.eq[str].b.eq[int].5)", {"$or": [eq("a", "b.eq[int].5")]}),
        ("or=(a.eq[str].+x+)", {"$or": [eq("a", " x ")]}),
        ("or=(a.eq[str].\\)", {"$or": [eq("a", "\\")]}),
        # A quoted one holds anything.
        ('or=(a.eq[str]."x,y)",b.eq[int]."5")', {"$or": [eq("a", "x,y)"), eq("b", 5)]}),
        ('or=(a.eq[str]."")', {"$or": [eq("a", "")]}),
        (r'or=(a.eq[str]."\"\\")', {"$or": [eq("a", '"\\')]}),
        # Lists.
        ("or=(a.in[list-int].[])", {"$or": [{"a": {"$in": []}}]}),
        ("or=(a.in[list-int].[1,2],b.eq[int].3)", {"$or": [{"a": {"$in": [1, 2]}}, eq("b", 3)]}),
        ("or=(a.all[list-str].[a,,b])", {"$or": [{"a": {"$all": ["a", "", "b"]}}]}),
        ("or=(a.all[list-str].[,])", {"$or": [{"a": {"$all": ["", ""]}}]}),
        ('or=(a.nin[list-str].["]","a,b",c)])', {"$or": [{"a": {"$nin": ["]", "a,b", "c)"]}}]}),
        (r'or=(a.in[list-str].["\"","\\",""])', {"$or": [{"a": {"$in": ['"', "\\", ""]}}]}),
        # Groups in groups.
        ("or=(and(a.eq[int].1))", {"$or": [{"$and": [eq("a", 1)]}]}),
        (
            "or=(and(a.eq[int].1,b.eq[int].2),nor(c.eq[int].3,or(d.eq[int].4)),e.eq[int].5)",
            {
                "$or": [
                    {"$and": [eq("a", 1), eq("b", 2)]},
                    {"$nor": [eq("c", 3), {"$or": [eq("d", 4)]}]},
                    eq("e", 5),
                ]
            },
        ),
    ],
)
def test_a_group_is_read_by_the_grammar(group: str, expected: dict[str, Any]) -> None:
    assert_same(filter_of(group), expected)


@pytest.mark.parametrize("name", ["and", "or", "nor"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "()",
        "(",
        ")",
        "(a.eq[int].1",
        "a.eq[int].1)",
        "(a.eq[int].1))",
        "(a.eq[int].1)x",
        "(a.eq[int].1)(b.eq[int].2)",
        "((a.eq[int].1))",
        "(,)",
        "(a.eq[int].1,)",
        "(,a.eq[int].1)",
        "(a.eq[int].1,,b.eq[int].2)",
        "(a)",
        "(a=1)",
        "(a.eq)",
        "(a.eq.1)",
        "(a.eq[int]1)",
        "(a.eq[int)",
        "(a.eq[int])",
        '(a.eq[str]."x)',
        '(a.eq[str]."x"y)',
        r'(a.eq[str]."\n")',
        '(a.eq[str]."x\\',
        "(a.in[list-int].1)",
        "(a.in[list-int].[1)",
        "(a.in[list-int].[1]x)",
        '(a.in[list-str].["x)',
        "(and)",
        "(and())",
        "(and(a.eq[int].1)",
        "(xor(a.eq[int].1))",
        "(not(a.eq[int].1))",
        "( and(a.eq[int].1))",
        "(and(a.eq[int].1)b.eq[int].2)",
        "[a.eq[int].1]",
        "eq[int].1",
    ],
)
def test_a_malformed_group_is_refused(name: str, value: str) -> None:
    assert_refused(f"{name}={quote_plus(value)}", "query.invalid_group", name)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("(a.equals[int].1)", "query.unknown_operator"),
        ("(a..eq[int].1)", "query.invalid_field"),
        ("(.eq[int].1)", "query.invalid_field"),
        ("(eq[int].1)", "query.invalid_field"),
        ("(.a.eq[int].1)", "query.invalid_field"),
        ("(a.b..c.eq[int].1)", "query.invalid_field"),
        ("(a.[int].1)", "query.unknown_operator"),
        ("(a.b.not[int].1)", "query.unknown_operator"),
        ("(a.and[int].1)", "query.unknown_operator"),
        ("(a.eq[integer].1)", "query.unknown_hint"),
        ("(a.eq[].1)", "query.unknown_hint"),
        ("(a.eq[a,b].1)", "query.unknown_hint"),
        ("(a.eq[int].x)", "query.invalid_value"),
        ('(a.eq[int]."")', "query.invalid_value"),
        ("(a.size[int].-1)", "query.invalid_value"),
        ("(a.in[list-int].[1,])", "query.invalid_value"),
        ("(a.eq[int].1,b.eq[int].x)", "query.invalid_value"),
        ("(and(or(a.eq[int].x)))", "query.invalid_value"),
    ],
)
def test_a_wrong_member_is_refused_under_the_name_of_its_group(value: str, code: str) -> None:
    assert_refused(f"nor={value}", code, "nor")


def nested(depth: int) -> str:
    return "and=" + "(and" * (depth - 1) + "(a.eq[int].1)" + ")" * (depth - 1)


def test_groups_nest_to_a_depth_that_mongodb_takes() -> None:
    expected: dict[str, Any] = eq("a", 1)
    for _ in range(20):
        expected = {"$and": [expected]}
    assert filter_of(nested(20)) == expected


@pytest.mark.parametrize("depth", [21, 100, 1000])
def test_groups_that_nest_deeper_are_refused(depth: int) -> None:
    assert_refused(nested(depth), "query.too_complex", "and")


@pytest.mark.parametrize(
    "query_string",
    [
        "and=" + "(" * 10_000,
        "and=" + ")" * 10_000,
        "and=" + "(" * 10_000 + ")" * 10_000,
        "and=" + "(or" * 10_000,
        "f=in[list-str]." + "[" * 10_000,
        "or=(a.in[list-str]." + "[" * 10_000,
        "_sort=" + "(" * 10_000,
    ],
)
def test_ten_thousand_brackets_are_a_bad_request(query_string: str) -> None:
    assert refusal(query_string).status == 400


# ----------------------------------------------------------------- dollar signs and field names


@pytest.mark.parametrize(
    ("query_string", "code", "parameter"),
    [
        # As a field, and as a part of one.
        ("$where=1", "query.invalid_field", "$where"),
        ("%24where=1", "query.invalid_field", "$where"),
        ("$or=(a.eq[int].1)", "query.invalid_field", "$or"),
        ("$expr=[str].x", "query.invalid_field", "$expr"),
        ("a.$b=1", "query.invalid_field", "a.$b"),
        ("a.$=1", "query.invalid_field", "a.$"),
        ("a.$[]=1", "query.invalid_field", "a.$[]"),
        ("$=1", "query.invalid_field", "$"),
        # As an operator.
        ("a=$gt[int].1", "query.unknown_operator", "a"),
        ("a=not.$gt[int].1", "query.unknown_operator", "a"),
        ("a=$where[str].1", "query.unknown_operator", "a"),
        # As a member of a group.
        ("or=(a.$gt[int].1)", "query.unknown_operator", "or"),
        ("or=(a.not.$gt[int].1)", "query.unknown_operator", "or"),
        ("or=($where.eq[str].1)", "query.invalid_field", "or"),
        ("or=(a.$b.eq[int].1)", "query.invalid_field", "or"),
        ("or=($and(a.eq[int].1))", "query.invalid_group", "or"),
        ("or=(and(nor($expr.eq[int].1)))", "query.invalid_field", "or"),
        # In what is shown and how it is sorted.
        ("_projection=$a", "query.invalid_field", "_projection"),
        ("_projection=a,b.$c", "query.invalid_field", "_projection"),
        ("_projection=a.$", "query.invalid_field", "_projection"),
        ("_sort=($a:ascending)", "query.invalid_field", "_sort"),
        ("_sort=(a:ascending),(b.$c:descending)", "query.invalid_field", "_sort"),
    ],
)
def test_a_dollar_sign_gets_through_nowhere(query_string: str, code: str, parameter: str) -> None:
    assert_refused(query_string, code, parameter)


def test_a_dollar_sign_in_a_value_is_data() -> None:
    assert filter_of("a=$where&b=eq[str].$gt&or=(c.in[list-str].[$a])") == {
        "a": "$where",
        "b": {"$eq": "$gt"},
        "$or": [{"c": {"$in": ["$a"]}}],
    }


@pytest.mark.parametrize("field", ["", ".", "a.", ".a", "a..b", "..", "a\0", "\0", "a.\0", "a.b."])
def test_a_field_name_that_is_empty_badly_dotted_or_holds_nul_is_refused(field: str) -> None:
    encoded = quote(field)
    assert_refused(f"{encoded}=1", "query.invalid_field", field)
    assert_refused(f"or=({encoded}.eq[int].1)", "query.invalid_field", "or")
    assert_refused(f"_sort=({encoded}:ascending)", "query.invalid_field", "_sort")
    assert_refused(f"_projection=x,{encoded}", "query.invalid_field", "_projection")


def test_nul_in_a_value_is_data() -> None:
    assert filter_of("a=%00&b=[str].%00") == {"a": "\0", "b": {"$eq": "\0"}}


# ---------------------------------------------------- _projection, _sort, _limit, _skip, reserved


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        ("b,a", ("b", "a")),
        ("a,a", ("a",)),
        ("_id", ("_id",)),
        ("a.b,a.c", ("a.b", "a.c")),
        ("größe", ("größe",)),
        # MongoDB refuses a path beside one above it; the one above shows both.
        ("a,a.b", ("a",)),
        ("a.b.c,a,x", ("a", "x")),
    ],
)
def test_projection_names_the_fields_to_show(value: str, expected: tuple[str, ...]) -> None:
    query_string = f"_projection={quote(value)}"
    assert PLAIN.parse_list(query_string) == Query(projection=expected)
    assert PLAIN.parse_item(query_string) == Query(projection=expected)


@pytest.mark.parametrize("value", ["", ",", "a,", ",a", "a,,b", "a..b", "a b.", "$a", "%00"])
def test_a_projection_that_can_not_be_read_is_refused(value: str) -> None:
    for parse in (PLAIN.parse_list, PLAIN.parse_item):
        with pytest.raises(QueryError) as caught:
            parse(f"_projection={value}")
        assert caught.value.code in {"query.invalid_projection", "query.invalid_field"}
        assert caught.value.parameter == "_projection"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("(a:ascending)", (("a", 1),)),
        ("(a:descending)", (("a", -1),)),
        ("(name:ascending),(burn_time:descending)", (("name", 1), ("burn_time", -1))),
        ("(b:ascending),(a:ascending)", (("b", 1), ("a", 1))),
        ("(a.b:ascending)", (("a.b", 1),)),
        ("(gr%C3%B6%C3%9Fe:ascending)", (("größe", 1),)),
    ],
)
def test_sort_names_fields_with_their_directions(value: str, expected: tuple[Any, ...]) -> None:
    assert PLAIN.parse_list(f"_sort={value}") == Query(sort=expected)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a",
        "a:ascending",
        "()",
        "(a)",
        "(a:)",
        "(a:asc)",
        "(a:1)",
        "(a:Ascending)",
        "(a:ascending",
        "a:ascending)",
        "(a:ascending),",
        "(a:ascending),()",
        "(a:ascending),b:descending",
        "(a:ascending)(b:descending)",
        "(a:ascending),%20(b:descending)",
        "(a:ascending,b:descending)",
        "((a:ascending))",
        "(a:ascending),(a:descending)",
        "(a:sideways),(b:ascending)",
        "-a",
    ],
)
def test_a_sort_that_can_not_be_read_is_refused(value: str) -> None:
    assert_refused(f"_sort={value}", "query.invalid_sort", "_sort")


def test_a_sort_has_as_many_fields_as_mongodb_takes() -> None:
    parts = [f"(f{number}:ascending)" for number in range(33)]
    assert len(PLAIN.parse_list(f"_sort={','.join(parts[:32])}").sort) == 32
    assert_refused(f"_sort={','.join(parts)}", "query.invalid_sort", "_sort")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("_limit", "_skip") for value in ("0", "1", "007", "1000000")),
        ("_limit", "9223372036854775807"),
    ],
)
def test_limit_and_skip_are_whole_numbers(name: str, value: str) -> None:
    query = PLAIN.parse_list(f"{name}={value}")
    expected = None if (name, value) == ("_limit", "0") else int(value)
    assert getattr(query, name[1:]) == expected
    assert query.filter == {}


@pytest.mark.parametrize("name", ["_limit", "_skip"])
@pytest.mark.parametrize(
    "value",
    [
        *("", "-1", "-0", "1.5", "1e3", "x", "%2B1", "+1", "1+", "0x10", "[int].5", "%D9%A3"),
        *("1_000", "9223372036854775808", "9" * 5000, "18446744073709551616"),
    ],
)
def test_a_limit_or_skip_that_is_no_whole_number_is_refused(name: str, value: str) -> None:
    assert_refused(f"{name}={value}", f"query.invalid{name}", name)


def test_no_limit_is_limit_0() -> None:
    assert PLAIN.parse_list("_limit=0") == PLAIN.parse_list("") == EVERYTHING


def test_all_that_a_list_takes_stands_side_by_side() -> None:
    assert PLAIN.parse_list(
        "country=USA&_sort=(name:ascending)&_limit=10&_skip=20&_projection=name,cycle"
    ) == Query(
        filter={"country": "USA"},
        projection=("name", "cycle"),
        sort=(("name", 1),),
        skip=20,
        limit=10,
    )


CONTROLS = {"_projection": "a", "_sort": "(a:ascending)", "_limit": "1", "_skip": "1"}


@pytest.mark.parametrize("name", CONTROLS)
def test_what_is_no_filter_stands_once(name: str) -> None:
    part = f"{name}={CONTROLS[name]}"
    assert_refused(f"{part}&{part}", "query.repeated_parameter", name)


RESERVED = ("_fields", "_order_by")


@pytest.mark.parametrize("name", RESERVED)
def test_a_name_that_is_reserved_is_refused(name: str) -> None:
    for parse in (PLAIN.parse_list, PLAIN.parse_bulk, PLAIN.parse_item):
        with pytest.raises(QueryError) as caught:
            parse(f"{name}=1")
        assert caught.value.parameter == name
    assert_refused(f"{name}=1", "query.reserved_parameter", name)


@pytest.mark.parametrize("name", ["_after", "_before", "_count"])
def test_what_pages_a_list_is_for_lists(name: str) -> None:
    for parse in (PLAIN.parse_bulk, PLAIN.parse_item):
        with pytest.raises(QueryError) as caught:
            parse(f"{name}=exact")
        assert caught.value.parameter == name
    parsed = PLAIN.parse_list(f"{name}=exact")
    assert (parsed.count or parsed.cursor) == ("exact" if name == "_count" else (name, "exact"))


@pytest.mark.parametrize("name", ["_other", "_id", "_Limit", "limit", "__sort", "_limits"])
def test_every_other_name_is_a_filter(name: str) -> None:
    assert PLAIN.parse_list(f"{name}=1").filter == {name: "1"}


# ------------------------------------------------------------- bulk writes and single documents


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("value", ["", "nonsense"])
def test_a_bulk_write_ignores_what_is_no_filter(name: str, value: str) -> None:
    assert PLAIN.parse_bulk(f"{name}={CONTROLS[name]}&a=1") == Query({"a": "1"})
    assert PLAIN.parse_bulk(f"{name}={value}&{name}={value}") == EVERYTHING


@pytest.mark.parametrize(
    "query_string", ["$a=1", "a=$gt[int].1", "a=eq[int].x", "or=(", "_fields=1", "a", "a=%FF"]
)
def test_a_bulk_write_refuses_what_a_list_refuses(query_string: str) -> None:
    expected = refusal(query_string)
    with pytest.raises(QueryError) as caught:
        PLAIN.parse_bulk(query_string)
    assert (caught.value.code, caught.value.parameter) == (expected.code, expected.parameter)


@pytest.mark.parametrize(
    "name", ["a", "_sort", "_limit", "_skip", "and", "or", "nor", "_after", "_count", "$where", ""]
)
def test_a_request_for_one_document_takes_nothing_but_a_projection(name: str) -> None:
    for query_string in (f"{name}=1", f"_projection=a&{name}=1"):
        with pytest.raises(QueryError) as caught:
            PLAIN.parse_item(query_string)
        assert caught.value.code == "query.unknown_parameter"
        assert caught.value.parameter == name


def test_a_request_for_one_document_may_have_no_parameters() -> None:
    assert PLAIN.parse_item("") == PLAIN.parse_item("&") == EVERYTHING


# --------------------------------------------------------------------------- how pages are wrapped


def test_a_list_is_a_json_array() -> None:
    assert PLAIN.page(None, {}) == PLAIN.page(True, {}) == (b"[", b"]")


def test_bulk_writes_are_answered_with_counts() -> None:
    assert PLAIN.updated(3, 2) == {"matched_items": 3, "modified_items": 2}
    assert PLAIN.deleted(3) == {"items_deleted": 3}


@pytest.mark.parametrize(
    "query_string",
    [
        "",
        "_limit=5&_skip=7",
        "n=gte[int].1&n=lt[int].5&_sort=(a:ascending)",
        "f=a%2Bb+c%26&or=(a.eq[str].%22%C3%A4%22)&_projection=a,b",
    ],
)
def test_the_next_page_is_the_same_query_further_on(query_string: str) -> None:
    query = PLAIN.parse_list(query_string)
    bounded = Query(query.filter, query.projection, query.sort, query.skip, query.limit or 20)
    further = ("_skip", query.skip + bounded.limit)
    following = PLAIN.parse_list(PLAIN.page_at(query_string, bounded.limit, further))
    assert following == Query(
        query.filter, query.projection, query.sort, query.skip + bounded.limit, bounded.limit
    )


# ------------------------------------------------------------------ any text parses or is refused

GROUPS = {"$and", "$or", "$nor"}
EXPRESSIONS = {f"${operator}" for operator in OPERATORS}
SCALAR_TYPES = {int, float, bool, str, datetime, ObjectId, Decimal128, type(None)}
TYPES_OF = {"$exists": {bool}, "$size": {int}, "$type": {str}, "$regex": {str}}


def assert_harmless(found: dict[str, Any]) -> None:
    """Check that a filter says only what the contract's table lets a client say."""
    for name, value in found.items():
        if name in GROUPS:
            assert type(value) is list
            assert value
            for member in value:
                assert member
                assert_harmless(member)
            continue
        assert_plain_path(name)
        if type(value) is str:
            continue
        assert type(value) is dict
        assert len(value) == 1
        expression = value.get("$not", value)
        assert type(expression) is dict
        ((operator, literal),) = expression.items()
        assert operator in EXPRESSIONS
        if operator in {"$in", "$nin", "$all"}:
            assert type(literal) is list
            assert all(type(item) in SCALAR_TYPES - {type(None)} for item in literal)
        else:
            assert type(literal) in TYPES_OF.get(operator, SCALAR_TYPES)
        if operator == "$size":
            assert literal >= 0


def assert_plain_path(path: str) -> None:
    assert "\0" not in path
    assert all(part and not part.startswith("$") for part in path.split("."))


PIECES = [
    *("and=", "or=", "nor=", "and(", "or(", "nor(", "(", ")", ",", "[", "]", ".", '"', "\\"),
    *("&", "=", "%", "+", "%00", "%FF", "%24", "%C3%B6", "$", "$where", "$or", "not.", "x", "a.b"),
    *("_sort=", "_projection=", "_limit=", "_skip=", "_after=", ":ascending", ":down", "-1", "5"),
    *(f"{operator}[" for operator in OPERATORS),
    *(f"{hint}]." for hint in (*SCALARS, *LISTS)),
]
VALID_QUERIES = [
    *(f"f={operator}[{hint}].{literal}" for operator, hint, literal, _ in VALID[::7]),
    'or=(a.eq[str]."x,y)",and(b.in[list-int].[1,2],nor(c.not.size[int].3)))',
    "n=gte[int].1&n=lt[int].5&_sort=(a:ascending),(b:descending)&_limit=5&_skip=2&_projection=a,b",
]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A valid query string of which a part is replaced."""
    text = draw(st.sampled_from(VALID_QUERIES))
    start = draw(st.integers(0, len(text)))
    stop = draw(st.integers(start, min(len(text), start + 6)))
    return text[:start] + draw(st.sampled_from(["", *PIECES])) + text[stop:]


ANY_TEXT = st.one_of(
    st.text(),
    st.text(st.characters(max_codepoint=255)),
    st.lists(st.sampled_from(PIECES), max_size=25).map("".join),
    damaged(),
)


@pytest.mark.parametrize("dialect", [PLAIN, WITH_REGEX], ids=["plain", "with regex"])
@given(text=ANY_TEXT)
@example(text="\ud800=1")
@example(text="=")
@settings(max_examples=200, deadline=None)
def test_any_query_string_parses_or_is_refused(dialect: TypedDialect, text: str) -> None:
    parsers: list[Callable[[str], Query]] = [
        dialect.parse_list,
        dialect.parse_bulk,
        dialect.parse_item,
    ]
    for parse in parsers:
        try:
            query = parse(text)
        except QueryError:
            continue
        assert type(query) is Query
        assert_harmless(query.filter)
        for path in (*(query.projection or ()), *(path for path, _ in query.sort)):
            assert_plain_path(path)
        assert all(direction in (1, -1) for _, direction in query.sort)
        assert query.skip >= 0
        assert query.limit is None or query.limit > 0


# ------------------------------------------------------- what is rendered is read as it was meant


@dataclass(frozen=True)
class Condition:
    """A condition on a field, with the literals of its value."""

    negate: bool
    operator: str
    hint: str
    literals: str | list[str]
    value: Any

    @property
    def head(self) -> str:
        return f"{'not.' if self.negate else ''}{self.operator}[{self.hint}]."

    @property
    def expected(self) -> dict[str, Any]:
        expression = {f"${self.operator}": self.value}
        return {"$not": expression} if self.negate else expression


def literals(hint: str) -> st.SearchStrategy[tuple[str, Any]]:
    """Pairs of a literal and the value that it means."""
    return LITERALS[hint]


def in_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000, fold=0)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(
    ',)]["\\.( ', max_size=6
)
LITERALS: dict[str, st.SearchStrategy[tuple[str, Any]]] = {
    "int": st.integers(-(2**63), 2**63 - 1).map(lambda n: (str(n), n)),
    "float": st.floats(allow_nan=False, allow_infinity=False).map(lambda x: (repr(x), x)),
    "bool": st.booleans().map(lambda b: (str(b).lower(), b)),
    "str": TEXTS.map(lambda text: (text, text)),
    "date": st.dates().map(lambda day: (day.isoformat(), datetime.combine(day, time.min))),
    "datetime": st.datetimes().map(lambda moment: (moment.isoformat(), in_milliseconds(moment))),
    "time": st.times().map(lambda moment: (moment.isoformat(), moment.isoformat())),
    "timedelta": st.floats(-1e15, 1e15).map(lambda x: (repr(x), x)),
    "oid": st.binary(min_size=12, max_size=12).map(ObjectId).map(lambda oid: (str(oid), oid)),
    "decimal": st.builds(
        lambda sign, digits, exponent: Decimal((sign, digits, exponent)),
        st.integers(0, 1),
        st.lists(st.integers(0, 9), min_size=1, max_size=34).map(tuple),
        st.integers(-6000, 6000),
    ).map(lambda number: (str(number), Decimal128(number))),
    "null": st.just(("", None)),
}


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    operator, hint = draw(st.sampled_from(sorted(ALLOWED)))
    negate = draw(st.booleans())
    if hint in LISTS:
        pairs = draw(st.lists(literals(hint.removeprefix("list-")), max_size=4))
        return Condition(negate, operator, hint, [p[0] for p in pairs], [p[1] for p in pairs])
    if operator == "size":
        literal, value = draw(st.integers(0, 2**63 - 1).map(lambda n: (str(n), n)))
    elif operator == "type":
        literal, value = draw(st.sampled_from([("int", "int"), ("binData", "binData")]))
    elif operator == "regex":
        literal, value = draw(TEXTS.map(lambda text: text.replace("\0", "")).map(lambda t: (t, t)))
    else:
        literal, value = draw(literals(hint))
    return Condition(negate, operator, hint, literal, value)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'


@st.composite
def items(draw: st.DrawFn, text: str, stop: str) -> str:
    """A literal as it stands in a group or a list: bare where that is possible."""
    bare = not text.startswith('"') and not any(mark in text for mark in f",{stop}")
    return text if bare and draw(st.booleans()) else quoted(text)


@st.composite
def lists(draw: st.DrawFn, texts: list[str]) -> str:
    if texts == [""]:
        return '[""]'
    return "[" + ",".join(draw(items(text, "]")) for text in texts) + "]"


NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=".$\0,()[]"), min_size=1, max_size=8
) | st.sampled_from(["and", "or", "eq", "gt", "a$", "_limit", "not"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
#: A path that ends with `not` can't be told from the prefix.
GROUP_PATHS = PATHS.filter(lambda path: not path.endswith(".not"))
FIELDS = PATHS.filter(lambda path: path not in {"and", "or", "nor", *CONTROLS, *RESERVED})

Rendered = tuple[str, dict[str, Any]]


@st.composite
def parameters(draw: st.DrawFn) -> Rendered:
    """A filter on a field: name=value."""
    field, condition = draw(FIELDS), draw(conditions())
    value = condition.literals
    rest = draw(lists(value)) if isinstance(value, list) else value
    return urlencode({field: condition.head + rest}), {field: condition.expected}


@st.composite
def leaves(draw: st.DrawFn) -> Rendered:
    """A member of a group that is a condition."""
    field, condition = draw(GROUP_PATHS), draw(conditions())
    value = condition.literals
    item = draw(lists(value) if isinstance(value, list) else items(value, ")"))
    return f"{field}.{condition.head}{item}", {field: condition.expected}


def groups(members: st.SearchStrategy[Rendered]) -> st.SearchStrategy[Rendered]:
    return st.builds(
        lambda name, parts: (
            f"{name}({','.join(text for text, _ in parts)})",
            {f"${name}": [expected for _, expected in parts]},
        ),
        st.sampled_from(["and", "or", "nor"]),
        st.lists(members, min_size=1, max_size=3),
    )


@given(parameters())
@settings(max_examples=150, deadline=None)
def test_a_filter_that_is_rendered_is_read_as_meant(rendered: Rendered) -> None:
    query_string, expected = rendered
    assert_same(filter_of(query_string), expected)


@given(groups(st.recursive(leaves(), groups, max_leaves=6)))
@settings(max_examples=150, deadline=None)
def test_a_group_that_is_rendered_is_read_as_meant(rendered: Rendered) -> None:
    text, expected = rendered
    name, _, members = text.partition("(")
    assert_same(filter_of(urlencode({name: f"({members}"})), expected)


@given(FIELDS, TEXTS)
@settings(max_examples=150, deadline=None)
def test_text_is_read_as_itself(field: str, text: str) -> None:
    expected: Any = text
    if re.match(r"(not\.)?[$\w]*\[[^\]]*\]\.", text):
        text = f"eq[str].{text}"
        expected = {"$eq": expected}
    assert filter_of(urlencode({field: text})) == {field: expected}


@given(st.lists(parameters(), min_size=2, max_size=4))
@settings(max_examples=100, deadline=None)
def test_every_parameter_counts(rendered: list[Rendered]) -> None:
    found = filter_of("&".join(text for text, _ in rendered))
    parts = found["$and"] if found.keys() == {"$and"} else [found]
    read = [repr({name: value}) for part in parts for name, value in part.items()]
    assert sorted(read) == sorted(repr(expected) for _, expected in rendered)
