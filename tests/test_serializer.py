"""Dump plans: they say what marshmallow says, for whatever schema and document."""

from __future__ import annotations

import datetime as dt
import enum
import itertools
import types
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from decimal import ROUND_UP, Decimal
from typing import Any

import marshmallow
import pytest
from bson import SON, Binary, Decimal128, Int64, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import fields as ma
from marshmallow import missing, post_dump, pre_dump
from marshmallow.exceptions import RegistryError

from falcorest import fields
from falcorest.schema import Schema
from falcorest.serializer import DumpPlan

OID = ObjectId("6195b0eb829a2784b4459a7f")
DAY = dt.datetime(2024, 2, 29)
MOMENT = dt.datetime(2024, 2, 29, 12, 30, 15, 250000)
ID = uuid.UUID("12345678-1234-5678-9234-567812345678")


class Text(str):
    pass


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"
    CRIMSON = "r"  # noqa: PIE796


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Odd(enum.Enum):
    NONE = None
    YES = True
    HALF = 0.5


class Permission(enum.Flag):
    READ = 1
    WRITE = 2


# ---------------------------------------------------------------------------------- comparing


def exact(value: Any) -> Any:
    """Return what tells apart 1, 1.0 and true, other types, and other orders of keys."""
    if isinstance(value, Mapping):
        return type(value), [(exact(key), exact(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [exact(item) for item in value]
    return type(value), repr(value)


def outcome(dump: Callable[[Any], Any], document: Any) -> Any:
    try:
        return exact(dump(document))
    except Exception as error:
        return type(error)


def schema_of(base: type[marshmallow.Schema] = Schema, **members: Any) -> marshmallow.Schema:
    return base.from_dict(members)()


def assert_same(kind: type[marshmallow.Schema], *documents: Any) -> None:
    """Compare a plan with marshmallow, each with a schema of its own."""
    plan = DumpPlan(kind())
    schema = kind()
    expected = [outcome(lambda each: schema.dump(each, many=False), each) for each in documents]
    assert [outcome(plan.dump, each) for each in documents] == expected
    good = [
        (each, one) for each, one in zip(documents, expected, strict=True) if type(one) is tuple
    ]
    dumped = plan.dump_many([document for document, _ in good])
    assert [exact(each) for each in dumped] == [one for _, one in good]
    if len(good) < len(documents):
        first = next(one for one in expected if type(one) is not tuple)
        assert outcome(plan.dump_many, list(documents)) == first
    if plan.stored is not None:
        assert len(set(plan.stored)) == len(plan.stored)
        for document, one in zip(documents, expected, strict=True):
            if type(document) is dict:
                found = {key: document[key] for key in plan.stored if key in document}
                assert outcome(plan.dump, found) == one


# --------------------------------------------------------------------- fields of people's own


class Shouting(ma.String):
    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return f"{value}!"


class Looking(ma.Field):
    """Says everything that it is told."""

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return repr((value, attr, obj, kwargs))


class Vanishing(ma.Raw):
    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return missing if value in (None, 0, "") else value


class Counting(ma.Field):
    def serialize(self, attr: str, obj: Any, accessor: Any = None, **kwargs: Any) -> Any:
        return len(obj)


class Elsewhere(ma.String):
    def get_value(self, obj: Any, attr: Any, accessor: Any = None, default: Any = missing) -> Any:
        return accessor(obj, "b", default)


class Rounded(ma.Integer):
    def _format_num(self, value: Any) -> int:
        return round(value)


class Sum(ma.Decimal):
    """Its stored variant sits before it in the order of classes, and it looks around."""

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return repr((value, obj))


class Checked(ma.String):
    """Changes loading only."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        return super()._deserialize(value, attr, data, **kwargs).strip()


def patched(**kwargs: Any) -> ma.Field[Any]:
    field = ma.String(**kwargs)
    field._serialize = lambda value, attr, obj, **kwargs: [value, attr, obj]
    return field


# -------------------------------------------------------------------- schemas of people's own


class Before(Schema):
    @pre_dump
    def before(self, data: Any, **kwargs: Any) -> Any:
        return {**data, "b": "hooked"} if isinstance(data, Mapping) else data


class After(Schema):
    @post_dump(pass_original=True)
    def after(self, data: Any, original: Any, many: bool, **kwargs: Any) -> Any:
        return {**data, "size": str(original), "many": many}


class Enveloped(Schema):
    @post_dump(pass_collection=True)
    def envelop(self, data: Any, many: bool, **kwargs: Any) -> Any:
        return {"many": many, "data": data}


class Gone(Schema):
    @post_dump
    def gone(self, data: Any, **kwargs: Any) -> Any:
        return data or missing


class Getting(Schema):
    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        return super().get_attribute(obj, "a" if attr == "b" else attr, default)


class Serializing(Schema):
    def _serialize(self, obj: Any, *, many: bool = False) -> Any:
        return [super()._serialize(obj, many=many)]


class Dumping(Schema):
    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        return {"dumped": super().dump(obj, many=many)}


class Ordered(Schema):
    dict_class = OrderedDict


class Unstored(Schema):
    """Doesn't let the fields know how things are stored."""

    def on_bind_field(self, field_name: str, field_obj: Any) -> None:
        pass


class Formatted(Schema):
    class Meta:
        datetimeformat = "timestamp"
        dateformat = "%d.%m.%Y"
        timeformat = "%H:%M"


class Many(Schema):
    class Meta:
        many = True


PLAIN = (Schema, Unstored, Formatted, Many)
WHOLE = (Before, After, Enveloped, Gone, Getting, Serializing, Dumping, Ordered)
BASES = (*PLAIN, *WHOLE, marshmallow.Schema)

# ------------------------------------------------------------------------------- the property

#: Makers of fields, each with values that suit them.
LEAVES: list[tuple[Callable[..., ma.Field[Any]], list[Any]]] = [
    (ma.String, ["", "x", Text("y"), b"z", b"\xff", 5]),
    (ma.Email, ["a@b.c"]),
    (ma.Url, ["http://x"]),
    (Checked, [" x"]),
    (ma.Integer, [0, 1, -5, Int64(7), 2.0, True, "8", "x", 10**30]),
    (lambda **kw: ma.Integer(as_string=True, **kw), [1, Int64(7), True, 2.5, 10**5000]),
    (ma.Float, [0.5, 1, Int64(2), True, "1.5", float("nan"), float("inf"), 10**400]),
    (lambda **kw: ma.Float(as_string=True, **kw), [0.5, 1, Int64(2), 1e300]),
    (ma.Boolean, [True, False, 0, 1, 1.0, "yes", "no"]),
    (lambda **kw: ma.Boolean(truthy={"si"}, falsy={"no"}, **kw), [True, "si", "no"]),
    (ma.Raw, [None, 1, [1], {"a": 1}, OID]),
    (ma.DateTime, [MOMENT, MOMENT.replace(tzinfo=dt.UTC), DatetimeMS(10**17), DAY.date(), "x"]),
    (ma.NaiveDateTime, [MOMENT]),
    (ma.AwareDateTime, [MOMENT]),
    *(
        (lambda name=name, **kw: ma.DateTime(format=name, **kw), [MOMENT, DAY, 5])
        for name in ("iso8601", "rfc", "timestamp", "timestamp_ms", "%d.%m.%Y")
    ),
    (ma.Date, [DAY, MOMENT, DAY.date(), "2024-02-29"]),
    (lambda **kw: ma.Date(format="%d.%m.%Y", **kw), [DAY, DAY.date(), 5]),
    (ma.Time, ["12:30:15", "12:30:15.25", "noon", Text("10:00:00"), dt.time(1, 2), 5]),
    (lambda **kw: ma.Time(format="%H", **kw), ["12:30:15"]),
    (ma.TimeDelta, [1.5, 2, Int64(3), 1e300, float("nan"), dt.timedelta(1), True, "x"]),
    (lambda **kw: ma.TimeDelta(precision="weeks", **kw), [1.5, 2, -604800.0]),
    *(
        (
            lambda options=options, **kw: ma.Decimal(**options, **kw),
            [*map(Decimal128, ("1.5", "1E+3", "-0", "NaN", "sNaN", "-Infinity")), 1, 0.1, "2", "x"],
        )
        for options in (
            *({}, {"as_string": True}, {"allow_nan": True}),
            *({"places": 1, "rounding": ROUND_UP}, {"places": 2, "as_string": True}),
        )
    ),
    (ma.UUID, [Binary(ID.bytes, 4), ID.bytes, ID, Binary(ID.bytes, 3), b"short", str(ID)]),
    (lambda **kw: ma.Enum(Color, **kw), ["RED", "CRIMSON", "r", Text("RED"), Color.BLUE, [1]]),
    (lambda **kw: ma.Enum(Color, by_value=True, **kw), ["r", "b", "RED", Color.BLUE]),
    (lambda **kw: ma.Enum(Color, by_value=ma.String, **kw), ["r", "b", "RED", Color.BLUE]),
    (lambda **kw: ma.Enum(Color, by_value=Looking, **kw), ["r"]),
    (lambda **kw: ma.Enum(Odd, by_value=Vanishing, **kw), [True, 1, None, 0.5, Odd.NONE]),
    (lambda **kw: ma.Enum(Odd, by_value=True, **kw), [True, 1, 1.0, None, 0.5]),
    (lambda **kw: ma.Enum(Level, by_value=True, **kw), [1, 2, 3, True, 1.0, Int64(2), Level.LOW]),
    (lambda **kw: ma.Enum(Level, by_value=ma.Integer, **kw), [1, 2]),
    (lambda **kw: ma.Enum(Permission, by_value=True, **kw), [1, 3, 8]),
    (ma.Dict, [{"a": [1], 5: 2}, SON(a=1), types.MappingProxyType({"a": 1}), [("a", 1)]]),
    (lambda **kw: ma.Dict(keys=ma.String, **kw), [{"a": 1, 5: 2, "5": 3}, SON(a=1), {b"\xff": 1}]),
    (ma.IP, ["1.2.3.4", "x"]),
    (ma.IPv6Interface, ["::1/64"]),
    (lambda **kw: ma.Tuple((ma.String, Looking()), **kw), [["x", 5], ("x", "y"), [1]]),
    (lambda **kw: ma.Constant(5, **kw), [1, "x"]),
    (lambda **kw: ma.Constant("é'\"\\", **kw), [1]),
    (lambda **kw: ma.Constant(missing, **kw), [1]),
    (lambda **kw: ma.Constant(None, **kw), [1]),
    (lambda **kw: ma.Function(lambda obj: repr(obj), **kw), [1]),
    (fields.ObjectId, [OID, str(OID), 5]),
    (lambda **kw: fields.Reference("authors", **kw), [OID, {"id": OID}]),
    (fields.Decimal128, [Decimal128("1.50"), Decimal("2"), 1]),
    (fields.Binary, [b"", b"\x00\xff", Binary(b"x", 5), bytearray(b"y"), "x"]),
    (Shouting, ["x"]),
    (Looking, [1]),
    (Vanishing, [0, "", 1]),
    (Counting, [1]),
    (Elsewhere, [1]),
    (Rounded, [1.5, "x"]),
    (Sum, [Decimal128("1.5")]),
    (patched, ["x"]),
]
#: Not in lists and mappings, where marshmallow would look for the method in the list's class.
METHOD = (lambda **kw: ma.Method("own_method", **kw), [1])

NAMES = ["a", "b", "_id", "items", "keys", "get", "a.b", "größe 'x\"\\"]
PATHS = [*NAMES, "a.items", "a.b.get", "items.keys", "get.0", "a..b", ".", "", "b."]

SCALARS = [
    *(None, True, 0, 1.5, Int64(1), "x", Text("x"), b"x", OID, MOMENT, Decimal128("1"), ID),
    *(Regex("x"), Timestamp(1, 2), Decimal("1"), ..., set(), (1, "x"), [], {}),
]
anything = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=3).map(SON),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=3).map(types.MappingProxyType),
        st.dictionaries(st.sampled_from([None, 1, b"x", "x", OID]), inner, max_size=2),
    ),
    max_leaves=6,
)


