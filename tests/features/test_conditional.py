"""Conditional requests: tags of documents, 304, and writes of what the client has read."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable
from typing import Any

import bson
import falcon
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from marshmallow import fields as ma
from pymongo.errors import OperationFailure

from falcorest import ConfigurationError, Query, Resource, ResourceView, Schema, fields, methods
from falcorest.auth import TokenIssuer
from falcorest.database import Transactions
from falcorest.errors import Forbidden, NotFound
from falcorest.finding import Changed, Finder
from falcorest.methods import Fetch
from falcorest.policy import Policy
from falcorest.preconditions import tag_of
from falcorest.service import CollectionService
from falcorest.settings import ResourceSettings
from tests import doors, watching
from tests.attacks.rivals import RIVALRIES, create_if_none_is_there
from tests.conftest import MakeApi
from tests.declared import DeclaredApi, MakeDeclared
from tests.doors import JSON_PATCH, MERGE, Door, MakeDoor
from tests.support import SECRET, assert_problem

pytestmark = pytest.mark.live

Document = dict[str, Any]

make_door, door, zero_code, declared = doors.make_door, doors.door, doors.zero_code, doors.declared

#: One database is shared by all tests here.
shared_databases, make_database = watching.shared_databases, watching.make_database

#: The writes of one document: method, body and media type.
WRITES: list[tuple[str, Any, str | None]] = [
    ("PATCH", {"n": 7}, None),
    ("PATCH", {"n": 7}, MERGE),
    ("PATCH", {"pair": {"a": 7}}, MERGE),
    ("PATCH", [{"op": "replace", "path": "/n", "value": 7}], JSON_PATCH),
    ("PUT", {"n": 7, "made": "then"}, None),
    ("DELETE", ..., None),
]
IDS = ["plain", "flat", "merge", "json-patch", "put", "delete"]


# -------------------------------------------------------------------------------------- reading


def test_a_document_has_a_strong_tag_of_what_is_shown(door: Door) -> None:
    result = door("GET")
    tag = result.headers["etag"]
    assert tag == tag_of(result.content)
    assert not tag.startswith("W/")
    assert result.headers["cache-control"] == "no-cache"
    assert result.headers.get("vary") == (None if door.is_declared else "Accept-Encoding")
    assert door.tag() == tag
    head = door("HEAD")
    assert head.headers["etag"] == tag
    assert head.content == b""
    door.things.update_one({"_id": "x"}, {"$set": {"cost": 6}})
    assert door.tag() == tag
    door.things.update_one({"_id": "x"}, {"$set": {"n": 1}})
    assert door.tag() != tag


def test_a_tag_is_that_of_the_fields_that_are_shown(door: Door) -> None:
    name = "_fields" if door.is_declared else "_projection"
    tags = {door.tag(), door.tag(f"/x?{name}=n"), door.tag(f"/x?{name}=n,name")}
    assert len(tags) == 3
    some = door.tag(f"/x?{name}=n")
    assert door("GET", f"/x?{name}=n", headers={"If-None-Match": some}).status_code == 304
    # NOTE: what is compared for a write is the whole of it.
    result = door("PATCH", body={"n": 1}, headers={"If-Match": some})
    assert_problem(result, 412, "precondition.failed")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("value", ["{}", "W/{}", '"other", {}', "*"])
def test_what_is_known_is_not_sent_again(door: Door, method: str, value: str) -> None:
    tag = door.tag()
    result = door(method, headers={"If-None-Match": value.format(tag)})
    assert result.status_code == 304
    assert result.content == b""
    assert result.headers["etag"] == tag
    assert result.headers["cache-control"] == "no-cache"
    assert "content-type" not in result.headers


def test_what_is_not_known_is_sent(door: Door) -> None:
    tag = door.tag()
    result = door("GET", headers={"If-None-Match": '"other"'})
    assert result.status_code == 200
    assert door("GET", headers={"If-Match": tag}).content == result.content
    assert door("GET", headers={"If-Match": "*", "If-None-Match": '"other"'}).status_code == 200
    assert door("GET", headers={"If-Match": tag, "If-None-Match": tag}).status_code == 304
    stale = door("GET", headers={"If-Match": '"other"', "If-None-Match": tag})
    assert_problem(stale, 412, "precondition.failed", naming="If-Match")
    for name in ("If-Match", "If-None-Match"):
        result = door("GET", headers={name: "other"})
        assert_problem(result, 400, "precondition.malformed", naming=name)
    assert_problem(door("GET", "/y", headers={"If-None-Match": "*"}), 404, "document.not_found")


# -------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize(("method", "body", "media_type"), WRITES, ids=IDS)
def test_a_write_of_what_was_read(door: Door, method: str, body: Any, media_type: str) -> None:
    for value in ("{}", '"other" , {}', "{}-gzip", "*", None):
        if door.stored() is None:
            door.put_thing()
        tag = door.tag()
        match = tag[:-1] + '-gzip"' if value == "{}-gzip" else value and value.format(tag)
        headers = {"If-Match": match} if match else {"If-None-Match": '"other"'}
        result = door(method, "/x", body, media_type=media_type, headers=headers)
        assert result.status_code in {200, 204}, result.text
        stored = door.stored()
        if method == "DELETE":
            assert stored is None
        else:
            assert 7 in (stored["n"], stored.get("pair", {}).get("a"))
            assert stored["cost"] == 5


@pytest.mark.parametrize(("method", "body", "media_type"), WRITES, ids=IDS)
def test_a_write_of_something_else_is_refused(
    door: Door, method: str, body: Any, media_type: str
) -> None:
    tag, before = door.tag(), door.stored()

    def send(place: str = "/x", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return door(method, place, body, media_type=media_type, headers=named)

    for value in ('"other"', f"W/{tag}", f'W/{tag}, "other"'):
        assert_problem(send(If_Match=value), 412, "precondition.failed", naming="If-Match")
    for value in ("*", tag, f"W/{tag}"):
        refused = send(If_None_Match=value)
        assert_problem(refused, 412, "precondition.failed", naming="If-None-Match")
    assert_problem(send(If_Match=tag, If_None_Match=tag), 412, "precondition.failed")
    assert_problem(send(If_Match=tag.strip('"')), 400, "precondition.malformed")
    assert_problem(send(If_Match=""), 400, "precondition.malformed")
    for value in (tag, "*"):
        assert_problem(send("/y", If_Match=value), 404, "document.not_found")
    assert door.stored() == before
    assert door.stored("y") is None


def test_a_tag_grows_old_with_every_write(door: Door) -> None:
    first = door.tag()
    assert door("PATCH", body={"n": 1}, headers={"If-Match": first}).status_code in {200, 204}
    assert_problem(
        door("PATCH", body={"n": 2}, headers={"If-Match": first}), 412, "precondition.failed"
    )
    # NOTE: the same bytes are the same tag.
    assert door("PATCH", body={"n": 0}).status_code in {200, 204}
    assert door("DELETE", headers={"If-Match": first}).status_code == 204


def test_a_document_is_created_once(zero_code: MakeDoor) -> None:
    door = zero_code()
    made = door("PUT", "/new", {"n": 1}, headers={"If-None-Match": "*"})
    assert made.status_code == 201
    again = door("PUT", "/new", {"n": 2}, headers={"If-None-Match": "*"})
    assert_problem(again, 412, "precondition.failed")
    assert door.stored("new")["n"] == 1
    other = door("PUT", "/new2", {"n": 2}, headers={"If-None-Match": '"other"'})
    assert other.status_code == 201
    assert_problem(door("PUT", "/new3", {}, headers={"If-Match": "*"}), 404, "document.not_found")
    assert door.stored("new3") is None


def test_an_id_that_the_caller_does_not_see_is_taken(zero_code: MakeDoor) -> None:
    door = zero_code(rules={"rows": {"authenticated": {"n": 1}}})
    door.put_thing(n=2)
    result = door("PUT", "/x", {"n": 1}, headers={"If-None-Match": "*"})
    assert_problem(result, 409, "document.duplicate")
    for method in ("PUT", "PATCH", "DELETE"):
        body = ... if method == "DELETE" else {"n": 1}
        for match in ("*", '"other"'):
            refused = door(method, "/x", body, headers={"If-Match": match})
            assert_problem(refused, 404, "document.not_found")
    assert door.stored()["n"] == 2


def test_the_answer_to_a_write_has_the_tag_of_the_next_get(make_door: MakeDoor) -> None:
    door = make_door()
    whole = {"Prefer": "return=representation"}
    posted = {door.id_name: "x", "n": 1, "name": "é", "pair": {"b": 1, "a": 2}, "tags": []}
    made = door("POST", "", posted, headers=whole)
    assert made.status_code == 201, made.text
    assert made.headers["etag"] == door.tag() == tag_of(made.content)
    for method, body, media_type in WRITES[:4]:
        result = door(method, "/x", body, media_type=media_type, headers=whole)
        assert result.status_code == 200, result.text
        assert result.headers["etag"] == door.tag() == tag_of(result.content)
    result = door("PUT", "/x", {"n": 8}, headers=whole)
    assert result.status_code == 200
    assert "etag" not in result.headers
    if not door.is_declared:
        assert "etag" not in door("PATCH", body={"n": 9}).headers
        assert "etag" not in door("POST", "", {"n": 1}).headers
        assert "etag" not in door("PUT", "/new", {"n": 8}, headers=whole).headers


def test_a_whole_collection_has_no_tag(door: Door) -> None:
    field = "n=0" if door.is_declared else "n=[int].0"
    writes = [
        ("POST", "", {"n": 1}),
        ("PATCH", f"?{field}", {"n": 1} if door.is_declared else {"$set": {"n": 1}}),
        ("DELETE", "?n=0" if door.is_declared else "?n=[int].1", ...),
    ]
    for method, place, body in writes:
        for headers in ({"If-Match": '"a"'}, {"If-None-Match": "*"}):
            refused = door(method, place, body, headers=headers)
            assert_problem(refused, 412, "precondition.failed")
        assert_problem(
            door(method, place, body, headers={"If-Match": "a"}), 400, "precondition.malformed"
        )
    for method, place, body in writes:
        good = door(method, place, body, headers={"If-Match": "*", "If-None-Match": '"a"'})
        assert good.status_code in {200, 201}, good.text
    assert "etag" not in door("GET", "").headers


# ------------------------------------------------------------------------- where it is required


def require_asked(door: Door) -> None:
    for method, body, media_type in WRITES:
        for headers in ({}, {"If-None-Match": '"a"'}):
            refused = door(method, "/x", body, media_type=media_type, headers=headers)
            assert_problem(refused, 428, "precondition.required", naming="If-Match")
            missing = door(method, "/y", body, media_type=media_type, headers=headers)
            assert_problem(missing, 428, "precondition.required")
    assert door("PATCH", body={"n": 1}, headers={"If-Match": door.tag()}).status_code in {200, 204}
    assert door("PATCH", body={"n": 2}, headers={"If-Match": "*"}).status_code in {200, 204}
    assert door("POST", "", {door.id_name: "z", "n": 1}).status_code == 201
    assert door("GET").status_code == 200
    field = "n=1" if door.is_declared else "n=[int].1"
    assert door("DELETE", f"?{field}").status_code == 200
    if not door.is_declared:
        assert door("PUT", "/w", {"n": 1}, headers={"If-None-Match": "*"}).status_code == 201


def test_a_resource_can_require_it(make_door: MakeDoor) -> None:
    door = make_door(require_if_match=True)
    door.put_thing()
    require_asked(door)


def test_a_setting_can_require_it(make_api: MakeApi, any_uri: str) -> None:
    api = make_api(any_uri, require_if_match=True)
    door = Door(api, "/api/rockets", "", is_declared=False)
    door.put_thing()
    require_asked(door)
    free = ResourceSettings(require_if_match=False)
    api = make_api(any_uri, require_if_match=True, resources={"rockets": free})
    assert api("PUT", "/api/rockets/x", {"n": 1}).status_code == 201


def test_who_may_not_write_is_told_so_first(zero_code: MakeDoor) -> None:
    door = zero_code(rules={"write": ["editor"]}, require_if_match=True)
    door.put_thing()
    reader = TokenIssuer(SECRET).issue("reader", [])
    for headers in ({}, {"If-Match": '"stale"'}, {"If-None-Match": "*"}):
        for method, body, media_type in WRITES:
            anonymous = door(method, "/x", body, media_type=media_type, headers=headers, token=None)
            assert_problem(anonymous, 401, "auth.required")
            refused = door(method, "/x", body, media_type=media_type, headers=headers, token=reader)
            assert_problem(refused, 403, "permission.denied")
    assert door.stored()["n"] == 0


# ----------------------------------------------------------------------------- what comes between


def between(monkeypatch: pytest.MonkeyPatch, *changes: Callable[[], Any]) -> list[int]:
    """Do something after each of the first times that a write has read its document."""
    reads = [0]
    read = Finder.as_stored

    def as_stored(self: Any, *given: Any) -> Any:
        found = read(self, *given)
        if reads[0] < len(changes):
            changes[reads[0]]()
        reads[0] += 1
        return found

    monkeypatch.setattr(Finder, "as_stored", as_stored)
    return reads


@pytest.mark.parametrize("version", [False, True], ids=["whole", "version"])
@pytest.mark.parametrize(("method", "body", "media_type"), WRITES, ids=IDS)
def test_what_the_client_does_not_see_may_change_meanwhile(
    make_door: MakeDoor,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    body: Any,
    media_type: str,
    version: bool,
) -> None:
    hidden = {**doors.RULES, "hidden": ["cost", "v"]}
    door = make_door(rules=hidden, version_field="v" if version else None)
    door.put_thing(v=1)
    change = {"$inc": {"cost": 1, "v": 1}}
    reads = between(monkeypatch, *[lambda: door.things.update_one({"_id": "x"}, change)] * 2)
    match = {"If-Match": door.tag()}
    result = door(method, "/x", body, media_type=media_type, headers=match)
    assert result.status_code in {200, 204}, result.text
    assert reads == [3]
    stored = door.stored()
    if method == "DELETE":
        assert stored is None
    else:
        assert stored["cost"] == 7
        assert stored["v"] == (4 if version else 3)


@pytest.mark.parametrize(("method", "body", "media_type"), WRITES, ids=IDS)
def test_what_the_client_sees_may_not(
    door: Door, monkeypatch: pytest.MonkeyPatch, method: str, body: Any, media_type: str
) -> None:
    match = {"If-Match": door.tag()}
    between(monkeypatch, lambda: door.things.update_one({"_id": "x"}, {"$set": {"name": "b"}}))
    result = door(method, "/x", body, media_type=media_type, headers=match)
    assert_problem(result, 412, "precondition.failed")
    assert door.stored() == {**doors.THING, "name": "b"}


@pytest.mark.parametrize(("method", "body", "media_type"), WRITES, ids=IDS)
def test_a_document_that_goes_meanwhile_is_not_found(
    door: Door, monkeypatch: pytest.MonkeyPatch, method: str, body: Any, media_type: str
) -> None:
    match = {"If-Match": door.tag()}
    between(monkeypatch, lambda: door.things.delete_one({"_id": "x"}))
    result = door(method, "/x", body, media_type=media_type, headers=match)
    assert_problem(result, 404, "document.not_found")
    assert door.stored() is None


@pytest.mark.parametrize(
    ("method", "media_type"),
    [("PATCH", None), ("PATCH", MERGE), ("PATCH", JSON_PATCH), ("PUT", None)],
)
def test_a_body_is_read_again_where_it_is_tried_again(
    zero_code: MakeDoor, monkeypatch: pytest.MonkeyPatch, method: str, media_type: str | None
) -> None:
    door = zero_code()
    door.put_thing()
    change = {"$inc": {"cost": 1}}
    between(monkeypatch, *[lambda: door.things.update_one({"_id": "x"}, change)] * 2)
    dates = [{"$date": "2021-11-01T00:00:00Z"}]
    body: Any = {"made": "then", "dates": dates, "inside": {"dates": dates}}
    if media_type == JSON_PATCH:
        body = [{"op": "add", "path": f"/{name}", "value": one} for name, one in body.items()]
    headers = {"If-Match": door.tag()}
    result = door(method, "/x", body, media_type=media_type, headers=headers)
    assert result.status_code == 204, result.text
    at = [dt.datetime(2021, 11, 1)]
    assert (door.stored()["dates"], door.stored()["inside"]) == (at, {"dates": at})
    assert door.stored()["cost"] == 7


def test_a_transaction_that_is_tried_again_compares_again(
    make_database: Callable[..., Any],
) -> None:
    database = make_database("mongod")
    database["posts"].insert_one({"_id": "x", "n": 0})
    service = CollectionService(database, "posts", Policy.of({}, 10), Transactions(database))
    _, expected = service.as_stored("x", Query())
    bound = service.expecting(expected)
    tried: list[bool] = []

    def work() -> None:
        if tried:
            database["posts"].update_one({"_id": "x"}, {"$set": {"n": 5}})
        tried.append(expected.met)
        bound.update("x", {"$set": {"n": 1}})
        error = OperationFailure("another transaction came in between")
        error._add_error_label("TransientTransactionError")
        raise error

    with pytest.raises(Changed):
        bound.together(work)
    assert tried == [False, False]
    assert database["posts"].find_one()["n"] == 5


def test_a_document_that_comes_meanwhile_is_not_replaced(
    zero_code: MakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = zero_code()
    made = []
    read = Finder.as_stored

    def as_stored(self: Any, *given: Any) -> Any:
        try:
            return read(self, *given)
        except NotFound:
            made.append(door.put_thing())
            raise

    monkeypatch.setattr(Finder, "as_stored", as_stored)
    result = door("PUT", "/x", {"n": 9}, headers={"If-None-Match": "*"})
    assert_problem(result, 412, "precondition.failed")
    assert len(made) == 1
    assert door.stored() == doors.THING


def test_a_write_that_is_always_too_late_gives_up(
    zero_code: MakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = zero_code()
    door.put_thing()
    match = {"If-Match": door.tag()}
    monkeypatch.setattr(CollectionService, "time_limit", 0.2, raising=False)
    monkeypatch.setattr("falcorest.conditional._SECONDS", 0.2)
    monkeypatch.setattr("falcorest.conditional.monotonic", iter(range(10**6)).__next__)
    change = {"$inc": {"cost": 1}}
    between(monkeypatch, *[lambda: door.things.update_one({"_id": "x"}, change)] * 1000)
    result = door("PATCH", "/x", {"n": 1}, headers=match)
    assert_problem(result, 409, "write.conflict")
    assert door.stored()["n"] == 0


# -------------------------------------------------------------------------------- any document

#: A value of every type that Python's driver keeps.
EVERYTHING: Document = {
    "double": 1.5,
    "whole double": 2.0,
    "nan": float("nan"),
    "minus zero": -0.0,
    "infinity": float("-inf"),
    "text": "a\0b",
    "object": {"b": 1, "a": {"": 0}},
    "list": [1, [2], {"c": None}],
    "bytes": b"\x00\xff",
    "old bytes": Binary(b"x", 2),
    "uuid": Binary(bytes(range(16)), 4),
    "old uuid": Binary(bytes(range(16)), 3),
    "own bytes": Binary(b"x", 128),
    "oid": ObjectId("6195b0eb829a2784b4459a7f"),
    "true": True,
    "date": dt.datetime(2021, 11, 1, 10, 0, 0, 1000),
    "far date": DatetimeMS(2**62),
    "early date": DatetimeMS(-(2**62)),
    "null": None,
    "regex": Regex("a.b", "im"),
    "reference": DBRef("c", 1, "d", extra=2),
    "code": Code("f()"),
    "scoped code": Code("f()", {"x": 1}),
    "int": 5,
    "long": Int64(5),
    "large": 2**62,
    "timestamp": Timestamp(5, 6),
    "decimal": Decimal128("1.50"),
    "decimal nan": Decimal128("NaN"),
    "min": MinKey(),
    "max": MaxKey(),
    "dotted.name": 1,
    "$dollar": {"$eq": ["$$ROOT", 1]},
}


def kept(document: Document) -> bytes:
    """Return what of a document the tests don't write."""
    own = {"_id", "n", "new", "v"}
    return bson.encode({name: one for name, one in document.items() if name not in own})


