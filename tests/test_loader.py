"""Load plans: they say what marshmallow says, for whatever schema and body."""

from __future__ import annotations

import datetime as dt
import enum
import itertools
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import marshmallow
import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import fields as ma
from marshmallow import missing, post_load, pre_load, validate, validates, validates_schema

from falcorest import fields
from falcorest.bson_json import MAX_DEPTH
from falcorest.errors import BodyError
from falcorest.loader import LoadPlan
from falcorest.schema import KindField, Schema, to_bson

OID = "6195b0eb829a2784b4459a7f"
ID = "12345678-1234-5678-9234-567812345678"


class Text(str):
    pass


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"
    CRIMSON = "r"  # noqa: PIE796


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2**70


class Odd(enum.Enum):
    NONE = None
    YES = True
    HALF = 0.5


# ---------------------------------------------------------------------------------- comparing


def exact(value: Any) -> Any:
    """Return what tells apart 1, 1.0 and true, other types, and other orders of keys."""
    if isinstance(value, Mapping):
        return type(value), [(exact(key), exact(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [exact(item) for item in value]
    return type(value), repr(value)


def outcome(load: Callable[[Any], Any], body: Any) -> Any:
    """Return what is stored of a body, or what is said of it."""
    try:
        return exact(load(body))
    except marshmallow.ValidationError as error:
        return "refused", error.messages
    except BodyError as error:
        return "refused", error.code, error.detail, error.field_errors
    except Exception as error:
        return type(error)


def load(plan: LoadPlan, body: Any) -> Any:
    loaded, is_stored = plan.load(body)
    return loaded if is_stored else to_bson(loaded)


def assert_same(kind: Any, *bodies: Any) -> None:
    """Compare plans with marshmallow, each with a schema of its own."""
    for partial in (None, tuple(kind().load_fields)):
        plan, schema = LoadPlan(kind(), partial), kind()
        for body in bodies:
            expected = outcome(
                lambda one: to_bson(schema.load(one, partial=partial or False)), deepcopy(body)
            )
            before = exact(body)
            assert outcome(lambda one: load(plan, one), body) == expected, body
            assert exact(body) == before


def is_compiled(schema: marshmallow.Schema, body: Any) -> bool:
    return LoadPlan(schema).load(body)[1]


# --------------------------------------------------------------------- fields of people's own


class Stripped(ma.String):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        return super()._deserialize(value, attr, data, **kwargs).strip()


class Looking(ma.Field[Any]):
    """Says everything that it is told."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        return repr((value, attr, data, kwargs))


class Vanishing(ma.Raw):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        return missing if value in (0, "") else value


class Defaulting(ma.Integer):
    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return 7 if value is missing else super().deserialize(value, *args, **kwargs)


def patched(**kwargs: Any) -> ma.Field[Any]:
    field = ma.String(**kwargs)
    field._deserialize = lambda value, attr, data, **kwargs: [value, attr]  # type: ignore[method-assign]
    return field


def even(value: Any) -> None:
    if not isinstance(value, int) or value % 2:
        raise marshmallow.ValidationError("It is odd.")


def short(value: Any) -> None:
    if len(value) > 3:
        raise marshmallow.ValidationError({"long": ["Too long."]})


# -------------------------------------------------------------------- schemas of people's own


class Before(Schema):
    @pre_load
    def before(self, data: Any, **kwargs: Any) -> Any:
        return {**data, "b": "hooked"} if isinstance(data, Mapping) else data


class After(Schema):
    @post_load
    def after(self, data: Any, **kwargs: Any) -> Any:
        return {**data, "more": str(kwargs["partial"])}


class Gone(Schema):
    @post_load
    def gone(self, data: Any, **kwargs: Any) -> Any:
        return data or missing


class Validating(Schema):
    @validates("a")
    def check(self, value: Any, **kwargs: Any) -> None:
        short(str(value))


class ValidatingAll(Schema):
    @validates_schema
    def check(self, data: Any, **kwargs: Any) -> None:
        if len(data) > 1:
            raise marshmallow.ValidationError("Too much.")


class Loading(Schema):
    def load(self, data: Any, **kwargs: Any) -> Any:
        return {"loaded": super().load(data, **kwargs)}


class Deserializing(Schema):
    def _deserialize(self, data: Any, **kwargs: Any) -> Any:
        return super()._deserialize(data or {}, **kwargs)


class Handling(Schema):
    def handle_error(self, error: Any, data: Any, **kwargs: Any) -> None:
        raise marshmallow.ValidationError({"handled": [str(error.messages), str(kwargs)]})


class Ordered(Schema):
    dict_class = OrderedDict


class Including(Schema):
    class Meta:
        unknown = marshmallow.INCLUDE


class Excluding(Schema):
    class Meta:
        unknown = marshmallow.EXCLUDE


class Many(Schema):
    class Meta:
        many = True


class Unstored(Schema):
    """Doesn't let the fields know how things are stored."""

    def on_bind_field(self, field_name: str, field_obj: Any) -> None:
        pass


class Formatted(Schema):
    class Meta:
        datetimeformat = "timestamp"
        dateformat = "%d.%m.%Y"
        timeformat = "%H:%M"


PLAIN = (Schema, Excluding, Unstored, Formatted, Handling, marshmallow.Schema)
WHOLE = (
    *(Before, After, Gone, ValidatingAll, Loading, Deserializing, Ordered, Including),
    Many,
)
BASES = (*PLAIN, *WHOLE)

# ------------------------------------------------------------------------------- the property

MOMENTS = ["2024-02-29T12:30:15", "2024-02-29 12:30:15.123456+05:30", "2024-02-29", "20240229T12Z"]

#: Makers of fields, each with values that suit them, and a few that don't.
LEAVES: list[tuple[Callable[..., ma.Field[Any]], list[Any]]] = [
    (ma.String, ["", "x", "long text", Text("y"), b"z", b"\xff", "\ud800"]),
    (ma.Email, ["a@b.org", "a", "a@localhost"]),
    (ma.Url, ["http://x.org", "x"]),
    (Stripped, [" x "]),
    (ma.Integer, [0, 1, -5, Int64(7), 2.0, 2.5, True, "8", "x", 2**63, -(2**63), 2**63 - 1]),
    (lambda **kw: ma.Integer(strict=True, **kw), [1, 2.0, 2.5, "8", True]),
    (ma.Float, [0.5, 1, -0.0, True, "1.5", float("nan"), float("inf"), 10**400, 2**53 + 1]),
    (lambda **kw: ma.Float(allow_nan=True, **kw), [0.5, 1, float("nan"), float("inf"), "inf"]),
    (ma.Boolean, [True, False, 0, 1, 1.0, "yes", "no", "perhaps", [1]]),
    (lambda **kw: ma.Boolean(truthy={"si"}, falsy={"no"}, **kw), [True, "si", "no"]),
    (lambda **kw: ma.Boolean(truthy=set(), **kw), [True, False, "x", ""]),
    (lambda **kw: ma.Boolean(truthy={1, 0}, falsy={0}, **kw), [True, False, 0]),
    (ma.Raw, [1, "x", 2**63, [1], {"a": {"$oid": OID}}, {"$x": 1}, {"a.b": 1}, [{"": 1}]]),
    (ma.DateTime, [*MOMENTS, "0001-01-01T00:00:00+05:00", "x", 5, dt.datetime(2024, 1, 1)]),
    (ma.NaiveDateTime, MOMENTS),
    (lambda **kw: ma.NaiveDateTime(timezone=dt.UTC, **kw), MOMENTS),
    (ma.AwareDateTime, MOMENTS),
    (lambda **kw: ma.AwareDateTime(default_timezone=dt.UTC, **kw), MOMENTS),
    *(
        (lambda name=name, **kw: ma.DateTime(format=name, **kw), [*MOMENTS, "29.02.2024", 5, "5"])
        for name in ("iso8601", "rfc", "timestamp", "timestamp_ms", "%d.%m.%Y")
    ),
    (ma.Date, ["2024-02-29", "20240229", "2024-W01-1", "2024-02-30", 5, "x"]),
    (lambda **kw: ma.Date(format="%d.%m.%Y", **kw), ["29.02.2024", "2024-02-29"]),
    (ma.Time, ["12:30:15", "12:30:15.25", "12:30+01:00", "noon", 5]),
    (ma.TimeDelta, [1.5, 2, 1e300, float("nan"), "3", True, "x"]),
    (lambda **kw: ma.TimeDelta(precision="weeks", **kw), [1.5, 2]),
    *(
        (
            lambda options=options, **kw: ma.Decimal(**options, **kw),
            ["1.5", "1E+3", "-0", "NaN", "sNaN", 1, 0.1, True, "x", "1" * 40, "1E+9999"],
        )
        for options in ({}, {"allow_nan": True}, {"places": 1})
    ),
    (ma.UUID, [ID, ID.upper(), f"{{{ID}}}", ID.replace("-", ""), f"{ID}\n", "x", 5, b"1" * 16]),
    (lambda **kw: ma.Enum(Color, **kw), ["RED", "CRIMSON", "r", Color.BLUE, [1], 5]),
    (lambda **kw: ma.Enum(Color, by_value=True, **kw), ["r", "b", "RED", Color.BLUE, []]),
    (lambda **kw: ma.Enum(Color, by_value=ma.String, **kw), ["r", "b", 5]),
    (lambda **kw: ma.Enum(Color, by_value=Stripped, **kw), [" r "]),
    (lambda **kw: ma.Enum(Odd, by_value=True, **kw), [True, 1, 1.0, None, 0.5]),
    (lambda **kw: ma.Enum(Level, by_value=True, **kw), [1, 2, True, 1.0, 2**70]),
    (lambda **kw: ma.Enum(Level, **kw), ["LOW", "HIGH"]),
    (ma.Dict, [{"a": [1]}, {"a": {"$oid": OID}}, {"$oid": OID}, {"a.b": 1}, {5: 1}, [1]]),
    (lambda **kw: ma.Dict(keys=ma.String, **kw), [{"a": 1}, {"$x": 1}, {5: 1}]),
    (ma.IP, ["1.2.3.4", "::1", "x", 5]),
    (ma.IPv6Interface, ["::1/64", "x"]),
    (lambda **kw: ma.Tuple((ma.String, ma.Integer), **kw), [["x", 5], ["x", "y"], [1], "xy"]),
    (lambda **kw: ma.Tuple((ma.String, Looking), **kw), [["x", 5]]),
    (lambda **kw: ma.Constant(5, **kw), [1, "x"]),
    (lambda **kw: ma.Constant(None, **kw), [1]),
    (lambda **kw: ma.Function(deserialize=lambda value: [value], **kw), [1]),
    (fields.ObjectId, [OID, OID.upper(), ObjectId(OID), f"{OID}\n", "x", 5]),
    (lambda **kw: fields.Reference("authors", **kw), [OID, {"id": OID}, {"x": 1}]),
    (fields.Decimal128, ["1.50", 1, 0.1, True, "1_0", "x", "1" * 40]),
    (fields.Binary, ["", "AP8=", "AP8", "ä", b"AP8=", 5]),
    (Looking, [1]),
    (Vanishing, [0, "", 1]),
    (Defaulting, [1, "x"]),
    (patched, ["x"]),
]
VALIDATORS: list[Any] = [
    *(validate.Length(max=3), validate.Length(1, 4), validate.Length(equal=1), validate.Length()),
    *(validate.Range(min=1), validate.Range(0, 2, min_inclusive=False, max_inclusive=False)),
    *(validate.Range(max=2.5), validate.Range(min=True), validate.OneOf(["x", 1, 0.5])),
    *(validate.OneOf({"x", "y"}), validate.OneOf([["x"], [1]]), validate.NoneOf(["x", 1])),
    *(validate.Regexp("x|y"), validate.Regexp(b"x"), validate.Equal(1), validate.Equal("x")),
    *(validate.ContainsOnly(["x", 1]), validate.ContainsNoneOf([1]), validate.Email()),
    *(validate.And(validate.Length(max=3), validate.Length(min=1)), validate.And(even, short)),
    *(validate.Predicate("__len__"), even, short, lambda value: False),
    validate.OneOf(dict.fromkeys(["x", 1]).keys()),
]

NAMES = ["a", "b", "_id", "items", "a.b", "größe 'x\"\\", "$x", "{}"]
PATHS = [*NAMES, "c.d", "c.e", "a.c", ".", "", "b."]

SCALARS = [
    *(None, True, False, 0, 1, 1.5, -0.0, float("inf"), 2**63, "x", "", "1", Text("x")),
    *(b"x", OID, ID, *MOMENTS[:2], [], ["x"], [1, "1"], {}, {"a": 1}, {"x": "x"}, {"a": [None]}),
    *(Int64(1), ..., (1, "x"), {"$date": MOMENTS[0]}, {"$oid": OID}, OrderedDict(a=1), missing),
]
anything = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*NAMES, 1, Text("x")]), inner, max_size=3),
    ),
    max_leaves=6,
)


