"""Paging: by cursor over every kind of value, links, and counts; on both doors."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote_from_bytes

import pymongo
import pytest
from bson import (
    Binary,
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from falcon import testing
from marshmallow import fields as ma
from pymongo import MongoClient

from falcorest import Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from falcorest.database import Transactions
from falcorest.errors import ConfigurationError, QueryError
from falcorest.keyset import Cursors, place_of, whole_order
from falcorest.paging import INDEX_SECONDS
from falcorest.policy import Policy
from falcorest.query import Keyset, Query
from falcorest.service import CollectionService
from falcorest.settings import ResourceSettings
from falcorest.streams import BATCH
from tests.attacks.cursors import values_in
from tests.conftest import MakeApi
from tests.declared import DeclaredApi, MakeDeclared
from tests.features.conftest import KINDS
from tests.live.processes import serving
from tests.support import SECRET, Api, assert_problem, clean_environment
from tests.watching import Commands

Sort = tuple[tuple[str, int], ...]
CURSORS = Cursors("a secret", "c")

GONE: Any = object()
#: Every kind of value that MongoDB sorts, but lists and patterns.
VALUES: tuple[Any, ...] = (
    *(GONE, None, MinKey(), MaxKey(), math.nan, Decimal128("NaN"), -math.inf, math.inf),
    *(-1, 0, -0.0, Int64(0), Decimal128("0.0"), 1.5, Decimal128("1.5"), Int64(2**53 + 1), 2.0**53),
    *(Decimal128("1E+6000"), Decimal128("-Infinity"), "", "a", "a\0", "ä", "Z", {}, {"x": 1}),
    *({"x": [1]}, {"y": None}, {"x": {"z": 1}}, b"", b"b", Binary(b"a", 5), Binary(b"0" * 16, 4)),
    *(ObjectId("0" * 24), ObjectId("f" * 24), False, True, datetime(1, 1, 1), datetime(2021, 1, 1)),
    *(DatetimeMS(-(2**60)), DatetimeMS(2**60), Timestamp(0, 1), Timestamp(2**32 - 1, 1)),
    *(Code("x"), Code("y"), Code("x", {}), Code("x", {"a": 1}), DBRef("c", 1), DBRef("c", "x")),
)
#: As many that differ from each other, as an ``_id`` has to.
IDENTITIES = [
    value
    for value in VALUES
    if value is not GONE
    and not (isinstance(value, Decimal128) and str(value) in {"NaN", "0.0", "1.5", "-Infinity"})
    and not (isinstance(value, float) and value == 0)
    and type(value) is not Int64
    and not isinstance(value, DBRef)
]
_CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


def every_kind() -> Iterator[dict[str, Any]]:
    """Yield documents in which each value stands with several others."""
    identities = [*IDENTITIES, *range(100, 200)]
    for number, value in enumerate(VALUES):
        for other in (VALUES[(number * 7 + 3) % len(VALUES)], VALUES[(number * 5) % len(VALUES)]):
            document = {"_id": identities.pop(), "a": value, "b": other, "n": {"a": value}}
            if value is GONE:
                del document["a"], document["n"]["a"]
            if other is GONE:
                del document["b"]
            yield document


@pytest.fixture(params=KINDS)
def service(request: pytest.FixtureRequest, make_database: Callable[..., Any]) -> CollectionService:
    database = make_database(request.param)
    if request.param != "mongomock":
        database = database.with_options(codec_options=_CODEC)
    return service_of(database)


def service_of(database: Any, policy: Policy | None = None) -> CollectionService:
    return CollectionService(database, "c", policy or Policy(), Transactions(database))


def identities(documents: list[dict[str, Any]]) -> list[str]:
    # NOTE: NaN doesn't equal itself.
    return [repr(document["_id"]) for document in documents]


def walk(
    service: CollectionService, query: Query, size: int, parameter: str = "_after"
) -> list[str]:
    """Return the ids on all pages, from one end of a list to the other."""
    found: list[list[str]] = []
    keyset = Keyset(parameter)
    while True:
        page = service.page(
            Query(query.filter, query.projection, query.sort, limit=size, keyset=keyset)
        )
        assert keyset.ordered
        on = identities(page.documents)
        further = keyset.before if keyset.backwards else keyset.after
        assert len(on) == size or not further
        # NOTE: where it begins, there is something on the other side.
        back = keyset.after if keyset.backwards else keyset.before
        assert back is bool(found)
        found.append(on)
        if not further:
            break
        place = keyset.first if keyset.backwards else keyset.last
        assert place is not None
        keyset = Keyset(parameter, CURSORS.read(CURSORS.write(place) or "", parameter))
    return [one for on in (found[::-1] if parameter == "_before" else found) for one in on]


SORTS: tuple[Sort, ...] = (
    *((), (("_id", 1),), (("_id", -1),), (("a", 1),), (("a", -1),), (("n.a", 1),)),
    *((("b", sign), ("a", other)) for sign in (1, -1) for other in (1, -1)),
    *((("a", -1), ("_id", 1)), (("b", 1), ("_id", -1), ("a", 1)), (("n.a", -1), ("b", 1))),
)


#: PERF: a standalone server sorts as a replica set does.
JOINED = [
    *(("mongod", sort) for sort in SORTS),
    *(("mongomock", sort) for sort in SORTS),
    *(("standalone", sort) for sort in SORTS[5:7]),
]


@pytest.mark.parametrize(("kind", "sort"), JOINED, ids=str)
def test_the_pages_joined_are_the_whole_list(
    make_database: Callable[..., Any], kind: str, sort: Sort
) -> None:
    """Forwards and backwards, whatever the values, whatever the size of a page."""
    database = make_database(kind)
    if kind != "mongomock":
        database = database.with_options(codec_options=_CODEC)
    service = service_of(database)
    stored = list(every_kind())
    service.collection.insert_many(stored)
    # PERF: in memory a page takes as long as the whole list, whatever its size.
    sizes = [4, len(stored) - 1, len(stored), len(stored) + 1]
    if kind != "mongomock" or sort in SORTS[6:8]:
        sizes.append(1)
    if kind != "mongomock":
        service.collection.create_index([("b", 1), ("a", 1), ("_id", 1)])
    whole = identities(list(service.collection.find({}, sort=list(whole_order(sort)))))
    assert len(set(whole)) == len(stored)
    for size in sizes:
        for parameter in ("_after", "_before"):
            assert walk(service, Query(sort=sort), size, parameter) == whole, (size, parameter)


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_holds_on_every_page(kind: str, make_database: Callable[..., Any]) -> None:
    service = service_of(make_database(kind))
    service.collection.insert_many(
        [{"_id": n, "a": n % 4, "b": n % 3, "c": [n, "x"][n % 2]} for n in range(60)]
    )
    for filter in (
        {"b": 1},
        {"a": {"$gt": 1}},
        {"a": {"$gt": 0}, "$or": [{"b": 1}, {"c": "x"}]},
        {"$and": [{"a": {"$lt": 3}}, {"a": {"$ne": 1}}]},
        {"_id": {"$in": [1, 5, 9]}},
    ):
        for sort in ((("a", 1),), (("c", -1), ("a", 1)), ()):
            found = service.collection.find(filter, sort=list(whole_order(sort)))
            whole = identities(list(found))
            for parameter in ("_after", "_before"):
                assert walk(service, Query(filter, sort=sort), 4, parameter) == whole


@pytest.mark.parametrize("strength", [1, 3])
def test_a_collation_of_the_collection_is_that_of_its_pages(
    make_database: Callable[..., Any], strength: int
) -> None:
    database = make_database("mongod")
    collation = {"locale": "en", "strength": strength, "numericOrdering": True}
    database.create_collection("c", collation=collation)
    service = service_of(database)
    texts = ("a", "A", "á", "b", "B", "10", "9", "", "a10", "a9", None, 5)
    service.collection.insert_many([{"_id": n, "a": text} for n, text in enumerate(texts * 3)])
    for sort in ((("a", 1),), (("a", -1),)):
        whole = identities(list(service.collection.find({}, sort=list(whole_order(sort)))))
        for parameter in ("_after", "_before"):
            assert walk(service, Query(sort=sort), 2, parameter) == whole


@pytest.mark.parametrize("value", [[], [1], [[1]], [None], [{"b": 1}], {"b": [1]}], ids=repr)
def test_a_list_on_a_page_has_no_place(service: CollectionService, value: Any) -> None:
    service.collection.insert_many([{"_id": 1, "a": {"b": 1}}, {"_id": 2, "a": value}])
    for path in ("a", "a.b") if isinstance(value, list) else ("a.b",):
        query = Query(sort=((path, 1),), limit=5)
        for keyset in (Keyset("_after"), Keyset("_before")):
            with pytest.raises(QueryError) as caught:
                service.page(replace(query, keyset=keyset))
            assert caught.value.code == "query.invalid_sort"
            assert caught.value.parameter == keyset.parameter
            assert repr(path) in caught.value.detail
        keyset = Keyset()
        assert len(service.page(replace(query, keyset=keyset)).documents) == 2
        assert not keyset.ordered


def test_lists_that_sort_further_on_are_not_passed_over(service: CollectionService) -> None:
    """What is before them is paged through, and then it is said that it goes no further."""
    service.collection.insert_many([{"_id": n, "a": n} for n in range(4)])
    for value, direction in (([9], 1), (["x", 7], 1), ([-5], -1), ([], -1), ([[]], -1)):
        service.collection.delete_many({"_id": "list"})
        service.collection.insert_one({"_id": "list", "a": value})
        with pytest.raises(QueryError, match="a list"):
            walk(service, Query(sort=(("a", direction),)), 2)


def test_a_pattern_has_no_place(service: CollectionService) -> None:
    service.collection.insert_many([{"_id": 1, "a": Regex("x")}, {"_id": 2, "a": MaxKey()}])
    with pytest.raises(QueryError, match="a regular expression"):
        service.page(Query(sort=(("a", 1),), limit=1, keyset=Keyset("_after")))


# ------------------------------------------------------------------------------ what it costs


@pytest.fixture(scope="module")
def explained(mongo_uri: str) -> Iterator[Callable[..., int]]:
    """Tell how many keys of indexes MongoDB looks at for a page."""
    commands = Commands()
    with MongoClient[dict[str, Any]](mongo_uri, event_listeners=[commands]) as client:
        database = client[f"test_{uuid.uuid4().hex[:12]}"]
        yield explained_in(database, commands)
        client.drop_database(database)


def explained_in(database: Any, commands: Commands) -> Callable[..., int]:
    database.c.insert_many(
        [
            {"_id": n, "a": n // 7, "b": -n, "rare": n % 500, "half": n % 2, "name": f"n{n:06}"}
            for n in range(50_000)
        ]
    )
    for key in (("a",), ("rare", "a"), ("b", "-a"), ("half", "a", "name"), ("a", "name")):
        fields = [(name.lstrip("-"), -1 if name[0] == "-" else 1) for name in key]
        last = fields[-1][1]
        database.c.create_index([*fields, ("_id", last)])
    service = service_of(database)

    def keys_of(query: Query) -> int:
        commands.take()
        service.page(query)
        finds = [one for one in commands.take() if one["name"] == "find"]
        total = 0
        for find in finds:
            names = ("find", "filter", "sort", "limit", "projection", "skip")
            asked = {name: find[name] for name in names if name in find}
            plan = database.command("explain", asked, verbosity="executionStats")
            statistics = plan["executionStats"]
            assert statistics["totalDocsExamined"] <= 3 * statistics["nReturned"] + 10
            total += statistics["totalKeysExamined"]
        return total

    return keys_of


@pytest.mark.parametrize(
    ("filter", "sort"),
    [
        ({}, ()),
        ({}, (("_id", -1),)),
        ({}, (("a", 1),)),
        ({}, (("a", -1),)),
        ({}, (("b", 1), ("a", -1))),
        ({}, (("a", 1), ("name", 1))),
        ({"rare": 3}, (("a", 1),)),
        ({"rare": 3}, (("a", -1),)),
        ({"half": 1}, (("a", 1), ("name", 1))),
        ({"rare": {"$eq": 3}, "_id": {"$gt": 5}}, (("a", 1),)),
    ],
    ids=str,
)
@pytest.mark.live
def test_a_page_far_behind_costs_what_the_first_one_costs(
    explained: Callable[..., int], filter: dict[str, Any], sort: Sort
) -> None:
    size = 5
    query = Query(filter, sort=sort, limit=size)
    order = whole_order(sort)
    for parameter in ("_after", "_before"):
        first = explained(replace(query, keyset=Keyset(parameter)))
        assert first <= 3 * size
        for n in (25_003, 45_003, 5003):
            document = {"_id": n, "a": n // 7, "b": -n, "name": f"n{n:06}"}
            keyset = Keyset(parameter, place_of(document, order))
            # NOTE: that and whether there is something before it, a few keys for each field.
            assert explained(replace(query, keyset=keyset)) <= first + 10 * len(order)
            assert keyset.before
            assert keyset.after


# ------------------------------------------------------------------------------------- links


def links(result: testing.Result) -> dict[str, str]:
    """Return the addresses in a Link header by what they are."""
    header = result.headers.get("link", "")
    found = re.findall(r'<([^<>"]*)>; rel="([a-z]+)"', header)
    assert header == ", ".join(f'<{url}>; rel="{rel}"' for url, rel in found)
    return {rel: url for url, rel in found}


def parameters(url: str) -> dict[str, str]:
    return dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))


class RocketSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    no = ma.Integer()
    name = ma.String(attribute="title")
    tags = ma.List(ma.String())


class RocketResource(Resource):
    collection = "rocket_engines"
    schema = RocketSchema
    filters: ClassVar[Any] = {"no": [ops.Gte, ops.Exact], "name": [ops.Exact]}
    allowed_ordering: ClassVar[Any] = ["no", "-no", "name", "-name", "tags"]


class RocketView(ResourceView):
    resource = RocketResource
    methods: ClassVar[Any] = [methods.List, methods.Fetch, methods.Create, methods.BulkDelete]


def declared_view(**attributes: Any) -> type[ResourceView]:
    resource = type("Rockets", (RocketResource,), attributes)
    return type("RocketsView", (RocketView,), {"resource": resource})


@dataclass
class Door:
    """One of the two doors to a collection, called in process.

    Attributes:
        get: Sends a request for a query string.
        documents: Returns the documents in an answer.
        sort: Writes a sort by one field.
    """

    database: Any
    get: Callable[[str], testing.Result]
    documents: Callable[[testing.Result], list[Any]]
    sort: Callable[[str], str]
    is_declared: bool

    def numbers(self, result: testing.Result) -> list[int]:
        assert result.status_code == 200, result.text
        return [one["no"] for one in self.documents(result)]


def zero_code(api: Api) -> Door:
    def sort(name: str) -> str:
        direction = "descending" if name.startswith("-") else "ascending"
        return f"_sort=({name.lstrip('-')}:{direction})"

    return Door(api.database, lambda query: api.get(f"/api/rockets?{query}"),
                lambda result: result.json, sort, False)  # fmt: skip


def declared(api: DeclaredApi) -> Door:
    return Door(api.database, lambda query: api.get(f"/rockets?{query}"),
                lambda result: result.json["data"], lambda name: f"_order_by={name}",
                True)  # fmt: skip


@pytest.fixture(params=["zero-code", "declared"])
def door(request: pytest.FixtureRequest, any_uri: str) -> Door:
    """Both doors, on each kind of database."""
    if request.param == "zero-code":
        return zero_code(request.getfixturevalue("make_api")(any_uri))
    return declared(request.getfixturevalue("declared_beside")(rockets=RocketView))


def fill(door: Door, count: int = 10) -> None:
    door.database["rocket_engines"].insert_many(
        [{"no": n, "title": f"r{n // 3}", "n": n % 2} for n in range(count)]
    )


def test_links_lead_through_the_whole_list_and_back(door: Door) -> None:
    fill(door)
    for order, numbers in (
        ("", [*range(10)]),
        (door.sort("no"), [*range(10)]),
        (door.sort("-no"), [*range(9, -1, -1)]),
        (door.sort("name" if door.is_declared else "title"), [*range(10)]),
        (door.sort("-name" if door.is_declared else "-title"), [*range(9, -1, -1)]),
    ):
        result, seen = door.get(f"{order}&_limit=4"), []
        assert set(links(result)) == {"next"}
        while True:
            seen.append(door.numbers(result))
            following = links(result).get("next")
            if following is None:
                break
            assert parameters(following).keys() >= {"_after", "_limit"}
            assert "_skip" not in parameters(following)
            result = door.get(following.partition("?")[2])
        assert seen == [numbers[:4], numbers[4:8], numbers[8:]]
        assert set(links(result)) == {"prev", "first"}
        for expected in (numbers[4:8], numbers[:4]):
            result = door.get(links(result)["prev"].partition("?")[2])
            assert door.numbers(result) == expected
            if door.is_declared:
                assert result.json["has_more"] is True
        assert set(links(result)) == {"next"}


def test_the_first_page_and_the_last_one(door: Door) -> None:
    fill(door)
    order = door.sort("-no")
    for query, numbers, relations in (
        (f"{order}&_limit=3&_after=", [9, 8, 7], {"next"}),
        (f"{order}&_limit=3&_before=", [2, 1, 0], {"prev", "first"}),
        (f"{order}&_limit=50&_before=", [*range(9, -1, -1)], set()),
    ):
        result = door.get(query)
        assert door.numbers(result) == numbers
        assert set(links(result)) == relations
        if door.is_declared:
            assert result.json["has_more"] is ("next" in relations)
    first = links(door.get(f"{order}&_limit=3&_before="))["first"]
    assert door.numbers(door.get(first.partition("?")[2])) == [9, 8, 7]


def test_a_link_keeps_what_the_client_asks_for(door: Door) -> None:
    fill(door)
    shown = "_fields=no" if door.is_declared else "_projection=no"
    filter = "no__gte=2" if door.is_declared else "no=gte[int].2"
    name = "name" if door.is_declared else "title"
    result = door.get(f"{filter}&{door.sort(name)}&{shown}&_limit=3&_count=exact")
    following = parameters(links(result)["next"])
    asked = parameters(f"?{filter}&{door.sort(name)}&{shown}&_limit=3&_count=exact")
    assert following == {**asked, "_after": following["_after"]}
    result = door.get(links(result)["next"].partition("?")[2])
    assert door.numbers(result) == [5, 6, 7]
    # NOTE: the field of the sort is read for the link, and not shown.
    assert all(set(one) <= {"no", "_id"} for one in door.documents(result))
    assert result.headers["x-total-count"] == "8"


def test_a_client_that_goes_by_number_is_led_by_number(door: Door) -> None:
    fill(door)
    order = door.sort("no")
    result = door.get(f"{order}&_limit=3&_skip=4")
    assert door.numbers(result) == [4, 5, 6]
    found = {relation: parameters(url) for relation, url in links(result).items()}
    assert found["next"]["_skip"] == "7"
    assert found["prev"]["_skip"] == "1"
    assert "_skip" not in found["first"]
    assert not any("_after" in one for one in found.values())
    result = door.get(f"{order}&_limit=3&_skip=1")
    assert parameters(links(result)["prev"])["_skip"] == "0"
    assert set(links(door.get(f"{order}&_limit=3&_skip=8"))) == {"prev", "first"}


def test_what_comes_before_a_page_and_after_it_is_looked_up(door: Door) -> None:
    """A link stands where there is something, also if it wasn't there before."""
    fill(door, 4)
    order = door.sort("no")
    second = links(door.get(f"{order}&_limit=2"))["next"].partition("?")[2]
    back = links(door.get(second))["prev"].partition("?")[2]
    rockets = door.database["rocket_engines"]
    rockets.delete_many({"no": {"$lt": 2}})
    result = door.get(second)
    assert (door.numbers(result), set(links(result))) == ([2, 3], set())
    result = door.get(back)
    assert (door.numbers(result), set(links(result))) == ([], {"next"})
    assert door.numbers(door.get(links(result)["next"].partition("?")[2])) == [2, 3]
    rockets.insert_one({"no": 0})
    rockets.delete_many({"no": {"$gte": 2}})
    result = door.get(second)
    assert (door.numbers(result), set(links(result))) == ([], {"prev", "first"})
    assert door.numbers(door.get(links(result)["prev"].partition("?")[2])) == [0]
    result = door.get(back)
    assert (door.numbers(result), set(links(result))) == ([0], set())
    rockets.delete_many({})
    for query in (second, back):
        result = door.get(query)
        assert (door.numbers(result), set(links(result))) == ([], set())


