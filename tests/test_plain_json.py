"""Plain JSON: everything that Extended JSON writes, it writes too."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from bson import Code, DBRef, MaxKey, ObjectId

from falcorest import bson_json, plain_json

OID = ObjectId("6195b0eb829a2784b4459a7f")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": [{"b": OID}]}, {"a": [{"b": str(OID)}]}),
        (datetime(2021, 1, 1), "2021-01-01T00:00:00Z"),
        (datetime(2021, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2021-01-01T00:00:00Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
        (datetime(2021, 1, 1, 0, 0, 0, 123456), "2021-01-01T00:00:00.123Z"),
        ([float("nan"), float("-inf"), 1.5, None], [None, None, 1.5, None]),
        (Decimal("1.5"), "1.5"),
        (Code("x"), {"$code": "x"}),
        (DBRef("c", OID), {"$ref": "c", "$id": str(OID)}),
        (MaxKey(), {"$maxKey": 1}),
    ],
)
def test_what_is_written(value: Any, shown: Any) -> None:
    assert json.loads(plain_json.dumps(value)) == shown


def test_what_neither_can_write() -> None:
    for dumps in (plain_json.dumps, bson_json.dumps):
        with pytest.raises(TypeError):
            dumps(object())
