"""JSON with BSON's types: relaxed Extended JSON v2 in and out.

Source: https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/

Reading is strict where JSON libraries are lenient: a key that stands twice, an integer beyond
64 bits, ``NaN``, a number out of the range of its type, and keys that MongoDB would store but
that a query can't name again (empty, dotted, ``$`` in front, NUL) are errors that name the place.
"""

from __future__ import annotations

from falcorest.bson_json.decoding import (
    INT32,
    INT64,
    ISO_DATETIME,
    MAX_DEPTH,
    WRAPPER_KEYS,
    decode,
    is_key,
    too_deep,
)
from falcorest.bson_json.parsing import loads, parse, parse_decoded
from falcorest.bson_json.writing import OPTIONS, datetime_text, dumps, encode

__all__ = [
    "INT32",
    "INT64",
    "ISO_DATETIME",
    "MAX_DEPTH",
    "OPTIONS",
    "WRAPPER_KEYS",
    "datetime_text",
    "decode",
    "dumps",
    "encode",
    "is_key",
    "loads",
    "parse",
    "parse_decoded",
    "too_deep",
]
