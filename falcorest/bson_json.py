"""JSON with BSON's types: relaxed Extended JSON v2 in and out.

Source: https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/

Reading is strict where JSON libraries are lenient: a key that stands twice, an integer beyond
64 bits, ``NaN``, a number out of the range of its type, and keys that MongoDB would store but
that a query can't name again (empty, dotted, ``$`` in front, NUL) are errors that name the place.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, DecimalException
from typing import Any, NoReturn

import orjson
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
_KEY_AND_COLON = re.compile(rb'"[ \t\r\n]*:')
_TOO_LARGE = 2**63
_INEXACT = 2**60

# ------------------------------------------------------------------------------------- writing


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
    # PERF: every document has an _id.
    if type(value) is ObjectId:
        return {"$oid": str(value)}
    encoder = _ENCODERS.get(type(value))
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
        # PERF: orjson writes the same in a third of the time, but nothing of a kind of its own.
        return orjson.dumps(value)[1:24].rstrip(b'"').decode() + "Z"
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

# ------------------------------------------------------------------------------------- reading


def loads(body: bytes) -> Any:
    """Read a body that holds documents.

    Args:
        body: UTF-8.

    Returns:
        Documents, lists and values with BSON's types; datetimes are naive and UTC.

    Raises:
        BodyError: It is no JSON, or not what may be stored.
    """
    return decode(parse(body))


def parse(body: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """Read JSON and leave its ``$`` objects as they stand.

    Args:
        body: UTF-8.
        max_depth: How many levels of objects and lists it may have.

    Raises:
        BodyError: It is no JSON or too deep, an object in it has a key twice, or an integer in
            it has more than 64 bits.
    """
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _malformed(body, error, max_depth) from error
    try:
        # PERF: the exact reader is several times slower. Every key is followed by a colon, so
        # where there are as many colons as keys were read, none of them stood twice.
        if _count_keys(raw, max_depth) == _count_colons(body):
            return raw
        return _EXACT.decode(body.decode("utf-8"))
    except RecursionError as error:
        raise too_deep(max_depth) from error


def _count_colons(body: bytes) -> int:
    """Count the colons behind quotes; those inside of texts count too."""
    # PERF: single bytes are found at once, and from the right, two of them in half the time.
    if body.rfind(b" :") >= 0 or any(
        space in body and space + b":" in body for space in (b"\n", b"\t", b"\r")
    ):
        return len(_KEY_AND_COLON.findall(body))
    return body.count(b'":')


def parse_decoded(body: bytes, max_depth: int = MAX_DEPTH) -> tuple[Any, bool]:
    """Read JSON, and turn it into what is stored where it has nothing unusual in it.

    Args:
        body: UTF-8.
        max_depth: How many levels of objects and lists it may have.

    Returns:
        What :func:`decode` gives, and True; or what :func:`parse` gives, and False.

    Raises:
        BodyError: As :func:`parse` does.
    """
    try:
        raw = orjson.loads(body)
        # PERF: one walk through all of it, where the two functions have one each.
        if type(raw) in (dict, list):
            holder = [raw]
            count = _decode_and_count(holder, min(max_depth, MAX_DEPTH) + 1, set())
            if count == _count_colons(body):
                return holder[0], True
    except (ValueError, TypeError, ArithmeticError, _Unusual):
        # NOTE: whatever it is, it is found again, with its place.
        pass
    return parse(body, max_depth), False


class _Unusual(Exception):
    """Something that needs a closer look."""


def _decode_and_count(container: Any, levels: int, good: set[str]) -> int:
    """Decode what is in an object or a list, in place, and count its keys.

    Args:
        container: The object or list.
        levels: How many levels it may have.
        good: Keys that may be stored; it grows.

    Raises:
        _Unusual: Something in it isn't for certain what it seems.
    """
    if not levels:
        raise _Unusual
    count = 0
    items: Any
    if type(container) is dict:
        count = len(container)
        if not good.issuperset(container):
            if not all(map(is_key, container)):
                raise _Unusual
            good.update(container)
        items = container.items()
    else:
        items = enumerate(container)
    for place, item in items:
        kind = type(item)
        if kind is str:
            continue
        if kind is int or kind is float:
            if not -_TOO_LARGE < item < _TOO_LARGE:
                raise _Unusual
        elif kind is dict:
            decoder = None
            if len(item) == 1 and levels > 1:
                ((key, inner),) = item.items()
                decoder = _OF_TEXT.get(key) if type(inner) is str else None
            if decoder is None:
                count += _decode_and_count(item, levels - 1, good)
            else:
                container[place] = decoder(inner)
                count += 1
        elif kind is list:
            # PERF: most lists are of texts.
            for one in item:
                if type(one) is not str:
                    count += _decode_and_count(item, levels - 1, good)
                    break
            else:
                if levels == 1:
                    raise _Unusual
    return count


def _malformed(body: bytes, error: orjson.JSONDecodeError, max_depth: int) -> BodyError:
    message = str(error)
    if "depth limit" in message:
        return too_deep(max_depth)
    if not body.strip():
        return BodyError("body.malformed", "The body is empty; JSON is expected.")
    return BodyError("body.malformed", f"The body is not JSON: {message}.")


def too_deep(max_depth: int = MAX_DEPTH) -> BodyError:
    """Return the error for a body that is nested too deeply."""
    return BodyError("body.too_deep", f"The body is nested more than {max_depth} levels deep.")


def _count_keys(value: Any, levels: int) -> int:
    """Count the keys of all objects in parsed JSON; a number that may be wrong counts as many.

    Raises:
        RecursionError: It has more levels than that.
    """
    kind = type(value)
    if kind is dict:
        count = len(value)
        value = value.values()
    elif kind is list:
        count = 0
    else:
        count, value = 0, (value,)
    if not levels:
        raise RecursionError
    for item in value:
        kind = type(item)
        if kind is str:
            continue
        if kind is dict or kind is list:
            count += _count_keys(item, levels - 1)
        elif (kind is int or kind is float) and not -_TOO_LARGE < item < _TOO_LARGE:
            # NOTE: orjson gives an integer beyond 64 bits as a float.
            count += _INEXACT
    return count


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise BodyError("body.duplicate_key", f"The key {key!r} stands twice.")
            seen.add(key)
    return found


def _integer(text: str) -> int:
    # NOTE: int() itself refuses thousands of digits with a ValueError.
    if len(text) > 20 or (value := int(text)) not in INT64:
        raise BodyError("body.invalid_value", f"The integer {text[:24]} has more than 64 bits.")
    return value


_EXACT = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_integer)


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
_OF_TEXT = {
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
