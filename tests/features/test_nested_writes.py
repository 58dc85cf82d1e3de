"""Nested writes: objects inside of a body are written with the document around them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId
from marshmallow import ValidationError, validate
from marshmallow import fields as ma

from falcorest import ConfigurationError, Query, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from falcorest.errors import Conflict
from tests import watching
from tests.declared import DeclaredApi, MakeDeclared
from tests.support import assert_problem
from tests.watching import Commands, snapshot

Document = dict[str, Any]

#: One database is shared by all tests here.
shared_databases, make_database = watching.shared_databases, watching.make_database
WITHOUT_REPLACE = [method for method in methods.ALL if method is not methods.Replace]


class CompanySchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String(required=True)


class UserSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String(required=True, attribute="n", validate=validate.Length(max=10))
    age = ma.Integer()
    company = fields.Reference("companies", allow_none=True)


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True)
    slug = ma.String()
    author = fields.Reference("users", allow_none=True)
    editors = ma.List(fields.Reference("users"))


class Companies(Resource):
    collection = "companies"
    schema = CompanySchema


class Users(Resource):
    collection = "users"
    schema = UserSchema
    rename_fields = {"name": "called"}
    related_resources = {"company": Companies}
    save_related_fields = ["company"]


class Posts(Resource):
    collection = "posts"
    schema = PostSchema
    rename_fields = {"author": "writer"}
    filters = {"title": [ops.Exact]}
    related_resources = {"author": Users, "editors": Users}
    save_related_fields = ["author", "editors"]


def views(resource: type[Resource] = Posts) -> dict[str, type[ResourceView]]:
    """Return a view of everything, and one in which PUT updates."""
    return {
        "posts": type("View", (ResourceView,), {"resource": resource, "methods": methods.ALL}),
        "updated": type(
            "Updated", (ResourceView,), {"resource": resource, "methods": WITHOUT_REPLACE}
        ),
    }


def with_users(**hooks: Any) -> type[Resource]:
    """Return posts whose users have some hooks."""
    users = type("HookedUsers", (Users,), hooks)
    return type("HookedPosts", (Posts,), {"related_resources": {"author": users, "editors": users}})


def put_user(api: DeclaredApi, name: str, **values: Any) -> Document:
    user = {"_id": ObjectId(), "n": name, **values}
    api.database.users.insert_one(user)
    return user


def put_post(api: DeclaredApi, **values: Any) -> Document:
    post = {"_id": ObjectId(), "title": "t", **values}
    api.database.posts.insert_one(post)
    return post


def names(api: DeclaredApi) -> list[str]:
    return sorted(user["n"] for user in api.database.users.find())


#: The ways to write a parent, given its id: method, address, and what the body needs.
WAYS: dict[str, tuple[str, str, Document]] = {
    "create": ("POST", "/posts/", {"title": "t"}),
    "PATCH": ("PATCH", "/posts/ID", {}),
    "PUT that updates": ("PUT", "/updated/ID", {}),
    "PUT that replaces": ("PUT", "/posts/ID", {"title": "t"}),
}


def write(api: DeclaredApi, way: str, body: Document, post: Document | None = None) -> Any:
    """Write a parent in one of the ways."""
    method, url, needed = WAYS[way]
    if "ID" in url:
        post = post or put_post(api)
        url = url.replace("ID", str(post["_id"]))
    return api(method, url, {**needed, **body})


# ------------------------------------------------------------------------------ what is written


@pytest.mark.parametrize("way", list(WAYS))
def test_an_object_without_an_id_is_created(declared_api: MakeDeclared, way: str) -> None:
    api = declared_api(**views())
    result = write(api, way, {"writer": {"called": "Ann", "age": 3}})
    assert result.status_code in {200, 201}, result.text
    user = api.database.users.find_one()
    post = api.database.posts.find_one()
    assert {**user, "_id": 0} == {"_id": 0, "n": "Ann", "age": 3}
    assert post["author"] == user["_id"]
    assert result.json["writer"] == {"id": str(user["_id"]), "called": "Ann", "age": 3}


@pytest.mark.parametrize("way", list(WAYS))
def test_an_object_with_an_id_is_updated(declared_api: MakeDeclared, way: str) -> None:
    """However the document around it is written: what the object lacks stays as it is."""
    api = declared_api(**views())
    ann = put_user(api, "Ann", age=3, unknown="stays")
    result = write(api, way, {"writer": {"id": str(ann["_id"]), "called": "Anna"}})
    assert result.status_code in {200, 201}, result.text
    assert api.database.users.find_one() == {**ann, "n": "Anna"}
    assert api.database.posts.find_one()["author"] == ann["_id"]
    assert result.json["writer"]["called"] == "Anna"


@pytest.mark.parametrize("way", list(WAYS))
def test_an_update_inside_needs_no_required_fields(declared_api: MakeDeclared, way: str) -> None:
    api = declared_api(**views())
    ann = put_user(api, "Ann", age=3)
    result = write(api, way, {"writer": {"id": str(ann["_id"]), "age": 4}})
    assert result.status_code in {200, 201}, result.text
    assert api.database.users.find_one() == {**ann, "age": 4}


@pytest.mark.parametrize("way", list(WAYS))
def test_ids_and_objects_may_be_mixed(declared_api: MakeDeclared, way: str) -> None:
    api = declared_api(**views())
    ann, bob, eve = (put_user(api, name) for name in ("Ann", "Bob", "Eve"))
    editors = [
        str(ann["_id"]),
        {"called": "New"},
        {"id": str(bob["_id"]), "called": "Bobby"},
        {"id": str(eve["_id"])},
        {"called": "Newer"},
    ]
    result = write(api, way, {"editors": editors, "writer": {"called": "Third"}})
    assert result.status_code in {200, 201}, result.text
    assert names(api) == ["Ann", "Bobby", "Eve", "New", "Newer", "Third"]
    stored = {user["_id"]: user["n"] for user in api.database.users.find()}
    post = api.database.posts.find_one()
    order = ["Ann", "New", "Bobby", "Eve", "Newer"]
    assert [stored[one] for one in post["editors"]] == order
    assert stored[post["author"]] == "Third"
    assert [one["called"] for one in result.json["editors"]] == order


def test_an_object_with_nothing_but_an_id_is_no_write(
    make_database: Callable[..., Any],
) -> None:
    commands = Commands()
    api = DeclaredApi(make_database("mongod", event_listeners=[commands])).register(**views())
    ann = put_user(api, "Ann")
    post = put_post(api)
    commands.take()
    assert write(api, "PATCH", {"writer": {"id": str(ann["_id"])}}, post).status_code == 200
    written = [
        one[one["name"]]
        for one in commands.take()
        if one["name"] in {"update", "findAndModify", "insert"}
    ]
    assert written == ["posts"]


def test_what_was_read_can_be_sent_back(declared_api: MakeDeclared) -> None:
    api = declared_api(**views())
    company = ObjectId()
    api.database.companies.insert_one({"_id": company, "name": "ACME"})
    ann = put_user(api, "Ann", age=1, company=company)
    post = put_post(api, author=ann["_id"], editors=[ann["_id"]], slug="s")
    before = snapshot(api.database)
    for place, method in (("posts", "PATCH"), ("updated", "PUT"), ("posts", "PUT")):
        url = f"/{place}/{post['_id']}"
        result = api(method, url, api.get(url).json)
        assert result.status_code == 200, result.text
        assert snapshot(api.database) == before


def test_only_what_is_different_is_written(declared_api: MakeDeclared) -> None:
    """Sent back as it was read, a child needs no permission to be changed."""
    asked: list[Document] = []

    def refuse(self: Any, req: Any, document: Document) -> bool:
        asked.append(document)
        return False

    api = declared_api(**views(with_users(has_change_permission=refuse)))
    ann = put_user(api, "Ann", age=1)
    post = put_post(api, author=ann["_id"], editors=[ann["_id"]])
    url = f"/posts/{post['_id']}"
    read = api.get(url).json
    result = api.patch(url, {**read, "title": "other"})
    assert result.status_code == 200, result.text
    assert asked == []
    assert snapshot(api.database) == {"posts": [{**post, "title": "other"}], "users": [ann]}
    read["editors"][0]["age"] = 2
    assert_problem(api.patch(url, read), 401, "auth.required")
    assert asked == [ann]


def test_null_and_empty_lists_are_values(declared_api: MakeDeclared) -> None:
    api = declared_api(**views())
    ann = put_user(api, "Ann")
    post = put_post(api, author=ann["_id"], editors=[ann["_id"]])
    result = write(api, "PATCH", {"writer": None, "editors": []}, post)
    assert (result.json["writer"], result.json["editors"]) == (None, [])
    assert names(api) == ["Ann"]


@pytest.mark.parametrize("way", ["PATCH", "PUT that updates", "PUT that replaces"])
def test_documents_dropped_from_a_list_stay(declared_api: MakeDeclared, way: str) -> None:
    api = declared_api(**views())
    ann, bob = put_user(api, "Ann"), put_user(api, "Bob")
    post = put_post(api, editors=[ann["_id"], bob["_id"]], author=bob["_id"])
    body = {"editors": [{"id": str(ann["_id"]), "called": "A"}], "writer": {"called": "N"}}
    assert write(api, way, body, post).status_code == 200
    assert names(api) == ["A", "Bob", "N"]
    assert api.database.posts.find_one()["editors"] == [ann["_id"]]


@pytest.mark.parametrize("way", list(WAYS))
def test_nested_of_nested(declared_api: MakeDeclared, way: str) -> None:
    api = declared_api(**views())
    company = {"_id": ObjectId(), "name": "Old"}
    api.database.companies.insert_one(company)
    ann = put_user(api, "Ann", company=company["_id"])
    body = {
        "writer": {
            "id": str(ann["_id"]),
            "company": {"id": str(company["_id"]), "name": "Renamed"},
        },
        "editors": [{"called": "New", "company": {"name": "Founded"}}],
    }
    result = write(api, way, body)
    assert result.status_code in {200, 201}, result.text
    assert result.json["writer"]["company"]["name"] == "Renamed"
    assert result.json["editors"][0]["company"]["name"] == "Founded"
    founded = api.database.companies.find_one({"name": "Founded"})
    assert api.database.users.find_one({"n": "New"})["company"] == founded["_id"]
    assert api.database.companies.count_documents({}) == 2


def test_each_document_of_a_bulk_create_has_its_own(declared_api: MakeDeclared) -> None:
    api = declared_api(**views())
    ann = put_user(api, "Ann")
    bodies = [
        {"title": "a", "writer": {"called": "A"}},
        {"title": "b", "writer": str(ann["_id"])},
        {"title": "c", "editors": [{"called": "C"}, {"called": "D"}]},
    ]
    shown = api.create("/posts/", bodies)["data"]
    assert shown[0]["writer"]["called"] == "A"
    assert shown[1]["writer"]["called"] == "Ann"
    assert [one["called"] for one in shown[2]["editors"]] == ["C", "D"]
    assert names(api) == ["A", "Ann", "C", "D"]


def test_one_document_twice_is_one_document(declared_api: MakeDeclared) -> None:
    api = declared_api(**views())
    ann = put_user(api, "Ann", age=1)
    identity = str(ann["_id"])
    body = {"writer": {"id": identity, "called": "A"}, "editors": [{"id": identity, "age": 2}]}
    assert write(api, "create", body).status_code == 201
    assert api.database.users.find_one() == {**ann, "n": "A", "age": 2}


class OpenIdSchema(Schema):
    id = fields.ObjectId(attribute="_id")
    name = ma.String(required=True, attribute="n")


@pytest.mark.parametrize("schema", [UserSchema, OpenIdSchema])
def test_the_id_of_a_child_may_have_another_name(
    declared_api: MakeDeclared, schema: type[Schema]
) -> None:
    users = type(
        "KeyUsers",
        (Resource,),
        {"collection": "users", "schema": schema, "rename_fields": {"id": "key"}},
    )
    related = {"author": users, "editors": users}
    api = declared_api(**views(type("KeyPosts", (Posts,), {"related_resources": related})))
    ann = put_user(api, "Ann")
    item = {"key": str(ann["_id"]), "name": "Anna"}
    for way in WAYS:
        result = write(api, way, {"writer": item, "editors": [str(ann["_id"])]}, put_post(api))
        assert result.status_code in {200, 201}, result.text
        assert result.json["writer"] == item
    assert api.database.users.find_one() == {**ann, "n": "Anna"}
    # An id that is not there is refused, though a client might choose one elsewhere.
    for wrong in ({"key": "a" * 24, "name": "x"}, {"id": str(ann["_id"]), "name": "x"}):
        result = write(api, "create", {"editors": [item, wrong]})
        errors = assert_problem(result, 400, "body.invalid")["field-errors"]
        assert list(errors["editors"]["1"]) == ["key" if "key" in wrong else "id"]
    assert names(api) == ["Anna"]


def test_a_reference_that_is_not_saved_is_not_written(declared_api: MakeDeclared) -> None:
    resource = type("Partly", (Posts,), {"save_related_fields": ["author"]})
    api = declared_api(**views(resource))
    ann = put_user(api, "Ann")
    body = {"editors": [{"id": str(ann["_id"]), "called": "Changed"}], "writer": {"called": "New"}}
    assert write(api, "create", body).status_code == 201
    assert names(api) == ["Ann", "New"]
    result = write(api, "create", {"editors": [{"called": "New"}]})
    assert_problem(result, 400, "body.invalid", naming="editors")


def test_a_bulk_update_takes_ids_only(declared_api: MakeDeclared) -> None:
    api = declared_api(**views())
    ann = put_user(api, "Ann")
    put_post(api)
    before = snapshot(api.database)
    for body in ({"writer": {"called": "New"}}, {"editors": [{"called": "New"}]}):
        assert api.patch("/posts/?title=t", body).status_code == 400
        assert snapshot(api.database) == before
    assert api.patch("/posts/?title=t", {"writer": str(ann["_id"])}).json == {"count": 1}
    assert api.database.posts.find_one()["author"] == ann["_id"]


def test_an_embedded_resource_cannot_save_relations() -> None:
    """What ``save_related_fields`` says isn't ignored."""

    class NoteSchema(Schema):
        by = fields.Reference("users")

    class Notes(Resource):
        schema = NoteSchema
        related_resources = {"by": Users}
        save_related_fields = ["by"]

    class PageSchema(Schema):
        note = ma.Nested(NoteSchema)

    says = {"collection": "pages", "schema": PageSchema, "related_resources": {"note": Notes}}
    with pytest.raises(ConfigurationError, match="Notes"):
        type("Pages", (Resource,), says)


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("unknown", ["a" * 24, "x", 5, None, {}, []])
def test_an_unknown_id_is_refused_with_its_place(
    declared_api: MakeDeclared, way: str, unknown: Any
) -> None:
    api = declared_api(**views())
    put_user(api, "Ann")
    post = put_post(api)
    before = snapshot(api.database)
    result = write(api, way, {"writer": {"id": unknown, "called": "X"}}, post)
    errors = assert_problem(result, 400, "body.invalid")["field-errors"]
    assert list(errors) == ["writer"]
    assert list(errors["writer"]) == ["id"]
    body = {"editors": [{"called": "New"}, {"id": unknown, "called": "X"}]}
    result = write(api, way, body, post)
    errors = assert_problem(result, 400, "body.invalid")["field-errors"]
    assert list(errors["editors"]) == ["1"]
    assert list(errors["editors"]["1"]) == ["id"]
    assert snapshot(api.database) == before


