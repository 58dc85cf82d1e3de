"""Returned: what a client sends back as it was read, with what it could not write or see."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import falcon
import pytest
from bson import ObjectId
from marshmallow import fields as ma

from falcorest import Query, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from tests import watching
from tests.declared import DeclaredApi, MakeDeclared
from tests.support import assert_problem
from tests.watching import snapshot

Document = dict[str, Any]

#: One database is shared by all tests here.
shared_databases, make_database = watching.shared_databases, watching.make_database
WITHOUT_REPLACE = [method for method in methods.ALL if method is not methods.Replace]


class NoteSchema(Schema):
    text = ma.String(attribute="t")
    stamp = ma.Integer(dump_only=True)
    key = ma.String(load_only=True)


class PartSchema(NoteSchema):
    note = ma.Nested(NoteSchema)
    notes = ma.List(ma.Nested(NoteSchema))


class PageSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String()
    views = ma.Integer(dump_only=True)
    password = ma.String(load_only=True)
    part = ma.Nested(PartSchema, allow_none=True)
    parts = ma.List(ma.Nested(PartSchema))
    many = ma.Nested(PartSchema, many=True)


class Notes(Resource):
    schema = NoteSchema
    fields = ["text", "stamp", "length"]
    rename_fields = {"text": "body"}

    def length(self, document: Document) -> int:
        return len(document["t"])


class Parts(Resource):
    schema = PartSchema
    rename_fields = {"stamp": "stamped"}
    related_resources = {"note": Notes, "notes": Notes}


class Pages(Resource):
    collection = "pages"
    schema = PageSchema
    filters = {"title": [ops.Exact]}


class PagesOfParts(Pages):
    fields = ["id", "title", "views", "part", "parts", "many", "shout"]
    related_resources = {"part": Parts, "parts": Parts, "many": Parts}

    def shout(self, document: Document) -> str:
        return f"{document['title']}!"


#: Embedded documents that marshmallow nests, and ones that resources show.
BOTH = pytest.mark.parametrize("resource", [Pages, PagesOfParts])

NOTE = {"t": "n", "stamp": 1, "key": "k"}
PART = {"t": "p", "stamp": 2, "key": "k", "note": NOTE, "notes": [NOTE, {**NOTE, "stamp": 3}]}


def views(resource: type[Resource]) -> dict[str, type[ResourceView]]:
    """Return a view of everything, and one in which PUT updates."""
    return {
        "pages": type("View", (ResourceView,), {"resource": resource, "methods": methods.ALL}),
        "updated": type(
            "Updated", (ResourceView,), {"resource": resource, "methods": WITHOUT_REPLACE}
        ),
    }


#: The ways to change a document.
WAYS = [("PATCH", "pages"), ("PUT", "updated"), ("PUT", "pages")]


def put_page(api: DeclaredApi, **values: Any) -> Document:
    page = {"_id": ObjectId(), "title": "t", "views": 7, "password": "secret", **values}
    api.database.pages.insert_one(page)
    return page


def whole_page(api: DeclaredApi) -> Document:
    second = {**PART, "stamp": 4, "unknown": {"deep": 1}}
    return put_page(api, part=PART, parts=[PART, second], many=[second], unknown=1)


def each_way(api: DeclaredApi, page: Document, body: Any) -> list[Any]:
    """Send a body in each of the ways."""
    return [api(method, f"/{place}/{page['_id']}", body) for method, place in WAYS]


def assert_kept(api: DeclaredApi, page: Document) -> Document:
    """Send back what is read in each of the ways, whole and in parts; return what is shown."""
    before = snapshot(api.database)
    shown: Document = api.get(f"/pages/{page['_id']}").json
    for result in each_way(api, page, shown):
        assert (result.status_code, result.json) == (200, shown), result.text
        assert snapshot(api.database) == before
    for name, value in shown.items():
        result = api.patch(f"/pages/{page['_id']}", {name: value})
        assert (result.status_code, result.json) == (200, shown), result.text
        assert snapshot(api.database) == before, name
    return shown


# ------------------------------------------------------------------------- embedded documents


@BOTH
def test_what_is_embedded_keeps_what_a_client_cannot_send_back(
    declared_api: MakeDeclared, resource: type[Resource]
) -> None:
    api = declared_api(**views(resource))
    shown = assert_kept(api, whole_page(api))
    assert "key" not in shown["part"]["notes"][0]
    stamped = "stamped" if resource is PagesOfParts else "stamp"
    assert (shown["part"][stamped], shown["parts"][1][stamped]) == (2, 4)
    assert [one["stamp"] for one in shown["many"][0]["notes"]] == [1, 3]


@BOTH
def test_one_that_is_changed_keeps_what_it_hides(
    make_declared: MakeDeclared, resource: type[Resource]
) -> None:
    api = make_declared(**views(resource))
    part = {"t": "p", "stamp": 2, "key": "k", "note": NOTE}
    for method, place in WAYS:
        page = put_page(api, part=part, parts=[PART], many=[part])
        shown = api.get(f"/pages/{page['_id']}").json
        shown["part"]["text"] = "other"
        result = api(method, f"/{place}/{page['_id']}", shown)
        assert (result.status_code, result.json) == (200, shown), result.text
        expected = {**page, "part": {**part, "t": "other"}}
        assert api.database.pages.find_one({"_id": page["_id"]}) == expected


@BOTH
def test_a_hidden_value_that_is_sent_is_stored(
    make_declared: MakeDeclared, resource: type[Resource]
) -> None:
    api = make_declared(**views(resource))
    page = put_page(api, part=NOTE)
    for method, place in WAYS:
        body = {"title": "t", "part": {"text": "n", "key": f"{method} {place}"}}
        result = api(method, f"/{place}/{page['_id']}", body)
        assert result.status_code == 200, result.text
        assert api.database.pages.find_one()["part"] == {**NOTE, "key": f"{method} {place}"}


@BOTH
def test_one_of_a_list_may_be_changed_and_the_others_stay(
    make_declared: MakeDeclared, resource: type[Resource]
) -> None:
    api = make_declared(**views(resource))
    for method, place in WAYS:
        page = put_page(api, parts=[{"t": "a", "stamp": 1}, PART])
        shown = api.get(f"/pages/{page['_id']}").json
        shown["parts"][0]["text"] = "other"
        shown["parts"].append({"text": "new"})
        result = api(method, f"/{place}/{page['_id']}", shown)
        assert result.status_code == 200, result.text
        changed, kept, new = api.database.pages.find_one({"_id": page["_id"]})["parts"]
        assert (changed["t"], kept, new) == ("other", PART, {"t": "new"})


#: What is said otherwise than it was read: what to do to the body, and what the error names.
OTHERWISE: list[tuple[Callable[[Document], Any], list[str]]] = [
    (lambda body: body.update(id=str(ObjectId())), ["id"]),
    (lambda body: body.update(views=8), ["views"]),
    (lambda body: body.update(views=None), ["views"]),
    (lambda body: body.update(views="7"), ["views"]),
    (lambda body: body["part"].update(stamp=0), ["part", "stamp"]),
    (lambda body: body["part"].update(stamp=None), ["part", "stamp"]),
    (lambda body: body["parts"][1].update(stamp=2), ["parts", "1", "stamp"]),
    (lambda body: body["many"][0].update(stamp=0), ["many", "0", "stamp"]),
    (lambda body: body["part"]["note"].update(stamp=0), ["part", "note", "stamp"]),
    (lambda body: body["part"]["notes"][1].update(stamp=1), ["part", "notes", "1", "stamp"]),
    (lambda body: body["parts"].append({"stamp": 2}), ["parts", "2", "stamp"]),
]


@pytest.mark.parametrize(("change", "place"), OTHERWISE)
def test_something_else_in_its_place_is_refused(
    make_declared: MakeDeclared, change: Callable[[Document], Any], place: list[str]
) -> None:
    api = make_declared(**views(Pages))
    page = whole_page(api)
    before = snapshot(api.database)
    body = api.get(f"/pages/{page['_id']}").json
    change(body)
    for result in each_way(api, page, body):
        if place == ["id"]:
            found: Any = assert_problem(result, 400, "body.invalid_update")["field-errors"]
        else:
            found = assert_problem(result, 403, "policy.field")["field-errors"]
        for part in place:
            found = found[part]
        assert snapshot(api.database) == before


@pytest.mark.parametrize(("name", "value"), [("shout", "other"), ("part", {"stamped": 0})])
def test_something_else_in_the_place_of_what_a_resource_shows_is_refused(
    make_declared: MakeDeclared, name: str, value: Any
) -> None:
    api = make_declared(**views(PagesOfParts))
    page = whole_page(api)
    for result in each_way(api, page, {"title": "t", name: value}):
        assert name in assert_problem(result, 403, "policy.field")["field-errors"]
        assert snapshot(api.database) == {"pages": [page]}


def test_a_new_document_has_nothing_that_was_read(make_declared: MakeDeclared) -> None:
    api = make_declared(**views(Pages))
    for body in ({"views": 7}, {"part": {"text": "a", "stamp": 2}}, {"id": str(ObjectId())}):
        assert_problem(api.post("/pages/", body), 403, "policy.field")
    assert snapshot(api.database) == {}


# ---------------------------------------------------------------------------- embedded kinds


class PictureSchema(Schema):
    kind = ma.String()
    url = ma.String(required=True)
    size = ma.Integer(dump_only=True)
    key = ma.String(load_only=True)


class Picture(Resource):
    schema = PictureSchema
    rename_fields = {"url": "src"}


class QuoteSchema(Schema):
    text = ma.String(required=True)
    words = ma.Integer(dump_only=True)


class Quote(Resource):
    """Its schema has no field for the discriminator."""

    schema = QuoteSchema


class Blocks(Resource):
    child_document_resources = {"picture": Picture, "quote": Quote}
    type_field = "kind"


class PagesOfBlocks(Resource):
    collection = "pages"
    schema = PageSchema
    fields = ["id", "title", "part", "parts"]
    related_resources = {"part": Blocks, "parts": Blocks}


PICTURE = {"kind": "picture", "url": "u", "size": 5, "key": "k"}
QUOTE = {"kind": "quote", "text": "q", "words": 1}


def test_embedded_kinds_keep_what_a_client_cannot_send_back(declared_api: MakeDeclared) -> None:
    api = declared_api(**views(PagesOfBlocks))
    shown = assert_kept(api, put_page(api, part=QUOTE, parts=[PICTURE, QUOTE]))
    assert shown["parts"] == [
        {"kind": "picture", "src": "u", "size": 5},
        {"text": "q", "words": 1},
    ]
    assert_kept(api, put_page(api, part=PICTURE, parts=[]))


@pytest.mark.parametrize(
    ("index", "wrong"),
    [
        (0, {"kind": "picture", "src": "u", "size": 6}),
        (0, {"src": "u"}),
        (0, {"kind": "quote", "text": "q", "words": 1}),
        (0, {"kind": "video", "src": "u"}),
        (0, {"kind": None, "src": "u"}),
        (0, {"kind": ["picture"], "src": "u"}),
        (0, {"kind": "picture"}),
        (0, 5),
        (1, {"text": "q", "words": 2}),
        (1, {"kind": "quote", "text": "q", "words": 2}),
        (1, {"kind": "picture", "src": "u", "size": 5}),
    ],
)
def test_another_embedded_kind_than_was_read_is_refused(
    make_declared: MakeDeclared, index: int, wrong: Any
) -> None:
    api = make_declared(**views(PagesOfBlocks))
    page = put_page(api, parts=[PICTURE, QUOTE])
    shown = api.get(f"/pages/{page['_id']}").json
    shown["parts"][index] = wrong
    for result in each_way(api, page, shown):
        code = result.json["code"]
        expected = 403 if code == "policy.field" else 400
        errors = assert_problem(result, expected, code)["field-errors"]
        assert list(errors) == ["parts"]
        assert snapshot(api.database) == {"pages": [page]}


# ------------------------------------------------------------------------------- references


class UserSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String()
    salary = ma.Integer()
    stamp = ma.Integer(dump_only=True)


class Users(Resource):
    """Shows those who aren't hidden."""

    collection = "users"
    schema = UserSchema
    fields = ["id", "name"]

    def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
        return query.where({"hidden": {"$ne": True}})


