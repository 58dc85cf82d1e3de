"""What granian's workers call for each request: those that wait have no thread of their own."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias

from falcorest.database import WAITED
from falcorest.in_flight import TURN
from falcorest.logs import log_exception

#: How many threads there are beside those that serve: for requests that have to wait, for those
#: that are refused, and for probes.
SPARE_THREADS = 6

#: How many of them may be kept by bodies that have not come yet.
READERS = 4

#: How long such a thread is waited for, in seconds.
_READER_SECONDS = 0.1

#: The largest body that is read before its request waits, and how much of them there may be in
#: all, in bytes. A thread waits with what is larger, or has no length.
LARGEST_BODY = 64 * 1024
ALL_BODIES = 8 * 1024 * 1024

#: The largest body that is read for nothing, in bytes.
LARGEST_TAKEN = 1024 * 1024

#: How long such a thread leaves what waits to granian, in seconds, while little does.
PATIENCE = 0.01

#: How soon a worker ends that was put in the place of another if it can't work, in seconds; how
#: often that may happen in a row, and how long to wait before the first time.
_CRASH_SECONDS = 5.5
_CRASHES = 5
_CRASH_PAUSE = 0.1

#: How often it is seen to what waits, in seconds.
_LOOK_SECONDS = 0.05

#: From how many connections on many may wait. granian takes about a thousand.
_MANY_CONNECTIONS = 500

#: Where it stands that a request holds a turn, as long as it does.
_HELD = "falcorest.held"

_UNAVAILABLE = 503

#: How much of a body is asked for at once, in bytes: a client may be slow with it.
_PIECE = 2048

#: Serves a request: takes what the answer is given to, and the environ.
Call: TypeAlias = Callable[[Any, dict[str, Any]], object]


@dataclass(slots=True, eq=False)
class _Waiter:
    """A request that waits for its turn.

    Attributes:
        late: When it has waited too long, by the monotonic clock.
        proto: Takes the answer.
        environ: Its environ.
        turn: Released when it has its turn, or is refused, if a thread waits with it.
        body: How many bytes of it were read.
        refused: Whether it has waited too long.
    """

    late: float
    proto: Any
    environ: dict[str, Any]
    turn: Any = None
    body: int = 0
    refused: bool = False


class Respawned(dict[int, float]):
    """When granian last put a worker in the place of one that had ended.

    NOTE: granian ends all of them when one ends within seconds after it was put there, though it
    may have been killed. Here that may happen some times in a row.
    """

    def __init__(self) -> None:
        super().__init__()
        self._in_a_row = 0

    def get(self, worker: int, default: Any = 0) -> Any:
        """Return when a worker was put in its place, or long ago where that does no harm."""
        at = super().get(worker, default)
        if time.monotonic() - at > _CRASH_SECONDS:
            self._in_a_row = 0
            return at
        self._in_a_row += 1
        if self._in_a_row > _CRASHES:
            return at
        time.sleep(_CRASH_PAUSE * self._in_a_row)
        return 0


class Turns:
    """Has requests served a few at a time, in the order in which they came.

    granian calls it in a thread for each request. A thread that finds no turn free leaves the
    request here and goes back; one that has served a request serves the next that waits.

    PERF: to hand a request from thread to thread costs it a sixth of its time, where granian has
    the next one ready for who comes back. So, while no more may wait than are soon served, it is
    left with most of them, by threads that are slow to ask for more.

    NOTE: granian forgets a body when the thread goes back, so it is read before.

    Args:
        app: The application.
        most: The most requests that are served at once.
        max_waiting: The most that wait for their turn.
        wait_ms: How long one waits, in milliseconds.
        urgent: The paths of requests that never wait.
    """

    def __init__(
        self, app: Any, most: int, max_waiting: int, wait_ms: int, urgent: Collection[str]
    ) -> None:
        #: What granian makes of ``serve_one``.
        self.call: Call
        self._app = app
        self._free = most
        self._max_waiting = max_waiting
        self._wait_seconds = wait_ms / 1000
        self._urgent = urgent
        self._waiting: deque[_Waiter] = deque()
        self._bodies = 0
        self._readers = threading.Semaphore(READERS)
        #: When one of them has last begun or ended.
        self._read_at = 0.0
        self._lock = threading.Lock()
        self._is_busy = threading.Event()
        self._patience = PATIENCE
        self._served = 0
        threading.Thread(target=self._look_after, name="falcorest-turns", daemon=True).start()

    def serve_one(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve a request; the WSGI application that granian sees."""
        body = self._app(environ, start_response)
        if _has_body(environ) and start_response.status == _UNAVAILABLE:
            self._take_body(environ)
        held = environ[_HELD]
        # NOTE: what is sent as a whole needs nobody any more, and who gets it may ask again before
        # granian has come back from giving it away.
        if held and type(body) is list:
            held.clear()
            with self._lock:
                self._free += 1
        return body

    def __call__(self, proto: Any, environ: dict[str, Any]) -> None:
        """Serve a request, or have it wait for its turn."""
        with self._lock:
            has_turn = self._free > 0 and not self._waiting
            if has_turn:
                self._free -= 1
        if has_turn:
            self._serve(proto, environ)
        elif len(self._waiting) >= self._max_waiting or self._never_waits(environ):
            self._refuse(proto, environ)
        elif not _has_body(environ):
            self._wait(_Waiter(self._late(), proto, environ))
        elif self._may_read():
            try:
                waiter = self._read(proto, environ)
                is_parked = waiter is not None and waiter.turn is None
                if waiter is not None and not is_parked:
                    self._wait(waiter)
                    waiter.turn.acquire()
            finally:
                self._read_at = time.monotonic()
                self._readers.release()
            if waiter is not None and is_parked:
                self._wait(waiter)
            elif waiter is None or waiter.refused:
                self._refuse(proto, environ)
            else:
                self._serve(proto, environ)
        else:
            self._refuse(proto, environ)

    def _may_read(self) -> bool:
        """Wait a moment for a thread that may be kept by a body; tell whether there is one."""
        # APPSEC: where clients keep all of them, nobody else waits for that, a probe least of all.
        are_kept = time.monotonic() - self._read_at > _READER_SECONDS
        if not self._readers.acquire(timeout=0 if are_kept else _READER_SECONDS):
            return False
        self._read_at = time.monotonic()
        return True

    def _late(self) -> float:
        return time.monotonic() + self._wait_seconds

    def _read(self, proto: Any, environ: dict[str, Any]) -> _Waiter | None:
        """Read the body of a request, so that no thread need wait with it; not a large one.

        Returns:
            What waits; None for a body that takes too long.
        """
        waiter = _Waiter(self._late(), proto, environ)
        size = _size(environ)
        with self._lock:
            if size is not None and size <= LARGEST_BODY and self._bodies + size <= ALL_BODIES:
                self._bodies += size
                waiter.body = size
        if not waiter.body:
            waiter.turn = threading.Lock()
            waiter.turn.acquire()
            return waiter
        body = None
        try:
            body = self._body(environ["wsgi.input"], waiter.body)
        finally:
            if body is None:
                with self._lock:
                    self._bodies -= waiter.body
        if body is None:
            return None
        environ["wsgi.input"] = BytesIO(body)
        # NOTE: the time that its client took is not its waiting.
        waiter.late = self._late()
        return waiter

    def _body(self, input: Any, size: int, at_once: int = _PIECE) -> bytes | None:
        """Return a body, or None if it doesn't come in the time that its request may wait."""
        pieces, late = [], self._late()
        while size > 0 and (piece := input.read(min(size, at_once))):
            pieces.append(piece)
            size -= len(piece)
            if size > 0 and time.monotonic() > late:
                return None
        return b"".join(pieces)

    def _never_waits(self, environ: dict[str, Any]) -> bool:
        return environ["PATH_INFO"].rstrip("/") in self._urgent

    def _take_body(self, environ: dict[str, Any]) -> None:
        """Read a body that nobody wanted, unless it is large.

        Where its answer is faster than the body, granian closes the connection behind it, and the
        client's next request on it gets none.
        """
        size = _size(environ)
        if size is not None and size <= LARGEST_TAKEN and self._readers.acquire(blocking=False):
            try:
                self._body(environ["wsgi.input"], size, 8 * _PIECE)
            finally:
                self._readers.release()

    def _wait(self, waiter: _Waiter) -> None:
        if self._patience:
            time.sleep(self._patience)
        with self._lock:
            # NOTE: a thread that waits with its own request has no time for others.
            may_serve = waiter.turn is None or not self._waiting
            self._waiting.append(waiter)
            first = self._first() if may_serve else None
            if first is None:
                self._is_busy.set()
        if first is not None and self._is_ours(first):
            self._serve(first.proto, first.environ)

    def _first(self) -> _Waiter | None:
        """Take the first that waits, if there is a turn for it."""
        if not (self._waiting and self._free):
            return None
        self._free -= 1
        return self._leave(self._waiting.popleft())

    def _leave(self, waiter: _Waiter) -> _Waiter:
        self._bodies -= waiter.body
        waiter.environ[WAITED] = time.monotonic() - waiter.late + self._wait_seconds
        return waiter

    @staticmethod
    def _is_ours(waiter: _Waiter) -> bool:
        """Tell whether this thread has to serve a request; else the one that waits with it does."""
        if waiter.turn is None:
            return True
        waiter.turn.release()
        return False

    def _serve(self, proto: Any, environ: dict[str, Any]) -> None:
        """Serve a request, and those that wait."""
        while True:
            environ[TURN] = True
            environ[_HELD] = held = [True]
            self._answer(proto, environ)
            with self._lock:
                self._served += 1
                if held:
                    self._free += 1
                first = self._first()
            if first is None or not self._is_ours(first):
                return
            proto, environ = first.proto, first.environ

    def _refuse(self, proto: Any, environ: dict[str, Any]) -> None:
        """Have the application say that there is too much to do, unless it is a probe."""
        environ[TURN] = False
        environ[_HELD] = []
        self._answer(proto, environ)

    def _answer(self, proto: Any, environ: dict[str, Any]) -> None:
        try:
            self.call(proto, environ)
        except BaseException as error:  # noqa: BLE001
            # NOTE: granian answers with 500 when nobody knows the request any more.
            log_exception(logging.ERROR, "a request failed", error=error)

    def _look_after(self) -> None:
        """See to what waits: for how long, and how much there may be of it."""
        while True:
            self._is_busy.wait()
            begun, served = time.monotonic(), self._served
            time.sleep(_LOOK_SECONDS)
            late = []
            with self._lock:
                now = time.monotonic()
                while self._waiting and self._waiting[0].late <= now:
                    late.append(self._leave(self._waiting.popleft()))
                if not self._waiting and self._free:
                    self._is_busy.clear()
            for waiter in late:
                waiter.refused = True
                if self._is_ours(waiter):
                    self._refuse(waiter.proto, waiter.environ)
            self._patience = self._patience_at((self._served - served) / (now - begun))

    def _patience_at(self, rate: float) -> float:
        """Return how long a thread is to leave what waits to granian.

        Args:
            rate: How many requests are served in a second.
        """
        try:
            connections = len(os.listdir("/proc/self/fd"))
        except OSError:
            return 0
        most = min(_MANY_CONNECTIONS, rate * self._wait_seconds / 4)
        return PATIENCE if connections < most else 0


def _has_body(environ: dict[str, Any]) -> bool:
    length = environ.get("CONTENT_LENGTH")
    return length != "0" if length is not None else "HTTP_TRANSFER_ENCODING" in environ


def _size(environ: dict[str, Any]) -> int | None:
    """Return how many bytes a body has; None where that isn't said."""
    length = environ.get("CONTENT_LENGTH", "")
    return int(length) if length.isdecimal() else None