def raw_values() -> bytes:
    """Return a document with types that Python's driver turns into other ones."""
    undefined = b"\x06undefined\x00"
    symbol = b"\x0esymbol\x00\x02\x00\x00\x00a\x00"
    pointer = b"\x0cpointer\x00\x02\x00\x00\x00c\x00" + bytes(range(12))
    twice = b"\x10twice\x00\x01\x00\x00\x00\x10twice\x00\x02\x00\x00\x00"
    own = bson.encode({"_id": "x", "n": 0})[4:-1]
    inside = own + undefined + symbol + pointer + twice
    return (len(inside) + 5).to_bytes(4, "little") + inside + b"\x00"


@pytest.mark.parametrize("version", [None, "v"])
def test_a_document_of_all_types_is_compared_as_it_is(
    zero_code: MakeDoor, version: str | None
) -> None:
    door = zero_code(rules={}, version_field=version)
    values = dict(EVERYTHING)
    if door.kind == "mongomock":
        for name in ("dotted.name", "$dollar"):
            del values[name]
    for _ in range(2):
        door.things.delete_many({})
        if door.kind == "mongomock":
            door.things.insert_one({"_id": "x", "n": 0, **values})
        else:
            # NOTE: MongoDB takes such names from a client that doesn't look at them.
            door.things.insert_one(RawBSONDocument(bson.encode({"_id": "x", "n": 0, **values})))
        before = door.stored()
        tag = door.tag()
        assert_problem(
            door("PATCH", "/x", {"n": 1}, headers={"If-Match": '"a"'}), 412, "precondition.failed"
        )
        for number, (body, media_type) in enumerate(
            [
                ({"n": 1}, None),
                ({"new": {"a": 1}}, MERGE),
                ([{"op": "replace", "path": "/n", "value": 3}], JSON_PATCH),
            ]
        ):
            headers = {"If-Match": tag}
            result = door("PATCH", "/x", body, media_type=media_type, headers=headers)
            assert result.status_code == 204, (number, result.text)
            assert door.tag() != tag
            tag = door.tag()
        assert kept(door.stored()) == kept(before)
    assert door("PUT", "/x", {"n": 5}, headers={"If-Match": tag}).status_code in {204, 403}
    assert door("DELETE", "/x", headers={"If-Match": door.tag()}).status_code == 204


