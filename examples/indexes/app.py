"""A program whose resources declare indexes."""

import os
from typing import ClassVar

import falcon
from marshmallow import fields as ma
from pymongo import MongoClient

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods

client = MongoClient(os.environ["MONGODB_URI"])
app = falcon.App()
api = FalcoRest(app, client["blog"])


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True)
    text = ma.String()
    author = fields.Reference("users")
    draft_until = ma.DateTime()


class PostResource(Resource):
    collection = "posts"
    schema = PostSchema
    indexes: ClassVar = [
        ["author", "-_id"],
        ["title:text", "text:text"],
        {"keys": "draft_until", "expire_after_seconds": 0, "sparse": True},
    ]


@api.register(name="posts", url="/posts/")
class PostView(ResourceView):
    resource = PostResource
    methods = (methods.List, methods.Fetch)
