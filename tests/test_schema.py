"""Schema: marshmallow's fields, stored as BSON has them and dumped from what is stored."""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
import uuid
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import bson
import marshmallow
import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError
from marshmallow import fields as ma

from falcorest import fields
from falcorest.errors import BodyError
from falcorest.schema import Schema, to_bson

OID = ObjectId("6195b0eb829a2784b4459a7f")
ID = uuid.UUID("12345678-1234-5678-9234-567812345678")
KEY = Binary(ID.bytes, 4)
DAY = dt.datetime(2024, 2, 29)
MOMENT = dt.datetime(2024, 2, 29, 12, 30, 15, 250000)
EAST = dt.timezone(dt.timedelta(hours=2))


class Color(enum.Enum):
    RED = "r"
    BLUE = 5


def exact(value: Any) -> Any:
    """Return what tells apart 1, 1.0 and true, and an Int64 from an int."""
    if isinstance(value, dict):
        return type(value), [(key, exact(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [exact(item) for item in value]
    return type(value), value


# --------------------------------------------------------------------------- what is stored


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, None),
        (True, True),
        (5, 5),
        (5.0, 5.0),
        ("x", "x"),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (Int64(5), Int64(5)),
        (OID, OID),
        (b"hi", b"hi"),
        (KEY, KEY),
        (MOMENT, MOMENT),
        (MOMENT.replace(microsecond=250999), MOMENT),
        (MOMENT.replace(tzinfo=dt.UTC), MOMENT),
        (MOMENT.replace(tzinfo=EAST), MOMENT - dt.timedelta(hours=2)),
        (dt.datetime(1, 1, 1), dt.datetime(1, 1, 1)),
        (dt.date(2024, 2, 29), DAY),
        (dt.date(1, 1, 1), dt.datetime(1, 1, 1)),
        (dt.time(12, 30), "12:30:00"),
        (dt.time(12, 30, 15, 1), "12:30:15.000001"),
        (dt.timedelta(minutes=1, milliseconds=5), 60.005),
        (dt.timedelta(seconds=-1), -1.0),
        (Decimal("1.10"), Decimal128("1.10")),
        (Decimal("NaN"), Decimal128("NaN")),
        (ID, KEY),
        (ipaddress.ip_address("192.0.2.1"), "192.0.2.1"),
        (ipaddress.ip_address("2001:db8::1"), "2001:db8::1"),
        (ipaddress.ip_interface("192.0.2.1/24"), "192.0.2.1/24"),
        ([dt.date(2024, 2, 29), [ID]], [DAY, [KEY]]),
        ((1, ID), [1, KEY]),
        ({5}, [5]),
        (frozenset(), []),
        ({"a": {"b": [dt.time(1)]}}, {"a": {"b": ["01:00:00"]}}),
        (OrderedDict(b=ID, a=1), {"b": KEY, "a": 1}),
        (MappingProxyType({"a": ID}), {"a": KEY}),
        ({5: "five", ID: 1}, {"5": "five", str(ID): 1}),
        ({dt.date(2024, 2, 29): 1}, {"2024-02-29": 1}),
        ({"$oid": str(OID)}, OID),
        ({"a": [{"$date": "2024-02-29T12:30:15.250Z"}]}, {"a": [MOMENT]}),
        ({"a": {"$numberDecimal": "1.10"}}, {"a": Decimal128("1.10")}),
    ],
)
def test_what_is_loaded_becomes_what_is_stored(value: Any, stored: Any) -> None:
    found = to_bson(value)
    assert exact(found) == exact(stored)
    bson.encode({"value": found})


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**63) - 1,
        10**5000,
        Decimal("1" * 35),
        Decimal("1e7000"),
        dt.datetime(1, 1, 1, tzinfo=EAST),
        dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(dt.timedelta(hours=-2))),
    ],
    ids=lambda value: f"{type(value).__name__}-{str(value)[:20]}" if type(value) is not int else "",
)
def test_a_value_out_of_range_is_refused_wherever_it_stands(value: Any) -> None:
    for around in (value, [value], {"a": value}, {"a": [{"b": (1, value)}]}):
        with pytest.raises(ValidationError):
            to_bson(around)
    with pytest.raises(ValidationError) as caught:
        to_bson({"fine": 1, "a": [1, {"b": value}]})
    ((_, below),) = caught.value.messages_dict["a"].items()
    assert set(below) == {"b"}


