"""The zero-code server with a registration of its own: whoever knows the code may come in."""

import hmac
import os

import falcon

from falcorest import create_app
from falcorest.auth import create_user
from falcorest.server import open_database
from falcorest.settings import load_settings


class Register:
    """POST /register {"username": …, "password": …, "invitation": …}."""

    def __init__(self, users, invitation):
        self._users = users
        self._invitation = invitation.encode()

    def on_post(self, req, resp):
        body = req.get_media()
        if not isinstance(body, dict):
            raise falcon.HTTPBadRequest(description="An object is expected.")
        given = str(body.get("invitation")).encode("utf-8", "replace")
        if not hmac.compare_digest(given, self._invitation):
            raise falcon.HTTPForbidden(description="This is not the invitation.")
        # A name that is taken, or a password that can't be one, is answered by falcorest.
        identity = create_user(self._users, body.get("username"), body.get("password"))
        resp.status = falcon.HTTP_201
        resp.media = {"username": body["username"], "_id": {"$oid": str(identity)}}


settings = load_settings()
app = create_app(settings)
users = open_database(settings)[settings.user_collection]
app.add_route("/register", Register(users, os.environ["INVITATION"]))
