"""In flight: so many requests are served at once, so many wait, and the rest is refused."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import falcon
import pytest
from falcon import testing

from falcorest import FalcoRest, InFlight, Monitor, Resource, ResourceView, Schema, fields
from falcorest.errors import ConfigurationError
from falcorest.in_flight import TURN
from falcorest.methods import READING
from falcorest.probes import LiveView, MetricsView, ReadyView
from falcorest.streams import BATCH
from tests.conftest import MakeApi
from tests.live.processes import eventually
from tests.support import Api, assert_problem

LONG = BATCH + 1


class Rocket(Schema):
    id = fields.ObjectId(attribute="_id")


class Rockets(Resource):
    collection = "rocket_engines"
    schema = Rocket
    paginate = False


class Doors:
    """An application of each door, in which one request may be in flight and one may wait."""

    def __init__(self, make_api: MakeApi, uri: str, door: str) -> None:
        self.api = make_api(uri, max_in_flight=1, max_waiting=1, wait_ms=300)
        self.app: Any = self.api.app
        if door == "declared":
            monitor = Monitor()
            self.app = falcon.App(
                middleware=[monitor, InFlight(1, max_waiting=1, wait_ms=300)],
            )
            api = FalcoRest(self.app, self.api.database)
            api.add_view(LiveView(), "/health/live")
            api.add_view(ReadyView(api.db), "/health/ready")
            api.add_view(MetricsView(monitor), "/metrics")
            view = type("RocketView", (ResourceView,), {"resource": Rockets, "methods": READING})
            api.register(name="rockets", url="/api/rockets")(view)
        self.client = testing.TestClient(self.app)
        documents = [{"_id": f"{n:024x}"} for n in range(LONG)]
        if door == "declared":
            documents = [{"name": str(n)} for n in range(LONG)]
        self.api.rockets.insert_many(documents)

    def open(self, method: str = "GET", **more: Any) -> Any:
        """Ask for a long list, and return its stream, which nobody has read from yet."""
        environ = testing.create_environ("/api/rockets", method=method, **more)
        statuses: list[str] = []
        body = self.app(environ, lambda status, *_: statuses.append(status))
        assert statuses == ["200 OK"]
        return body

    def get(self, path: str = "/api/rockets?_limit=1") -> testing.Result:
        path, _, query = path.partition("?")
        return self.client.simulate_get(path, query_string=query or None)

    def is_free(self) -> bool:
        return self.get().status_code == 200


@pytest.fixture(params=["zero-code", "declared"])
def doors(request: pytest.FixtureRequest, make_api: MakeApi, any_uri: str) -> Doors:
    return Doors(make_api, any_uri, request.param)


def test_beyond_the_bound_there_is_a_clean_503(doors: Doors) -> None:
    stream = doors.open()
    begun = time.monotonic()
    result = doors.get()
    assert 0.3 <= time.monotonic() - begun < 5
    assert_problem(result, 503, "server.busy")
    assert result.headers["retry-after"] == "1"
    assert sum(1 for _ in stream) > 1
    assert doors.is_free()


def test_one_waits_and_the_next_is_refused_at_once(doors: Doors) -> None:
    stream = doors.open()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(doors.get)
        in_flight = in_flight_of(doors.app)
        assert eventually(lambda: in_flight._waiting)
        begun = time.monotonic()
        assert_problem(doors.get(), 503, "server.busy")
        assert time.monotonic() - begun < 0.2
        stream.close()
        assert first.result().status_code == 200
    assert doors.is_free()


def in_flight_of(app: Any) -> InFlight:
    (found,) = (one for one in app._unprepared_middleware if isinstance(one, InFlight))
    return found


def test_probes_take_no_turn(doors: Doors) -> None:
    stream = doors.open()
    for place in ("/health/live", "/health/ready", "/metrics"):
        begun = time.monotonic()
        assert doors.get(place).status_code == 200
        assert time.monotonic() - begun < 0.3
    assert doors.get("/nowhere").status_code == 404
    stream.close()


def test_a_stream_holds_its_turn_until_it_is_closed(doors: Doors) -> None:
    stream = doors.open()
    assert next(iter(stream))
    assert not doors.is_free()
    stream.close()
    assert doors.is_free()
    stream.close()
    assert doors.is_free(), "a turn is given back once"
    other = doors.open()
    assert not doors.is_free()
    other.close()


def test_a_stream_that_nobody_reads_gives_its_turn_back(doors: Doors) -> None:
    stream = doors.open()
    del stream
    gc.collect()
    assert doors.is_free()


def test_head_and_failures_give_their_turn_back(doors: Doors) -> None:
    for _ in range(3):
        assert doors.open("HEAD") == []
        assert doors.client.simulate_get("/api/rockets?_limit=x").status_code == 400
        assert doors.client.simulate_delete("/api/rockets").status_code in {401, 405}
        assert doors.client.simulate_get("/nowhere").status_code == 404
    assert doors.is_free()


def test_a_server_may_have_seen_to_turns_itself(doors: Doors) -> None:
    stream = doors.open()
    allowed = doors.client.simulate_get("/api/rockets?_limit=1", extras={TURN: True})
    assert allowed.status_code == 200
    stream.close()
    refused = doors.client.simulate_get("/api/rockets?_limit=1", extras={TURN: False})
    assert_problem(refused, 503, "server.busy")
    assert doors.client.simulate_get("/health/live", extras={TURN: False}).status_code == 200
    assert doors.is_free()


def test_without_a_bound_there_is_none(make_api: MakeApi, any_uri: str) -> None:
    api: Api = make_api(any_uri)
    assert not any(isinstance(one, InFlight) for one in api.app._unprepared_middleware)


# --------------------------------------------------------------- in somebody's application


class Slow:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.begun: list[str | None] = []
        self.together = self.most = 0
        self.lock = threading.Lock()

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        with self.lock:
            self.together += 1
            self.begun.append(req.get_header("X-Number"))
            self.most = max(self.most, self.together)
        assert self.go.acquire(timeout=30)
        with self.lock:
            self.together -= 1
        resp.text = "done"

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        raise RuntimeError("hell")

    def on_put(self, req: falcon.Request, resp: falcon.Response) -> None:
        raise SystemExit

    def on_patch(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.stream = iter([b"1", b"2"])
        resp.media = {object(): 1}


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as threads:
        yield threads


def app_of(slow: Slow, in_flight: InFlight) -> testing.TestClient:
    app = falcon.App(middleware=[in_flight])
    app.add_route("/slow", slow)
    return testing.TestClient(app)


def test_a_burst_is_served_in_its_order(slow: Slow, threads: ThreadPoolExecutor) -> None:
    in_flight = InFlight(2, max_waiting=20, wait_ms=30_000)
    client = app_of(slow, in_flight)
    results = []
    for number in range(12):
        headers = {"X-Number": str(number)}
        results.append(threads.submit(client.simulate_get, "/slow", headers=headers))
        assert eventually(lambda n=number: slow.together + len(in_flight._waiting) == n + 1)
    for number in range(12):
        slow.go.release()
        assert eventually(lambda n=number: len(slow.begun) == min(n + 3, 12))
    assert [result.result().status_code for result in results] == [200] * 12
    assert slow.most == 2
    assert slow.begun == [str(number) for number in range(12)]


def test_who_waits_in_vain_lets_go_of_its_place(slow: Slow, threads: ThreadPoolExecutor) -> None:
    in_flight = InFlight(1, max_waiting=2, wait_ms=50)
    client = app_of(slow, in_flight)
    first = threads.submit(client.simulate_get, "/slow")
    assert eventually(lambda: slow.together)
    for _ in range(3):
        assert client.simulate_get("/slow").status_code == 503
        assert not in_flight._waiting
    slow.go.release()
    assert first.result().status_code == 200
    slow.go.release()
    assert client.simulate_get("/slow").status_code == 200


@pytest.mark.filterwarnings("ignore")
def test_whatever_happens_the_turn_is_given_back(slow: Slow) -> None:
    in_flight = InFlight(1, max_waiting=0, wait_ms=50)
    client = app_of(slow, in_flight)
    assert client.simulate_post("/slow").status_code == 500
    with pytest.raises(SystemExit):
        client.simulate_put("/slow")
    gc.collect()
    assert client.simulate_patch("/slow").status_code == 500
    gc.collect()
    slow.go.release()
    assert client.simulate_get("/slow").status_code == 200


def test_many_threads_and_no_turn_is_lost(slow: Slow, threads: ThreadPoolExecutor) -> None:
    in_flight = InFlight(3, max_waiting=5, wait_ms=5)
    client = app_of(slow, in_flight)
    for _ in range(1000):
        slow.go.release()
    statuses = list(threads.map(lambda _: client.simulate_get("/slow").status_code, range(400)))
    assert set(statuses) <= {200, 503}
    assert slow.most <= 3
    assert in_flight._free == 3
    assert not in_flight._waiting


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"most": 0}, "most"),
        ({"most": True}, "most"),
        ({"most": "4"}, "most"),
        ({"most": 1, "max_waiting": -1}, "max_waiting"),
        ({"most": 1, "wait_ms": 0}, "wait_ms"),
    ],
)
def test_what_can_not_be_is_refused_by_name(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"InFlight: {name} "):
        InFlight(**arguments)
