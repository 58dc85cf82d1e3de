"""What is read by one command: right where it fails, is too large, or a host has wishes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from bson import Decimal128
from bson.codec_options import TypeCodec, TypeRegistry
from marshmallow import fields as ma
from pymongo import MongoClient, ReadPreference
from pymongo.read_concern import ReadConcern

from falcorest import Query, Resource, ResourceView, Schema, methods
from falcorest.database import Transactions
from falcorest.errors import FalcorestError
from falcorest.finding import CHUNK, Finder
from falcorest.policy import Policy
from falcorest.query import WHOLE
from falcorest.service import CollectionService
from falcorest.settings import ResourceSettings
from falcorest.streams import BATCH
from tests.conftest import MakeApi
from tests.declared import DeclaredApi
from tests.live.faults import Faulty
from tests.live.processes import eventually, plain_mongod
from tests.support import assert_problem, free_port
from tests.watching import MONITOR, Commands

pytestmark = pytest.mark.live

ROCKETS = [{"_id": number, "name": f"r{number}"} for number in range(5)]
ONE, SOME = "/api/rockets/[int].3", "/api/rockets?_sort=(_id:descending)&_limit=2"
READS: dict[str, Any] = {ONE: ROCKETS[3], SOME: [ROCKETS[4], ROCKETS[3]]}
#: How the driver is made to ask again.
FAILURES: list[dict[str, Any]] = [
    {"closeConnection": True},
    # Not the primary, in its forms, and what a mongos says of the servers behind it. After a
    # shutdown, the driver waits longer for the server than a request does.
    *({"errorCode": code} for code in (10107, 13435, 11602, 13436, 189)),
    *({"errorCode": code} for code in (6, 7, 89, 134, 262, 9001)),
]


@contextmanager
def watched(uri: str, name: str = "", **options: Any) -> Iterator[tuple[Any, Commands]]:
    """Give a fresh database, and what is sent to it."""
    commands = Commands()
    with MongoClient[Any](uri, event_listeners=[commands], **options) as client:
        database = client[name or f"finding_{uuid4().hex[:8]}"]
        yield database, commands
        client.drop_database(database.name)


def service(
    database: Any, name: str = "things", rules: Mapping[str, Any] | None = None
) -> CollectionService:
    policy = Policy.of(rules or {})
    return CollectionService(database, name, policy, Transactions(database))


class ThingSchema(Schema):
    id = ma.String(attribute="_id")
    n = ma.Integer()


class Things(Resource):
    collection = "things"
    schema = ThingSchema


class ThingView(ResourceView):
    resource = Things
    methods = methods.ALL


# ------------------------------------------------------------------------------------ failing


@pytest.mark.parametrize(
    ("times", "how"),
    [
        *((1, how) for how in FAILURES),
        *((2, how) for how in (FAILURES[0], FAILURES[1], FAILURES[-1])),
    ],
    ids=str,
)
def test_a_read_that_fails_for_the_moment_is_done_again(
    times: int, how: dict[str, Any], faulty: Faulty, make_api: MakeApi
) -> None:
    api = make_api(faulty.uri, timeout_ms=3000)
    api.rockets.insert_many(ROCKETS)
    for url, expected in READS.items() if times == 1 else [(ONE, ROCKETS[3])]:
        with faulty.failing("find", mode={"times": times}, **how):
            result = api.get(url)
        assert result.status_code == 200, result.text
        assert result.json == expected


@pytest.mark.parametrize("code", [13, 2, 211])
def test_what_no_other_try_mends_is_tried_once(
    code: int, faulty: Faulty, make_api: MakeApi
) -> None:
    api = make_api(faulty.uri)
    with faulty.failing("find", errorCode=code), MONITOR.recording() as sent:
        assert api.get(ONE).status_code >= 400
    assert sent == ["find"]


@pytest.mark.parametrize("url", READS)
def test_a_database_that_hangs_is_waited_for_once(
    url: str, faulty: Faulty, make_api: MakeApi
) -> None:
    api = make_api(faulty.uri, timeout_ms=500)
    assert api.get("/api/rockets").status_code == 200
    with faulty.failing("find", blockConnection=True, blockTimeMS=1200):
        begun = time.monotonic()
        result = api.get(url)
        took = time.monotonic() - begun
    assert_problem(result, 503, "query.timeout")
    assert result.headers["retry-after"]
    assert 0.4 < took < 0.9


def test_a_database_that_is_not_there_is_waited_for_once(make_api: MakeApi, mongo_uri: str) -> None:
    there = make_api(mongo_uri)
    nowhere = MongoClient[Any](f"mongodb://127.0.0.1:{free_port()}", serverSelectionTimeoutMS=400)
    with nowhere:
        api = DeclaredApi(nowhere[there.database.name]).register(things=ThingView)
        for url in ("/things/1", "/things"):
            begun = time.monotonic()
            result = api.get(url)
            assert result.status_code == 503, result.text
            assert time.monotonic() - begun < 0.75


def test_in_a_transaction_a_failed_read_is_not_done_outside_of_it(faulty: Faulty) -> None:
    """All of it is done again."""
    with watched(faulty.uri, appname="falcorest") as (database, commands):
        database.things.insert_one({"_id": 1, "n": 1})
        things = service(database)
        commands.take()
        with faulty.failing("find", mode={"times": 1}, closeConnection=True):
            found = things.together(lambda: things.get(1))
        assert found == {"_id": 1, "n": 1}
        finds = [one for one in commands.take() if one["name"] == "find"]
        assert len(finds) == 2
        assert [one["autocommit"] for one in finds] == [False, False]
        assert len({one["txnNumber"] for one in finds}) == 2


# ---------------------------------------------------------------------------------- large pages


def open_cursors(database: Any) -> int:
    status = database.client.admin.command("serverStatus")
    return int(status["metrics"]["cursor"]["open"]["total"])


@pytest.mark.parametrize(
    ("where", "count", "size"),
    [
        ("mongo_uri", 40, 1_000_000),
        ("mongo_uri", 20, 1_500_000),
        ("mongo_uri", 2, 16_700_000),
        ("standalone_uri", 40, 1_000_000),
    ],
)
def test_a_page_that_is_larger_than_an_answer_is_complete(
    where: str, count: int, size: int, request: pytest.FixtureRequest, make_api: MakeApi
) -> None:
    api = make_api(request.getfixturevalue(where))
    things = service(api.database, "rocket_engines")
    for number in range(count):
        api.rockets.insert_one({"_id": number, "text": "x" * size})
    before = open_cursors(api.database)
    query = Query(sort=(("_id", -1),), limit=count)
    page = things.page(query)
    assert [one["_id"] for one in page.documents] == [*reversed(range(count))]
    assert all(len(one["text"]) == size for one in page.documents)
    assert not page.has_more
    assert things.page(Query(limit=count - 1)).has_more
    found = things.find_by_ids(range(count), Query())
    assert {one["_id"] for one in found} == {*range(count)}
    if where == "mongo_uri":
        inside = things.together(lambda: things.find(query))
        assert [one["_id"] for one in inside] == [*reversed(range(count))]
    if count == 40:
        result = api.get(f"/api/rockets?_limit={count}")
        assert [one["_id"] for one in result.json] == [*range(count)]
    assert open_cursors(api.database) == before


@pytest.fixture(scope="module")
def pair(mongod: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A replica set of two."""
    with (
        plain_mongod(mongod, tmp_path_factory.mktemp("one"), "--replSet", "pair") as one,
        plain_mongod(mongod, tmp_path_factory.mktemp("other"), "--replSet", "pair") as other,
    ):
        ports = [each.cmdline()[each.cmdline().index("--port") + 1] for each in (one, other)]
        hosts = [f"127.0.0.1:{port}" for port in ports]
        with MongoClient[Any](f"mongodb://{hosts[0]}/?directConnection=true") as client:
            members = [
                {"_id": at, "host": host, "priority": 1 - at} for at, host in enumerate(hosts)
            ]
            client.admin.command("replSetInitiate", {"_id": "pair", "members": members})
            assert eventually(lambda: client.admin.command("hello")["isWritablePrimary"])
        uri = f"mongodb://{','.join(hosts)}/?replicaSet=pair&localThresholdMS=10000&heartbeatFrequencyMS=500"
        with MongoClient[Any](uri) as client:
            assert eventually(lambda: client.secondaries)
        yield uri
        for process in (one, other):
            # NOTE: left alone, a primary waits for its secondary before it goes.
            process.kill()


