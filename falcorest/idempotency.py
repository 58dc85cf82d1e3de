"""Idempotency keys: a write that is sent again under its key is answered, and not done again.

The outcome of a write is stored in the write's own transaction, in a collection beside the data.
So there is one exactly where the write has happened, whatever breaks in between.

Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from inspect import iscoroutinefunction
from operator import attrgetter
from time import monotonic
from typing import Any

import falcon
from bson import CodecOptions
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, OperationFailure
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from falcorest.caller import Caller, caller_of
from falcorest.database import (
    BUDGET,
    WRITE_CONFLICT,
    MongoDatabase,
    Transactions,
    Translation,
    operation,
    time_limit,
)
from falcorest.errors import (
    BadRequest,
    Conflict,
    FalcorestError,
    NotSupported,
    ServerError,
    WriteRefused,
)
from falcorest.finding import in_session
from falcorest.formats import NDJSON
from falcorest.lines import Body
from falcorest.query import Document
from falcorest.responding import BODY, media_type
from falcorest.service import CollectionService
from falcorest.views import ResourceView

#: The collection that keeps outcomes, in the database of what was written.
COLLECTION = "falcorest_idempotency"

#: How long an outcome is replayed.
KEPT = timedelta(hours=24)

#: The largest answer that is kept, in bytes. A document may have 16 MiB.
MAX_BYTES = 4 * 1024 * 1024

#: How long it is taken for granted that the collection has its index, in seconds.
_CHECKED_SECONDS = 600.0

#: What MongoDB says where there is another index in its place.
_OTHER_INDEX = {85, 86}

#: What writes in a way that repeating it does something else.
RESPONDERS = ("on_post", "on_patch", "on_patch_item")

_HEADER = "HTTP_IDEMPOTENCY_KEY"

# NOTE: without a comma where it stands bare, because two headers are joined by one.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE = re.compile(r"[ !#-+\--~]+")
_MAX_KEY = 255

#: A key as descriptions have it, without the spaces around it, which aren't a part of a header.
KEY = (
    rf'^("([ !#-\[\]-~]|\\["\\]){{1,{_MAX_KEY}}}"'
    rf"|[!#-+\--~]([ !#-+\--~]{{0,{_MAX_KEY - 2}}}[!#-+\--~])?)$"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a request was answered with.

    Attributes:
        status: The status line.
        headers: Those that belong to it.
        body: None where there is none.
        cookies: Those that were set, which are for the one who gets the answer first.
    """

    status: str
    headers: dict[str, str]
    body: bytes | None
    cookies: SimpleCookie | None = None


class _Taken(FalcorestError):
    """The key has been used, or is being used just now."""


