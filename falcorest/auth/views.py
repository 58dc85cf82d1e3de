"""The views of logging in: ``/login``, ``/me`` and ``/register``."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import falcon
from pymongo.collection import Collection

from falcorest import bson_json
from falcorest.auth.attempts import Attempts
from falcorest.auth.methods import (
    AuthenticationBase,
    authenticate,
    challenge,
    read_authorization,
)
from falcorest.auth.passwords import MAX_PASSWORD_BYTES, is_too_long, refused
from falcorest.auth.tokens import TokenIssuer
from falcorest.auth.users import check_password, create_user, find_user, roles_of
from falcorest.errors import BodyError, Unauthorized
from falcorest.query import Document
from falcorest.responding import View, read_json


class LoginView(View):
    """``POST /login``: a username and a password for an access token.

    Args:
        users: The collection of the users.
        tokens: Makes the tokens.
        attempts: Bounds how often they may fail.
        max_body_bytes: The largest body that is read.
    """

    who = "public"

    def __init__(
        self,
        users: Collection[Document],
        tokens: TokenIssuer,
        attempts: Attempts,
        max_body_bytes: int,
    ) -> None:
        self._users = users
        self._tokens = tokens
        self._attempts = attempts
        self._max_body_bytes = max_body_bytes

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with a token, or 401; 429 after too many of these."""
        username, password = read_credentials(req, self._max_body_bytes)
        check = functools.partial(check_password, self._users, username, password)
        user = self._attempts.guard(req, username, check)
        if user is None:
            raise Unauthorized(
                "auth.invalid",
                "The username or the password is wrong.",
                headers={"WWW-Authenticate": AuthenticationBase.challenge},
            )
        _answer(resp, {"access_token": self._tokens.issue(username, roles_of(user))})
        resp.set_header("Cache-Control", "no-store")


class MeView(View):
    """``GET /me``: who is calling.

    Args:
        users: The collection of the users.
        methods: Know the callers.
    """

    who = "login"

    def __init__(self, users: Collection[Document], methods: Sequence[AuthenticationBase]) -> None:
        self._users = users
        self.methods = methods

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the username, or 401."""
        user = authenticate(req, self.methods, required=True)
        # NOTE: keys and passwords have just been looked up. A token may have outlived its user.
        by_token = read_authorization(req)[0] == "bearer"
        if by_token and find_user(self._users, user.username) is None:
            raise Unauthorized(
                "auth.invalid",
                "The user of this token is not there any more.",
                headers={"WWW-Authenticate": challenge(self.methods)},
            )
        _answer(resp, {"username": user.username})

    on_head = on_get


class RegisterView(View):
    """``POST /register``: a new user.

    Args:
        users: The collection of the users.
        max_body_bytes: The largest body that is read.
    """

    who = "public"

    def __init__(self, users: Collection[Document], max_body_bytes: int) -> None:
        self._users = users
        self._max_body_bytes = max_body_bytes

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with the name and the ``_id`` of the new user."""
        username, password = read_credentials(req, self._max_body_bytes)
        identity = create_user(self._users, username, password)
        resp.status = falcon.HTTP_201
        _answer(resp, {"username": username, "_id": identity})


def read_credentials(req: falcon.Request, max_body_bytes: int) -> tuple[str, str]:
    """Read ``{"username": …, "password": …}``, both texts.

    Raises:
        BodyError: The body is something else.
    """
    data = read_json(req, max_body_bytes)
    fields = {"username", "password"}
    if type(data) is not dict or data.keys() != fields:
        raise BodyError("body.wrong_type", "An object with username and password is expected.")
    for name in sorted(fields):
        if type(data[name]) is not str:
            raise BodyError(
                "body.wrong_type", f"{name} must be a text.", field_errors={name: ["Not a text."]}
            )
    if is_too_long(data["password"]):
        raise refused("password", f"A password has {MAX_PASSWORD_BYTES} bytes at the most.")
    return data["username"], data["password"]


def _answer(resp: falcon.Response, result: dict[str, Any]) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = bson_json.dumps(result)
