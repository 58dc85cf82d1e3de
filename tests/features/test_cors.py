"""CORS: listed origins may use everything, others nothing, and caches can tell them apart."""

from __future__ import annotations

from typing import Any

import pytest
from falcon import testing

from falcorest.cors import READ, SENT
from falcorest.errors import ConfigurationError
from falcorest.settings import Settings
from tests.conftest import MakeApi
from tests.support import Api

APP = "https://app.example.com"
OTHER = "https://evil.example"


@pytest.fixture
def cors_api(make_api: MakeApi) -> Api:
    api = make_api("mongomock://", cors_origins=[APP, "http://localhost:3000"])
    api.rockets.insert_many([{"_id": number} for number in range(600)])
    return api


def access(result: testing.Result) -> dict[str, str]:
    """Return the headers of an answer that are about CORS."""
    return {
        name: value for name, value in result.headers.items() if name.startswith("access-control-")
    }


#: Every kind of answer: method, URL, body, with a token, and the status.
ANSWERS: list[tuple[str, str, Any, bool, int]] = [
    ("GET", "/api/rockets/[int].1", ..., False, 200),
    ("HEAD", "/api/rockets/[int].1", ..., False, 200),
    ("GET", "/api/rockets?_limit=1", ..., False, 200),
    ("GET", "/api/rockets", ..., False, 200),  # a stream
    ("POST", "/api/rockets", {}, True, 201),
    ("DELETE", "/api/rockets/[int].1", ..., True, 204),
    ("GET", "/api/rockets?a=eq[int].x", ..., False, 400),
    ("POST", "/api/rockets", {}, False, 401),
    ("DELETE", "/api/rockets", ..., True, 403),
    ("GET", "/api/nothing", ..., False, 404),
    ("GET", "/", ..., False, 404),
    ("GET", "/api/rockets/[int].9999", ..., False, 404),
    ("PUT", "/api/rockets", {}, True, 405),
    ("TRACE", "/api/rockets", ..., False, 405),
    ("GET", "/login", ..., False, 405),
    ("POST", "/login", {"username": "a", "password": "b"}, False, 401),
    ("GET", "/me", ..., False, 401),
    ("POST", "/api/rockets", [[]], True, 400),
    ("OPTIONS", "/api/rockets", ..., False, 200),
]


def ask(api: Api, answer: tuple[str, str, Any, bool, int], origin: str | None) -> testing.Result:
    method, url, body, logged_in, status = answer
    headers = {} if origin is None else {"Origin": origin}
    result = api(method, url, body, token="" if logged_in else None, headers=headers)
    assert result.status_code == status, result.text
    return result


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda one: f"{one[0]} {one[1]} {one[4]}")
def test_every_answer_can_be_read_by_listed_origins_only(
    cors_api: Api, answer: tuple[str, str, Any, bool, int]
) -> None:
    for origin in (None, OTHER, "null", APP + ":8443", APP.upper(), APP + "/", "*"):
        if answer[0] == "DELETE" and origin is not None:
            # NOTE: there is one document to delete.
            continue
        result = ask(cors_api, answer, origin)
        assert "Origin" in result.headers["vary"].split(", ")
        assert access(result) == {}
    if answer[0] == "DELETE" and answer[4] == 204:
        cors_api.rockets.insert_one({"_id": 1})
    result = ask(cors_api, answer, APP)
    assert "Origin" in result.headers["vary"].split(", ")
    assert access(result) == {
        "access-control-allow-origin": APP,
        "access-control-expose-headers": ", ".join(READ),
    }


def preflight(api: Api, url: str, origin: str = APP, method: str = "PATCH") -> testing.Result:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,x-anything",
    }
    return api("OPTIONS", url, token=None, headers=headers)


