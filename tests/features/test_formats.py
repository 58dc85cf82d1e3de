"""Formats: what ``Accept`` chooses, lists as NDJSON and CSV, and plain JSON, at both doors."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from falcon import testing
from marshmallow import fields as ma
from marshmallow import post_dump

from falcorest import Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from falcorest.errors import Unavailable
from falcorest.limits import Limits
from falcorest.settings import ResourceSettings
from falcorest.streams import BATCH, DocumentStream
from tests.conftest import MakeApi
from tests.declared import DeclaredApi, MakeDeclared
from tests.support import Api, assert_problem

pytestmark = pytest.mark.live

NDJSON = "application/x-ndjson"
CSV = "text/csv"
CSV_SENT = "text/csv; charset=utf-8; header=present"
OID = ObjectId("6195b0eb829a2784b4459a7f")
MANY = BATCH + 100


class DetailSchema(Schema):
    text = ma.String(data_key="words")
    pages = ma.Integer(attribute="n")


class AuthorSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String()


class AuthorResource(Resource):
    collection = "people"
    schema = AuthorSchema


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String()
    author = fields.Reference("people")
    detail = ma.Nested(DetailSchema)
    parts = ma.List(ma.Nested(DetailSchema))
    price = ma.Decimal()
    secret = ma.String(load_only=True)


class PostResource(Resource):
    collection = "posts"
    schema = PostSchema
    related_resources = {"author": AuthorResource}
    rename_fields = {"title": "name"}
    fields = ["id", "title", "author", "detail", "parts", "price", "length"]
    filters = {"name": [ops.Exact]}
    allowed_ordering = ["name"]

    def length(self, document: Any) -> int:
        return len(document.get("title") or "")


class PostView(ResourceView):
    resource = PostResource
    methods = methods.ALL


class AllPostsView(ResourceView):
    resource = type("AllPostsResource", (PostResource,), {"paginate": False})
    methods = methods.ALL


def lines(result: testing.Result) -> list[Any]:
    """Return the documents of an NDJSON answer."""
    assert result.status_code == 200, result.text
    assert result.headers["content-type"] == NDJSON
    assert not result.content or result.content.endswith(b"\n")
    return [json.loads(line) for line in result.content.decode().split("\n")[:-1]]


def table(result: testing.Result) -> list[list[str]]:
    """Return the rows of a CSV answer, the first with the names."""
    assert result.status_code == 200, result.text
    assert result.headers["content-type"] == CSV_SENT
    text = result.content.decode()
    assert text.endswith("\r\n")
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert len({len(row) for row in rows}) == 1
    return rows


def ask(api: Any, url: str, accept: str, **kwargs: Any) -> testing.Result:
    result: testing.Result = api.get(url, headers={"Accept": accept}, **kwargs)
    return result


# ------------------------------------------------------------------------------- what is chosen


@pytest.mark.parametrize(
    ("accept", "served"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        (NDJSON, NDJSON),
        ("Application/X-NDJSON", NDJSON),
        (f"application/json;q=0.5, {NDJSON}", NDJSON),
        (f"{NDJSON};q=0.5, application/json", "application/json"),
        (f"application/json;q=0, {NDJSON};q=0, */*", CSV_SENT),
        (CSV, CSV_SENT),
        ("text/*", CSV_SENT),
        ("text/csv; header=present", CSV_SENT),
        ("text/csv; charset=UTF-8", CSV_SENT),
        ("text/csv, application/json;q=0.9", CSV_SENT),
    ],
)
def test_a_list_is_what_accept_likes_best(api: Api, accept: str, served: str) -> None:
    result = ask(api, "/api/rockets", accept)
    assert result.status_code == 200
    assert result.headers["content-type"] == served
    assert result.headers["vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    "accept",
    ["text/html", "application/json;q=0", "text/csv;header=absent", "application/json;q=x", "a"],
)
def test_a_list_that_nobody_takes(api: Api, accept: str) -> None:
    result = ask(api, "/api/rockets", accept)
    problem = assert_problem(result, 406, "accept.unsupported")
    for served in ("application/json", NDJSON, CSV):
        assert served in problem["detail"]
    assert result.headers["vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "/api/rockets/a"),
        ("POST", "/api/rockets"),
        ("PATCH", "/api/rockets/a"),
        ("DELETE", "/api/rockets?a=1"),
    ],
)
@pytest.mark.parametrize("accept", [NDJSON, CSV])
def test_all_else_is_json(api: Api, method: str, url: str, accept: str) -> None:
    result = api(method, url, {}, headers={"Accept": accept})
    problem = assert_problem(result, 406, "accept.unsupported")
    assert NDJSON not in problem["detail"]
    assert result.headers["vary"] == "Accept-Encoding"
    assert api.rockets.count_documents({}) == 0


def test_errors_are_problems_whatever_is_accepted(any_api: Api) -> None:
    for accept in (NDJSON, CSV):
        assert_problem(
            ask(any_api, "/api/rockets?a=x[int].y", accept), 400, "query.unknown_operator"
        )


# --------------------------------------------------------------------------------------- NDJSON


def test_a_list_as_ndjson(any_api: Api) -> None:
    any_api.rockets.insert_many([{"_id": OID, "a": "x\ny"}, {"_id": 2, "b": None}])
    result = ask(any_api, "/api/rockets", NDJSON)
    assert lines(result) == [{"_id": {"$oid": str(OID)}, "a": "x\ny"}, {"_id": 2, "b": None}]
    assert lines(ask(any_api, "/api/rockets?_id=[int].2&_projection=_id", NDJSON)) == [{"_id": 2}]
    assert lines(ask(any_api, "/api/rockets?_id=[int].3", NDJSON)) == []


def test_a_long_list_as_ndjson_is_streamed(any_api: Api) -> None:
    any_api.rockets.insert_many([{"_id": number} for number in range(MANY)])
    result = ask(any_api, "/api/rockets?_sort=(_id:ascending)", NDJSON)
    assert "content-length" not in result.headers
    assert lines(result) == [{"_id": number} for number in range(MANY)]
    head = any_api("HEAD", "/api/rockets", headers={"Accept": NDJSON})
    assert head.headers["content-type"] == NDJSON
    assert not head.content


def test_a_page_as_ndjson(make_api: MakeApi, any_uri: str) -> None:
    api = make_api(any_uri, max_limit=2)
    api.rockets.insert_many([{"_id": number} for number in range(3)])
    result = ask(api, "/api/rockets", NDJSON)
    assert lines(result) == [{"_id": 0}, {"_id": 1}]
    assert 'rel="next"' in result.headers["link"]


def test_declared_lists_as_ndjson(declared_api: MakeDeclared) -> None:
    api = declared_api(posts=PostView, all=AllPostsView)
    api.database.posts.insert_many([{"title": f"{number:03}"} for number in range(MANY)])
    page = ask(api, "/posts?_limit=2&_fields=name&_order_by=name", NDJSON)
    assert lines(page) == [{"name": "000"}, {"name": "001"}]
    assert 'rel="next"' in page.headers["link"]
    every = lines(ask(api, "/all?_fields=name,length&_order_by=name", NDJSON))
    assert every == [{"name": f"{number:03}", "length": 3} for number in range(MANY)]


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Have streams break after their first batch."""

    def batches(self: DocumentStream) -> Any:
        yield self.first
        raise error

    monkeypatch.setattr(DocumentStream, "batches", batches)


