"""Relaxed Extended JSON v2, in and out."""

from __future__ import annotations

import itertools
import json
import math
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from bson import (
    Binary,
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
    json_util,
)
from bson.codec_options import DatetimeConversion
from bson.datetime_ms import DatetimeMS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from falcorest.bson_json import (
    MAX_DEPTH,
    datetime_text,
    decode,
    dumps,
    loads,
    parse,
    parse_decoded,
)
from falcorest.errors import BodyError

OID = "6195b0eb829a2784b4459a7f"
UUID = uuid.UUID("6195b0eb-829a-2784-b445-9a7f01234567")

WRITING = json_util.RELAXED_JSON_OPTIONS
READING = json_util.JSONOptions(
    json_mode=json_util.JSONMode.RELAXED,
    tz_aware=False,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


def extended(text: str) -> bytes:
    """Return a document whose field `f` is a piece of Extended JSON."""
    return f'{{"f":{text}}}'.encode()


def refusal(body: bytes) -> BodyError:
    with pytest.raises(BodyError) as caught:
        loads(body)
    return caught.value


def assert_same(found: Any, expected: Any) -> None:
    """Compare values with their types: 1 is neither 1.0 nor true, NaN is NaN."""
    assert repr(found) == repr(expected)


# ------------------------------------------------------------------------- each type of BSON

#: Values, and their relaxed Extended JSON.
TYPES: list[tuple[Any, str]] = [
    (None, "null"),
    (True, "true"),
    (False, "false"),
    ("", '""'),
    ('a"\\\n\0ä🚀', '"a\\"\\\\\\n\\u0000ä🚀"'),
    (0, "0"),
    (-(2**31), "-2147483648"),
    (2**31, "2147483648"),
    (2**63 - 1, "9223372036854775807"),
    (-(2**63), "-9223372036854775808"),
    (1.0, "1.0"),
    (-2.5, "-2.5"),
    (0.1, "0.1"),
    (-0.0, "-0.0"),
    (math.nan, '{"$numberDouble":"NaN"}'),
    (math.inf, '{"$numberDouble":"Infinity"}'),
    (-math.inf, '{"$numberDouble":"-Infinity"}'),
    ([], "[]"),
    ([1, [2, {}]], "[1,[2,{}]]"),
    ({}, "{}"),
    ({"a": {"b": [None]}}, '{"a":{"b":[null]}}'),
    (ObjectId(OID), f'{{"$oid":"{OID}"}}'),
    (Decimal128("9.99"), '{"$numberDecimal":"9.99"}'),
    (Decimal128("1E+3"), '{"$numberDecimal":"1E+3"}'),
    (Decimal128("-0"), '{"$numberDecimal":"-0"}'),
    (Decimal128("NaN"), '{"$numberDecimal":"NaN"}'),
    (Decimal128("-Infinity"), '{"$numberDecimal":"-Infinity"}'),
    (datetime(2021, 11, 1, 9, 30), '{"$date":"2021-11-01T09:30:00Z"}'),
    (datetime(2021, 11, 1, 9, 30, 0, 123000), '{"$date":"2021-11-01T09:30:00.123Z"}'),
    (datetime(1970, 1, 1), '{"$date":"1970-01-01T00:00:00Z"}'),
    (datetime(9999, 12, 31, 23, 59, 59, 999000), '{"$date":"9999-12-31T23:59:59.999Z"}'),
    (datetime(1969, 12, 31, 23, 59, 59, 999000), '{"$date":{"$numberLong":"-1"}}'),
    (datetime(1, 1, 1), '{"$date":{"$numberLong":"-62135596800000"}}'),
    (DatetimeMS(253402300800000), '{"$date":{"$numberLong":"253402300800000"}}'),
    (DatetimeMS(-62135596800001), '{"$date":{"$numberLong":"-62135596800001"}}'),
    (DatetimeMS(2**63 - 1), '{"$date":{"$numberLong":"9223372036854775807"}}'),
    (b"", '{"$binary":{"base64":"","subType":"00"}}'),
    (b"\x00\xff", '{"$binary":{"base64":"AP8=","subType":"00"}}'),
    (Binary(b"ab", 0x80), '{"$binary":{"base64":"YWI=","subType":"80"}}'),
    (Binary(b"ab", 5), '{"$binary":{"base64":"YWI=","subType":"05"}}'),
    (Binary(UUID.bytes, 4), '{"$binary":{"base64":"YZWw64KaJ4S0RZp/ASNFZw==","subType":"04"}}'),
    (Regex("^a.b$", "ix"), '{"$regularExpression":{"pattern":"^a.b$","options":"ix"}}'),
    (Regex("", ""), '{"$regularExpression":{"pattern":"","options":""}}'),
    (Timestamp(1635759000, 7), '{"$timestamp":{"t":1635759000,"i":7}}'),
    (Timestamp(2**32 - 1, 2**32 - 1), '{"$timestamp":{"t":4294967295,"i":4294967295}}'),
    (Code("f()"), '{"$code":"f()"}'),
    (Code("f()", {"a": 1}), '{"$code":"f()","$scope":{"a":1}}'),
    (DBRef("users", ObjectId(OID)), f'{{"$ref":"users","$id":{{"$oid":"{OID}"}}}}'),
    (DBRef("users", 5, "other"), '{"$ref":"users","$id":5,"$db":"other"}'),
    (MinKey(), '{"$minKey":1}'),
    (MaxKey(), '{"$maxKey":1}'),
]


@pytest.mark.parametrize(("value", "text"), TYPES)
def test_a_type_of_bson_is_written(value: Any, text: str) -> None:
    assert dumps({"f": value}) == extended(text)
    assert dumps([value]) == f"[{text}]".encode()


@pytest.mark.parametrize(("value", "text"), TYPES)
def test_a_type_of_bson_is_read(value: Any, text: str) -> None:
    assert_same(loads(extended(text)), {"f": value})
    assert_same(loads(f"[{text}]".encode()), [value])


@pytest.mark.parametrize(("value", "text"), TYPES)
def test_writing_agrees_with_pymongo(value: Any, text: str) -> None:
    assert json.loads(json_util.dumps({"f": value}, json_options=WRITING)) == json.loads(
        dumps({"f": value})
    )


@pytest.mark.parametrize(("value", "text"), TYPES)
def test_reading_agrees_with_pymongo(value: Any, text: str) -> None:
    assert_same(loads(extended(text)), json_util.loads(extended(text), json_options=READING))


#: What is read and never written: canonical forms, and other spellings.
FURTHER: list[tuple[str, Any]] = [
    ('{"$numberInt":"-5"}', -5),
    ('{"$numberLong":"5"}', Int64(5)),
    ('{"$numberLong":"-9223372036854775808"}', Int64(-(2**63))),
    ('{"$numberDouble":"1.0"}', 1.0),
    ('{"$numberDouble":"-1.5E+10"}', -1.5e10),
    ('{"$numberDouble":"5"}', 5.0),
    ('{"$date":{"$numberLong":"0"}}', datetime(1970, 1, 1)),
    ('{"$date":{"$numberLong":"1635759000123"}}', datetime(2021, 11, 1, 9, 30, 0, 123000)),
    ('{"$date":"2021-11-01T09:30:00.5Z"}', datetime(2021, 11, 1, 9, 30, 0, 500000)),
    ('{"$date":"2021-11-01T09:30:00.123999Z"}', datetime(2021, 11, 1, 9, 30, 0, 123000)),
    ('{"$date":"2021-11-01T09:30:00+02:00"}', datetime(2021, 11, 1, 7, 30)),
    ('{"$date":"0001-01-01T00:00:00Z"}', datetime(1, 1, 1)),
    (f'{{"$uuid":"{UUID}"}}', Binary(UUID.bytes, 4)),
    ('{"$symbol":"s"}', "s"),
    (f'{{"$oid":"{OID.upper()}"}}', ObjectId(OID)),
    ('{"$scope":{},"$code":"f()"}', Code("f()", {})),
    ('{"$id":1,"$ref":"c"}', DBRef("c", 1)),
    ('{"$code":"f()","$scope":{"a":{"$numberLong":"1"}}}', Code("f()", {"a": Int64(1)})),
    ('{"$binary":{"base64":"YWI=","subType":"5"}}', Binary(b"ab", 5)),
]


@pytest.mark.parametrize(("text", "value"), FURTHER)
def test_canonical_and_other_spellings_are_read(text: str, value: Any) -> None:
    assert_same(loads(extended(text)), {"f": value})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Int64(5), "5"),
        (re.compile("a", re.IGNORECASE | re.MULTILINE | re.ASCII), None),
        (datetime(2021, 11, 1, 9, 30, tzinfo=UTC), '{"$date":"2021-11-01T09:30:00Z"}'),
        (
            datetime(2021, 11, 1, 9, 30, tzinfo=timezone(timedelta(hours=2))),
            '{"$date":"2021-11-01T07:30:00Z"}',
        ),
        (DBRef("c", 1, None, extra="x"), '{"$ref":"c","$id":1,"extra":"x"}'),
    ],
)
def test_what_a_program_stores_in_other_types_is_written(value: Any, text: str | None) -> None:
    text = text or '{"$regularExpression":{"pattern":"a","options":"im"}}'
    assert dumps({"f": value}) == extended(text)