def or_anything(values: Any) -> Any:
    return st.one_of(*[values] * 8, st.none(), anything)


@st.composite
def any_field(draw: Any, depth: int, inner: bool = True) -> Any:
    """Draw a maker of fields and a strategy of values for them."""
    shape = draw(st.sampled_from(["leaf"] * 6 + ["list", "dict", "nested"] * (depth > 0)))
    if shape == "leaf":
        make, values = draw(st.sampled_from(LEAVES if inner else [*LEAVES, METHOD]))
        return make, st.sampled_from(values)
    if shape == "list":
        make, values = draw(any_field(depth - 1))
        field = make()
        many = or_anything(st.lists(or_anything(values), max_size=3))
        return lambda **kw: ma.List(field, **kw), many
    if shape == "dict":
        make, values = draw(any_field(depth - 1))
        field = draw(st.sampled_from([None, make()]))
        key = draw(st.sampled_from([None, ma.String(), Shouting(), ma.Integer(), ma.List(ma.Raw)]))
        keys = st.sampled_from(["x", "1", "2", "items", 3, b"\xff", Text("y")])
        made = st.dictionaries(keys, or_anything(values), max_size=3)
        return lambda **kw: ma.Dict(keys=key, values=field, **kw), made
    kind, documents = draw(any_schema(depth - 1))
    many = draw(st.sampled_from([None, False, True]))
    nested = draw(st.sampled_from([kind, lambda: kind, lambda: kind()]))
    plucked = next(iter(kind._declared_fields), None)
    if plucked is not None and draw(st.integers(0, 5)) == 5:
        return lambda **kw: ma.Pluck(kind, plucked, many=bool(many), **kw), documents
    values = st.lists(or_anything(documents), max_size=3) if many else documents
    return lambda **kw: ma.Nested(nested, many=many, **kw), or_anything(values)


