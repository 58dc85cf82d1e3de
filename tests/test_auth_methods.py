"""The methods that tell who is calling, each against headers of every kind."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, ClassVar

import falcon
import jwt
import mongomock
import pytest
from falcon import testing
from falcon_auth.backends import (
    AuthBackend,
    BasicAuthBackend,
    JWTAuthBackend,
    MultiAuthBackend,
    NoneAuthBackend,
    TokenAuthBackend,
)
from hypothesis import example, given
from hypothesis import strategies as st

import falcorest
from falcorest import FalcoRest, Resource, ResourceView, Schema, auth, fields
from falcorest.auth import (
    ApiKeyAuthentication,
    AuthenticationBase,
    BackendAuthentication,
    BasicAuthentication,
    JWTAuthentication,
    TokenAuthentication,
    TokenIssuer,
    as_methods,
    authenticate,
)
from falcorest.errors import ConfigurationError, Problem, Unauthorized
from tests.support import SECRET

ISSUER = TokenIssuer(SECRET)
PASSWORDS = {"ada": "correct horse", "colon": "a:b:", "ünï": "pässwörd", "": "", "empty": ""}
ARGUMENTS = {"user": 1, "iat": 1, "nbf": 1}


def request(**headers: str) -> falcon.Request:
    """Make a request; ``_`` in a header's name stands for ``-``.

    The values are as a WSGI server would pass them on: one character for one byte.
    """
    environ = testing.create_environ()
    environ.update({f"HTTP_{name.upper()}": value for name, value in headers.items()})
    return falcon.Request(environ)


def asked(method: AuthenticationBase, header: str | None) -> Any:
    """Ask a method about an ``Authorization`` header."""
    return method.authorized(request() if header is None else request(authorization=header))


def refusal(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Unauthorized:
    with pytest.raises(Unauthorized) as caught:
        function(*args, **kwargs)
    return caught.value


def b64(text: str | bytes) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return base64.b64encode(raw).decode()


def check_login(username: str, password: str) -> str | None:
    known = PASSWORDS.get(username)
    if known is not None and hmac.compare_digest(known.encode(), password.encode()):
        return username or "nameless"
    return None


def check_secret(secret: str) -> bool:
    return hmac.compare_digest(secret, "s3cret")


def foreign_token(**claims: Any) -> str:
    return jwt.encode({**ARGUMENTS, "exp": 2**40, **claims}, SECRET, algorithm="HS256")


BASIC = BasicAuthentication(check_login)
TOKEN = TokenAuthentication(check_secret)
BEARER = JWTAuthentication(ISSUER)
BACKENDS: dict[str, AuthBackend] = {
    "basic": BasicAuthBackend(check_login),
    "token": TokenAuthBackend(lambda token: token == "s3cret"),
    "jwt": JWTAuthBackend(lambda claims: claims.get("user"), SECRET),
    "none": NoneAuthBackend(lambda: "guest"),
}
BACKENDS["multi"] = MultiAuthBackend(BACKENDS["jwt"], BACKENDS["token"], BACKENDS["none"])


# ------------------------------------------------------------------------------- who is known


@pytest.mark.parametrize(
    ("header", "user"),
    [
        (f"Basic {b64('ada:correct horse')}", "ada"),
        (f"bAsIc {b64('ada:correct horse')}", "ada"),
        (f"  Basic   {b64('ada:correct horse')}\t", "ada"),
        (f"Basic {b64('colon:a:b:')}", "colon"),
        (f"Basic {b64('ünï:pässwörd')}", "ünï"),
        (f"Basic {b64('empty:')}", "empty"),
        (f"Basic {b64(':')}", "nameless"),
    ],
)
def test_basic_knows(header: str, user: str) -> None:
    assert asked(BASIC, header) == user


@pytest.mark.parametrize("header", [None, "", " ", "\t", "Token x", "Basicx", "\xa0", "Bearer x"])
@pytest.mark.parametrize("method", [BASIC, BackendAuthentication(BACKENDS["basic"])])
def test_what_is_not_basic_is_left_to_others(method: Any, header: str | None) -> None:
    assert asked(method, header) is None


WRONG_BASIC = {
    "no credentials": "Basic",
    "another password": f"Basic {b64('ada:wrong')}",
    "another user": f"Basic {b64('bob:correct horse')}",
    "a longer password": f"Basic {b64('ada:correct horse ')}",
    "no colon": f"Basic {b64('ada')}",
    "empty": f"Basic {b64('')}",
    "no base64": "Basic ada:correct",
    "not padded": "Basic YTp",
    "padded in the middle": "Basic YQ==OmI=",
    "base64 for URLs": f"Basic {base64.urlsafe_b64encode(b'a:???>>>').decode()}",
    "latin-1": f"Basic {b64('ünï:pässwörd'.encode('latin-1'))}",
    "utf-16": f"Basic {b64('ada:correct horse'.encode('utf-16'))}",
    "surrogate": f"Basic {b64(b'ada:' + bytes([0xED, 0xA0, 0x80]))}",
    "NUL": f"Basic {b64('ada:correct horse' + chr(0))}",
    "line break": f"Basic {b64('ada' + chr(10) + ':x')}",
    "not ascii": "Basic \xa0",
    "more": f"Basic {b64('ada:correct horse')} more",
    "two in one": f"Basic {b64('ada:correct horse')}, Basic {b64('ada:correct horse')}",
    "long": "Basic " + "A" * 100_000,
}


@pytest.mark.parametrize("header", WRONG_BASIC.values(), ids=WRONG_BASIC.keys())
def test_basic_credentials_that_are_wrong(header: str) -> None:
    error = refusal(asked, BASIC, header)
    assert error.code == "auth.invalid"
    assert error.headers == {"WWW-Authenticate": 'Basic realm="falcorest", charset="UTF-8"'}
    assert "horse" not in error.detail


def test_a_check_sees_only_what_can_be_a_login() -> None:
    seen: list[Any] = []
    method = BasicAuthentication(lambda *login: seen.append(login))
    for header in WRONG_BASIC.values():
        refusal(asked, method, header)
    assert set(seen) == {
        ("ada", "wrong"),
        ("bob", "correct horse"),
        ("ada", "correct horse "),
    }


@pytest.mark.parametrize(
    ("realm", "challenge"),
    [
        ("the shop", 'Basic realm="the shop", charset="UTF-8"'),
        ('"a\\b"', 'Basic realm="\\"a\\\\b\\"", charset="UTF-8"'),
    ],
)
def test_a_realm_is_quoted(realm: str, challenge: str) -> None:
    assert BasicAuthentication(check_login, realm).challenge == challenge


@pytest.mark.parametrize(
    ("scheme", "header"),
    [
        ("Token", "Token s3cret"),
        ("Token", "tokeN  s3cret "),
        ("Bearer", "bearer s3cret"),
        ("X-Own", "x-own s3cret"),
    ],
)
def test_a_token_is_known(scheme: str, header: str) -> None:
    assert asked(TokenAuthentication(check_secret, scheme), header) is True


@pytest.mark.parametrize("header", [None, "", "Bearer s3cret", "Basic eDp5", "Tokens3cret", "\xa0"])
@pytest.mark.parametrize("method", [TOKEN, BackendAuthentication(BACKENDS["token"])])
def test_what_is_no_token_is_left_to_others(method: Any, header: str | None) -> None:
    assert asked(method, header) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        "s3cre",
        "s3crets",
        "\xa0",
        "s3cret s3cret",
        "s3cret, Token s3cret",
        "\xe4",
        "\x00",
        "a\tb",
    ],
)
def test_a_token_that_is_wrong(token: str) -> None:
    error = refusal(asked, TOKEN, f"Token {token}")
    assert error.code == "auth.invalid"
    assert error.headers == {"WWW-Authenticate": 'Token realm="falcorest"'}


def test_an_api_key_is_known_by_its_header() -> None:
    method = ApiKeyAuthentication(check_secret)
    assert method.authorized(request(x_api_key=" s3cret ")) is True
    assert method.authorized(request()) is None
    assert method.authorized(request(x_api_key=" ")) is None
    assert method.authorized(request(authorization="ApiKey s3cret")) is None
    own = ApiKeyAuthentication(lambda key: key == "two words", header="Key")
    assert own.authorized(request(key="two words")) is True
    assert own.authorized(request(x_api_key="two words")) is None
    assert own.challenge == 'ApiKey realm="falcorest", header="Key"'


@pytest.mark.parametrize(
    "key", ["wrong", "\xa0", "s3cret,s3cret", "s3cr\xe9t", "\x00", "x" * 10_000]
)
def test_an_api_key_that_is_wrong(key: str) -> None:
    method = ApiKeyAuthentication(check_secret)
    error = refusal(method.authorized, request(x_api_key=key))
    assert error.code == "auth.invalid"
    assert error.headers == {"WWW-Authenticate": 'ApiKey realm="falcorest", header="X-API-Key"'}
    assert key not in error.detail


def test_an_access_token() -> None:
    user = asked(BEARER, f"bearer  {ISSUER.issue('ada', ['editor'])}")
    assert user == auth.User("ada", ("editor",))
    for header in (None, "", "Basic eDp5", "Token x", "BearerX y", "\xa0"):
        assert asked(BEARER, header) is None
    nested = base64.urlsafe_b64encode(b"[" * 3000).decode().rstrip("=")
    for token in ("", "x", "\xa0", "a.b.c", "é.é.é", f"{nested}.e30.AA", "\ud800", "x" * 100_000):
        error = refusal(asked, BEARER, f"Bearer {token}")
        assert error.code == "auth.invalid"
        assert 'error="invalid_token"' in error.headers["WWW-Authenticate"]


def test_json_that_is_too_deep_for_the_decoder_is_no_token(monkeypatch: Any) -> None:
    def too_deep(*args: Any, **kwargs: Any) -> None:
        raise RecursionError

    monkeypatch.setattr(jwt, "decode", too_deep)
    assert ISSUER.read("x") is None


# --------------------------------------------------------------------- users of a collection


@pytest.fixture
def users() -> Iterator[Any]:
    with mongomock.MongoClient() as client:
        yield client["test"]["users"]


def test_the_users_of_a_collection(users: Any) -> None:
    auth.create_user(users, "ada", "a:b ü", ["editor"])
    method = BasicAuthentication(auth.password_check(users))
    # NOTE: not the document, which holds the hash of the password.
    assert asked(method, f"Basic {b64('ada:a:b ü')}") == auth.User("ada", ("editor",))
    for login in ("ada:wrong", "ad:a:b ü", "adb:a:b ü", ":", "zoe:x"):
        assert refusal(asked, method, f"Basic {b64(login)}").code == "auth.invalid"


@pytest.mark.parametrize("roles", [None, 5, "admin", {"a": 1}, [1, None]])
def test_odd_roles_are_none(users: Any, roles: Any) -> None:
    auth.create_user(users, "ada", "pw")
    users.update_one({}, {"$set": {"roles": roles}})
    assert auth.password_check(users)("ada", "pw") == auth.User("ada", ())


# ---------------------------------------------------------------------- backends of falcon-auth


def test_backends_that_know_the_caller() -> None:
    basic, token, jwts, none, multi = (BackendAuthentication(one) for one in BACKENDS.values())
    assert asked(basic, f"basic {b64('ada:correct horse')}") == "ada"
    assert asked(token, "TOKEN s3cret") is True
    assert asked(jwts, f"jwt {foreign_token(user='ada')}") == "ada"
    assert asked(none, None) == "guest"
    assert asked(multi, f"JWT {foreign_token(user='ada')}") == "ada"
    assert asked(multi, "Token s3cret") is True
    assert asked(multi, None) == "guest"


WRONG_FOR_BACKENDS = [
    ("basic", "Basic"),
    ("basic", "Basic \xa0"),
    ("basic", "Basic YTpi more"),
    ("basic", f"Basic {b64('ada:wrong')}"),
    ("basic", f"Basic {b64(bytes([0xFF]))}"),
    ("token", "Token"),
    ("token", "Token wrong"),
    ("jwt", "jwt"),
    ("jwt", "jwt a.b.c"),
    ("jwt", "jwt \xa0"),
    ("jwt", "jwt \ud800"),
    ("jwt", f"jwt {foreign_token(exp=1)}"),
    ("jwt", f"jwt {foreign_token(user='')}"),
    ("jwt", f"jwt {jwt.encode({'user': 1}, 'x' * 32, algorithm='HS256')}"),
    ("multi", "jwt a.b.c"),
    ("multi", "Token wrong"),
]


@pytest.mark.parametrize(("name", "header"), WRONG_FOR_BACKENDS)
def test_what_a_backend_refuses_is_wrong(name: str, header: str) -> None:
    method = BackendAuthentication(BACKENDS[name])
    error = refusal(asked, method, header)
    assert error.code == "auth.invalid"
    assert error.headers == {"WWW-Authenticate": method.challenge}


@pytest.mark.parametrize(
    ("name", "challenge"),
    [
        ("basic", 'Basic realm="falcorest"'),
        ("token", 'Token realm="falcorest"'),
        ("jwt", 'jwt realm="falcorest"'),
        ("none", 'Bearer realm="falcorest"'),
        ("multi", 'jwt realm="falcorest", Token realm="falcorest"'),
    ],
)
def test_the_challenge_of_a_backend_is_drawn_from_its_prefix(name: str, challenge: str) -> None:
    assert BackendAuthentication(BACKENDS[name]).challenge == challenge
    assert BackendAuthentication(BACKENDS[name], challenge="Own").challenge == "Own"


def test_two_backends_of_one_scheme_are_both_asked() -> None:
    old = JWTAuthBackend(lambda claims: "old", "o" * 32, auth_header_prefix="Bearer")
    new = JWTAuthBackend(lambda claims: "new", SECRET, auth_header_prefix="Bearer")
    method = BackendAuthentication(MultiAuthBackend(old, MultiAuthBackend(new, BACKENDS["none"])))
    assert asked(method, f"Bearer {foreign_token()}") == "new"
    assert refusal(asked, method, "Bearer x").code == "auth.invalid"
    assert method.challenge == 'Bearer realm="falcorest"'


class CookieBackend(AuthBackend):  # type: ignore[misc]
    """One of an author's own, without a prefix."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def authenticate(self, req: falcon.Request, resp: Any, resource: Any) -> Any:
        self.calls.append((resp, resource))
        session = req.get_cookie_values("session")
        if not session:
            raise falcon.HTTPUnauthorized(title="no cookie")
        return {"1": "ada", "2": None}[session[0]]


