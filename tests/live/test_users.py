"""Users and tokens against a running server: who gets in, who doesn't, and what the time tells."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import nacl.pwhash
import pytest
from bson import Binary
from pymongo import MongoClient
from pymongo.database import Database

from tests.live.processes import Running, create_user, run, serving
from tests.support import SECRET, Answer, clean_environment

pytestmark = pytest.mark.live

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def database(mongo_uri: str) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient(mongo_uri) as client:
        database = client[f"users_{uuid.uuid4().hex[:8]}"]
        database.create_collection("notes")
        yield database
        client.drop_database(database.name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("users")


@pytest.fixture(scope="module")
def environment(mongo_uri: str, database: Database[dict[str, Any]]) -> dict[str, str]:
    return clean_environment(
        MONGODB_URI=mongo_uri,
        DATABASE=database.name,
        COLLECTIONS="notes:notes",
        JWT_SECRET_KEY=SECRET,
    )


@pytest.fixture(scope="module")
def server(folder: Path, environment: dict[str, str]) -> Iterator[Running]:
    with serving(folder, environment=environment) as server:
        create_user(folder, "ada", PASSWORD, "admin", "editor", environment=environment)
        yield server


def login(server: Running, username: str, password: str = PASSWORD) -> Answer:
    return server.request("POST", "/login", {"username": username, "password": password})


def test_create_login_write_me(server: Running) -> None:
    answer = login(server, "ada")
    assert answer.status == 200
    assert list(answer.json) == ["access_token"]
    token = answer.json["access_token"]
    assert server.request("POST", "/api/notes", {"_id": "a"}).status == 401
    assert server.request("POST", "/api/notes", {"_id": "a"}, token=token).status == 201
    assert server.get("/api/notes/a").json == {"_id": "a"}
    me = server.get("/me", token=token)
    assert (me.status, me.json) == (200, {"username": "ada"})


def test_a_token_says_who_and_what_and_until_when(server: Running) -> None:
    token = login(server, "ada").json["access_token"]
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert claims["sub"] == "ada"
    assert claims["roles"] == ["admin", "editor"]
    assert abs(claims["iat"] - time.time()) < 300
    assert claims["exp"] - claims["iat"] == 3600


NOW = int(time.time())
GOOD = {"sub": "ada", "iat": NOW, "exp": NOW + 3600, "roles": ["admin"]}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name not in names}


def none_at_all(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, algorithm="none")


#: Tokens that open nothing.
BAD_TOKENS = {
    "expired": jwt.encode({**GOOD, "iat": NOW - 9, "exp": NOW - 5}, SECRET),
    "signed with another key": jwt.encode(GOOD, SECRET[::-1]),
    "signed with nothing": none_at_all(GOOD),
    "its signature cut off": jwt.encode(GOOD, SECRET).rpartition(".")[0] + ".",
    "HS512": jwt.encode(GOOD, SECRET * 2, algorithm="HS512"),
    "HS384 with our key": jwt.encode(GOOD, SECRET + "padding", algorithm="HS384"),
    "without exp": jwt.encode(without("exp"), SECRET),
    "without sub": jwt.encode(without("sub"), SECRET),
    "sub is no text": jwt.encode({**GOOD, "sub": 5}, SECRET),
    "exp is no number": jwt.encode({**GOOD, "exp": "tomorrow"}, SECRET),
    "not valid yet": jwt.encode({**GOOD, "nbf": NOW + 3600}, SECRET),
    "no token": "abc",
    "not ASCII": "a.\xe4.b",
    "empty": "",
}


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_a_bad_token_opens_nothing(token: str, server: Running) -> None:
    answers = [
        server.request("POST", "/api/notes", {"_id": "bad"}, token=token),
        server.get("/me", token=token),
    ]
    for answer in answers:
        assert answer.status == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert server.get("/api/notes/bad").status == 404


def test_a_user_who_is_gone(server: Running, folder: Path, environment: dict[str, str]) -> None:
    create_user(folder, "bob", PASSWORD, environment=environment)
    token = login(server, "bob").json["access_token"]
    assert server.get("/me", token=token).status == 200
    assert run(folder, "deleteuser", "bob", environment=environment).code == 0
    assert server.get("/me", token=token).status == 401
    assert login(server, "bob").status == 401


@pytest.fixture(scope="module")
def old_user(database: Database[dict[str, Any]]) -> str:
    """A user as MangoREST makes one."""
    hashed = nacl.pwhash.argon2id.str(PASSWORD.encode())
    database.mangorest_users.insert_one({"username": "mango", "password": Binary(hashed)})
    return "mango"


def test_users_of_mangorest_log_in(server: Running, old_user: str) -> None:
    token = login(server, old_user).json["access_token"]
    assert server.get("/me", token=token).json == {"username": old_user}
    assert jwt.decode(token, SECRET, algorithms=["HS256"])["roles"] == []
    assert login(server, old_user, "wrong").status == 401


def test_wrong_user_and_wrong_password_get_the_same_answer(server: Running) -> None:
    wrong = [login(server, "ada", "wrong"), login(server, "nobody", "wrong")]
    assert [answer.status for answer in wrong] == [401, 401]
    assert wrong[0].body == wrong[1].body
    ignored = ("date", "x-request-id")
    headers = [{k: v for k, v in answer.headers.items() if k not in ignored} for answer in wrong]
    assert headers[0] == headers[1]


def median_times(server: Running, *usernames: str, times: int = 7) -> list[float]:
    """How long a wrong password takes for each name, measured in turns."""
    taken: dict[str, list[float]] = {name: [] for name in usernames}
    for _ in range(times):
        for name in usernames:
            started = time.perf_counter()
            assert login(server, name, "wrong").status == 401
            taken[name].append(time.perf_counter() - started)
    return [statistics.median(taken[name]) for name in usernames]


def test_an_unknown_user_takes_as_long_as_a_wrong_password(server: Running) -> None:
    unknown, known = median_times(server, "abc", "ada")
    assert 0.5 < unknown / known < 2, (unknown, known)


def test_logins_are_limited_by_the_address_that_a_proxy_tells(
    folder: Path, environment: dict[str, str]
) -> None:
    changes = {"FALCOREST_LOGIN_FAILURES": "1", "FALCOREST_TRUSTED_PROXIES": "127.0.0.1"}

    def failing(username: str, *addresses: str) -> Answer:
        body = {"username": username, "password": "wrong"}
        forwarded = {"X-Forwarded-For": ", ".join(addresses)}
        return server.request("POST", "/login", body, headers=forwarded)

    with serving(folder, environment={**environment, **changes}) as server:
        for number in range(3):
            assert failing(f"user {number}", f"192.0.2.{number}", "198.51.100.1").status == 401
        refused = failing("another", "198.51.100.1")
        assert (refused.status, refused.json["code"]) == (429, "auth.too_many_attempts")
        assert 0 < int(refused.headers["retry-after"]) <= 300
        assert failing("another", "198.51.100.2").status == 401


@pytest.fixture(scope="module")
def old_server(
    folder: Path, environment: dict[str, str], database: Database[dict[str, Any]]
) -> Iterator[Running]:
    """A server of which all users are MangoREST's; their hashes are dearer than ours."""
    for name in ("mango", "papaya"):
        hashed = nacl.pwhash.argon2id.str(PASSWORD.encode())
        database.old_users.insert_one({"username": name, "password": Binary(hashed)})
    changes = {"MANGO_USER_COLLECTION": "old_users", "FALCOREST_LOGIN_FAILURES": "100"}
    with serving(folder, environment={**environment, **changes}) as server:
        yield server


@pytest.mark.long
@pytest.mark.parametrize("unknown", ["aaa", "nobody", "zzz"])
def test_so_it_does_where_hashes_are_dear(unknown: str, old_server: Running) -> None:
    """Wherever the name would stand among those that there are."""
    unknown_time, known_time = median_times(old_server, unknown, "mango")
    assert 0.5 < unknown_time / known_time < 2, (unknown_time, known_time)
