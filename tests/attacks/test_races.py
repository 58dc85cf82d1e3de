"""Some rounds of each race; ``python -m tests.attacks.races 300`` runs more."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from falcorest.finding import Finder
from falcorest.service import CollectionService
from tests.attacks.races import lose_nothing_hidden, raced, stay_in_sight
from tests.attacks.rivals import RIVALRIES, both_doors, count_with_if_match, create_if_none_is_there
from tests.doors import Door
from tests.support import Api

pytestmark = pytest.mark.live


@pytest.mark.parametrize("kind", ["mongo_uri", "standalone_uri"])
@pytest.mark.parametrize("race", [lose_nothing_hidden, stay_in_sight])
def test_a_race(
    request: pytest.FixtureRequest, kind: str, race: Callable[[Api, int], list[str]]
) -> None:
    with raced(request.getfixturevalue(kind), f"raced_{uuid.uuid4().hex[:8]}") as api:
        assert race(api, 20) == []


@pytest.mark.long
@pytest.mark.parametrize("kind", ["mongo_uri", "standalone_uri"])
@pytest.mark.parametrize("version_field", [None, "v"])
@pytest.mark.parametrize("rivalry", RIVALRIES)
def test_rivals_lose_nothing(
    request: pytest.FixtureRequest,
    kind: str,
    version_field: str | None,
    rivalry: Callable[[Door, int], list[str]],
) -> None:
    with both_doors(request.getfixturevalue(kind), version_field) as doors:
        for door in doors:
            if not (door.is_declared and rivalry is create_if_none_is_there):
                assert rivalry(door, 12) == []


def test_rivals_lose_something_without_the_comparison(
    standalone_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Finder, "_expectation", lambda self, identity: None)
    with both_doors(standalone_uri) as doors:
        assert any(count_with_if_match(doors[0], 12) for _ in range(20))


@pytest.mark.parametrize("race", [lose_nothing_hidden, stay_in_sight])
def test_a_race_is_lost_without_the_comparison(
    standalone_uri: str,
    monkeypatch: pytest.MonkeyPatch,
    race: Callable[[Api, int], list[str]],
) -> None:
    def anything(self: object, filter: object, stored: object, names: object) -> object:
        return filter

    monkeypatch.setattr(CollectionService, "_unchanged", anything)
    with raced(standalone_uri, f"raced_{uuid.uuid4().hex[:8]}") as api:
        assert any(race(api, 100) for _ in range(5))
