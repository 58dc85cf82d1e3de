"""Declared resources over HTTP: requests, their statuses, and what is stored and shown."""

from __future__ import annotations

import datetime as dt
import enum
import itertools
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import bson
import falcon
import marshmallow
import mongomock
import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from falcon import testing
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import fields as ma
from marshmallow import validate

from falcorest import FalcoRest, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from falcorest.auth import AuthenticationBase
from tests.declared import DeclaredApi, MakeDeclared
from tests.support import assert_problem
from tests.watching import Commands

MISSING = "6195b0eb829a2784b4459a7f"
REQUIRED = "Missing data for required field."


class DetailSchema(Schema):
    text = ma.String(required=True, data_key="words")
    pages = ma.Integer(attribute="n")


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True, validate=validate.Length(max=20))
    slug = ma.String(attribute="short_name", data_key="short")
    number = ma.Integer(load_default=7)
    detail = ma.Nested(DetailSchema)
    parts = ma.List(ma.Nested(DetailSchema))
    tags = ma.List(ma.String())
    views = ma.Integer(dump_only=True)
    language = ma.String(attribute="meta.language")
    is_published = ma.Boolean()


class PostResource(Resource):
    collection = "posts"
    schema = PostSchema
    rename_fields = {"number": "no", "is_published": "published"}
    filters = {
        "title": [ops.Exact, ops.Startswith, ops.In(allow_negation=True)],
        "short": [ops.Exact],
        "no": [ops.Exact, ops.Gt, ops.Lt, ops.Exists],
        "published": [ops.Boolean],
        "detail__words": [ops.Exact],
        "parts__pages": [ops.Gte],
        "language": [ops.Exact],
    }
    allowed_ordering = ["title", "-title", "no", "-no", "short", "language"]


class PostView(ResourceView):
    resource = PostResource
    methods = methods.ALL


def posts(make: MakeDeclared, *titles: str) -> DeclaredApi:
    """Serve posts, with some of them stored."""
    api = make(posts=PostView)
    if titles:
        api.database.posts.insert_many(
            [{"title": title, "number": number} for number, title in enumerate(titles)]
        )
    return api


def stored(api: DeclaredApi, **condition: Any) -> list[dict[str, Any]]:
    """Return the stored posts without their ids."""
    return list(api.database.posts.find(condition, {"_id": 0}).sort("number", 1))


def view_of(resource: type[Resource], *served: type[methods.Method]) -> type[ResourceView]:
    return type("SomeView", (ResourceView,), {"resource": resource, "methods": list(served)})


def schema_of(**members: Any) -> type[marshmallow.Schema]:
    own = {"id": fields.ObjectId(attribute="_id", dump_only=True)}
    return Schema.from_dict({**own, **members}, name="SomeSchema")


def resource_of(**attributes: Any) -> type[Resource]:
    return type("SomeResource", (Resource,), {"collection": "things", **attributes})


def serve(make: MakeDeclared, **attributes: Any) -> DeclaredApi:
    """Serve a resource with these attributes as ``things``, with all methods."""
    return make(things=view_of(resource_of(**attributes), *methods.ALL))


# ------------------------------------------------------------------------ the table of requests


def test_a_document_from_its_beginning_to_its_end(declared_api: MakeDeclared) -> None:
    api = posts(declared_api)
    assert api.get("/posts/").json == {"data": [], "has_more": False}
    created = api.post("/posts/", {"title": "First", "detail": {"words": "hello"}})
    assert created.status_code == 201
    id = created.json["id"]
    shown = {"id": id, "title": "First", "no": 7, "detail": {"words": "hello"}}
    assert created.json == shown
    assert created.headers["location"] == f"/posts/{id}"
    assert created.headers["content-type"] == "application/json"
    fetched = api.get(created.headers["location"])
    assert (fetched.status_code, fetched.text) == (200, created.text)
    assert api.get("/posts").json == {"data": [shown], "has_more": False}

    for send, title in ((api.put, "Second"), (api.patch, "Third")):
        changed = send(f"/posts/{id}/", {"title": title, "no": 8})
        assert changed.status_code == 200
        assert changed.json["title"] == title
        assert changed.text == api.get(f"/posts/{id}").text

    assert api.patch("/posts/?title=Third", {"published": True}).json == {"count": 1}
    assert api.put("/posts?no__gt=5", {"no": 9}).json == {"count": 1}
    assert api.get(f"/posts/{id}").json["no"] == 9

    removed = api.delete(f"/posts/{id}")
    assert (removed.status_code, removed.content) == (204, b"")
    assert_problem(api.get(f"/posts/{id}"), 404, "document.not_found")


def test_bulk_writes_count_what_they_touch(declared_api: MakeDeclared) -> None:
    api = posts(declared_api, "a", "b", "c", "d")
    for send, value in ((api.put, 5), (api.patch, 5)):
        result = send("/posts/?title__in=a,b", {"no": value})
        assert (result.status_code, result.json) == (200, {"count": 2})
    assert api.patch("/posts/?title=z", {"no": 6}).json == {"count": 0}
    assert api.delete("/posts/?title=z").json == {"count": 0}
    result = api.delete("/posts/?no=5")
    assert (result.status_code, result.json) == (200, {"count": 2})
    assert [one["title"] for one in stored(api)] == ["c", "d"]


def test_several_documents_are_stored_at_once(declared_api: MakeDeclared) -> None:
    api = posts(declared_api)
    result = api.post("/posts/", [{"title": "a", "no": 1}, {"title": "b", "no": 2}])
    assert result.status_code == 201
    assert set(result.json) == {"data"}
    assert [one["title"] for one in result.json["data"]] == ["a", "b"]
    assert api.get("/posts/?_order_by=title").json["data"] == result.json["data"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_slash_at_the_end_is_the_same_place(make_declared: MakeDeclared, slash: str) -> None:
    api = posts(make_declared)
    id = api.create(f"/posts{slash}", {"title": "a"})["id"]
    assert api.post(f"/posts{slash}", [{"title": "b"}]).status_code == 201
    assert len(api.listed(f"/posts{slash}")) == 2
    place = f"/posts/{id}{slash}"
    assert api.get(place).json["title"] == "a"
    assert api.patch(place, {"title": "c"}).json["title"] == "c"
    assert api.put(place, {"title": "d"}).json["title"] == "d"
    assert api.patch(f"/posts{slash}?title=d", {"title": "e"}).json == {"count": 1}
    assert api.delete(place).status_code == 204
    assert api.delete(f"/posts{slash}?title=b").json == {"count": 1}


def test_the_address_below_which_an_application_is_mounted_is_a_part_of_every_link(
    make_declared: MakeDeclared,
) -> None:
    api = posts(make_declared)
    request = {"root_path": "/mounted", "headers": {"Content-Type": "application/json"}}
    created = api.client.simulate_post("/posts/", body=b'{"title": "a"}', **request)
    assert created.headers["location"] == f"/mounted/posts/{created.json['id']}"
    api.post("/posts", {"title": "b"})
    listed = api.client.simulate_get("/posts/", query_string="_limit=1", **request)
    assert listed.headers["link"].startswith("</mounted/posts?_limit=1&_after=")
    assert listed.headers["link"].endswith('>; rel="next"')


#: What each method serves, at the address of the collection and at that of a document.
SERVED = {
    methods.List: ({"GET", "HEAD"}, set()),
    methods.Fetch: (set(), {"GET", "HEAD"}),
    methods.Create: ({"POST"}, set()),
    methods.BulkCreate: ({"POST"}, set()),
    methods.Update: (set(), {"PUT", "PATCH"}),
    methods.Replace: (set(), {"PUT"}),
    methods.BulkUpdate: ({"PUT", "PATCH"}, set()),
    methods.Delete: (set(), {"DELETE"}),
    methods.BulkDelete: ({"DELETE"}, set()),
}
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def test_every_method_has_its_place_in_the_table() -> None:
    assert set(SERVED) == set(methods.ALL)


@pytest.mark.parametrize(
    "served",
    [
        *((method,) for method in methods.ALL),
        (methods.List, methods.Fetch),
        (methods.List, methods.Update),
        (methods.Create, methods.Replace, methods.Fetch),
        methods.ALL,
    ],
    ids=lambda served: "+".join(method.__name__ for method in served),
)
def test_what_is_not_listed_is_405_and_where_nothing_is_served_404(
    make_declared: MakeDeclared, served: tuple[type[methods.Method], ...]
) -> None:
    api = make_declared(posts=view_of(PostResource, *served))
    id = ObjectId(MISSING)
    for verb, slash in itertools.product(VERBS, ("", "/")):
        for place, index in ((f"/posts{slash}", 0), (f"/posts/{id}{slash}", 1)):
            api.database.posts.delete_many({})
            api.database.posts.insert_one({"_id": id, "title": "a", "number": 1})
            allowed = set().union(*(SERVED[method][index] for method in served))
            bulk = index == 0 and verb in {"PUT", "PATCH", "DELETE"}
            body: Any = {"title": "b"} if verb in {"POST", "PUT", "PATCH"} else ...
            if verb == "POST" and methods.Create not in served:
                body = [body]
            result = api(verb, f"{place}?title=a" if bulk else place, body)
            if verb in allowed:
                assert 200 <= result.status_code < 300, (verb, place, result.text)
            elif not allowed:
                assert result.status_code == 404, (verb, place)
            else:
                assert result.status_code == 405, (verb, place)
                assert set(result.headers["allow"].split(", ")) == {*allowed, "OPTIONS"}
            if verb not in allowed:
                assert list(api.database.posts.find({}, {"_id": 0})) == [
                    {"title": "a", "number": 1}
                ]


def test_an_array_needs_bulk_create_and_an_object_create(make_declared: MakeDeclared) -> None:
    api = make_declared(
        one=view_of(PostResource, methods.Create, methods.Fetch),
        many=view_of(PostResource, methods.BulkCreate, methods.Fetch),
    )
    assert api.post("/one", [{"title": "a"}]).status_code in {400, 405}
    assert api.post("/many", {"title": "a"}).status_code in {400, 405}
    assert stored(api) == []


def test_head_has_the_headers_of_get_and_no_body(make_declared: MakeDeclared) -> None:
    api = posts(make_declared, "a", "b")
    for url in ("/posts?_limit=1", f"/posts/{api.listed('/posts')[0]['id']}"):
        get, head = api.get(url), api("HEAD", url)
        assert head.status_code == 200
        assert head.content == b""
        assert head.headers == get.headers


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("*/*", 200),
        ("application/*", 200),
        ("text/html, application/json;q=0.5", 200),
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("image/png, audio/*", 406),
    ],
)
def test_an_accept_header_that_nothing_serves_is_406(
    make_declared: MakeDeclared, accept: str, status: int
) -> None:
    api = posts(make_declared, "a")
    id = api.listed("/posts")[0]["id"]
    headers = {"Accept": accept}
    for result in (api.get("/posts", headers=headers), api.get(f"/posts/{id}", headers=headers)):
        assert result.status_code == status
    refused = api.patch(f"/posts/{id}", {"title": "b"}, headers=headers)
    assert refused.status_code == status
    assert stored(api)[0]["title"] == ("b" if status == 200 else "a")
    if status == 406:
        assert_problem(refused, 406, "accept.unsupported")


