"""Indexes as MongoDB has them: what is told of them holds, and building them does it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import IndexModel, MongoClient
from pymongo.collection import Collection
from pymongo.errors import OperationFailure, PyMongoError

from falcorest import index_report
from falcorest.catalog import Served
from falcorest.errors import ConfigurationError
from falcorest.index_report import build_missing, index_table
from falcorest.indexes import Index, read_indexes
from falcorest.indexes.build import Progress, build, reason
from falcorest.indexes.comparison import State, compare, look
from falcorest.indexing import compare_all, declared_in_views
from falcorest.scaffold import scaffold
from falcorest.server import build_app
from falcorest.settings import ResourceSettings, Settings
from falcorest.targets import views_of
from tests.conftest import Pool
from tests.support import assert_problem

pytestmark = pytest.mark.live

Rockets = Collection[dict[str, Any]]

#: One of each kind.
EVERY_KIND: list[Any] = [
    "name",
    "-rating",
    ["country", "-thrust"],
    "engine.cycle",
    "place:2dsphere",
    "key:hashed",
    "_id:hashed",
    ["country", "title:text", "body:text", "-year"],
    {"keys": "email", "unique": True},
    {"keys": "nick", "unique": True, "sparse": True, "name": "by nick"},
    {"keys": "seen", "expire_after_seconds": 3600},
    {"keys": "n", "partial_filter": {"n": {"$gt": 1.0, "$lt": 5}, "$or": [{"a": 1}, {"b": True}]}},
    {"keys": ["a", "b"], "partial_filter": {"a": {"$exists": True}, "b": {"$type": "string"}}},
    {"keys": "city", "unique": True, "collation": {"locale": "en", "strength": 2}},
    {"keys": "town", "collation": {"locale": "fr_CA"}},
]


def _rockets(uri: str, pool: Pool) -> Iterator[Rockets]:
    with MongoClient[dict[str, Any]](uri) as client:
        database = client[pool.take(uri, rockets=False)]
        yield database.rockets
        pool.give(uri, database, rockets=False)


@pytest.fixture
def rockets(mongo_uri: str, pool: Pool) -> Iterator[Rockets]:
    """A collection that isn't there yet, on a replica set."""
    yield from _rockets(mongo_uri, pool)


@pytest.fixture(params=["mongo_uri", "standalone_uri"])
def any_rockets(request: pytest.FixtureRequest, pool: Pool) -> Iterator[Rockets]:
    """The same on a standalone server as well."""
    yield from _rockets(request.getfixturevalue(request.param), pool)


def states(rockets: Rockets, *values: Any) -> list[str]:
    return [one.state for one in compare([Index.of(value) for value in values], look(rockets))]


def test_every_kind_is_missing_until_it_is_built(any_rockets: Rockets) -> None:
    rockets = any_rockets
    assert states(rockets, *EVERY_KIND) == [State.MISSING] * len(EVERY_KIND)
    for value in EVERY_KIND:
        build(rockets, Index.of(value))
    assert states(rockets, *EVERY_KIND) == [State.PRESENT] * len(EVERY_KIND)
    assert states(rockets) == [State.EXTRA] * len(EVERY_KIND)


@pytest.mark.parametrize("value", EVERY_KIND, ids=str)
def test_a_collation_of_the_collection_is_inherited(rockets: Rockets, value: Any) -> None:
    rockets.database.create_collection("rockets", collation={"locale": "de", "strength": 1})
    build(rockets, Index.of(value))
    assert states(rockets, value) == [State.PRESENT]


