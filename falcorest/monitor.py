"""Monitor: sees every request of an application, for the log and for the metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import Any

import falcon
from pymongo.monitoring import CommandListener, ConnectionPoolListener

from falcorest.caller import caller_of
from falcorest.commands import Commands, Spent, request_id_of
from falcorest.logs import AccessLog, log_access
from falcorest.metrics import Metrics, route_of

#: How long a command of the database may take before it is logged, in milliseconds.
SLOW_MS = 500


class Monitor:
    """Logs and counts the requests of an application; a Falcon middleware, the first one.

    ::

        monitor = Monitor()
        client = MongoClient(uri, event_listeners=monitor.listeners)
        app = falcon.App(middleware=[monitor])
        api = FalcoRest(app, client["blog"])
        api.add_view(MetricsView(monitor), "/metrics")

    Args:
        access_log: Writes the line of each request, by default through ``logging``; None
            for no lines.
        metrics: Whether figures are kept.
        slow_ms: From how many milliseconds on a command of the database is logged; 0 is never.
    """

    def __init__(
        self,
        *,
        access_log: AccessLog | None = log_access,
        metrics: bool = True,
        slow_ms: int = SLOW_MS,
    ) -> None:
        #: Where a request keeps when it began. NOTE: an application may have several monitors.
        self._begun = f"falcorest.begun.{id(self):x}"
        self._access_log = access_log
        self._slow_ms = slow_ms
        self.metrics = Metrics() if metrics else None
        observe = None if self.metrics is None else self.metrics.observe_command
        self._commands = Commands(slow_ms, observe)

    @property
    def listeners(self) -> list[CommandListener | ConnectionPoolListener]:
        """What a ``MongoClient`` takes as ``event_listeners``."""
        if self.metrics is not None:
            return [self._commands, self.metrics]
        # PERF: telling of each command takes the driver some time.
        return [self._commands] if self._access_log or self._slow_ms else []

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Begin with a request."""
        spent = Spent(req)
        req.env[self._begun] = (perf_counter(), spent)
        self._commands.spent.set(spent)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: Any, req_succeeded: bool
    ) -> None:
        """End with a request, or go on until its stream has ended."""
        # NOTE: middleware in front of this one may have refused it.
        if self._begun not in req.env:
            return
        stream: Any = resp.stream
        # NOTE: a file is left to the server, which may have a quicker way to send it.
        if stream is not None and req.method != "HEAD" and not hasattr(stream, "read"):
            resp.stream = _Watched(stream, self, req, resp)
        else:
            self.end(req, resp, _size(req, resp))
        self._commands.spent.set(None)

    def resume(self, req: falcon.Request) -> None:
        """Go on with a request, in the thread that asks for the next piece of its stream."""
        if self._begun in req.env:
            self._commands.spent.set(req.env[self._begun][1])

    def pause(self) -> None:
        """Leave the thread to other requests."""
        self._commands.spent.set(None)

    def end(
        self, req: falcon.Request, resp: falcon.Response, size: int | None, *, complete: bool = True
    ) -> None:
        """Count a request, and log it.

        Args:
            req: The request.
            resp: Its answer.
            size: How many bytes its body has, where that is known.
            complete: Whether all of it was sent.
        """
        # PERF: it knows the request, and in a circle they would wait for the garbage collector.
        begun, spent = req.env.pop(self._begun)
        seconds = perf_counter() - begun
        if self.metrics is not None:
            self.metrics.observe_request(req, resp.status, seconds)
        if self._access_log is not None:
            route = route_of(req)
            request_id = request_id_of(req)
            status = resp.status_code
            fields = {
                "request_id": request_id,
                "user": caller_of(req).username,
                "method": req.method,
                "route": route,
                "status": status,
                "duration_ms": round(seconds * 1000, 3),
                "database_ms": round(spent.seconds * 1000, 3),
                "operations": spent.operations,
                "documents": spent.documents,
                "bytes": size,
            }
            if not complete:
                fields["complete"] = False
            message = f"{req.method} {route} {status} (request {request_id or '-'})"
            self._access_log(message, fields)


def _size(req: falcon.Request, resp: falcon.Response) -> int | None:
    """Return how many bytes the body of an answer has; None for what isn't written yet."""
    if req.method == "HEAD":
        return 0
    if resp.data is not None:
        return len(resp.data)
    is_empty = resp.text is None and resp.media is None and resp.stream is None
    return 0 if is_empty else None


class _Watched:
    """A stream whose end is noticed.

    Args:
        stream: What is sent.
        monitor: Is told of the end.
        req: The request.
        resp: Its answer.
    """

    def __init__(
        self,
        stream: Iterable[bytes],
        monitor: Monitor,
        req: falcon.Request,
        resp: falcon.Response,
    ) -> None:
        self._stream = stream
        self._pieces = iter(stream)
        self._monitor = monitor
        self._of = (req, resp)
        self._size = 0
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._monitor.resume(self._of[0])
        try:
            piece = next(self._pieces)
        except StopIteration:
            self._end(complete=True)
            raise
        except BaseException:
            self._end(complete=False)
            raise
        finally:
            self._monitor.pause()
        self._size += len(piece)
        return piece

    def close(self) -> None:
        """Let go of the stream, which may not be at its end."""
        self._monitor.resume(self._of[0])
        try:
            if hasattr(self._stream, "close"):
                self._stream.close()
        finally:
            self._monitor.pause()
            self._end(complete=False)

    def _end(self, *, complete: bool) -> None:
        if not self._ended:
            self._ended = True
            self._monitor.end(*self._of, self._size, complete=complete)
            # PERF: in a circle, the two would wait for the garbage collector.
            self._of[1].stream = None