@pytest.mark.long
def test_wherever_a_large_page_was_read_no_cursor_is_left(pair: str) -> None:
    with watched(pair) as (database, _), MongoClient[Any](pair) as client:
        things = database.with_options(read_preference=ReadPreference.NEAREST)
        written = database.get_collection("things", write_concern=database.write_concern)
        for number in range(40):
            written.insert_one({"_id": number, "text": "x" * 1_000_000})
        hosts = [f"mongodb://{host}:{port}/?directConnection=true" for host, port in client.nodes]
        nodes = [MongoClient[Any](host) for host in hosts]
        assert eventually(lambda: all(one[database.name].things.find_one(39) for one in nodes))
        before = [open_cursors(one.db) for one in nodes]
        for _ in range(12):
            assert len(service(things).page(Query(limit=40)).documents) == 40
        left = [open_cursors(one.db) for one in nodes]
        for one in nodes:
            one.close()
        # NOTE: the secondary reads the operations of the primary by a cursor of its own.
        assert left == before


@pytest.mark.long
@pytest.mark.parametrize("name", ["secondary", "secondaryPreferred", "primary"])
def test_a_collection_is_read_where_its_host_says(name: str, pair: str) -> None:
    with watched(f"{pair}&w=2&readPreference={name}") as (database, commands):
        database.things.insert_one({"_id": "1", "n": 1})
        api = DeclaredApi(database).register(things=ThingView)
        assert eventually(lambda: database.client.secondaries)
        commands.take()
        assert eventually(lambda: api.get("/things/1").status_code == 200)
        assert eventually(lambda: len(api.listed("/things")) == 1)
        finds = [one for one in commands.take() if one["name"] == "find"]
        wanted = {"primary": None}.get(name, {"mode": name})
        assert [one.get("$readPreference") for one in finds] == [wanted] * len(finds)


