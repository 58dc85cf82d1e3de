"""The ``falcorest`` command."""

from __future__ import annotations

import getpass
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from falcorest import __version__, auth
from falcorest.auth.keys import COLLECTION as KEYS
from falcorest.catalog import Served, Unreachable, resolve_collections
from falcorest.database import MongoDatabase
from falcorest.embedded import Engine, engine, secret
from falcorest.errors import ConfigurationError, Problem
from falcorest.indexing import (
    Declared,
    compare_all,
    declared_in_settings,
    declared_in_views,
    summary,
)
from falcorest.logs import configure
from falcorest.metrics import shared
from falcorest.query import Document
from falcorest.routes import route_table
from falcorest.runner import SERVERS, Run, check_run, loader, prepare, run_server
from falcorest.server import build_app, open_database, with_secret
from falcorest.settings import EMBEDDED, IN_MEMORY, Settings, load_settings
from falcorest.targets import load_views, views_of
from falcorest.terminal import resources, show, welcome, welcome_late, where

T = TypeVar("T")

#: As many digits of the ID of a key as are shown.
_ID_DIGITS = 12


class _Commands(click.Group):
    """Turns what goes wrong into a clear line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command: exit code 2 for the configuration, 1 for the rest."""
        ctx.obj = _Signals()
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            for problem in error.problems:
                click.echo(f"falcorest: {problem}", err=True)
            sys.exit(2)
        except Problem as error:
            click.echo(f"falcorest: {error.detail}", err=True)
            sys.exit(1)
        except PyMongoError as error:
            click.echo(f"falcorest: the database failed: {error}".partition("\n")[0], err=True)
            sys.exit(1)
        except (OSError, UnicodeError) as error:
            click.echo(f"falcorest: {str(error)!a}", err=True)
            sys.exit(2)


class _Signals:
    """Stops the command when it is told to.

    Attributes:
        stopped: The signal that told it, 0 so far.
    """

    def __init__(self) -> None:
        self.stopped = 0
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def _stop(self, signum: int, frame: FrameType | None) -> NoReturn:
        self.stopped = signum
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + signum)

    def stop_late(self) -> bool:
        """Stop what is running now, if it was told to before and didn't hear it.

        Python drops what is raised in the hooks around a fork.
        """
        if self.stopped:
            os.kill(os.getpid(), self.stopped)
        return bool(self.stopped)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="falcorest")
def main() -> None:
    """Serve a MongoDB database as a REST API.

    Settings come from the environment, from .env and from falcorest.toml in this folder.
    """


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Where to listen; 0 takes a free port.",
)
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(min=1), help="Processes."
)
@click.option(
    "--threads",
    default=4,
    show_default=True,
    type=click.IntRange(min=1),
    help="Requests that each process serves at once.",
)
@click.option(
    "--server",
    default=SERVERS[0],
    show_default=True,
    type=click.Choice(SERVERS),
    help="What runs the application.",
)
@click.option("--demo", is_flag=True, help="Fill an empty database with sample data.")
@click.pass_obj
def serve(
    signals: _Signals, host: str, port: int, workers: int, threads: int, server: str, demo: bool
) -> None:
    """Serve the database that is configured, or an embedded one."""
    settings = load_settings()
    configure(settings.log)
    limits = settings.limits
    bodies = (limits.max_body_bytes, limits.max_import_bytes)
    settings = settings.replace(max_in_flight=settings.max_in_flight or threads)
    assert settings.max_in_flight is not None
    turns = (settings.max_in_flight, settings.max_waiting, settings.wait_ms)
    # NOTE: while it waits for the database, a client has nothing to send and nothing to read.
    waits = settings.longest_wait_ms + settings.wait_ms + 1000
    client = max(settings.client_timeout_ms, waits)
    times = (client, settings.grace_seconds)
    run = Run(server, host, port, workers, *turns, *times, *bodies)
    check_run(run, settings)
    run = run.bound()
    with _opened(settings, serving=True) as (settings, running):
        settings = with_secret(settings)
        with _connected(settings) as database:
            served: list[Served] | Unreachable
            try:
                served = prepare(settings, database, demo=demo)
                shown = welcome(settings, running, run, served, database)
            except Unreachable as error:
                if demo:
                    raise
                served, shown = error, welcome_late(settings, run, error)
        load = loader(settings, served, demo=demo)

        def ready() -> None:
            if not signals.stop_late():
                show(*shown)

        with _ends_with(running), shared(run.workers):
            run_server(run, load, ready)