def or_anything(values: Any) -> Any:
    return st.one_of(*[values] * 12, st.none(), anything)


@st.composite
def any_field(draw: Any, depth: int) -> Any:
    """Draw a maker of fields and a strategy of values for them."""
    shape = draw(st.sampled_from(["leaf"] * 6 + ["list", "dict", "nested"] * (depth > 0)))
    if shape == "leaf":
        make, values = draw(st.sampled_from(LEAVES))
        return make, st.sampled_from(values)
    if shape == "nested":
        kind, documents = draw(any_schema(depth - 1))
        many = draw(st.sampled_from([None, False, True]))
        unknown = draw(st.sampled_from([None] * 4 + [marshmallow.EXCLUDE, marshmallow.RAISE]))
        nested = draw(st.sampled_from([kind, lambda: kind, lambda: kind()]))
        values = st.lists(or_anything(documents), max_size=3) if many else documents
        return (
            lambda **kw: ma.Nested(nested, many=many, unknown=unknown, **kw),
            or_anything(values),
        )
    make, values = draw(any_field(depth - 1))
    inner = make(**draw(options_of(or_anything(values))))
    if shape == "list":
        return lambda **kw: ma.List(inner, **kw), st.lists(or_anything(values), max_size=3)
    value = draw(st.sampled_from([None, inner, inner]))
    key = draw(
        st.sampled_from(
            [*(None, ma.String(), Stripped(), ma.Integer()), ma.String(validate=VALIDATORS[0])]
        )
    )
    keys = st.sampled_from(["x", "1", "items", "long key", "$oid", "a.b", "", 3, b"y", Text("y")])
    made = st.dictionaries(keys, or_anything(values), max_size=3)
    return lambda **kw: ma.Dict(keys=key, values=value, **kw), made