#: What there is, what is declared, and how that compares.
PAIRS: list[tuple[dict[str, Any], Any, str]] = [
    ({"key": {"a": 1}}, "a", State.PRESENT),
    ({"key": {"a": 1.0}}, "a", State.PRESENT),
    ({"key": {"a": 1}, "name": "by_a"}, "a", State.PRESENT),
    ({"key": {"a": 1}, "hidden": True}, "a", State.PRESENT),
    ({"key": {"a": 1}, "unique": False}, "a", State.PRESENT),
    ({"key": {"a": 1}, "unique": 1}, {"keys": "a", "unique": True}, State.PRESENT),
    ({"key": {"a": 1}, "collation": {"locale": "simple"}}, "a", State.PRESENT),
    ({"key": {"a": -1}}, "a", State.MISSING),
    ({"key": {"a": 1, "b": 1}}, ["b", "a"], State.MISSING),
    ({"key": {"a": 2}}, "a", State.MISSING),
    ({"key": {"a": 1}}, {"keys": "a", "name": "by_a"}, State.DIFFERENT),
    ({"key": {"a": 1}}, {"keys": "a", "unique": True}, State.DIFFERENT),
    ({"key": {"a": 1}}, {"keys": "a", "unique": True, "name": "u"}, State.MISSING),
    ({"key": {"a": 1}, "name": "by_a"}, {"keys": "a", "unique": True}, State.MISSING),
    ({"key": {"a": 1}}, {"keys": "a", "sparse": True}, State.DIFFERENT),
    ({"key": {"a": 1}}, {"keys": "a", "sparse": True, "name": "s"}, State.MISSING),
    ({"key": {"a": 1}}, {"keys": "a", "expire_after_seconds": 1}, State.DIFFERENT),
    ({"key": {"a": 1}}, {"keys": "a", "expire_after_seconds": 1, "name": "t"}, State.DIFFERENT),
    (
        {"key": {"a": 1}, "expireAfterSeconds": 60.0},
        {"keys": "a", "expire_after_seconds": 60},
        State.PRESENT,
    ),
    ({"key": {"a": 1}, "expireAfterSeconds": 60}, "a", State.DIFFERENT),
    ({"key": {"a": 1}}, {"keys": "a", "partial_filter": {"b": 1}}, State.DIFFERENT),
    ({"key": {"a": 1}}, {"keys": "a", "partial_filter": {"b": 1}, "name": "p"}, State.MISSING),
    (
        {"key": {"a": 1}, "partialFilterExpression": {"b": {"$eq": 1}}},
        {"keys": "a", "partial_filter": {"b": 1}},
        State.PRESENT,
    ),
    (
        {"key": {"a": 1}, "partialFilterExpression": {"$and": [{"c": 2}, {"b": {"$gt": 1}}]}},
        {"keys": "a", "partial_filter": {"b": {"$gt": 1.0}, "c": 2}},
        State.PRESENT,
    ),
    (
        {"key": {"a": 1}, "partialFilterExpression": {"b": 1}, "name": "p"},
        {"keys": "a", "partial_filter": {"b": 2}},
        State.MISSING,
    ),
    (
        {"key": {"a": 1}, "collation": {"locale": "en", "strength": 2}},
        {"keys": "a", "collation": {"locale": "en", "strength": 2}},
        State.PRESENT,
    ),
    (
        {"key": {"a": 1}, "collation": {"locale": "en", "strength": 2}},
        {"keys": "a", "collation": {"locale": "en"}},
        State.DIFFERENT,
    ),
    ({"key": {"a": 1}, "collation": {"locale": "en"}, "name": "c"}, "a", State.MISSING),
    (
        {"key": {"a": 1}, "collation": {"locale": "en", "alternate": "shifted"}},
        {"keys": "a", "collation": {"locale": "en"}},
        State.DIFFERENT,
    ),
    ({"key": {"a": "text", "b": "text"}}, ["b:text", "a:text"], State.PRESENT),
    ({"key": {"a": "text"}, "weights": {"a": 5}}, "a:text", State.DIFFERENT),
    ({"key": {"a": "text"}, "default_language": "german"}, "a:text", State.DIFFERENT),
    ({"key": {"a": "text"}, "weights": {"b": 1}}, ["a:text", "b:text"], State.PRESENT),
    ({"key": {"a": "text"}}, "b:text", State.DIFFERENT),
    ({"key": {"a": "text"}}, ["c", "b:text"], State.DIFFERENT),
    ({"key": {"c": 1, "a": "text", "d": -1}}, ["c", "a:text", "-d"], State.PRESENT),
    ({"key": {"$**": 1}}, "a", State.MISSING),
    ({"key": {"a": "2dsphere"}}, "a:2dsphere", State.PRESENT),
    ({"key": {"a": "2dsphere"}, "2dsphereIndexVersion": 2}, "a:2dsphere", State.PRESENT),
    ({"key": {"a": "2d"}}, "a:2dsphere", State.MISSING),
    ({"key": {"a": "hashed"}}, "a:hashed", State.PRESENT),
    ({"key": {"a": "hashed"}}, "a", State.MISSING),
]


