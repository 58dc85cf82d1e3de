"""POST, PUT, PATCH and DELETE, on each kind of database."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from falcorest.database import Transactions
from falcorest.errors import Forbidden
from falcorest.policy import Policy
from falcorest.query import EVERYTHING
from falcorest.service import CollectionService
from tests.conftest import MakeApi
from tests.support import Api, assert_problem

pytestmark = pytest.mark.live

OID = "6195b0eb829a2784b4459a01"
ONE = f"/api/rockets/{OID}"


@pytest.fixture
def one(any_api: Api) -> Api:
    any_api.rockets.insert_one(
        {"_id": ObjectId(OID), "name": "RD-180", "ratio": 78, "tags": ["a", "b"], "e": {"x": 1}}
    )
    return any_api


def stored(api: Api) -> dict[str, Any]:
    return dict(api.rockets.find_one({"_id": ObjectId(OID)}) or {})


class TestCreate:
    def test_one(self, any_api: Api) -> None:
        result = any_api("POST", "/api/rockets", {"name": "RD-180", "ratio": 78})
        assert result.status_code == 201
        identity = result.json["_id"]["$oid"]
        assert result.headers["location"] == f"/api/rockets/{identity}"
        assert any_api.get(result.headers["location"]).json == {
            "_id": {"$oid": identity},
            "name": "RD-180",
            "ratio": 78,
        }

    def test_the_id_comes_first_and_the_other_fields_keep_their_order(self, any_api: Api) -> None:
        raw = b'{"z":1,"_id":"me","a":{"y":1,"b":2}}'
        assert any_api("POST", "/api/rockets", raw=raw).status_code == 201
        assert any_api.get("/api/rockets/me").content == b'{"_id":"me","z":1,"a":{"y":1,"b":2}}'

    def test_several(self, any_api: Api) -> None:
        result = any_api("POST", "/api/rockets", [{"name": "a"}, {"_id": 5}, {"_id": "x"}])
        assert result.status_code == 201
        first, *rest = result.json
        assert set(first["_id"]) == {"$oid"}
        assert rest == [{"_id": 5}, {"_id": "x"}]
        assert any_api.rockets.count_documents({}) == 3

    def test_what_was_read_can_be_sent_back(self, any_api: Api) -> None:
        raw = (
            b'{"_id":{"$oid":"6195b0eb829a2784b4459a09"},"d":{"$date":"2021-11-01T09:30:00.250Z"},'
            b'"old":{"$date":{"$numberLong":"-86400000"}},"m":{"$numberDecimal":"9.990"},'
            b'"b":{"$binary":{"base64":"AAE=","subType":"80"}},"n":null,"f":1.0,"l":9007199254740993,'
            b'"nan":{"$numberDouble":"NaN"},"inf":{"$numberDouble":"-Infinity"},'
            b'"far":{"$date":{"$numberLong":"253402300800000"}},"t":["\\u0000",{"x":true}]}'
        )
        assert any_api("POST", "/api/rockets", raw=raw).status_code == 201
        read = any_api.get("/api/rockets/6195b0eb829a2784b4459a09").content
        assert read == raw
        assert any_api("PUT", "/api/rockets/6195b0eb829a2784b4459a09", raw=read).status_code == 204
        assert any_api.get("/api/rockets/6195b0eb829a2784b4459a09").content == raw

    def test_a_body_without_a_content_type_is_json(self, api: Api) -> None:
        assert api("POST", "/api/rockets", raw=b'{"a":1}').status_code == 201

    def test_a_duplicate_id(self, one: Api) -> None:
        result = one("POST", "/api/rockets", {"_id": {"$oid": OID}})
        problem = assert_problem(result, 409, "document.duplicate")
        assert set(problem["field-errors"]) == {"_id"}

    def test_a_duplicate_in_a_unique_field(self, one: Api) -> None:
        one.rockets.create_index("name", unique=True)
        result = one("POST", "/api/rockets", {"name": "RD-180"})
        problem = assert_problem(result, 409, "document.duplicate")
        assert set(problem["field-errors"]) == {"name"}
        assert "rocket_engines" not in result.text

    def test_an_empty_array(self, any_api: Api) -> None:
        assert_problem(any_api("POST", "/api/rockets", []), 400, "body.wrong_type")

    def test_one_bad_document_among_good_ones(self, any_api: Api) -> None:
        result = any_api("POST", "/api/rockets", [{"a": 1}, {"b": {"$x": 1}}])
        assert_problem(result, 400, "body.invalid_key", naming='"1"')
        assert any_api.rockets.count_documents({}) == 0

    def test_a_duplicate_among_several(
        self, make_api: MakeApi, mongo_uri: str, standalone_uri: str
    ) -> None:
        body = [{"_id": 1}, {"_id": 2}, {"_id": 1}, {"_id": 3}]
        whole = make_api(mongo_uri)
        problem = assert_problem(whole("POST", "/api/rockets", body), 409, "document.duplicate")
        assert whole.rockets.count_documents({}) == 0
        assert (problem["inserted"], problem["not_inserted"]) == ([], [0, 1, 2, 3])
        for uri in (standalone_uri, "mongomock://"):
            partly = make_api(uri)
            result = partly("POST", "/api/rockets", body)
            problem = assert_problem(result, 409, "document.duplicate", naming="index 2")
            assert [found["_id"] for found in partly.rockets.find()] == [1, 2]
            assert (problem["inserted"], problem["not_inserted"]) == ([0, 1], [2, 3])


class TestUpdate:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"ratio": 80}, {"ratio": 80}),
            ({"e.x": 2, "e.y": {"$oid": OID}}, {"e": {"x": 2, "y": ObjectId(OID)}}),
            ({"e": {"z": 1}}, {"e": {"z": 1}}),
            ({"new": None}, {"new": None}),
            ({"_id": {"$oid": OID}, "ratio": 1}, {"ratio": 1}),
            ({}, {}),
            ({"_id": {"$oid": OID}}, {}),
            ({"$set": {"ratio": 1, "e.x": 5}}, {"ratio": 1, "e": {"x": 5}}),
            ({"$unset": {"name": ""}, "$inc": {"ratio": 2}}, {"name": ..., "ratio": 80}),
            ({"$min": {"ratio": 5}}, {"ratio": 5}),
            ({"$max": {"ratio": 500}}, {"ratio": 500}),
            ({"$mul": {"ratio": 2}}, {"ratio": 156}),
            ({"$rename": {"name": "title"}}, {"name": ..., "title": "RD-180"}),
            ({"$push": {"tags": "c"}}, {"tags": ["a", "b", "c"]}),
            ({"$push": {"tags": {"$each": ["c", "d"]}}}, {"tags": ["a", "b", "c", "d"]}),
            (
                {"$push": {"tags": {"$each": ["c"], "$position": 0, "$slice": 2, "$sort": -1}}},
                {"tags": ["c", "b"]},
            ),
            ({"$addToSet": {"tags": "a"}}, {"tags": ["a", "b"]}),
            ({"$addToSet": {"tags": {"$each": ["a", "c"]}}}, {"tags": ["a", "b", "c"]}),
            ({"$pull": {"tags": "a"}}, {"tags": ["b"]}),
            ({"$pull": {"tags": {"$in": ["a", "b"]}}}, {"tags": []}),
            ({"$pullAll": {"tags": ["b"]}}, {"tags": ["a"]}),
            ({"$pop": {"tags": 1}}, {"tags": ["a"]}),
            ({"$pop": {"tags": -1}}, {"tags": ["b"]}),
            ({"$set": {}}, {}),
        ],
    )
    def test_one(self, one: Api, body: dict[str, Any], expected: dict[str, Any]) -> None:
        before = stored(one)
        result = one("PATCH", ONE, body)
        assert (result.status_code, result.content) == (204, b"")
        after = before | expected
        assert stored(one) == {name: value for name, value in after.items() if value is not ...}

    def test_the_time_of_the_update(self, one: Api) -> None:
        body = {"$currentDate": {"at": True, "of": {"$type": "timestamp"}}}
        assert one("PATCH", ONE, body).status_code == 204
        document = one.get(ONE).json
        assert (set(document["at"]), set(document["of"])) == ({"$date"}, {"$timestamp"})

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"a": 1, "$set": {"b": 1}}, "body.invalid_update"),
            ({"_id": "other"}, "body.invalid_update"),
            ({"_id": {"$oid": "6195b0eb829a2784b4459a02"}}, "body.invalid_update"),
            ({"$where": {"a": 1}}, "body.invalid_update"),
            ({"$setOnInsert": {"a": 1}}, "body.invalid_update"),
            ({"$bit": {"a": {"and": 1}}}, "body.invalid_update"),
            ({"$set": 1}, "body.invalid_update"),
            ({"$set": {"$a": 1}}, "body.invalid_key"),
            ({"$set": {"a.$": 1}}, "body.invalid_key"),
            ({"$set": {"a.$[]": 1}}, "body.invalid_key"),
            ({"$set": {"a..b": 1}}, "body.invalid_key"),
            ({"$set": {"": 1}}, "body.invalid_key"),
            ({"$set": {"a": {"$b": 1}}}, "body.invalid_key"),
            ({"$rename": {"a": "$b"}}, "body.invalid_key"),
            ({"$rename": {"a": 5}}, "body.invalid_key"),
            ({"$inc": {"a": "x"}}, "body.invalid_update"),
            ({"$inc": {"a": True}}, "body.invalid_update"),
            ({"$pop": {"a": 2}}, "body.invalid_update"),
            ({"$pullAll": {"a": 1}}, "body.invalid_update"),
            ({"$pull": {"a": {"$where": "1"}}}, "body.invalid_key"),
            ({"$pull": {"a": {"$gt": 1, "$where": "1"}}}, "body.invalid_update"),
            ({"$pull": {"a": {"$elemMatch": {"b": 1}}}}, "body.invalid_key"),
            (
                {"$pull": {"a": {"$regularExpression": {"pattern": "a", "options": ""}}}},
                "body.invalid_update",
            ),
            ({"$push": {"a": {"$each": [1], "$foo": 1}}}, "body.invalid_update"),
            ({"$push": {"a": {"$each": 1}}}, "body.invalid_update"),
            ({"$push": {"a": {"$slice": 1}}}, "body.invalid_update"),
            ({"$addToSet": {"a": {"$each": [1], "$slice": 1}}}, "body.invalid_update"),
            ({"$currentDate": {"a": {"$type": "x"}}}, "body.invalid_update"),
            ({"a.$b": 1}, "body.invalid_key"),
            ({"a": {"b.c": 1}}, "body.invalid_key"),
            ([{"$set": {"a": 1}}], "body.wrong_type"),
            (5, "body.wrong_type"),
        ],
    )
    def test_what_is_refused(self, one: Api, body: Any, code: str) -> None:
        before = stored(one)
        assert_problem(one("PATCH", ONE, body), 400, code)
        assert stored(one) == before

    def test_a_document_that_is_not_there(self, any_api: Api) -> None:
        for body in ({"a": 1}, {}, {"$set": {"a": 1}}):
            assert_problem(any_api("PATCH", ONE, body), 404, "document.not_found")
        assert any_api.rockets.count_documents({}) == 0

    @pytest.mark.parametrize(
        "body",
        [
            {"$set": {"a": 1}, "$inc": {"a": 1}},
            {"a": 1, "a.b": 2},
            {"$inc": {"name": 1}},
            {"$set": {"name.x": 1}},
            {"$set": {"_id": 5}},
            {"$unset": {"_id": ""}},
            {"$rename": {"_id": "x"}},
            {"$push": {"name": 1}},
        ],
    )
    def test_what_mongodb_refuses(self, one: Api, body: dict[str, Any]) -> None:
        before = stored(one)
        result = one("PATCH", ONE, body)
        assert_problem(result, 422, "write.refused")
        assert "rocket_engines" not in result.text
        assert stored(one) == before

    def test_a_duplicate(self, one: Api) -> None:
        one.rockets.create_index("name", unique=True)
        one.rockets.insert_one({"name": "taken"})
        result = one("PATCH", ONE, {"name": "taken"})
        assert_problem(result, 409, "document.duplicate", naming="name")


class TestReplace:
    def test_a_document_that_is_there(self, one: Api) -> None:
        assert one("PUT", ONE, {"b": 1, "a": 2}).status_code == 204
        assert one.get(ONE).content == b'{"_id":{"$oid":"%s"},"b":1,"a":2}' % OID.encode()

    def test_a_document_that_is_new(self, any_api: Api) -> None:
        result = any_api("PUT", ONE, {"a": 2})
        assert result.status_code == 201
        assert result.headers["location"] == ONE
        assert result.json == {"_id": {"$oid": OID}}
        assert any_api.get(ONE).json == {"_id": {"$oid": OID}, "a": 2}

    def test_the_same_id_in_the_body(self, any_api: Api) -> None:
        assert any_api("PUT", "/api/rockets/[int].5", {"_id": 5, "a": 1}).status_code == 201
        assert any_api.get("/api/rockets/[int].5").json == {"_id": 5, "a": 1}

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"_id": "other"}, "body.invalid_update"),
            ({"$set": {"a": 1}}, "body.invalid_key"),
            ([], "body.wrong_type"),
            ({"a.b": 1}, "body.invalid_key"),
        ],
    )
    def test_what_is_refused(self, one: Api, body: Any, code: str) -> None:
        before = stored(one)
        assert_problem(one("PUT", ONE, body), 400, code)
        assert stored(one) == before


class TestDelete:
    def test_one(self, one: Api) -> None:
        result = one("DELETE", ONE)
        assert (result.status_code, result.content) == (204, b"")
        assert one.rockets.count_documents({}) == 0
        assert_problem(one("DELETE", ONE), 404, "document.not_found")


class TestBulk:
    @pytest.fixture
    def many(self, any_api: Api) -> Api:
        any_api.rockets.insert_many({"_id": n, "even": not n % 2, "n": 0} for n in range(10))
        return any_api

    def test_update(self, many: Api) -> None:
        result = many("PATCH", "/api/rockets?even=[bool].true", {"$inc": {"n": 1}})
        assert result.status_code == 200
        assert result.json == {"matched_items": 5, "modified_items": 5}
        assert many.rockets.count_documents({"n": 1}) == 5

    def test_matched_is_not_modified(self, many: Api) -> None:
        result = many("PATCH", "/api/rockets?even=[bool].true", {"$set": {"n": 0}})
        assert result.json == {"matched_items": 5, "modified_items": 0}

    def test_delete(self, many: Api) -> None:
        result = many("DELETE", "/api/rockets?even=[bool].true")
        assert (result.status_code, result.json) == (200, {"items_deleted": 5})
        assert many.rockets.count_documents({}) == 5

    def test_nothing_matches(self, many: Api) -> None:
        assert many("DELETE", "/api/rockets?n=[int].9").json == {"items_deleted": 0}
        result = many("PATCH", "/api/rockets?n=[int].9", {"$set": {"n": 1}})
        assert result.json == {"matched_items": 0, "modified_items": 0}

    def test_what_does_not_filter_is_passed_over(self, many: Api) -> None:
        rest = "_projection=n&_sort=(n:ascending)&_limit=1&_skip=9"
        result = many("PATCH", f"/api/rockets?even=[bool].true&{rest}", {"$inc": {"n": 1}})
        assert result.json == {"matched_items": 5, "modified_items": 5}
        assert many("DELETE", f"/api/rockets?n=[int].1&{rest}").json == {"items_deleted": 5}

    @pytest.mark.parametrize("query", ["", "?", "?_limit=1", "?_sort=(n:ascending)&_skip=1"])
    def test_a_write_without_a_filter(self, many: Api, query: str) -> None:
        update = many("PATCH", f"/api/rockets{query}", {"$set": {"n": 1}})
        assert_problem(update, 403, "bulk.unfiltered")
        assert_problem(many("DELETE", f"/api/rockets{query}"), 403, "bulk.unfiltered")
        assert many.rockets.count_documents({"n": 0}) == 10

    @pytest.mark.parametrize(
        "query",
        ["_id=exists[bool].true", "n=nin[list-int].[]", "or=(n.nin[list-int].[],n.eq[int].7)"],
    )
    def test_a_filter_that_matches_too_much(
        self, make_api: MakeApi, mongo_uri: str, standalone_uri: str, query: str
    ) -> None:
        for uri in (mongo_uri, standalone_uri, "mongomock://"):
            api = make_api(uri, max_affected=9)
            api.rockets.insert_many({"_id": n, "n": 0} for n in range(10))
            update = api("PATCH", f"/api/rockets?{query}", {"$set": {"n": 1}})
            assert_problem(update, 403, "bulk.too_many", naming="9")
            assert_problem(api("DELETE", f"/api/rockets?{query}"), 403, "bulk.too_many")
            assert api.rockets.count_documents({"n": 0}) == 10
            api.rockets.delete_one({"_id": 0})
            assert api("DELETE", f"/api/rockets?{query}").json == {"items_deleted": 9}

    @pytest.mark.parametrize("body", [{}, {"n": 1}, {"n": 1, "$set": {"n": 1}}, [], 1])
    def test_the_body_must_be_operators(self, many: Api, body: Any) -> None:
        result = many("PATCH", "/api/rockets?even=[bool].true", body)
        assert result.status_code == 400, result.text
        assert many.rockets.count_documents({"n": 0}) == 10

    def test_a_filter_that_cannot_be_read(self, many: Api) -> None:
        for query in ("n=gte[int].x", "$where=1", "_after=1", "n"):
            assert many("DELETE", f"/api/rockets?{query}").status_code == 400
        assert many.rockets.count_documents({}) == 10

    def test_all_or_nothing_in_a_transaction(self, api: Api) -> None:
        api.rockets.insert_many([{"_id": 1, "n": 1}, {"_id": 2, "n": 1}, {"_id": 3, "n": "text"}])
        result = api("PATCH", "/api/rockets?n=exists[bool].true", {"$inc": {"n": 1}})
        assert_problem(result, 422, "write.refused")
        assert [found["n"] for found in api.rockets.find()] == [1, 1, "text"]

    def test_the_service_refuses_an_empty_filter_itself(self, many: Api) -> None:
        transactions = Transactions(many.database)
        service = CollectionService(many.database, "rocket_engines", Policy(), transactions)
        with pytest.raises(Forbidden):
            service.delete_many(EVERYTHING)
        with pytest.raises(Forbidden):
            service.update_many(EVERYTHING, {"$set": {"n": 1}})
        assert many.rockets.count_documents({"n": 0}) == 10


class TestBulkOnOtherDatabases:
    @pytest.mark.parametrize("preference", ["secondaryPreferred", "nearest"])
    def test_a_read_preference(self, make_api: MakeApi, mongo_uri: str, preference: str) -> None:
        api = make_api(f"{mongo_uri}&readPreference={preference}")
        assert api("POST", "/api/rockets", [{"a": 1}, {"a": 1}]).status_code == 201
        result = api("PATCH", "/api/rockets?a=[int].1", {"$set": {"b": 1}})
        assert result.json == {"matched_items": 2, "modified_items": 2}
        assert api("DELETE", "/api/rockets?a=[int].1").json == {"items_deleted": 2}

    def test_collections_that_take_no_part_in_transactions(
        self, make_api: MakeApi, mongo_uri: str
    ) -> None:
        first = make_api(mongo_uri)
        first.database.create_collection("log", capped=True, size=100_000)
        first.database.create_collection("weather", timeseries={"timeField": "at"})
        names = "log:log,weather:weather"
        api = make_api(mongo_uri, names, database=first.database.name)
        assert api("POST", "/api/log", [{"a": 1}, {"a": 2}]).status_code == 201
        result = api("PATCH", "/api/log?a=[int].1", {"$set": {"a": 3}})
        assert result.json == {"matched_items": 1, "modified_items": 1}
        assert api("DELETE", "/api/log?a=[int].3").json == {"items_deleted": 1}
        now = {"$date": "2021-11-01T00:00:00Z"}
        assert api("POST", "/api/weather", [{"at": now, "t": 1}]).status_code == 201

    def test_without_transactions_the_answer_says_how_far_a_bulk_update_came(
        self, make_api: MakeApi, mongo_uri: str, standalone_uri: str
    ) -> None:
        documents = [{"_id": n, "n": "text" if n == 2 else n} for n in range(5)]
        for uri, changed in ((mongo_uri, 0), ("mongomock://", 0), (standalone_uri, 2)):
            api = make_api(uri)
            api.rockets.insert_many([dict(document) for document in documents])
            result = api("PATCH", "/api/rockets?_id=gte[int].0", {"$inc": {"n": 10}})
            problem = assert_problem(result, 422, "write.refused")
            assert (problem.get("changed"), problem.get("not_changed")) == (
                (changed, 5 - changed) if changed else (None, None)
            )
            assert ("The first 2 of 5 documents were changed." in problem["detail"]) == bool(
                changed
            )
            assert [one["n"] for one in api.rockets.find().sort("_id")][:2] == (
                [10, 11] if changed else [0, 1]
            )

    def test_a_filter_that_mongodb_cannot_run(
        self, make_api: MakeApi, mongo_uri: str, standalone_uri: str
    ) -> None:
        for uri in (mongo_uri, standalone_uri):
            api = make_api(uri, regex=True)
            api.rockets.insert_one({"_id": 1, "a": "x"})
            for query in ("a=regex[str].(", "a=size[int].5000000000"):
                assert_problem(api.get(f"/api/rockets?{query}"), 400, "query.refused")
                result = api("DELETE", f"/api/rockets?{query}")
                assert_problem(result, 400, "query.refused")
            assert api.rockets.count_documents({}) == 1


class TestBodies:
    @pytest.mark.parametrize(
        ("raw", "code"),
        [
            (b"", "body.malformed"),
            (b"{", "body.malformed"),
            (b"\xff", "body.malformed"),
            (b'{"a":NaN}', "body.malformed"),
            (b'{"a":1e400}', "body.malformed"),
            (b'{"a":"\\ud800"}', "body.malformed"),
            (b"5", "body.wrong_type"),
            (b'"x"', "body.wrong_type"),
            (b"null", "body.wrong_type"),
            (b'{"$oid":"6195b0eb829a2784b4459a01"}', "body.wrong_type"),
            (b'{"a":1,"a":2}', "body.duplicate_key"),
            (b'{"a":9223372036854775808}', "body.invalid_value"),
            (b'{"a":18446744073709551616}', "body.invalid_value"),
            (b'{"a":-9223372036854775809}', "body.invalid_value"),
            (b'{"a":{"$numberInt":"99999999999"}}', "body.invalid_value"),
            (b'{"a":{"$numberDecimal":"1.23456789012345678901234567890123456"}}',
             "body.invalid_value"),
            (b'{"a":{"$date":"yesterday"}}', "body.invalid_value"),
            (b'{"a":{"$oid":"x"}}', "body.invalid_value"),
            (b'{"$where":"1"}', "body.invalid_key"),
            (b'{"a":{"$gt":1}}', "body.invalid_key"),
            (b'{"a":[{"$set":1}]}', "body.invalid_key"),
            (b'{"":1}', "body.invalid_key"),
            (b'{"a.b":1}', "body.invalid_key"),
            (b'{"a":{"b":{"c\\u0000":1}}}', "body.invalid_key"),
            (b'{"a":' * 101 + b"1" + b"}" * 101, "body.too_deep"),
            (b"[" * 100_000 + b"]" * 100_000, "body.too_deep"),
        ],
    )  # fmt: skip
    def test_a_body_that_cannot_be_stored(self, any_api: Api, raw: bytes, code: str) -> None:
        assert_problem(any_api("POST", "/api/rockets", raw=raw), 400, code)
        assert any_api.rockets.count_documents({}) == 0

    def test_the_place_of_what_is_wrong_is_named(self, api: Api) -> None:
        body = {"a": {"list": [1, {"when": {"$date": "x"}}]}}
        problem = assert_problem(api("POST", "/api/rockets", body), 400, "body.invalid_value")
        assert problem["field-errors"]["a"]["list"]["1"]["when"]

    def test_nul_inside_a_value_is_data(self, any_api: Api) -> None:
        assert any_api("POST", "/api/rockets", {"_id": 1, "a": "x\0y"}).status_code == 201
        assert any_api.get("/api/rockets/[int].1").json["a"] == "x\0y"

    @pytest.mark.parametrize(
        "kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
    )
    def test_another_media_type(self, api: Api, kind: str) -> None:
        result = api("POST", "/api/rockets", raw=b"{}", headers={"Content-Type": kind})
        assert_problem(result, 415, "body.unsupported_type")

    def test_json_with_a_charset(self, api: Api) -> None:
        kind = "application/json; charset=utf-8"
        result = api("POST", "/api/rockets", raw=b"{}", headers={"Content-Type": kind})
        assert result.status_code == 201

    def test_a_body_that_is_too_large(self, make_api: MakeApi, mongo_uri: str) -> None:
        api = make_api(mongo_uri, max_body_bytes=100)
        assert api("POST", "/api/rockets", {"a": "x" * 80}).status_code == 201
        result = api("POST", "/api/rockets", {"a": "x" * 100})
        assert_problem(result, 413, "body.too_large", naming="100")

    def test_a_document_beyond_16_mib(self, make_api: MakeApi, mongo_uri: str) -> None:
        api = make_api(mongo_uri, max_body_bytes=64 * 1024 * 1024)
        result = api("POST", "/api/rockets", {"a": "x" * (17 * 1024 * 1024)})
        assert_problem(result, 413, "body.too_large")
        api("PUT", "/api/rockets/x", {"a": ["x" * (9 * 1024 * 1024)]})
        result = api("PATCH", "/api/rockets/x", {"$push": {"a": "x" * (9 * 1024 * 1024)}})
        assert_problem(result, 413, "body.too_large")

    def test_a_document_that_the_validator_refuses(self, api: Api) -> None:
        api.database.command(
            "collMod", "rocket_engines", validator={"$jsonSchema": {"required": ["name"]}}
        )
        result = api("POST", "/api/rockets", {"title": "x"})
        assert_problem(result, 422, "write.refused", naming="validator")
        assert_problem(api("POST", "/api/rockets", [{"name": "a"}, {}]), 422, "write.refused")
        assert api.rockets.count_documents({}) == 0

    def test_an_id_of_a_type_that_can_be_none(self, any_api: Api) -> None:
        result = any_api("POST", "/api/rockets", {"_id": [1]})
        assert_problem(result, 422, "write.refused")