@pytest.mark.parametrize("uri", ["mongo_uri", "standalone_uri"])
def test_types_that_python_does_not_keep_are_compared_as_they_are(
    make_api: MakeApi, request: pytest.FixtureRequest, uri: str
) -> None:
    api = make_api(request.getfixturevalue(uri))
    door = Door(api, "/api/rockets", "mongod", is_declared=False)
    api.rockets.insert_one(RawBSONDocument(raw_values()))
    for body, media_type in (({"n": 1}, None), ({"o": {"a": 1}}, MERGE)):
        result = door("PATCH", "/x", body, media_type=media_type, headers={"If-Match": door.tag()})
        assert result.status_code == 204, result.text
    types = list(
        api.rockets.aggregate(
            [{"$project": {"_id": 0, "u": {"$type": "$undefined"}, "s": {"$type": "$symbol"}}}]
        )
    )
    assert types == [{"u": "undefined", "s": "symbol"}]
    assert door("DELETE", headers={"If-Match": door.tag()}).status_code == 204


@pytest.mark.parametrize("kind", ["mongod", "standalone"])
def test_a_database_that_reads_uuids_and_zones(
    make_database: Callable[..., Any], kind: str
) -> None:
    class OwnSchema(Schema):
        id = ma.UUID(attribute="_id")
        at = ma.AwareDateTime()
        n = ma.Integer()

    class Own(Resource):
        collection = "posts"
        schema = OwnSchema

    class View(ResourceView):
        resource = Own
        methods = methods.ALL

    database = make_database(kind, uuidRepresentation="standard", tz_aware=True)
    api = DeclaredApi(database).register(posts=View)
    identity = uuid.uuid4()
    at = dt.datetime(2021, 11, 1, 10, tzinfo=dt.UTC)
    database["posts"].insert_one({"_id": identity, "at": at, "n": 0})
    url = f"/posts/{identity}"
    tag = api.get(url).headers["etag"]
    result = api.patch(url, {"n": 1}, headers={"If-Match": tag})
    assert result.status_code == 200, result.text
    assert_problem(api.patch(url, {"n": 2}, headers={"If-Match": tag}), 412, "precondition.failed")
    assert api.delete(url, headers={"If-Match": result.headers["etag"]}).status_code == 204
    zero = make_database(kind, uuidRepresentation="pythonLegacy")
    zero["posts"].insert_one({"_id": identity, "n": 0})
    service = CollectionService(zero, "posts", Policy.of({}, 10), Transactions(zero))
    document, expected = service.as_stored(identity, Query())
    service.expecting(expected).update(document["_id"], {"$set": {"n": 1}})
    with pytest.raises(Changed):
        service.expecting(expected_again(expected)).update(identity, {"$set": {"n": 2}})
    assert zero["posts"].find_one()["n"] == 1


