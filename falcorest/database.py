"""Connections to MongoDB, transactions where it has them, and its errors made ours."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from types import FrameType
from typing import Any, ParamSpec, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pymongo
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidName,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
    WriteError,
)
from pymongo.errors import (
    ConfigurationError as DriverConfigurationError,
)
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from falcorest.errors import (
    ConfigurationError,
    Conflict,
    ContentTooLarge,
    FalcorestError,
    NotSupported,
    QueryError,
    ServerError,
    Unavailable,
    WriteRefused,
)
from falcorest.outage import Outage

MongoDatabase: TypeAlias = Database[dict[str, Any]]
P = ParamSpec("P")
T = TypeVar("T")

# NOTE: the last two are what mongomock raises: for what it lacks, and for a pattern.
_DRIVER_ERRORS = (PyMongoError, BSONError, OverflowError, NotImplementedError, re.error)
_RETRY_AFTER = {"Retry-After": "1"}
_TOO_LATE = "The database didn't answer within the time limit."
_WROTE = "The write was begun, or done, when the database failed. Read what became of it."
_UNKNOWN = "The database didn't confirm the write in time. It may have happened."

#: What MongoDB means by the error codes with which it refuses a write.
_REFUSALS = {
    2: "a value in it is not one that MongoDB takes there",
    14: "a value is of the wrong type for its operator or field",
    28: "a path leads through something that is not an object",
    40: "two parts of the update change the same path",
    53: "the _id is of a type that can't be one",
    66: "the _id of a document can't be changed",
    121: "the collection's validator doesn't accept the document",
    166: "the view can't be written to",
}
_TOO_LARGE = {10334, 17419, 17420, 5195400}

#: What MongoDB says when a transaction meets another one.
WRITE_CONFLICT = 112
# NOTE: a cursor that is gone or was killed, and an operation that was.
_BROKEN_OFF = {43, 237, 11601}

#: What MongoDB says where it may be asked again: of a server that was not reached, or that isn't
#: the primary any more, in the middle of an operation or before it.
#: Source: https://github.com/mongodb/specifications/tree/master/source/retryable-writes
PASSING = frozenset({6, 7, 89, 91, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})

#: How long a transaction is tried again, in seconds, where the client has no time limit.
RETRY_SECONDS = 5.0
_TIMED_OUT = {50, 262, 202}
# NOTE: these are no client's doing: something inside has failed, a lock wasn't to be had, a
# transaction took too long, an operation was killed, the disk is full.
_FAILED = {1, 8, 24, 46, 246, 290, 11601, 14031}
# NOTE: of these, a server doesn't tell whether it, or another one, has done it.
_LEFT_OPEN = PASSING | _FAILED | {202}
_NOT_ALLOWED = {13, 18, 8000}


def connect(
    uri: str,
    name: str | None,
    *,
    timeout_ms: int,
    listeners: Sequence[Any] = (),
    options: Mapping[str, Any] | None = None,
) -> MongoDatabase:
    """Return a database; nothing is sent to it yet.

    Args:
        uri: ``mongodb://``, ``mongodb+srv://`` or ``mongomock://``.
        name: Name of the database; None takes the one that the URI names.
        timeout_ms: How long to wait for the database, in milliseconds. ``socketTimeoutMS`` and
            the like in the URI win.
        listeners: Told of what the client does, see :mod:`pymongo.monitoring`.
        options: Further ones of the client, by their names in a URI. Those in the URI win.

    Raises:
        ConfigurationError: The URI is malformed, or no database is named.
    """
    if uri.startswith("mongomock://"):
        return _mock_client()[name or "falcorest"]
    given = {option.lower() for option, _ in parse_qsl(urlsplit(uri).query)}
    usual: dict[str, Any] = {
        "appname": "falcorest",
        # NOTE: so long, and one heartbeat more, a server that has frozen is asked like any other.
        "connectTimeoutMS": min(timeout_ms, 2000),
        "heartbeatFrequencyMS": 1000,
        "serverSelectionTimeoutMS": timeout_ms,
        "socketTimeoutMS": timeout_ms,
        "waitQueueTimeoutMS": timeout_ms,
        **(options or {}),
    }
    ours = {option: value for option, value in usual.items() if option.lower() not in given}
    try:
        # NOTE: what values are in Python is our own affair, whatever the URI says of it.
        client: MongoClient[dict[str, Any]] = MongoClient(
            uri,
            connect=False,
            datetime_conversion=DatetimeConversion.DATETIME_AUTO,
            tz_aware=False,
            unicode_decode_error_handler="replace",
            event_listeners=listeners,
            uuidRepresentation="unspecified",
            **ours,
        )
        if not client.write_concern.acknowledged:
            raise ConfigurationError("MONGODB_URI: w=0: writes must be acknowledged.")
        return client[name] if name else client.get_default_database()
    except DriverConfigurationError as error:
        if name is None and "default database" in str(error):
            raise ConfigurationError(
                "DATABASE: it isn't set, and MONGODB_URI doesn't name a database."
            ) from error
        raise ConfigurationError(f"MONGODB_URI: {error}") from error
    except InvalidName as error:
        raise ConfigurationError(f"DATABASE: {error}.") from error
    except (PyMongoError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(f"MONGODB_URI: {error}") from error


def _mock_client() -> MongoClient[dict[str, Any]]:
    try:
        import mongomock
    except ImportError as error:
        raise ConfigurationError(
            "MONGODB_URI: mongomock:// needs mongomock: pip install 'falcorest[mock]'"
        ) from error
    client: MongoClient[dict[str, Any]] = mongomock.MongoClient()
    return client


def in_memory(database: Any) -> bool:
    """Tell whether a database is one of mongomock."""
    return not isinstance(database, Database)


def time_limit(database: Any) -> float | None:
    """Return how long a request waits for a database, in seconds; None is no limit.

    It is what the database's client says: ``timeoutMS``, else ``socketTimeoutMS``.
    """
    if in_memory(database):
        return None
    options = database.client.options
    limit: float | None = options.timeout or options.pool_options.socket_timeout
    return limit


@dataclass
class Running:
    """A transaction that is under way.

    Attributes:
        session: That of the driver.
        refusal: What the database has refused in it. That ended it: nothing more can be done.
    """

    session: ClientSession
    refusal: FalcorestError | None = None


class Budget:
    """How long one request may wait for the database, in all that it asks of it.

    Attributes:
        limit: What it began with, in seconds; infinite where there is none.
        left: What is left of it.
        spending: Whether the database is being asked just now.
        wrote: Whether something was written that isn't undone any more.
    """

    __slots__ = ("left", "limit", "spending", "wrote")

    def __init__(self, limit: float) -> None:
        self.limit = self.left = limit
        self.spending = self.wrote = False


#: Where it stands for how long a request has waited for its turn, in seconds.
WAITED = "falcorest.waited"

#: That of the request that is being served in this thread.
BUDGET: ContextVar[Budget | None] = ContextVar("budget", default=None)


class Transactions:
    """Runs several operations as one, where the database can.

    Args:
        database: Its client holds the sessions.
        wanted: Whether there shall be any, where the database has them.
        outage: Knows whether its primary answers.
    """

    def __init__(
        self, database: MongoDatabase, *, wanted: bool = True, outage: Outage | None = None
    ) -> None:
        self._database = database
        self._wanted = wanted
        self.outage = outage or Outage(database.client)
        self._running: ContextVar[Running | None] = ContextVar("running", default=None)

    @functools.cached_property
    def supported(self) -> bool:
        """Whether the database has transactions: a replica set or a sharded cluster does."""
        if not self._wanted or in_memory(self._database):
            return False
        hello = self._database.client.admin.command("hello")
        # NOTE: a member of a replica set that is still to be initiated has no name of it yet.
        names = {"setName", "isreplicaset"}
        return not names.isdisjoint(hello) or hello.get("msg") == "isdbgrid"

    @property
    def running(self) -> Running | None:
        """The transaction that is under way in this thread, if there is one."""
        return self._running.get()

    @property
    def session(self) -> ClientSession | None:
        """The session of the transaction that is under way in this thread, if there is one."""
        running = self._running.get()
        return None if running is None else running.session

    def run(
        self, work: Callable[[ClientSession | None], T], write_concern: WriteConcern | None = None
    ) -> T:
        """Run work, in a transaction where there are any; an exception in it undoes all of it.

        Within work that is being run already, it becomes a part of that.

        Args:
            work: Gets the session to pass to every operation, None without transactions. It
                may be called again when the transaction met another one.
            write_concern: What confirms it, unless it becomes a part of another one.

        Raises:
            Conflict: It met others for too long.
            Unavailable: The database failed for too long.
        """
        if self.session is not None or not self.supported:
            return work(self.session)

        end = monotonic() + (time_limit(self._database) or RETRY_SECONDS)
        again = in_conflict = False

        def joined(session: ClientSession) -> T:
            nonlocal again, in_conflict
            if again and monotonic() > end:
                raise write_conflict() if in_conflict else _given_up()
            again = True
            token = self._running.set(Running(session))
            try:
                return work(session)
            except PyMongoError as error:
                if isinstance(error, DriverConfigurationError):
                    _without_sessions(error)
                in_conflict = getattr(error, "code", None) == WRITE_CONFLICT
                raise
            finally:
                self._running.reset(token)

        with self._database.client.start_session() as session:
            # NOTE: snapshot, so that what is counted is what is written, on shards too.
            result = session.with_transaction(
                joined,
                read_concern=ReadConcern("snapshot"),
                write_concern=write_concern,
                read_preference=ReadPreference.PRIMARY,
            )
        budget = BUDGET.get()
        if budget is not None:
            budget.wrote = True
        return result


def operation(
    limit_of: Callable[[Any], float | None],
    *,
    write: bool = False,
    running_in: Callable[[Any], Running | None] = lambda first: None,
    outage_of: Callable[[Any, bool], Outage | None] = lambda first, write: None,
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a decorator for a function that does one thing with the database.

    It bounds the time of it all in all, and within that of its request, and turns the driver's
    errors into ours.

    Args:
        limit_of: Tells the limit in seconds, given the function's first argument.
        write: Whether the function writes, so that a broken connection leaves open whether it
            happened.
        running_in: Tells, given the same, which transaction is under way.
        outage_of: Tells, given the same and whether it writes, who knows whether the primary is
            there; None for what needs none, or waits for one of its own.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            first = args[0] if args else next(iter(kwargs.values()))
            running = running_in(first)
            if running is not None and running.refusal is not None:
                raise running.refusal
            limit, budget = limit_of(first), BUDGET.get()
            try:
                if budget is None:
                    with pymongo.timeout(limit):
                        return function(*args, **kwargs)
                if not budget.spending:
                    spend = functools.partial(function, *args, **kwargs)
                    result = _spend(budget, limit, outage_of(first, write), spend)
                # PERF: mostly, the time that this is a part of is no longer.
                elif limit is None or limit >= budget.limit:
                    result = function(*args, **kwargs)
                else:
                    with pymongo.timeout(limit):
                        result = function(*args, **kwargs)
                if write and running is None:
                    budget.wrote = True
                return result
            except Exception as error:
                if budget is not None and budget.wrote and running is None:
                    _raise_after_write(error)
                raise_ours(error, write=write, running=running)
                raise

        return wrapper

    return decorate


def _spend(
    budget: Budget,
    limit: float | None,
    outage: Outage | None,
    function: Callable[[], T],
) -> T:
    """Ask the database within what is left of the time of a request.

    Raises:
        Unavailable: Nothing is left, or it is known to be in vain.
    """
    if budget.left <= 0:
        raise _unavailable("query.timeout", _TOO_LATE)
    bound = budget.left if limit is None else min(limit, budget.left)
    begun = monotonic()
    for_all = outage is not None and outage.begin(bound)
    error: BaseException | None = None
    budget.spending = True
    try:
        left = bound - (monotonic() - begun)
        with pymongo.timeout(None if left == math.inf else max(left, 0.001)):
            return function()
    except BaseException as caught:
        error = caught
        raise
    finally:
        budget.spending = False
        budget.left -= monotonic() - begun
        if outage is not None:
            outage.end(error, for_all=for_all)
        # PERF: in a circle with its traceback, it would wait for the garbage collector.
        del error


def _raise_after_write(error: Exception) -> None:
    """Raise our exception where the database fails a request that has written before."""
    if isinstance(error, Unavailable) or (
        isinstance(error, _DRIVER_ERRORS) and isinstance(translate(error), Unavailable)
    ):
        raise _unavailable("write.outcome_unknown", _WROTE) from error


class Translation:
    """A context in which the driver's errors become ours.

    Args:
        write: Whether a write is under way.
        running: The transaction that it is a part of. That is tried again when it met another
            one, if it gets to see the driver's own error.
    """

    def __init__(self, *, write: bool = False, running: Running | None = None) -> None:
        self._write = write
        self._running = running

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, Exception):
            raise_ours(error, write=self._write, running=self._running)


def raise_ours(error: Exception, *, write: bool, running: Running | None) -> None:
    """Raise our exception for one of the driver's; do nothing for any other.

    Args:
        error: What was raised.
        write: Whether a write was under way.
        running: The transaction that it is a part of.
    """
    if (
        not isinstance(error, FalcorestError)
        and not (is_undone(error) and running is not None)
        and (isinstance(error, _DRIVER_ERRORS) or _raised_in_mongomock(error))
    ):
        problem = translate(error, write=write)
        if running is not None:
            running.refusal = problem
        # PERF: in a circle with its traceback, an exception would keep all of the request until
        # the garbage collector comes. The driver makes one of its own.
        if isinstance(problem, Conflict):
            error.__traceback__ = None
        try:
            raise problem from error
        finally:
            del problem


def _raised_in_mongomock(error: Exception) -> bool:
    """Tell whether mongomock stumbled over something that MongoDB can do."""
    traceback = error.__traceback__
    module = ""
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__"))
        traceback = traceback.tb_next
    return module.partition(".")[0] == "mongomock"


def translate(error: Exception, *, write: bool = False) -> FalcorestError:
    """Return our exception for one of the driver's. Its text stays in the log.

    Args:
        error: Raised by pymongo, bson or mongomock.
        write: Whether it came out of a write.
    """
    if isinstance(error, DuplicateKeyError):
        return duplicate(error.details or {})
    if isinstance(error, BulkWriteError):
        return _translate_bulk(error)
    if isinstance(error, re.error):
        return QueryError("query.refused", "The pattern can't be read.")
    if not isinstance(error, _DRIVER_ERRORS) or isinstance(error, NotImplementedError):
        return NotSupported("database.unsupported", "The database in memory can't do this.")
    if isinstance(error, (DocumentTooLarge, OverflowError)):
        return ContentTooLarge(
            "body.too_large", "A document may have 16 MiB at most, and its integers 64 bits."
        )
    nobody_asked = isinstance(error, (ServerSelectionTimeoutError, WaitQueueTimeoutError))
    if nobody_asked or (isinstance(error, DriverConfigurationError) and error._error_labels):
        if write and _was_sent(error):
            return _unavailable("write.outcome_unknown", _UNKNOWN)
        return _unavailable("database.unavailable", "The database can't be reached.")
    if isinstance(error, ConnectionFailure | WriteConcernError) or _timed_out(error):
        return _translate_interruption(error, write)
    if isinstance(error, OperationFailure):
        # NOTE: of a statement, the server says what has become of it at the first time.
        of_statement = isinstance(error, WriteError) or is_undone(error)
        if write and not of_statement and _was_repeated(error):
            return _unavailable("write.outcome_unknown", _UNKNOWN)
        return _translate_failure(error, write)
    return ServerError("server.error", "The database answered something unexpected.")


def is_undone(error: Exception) -> bool:
    """Tell whether an error came before the end of a transaction, which undid all of it."""
    if isinstance(error, DriverConfigurationError):
        _without_sessions(error)
    return isinstance(error, PyMongoError) and error.has_error_label("TransientTransactionError")


def _unconfirmed(error: Exception) -> bool:
    """Tell whether an error leaves open whether a transaction was committed."""
    label = "UnknownTransactionCommitResult"
    return isinstance(error, PyMongoError) and error.has_error_label(label)


def _was_sent(error: Exception) -> bool:
    """Tell whether a write was sent before the attempt that failed with an error."""
    return _unconfirmed(error) or _was_repeated(error)


def _was_repeated(error: Exception) -> bool:
    """Tell whether the driver was at it for the second time."""
    # NOTE: the first time, the connection broke. The driver says why the second time failed, which
    # may be nothing but that the time was up.
    return any(
        frame.f_code.co_name == "run" and getattr(frame.f_locals.get("self"), "_attempt_number", 0)
        for frame in _frames(error)
    )


def _without_sessions(error: DriverConfigurationError) -> None:
    """Have a connection closed of which the driver believes that it has no sessions.

    It asked for that once, when it opened the connection. A server that was neither primary nor
    secondary then may be primary now; until the connection is closed, no transaction can use it.
    """
    frames = list(_frames(error))
    connection: Any = frames[-1].f_locals.get("conn") if frames else None
    if getattr(connection, "supports_sessions", True):
        return
    # NOTE: to the pool, it is one of a time before the last failure.
    connection.generation = -1
    at_its_end = any(frame.f_code.co_name == "commit_transaction" for frame in frames)
    # NOTE: nothing was sent, so that all of it can be done again; but its end may have been before.
    label = "UnknownTransactionCommitResult" if at_its_end else "TransientTransactionError"
    error._add_error_label(label)


def _frames(error: BaseException) -> Iterator[FrameType]:
    """Yield where an error came from, from the outside to the inside."""
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _timed_out(error: Exception) -> bool:
    return isinstance(error, PyMongoError) and error.timeout


def _translate_interruption(error: Exception, write: bool) -> FalcorestError:
    # NOTE: MongoDB undoes what takes too long, unless it was the end of a transaction.
    stopped = isinstance(error, ExecutionTimeout) and not _was_sent(error)
    if write and not stopped and not is_undone(error):
        return _unavailable("write.outcome_unknown", _UNKNOWN)
    if isinstance(error, NetworkTimeout) or _timed_out(error):
        return _unavailable("query.timeout", _TOO_LATE)
    return _unavailable("database.unavailable", "The connection to the database broke.")


def _translate_failure(error: OperationFailure, write: bool) -> FalcorestError:
    if error.has_error_label("TransientTransactionError"):
        return write_conflict()
    return _translate_code(error.code or 0, write or isinstance(error, WriteError))


def _translate_bulk(error: BulkWriteError) -> FalcorestError:
    details = error.details or {}
    if not details.get("writeErrors") or details.get("writeConcernErrors"):
        return _translate_interruption(error, write=True)
    return _translate_write(details["writeErrors"][0])


def refusals(error: BulkWriteError) -> dict[int, FalcorestError]:
    """Return what each of several writes was refused for, by its index.

    Raises:
        FalcorestError: It isn't known of all of them whether they happened.
    """
    details = error.details or {}
    if not details.get("writeErrors") or details.get("writeConcernErrors"):
        raise _translate_interruption(error, write=True) from error
    return {one["index"]: _translate_write(one) for one in details["writeErrors"]}


def _translate_write(details: Mapping[str, Any]) -> FalcorestError:
    code = details.get("code") or 0
    return duplicate(details) if code in {11000, 11001} else _translate_code(code, write=True)


def _translate_code(code: int, write: bool) -> FalcorestError:
    """Return the error for a code of MongoDB's.

    Source: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
    """
    if code in _TOO_LARGE:
        return ContentTooLarge("body.too_large", "A document may have 16 MiB at the most.")
    if write and code in _LEFT_OPEN:
        return _unavailable("write.outcome_unknown", _UNKNOWN)
    if code in _TIMED_OUT:
        return _unavailable("query.timeout", _TOO_LATE)
    if code in PASSING:
        return _unavailable("database.unavailable", "The connection to the database broke.")
    if code in _BROKEN_OFF | _FAILED and not write:
        return _unavailable("database.unavailable", "The database broke off.")
    if code == WRITE_CONFLICT:
        return write_conflict()
    if code in _NOT_ALLOWED:
        return ServerError("server.error", "The server may not do this on its database.")
    if write:
        return refused(code)
    return QueryError("query.refused", "The database can't run this query.")


def _given_up() -> Unavailable:
    """Return the error for a transaction that failed for too long, and is undone."""
    return _unavailable("database.unavailable", "The database failed; nothing was changed.")


def write_conflict() -> Conflict:
    """Return the error for a write that others came in between, again and again."""
    return Conflict(
        "write.conflict", "Another write came in between; nothing was changed. Try again."
    )


def duplicate(details: Any) -> Conflict:
    """Return the error for a value that another document has already.

    Args:
        details: The driver's; its ``keyPattern`` names the fields. mongomock has none.
    """
    names = list(details.get("keyPattern") or ())
    quoted = ", ".join(names) or "a unique field"
    return Conflict(
        "document.duplicate",
        f"Another document has the same value in {quoted}.",
        field_errors={name: ["Another document has this value."] for name in names} or None,
    )


def refused(code: int) -> WriteRefused:
    """Return the error for a write that MongoDB refuses with this code of its own."""
    reason = _REFUSALS.get(code, "it breaks a rule of MongoDB or of the collection")
    return WriteRefused("write.refused", f"The write is refused: {reason}.")


def _unavailable(code: str, detail: str) -> Unavailable:
    return Unavailable(code, detail, headers=_RETRY_AFTER)
