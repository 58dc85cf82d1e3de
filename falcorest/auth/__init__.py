"""Users, their passwords and tokens, and the methods that tell who is calling."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from falcorest.auth.attempts import Attempts
from falcorest.auth.methods import AuthenticationBase, as_methods, authenticate
from falcorest.auth.ready import (
    ApiKeyAuthentication,
    BasicAuthentication,
    TokenAuthentication,
)

if TYPE_CHECKING:
    from falcorest.auth.backends import BackendAuthentication
    from falcorest.auth.keys import create_key, delete_key, key_check, list_keys
    from falcorest.auth.tokens import JWTAuthentication, TokenIssuer, User
    from falcorest.auth.users import (
        change_password,
        check_password,
        create_user,
        delete_user,
        list_users,
        password_check,
    )

__all__ = [
    "ApiKeyAuthentication",
    "Attempts",
    "AuthenticationBase",
    "BackendAuthentication",
    "BasicAuthentication",
    "JWTAuthentication",
    "TokenAuthentication",
    "TokenIssuer",
    "User",
    "as_methods",
    "authenticate",
    "change_password",
    "check_password",
    "create_key",
    "create_user",
    "delete_key",
    "delete_user",
    "key_check",
    "list_keys",
    "list_users",
    "password_check",
]

# PERF: PyJWT, falcon-auth and argon2 are loaded by programs that use them.
_LATER = {
    "BackendAuthentication": "backends",
    **dict.fromkeys(("create_key", "delete_key", "key_check", "list_keys"), "keys"),
    **dict.fromkeys(("JWTAuthentication", "TokenIssuer", "User"), "tokens"),
    **dict.fromkeys(("change_password", "check_password", "create_user"), "users"),
    **dict.fromkeys(("delete_user", "list_users", "password_check"), "users"),
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