def put(document: dict[str, Any], path: str, value: Any) -> None:
    """Set a value where a path leads, as far as that is possible."""
    *parents, last = path.split(".")
    for part in parents:
        inner = document.get(part, {})
        if type(inner) is not dict:
            return
        document[part] = document = dict(inner)
    document[last] = value


@st.composite
def any_schema(draw: Any, depth: int) -> Any:
    """Draw a schema class and a strategy of documents for it."""
    base = draw(st.sampled_from([*[Schema] * 30, *BASES]))
    members: dict[str, Any] = {}
    wanted: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=5)):
        make, values = draw(any_field(depth, inner=False))
        path = draw(st.sampled_from([None] * 8 + PATHS))
        options = {"attribute": path, "dump_only": True}
        if draw(st.integers(0, 4)) == 4:
            options["data_key"] = draw(st.sampled_from([f"{name}{len(members)}", len(members)]))
        default = draw(st.sampled_from([None, "value", "call", "missing"]))
        if default is not None:
            value = draw(or_anything(values))
            options["dump_default"] = {
                "value": value,
                "call": lambda value=value: value,
                "missing": lambda: missing,
            }[default]
        members[name] = make(**options)
        wanted[path if path is not None else name] = values
    members["own_method"] = lambda self, obj: repr(obj)
    kind = type(
        "Drawn", (base,), {**members, "Meta": type("Meta", (base.Meta,), {"register": False})}
    )
    return kind, documents_of(wanted)


