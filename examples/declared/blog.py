"""A blog: what a resource shows, and what clients may filter and order by."""

import falcon
from marshmallow import fields as ma

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops


class ContentSchema(Schema):
    text = ma.String(required=True)
    language = ma.String()


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True)
    content = ma.Nested(ContentSchema)
    tags = ma.List(ma.String())
    rating = ma.Float()
    published = ma.Boolean(load_default=False)


class PostResource(Resource):
    collection = "posts"
    schema = PostSchema
    fields = ["id", "title", "content", "tags", "rating", "published"]
    rename_fields = {"published": "is_published"}
    filters = {
        "title": [ops.Exact, ops.Startswith, ops.IContains(allow_negation=True)],
        "tags": [ops.Exact, ops.In(allow_negation=True)],
        "rating": [ops.Gte, ops.Lt, ops.Exists],
        "is_published": [ops.Boolean],
        "content__language": [ops.Exact],
    }
    allowed_ordering = ["title", "rating", "-rating"]
    default_limit = 20

    def get_optional_fields(self):
        return ["words"]  # shown when _fields names it

    def words(self, document):
        # No field of the schema has this name, so it is computed.
        return len(document.get("content", {}).get("text", "").split())


class PostView(ResourceView):
    resource = PostResource
    methods = methods.ALL


def create_app(db):
    app = falcon.App()
    api = FalcoRest(app, db)
    api.register(name="posts", url="/posts/")(PostView)
    return app
