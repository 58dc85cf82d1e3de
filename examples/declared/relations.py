"""Articles, their authors and their comments: four kinds of relations."""

import falcon
from marshmallow import fields as ma

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops


class AuthorSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String(required=True)


class SourceSchema(Schema):
    title = ma.String(required=True)
    year = ma.Integer()


class ArticleSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True)
    author = fields.Reference("authors", required=True)
    editors = ma.List(fields.Reference("authors"))
    sources = ma.List(ma.Nested(SourceSchema))


class CommentSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    text = ma.String(required=True)
    article = fields.Reference("articles", required=True)


class AuthorResource(Resource):
    collection = "authors"
    schema = AuthorSchema


class EditorResource(AuthorResource):
    uri_prefix = "/authors"  # shown as URLs


class SourceResource(Resource):
    schema = SourceSchema  # no collection: embedded


class CommentResource(Resource):
    collection = "comments"
    schema = CommentSchema
    default_limit = 3  # so many comments of each article


class ArticleResource(Resource):
    collection = "articles"
    schema = ArticleSchema
    related_resources = {
        "author": AuthorResource,  # a reference
        "editors": EditorResource,  # a list of references
        "sources": SourceResource,  # a list of embedded documents
        "comments": CommentResource,  # the other way round
    }
    related_resources_hints = {"comments": "article"}
    filters = {"author": [ops.Exact]}


class AuthorView(ResourceView):
    resource = AuthorResource
    methods = [methods.Create, methods.Fetch, methods.List]


class ArticleView(ResourceView):
    resource = ArticleResource
    methods = [methods.Create, methods.Fetch, methods.List, methods.Update]


class CommentView(ResourceView):
    resource = CommentResource
    methods = [methods.Create]


def create_app(db):
    app = falcon.App()
    api = FalcoRest(app, db)
    api.register(name="authors", url="/authors/")(AuthorView)
    api.register(name="articles", url="/articles/")(ArticleView)
    api.register(name="comments", url="/comments/")(CommentView)
    return app
