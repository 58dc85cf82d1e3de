"""Ready-made authentication methods: HTTP Basic, opaque tokens and API keys.

Each is given a ``check`` function that knows the users. Where that compares a secret itself, it
does so with :func:`hmac.compare_digest`, which takes as long for a near miss as for any other.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable
from typing import Any

import falcon

from falcorest.auth.attempts import Attempts
from falcorest.auth.methods import AuthenticationBase, read_authorization
from falcorest.errors import ConfigurationError

_HTTP_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class BasicAuthentication(AuthenticationBase):
    """Knows callers by name and password: ``Authorization: Basic …`` (RFC 7617).

    Args:
        check: Takes username and password, texts as the client sent them, and returns the user,
            or nothing if either is wrong. For the users of a collection it is
            :func:`~falcorest.auth.password_check`. One of your own compares with
            :func:`hmac.compare_digest`, encoded: that takes no text beyond ASCII.
        realm: What the name and the password are for; browsers show it.
        attempts: Bounds how often they may be wrong; 429 beyond. Any number unless given.

    Raises:
        ConfigurationError: An argument can't be one.
    """

    def __init__(
        self,
        check: Callable[[str, str], Any],
        realm: str = "falcorest",
        *,
        attempts: Attempts | None = None,
    ) -> None:
        _require_function(check)
        self._check = check
        self._attempts = attempts
        self.challenge = f'{make_challenge("Basic", realm)}, charset="UTF-8"'

    def authorized(self, req: falcon.Request) -> Any:
        scheme, credentials = read_authorization(req)
        if scheme != "basic":
            return None
        try:
            decoded = base64.b64decode(credentials, validate=True).decode("utf-8")
        except ValueError as error:
            raise self._wrong("The Basic credentials are not UTF-8 in base64.") from error
        # NOTE: a password may hold colons, a username can't.
        username, colon, password = decoded.partition(":")
        if not colon or _CONTROL.search(decoded):
            raise self._wrong("The Basic credentials are no username:password.")
        check = functools.partial(self._check, username, password)
        user = self._attempts.guard(req, username, check) if self._attempts else check()
        if not user:
            raise self._wrong("The username or the password is wrong.")
        return user


class TokenAuthentication(AuthenticationBase):
    """Knows callers by an opaque token: ``Authorization: Token …``.

    Args:
        check: Takes the token, ASCII without spaces, and returns the user, or nothing if the
            token is wrong. It compares with :func:`hmac.compare_digest`, or looks a hash of
            the token up.
        scheme: The word before the token, such as ``"Bearer"``.

    Raises:
        ConfigurationError: An argument can't be one.
    """

    def __init__(self, check: Callable[[str], Any], scheme: str = "Token") -> None:
        _require_function(check)
        self._check = check
        self.challenge = make_challenge(scheme)
        self._scheme = scheme.lower()

    def authorized(self, req: falcon.Request) -> Any:
        scheme, token = read_authorization(req)
        if scheme != self._scheme:
            return None
        user = self._check(token) if token and " " not in token and _is_plain(token) else None
        if not user:
            raise self._wrong("The token is not valid.")
        return user


class ApiKeyAuthentication(AuthenticationBase):
    """Knows callers by a key in a header of its own: ``X-API-Key: …``.

    Args:
        check: Takes the key, printable ASCII, and returns the user, or nothing if the key is
            wrong. It compares with :func:`hmac.compare_digest`, or looks a hash of the key up.
        header: The name of the header.

    Raises:
        ConfigurationError: An argument can't be one.
    """

    def __init__(self, check: Callable[[str], Any], header: str = "X-API-Key") -> None:
        _require_function(check)
        self._check = check
        if not isinstance(header, str) or not _HTTP_TOKEN.fullmatch(header):
            raise ConfigurationError(f"{header!r} can't be the name of a header.")
        if header.lower() == "authorization":
            raise ConfigurationError(
                "An API key in the Authorization header is what TokenAuthentication reads; "
                'its scheme may be "ApiKey".'
            )
        self._header = header
        # NOTE: no such scheme is registered, but a 401 needs a challenge, and this one helps.
        self.challenge = f'{make_challenge("ApiKey")}, header="{header}"'

    def authorized(self, req: falcon.Request) -> Any:
        key = (req.get_header(self._header) or "").strip(" \t")
        if not key:
            return None
        user = self._check(key) if _is_plain(key) else None
        if not user:
            raise self._wrong(f"The key in {self._header} is not valid.")
        return user


def make_challenge(scheme: str, realm: str = "falcorest") -> str:
    """Return a challenge for ``WWW-Authenticate``.

    Raises:
        ConfigurationError: The scheme or the realm can't stand in a header.
    """
    if not isinstance(scheme, str) or not _HTTP_TOKEN.fullmatch(scheme):
        raise ConfigurationError(f"{scheme!r} can't be an authentication scheme.")
    if not isinstance(realm, str) or not _is_plain(realm):
        raise ConfigurationError(f"{realm!r} can't be a realm: printable ASCII is expected.")
    quoted = realm.replace("\\", r"\\").replace('"', r"\"")
    return f'{scheme} realm="{quoted}"'


def _require_function(check: object) -> None:
    if not callable(check):
        raise ConfigurationError(
            f"check is a function that returns a user, not {type(check).__name__}."
        )


def _is_plain(text: str) -> bool:
    # NOTE: hmac.compare_digest raises TypeError for a text that is not ASCII.
    return text.isascii() and text.isprintable()
