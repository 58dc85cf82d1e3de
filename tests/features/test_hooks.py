"""Hooks: each of the contract's, overridden and calling what it overrides."""

from __future__ import annotations

import copy
import datetime as dt
import gc
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import falcon
import marshmallow
import pytest
from bson import Decimal128, ObjectId
from marshmallow import fields as ma
from marshmallow import validate

from falcorest import Query, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from falcorest.auth import AuthenticationBase
from falcorest.errors import Conflict, Forbidden, NotFound
from falcorest.service import CollectionService
from tests import watching
from tests.declared import DeclaredApi, MakeDeclared
from tests.support import assert_problem
from tests.watching import snapshot

Document = dict[str, Any]

#: One database is shared by all tests here.
shared_databases, make_database = watching.shared_databases, watching.make_database


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True, validate=validate.Length(max=20))
    rating = ma.Integer(attribute="r")
    secret = ma.String()


class Posts(Resource):
    collection = "posts"
    schema = PostSchema
    filters = {"title": [ops.Exact, ops.Startswith], "rating": [ops.Gte]}
    allowed_ordering = ["rating", "-rating"]


class PostKind(Resource):
    schema = PostSchema


def view_of(resource: type[Resource], **more: Any) -> type[ResourceView]:
    return type("View", (ResourceView,), {"resource": resource, "methods": methods.ALL, **more})


def hooked(**hooks: Callable[..., Any]) -> type[ResourceView]:
    """Return a view of posts with some hooks."""
    return view_of(type("Hooked", (Posts,), hooks))


def stored_post(api: DeclaredApi, **values: Any) -> Document:
    document = {"_id": ObjectId(), "title": "a post", "r": 1, **values}
    api.database.posts.insert_one(document)
    return document


# ------------------------------------------------------------------------------------- reading


def test_get_objects_may_give_other_documents(declared_api: MakeDeclared) -> None:
    seen: list[Query] = []

    def get_objects(self: Any, query: Query) -> tuple[list[Document], bool]:
        seen.append(query)
        documents, has_more = super(type(self), self).get_objects(query)
        return [*documents[::-1], {"_id": ObjectId(), "title": "made up"}], not has_more

    api = declared_api(posts=hooked(get_objects=get_objects))
    stored_post(api, title="one", r=1)
    stored_post(api, title="two", r=2)
    answer = api.get("/posts/?rating__gte=1&_order_by=rating&_skip=0&_limit=5").json
    assert [one["title"] for one in answer["data"]] == ["two", "one", "made up"]
    assert answer["has_more"] is True
    [query] = seen
    assert query.filter == {"r": {"$gte": 1}}
    assert (query.sort, query.skip, query.limit) == ((("r", 1),), 0, 5)


def test_get_objects_may_add_to_the_envelope(make_declared: MakeDeclared) -> None:
    def get_objects(self: Any, query: Query) -> Any:
        documents, has_more = super(type(self), self).get_objects(query)
        total = self.service.collection.count_documents(query.condition)
        return documents, has_more, {"total": total, "nested": {"a": [1]}}

    api = make_declared(posts=hooked(get_objects=get_objects))
    for number in range(3):
        stored_post(api, r=number)
    answer = api.get("/posts/?_limit=2&rating__gte=1").json
    assert len(answer.pop("data")) == 2
    assert answer == {"has_more": False, "total": 2, "nested": {"a": [1]}}
    assert api.get("/posts/?_limit=0").json == {
        "data": [],
        "has_more": True,
        "total": 3,
        "nested": {"a": [1]},
    }


def test_get_objects_of_an_unpaged_list_may_add_to_the_envelope(
    make_declared: MakeDeclared,
) -> None:
    class Unpaged(Posts):
        paginate = False

        def get_objects(self, query: Query) -> Any:
            documents, has_more = super().get_objects(query)
            assert has_more is None
            return documents, has_more, {"extra": 1}

    api = make_declared(posts=view_of(Unpaged))
    stored_post(api)
    answer = api.get("/posts/").json
    assert len(answer.pop("data")) == 1
    assert answer == {"extra": 1}


def test_get_objects_may_be_a_generator_of_ones_own(make_declared: MakeDeclared) -> None:
    """What a hook finds elsewhere is shown by the schema all the same."""

    def get_objects(self: Any, query: Query) -> Any:
        return [{"_id": number, "title": str(number), "unknown": 1} for number in range(2)], False

    class FreeSchema(PostSchema):
        id = ma.Raw(attribute="_id", dump_only=True)

    resource = type("Own", (Posts,), {"schema": FreeSchema, "get_objects": get_objects})
    api = make_declared(posts=view_of(resource))
    assert api.listed("/posts/") == [{"id": 0, "title": "0"}, {"id": 1, "title": "1"}]


FORMS: dict[str, Callable[[list[Document]], Any]] = {
    "a list": list,
    "a tuple": tuple,
    "a generator": lambda documents: (one for one in documents),
    "an iterator": iter,
}


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("serializing", [False, True])
def test_get_objects_may_give_anything_to_go_through(
    make_declared: MakeDeclared, form: str, serializing: bool
) -> None:
    def get_objects(self: Any, query: Query) -> Any:
        return FORMS[form](self.service.find(query)), False

    hooks: dict[str, Any] = {"get_objects": get_objects}
    if serializing:
        hooks["serialize"] = lambda self, document: Resource.serialize(self, document)
    api = make_declared(posts=hooked(**hooks))
    for number in range(3):
        stored_post(api, title=str(number))
    assert [one["title"] for one in api.listed("/posts/")] == ["0", "1", "2"]


def test_get_objects_may_give_a_cursor(declared_api: MakeDeclared) -> None:
    def get_objects(self: Any, query: Query) -> Any:
        return self.service.collection.find(query.condition), False

    api = declared_api(posts=hooked(get_objects=get_objects))
    for number in range(3):
        stored_post(api, title=str(number))
    assert [one["title"] for one in api.listed("/posts/")] == ["0", "1", "2"]


def test_get_objects_is_given_the_read_rule(make_declared: MakeDeclared) -> None:
    seen: list[Query] = []

    def get_objects(self: Any, query: Query) -> Any:
        seen.append(query)
        return super(type(self), self).get_objects(query)

    def rule(self: Any, req: Any, query: Query) -> Query:
        return query.where({"r": 2})

    api = make_declared(posts=hooked(get_objects=get_objects, has_read_permission=rule))
    stored_post(api, r=1)
    stored_post(api, r=2)
    assert [one["rating"] for one in api.listed("/posts/")] == [2]
    assert seen[0].condition == {"r": 2}


GET_OBJECT = [
    ("GET", ..., methods.Fetch),
    ("PATCH", {"title": "x"}, methods.Update),
    ("PUT", {"title": "x"}, methods.Replace),
    ("DELETE", ..., methods.Delete),
]


@pytest.mark.parametrize(("method", "body", "kind"), GET_OBJECT)
def test_get_object_finds_the_document_of_every_item_request(
    make_declared: MakeDeclared, method: str, body: Any, kind: type[methods.Method]
) -> None:
    seen: list[Any] = []

    def get_object(self: Any, identity: Any, query: Query) -> Document:
        seen.append((identity, query.condition, self.view_method))
        return super(type(self), self).get_object(identity, query)

    def rule(self: Any, req: Any, query: Query) -> Query:
        return query.where({"r": 1})

    api = make_declared(posts=hooked(get_object=get_object, has_read_permission=rule))
    stored = stored_post(api)
    assert api(method, f"/posts/{stored['_id']}", body).status_code in {200, 204}
    assert seen == [(stored["_id"], {"r": 1}, kind)]


