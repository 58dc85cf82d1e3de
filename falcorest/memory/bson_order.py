"""BSON's types by name, and the order in which MongoDB sorts and compares their values.

Source: https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, TypeAlias
from uuid import UUID

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

#: What values are sorted by and told from others by: the rank of the type, and what counts
#: among those of one rank.
Order: TypeAlias = tuple[int, Any]

#: Stands for a value that isn't there.
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING"})()

_RANKS = {
    "minKey": -1,
    "null": 5,
    "double": 10,
    "decimal": 10,
    "int": 10,
    "long": 10,
    "string": 15,
    "object": 20,
    "array": 25,
    "binData": 30,
    "objectId": 35,
    "bool": 40,
    "date": 45,
    "timestamp": 47,
    "regex": 50,
    "javascript": 60,
    "javascriptWithScope": 65,
    "maxKey": 127,
}
# NOTE: the first that fits: a bool is an int, and a Code a str.
_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "null"),
    (bool, "bool"),
    (Int64, "long"),
    (float, "double"),
    (Code, "javascript"),
    (str, "string"),
    ((dict, DBRef), "object"),
    (list, "array"),
    (ObjectId, "objectId"),
    ((datetime, DatetimeMS), "date"),
    (Decimal128, "decimal"),
    ((bytes, UUID), "binData"),
    (Timestamp, "timestamp"),
    ((Regex, re.Pattern), "regex"),
    (MinKey, "minKey"),
    (MaxKey, "maxKey"),
)
_INT32 = range(-(2**31), 2**31)
_EPOCH = datetime(1970, 1, 1)
_DECIMAL128 = Context(prec=34)


def type_name(value: Any) -> str:
    """Return the name that ``$type`` has for the type of a value."""
    if isinstance(value, Code) and value.scope is not None:
        return "javascriptWithScope"
    for kind, name in _TYPES:
        if isinstance(value, kind):
            return name
    if isinstance(value, int):
        return "int" if value in _INT32 else "long"
    raise NotImplementedError(f"no BSON type for {type(value).__name__}")


def order(value: Any) -> Order:
    """Return what a value is sorted by and told from others by; MISSING is as null."""
    if value is MISSING:
        return _RANKS["null"], 0
    rank = _RANKS[type_name(value)]
    return rank, _KEYS[rank](value) if rank in _KEYS else 0


def as_object(value: Any) -> Any:
    """Return a DBRef as the object that it is stored as, and anything else as it stands."""
    return value.as_doc() if isinstance(value, DBRef) else value


def is_nan(value: Any) -> bool:
    """Tell whether a value is a number that is none."""
    return isinstance(value, (float, Decimal128)) and _decimal(value).is_nan()


def _decimal(value: Any) -> Decimal:
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, float):
        return _DECIMAL128.create_decimal_from_float(value)
    return Decimal(value)


def _number_key(value: Any) -> tuple[bool, Any]:
    number = _decimal(value)
    return (False, 0) if number.is_nan() else (True, number)


def _object_key(value: Any) -> tuple[Any, ...]:
    fields = ((name, order(item)) for name, item in as_object(value).items())
    return tuple((rank, name, key) for name, (rank, key) in fields)


def _binary_key(value: bytes | UUID) -> tuple[int, int, bytes]:
    if isinstance(value, UUID):
        # NOTE: only a database that somebody else has opened reads them as such.
        value = Binary.from_uuid(value)
    return len(value), value.subtype if isinstance(value, Binary) else 0, bytes(value)


def _date_key(value: datetime | DatetimeMS) -> int:
    if isinstance(value, DatetimeMS):
        return int(value)
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return (value - _EPOCH) // timedelta(milliseconds=1)


def _regex_key(value: Any) -> tuple[str, int]:
    return str(value.pattern), value.flags


_KEYS: dict[int, Callable[[Any], Any]] = {
    10: _number_key,
    15: str,
    20: _object_key,
    25: lambda value: tuple(order(item) for item in value),
    30: _binary_key,
    35: lambda value: value.binary,
    40: bool,
    45: _date_key,
    47: lambda value: (value.time, value.inc),
    50: _regex_key,
    60: str,
    65: lambda value: (str(value), _object_key(value.scope)),
}
