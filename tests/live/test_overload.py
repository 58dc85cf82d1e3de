"""More than can be served: what can is, the rest is refused at once, and soon all is well again."""

from __future__ import annotations

import socket
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from falcorest.auth import TokenIssuer
from tests.live.faults import Faulty
from tests.live.load import load
from tests.live.processes import SERVERS, Running, eventually, serving
from tests.support import SECRET, clean_environment

pytestmark = [pytest.mark.live, pytest.mark.long]

THREADS = 4
#: How long MongoDB takes for a find, and so how many of them there are in a second at the most.
BLOCK_MS = 40
CAPACITY = THREADS * 1000 / BLOCK_MS

GET = b"GET /api/engines/e1 HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, faulty: Faulty, tmp_path: Path) -> Iterator[Running]:
    """One process; MongoDB is slow for it when a test says so."""
    name = f"overload_{uuid.uuid4().hex[:8]}"
    faulty.client[name].engines.insert_one({"_id": "e1", "name": "RD-1"})
    environment = clean_environment(
        MONGODB_URI=faulty.uri,
        DATABASE=name,
        COLLECTIONS="engines:engines",
        JWT_SECRET_KEY=SECRET,
        FALCOREST_WAIT_MS="800",
        FALCOREST_MAX_WAITING="60",
        FALCOREST_ACCESS_LOG="off",
        FALCOREST_TIMEOUT_MS="20000",
    )
    with serving(tmp_path, "--server", request.param, environment=environment) as server:
        server.get("/api/engines/e1")
        yield server
    faulty.client.drop_database(name)


def test_a_burst_is_served(server: Running, faulty: Faulty) -> None:
    """A browser asks for ten things at once."""
    slow = {"blockConnection": True, "blockTimeMS": 100}
    with faulty.failing("find", **slow), ThreadPoolExecutor(10) as clients:
        answers = list(clients.map(lambda _: server.get("/api/engines/e1"), range(10)))
    assert [answer.status for answer in answers] == [200] * 10


def test_twice_the_load(server: Running, faulty: Faulty) -> None:
    with faulty.failing("find", blockConnection=True, blockTimeMS=BLOCK_MS):
        alone = load(server.port, GET, CAPACITY / 2, 1)
        assert set(alone.statuses) == {200}
        seconds = 4
        seen = load(server.port, GET, 2 * CAPACITY, seconds)
        assert set(seen.statuses) == {200, 503}, seen
        assert sum(seen.statuses.values()) == seen.sent
        # NOTE: a busy machine takes longer than MongoDB is told to.
        assert seen.statuses[200] > 0.4 * CAPACITY * seconds
        assert seen.slowest[503] < 2
        assert seen.slowest[200] < 3
        assert seen.lacking == 0
        after = load(server.port, GET, CAPACITY / 2, 1)
        assert set(after.statuses) == {200}
        assert after.slowest[200] < 1
    assert "Traceback" not in server.text


def test_bodies_are_whole(server: Running, faulty: Faulty) -> None:
    """Those of requests that wait as well, whatever their size."""
    slow = {"blockConnection": True, "blockTimeMS": 100}
    token = TokenIssuer(SECRET).issue("ada")

    def post(number: int) -> int:
        text = "e" * (600_000 if number % 4 == 0 else 10)
        body = {"_id": f"n{number}", "text": text}
        return server.request("POST", "/api/engines", body, token=token).status

    with faulty.failing("insert", **slow), ThreadPoolExecutor(16) as clients:
        statuses = Counter(clients.map(post, range(16)))
    assert set(statuses) <= {201, 503}
    assert statuses[201] >= THREADS


def test_while_mongodb_hangs(server: Running, faulty: Faulty) -> None:
    """Probes are answered, and what can't be served is refused in time."""
    request = b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    address = ("127.0.0.1", server.port)
    with (
        faulty.failing("find", blockConnection=True, blockTimeMS=6000) as hangs,
        ExitStack() as stack,
    ):
        stuck = [stack.enter_context(socket.create_connection(address)) for _ in range(THREADS)]
        for one in stuck:
            one.sendall(GET)
        hangs()
        seen = load(server.port, GET, 100, 1, patience=5)
        assert set(seen.statuses) == {503}
        assert seen.slowest[503] < 2.5
        begun = time.monotonic()
        with socket.create_connection(address, timeout=10) as probe:
            probe.sendall(request)
            assert probe.recv(100).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - begun < 1
        for one in stuck:
            one.settimeout(20)
            assert one.recv(100).startswith(b"HTTP/1.1 200")
    assert eventually(lambda: server.get("/api/engines/e1").status == 200, 5)
    assert "Traceback" not in server.text