def test_an_integer_of_5000_digits_is_refused() -> None:
    assert refusal(b"[1" + b"0" * 5000 + b"]").status == 400


def test_what_has_no_extended_json_is_an_error_of_the_program() -> None:
    with pytest.raises(TypeError):
        dumps({"f": object()})


# ------------------------------------------------------------------------- NaN and infinities


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": None, "b": math.nan}, '{"a":null,"b":{"$numberDouble":"NaN"}}'),
        ({"a": [1.5, -math.inf]}, '{"a":[1.5,{"$numberDouble":"-Infinity"}]}'),
        ([{"a": {"b": math.inf}}], '[{"a":{"b":{"$numberDouble":"Infinity"}}}]'),
        ({"a": "null", "b": None}, '{"a":"null","b":null}'),
        (
            {"a": Code("f()", {"x": math.nan})},
            '{"a":{"$code":"f()","$scope":{"x":{"$numberDouble":"NaN"}}}}',
        ),
        (
            {"a": DBRef("c", math.inf)},
            '{"a":{"$ref":"c","$id":{"$numberDouble":"Infinity"}}}',
        ),
    ],
)
def test_nan_and_infinities_are_spelled_wherever_they_stand(value: Any, text: str) -> None:
    assert dumps(value) == text.encode()


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "nan", "1e400", "-1e400"])
def test_a_bare_number_that_is_not_finite_is_refused(text: str) -> None:
    assert refusal(extended(text)).status == 400
    assert refusal(text.encode()).status == 400


