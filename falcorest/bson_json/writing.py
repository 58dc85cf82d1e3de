"""Writing: documents as relaxed Extended JSON."""

from __future__ import annotations

import base64
import math
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import orjson
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

_EPOCH = datetime(1970, 1, 1)
#: PERF: what isoformat() gives, in quotes, in a third of the time; a kind of its own is refused.
_written = orjson.dumps


def dumps(value: Any) -> bytes:
    """Return a value as relaxed Extended JSON, UTF-8.

    Args:
        value: A document, a list of documents, or anything that is found in one.
    """
    text = orjson.dumps(value, encode, OPTIONS)
    # PERF: orjson writes NaN and infinities as null, so only a text with a null in it can
    # hold one, and only then is the value searched. From the right, bytes are searched in a
    # third of the time.
    if text.rfind(b"null") >= 0 and _has_non_finite(value):
        return orjson.dumps(_spell_non_finite(value), encode, OPTIONS)
    return text


#: What orjson leaves to :func:`encode`.
OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def _has_non_finite(value: Any) -> bool:
    containers: list[Any] = [[value]]
    # NOTE: the list grows while it is gone through.
    for container in containers:
        for item in container.values() if type(container) is dict else container:
            kind = type(item)
            if kind is float:
                if not math.isfinite(item):
                    return True
            elif kind is dict or kind is list:
                containers.append(item)
    return False


def _spell_non_finite(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _spell_non_finite(item) for key, item in value.items()}
    if kind is list:
        return [_spell_non_finite(item) for item in value]
    if kind is float and not math.isfinite(value):
        return {"$numberDouble": _double(value)}
    return value


def _double(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def encode(value: Any) -> Any:
    """Return the Extended JSON of a value that JSON lacks.

    Raises:
        TypeError: There is none.
    """
    # PERF: every document has an _id, and many have dates.
    of = type(value)
    if of is ObjectId:
        return {"$oid": str(value)}
    if of is datetime and value.tzinfo is None and value.year >= 1970:
        return {"$date": _written(value)[1 : -4 if value.microsecond else -1].decode() + "Z"}
    encoder = _ENCODERS.get(of)
    if encoder is None:
        for kind, encoder in _ENCODERS.items():
            if isinstance(value, kind):
                return encoder(value)
        raise TypeError(f"no Extended JSON for {type(value).__name__}")
    return encoder(value)


def _encode_datetime(value: datetime) -> dict[str, Any]:
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    if value.year >= 1970:
        return {"$date": _milliseconds(value)}
    return {"$date": {"$numberLong": str((value - _EPOCH) // timedelta(milliseconds=1))}}


def datetime_text(value: datetime) -> str:
    """Return a date and time as ISO 8601, in UTC; a naive one is UTC."""
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return _milliseconds(value)


def _milliseconds(value: datetime) -> str:
    if type(value) is datetime:
        return _written(value)[1 : -4 if value.microsecond else -1].decode() + "Z"
    return value.isoformat(timespec="milliseconds" if value.microsecond else "auto") + "Z"


def _encode_binary(value: bytes) -> dict[str, Any]:
    subtype = value.subtype if isinstance(value, Binary) else 0
    text = base64.b64encode(value).decode("ascii")
    return {"$binary": {"base64": text, "subType": f"{subtype:02x}"}}


def _encode_regex(value: Regex[Any]) -> dict[str, Any]:
    pattern = value.pattern
    if isinstance(pattern, bytes):
        pattern = pattern.decode("utf-8", "replace")
    letters = zip("ilmsux", (2, 4, 8, 16, 32, 64), strict=True)
    options = "".join(letter for letter, flag in letters if value.flags & flag)
    return {"$regularExpression": {"pattern": pattern, "options": options}}


def _encode_code(value: Code) -> dict[str, Any]:
    code = {"$code": str(value)}
    if value.scope is None:
        return code
    return {**code, "$scope": _spell_non_finite(dict(value.scope))}


_ENCODERS: dict[type, Callable[[Any], Any]] = {
    ObjectId: lambda value: {"$oid": str(value)},
    datetime: _encode_datetime,
    Int64: int,
    Decimal128: lambda value: {"$numberDecimal": str(value)},
    DatetimeMS: lambda value: {"$date": {"$numberLong": str(int(value))}},
    bytes: _encode_binary,
    Regex: _encode_regex,
    re.Pattern: lambda value: _encode_regex(Regex.from_native(value)),
    Timestamp: lambda value: {"$timestamp": {"t": value.time, "i": value.inc}},
    Code: _encode_code,
    DBRef: lambda value: _spell_non_finite(dict(value.as_doc())),
    MinKey: lambda value: {"$minKey": 1},
    MaxKey: lambda value: {"$maxKey": 1},
    # NOTE: what isn't stored, but may be what a schema or a hook shows.
    Decimal: str,
    date: date.isoformat,
    time: time.isoformat,
    timedelta: timedelta.total_seconds,
    uuid.UUID: str,
    Mapping: dict,
    str: str.__str__,
    int: int,
    float: float,
}