def test_a_backend_without_a_prefix_knows_the_caller_or_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backend = CookieBackend()
    method = BackendAuthentication(backend)
    assert method.authorized(request()) is None
    assert method.authorized(request(cookie="session=1")) == "ada"
    assert method.authorized(request(cookie="session=1", authorization="other")) == "ada"
    assert method.authorized(request(cookie="session=2")) is None
    assert set(backend.calls) == {(None, None)}
    assert not caplog.records
    assert method.authorized(request(cookie="session=3")) is None
    assert "CookieBackend failed on a request" in caplog.text
    both = BackendAuthentication(MultiAuthBackend(BACKENDS["jwt"], backend))
    assert both.authorized(request(cookie="session=1")) == "ada"
    forged = request(cookie="session=1", authorization="jwt forged")
    assert refusal(both.authorized, forged).code == "auth.invalid"


def test_a_multi_backend_with_a_mind_of_its_own_is_asked_itself() -> None:
    class Own(MultiAuthBackend):  # type: ignore[misc]
        def authenticate(self, req: Any, resp: Any, resource: Any) -> Any:
            return "own"

    method = BackendAuthentication(Own(BACKENDS["jwt"], BACKENDS["token"]))
    assert asked(method, None) == "own"


@pytest.mark.parametrize("kind", [ConnectionError, falcon.HTTPServiceUnavailable, TypeError])
def test_what_breaks_in_a_backend_is_no_401(kind: type[Exception]) -> None:
    def loader(token: str) -> None:
        raise kind

    with pytest.raises(kind):
        asked(BackendAuthentication(TokenAuthBackend(loader)), "Token x")


