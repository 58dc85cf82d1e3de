"""Who may do what: every path to a document against every place where a rule can stand."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import falcon
import pytest
from bson import ObjectId
from falcon import testing
from marshmallow import fields as ma

from falcorest import ConfigurationError, Query, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from falcorest.auth import AuthenticationBase
from tests import watching
from tests.declared import DeclaredApi, MakeDeclared
from tests.support import assert_problem
from tests.watching import Commands, snapshot

Document = dict[str, Any]

#: One database is shared by all tests here.
shared_databases, make_database = watching.shared_databases, watching.make_database

# ------------------------------------------------------------------------------- what is served


class ByHeader(AuthenticationBase):
    """Believes what a header says."""

    def authorized(self, req: falcon.Request) -> Any:
        return req.get_header("X-User")


LOGIN: dict[str, Any] = {"options": {"authentication_methods": [ByHeader]}}
ANN = {"X-User": "ann"}


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id")
    title = ma.String(required=True)
    is_open = ma.Boolean(attribute="open")
    shared = ma.Boolean()
    locked = ma.Boolean()
    frozen = ma.Boolean()


class Calls:
    """What the permissions of a test were asked."""

    made: ClassVar[list[tuple[str, str, Any, Any]]] = []

    @classmethod
    def note(cls, where: str, name: str, req: Any, about: Any) -> None:
        cls.made.append((where, name, req, copy.deepcopy(about)))

    @classmethod
    def about(cls, name: str) -> list[Any]:
        return [about for _, called, _, about in cls.made if called == name]


@pytest.fixture(autouse=True)
def _fresh_calls() -> Iterator[None]:
    Calls.made.clear()
    yield
    Calls.made.clear()


class ResourceRules:
    """Open documents may be read; locked ones not be written."""

    def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
        return query.where({"open": {"$ne": False}})

    def has_add_permission(self, req: falcon.Request, document: Document) -> bool:
        Calls.note("resource", "add", req, document)
        return not document.get("locked")

    def has_change_permission(self, req: falcon.Request, document: Document) -> bool:
        Calls.note("resource", "change", req, document)
        return not document.get("locked")

    def has_delete_permission(self, req: falcon.Request, document: Document) -> bool:
        Calls.note("resource", "delete", req, document)
        return not document.get("locked")


class ViewRules:
    """Shared documents may be read; frozen ones not be written."""

    def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
        return query.where({"shared": {"$ne": False}})

    def has_add_permission(self, req: falcon.Request, document: Document) -> bool:
        Calls.note("view", "add", req, document)
        return not document.get("frozen")

    def has_change_permission(self, req: falcon.Request, document: Document) -> bool:
        Calls.note("view", "change", req, document)
        return not document.get("frozen")

    def has_delete_permission(self, req: falcon.Request, document: Document) -> bool:
        Calls.note("view", "delete", req, document)
        return not document.get("frozen")


class Posts(Resource):
    collection = "posts"
    schema = PostSchema
    filters = {
        "title": [ops.Exact, ops.Startswith, ops.In(allow_negation=True)],
        "is_open": [ops.Boolean],
    }
    allowed_ordering = ["title"]


class RuledPosts(ResourceRules, Posts):
    pass


class RuledKind(ResourceRules, Resource):
    schema = PostSchema


class FreeKind(Resource):
    schema = PostSchema


class KindsOfPosts(Resource):
    collection = "posts"
    child_document_resources = {"ruled": RuledKind, "free": FreeKind}
    type_field = "kind"
    filters = Posts.filters


#: By where rules stand: the resource that is served, and what else the view is.
STANDING: dict[str, tuple[type[Resource], tuple[type, ...]]] = {
    "resource": (RuledPosts, ()),
    "view": (Posts, (ViewRules,)),
    "both": (RuledPosts, (ViewRules,)),
    "child": (KindsOfPosts, ()),
    "child and view": (KindsOfPosts, (ViewRules,)),
}
WITHOUT_REPLACE = [method for method in methods.ALL if method is not methods.Replace]


def views(standing: str) -> dict[str, type[ResourceView]]:
    """Return a view of everything but Replace, and one with it."""
    resource, rules = STANDING[standing]
    bases = (*rules, ResourceView)
    return {
        "posts": type("PostView", bases, {"resource": resource, "methods": WITHOUT_REPLACE}),
        "replaced": type("FullView", bases, {"resource": resource, "methods": methods.ALL}),
    }


def post(standing: str, **values: Any) -> Document:
    """Return a document to store, of the kind that has the rules."""
    kind = {"kind": "ruled"} if "child" in standing else {}
    return {"_id": ObjectId(), **kind, "title": "a post", **values}


#: Each rule, and what a document is like that it hides, or keeps from being written.
HIDDEN = [
    ("resource", {"open": False}),
    ("view", {"shared": False}),
    ("both", {"open": False}),
    ("both", {"shared": False}),
    ("child", {"open": False}),
    ("child and view", {"open": False}),
    ("child and view", {"shared": False}),
]
KEPT = [
    (standing, {{"open": "locked", "shared": "frozen"}[name]: True for name in values})
    for standing, values in HIDDEN
]

#: What can be done with one document.
ITEM = [
    ("GET", "posts"),
    ("HEAD", "posts"),
    ("PATCH", "posts"),
    ("PUT", "posts"),
    ("PATCH", "replaced"),
    ("PUT", "replaced"),
    ("DELETE", "posts"),
]
ITEM_WRITES = [path for path in ITEM if path[0] not in {"GET", "HEAD"}]
BULK = [
    ("PATCH", {"title": "changed"}),
    ("PUT", {"title": "changed"}),
    ("DELETE", ...),
]


def body_of(method: str) -> Any:
    return {"title": "changed"} if method in {"PATCH", "PUT"} else ...


def name_of(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={one}" for key, one in value.items())
    return "-".join(value) if isinstance(value, tuple) else str(value)


def cross(*tables: list[Any]) -> list[Any]:
    """Return every combination of the rows of some tables."""
    combined = []
    for rows in itertools.product(*tables):
        row = tuple(itertools.chain.from_iterable(rows))
        combined.append(pytest.param(*row, id="/".join(map(name_of, row))))
    return combined


# ----------------------------------------------------------------------------- the rule of reading


@pytest.mark.parametrize(("method", "place", "standing", "values"), cross(ITEM, HIDDEN))
def test_a_document_that_may_not_be_read_is_not_there(
    make_declared: MakeDeclared, method: str, place: str, standing: str, values: Document
) -> None:
    api = make_declared(**views(standing))
    hidden, shown = post(standing, **values), post(standing)
    api.database.posts.insert_many([hidden, shown])
    before = snapshot(api.database)
    refused = api(method, f"/{place}/{hidden['_id']}", body_of(method))
    missing = api(method, f"/{place}/{ObjectId()}", body_of(method))
    assert (refused.status_code, refused.content) == (missing.status_code, missing.content)
    assert refused.status_code == 404
    if method != "HEAD":
        assert_problem(refused, 404, "document.not_found")
    assert snapshot(api.database) == before
    assert Calls.made == []
    allowed = api(method, f"/{place}/{shown['_id']}/", body_of(method))
    assert allowed.status_code == (204 if method == "DELETE" else 200), allowed.text
    assert api.database.posts.find_one({"_id": hidden["_id"]}) == hidden


@pytest.mark.parametrize(("standing", "values"), cross(HIDDEN))
def test_a_list_leaves_out_what_may_not_be_read(
    declared_api: MakeDeclared, standing: str, values: Document
) -> None:
    api = declared_api(**views(standing))
    hidden = [post(standing, title=f"h{n}", **values) for n in range(3)]
    shown = [post(standing, title=f"s{n}") for n in range(3)]
    api.database.posts.insert_many([*hidden, *shown])
    assert [one["title"] for one in api.listed("/posts/")] == ["s0", "s1", "s2"]
    assert api.listed("/posts/?title=h1") == []
    assert [one["title"] for one in api.listed("/posts/?title__in=h1,s2")] == ["s2"]
    assert len(api.listed("/posts/?title__not__in=x")) == 3
    assert api.listed("/posts/?is_open=false") == []
    page = api.get("/posts/?_limit=3").json
    assert (len(page["data"]), page["has_more"]) == (3, False)
    page = api.get("/posts/?_limit=2&_skip=1").json
    assert [one["title"] for one in page["data"]] == ["s1", "s2"]
    assert page["has_more"] is False


@pytest.mark.parametrize(("standing", "values"), cross(HIDDEN))
def test_a_stream_leaves_out_what_may_not_be_read(
    make_declared: MakeDeclared, standing: str, values: Document
) -> None:
    resource, rules = STANDING[standing]
    unpaged = type("Unpaged", (resource,), {"paginate": False})
    if "child" in standing:
        unpaged.child_document_resources = resource.child_document_resources
    view = type("View", (*rules, ResourceView), {"resource": unpaged, "methods": [methods.List]})
    api = make_declared(posts=view)
    api.database.posts.insert_many([post(standing, **values), post(standing, title="shown")])
    assert [one["title"] for one in api.listed("/posts/")] == ["shown"]


@pytest.mark.parametrize(("method", "body", "standing", "values"), cross(BULK, HIDDEN))
def test_a_bulk_write_passes_over_what_may_not_be_read(
    declared_api: MakeDeclared, method: str, body: Any, standing: str, values: Document
) -> None:
    api = declared_api(**views(standing))
    hidden = [post(standing, **values) for _ in range(2)]
    shown = [post(standing) for _ in range(3)]
    api.database.posts.insert_many([*hidden, *shown])
    result = api(method, "/posts/?title=a+post", body)
    assert (result.status_code, result.json) == (200, {"count": 3}), result.text
    for one in hidden:
        assert api.database.posts.find_one({"_id": one["_id"]}) == one
    left = list(api.database.posts.find({"_id": {"$in": [one["_id"] for one in shown]}}))
    assert [one["title"] for one in left] == ([] if method == "DELETE" else ["changed"] * 3)
    asked = {one["_id"] for _, _, _, one in Calls.made}
    assert asked <= {one["_id"] for one in shown}


@pytest.mark.parametrize(("method", "body", "standing"), cross(BULK, [(s,) for s in STANDING]))
def test_a_rule_is_no_filter_of_a_bulk_write(
    make_declared: MakeDeclared, method: str, body: Any, standing: str
) -> None:
    api = make_declared(**views(standing))
    api.database.posts.insert_many([post(standing), post(standing, open=False)])
    before = snapshot(api.database)
    for url in ("/posts", "/posts/", "/posts/?"):
        assert_problem(api(method, url, body), 403, "bulk.unfiltered")
    assert snapshot(api.database) == before
    assert Calls.made == []


@pytest.mark.parametrize(("method", "body"), BULK)
def test_the_other_kind_has_no_rule(make_declared: MakeDeclared, method: str, body: Any) -> None:
    api = make_declared(**views("child"))
    free = post("child", kind="free", open=False, locked=True)
    hidden = post("child", open=False, locked=True)
    api.database.posts.insert_many([free, hidden])
    assert [one["id"] for one in api.listed("/posts/")] == [str(free["_id"])]
    assert api.get(f"/posts/{free['_id']}").status_code == 200
    assert api(method, "/posts/?title=a+post", body).json == {"count": 1}
    assert api.database.posts.find_one({"_id": hidden["_id"]}) == hidden


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_the_other_kind_has_no_rule_for_one_document(
    make_declared: MakeDeclared, method: str
) -> None:
    api = make_declared(**views("child"))
    free = post("child", kind="free", open=False, locked=True)
    api.database.posts.insert_one(free)
    assert api(method, f"/posts/{free['_id']}", body_of(method)).status_code in {200, 204}
    assert Calls.made == []


WHERE = [("resource",), ("view",)]


def with_read_rule(where: str, rule: Callable[[Any, Any, Query], Any]) -> type[ResourceView]:
    rules = {"has_read_permission": rule}
    resource = type("Ruled", (Posts,), rules if where == "resource" else {})
    return type(
        "View",
        (ResourceView,),
        {
            "resource": resource,
            "methods": methods.ALL,
            **(rules if where == "view" else {}),
        },
    )


@pytest.mark.parametrize("where", ["resource", "view"])
def test_a_rule_may_hide_everything(declared_api: MakeDeclared, where: str) -> None:
    api = declared_api(posts=with_read_rule(where, lambda self, req, query: query.none()))
    stored = post("")
    api.database.posts.insert_one(stored)
    assert api.get("/posts/").json == {"data": [], "has_more": False}
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        assert_problem(
            api(method, f"/posts/{stored['_id']}", body_of(method)), 404, "document.not_found"
        )
    for method, body in BULK:
        assert api(method, "/posts/?title=a+post", body).json == {"count": 0}
    assert snapshot(api.database) == {"posts": [stored]}


@pytest.mark.parametrize("where", ["resource", "view"])
def test_a_rule_may_pass_everything(make_declared: MakeDeclared, where: str) -> None:
    api = make_declared(posts=with_read_rule(where, lambda self, req, query: query))
    stored = post("")
    api.database.posts.insert_one(stored)
    assert len(api.listed("/posts/")) == 1
    assert api.patch(f"/posts/{stored['_id']}", {"title": "x"}).status_code == 200
    assert_problem(api.patch("/posts/", {"title": "x"}), 403, "bulk.unfiltered")


@pytest.mark.parametrize("where", ["resource", "view"])
def test_a_rule_may_narrow_twice(make_declared: MakeDeclared, where: str) -> None:
    api = make_declared(
        posts=with_read_rule(
            where, lambda self, req, query: query.where({"n": {"$gt": 1}}).where({"n": {"$lt": 4}})
        )
    )
    documents = [post("", n=n, title=str(n)) for n in range(6)]
    api.database.posts.insert_many(documents)
    assert [one["title"] for one in api.listed("/posts/")] == ["2", "3"]
    assert api.delete("/posts/?title__in=0,1,2,3,4,5").json == {"count": 2}


WRONG: dict[str, Callable[[Query], Any]] = {
    "None": lambda query: None,
    "True": lambda query: True,
    "False": lambda query: False,
    "a fresh query": lambda query: Query(),
    "a fresh query with a rule": lambda query: Query().where({"open": True}),
    "a dict": lambda query: {},
    "a dict with a condition": lambda query: {"open": True},
    "another filter": lambda query: dataclasses.replace(query, filter={"title": "other"}),
    "no filter": lambda query: dataclasses.replace(query, filter={}),
    "a list": lambda query: [query],
}
EVERY = [
    *(("GET", "/posts/", ...), ("HEAD", "/posts/", ...), ("GET", "/posts/?title=a+post", ...)),
    *((method, "/posts/ID", body_of(method)) for method in ("GET", "PATCH", "PUT", "DELETE")),
    *((method, "/posts/?title=a+post", body) for method, body in BULK),
]


@pytest.mark.parametrize(
    ("method", "url", "body", "where", "given"), cross(EVERY, WHERE, [(name,) for name in WRONG])
)
def test_a_rule_that_narrows_nothing_never_passes(
    make_declared: MakeDeclared, method: str, url: str, body: Any, where: str, given: str
) -> None:
    api = make_declared(posts=with_read_rule(where, lambda self, req, query: WRONG[given](query)))
    stored = post("")
    api.database.posts.insert_one(stored)
    result = api(method, url.replace("ID", str(stored["_id"])), body)
    assert result.status_code == 500
    if method != "HEAD":
        assert_problem(result, 500, "server.error")
    assert snapshot(api.database) == {"posts": [stored]}


def test_rules_of_resource_and_view_both_narrow_the_clients_filter(
    live_declared: MakeDeclared,
) -> None:
    api = live_declared(**views("both"))
    api.database.posts.insert_many(
        [
            post("both", title=f"{is_open} {shared}", open=is_open, shared=shared)
            for is_open in (True, False)
            for shared in (True, False)
        ]
    )
    assert [one["title"] for one in api.listed("/posts/")] == ["True True"]


@pytest.mark.parametrize("name", ["title", "open"])
def test_a_rule_and_a_filter_on_the_same_field_both_hold(
    make_declared: MakeDeclared, name: str
) -> None:
    """Neither takes the place of the other."""

    def rule(self: Any, req: Any, query: Query) -> Query:
        return query.where({"title": "mine"}).where({"open": True})

    api = make_declared(posts=with_read_rule("resource", rule))
    api.database.posts.insert_many(
        [
            post("", title="mine", open=True),
            post("", title="other", open=True),
            post("", title="mine", open=False),
        ]
    )
    filters = {"title": "title=other", "open": "is_open=false"}
    assert api.listed(f"/posts/?{filters[name]}") == []
    assert api.delete(f"/posts/?{filters[name]}").json == {"count": 0}
    assert api.database.posts.count_documents({}) == 3


def test_an_or_in_a_rule_keeps_to_itself(declared_api: MakeDeclared) -> None:
    def rule(self: Any, req: Any, query: Query) -> Query:
        return query.where({"$or": [{"open": True}, {"owner": "ann"}]})

    api = declared_api(posts=with_read_rule("resource", rule))
    api.database.posts.insert_many(
        [post("", title="a", open=True), post("", title="b", owner="ann"), post("", title="c")]
    )
    assert [one["title"] for one in api.listed("/posts/")] == ["a", "b"]
    assert api.listed("/posts/?title=c") == []
    assert api.delete("/posts/?title__in=a,c").json == {"count": 1}


def test_a_rule_may_be_about_the_id(declared_api: MakeDeclared) -> None:
    """It stands beside the id that is asked for."""
    mine, other = post("", title="mine"), post("", title="other")

    def rule(self: Any, req: Any, query: Query) -> Query:
        return query.where({"_id": {"$in": [mine["_id"]]}})

    api = declared_api(posts=with_read_rule("resource", rule))
    api.database.posts.insert_many([mine, other])
    assert [one["title"] for one in api.listed("/posts/")] == ["mine"]
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        result = api(method, f"/posts/{other['_id']}", body_of(method))
        assert_problem(result, 404, "document.not_found")
    assert api.patch("/posts/?title__in=mine,other", {"shared": True}).json == {"count": 1}
    assert api.get(f"/posts/{mine['_id']}").json["shared"] is True
    assert api.delete("/posts/?title__in=mine,other").json == {"count": 1}
    assert snapshot(api.database) == {"posts": [other]}


@pytest.mark.parametrize(("method", "body", "standing"), cross(BULK, [(s,) for s in STANDING]))
def test_what_may_not_be_read_does_not_count_for_the_limit_of_a_bulk_write(
    make_declared: MakeDeclared, method: str, body: Any, standing: str
) -> None:
    resource, rules = STANDING[standing]
    limited = type("Limited", (resource,), {"bulk_update_limit": 2})
    view = type("View", (*rules, ResourceView), {"resource": limited, "methods": methods.ALL})
    api = make_declared(posts=view)
    hidden = [post(standing, open=False, shared=False) for _ in range(3)]
    shown = [post(standing) for _ in range(3)]
    api.database.posts.insert_many([*hidden, *shown])
    before = snapshot(api.database)
    assert_problem(api(method, "/posts/?title=a+post", body), 403, "bulk.too_many")
    assert snapshot(api.database) == before
    assert Calls.made == []
    api.database.posts.delete_one({"_id": shown[0]["_id"]})
    assert api(method, "/posts/?title=a+post", body).json == {"count": 2}


def test_a_rule_knows_the_request_and_its_caller(make_declared: MakeDeclared) -> None:
    def rule(self: Any, req: falcon.Request, query: Query) -> Query:
        assert req is self.req
        return query.where({"title": req.context.user})

    resource = type("Own", (Posts,), {"has_read_permission": rule})
    view = type("View", (ResourceView,), {"resource": resource, "methods": methods.ALL})
    api = make_declared(posts=view, **LOGIN)
    api.database.posts.insert_many([post("", title="ann"), post("", title="bob")])
    for user in ("ann", "bob"):
        listed = api.get("/posts/", headers={"X-User": user}).json["data"]
        assert [one["title"] for one in listed] == [user]
    assert api.get("/posts/").status_code == 401


@pytest.mark.parametrize(("standing", "values"), cross(HIDDEN))
def test_a_creator_sees_what_may_not_be_read_later(
    declared_api: MakeDeclared, standing: str, values: Document
) -> None:
    api = declared_api(**views(standing))
    shown = {"is_open" if name == "open" else name: value for name, value in values.items()}
    body = {"title": "mine", **shown, **({"kind": "ruled"} if "child" in standing else {})}
    result = api.post("/posts/", body)
    assert result.status_code == 201, result.text
    assert result.json["title"] == "mine"
    assert shown.items() <= result.json.items()
    assert_problem(api.get(result.headers["location"]), 404, "document.not_found")
    several = api.post("/posts/", [body, {**body, "title": "too"}])
    assert several.status_code == 201
    assert [one["title"] for one in several.json["data"]] == ["mine", "too"]
    assert api.listed("/posts/") == []
    assert api.database.posts.count_documents({}) == 3


@pytest.mark.parametrize(("standing", "values"), cross(HIDDEN))
def test_an_id_that_exists_unseen_is_taken(
    declared_api: MakeDeclared, standing: str, values: Document
) -> None:
    api = declared_api(**views(standing))
    hidden = post(standing, **values)
    api.database.posts.insert_one(hidden)
    kind = {"kind": "ruled"} if "child" in standing else {}
    result = api.post("/posts/", {"id": str(hidden["_id"]), "title": "mine", **kind})
    assert_problem(result, 409, "document.duplicate")
    assert snapshot(api.database) == {"posts": [hidden]}


# ------------------------------------------------------------------------ the rules of writing

CALLER = [("somebody",), ("nobody",)]


def served(make: MakeDeclared, standing: str, caller: str) -> tuple[DeclaredApi, Any]:
    """Return an API, and the headers of a caller, who is logged in or can't be."""
    if caller == "nobody":
        return make(**views(standing)), {}
    return make(**views(standing), **LOGIN), ANN


