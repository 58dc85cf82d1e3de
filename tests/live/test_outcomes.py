"""What a write is answered when MongoDB fails in its midst, and how long a request waits."""

from __future__ import annotations

import time
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
from bson import ObjectId
from falcon.testing import TestClient
from marshmallow import fields as ma
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, ExecutionTimeout, OperationFailure

from falcorest import Resource, ResourceView, Schema, create_app, fields, methods
from falcorest.auth import keys
from falcorest.database import BUDGET, _was_repeated
from tests.conftest import MakeApi
from tests.declared import DeclaredApi
from tests.live.faults import Faulty
from tests.live.processes import eventually
from tests.support import Api, assert_problem

pytestmark = pytest.mark.live

UNKNOWN, UNAVAILABLE, TIMEOUT = (
    "write.outcome_unknown",
    "database.unavailable",
    "query.timeout",
)

#: Each kind of write, and the command of MongoDB that does it.
WRITES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "create": ("insert", ("POST", "/api/rockets", {"_id": "new"})),
    "change": ("update", ("PATCH", "/api/rockets/a", {"n": 1})),
    "compared": ("update", ("PATCH", "/api/rockets/a", {"n": 1})),
    "replace": ("update", ("PUT", "/api/rockets/a", {"n": 1})),
    "delete": ("delete", ("DELETE", "/api/rockets/a")),
    "create many": ("commitTransaction", ("POST", "/api/rockets", [{"name": "Vinci"}] * 2)),
    "change many": ("commitTransaction", ("PATCH", "/api/rockets?n=[int].0", {"$set": {"n": 1}})),
    "delete many": ("commitTransaction", ("DELETE", "/api/rockets?n=[int].0")),
}

#: How a server fails so that it isn't known what it has done.
BROKEN: dict[str, dict[str, Any]] = {
    "hangs up": {"closeConnection": True},
    "hangs": {"blockConnection": True, "blockTimeMS": 1500},
    "steps down": {"errorCode": 11602},
    "shuts down": {"errorCode": 91},
    "is not reached": {"errorCode": 6},
    "isn't confirmed": {"writeConcernError": {"code": 64, "errmsg": "timed out"}},
    "steps down unconfirmed": {"writeConcernError": {"code": 91, "errmsg": "shutting down"}},
}


def write(api: Api, name: str) -> Any:
    request = WRITES[name][1]
    headers = {"If-Match": api.get("/api/rockets/a").headers["etag"]} if name == "compared" else {}
    return api(*request, headers=headers)


@pytest.mark.long
@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("name", WRITES)
def test_an_outcome_that_is_not_known_is_said_to_be(
    name: str, how: str, faulty: Faulty, make_api: MakeApi
) -> None:
    api = make_api(faulty.uri, timeout_ms=400)
    api.rockets.insert_many([{"_id": one, "n": 0} for one in "ab"])
    assert api.get("/api/rockets").status_code == 200
    with faulty.failing(WRITES[name][0], **BROKEN[how]):
        begun = time.monotonic()
        problem = assert_problem(result := write(api, name), 503, UNKNOWN)
        assert time.monotonic() - begun < 1
    assert result.headers["retry-after"]
    assert "It may have happened" in problem["detail"]


@pytest.mark.long
@pytest.mark.parametrize("name", ["create many", "change many", "delete many"])
@pytest.mark.parametrize("how", ["hangs up", "hangs", "steps down", "is not reached"])
def test_before_its_end_a_transaction_that_fails_has_done_nothing(
    name: str, how: str, faulty: Faulty, make_api: MakeApi
) -> None:
    api = make_api(faulty.uri, timeout_ms=400)
    documents = [{"_id": one, "n": 0} for one in "ab"]
    api.rockets.insert_many(documents)
    command = {"create": "insert", "change": "update", "delete": "delete"}[name.split()[0]]
    broken = dict(BROKEN[how])
    if "errorCode" in broken:
        broken["errorLabels"] = ["TransientTransactionError"]
    with faulty.failing(command, **broken):
        result = write(api, name)
    assert result.status_code == 503, result.text
    assert result.json["code"] in {TIMEOUT, UNAVAILABLE}
    assert list(api.rockets.find()) == documents


@pytest.mark.parametrize(
    ("how", "repeated"), [({"closeConnection": True}, True), ({"errorCode": 13}, False)]
)
def test_the_driver_says_that_it_is_at_it_again(
    how: dict[str, Any], repeated: bool, faulty: Faulty, make_api: MakeApi
) -> None:
    """It does so in what is its own affair, see ``_was_repeated``."""
    rockets = make_api(faulty.uri).rockets
    with (
        faulty.failing("insert", mode={"times": 2}, **how),
        pytest.raises((AutoReconnect, OperationFailure)) as caught,
    ):
        rockets.insert_one({})
    assert _was_repeated(caught.value) is repeated


def test_a_request_waits_once_for_all_that_it_asks(faulty: Faulty, make_api: MakeApi) -> None:
    api = make_api(faulty.uri, timeout_ms=800, authentication=["api-key"])
    key = keys.create_key(api.database[keys.COLLECTION], "ada")
    headers = {"X-API-Key": key}

    def read() -> Any:
        return api.get("/api/rockets?_limit=1", token=None, headers=headers)

    assert read().status_code == 200
    with faulty.failing("find", blockConnection=True, blockTimeMS=600):
        begun = time.monotonic()
        assert_problem(read(), 503, TIMEOUT)
        assert 0.7 < time.monotonic() - begun < 3
    assert read().status_code == 200


