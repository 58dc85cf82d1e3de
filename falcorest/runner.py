"""Runs the zero-code application under granian, gunicorn or waitress."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn, TypeAlias

import falcon

from falcorest.catalog import Served, Unreachable, resolve_collections
from falcorest.database import MongoDatabase
from falcorest.demo import fill
from falcorest.embedded import die_with_parent
from falcorest.errors import ConfigurationError
from falcorest.in_flight import MAX_WAITING, WAIT_MS
from falcorest.limits import Limits
from falcorest.logs import configure
from falcorest.server import PROBES, build_app, monitor_of, open_database
from falcorest.settings import IN_MEMORY, Settings

SERVERS = ("granian", "gunicorn", "waitress")

_GRACE_SECONDS = 30
_LISTEN_SECONDS = 30.0
#: For probes, and for requests that are refused.
_SPARE_THREADS = 4

# NOTE: a text, because an application that OpenTelemetry has put in its place has no parameters.
App: TypeAlias = "falcon.App[Any, Any]"


@dataclass(frozen=True)
class Run:
    """How the application is to be run.

    Attributes:
        server: One of SERVERS.
        host: Where it listens.
        port: Likewise.
        workers: How many processes.
        threads: How many requests each of them serves at once.
        max_waiting: How many more wait for their turn.
        wait_ms: How long they do, in milliseconds.
        client_timeout_ms: How long a client may send and read nothing.
        max_body_bytes: The largest body that a server has to take in.
        max_import_bytes: The largest body of an import.
        address: The IP address of the host, once it is known.
    """

    server: str
    host: str
    port: int
    workers: int
    threads: int
    max_waiting: int = MAX_WAITING
    wait_ms: int = WAIT_MS
    client_timeout_ms: int = Limits.client_timeout_ms
    max_body_bytes: int = Limits.max_body_bytes
    max_import_bytes: int = Limits.max_import_bytes
    address: str = ""

    @property
    def all_threads(self) -> int:
        """How many threads each process needs: those that wait have one, too."""
        return self.threads + self.max_waiting + _SPARE_THREADS

    @property
    def url(self) -> str:
        """The address of the server, for people."""
        return f"http://{self.bracketed(self.host)}:{self.port}"

    @staticmethod
    def bracketed(host: str) -> str:
        """Return a host as it stands in a URL."""
        return f"[{host}]" if ":" in host else host

    def bound(self) -> Run:
        """Return this with a port that is free; port 0 means any.

        Raises:
            ConfigurationError: The port is taken, or the host isn't here.
        """
        try:
            # NOTE: granian takes addresses only, and an empty name would mean every one.
            family, _, _, _, where = socket.getaddrinfo(
                self.host or " ", self.port, type=socket.SOCK_STREAM
            )[0]
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
                # NOTE: a port that another socket listens on can be bound, but not listened on.
                probe.listen(1)
                address, port = probe.getsockname()[:2]
        except (OSError, TypeError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "it can't be the name of a host"
            raise ConfigurationError(f"--host {self.host} --port {self.port}: {reason}.") from error
        return dataclasses.replace(self, address=address, port=port)


def check_run(run: Run, settings: Settings) -> None:
    """Refuse a way to run that can't be.

    Raises:
        ConfigurationError: Several workers where there can be only one.
    """
    if run.workers > 1 and settings.engine == IN_MEMORY:
        raise ConfigurationError("--workers: a database in memory is served by one worker.")
    if run.workers > 1 and run.server == "waitress":
        raise ConfigurationError("--workers: waitress is one process; give it more --threads.")


def worker_app(
    settings: Settings, served: list[Served] | Unreachable, demo: bool, parent: int
) -> App:
    """Make the application inside a worker.

    Args:
        settings: With the place of the data and the key for tokens known.
        served: The collections, or why they aren't known yet.
        demo: Whether a database in memory, where every start begins anew, gets the sample.
        parent: The process of ``falcorest serve``; the worker ends with it.
    """
    access_log = configure(settings.log)
    if os.getpid() != parent:
        die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)
    monitor = monitor_of(settings, access_log)
    database = open_database(settings, monitor)
    if settings.engine == IN_MEMORY:
        prepare(settings, database, demo=demo)
    return build_app(settings, database, served, monitor)


def prepare(settings: Settings, database: MongoDatabase, *, demo: bool) -> list[Served]:
    """Fill the database where that is asked for, and find the collections to serve.

    Args:
        settings: Where the data is.
        database: Open.
        demo: Whether an empty database gets the sample.
    """
    if demo:
        fill(settings, database)
    return resolve_collections(settings, database)


def run_server(run: Run, load: Callable[[], App], ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in flight are finished.

    Args:
        run: How.
        load: Makes the application, in a worker.
        ready: Called when the server listens.
    """
    owner = os.getpid()
    load = functools.partial(_load_watched, run, load)
    # NOTE: a SIGTERM that comes before a worker listens to it would be lost to the handlers that
    # it has from its parent, who would wait for it as long as for requests in flight. So workers
    # begin with it held back.
    os.register_at_fork(
        before=lambda: _mask_sigterm(signal.SIG_BLOCK),
        after_in_parent=lambda: _mask_sigterm(signal.SIG_UNBLOCK),
    )
    serve = {"granian": _granian, "gunicorn": _gunicorn, "waitress": _waitress}[run.server]
    try:
        serve(run, load, ready)
    except SystemExit as error:
        if os.getpid() != owner:
            # NOTE: a worker that gunicorn forked must not go on in what called this function,
            # where its parent's clean-up stands.
            _leave(error.code)
        if error.code:
            raise


