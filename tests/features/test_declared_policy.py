"""The policy of a declared resource: callers, rows and owners on every path that leads to it."""

from __future__ import annotations

import threading
from typing import Any

import falcon
import pytest
from bson import ObjectId
from marshmallow import fields as ma

from falcorest import AuthenticationBase, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from falcorest.auth import User
from falcorest.dialects import TypedDialect
from falcorest.errors import ConfigurationError
from tests.declared import DeclaredApi, MakeDeclared
from tests.support import assert_problem
from tests.watching import snapshot

pytestmark = pytest.mark.live


class ByHeader(AuthenticationBase):
    """``X-User: name role …``."""

    def authorized(self, req: falcon.Request) -> Any:
        name, *roles = (req.get_header("X-User") or "").split() or [""]
        return User(name, tuple(roles)) if name else None


class NoteSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    text = ma.String()
    owner = ma.String(attribute="by")


class Notes(Resource):
    collection = "notes"
    schema = NoteSchema
    filters = {"text": [ops.Exact, ops.Startswith]}
    policy = {
        "owner": "by",
        "read": ["authenticated"],
        "write": ["authenticated"],
        "unrestricted": ["admin"],
    }


class BookSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String()
    notes = ma.List(fields.Reference("notes"))


class Books(Resource):
    collection = "books"
    schema = BookSchema
    filters = {"title": [ops.Exact]}
    related_resources = {"notes": Notes}
    save_related_fields = ["notes"]


class Plain(Resource):
    """Shows documents as they are."""

    collection = "notes"
    policy = {"hidden": ["secret", "a.secret"], "readonly": ["stamp"]}


def view_of(kind: type[Resource], *listed: Any) -> type[ResourceView]:
    says = {
        "resource": kind,
        "methods": list(listed or methods.ALL),
        "authentication_methods": [ByHeader],
        "public_methods": frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"}),
    }
    return type(f"{kind.__name__}View", (ResourceView,), says)


ADA, BOB, ADMIN = ({"X-User": who} for who in ("ada", "bob", "root admin"))


@pytest.fixture
def api(declared_api: MakeDeclared) -> DeclaredApi:
    """Notes and books, and a note each of Ada and Bob in one book."""
    made = declared_api(notes=view_of(Notes), books=view_of(Books))
    made.notes = {  # type: ignore[attr-defined]
        name: made.database.notes.insert_one({"text": "t", "by": name}).inserted_id
        for name in ("ada", "bob")
    }
    made.book = made.database.books.insert_one(  # type: ignore[attr-defined]
        {"title": "b", "notes": list(made.notes.values())}  # type: ignore[attr-defined]
    ).inserted_id
    return made


def texts(api: DeclaredApi, headers: Any) -> list[str]:
    return [one["owner"] for one in api.get("/notes", headers=headers).json["data"]]


def test_who_may_do_what(api: DeclaredApi) -> None:
    note = api.notes["ada"]  # type: ignore[attr-defined]
    for method, url, body in (
        ("GET", "/notes", ...),
        ("GET", f"/notes/{note}", ...),
        ("POST", "/notes", {"text": "x"}),
        ("PATCH", f"/notes/{note}", {"text": "x"}),
        ("PATCH", "/notes?text=t", {"text": "x"}),
        ("DELETE", f"/notes/{note}", ...),
        ("DELETE", "/notes?text=t", ...),
    ):
        result = api(method, url, body)
        assert_problem(result, 401, "auth.required")
        assert "www-authenticate" in result.headers
    assert texts(api, ADA) == ["ada"]
    assert texts(api, ADMIN) == ["ada", "bob"]


def test_documents_of_others_are_not_there(api: DeclaredApi) -> None:
    note = api.notes["bob"]  # type: ignore[attr-defined]
    before = snapshot(api.database)
    for method, body in (("GET", ...), ("PATCH", {"text": "x"}), ("PUT", {}), ("DELETE", ...)):
        result = api(method, f"/notes/{note}", body, headers=ADA)
        assert_problem(result, 404, "document.not_found")
    assert snapshot(api.database) == before
    result = api.patch("/notes?text__startswith=t", {"text": "x"}, headers=ADA)
    assert result.json == {"count": 1}
    assert api.delete("/notes?text__startswith=", headers=ADA).json == {"count": 1}
    assert api.database.notes.find_one() == {"_id": note, "text": "t", "by": "bob"}


