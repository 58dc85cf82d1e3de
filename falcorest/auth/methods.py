"""Authentication methods: who is calling?"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import falcon

from falcorest.errors import ConfigurationError, Unauthorized


class AuthenticationBase:
    """Base class of authentication methods.

    One instance serves all requests, in many threads: what belongs to a request stays in it.

    Attributes:
        challenge: What ``WWW-Authenticate`` says when nobody is known (RFC 9110): a scheme, and
            parameters if there are any.
    """

    challenge: str = 'Bearer realm="falcorest"'

    def authorized(self, req: falcon.Request) -> Any:
        """Tell who is calling.

        Args:
            req: The request.

        Returns:
            The user, which is any true object; or None (anything false will do) when the
            request carries no credentials of this kind.

        Raises:
            Unauthorized: It does, and they are wrong.
        """
        raise NotImplementedError

    def _wrong(self, detail: str) -> Unauthorized:
        """Return the error for credentials that are there and wrong."""
        headers = {"WWW-Authenticate": self.challenge}
        return Unauthorized("auth.invalid", detail, headers=headers)


def authenticate(
    req: falcon.Request, methods: Sequence[AuthenticationBase], *, required: bool
) -> Any:
    """Return who is calling: what the first method says that knows the caller.

    Args:
        req: The request.
        methods: Asked in turn.
        required: Whether somebody must be known.

    Raises:
        Unauthorized: Nobody is known though that is required, or there are credentials and
            no method accepts them. ``WWW-Authenticate`` names all methods.
        ConfigurationError: A method is asynchronous; falcorest waits for none.
    """
    for method in methods:
        try:
            user = method.authorized(req)
        except Unauthorized as error:
            own = error.headers.get("WWW-Authenticate", method.challenge)
            others = [one.challenge for one in methods if one is not method]
            error.headers["WWW-Authenticate"] = _joined([own, *others])
            raise
        if user:
            # APPSEC: a coroutine is true, whatever would have come out of it.
            if inspect.isawaitable(user):
                raise ConfigurationError(
                    f"{type(method).__name__}: asynchronous authentication is not supported."
                )
            return user
    if methods and read_authorization(req)[0]:
        raise Unauthorized(
            "auth.invalid",
            "The credentials are of no kind that is accepted here.",
            headers={"WWW-Authenticate": challenge(methods)},
        )
    if required:
        raise Unauthorized(
            "auth.required",
            "This needs a login.",
            headers={"WWW-Authenticate": challenge(methods)},
        )
    return None


def as_methods(entries: Sequence[Any]) -> tuple[AuthenticationBase, ...]:
    """Return the authentication methods that an author listed, ready to be asked.

    Args:
        entries: Instances of :class:`AuthenticationBase`, classes of it that need no arguments,
            and backends of falcon-auth.

    Raises:
        ConfigurationError: One is something else, or can't work; the message names it.
    """
    if not isinstance(entries, (list, tuple)):
        raise ConfigurationError(
            f"authentication_methods is a list of methods, not {name_of(entries)}."
        )
    return tuple(_as_method(entry) for entry in entries)


def _as_method(entry: Any) -> AuthenticationBase:
    name = f"authentication_methods: {name_of(entry)}"
    kind = entry if isinstance(entry, type) else type(entry)
    if not issubclass(kind, AuthenticationBase):
        # PERF: falcon-auth, and PyJWT with it, are loaded for what may be of theirs.
        from falcorest.auth.backends import BackendAuthentication, is_backend

        if not is_backend(kind):
            raise ConfigurationError(
                f"{name} is no authentication method: that is a class derived from "
                "falcorest.auth.AuthenticationBase, an instance of one, or a backend of "
                "falcon-auth."
            )
        return BackendAuthentication(_instance(entry, name))
    method: AuthenticationBase = _instance(entry, name)
    if type(method).authorized is AuthenticationBase.authorized:
        raise ConfigurationError(f"{name} doesn't say who is authorized(req).")
    try:
        inspect.signature(method.authorized).bind(None)
    except TypeError as error:
        raise ConfigurationError(
            f"{name}: authorized takes the request: def authorized(self, req)."
        ) from error
    if not isinstance(method.challenge, str) or not method.challenge:
        raise ConfigurationError(f"{name}: challenge is a text for WWW-Authenticate.")
    return method


def _instance(entry: Any, name: str) -> Any:
    if not isinstance(entry, type):
        return entry
    try:
        return entry()
    except (TypeError, NotImplementedError) as error:
        raise ConfigurationError(
            f"{name} can't be made without arguments; list an instance. ({error})"
        ) from error


def challenge(methods: Iterable[AuthenticationBase]) -> str:
    """Return what ``WWW-Authenticate`` says when none of these methods knows the caller."""
    return _joined(method.challenge for method in methods)


def read_authorization(req: falcon.Request) -> tuple[str, str]:
    """Return the scheme, in lower case, and the credentials of the ``Authorization`` header.

    Both are empty without one.
    """
    # NOTE: spaces and tabs are all that RFC 9110 strips; str.strip() would take "\xa0" for an
    # empty header, so for no credentials.
    header = req.env.get("HTTP_AUTHORIZATION", "").strip(" \t")
    if not header:
        return "", ""
    scheme, _, credentials = header.partition(" ")
    return scheme.lower(), credentials.strip(" \t")


def name_of(entry: Any) -> str:
    """Return what a message calls something that was listed."""
    # NOTE: no repr() of an instance, which may show a secret.
    if entry is None or isinstance(entry, str):
        return repr(entry)
    return str(getattr(entry, "__name__", type(entry).__name__))


def _joined(challenges: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(challenges))