def _load_watched(run: Run, load: Callable[[], App]) -> App:
    app = load()
    if sys.platform == "linux":
        from falcorest.connections import Watch

        Watch(run.port, run.client_timeout_ms / 1000).start()
    return app


def _mask_sigterm(how: int) -> None:
    signal.pthread_sigmask(how, {signal.SIGTERM})


def _leave(code: Any) -> NoReturn:
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _granian(run: Run, load: Callable[[], App], ready: Callable[[], None]) -> None:
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server import Server, mp

    from falcorest.granian_worker import SPARE_THREADS, Turns

    internals: Any = mp
    wrap = internals._wsgi_call_wrap

    def in_turns(app: App, *rest: Any) -> Turns:
        turns = Turns(app, run.threads, run.max_waiting, run.wait_ms, PROBES)
        turns.call = wrap(turns.serve_one, *rest)
        return turns

    internals._wsgi_call_wrap = in_turns
    logging.getLogger("_granian").addFilter(_is_for_us)
    server = Server(
        "falcorest",
        address=run.address,
        port=run.port,
        interface=Interfaces.WSGI,
        # APPSEC: while granian waits to see which HTTP a connection speaks, it waits forever, and
        # it takes a thousand connections at the most.
        http=HTTPModes.http1,
        workers=run.workers,
        blocking_threads=run.threads + SPARE_THREADS,
        http1_settings=HTTP1Settings(header_read_timeout=run.client_timeout_ms),
        websockets=False,
        log_level=LogLevels.warning,
        # NOTE: so that what it says is written as the rest of the log is.
        log_dictconfig={"loggers": {"_granian": {}, "granian.access": {}}},
        respawn_failed_workers=True,
        workers_kill_timeout=_GRACE_SECONDS,
    )
    interrupt: Callable[..., None] = server.signal_handler_interrupt

    def interrupt_once(*args: Any) -> None:
        # NOTE: a second signal that came while the first is handled would wait forever for the
        # lock that the first holds.
        if not server.interrupt_signal:
            interrupt(*args)

    server.signal_handler_interrupt = interrupt_once  # type: ignore[method-assign]
    server.on_startup(
        threading.Thread(target=_when_listening, args=(run, ready), daemon=True).start
    )
    server.serve(target_loader=functools.partial(_load_in_granian, load), wrap_loader=False)


def _is_for_us(record: logging.LogRecord) -> bool:
    # NOTE: on one core, it advises against four threads, and in favour of an option that isn't
    # ours. They wait for MongoDB most of the time.
    return "Python threads" not in record.getMessage()


def _load_in_granian(load: Callable[[], App]) -> App:
    # NOTE: a signal is lost to granian's own handlers, too, until its worker listens to them.
    threading.Thread(target=_pass_on_sigterm, daemon=True).start()
    # NOTE: a worker hangs when a second signal meets the first, as when Ctrl-C reaches it and
    # its parent both.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.setpgid(0, 0)
    return load()


def _pass_on_sigterm() -> None:
    """Wait for SIGTERM and tell granian's handler of it, as soon as that is there."""
    signal.sigwait({signal.SIGTERM})
    # NOTE: before it is, there is that of the parent. And it may be told once only: told again
    # while requests in flight are finished, it waits forever, and the whole worker with it.
    handler: Any = None
    while getattr(handler, "__module__", "") != "granian._signals":
        time.sleep(0.01)
        handler = signal.getsignal(signal.SIGTERM)
    handler(signal.SIGTERM, None)


