"""Limits: each is held where it is counted, by both dialects, and can be reached."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from marshmallow import fields as ma

from falcorest import Resource, ResourceView, Schema
from falcorest import operators as ops
from falcorest.bson_json import parse
from falcorest.declaration import declaration_of
from falcorest.dialects import Dialect, SuffixDialect, TypedDialect
from falcorest.errors import CODES, BodyError, ConfigurationError, QueryError
from falcorest.limits import LIMITS, Limit, Limits


class ThingSchema(Schema):
    text = ma.String()
    number = ma.Integer()
    other = ma.Integer()


class ThingResource(Resource):
    collection = "things"
    schema = ThingSchema
    filters = {
        "text": [ops.Exact, ops.In, ops.Contains, ops.IExact, ops.Startswith],
        "number": [ops.Exact, ops.In],
    }
    allowed_ordering = ["text", "number", "other"]


def typed(**limits: int) -> TypedDialect:
    return TypedDialect(regex=True, limits=Limits(**limits))


def suffix(**limits: int) -> SuffixDialect:
    declaration = declaration_of(ThingResource)
    return SuffixDialect(declaration.filters, declaration.ordering, Limits(**limits))


def deep(depth: int) -> str:
    return "and=" + "(and" * (depth - 1) + "(a.eq[int].1)" + ")" * (depth - 1)


#: What is just allowed by a limit, and what is one too many; with the parameter at fault.
CASES: list[tuple[Dialect, str, str, str, str | None]] = [
    # dialect, limit, allowed, refused, parameter
    *(
        (
            dialect(max_query_bytes=20),
            "max_query_bytes",
            "text=" + "x" * 15,
            "text=" + "x" * 16,
            None,
        )
        for dialect in (typed, suffix)
    ),
    *(
        (
            dialect(max_query_bytes=20),
            "max_query_bytes",
            "text=%C3%A4%C3%A4xxx",
            "text=" + "%C3%A4" * 3,
            None,
        )
        for dialect in (typed, suffix)
    ),
    *(
        (dialect(max_parameters=3), "max_parameters", allowed, refused, None)
        for dialect in (typed, suffix)
        for allowed, refused in (
            ("text=a&text=b&text=c", "text=a&text=b&text=c&text=d"),
            ("&text=a&&text=b&&_limit=3&", "text=a&_limit=1&_skip=1&text=b"),
        )
    ),
    *(
        (dialect(max_conditions=3), "max_conditions", allowed, refused, "text")
        for dialect in (typed, suffix)
        for allowed, refused in (
            ("text=a&text=b&text=c&_limit=5", "text=a&text=b&text=c&text=d&_limit=5"),
        )
    ),
    (
        typed(max_conditions=3),
        "max_conditions",
        "or=(a.eq[int].1,a.eq[int].2)",
        "or=(a.eq[int].1,a.eq[int].2,a.eq[int].3)",
        "or",
    ),
    (
        typed(max_conditions=4),
        "max_conditions",
        "or=(and(a.eq[int].1,a.eq[int].2))",
        "or=(and(a.eq[int].1,a.eq[int].2,a.eq[int].3))",
        "or",
    ),
    (
        typed(max_conditions=4),
        "max_conditions",
        "x=1&or=(a.eq[int].1)&y=2",
        "x=1&or=(a.eq[int].1)&y=2&z=3&_limit=1",
        "z",
    ),
    (typed(max_group_depth=1), "max_group_depth", deep(1), deep(2), "and"),
    (typed(max_group_depth=30), "max_group_depth", deep(30), deep(31), "and"),
    *(
        (typed(max_list_values=3), "max_list_values", f"a={allowed}", f"a={refused}", "a")
        for allowed, refused in (
            ("in[list-int].[1,2,3]", "in[list-int].[1,2,3,4]"),
            ("nin[list-str].[,,]", "nin[list-str].[,,,]"),
        )
    ),
    (
        typed(max_list_values=3),
        "max_list_values",
        "or=(a.all[list-str].[a,b,c])",
        "or=(a.all[list-str].[a,b,c,d])",
        "or",
    ),
    (
        suffix(max_list_values=3),
        "max_list_values",
        "text__in=a,b,c",
        "text__in=a,b,c,d",
        "text__in",
    ),
    (suffix(max_list_values=3), "max_list_values", "text__in=,,", "text__in=,,,", "text__in"),
    (
        typed(max_list_values=3),
        "max_list_values",
        "_projection=a,b,c",
        "_projection=a,b,c,d",
        "_projection",
    ),
    (
        typed(max_list_values=3),
        "max_list_values",
        "_projection=a,a,a",
        "_projection=a,a,a,a",
        "_projection",
    ),
    (suffix(max_list_values=3), "max_list_values", "_fields=a,b,c", "_fields=a,b,c,d", "_fields"),
    *(
        (
            typed(max_value_characters=4),
            "max_value_characters",
            f"{field}={allowed}",
            f"{field}={refused}",
            field,
        )
        for field, allowed, refused in (
            ("a", "xxxx", "xxxxx"),
            ("a", "%C3%A4%C3%A4%C3%A4%C3%A4", "%C3%A4%C3%A4%C3%A4%C3%A4x"),
            ("a", "eq[str].xxxx", "eq[str].xxxxx"),
            ("a", "not.gt[int].1234", "not.gt[int].12345"),
            ("a", "in[list-str].[xxxx,yyyy,zzzz]", "in[list-str].[x,yyyyy,z]"),
            ("or", "(a.eq[str].xxxx,b.eq[str].yyyy)", "(a.eq[str].xxxx,b.eq[str].yyyyy)"),
            ("or", '(a.eq[str]."x,y)")', '(a.eq[str]."x,y)z")'),
        )
    ),
    *(
        (
            suffix(max_value_characters=4),
            "max_value_characters",
            f"{name}={allowed}",
            f"{name}={refused}",
            name,
        )
        for name, allowed, refused in (
            ("text", "xxxx", "xxxxx"),
            ("text__in", "xxxx,yyyy,zzzz", "x,yyyyy,z"),
            ("number", "1234", "12345"),
        )
    ),
    (
        typed(max_pattern_characters=4),
        "max_pattern_characters",
        "a=regex[str].%5Eabc&b=longer-than-that",
        "a=regex[str].%5Eabcd",
        "a",
    ),
    (
        typed(max_pattern_characters=4),
        "max_pattern_characters",
        "or=(a.regex[str].abcd,b.eq[str].longer)",
        "or=(a.regex[str].abcde)",
        "or",
    ),
    *(
        (
            suffix(max_pattern_characters=4),
            "max_pattern_characters",
            f"{name}=abcd&text=longer",
            f"{name}=abcde",
            name,
        )
        for name in ("text__contains", "text__iexact", "text__startswith")
    ),
    (
        typed(max_sort_fields=1),
        "max_sort_fields",
        "_sort=(a:ascending)",
        "_sort=(a:ascending),(b:ascending)",
        "_sort",
    ),
    (
        suffix(max_sort_fields=2),
        "max_sort_fields",
        "_order_by=text,number",
        "_order_by=text,number,other",
        "_order_by",
    ),
    *(
        (dialect(max_skip=5), "max_skip", "_skip=5", "_skip=6", "_skip")
        for dialect in (typed, suffix)
    ),
]


def limit(name: str) -> Limit:
    (found,) = (one for one in LIMITS if one.attribute == name)
    return found


@pytest.mark.parametrize(("dialect", "name", "allowed", "refused", "parameter"), CASES)
def test_a_limit_is_held_where_it_is_counted(
    dialect: Any, name: str, allowed: str, refused: str, parameter: str | None
) -> None:
    dialect.parse_list(allowed)
    with pytest.raises(QueryError) as caught:
        dialect.parse_list(refused)
    assert (caught.value.code, caught.value.parameter) == (limit(name).code, parameter)
    assert str(getattr(dialect._limits, name)) in caught.value.detail


def test_every_limit_of_a_query_string_has_its_case() -> None:
    counted = {one.attribute for one in LIMITS if one.code.startswith("query.")}
    assert {name for _, name, _, _, _ in CASES} == counted - {"stream_timeout_ms"}


@pytest.mark.parametrize("dialect", [typed, suffix])
def test_limits_hold_for_items_and_bulk_writes_too(dialect: Any) -> None:
    small = dialect(max_query_bytes=20, max_conditions=1)
    fields = "_projection" if dialect is typed else "_fields"
    for parse_it, query_string in (
        (small.parse_item, f"{fields}={'x' * 20}"),
        (small.parse_bulk, "text=" + "x" * 20),
        (small.parse_bulk, "text=a&text=b"),
    ):
        with pytest.raises(QueryError):
            parse_it(query_string)


@pytest.mark.parametrize(
    "query_string",
    [
        "a=in[list-oid].[" + "%2C".join(["6195b0eb829a2784b4459a7f"] * 1000) + "]",
        "a=" + "x" * 4096,
        "a=" + "%C3%A4" * 4096,
        "&".join(f"field{number}=value" for number in range(100)),
        f"or=({','.join(['some.field.eq[int].1'] * 99)})",
        deep(20),
        "a=regex[str]." + "%5B" * 256,
        "_sort=" + ",".join(f"(field{number}:ascending)" for number in range(32)),
        "_skip=1000000",
        "_projection=" + ",".join(f"field{number}" for number in range(1000)),
    ],
)
def test_the_limits_can_be_reached(query_string: str) -> None:
    """None of them stands in the way of another one."""
    typed().parse_list(query_string)


# -------------------------------------------------------------------------------- the bodies


@pytest.mark.parametrize("depth", [1, 2, 99, 100])
def test_the_levels_of_a_body_are_counted(depth: int) -> None:
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        inner = b"{}" if opening == b'{"a":' else b"[]"
        body = opening * (depth - 1) + inner + closing * (depth - 1)
        assert parse(body, depth) == parse(body)
        if depth > 1:
            with pytest.raises(BodyError, match=f"more than {depth - 1} levels") as caught:
                parse(body, depth - 1)
            assert caught.value.code == "body.too_deep"


# ----------------------------------------------------------------------------- the table


def test_every_limit_says_what_it_counts() -> None:
    assert {one.attribute for one in LIMITS} == {one.name for one in dataclasses.fields(Limits)}
    for one in LIMITS:
        assert one.help.endswith(".")
        assert 1 <= one.default <= one.most
        assert one.code in CODES or one.attribute == "max_count"
        assert one.default == getattr(Limits(), one.attribute)


@pytest.mark.parametrize("name", [one.attribute for one in LIMITS])
@pytest.mark.parametrize("value", [0, -1, 2**31, 1.5, "5", None, True])
def test_what_can_be_no_limit_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"Limits.{name}: a whole number from 1 to"):
        Limits(**{name: value})


def test_what_mongodb_bounds_can_be_lowered_only() -> None:
    for name in ("max_body_depth", "max_group_depth", "max_sort_fields"):
        most = limit(name).most
        assert getattr(Limits(**{name: most}), name) == most < 2**31 - 1
        with pytest.raises(ConfigurationError):
            Limits(**{name: most + 1})


# ------------------------------------------------------------------------- declared resources


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"max_body_bytes": 5}, r"say limits = Limits\(max_body_bytes=5\)"),
        ({"max_skip": 5}, r"say limits = Limits\(max_skip=5\)"),
        ({"limits": {"max_skip": 5}}, "limits: falcorest.limits.Limits is expected"),
        ({"limit": Limits()}, "is limits meant"),
    ],
)
def test_a_view_that_says_it_wrongly_is_refused(said: dict[str, Any], meant: str) -> None:
    with pytest.raises(ConfigurationError, match=meant):
        type("ThingView", (ResourceView,), {"resource": ThingResource, **said})
