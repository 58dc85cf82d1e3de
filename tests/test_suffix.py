"""The query language of declared resources, held against the tables of the contract."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import quote, quote_plus, urlencode

import mongomock
import pytest
from bson import Binary, Decimal128, ObjectId
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marshmallow import fields as ma
from marshmallow import validate
from pymongo import MongoClient

from falcorest import Resource, Schema, fields
from falcorest import operators as ops
from falcorest.declaration import declaration_of
from falcorest.dialects import SuffixDialect
from falcorest.errors import QueryError
from falcorest.memory import open_collection
from falcorest.operators import DECLARED, Operator
from falcorest.query import EVERYTHING, Filter, Query

OID = "6195b0eb829a2784b4459a7f"
ID = uuid.UUID("12345678-1234-5678-9234-567812345678")


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


class InnerSchema(Schema):
    text = ma.String(attribute="t")
    count = ma.Integer(data_key="n")


class ThingSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    text = ma.String(attribute="stored_text", validate=validate.Length(max=3))
    integer = ma.Integer()
    real = ma.Float()
    flag = ma.Boolean(attribute="stored_flag")
    day = ma.Date()
    moment = ma.DateTime()
    time = ma.Time()
    duration = ma.TimeDelta()
    price = ma.Decimal()
    key = ma.UUID()
    color = ma.Enum(Color)
    shade = ma.Enum(Color, by_value=True)
    owner = fields.Reference("owners")
    money = fields.Decimal128()
    inner = ma.Nested(InnerSchema, attribute="stored_inner")
    many = ma.List(ma.Nested(InnerSchema))
    tags = ma.List(ma.String())
    deep = ma.String(attribute="far.below")


#: All operators that take a single value, on fields of every type.
SCALARS = [ops.Exact, ops.Ne, ops.Lt, ops.Lte, ops.Gt, ops.Gte, ops.In, ops.Exists]
TEXTS = [
    *(ops.IExact, ops.Contains, ops.IContains, ops.Startswith, ops.IStartswith),
    *(ops.Endswith, ops.IEndswith),
]


def negatable(*operators: type[Operator]) -> list[Operator]:
    return [operator(allow_negation=True) for operator in operators]


class ThingResource(Resource):
    collection = "things"
    schema = ThingSchema
    rename_fields = {"owner": "owner_id", "integer": "number"}
    filters = {
        "text": negatable(*SCALARS, *TEXTS),
        "number": negatable(*SCALARS),
        "flag": negatable(ops.Boolean, ops.Exists),
        **dict.fromkeys(
            (
                *("id", "real", "day", "moment", "time", "duration", "price", "key", "color"),
                *("shade", "owner_id", "money", "deep", "tags"),
            ),
            SCALARS,
        ),
        "inner__text": [ops.Exact],
        "inner__n": [ops.Gt],
        "many__text": [ops.Exact],
        "inner": [ops.Exists],
    }
    allowed_ordering = ["text", "-text", "number", "inner__text", "text,-number", "deep"]


def dialect_of(resource: type[Resource]) -> SuffixDialect:
    declaration = declaration_of(resource)
    return SuffixDialect(declaration.filters, declaration.ordering)


DIALECT = dialect_of(ThingResource)


def filter_of(query_string: str) -> Filter:
    return DIALECT.parse_list(query_string).filter


def pair(name: str, value: str) -> str:
    return f"{name}={quote_plus(value)}"


# ---------------------------------------------------------------------------- fields and types

#: What the field of each type makes of a text.
VALUES: list[tuple[str, str, str, Any]] = [
    ("text", "stored_text", "5", "5"),
    ("text", "stored_text", "", ""),
    ("text", "stored_text", "true", "true"),
    ("text", "stored_text", "longer than may be stored", "longer than may be stored"),
    ("text", "stored_text", "größe & more=x", "größe & more=x"),
    ("text", "stored_text", "[int].5", "[int].5"),
    ("text", "stored_text", '{"$gt": ""}', '{"$gt": ""}'),
    ("text", "stored_text", "$where", "$where"),
    ("text", "stored_text", "a\0b", "a\0b"),
    ("number", "integer", "5", 5),
    ("number", "integer", "-9223372036854775808", -(2**63)),
    ("real", "real", "2.5", 2.5),
    ("real", "real", "5", 5.0),
    ("day", "day", "2024-02-29", dt.datetime(2024, 2, 29)),
    ("moment", "moment", "2024-02-29T12:30:15", dt.datetime(2024, 2, 29, 12, 30, 15)),
    ("moment", "moment", "2024-02-29T12:30:15+02:00", dt.datetime(2024, 2, 29, 10, 30, 15)),
    ("time", "time", "12:30:15", "12:30:15"),
    ("duration", "duration", "90", 90.0),
    ("price", "price", "1.10", Decimal128("1.10")),
    ("money", "money", "1.10", Decimal128("1.10")),
    ("key", "key", str(ID), Binary(ID.bytes, 4)),
    ("color", "color", "RED", "RED"),
    ("shade", "shade", "r", "r"),
    ("id", "_id", OID, ObjectId(OID)),
    ("owner_id", "owner", OID, ObjectId(OID)),
    ("deep", "far.below", "x", "x"),
    ("tags", "tags", "x", "x"),
    ("inner__text", "stored_inner.t", "x", "x"),
    ("many__text", "many.t", "x", "x"),
]


def exactly(value: Any) -> Any:
    return type(value), value


@pytest.mark.parametrize(("name", "stored", "text", "value"), VALUES)
def test_the_field_of_the_schema_says_what_a_value_is(
    name: str, stored: str, text: str, value: Any
) -> None:
    for parameter in (name, f"{name}__exact"):
        found = filter_of(pair(parameter, text))
        assert found == {stored: {"$eq": value}}
        assert exactly(found[stored]["$eq"]) == exactly(value)


#: What is no value of a field.
WRONG = [
    ("number", "x"), ("number", ""), ("number", "5.5.5"), ("number", "9223372036854775808"),
    ("number", "[int].5"), ("number", "1" * 4096), ("number", "5;"), ("real", "nan"),
    ("real", "inf"), ("real", "1e400"), ("real", "x"), ("day", "2024-02-30"), ("day", ""),
    ("day", "29.2.2024"), ("moment", "x"), ("moment", "0001-01-01T00:00:00+05:00"),
    ("moment", "9999-12-31T23:59:59-05:00"), ("time", "25:00"), ("duration", "x"),
    ("duration", "1e300"), ("price", "x"), ("price", "NaN"), ("price", "1" * 35),
    ("price", "1e7000"), ("money", "1" * 35), ("key", "x"), ("color", "r"), ("color", "GREEN"),
    ("shade", "RED"), ("id", "x"), ("id", ""), ("id", OID[:-1]), ("owner_id", "x"),
    ("number__in", "1,x"), ("number__in", ","), ("number__in", "1,"), ("id__in", f"{OID},"),
    ("flag", "maybe"), ("flag", ""), ("flag", "2"), ("flag__boolean", "x"),
    ("text__exists", "maybe"), ("text__exists", ""), ("number__gt", "x"), ("number__ne", ""),
    ("text__contains", "a\0b"), ("text__iexact", "\0"), ("inner__n__gt", "x"),
    ("inner__exists", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text"), WRONG)
def test_a_value_that_does_not_convert_is_an_error_that_names_the_parameter(
    name: str, text: str
) -> None:
    with pytest.raises(QueryError) as caught:
        DIALECT.parse_list(pair(name, text))
    assert caught.value.code == "query.invalid_value"
    assert caught.value.parameter == name
    assert len(caught.value.detail) < 400


# --------------------------------------------------------------------------------- operators

#: By operator: a text, and the expression.
EXPRESSIONS: dict[str, tuple[str, Any]] = {
    "exact": ("a.b", {"$eq": "a.b"}),
    "ne": ("a", {"$ne": "a"}),
    "lt": ("a", {"$lt": "a"}),
    "lte": ("a", {"$lte": "a"}),
    "gt": ("a", {"$gt": "a"}),
    "gte": ("a", {"$gte": "a"}),
    "in": ("a,b", {"$in": ["a", "b"]}),
    "exists": ("true", {"$exists": True}),
    "contains": ("a.b", {"$regex": r"a\.b"}),
    "icontains": ("a.b", {"$regex": r"(?i)a\.b"}),
    "startswith": ("a.b", {"$regex": r"^a\.b"}),
    "istartswith": ("a.b", {"$regex": r"(?i)^a\.b"}),
}


def test_the_operators_are_those_of_the_contract() -> None:
    names = "Exact Boolean Ne Lt Lte Gt Gte IExact In Contains IContains Startswith IStartswith "
    names += "Endswith IEndswith Exists"
    assert sorted(operator.__name__ for operator in DECLARED) == sorted(names.split())
    for operator in DECLARED:
        assert getattr(ops, operator.__name__) is operator
        assert operator.op == operator.__name__.lower()
        assert operator.meaning
    assert [operator for operator in DECLARED if operator.bare] == [ops.Exact, ops.Boolean]


@pytest.mark.parametrize(("op", "text", "expression"), [
    (op, *row) for op, row in EXPRESSIONS.items()
])  # fmt: skip
def test_an_operator_becomes_one_of_mongodbs(op: str, text: str, expression: Any) -> None:
    assert filter_of(pair(f"text__{op}", text)) == {"stored_text": expression}
    assert filter_of(pair(f"text__not__{op}", text)) == {"stored_text": {"$not": expression}}


@pytest.mark.parametrize("op", [operator.op for operator in TEXTS])
def test_what_a_client_looks_for_is_escaped(op: str) -> None:
    text = "^.*$|[a]{2}\\d(?i)+ #\n/"
    pattern = filter_of(pair(f"text__{op}", text))["stored_text"]["$regex"]
    assert isinstance(pattern, str)
    assert re.escape(text) in pattern
    assert len(pattern) - len(re.escape(text)) <= len("(?i)^$(?!\n)")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (",", ["", ""]),
        ("a,", ["a", ""]),
        ("a,,b", ["a", "", "b"]),
        ("[a,b]", ["[a", "b]"]),
        ("a b,c", ["a b", "c"]),
    ],
)
def test_in_splits_at_commas(text: str, values: list[str]) -> None:
    assert filter_of(pair("text__in", text)) == {"stored_text": {"$in": values}}


def test_in_converts_each_of_its_values() -> None:
    assert filter_of("number__in=1,2") == {"integer": {"$in": [1, 2]}}
    assert filter_of("number__in=") == {"integer": {"$in": []}}
    assert filter_of(f"id__in={OID}") == {"_id": {"$in": [ObjectId(OID)]}}


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("false", False), ("True", True), ("1", True), ("0", False)]
)
@pytest.mark.parametrize("name", ["flag", "flag__boolean"])
def test_boolean_is_true_or_false(name: str, text: str, value: bool) -> None:
    assert filter_of(f"{name}={text}") == {"stored_flag": {"$eq": value}}


@pytest.mark.parametrize(
    ("query_string", "expected"),
    [
        ("flag__exists=false", {"stored_flag": {"$exists": False}}),
        ("number__exists=true", {"integer": {"$exists": True}}),
        ("number__not__exists=true", {"integer": {"$not": {"$exists": True}}}),
        ("inner__exists=true", {"stored_inner": {"$exists": True}}),
        ("day__exists=false", {"day": {"$exists": False}}),
    ],
)
def test_exists_takes_true_or_false_whatever_the_field_is(
    query_string: str, expected: Filter
) -> None:
    assert filter_of(query_string) == expected


@pytest.mark.parametrize(
    "name",
    [
        *("nope", "nope__exact", "stored_text", "integer", "owner", "_id", "stored_inner.t"),
        *("text__", "text__nope", "text__not", "text__exact__not", "text__not__not__exact"),
        *("real__not__exact", "flag__exact", "inner", "inner__exact", "inner__t", "many"),
        *("many__n", "text__regex", "text__size", "$where", "text__$where", "Text", "text__EXACT"),
        *("_id__in", "_sort", "_projection", "_limits", "", "and", "or", "__exact", "text__text"),
        *("number__contains", "number__boolean", "inner__text__contains"),
    ],
)
def test_a_filter_that_is_not_declared_is_an_error(name: str) -> None:
    for parse in (DIALECT.parse_list, DIALECT.parse_bulk):
        with pytest.raises(QueryError) as caught:
            parse(f"{name}=1")
        assert caught.value.code == "query.unknown_parameter"
        assert caught.value.parameter == name


def test_bare_names_are_for_exact_and_boolean_only() -> None:
    class Only(Resource):
        collection = "things"
        schema = ThingSchema
        filters = {"text": [ops.In, ops.Startswith], "integer": [ops.Gt], "flag": [ops.Boolean]}

    dialect = dialect_of(Only)
    for query_string in ("text=a", "integer=1", "text__exact=a"):
        with pytest.raises(QueryError):
            dialect.parse_list(query_string)
    assert dialect.parse_list("flag=true").filter == {"stored_flag": {"$eq": True}}


def test_filters_are_and_ed() -> None:
    assert filter_of("number=5&deep=x") == {"integer": {"$eq": 5}, "far.below": {"$eq": "x"}}
    assert filter_of("number__gt=1&number__lt=5") == {
        "$and": [{"integer": {"$gt": 1}}, {"integer": {"$lt": 5}}]
    }
    assert filter_of("number=1&number=2") == {
        "$and": [{"integer": {"$eq": 1}}, {"integer": {"$eq": 2}}]
    }
    assert filter_of("&number=1&&") == {"integer": {"$eq": 1}}


class Modulo(Operator):
    """An operator of one's own, as the contract describes it."""

    op = "mod"
    meaning = "has that remainder"

    def condition(self, field: str, value: Any, negate: bool = False) -> Filter:
        if value < 0:
            raise ValueError("only remainders from 0")
        condition = {field: {"$mod": [3, value]}}
        return {"$nor": [condition]} if negate else condition