INVALID: list[tuple[Document, list[str]]] = [
    ({"writer": {}}, ["writer", "called"]),
    ({"writer": {"called": 5}}, ["writer", "called"]),
    ({"writer": {"called": "x" * 11}}, ["writer", "called"]),
    ({"writer": {"n": "x", "called": "x"}}, ["writer", "n"]),
    ({"writer": {"called": "x", "nope": 1}}, ["writer", "nope"]),
    ({"editors": [{"called": "x"}, {"called": "x", "age": "a"}]}, ["editors", "1", "age"]),
    ({"editors": [{"called": "x"}, "no id"]}, ["editors", "1"]),
    ({"editors": {"called": "x"}}, ["editors"]),
    ({"writer": [{"called": "x"}]}, ["writer"]),
    ({"writer": {"called": "x", "company": {}}}, ["writer", "company", "name"]),
    (
        {"editors": [{"called": "x"}, {"called": "y", "company": {"id": "a" * 24, "name": "z"}}]},
        ["editors", "1", "company", "id"],
    ),
    ({"writer": {"called": "x"}, "title": 5}, ["title"]),
    ({"writer": {"called": "x"}, "unknown": 5}, ["unknown"]),
]


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize(("body", "place"), INVALID)
def test_an_invalid_object_is_refused_with_its_place(
    make_declared: MakeDeclared, way: str, body: Document, place: list[str]
) -> None:
    api = make_declared(**views())
    post = put_post(api)
    before = snapshot(api.database)
    errors = assert_problem(write(api, way, body, post), 400, "body.invalid")["field-errors"]
    for part in place:
        assert list(errors) == [part]
        errors = errors[part]
    assert errors
    assert snapshot(api.database) == before


