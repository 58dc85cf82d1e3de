"""Planning: the verdict is the database's own, and the index that is named serves."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import mongomock
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from falcorest import planning
from falcorest.database import Transactions
from falcorest.errors import ConfigurationError, Forbidden, QueryError
from falcorest.planning import IndexedService, is_served, serving_indexes
from falcorest.policy import Policy
from falcorest.query import EVERYTHING, Query

A_IS_1 = {"a": {"$eq": 1}}

#: Filters and sorts, and the indexes that would serve; an empty list where none does.
TABLE: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"a": 1}, "", ["a"]),
    ({"a": None}, "", ["a"]),
    ({"a": [1, 2]}, "", ["a"]),
    ({"a": {"b": 1}}, "", ["a"]),
    ({"a.b": {"$eq": 1}}, "", ["a.b"]),
    ({"a": {"$in": [1, 2]}}, "", ["a"]),
    ({"a": {"$in": []}}, "", ["a"]),
    ({"a": {"$all": [1, 2]}}, "", ["a"]),
    ({"a": {"$not": {"$eq": 1}}}, "", ["a"]),
    ({"a": {"$not": {"$gt": 1}}}, "", ["a"]),
    ({"a": {"$not": {"$all": [1]}}}, "", ["a"]),
    *(({"a": {op: 1}}, "", ["a"]) for op in ("$gt", "$gte", "$lt", "$lte", "$ne")),
    ({"a": {"$nin": [1]}}, "", ["a"]),
    ({"a": {"$regex": "^x"}}, "", ["a"]),
    ({"a": {"$regex": "x"}}, "", ["a"]),
    ({"a": {"$type": "string"}}, "", ["a"]),
    ({"a": {"$exists": False}}, "", ["a"]),
    ({"a": {"$gte": 1, "$lt": 5}}, "", ["a"]),
    ({"a": 1, "b": {"$gt": 1}}, "", ["a b"]),
    ({"b": {"$gt": 1}, "a": 1}, "", ["a b"]),
    ({"$and": [{"a": {"$gt": 1}}, {"a": {"$lt": 5}}]}, "", ["a"]),
    ({"$and": [{"b": {"$gt": 1}}, {"$and": [A_IS_1]}]}, "", ["a b"]),
    ({"$or": [A_IS_1, {"b": {"$gt": 1}}]}, "", ["a", "b"]),
    ({"$or": [{"$and": [A_IS_1, {"c": 1}]}, {"b": 1}]}, "", ["a c", "b"]),
    ({"$or": [A_IS_1, {"b": 1}], "c": {"$lt": 1}}, "", ["c"]),
    # What an index can't find is left to what stands beside it.
    ({"b": {"$size": 1}, "a": {"$gt": 1}}, "", ["a"]),
    ({"$or": [{"a": {"$size": 1}}, {"b": 1}], "c": 1}, "", ["c"]),
    ({"a": {"$size": 1}}, "", []),
    ({"a": {"$exists": True}}, "", []),
    ({"a": {"$all": []}}, "", []),
    ({"a": {"$nin": []}}, "", []),
    ({"a": {"$type": "array"}}, "", []),
    *(
        ({"a": {"$not": condition}}, "", [])
        for condition in (
            *({"$ne": 1}, {"$nin": [1]}, {"$regex": "^x"}, {"$type": "int"}, {"$size": 1}),
            {"$exists": False},
        )
    ),
    ({"$nor": [A_IS_1, {"b": 1}]}, "", []),
    ({"$or": [A_IS_1, {"b": {"$size": 1}}]}, "", []),
    # Equality, sort, range.
    ({}, "a", ["a"]),
    ({}, "-a b", ["-a b"]),
    ({"a": 1}, "a", ["a"]),
    ({"a": 1}, "b", ["a b"]),
    ({"a": 1}, "-b", ["a -b"]),
    ({"a": 1}, "-a b", ["-a b"]),
    ({"a": {"$gt": 1}}, "a", ["a"]),
    ({"a": {"$gt": 1}}, "b", []),
    ({"a": {"$gt": 1}, "b": {"$lt": 5}}, "b", ["b a"]),
    ({"a": {"$gt": 1}}, "-a b", ["-a b"]),
    ({"a": 1, "c": {"$gt": 1}}, "-b", ["a -b c"]),
    ({"a": {"$in": [1, 2]}}, "b", ["a b"]),
    ({"a": {"$in": list(range(200))}}, "b", ["a b"]),
    ({"a": {"$in": list(range(201))}}, "b", []),
    ({"a": {"$in": list(range(201))}, "c": 1}, "b", ["c b a"]),
    ({"a": {"$in": [*range(20)]}, "c": {"$in": [*range(20)]}}, "b", ["a b c"]),
    ({"$or": [A_IS_1, {"b": 1}]}, "c", ["a c", "b c"]),
    ({"a": {"$size": 1}}, "b", []),
]


def pairs(text: str) -> list[tuple[str, int]]:
    return [(path.removeprefix("-"), -1 if path.startswith("-") else 1) for path in text.split()]


@pytest.mark.parametrize(("filter", "sort", "indexes"), TABLE)
def test_the_index_that_would_serve_is_named(
    filter: dict[str, Any], sort: str, indexes: list[str]
) -> None:
    found = serving_indexes(filter, tuple(pairs(sort)))
    assert [list(one.items()) for one in found] == [pairs(index) for index in indexes]


# ---------------------------------------------------------------------------------- live

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def things(mongo_uri: str) -> Iterator[Collection[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        name = f"planning_{uuid.uuid4().hex[:8]}"
        collection = client[name].things
        # NOTE: without documents, an index is there at once.
        client[name].create_collection("things")
        yield collection
        client.drop_database(name)


@pytest.fixture
def service(things: Collection[dict[str, Any]]) -> Iterator[IndexedService]:
    yield service_of(things)
    if len(things.index_information()) > 1:
        things.drop_indexes()


def service_of(things: Collection[dict[str, Any]], policy: Policy | None = None) -> IndexedService:
    transactions = Transactions(things.database)
    return IndexedService(things.database, "things", policy or Policy(), transactions)


def refusal(service: IndexedService, query: Query) -> str:
    with pytest.raises(QueryError) as caught:
        service.require_index(query)
    assert caught.value.code == "query.no_index"
    return caught.value.detail


def test_what_is_named_serves_and_nothing_else_would(
    things: Collection[dict[str, Any]], service: IndexedService
) -> None:
    def served(filter: dict[str, Any], sort: str) -> bool:
        return is_served(service._explain(filter, tuple(pairs(sort))), bool(filter))

    assert [row for row in TABLE if served(*row[:2])] == []
    made: list[str] = []
    for filter, sort, indexes in sorted(TABLE, key=lambda row: row[2]):
        if (indexes or ["a"]) != made:
            things.drop_indexes()
            made = indexes or ["a"]
            for index in made:
                things.create_index(pairs(index))
        assert served(filter, sort) is bool(indexes), (filter, sort, made)


@pytest.mark.parametrize(
    "query",
    [
        EVERYTHING,
        Query({"_id": 1}),
        Query({"_id": {"$gt": 1}}),
        Query(sort=(("_id", -1),)),
        Query({"_id": {"$gt": 1}}, sort=(("_id", 1),)),
        Query({"_id": 1, "c": {"$regex": "x"}}),
        # The rule is the operator's, and reads what it needs.
        Query(rule={"d": 1}),
        Query({"_id": 1}, rule={"d": 1}),
        Query(sort=(("_id", 1),), rule={"$or": [{"c": "x"}, {"d": 1}]}),
    ],
)
def test_what_every_collection_can_do_is_served(service: IndexedService, query: Query) -> None:
    service.require_index(query)


@pytest.mark.parametrize(
    "sort", [(), (("_id", 1),), (("_id", -1),), (("a", 1),)], ids=["none", "_id", "-_id", "a"]
)
def test_an_index_that_is_read_from_end_to_end_serves_no_filter(
    things: Collection[dict[str, Any]], service: IndexedService, sort: Any
) -> None:
    things.create_index("a")
    detail = refusal(service, Query({"b": 1}, sort=sort))
    expected = "{" + ", ".join(["b: 1", *(f"{path}: {way}" for path, way in sort)]) + "}"
    assert f"one on {expected} would" in detail


def test_what_is_served_in_one_way_is_served_whichever_way_the_planner_takes(
    things: Collection[dict[str, Any]], service: IndexedService
) -> None:
    """A condition that few documents fulfil may be worth sorting what it finds."""
    things.create_index("c")
    query = Query({"b": 3, "c": 3}, sort=(("a", 1),))
    assert refusal(service, query).endswith("one on {b: 1, c: 1, a: 1} would.")
    things.create_index([("b", 1), ("a", 1)])
    plan = service._explain(query.filter, query.sort)["queryPlanner"]
    assert "SORT" in str(plan)
    assert is_served(plan, True)


def test_the_message_names_the_clients_own_fields_only(service: IndexedService) -> None:
    query = Query({"a": 1}, sort=(("b", 1),), rule={"secret": 1, "$or": [{"d": 1}, {"e": 2}]})
    assert refusal(service, query) == (
        "No index serves this filter and sort; one on {a: 1, b: 1} would."
    )
    assert refusal(service, Query({"$or": [{"a": 1}, {"c": "x"}]})) == (
        "No index serves this filter; one on {a: 1} and one on {c: 1} would."
    )
    assert refusal(service, Query({"c": {"$size": 1}})) == (
        "No index serves this filter. Add a condition that one can, such as equality."
    )
    assert refusal(service, Query(sort=(("a", -1),))) == (
        "No index serves this sort; one on {a: -1} would."
    )


def test_a_hidden_field_is_refused_before_the_planner_is_asked(
    things: Collection[dict[str, Any]],
) -> None:
    service = service_of(things, Policy.of({"hidden": ["a"]}))
    for query in (Query({"a": 1}), Query(sort=(("a", 1),))):
        with pytest.raises(Forbidden):
            service.require_index(query)
    assert service._verdicts == {}


# ------------------------------------------------------------------------------- verdicts


def test_an_index_that_is_built_later_is_noticed(
    things: Collection[dict[str, Any]], service: IndexedService, monkeypatch: Any
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(planning, "monotonic", lambda: clock[0])
    asked: list[Any] = []
    explain = service._explain
    monkeypatch.setattr(service, "_explain", lambda *given: asked.append(given) or explain(*given))
    refusal(service, Query({"a": 1}))
    things.create_index("a")
    service.require_index(Query({"a": 2}))
    assert len(asked) == 2
    things.drop_index("a_1")
    clock[0] += planning.VERDICT_SECONDS - 1
    service.require_index(Query({"a": 3}))
    assert len(asked) == 2
    clock[0] += 2
    refusal(service, Query({"a": 3}))


def test_one_verdict_is_for_one_shape(service: IndexedService, monkeypatch: Any) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(service, "_explain", lambda *given: asked.append(given) or {})
    same = [
        *(Query({"a": value}) for value in (1, 2, 3)),
        *(Query({"a": {"$in": values}}) for values in ([1, 2], [3, 4])),
        *(Query({"$or": [{"a": value}, {"b": "x"}]}) for value in (1, 2)),
    ]
    for query in same:
        service.require_index(query)
    assert len(asked) == 3
    different = [
        Query({"a": "text"}),
        Query({"a": None}),
        Query({"a": {"$in": [1, 2, 3]}}),
        Query({"a": {"$in": [1, None]}}),
        Query({"a": {"$exists": True}}),
        Query({"a": {"$exists": False}}),
        Query({"b": 1}),
        Query({"a": 1}, sort=(("a", 1),)),
        Query({"a": 1}, rule={"b": 1}),
        Query(sort=(("a", 1),), rule={"a": 1}),
    ]
    for query in different:
        service.require_index(query)
    assert len(asked) == 3 + len(different)


def test_verdicts_do_not_pile_up(service: IndexedService, monkeypatch: Any) -> None:
    monkeypatch.setattr(planning, "VERDICTS", 10)
    monkeypatch.setattr(service, "_explain", lambda *given: {})
    for number in range(35):
        service.require_index(Query({f"f{number}": 1}))
        assert len(service._verdicts) <= 10


def test_a_database_in_memory_plans_nothing() -> None:
    database: Any = mongomock.MongoClient()["db"]
    with pytest.raises(ConfigurationError, match=r"things: require_index: .*needs MongoDB"):
        IndexedService(database, "things", Policy(), Transactions(database))


# ------------------------------------------------------------------ plans of other databases

SCAN = {"stage": "COLLSCAN"}
INDEX = {"stage": "IXSCAN", "indexBounds": {"a": ["[1, 1]"]}}
WHOLE = {"stage": "IXSCAN", "indexBounds": {"a": ["[MinKey, MaxKey]"], "b": ["[MaxKey, MinKey]"]}}
HALF = {"stage": "IXSCAN", "indexBounds": {"a": ["[MinKey, MaxKey]"], "b": ["[1, 1]"]}}


def planned(winning: Any, *rejected: Any) -> dict[str, Any]:
    return {"queryPlanner": {"winningPlan": winning, "rejectedPlans": list(rejected)}}


def above(stage: str, *below: Any) -> dict[str, Any]:
    return {"stage": stage, "inputStages": list(below)}


@pytest.mark.parametrize(
    ("plan", "served"),
    [
        (planned(SCAN), False),
        (planned(INDEX), True),
        (planned(WHOLE), False),
        (planned(HALF), True),
        (planned(SCAN, INDEX), True),
        (planned(above("OR", INDEX, SCAN)), False),
        (planned(above("OR", INDEX, INDEX)), True),
        (planned({"stage": "SORT", "inputStage": INDEX}), False),
        (planned({"stage": "SORT_MERGE", "inputStages": [INDEX, INDEX]}), True),
        (planned({"stage": "EOF"}), True),
        (planned({"stage": "IDHACK"}), True),
        (planned({"stage": "EXPRESS_IXSCAN"}), True),
        # The slot-based engine of MongoDB 7.
        (planned({"queryPlan": SCAN, "slotBasedPlan": {"stages": "…"}}), False),
        (planned({"queryPlan": INDEX, "slotBasedPlan": {"stages": "…"}}), True),
        # A sharded cluster: every shard has its own way.
        (planned({"stage": "SHARD_MERGE", "shards": [planned(INDEX)["queryPlanner"]]}), True),
        (
            planned(
                {
                    "stage": "SHARD_MERGE",
                    "shards": [planned(one)["queryPlanner"] for one in (INDEX, SCAN)],
                }
            ),
            False,
        ),
        # A view.
        ({"stages": [{"$cursor": planned(INDEX)}, {"$match": {"a": 1}}]}, True),
        ({"stages": [{"$cursor": planned(SCAN)}]}, False),
        ({"stages": [{"$cursor": planned(INDEX)}, {"$sort": {"sortKey": {"a": 1}}}]}, False),
        ({"shards": {"one": planned(INDEX), "two": planned(SCAN)}}, False),
        ({"shards": {"one": planned(INDEX), "two": planned(INDEX)}}, True),
    ],
)
def test_plans_are_read_wherever_they_stand(plan: Any, served: bool) -> None:
    assert is_served(plan, True) is served


def test_without_a_filter_everything_may_be_read() -> None:
    for plan in (SCAN, WHOLE):
        assert is_served(planned(plan), False)
    assert not is_served(planned({"stage": "SORT", "inputStage": INDEX}), False)
