"""The shape of problems, and what becomes of the driver's exceptions."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from bson.errors import BSONError, InvalidBSON, InvalidDocument
from pymongo import errors as driver

from falcorest import errors
from falcorest.database import Translation, translate
from falcorest.errors import CODES, ConfigurationError, FalcorestError, Problem

LEAK = "db7.internal:27017 shop.orders_v2 pipeline stage"

PROBLEMS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, Problem) and kind is not Problem
]


# ------------------------------------------------------------------------------- the shape


def test_a_problem_has_the_members_of_rfc_9457() -> None:
    problem = errors.QueryError("query.invalid_value", "'x' is no number.")
    assert problem.to_dict() == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "'x' is no number.",
        "code": "query.invalid_value",
    }
    assert str(problem) == "'x' is no number."


def test_parameter_field_errors_and_further_members_stand_where_they_apply() -> None:
    problem = errors.BodyError(
        "body.invalid_value",
        "No.",
        parameter="n",
        field_errors={"emails": {"1": ["Not a valid email address."]}},
        inserted=[0, 1],
    )
    shown = problem.to_dict()
    assert shown["parameter"] == "n"
    assert shown["field-errors"] == {"emails": {"1": ["Not a valid email address."]}}
    assert shown["inserted"] == [0, 1]


@pytest.mark.parametrize("kind", PROBLEMS)
def test_every_kind_of_problem_has_a_status_with_a_title(kind: type[Problem]) -> None:
    shown = kind("some.code", "Some detail.").to_dict()
    assert shown["status"] == kind.status
    assert shown["title"] not in {"", "Error"}
    assert kind.__doc__
    assert str(kind("x.y", "z").status) in (kind.__doc__ or "")


def test_the_tree_has_two_branches_below_one_root() -> None:
    assert issubclass(Problem, FalcorestError)
    assert issubclass(ConfigurationError, FalcorestError)
    assert not issubclass(ConfigurationError, Problem)
    assert ConfigurationError("A: no.", "B: no.").problems == ("A: no.", "B: no.")


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_a_slug_with_a_status_and_a_meaning(code: str) -> None:
    status, meaning = CODES[code]
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", code)
    assert 400 <= status < 600
    assert meaning.endswith(".")


@pytest.mark.parametrize(
    "detail", ["plain", 'quote " and \\', "größe", "lone \ud800 surrogate", "\0"]
)
def test_any_detail_can_be_written_as_json(detail: str) -> None:
    problem = errors.QueryError("query.malformed", detail, parameter=detail).to_dict()
    read = orjson.loads(errors.problem_json(problem))
    assert read["status"] == 400
    assert read["code"] == "query.malformed"
    assert read["detail"] == detail.encode("utf-8", "backslashreplace").decode()


# ----------------------------------------------------------------------- the driver's errors


def failure(code: int, labels: list[str] | None = None) -> driver.OperationFailure:
    return driver.OperationFailure(LEAK, code, {"errmsg": LEAK, "errorLabels": labels or []})


def write_error(code: int) -> driver.WriteError:
    return driver.WriteError(LEAK, code, {"errmsg": LEAK})


def bulk_error(code: int, **details: Any) -> driver.BulkWriteError:
    return driver.BulkWriteError(
        {"writeErrors": [{"index": 0, "code": code, "errmsg": LEAK, **details}]}
    )


def labelled(error: driver.PyMongoError) -> driver.PyMongoError:
    error._add_error_label("UnknownTransactionCommitResult")
    return error


UNAVAILABLE, TIMEOUT, UNKNOWN = "database.unavailable", "query.timeout", "write.outcome_unknown"
EITHER, READ, WRITE = (False, True), (False,), (True,)

#: Exception of the driver, whether it came out of a read or a write, and our code for it.
TRANSLATIONS: list[tuple[Exception, tuple[bool, ...], str]] = [
    (driver.ServerSelectionTimeoutError(LEAK), EITHER, UNAVAILABLE),
    (driver.WaitQueueTimeoutError(LEAK), EITHER, UNAVAILABLE),
    (driver.AutoReconnect(LEAK), READ, UNAVAILABLE),
    (driver.AutoReconnect(LEAK), WRITE, UNKNOWN),
    (driver.ConnectionFailure(LEAK), READ, UNAVAILABLE),
    (driver.ConnectionFailure(LEAK), WRITE, UNKNOWN),
    (driver.NotPrimaryError(LEAK), READ, UNAVAILABLE),
    (driver.NetworkTimeout(LEAK), READ, TIMEOUT),
    (driver.NetworkTimeout(LEAK), WRITE, UNKNOWN),
    (driver.ExecutionTimeout(LEAK, 50, {}), EITHER, TIMEOUT),
    # The end of a transaction that was sent again and again until the time was up.
    (
        driver.ExecutionTimeout(LEAK, 50, {"errorLabels": ["UnknownTransactionCommitResult"]}),
        WRITE,
        UNKNOWN,
    ),
    (failure(50), READ, TIMEOUT),
    (failure(262), READ, TIMEOUT),
    # A server that isn't the primary any more, or was not reached from another one.
    *((failure(code), READ, UNAVAILABLE) for code in (6, 7, 89, 91, 134, 189, 11602)),
    *((failure(code), WRITE, UNKNOWN) for code in (6, 7, 89, 91, 134, 189, 11602, 262, 202)),
    # What is no client's doing.
    *((failure(code), READ, UNAVAILABLE) for code in (1, 8, 24, 46, 246, 11601, 14031)),
    *((failure(code), WRITE, UNKNOWN) for code in (1, 8, 24, 46, 246, 290, 11601, 14031)),
    # The end of a transaction that could not be sent again.
    (labelled(driver.ServerSelectionTimeoutError(LEAK)), WRITE, UNKNOWN),
    (labelled(driver.WaitQueueTimeoutError(LEAK)), WRITE, UNKNOWN),
    (driver.WTimeoutError(LEAK, 64, {}), WRITE, UNKNOWN),
    (driver.WriteConcernError(LEAK, 64, {}), WRITE, UNKNOWN),
    (driver.BulkWriteError({"writeErrors": [], "writeConcernErrors": [{}]}), WRITE, UNKNOWN),
    (
        driver.BulkWriteError({"writeErrors": [{"code": 121}], "writeConcernErrors": [{}]}),
        WRITE,
        UNKNOWN,
    ),
    (failure(2), READ, "query.refused"),
    (failure(51091), READ, "query.refused"),
    (failure(17287), READ, "query.refused"),
    (re.error(LEAK), READ, "query.refused"),
    (write_error(121), WRITE, "write.refused"),
    (write_error(9), WRITE, "write.refused"),
    *((failure(code), WRITE, "write.refused") for code in (2, 14, 28, 40, 53, 66, 121, 166)),
    (bulk_error(121), WRITE, "write.refused"),
    (bulk_error(53), WRITE, "write.refused"),
    (driver.DuplicateKeyError(LEAK, 11000, {"keyPattern": {"a": 1}}), WRITE, "document.duplicate"),
    (bulk_error(11000, keyPattern={"a": 1}), WRITE, "document.duplicate"),
    (failure(112), WRITE, "write.conflict"),
    (failure(251, ["TransientTransactionError"]), WRITE, "write.conflict"),
    (bulk_error(10334), WRITE, "body.too_large"),
    (failure(17419), WRITE, "body.too_large"),
    (write_error(17420), WRITE, "body.too_large"),
    (driver.DocumentTooLarge(LEAK), WRITE, "body.too_large"),
    (OverflowError(LEAK), WRITE, "body.too_large"),
    (NotImplementedError(LEAK), EITHER, "database.unsupported"),
    (failure(13), EITHER, "server.error"),
    (failure(18), EITHER, "server.error"),
    (InvalidBSON(LEAK), EITHER, "server.error"),
    (InvalidDocument(LEAK), EITHER, "server.error"),
    (BSONError(LEAK), EITHER, "server.error"),
    (driver.PyMongoError(LEAK), EITHER, "server.error"),
    (driver.InvalidOperation(LEAK), EITHER, "server.error"),
    # A request that waits too long is 503, in whatever the time runs out.
    (bulk_error(50), WRITE, TIMEOUT),
]


def _label(value: object) -> str:
    if isinstance(value, Exception):
        details = getattr(value, "details", None) or {}
        first = (details.get("writeErrors") or [{}])[0] if isinstance(details, dict) else {}
        code = getattr(value, "code", None)
        return f"{type(value).__name__}-{first.get('code') or code}"
    return {"True": "write", "False": "read"}.get(str(value), str(value))


@pytest.mark.parametrize(
    ("error", "write", "code"),
    [(error, write, code) for error, writes, code in TRANSLATIONS for write in writes],
    ids=_label,
)
def test_an_exception_of_the_driver_becomes_one_of_ours(
    error: Exception, write: bool, code: str
) -> None:
    problem = translate(error, write=write)
    assert isinstance(problem, Problem)
    assert problem.code == code
    assert problem.status == CODES[code][0]


class _Attempts:
    """Does what the driver's own class does that sends an operation again."""

    def __init__(self, attempt: int) -> None:
        self._attempt_number = attempt

    def run(self, error: Exception) -> None:
        raise error


