"""Load plans: they say what marshmallow says, for whatever schema and body."""

from __future__ import annotations

import datetime as dt
import enum
import functools
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
from marshmallow.exceptions import RegistryError

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


def outcome(load: Callable[[Any], Any], body: Any, store: Callable[[Any], Any]) -> Any:
    """Return what is stored of a body, or what is said of it."""
    try:
        return exact(store(load(body)))
    except marshmallow.ValidationError as error:
        return "refused", error.messages
    except BodyError as error:
        return "refused", error.code, error.detail, error.field_errors
    except Exception as error:
        return type(error)


def stored(loaded: tuple[Any, bool]) -> Any:
    value, is_stored = loaded
    return value if is_stored else to_bson(value)


def assert_same(kind: Any, *bodies: Any) -> None:
    """Compare plans with marshmallow, each with a schema of its own."""
    for partial in (None, tuple(kind().load_fields)):
        plan, schema = LoadPlan(kind(), partial), kind()
        own = functools.partial(schema.load, partial=False if partial is None else partial)
        for body in bodies:
            expected = outcome(own, deepcopy(body), to_bson)
            before = exact(body)
            assert outcome(plan.load, body, stored) == expected, body
            assert exact(body) == before


def is_compiled(schema: marshmallow.Schema, body: Any) -> bool:
    return LoadPlan(schema).quick(body) is not None


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


def prefixed(**kwargs: Any) -> ma.Field[Any]:
    field = fields.Reference("authors", **kwargs)
    field.id_name, field.uri_prefix = "key", OID[:4]
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
    (prefixed, [OID, f"{OID[:4]}{OID}", {"key": OID}, {"id": OID}]),
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
    *(validate.Range(min="{}"), validate.Equal("{}"), validate.Regexp("{}|x")),
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


@pytest.mark.parametrize("validator", VALIDATORS)
@pytest.mark.parametrize("leaf", [ma.Raw, ma.String, ma.Integer, ma.Float, ma.Boolean, ma.Date])
def test_every_validator_takes_every_value(leaf: Any, validator: Any) -> None:
    numbers = [-1, 0, 1, 2, 3, -0.5, 0.5, 2.5, 2.75, True, False, float("nan"), 2**63]
    texts = ["", "{}", "x", "y", "xy", "xyz", "long text", "a@b.org", "2024-02-29", [1], ["x"], {}]
    bodies = [{"a": value} for value in (*numbers, *texts)]
    assert_same(Schema.from_dict({"a": leaf(validate=validator)}), *bodies)
    inside = Schema.from_dict({"a": ma.List(leaf(validate=validator), validate=validator)})
    assert_same(inside, *({"a": [value]} for value in (*numbers, *texts)), {"a": []})
    keyed = Schema.from_dict({"a": ma.Dict(values=leaf(), validate=validator)})
    assert_same(keyed, {"a": {}}, {"a": {"x": 1}}, {"a": {"x": "x", "y": 1, "z": 0, "long": 1}})


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_plan_gives_and_raises_what_the_schema_does(data: Any) -> None:
    kind, bodies = data.draw(any_schema(2))
    assert_same(kind, *data.draw(st.lists(bodies, min_size=1, max_size=4)), {}, [], None)


