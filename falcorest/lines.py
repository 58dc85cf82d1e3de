"""Lines: bodies that are read piece by piece, and line by line."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator
from typing import Any

import falcon

from falcorest.errors import BodyError, ContentTooLarge, RequestTimeout, UnsupportedMediaType
from falcorest.limits import Limits

#: How many bytes are asked for at once.
PIECE = 64 * 1024
#: Likewise, where all of it has to come in time: a server doesn't come back before they are there.
_SMALL_PIECE = 16 * 1024


class Body:
    """The body of a request, read piece by piece.

    Args:
        req: The request.
        max_bytes: The most that is read.
        timeout_ms: How long it may take to come, or a piece of it where it is read line by line.

    Raises:
        UnsupportedMediaType: It is encoded (415).
        ContentTooLarge: It says that it is larger (413).
    """

    def __init__(
        self, req: falcon.Request, max_bytes: int, timeout_ms: int = Limits.client_timeout_ms
    ) -> None:
        if req.env.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() not in {"", "identity"}:
            raise UnsupportedMediaType(
                "body.unsupported_type",
                "The body must be sent as it is, without Content-Encoding.",
                headers={"Accept-Encoding": "identity"},
            )
        length = req.content_length
        if length is not None and length > max_bytes:
            raise _too_large(max_bytes)
        if length is None and not req.env.get("wsgi.input_terminated"):
            length = 0
        # NOTE: without a length, the body is chunked, and the server tells where it ends.
        self._stream: Any = req.stream if length is None else req.bounded_stream
        self._length = length
        self._max_bytes = max_bytes
        self._read = 0
        self._env = req.env
        # NOTE: granian takes a chunked body that breaks off for one that has ended.
        is_doubtful = length is None and req.env.get("SERVER_SOFTWARE") == "Granian"
        self._sockets = _sockets() if is_doubtful else None
        self._seconds = timeout_ms / 1000

    def read(self, size: int) -> bytes:
        """Return the next piece; nothing at the end.

        Args:
            size: The most bytes of it.

        Raises:
            ContentTooLarge: There is more than may be read (413).
            BodyError: It breaks off (400).
        """
        try:
            piece: bytes = self._stream.read(min(size, self._max_bytes + 1 - self._read))
        except Exception as error:
            # NOTE: each server has exceptions of its own for a body that breaks off or is chunked
            # wrongly.
            raise BodyError("body.malformed", "The body can't be read to its end.") from error
        self._read += len(piece)
        if self._read > self._max_bytes:
            raise _too_large(self._max_bytes)
        if not piece and self._length is not None and self._read < self._length:
            raise BodyError("body.malformed", "The body is shorter than its Content-Length says.")
        if not piece and self._sockets is not None and not self._still_there(self._sockets):
            raise BodyError("body.malformed", "The body breaks off.")
        return piece

    def _still_there(self, sockets: Collection[str]) -> bool:
        from falcorest.connections import still_there

        return still_there(self._env, self._read, sockets, self._seconds)

    def whole(self) -> bytes:
        """Return all of it.

        Raises:
            ContentTooLarge: It is more than may be read (413).
            BodyError: It breaks off (400).
            RequestTimeout: It takes too long to come (408).
        """
        pieces = []
        late = time.monotonic() + self._seconds
        while piece := self.read(_SMALL_PIECE):
            pieces.append(piece)
            self._check(late)
        return b"".join(pieces)

    def _check(self, late: float) -> None:
        if time.monotonic() > late:
            raise RequestTimeout(
                "body.timeout", f"The body took longer than {self._seconds:g} seconds to come."
            )

    def lines(self, max_bytes: int) -> Iterator[bytes | None]:
        """Yield its lines, without their ends; None for one that is too long.

        Args:
            max_bytes: The most that a line may have.

        Raises:
            ContentTooLarge: The body is more than may be read (413).
            BodyError: It breaks off (400).
            RequestTimeout: A piece takes too long to come (408).
        """
        begun: list[bytes] = []
        size = 0
        late = time.monotonic() + self._seconds
        while piece := self.read(PIECE):
            self._check(late)
            *ends, rest = piece.split(b"\n")
            for end in ends:
                size += len(end)
                yield b"".join([*begun, end]) if size <= max_bytes else None
                begun, size = [], 0
            size += len(rest)
            # PERF: of a line that is too long already, nothing is kept.
            begun = [*begun, rest] if size <= max_bytes else []
            late = time.monotonic() + self._seconds
        if size:
            yield b"".join(begun) if size <= max_bytes else None


def _sockets() -> Collection[str] | None:
    """Return the sockets that there are; None where they can't be seen."""
    if sys.platform != "linux":
        return None
    # PERF: most bodies have a length.
    from falcorest.connections import sockets

    return set(sockets().values())


def _too_large(max_bytes: int) -> ContentTooLarge:
    return ContentTooLarge("body.too_large", f"The body may have {max_bytes} bytes at the most.")
