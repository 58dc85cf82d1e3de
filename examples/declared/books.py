"""A library: books, behind an application that has routes of its own."""

import os

import falcon
from marshmallow import fields as ma
from marshmallow import validate
from pymongo import MongoClient

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops


class BookSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True, validate=validate.Length(min=1, max=200))
    author = ma.String(required=True)
    year = ma.Integer(validate=validate.Range(min=1450, max=2100))
    lent = ma.Boolean(load_default=False)


class BookResource(Resource):
    collection = "books"
    schema = BookSchema
    filters = {
        "title": [ops.Exact, ops.IContains],
        "author": [ops.Exact],
        "year": [ops.Exact, ops.Gte, ops.Lt],
        "lent": [ops.Boolean],
    }
    allowed_ordering = ["title", "year", "-year"]


class Hello:
    def on_get(self, req, resp):
        resp.media = {"library": "open"}


app = falcon.App()
app.add_route("/hello", Hello())

client = MongoClient(os.environ.get("MONGODB_URI", "mongodb://localhost:27017"))
api = FalcoRest(app, client["library"])


@api.register(name="books", url="/books/")
class BookView(ResourceView):
    resource = BookResource
    methods = [methods.Create, methods.Fetch, methods.List, methods.Update, methods.BulkUpdate]