# ----------------------------------------------------------------------------- field by field


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (ma.String(), "x", "x"),
        (ma.String(allow_none=True), None, None),
        (ma.String(validate=validate.Length(1, 3)), "abc", "abc"),
        (ma.String(validate=[validate.Regexp("a"), validate.OneOf(["a"])]), "a", "a"),
        (ma.Email(), "a@b.org", "a@b.org"),
        (ma.Url(), "http://x.org", "http://x.org"),
        (ma.Integer(), 5, 5),
        (ma.Integer(), "5", 5),
        (ma.Integer(), 2.5, 2),
        (ma.Integer(strict=True, validate=validate.Range(0, 5)), 5, 5),
        (ma.Float(), 1.5, 1.5),
        (ma.Float(), 1, 1.0),
        (ma.Float(), "1.5", 1.5),
        (ma.Boolean(), False, False),
        (ma.Boolean(), "yes", True),
        (ma.Raw(), 1.5, 1.5),
        (ma.Raw(), {"a": [{"$oid": OID}]}, {"a": [ObjectId(OID)]}),
        (ma.DateTime(), "2024-02-29T12:30:15.123456", dt.datetime(2024, 2, 29, 12, 30, 15, 123000)),
        (ma.DateTime(), "2024-02-29T12:30:15+02:00", dt.datetime(2024, 2, 29, 10, 30, 15)),
        (ma.DateTime("timestamp"), 0, dt.datetime(1970, 1, 1)),
        (ma.NaiveDateTime(), "2024-02-29", dt.datetime(2024, 2, 29)),
        (ma.AwareDateTime(), "2024-02-29T02:00+02:00", dt.datetime(2024, 2, 29)),
        (ma.Date(), "2024-02-29", dt.datetime(2024, 2, 29)),
        (ma.Time(), "12:30", "12:30:00"),
        (ma.TimeDelta("minutes"), 1.5, 90.0),
        (ma.Decimal(), "1.50", Decimal128("1.50")),
        (ma.Decimal(places=1), 1.55, Decimal128("1.6")),
        (ma.UUID(), ID, Binary(uuid.UUID(ID).bytes, 4)),
        (ma.UUID(), ID.replace("-", ""), Binary(uuid.UUID(ID).bytes, 4)),
        (ma.Enum(Color), "CRIMSON", "RED"),
        (ma.Enum(Color, by_value=True), "b", "b"),
        (ma.Enum(Level, by_value=ma.Integer), "1", 1),
        (ma.Enum(Color, validate=validate.Equal(Color.RED)), "RED", "RED"),
        (ma.List(ma.Integer()), [1, "2"], [1, 2]),
        (
            ma.List(ma.Date(), validate=validate.Length(1)),
            ["2024-02-29"],
            [dt.datetime(2024, 2, 29)],
        ),
        (ma.List(ma.List(ma.String())), [["a"], []], [["a"], []]),
        (ma.Dict(), {"a": {"$numberLong": "5"}}, {"a": Int64(5)}),
        (ma.Dict(ma.String(), ma.UUID()), {"a": ID}, {"a": Binary(uuid.UUID(ID).bytes, 4)}),
        (ma.Dict(values=ma.Integer()), {"größe x": "5"}, {"größe x": 5}),
        (ma.Tuple((ma.String(), ma.Integer())), ["a", "2"], ["a", 2]),
        (ma.Constant(5), "x", 5),
        (ma.IP(), "::1", "::1"),
        (ma.Nested({"a": ma.UUID()}), {"a": ID}, {"a": Binary(uuid.UUID(ID).bytes, 4)}),
        (ma.Nested({"a": ma.Integer()}, many=True), [{"a": 1}, {}], [{"a": 1}, {}]),
        (fields.ObjectId(), OID, ObjectId(OID)),
        (fields.Reference("authors"), OID, ObjectId(OID)),
        (fields.Reference("authors"), {"id": OID}, ObjectId(OID)),
        (fields.Decimal128(), "1.50", Decimal128("1.50")),
        (fields.Binary(), "AP8=", b"\x00\xff"),
    ],
)
def test_a_field_loads_what_is_stored(field: Any, value: Any, expected: Any) -> None:
    kind = Schema.from_dict({"field": field})
    assert exact(LoadPlan(kind()).quick({"field": value})) == exact({"field": expected})


@pytest.mark.parametrize(
    ("options", "body", "expected"),
    [
        ({}, {}, {}),
        ({"data_key": "A"}, {"A": "x"}, {"a": "x"}),
        ({"data_key": ""}, {"": "x"}, {"a": "x"}),
        ({"attribute": "b"}, {"a": "x"}, {"b": "x"}),
        ({"attribute": "b.c"}, {"a": "x"}, {"b": {"c": "x"}}),
        ({"attribute": ""}, {"a": "x"}, {"a": "x"}),
        ({"load_default": "y"}, {}, {"a": "y"}),
        ({"load_default": None}, {}, {"a": None}),
        ({"load_default": None}, {"a": None}, {"a": None}),
        ({"load_default": dt.date(2024, 2, 29)}, {}, {"a": dt.datetime(2024, 2, 29)}),
        ({"load_default": [1]}, {}, {"a": [1]}),
        ({"load_default": list}, {}, {"a": []}),
        ({"load_default": dict, "attribute": "b.c"}, {}, {"b": {"c": {}}}),
        ({"load_default": missing}, {}, {}),
    ],
)
def test_the_options_of_a_field(options: Any, body: Any, expected: Any) -> None:
    kind = Schema.from_dict({"a": ma.String(**options)})
    assert exact(LoadPlan(kind()).quick(body)) == exact(expected)
    assert_same(kind, body)
    if not body:
        assert LoadPlan(kind(), ("a",)).quick(body) == {}