@st.composite
def documents_of(draw: Any, wanted: dict[str, Any]) -> Any:
    document: dict[str, Any] = {}
    for path, values in wanted.items():
        if draw(st.integers(0, 6)) < 6:
            put(document, path, draw(or_anything(values)))
    more = draw(st.dictionaries(st.sampled_from(NAMES), anything, max_size=1))
    return {**more, **document}


WAYS: list[Callable[[Any], tuple[Any, Callable[[Any], Any]]]] = [
    lambda make: (make(), lambda value: value),
    lambda make: (ma.List(make()), lambda value: [value]),
    lambda make: (ma.List(ma.List(make())), lambda value: [None, [value, value]]),
    lambda make: (ma.Dict(values=make()), lambda value: {"k": value}),
    lambda make: (ma.Dict(ma.String(), ma.List(make())), lambda value: {"k": [value], 5: []}),
    lambda make: (ma.Nested(Schema.from_dict({"n": make()})), lambda value: {"n": value}),
    lambda make: (ma.Nested({"n": make()}, many=True), lambda value: [{"n": value}, {}]),
    lambda make: (make(attribute="p.q"), lambda value: value),
]


@pytest.mark.parametrize("way", range(len(WAYS)))
@pytest.mark.parametrize("leaf", range(len(LEAVES)))
def test_every_field_takes_every_value(leaf: int, way: int) -> None:
    make, values = LEAVES[leaf]
    field, place = WAYS[way](make)
    values = [place(value) for value in [*values, *SCALARS]]
    assert_same(Schema.from_dict({"a": field}), *({"a": value} for value in values))
    assert_same(Schema.from_dict({"a": field}), *({"p": {"q": value}} for value in values))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_plan_gives_and_raises_what_the_schema_does(data: Any) -> None:
    kind, documents = data.draw(any_schema(2))
    assert_same(kind, *data.draw(st.lists(documents, min_size=1, max_size=4)))


