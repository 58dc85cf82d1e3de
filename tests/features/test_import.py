"""Imports: NDJSON as the body of a POST to a collection, at both doors."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from bson import ObjectId
from falcon import testing
from marshmallow import fields as ma
from marshmallow import validate

from falcorest import Resource, ResourceView, Schema, fields, methods
from falcorest.auth import TokenIssuer
from falcorest.errors import Unavailable
from falcorest.imports import BATCH, BATCH_BYTES, LISTED
from falcorest.limits import Limits
from falcorest.lines import PIECE
from falcorest.service import CollectionService
from falcorest.settings import ResourceSettings
from falcorest.writing import Writer
from tests.conftest import MakeApi
from tests.declared import DeclaredApi, MakeDeclared
from tests.support import SECRET, Api, assert_problem
from tests.watching import MONITOR

pytestmark = pytest.mark.live

NDJSON = "application/x-ndjson"
MANY = 2 * BATCH + 100


def ndjson(documents: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in documents)


def send(
    api: Any, body: bytes | Iterable[Any], url: str = "/api/rockets", **kwargs: Any
) -> testing.Result:
    raw = body if isinstance(body, bytes) else ndjson(body)
    headers = {"Content-Type": NDJSON, **kwargs.pop("headers", {})}
    result: testing.Result = api("POST", url, raw=raw, headers=headers, **kwargs)
    return result


def figures(result: testing.Result) -> tuple[int, int]:
    """Return how many documents were stored, and how many refused."""
    assert result.status_code == 200, result.text
    assert result.headers["content-type"] == "application/json"
    return result.json["inserted"], result.json["refused"]


def refused(result: testing.Result) -> dict[int, str]:
    """Return the lines that were refused, and their codes."""
    return {one["line"]: one["code"] for one in result.json["errors"]}


def test_documents_are_stored(any_api: Api) -> None:
    oid = ObjectId()
    result = send(any_api, [{"_id": {"$oid": str(oid)}, "a": {"$numberLong": "5"}}, {"a": 2}])
    assert figures(result) == (2, 0)
    assert result.json == {"inserted": 2, "refused": 0, "errors": []}
    assert any_api.rockets.find_one({"_id": oid}) == {"_id": oid, "a": 5}
    assert isinstance(any_api.rockets.find_one({"a": 2})["_id"], ObjectId)


@pytest.mark.parametrize(
    "body",
    [b'{"a":1}\n{"a":2}', b'{"a":1}\r\n\r\n \n{"a":2}\r\n\n', b'\n\n{"a":1}\n{"a":2}\n'],
)
def test_ends_of_lines(any_api: Api, body: bytes) -> None:
    assert figures(send(any_api, body)) == (2, 0)


def test_many_documents_are_stored_in_batches(any_api: Api) -> None:
    with MONITOR.recording() as sent:
        result = send(any_api, [{"_id": number} for number in range(MANY)])
    assert figures(result) == (MANY, 0)
    assert any_api.rockets.count_documents({}) == MANY
    if not any_api.in_memory:
        assert sent == ["insert"] * 3


def test_what_is_refused_is_named_and_keeps_nothing_else_out(any_api: Api) -> None:
    any_api.rockets.insert_one({"_id": 1})
    body = b"".join(
        [
            b'{"_id":1}\n',
            b'{"_id":2}\n',
            b"\n",
            b'{"_id":2}\n',
            b"{broken\n",
            b'{"a":1,"a":2}\n',
            b'{"$set":{"a":1}}\n',
            b'{"a":{"$oid":"x"}}\n',
            b"[1]\n",
            b"5\n",
            b"\xff\n",
            b'{"_id":[1]}\n',
            b'{"_id":3}\n',
        ]
    )
    result = send(any_api, body)
    assert figures(result) == (2, 10)
    assert refused(result) == {
        1: "document.duplicate",
        4: "document.duplicate",
        5: "body.malformed",
        6: "body.duplicate_key",
        7: "body.invalid_key",
        8: "body.invalid_value",
        9: "body.wrong_type",
        10: "body.wrong_type",
        11: "body.malformed",
        12: "write.refused",
    }
    assert {one["_id"] for one in any_api.rockets.find()} == {1, 2, 3}
    first = result.json["errors"][0]
    assert first["status"] == 409
    assert first["field-errors"] == {"_id": ["Another document has this value."]}
    assert "type" not in first
    assert result.json["errors"][2]["detail"].startswith("The line is not JSON")
    assert result.json["errors"][5]["field-errors"] == {
        "a": ["The Extended JSON of $oid holds no value that it takes."]
    }


def test_nothing_that_could_be_stored(any_api: Api) -> None:
    any_api.rockets.insert_one({"_id": 1})
    result = send(any_api, [{"_id": 1}, 5])
    problem = assert_problem(result, 400, "import.refused")
    assert (problem["inserted"], problem["refused"]) == (0, 2)
    assert refused(result) == {1: "document.duplicate", 2: "body.wrong_type"}
    for empty in (b"", b"\n\r\n \n"):
        assert_problem(send(any_api, empty), 400, "body.malformed", naming="empty")


def test_errors_are_listed_up_to_a_bound(any_api: Api) -> None:
    body = b"{\n" * (LISTED + 50) + b'{"a":1}\n'
    result = send(any_api, body)
    assert figures(result) == (1, LISTED + 50)
    assert list(refused(result)) == list(range(1, LISTED + 1))


def test_an_error_doesnt_repeat_a_long_line(declared_api: MakeDeclared) -> None:
    api = declared_api(books=BookView)
    body = {f"unknown{number}": 1 for number in range(1000)}
    result = send(api, [body, {"title": "t", "isbn": "1"}], "/books")
    assert figures(result) == (1, 1)
    assert result.json["errors"][0].keys() == {"line", "status", "code", "detail"}


# --------------------------------------------------------------------------------------- bounds


def test_a_line_that_is_too_long(make_api: MakeApi, any_uri: str) -> None:
    api = make_api(any_uri, max_line_bytes=19)
    long = b'{"a":"%b"}\n' % (b"x" * 3 * PIECE)
    fits = b'{"a":"12345678901"}\n'
    assert len(fits) == 20
    result = send(
        api, fits.replace(b'1"', b'12"') + long + fits + long + b'{"a":"123456789012345"}'
    )
    assert figures(result) == (1, 4)
    assert refused(result) == dict.fromkeys((1, 2, 4, 5), "body.too_large")


def test_lines_longer_than_a_piece(any_api: Api) -> None:
    texts = ["x" * size for size in (PIECE - 10, PIECE, 2 * PIECE, 5)]
    assert figures(send(any_api, [{"_id": n, "a": text} for n, text in enumerate(texts)])) == (4, 0)
    assert [one["a"] for one in any_api.rockets.find().sort("_id")] == texts


def test_the_size_of_the_whole_is_bound_by_itself(make_api: MakeApi, any_uri: str) -> None:
    api = make_api(any_uri, max_body_bytes=30, max_import_bytes=100)
    assert figures(send(api, b'{"a":1}\n' * 12)) == (12, 0)
    assert_problem(send(api, b'{"a":1}\n' * 13), 413, "body.too_large", naming="100")
    assert api.rockets.count_documents({}) == 12


def test_a_batch_has_only_so_many_bytes(any_api: Api) -> None:
    eighth = {"a": "x" * (BATCH_BYTES // 8 - 10)}
    with MONITOR.recording() as sent:
        assert figures(send(any_api, [eighth] * 16)) == (16, 0)
    if not any_api.in_memory:
        assert sent == ["insert"] * 2


@pytest.mark.long
def test_a_document_that_mongodb_finds_too_large(make_api: MakeApi, any_uri: str) -> None:
    api = make_api(any_uri, max_line_bytes=20_000_000)
    numbers = {"a": [1] * 2_200_000}
    result = send(api, [{"_id": 1}, numbers, {"_id": 2}, {"_id": 1}])
    assert figures(result) == (2, 2)
    assert refused(result) == {2: "body.too_large", 4: "document.duplicate"}


def environ(api: Api, stream: Any, **more: Any) -> dict[str, Any]:
    found = testing.create_environ("/api/rockets", method="POST")
    found |= {"wsgi.input": stream, "wsgi.input_terminated": True, "CONTENT_TYPE": NDJSON, **more}
    found["HTTP_AUTHORIZATION"] = f"Bearer {api.token}"
    return found


class Stream:
    """A body that comes in pieces, and then fails or ends."""

    def __init__(self, pieces: Iterable[bytes], error: Exception | None = None) -> None:
        self._pieces = iter(pieces)
        self._error = error

    def read(self, size: int = -1) -> bytes:
        piece = next(self._pieces, b"")
        if not piece and self._error is not None:
            raise self._error
        assert size < 0 or len(piece) <= size
        return piece


@pytest.mark.parametrize("with_length", [False, True])
def test_a_body_that_breaks_off(
    any_api: Api, caplog: pytest.LogCaptureFixture, with_length: bool
) -> None:
    pieces = [b'{"_id":1}\n{"_id":', b'2}\n{"_id":1}\n{"_id":3', b'}\n{"_id":4}']
    broken = None if with_length else ValueError("invalid chunk")
    if with_length:
        pieces = [b"".join(pieces)]
    length = {"CONTENT_LENGTH": "1000"} if with_length else {}
    given = environ(any_api, Stream(pieces, broken), **length)
    with caplog.at_level(logging.WARNING, "falcorest"):
        body = b"".join(any_api.app(given, lambda status, headers: None))
    problem = json.loads(body)
    assert problem["code"] == "body.malformed"
    assert (problem["inserted"], problem["refused"], problem["done"]) == (3, 1, 4)
    assert [one["line"] for one in problem["errors"]] == [3]
    assert "The first 4 lines were dealt with." in problem["detail"]
    assert {one["_id"] for one in any_api.rockets.find()} == {1, 2, 3}
    fields = caplog.records[-1].fields  # type: ignore[attr-defined]
    assert (fields["inserted"], fields["refused"], fields["done"]) == (3, 1, 4)


def test_a_chunked_body_that_grows_too_large(make_api: MakeApi, any_uri: str) -> None:
    api = make_api(any_uri, max_import_bytes=25)
    given = environ(api, Stream([b'{"_id":1}\n', b'{"_id":2}\n', b'{"_id":3}\n'[:6]]))
    problem = json.loads(b"".join(api.app(given, lambda status, headers: None)))
    assert problem["status"] == 413
    assert (problem["inserted"], problem["done"]) == (2, 2)


def test_a_database_that_fails_under_way(
    any_api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    insert_each = CollectionService.insert_each

    def fail(self: CollectionService, documents: list[Any]) -> Any:
        if documents[0]["_id"] >= BATCH:
            raise Unavailable("write.outcome_unknown", "It may have happened.")
        return insert_each(self, documents)

    monkeypatch.setattr(CollectionService, "insert_each", fail)
    result = send(any_api, [{"_id": number} for number in range(MANY)])
    problem = assert_problem(result, 503, "write.outcome_unknown")
    assert (problem["inserted"], problem["done"]) == (BATCH, BATCH)
    assert any_api.rockets.count_documents({}) == BATCH


# -------------------------------------------------------------------------------- what is refused


def test_other_bodies_name_what_is_read(api: Api) -> None:
    result = api("POST", "/api/rockets", raw=b"a,b", headers={"Content-Type": "text/csv"})
    assert_problem(result, 415, "body.unsupported_type")
    assert result.headers["accept"] == f"application/json, {NDJSON}"
    for method, url in (("PATCH", "/api/rockets/a"), ("PUT", "/api/rockets/a")):
        result = api(method, url, raw=b"{}\n", headers={"Content-Type": NDJSON})
        assert_problem(result, 415, "body.unsupported_type")
        assert NDJSON not in result.headers["accept"]
    result = send(api, [{"a": 1}], headers={"Content-Encoding": "gzip"})
    assert_problem(result, 415, "body.unsupported_type")
    assert api.rockets.count_documents({}) == 0


def test_who_may_import(any_api: Api) -> None:
    assert_problem(send(any_api, [{"a": 1}], token=None), 401, "auth.required")
    assert_problem(
        send(any_api, [{"a": 1}], url="/api/rockets?a=1"), 400, "query.unknown_parameter"
    )
    result = send(any_api, [{"a": 1}], headers={"Accept": NDJSON})
    assert_problem(result, 406, "accept.unsupported")
    assert any_api.rockets.count_documents({}) == 0


# ----------------------------------------------------------------------------------- the policy

RULES = {
    "hidden": ["cost", "supplier.contact"],
    "readonly": ["approved"],
    "write": ["editor"],
    "rows": {"editor": {"country": "France"}},
    "owner": "by",
}


def test_the_policy_holds_for_each_line(make_api: MakeApi, any_uri: str) -> None:
    api = make_api(any_uri, resources={"rockets": ResourceSettings(rules=RULES)})
    api.rockets.create_index("cost", unique=True)
    api.rockets.insert_one({"_id": "unseen", "country": "USA", "cost": 1})
    ada = TokenIssuer(SECRET).issue("ada", ["editor"])
    french = {"country": "France"}
    body = [
        {"_id": 1, **french},
        {"_id": 2, **french, "cost": 5},
        {"_id": 3, **french, "supplier": {"contact": 1}},
        {"_id": 4, **french, "approved": True},
        {"_id": 5, "country": "USA"},
        {"_id": 6, **french, "by": "bob"},
        {"_id": "unseen", **french},
        {"_id": 8, **french, "by": "ada"},
    ]
    result = send(api, body, token=ada)
    codes = refused(result)
    assert [codes.pop(line) for line in (2, 3, 4)] == ["policy.field"] * 3
    assert [codes.pop(line) for line in (5, 6)] == ["policy.row"] * 2
    # NOTE: none of them has a cost, which may be there once, and isn't named.
    assert set(codes.values()) == {"document.duplicate"}
    assert "cost" not in json.dumps([one for one in result.json["errors"] if one["line"] > 4])
    (stored,) = api.rockets.find({"_id": {"$ne": "unseen"}})
    assert stored == {"_id": stored["_id"], "by": "ada", "country": "France"}
    assert api.rockets.find_one({"_id": "unseen"})["country"] == "USA"
    bob = TokenIssuer(SECRET).issue("bob", ["reader"])
    assert_problem(send(api, body, token=bob), 403, "permission.denied")
    assert_problem(send(api, body, token=None), 401, "auth.required")


# -------------------------------------------------------------------------------- declared views


class ChapterSchema(Schema):
    heading = ma.String(required=True)


class BookSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True, validate=validate.Length(max=5))
    isbn = ma.String(attribute="number")
    chapters = ma.List(ma.Nested(ChapterSchema))
    stamp = ma.String(dump_only=True)


class BookResource(Resource):
    collection = "books"
    schema = BookSchema


class BookView(ResourceView):
    resource = BookResource
    methods = methods.ALL


class CreateOnlyView(ResourceView):
    resource = BookResource
    methods = [methods.Create, methods.List]


class BulkOnlyView(ResourceView):
    resource = BookResource
    methods = [methods.BulkCreate]
    limits = Limits(max_line_bytes=100)


def books(api: DeclaredApi) -> list[Any]:
    return sorted(one["title"] for one in api.database.books.find())


def test_declared_documents_are_validated(declared_api: MakeDeclared) -> None:
    api = declared_api(books=BookView)
    api.database.books.create_index("number", unique=True)
    result = send(
        api,
        [
            {"title": "a", "isbn": "1"},
            {"title": "too long", "isbn": "2"},
            {"isbn": "3"},
            {"title": "d", "isbn": "4", "chapters": [{"heading": "x"}, {}]},
            {"title": "e", "isbn": "1"},
            {"title": "f", "isbn": "5", "stamp": "s"},
            {"title": "g", "isbn": "6", "unknown": 1},
            {"title": "h", "isbn": "7"},
        ],
        "/books",
    )
    assert figures(result) == (2, 6)
    errors = {one["line"]: one for one in result.json["errors"]}
    assert refused(result) == {
        2: "body.invalid",
        3: "body.invalid",
        4: "body.invalid",
        5: "document.duplicate",
        6: "policy.field",
        7: "body.invalid",
    }
    assert errors[4]["field-errors"]["chapters"].keys() == {"1"}
    assert errors[3]["detail"].startswith("The line doesn't fit: title:")
    if not api.in_memory:
        assert errors[5]["field-errors"].keys() == {"isbn"}
    assert books(api) == ["a", "h"]


def test_only_where_many_may_be_created(make_declared: MakeDeclared) -> None:
    api = make_declared(one=CreateOnlyView, many=BulkOnlyView)
    result = send(api, [{"title": "a"}], "/one")
    assert_problem(result, 415, "body.unsupported_type")
    assert result.headers["accept"] == "application/json"
    assert figures(send(api, [{"title": "a"}], "/many")) == (1, 0)
    result = send(api, [{"title": "a"}, {"title": "x" * 100}], "/many")
    assert refused(result) == {2: "body.too_large"}


def test_permissions_and_hooks_are_asked_for_each(declared_api: MakeDeclared) -> None:
    class HookedResource(BookResource):
        def has_add_permission(self, req: Any, document: Any) -> bool:
            assert self.view_method is methods.BulkCreate
            return bool(document["title"] != "no")

        def validate_request(self, data: Any, document: Any = None) -> Any:
            return {**super().validate_request(data, document), "stamp": "s"}

    class HookedView(ResourceView):
        resource = HookedResource
        methods = methods.ALL
        authentication_methods = ()

    class Caller(HookedView):
        def has_add_permission(self, req: Any, document: Any) -> bool:
            req.context.user = "somebody"
            return bool(document["title"] != "never")

    api = declared_api(books=Caller, anonymous=HookedView)
    result = send(api, [{"title": title} for title in ("a", "no", "b", "never")], "/books")
    assert figures(result) == (2, 2)
    assert set(refused(result)) == {2, 4}
    assert books(api) == ["a", "b"]
    assert {one["stamp"] for one in api.database.books.find()} == {"s"}
    # NOTE: a login might help, so there is no use in going on without one.
    result = send(api, [{"title": "c"}, {"title": "no"}, {"title": "d"}], "/anonymous")
    problem = assert_problem(result, 401, "auth.required")
    assert problem["inserted"] == problem["done"] == 0
    assert books(api) == ["a", "b"]


def test_an_own_way_to_create_gets_one_after_the_other(declared_api: MakeDeclared) -> None:
    class OwnResource(BookResource):
        def create_object(self, data: Any) -> Any:
            if data["title"] == "bad":
                self.service.insert({"_id": made[0]["_id"]})
            made.append(super().create_object(data))
            return made[-1]

    class OwnView(ResourceView):
        resource = OwnResource
        methods = methods.ALL

    made: list[Any] = []
    api = declared_api(books=OwnView)
    result = send(api, [{"title": "a"}, {"title": "bad"}, {"title": "c"}], "/books")
    assert figures(result) == (2, 1)
    assert refused(result) == {2: "document.duplicate"}
    assert [one["title"] for one in made] == ["a", "c"]
    assert books(api) == ["a", "c"]


def test_objects_in_the_place_of_references(declared_api: MakeDeclared) -> None:
    class WriterSchema(Schema):
        id = fields.ObjectId(attribute="_id", dump_only=True)
        name = ma.String(required=True)

    class WriterResource(Resource):
        collection = "writers"
        schema = WriterSchema

    class NovelSchema(Schema):
        title = ma.String()
        writer = fields.Reference("writers")

    class NovelResource(Resource):
        collection = "novels"
        schema = NovelSchema
        related_resources = {"writer": WriterResource}
        save_related_fields = ["writer"]

    class NovelView(ResourceView):
        resource = NovelResource
        methods = methods.ALL

    api = declared_api(novels=NovelView)
    body = [{"title": "a", "writer": {"name": "Ada"}}, {"title": "b", "writer": {}}, {"title": "c"}]
    result = send(api, body, "/novels")
    assert figures(result) == (2, 1)
    assert refused(result) == {2: "body.invalid"}
    assert [one["name"] for one in api.database.writers.find()] == ["Ada"]
    assert api.database.novels.count_documents({}) == 2


def test_a_hook_that_breaks_ends_the_import(
    declared_api: MakeDeclared, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = declared_api(books=BookView)
    create_each: Callable[..., Any] = Writer.create_each

    def broken(self: Writer, bodies: list[Any]) -> Any:
        raise RuntimeError

    assert create_each is not None
    monkeypatch.setattr(Writer, "create_each", broken)
    assert send(api, [{"title": "a"}], "/books").status_code == 500
