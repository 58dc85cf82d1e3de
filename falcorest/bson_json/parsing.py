"""Parsing: JSON, strictly."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from falcorest.bson_json.decoding import INT64, MAX_DEPTH, OF_TEXT, decode, is_key, too_deep
from falcorest.errors import BodyError

_KEY_AND_COLON = re.compile(rb'"[ \t\r\n]*:')
_TOO_LARGE = 2**63
_INEXACT = 2**60


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
                decoder = OF_TEXT.get(key) if type(inner) is str else None
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
