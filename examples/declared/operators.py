"""Operators of one's own: a range, and a word in a list without regard to capitals."""

import re

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


class Word(ops.Operator):
    """tags__word=garden is also "Garden" and "GARDEN"."""

    op = "word"
    takes = "str"  # the text as it stands

    def condition(self, field, value, negate=False):
        # What a client sends is never a pattern: escape it.
        pattern = re.compile(f"^{re.escape(value)}$", re.IGNORECASE)
        return {field: {"$nin" if negate else "$in": [pattern]}}


class ProductSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String(required=True)
    price = ma.Decimal(places=2, as_string=True)
    tags = ma.List(ma.String())


class ProductResource(Resource):
    collection = "products"
    schema = ProductSchema
    filters = {"price": [Between], "tags": [Word(allow_negation=True)]}


class ProductView(ResourceView):
    resource = ProductResource
    methods = [methods.BulkCreate, methods.List]


def create_app(db):
    app = falcon.App()
    api = FalcoRest(app, db)
    api.register(name="products", url="/products/")(ProductView)
    return app