# ----------------------------------------------------------------------------- field by field


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (ma.String(), "x", "x"),
        (ma.String(), 5, "5"),
        (ma.Email(), "not an address", "not an address"),
        (ma.Url(), "not a url", "not a url"),
        (ma.Integer(), 5, 5),
        (ma.Integer(), Int64(5), 5),
        (ma.Integer(), True, 1),
        (ma.Integer(), 2.5, 2),
        (ma.Integer(as_string=True), 5, "5"),
        (ma.Float(), 1, 1.0),
        (ma.Float(), float("inf"), float("inf")),
        (ma.Float(as_string=True), 1.5, "1.5"),
        (ma.Boolean(), "yes", "yes"),
        (ma.Boolean(truthy={"si"}), 1, 1),
        (ma.Raw(), {"a": [1]}, {"a": [1]}),
        (ma.DateTime(), MOMENT, "2024-02-29T12:30:15.250000"),
        (ma.DateTime("timestamp"), DAY, 1709164800.0),
        (ma.NaiveDateTime(), DAY, "2024-02-29T00:00:00"),
        (ma.AwareDateTime(), DAY.replace(tzinfo=dt.UTC), "2024-02-29T00:00:00+00:00"),
        (ma.Date(), DAY, "2024-02-29"),
        (ma.Date("%d.%m.%Y"), DAY, "29.02.2024"),
        (ma.Time(), "12:30", "12:30:00"),
        (ma.Time("%H"), "12:30", "12"),
        (ma.TimeDelta(), 1.5, 1.5),
        (ma.TimeDelta("minutes"), 90, 1.5),
        (ma.Decimal(), Decimal128("1.50"), Decimal("1.50")),
        (ma.Decimal(places=1), Decimal128("1.55"), Decimal("1.6")),
        (ma.Decimal(as_string=True), Decimal128("1E+3"), "1000"),
        (ma.Decimal(allow_nan=True), Decimal128("sNaN"), Decimal("NaN")),
        (ma.UUID(), Binary(ID.bytes, 4), str(ID)),
        (ma.UUID(), ID, str(ID)),
        (ma.UUID(), Binary(b"short", 4), "b'short'"),
        (ma.Enum(Color), "RED", "RED"),
        (ma.Enum(Color), "CRIMSON", "RED"),
        (ma.Enum(Color, by_value=True), "b", "b"),
        (ma.Enum(Level, by_value=True), 2.0, 2),
        (ma.Enum(Level, by_value=ma.String), 2, "2"),
        (ma.List(ma.Integer()), [1, 2.5, None], [1, 2, None]),
        (ma.List(ma.Integer()), (1, 2.5), [1, 2]),
        (ma.List(ma.List(ma.String())), [["a", 1], None], [["a", "1"], None]),
        (ma.List(Shouting()), ["a", None], ["a!", "None!"]),
        (ma.Dict(), {"a": 1}, {"a": 1}),
        (ma.Dict(values=ma.String()), {"a": 1}, {"a": "1"}),
        (ma.Dict(keys=ma.String()), {"a": 1, 5: 2}, {"a": 1, "5": 2}),
        (ma.Dict(ma.String(), ma.List(ma.String())), {"a": [1], 5: None}, {"a": ["1"], "5": None}),
        (ma.Dict(keys=ma.Integer()), {"1": 2}, {1: 2}),
        (fields.ObjectId(), OID, str(OID)),
        (fields.Reference("authors"), OID, str(OID)),
        (fields.Decimal128(), Decimal128("1.50"), "1.50"),
        (fields.Binary(), b"\x00\xff", "AP8="),
        (fields.Binary(), Binary(b"\x00\xff", 5), "AP8="),
        (ma.Constant(5), "x", 5),
        (ma.Tuple((ma.String(), ma.Integer())), ["a", 2.5], ("a", 2)),
        (ma.IP(), "1.2.3.4", "1.2.3.4"),
        (ma.Pluck(Schema.from_dict({"a": ma.String()}), "a"), {"a": 1}, "1"),
        (ma.Function(lambda document: len(document)), "x", 1),
        (Shouting(), "x", "x!"),
        (Counting(), "x", 1),
        (Rounded(), 1.7, 2),
        (Checked(), " x", " x"),
        (Vanishing(), 5, 5),
    ],
)
def test_a_field_dumps_what_is_stored(field: Any, value: Any, expected: Any) -> None:
    kind = Schema.from_dict({"field": field})
    assert exact(DumpPlan(kind()).dump({"field": value})) == exact({"field": expected})
    others = ({"field": other} for other in (None, 0, "", False, [], [1, 2], {}))
    assert_same(kind, {"field": value}, *others, {})