def consumed(app: Any, url: str, accept: str) -> tuple[bytes, Exception | None]:
    """Return what comes of an answer, and what it is broken off by."""
    environ = testing.create_environ(url, headers={"Accept": accept})
    body = b""
    try:
        for piece in app(environ, lambda status, headers: None):
            body += piece
    except Exception as error:
        return body, error
    return body, None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unavailable("query.timeout", "It took too long."), "query.timeout"),
        (RuntimeError("secret"), "server.error"),
    ],
)
def test_a_list_that_breaks_off(
    any_api: Api,
    declared_beside: MakeDeclared,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    code: str,
) -> None:
    documents = [{"_id": number, "title": "x"} for number in range(MANY)]
    any_api.rockets.insert_many(documents)
    declared = declared_beside(posts=AllPostsView)
    declared.database.posts.insert_many([{"title": "x"} for _ in documents])
    failing(monkeypatch, error)
    for app, url in ((any_api.app, "/api/rockets"), (declared.app, "/posts")):
        with caplog.at_level(logging.ERROR, "falcorest"):
            body, raised = consumed(app, url, NDJSON)
        assert raised is None
        *sent, last = body.decode().splitlines()
        assert len(sent) == BATCH
        problem = json.loads(last)["error"]
        assert problem["code"] == code
        assert {"type", "title", "status", "detail"} < problem.keys()
        assert "secret" not in last
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        caplog.clear()

        body, raised = consumed(app, url, CSV)
        assert raised is error
        assert body.endswith(f'"The list broke off: {code}\r\n'.encode())
        with pytest.raises(csv.Error):
            list(csv.reader(io.StringIO(body.decode(), newline=""), strict=True))
        caplog.clear()


