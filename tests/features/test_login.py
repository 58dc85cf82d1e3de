"""Users, login and who may do what, on each kind of database."""

from __future__ import annotations

import functools
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import jwt
import nacl.pwhash
import pytest
from bson import Binary

from falcorest import auth
from falcorest.auth import passwords
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
    "sub is no text": forged(sub=5),
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


# ------------------------------------------------------------------------ logins that fail often


@pytest.fixture
def in_memory(make_api: MakeApi) -> Callable[..., Api]:
    """Make APIs on databases in memory."""
    return functools.partial(make_api, "mongomock://")


def test_an_account_is_limited_whether_it_is_there_or_not(in_memory: Callable[..., Api]) -> None:
    api = in_memory(login_failures=2)
    auth.create_user(users(api), "ada", "right")
    answers = []
    for name in ("ada", "zoe"):
        for _ in range(2):
            assert_problem(log_in(api, name, "wrong"), 401, "auth.invalid")
        # NOTE: the right password is refused, too: who guesses shall not see that it is.
        for password in ("wrong", "right"):
            refused = log_in(api, name, password)
            assert_problem(refused, 429, "auth.too_many_attempts")
            assert 290 < int(refused.headers["retry-after"]) <= 300
            answers.append(refused.text)
    assert len(set(answers)) == 1
    auth.create_user(users(api), "bob", "right")
    assert log_in(api, "bob", "right").status_code == 200


def test_an_address_is_limited(in_memory: Callable[..., Api]) -> None:
    api = in_memory(login_failures=1, trusted_proxies=["127.0.0.1"])
    auth.create_user(users(api), "ada", "right")

    def from_address(address: str, name: str, password: str) -> int:
        body = {"username": name, "password": password}
        forwarded = {"X-Forwarded-For": f"made up, {address}"}
        return int(api("POST", "/login", body, token=None, headers=forwarded).status_code)

    for number in range(3):
        assert from_address("198.51.100.1", f"user {number}", "wrong") == 401
    assert from_address("198.51.100.1", "ada", "right") == 429
    assert from_address("198.51.100.2", "ada", "right") == 200
    assert from_address("198.51.100.1", "ada", "right") == 429


