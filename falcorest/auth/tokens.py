"""Access tokens: JSON Web Tokens (RFC 7519), signed with HS256 and nothing else."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import falcon
import jwt
from falcon_auth.backends import AuthBackend

from falcorest.auth.methods import AuthenticationBase, read_authorization
from falcorest.errors import ConfigurationError, Unauthorized

ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class User:
    """Who a token or a key speaks for.

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
        old_secret: The signing key that came before; its tokens are still read.
        audience: Who the tokens are for: their ``aud``, which is required then.
        issuer: Who makes them: their ``iss``, likewise.

    Raises:
        ConfigurationError: A secret is too short.
    """

    def __init__(
        self,
        secret: str,
        seconds: int = 3600,
        *,
        old_secret: str | None = None,
        audience: str | None = None,
        issuer: str | None = None,
    ) -> None:
        self._secrets = [secret] if old_secret is None else [secret, old_secret]
        # NOTE: RFC 7518: the key has as many bytes as the hash, at least.
        size = hashlib.sha256().digest_size
        if any(len(one.encode("utf-8", "surrogatepass")) < size for one in self._secrets):
            raise ConfigurationError(f"TokenIssuer: a secret has {size} bytes or more.")
        self._seconds = seconds
        named = {"aud": audience, "iss": issuer}
        self._named = {name: value for name, value in named.items() if value is not None}

    def issue(self, username: str, roles: Sequence[str] = ()) -> str:
        """Return a token for a user, with ``sub``, ``iat``, ``exp`` and ``roles``."""
        now = int(time.time())
        claims = {"sub": username, "iat": now, "exp": now + self._seconds, "roles": list(roles)}
        return jwt.encode(claims | self._named, self._secrets[0], algorithm=ALGORITHM)

    def read(self, token: str) -> User | None:
        """Return the user of a token, or None if it is forged, expired or incomplete."""
        for secret in self._secrets:
            try:
                return self._user(self._decode(token, secret))
            except jwt.InvalidSignatureError:
                continue
            except (jwt.InvalidTokenError, ValueError, OverflowError, RecursionError):
                # NOTE: PyJWT 2.12 lets the RecursionError of deeply nested JSON through.
                return None
        return None

    def _decode(self, token: str, secret: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            audience=self._named.get("aud"),
            issuer=self._named.get("iss"),
            options={"require": ["exp", "iat", "sub"]},
        )

    def _user(self, claims: dict[str, Any]) -> User | None:
        username, made, ends = claims["sub"], claims["iat"], claims["exp"]
        # NOTE: PyJWT takes a text of digits for a time.
        if not username or not {type(made), type(ends)} <= {int, float}:
            return None
        roles = claims.get("roles", [])
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            return None
        # NOTE: a name that isn't UTF-8 can't be stored; UnicodeEncodeError is a ValueError.
        "".join([username, *roles]).encode()
        return User(username, tuple(roles))


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