@pytest.mark.parametrize(("method", "body", "kind"), GET_OBJECT)
def test_get_object_may_refuse(
    make_declared: MakeDeclared, method: str, body: Any, kind: type[methods.Method]
) -> None:
    def get_object(self: Any, identity: Any, query: Query) -> Document:
        raise NotFound("document.not_found", "Not today.")

    api = make_declared(posts=hooked(get_object=get_object))
    stored = stored_post(api)
    result = api(method, f"/posts/{stored['_id']}", body)
    assert_problem(result, 404, "document.not_found", naming="Not today.")
    assert snapshot(api.database) == {"posts": [stored]}


@pytest.mark.parametrize(("method", "body", "kind"), GET_OBJECT)
def test_get_object_that_finds_none_is_404(
    make_declared: MakeDeclared, method: str, body: Any, kind: type[methods.Method]
) -> None:
    api = make_declared(posts=hooked(get_object=lambda self, identity, query: None))
    stored = stored_post(api)
    result = api(method, f"/posts/{stored['_id']}", body)
    assert_problem(result, 404, "document.not_found")
    assert snapshot(api.database) == {"posts": [stored]}


def test_get_object_may_look_elsewhere(declared_api: MakeDeclared) -> None:
    """One that finds another document changes and removes that one."""

    def get_object(self: Any, identity: Any, query: Query) -> Document:
        current = self.service.collection.find_one({"title": "current"})
        return super(type(self), self).get_object(current["_id"], query)

    api = declared_api(posts=hooked(get_object=get_object))
    current = stored_post(api, title="current")
    url = f"/posts/{ObjectId()}"
    assert api.get(url).json["id"] == str(current["_id"])
    assert api.patch(url, {"rating": 9}).json["rating"] == 9
    assert api.database.posts.find_one()["r"] == 9
    assert api.delete(url).status_code == 204
    assert api.database.posts.count_documents({}) == 0


def test_get_object_may_call_what_it_overrides_by_the_names_of_the_contract(
    make_declared: MakeDeclared,
) -> None:
    class Named(Posts):
        def get_object(self, id: Any, query: Query) -> Document:
            return super().get_object(id=id, query=query)

    api = make_declared(posts=view_of(Named))
    url = f"/posts/{stored_post(api)['_id']}"
    assert api.get(url).json["title"] == "a post"
    assert api.patch(url, {"rating": 2}).json["rating"] == 2
    assert api.delete(url).status_code == 204


# --------------------------------------------------------------------------- validate_request


class Validating(Posts):
    """Refuses some titles, and adds to what is stored."""

    def validate_request(self, data: Any, document: Document | None = None) -> Document:
        _SEEN.append((copy.deepcopy(data), copy.deepcopy(document)))
        loaded = super().validate_request(data, document)
        if loaded.get("title") == "wrong":
            raise marshmallow.ValidationError({"title": ["It is wrong."]})
        if loaded.get("title") == "none":
            raise marshmallow.ValidationError("None of this.")
        return {**loaded, "stamp": "old" if document else "new"}


_SEEN: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    _SEEN.clear()


WRITES: dict[str, tuple[str, str]] = {
    "create": ("POST", "/posts/"),
    "bulk create": ("POST", "/posts/"),
    "update by PATCH": ("PATCH", "/posts/ID"),
    "update by PUT": ("PUT", "/updated/ID"),
    "replace": ("PUT", "/posts/ID"),
    "bulk update by PATCH": ("PATCH", "/posts/?title=a+post"),
    "bulk update by PUT": ("PUT", "/posts/?title=a+post"),
}
ALL_BUT_REPLACE = [method for method in methods.ALL if method is not methods.Replace]


def make_both(make: MakeDeclared, resource: type[Resource]) -> DeclaredApi:
    return make(posts=view_of(resource), updated=view_of(resource, methods=ALL_BUT_REPLACE))


@pytest.mark.parametrize("write", list(WRITES))
def test_validate_request_says_what_is_stored(declared_api: MakeDeclared, write: str) -> None:
    api = make_both(declared_api, Validating)
    stored = stored_post(api)
    method, url = WRITES[write]
    body: Document = {"title": "right"}
    several = [body, {"title": "too"}] if write == "bulk create" else body
    result = api(method, url.replace("ID", str(stored["_id"])), several)
    assert result.status_code in {200, 201}, result.text
    created = "create" in write
    assert _SEEN[0] == (body, None if created else stored)
    assert len(_SEEN) == (2 if write == "bulk create" else 1)
    found = list(api.database.posts.find({"title": {"$in": ["right", "too"]}}))
    assert [one["stamp"] for one in found] == ["new" if created else "old"] * len(_SEEN)


@pytest.mark.parametrize("title", ["wrong", "none"])
@pytest.mark.parametrize("write", list(WRITES))
def test_validate_request_may_refuse(declared_api: MakeDeclared, write: str, title: str) -> None:
    api = make_both(declared_api, Validating)
    stored = stored_post(api)
    before = snapshot(api.database)
    method, url = WRITES[write]
    body: Any = {"title": title}
    if write == "bulk create":
        body = [{"title": "right"}, body]
    problem = assert_problem(
        api(method, url.replace("ID", str(stored["_id"])), body), 400, "body.invalid"
    )
    errors = problem["field-errors"]
    if write == "bulk create":
        assert list(errors) == ["1"]
        errors = errors["1"]
    assert errors == (
        {"title": ["It is wrong."]} if title == "wrong" else {"_schema": ["None of this."]}
    )
    assert snapshot(api.database) == before


def test_validate_request_of_a_bulk_update_may_refuse_the_last_document(
    declared_api: MakeDeclared,
) -> None:
    def validate_request(self: Any, data: Any, document: Document | None = None) -> Document:
        if document is not None and document["r"] == 3:
            raise marshmallow.ValidationError({"title": ["Not for the third."]})
        return super(type(self), self).validate_request(data, document)

    api = declared_api(posts=hooked(validate_request=validate_request))
    for number in range(4):
        stored_post(api, r=number)
    before = snapshot(api.database)
    result = api.patch("/posts/?title=a+post", {"title": "x"})
    assert_problem(result, 400, "body.invalid", naming="Not for the third.")
    assert snapshot(api.database) == before


def test_validate_request_may_take_other_bodies(make_declared: MakeDeclared) -> None:
    def validate_request(self: Any, data: Any, document: Document | None = None) -> Document:
        data = {"title": data.pop("headline"), **data}
        return super(type(self), self).validate_request(data, document)

    api = make_declared(posts=hooked(validate_request=validate_request))
    assert api.create("/posts/", {"headline": "x"})["title"] == "x"
    assert (
        api.patch(f"/posts/{api.listed('/posts/')[0]['id']}", {"headline": "y"}).json["title"]
        == "y"
    )


class RichSchema(PostSchema):
    day = ma.Date()
    price = ma.Decimal(as_string=True)
    key = ma.UUID()