# ------------------------------------------------------------------------------------------ CSV

#: What stands in a cell for a value.
CELLS: dict[str, tuple[Any, str]] = {
    "text": ("Merlin", "Merlin"),
    "comma": ("a,b", '"a,b"'),
    "quote": ('a"b', '"a""b"'),
    "line": ("a\r\nb", '"a\r\nb"'),
    "unicode": ("Ö日", "Ö日"),
    "spaces": (" a ", " a "),
    "formula": ("=1+2", "=1+2"),
    "empty": ("", '""'),
    "null": (None, ""),
    "true": (True, "true"),
    "false": (False, "false"),
    "int": (5, "5"),
    "long": (Int64(2**62), str(2**62)),
    "double": (0.1, "0.1"),
    "large": (1e22, "1e+22"),
    "nan": (math.nan, "NaN"),
    "infinity": (-math.inf, "-Infinity"),
    "oid": (OID, str(OID)),
    "decimal": (Decimal128("1.50"), "1.50"),
    "date": (datetime(2021, 11, 1, 12, tzinfo=UTC), "2021-11-01T12:00:00Z"),
    "instant": (datetime(1969, 1, 1, 0, 0, 0, 5000, tzinfo=UTC), "1969-01-01T00:00:00.005Z"),
    "far": (DatetimeMS(2**60), '"{""$date"":{""$numberLong"":""' + str(2**60) + '""}}"'),
    "binary": (b"\x00\x01", "AAE="),
    "uuid": (Binary(uuid.UUID(int=5).bytes, 4), str(uuid.UUID(int=5))),
    "object": ({"a": OID}, '"{""a"":{""$oid"":""' + str(OID) + '""}}"'),
    "nothing": ({}, "{}"),
    "list": ([1, "a"], '"[1,""a""]"'),
    "min": (MinKey(), '"{""$minKey"":1}"'),
}


@pytest.mark.parametrize("name", CELLS)
def test_what_stands_in_a_cell(make_api: MakeApi, name: str) -> None:
    value, cell = CELLS[name]
    api = make_api("mongomock://")
    api.rockets.insert_one({"_id": 1, "v": value, "z": 0})
    assert ask(api, "/api/rockets", CSV).content.decode() == f"_id,v,z\r\n1,{cell},0\r\n"


