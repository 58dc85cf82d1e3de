"""Orders and their lines, written together in one request."""

import falcon
from marshmallow import fields as ma
from marshmallow import validate

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods


class LineSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    product = ma.String(required=True)
    pieces = ma.Integer(required=True, validate=validate.Range(min=1))


class OrderSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    customer = ma.String(required=True)
    lines = ma.List(fields.Reference("lines"))


class LineResource(Resource):
    collection = "lines"
    schema = LineSchema


class OrderResource(Resource):
    collection = "orders"
    schema = OrderSchema
    related_resources = {"lines": LineResource}
    save_related_fields = ["lines"]


class OrderView(ResourceView):
    resource = OrderResource
    methods = [methods.Create, methods.Fetch, methods.Update]


def create_app(db):
    app = falcon.App()
    api = FalcoRest(app, db)
    api.register(name="orders", url="/orders/")(OrderView)
    return app