class Words(Operator):
    op = "words"
    takes: ClassVar[str] = "list"

    def condition(self, field: str, value: Any, negate: bool = False) -> Filter:
        return {field: {"$nin" if negate else "$all": value}}


class Around(ops.Exact):
    op = "around"
    bare = False

    def condition(self, field: str, value: Any, negate: bool = False) -> Filter:
        return {field: {"$gte": value - 1, "$lte": value + 1}}


class Own(Resource):
    collection = "things"
    schema = ThingSchema
    filters = {
        "integer": [Modulo(allow_negation=True), Around, ops.Exact],
        "tags": [Words(allow_negation=True)],
        "inner__n": [Around],
    }


@pytest.mark.parametrize(
    ("query_string", "expected"),
    [
        ("integer__mod=2", {"integer": {"$mod": [3, 2]}}),
        ("integer__not__mod=2", {"$nor": [{"integer": {"$mod": [3, 2]}}]}),
        ("tags__words=a,b", {"tags": {"$all": ["a", "b"]}}),
        ("tags__not__words=a", {"tags": {"$nin": ["a"]}}),
        ("integer__around=5", {"integer": {"$gte": 4, "$lte": 6}}),
        ("inner__n__around=5", {"stored_inner.count": {"$gte": 4, "$lte": 6}}),
        ("integer=5", {"integer": {"$eq": 5}}),
    ],
)
def test_an_operator_can_be_ones_own(query_string: str, expected: Filter) -> None:
    assert dialect_of(Own).parse_list(query_string).filter == expected


