"""Transactions: what hooks and permissions have seen is what is written, or nothing is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import falcon
import marshmallow
import pytest
from bson import ObjectId
from marshmallow import fields as ma

from falcorest import Query, Resource, ResourceView, Schema, database, fields, methods
from falcorest import operators as ops
from falcorest.errors import Conflict
from tests import watching
from tests.declared import DeclaredApi, MakeDeclared
from tests.support import assert_problem
from tests.watching import snapshot

Document = dict[str, Any]

#: One database is shared by all tests here.
shared_databases, make_database = watching.shared_databases, watching.make_database
WITHOUT_REPLACE = [method for method in methods.ALL if method is not methods.Replace]


class UserSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String(required=True)


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True)
    author = fields.Reference("users")


class Users(Resource):
    collection = "users"
    schema = UserSchema


class Posts(Resource):
    collection = "posts"
    schema = PostSchema
    filters = {"title": [ops.Exact, ops.Startswith]}
    related_resources = {"author": Users}
    save_related_fields = ["author"]


def views(resource: type[Resource] = Posts) -> dict[str, type[ResourceView]]:
    """Return a view of everything, and one in which PUT updates."""
    return {
        "posts": type("View", (ResourceView,), {"resource": resource, "methods": methods.ALL}),
        "updated": type(
            "Updated", (ResourceView,), {"resource": resource, "methods": WITHOUT_REPLACE}
        ),
    }


def hooked(**hooks: Any) -> type[Resource]:
    return type("Hooked", (Posts,), hooks)


def with_users(**hooks: Any) -> type[Resource]:
    """Return posts whose users have some hooks."""
    return hooked(related_resources={"author": type("HookedUsers", (Users,), hooks)})


def put_user(api: DeclaredApi, name: str) -> Document:
    user = {"_id": ObjectId(), "name": name}
    api.database.users.insert_one(user)
    return user


def put_posts(api: DeclaredApi, count: int) -> list[Document]:
    posts = [{"_id": ObjectId(), "title": f"p{number}"} for number in range(count)]
    api.database.posts.insert_many(posts)
    return posts


def titles(api: DeclaredApi) -> list[str]:
    return sorted(post["title"] for post in api.database.posts.find())


#: The ways to change or remove a document that is there.
WRITES = {
    "PATCH": ("PATCH", "/posts/ID", {"title": "x"}),
    "PUT that updates": ("PUT", "/updated/ID", {"title": "x"}),
    "PUT that replaces": ("PUT", "/posts/ID", {"title": "x"}),
    "bulk PATCH": ("PATCH", "/posts/?title__startswith=p", {"title": "x"}),
    "bulk PUT": ("PUT", "/posts/?title__startswith=p", {"title": "x"}),
    "DELETE": ("DELETE", "/posts/ID", ...),
    "bulk DELETE": ("DELETE", "/posts/?title__startswith=p", ...),
}
CHANGES = [way for way in WRITES if "DELETE" not in way]


def write(api: DeclaredApi, way: str, post: Document) -> Any:
    """Write in one of the ways."""
    method, url, body = WRITES[way]
    return api(method, url.replace("ID", str(post["_id"])), body)


class Between:
    """Another client that writes once, when it is told to: while a request is under way."""

    def __init__(self, api: DeclaredApi) -> None:
        self._database = api.database
        self._waiting = True

    def write(self, collection: str, identity: Any, values: Document) -> None:
        if self._waiting:
            self._waiting = False
            self._database[collection].update_one({"_id": identity}, {"$set": values})


# --------------------------------------------------------------------------- what was read


def count_up(document: Document, data: Document) -> Document:
    return {**data, "count": document.get("count", 0) + 1}


def update_object(self: Any, document: Document, data: Document) -> Document:
    return Resource.update_object(self, document, count_up(document, data))


def validate_request(self: Any, data: Any, document: Document | None = None) -> Document:
    return count_up(document or {}, Resource.validate_request(self, data, document))


@pytest.mark.parametrize("hook", [update_object, validate_request])
def test_a_hook_that_computes_from_the_document_loses_no_update(
    live_declared: MakeDeclared, hook: Callable[..., Any]
) -> None:
    api = live_declared(**views(hooked(**{hook.__name__: hook})))
    [post] = put_posts(api, 1)
    answers: list[int] = []

    def change() -> None:
        for _ in range(5):
            answers.append(write(api, "PATCH", post).status_code)

    threads = [threading.Thread(target=change) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(answers) == 40
    assert set(answers) <= {200, 409}
    assert api.database.posts.find_one()["count"] == answers.count(200)


@pytest.mark.parametrize("way", list(WRITES))
def test_a_document_that_is_locked_after_the_permission_was_asked_is_not_written(
    live_declared: MakeDeclared, way: str
) -> None:
    def permit(self: Any, req: falcon.Request, document: Document) -> bool:
        allowed = not document.get("locked")
        between.write("posts", document["_id"], {"locked": True})
        return allowed

    api = live_declared(**views(hooked(has_change_permission=permit, has_delete_permission=permit)))
    between = Between(api)
    [post] = put_posts(api, 1)
    assert_problem(write(api, way, post), 401, "auth.required")
    assert snapshot(api.database) == {"posts": [{**post, "locked": True}]}


@pytest.mark.parametrize("way", list(WRITES))
def test_a_document_that_is_hidden_meanwhile_is_not_written(
    live_declared: MakeDeclared, way: str
) -> None:
    """As if it had been hidden when the request came."""

    def rule(self: Any, req: falcon.Request, query: Query) -> Query:
        return query.where({"locked": {"$ne": True}})

    def permit(self: Any, req: falcon.Request, document: Document) -> bool:
        between.write("posts", document["_id"], {"locked": True})
        return True

    hooks = {"has_change_permission": permit, "has_delete_permission": permit}
    api = live_declared(**views(hooked(has_read_permission=rule, **hooks)))
    between = Between(api)
    [post] = put_posts(api, 1)
    result = write(api, way, post)
    if "bulk" in way:
        assert (result.status_code, result.json) == (200, {"count": 0})
    else:
        assert_problem(result, 404, "document.not_found")
    assert snapshot(api.database) == {"posts": [{**post, "locked": True}]}


# ------------------------------------------------------------------------------ trying again


@pytest.mark.parametrize("way", CHANGES)
def test_a_hook_that_changes_the_body_gets_a_copy_for_each_document_and_attempt(
    live_declared: MakeDeclared, way: str
) -> None:
    seen: list[Any] = []

    def validate_request(self: Any, data: Any, document: Document | None = None) -> Document:
        seen.append(dict(data))
        data["title"] += "!"
        assert document is not None
        between.write("posts", document["_id"], {"touched": True})
        return Resource.validate_request(self, data, document)

    api = live_declared(**views(hooked(validate_request=validate_request)))
    between = Between(api)
    posts = put_posts(api, 3)
    assert write(api, way, posts[0]).status_code == 200
    several = "bulk" in way
    assert seen == [{"title": "x"}] * (6 if several else 2)
    assert titles(api) == ["x!", "x!", "x!"] if several else ["p1", "p2", "x!"]


class HeadlineSchema(PostSchema):
    """Takes its field out of the body, as marshmallow's hooks often do."""

    @marshmallow.pre_load
    def renamed(self, data: Any, **kwargs: Any) -> Any:
        data["title"] = data.pop("headline")
        return data