@pytest.mark.parametrize(("spec", "value", "state"), PAIRS, ids=[f"{p[1]}-{p[0]}" for p in PAIRS])
def test_mongodb_does_as_is_told(
    rockets: Rockets, spec: dict[str, Any], value: Any, state: str
) -> None:
    """What is missing can be built, what is different is refused, what is present is there."""
    usual = "_".join(
        f"{path}_{'1' if order == 1 else order}" for path, order in spec["key"].items()
    )
    name = spec.get("name", usual)
    rockets.database.command("createIndexes", "rockets", indexes=[{"name": name, **spec}])
    before = rockets.index_information()
    index = Index.of(value)
    (compared, *others) = compare([index], look(rockets))
    assert compared.state == state
    assert [one.state for one in others] == ([State.EXTRA] if state == State.MISSING else [])
    if state == State.DIFFERENT:
        with pytest.raises(OperationFailure):
            build(rockets, index)
        assert rockets.index_information() == before
        return
    # NOTE: what is there by another name is refused by that name.
    taken = index.spec() | ({"name": name} if state == State.PRESENT else {})
    rockets.create_indexes([IndexModel([*taken.pop("key").items()], **taken)])
    assert len(rockets.index_information()) == len(before) + (state == State.MISSING)
    assert states(rockets, value)[0] == State.PRESENT


def test_an_index_that_grew_unseen_is_not_there_yet(rockets: Rockets) -> None:
    """One that is being built is told as such, and building it waits for it."""
    fill(rockets)
    building = threading.Thread(target=build, args=(rockets, Index.of("name")))
    building.start()
    seen = set()
    while building.is_alive() and State.BUILDING not in seen:
        seen |= {*states(rockets, "name")}
    assert State.BUILDING in seen
    build(rockets, Index.of("name"))
    assert states(rockets, "name") == [State.PRESENT]
    building.join()


def fill(rockets: Rockets, count: int = 200_000) -> None:
    """Make documents inside MongoDB, because that is quick."""
    seed = rockets.database.seed
    seed.insert_one({})
    name = {"$toString": {"$mod": [{"$multiply": ["$n", 7919]}, 10007]}}
    seed.aggregate(
        [
            {"$set": {"n": {"$range": [0, count]}}},
            {"$unwind": "$n"},
            {"$project": {"_id": "$n", "name": name}},
            {"$out": rockets.name},
        ]
    )
    seed.drop()


@pytest.mark.long
def test_a_build_tells_how_far_it_is(any_rockets: Rockets) -> None:
    fill(any_rockets)
    told: list[Progress] = []
    build(any_rockets, Index.of("name"), told.append, every=0.01)
    assert states(any_rockets, "name") == [State.PRESENT]
    scanning = [one for one in told if one.phase == "scanning collection" and one.total]
    assert {one.total for one in scanning} == {200_000}
    done = [one.done for one in scanning]
    assert done == sorted(done)
    assert len(set(done)) > 2