def assert_refused(result: testing.Result, caller: str) -> None:
    if caller == "nobody":
        assert_problem(result, 401, "auth.required")
        assert result.headers["www-authenticate"]
    else:
        assert_problem(result, 403, "permission.denied")


@pytest.mark.parametrize(
    ("method", "place", "standing", "values", "caller"), cross(ITEM_WRITES, KEPT, CALLER)
)
def test_a_refused_write_changes_nothing(
    make_declared: MakeDeclared,
    method: str,
    place: str,
    standing: str,
    values: Document,
    caller: str,
) -> None:
    api, headers = served(make_declared, standing, caller)
    kept, free = post(standing, **values), post(standing)
    api.database.posts.insert_many([kept, free])
    before = snapshot(api.database)
    result = api(method, f"/{place}/{kept['_id']}", body_of(method), headers=headers)
    assert_refused(result, caller)
    assert snapshot(api.database) == before
    # What was asked about is what is stored, and that by the right permission.
    name = "delete" if method == "DELETE" else "change"
    assert {called for _, called, _, _ in Calls.made} == {name}
    assert all(about == kept for about in Calls.about(name))
    allowed = api(method, f"/{place}/{free['_id']}", body_of(method), headers=headers)
    assert allowed.status_code == (204 if method == "DELETE" else 200), allowed.text