# ------------------------------------------------------------------------------ a host's wishes


def test_a_read_concern_and_a_read_preference_reach_the_database(mongo_uri: str) -> None:
    uri = mongo_uri.replace("directConnection=true", "")
    with watched(uri) as (database, commands):
        database.things.insert_many([{"_id": str(n), "n": n} for n in range(3)])
        wishes = database.with_options(
            read_concern=ReadConcern("majority"), read_preference=ReadPreference.SECONDARY_PREFERRED
        )
        api = DeclaredApi(wishes).register(things=ThingView)
        api.get("/things")
        commands.take()
        assert api.get("/things/1").json == {"id": "1", "n": 1}
        assert api.get("/things?_limit=2").json["has_more"]
        finds = commands.take()
        assert [one["name"] for one in finds] == ["find", "find"]
        for one in finds:
            assert one["readConcern"] == {"level": "majority"}
            assert one["$readPreference"] == {"mode": "secondaryPreferred"}
        # NOTE: the one of a transaction is the transaction's.
        things = service(wishes)
        assert things.together(lambda: things.get("1")) == {"_id": "1", "n": 1}
        plain = [one for one in commands.take() if one["name"] == "find"]
        assert plain[0].get("readConcern", {}).get("level") != "majority"


class Money:
    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.text == self.text

    __hash__ = None  # type: ignore[assignment]