def test_new_documents_belong_to_who_made_them(api: DeclaredApi) -> None:
    for body in ({"text": "x"}, {"text": "x", "owner": "ada"}):
        assert api.post("/notes", body, headers=ADA).json["owner"] == "ada"
    result = api.post("/notes", [{"text": "x"}], headers=ADA)
    assert result.json["data"][0]["owner"] == "ada"
    assert_problem(api.post("/notes", {"owner": "bob"}, headers=ADA), 403, "policy.row")
    assert api.post("/notes", {"owner": "bob"}, headers=ADMIN).json["owner"] == "bob"
    assert api.post("/notes", {}, headers=ADMIN).json["owner"] == "root"


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_nobody_gives_documents_away(api: DeclaredApi, method: str) -> None:
    note = api.notes["ada"]  # type: ignore[attr-defined]
    before = snapshot(api.database)
    for url in (f"/notes/{note}", "/notes?text=t"):
        result = api(method, url, {"text": "x", "owner": "bob"}, headers=ADA)
        assert_problem(result, 403, "policy.row")
    assert snapshot(api.database) == before
    shown = api(method, f"/notes/{note}", {"text": "x", "owner": "ada"}, headers=ADA).json
    assert shown == {"id": str(note), "text": "x", "owner": "ada"}
    shown = api(method, f"/notes/{note}", {"text": "y", "owner": "bob"}, headers=ADMIN).json
    assert shown["owner"] == "bob"


def test_a_reference_shows_what_its_reader_may_see(api: DeclaredApi) -> None:
    def shown(headers: Any) -> list[str]:
        return [
            note["owner"] for note in api.get("/books", headers=headers).json["data"][0]["notes"]
        ]

    assert shown({}) == []
    assert shown(ADA) == ["ada"]
    assert shown(ADMIN) == ["ada", "bob"]


def test_at_the_end_of_the_depth_no_id_is_shown_that_may_not_be_seen(
    declared_api: MakeDeclared,
) -> None:
    class Shallow(Books):
        max_depth = 0

    api = declared_api(books=view_of(Shallow))
    ids = [api.database.notes.insert_one({"by": name}).inserted_id for name in ("ada", "bob")]
    api.database.books.insert_one({"notes": ids})
    assert api.get("/books").json["data"][0]["notes"] == []
    assert api.get("/books", headers=ADA).json["data"][0]["notes"] == [str(ids[0])]


def test_a_nested_write_is_under_the_policy_of_what_it_writes(api: DeclaredApi) -> None:
    place = f"/books/{api.book}"  # type: ignore[attr-defined]
    before = snapshot(api.database)
    ada, bob = (str(api.notes[name]) for name in ("ada", "bob"))  # type: ignore[attr-defined]
    result = api.patch(place, {"notes": [{"text": "new"}]})
    assert_problem(result, 401, "auth.required")
    result = api.patch(place, {"notes": [{"id": bob, "text": "x"}]}, headers=ADA)
    assert_problem(result, 400, "body.invalid", naming="notes")
    result = api.patch(place, {"notes": [{"id": ada, "owner": "bob"}]}, headers=ADA)
    assert_problem(result, 403, "policy.row")
    result = api.patch(place, {"notes": [{"text": "new", "owner": "bob"}]}, headers=ADA)
    assert_problem(result, 403, "policy.row")
    assert snapshot(api.database) == before
    result = api.patch(place, {"notes": [{"id": ada, "text": "x"}, {"text": "new"}]}, headers=ADA)
    assert [note["owner"] for note in result.json["notes"]] == ["ada", "ada"]
    assert api.database.notes.count_documents({"by": "ada"}) == 2


def test_what_a_hook_asks_of_its_service_is_under_the_policy(declared_api: MakeDeclared) -> None:
    class Counted(Notes):
        def get_objects(self, query: Any) -> Any:
            page = self.service.page(query)
            return page.documents, page.has_more, {"count": len(self.service.find(query))}

    api = declared_api(notes=view_of(Counted))
    api.database.notes.insert_many([{"text": "t", "by": name} for name in ("ada", "bob", "ada")])
    assert api.get("/notes", headers=ADA).json["count"] == 2


def test_a_permission_sees_the_owner(declared_api: MakeDeclared) -> None:
    seen: list[Any] = []

    class Watched(Notes):
        def has_add_permission(self, req: falcon.Request, document: Any) -> bool:
            seen.append(document["by"])
            return True

    api = declared_api(notes=view_of(Watched))
    assert api.post("/notes", {"text": "x"}, headers=ADA).status_code == 201
    assert seen == ["ada"]


@pytest.mark.parametrize("user", ["ada", {"username": "ada", "roles": ["x"]}])
def test_a_user_may_be_a_name_or_a_dict(make_declared: MakeDeclared, user: Any) -> None:
    class Fixed(AuthenticationBase):
        def authorized(self, req: falcon.Request) -> Any:
            return user

    view = type("View", (view_of(Notes),), {"authentication_methods": [Fixed]})
    api = make_declared(notes=view)
    assert api.post("/notes", {}).json["owner"] == "ada"


def test_a_user_without_a_name_owns_nothing(make_declared: MakeDeclared) -> None:
    class Fixed(AuthenticationBase):
        def authorized(self, req: falcon.Request) -> Any:
            return object()

    api = make_declared(notes=type("View", (view_of(Notes),), {"authentication_methods": [Fixed]}))
    api.database.notes.insert_one({"by": None})
    assert api.get("/notes").json["data"] == []
    assert_problem(api.post("/notes", {}), 403, "permission.denied")


# ------------------------------------------------------------------------- without a schema