def test_our_own_method_may_stand_in_a_multi_backend() -> None:
    method = BackendAuthentication(MultiAuthBackend(BEARER, BACKENDS["none"]))
    assert asked(method, f"Bearer {ISSUER.issue('ada')}") == auth.User("ada")
    assert refusal(asked, method, "Bearer x").code == "auth.invalid"
    assert asked(method, None) == "guest"


# ----------------------------------------------------------- any header, and only Unauthorized

READY = {
    "basic": BASIC,
    "token": TOKEN,
    "jwt": BEARER,
    "key": ApiKeyAuthentication(check_secret),
    "key in a cookie": ApiKeyAuthentication(check_secret, header="Cookie"),
    **{f"falcon-auth {name}": BackendAuthentication(one) for name, one in BACKENDS.items()},
    "all": BackendAuthentication(MultiAuthBackend(*BACKENDS.values(), BEARER)),
}
ANY_TEXT = st.text() | st.text(st.characters(max_codepoint=255)) | st.binary().map(b64)
ANY_JWT = st.lists(
    st.one_of(
        ANY_TEXT,
        st.sampled_from([b"{}", b"[]", b"[" * 3000, b'{"alg":"HS256"}', b'{"alg":[]}']).map(
            lambda part: base64.urlsafe_b64encode(part).decode().rstrip("=")
        ),
    ),
    min_size=3,
    max_size=3,
).map(".".join)
SCHEMES = ["", "Basic ", "basic\t", "Token ", "Bearer ", "jwt ", "Basic\xa0", "\xa0", " "]
HEADERS = st.builds(str.__add__, st.sampled_from(SCHEMES), ANY_TEXT | ANY_JWT)