@pytest.mark.long
def test_an_import_has_the_time_of_a_request_for_each_batch(
    faulty: Faulty, make_api: MakeApi
) -> None:
    api = make_api(faulty.uri, timeout_ms=800)
    lines = b"".join(b'{"_id": %d}\n' % number for number in range(1200))
    headers = {"Content-Type": "application/x-ndjson"}
    with faulty.failing("insert", blockConnection=True, blockTimeMS=400):
        result = api("POST", "/api/rockets", raw=lines, headers=headers)
    assert result.status_code == 200, result.text
    assert result.json["inserted"] == 1200


@pytest.mark.long
def test_nothing_is_left_of_a_request_that_waited_too_long(
    faulty: Faulty, make_api: MakeApi
) -> None:
    api = make_api(faulty.uri, timeout_ms=300)
    for url in ("/api/rockets", "/api/rockets/a", "/api/rockets?_foo=1"):
        with faulty.failing("find", mode={"times": 1}, blockConnection=True, blockTimeMS=700):
            assert_problem(api.get("/api/rockets"), 503, TIMEOUT)
        assert api.get(url).status_code in {200, 400, 404}
        assert BUDGET.get() is None


@pytest.mark.parametrize("name", ["create many", "change many", "delete many"])
def test_a_connection_made_at_a_bad_moment_is_not_kept(
    name: str, faulty: Faulty, make_api: MakeApi
) -> None:
    """One that was opened while its server was neither primary nor secondary."""
    api = make_api(faulty.uri)
    api.rockets.insert_many([{"_id": one, "n": 0} for one in "ab"])
    connections = connections_of(api)
    assert connections
    for connection in connections:
        connection.supports_sessions = False
    assert write(api, name).status_code in {200, 201}
    assert all(connection.supports_sessions for connection in connections_of(api))


def test_the_end_of_a_transaction_on_such_a_connection(faulty: Faulty, make_api: MakeApi) -> None:
    api = make_api(faulty.uri)
    connections_of(api)
    commit = ClientSession.commit_transaction

    def commit_on_it(session: Any) -> None:
        for connection in connections_of(api):
            connection.supports_sessions = False
        commit(session)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClientSession, "commit_transaction", commit_on_it)
        assert_problem(write(api, "create many"), 503, UNKNOWN)
    assert write(api, "create many").status_code == 201


def connections_of(api: Api) -> list[Any]:
    """Return the connections that the driver has open, for lack of a public way."""
    assert api.get("/api/rockets").status_code == 200
    servers = api.database.client._topology._servers.values()
    return [connection for server in servers for connection in server.pool.conns]


ADA = ObjectId()


class AuthorSchema(Schema):
    id = fields.ObjectId(attribute="_id")


class Authors(Resource):
    collection = "authors"
    schema = AuthorSchema


class PostSchema(Schema):
    id = ma.String(attribute="_id")
    n = ma.Integer()
    author = fields.Reference("authors")


class Posts(Resource):
    collection = "posts"
    schema = PostSchema
    related_resources: ClassVar[Any] = {"author": Authors}


class PostView(ResourceView):
    resource = Posts
    methods = methods.ALL


@pytest.mark.parametrize(
    "request_",
    [("POST", "/posts/", {"id": "q", "author": str(ADA)}), ("PATCH", "/posts/p/", {"n": 1})],
    ids=["create", "change"],
)
def test_a_write_that_can_not_be_shown_has_happened(
    request_: tuple[Any, ...], faulty: Faulty, make_api: MakeApi
) -> None:
    database = make_api(faulty.uri, timeout_ms=1000).database
    database.authors.insert_one({"_id": ADA})
    database.posts.insert_one({"_id": "p", "n": 0, "author": str(ADA)})
    api = DeclaredApi(database).register(posts=PostView)
    with faulty.failing("find", closeConnection=True):
        problem = assert_problem(api(*request_), 503, UNKNOWN)
    assert "Read what became of it" in problem["detail"]
    assert list(database.posts.find({"$or": [{"_id": "q"}, {"n": 1}]})) != []


def test_so_it_is_for_a_host_that_sets_no_time(faulty: Faulty) -> None:
    with MongoClient[dict[str, Any]](faulty.uri, appname="falcorest") as client:
        database = client["outcomes_host"]
        database.authors.insert_one({"_id": ADA})
        database.posts.insert_one({"_id": "p", "n": 0, "author": ADA})
        api = DeclaredApi(database).register(posts=PostView)
        with faulty.failing("find", closeConnection=True):
            assert_problem(api("PATCH", "/posts/p/", {"n": 1}), 503, UNKNOWN)
        assert database.posts.find_one({"_id": "p"}) == {"_id": "p", "n": 1, "author": ADA}
        client.drop_database(database.name)


def test_what_is_given_up_half_way_without_a_transaction_is_unknown(
    standalone_uri: str, make_api: MakeApi
) -> None:
    api = make_api(standalone_uri)
    api.rockets.insert_many([{"_id": one, "n": 0} for one in "ab"])
    late = ExecutionTimeout("too late", 50)
    for method, name in (("bulk_write", "change many"), ("delete_many", "delete many")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Collection, method, Mock(side_effect=late))
            problem = assert_problem(write(api, name), 503, UNKNOWN)
        assert "A part of it" in problem["detail"]
        assert write(api, name).status_code == 200


@pytest.mark.usefixtures("closed_in_the_end")
def test_a_fail_over_at_the_start_is_waited_for(faulty: Faulty, make_api: MakeApi) -> None:
    settings = make_api(faulty.uri).settings.replace(write_concern="1")
    with faulty.failing("listCollections", errorCode=10107):
        client = TestClient(create_app(settings))
        assert client.simulate_get("/api/rockets").status_code == 503
    assert eventually(lambda: client.simulate_get("/api/rockets").status_code == 200)
