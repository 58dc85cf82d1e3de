"""The end: what is in flight is finished, up to a time, and who was killed is replaced."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.live.faults import Faulty
from tests.live.processes import PATIENCE, SERVERS, Running, eventually, serving
from tests.live.test_operations import is_worker
from tests.live.test_slow_clients import UNSTEADY, slow
from tests.support import SECRET, clean_environment

pytestmark = [pytest.mark.live, pytest.mark.long]

GRACE = 3


@pytest.fixture
def database(faulty: Faulty) -> Iterator[str]:
    name = f"stopping_{uuid.uuid4().hex[:8]}"
    database = faulty.client[name]
    database.engines.insert_one({"_id": "e1", "name": "RD-1"})
    database.large.insert_many({"_id": n, "text": "x" * 10_000} for n in range(3000))
    yield name
    faulty.client.drop_database(name)


@contextmanager
def started(folder: Path, faulty: Faulty, database: str, *options: str) -> Iterator[Running]:
    environment = clean_environment(
        MONGODB_URI=faulty.uri,
        DATABASE=database,
        COLLECTIONS="engines:engines,large:large",
        JWT_SECRET_KEY=SECRET,
        FALCOREST_GRACE_SECONDS=str(GRACE),
        FALCOREST_ACCESS_LOG="off",
    )
    with serving(folder, *options, environment=environment) as server:
        server.banner()
        assert server.get("/api/engines/e1").status == 200
        yield server


@pytest.fixture(params=SERVERS)
def server(
    request: pytest.FixtureRequest, faulty: Faulty, database: str, tmp_path: Path
) -> Iterator[Running]:
    with started(tmp_path, faulty, database, *SERVERS[request.param]) as server:
        yield server


def is_refused(server: Running) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
        return False
    return True


def test_what_is_in_flight_is_finished_and_nothing_begun(server: Running, faulty: Faulty) -> None:
    with (
        faulty.failing("find", blockConnection=True, blockTimeMS=1500) as blocks,
        ThreadPoolExecutor() as clients,
    ):
        answer = clients.submit(server.get, "/api/engines/e1")
        blocks()
        os.kill(server.process.pid, signal.SIGTERM)
        assert eventually(lambda: is_refused(server), 5)
        assert not answer.done(), "new work is refused while the old is finished"
        assert answer.result().status == 200
        assert server.process.wait(GRACE + 10) == 0
    assert "Traceback" not in server.text


def test_what_takes_longer_is_ended_and_that_is_said(server: Running) -> None:
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        line.connect(("127.0.0.1", server.port))
        line.sendall(b"GET /api/large HTTP/1.1\r\nHost: a\r\n\r\n")
        assert line.recv(100)
        begun = time.monotonic()
        os.kill(server.process.pid, signal.SIGTERM)
        server.process.wait(GRACE + 10)
        assert GRACE - 1 < time.monotonic() - begun < GRACE + 8
    assert "in flight were ended" in server.text or "Killing worker" in server.text


def test_slow_clients_hold_nothing_up(server: Running) -> None:
    with ExitStack() as stack:
        for kind in UNSTEADY:
            stack.enter_context(slow(server, kind, 2))
        time.sleep(0.5)
        begun = time.monotonic()
        os.kill(server.process.pid, signal.SIGTERM)
        server.process.wait(GRACE + 10)
        assert time.monotonic() - begun < GRACE + 8


def workers(server: Running) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [one for one in server.below() if is_worker(one)]
    return []


@pytest.mark.parametrize("name", ["granian", "gunicorn"])
def test_a_worker_that_is_killed_is_replaced_each_time(
    name: str, faulty: Faulty, database: str, tmp_path: Path
) -> None:
    options = ("--server", name, "--workers", "2")

    def asked() -> Any:
        with suppress(OSError, http.client.HTTPException):
            return server.get("/api/engines/e1").status == 200
        return False

    with started(tmp_path, faulty, database, *options) as server:
        for _ in range(3):
            assert eventually(lambda: len(workers(server)) == 2)
            # NOTE: the one that was put in the place of the last.
            other, victim = sorted(workers(server), key=psutil.Process.create_time)
            begun = time.monotonic()
            victim.kill()
            victim.wait(PATIENCE)
            assert eventually(asked, 5)
            assert eventually(lambda: len(workers(server)) == 2, 10)
            assert other in workers(server)
            assert time.monotonic() - begun < 10
        assert eventually(lambda: all(asked() for _ in range(20)))
        assert server.process.poll() is None
