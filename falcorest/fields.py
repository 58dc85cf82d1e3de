"""marshmallow fields for BSON types that marshmallow has none for."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import bson
from marshmallow import ValidationError
from marshmallow.fields import Field

_OID = re.compile(r"[0-9a-fA-F]{24}")


class ObjectId(Field[bson.ObjectId]):
    """An ObjectId; in JSON 24 hexadecimal digits."""

    default_error_messages = {"invalid": "Not a valid ObjectId."}

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else str(value)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bson.ObjectId:
        if isinstance(value, bson.ObjectId):
            return value
        if not isinstance(value, str) or _OID.fullmatch(value) is None:
            raise self.make_error("invalid")
        return bson.ObjectId(value)


class Reference(ObjectId):
    """The ObjectId of a document in another collection.

    In JSON it is the id, as 24 hexadecimal digits. A body may also hold what a related resource
    shows in its place, an object with an ``id`` or a URL, so that what was read can be sent back.

    Attributes:
        id_name: The name of the id in such an object.
        uri_prefix: What stands before the id in such a URL.

    Args:
        collection: The collection that it points into.
        **kwargs: Those of every marshmallow field.
    """

    id_name: str = "id"
    uri_prefix: str | None = None

    def __init__(self, collection: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collection = collection

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bson.ObjectId:
        if isinstance(value, Mapping) and self.id_name in value:
            value = value[self.id_name]
        if self.uri_prefix is not None and isinstance(value, str):
            value = value.removeprefix(self.uri_prefix).strip("/")
        return super()._deserialize(value, attr, data, **kwargs)


class Decimal128(Field[bson.Decimal128]):
    """A decimal of up to 34 digits, as MongoDB has it; in JSON a string.

    marshmallow's own ``Decimal`` is stored as the same type, and is ``decimal.Decimal`` in
    between.
    """

    default_error_messages = {"invalid": "Not a valid decimal of up to 34 digits."}

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else str(value)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bson.Decimal128:
        if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
            raise self.make_error("invalid")
        text = str(value)
        # NOTE: decimal.Decimal takes "1_0", spaces, and digits of any script.
        if not text.isascii() or "_" in text or text != text.strip():
            raise self.make_error("invalid")
        try:
            return to_decimal128(Decimal(text))
        except InvalidOperation as error:
            raise self.make_error("invalid") from error


class Binary(Field[bytes]):
    """Bytes; in JSON base64 (RFC 4648, section 4)."""

    default_error_messages = {"invalid": "Not valid base64."}

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else base64.b64encode(value).decode("ascii")

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bytes:
        try:
            return base64.b64decode(value, validate=True)
        except (TypeError, ValueError, binascii.Error) as error:
            raise self.make_error("invalid") from error


def to_decimal128(value: Decimal) -> bson.Decimal128:
    """Return a decimal as MongoDB stores it.

    Raises:
        ValidationError: It has more than 34 digits, or its exponent is out of range.
    """
    try:
        stored = bson.Decimal128(value)
    except (ArithmeticError, ValueError) as error:
        raise ValidationError("A decimal may have 34 digits at the most.") from error
    if value.is_finite() and stored.to_decimal() != value:
        raise ValidationError("A decimal may have 34 digits at the most.")
    return stored
