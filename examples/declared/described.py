"""A catalogue of books that describes itself."""

import falcon
from marshmallow import fields as ma
from marshmallow import validate

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops


class BookSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True, validate=validate.Length(max=120))
    pages = ma.Integer(validate=validate.Range(min=1), metadata={"description": "Without covers."})


class BookResource(Resource):
    collection = "books"
    schema = BookSchema
    filters = {"pages": [ops.Gte, ops.Lt]}
    allowed_ordering = ["title"]


class BookView(ResourceView):
    resource = BookResource
    methods = [methods.Create, methods.Fetch, methods.List]


def create_app(db):
    app = falcon.App()
    api = FalcoRest(app, db)
    api.register(name="books", url="/v1/books/")(BookView)
    api.describe("/v1/openapi.json", docs="/v1/docs", title="Books", version="1.2")
    return app
