"""Turns: requests that wait have no thread, and none of them is forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from falcorest.database import WAITED
from falcorest.granian_worker import LARGEST_BODY, LARGEST_TAKEN, READERS, Turns
from falcorest.in_flight import TURN
from tests.live.processes import eventually


class Granian:
    """Calls turns as granian does, and takes the answers."""

    def __init__(self, most: int, max_waiting: int, wait_ms: int = 60_000) -> None:
        self.go = threading.Semaphore(0)
        self.begun: list[Any] = []
        self.answers: dict[Any, Any] = {}
        self.status = 200
        self.turns = Turns(self.app, most, max_waiting, wait_ms, {"/probe"})
        self.turns.call = self.call

    def app(self, environ: dict[str, Any], start_response: Any) -> Any:
        if not environ[TURN]:
            return ["probe" if environ["PATH_INFO"].startswith("/probe") else "busy"]
        self.begun.append(environ["number"])
        self.waited = environ.get(WAITED, 0.0)
        assert self.go.acquire(timeout=30)
        if environ["PATH_INFO"] == "/breaks":
            raise SystemExit
        return (one for one in "ab") if environ["PATH_INFO"] == "/stream" else ["done"]

    def call(self, proto: Any, environ: dict[str, Any]) -> None:
        # NOTE: granian hands a dict of its own to the application.
        body = self.turns.serve_one(dict(environ), SimpleNamespace(status=self.status))
        self.answers[proto] = "".join(body)

    def send(self, number: int, path: str = "/slow") -> None:
        self.turns(number, {"number": number, "PATH_INFO": path})


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def test_what_waits_is_served_in_its_order_by_those_who_serve(threads: ThreadPoolExecutor) -> None:
    granian = Granian(2, 20)
    for number in range(2):
        threads.submit(granian.send, number)
        assert eventually(lambda n=number: len(granian.begun) == n + 1)
    for number in range(2, 12):
        # NOTE: this thread comes back.
        granian.send(number)
    assert granian.begun == [0, 1]
    for number in range(12):
        granian.go.release()
        assert eventually(lambda n=number: len(granian.begun) == min(n + 3, 12))
    assert eventually(lambda: len(granian.answers) == 12)
    assert granian.begun == list(range(12))
    assert set(granian.answers.values()) == {"done"}
    assert granian.turns._free == 2


def test_too_many_are_refused_at_once_and_probes_never(threads: ThreadPoolExecutor) -> None:
    granian = Granian(1, 1)
    threads.submit(granian.send, 0)
    assert eventually(lambda: granian.begun)
    granian.send(1)
    granian.send(2)
    granian.send(3, "/probe/")
    assert granian.answers == {2: "busy", 3: "probe"}
    granian.go.release(2)
    assert eventually(lambda: len(granian.answers) == 4)
    assert granian.begun == [0, 1]


def test_who_waits_too_long_is_refused(threads: ThreadPoolExecutor) -> None:
    granian = Granian(1, 10, 200)
    threads.submit(granian.send, 0)
    assert eventually(lambda: granian.begun)
    begun = time.monotonic()
    for number in range(1, 4):
        granian.send(number)
    assert eventually(lambda: len(granian.answers) == 3)
    assert 0.2 <= time.monotonic() - begun < 5
    assert set(granian.answers.values()) == {"busy"}
    granian.go.release()
    assert eventually(lambda: granian.turns._free == 1)
    assert granian.begun == [0]


def test_a_stream_has_its_turn_until_its_end_and_a_failure_gives_it_back(
    threads: ThreadPoolExecutor,
) -> None:
    granian = Granian(1, 10)
    sent = [(0, "/stream"), (1, "/breaks"), (2, "/slow")]
    threads.submit(granian.send, *sent[0])
    assert eventually(lambda: granian.begun)
    for one in sent[1:]:
        granian.send(*one)
    granian.go.release(3)
    assert eventually(lambda: granian.turns._free == 1)
    assert granian.begun == [0, 1, 2]
    assert granian.answers == {0: "ab", 2: "done"}


def test_many_at_once_are_all_answered(threads: ThreadPoolExecutor) -> None:
    granian = Granian(3, 20, 100)
    granian.go.release(2000)
    list(threads.map(granian.send, range(2000)))
    assert eventually(lambda: len(granian.answers) == 2000)
    assert set(granian.answers.values()) <= {"done", "busy"}
    assert eventually(lambda: granian.turns._free == 3 and not granian.turns._waiting)


class Input:
    """A body that is gone when the thread has gone back."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, size: int | None = None) -> bytes:
        data, self.data = self.data[:size], self.data[len(self.data[:size]) :]
        return data