def test_a_list_that_fits_on_a_page_has_no_links(door: Door) -> None:
    fill(door, 3)
    for query in ("", "_limit=3", f"{door.sort('no')}&_limit=3", "_limit=3&_after="):
        assert links(door.get(query)) == {}, query


def test_cursors_without_a_limit(door: Door) -> None:
    fill(door)
    order = door.sort("no")
    found = links(door.get(f"{order}&_limit=3&_before="))["prev"]
    cursor = parameters(found)["_before"]
    assert door.numbers(door.get(f"{order}&_before={cursor}")) == [*range(7)]
    assert door.numbers(door.get(f"{order}&_after={cursor}")) == [8, 9]
    assert door.numbers(door.get(f"{order}&_after=")) == [*range(10)]
    assert door.numbers(door.get(f"{order}&_before=")) == [*range(10)]


def test_a_cursor_is_refused_where_it_does_not_belong(door: Door) -> None:
    fill(door)
    order, other = door.sort("no"), door.sort("-no")
    cursor = parameters(links(door.get(f"{order}&_limit=3"))["next"])["_after"]
    forged = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    for query, parameter in (
        (f"{other}&_after={cursor}", "_after"),
        (f"_after={cursor}", "_after"),
        (f"{other}&_before={cursor}&_limit=1", "_before"),
        (f"{order}&_after={forged}", "_after"),
        (f"{order}&_after={cursor[:-4]}", "_after"),
        (f"{order}&_before={cursor}=", "_before"),
        (f"{order}&_before={cursor}%00", "_before"),
        (f"{order}&_after={cursor}&_before={cursor}", "_after"),
        (f"{order}&_after={cursor}&_skip=1", "_after"),
        (f"{order}&_before=&_skip=0", "_before"),
        (f"_after={'A' * 20_000}", "_after"),
    ):
        assert_problem(door.get(query), 400, "query.invalid_cursor", parameter=parameter)
    again = f"{order}&_after={cursor}&_after={cursor}"
    assert_problem(door.get(again), 400, "query.repeated_parameter", parameter="_after")
    filter = "no__gte=5" if door.is_declared else "no=gte[int].5"
    assert door.numbers(door.get(f"{order}&_after={cursor}&{filter}")) == [*range(5, 10)]