@main.command()
@click.argument("username")
@click.option("--role", "roles", multiple=True, help="What the user is; may be repeated.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def createuser(username: str, roles: tuple[str, ...], password_stdin: bool) -> None:
    """Make a user who can log in."""
    settings = _user_settings()
    password = _password(password_stdin)
    _with_users(settings, lambda users: auth.create_user(users, username, password, roles))
    click.echo(f"The user {username!r} is made.")


@main.command()
@click.argument("username")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def passwd(username: str, password_stdin: bool) -> None:
    """Give a user another password."""
    settings = _user_settings()
    password = _password(password_stdin)
    _with_users(settings, lambda users: auth.change_password(users, username, password))
    click.echo(f"The user {username!r} has another password.")


@main.command()
@click.argument("username")
def deleteuser(username: str) -> None:
    """Remove a user."""
    _with_users(_user_settings(), lambda users: auth.delete_user(users, username))
    click.echo(f"The user {username!r} is gone.")


@main.command()
def users() -> None:
    """List the users."""
    for user in _with_users(_user_settings(), auth.list_users):
        _list_one("", user)


@main.command()
@click.argument("username")
@click.option("--role", "roles", multiple=True, help="What its caller is; may be repeated.")
def createkey(username: str, roles: tuple[str, ...]) -> None:
    """Make an API key that speaks for USERNAME, and print it."""
    key = _with_keys(lambda keys: auth.create_key(keys, username, roles))
    _say("This is the only time that the key is shown:")
    click.echo(key)


@main.command()
@click.argument("id")
def deletekey(id: str) -> None:
    """Remove the API key whose ID, as listed, begins with this."""
    _with_keys(lambda keys: auth.delete_key(keys, id))
    click.echo(f"The key {id!r} is gone.")


@main.command()
def keys() -> None:
    """List the API keys: ID, date, and for whom."""
    for key in _with_keys(auth.list_keys):
        _list_one(f"{key['_id'][:_ID_DIGITS]}  {key['created']:%Y-%m-%d}  ", key)


@main.command()
def check() -> None:
    """Check the configuration and the database behind it."""
    settings = load_settings()
    with _opened(settings, serving=False) as (settings, running):
        settings = with_secret(settings)
        with _connected(settings) as database:
            served = resolve_collections(settings, database)
            wrong = summary(compare_all(declared_in_settings(settings, database, served)))
            show(
                resources(settings, served, database, indexes=True),
                f"Data is {where(settings, running, database)}.",
                *([] if wrong else ["All is well."]),
            )
    for line in wrong:
        _say(f"falcorest: {line}")
    sys.exit(1 if wrong else 0)


@main.command()
@click.argument("api", required=False, metavar="[MODULE:API]")
@click.option("--apply", is_flag=True, help="Build what is missing. Nothing is ever dropped.")
def indexes(api: str | None, apply: bool) -> None:
    """Show the indexes that are declared beside those that the database has.

    They are those of falcorest.toml; with MODULE:API, such as app:api, those of a program.
    """
    # PERF: serve doesn't wait for what other commands need.
    from falcorest.index_report import build_missing, index_table

    command = f"falcorest indexes {api}" if api else "falcorest indexes"
    with _declared(api) as declared:
        reports = compare_all(declared)
        show(*index_table(reports))
        if apply:
            build_missing(reports)
            reports = compare_all(declared)
        wrong = summary(reports, command, tried=apply)
    show(*(wrong or ["All declared indexes are there."]))
    sys.exit(1 if wrong else 0)


@main.command()
@click.argument("app", required=False, metavar="[MODULE:APP]")
def routes(app: str | None) -> None:
    """Show what is served where, and who may ask.

    Without MODULE:APP, such as app:app or app:api, it is what the settings say.
    """
    if app:
        show(route_table(load_views(app)))
        return
    settings = load_settings()
    with _opened(settings, serving=False) as (settings, _):
        settings = with_secret(settings)
        with _connected(settings) as database:
            served = resolve_collections(settings, database)
            show(route_table(views_of(build_app(settings, database, served)) or {}))


@main.command()
@click.argument("collections", nargs=-1, metavar="[COLLECTION]...")
@click.option(
    "--sample",
    default=1000,
    show_default=True,
    type=click.IntRange(min=1),
    help="Documents of each collection to look at.",
)
def scaffold(collections: tuple[str, ...], sample: int) -> None:
    """Print a Python module that serves collections, drawn up from their documents.

    Without COLLECTION, all that can be served. The database is only read.
    """
    from falcorest.scaffold import scaffold as write_module

    settings = load_settings()
    with _opened(settings, serving=False) as (settings, _), _connected(settings) as database:
        text = write_module(settings, database, collections, sample=sample, say=_say)
    # NOTE: Python source is UTF-8, whatever the terminal takes.
    sys.stdout.buffer.write(text.encode())


# ------------------------------------------------------------------------------- plumbing


def _say(line: str) -> None:
    click.echo(line, err=True)


@contextmanager
def _connected(settings: Settings) -> Iterator[MongoDatabase]:
    database = open_database(settings)
    with closing(database.client):
        yield database


@contextmanager
def _declared(target: str | None) -> Iterator[Declared]:
    """Yield the indexes that are declared, in a program or in the settings."""
    if target:
        yield declared_in_views(load_views(target))
        return
    settings = load_settings()
    if settings.engine == IN_MEMORY:
        raise ConfigurationError(
            "MONGODB_URI: a database in memory is empty when a command starts; there are no "
            "indexes to compare."
        )
    with _opened(settings, serving=False) as (settings, _), _connected(settings) as database:
        yield declared_in_settings(settings, database, resolve_collections(settings, database))


@contextmanager
def _opened(settings: Settings, *, serving: bool) -> Iterator[tuple[Settings, Engine | None]]:
    """Run the embedded engine where the settings want it; yield settings that know it."""
    if settings.engine != EMBEDDED:
        yield settings, None
        return
    with engine(settings.data_dir, settings.mongod, serving=serving) as running:
        key = settings.jwt_secret_key or secret(settings.data_dir)
        yield settings.replace(embedded_uri=running.uri, jwt_secret_key=key), running


@contextmanager
def _ends_with(running: Engine | None) -> Iterator[None]:
    """Stop what runs in the block when the embedded engine ends, with exit code 1."""
    if running is None:
        yield
        return
    stopped = threading.Event()
    ended = threading.Event()

    def watch() -> None:
        running.wait()
        if not stopped.is_set():
            ended.set()
            click.echo("falcorest: the embedded database has ended, so the server stops.", err=True)
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    yield
    stopped.set()
    if ended.is_set():
        sys.exit(1)


def _user_settings() -> Settings:
    """Return the settings of a database that has users to manage.

    Raises:
        ConfigurationError: It is in memory, where only its server can reach it.
    """
    settings = load_settings()
    if settings.engine == IN_MEMORY:
        raise ConfigurationError(
            "MONGODB_URI: a database in memory has no users to manage from here; "
            "with FALCOREST_REGISTRATION=open, POST /register makes one."
        )
    return settings


def _with_users(settings: Settings, work: Callable[[Collection[Document]], T]) -> T:
    return _with_collection(settings, settings.user_collection, work)


def _with_keys(work: Callable[[Collection[Document]], T]) -> T:
    return _with_collection(_user_settings(), KEYS, work)


def _with_collection(settings: Settings, name: str, work: Callable[[Collection[Document]], T]) -> T:
    with _opened(settings, serving=False) as (settings, _), _connected(settings) as database:
        return work(database[name])


def _list_one(before: str, user: Document) -> None:
    roles = ", ".join(map(str, user.get("roles") or []))
    shown = before + (f"{user.get('username')}  ({roles})" if roles else str(user.get("username")))
    # APPSEC: a name that somebody registered is not to write to the terminal.
    click.echo(shown if shown.isprintable() else ascii(shown))


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Password, again: ") != password:
        raise click.ClickException("The two passwords differ.")
    return password
