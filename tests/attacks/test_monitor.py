"""The monitor of the commands that the whole suite sends: it must see what it is there for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bson import DBRef
from pymongo import MongoClient

from falcorest.dialects import TypedDialect
from falcorest.query import Query
from falcorest.updates import update_from_operators
from tests import conftest
from tests.support import Api
from tests.watching import ALLOWED, MONITOR, unknown_operators


def update(change: Any, **rest: Any) -> dict[str, Any]:
    return {"update": "x", "updates": [{"q": {}, "u": change, **rest}]}


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ({"filter": {"$where": "1"}}, ("filter", "$where")),
        ({"filter": {"$and": [{"a": 1}, {"$or": [{"$expr": {}}]}]}}, ("filter", "$expr")),
        ({"filter": {"a": {"$not": {"$elemMatch": {"b": 1}}}}}, ("filter", "$elemMatch")),
        ({"filter": {"a": {"b": {"$gt": 1}}}}, ("value", "$gt")),
        ({"filter": {"a": {"$eq": {"$gt": 1}}}}, ("value", "$gt")),
        ({"filter": {"a": {"$in": [{"$ne": 1}]}}}, ("value", "$ne")),
        ({"filter": {"a.$.b": 1}}, ("path", "$")),
        ({"query": {"$jsonSchema": {}}, "distinct": "x", "key": "a"}, ("filter", "$jsonSchema")),
        ({"distinct": "x", "key": "$a"}, ("path", "$a")),
        ({"filter": {}, "projection": {"a": "$secret"}}, ("expression", "$secret")),
        ({"filter": {}, "projection": {"a": {"$slice": 1}}}, ("expression", "$slice")),
        ({"filter": {}, "projection": {"a.$": 1}}, ("path", "$")),
        ({"filter": {}, "sort": {"a": {"$meta": "textScore"}}}, ("expression", "$meta")),
        ({"pipeline": [{"$match": {"$where": "1"}}]}, ("filter", "$where")),
        ({"pipeline": [{"$out": "x"}]}, ("stage", "$out")),
        ({"pipeline": [{"$lookup": {"pipeline": [{"$merge": "x"}]}}]}, ("stage", "$merge")),
        ({"pipeline": [{"$group": {"_id": {"$function": {}}}}]}, ("expression", "$function")),
        ({"pipeline": [{"$project": {"a": "$b"}}]}, ("expression", "$b")),
        ({"explain": {"filter": {"$where": "1"}}}, ("filter", "$where")),
        ({"deletes": [{"q": {"$where": "1"}}]}, ("filter", "$where")),
        (update([{"$set": {"a": "$b"}}]), ("update", "a pipeline")),
        (update({"$bit": {"a": {"and": 1}}}), ("update", "$bit")),
        (update({"$set": {"a": {"$b": 1}}}), ("value", "$b")),
        (update({"$set": {"a.$[x]": 1}}), ("path", "$[x]")),
        (update({"a": [{"$b": 1}]}), ("value", "$b")),
        (update({"$push": {"a": {"$each": [{"$c": 1}]}}}), ("value", "$c")),
        (update({"$push": {"a": {"$each": [], "$where": 1}}}), ("$push", "$where")),
        (update({"$addToSet": {"a": {"$each": [], "$sort": 1}}}), ("$addToSet", "$sort")),
        (update({"$pull": {"a": {"b": {"$regex": "x"}}}}), ("$pull", "$regex")),
        (update({"$pull": {"a": {"$in": [{"$c": 1}]}}}), ("value", "$c")),
        (update({"$rename": {"a": "$b"}}), ("path", "$b")),
        (update({"$set": {}}, arrayFilters=[{"$where": "1"}]), ("filter", "$where")),
        ({"findAndModify": "x", "query": {}, "update": {"$bit": {}}}, ("update", "$bit")),
        ({"documents": [{"a": [{"b": {"$c": 1}}]}]}, ("value", "$c")),
    ],
    ids=str,
)
def test_what_must_not_be_sent(command: dict[str, Any], found: tuple[str, str]) -> None:
    assert unknown_operators(command) == [found]


@pytest.mark.parametrize(
    "command",
    [
        {"filter": {"a": {"$not": {"$in": [1]}}, "$or": [{"b": {"$size": 1}}]}, "sort": {"a": -1}},
        {"filter": {"_id": {"$eq": {"x": 1}}}, "projection": {"a.b": 1}},
        update({"$push": {"a": {"$each": [1], "$sort": {"b": 1}}}, "$currentDate": {"b": True}}),
        update({"$pull": {"a": {"b": {"$gt": 1}}}, "$set": {"r": DBRef("c", 1)}}),
        {"pipeline": [{"$match": {"a": 1}}, {"$group": {"_id": 1, "n": {"$sum": 1}}}]},
        {"documents": [{"a": "$where", "b": ["$c"]}]},
    ],
    ids=str,
)
def test_what_may_be_sent(command: dict[str, Any]) -> None:
    assert unknown_operators(command) == []


@pytest.mark.parametrize(
    "send",
    [
        lambda api: api.get("/api/rockets"),
        lambda api: api.get("/api/rockets?_limit=1"),
        lambda api: api("DELETE", "/api/rockets?a=1"),
        lambda api: api("PATCH", "/api/rockets?a=1", {"$set": {"b": 1}}),
    ],
)
@pytest.mark.live
def test_a_filter_that_slips_through(
    api: Api, monkeypatch: pytest.MonkeyPatch, send: Callable[[Api], Any]
) -> None:
    def parse(self: Any, query_string: str) -> Query:
        return Query({"a": {"$mod": [2, 0]}})

    monkeypatch.setattr(TypedDialect, "parse_list", parse)
    monkeypatch.setattr(TypedDialect, "parse_bulk", parse)
    assert send(api).status_code == 200
    taken = [one for one, _ in MONITOR.take()]
    assert taken
    assert set(taken) == {("filter", "$mod")}


@pytest.mark.live
def test_an_update_that_slips_through(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_bit(body: dict[str, Any]) -> dict[str, Any]:
        return {"$bit": {"a": {"or": 1}}} | update_from_operators(body)

    monkeypatch.setattr("falcorest.bodies.update_from_operators", with_bit)
    api.rockets.insert_one({"_id": "x", "a": 0})
    assert api("PATCH", "/api/rockets/x", {"$set": {"b": 1}}).status_code == 204
    assert [one for one, _ in MONITOR.take()] == [("update", "$bit")]


@pytest.mark.live
def test_a_command_that_the_monitor_cannot_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.watching.unknown_operators", lambda command: 1 / 0)
    api.get("/api/rockets")
    [((where, why), _)] = MONITOR.take()
    assert "can't be read" in where
    assert "ZeroDivisionError" in why


@pytest.mark.live
def test_what_tests_send_themselves_is_not_judged(mongo_uri: str) -> None:
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        list(client["mine"]["x"].find({"a": {"$mod": [2, 0]}}))
    assert MONITOR.take() == []


def test_a_test_that_sent_one_fails() -> None:
    judge = conftest._known_operators.__wrapped__()  # type: ignore[attr-defined]
    next(judge)
    MONITOR.found.append((("filter", "$where"), {}))
    with pytest.raises(AssertionError, match="where"):
        next(judge)


def test_the_table_has_no_operator_that_runs_code_or_reads_fields() -> None:
    listed = frozenset().union(*ALLOWED.values())
    assert not listed & {"$where", "$expr", "$function", "$accumulator", "$out", "$merge"}