@pytest.mark.parametrize("verb", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "id", [MISSING, "x", "1", f"{MISSING}0", "%00", "%20", "[oid]." + MISSING, "é"]
)
def test_a_document_that_is_not_there_is_404(
    make_declared: MakeDeclared, verb: str, id: str
) -> None:
    api = posts(make_declared, "a")
    body: Any = {"title": "b"} if verb in {"PUT", "PATCH"} else ...
    assert_problem(api(verb, f"/posts/{id}", body), 404, "document.not_found")
    assert api(verb, f"/posts/{id}/deeper", body).status_code == 404
    assert stored(api) == [{"title": "a", "number": 0}]


@pytest.mark.parametrize(
    ("verb", "url"),
    [
        ("POST", "/posts?title=a"),
        ("POST", "/posts?_fields=title"),
        ("PATCH", "/posts/{id}?title=a"),
        ("PUT", "/posts/{id}?_fields=title"),
        ("DELETE", "/posts/{id}?title=b"),
        ("GET", "/posts/{id}?title=a"),
        ("GET", "/posts/{id}?_limit=1"),
        ("PATCH", "/posts?title=a&_limit=1"),
        ("DELETE", "/posts?title=a&_skip=1"),
        ("PATCH", "/posts?title=a&_order_by=title"),
        ("DELETE", "/posts?title=a&_fields=title"),
        ("DELETE", "/posts?title=a&nope=1"),
        ("DELETE", "/posts?title=a&no=x"),
    ],
)
def test_a_parameter_that_a_request_does_not_take_is_400_and_nothing_is_written(
    make_declared: MakeDeclared, verb: str, url: str
) -> None:
    api = posts(make_declared, "a")
    id = api.listed("/posts")[0]["id"]
    body: Any = {"title": "c"} if verb in {"POST", "PUT", "PATCH"} else ...
    result = api(verb, url.replace("{id}", id), body)
    assert result.status_code == 400
    assert result.json["parameter"] in url
    assert stored(api) == [{"title": "a", "number": 0}]


def test_a_duplicate_key_is_409_and_named_as_the_client_knows_it(
    declared_api: MakeDeclared,
) -> None:
    api = posts(declared_api)
    api.database.posts.create_index("short_name", unique=True)
    first = api.create("/posts", {"title": "a", "short": "x"})
    second = api.create("/posts", {"title": "b", "short": "y"})
    for result in (
        api.post("/posts", {"title": "c", "short": "x"}),
        api.patch(f"/posts/{second['id']}", {"short": "x"}),
        api.put(f"/posts/{second['id']}", {"title": "b", "short": "x"}),
    ):
        problem = assert_problem(result, 409, "document.duplicate")
        assert "short_name" not in result.text
        if not api.in_memory:
            assert set(problem["field-errors"]) == {"short"}
    assert api.listed("/posts?_order_by=title") == [first, second]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "body.malformed"),
        (b"{", "body.malformed"),
        (b'{"title": "a",}', "body.malformed"),
        (b'{"title": "\xff"}', "body.malformed"),
        (b'{"title": "a", "no": NaN}', "body.malformed"),
        (b'{"title": "a", "no": Infinity}', "body.malformed"),
        (b'{"title": "a", "no": 1e400}', "body.malformed"),
        (b'{"title": "a", "title": "b"}', "body.duplicate_key"),
        (b'{"title": "a", "no": 9223372036854775808}', "body.invalid_value"),
        (b'{"title": "a", "no": 123456789012345678901234567890}', "body.invalid_value"),
        (b"[" * 1000 + b"]" * 1000, "body.too_deep"),
        (b"null", "body.wrong_type"),
        (b"5", "body.wrong_type"),
        (b'"title"', "body.wrong_type"),
    ],
)
@pytest.mark.parametrize(("verb", "place"), [("POST", ""), ("PUT", "{id}"), ("PATCH", "?title=a")])
def test_a_body_that_is_no_json_object_is_400(
    make_declared: MakeDeclared, raw: bytes, code: str, verb: str, place: str
) -> None:
    api = posts(make_declared, "a")
    id = api.listed("/posts")[0]["id"]
    result = api(verb, f"/posts/{place.replace('{id}', id)}", raw=raw)
    assert_problem(result, 400, code)
    assert stored(api) == [{"title": "a", "number": 0}]


def test_a_body_of_another_type_or_too_large_is_refused(make_declared: MakeDeclared) -> None:
    api = posts(make_declared)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert_problem(api.post("/posts", raw=b"title=a", headers=form), 415, "body.unsupported_type")
    assert_problem(api.post("/posts", {"title": "a" * 2**20}), 413, "body.too_large")
    assert stored(api) == []


# ------------------------------------------------------------------------------ the bulk guard


@pytest.mark.parametrize("url", ["/posts", "/posts/", "/posts?", "/posts/?&"])
@pytest.mark.parametrize("verb", ["PUT", "PATCH", "DELETE"])
def test_a_bulk_write_without_a_filter_is_403(
    make_declared: MakeDeclared, verb: str, url: str
) -> None:
    api = posts(make_declared, "a")
    body: Any = ... if verb == "DELETE" else {"title": "b"}
    assert_problem(api(verb, url, body), 403, "bulk.unfiltered")
    assert stored(api) == [{"title": "a", "number": 0}]


class FewResource(PostResource):
    bulk_update_limit = 2


class FewView(PostView):
    resource = FewResource


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "DELETE"])
def test_a_bulk_write_that_matches_too_much_changes_nothing(
    declared_api: MakeDeclared, verb: str
) -> None:
    api = declared_api(posts=FewView)
    api.database.posts.insert_many([{"title": "a", "number": number} for number in range(3)])
    before = stored(api)
    body: Any = ... if verb == "DELETE" else {"title": "b"}
    # NOTE: the second filter is true of everything that is there.
    for query in ("title=a", "no__exists=true", "title__not__in="):
        assert_problem(api(verb, f"/posts?{query}", body), 403, "bulk.too_many")
    assert stored(api) == before
    assert api(verb, "/posts?no__lt=2", body).json == {"count": 2}


def test_a_bulk_update_is_validated_as_an_update(make_declared: MakeDeclared) -> None:
    api = posts(make_declared, "a", "b")
    before = stored(api)
    for body, errors in (
        ({"title": "x" * 21}, {"title": ["Longer than maximum length 20."]}),
        ({"nope": 1}, {"nope": ["Unknown field."]}),
        ({"detail": {"pages": 1}}, {"detail": {"words": [REQUIRED]}}),
    ):
        problem = assert_problem(api.patch("/posts?no__lt=5", body), 400, "body.invalid")
        assert problem["field-errors"] == errors
    for name, value in (("views", 1), ("id", MISSING)):
        result = api.patch("/posts?no__lt=5", {name: value})
        assert list(assert_problem(result, 403, "policy.field")["field-errors"]) == [name]
    assert stored(api) == before
    assert api.patch("/posts?no__lt=5", {}).json == {"count": 2}
    assert stored(api) == before
    assert api.patch("/posts?no__lt=5", {"language": "en"}).json == {"count": 2}
    assert [one["meta"] for one in stored(api)] == [{"language": "en"}] * 2