@pytest.mark.parametrize("size", [5, LARGEST_BODY + 1])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_there_when_its_request_is_served(
    threads: ThreadPoolExecutor, size: int, chunked: bool
) -> None:
    granian = Granian(1, 20)
    seen = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        assert granian.go.acquire(timeout=30)
        seen.append(environ["wsgi.input"].read() if "wsgi.input" in environ else b"")
        return ["done"]

    def send(number: int) -> None:
        body = Input(bytes([number]) * size)
        environ = {"PATH_INFO": "/slow", "wsgi.input": body, "number": number}
        told = {"HTTP_TRANSFER_ENCODING": "chunked"} if chunked else {"CONTENT_LENGTH": str(size)}
        granian.turns(number, {**environ, **told})
        body.data = b""

    granian.turns._app = app
    sent = [threads.submit(send, number) for number in range(1, 5)]
    assert eventually(lambda: len(granian.turns._waiting) == 3)
    granian.go.release(4)
    for one in sent:
        one.result(30)
    assert eventually(lambda: len(granian.answers) == 4)
    assert {body[:1]: len(body) for body in seen} == {bytes([n]): size for n in range(1, 5)}
    assert set(granian.answers.values()) == {"done"}
    assert (granian.turns._free, granian.turns._bodies) == (1, 0)


def test_bodies_that_do_not_come_leave_threads_for_others(threads: ThreadPoolExecutor) -> None:
    granian = Granian(1, 20)
    threads.submit(granian.send, 0)
    assert eventually(lambda: granian.begun)
    never = threading.Event()

    class Silent:
        def read(self, size: int) -> bytes:
            assert never.wait(30)
            raise OSError

    def send(number: int) -> None:
        environ = {"PATH_INFO": "/slow", "wsgi.input": Silent(), "CONTENT_LENGTH": "5"}
        granian.turns(number, environ)

    stuck = [threads.submit(send, number) for number in range(1, READERS + 1)]
    assert eventually(lambda: granian.turns._bodies == 5 * READERS)
    threads.submit(send, 10).result(30)
    assert granian.answers == {10: "busy"}
    never.set()
    for one in stuck:
        assert isinstance(one.exception(30), OSError)
    granian.go.release()
    assert eventually(lambda: granian.turns._free == 1)
    assert granian.turns._bodies == 0


def test_a_large_body_that_waits_too_long_is_refused(threads: ThreadPoolExecutor) -> None:
    granian = Granian(1, 10, 200)
    threads.submit(granian.send, 0)
    assert eventually(lambda: granian.begun)
    environ = {"PATH_INFO": "/slow", "wsgi.input": Input(b""), "HTTP_TRANSFER_ENCODING": "chunked"}
    threads.submit(granian.turns, 1, environ).result(30)
    assert granian.answers == {1: "busy"}
    granian.go.release()
    assert eventually(lambda: granian.turns._free == 1)


def test_the_body_of_what_is_refused_is_read_so_that_its_connection_stays() -> None:
    granian = Granian(1, 0)
    granian.go.release(2)
    for status, size, left in (
        (200, 5, 5),
        (503, 5, 0),
        (503, LARGEST_TAKEN + 1, LARGEST_TAKEN + 1),
    ):
        granian.status = status
        body = Input(b"x" * size)
        environ = {"PATH_INFO": "/", "number": 1, "wsgi.input": body, "CONTENT_LENGTH": str(size)}
        granian.go.release()
        granian.turns(1, environ)
        assert len(body.data) == left


def test_a_body_that_takes_too_long_is_refused_and_one_that_does_not_may_still_wait(
    threads: ThreadPoolExecutor,
) -> None:
    granian = Granian(1, 10, 300)
    threads.submit(granian.send, 0)
    assert eventually(lambda: granian.begun)

    class Dripping:
        def __init__(self, pause: float) -> None:
            self.pause = pause

        def read(self, size: int) -> bytes:
            time.sleep(self.pause)
            return b"x"

    def send(number: int, pause: float) -> None:
        environ = {"PATH_INFO": "/slow", "wsgi.input": Dripping(pause), "CONTENT_LENGTH": "5"}
        granian.turns(number, {**environ, "number": number})

    threads.submit(send, 1, 0.2).result(30)
    assert granian.answers == {1: "busy"}
    threads.submit(send, 2, 0.04).result(30)
    granian.go.release(2)
    assert eventually(lambda: granian.answers.get(2) == "done")
    assert granian.waited < 0.15
    assert granian.turns._bodies == 0
