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
    # Shown in this order; "words" is no field, so it is computed by the method of that name.
    fields = ["id", "title", "content", "tags", "rating", "published", "words"]
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

    def get_fields(self):
        # Texts are long: a list leaves them out unless _fields asks for them.
        if self.view_method is methods.List:
            return [name for name in self.fields if name not in self.get_optional_fields()]
        return self.fields

    def get_optional_fields(self):
        return ["content", "words"]

    def words(self, document):
        return len(document.get("content", {}).get("text", "").split())


class PostView(ResourceView):
    resource = PostResource
    methods = methods.ALL


def create_app(db):
    app = falcon.App()
    api = FalcoRest(app, db)
    api.register(name="posts", url="/posts/")(PostView)
    return app