def expected_again(expected: Any) -> Any:
    return type(expected)(expected.identity, expected.stored, expected.condition)


_SIMPLE_IDS = (float, int, Int64, str, bytes, dt.datetime, ObjectId, type(None))


@pytest.mark.parametrize(
    "identity",
    [
        *(float("nan"), {"a": 1, "b": [2]}, DBRef("c", 1), True, None, 5, 5.0),
        *(Int64(5), Decimal128("5.0"), "5", "", b"5", Binary(b"5", 128), Timestamp(1, 2)),
        *(dt.datetime(2021, 11, 1), MinKey(), Code("x"), ObjectId("6195b0eb829a2784b4459a7f")),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", doors.KINDS)
def test_an_id_of_any_type(make_database: Callable[..., Any], kind: str, identity: Any) -> None:
    if kind == "mongomock" and (identity != identity or type(identity) not in _SIMPLE_IDS):
        # NOTE: mongomock can't keep them apart.
        identity = "other"
    database = make_database(kind)
    stored = {"_id": identity, "n": 0}
    database["posts"].insert_one(
        RawBSONDocument(bson.encode(stored)) if kind != "mongomock" else stored
    )
    service = CollectionService(database, "posts", Policy.of({}, 10), Transactions(database))
    document, expected = service.as_stored(identity, Query())
    service.expecting(expected).update(document["_id"], {"$set": {"n": 1}})
    assert expected.met
    again = expected_again(expected)
    for work in (
        lambda bound: bound.update(document["_id"], {"$set": {"n": 2}}),
        lambda bound: bound.modify(identity, {"$set": {"n": 2}}),
        lambda bound: bound.replace(identity, {"n": 2}),
        lambda bound: bound.delete(identity),
        lambda bound: bound.get(identity),
    ):
        with pytest.raises(Changed):
            work(service.expecting(again))
    assert database["posts"].find_one()["n"] == 1


@pytest.mark.parametrize("size", [1, 7, 15])
def test_a_large_document(zero_code: MakeDoor, make_api: MakeApi, size: int) -> None:
    door = zero_code(rules={})
    if door.kind == "mongomock" and size > 1:
        door.put_thing()
    else:
        door.put_thing(text="x" * (size * 1024 * 1024 - 2000))
    body = [{"op": "replace", "path": "/n", "value": 1}]
    result = door("PATCH", "/x", body, media_type=JSON_PATCH, headers={"If-Match": door.tag()})
    assert result.status_code == 204, result.text
    result = door("PATCH", "/x", {"n": 2}, headers={"If-Match": door.tag()})
    assert result.status_code == 204, result.text
    assert door("PUT", "/x", {"n": 3}, headers={"If-Match": door.tag()}).status_code == 204
    assert door.stored() == {"_id": "x", "n": 3}


@pytest.mark.parametrize("version", [None, "v"])
def test_a_comparison_and_a_change_have_room_in_one_message(
    make_api: MakeApi, mongo_uri: str, version: str | None
) -> None:
    own = ResourceSettings(version_field=version)
    api = make_api(mongo_uri, max_body_bytes=16 * 1024 * 1024, resources={"rockets": own})
    door = Door(api, "/api/rockets", "mongod", is_declared=False)
    door.put_thing(text="x" * (10 * 1024 * 1024), v=1)
    body = {"text": "y" * (10 * 1024 * 1024)}
    result = door("PUT", "/x", body, headers={"If-Match": door.tag()})
    if version is None:
        assert_problem(result, 413, "body.too_large", naming="together")
        assert door.stored()["text"][0] == "x"
    else:
        assert result.status_code == 204, result.text


def test_ids_that_a_collation_takes_for_each_other(make_api: MakeApi, mongo_uri: str) -> None:
    api = make_api(mongo_uri)
    api.database.drop_collection("rocket_engines")
    api.database.create_collection("rocket_engines", collation={"locale": "en", "strength": 1})
    door = Door(api, "/api/rockets", "mongod", is_declared=False)
    door.put_thing(_id="ABC", name="é")
    tag = door.tag("/abc")
    assert_problem(
        door("PATCH", "/abc", {"n": 1}, headers={"If-Match": '"a"'}), 412, "precondition.failed"
    )
    assert door("PATCH", "/abc", {"n": 1}, headers={"If-Match": tag}).status_code == 204
    service = CollectionService(
        api.database, "rocket_engines", Policy.of({}, 10), Transactions(api.database)
    )
    _, expected = service.as_stored("abc", Query())
    api.rockets.update_one({}, {"$inc": {"cost": 1}})
    # NOTE: a hook writes by the _id that the document has.
    for identity in ("abc", "ABC"):
        with pytest.raises(Changed):
            service.expecting(expected_again(expected)).update(identity, {"$set": {"n": 9}})
    # NOTE: to the collation, nothing has changed.
    tag = door.tag("/abc")
    api.rockets.update_one({}, {"$set": {"name": "E"}})
    assert_problem(
        door("PATCH", "/abc", {"n": 2}, headers={"If-Match": tag}), 412, "precondition.failed"
    )
    again = door("PATCH", "/aBc", {"pair": {"a": 5}}, media_type=MERGE)
    assert again.status_code == 204
    assert door("DELETE", "/abc", headers={"If-Match": door.tag("/abc")}).status_code == 204
    assert api.rockets.count_documents({}) == 0


def test_a_conditional_write_finds_its_document_by_the_id(
    make_database: Callable[..., Any],
) -> None:
    database = make_database("mongod")
    database["posts"].insert_many([{"_id": f"{number}", "n": number} for number in range(500)])
    for version_field in (None, "v"):
        service = CollectionService(database, "posts", Policy.of({}, 10), Transactions(database))
        service.version_field = version_field
        _, expected = service.as_stored("7", Query())
        bound = service.expecting(expected)
        command = {
            "find": "posts",
            "filter": bound._identify("7", Query()),
            "collation": bound._options()["collation"],
        }
        explained = database.command("explain", command, verbosity="executionStats")
        stats = explained["executionStats"]
        assert (stats["totalDocsExamined"], stats["nReturned"]) == (1, 1)
        assert stats["totalKeysExamined"] <= 1
        assert "COLLSCAN" not in json.dumps(explained["queryPlanner"], default=str)


@pytest.mark.parametrize("uri", ["mongo_uri", "standalone_uri"])
def test_where_filters_need_an_index(
    make_api: MakeApi, request: pytest.FixtureRequest, uri: str
) -> None:
    api = make_api(request.getfixturevalue(uri), require_index=True)
    door = Door(api, "/api/rockets", "", is_declared=False)
    door.put_thing()
    for method, body, media_type in WRITES:
        headers = {"If-Match": door.tag()}
        result = door(method, "/x", body, media_type=media_type, headers=headers)
        assert result.status_code == 204, result.text


# --------------------------------------------------------------------------------------- hooks


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True)
    count = ma.Integer(attribute="c")
    secret = ma.String(load_only=True)


class Posts(Resource):
    collection = "posts"
    schema = PostSchema


def serve(make: MakeDeclared, resource: type[Resource], **view: Any) -> DeclaredApi:
    served = type("View", (ResourceView,), {"resource": resource, "methods": methods.ALL, **view})
    return make(posts=served)


def put_post(api: DeclaredApi, **values: Any) -> str:
    identity = ObjectId()
    api.database["posts"].insert_one({"_id": identity, "title": "t", "c": 0, "own": 1, **values})
    return f"/posts/{identity}"


def stored(api: DeclaredApi) -> Any:
    return api.database["posts"].find_one()


BODIES: list[tuple[str, Any, str]] = [
    ("PATCH", {"count": 7}, "application/json"),
    ("PUT", {"count": 7, "title": "t"}, "application/json"),
    ("PATCH", {"count": 7}, MERGE),
    ("PATCH", [{"op": "replace", "path": "/count", "value": 7}], JSON_PATCH),
]


def test_hooks_write_what_was_read(declared_api: MakeDeclared) -> None:
    class Hooked(Posts):
        def validate_request(self, data: Any, document: Document | None = None) -> Document:
            if isinstance(data, dict):
                data.pop("noise", None)
            return {**super().validate_request(data, document), "by": "hook"}

        def update_object(self, document: Document, data: Document) -> Document:
            # NOTE: twice, so that the second one meets what the first one has made.
            super().update_object(document, {"log": 1})
            return super().update_object(document, data)

        def delete_object(self, document: Document) -> None:
            super().update_object(document, {"log": 2})
            super().delete_object(document)

    api = serve(declared_api, Hooked)
    url = put_post(api)
    for method, body, media_type in BODIES:
        tag = api.get(url).headers["etag"]
        headers = {"If-Match": tag, "Content-Type": media_type}
        result = api(method, url, body, headers=headers)
        assert result.status_code == 200, result.text
        assert (stored(api)["c"], stored(api)["by"], stored(api)["log"]) == (7, "hook", 1)
        api.database["posts"].update_one({}, {"$set": {"c": 0}, "$unset": {"by": 1, "log": 1}})
        stale = {"If-Match": result.headers.get("etag", '"a"'), "Content-Type": media_type}
        assert_problem(api(method, url, body, headers=stale), 412, "precondition.failed")
        assert "by" not in stored(api)
    assert_problem(api.delete(url, headers={"If-Match": '"a"'}), 412, "precondition.failed")
    assert api.delete(url, headers={"If-Match": tag}).status_code == 204
    assert stored(api) is None


@pytest.mark.parametrize(("method", "body", "media_type"), BODIES)
def test_hooks_run_again_where_something_unseen_came_between(
    declared_api: MakeDeclared, method: str, body: Any, media_type: str
) -> None:
    tried: list[Any] = []

    class Hooked(Posts):
        def update_object(self, document: Document, data: Document) -> Document:
            tried.append(document["own"])
            if len(tried) == 1 and database.name:
                # NOTE: by a client of its own, past the transaction.
                rival["posts"].update_one({}, {"$inc": {"own": 1}})
            return super().update_object(document, data)

    api = serve(declared_api, Hooked)
    database = api.database
    rival = database if api.in_memory else database.client[database.name]
    url = put_post(api)
    headers = {"If-Match": api.get(url).headers["etag"], "Content-Type": media_type}
    result = api(method, url, body, headers=headers)
    assert result.status_code == 200, result.text
    assert tried == [1, 2]
    assert (stored(api)["c"], stored(api)["own"]) == (7, 2)


def test_a_permission_is_asked_before_a_tag_is_judged(declared_api: MakeDeclared) -> None:
    class Locked(Posts):
        def has_change_permission(self, req: falcon.Request, document: Document) -> bool:
            return bool(document["c"] == 1)

        def has_delete_permission(self, req: falcon.Request, document: Document) -> bool:
            return False

    api = serve(declared_api, Locked)
    url = put_post(api)
    tag = api.get(url).headers["etag"]
    tests = [[{"op": "test", "path": "/title", "value": value}] for value in ("t", "other")]
    asked = [*BODIES, *(("PATCH", test, JSON_PATCH) for test in tests)]
    for match in (tag, '"stale"', "*"):
        for method, body, media_type in asked:
            refused = api(
                method, url, body, headers={"If-Match": match, "Content-Type": media_type}
            )
            assert_problem(refused, 401, "auth.required")
        assert_problem(api.delete(url, headers={"If-Match": match}), 401, "auth.required")
    for test in tests:
        refused = api.patch(url, test, headers={"Content-Type": JSON_PATCH})
        assert_problem(refused, 401, "auth.required")
    api.database["posts"].update_one({}, {"$set": {"c": 1}})
    assert_problem(
        api.patch(url, {"count": 2}, headers={"If-Match": tag}), 412, "precondition.failed"
    )
    tag = api.get(url).headers["etag"]
    assert api.patch(url, {"count": 2}, headers={"If-Match": tag}).status_code == 200


def test_a_read_permission_hides_a_document_from_conditional_writes(
    declared_api: MakeDeclared,
) -> None:
    class Some(Posts):
        def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
            return query.where({"c": 0})

    api = serve(declared_api, Some)
    url = put_post(api)
    tag = api.get(url).headers["etag"]
    assert api.get(url).headers["vary"] == "Authorization, X-API-Key"
    api.database["posts"].update_one({}, {"$set": {"c": 1}})
    for method, body, media_type in BODIES:
        for match in (tag, "*"):
            result = api(method, url, body, headers={"If-Match": match, "Content-Type": media_type})
            assert_problem(result, 404, "document.not_found")
    assert_problem(api.delete(url, headers={"If-Match": "*"}), 404, "document.not_found")
    assert stored(api)["c"] == 1


def test_a_resource_that_finds_documents_by_itself(declared_api: MakeDeclared) -> None:
    class SlugSchema(Schema):
        id = ma.String(attribute="_id")
        title = ma.String()
        count = ma.Integer(attribute="c")

    class BySlug(Resource):
        collection = "posts"
        schema = SlugSchema

        def get_object(self, id: Any, query: Query = Query()) -> Document:  # noqa: B008
            if id == "secret":
                raise Forbidden("permission.denied", "Not this one.")
            found = self.service.find(query.where({"slug": id}))
            if not found:
                raise NotFound("document.not_found", "There is no such slug.")
            return {**found[0], "title": found[0]["title"].upper()}

    api = serve(declared_api, BySlug)
    api.database["posts"].insert_many(
        [
            {"_id": "1", "slug": "a", "title": "t", "c": 0},
            {"_id": "2", "slug": "secret", "title": "t", "c": 0},
        ]
    )
    result = api.get("/posts/a")
    assert result.json["title"] == "T"
    for number, (method, body, media_type) in enumerate((BODIES[0], *BODIES[2:]), 1):
        tag = api.get("/posts/a").headers["etag"]
        headers = {"Content-Type": media_type, "If-Match": tag}
        answer = api(method, "/posts/a", body, headers=headers)
        assert answer.status_code == 200, answer.text
        assert "etag" not in answer.headers
        assert api.database["posts"].find_one({"_id": "1"})["c"] == 7
        api.database["posts"].update_one({"_id": "1"}, {"$inc": {"c": -number}})
        stale = api(method, "/posts/a", body, headers=headers)
        assert_problem(stale, 412, "precondition.failed")
        for match in (tag, "*"):
            headers["If-Match"] = match
            refused = api(method, "/posts/secret", body, headers=headers)
            assert_problem(refused, 403, "permission.denied")
    test = [{"op": "test", "path": "/title", "value": "no"}]
    refused = api.patch("/posts/secret", test, headers={"Content-Type": JSON_PATCH})
    assert_problem(refused, 403, "permission.denied")
    assert_problem(api.delete("/posts/1", headers={"If-Match": "*"}), 404, "document.not_found")
    tag = api.get("/posts/a").headers["etag"]
    assert api.delete("/posts/a", headers={"If-Match": tag}).status_code == 204


def test_what_a_hook_shows_is_what_is_compared(declared_api: MakeDeclared) -> None:
    class Shown(Posts):
        def serialize(self, document: Document) -> Document:
            shown = super().serialize(document)
            return {**shown, "fields": sorted(document), "reading": self.view_method is Fetch}

    api = serve(declared_api, Shown)
    url = put_post(api)
    tag = api.get(url).headers["etag"]
    result = api.patch(url, {"count": 1}, headers={"If-Match": tag})
    assert result.status_code == 200, result.text
    # NOTE: here a PATCH shows something else than a GET, so no tag is said.
    assert result.json["reading"] is False
    assert "etag" not in result.headers
    tag = api.get(url).headers["etag"]
    assert api.delete(url, headers={"If-Match": tag}).status_code == 204


def test_kinds_of_documents(declared_api: MakeDeclared) -> None:
    class MaleSchema(Schema):
        id = fields.ObjectId(attribute="_id", dump_only=True)
        name = ma.String(required=True)
        beard = ma.Boolean()

    class Male(Resource):
        schema = MaleSchema
        fields = ["id", "name", "beard", "reading"]

        def reading(self, document: Document) -> bool:
            return self.view_method is Fetch

    class People(Resource):
        collection = "posts"
        child_document_resources = {"male": Male}
        type_field = "_cls"

    api = serve(declared_api, People)
    identity = ObjectId()
    bob = {"_id": identity, "_cls": "male", "name": "Bob", "beard": True, "unseen": 1}
    api.database["posts"].insert_one(bob)
    url = f"/posts/{identity}"
    for body, media_type in (
        ({"beard": False}, "application/json"),
        ({"beard": None}, MERGE),
        ([{"op": "add", "path": "/beard", "value": True}], JSON_PATCH),
    ):
        tag = api.get(url).headers["etag"]
        headers = {"If-Match": tag, "Content-Type": media_type}
        result = api.patch(url, body, headers=headers)
        assert result.status_code == 200, result.text
        assert_problem(api.patch(url, body, headers=headers), 412, "precondition.failed")
    assert stored(api) == bob
    assert api.delete(url, headers={"If-Match": api.get(url).headers["etag"]}).status_code == 204


def test_nested_writes_go_with_their_parent_or_not_at_all(declared_api: MakeDeclared) -> None:
    class UserSchema(Schema):
        id = fields.ObjectId(attribute="_id", dump_only=True)
        name = ma.String(required=True)

    class Users(Resource):
        collection = "users"
        schema = UserSchema

    class NodeSchema(Schema):
        id = fields.ObjectId(attribute="_id", dump_only=True)
        title = ma.String()
        author = fields.Reference("users", allow_none=True)
        next = fields.Reference("posts", allow_none=True)

    class Nodes(Resource):
        collection = "posts"
        schema = NodeSchema
        related_resources = {"author": Users, "next": lambda: Nodes}
        save_related_fields = ["author", "next"]

    api = serve(declared_api, Nodes)
    made = api.create("/posts/", {"title": "t", "author": {"name": "Ann"}, "next": {"title": "u"}})
    url = f"/posts/{made['id']}"
    assert api.get(url).json == made
    change = {
        "title": "new",
        "author": {**made["author"], "name": "Bea"},
        "next": {"id": made["next"]["id"], "title": "v"},
    }
    assert_problem(api.patch(url, change, headers={"If-Match": '"a"'}), 412, "precondition.failed")
    assert api.database["users"].find_one()["name"] == "Ann"
    tag = api.get(url).headers["etag"]
    # NOTE: the tag is of all that is shown, so of the author as well.
    api.database["users"].update_one({}, {"$set": {"name": "Zoe"}})
    assert_problem(api.patch(url, change, headers={"If-Match": tag}), 412, "precondition.failed")
    tag = api.get(url).headers["etag"]
    result = api.patch(url, change, headers={"If-Match": tag})
    assert result.status_code == 200, result.text
    assert result.json["author"]["name"] == "Bea"
    assert result.json["next"]["title"] == "v"
    assert result.headers["etag"] == api.get(url).headers["etag"]


# --------------------------------------------------------------------------------------- caches


def test_how_long_an_answer_may_be_kept(make_door: MakeDoor) -> None:
    door = make_door(cache_control="private, max-age=60")
    door.put_thing()
    for place in ("/x", ""):
        assert door("GET", place).headers["cache-control"] == "private, max-age=60"
    known = door("GET", headers={"If-None-Match": "*"})
    assert known.headers["cache-control"] == "private, max-age=60"
    for method, place, body in (("PATCH", "/x", {"n": 1}), ("POST", "", {"n": 1})):
        assert "cache-control" not in door(method, place, body).headers
    assert "cache-control" not in door("GET", "/y").headers


def test_a_resource_may_say_nothing_of_it(make_door: MakeDoor, make_api: MakeApi) -> None:
    says: Any = {"zero-code": "", "declared": None}
    door = make_door()
    door = make_door(cache_control=says["declared" if door.is_declared else "zero-code"])
    door.put_thing()
    for place in ("/x", ""):
        assert "cache-control" not in door("GET", place).headers
    api = make_api("mongomock://", cache_control="")
    assert "cache-control" not in api.get("/api/rockets").headers
    own = ResourceSettings(cache_control="no-store")
    api = make_api("mongomock://", cache_control="", resources={"rockets": own})
    assert api.get("/api/rockets").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("value", ["", "a\r\nb: c", "é", 5])
def test_a_resource_says_what_no_header_can_hold(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Wrong\.cache_control"):
        type("Wrong", (Resource,), {"collection": "posts", "cache_control": value})


@pytest.mark.parametrize(
    ("settings", "rules", "varies"),
    [
        ({}, {}, False),
        ({}, {"hidden": ["cost"]}, False),
        ({"public_methods": []}, {}, True),
        ({}, {"write": ["editor"]}, True),
        ({}, {"read": ["public"], "rows": {"public": {"n": 0}}}, True),
        ({}, {"owner": "name"}, True),
        ({}, {"read": ["admin"]}, True),
    ],
)
def test_caches_are_told_what_depends_on_the_caller(
    make_api: MakeApi, settings: Document, rules: Document, varies: bool
) -> None:
    own = ResourceSettings(rules=rules)
    api = make_api(
        "mongomock://", resources={"rockets": own}, cors_origins=["http://a"], **settings
    )
    api.rockets.insert_one({"_id": "x", "n": 0, "name": "tester"})
    expected = {"Origin", "Accept-Encoding"} | ({"Authorization", "X-API-Key"} if varies else set())
    listed = api.get("/api/rockets").headers["vary"].split(", ")
    assert sorted(listed) == sorted({*expected, "Accept"})
    for headers, status in (({}, 200), ({"If-None-Match": "*"}, 304)):
        fetched = api.get("/api/rockets/x", headers=headers)
        assert fetched.status_code == status
        assert sorted(fetched.headers["vary"].split(", ")) == sorted(expected)


def test_what_is_shown_of_others_may_depend_on_the_caller(make_declared: MakeDeclared) -> None:
    class UserSchema(Schema):
        id = fields.ObjectId(attribute="_id", dump_only=True)

    class Users(Resource):
        collection = "users"
        schema = UserSchema

        def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
            return query.none()

    class NodeSchema(PostSchema):
        author = fields.Reference("users")

    class Nodes(Resource):
        collection = "posts"
        schema = NodeSchema
        related_resources = {"author": Users}

    api = serve(make_declared, Nodes)
    assert api.get("/posts/").headers["vary"] == "Accept, Authorization, X-API-Key"
    assert serve(make_declared, Posts).get("/posts/").headers["vary"] == "Accept"


# ---------------------------------------------------------------------------------------- races


@pytest.mark.parametrize("rivalry", RIVALRIES)
def test_rivals_lose_nothing(
    make_door: MakeDoor, rivalry: Callable[[Door, int], list[str]]
) -> None:
    door = make_door()
    if not (door.is_declared and rivalry is create_if_none_is_there):
        assert rivalry(door, 8) == []