def test_a_hook_of_the_schema_gets_a_copy_for_each_document(make_declared: MakeDeclared) -> None:
    resource = hooked(schema=HeadlineSchema, has_change_permission=lambda self, req, document: True)
    api = make_declared(**views(resource))
    put_posts(api, 3)
    result = api.patch("/posts/?title__startswith=p", {"headline": "x"})
    assert result.json == {"count": 3}
    assert titles(api) == ["x", "x", "x"]


@pytest.mark.parametrize("several", [False, True])
def test_a_nested_write_that_is_tried_again_begins_with_the_body_as_it_came(
    live_declared: MakeDeclared, several: bool
) -> None:
    def validate_request(self: Any, data: Any, document: Document | None = None) -> Document:
        data["title"] += "!"
        return Resource.validate_request(self, data, document)

    def update_object(self: Any, document: Document, data: Document) -> Document:
        between.write("users", document["_id"], {"name": "other"})
        return Resource.update_object(self, document, data)

    users = with_users(update_object=update_object).related_resources
    resource = hooked(validate_request=validate_request, related_resources=users)
    api = live_declared(**views(resource))
    between = Between(api)
    ann = put_user(api, "Ann")
    body = {"title": "x", "author": {"id": str(ann["_id"]), "name": "Anna"}}
    api.create("/posts/", [body, {"title": "y"}] if several else body)
    assert titles(api) == ["x!", "y!"] if several else ["x!"]
    assert api.database.users.find_one() == {**ann, "name": "Anna"}