def test_the_place_in_a_bulk_create_begins_with_its_index(declared_api: MakeDeclared) -> None:
    api = declared_api(**views())
    bodies = [
        {"title": "a", "writer": {"called": "A"}},
        {"title": "b", "editors": [{"called": "B"}, {"called": 5}]},
    ]
    errors = assert_problem(api.post("/posts/", bodies), 400, "body.invalid")["field-errors"]
    assert list(errors["1"]["editors"]["1"]) == ["called"]
    assert snapshot(api.database) == {}


def test_a_hook_of_a_child_may_refuse_with_its_place(declared_api: MakeDeclared) -> None:
    def validate_request(self: Any, data: Any, document: Document | None = None) -> Document:
        loaded = Resource.validate_request(self, data, document)
        if loaded.get("n") == "bad":
            raise ValidationError({"called": ["Bad."]})
        return loaded

    api = declared_api(**views(with_users(validate_request=validate_request)))
    body = {"title": "t", "editors": [{"called": "good"}, {"called": "bad"}]}
    errors = assert_problem(api.post("/posts/", body), 400, "body.invalid")["field-errors"]
    assert errors == {"editors": {"1": {"called": ["Bad."]}}}
    assert snapshot(api.database) == {}


def test_a_parent_that_is_not_there_writes_no_child(declared_api: MakeDeclared) -> None:
    api = declared_api(**views())
    for method, place in (("PATCH", "posts"), ("PUT", "posts"), ("PUT", "updated")):
        body = {"title": "t", "writer": {"called": "New"}}
        assert_problem(api(method, f"/{place}/{ObjectId()}", body), 404, "document.not_found")
    assert snapshot(api.database) == {}


