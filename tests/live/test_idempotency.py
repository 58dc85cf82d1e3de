"""Idempotency keys where things break: many workers, killed ones, and lost answers."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from falcorest.auth import TokenIssuer
from falcorest.idempotency import COLLECTION
from tests.conftest import MakeApi
from tests.live.faults import Faulty
from tests.live.processes import PATIENCE, Running, exchange, serving
from tests.support import SECRET, Answer, assert_problem, clean_environment

pytestmark = pytest.mark.live

TOKEN = TokenIssuer(SECRET).issue("tester")


def post(server: Running, key: str) -> Answer:
    """Store a rocket under a key."""
    headers = {"Idempotency-Key": key}
    return server.request("POST", "/api/rockets", {"name": key}, token=TOKEN, headers=headers)


@contextmanager
def database_at(uri: str) -> Iterator[tuple[Any, dict[str, str]]]:
    """Give a fresh database, and the settings of a server for it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with MongoClient[dict[str, Any]](uri) as client:
        client[name].create_collection("rocket_engines")
        yield (
            client[name],
            clean_environment(
                MONGODB_URI=uri,
                DATABASE=name,
                COLLECTIONS="rockets:rocket_engines",
                JWT_SECRET_KEY=SECRET,
            ),
        )
        client.drop_database(name)


@pytest.mark.parametrize("kind", ["granian", "gunicorn"])
def test_of_many_at_several_workers_one_writes(kind: str, tmp_path: Path, mongo_uri: str) -> None:
    with database_at(mongo_uri) as (database, environment):
        options = ("--server", kind, "--workers", "3", "--threads", "4")
        with serving(tmp_path, *options, environment=environment) as server:
            server.banner()
            for number in range(3):
                with ThreadPoolExecutor(24) as pool:
                    answers = list(pool.map(post, [server] * 24, [f"key {number}"] * 24))
                assert {one.status for one in answers} <= {201, 409}
                done = [one for one in answers if one.status == 201]
                assert len({one.headers["location"] for one in done}) == 1
                first = [one for one in done if "idempotency-replayed" not in one.headers]
                assert len(first) == 1
                running = [one.json["code"] for one in answers if one.status == 409]
                assert set(running) <= {"idempotency.running"}
                assert database.rocket_engines.count_documents({}) == number + 1
            again = post(server, "key 0")
            assert again.headers["idempotency-replayed"] == "true"
            headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "key 0"}
            headers["Content-Type"] = "application/json"
            body = json.dumps({"name": "key 0"}).encode()
            target = ("POST", "/api/rockets", body, headers)
            chunked = exchange(server.port, *target, chunked=True)
            assert chunked.headers["idempotency-replayed"] == "true"
            assert chunked.body == again.body


# ------------------------------------------------------------------------------ fail points


LOST = {"code": 64, "errmsg": "waiting for replication timed out"}

#: How an answer to the commit gets lost, and whether the write has happened.
COMMITS: dict[str, tuple[dict[str, Any], bool]] = {
    "after it": ({"writeConcernError": LOST}, True),
    "before it": ({"closeConnection": True}, False),
}


@pytest.mark.long
@pytest.mark.parametrize("lost", COMMITS)
def test_after_an_unknown_outcome_the_same_key_tells_it(
    lost: str, faulty: Faulty, make_api: MakeApi
) -> None:
    api = make_api(faulty.uri, timeout_ms=1000)
    headers = {"Idempotency-Key": "k"}
    how, happened = COMMITS[lost]

    def create() -> Any:
        return api("POST", "/api/rockets", {"name": "Vinci"}, headers=headers)

    with faulty.failing("commitTransaction", **how):
        assert_problem(create(), 503, "write.outcome_unknown")
    assert api.rockets.count_documents({}) == happened
    result = settled(create, lambda result: result.status_code)
    assert result.status_code == 201
    assert ("idempotency-replayed" in result.headers) == happened
    assert api.rockets.count_documents({}) == 1
    again = create()
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json == result.json


def settled(send: Callable[[], Any], status: Callable[[Any], int]) -> Any:
    """Send a request as a client does: again after a while, as long as it is being served."""
    deadline = time.monotonic() + PATIENCE
    while status(answer := send()) == 409 and time.monotonic() < deadline:
        time.sleep(0.2)
    return answer


@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("commitTransaction", {"closeConnection": True}),
        ("commitTransaction", {"writeConcernError": LOST}),
        ("insert", {"closeConnection": True}),
        ("update", {"closeConnection": True}),
        ("insert", {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}),
        ("insert", {"errorCode": 251, "errorLabels": ["TransientTransactionError"]}),
        ("update", {"errorCode": 251, "errorLabels": ["TransientTransactionError"]}),
    ],
)
def test_what_fails_once_is_done_once(
    command: str, how: dict[str, Any], faulty: Faulty, make_api: MakeApi
) -> None:
    api = make_api(faulty.uri)
    headers = {"Idempotency-Key": "k"}
    # NOTE: so that the update that fails is the claim.
    api("POST", "/api/rockets", {}, headers={"Idempotency-Key": "warm"})
    with faulty.failing(command, mode={"times": 1}, **how):
        result = api("POST", "/api/rockets", {"name": "Vinci"}, headers=headers)
    assert result.status_code == 201, result.text
    assert "idempotency-replayed" not in result.headers
    assert api.rockets.count_documents({"name": "Vinci"}) == 1
    assert api.database[COLLECTION].count_documents({}) == 2


@pytest.mark.long
@pytest.mark.parametrize("command", ["insert", "commitTransaction"])
def test_a_worker_that_is_killed_in_a_write_leaves_it_done_once_or_not_at_all(
    command: str, tmp_path: Path, faulty: Faulty
) -> None:
    with database_at(faulty.uri) as (database, environment):
        with (
            serving(tmp_path, environment=environment) as server,
            ThreadPoolExecutor(1) as pool,
        ):
            server.banner()
            assert post(server, "warm").status == 201
            blocked = {"blockConnection": True, "blockTimeMS": 2000}
            with faulty.failing(command, **blocked) as wait:
                broken = pool.submit(post, server, "k")
                wait()
                for process in [server.process, *server.below()]:
                    process.kill()
            assert isinstance(broken.exception(PATIENCE), OSError)
        with serving(tmp_path, environment=environment) as server:
            server.banner()
            answer = settled(lambda: post(server, "k"), lambda answer: answer.status)
            assert answer.status == 201
            assert database.rocket_engines.count_documents({"name": "k"}) == 1
            again = post(server, "k")
            assert again.headers["idempotency-replayed"] == "true"
            assert again.body == answer.body
            assert database.rocket_engines.count_documents({"name": "k"}) == 1
