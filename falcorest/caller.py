"""Who is calling: where a request keeps it."""

from __future__ import annotations

from typing import Any

import falcon

#: Where a request keeps what ``WWW-Authenticate`` says when the caller must be known.
CHALLENGE = "falcorest.challenge"


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
