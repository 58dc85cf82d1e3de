"""Cursors as an attacker writes them: one who knows the secret, and one who doesn't."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from random import Random
from typing import Any

import bson
from bson import Code, Regex

from falcorest.keyset import Cursors, _digest, whole_order
from falcorest.query import Place
from tests.support import SECRET

#: What a cursor must not bring into a filter.
HOSTILE_VALUES: tuple[Any, ...] = (
    *({"$where": "1"}, {"$gt": None}, {"a": [{"$ne": 1}]}, {"$ref": "c", "$where": "1"}),
    *([], [1], [{"$gt": 1}], Regex(".*"), {"$ref": "c", "$id": {"$gt": 1}}),
)
#: What it may.
VALUES: tuple[Any, ...] = (
    *(None, 0, 5, 2.5, float("nan"), "", "a", "engine-1", "USA", True, {"a": 1}, {}, b"x"),
    *(Code("x"), bson.MinKey(), bson.MaxKey(), bson.Timestamp(1, 1), bson.DBRef("c", 1)),
)


def cursor(
    resource: str,
    sort: Sequence[tuple[str, int]],
    values: Sequence[Any],
    secret: str = SECRET,
) -> str:
    """Return a cursor that is signed, whatever the values in it."""
    place = Place(_digest(whole_order(sort)), tuple(values))
    cursors = Cursors(secret, resource)
    data = bson.encode({"o": place.order, "v": list(place.values)})
    return urlsafe_b64encode(cursors._sign(data) + data).rstrip(b"=").decode()


def some_cursor(
    random: Random,
    resource: str,
    sort: Sequence[tuple[str, int]],
    identities: Sequence[Any],
    secret: str = SECRET,
) -> str:
    """Return a cursor for somewhere in a list."""
    order = whole_order(sort)
    values = [random.choice(identities if path == "_id" else VALUES) for path, _ in order]
    return cursor(resource, order, values, secret)


def hostile_cursor(random: Random, resource: str) -> str:
    """Return one that must be refused."""
    good = cursor(resource, (), ["d1"])
    place = random.randrange(len(good))
    return random.choice(
        (
            *("1", "A" * 100, "A" * 20_000, "....", "\0", "é", good[:place], good + "A"),
            good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :],
            cursor(f"{resource}s", (), ["d1"]),
            cursor(resource, (), ["d1"], secret="another"),
            cursor(resource, (("cost", 1),), [5, "d1"]),
            cursor(resource, (), ["d1", "d2"]),
            cursor(resource, (), []),
            cursor(resource, (), [random.choice(HOSTILE_VALUES)]),
            cursor(resource, (), ["x" * 3000]),
        )
    )


def values_in(text: str) -> list[Any]:
    """Return what anybody can read in a cursor."""
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    values: list[Any] = bson.decode(data[16:])["v"]
    return values