def test_the_id_of_a_child_cannot_be_changed(declared_api: MakeDeclared) -> None:
    """An object is known by its id, so another id is another document."""
    api = declared_api(**views())
    ann = put_user(api, "Ann")
    post = put_post(api, author=ann["_id"])
    result = write(api, "PATCH", {"writer": {"id": str(ObjectId()), "called": "X"}}, post)
    assert_problem(result, 400, "body.invalid", naming="writer")
    assert names(api) == ["Ann"]


# ------------------------------------------------------------------------------- all or nothing


def test_in_a_transaction_a_parent_that_fails_leaves_no_child(live_declared: MakeDeclared) -> None:
    api = live_declared(**views())
    api.database.posts.create_index("slug", unique=True)
    ann = put_user(api, "Ann")
    post, taken = put_post(api, slug="mine"), put_post(api, slug="taken")
    assert taken
    before = snapshot(api.database)
    for way in WAYS:
        body = {
            "slug": "taken",
            "writer": {"called": "New"},
            "editors": [{"id": str(ann["_id"]), "called": "Changed"}],
        }
        result = write(api, way, body, post)
        assert_problem(result, 409, "document.duplicate", naming="slug")
        assert snapshot(api.database) == before
    several = [{"title": "a", "slug": "free", "writer": {"called": "New"}}, {"title": "b", **body}]
    assert_problem(api.post("/posts/", several), 409, "document.duplicate")
    assert snapshot(api.database) == before