def _when_listening(run: Run, ready: Callable[[], None]) -> None:
    deadline = time.monotonic() + _LISTEN_SECONDS
    # NOTE: 0.0.0.0 is where it listens when asked to; it is reached on loopback.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(run.address, run.address)  # nosec B104
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((host, run.port), timeout=1):
            ready()
            return
        time.sleep(0.02)


def _gunicorn(run: Run, load: Callable[[], App], ready: Callable[[], None]) -> None:
    from gunicorn.app.base import BaseApplication
    from gunicorn.glogging import Logger

    from falcorest.gunicorn_worker import Worker

    class Log(Logger):  # type: ignore[misc]
        def setup(self, cfg: Any) -> None:
            super().setup(cfg)
            # NOTE: so that what it says is written as the rest of the log is.
            self.error_log.handlers.clear()
            self.error_log.propagate = True

    def when_ready(arbiter: Any) -> None:
        # NOTE: for gunicorn, SIGINT means not to wait for requests in flight.
        signal.signal(signal.SIGINT, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        ready()

    def listen(worker: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _mask_sigterm(signal.SIG_UNBLOCK)

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            options = {
                "bind": f"[{run.address}]:{run.port}"
                if ":" in run.address
                else f"{run.address}:{run.port}",
                "workers": run.workers,
                "threads": run.all_threads,
                "worker_class": Worker,
                "graceful_timeout": _GRACE_SECONDS,
                "loglevel": "warning",
                "logger_class": Log,
                "proc_name": "falcorest",
                # NOTE: the most that it takes; long filters need it.
                "limit_request_line": 8190,
                "control_socket_disable": True,
                "when_ready": when_ready,
                "post_worker_init": listen,
            }
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> App:
            return load()

    Application().run()


def _waitress(run: Run, load: Callable[[], App], ready: Callable[[], None]) -> None:
    from waitress.channel import HTTPChannel
    from waitress.parser import HTTPRequestParser, ParsingError
    from waitress.server import create_server

    class Parser(HTTPRequestParser):  # type: ignore[misc]
        def parse_header(self, header: bytes) -> None:
            super().parse_header(header)
            # APPSEC: waitress would serve what follows as another request (RFC 9112, 6.1).
            if self.chunked and "CONTENT_LENGTH" in self.headers:
                raise ParsingError("Content-Length and Transfer-Encoding")

    # NOTE: it would write a line for every request that waits for a thread.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    stopping = threading.Event()

    class Channel(HTTPChannel):  # type: ignore[misc]
        parser_class = Parser

        def readable(self) -> bool:
            # NOTE: a connection that is kept alive gets no further requests in.
            return bool((self.request is not None or not stopping.is_set()) and super().readable())

    server = create_server(
        load(),
        host=run.address,
        port=run.port,
        threads=run.all_threads,
        ident=None,
        # NOTE: as many as granian takes; by itself it takes a hundred.
        connection_limit=1000,
        asyncore_use_poll=True,
        # NOTE: how much of an answer waits for its reader; by itself it keeps 16 MiB of each.
        outbuf_high_watermark=1024 * 1024,
        # NOTE: waitress takes a body in before the application sees the request, so it needs a
        # bound of its own; up to that, the application says what is wrong.
        max_request_body_size=max(16 * run.max_body_bytes, run.max_import_bytes),
        # NOTE: whom to believe in this is for FALCOREST_TRUSTED_PROXIES to say.
        clear_untrusted_proxy_headers=False,
    )
    server.channel_class = Channel

    def stop(signum: int, frame: FrameType | None) -> None:
        if not stopping.is_set():
            stopping.set()
            server.pull_trigger()

    # NOTE: waitress itself would drop what it has not sent yet.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    ready()
    loop = functools.partial(
        server.asyncore.loop, 1, server.adj.asyncore_use_poll, server._map, count=1
    )
    try:
        while not stopping.is_set():
            loop()
        server.asyncore.dispatcher.close(server)
        deadline = time.monotonic() + _GRACE_SECONDS
        while any(map(_is_busy, server.active_channels.values())) and time.monotonic() < deadline:
            loop()
    finally:
        server.task_dispatcher.shutdown()
        server.close()


def _is_busy(channel: Any) -> bool:
    """Tell whether a connection of waitress has a request, or an answer, under way."""
    return bool(channel.request is not None or channel.requests or channel.total_outbufs_len)


def loader(
    settings: Settings, served: list[Served] | Unreachable, *, demo: bool
) -> Callable[[], App]:
    """Return what makes the application in a worker of this process."""
    return functools.partial(worker_app, settings, served, demo, os.getpid())
