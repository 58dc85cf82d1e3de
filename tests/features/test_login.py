"""Users, login and who may do what, on each kind of database."""

from __future__ import annotations

import time
from typing import Any

import jwt
import nacl.pwhash
import pytest
from bson import Binary

from falcorest import auth
from tests.conftest import MakeApi
from tests.support import SECRET, Api, assert_problem

pytestmark = pytest.mark.live

WRITES = [
    ("POST", "/api/rockets", {"a": 1}),
    ("POST", "/api/rockets", [{"a": 1}]),
    ("PATCH", "/api/rockets/x", {"a": 1}),
    ("PUT", "/api/rockets/x", {"a": 1}),
    ("DELETE", "/api/rockets/x", ...),
    ("PATCH", "/api/rockets?a=1", {"$set": {"a": 1}}),
    ("DELETE", "/api/rockets?a=1", ...),
]


def users(api: Api) -> Any:
    return api.database["mangorest_users"]


def log_in(api: Api, username: str, password: str) -> Any:
    return api("POST", "/login", {"username": username, "password": password}, token=None)


def test_from_user_to_token_to_write(any_api: Api) -> None:
    identity = auth.create_user(users(any_api), "ada", "correct horse", ["editor"])
    result = log_in(any_api, "ada", "correct horse")
    assert result.status_code == 200
    token = result.json["access_token"]
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert claims["sub"] == "ada"
    assert claims["roles"] == ["editor"]
    assert claims["exp"] - claims["iat"] == 3600
    assert abs(claims["iat"] - time.time()) < 60
    assert any_api.get("/me", token=token).json == {"username": "ada"}
    assert any_api("POST", "/api/rockets", {"a": 1}, token=token).status_code == 201
    stored = users(any_api).find_one({"_id": identity})
    assert bytes(stored["password"]).startswith(b"$argon2id$v=19$m=19456,t=2,p=1$")
    assert stored["roles"] == ["editor"]


def test_a_wrong_password_and_a_wrong_user_are_the_same(any_api: Api) -> None:
    auth.create_user(users(any_api), "ada", "correct horse")
    auth.create_user(users(any_api), "bob", "bob's password")
    answers = {
        log_in(any_api, name, password).text
        for name, password in [
            ("ada", "wrong"),
            ("ad", "wrong"),
            ("aba", "bob's password"),
            ("ada", "bob's password"),
            ("zoe", "wrong"),
            ("", ""),
            ("ada", ""),
        ]
    }
    assert len(answers) == 1
    assert_problem(log_in(any_api, "ad", "correct horse"), 401, "auth.invalid")


def test_how_long_a_token_is_good_is_a_setting(make_api: MakeApi, mongo_uri: str) -> None:
    api = make_api(mongo_uri, token_seconds=60)
    auth.create_user(users(api), "ada", "pw")
    token = log_in(api, "ada", "pw").json["access_token"]
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == 60


def test_a_neighbour_s_password_opens_nothing(any_api: Api) -> None:
    auth.create_user(users(any_api), "ada", "correct horse")
    assert log_in(any_api, "ad", "correct horse").status_code == 401
    assert log_in(any_api, "ada", "correct horse").status_code == 200


def test_users_of_mangorest_log_in(any_api: Api) -> None:
    hashed = nacl.pwhash.argon2id.str(
        b"mango", opslimit=nacl.pwhash.argon2id.OPSLIMIT_MIN, memlimit=2**23
    )
    users(any_api).insert_one({"username": "mango", "password": Binary(hashed)})
    assert log_in(any_api, "mango", "mango").status_code == 200
    assert log_in(any_api, "mango", "melon").status_code == 401


def test_mangorest_reads_our_users(any_api: Api) -> None:
    auth.create_user(users(any_api), "ada", "correct horse")
    stored = users(any_api).find_one({"username": "ada"})
    assert nacl.pwhash.verify(bytes(stored["password"]), b"correct horse")


@pytest.mark.parametrize("password", [None, 5, "not a hash", b"$argon2id$nonsense", b""])
def test_a_user_without_a_proper_hash_cannot_log_in(any_api: Api, password: Any) -> None:
    users(any_api).insert_one({"username": "odd", "password": password})
    assert_problem(log_in(any_api, "odd", "x"), 401, "auth.invalid")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"username": "ada"},
        {"username": "ada", "password": 5},
        {"username": {"$ne": ""}, "password": "x"},
        {"username": "ada", "password": "x", "more": 1},
        {"username": "ada", "password": "x" * 1025},
    ],
)
def test_a_login_that_cannot_be_read(api: Api, body: Any) -> None:
    result = api("POST", "/login", body, token=None)
    assert result.status_code == 400
    assert result.json["code"].startswith("body.")


@pytest.mark.parametrize(("method", "url", "body"), WRITES)
def test_writing_needs_a_login(api: Api, method: str, url: str, body: Any) -> None:
    result = api(method, url, body, token=None)
    assert_problem(result, 401, "auth.required")
    assert result.headers["www-authenticate"].startswith("Bearer")
    assert api.rockets.count_documents({}) == 0


def test_reading_is_public(api: Api) -> None:
    assert api.get("/api/rockets", token=None).status_code == 200