@pytest.mark.parametrize(
    "value",
    [
        {"$set": 1}, {"": 1}, {"a.b": 1}, {"a\0": 1}, {"a": {"$x": 1}}, {"a": [{"b.c": 1}]},
        {"$oid": "x"}, {"$numberLong": str(2**63)}, {"$oid": str(OID), "a": 1}, {"a": 1, "$x": 2},
        OrderedDict({"$x": 1}), [{"$where": "1"}],
    ],
)  # fmt: skip
def test_a_key_that_may_not_be_stored_is_refused(value: Any) -> None:
    with pytest.raises(BodyError):
        to_bson(value)


VALUES = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
        *(st.dates(), st.times(), st.timedeltas(), st.uuids(), st.ip_addresses()),
        st.datetimes(timezones=st.none() | st.timezones()),
        st.decimals(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers(0, 9)), inner, max_size=3),
    ),
    max_leaves=8,
)


@given(VALUES)
def test_whatever_is_loaded_can_be_stored_or_is_refused(value: Any) -> None:
    try:
        stored = to_bson({"value": value})
    except (ValidationError, BodyError):
        return
    bson.encode(stored)


# -------------------------------------------------------------- dumping what is stored

#: A field, what is stored, and what is dumped.
DUMPED: list[tuple[Any, Any, Any]] = [
    (ma.String(), "x", "x"),
    (ma.Integer(), Int64(5), 5),
    (ma.Float(), 5, 5.0),
    (ma.Date(), DAY, "2024-02-29"),
    (ma.Date(), DAY.replace(tzinfo=dt.UTC), "2024-02-29"),
    (ma.DateTime(), MOMENT, "2024-02-29T12:30:15.250000"),
    (ma.DateTime(format="%d.%m.%Y"), MOMENT, "29.02.2024"),
    (ma.NaiveDateTime(), DAY, "2024-02-29T00:00:00"),
    (ma.Time(), "12:30:15", "12:30:15"),
    (ma.Time(), "12:30:15.000001", "12:30:15.000001"),
    (ma.Time(format="%H"), "12:30:15", "12"),
    (ma.TimeDelta(), 90.0, 90.0),
    (ma.TimeDelta(), 90, 90.0),
    (ma.TimeDelta(precision="minutes"), 90.0, 1.5),
    (ma.Decimal(as_string=True), Decimal128("1.10"), "1.10"),
    (ma.Decimal(places=1, as_string=True), Decimal128("1.15"), "1.2"),
    (ma.UUID(), KEY, str(ID)),
    (ma.UUID(), ID, str(ID)),
    (ma.UUID(), ID.bytes, str(ID)),
    (ma.Enum(Color), "RED", "RED"),
    (ma.Enum(Color, by_value=True), "r", "r"),
    (ma.Enum(Color, by_value=True), 5, 5),
    (ma.IP(), "192.0.2.1", "192.0.2.1"),
    (ma.IPv4(), "192.0.2.1", "192.0.2.1"),
    (ma.IPv6(exploded=True), "::1", "0000:0000:0000:0000:0000:0000:0000:0001"),
    (ma.IPInterface(), "192.0.2.1/24", "192.0.2.1/24"),
    (ma.List(ma.UUID()), [KEY, KEY], [str(ID), str(ID)]),
    (ma.List(ma.List(ma.Time())), [["12:30:15"]], [["12:30:15"]]),
    (ma.Tuple((ma.UUID(), ma.Integer())), [KEY, 5], (str(ID), 5)),
    (ma.Dict(values=ma.UUID()), {"a": KEY}, {"a": str(ID)}),
    (ma.Dict(keys=ma.UUID(), values=ma.Time()), {str(ID): "12:30:15"}, {str(ID): "12:30:15"}),
    (ma.Nested({"key": ma.UUID()}), {"key": KEY}, {"key": str(ID)}),
    (ma.Nested(Schema.from_dict({"key": ma.UUID()})), {"key": KEY}, {"key": str(ID)}),
    (ma.Nested(marshmallow.Schema.from_dict({"key": ma.UUID()})), {"key": KEY}, {"key": str(ID)}),
    (
        ma.List(ma.Nested(lambda: marshmallow.Schema.from_dict({"key": ma.UUID()}))),
        [{"key": KEY}],
        [{"key": str(ID)}],
    ),
    (ma.Pluck(Schema.from_dict({"key": ma.UUID()}), "key"), {"key": KEY}, str(ID)),
    (fields.ObjectId(), OID, str(OID)),
    (fields.Decimal128(), Decimal128("1.10"), "1.10"),
    *(
        (field, None, None)
        for field in (
            *(ma.Date(), ma.DateTime(), ma.Time(), ma.TimeDelta(), ma.Decimal(), ma.UUID()),
            *(ma.Enum(Color), ma.Enum(Color, by_value=True), ma.IP(), ma.IPInterface()),
            *(ma.List(ma.UUID()), fields.ObjectId(), fields.Decimal128(), fields.Binary()),
        )
    ),
]