def test_without_transactions_a_parent_that_fails_is_not_half_linked(
    standalone_declared: MakeDeclared,
) -> None:
    """Children come first: they may be left, and the parent stays as it was."""
    api = standalone_declared(**views())
    api.database.posts.create_index("slug", unique=True)
    post, taken = put_post(api, slug="mine"), put_post(api, slug="taken")
    for way in WAYS:
        result = write(api, way, {"slug": "taken", "writer": {"called": "New"}}, post)
        assert_problem(result, 409, "document.duplicate")
        assert sorted(api.database.posts.find(), key=str) == sorted([post, taken], key=str)


@pytest.mark.parametrize("kind", ["live", "standalone", "make"])
def test_a_child_that_fails_leaves_the_parent_alone(
    request: pytest.FixtureRequest, kind: str
) -> None:
    api = request.getfixturevalue(f"{kind}_declared")(**views())
    api.database.users.create_index("n", unique=True)
    put_user(api, "Ann")
    post = put_post(api)
    for way in WAYS:
        body = {"slug": "x", "editors": [{"called": "New"}, {"called": "Ann"}]}
        result = write(api, way, body, post)
        assert_problem(result, 409, "document.duplicate")
        assert list(api.database.posts.find()) == [post]
        if kind == "live":
            assert names(api) == ["Ann"]
        api.database.users.delete_one({"n": "New"})


