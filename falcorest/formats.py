"""Formats: the media types in which answers are written, and which one a client gets.

Source: https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import falcon
from falcon.util.mediatypes import best_match

from falcorest.errors import NotAcceptable, Problem, problem_json, problem_object
from falcorest.query import Query
from falcorest.reading import Reader
from falcorest.streams import DocumentStream
from falcorest.tables import make_table

JSON = falcon.MEDIA_JSON
NDJSON = "application/x-ndjson"
CSV = "text/csv"

#: Where the middleware leaves the format of a list, unless it is JSON.
FORMAT = "falcorest.format"

#: What a list is served as; the first is what everybody gets who doesn't mind. NOTE: who asks for
#: a table without a header asks for something else.
_OF_LISTS = {JSON: JSON, NDJSON: NDJSON, f"{CSV};header=present": CSV}
_OF_OTHERS = {JSON: JSON}


def choose(accept: str, *, of_list: bool) -> str:
    """Return the media type that a client likes best.

    Args:
        accept: Its ``Accept`` header.
        of_list: Whether it asks for a list.

    Raises:
        NotAcceptable: It takes none of what is served.
    """
    served = _OF_LISTS if of_list else _OF_OTHERS
    try:
        found = best_match(served, accept.lower())
    except falcon.InvalidMediaType:
        found = ""
    if not found:
        names = ", ".join(served.values())
        raise NotAcceptable(
            "accept.unsupported",
            f"The Accept header allows nothing of what is served: {names}.",
            headers={"Vary": "Accept"} if of_list else {},
        )
    return served[found]


class Lines(Protocol):
    """Writes a list, one document a line.

    Attributes:
        raises: Whether a list that breaks off breaks the connection.
    """

    raises: bool

    @property
    def start(self) -> bytes:
        """What stands above the documents."""

    def write(self, shown: Sequence[Any]) -> bytes:
        """Return documents, as they are shown, as lines."""

    def failure(self, problem: dict[str, Any]) -> bytes:
        """Return what stands at the end of a list that breaks off."""


class JSONLines:
    """Writes documents as lines of JSON.

    Source: https://github.com/ndjson/ndjson-spec

    Args:
        dumps: Writes JSON.
    """

    raises = False
    start = b""

    def __init__(self, dumps: Callable[[Any], bytes]) -> None:
        self._dumps = dumps

    def write(self, shown: Sequence[Any]) -> bytes:
        """Return documents, as they are shown, as lines."""
        return b"".join([self._dumps(one) + b"\n" for one in shown])

    def failure(self, problem: dict[str, Any]) -> bytes:
        """Return a line that says why the list breaks off."""
        return b'{"error":%b}\n' % problem_json(problem)


def write_list(
    req: falcon.Request,
    resp: falcon.Response,
    work: Reader,
    query: Query,
    documents: Any,
    most: int,
    log: Callable[[falcon.Request, Exception], None],
) -> None:
    """Write a list into a response, in the format that :data:`FORMAT` says.

    Args:
        req: The request.
        resp: Its answer.
        work: Shows the documents.
        query: What was asked.
        documents: A list, or a stream.
        most: The most columns of a table.
        log: Logs what went wrong.

    Raises:
        QueryError: A table would have more columns.
    """
    streamed = isinstance(documents, DocumentStream) and not documents.complete
    first = documents.first if isinstance(documents, DocumentStream) else documents
    shown = work.shown(first)
    lines: Lines
    if req.env[FORMAT] == CSV:
        lines = make_table(work, query, documents, shown, most)
        resp.content_type = f"{CSV}; charset=utf-8; header=present"
    else:
        lines = JSONLines(work.json)
        resp.content_type = NDJSON
    if not streamed:
        resp.data = lines.start + lines.write(shown)
    elif req.method == "HEAD":
        documents.close()
        resp.stream = iter(())
    else:
        resp.stream = _streamed(lines, documents, work, log)


def _streamed(
    lines: Lines,
    documents: DocumentStream,
    work: Reader,
    log: Callable[[falcon.Request, Exception], None],
) -> Iterator[bytes]:
    above = lines.start
    try:
        for batch in documents.batches():
            if written := above + lines.write(work.shown(batch)):
                yield written
                above = b""
    except Exception as error:
        log(work.resource.req, error)
        problem = error.to_dict() if isinstance(error, Problem) else _broken()
        yield lines.failure(problem)
        if lines.raises:
            raise


def _broken() -> dict[str, Any]:
    return problem_object(500, "server.error", "Something broke in the server; its log says what.")
