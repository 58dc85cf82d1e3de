"""Backends of falcon-auth as authentication methods."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import falcon
import jwt
from falcon_auth.backends import (
    AuthBackend,
    JWTAuthBackend,
    MultiAuthBackend,
    NoneAuthBackend,
)

from falcorest.auth.methods import AuthenticationBase, name_of, read_authorization
from falcorest.auth.ready import make_challenge
from falcorest.errors import ConfigurationError
from falcorest.logs import log_exception

#: What backends raise on headers that they can't read.
_GARBAGE = (LookupError, RecursionError, ValueError)


class BackendAuthentication(AuthenticationBase):
    """Knows callers by a backend of falcon-auth.

    Whether there are credentials for it, ``auth_header_prefix`` tells: with that scheme in the
    ``Authorization`` header they are, and what the backend then refuses is wrong. A backend
    without a prefix (of your own, one that reads a cookie, say) is always asked, and knows the
    caller or doesn't. ``NoneAuthBackend`` is asked when there is no ``Authorization`` header,
    so that no forged credentials make a guest. ``MultiAuthBackend`` is its backends in turn.

    A backend is called with the request alone: ``resp`` and ``resource`` are None.

    Args:
        backend: The backend.
        challenge: For ``WWW-Authenticate``; drawn from the prefixes unless given.

    Raises:
        ConfigurationError: It is no backend, or its prefix can't be a scheme.
    """

    def __init__(self, backend: Any, challenge: str | None = None) -> None:
        if not isinstance(backend, AuthBackend):
            raise ConfigurationError(f"{name_of(backend)} is no backend of falcon-auth.")
        self._backends = list(_single(backend))
        schemes = [scheme for one in self._backends if (scheme := _scheme(one)) is not None]
        drawn = ", ".join(dict.fromkeys(make_challenge(scheme) for scheme in schemes))
        self.challenge = challenge or drawn or AuthenticationBase.challenge

    def authorized(self, req: falcon.Request) -> Any:
        sent, _ = read_authorization(req)
        wrong = False
        for backend in self._backends:
            scheme = _scheme(backend)
            if scheme is not None:
                # NOTE: two backends may share a scheme: tokens of an old and a new key, say.
                if scheme.lower() != sent:
                    continue
            elif wrong or (sent and isinstance(backend, NoneAuthBackend)):
                continue
            user = _ask(backend, req)
            if user:
                return user
            wrong = wrong or scheme is not None
        if wrong:
            raise self._wrong("The credentials are not valid.")
        return None


def is_backend(kind: type) -> bool:
    """Tell whether a class is a backend of falcon-auth."""
    return issubclass(kind, AuthBackend)


def _ask(backend: Any, req: falcon.Request) -> Any:
    try:
        user = backend.authenticate(req, None, None)
        return user if _is_complete(backend, req) else None
    except falcon.HTTPUnauthorized:
        return None
    except _GARBAGE as error:
        # NOTE: on the log, because it may as well be a mistake in the author's user_loader.
        name = type(backend).__name__
        log_exception(logging.WARNING, "%s failed on a request", name, error=error)
        return None


def _is_complete(backend: Any, req: falcon.Request) -> bool:
    """Tell whether a token, known to be genuine, has all that its backend requires."""
    # APPSEC: falcon-auth asks for it in the words of PyJWT 1, to which PyJWT 2 doesn't listen:
    # it takes a token without exp, which never ends.
    if getattr(type(backend), "_decode_jwt_token", None) is not JWTAuthBackend._decode_jwt_token:
        return True
    claims = jwt.decode(read_authorization(req)[1], options={"verify_signature": False})
    return all(claims.get(name) is not None for name in backend.required_claims)


def _single(backend: Any) -> Iterator[Any]:
    """Yield a backend, or those that a MultiAuthBackend is made of."""
    # NOTE: not those of a subclass with an authenticate of its own.
    if type(backend).authenticate is MultiAuthBackend.authenticate:
        for one in backend.backends:
            yield from _single(one)
    else:
        yield backend


def _scheme(backend: Any) -> str | None:
    scheme: str | None = getattr(backend, "auth_header_prefix", None)
    return scheme