def test_nothing_is_hashed_for_who_has_to_wait(
    in_memory: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = in_memory(login_failures=1)
    log_in(api, "ada", "wrong")
    monkeypatch.setattr("falcorest.auth.passwords._HASHER", None)
    assert log_in(api, "ada", "wrong").status_code == 429


def test_two_applications_count_for_themselves(in_memory: Callable[..., Api]) -> None:
    one, other = in_memory(login_failures=1), in_memory(login_failures=1)
    log_in(one, "ada", "wrong")
    assert log_in(one, "ada", "wrong").status_code == 429
    assert log_in(other, "ada", "wrong").status_code == 401


def test_a_login_that_can_not_be_read_is_none_that_failed(in_memory: Callable[..., Api]) -> None:
    api = in_memory(login_failures=1)
    for password in ("x" * 1025, None):
        for _ in range(3):
            assert log_in(api, "ada", password).status_code == 400


def test_too_many_at_once(in_memory: Callable[..., Api], monkeypatch: pytest.MonkeyPatch) -> None:
    api = in_memory(registration="open", authentication=["bearer", "basic"])
    monkeypatch.setattr("falcorest.auth.passwords._PATIENCE_SECONDS", 0)
    monkeypatch.setattr("falcorest.auth.passwords._PLACES", threading.BoundedSemaphore(1))
    body = {"username": "ada", "password": "pw"}
    with passwords._place():
        for busy in (
            log_in(api, "ada", "pw"),
            api("POST", "/register", body, token=None),
            api.get("/api/rockets", token=None, headers=basic("ada", "pw")),
        ):
            assert_problem(busy, 503, "auth.busy")
            assert busy.headers["retry-after"] == "1"
    assert log_in(api, "ada", "pw").status_code == 401


# ------------------------------------------------------------------------ which methods there are


def basic(username: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}"}


def test_only_bearer_unless_more_is_configured(in_memory: Callable[..., Api]) -> None:
    api = in_memory(public_methods=[])
    auth.create_user(users(api), "ada", "pw")
    key = auth.create_key(api.database["falcorest_keys"], "robot")
    refused = api.get("/api/rockets", token=None, headers=basic("ada", "pw"))
    assert_problem(refused, 401, "auth.invalid")
    assert refused.headers["www-authenticate"] == 'Bearer realm="falcorest"'
    refused = api.get("/api/rockets", token=None, headers={"X-API-Key": key})
    assert_problem(refused, 401, "auth.required")


def test_all_three_methods(in_memory: Callable[..., Api]) -> None:
    api = in_memory(public_methods=[], authentication=["api-key", "basic", "bearer"])
    auth.create_user(users(api), "ada", "pw", ["editor"])
    key = auth.create_key(api.database["falcorest_keys"], "robot", ["editor"])
    token = log_in(api, "ada", "pw").json["access_token"]
    for headers, name in (
        ({"X-API-Key": key}, "robot"),
        (basic("ada", "pw"), "ada"),
        ({"Authorization": f"Bearer {token}"}, "ada"),
    ):
        assert api.get("/me", token=None, headers=headers).json == {"username": name}
        assert api.get("/api/rockets", token=None, headers=headers).status_code == 200
    refused = api.get("/me", token=None)
    assert_problem(refused, 401, "auth.required")
    assert refused.headers["www-authenticate"] == (
        'ApiKey realm="falcorest", header="X-API-Key", '
        'Basic realm="falcorest", charset="UTF-8", Bearer realm="falcorest"'
    )
    # NOTE: wrong ones fall through to nothing that follows.
    right = {"Authorization": f"Bearer {token}"}
    for headers in ({"X-API-Key": "wrong"}, {"X-API-Key": "wrong", **right}, basic("ada", "x")):
        for url in ("/me", "/api/rockets"):
            assert_problem(api.get(url, token=None, headers=headers), 401, "auth.invalid")


def test_without_bearer_there_are_no_tokens(in_memory: Callable[..., Api]) -> None:
    api = in_memory(authentication=["basic"])
    auth.create_user(users(api), "ada", "pw")
    assert_problem(log_in(api, "ada", "pw"), 404, "route.not_found")
    assert_problem(api("POST", "/api/rockets", {"a": 1}), 401, "auth.invalid")
    written = api("POST", "/api/rockets", {"a": 1}, token=None, headers=basic("ada", "pw"))
    assert written.status_code == 201
    too_long = api.get("/api/rockets", token=None, headers=basic("ada", "x" * 1025))
    assert_problem(too_long, 401, "auth.invalid")


def test_basic_and_login_count_together(in_memory: Callable[..., Api]) -> None:
    api = in_memory(authentication=["bearer", "basic"], login_failures=2)
    auth.create_user(users(api), "ada", "pw")
    log_in(api, "ada", "wrong")
    assert api.get("/me", token=None, headers=basic("ada", "wrong")).status_code == 401
    for refused in (
        log_in(api, "ada", "pw"),
        api.get("/me", token=None, headers=basic("ada", "pw")),
    ):
        assert_problem(refused, 429, "auth.too_many_attempts")


def test_a_key_that_is_deleted_opens_nothing(in_memory: Callable[..., Api]) -> None:
    api = in_memory(authentication=["api-key"])
    keys = api.database["falcorest_keys"]
    sent = {"X-API-Key": auth.create_key(keys, "robot")}
    assert api("POST", "/api/rockets", {"a": 1}, token=None, headers=sent).status_code == 201
    auth.delete_key(keys, auth.list_keys(keys)[0]["_id"])
    refused = api("POST", "/api/rockets", {"a": 1}, token=None, headers=sent)
    assert_problem(refused, 401, "auth.invalid")
    assert_problem(api.get("/api/falcorest_keys", token=None), 404, "route.not_found")


# --------------------------------------------------------------------------- settings of tokens


def test_keys_of_tokens_are_changed_without_a_new_login(in_memory: Callable[..., Api]) -> None:
    before = in_memory()
    auth.create_user(users(before), "ada", "pw")
    token = log_in(before, "ada", "pw").json["access_token"]
    other = "x" * 32
    between = in_memory(jwt_secret_key=other, jwt_old_secret_key=SECRET)
    after = in_memory(jwt_secret_key=other)
    for api, status in ((between, 201), (after, 401)):
        assert api("POST", "/api/rockets", {"a": 1}, token=token).status_code == status
    auth.create_user(users(between), "ada", "pw")
    token = log_in(between, "ada", "pw").json["access_token"]
    assert after("POST", "/api/rockets", {"a": 1}, token=token).status_code == 201
    assert before("POST", "/api/rockets", {"a": 1}, token=token).status_code == 401


def test_audience_and_issuer(in_memory: Callable[..., Api]) -> None:
    api = in_memory(jwt_audience="notes", jwt_issuer="office")
    auth.create_user(users(api), "ada", "pw")
    token = log_in(api, "ada", "pw").json["access_token"]
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="notes")
    assert claims["iss"] == "office"
    assert api("POST", "/api/rockets", {"a": 1}, token=token).status_code == 201
    for wrong in (forged(), forged(aud="notes"), forged(aud="mail", iss="office")):
        assert_problem(api("POST", "/api/rockets", {"a": 1}, token=wrong), 401, "auth.invalid")