@pytest.mark.parametrize("write", list(WRITES))
def test_validate_request_may_put_values_of_python_in(
    declared_api: MakeDeclared, write: str
) -> None:
    asked: list[Document] = []

    class Rich(Posts):
        schema = RichSchema

        def validate_request(self, data: Any, document: Document | None = None) -> Document:
            loaded = super().validate_request(data, document)
            day, key = dt.date(2024, 2, 29), uuid.UUID(int=1)
            return {**loaded, "day": day, "price": Decimal("1.50"), "key": key}

        def has_add_permission(self, req: falcon.Request, document: Document) -> bool:
            asked.append(document)
            return True

    api = make_both(declared_api, Rich)
    stored = stored_post(api)
    method, url = WRITES[write]
    body: Any = {"title": "x"}
    result = api(
        method, url.replace("ID", str(stored["_id"])), [body] if "create" in write else body
    )
    assert result.status_code in {200, 201}, result.text
    [found] = api.database.posts.find({"title": "x"})
    assert (found["day"], found["price"]) == (dt.datetime(2024, 2, 29), Decimal128("1.50"))
    assert asked == ([found] if "create" in write else [])
    shown = api.get(f"/posts/{found['_id']}").json
    assert (shown["day"], shown["price"]) == ("2024-02-29", "1.50")
    assert shown["key"] == str(uuid.UUID(int=1))


class CheckedSchema(PostSchema):
    @marshmallow.validates_schema
    def checked(self, data: Any, **kwargs: Any) -> None:
        wrong = {
            "one": marshmallow.ValidationError("No.", "rating"),
            "several": marshmallow.ValidationError({"rating": ["No."]}),
        }
        if data.get("title") in wrong:
            raise wrong[data["title"]]


@pytest.mark.parametrize("title", ["one", "several", "hook"])
@pytest.mark.parametrize("write", list(WRITES))
def test_a_refusal_by_the_names_of_the_schema_is_told_by_those_of_the_client(
    make_declared: MakeDeclared, write: str, title: str
) -> None:
    class Checked(Posts):
        schema = CheckedSchema
        rename_fields = {"rating": "stars"}
        filters = {"title": [ops.Exact]}
        allowed_ordering = []

        def validate_request(self, data: Any, document: Document | None = None) -> Document:
            if data["title"] == "hook":
                raise marshmallow.ValidationError({"rating": ["No."]})
            return super().validate_request(data, document)

    api = make_both(make_declared, Checked)
    stored = stored_post(api)
    method, url = WRITES[write]
    body: Any = {"title": title}
    result = api(
        method, url.replace("ID", str(stored["_id"])), [body] if write == "bulk create" else body
    )
    errors = assert_problem(result, 400, "body.invalid")["field-errors"]
    assert (errors["0"] if write == "bulk create" else errors) == {"stars": ["No."]}


# -------------------------------------------------------------------------- create, update, delete


@pytest.mark.parametrize("several", [False, True])
def test_create_object_stores(declared_api: MakeDeclared, several: bool) -> None:
    seen: list[Document] = []

    def create_object(self: Any, data: Document) -> Document:
        seen.append(copy.deepcopy(data))
        created = super(type(self), self).create_object({**data, "by": "the hook"})
        assert created["_id"] == data["_id"]
        return created

    api = declared_api(posts=hooked(create_object=create_object))
    bodies = [{"title": "x", "rating": 1}, {"title": "y", "rating": 2}]
    result = api.post("/posts/", bodies if several else bodies[0])
    assert result.status_code == 201, result.text
    expected = 2 if several else 1
    assert [{**one, "_id": None} for one in seen] == [
        {"_id": None, "title": "x", "r": 1},
        {"_id": None, "title": "y", "r": 2},
    ][:expected]
    stored = list(api.database.posts.find())
    assert [one["by"] for one in stored] == ["the hook"] * expected
    shown = result.json["data"] if several else [result.json]
    assert [one["id"] for one in shown] == [str(one["_id"]) for one in stored]


def test_create_object_may_return_another_document(declared_api: MakeDeclared) -> None:
    """Get-or-create: the answer shows, and locates, what the hook returned."""

    def create_object(self: Any, data: Document) -> Document:
        found = self.service.collection.find_one({"title": data["title"]})
        return found or super(type(self), self).create_object(data)

    api = declared_api(posts=hooked(create_object=create_object))
    stored = stored_post(api)
    result = api.post("/posts/", {"title": "a post"})
    assert result.status_code == 201
    assert result.json["id"] == str(stored["_id"])
    assert result.headers["location"] == f"/posts/{stored['_id']}"
    assert api.database.posts.count_documents({}) == 1


def test_create_object_that_fails_undoes_the_ones_before(live_declared: MakeDeclared) -> None:
    def create_object(self: Any, data: Document) -> Document:
        if data["title"] == "bad":
            raise Conflict("write.conflict", "Bad.")
        return super(type(self), self).create_object(data)

    api = live_declared(posts=hooked(create_object=create_object))
    result = api.post("/posts/", [{"title": "good"}, {"title": "bad"}])
    assert_problem(result, 409, "write.conflict")
    assert snapshot(api.database) == {}


def test_update_object_changes(declared_api: MakeDeclared) -> None:
    seen: list[Any] = []

    def update_object(self: Any, document: Document, data: Document) -> Document:
        seen.append((copy.deepcopy(document), copy.deepcopy(data)))
        changed = super(type(self), self).update_object(document, {**data, "by": "the hook"})
        assert changed["by"] == "the hook"
        return {**changed, "title": "as the hook says"}

    resource = type("Hooked", (Posts,), {"update_object": update_object})
    api = make_both(declared_api, resource)
    stored = stored_post(api)
    url = f"/posts/{stored['_id']}"
    assert api.patch(url, {"rating": 5}).json["title"] == "as the hook says"
    assert seen.pop() == (stored, {"r": 5})
    now = api.database.posts.find_one()
    assert now == {**stored, "r": 5, "by": "the hook"}
    assert api.put(f"/updated/{stored['_id']}", {"rating": 6}).json["rating"] == 6
    assert seen.pop() == (now, {"r": 6})
    now = api.database.posts.find_one()
    assert api.put(url, {"title": "whole"}).status_code == 200
    assert seen.pop() == (now, {"title": "whole"})
    # What the schema knows and the body lacks is gone.
    assert api.database.posts.find_one() == {
        "_id": stored["_id"],
        "title": "whole",
        "by": "the hook",
    }
    for number in range(2):
        stored_post(api, title=f"b{number}")
    assert api.patch("/posts/?title__startswith=b", {"rating": 7}).json == {"count": 2}
    assert [data for _, data in seen] == [{"r": 7}, {"r": 7}]
    assert api.database.posts.count_documents({"r": 7, "by": "the hook"}) == 2


@pytest.mark.parametrize("hook", ["create_object", "update_object"])
def test_a_hook_that_returns_nothing_is_answered_with_what_is_stored(
    declared_api: MakeDeclared, hook: str
) -> None:
    def silent(self: Any, *arguments: Any) -> None:
        getattr(super(type(self), self), hook)(*arguments)

    api = declared_api(posts=hooked(**{hook: silent}))
    created = api.create("/posts/", {"title": "x", "rating": 1})
    assert (created["title"], created["rating"]) == ("x", 1)
    changed = api.patch(f"/posts/{created['id']}", {"rating": 2})
    assert changed.json == {**created, "rating": 2}


