"""Type hints: what each accepts and what it becomes; ids in paths."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from falcorest.errors import QueryError
from falcorest.hints import HINTS, find_hint, format_id, parse_id, parse_literal
from tests.conftest import MakeApi

OID = "6195b0eb829a2784b4459a7f"

ACCEPTED: dict[str, list[tuple[str, Any]]] = {
    "int": [
        ("0", 0),
        ("-0", 0),
        ("50", 50),
        ("-50", -50),
        ("007", 7),
        ("2147483648", 2147483648),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("0" * 5000 + "5", 5),
    ],
    "float": [
        ("0", 0.0),
        ("2.5", 2.5),
        ("-2.5", -2.5),
        ("1e3", 1000.0),
        ("1.5E-3", 0.0015),
        ("1e308", 1e308),
        ("-0.0", -0.0),
        ("5", 5.0),
    ],
    "bool": [("true", True), ("false", False)],
    "str": [("", ""), ("a b", "a b"), ("[int].5", "[int].5"), ("\0", "\0"), ("größe", "größe")],
    "date": [
        ("2021-11-01", datetime(2021, 11, 1)),
        ("0001-01-01", datetime(1, 1, 1)),
        ("9999-12-31", datetime(9999, 12, 31)),
        ("2024-02-29", datetime(2024, 2, 29)),
    ],
    "datetime": [
        ("2021-11-01T09:30:00", datetime(2021, 11, 1, 9, 30)),
        ("2021-11-01T09:30", datetime(2021, 11, 1, 9, 30)),
        ("2021-11-01T09:30:00Z", datetime(2021, 11, 1, 9, 30)),
        ("2021-11-01T09:30:00+02:00", datetime(2021, 11, 1, 7, 30)),
        ("2021-11-01T23:30:00-05:30", datetime(2021, 11, 2, 5, 0)),
        ("2021-11-01T09:30:00.123", datetime(2021, 11, 1, 9, 30, 0, 123000)),
        ("2021-11-01T09:30:00.123999Z", datetime(2021, 11, 1, 9, 30, 0, 123000)),
        ("20211101T093000Z", datetime(2021, 11, 1, 9, 30)),
        ("1969-12-31T23:59:59.999", datetime(1969, 12, 31, 23, 59, 59, 999000)),
    ],
    "time": [
        ("09:30:00", "09:30:00"),
        ("09:30", "09:30:00"),
        ("00:00:00", "00:00:00"),
        ("23:59:59.5", "23:59:59.500000"),
        ("23:59:59.123456", "23:59:59.123456"),
    ],
    "timedelta": [
        ("90", 90.0),
        ("1.5", 1.5),
        ("-1.5", -1.5),
        ("0", 0.0),
        ("PT1H30M", 5400.0),
        ("PT90S", 90.0),
        ("PT0.5S", 0.5),
        ("P1D", 86400.0),
        ("P1W", 604800.0),
        ("P1DT12H", 129600.0),
        ("P1DT1H1M1.5S", 90061.5),
        ("-PT30S", -30.0),
    ],
    "oid": [(OID, ObjectId(OID)), (OID.upper(), ObjectId(OID))],
    "decimal": [
        ("9.99", Decimal128("9.99")),
        ("9.990", Decimal128("9.990")),
        ("-0", Decimal128("-0")),
        ("1E+3", Decimal128("1E+3")),
        ("1" * 34, Decimal128("1" * 34)),
        ("1E6144", Decimal128("1E6144")),
    ],
    "null": [("", None)],
}

REFUSED: dict[str, list[str]] = {
    "int": [
        "",
        "-",
        "+5",
        "5.0",
        "1e3",
        "0x10",
        "1_000",
        " 5",
        "5 ",
        "5\n",
        "--5",
        "five",
        "٣",
        "9223372036854775808",
        "-9223372036854775809",
        "9" * 5000,
    ],
    "float": [
        "",
        ".",
        "-",
        "nan",
        "NaN",
        "inf",
        "-Infinity",
        "1e400",
        "-1e400",
        "1_0.0",
        "0x1p3",
        "1,5",
        " 1",
        "1\n",
        "1e",
        "٣.٥",
    ],
    "bool": ["", "True", "FALSE", "1", "0", "yes", "t", "true "],
    "str": [],
    "date": [
        "",
        "2021-11",
        "2021-11-1",
        "20211101",
        "2021-W44-1",
        "2021-02-30",
        "2021-13-01",
        "0000-01-01",
        "10000-01-01",
        "2021-11-01T00:00",
        "01.11.2021",
        " 2021-11-01",
        "٢٠٢١-11-01",
    ],
    "datetime": [
        "",
        "yesterday",
        "2021-11-01T25:00",
        "2021-02-30T00:00",
        "2021-11-01T09:30:00 02:00",
        "2021-11-01x09:30:00",
        "2021-11-01🚀09:30:00",
        "2021-11-01T09:30:00\n",
        "1635759000",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2021-11-01T09:30:00+25:00",
    ],
    "time": ["", "9:30", "25:00", "09:60", "09:30:61", "09:30:00Z", "09:30+02:00", "noon", "٠٩:30"],
    "timedelta": [
        "",
        "P",
        "PT",
        "-P",
        "P1DT",
        "P1Y",
        "P1M",
        "PT1D",
        "1h",
        "PT1M1H",
        "pt1h",
        "PT-1H",
        "nan",
        "inf",
        "1e400",
        "P99999999999D",
        "PT" + "9" * 400 + "S",
        "1:30",
        "PT٣S",
    ],
    "oid": ["", OID[:-1], OID + "0", OID[:-1] + "g", " " + OID[1:], "0x" + OID[2:]],
    "decimal": [
        "",
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "1" * 35,
        "1E6145",
        "1E-6177",
        "1e9999999",
        "1_0",
        " 1",
        "1,5",
        "٣",
        "x",
    ],
    "null": ["null", "None", " ", "0"],
}


def assert_same(found: Any, expected: Any) -> None:
    """Compare values with their types: 1 is neither 1.0 nor true."""
    assert repr(found) == repr(expected)


def test_the_hints_are_those_of_the_contract() -> None:
    assert set(HINTS) == set(ACCEPTED) == set(REFUSED)
    assert [hint.name for hint in HINTS.values()] == list(HINTS)


@pytest.mark.parametrize(
    ("hint", "literal", "value"),
    [(hint, literal, value) for hint, pairs in ACCEPTED.items() for literal, value in pairs],
)
def test_a_literal_that_fits_becomes_a_value_of_its_type(
    hint: str, literal: str, value: Any
) -> None:
    assert_same(parse_literal(HINTS[hint], literal, parameter="n"), value)


@pytest.mark.parametrize(
    ("hint", "literal"), [(hint, literal) for hint, texts in REFUSED.items() for literal in texts]
)
def test_a_literal_that_does_not_fit_is_refused(hint: str, literal: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_literal(HINTS[hint], literal, parameter="n")
    assert (caught.value.code, caught.value.parameter) == ("query.invalid_value", "n")
    assert f"[{hint}]" in caught.value.detail
    assert HINTS[hint].accepts in caught.value.detail


@pytest.mark.parametrize("name", HINTS)
def test_the_example_in_the_docs_is_a_literal_that_fits(name: str) -> None:
    hint = HINTS[name]
    parse_literal(hint, hint.example, parameter="n")
    assert hint.accepts
    assert hint.value


@pytest.mark.parametrize("name", HINTS)
def test_there_is_a_list_of_every_hint_but_null(name: str) -> None:
    assert find_hint(name, parameter="n") == (HINTS[name], False)
    if name != "null":
        assert find_hint(f"list-{name}", parameter="n") == (HINTS[name], True)


@pytest.mark.parametrize(
    "name", ["", "list-", "list", "list-null", "list-list-int", "Int", "integer", " int", "int "]
)
def test_an_unknown_hint_is_refused(name: str) -> None:
    with pytest.raises(QueryError) as caught:
        find_hint(name, parameter="n")
    assert (caught.value.code, caught.value.parameter) == ("query.unknown_hint", "n")


@given(
    st.sampled_from(sorted(HINTS)), st.text() | st.text("0123456789-+:.TPZWDHMSeE,_ ", max_size=25)
)
@example("int", "9" * 5000)
@settings(max_examples=200, deadline=None)
def test_any_literal_has_a_value_or_is_refused(hint: str, literal: str) -> None:
    try:
        value = parse_literal(HINTS[hint], literal, parameter="n")
    except QueryError:
        return
    kinds = {"int": int, "float": float, "bool": bool, "date": datetime, "datetime": datetime}
    kinds |= {"time": str, "str": str, "timedelta": float, "oid": ObjectId, "decimal": Decimal128}
    assert type(value) is kinds.get(hint, type(None))


# ------------------------------------------------------------------------------- ids in paths

#: Path segments and the ids that they name.
IDS: list[tuple[str, Any]] = [
    (OID, ObjectId(OID)),
    (OID.upper(), ObjectId(OID)),
    ("falcon-9", "falcon-9"),
    ("5", "5"),
    ("true", "true"),
    (OID[:-1], OID[:-1]),
    (OID + "0", OID + "0"),
    ("a/b/c", "a/b/c"),
    ("größe", "größe"),
    ("[int]5", "[int]5"),
    ("[int", "[int"),
    ("eq[int].5", "eq[int].5"),
    ("[int].5", 5),
    ("[int].-5", -5),
    ("[float].2.5", 2.5),
    ("[bool].true", True),
    ("[bool].false", False),
    ("[null].", None),
    ("[str].5", "5"),
    ("[str].", ""),
    (f"[str].{OID}", OID),
    ("[str].[int].5", "[int].5"),
    ("[str].a\nb", "a\nb"),
    (f"[oid].{OID}", ObjectId(OID)),
    ("[date].2021-11-01", datetime(2021, 11, 1)),
    ("[datetime].2021-11-01T09:30:00", datetime(2021, 11, 1, 9, 30)),
    ("[decimal].9.99", Decimal128("9.99")),
    ("[timedelta].PT1M", 60.0),
    ("[time].09:30", "09:30:00"),
]


@pytest.mark.parametrize(("segment", "value"), IDS)
def test_a_path_segment_names_an_id(segment: str, value: Any) -> None:
    assert_same(parse_id(segment), value)


@pytest.mark.parametrize(
    "segment",
    [
        "[int].x",
        "[int].",
        "[integer].5",
        "[].5",
        "[list-int].[5]",
        "[null].x",
        "[bool].1",
        "[$where].1",
        "[oid].5",
        "[list-].[]",
        "[int].99999999999999999999",
    ],
)
def test_an_id_that_can_not_be_read_is_refused(segment: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_id(segment)
    assert (caught.value.code, caught.value.status) == ("id.invalid", 400)
    assert caught.value.parameter == "id"


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
TRICKY = st.sampled_from(
    [segment for segment, _ in IDS]
    + [
        "",
        "/",
        "//",
        "a/",
        "/a",
        "a//b",
        ".",
        "..",
        "../x",
        "?",
        "a?b#c",
        "%",
        "%2F",
        "%5Bint%5D.5",
    ]
    + ["[", "]", "[]", "[].", "[str].", "[nope].x", " ", "a b", "a+b", "🚀", "\0", "\n", "a.b"]
)
DECIMALS = st.builds(
    lambda sign, digits, exponent: Decimal128(Decimal((sign, digits, exponent))),
    st.integers(0, 1),
    st.lists(st.integers(0, 9), min_size=1, max_size=34).map(tuple),
    st.integers(-6000, 6000),
)
MOMENTS = st.datetimes().map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, fold=0)
)
NAMEABLE = st.one_of(
    TEXTS,
    TRICKY,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.binary(min_size=12, max_size=12).map(bytes.hex),
    MOMENTS,
    DECIMALS,
)


@given(NAMEABLE)
@settings(max_examples=250, deadline=None)
def test_the_path_segment_of_an_id_leads_back_to_it(identity: Any) -> None:
    segment = format_id(identity)
    assert segment is not None
    assert_same(parse_id(unquote(segment)), identity)


@given(NAMEABLE)
@settings(max_examples=150, deadline=None)
def test_the_path_segment_of_an_id_stays_one_segment_of_a_url(identity: Any) -> None:
    segment = format_id(identity)
    assert segment
    assert re.fullmatch(r"(%[0-9A-F]{2}|[\w\[\]:@!$&'()*+,;=~.-])+", segment, re.ASCII)


@pytest.mark.parametrize("identity", [".", ".."])
def test_the_path_segment_of_an_id_is_none_that_clients_take_out(identity: str) -> None:
    # A client resolves dot segments before it sends a request, percent-encoded ones too.
    assert format_id(identity) not in {".", "..", "%2E", "%2E%2E"}


@pytest.mark.parametrize(
    ("identity", "segment"),
    [
        (ObjectId(OID), OID),
        ("falcon-9", "falcon-9"),
        ("5", "5"),
        (OID, f"%5Bstr%5D.{OID}"),
        ("[int].5", "%5Bstr%5D.%5Bint%5D.5"),
        ("", "%5Bstr%5D."),
        ("a/b", "a%2Fb"),
        ("a b", "a%20b"),
        ("ä", "%C3%A4"),
        (5, "%5Bint%5D.5"),
        (Int64(5), "%5Bint%5D.5"),
        (2.5, "%5Bfloat%5D.2.5"),
        (True, "%5Bbool%5D.true"),
        (None, "%5Bnull%5D."),
        (Decimal128("9.99"), "%5Bdecimal%5D.9.99"),
        (datetime(2021, 11, 1, 9, 30), "%5Bdatetime%5D.2021-11-01T09:30:00"),
    ],
)
def test_the_path_segment_of_an_id_is_one_of_a_uri(identity: Any, segment: str) -> None:
    assert format_id(identity) == segment


@pytest.mark.parametrize(
    "identity",
    [
        b"bytes",
        Binary(b"0123456789abcdef", 4),
        {"a": 1},
        float("nan"),
        float("inf"),
        Decimal128("NaN"),
        Decimal128("Infinity"),
        DatetimeMS(2**60),
    ],
)
def test_an_id_that_no_path_can_name_has_no_segment(identity: Any) -> None:
    assert format_id(identity) is None


@pytest.mark.parametrize(
    "identity",
    [
        "a",
        "a/b",
        "a//b",
        "/a",
        "a/",
        "a//",
        "/",
        "..",
        "a b",
        "a+b",
        "%2F",
        "ä",
        "[int].5",
        OID,
        "",
        5,
        2.5,
        True,
        None,
    ],
)
def test_the_location_of_a_new_document_leads_to_it(make_api: MakeApi, identity: Any) -> None:
    api = make_api("mongomock://")
    location = api("POST", "/api/rockets", {"_id": identity}).headers["location"]
    assert api.get(location).json == {"_id": identity}