@pytest.mark.parametrize("method", READY.values(), ids=READY.keys())
@given(header=HEADERS)
@example("\xa0")
@example("\x85 \x1c")
@example("Basic ")
def test_no_header_breaks_a_method(method: AuthenticationBase, header: str) -> None:
    with suppress(Unauthorized):
        req = request(authorization=header, x_api_key=header, cookie=header)
        assert method.authorized(req) in (None, "guest")


# ----------------------------------------------------------------------------- several methods


class Session(AuthenticationBase):
    """As an author would write it; listed as a class."""

    challenge = 'Session realm="here"'

    def authorized(self, req: falcon.Request) -> Any:
        return req.get_header("X-User")


class Answers(AuthenticationBase):
    def __init__(self, user: Any) -> None:
        self.user = user

    def authorized(self, req: falcon.Request) -> Any:
        return self.user


def test_the_first_that_knows_the_caller_wins() -> None:
    methods = as_methods([Session, Answers("first"), Answers("second")])
    assert authenticate(request(), methods, required=True) == "first"
    assert authenticate(request(x_user="ada"), methods, required=True) == "ada"
    # NOTE: known by one method, whatever else is in the Authorization header.
    odd = request(x_user="ada", authorization="Odd x")
    assert authenticate(odd, methods, required=True) == "ada"