@pytest.mark.parametrize(("method", "standing", "values"), cross([("PATCH",), ("PUT",)], KEPT))
def test_a_client_cannot_lift_what_keeps_it_out(
    make_declared: MakeDeclared, method: str, standing: str, values: Document
) -> None:
    """The permission looks at what is stored, not at what would be."""
    api = make_declared(**views(standing), **LOGIN)
    kept = post(standing, **values)
    api.database.posts.insert_one(kept)
    lifted = {"title": "x", "locked": False, "frozen": False}
    for place in ("posts", "replaced"):
        result = api(method, f"/{place}/{kept['_id']}", lifted, headers=ANN)
        assert_problem(result, 403, "permission.denied")
    result = api(method, "/posts/?title=a+post", lifted, headers=ANN)
    assert_problem(result, 403, "permission.denied")
    assert snapshot(api.database) == {"posts": [kept]}


@pytest.mark.parametrize(("standing", "values", "caller"), cross(KEPT, CALLER))
@pytest.mark.parametrize("several", [False, True])
def test_a_refused_document_is_not_stored(
    declared_api: MakeDeclared, standing: str, values: Document, caller: str, several: bool
) -> None:
    api, headers = served(declared_api, standing, caller)
    kind = {"kind": "ruled"} if "child" in standing else {}
    good, bad = {"title": "good", **kind}, {"title": "bad", **kind, **values}
    result = api.post("/posts/", [good, good, bad] if several else bad, headers=headers)
    assert_refused(result, caller)
    assert snapshot(api.database) == {}
    assert {called for _, called, _, _ in Calls.made} == {"add"}