@pytest.mark.parametrize(
    ("options", "document", "expected"),
    [
        ({}, {}, {}),
        ({}, {"a": None}, {"a": None}),
        ({"data_key": "A"}, {"a": 1}, {"A": "1"}),
        ({"data_key": ""}, {"a": 1}, {"": "1"}),
        ({"attribute": "b"}, {"a": 1, "b": 2}, {"a": "2"}),
        ({"attribute": ""}, {"": 2}, {"a": "2"}),
        ({"attribute": "items"}, {}, {}),
        ({"attribute": "b.c"}, {"b": {"c": 2}}, {"a": "2"}),
        ({"attribute": "b.c"}, {"b.c": 2}, {}),
        ({"attribute": "b.c"}, {"b": SON(c=2)}, {"a": "2"}),
        ({"attribute": "b.c"}, {"b": {}}, {}),
        ({"attribute": "b.items"}, {"b": {}}, {}),
        ({"attribute": "b.0"}, {"b": ["x"]}, {}),
        ({"attribute": "b.c.d"}, {"b": {"c": None}}, {}),
        ({"dump_default": 5}, {}, {"a": "5"}),
        ({"dump_default": 5}, {"a": None}, {"a": None}),
        ({"dump_default": None}, {}, {"a": None}),
        ({"dump_default": lambda: 5}, {}, {"a": "5"}),
        ({"dump_default": lambda: missing}, {}, {}),
        ({"dump_default": 5, "attribute": "b.c"}, {"b": []}, {"a": "5"}),
        ({"load_only": True}, {"a": 1}, {}),
    ],
)
def test_the_options_of_a_field(options: Any, document: Any, expected: Any) -> None:
    kind = Schema.from_dict({"a": ma.String(**options)})
    assert DumpPlan(kind()).dump(document) == expected
    assert_same(kind, document)


@pytest.mark.parametrize("base", BASES)
def test_a_schema_of_any_kind_is_dumped_as_itself_and_when_nested(base: Any) -> None:
    kind = base.from_dict({"a": ma.String(), "b": ma.Integer(dump_default=5), "w": ma.DateTime()})
    documents = [{"a": 1, "w": DAY}, {"b": 2.5}, {}, {"a": None, "b": "x"}]
    assert_same(kind, *documents)
    for many, of in itertools.product((None, False, True), (kind, kind())):
        nested = Schema.from_dict({"n": ma.Nested(of, many=many), "l": ma.List(ma.Nested(of))})
        values = [*documents, documents, tuple(documents), documents[:2], [None], None, "x", [], 5]
        assert_same(nested, *({"n": value} for value in values), {"l": documents[:3]})


@pytest.mark.parametrize("value", [SON(a=1), types.MappingProxyType({"a": 1}), None, [], "x"])
def test_what_is_no_dict_is_dumped_as_marshmallow_would(value: Any) -> None:
    assert_same(Schema.from_dict({"a": ma.String(dump_default="d")}), value)


def test_the_first_thing_that_fails_is_what_is_raised() -> None:
    wrong = {"a": 1, "b": "x"}
    for key in (None, ma.String(), ma.List(ma.Raw)):
        kind = Schema.from_dict({"a": ma.Dict(keys=key, values=ma.Integer()), "b": ma.UUID()})
        assert_same(kind, {"a": wrong}, {"a": {"x": [], b"\xff": "x"}}, {"a": {b"\xff": "x"}})


def test_methods_put_on_an_object_are_called() -> None:
    schema = schema_of(a=patched())
    assert DumpPlan(schema).dump({"a": 1}) == {"a": [1, "a", {"a": 1}]}
    schema = schema_of(a=ma.String())
    schema.get_attribute = lambda obj, attr, default: "patched"
    assert DumpPlan(schema).dump({}) == {"a": "patched"}


def test_only_exclude_and_renames_of_the_instance_hold() -> None:
    members = {name: ma.String() for name in "abc"}
    schema = Schema.from_dict(members)(only=("c", "a"))
    schema.dump_fields["c"].data_key = "C"
    plan = DumpPlan(schema)
    assert list(plan.dump({"a": 1, "b": 2, "c": 3}).items()) == [("C", "3"), ("a", "1")]
    assert plan.stored == ("c", "a")


