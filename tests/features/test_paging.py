"""Paging: by cursor over every kind of value, links, and counts; on both doors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from bson import (
    Binary,
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Timestamp,
)
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS

from falcorest.database import Transactions, in_memory
from falcorest.keyset import whole_order
from falcorest.policy import Policy
from falcorest.query import Keyset, Query
from falcorest.service import CollectionService
from tests.features.conftest import KINDS

Sort = tuple[tuple[str, int], ...]

GONE: Any = object()
#: Every kind of value that MongoDB sorts, but lists and patterns.
VALUES: tuple[Any, ...] = (
    *(GONE, None, MinKey(), MaxKey(), math.nan, Decimal128("NaN"), -math.inf, math.inf),
    *(-1, 0, -0.0, Int64(0), Decimal128("0.0"), 1.5, Decimal128("1.5"), Int64(2**53 + 1), 2.0**53),
    *(Decimal128("1E+6000"), Decimal128("-Infinity"), "", "a", "a\0", "ä", "Z", {}, {"x": 1}),
    *({"x": [1]}, {"y": None}, {"x": {"z": 1}}, b"", b"b", Binary(b"a", 5), Binary(b"0" * 16, 4)),
    *(ObjectId("0" * 24), ObjectId("f" * 24), False, True, datetime(1, 1, 1), datetime(2021, 1, 1)),
    *(DatetimeMS(-(2**60)), DatetimeMS(2**60), Timestamp(0, 1), Timestamp(2**32 - 1, 1)),
    *(Code("x"), Code("y"), Code("x", {}), Code("x", {"a": 1}), DBRef("c", 1), DBRef("c", "x")),
)
#: As many that differ from each other, as an ``_id`` has to.
IDENTITIES = [
    value
    for value in VALUES
    if value is not GONE
    and not (isinstance(value, Decimal128) and str(value) in {"NaN", "0.0", "1.5", "-Infinity"})
    and not (isinstance(value, float) and value == 0)
    and type(value) is not Int64
    and not isinstance(value, DBRef)
]
_CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


def every_kind() -> Iterator[dict[str, Any]]:
    """Yield documents in which each value stands with several others."""
    identities = [*IDENTITIES, *range(100, 200)]
    for number, value in enumerate(VALUES):
        for other in (VALUES[(number * 7 + 3) % len(VALUES)], VALUES[(number * 5) % len(VALUES)]):
            document = {"_id": identities.pop(), "a": value, "b": other, "n": {"a": value}}
            if value is GONE:
                del document["a"], document["n"]["a"]
            if other is GONE:
                del document["b"]
            yield document


@pytest.fixture(params=KINDS)
def service(request: pytest.FixtureRequest, make_database: Callable[..., Any]) -> CollectionService:
    database = make_database(request.param)
    if request.param != "mongomock":
        database = database.with_options(codec_options=_CODEC)
    return service_of(database)


def service_of(database: Any, policy: Policy | None = None) -> CollectionService:
    return CollectionService(database, "c", policy or Policy(), Transactions(database))


def identities(documents: list[dict[str, Any]]) -> list[str]:
    # NOTE: NaN doesn't equal itself.
    return [repr(document["_id"]) for document in documents]


def walk(
    service: CollectionService, query: Query, size: int, parameter: str = "_after"
) -> list[str]:
    """Return the ids on all pages, from one end of a list to the other."""
    found: list[list[str]] = []
    keyset = Keyset(parameter)
    while True:
        page = service.page(
            Query(query.filter, query.projection, query.sort, limit=size, keyset=keyset)
        )
        assert keyset.ordered
        on = identities(page.documents)
        further = keyset.before if keyset.backwards else keyset.after
        assert len(on) == size or not further
        # NOTE: where it begins, there is something on the other side.
        back = keyset.after if keyset.backwards else keyset.before
        assert back is bool(found)
        found.append(on)
        if not further:
            break
        place = keyset.first if keyset.backwards else keyset.last
        keyset = Keyset(parameter, place)
    return [one for on in (found[::-1] if parameter == "_before" else found) for one in on]


SORTS: tuple[Sort, ...] = (
    *((), (("_id", 1),), (("_id", -1),), (("a", 1),), (("a", -1),), (("n.a", 1),)),
    *((("b", sign), ("a", other)) for sign in (1, -1) for other in (1, -1)),
    *((("a", -1), ("_id", 1)), (("b", 1), ("_id", -1), ("a", 1)), (("n.a", -1), ("b", 1))),
)


@pytest.mark.parametrize("sort", SORTS, ids=str)
def test_the_pages_joined_are_the_whole_list(service: CollectionService, sort: Sort) -> None:
    """Forwards and backwards, whatever the values, whatever the size of a page."""
    stored = list(every_kind())
    service.collection.insert_many(stored)
    if not in_memory(service._database):
        service.collection.create_index([("b", 1), ("a", 1), ("_id", 1)])
    whole = identities(list(service.collection.find({}, sort=list(whole_order(sort)))))
    assert len(set(whole)) == len(stored)
    for size in (1, 2, 3, 7, 10, len(stored) - 1, len(stored), len(stored) + 1):
        for parameter in ("_after", "_before"):
            assert walk(service, Query(sort=sort), size, parameter) == whole, (size, parameter)
