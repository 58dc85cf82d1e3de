"""Hostile input becomes a clear 4xx and changes nothing."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from falcorest.auth import TokenIssuer
from tests.attacks.hostile import (
    ATTACKS,
    LOG_BREAKERS,
    SOCKET_ATTACKS,
    Attack,
    attack_server,
    statuses,
    text,
)
from tests.attacks.world import open_api, policy_settings
from tests.conftest import MONITOR, MakeApi
from tests.live.processes import Running, serving
from tests.support import SECRET, Api, assert_problem, clean_environment
from tests.watching import snapshot

pytestmark = pytest.mark.live

DOCUMENTS: list[dict[str, Any]] = [
    {
        "_id": "x",
        "name": "RD-180",
        "cost": 5,
        "approved": True,
        "thrust": 4152,
        "supplier": {"name": "acme", "contact": "z"},
        "parts": [{"name": "nozzle", "serial": 5}],
        "audit": {"by": "qa"},
    },
    *({"_id": number, "name": "x"} for number in range(9)),
]


@pytest.fixture(scope="module", params=["mongod", "mongomock"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    memory = request.param == "mongomock"
    uri = "mongomock://" if memory else request.getfixturevalue("mongo_uri")
    folder, name = tmp_path_factory.mktemp("hostile"), f"hostile_{uuid.uuid4().hex[:8]}"
    api = open_api(policy_settings(folder, uri, name, regex=True))
    api.rockets.insert_many(DOCUMENTS)
    yield api
    if not memory:
        api.database.client.drop_database(name)
    api.database.client.close()


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_it_is_refused(api: Api, attack: Attack) -> None:
    before = snapshot(api.database)
    started = time.monotonic()
    with MONITOR.recording() as commands:
        result = api(attack.method, attack.url, raw=attack.raw)
    took = time.monotonic() - started
    assert_problem(result, attack.status, attack.code)
    assert len(result.content) < 4096, "it says back what was sent"
    assert attack.reaches or attack.code == "query.refused" or commands == []
    assert snapshot(api.database) == before
    assert took < 5


def test_what_looks_hostile_and_is_data(api: Api) -> None:
    texts = ["$where", "a\0b", "$cost", "{'$gt': ''}", "<script>", "\u202e", "' or 1=1", "a" * 4000]
    for number, value in enumerate(texts):
        url = f"/api/rockets/data-{number}"
        assert api("PUT", url, {"note": value}).status_code == 201
        assert api.get(url).json["note"] == value
        found = api.get(f"/api/rockets?note={text(value)}&_projection=_id")
        assert found.json == [{"_id": f"data-{number}"}]
        assert api("DELETE", url).status_code == 204


def test_documents_over_16_mb(make_api: MakeApi, mongo_uri: str) -> None:
    api = make_api(mongo_uri, max_body_bytes=64 * 2**20)
    half = "x" * (9 * 2**20)
    assert api("POST", "/api/rockets", {"_id": "x", "a": [half]}).status_code == 201
    before = snapshot(api.database)
    for method, url, body in (
        ("POST", "/api/rockets", {"a": half + half}),
        ("POST", "/api/rockets", [{"a": 1}, {"a": half + half}]),
        ("PUT", "/api/rockets/y", {"a": half + half}),
        ("PATCH", "/api/rockets/x", {"$push": {"a": half}}),
        ("PATCH", "/api/rockets?_id=x", {"$push": {"a": half}}),
    ):
        assert_problem(api(method, url, body), 413, "body.too_large")
    assert snapshot(api.database) == before


def test_a_catastrophic_pattern_ends_in_time(make_api: MakeApi, mongo_uri: str) -> None:
    api = make_api(mongo_uri, regex=True, timeout_ms=1000)
    api.rockets.insert_many({"note": "x" * 5000 + "!"} for _ in range(50))
    for pattern in ("(x+x+)+y", "(x|xx)*y", "^(([x])+.)+y$", "(.*)(.*)(.*)(.*)(.*)(.*)y"):
        started = time.monotonic()
        result = api.get(f"/api/rockets?note=regex[str].{text(pattern)}")
        assert time.monotonic() - started < 3
        assert result.status_code in {200, 400, 503}
        if result.status_code == 503:
            assert_problem(result, 503, "query.timeout")


# ------------------------------------------------------------------------------------ the log


def formatted(caplog: pytest.LogCaptureFixture) -> str:
    """Return what a log file would have got, as falcorest serve writes it."""
    formatter = logging.Formatter("[%(levelname)s] %(name)s: %(message)s")
    return "\n".join(formatter.format(record) for record in caplog.records)


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
@pytest.mark.parametrize("breaker", LOG_BREAKERS, ids=ascii)
def test_what_is_logged_stays_on_its_line(
    make_api: MakeApi,
    mongo_uri: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    breaker: str,
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        # NOTE: MongoDB says back what it was asked.
        raise OperationFailure(f'not allowed to execute {{ find: "x", a: "{breaker}" }}', 13)

    api = make_api(mongo_uri)
    monkeypatch.setattr("pymongo.collection.Collection.find", fail)
    monkeypatch.setattr("pymongo.collection.Collection.find_one", fail)
    sent = text(breaker)
    header = {"X-Request-ID": breaker} if breaker.isascii() else {}
    with caplog.at_level(logging.DEBUG):
        for url in (f"/api/rockets/{sent}", f"/api/rockets?a={sent}", f"/api/rockets/x?{sent}=1"):
            api("GET", url, headers=header)
        api("POST", "/login", {"username": breaker, "password": breaker}, token=None)
        api("GET", "/api/rockets/x", token=breaker.encode("ascii", "ignore").decode())
    lines = formatted(caplog)
    assert "not allowed to execute" in lines
    assert "\n[ERROR] falcorest: forged" not in lines
    assert not set(lines) & {"\r", "\x1b", "\x07", "\x00", "\x85", "\u2028", "\u202e"}


# ---------------------------------------------------------------------------- over real sockets


SERVERS = ("granian", "gunicorn", "waitress")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    """``falcorest serve`` under each server, on a database in memory."""
    environment = clean_environment(
        MONGODB_URI="mongomock://", COLLECTIONS="rockets:rocket_engines", JWT_SECRET_KEY=SECRET
    )
    with ExitStack() as stack, ThreadPoolExecutor() as pool:

        def start(name: str) -> Running:
            options = ("--server", name, "--threads", "8")
            folder = tmp_path_factory.mktemp(name)
            return stack.enter_context(serving(folder, *options, environment=environment))

        yield dict(zip(SERVERS, pool.map(start, SERVERS), strict=True))


@pytest.fixture(scope="module")
def answers(servers: dict[str, Running]) -> dict[str, list[bytes]]:
    """What each server says to each attack, all of them attacked at once."""
    token = TokenIssuer(SECRET).issue("tester")
    with ThreadPoolExecutor() as pool:
        said = pool.map(lambda name: attack_server(servers[name].port, token), SERVERS)
        return dict(zip(SERVERS, said, strict=True))


@pytest.mark.parametrize("name", SERVERS)
def test_bytes_over_a_socket(
    servers: dict[str, Running], answers: dict[str, list[bytes]], name: str
) -> None:
    wrong = []
    for attack, answer in zip(SOCKET_ATTACKS, answers[name], strict=True):
        found = statuses(answer)
        if len(found) > attack.answers or not set(found) <= set(attack.statuses):
            wrong.append(f"{attack}: {found}")
    assert wrong == []
    assert sum(answer != b"" for answer in answers[name]) > len(SOCKET_ATTACKS) / 2
    stored = servers[name].get("/api/rockets")
    assert (stored.status, stored.json) == (200, []), "a request within a body was served"
    assert "Traceback" not in servers[name].text