def test_lists_and_objects_of_a_document_are_copied_as_marshmallow_does() -> None:
    plan = DumpPlan(schema_of(list=ma.List(ma.Raw), dict=ma.Dict(), raw=ma.Raw()))
    document: dict[str, Any] = {"list": [1], "dict": {"a": 1}, "raw": [1]}
    dumped = plan.dump(document)
    assert dumped == document
    assert [dumped[key] is document[key] for key in document] == [False, False, True]


def test_names_are_only_ever_names() -> None:
    name = "'] = 1; raise SystemExit #\n\\"
    plan = DumpPlan(schema_of(**{name: ma.String(attribute=f"{name}.{name}", data_key=f'{name}"')}))
    assert plan.dump({name: {name: 1}}) == {f'{name}"': "1"}


# ---------------------------------------------------------------------------- what a plan reads


@pytest.mark.parametrize(
    ("members", "stored"),
    [
        ({}, ()),
        ({"a": ma.String(), "b": ma.Integer(attribute="_id")}, ("a", "_id")),
        ({"a": ma.String(attribute="x.y"), "b": ma.String(attribute="x.z")}, ("x",)),
        ({"a": ma.String(load_only=True), "b": ma.String()}, ("b",)),
        ({"a": ma.Constant(1), "b": ma.String()}, ("b",)),
        ({"a": ma.Tuple((ma.String(),)), "b": ma.IP(), "c": ma.UUID()}, ("a", "b", "c")),
        ({"a": ma.Nested(After), "b": ma.Pluck(Getting, "x")}, ("a", "b")),
        ({"a": ma.Enum(Color), "b": ma.Enum(Color, by_value=ma.String)}, ("a", "b")),
        ({"a": Checked(), "b": Rounded()}, ("a", "b")),
        ({"a": ma.List(ma.List(ma.String())), "b": ma.Dict(values=ma.Raw())}, ("a", "b")),
        ({"a": ma.Function(len)}, None),
        ({"a": ma.List(ma.Function(len))}, None),
        ({"a": Looking()}, None),
        ({"a": ma.List(Looking())}, None),
        ({"a": ma.Tuple((Looking(),))}, None),
        ({"a": ma.Enum(Color, by_value=Looking)}, None),
        ({"a": Counting()}, None),
        ({"a": Elsewhere()}, None),
        ({"a": Sum()}, None),
        ({"a": patched()}, None),
    ],
)
def test_the_stored_fields_that_are_read(members: Any, stored: Any) -> None:
    assert DumpPlan(schema_of(**members)).stored == stored


@pytest.mark.parametrize("base", [*WHOLE, marshmallow.Schema])
def test_a_schema_that_may_look_anywhere_needs_the_whole_document(base: Any) -> None:
    assert DumpPlan(schema_of(base, a=ma.String())).stored is None


@pytest.mark.parametrize("base", PLAIN)
def test_other_schemas_do_not(base: Any) -> None:
    assert DumpPlan(schema_of(base, a=ma.String())).stored == ("a",)


# ------------------------------------------------------------------------------------- recursion


class Node(Schema):
    name = ma.String()
    next = ma.Nested(lambda: Node())
    children = ma.List(ma.Nested(lambda: Node(exclude=("next",))))
    byname = ma.Dict(values=ma.Nested("Node"))


class Author(Schema):
    name = ma.String()
    books = ma.Nested(lambda: Book(exclude=("author",)), many=True)


class Book(Schema):
    title = ma.String()
    author = ma.Nested(Author, exclude=("books",))
    also = ma.List(ma.Nested(Author))


def test_a_schema_may_nest_itself() -> None:
    leaf = {"name": 1}
    document = leaf
    for _ in range(30):
        document = {"name": "n", "next": document, "children": [leaf, None], "other": 1}
    document = {**document, "byname": {"x": {"byname": {"y": leaf}}, "z": None}}
    assert_same(Node, document, leaf, document)


def test_schemas_may_nest_each_other() -> None:
    book = {"title": 1, "author": {"name": 2, "books": [{"title": 3}]}}
    book["also"] = [book["author"], {"books": None}]
    assert_same(Book, book, {"author": None}, {})
    assert_same(Author, {"name": "x", "books": [book, book, {}]})
    plan = DumpPlan(Book())
    dumped = {"title": "1", "author": {"name": "2"}}
    assert plan.dump(book) == dumped | {
        "also": [{"name": "2", "books": [{"title": "3"}]}, {"books": None}]
    }


