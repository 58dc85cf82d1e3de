"""Probes: what the tools of an operator ask: is it alive, is it ready, what are its figures."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import falcon
import pymongo
from pymongo.errors import PyMongoError

from falcorest.api import write_problem
from falcorest.database import in_memory
from falcorest.errors import ConfigurationError, Unavailable
from falcorest.logs import log_exception, logger
from falcorest.monitor import Monitor
from falcorest.responding import Said, View

#: How long the database may take to answer, in seconds.
PING_SECONDS = 2.0
#: How long its answer holds for others who ask, in seconds.
FRESH_SECONDS = 1.0

_WELL = b'{"status":"ok"}'


_OK: dict[str, Any] = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"const": "ok"}},
}


def _said(name: str, summary: str, answer: str, *codes: str, **other: Any) -> Said:
    common = {"media_type": falcon.MEDIA_JSON, "schema": _OK, "headers": ("Cache-Control",)}
    codes = (*codes, "server.error")
    return Said(name, "Operation", summary, answer, codes=codes, **{**common, **other})


class Probe(View):
    """Base class of probes, which are answered however much there is to do."""

    who = "public"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer a probe."""
        resp.set_header("Cache-Control", "no-store")
        self.answer(resp)

    on_head = on_get

    def answer(self, resp: falcon.Response) -> None:
        """Answer."""
        raise NotImplementedError


class LiveView(Probe):
    """Tells that the process answers; it asks the database nothing."""

    said = _said("live", "Tell whether the process answers", "It does.")

    def answer(self, resp: falcon.Response) -> None:
        """Answer 200."""
        resp.content_type = falcon.MEDIA_JSON
        resp.data = _WELL


class ReadyView(Probe):
    """Tells whether the database answers, and since when it doesn't.

    Args:
        database: Of pymongo or mongomock.
    """

    said = _said("ready", "Tell whether the database answers", "It does.", "database.unavailable")

    def __init__(self, database: Any) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._asked: float | None = None
        self._since: datetime | None = None

    def answer(self, resp: falcon.Response) -> None:
        """Answer 200, or 503 with ``since``."""
        since = self._down_since()
        if since is None:
            resp.content_type = falcon.MEDIA_JSON
            resp.data = _WELL
            return
        # NOTE: it isn't raised, because then each probe would be a failure in the log.
        problem = Unavailable(
            "database.unavailable",
            "The database can't be reached.",
            since=since.isoformat(timespec="seconds").replace("+00:00", "Z"),
        )
        write_problem(resp, problem.status, problem.to_dict())
        resp.set_header("Retry-After", "1")

    def _down_since(self) -> datetime | None:
        """Return since when the database doesn't answer; None if it does.

        One caller at a time asks it. Others are told what was last known.
        """
        if self._is_fresh() or not self._lock.acquire(blocking=self._asked is None):
            return self._since
        try:
            if not self._is_fresh():
                self._ask()
        finally:
            self._lock.release()
        return self._since

    def _is_fresh(self) -> bool:
        return self._asked is not None and monotonic() - self._asked < FRESH_SECONDS

    def _ask(self) -> None:
        try:
            if not in_memory(self._database):
                with pymongo.timeout(PING_SECONDS):
                    self._database.command("ping", read_preference=self._database.read_preference)
        except PyMongoError as error:
            if self._since is None:
                self._since = datetime.now(UTC)
                log_exception(logging.WARNING, "the database can't be reached", error=error)
        else:
            if self._since is not None:
                logger.warning("the database can be reached again")
            self._since = None
        self._asked = monotonic()


class MetricsView(Probe):
    """Shows the figures of an application as Prometheus reads them.

    Args:
        monitor: Keeps them.

    Raises:
        ConfigurationError: It doesn't.
    """

    said = _said(
        "metrics",
        "Show the figures of the server",
        "The figures, as Prometheus reads them.",
        media_type="text/plain",
        schema={"type": "string"},
    )

    def __init__(self, monitor: Monitor) -> None:
        if monitor.metrics is None:
            raise ConfigurationError("MetricsView: the monitor keeps no metrics.")
        self._metrics = monitor.metrics

    def answer(self, resp: falcon.Response) -> None:
        """Answer with the figures."""
        resp.content_type = "text/plain; version=0.0.4; charset=utf-8"
        resp.data = self._metrics.text()