@pytest.mark.parametrize("error", [driver.WaitQueueTimeoutError, driver.ExecutionTimeout])
def test_a_write_that_was_sent_before_may_have_happened(error: type[Exception]) -> None:
    codes = []
    for attempt in (0, 1):
        with pytest.raises(error) as caught:
            _Attempts(attempt).run(error(LEAK))
        codes.append(translate(caught.value, write=True).code)
        assert translate(caught.value).code != UNKNOWN
    assert codes[0] in {UNAVAILABLE, TIMEOUT}
    assert codes[1] == UNKNOWN


@pytest.mark.parametrize("code", [2, 13, 112, 251])
def test_a_refusal_of_what_was_sent_before_tells_nothing(code: int) -> None:
    with pytest.raises(driver.OperationFailure) as caught:
        _Attempts(1).run(failure(code))
    assert translate(caught.value, write=True).code == UNKNOWN
    assert translate(caught.value).code != UNKNOWN


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (driver.DuplicateKeyError(LEAK, 11000, {"keyPattern": {"a": 1}}), "document.duplicate"),
        (write_error(121), "write.refused"),
        (failure(251, ["TransientTransactionError"]), "write.conflict"),
    ],
    ids=["duplicate", "refused", "undone"],
)
def test_what_is_said_of_a_statement_holds_for_all_attempts(
    error: driver.PyMongoError, code: str
) -> None:
    with pytest.raises(driver.PyMongoError) as caught:
        _Attempts(1).run(error)
    assert translate(caught.value, write=True).code == code


