"""The yardstick of the zero-code door: the least code that gives the same answers.

It validates nothing and serves nothing else.
"""

from __future__ import annotations

import os
from datetime import datetime
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
    app.add_route("/api/new_posts", Posts(database["new_posts"]))
    return app


def dump(value: Any) -> bytes:
    return orjson.dumps(value, default, orjson.OPT_PASSTHROUGH_DATETIME)


def default(value: Any) -> Any:
    if isinstance(value, ObjectId):
        return {"$oid": str(value)}
    if isinstance(value, datetime):
        return {"$date": f"{value.isoformat(timespec='milliseconds')}Z"}
    raise TypeError


def load(data: dict[str, Any]) -> dict[str, Any]:
    data["author"] = ObjectId(data["author"]["$oid"])
    data["created"] = datetime.fromisoformat(data["created"]["$date"])
    return data


class Posts:
    def __init__(self, collection: Any) -> None:
        self.collection = collection

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        condition: dict[str, Any] = {}
        if "author" in req.params:
            author = ObjectId(req.params["author"].removeprefix("[oid]."))
            least = int(req.params["rating"].removeprefix("gte[int]."))
            condition = {"author": author, "rating": {"$gte": least}}
        found = self.collection.find(condition, limit=int(req.params["_limit"]))
        if "_sort" in req.params:
            found = found.sort("views", 1)
        resp.content_type = falcon.MEDIA_JSON
        resp.data = dump(found.to_list())

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        data = orjson.loads(req.bounded_stream.read())
        resp.status = falcon.HTTP_201
        resp.content_type = falcon.MEDIA_JSON
        if isinstance(data, list):
            result = self.collection.insert_many([load(one) for one in data])
            resp.data = dump([{"_id": identity} for identity in result.inserted_ids])
        else:
            resp.data = dump({"_id": self.collection.insert_one(load(data)).inserted_id})

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