def test_a_nested_schema_is_looked_for_when_a_value_comes() -> None:
    plan = DumpPlan(schema_of(a=ma.Nested("DefinedLater")))
    assert plan.dump({}) == {}
    for value in ({}, None):
        with pytest.raises(RegistryError):
            plan.dump({"a": value})
    type("DefinedLater", (Schema,), {"x": ma.String()})
    assert plan.dump_many([{"a": {"x": 1}}, {"a": None}]) == [{"a": {"x": "1"}}, {"a": None}]


# ------------------------------------------------------------------- documents with all the fields

#: Fields of each kind in a plan. Those that are only dumped may share what they show.
KINDS: dict[str, Callable[[], ma.Field[Any]]] = {
    "text": lambda: ma.String(dump_only=True),
    "inner": lambda: ma.String(attribute="in.x", dump_only=True),
    "deeper": lambda: ma.Integer(attribute="in.y.z"),
    "usual": lambda: ma.Integer(dump_default=7, attribute="count"),
    "inner usual": lambda: ma.Integer(dump_default=7, attribute="in.count"),
    "again": lambda: ma.Raw(attribute="text", dump_only=True),
    "constant": lambda: ma.Constant(5),
    "no constant": lambda: ma.Constant(missing),
    "color": lambda: ma.Enum(Odd, by_value=Vanishing),
    "nested": lambda: ma.Nested(Gone.from_dict({"n": ma.Integer()})),
    "many": lambda: ma.Nested(Schema.from_dict({"n": ma.Integer(attribute="m.n")}), many=True),
    "vanishing": lambda: Vanishing(),
    "counting": lambda: Counting(),
    "looking": lambda: Looking(attribute="in.x", dump_only=True),
    "function": lambda: ma.Function(lambda document: len(document)),
    "list": lambda: ma.List(ma.DateTime()),
}
FULL: dict[str, Any] = {
    "text": "x",
    "in": {"x": "y", "y": {"z": 5}, "count": 1},
    "count": 3,
    "constant": 1,
    "no constant": 1,
    "color": True,
    "nested": {"n": 1},
    "many": [{"m": {"n": 1}}, {"m": {}}, {"m.n": 5}],
    "vanishing": 1,
    "looking": 1,
    "list": [MOMENT, None],
}


def variants(full: dict[str, Any]) -> list[Any]:
    """Return documents with all the fields, with all but one, and with others."""
    found: list[Any] = [full, {**full, "more": 1, "yet more": 2}, {}, SON(full)]
    for name in full:
        less = {key: value for key, value in full.items() if key != name}
        # Of which one has as many keys as are looked for.
        found += [less, {**less, "more": 1}, {**less, "more": 1, "yet more": 2}]
        found += [{**full, name: value} for value in (None, 0, "", {}, [])]
    for inside in ({}, {"x": "y"}, {"y": {}}, {"y": 5}, SON(x=1), None, [], {"count": None}):
        found.append({**full, "in": inside})
    return found


@pytest.mark.parametrize("kinds", [*KINDS, tuple(KINDS), (*reversed(KINDS),)])
def test_a_document_with_all_the_fields_is_dumped_as_others_are(kinds: Any) -> None:
    names = kinds if isinstance(kinds, tuple) else ("text", kinds, "inner")
    for shown in (names, *itertools.combinations(names, 2)):
        kind = Schema.from_dict({name: KINDS[name]() for name in shown})
        assert_same(kind, *variants(FULL))


@given(st.lists(st.datetimes(), min_size=1))
@settings(max_examples=50, deadline=None)
def test_dates_and_times_are_written_as_marshmallow_does(moments: list[dt.datetime]) -> None:
    edges = [dt.datetime(1, 1, 1), dt.datetime(999, 1, 1, 0, 0, 0, 1), dt.datetime.max, MOMENT]
    aware = [one.replace(tzinfo=dt.UTC) for one in edges]
    kind = Schema.from_dict({"a": ma.DateTime(), "b": ma.NaiveDateTime("iso8601")})
    assert_same(kind, *({"a": one, "b": one} for one in [*edges, *aware, *moments]))
