"""Decoding: parsed JSON as what is stored, Extended JSON as the values it stands for."""

from __future__ import annotations

import base64
import binascii
import math
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import DecimalException
from typing import Any, NoReturn

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from falcorest.errors import BodyError
from falcorest.limits import Limits

#: How deep MongoDB nests.
MAX_DEPTH = Limits.max_body_depth

INT32 = range(-(2**31), 2**31)
INT64 = range(-(2**63), 2**63)

#: The ISO 8601 forms of a date and time; ``fromisoformat`` takes any separator.
ISO_DATETIME = re.compile(r"[0-9W-]+([T ][0-9:.,Z+-]+)?")

_USUAL_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3})?Z")
_EPOCH = datetime(1970, 1, 1)


def too_deep(max_depth: int = MAX_DEPTH) -> BodyError:
    """Return the error for a body that is nested too deeply."""
    return BodyError("body.too_deep", f"The body is nested more than {max_depth} levels deep.")


class _Invalid(Exception):
    """Something that can't be stored; the path to it grows on the way up."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.path: list[str | int] = []


def decode(value: Any, depth: int = 1) -> Any:
    """Turn parsed JSON into what is stored: Extended JSON objects into values, keys checked.

    The value is changed in place where that is possible.

    Args:
        value: A document, or a part of one.
        depth: The level of the document on which it is; 1 is the document itself.

    Raises:
        BodyError: Names the place of what is wrong.
    """
    kind = type(value)
    if kind is not dict and kind is not list:
        return value
    try:
        return _decode(value, depth)
    except _Invalid as error:
        path = [str(part) for part in reversed(error.path)]
        place = f" (at {'.'.join(path)})" if path else ""
        nested: Any = [error.reason]
        for part in reversed(path):
            nested = {part: nested}
        raise BodyError(
            error.code,
            error.reason + place,
            field_errors=nested if path else None,
        ) from error


def _decode(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise too_deep()
    if type(value) is list:
        for index, item in enumerate(value):
            kind = type(item)
            if kind is dict or kind is list:
                try:
                    value[index] = _decode(item, depth + 1)
                except _Invalid as error:
                    error.path.append(index)
                    raise
        return value
    for key, item in value.items():
        # PERF: an identifier is a good key, and most keys are identifiers.
        if not key.isidentifier() and not is_key(key):
            if key.startswith("$"):
                return _decode_wrapper(value, depth)
            raise _Invalid("body.invalid_key", _key_reason(key))
        kind = type(item)
        if kind is dict or kind is list:
            try:
                value[key] = _decode(item, depth + 1)
            except _Invalid as error:
                error.path.append(key)
                raise
    return value


def is_key(key: str) -> bool:
    """Tell whether a key may be stored."""
    return bool(key) and key[0] != "$" and "." not in key and "\0" not in key


def _key_reason(key: str) -> str:
    if not key:
        return "A key is empty."
    if "\0" in key:
        return f"The key {key!r} holds NUL."
    return f"The key {key!r} holds a dot; a key names one field, not a path."


def _decode_wrapper(value: dict[str, Any], depth: int) -> Any:
    keys = ("$id", "$ref") if "$id" in value and "$ref" in value else tuple(sorted(value))
    decoder = _DECODERS.get(keys)
    if decoder is None:
        dollar = next(key for key in value if key.startswith("$"))
        if dollar in WRAPPER_KEYS:
            raise _Invalid(
                "body.invalid_value", f"The Extended JSON of {dollar} has other keys than it may."
            )
        raise _Invalid("body.invalid_key", f"The key {dollar!r} starts with a dollar sign.")
    try:
        return decoder(value, depth)
    except (ValueError, TypeError, OverflowError, DecimalException, binascii.Error) as error:
        raise _Invalid(
            "body.invalid_value", f"The Extended JSON of {keys[-1]} holds no value that it takes."
        ) from error


def _wrong() -> NoReturn:
    raise ValueError


def _text(value: Any) -> str:
    return value if type(value) is str else _wrong()


def _whole(text: Any, allowed: range) -> int:
    if re.fullmatch(r"-?[0-9]{1,20}", _text(text)) is None or int(text) not in allowed:
        _wrong()
    return int(text)


def _decode_double(text: Any) -> float:
    if _text(text) in {"NaN", "Infinity", "-Infinity"}:
        return float(text)
    if re.fullmatch(r"-?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?", text) is None:
        _wrong()
    value = float(text)
    return value if math.isfinite(value) else _wrong()


def _decode_decimal(text: Any) -> Decimal128:
    # NOTE: Decimal128 takes everything that decimal.Decimal does: "1_0", digits of any script.
    if not _text(text).isascii() or "_" in text or text != text.strip():
        _wrong()
    return Decimal128(text)


def _decode_date(value: Any) -> datetime | DatetimeMS:
    if type(value) is dict:
        if value.keys() != {"$numberLong"}:
            _wrong()
        milliseconds = _whole(value["$numberLong"], INT64)
    elif type(value) is int:
        milliseconds = value
    else:
        # PERF: mostly it is UTC, to the millisecond.
        if _USUAL_DATE.fullmatch(_text(value)) is not None:
            return datetime.fromisoformat(value[:-1])
        if ISO_DATETIME.fullmatch(value) is None or "T" not in value:
            _wrong()
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        beyond = moment.microsecond % 1000
        return moment - timedelta(microseconds=beyond) if beyond else moment
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return DatetimeMS(milliseconds)


def _decode_binary(value: Any) -> bytes:
    if type(value) is not dict or value.keys() != {"base64", "subType"}:
        _wrong()
    subtype = _text(value["subType"])
    if re.fullmatch(r"[0-9a-fA-F]{1,2}", subtype) is None:
        _wrong()
    data = base64.b64decode(_text(value["base64"]), validate=True)
    number = int(subtype, 16)
    return data if number == 0 else Binary(data, number)


def _decode_regex(value: Any) -> Regex[str]:
    if type(value) is not dict or value.keys() != {"pattern", "options"}:
        _wrong()
    pattern, options = _text(value["pattern"]), _text(value["options"])
    if "\0" in pattern or set(options) - set("ilmsux"):
        _wrong()
    return Regex(pattern, options)


def _decode_timestamp(value: Any) -> Timestamp:
    if type(value) is not dict or value.keys() != {"t", "i"}:
        _wrong()
    for part in value.values():
        if type(part) is not int or not 0 <= part < 2**32:
            _wrong()
    return Timestamp(value["t"], value["i"])


def _decode_uuid(value: Any) -> Binary:
    return Binary(uuid.UUID(_text(value)).bytes, 4)


def _decode_oid(value: Any) -> ObjectId:
    # NOTE: spaces may stand between the digits that it reads.
    identity = bytes.fromhex(_text(value))
    return ObjectId(identity) if len(identity) == 12 and len(value) == 24 else _wrong()


def _decode_scoped_code(value: dict[str, Any], depth: int) -> Code:
    scope = value["$scope"]
    if type(scope) is not dict or type(_decode(scope, depth + 1)) is not dict:
        _wrong()
    return Code(_text(value["$code"]), scope)


def _decode_reference(value: dict[str, Any], depth: int) -> DBRef:
    # NOTE: a reference may have fields of its own beside these three.
    collection, identity, database = (value.pop(key, None) for key in ("$ref", "$id", "$db"))
    fields = _decode(value, depth + 1)
    if type(identity) is dict or type(identity) is list:
        identity = _decode(identity, depth + 1)
    if database is not None:
        _text(database)
    return DBRef(_text(collection), identity, database, _extra=fields)


def _constant(result: Any, expected: Any) -> Callable[[Any], Any]:
    return lambda value: result if type(value) is int and value == expected else _wrong()


_SIMPLE: dict[str, Callable[[Any], Any]] = {
    "$oid": _decode_oid,
    "$date": _decode_date,
    "$numberInt": lambda value: _whole(value, INT32),
    "$numberLong": lambda value: Int64(_whole(value, INT64)),
    "$numberDouble": _decode_double,
    "$numberDecimal": _decode_decimal,
    "$binary": _decode_binary,
    "$uuid": _decode_uuid,
    "$regularExpression": _decode_regex,
    "$timestamp": _decode_timestamp,
    "$code": lambda value: Code(_text(value)),
    "$symbol": _text,
    "$minKey": _constant(MinKey(), 1),
    "$maxKey": _constant(MaxKey(), 1),
}


#: Those of them that hold a text.
OF_TEXT = {
    key: _SIMPLE[key]
    for key in ("$oid", "$date", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal")
}


def _simple(key: str, decoder: Callable[[Any], Any]) -> Callable[[dict[str, Any], int], Any]:
    return lambda value, depth: decoder(value[key])


#: How each Extended JSON object is read, by its sorted keys.
_DECODERS: dict[tuple[str, ...], Callable[[dict[str, Any], int], Any]] = {
    **{(key,): _simple(key, decoder) for key, decoder in _SIMPLE.items()},
    ("$code", "$scope"): _decode_scoped_code,
    ("$id", "$ref"): _decode_reference,
}
#: The keys by which a value of Extended JSON is known.
WRAPPER_KEYS = frozenset({"$db", *(key for keys in _DECODERS for key in keys)})
