"""Patches of declared resources with references and kinds: no other document is touched or lost."""

from __future__ import annotations

from typing import Any

import falcon
import pytest
from bson import ObjectId
from marshmallow import fields as ma

from falcorest import Query, Resource, ResourceView, Schema, fields, methods
from tests.declared import DeclaredApi, MakeDeclared
from tests.support import assert_problem

MERGE = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
ADA, BOB, HIDDEN, GONE = (ObjectId(f"{n}" * 24) for n in "1234")


class UserSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String()
    age = ma.Integer()


class Users(Resource):
    collection = "users"
    schema = UserSchema

    def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
        return query.where({"name": {"$ne": "hidden"}})


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True)
    author = fields.Reference("users", allow_none=True)
    editors = ma.List(fields.Reference("users"))


class Posts(Resource):
    collection = "posts"
    schema = PostSchema
    related_resources = {"author": Users, "editors": Users}


class Saving(Posts):
    save_related_fields = ["author", "editors"]


@pytest.fixture(params=[Posts, Saving], ids=["shown", "saved"])
def api(make_declared: MakeDeclared, request: pytest.FixtureRequest) -> DeclaredApi:
    view = type("View", (ResourceView,), {"resource": request.param, "methods": methods.ALL})
    api = make_declared(posts=view)
    names = {ADA: "ada", BOB: "bob", HIDDEN: "hidden"}
    api.database.users.insert_many(
        [{"_id": id, "name": name, "age": 1} for id, name in names.items()]
    )
    api.database.posts.insert_one(
        {"_id": ObjectId("5" * 24), "title": "t", "author": ADA, "editors": [HIDDEN, ADA, GONE]}
    )
    return api


def patch(api: DeclaredApi, body: Any, kind: dict[str, str]) -> Any:
    return api("PATCH", f"/posts/{'5' * 24}", body, headers=kind)


def stored(api: DeclaredApi) -> dict[str, Any]:
    found: dict[str, Any] = api.database.posts.find_one()
    return found


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"author": {"name": "x"}}, MERGE),
        ({"author": {"nope": 1}}, MERGE),
        ({"editors": [{"id": str(ADA), "name": "x"}]}, MERGE),
        ([{"op": "replace", "path": "/author/name", "value": "x"}], JSON_PATCH),
        ([{"op": "remove", "path": "/author/name"}], JSON_PATCH),
        ([{"op": "add", "path": "/author/nope", "value": 1}], JSON_PATCH),
        ([{"op": "replace", "path": "/editors/0/name", "value": "x"}], JSON_PATCH),
        ([{"op": "add", "path": "/editors/-", "value": {"name": "new"}}], JSON_PATCH),
    ],
)
def test_a_patch_changes_no_other_document(
    api: DeclaredApi, body: Any, kind: dict[str, str]
) -> None:
    before, users = stored(api), [*api.database.users.find()]
    assert_problem(patch(api, body, kind), 400, "body.invalid_patch")
    assert stored(api) == before
    assert [*api.database.users.find()] == users


@pytest.mark.parametrize(
    ("body", "kind", "author", "editors"),
    [
        ({"author": str(BOB)}, MERGE, BOB, [HIDDEN, ADA, GONE]),
        ({"author": {"id": str(ADA)}}, MERGE, ADA, [HIDDEN, ADA, GONE]),
        ({"editors": [str(BOB), str(ADA)]}, MERGE, ADA, [HIDDEN, BOB, ADA, GONE]),
        ({"editors": []}, MERGE, ADA, [HIDDEN, GONE]),
        (
            [{"op": "add", "path": "/editors/-", "value": str(BOB)}],
            JSON_PATCH,
            ADA,
            [HIDDEN, ADA, GONE, BOB],
        ),
        ([{"op": "remove", "path": "/editors/0"}], JSON_PATCH, ADA, [HIDDEN, GONE]),
        ([{"op": "copy", "from": "/author", "path": "/editors/0"}], JSON_PATCH, ADA, None),
        (
            [
                {"op": "test", "path": "/author/name", "value": "ada"},
                {"op": "replace", "path": "/author", "value": str(BOB)},
            ],
            JSON_PATCH,
            BOB,
            [HIDDEN, ADA, GONE],
        ),
    ],
)
def test_what_is_not_seen_stays(
    api: DeclaredApi, body: Any, kind: dict[str, str], author: ObjectId, editors: Any
) -> None:
    result = patch(api, body, kind)
    assert result.status_code == 200, result.text
    found = stored(api)
    assert found["author"] == author
    assert found["editors"] == (editors or [HIDDEN, ADA, GONE, ADA])
    assert {one["name"] for one in api.database.users.find()} == {"ada", "bob", "hidden"}


class ManSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    kind = ma.String(attribute="_cls")
    beard = ma.Boolean()


class Man(Resource):
    schema = ManSchema


class Person(Resource):
    collection = "people"
    child_document_resources = {"man": Man}
    type_field = "_cls"


@pytest.mark.parametrize("headers", [{}, {"If-Match": "*"}])
def test_a_kind_stays_what_it_is(make_declared: MakeDeclared, headers: dict[str, str]) -> None:
    view = type("View", (ResourceView,), {"resource": Person, "methods": methods.ALL})
    api = make_declared(people=view)
    api.database.people.insert_one({"_id": ADA, "_cls": "man", "beard": True})
    for body, kind in (
        ({"kind": None}, MERGE),
        ([{"op": "remove", "path": "/kind"}], JSON_PATCH),
        ([{"op": "replace", "path": "/kind", "value": "x"}], JSON_PATCH),
    ):
        result = api("PATCH", f"/people/{ADA}", body, headers={**kind, **headers})
        assert_problem(result, 400, "body.invalid", naming="kind")
    assert api.database.people.find_one()["_cls"] == "man"
    result = api("PATCH", f"/people/{ADA}", {"beard": None}, headers={**MERGE, **headers})
    assert result.status_code == 200, result.text
    assert "beard" not in api.database.people.find_one()