def test_a_field_that_holds_lists(door: Door) -> None:
    fill(door, 6)
    door.database["rocket_engines"].update_many({"no": {"$gte": 4}}, {"$set": {"tags": ["a"]}})
    order = door.sort("tags")
    for parameter in ("_after", "_before"):
        problem = door.get(f"{order}&_limit=5&{parameter}=")
        assert_problem(problem, 400, "query.invalid_sort", parameter=parameter, naming="tags")
    result = door.get(f"{order}&_limit=5")
    assert parameters(links(result)["next"])["_skip"] == "5"
    assert door.numbers(door.get(links(result)["next"].partition("?")[2])) == [5]
    # NOTE: while there is none on the page, it is paged by cursor; then it is said.
    result = door.get(f"{order}&_limit=4")
    problem = door.get(links(result)["next"].partition("?")[2])
    assert_problem(problem, 400, "query.invalid_sort", parameter="_after")


def test_values_that_are_too_long_for_a_cursor(door: Door) -> None:
    rockets = door.database["rocket_engines"]
    rockets.insert_many([{"no": n, "title": f"{n}" * 3000} for n in range(3)])
    order = door.sort("name" if door.is_declared else "title")
    result = door.get(f"{order}&_limit=1")
    assert parameters(links(result)["next"])["_skip"] == "1"
    problem = door.get(f"{order}&_limit=1&_after=")
    assert_problem(problem, 400, "query.invalid_sort", parameter="_after", naming="too long")
    assert door.numbers(door.get(f"{order}&_limit=3&_after=")) == [0, 1, 2]


