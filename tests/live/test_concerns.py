"""Where answers and writes read, how long a write waits, and what goes on without a primary."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bson import ObjectId
from falcon import testing
from marshmallow import fields as ma
from pymongo import MongoClient
from pymongo.monitoring import CommandListener
from pymongo.write_concern import WriteConcern

from falcorest import ConfigurationError, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from falcorest.auth import keys, users
from falcorest.catalog import resolve_collections
from falcorest.indexes import build
from falcorest.query import EVERYTHING
from falcorest.server import build_app, open_database
from falcorest.settings import ResourceSettings, Settings
from tests.conftest import MakeApi
from tests.declared import DeclaredApi
from tests.live.faults import Faulty
from tests.live.processes import assert_refused, eventually, run
from tests.live.replicas import Trio
from tests.support import SECRET, Api, assert_problem, clean_environment

pytestmark = [pytest.mark.live, pytest.mark.long]

TIMEOUT_MS = 2000
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

#: The one maker.
M = ObjectId()


class Asked(CommandListener):
    """Notes which servers are asked, and what."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []

    def started(self, event: Any) -> None:
        # NOTE: MongoDB is told by any server that a session is over.
        if event.command_name not in {"endSessions", "hello"}:
            self.sent.append((event.command_name, event.connection_id))

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


