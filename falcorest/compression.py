"""Compression: answers as gzip, for clients that take it.

Source: https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import falcon

from falcorest.responding import NOT_SENT

#: The smallest answer that is compressed, in bytes.
SMALLEST = 1024

#: PERF: at 6, JSON gets 7 % smaller and takes more than twice as long.
LEVEL = 3

#: To zlib, this means gzip.
_GZIP = zlib.MAX_WBITS | 16

_PIECE = 64 * 1024

# NOTE: pictures, archives and the like are compressed already.
_COMPRESSIBLE = re.compile(r"text/|image/svg|application/[^;]*(?:json|xml|yaml|javascript)")

# NOTE: a client may say that it doesn't take an answer as it is.
_MAY_REFUSE = re.compile(r"identity|\*", re.IGNORECASE)

_BODILESS = (204, 205, 304)


class Compression:
    """Compresses the answers of an application; a Falcon middleware.

    It stands before what makes tags and bodies, since middleware looks at answers in reverse::

        app = falcon.App(middleware=[falcorest.Compression()])

    An answer with a strong ``ETag`` gets another one: ``"…-gzip"``.
    """

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: Any, req_succeeded: bool
    ) -> None:
        """Compress an answer, and say on what that depends."""
        status = resp.status_code
        if status == 304 and not _settle(req, resp):
            return
        status = resp.status_code
        if status in _BODILESS or status < 200 or not _is_compressible(resp):
            return
        data = resp.render_body()
        if data is None and resp.stream is None:
            return
        vary = resp._headers.get("vary")
        if vary is None:
            resp.set_header("Vary", "Accept-Encoding")
        elif "accept-encoding" not in vary.lower():
            resp.append_header("Vary", "Accept-Encoding")
        accept = req.env.get("HTTP_ACCEPT_ENCODING")
        if not accept:
            return
        # PERF: mostly, what is small may be sent as it is.
        if data is not None and len(data) < SMALLEST and not _MAY_REFUSE.search(accept):
            return
        gzip, identity = qualities(accept)
        if not gzip or gzip < (identity or 0):
            return
        if data is not None:
            if len(data) < SMALLEST and identity != 0:
                return
            resp.text = None
            resp.data = zlib.compress(data, LEVEL, _GZIP)
        else:
            resp.stream = _compressed(resp.stream)
        resp.delete_header("Content-Length")
        resp.set_header("Content-Encoding", "gzip")
        etag = _tag(resp.get_header("ETag"))
        if etag is not None:
            resp.set_header("ETag", etag)


def _settle(req: falcon.Request, resp: falcon.Response) -> bool:
    """Give a 304 the tag that the answer would have; tell whether it has to be sent after all.

    The client may have what it wouldn't get now: the same, compressed or not.
    """
    resp.append_header("Vary", "Accept-Encoding")
    tag, known = resp.get_header("ETag"), req.env.get("HTTP_IF_NONE_MATCH", "").strip()
    coded = _tag(tag)
    if tag is None or coded is None:
        return False
    if NOT_SENT not in req.env:
        # NOTE: somebody else's. The client has the compressed one, and is told so.
        resp.set_header("ETag", coded if coded in known else tag)
        return False
    content, media_type = req.env[NOT_SENT]
    gzip, identity = qualities(req.env.get("HTTP_ACCEPT_ENCODING", ""))
    wanted = bool(gzip) and gzip >= (identity or 0)
    big = len(content) >= SMALLEST or identity == 0
    own = coded if wanted and big and _COMPRESSIBLE.match(media_type) else tag
    if known == "*" or own in known:
        resp.set_header("ETag", own)
        return False
    resp.status, resp.content_type, resp.data = 200, media_type, content
    return True


def qualities(accept: str) -> tuple[float, float | None]:
    """Return how much a client likes gzip, and an answer as it is; None: it doesn't say.

    Args:
        accept: Its ``Accept-Encoding`` header.
    """
    found: dict[str, float] = {}
    for one in accept.split(","):
        coding, _, weight = one.partition(";")
        name, _, value = weight.partition("=")
        try:
            quality = float(value) if name.strip().lower() == "q" else 1.0
        except ValueError:
            quality = 0.0
        found[coding.strip().lower()] = quality if 0 < quality <= 1 else 0.0
    others = found.get("*")
    return found.get("gzip", found.get("x-gzip", others or 0.0)), found.get("identity", others)


def _is_compressible(resp: falcon.Response) -> bool:
    headers = resp._headers
    kind = headers.get("content-type", falcon.MEDIA_JSON)
    return (
        "content-encoding" not in headers
        and "content-range" not in headers
        and "no-transform" not in headers.get("cache-control", "")
        # PERF: mostly it is this one.
        and (kind == falcon.MEDIA_JSON or _COMPRESSIBLE.match(kind) is not None)
    )


def _tag(etag: str | None) -> str | None:
    """Return the tag of the compressed answer; None if there is none, or it is a weak one."""
    return f'{etag[:-1]}-gzip"' if etag is not None and etag.startswith('"') else None


def _compressed(stream: Any) -> Iterator[bytes]:
    """Yield a stream compressed. What comes out of it isn't held back."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
    try:
        for piece in _pieces(stream):
            yield compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)
        yield compressor.flush()
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()


def _pieces(stream: Any) -> Iterable[bytes]:
    return iter(lambda: stream.read(_PIECE), b"") if hasattr(stream, "read") else stream