@pytest.mark.parametrize("kind", ["live_declared", "standalone_declared"])
def test_a_bulk_update_is_all_or_nothing_where_there_are_transactions(
    request: pytest.FixtureRequest, kind: str
) -> None:
    api = posts(request.getfixturevalue(kind), "a", "b", "c")
    api.database.posts.create_index(
        "short_name", unique=True, partialFilterExpression={"short_name": {"$exists": True}}
    )
    result = api.patch("/posts?no__lt=5", {"short": "x"})
    assert_problem(result, 409, "document.duplicate")
    changed = [one for one in stored(api) if "short_name" in one]
    assert len(changed) == (0 if kind == "live_declared" else 1)


# ------------------------------------------------------------------------------- bulk creation


def test_what_is_wrong_with_one_of_several_documents_is_named_by_its_index(
    declared_api: MakeDeclared,
) -> None:
    api = posts(declared_api)
    good: dict[str, Any] = {"title": "a"}
    for bad, errors in (
        (
            {"titl": "b"},
            {"title": [REQUIRED], "titl": ["Unknown field."]},
        ),
        ({"title": 5}, {"title": ["Not a valid string."]}),
        (
            {"title": "b", "parts": [{"words": "x"}, {"words": 5}]},
            {"parts": {"1": {"words": ["Not a valid string."]}}},
        ),
    ):
        problem = assert_problem(api.post("/posts", [good, bad]), 400, "body.invalid")
        assert problem["field-errors"] == {"1": errors}
    for other in (5, None, "x", [good]):
        problem = assert_problem(api.post("/posts", [good, other]), 400, "body.wrong_type")
        assert set(problem["field-errors"]) == {"1"}
    assert_problem(api.post("/posts", []), 400, "body.wrong_type")
    assert stored(api) == []


def test_of_several_documents_with_a_duplicate_none_is_stored(live_declared: MakeDeclared) -> None:
    api = posts(live_declared)
    api.database.posts.create_index("title", unique=True)
    result = api.post("/posts", [{"title": title} for title in ("a", "b", "a", "c")])
    problem = assert_problem(result, 409, "document.duplicate")
    assert (problem["inserted"], problem["not_inserted"]) == ([], [0, 1, 2, 3])
    assert "index 2" in problem["detail"]
    assert stored(api) == []


@pytest.mark.parametrize("kind", ["standalone_declared", "make_declared"])
def test_without_transactions_the_error_says_which_were_stored(
    request: pytest.FixtureRequest, kind: str
) -> None:
    api = posts(request.getfixturevalue(kind))
    api.database.posts.create_index("title", unique=True)
    result = api.post("/posts", [{"title": title} for title in ("a", "b", "a", "c")])
    problem = assert_problem(result, 409, "document.duplicate")
    assert (problem["inserted"], problem["not_inserted"]) == ([0, 1], [2, 3])
    assert sorted(one["title"] for one in stored(api)) == ["a", "b"]


# -------------------------------------------------------------------------- update and replace


def whole(api: DeclaredApi) -> ObjectId:
    """Store a document with more in it than the schema knows."""
    id = ObjectId()
    api.database.posts.insert_one(
        {
            "_id": id,
            "title": "a",
            "short_name": "s",
            "number": 1,
            "detail": {"text": "hello", "n": 5, "hidden": True},
            "tags": ["x"],
            "views": 3,
            "meta": {"language": "en", "hidden": True},
            "secret": "kept",
        }
    )
    return id


def test_an_update_changes_only_the_fields_in_the_body(declared_api: MakeDeclared) -> None:
    api = posts(declared_api)
    id = whole(api)
    (before,) = stored(api)
    assert api.patch(f"/posts/{id}", {}).status_code == 200
    assert stored(api) == [before]
    assert api.patch(f"/posts/{id}", {"short": "t"}).json["short"] == "t"
    assert stored(api) == [{**before, "short_name": "t"}]
    assert api.patch(f"/posts/{id}", {"language": "de"}).json["language"] == "de"
    after = {**before, "short_name": "t", "meta": {"language": "de", "hidden": True}}
    assert stored(api) == [after]


def test_a_nested_object_is_replaced_and_validated_as_a_whole(declared_api: MakeDeclared) -> None:
    api = posts(declared_api)
    id = whole(api)
    (before,) = stored(api)
    for body, errors in (
        ({"detail": {"pages": 1}}, {"detail": {"words": [REQUIRED]}}),
        ({"detail": {}}, {"detail": {"words": [REQUIRED]}}),
        (
            {"parts": [{"words": "a"}, {"pages": 1}]},
            {"parts": {"1": {"words": [REQUIRED]}}},
        ),
        ({"detail": {"words": "a", "text": "b"}}, {"detail": {"text": ["Unknown field."]}}),
        ({"detail": None}, {"detail": ["Field may not be null."]}),
    ):
        problem = assert_problem(api.patch(f"/posts/{id}", body), 400, "body.invalid")
        assert problem["field-errors"] == errors
    assert stored(api) == [before]
    result = api.patch(f"/posts/{id}", {"detail": {"words": "bye"}})
    assert result.json["detail"] == {"words": "bye"}
    assert stored(api) == [{**before, "detail": {"text": "bye"}}]


def test_replace_takes_away_what_the_body_lacks_and_keeps_what_is_not_the_clients(
    declared_api: MakeDeclared,
) -> None:
    api = posts(declared_api)
    id = whole(api)
    result = api.put(f"/posts/{id}", {"title": "b", "language": "de"})
    assert result.json == {
        "id": str(id), "title": "b", "no": 7, "views": 3, "language": "de",
    }  # fmt: skip
    assert stored(api) == [
        {
            "title": "b",
            "number": 7,
            "views": 3,
            "meta": {"language": "de", "hidden": True},
            "secret": "kept",
        }
    ]
    assert api.put(f"/posts/{id}", {"title": "b"}).json.get("language") is None
    assert stored(api)[0]["meta"] == {"hidden": True}


def test_what_a_field_is_by_default_is_for_new_and_replaced_documents_only(
    make_declared: MakeDeclared,
) -> None:
    api = posts(make_declared)
    id = api.database.posts.insert_one({"title": "a"}).inserted_id
    assert "no" not in api.patch(f"/posts/{id}", {"title": "b"}).json
    assert api.patch("/posts?title=b", {"short": "s"}).json == {"count": 1}
    assert stored(api) == [{"title": "b", "short_name": "s"}]
    assert api.put(f"/posts/{id}", {"title": "c"}).json["no"] == 7


def test_a_request_is_one_command_where_nothing_is_overridden(
    make_database: Callable[..., Any], make_declared: MakeDeclared
) -> None:
    commands = Commands()
    database = make_database("mongod", event_listeners=[commands])
    api = make_declared(database=database, posts=PostView)
    shown = api.create("/posts", {"title": "a"})
    assert commands.names() == ["insert"]
    place = f"/posts/{shown['id']}"
    for method, url, body, command in (
        ("GET", "/posts", ..., "find"),
        ("GET", place, ..., "find"),
        ("PATCH", place, {"title": "b"}, "findAndModify"),
        ("PUT", place, {"title": "c"}, "findAndModify"),
        ("PATCH", place, {**shown, "title": "d"}, "findAndModify"),
        ("PUT", place, {**shown, "title": "e"}, "findAndModify"),
        ("DELETE", place, ..., "delete"),
    ):
        assert api(method, url, body).status_code in {200, 204}
        assert commands.names() == [command], (method, url, body)


