"""Keyset paging: places in the order of a list, what comes before and after them, and cursors.

A place is told by what one document has in the fields of the sort, with the ``_id`` last. MongoDB
sorts values by their type first, while its comparisons see those of one type only. So what comes
after a value is what is greater and of its type, and what is of a type that comes later.

Source: https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/
"""

from __future__ import annotations

import binascii
import functools
import hashlib
import hmac
import math
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import bson
from bson import CodecOptions, ObjectId, Regex
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError

from falcorest.errors import QueryError
from falcorest.memory.bson_order import as_object, is_nan, order
from falcorest.query import Document, Filter, Place

Sort: TypeAlias = tuple[tuple[str, int], ...]

#: The longest cursor that is given out, in characters. It has to fit into the first line of a
#: request, beside the filters, and gunicorn takes 4 KiB of it.
MAX_CURSOR = 2000

#: The types that are told by name, by where they stand in the order of all values.
_TYPES: tuple[tuple[int, tuple[str, ...]], ...] = (
    (-1, ("minKey",)),
    (10, ("number",)),
    (15, ("string", "symbol")),
    (20, ("object",)),
    (30, ("binData",)),
    (35, ("objectId",)),
    (40, ("bool",)),
    (45, ("date",)),
    (47, ("timestamp",)),
    (50, ("regex",)),
    (55, ("dbPointer",)),
    (60, ("javascript",)),
    (65, ("javascriptWithScope",)),
    (127, ("maxKey",)),
)
_NULL, _NUMBER = 5, 10
_SINGLE = {-1, _NULL, 127}
_PLAIN = {ObjectId, str, int, float, bool, type(None)}
_CODEC: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


class Unplaceable(Exception):
    """A document has a value by which it has no place that could be told.

    Args:
        path: Of the field.
        what: The value in it, in words.
    """

    def __init__(self, path: str, what: str) -> None:
        super().__init__(path, what)
        self.path = path
        self.what = what


def whole_order(sort: Sequence[tuple[str, int]]) -> Sort:
    """Return a sort that leaves nothing open: up to the ``_id``, which comes last.

    Unless it is there, the ``_id`` goes in the direction of the field before it, so that one
    index serves both.
    """
    paths = [path for path, _ in sort]
    if "_id" in paths:
        return tuple(sort[: paths.index("_id") + 1])
    return (*sort, ("_id", sort[-1][1] if sort else 1))


# -------------------------------------------------------------------------------------- places


def place_of(document: Document, sort: Sort, codec: CodecOptions[Any] = _CODEC) -> Place:
    """Return the place of a document.

    Args:
        document: As it was read.
        sort: One that :func:`whole_order` gives.
        codec: How it was read.

    Raises:
        Unplaceable: It has none that could be told.
    """
    values = []
    for path, _ in sort:
        value = _value(document, path)
        if path == "_id" and "_id" not in document:
            raise Unplaceable(path, "nothing")
        # PERF: mostly it is of a type that is the same everywhere.
        if type(value) not in _PLAIN:
            # NOTE: types of somebody's own, and UUIDs, become BSON's.
            value = bson.decode(bson.encode({"": value}, codec_options=codec), _CODEC)[""]
            _check(value, path)
        values.append(value)
    return Place(_digest(sort), tuple(values))


def require_places(documents: Sequence[Document], sort: Sort) -> None:
    """Refuse documents in which a field of a sort is a list, or inside of one.

    Raises:
        Unplaceable: There is such a one.
    """
    # PERF: an _id is never a list, and most fields are at the top.
    for path in [path for path, _ in sort if path != "_id"]:
        is_deep = "." in path
        for document in documents:
            if is_deep or type(document) is not dict or isinstance(document.get(path), list):
                _value(document, path)


def belongs(place: Place, sort: Sort) -> bool:
    """Tell whether a place is one in the order of a sort."""
    return place.order == _digest(sort) and len(place.values) == len(sort)


@functools.lru_cache(maxsize=256)
def _digest(sort: Sort) -> bytes:
    return hashlib.sha256(repr(sort).encode("utf-8", "surrogatepass")).digest()[:8]


def _value(document: Document, path: str) -> Any:
    """Return the value at a path; what isn't there sorts as null."""
    value: Any = document
    for part in path.split("."):
        value = as_object(value)
        if isinstance(value, list):
            raise Unplaceable(path, "a list")
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, list):
        raise Unplaceable(path, "a list")
    return value


def _check(value: Any, path: str) -> None:
    """Refuse a value that MongoDB doesn't compare with others, or that looks like operators."""
    value = as_object(value)
    if isinstance(value, list):
        raise Unplaceable(path, "a list")
    if isinstance(value, Regex):
        raise Unplaceable(path, "a regular expression")
    if _has_operators(value):
        raise Unplaceable(path, "an object with operators")