@st.composite
def options_of(draw: Any, values: Any) -> Any:
    options: dict[str, Any] = {}
    if draw(st.integers(0, 4)) == 4:
        options["validate"] = draw(st.lists(st.sampled_from(VALIDATORS), max_size=2))
    if draw(st.integers(0, 4)) == 4:
        options["allow_none"] = draw(st.booleans())
    what = draw(st.sampled_from([None] * 4 + ["required", "value", "call", "missing", list]))
    if what == "required":
        options["required"] = True
    elif what is not None:
        value = draw(values)
        options["load_default"] = {
            "value": value,
            "call": lambda: value,
            "missing": lambda: missing,
            list: list,
        }[what]
    if draw(st.integers(0, 19)) == 19:
        options["pre_load"] = lambda value: str(value)
    if draw(st.integers(0, 19)) == 19:
        options["post_load"] = lambda value: [value]
    return options


@st.composite
def any_schema(draw: Any, depth: int) -> Any:
    """Draw a schema class and a strategy of bodies for it."""
    base = draw(st.sampled_from([*[Schema] * 30, *BASES]))
    members: dict[str, Any] = {}
    wanted: dict[Any, Any] = {}
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=5))
    taken = {*names}
    for name in names:
        make, values = draw(any_field(depth))
        options = draw(options_of(or_anything(values)))
        path = draw(st.sampled_from([None] * 8 + [one for one in PATHS if one not in taken]))
        if path is not None:
            options["attribute"] = path
            taken.add(path)
        key: Any = name
        if draw(st.integers(0, 4)) == 4:
            key = options["data_key"] = draw(st.sampled_from([f"{name}1", len(members)]))
        if draw(st.integers(0, 19)) == 19:
            options["dump_only"] = True
        members[name] = make(**options)
        wanted[key] = values
    kind = type(
        "Drawn", (base,), {**members, "Meta": type("Meta", (base.Meta,), {"register": False})}
    )
    return kind, bodies_of(wanted)


