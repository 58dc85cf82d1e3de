"""What is measured of the declared door: an application with Resource classes and schemas."""

from __future__ import annotations

import os

import falcon
from marshmallow import fields as ma
from pymongo import MongoClient

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops


class ContentSchema(Schema):
    language = ma.String()
    words = ma.Integer()


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True)
    author = fields.Reference("users")
    rating = ma.Integer()
    views = ma.Integer()
    body = ma.String()
    is_published = ma.Boolean()
    tags = ma.List(ma.String())
    created = ma.DateTime()
    batch = ma.Integer()
    content = ma.Nested(ContentSchema)


class UserSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String()
    email = ma.Email()


class UserResource(Resource):
    collection = "users"
    schema = UserSchema


class PostResource(Resource):
    collection = "posts"
    schema = PostSchema
    filters = {"author": [ops.Exact], "rating": [ops.Gte], "batch": [ops.Exact]}
    allowed_ordering = ["views"]


class NewPostResource(PostResource):
    collection = "new_posts"


class AllPostsResource(PostResource):
    paginate = False


class PostWithAuthorResource(PostResource):
    related_resources = {"author": UserResource}


def create_app() -> falcon.App:
    app = falcon.App()
    api = FalcoRest(app, MongoClient(os.environ["MONGODB_URI"])[os.environ["DATABASE"]])
    for name, kind in (
        ("posts", PostResource),
        ("new_posts", NewPostResource),
        ("all_posts", AllPostsResource),
        ("posts_with_authors", PostWithAuthorResource),
    ):
        view = type("PostView", (ResourceView,), {"resource": kind, "methods": methods.ALL})
        api.register(name=name, url=f"/{name}")(view)
    return app