@pytest.mark.parametrize(
    "query_string", ["integer__mod=-1", "integer__mod=x", "tags__words", "integer__not__around=5"]
)
def test_what_an_own_operator_refuses_is_an_error(query_string: str) -> None:
    with pytest.raises(QueryError):
        dialect_of(Own).parse_list(query_string)


# ---------------------------------------------------------------------------------- controls


@pytest.mark.parametrize(
    ("query_string", "expected"),
    [
        ("", EVERYTHING),
        ("_limit=5", Query(limit=5)),
        ("_limit=0", Query(limit=0)),
        ("_limit=007", Query(limit=7)),
        ("_skip=5", Query(skip=5)),
        ("_skip=1000000", Query(skip=1_000_000)),
        (f"_limit={2**63 - 1}", Query(limit=2**63 - 1)),
        ("_fields=a", Query(fields=("a",))),
        ("_fields=a,b,a", Query(fields=("a", "b"))),
        ("_fields=_all", Query(fields=("_all",))),
        ("_order_by=text", Query(sort=(("stored_text", 1),))),
        ("_order_by=-text", Query(sort=(("stored_text", -1),))),
        ("_order_by=inner__text", Query(sort=(("stored_inner.t", 1),))),
        ("_order_by=deep", Query(sort=(("far.below", 1),))),
        ("_order_by=text,-number", Query(sort=(("stored_text", 1), ("integer", -1)))),
        ("_order_by=number,-text", Query(sort=(("integer", 1), ("stored_text", -1)))),
        (
            "_limit=1&_skip=2&_order_by=text&_fields=text&number=3",
            Query(
                filter={"integer": {"$eq": 3}},
                sort=(("stored_text", 1),),
                skip=2,
                limit=1,
                fields=("text",),
            ),
        ),
    ],
)
def test_a_list_takes_controls(query_string: str, expected: Query) -> None:
    assert DIALECT.parse_list(query_string) == expected