def test_a_change_that_hides_the_document_is_answered_with_it(declared_api: MakeDeclared) -> None:
    """The same with a hook and without."""

    def rule(self: Any, req: Any, query: Query) -> Query:
        return query.where({"r": 1})

    def update_object(self: Any, document: Document, data: Document) -> Document:
        return Resource.update_object(self, document, data)

    api = declared_api(
        posts=hooked(has_read_permission=rule),
        others=hooked(has_read_permission=rule, update_object=update_object),
    )
    for place in ("posts", "others"):
        stored = stored_post(api)
        result = api.patch(f"/{place}/{stored['_id']}", {"rating": 2})
        assert (result.status_code, result.json["rating"]) == (200, 2)
        assert_problem(api.get(f"/{place}/{stored['_id']}"), 404, "document.not_found")


def test_delete_object_removes(declared_api: MakeDeclared) -> None:
    seen: list[Document] = []

    def delete_object(self: Any, document: Document) -> None:
        seen.append(copy.deepcopy(document))
        assert super(type(self), self).delete_object(document) is None

    api = declared_api(posts=hooked(delete_object=delete_object))
    first, second, third = (stored_post(api, title=f"p{n}", extra=n) for n in range(3))
    assert api.delete(f"/posts/{first['_id']}").status_code == 204
    assert seen == [first]
    assert api.delete("/posts/?title__startswith=p").json == {"count": 2}
    assert seen == [first, second, third]
    assert api.database.posts.count_documents({}) == 0


def test_delete_object_may_only_mark(declared_api: MakeDeclared) -> None:
    def delete_object(self: Any, document: Document) -> None:
        self.service.collection.update_one({"_id": document["_id"]}, {"$set": {"gone": True}})

    def rule(self: Any, req: Any, query: Query) -> Query:
        return query.where({"gone": {"$ne": True}})

    api = declared_api(posts=hooked(delete_object=delete_object, has_read_permission=rule))
    stored = stored_post(api)
    other = stored_post(api, title="other")
    assert api.delete(f"/posts/{stored['_id']}").status_code == 204
    assert_problem(api.delete(f"/posts/{stored['_id']}"), 404, "document.not_found")
    assert [one["title"] for one in api.listed("/posts/")] == ["other"]
    assert api.delete("/posts/?title__startswith=o").json == {"count": 1}
    assert api.listed("/posts/") == []
    assert snapshot(api.database) == {"posts": [{**stored, "gone": True}, {**other, "gone": True}]}


FAILING_BULK = [
    ("update_object", "PATCH", {"title": "x"}),
    ("update_object", "PUT", {"title": "x"}),
    ("delete_object", "DELETE", ...),
]


@pytest.mark.parametrize(("hook", "method", "body"), FAILING_BULK)
def test_a_bulk_hook_that_fails_in_the_middle_leaves_nothing(
    live_declared: MakeDeclared, hook: str, method: str, body: Any
) -> None:
    def fail_at_the_last(self: Any, document: Document, *data: Document) -> Any:
        if document["r"] == 3:
            raise Forbidden("permission.denied", "Not the last.")
        return getattr(super(type(self), self), hook)(document, *data)

    api = live_declared(posts=hooked(**{hook: fail_at_the_last}))
    for number in range(4):
        stored_post(api, r=number)
    before = snapshot(api.database)
    result = api(method, "/posts/?title=a+post", body)
    assert_problem(result, 403, "permission.denied", naming="Not the last.")
    assert snapshot(api.database) == before


@pytest.mark.parametrize(
    ("hook", "method", "url"),
    [
        ("create_object", "POST", "/posts/"),
        ("update_object", "PATCH", "/posts/ID"),
        ("update_object", "PUT", "/posts/ID"),
        ("delete_object", "DELETE", "/posts/ID"),
        ("update_object", "PATCH", "/posts/?title=a+post"),
        ("delete_object", "DELETE", "/posts/?title=a+post"),
    ],
)
def test_a_hook_may_refuse_as_a_schema_does(
    make_declared: MakeDeclared, hook: str, method: str, url: str
) -> None:
    def refuse(self: Any, *arguments: Any) -> Any:
        raise marshmallow.ValidationError({"title": ["Not that."]})

    api = make_declared(posts=hooked(**{hook: refuse}))
    stored = stored_post(api)
    body = ... if method == "DELETE" else {"title": "x"}
    problem = assert_problem(
        api(method, url.replace("ID", str(stored["_id"])), body), 400, "body.invalid"
    )
    assert problem["field-errors"] == {"title": ["Not that."]}
    assert snapshot(api.database) == {"posts": [stored]}


def test_hooks_see_the_documents_of_a_bulk_write_whole(declared_api: MakeDeclared) -> None:
    seen: list[Document] = []

    def change(self: Any, req: Any, document: Document) -> bool:
        seen.append(document)
        return True

    resource = type("Hooked", (Posts,), {"fields": ["title"], "has_change_permission": change})
    api = declared_api(posts=view_of(resource))
    stored = [stored_post(api, extra={"deep": n}) for n in range(2)]
    assert api.patch("/posts/?title=a+post", {"title": "x"}).json == {"count": 2}
    assert seen == stored


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
def test_the_read_rule_is_not_asked_for_each_document_that_is_written(
    make_declared: MakeDeclared, method: str
) -> None:
    asked: list[Query] = []

    class Ruled(Posts):
        def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
            asked.append(query)
            return query.where({"r": 1})

        def has_change_permission(self, req: falcon.Request, document: Document) -> bool:
            return True

        def has_delete_permission(self, req: falcon.Request, document: Document) -> bool:
            return True

    api = make_declared(posts=view_of(Ruled))
    for _ in range(20):
        stored_post(api)
    body = ... if method == "DELETE" else {"title": "x"}
    assert api(method, "/posts/?title=a+post", body).json == {"count": 20}
    assert len(asked) <= 2


# ------------------------------------------------------------------------------------ serialize

SHOWING = ["list", "fetch", "PATCH", "PUT", "POST", "bulk POST", "stream"]


def shown_by(api: DeclaredApi, path: str, stored: Document) -> Document:
    """Return what a request shows of one document."""
    url = f"/posts/{stored['_id']}"
    answers: dict[str, Callable[[], Any]] = {
        "list": lambda: api.listed("/posts/")[0],
        "stream": lambda: api.listed("/unpaged/")[0],
        "fetch": lambda: api.get(url).json,
        "PATCH": lambda: api.patch(url, {"title": "a post"}).json,
        "PUT": lambda: api.put(url, {"title": "a post", "rating": 1}).json,
        "POST": lambda: api.create("/posts/", {"title": "a post", "rating": 1}),
        "bulk POST": lambda: api.create("/posts/", [{"title": "a post", "rating": 1}])["data"][0],
    }
    shown: Document = answers[path]()
    return shown


def make_shown(make: MakeDeclared, resource: type[Resource]) -> DeclaredApi:
    unpaged = type("Unpaged", (resource,), {"paginate": False})
    return make(posts=view_of(resource), unpaged=view_of(unpaged))


@pytest.mark.parametrize("path", SHOWING)
def test_serialize_shows(make_declared: MakeDeclared, path: str) -> None:
    class Shown(Posts):
        def serialize(self, document: Document) -> dict[str, Any]:
            shown = super().serialize(document)
            return {**shown, "title": shown["title"].upper(), "stored": document["r"]}

    api = make_shown(make_declared, Shown)
    shown = shown_by(api, path, stored_post(api))
    assert shown.pop("id")
    assert shown == {"title": "A POST", "rating": 1, "stored": 1}