class Outcomes:
    """The outcomes of writes that had a key.

    Args:
        database: Where they are kept.
        transactions: Those of the writes.
    """

    def __init__(self, database: MongoDatabase, transactions: Transactions) -> None:
        self._time_limit = time_limit(database)
        self._database = database
        self._transactions = transactions
        self._there_until = 0.0

    @property
    def time_limit(self) -> float | None:
        """How long a request waits for the database, in seconds; None is no limit."""
        budget = BUDGET.get()
        return self._time_limit if budget is None else budget.limit

    @functools.cached_property
    def _collection(self) -> Collection[Document]:
        # NOTE: what is read is our own, however the host's documents are read.
        return self._database.get_collection(COLLECTION, CodecOptions())

    @operation(
        attrgetter("time_limit"), outage_of=lambda outcomes, write: outcomes._transactions.outage
    )
    def once(
        self,
        service: CollectionService,
        identity: str,
        fingerprint: str,
        write: Callable[[], Outcome],
    ) -> tuple[Outcome, bool]:
        """Do a write, or return the outcome that it has had.

        Args:
            service: What does the write.
            identity: What the key stands for; two requests with one are the same request.
            fingerprint: What they must have in common then.
            write: May be called again when its transaction met another one.

        Returns:
            The outcome, and whether it is an earlier one.

        Raises:
            NotSupported: The database has no transactions.
            Conflict: The same request is being served just now.
            WriteRefused: There has been another request under this key.
        """
        self._prepare()

        def work() -> Outcome:
            self._claim(identity, fingerprint)
            outcome = write()
            self._keep(identity, outcome)
            return outcome

        try:
            return service.together(work), False
        except _Taken:
            return self._earlier(identity, fingerprint), True

    def _prepare(self) -> None:
        """Make the collection and its index: within a transaction, that isn't always possible.

        Raises:
            NotSupported: There are no transactions.
        """
        if not self._transactions.supported:
            raise NotSupported(
                "database.unsupported",
                "Idempotency-Key needs transactions, which a replica set or a sharded cluster has.",
            )
        if monotonic() < self._there_until:
            return
        try:
            seconds = int(KEPT.total_seconds())
            self._collection.create_index("created", expireAfterSeconds=seconds)
        except OperationFailure as error:
            if error.code in _OTHER_INDEX:
                raise ServerError(
                    "server.error", "Something broke in the server; its log says what."
                ) from error
            raise
        self._there_until = monotonic() + _CHECKED_SECONDS

    def _claim(self, identity: str, fingerprint: str) -> None:
        """Make the record of a write at its beginning, so that no other one can.

        Raises:
            _Taken: It is there, or somebody else is making it.
        """
        now = datetime.now(UTC)
        record = {"created": now, "fingerprint": fingerprint}
        # NOTE: MongoDB removes what has expired each minute, so it may still be there.
        expired = {"_id": identity, "created": {"$lt": now - KEPT}}
        running = self._transactions.running
        with Translation(write=True, running=running):
            try:
                self._collection.replace_one(expired, record, upsert=True, **self._options())
            except DuplicateKeyError as error:
                raise _Taken from error
            except OperationFailure as error:
                # NOTE: of a rival that hasn't ended. Passed on, it would be tried again.
                if error.code == WRITE_CONFLICT:
                    raise _Taken from error
                raise

    def _keep(self, identity: str, outcome: Outcome) -> None:
        """Store an outcome in its record."""
        stored = {
            "status": outcome.status,
            "headers": list(outcome.headers.items()),
            "body": outcome.body,
        }
        with Translation(write=True, running=self._transactions.running):
            self._collection.update_one({"_id": identity}, {"$set": stored}, **self._options())

    def _options(self) -> dict[str, Any]:
        return in_session(self._transactions.session)

    def _earlier(self, identity: str, fingerprint: str) -> Outcome:
        """Return the outcome that is kept.

        Raises:
            Conflict: There is none yet.
            WriteRefused: It is that of another request.
        """
        # NOTE: what no fail-over takes back.
        settled = self._collection.with_options(
            read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern("majority")
        )
        fresh = {"_id": identity, "created": {"$gte": datetime.now(UTC) - KEPT}}
        record = settled.find_one(fresh)
        if record is None:
            raise Conflict(
                "idempotency.running",
                "A request with this Idempotency-Key is being served; its outcome isn't known yet.",
                headers={"Retry-After": "1"},
            )
        if record["fingerprint"] != fingerprint:
            raise WriteRefused(
                "idempotency.mismatch",
                "This Idempotency-Key was used for another request: the body, its Content-Type, "
                "the query string or the caller's roles were different.",
            )
        return Outcome(record["status"], dict(record["headers"]), record["body"])


def make_repeatable(view: ResourceView, outcomes: Outcomes) -> None:
    """Let a view's writes be sent again under a key.

    Args:
        view: Whose responders are wrapped, an author's own included.
        outcomes: Those of its database.
    """
    for name in RESPONDERS:
        responder = getattr(view, name)
        # NOTE: Falcon refuses those that are asynchronous.
        if responder is not None and not iscoroutinefunction(responder):
            setattr(view, name, _repeatable(view, outcomes, responder))


def takes_key(view: ResourceView, responder: str) -> bool:
    """Tell whether the requests that a responder answers may be sent again under a key.

    Raises:
        Unavailable: The database can't be reached.
    """
    with Translation():
        return responder in RESPONDERS and responder in vars(view) and view.service.can_be_undone