class LinkedUsers(Users):
    uri_prefix = "/users/"


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String()
    author = fields.Reference("users", attribute="by.author", allow_none=True)
    editors = ma.List(fields.Reference("users"))


class Posts(Resource):
    collection = "pages"
    schema = PostSchema
    related_resources = {"author": Users, "editors": Users}


class LinkingPosts(Posts):
    related_resources = {"author": LinkedUsers, "editors": LinkedUsers}


class SavingPosts(Posts):
    save_related_fields = ["author", "editors"]


class PlainPosts(Posts):
    related_resources = {}


def put_user(api: DeclaredApi, name: str, **values: Any) -> ObjectId:
    identity = ObjectId()
    api.database.users.insert_one({"_id": identity, "name": name, **values})
    return identity


@pytest.mark.parametrize("resource", [Posts, LinkingPosts, SavingPosts, PlainPosts])
@pytest.mark.parametrize("author", ["hidden", "gone", "ann", None])
def test_references_that_are_not_shown_stay(
    make_declared: MakeDeclared, resource: type[Resource], author: str | None
) -> None:
    api = make_declared(**views(resource))
    ids = {
        "ann": put_user(api, "Ann"),
        "hidden": put_user(api, "Bob", hidden=True),
        "gone": ObjectId(),
        None: None,
    }
    editors = [ids["hidden"], ids["ann"], ids["gone"], ids["ann"]]
    post = put_page(api, by={"author": ids[author], "other": 1}, editors=editors)
    shown = assert_kept(api, post)
    if resource is not PlainPosts:
        assert (shown["author"] is None) is (author != "ann")
        assert len(shown["editors"]) == 2
    assert_kept(api, put_page(api, editors=[ids["gone"], ids["hidden"]]))