@dataclass
class Door:
    """One of the doors.

    Attributes:
        api: What is behind it.
        url: Of the things.
        database: Past the API, on the primary and unconfirmed.
        primary: The address of the primary.
        asked: Which servers falcorest asks.
    """

    api: Any
    url: str
    database: Any
    primary: Any
    asked: Asked = field(default_factory=Asked)

    def __call__(
        self,
        method: str,
        place: str = "",
        body: Any = ...,
        *,
        media_type: str = "application/json",
        **headers: str,
    ) -> testing.Result:
        """Send a request; ``if_match`` is the header ``If-Match``."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        raw = None
        if body is not ...:
            sent["Content-Type"] = media_type
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.asked.sent.clear()
        result: testing.Result = self.api(method, self.url + place, raw=raw, headers=sent)
        return result

    def written(self, status: int, *request: Any, **more: Any) -> testing.Result:
        """Send a request that writes, which may ask nobody but the primary."""
        result = self(*request, **more)
        assert result.status_code == status, result.text
        assert [one for one in self.asked.sent if one[1] != self.primary] == []
        return result

    @property
    def asks_primary(self) -> bool:
        """Whether the last request asked nobody but the primary; else it never asked that."""
        found = {address == self.primary for _, address in self.asked.sent}
        assert len(found) == 1, self.asked.sent
        return found.pop()


class MakerSchema(Schema):
    id = fields.ObjectId(attribute="_id")
    name = ma.String()


class ThingSchema(Schema):
    id = ma.String(attribute="_id")
    n = ma.Integer()
    maker = fields.Reference("makers")


class MadeThingSchema(Schema):
    id = ma.String(attribute="_id")
    n = ma.Integer()
    maker = fields.ObjectId()


OpenDoor = Callable[..., Door]


@pytest.fixture
def named(trio: Trio) -> Iterator[Any]:
    """A database with two collections, of which all members know."""
    client = trio.clients[0]
    name = f"concerns_{uuid.uuid4().hex[:8]}"
    database = client.get_database(name, write_concern=WriteConcern(3))
    for collection in ("things", "makers"):
        database.create_collection(collection)
    yield client.get_database(name, write_concern=WriteConcern(1))
    client.drop_database(name)


def everywhere(database: Any, name: str, *documents: Any) -> None:
    """Store documents on all members."""
    database.get_collection(name, write_concern=WriteConcern(3)).insert_many(documents)


@contextmanager
def zero_code(
    trio: Trio, named: Any, options: str = "", *, flat: Mapping[str, Any] | None = None, **says: Any
) -> Iterator[Door]:
    flat = dict(flat or {})
    if says.pop("require_index", False):
        flat["require_index"] = True
    transactional = says.pop("transactional", True)
    settings = Settings(
        mongodb_uri=f"{trio.uri}{options}",
        database=named.name,
        collections_text="things:things,makers:makers",
        jwt_secret_key=SECRET,
        timeout_ms=TIMEOUT_MS,
        resources={"things": ResourceSettings(**says)},
        **flat,
    )
    asked = Asked()
    monitor: Any = SimpleNamespace(listeners=[asked])
    database = open_database(settings, monitor)
    with database.client:
        served = [
            replace(one, transactional=transactional)
            for one in resolve_collections(settings, database)
        ]
        app = build_app(settings, database, served)
        api = Api(app, database, settings)
        yield Door(api, "/api/things", named, trio.primary, asked)


@contextmanager
def declared(
    trio: Trio, named: Any, options: str, views: Mapping[str, Any], **says: Any
) -> Iterator[Door]:
    asked = Asked()
    with MongoClient[dict[str, Any]](
        f"{trio.uri}{options}", timeoutMS=TIMEOUT_MS, event_listeners=[asked]
    ) as client:
        api = DeclaredApi(client[named.name]).register(**views)
        yield Door(api, "/things", named, trio.primary, asked)


def view_of(**says: Any) -> type[ResourceView]:
    said = {
        "collection": "things",
        "schema": MadeThingSchema,
        "filters": {"n": [ops.Exact]},
        **says,
    }
    kind = type("Things", (Resource,), said)
    return type("View", (ResourceView,), {"resource": kind, "methods": methods.ALL})


@pytest.fixture(params=["zero-code", "declared"])
def open_door(request: pytest.FixtureRequest, trio: Trio, named: Any) -> Iterator[OpenDoor]:
    """Open a door: options of the URI, and what the resource says."""
    with ExitStack() as stack:

        def open_door(options: str = "", **says: Any) -> Door:
            if request.param == "zero-code":
                return stack.enter_context(zero_code(trio, named, options, **says))
            says |= {"allowed_ordering": ["n"]}
            rules = says.pop("rules", None)
            if rules is not None:
                says |= {"schema": None, "filters": {}, "policy": rules, "allowed_ordering": ()}
            return stack.enter_context(declared(trio, named, options, {"things": view_of(**says)}))

        yield open_door


# ------------------------------------------------------------------------------------- answers

READS = ("", "/b", "?_count=exact", "?_count=capped", "?_limit=5")


@pytest.mark.parametrize(
    ("options", "says", "primary"),
    [
        ("", {}, True),
        ("", {"read_preference": "secondary"}, False),
        ("", {"read_preference": "secondaryPreferred", "read_concern": "majority"}, False),
        ("&readPreference=secondary", {}, False),
        ("", {"read_concern": "linearizable"}, True),
        *(
            pytest.param(
                "&readPreference=secondary", {"read_preference": one}, True, marks=pytest.mark.long
            )
            for one in ("primary", "primaryPreferred")
        ),
    ],
)
def test_answers_are_read_where_it_is_allowed(
    open_door: OpenDoor,
    trio: Trio,
    options: str,
    says: dict[str, Any],
    primary: bool,
) -> None:
    door = open_door(options, **says)
    everywhere(door.database, "things", {"_id": "a", "n": 1})
    for place in READS:
        for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"accept": "text/csv"})):
            result = door(method, place, **headers)
            # NOTE: a CSV of one document there is not.
            assert result.status_code in {200, 404, 406}, result.text
            assert not door.asked.sent or door.asks_primary is primary, door.asked.sent
    if says.get("read_concern") == "linearizable":
        return
    with trio.lagging():
        door.database["things"].insert_one({"_id": "b", "n": 2})
        assert door("GET", "/b").status_code == (200 if primary else 404)
        assert ('"b"' in door("GET").text) is primary
        assert door("GET", "?_count=exact").headers["x-total-count"] == str(1 + primary)


def test_the_policy_holds_wherever_is_read(open_door: OpenDoor) -> None:
    rules = {"hidden": ["cost"], "rows": {"public": {"n": 1}, "authenticated": {"n": 1}}}
    door = open_door(read_preference="secondary", rules=rules)
    one, other = {"_id": "a", "n": 1, "cost": 5}, {"_id": "b", "n": 2, "cost": 5}
    everywhere(door.database, "things", one, other)
    shown = {"_id": "a", "n": 1}
    assert door("GET").json == [shown]
    assert not door.asks_primary
    assert door("GET", "/a").json == shown
    assert door("GET", "/b").status_code == 404
    assert door("GET", "?_count=exact").headers["x-total-count"] == "1"
    assert door("GET", "?_count=estimated").headers["x-total-count"] == "1"
    assert_problem(door("GET", "?cost=gt[int].1"), 403, "policy.field")
    assert "cost" not in door("GET", accept="text/csv").text


def test_related_documents_are_read_where_their_own_resource_allows_it(
    trio: Trio, named: Any
) -> None:
    everywhere(named, "makers", {"_id": M, "name": "old"})
    everywhere(named, "things", {"_id": "a", "maker": M, "n": 1})
    for things, makers in (("primary", "secondary"), ("secondary", "primary")):
        kind = type(
            "Makers",
            (Resource,),
            {"collection": "makers", "schema": MakerSchema, "read_preference": makers},
        )
        view = view_of(
            schema=ThingSchema, related_resources={"maker": kind}, read_preference=things
        )
        with declared(trio, named, "&w=1", {"things": view}) as door, trio.lagging():
            named["makers"].update_one({"_id": M}, {"$set": {"name": "new"}})
            named["things"].update_one({"_id": "a"}, {"$inc": {"n": 1}})
            shown = door("GET", "/a").json
            assert shown["maker"]["name"] == ("new" if makers == "primary" else "old")
            # What a write shows is read from the primary, all of it.
            written = door.written(200, "PATCH", "/a", {"n": 10}).json
            assert written == {"id": "a", "n": 10, "maker": {"id": str(M), "name": "new"}}
        named["makers"].with_options(write_concern=WriteConcern(3)).update_one(
            {"_id": "m"}, {"$set": {"name": "old"}}
        )


def test_a_reverse_relation_is_read_where_the_related_resource_allows_it(
    trio: Trio, named: Any
) -> None:
    everywhere(named, "makers", {"_id": M, "name": "M"})
    everywhere(named, "things", {"_id": "a", "maker": M, "n": 1})
    for things in ("primary", "secondary"):

        class MakerWithThings(MakerSchema):
            pass

        inner = type(
            "Things",
            (Resource,),
            {"collection": "things", "schema": MadeThingSchema, "read_preference": things},
        )
        kind = type(
            "Makers",
            (Resource,),
            {
                "collection": "makers",
                "schema": MakerWithThings,
                "related_resources": {"things": inner},
                "related_resources_hints": {"things": "maker"},
                "fields": ["id", "things"],
            },
        )
        view = type("View", (ResourceView,), {"resource": kind, "methods": methods.ALL})
        with declared(trio, named, "&w=1", {"makers": view}) as door, trio.lagging():
            door.url = "/makers"
            new = f"new-{things}"
            named["things"].insert_one({"_id": new, "maker": M, "n": 2})
            shown = [one["id"] for one in door("GET", f"/{M}").json["things"]]
            assert (new in shown) is (things == "primary")
            written = door.written(200, "PATCH", f"/{M}", {"name": "N"}).json
            assert new in [one["id"] for one in written["things"]]


def test_a_description_looks_at_documents_where_it_is_allowed(trio: Trio, named: Any) -> None:
    everywhere(named, "things", {"_id": "a", "n": 1})
    with zero_code(trio, named, "&readPreference=secondary") as door:
        door.url = ""
        assert "n" in door("GET", "/openapi.json").text
        finds = {address for name, address in door.asked.sent if name == "find"}
        assert finds
        assert trio.primary not in finds


def test_pages_from_several_servers_fit_together(open_door: OpenDoor) -> None:
    door = open_door(read_preference="secondary")
    # NOTE: each server has its own order for what a sort leaves open.
    documents = ({"_id": f"t{number}", "n": number % 3} for number in range(90))
    everywhere(door.database, "things", *documents)
    door.database["things"].with_options(write_concern=WriteConcern(3)).create_index("n")
    place = "?_limit=7&" + ("_order_by=n" if door.url == "/things" else "_sort=(n:ascending)")
    seen: list[str] = []
    while place:
        result = door("GET", place)
        assert result.status_code == 200, result.text
        assert not door.asks_primary
        body = result.json
        shown = body if type(body) is list else body["data"]
        seen += [one.get("id") or one["_id"] for one in shown]
        links = result.headers.get("link", "").split(", ")
        place = next((one.partition(">")[0] for one in links if 'rel="next"' in one), "")
        place = place.partition("things")[2]
    assert len(seen) == 90
    assert len(set(seen)) == 90


# -------------------------------------------------------------------------------------- writes

SAYS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "version": {"version_field": "v"},
    "index": {"require_index": True},
    "rows": {"rules": {"rows": {"public": {"n": {"$gte": 0}}}, "readonly": ["made"]}},
    "no transactions": {"transactional": False},
}


@pytest.mark.parametrize(
    "says", ["nothing", *(pytest.param(one, marks=pytest.mark.long) for one in [*SAYS][1:])]
)
def test_a_write_reads_from_the_primary(open_door: OpenDoor, trio: Trio, says: str) -> None:
    """Whatever is said, and though the secondaries know nothing of it."""
    door = open_door("&readPreference=secondary&readConcernLevel=available&w=1", **SAYS[says])
    # Without a schema, both doors say the same.
    plain = door.url != "/things" or says == "rows"
    done = 204 if plain else 200
    identity = "_id" if plain else "id"
    representation = {"prefer": "return=representation"}
    door.database["things"].with_options(write_concern=WriteConcern(3)).create_index("n")
    with trio.lagging():
        door.written(201, "POST", "", {identity: "b", "n": 1})
        assert door("GET", "/b").status_code == 404
        door.written(409, "POST", "", {identity: "b", "n": 1})
        door.written(done, "PATCH", "/b", {"n": 2})
        door.written(done, "PATCH", "/b", {"n": 3}, media_type=MERGE)
        patch = [{"op": "test", "path": "/n", "value": 3}, {"op": "add", "path": "/n", "value": 4}]
        door.written(done, "PATCH", "/b", patch, media_type=JSON_PATCH)
        result = door.written(200, "PATCH", "/b", {"n": 5}, **representation)
        assert result.json["n"] == 5
        tag = result.headers["etag"]
        result = door.written(200, "PATCH", "/b", {"n": 6}, if_match=tag, **representation)
        assert result.json["n"] == 6
        door.written(412, "PATCH", "/b", {"n": 7}, if_match=tag)
        tag = result.headers["etag"]
        result = door.written(200, "PUT", "/b", {"n": 8}, if_match=tag, **representation)
        assert result.json["n"] == 8
        bulk = {"$set": {"n": 9}} if plain else {"n": 9}
        result = door.written(200, "PATCH", "?n=[int].8" if plain else "?n=8", bulk)
        assert 1 in result.json.values()
        door.written(201, "POST", "", [{identity: "c", "n": 11}, {identity: "d", "n": 11}])
        lines = b'{"%s": "e", "n": 12}\n{"%s": "c"}\n' % ((identity.encode(),) * 2)
        result = door.written(200, "POST", "", lines, media_type="application/x-ndjson")
        assert result.json["inserted"] == 1
        door.written(200, "DELETE", "?n=[int].11" if plain else "?n=11")
        if plain:
            door.written(201, "PUT", "/f", {"n": 1}, if_none_match="*")
            door.written(412, "PUT", "/f", {"n": 1}, if_none_match="*")
        door.written(204, "DELETE", "/b")
        door.written(404, "DELETE", "/b")
    if says != "no transactions":
        body = {identity: "g", "n": 1}
        door.written(201, "POST", "", body, idempotency_key="k")

        def again() -> Any:
            result = door("POST", "", body, idempotency_key="k")
            assert {address for _, address in door.asked.sent} == {trio.primary}
            return result.headers.get("idempotency-replayed")

        # NOTE: what is replayed is what no fail-over takes back.
        assert eventually(again) == "true"


def test_a_stale_tag_is_refused(open_door: OpenDoor, trio: Trio) -> None:
    door = open_door(read_preference="secondary", write_concern=1)
    everywhere(door.database, "things", {"_id": "a", "n": 1})
    with trio.lagging():
        door.database["things"].update_one({"_id": "a"}, {"$set": {"n": 2}})
        answer = door("GET", "/a")
        assert answer.json["n"] == 1
        tag = answer.headers["etag"]
        assert_problem(door("PATCH", "/a", {"n": 3}, if_match=tag), 412, "precondition.failed")
        assert door("GET", "/a", if_none_match=tag).status_code == 304
    assert eventually(lambda: door("GET", "/a").json["n"] == 2)


def test_hooks_read_for_a_write_from_the_primary(trio: Trio, named: Any) -> None:
    class Hooked(Resource):
        collection = "things"
        schema = ThingSchema
        filters = {"n": [ops.Exact]}
        read_preference = "secondary"
        write_concern = 1

        def has_change_permission(self, req: Any, document: Any) -> bool:
            return bool(document["n"] < 100)

        def get_object(self, id: Any, query: Any = EVERYTHING) -> Any:
            found = super().get_object(id, query)
            # NOTE: a write in the midst of a request that reads.
            if self.view_method is methods.Fetch:
                self.service.update(id, {"$inc": {"n": 1000}})
                self.service.modify(id, {"$inc": {"n": -1000}})
            return found

    saving = view_of(schema=ThingSchema)
    saving.resource = type(
        "Saving",
        (Resource,),
        {
            "collection": "things",
            "schema": ThingSchema,
            "read_preference": "secondary",
            "write_concern": 1,
            "related_resources": {
                "maker": type(
                    "Makers",
                    (Resource,),
                    {
                        "collection": "makers",
                        "schema": MakerSchema,
                        "read_preference": "secondary",
                    },
                )
            },
            "save_related_fields": ["maker"],
        },
    )
    hooked = type("View", (ResourceView,), {"resource": Hooked, "methods": methods.ALL})
    with declared(trio, named, "", {"things": saving, "hooked": hooked}) as door:
        everywhere(named, "things", {"_id": "a", "n": 1})
        with trio.lagging():
            named["makers"].insert_one({"_id": M})
            maker = {"id": str(M), "name": "M"}
            result = door.written(201, "POST", "", {"id": "b", "n": 1, "maker": maker})
            assert result.json["maker"] == maker
            maker["name"] = "N"
            result = door.written(200, "PATCH", "/b", {"maker": maker})
            assert result.json["maker"] == maker
            door.url = "/hooked"
            door.written(200, "PATCH", "/b", {"n": 99})
            door.written(200, "PATCH", "?n=99", {"n": 100})
            door.written(401, "PATCH", "/b", {"n": 5})
            door.written(401, "PATCH", "?n=100", {"n": 5})
            assert door("GET", "/a").status_code == 200
            updates = [one for one in door.asked.sent if one[0] in {"update", "findAndModify"}]
            assert len(updates) == 2
            assert {address for _, address in updates} == {trio.primary}
    assert named["things"].find_one("a") == {"_id": "a", "n": 1}


def test_callers_are_known_by_the_primary(trio: Trio, named: Any) -> None:
    options = "&readPreference=secondary&w=1"
    flat = {"authentication": ["api-key", "basic", "bearer"], "registration": "open"}
    with zero_code(trio, named, options, flat=flat) as door, trio.lagging():
        api = door.api
        key = keys.create_key(api.database[keys.COLLECTION], "ada")
        person = {"username": "ada", "password": "correct horse"}
        assert api("POST", "/register", person, token=None).status_code == 201
        assert_problem(api("POST", "/register", person, token=None), 409, "document.duplicate")
        assert api("POST", "/login", person, token=None).status_code == 200
        assert api("GET", "/me", token=None, headers={"X-API-Key": key}).status_code == 200
        collection = api.database[api.settings.user_collection]
        users.change_password(collection, "ada", "another one")
        assert api("POST", "/login", person, token=None).status_code == 401
        assert [one["username"] for one in users.list_users(collection)] == ["ada"]
        (found,) = keys.list_keys(api.database[keys.COLLECTION])
        keys.delete_key(api.database[keys.COLLECTION], found["_id"][:8])
        assert api("GET", "/me", token=None, headers={"X-API-Key": key}).status_code == 401
        users.delete_user(collection, "ada")
        assert {address for _, address in door.asked.sent} <= {trio.primary}


# ------------------------------------------------------------------------- what writes wait for


def test_a_write_that_is_not_confirmed_in_time_is_said_to_be_unknown(
    open_door: OpenDoor, trio: Trio
) -> None:
    door = open_door(timeout_ms=400)
    everywhere(door.database, "things", {"_id": "a", "n": 1}, {"_id": "b", "n": 2})
    plain = door.url != "/things"
    identity = "_id" if plain else "id"
    requests: list[tuple[Any, ...]] = [
        ("POST", "", {identity: "c", "n": 3}),
        ("POST", "", [{identity: "d", "n": 3}, {identity: "e", "n": 3}]),
        ("PATCH", "/a", {"n": 4}),
        ("PUT", "/a", {"n": 5}),
        ("PATCH", "?n=[int].2" if plain else "?n=2", {"$set": {"n": 6}} if plain else {"n": 6}),
        ("DELETE", "?n=[int].3" if plain else "?n=3"),
        ("DELETE", "/b"),
    ]
    with trio.lagging():
        for request in requests:
            begun = time.monotonic()
            result = door(*request)
            assert_problem(result, 503, "write.outcome_unknown")
            assert result.headers["retry-after"] == "1"
            assert 0.3 < time.monotonic() - begun < 1.0, request
    # They did happen: the primary had them, and the others got them in the end.
    stored = {one["_id"]: one["n"] for one in door.database["things"].find()}
    assert stored == {"a": 5}


def test_how_many_servers_a_write_waits_for_is_for_the_resource_to_say(
    open_door: OpenDoor, trio: Trio
) -> None:
    door = open_door("&w=3", write_concern=1)
    with trio.lagging():
        body = {"_id": "a", "id": "a", "n": 1}
        body.pop("id" if door.url != "/things" else "_id")
        assert door("POST", "", body).status_code == 201
        many = [{**body, next(iter(body)): name} for name in "bc"]
        assert door("POST", "", many).status_code == 201


@pytest.mark.parametrize(
    ("settings", "toml", "blamed"),
    [
        ({"FALCOREST_WRITE_CONCERN": "2"}, "", "FALCOREST_WRITE_CONCERN: "),
        ({"FALCOREST_WRITE_CONCERN": "sites"}, "", "FALCOREST_WRITE_CONCERN: "),
        ({}, "[resources.things]\nwrite_concern = 3\n", "resources.things.write_concern: "),
    ],
)
@pytest.mark.parametrize("kind", ["mongo_uri", "standalone_uri"])
@pytest.mark.parametrize("command", ["check", "serve"])
def test_what_the_database_can_not_confirm_is_refused_at_the_start(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    settings: dict[str, str],
    toml: str,
    blamed: str,
    kind: str,
    command: str,
) -> None:
    uri = request.getfixturevalue(kind)
    (tmp_path / "falcorest.toml").write_text(toml)
    with MongoClient[dict[str, Any]](uri) as client:
        database = client[f"concerns_{uuid.uuid4().hex[:8]}"]
        database.create_collection("things")
        environment = clean_environment(
            MONGODB_URI=uri,
            DATABASE=database.name,
            COLLECTIONS="things:things",
            JWT_SECRET_KEY=SECRET,
            **settings,
        )
        try:
            ended = run(tmp_path, command, environment=environment)
            assert_refused(ended, blamed, "the database can't confirm so: ")
            assert database.list_collection_names() == ["things"]
        finally:
            client.drop_database(database.name)


@pytest.mark.parametrize("place", ["FALCOREST_READ_CONCERN", "MONGODB_URI", "things.read_concern"])
def test_what_a_server_that_stands_alone_can_not_read_is_refused_at_the_start(
    make_api: MakeApi, standalone_uri: str, mongo_uri: str, place: str
) -> None:
    said: dict[str, Any] = {"read_concern": "linearizable"}
    option = ""
    if place == "things.read_concern":
        said = {"resources": {"things": ResourceSettings(**said)}}
    elif place == "MONGODB_URI":
        said, option = {}, "&readConcernLevel=linearizable"
    with pytest.raises(ConfigurationError) as caught:
        make_api(f"{standalone_uri}{option}", collections="things:things", **said)
    (line,) = caught.value.problems
    assert line.endswith(f"{place}: linearizable needs a replica set.")
    api = make_api(f"{mongo_uri}{option}", collections="things:things", **said)
    assert api("POST", "/api/things", {"_id": "a"}).status_code == 201
    assert api.get("/api/things").json == [{"_id": "a"}]


@pytest.mark.parametrize("concern", ["majority", "linearizable"])
def test_the_progress_of_an_index_is_seen_whatever_is_said(
    make_api: MakeApi, mongo_uri: str, concern: str
) -> None:
    api = make_api(mongo_uri, read_concern=concern)
    assert build._look(api.rockets, "n_1") == []


def test_what_the_database_can_confirm_is_taken(trio: Trio, named: Any) -> None:
    with zero_code(trio, named, flat={"write_concern": "3"}, write_concern=2) as door:
        assert door("POST", "", {"n": 1}).status_code == 201


# ----------------------------------------------------------------------- time, retries, the pool


@pytest.mark.parametrize("own", [300, 1500])
def test_a_resource_may_have_a_time_limit_of_its_own(
    make_api: MakeApi, faulty: Faulty, own: int
) -> None:
    said = {"rockets": ResourceSettings(timeout_ms=own)}
    api = make_api(faulty.uri, timeout_ms=800, resources=said)
    api.rockets.insert_one({"_id": "a"})
    with faulty.failing("find", blockConnection=True, blockTimeMS=1000):
        begun = time.monotonic()
        assert api.get("/api/rockets/a").status_code == (503 if own < 1000 else 200)
        assert abs(time.monotonic() - begun - min(own, 1000) / 1000) < 0.3
    with faulty.failing("commitTransaction", blockConnection=True, blockTimeMS=1000):
        key = {"Idempotency-Key": str(own)}
        result = api("POST", "/api/rockets", {"_id": "b"}, headers=key)
        assert result.status_code == (503 if own < 1000 else 201)


@pytest.mark.parametrize("retries", [True, False])
@pytest.mark.parametrize(
    ("command", "request_"),
    [
        ("find", ("GET", "/api/rockets/a")),
        ("find", ("GET", "/api/rockets?_limit=1")),
        ("find", ("GET", "/api/rockets")),
        ("aggregate", ("GET", "/api/rockets?_count=exact")),
        ("insert", ("POST", "/api/rockets", {"n": 1})),
        ("update", ("PATCH", "/api/rockets/a", {"n": 2})),
    ],
)
def test_what_broke_is_sent_again_unless_that_is_turned_off(
    make_api: MakeApi, faulty: Faulty, retries: bool, command: str, request_: tuple[Any, ...]
) -> None:
    api = make_api(faulty.uri, retries=retries)
    api.rockets.insert_one({"_id": "a"})
    with faulty.failing(command, mode={"times": 1}, closeConnection=True):
        result = api(*request_)
    assert result.status_code < 300 if retries else result.status_code == 503, result.text


@pytest.mark.parametrize(("pool_size", "waits"), [(1, True), (2, False), (None, False)])
def test_a_request_that_finds_no_connection_free_waits_for_one_in_its_time(
    make_api: MakeApi, faulty: Faulty, pool_size: int | None, waits: bool
) -> None:
    api = make_api(faulty.uri, pool_size=pool_size)
    api.rockets.insert_one({"_id": "a"})
    slow = {"blockConnection": True, "blockTimeMS": 800, "mode": {"times": 1}}
    with ThreadPoolExecutor(1) as others, faulty.failing("aggregate", **slow) as met:
        other = others.submit(api.get, "/api/rockets?_count=exact&_limit=1")
        met()
        begun = time.monotonic()
        result = api.get("/api/rockets/a")
        assert result.status_code == 200, result.text
        assert (time.monotonic() - begun > 0.4) is waits
        assert other.result().status_code == 200


# ------------------------------------------------------------------------- without the primary


@pytest.mark.long
def test_reads_go_on_while_the_primary_is_frozen(open_door: OpenDoor, trio: Trio) -> None:
    door = open_door(read_preference="secondaryPreferred")
    everywhere(door.database, "things", *({"_id": f"t{n}", "n": n} for n in range(5)))
    plain = door.url != "/things"
    sort = "?_limit=2&_sort=(n:ascending)" if plain else "?_limit=2"
    for place in ("", "/t1", sort, "?_count=exact"):
        assert door("GET", place).status_code == 200
    with trio.frozen():
        end = time.monotonic() + 6
        while time.monotonic() < end:
            for place in ("", "/t1", sort, "?_count=exact", "?_count=estimated"):
                begun = time.monotonic()
                result = door("GET", place)
                assert result.status_code == 200, result.text
                assert time.monotonic() - begun < 1.0
            begun = time.monotonic()
            result = door("PATCH", "/t1", {"n": 9})
            assert result.status_code == 503
            assert result.headers["retry-after"] == "1"
            assert time.monotonic() - begun < TIMEOUT_MS / 1000 + 0.5
    assert eventually(lambda: door("PATCH", "/t1", {"n": 10}).status_code < 300)


@pytest.mark.long
def test_callers_are_known_while_there_is_no_primary(trio: Trio, named: Any) -> None:
    flat = {"authentication": ["api-key", "basic"], "public_methods": []}
    said: dict[str, Any] = {"read_preference": "secondaryPreferred"}
    with zero_code(trio, named, flat=flat, **said) as door:
        everywhere(named, "things", {"_id": "a", "n": 1})
        key = keys.create_key(door.api.database[keys.COLLECTION], "ada")
        collection = door.api.database[door.api.settings.user_collection]
        users.create_user(collection, "ada", "correct horse")
        basic = "Basic " + base64.b64encode(b"ada:correct horse").decode()
        with trio.frozen():
            # NOTE: that it has frozen is known after a heartbeat that isn't answered.
            known = eventually(
                lambda: door("GET", "/a", x_api_key=key, Authorization="").status_code == 200, 8
            )
            assert known
            assert door("GET", "/a", Authorization=basic).status_code == 200
            wrong = door("GET", "/a", x_api_key=key[:-1] + "?", Authorization="")
            assert_problem(wrong, 401, "auth.invalid")
