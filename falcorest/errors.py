"""The exceptions of falcorest, and the one JSON shape in which a client sees them.

::

    FalcorestError
    ├── ConfigurationError            a setting or a declaration is wrong; no client sees it
    └── Problem                       an answer to a client
        ├── BadRequest           400
        │   ├── QueryError            the query string or the id in the path
        │   └── BodyError             the request body
        ├── Unauthorized         401
        ├── Forbidden            403
        ├── NotFound             404
        ├── MethodNotAllowed     405
        ├── NotAcceptable        406
        ├── RequestTimeout       408
        ├── Conflict             409
        ├── PreconditionFailed   412
        ├── ContentTooLarge      413
        ├── UnsupportedMediaType 415
        ├── WriteRefused         422
        ├── PreconditionRequired 428
        ├── TooManyRequests      429
        ├── ServerError          500
        ├── NotSupported         501
        └── Unavailable          503

A problem is written as ``application/problem+json`` (RFC 9457). Its ``code`` is a slug from
:data:`CODES` and stays the same from one release to the next; ``detail`` is for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import orjson

#: The media type of a problem.
PROBLEM_JSON = "application/problem+json"

#: Every ``code`` that a client can meet: its HTTP status and what it means.
CODES: dict[str, tuple[int, str]] = {
    "query.malformed": (400, "The query string is not form-encoded UTF-8 of `name=value` pairs."),
    "query.unknown_parameter": (400, "This request takes no such parameter."),
    "query.repeated_parameter": (400, "A parameter that may stand once stands twice."),
    "query.reserved_parameter": (400, "The parameter is reserved and not served here."),
    "query.invalid_field": (400, "A field name is empty, has an empty part, a leading `$` or NUL."),
    "query.unknown_operator": (400, "There is no such filter operator."),
    "query.unknown_hint": (400, "There is no such type hint."),
    "query.operator_hint": (400, "The operator doesn't take a value of this type hint."),
    "query.invalid_value": (400, "The literal doesn't fit its type hint or its operator."),
    "query.invalid_group": (400, "An `and`, `or` or `nor` group can't be read."),
    "query.invalid_sort": (400, "`_sort` or `_order_by` can't be read, or isn't allowed."),
    "query.invalid_projection": (400, "`_projection` can't be read."),
    "query.unknown_field": (400, "`_fields` names a field that isn't there."),
    "query.invalid_limit": (400, "`_limit` is not a number within its bounds."),
    "query.invalid_skip": (400, "`_skip` is not a number within its bounds."),
    "query.invalid_cursor": (400, "`_after` or `_before` is no cursor of this list and its sort."),
    "query.invalid_count": (400, "`_count` is none of `exact`, `estimated` and `capped`."),
    "query.too_complex": (400, "The query is nested too deeply or has too many parts."),
    "query.too_long": (400, "The query string, or a value in it, has too many characters."),
    "query.no_index": (400, "No index serves the filter or the sort, and one is required."),
    "query.regex_disabled": (400, "Regular expressions are switched off."),
    "query.refused": (400, "MongoDB can't run this query."),
    "id.invalid": (400, "The id in the path can't be read."),
    "body.malformed": (400, "The body is not JSON."),
    "body.invalid_key": (400, "A key in the body may not be stored."),
    "body.duplicate_key": (400, "An object in the body has the same key twice."),
    "body.invalid_value": (400, "A value in the body is out of range or no Extended JSON."),
    "body.too_deep": (400, "The body is nested too deeply."),
    "body.too_complex": (400, "The body has more documents, or names more fields, than it may."),
    "body.wrong_type": (400, "The body, or a part of it, is of another type than expected."),
    "body.invalid": (400, "The body doesn't fit the schema; `field-errors` says where."),
    "body.invalid_update": (400, "The body is not an update that is allowed."),
    "body.invalid_patch": (400, "The body is not a patch, or leaves nothing that can be stored."),
    "precondition.malformed": (400, "`If-Match` or `If-None-Match` is no list of entity tags."),
    "idempotency.invalid_key": (400, "`Idempotency-Key` is no key."),
    "idempotency.unsupported": (400, "The request can't be made with an `Idempotency-Key`."),
    "import.refused": (400, "Nothing of an import could be stored; `errors` says why."),
    "auth.required": (401, "The request needs credentials."),
    "auth.invalid": (401, "The credentials are wrong or have expired."),
    "bulk.unfiltered": (403, "A bulk write needs a filter."),
    "bulk.too_many": (403, "A bulk write matches more documents than it may touch."),
    "permission.denied": (403, "The caller may not do this."),
    "policy.field": (403, "The request uses a field that this caller may not see, or not write."),
    "policy.row": (403, "The write would leave a document that is not there for this caller."),
    "route.not_found": (404, "Nothing is served at this address."),
    "document.not_found": (404, "There is no such document."),
    "method.not_allowed": (405, "The address doesn't serve this method."),
    "accept.unsupported": (406, "`Accept` names nothing that is served."),
    "body.timeout": (408, "The body took too long to come; nothing was done about the request."),
    "document.duplicate": (409, "Another document has the same value in a unique field."),
    "write.conflict": (409, "Another write came in between; nothing was changed."),
    "patch.conflict": (409, "The patch doesn't fit the document; nothing was changed."),
    "idempotency.running": (409, "A request with this `Idempotency-Key` is being served."),
    "precondition.failed": (412, "`If-Match` or `If-None-Match` doesn't hold; nothing was done."),
    "body.too_large": (413, "The body, or the document it makes, is too large."),
    "body.unsupported_type": (415, "The body is of a media type that isn't read here."),
    "write.refused": (422, "MongoDB refuses the write; nothing was changed."),
    "idempotency.mismatch": (422, "The `Idempotency-Key` was used for another request."),
    "precondition.required": (428, "The write needs `If-Match`."),
    "auth.too_many_attempts": (429, "Too many logins have failed; `Retry-After` says how long."),
    "server.error": (500, "Something broke in the server; its log says what."),
    "http.error": (500, "An HTTP error without a slug of its own; `status` says which."),
    "database.unsupported": (501, "The database behind the server can't do this."),
    "server.busy": (503, "The server has too much to do; nothing was done about the request."),
    "database.unavailable": (503, "The database can't be reached."),
    "auth.busy": (503, "Too many passwords are being checked at once."),
    "query.timeout": (503, "The database didn't answer within the time limit."),
    "write.outcome_unknown": (503, "The connection broke during a write; it may have happened."),
}


#: The longest text in a problem, in characters.
MAX_TEXT = 1000


class FalcorestError(Exception):
    """Base class of everything that falcorest raises on purpose."""


class ConfigurationError(FalcorestError):
    """A setting, or a declaration in code, is wrong.

    Args:
        *problems: One clear line for each thing that is wrong.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Problem(FalcorestError):
    """An error that is answered to a client, in the shape of RFC 9457.

    Args:
        code: A slug from :data:`CODES`.
        detail: One or two sentences that name what is wrong.
        parameter: The query parameter at fault.
        field_errors: Messages by field, nested as the body is, list indexes as keys.
        headers: Response headers that belong to the error.
        **members: Further members of the JSON object.
    """

    status: ClassVar[int] = 500

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        parameter: str | None = None,
        field_errors: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.parameter = parameter
        self.field_errors = field_errors
        self.headers = dict(headers or {})
        self.members = members

    def to_dict(self) -> dict[str, Any]:
        """Return the members of the problem object."""
        problem = problem_object(self.status, self.code, self.detail)
        if self.parameter is not None:
            problem["parameter"] = self.parameter
        if self.field_errors is not None:
            problem["field-errors"] = self.field_errors
        shortened: dict[str, Any] = _shortened(problem | self.members)
        return shortened


