"""Authentication methods: who is calling?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import falcon

from falcorest.errors import Unauthorized


class AuthenticationBase:
    """Base class of authentication methods.

    Attributes:
        challenge: What ``WWW-Authenticate`` says when credentials are missing (RFC 9110).
    """

    challenge: ClassVar[str] = 'Bearer realm="falcorest"'

    def authorized(self, req: falcon.Request) -> Any:
        """Tell who is calling.

        Args:
            req: The request.

        Returns:
            The user, which is any true object; or None when the request carries no
            credentials of this kind.

        Raises:
            Unauthorized: It does, and they are wrong.
        """
        raise NotImplementedError


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
            no method accepts them.
    """
    for method in methods:
        user = method.authorized(req)
        if user:
            return user
    challenge = ", ".join(method.challenge for method in methods)
    if methods and req.env.get("HTTP_AUTHORIZATION", "").strip():
        raise Unauthorized(
            "auth.invalid",
            "The credentials are of no kind that is accepted here.",
            headers={"WWW-Authenticate": challenge},
        )
    if required:
        raise Unauthorized(
            "auth.required",
            "This needs a login.",
            headers={"WWW-Authenticate": challenge},
        )
    return None
