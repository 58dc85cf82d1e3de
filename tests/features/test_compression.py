"""Compression: what is compressed, for whom, and what the answer says of it."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from typing import Any

import falcon
import pytest
from falcon import testing

from falcorest import Compression, ResourceView, methods
from falcorest.compression import SMALLEST, qualities
from falcorest.resource import Resource
from falcorest.streams import BATCH
from tests.conftest import MakeApi
from tests.declared import MakeDeclared
from tests.support import Api

pytestmark = pytest.mark.live

GZIP = {"Accept-Encoding": "gzip"}


@pytest.mark.parametrize(
    ("accept", "gzip", "identity"),
    [
        ("gzip", 1, None),
        ("gzip, deflate, br, zstd", 1, None),
        ("GZip;Q=0.5", 0.5, None),
        ("gzip ; q=0.5 , identity;q=0.7", 0.5, 0.7),
        ("gzip;q=0", 0, None),
        ("gzip; q=0.0, *", 0, 1),
        ("*", 1, 1),
        ("*;q=0.3", 0.3, 0.3),
        ("br", 0, None),
        ("identity;q=0", 0, 0),
        ("identity;q=0, *", 1, 0),
        ("*;q=0, gzip", 1, 0),
        ("x-gzip", 1, None),
        ("gzip;q=x", 0, None),
        ("gzip;q=2", 0, None),
        ("gzip;q=nan", 0, None),
        (",,", 0, None),
        ("gzipped", 0, None),
    ],
)
def test_what_a_client_likes(accept: str, gzip: float, identity: float | None) -> None:
    assert qualities(accept) == (gzip, identity)


def fill(api: Api, count: int = 100) -> None:
    api.rockets.insert_many([{"_id": number, "name": "Merlin"} for number in range(count)])


def test_a_list_is_compressed(any_api: Api) -> None:
    fill(any_api)
    plain = any_api.get("/api/rockets")
    assert "content-encoding" not in plain.headers
    assert plain.headers["vary"] == "Accept, Accept-Encoding"
    packed = any_api.get("/api/rockets", headers=GZIP)
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "Accept, Accept-Encoding"
    assert packed.headers["content-type"] == "application/json"
    assert int(packed.headers["content-length"]) == len(packed.content) < len(plain.content) / 4
    assert gzip.decompress(packed.content) == plain.content
    head = any_api("HEAD", "/api/rockets", headers=GZIP)
    for name in ("content-length", "content-encoding", "vary", "content-type"):
        assert head.headers[name] == packed.headers[name]
    assert head.content == b""


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson", "text/csv"])
def test_a_stream_is_compressed_as_it_comes(any_api: Api, accept: str) -> None:
    fill(any_api, 3 * BATCH)
    url = "/api/rockets"
    environ = testing.create_environ(url, headers={**GZIP, "Accept": accept})
    sent: list[dict[str, str]] = []
    stream = iter(any_api.app(environ, lambda status, headers: sent.append(dict(headers))))
    unpacking = zlib.decompressobj(31)
    pieces = [unpacking.decompress(piece) for piece in stream]
    assert unpacking.eof
    assert sent[0]["content-encoding"] == "gzip"
    assert "content-length" not in sent[0]
    assert len([piece for piece in pieces if len(piece) > 1000]) == 3
    plain = any_api.get(url, headers={"Accept": accept})
    assert b"".join(pieces) == plain.content
    head = any_api("HEAD", url, headers={**GZIP, "Accept": accept})
    assert head.headers["content-encoding"] == "gzip"
    assert head.content == b""


@pytest.mark.parametrize(
    ("accept", "compressed"),
    [
        (None, False),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.5, identity", False),
        ("gzip, identity;q=0.5", True),
        ("*", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
    ],
)
def test_who_gets_it_compressed(api: Api, accept: str | None, compressed: bool) -> None:
    fill(api)
    headers = {} if accept is None else {"Accept-Encoding": accept}
    result = api.get("/api/rockets", headers=headers)
    assert ("content-encoding" in result.headers) == compressed
    assert "Accept-Encoding" in result.headers["vary"]
    assert len(result.content) < 1000 if compressed else len(result.json) == 100


def test_what_is_small_stays_as_it_is(api: Api) -> None:
    rest = len('[{"_id":1,"a":""}]')
    api.rockets.insert_one({"_id": 1, "a": "x" * (SMALLEST - rest - 1)})
    small = api.get("/api/rockets", headers=GZIP)
    assert len(small.content) == SMALLEST - 1
    assert "content-encoding" not in small.headers
    assert small.headers["vary"] == "Accept, Accept-Encoding"
    asked = api.get("/api/rockets", headers={"Accept-Encoding": "gzip, identity;q=0"})
    assert asked.headers["content-encoding"] == "gzip"
    api.rockets.update_one({"_id": 1}, {"$set": {"a": "x" * (SMALLEST - rest)}})
    assert api.get("/api/rockets", headers=GZIP).headers["content-encoding"] == "gzip"


def test_problems_and_answers_without_a_body(any_api: Api) -> None:
    long = any_api.get(f"/api/rockets?{'x' * 2000}=[int].y", headers=GZIP)
    assert long.status_code == 400
    assert long.headers["content-type"] == "application/problem+json"
    assert long.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(long.content))["code"]
    any_api.rockets.insert_one({"_id": "a"})
    deleted = any_api("DELETE", "/api/rockets/a", headers=GZIP)
    assert deleted.status_code == 204
    assert "content-encoding" not in deleted.headers
    assert "vary" not in deleted.headers


def test_it_can_be_turned_off(make_api: MakeApi, any_uri: str) -> None:
    api = make_api(any_uri, compression=False)
    fill(api)
    result = api.get("/api/rockets", headers=GZIP)
    assert len(result.json) == 100
    assert result.headers["vary"] == "Accept"


class Closing:
    """A stream that knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield b"a" * 2000
        yield b"b" * 2000

    def close(self) -> None:
        self.closed = True