@pytest.mark.parametrize(
    ("url", "methods"),
    [
        ("/api/rockets", {"GET", "HEAD", "POST", "PATCH", "DELETE"}),
        ("/api/rockets/", {"GET", "HEAD", "POST", "PATCH", "DELETE"}),
        ("/api/rockets/5", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        ("/login", {"POST"}),
        ("/me", {"GET", "HEAD"}),
    ],
)
@pytest.mark.parametrize("public_methods", [["GET"], []])
def test_a_preflight_needs_no_login_and_says_what_is_served(
    make_api: MakeApi, url: str, methods: set[str], public_methods: list[str]
) -> None:
    api = make_api("mongomock://", cors_origins=[APP], public_methods=public_methods)
    for method in ("GET", "PATCH", "BREW"):
        result = preflight(api, url, method=method)
        assert result.status_code == 200
        assert result.content == b""
        assert "Origin" in result.headers["vary"].split(", ")
        granted = access(result)
        assert set(granted.pop("access-control-allow-methods").split(", ")) >= methods - {"HEAD"}
        assert granted == {
            "access-control-allow-origin": APP,
            "access-control-allow-headers": ", ".join(SENT),
            "access-control-max-age": "3600",
        }
    allowed = set(result.headers["access-control-allow-methods"].split(", "))
    assert allowed - {"HEAD", "OPTIONS"} == methods - {"HEAD"}


def test_a_preflight_of_another_origin_is_granted_nothing(cors_api: Api) -> None:
    result = preflight(cors_api, "/api/rockets", OTHER)
    assert "Origin" in result.headers["vary"].split(", ")
    assert access(result) == {}


def test_a_preflight_for_nothing_is_not_found(cors_api: Api) -> None:
    result = preflight(cors_api, "/api/nothing")
    assert result.status_code == 404
    assert set(access(result)) == {"access-control-allow-origin"}


def test_every_origin(make_api: MakeApi) -> None:
    api = make_api("mongomock://", cors_origins=["*"])
    for origin in (APP, OTHER, "null"):
        result = api.get("/api/rockets", headers={"Origin": origin})
        assert result.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in result.headers
        assert "Origin" in result.headers["vary"].split(", ")
    assert "access-control-allow-origin" not in api.get("/api/rockets").headers
    assert "access-control-allow-methods" in preflight(api, "/api/rockets", OTHER).headers


def test_credentials_are_for_listed_origins(make_api: MakeApi) -> None:
    api = make_api("mongomock://", cors_origins=[APP], cors_credentials=True)
    for result in (
        api.get("/api/rockets", headers={"Origin": APP}),
        api.get("/api/nothing", headers={"Origin": APP}),
        preflight(api, "/api/rockets"),
    ):
        assert result.headers["access-control-allow-credentials"] == "true"
        assert result.headers["access-control-allow-origin"] == APP
    assert access(api.get("/api/rockets", headers={"Origin": OTHER})) == {}


def test_credentials_for_every_origin_are_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"FALCOREST_CORS_CREDENTIALS: .*list the origins"):
        Settings(cors_origins=["*"], cors_credentials=True)


def test_it_is_off_unless_origins_are_listed(make_api: MakeApi) -> None:
    api = make_api("mongomock://", cors_credentials=True)
    for result in (
        api.get("/api/rockets", headers={"Origin": APP}),
        preflight(api, "/api/rockets"),
        api.get("/api/nothing", headers={"Origin": APP}),
    ):
        assert access(result) == {}
        assert "Origin" not in result.headers.get("vary", "")


def test_what_a_page_needs_for_conditional_writes_and_patches(cors_api: Api) -> None:
    whole = {"Origin": APP, "Prefer": "return=representation"}
    changed = cors_api("PATCH", "/api/rockets/[int].1", {"n": 1}, headers=whole)
    unread = cors_api(
        "PATCH",
        "/api/rockets/[int].1",
        raw=b"",
        headers={
            "Origin": APP,
            "Content-Type": "text/plain",
        },
    )
    for result, names in ((changed, {"etag", "preference-applied"}), (unread, {"accept-patch"})):
        readable = result.headers["access-control-expose-headers"].lower().split(", ")
        assert names <= set(readable) & result.headers.keys()
    assert {"If-Match", "If-None-Match", "Prefer"} <= set(SENT)
