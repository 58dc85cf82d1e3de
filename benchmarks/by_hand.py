"""The yardstick: the least code that gives the same answers to the same requests.

It validates nothing and serves nothing else.
"""

from __future__ import annotations

import os
from typing import Any

import falcon
import orjson
from bson import ObjectId
from pymongo import MongoClient


def create_app() -> falcon.App:
    database = MongoClient(os.environ["MONGODB_URI"])[os.environ["DATABASE"]]
    app = falcon.App()
    app.add_route("/api/posts", Posts(database["posts"]))
    app.add_route("/api/posts/{id}", Post(database["posts"]))
    return app


def dump(value: Any) -> bytes:
    return orjson.dumps(value, default)


def default(value: Any) -> Any:
    if isinstance(value, ObjectId):
        return {"$oid": str(value)}
    raise TypeError


class Posts:
    def __init__(self, collection: Any) -> None:
        self.collection = collection

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        condition: dict[str, Any] = {}
        if "author" in req.params:
            least = int(req.params["rating"].removeprefix("gte[int]."))
            condition = {"author": req.params["author"], "rating": {"$gte": least}}
        found = self.collection.find(condition, limit=int(req.params.get("_limit", 0)))
        if "_sort" in req.params:
            found = found.sort("views", 1)
        resp.content_type = falcon.MEDIA_JSON
        resp.data = dump(found.to_list())

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        data = orjson.loads(req.bounded_stream.read())
        resp.status = falcon.HTTP_201
        resp.content_type = falcon.MEDIA_JSON
        if isinstance(data, list):
            self.collection.insert_many(data)
            resp.data = dump([{"_id": document["_id"]} for document in data])
        else:
            self.collection.insert_one(data)
            resp.data = dump({"_id": data["_id"]})

    def on_patch(self, req: falcon.Request, resp: falcon.Response) -> None:
        update = orjson.loads(req.bounded_stream.read())
        batch = int(req.params["batch"].removeprefix("[int]."))
        result = self.collection.update_many({"batch": batch}, update)
        resp.content_type = falcon.MEDIA_JSON
        resp.data = dump(
            {"matched_items": result.matched_count, "modified_items": result.modified_count}
        )


class Post:
    def __init__(self, collection: Any) -> None:
        self.collection = collection

    def on_get(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        resp.content_type = falcon.MEDIA_JSON
        resp.data = dump(self.collection.find_one({"_id": ObjectId(id)}))

    def on_patch(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        fields = orjson.loads(req.bounded_stream.read())
        self.collection.update_one({"_id": ObjectId(id)}, {"$set": fields})
        resp.status = falcon.HTTP_204