@pytest.mark.parametrize(("field", "stored", "dumped"), DUMPED)
def test_a_field_dumps_what_is_stored(field: Any, stored: Any, dumped: Any) -> None:
    schema = Schema.from_dict({"value": field})()
    assert exact(schema.dump({"value": stored})) == exact({"value": dumped})
    assert schema.dump({}) == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (ma.Date(), "2024-02-29"),
        (ma.DateTime(), "2024-02-29T12:30:15.250000"),
        (ma.NaiveDateTime(), "2024-02-29T12:30:15"),
        (ma.Time(), "12:30:15.000001"),
        (ma.TimeDelta(), 90.5),
        (ma.TimeDelta(precision="days"), 1.5),
        (ma.Decimal(as_string=True), "1.10"),
        (ma.UUID(), str(ID)),
        (ma.Enum(Color), "BLUE"),
        (ma.Enum(Color, by_value=True), 5),
        (ma.IPv6(), "2001:db8::1"),
        (ma.IPInterface(), "192.0.2.1/24"),
        (ma.List(ma.Date()), ["2024-02-29"]),
        (ma.Dict(keys=ma.Date(), values=ma.Time()), {"2024-02-29": "12:30:15"}),
        (ma.Nested({"a": ma.Nested({"key": ma.UUID()})}), {"a": {"key": str(ID)}}),
        (fields.Binary(), "aGk="),
    ],
)
def test_what_is_sent_comes_back_through_bson(field: Any, value: Any) -> None:
    schema = Schema.from_dict({"value": field})()
    stored = bson.decode(bson.encode(to_bson(schema.load({"value": value}))))
    assert schema.dump(stored) == {"value": value}
    assert to_bson(schema.load(schema.dump(stored))) == to_bson(schema.load({"value": value}))


class Release(enum.Enum):
    FIRST = dt.date(2024, 2, 29)


class Tenant(enum.Enum):
    ANN = ID


class Rate(enum.Enum):
    LOW = Decimal("0.1")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (ma.Enum(Release, by_value=ma.Date), "2024-02-29"),
        (ma.Enum(Tenant, by_value=ma.UUID), str(ID)),
        (ma.Enum(Rate, by_value=ma.Decimal(as_string=True)), "0.1"),
    ],
)
def test_an_enum_of_values_that_bson_has_otherwise_comes_back_too(field: Any, value: Any) -> None:
    schema = Schema.from_dict({"value": field})()
    stored = bson.decode(bson.encode(to_bson(schema.load({"value": value}))))
    assert schema.dump(stored) == {"value": value}