NO_COUNTS = ["", "-1", "x", "1.0", "1e2", "0x1", str(2**63), "1" * 5000, "%20", "%2B1", "٣"]
NO_ORDERINGS = [
    *("", "nope", "-number", "text,text", "text,-text", "text,", ",text", "-", "--text", "Text"),
    *("stored_text", "_id", "$natural", "-deep", "inner", "inner.text"),
]


@pytest.mark.parametrize(
    ("query_string", "code", "parameter"),
    [
        *((f"_limit={text}", "query.invalid_limit", "_limit") for text in NO_COUNTS),
        *((f"_skip={text}", "query.invalid_skip", "_skip") for text in NO_COUNTS),
        *((f"_order_by={text}", "query.invalid_sort", "_order_by") for text in NO_ORDERINGS),
        ("_limit=1&_limit=1", "query.repeated_parameter", "_limit"),
        ("_fields=a&_fields=b", "query.repeated_parameter", "_fields"),
        ("_order_by=text&_order_by=text", "query.repeated_parameter", "_order_by"),
        ("_limit", "query.malformed", "_limit"),
        ("text", "query.malformed", "text"),
        ("text=%ff", "query.malformed", None),
        ("%ff=a", "query.malformed", None),
    ],
)  # fmt: skip
def test_a_control_that_can_not_be_read_is_an_error(
    query_string: str, code: str, parameter: str | None
) -> None:
    with pytest.raises(QueryError) as caught:
        DIALECT.parse_list(query_string.encode().decode("latin-1"))
    assert (caught.value.code, caught.value.parameter) == (code, parameter)


