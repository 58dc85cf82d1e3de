"""Declared resources with everything that a description has to say.

Integers are strict and nothing is a Boolean, because marshmallow takes ``"5"`` for 5 and 0 for
false, which a description doesn't encourage.
"""

from __future__ import annotations

import enum
from typing import Any

from marshmallow import fields as ma
from marshmallow import validate

from falcorest import Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class SizeSchema(Schema):
    height = ma.Integer(strict=True, required=True, validate=validate.Range(min=0))
    unit = ma.String(load_default="mm", validate=validate.OneOf(["mm", "in"]))


class SizeResource(Resource):
    schema = SizeSchema


class PartSchema(Schema):
    name = ma.String(required=True)


class UserSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String(required=True, validate=validate.Length(min=1, max=50))
    password = ma.String(load_only=True)


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True, validate=validate.Length(max=40))
    author = fields.Reference("described_users", allow_none=True)
    readers = ma.List(fields.Reference("described_users"))
    size = ma.Nested(SizeSchema, allow_none=True)
    parts = ma.List(ma.Nested(PartSchema), validate=validate.Length(max=3))
    stars = ma.Integer(strict=True, validate=validate.Range(min=0, max=5))
    price = ma.Decimal()
    exact = fields.Decimal128()
    image = fields.Binary()
    colour = ma.Enum(Colour)
    token = ma.UUID()
    on = ma.Date()
    at = ma.AwareDateTime()
    time = ma.Time()
    extra = ma.Dict(keys=ma.String(), values=ma.Integer(strict=True))
    pair = ma.Tuple((ma.String(), ma.Date()))
    note = ma.String(data_key="remark", metadata={"description": "What else there is to say."})


class UserResource(Resource):
    collection = "described_users"
    schema = UserSchema
    filters = {"name": [ops.Exact, ops.IContains]}
    allowed_ordering = ["name", "-name"]
    related_resources = {"posts": lambda: PostResource}
    related_resources_hints = {"posts": "author"}
    require_if_match = True
    max_depth = 1


class PostResource(Resource):
    collection = "described_posts"
    schema = PostSchema
    fields = [*PostSchema().fields, "shout"]
    rename_fields = {"author": "author_id"}
    related_resources = {"author": UserResource, "readers": UserResource, "size": SizeResource}
    save_related_fields = ["readers"]
    filters = {
        "title": [ops.Exact, ops.Startswith, ops.In(allow_negation=True)],
        "author_id": [ops.Exact],
        "stars": [ops.Gte, ops.Lt, ops.In, ops.Exists],
        "size__height": [ops.Gt],
        "on": [ops.Lte],
    }
    allowed_ordering = ["title", "-title", "stars,-title"]

    def shout(self, document: dict[str, Any]) -> str:
        return str(document.get("title", "")).upper()

    def get_optional_fields(self) -> list[str]:
        return ["shout"]


class MediumSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    kind = ma.String(dump_only=True)
    title = ma.String(required=True)


class PhotoSchema(MediumSchema):
    width = ma.Integer(strict=True, required=True)


class VideoSchema(MediumSchema):
    seconds = ma.Float(required=True)


class PhotoResource(Resource):
    schema = PhotoSchema


class VideoResource(Resource):
    schema = VideoSchema


class MediumResource(Resource):
    collection = "described_media"
    schema = MediumSchema
    type_field = "kind"
    child_document_resources = {"photo": PhotoResource, "video": VideoResource}
    filters = {"kind": [ops.Exact]}


class UserView(ResourceView):
    resource = UserResource
    methods = [methods.Create, methods.Fetch, methods.List, methods.Update, methods.Delete]


class PostView(ResourceView):
    resource = PostResource
    methods = methods.ALL
    # PERF: it does what PATCH does, and exercising either takes its time.
    on_put = None


class MediumView(ResourceView):
    resource = MediumResource
    # NOTE: which fields a change may have depends on the kind of the document that is there.
    methods = [methods.Create, methods.BulkCreate, methods.Fetch, methods.List, methods.Delete]


VIEWS: dict[str, type[ResourceView]] = {
    "users": UserView,
    "posts": PostView,
    "media": MediumView,
}