@pytest.mark.parametrize(("method", "body", "standing", "values"), cross(BULK, KEPT))
def test_a_bulk_write_with_one_refused_document_changes_nothing(
    declared_api: MakeDeclared, method: str, body: Any, standing: str, values: Document
) -> None:
    api = declared_api(**views(standing), **LOGIN)
    api.database.posts.insert_many([*(post(standing) for _ in range(3)), post(standing, **values)])
    before = snapshot(api.database)
    result = api(method, "/posts/?title=a+post", body, headers=ANN)
    assert_problem(result, 403, "permission.denied")
    assert snapshot(api.database) == before
    name = "delete" if method == "DELETE" else "change"
    asked = {one["_id"]: one for one in Calls.about(name)}
    assert list(asked.values()) == before["posts"]
    api.database.posts.delete_one(values)
    result = api(method, "/posts/?title=a+post", body, headers=ANN)
    assert (result.status_code, result.json) == (200, {"count": 3})


@pytest.mark.parametrize(("method", "body", "standing", "values"), cross(BULK, KEPT))
def test_a_refused_bulk_write_of_nobody_asks_for_a_login(
    make_declared: MakeDeclared, method: str, body: Any, standing: str, values: Document
) -> None:
    api = make_declared(**views(standing))
    api.database.posts.insert_many([post(standing), post(standing, **values)])
    before = snapshot(api.database)
    assert_refused(api(method, "/posts/?title=a+post", body), "nobody")
    assert snapshot(api.database) == before


