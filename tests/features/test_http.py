"""What holds for every answer: problems, request ids, methods, hidden internals."""

from __future__ import annotations

import logging

import pytest
from falcon import testing
from pymongo.errors import AutoReconnect, OperationFailure

from falcorest.server import Served, build_app, open_database
from tests.conftest import MakeApi
from tests.support import Api, assert_problem, free_port

pytestmark = pytest.mark.live


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api", 404),
        ("GET", "/api/nothing", 404),
        ("GET", "/nothing", 404),
        ("PUT", "/api/rockets", 405),
        ("POST", "/api/rockets/x", 405),
        ("GET", "/login", 405),
        ("DELETE", "/me", 405),
        ("NONSENSE", "/api/rockets", 405),
        ("NONSENSE", "/api/rockets/x", 405),
        ("NONSENSE", "/login", 405),
        ("NONSENSE", "/nothing", 404),
        ("TRACE", "/api/rockets", 405),
    ],
)
def test_places_and_methods_that_are_not_served(
    api: Api, method: str, path: str, status: int
) -> None:
    code = {404: "route.not_found", 405: "method.not_allowed"}[status]
    for token in (None, api.token):
        result = api(method, path, token=token)
        assert_problem(result, status, code)
        assert ("allow" in result.headers) == (status == 405)


def test_a_405_names_what_is_allowed(api: Api) -> None:
    allowed = set(api("PUT", "/api/rockets").headers["allow"].split(", "))
    assert allowed == {"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"}
    allowed = set(api("POST", "/api/rockets/x").headers["allow"].split(", "))
    assert allowed == {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}


def test_options_needs_no_login(make_api: MakeApi, mongo_uri: str) -> None:
    api = make_api(mongo_uri, public_methods=[])
    result = api("OPTIONS", "/api/rockets", token=None)
    assert result.status_code == 200
    assert "PATCH" in result.headers["allow"]


@pytest.mark.parametrize(
    "path", ["/api/rockets", "/api/rockets/x", "/nothing", "/me", "/api/rockets?_limit=x"]
)
def test_every_answer_has_a_request_id(api: Api, path: str) -> None:
    first, second = (api.get(path).headers["x-request-id"] for _ in range(2))
    assert first
    assert first != second
    kept = api.get(path, headers={"X-Request-ID": "abc-1.2_3"})
    assert kept.headers["x-request-id"] == "abc-1.2_3"


@pytest.mark.parametrize("given", ["x" * 65, "a b", "a\u00e9", ""])
def test_a_request_id_that_could_harm_is_replaced(api: Api, given: str) -> None:
    result = api.get("/api/rockets", headers={"X-Request-ID": given})
    assert result.headers["x-request-id"] != given


