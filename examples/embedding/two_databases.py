"""Two databases in one application: the library is open, the archive needs a key."""

import hmac
import os

import falcon
from library import BookView, api

from falcorest import FalcoRest
from falcorest.auth import ApiKeyAuthentication


def check(key):
    """Return the user that a key belongs to, or nothing."""
    return "archivist" if hmac.compare_digest(key, os.environ["ARCHIVE_KEY"]) else None


app = falcon.App()
api.init_app(app)  # /authors and /books

archive = FalcoRest(
    app,
    api.db.client["archive"],
    authentication_methods=[ApiKeyAuthentication(check)],  # X-API-Key: …
)
archive.register(name="archive", url="/archive/books/")(BookView)
