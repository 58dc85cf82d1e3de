"""Long lists: memory stays flat, the first bytes come at once, and half a list looks like half."""

from __future__ import annotations

import http.client
import json
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from tests.live.processes import PATIENCE, SERVERS, Running, eventually, serving
from tests.support import SECRET, clean_environment

pytestmark = [pytest.mark.live, pytest.mark.long]

COUNT = 200_000
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def database(mongo_uri: str) -> Iterator[Database[dict[str, Any]]]:
    """A database with a long collection, made inside MongoDB because that is quick."""
    with MongoClient(mongo_uri) as client:
        database = client[f"streaming_{uuid.uuid4().hex[:8]}"]
        database.seed.insert_one({"country": "Sverige", "when": None})
        document = {
            "_id": "$n",
            "name": {"$concat": ["engine ", {"$toString": "$n"}]},
            "country": 1,
            "manufacturer": "NPO Energomash",
            "thrust": {"$multiply": ["$n", 0.5]},
            "burn_time": {"$mod": ["$n", 600]},
            "cycle": "staged combustion",
            "propellant": {"oxidizer": "liquid oxygen", "fuel": "RP-1"},
            "is_active": {"$eq": [{"$mod": ["$n", 2]}, 0]},
            "first_flight": {"$toDate": {"$multiply": [{"$toLong": "$n"}, 86_400_000]}},
        }
        database.seed.aggregate(
            [
                {"$set": {"n": {"$range": [0, COUNT]}}},
                {"$unwind": "$n"},
                {"$project": {**document, "country": "$country"}},
                {"$out": "engines"},
            ]
        )
        assert database.engines.estimated_document_count() == COUNT
        yield database
        client.drop_database(database.name)