def _repeatable(
    view: ResourceView, outcomes: Outcomes, responder: Callable[..., None]
) -> Callable[..., None]:
    @functools.wraps(responder)
    def wrapper(req: falcon.Request, resp: falcon.Response, **params: Any) -> None:
        given = req.env.get(_HEADER)
        if given is None:
            responder(req, resp, **params)
            return
        key, caller = read_key(given), caller_of(req)
        _require_repeatable(view, req, caller)
        # NOTE: it is read once, and the responder may run several times.
        req.env[BODY] = Body(req, view.limits.max_body_bytes, view.limits.client_timeout_ms).whole()
        place = (req.method, req.root_path, view.url, params.get("id"))
        outcome, replayed = outcomes.once(
            view.service,
            _digest(caller.username, *place, key),
            # APPSEC: an answer shows what the roles of its time might see.
            _digest(sorted(caller.roles), req.query_string, req.content_type, body=req.env[BODY]),
            lambda: _answer(responder, req, resp, params),
        )
        resp.status = outcome.status
        resp.set_headers(outcome.headers)
        resp.data = outcome.body
        resp._cookies = outcome.cookies or resp._cookies
        if replayed:
            resp.set_header("Idempotency-Replayed", "true")

    return wrapper


def read_key(header: str) -> str:
    """Return the key in an ``Idempotency-Key`` header, which may stand in quotes (RFC 8941).

    Raises:
        BadRequest: There is none in it.
    """
    quoted = _QUOTED.fullmatch(header)
    if quoted is not None:
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    else:
        key = header if _BARE.fullmatch(header) else ""
    if not 0 < len(key) <= _MAX_KEY:
        raise BadRequest(
            "idempotency.invalid_key",
            f"Idempotency-Key takes one key of 1 to {_MAX_KEY} printable ASCII characters, "
            'in double quotes or, without any " or comma in it, bare.',
        )
    return key


def _require_repeatable(view: ResourceView, req: falcon.Request, caller: Caller) -> None:
    """Refuse a key where it would promise what isn't kept.

    Raises:
        NotSupported: The collection takes no part in transactions.
        BadRequest: The request is none that can be repeated.
    """
    if not view.resource.transactional:
        raise NotSupported(
            "database.unsupported",
            "Idempotency-Key needs transactions, in which this resource takes no part.",
        )
    if media_type(req) == NDJSON:
        raise BadRequest(
            "idempotency.unsupported",
            "A streamed import is no single write, so it takes no Idempotency-Key.",
        )
    if caller.is_known and caller.username is None:
        # APPSEC: callers who can't be told apart would get each other's answers.
        raise BadRequest(
            "idempotency.unsupported",
            "Idempotency-Key needs a caller with a username, and this one has none.",
        )


def _digest(*parts: Any, body: bytes = b"") -> str:
    return hashlib.sha256(ascii(parts).encode() + body).hexdigest()


def _answer(
    responder: Callable[..., None],
    req: falcon.Request,
    resp: falcon.Response,
    params: dict[str, Any],
) -> Outcome:
    """Let a responder answer, and return what it says.

    Raises:
        BadRequest: It can't be kept.
    """
    # NOTE: a response of its own, since an attempt that is undone must leave nothing behind.
    answer = type(resp)(options=resp.options)
    answer.context = resp.context
    before = resp.headers
    answer.set_headers(before)
    responder(req, answer, **params)
    body = answer.render_body()
    if answer.stream is not None or len(body or b"") > MAX_BYTES:
        raise BadRequest(
            "idempotency.unsupported",
            f"The answer would be streamed or have more than {MAX_BYTES} bytes, too many to be "
            "kept for a repetition. Nothing was written. Send less at once, or no Idempotency-Key.",
        )
    headers = {name: one for name, one in answer.headers.items() if before.get(name) != one}
    return Outcome(falcon.code_to_http_status(answer.status), headers, body, answer._cookies)