def test_serialize_may_say_something_else(make_declared: MakeDeclared) -> None:
    api = make_declared(posts=hooked(serialize=lambda self, document: {"only": document["r"]}))
    stored = stored_post(api, r=4)
    assert api.get("/posts/").json == {"data": [{"only": 4}], "has_more": False}
    assert api.get(f"/posts/{stored['_id']}").json == {"only": 4}


def test_serialize_keeps_to_fields(make_declared: MakeDeclared) -> None:
    class Shown(Posts):
        def serialize(self, document: Document) -> dict[str, Any]:
            return {**super().serialize(document), "all": sorted(document)}

    api = make_declared(posts=view_of(Shown))
    stored_post(api)
    assert api.listed("/posts/?_fields=title") == [
        {"title": "a post", "all": ["_id", "r", "title"]}
    ]


def test_serialize_may_be_called_twice_and_for_other_documents(
    make_declared: MakeDeclared,
) -> None:
    class Shown(Posts):
        def serialize(self, document: Document) -> dict[str, Any]:
            first, second = super().serialize(document), super().serialize(document)
            other = super().serialize({**document, "title": "other"})
            assert first == second
            return {**first, "other": other["title"]}

    api = make_declared(posts=view_of(Shown))
    for number in range(3):
        stored_post(api, title=str(number))
    assert [(one["title"], one["other"]) for one in api.listed("/posts/")] == [
        (str(number), "other") for number in range(3)
    ]


@pytest.mark.parametrize("path", SHOWING)
def test_serialize_may_change_the_document_first(make_declared: MakeDeclared, path: str) -> None:
    class Shown(Posts):
        def serialize(self, document: Document) -> dict[str, Any]:
            document["title"] = document["title"].upper()
            return super().serialize(document)

    api = make_shown(make_declared, Shown)
    stored = stored_post(api)
    assert shown_by(api, path, stored)["title"] == "A POST"
    assert set(api.database.posts.distinct("title")) == {"a post"}


class LinkedSchema(PostSchema):
    author = fields.Reference("users")
    editors = ma.List(fields.Reference("users"))


class UserSchema(Schema):
    name = ma.String()


class Users(Resource):
    collection = "users"
    schema = UserSchema


class LinkedPosts(Posts):
    schema = LinkedSchema
    fields = ["title", "author", "editors"]
    related_resources = {"author": Users, "editors": Users}


def test_serialize_may_change_what_is_shown_of_a_related_document(
    make_declared: MakeDeclared,
) -> None:
    """Other documents that refer to it as well are not affected."""

    class Shown(LinkedPosts):
        def serialize(self, document: Document) -> dict[str, Any]:
            shown = super().serialize(document)
            shown["author"]["of"] = shown["title"]
            for number, editor in enumerate(shown["editors"]):
                editor["number"] = number
            return shown

    api = make_declared(posts=view_of(Shown))
    ann = ObjectId()
    api.database.users.insert_one({"_id": ann, "name": "Ann"})
    for title in ("a", "b"):
        stored_post(api, title=title, author=ann, editors=[ann, ann])
    assert api.listed("/posts/") == [
        {
            "title": title,
            "author": {"name": "Ann", "of": title},
            "editors": [{"name": "Ann", "number": 0}, {"name": "Ann", "number": 1}],
        }
        for title in ("a", "b")
    ]


# ------------------------------------------------------------------- what can't be shown


def broken(**hooks: Any) -> type[Resource]:
    """Return a resource that fails to show documents whose title is ``bad``."""

    def serialize(self: Any, document: Document) -> dict[str, Any]:
        if document["title"] == "bad":
            raise RuntimeError("can't be shown")
        return Resource.serialize(self, document)

    return type("Broken", (Posts,), {"serialize": serialize, **hooks})


def test_what_cannot_be_shown_breaks_by_default(make_declared: MakeDeclared) -> None:
    class Host:
        def __call__(self, req: Any, resp: Any, error: Any, params: Any) -> None:
            resp.status = 500
            resp.text = str(error)

    api = make_declared(posts=view_of(broken()))
    api.app.add_error_handler(RuntimeError, Host())
    stored_post(api, title="bad")
    result = api.get("/posts/")
    assert (result.status_code, result.text) == (500, "can't be shown")


def note_error(given: Any) -> Callable[..., Any]:
    def handle_serialization_error(self: Any, error: Exception, document: Document) -> Any:
        assert isinstance(error, RuntimeError)
        assert str(error) == "can't be shown"
        return None if given is None else {**given, "id": str(document["_id"])}

    return handle_serialization_error


def test_what_cannot_be_shown_may_be_left_out(make_declared: MakeDeclared) -> None:
    resource = broken(handle_serialization_error=note_error(None))
    api = make_shown(make_declared, resource)
    bad = stored_post(api, title="bad")
    stored_post(api, title="good")
    for url in ("/posts/", "/unpaged/"):
        assert [one["title"] for one in api.listed(url)] == ["good"]
    # A page is what the database gave, so whether more follow stays right.
    assert api.get("/posts/?_limit=1").json == {"data": [], "has_more": True}
    assert_problem(api.get(f"/posts/{bad['_id']}"), 404, "document.not_found")


def test_something_else_may_be_shown(make_declared: MakeDeclared) -> None:
    resource = broken(handle_serialization_error=note_error({"error": "broken"}))
    api = make_shown(make_declared, resource)
    bad, good = stored_post(api, title="bad"), stored_post(api, title="good")
    for url in ("/posts/", "/unpaged/"):
        assert api.listed(url) == [
            {"error": "broken", "id": str(bad["_id"])},
            {"id": str(good["_id"]), "title": "good", "rating": 1},
        ]
    assert api.get(f"/posts/{bad['_id']}").json == {"error": "broken", "id": str(bad["_id"])}


def test_stored_values_that_no_longer_fit_the_schema_are_handled(
    make_declared: MakeDeclared,
) -> None:
    """Without a hook of one's own to show documents, the schema is what fails."""
    seen: list[Document] = []

    class Lenient(Posts):
        def handle_serialization_error(
            self, error: Exception, document: Document
        ) -> dict[str, Any] | None:
            seen.append(document)
            return {"id": str(document["_id"]), "broken": True}

    api = make_declared(posts=view_of(Lenient))
    bad, good = stored_post(api, r="not a number"), stored_post(api)
    assert api.listed("/posts/") == [
        {"id": str(bad["_id"]), "broken": True},
        {"id": str(good["_id"]), "title": "a post", "rating": 1},
    ]
    assert seen == [bad]


def test_a_problem_in_serialize_is_the_answer(make_declared: MakeDeclared) -> None:
    def serialize(self: Any, document: Document) -> dict[str, Any]:
        raise Forbidden("permission.denied", "Not this one.")

    api = make_declared(posts=hooked(serialize=serialize))
    stored = stored_post(api)
    for url in ("/posts/", f"/posts/{stored['_id']}"):
        assert_problem(api.get(url), 403, "permission.denied", naming="Not this one.")


def test_an_error_in_a_computed_field_is_handled(make_declared: MakeDeclared) -> None:
    class Computed(Posts):
        fields = ["title", "half"]

        def half(self, document: Document) -> float:
            return document["r"] / 2

        def handle_serialization_error(
            self, error: Exception, document: Document
        ) -> dict[str, Any] | None:
            assert isinstance(error, TypeError)
            return None

    api = make_declared(posts=view_of(Computed))
    stored_post(api, r="x")
    stored_post(api, r=4)
    assert api.listed("/posts/") == [{"title": "a post", "half": 2.0}]