def test_an_aware_datetime_is_dumped_with_its_zone() -> None:
    schema = Schema.from_dict({"value": ma.AwareDateTime()})()
    shown = schema.dump({"value": MOMENT})["value"]
    assert dt.datetime.fromisoformat(shown) in (MOMENT, MOMENT.replace(tzinfo=dt.UTC))
    assert schema.dump({"value": MOMENT.replace(tzinfo=dt.UTC)})["value"].endswith("+00:00")


class Shouting(ma.String):
    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return f"{value}!"


class Rounded(ma.Decimal):
    """A subclass of a field that is stored as something else."""

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        assert isinstance(value, Decimal)
        return int(value)


def test_fields_of_ones_own_are_kept_and_given_python_values() -> None:
    schema = Schema.from_dict({"a": Shouting(), "b": Rounded()})()
    assert schema.dump({"a": "x", "b": Decimal128("5.5")}) == {"a": "x!", "b": 5}
    assert isinstance(schema.fields["b"], Rounded)


def test_a_schema_is_marshmallows_in_everything_else() -> None:
    class Post(Schema):
        id = fields.ObjectId(attribute="_id", dump_only=True)
        title = ma.String(required=True, data_key="name")
        size = ma.Function(lambda document: len(document["title"]))

        @marshmallow.pre_load
        def stripped(self, data: Any, **kwargs: Any) -> Any:
            return {key: value.strip() for key, value in data.items()}

        @marshmallow.validates_schema
        def checked(self, data: Any, **kwargs: Any) -> None:
            if data.get("title") == "bad":
                raise ValidationError("It is bad.", "title")

    schema = Post()
    assert isinstance(schema, marshmallow.Schema)
    assert schema.load({"name": " a "}) == {"title": "a"}
    assert schema.dump({"_id": OID, "title": "ab"}) == {"id": str(OID), "name": "ab", "size": 2}
    for body, errors in (
        ({}, {"name": ["Missing data for required field."]}),
        ({"name": "a", "title": "b"}, {"title": ["Unknown field."]}),
        ({"name": "bad"}, {"name": ["It is bad."]}),
    ):
        with pytest.raises(ValidationError) as caught:
            schema.load(body)
        assert caught.value.messages == errors
    assert Post(only=["title"]).dump({"_id": OID, "title": "a"}) == {"name": "a"}


@pytest.mark.parametrize(
    ("document", "dumped"),
    [
        ({"items": 1, "keys": 2}, {"items": 1, "keys": 2}),
        ({}, {}),
        ({"a": {"b": {"c": 5}}}, {"deep": 5}),
        ({"a": {"b": None}}, {}),
        ({"a": None}, {}),
        ({"a": [{"b": {"c": 5}}]}, {}),
        ({"a": "text"}, {}),
        ({"a.b.c": 5}, {}),
        ({"a": {"b": {"c": None}}}, {"deep": None}),
        (OrderedDict(items=1), {"items": 1}),
    ],
)
def test_keys_are_keys_and_paths_lead_through_documents_only(
    document: Any, dumped: dict[str, Any]
) -> None:
    schema = Schema.from_dict(
        {"items": ma.Raw(), "keys": ma.Raw(), "deep": ma.Raw(attribute="a.b.c")}
    )()
    assert schema.dump(document) == dumped


def test_objects_can_be_dumped_too() -> None:
    class Post:
        title = "a"

    assert Schema.from_dict({"title": ma.String()})().dump(Post()) == {"title": "a"}


def test_the_same_field_can_stand_in_a_schema_of_marshmallows() -> None:
    key, inner = ma.UUID(), ma.Nested(marshmallow.Schema.from_dict({"key": ma.UUID()}))
    ours = Schema.from_dict({"key": key, "inner": inner})()
    theirs = marshmallow.Schema.from_dict({"key": key, "inner": inner})()
    stored, python = {"key": KEY, "inner": {"key": KEY}}, {"key": ID, "inner": {"key": ID}}
    shown = {"key": str(ID), "inner": {"key": str(ID)}}
    assert ours.dump(stored) == theirs.dump(python) == ours.dump(python) == shown
    assert type(theirs.fields["key"]) is ma.UUID


