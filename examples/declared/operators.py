"""Operators of one's own: a range, and a word in a text."""

import falcon
from marshmallow import fields as ma

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops


class Between(ops.Operator):
    """price__between=10,20 is 10 or more, and less than 20."""

    op = "between"
    takes = "list"  # the text is split at commas; each part is converted by the field

    def condition(self, field, value, negate=False):
        if len(value) != 2:
            raise ValueError("two values are expected, as in 10,20")
        low, high = value
        inside = {"$gte": low, "$lt": high}
        return {field: {"$not": inside} if negate else inside}


class Word(ops.Pattern):
    """name__word=rake is a text with that word in it. What a client sends is escaped."""

    op = "word"
    pattern = r"(?i)\b{}\b"


class ProductSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String(required=True)
    price = ma.Decimal(places=2, as_string=True)


class ProductResource(Resource):
    collection = "products"
    schema = ProductSchema
    filters = {"price": [Between], "name": [Word(allow_negation=True)]}


class ProductView(ResourceView):
    resource = ProductResource
    methods = [methods.BulkCreate, methods.List]


def create_app(db):
    app = falcon.App()
    api = FalcoRest(app, db)
    api.register(name="products", url="/products/")(ProductView)
    return app