@pytest.mark.parametrize("place", ["author", "editors"])
def test_a_related_document_that_cannot_be_shown_is_handled_by_what_refers_to_it(
    make_declared: MakeDeclared, place: str
) -> None:
    class BrokenUsers(Users):
        fields = ["name", "length"]

        def length(self, document: Document) -> int:
            return len(document["name"])

    class Lenient(LinkedPosts):
        related_resources = {"author": BrokenUsers, "editors": BrokenUsers}

        def handle_serialization_error(
            self, error: Exception, document: Document
        ) -> dict[str, Any] | None:
            assert isinstance(error, TypeError)
            return None if document["title"] == "bad" else {"broken": document["title"]}

    api = make_shown(make_declared, Lenient)
    broken_user, ann = ObjectId(), ObjectId()
    api.database.users.insert_many([{"_id": broken_user, "name": None}, {"_id": ann, "name": "A"}])
    for title, user in (("bad", broken_user), ("worse", broken_user), ("good", ann)):
        bad = stored_post(api, title=title, **{place: user if place == "author" else [user]})
    shown = {"name": "A", "length": 1}
    good = {"title": "good", place: shown if place == "author" else [shown]}
    for url in ("/posts/", "/unpaged/"):
        assert api.listed(url) == [{"broken": "worse"}, good]
    assert api.get(f"/posts/{bad['_id']}").json == good
    bad = api.database.posts.find_one({"title": "bad"})
    assert_problem(api.get(f"/posts/{bad['_id']}"), 404, "document.not_found")


# ------------------------------------------------------------------ fields and limits by request


class ByCaller(Posts):
    """Shows more to those who ask with a header."""

    fields = ["id", "title"]

    def get_fields(self) -> Sequence[str]:
        names = super().get_fields()
        return [*names, "rating"] if self.req.get_header("X-More") else names

    def get_optional_fields(self) -> Sequence[str]:
        return ["secret", "length"] if self.req.get_header("X-More") else []

    def get_max_limit(self) -> int | None:
        return 5 if self.req.get_header("X-More") else 2

    def length(self, document: Document) -> int:
        return len(document["title"])


MORE = {"X-More": "1"}


@pytest.mark.parametrize("path", ["list", "fetch"])
def test_fields_may_differ_by_request(make_declared: MakeDeclared, path: str) -> None:
    api = make_declared(posts=view_of(ByCaller))
    stored = stored_post(api, secret="s")

    def names(fields: str = "", **headers: str) -> Any:
        url = "/posts/" if path == "list" else f"/posts/{stored['_id']}"
        result = api.get(f"{url}?_fields={fields}" if fields else url, headers=headers)
        if result.status_code != 200:
            return assert_problem(result, 400, "query.unknown_field", parameter="_fields")["status"]
        return set(result.json["data"][0] if path == "list" else result.json)

    assert names() == {"id", "title"}
    assert names(**MORE) == {"id", "title", "rating"}
    assert names("_all") == {"id", "title"}
    assert names("_all", **MORE) == {"id", "title", "rating", "secret", "length"}
    assert names("secret,title", **MORE) == {"secret", "title"}
    assert names("length", **MORE) == {"length"}
    for hidden in ("secret", "length", "rating", "title,secret", "nope", "get_fields", "serialize"):
        assert names(hidden) == 400
    assert names("nope", **MORE) == 400


def test_an_optional_field_has_its_value(make_declared: MakeDeclared) -> None:
    api = make_declared(posts=view_of(ByCaller))
    stored_post(api, secret="s")
    assert api.get("/posts/?_fields=length,secret", headers=MORE).json["data"] == [
        {"secret": "s", "length": 6}
    ]


def test_the_largest_page_may_differ_by_request(make_declared: MakeDeclared) -> None:
    api = make_declared(posts=view_of(ByCaller))
    for _ in range(7):
        stored_post(api)
    # One below the default limit lowers it.
    assert len(api.get("/posts/").json["data"]) == 2
    assert len(api.get("/posts/", headers=MORE).json["data"]) == 5
    assert len(api.get("/posts/?_limit=4", headers=MORE).json["data"]) == 4
    assert_problem(api.get("/posts/?_limit=3"), 400, "query.invalid_limit", parameter="_limit")
    assert_problem(
        api.get("/posts/?_limit=6", headers=MORE), 400, "query.invalid_limit", parameter="_limit"
    )


def test_get_max_limit_may_be_none(make_declared: MakeDeclared) -> None:
    api = make_declared(posts=hooked(get_max_limit=lambda self: None))
    api.database.posts.insert_many([{"title": str(n)} for n in range(150)])
    assert len(api.listed("/posts/")) == 100
    assert len(api.listed("/posts/?_limit=140")) == 140


def test_computed_fields_follow_schema_fields_and_cannot_be_written(
    make_declared: MakeDeclared,
) -> None:
    class Computed(Posts):
        fields = ["shout", "title"]
        rename_fields = {"shout": "SHOUT"}

        def shout(self, document: Document) -> str:
            assert document["r"] == 1
            return f"{document['title']}! {self.req.method}".upper()

    api = make_declared(posts=view_of(Computed))
    stored = stored_post(api)
    url = f"/posts/{stored['_id']}"
    assert list(api.get(url).json.items()) == [("title", "a post"), ("SHOUT", "A POST! GET")]
    assert api.listed("/posts/?_fields=SHOUT") == [{"SHOUT": "A POST! GET"}]
    assert_problem(api.get("/posts/?_fields=shout"), 400, "query.unknown_field")
    for result in (
        api.patch(url, {"SHOUT": "x"}),
        api.put(url, {"title": "x", "SHOUT": "x"}),
        api.post("/posts/", {"title": "x", "SHOUT": "x"}),
        api.patch("/posts/?title=a+post", {"SHOUT": "x"}),
    ):
        assert "SHOUT" in assert_problem(result, 403, "policy.field")["field-errors"]
    assert snapshot(api.database) == {"posts": [stored]}


def test_what_was_read_can_be_sent_back_with_computed_fields(make_declared: MakeDeclared) -> None:
    class Computed(Posts):
        fields = ["id", "title", "rating", "shout"]

        def shout(self, document: Document) -> str:
            return str(document["title"]).upper()

    api = make_both(make_declared, Computed)
    stored = stored_post(api)
    url = f"/posts/{stored['_id']}"
    read = api.get(url).json
    for result in (
        api.patch(url, {**read, "rating": 2}),
        api.put(f"/updated/{stored['_id']}", {**read, "rating": 3}),
        api.put(url, {**read, "rating": 4}),
    ):
        assert result.status_code == 200, result.text
    assert api.database.posts.find_one() == {**stored, "r": 4}
    assert_problem(api.patch(url, {**read, "shout": "other"}), 403, "policy.field", naming="shout")


# ------------------------------------------------------------------------ what a resource has

