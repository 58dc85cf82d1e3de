"""Users, their passwords and tokens, and the methods that tell who is calling."""

from __future__ import annotations

from falcorest.auth.attempts import Attempts
from falcorest.auth.backends import BackendAuthentication, as_methods
from falcorest.auth.keys import create_key, delete_key, key_check, list_keys
from falcorest.auth.methods import AuthenticationBase, authenticate
from falcorest.auth.ready import (
    ApiKeyAuthentication,
    BasicAuthentication,
    TokenAuthentication,
)
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
