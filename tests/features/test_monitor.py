"""Monitor: the line and the figures of each request, at both doors."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import falcon
import pytest
from falcon import testing
from marshmallow import fields as ma

from falcorest import FalcoRest, Monitor, Resource, ResourceView, Schema, fields
from falcorest.errors import ConfigurationError
from falcorest.logs import logger
from falcorest.methods import ALL
from falcorest.probes import MetricsView
from falcorest.streams import BATCH
from tests.attacks.hostile import LOG_BREAKERS
from tests.conftest import MakeApi
from tests.support import Api

Line = dict[str, Any]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[Line]]:
    """Take the lines of the access log."""
    caplog.set_level(logging.INFO, "falcorest.access")

    def take() -> list[Line]:
        found = [vars(one)["fields"] for one in caplog.records if one.name == "falcorest.access"]
        caplog.clear()
        return found

    return take


Lines = Callable[[], list[Line]]


def stable(line: Mapping[str, Any]) -> Line:
    """Return a line without its times and its id, which are checked."""
    rest = dict(line)
    assert 0 <= rest.pop("database_ms") <= rest.pop("duration_ms") < 60_000
    rest.pop("request_id")
    return rest


def test_each_request_has_one_line(any_api: Api, lines: Lines) -> None:
    created = any_api("POST", "/api/rockets", [{"_id": "a"}, {"_id": "b"}])
    any_api.get("/api/rockets/a/", token=None)
    any_api.get("/api/rockets?_sort=(_id:ascending)", token=None)
    any_api("HEAD", "/api/rockets", token=None)
    any_api("DELETE", "/api/rockets/nowhere")
    any_api.get("/api/rockets?%24where=secret", token=None)
    any_api.get("/elsewhere/secret")
    found = lines()
    assert found[0]["request_id"] == created.headers["x-request-id"]
    shown = [
        tuple(line[name] for name in ("user", "method", "route", "status", "documents"))
        for line in map(stable, found)
    ]
    documents = (lambda count: 0) if any_api.in_memory else int
    assert shown == [
        ("tester", "POST", "/api/rockets", 201, documents(2)),
        (None, "GET", "/api/rockets/{id}", 200, documents(1)),
        (None, "GET", "/api/rockets", 200, documents(2)),
        (None, "HEAD", "/api/rockets", 200, documents(2)),
        ("tester", "DELETE", "/api/rockets/{id}", 404, 0),
        (None, "GET", "/api/rockets", 400, 0),
        (None, "GET", "unknown", 404, 0),
    ]
    assert [line["operations"] > 0 for line in found] == (
        [False] * 7 if any_api.in_memory else [True] * 5 + [False] * 2
    )
    assert found[2]["bytes"] == len('[{"_id":"a"},{"_id":"b"}]')
    assert found[3]["bytes"] == 0
    assert "secret" not in str(found)


@pytest.mark.live
def test_a_stream_has_its_line_at_its_end(api: Api, lines: Lines) -> None:
    count = 3 * BATCH
    api.rockets.insert_many({"_id": n} for n in range(count))
    environ = testing.create_environ("/api/rockets")
    stream = iter(api.app(environ, testing.StartResponseMock()))
    begun = len(next(stream))
    assert lines() == []
    size = begun + sum(map(len, stream))
    (line,) = lines()
    assert (line["status"], line["bytes"]) == (200, size)
    # NOTE: the first batch is read twice, to know that there are more.
    assert line["documents"] == count + BATCH
    assert line["operations"] >= 5
    assert "complete" not in line

    stream = api.app(environ, testing.StartResponseMock())
    assert len(next(iter(stream))) == begun
    stream.close()  # type: ignore[attr-defined]
    (line,) = lines()
    assert (line["bytes"], line["complete"]) == (begun, False)
    stream.close()  # type: ignore[attr-defined]
    assert lines() == []


@pytest.mark.live
def test_a_stream_that_breaks_has_its_line(
    api: Api, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.rockets.insert_many({"_id": n} for n in range(2 * BATCH))
    stream = iter(api.app(testing.create_environ("/api/rockets"), testing.StartResponseMock()))
    next(stream)

    def fail(*_: Any) -> None:
        raise RuntimeError("hush")

    monkeypatch.setattr("falcorest.streams.next_batch", fail)
    with pytest.raises(RuntimeError):
        list(stream)
    (line,) = lines()
    assert (line["status"], line["complete"]) == (200, False)


@pytest.mark.live
def test_a_slow_command_is_logged_without_its_values(
    make_api: MakeApi,
    mongo_uri: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pymongo.monitoring._to_micros", lambda duration: 600_000)
    api = make_api(mongo_uri)
    caplog.clear()
    found = api.get("/api/rockets?name=sesame&thrust=gte[int].4711&_sort=(name:ascending)")
    (record,) = (one for one in caplog.records if one.name == logger.name)
    assert record.levelname == "WARNING"
    request_id = found.headers["x-request-id"]
    assert record.getMessage() == f"slow find (request {request_id})"
    said = vars(record)["fields"]
    shape = json.loads(said.pop("shape"))
    assert shape == {
        "filter": {"name": "?", "thrust": {"$gte": "?"}},
        "sort": ["name"],
    }
    assert said == {
        "request_id": request_id,
        "command": "find",
        "collection": "rocket_engines",
        "duration_ms": 600.0,
        "documents": 0,
        "succeeded": True,
    }
    caplog.clear()
    never = make_api(mongo_uri, slow_ms=0)
    never.get("/api/rockets")
    assert [one for one in caplog.records if one.name == logger.name] == []


@pytest.mark.parametrize("breaker", LOG_BREAKERS, ids=ascii)
def test_nothing_of_a_client_is_in_a_label(make_api: MakeApi, breaker: str, lines: Lines) -> None:
    api = make_api("mongomock://")
    for url in ("/api/rockets/forged\n", f"/forged{breaker}", f"/api/rockets/{breaker}"):
        api.get(url.replace("?", "").replace("#", ""))
    for line in lines():
        assert line["route"] in {"unknown", "/api/rockets/{id}"}
    assert "forged" not in api.get("/metrics").text


@pytest.mark.live
def test_the_figures_are_there_for_all(any_api: Api) -> None:
    any_api("POST", "/api/rockets", {"_id": "a"})
    for _ in range(3):
        any_api.get("/api/rockets/a")
    found = any_api.get("/metrics", token=None)
    assert found.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert found.headers["cache-control"] == "no-store"
    text = found.text
    route = 'method="GET",route="/api/rockets/{id}"'
    assert f'falcorest_requests_total{{{route},status="200"}} 3.0' in text
    assert f"falcorest_request_duration_seconds_count{{{route}}} 3.0" in text
    command = 'falcorest_database_command_duration_seconds_count{command="insert"} 1.0'
    assert (command in text) is not any_api.in_memory
    assert ("falcorest_pool_connections 1.0" in text) is not any_api.in_memory
    for name in (any_api.database.name, "rocket_engines", "127.0.0.1"):
        assert name not in text


def test_what_is_switched_off_is_not_there(make_api: MakeApi, lines: Lines) -> None:
    api = make_api("mongomock://", metrics=False, access_log=False)
    assert api.get("/metrics").status_code == 404
    assert api.get("/api/rockets").status_code == 200
    assert lines() == []


def test_what_nobody_wants_to_know_costs_the_driver_nothing() -> None:
    assert Monitor(access_log=None, metrics=False, slow_ms=0).listeners == []
    assert len(Monitor(access_log=None, metrics=False).listeners) == 1
    assert len(Monitor(metrics=False, slow_ms=0).listeners) == 1
    assert len(Monitor(access_log=None, slow_ms=0).listeners) == 2


# ---------------------------------------------------------------------------- declared resources


class NoteSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    text = ma.String()


class NoteResource(Resource):
    collection = "posts"
    schema = NoteSchema


class NoteView(ResourceView):
    resource = NoteResource
    methods = ALL


class Greeting:
    """A resource of the application's own."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.text = "hello"

    def on_put(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.stream = io.BytesIO(b"of a file")

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        raise RuntimeError("sesame")


class Context(falcon.Request):
    context_type = dict


@pytest.mark.live
@pytest.mark.parametrize("kind", ["mongod", "standalone", "mongomock"])
@pytest.mark.parametrize("request_type", [falcon.Request, Context])
def test_in_an_application_of_ones_own(
    kind: str,
    request_type: type[falcon.Request],
    make_database: Callable[..., Any],
    lines: Lines,
) -> None:
    monitor = Monitor()
    options = {} if kind == "mongomock" else {"event_listeners": monitor.listeners}
    database = make_database(kind, **options)
    app: Any = falcon.App(middleware=[monitor], request_type=request_type)
    app.add_route("/greeting", Greeting())
    api = FalcoRest(app, database)
    api.register(name="notes", url="/notes/")(NoteView)
    api.add_view(MetricsView(monitor), "/metrics")
    client = testing.TestClient(app)
    made = client.simulate_post("/notes", json={"text": "sesame"}).json["id"]
    assert client.simulate_get(f"/notes/{made}").json["text"] == "sesame"
    *_, broken = (client.simulate_request(method, "/greeting") for method in ("GET", "PUT", "POST"))
    size = len(f'{{"id":"{made}","text":"sesame"}}')
    names = ("request_id", "user", "method", "route", "status", "bytes")
    found = lines()
    assert [tuple(line[name] for name in names) for line in found] == [
        (None, None, "POST", "/notes", 201, size),
        (None, None, "GET", "/notes/{id}", 200, size),
        (None, None, "GET", "/greeting", 200, None),
        (None, None, "PUT", "/greeting", 200, None),
        (None, None, "POST", "/greeting", 500, len(broken.content)),
    ]
    expected = 0 if kind == "mongomock" else 1
    assert [line["operations"] for line in found] == [expected, expected, 0, 0, 0]
    assert made not in str(found)
    text = client.simulate_get("/metrics").text
    assert 'falcorest_requests_total{method="GET",route="/greeting",status="200"} 1.0' in text
    assert ('duration_seconds_count{command="find"} 1.0' in text) is (kind != "mongomock")


@pytest.mark.live
def test_every_fact_is_in_the_documentation(
    make_api: MakeApi,
    mongo_uri: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "log.rst").read_text()
    caplog.set_level(logging.INFO, "falcorest.access")
    monkeypatch.setattr("pymongo.monitoring._to_micros", lambda duration: 600_000)
    make_api(mongo_uri).get("/api/rockets")
    facts = {name for one in caplog.records for name in getattr(one, "fields", ())}
    assert len(facts) > 12
    assert [name for name in facts if f"``{name}``" not in page] == []


def test_a_monitor_without_metrics_has_none_to_show() -> None:
    with pytest.raises(ConfigurationError, match="metrics"):
        MetricsView(Monitor(metrics=False))


def test_several_monitors_and_a_middleware_in_front() -> None:
    class Refusing:
        def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
            if req.path == "/refused":
                raise falcon.HTTPForbidden

    class Lines:
        def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
            resp.stream = iter([b"a", b"b"])

    logged: list[Any] = []
    seeing = [Monitor(access_log=lambda *line: logged.append(line)) for _ in range(2)]
    app = falcon.App(middleware=[Refusing(), *seeing])
    app.add_route("/lines", Lines())
    client = testing.TestClient(app)
    assert client.simulate_get("/lines").text == "ab"
    assert client.simulate_get("/none").status_code == 404
    assert [fields["status"] for _, fields in logged] == [200, 200, 404, 404]
    assert client.simulate_get("/refused").status_code == 403
    assert len(logged) == 4
