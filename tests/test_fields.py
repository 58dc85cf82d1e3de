"""Fields for BSON types: what they take, what they give, and what they refuse."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError

from falcorest import fields
from falcorest.fields import to_decimal128

OID = "6195b0eb829a2784b4459a7f"
FIELDS = (fields.ObjectId(), fields.Reference("users"), fields.Decimal128(), fields.Binary())


def load(field: Any, value: Any) -> Any:
    return Schema.from_dict({"value": field})().load({"value": value})["value"]


def dump(field: Any, value: Any) -> Any:
    return Schema.from_dict({"value": field})().dump({"value": value})["value"]


#: A field, what is sent, what is stored, and what is shown.
GOOD: list[tuple[Any, Any, Any, Any]] = [
    (fields.ObjectId(), OID, bson.ObjectId(OID), OID),
    (fields.ObjectId(), OID.upper(), bson.ObjectId(OID), OID),
    (fields.ObjectId(), bson.ObjectId(OID), bson.ObjectId(OID), OID),
    (fields.ObjectId(allow_none=True), None, None, None),
    (fields.Reference("users"), OID, bson.ObjectId(OID), OID),
    (fields.Reference("users"), {"id": OID}, bson.ObjectId(OID), OID),
    (fields.Reference("users"), {"id": OID, "name": "x"}, bson.ObjectId(OID), OID),
    (fields.Reference("users", allow_none=True), None, None, None),
    (fields.Decimal128(), "1.10", bson.Decimal128("1.10"), "1.10"),
    (fields.Decimal128(), "-0", bson.Decimal128("-0"), "-0"),
    (fields.Decimal128(), 5, bson.Decimal128("5"), "5"),
    (fields.Decimal128(), 0.1, bson.Decimal128("0.1"), "0.1"),
    (fields.Decimal128(), "1E+6000", bson.Decimal128("1E+6000"), "1E+6000"),
    (fields.Decimal128(), "9" * 34, bson.Decimal128("9" * 34), "9" * 34),
    (fields.Decimal128(), Decimal("2.50"), bson.Decimal128("2.50"), "2.50"),
    (fields.Decimal128(allow_none=True), None, None, None),
    (fields.Binary(), "", b"", ""),
    (fields.Binary(), "aGk=", b"hi", "aGk="),
    (fields.Binary(), "+/8=", b"\xfb\xff", "+/8="),
    (fields.Binary(allow_none=True), None, None, None),
]


@pytest.mark.parametrize(("field", "sent", "stored", "shown"), GOOD)
def test_a_value_is_stored_as_bson_has_it_and_shown_as_json(
    field: Any, sent: Any, stored: Any, shown: Any
) -> None:
    loaded = load(field, sent)
    assert loaded == stored
    assert type(loaded) is type(stored)
    assert dump(field, stored) == shown
    assert bson.decode(bson.encode({"value": loaded}))["value"] == stored


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        *(
            (field, wrong)
            for field in (fields.ObjectId(), fields.Reference("users"))
            for wrong in (
                *("", "x", OID[:-1], f"{OID}0", f" {OID}", f"{OID}\n", "६195b0eb829a2784b4459a7f"),
                *(5, True, b"x" * 12, [], [OID], {}, {"$oid": OID}, {"_id": OID}, None),
            )
        ),
        (fields.ObjectId(), {"id": OID}),
        (fields.Reference("users"), {"id": None}),
        (fields.Reference("users"), {"id": {"id": OID}}),
        (fields.Reference("users"), f"/users/{OID}"),
        *(
            (fields.Decimal128(), wrong)
            for wrong in (
                *("", "x", "1,5", "1" * 35, "0." + "1" * 35, "1e7000", "1e-7000", "--1", "0x1"),
                *("1_0", " 1", "1\n", "١", True, False, None, [], {}, {"$numberDecimal": "1"}),
            )
        ),
        *(
            (fields.Binary(), wrong)
            for wrong in (
                *("a", "aGk", "%", "aGk=\n", "aG k=", "aGk-", "é", 5, True, None, [], {}),
                {"$binary": {"base64": "aGk=", "subType": "00"}},
            )
        ),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "deserialize") else repr(value)[:40],
)
def test_a_value_that_is_none_is_refused(field: Any, wrong: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        load(field, wrong)
    ((name, messages),) = caught.value.messages_dict.items()
    assert name == "value"
    assert all(isinstance(message, str) and message.endswith(".") for message in messages)


def test_a_reference_says_what_it_points_into() -> None:
    field = fields.Reference("users", required=True, attribute="a")
    assert (field.collection, field.required, field.attribute) == ("users", True, "a")
    assert isinstance(field, fields.ObjectId)


def test_a_reference_may_be_what_a_related_resource_shows() -> None:
    field = fields.Reference("users")
    field.id_name = "key"
    field.uri_prefix = "/api/users"
    for sent in (OID, {"key": OID, "name": "x"}, f"/api/users/{OID}", f"/api/users/{OID}/"):
        assert load(field, sent) == bson.ObjectId(OID)
    for wrong in ({"id": OID}, f"/api/posts/{OID}", f"/{OID}/x", "/api/users/"):
        with pytest.raises(ValidationError):
            load(field, wrong)


def test_bytes_of_any_subtype_are_shown() -> None:
    assert dump(fields.Binary(), bson.Binary(b"hi", 128)) == "aGk="
    assert dump(fields.Binary(), bson.Binary(b"hi" * 8, 4)) == "aGlo" + "aWhpaGlo" * 2 + "aQ=="


@given(st.binary())
def test_all_bytes_come_back(value: bytes) -> None:
    field = fields.Binary()
    assert load(field, dump(field, value)) == value


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_stored_exactly_or_refused(value: Decimal) -> None:
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).rstrip("0") or "0"
    exponent += len(digits) - len(text)
    # NOTE: a large exponent is made smaller with zeros, up to 34 digits.
    fits = len(text) <= 34 and -6176 <= exponent <= 6111 + 34 - len(text)
    if fits or text == "0":
        assert to_decimal128(value).to_decimal() == value
    else:
        with pytest.raises(ValidationError):
            to_decimal128(value)


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_special_decimals_are_what_mongodb_has(text: str) -> None:
    stored = to_decimal128(Decimal(text))
    assert str(stored) == ("NaN" if text == "sNaN" else text) or stored.to_decimal().is_snan()


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())


@given(
    st.one_of(
        SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(st.text(), SCALARS, max_size=2)
    )
)
def test_any_json_is_a_value_or_is_refused(value: Any) -> None:
    for field in FIELDS:
        with suppress(ValidationError):
            loaded = load(field, value)
            bson.encode({"value": loaded})
            assert isinstance(dump(field, loaded), str)