def test_put_is_update_unless_replace_is_listed_and_patch_stays_update(
    make_declared: MakeDeclared,
) -> None:
    api = make_declared(
        updated=view_of(PostResource, methods.Update),
        replaced=view_of(PostResource, methods.Update, methods.Replace),
    )
    id = whole(api)
    for send, url in ((api.put, "updated"), (api.patch, "updated"), (api.patch, "replaced")):
        assert send(f"/{url}/{id}", {"no": 5}).json["tags"] == ["x"]
    problem = assert_problem(api.put(f"/replaced/{id}", {"no": 5}), 400, "body.invalid")
    assert problem["field-errors"] == {"title": [REQUIRED]}
    assert "tags" not in api.put(f"/replaced/{id}", {"title": "b"}).json


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_what_was_read_can_be_sent_back(declared_api: MakeDeclared, verb: str) -> None:
    api = posts(declared_api)
    id = whole(api)
    api.database.posts.update_one({"_id": id}, {"$unset": {"detail.hidden": ""}})
    (before,) = stored(api)
    shown = api.get(f"/posts/{id}").json
    assert shown["id"] == str(id)
    assert shown["views"] == 3
    result = api(verb, f"/posts/{id}", shown)
    assert (result.status_code, result.json) == (200, shown)
    assert stored(api) == [before]


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_what_can_not_be_written_is_refused_where_it_is_not_what_was_read(
    make_declared: MakeDeclared, verb: str
) -> None:
    api = posts(make_declared)
    id = whole(api)
    before = stored(api)
    for wrong in ({"id": MISSING}, {"id": None}, {"id": 5}, {"views": 4}, {"views": "3"}):
        result = api(verb, f"/posts/{id}", {"title": "b", **wrong})
        assert result.status_code == (400 if "id" in wrong else 403)
        assert set(result.json["field-errors"]) == set(wrong)
    assert stored(api) == before


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_an_id_that_clients_choose_can_be_sent_back_but_not_changed(
    declared_api: MakeDeclared, verb: str
) -> None:
    schema = schema_of(id=ma.String(attribute="_id"), name=ma.String())
    api = serve(declared_api, schema=schema)
    created = api.post("/things", {"id": "a b/ü", "name": "x"})
    assert created.headers["location"] == "/things/a%20b%2F%C3%BC"
    assert api.get("/things/a%20b%2F%C3%BC").json == {"id": "a b/ü", "name": "x"}
    assert api.get("/things/a%20b%2F%C3%BC/").json == {"id": "a b/ü", "name": "x"}
    assert_problem(api.post("/things", {"id": "a b/ü"}), 409, "document.duplicate")
    result = api(verb, "/things/a%20b%2F%C3%BC", {"id": "a b/ü", "name": "y"})
    assert (result.status_code, result.json) == (200, {"id": "a b/ü", "name": "y"})
    result = api(verb, "/things/a%20b%2F%C3%BC", {"id": "b", "name": "z"})
    assert result.status_code == 400
    assert result.json["field-errors"] == {"id": ["It is not that of the address."]}
    assert list(api.database.things.find()) == [{"_id": "a b/ü", "name": "y"}]


@pytest.mark.parametrize(
    ("field", "id", "segment"),
    [
        (ma.Integer(attribute="_id"), 5, "5"),
        (ma.UUID(attribute="_id"), "12345678-1234-5678-9234-567812345678", None),
        (ma.String(attribute="_id"), "5", "5"),
        (ma.String(attribute="_id"), MISSING, MISSING),
        (ma.Date(attribute="_id"), "2024-02-29", "2024-02-29"),
    ],
)
def test_an_id_is_of_the_type_that_the_schema_says(
    make_declared: MakeDeclared, field: Any, id: Any, segment: str | None
) -> None:
    api = serve(make_declared, schema=schema_of(id=field, name=ma.String()))
    created = api.post("/things", {"id": id, "name": "x"})
    assert created.json == {"id": id, "name": "x"}
    assert created.headers["location"] == f"/things/{segment or id}"
    assert api.get(created.headers["location"]).json == created.json
    assert api.patch(created.headers["location"], {"name": "y"}).json == {"id": id, "name": "y"}
    assert api.delete(created.headers["location"]).status_code == 204


# -------------------------------------------------------------------- names, and unknown fields


def test_the_api_name_is_the_name_everywhere(declared_api: MakeDeclared) -> None:
    api = posts(declared_api)
    body = {
        "title": "a",
        "short": "s",
        "no": 5,
        "published": True,
        "language": "en",
        "detail": {"words": "w", "pages": 3},
        "parts": [{"words": "v", "pages": 4}],
    }
    created = api.create("/posts", body)
    assert created == {"id": created["id"], **body}
    assert stored(api) == [
        {
            "title": "a",
            "short_name": "s",
            "number": 5,
            "is_published": True,
            "meta": {"language": "en"},
            "detail": {"text": "w", "n": 3},
            "parts": [{"text": "v", "n": 4}],
        }
    ]
    api.create("/posts", {"title": "b", "short": "r", "no": 6, "language": "de"})
    for query, titles in {
        "short=s": "a",
        "no__gt=5": "b",
        "published=true": "a",
        "detail__words=w": "a",
        "parts__pages__gte=4": "a",
        "language=de": "b",
        "_order_by=short": "ba",
        "_order_by=-no": "ba",
        "_order_by=language": "ba",
    }.items():
        assert [one["title"] for one in api.listed(f"/posts?{query}")] == list(titles), query
    assert api.listed("/posts?title=a&_fields=no,short,language,detail") == [
        {name: body[name] for name in ("short", "no", "detail", "language")}
    ]
    for name in ("number", "slug", "short_name", "is_published", "meta", "_id"):
        assert_problem(api.get(f"/posts?_fields={name}"), 400, "query.unknown_field")
        assert_problem(api.get(f"/posts?{name}=1"), 400, "query.unknown_parameter")
        assert_problem(api.get(f"/posts?_order_by={name}"), 400, "query.invalid_sort")
        problem = assert_problem(api.post("/posts", {"title": "c", name: 1}), 400, "body.invalid")
        assert problem["field-errors"] == {name: ["Unknown field."]}


@pytest.mark.parametrize(
    ("wrong", "errors"),
    [
        ({"nope": 1}, {"nope": ["Unknown field."]}),
        ({"no": "x"}, {"no": ["Not a valid integer."]}),
        ({"short": 5}, {"short": ["Not a valid string."]}),
        ({"published": "maybe"}, {"published": ["Not a valid boolean."]}),
        ({"language": {}}, {"language": ["Not a valid string."]}),
        (
            {"detail": {"words": 5, "x": 1}},
            {"detail": {"words": ["Not a valid string."], "x": ["Unknown field."]}},
        ),
        ({"tags": ["a", 5]}, {"tags": {"1": ["Not a valid string."]}}),
        (
            {"parts": [{"words": "a"}, {"words": "b", "pages": "c"}]},
            {"parts": {"1": {"pages": ["Not a valid integer."]}}},
        ),
        ({"parts": {}}, {"parts": ["Not a valid list."]}),
        ({"detail": []}, {"detail": {"_schema": ["Invalid input type."]}}),
        ({"title": {"$gt": ""}}, {"title": ["Not a valid string."]}),
        ({"$set": {"title": "b"}}, {"$set": ["Unknown field."]}),
        ({"detail.words": "b"}, {"detail.words": ["Unknown field."]}),
        ({"meta.language": "b"}, {"meta.language": ["Unknown field."]}),
        ({"no": "99999999999999999999"}, {"no": ["An integer may have 64 bits at the most."]}),
        (
            {"parts": [{"words": "a", "pages": "99999999999999999999"}]},
            {"parts": {"0": {"pages": ["An integer may have 64 bits at the most."]}}},
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_400_and_named_as_the_client_knows_it(
    make_declared: MakeDeclared, wrong: dict[str, Any], errors: dict[str, Any]
) -> None:
    api = posts(make_declared, "a")
    id = api.listed("/posts")[0]["id"]
    for result in (
        api.post("/posts", {"title": "b", **wrong}),
        api.patch(f"/posts/{id}", wrong),
        api.put(f"/posts/{id}", {"title": "b", **wrong}),
        api.patch("/posts?title=a", wrong),
    ):
        problem = assert_problem(result, 400, "body.invalid")
        assert problem["field-errors"] == errors
    assert stored(api) == [{"title": "a", "number": 0}]


FREE = schema_of(
    free=ma.Raw(attribute="f", data_key="anything"),
    some=ma.Dict(data_key="info"),
    each=ma.List(ma.Dict(), data_key="all"),
    typed=ma.Dict(keys=ma.String(), values=ma.Integer()),
    text=ma.String(),
)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"anything": {"$where": "1"}}, ["anything"]),
        ({"anything": {"$set": {"a": 1}}}, ["anything"]),
        ({"anything": [1, {"a": {"$gt": ""}}]}, ["anything", "1", "a"]),
        ({"anything": {"a.b": 1}}, ["anything"]),
        ({"anything": {"a\0b": 1}}, ["anything"]),
        ({"anything": {"": 1}}, ["anything"]),
        ({"anything": {"$oid": "x"}}, ["anything"]),
        ({"anything": {"$numberLong": "9223372036854775808"}}, ["anything"]),
        ({"info": {"$ne": None}}, ["info"]),
        ({"info": {"x": {"y.z": 1}}}, ["info", "x"]),
        ({"all": [{}, {"$x": 1}]}, ["all", "1"]),
        ({"typed": {"$x": 1}}, ["typed"]),
        ({"typed": {"a.b": 1}}, ["typed"]),
        ({"text": {"$oid": MISSING}}, ["text"]),
    ],
)
def test_keys_that_mongodb_would_read_as_operators_or_paths_are_400(
    make_declared: MakeDeclared, body: dict[str, Any], place: list[str]
) -> None:
    api = serve(make_declared, schema=FREE)
    id = api.database.things.insert_one({"f": 1}).inserted_id
    for result in (
        api.post("/things", body),
        api.patch(f"/things/{id}", body),
        api.put(f"/things/{id}", body),
    ):
        assert result.status_code == 400, result.text
        errors = result.json["field-errors"]
        for part in place:
            assert set(errors) == {part}
            errors = errors[part]
        assert isinstance(errors, list)
    assert list(api.database.things.find({}, {"_id": 0})) == [{"f": 1}]