@pytest.mark.parametrize("user", [True, 1, "ada", object(), {"a": 1}, auth.User("ada")])
def test_any_true_object_is_a_user(user: Any) -> None:
    assert authenticate(request(), [Answers(user)], required=True) is user


@pytest.mark.parametrize("nobody", [None, False, "", 0, (), {}])
def test_what_is_false_is_nobody(nobody: Any) -> None:
    assert authenticate(request(), [Answers(nobody)], required=False) is None
    error = refusal(authenticate, request(), [Answers(nobody)], required=True)
    assert error.code == "auth.required"
    checks = [
        (BasicAuthentication(lambda *_: nobody), "Basic eDp5"),
        (TokenAuthentication(lambda _: nobody), "Token x"),
        (BackendAuthentication(TokenAuthBackend(lambda _: nobody)), "Token x"),
    ]
    for method, header in checks:
        assert refusal(asked, method, header).code == "auth.invalid"


def test_nothing_listed_is_anonymous() -> None:
    assert authenticate(request(authorization="Odd x"), as_methods(()), required=False) is None


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("header", ["Odd x", "Odd", "\xa0", "\x00", "Basic\xa0eDp5", ", Token x"])
def test_credentials_of_no_kind_that_is_listed(header: str, required: bool) -> None:
    methods = as_methods([BASIC, TOKEN, Session, *BACKENDS.values()])
    req = request(authorization=header)
    error = refusal(authenticate, req, methods, required=required)
    assert error.code == "auth.invalid"


def test_wrong_credentials_are_refused_at_once() -> None:
    methods = as_methods([TOKEN, Answers("anybody")])
    req = request(authorization="Token wrong")
    assert refusal(authenticate, req, methods, required=False).code == "auth.invalid"


#: For each method: itself, headers that it accepts, and headers of its kind that are wrong.
KINDS: dict[str, tuple[AuthenticationBase, dict[str, str], dict[str, str]]] = {
    "basic": (
        BASIC,
        {"authorization": f"Basic {b64('ada:correct horse')}"},
        {"authorization": f"Basic {b64('ada:wrong')}"},
    ),
    "token": (TOKEN, {"authorization": "Token s3cret"}, {"authorization": "Token wrong"}),
    "bearer": (
        BEARER,
        {"authorization": f"Bearer {ISSUER.issue('ada')}"},
        {"authorization": "Bearer wrong"},
    ),
    "key": (READY["key"], {"x_api_key": "s3cret"}, {"x_api_key": "wrong"}),
    "another key": (
        ApiKeyAuthentication(check_secret, "X-Key"),
        {"x_key": "s3cret"},
        {"x_key": "wrong"},
    ),
    "falcon-auth basic": (
        READY["falcon-auth basic"],
        {"authorization": f"Basic {b64('ada:correct horse')}"},
        {"authorization": "Basic \xa0"},
    ),
    "falcon-auth token": (
        READY["falcon-auth token"],
        {"authorization": "Token s3cret"},
        {"authorization": "Token"},
    ),
    "falcon-auth jwt": (
        READY["falcon-auth jwt"],
        {"authorization": f"jwt {foreign_token(user='ada')}"},
        {"authorization": f"jwt {foreign_token(user='ada', exp=None)}"},
    ),
}
GUESTS = [
    READY["falcon-auth none"],
    BackendAuthentication(MultiAuthBackend(BACKENDS["jwt"], BACKENDS["none"])),
    Answers("guest"),
]


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    ("first", "second"), [(one, two) for one in KINDS for two in KINDS if one != two]
)
def test_what_is_wrong_falls_through_to_no_other_method(
    first: str, second: str, required: bool
) -> None:
    (one, right_one, wrong_one), (two, right_two, wrong_two) = KINDS[first], KINDS[second]

    def ask(headers: dict[str, str]) -> Any:
        return authenticate(request(**headers), [one, two], required=required)

    assert ask(right_one)
    assert ask(right_two)
    for wrong in (wrong_one, wrong_two):
        assert refusal(ask, wrong).code == "auth.invalid"
    if right_two.keys() != wrong_one.keys():
        assert refusal(ask, right_two | wrong_one).code == "auth.invalid"
    if required:
        assert refusal(ask, {}).code == "auth.required"
    else:
        assert ask({}) is None


