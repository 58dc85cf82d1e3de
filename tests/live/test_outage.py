"""A primary that says nothing: it holds up some requests, and not all of them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from falcorest import Resource, ResourceView, methods
from falcorest.auth import ApiKeyAuthentication, key_check
from falcorest.database import connect
from tests.conftest import MakeApi
from tests.declared import DeclaredApi
from tests.live.processes import eventually, plain_mongod
from tests.support import Api, assert_problem

pytestmark = [pytest.mark.live, pytest.mark.long]

LIMIT = 1.0


@pytest.fixture
def mongod_process(mongod: Path, tmp_path: Path) -> Iterator[tuple[psutil.Process, str]]:
    with plain_mongod(mongod, tmp_path / "mongod") as process:
        port = process.cmdline()[process.cmdline().index("--port") + 1]
        yield process, f"mongodb://127.0.0.1:{port}/"


@contextmanager
def frozen(process: psutil.Process) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    assert eventually(lambda: process.status() == psutil.STATUS_STOPPED)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def timed(api: Api) -> tuple[float, Any]:
    begun = time.monotonic()
    result = api.get("/api/rockets")
    return time.monotonic() - begun, result


def test_one_waits_for_all(mongod_process: tuple[psutil.Process, str], make_api: MakeApi) -> None:
    process, uri = mongod_process
    api = make_api(uri, database="outage", timeout_ms=int(LIMIT * 1000))
    assert timed(api)[1].status_code == 200
    with ThreadPoolExecutor(8) as pool:
        with frozen(process):
            # NOTE: the driver itself notices under way, and breaks off what waits.
            for _ in range(4):
                seconds, result = timed(api)
                assert_problem(result, 503, result.json["code"])
                assert seconds < LIMIT + 1
            assert seconds > LIMIT * 0.9
            answers = list(pool.map(timed, [api] * 8))
            waited = [seconds for seconds, _ in answers if seconds > LIMIT * 0.9]
            assert len(waited) == 1
            for seconds, result in answers:
                assert_problem(result, 503, result.json["code"])
                assert result.json["code"] in {"query.timeout", "database.unavailable"}
                assert result.headers["retry-after"] == "1"
                assert seconds < LIMIT + 1
        # It needs no more than that the primary goes on.
        assert eventually(lambda: timed(api)[1].status_code == 200, 10)
        assert {result.status_code for _, result in pool.map(timed, [api] * 16)} == {200}


def test_an_outage_elsewhere_is_none_here(
    mongod_process: tuple[psutil.Process, str], mongo_uri: str, make_api: MakeApi
) -> None:
    """Callers known by another database wait for that one, and others don't."""
    process, uri = mongod_process
    database = make_api(mongo_uri, timeout_ms=int(LIMIT * 1000)).database
    users = connect(uri, "users", timeout_ms=int(LIMIT * 1000))
    known = ApiKeyAuthentication(key_check(users["falcorest_keys"]))

    class View(ResourceView):
        resource = type("Things", (Resource,), {"collection": "things"})
        methods = (methods.List,)
        authentication_methods = (known,)
        public_methods = ("GET",)

    api = DeclaredApi(database).register(things=View)
    with frozen(process):
        for _ in range(5):
            begun = time.monotonic()
            assert api("GET", "/things/", headers={"X-API-Key": "a" * 43}).status_code == 503
            assert time.monotonic() - begun < LIMIT + 1
        assert api("GET", "/things/").status_code == 200
    users.client.close()