RUNNING = [
    ("GET", "/posts/", ..., methods.List),
    ("HEAD", "/posts/", ..., methods.List),
    ("GET", "/posts/ID", ..., methods.Fetch),
    ("HEAD", "/posts/ID", ..., methods.Fetch),
    ("POST", "/posts/", {"title": "x"}, methods.Create),
    ("POST", "/posts/", [{"title": "x"}, {"title": "y"}], methods.BulkCreate),
    ("PATCH", "/posts/ID", {"title": "x"}, methods.Update),
    ("PUT", "/posts/ID", {"title": "x"}, methods.Replace),
    ("PUT", "/updated/ID", {"title": "x"}, methods.Update),
    ("PATCH", "/posts/?title=a+post", {"title": "x"}, methods.BulkUpdate),
    ("PUT", "/posts/?title=a+post", {"title": "x"}, methods.BulkUpdate),
    ("DELETE", "/posts/ID", ..., methods.Delete),
    ("DELETE", "/posts/?title=a+post", ..., methods.BulkDelete),
]
EVERY_HOOK = (
    *("get_fields", "get_optional_fields", "get_max_limit", "get_objects", "get_object"),
    *("validate_request", "create_object", "update_object", "delete_object"),
    *("serialize", "handle_serialization_error"),
    *("has_read_permission", "has_add_permission"),
    *("has_change_permission", "has_delete_permission"),
)


def spy(name: str, seen: list[Any]) -> Callable[..., Any]:
    def hook(self: Any, *arguments: Any) -> Any:
        assert len(self.service.find(Query())) > 0
        seen.append((name, self.view_method, self.req, self.service))
        return getattr(Resource, name)(self, *arguments)

    return hook


@pytest.mark.parametrize("polymorphic", [False, True])
@pytest.mark.parametrize(("method", "url", "body", "running"), RUNNING)
def test_hooks_know_the_request_the_method_and_the_collection(
    make_declared: MakeDeclared,
    method: str,
    url: str,
    body: Any,
    running: type[methods.Method],
    polymorphic: bool,
) -> None:
    seen: list[Any] = []
    spies = {name: spy(name, seen) for name in EVERY_HOOK}
    if polymorphic:
        child = type("Kind", (PostKind,), spies)
        says = {
            "collection": "posts",
            "child_document_resources": {"a": child},
            "default_child_resource_document": "a",
            "type_field": "kind",
            "filters": Posts.filters,
        }
        resource = type("Kinds", (Resource,), says)
    else:
        resource = type("Hooked", (Posts,), spies)
    api = make_both(make_declared, resource)
    stored = stored_post(api)
    result = api(method, url.replace("ID", str(stored["_id"])), body)
    assert result.status_code in {200, 201, 204}, result.text
    assert seen
    for name, view_method, req, service in seen:
        assert view_method is running, name
        assert req.method == method
        assert req is seen[0][2]
        assert isinstance(service, CollectionService)


EXPECTED_HOOKS: dict[type[methods.Method], set[str]] = {
    methods.List: {"get_objects", "get_max_limit", "serialize", "has_read_permission"},
    methods.Fetch: {"get_object", "serialize", "has_read_permission"},
    methods.Create: {"validate_request", "create_object", "serialize", "has_add_permission"},
    methods.BulkCreate: {"validate_request", "create_object", "serialize", "has_add_permission"},
    methods.Update: {
        *("get_object", "validate_request", "update_object", "serialize"),
        *("has_read_permission", "has_change_permission"),
    },
    methods.BulkUpdate: {
        *("validate_request", "update_object", "has_read_permission", "has_change_permission"),
    },
    methods.Delete: {"get_object", "delete_object", "has_read_permission", "has_delete_permission"},
    methods.BulkDelete: {"delete_object", "has_read_permission", "has_delete_permission"},
}
EXPECTED_HOOKS[methods.Replace] = EXPECTED_HOOKS[methods.Update]


@pytest.mark.parametrize(("method", "url", "body", "running"), RUNNING)
def test_each_method_runs_its_hooks(
    make_declared: MakeDeclared, method: str, url: str, body: Any, running: type[methods.Method]
) -> None:
    seen: list[Any] = []
    api = make_both(
        make_declared,
        type("Hooked", (Posts,), {name: spy(name, seen) for name in EVERY_HOOK}),
    )
    stored = stored_post(api)
    api(method, url.replace("ID", str(stored["_id"])), body)
    called = {name for name, *_ in seen} - {"get_fields", "get_optional_fields"}
    assert called == EXPECTED_HOOKS[running]


CHILD_HOOKS: dict[type[methods.Method], set[str]] = {
    method: names - {"get_objects", "get_object", "get_max_limit"}
    for method, names in EXPECTED_HOOKS.items()
}


@pytest.mark.parametrize(("method", "url", "body", "running"), RUNNING)
def test_each_method_runs_the_hooks_of_the_kind_of_a_document(
    make_declared: MakeDeclared, method: str, url: str, body: Any, running: type[methods.Method]
) -> None:
    """But for those that find documents, which is done for all kinds at once."""
    seen: list[Any] = []
    spies = {name: spy(name, seen) for name in EVERY_HOOK}
    silent: list[Any] = []
    kinds = {
        "a": type("KindA", (PostKind,), spies),
        "b": type("KindB", (PostKind,), {name: spy(name, silent) for name in EVERY_HOOK}),
    }
    resource = type(
        "Kinds",
        (Resource,),
        {
            "collection": "posts",
            "child_document_resources": kinds,
            "default_child_resource_document": "a",
            "type_field": "kind",
            "filters": Posts.filters,
        },
    )
    api = make_both(make_declared, resource)
    stored = stored_post(api, kind="a")
    stored_post(api, kind="b", title="another")
    if method not in {"GET", "HEAD"} or "ID" in url:
        api(method, url.replace("ID", str(stored["_id"])), body)
    else:
        api(method, url + "?title=a+post", body)
    found = {name for name, *_ in seen} - {"get_fields", "get_optional_fields"}
    assert found == CHILD_HOOKS[running]
    others = {name for name, *_ in silent} - {"get_fields", "get_optional_fields"}
    assert others <= {"has_read_permission"}


def test_a_resource_is_made_for_each_request(make_declared: MakeDeclared) -> None:
    made: list[Any] = []

    def get_fields(self: Any) -> Sequence[str]:
        made.append(self)
        return Resource.get_fields(self)

    api = make_declared(posts=hooked(get_fields=get_fields))
    for _ in range(2):
        made.clear()
        api.get("/posts/")
        assert len({id(one) for one in made}) == 1
        first = made[0]
    made.clear()
    api.get("/posts/")
    assert made[0] is not first


def test_a_hook_may_use_the_service(declared_api: MakeDeclared) -> None:
    """Whatever it does there belongs to the request, sibling collections as well."""

    class Logged(Posts):
        def create_object(self, data: Document) -> Document:
            created = super().create_object(data)
            log = self.service.sibling("log", self.service.policy)
            log.insert({"created": created["_id"]})
            return created

        def update_object(self, document: Document, data: Document) -> Document:
            return self.service.modify(document["_id"], {"$set": data, "$inc": {"version": 1}})

        def delete_object(self, document: Document) -> None:
            self.service.insert({"title": "tombstone", "of": document["_id"]})
            self.service.delete(document["_id"])

    api = declared_api(posts=view_of(Logged))
    created = api.create("/posts/", {"title": "x"})
    url = f"/posts/{created['id']}"
    assert api.patch(url, {"title": "y"}).json["title"] == "y"
    assert api.database.posts.find_one()["version"] == 1
    assert api.delete(url).status_code == 204
    assert api.database.posts.find_one()["of"] == ObjectId(created["id"])
    assert api.database.log.find_one()["created"] == ObjectId(created["id"])


