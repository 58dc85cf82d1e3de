"""Idempotency keys: what is sent again under its key is answered again, and not done again."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from falcon import testing
from marshmallow import fields as ma

from falcorest import Resource, ResourceView, Schema, fields, idempotency, methods
from falcorest import operators as ops
from falcorest.auth import AuthenticationBase, TokenIssuer
from falcorest.idempotency import COLLECTION
from falcorest.settings import ResourceSettings
from tests.conftest import MakeApi
from tests.declared import MakeDeclared
from tests.support import SECRET, assert_problem
from tests.watching import MONITOR, Commands, snapshot

pytestmark = pytest.mark.live

Request = Callable[..., testing.Result]


class HeaderAuthentication(AuthenticationBase):
    """Believes the ``X-User`` header; ``X-Roles`` has the roles, with spaces."""

    def authorized(self, req: Any) -> Any:
        name = req.get_header("X-User")
        roles = (req.get_header("X-Roles") or "").split()
        return None if name is None else {"username": name or None, "roles": roles}


class RocketSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String(required=True)
    secret = ma.String(load_only=True)


class Rockets(Resource):
    collection = "rocket_engines"
    schema = RocketSchema
    filters = {"name": [ops.Exact, ops.Startswith]}


def view_of(resource: type[Resource] = Rockets, **more: Any) -> type[ResourceView]:
    said = {"resource": resource, "methods": methods.ALL, **more}
    return type("RocketView", (ResourceView,), said)


def hooked(base: type[Resource] = Rockets, **said: Any) -> type[Resource]:
    return type("Hooked", (base,), said)


class Door:
    """An API of rockets, whichever door it was made by.

    Args:
        send: Sends a request.
        url: Where the rockets are.
        database: Where they are stored.
        declared: Whether they are declared.
    """

    def __init__(self, send: Request, url: str, database: Any, *, declared: bool) -> None:
        self._send = send
        self.url = url
        self.database = database
        self.declared = declared
        self.rockets = database["rocket_engines"]

    def __call__(
        self,
        method: str,
        url: str = "",
        body: Any = ...,
        *,
        key: str | None = "k",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> testing.Result:
        """Send a request under a key."""
        own = {} if key is None else {"Idempotency-Key": key}
        return self._send(method, self.url + url, body, headers={**own, **(headers or {})}, **more)

    def change(self, name: str) -> dict[str, Any]:
        """Return the body of a bulk PATCH that gives a name."""
        return {"name": name} if self.declared else {"$set": {"name": name}}

    @property
    def records(self) -> list[dict[str, Any]]:
        return list(self.database[COLLECTION].find())


MakeDoor = Callable[..., Door]
DOORS = ("zero-code", "declared")


def door_of(kind: str, uri: str, make_api: MakeApi, make_declared: MakeDeclared) -> Door:
    if kind == "zero-code":
        api = make_api(uri)
        return Door(api, "/api/rockets", api.database, declared=False)
    declared = make_declared(rockets=view_of())
    return Door(declared, "/rockets", declared.database, declared=True)


@pytest.fixture(params=DOORS)
def door(
    request: pytest.FixtureRequest, make_api: MakeApi, mongo_uri: str, live_declared: MakeDeclared
) -> Door:
    """Rockets in a replica set, by each of the doors."""
    return door_of(request.param, mongo_uri, make_api, live_declared)


def is_replay(result: testing.Result) -> bool:
    return result.headers.get("idempotency-replayed") == "true"


def said(result: testing.Result) -> tuple[Any, ...]:
    """Return what an answer says, without what each one has of its own."""
    own = ("x-request-id", "idempotency-replayed")
    headers = {name: value for name, value in result.headers.items() if name not in own}
    return result.status_code, headers, result.content


# --------------------------------------------------------------------------------- replays

#: The writes that a key is for: method, where, and the body.
WRITES: dict[str, tuple[str, str, Callable[[Door], Any]]] = {
    "create": ("POST", "", lambda door: {"name": "Vinci"}),
    "bulk create": ("POST", "", lambda door: [{"name": "Vinci"}, {"name": "RL10"}]),
    "update": ("PATCH", "/ID", lambda door: {"name": "Merlin 1D"}),
    "bulk update": ("PATCH", "?name=Merlin", lambda door: door.change("Merlin 1D")),
}


def write(door: Door, way: str, identity: Any, **more: Any) -> testing.Result:
    method, url, body = WRITES[way]
    return door(method, url.replace("ID", str(identity)), body(door), **more)


@pytest.mark.parametrize("way", WRITES)
def test_a_write_that_is_sent_again_is_answered_as_before_and_not_done(
    door: Door, way: str
) -> None:
    identity = door.rockets.insert_one({"name": "Merlin"}).inserted_id
    first = write(door, way, identity)
    assert first.status_code < 300
    assert not is_replay(first)
    door.rockets.update_one({"_id": identity}, {"$set": {"name": "Merlin"}})
    before = snapshot(door.database)
    for _ in range(3):
        again = write(door, way, identity)
        assert is_replay(again)
        assert said(again) == said(first)
    assert snapshot(door.database) == before
    other = write(door, way, identity, key="another")
    assert not is_replay(other)
    assert snapshot(door.database) != before


def test_without_a_key_all_is_as_ever(door: Door) -> None:
    with MONITOR.recording() as sent:
        for _ in range(2):
            result = door("POST", "", {"name": "Vinci"}, key=None)
            assert result.status_code == 201
            assert not is_replay(result)
    assert sent == ["insert", "insert"]
    assert COLLECTION not in door.database.list_collection_names()


def test_a_key_costs_two_statements_and_a_replay_one_more_read(door: Door) -> None:
    door("POST", "", {"name": "Vinci"}, key="warm")
    with MONITOR.recording() as sent:
        door("POST", "", {"name": "Vinci"})
        assert sent == ["update", "insert", "update"]
        sent.clear()
        assert is_replay(door("POST", "", {"name": "Vinci"}))
        assert sent == ["update", "find"]


def test_the_index_is_made_once_by_a_process(
    live_declared: MakeDeclared, make_database: Callable[..., Any]
) -> None:
    commands = Commands()
    database = make_database("mongod", event_listeners=[commands])
    api = live_declared(database=database, rockets=view_of(), engines=view_of())
    for key in ("a", "b"):
        for url in ("/rockets", "/engines"):
            answer = api.post(url, {"name": "Vinci"}, headers={"Idempotency-Key": key})
            assert answer.status_code == 201
    assert commands.names().count("createIndexes") == 1


def test_a_key_in_quotes_and_bare_is_the_same_key(door: Door) -> None:
    assert not is_replay(door("POST", "", {"name": "Vinci"}, key="a-key"))
    assert is_replay(door("POST", "", {"name": "Vinci"}, key='"a-key"'))


def test_a_slash_at_the_end_makes_no_difference(door: Door) -> None:
    assert not is_replay(door("POST", "", {"name": "Vinci"}))
    assert is_replay(door("POST", "/", {"name": "Vinci"}))


@pytest.mark.parametrize("way", WRITES)
def test_an_answer_is_kept_for_a_day(door: Door, way: str) -> None:
    identity = door.rockets.insert_one({"name": "Merlin"}).inserted_id
    write(door, way, identity)
    indexes = door.database[COLLECTION].index_information()
    assert indexes["created_1"]["expireAfterSeconds"] == 24 * 60 * 60
    # NOTE: MongoDB hasn't come round to removing it.
    records, now = door.database[COLLECTION], datetime.now(UTC)
    records.update_one({}, {"$set": {"created": now - timedelta(hours=23, minutes=59)}})
    assert is_replay(write(door, way, identity))
    records.update_one({}, {"$set": {"created": now - timedelta(hours=24, seconds=1)}})
    door.rockets.update_one({"_id": identity}, {"$set": {"name": "Merlin"}})
    before = snapshot(door.database)["rocket_engines"]
    assert not is_replay(write(door, way, identity))
    assert snapshot(door.database)["rocket_engines"] != before
    assert is_replay(write(door, way, identity))
    assert len(door.records) == 1


def test_the_outcomes_of_two_databases_are_apart(
    live_declared: MakeDeclared, make_database: Callable[..., Any]
) -> None:
    first = live_declared(rockets=view_of())
    second = live_declared(database=make_database("mongod"), rockets=view_of())
    for api in (first, second):
        result = api.post("/rockets", {"name": "Vinci"}, headers={"Idempotency-Key": "k"})
        assert not is_replay(result)
        assert api.database.rocket_engines.count_documents({}) == 1


def test_outcomes_are_never_served(make_api: MakeApi, mongo_uri: str) -> None:
    database = make_api(mongo_uri).database
    database.client[database.name].create_collection(COLLECTION)
    api = make_api(mongo_uri, "*", database=database.name)
    assert_problem(api.get(f"/api/{COLLECTION}"), 404, "route.not_found")


def test_web_pages_may_use_keys(make_api: MakeApi) -> None:
    origin = {"Origin": "https://app.example.com"}
    api = make_api("mongomock://", cors_origins=["https://app.example.com"])
    asking = {**origin, "Access-Control-Request-Method": "POST"}
    allowed = api("OPTIONS", "/api/rockets", headers=asking).headers
    assert "Idempotency-Key" in allowed["access-control-allow-headers"].split(", ")
    read = api.get("/api/rockets", headers=origin).headers["access-control-expose-headers"]
    assert "Idempotency-Replayed" in read.split(", ")


# ------------------------------------------------------------------------------- differences


def test_the_same_key_for_another_request_is_refused(door: Door) -> None:
    body = {"name": "Vinci"}
    with_charset = {"Content-Type": "application/json; charset=utf-8"}
    assert door("POST", "", body).status_code == 201
    before = snapshot(door.database)
    for other in ({"name": "RL10"}, [body], {}, {"name": "Vinci", "n": 1}):
        assert_problem(door("POST", "", other), 422, "idempotency.mismatch")
    assert_problem(door("POST", "", body, headers=with_charset), 422, "idempotency.mismatch")
    assert snapshot(door.database) == before
    assert is_replay(door("POST", "", body))


def test_the_same_key_with_another_filter_is_refused(door: Door) -> None:
    door.rockets.insert_many([{"name": "Vinci"}, {"name": "RL10"}])
    assert door("PATCH", "?name=Vinci", door.change("x")).status_code == 200
    refused = door("PATCH", "?name=RL10", door.change("x"))
    assert_problem(refused, 422, "idempotency.mismatch")
    assert sorted(one["name"] for one in door.rockets.find()) == ["RL10", "x"]


def test_a_key_belongs_to_its_place_and_method(door: Door) -> None:
    ids = door.rockets.insert_many([{"name": "Vinci"}, {"name": "RL10"}]).inserted_ids
    assert not is_replay(door("PATCH", f"/{ids[0]}", {"name": "x"}))
    assert not is_replay(door("PATCH", f"/{ids[1]}", {"name": "x"}))
    assert not is_replay(door("POST", "", {"name": "x"}))
    assert not is_replay(door("PATCH", "?name=x", door.change("y")))
    assert [one["name"] for one in door.rockets.find()] == ["y", "y", "y"]


def test_two_resources_have_keys_of_their_own(live_declared: MakeDeclared) -> None:
    api = live_declared(rockets=view_of(), engines=view_of())
    key = {"Idempotency-Key": "k"}
    assert not is_replay(api.post("/rockets", {"name": "a"}, headers=key))
    assert not is_replay(api.post("/engines", {"name": "a"}, headers=key))
    assert api.database.rocket_engines.count_documents({}) == 2


def test_an_application_that_is_mounted_twice_has_keys_of_its_own(
    live_declared: MakeDeclared,
) -> None:
    api = live_declared(rockets=view_of())
    for mount in ("", "/v1", "/v2"):
        again = [
            api.client.simulate_post(
                "/rockets",
                json={"name": "a"},
                root_path=mount,
                headers={"Idempotency-Key": "k"},
            )
            for _ in range(2)
        ]
        assert list(map(is_replay, again)) == [False, True]
    assert api.database.rocket_engines.count_documents({}) == 3


@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET"])
def test_other_methods_can_be_repeated_anyway(door: Door, method: str) -> None:
    identity = door.rockets.insert_one({"name": "Vinci"}).inserted_id
    body = {"name": "RL10"} if method == "PUT" else ...
    for _ in range(2):
        result = door(method, f"/{identity}", body)
        assert result.status_code in {200, 204, 404}
        assert not is_replay(result)
    assert COLLECTION not in door.database.list_collection_names()


# ------------------------------------------------------------------------------------ callers


@pytest.fixture
def callers(live_declared: MakeDeclared) -> Door:
    """Rockets that everybody may write, with callers who have names and roles."""
    api = live_declared(
        rockets=view_of(
            authentication_methods=[HeaderAuthentication], public_methods=frozenset({"POST"})
        )
    )
    return Door(api, "/rockets", api.database, declared=True)


def test_two_callers_never_see_each_others_outcome(callers: Door) -> None:
    ids = set()
    for headers in ({}, {"X-User": "ada"}, {"X-User": "bob"}, {"X-User": "None"}):
        first = callers("POST", "", {"name": "Vinci"}, headers=headers)
        again = callers("POST", "", {"name": "Vinci"}, headers=headers)
        assert not is_replay(first)
        assert is_replay(again)
        assert first.json == again.json
        ids.add(first.json["id"])
    assert len(ids) == 4


def test_a_caller_without_a_name_has_no_keys(callers: Door) -> None:
    nameless = {"X-User": ""}
    refused = callers("POST", "", {"name": "Vinci"}, headers=nameless)
    assert_problem(refused, 400, "idempotency.unsupported", naming="username")
    assert callers("POST", "", {"name": "Vinci"}, key=None, headers=nameless).status_code == 201


def test_a_caller_whose_roles_have_changed_gets_no_answer_made_for_others(callers: Door) -> None:
    admin = {"X-User": "ada", "X-Roles": "admin editor"}
    assert callers("POST", "", {"name": "Vinci"}, headers=admin).status_code == 201
    same = {"X-User": "ada", "X-Roles": "editor admin"}
    assert is_replay(callers("POST", "", {"name": "Vinci"}, headers=same))
    fewer = {"X-User": "ada", "X-Roles": "editor"}
    refused = callers("POST", "", {"name": "Vinci"}, headers=fewer)
    assert_problem(refused, 422, "idempotency.mismatch", naming="roles")


def test_a_caller_who_may_not_write_any_more_gets_no_replay(
    make_api: MakeApi, mongo_uri: str
) -> None:
    rules = {"write": ["editor"]}
    api = make_api(mongo_uri, resources={"rockets": ResourceSettings(rules=rules)})
    door = Door(api, "/api/rockets", api.database, declared=False)
    issuer = TokenIssuer(SECRET)
    editor, nobody = issuer.issue("ada", ["editor"]), issuer.issue("ada", [])
    assert door("POST", "", {"name": "a"}, token=editor).status_code == 201
    assert is_replay(door("POST", "", {"name": "a"}, token=issuer.issue("ada", ["editor"])))
    assert_problem(door("POST", "", {"name": "a"}, token=nobody), 403, "permission.denied")
    assert_problem(door("POST", "", {"name": "a"}, token=None), 401, "auth.required")
    assert_problem(door("POST", "", {"name": "a"}, token="forged"), 401, "auth.invalid")
    assert door.rockets.count_documents({}) == 1


def test_nothing_is_kept_but_what_the_caller_was_answered(door: Door) -> None:
    body = {"name": "Vinci", "secret": "s3cr3t"} if door.declared else {"name": "s3cr3t"}
    assert door("POST", "", body, key="a-k3y").status_code == 201
    [record] = door.records
    assert set(record) == {"_id", "created", "fingerprint", "status", "headers", "body"}
    assert "s3cr3t" not in str(record)
    assert "a-k3y" not in str(record)


def test_a_hidden_field_is_in_no_outcome(make_api: MakeApi, mongo_uri: str) -> None:
    rules = {"hidden": ["cost"]}
    api = make_api(mongo_uri, resources={"rockets": ResourceSettings(rules=rules)})
    door = Door(api, "/api/rockets", api.database, declared=False)
    door.rockets.insert_one({"_id": "a", "cost": 5})
    door.rockets.create_index("cost", unique=True)
    assert_problem(door("POST", "", {"cost": 5}), 403, "policy.field")
    assert_problem(door("PATCH", "/a", {"$inc": {"cost": 1}}), 403, "policy.field")
    assert door("PATCH", "/a", {"name": "x"}).status_code == 204
    assert "cost" not in str(door.records)
    assert door.rockets.find_one() == {"_id": "a", "cost": 5, "name": "x"}


# ------------------------------------------------------------------------------------- errors


def test_an_error_is_not_kept_and_leaves_the_key_free(door: Door) -> None:
    door.rockets.create_index("name", unique=True)
    door.rockets.insert_one({"name": "Vinci"})
    for _ in range(2):
        assert_problem(door("POST", "", {"name": "Vinci"}), 409, "document.duplicate")
    assert door.records == []
    door.rockets.delete_many({})
    first = door("POST", "", {"name": "Vinci"})
    assert first.status_code == 201
    assert not is_replay(first)
    assert is_replay(door("POST", "", {"name": "Vinci"}))


def test_after_an_error_the_key_may_be_used_for_a_better_body(door: Door) -> None:
    assert door("POST", "", ["text"]).status_code == 400
    assert door("POST", "", raw=b"{").status_code == 400
    assert door("POST", "", {"name": "Vinci"}).status_code == 201
    assert door.rockets.count_documents({}) == 1


def test_a_bulk_create_that_fails_half_way_leaves_nothing(door: Door) -> None:
    door.rockets.create_index("name", unique=True)
    body = [{"name": "a"}, {"name": "a"}]
    assert_problem(door("POST", "", body), 409, "document.duplicate")
    assert snapshot(door.database) == {}


@pytest.mark.parametrize("key", ["", '"a', "a,b", "å".encode().decode("latin-1"), "x" * 256])
def test_a_key_that_is_none_is_refused(door: Door, key: str) -> None:
    refused = door("POST", "", {"name": "Vinci"}, key=key)
    assert_problem(refused, 400, "idempotency.invalid_key", naming="Idempotency-Key")
    assert snapshot(door.database) == {}


def test_a_body_has_the_same_limits(door: Door) -> None:
    large = b'{"name": "' + b"x" * 1_100_000 + b'"}'
    assert_problem(door("POST", "", raw=large), 413, "body.too_large")
    typed = {"Content-Type": "application/xml"}
    refused = door("POST", "", raw=b"<a/>", headers=typed)
    assert_problem(refused, 415, "body.unsupported_type")
    longer = {"Content-Type": "application/json", "Content-Length": "100"}
    refused = door("POST", "", raw=b"{}", headers=longer)
    assert_problem(refused, 400, "body.malformed")
    assert snapshot(door.database) == {}


def test_a_streamed_import_takes_no_key(door: Door) -> None:
    headers = {"Content-Type": "Application/X-NDJSON; charset=utf-8"}
    refused = door("POST", "", raw=b'{"name": "a"}\n', headers=headers)
    assert_problem(refused, 400, "idempotency.unsupported", naming="streamed import")
    assert snapshot(door.database) == {}


def test_an_answer_that_is_too_large_undoes_the_write(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "MAX_BYTES", 100)
    body = [{"name": "a"}] * 10
    refused = door("POST", "", body)
    assert_problem(refused, 400, "idempotency.unsupported", naming="Nothing was written")
    assert snapshot(door.database) == {}
    monkeypatch.undo()
    assert door("POST", "", body).status_code == 201


@pytest.mark.parametrize("kind", DOORS)
@pytest.mark.parametrize("place", ["standalone", "mongomock"])
def test_a_database_without_transactions_refuses_a_key(
    kind: str,
    place: str,
    request: pytest.FixtureRequest,
    make_api: MakeApi,
    make_declared: MakeDeclared,
) -> None:
    in_memory = place == "mongomock"
    uri = "mongomock://" if in_memory else request.getfixturevalue("standalone_uri")
    declared = make_declared if in_memory else request.getfixturevalue("standalone_declared")
    door = door_of(kind, uri, make_api, declared)
    identity = door.rockets.insert_one({"name": "Merlin"}).inserted_id
    before = snapshot(door.database)
    for way in WRITES:
        refused = write(door, way, identity)
        assert_problem(refused, 501, "database.unsupported", naming="Idempotency-Key")
    assert snapshot(door.database) == before
    assert door("PUT", f"/{identity}", {"name": "x"}).status_code in {200, 204}
    assert door("POST", "", {"name": "x"}, key=None).status_code == 201


def test_a_resource_without_transactions_refuses_a_key(live_declared: MakeDeclared) -> None:
    api = live_declared(rockets=view_of(hooked(transactional=False)))
    refused = api.post("/rockets", {"name": "a"}, headers={"Idempotency-Key": "k"})
    assert_problem(refused, 501, "database.unsupported", naming="this resource")
    assert snapshot(api.database) == {}


def test_a_capped_collection_refuses_a_key(make_api: MakeApi, mongo_uri: str) -> None:
    database = make_api(mongo_uri).database
    database.create_collection("log", capped=True, size=4096)
    api = make_api(mongo_uri, "log:log", database=database.name)
    refused = api("POST", "/api/log", {"a": 1}, headers={"Idempotency-Key": "k"})
    assert_problem(refused, 501, "database.unsupported", naming="this resource")
    assert api("POST", "/api/log", {"a": 1}).status_code == 201


# ----------------------------------------------------------------------------------- at once


def at_once(count: int, work: Callable[[], testing.Result]) -> list[testing.Result]:
    """Do something in many threads at once; return what came out of each."""
    answers: list[testing.Result] = []
    barrier = threading.Barrier(count)

    def run() -> None:
        barrier.wait(30)
        answers.append(work())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == count
    return answers


@pytest.mark.parametrize("way", WRITES)
def test_of_many_at_once_one_writes_and_the_others_get_its_answer_or_409(
    door: Door, way: str
) -> None:
    identity = door.rockets.insert_one({"name": "Merlin", "n": 0}).inserted_id
    for number in range(4):
        door.rockets.update_one({"_id": identity}, {"$set": {"name": "Merlin"}})
        was = door.rockets.count_documents({})
        answers = at_once(24, functools.partial(write, door, way, identity, key=f"key {number}"))
        [first] = [one for one in answers if one.status_code < 300 and not is_replay(one)]
        for answer in answers:
            if is_replay(answer):
                assert said(answer) == said(first)
            elif answer is not first:
                assert_problem(answer, 409, "idempotency.running")
                assert answer.headers["retry-after"] == "1"
        new = {"create": 1, "bulk create": 2}.get(way, 0)
        assert door.rockets.count_documents({}) == was + new


def test_of_many_counters_at_once_one_counts(make_api: MakeApi, mongo_uri: str) -> None:
    api = make_api(mongo_uri)
    api.rockets.insert_one({"_id": "a", "n": 0})

    def count(key: str) -> testing.Result:
        change = {"$inc": {"n": 1}}
        return api("PATCH", "/api/rockets/a", change, headers={"Idempotency-Key": key})

    for number in range(1, 6):
        at_once(24, functools.partial(count, f"key {number}"))
        assert api.rockets.find_one()["n"] == number


def test_while_one_is_running_the_others_are_told_so(live_declared: MakeDeclared) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def create_object(self: Any, data: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return Resource.create_object(self, data)

    api = live_declared(rockets=view_of(hooked(create_object=create_object)))
    door = Door(api, "/rockets", api.database, declared=True)
    answers: list[testing.Result] = []
    thread = threading.Thread(
        target=lambda: answers.append(door("POST", "", {"name": "Vinci"})), daemon=True
    )
    thread.start()
    assert begun.wait(30)
    for body in ({"name": "Vinci"}, {"name": "RL10"}):
        refused = door("POST", "", body)
        assert_problem(refused, 409, "idempotency.running")
        assert refused.headers["retry-after"] == "1"
    go_on.set()
    thread.join(30)
    again = door("POST", "", {"name": "Vinci"})
    assert is_replay(again)
    assert said(again) == said(answers[0])
    assert_problem(door("POST", "", {"name": "RL10"}), 422, "idempotency.mismatch")
    assert [one["name"] for one in door.rockets.find()] == ["Vinci"]


def test_what_has_expired_is_not_replayed_while_it_is_done_anew(door: Door) -> None:
    assert door("POST", "", {"name": "Vinci"}).status_code == 201
    old = datetime.now(UTC) - timedelta(hours=25)
    records = door.database[COLLECTION]
    records.update_one({}, {"$set": {"created": old}})
    with door.database.client.start_session() as session, session.start_transaction():
        records.update_one({}, {"$set": {"created": datetime.now(UTC)}}, session=session)
        assert_problem(door("POST", "", {"name": "Vinci"}), 409, "idempotency.running")
        session.abort_transaction()
    assert not is_replay(door("POST", "", {"name": "Vinci"}))


# ------------------------------------------------------------------------------ transactions


def test_a_write_that_met_another_one_is_tried_again_under_its_key(
    live_declared: MakeDeclared,
) -> None:
    """Only the last attempt leaves anything behind: in the database, and in the answer."""
    attempts: list[int] = []

    def update_object(self: Any, document: Any, data: Any) -> Any:
        attempts.append(1)
        if len(attempts) == 1:
            api.database.rocket_engines.update_one({"_id": document["_id"]}, {"$set": {"n": 1}})
        return Resource.update_object(self, document, {**data, "seen": document.get("n", 0)})

    class Talking(ResourceView):
        resource = hooked(update_object=update_object)
        methods = [methods.Update]

        def on_patch_item(self, req: Any, resp: Any, id: str) -> None:
            resp.set_header(f"X-Attempt-{len(attempts)}", "begun")
            resp.append_header("Vary", "X-Other")
            super().on_patch_item(req, resp, id)

    api = live_declared(rockets=Talking)
    identity = api.database.rocket_engines.insert_one({"name": "Vinci"}).inserted_id
    for _ in range(2):
        headers = {"Idempotency-Key": "k"}
        result = api.patch(f"/rockets/{identity}", {"name": "x"}, headers=headers)
        assert result.status_code == 200
        found = [name for name in result.headers if name.startswith("x-attempt")]
        assert found == ["x-attempt-1"]
        assert result.headers["vary"] == "X-Other"
        stored = api.database.rocket_engines.find_one()
        assert stored == {"_id": identity, "name": "x", "n": 1, "seen": 1}
    assert is_replay(result)
    assert len(attempts) == 2


def test_what_a_hook_writes_is_undone_with_the_rest(live_declared: MakeDeclared) -> None:
    fails = [True]

    def create_object(self: Any, data: Any) -> Any:
        document = Resource.create_object(self, data)
        if fails:
            fails.clear()
            raise LookupError
        return document

    api = live_declared(rockets=view_of(hooked(create_object=create_object)))
    api.app.add_error_handler(LookupError, lambda req, resp, error, params: None)
    headers = {"Idempotency-Key": "k"}
    api.post("/rockets", {"name": "a"}, headers=headers)
    assert snapshot(api.database) == {}
    assert not is_replay(api.post("/rockets", {"name": "a"}, headers=headers))
    assert api.database.rocket_engines.count_documents({}) == 1


def test_a_responder_of_an_authors_own_is_not_called_for_a_replay(
    live_declared: MakeDeclared,
) -> None:
    called: list[str] = []

    class Noting(ResourceView):
        resource = Rockets
        methods = methods.ALL

        def on_post(self, req: Any, resp: Any) -> None:
            called.append(req.method)
            super().on_post(req, resp)
            resp.text, resp.data = resp.data.decode() + " ", None

    api = live_declared(rockets=Noting)
    headers = {"Idempotency-Key": "k"}
    first = api.post("/rockets", {"name": "a"}, headers=headers)
    again = api.post("/rockets", {"name": "a"}, headers=headers)
    assert is_replay(again)
    assert said(again) == said(first)
    assert again.text.endswith(" ")
    assert called == ["POST"]


def test_a_streamed_answer_is_not_kept(live_declared: MakeDeclared) -> None:
    class Streaming(ResourceView):
        resource = Rockets
        methods = methods.ALL

        def on_post(self, req: Any, resp: Any) -> None:
            super().on_post(req, resp)
            resp.stream = [b"a"]

    api = live_declared(rockets=Streaming)
    refused = api.post("/rockets", {"name": "a"}, headers={"Idempotency-Key": "k"})
    assert_problem(refused, 400, "idempotency.unsupported", naming="streamed")
    assert snapshot(api.database) == {}


def test_the_middleware_of_the_host_sees_a_write_and_a_replay_alike(
    live_declared: MakeDeclared,
) -> None:
    seen: list[Any] = []

    class Host:
        def process_resource(self, req: Any, resp: Any, resource: Any, params: Any) -> None:
            resp.set_header("X-Host", str(len(seen)))
            resp.set_header("Vary", "X-Host")
            resp.context.began = len(seen)

        def process_response(self, req: Any, resp: Any, resource: Any, succeeded: bool) -> None:
            seen.append((resp.status_code, resp.context.began, succeeded, bool(resp.data)))

    class Adding(ResourceView):
        resource = Rockets
        methods = methods.ALL

        def on_post(self, req: Any, resp: Any) -> None:
            super().on_post(req, resp)
            resp.append_header("Vary", "X-Other")
            resp.set_header("X-Began", str(resp.context.began))

    api = live_declared(rockets=Adding)
    api.app.add_middleware(Host())
    for number in range(2):
        result = api.post("/rockets", {"name": "a"}, headers={"Idempotency-Key": "k"})
        # NOTE: what belongs to the request and not to the outcome isn't kept.
        assert result.headers["x-host"] == str(number)
        assert result.headers["x-began"] == "0"
        assert result.headers["vary"] == "X-Host, X-Other"
    assert is_replay(result)
    assert seen == [(201, 0, True, True), (201, 1, True, True)]


class AuthorSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String(required=True)


class BookSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    author = fields.Reference("users")


class Authors(Resource):
    collection = "users"
    schema = AuthorSchema


class Books(Resource):
    collection = "books"
    schema = BookSchema
    related_resources = {"author": Authors}
    save_related_fields = ["author"]


def test_a_nested_write_is_done_once(live_declared: MakeDeclared) -> None:
    api = live_declared(books=view_of(Books))
    body = {"author": {"name": "Ann"}}
    answers = [api.post("/books", body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 201]
    assert answers[0].json == answers[1].json
    assert api.database.users.count_documents({}) == 1
    assert api.database.books.count_documents({}) == 1


def test_a_key_goes_with_required_indexes_and_rows(make_api: MakeApi, mongo_uri: str) -> None:
    rules = {"owner": "owner"}
    resources = {"rockets": ResourceSettings(rules=rules)}
    api = make_api(mongo_uri, require_index=True, resources=resources)
    door = Door(api, "/api/rockets", api.database, declared=False)
    door.rockets.create_index("name")
    door.rockets.insert_one({"_id": ObjectId(), "name": "theirs", "owner": "other"})
    assert door("POST", "", {"name": "a"}).status_code == 201
    assert door.rockets.find_one({"name": "a"})["owner"] == "tester"
    for _ in range(2):
        result = door("PATCH", "?name=in[list-str].[a,theirs]", {"$set": {"name": "b"}})
        assert result.json == {"matched_items": 1, "modified_items": 1}
    assert is_replay(result)
    refused = door("PATCH", "?size=[int].5", {"$set": {"name": "b"}}, key="other")
    assert_problem(refused, 400, "query.no_index")
    assert door.rockets.count_documents({"name": "theirs"}) == 1
