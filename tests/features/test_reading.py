"""GET: lists and single documents, on each kind of database."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId

from falcorest import bson_json
from falcorest.settings import ResourceSettings
from tests.conftest import MakeApi
from tests.support import Api, assert_problem

pytestmark = pytest.mark.live

ENGINES = [
    {
        "_id": ObjectId("6195b0eb829a2784b4459a01"),
        "name": "RD-180",
        "country": "Russia",
        "ratio": 78,
        "burn": 270.5,
        "active": True,
        "tags": ["kerosene", "staged"],
        "engine": {"cycle": "staged", "stages": 2},
        "flown": datetime(2000, 5, 24),
        "price": Decimal128("9.99"),
        "maker": ObjectId("6195b0eb829a2784b4459aff"),
    },
    {
        "_id": ObjectId("6195b0eb829a2784b4459a02"),
        "name": "Merlin 1D",
        "country": "USA",
        "ratio": 184,
        "burn": 162.0,
        "active": True,
        "tags": ["kerosene"],
        "engine": {"cycle": "gas generator", "stages": 1},
        "flown": datetime(2013, 9, 29, 12, 30),
        "started": "09:30:00",
        "duration": 5400.0,
    },
    {
        "_id": ObjectId("6195b0eb829a2784b4459a03"),
        "name": "F-1",
        "country": "USA",
        "ratio": 94,
        "burn": None,
        "active": False,
        "tags": [],
        "engine": {"cycle": "gas generator"},
        "flown": datetime(1967, 11, 9),
        "serial": Int64(2**40),
    },
    {
        "_id": "north-pole",
        "name": 'RD, "360")',
        "country": "North Pole",
        "ratio": 150,
        "active": False,
        "tags": ["kerosene", "staged", "red"],
    },
]
NAMES = [engine["name"] for engine in ENGINES]


@pytest.fixture
def engines(any_api: Api) -> Api:
    any_api.database["rocket_engines"].insert_many([dict(engine) for engine in ENGINES])
    return any_api


def names(api: Api, query: str) -> list[str]:
    result = api.get(f"/api/rockets?{query}", token=None)
    assert result.status_code == 200, result.text
    return [document["name"] for document in result.json]


def test_a_list_is_an_array_of_all_documents(engines: Api) -> None:
    result = engines.get("/api/rockets", token=None)
    assert result.status_code == 200
    assert result.headers["content-type"] == "application/json"
    assert [document["name"] for document in result.json] == NAMES


def test_an_empty_collection_is_an_empty_array(any_api: Api) -> None:
    assert any_api.get("/api/rockets").content == b"[]"


def test_a_slash_at_the_end_is_the_same_place(engines: Api) -> None:
    assert engines.get("/api/rockets/").json == engines.get("/api/rockets").json
    one = "/api/rockets/6195b0eb829a2784b4459a01"
    assert engines.get(f"{one}/").json == engines.get(one).json


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("country=USA", [1, 2]),
        ("country=North+Pole", [3]),
        ("country=North%20Pole", [3]),
        ("country=USA&ratio=gte[int].100", [1]),
        ("ratio=[int].78", [0]),
        ("ratio=gte[int].90&ratio=lt[int].150", [2]),
        ("ratio=not.gte[int].100", [0, 2]),
        ("ratio=gt[float].93.5", [1, 2, 3]),
        ("ratio=lte[int].78", [0]),
        ("burn=[float].270.5", [0]),
        ("burn=[null].", [2, 3]),
        ("burn=exists[bool].false", [3]),
        ("active=[bool].true", [0, 1]),
        ("active=[bool].false", [2, 3]),
        ("active=ne[bool].true", [2, 3]),
        ("country=in[list-str].[North+Pole,Russia]", [0, 3]),
        ("country=nin[list-str].[North+Pole,Russia]", [1, 2]),
        ("country=not.in[list-str].[USA]", [0, 3]),
        ("ratio=in[list-int].[]", []),
        ("ratio=in[list-int].[78,94]", [0, 2]),
        ("tags=all[list-str].[kerosene,staged]", [0, 3]),
        ("tags=size[int].1", [1]),
        ("tags=red", [3]),
        ("name=type[str].string", [0, 1, 2, 3]),
        ("engine.cycle=staged", [0]),
        ("engine.stages=gte[int].1", [0, 1]),
        ("flown=gte[datetime].2000-01-01T00:00:00Z", [0, 1]),
        ("flown=[datetime].2013-09-29T14:30:00%2B02:00", [1]),
        ("flown=[date].1967-11-09", [2]),
        ("flown=in[list-date].[1967-11-09,2000-05-24]", [0, 2]),
        ("started=[time].09:30", [1]),
        ("duration=[timedelta].PT1H30M", [1]),
        ("duration=[timedelta].5400", [1]),
        ("maker=[oid].6195b0eb829a2784b4459aff", [0]),
        ("_id=[oid].6195b0eb829a2784b4459a03", [2]),
        ("_id=in[list-oid].[6195b0eb829a2784b4459a03]", [2]),
        ("_id=north-pole", [3]),
        ("price=[decimal].9.99", [0]),
        ("name=RD%2C+%22360%22)", [3]),
        ('and=(name.eq[str]."RD, \\"360\\")")', [3]),
        ("and=(country.eq[str].USA,ratio.gte[int].100)", [1]),
        ("or=(country.eq[str].Russia,ratio.gt[int].150)", [0, 1]),
        ("nor=(country.eq[str].Russia,ratio.gt[int].150)", [2, 3]),
        ("or=(country.eq[str].Russia,and(country.eq[str].USA,ratio.lt[int].100))", [0, 2]),
        ("or=(ratio.not.gte[int].90,country.in[list-str].[North+Pole])", [0, 3]),
        ("and=(engine.cycle.eq[str].staged)", [0]),
        ("or=(ratio.eq[int].78,ratio.eq[int].94)&active=[bool].false", [2]),
        ("country=eq[str].eq[str].USA", []),
    ],
)
def test_filters(engines: Api, query: str, expected: list[int]) -> None:
    assert names(engines, query) == [NAMES[index] for index in expected]


def test_a_projection_keeps_the_id(engines: Api) -> None:
    result = engines.get("/api/rockets?country=Russia&_projection=name,engine.cycle")
    assert result.json == [
        {
            "_id": {"$oid": "6195b0eb829a2784b4459a01"},
            "name": "RD-180",
            "engine": {"cycle": "staged"},
        }
    ]


def test_a_projection_of_one_document(engines: Api) -> None:
    result = engines.get("/api/rockets/6195b0eb829a2784b4459a01?_projection=name")
    assert result.json == {"_id": {"$oid": "6195b0eb829a2784b4459a01"}, "name": "RD-180"}


def test_a_path_below_another_in_a_projection_is_part_of_it(engines: Api) -> None:
    result = engines.get("/api/rockets?country=Russia&_projection=engine.cycle,engine")
    assert result.json[0]["engine"] == {"cycle": "staged", "stages": 2}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("_sort=(ratio:ascending)", [0, 2, 3, 1]),
        ("_sort=(ratio:descending)", [1, 3, 2, 0]),
        ("_sort=(country:ascending),(name:descending)", [3, 0, 1, 2]),
        ("_sort=(ratio:ascending)&_limit=2", [0, 2]),
        ("_sort=(ratio:ascending)&_skip=1&_limit=2", [2, 3]),
        ("_sort=(ratio:ascending)&_skip=3", [1]),
        ("_skip=10", []),
        ("_limit=0", [0, 1, 2, 3]),
        # NOTE: a page without an order is in that of the _id.
        ("_limit=3", [3, 0, 1]),
    ],
)
def test_sort_limit_and_skip(engines: Api, query: str, expected: list[int]) -> None:
    assert names(engines, query) == [NAMES[index] for index in expected]


@pytest.mark.parametrize(
    ("query", "code", "parameter"),
    [
        ("$where=1", "query.invalid_field", "$where"),
        ("a.$b=1", "query.invalid_field", "a.$b"),
        ("a..b=1", "query.invalid_field", "a..b"),
        ("=1", "query.invalid_field", ""),
        ("a%00=1", "query.invalid_field", "a\0"),
        ("a=$where[str].1", "query.unknown_operator", "a"),
        ("a=foo[str].1", "query.unknown_operator", "a"),
        ("a=eq[foo].1", "query.unknown_hint", "a"),
        ("a=in[str].1", "query.operator_hint", "a"),
        ("a=eq[list-int].[1]", "query.operator_hint", "a"),
        ("a=exists[int].1", "query.operator_hint", "a"),
        ("a=gte[int].x", "query.invalid_value", "a"),
        ("a=size[int].-1", "query.invalid_value", "a"),
        ("a=type[str].nonsense", "query.invalid_value", "a"),
        ("a=in[list-int].[1,x]", "query.invalid_value", "a"),
        ("a=in[list-int].[1", "query.invalid_value", "a"),
        ("and=(a.eq[int].1", "query.invalid_group", "and"),
        ("or=()", "query.invalid_group", "or"),
        ("nor=(a)", "query.invalid_group", "nor"),
        ("and=($a.eq[int].1)", "query.invalid_field", "and"),
        ("_limit=-1", "query.invalid_limit", "_limit"),
        ("_limit=x", "query.invalid_limit", "_limit"),
        ("_limit=9223372036854775808", "query.invalid_limit", "_limit"),
        ("_skip=-1", "query.invalid_skip", "_skip"),
        ("_skip=2147483648", "query.invalid_skip", "_skip"),
        ("_skip=9223372036854775808", "query.invalid_skip", "_skip"),
        ("_sort=(a:up)", "query.invalid_sort", "_sort"),
        ("_sort=a", "query.invalid_sort", "_sort"),
        ("_sort=($a:ascending)", "query.invalid_field", "_sort"),
        ("_projection=$a", "query.invalid_field", "_projection"),
        ("_projection=", "query.invalid_projection", "_projection"),
        ("_limit=1&_limit=2", "query.repeated_parameter", "_limit"),
        ("_after=x", "query.invalid_cursor", "_after"),
        ("_before=x", "query.invalid_cursor", "_before"),
        ("_after=&_before=", "query.invalid_cursor", "_after"),
        ("_before=&_skip=0", "query.invalid_cursor", "_before"),
        ("_count=all", "query.invalid_count", "_count"),
        ("_fields=a", "query.reserved_parameter", "_fields"),
        ("_order_by=a", "query.reserved_parameter", "_order_by"),
        ("a", "query.malformed", "a"),
        ("a=regex[str].x", "query.regex_disabled", "a"),
    ],
)
def test_a_query_that_cannot_be_read_names_the_parameter(
    engines: Api, query: str, code: str, parameter: str
) -> None:
    assert_problem(engines.get(f"/api/rockets?{query}"), 400, code, parameter=parameter)


def test_a_path_of_too_many_parts(api: Api) -> None:
    deep = ".".join("a" * 101)
    for query in (f"{deep}=1", f"_projection={deep}", f"_sort=({deep}:ascending)"):
        assert_problem(api.get(f"/api/rockets?{query}"), 400, "query.invalid_field")
    assert api.get(f"/api/rockets?{'.'.join('a' * 100)}=1").status_code == 200


def test_a_view_of_the_users_under_another_name(make_api: MakeApi, mongo_uri: str) -> None:
    first = make_api(mongo_uri)
    first.database.create_collection("mangorest_users")
    first.database.create_collection("people", viewOn="mangorest_users", pipeline=[])
    every = make_api(mongo_uri, "*", database=first.database.name)
    assert_problem(every.get("/api/people"), 404, "route.not_found")


def test_bytes_that_are_not_utf8_are_refused(any_api: Api) -> None:
    assert_problem(any_api.get("/api/rockets?name=%ff"), 400, "query.malformed")


@pytest.mark.parametrize("query", ["_skip=2147483647", "_limit=9223372036854775807"])
def test_the_largest_numbers(api: Api, query: str) -> None:
    assert api.get(f"/api/rockets?{query}").status_code == 200


def test_regular_expressions_where_they_are_switched_on(make_api: MakeApi, mongo_uri: str) -> None:
    for uri in (mongo_uri, "mongomock://"):
        api = make_api(uri, regex=True)
        api.database["rocket_engines"].insert_many([dict(engine) for engine in ENGINES])
        assert names(api, "name=regex[str].^RD") == ["RD-180", 'RD, "360")']
        assert names(api, "name=not.regex[str].^RD") == ["Merlin 1D", "F-1"]
        assert_problem(api.get("/api/rockets?name=regex[str].("), 400, "query.refused")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("6195b0eb829a2784b4459a01", "RD-180"),
        ("[oid].6195b0eb829a2784b4459a01", "RD-180"),
        ("north-pole", 'RD, "360")'),
        ("[str].north-pole", 'RD, "360")'),
    ],
)
def test_one_document_by_id(engines: Api, path: str, name: str) -> None:
    result = engines.get(f"/api/rockets/{path}", token=None)
    assert result.status_code == 200
    assert result.json["name"] == name


def loads_as(identity: Any) -> Any:
    """Return a body, in Extended JSON, of a document with that id."""
    return json.loads(bson_json.dumps({"_id": identity, "name": "found"}))


@pytest.mark.parametrize(
    ("identity", "path"),
    [
        (5, "[int].5"),
        (2.5, "[float].2.5"),
        (True, "[bool].true"),
        (datetime(2021, 11, 1), "[datetime].2021-11-01T00:00:00Z"),
        (Decimal128("1.5"), "[decimal].1.5"),
        ("6195b0eb829a2784b4459a01", "[str].6195b0eb829a2784b4459a01"),
        ("[int].5", "[str].[int].5"),
        ("a/b", "a/b"),
        ("a b?c", "a b%3Fc"),
        ("Ünïcode", "Ünïcode"),
        (None, "[null]."),
    ],
)
def test_ids_of_other_types(any_api: Api, identity: Any, path: str) -> None:
    created = any_api("POST", "/api/rockets", loads_as(identity))
    assert created.status_code == 201
    assert any_api.get(created.headers["location"]).json["name"] == "found"
    assert any_api.get(f"/api/rockets/{path}").json["name"] == "found"
    assert any_api.get(f"/api/rockets/{path}x").status_code in {400, 404}


@pytest.mark.parametrize(
    "path", ["[int].x", "[foo].1", "[list-int].[1]", "[oid].xyz", "[date].2021-13-01"]
)
def test_an_id_that_cannot_be_read(api: Api, path: str) -> None:
    assert_problem(api.get(f"/api/rockets/{path}"), 400, "id.invalid", parameter="id")


@pytest.mark.parametrize("path", ["6195b0eb829a2784b4459a99", "nobody", "[int].6"])
def test_a_document_that_is_not_there(any_api: Api, path: str) -> None:
    assert_problem(any_api.get(f"/api/rockets/{path}"), 404, "document.not_found")


@pytest.mark.parametrize("parameter", ["_limit", "_sort", "name", "_skip", "$where"])
def test_one_document_takes_no_other_parameter(engines: Api, parameter: str) -> None:
    result = engines.get(f"/api/rockets/6195b0eb829a2784b4459a01?{parameter}=1")
    assert_problem(result, 400, "query.unknown_parameter", parameter=parameter)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/rockets"),
        ("PATCH", "/api/rockets/x"),
        ("PUT", "/api/rockets/x"),
        ("DELETE", "/api/rockets/x"),
    ],
)
def test_writes_that_take_no_parameters(api: Api, method: str, path: str) -> None:
    result = api(method, f"{path}?a=1", {"name": "x"})
    assert_problem(result, 400, "query.unknown_parameter", parameter="a")
    assert api.get("/api/rockets").json == []


def test_head_answers_like_get_without_a_body(engines: Api) -> None:
    for path in ("/api/rockets", "/api/rockets/north-pole"):
        result = engines("HEAD", path, token=None)
        assert result.status_code == 200
        assert result.content == b""
        assert result.headers["content-length"] == engines.get(path).headers["content-length"]


def test_pages_where_a_limit_is_set(make_api: MakeApi, mongo_uri: str) -> None:
    for uri in (mongo_uri, "mongomock://"):
        api = make_api(uri, max_limit=3)
        api.database["rocket_engines"].insert_many({"n": n, "even": not n % 2} for n in range(10))
        url, seen, pages = "/api/rockets?even=[bool].true&_sort=(n:ascending)", [], 0
        while url:
            result = api.get(url)
            seen += [document["n"] for document in result.json]
            pages += 1
            link = result.headers["link"]
            url = link.partition(">")[0].removeprefix("<") if 'rel="next"' in link else ""
            assert ('rel="prev"' in link) is (pages > 1)
        assert (seen, pages) == ([0, 2, 4, 6, 8], 2)
        assert len(api.get("/api/rockets?_limit=0").json) == 3
        assert len(api.get("/api/rockets?_limit=2").json) == 2
        problem = api.get("/api/rockets?_limit=4")
        assert_problem(problem, 400, "query.invalid_limit", parameter="_limit", naming="3")


def test_bounds_of_one_resource(make_api: MakeApi, mongo_uri: str) -> None:
    own = {"rockets": ResourceSettings(max_limit=2, max_affected=3)}
    api = make_api(mongo_uri, "rockets:rocket_engines,others:others", resources=own, max_limit=4)
    for name in ("rocket_engines", "others"):
        api.database[name].insert_many({"n": 1} for _ in range(5))
    assert len(api.get("/api/rockets").json) == 2
    assert len(api.get("/api/others").json) == 4
    assert_problem(api("DELETE", "/api/rockets?n=[int].1"), 403, "bulk.too_many")
    assert api("DELETE", "/api/others?n=[int].1").json == {"items_deleted": 5}


def test_a_collection_larger_than_a_batch_arrives_whole(make_api: MakeApi, mongo_uri: str) -> None:
    for uri in (mongo_uri, "mongomock://"):
        api = make_api(uri)
        api.database["rocket_engines"].insert_many({"_id": n} for n in range(1234))
        result = api.get("/api/rockets")
        assert [document["_id"] for document in result.json] == list(range(1234))
        assert "content-length" not in result.headers
        assert len(api.get("/api/rockets?_limit=1200").json) == 1200
        for edge in (499, 500, 501, 1000):
            assert len(api.get(f"/api/rockets?_limit={edge}").json) == edge