def test_every_cell_from_mongodb(any_api: Api) -> None:
    any_api.rockets.insert_one({"_id": 1, **{name: value for name, (value, _) in CELLS.items()}})
    names = sorted(CELLS)
    cells = [CELLS[name][1] for name in names]
    expected = f"{','.join(['_id', *names])}\r\n{','.join(['1', *cells])}\r\n"
    assert ask(any_api, "/api/rockets", CSV).content.decode() == expected


def test_columns_are_the_names_of_what_is_listed(any_api: Api) -> None:
    any_api.rockets.insert_many([{"b": 1, "_id": 1}, {"a,b": 2, "_id": 2}, {"_id": 3, "c": 1}])
    rows = table(ask(any_api, "/api/rockets?_id=lt[int].3&_sort=(_id:ascending)", CSV))
    assert rows == [["_id", "a,b", "b"], ["1", "", "1"], ["2", "2", ""]]
    assert table(ask(any_api, "/api/rockets?_id=[int].9", CSV)) == [["_id"]]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["_id", "even", "n", "odd"]),
        ("?n=lt[int].600", ["_id", "even", "n", "odd"]),
        ("?even=exists[bool].true", ["_id", "even", "n"]),
        ("?_limit=600&_sort=(odd:ascending)", ["_id", "even", "n"]),
        ("?_skip=600&_sort=(odd:ascending)", ["_id", "n", "odd"]),
        ("?_limit=550&_skip=50&_sort=(odd:ascending)", ["_id", "even", "n"]),
    ],
)
def test_columns_of_a_stream_are_found_before(any_api: Api, query: str, names: list[str]) -> None:
    any_api.rockets.insert_many(
        [
            {"_id": number, "n": number, ("odd" if number % 2 else "even"): number}
            for number in range(1200)
        ]
    )
    rows = table(ask(any_api, f"/api/rockets{query}", CSV))
    assert rows[0] == names
    assert len(rows) > BATCH + 1
    for row in rows[1:]:
        found = dict(zip(rows[0], row, strict=True))
        assert found["odd" if int(found["n"]) % 2 else "even"] == found["n"]


def test_a_projection_names_the_columns(any_api: Api) -> None:
    any_api.rockets.insert_many(
        [
            {"_id": 1, "b": {"c": 1, "d": [2]}, "a": "x", "e": [{"f": 1}, {"f": 2}, 3]},
            {"_id": 2, "b": 5},
        ]
    )
    url = "/api/rockets?_sort=(_id:ascending)&_projection="
    assert table(ask(any_api, f"{url}b.d,a,none,b.c", CSV)) == [
        ["_id", "b.d", "a", "none", "b.c"],
        ["1", "[2]", "x", "", "1"],
        ["2", "", "", "", ""],
    ]
    assert table(ask(any_api, f"{url}a,_id", CSV))[0] == ["_id", "a"]
    assert table(ask(any_api, f"{url}e.f", CSV))[1] == ["1", "[1,2]"]


def test_a_table_with_one_column_has_no_empty_lines(declared_api: MakeDeclared) -> None:
    api = declared_api(posts=PostView)
    api.database.posts.insert_many([{"title": "a"}, {"title": None}, {}])
    assert ask(api, "/posts?_fields=name", CSV).content == b'name\r\na\r\n""\r\n""\r\n'


def test_too_many_columns(make_api: MakeApi, any_uri: str) -> None:
    api = make_api(any_uri, max_list_values=5)
    api.rockets.insert_many([{f"f{number % 5}": 1} for number in range(MANY)])
    result = ask(api, "/api/rockets", CSV)
    assert_problem(result, 400, "query.too_complex", parameter="_projection")
    assert_problem(ask(api, "/api/rockets?_limit=5", CSV), 400, "query.too_complex")
    assert len(table(ask(api, "/api/rockets?_limit=4", CSV))[0]) == 5
    assert len(table(ask(api, "/api/rockets?f4=exists[bool].false", CSV))[0]) == 5