@pytest.mark.parametrize("guest", GUESTS, ids=["none", "jwt or none", "anybody"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_wrong_makes_no_guest(kind: str, guest: AuthenticationBase) -> None:
    method, right, wrong = KINDS[kind]
    methods = [method, guest]
    assert authenticate(request(), methods, required=True) == "guest"
    assert authenticate(request(**right), methods, required=True) != "guest"
    assert refusal(authenticate, request(**wrong), methods, required=False).code == "auth.invalid"


def test_all_challenges_are_sent_none_twice() -> None:
    methods = as_methods([Session, BEARER, BASIC, Session(), TOKEN])
    every = (
        'Session realm="here", Bearer realm="falcorest", '
        'Basic realm="falcorest", charset="UTF-8", Token realm="falcorest"'
    )
    error = refusal(authenticate, request(), methods, required=True)
    assert error.headers == {"WWW-Authenticate": every}
    error = refusal(authenticate, request(authorization="Odd x"), methods, required=True)
    assert error.headers == {"WWW-Authenticate": every}
    error = refusal(authenticate, request(authorization="Basic x"), methods, required=True)
    assert error.headers["WWW-Authenticate"] == (
        'Basic realm="falcorest", charset="UTF-8", '
        'Session realm="here", Bearer realm="falcorest", Token realm="falcorest"'
    )
    error = refusal(authenticate, request(authorization="Bearer x"), methods, required=True)
    assert error.headers["WWW-Authenticate"].startswith(
        'Bearer realm="falcorest", error="invalid_token", Session'
    )


def test_an_author_s_own_refusal_gets_its_challenge() -> None:
    class Own(Session):
        def authorized(self, req: falcon.Request) -> Any:
            raise Unauthorized("auth.invalid", "Not you.")

    error = refusal(authenticate, request(), as_methods([Own, TOKEN]), required=False)
    assert error.headers == {"WWW-Authenticate": f"{Session.challenge}, {TOKEN.challenge}"}


def test_a_coroutine_is_no_user() -> None:
    made: list[Any] = []

    async def check(secret: str) -> None:
        """Know nobody."""

    def checked(secret: str) -> Any:
        made.append(check(secret))
        return made[-1]

    for method in (
        TokenAuthentication(checked),
        BackendAuthentication(TokenAuthBackend(checked)),
    ):
        with pytest.raises(ConfigurationError, match="asynchronous"):
            authenticate(request(authorization="Token x"), [method], required=True)
    for one in made:
        one.close()


# --------------------------------------------------------------------------- what is listed


class NeedsArguments(AuthenticationBase):
    def __init__(self, check: Any) -> None:
        self.check = check

    authorized = Session.authorized


class WithoutRequest(AuthenticationBase):
    def authorized(self) -> Any:  # type: ignore[override]
        """Say nothing; this is the signature of Flask-MongoRest."""


class WithoutChallenge(Session):
    challenge = ""


class WithoutAuthorized(AuthenticationBase):
    pass


class DuckTyped:
    def authorized(self, req: Any) -> str:
        return "duck"


def own_function(req: Any) -> str:
    return "function"


def test_methods_are_made_once() -> None:
    methods = as_methods([Session, TOKEN, BACKENDS["basic"], CookieBackend, BEARER])
    assert [type(one) for one in methods] == [
        *(Session, TokenAuthentication, BackendAuthentication, BackendAuthentication),
        JWTAuthentication,
    ]
    assert methods[1] is TOKEN
    assert as_methods(methods) == methods


@pytest.mark.parametrize(
    ("entry", "naming"),
    [
        (DuckTyped, "DuckTyped"),
        (DuckTyped(), "DuckTyped"),
        (own_function, "own_function"),
        (None, "None"),
        ("basic", "'basic'"),
        (object, "object"),
        (AuthenticationBase, "AuthenticationBase"),
        (AuthBackend, "AuthBackend"),
        (BasicAuthBackend, "BasicAuthBackend"),
        (BasicAuthentication, "BasicAuthentication"),
        (NeedsArguments, "NeedsArguments"),
        (WithoutRequest, "WithoutRequest"),
        (WithoutChallenge, "WithoutChallenge"),
        (WithoutAuthorized(), "WithoutAuthorized"),
    ],
)
def test_what_can_not_be_listed(entry: Any, naming: str) -> None:
    with pytest.raises(ConfigurationError, match=naming) as caught:
        as_methods([Session, entry])
    assert str(caught.value).startswith("authentication_methods: ")


@pytest.mark.parametrize("entries", [None, "basic", Session, TOKEN, {Session}, BACKENDS["none"]])
def test_the_list_is_a_list(entries: Any) -> None:
    with pytest.raises(ConfigurationError, match="is a list of methods, not"):
        as_methods(entries)


@pytest.mark.parametrize(
    ("make", "naming"),
    [
        (lambda: BasicAuthentication({"ada": "pw"}), "check is a function"),  # type: ignore[arg-type]
        (lambda: TokenAuthentication("s3cret"), "not str"),  # type: ignore[arg-type]
        (lambda: ApiKeyAuthentication(None), "check is a function"),  # type: ignore[arg-type]
        (lambda: BasicAuthentication(check_login, "a\r\nSet-Cookie: b"), "realm"),
        (lambda: BasicAuthentication(check_login, "ü"), "realm"),
        (lambda: TokenAuthentication(check_secret, ""), "scheme"),
        (lambda: TokenAuthentication(check_secret, "two words"), "'two words'"),
        (lambda: ApiKeyAuthentication(check_secret, "X API"), "'X API'"),
        (lambda: ApiKeyAuthentication(check_secret, "authorization"), "TokenAuthentication"),
        (lambda: BackendAuthentication(TokenAuthBackend(check_secret, "")), "scheme"),
        (lambda: BackendAuthentication(Session()), "Session is no backend"),
        (lambda: BackendAuthentication(TokenAuthBackend), "TokenAuthBackend is no backend"),
    ],
)
def test_arguments_that_can_not_be(make: Callable[[], object], naming: str) -> None:
    with pytest.raises(ConfigurationError, match=naming):
        make()


# ------------------------------------- the mistakes of falcon-auth's middleware, and not ours


class Who:
    """A view that tells who was recognized."""

    auth: ClassVar[dict[str, Any]] = {"auth_disabled": True}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = str(req.context.user)


class Asks:
    def __init__(self, *entries: Any, required: bool = True) -> None:
        self.methods = as_methods(entries)
        self.required = required

    def process_resource(self, req: falcon.Request, resp: Any, resource: Any, params: Any) -> None:
        req.context.user = authenticate(req, self.methods, required=self.required)


def answer(req: Any, resp: falcon.Response, error: Problem, params: Any) -> None:
    resp.status = error.status
    resp.media = error.to_dict()
    resp.set_headers(error.headers)


def client(*entries: Any, required: bool = True, view: Any = Who) -> testing.TestClient:
    app = falcon.App(middleware=[Asks(*entries, required=required)])
    app.add_error_handler(Problem, answer)
    app.add_route("/who", view())
    return testing.TestClient(app)


def who(caller: testing.TestClient, header: str | None = None) -> testing.Result:
    # NOTE: not as headers, of which Falcon's test client strips "\xa0".
    environ = {} if header is None else {"HTTP_AUTHORIZATION": header}
    return caller.simulate_get("/who", extras=environ)


def test_a_401_says_how_to_log_in() -> None:
    caller = client(BACKENDS["basic"], BACKENDS["jwt"])
    for header in (None, "Odd x", "Basic x", "jwt x", "\xa0"):
        result = who(caller, header)
        assert result.status_code == 401
        assert set(result.headers["www-authenticate"].split(", ")) == {
            'Basic realm="falcorest"',
            'jwt realm="falcorest"',
        }
        assert result.json["code"] == ("auth.required" if header is None else "auth.invalid")


def test_two_applications_on_one_view_do_not_know_each_other() -> None:
    one, other = client(BASIC), client(TOKEN)
    basic = f"Basic {b64('ada:correct horse')}"
    for _ in range(2):
        assert who(one, basic).json == "ada"
        assert who(other, basic).status_code == 401
        assert who(other, "Token s3cret").json == "True"
        assert who(one, "Token s3cret").status_code == 401
        assert who(one).status_code == who(other).status_code == 401
    # NOTE: falcon-auth's middleware writes into this one, and lets its path pass ever after.
    assert Who.auth == {"auth_disabled": True}


def test_forged_credentials_make_no_guest() -> None:
    guests = MultiAuthBackend(BACKENDS["jwt"], BACKENDS["none"])
    for entries in ([guests], [BACKENDS["jwt"], BACKENDS["none"]]):
        caller = client(*entries, required=False)
        assert who(caller).json == "guest"
        assert who(caller, "").json == "guest"
        for header in ("jwt x", f"jwt {foreign_token(exp=1)}", "jwt", "Odd x", "\xa0"):
            assert who(caller, header).status_code == 401


def test_our_tokens_can_be_made_and_end() -> None:
    caller = client(BEARER)
    assert who(caller, f"Bearer {ISSUER.issue('ada')}").status_code == 200
    now = int(time.time())
    for claims in ({"sub": "ada", "iat": now}, {"sub": "ada", "iat": now, "exp": now - 1}):
        token = jwt.encode(claims, SECRET, algorithm="HS256")
        assert who(caller, f"Bearer {token}").status_code == 401


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_a_backend_s_token_has_all_that_the_backend_requires(name: str) -> None:
    for value in (None, ...):
        claims = {**ARGUMENTS, "exp": 2**40, name: value}
        claims = {key: claim for key, claim in claims.items() if claim is not ...}
        token = jwt.encode(claims, SECRET, algorithm="HS256")
        for method in (BACKENDS["jwt"], BACKENDS["multi"]):
            assert who(client(method, required=False), f"jwt {token}").status_code == 401
    other = [one for one in ("exp", "iat") if one != name]
    less = JWTAuthBackend(lambda claims: claims.get("user"), SECRET, required_claims=other)
    assert asked(BackendAuthentication(less), f"jwt {foreign_token()}") == 1


def test_a_backend_that_reads_tokens_in_its_own_way_is_left_alone() -> None:
    class Own(JWTAuthBackend):  # type: ignore[misc]
        def _decode_jwt_token(self, req: falcon.Request) -> dict[str, str]:
            return {"user": "ada"}

    method = BackendAuthentication(Own(lambda claims: claims["user"], SECRET))
    assert asked(method, "jwt whatever") == "ada"


class NoteSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)


class NoteResource(Resource):
    collection = "notes"
    schema = NoteSchema


class NoteView(ResourceView):
    """One class, which knows falcon-auth's settings, in two applications."""

    resource = NoteResource
    methods = [falcorest.methods.List]
    auth: ClassVar[dict[str, Any]] = {"auth_disabled": True, "exempt_routes": []}


def test_two_real_applications_with_one_view() -> None:
    def served(method: Any) -> testing.TestClient:
        app = falcon.App()
        db = mongomock.MongoClient()["test"]
        api = FalcoRest(app, db, authentication_methods=[method])
        api.register(name="notes", url="/who")(NoteView)
        return testing.TestClient(app)

    before = dict(vars(NoteView))
    one, other = served(BASIC), served(BACKENDS["token"])
    basic = f"Basic {b64('ada:correct horse')}"
    for _ in range(3):
        assert who(one, basic).status_code == who(other, "Token s3cret").status_code == 200
        for refused in (who(other, basic), who(one, "Token s3cret"), who(one), who(other)):
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"]
        assert who(one, "\xa0").status_code == who(other, "\xa0").status_code == 401
    # NOTE: falcon-auth's middleware notes a path in here at each request, and lets it pass then.
    assert NoteView.auth == {"auth_disabled": True, "exempt_routes": []}
    assert dict(vars(NoteView)) == before


def test_every_method_of_http_is_asked_for_credentials() -> None:
    class View(Who):
        on_post = on_options = on_head = Who.on_get

    caller = client(BASIC, view=View)
    for verb in ("GET", "POST", "HEAD", "OPTIONS"):
        assert caller.simulate_request(verb, "/who").status_code == 401


def test_garbage_is_a_401_for_every_method() -> None:
    for method in READY.values():
        caller = client(method, required=False)
        for header in ("\xa0", "\xa0 \xa0", "\x85", "Basic \xa0", "jwt \xa0", "Bearer \xa0"):
            assert who(caller, header).status_code == 401