def test_head_has_the_links_and_counts_of_get(any_api: Api, declared_beside: MakeDeclared) -> None:
    guest = declared_beside(rockets=RocketView)
    for api, url in ((any_api, "/api/rockets"), (guest, "/rockets")):
        api.database["rocket_engines"].insert_many([{"no": n} for n in range(5)])
        got, headed = (api(verb, f"{url}?_limit=2&_count=exact") for verb in ("GET", "HEAD"))
        assert headed.content == b""
        for name in ("link", "x-total-count", "x-total-count-kind"):
            assert headed.headers[name] == got.headers[name]


# ------------------------------------------------------------------- where links are by cursor


@pytest.mark.live
def test_links_are_by_cursor_where_that_costs_nothing(make_api: MakeApi, mongo_uri: str) -> None:
    def by(query: str, index: list[Any] | None = None) -> str:
        api = make_api(mongo_uri)
        api.rockets.insert_many([{"no": n, "c": 1} for n in range(4)])
        if index is not None:
            api.rockets.create_index(index)
        following = links(api.get(f"/api/rockets?{query}&_limit=2"))["next"]
        assert [one["no"] for one in api.get(following).json] == [2, 3]
        return "_after" if "_after" in parameters(following) else "_skip"

    order = "_sort=(no:ascending)"
    assert by("") == "_after"
    assert by(order) == "_after"
    assert by(order, [("no", 1)]) == "_skip"
    assert by(f"{order}&_after=", [("no", 1)]) == "_after"
    assert by("_sort=(no:ascending),(_id:ascending)", [("no", 1)]) == "_after"
    assert by(order, [("no", 1), ("_id", 1)]) == "_after"
    assert by("c=[int].1", [("c", 1)]) == "_skip"
    assert by("c=[int].1", [("c", 1), ("_id", 1)]) == "_after"


