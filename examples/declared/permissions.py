"""Notes: everybody reads what is public, and writers look after their own."""

import falcon
from marshmallow import fields as ma

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from falcorest.auth import TokenAuthentication


class NoteSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    text = ma.String(required=True)
    writer = ma.String(dump_only=True)
    public = ma.Boolean(load_default=False)


class NoteResource(Resource):
    collection = "notes"
    schema = NoteSchema
    filters = {"public": [ops.Boolean], "writer": [ops.Exact]}

    def has_read_permission(self, req, query):
        # Stored names. What doesn't match isn't there for this caller: 404.
        return query.where({"$or": [{"public": True}, {"writer": req.context.user}]})

    def has_add_permission(self, req, document):
        # What would be stored.
        return len(document["text"]) < 1000

    def has_change_permission(self, req, document):
        # What is stored. False is 403.
        return document["writer"] == req.context.user

    has_delete_permission = has_change_permission

    def create_object(self, data):
        return super().create_object({**data, "writer": self.req.context.user})


class NoteView(ResourceView):
    resource = NoteResource
    methods = methods.ALL


class PublicNoteView(ResourceView):
    resource = NoteResource
    methods = [methods.Fetch, methods.List]

    def has_read_permission(self, req, query):
        # In addition to that of the resource.
        return query.where({"public": True})


def create_app(db):
    app = falcon.App()
    tokens = {"token-of-ada": "ada", "token-of-bob": "bob"}  # yours are secret, and stored hashed
    api = FalcoRest(app, db, authentication_methods=[TokenAuthentication(tokens.get)])
    api.register(name="notes", url="/notes/")(NoteView)
    api.register(name="public-notes", url="/public-notes/")(PublicNoteView)
    return app