# ------------------------------------------------------------------------------- field order


@pytest.mark.parametrize("keys", ["zyx", "abc", "bca"])
def test_field_order_is_kept(keys: str) -> None:
    document = {key: dict.fromkeys(reversed(keys), 1) for key in keys}
    text = dumps(document)
    assert list(json.loads(text)) == list(keys)
    assert_same(loads(text), document)
    # The exact reader, which a suspicious number brings in, keeps it as well.
    exact = text[:-1] + b',"n":1e19}'
    assert_same(loads(exact), {**document, "n": 1e19})


# -------------------------------------------------------------------------------- strictness

MALFORMED: list[bytes] = [
    *(b"", b" ", b"\n", b"{", b"}", b"[", b'{"a"}', b'{"a":}', b'{"a":1,}', b"[1,]", b"{a:1}"),
    *(b"{'a':1}", b'{"a":1} x', b"{}{}", b"nul", b"True", b"undefined", b"01", b"+1", b".5", b"1."),
    *(b"0x10", b'"', b'"\\x"', b'"\n"', b'"\x00"', b"// c\n{}", b"/* c */{}", b"\xff", b'"\xc3"'),
    *(b'"\xed\xa0\x80"', b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b'{"a":1;"b":2}'),
    # Half of a surrogate pair.
    *(rb'"\ud800"', rb'{"a":"\udc00"}', rb'{"\ud800":1}', rb'"\udc00\ud800"', rb'"\ud800x"'),
]


@pytest.mark.parametrize("body", MALFORMED)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    assert refusal(body).code == "body.malformed"


SOME_SPACES = list(itertools.product([b"", b" ", b"\n", b"\t", b"\r", b"\r\n", b" \t"], repeat=2))


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"b":2,"a":3}',
        b'{"a":{"b":1,"b":2}}',
        b'[{"a":1},{"a":1,"a":2}]',
        rb'{"a":1,"\u0061":2}',
        b'{"a" :1,"a"\n:2}',
        *(b'{"a"%s:1,"a"%s:2}' % spaces for spaces in SOME_SPACES),
        b'{"":1,"":2}',
        b'{"$oid":"x","$oid":"y"}',
        b'{"a\\":":1,"a\\":":2}',
        '{"ä":1,"\\u00e4":2}'.encode(),
    ],
)
def test_a_key_that_stands_twice_is_refused(body: bytes) -> None:
    error = refusal(body)
    assert error.code == "body.duplicate_key"


@pytest.mark.parametrize(
    "body",
    [
        rb'{"a":"\"a\":","b":"\"b\": \"c\":"}',
        b'[{"a":1},{"a":1}]',
        b'{"a":{"a":{"a":1}}}',
        b'{"a":"b","b":"a"}',
        b'{"a":1e19,"b":{"a":1}}',
    ],
)
def test_a_key_that_seems_to_stand_twice_is_no_error(body: bytes) -> None:
    assert loads(body) == json.loads(body)


@pytest.mark.parametrize(
    "text",
    [
        *("9223372036854775808", "-9223372036854775809", "18446744073709551615"),
        *("18446744073709551616", "1" + "0" * 30, "-1" + "0" * 30, "1" + "0" * 300),
    ],
    ids=lambda text: text[:40],
)
def test_an_integer_beyond_64_bits_is_refused(text: str) -> None:
    for body in (text, f"[{text}]", f'{{"a":{{"b":{text}}}}}'):
        error = refusal(body.encode())
        assert error.code == "body.invalid_value"
        assert len(error.detail) < 200