class MoneyCodec(TypeCodec):
    python_type = Money
    bson_type = Decimal128

    def transform_python(self, value: Money) -> Decimal128:
        return Decimal128(value.text)

    def transform_bson(self, value: Decimal128) -> Money:
        return Money(str(value))


class Record(dict[str, Any]):
    """A class of documents of a host's own."""


@pytest.mark.parametrize("price", [Decimal128("1.50"), Money("1.50")])
def test_documents_are_read_as_the_host_reads_them(price: Any, mongo_uri: str) -> None:
    identity, moment = uuid4(), datetime(2024, 2, 29, tzinfo=UTC)
    options = {
        "tz_aware": True,
        "uuidRepresentation": "standard",
        "type_registry": TypeRegistry([MoneyCodec()] if isinstance(price, Money) else []),
        "document_class": Record,
    }
    stored = {"_id": identity, "at": moment, "price": price, "in": {"a": [{"b": 1}]}}
    with watched(mongo_uri, **options) as (database, _):
        database.things.insert_one(stored)
        things = service(database)
        found = [
            things.get(identity),
            *things.page(Query(limit=5)).documents,
            *things.find(Query(limit=5)),
            *things.find_by_ids([identity], Query()),
            # Filters are written as the host writes them.
            *things.find(Query(filter={"price": price}, limit=1)),
            *things.find(Query(filter={"_id": UUID(str(identity))}, limit=1)),
            things.together(lambda: things.get(identity)),
        ]
        assert len(found) == 7
        for one in found:
            assert one == stored
            assert one["at"].tzinfo is not None
            assert type(one) is type(one["in"]) is type(one["in"]["a"][0]) is Record


# ---------------------------------------------------------------------- all that can be asked for


def test_the_owner_of_a_document_is_compared_as_bytes(make_api: MakeApi, mongo_uri: str) -> None:
    own = ResourceSettings(rules={"owner": "by"})
    api = make_api(mongo_uri, resources={"rockets": own})
    api.database.drop_collection("rocket_engines")
    api.database.create_collection("rocket_engines", collation={"locale": "en", "strength": 1})
    api.rockets.insert_many([{"_id": "1", "by": "tester"}, {"_id": "2", "by": "TESTER"}])
    assert [one["_id"] for one in api.get("/api/rockets?_limit=5").json] == ["1"]
    assert api.get("/api/rockets/1").status_code == 200
    assert api.get("/api/rockets/2").status_code == 404


#: Where documents are: how the collection is made, and what is read of it.
PLACES: dict[str, dict[str, Any]] = {
    "collection": {},
    "capped": {"capped": True, "size": 1_000_000},
    "timeseries": {"timeseries": {"timeField": "at", "metaField": "in"}},
    "collated": {"collation": {"locale": "en", "strength": 1}},
    "clustered": {"clusteredIndex": {"key": {"_id": 1}, "unique": True}},
    "view": {"viewOn": "stored", "pipeline": [{"$match": {"n": {"$gte": 3}}}]},
    "sorted view": {"viewOn": "stored", "pipeline": [{"$sort": {"n": -1}}]},
    "view of pieces": {"viewOn": "stored", "pipeline": [{"$unwind": "$in.list"}]},
}
STORED = [
    {
        "_id": number,
        "at": datetime(2024, 1, 1 + number % 20),
        "n": number,
        "text": "aAbB"[number % 4],
        "in": {"x": number % 3, "secret": number, "list": [number, 1, 2]},
        "secret": number,
    }
    for number in range(30)
]
QUERIES = [
    Query(),
    WHOLE,
    *(Query(limit=limit) for limit in (1, 5, 29, 30, 31, BATCH - 1, BATCH, BATCH + 1)),
    *(Query(limit=5, skip=skip) for skip in (1, 28, 30, 1000)),
    Query(limit=5, sort=(("n", -1),)),
    Query(limit=5, sort=(("text", 1), ("n", -1)), skip=2),
    Query(limit=5, sort=(("in.x", -1), ("_id", 1), ("in.x", 1))),
    Query(limit=5, projection=()),
    Query(limit=5, projection=("_id",)),
    Query(limit=5, projection=("n", "in.x")),
    Query(limit=5, projection=("nothing", "in.nothing")),
    Query({"text": "a"}, limit=5, sort=(("n", 1),)),
    Query({"in.x": {"$in": [0, 1]}, "n": {"$gt": 4}}, limit=5, sort=(("n", 1),)),
    Query({"nothing": 1}, limit=5),
]
POLICIES: list[dict[str, Any]] = [{}, {"hidden": ["secret", "in.secret"]}, {"hidden": ["in"]}]


