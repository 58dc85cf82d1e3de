"""Members of a club: three names for one field, and values that JSON lacks."""

import falcon
from marshmallow import ValidationError, validate, validates
from marshmallow import fields as ma

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods


class AddressSchema(Schema):
    street = ma.String(required=True)
    city = ma.String(required=True)


class MemberSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    email = ma.Email(required=True, attribute="mail")
    name = ma.String(required=True, data_key="fullName")
    born = ma.Date()
    joined = ma.DateTime(dump_only=True)
    fee = ma.Decimal(places=2, as_string=True)
    level = ma.String(validate=validate.OneOf(["bronze", "silver", "gold"]))
    address = ma.Nested(AddressSchema)
    pin = ma.String(load_only=True)

    @validates("pin")
    def validate_pin(self, value, data_key):
        if not (value.isdigit() and len(value) == 4):
            raise ValidationError("Four digits are expected.")


class MemberResource(Resource):
    collection = "members"
    schema = MemberSchema
    rename_fields = {"born": "birthday"}


class MemberView(ResourceView):
    resource = MemberResource
    methods = [methods.Create, methods.Fetch, methods.Update, methods.Replace]


def create_app(db):
    app = falcon.App()
    api = FalcoRest(app, db)
    api.register(name="members", url="/members/")(MemberView)
    return app
