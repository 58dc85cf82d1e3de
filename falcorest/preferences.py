"""Preferences: what a client would like to get back of a write.

Source: RFC 7240, section 4.2 (``Prefer: return=…``).
"""

from __future__ import annotations

import re

import falcon

MINIMAL = "minimal"
REPRESENTATION = "representation"

#: One preference of a list; what is in quotes may have commas in it.
_PREFERENCE = re.compile(r'(?:[^,"]|"[^"]*")+')


def preference(req: falcon.Request) -> str | None:
    """Return what a client prefers to get back: MINIMAL, REPRESENTATION, or None for the usual.

    Other preferences aren't for us; a client that has them doesn't mind.
    """
    given = req.env.get("HTTP_PREFER")
    # PERF: mostly there is none.
    for one in () if given is None else _PREFERENCE.findall(given):
        name, _, value = one.partition(";")[0].partition("=")
        if name.strip().lower() == "return":
            # NOTE: of several, the first one counts.
            wanted = value.strip().strip('"').lower()
            return wanted if wanted in {MINIMAL, REPRESENTATION} else None
    return None


def apply_preference(resp: falcon.Response, wanted: str | None) -> None:
    """Say in an answer which preference it follows."""
    if wanted is not None:
        resp.set_header("Preference-Applied", f"return={wanted}")
