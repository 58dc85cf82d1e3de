"""CORS: whose pages may use the API in a browser.

``falcon.CORSMiddleware`` does most of this, but sends no ``Vary: Origin``, without which a cache
may hand what was answered to one origin to another, and grants whatever headers are asked for.

Source: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import falcon

#: Every origin.
ANY = "*"

#: What a page may send.
SENT = (
    *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Prefer"),
    *("X-API-Key", "X-Request-ID"),
)
#: What a page may read of an answer, beside its body.
READ = (
    *("Accept-Patch", "ETag", "Link", "Location", "Preference-Applied", "Retry-After"),
    *("WWW-Authenticate", "X-Request-ID", "X-Total-Count"),
)

#: How long a browser may remember what it may send, in seconds. They cut it to two hours.
MAX_AGE = 3600


class CORS:
    """Tells browsers which pages may use the API; a Falcon middleware.

    Args:
        origins: Theirs, as browsers send them; or :data:`ANY`.
        credentials: Whether they may send what the browser keeps for the API.
    """

    def __init__(self, origins: Collection[str], *, credentials: bool = False) -> None:
        self._any = ANY in origins
        self._origins = frozenset(origins)
        self._credentials = credentials

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: Any, req_succeeded: bool
    ) -> None:
        """Set the headers, on errors as well."""
        resp.append_header("Vary", "Origin")
        origin = req.env.get("HTTP_ORIGIN")
        if origin is None or not (self._any or origin in self._origins):
            return
        resp.set_header("Access-Control-Allow-Origin", ANY if self._any else origin)
        if self._credentials:
            resp.set_header("Access-Control-Allow-Credentials", "true")
        if req.method != "OPTIONS" or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in req.env:
            resp.set_header("Access-Control-Expose-Headers", ", ".join(READ))
            return
        allowed = resp.get_header("Allow")
        if req_succeeded and allowed is not None:
            resp.set_header("Access-Control-Allow-Methods", allowed)
            resp.set_header("Access-Control-Allow-Headers", ", ".join(SENT))
            resp.set_header("Access-Control-Max-Age", str(MAX_AGE))
