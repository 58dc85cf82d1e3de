"""Passwords: which are hashed, and how many at once."""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mongomock
import pytest
from argon2.exceptions import VerifyMismatchError
from falcon import testing

from falcorest import auth
from falcorest.auth import Attempts, BasicAuthentication, TokenIssuer, passwords
from falcorest.auth.passwords import DECOY, hash_password, verify_password
from falcorest.auth.views import LoginView, RegisterView
from falcorest.errors import BodyError, Unauthorized, Unavailable
from tests.support import SECRET

LONGEST = "ä" * 512
TOO_LONG = LONGEST + "x"


class Hasher:
    """In the place of argon2, which takes its time: notes what it does, and how much at once."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.done = self.running = self.most = 0
        self._lock = threading.Lock()

    def hash(self, password: str) -> str:
        self._work()
        return f"hash of {password!a}"

    def verify(self, stored: bytes, password: bytes) -> bool:
        self._work()
        if stored != f"hash of {password.decode()!a}".encode():
            raise VerifyMismatchError
        return True

    def _work(self) -> None:
        with self._lock:
            self.done += 1
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(self.seconds)
        with self._lock:
            self.running -= 1


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> Hasher:
    hasher = Hasher()
    monkeypatch.setattr(passwords, "_HASHER", hasher)
    return hasher


@pytest.fixture
def users() -> Iterator[Any]:
    with mongomock.MongoClient() as client:
        yield client["test"]["users"]


def test_hashes_are_made_at_the_floor_of_owasp() -> None:
    hashed = hash_password("correct horse")
    assert hashed.startswith(b"$argon2id$v=19$m=19456,t=2,p=1$")
    assert verify_password(hashed, "correct horse") is True
    assert verify_password(hashed, "correct horses") is False


def test_the_decoy_is_as_dear_as_a_hash_of_ours() -> None:
    assert passwords._HASHER.check_needs_rehash(DECOY.decode()) is False
    assert verify_password(DECOY, "nobody has this password") is True


# ------------------------------------------------------------------------------ at the longest


def test_a_password_of_1024_bytes_is_the_longest(hasher: Hasher) -> None:
    assert verify_password(hash_password(LONGEST), LONGEST) is True
    assert hasher.done == 2


@pytest.mark.parametrize("password", [TOO_LONG, "x" * 1025, "x" * 1_000_000, "\ud800" * 400])
def test_a_longer_one_is_refused_before_it_is_hashed(
    users: Any, hasher: Hasher, password: str
) -> None:
    auth.create_user(users, "ada", "right")
    hasher.done = 0
    for call in (
        lambda: auth.create_user(users, "bob", password),
        lambda: auth.change_password(users, "ada", password),
    ):
        with pytest.raises(BodyError) as caught:
            call()
        assert caught.value.code == "body.invalid_value"
    assert verify_password(b"hash", password) is False
    assert auth.check_password(users, "ada", password) is None
    assert auth.password_check(users)("ada", password) is None
    assert hasher.done == 0
    assert auth.check_password(users, "ada", "right")


def test_for_basic_it_is_simply_wrong(users: Any, hasher: Hasher) -> None:
    encoded = base64.b64encode(f"ada:{TOO_LONG}".encode()).decode()
    req = testing.create_req(headers={"Authorization": f"Basic {encoded}"})
    with pytest.raises(Unauthorized) as caught:
        BasicAuthentication(auth.password_check(users)).authorized(req)
    assert caught.value.code == "auth.invalid"
    assert hasher.done == 0


@pytest.mark.parametrize("password", [None, 5, b"x", [], "", "\ud800"])
def test_what_is_no_password(hasher: Hasher, password: Any) -> None:
    with pytest.raises(BodyError):
        hash_password(password)
    assert hasher.done == 0


@pytest.mark.parametrize("stored", [None, 5, "text", b"", b"$argon2id$", b"\xff", [1], {}])
def test_what_is_no_hash_has_no_password(stored: Any) -> None:
    assert verify_password(stored, "x") is False


# --------------------------------------------------------------------------------- how many


def test_there_are_as_many_places_as_cores() -> None:
    expected = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert passwords._cores() == passwords._PLACES._initial_value == expected


def test_no_more_are_hashed_at_once_than_there_are_places(
    hasher: Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_PLACES", threading.BoundedSemaphore(2))
    hasher.seconds = 0.005
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(hash_password, "abcdefghijkl"))
        list(pool.map(lambda one: verify_password(b"hash", one), "abcdefghijkl"))
    assert hasher.done == 24
    assert hasher.most == 2


def ask(view: Any, username: str, password: str) -> None:
    body = f'{{"username": "{username}", "password": "{password}"}}'
    req = testing.create_req(method="POST", body=body)
    view.on_post(req, testing.create_req())


def ask_basic(users: Any) -> None:
    encoded = base64.b64encode(b"ada:x").decode()
    req = testing.create_req(headers={"Authorization": f"Basic {encoded}"})
    BasicAuthentication(auth.password_check(users)).authorized(req)


EVERYWHERE: dict[str, Callable[[Any], Any]] = {
    "create_user": lambda users: auth.create_user(users, "bob", "x"),
    "change_password": lambda users: auth.change_password(users, "ada", "x"),
    "check_password": lambda users: auth.check_password(users, "ada", "x"),
    "an unknown user": lambda users: auth.check_password(users, "zoe", "x"),
    "Basic": ask_basic,
    "register": lambda users: ask(RegisterView(users, 1000), "bob", "x"),
    "login": lambda users: ask(LoginView(users, TokenIssuer(SECRET), Attempts(), 1000), "ada", "x"),
}


@pytest.mark.parametrize("ask", EVERYWHERE.values(), ids=EVERYWHERE)
def test_who_finds_no_place_is_told_to_come_again(
    ask: Callable[[Any], Any], users: Any, hasher: Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth.create_user(users, "ada", "right")
    hasher.done = 0
    monkeypatch.setattr(passwords, "_PLACES", threading.BoundedSemaphore(1))
    monkeypatch.setattr(passwords, "_PATIENCE_SECONDS", 0.01)
    with passwords._place(), pytest.raises(Unavailable) as caught:
        ask(users)
    assert caught.value.code == "auth.busy"
    assert caught.value.headers == {"Retry-After": "1"}
    assert hasher.done == 0
    # NOTE: the place is free again, after a failure too.
    assert verify_password(hash_password("x"), "x") is True
    with pytest.raises(BodyError):
        hash_password("")
    assert verify_password(None, "x") is False
    assert verify_password(hash_password("x"), "x") is True


def test_a_place_is_waited_for(hasher: Hasher, monkeypatch: pytest.MonkeyPatch) -> None:
    assert passwords._PATIENCE_SECONDS == 0.5
    places = threading.BoundedSemaphore(1)
    monkeypatch.setattr(passwords, "_PLACES", places)
    places.acquire()
    threading.Timer(0.02, places.release).start()
    assert hash_password("x") == b"hash of 'x'"


def test_being_busy_is_no_failed_login(
    users: Any, hasher: Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_PLACES", threading.BoundedSemaphore(1))
    monkeypatch.setattr(passwords, "_PATIENCE_SECONDS", 0)
    view = LoginView(users, TokenIssuer(SECRET), Attempts(1), 1000)
    with passwords._place():
        for _ in range(3):
            with pytest.raises(Unavailable):
                ask(view, "ada", "x")
    with pytest.raises(Unauthorized):
        ask(view, "ada", "x")
