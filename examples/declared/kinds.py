"""A media library: photos and videos in one collection."""

import falcon
from marshmallow import fields as ma

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops


class MediumSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    kind = ma.String(dump_only=True)
    title = ma.String(required=True)


class PhotoSchema(MediumSchema):
    width = ma.Integer(required=True)
    height = ma.Integer(required=True)


class VideoSchema(MediumSchema):
    seconds = ma.Float(required=True)


class PhotoResource(Resource):
    schema = PhotoSchema


class VideoResource(Resource):
    schema = VideoSchema


class MediumResource(Resource):
    collection = "media"
    schema = MediumSchema
    type_field = "kind"
    child_document_resources = {"photo": PhotoResource, "video": VideoResource}
    filters = {"kind": [ops.Exact], "title": [ops.IContains], "seconds": [ops.Lt]}


class MediumView(ResourceView):
    resource = MediumResource
    methods = [methods.Create, methods.BulkCreate, methods.Fetch, methods.List, methods.Update]


def create_app(db):
    app = falcon.App()
    api = FalcoRest(app, db)
    api.register(name="media", url="/media/")(MediumView)
    return app