@pytest.mark.parametrize("resource", [Posts, LinkingPosts, SavingPosts])
def test_other_references_than_were_read_are_written(
    make_declared: MakeDeclared, resource: type[Resource]
) -> None:
    """A list that lacks one of what was read is another list, without what isn't shown."""
    api = make_declared(**views(resource))
    ann, bob = put_user(api, "Ann"), put_user(api, "Bob")
    hidden = put_user(api, "Eve", hidden=True)
    by = {"author": hidden}
    for method, place in WAYS:
        url = f"/{place}/{put_page(api, by=by, editors=[ann, hidden, bob])['_id']}"
        read = api.get(url).json
        result = api(method, url, {**read, "editors": read["editors"][:1]})
        assert result.status_code == 200, result.text
        stored = api.database.pages.find_one({"_id": ObjectId(result.json["id"])})
        assert (stored["editors"], stored["by"]) == ([ann], by)
        result = api(method, url, {**read, "author": str(bob), "editors": []})
        assert result.status_code == 200, result.text
        stored = api.database.pages.find_one({"_id": ObjectId(result.json["id"])})
        assert (stored["editors"], stored["by"]) == ([], {"author": bob})


def test_null_takes_a_reference_that_is_shown_away(make_declared: MakeDeclared) -> None:
    api = make_declared(**views(Posts))
    ann = put_user(api, "Ann")
    for method, place in WAYS:
        post = put_page(api, by={"author": ann}, editors=[ann])
        result = api(method, f"/{place}/{post['_id']}", {"author": None, "editors": []})
        assert result.status_code == 200, result.text
        stored = api.database.pages.find_one({"_id": post["_id"]})
        assert (stored["by"], stored["editors"]) == ({"author": None}, [])


