"""Pages of a wiki: names made from titles, a bin, and a word count beside the list."""

import datetime as dt
import re

import falcon
from marshmallow import ValidationError
from marshmallow import fields as ma

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops


class PageSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True)
    text = ma.String()
    name = ma.String(dump_only=True)
    changed = ma.DateTime(dump_only=True)


class PageResource(Resource):
    collection = "pages"
    schema = PageSchema
    filters = {"title": [ops.IContains], "name": [ops.Exact]}

    def validate_request(self, data, document=None):
        # document is None for a new one. What comes back has stored names.
        data = super().validate_request(data, document)
        if "title" in data:
            data["name"] = "-".join(re.findall(r"\w+", data["title"].lower()))
            if not data["name"]:
                raise ValidationError("A title has a letter in it.", "title")
        return data

    def create_object(self, data):
        return super().create_object({**data, "changed": dt.datetime.now(dt.UTC)})

    def update_object(self, document, data):
        # document is what is stored, data what changes.
        return super().update_object(document, {**data, "changed": dt.datetime.now(dt.UTC)})

    def delete_object(self, document):
        # Into the bin; the read rule keeps it out of sight.
        super().update_object(document, {"deleted": True})

    def has_read_permission(self, req, query):
        return query.where({"deleted": {"$ne": True}})

    def get_objects(self, query):
        documents, has_more = super().get_objects(query)
        words = sum(len(document.get("text", "").split()) for document in documents)
        return documents, has_more, {"words": words}

    def serialize(self, document):
        return {**super().serialize(document), "url": f"/wiki/{document['name']}"}

    def handle_serialization_error(self, error, document):
        return None  # a page that can't be shown is left out


class PageView(ResourceView):
    resource = PageResource
    methods = [methods.Create, methods.Fetch, methods.List, methods.Update, methods.Delete]


def create_app(db):
    app = falcon.App()
    api = FalcoRest(app, db)
    api.register(name="pages", url="/pages/")(PageView)
    return app