def forged(**changes: Any) -> str:
    now = int(time.time())
    claims = {"sub": "ada", "iat": now, "exp": now + 60, "roles": []} | changes
    claims = {name: value for name, value in claims.items() if value is not ...}
    return jwt.encode(claims, SECRET, algorithm="HS256")


WRONG = {
    "another secret": jwt.encode({"sub": "ada"}, "x" * 32, algorithm="HS256"),
    "no signature": jwt.encode({"sub": "ada", "iat": 1, "exp": 2**40}, None, algorithm="none"),
    "another algorithm": jwt.encode(
        {"sub": "ada", "iat": 1, "exp": 2**40}, SECRET * 2, algorithm="HS512"
    ),
    "expired": forged(exp=int(time.time()) - 10),
    "without exp": forged(exp=...),
    "without iat": forged(iat=...),
    "without sub": forged(sub=...),
    "exp is no number": forged(exp="soon"),
    "roles is no list": forged(roles="admin"),
    "not a token": "abc",
    "two words": "abc def",
    "not ascii": "\xa0",
}


@pytest.mark.parametrize("token", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_token_is_refused_even_where_none_is_needed(api: Api, token: str) -> None:
    for result in (
        api.get("/api/rockets", token=token),
        api("POST", "/api/rockets", {"a": 1}, token=token),
        api.get("/me", token=token),
    ):
        assert_problem(result, 401, "auth.invalid")
        assert result.headers["www-authenticate"].startswith("Bearer")
    assert api.rockets.count_documents({}) == 0


def test_credentials_of_another_kind_are_refused(api: Api) -> None:
    for header in ("Basic YTpi", "Token x", "nonsense", "Bearer", "Bearer "):
        result = api.get("/api/rockets", token=None, headers={"Authorization": header})
        assert_problem(result, 401, "auth.invalid")


def test_an_empty_header_is_no_credentials(api: Api) -> None:
    assert api.get("/api/rockets", token=None, headers={"Authorization": ""}).status_code == 200


def test_the_scheme_is_written_in_any_case(api: Api) -> None:
    header = {"Authorization": f"bEARER {api.token}"}
    assert api("POST", "/api/rockets", {"a": 1}, token=None, headers=header).status_code == 201


def test_a_token_outlives_its_user_but_me_knows(any_api: Api) -> None:
    auth.create_user(users(any_api), "ada", "pw")
    token = log_in(any_api, "ada", "pw").json["access_token"]
    auth.delete_user(users(any_api), "ada")
    assert_problem(any_api.get("/me", token=token), 401, "auth.invalid")
    assert any_api("POST", "/api/rockets", {"a": 1}, token=token).status_code == 201


def test_collections_of_users_that_are_not_of_our_making(any_api: Api) -> None:
    users(any_api).create_index("username")
    users(any_api).insert_many([{"name": "no user"}, {"name": "neither"}])
    auth.create_user(users(any_api), "ada", "pw")
    assert log_in(any_api, "ada", "pw").status_code == 200
    assert log_in(any_api, "zoe", "pw").status_code == 401


def test_me_needs_a_token(api: Api) -> None:
    assert_problem(api.get("/me", token=None), 401, "auth.required")


def test_public_methods(make_api: MakeApi, mongo_uri: str) -> None:
    closed = make_api(mongo_uri, public_methods=[])
    assert_problem(closed.get("/api/rockets", token=None), 401, "auth.required")
    assert_problem(closed.get("/api/rockets/x", token=None), 401, "auth.required")
    assert closed("HEAD", "/api/rockets", token=None).status_code == 401
    assert closed.get("/api/rockets").status_code == 200
    posting = make_api(mongo_uri, public_methods=["GET", "POST"])
    assert posting("POST", "/api/rockets", {"_id": "x"}, token=None).status_code == 201
    assert posting("DELETE", "/api/rockets/x", token=None).status_code == 401


def test_registration(make_api: MakeApi, mongo_uri: str) -> None:
    body = {"username": "ada", "password": "pw"}
    closed = make_api(mongo_uri)
    assert_problem(closed("POST", "/register", body, token=None), 404, "route.not_found")
    for uri in (mongo_uri, "mongomock://"):
        api = make_api(uri, registration="open")
        result = api("POST", "/register", body, token=None)
        assert result.status_code == 201
        assert result.json["username"] == "ada"
        assert set(result.json["_id"]) == {"$oid"}
        assert log_in(api, "ada", "pw").status_code == 200
        again = api("POST", "/register", body, token=None)
        assert_problem(again, 409, "document.duplicate", naming="username")
        empty = api("POST", "/register", {"username": "", "password": "pw"}, token=None)
        assert_problem(empty, 400, "body.invalid_value", naming="username")


def test_the_users_are_never_served(make_api: MakeApi, mongo_uri: str) -> None:
    first = make_api(mongo_uri)
    auth.create_user(users(first), "ada", "pw")
    first.database.create_collection("falcorest_idempotency")
    first.database.create_collection("plain")
    every = make_api(mongo_uri, "*", database=first.database.name)
    for name in ("mangorest_users", "falcorest_idempotency", "system.views"):
        assert_problem(every.get(f"/api/{name}"), 404, "route.not_found")
    assert every.get("/api/plain").status_code == 200
    assert every.get("/api/rocket_engines").status_code == 200
