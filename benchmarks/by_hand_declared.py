"""The yardsticks of the declared door: the least code that gives the same answers.

One of them makes and reads the objects by hand and validates nothing; the other one has a
marshmallow schema do it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

import falcon
import marshmallow
import orjson
from bson import ObjectId
from marshmallow import fields as ma
from pymongo import MongoClient, ReturnDocument

Documents = list[dict[str, Any]]
Shape = Callable[[Any], Any]


def create_app() -> falcon.App:
    """Make the application that is written by hand."""
    return _app(show, show_with_authors, load)


def create_app_with_schema() -> falcon.App:
    """Make the application that leaves dumping and loading to marshmallow."""
    return _app(
        PostSchema(many=True).dump,
        PostWithAuthorSchema(many=True).dump,
        PostSchema().load,
        PostSchema(partial=True).load,
    )


def _app(show: Shape, show_with_authors: Any, load: Shape, load_partly: Shape = dict) -> falcon.App:
    database = MongoClient(os.environ["MONGODB_URI"])[os.environ["DATABASE"]]
    app = falcon.App()
    for name in ("posts", "new_posts"):
        app.add_route(f"/{name}", Posts(database[name], show, load, load_partly))
    app.add_route("/posts/{id}", Post(database["posts"], show, load_partly))
    app.add_route("/all_posts", AllPosts(database["posts"], show))
    app.add_route("/posts_with_authors", PostsWithAuthors(database, show_with_authors))
    return app


# ----------------------------------------------------------------------------- objects by hand


def show(documents: Documents) -> Documents:
    return [{"id": document.pop("_id"), **document} for document in documents]


def show_with_authors(documents: Documents) -> Documents:
    for document in documents:
        author = document["author"]
        document["author"] = {"id": author["_id"], "name": author["name"], "email": author["email"]}
    return show(documents)


def load(data: dict[str, Any]) -> dict[str, Any]:
    data["author"] = ObjectId(data["author"])
    data["created"] = datetime.fromisoformat(data["created"])
    return data


# ------------------------------------------------------------------------------- or by a schema


class ObjectIdField(ma.Field[ObjectId]):
    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        return str(value)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> ObjectId:
        return ObjectId(value)


class ContentSchema(marshmallow.Schema):
    language = ma.String()
    words = ma.Integer()


class PostSchema(marshmallow.Schema):
    id = ObjectIdField(attribute="_id", dump_only=True)
    title = ma.String(required=True)
    author = ObjectIdField()
    rating = ma.Integer()
    views = ma.Integer()
    body = ma.String()
    is_published = ma.Boolean()
    tags = ma.List(ma.String())
    created = ma.DateTime()
    batch = ma.Integer()
    content = ma.Nested(ContentSchema)


class UserSchema(marshmallow.Schema):
    id = ObjectIdField(attribute="_id", dump_only=True)
    name = ma.String()
    email = ma.Email()


class PostWithAuthorSchema(PostSchema):
    author = ma.Nested(UserSchema)


# ------------------------------------------------------------------------------------ the views


def default(value: Any) -> str:
    if isinstance(value, ObjectId):
        return str(value)
    raise TypeError


def answer(resp: falcon.Response, value: Any) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = orjson.dumps(value, default)


class Posts:
    def __init__(self, collection: Any, show: Shape, load: Shape, load_partly: Shape) -> None:
        self.collection = collection
        self.show = show
        self.load = load
        self.load_partly = load_partly

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        condition: dict[str, Any] = {}
        if "author" in req.params:
            least = int(req.params["rating__gte"])
            condition = {"author": ObjectId(req.params["author"]), "rating": {"$gte": least}}
        limit = int(req.params["_limit"])
        found = self.collection.find(condition, limit=limit + 1)
        if "_order_by" in req.params:
            found = found.sort("views", 1)
        documents = found.to_list()
        shown = self.show(documents[:limit])
        answer(resp, {"data": shown, "has_more": len(documents) > limit})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        data = orjson.loads(req.bounded_stream.read())
        resp.status = falcon.HTTP_201
        if isinstance(data, list):
            documents = [self.load(one) for one in data]
            self.collection.insert_many(documents)
            answer(resp, {"data": self.show(documents)})
        else:
            document = self.load(data)
            self.collection.insert_one(document)
            answer(resp, self.show([document])[0])

    def on_patch(self, req: falcon.Request, resp: falcon.Response) -> None:
        fields = self.load_partly(orjson.loads(req.bounded_stream.read()))
        condition = {"batch": int(req.params["batch"])}
        result = self.collection.update_many(condition, {"$set": fields})
        answer(resp, {"count": result.matched_count})


class Post:
    def __init__(self, collection: Any, show: Shape, load_partly: Shape) -> None:
        self.collection = collection
        self.show = show
        self.load_partly = load_partly

    def on_get(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        answer(resp, self.show([self.collection.find_one({"_id": ObjectId(id)})])[0])

    def on_patch(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        fields = self.load_partly(orjson.loads(req.bounded_stream.read()))
        document = self.collection.find_one_and_update(
            {"_id": ObjectId(id)}, {"$set": fields}, return_document=ReturnDocument.AFTER
        )
        answer(resp, self.show([document])[0])


class AllPosts:
    def __init__(self, collection: Any, show: Shape) -> None:
        self.collection = collection
        self.show = show

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        documents = self.collection.find(limit=int(req.params["_limit"])).to_list()
        answer(resp, {"data": self.show(documents)})


class PostsWithAuthors:
    def __init__(self, database: Any, show: Shape) -> None:
        self.posts = database["posts"]
        self.users = database["users"]
        self.show = show

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        limit = int(req.params["_limit"])
        documents = self.posts.find(limit=limit + 1).to_list()
        has_more = len(documents) > limit
        del documents[limit:]
        identities = list({document["author"] for document in documents})
        found = self.users.find({"_id": {"$in": identities}}, ["name", "email"])
        authors = {author["_id"]: author for author in found.to_list()}
        for document in documents:
            document["author"] = authors[document["author"]]
        answer(resp, {"data": self.show(documents), "has_more": has_more})
