"""Access tokens: which are made, and which are read."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest

from falcorest.auth import TokenIssuer, User
from falcorest.errors import ConfigurationError
from tests.support import SECRET

OTHER = "another secret, which is long enough as well"
NOW = int(time.time())
GOOD = {"sub": "ada", "iat": NOW, "exp": NOW + 3600, "roles": ["editor"]}
ADA = User("ada", ("editor",))
ISSUER = TokenIssuer(SECRET)


def signed(
    *, key: str | None = SECRET, algorithm: str = "HS256", header: Any = None, **changes: Any
) -> str:
    """Return a token as it should be, but for some claims; ``...`` leaves one out."""
    claims = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    return by_hand(claims, key, {"alg": algorithm, "typ": "JWT", **(header or {})})


def by_hand(claims: Any, key: str | None, header: dict[str, Any]) -> str:
    # NOTE: PyJWT refuses to make some of these.
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (header, claims)
    ]
    signing = b".".join(parts)
    if key is None:
        return f"{signing.decode()}."
    kind = {"HS256": "SHA256", "HS384": "SHA384", "HS512": "SHA512"}.get(header["alg"], "SHA256")
    algorithm = jwt.algorithms.HMACAlgorithm(getattr(jwt.algorithms.HMACAlgorithm, kind))
    signature = base64.urlsafe_b64encode(algorithm.sign(signing, key.encode())).rstrip(b"=")
    return f"{signing.decode()}.{signature.decode()}"


def test_a_token_made_by_hand_is_read() -> None:
    assert ISSUER.read(signed()) == ADA
    assert ISSUER.read(signed(roles=...)) == User("ada")
    assert ISSUER.read(signed(iat=NOW - 0.5, exp=NOW + 3600.5)) == ADA
    assert ISSUER.read(signed(more={"a": 1}, jti="1", nbf=NOW)) == ADA


def test_a_token_says_who_and_what_and_until_when() -> None:
    token = TokenIssuer(SECRET, 60).issue("ada", ("editor",))
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert claims == {**GOOD, "iat": claims["iat"], "exp": claims["iat"] + 60}
    assert abs(claims["iat"] - time.time()) < 60
    assert ISSUER.read(token) == ADA


WRONG = {
    "without exp": signed(exp=...),
    "exp is null": signed(exp=None),
    "without iat": signed(iat=...),
    "without sub": signed(sub=...),
    "over": signed(exp=NOW - 5),
    "over just now": signed(exp=NOW),
    "not yet": signed(nbf=NOW + 600),
    "of tomorrow": signed(iat=NOW + 86400, exp=NOW + 86500),
    "sub is not UTF-8": signed(sub="\ud800"),
    "a role is not UTF-8": signed(roles=["\ud800"]),
    "exp is infinite": signed(exp=float("inf")),
    "iat is infinite": signed(iat=float("-inf")),
    "iat is infinite, forward": signed(iat=float("inf")),
    "exp is no number": signed(exp=float("nan")),
    "exp is a text": signed(exp="soon"),
    "exp is a text of digits": signed(exp=str(NOW + 60)),
    "exp is true": signed(exp=True),
    "exp is a list": signed(exp=[NOW + 60]),
    "iat is a text of digits": signed(iat=str(NOW)),
    "iat is true": signed(iat=True),
    "nbf is infinite": signed(nbf=float("inf")),
    "sub is a number": signed(sub=5),
    "sub is a list": signed(sub=["ada"]),
    "sub is an object": signed(sub={"$ne": ""}),
    "sub is null": signed(sub=None),
    "sub is empty": signed(sub=""),
    "roles is a text": signed(roles="admin"),
    "roles is null": signed(roles=None),
    "roles is an object": signed(roles={"admin": True}),
    "roles are numbers": signed(roles=[1]),
    "a role is null": signed(roles=["editor", None]),
    "a role is a list": signed(roles=[["admin"]]),
    "jti is a number": signed(jti=5),
    "for somebody else": signed(aud="somebody else"),
    "aud is a number": signed(aud=5),
    "another key": signed(key=OTHER),
    "an empty key": signed(key=""),
    "the key twice": signed(key=SECRET * 2),
    "no signature, alg none": signed(key=None, algorithm="none"),
    "no signature, alg None": signed(key=None, algorithm="None"),
    "no signature": signed(key=None),
    "a signature, alg none": signed(algorithm="none"),
    "HS384": signed(algorithm="HS384"),
    "HS512": signed(algorithm="HS512"),
    "alg in lower case": signed(algorithm="hs256"),
    "alg of a public key": signed(algorithm="RS256"),
    "without alg": by_hand(GOOD, SECRET, {"typ": "JWT", "alg": None}),
    "kid is a path": signed(key="", header={"kid": "../../../../dev/null"}),
    "kid is a number": signed(header={"kid": 5}),
    "kid is an object": signed(header={"kid": {"$ne": ""}}),
    "kid is a query": signed(key=OTHER, header={"kid": f"x' UNION SELECT '{OTHER}"}),
    "a key of its own": signed(
        key=OTHER,
        header={"jwk": {"kty": "oct", "k": base64.urlsafe_b64encode(OTHER.encode()).decode()}},
    ),
    "a key from elsewhere": signed(key=OTHER, header={"jku": "http://127.0.0.1:1/keys"}),
    "critical extensions": signed(header={"crit": ["exp"], "exp": 1}),
    "an unencoded payload": signed(header={"b64": False, "crit": ["b64"]}),
    "claims are a list": by_hand([GOOD], SECRET, {"alg": "HS256"}),
    "claims are a text": by_hand("sub", SECRET, {"alg": "HS256"}),
    "claims are a number": by_hand(5, SECRET, {"alg": "HS256"}),
    "a token in a token": by_hand(signed(), SECRET, {"alg": "HS256", "cty": "JWT"}),
    "two dots more": f"{signed()}..",
    "something behind": f"{signed()}x",
    "nothing": "",
}


@pytest.mark.parametrize("token", WRONG.values(), ids=WRONG)
def test_a_token_that_opens_nothing(token: str) -> None:
    assert ISSUER.read(token) is None
    assert TokenIssuer(OTHER * 2, old_secret=SECRET).read(token) is None


def test_a_token_is_good_until_it_expires() -> None:
    for token in (signed(exp=NOW + 10**8), signed(iat=0), signed(exp=2**53)):
        assert ISSUER.read(token) == ADA


# ------------------------------------------------------------------------------------ secrets


@pytest.mark.parametrize("secret", ["", "x", "x" * 31, "ä" * 15 + "x"])
def test_a_short_secret_is_refused(secret: str) -> None:
    for make in (
        lambda: TokenIssuer(secret),
        lambda: TokenIssuer(SECRET, old_secret=secret),
    ):
        with pytest.raises(ConfigurationError, match="32 bytes") as caught:
            make()
        assert secret == "" or f"{secret!r}" not in str(caught.value)
    assert TokenIssuer("ä" * 16, old_secret="x" * 32).issue("ada")


def test_while_keys_are_changed_both_are_read_and_the_new_one_signs() -> None:
    before, after = TokenIssuer(SECRET), TokenIssuer(OTHER)
    between = TokenIssuer(OTHER, old_secret=SECRET)
    assert between.read(before.issue("ada")) == User("ada")
    assert between.read(after.issue("ada")) == User("ada")
    token = between.issue("ada")
    assert after.read(token) == User("ada")
    assert before.read(token) is None


# --------------------------------------------------------------------------- audience and issuer


def test_audience_and_issuer_are_written() -> None:
    token = TokenIssuer(SECRET, audience="notes", issuer="office").issue("ada")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["aud"] == "notes"
    assert claims["iss"] == "office"
    plain = jwt.decode(ISSUER.issue("ada"), options={"verify_signature": False})
    assert plain.keys() == {"sub", "iat", "exp", "roles"}


@pytest.mark.parametrize(
    ("claims", "is_read"),
    [
        ({"aud": "notes", "iss": "office"}, True),
        ({"aud": ["mail", "notes"], "iss": "office"}, True),
        ({}, False),
        ({"aud": "notes"}, False),
        ({"iss": "office"}, False),
        ({"aud": "mail", "iss": "office"}, False),
        ({"aud": ["mail"], "iss": "office"}, False),
        ({"aud": "note", "iss": "office"}, False),
        ({"aud": None, "iss": "office"}, False),
        ({"aud": {"notes": 1}, "iss": "office"}, False),
        ({"aud": "notes", "iss": "off"}, False),
        ({"aud": "notes", "iss": ["office"]}, False),
        ({"aud": "notes", "iss": None}, False),
        ({"aud": "notes", "iss": 5}, False),
    ],
)
def test_audience_and_issuer_are_required_where_they_are_configured(
    claims: dict[str, Any], is_read: bool
) -> None:
    tokens = TokenIssuer(SECRET, audience="notes", issuer="office")
    assert (tokens.read(signed(**claims)) == ADA) is is_read
    old = TokenIssuer(OTHER, old_secret=SECRET, audience="notes", issuer="office")
    assert (old.read(signed(**claims)) == ADA) is is_read
