"""Caller: who a request comes from, and where it keeps that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import falcon

#: Where a request keeps what ``WWW-Authenticate`` says when the caller must be known.
CHALLENGE = "falcorest.challenge"

#: What everybody is, and what everybody is who has logged in.
PUBLIC = "public"
AUTHENTICATED = "authenticated"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from.

    Attributes:
        username: The name; None for a caller who has none.
        roles: What the caller is: ``public``, ``authenticated`` after a login, and the roles
            of the user.
    """

    username: str | None = None
    roles: frozenset[str] = frozenset({PUBLIC})

    @property
    def is_known(self) -> bool:
        """Whether the caller has logged in."""
        return AUTHENTICATED in self.roles


ANONYMOUS = Caller()


def caller_of(req: falcon.Request) -> Caller:
    """Return who a request comes from, as far as ``req.context.user`` tells.

    The user may be an object or a dict, with ``username`` and perhaps ``roles``, or the name
    itself.
    """
    user = user_of(req)
    if not user:
        return ANONYMOUS
    name = user if isinstance(user, str) else _part(user, "username")
    roles = _part(user, "roles")
    own = roles if isinstance(roles, (list, tuple, set, frozenset)) else ()
    return Caller(
        name if isinstance(name, str) and name else None,
        frozenset({PUBLIC, AUTHENTICATED, *(role for role in own if isinstance(role, str))}),
    )


def _part(user: Any, name: str) -> Any:
    return user.get(name) if isinstance(user, Mapping) else getattr(user, name, None)


def user_of(req: falcon.Request) -> Any:
    """Return ``req.context.user``; None if there is none. The context may be a dict."""
    context = req.context
    return context.get("user") if isinstance(context, dict) else getattr(context, "user", None)


def set_user(req: falcon.Request, user: Any) -> None:
    """Set ``req.context.user``."""
    if isinstance(req.context, dict):
        req.context["user"] = user
    else:
        req.context.user = user


def challenge_of(req: falcon.Request) -> str:
    """Return what ``WWW-Authenticate`` says when the caller must be known (RFC 9110)."""
    return str(req.env.get(CHALLENGE, 'Bearer realm="falcorest"'))
