"""Hostile input becomes a clear 4xx and changes nothing."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest
from pymongo.errors import OperationFailure

from tests.attacks import declared
from tests.attacks.hostile import (
    ATTACKS,
    DECLARED_ATTACKS,
    DOCUMENTS,
    LOG_BREAKERS,
    SERVERS,
    SOCKET_ATTACKS,
    Attack,
    attack_servers,
    attackable,
    misled,
    refusal,
)
from tests.attacks.world import open_api, policy_settings
from tests.conftest import MakeApi
from tests.declared import DeclaredApi
from tests.live.processes import Running
from tests.support import Api, assert_problem
from tests.watching import snapshot

pytestmark = pytest.mark.live


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
    assert refusal(api, attack) is None


@pytest.fixture(scope="module")
def declared_api() -> DeclaredApi:
    with declared.two_databases(None, "hostile") as databases:
        api = declared.open_declared(databases[0])
    api.database["posts"].insert_one({"_id": declared.POSTS[0], "title": "t", "secret": "s"})
    return api


@pytest.mark.parametrize("attack", DECLARED_ATTACKS, ids=str)
def test_it_is_refused_by_declared_resources(declared_api: DeclaredApi, attack: Attack) -> None:
    assert refusal(declared_api, attack) is None


def test_what_is_wrong_with_an_answer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    good = ATTACKS[0]
    for wrong, reason in (
        (replace(good, status=403), "400"),
        (replace(good, code="query.malformed"), "query.invalid_field"),
        (replace(good, url="/api/rockets"), "200"),
        (Attack("a 404", "GET", "/api/rockets/y", 404, "document.not_found"), "reached"),
    ):
        if reason != "reached" or not api.in_memory:
            assert reason in (refusal(api, wrong) or "")
    monkeypatch.setattr("tests.attacks.hostile.snapshot", lambda database: object())
    assert "changed" in (refusal(api, good) or "")


def test_what_looks_hostile_and_is_data(api: Api) -> None:
    texts = ["$where", "a\0b", "$cost", "{'$gt': ''}", "<script>", "\u202e", "' or 1=1", "a" * 4000]
    for number, value in enumerate(texts):
        url = f"/api/rockets/data-{number}"
        assert api("PUT", url, {"note": value}).status_code == 201
        assert api.get(url).json["note"] == value
        found = api.get(f"/api/rockets?note={quote(value, safe='')}&_projection=_id")
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
        result = api.get(f"/api/rockets?note=regex[str].{quote(pattern, safe='')}")
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
    sent = quote(breaker, safe="")
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


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    with attackable(tmp_path_factory.mktemp("servers")) as servers:
        yield servers


@pytest.fixture(scope="module")
def answers(servers: dict[str, Running]) -> dict[str, list[bytes]]:
    return attack_servers(servers)


@pytest.mark.parametrize("name", SERVERS)
def test_bytes_over_a_socket(
    servers: dict[str, Running], answers: dict[str, list[bytes]], name: str
) -> None:
    assert misled(answers[name]) == []
    assert sum(answer != b"" for answer in answers[name]) > len(SOCKET_ATTACKS) / 2
    stored = servers[name].get("/api/rockets")
    assert (stored.status, stored.json) == (200, []), "a request within a body was served"
    assert "Traceback" not in servers[name].text