def test_errors_of_the_database_in_a_hook_are_answers(declared_api: MakeDeclared) -> None:
    def create_object(self: Any, data: Document) -> Document:
        return super(type(self), self).create_object({**data, "by": "the hook"})

    api = declared_api(posts=hooked(create_object=create_object))
    api.database.posts.create_index("title", unique=True)
    api.create("/posts/", {"title": "x"})
    assert_problem(api.post("/posts/", {"title": "x"}), 409, "document.duplicate")


def test_an_exception_in_a_hook_is_the_hosts(make_declared: MakeDeclared) -> None:
    class OutOfPaper(Exception):
        pass

    def create_object(self: Any, data: Document) -> Document:
        raise OutOfPaper

    def answer(req: Any, resp: Any, error: Any, params: Any) -> None:
        resp.status = 418

    api = make_declared(posts=hooked(create_object=create_object))
    api.app.add_error_handler(OutOfPaper, answer)
    assert api.post("/posts/", {"title": "x"}).status_code == 418


def test_an_http_error_of_falcon_in_a_hook_is_falcons(make_declared: MakeDeclared) -> None:
    def validate_request(self: Any, data: Any, document: Any = None) -> Document:
        raise falcon.HTTPUnprocessableEntity(description="First pay.")

    api = make_declared(posts=hooked(validate_request=validate_request))
    result = api.post("/posts/", {"title": "x"})
    assert result.status_code == 422
    assert result.json["description"] == "First pay."


# --------------------------------------------------------------------------- who is calling


class ByName(AuthenticationBase):
    """Believes a name in a header."""

    challenge = 'Name realm="test"'

    def __init__(self, header: str = "X-User", asked: list[str] | None = None) -> None:
        self.header = header
        self.asked = asked

    def authorized(self, req: falcon.Request) -> Any:
        if self.asked is not None:
            self.asked.append(self.header)
        name = req.get_header(self.header)
        return {"name": name, "by": self.header} if name else None


class ByOther(ByName):
    challenge = 'Other realm="test"'

    def authorized(self, req: falcon.Request) -> Any:
        return ("other", req.get_header("X-Other")) if req.get_header("X-Other") else ()


def whoami(**more: Any) -> type[ResourceView]:
    """Return a view that shows the caller."""

    def get_objects(self: Any, query: Query) -> Any:
        return [], False, {"user": self.req.context.user}

    return view_of(type("WhoAmI", (Posts,), {"get_objects": get_objects}), **more)


@pytest.mark.parametrize("method", [ByName, ByName()])
@pytest.mark.parametrize("place", ["view", "FalcoRest"])
def test_authentication_methods_are_classes_or_instances(
    make_declared: MakeDeclared, method: Any, place: str
) -> None:
    if place == "view":
        api = make_declared(posts=whoami(authentication_methods=[method]))
    else:
        api = make_declared(posts=whoami(), options={"authentication_methods": [method]})
    assert api.get("/posts/", headers={"X-User": "ann"}).json["user"] == {
        "name": "ann",
        "by": "X-User",
    }
    result = api.get("/posts/")
    assert_problem(result, 401, "auth.required")
    assert result.headers["www-authenticate"] == 'Name realm="test"'


def test_the_first_that_knows_the_caller_wins(make_declared: MakeDeclared) -> None:
    asked: list[str] = []
    several = [ByName("X-First", asked), ByName("X-Second", asked), ByOther]
    api = make_declared(posts=whoami(authentication_methods=several))

    def user(**headers: str) -> Any:
        asked.clear()
        return api.get("/posts/", headers=headers).json.get("user")

    assert user(**{"X-First": "a", "X-Second": "b"}) == {"name": "a", "by": "X-First"}
    assert asked == ["X-First"]
    assert user(**{"X-Second": "b"}) == {"name": "b", "by": "X-Second"}
    assert asked == ["X-First", "X-Second"]
    assert user(**{"X-Other": "c"}) == ["other", "c"]
    result = api.get("/posts/")
    assert result.headers["www-authenticate"] == 'Name realm="test", Other realm="test"'


def test_methods_of_a_view_stand_in_for_those_of_all(make_declared: MakeDeclared) -> None:
    api = make_declared(
        posts=whoami(authentication_methods=[ByOther]),
        others=whoami(),
        options={"authentication_methods": [ByName]},
    )
    ann, other = {"X-User": "ann"}, {"X-Other": "o"}
    assert api.get("/posts/", headers=other).status_code == 200
    assert api.get("/posts/", headers=ann).status_code == 401
    assert api.get("/others/", headers=ann).status_code == 200
    assert api.get("/others/", headers=other).status_code == 401


def test_without_methods_the_caller_is_anonymous(make_declared: MakeDeclared) -> None:
    api = make_declared(posts=whoami())
    assert api.get("/posts/").json["user"] is None
    assert api.get("/posts/", headers={"X-User": "ann"}).json["user"] is None


def test_credentials_that_are_wrong_are_refused_at_once(make_declared: MakeDeclared) -> None:
    class Strict(AuthenticationBase):
        challenge = "Strict"

        def authorized(self, req: falcon.Request) -> Any:
            if req.get_header("X-Strict"):
                raise self._wrong("No.")
            return None

    api = make_declared(posts=whoami(authentication_methods=[Strict, ByName]))
    headers = {"X-Strict": "wrong", "X-User": "ann"}
    result = api.get("/posts/", headers=headers)
    assert_problem(result, 401, "auth.invalid")
    assert result.headers["www-authenticate"].startswith("Strict")
    assert api.get("/posts/", headers={"X-User": "ann"}).status_code == 200


@pytest.mark.parametrize(("method", "url", "body", "running"), RUNNING)
def test_nobody_gets_anywhere_where_a_login_is_needed(
    make_declared: MakeDeclared, method: str, url: str, body: Any, running: Any
) -> None:
    api = make_declared(
        posts=view_of(Posts),
        updated=view_of(Posts, methods=ALL_BUT_REPLACE),
        options={"authentication_methods": [ByName]},
    )
    stored = stored_post(api)
    result = api(method, url.replace("ID", str(stored["_id"])), body)
    assert result.status_code == 401
    assert result.headers["www-authenticate"] == 'Name realm="test"'
    assert snapshot(api.database) == {"posts": [stored]}


def test_hooks_know_the_user(make_declared: MakeDeclared) -> None:
    def create_object(self: Any, data: Document) -> Document:
        return Resource.create_object(self, {**data, "by": self.req.context.user["name"]})

    api = make_declared(
        posts=hooked(create_object=create_object), options={"authentication_methods": [ByName]}
    )
    result = api.post("/posts/", {"title": "x"}, headers={"X-User": "ann"})
    assert result.status_code == 201
    assert api.database.posts.find_one()["by"] == "ann"


def test_a_hook_may_go_on_after_its_request(make_declared: MakeDeclared) -> None:
    kept: list[Any] = []

    class ThingSchema(Schema):
        id = fields.ObjectId(attribute="_id", dump_only=True)
        name = ma.String()

    class ThingResource(Resource):
        collection = "things"
        schema = ThingSchema

        def create_object(self, data: Any) -> Any:
            document = super().create_object(data)
            kept.append(lambda: self.serialize(document))
            return document

    class ThingView(ResourceView):
        resource = ThingResource
        methods = methods.ALL

    api = make_declared(things=ThingView)
    created = api.create("/things", {"name": "a"})
    gc.collect()
    assert [show() for show in kept] == [created]