def test_fields_are_stored_in_the_order_of_the_schema() -> None:
    names = {"c": ma.String(), "a": ma.String(required=True), "b": ma.String(load_default="y")}
    for made in (names, dict(reversed(names.items()))):
        body = {"b": "x", "a": "x", "c": "x"}
        assert list(LoadPlan(Schema.from_dict(made)()).quick(body)) == list(made)


@pytest.mark.parametrize("body", [None, [], "x", OrderedDict(a="x"), {"b": 1}, {"a": 5}, {}])
def test_what_is_irregular_goes_to_the_schema(body: Any) -> None:
    kind = Schema.from_dict({"a": ma.String(required=True)})
    assert not is_compiled(kind(), body)
    assert_same(kind, body)


@pytest.mark.parametrize("base", PLAIN)
def test_plain_schemas_are_compiled(base: Any) -> None:
    kind = base.from_dict({"a": ma.String()})
    assert is_compiled(kind(), {"a": "x"})
    assert is_compiled(Schema.from_dict({"n": ma.List(ma.Nested(kind))})(), {"n": [{"a": "x"}]})


@pytest.mark.parametrize("base", [*WHOLE, Validating])
def test_what_schemas_of_another_kind_load_is_theirs(base: Any) -> None:
    kind = base.from_dict({"a": ma.String(), "b": ma.Integer(load_default=5)})
    bodies = [{"a": "x"}, {"a": "long text"}, {}, {"c": 1}, [], [{"a": "x"}]]
    assert_same(kind, *bodies)
    assert not is_compiled(kind(), {"a": "x"})
    for many in (None, False, True):
        nested = Schema.from_dict({"n": ma.Nested(kind, many=many)})
        assert_same(nested, *({"n": value} for value in [*bodies, bodies, bodies[:2], None]))
    if base is not Many:
        assert not is_compiled(Schema.from_dict({"n": ma.Nested(kind)})(), {"n": {"a": "x"}})


def test_methods_that_are_replaced_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = Schema.from_dict({"a": ma.String(), "b": ma.Integer()})
    body = {"a": "x", "b": 1}
    assert is_compiled(kind(), body)
    for owner in (ma.String, ma.Integer, marshmallow.Schema):
        with monkeypatch.context() as patching:
            own = owner._deserialize
            patching.setattr(owner, "_deserialize", lambda *args, _own=own, **kw: _own(*args, **kw))
            assert not is_compiled(kind(), body)
            assert_same(kind, body, {"a": 1})
    schema = kind()
    schema.load = lambda data, **kwargs: {"patched": data}  # type: ignore[method-assign]
    assert LoadPlan(schema).load(body) == ({"patched": body}, False)


def test_names_that_cannot_be_stored_are_left_to_the_schema() -> None:
    for one, other in (("$a", "b"), ("a.", "b"), ("a", "a.b"), ("a\0", "b")):
        kind = Schema.from_dict({"x": ma.Raw(attribute=one), "y": ma.Raw(attribute=other)})
        assert not is_compiled(kind(), {"x": 1})
        assert_same(kind, {"x": 1}, {"y": 1, "x": 2})


# --------------------------------------------------------------------------- what authors write


class Counted:
    """A validator, a default or a hook of a field; it knows how often it was called."""

    def __init__(self, refuse: bool = False) -> None:
        self.calls = 0
        self.refuse = refuse

    def __call__(self, value: Any = "default") -> Any:
        self.calls += 1
        if self.refuse:
            raise marshmallow.ValidationError(f"{value!r} is refused.")
        return value


@pytest.mark.parametrize("refuse", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda own: ma.String(validate=own),
        lambda own: ma.String(validate=[validate.Length(max=9), own]),
        lambda own: ma.String(validate=validate.And(validate.Length(max=9), own)),
        lambda own: ma.String(pre_load=own),
        lambda own: ma.String(post_load=own),
        lambda own: ma.Function(deserialize=own),
        lambda own: ma.List(ma.String(validate=own)),
        lambda own: ma.Dict(values=ma.String(validate=own)),
        lambda own: ma.Nested({"n": ma.String(validate=own)}),
        lambda own: ma.Nested({"n": ma.String()}, validate=own),
        lambda own: ma.Nested({"n": ma.String(load_default=own)}),
    ],
)
@pytest.mark.parametrize("body", [{}, {"z": 5}, {"unknown": 1}, {"z": "x", "y": 5}])
def test_what_authors_write_is_called_once(make: Any, refuse: bool, body: Any) -> None:
    value: Any = "x"
    own = Counted(refuse)
    field = make(own)
    if isinstance(field, ma.List):
        value = ["x"]
    elif isinstance(field, (ma.Dict, ma.Nested)):
        value = {"n": "x"}
    if isinstance(field, ma.Nested) and field.schema.fields["n"].load_default is own:
        value = {}
    body = {"a": value, **body}
    rest = {"y": ma.Integer(validate=Counted(refuse)), "z": ma.String()}
    schema = Schema.from_dict({"a": field, **rest})()
    expected = outcome(functools.partial(schema.load, partial=False), body, to_bson)
    expected_calls, own.calls = own.calls, 0
    assert outcome(LoadPlan(schema).load, body, stored) == expected
    assert own.calls == expected_calls == 1
    assert rest["y"].validators[0].calls == 2 * ("y" in body)