@pytest.mark.parametrize("standing", list(STANDING))
def test_add_permissions_see_what_is_stored_then(declared_api: MakeDeclared, standing: str) -> None:
    api = declared_api(**views(standing), **LOGIN)
    kind = {"kind": "ruled"} if "child" in standing else {}
    body = {"title": "new", "is_open": True, **kind}
    assert api.post("/posts/", body, headers=ANN).status_code == 201
    places = {"both": ["resource", "view"], "child and view": ["resource", "view"]}
    expected = places.get(standing, ["view" if standing == "view" else "resource"])
    assert sorted(where for where, *_ in Calls.made) == expected
    for _, name, req, about in Calls.made:
        assert name == "add"
        assert isinstance(req, falcon.Request)
        assert req.context.user == "ann"
        assert about == api.database.posts.find_one()
    Calls.made.clear()
    assert api.post("/posts/", [body, {**body, "title": "two"}], headers=ANN).status_code == 201
    stored = {one["_id"]: one for one in api.database.posts.find()}
    assert len(Calls.made) == 2 * len(expected)
    for about in Calls.about("add"):
        assert about == stored[about["_id"]]


@pytest.mark.parametrize(("method", "place"), ITEM_WRITES)
def test_permissions_of_resource_and_view_are_both_asked(
    make_declared: MakeDeclared, method: str, place: str
) -> None:
    api = make_declared(**views("both"))
    stored = post("both")
    api.database.posts.insert_one(stored)
    assert api(method, f"/{place}/{stored['_id']}", body_of(method)).status_code in {200, 204}
    name = "delete" if method == "DELETE" else "change"
    assert sorted((where, called) for where, called, _, _ in Calls.made) == [
        ("resource", name),
        ("view", name),
    ]
    assert all(req.method == method for _, _, req, _ in Calls.made)


@pytest.mark.parametrize("answer", [None, 0, "", []])
def test_whatever_is_false_refuses(make_declared: MakeDeclared, answer: Any) -> None:
    rules = dict.fromkeys(
        ("has_add_permission", "has_change_permission", "has_delete_permission"),
        lambda self, req, document: answer,
    )
    resource = type("Refusing", (Posts,), rules)
    view = type("View", (ResourceView,), {"resource": resource, "methods": methods.ALL})
    api = make_declared(posts=view, **LOGIN)
    stored = post("")
    api.database.posts.insert_one(stored)
    url = f"/posts/{stored['_id']}"
    for method, where, body in (
        ("POST", "/posts/", {"title": "x"}),
        ("POST", "/posts/", [{"title": "x"}]),
        ("PATCH", url, {"title": "x"}),
        ("PUT", url, {"title": "x"}),
        ("DELETE", url, ...),
        *((method, "/posts/?title=a+post", body) for method, body in BULK),
    ):
        assert_problem(api(method, where, body, headers=ANN), 403, "permission.denied")
    assert snapshot(api.database) == {"posts": [stored]}


@pytest.mark.parametrize("where", ["resource", "view"])
@pytest.mark.parametrize("name", ["add", "change", "delete"])
def test_one_rule_leaves_the_other_writes_alone(
    make_declared: MakeDeclared, where: str, name: str
) -> None:
    rule = {f"has_{name}_permission": lambda self, req, document: False}
    resource = type("Ruled", (Posts,), rule if where == "resource" else {})
    own = rule if where == "view" else {}
    view = type("View", (ResourceView,), {"resource": resource, "methods": methods.ALL, **own})
    api = make_declared(posts=view, **LOGIN)
    first, second = post(""), post("", title="second")
    api.database.posts.insert_many([first, second])
    requests = {
        "add": [("POST", "/posts/", {"title": "x"}), ("POST", "/posts/", [{"title": "x"}])],
        "change": [
            ("PATCH", f"/posts/{first['_id']}", {"title": "a post"}),
            ("PUT", f"/posts/{first['_id']}", {"title": "a post"}),
            ("PATCH", "/posts/?title=a+post", {"shared": True}),
        ],
        "delete": [
            ("DELETE", f"/posts/{first['_id']}", ...),
            ("DELETE", "/posts/?title=second", ...),
        ],
    }
    for kind, several in requests.items():
        for method, url, body in several:
            result = api(method, url, body, headers=ANN)
            expected = {403} if kind == name else {200, 201, 204}
            assert result.status_code in expected, (method, url, result.text)


# ------------------------------------------------------------- how many commands a write takes


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def watched(make_database: Callable[..., Any], commands: Commands) -> Callable[..., DeclaredApi]:
    """Serve views from a replica set whose commands are noted."""

    def make(**given: Any) -> DeclaredApi:
        database = make_database("mongod", event_listeners=[commands])
        return DeclaredApi(database, **given.pop("options", {})).register(**given)

    return make


READ_ONLY_RULES: list[tuple[str, list[Document]]] = [
    ("resource", [{"open": True}]),
    ("view", [{"shared": True}]),
    ("both", [{"open": True}, {"shared": True}]),
]


