"""Bodies that come slowly, at both doors: they are waited for so long, and nothing is stored."""

from __future__ import annotations

import time
from typing import Any

import falcon
import pytest
from falcon import testing
from marshmallow import fields as ma

from falcorest import FalcoRest, Limits, Resource, ResourceView, Schema, methods
from falcorest.auth import TokenIssuer
from tests.conftest import MakeApi
from tests.support import SECRET, assert_problem

TIMEOUT_MS = 200
NDJSON = "application/x-ndjson"
JSON = "application/json"


class RocketSchema(Schema):
    name = ma.String()


class Rockets(Resource):
    collection = "rocket_engines"
    schema = RocketSchema


class Slow:
    """A body of which a piece comes now and then."""

    def __init__(self, pieces: list[bytes], seconds: float) -> None:
        self._pieces = list(pieces)
        self._seconds = seconds

    def read(self, size: int = -1) -> bytes:
        time.sleep(self._seconds)
        return self._pieces.pop(0) if self._pieces else b""

    # NOTE: wsgiref wants them to be there.
    readline = readlines = __iter__ = read


class Door:
    """The collection behind one door."""

    def __init__(self, make_api: MakeApi, uri: str, door: str) -> None:
        api = make_api(uri, client_timeout_ms=TIMEOUT_MS)
        self.rockets = api.rockets
        self.app: Any = api.app
        if door == "declared":
            self.app = falcon.App()
            view = {
                "resource": Rockets,
                "methods": methods.ALL,
                "limits": Limits(client_timeout_ms=TIMEOUT_MS),
            }
            falcorest = FalcoRest(self.app, api.database)
            falcorest.register(name="rockets", url="/api/rockets")(
                type("RocketView", (ResourceView,), view)
            )

    def post(self, pieces: list[bytes], seconds: float, media_type: str) -> testing.Result:
        headers = {
            "Content-Type": media_type,
            "Authorization": f"Bearer {TokenIssuer(SECRET).issue('ada')}",
        }
        extras = {"wsgi.input": Slow(pieces, seconds), "wsgi.input_terminated": True}
        client = testing.TestClient(self.app)
        return client.simulate_post("/api/rockets", headers=headers, extras=extras)


@pytest.fixture(params=["zero-code", "declared"])
def door(request: pytest.FixtureRequest, make_api: MakeApi, any_uri: str) -> Door:
    return Door(make_api, any_uri, request.param)


def test_a_body_has_so_long(door: Door) -> None:
    pieces = [b'{"name": "', *[b"x"] * 6, b'"}']
    assert_problem(door.post(pieces, TIMEOUT_MS / 4000, JSON), 408, "body.timeout", naming="0.2")
    assert door.rockets.count_documents({}) == 0
    assert door.post(pieces, 0, JSON).status_code == 201


def test_an_import_may_take_longer_as_long_as_it_goes_on(door: Door) -> None:
    pieces = [b'{"name": "a"}\n'] * 6
    result = door.post(pieces, TIMEOUT_MS / 4000, NDJSON)
    assert (result.status_code, result.json["inserted"]) == (200, 6)
    problem = assert_problem(
        door.post([b'{"name": "b"}\n'] * 2, TIMEOUT_MS / 800, NDJSON), 408, "body.timeout"
    )
    assert problem["inserted"] == 0
    assert door.rockets.count_documents({}) == 6