@pytest.mark.parametrize("refuse", [False, True])
def test_a_default_is_called_once_where_it_is_needed(refuse: bool) -> None:
    own = Counted(refuse)
    schema = Schema.from_dict({"a": ma.String(load_default=own), "b": ma.String()})()
    plan, partial = LoadPlan(schema), LoadPlan(schema, ("a", "b"))
    assert plan.load({"a": "x", "b": "y"}) == ({"a": "x", "b": "y"}, True)
    assert partial.load({"b": "y"}) == ({"b": "y"}, True)
    assert own.calls == 0
    refused = ("refused", {"a": ["'default' is refused."]})
    expected = refused if refuse else exact({"a": "default", "b": "y"})
    assert outcome(plan.load, {"b": "y"}, stored) == expected
    assert own.calls == 1


def test_refusals_come_as_from_the_schema() -> None:
    members = {
        "a": ma.Integer(validate=[even, short], data_key="A"),
        "b": ma.List(ma.Integer(validate=even)),
        "c": ma.String(validate=short),
        "d": ma.UUID(),
    }
    for base in (Schema, Handling):
        kind = base.from_dict(members)
        body = {"A": 1, "b": [1, 2, 3], "c": "long text", "d": ID}
        with pytest.raises(TypeError):
            LoadPlan(kind()).load(body)
        assert_same(kind, body, body | {"A": 2}, {"b": [1]}, {"c": "long text"}, {"b": [2]})
    body = {"b": [1], "d": ID}
    with pytest.raises(marshmallow.ValidationError) as refused:
        LoadPlan(Schema.from_dict(members)()).load(body)
    assert refused.value.messages == {"b": {0: ["It is odd."]}}
    assert refused.value.data is body


def test_what_authors_make_is_stored_as_everything_else() -> None:
    kind = Schema.from_dict(
        {
            "a": ma.String(post_load=lambda value: 2**70),
            "b": ma.String(post_load=lambda value: {"$x": value}),
            "c": ma.String(post_load=lambda value: dt.date(2024, 2, 29)),
            "d": ma.String(load_default=lambda: uuid.UUID(ID)),
            "e": ma.String(post_load=lambda value: missing),
        }
    )
    assert_same(kind, {"a": "x"}, {"b": "x"}, {"c": "x", "e": "x"}, {"d": "x"})


# ------------------------------------------------------------------------------ nothing is shared


def test_nothing_is_shared_between_bodies() -> None:
    default: dict[str, Any] = {"a": [1]}
    plan = LoadPlan(
        Schema.from_dict(
            {
                "list": ma.List(ma.Raw()),
                "dict": ma.Dict(),
                "raw": ma.Raw(),
                "default": ma.Raw(load_default=default),
                "made": ma.Raw(load_default=list),
                "place": ma.String(attribute="p.q", load_default="x"),
            }
        )()
    )
    body = {"list": [[1]], "dict": {"a": [1]}, "raw": [{"a": 1}]}
    one, other = plan.quick(body), plan.quick(body)
    assert exact(one) == exact(other)
    for name in one:
        assert one[name] is not other[name]
        assert one[name] is not body.get(name)
    assert one["list"][0] is not body["list"][0]
    assert one["dict"]["a"] is not body["dict"]["a"]
    assert one["default"]["a"] is not default["a"]


def test_names_are_only_ever_names() -> None:
    name = "'] = 1; raise SystemExit #\n\\{}"
    kind = Schema.from_dict({name: ma.String(data_key=f'{name}"'), "a": ma.Integer()})
    body = {f'{name}"': "x", "a": 1}
    assert LoadPlan(kind()).quick(body) == to_bson(kind().load(body))