class SectionSchema(Schema):
    by = fields.Reference("users", allow_none=True)
    readers = ma.List(fields.Reference("users"))


class Sections(Resource):
    schema = SectionSchema
    related_resources = {"by": Users, "readers": LinkedUsers}


class BookSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    part = ma.Nested(SectionSchema)
    parts = ma.List(ma.Nested(SectionSchema))


class Books(Resource):
    collection = "pages"
    schema = BookSchema
    related_resources = {"part": Sections, "parts": Sections}


def test_references_that_are_not_shown_stay_in_what_is_embedded(
    declared_api: MakeDeclared,
) -> None:
    api = declared_api(**views(Books))
    ann, hidden, gone = put_user(api, "Ann"), put_user(api, "Bob", hidden=True), ObjectId()
    one = {"by": hidden, "readers": [gone, ann, hidden]}
    shown = assert_kept(api, put_page(api, part=one, parts=[one, {"by": ann, "readers": [gone]}]))
    assert shown["part"] == {"by": None, "readers": [f"/users/{ann}"]}
    assert shown["parts"][1] == {"by": {"id": str(ann), "name": "Ann"}, "readers": []}


# ----------------------------------------------------------------------- what isn't told


class Salaries(Resource):
    """Shows neither the salary nor when it was stamped, nor what is computed of it."""

    collection = "users"
    schema = UserSchema
    fields = ["id", "name", "rich"]
    filters = {"name": [ops.Exact]}

    def get_fields(self) -> list[str]:
        return ["id", "name"]

    def rich(self, document: Document) -> bool:
        return bool(document["salary"] > 100)