@st.composite
def bodies_of(draw: Any, wanted: dict[Any, Any]) -> Any:
    body = {
        key: draw(or_anything(values))
        for key, values in wanted.items()
        if draw(st.integers(0, 9)) < 9
    }
    if draw(st.integers(0, 9)) == 9:
        body |= draw(st.dictionaries(st.sampled_from(NAMES), anything, max_size=1))
    return body


WAYS: list[Callable[[Any], tuple[Any, Callable[[Any], Any]]]] = [
    lambda make: (make(), lambda value: value),
    lambda make: (make(allow_none=True, validate=validate.Length(max=3)), lambda value: value),
    lambda make: (make(validate=validate.OneOf(["x", 1, True, 0.5])), lambda value: value),
    lambda make: (make(validate=short), lambda value: value),
    lambda make: (ma.List(make(allow_none=True)), lambda value: [value, None]),
    lambda make: (ma.List(ma.List(make()), allow_none=True), lambda value: [[value, value]]),
    lambda make: (ma.List(make(), validate=validate.Length(max=1)), lambda value: [value]),
    lambda make: (ma.List(make(), validate=validate.ContainsOnly(["x", 1])), lambda value: [value]),
    lambda make: (ma.Dict(values=make()), lambda value: {"k": value}),
    lambda make: (ma.Dict(ma.String(), ma.List(make())), lambda value: {"k": [value], "l": []}),
    lambda make: (ma.Nested(Schema.from_dict({"n": make()})), lambda value: {"n": value}),
    lambda make: (ma.Nested({"n": make()}, many=True), lambda value: [{"n": value}, {}]),
    lambda make: (ma.Tuple((make(), ma.Raw())), lambda value: [value, 1]),
    lambda make: (make(attribute="p.q"), lambda value: value),
]


@pytest.mark.parametrize("way", range(len(WAYS)))
@pytest.mark.parametrize("leaf", range(len(LEAVES)))
def test_every_field_takes_every_value(leaf: int, way: int) -> None:
    make, values = LEAVES[leaf]
    field, place = WAYS[way](make)
    bodies = [{"a": place(value)} for value in [*values, *SCALARS]]
    bodies += [{"a": value} for value in SCALARS]
    assert_same(Schema.from_dict({"a": field}), {}, *bodies)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_plan_gives_and_raises_what_the_schema_does(data: Any) -> None:
    kind, bodies = data.draw(any_schema(2))
    assert_same(kind, *data.draw(st.lists(bodies, min_size=1, max_size=4)), {}, [], None)
