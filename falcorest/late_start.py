"""Late start: a server that is there before its database is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic

import falcon
import pymongo

from falcorest.api import write_problem
from falcorest.catalog import Served, Unreachable
from falcorest.errors import ConfigurationError, problem_object
from falcorest.logs import logger

#: How long a try waits for the database, and how long there is none after it, in seconds.
TRY_SECONDS = 1.0
PAUSE_SECONDS = 1.0

#: What is served meanwhile.
_ALIVE = ("/health/live", "/metrics")


def log_late(reason: ConfigurationError) -> None:
    """Say in the log why nothing is served yet."""
    logger.warning("not served yet: %s", reason)


class LateStart:
    """Finds what a server serves when its database can be reached; a Falcon middleware.

    Until then, requests are answered with 503. Each of them may be the one that finds it.

    Args:
        find: Returns the collections.
        serve: Puts them into the application.
        reason: Why they are not known yet.
    """

    def __init__(
        self,
        find: Callable[[], list[Served]],
        serve: Callable[[list[Served]], None],
        reason: ConfigurationError,
    ) -> None:
        self._find = find
        self._serve = serve
        self._reason = reason
        self._since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._lock = threading.Lock()
        self._next_try = 0.0
        self._started = False

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Let a request pass if the collections are known, or answer with 503."""
        if self._started or req.path in _ALIVE:
            return
        if self._lock.acquire(blocking=False):
            try:
                self._try()
            finally:
                self._lock.release()
        if not self._started:
            detail = (
                "The database can't be reached."
                if isinstance(self._reason, Unreachable)
                else "The settings don't fit the database; the log of the server says why."
            )
            # NOTE: it isn't raised, because then each request would be a failure in the log.
            problem = problem_object(503, "database.unavailable", detail)
            write_problem(resp, 503, {**problem, "since": self._since})
            resp.set_header("Retry-After", "1")
            resp.complete = True

    def _try(self) -> None:
        # NOTE: another request may have done it just now.
        if self._started or monotonic() < self._next_try:
            return
        try:
            with pymongo.timeout(TRY_SECONDS):
                served = self._find()
        except ConfigurationError as error:
            if str(error) != str(self._reason):
                log_late(error)
            self._reason = error
            self._next_try = monotonic() + PAUSE_SECONDS
        else:
            self._serve(served)
            self._started = True
            names = ", ".join(one.name for one in served)
            logger.warning("the database can be reached; served are: %s", names)
