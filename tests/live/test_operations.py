"""What an operator relies on, under each server with several workers: figures, log, shutdown."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient
from pymongo.database import Database

from falcorest.auth import TokenIssuer
from tests.live.processes import PATIENCE, SERVERS, Running, eventually, exchange, serving
from tests.support import SECRET, clean_environment

pytestmark = [pytest.mark.live, pytest.mark.long]

COUNT = 2000


@pytest.fixture(scope="module")
def database(mongo_uri: str) -> Iterator[Database[dict[str, Any]]]:
    """A database with a collection of 20 MB, more than a socket takes in."""
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        database = client[f"operations_{uuid.uuid4().hex[:8]}"]
        database.large.insert_many({"_id": n, "text": "x" * 10_000} for n in range(COUNT))
        database.engines.insert_many({"_id": f"e{n}", "name": f"RD-{n}"} for n in range(10))
        yield database
        client.drop_database(database.name)


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest,
    database: Database[dict[str, Any]],
    mongo_uri: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("operations")
    environment = clean_environment(
        MONGODB_URI=mongo_uri,
        DATABASE=database.name,
        COLLECTIONS="engines:engines,large:large",
        JWT_SECRET_KEY=SECRET,
        TMPDIR=str(folder),
    )
    with serving(folder, *SERVERS[request.param], environment=environment) as server:
        server.banner()
        yield server


def workers(server: Running) -> list[psutil.Process]:
    """Return the processes that answer requests."""
    return [*filter(is_worker, server.below())] or [psutil.Process(server.process.pid)]


def is_worker(process: psutil.Process) -> bool:
    return "resource_tracker" not in " ".join(process.cmdline())


#: A figure: its name and its labels.
Figure = tuple[str, frozenset[tuple[str, str]]]


def figures(server: Running) -> dict[Figure, float]:
    answer = exchange(server.port, "GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def figure(found: dict[Figure, float], name: str, **labels: str) -> float:
    return found.get((f"falcorest_{name}", frozenset(labels.items())), 0.0)


def processes(found: dict[Figure, float]) -> set[int]:
    memory = (labels for name, labels in found if name == "process_resident_memory_bytes")
    return {int(dict(labels)["pid"]) for labels in memory}


def lines(server: Running) -> list[dict[str, Any]]:
    """Return the log, which stands among what it says to people."""
    return [json.loads(line) for line in server.text.splitlines() if line.startswith("{")]


def line_of(server: Running, request_id: str) -> dict[str, Any]:
    """Return the one line of a request."""

    def found() -> list[dict[str, Any]]:
        return [one for one in lines(server) if one.get("request_id") == request_id]

    (line,) = eventually(found)
    return line


def test_the_figures_are_those_of_all_workers(server: Running) -> None:
    count = 2 if "2 workers" in server.text else 1
    assert eventually(lambda: len(processes(figures(server))) == count)
    before = figures(server)
    for number in range(40):
        assert exchange(server.port, "GET", f"/api/engines/e{number % 20}").status in {200, 404}
    exchange(server.port, "GET", "/nowhere/at/all")
    exchange(server.port, "BREW", "/api/engines")

    route = {"method": "GET", "route": "/api/engines/{id}"}
    seen = set()
    for _ in range(5):
        after = figures(server)

        def more(name: str, after: dict[Figure, float] = after, **labels: str) -> float:
            return figure(after, name, **labels) - figure(before, name, **labels)

        seen.add(
            (
                more("requests_total", status="200", **route),
                more("requests_total", status="404", **route),
                more("request_duration_seconds_count", **route),
                more("requests_total", method="GET", route="unknown", status="404"),
                more("database_command_duration_seconds_count", command="find"),
                figure(after, "pool_connections_in_use"),
            )
        )
    assert seen == {(20, 20, 40, 1, 40, 0)}
    assert more("requests_total", method="unknown", route="/api/engines", status="405") == 1
    assert 1 <= figure(after, "pool_connections") <= 8
    assert processes(after) == {one.pid for one in workers(server)}


def test_each_request_has_a_line(server: Running) -> None:
    token = TokenIssuer(SECRET).issue("ada\r\nforged")
    headers = {"X-Request-ID": "a-write", "Authorization": f"Bearer {token}"}
    body = json.dumps({"secret": "sesame"}).encode()
    assert exchange(server.port, "PATCH", "/api/engines/e1", body, headers).status == 204
    answer = exchange(server.port, "GET", "/api/engines?name=hush")
    line = line_of(server, "a-write")
    for name in ("duration_ms", "database_ms"):
        assert 0 < line.pop(name) < PATIENCE * 1000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info",
        "logger": "falcorest.access",
        "message": "PATCH /api/engines/{id} 204 (request a-write)",
        "request_id": "a-write",
        "user": "ada\r\nforged",
        "method": "PATCH",
        "route": "/api/engines/{id}",
        "status": 204,
        "operations": 1,
        "documents": 1,
        "bytes": 0,
    }
    listed = line_of(server, answer.headers["x-request-id"])
    assert (listed["documents"], listed["bytes"]) == (0, 2)
    assert not re.search(r"sesame|hush|\bforged|\be1\b", server.text)
    assert token not in server.text


def test_a_worker_that_was_killed_leaves_its_counts_only(server: Running) -> None:
    if "waitress" in server.text:
        # NOTE: where there is one, nobody is left to ask.
        assert len(workers(server)) == 1
        return
    assert eventually(lambda: len(workers(server)) == 2)
    for _ in range(20):
        exchange(server.port, "GET", "/api/engines/e1")
    before = figures(server)
    victim, _ = workers(server)
    victim.kill()
    victim.wait(PATIENCE)

    def asked() -> dict[Figure, float] | None:
        with suppress(OSError, http.client.HTTPException):
            return figures(server)
        return None

    after = eventually(asked)
    labels = {"method": "GET", "route": "/api/engines/{id}", "status": "200"}
    assert figure(after, "requests_total", **labels) == figure(before, "requests_total", **labels)
    assert victim.pid not in processes(after)
    assert eventually(lambda: len(processes(asked() or {})) == 2)


def test_what_is_in_flight_is_finished(server: Running) -> None:
    folders = [*server.log.parent.glob("falcorest-metrics-*")]
    assert len(folders) == ("waitress" not in server.text)
    with ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        connection = stack.enter_context(socket.create_connection(address, timeout=PATIENCE))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        request = "GET /api/large HTTP/1.1\r\nHost: a\r\nX-Request-ID: slow\r\n\r\n"
        connection.sendall(request.encode())
        response = stack.enter_context(http.client.HTTPResponse(connection))
        response.begin()
        begun = response.read(1000)
        # NOTE: those on which nothing is in flight are not waited for as long.
        silent = stack.enter_context(socket.create_connection(address, timeout=PATIENCE))
        kept = http.client.HTTPConnection(*address, timeout=PATIENCE)
        stack.callback(kept.close)
        kept.request("GET", "/health/live")
        assert kept.getresponse().read()
        os.kill(server.process.pid, signal.SIGTERM)

        def refused() -> bool:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
                return False
            return True

        # NOTE: what is in flight is waited for half a minute.
        assert eventually(refused, 20)
        time.sleep(0.5)
        assert server.process.poll() is None
        documents = json.loads(begun + response.read())
        assert [one["_id"] for one in documents] == list(range(COUNT))
        response.close()
        connection.close()
        assert server.process.wait(20) == 0
        for left in (silent, kept.sock):
            assert left.recv(1) == b""
    line = line_of(server, "slow")
    # NOTE: the first batch is read twice.
    assert line["documents"] >= COUNT
    assert line["bytes"] > COUNT * 10_000
    assert "complete" not in line
    assert not any(folder.exists() for folder in folders)
    assert "Traceback" not in server.text


def test_a_list_that_nobody_reads_to_its_end_is_logged_as_such(
    database: Database[dict[str, Any]], mongo_uri: str, tmp_path: Path
) -> None:
    environment = clean_environment(
        MONGODB_URI=mongo_uri,
        DATABASE=database.name,
        COLLECTIONS="large:large",
        JWT_SECRET_KEY=SECRET,
        FALCOREST_SLOW_MS="1",
        FALCOREST_LOG="human",
    )
    with serving(tmp_path, environment=environment) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
            connection.sendall(b"GET /api/large?text=ne[str].hush HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.recv(100)
        pattern = (
            r"\d\d:\d\d:\d\d INFO GET /api/large 200 \(request [0-9a-f]{16}\) duration_ms=\S+ "
            r"database_ms=\S+ operations=\d+ documents=\d+ bytes=\d+ complete=False\n"
        )
        assert eventually(lambda: re.search(pattern, server.text)), server.text
        slow = r"WARNING slow find \(request [0-9a-f]{16}\) command=find collection=large .+ shape="
        assert re.search(slow, server.text), server.text
        assert "hush" not in server.text