@pytest.mark.parametrize(
    ("error", "write"),
    [(error, write) for error, writes, _ in TRANSLATIONS for write in writes],
    ids=_label,
)
def test_no_text_of_the_driver_reaches_a_client(error: Exception, write: bool) -> None:
    problem = translate(error, write=write)
    assert isinstance(problem, Problem)
    shown = str(problem.to_dict()) + str(problem.headers)
    assert not any(word in shown for word in LEAK.split())


@pytest.mark.parametrize(
    "error", [error for error, _, code in TRANSLATIONS if CODES[code][0] == 503], ids=_label
)
def test_what_may_pass_says_when_to_try_again(error: Exception) -> None:
    problem = translate(error, write=True)
    assert isinstance(problem, Problem)
    assert problem.status == 503
    assert int(problem.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    ("details", "message", "fields"),
    [
        ({"keyPattern": {"email": 1}}, LEAK, ["email"]),
        ({"keyPattern": {"a.b": 1, "c": -1}, "keyValue": {"a.b": "secret"}}, LEAK, ["a.b", "c"]),
        ({"keyPattern": {"_id": 1}}, LEAK, ["_id"]),
        ({}, "E11000 duplicate key error collection: a.b index: user_id_1 dup key", []),
    ],
)
def test_a_duplicate_key_names_the_field(
    details: dict[str, Any], message: str, fields: list[str]
) -> None:
    single = translate(driver.DuplicateKeyError(message, 11000, details), write=True)
    many = translate(bulk_error(11000, **{"errmsg": message, **details}))
    for problem in (single, many):
        assert isinstance(problem, errors.Conflict)
        assert list(problem.field_errors or {}) == fields
        assert all(field in problem.detail for field in fields)
        assert "secret" not in str(problem.to_dict())


@pytest.mark.parametrize("code", [66, 121])
def test_a_refused_write_says_why_in_our_words(code: int) -> None:
    problem = translate(failure(code), write=True)
    reason = {66: "_id", 121: "validator"}[code]
    assert reason in str(problem)


def test_what_is_translated_keeps_its_cause_for_the_log() -> None:
    with pytest.raises(errors.Unavailable) as caught, Translation(write=True):
        raise driver.AutoReconnect(LEAK)
    assert isinstance(caught.value.__cause__, driver.AutoReconnect)


def test_what_is_not_the_drivers_passes_through() -> None:
    with pytest.raises(KeyError), Translation():
        raise KeyError("ours")