def reading_view(standing: str, **more: Any) -> type[ResourceView]:
    """Return a view whose rules are of reading only."""
    of_resource = {"has_read_permission": lambda self, req, query: query.where({"open": True})}
    of_view = {"has_read_permission": lambda self, req, query: query.where({"shared": True})}
    own = of_resource if standing in {"resource", "both"} else {}
    resource = type("Ruled", (Posts,), {**own, **more})
    return type(
        "View",
        (ResourceView,),
        {
            "resource": resource,
            "methods": methods.ALL,
            **(of_view if standing in {"view", "both"} else {}),
        },
    )


@pytest.mark.parametrize(("standing", "rules"), READ_ONLY_RULES)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_an_update_is_one_command_with_the_rule_in_it(
    watched: Any, commands: Commands, method: str, standing: str, rules: list[Document]
) -> None:
    api = watched(posts=reading_view(standing))
    shown = post("", open=True, shared=True)
    hidden = post("", **{name: False for rule in rules for name in rule})
    api.database.posts.insert_many([shown, hidden])
    for document, status in ((shown, 200), (hidden, 404)):
        commands.take()
        assert api(method, f"/posts/{document['_id']}", {"title": "x"}).status_code == status
        [sent] = commands.take()
        assert sent["name"] == "findAndModify"
        assert sent["query"]["_id"] == document["_id"]
        for rule in rules:
            assert rule.items() <= sent["query"].items()
    assert api.database.posts.find_one({"_id": hidden["_id"]}) == hidden


@pytest.mark.parametrize(("standing", "rules"), READ_ONLY_RULES)
def test_a_delete_is_one_command_with_the_rule_in_it(
    watched: Any, commands: Commands, standing: str, rules: list[Document]
) -> None:
    api = watched(posts=reading_view(standing))
    stored = post("", open=True, shared=True)
    api.database.posts.insert_one(stored)
    commands.take()
    assert api.delete(f"/posts/{stored['_id']}").status_code == 204
    [sent] = commands.take()
    assert sent["name"] == "delete"
    for rule in rules:
        assert rule.items() <= sent["deletes"][0]["q"].items()


@pytest.mark.parametrize(("standing", "rules"), READ_ONLY_RULES)
@pytest.mark.parametrize("path", ["list", "fetch"])
def test_reading_is_one_command_with_the_rule_in_it(
    watched: Any, commands: Commands, path: str, standing: str, rules: list[Document]
) -> None:
    api = watched(posts=reading_view(standing))
    stored = post("", open=True, shared=True)
    api.database.posts.insert_one(stored)
    commands.take()
    assert api.get("/posts/" if path == "list" else f"/posts/{stored['_id']}").status_code == 200
    [sent] = commands.take()
    assert sent["name"] == "find"
    for rule in rules:
        assert rule.items() <= sent["filter"].items()


OVERRIDING: dict[str, Callable[..., Any]] = {
    "has_change_permission": lambda self, req, document: True,
    "validate_request": lambda self, data, document=None: Resource.validate_request(
        self, data, document
    ),
    "update_object": lambda self, document, data: Resource.update_object(self, document, data),
    "get_object": lambda self, identity, query: Resource.get_object(self, identity, query),
}


@pytest.mark.parametrize("name", list(OVERRIDING))
def test_an_update_with_an_overridden_hook_reads_first(
    watched: Any, commands: Commands, name: str
) -> None:
    api = watched(posts=reading_view("both", **{name: OVERRIDING[name]}))
    stored = post("", open=True, shared=True)
    api.database.posts.insert_one(stored)
    commands.take()
    assert api.patch(f"/posts/{stored['_id']}", {"title": "x"}).json["title"] == "x"
    reading, writing, *_ = commands.take()
    assert reading["name"] == "find"
    assert {"open": True, "shared": True}.items() <= reading["filter"].items()
    assert writing["name"] == "findAndModify"
    # What may not be read any more when it is written isn't there either.
    assert {"open": True, "shared": True}.items() <= writing["query"].items()


def test_an_update_with_a_view_permission_reads_first(watched: Any, commands: Commands) -> None:
    api = watched(**views("view"))
    stored = post("view")
    api.database.posts.insert_one(stored)
    commands.take()
    assert api.patch(f"/posts/{stored['_id']}", {"title": "x"}).status_code == 200
    assert [one["name"] for one in commands.take()] == [
        "find",
        "findAndModify",
        "commitTransaction",
    ]


def test_a_refused_write_sends_no_write(watched: Any, commands: Commands) -> None:
    api = watched(**views("both"))
    api.database.posts.insert_many([post("both"), post("both", locked=True)])
    locked = api.database.posts.find_one({"locked": True})
    commands.take()
    url = f"/posts/{locked['_id']}"
    api.patch(url, {"title": "x"})
    api.delete(url)
    api.post("/posts/", {"title": "x", "locked": True})
    api.post("/posts/", [{"title": "x"}, {"title": "x", "locked": True}])
    api.patch("/posts/?title=a+post", {"title": "x"})
    api.delete("/posts/?title=a+post")
    sent = {one["name"] for one in commands.take()}
    assert sent <= {"find", "aggregate", "abortTransaction"}


# -------------------------------------------------------------- rules of the related resource


class UserSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String(required=True)
    is_open = ma.Boolean(attribute="open")
    locked = ma.Boolean()


class ArticleSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True)
    author = fields.Reference("users", allow_none=True)
    editors = ma.List(fields.Reference("users"))
    is_open = ma.Boolean(attribute="open")
    locked = ma.Boolean()


class Users(Resource):
    collection = "users"
    schema = UserSchema


class RuledUsers(ResourceRules, Users):
    pass


class RuledUserKind(ResourceRules, Resource):
    schema = UserSchema


class FreeUserKind(Resource):
    schema = UserSchema


class KindsOfUsers(Resource):
    collection = "users"
    child_document_resources = {"ruled": RuledUserKind, "free": FreeUserKind}
    default_child_resource_document = "ruled"
    type_field = "kind"


RELATED: dict[str, type[Resource]] = {"related": RuledUsers, "related child": KindsOfUsers}


def article_views(users: type[Resource]) -> dict[str, type[ResourceView]]:
    class Articles(Resource):
        collection = "articles"
        schema = ArticleSchema
        filters = {"title": [ops.Exact]}
        related_resources = {"author": users, "editors": users}
        save_related_fields = ["author", "editors"]

    class ArticleView(ResourceView):
        resource = Articles
        methods = methods.ALL

    class UpdatedView(ResourceView):
        resource = Articles
        methods = WITHOUT_REPLACE

    return {"articles": ArticleView, "updated": UpdatedView}