@pytest.fixture(scope="module", params=SERVERS.values(), ids=SERVERS)
def server(
    request: pytest.FixtureRequest,
    database: Database[dict[str, Any]],
    mongo_uri: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    environment = clean_environment(
        MONGODB_URI=mongo_uri,
        DATABASE=database.name,
        COLLECTIONS="engines:engines",
        JWT_SECRET_KEY=SECRET,
    )
    folder = tmp_path_factory.mktemp("streaming")
    with serving(folder, *request.param, environment=environment) as server:
        warm_up(server)
        yield server


def warm_up(server: Running) -> None:
    """Have every worker stream a bit, so that what follows grows from there."""
    for _ in range(8):
        assert len(server.get("/api/engines?_limit=3000").json) == 3000


@contextmanager
def listing(server: Running) -> Iterator[http.client.HTTPResponse]:
    """Ask for everything, on a connection that takes little before it is read from."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(
            b"GET /api/engines HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        with http.client.HTTPResponse(connection, method="GET") as response:
            response.begin()
            yield response


def open_cursors(database: Database[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cursors on the long collection that wait for their server to go on."""
    operations = database.client.admin.aggregate(
        [
            {"$currentOp": {"idleCursors": True, "allUsers": True}},
            {"$match": {"type": "idleCursor", "ns": f"{database.name}.engines"}},
        ]
    )
    return [operation["cursor"] for operation in operations]


def stalled_cursor(database: Database[dict[str, Any]]) -> dict[str, Any]:
    """Wait until the buffers between MongoDB and a silent reader are full, and nothing moves."""
    last: list[Any] = []

    def stands_still() -> bool:
        previous = last.copy()
        eventually(lambda: False, 0.3)
        last[:] = open_cursors(database)
        return bool(last) and _places(last) == _places(previous)

    assert eventually(stands_still)
    (cursor,) = last
    return cursor


def _places(cursors: list[dict[str, Any]]) -> list[Any]:
    return [(cursor["cursorId"], cursor["nDocsReturned"]) for cursor in cursors]


def test_all_of_it_comes_and_memory_stays_flat(server: Running) -> None:
    before = server.peak()
    answer = server.get("/api/engines")
    grown = server.peak() - before
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    documents = answer.json
    assert [document["_id"] for document in documents] == list(range(COUNT))
    assert len(documents[-1]) == 10
    assert grown < 50 * MIB, f"{grown / MIB:.0f} MiB more"


def test_it_starts_at_once_and_waits_for_its_reader(
    server: Running, database: Database[dict[str, Any]]
) -> None:
    """The first bytes are there while the database still holds the rest."""
    before = server.peak()
    with listing(server) as response:
        assert response.status == 200
        assert response.read(100).startswith(b'[{"_id":0,')
        assert stalled_cursor(database)["nDocsReturned"] < COUNT / 2
        assert server.get("/api/engines/[int].5").status == 200
        grown = server.peak() - before
        assert grown < 50 * MIB, f"{grown / MIB:.0f} MiB more"


def test_a_slow_reader_gets_all_of_it(server: Running) -> None:
    before = server.peak()
    size = found = 0
    mark = b'{"_id":'
    seen = b""
    with listing(server) as response:
        # NOTE: slower than any server writes.
        while piece := response.read(256 * 1024):
            size += len(piece)
            # NOTE: a mark may stand across two pieces.
            seen = seen[1 - len(mark) :] + piece
            found += seen.count(mark)
            time.sleep(0.02)
    assert found == COUNT
    assert size > 40 * MIB
    grown = server.peak() - before
    assert grown < 50 * MIB, f"{grown / MIB:.0f} MiB more"


def test_who_hangs_up_frees_the_cursor(server: Running, database: Database[dict[str, Any]]) -> None:
    def open_in_all() -> int:
        return int(
            database.client.admin.command("serverStatus")["metrics"]["cursor"]["open"]["total"]
        )

    assert eventually(lambda: not open_cursors(database))
    before = open_in_all()
    with listing(server) as response:
        response.read(100)
        assert eventually(lambda: open_cursors(database))
        assert open_in_all() > before
    assert eventually(lambda: not open_cursors(database))
    assert eventually(lambda: open_in_all() <= before)


def kill_the_cursor(database: Database[dict[str, Any]], cursor: dict[str, Any]) -> None:
    database.command("killCursors", "engines", cursors=[cursor["cursorId"]])


def kill_all_sessions(database: Database[dict[str, Any]], cursor: dict[str, Any]) -> None:
    database.client.admin.command("killAllSessions", [])


@pytest.mark.parametrize("breaking", [kill_the_cursor, kill_all_sessions])
def test_an_error_in_the_middle_leaves_the_list_unterminated(
    breaking: Any, server: Running, database: Database[dict[str, Any]]
) -> None:
    assert eventually(lambda: not open_cursors(database))
    with listing(server) as response:
        body = response.read(100)
        breaking(database, stalled_cursor(database))
        try:
            body += response.read()
        except http.client.IncompleteRead as error:
            body += error.partial
        except ConnectionError:
            pass
    assert body.startswith(b'[{"_id":0,')
    assert not body.rstrip().endswith(b"]")
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert server.get("/api/engines/[int].5").status == 200


def test_the_time_limit_is_for_each_batch(
    mongo_uri: str, database: Database[dict[str, Any]], tmp_path: Path
) -> None:
    """A reader may pause for longer, and MongoDB may work longer on all of them together."""
    environment = clean_environment(
        MONGODB_URI=mongo_uri,
        DATABASE=database.name,
        COLLECTIONS="engines:engines",
        JWT_SECRET_KEY=SECRET,
        FALCOREST_TIMEOUT_MS="800",
    )
    laborious = "&".join(f"nothing{number}=ne[str].x" for number in range(60))
    with serving(tmp_path, environment=environment) as server:
        with listing(server) as response:
            body = response.read(100)
            eventually(lambda: False, 1.2)
            with suppress(http.client.IncompleteRead):
                body += response.read()
        assert len(json.loads(body)) == COUNT
        body = server.get(f"/api/engines?{laborious}").body
        assert body.endswith(b"]"), server.text
        assert len(json.loads(body)) == COUNT