STREAM = Closing()


class Host:
    """What an application of somebody's own answers."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, kind: str) -> None:
        resp.text = "x" * 5000
        resp.content_type = "text/plain"
        if kind == "etag":
            resp.set_header("ETag", '"abc"')
            if req.get_header("If-None-Match") in {'"abc"', '"abc-gzip"'}:
                resp.status = falcon.HTTP_304
                resp.text = None
                resp.delete_header("Content-Type")
        elif kind == "weak":
            resp.set_header("ETag", 'W/"abc"')
        elif kind == "image":
            resp.content_type = "image/png"
        elif kind == "svg":
            resp.content_type = "image/svg+xml"
        elif kind == "encoded":
            resp.set_header("Content-Encoding", "br")
        elif kind == "part":
            resp.status = falcon.HTTP_206
            resp.set_header("Content-Range", "bytes 0-4999/9999")
        elif kind == "untouched":
            resp.cache_control = ["no-transform"]
        elif kind == "media":
            resp.text, resp.content_type = None, falcon.MEDIA_JSON
            resp.media = ["x" * 5000]
        elif kind == "file":
            resp.text = None
            resp.set_stream(io.BytesIO(b"y" * 200_000), 200_000)
        elif kind == "stream":
            resp.text, resp.stream = None, STREAM
        elif kind == "vary":
            resp.set_header("Vary", "Cookie")


@pytest.fixture
def host() -> testing.TestClient:
    app = falcon.App(middleware=[Compression()])
    app.add_route("/{kind}", Host())
    return testing.TestClient(app)


@pytest.mark.parametrize("kind", ["image", "encoded", "part", "untouched"])
def test_what_is_never_compressed(host: testing.TestClient, kind: str) -> None:
    result = host.simulate_get(f"/{kind}", headers=GZIP)
    assert result.content == b"x" * 5000
    assert result.headers.get("content-encoding") == ("br" if kind == "encoded" else None)


@pytest.mark.parametrize("kind", ["plain", "etag", "weak", "media", "file", "stream", "vary"])
def test_other_answers_of_an_application(host: testing.TestClient, kind: str) -> None:
    plain = host.simulate_get(f"/{kind}")
    packed = host.simulate_get(f"/{kind}", headers=GZIP)
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.content) == plain.content
    assert len(packed.content) < 1000
    if kind == "vary":
        assert packed.headers["vary"] == "Cookie, Accept-Encoding"
    if kind == "stream":
        assert STREAM.closed


def test_tags(host: testing.TestClient) -> None:
    assert host.simulate_get("/etag").headers["etag"] == '"abc"'
    assert host.simulate_get("/etag", headers=GZIP).headers["etag"] == '"abc-gzip"'
    assert host.simulate_get("/weak", headers=GZIP).headers["etag"] == 'W/"abc"'
    for tag in ('"abc"', '"abc-gzip"'):
        known = host.simulate_get("/etag", headers={**GZIP, "If-None-Match": tag})
        assert known.status_code == 304
        assert known.headers["etag"] == tag
        assert known.headers["vary"] == "Accept-Encoding"
        assert "content-encoding" not in known.headers


def test_a_declared_application_asks_for_it(declared_api: MakeDeclared) -> None:
    class ThingView(ResourceView):
        resource = type("ThingResource", (Resource,), {"collection": "things", "paginate": False})
        methods = methods.ALL

    api = declared_api(things=ThingView)
    api.database.things.insert_many([{"_id": number, "a": "x"} for number in range(BATCH + 1)])
    plain = api.get("/things", headers=GZIP)
    assert len(plain.json) == BATCH + 1
    api.app.add_middleware(Compression())
    for url in ("/things", "/things?_limit=100"):
        packed: Any = api.get(url, headers=GZIP)
        assert packed.headers["content-encoding"] == "gzip"
        assert json.loads(gzip.decompress(packed.content)) == api.get(url).json


def test_what_is_known_is_what_would_be_sent(make_api: MakeApi) -> None:
    api = make_api("mongomock://")
    api.rockets.insert_one({"_id": "x", "text": "x" * 2000})
    plain = api.get("/api/rockets/x").headers["etag"]
    coded = api.get("/api/rockets/x", headers=GZIP).headers["etag"]
    assert coded == plain[:-1] + '-gzip"'
    for tag, headers, status, found in (
        (plain, {}, 304, plain),
        (plain, GZIP, 200, coded),
        (coded, {}, 200, plain),
        (coded, GZIP, 304, coded),
        (f"{plain}, {coded}", GZIP, 304, coded),
        (f"{plain}, {coded}", {}, 304, plain),
        ("*", GZIP, 304, coded),
        (f"W/{coded}", GZIP, 304, coded),
    ):
        result = api.get("/api/rockets/x", headers={**headers, "If-None-Match": tag})
        assert (result.status_code, result.headers["etag"]) == (status, found), tag
        assert result.headers["vary"] == "Accept-Encoding"
        assert bool(result.content) == (status == 200)
    for tag in (plain, coded):
        changed = api("PATCH", "/api/rockets/x", {"n": 1}, headers={"If-Match": tag})
        assert changed.status_code == 204
        api("PATCH", "/api/rockets/x", {"$unset": {"n": ""}})