@pytest.mark.parametrize("way", ["nested POST", *WRITES])
def test_what_collides_each_time_is_given_up(
    live_declared: MakeDeclared, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A hook that writes past the transaction is in its own way."""
    monkeypatch.setattr(database, "RETRY_SECONDS", 0.2)
    attempts: list[int] = []

    def collide(name: str) -> Callable[..., Any]:
        def hook(self: Any, document: Document, *data: Document) -> Any:
            attempts.append(1)
            self.service.collection.update_one({"_id": document["_id"]}, {"$inc": {"edits": 1}})
            return getattr(Resource, name)(self, document, *data)

        return hook

    hooks = {name: collide(name) for name in ("update_object", "delete_object")}
    users = with_users(**hooks).related_resources
    api = live_declared(**views(hooked(**hooks, related_resources=users)))
    [post], ann = put_posts(api, 1), put_user(api, "Ann")
    began = monotonic()
    if way == "nested POST":
        item = {"id": str(ann["_id"]), "name": "Anna"}
        result = api.post("/posts/", {"title": "new", "author": item})
    else:
        result = write(api, way, post)
    assert_problem(result, 409, "write.conflict")
    assert monotonic() - began < 3
    written = {"edits": len(attempts)}
    assert snapshot(api.database) == {
        "posts": [post if way == "nested POST" else {**post, **written}],
        "users": [{**ann, **written} if way == "nested POST" else ann],
    }


# -------------------------------------------------------------------------------- refusals


@pytest.fixture
def getting(live_declared: MakeDeclared) -> tuple[DeclaredApi, list[Document]]:
    """An API whose users are got, where one of that name is there; and what was asked for."""
    seen: list[Document] = []

    def create_object(self: Any, data: Document) -> Document:
        seen.append(data)
        try:
            return Resource.create_object(self, data)
        except Conflict:
            [found] = self.service.find(Query({"name": data["name"]}))
            return dict(found)

    posts = with_users(create_object=create_object)
    users: Any = posts.related_resources["author"]
    api = live_declared(**views(posts), users=views(users)["posts"])
    api.database.users.create_index("name", unique=True)
    return api, seen


@pytest.mark.parametrize("several", [False, True])
def test_a_refusal_ends_a_transaction_though_a_hook_catches_it(
    getting: tuple[DeclaredApi, list[Document]], several: bool
) -> None:
    """MongoDB has undone it by then, so there is nothing to go on with, or to try again."""
    api, seen = getting
    ann = put_user(api, "Ann")
    body = {"title": "x", "author": {"name": "Ann"}}
    began = monotonic()
    result = api.post("/posts/", [{"title": "y"}, body] if several else body)
    assert_problem(result, 409, "document.duplicate", naming="name")
    assert monotonic() - began < database.RETRY_SECONDS / 2
    assert len(seen) == 1
    assert snapshot(api.database) == {"users": [ann]}


def test_a_hook_may_catch_a_refusal_where_there_is_no_transaction(
    getting: tuple[DeclaredApi, list[Document]],
) -> None:
    api, seen = getting
    ann = put_user(api, "Ann")
    assert api.create("/users/", {"name": "Ann"})["id"] == str(ann["_id"])
    assert len(seen) == 1


@pytest.mark.parametrize("way", ["POST", "bulk POST", *CHANGES])
def test_a_duplicate_key_in_a_write_of_a_hooks_own_is_409(
    declared_api: MakeDeclared, way: str
) -> None:
    def create_object(self: Any, data: Document) -> Document:
        self.service.collection.insert_one(data)
        return data

    def update_object(self: Any, document: Document, data: Document) -> Document:
        self.service.collection.update_one({"_id": document["_id"]}, {"$set": data})
        return {**document, **data}

    api = declared_api(**views(hooked(create_object=create_object, update_object=update_object)))
    api.database.posts.create_index("title", unique=True)
    api.database.posts.insert_one({"title": "x"})
    [post] = put_posts(api, 1)
    before = snapshot(api.database)
    if "POST" in way:
        result = api.post("/posts/", [{"title": "x"}] if "bulk" in way else {"title": "x"})
    else:
        result = write(api, way, post)
    assert_problem(result, 409, "document.duplicate")
    assert snapshot(api.database) == before


def test_a_document_without_a_schema_is_put_by_permission_only(
    declared_api: MakeDeclared,
) -> None:
    class Raw(Resource):
        collection = "raw"

        def has_add_permission(self, req: Any, document: dict[str, Any]) -> bool:
            return "open" in document

        def has_change_permission(self, req: Any, document: dict[str, Any]) -> bool:
            return "open" in document

    view = type("RawView", (ResourceView,), {"resource": Raw, "methods": methods.ALL})
    api = declared_api(raw=view)
    api.database.raw.insert_one({"_id": "locked", "a": 1})
    assert api("PUT", "/raw/locked", {"open": 1}).status_code == 401
    assert api("PUT", "/raw/new", {"a": 1}).status_code == 401
    assert api("PUT", "/raw/new", {"open": 1}).status_code == 201
    assert api("PUT", "/raw/new", {"a": 2}).status_code == 204
    stored = list(api.database.raw.find(sort=[("_id", 1)]))
    assert stored == [{"_id": "locked", "a": 1}, {"_id": "new", "a": 2}]