def test_free_form_fields_hold_whatever_bson_has(declared_api: MakeDeclared) -> None:
    api = serve(declared_api, schema=FREE)
    body = {
        "anything": {
            "oid": {"$oid": MISSING},
            "when": {"$date": "2024-02-29T12:30:15.250Z"},
            "price": {"$numberDecimal": "1.10"},
            "nothing": None,
            "nested": [1, 2.5, "x", {"_id": True}],
            "key with spaces": "größe",
        },
        "info": {"a": {"b": [{}]}},
        "typed": {"a": 5},
    }
    created = api.post("/things", body)
    assert created.json == {"id": created.json["id"], **body}
    assert api.get(f"/things/{created.json['id']}").text == created.text
    assert api.put(f"/things/{created.json['id']}", created.json).text == created.text
    (document,) = api.database.things.find()
    assert document["f"]["oid"] == ObjectId(MISSING)
    assert document["f"]["price"] == Decimal128("1.10")
    assert document["f"]["when"] == dt.datetime(2024, 2, 29, 12, 30, 15, 250000)


# ------------------------------------------------------------------------------ types and BSON


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


ID = uuid.UUID("12345678-1234-5678-9234-567812345678")
MOMENT = dt.datetime(2024, 2, 29, 12, 30, 15, 250000)
SECOND = "2024-02-29T12:30:15"
DAY = dt.datetime(2024, 2, 29)
KEY = Binary(ID.bytes, 4)

#: By name: the field, what is sent, what is stored, its BSON type, and what is shown.
TYPES: dict[str, tuple[Any, Any, Any, str, Any]] = {
    "text": (ma.String(), "größe\n", "größe\n", "string", "größe\n"),
    "email": (ma.Email(), "a@b.cd", "a@b.cd", "string", "a@b.cd"),
    "integer": (ma.Integer(), 5, 5, "int", 5),
    "long": (ma.Integer(), 2**63 - 1, Int64(2**63 - 1), "long", 2**63 - 1),
    "real": (ma.Float(), 5, 5.0, "double", 5.0),
    "flag": (ma.Boolean(), False, False, "bool", False),
    "null": (ma.String(allow_none=True), None, None, "null", None),
    "date": (ma.Date(), "2024-02-29", dt.datetime(2024, 2, 29), "date", "2024-02-29"),
    "time": (ma.Time(), "12:30:15", "12:30:15", "string", "12:30:15"),
    "fine_time": (ma.Time(), "12:30:15.25", "12:30:15.250000", "string", "12:30:15.250000"),
    "duration": (ma.TimeDelta(), 90, 90.0, "double", 90.0),
    "minutes": (ma.TimeDelta(precision="minutes"), 1.5, 90.0, "double", 1.5),
    "uuid": (ma.UUID(), str(ID), Binary(ID.bytes, 4), "binData", str(ID)),
    "by_name": (ma.Enum(Color), "RED", "RED", "string", "RED"),
    "by_value": (ma.Enum(Color, by_value=True), "r", "r", "string", "r"),
    "exact": (ma.Decimal(as_string=True), "1.10", Decimal128("1.10"), "decimal", "1.10"),
    "decimal": (fields.Decimal128(), "1.10", Decimal128("1.10"), "decimal", "1.10"),
    "oid": (fields.ObjectId(), MISSING, ObjectId(MISSING), "objectId", MISSING),
    "reference": (fields.Reference("others"), MISSING, ObjectId(MISSING), "objectId", MISSING),
    "binary": (fields.Binary(), "aGk=", b"hi", "binData", "aGk="),
    "naive": (ma.DateTime(), f"{SECOND}.250", MOMENT, "date", f"{SECOND}.250000"),
    "truncated": (ma.DateTime(), f"{SECOND}.250999", MOMENT, "date", f"{SECOND}.250000"),
    "offset": (
        ma.DateTime(), "2024-02-29T14:30:15.250+02:00", MOMENT, "date", f"{SECOND}.250000",
    ),
    "only_naive": (ma.NaiveDateTime(), f"{SECOND}.250", MOMENT, "date", f"{SECOND}.250000"),
    "ancient": (
        ma.DateTime(), "0001-01-01T00:00:00", dt.datetime(1, 1, 1), "date", "0001-01-01T00:00:00",
    ),
    "ip": (ma.IP(), "192.0.2.1", "192.0.2.1", "string", "192.0.2.1"),
    "dates": (ma.List(ma.Date()), ["2024-02-29"], [DAY], "array", ["2024-02-29"]),
    "pair": (ma.Tuple((ma.Integer(), ma.UUID())), [5, str(ID)], [5, KEY], "array", [5, str(ID)]),
    "prices": (
        ma.Dict(values=ma.Decimal(as_string=True)),
        {"a": "1.10"}, {"a": Decimal128("1.10")}, "object", {"a": "1.10"},
    ),
    "nested": (
        ma.Nested(Schema.from_dict({"day": ma.Date()})),
        {"day": "2024-02-29"}, {"day": DAY}, "object", {"day": "2024-02-29"},
    ),
    "plain_nested": (
        ma.Nested(marshmallow.Schema.from_dict({"day": ma.Date(), "id": ma.UUID()})),
        {"day": "2024-02-29", "id": str(ID)}, {"day": DAY, "id": KEY}, "object",
        {"day": "2024-02-29", "id": str(ID)},
    ),
}  # fmt: skip
TYPED = schema_of(**{name: row[0] for name, row in TYPES.items()})
SENT = {name: row[1] for name, row in TYPES.items()}
STORED = {name: row[2] for name, row in TYPES.items()}
SHOWN = {name: row[4] for name, row in TYPES.items()}


def test_every_type_is_stored_as_bson_has_it_and_shown_as_it_was_sent(
    declared_api: MakeDeclared,
) -> None:
    api = serve(declared_api, schema=TYPED)
    created = api.post("/things", SENT)
    assert created.status_code == 201, created.text
    assert created.json == {"id": created.json["id"], **SHOWN}
    (document,) = api.database.things.find({}, {"_id": 0})
    assert document == STORED
    assert {name: type(value) for name, value in document.items()} == {
        name: type(value) for name, value in STORED.items()
    } or api.in_memory
    place = created.headers["location"]
    assert api.get(place).text == created.text
    for send in (api.patch, api.put):
        assert send(place, created.json).text == created.text
    assert next(api.database.things.find({}, {"_id": 0})) == STORED


def test_bson_types_are_those_of_the_contract(live_declared: MakeDeclared) -> None:
    api = serve(live_declared, schema=TYPED)
    api.create("/things", SENT)
    types = {name: {"$type": f"${name}"} for name in TYPES}
    (found,) = api.database.things.aggregate([{"$project": {"_id": 0, **types}}])
    assert found == {name: row[3] for name, row in TYPES.items()}


def test_a_decimal_that_is_shown_as_it_comes_keeps_its_value(declared_api: MakeDeclared) -> None:
    api = serve(declared_api, schema=schema_of(price=ma.Decimal(), prices=ma.List(ma.Decimal())))
    created = api.post("/things", {"price": "1.10", "prices": ["0.1", 2]})
    assert created.status_code == 201
    assert Decimal(str(created.json["price"])) == Decimal("1.10")
    assert [Decimal(str(one)) for one in created.json["prices"]] == [Decimal("0.1"), Decimal(2)]
    assert api.get(created.headers["location"]).text == created.text
    assert api.put(created.headers["location"], created.json).text == created.text
    assert next(api.database.things.find())["price"] == Decimal128("1.10")


def test_an_aware_datetime_names_the_moment_that_was_sent(declared_api: MakeDeclared) -> None:
    api = serve(declared_api, schema=schema_of(when=ma.AwareDateTime()))
    created = api.post("/things", {"when": "2024-02-29T14:30:15.250+02:00"})
    shown = dt.datetime.fromisoformat(created.json["when"])
    assert (
        shown if shown.tzinfo is None else shown.astimezone(dt.UTC).replace(tzinfo=None)
    ) == MOMENT
    assert next(api.database.things.find())["when"] == MOMENT
    assert api.get(created.headers["location"]).text == created.text


@pytest.mark.parametrize("kind", ["mongod", "mongomock"])
def test_a_client_that_gives_aware_datetimes_shows_the_same_after_create_as_after_get(
    make_database: Callable[..., Any], make_declared: MakeDeclared, kind: str
) -> None:
    database = make_database(kind, tz_aware=True)
    schema = schema_of(when=ma.DateTime(), day=ma.Date(), aware=ma.AwareDateTime(), free=ma.Raw())
    view = view_of(resource_of(schema=schema, filters={"when": [ops.Exact]}), *methods.ALL)
    api = make_declared(database=database, things=view)
    created = api.post(
        "/things",
        {
            "when": "2024-02-29T14:30:15.250+02:00",
            "day": "2024-02-29",
            "aware": "2024-02-29T12:00:00Z",
            "free": {"$date": "2024-02-29T12:00:00Z"},
        },
    )
    place = created.headers["location"]
    assert api.get(place).text == created.text
    assert api.patch(place, {}).text == created.text
    assert api.put(place, created.json).text == created.text
    assert api.listed("/things?when=2024-02-29T12:30:15.250") == [created.json]
    (many,) = api.post("/things", [{"when": "2024-02-29T14:30:15"}]).json["data"]
    assert api.get(f"/things/{many['id']}").json == many


