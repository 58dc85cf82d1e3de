"""Authors and books: an API for the applications beside this file to embed."""

import os

from marshmallow import fields as ma
from marshmallow import validate
from pymongo import MongoClient

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops


class AuthorSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String(required=True)


class BookSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True, validate=validate.Length(max=200))
    year = ma.Integer()
    author = fields.Reference("authors")


class AuthorResource(Resource):
    collection = "authors"
    schema = AuthorSchema


class BookResource(Resource):
    collection = "books"
    schema = BookSchema
    related_resources = {"author": AuthorResource}
    filters = {"title": [ops.Exact, ops.IContains], "year": [ops.Gte, ops.Lt]}
    allowed_ordering = ["title", "year", "-year"]


# No application yet: whoever embeds this calls api.init_app(app).
api = FalcoRest(db=MongoClient(os.environ["MONGODB_URI"]).get_default_database())


@api.register(name="authors", url="/authors/")
class AuthorView(ResourceView):
    resource = AuthorResource
    methods = methods.ALL


@api.register(name="books", url="/books/")
class BookView(ResourceView):
    resource = BookResource
    methods = methods.ALL