@pytest.mark.parametrize("error", [RuntimeError("broken"), Conflict("write.conflict", "No.")])
@pytest.mark.parametrize("hook", ["create_object", "update_object"])
def test_a_hook_that_raises_in_the_middle_leaves_nothing(
    live_declared: MakeDeclared, hook: str, error: Exception
) -> None:
    def fail(self: Any, *arguments: Document) -> Document:
        if arguments[-1]["n"] == "bad":
            raise error
        return getattr(Resource, hook)(self, *arguments)

    api = live_declared(**views(with_users(**{hook: fail})))
    users = [put_user(api, name) for name in ("a", "b")]
    post = put_post(api)
    before = snapshot(api.database)
    items: list[Document] = [{"called": "good"}, {"called": "bad"}, {"called": "late"}]
    if hook == "update_object":
        items = [
            {"id": str(user["_id"]), "called": name}
            for user, name in zip(users, ("good", "bad"), strict=True)
        ]
    for way in WAYS:
        result = write(api, way, {"editors": items}, post)
        assert result.status_code == (500 if isinstance(error, RuntimeError) else 409)
        assert snapshot(api.database) == before


def test_a_hook_of_the_parent_that_raises_leaves_no_child(live_declared: MakeDeclared) -> None:
    def fail(self: Any, *arguments: Document) -> Document:
        assert self.service.sibling("users", self.service.policy).find(Query())
        raise Conflict("write.conflict", "No.")

    resource = type("Failing", (Posts,), {"create_object": fail, "update_object": fail})
    api = live_declared(**views(resource))
    post = put_post(api)
    before = snapshot(api.database)
    for way in WAYS:
        result = write(api, way, {"writer": {"called": "New"}}, post)
        assert_problem(result, 409, "write.conflict", naming="No.")
        assert snapshot(api.database) == before


