"""Plain JSON: BSON's types as what people expect, for clients that know nothing of MongoDB.

Ids are hexadecimal text, dates ISO 8601 in UTC, decimals text, binary data base64, UUIDs as they
are written, and ``NaN`` and infinities ``null``. What is none of these stays Extended JSON.
Nothing tells any more what was a text before, so it can't be read back: bodies are Extended JSON.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from bson import Binary, Decimal128, ObjectId
from bson.binary import UUID_SUBTYPE

from falcorest import bson_json


def dumps(value: Any) -> bytes:
    """Return a value as plain JSON, UTF-8.

    Args:
        value: A document, a list of documents, or anything that is found in one.
    """
    return orjson.dumps(value, encode, bson_json.OPTIONS)


def encode(value: Any) -> Any:
    """Return the plain JSON of a value that JSON lacks.

    Raises:
        TypeError: There is none.
    """
    # PERF: every document has an _id.
    if type(value) is ObjectId:
        return str(value)
    encoder = ENCODERS.get(type(value))
    return bson_json.encode(value) if encoder is None else encoder(value)


def _binary_text(value: bytes) -> str:
    if isinstance(value, Binary) and value.subtype == UUID_SUBTYPE and len(value) == 16:
        return str(uuid.UUID(bytes=bytes(value)))
    return base64.b64encode(value).decode("ascii")


#: What is written as text, and how.
ENCODERS: dict[type, Callable[[Any], str]] = {
    ObjectId: str,
    datetime: bson_json.datetime_text,
    Decimal128: str,
    bytes: _binary_text,
    Binary: _binary_text,
}
