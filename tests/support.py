"""What the tests share: an API without a server in front, and servers as processes."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import falcon
from falcon import testing

from falcorest.auth import TokenIssuer
from falcorest.database import in_memory
from falcorest.settings import Settings

SECRET = "a secret of the tests, long enough for HS256"
FALCOREST = [sys.executable, "-m", "falcorest"]


class Api:
    """An application called in process, as a logged-in caller unless told otherwise."""

    def __init__(self, app: falcon.App, database: Any, settings: Settings) -> None:
        self.app = app
        self.database = database
        self.settings = settings
        self.client = testing.TestClient(app)
        self.token = TokenIssuer(SECRET).issue("tester", ["admin"])

    def __call__(
        self,
        method: str,
        url: str,
        body: Any = ...,
        *,
        raw: bytes | None = None,
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
    ) -> testing.Result:
        """Send a request.

        Args:
            method: HTTP method.
            url: Path and query string; the query string as it goes over the wire.
            body: Sent as JSON; nothing is sent unless given.
            raw: Sent as it stands.
            token: Sent as bearer token; None sends no credentials.
            headers: Further ones.
        """
        path, _, query_string = url.partition("?")
        sent = dict(headers or {})
        token = self.token if token == "" else token
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token}")
        if body is not ...:
            raw = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        return self.client.simulate_request(
            method, path, query_string=query_string or None, body=raw, headers=sent
        )

    def get(self, url: str, **kwargs: Any) -> testing.Result:
        return self("GET", url, **kwargs)

    @property
    def in_memory(self) -> bool:
        return in_memory(self.database)

    @property
    def rockets(self) -> Any:
        """The collection behind /api/rockets."""
        return self.database["rocket_engines"]


def assert_problem(
    result: testing.Result,
    status: int,
    code: str,
    *,
    parameter: str | None = None,
    naming: str = "",
) -> dict[str, Any]:
    """Hold an answer against RFC 9457 and what is expected of it; return the problem."""
    assert result.status_code == status, result.text
    assert result.headers["content-type"] == "application/problem+json"
    problem = result.json
    assert problem["status"] == status
    assert problem["code"] == code
    assert set(problem) >= {"type", "title", "status", "detail", "code"}
    if parameter is not None:
        assert problem["parameter"] == parameter
    assert naming in json.dumps(problem)
    assert "Traceback" not in result.text
    return problem


def clean_environment(**changes: str) -> dict[str, str]:
    """Return this environment without settings of falcorest, with some changes."""
    ours = ("MONGODB_URI", "DATABASE", "COLLECTIONS", "JWT_SECRET_KEY", "MANGO_USER_COLLECTION")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ours and not name.startswith("FALCOREST_")
    }
    return {**kept, "PYTHONUNBUFFERED": "1", **changes}


def _candidates() -> Iterator[int]:
    """Yield ports below those that the system gives out, other ones in each test process."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 12_000 + process % 8 * 2_000
    return itertools.cycle(range(first, first + 2_000))


_PORTS = _candidates()


def free_port() -> int:
    """Return a port that nobody listens on, and that no other test is given."""
    for port in _PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError


@dataclass
class Answer:
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """A server process and its address."""

    process: subprocess.Popen[str]
    port: int
    output: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(
        self,
        method: str,
        path: str,
        body: Any = ...,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        data = None if body is ... else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return Answer(response.status, _lower(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _lower(error.headers), error.read())

    def get(self, path: str, **kwargs: Any) -> Answer:
        return self.request("GET", path, **kwargs)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Send a signal and wait; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        code = self.process.wait(30)
        self.output.append(self.process.stdout.read() if self.process.stdout else "")
        return code


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@contextmanager
def running(
    command: list[str], port: int, directory: Path, environment: Mapping[str, str]
) -> Iterator[Server]:
    """Run a server until the block ends; it listens when the block begins."""
    process = subprocess.Popen(
        command,
        cwd=directory,
        # NOTE: nobody reads what it says while it runs, and it would wait for that.
        env={"FALCOREST_ACCESS_LOG": "off", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    server = Server(process, port)
    try:
        wait_for_port(server)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert process.stdout is not None
        process.stdout.close()


def wait_for_port(server: Server, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            assert server.process.stdout is not None
            raise AssertionError(f"the server ended: {server.process.stdout.read()}")
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server doesn't listen")


@contextmanager
def serve(
    directory: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run ``falcorest serve`` until the block ends."""
    port = free_port()
    command = [*FALCOREST, "serve", "--port", str(port), *options]
    with running(command, port, directory, environment or clean_environment()) as server:
        yield server


def read_banner(server: Server, seconds: float = 10) -> str:
    """Return what a server prints until it has been silent for a moment."""
    assert server.process.stdout is not None
    handle = server.process.stdout.fileno()
    text = b""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and b"Ctrl-C" not in text:
        if select.select([handle], [], [], 0.2)[0]:
            piece = os.read(handle, 65536)
            if not piece:
                break
            text += piece
    return text.decode()


def falcorest(
    directory: Path,
    *arguments: str,
    input: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a ``falcorest`` command to its end."""
    return subprocess.run(
        [*FALCOREST, *arguments],
        cwd=directory,
        env=dict(environment or clean_environment()),
        input=input,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def mongods_in(directory: Path) -> list[int]:
    """Return the processes that run a mongod on files below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"mongod" in command and str(directory).encode() in command:
                found.append(int(entry.name))
    return found