@pytest.mark.parametrize(
    "text", ["1e19", "-1e19", "9223372036854775808.0", "1.7976931348623157e308"]
)
def test_a_large_number_that_is_written_as_a_double_is_one(text: str) -> None:
    assert_same(loads(extended(text)), {"f": float(text)})


def test_an_integer_keeps_all_its_digits() -> None:
    assert_same(loads(b"[9007199254740993,-9007199254740993]"), [2**53 + 1, -(2**53) - 1])


@pytest.mark.parametrize(
    ("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"]
)
def test_a_body_nests_100_levels_deep_and_no_deeper(opening: str, closing: str) -> None:
    def nested(depth: int) -> bytes:
        inner = "[]" if opening == "[" else "{}"
        return (opening * (depth - 1) + inner + closing * (depth - 1)).encode()

    loads(nested(100))
    for depth in (101, 500, 5000, 100_000):
        assert refusal(nested(depth)).code == "body.too_deep"
    # Unclosed, so that nothing but the depth can be what stops the reader early.
    assert refusal((opening * 100_000).encode()).status == 400


def test_depth_is_bounded_where_numbers_are_read_exactly_too() -> None:
    body = b'{"n":1e19,"a":' + b"[" * 900 + b"]" * 900 + b"}"
    assert refusal(body).code == "body.too_deep"


def test_json_can_be_read_and_its_dollar_objects_left_as_they_stand() -> None:
    assert parse(b'{"$set":{"a.b":{"$oid":"x"}}}') == {"$set": {"a.b": {"$oid": "x"}}}
    for body in (b'{"a":1,"a":2}', b"[9223372036854775808]", b"NaN"):
        with pytest.raises(BodyError):
            parse(body)


# ---------------------------------------------------------------------------------- bad keys


@pytest.mark.parametrize(
    "key",
    ["", ".", "a.b", ".a", "a.", "$", "$a", "$set", "$where", "$oidd", "a\0", "\0", "$a.b", "$Oid"],
)
def test_a_key_that_a_query_could_not_name_again_is_refused(key: str) -> None:
    for document in ({key: 1}, {"x": 1, key: 1}, {"a": [{key: {}}]}, {key: {"$oid": OID}}):
        error = refusal(json.dumps(document).encode())
        assert error.code == "body.invalid_key"


@pytest.mark.parametrize(
    "key", ["a", "_id", "a$", "a$b", " ", "a b", "größe", "🚀", "0", "-", "a-b", "\n"]
)
def test_any_other_key_is_kept(key: str) -> None:
    assert loads(json.dumps({key: {key: 1}}).encode()) == {key: {key: 1}}


# ------------------------------------------------------------------- objects that look extended

