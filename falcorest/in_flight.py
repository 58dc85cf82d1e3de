"""In flight: how many requests a process serves at once, and how many wait for their turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any

import falcon

from falcorest.api import write_problem
from falcorest.database import WAITED
from falcorest.errors import ConfigurationError, problem_object
from falcorest.limits import MOST
from falcorest.probes import Probe

#: How many requests may wait for their turn, and how long, in milliseconds.
MAX_WAITING = 100
WAIT_MS = 1000

#: When a request that was refused may be made again, in seconds.
RETRY_AFTER = "1"

#: Whether a request may be served, where a server has seen to that before.
TURN = "falcorest.turn"

#: Where the slot is that a request holds.
_SLOT = "falcorest.slot"


class InFlight:
    """Bounds the requests that a process serves at once; a Falcon middleware.

    ::

        app = falcon.App(middleware=[Monitor(), InFlight(8)])

    It stands behind the monitor and in front of the rest. Requests beyond the bound wait for
    their turn, and are answered with 503 where that takes too long or too many wait. Each of them
    occupies a thread of the server, which so needs as many as may be in flight, plus as many as
    may wait, plus some for those that are refused. Probes never wait.

    Args:
        most: The most requests that are served at once.
        max_waiting: The most that wait for their turn.
        wait_ms: How long one waits, in milliseconds.

    Raises:
        ConfigurationError: One of them can't be.
    """

    def __init__(
        self, most: int, *, max_waiting: int = MAX_WAITING, wait_ms: int = WAIT_MS
    ) -> None:
        bounds = {"most": (most, 1), "max_waiting": (max_waiting, 0), "wait_ms": (wait_ms, 1)}
        wrong = [
            f"InFlight: {name} is a whole number from {least} to {MOST}, not {value!r}."
            for name, (value, least) in bounds.items()
            if type(value) is not int or not least <= value <= MOST
        ]
        if wrong:
            raise ConfigurationError(*wrong)
        self._free = most
        self._max_waiting = max_waiting
        self._wait_seconds = wait_ms / 1000
        self._waiting: deque[Any] = deque()
        # NOTE: the garbage collector may let go of a slot while this thread holds it.
        self._lock = threading.RLock()

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: Any, params: dict[str, Any]
    ) -> None:
        """Take a slot, or answer with 503."""
        if isinstance(resource, Probe):
            return
        turn = req.env.get(TURN)
        if turn is not None:
            if not turn:
                refuse(resp)
            return
        # PERF: mostly there is one.
        with self._lock:
            is_free = self._free > 0
            if is_free:
                self._free -= 1
        if not is_free:
            begun = monotonic()
            is_free = self._wait()
            req.env[WAITED] = monotonic() - begun
        if is_free:
            req.env[_SLOT] = _Slot(self)
        else:
            refuse(resp)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: Any, req_succeeded: bool
    ) -> None:
        """Let go of the slot, or keep it until the stream has ended."""
        slot = req.env.pop(_SLOT, None)
        if slot is None:
            return
        stream: Any = resp.stream
        # NOTE: a file is left to the server, which may have a quicker way to send it.
        if stream is None or req.method == "HEAD" or hasattr(stream, "read"):
            slot.release()
        else:
            resp.stream = _Held(stream, slot)

    def _wait(self) -> bool:
        """Wait for a slot that somebody lets go of, and tell whether there was one in time."""
        turn = threading.Lock()
        turn.acquire()
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            if len(self._waiting) >= self._max_waiting:
                return False
            self._waiting.append(turn)
        if turn.acquire(timeout=self._wait_seconds):
            return True
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        # NOTE: it has come at the last moment.
        return True

    def release(self) -> None:
        """Give a slot to who has waited longest, if anybody does."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class _Slot:
    """The place of a request among those in flight.

    However the request ends, it is let go of once: at the latest when nobody knows it any more.
    """

    __slots__ = ("_of",)

    def __init__(self, of: InFlight) -> None:
        self._of: InFlight | None = of

    def release(self) -> None:
        of, self._of = self._of, None
        if of is not None:
            of.release()

    __del__ = release


class _Held:
    """A stream that holds a slot until its end.

    Args:
        stream: What is sent.
        slot: That of the request.
    """

    def __init__(self, stream: Iterable[bytes], slot: _Slot) -> None:
        self._stream = stream
        self._pieces = iter(stream)
        self._slot = slot

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except BaseException:
            self._slot.release()
            raise

    def close(self) -> None:
        """Let go of the stream, which may not be at its end."""
        try:
            if hasattr(self._stream, "close"):
                self._stream.close()
        finally:
            self._slot.release()


def refuse(resp: falcon.Response) -> None:
    """Answer that there is too much to do."""
    detail = "The server has too much to do; nothing was done about this request."
    write_problem(resp, 503, problem_object(503, "server.busy", detail))
    resp.set_header("Retry-After", RETRY_AFTER)
    resp.complete = True