def test_a_declared_table(declared_api: MakeDeclared) -> None:
    api = declared_api(posts=PostView)
    api.database.people.insert_one({"_id": OID, "name": "Ada"})
    stored = {"title": "t", "author": OID, "detail": {"text": "w", "n": 3}, "secret": "s"}
    api.database.posts.insert_many(
        [
            {"_id": OID, **stored, "parts": [{"n": 1}], "price": Decimal128("1.50")},
            {"title": "u", "detail": None, "parts": []},
        ]
    )
    rows = table(ask(api, "/posts?_order_by=name", CSV))
    names = ["id", "name", "author", "detail.words", "detail.pages", "parts", "price", "length"]
    assert rows[0] == names
    author = f'{{"id":"{OID}","name":"Ada"}}'
    assert rows[1] == [str(OID), "t", author, "w", "3", '[{"pages":1}]', "1.50", "1"]
    assert rows[2][1:] == ["u", "", "", "", "[]", "", "1"]
    assert table(ask(api, "/posts?_fields=detail,name&_order_by=name", CSV))[0] == [
        *("name", "detail.words", "detail.pages")
    ]
    assert table(ask(api, "/posts?name=none", CSV)) == [names]


def test_a_declared_table_is_streamed(declared_api: MakeDeclared) -> None:
    api = declared_api(posts=AllPostsView)
    api.database.posts.insert_many([{"title": f"{number:03}"} for number in range(MANY)])
    result = ask(api, "/posts?_fields=name,length&_order_by=name", CSV)
    assert "content-length" not in result.headers
    assert table(result)[1:] == [[f"{number:03}", "3"] for number in range(MANY)]


def test_embedded_resources_and_recursion_in_a_table(make_declared: MakeDeclared) -> None:
    class NodeSchema(Schema):
        name = ma.String()
        child = ma.Nested(lambda: NodeSchema())

    class NodeResource(Resource):
        schema = NodeSchema
        rename_fields = {"name": "label"}

    class PluckSchema(Schema):
        a = ma.Integer()

    class AddingSchema(Schema):
        a = ma.Integer()

        @post_dump
        def add(self, data: Any, **kwargs: Any) -> Any:
            return {**data, "more": 1}

    class TreeSchema(Schema):
        root = ma.Nested(NodeSchema)
        shown = ma.Nested(NodeSchema)
        plucked = ma.Pluck(PluckSchema, "a")
        adding = ma.Nested(AddingSchema)

    class TreeResource(Resource):
        collection = "trees"
        schema = TreeSchema
        related_resources = {"shown": NodeResource}

    class TreeView(ResourceView):
        resource = TreeResource
        methods = methods.ALL

    api = make_declared(trees=TreeView)
    tree = {"name": "a", "child": {"name": "b", "child": None}}
    api.database.trees.insert_one(
        {"root": tree, "shown": tree, "plucked": {"a": 1}, "adding": {"a": 2}}
    )
    names, values = table(ask(api, "/trees", CSV))
    shown = dict(zip(names, values, strict=True))
    assert shown["root.name"] == shown["shown.label"] == "a"
    assert json.loads(shown["root.child"])["name"] == "b"
    assert shown["plucked"] == "1"
    assert json.loads(shown["adding"]) == {"a": 2, "more": 1}


def test_what_hooks_show_in_a_table(declared_api: MakeDeclared) -> None:
    class HookedResource(PostResource):
        def serialize(self, document: Any) -> Any:
            shown = super().serialize(document)
            return {**shown, "detail": "gone", "zeal": 1, "extra": document["_id"]}

    class HookedView(ResourceView):
        resource = HookedResource
        methods = methods.ALL

    class BareResource(Resource):
        collection = "posts"
        paginate = False

        def serialize(self, document: Any) -> Any:
            return {"name": document["title"]}

    class BareView(ResourceView):
        resource = BareResource
        methods = methods.ALL

    api = declared_api(hooked=HookedView, bare=BareView)
    api.database.posts.insert_many([{"title": "t", "detail": {"n": 1}} for _ in range(MANY)])
    rows = table(ask(api, "/hooked?_fields=name,detail&_limit=1", CSV))
    assert rows[0] == ["name", "detail", "extra", "zeal"]
    assert rows[1][:2] == ["t", "gone"]
    assert table(ask(api, "/bare", CSV)) == [["name"], *[["t"]] * MANY]


