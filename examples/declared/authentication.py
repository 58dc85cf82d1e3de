"""Four ways to tell who is calling."""

import hashlib
import hmac

import falcon
from marshmallow import fields as ma

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest.auth import (
    ApiKeyAuthentication,
    AuthenticationBase,
    BasicAuthentication,
    TokenAuthentication,
    password_check,
)


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True)


class PostResource(Resource):
    collection = "posts"
    schema = PostSchema


class PostView(ResourceView):
    resource = PostResource
    methods = [methods.Create, methods.List]
    public_methods = frozenset({"GET", "HEAD"})  # these need no caller


class ProxyAuthentication(AuthenticationBase):
    """One of your own: a proxy in front has checked who it is, and proves itself."""

    challenge = 'Proxy realm="blog"'

    def __init__(self, secret):
        self.secret = secret

    def authorized(self, req):
        given = req.get_header("X-Proxy-Secret")
        if given is None:
            return None  # no credentials of this kind: the next method is asked
        if not hmac.compare_digest(given.encode(), self.secret.encode()):
            raise self._wrong("The proxy is not ours.")
        return req.get_header("X-User")


def create_app(db, proxy_secret="a secret between the proxy and us"):
    def by_token(token):
        return db.tokens.find_one({"_id": hashlib.sha256(token.encode()).hexdigest()})

    app = falcon.App()
    api = FalcoRest(
        app,
        db,
        authentication_methods=[
            BasicAuthentication(password_check(db.users)),
            TokenAuthentication(by_token),
            ApiKeyAuthentication(by_token),
            ProxyAuthentication(proxy_secret),
        ],
    )
    api.register(name="posts", url="/posts/")(PostView)
    return app