@pytest.mark.parametrize("name", ["_limit", "_skip", "_order_by", "_fields"])
def test_bulk_writes_take_filters_only_and_single_documents_fields_only(name: str) -> None:
    with pytest.raises(QueryError) as caught:
        DIALECT.parse_bulk(f"text=a&{name}=1")
    assert caught.value.parameter == name
    if name != "_fields":
        with pytest.raises(QueryError) as caught:
            DIALECT.parse_item(f"{name}=1")
        assert caught.value.parameter == name
    with pytest.raises(QueryError):
        DIALECT.parse_item("text=a")
    assert DIALECT.parse_item("_fields=a,b") == Query(fields=("a", "b"))
    assert DIALECT.parse_item("") == DIALECT.parse_bulk("") == EVERYTHING
    assert DIALECT.parse_bulk("number=5") == Query(filter={"integer": {"$eq": 5}})


@pytest.mark.parametrize(
    ("has_more", "extra", "expected"),
    [
        (True, {}, b'{"data":[1],"has_more":true}'),
        (False, {"total": 3}, b'{"data":[1],"has_more":false,"total":3}'),
        (None, {}, b'{"data":[1]}'),
        (None, {"total": 3}, b'{"data":[1],"total":3}'),
    ],
)
def test_a_page_is_wrapped(has_more: bool | None, extra: dict[str, Any], expected: bytes) -> None:
    opening, closing = DIALECT.page(has_more, extra)
    assert opening + b"1" + closing == expected


