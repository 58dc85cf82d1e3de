"""What a query may cost: the limits over HTTP, time, patterns, and indexes that are required."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from marshmallow import fields as ma
from pymongo import MongoClient

from falcorest import Resource, ResourceView, Schema, methods, planning
from falcorest import operators as ops
from falcorest.catalog import Served
from falcorest.database import Transactions
from falcorest.errors import ConfigurationError, Unavailable
from falcorest.limits import Limits
from falcorest.policy import Policy
from falcorest.query import Query
from falcorest.server import build_app, open_database
from falcorest.service import CollectionService
from falcorest.settings import Settings
from falcorest.streams import BATCH
from tests.conftest import MakeApi
from tests.declared import MakeDeclared
from tests.support import SECRET, Api, assert_problem
from tests.watching import Commands, snapshot

CATASTROPHIC = "(a+)+$"


def pattern(text: str) -> str:
    return f"/api/rockets?name=regex[str].{quote(text, safe='')}"


# --------------------------------------------------------------------------------- the limits


@pytest.mark.parametrize(
    ("setting", "url", "code", "parameter"),
    [
        ("max_query_bytes", "?a=xxxxx", "query.too_long", None),
        ("max_parameters", "?a=1&b=1&c=1&d=1&e=1&f=1", "query.too_complex", None),
        ("max_conditions", "?or=(a.eq[int].1,a.eq[int].2,a.in[list-int].[1,2,3,4,5,6])&b=1&c=1&d=1",
         "query.too_complex", "c"),
        ("max_list_values", "?a=in[list-int].[1,2,3,4,5,6]", "query.too_complex", "a"),
        ("max_value_characters", "?a=123456", "query.too_long", "a"),
        ("max_pattern_characters", "?a=regex[str].123456", "query.too_long", "a"),
        ("max_skip", "?_skip=6", "query.invalid_skip", "_skip"),
        ("max_sort_fields", "?_sort=" + ",".join(f"({one}:ascending)" for one in "abcdef"),
         "query.invalid_sort", "_sort"),
        ("max_group_depth", "?or=" + "(or" * 5 + "(a.eq[int].1)" + ")" * 5,
         "query.too_complex", "or"),
    ],
)  # fmt: skip
def test_a_setting_bounds_the_query_string(
    make_api: MakeApi, setting: str, url: str, code: str, parameter: str | None
) -> None:
    api = make_api("mongomock://", regex=True, **{setting: 5})
    for method in ("GET", "DELETE") if parameter not in {"_skip", "_sort"} else ("GET",):
        problem = assert_problem(api(method, f"/api/rockets{url}"), 400, code, naming="5")
        assert problem.get("parameter") == parameter


def test_settings_bound_the_body(make_api: MakeApi) -> None:
    api = make_api("mongomock://", max_body_bytes=20, max_body_depth=2)
    assert api("POST", "/api/rockets", {"a": [1]}).status_code == 201
    assert_problem(api("POST", "/api/rockets", {"a": [[1]]}), 400, "body.too_deep", naming="2")
    assert_problem(api("POST", "/api/rockets", {"a": "x" * 20}), 413, "body.too_large", naming="20")


class ThingSchema(Schema):
    text = ma.String()
    number = ma.Integer()


class ThingResource(Resource):
    collection = "things"
    schema = ThingSchema
    filters = {"text": [ops.Exact, ops.Contains], "number": [ops.Gt]}
    allowed_ordering = ["number", "text"]


def test_a_declared_view_has_limits_of_its_own(make_declared: MakeDeclared) -> None:
    class ThingView(ResourceView):
        resource = ThingResource
        methods = methods.ALL
        limits = Limits(max_skip=5, max_body_bytes=30, max_body_depth=1)

    api = make_declared(things=ThingView)
    assert api.get("/things?_skip=5").status_code == 200
    assert api.get("/things?_skip=6").json["code"] == "query.invalid_skip"
    assert api.post("/things", {"text": "a"}).status_code == 201
    assert api.post("/things", {"text": "a" * 30}).json["code"] == "body.too_large"
    assert api.post("/things", {"text": ["a"]}).json["code"] == "body.too_deep"


# ----------------------------------------------------------------------------------- patterns


@pytest.mark.live
def test_a_catastrophic_pattern_ends_in_time_on_mongodb(make_api: MakeApi, mongo_uri: str) -> None:
    """MongoDB gives up on each text, and the time limit bounds all of them together."""
    api = make_api(mongo_uri, regex=True, timeout_ms=500)
    api.rockets.insert_one({"name": "a" * 100_000 + "!"})
    assert api.get(pattern(CATASTROPHIC)).status_code in {200, 400}
    api.rockets.insert_many([{"name": "a" * 30 + "!"} for _ in range(2000)])
    started = time.monotonic()
    problem = api.get(pattern(CATASTROPHIC))
    assert time.monotonic() - started < 4
    assert_problem(problem, 503, "query.timeout")
    assert api.get("/api/rockets?_limit=1").status_code == 200


def test_a_catastrophic_pattern_is_not_begun_in_memory(make_api: MakeApi) -> None:
    api = make_api("mongomock://", regex=True)
    api.rockets.insert_many([{"name": "a" * 5000 + "!"}, {"name": "b"}])
    started = time.monotonic()
    assert_problem(api.get(pattern(CATASTROPHIC)), 501, "database.unsupported")
    assert_problem(api.get(pattern("a*a*a*[^a!]")), 501, "database.unsupported")
    assert time.monotonic() - started < 2
    assert len(api.get(pattern("^a.*!$")).json) == 1


# ------------------------------------------------------------------------------------- streams


@pytest.fixture(scope="module")
def many(mongo_uri: str) -> Iterator[Any]:
    """A database with so many documents that MongoDB works on them for a while."""
    with MongoClient[Any](mongo_uri) as client:
        database = client["costs_of_streams"]
        database.seed.insert_one({})
        stages: list[dict[str, Any]] = [
            {"$set": {"n": {"$range": [0, 20_000]}}},
            {"$unwind": "$n"},
            {"$project": {"_id": "$n"}},
            {"$out": "rocket_engines"},
        ]
        database.seed.aggregate(stages)
        yield database
        client.drop_database(database.name)


LABORIOUS = {f"nothing{number}": {"$ne": "x"} for number in range(50)}


def service_of(database: Any) -> CollectionService:
    return CollectionService(database, "rocket_engines", Policy(), Transactions(database))


@pytest.mark.live
def test_a_stream_that_takes_too_long_breaks_off(many: Any) -> None:
    query = Query(LABORIOUS)
    service = service_of(many)
    started = time.monotonic()
    assert sum(1 for _ in service.stream(query)) == 20_000
    limit = (time.monotonic() - started) * 1000 / 6
    code = ""
    while not code:
        # NOTE: the machine may have had other things to do while the time was taken.
        service.stream_limit_ms = max(1, int(limit))
        limit /= 2
        assert limit > 0.5
        sizes = []
        try:
            for batch in service.stream(query).batches():
                sizes.append(len(batch))
        except Unavailable as error:
            code = error.code
    assert code == "query.timeout"
    assert sizes[0] == BATCH


@pytest.mark.live
def test_the_time_of_a_stream_is_a_setting(many: Any, mongo_uri: str) -> None:
    settings = Settings(
        mongodb_uri=mongo_uri,
        database=many.name,
        jwt_secret_key=SECRET,
        stream_timeout_ms=123_456,
    )
    database = open_database(settings)
    commands = Commands()
    try:
        client: Any = MongoClient(mongo_uri, event_listeners=[commands])
        with client:
            served = [Served("rockets", "rocket_engines")]
            api = Api(build_app(settings, client[many.name], served), database, settings)
            assert len(api.get("/api/rockets").json) == 20_000
        finds = [one for one in commands.sent if one["name"] == "find"]
        assert [one.get("maxTimeMS") for one in finds] == [None, 123_456]
        assert not any("maxTimeMS" in one for one in commands.sent if one["name"] == "getMore")
    finally:
        database.client.close()


# ------------------------------------------------------------------------------------- indexes


@pytest.fixture
def indexed_api(make_api: MakeApi, mongo_uri: str, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr(planning, "VERDICT_SECONDS", -1.0)
    api = make_api(mongo_uri, require_index=True)
    api.rockets.insert_many([{"_id": n, "country": "FR", "year": 2000 + n} for n in range(3)])
    return api


ASKED = [
    ("/api/rockets?country=FR", "No index serves this filter; one on {country: 1} would."),
    (
        "/api/rockets?year=gt[int].2000&country=FR&_sort=(name:descending)",
        "No index serves this filter and sort; one on {country: 1, name: -1, year: 1} would.",
    ),
    (
        "/api/rockets?_sort=(country:ascending),(year:ascending)",
        "No index serves this sort; one on {country: 1, year: 1} would.",
    ),
    (
        "/api/rockets?country=FR&_sort=(_id:ascending)&_limit=1",
        "No index serves this filter and sort; one on {country: 1, _id: 1} would.",
    ),
]


@pytest.mark.live
@pytest.mark.parametrize(("url", "detail"), ASKED)
def test_what_no_index_serves_is_refused_until_there_is_one(
    indexed_api: Api, url: str, detail: str
) -> None:
    problem = assert_problem(indexed_api.get(url), 400, "query.no_index")
    assert problem["detail"] == detail
    index = detail.partition("{")[2].partition("}")[0]
    keys = [pair.split(": ") for pair in index.split(", ")]
    indexed_api.rockets.create_index([(path, int(direction)) for path, direction in keys])
    assert indexed_api.get(url).status_code == 200


@pytest.mark.live
def test_bulk_writes_need_an_index_too(indexed_api: Api) -> None:
    before = snapshot(indexed_api.database)
    for method, body in (("PATCH", {"$set": {"a": 1}}), ("DELETE", ...)):
        result = indexed_api(method, "/api/rockets?country=FR", body)
        assert_problem(result, 400, "query.no_index", naming="{country: 1}")
        assert_problem(indexed_api(method, "/api/rockets", body), 403, "bulk.unfiltered")
    assert snapshot(indexed_api.database) == before
    assert indexed_api("DELETE", "/api/rockets?_id=eq[int].0").json == {"items_deleted": 1}
    indexed_api.rockets.create_index("country")
    changed = indexed_api("PATCH", "/api/rockets?country=FR", {"$set": {"a": 1}})
    assert changed.json == {"matched_items": 2, "modified_items": 2}


@pytest.mark.live
def test_what_needs_no_index_is_served(indexed_api: Api) -> None:
    for url in (
        "",
        "?_limit=2&_skip=1",
        "?_id=eq[int].1",
        "?_id=in[list-int].[1,2]&country=FR",
        "?_sort=(_id:descending)",
    ):
        assert indexed_api.get(f"/api/rockets{url}").status_code == 200, url
    assert indexed_api.get("/api/rockets/[int].1").status_code == 200


@pytest.mark.live
def test_a_declared_resource_can_require_indexes(live_declared: MakeDeclared) -> None:
    class IndexedView(ResourceView):
        resource = type("IndexedResource", (ThingResource,), {"require_index": True})
        methods = methods.ALL

    class FreeView(ResourceView):
        resource = ThingResource
        methods = [methods.List]

    api = live_declared(things=IndexedView, free=FreeView)
    api.create("/things", {"text": "a", "number": 1})
    for url in ("?text=a", "?_order_by=number"):
        assert_problem(api.get(f"/things{url}"), 400, "query.no_index")
        assert api.get(f"/free{url}").status_code == 200
    assert_problem(api.patch("/things?text=a", {"number": 2}), 400, "query.no_index")
    assert_problem(api.delete("/things?text=a"), 400, "query.no_index")
    assert len(api.listed("/things")) == 1


@pytest.mark.live
def test_what_is_served_is_explained_once_and_where_it_is_off_never(
    make_database: Any, live_declared: MakeDeclared
) -> None:
    class FreeView(ResourceView):
        resource = ThingResource
        methods = [methods.List]

    class IndexedView(FreeView):
        resource = type("IndexedResource", (ThingResource,), {"require_index": True})

    commands = Commands()
    database = make_database("mongod", event_listeners=[commands])
    database.things.create_index("stored")
    api = live_declared(database=database, free=FreeView, things=IndexedView)
    commands.take()
    api.get("/free?text=a")
    assert commands.names() == ["find"]
    api.get("/things")
    assert commands.names() == ["find"]
    for text in "abc":
        assert api.get(f"/things?text={text}").status_code == 400
    # NOTE: an index may have come.
    assert commands.names() == ["explain"] * 3
    database.things.create_index("text")
    commands.take()
    for text in "abc":
        assert api.get(f"/things?text={text}").status_code == 200
    assert commands.names() == ["explain", "find", "find", "find"]


def test_indexes_can_not_be_required_of_a_database_in_memory(make_declared: MakeDeclared) -> None:
    class IndexedView(ResourceView):
        resource = type("IndexedResource", (ThingResource,), {"require_index": True})
        methods = [methods.List]

    with pytest.raises(ConfigurationError, match="require_index"):
        make_declared(things=IndexedView)
    with pytest.raises(ConfigurationError, match="FALCOREST_REQUIRE_INDEX"):
        Settings(mongodb_uri="mongomock://", require_index=True)


def test_how_much_a_body_may_hold(make_api: MakeApi) -> None:
    api = make_api("mongomock://", max_documents=2, max_update_fields=3)
    api.rockets.insert_one({"_id": "a"})
    assert api("POST", "/api/rockets", [{}, {}]).status_code == 201
    assert_problem(api("POST", "/api/rockets", [{}, {}, {}]), 400, "body.too_complex")
    for body in ({"a": 1, "b": 2, "c": 3}, {"$set": {"a": 1, "b": 2}, "$unset": {"c": 1}}):
        assert api("PATCH", "/api/rockets/a", body).status_code == 204
    for body in (
        {"a": 1, "b": 2, "c": 3, "d": 4},
        {"$set": {"a": 1, "b": 2, "d": 3}, "$inc": {"c": 1}},
    ):
        assert_problem(api("PATCH", "/api/rockets/a", body), 400, "body.too_complex")
    body = {"$set": dict.fromkeys("abcd", 1)}
    assert_problem(api("PATCH", "/api/rockets?a=1", body), 400, "body.too_complex")


def test_a_body_in_another_encoding_is_not_read(make_api: MakeApi) -> None:
    api = make_api("mongomock://")
    for encoding, status in (("gzip", 415), ("br", 415), ("identity", 201), (" Identity ", 201)):
        result = api("POST", "/api/rockets", {}, headers={"Content-Encoding": encoding})
        assert result.status_code == status, encoding
    result = api("POST", "/api/rockets", {}, headers={"Content-Encoding": "gzip"})
    assert_problem(result, 415, "body.unsupported_type", naming="Content-Encoding")
    assert result.headers["accept-encoding"] == "identity"
