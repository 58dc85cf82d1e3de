"""Partial updates: merge patch and JSON Patch within the policy and the schema, and ``Prefer``."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId
from marshmallow import fields as ma
from marshmallow import validate

from falcorest import Resource, ResourceView, Schema, fields, methods
from falcorest.auth import TokenIssuer
from falcorest.responding import ACCEPT_PATCH
from falcorest.settings import ResourceSettings
from tests import doors, watching
from tests.conftest import MakeApi
from tests.declared import DeclaredApi, MakeDeclared
from tests.doors import JSON_PATCH, MERGE, Door, MakeDoor
from tests.support import SECRET, assert_problem
from tests.watching import Commands

pytestmark = pytest.mark.live

Document = dict[str, Any]

make_door, door, zero_code, declared = doors.make_door, doors.door, doors.zero_code, doors.declared

#: One database is shared by all tests here.
shared_databases, make_database = watching.shared_databases, watching.make_database

GOOD = {200, 204}


def op(name: str, path: str, *value: Any, **more: Any) -> Document:
    return {"op": name, "path": path, **({"value": value[0]} if value else {}), **more}


def media_type(body: Any) -> str:
    return JSON_PATCH if isinstance(body, list) else MERGE


# ------------------------------------------------------------------------------- at both doors


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({}, {}),
        ({"n": 5}, {"n": 5}),
        ({"n": 5, "name": None}, {"n": 5, "name": ...}),
        ({"name": None, "n": None}, {"name": ..., "n": ...}),
        ({"pair": {"a": 5}}, {"pair": {"a": 5, "b": 2}}),
        ({"pair": {"b": None}}, {"pair": {"a": 1}}),
        ({"pair": {}}, {}),
        ({"pair": None}, {"pair": ...}),
        ({"tags": []}, {"tags": []}),
        ({"tags": ["u"], "pair": {"a": 3}}, {"tags": ["u"], "pair": {"a": 3, "b": 2}}),
        ([], {}),
        ([op("replace", "/n", 5)], {"n": 5}),
        ([op("test", "/n", 0), op("add", "/n", 1)], {"n": 1}),
        ([op("remove", "/name")], {"name": ...}),
        ([op("add", "/tags/-", "u"), op("add", "/tags/0", "s")], {"tags": ["s", "t", "u"]}),
        ([op("remove", "/pair/a")], {"pair": {"b": 2}}),
        ([op("move", "/pair/b", **{"from": "/pair/a"})], {"pair": {"b": 1}}),
        ([op("copy", "/n", **{"from": "/pair/b"})], {"n": 2}),
        ([op("remove", "/pair"), op("add", "/pair", {"b": 9})], {"pair": {"b": 9}}),
        ([op("test", "/pair", {"b": 2, "a": 1.0})], {}),
    ],
)
def test_what_a_patch_changes(door: Door, body: Any, changed: Document) -> None:
    result = door("PATCH", "/x", body, media_type=media_type(body))
    assert result.status_code in GOOD, result.text
    expected = {**doors.THING, **changed}
    assert door.stored() == {name: one for name, one in expected.items() if one is not ...}
    if door.is_declared:
        assert result.json == door("GET").json
    else:
        assert result.status_code == 204


def test_a_patch_with_charset_and_capitals_is_one(door: Door) -> None:
    kind = "Application/Merge-Patch+JSON; charset=utf-8"
    assert door("PATCH", "/x", {"name": None}, media_type=kind).status_code in GOOD
    assert "name" not in door.stored()


def test_what_goes_before_is_seen_by_what_follows_and_all_or_nothing_is_done(door: Door) -> None:
    body = [op("replace", "/n", 5), op("replace", "/name", "b"), op("test", "/n", 6)]
    problem = assert_problem(
        door("PATCH", "/x", body, media_type=JSON_PATCH), 409, "patch.conflict", naming="/n"
    )
    assert problem["field-errors"]["2"]
    assert door.stored() == doors.THING


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ([op("remove", "/missing")], 409, "patch.conflict"),
        ([op("test", "/n", "0")], 409, "patch.conflict"),
        ([op("add", "/tags/7", "u")], 409, "patch.conflict"),
        ([op("spam", "/n")], 400, "body.invalid_patch"),
        ([op("add", "n", 1)], 400, "body.invalid_patch"),
        ([op("remove", "")], 400, "body.invalid_patch"),
        ([op("replace", "", [])], 400, "body.invalid_patch"),
        ([op("replace", "", None)], 400, "body.invalid_patch"),
        ([op("test", "/n", 0)] * 1001, 400, "body.too_complex"),
        ({f"f{number}": 1 for number in range(1001)}, 400, "body.too_complex"),
    ],
)
def test_a_patch_that_is_refused(door: Door, body: Any, status: int, code: str) -> None:
    assert_problem(door("PATCH", "/x", body, media_type=media_type(body)), status, code)
    assert door.stored() == doors.THING


@pytest.mark.parametrize("kind", [MERGE, JSON_PATCH])
def test_a_body_that_is_none(door: Door, kind: str) -> None:
    wrong = [] if kind == MERGE else {}
    assert_problem(door("PATCH", "/x", wrong, media_type=kind), 400, "body.wrong_type")
    for text in (b"", b"{", b'{"a":1,"a":2}', b"\xff"):
        headers = {"Content-Type": kind}
        result = door("PATCH", raw=text, headers=headers)
        assert result.status_code == 400, result.text
        assert result.json["code"].startswith("body.")
    good: Any = {} if kind == MERGE else []
    assert_problem(door("PATCH", "/y", good, media_type=kind), 404, "document.not_found")


def test_which_bodies_are_read_where(door: Door) -> None:
    for kind in ("text/plain", "application/xml", "application/json-patch", "application/ld+json"):
        refused = door("PATCH", "/x", {}, media_type=kind)
        assert_problem(refused, 415, "body.unsupported_type")
        assert refused.headers["accept-patch"] == ACCEPT_PATCH
    place = "?n=0" if door.is_declared else "?n=[int].0"
    for method, at, body in (("PATCH", place, {}), ("PUT", "/x", {}), ("POST", "", {})):
        for kind in (MERGE, JSON_PATCH, "text/plain"):
            refused = door(method, at, body, media_type=kind)
            assert_problem(refused, 415, "body.unsupported_type")
            imported = ", application/x-ndjson" if method == "POST" else ""
            assert refused.headers["accept"] == f"application/json{imported}"
            assert "accept-patch" not in refused.headers
    assert ACCEPT_PATCH.split(", ") == ["application/json", MERGE, JSON_PATCH]


def test_options_say_what_is_read(door: Door, make_declared: MakeDeclared) -> None:
    item = door("OPTIONS", "/x")
    assert item.status_code == 200
    assert item.headers["accept-patch"] == ACCEPT_PATCH
    assert {"PATCH", "PUT", "DELETE"} <= set(item.headers["allow"].split(", "))
    assert "accept-patch" not in door("OPTIONS", "").headers
    reading = type("View", (ResourceView,), {"resource": doors.Things, "methods": methods.READING})
    api = make_declared(things=reading)
    assert "accept-patch" not in api("OPTIONS", "/things/x").headers


def test_extended_json_is_a_value(zero_code: MakeDoor) -> None:
    door = zero_code()
    oid, other = ObjectId(), ObjectId()
    door.put_thing(ref=oid)
    assert door("PATCH", "/x", {"ref": {"$oid": str(other)}}, media_type=MERGE).status_code == 204
    assert door.stored()["ref"] == other
    shown = {"$oid": str(other)}
    body = [op("test", "/ref", shown), op("add", "/refs", [shown]), op("remove", "/ref")]
    assert door("PATCH", "/x", body, media_type=JSON_PATCH).status_code == 204
    assert (door.stored()["refs"], "ref" in door.stored()) == ([other], False)
    inside = [op("replace", "/refs/0/$oid", str(oid))]
    assert_problem(door("PATCH", "/x", inside, media_type=JSON_PATCH), 409, "patch.conflict")
    for bad in ({"at": {"$date": "x"}}, {"pair": {"a": {"$oid": "x"}}}):
        refused = door("PATCH", "/x", bad, media_type=MERGE)
        assert refused.status_code == 400, refused.text
    assert_problem(
        door("PATCH", "/x", {"pair": {"a": {"$set": 1}}}, media_type=MERGE), 400, "body.invalid_key"
    )


@pytest.mark.parametrize(
    "body",
    [
        {"a.b": 1},
        {"$set": {"n": 1}},
        {"": 1},
        {"pair": {"a.b": 1}},
        {"a\0": 1},
        {"pair": {"$inc": {"a": 1}, "a": 1}},
        {"new": {"a\0": 1}},
        [op("add", "/a.b", 1)],
        [op("add", "/", 1)],
        [op("add", "/$where", 1)],
        [op("add", "/pair/$where", 1)],
    ],
)
def test_names_that_are_no_fields(zero_code: MakeDoor, body: Any) -> None:
    door = zero_code(rules={})
    door.put_thing()
    result = door("PATCH", "/x", body, media_type=media_type(body))
    assert result.status_code == 400, result.text
    assert result.json["code"] in {"body.invalid_key", "body.invalid_update"}
    assert door.stored() == doors.THING


def test_stored_names_that_no_path_has_stay(make_api: MakeApi, mongo_uri: str) -> None:
    api = make_api(mongo_uri)
    door = Door(api, "/api/rockets", "mongod", is_declared=False)
    odd = {"_id": "x", "n": 0, "a.b": 1, "$c": 2, "o": {"d.e": 3, "f": 4}}
    api.rockets.insert_one(odd)
    assert door("PATCH", "/x", {"o": {"f": 5}, "n": 1}, media_type=MERGE).status_code == 204
    body = [op("replace", "/o/f", 6), op("test", "/a.b", 1)]
    assert door("PATCH", "/x", body, media_type=JSON_PATCH).status_code == 204
    assert door.stored() == {**odd, "n": 1, "o": {"d.e": 3, "f": 6}}
    for refused in ([op("remove", "/a.b")], [op("replace", "/o/d.e", 1)]):
        result = door("PATCH", "/x", refused, media_type=JSON_PATCH)
        assert_problem(result, 400, "body.invalid_key")


def test_the_id_stays(door: Door) -> None:
    name = door.id_name
    bodies: list[Any] = [
        {name: "y"},
        [op("replace", f"/{name}", "y")],
        [op("replace", "", {**door("GET").json, name: "y"})],
    ]
    if not door.is_declared:
        bodies += [{name: None}, [op("remove", f"/{name}")], [op("replace", "", {"n": 1})]]
    for body in bodies:
        result = door("PATCH", "/x", body, media_type=media_type(body))
        assert_problem(result, 400, "body.invalid_update", naming=name)
    assert door.stored() == doors.THING
    same: list[Any] = [{name: "x", "n": 1}, [op("test", f"/{name}", "x"), op("add", "/n", 2)]]
    for body in same:
        assert door("PATCH", "/x", body, media_type=media_type(body)).status_code in GOOD
    assert door.stored()["n"] == 2


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({"n": 1, "name": None}, ["findAndModify"]),
        ({"pair": {"a": 9}}, ["find", "findAndModify"]),
        ([op("add", "/n", 1)], ["find", "findAndModify"]),
    ],
)
def test_what_depends_on_nothing_is_one_statement(
    make_database: Any, body: Any, sent: list[str]
) -> None:
    commands = Commands()
    database = make_database("mongod", event_listeners=[commands])
    view = type("View", (ResourceView,), {"resource": doors.Things, "methods": methods.ALL})
    door = Door(DeclaredApi(database).register(things=view), "/things", "mongod", is_declared=True)
    door.put_thing()
    commands.take()
    assert door("PATCH", "/x", body, media_type=media_type(body)).status_code == 200
    assert commands.names() == sent


# -------------------------------------------------------------------------------- the policy

HIDING = {
    "hidden": ["cost", "supplier.contact", "parts.price"],
    "readonly": ["approved", "meta.by"],
    "rows": {"authenticated": {"open": True}},
}
ROCKET: Document = {
    "_id": "x",
    "open": True,
    "name": "a",
    "cost": 5,
    "supplier": {"name": "ACME", "contact": "c"},
    "parts": [{"name": "p", "price": 1}, {"name": "q", "price": 2}],
    "approved": True,
    "meta": {"by": "ada", "note": "n"},
}


@pytest.fixture
def hiding(zero_code: MakeDoor) -> Door:
    """Rockets with hidden and read-only fields, and one document."""
    door = zero_code(rules=HIDING)
    door.things.insert_one(ROCKET)
    return door


@pytest.mark.parametrize("there", [True, False], ids=["there", "missing"])
@pytest.mark.parametrize(
    "body",
    [
        {"cost": 5},
        {"cost": None},
        {"cost": {"a": 1}},
        {"supplier": {"contact": "c"}},
        {"supplier": {"contact": None}},
        {"supplier": {"name": "b", "contact": None}},
        {"name": "b", "cost": 1},
        [op("test", "/cost", 5)],
        [op("test", "/cost", None)],
        [op("add", "/cost", 5)],
        [op("remove", "/cost")],
        [op("replace", "/cost", 1)],
        [op("copy", "/copy", **{"from": "/cost"})],
        [op("move", "/name", **{"from": "/cost"})],
        [op("copy", "/cost", **{"from": "/name"})],
        [op("test", "/cost/a", 5)],
        [op("test", "/supplier/contact", "c")],
        [op("test", "/parts/0/price", 1)],
        [op("add", "/parts/0/price", 1)],
        [op("remove", "/parts/1/price")],
        [op("copy", "/copy", **{"from": "/parts/0/price"})],
        [op("test", "/name", "wrong"), op("test", "/cost", 5)],
        [op("remove", "/missing"), op("remove", "/cost")],
    ],
)
def test_what_is_hidden_is_refused_whatever_is_stored(hiding: Door, body: Any, there: bool) -> None:
    if not there:
        fewer = {"$unset": {"cost": 1, "supplier.contact": 1, "parts.0.price": 1}}
        hiding.things.update_one({"_id": "x"}, fewer)
    before = hiding.stored()
    result = hiding("PATCH", "/x", body, media_type=media_type(body))
    problem = assert_problem(result, 403, "policy.field")
    assert "can't be" in problem["detail"]
    assert hiding.stored() == before


@pytest.mark.parametrize(
    "body",
    [
        {"parts": [{"name": "p", "price": 1}]},
        [op("add", "/parts/-", {"name": "r", "price": 1})],
        [op("add", "/supplier", {"contact": 1})],
        [op("replace", "", {"_id": "x", "cost": 1})],
        [op("remove", "/supplier")],
        {"supplier": None},
        {"parts": None},
        {"supplier": "flat"},
        [op("remove", "/parts/0")],
        [op("move", "/other", **{"from": "/parts"})],
        [op("replace", "", {"_id": "x", "open": True})],
    ],
)
def test_what_holds_something_hidden_is_kept(hiding: Door, body: Any) -> None:
    result = hiding("PATCH", "/x", body, media_type=media_type(body))
    assert_problem(result, 403, "policy.field")
    assert hiding.stored() == ROCKET


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({"supplier": {"name": "b"}}, {"supplier": {"name": "b", "contact": "c"}}),
        ([op("replace", "/supplier/name", "b")], {"supplier": {"name": "b", "contact": "c"}}),
        (
            [op("replace", "/parts/0/name", "z")],
            {"parts": [{"name": "z", "price": 1}, {"name": "q", "price": 2}]},
        ),
        (
            [op("add", "/parts/-", {"name": "r"})],
            {"parts": [{"name": "p", "price": 1}, {"name": "q", "price": 2}, {"name": "r"}]},
        ),
        (
            [op("add", "/parts/0", {"name": "r"})],
            {"parts": [{"name": "r"}, {"name": "p", "price": 1}, {"name": "q", "price": 2}]},
        ),
        ([op("copy", "/copy", **{"from": "/supplier"})], {"copy": {"name": "ACME"}}),
        ([op("test", "/supplier", {"name": "ACME"})], {}),
        ({"meta": {"note": "m"}}, {"meta": {"by": "ada", "note": "m"}}),
        ({"meta": {"note": None}}, {"meta": {"by": "ada"}}),
        ({"approved": True, "name": "b"}, {"name": "b"}),
        ({"meta": {"by": "ada", "note": "m"}}, {"meta": {"by": "ada", "note": "m"}}),
        ([op("replace", "/approved", True)], {}),
        ([op("test", "/approved", True), op("add", "/name", "b")], {"name": "b"}),
        ([op("copy", "/name", **{"from": "/meta/by"})], {"name": "ada"}),
    ],
)
def test_what_is_around_something_protected_is_changed(
    hiding: Door, body: Any, changed: Document
) -> None:
    result = hiding("PATCH", "/x", body, media_type=media_type(body))
    assert result.status_code == 204, result.text
    assert hiding.stored() == {**ROCKET, **changed}


@pytest.mark.parametrize(
    "body",
    [
        {"approved": False},
        {"approved": None},
        {"meta": {"by": "bob"}},
        {"meta": {"by": None}},
        {"meta": None},
        [op("remove", "/approved")],
        [op("replace", "/approved", 1)],
        [op("replace", "/meta/by", "bob")],
        [op("move", "/name", **{"from": "/approved"})],
        [op("replace", "", {"_id": "x", "open": True, "supplier": {"name": "ACME"}})],
    ],
)
def test_what_is_read_only_is_refused(hiding: Door, body: Any) -> None:
    result = hiding("PATCH", "/x", body, media_type=media_type(body))
    assert_problem(result, 403, "policy.field")
    assert hiding.stored() == ROCKET


def test_a_patch_stays_within_the_row_rule(hiding: Door) -> None:
    for body in ({"open": False}, {"open": None}, [op("remove", "/open")], [op("add", "/open", 1)]):
        result = hiding("PATCH", "/x", body, media_type=media_type(body))
        assert_problem(result, 403, "policy.row")
    hiding.things.update_one({"_id": "x"}, {"$set": {"open": False}})
    for body in ({"name": "b"}, {"o": {"a": 1}}, [op("test", "/name", "a")], [], {}):
        result = hiding("PATCH", "/x", body, media_type=media_type(body))
        assert_problem(result, 404, "document.not_found")


def test_who_may_not_write_is_told_nothing(zero_code: MakeDoor) -> None:
    door = zero_code(rules={"read": ["admin"], "write": ["public"]})
    door.put_thing()
    other = TokenIssuer(SECRET).issue("other", [])
    for body in ([op("test", "/n", 0)], [op("test", "/n", 1)], {"n": 1}, {"pair": {"a": 1}}):
        result = door("PATCH", "/x", body, media_type=media_type(body), token=other)
        assert_problem(result, 403, "permission.denied")
    assert door.stored() == doors.THING


# ---------------------------------------------------------------------------------- schemas


class CitySchema(Schema):
    name = ma.String(required=True)
    zip = ma.String()
    code = ma.String(load_only=True)


class AuthorSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String()


class BookSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True, validate=validate.Length(max=10))
    pages = ma.Integer(attribute="p")
    renamed = ma.String()
    keyed = ma.String(data_key="the-key")
    deep = ma.Integer(attribute="far.down")
    secret = ma.String(load_only=True)
    made = ma.String(dump_only=True)
    city = ma.Nested(CitySchema)
    cities = ma.List(ma.Nested(CitySchema))
    author = fields.Reference("users", allow_none=True)
    notes = ma.Dict()
    when = ma.DateTime()


class Authors(Resource):
    collection = "users"
    schema = AuthorSchema


class Books(Resource):
    collection = "posts"
    schema = BookSchema
    fields = [*BookSchema._declared_fields, "shout"]
    rename_fields = {"renamed": "newName"}
    related_resources = {"author": Authors}

    def shout(self, document: Document) -> str:
        return str(document["title"]).upper()


AUTHOR = ObjectId()
BOOK: Document = {
    "title": "t",
    "p": 5,
    "renamed": "r",
    "keyed": "k",
    "far": {"down": 1, "kept": 2},
    "secret": "s",
    "made": "m",
    "city": {"name": "Rome", "zip": "1", "code": "c"},
    "cities": [{"name": "Bonn", "code": "d"}],
    "notes": {"a": 1, "b": {"c": 2}},
    "unknown": 7,
}


def serve(make: MakeDeclared, resource: type[Resource] = Books) -> tuple[DeclaredApi, str]:
    view = type("View", (ResourceView,), {"resource": resource, "methods": methods.ALL})
    api = make(books=view)
    identity = ObjectId()
    api.database["users"].insert_one({"_id": AUTHOR, "name": "Ann"})
    api.database["posts"].insert_one({"_id": identity, **BOOK, "author": AUTHOR})
    return api, f"/books/{identity}"


def send(api: DeclaredApi, url: str, body: Any) -> Any:
    return api.patch(url, body, headers={"Content-Type": media_type(body)})


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({"pages": 6, "newName": None}, {"p": 6, "renamed": ...}),
        ([op("replace", "/pages", 6), op("remove", "/newName")], {"p": 6, "renamed": ...}),
        ({"the-key": "x"}, {"keyed": "x"}),
        ([op("remove", "/the-key")], {"keyed": ...}),
        ({"deep": 9}, {"far": {"down": 9, "kept": 2}}),
        ({"deep": None}, {"far": {"kept": 2}}),
        ([op("replace", "/deep", 9)], {"far": {"down": 9, "kept": 2}}),
        ({"secret": "new"}, {"secret": "new"}),
        ({"secret": None}, {"secret": ...}),
        ([op("add", "/secret", "new")], {"secret": "new"}),
        ({"city": {"zip": "2"}}, {"city": {"name": "Rome", "zip": "2", "code": "c"}}),
        ({"city": {"zip": None}}, {"city": {"name": "Rome", "code": "c"}}),
        (
            {"city": {"code": "new"}},
            {"city": {"name": "Rome", "zip": "1", "code": "new"}},
        ),
        ([op("remove", "/city/zip")], {"city": {"name": "Rome", "code": "c"}}),
        ([op("replace", "/cities/0/name", "Köln")], {"cities": [{"name": "Köln", "code": "d"}]}),
        (
            [op("add", "/cities/-", {"name": "Ulm"})],
            {"cities": [{"name": "Bonn", "code": "d"}, {"name": "Ulm"}]},
        ),
        ({"author": None}, {"author": ...}),
        ([op("test", "/author/name", "Ann"), op("replace", "/author", None)], {"author": None}),
        ([op("copy", "/newName", **{"from": "/title"})], {"renamed": "t"}),
        ([op("copy", "/newName", **{"from": "/shout"})], {"renamed": "T"}),
        ({"made": "m", "shout": "T", "pages": 6}, {"p": 6}),
        ([op("replace", "/made", "m"), op("test", "/shout", "T")], {}),
        ({"notes": {"b": {"c": 3}}}, {"notes": {"a": 1, "b": {"c": 3}}}),
        ([op("add", "/notes/d", [1])], {"notes": {"a": 1, "b": {"c": 2}, "d": [1]}}),
    ],
)
def test_what_a_patch_changes_by_a_schema(
    declared_api: MakeDeclared, body: Any, changed: Document
) -> None:
    api, url = serve(declared_api)
    result = send(api, url, body)
    assert result.status_code == 200, result.text
    expected = {**BOOK, "author": AUTHOR, **changed}
    found = api.database["posts"].find_one()
    del found["_id"]
    assert found == {name: one for name, one in expected.items() if one is not ...}
    assert result.json == api.get(url).json


@pytest.mark.parametrize(
    ("body", "status", "code", "naming"),
    [
        ({"title": None}, 400, "body.invalid", "title"),
        ([op("remove", "/title")], 400, "body.invalid", "title"),
        ({"title": "x" * 11}, 400, "body.invalid", "title"),
        ([op("replace", "/title", 5)], 400, "body.invalid", "title"),
        ({"nothing": 1}, 400, "body.invalid", "nothing"),
        ({"nothing": None}, 400, "body.invalid", "nothing"),
        ({"unknown": None}, 400, "body.invalid", "unknown"),
        ([op("add", "/nothing", 1)], 400, "body.invalid", "nothing"),
        ([op("remove", "/unknown")], 409, "patch.conflict", "unknown"),
        ({"p": 1}, 400, "body.invalid", "p"),
        ({"renamed": "x"}, 400, "body.invalid", "renamed"),
        ({"city": {"name": None}}, 400, "body.invalid", "name"),
        ({"city": {"street": 1}}, 400, "body.invalid", "street"),
        ([op("remove", "/city/name")], 400, "body.invalid", "name"),
        ([op("add", "/cities/-", {})], 400, "body.invalid", "cities"),
        ({"made": "x"}, 403, "policy.field", "made"),
        ({"made": None}, 403, "policy.field", "made"),
        ({"shout": "x"}, 403, "policy.field", "shout"),
        ({"shout": None}, 403, "policy.field", "shout"),
        ([op("remove", "/made")], 403, "policy.field", "made"),
        ([op("replace", "/shout", "x")], 403, "policy.field", "shout"),
        ([op("test", "/secret", "s")], 403, "policy.field", "secret"),
        ([op("test", "/secret", "x")], 403, "policy.field", "secret"),
        ([op("copy", "/newName", **{"from": "/secret"})], 403, "policy.field", "secret"),
        ([op("move", "/newName", **{"from": "/secret"})], 403, "policy.field", "secret"),
        ([op("test", "/city/code", "c")], 403, "policy.field", "code"),
        ([op("replace", "/secret", "x")], 409, "patch.conflict", "secret"),
        ([op("remove", "/secret")], 409, "patch.conflict", "secret"),
        ({"id": "0" * 24}, 400, "body.invalid_update", "id"),
        ([op("replace", "/id", "0" * 24)], 400, "body.invalid_update", "id"),
        ({"id": None}, 403, "policy.field", "id"),
        ([op("remove", "/id")], 403, "policy.field", "id"),
        ([op("replace", "", {"title": "u"})], 403, "policy.field", ""),
        ({"author": "x"}, 400, "body.invalid", "author"),
        ({"when": "x"}, 400, "body.invalid", "when"),
        ({"$set": {"title": "u"}}, 400, "body.invalid", "$set"),
    ],
)
def test_a_patch_that_a_schema_refuses(
    declared_api: MakeDeclared, body: Any, status: int, code: str, naming: str
) -> None:
    api, url = serve(declared_api)
    before = api.database["posts"].find_one()
    assert_problem(send(api, url, body), status, code, naming=naming)
    assert api.database["posts"].find_one() == before


def test_hooks_get_what_changes(declared_api: MakeDeclared) -> None:
    seen: list[Any] = []

    class Hooked(Books):
        def validate_request(self, data: Any, document: Document | None = None) -> Document:
            seen.append(dict(data))
            return super().validate_request(data, document)

        def update_object(self, document: Document, data: Document) -> Document:
            seen.append(dict(data))
            return super().update_object(document, data)

    api, url = serve(declared_api, Hooked)
    assert send(api, url, {"pages": 6, "newName": None}).status_code == 200
    assert seen == [{"pages": 6}, {"p": 6}]
    seen.clear()
    body = [op("replace", "/city/zip", "2"), op("remove", "/the-key")]
    assert send(api, url, body).status_code == 200
    assert seen[0] == {"city": {"name": "Rome", "zip": "2"}}
    assert seen[1] == {"city": {"name": "Rome", "zip": "2", "code": "c"}}
    found = api.database["posts"].find_one()
    assert (found["p"], "renamed" in found, "keyed" in found) == (6, False, False)


def test_a_patch_of_a_resource_with_hooks_and_no_schema(declared_api: MakeDeclared) -> None:
    seen: list[Any] = []

    class Plain(Resource):
        collection = "posts"

        def update_object(self, document: Document, data: Document) -> Document:
            seen.append(data)
            return super().update_object(document, data)

    view = type("View", (ResourceView,), {"resource": Plain, "methods": methods.ALL})
    api = declared_api(books=view)
    api.database["posts"].insert_one({"_id": "x", "a": {"b": 1, "c": 2}, "d": 1})
    assert send(api, "/books/x", {"a": {"b": 3}, "d": None}).status_code == 200
    assert seen == [{"$set": {"a.b": 3}, "$unset": {"d": ""}}]
    assert api.database["posts"].find_one() == {"_id": "x", "a": {"b": 3, "c": 2}}


# ----------------------------------------------------------------------------------- Prefer

MINIMAL = {"Prefer": "return=minimal"}
WHOLE = {"Prefer": "return=representation"}


def applied(result: Any) -> str | None:
    found: str | None = result.headers.get("preference-applied")
    return found


def test_what_comes_back_as_preferred(make_door: MakeDoor) -> None:
    door = make_door(rules={})
    sent = {door.id_name: "x", "n": 1, "name": "a"}
    for headers, wanted in ((MINIMAL, "minimal"), (WHOLE, "representation"), ({}, None)):
        door.things.delete_many({})
        said = None if wanted is None else f"return={wanted}"
        whole = wanted == "representation" or (wanted is None and door.is_declared)
        made = door("POST", "", sent, headers=headers)
        assert (made.status_code, applied(made)) == (201, said)
        assert made.headers["location"].endswith("/x")
        if whole:
            assert made.json == door("GET").json
        else:
            assert made.content == (b"" if door.is_declared else b'{"_id":"x"}')
        many = door("POST", "", [{**sent, door.id_name: "y"}], headers=headers)
        assert (many.status_code, applied(many)) == (201, said)
        if whole:
            listed = many.json["data"] if door.is_declared else many.json
            assert listed == [door("GET", "/y").json]
        elif door.is_declared:
            assert many.content == b""
        else:
            assert many.json == [{"_id": "y"}]
        for method, body, kind in (
            ("PATCH", {"n": 2}, None),
            ("PATCH", {"n": 3}, MERGE),
            ("PATCH", [op("add", "/n", 4)], JSON_PATCH),
            ("PUT", {"n": 5}, None),
        ):
            result = door(method, "/x", body, media_type=kind, headers=headers)
            assert applied(result) == said
            assert result.status_code == (200 if whole else 204), result.text
            assert result.content == (door("GET").content if whole else b"")
        if not door.is_declared:
            new = door("PUT", "/new", {"n": 5}, headers=headers)
            assert (new.status_code, applied(new)) == (201, said)
            assert new.json == (door("GET", "/new").json if whole else {"_id": "new"})


def test_what_is_hidden_does_not_come_back(hiding: Door) -> None:
    shown = hiding("GET").json
    assert "cost" not in shown
    for method, body, kind in (
        ("PATCH", {"name": "a"}, None),
        ("PATCH", {"supplier": {"name": "ACME"}}, MERGE),
        ("PATCH", [op("test", "/name", "a")], JSON_PATCH),
        ("PUT", shown, None),
    ):
        result = hiding(method, "/x", body, media_type=kind, headers=WHOLE)
        assert result.json == shown
    made = hiding("POST", "", {"_id": "y", "open": True}, headers=WHOLE)
    assert made.json == {"_id": "y", "open": True}


def test_who_may_not_read_gets_nothing_back(zero_code: MakeDoor) -> None:
    door = zero_code(rules={"read": ["nobody"], "write": ["public"]})
    made = door("POST", "", {"_id": "x", "n": 1}, headers=WHOLE)
    assert (made.status_code, made.json, applied(made)) == (201, {"_id": "x"}, None)
    assert "etag" not in made.headers
    many = door("POST", "", [{"_id": "y"}], headers=WHOLE)
    assert (many.status_code, many.json, applied(many)) == (201, [{"_id": "y"}], None)
    for method in ("PATCH", "PUT"):
        assert_problem(door(method, "/x", {"n": 2}, headers=WHOLE), 403, "permission.denied")


def test_a_setting_hides_nothing_from_prefer(make_api: MakeApi) -> None:
    own = ResourceSettings(rules={"owner": "by"})
    api = make_api("mongomock://", resources={"rockets": own})
    made = api("POST", "/api/rockets", {"_id": "x"}, headers=WHOLE)
    assert made.json == {"_id": "x", "by": "tester"}
    assert made.headers["etag"] == api.get("/api/rockets/x").headers["etag"]