@pytest.mark.parametrize("kind", ["mongod", "standalone"])
def test_children_are_written_first_and_the_parent_last(
    make_database: Callable[..., Any], kind: str
) -> None:
    commands = Commands()
    api = DeclaredApi(make_database(kind, event_listeners=[commands])).register(**views())
    ann = put_user(api, "Ann")
    post = put_post(api)
    for way in WAYS:
        body = {
            "writer": {"called": "New", "company": {"name": "ACME"}},
            "editors": [{"id": str(ann["_id"]), "called": way[:10]}],
        }
        commands.take()
        assert write(api, way, body, post).status_code in {200, 201}
        sent = commands.take()
        written = [
            one[one["name"]] for one in sent if one["name"] in {"insert", "findAndModify", "update"}
        ]
        assert written == ["companies", "users", "users", "posts"]
        in_transaction = {one.get("startTransaction", False) for one in sent}
        assert (True in in_transaction) is (kind == "mongod")
        if kind == "mongod":
            assert [one["name"] for one in sent].count("commitTransaction") == 1


def test_without_objects_there_is_no_transaction(make_database: Callable[..., Any]) -> None:
    commands = Commands()
    api = DeclaredApi(make_database("mongod", event_listeners=[commands])).register(**views())
    ann = put_user(api, "Ann")
    post = put_post(api)
    commands.take()
    assert write(api, "PATCH", {"writer": str(ann["_id"])}, post).status_code == 200
    sent = commands.take()
    assert [one["name"] for one in sent if one["name"] != "find"] == ["findAndModify"]
    assert not any("startTransaction" in one for one in sent)


# ------------------------------------------------------------------------------------- hooks


def test_a_child_may_turn_out_to_be_another_document(declared_api: MakeDeclared) -> None:
    """Get-or-create: the parent refers to what the hook returned."""

    def create_object(self: Any, data: Document) -> Document:
        found = self.service.collection.find_one({"n": data["n"]})
        return found or Resource.create_object(self, data)

    api = declared_api(**views(with_users(create_object=create_object)))
    ann = put_user(api, "Ann")
    for way in WAYS:
        post = put_post(api)
        body = {"writer": {"called": "Ann"}, "editors": [{"called": "Ann"}, {"called": "Bob"}]}
        result = write(api, way, body, post)
        assert result.status_code in {200, 201}, result.text
        assert result.json["writer"]["id"] == str(ann["_id"])
        stored = api.database.posts.find_one({"_id": ObjectId(result.json["id"])})
        bob = api.database.users.find_one({"n": "Bob"})
        assert (stored["author"], stored["editors"]) == (ann["_id"], [ann["_id"], bob["_id"]])
        assert names(api) == ["Ann", "Bob"]


def test_children_have_the_hooks_of_their_resource(declared_api: MakeDeclared) -> None:
    seen: list[Any] = []

    def hook(name: str) -> Callable[..., Any]:
        def called(self: Any, *arguments: Any) -> Any:
            seen.append((name, self.view_method))
            return getattr(Resource, name)(self, *arguments)

        return called

    called = ("validate_request", "create_object", "update_object", "has_add_permission")
    resource = with_users(**{name: hook(name) for name in (*called, "has_change_permission")})
    api = declared_api(**views(resource))
    ann = put_user(api, "Ann")
    body = {"writer": {"called": "New"}, "editors": [{"id": str(ann["_id"]), "called": "A"}]}
    assert write(api, "create", body).status_code == 201
    assert {name for name, _ in seen} == {*called, "has_change_permission"}
    # Whether something was written is known only when all has been asked.
    order = [name for name, _ in seen]
    assert {order.index("create_object"), order.index("update_object")} == {4, 5}