def test_other_answers_are_wrapped() -> None:
    assert DIALECT.created(b"1,2") == b'{"data":[1,2]}'
    assert DIALECT.updated(3, 2) == {"count": 3}
    assert DIALECT.deleted(3) == {"count": 3}


@given(
    st.dictionaries(
        st.sampled_from(["text", "deep", "tags"]), st.text(st.characters(codec="utf-8"))
    ),
    st.integers(1, 9),
    st.integers(0, 9),
)  # fmt: skip
def test_the_next_page_asks_the_same_further_on(
    filters: dict[str, str], limit: int, skip: int
) -> None:
    query_string = urlencode({**filters, "_skip": skip, "_order_by": "text", "_fields": "text"})
    query = dataclasses.replace(DIALECT.parse_list(query_string), limit=limit)
    further = DIALECT.page_at(query_string, limit, ("_skip", skip + limit))
    following = DIALECT.parse_list(further)
    assert following == dataclasses.replace(query, skip=skip + limit)
    after = DIALECT.parse_list(DIALECT.page_at(query_string, limit, ("_after", "a b&")))
    assert after == dataclasses.replace(query, skip=0, cursor=("_after", "a b&"))


# -------------------------------------------------------------------------------- properties

DECLARED_FILTERS = declaration_of(ThingResource).filters
#: What may stand behind a stored name, and what may stand behind ``$not``.
KNOWN_OPERATORS = {
    "$eq", "$ne", "$lt", "$lte", "$gt", "$gte", "$in", "$exists", "$regex",
}  # fmt: skip
STORED_PATHS = {declared.stored for declared in DECLARED_FILTERS.values()}
SHAPE = re.compile(r"(\(\?i\))?\^?(?P<text>.*?)(\$\(\?!\n\))?", re.DOTALL)


def conditions(found: Filter) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, expression in found.items():
        if name == "$and":
            assert len(expression) > 1
            for inner in expression:
                yield from conditions(inner)
        else:
            yield name, expression


def assert_declared(found: Filter) -> None:
    """Hold a filter against what is declared: nothing else may come out of a query string."""
    for stored, expression in conditions(found):
        assert stored in STORED_PATHS
        if "$not" in expression:
            assert set(expression) == {"$not"}
            expression = expression["$not"]
        ((operator, value),) = expression.items()
        assert operator in KNOWN_OPERATORS
        values = value if operator == "$in" else [value]
        assert all(not isinstance(one, (dict, list, re.Pattern)) for one in values)
        if operator == "$exists":
            assert isinstance(value, bool)
        if operator == "$regex":
            shape = SHAPE.fullmatch(value)
            assert shape is not None
            # NOTE: what is between the fixed parts is an escaped text.
            assert (
                re.escape(re.sub(r"\\(.)", r"\1", shape["text"], flags=re.DOTALL)) == shape["text"]
            )


