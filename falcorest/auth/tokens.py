"""Access tokens: JSON Web Tokens (RFC 7519), signed with HS256 and nothing else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import falcon
import jwt
from falcon_auth.backends import AuthBackend

from falcorest.auth.methods import AuthenticationBase, read_authorization
from falcorest.errors import Unauthorized

ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class User:
    """Who a token speaks for.

    Attributes:
        username: The name.
        roles: What the user is, as given by ``falcorest createuser --role``.
    """

    username: str
    roles: tuple[str, ...] = ()


class TokenIssuer:
    """Makes access tokens and reads them.

    Args:
        secret: The signing key, 32 bytes or more.
        seconds: How long a token is good for.
    """

    def __init__(self, secret: str, seconds: int = 3600) -> None:
        self._secret = secret
        self._seconds = seconds

    def issue(self, username: str, roles: Sequence[str] = ()) -> str:
        """Return a token for a user, with ``sub``, ``iat``, ``exp`` and ``roles``."""
        now = int(time.time())
        claims = {"sub": username, "iat": now, "exp": now + self._seconds, "roles": list(roles)}
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def read(self, token: str) -> User | None:
        """Return the user of a token, or None if it is forged, expired or incomplete."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                options={"require": ["exp", "iat", "sub"]},
            )
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            # NOTE: PyJWT 2.12 lets the RecursionError of deeply nested JSON through.
            return None
        roles = claims.get("roles", [])
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            return None
        return User(claims["sub"], tuple(roles))


class JWTAuthentication(AuthenticationBase, AuthBackend):  # type: ignore[misc]
    """Knows callers by ``Authorization: Bearer <token>`` (RFC 6750).

    Args:
        tokens: Reads the tokens.
    """

    auth_header_prefix = "Bearer"

    def __init__(self, tokens: TokenIssuer) -> None:
        self._tokens = tokens

    def authorized(self, req: falcon.Request) -> User | None:
        """Return the user of the token, or None if there is no bearer token."""
        scheme, token = read_authorization(req)
        if scheme != "bearer":
            return None
        user = self._tokens.read(token)
        if user is None:
            raise Unauthorized(
                "auth.invalid",
                "The access token is not valid, or not any more. POST /login gives a new one.",
                headers={"WWW-Authenticate": f'{self.challenge}, error="invalid_token"'},
            )
        return user

    def authenticate(self, req: falcon.Request, resp: falcon.Response, resource: object) -> Any:
        """Do the same under the name that falcon-auth's middleware calls."""
        return self.authorized(req)
