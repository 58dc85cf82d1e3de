"""API keys, for programs. What is stored of a key is its hash.

A key is a document ``{"_id": str, "username": str, "roles": [str], "created": date}``. The
``_id`` is the SHA-256 of the key in hexadecimal digits: a key is random and long enough that no
slower hash is needed.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import secrets
from collections.abc import Callable, Sequence

from pymongo import ASCENDING
from pymongo.collection import Collection

from falcorest.auth.tokens import User
from falcorest.auth.users import check_username, roles_of
from falcorest.concerns import for_callers, for_writes
from falcorest.database import operation, time_limit
from falcorest.errors import BadRequest, NotFound
from falcorest.query import Document

#: The collection of the zero-code server's keys. Its prefix keeps it from being served.
COLLECTION = "falcorest_keys"

# NOTE: so that a program which looks for secrets in what is published can tell one.
_PREFIX = "frk_"
_KEY_BYTES = 32

_operation = functools.partial(operation, lambda keys: time_limit(keys.database))


@_operation(write=True)
def create_key(keys: Collection[Document], username: str, roles: Sequence[str] = ()) -> str:
    """Make a key and store its hash.

    Args:
        keys: The collection of the keys.
        username: Whom the key speaks for. It needs no user of that name.
        roles: What its caller is.

    Returns:
        The key. It can't be read again.

    Raises:
        BodyError: The name can't be one.
    """
    check_username(username)
    key = _PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    created = datetime.datetime.now(datetime.UTC)
    for_writes(keys).insert_one(
        {"_id": _hash(key), "username": username, "roles": list(roles), "created": created}
    )
    return key


def key_check(keys: Collection[Document]) -> Callable[[str], User | None]:
    """Return a function that knows callers by the keys of a collection.

    It is for :class:`~falcorest.auth.ApiKeyAuthentication`. It asks the database at each
    request, so that a key that has been deleted opens nothing any more.

    Args:
        keys: The collection of the keys, as :func:`create_key` makes them.
    """

    @_operation()
    def find(keys: Collection[Document], key: str) -> User | None:
        found = keys.find_one({"_id": _hash(key)})
        return None if found is None else User(found["username"], roles_of(found))

    return functools.partial(find, for_callers(keys))


@_operation()
def list_keys(keys: Collection[Document]) -> list[Document]:
    """Return what is stored of the keys, by username and age."""
    return list(for_writes(keys).find().sort([("username", ASCENDING), ("created", ASCENDING)]))


@_operation(write=True)
def delete_key(keys: Collection[Document], id: str) -> None:
    """Remove a key.

    Args:
        keys: The collection of the keys.
        id: Its ``_id``, or as much of its beginning as no other has.

    Raises:
        NotFound: There is no such key.
        BadRequest: Several keys begin so.
    """
    keys = for_writes(keys)
    # NOTE: "g" comes after all hexadecimal digits.
    found = list(keys.find({"_id": {"$gte": id, "$lt": f"{id}g"}}, ["_id"]).limit(2)) if id else []
    if not found:
        raise NotFound("document.not_found", f"There is no key {id!r}.")
    if len(found) > 1:
        raise BadRequest("id.invalid", f"Several keys begin with {id!r}.")
    keys.delete_one(found[0])


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