def test_a_build_is_not_bound_by_the_time_that_requests_have(rockets: Rockets) -> None:
    fill(rockets)
    hasty = MongoClient[dict[str, Any]](
        host=next(":".join(map(str, one)) for one in rockets.database.client.nodes),
        directConnection=True,
        socketTimeoutMS=50,
        timeoutMS=50,
    )
    with hasty:
        build(hasty[rockets.database.name].rockets, Index.of(["name", "-_id"]))
    assert states(rockets, ["name", "-_id"]) == [State.PRESENT]


@pytest.mark.parametrize(
    ("documents", "value", "told"),
    [
        (
            [{"email": "ada@example.org"}, {"email": "ada@example.org"}],
            {"keys": "email", "unique": True},
            'several documents have {"email":"ada@example.org"}.',
        ),
        ([{}, {}], {"keys": "email", "unique": True}, 'several documents have {"email":null}.'),
        (
            [{"a": 1, "b": {"c": 2}}] * 2,
            {"keys": ["a", "b.c"], "unique": True},
            'several documents have {"a":1,"b.c":2}.',
        ),
        ([{"place": "here"}], "place:2dsphere", "Can't extract geo keys"),
        ([{"a": [1], "b": [2]}], ["a", "b"], "cannot index parallel arrays [b] [a]"),
    ],
)
def test_what_cannot_be_built_has_a_reason(
    any_rockets: Rockets, documents: list[dict[str, Any]], value: Any, told: str
) -> None:
    any_rockets.insert_many([dict(one) for one in documents])
    with pytest.raises(PyMongoError) as raised:
        build(any_rockets, Index.of(value))
    assert reason(raised.value).startswith(told)
    assert states(any_rockets, value) == [State.MISSING]


def test_without_a_terminal_a_build_says_now_and_then_how_far_it_is(
    rockets: Rockets, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_report, "QUIET_SECONDS", 0)
    fill(rockets)
    build_missing(compare_all({rockets: (Index.of(["name", "_id"]),)}))
    first, *others = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"rockets: name, _id: scanning collection, [\d,]+ of 200,000", first)
    assert re.fullmatch(r"rockets: name, _id: built in \d\.\d s", others[-1])


def test_the_table_shows_what_is_there_as_it_is(rockets: Rockets) -> None:
    rockets.create_index("a", name="of \x9ba", hidden=True)
    rockets.create_index([("b", "text")], weights={"b": 3}, default_language="german")
    rockets.create_index("c", expireAfterSeconds=7.0)
    rockets.create_index([("d", "2d")], min=-10)
    (table,) = index_table(compare_all({rockets: read_indexes(["a"])}))
    assert [re.split(" {3,}", line.strip()) for line in table.plain.splitlines()[2:]] == [
        ["rockets", "present", "a", "hidden; name of \\x9ba"],
        ["rockets", "extra", "b:text", 'weights {"b":3}; language german'],
        ["rockets", "extra", "c", "expires after 7 s"],
        ["rockets", "extra", "d:2d"],
    ]
    (table,) = index_table([])
    assert table.plain.startswith("No index is declared")


