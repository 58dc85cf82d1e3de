"""Responding: what all views share, whatever they serve."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import falcon
from falcon import HTTP_304
from falcon.constants import HTTP_METHODS

from falcorest import bson_json, patches
from falcorest.errors import UnsupportedMediaType
from falcorest.limits import Limits
from falcorest.lines import Body
from falcorest.logs import log, logger
from falcorest.preconditions import Preconditions, tag_of

#: The media types that a ``PATCH`` of one document may have (RFC 5789).
ACCEPT_PATCH = ", ".join((falcon.MEDIA_JSON, *patches.MEDIA_TYPES))

#: Where the content and the media type are that a 304 has spared.
NOT_SENT = "falcorest.not_sent"

#: Where the body is that has been read already.
BODY = "falcorest.body"


@dataclass(frozen=True)
class Said:
    """What a description says of a view that has nothing but a ``GET``.

    Attributes:
        name: Of the operation.
        tag: What it belongs to.
        summary: What it does.
        answer: What comes back.
        media_type: Of that.
        schema: Of that; JSON Schema.
        headers: Those that the answer always has.
        codes: Of the errors that may come back.
    """

    name: str
    tag: str
    summary: str
    answer: str
    media_type: str
    schema: dict[str, Any]
    headers: tuple[str, ...]
    codes: tuple[str, ...]


class View:
    """Base class of everything that falcorest serves: a Falcon resource class.

    Attributes:
        who: Who may ask, as ``falcorest routes`` shows it; empty where that isn't known.
        said: What its description says, where that isn't drawn from something else.
    """

    who: ClassVar[str] = ""
    said: ClassVar[Said | None] = None

    def allowed(self, suffix: str) -> list[str]:
        """Return the HTTP methods that are served at an address.

        Args:
            suffix: That of the route's responders.
        """
        return [
            method
            for method in HTTP_METHODS
            if method != "OPTIONS" and callable(getattr(self, f"on_{method.lower()}{suffix}", None))
        ]

    def on_options(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Tell which methods are served."""
        resp.set_header("Allow", ", ".join([*self.allowed(""), "OPTIONS"]))


def answer_tagged(
    req: falcon.Request, resp: falcon.Response, content: bytes, media_type: str
) -> None:
    """Answer with something and its tag, or with 304 if the client has it (RFC 9110, section 13).

    Raises:
        PreconditionFailed: ``If-Match`` names something else.
    """
    tag = tag_of(content)
    resp.set_header("ETag", tag)
    preconditions = Preconditions.of(req.env)
    if preconditions is not None:
        preconditions.require_match(tag)
        if preconditions.is_known(tag):
            resp.status = HTTP_304
            # NOTE: what compresses it has a tag of its own to compare.
            req.env[NOT_SENT] = (content, media_type)
            return
    resp.content_type = media_type
    resp.data = content


def media_type(req: falcon.Request) -> str:
    """Return the media type of a request's body, without parameters; empty where none is said."""
    return (req.content_type or "").partition(";")[0].strip().lower()


def read_json(
    req: falcon.Request,
    max_bytes: int,
    max_depth: int = Limits.max_body_depth,
    accepted: str = falcon.MEDIA_JSON,
    parse: Callable[[bytes, int], Any] = bson_json.parse,
    timeout_ms: int = Limits.client_timeout_ms,
) -> Any:
    """Read the body of a request as JSON; ``$`` objects in it are left as they stand.

    Args:
        req: Its ``Content-Type`` may be missing, and is JSON otherwise.
        max_bytes: The largest body that is read.
        max_depth: How many levels of objects and lists it may have.
        accepted: The media types that are read at this address.
        parse: What reads it otherwise.
        timeout_ms: How long it may take to come.

    Raises:
        UnsupportedMediaType: It is something else (415).
        ContentTooLarge: It is larger (413).
        BodyError: It can't be read (400).
        RequestTimeout: It takes too long to come (408).
    """
    if media_type(req) not in {"", *accepted.split(", ")}:
        raise UnsupportedMediaType(
            "body.unsupported_type",
            f"The body must be JSON; the Content-Type may be {accepted.replace(', ', ' or ')}.",
            headers=dict.fromkeys(
                ("Accept", "Accept-Patch") if accepted == ACCEPT_PATCH else ("Accept",), accepted
            ),
        )
    body = req.env.get(BODY)
    return parse(Body(req, max_bytes, timeout_ms).whole() if body is None else body, max_depth)


def log_failure(req: falcon.Request, error: Exception) -> None:
    """Log what went wrong with a request, under its id."""
    request_id = getattr(req.context, "request_id", "-")
    # APPSEC: the template of the route, because the path may hold an id.
    fields = {"request_id": request_id, "method": req.method, "route": req.uri_template}
    message = f"{req.method} {req.uri_template} failed (request {request_id})"
    log(logger, logging.ERROR, message, fields, error)
