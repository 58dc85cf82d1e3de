"""Outage: who waits for a primary that doesn't answer."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace

import pytest
from pymongo import errors

from falcorest.errors import Unavailable
from falcorest.outage import PATIENCE, Outage

OLD, NEW = ("a", 27017), ("b", 27017)


class Topology:
    """What a driver knows of a set of three."""

    def __init__(self, known: int, *, primary: bool) -> None:
        self.known = known
        self.primary = primary

    def has_writable_server(self) -> bool:
        return self.primary

    def server_descriptions(self) -> dict[int, SimpleNamespace]:
        return {one: SimpleNamespace(is_server_type_known=one < self.known) for one in range(3)}


@pytest.fixture
def client() -> SimpleNamespace:
    return SimpleNamespace(primary=OLD, topology_description=Topology(3, primary=True))


def silent(client: SimpleNamespace) -> Outage:
    """Return one for which several have waited in vain."""
    outage = Outage(client)
    for _ in range(PATIENCE):
        assert not outage.begin(write=False)
        outage.end(errors.NetworkTimeout(), monotonic(), write=False, for_all=False)
    return outage


def test_one_asks_for_all_and_others_are_told_at_once(client: SimpleNamespace) -> None:
    outage = silent(client)
    assert outage.begin(write=False)
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            outage.begin(write=False)
        assert caught.value.code == "database.unavailable"
        assert caught.value.headers == {"Retry-After": "1"}
    outage.end(errors.NetworkTimeout(), monotonic(), write=False, for_all=True)
    assert outage.begin(write=False)
    outage.end(None, monotonic(), write=False, for_all=True)
    assert not outage.begin(write=False)
    assert not outage.begin(write=False)


@pytest.mark.parametrize("primary", [NEW, None])
def test_another_primary_may_be_asked_by_all(client: SimpleNamespace, primary: object) -> None:
    outage = silent(client)
    client.primary = primary
    assert outage.begin(write=False) is (primary is None)
    if primary is None:
        with pytest.raises(Unavailable):
            outage.begin(write=False)
        client.primary = OLD
        with pytest.raises(Unavailable):
            outage.begin(write=False)


def test_a_primary_that_comes_back_may_be_asked_by_all(client: SimpleNamespace) -> None:
    client.primary = None
    outage = Outage(client)
    for _ in range(PATIENCE):
        outage.end(errors.ServerSelectionTimeoutError(), monotonic(), write=False, for_all=False)
    assert outage.begin(write=False)
    client.primary = OLD
    assert not outage.begin(write=False)


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
        outage.end(errors.NetworkTimeout(), monotonic(), write=False, for_all=False)
    outage.end(error, monotonic(), write=False, for_all=False)
    outage.end(errors.NetworkTimeout(), monotonic(), write=False, for_all=False)
    assert not outage.begin(write=False)


def test_silence_is_found_below_what_it_became(client: SimpleNamespace) -> None:
    outage = Outage(client)
    for _ in range(PATIENCE):
        problem = Unavailable("query.timeout", "Too late.")
        problem.__cause__ = errors.ExecutionTimeout("the transaction was given up", 50)
        problem.__cause__.__cause__ = errors.NetworkTimeout()
        outage.end(problem, monotonic(), write=False, for_all=False)
    assert outage.begin(write=False)


def test_who_was_answered_later_knows_better(client: SimpleNamespace) -> None:
    outage = silent(client)
    begun = monotonic()
    outage.end(None, monotonic(), write=False, for_all=False)
    for _ in range(PATIENCE):
        outage.end(errors.NetworkTimeout(), begun, write=False, for_all=False)
    assert not outage.begin(write=False)


def test_without_a_primary_a_place_is_left_to_others(client: SimpleNamespace) -> None:
    outage = Outage(client)
    outage.places = 2
    for _ in range(5):
        outage.begin(write=True)
    client.topology_description = Topology(2, primary=False)
    for write in (True, False):
        with pytest.raises(Unavailable):
            outage.begin(write=write)
    for _ in range(4):
        outage.end(None, monotonic(), write=True, for_all=False)
    outage.begin(write=False)
    with pytest.raises(Unavailable):
        outage.begin(write=False)


def test_without_a_majority_a_place_is_left_to_reads(client: SimpleNamespace) -> None:
    outage = Outage(client)
    outage.places = 2
    client.topology_description = Topology(1, primary=True)
    outage.begin(write=False)
    outage.begin(write=True)
    outage.begin(write=True)
    with pytest.raises(Unavailable):
        outage.begin(write=True)
    for _ in range(5):
        outage.begin(write=False)
    outage.end(None, monotonic(), write=True, for_all=False)
    outage.begin(write=True)
    client.topology_description = Topology(2, primary=True)
    outage.begin(write=True)


def test_there_is_no_bound_unless_one_is_set(client: SimpleNamespace) -> None:
    outage = Outage(client)
    client.topology_description = Topology(0, primary=False)
    for _ in range(100):
        outage.begin(write=True)
