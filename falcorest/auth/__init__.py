"""Users, their passwords and tokens, and the methods that tell who is calling."""

from __future__ import annotations

from falcorest.auth.methods import AuthenticationBase, authenticate
from falcorest.auth.tokens import JWTAuthentication, TokenIssuer, User
from falcorest.auth.users import (
    change_password,
    check_password,
    create_user,
    delete_user,
    list_users,
)

__all__ = [
    "AuthenticationBase",
    "JWTAuthentication",
    "TokenIssuer",
    "User",
    "authenticate",
    "change_password",
    "check_password",
    "create_user",
    "delete_user",
    "list_users",
]
