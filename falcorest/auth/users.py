"""Users and their passwords.

A user is a document ``{"username": str, "password": binary, "roles": [str]}``. The binary is an
argon2id string in the PHC format, as MangoREST stores it (made there by PyNaCl), so that either
program reads the other's users.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, OperationFailure

from falcorest.auth.passwords import DECOY, hash_password, is_text, refused, verify_password
from falcorest.auth.tokens import User
from falcorest.concerns import for_callers, for_writes
from falcorest.database import operation, time_limit
from falcorest.errors import Conflict, NotFound
from falcorest.query import Document

MAX_USERNAME_LENGTH = 255

_operation = functools.partial(operation, lambda users: time_limit(users.database))


@_operation(write=True)
def create_user(
    users_collection: Collection[Document],
    username: str,
    password: str,
    roles: Sequence[str] = (),
) -> ObjectId:
    """Store a new user.

    Args:
        users_collection: The collection of the users.
        username: Must be new.
        password: At most 1024 bytes.
        roles: What the user is.

    Returns:
        The ``_id`` of the new user.

    Raises:
        BodyError: The name or the password can't be one.
        Conflict: There is a user of that name.
        Unavailable: Too many passwords are being hashed at once.
    """
    check_username(username)
    hashed = hash_password(password)
    users_collection = for_writes(users_collection)
    _ensure_unique(users_collection)
    user: Document = {"_id": ObjectId(), "username": username, "password": hashed}
    if roles:
        user["roles"] = list(roles)
    try:
        if users_collection.find_one({"username": username}, ["_id"]) is not None:
            raise _taken(username)
        users_collection.insert_one(user)
    except DuplicateKeyError as error:
        raise _taken(username) from error
    return ObjectId(user["_id"])


def check_username(username: Any) -> None:
    """Refuse what can't be the name of a user.

    Raises:
        BodyError: It is no text, empty, or too long.
    """
    if not is_text(username) or not 0 < len(username) <= MAX_USERNAME_LENGTH:
        raise refused("username", f"A username is a text of 1 to {MAX_USERNAME_LENGTH} characters.")


def _taken(username: str) -> Conflict:
    return Conflict(
        "document.duplicate",
        f"There is a user {username!r} already.",
        field_errors={"username": ["There is a user of this name already."]},
    )


def _ensure_unique(users: Collection[Document]) -> None:
    # NOTE: a collection that is not of our making may have another index, or documents that are
    # no users. The look before the insert is all there is then.
    with suppress(OperationFailure):
        users.create_index([("username", ASCENDING)], unique=True)


@_operation()
def check_password(
    users_collection: Collection[Document], username: str, password: str
) -> Document | None:
    """Return the user of a name and a password, or None if either is wrong.

    An unknown name takes as long as a wrong password.

    Args:
        users_collection: The collection of the users.
        username: As the client sent it.
        password: As the client sent it.

    Raises:
        Unavailable: Too many passwords are being verified at once.
    """
    # APPSEC: the same work in either case. For an unknown name another user's hash is verified,
    # the next one's by name, so that the time tells nothing where users have hashes of
    # different costs (those made by MangoREST are dearer than ours).
    users_collection = for_callers(users_collection)
    by_name = users_collection.find({"username": {"$gte": username}}).sort("username", ASCENDING)
    user = next(by_name.limit(1), None) or users_collection.find_one({})
    matches = verify_password(user.get("password") if user else DECOY, password)
    if user is None or user.get("username") != username:
        return None
    return user if matches else None


def password_check(
    users_collection: Collection[Document],
) -> Callable[[str, str], User | None]:
    """Return a function that knows the users of a collection by name and password.

    It is for :class:`~falcorest.auth.BasicAuthentication`. Verifying a password takes some
    20 ms of one core, by design, at each request; callers with many of them are better given a
    token.

    Args:
        users_collection: The collection of the users, as :func:`create_user` makes them.
    """

    def check(username: str, password: str) -> User | None:
        user = check_password(users_collection, username, password)
        return None if user is None else User(username, roles_of(user))

    return check


def roles_of(user: Document) -> tuple[str, ...]:
    """Return the roles of a stored user; what is no text is none."""
    roles = user.get("roles")
    return tuple(r for r in roles if isinstance(r, str)) if isinstance(roles, list) else ()


@_operation(write=True)
def change_password(users_collection: Collection[Document], username: str, password: str) -> None:
    """Give a user another password.

    Raises:
        BodyError: The password can't be one.
        NotFound: There is no such user.
        Unavailable: Too many passwords are being hashed at once.
    """
    change = {"$set": {"password": hash_password(password)}}
    if not for_writes(users_collection).update_one({"username": username}, change).matched_count:
        raise _unknown(username)


@_operation(write=True)
def delete_user(users_collection: Collection[Document], username: str) -> None:
    """Remove a user.

    Raises:
        NotFound: There is no such user.
    """
    if not for_writes(users_collection).delete_one({"username": username}).deleted_count:
        raise _unknown(username)


def _unknown(username: str) -> NotFound:
    return NotFound("document.not_found", f"There is no user {username!r}.")


@_operation()
def list_users(users_collection: Collection[Document]) -> list[Document]:
    """Return the users by name, without their passwords."""
    users = for_writes(users_collection).find({}, {"password": 0})
    return list(users.sort("username", ASCENDING))


@_operation()
def find_user(users_collection: Collection[Document], username: str) -> Document | None:
    """Return a user without the password, or None."""
    users = for_callers(users_collection)
    found: Document | None = users.find_one({"username": username}, {"password": 0})
    return found
