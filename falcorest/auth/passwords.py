"""Passwords: hashed by argon2id, no more of them at once than there are cores."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from falcorest.errors import BodyError, Unavailable

MAX_PASSWORD_BYTES = 1024

#: What a password is verified against where there is no user: as dear as ours.
DECOY = (
    b"$argon2id$v=19$m=19456,t=2,p=1"
    b"$ZmFsY29yZXN0J3Mgc2FsdA$LXokopkgxk5FYs8yFjP2ivt8ERn7AVdctXBFXhI66RM"
)

# Source: OWASP Password Storage Cheat Sheet, the floor for argon2id.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)


def _cores() -> int:
    # NOTE: not every system can pin a process to some of its cores.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


# APPSEC: each hash keeps a core busy and takes 19 MiB, so that a flood of logins would leave
# neither to anything else. It is the module's own because the cores are the whole process's.
_PLACES = threading.BoundedSemaphore(_cores())
_PATIENCE_SECONDS = 0.5


@contextmanager
def _place() -> Iterator[None]:
    if not _PLACES.acquire(timeout=_PATIENCE_SECONDS):
        raise Unavailable(
            "auth.busy",
            "Too many passwords are being checked at once; try again.",
            headers={"Retry-After": "1"},
        )
    try:
        yield
    finally:
        _PLACES.release()


def hash_password(password: Any) -> bytes:
    """Return the argon2id string of a password.

    Raises:
        BodyError: It is no text, empty, or longer than 1024 bytes.
        Unavailable: Too many are being hashed at once.
    """
    if not is_text(password) or not password:
        raise refused("password", "A password is a text that is not empty.")
    if is_too_long(password):
        raise refused("password", f"A password has {MAX_PASSWORD_BYTES} bytes at the most.")
    with _place():
        return _HASHER.hash(password).encode("ascii")


def verify_password(stored: Any, password: str) -> bool:
    """Tell whether a password is the one of an argon2id string.

    Args:
        stored: As it was found; what is no such string has no password.
        password: As the client sent it.

    Raises:
        Unavailable: Too many are being verified at once.
    """
    # NOTE: before the hash, and so in no time: but that holds whoever the user is.
    if is_too_long(password):
        return False
    with _place():
        try:
            return _HASHER.verify(bytes(stored), password.encode("utf-8", "surrogatepass"))
        except (VerificationError, InvalidHashError, TypeError, UnicodeDecodeError):
            return False


def is_too_long(password: str) -> bool:
    """Tell whether a password has more bytes than are hashed."""
    return len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_BYTES


def is_text(value: Any) -> bool:
    """Tell whether a value is a text that can be stored."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def refused(field: str, reason: str) -> BodyError:
    """Return the error for a username or a password that can't be one."""
    return BodyError("body.invalid_value", reason, field_errors={field: [reason]})
