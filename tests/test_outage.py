"""Outage: who waits for a primary that doesn't answer."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace

import pytest
from pymongo import errors

from falcorest.errors import Unavailable
from falcorest.outage import PATIENCE, Outage

OLD, NEW = ("a", 27017), ("b", 27017)


@pytest.fixture
def client() -> SimpleNamespace:
    return SimpleNamespace(primary=OLD)


def silent(client: SimpleNamespace) -> Outage:
    """Return one for which several have waited in vain."""
    outage = Outage(client)
    for _ in range(PATIENCE):
        assert not outage.begin()
        outage.end(errors.NetworkTimeout(), monotonic(), for_all=False)
    return outage


def test_one_asks_for_all_and_others_are_told_at_once(client: SimpleNamespace) -> None:
    outage = silent(client)
    assert outage.begin()
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            outage.begin()
        assert caught.value.code == "database.unavailable"
        assert caught.value.headers == {"Retry-After": "1"}
    outage.end(errors.NetworkTimeout(), monotonic(), for_all=True)
    assert outage.begin()
    outage.end(None, monotonic(), for_all=True)
    assert not outage.begin()
    assert not outage.begin()


@pytest.mark.parametrize("primary", [NEW, None])
def test_another_primary_may_be_asked_by_all(client: SimpleNamespace, primary: object) -> None:
    outage = silent(client)
    client.primary = primary
    assert outage.begin() is (primary is None)
    if primary is None:
        with pytest.raises(Unavailable):
            outage.begin()
        client.primary = OLD
        with pytest.raises(Unavailable):
            outage.begin()


def test_a_primary_that_comes_back_may_be_asked_by_all(client: SimpleNamespace) -> None:
    client.primary = None
    outage = Outage(client)
    for _ in range(PATIENCE):
        outage.end(errors.ServerSelectionTimeoutError(), monotonic(), for_all=False)
    assert outage.begin()
    client.primary = OLD
    assert not outage.begin()


@pytest.mark.parametrize(
    "error",
    [
        errors.ExecutionTimeout("too slow", 50),
        errors.WTimeoutError("no majority", 64),
        errors.AutoReconnect("hung up"),
        errors.DuplicateKeyError("twice", 11000),
        KeyError("ours"),
        None,
    ],
    ids=repr,
)
def test_what_answers_is_there(client: SimpleNamespace, error: Exception | None) -> None:
    outage = Outage(client)
    for _ in range(PATIENCE - 1):
        outage.end(errors.NetworkTimeout(), monotonic(), for_all=False)
    outage.end(error, monotonic(), for_all=False)
    outage.end(errors.NetworkTimeout(), monotonic(), for_all=False)
    assert not outage.begin()


def test_silence_is_found_below_what_it_became(client: SimpleNamespace) -> None:
    outage = Outage(client)
    for _ in range(PATIENCE):
        problem = Unavailable("query.timeout", "Too late.")
        problem.__cause__ = errors.ExecutionTimeout("the transaction was given up", 50)
        problem.__cause__.__cause__ = errors.NetworkTimeout()
        outage.end(problem, monotonic(), for_all=False)
    assert outage.begin()


def test_who_was_answered_later_knows_better(client: SimpleNamespace) -> None:
    outage = silent(client)
    begun = monotonic()
    outage.end(None, monotonic(), for_all=False)
    for _ in range(PATIENCE):
        outage.end(errors.NetworkTimeout(), begun, for_all=False)
    assert not outage.begin()