def test_a_date_beyond_python_is_no_reason_to_break_other_fields() -> None:
    schema = Schema.from_dict({"when": ma.Raw(), "title": ma.String()})()
    far = DatetimeMS(2**62)
    assert schema.dump({"when": far, "title": "a"}) == {"when": far, "title": "a"}


# ---------------------------------------------------------------------------- unknown fields


class OpenSchema(Schema):
    class Meta:
        unknown = marshmallow.INCLUDE

    id = ma.String(attribute="_id", dump_only=True)
    text = ma.String()
    title = ma.String(data_key="name")
    rank = ma.Integer(attribute="stored")
    deep = ma.Integer(attribute="a.b")
    approved = ma.Boolean(dump_only=True)


#: Fields with open schemas in them, and what goes around an object that is for one.
AROUND: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
    (lambda: ma.Nested(OpenSchema), lambda item: item),
    (lambda: ma.Nested(OpenSchema()), lambda item: item),
    (lambda: ma.Nested(lambda: OpenSchema()), lambda item: item),
    (lambda: ma.Nested(OpenSchema, many=True), lambda item: [{}, item]),
    (lambda: ma.Nested(OpenSchema(many=True)), lambda item: [{}, item]),
    (lambda: ma.List(ma.Nested(OpenSchema)), lambda item: [{}, item]),
    (lambda: ma.List(ma.List(ma.Nested(OpenSchema))), lambda item: [[item]]),
    (lambda: ma.Dict(values=ma.Nested(OpenSchema)), lambda item: {"key": item}),
    (lambda: ma.Tuple((ma.Integer(), ma.Nested(OpenSchema))), lambda item: [1, item]),
    (
        lambda: ma.Nested(Schema.from_dict({"inner": ma.Nested(OpenSchema)})),
        lambda item: {"inner": item},
    ),
    (
        lambda: ma.Nested(marshmallow.Schema.from_dict({"inner": ma.Nested(OpenSchema)})),
        lambda item: {"inner": item},
    ),
]


@pytest.mark.parametrize(("field", "around"), AROUND)
def test_unknown_fields_are_taken_where_they_are_included(
    field: Callable[[], Any], around: Callable[[Any], Any]
) -> None:
    schema = Schema.from_dict({"value": field()})()
    item = {"text": "a", "more": {"approved": True}, "even_more": 5}
    loaded = schema.load({"value": around(item)})["value"]
    assert (list(loaded) if isinstance(loaded, tuple) else loaded) == around(item)


@pytest.mark.parametrize(("field", "around"), AROUND)
@pytest.mark.parametrize(
    "name",
    ["id", "_id", "approved", "title", "stored", "a"],
)
def test_a_field_that_is_known_does_not_pass_for_an_unknown_one(
    field: Callable[[], Any], around: Callable[[Any], Any], name: str
) -> None:
    schema = Schema.from_dict({"value": field()})()
    with pytest.raises(ValidationError) as caught:
        schema.load({"value": around({"text": "a", name: "x"})})
    assert f"'{name}': [\"It can't be written.\"]" in str(caught.value.messages)


def test_what_is_unknown_may_be_said_where_a_body_is_loaded() -> None:
    schema = Schema.from_dict({"id": ma.String(dump_only=True), "text": ma.String()})()
    assert schema.load({"more": 1}, unknown=marshmallow.INCLUDE) == {"more": 1}
    for body, many in (({"id": "x"}, False), ([{}, {"id": "x"}], True)):
        with pytest.raises(ValidationError, match="can't be written"):
            schema.load(body, unknown=marshmallow.INCLUDE, many=many)
    assert schema.load({"id": "x"}, unknown=marshmallow.EXCLUDE) == {}