def test_fields_are_protected_without_a_schema(declared_api: MakeDeclared) -> None:
    api = declared_api(plain=view_of(Plain))
    document = {"_id": ObjectId(), "n": 1, "secret": 1, "a": {"secret": 2, "b": 3}, "stamp": 5}
    api.database.notes.insert_one(document)
    place = f"/plain/{document['_id']}"
    [shown] = api.get("/plain").json
    assert shown == {"_id": shown["_id"], "n": 1, "a": {"b": 3}, "stamp": 5}
    assert_problem(api.get("/plain?secret=[int].1"), 403, "policy.field")
    assert_problem(api.patch(place, {"stamp": 6}), 403, "policy.field")
    assert api.put(place, {**shown, "n": 2}).status_code == 204
    assert api.database.notes.find_one() == {**document, "n": 2}


def test_what_a_hook_returns_is_shown_without_what_is_hidden(declared_api: MakeDeclared) -> None:
    class Hooked(Plain):
        def update_object(self, document: Any, data: Any) -> Any:
            self.service.update(document["_id"], {"$set": {"n": 2}})
            return {**document, "n": 2}

        def get_objects(self, query: Any) -> Any:
            return list(self.service.collection.find({})), False

    class Serialized(Hooked):
        def serialize(self, document: Any) -> Any:
            return {"all": dict(document)}

    api = declared_api(plain=view_of(Hooked), shown=view_of(Serialized))
    id = api.database.notes.insert_one(
        {"n": 1, "secret": "hidden!", "a": {"secret": 1}}
    ).inserted_id
    for result in (
        *(api.patch(f"/{place}/{id}", {"x": 1}) for place in ("plain", "shown")),
        *(api.get(f"/{place}") for place in ("plain", "shown")),
    ):
        assert result.status_code == 200
        assert "secret" not in result.text


# --------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"hidden": ["text"]}, "hidden and readonly are for resources without a schema"),
        ({"readonly": ["text"]}, "hidden and readonly are for resources without a schema"),
        ({"raed": []}, "policy: raed: there is no such rule"),
        ({"read": "public"}, "policy: read: a list of roles"),
        ({"rows": {"x": {"$where": "1"}}}, r"policy: rows.x: '\$where' is neither"),
        ({"owner": "a.b"}, "policy: owner: "),
        ([], "policy: a dict is expected"),
    ],
)
def test_a_wrong_policy_is_refused_with_the_class(policy: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Wrong.*{reason}"):
        type("Wrong", (Notes,), {"policy": policy})


def test_a_policy_is_for_a_collection() -> None:
    class Embedded(Resource):
        schema = NoteSchema
        policy = {"read": ["admin"]}

    class AroundSchema(Schema):
        note = ma.Nested(NoteSchema)

    says = {"collection": "x", "schema": AroundSchema, "related_resources": {"note": Embedded}}
    with pytest.raises(
        ConfigurationError, match="Embedded is embedded, where policy has no effect"
    ):
        type("Around", (Resource,), says)
    kinds = {"collection": "x", "child_document_resources": {"a": Embedded}, "type_field": "k"}
    with pytest.raises(ConfigurationError, match="policy has no effect"):
        type("Kinds", (Resource,), kinds)


class SafeSchema(Schema):
    secret = ma.String(load_only=True)


class ThingSchema(Schema):
    safe = ma.Nested(SafeSchema)
    safes = ma.List(ma.Nested(SafeSchema))


@pytest.mark.parametrize("name", ["safe", "safes"])
def test_what_holds_something_hidden_is_not_sorted_by(name: str) -> None:
    says = {"collection": "x", "schema": ThingSchema}
    type("Things", (Resource,), {**says, "filters": {name: [ops.Exists]}})
    with pytest.raises(ConfigurationError, match=name):
        type("Things", (Resource,), {**says, "allowed_ordering": [name]})


def test_the_typed_dialect_is_for_resources_without_a_schema(make_declared: MakeDeclared) -> None:
    view = type("View", (view_of(Notes),), {"dialect": TypedDialect()})
    with pytest.raises(ConfigurationError, match=r"View\.dialect"):
        make_declared(notes=view)


# ----------------------------------------------------------------------- without transactions


@pytest.mark.parametrize("kind", ["live_declared", "standalone_declared"])
def test_writers_at_once_lose_nothing_hidden(request: pytest.FixtureRequest, kind: str) -> None:
    """Even without transactions, a replacement keeps a hidden field that changes meanwhile."""
    api = request.getfixturevalue(kind)(plain=view_of(Plain))
    id = api.database.notes.insert_one({"secret": 0}).inserted_id
    stop = threading.Event()
    written = 0

    def count() -> None:
        nonlocal written
        while not stop.is_set():
            api.database.notes.update_one({"_id": id}, {"$inc": {"secret": 1}})
            written += 1

    thread = threading.Thread(target=count)
    thread.start()
    try:
        for n in range(20):
            result = api.put(f"/plain/{id}", {"n": n})
            assert result.status_code in {204, 409}, result.text
    finally:
        stop.set()
        thread.join()
    assert api.database.notes.find_one()["secret"] == written