NAMES = st.one_of(
    st.sampled_from([*DECLARED_FILTERS, "_limit", "_skip", "_fields", "_order_by"]),
    st.builds(
        "__".join,
        st.lists(
            st.sampled_from(
                ["text", "number", "inner", "not", "exact", "in", "$where", "_id", "", "regex"]
            ),
            max_size=4,
        ),
    ),
    st.text(max_size=5),
)
TEXT_VALUES = st.one_of(
    st.sampled_from(
        [text for _, _, text, _ in VALUES] + [text for _, text in WRONG] + ["true", "text", "-text"]
    ),
    st.text(max_size=12),
    st.from_regex(r"[$^.*+?()\[\]{}|\\, ]{1,8}", fullmatch=True),
    st.integers().map(str),
    st.floats().map(str),
)


def encoded(name: str, value: str) -> str:
    return quote_plus(name.encode("utf-8", "surrogatepass")) + "=" + quote(
        value.encode("utf-8", "surrogatepass")
    )  # fmt: skip


QUERY_STRINGS = st.one_of(
    st.lists(st.tuples(NAMES, TEXT_VALUES), max_size=4).map(
        lambda pairs: "&".join(encoded(*one) for one in pairs)
    ),
    st.text(st.characters(max_codepoint=255), max_size=40),
)


@given(QUERY_STRINGS)
@example("text__contains=%5C")
@example("text__startswith=%5CQ.*%5CE")
@example("text=%24where")
@example("moment=0001-01-01T00:00:00%2B05:00")
@example("number=1e999")
@example("day=%00")
@settings(max_examples=300, deadline=None)
def test_a_query_string_is_a_declared_query_or_an_error(query_string: str) -> None:
    for parse in (DIALECT.parse_list, DIALECT.parse_bulk, DIALECT.parse_item):
        with suppress(QueryError):
            query = parse(query_string)
            assert_declared(query.filter)
            assert query.rule == {}
            assert query.projection is None
            assert query.skip >= 0
            assert query.limit is None or query.limit >= 0
            assert {path for path, _ in query.sort} <= {
                "stored_text", "integer", "stored_inner.t", "far.below",
            }  # fmt: skip


# -------------------------------------------------------------------- against real collections

TEXTS_STORED: list[Any] = [
    *("", "a", "A", "ab", "AB", "ba", "a.b", "a\n", "\na", "b\na", "ab\n", "[a]", "a+b", "ü", "Ü"),
    *("a,b", "^a", "a$", "\\a", "a b", "(?i)a", "straße", None, ["a", "x"], ["AB\n"]),
    *(5, {"t": "a"}),
]  # fmt: skip
LOOKED_FOR = [
    "",
    "a",
    "A",
    "ab",
    "a.b",
    ".",
    "[a]",
    "a+b",
    "ü",
    "^a",
    "a$",
    "\\",
    "a\n",
    "(?i)a",
    " ",
]


def strings(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]


def flat(value: Any) -> list[Any]:
    return [value, *value] if isinstance(value, list) else [value]


