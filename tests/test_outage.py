"""Outage: who waits for a primary that doesn't answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from types import SimpleNamespace

import pytest
from pymongo import errors

from falcorest.errors import Unavailable
from falcorest.outage import PATIENCE, Outage
from tests.live.processes import eventually


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
    return SimpleNamespace(topology_description=Topology(3, primary=True))


def silent(client: SimpleNamespace) -> Outage:
    """Return one for which several have waited in vain."""
    client.topology_description = Topology(2, primary=False)
    outage = Outage(client)
    for _ in range(PATIENCE):
        assert not outage.begin(1)
        outage.end(errors.NetworkTimeout(), for_all=False)
    return outage


def test_one_asks_for_all_and_others_are_told_at_once(client: SimpleNamespace) -> None:
    outage = silent(client)
    assert outage.begin(1)
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            outage.begin(1)
        assert caught.value.code == "database.unavailable"
        assert caught.value.headers == {"Retry-After": "1"}
    outage.end(errors.ServerSelectionTimeoutError(), for_all=True)
    assert outage.begin(1)
    outage.end(None, for_all=True)
    assert not outage.begin(1)
    assert not outage.begin(1)


def test_once_there_is_a_primary_all_may_ask_it(client: SimpleNamespace) -> None:
    outage = silent(client)
    assert outage.begin(1)
    client.topology_description = Topology(3, primary=True)
    for _ in range(5):
        assert not outage.begin(1)


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
    outage = silent(client)
    outage.end(error, for_all=outage.begin(1))
    assert not outage.begin(1)


def test_what_takes_long_is_no_outage(client: SimpleNamespace) -> None:
    """The driver gives up on a slow query while the primary's heart beats."""
    outage = Outage(client)
    for _ in range(10):
        outage.end(errors.NetworkTimeout(), for_all=outage.begin(1))
    client.topology_description = Topology(2, primary=False)
    assert not outage.begin(1)


def test_silence_is_found_below_what_it_became(client: SimpleNamespace) -> None:
    client.topology_description = Topology(2, primary=False)
    outage = Outage(client)
    for _ in range(PATIENCE):
        problem = Unavailable("query.timeout", "Too late.")
        problem.__cause__ = errors.ExecutionTimeout("the transaction was given up", 50)
        problem.__cause__.__cause__ = errors.NetworkTimeout()
        outage.end(problem, for_all=outage.begin(1))
    assert outage.begin(1)


def test_an_error_may_be_its_own_cause(client: SimpleNamespace) -> None:
    outage = Outage(client)
    one, other = Unavailable("query.timeout", "Too late."), KeyError()
    one.__cause__, other.__cause__ = other, one
    outage.end(one, for_all=outage.begin(1))
    assert not outage.begin(1)


def test_a_place_is_left_to_what_needs_no_primary(client: SimpleNamespace) -> None:
    outage = Outage(client)
    outage.bound(2)
    for _ in range(2):
        outage.begin(1)
    begun = monotonic()
    with pytest.raises(Unavailable):
        outage.begin(0.2)
    assert 0.2 <= monotonic() - begun < 2
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(outage.begin, 30)
        outage.end(None, for_all=False)
        assert waiting.result(10) is False


def test_places_are_given_to_who_has_waited_longest(client: SimpleNamespace) -> None:
    outage = Outage(client)
    outage.bound(1)
    outage.begin(1)
    order: list[int] = []

    def ask(number: int) -> None:
        outage.begin(30)
        order.append(number)
        outage.end(None, for_all=False)

    with ThreadPoolExecutor(5) as pool:
        for number in range(5):
            pool.submit(ask, number)
            assert eventually(lambda n=number: len(outage._places._waiting) == n + 1)
        outage.end(None, for_all=False)
    assert order == list(range(5))
    assert outage._places._free == 1


@pytest.mark.parametrize(
    "left", [Topology(2, primary=False), Topology(1, primary=True)], ids=["primary", "majority"]
)
def test_who_waits_for_a_place_is_told_when_nothing_is_there(
    client: SimpleNamespace, left: Topology
) -> None:
    outage = Outage(client)
    outage.bound(1)
    outage.begin(1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(outage.begin, 30)
        client.topology_description = left
        assert isinstance(waiting.exception(10), Unavailable)
    outage.end(None, for_all=False)
    assert outage.begin(1) is False


def test_there_is_no_bound_unless_one_is_set(client: SimpleNamespace) -> None:
    outage = Outage(client)
    client.topology_description = Topology(0, primary=False)
    for _ in range(100):
        outage.begin(1)
