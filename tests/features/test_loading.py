"""Loading: a schema that is compiled, and one that marshmallow loads, give the same answers."""

from __future__ import annotations

import datetime as dt
from typing import Any

import marshmallow
import pytest
from bson import ObjectId
from marshmallow import fields as ma
from marshmallow import pre_load, validate

from falcorest import Resource, ResourceView, Schema, fields, methods
from tests import watching
from tests.declared import DeclaredApi, MakeDeclared

#: One database is shared by all tests here.
shared_databases, make_database = watching.shared_databases, watching.make_database

ID = "6195b0eb829a2784b4459a7f"

#: What validators of an author's were called with.
called: list[Any] = []


def noted(value: Any) -> None:
    called.append(value)
    if value == "taken":
        raise marshmallow.ValidationError("It is taken.")


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True, validate=validate.Length(max=20))
    writer = fields.Reference("writers")
    at = ma.DateTime(data_key="when")
    rating = ma.Integer(attribute="stars.count", load_default=0)
    tags = ma.List(ma.String(), load_default=list)
    place = ma.Nested({"x": ma.Float(required=True), "y": ma.Float()})
    more = ma.Dict()
    secret = ma.String(load_only=True)


class HookedSchema(PostSchema):
    @pre_load
    def nothing(self, data: Any, **kwargs: Any) -> Any:
        return data


class NotedSchema(PostSchema):
    secret = ma.String(load_only=True, validate=noted)


def view_of(own: type[Schema]) -> type[ResourceView]:
    resource = type("Posts", (Resource,), {"collection": "posts", "schema": own})
    return type("View", (ResourceView,), {"resource": resource, "methods": methods.ALL})


@pytest.fixture
def api(declared_api: MakeDeclared) -> DeclaredApi:
    called.clear()
    return declared_api(
        compiled=view_of(PostSchema), hooked=view_of(HookedSchema), noted=view_of(NotedSchema)
    )


BODIES = [
    {"title": "One"},
    {"title": "One", "writer": ID, "when": "2024-02-29T12:30:15.123456+02:00", "rating": 5},
    {"title": "One", "place": {"x": 1}, "tags": ["a"], "more": {"a": {"$numberLong": "5"}}},
    {"title": "One", "rating": "5", "place": {"x": "1.5", "y": None}},
    {"title": "One", "rating": "5", "secret": "x"},
    {"title": "x" * 21, "rating": 2**63},
    {"rating": 5},
    {"title": "One", "place": {"y": 1}, "tags": "a", "unknown": 1},
    {"title": "One", "more": {"a.b": 1}},
    {"title": "One", "more": {"a": {"$numberInt": "x"}}, "when": "0001-01-01T00:00:00+05:00"},
    {"title": "One", "id": ID},
    {"title": "One", "tags": [{"id": ID}], "writer": None},
    [],
    "x",
]


def said(result: Any, url: str) -> Any:
    """Return what an answer says, but for what differs from one document to the next."""
    text = result.text.replace(url, "")
    for document in result.json.get("data", [result.json]):
        text = text.replace(str(document.get("id")), "")
    return result.status_code, text


def stored(api: DeclaredApi) -> list[Any]:
    """Return what is stored, without ids, and leave nothing."""
    found = [[*document.items()][1:] for document in api.database.posts.find({})]
    api.database.posts.delete_many({})
    return found


@pytest.mark.parametrize("body", BODIES)
def test_new_documents(api: DeclaredApi, body: Any) -> None:
    outcomes = []
    for url in ("/compiled/", "/hooked/", "/noted/"):
        one = said(api.post(url, body), url)
        many = said(api.post(url, [{"title": "First"}, body]), url)
        outcomes.append((one, many, stored(api)))
    assert outcomes[0] == outcomes[1] == outcomes[2]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_changed_documents(api: DeclaredApi, body: Any, method: str) -> None:
    outcomes = []
    for url in ("/compiled/", "/hooked/", "/noted/"):
        created = api.create(url, {"title": "Before", "tags": ["old"], "place": {"x": 0}})
        result = api(method, f"{url}{created['id']}", body)
        outcomes.append((said(result, url), stored(api)))
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_what_is_stored(api: DeclaredApi) -> None:
    api.create("/compiled/", {**BODIES[1], **BODIES[2]})
    (document,) = api.database.posts.find({})
    del document["_id"]
    assert document == {
        "title": "One",
        "writer": ObjectId(ID),
        "at": dt.datetime(2024, 2, 29, 10, 30, 15, 123000),
        "stars": {"count": 5},
        "tags": ["a"],
        "place": {"x": 1.0},
        "more": {"a": 5},
    }
    assert list(document) == ["title", "writer", "at", "stars", "tags", "place", "more"]
    assert type(document["place"]["x"]) is float


def test_a_validator_is_called_once(api: DeclaredApi) -> None:
    for secret, status in (("free", 201), ("taken", 400)):
        result = api.post("/noted/", {"title": "One", "secret": secret})
        assert result.status_code == status
        assert called == [secret]
        called.clear()
    assert result.json["field-errors"] == {"secret": ["It is taken."]}
    api.post("/noted/", {"secret": "taken"})
    assert called == ["taken"]
