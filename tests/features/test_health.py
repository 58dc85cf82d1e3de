"""Probes: whether the process is alive, and whether its database answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import falcon
import pymongo
import pytest
from falcon import testing
from pymongo import MongoClient
from pymongo.errors import ServerSelectionTimeoutError

from falcorest import FalcoRest, probes
from falcorest.probes import LiveView, ReadyView
from tests.conftest import MakeApi
from tests.support import Api, assert_problem


class Down:
    """Stands in the way of a database, and counts who asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.is_down = True
        self.seconds = 0.0
        command = pymongo.database.Database.command

        def asked(*args: Any, **kwargs: Any) -> Any:
            self.asked += 1
            time.sleep(self.seconds)
            if self.is_down:
                raise ServerSelectionTimeoutError("secret.example:27017: refused")
            return command(*args, **kwargs)

        monkeypatch.setattr(pymongo.database.Database, "command", asked)


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> Down:
    return Down(monkeypatch)


@pytest.fixture
def stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each probe ask anew."""
    monkeypatch.setattr(probes, "FRESH_SECONDS", 0.0)


@pytest.mark.live
@pytest.mark.parametrize("probe", ["live", "ready"])
def test_all_is_well(any_api: Api, probe: str) -> None:
    for url in (f"/health/{probe}", f"/health/{probe}/"):
        found = any_api.get(url, token=None)
        assert found.status_code == 200
        assert found.json == {"status": "ok"}
        assert found.headers["content-type"] == "application/json"
        assert found.headers["cache-control"] == "no-store"
        assert "x-request-id" in found.headers
        head = any_api("HEAD", url, token=None)
        assert (head.status_code, head.text) == (200, "")
    assert_problem(any_api("POST", f"/health/{probe}", {}), 405, "method.not_allowed")


def test_what_is_closed_to_the_public_is_open_to_probes(make_api: MakeApi) -> None:
    api = make_api("mongomock://", public_methods=[])
    assert api.get("/api/rockets", token=None).status_code == 401
    for url in ("/health/live", "/health/ready", "/metrics"):
        assert api.get(url, token=None).status_code == 200


@pytest.mark.live
@pytest.mark.usefixtures("stale")
def test_it_says_since_when_the_database_is_away(
    api: Api, down: Down, caplog: pytest.LogCaptureFixture
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    problem = assert_problem(api.get("/health/ready", token=None), 503, "database.unavailable")
    since = datetime.fromisoformat(problem["since"])
    assert problem["since"].endswith("Z")
    assert before <= since <= datetime.now(UTC)
    time.sleep(1.1)
    result = api.get("/health/ready", token=None)
    assert result.json["since"] == problem["since"]
    assert result.headers["retry-after"] == "1"
    assert result.headers["cache-control"] == "no-store"
    assert "example" not in result.text
    assert api("HEAD", "/health/ready", token=None).status_code == 503
    assert api.get("/health/live", token=None).status_code == 200
    down.is_down = False
    assert api.get("/health/ready", token=None).status_code == 200
    said = [record.getMessage() for record in caplog.records if record.name == "falcorest"]
    assert said == ["the database can't be reached", "the database can be reached again"]
    assert "secret.example" in caplog.text


@pytest.mark.live
def test_many_probes_are_one_question(api: Api, down: Down) -> None:
    down.is_down, down.seconds = False, 0.3
    started = time.monotonic()
    with ThreadPoolExecutor(20) as executor:
        found = list(executor.map(lambda _: api.get("/health/ready").status_code, range(40)))
    assert time.monotonic() - started < 3
    assert (found, down.asked) == ([200] * 40, 1)


@pytest.mark.live
@pytest.mark.usefixtures("stale")
def test_a_question_that_takes_long_keeps_nobody(api: Api, down: Down) -> None:
    down.is_down = False
    assert api.get("/health/ready").status_code == 200
    down.seconds = 1.0
    asking = threading.Thread(target=api.get, args=["/health/ready"])
    asking.start()
    while down.asked < 2:
        time.sleep(0.01)
    started = time.monotonic()
    assert api.get("/health/ready").status_code == 200
    assert time.monotonic() - started < 0.5
    asking.join()


def test_an_address_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PING_SECONDS", 0.3)
    # NOTE: nobody is there, and nobody says so.
    client: MongoClient[Any] = MongoClient("mongodb://192.0.2.1", connect=False)
    started = time.monotonic()
    with client:
        app = falcon.App()
        FalcoRest(app, client["blog"]).add_view(ReadyView(client["blog"]), "/ready")
        result = testing.TestClient(app).simulate_get("/ready")
    assert_problem(result, 503, "database.unavailable")
    assert time.monotonic() - started < 5


@pytest.mark.live
@pytest.mark.parametrize("kind", ["mongod", "standalone", "mongomock"])
def test_in_an_application_of_ones_own(kind: str, make_database: Callable[..., Any]) -> None:
    database = make_database(kind)
    app = falcon.App()
    api = FalcoRest(app, database)
    api.add_view(LiveView(), "/alive")
    api.add_view(ReadyView(database), "/at/work/")
    client = testing.TestClient(app)
    for url in ("/alive", "/at/work"):
        found = client.simulate_get(url)
        assert (found.status_code, found.json) == (200, {"status": "ok"})
        assert client.simulate_delete(url).status_code == 405
