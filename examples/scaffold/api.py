"""A REST API for the MongoDB database shop.

falcorest scaffold made it from what it saw: types, and which fields are required, are
those of the documents that it looked at. Go through them before you rely on them.

As api.py, it runs under any WSGI server:

    gunicorn 'api:create_app()'
    waitress-serve --call api:create_app
    granian --interface wsgi --factory api:create_app

MONGODB_URI and DATABASE, in the environment or in .env, say where the data is.

Everybody may read, and nobody may write. To have it otherwise, give a view
authentication_methods (see falcorest.auth), and more methods, such as methods.Create.
"""

from typing import Any, ClassVar

import falcon
from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from falcorest.database import connect
from falcorest.settings import load_settings
from marshmallow import fields as ma

DEFAULT_URI = "mongodb://localhost:27017/shop"


# The collection "customers": 2 documents were looked at, all of them.
class CustomerSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String(required=True)
    email = ma.String(required=True)


class CustomerResource(Resource):
    # Unique: "email".
    collection = "customers"
    schema = CustomerSchema
    filters: ClassVar = {
        "id": [ops.Exact, ops.In],
        "name": [ops.Exact, ops.In, ops.Startswith],
        "email": [ops.Exact, ops.In, ops.Startswith],
    }
    allowed_ordering = ("id", "-id", "email", "-email")
    indexes: ClassVar = [{"keys": "email", "unique": True}]


class CustomerView(ResourceView):
    resource = CustomerResource
    methods = (methods.List, methods.Fetch)


# The collection "orders": 2 documents were looked at, all of them.
class OrderLinesSchema(Schema):
    product = ma.String(required=True)
    pieces = ma.Integer(required=True)


class OrderSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    customer = fields.Reference("customers", required=True)
    placed = ma.DateTime(required=True)
    lines = ma.List(ma.Nested(OrderLinesSchema), required=True)
    note = ma.String()


class OrderResource(Resource):
    collection = "orders"
    schema = OrderSchema
    filters: ClassVar = {
        "id": [ops.Exact, ops.In],
        "customer": [ops.Exact, ops.In],
        "placed": [ops.Exact, ops.Gt, ops.Gte, ops.Lt, ops.Lte],
        "note": [ops.Exact, ops.In, ops.Startswith],
    }
    allowed_ordering = ("id", "-id")
    # References are shown as ids. To show what they refer to:
    # related_resources: ClassVar = {"customer": lambda: CustomerResource}


class OrderView(ResourceView):
    resource = OrderResource
    methods = (methods.List, methods.Fetch)


def create_app(database: Any = None) -> falcon.App:
    """Make the WSGI application.

    Args:
        database: A pymongo Database. Unless given, it is the one that MONGODB_URI and
            DATABASE name; the connection is made when the first request comes.
    """
    if database is None:
        settings = load_settings()
        uri = settings.mongodb_uri or DEFAULT_URI
        database = connect(uri, settings.database, timeout_ms=settings.timeout_ms)
    app = falcon.App()
    api = FalcoRest(app, database)
    api.register(name="customers", url="/customers/")(CustomerView)
    api.register(name="orders", url="/orders/")(OrderView)
    return app