def test_a_client_that_gives_uuids_shows_the_same_after_create_as_after_get(
    make_database: Callable[..., Any], make_declared: MakeDeclared
) -> None:
    database = make_database("mongod", uuidRepresentation="standard")
    schema = schema_of(key=ma.UUID(), free=ma.Raw())
    view = view_of(resource_of(schema=schema, filters={"key": [ops.Exact, ops.In]}), *methods.ALL)
    api = make_declared(database=database, things=view)
    body = {"key": str(ID), "free": {"$uuid": str(ID)}}
    created = api.post("/things", body)
    assert created.json["key"] == str(ID)
    assert api.get(created.headers["location"]).text == created.text
    assert api.listed(f"/things?key={ID}") == [created.json]
    assert api.put(created.headers["location"], created.json).text == created.text


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        (ma.Date(), "2024-02-30"),
        (ma.Date(), 5),
        (ma.Time(), "25:00"),
        (ma.DateTime(), "yesterday"),
        (ma.DateTime(), {"$date": "2024-02-29T12:30:15Z"}),
        (ma.DateTime(), "0001-01-01T00:00:00+05:00"),
        (ma.DateTime(), "9999-12-31T23:59:59-05:00"),
        (ma.AwareDateTime(), "2024-02-29T12:30:15"),
        (ma.NaiveDateTime(), "2024-02-29T12:30:15Z"),
        (ma.Decimal(), "x"),
        (ma.Decimal(), "NaN"),
        (ma.Decimal(), "1" * 35),
        (ma.Decimal(), "1e7000"),
        (fields.Decimal128(), "1" * 35),
        (ma.UUID(), "x"),
        (ma.TimeDelta(), "x"),
        (ma.TimeDelta(), 1e300),
        (ma.Enum(Color), "r"),
        (ma.Enum(Color, by_value=True), "RED"),
        (ma.Float(), "nan"),
        (ma.Float(), "1e400"),
        (ma.Integer(), "1" * 5000),
        (ma.Integer(), 2**63 - 0.5),
        (fields.ObjectId(), "x"),
        (fields.ObjectId(), {"$oid": MISSING}),
        (fields.ObjectId(), MISSING.replace("6", "६")),
        (fields.Reference("others"), {"_id": MISSING}),
        (fields.Binary(), "%"),
        (fields.Binary(), 5),
        (ma.List(ma.Date()), "2024-02-29"),
        (ma.String(), 5),
        (ma.String(), None),
        (ma.Boolean(), "maybe"),
        (ma.IP(), "1.2.3"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ma.Field) else repr(value)[:30],
)
def test_a_value_that_is_none_of_its_type_is_400_and_named(
    make_declared: MakeDeclared, field: Any, sent: Any
) -> None:
    api = serve(make_declared, schema=schema_of(value=field), rename_fields={"value": "given"})
    id = api.database.things.insert_one({}).inserted_id
    for result in (
        api.post("/things", {"given": sent}),
        api.patch(f"/things/{id}", {"given": sent}),
    ):
        problem = assert_problem(result, 400, "body.invalid")
        assert set(problem["field-errors"]) == {"given"}
    assert list(api.database.things.find({}, {"_id": 0})) == [{}]


#: Bodies that have the names of the schema, and values that may be anything.
ANYTHING = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
        st.sampled_from([*SENT.values(), "0001-01-01T00:00:00+01:00", "NaN", "1e400", 1e308]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.one_of(st.text(max_size=3), st.sampled_from(["$oid", "$date", "$set", "a.b", "id"])),
            inner,
            max_size=2,
        ),
    ),
    max_leaves=4,
)
BODIES = st.lists(
    st.one_of(
        st.sampled_from([*SENT.items()]),
        st.tuples(st.sampled_from([*TYPES, "free", "some"]), ANYTHING),
        st.tuples(st.sampled_from(["free", "some"]), ANYTHING),
        st.tuples(st.text(max_size=3), ANYTHING),
    ),
    max_size=3,
).map(dict)


class AnyResource(Resource):
    collection = "things"
    schema = type("AnySchema", (TYPED,), {"free": ma.Raw(allow_none=True), "some": ma.Dict()})


@given(BODIES)
@settings(deadline=None, max_examples=100)
def test_any_body_is_stored_and_shown_or_refused(body: dict[str, Any]) -> None:
    api = DeclaredApi(mongomock.MongoClient().db).register(
        things=view_of(AnyResource, *methods.ALL)
    )
    created = api.post("/things", body)
    if created.status_code != 201:
        # NOTE: the id is one that clients don't write.
        assert created.status_code in ({400, 403} if "id" in body else {400}), created.text
        assert list(api.database.things.find()) == []
        return
    bson.encode(api.database.things.find_one())
    place = created.headers["location"]
    assert api.get(place).text == created.text
    assert api.patch(place, created.json).text == created.text


class PartResource(Resource):
    """Embedded, and with API names of its own."""

    schema = DetailSchema
    rename_fields = {"pages": "leaves"}


class BookResource(Resource):
    collection = "books"
    schema = schema_of(detail=ma.Nested(DetailSchema), parts=ma.List(ma.Nested(DetailSchema)))
    related_resources = {"detail": PartResource, "parts": PartResource}
    rename_fields = {"parts": "chapters"}
    filters = {"chapters__leaves": [ops.Gte], "detail__words": [ops.Exact]}
    allowed_ordering = ["-detail__leaves"]


def test_the_names_of_an_embedded_resource_are_the_names_everywhere(
    declared_api: MakeDeclared,
) -> None:
    api = declared_api(books=view_of(BookResource, *methods.ALL))
    body = {
        "detail": {"words": "a", "leaves": 5},
        "chapters": [{"words": "b"}, {"words": "c", "leaves": 7}],
    }
    created = api.create("/books", body)
    assert created == {"id": created["id"], **body}
    assert next(api.database.books.find({}, {"_id": 0})) == {
        "detail": {"text": "a", "n": 5},
        "parts": [{"text": "b"}, {"text": "c", "n": 7}],
    }
    api.create("/books", {"detail": {"words": "d", "leaves": 6}})
    assert api.listed("/books?chapters__leaves__gte=7&_order_by=-detail__leaves") == [created]
    assert api.listed("/books?_order_by=-detail__leaves")[1] == created
    place = f"/books/{created['id']}"
    assert api.put(place, created).json == created
    for wrong, errors in (
        ({"detail": {"words": "a", "pages": 5}}, {"detail": {"pages": ["Unknown field."]}}),
        ({"detail": {"leaves": 5}}, {"detail": {"words": [REQUIRED]}}),
        (
            {"chapters": [{"words": "b"}, {"words": "c", "leaves": "9" * 20}]},
            {"chapters": {"1": {"leaves": ["An integer may have 64 bits at the most."]}}},
        ),
    ):
        for result in (api.patch(place, wrong), api.put(place, wrong), api.post("/books", wrong)):
            problem = assert_problem(result, 400, "body.invalid")
            assert problem["field-errors"] == errors
    for name in ("pages", "n"):
        assert_problem(api.get(f"/books?chapters__{name}__gte=7"), 400, "query.unknown_parameter")


def test_a_path_through_what_is_no_object_is_an_answer_and_not_a_failure(
    declared_api: MakeDeclared,
) -> None:
    api = posts(declared_api)
    id = api.database.posts.insert_one({"title": "a", "meta": "text"}).inserted_id
    assert "language" not in api.get(f"/posts/{id}").json
    result = api.patch(f"/posts/{id}", {"language": "en"})
    assert_problem(result, 422, "write.refused")
    assert next(api.database.posts.find())["meta"] == "text"


# ------------------------------------------------------------- _skip, _limit, _order_by, _fields


#: By query string: the numbers in the page, and whether more follow.
PAGES: dict[str, tuple[list[int], bool]] = {
    "": ([0, 1, 2, 3, 4], False),
    "_limit=5": ([0, 1, 2, 3, 4], False),
    "_limit=4": ([0, 1, 2, 3], True),
    "_skip=1&_limit=2": ([1, 2], True),
    "_skip=3&_limit=2": ([3, 4], False),
    "_skip=5": ([], False),
    "_skip=1000000": ([], False),
    "_skip=0": ([0, 1, 2, 3, 4], False),
    "_limit=0": ([], True),
    "_limit=0&_skip=4": ([], True),
    "_limit=0&_skip=5": ([], False),
    "_limit=100": ([0, 1, 2, 3, 4], False),
    "_limit=0&title=z": ([], False),
}


