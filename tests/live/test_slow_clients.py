"""Slow and silent clients: each costs its own place, for a while, and nobody else's."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psutil
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from falcorest.auth import TokenIssuer
from tests.live.processes import SERVERS, Running, eventually, serving
from tests.support import SECRET, clean_environment

pytestmark = [pytest.mark.live, pytest.mark.long]

THREADS = 4
#: How long a client has, in seconds.
HAS = 2.0
MIB = 1024 * 1024

LOGIN = f"Authorization: Bearer {TokenIssuer(SECRET).issue('ada')}\r\n".encode()
POST = b"POST /api/engines HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" + LOGIN
IMPORT = POST.replace(b"application/json", b"application/x-ndjson")
LISTS = b"GET /api/engines HTTP/1.1\r\nHost: a\r\n\r\n"

STEADY = "a body comes and comes"

#: What a slow client sends at once, and what it sends then, byte by byte.
KINDS: dict[str, tuple[bytes, bytes]] = {
    "nothing comes": (b"", b""),
    "a head stops": (b"GET /api/engi", b""),
    "a head drips": (b"GET /api/engines HTTP/1.1\r\n", b"X-Long: " + b"x" * 10_000),
    "a body stops": (POST + b'Content-Length: 9000\r\n\r\n{"a', b""),
    "a body drips": (POST + b'Content-Length: 9000\r\n\r\n{"a":"', b"x" * 9000),
    "a chunked body stops": (POST + b'Transfer-Encoding: chunked\r\n\r\n8\r\n{"b": 1}\r\n', b""),
    "an import stops": (IMPORT + b'Transfer-Encoding: chunked\r\n\r\n9\r\n{"c": 1}\n\r\n', b""),
    STEADY: (POST + b"Content-Length: 900000\r\n\r\n", b" " * 9000),
    "an answer is not read": (b"GET /api/large HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    "many answers are not read": (LISTS * 3000, b""),
}

UNSTEADY = [kind for kind in KINDS if kind != STEADY]


class Slow:
    """Clients of one kind."""

    def __init__(self, server: Running, kind: str, count: int) -> None:
        self._at_once, self._rest = KINDS[kind]
        self._pace = 4000 if kind == STEADY else 1
        self._ended = threading.Event()
        self.lines = [self._open(server) for _ in range(count)]
        self._thread = threading.Thread(target=self._drip)
        self._thread.start()

    def _open(self, server: Running) -> socket.socket:
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        line.connect(("127.0.0.1", server.port))
        line.setblocking(False)
        with suppress(BlockingIOError):
            line.send(self._at_once)
        return line

    def _drip(self) -> None:
        for byte in self._rest:
            if self._ended.wait(0.1):
                return
            for line in self.lines:
                with suppress(OSError):
                    line.send(bytes([byte]) * self._pace)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for line in self.lines:
            line.close()


@contextmanager
def slow(server: Running, kind: str, count: int) -> Iterator[Slow]:
    clients = Slow(server, kind, count)
    try:
        yield clients
    finally:
        clients.close()


@pytest.fixture(scope="module")
def database(mongo_uri: str) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        database = client[f"slow_{uuid.uuid4().hex[:8]}"]
        database.create_collection("engines")
        database.large.insert_many({"_id": n, "text": "x" * 10_000} for n in range(3000))
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
        COLLECTIONS="engines:engines,large:large",
        JWT_SECRET_KEY=SECRET,
        FALCOREST_CLIENT_TIMEOUT_MS=str(int(HAS * 1000)),
        FALCOREST_TIMEOUT_MS="600",
        FALCOREST_WAIT_MS="300",
    )
    folder = tmp_path_factory.mktemp("slow")
    options = ("--server", request.param, "--threads", str(THREADS))
    with serving(folder, *options, environment=environment) as server:
        yield server


@pytest.fixture(autouse=True)
def some_engines(database: Database[dict[str, Any]]) -> Iterator[None]:
    """Have a list of 50 kB; whatever a test of broken bodies leaves there is too much."""
    documents = [{"_id": f"e{n}", "text": "x" * 500} for n in range(100)]
    database.engines.delete_many({})
    database.engines.insert_many(documents)
    yield
    assert list(database.engines.find(sort=[("_id", 1)])) == sorted(
        documents, key=lambda one: one["_id"]
    )


def established(server: Running) -> int:
    """Return how many connections of clients the server has."""
    processes = [psutil.Process(server.process.pid), *server.below()]
    found = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found += sum(
                bool(one.raddr) and one.laddr.port == server.port
                for one in process.net_connections("tcp")
            )
    return found


def took(ask: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.monotonic()
    answer = ask()
    return time.monotonic() - begun, answer


@pytest.mark.parametrize("kind", UNSTEADY)
def test_a_few_are_not_noticed_and_then_they_are_gone(server: Running, kind: str) -> None:
    assert eventually(lambda: established(server) == 0)
    with slow(server, kind, THREADS - 1):
        begun = time.monotonic()
        while time.monotonic() - begun < HAS / 2:
            seconds, answer = took(lambda: server.get("/api/engines/e1"))
            assert (answer.status, seconds < 1) == (200, True), (answer, seconds)
        assert eventually(lambda: established(server) == 0, 4 * HAS), established(server)
        assert time.monotonic() - begun > HAS / 2
    assert "Traceback" not in server.text


@pytest.mark.parametrize("kind", UNSTEADY)
def test_many_leave_nobody_out_for_long(server: Running, kind: str) -> None:
    assert eventually(lambda: established(server) == 0)
    with slow(server, kind, 150):
        begun = time.monotonic()
        while time.monotonic() - begun < HAS / 2:
            seconds, answer = took(lambda: server.get("/health/live"))
            assert (answer.status, seconds < 1) == (200, True), seconds
            seconds, answer = took(lambda: server.get("/api/engines/e1"))
            assert seconds < 2
            if answer.status != 200:
                assert (answer.status, answer.json["code"]) == (503, "server.busy")
                assert answer.headers["retry-after"] == "1"
        assert eventually(lambda: established(server) == 0, 10 * HAS), established(server)
    for _ in range(10):
        seconds, answer = took(lambda: server.get("/api/engines/e1"))
        assert (answer.status, seconds < 1) == (200, True)
    assert "Traceback" not in server.text


def memory(server: Running) -> int:
    processes = [psutil.Process(server.process.pid), *server.below()]
    return sum(process.memory_info().rss for process in processes)


def test_memory_is_bounded(server: Running) -> None:
    for _ in range(20):
        assert server.get("/api/large?_limit=1000").status == 200
    with ExitStack() as stack:
        before = memory(server)
        for kind in UNSTEADY:
            stack.enter_context(slow(server, kind, 25))
        most = 0
        ends = time.monotonic() + 2 * HAS
        while time.monotonic() < ends:
            most = max(most, memory(server))
            time.sleep(0.05)
        assert most - before < 150 * MIB, f"{(most - before) / MIB:.0f} MiB more"
        assert eventually(lambda: established(server) == 0, 10 * HAS)


def test_who_is_slow_but_steady_is_served(server: Running) -> None:
    """A body comes, and an answer is read, in longer than a client may be silent."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        line.sendall(IMPORT + b"Content-Length: %d\r\n\r\n" % (200 * 1024))
        piece = (b'{"_id": "e1", "refused": "%b"}\n' % (b"x" * 995)).ljust(1024)[:1024]
        for _ in range(200):
            line.sendall(piece)
            time.sleep(HAS * 1.5 / 200)
        assert line.recv(4096).startswith(b"HTTP/1.1 400")
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        line.settimeout(20)
        line.connect(("127.0.0.1", server.port))
        line.sendall(b"GET /api/large?_limit=600 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        size = 0
        begun = time.monotonic()
        while piece := line.recv(64 * 1024):
            size += len(piece)
            if time.monotonic() - begun < 2 * HAS:
                time.sleep(0.02)
        assert size > 600 * 10_000


def test_who_asks_now_and_then_is_kept(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        for _ in range(8):
            line.sendall(b"HEAD /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
            assert line.recv(4096).startswith(b"HTTP/1.1 200")
            time.sleep(HAS / 3)


def test_a_body_that_takes_too_long_is_refused(server: Running) -> None:
    """It comes fast enough to be no silent client, and too slowly to be waited for."""
    if "waitress" in server.process.args:
        # NOTE: it takes in a body without a thread, however long it comes.
        with slow(server, STEADY, 20):
            assert took(lambda: server.get("/api/engines/e1"))[0] < 1
        return
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        line.sendall(POST + b"Content-Length: 900000\r\n\r\n")
        with suppress(ConnectionError):
            for _ in range(100):
                line.sendall(b" " * 4000)
                time.sleep(HAS / 20)
        with suppress(ConnectionError):
            said = line.recv(4096)
            assert said.startswith(b"HTTP/1.1 408")
            assert b"body.timeout" in said


@pytest.mark.parametrize("half", [False, True], ids=["closed", "half closed"])
@pytest.mark.parametrize(
    "body",
    [
        POST + b'Transfer-Encoding: chunked\r\n\r\n8\r\n{"b": 1}\r\n',
        POST + b'Content-Length: 9\r\n\r\n{"b": 1}',
        IMPORT + b"Transfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["chunked", "with its length", "import"],
)
def test_a_body_whose_client_hangs_up_is_not_taken_for_whole(
    server: Running, body: bytes, half: bool
) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
            line.sendall(body)
            time.sleep(0.1)
            if half:
                line.shutdown(socket.SHUT_WR)
                assert not line.recv(4096).startswith(b"HTTP/1.1 2")
    assert eventually(lambda: established(server) == 0)
    assert "Traceback" not in server.text