def test_only_exclude_and_renames_of_the_instance_hold() -> None:
    schema = Schema.from_dict({name: ma.String() for name in "abc"})(only=("c", "a"))
    schema.load_fields["c"].data_key = "C"
    plan = LoadPlan(schema)
    assert list(plan.quick({"C": "3", "a": "1"}).items()) == [("c", "3"), ("a", "1")]
    assert plan.quick({"b": "x"}) is None


# ------------------------------------------------------------------------------------- recursion


class Branch(Schema):
    name = ma.String(required=True)
    next = ma.Nested(lambda: Branch())
    children = ma.List(ma.Nested(lambda: Branch(exclude=("next",))))
    byname = ma.Dict(values=ma.Nested("Branch"))


def test_a_schema_may_nest_itself() -> None:
    leaf = {"name": "x"}
    body: dict[str, Any] = leaf
    for _ in range(10):
        body = {"name": "n", "next": body, "children": [leaf], "byname": {"x": leaf}}
    assert is_compiled(Branch(), body)
    assert_same(Branch, body, leaf, {**body, "byname": {"x": {}}}, {**body, "children": [None]})


@pytest.mark.parametrize("path", ["a", "p.q.r"])
def test_documents_are_only_as_deep_as_can_be_stored(path: str) -> None:
    levels = MAX_DEPTH - 1 - path.count(".")
    for field, leaf in ((ma.Raw, []), (functools.partial(ma.List, ma.Raw), []), (ma.Dict, {})):
        kind = Schema.from_dict({"a": field(attribute=path)})
        good, deep = nest(levels, leaf), nest(levels + 1, leaf)
        assert is_compiled(kind(), {"a": good})
        assert not is_compiled(kind(), {"a": deep})
        assert_same(kind, {"a": good}, {"a": deep})


def nest(levels: int, leaf: Any) -> Any:
    """Return a list in lists, or an object in objects."""
    for _ in range(levels - 1):
        leaf = {"a": leaf} if type(leaf) is dict else [leaf]
    return leaf


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (ma.List(ma.String()), []),
        (ma.Dict(values=ma.String()), {}),
        (ma.Tuple(()), []),
        (ma.Nested({}), {}),
        (ma.Nested({}, many=True), []),
        (ma.Nested({}, many=True), [{}]),
        (ma.List(ma.Nested({})), [{}]),
    ],
)
def test_an_empty_value_has_its_level_too(field: Any, value: Any) -> None:
    compiled = []
    for levels in range(MAX_DEPTH - 3, MAX_DEPTH + 1):
        field.attribute = ".".join("a" * levels)
        kind = Schema.from_dict({"a": field})
        assert_same(kind, {"a": value})
        compiled.append(is_compiled(kind(), {"a": value}))
    assert compiled[:2] == [True, True]
    assert not compiled[3]


def test_what_is_nested_is_only_as_deep_as_can_be_stored() -> None:
    deep = ma.String(attribute=".".join("a" * (MAX_DEPTH - 1)))
    inner = Schema.from_dict({"a": deep, "b": ma.List(ma.List(ma.Raw()), allow_none=True)})
    kind = Schema.from_dict({"n": ma.Nested(inner), "l": ma.List(ma.Nested(inner))})
    bodies = [{"n": {"a": "x"}}, {"l": [{"a": "x"}]}, {"l": [{"b": [[1]]}]}]
    assert_same(kind, *bodies)
    assert [is_compiled(kind(), body) for body in bodies] == [True, False, False]


def test_a_nested_schema_is_looked_for_when_a_value_comes() -> None:
    plan = LoadPlan(Schema.from_dict({"a": ma.Nested("LoadedLater")})())
    assert plan.quick({}) == {}
    with pytest.raises(RegistryError):
        plan.load({"a": {}})
    type("LoadedLater", (Schema,), {"x": ma.Integer()})
    assert stored(plan.load({"a": {"x": "1"}})) == {"a": {"x": 1}}


def test_kinds_of_documents_are_loaded_by_their_own() -> None:
    field = KindField(ma.Nested({"x": ma.Raw()}), lambda value: {"kind": value["x"]})
    kind = Schema.from_dict({"a": field, "b": ma.Integer()})
    assert_same(kind, {"a": {"x": 1}, "b": "2"}, {"a": None})
    assert stored(LoadPlan(kind()).load({"a": {"x": 1}})) == {"a": {"kind": 1}}