#: What Python says of a stored value and a text; of a list, each of its values counts.
SEMANTICS: dict[str, Callable[[Any, str], bool]] = {
    "exact": lambda value, text: text in flat(value),
    "ne": lambda value, text: text not in flat(value),
    # NOTE: only values of one type are compared; BSON's order of strings is Python's here.
    "lt": lambda value, text: any(one < text for one in strings(value)),
    "lte": lambda value, text: any(one <= text for one in strings(value)),
    "gt": lambda value, text: any(one > text for one in strings(value)),
    "gte": lambda value, text: any(one >= text for one in strings(value)),
    "in": lambda value, text: any(
        item in flat(value) for item in (text.split(",") if text else [])
    ),
    "contains": lambda value, text: any(text in one for one in strings(value)),
    "startswith": lambda value, text: any(one.startswith(text) for one in strings(value)),
    "endswith": lambda value, text: any(one.endswith(text) for one in strings(value)),
    "iexact": lambda value, text: any(one.lower() == text.lower() for one in strings(value)),
    "icontains": lambda value, text: any(text.lower() in one.lower() for one in strings(value)),
    "istartswith": lambda value, text: any(
        one.lower().startswith(text.lower()) for one in strings(value)
    ),
    "iendswith": lambda value, text: any(
        one.lower().endswith(text.lower()) for one in strings(value)
    ),
}


@pytest.fixture(params=["mongod", "mongomock"])
def collection(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "mongomock":
        yield open_collection(mongomock.MongoClient().db, "things")
        return
    with MongoClient(request.getfixturevalue("mongo_uri")) as client:
        name = f"suffix_{uuid.uuid4().hex[:12]}"
        yield client[name].things
        client.drop_database(name)


def test_operators_on_texts_mean_what_python_means(collection: Any) -> None:
    collection.insert_many(
        [{"_id": index, "stored_text": value} for index, value in enumerate(TEXTS_STORED)]
    )
    everything = set(range(len(TEXTS_STORED)))
    for op, meaning in SEMANTICS.items():
        for text in LOOKED_FOR:
            expected = {i for i, value in enumerate(TEXTS_STORED) if meaning(value, text)}
            for name, wanted in ((op, expected), (f"not__{op}", everything - expected)):
                found = collection.find(filter_of(pair(f"text__{name}", text)))
                assert {one["_id"] for one in found} == wanted, (name, text)


def test_operators_on_numbers_mean_what_python_means(collection: Any) -> None:
    stored = [{"_id": n, "integer": n, "stored_flag": n % 2 == 0} for n in range(-3, 4)]
    collection.insert_many([*stored, {"_id": 10}, {"_id": 11, "integer": "1"}])
    for query_string, expected in {
        "number=1": {1},
        "number__ne=1": {-3, -2, -1, 0, 2, 3, 10, 11},
        "number__gt=1": {2, 3},
        "number__gte=1": {1, 2, 3},
        "number__lt=-1": {-3, -2},
        "number__lte=-1": {-3, -2, -1},
        "number__gt=-1&number__lt=2": {0, 1},
        "number__in=1,3,5": {1, 3},
        "number__in=": set(),
        "number__not__in=": {*range(-3, 4), 10, 11},
        "number__not__in=1,2,3": {-3, -2, -1, 0, 10, 11},
        "number__not__gt=1": {-3, -2, -1, 0, 1, 10, 11},
        "number__exists=false": {10},
        "number__exists=true": {*range(-3, 4), 11},
        "number__not__exists=true": {10},
        "flag=true": {-2, 0, 2},
        "flag=false": {-3, -1, 1, 3},
        "flag__not__boolean=true": {-3, -1, 1, 3, 10, 11},
        "flag=true&number__gt=0": {2},
    }.items():
        found = collection.find(filter_of(query_string))
        assert {one["_id"] for one in found} == expected, query_string


def test_values_are_found_as_they_are_stored(collection: Any) -> None:
    for name, stored, text, value in VALUES:
        path = stored.split(".")
        document: Any = value
        for part in reversed(path):
            document = {part: document}
        if stored == "many.t":
            document = {"many": [{"t": "other"}, {"t": value}]}
        collection.delete_many({})
        collection.insert_one({"_id": 1, **document})
        assert len(list(collection.find(filter_of(pair(name, text))))) == 1, (name, text)