def test_children_may_be_of_several_kinds(declared_api: MakeDeclared) -> None:
    class MaleSchema(UserSchema):
        beard = ma.Boolean(required=True)

    class Male(Resource):
        schema = MaleSchema

    class Female(Resource):
        schema = UserSchema

    class People(Resource):
        collection = "users"
        child_document_resources = {"male": Male, "female": Female}
        type_field = "_cls"

    related = {"author": People, "editors": People}
    api = declared_api(**views(type("KindPosts", (Posts,), {"related_resources": related})))
    bob = put_user(api, "Bob", _cls="male", beard=True)
    body = {
        "title": "t",
        "writer": {"_cls": "female", "name": "Ann"},
        "editors": [
            {"id": str(bob["_id"]), "beard": False},
            {"_cls": "male", "name": "C", "beard": True},
        ],
    }
    created = api.create("/posts/", body)
    assert created["writer"]["name"] == "Ann"
    assert [one["beard"] for one in created["editors"]] == [False, True]
    stored = {user["n"]: user["_cls"] for user in api.database.users.find()}
    assert stored == {"Ann": "female", "Bob": "male", "C": "male"}
    before = snapshot(api.database)
    for wrong, name in (
        ({"name": "X"}, "_cls"),
        ({"_cls": "cat", "name": "X"}, "_cls"),
        ({"_cls": "male", "name": "X"}, "beard"),
        ({"id": str(bob["_id"]), "_cls": "female"}, "_cls"),
    ):
        result = api.post(
            "/posts/", {"title": "t", "editors": [{"_cls": "female", "name": "Y"}, wrong]}
        )
        errors = assert_problem(result, 400, "body.invalid")["field-errors"]
        assert list(errors["editors"]["1"]) == [name]
    assert snapshot(api.database) == before


def test_a_kind_may_save_relations_of_its_own(declared_api: MakeDeclared) -> None:
    class Article(Resource):
        schema = PostSchema
        related_resources = {"author": Users}
        save_related_fields = ["author"]

    class Note(Resource):
        schema = PostSchema

    class Texts(Resource):
        collection = "posts"
        child_document_resources = {"article": Article, "note": Note}
        type_field = "kind"

    api = declared_api(**views(Texts))
    created = api.create("/posts/", {"kind": "article", "title": "t", "author": {"called": "Ann"}})
    assert created["author"]["called"] == "Ann"
    changed = api.patch(f"/posts/{created['id']}", {"author": {"called": "Bob"}})
    assert changed.json["author"]["called"] == "Bob"
    result = api.post("/posts/", {"kind": "note", "title": "t", "author": {"called": "Eve"}})
    assert_problem(result, 400, "body.invalid", naming="author")
    assert names(api) == ["Ann", "Bob"]


# ------------------------------------------------------------------------------------ conflicts


def test_a_write_conflict_is_tried_again(live_declared: MakeDeclared) -> None:
    """Another transaction that holds a child is waited for, and nothing is written twice."""
    started, release = threading.Event(), threading.Event()
    attempts: list[int] = []

    def create_object(self: Any, data: Document) -> Document:
        created = Resource.create_object(self, data)
        attempts.append(1)
        if len(attempts) == 1:
            started.set()
            assert release.wait(10)
        return created

    api = live_declared(**views(with_users(create_object=create_object)))
    ann = put_user(api, "Ann", age=0)
    answers: list[Any] = []
    item = {"id": str(ann["_id"]), "age": 2}
    body = {"title": "t", "editors": [{"called": "New"}, item]}
    request = threading.Thread(target=lambda: answers.append(api.post("/posts/", body)))
    request.start()
    assert started.wait(10)
    api.database.users.update_one({"_id": ann["_id"]}, {"$set": {"age": 1}})
    release.set()
    request.join(20)
    [result] = answers
    assert result.status_code == 201, result.text
    assert len(attempts) == 2
    assert names(api) == ["Ann", "New"]
    assert api.database.users.find_one({"n": "Ann"})["age"] == 2
    assert api.database.posts.count_documents({}) == 1


def test_many_nested_writes_at_once_all_arrive(live_declared: MakeDeclared) -> None:
    api = live_declared(**views())
    ann = put_user(api, "Ann", age=0)
    answers: list[int] = []

    def post(number: int) -> None:
        item = {"id": str(ann["_id"]), "age": number}
        body = {"title": str(number), "writer": {"called": str(number)}, "editors": [item]}
        answers.append(api.post("/posts/", body).status_code)

    threads = [threading.Thread(target=post, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [201] * 6
    assert api.database.posts.count_documents({}) == 6
    assert names(api) == ["0", "1", "2", "3", "4", "5", "Ann"]
