"""Preferences: what a client would like to get back of a write.

Source: RFC 7240, section 4.2 (``Prefer: return=…``).
"""

from __future__ import annotations

import re

import falcon

MINIMAL = "minimal"
REPRESENTATION = "representation"

_RETURN = re.compile(
    r'(?:^|,)[ \t]*return[ \t]*=[ \t]*"?(minimal|representation)"?[ \t]*(?=[,;]|$)', re.I
)


def preference(req: falcon.Request) -> str | None:
    """Return what a client prefers to get back: MINIMAL, REPRESENTATION, or None for the usual.

    Other preferences aren't for us; a client that has them doesn't mind.
    """
    given = req.env.get("HTTP_PREFER")
    found = None if given is None else _RETURN.search(given)
    return None if found is None else found[1].lower()


def apply_preference(resp: falcon.Response, wanted: str | None) -> None:
    """Say in an answer which preference it follows."""
    if wanted is not None:
        resp.set_header("Preference-Applied", f"return={wanted}")