def _shortened(value: Any) -> Any:
    """Return a value without the rest of long texts: an answer doesn't repeat what was sent."""
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}…"
    if isinstance(value, Mapping):
        return {_shortened(key): _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    return value


def problem_object(status: int, code: str, detail: str) -> dict[str, Any]:
    """Return the members that every problem has.

    Args:
        status: HTTP status.
        code: Stable slug.
        detail: What is wrong, for people.
    """
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }


def problem_json(problem: Mapping[str, Any]) -> bytes:
    """Return a problem object as JSON; what can't be written as UTF-8 is escaped."""
    try:
        return orjson.dumps(problem)
    except orjson.JSONEncodeError:
        readable = {
            key: value.encode("utf-8", "backslashreplace").decode()
            for key, value in problem.items()
            if isinstance(value, str)
        }
        return orjson.dumps({**readable, "status": problem["status"]})


class BadRequest(Problem):
    """400: the request itself is wrong."""

    status = 400


class QueryError(BadRequest):
    """400: the query string, or the id in the path, is wrong."""


class BodyError(BadRequest):
    """400: the body is wrong."""


class Unauthorized(Problem):
    """401: credentials are missing or wrong."""

    status = 401


class Forbidden(Problem):
    """403: the caller may not do this."""

    status = 403


class NotFound(Problem):
    """404: there is no such place or document."""

    status = 404


class MethodNotAllowed(Problem):
    """405: the place doesn't serve this method."""

    status = 405


class NotAcceptable(Problem):
    """406: the client accepts nothing that is served."""

    status = 406


class RequestTimeout(Problem):
    """408: the client takes too long to send its request."""

    status = 408


class Conflict(Problem):
    """409: another document or another write is in the way."""

    status = 409


class PreconditionFailed(Problem):
    """412: the document isn't, or is, what the request says."""

    status = 412


class ContentTooLarge(Problem):
    """413: the body is too large."""

    status = 413


class UnsupportedMediaType(Problem):
    """415: the body is of a type that isn't read."""

    status = 415


class WriteRefused(Problem):
    """422: the write is refused."""

    status = 422


class PreconditionRequired(Problem):
    """428: the request must say which document it is about to change."""

    status = 428


class TooManyRequests(Problem):
    """429: the caller has to wait before trying again."""

    status = 429


class ServerError(Problem):
    """500: something broke in the server."""

    status = 500


class NotSupported(Problem):
    """501: the database can't do this."""

    status = 501


class Unavailable(Problem):
    """503: the database can't be reached, or not in time."""

    status = 503