def test_a_page_has_what_was_asked_for_and_knows_if_more_follows(
    declared_api: MakeDeclared,
) -> None:
    api = posts(declared_api, *"abcde")
    for query, (expected, more) in PAGES.items():
        result = api.get(f"/posts?_order_by=no&{query}")
        assert [one["no"] for one in result.json["data"]] == expected, query
        assert result.json["has_more"] is more, query
        assert set(result.json) == {"data", "has_more"}
        link = result.headers.get("link", "")
        assert ('rel="next"' in link) == (more and bool(expected)), query
        skipped = "_skip" in query and "_skip=0" not in query and "_limit=0" not in query
        assert ('rel="prev"' in link) == ('rel="first"' in link) == skipped, query


@pytest.mark.parametrize(
    "query",
    [
        "_limit=-1", "_limit=x", "_limit=", "_limit=1.0", "_limit=101", "_limit=1&_limit=1",
        "_limit=99999999999999999999", "_limit=%2B1", "_limit=%D9%A3", "_skip=-1", "_skip=x",
        "_skip=", "_skip=1&_skip=2", "_skip=99999999999999999999", "_limit=true", "_limit",
    ],
)  # fmt: skip
def test_a_limit_out_of_bounds_is_400(make_declared: MakeDeclared, query: str) -> None:
    api = posts(make_declared, *"abc")
    result = api.client.simulate_get("/posts", query_string=query)
    assert result.status_code == 400
    assert result.json["parameter"] == query[:6].rstrip("=-")


@pytest.mark.parametrize("kind", ["make_declared", "live_declared"])
def test_the_largest_skip_finds_nothing(request: pytest.FixtureRequest, kind: str) -> None:
    api = posts(request.getfixturevalue(kind), *"abc")
    result = api.get(f"/posts?_skip={2**63 - 1}")
    assert result.status_code in {200, 400}
    assert result.json.get("data", []) == []


@pytest.mark.parametrize("kind", ["make_declared", "live_declared"])
@pytest.mark.parametrize("paginate", [True, False])
def test_without_a_largest_limit_any_number_is_taken(
    request: pytest.FixtureRequest, kind: str, paginate: bool
) -> None:
    make = request.getfixturevalue(kind)
    api = serve(make, schema=schema_of(n=ma.Integer()), max_limit=None, paginate=paginate)
    api.database.things.insert_many([{"n": n} for n in range(3)])
    for limit in (2**31 - 1, 2**31, 2**63 - 1):
        result = api.get(f"/things?_limit={limit}")
        assert result.status_code == 200, result.text
        assert len(result.json["data"]) == 3


@pytest.mark.parametrize(
    ("attributes", "shown", "largest"),
    [
        ({}, 100, 100),
        ({"default_limit": 2}, 2, 100),
        ({"max_limit": 2}, 2, 2),
        ({"default_limit": 5, "max_limit": 3}, 3, 3),
        ({"default_limit": 2, "max_limit": None}, 2, 10_000),
        ({"default_limit": None, "max_limit": 3}, 3, 3),
        ({"default_limit": None, "max_limit": None}, 150, 10_000),
        ({"get_max_limit": lambda self: 4}, 4, 4),
        ({"get_max_limit": lambda self: 120}, 100, 120),
    ],
)
def test_the_default_and_the_largest_limit_are_declared(
    make_declared: MakeDeclared, attributes: dict[str, Any], shown: int, largest: int
) -> None:
    api = serve(make_declared, schema=schema_of(n=ma.Integer()), **attributes)
    api.database.things.insert_many([{"n": n} for n in range(150)])
    first = api.get("/things")
    assert len(first.json["data"]) == shown
    assert first.json["has_more"] is (shown < 150)
    assert len(api.listed(f"/things?_limit={largest}")) == min(largest, 150)
    if largest < 10_000:
        problem = assert_problem(
            api.get(f"/things?_limit={largest + 1}"), 400, "query.invalid_limit"
        )
        assert problem["parameter"] == "_limit"


def test_the_link_leads_from_page_to_page(declared_api: MakeDeclared) -> None:
    api = posts(declared_api, "a&b", "a=ü", "a+ c", "a%20", "b")
    url: str | None = "/posts/?title__startswith=a&_order_by=-no&_limit=1&_fields=no,title"
    seen = []
    while url is not None:
        result = api.get(url)
        seen += result.json["data"]
        link = result.headers["link"]
        assert ('>; rel="next"' in link) == result.json["has_more"]
        url = link[1 : link.index(">")] if result.json["has_more"] else None
    assert [one["no"] for one in seen] == [3, 2, 1, 0]
    result = api.get("/posts?title__in=a%26b,a%3D%C3%BC&_limit=1&_order_by=no")
    following = api.get(result.headers["link"].partition(">")[0][1:])
    assert [one["title"] for one in following.json["data"]] == ["a=ü"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("title", "aabc"), ("-title", "cbaa"), ("no", "caba"), ("-no", "abac"),
    ],
)  # fmt: skip
def test_lists_are_ordered_as_allowed(
    make_declared: MakeDeclared, order: str, expected: str
) -> None:
    api = posts(make_declared, "c", "a", "b", "a")
    assert "".join(one["title"] for one in api.listed(f"/posts?_order_by={order}")) == expected


def test_several_orderings_are_taken_in_turn(declared_api: MakeDeclared) -> None:
    api = posts(declared_api, "c", "a", "b", "a")
    listed = api.listed("/posts?_order_by=title,-no")
    assert [(one["title"], one["no"]) for one in listed] == [("a", 3), ("a", 1), ("b", 2), ("c", 0)]


@pytest.mark.parametrize(
    "order",
    ["", "-", "nope", "-short", "title,", "title,title", "title,-title", "--title", "Title",
     "published", "detail", "$natural", "_id", "title;no", "+title"],
)  # fmt: skip
def test_an_ordering_that_is_not_allowed_is_400(make_declared: MakeDeclared, order: str) -> None:
    api = posts(make_declared, "a")
    problem = assert_problem(api.get(f"/posts?_order_by={order}"), 400, "query.invalid_sort")
    assert problem["parameter"] == "_order_by"


class Lines(Resource):
    """Has computed and optional fields."""

    collection = "things"
    schema = schema_of(name=ma.String(), body=ma.String(), size=ma.Integer(), hidden=ma.String())
    fields = ["size", "shout", "id", "name"]
    rename_fields = {"shout": "loud", "body": "text"}

    def get_optional_fields(self) -> list[str]:
        return ["body", "length"]

    def shout(self, document: dict[str, Any]) -> str:
        return str(document["name"]).upper()

    def length(self, document: dict[str, Any]) -> int:
        return len(document["body"])


#: By query string: what is shown beside the id, which is shown if nothing is named.
SELECTED = {
    "": ["name", "size", "loud"],
    "_fields=name": ["name"],
    "_fields=size,name": ["name", "size"],
    "_fields=name,name": ["name"],
    "_fields=loud": ["loud"],
    "_fields=text": ["text"],
    "_fields=length,name": ["name", "length"],
    "_fields=_all": ["name", "text", "size", "loud", "length"],
    "_fields=name,_all": ["name", "text", "size", "loud", "length"],
}


def test_fields_are_those_that_are_named_in_the_order_of_the_schema(
    declared_api: MakeDeclared,
) -> None:
    api = declared_api(things=view_of(Lines, *methods.ALL))
    document = {"name": "ab", "body": "xyz", "size": 5, "hidden": "h"}
    id = api.database.things.insert_one(document).inserted_id
    values = {"name": "ab", "loud": "AB", "text": "xyz", "size": 5, "length": 3}
    for query, expected in SELECTED.items():
        shown = {name: values[name] for name in expected}
        if "_fields" not in query or "_all" in query:
            shown = {"id": str(id), **shown}
        for found in (api.listed(f"/things?{query}")[0], api.get(f"/things/{id}?{query}").json):
            assert list(found.items()) == list(shown.items()), query


@pytest.mark.parametrize(
    "query",
    ["_fields=", "_fields=nope", "_fields=name,nope", "_fields=name,", "_fields=hidden",
     "_fields=body", "_fields=shout", "_fields=_id", "_fields=$where", "_fields=all,nope",
     "_fields=_all,nope", "_fields=serialize", "_fields=name&_fields=size"],
)  # fmt: skip
def test_a_field_that_is_not_there_is_400(make_declared: MakeDeclared, query: str) -> None:
    api = make_declared(things=view_of(Lines, *methods.ALL))
    id = api.database.things.insert_one({"name": "a", "body": "", "hidden": "h"}).inserted_id
    for url in ("/things", f"/things/{id}"):
        result = api.get(f"{url}?{query}")
        assert result.status_code == 400, result.text
        assert result.json["parameter"] == "_fields"