def test_kinds_of_documents_in_a_table(declared_api: MakeDeclared) -> None:
    class CatSchema(Schema):
        kind = ma.String(attribute="_cls")
        name = ma.String()
        lives = ma.Integer()

    class DogSchema(Schema):
        name = ma.String()
        tricks = ma.List(ma.String())

    class CatResource(Resource):
        schema = CatSchema

    class DogResource(Resource):
        schema = DogSchema

    class AnimalResource(Resource):
        collection = "animals"
        child_document_resources = {"cat": CatResource, "dog": DogResource}
        type_field = "_cls"

    class AnimalView(ResourceView):
        resource = AnimalResource
        methods = methods.ALL

    api = declared_api(animals=AnimalView)
    api.database.animals.insert_many(
        [{"_cls": "cat", "name": "a", "lives": 9}, {"_cls": "dog", "name": "b", "tricks": []}]
    )
    assert table(ask(api, "/animals", CSV)) == [
        ["kind", "name", "lives", "tricks"],
        ["cat", "a", "9", ""],
        ["", "b", "", "[]"],
    ]


# ----------------------------------------------------------------------------------- the policy

RULES = {
    "hidden": ["cost", "supplier.contact", "only_hidden.x"],
    "rows": {"public": {"public": True}},
}


@pytest.fixture
def guarded(make_api: MakeApi, any_uri: str) -> Callable[[int], Api]:
    """Make an API with hidden fields and row rules, and many documents."""

    def make(count: int) -> Api:
        api = make_api(any_uri, resources={"rockets": ResourceSettings(rules=RULES)})
        api.rockets.insert_many(
            [
                {
                    "_id": number,
                    "cost": number,
                    "supplier": {"name": "ACME", "contact": "secret"},
                    "only_hidden": {"x": 1},
                    "public": True,
                }
                for number in range(count)
            ]
        )
        api.rockets.insert_one({"_id": "unseen", "private": 1, "cost": 1, "public": False})
        return api

    return make


@pytest.mark.parametrize("count", [3, MANY])
def test_formats_show_nothing_that_is_hidden(guarded: Callable[[int], Api], count: int) -> None:
    api = guarded(count)
    result = ask(api, "/api/rockets", NDJSON, token=None)
    assert len(lines(result)) == count
    assert lines(result)[0].keys() == {"_id", "supplier", "only_hidden", "public"}
    rows = table(tabled := ask(api, "/api/rockets", CSV, token=None))
    assert rows[0] == ["_id", "only_hidden", "public", "supplier"]
    assert rows[1] == ["0", "{}", "true", '{"name":"ACME"}']
    assert len(rows) == count + 1
    for one in (result, tabled):
        for hidden in ("cost", "contact", "secret", "private", "unseen"):
            assert hidden not in one.text
    for name in ("cost", "supplier.contact"):
        for accept in (NDJSON, CSV):
            refused = ask(api, f"/api/rockets?_projection={name}", accept, token=None)
            assert_problem(refused, 403, "policy.field")
    rows = table(ask(api, "/api/rockets?_projection=supplier", CSV, token=None))
    assert rows[:2] == [["_id", "supplier"], ["0", '{"name":"ACME"}']]


def test_hidden_names_are_no_columns_that_count(make_api: MakeApi, any_uri: str) -> None:
    hidden = [f"h{number}" for number in range(10)]
    rules = ResourceSettings(rules={"hidden": hidden})
    api = make_api(any_uri, resources={"rockets": rules}, max_list_values=2)
    api.rockets.insert_many([{"a": 1, **dict.fromkeys(hidden, 1)} for _ in range(MANY)])
    assert table(ask(api, "/api/rockets", CSV))[0] == ["_id", "a"]


