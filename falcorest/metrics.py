"""Metrics: figures of requests, of the database's commands and connections, for Prometheus.

Several workers share their figures through files in a folder, where the environment names one as
``PROMETHEUS_MULTIPROC_DIR``. ``prometheus_client`` looks for it when it is imported, so it is
imported when it is used.
"""

from __future__ import annotations

import fcntl
import functools
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from time import time
from typing import TYPE_CHECKING, Any

import falcon
from falcon.constants import HTTP_METHODS
from pymongo.monitoring import ConnectionPoolListener

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.metrics import MetricWrapperBase

FOLDER = "PROMETHEUS_MULTIPROC_DIR"

#: Stands for every place that isn't served, and for every method that HTTP doesn't have.
UNKNOWN = "unknown"

#: Upper bounds of the buckets, in seconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

#: The name of the file in which a worker that is alive keeps its gauges.
_GAUGES = "gauge_livesum_"

_PREFIX = "falcorest-metrics-"
_SETTLED_SECONDS = 60


class Metrics(ConnectionPoolListener):
    """The figures of an application; a collector of ``prometheus_client``."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self._folder = os.environ.get(FOLDER)
        self._all: list[MetricWrapperBase] = []

        def made(metric: Any) -> Any:
            self._all.append(metric)
            return metric

        none: dict[str, Any] = {"registry": None}
        live: dict[str, Any] = {"registry": None, "multiprocess_mode": "livesum"}
        self._requests: Counter = made(
            Counter(
                "falcorest_requests",
                "Requests that were answered.",
                ["method", "route", "status"],
                **none,
            )
        )
        self._seconds: Histogram = made(
            Histogram(
                "falcorest_request_duration_seconds",
                "How long requests took, to the end of their answers.",
                ["method", "route"],
                buckets=BUCKETS,
                **none,
            )
        )
        self._commands: Histogram = made(
            Histogram(
                "falcorest_database_command_duration_seconds",
                "How long commands of the database took.",
                ["command"],
                buckets=BUCKETS,
                **none,
            )
        )
        self._failures: Counter = made(
            Counter(
                "falcorest_database_command_failures",
                "Commands of the database that failed.",
                ["command"],
                **none,
            )
        )
        self._open: Gauge = made(
            Gauge("falcorest_pool_connections", "Open connections to the database.", **live)
        )
        self._in_use: Gauge = made(
            Gauge("falcorest_pool_connections_in_use", "Connections that are in use.", **live)
        )
        self._created: Counter = made(
            Counter("falcorest_pool_connections_created", "Connections that were opened.", **none)
        )
        self._closed: Counter = made(
            Counter("falcorest_pool_connections_closed", "Connections that were closed.", **none)
        )
        self._waits: Counter = made(
            Counter(
                "falcorest_pool_checkout_failures", "Waits for a connection that failed.", **none
            )
        )
        # PERF: prometheus_client takes longer to find the figures for labels than to change them.
        self._of_request: dict[tuple[Any, ...], tuple[Any, Any]] = {}
        self._of_command: dict[str, Any] = {}

    # ------------------------------------------------------------------------- what is observed

    def observe_request(self, req: falcon.Request, status: Any, seconds: float) -> None:
        """Count a request, and how long it took."""
        key = (req.uri_template, req.method, status)
        found = self._of_request.get(key)
        if found is None:
            method = req.method if req.method in HTTP_METHODS else UNKNOWN
            route = route_of(req)
            code = str(falcon.http_status_to_code(status))
            found = (
                self._requests.labels(method, route, code),
                self._seconds.labels(method, route),
            )
            if method != UNKNOWN:
                self._of_request[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def observe_command(self, name: str, seconds: float, succeeded: bool) -> None:
        """Count a command of the database, and how long it took."""
        found = self._of_command.get(name)
        if found is None:
            found = self._of_command[name] = self._commands.labels(name)
        found.observe(seconds)
        if not succeeded:
            self._failures.labels(name).inc()

    def connection_created(self, event: Any) -> None:
        """Count a connection."""
        self._created.inc()
        self._open.inc()

    def connection_closed(self, event: Any) -> None:
        """Count a connection that is gone."""
        self._closed.inc()
        self._open.dec()

    def connection_checked_out(self, event: Any) -> None:
        """Count a connection that is in use."""
        self._in_use.inc()

    def connection_checked_in(self, event: Any) -> None:
        """Count a connection that is free again."""
        self._in_use.dec()

    def connection_check_out_failed(self, event: Any) -> None:
        """Count somebody who got no connection."""
        self._waits.inc()

    def _ignore(self, event: Any) -> None:
        """Nothing is counted."""

    pool_created = pool_ready = pool_cleared = pool_closed = _ignore
    connection_ready = connection_check_out_started = _ignore

    # ---------------------------------------------------------------------------- what is shown

    def text(self) -> bytes:
        """Return the figures of all workers, as Prometheus reads them."""
        from prometheus_client import generate_latest

        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of all workers."""
        from prometheus_client.multiprocess import MultiProcessCollector

        if self._folder is None:
            for metric in self._all:
                yield from map(_without_creation, metric.collect())
            yield from _processes([os.getpid()])
        else:
            alive = list(_alive(Path(self._folder)))
            collector: Any = MultiProcessCollector
            yield from collector(None, self._folder).collect()
            yield from _processes(alive)


def _without_creation(metric: Metric) -> Metric:
    """Leave out when each figure came to be, which the shared ones don't tell either."""
    metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
    return metric


def _alive(folder: Path) -> Iterator[int]:
    """Yield the workers that are alive, and forget the gauges of the others."""
    for file in folder.glob(f"{_GAUGES}*.db"):
        pid = int(file.stem.removeprefix(_GAUGES))
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            file.unlink(missing_ok=True)
            continue
        except PermissionError:
            pass
        yield pid


def _processes(pids: Iterable[int]) -> Iterable[Metric]:
    """Return memory, CPU time and open files of processes."""
    from prometheus_client.process_collector import ProcessCollector

    found: dict[str, Metric] = {}
    for pid in pids:
        for metric in ProcessCollector(pid=functools.partial(str, pid), registry=None).collect():
            own = [sample._replace(labels={"pid": str(pid)}) for sample in metric.samples]
            if metric.name in found:
                found[metric.name].samples += own
            else:
                metric.samples = own
                found[metric.name] = metric
    return found.values()


def route_of(req: falcon.Request) -> str:
    """Return the template of the place that a request went to, ``/posts/{id}``."""
    template = req.uri_template
    if template is None:
        return UNKNOWN
    return (template.rstrip("/") or "/").replace(":path}", "}")


@contextmanager
def shared(workers: int) -> Iterator[None]:
    """Have the workers that are started in the block share their figures."""
    if workers == 1 or FOLDER in os.environ:
        yield
        return
    _sweep()
    folder = tempfile.mkdtemp(prefix=_PREFIX)
    held = _hold(folder)
    os.environ[FOLDER] = folder
    try:
        yield
    finally:
        del os.environ[FOLDER]
        rmtree(folder, ignore_errors=True)
        os.close(held)


def _hold(folder: str | Path) -> int:
    """Lock a folder for as long as this process, or a worker of it, is there.

    Raises:
        OSError: It is locked already, or not ours.
    """
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise
    return held


def _sweep() -> None:
    """Remove the folders of servers that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            # NOTE: one that is being made isn't locked yet.
            if time() - folder.stat().st_mtime > _SETTLED_SECONDS:
                held = _hold(folder)
                rmtree(folder, ignore_errors=True)
                os.close(held)