BAD_WRAPPERS: list[str] = [
    # Values of the wrong type or form.
    '{"$oid":5}',
    '{"$oid":""}',
    f'{{"$oid":"{OID}0"}}',
    f'{{"$oid":"{OID[:-1]}g"}}',
    f'{{"$oid":"{OID[:2]} {OID[2:]}"}}',
    f'{{"$oid":"{OID[:22]}  "}}',
    f'{{"$oid":"{" ".join(OID[at : at + 2] for at in range(0, 24, 2))}"}}',
    f'{{"$oid":"{OID}\u3000"}}',
    f'{{"$oid":"{OID[:22]}\u3000\u3000"}}',
    f'{{"$oid":"{OID[:-1]}٣"}}',
    '{"$oid":null}',
    '{"$oid":["a"]}',
    '{"$date":null}',
    '{"$date":true}',
    '{"$date":1.5}',
    '{"$date":""}',
    '{"$date":"yesterday"}',
    '{"$date":"2021-11-01"}',
    '{"$date":"2021-02-30T00:00:00Z"}',
    '{"$date":"2021-11-01T09:30:60Z"}',
    '{"$date":"0000-01-01T00:00:00Z"}',
    '{"$date":"٢021-11-01T09:30:00Z"}',
    '{"$date":"2021-11-01T09:30:00Z\\n"}',
    '{"$date":" 2021-11-01T09:30:00Z"}',
    '{"$date":"0001-01-01T00:00:00+01:00"}',
    '{"$date":{"$numberLong":5}}',
    '{"$date":{"$numberLong":"5","x":1}}',
    '{"$date":{"$numberInt":"5"}}',
    '{"$date":{}}',
    '{"$numberInt":5}',
    '{"$numberInt":"5.0"}',
    '{"$numberInt":""}',
    '{"$numberInt":"+5"}',
    '{"$numberInt":" 5"}',
    '{"$numberInt":"٣"}',
    '{"$numberLong":5}',
    '{"$numberLong":"five"}',
    '{"$numberDouble":5}',
    '{"$numberDouble":"nan"}',
    '{"$numberDouble":"inf"}',
    '{"$numberDouble":"+Infinity"}',
    '{"$numberDouble":"1_0.0"}',
    '{"$numberDouble":"0x10"}',
    '{"$numberDouble":""}',
    '{"$numberDecimal":9.99}',
    '{"$numberDecimal":""}',
    '{"$numberDecimal":"x"}',
    '{"$numberDecimal":"1_0"}',
    '{"$numberDecimal":" 1"}',
    '{"$numberDecimal":"٣"}',
    '{"$binary":"AP8="}',
    '{"$binary":{"base64":"AP8="}}',
    '{"$binary":{"base64":"AP8","subType":"00"}}',
    '{"$binary":{"base64":"A!P8=","subType":"00"}}',
    '{"$binary":{"base64":"ä","subType":"00"}}',
    '{"$binary":{"base64":"AP8=","subType":"100"}}',
    '{"$binary":{"base64":"AP8=","subType":"x"}}',
    '{"$binary":{"base64":"AP8=","subType":0}}',
    '{"$binary":{"base64":"AP8=","subType":"00","x":1}}',
    '{"$uuid":"x"}',
    '{"$uuid":5}',
    '{"$regularExpression":"a"}',
    '{"$regularExpression":{"pattern":"a"}}',
    '{"$regularExpression":{"pattern":5,"options":""}}',
    '{"$regularExpression":{"pattern":"a","options":"g"}}',
    '{"$regularExpression":{"pattern":"a\\u0000","options":""}}',
    '{"$timestamp":5}',
    '{"$timestamp":{"t":1}}',
    '{"$timestamp":{"t":1,"i":-1}}',
    '{"$timestamp":{"t":true,"i":1}}',
    '{"$timestamp":{"t":1.0,"i":1}}',
    '{"$code":5}',
    '{"$code":"f()","$scope":5}',
    '{"$code":"f()","$scope":"x"}',
    '{"$code":"f()","$scope":true}',
    '{"$code":"f()","$scope":[1]}',
    '{"$code":"f()","$scope":[]}',
    '{"$code":"f()","$scope":null}',
    '{"$code":"f()","$scope":{"$oid":"6195b0eb829a2784b4459a7f"}}',
    '{"$ref":5,"$id":1}',
    '{"$ref":"c","$id":1,"$db":5}',
    '{"$symbol":5}',
    '{"$minKey":0}',
    '{"$minKey":true}',
    '{"$minKey":"1"}',
    '{"$maxKey":1.0}',
    '{"$maxKey":{}}',
    # Numbers out of the range of their type.
    '{"$numberInt":"99999999999"}',
    '{"$numberInt":"2147483648"}',
    '{"$numberLong":"9223372036854775808"}',
    '{"$numberDouble":"1e400"}',
    '{"$numberDecimal":"12345678901234567890123456789012345"}',
    '{"$numberDecimal":"1e6145"}',
    '{"$numberDecimal":"1e-6177"}',
    '{"$date":{"$numberLong":"9223372036854775808"}}',
    '{"$timestamp":{"t":4294967296,"i":1}}',
    # Keys that don't belong together.
    f'{{"$oid":"{OID}","x":1}}',
    f'{{"x":1,"$oid":"{OID}"}}',
    '{"$numberInt":"5","$numberLong":"5"}',
    '{"$ref":"c"}',
    '{"$id":1}',
    '{"$db":"x"}',
    '{"$scope":{}}',
]


@pytest.mark.parametrize("text", BAD_WRAPPERS)
def test_an_object_that_is_extended_json_only_almost_is_refused(text: str) -> None:
    error = refusal(extended(text))
    assert error.code == "body.invalid_value"
    assert error.field_errors is not None
    assert list(error.field_errors) == ["f"]


def test_a_reference_that_was_read_can_be_posted_back() -> None:
    reference = DBRef("c", 1, None, extra="x")
    assert_same(loads(dumps({"f": reference})), {"f": reference})


# ----------------------------------------------------------------------- the place of an error


@pytest.mark.parametrize(
    ("body", "field_errors"),
    [
        ('{"f":{"$oid":"x"}}', {"f": ...}),
        ('{"a":{"b":{"$oid":"x"}}}', {"a": {"b": ...}}),
        ('{"a":[1,{"$date":"x"}]}', {"a": {"1": ...}}),
        ('{"a":[[],[0,{"b":{"c.d":1}}]]}', {"a": {"1": {"1": {"b": ...}}}}),
        ('[{"a":1},{"a":{"":1}}]', {"1": {"a": ...}}),
        ('{"a":{"$code":"f","$scope":{"s":{"":1}}}}', {"a": {"s": ...}}),
    ],
)
def test_an_error_names_its_place(body: str, field_errors: dict[str, Any]) -> None:
    error = refusal(body.encode())
    assert _with_ellipsis(error.field_errors) == field_errors
    path = []
    place: Any = field_errors
    while isinstance(place, dict):
        ((part, place),) = place.items()
        path.append(part)
    assert f"(at {'.'.join(path)})" in error.detail