# ----------------------------------------------------------------------------------- plain JSON

PLAIN: dict[str, tuple[Any, Any]] = {
    "oid": (OID, str(OID)),
    "date": (datetime(2021, 11, 1, 12, tzinfo=UTC), "2021-11-01T12:00:00Z"),
    "early": (datetime(1900, 1, 1, tzinfo=UTC), "1900-01-01T00:00:00Z"),
    "instant": (datetime(2021, 1, 1, 0, 0, 0, 5000, tzinfo=UTC), "2021-01-01T00:00:00.005Z"),
    "far": (DatetimeMS(2**60), {"$date": {"$numberLong": str(2**60)}}),
    "decimal": (Decimal128("1.50"), "1.50"),
    "long": (Int64(2**62), 2**62),
    "binary": (b"\x00\x01", "AAE="),
    "user_defined": (Binary(b"\x00", 128), "AA=="),
    "uuid": (Binary(uuid.UUID(int=5).bytes, 4), str(uuid.UUID(int=5))),
    "nan": (math.nan, None),
    "infinity": ([math.inf], [None]),
    "regex": (Regex("a", "i"), {"$regularExpression": {"pattern": "a", "options": "i"}}),
    "timestamp": (Timestamp(5, 1), {"$timestamp": {"t": 5, "i": 1}}),
    "nested": ({"a": [OID]}, {"a": [str(OID)]}),
}


@pytest.fixture
def plain_api(make_api: MakeApi, any_uri: str) -> Api:
    return make_api(any_uri, json="plain")


def test_plain_json(plain_api: Api) -> None:
    stored = {"_id": OID, **{name: value for name, (value, _) in PLAIN.items()}}
    plain_api.rockets.insert_one(stored)
    shown = {"_id": str(OID), **{name: shown for name, (_, shown) in PLAIN.items()}}
    assert plain_api.get(f"/api/rockets/{OID}").json == shown
    assert plain_api.get("/api/rockets").json == [shown]
    assert lines(ask(plain_api, "/api/rockets", NDJSON)) == [shown]
    names, values = table(ask(plain_api, "/api/rockets?_projection=nested,oid", CSV))
    assert values == [str(OID), f'{{"a":["{OID}"]}}', str(OID)]
    assert names == ["_id", "nested", "oid"]


def test_plain_json_of_what_was_created(plain_api: Api) -> None:
    created = plain_api("POST", "/api/rockets", {"a": 1})
    assert ObjectId.is_valid(created.json["_id"])
    assert created.headers["location"].endswith(created.json["_id"])
    many = plain_api("POST", "/api/rockets", [{"a": 1}, {"_id": {"$oid": str(OID)}}])
    assert many.json[1] == {"_id": str(OID)}
    put = plain_api("PUT", "/api/rockets/6195b0eb829a2784b4459a80", {"a": 1})
    assert put.json == {"_id": "6195b0eb829a2784b4459a80"}


def test_a_plain_id_in_a_body_is_a_text(plain_api: Api) -> None:
    plain_api("POST", "/api/rockets", {"_id": 1, "other": str(OID)})
    assert plain_api.rockets.find_one({"_id": 1})["other"] == str(OID)


def test_plain_json_of_a_declared_view_without_a_schema(declared_api: MakeDeclared) -> None:
    class ThingView(ResourceView):
        resource = type("ThingResource", (Resource,), {"collection": "things"})
        methods = methods.ALL
        limits = Limits(max_list_values=5)
        plain_json = True

    api: DeclaredApi = declared_api(things=ThingView)
    api.database.things.insert_one({"_id": OID})
    assert api.get("/things").json == [{"_id": str(OID)}]
    assert lines(ask(api, "/things", NDJSON)) == [{"_id": str(OID)}]