def test_in_memory_a_unique_index_is_there_from_the_start(any_uri: str, make_api: Any) -> None:
    """It has no commands that could build one."""
    indexes = [
        "year",
        {"keys": "name", "unique": True},
        {"keys": ["a", "b"], "unique": True, "partial_filter": {"a": {"$gt": 5}}},
        {"keys": "serial", "unique": True, "sparse": True},
        {"keys": "town", "unique": True, "collation": {"locale": "en"}},
    ]
    own = ResourceSettings(indexes=read_indexes(indexes))
    api = make_api(any_uri, resources={"rockets": own})
    if not api.in_memory:
        assert len(api.rockets.index_information()) == 1
        for index in own.indexes:
            build(api.rockets, index)
    new = {"name": "RD-180", "a": 6, "b": 1, "town": "here", "serial": 1}
    assert api("POST", "/api/rockets", new).status_code == 201
    for field, others in {
        "name": {"a": 1, "town": "a", "serial": 2},
        "serial": {"a": 1, "town": "b", "name": "b"},
        "town": {"a": 1, "name": "c", "serial": 3},
    }.items():
        problem = assert_problem(
            api("POST", "/api/rockets", {**new, **others}), 409, "document.duplicate", naming=field
        )
        assert "_1" not in str(problem)
    pair = {"name": "d", "serial": 4, "town": "d"}
    assert_problem(api("POST", "/api/rockets", {**new, **pair}), 409, "document.duplicate")
    assert api("POST", "/api/rockets", {**new, **pair, "a": 5}).status_code == 201
    assert api("POST", "/api/rockets", {"name": "e", "town": "e"}).status_code == 201
    assert api("POST", "/api/rockets", {"name": "f", "town": "f"}).status_code == 201


def test_in_memory_documents_that_break_an_index_are_told(make_api: Any) -> None:
    own = ResourceSettings(indexes=read_indexes([{"keys": "country", "unique": True}]))
    api = make_api("mongomock://")
    api.rockets.insert_many([{"country": "FR"}, {"country": "FR"}])
    settings = api.settings.replace(resources={"rockets": own})
    with pytest.raises(ConfigurationError, match=r"resources\.rockets\.indexes: several documents"):
        build_app(settings, api.database, [Served("rockets", "rocket_engines")])


def test_a_scaffold_declares_what_is_there(rockets: Rockets, mongo_uri: str) -> None:
    rockets.insert_one(
        {
            "a": 1,
            "b": {"c": "x"},
            "d": [1],
            "e": "x",
            "f-g": "y",
            "h:i": 1,
            "-j": 1,
            "place": [1, 2],
        }
    )
    rockets.create_index("a")
    rockets.create_index([("b.c", 1), ("a", -1)], unique=True, name='odd "name"')
    rockets.create_index("d", sparse=True, expireAfterSeconds=0)
    rockets.create_index([("e", "text"), ("b.c", "text")])
    rockets.create_index([("_id", "hashed")])
    rockets.create_index("f-g", hidden=True)
    # NOTE: these can't be said, or not in full, or are on nothing that the schema has.
    rockets.create_index([("a", 2)])
    rockets.create_index("e", partialFilterExpression={"a": 1})
    rockets.create_index("e", name="folded", collation={"locale": "en", "strength": 2})
    for name in ("h:i", "-j", "nowhere", "b.nowhere"):
        rockets.create_index(name)
    rockets.create_index([("place", "2d")])
    database = rockets.database
    settings = Settings(mongodb_uri=mongo_uri, database=database.name, collections_text="*")
    names: dict[str, Any] = {"__name__": "scaffolded"}
    exec(scaffold(settings, database), names)
    views = views_of(names["create_app"](database))
    (report,) = compare_all(declared_in_views(views or {}))
    declared = {one.found.name: one.state for one in report.compared if one.declared and one.found}
    assert declared == dict.fromkeys(
        ["_id_hashed", "a_1", 'odd "name"', "d_1", "e_text_b.c_text", "f-g_1"],
        State.PRESENT,
    )
    assert len([one for one in report.compared if one.state != State.EXTRA]) == len(declared)


def test_a_view_has_none(rockets: Rockets) -> None:
    rockets.insert_one({})
    rockets.database.create_collection("active", viewOn="rockets")
    with pytest.raises(ConfigurationError, match="active is a view"):
        look(rockets.database.active)


def test_a_database_that_is_away_is_told() -> None:
    with (
        MongoClient[dict[str, Any]]("127.0.0.1:1", serverSelectionTimeoutMS=100) as client,
        pytest.raises(ConfigurationError, match="can't be reached"),
    ):
        look(client.space.rockets)