@pytest.mark.parametrize("place", PLACES)
def test_one_command_reads_what_a_cursor_does(
    place: str, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watched(mongo_uri) as (database, commands):
        database.stored.insert_many(STORED)
        database.create_collection("things", **PLACES[place])
        if "viewOn" not in PLACES[place]:
            database.things.insert_many(STORED)
        for rules, query in itertools.product(POLICIES, QUERIES):
            things = service(database, rules=rules)
            things.time_limit = 5.0
            asked = query if not rules or query.projection is None else replace(query, sort=())
            ways: list[Callable[[], Any]] = [
                lambda things=things, asked=asked: things.find(asked),
                lambda things=things, asked=asked: things.page(asked),
                lambda things=things, asked=asked: things.get(7, replace(asked, skip=0)),
                lambda things=things, asked=asked: things.find_by_ids([*range(10)], asked),
            ]
            for way in ways:
                commands.take()
                at_once = outcome(way)
                sent = commands.take()
                with monkeypatch.context() as patch:
                    patch.setattr(Finder, "_at_once", lambda *_: None)
                    assert outcome(way) == at_once
                by_cursor = commands.take()
                assert all("maxTimeMS" in one for one in sent)
                assert [meant(one) for one in sent] == [meant(one) for one in by_cursor]


def outcome(way: Callable[[], Any]) -> Any:
    try:
        return repr(way())
    except FalcorestError as error:
        return type(error), str(error)


def meant(command: dict[str, Any]) -> dict[str, Any]:
    """Return what a command asks for, without how it is answered."""
    command = {**command, "is limited": "maxTimeMS" in command}
    how = {"lsid", "$clusterTime", "batchSize", "singleBatch", "maxTimeMS"}
    projection = command.get("projection")
    # NOTE: to MongoDB, an empty one is none.
    how |= set() if projection else {"projection"}
    return {name: value for name, value in command.items() if name not in how}


def test_more_ids_than_one_command_takes(mongo_uri: str) -> None:
    count = 2 * CHUNK + 50
    with watched(mongo_uri) as (database, commands):
        database.things.insert_many([{"_id": number} for number in range(count)])
        things = service(database)
        commands.take()
        found = things.find_by_ids([*range(count), "nobody"], Query())
        assert {one["_id"] for one in found} == {*range(count)}
        assert commands.names() == ["find"] * 3


def test_a_limit_of_nothing(make_api: MakeApi, mongo_uri: str) -> None:
    api = make_api(mongo_uri)
    api.rockets.insert_many(ROCKETS)
    assert api.get("/api/rockets?_limit=0").json == ROCKETS
    declared = DeclaredApi(api.database).register(
        rockets=type(
            "View",
            (ResourceView,),
            {
                "resource": type("Rockets", (Things,), {"collection": "rocket_engines"}),
                "methods": methods.ALL,
            },
        )
    )
    assert declared.get("/rockets?_limit=0").json == {"data": [], "has_more": True}
