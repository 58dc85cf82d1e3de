"""Run: how the application is to be run, and what can't be."""

from __future__ import annotations

import re
import socket

import pytest

from falcorest.errors import ConfigurationError
from falcorest.runner import SERVERS, Run, check_run
from falcorest.settings import Settings

IN_MEMORY = Settings(mongodb_uri="mongomock://")
EXTERNAL = Settings(mongodb_uri="mongodb://db.example/rockets")
EMBEDDED = Settings()


def run(
    server: str = "granian", *, host: str = "127.0.0.1", port: int = 8000, workers: int = 1
) -> Run:
    return Run(server, host, port, workers, 4)


def test_granian_comes_first() -> None:
    assert SERVERS == ("granian", "gunicorn", "waitress")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("localhost", "http://localhost:8000"),
        ("::1", "http://[::1]:8000"),
    ],
)
def test_the_address_of_a_server_is_a_url(host: str, url: str) -> None:
    assert run(host=host).url == url


def test_port_0_is_a_free_port() -> None:
    bound = run(port=0).bound()
    assert bound.port > 0
    assert bound == Run("granian", "127.0.0.1", bound.port, 1, 4, address="127.0.0.1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", bound.port))


@pytest.mark.parametrize("listening", [True, False])
def test_a_port_that_is_taken_is_refused_by_name(listening: bool) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        if listening:
            other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"--host 127\.0\.0\.1 --port {port}: \w"):
            run(port=port).bound()


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "a..b", "ä" * 64], ids=["elsewhere", "empty label", "long"]
)
def test_a_host_that_is_not_here_is_refused_by_name(host: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        run(host=host).bound()
    (line,) = caught.value.problems
    assert re.fullmatch(rf"--host {re.escape(host)} --port 8000: (?!None)\w[^\n]+\.", line)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("settings", [IN_MEMORY, EXTERNAL, EMBEDDED])
def test_one_worker_is_always_fine(server: str, settings: Settings) -> None:
    check_run(run(server), settings)


@pytest.mark.parametrize("server", ["granian", "gunicorn"])
@pytest.mark.parametrize("settings", [EXTERNAL, EMBEDDED])
def test_several_workers_share_a_real_database(server: str, settings: Settings) -> None:
    check_run(run(server, workers=4), settings)


@pytest.mark.parametrize(
    ("server", "settings"),
    [*((server, IN_MEMORY) for server in SERVERS), ("waitress", EXTERNAL), ("waitress", EMBEDDED)],
)
def test_several_workers_are_refused_where_there_can_be_one(
    server: str, settings: Settings
) -> None:
    with pytest.raises(ConfigurationError, match="--workers"):
        check_run(run(server, workers=2), settings)
