"""The example of Flask-MongoRest's README, ported."""

import base64
import hashlib
import os
import secrets

import falcon
from marshmallow import fields as ma
from marshmallow import validate
from pymongo import MongoClient

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from falcorest.auth import AuthenticationBase

app = falcon.App()
client = MongoClient(os.environ.get("MONGODB_URI", "mongodb://localhost:27017"))
db = client["mongorest_example_app"]
db.users.create_index("email", unique=True)

api = FalcoRest(app, db)


class UserSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    email = ma.Email(required=True)


class UserResource(Resource):
    collection = "users"
    schema = UserSchema


class ContentSchema(Schema):
    text = ma.String()


class ContentResource(Resource):
    schema = ContentSchema


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True, validate=validate.Length(max=120))
    author = fields.Reference("users")
    content = ma.Nested(ContentSchema)


class PostResource(Resource):
    collection = "posts"
    schema = PostSchema
    related_resources = {
        "content": ContentResource,
    }
    filters = {
        "title": [ops.Exact, ops.Startswith],
        "author_id": [ops.Exact],
    }
    rename_fields = {
        "author": "author_id",
    }


@api.register(name="posts", url="/posts/")
class PostView(ResourceView):
    resource = PostResource
    methods = [methods.Create, methods.Update, methods.Fetch, methods.List]


# Authentication: a base view for those that need a login.


def digest(secret):
    return hashlib.sha256(secret.encode()).hexdigest()


def make_api_key(user):
    key = secrets.token_urlsafe(32)
    db.api_keys.insert_one({"_id": digest(key), "user": user})
    return key


class SessionAuthentication(AuthenticationBase):
    # What logs people in leaves a cookie and a document.
    def authorized(self, req):
        for cookie in req.get_cookie_values("session") or ():
            session = db.sessions.find_one({"_id": digest(cookie)})
            if session is not None:
                return session["user"]
        return None


class ApiKeyAuthentication(AuthenticationBase):
    # The key is sent as the username of Basic authentication.
    def authorized(self, req):
        authorization = (req.auth or "").split()
        if len(authorization) == 2 and authorization[0].lower() == "basic":
            try:
                key = base64.b64decode(authorization[1]).decode().partition(":")[0]
                api_key = db.api_keys.find_one({"_id": digest(key)})
                return api_key and api_key["user"]
            except ValueError:
                pass
        return None


class BaseResourceView(ResourceView):
    authentication_methods = [SessionAuthentication, ApiKeyAuthentication]


@api.register(name="users", url="/users/")
class UserView(BaseResourceView):
    resource = UserResource
    methods = [methods.Create, methods.Fetch, methods.List]