def test_views_are_read_only(make_api: MakeApi, mongo_uri: str) -> None:
    first = make_api(mongo_uri)
    first.rockets.insert_many([{"_id": 1, "usa": True}, {"_id": 2, "usa": False}])
    first.database.create_collection(
        "american", viewOn="rocket_engines", pipeline=[{"$match": {"usa": True}}]
    )
    api = make_api(mongo_uri, "american:american", database=first.database.name)
    assert api.get("/api/american").json == [{"_id": 1, "usa": True}]
    assert api.get("/api/american/[int].1").status_code == 200
    for method, path in [
        ("POST", "/api/american"),
        ("DELETE", "/api/american?usa=[bool].true"),
        ("PATCH", "/api/american/[int].1"),
        ("PUT", "/api/american/[int].1"),
    ]:
        result = api(method, path, {"a": 1})
        assert_problem(result, 405, "method.not_allowed")
        assert set(result.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_another_prefix(make_api: MakeApi, mongo_uri: str) -> None:
    api = make_api(mongo_uri, prefix="/v1/data")
    result = api("POST", "/v1/data/rockets", {"a": 1})
    assert result.headers["location"].startswith("/v1/data/rockets/")
    assert api.get("/api/rockets").status_code == 404


def test_below_another_application(api: Api) -> None:
    result = api.client.simulate_post(
        "/api/rockets",
        body=b'{"_id":"a b"}',
        root_path="/mounted",
        headers={"Authorization": f"Bearer {api.token}"},
    )
    assert result.headers["location"] == "/mounted/api/rockets/a%20b"


def test_a_body_that_breaks_off(api: Api) -> None:
    class Broken:
        def read(self, size: int = -1) -> bytes:
            raise ValueError("invalid chunk size")

    environ = testing.create_environ("/api/rockets", method="POST")
    environ |= {"wsgi.input": Broken(), "wsgi.input_terminated": True}
    environ["HTTP_AUTHORIZATION"] = f"Bearer {api.token}"
    statuses: list[str] = []
    body = b"".join(api.app(environ, lambda status, headers: statuses.append(status)))
    assert statuses == ["400 Bad Request"]
    assert b"body.malformed" in body


def test_a_path_that_is_not_utf8(api: Api) -> None:
    # Not by the test client, which would replace the byte itself.
    environ = testing.create_environ("/api/rockets/x", method="PUT", body='{"a":1}')
    environ["PATH_INFO"] = "/api/rockets/\xff"
    environ["HTTP_AUTHORIZATION"] = f"Bearer {api.token}"
    statuses: list[str] = []
    body = b"".join(api.app(environ, lambda status, headers: statuses.append(status)))
    assert statuses == ["400 Bad Request"]
    assert b"id.invalid" in body
    assert api.rockets.count_documents({}) == 0
    assert api("PUT", "/api/rockets/%EF%BF%BD", {"a": 1}).status_code == 201


def test_a_database_that_is_not_there(make_api: MakeApi, mongo_uri: str) -> None:
    api = make_api(mongo_uri)
    settings = api.settings.replace(
        mongodb_uri=f"mongodb://127.0.0.1:{free_port()}/", timeout_ms=200
    )
    database = open_database(settings)
    gone = Api(build_app(settings, database, [Served("r", "r", False)]), database, settings)
    for method, url, body in [
        ("GET", "/api/r", ...),
        ("GET", "/api/r/x", ...),
        ("POST", "/api/r", {"a": 1}),
        ("POST", "/api/r", [{"a": 1}]),
        ("DELETE", "/api/r?a=1", ...),
    ]:
        result = gone(method, url, body)
        assert_problem(result, 503, "database.unavailable")
        assert int(result.headers["retry-after"]) > 0
        assert "127.0.0.1" not in result.text
    database.client.close()


def test_a_query_that_takes_too_long(make_api: MakeApi, mongo_uri: str) -> None:
    api = make_api(mongo_uri)
    api.rockets.insert_many({"n": n, "text": "x" * 200} for n in range(3_000))
    settings = api.settings.replace(timeout_ms=150, regex=True)
    database = open_database(settings)
    served = [Served("rockets", "rocket_engines")]
    hasty = Api(build_app(settings, database, served), database, settings)
    result = hasty.get("/api/rockets?text=regex[str].(x%2Bx%2B)%2B[yz]")
    assert result.status_code == 503
    assert result.json["code"] in {"query.timeout", "database.unavailable"}
    assert int(result.headers["retry-after"]) > 0
    database.client.close()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OperationFailure("not authorized on secret_db", 13), 500, "server.error"),
        (AutoReconnect("secret_host:27017: connection closed"), 503, "database.unavailable"),
        (RuntimeError("secret"), 500, "server.error"),
    ],
)
def test_what_breaks_inside_stays_inside(
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
    code: str,
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("pymongo.database.Database.command", fail)
    monkeypatch.setattr("pymongo.collection.Collection.find_one", fail)
    with caplog.at_level(logging.ERROR, "falcorest"):
        result = api.get("/api/rockets/x%0d%0aGET")
    assert_problem(result, status, code)
    assert "secret" not in result.text
    [record] = caplog.records
    assert result.headers["x-request-id"] in record.getMessage()
    assert "\r" not in record.getMessage()
    assert "secret" in caplog.text