class AskedSalaries(Salaries):
    def has_change_permission(self, req: falcon.Request, document: Document) -> bool:
        return True


class Keepers(Salaries):
    def has_change_permission(self, req: falcon.Request, document: Document) -> bool:
        return False


@pytest.mark.parametrize("resource", [Salaries, AskedSalaries])
@pytest.mark.parametrize(("name", "guesses"), [("stamp", [41, 42]), ("rich", [True, False])])
def test_an_answer_does_not_tell_what_is_not_shown(
    make_declared: MakeDeclared, resource: type[Resource], name: str, guesses: list[Any]
) -> None:
    api = make_declared(**views(resource))
    ann = put_user(api, "Ann", salary=500, stamp=42)
    before = snapshot(api.database)
    for url in (f"/pages/{ann}", f"/updated/{ann}", "/pages/?name=Ann"):
        for method in ("PATCH", "PUT"):
            results = [api(method, url, {"name": "Ann", name: guess}) for guess in guesses]
            assert len({(one.status_code, one.text) for one in results}) == 1, url
            assert_problem(results[0], 403, "policy.field", naming=name)
    assert snapshot(api.database) == before


@pytest.mark.parametrize(("name", "guesses"), [("salary", [1, 500]), ("stamp", [41, 42])])
def test_a_nested_write_does_not_tell_what_is_not_shown(
    make_declared: MakeDeclared, name: str, guesses: list[Any]
) -> None:
    """To guess right is as forbidden as to guess wrong."""
    related = {"author": Keepers, "editors": Keepers}
    api = make_declared(**views(type("Made", (SavingPosts,), {"related_resources": related})))
    ann = put_user(api, "Ann", salary=500, stamp=42)
    before = snapshot(api.database)
    for place in ("author", "editors"):
        results = []
        for guess in guesses:
            item = {"id": str(ann), name: guess}
            results.append(api.post("/pages/", {place: item if place == "author" else [item]}))
        assert len({(one.status_code, one.text) for one in results}) == 1
        assert_problem(results[0], 401, "auth.required")
    assert snapshot(api.database) == before


def test_what_was_not_asked_for_can_be_sent_back(make_declared: MakeDeclared) -> None:
    """What is shown does not depend on the fields that one request names."""
    api = make_declared(**views(PagesOfParts))
    page = whole_page(api)
    before = deepcopy(snapshot(api.database))
    url = f"/pages/{page['_id']}"
    body = {**api.get(f"{url}?_fields=views,shout").json, "title": "t"}
    assert body == {"views": 7, "shout": "t!", "title": "t"}
    assert api.patch(url, body).status_code == 200
    assert snapshot(api.database) == before
