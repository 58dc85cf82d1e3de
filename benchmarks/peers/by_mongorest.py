"""Flask-MongoRest."""

from __future__ import annotations

import os

import mongoengine as me
from flask import Flask
from flask_mongorest import MongoRest, methods
from flask_mongorest.resources import Resource
from flask_mongorest.views import ResourceView


class Content(me.EmbeddedDocument):
    language = me.StringField()
    words = me.IntField()


class Post(me.Document):
    title = me.StringField(required=True)
    author = me.ObjectIdField()
    rating = me.IntField()
    views = me.IntField()
    body = me.StringField()
    is_published = me.BooleanField()
    tags = me.ListField(me.StringField())
    created = me.DateTimeField()
    batch = me.IntField()
    content = me.EmbeddedDocumentField(Content)

    meta = {"collection": "posts", "auto_create_index": False}


class ContentResource(Resource):
    document = Content


class PostResource(Resource):
    document = Post
    related_resources = {"content": ContentResource}


def create_app() -> Flask:
    me.connect(host=os.environ["MONGODB_URI"], db=os.environ["DATABASE"])
    app = Flask(__name__)
    # NOTE: it becomes the name of a blueprint, which Flask wants not to be empty.
    api = MongoRest(app, url_prefix="/api")

    @api.register(name="posts", url="/posts/")
    class PostView(ResourceView):
        resource = PostResource
        methods = [methods.Fetch, methods.List]

    return app
