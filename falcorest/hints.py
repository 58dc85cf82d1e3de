"""Type hints: how a literal in a URL becomes a value of a BSON type.

A URL holds text; a hint such as ``[int]`` in front of a literal says what the text means.
:data:`HINTS` is the table of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import quote

from bson import Decimal128, Int64, ObjectId

from falcorest.bson_json import INT64, ISO_DATETIME
from falcorest.errors import QueryError

LIST = "list-"

_INTEGER = re.compile(r"-?[0-9]+")
# PERF: no two parts of it could take the same digits, so it needs no second try.
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_OID = re.compile(r"[0-9a-fA-F]{24}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DURATION = re.compile(
    r"(?P<sign>[+-]?)P(?=[0-9T])(?:(?P<weeks>N)W)?(?:(?P<days>N)D)?"
    r"(?:T(?=[0-9])(?:(?P<hours>N)H)?(?:(?P<minutes>N)M)?(?:(?P<seconds>N)S)?)?".replace(
        "N", r"[0-9]+(?:[.,][0-9]+)?"
    )
)
_TYPED_ID = re.compile(r"\[([^\]]*)\]\.(.*)", re.DOTALL)


def _int(text: str) -> int:
    digits = text.lstrip("-").lstrip("0")
    if _INTEGER.fullmatch(text) is None or len(digits) > 19:
        raise ValueError
    value = int(digits or "0") * (-1 if text.startswith("-") else 1)
    if value not in INT64:
        raise ValueError
    return value


def _float(text: str) -> float:
    if _NUMBER.fullmatch(text) is None:
        raise ValueError
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _bool(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _date(text: str) -> datetime:
    if _DATE.fullmatch(text) is None:
        raise ValueError
    return datetime.combine(date.fromisoformat(text), time.min)


def _datetime(text: str) -> datetime:
    if ISO_DATETIME.fullmatch(text) is None:
        raise ValueError
    value = datetime.fromisoformat(text)
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


def _time(text: str) -> str:
    value = time.fromisoformat(text)
    if value.tzinfo is not None:
        raise ValueError
    return value.isoformat()


def _timedelta(text: str) -> float:
    duration = _DURATION.fullmatch(text)
    if duration is None:
        return _float(text)
    sign = -1 if duration["sign"] == "-" else 1
    parts = {
        unit: float(number.replace(",", "."))
        for unit, number in duration.groupdict().items()
        if unit != "sign" and number
    }
    return sign * timedelta(**parts).total_seconds()


def _oid(text: str) -> ObjectId:
    if _OID.fullmatch(text) is None:
        raise ValueError
    return ObjectId(text)


def _decimal(text: str) -> Decimal128:
    if _NUMBER.fullmatch(text) is None:
        raise ValueError
    value = Decimal128(text)
    if not value.to_decimal().is_finite():
        raise ValueError
    return value


def _null(text: str) -> None:
    if text:
        raise ValueError


@dataclass(frozen=True)
class Hint:
    """One type hint.

    Attributes:
        name: As it stands in brackets.
        parse: Turns a literal into a value, or raises.
        accepts: What a literal looks like, for messages and docs.
        value: What is sent to MongoDB, for docs.
        example: A literal that it takes, for docs.
        in_lists: Whether there is a ``list-`` hint of it.
    """

    name: str
    parse: Callable[[str], Any]
    accepts: str
    value: str
    example: str
    in_lists: bool = True


HINTS: dict[str, Hint] = {
    hint.name: hint
    for hint in (
        Hint("int", _int, "decimal digits, within 64 bits", "32 or 64 bit integer", "50"),
        Hint("float", _float, "a finite decimal number", "double", "2.5"),
        Hint("bool", _bool, "true or false", "boolean", "true"),
        Hint("str", str, "any text", "string", "North Pole"),
        Hint("date", _date, "a day such as 2021-11-01", "that day at 00:00 UTC", "2021-11-01"),
        Hint(
            "datetime",
            _datetime,
            "an ISO 8601 date and time, in UTC unless it has an offset",
            "datetime in UTC, milliseconds",
            "2021-11-01T09:30:00Z",
        ),
        Hint(
            "time",
            _time,
            "an ISO 8601 time of day without an offset",
            "string ``HH:MM:SS[.ffffff]``",
            "09:30:00",
        ),
        Hint(
            "timedelta",
            _timedelta,
            "seconds, or an ISO 8601 duration such as PT1H30M",
            "double, seconds",
            "PT1H30M",
        ),
        Hint("oid", _oid, "24 hexadecimal digits", "ObjectId", "6195b0eb829a2784b4459a7f"),
        Hint("decimal", _decimal, "a decimal of up to 34 digits", "Decimal128", "9.99"),
        Hint("null", _null, "nothing", "null", "", in_lists=False),
    )
}


def find_hint(name: str, *, parameter: str) -> tuple[Hint, bool]:
    """Return the hint of a name, and whether it is one for lists.

    Raises:
        QueryError: There is no such hint.
    """
    is_list = name.startswith(LIST)
    hint = HINTS.get(name.removeprefix(LIST))
    if hint is None or (is_list and not hint.in_lists):
        raise QueryError(
            "query.unknown_hint",
            f"There is no type hint [{name}]; there are {', '.join(HINTS)}, "
            "and list- with one of them.",
            parameter=parameter,
        )
    return hint, is_list


def parse_literal(hint: Hint, text: str, *, parameter: str) -> Any:
    """Turn a literal into the value that its hint says.

    Raises:
        QueryError: The literal doesn't fit.
    """
    try:
        return hint.parse(text)
    except (ValueError, KeyError, ArithmeticError) as error:
        raise QueryError(
            "query.invalid_value",
            f"{shorten(text)} doesn't fit the hint [{hint.name}], which takes {hint.accepts}.",
            parameter=parameter,
        ) from error


def shorten(text: str) -> str:
    """Return a text as it is shown in a message: quoted, and not too long."""
    return repr(text if len(text) <= 60 else text[:60] + "…")


def parse_id(text: str) -> Any:
    """Turn the last segment of a path into the ``_id`` that it names.

    24 hexadecimal digits mean an ObjectId, a hint in front says the type
    (``[int].5``), and anything else is a string.

    Args:
        text: Decoded; one slash at its end doesn't count.

    Raises:
        QueryError: The hint isn't known, or the literal doesn't fit it.
    """
    text = text.removesuffix("/")
    if _OID.fullmatch(text) is not None:
        return ObjectId(text)
    typed = _TYPED_ID.fullmatch(text)
    if typed is None:
        return text
    try:
        hint, is_list = find_hint(typed[1], parameter="id")
        if is_list:
            raise QueryError("id.invalid", "An _id can't be a list.", parameter="id")
        return parse_literal(hint, typed[2], parameter="id")
    except QueryError as error:
        raise QueryError("id.invalid", error.detail, parameter="id") from error


def format_id(value: Any) -> str | None:
    """Return the path segment that names an ``_id``, percent-encoded; None if there is none."""
    # PERF: mostly it is one, and needs no quoting.
    if type(value) is ObjectId:
        return str(value)
    text = _format_id(value)
    if text is None:
        return None
    # NOTE: of a path, one slash at the end is taken away.
    return quote(f"{text}/" if text.endswith("/") else text, safe=":@!$&'()*+,;=~")


def _format_id(value: Any) -> str | None:
    if isinstance(value, ObjectId):
        return str(value)
    if type(value) is str:
        # NOTE: clients resolve the segments "." and ".." before they send a path.
        plain = value not in {"", ".", ".."} and _is_plain(value)
        return value if plain else f"[str].{value}"
    if type(value) is bool:
        return f"[bool].{str(value).lower()}"
    if type(value) in {int, Int64}:
        return f"[int].{int(value)}"
    if type(value) is float and math.isfinite(value):
        return f"[float].{value!r}"
    if isinstance(value, datetime):
        return f"[datetime].{value.isoformat()}"
    if isinstance(value, Decimal128) and value.to_decimal().is_finite():
        return f"[decimal].{value}"
    return "[null]." if value is None else None


def _is_plain(text: str) -> bool:
    return _OID.fullmatch(text) is None and _TYPED_ID.fullmatch(text) is None