def user(name: str, **values: Any) -> Document:
    return {"_id": ObjectId(), "name": name, **values}


@pytest.mark.parametrize("standing", list(RELATED))
@pytest.mark.parametrize("path", ["list", "fetch", "PATCH", "PUT", "POST", "bulk POST"])
def test_what_may_not_be_read_does_not_show_through_a_reference(
    declared_api: MakeDeclared, path: str, standing: str
) -> None:
    api = declared_api(**article_views(RELATED[standing]))
    shown, hidden = user("shown"), user("hidden", open=False)
    api.database.users.insert_many([shown, hidden])
    article = {
        "_id": ObjectId(),
        "title": "t",
        "author": hidden["_id"],
        "editors": [hidden["_id"], shown["_id"], hidden["_id"]],
    }
    body = {
        "title": "t",
        "author": str(hidden["_id"]),
        "editors": [str(one) for one in article["editors"]],
    }
    api.database.articles.insert_one(article)
    url = f"/articles/{article['_id']}"
    answers: dict[str, Callable[[], Any]] = {
        "list": lambda: api.listed("/articles/")[0],
        "fetch": lambda: api.get(url).json,
        "PATCH": lambda: api.patch(url, body).json,
        "PUT": lambda: api.put(url, body).json,
        "POST": lambda: api.post("/articles/", body).json,
        "bulk POST": lambda: api.post("/articles/", [body]).json["data"][0],
    }
    answer = answers[path]()
    assert answer["author"] is None
    assert [one["name"] for one in answer["editors"]] == ["shown"]
    assert str(hidden["_id"]) not in str(answer)
    # What doesn't show stays where it is.
    stored = api.database.articles.find_one({"_id": article["_id"]})
    assert stored["editors"] == article["editors"]


def test_the_rule_of_another_view_does_not_hold_for_a_reference(
    make_declared: MakeDeclared,
) -> None:
    class UserView(ViewRules, ResourceView):
        resource = Users
        methods = methods.ALL

    api = make_declared(users=UserView, **article_views(Users))
    hidden = user("hidden", shared=False)
    api.database.users.insert_one(hidden)
    api.database.articles.insert_one({"title": "t", "author": hidden["_id"]})
    assert api.listed("/users/") == []
    assert api.listed("/articles/")[0]["author"]["name"] == "hidden"


def test_the_rule_of_a_view_does_not_hold_for_what_it_refers_to(
    make_declared: MakeDeclared,
) -> None:
    """It speaks of the stored names of its own collection."""
    resource = article_views(Users)["articles"].resource

    bases = (ViewRules, ResourceView)
    view = type("ArticleView", bases, {"resource": resource, "methods": methods.ALL})
    api = make_declared(articles=view)
    ann = user("ann", shared=False, frozen=True)
    api.database.users.insert_one(ann)
    api.database.articles.insert_many(
        [
            {"title": "shown", "author": ann["_id"]},
            {"title": "hidden", "author": ann["_id"], "shared": False},
        ]
    )
    [shown] = api.listed("/articles/")
    assert (shown["title"], shown["author"]["name"]) == ("shown", "ann")
    changed = api.patch(
        f"/articles/{shown['id']}", {"author": {"id": str(ann["_id"]), "name": "Ann"}}
    )
    assert changed.json["author"]["name"] == "Ann", changed.text


class ArticlesOfUser(ResourceRules, Resource):
    collection = "articles"
    schema = ArticleSchema


class ArticleKind(ResourceRules, Resource):
    schema = ArticleSchema


class KindsOfArticles(Resource):
    collection = "articles"
    schema = ArticleSchema
    child_document_resources = {"ruled": ArticleKind}
    default_child_resource_document = "ruled"
    type_field = "kind"


@pytest.mark.parametrize("related", [ArticlesOfUser, KindsOfArticles])
@pytest.mark.parametrize("path", ["list", "fetch"])
def test_what_may_not_be_read_does_not_show_through_a_reverse_relation(
    declared_api: MakeDeclared, path: str, related: type[Resource]
) -> None:
    class UsersWithArticles(Resource):
        collection = "users"
        schema = UserSchema
        related_resources = {"articles": related}
        related_resources_hints = {"articles": "author"}

    class UserView(ResourceView):
        resource = UsersWithArticles
        methods = methods.READING

    api = declared_api(users=UserView)
    ann, bob = user("ann"), user("bob")
    api.database.users.insert_many([ann, bob])
    api.database.articles.insert_many(
        [
            {"title": "shown", "author": ann["_id"]},
            {"title": "hidden", "author": ann["_id"], "open": False},
            {"title": "hidden too", "author": bob["_id"], "open": False},
        ]
    )
    answers = (
        api.listed("/users/")
        if path == "list"
        else [api.get(f"/users/{one['_id']}").json for one in (ann, bob)]
    )
    assert [[a["title"] for a in one["articles"]] for one in answers] == [["shown"], []]


@pytest.mark.parametrize("wrong", list(WRONG))
@pytest.mark.parametrize("relation", ["reference", "list", "reverse"])
def test_a_related_rule_that_narrows_nothing_never_passes(
    make_declared: MakeDeclared, relation: str, wrong: str
) -> None:
    rule = {"has_read_permission": lambda self, req, query: WRONG[wrong](query)}
    if relation == "reverse":
        related = type(
            "Ruled", (Resource,), {"collection": "articles", "schema": ArticleSchema, **rule}
        )
        says: Document = {
            "collection": "users",
            "schema": UserSchema,
            "related_resources": {"articles": related},
            "related_resources_hints": {"articles": "author"},
        }
    else:
        related = type("Ruled", (Users,), rule)
        name = "author" if relation == "reference" else "editors"
        says = {
            "collection": "articles",
            "schema": ArticleSchema,
            "related_resources": {name: related},
        }
    resource = type("Shown", (Resource,), says)
    view = type("View", (ResourceView,), {"resource": resource, "methods": methods.READING})
    api = make_declared(shown=view)
    ann = user("ann")
    api.database.users.insert_one(ann)
    api.database.articles.insert_one({"title": "t", "author": ann["_id"], "editors": [ann["_id"]]})
    assert_problem(api.get("/shown/"), 500, "server.error")
    stored = api.database[says["collection"]].find_one()
    assert_problem(api.get(f"/shown/{stored['_id']}"), 500, "server.error")


