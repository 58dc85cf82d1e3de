"""API keys: made, known, listed, deleted."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator
from typing import Any

import mongomock
import pytest

from falcorest import auth
from falcorest.auth import User
from falcorest.auth import keys as rooms
from falcorest.errors import BadRequest, BodyError, NotFound
from falcorest.settings import Settings


@pytest.fixture
def keys() -> Iterator[Any]:
    with mongomock.MongoClient() as client:
        yield client["test"][rooms.COLLECTION]


def test_a_key_speaks_for_a_user_with_roles(keys: Any) -> None:
    key = auth.create_key(keys, "robot", ["editor", "admin"])
    check = auth.key_check(keys)
    assert check(key) == User("robot", ("editor", "admin"))
    assert check(auth.create_key(keys, "robot")) == User("robot")
    for wrong in (
        key[:-1],
        f"{key}x",
        key.upper(),
        key[4:],
        hashlib.sha256(key.encode()).hexdigest(),
    ):
        assert check(wrong) is None
    auth.delete_key(keys, hashlib.sha256(key.encode()).hexdigest())
    assert check(key) is None


def test_a_key_is_stored_as_its_hash_only(keys: Any) -> None:
    key = auth.create_key(keys, "robot", ["editor"])
    assert key.startswith("frk_")
    assert len(key) == 4 + 43
    stored = keys.find_one()
    created = stored.pop("created")
    assert stored == {
        "_id": hashlib.sha256(key.encode()).hexdigest(),
        "username": "robot",
        "roles": ["editor"],
    }
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    assert abs(now - created) < datetime.timedelta(minutes=1)
    assert key not in str(auth.list_keys(keys))


def test_no_key_is_made_twice(keys: Any) -> None:
    assert len({auth.create_key(keys, "robot") for _ in range(20)}) == 20


def test_keys_are_listed_by_username_and_age(keys: Any) -> None:
    for day, name in enumerate(["bob", "ada", "bob"], 1):
        auth.create_key(keys, name, [f"made on day {day}"])
        keys.update_one(
            {"roles": f"made on day {day}"},
            {"$set": {"created": datetime.datetime(2026, 1, 4 - day)}},
        )
    listed = [(key["username"], key["roles"]) for key in auth.list_keys(keys)]
    assert listed == [
        ("ada", ["made on day 2"]),
        ("bob", ["made on day 3"]),
        ("bob", ["made on day 1"]),
    ]


@pytest.mark.parametrize("username", ["", None, 5, "x" * 256, "\ud800"])
def test_a_key_needs_a_name(keys: Any, username: Any) -> None:
    with pytest.raises(BodyError):
        auth.create_key(keys, username)
    assert keys.count_documents({}) == 0


def test_as_much_of_the_id_as_is_needed_deletes_a_key(keys: Any) -> None:
    for id in ("aa1", "aa2", "ab1", "f" * 64):
        keys.insert_one({"_id": id, "username": "robot"})
    for ambiguous in ("a", "aa"):
        with pytest.raises(BadRequest, match="Several"):
            auth.delete_key(keys, ambiguous)
    for unknown in ("", "b", "aa11", "$", "aa1\0", "g", "F"):
        with pytest.raises(NotFound):
            auth.delete_key(keys, unknown)
    assert keys.count_documents({}) == 4
    for id in ("aa2", "aa", "a", "ff"):
        auth.delete_key(keys, id)
    assert keys.count_documents({}) == 0


@pytest.mark.parametrize("roles", [None, 5, "admin", [1]])
def test_odd_roles_are_none(keys: Any, roles: Any) -> None:
    key = auth.create_key(keys, "robot")
    keys.update_one({}, {"$set": {"roles": roles}})
    assert auth.key_check(keys)(key) == User("robot")


def test_keys_are_never_served() -> None:
    assert Settings().never_served(rooms.COLLECTION)
