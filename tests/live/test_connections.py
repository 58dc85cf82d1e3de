"""What a connection may be used for, under each server: kept, piled up, misused, left alone."""

from __future__ import annotations

import http.client
import json
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import psutil
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from falcorest.auth import TokenIssuer
from tests.live.processes import PATIENCE, SERVERS, Running, eventually, serving
from tests.support import SECRET, clean_environment

pytestmark = pytest.mark.live

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def database(mongo_uri: str) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        database = client[f"connections_{uuid.uuid4().hex[:8]}"]
        database.engines.insert_many({"_id": f"e{n}", "name": f"RD-{n}"} for n in range(30))
        yield database
        client.drop_database(database.name)


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest,
    database: Database[dict[str, Any]],
    mongo_uri: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    environment = clean_environment(
        MONGODB_URI=mongo_uri,
        DATABASE=database.name,
        COLLECTIONS="engines:engines",
        JWT_SECRET_KEY=SECRET,
        FALCOREST_MAX_BODY_BYTES=str(16 * MIB),
    )
    folder = tmp_path_factory.mktemp("connections")
    with serving(folder, *SERVERS[request.param], environment=environment) as server:
        yield server


@pytest.fixture
def line(server: Running) -> Iterator[socket.socket]:
    """A connection to write bytes to."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        yield connection


@pytest.fixture
def kept(server: Running) -> Iterator[http.client.HTTPConnection]:
    """A connection that is kept; a request that finds it closed fails."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.connect()
    connection.auto_open = 0
    yield connection
    connection.close()


def login() -> dict[str, str]:
    return {"Authorization": f"Bearer {TokenIssuer(SECRET).issue('ada')}"}


def send(
    connection: http.client.HTTPConnection, method: str, target: str, body: Any = None
) -> tuple[int, Any]:
    """Send a request on a connection, and return status and JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = login() | ({} if data is None else {"Content-Type": "application/json"})
    connection.request(method, target, data, headers)
    with connection.getresponse() as response:
        content = response.read()
        return response.status, json.loads(content) if content else None


def request(target: str, method: str = "GET", body: bytes = b"", **headers: str) -> bytes:
    """Return a request as it goes over the wire."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answers(connection: socket.socket) -> list[tuple[int, dict[str, str], bytes]]:
    """Return all answers that come until the other side closes: status, headers and body."""
    found = []
    with connection.makefile("rb") as stream:
        while first := stream.readline():
            version, status, _ = first.decode().split(" ", 2)
            assert version.startswith("HTTP/1.")
            headers = http.client.parse_headers(stream)
            body = stream.read(int(headers.get("Content-Length", "0")))
            named = {name.lower(): value for name, value in headers.items()}
            found.append((int(status), named, body))
    return found


def open_connections(server: Running) -> list[Any]:
    """Return the connections with clients that a server holds open."""
    processes = [psutil.Process(server.process.pid), *server.below()]
    found = [one for process in processes for one in process.net_connections("tcp")]
    return [one for one in found if one.raddr and one.laddr.port == server.port]


def test_many_requests_on_one_connection(kept: http.client.HTTPConnection, server: Running) -> None:
    """Whatever is answered, the next request finds the connection as it was."""
    for number in range(40):
        target = f"/api/engines/kept{number}"
        assert send(kept, "PUT", target, {"n": number})[0] == 201
        assert send(kept, "GET", target) == (200, {"_id": f"kept{number}", "n": number})
        assert send(kept, "PATCH", target, {"$where": 1})[0] == 400
        assert send(kept, "HEAD", target) == (200, None)
        assert send(kept, "DELETE", target) == (204, None)
        if kept.sock is None:
            # NOTE: waitress closes behind an answer without a body, and says so.
            assert "waitress" in server.process.args
            kept.connect()
        assert send(kept, "GET", target)[0] == 404
        assert send(kept, "BREW", target)[0] == 405
    assert len(send(kept, "GET", "/api/engines")[1]) == 30


def test_requests_that_pile_up_are_answered_in_their_order(line: socket.socket) -> None:
    order = [f"e{n * 7 % 30}" for n in range(29)]
    requests = [request(f"/api/engines/{one}") for one in order]
    line.sendall(b"".join([*requests, request("/api/engines/e0", Connection="close")]))
    found = answers(line)
    assert [json.loads(body)["_id"] for _, _, body in found] == [*order, "e0"]


def test_more_clients_than_threads(server: Running) -> None:
    """They wait for their turns, and the log doesn't speak of it."""
    order = [f"e{n}" for n in range(30)]
    address = ("127.0.0.1", server.port)
    with ExitStack() as stack:
        lines = [
            stack.enter_context(socket.create_connection(address, timeout=PATIENCE))
            for _ in range(24)
        ]
        for one in order:
            for line in lines:
                line.sendall(request(f"/api/engines/{one}"))
        for line in lines:
            line.sendall(request("/api/engines/e0", Connection="close"))
        for line in lines:
            assert [json.loads(body)["_id"] for _, _, body in answers(line)] == [*order, "e0"]
    said = {json.loads(line)["logger"] for line in server.text.splitlines() if line[:1] == "{"}
    assert said == {"falcorest.access"}