#: Nested writes that the rules of the related resource refuse: what is in the body.
GOOD, BAD = {"name": "good"}, {"name": "bad", "locked": True}
NESTED: dict[str, Document] = {
    "create": {"author": BAD},
    "create in a list": {"editors": [GOOD, GOOD, BAD]},
    "create beside a good one": {"author": GOOD, "editors": [BAD]},
    "update": {"author": {"id": "LOCKED", "name": "x"}},
    "update in a list": {
        "editors": [GOOD, {"id": "FREE", "name": "x"}, {"id": "LOCKED", "name": "x"}]
    },
    "lift and update": {"author": {"id": "LOCKED", "locked": False}},
}
PARENT = [
    ("POST", "/articles/"),
    ("POST bulk", "/articles/"),
    ("PATCH", "/articles/ID"),
    ("PUT", "/articles/ID"),
    ("PUT", "/updated/ID"),
]


@pytest.mark.parametrize("standing", list(RELATED))
@pytest.mark.parametrize(
    ("method", "url", "nested", "caller"),
    cross(PARENT, [(name,) for name in NESTED], CALLER),
)
def test_a_nested_write_that_is_refused_writes_nothing(
    make_declared: MakeDeclared, standing: str, method: str, url: str, nested: str, caller: str
) -> None:
    api = make_declared(
        **article_views(RELATED[standing]), **(LOGIN if caller == "somebody" else {})
    )
    _refuse_nested(api, method, url, nested, caller)


@pytest.mark.parametrize("nested", list(NESTED))
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_nested_write_that_is_refused_writes_nothing_on_a_server(
    live_declared: MakeDeclared, standalone_declared: MakeDeclared, method: str, nested: str
) -> None:
    for make in (live_declared, standalone_declared):
        api = make(**article_views(RuledUsers), **LOGIN)
        url = "/articles/" if method == "POST" else "/articles/ID"
        _refuse_nested(api, method, url, nested, "somebody")


def _refuse_nested(api: DeclaredApi, method: str, url: str, nested: str, caller: str) -> None:
    free, locked = user("free"), user("locked", locked=True)
    api.database.users.insert_many([free, locked])
    article = {"_id": ObjectId(), "title": "t", "author": free["_id"]}
    api.database.articles.insert_one(article)
    before = snapshot(api.database)
    text = (
        str(NESTED[nested]).replace("LOCKED", str(locked["_id"])).replace("FREE", str(free["_id"]))
    )
    body: Any = {"title": "changed", **eval(text)}
    if method == "POST bulk":
        method, body = "POST", [{"title": "first", "author": GOOD}, body]
    result = api(
        method,
        url.replace("ID", str(article["_id"])),
        body,
        headers=ANN if caller == "somebody" else {},
    )
    assert_refused(result, caller)
    assert snapshot(api.database) == before


@pytest.mark.parametrize("standing", list(RELATED))
@pytest.mark.parametrize("place", ["author", "editors"])
def test_a_nested_write_to_what_may_not_be_read_is_a_write_to_what_is_not_there(
    declared_api: MakeDeclared, place: str, standing: str
) -> None:
    api = declared_api(**article_views(RELATED[standing]))
    hidden = user("hidden", open=False)
    api.database.users.insert_one(hidden)
    before = snapshot(api.database)
    answers = []
    for identity in (hidden["_id"], ObjectId()):
        item = {"id": str(identity), "name": "x"}
        body = {"title": "t", place: item if place == "author" else [GOOD, item]}
        result = api.post("/articles/", body)
        answers.append(assert_problem(result, 400, "body.invalid", naming=place))
    assert answers[0] == answers[1]
    assert snapshot(api.database) == before


def test_the_permission_of_the_parent_is_asked_before_children_are_written(
    declared_api: MakeDeclared,
) -> None:
    resource = article_views(Users)["articles"].resource
    ruled = type("Ruled", (ResourceRules, resource), {})
    view = type("View", (ResourceView,), {"resource": ruled, "methods": methods.ALL})
    api = declared_api(articles=view, **LOGIN)
    article = {"_id": ObjectId(), "title": "t", "locked": True}
    api.database.articles.insert_one(article)
    before = snapshot(api.database)
    for result in (
        api.post("/articles/", {"title": "x", "locked": True, "author": GOOD}, headers=ANN),
        api.patch(f"/articles/{article['_id']}", {"author": GOOD}, headers=ANN),
        api.put(f"/articles/{article['_id']}", {"title": "x", "author": GOOD}, headers=ANN),
        api.post(
            "/articles/",
            [{"title": "x", "author": GOOD}, {"title": "x", "locked": True}],
            headers=ANN,
        ),
    ):
        assert_problem(result, 403, "permission.denied")
    assert snapshot(api.database) == before


def test_permissions_of_a_nested_write_see_what_is_stored_then(declared_api: MakeDeclared) -> None:
    resource = article_views(RuledUsers)["articles"].resource
    ruled = type("Ruled", (ResourceRules, resource), {})
    view = type("View", (ResourceView,), {"resource": ruled, "methods": methods.ALL})
    api = declared_api(articles=view)
    ann = user("ann")
    api.database.users.insert_one(ann)
    body = {"title": "t", "author": GOOD, "editors": [{"id": str(ann["_id"]), "name": "Ann"}]}
    assert api.post("/articles/", body).status_code == 201
    article = api.database.articles.find_one()
    good = api.database.users.find_one({"name": "good"})
    assert sorted(Calls.about("add"), key=str) == sorted([good, article], key=str)
    assert Calls.about("change") == [ann]


@pytest.mark.parametrize("name", ["has_add_permission", "has_change_permission"])
def test_a_permission_of_an_embedded_resource_is_not_just_ignored(name: str) -> None:
    """It holds wherever the resource is used, or can't be declared."""

    class PartSchema(Schema):
        text = ma.String()

    class WholeSchema(Schema):
        part = ma.Nested(PartSchema)

    rule = {name: lambda self, req, document: False}
    part = type("Part", (Resource,), {"schema": PartSchema, **rule})
    says = {"collection": "wholes", "schema": WholeSchema, "related_resources": {"part": part}}
    with pytest.raises(ConfigurationError, match="Part"):
        type("Whole", (Resource,), says)