def _has_operators(value: Any) -> bool:
    value = as_object(value)
    if isinstance(value, Mapping):
        reference = {"$ref", "$id", "$db"} if "$ref" in value and "$id" in value else set()
        return any(
            (name.startswith("$") and name not in reference) or _has_operators(item)
            for name, item in value.items()
        )
    return isinstance(value, list) and any(map(_has_operators, value))


# ------------------------------------------------------------------------- before and after them


def beyond(place: Place, sort: Sort, sign: int) -> list[Filter]:
    """Return filters, of which each document after a place matches one, and no other does.

    Source: https://use-the-index-luke.com/no-offset

    Args:
        place: One in the order of the sort.
        sort: One that :func:`whole_order` gives.
        sign: 1 for what comes after the place, -1 for what comes before it.
    """
    found: list[Filter] = []
    equal: Filter = {}
    for (path, direction), value in zip(sort, place.values, strict=True):
        found += [{**equal, path: condition} for condition in _past(value, direction * sign)]
        equal[path] = {"$eq": value}
    return found


def at(place: Place, sort: Sort) -> Filter:
    """Return a filter that the document at a place matches."""
    values = zip(sort, place.values, strict=True)
    return {path: {"$eq": value} for (path, _), value in values}


def _past(value: Any, sign: int) -> Iterator[Filter]:
    """Yield the conditions on a field that sorts after a value, or before it if sign is -1."""
    rank, _ = order(value)
    numberless = is_nan(value)
    if numberless and sign > 0:
        yield {"$gte": -math.inf}
    elif not numberless and rank not in _SINGLE:
        yield {"$gt" if sign > 0 else "$lt": value}
    singles: list[Any] = []
    if (_NULL - rank) * sign > 0:
        singles.append(None)
    # NOTE: an empty list sorts before null. It has no place, but must not be passed over either.
    if (_NULL - 1 - rank) * sign > 0:
        singles.append([])
    if rank == _NUMBER and sign < 0 and not numberless:
        singles.append(math.nan)
    if singles:
        yield {"$in": singles}
    names = [name for other, some in _TYPES if (other - rank) * sign > 0 for name in some]
    if names:
        yield {"$type": names}


# ------------------------------------------------------------------------------------- cursors


class Cursors:
    """Writes places as text that a client hands back, and reads it.

    The text is signed: what was not written here for the same resource is refused.

    Args:
        secret: Whoever knows it can write cursors. That does no harm: what is in them stands
            below operators of our own, and rules and permissions hold as for any filter.
        resource: The name of the resource.
    """

    def __init__(self, secret: str, resource: str) -> None:
        key = secret.encode("utf-8", "surrogateescape")
        purpose = b"falcorest cursor\0" + resource.encode("utf-8", "surrogateescape")
        self._key = hmac.digest(key, purpose, "sha256")

    def write(self, place: Place) -> str | None:
        """Return a place as text, or None if that would be too long."""
        data = bson.encode({"o": place.order, "v": list(place.values)}, codec_options=_CODEC)
        text = _encoded(self._sign(data) + data)
        return text if len(text) <= MAX_CURSOR else None

    def read(self, text: str, parameter: str) -> Place:
        """Return the place that a text stands for.

        Args:
            text: As the client sent it.
            parameter: The one in which it stands.

        Raises:
            QueryError: It was not written here.
        """
        try:
            if len(text) <= MAX_CURSOR:
                # NOTE: strictly, since Python's own function for this alphabet passes over what
                # doesn't belong to it.
                plain = text.translate(_STANDARD) + "=" * (-len(text) % 4)
                signed = binascii.a2b_base64(plain.encode("ascii"), strict_mode=True)
                data = signed[_SIGNATURE:]
                genuine = hmac.compare_digest(self._sign(data), signed[:_SIGNATURE])
                if genuine and _encoded(signed) == text:
                    return _read(data)
        except (ValueError, TypeError, KeyError, BSONError, Unplaceable):
            pass
        raise QueryError(
            "query.invalid_cursor",
            f"{parameter} takes a cursor that a Link of this list has had in it, as it stands.",
            parameter=parameter,
        )

    def _sign(self, data: bytes) -> bytes:
        # PERF: BLAKE2b with a key is a signature by itself (RFC 7693). OpenSSL takes ten times as
        # long where it isn't at work all the time.
        return hashlib.blake2b(data, digest_size=_SIGNATURE, key=self._key).digest()


_SIGNATURE = 16
# NOTE: what the other alphabet has instead stands for nothing.
_STANDARD = str.maketrans("-_+/", "+/!!")


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _read(data: bytes) -> Place:
    read = bson.decode(data, _CODEC)
    values = read["v"]
    if type(read["o"]) is not bytes or type(values) is not list:
        raise ValueError
    for value in values:
        _check(value, "")
    return Place(read["o"], tuple(values))