def test_clients_that_do_not_hang_up(server: Running) -> None:
    """Nobody waits for them, and their connections aren't kept."""
    started = time.monotonic()
    with ExitStack() as stack:
        for _ in range(24):
            address = ("127.0.0.1", server.port)
            line = stack.enter_context(socket.create_connection(address, timeout=PATIENCE))
            line.sendall(request("/api/engines/e1", Connection="close"))
            assert [status for status, _, _ in answers(line)] == [200]
        for _ in range(8):
            assert server.get("/api/engines/e2").status == 200
        assert time.monotonic() - started < 10
        assert eventually(lambda: not open_connections(server))


def test_who_sends_on_after_the_end(server: Running, line: socket.socket) -> None:
    line.sendall(request("/api/engines/e1", Connection="close"))
    assert [status for status, _, _ in answers(line)] == [200]
    with suppress(ConnectionError):
        for _ in range(100):
            line.sendall(b"x" * 65536)
    assert eventually(lambda: not open_connections(server))
    assert server.get("/api/engines/e2").status == 200


@pytest.mark.parametrize(
    ("version", "header", "closes"),
    [
        (b"1.1", b"", False),
        (b"1.1", b"Connection: close\r\n", True),
        (b"1.0", b"", True),
        (b"1.0", b"Connection: keep-alive\r\n", False),
    ],
)
def test_who_wants_the_connection_closed(
    version: bytes, header: bytes, closes: bool, line: socket.socket
) -> None:
    line.sendall(b"GET /api/engines/e1 HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, header))
    if closes:
        ((status, _, body),) = answers(line)
        assert (status, json.loads(body)["_id"]) == (200, "e1")
        return
    line.sendall(request("/api/engines/e2", Connection="close"))
    assert [json.loads(body)["_id"] for _, _, body in answers(line)] == ["e1", "e2"]


@pytest.mark.parametrize("size", [0, 300_000], ids=["small", "large"])
def test_a_body_that_nobody_read_is_no_request(size: int, line: socket.socket) -> None:
    """Who isn't logged in is answered at once; what was sent along isn't taken for a request."""
    inner = request("/api/engines/e3", X_Request_ID="inner")
    body = inner * 3 + b"x" * size
    line.sendall(request("/api/engines", "POST", body, X_Request_ID="outer"))
    try:
        line.sendall(request("/api/engines/e4", X_Request_ID="next", Connection="close"))
        found = answers(line)
    except ConnectionError:
        # NOTE: a server may hang up instead of reading it to its end.
        return
    ids = [headers["x-request-id"] for _, headers, _ in found]
    assert ids in (["outer"], ["outer", "next"])
    assert found[0][0] == 401


def test_a_client_that_asks_before_it_sends(
    line: socket.socket, database: Database[dict[str, Any]]
) -> None:
    body = b'{"name":"asked"}'
    whole = request(
        "/api/engines", "POST", body, Content_Type="application/json", Expect="100-continue",
        **login(), Connection="close",
    )  # fmt: skip
    line.sendall(whole.removesuffix(body))
    assert line.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
    line.sendall(body)
    assert [status for status, _, _ in answers(line)] == [201]
    database.engines.delete_one({"name": "asked"})


def test_another_http_is_not_spoken(line: socket.socket) -> None:
    line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    line.shutdown(socket.SHUT_WR)
    said = line.recv(100)
    assert not said or said.startswith(b"HTTP/1.")


@pytest.mark.long
@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
def test_a_large_body(
    chunked: bool, kept: http.client.HTTPConnection, database: Database[dict[str, Any]]
) -> None:
    """One of 15 MB is stored and read again; one beyond the limit is refused."""
    database.engines.delete_one({"_id": "large"})

    def put(size: int) -> tuple[int, Any]:
        body = json.dumps({"text": "x" * size}).encode()
        pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
        headers = {**login(), "Content-Type": "application/json"}
        headers |= {} if chunked else {"Content-Length": str(len(body))}
        data = pieces if chunked else body
        kept.request("PUT", "/api/engines/large", data, headers, encode_chunked=chunked)
        with kept.getresponse() as response:
            content = response.read()
            return response.status, json.loads(content) if content else None

    assert put(15_000_000)[0] == 201
    status, document = send(kept, "GET", "/api/engines/large")
    assert (status, len(document["text"])) == (200, 15_000_000)
    try:
        status, problem = put(17_000_000)
    except (BrokenPipeError, ConnectionResetError):
        # NOTE: a server may hang up before all of it has come.
        status, problem = 413, {"code": "body.too_large"}
    assert (status, problem["code"]) == (413, "body.too_large")
    database.engines.delete_one({"_id": "large"})


@pytest.mark.long
def test_connections_that_fall_silent(server: Running) -> None:
    """They are closed after half a minute, so that a thousand of them keep nobody out for long."""
    begun = [b"", b"GET /api/eng", request("/api/engines/e1")]
    started = time.monotonic()
    with ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        lines = [
            stack.enter_context(socket.create_connection(address, timeout=PATIENCE)) for _ in begun
        ]
        for line, piece in zip(lines, begun, strict=True):
            line.sendall(piece)
        assert server.get("/api/engines/e2").status == 200
        # NOTE: gunicorn gives a thread to who has begun, and waitress waits for two minutes; what
        # belongs in front of them gives up before.
        if "granian" in server.process.args:
            assert [len(answers(line)) for line in lines] == [0, 0, 1]
            assert 15 < time.monotonic() - started < PATIENCE