def _with_ellipsis(nested: Any) -> Any:
    """Put `...` where a list with one message stands."""
    if isinstance(nested, dict):
        return {key: _with_ellipsis(value) for key, value in nested.items()}
    (message,) = nested
    assert isinstance(message, str)
    assert message.endswith(".")
    return ...


# ------------------------------------------------------------------------------ round trips

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
KEYS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=".\0"), min_size=1, max_size=6
).filter(lambda key: not key.startswith("$"))
INTS = st.integers(-(2**63), 2**63 - 1)
MOMENTS = st.datetimes().map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, fold=0)
)
FAR_MOMENTS = (
    st.integers(253402300800000, 2**63 - 1) | st.integers(-(2**63), -62135596800001)
).map(DatetimeMS)
OIDS = st.binary(min_size=12, max_size=12).map(ObjectId)
OPTIONS = st.sets(st.sampled_from("imsx")).map("".join)
VALUES = st.one_of(
    st.none() | st.booleans() | INTS | st.floats() | TEXTS,
    st.sampled_from(["null", "NaN", "$oid", '"a":', MinKey(), MaxKey()]),
    OIDS,
    MOMENTS | FAR_MOMENTS,
    st.decimals(allow_nan=True, places=3, min_value=-(10**9), max_value=10**9).map(Decimal128),
    st.binary(max_size=8),
    st.builds(Binary, st.binary(max_size=8), st.integers(1, 255).filter(lambda kind: kind != 9)),
    st.builds(Regex, TEXTS.map(lambda text: text.replace("\0", "")), OPTIONS),
    st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.builds(Code, TEXTS, st.none() | st.dictionaries(KEYS, INTS | TEXTS | OIDS, max_size=2)),
    st.builds(DBRef, TEXTS, OIDS | INTS | TEXTS, st.none() | TEXTS),
)
DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(
        VALUES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(DOCUMENTS)
@settings(max_examples=150, deadline=None)
def test_what_was_read_can_be_posted_back_unchanged(document: dict[str, Any]) -> None:
    assert_same(loads(dumps(document)), document)


@given(DOCUMENTS)
@settings(max_examples=100, deadline=None)
def test_pymongo_reads_what_is_written(document: dict[str, Any]) -> None:
    assert_same(json_util.loads(dumps(document), json_options=READING), document)


@given(DOCUMENTS)
@settings(max_examples=100, deadline=None)
def test_canonical_extended_json_is_read_as_pymongo_reads_it(document: dict[str, Any]) -> None:
    text = json_util.dumps(document, json_options=json_util.CANONICAL_JSON_OPTIONS).encode()
    assert_same(loads(text), json_util.loads(text, json_options=READING))


# -------------------------------------------------------------------- any body, loaded or refused

DOLLARS = st.sampled_from(
    [
        *("$oid", "$date", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal"),
        *("$binary", "base64", "subType", "$uuid", "$regularExpression", "pattern", "options"),
        *("$timestamp", "t", "i", "$code", "$scope", "$ref", "$id", "$db", "$symbol"),
        *("$minKey", "$maxKey", "a", "", "a.b", "$set", "$where", "\0"),
    ]
)
ALMOST_EXTENDED = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([OID, "5", "NaN", "AP8=", "00", "2021-11-01T09:30:00Z", str(UUID), "1e400"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(DOLLARS, inner, max_size=3),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())
PIECES = st.lists(
    st.sampled_from(
        [
            *(b"{", b"}", b"[", b"]", b":", b",", b'"a"', b'"$oid"', b"1", b"-", b"e", b"."),
            *(b"null", b"NaN", b'"', b"\\", b"\\ud800", b" ", b"\xff", b"9" * 25),
            *(b"{" * 200, b"[" * 2000),
        ]
    ),
    max_size=20,
).map(b"".join)
DECODERS: list[Callable[[bytes], Any]] = [loads, parse]


@given(
    st.binary()
    | PIECES
    | ALMOST_EXTENDED
    | st.text().map(lambda text: text.encode("utf-8", "replace"))
)
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'{"$code":"","$scope":1}')
@settings(max_examples=250, deadline=None)
def test_any_bytes_load_or_are_refused(body: bytes) -> None:
    for decoder in DECODERS:
        try:
            decoder(body)
        except BodyError:
            continue


@given(ALMOST_EXTENDED)
@settings(max_examples=150, deadline=None)
def test_nothing_with_a_dollar_sign_in_front_is_left_in_what_was_loaded(body: bytes) -> None:
    try:
        stack = [loads(body)]
    except BodyError:
        return
    while stack:
        value = stack.pop()
        if type(value) is dict:
            assert all(key and not key.startswith("$") and "." not in key for key in value)
            stack.extend(value.values())
        elif type(value) is list:
            stack.extend(value)


# ------------------------------------------------------------------- read and decoded in one walk


def outcome(read: Callable[[], Any]) -> Any:
    """Return what tells apart all that can come of a body."""
    try:
        return repr(read())
    except BodyError as error:
        return error.status, error.code, error.detail, repr(error.field_errors)


def assert_one_walk_gives_the_same(body: bytes, *depth: int) -> bool:
    """Compare; return whether it was one walk."""
    expected = outcome(lambda: decode(parse(body, *depth)))
    walks = []

    def in_one_walk() -> Any:
        value, is_decoded = parse_decoded(body, *depth)
        walks.append(is_decoded)
        return value if is_decoded else decode(value)

    assert outcome(in_one_walk) == expected
    if walks and not walks[0]:
        # Nothing has been decoded already.
        assert outcome(lambda: parse_decoded(body, *depth)[0]) == outcome(
            lambda: parse(body, *depth)
        )
    return walks == [True]


SPACES = st.sampled_from(["", "", "", " ", "\n", "\t", "\r", "  ", "\r\n", "\n\t ", " \n"])
KEY_TEXTS = st.sampled_from(
    [
        *(r'"a"', r'"b"', r'"\u0061"', r'"_id"', r'"\":"', r'"x\u0022:"', r'"\\"', '"größe"'),
        *(r'"\u0000"', r'""', r'"a.b"', r'"$set"', r'"\u0024oid"', r'"base64"', r'"subType"'),
        *(f'"{name}"' for name in ("$oid", "$date", "$numberInt", "$numberLong", "$uuid")),
        *(f'"{name}"' for name in ("$numberDouble", "$numberDecimal", "$binary", "$code")),
        *(f'"{name}"' for name in ("$scope", "$ref", "$id", "$timestamp", "$minKey", "$symbol")),
    ]
)
WRAPPED_TEXTS = [
    *(OID, OID.upper(), OID[:-1], f"{OID[:-2]} {OID[-1]}", f" {OID[2:]} ", f"{OID[:-1]}\u0663"),
    *(f"{OID[:2]} {OID[2:]}", " ".join(OID[at : at + 2] for at in range(0, 24, 2))),
    *(OID[:22] + "\u3000" * 2, "\u3000" * 24, "٣" * 24, " " * 24, OID[:-1] + "g"),
    *("2021-11-01T09:30:00Z", "2021-11-01T09:30:00.123Z", "2021-11-01T09:30:00.123456Z"),
    *("2021-11-01T09:30:00+24:00", "0001-01-01T00:00:00Z", "0999-12-31T23:59:59.999Z"),
    *("9999-12-31T23:59:59.999Z", "0000-01-01T00:00:00Z", "2021-11-01T24:00:00Z"),
    *("2021-11-01T09:30:60Z", "2021-02-29T00:00:00Z", "٢021-11-01T09:30:00Z"),
    *("2021-11-01T09:30:00.1Z", "2021-11-01T09:30:00.123Z\n", "2021-11-01t09:30:00z"),
    *("2021-11-01T09:30", "2021-11-01", "0001-01-01T00:00:00+01:00", "2021-W44-1T00:00Z"),
    *("5", "-5", "+5", " 5", "5\n", "٣", "2147483648", "9223372036854775808", "1e400"),
    *("NaN", "Infinity", "-Infinity", "nan", "1.5", "1_0", "", "x", "1E-6177", "sNaN"),
]
SCALAR_TEXTS = st.sampled_from(
    [
        *("null", "true", "false", "0", "-0", "1", "-0.0", "1.5", "1e19", "-1e19", "1e400"),
        *("9223372036854775807", "9223372036854775808", "-9223372036854775808"),
        *("-9223372036854775809", "18446744073709551615", "18446744073709551616", "1" + "0" * 40),
        *("9223372036854775807.0", "9223372036854775808.0", "1e-400", "NaN", "-Infinity", "01"),
        *(r'""', r'"\":"', r'"a\u0022:"', r'"\ud800"', r'"\ud83d\ude80"', r'"\u0000"', '"é"'),
        *(r'"\"a\" :"', '"\t"', '"\udcff"'),
        *(json.dumps(text) for text in WRAPPED_TEXTS),
        *(json.dumps(text, ensure_ascii=False) for text in WRAPPED_TEXTS),
    ]
)


def spaced(spaces: list[str], *parts: str) -> str:
    return "".join(
        part + space for part, space in zip(parts, itertools.cycle(spaces), strict=False)
    )


@st.composite
def json_lists(draw: Any, inner: Any) -> str:
    items = draw(st.lists(inner, max_size=3))
    joined = [part for item in items for part in (",", item)][1:]
    return spaced(draw(st.lists(SPACES, min_size=1, max_size=4)), "[", *joined, "]")


@st.composite
def json_objects(draw: Any, inner: Any) -> str:
    pairs = draw(st.lists(st.tuples(KEY_TEXTS, inner), max_size=3))
    joined = [part for key, item in pairs for part in (",", key, ":", item)][1:]
    return spaced(draw(st.lists(SPACES, min_size=1, max_size=4)), "{", *joined, "}")


JSON_TEXTS = st.recursive(
    SCALAR_TEXTS, lambda inner: json_objects(inner) | json_lists(inner), max_leaves=8
)


@given(JSON_TEXTS, st.sampled_from([1, 2, 3, 4, MAX_DEPTH, MAX_DEPTH + 1, 10 * MAX_DEPTH]))
@example('{"a":1,"\\u0061":2}', 100)
@example('{"a"\r:1,"a"\r:1}', 100)
@example('{"a"\n:1,"a"\t:1}', 100)
@example(f'{{"a":{2**63},"b":{-(2**63) - 1}}}', 100)
@example(f'[{{"$oid":"{OID[:2]} {OID[2:]}"}}]', 100)
@example('{"a\\u0022:":1,"b":"\\":"}', 100)
@settings(max_examples=300, deadline=None)
def test_one_walk_gives_and_raises_what_two_do(text: str, depth: int) -> None:
    assert_one_walk_gives_the_same(text.encode("utf-8", "surrogateescape"), depth)


@given(st.binary() | PIECES | ALMOST_EXTENDED)
@settings(max_examples=200, deadline=None)
def test_one_walk_takes_any_bytes(body: bytes) -> None:
    assert_one_walk_gives_the_same(body)


@pytest.mark.parametrize("body", [*MALFORMED, *map(extended, BAD_WRAPPERS)])
def test_what_is_refused_is_refused_in_one_walk(body: bytes) -> None:
    assert not assert_one_walk_gives_the_same(body)


@pytest.mark.parametrize(("value", "text"), TYPES)
def test_each_type_is_read_in_one_walk(value: Any, text: str) -> None:
    assert_one_walk_gives_the_same(extended(text))
    assert_one_walk_gives_the_same(f"[{text}]".encode())
    assert_one_walk_gives_the_same(text.encode())


def test_what_is_usual_takes_one_walk_only() -> None:
    usual = {
        "_id": {"$oid": OID},
        "name": "x",
        "n": 5,
        "f": 0.5,
        "none": None,
        "yes": True,
        "in": {"a": [{"b": [1, "x"]}], "größe": {}},
        "tags": ["a", "b"],
        "at": {"$date": "2021-11-01T09:30:00.123Z"},
        "price": {"$numberDecimal": "9.99"},
    }
    for body in (usual, [usual] * 3):
        for separators in ((",", ":"), (", ", ": "), (" ,", " : ")):
            text = json.dumps(body, separators=separators, ensure_ascii=False)
            assert assert_one_walk_gives_the_same(text.encode())
    assert assert_one_walk_gives_the_same(json.dumps([usual], indent=2).encode())


INNERMOST = ["[]", "{}", "1", '["x"]', '[{"a":1}]', f'{{"$oid":"{OID}"}}', '{"$minKey":1}']


@pytest.mark.parametrize("innermost", INNERMOST)
@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_one_walk_goes_as_deep_as_two(opening: str, innermost: str) -> None:
    closing = opening.replace('"a":', "")[::-1].translate(str.maketrans("[{", "]}"))
    levels = len(closing)
    for limit in (4, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 3 * MAX_DEPTH):
        for depth in range(min(limit, MAX_DEPTH) // levels - 4, limit // levels + 4):
            body = opening * depth + innermost + closing * depth
            assert_one_walk_gives_the_same(body.encode(), limit)


# --------------------------------------------------------------------------- texts of date and time


class Moment(datetime):
    """A class of somebody's own, as some libraries have."""


@given(st.datetimes(timezones=st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=1)))))
@example(datetime(1, 1, 1))
@example(datetime(999, 12, 31, 23, 59, 59, 999))
@example(datetime(9999, 12, 31, 23, 59, 59, 999999))
@example(datetime(2021, 11, 1, 9, 30, 0, 1))
@example(datetime(1970, 1, 1, tzinfo=timezone(timedelta(hours=1))))
def test_a_date_and_time_is_written_to_the_millisecond(moment: datetime) -> None:
    try:
        utc = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        return
    expected = utc.isoformat(timespec="milliseconds" if utc.microsecond else "seconds") + "Z"
    own = Moment(*moment.timetuple()[:6], moment.microsecond, moment.tzinfo)
    assert datetime_text(moment) == datetime_text(own) == expected
    assert dumps([moment]) == dumps([own])
    if utc.year >= 1970:
        assert json.loads(dumps([moment])) == [{"$date": expected}]