def test_computed_fields_are_read_only(make_declared: MakeDeclared) -> None:
    api = make_declared(things=view_of(Lines, *methods.ALL))
    id = api.create("/things", {"name": "a", "text": "b"})["id"]
    shown = api.get(f"/things/{id}").json
    assert api.patch(f"/things/{id}", {**shown, "name": "a"}).json == shown
    assert_problem(api.patch(f"/things/{id}", {"loud": "X"}), 403, "policy.field")
    assert_problem(api.post("/things", {"loud": "X"}), 403, "policy.field")
    # One that is shown only when it is named is unknown in a body.
    assert api.patch(f"/things/{id}", {"length": 5}).status_code == 400
    assert api.post("/things", {"length": 5}).status_code == 400


def test_an_optional_field_is_shown_only_when_it_is_named(make_declared: MakeDeclared) -> None:
    schema = schema_of(name=ma.String(), body=ma.String())
    api = serve(make_declared, schema=schema, get_optional_fields=lambda self: ["body"])
    created = api.create("/things", {"name": "a", "body": "b"})
    assert set(created) == {"id", "name"}
    assert set(api.listed("/things")[0]) == {"id", "name"}
    assert set(api.listed("/things?_fields=body")[0]) == {"body"}
    assert set(api.listed("/things?_fields=_all")[0]) == {"id", "name", "body"}


def test_a_load_only_field_is_taken_and_never_shown(declared_api: MakeDeclared) -> None:
    schema = schema_of(name=ma.String(), password=ma.String(load_only=True))
    api = serve(declared_api, schema=schema)
    created = api.create("/things", {"name": "a", "password": "secret"})
    assert set(created) == {"id", "name"}
    assert "password" not in api.get("/things?_fields=_all").json["data"][0]
    result = api.get("/things?_fields=password")
    assert "secret" not in result.text
    assert_problem(result, 403, "policy.field")
    for query in ("password=secret", "password__startswith=s", "_order_by=-password"):
        assert_problem(api.get(f"/things?{query}"), 403, "policy.field", naming="password")
    assert "password" not in api.get("/things?_fields=nope").text
    assert next(api.database.things.find())["password"] == "secret"
    place = f"/things/{created['id']}"
    assert api.patch(place, {"password": "other"}).json == created


# --------------------------------------------------------------------------- paginate = False


def test_without_pages_a_list_is_all_that_matches(declared_api: MakeDeclared) -> None:
    api = serve(
        declared_api,
        schema=schema_of(n=ma.Integer()),
        paginate=False,
        filters={"n": [ops.Lt]},
        allowed_ordering=["-n"],
    )
    assert api.get("/things").json == {"data": []}
    api.database.things.insert_many([{"n": n} for n in range(1200)])
    result = api.get("/things?_order_by=-n")
    assert set(result.json) == {"data"}
    assert [one["n"] for one in result.json["data"]] == [*range(1199, -1, -1)]
    assert "link" not in result.headers
    assert len(api.listed("/things?n__lt=700")) == 700
    assert len(api.listed("/things?_limit=3&_fields=n")) == 3
    assert api.get("/things?_limit=0").json == {"data": []}
    head = api("HEAD", "/things")
    assert (head.status_code, head.content) == (200, b"")


# --------------------------------------------------------------------------------------- views


class Reading(ResourceView):
    resource = PostResource
    methods = [methods.List, methods.Fetch]


class Titles(PostResource):
    fields = ["title"]
    filters = {}


class TitleView(ResourceView):
    resource = Titles
    methods = methods.READING


def test_a_resource_and_a_collection_can_have_several_views(make_declared: MakeDeclared) -> None:
    api = make_declared(posts=PostView, read=Reading, titles=TitleView)
    created = api.create("/posts", {"title": "a"})
    assert api.listed("/read") == api.listed("/posts") == [created]
    assert api.listed("/titles") == [{"title": "a"}]
    assert api.post("/read", {"title": "b"}).status_code == 405
    assert api.get(f"/read/{created['id']}").json == created
    assert_problem(api.get("/titles?title=a"), 400, "query.unknown_parameter")


class Known(AuthenticationBase):
    def authorized(self, req: falcon.Request) -> Any:
        return req.get_header("X-User")


class BaseView(ResourceView):
    """Has no methods and no resource of its own."""

    authentication_methods = [Known]


class ClosedView(BaseView):
    resource = PostResource
    methods = [methods.List, methods.Create]


class WiderView(ClosedView):
    methods = [*ClosedView.methods, methods.Fetch, methods.Delete]


class NarrowerView(WiderView):
    methods = [methods.Fetch]


def test_views_inherit_what_they_do_not_say(make_declared: MakeDeclared) -> None:
    api = make_declared(closed=ClosedView, wider=WiderView, narrower=NarrowerView)
    known = {"X-User": "ann"}
    id = api.post("/closed", {"title": "a"}, headers=known).json["id"]
    for url in ("/closed", "/wider", f"/wider/{id}", f"/narrower/{id}"):
        assert_problem(api.get(url), 401, "auth.required")
        assert api.get(url, headers=known).status_code == 200
    assert api.get(f"/closed/{id}", headers=known).status_code == 404
    assert api.get("/narrower", headers=known).status_code == 404
    assert api.delete(f"/narrower/{id}", headers=known).status_code == 405
    assert api.delete(f"/wider/{id}", headers=known).status_code == 204


def test_a_view_and_a_resource_serve_several_databases(make_declared: MakeDeclared) -> None:
    first, second = make_declared(posts=PostView), make_declared(posts=PostView)
    first.create("/posts", {"title": "a"})
    assert second.listed("/posts") == []


def test_two_databases_can_be_served_by_one_application(
    make_database: Callable[..., Any],
) -> None:
    app = falcon.App()
    databases = {name: make_database("mongomock") for name in ("a", "b")}
    for name, database in databases.items():
        FalcoRest(app, database).register(name="posts", url=f"/{name}/posts")(PostView)
    client = testing.TestClient(app)
    assert client.simulate_post("/a/posts", json={"title": "x"}).status_code == 201
    assert len(client.simulate_get("/a/posts").json["data"]) == 1
    assert client.simulate_get("/b/posts/").json["data"] == []


def test_the_views_of_the_host_stay_as_they_were(make_declared: MakeDeclared) -> None:
    api = posts(make_declared)

    class Hello:
        def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
            resp.media = {"query": req.params}

    api.app.add_route("/hello", Hello())
    result = api.get("/hello?title__nope=1&_limit=x", headers={"Accept": "text/html"})
    assert result.json == {"query": {"title__nope": "1", "_limit": "x"}}
    assert api.post("/hello").status_code == 405
    nothing = api.get("/nothing")
    assert nothing.status_code == 404
    assert nothing.headers["content-type"] == falcon.MEDIA_JSON


class CommentSchema(Schema):
    """A schema within itself."""

    text = ma.String()
    votes = ma.Integer()
    replies = ma.List(ma.Nested(lambda: CommentSchema()))


class ThreadSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String()
    comments = ma.List(ma.Nested(CommentSchema))


class ThreadResource(Resource):
    collection = "threads"
    schema = ThreadSchema
    filters = {"title": [ops.Exact], "comments.text": [ops.Exact]}


class ThreadView(ResourceView):
    resource = ThreadResource
    methods = methods.ALL


def test_a_schema_may_be_within_itself(make_declared: MakeDeclared) -> None:
    api = make_declared(threads=ThreadView)
    comments = [{"text": "a", "replies": [{"text": "b", "votes": 1, "replies": []}]}]
    api.create("/threads", {"title": "one", "comments": comments})
    (thread,) = api.listed("/threads?comments__text=a")
    assert thread["comments"] == comments
    changed = [{"text": "c", "replies": [{"text": "d", "replies": comments}]}]
    assert api.patch("/threads?title=one", {"comments": changed}).json == {"count": 1}
    assert api.listed("/threads")[0]["comments"] == changed
    refused = api.patch("/threads?title=one", {"comments": [{"replies": [{"votes": "many"}]}]})
    problem = assert_problem(refused, 400, "body.invalid")
    assert "comments.0.replies.0.votes" in problem["detail"]


class BranchSchema(Schema):
    name = ma.String()
    secret = ma.String(load_only=True)
    branches = ma.List(ma.Nested(lambda: BranchSchema()))


class TreeSchema(Schema):
    id = ma.String(attribute="_id")
    trunk = ma.Nested(lambda: BranchSchema(exclude=("secret",)))


class TreeView(ResourceView):
    resource = type("TreeResource", (Resource,), {"collection": "trees", "schema": TreeSchema})
    methods = methods.ALL


def test_what_is_hidden_within_itself_stays(make_declared: MakeDeclared) -> None:
    api = make_declared(trees=TreeView)
    hidden = {"name": "b", "secret": "x", "branches": []}
    api.create("/trees", {"id": "t", "trunk": {"name": "a", "branches": [hidden]}})
    shown = api.listed("/trees")[0]
    assert "secret" not in shown["trunk"]["branches"][0]
    shown["trunk"]["name"] = "z"
    assert api.patch("/trees/t", {"trunk": shown["trunk"]}).status_code == 200
    assert api.database.trees.find_one()["trunk"] == {"name": "z", "branches": [hidden]}
