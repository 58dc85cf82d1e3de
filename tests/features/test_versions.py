"""A version field: every kind of write counts it up, and no client writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mongomock
import pytest
from bson import Decimal128, Int64, ObjectId
from marshmallow import fields as ma

from falcorest import ConfigurationError, FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from falcorest.settings import ResourceSettings, load_settings
from tests import doors, watching
from tests.conftest import MakeApi
from tests.declared import DeclaredApi, MakeDeclared
from tests.doors import JSON_PATCH, MERGE, MakeDoor
from tests.features.test_conditional import between
from tests.support import assert_problem

pytestmark = pytest.mark.live

Document = dict[str, Any]

make_door, zero_code = doors.make_door, doors.zero_code

#: One database is shared by all tests here.
shared_databases, make_database = watching.shared_databases, watching.make_database


def test_every_write_counts(make_door: MakeDoor) -> None:
    door = make_door(version_field="v")
    assert door("POST", "", {door.id_name: "x", "n": 0}).status_code == 201
    assert door.stored()["v"] == 1
    many = [{door.id_name: name, "n": 0} for name in "yz"]
    assert door("POST", "", many).status_code == 201
    assert [door.stored(name)["v"] for name in "yz"] == [1, 1]

    place = "?n=0" if door.is_declared else "?n=[int].0"
    bulk = {"name": "b"} if door.is_declared else {"$set": {"name": "b"}}
    writes: list[tuple[str, str, Any, str | None]] = [
        ("PATCH", "/x", {"name": "c"}, None),
        ("PATCH", "/x", {"pair": {"a": 1}}, MERGE),
        ("PATCH", "/x", {"name": None}, MERGE),
        ("PATCH", "/x", [{"op": "add", "path": "/name", "value": "d"}], JSON_PATCH),
        ("PUT", "/x", {"n": 0}, None),
        ("PATCH", place, bulk, None),
    ]
    for number, (method, at, body, media_type) in enumerate(writes, 2):
        result = door(method, at, body, media_type=media_type)
        assert result.status_code in {200, 204}, result.text
        assert door.stored()["v"] == number
    assert [door.stored(name)["v"] for name in "yz"] == [2, 2]
    # NOTE: nothing is written.
    for body, media_type in (({}, None), ({}, MERGE), ([], JSON_PATCH)):
        assert door("PATCH", "/x", body, media_type=media_type).status_code in {200, 204}
    assert door.stored()["v"] == number


def test_operators_and_new_documents_count(zero_code: MakeDoor) -> None:
    for rules in ({}, doors.RULES, {"rows": {"authenticated": {"n": {"$gte": 0}}}}):
        door = zero_code(rules=rules, version_field="v")
        assert door("PUT", "/x", {"n": 1}).status_code == 201
        assert door.stored() == {"_id": "x", "n": 1, "v": 1}
        updates: list[Document] = [{"$inc": {"n": 1}}, {"$set": {"n": 5}, "$inc": {"m": 1}}]
        updates += [{"$unset": {"m": 1}}, {"n": 6}, {"$push": {"l": 1}}]
        for number, update in enumerate(updates, 2):
            assert door("PATCH", "/x", update).status_code == 204
            assert door.stored()["v"] == number
        whole = {"Prefer": "return=representation"}
        assert door("PATCH", "/x", {"n": 7}, headers=whole).json["v"] == number + 1
        found = door("PATCH", "?n=[int].7", {"$inc": {"n": 1}})
        assert found.json == {"matched_items": 1, "modified_items": 1}
        assert door("PUT", "/x", {"n": 1}).status_code == 204
        assert door.stored() == {"_id": "x", "n": 1, "v": number + 3}


def test_a_document_without_a_version_gets_one(make_door: MakeDoor) -> None:
    door = make_door(version_field="v")
    for method, body in (("PATCH", {"n": 1}), ("PUT", {"n": 1, "made": "then"})):
        for headers in (None, "tag"):
            door.things.delete_many({})
            door.put_thing()
            sent = {"If-Match": door.tag()} if headers else {}
            assert door(method, "/x", body, headers=sent).status_code in {200, 204}
            assert door.stored()["v"] == 1


def test_no_client_writes_it(zero_code: MakeDoor) -> None:
    door = zero_code(rules={}, version_field="v")
    door.put_thing(v=3)
    for method, place, body in (
        ("POST", "", {"v": 1}),
        ("POST", "", [{"n": 1}, {"v": 1}]),
        ("PUT", "/x", {"v": 4}),
        ("PUT", "/new", {"v": 1}),
        ("PATCH", "/x", {"v": 4}),
        ("PATCH", "/x", {"v.a": 4}),
        ("PATCH", "/x", {"$inc": {"v": 1}}),
        ("PATCH", "/x", {"$unset": {"v": 1}}),
        ("PATCH", "/x", {"$rename": {"n": "v"}}),
        ("PATCH", "?n=[int].0", {"$set": {"v": 3}}),
    ):
        assert_problem(door(method, place, body), 403, "policy.field", naming="v")
    for body, media_type in (
        ({"v": 4}, MERGE),
        ({"v": None}, MERGE),
        ([{"op": "replace", "path": "/v", "value": 4}], JSON_PATCH),
        ([{"op": "remove", "path": "/v"}], JSON_PATCH),
    ):
        refused = door("PATCH", "/x", body, media_type=media_type)
        assert_problem(refused, 403, "policy.field", naming="v")
    assert door.stored()["v"] == 3
    # NOTE: what was read may be sent back.
    read = door("GET").json
    assert read["v"] == 3
    assert door("PUT", "/x", {**read, "n": 9}).status_code == 204
    assert_problem(door("PUT", "/x", {**read, "n": 8}), 403, "policy.field")
    assert (door.stored()["n"], door.stored()["v"]) == (9, 4)
    assert door("PATCH", "/x", {"v": 4, "n": 10}).status_code == 204
    assert (door.stored()["n"], door.stored()["v"]) == (10, 5)


@pytest.mark.parametrize(
    "version",
    [
        "1",
        None,
        [1],
        {"a": 1},
        True,
        float("nan"),
        float("inf"),
        1.5,
        Int64(2**63 - 1),
        ObjectId("5f" * 12),
    ],
    ids=repr,
)
def test_a_version_that_is_none_is_said(make_door: MakeDoor, version: Any) -> None:
    door = make_door(version_field="v")
    door.put_thing(v=version)
    before = repr(door.stored())
    # NOTE: MongoDB itself counts what it can count.
    counts = isinstance(version, float)
    for method, body in (("PATCH", {"n": 1}), ("PUT", {"n": 1, "made": "then"})):
        if counts and (method == "PATCH" or door.is_declared):
            continue
        for headers in ({}, {"If-Match": door.tag()}):
            result = door(method, "/x", body, headers=headers)
            assert_problem(result, 422, "write.refused")
    assert repr(door.stored()) == before
    assert door("DELETE", headers={"If-Match": door.tag()}).status_code == 204


@pytest.mark.parametrize("version", [1, 1.0, Int64(1), -5, 2**40])
def test_a_version_of_any_whole_number(make_door: MakeDoor, version: Any) -> None:
    door = make_door(version_field="v")
    door.put_thing(v=version)
    for number, (method, body) in enumerate(
        [("PATCH", {"n": 1}), ("PUT", {"n": 1, "made": "then"})], 1
    ):
        result = door(method, "/x", body, headers={"If-Match": door.tag()})
        assert result.status_code in {200, 204}, result.text
        assert door.stored()["v"] == version + number


def test_a_decimal_version_is_counted_by_mongodb_only(make_api: MakeApi, mongo_uri: str) -> None:
    own = ResourceSettings(version_field="v")
    api = make_api(mongo_uri, resources={"rockets": own})
    api.rockets.insert_one({"_id": "x", "v": Decimal128("1")})
    assert api("PATCH", "/api/rockets/x", {"n": 1}).status_code == 204
    assert api.rockets.find_one()["v"] == Decimal128("2")
    assert_problem(api("PUT", "/api/rockets/x", {"n": 1}), 422, "write.refused")


def test_what_has_no_version_is_compared_as_a_whole(
    make_door: MakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = make_door(version_field="v")
    for version in ({}, {"v": float("nan")}, {"v": 2.0**53}, {"v": 0.5}):
        door.things.delete_many({})
        door.put_thing(**version)
        between(monkeypatch, lambda: door.things.update_one({"_id": "x"}, {"$set": {"name": "b"}}))
        result = door("PATCH", "/x", {"n": 1}, headers={"If-Match": door.tag()})
        assert_problem(result, 412, "precondition.failed")
        monkeypatch.undo()


def test_what_has_the_same_version_is_the_same(make_door: MakeDoor) -> None:
    door = make_door(version_field="v")
    door.put_thing(v=1)
    match = {"If-Match": door.tag()}
    # NOTE: whoever writes past the API has to count as well.
    door.things.update_one({"_id": "x"}, {"$set": {"cost": 9}})
    assert door("PATCH", "/x", {"n": 1}, headers=match).status_code in {200, 204}
    stored = door.stored()
    assert (stored["n"], stored["cost"], stored["v"]) == (1, 9, 2)


# --------------------------------------------------------------------------------------- hooks


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String()
    version = ma.Integer(attribute="v", dump_only=True)


class Authors(Resource):
    collection = "users"
    schema = PostSchema
    version_field = "v"


class ParentSchema(PostSchema):
    author = fields.Reference("users")


class Hooked(Resource):
    collection = "posts"
    schema = ParentSchema
    filters = {"title": [ops.Exact]}
    related_resources = {"author": Authors}
    save_related_fields = ["author"]
    version_field = "v"

    def update_object(self, document: Document, data: Document) -> Document:
        super().update_object(document, {"log": 1})
        return super().update_object(document, data)


def test_hooks_and_nested_writes_count(declared_api: MakeDeclared) -> None:
    view = type("View", (ResourceView,), {"resource": Hooked, "methods": methods.ALL})
    api: DeclaredApi = declared_api(posts=view)
    made = api.create("/posts/", {"title": "t", "author": {"title": "a"}})
    assert (made["version"], made["author"]["version"]) == (1, 1)
    url = f"/posts/{made['id']}"
    author = {"id": made["author"]["id"], "title": "b"}
    headers = {"If-Match": api.get(url).headers["etag"]}
    changed = api.patch(url, {"title": "u", "author": author}, headers=headers)
    assert changed.status_code == 200, changed.text
    # NOTE: the hook writes twice.
    assert (changed.json["version"], changed.json["author"]["version"]) == (3, 2)
    assert api.patch("/posts/?title=u", {"title": "w"}).json == {"count": 1}
    assert api.get(url).json["version"] == 5
    for version in (5, "5"):
        refused = api.patch(url, {"version": version}).status_code
        assert refused == (200 if version == 5 else 403)


# ----------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize("name", ["_id", "a.b", "", "$a", "a\0"])
def test_a_name_that_cannot_be_one(name: str) -> None:
    with pytest.raises(ConfigurationError, match="version_field"):
        type("Wrong", (Resource,), {"collection": "posts", "version_field": name})


def test_a_field_that_clients_write_is_refused() -> None:
    class OwnSchema(Schema):
        v = ma.Integer()

    class BelowSchema(Schema):
        w = ma.Integer(attribute="v.w")

    class LoadedSchema(Schema):
        x = ma.Integer(attribute="v", load_only=True)

    class GoodSchema(Schema):
        v = ma.Integer(dump_only=True)

    for schema in (OwnSchema, BelowSchema, LoadedSchema):
        said: Document = {"collection": "posts", "schema": schema, "version_field": "v"}
        with pytest.raises(ConfigurationError, match=r"Wrong\.version_field: clients could write"):
            type("Wrong", (Resource,), said)
        kind = type("Kind", (Resource,), {"schema": schema})
        said = {"collection": "posts", "version_field": "v", "type_field": "_cls"}
        with pytest.raises(ConfigurationError, match=r"Wrong\.version_field: clients could write"):
            type("Wrong", (Resource,), {**said, "child_document_resources": {"a": kind}})
    good = type(
        "Good", (Resource,), {"collection": "p", "schema": GoodSchema, "version_field": "v"}
    )
    view = type("View", (ResourceView,), {"resource": good, "methods": methods.ALL})
    api = FalcoRest(db=mongomock.MongoClient()["d"])
    assert api.register(name="posts", url="/posts")(view) is view


def test_falcorest_toml_says_it(tmp_path: Path) -> None:
    toml = tmp_path / "falcorest.toml"
    toml.write_text(
        '[resources.a]\nversion_field = "v"\nrequire_if_match = true\ncache_control = "no-store"\n'
        'read = ["public"]\n'
    )
    own = load_settings(tmp_path).resources["a"]
    assert (own.version_field, own.require_if_match, own.cache_control) == ("v", True, "no-store")
    assert own.rules == {"read": ["public"]}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('version_field = "_id"', "version_field"),
        ('version_field = "a.b"', "version_field"),
        ("version_field = 1", "version_field"),
        ('require_if_match = "yes"', "require_if_match"),
        ("require_if_match = 1", "require_if_match"),
        ("cache_control = true", "cache_control"),
        ('cache_control = "a\\nb"', "cache_control"),
        ('cache_control = "é"', "cache_control"),
    ],
)
def test_falcorest_toml_says_it_wrongly(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "falcorest.toml").write_text(f"[resources.a]\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=says):
        load_settings(tmp_path)