@pytest.mark.live
def test_the_order_of_a_client_is_not_sorted_in_memory(
    make_database: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = Commands()
    database = make_database("mongod", event_listeners=[commands])
    database.c.create_index("a")
    database.c.insert_many([{"a": n} for n in range(3)])
    service = service_of(database)
    query = Query(sort=(("a", 1),), limit=2, keyset=Keyset())
    service.page(query)

    def sorts_and_hints() -> list[tuple[Any, Any]]:
        commands.take()
        service.page(query)
        finds = (one for one in commands.take() if one["name"] == "find")
        return [(one["sort"], one.get("hint")) for one in finds]

    by_index, whole = ({"a": 1}, "a_1"), ({"a": 1, "_id": 1}, None)
    assert sorts_and_hints() == [by_index]
    database.c.create_index([("a", 1), ("b", 1)])
    assert sorts_and_hints() == [by_index]
    database.c.drop_indexes()
    # NOTE: that it isn't there any more shows at once; that one is there, after a while.
    assert sorts_and_hints() == [by_index, whole]
    assert sorts_and_hints() == [whole]
    database.c.create_index("a")
    assert sorts_and_hints() == [whole]
    monkeypatch.setattr("falcorest.paging.monotonic", lambda: monotonic() + INDEX_SECONDS)
    assert sorts_and_hints() == [by_index]


@pytest.mark.live
def test_a_view_of_mongodb_is_paged(make_api: MakeApi, mongo_uri: str) -> None:
    api = make_api(mongo_uri, collections="rockets:few,all:rocket_engines")
    api.database.drop_collection("few")
    api.database.command("create", "few", viewOn="rocket_engines", pipeline=[{"$match": {"n": 1}}])
    api.rockets.insert_many([{"no": n, "n": n % 2} for n in range(8)])
    order = "_sort=(no:ascending)"
    result = api.get(f"/api/rockets?{order}&_limit=3&_count=estimated")
    assert "_after" in parameters(links(result)["next"])
    assert result.headers["x-total-count"] == "4"
    result = api.get(links(result)["next"])
    assert [one["no"] for one in result.json] == [7]


@pytest.mark.live
@pytest.mark.parametrize(
    ("indexes", "asked"),
    [
        (["n", "v"], "v=[int].1&_sort=(n:ascending)"),
        (["n", "v", "m"], "or=(v.eq[int].1,m.eq[int].2)&_sort=(n:ascending)"),
        (["v", "m"], "v=[int].1&m=in[list-int].[0,1,2]"),
        ([("n", {"sparse": True})], "_sort=(n:ascending)"),
        (["n"], "_sort=(n:descending)"),
        (["v"], "v=[int].1"),
        ([], "_sort=(n:ascending)"),
    ],
    ids=str,
)
def test_links_lead_to_each_document_once(
    make_api: MakeApi, mongo_uri: str, indexes: list[Any], asked: str
) -> None:
    api = make_api(mongo_uri)
    api.rockets.insert_many(
        [{"_id": no * 7 % 400, "n": no % 3, "v": no % 4, "m": no % 5} for no in range(400)]
    )
    for index in indexes:
        name, options = index if isinstance(index, tuple) else (index, {})
        api.rockets.create_index(name, **options)
    everything = [one["_id"] for one in api.get(f"/api/rockets?{asked}").json]
    found: list[int] = []
    url: str | None = f"/api/rockets?{asked}&_limit=7"
    while url is not None:
        result = api.get(url)
        found += [one["_id"] for one in result.json]
        url = links(result).get("next")
    assert len(everything) >= 60
    assert sorted(found) == sorted(everything)


@pytest.mark.live
def test_an_index_is_required_of_the_order_that_is_read(make_api: MakeApi, mongo_uri: str) -> None:
    api = make_api(mongo_uri, require_index=True)
    api.rockets.create_index("a")
    api.rockets.create_index([("b", 1), ("_id", 1)])
    api.rockets.insert_many([{"a": n, "b": n} for n in range(5)])
    assert api.get("/api/rockets?_sort=(a:ascending)&_limit=2").status_code == 200
    problem = api.get("/api/rockets?_sort=(a:ascending)&_limit=2&_after=")
    assert_problem(problem, 400, "query.no_index", naming="{a: 1, _id: 1}")
    result = api.get("/api/rockets?_sort=(b:descending)&_limit=2")
    for expected in ([2, 1], [0]):
        result = api.get(links(result)["next"])
        assert [one["b"] for one in result.json] == expected
    result = api.get("/api/rockets?_limit=2&_after=")
    assert [one["b"] for one in api.get(links(result)["next"]).json] == [2, 3]


def test_a_long_list_without_a_bound_is_streamed(
    any_api: Api, declared_beside: MakeDeclared
) -> None:
    guest = declared_beside(rockets=declared_view(paginate=False, max_limit=None))
    for api, url in ((any_api, "/api/rockets"), (guest, "/rockets")):
        api.database["rocket_engines"].insert_many([{"no": n} for n in range(BATCH + 2)])
        result = api.get(f"{url}?_limit={BATCH}")
        assert set(links(result)) == {"next"}
        assert "has_more" not in result.text
        last = api.get(links(result)["next"])
        assert set(links(last)) == {"prev", "first"}
        assert last.text.count('"no"') == 2
        result = api.get(f"{url}?_limit={BATCH + 1}")
        assert (links(result), result.text.count('"no"')) == ({}, BATCH + 1)
        for parameter in ("_after", "_before"):
            problem = api.get(f"{url}?_limit={BATCH + 1}&{parameter}=")
            assert_problem(problem, 400, "query.invalid_limit", parameter="_limit", naming="500")
            assert api.get(f"{url}?{parameter}=").text.count('"no"') == BATCH + 2


# -------------------------------------------------------------------------- who may see what


HIDING = {"hidden": ["cost"], "rows": {"public": {"draft": {"$ne": True}}},
          "unrestricted": ["admin"], "read": ["public"]}  # fmt: skip


@pytest.fixture
def hiding(make_api: MakeApi, any_uri: str) -> Api:
    api = make_api(any_uri, resources={"rockets": ResourceSettings(rules=HIDING)})
    api.rockets.insert_many(
        [{"_id": n, "no": n // 2, "cost": 9 - n, "draft": n % 3 == 0} for n in range(10)]
    )
    return api


def test_rules_hold_on_every_page(hiding: Api) -> None:
    seen: list[int] = []
    url = "/api/rockets?_sort=(no:descending)&_limit=2&_count=exact"
    while url:
        result = hiding.get(url, token=None)
        assert result.headers["x-total-count"] == "6"
        assert all("cost" not in one and not one["draft"] for one in result.json)
        seen += [one["_id"] for one in result.json]
        url = links(result).get("next", "")
    assert seen == [8, 7, 5, 4, 2, 1]


def test_the_cursor_of_somebody_else_shows_nothing_more(hiding: Api) -> None:
    order = "_sort=(no:ascending)&_limit=2"
    first = hiding.get(f"/api/rockets?{order}")
    assert [one["_id"] for one in first.json] == [0, 1]
    second = hiding.get(links(first)["next"], token=None)
    assert [one["_id"] for one in second.json] == [2, 4]
    # NOTE: whether something comes before a page is asked for the caller, too.
    hiding.rockets.delete_one({"_id": 1})
    assert "prev" in links(hiding.get(links(first)["next"]))
    assert "prev" not in links(hiding.get(links(first)["next"], token=None))


def test_a_hidden_field_is_no_way_to_page(hiding: Api) -> None:
    for parameter in ("", "&_after=", "&_before=", "&_count=exact"):
        for query in ("_sort=(cost:ascending)&_limit=2", "cost=gt[int].1"):
            result = hiding.get(f"/api/rockets?{query}{parameter}", token=None)
            assert_problem(result, 403, "policy.field")
    cursor = parameters(links(hiding.get("/api/rockets?_limit=2"))["next"])["_after"]
    assert values_in(cursor) == [1]


def test_any_bytes_for_a_cursor_are_refused(make_api: MakeApi, make_declared: MakeDeclared) -> None:
    apis = {"/api/rockets": make_api("mongomock://"), "/rockets": make_declared(rockets=RocketView)}
    random = Random(1)
    for url, api in apis.items():
        for number in range(300):
            sent = quote_from_bytes(random.randbytes(random.randrange(1, 90)))
            result = api.get(f"{url}?{('_after', '_before')[number % 2]}={sent}")
            assert result.status_code == 400
            assert result.json["code"] in {"query.invalid_cursor", "query.malformed"}


def test_an_estimate_tells_nothing_of_what_is_not_seen(hiding: Api) -> None:
    for kind in ("estimated", "capped", "exact"):
        result = hiding.get(f"/api/rockets?_count={kind}", token=None)
        assert result.headers["x-total-count"] == "6"
        assert result.headers["x-total-count-kind"] == "exact"
    result = hiding.get("/api/rockets?_count=estimated")
    assert result.headers["x-total-count"] == "10"
    assert result.headers["x-total-count-kind"] == "estimated"


def test_read_permissions_hold_for_pages_and_counts(declared_api: MakeDeclared) -> None:
    def has_read_permission(self: Any, req: Any, query: Query) -> Query:
        return query.where({"no": {"$gte": 3}})

    api = declared_api(rockets=declared_view(has_read_permission=has_read_permission))
    api.database["rocket_engines"].insert_many([{"no": n} for n in range(8)])
    for kind in ("exact", "estimated", "capped"):
        result = api.get(f"/rockets?_limit=3&_count={kind}")
        assert (result.json["total_count"], result.json["has_more"]) == (5, True)
    result = api.get(links(result)["next"])
    assert [one["no"] for one in result.json["data"]] == [6, 7]
    assert set(links(result)) == {"prev", "first"}
    none = declared_view(has_read_permission=lambda self, req, query: query.none())
    api = declared_api(database=api.database, rockets=none)
    for query in ("_count=estimated", "_after=&_count=exact"):
        answer = api.get(f"/rockets?{query}").json
        assert answer == {"data": [], "has_more": False, "total_count": 0}


# ------------------------------------------------------------------------------------- hooks


def test_hooks_that_read_through_the_service_are_paged(declared_api: MakeDeclared) -> None:
    def own(self: Any, query: Query) -> Any:
        page = self.service.page(query.where({"no": {"$ne": 1}}))
        return page.documents, page.has_more

    def inherited(self: Any, query: Query) -> Any:
        documents, has_more = RocketResource.get_objects(self, query)
        return documents[::-1], has_more, {"total_count": "mine"}

    def sorted_otherwise(self: Any, query: Query) -> Any:
        return RocketResource.get_objects(self, replace(query, sort=(("no", -1),)))

    for hook, pages in (
        (own, [[0, 2], [3, 4]]),
        (inherited, [[1, 0], [3, 2], [4]]),
        (sorted_otherwise, [[4, 3], [2, 1], [0]]),
    ):
        api = declared_api(rockets=declared_view(get_objects=hook))
        api.database["rocket_engines"].delete_many({})
        api.database["rocket_engines"].insert_many([{"no": n} for n in range(5)])
        url, seen = "/rockets?_order_by=no&_limit=2&_count=exact", []
        while url:
            result = api.get(url)
            seen.append([one["no"] for one in result.json["data"]])
            assert result.json["total_count"] == ("mine" if hook is inherited else 5)
            assert result.headers["x-total-count"] == "5"
            url = links(result).get("next", "")
            assert "_skip" not in url
        assert seen == pages


def test_hooks_that_read_elsewhere_are_paged_by_number(declared_api: MakeDeclared) -> None:
    def get_objects(self: Any, query: Query) -> Any:
        limit = query.limit or 0
        return [{"no": n} for n in range(query.skip, query.skip + limit)], True

    api = declared_api(rockets=declared_view(get_objects=get_objects))
    result = api.get("/rockets?_limit=2")
    assert parameters(links(result)["next"]) == {"_limit": "2", "_skip": "2"}
    for parameter in ("_after", "_before"):
        problem = api.get(f"/rockets?_limit=2&{parameter}=")
        assert_problem(problem, 400, "query.invalid_cursor", parameter=parameter)


def test_hooks_that_find_documents_get_them_in_their_order(declared_api: MakeDeclared) -> None:
    def get_objects(self: Any, query: Query) -> Any:
        return self.service.find(query), False

    api = declared_api(rockets=declared_view(get_objects=get_objects))
    api.database["rocket_engines"].insert_many([{"no": n} for n in range(5)])
    listed = api.listed("/rockets?_order_by=no&_limit=2&_before=")
    assert [one["no"] for one in listed] == [3, 4]


# ------------------------------------------------------------------------------------- counts


def test_counts(door: Door) -> None:
    fill(door, 7)
    filter = "no__gte=3" if door.is_declared else "no=gte[int].3"
    for query, count, kind in (
        ("_count=exact", 7, "exact"),
        ("_count=capped", 7, "exact"),
        ("_count=estimated", 7, "estimated"),
        (f"{filter}&_count=exact&_limit=1", 4, "exact"),
        (f"{filter}&_count=estimated", 4, "exact"),
        (f"{filter}&_count=capped&_skip=2", 4, "exact"),
        (f"{door.sort('no')}&_limit=2&_before=&_count=exact", 7, "exact"),
    ):
        result = door.get(query)
        assert result.headers["x-total-count"] == str(count), query
        assert result.headers["x-total-count-kind"] == kind, query
        if door.is_declared:
            assert result.json["total_count"] == count
    if door.is_declared:
        answer = door.get("_limit=0&_count=exact").json
        assert answer == {"data": [], "has_more": True, "total_count": 7}
    result = door.get("")
    assert "x-total-count" not in result.headers
    assert "total_count" not in result.text
    for value in ("", "all", "Exact", "1"):
        problem = door.get(f"_count={value}")
        assert_problem(problem, 400, "query.invalid_count", parameter="_count", naming="exact")


def test_counting_stops_at_a_limit(make_api: MakeApi, any_uri: str) -> None:
    api = make_api(any_uri, max_count=5)
    for stored, count, kind in ((5, "5", "exact"), (1, "5", "capped"), (3, "5", "capped")):
        api.rockets.insert_many([{"n": 1} for _ in range(stored)])
        for query in ("_count=capped", "n=[int].1&_count=estimated"):
            headers = api.get(f"/api/rockets?{query}").headers
            assert (headers["x-total-count"], headers["x-total-count-kind"]) == (count, kind)
    assert api.get("/api/rockets?_count=exact").headers["x-total-count"] == "9"


@pytest.mark.live
def test_an_exact_count_is_bounded_in_time(
    make_api: MakeApi, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = make_api(mongo_uri, timeout_ms=1000)
    api.rockets.insert_one({"a": 1})
    counting: Any = CollectionService._count

    def slowly(self: Any, query: Query) -> Any:
        # NOTE: MongoDB gives up when what is left of the time is over.
        with pymongo.timeout(0.001):
            sleep(0.01)
            return counting(self, query)

    monkeypatch.setattr(CollectionService, "_count", slowly)
    assert_problem(api.get("/api/rockets?_count=exact"), 503, "query.timeout")


def test_a_bulk_write_is_no_list(any_api: Api, declared_beside: MakeDeclared) -> None:
    guest = declared_beside(rockets=RocketView)
    for api, url in ((any_api, "/api/rockets"), (guest, "/rockets")):
        api.database["rocket_engines"].insert_one({"no": 1})
        for method in ("DELETE",) if api is guest else ("PATCH", "DELETE"):
            for parameter in ("_after", "_before", "_count"):
                result = api(method, f"{url}?no=1&{parameter}=exact", {"$set": {"a": 1}})
                assert result.status_code == 400
                assert result.json["parameter"] == parameter


# ------------------------------------------------------------------------------------ secrets


def test_cursors_are_signed_by_a_secret_of_the_application(make_declared: MakeDeclared) -> None:
    apis = [
        make_declared(rockets=RocketView, options={} if secret is None else {"secret": secret})
        for secret in (None, "x" * 32, "y" * 32)
    ]
    for api in apis:
        api.database["rocket_engines"].insert_many([{"_id": n} for n in range(3)])
    urls = [links(api.get("/rockets?_limit=1"))["next"] for api in apis]
    for api, own in zip(apis, urls, strict=True):
        for url in urls:
            assert api.get(url).status_code == (200 if url == own else 400)


@pytest.mark.parametrize("secret", ["", "short", b"x" * 32, 5])
def test_a_secret_that_is_none(make_declared: MakeDeclared, secret: Any) -> None:
    with pytest.raises(ConfigurationError, match="secret"):
        make_declared(options={"secret": secret})


# ------------------------------------------------------------------------------ a real server


@pytest.mark.live
def test_a_server_is_paged_through(tmp_path: Path, mongo_uri: str) -> None:
    name = f"test_{uuid.uuid4().hex[:12]}"
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        client[name].rockets.insert_many([{"name": f"é&{n:02} >", "n": n} for n in range(23)])
        environment = clean_environment(
            MONGODB_URI=mongo_uri, DATABASE=name, COLLECTIONS="*", JWT_SECRET_KEY=SECRET
        )
        with serving(tmp_path, "--workers", "2", environment=environment) as server:
            url, seen = "/api/rockets?_sort=(name:descending)&_limit=5&_count=exact", []
            while url:
                answer = server.get(url)
                assert answer.headers["x-total-count"] == "23"
                seen += [one["n"] for one in answer.json]
                found = re.search(r'<([^>]*)>; rel="next"', answer.headers.get("link", ""))
                url = found[1] if found else ""
        client.drop_database(name)
    assert seen == [*range(22, -1, -1)]
