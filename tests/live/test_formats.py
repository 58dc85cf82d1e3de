"""Formats under real servers: long lists and imports, in constant memory."""

from __future__ import annotations

import csv
import gzip
import http.client
import io
import json
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from falcorest.auth import TokenIssuer
from tests.live.processes import PATIENCE, Running, eventually, serving
from tests.support import SECRET, clean_environment

pytestmark = [pytest.mark.live, pytest.mark.long]

#: Documents of a list of 30 MiB.
COUNT = 40_000
#: Lines of an import of 30 MiB.
IMPORTED = 12_000
MIB = 1024 * 1024
#: What more memory may be taken: less than what is sent, not to speak of the documents.
BOUND = 24 * MIB
#: waitress keeps 16 MiB that a client hasn't read yet, and now and then copies them.
WAITRESS_BOUND = 48 * MIB

SERVERS = ("granian", "gunicorn", "waitress")


@pytest.fixture(scope="module")
def database(mongo_uri: str) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient(mongo_uri) as client:
        database = client[f"formats_{uuid.uuid4().hex[:8]}"]
        database.seed.insert_one({"_id": 1})
        document = {
            "_id": "$n",
            "name": {"$concat": ["engine ", {"$toString": "$n"}]},
            "propellant": {"oxidizer": "liquid oxygen", "fuel": "RP-1"},
            "first_flight": {"$toDate": {"$multiply": [{"$toLong": "$n"}, 86_400_000]}},
            "text": "some text, with a comma, which is the same every time " * 12,
        }
        database.seed.aggregate(
            [
                {"$set": {"n": {"$range": [0, COUNT]}}},
                {"$unwind": "$n"},
                {"$project": document},
                {"$out": "engines"},
            ]
        )
        database.create_collection("imported")
        yield database
        client.drop_database(database.name)


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest,
    database: Database[dict[str, Any]],
    mongo_uri: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    environment = clean_environment(
        MONGODB_URI=mongo_uri,
        DATABASE=database.name,
        COLLECTIONS="engines:engines,imported:imported",
        JWT_SECRET_KEY=SECRET,
        FALCOREST_MAX_BODY_BYTES="65536",
        FALCOREST_MAX_IMPORT_BYTES=str(40 * MIB),
    )
    folder = tmp_path_factory.mktemp("formats")
    with serving(folder, "--server", request.param, environment=environment) as server:
        for accept in ("application/x-ndjson", "text/csv"):
            server.get("/api/engines?_limit=3000", headers={"Accept": accept})
        yield server


def send(server: Running, pieces: Iterator[bytes], length: int | None = None) -> Any:
    """Import what comes in pieces, and return the answer: status and JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    headers = {
        "Content-Type": "application/x-ndjson",
        "Authorization": f"Bearer {TokenIssuer(SECRET).issue('ada')}",
    }
    if length is not None:
        headers["Content-Length"] = str(length)
    connection.request(
        "POST", "/api/imported", body=pieces, headers=headers, encode_chunked=length is None
    )
    response = connection.getresponse()
    answer = response.status, json.loads(response.read())
    connection.close()
    return answer


@pytest.mark.parametrize(
    ("accept", "packed"),
    [("application/x-ndjson", False), ("application/x-ndjson", True), ("text/csv", False)],
)
def test_a_long_list(server: Running, accept: str, packed: bool) -> None:
    headers = {"Accept": accept, **({"Accept-Encoding": "gzip"} if packed else {})}
    before = server.peak()
    answer = server.get("/api/engines?_sort=(_id:ascending)", headers=headers)
    grown = server.peak() - before
    assert answer.status == 200
    assert answer.headers["content-type"].startswith(accept)
    assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
    body = gzip.decompress(answer.body) if packed else answer.body
    assert not packed or len(answer.body) < len(body) / 5
    text = io.StringIO(body.decode(), newline="")
    if accept == "text/csv":
        rows = list(csv.DictReader(text, strict=True))
        assert rows[5]["first_flight"] == "1970-01-06T00:00:00Z"
        found = [int(row["_id"]) for row in rows]
    else:
        found = [json.loads(line)["_id"] for line in text]
    assert found == list(range(COUNT))
    assert len(body) > BOUND
    bound = WAITRESS_BOUND if "waitress" in server.process.args else BOUND
    assert grown < bound, f"{grown / MIB:.0f} MiB more"


def test_a_compressed_list_starts_at_once(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(
            b"GET /api/engines HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Accept-Encoding: gzip\r\nAccept: application/x-ndjson\r\n\r\n"
        )
        with http.client.HTTPResponse(connection, method="GET") as response:
            response.begin()
            with gzip.open(response) as lines:
                assert json.loads(lines.readline())["_id"] == 0


def broken_off(
    server: Running, database: Database[dict[str, Any]], accept: str
) -> tuple[str, bool]:
    """Return what comes of a list whose cursor is killed, and whether the connection broke."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(
            b"GET /api/engines HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Accept: %b\r\n\r\n" % accept.encode()
        )
        with http.client.HTTPResponse(connection, method="GET") as response:
            response.begin()
            body = response.read(100)

            def cursors() -> list[Any]:
                found = database.client.admin.aggregate(
                    [
                        {"$currentOp": {"idleCursors": True, "allUsers": True}},
                        {"$match": {"type": "idleCursor", "ns": f"{database.name}.engines"}},
                    ]
                )
                return [one["cursor"]["cursorId"] for one in found]

            found = eventually(cursors)
            # NOTE: it is read from in between as long as there is room on the way.
            eventually(lambda: False, 1)
            found = eventually(cursors)
            database.command("killCursors", "engines", cursors=found)
            try:
                return (body + response.read()).decode(), False
            except http.client.IncompleteRead as error:
                return (body + error.partial).decode(), True
            except ConnectionError:
                return body.decode(), True


def test_a_list_that_breaks_off(server: Running, database: Database[dict[str, Any]]) -> None:
    text, broke = broken_off(server, database, "application/x-ndjson")
    assert not broke
    *sent, last = text.splitlines()
    assert len(sent) < COUNT
    assert json.loads(last)["error"]["status"] >= 500
    assert "_id" in json.loads(sent[-1])
    text, broke = broken_off(server, database, "text/csv")
    if not broke:
        assert text.splitlines()[-1].startswith('"The list broke off: ')
        with pytest.raises(csv.Error):
            list(csv.reader(io.StringIO(text, newline=""), strict=True))


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
def test_an_import(server: Running, database: Database[dict[str, Any]], chunked: bool) -> None:
    """It is far larger than a body may be otherwise, and than what is in memory of it."""
    database.imported.delete_many({})
    filler = "x" * 2600

    def lines() -> Iterator[bytes]:
        for number in range(IMPORTED):
            line = {"_id": number - number % 1000 if number % 1000 == 7 else number, "a": filler}
            yield json.dumps(line).encode() + b"\n"

    size = sum(map(len, lines()))
    assert size > BOUND
    length = None if chunked else size
    before = server.peak()
    status, answer = send(server, lines(), length)
    grown = server.peak() - before
    assert status == 200
    refused = IMPORTED // 1000
    assert (answer["inserted"], answer["refused"]) == (IMPORTED - refused, refused)
    assert [one["line"] for one in answer["errors"]] == [n * 1000 + 8 for n in range(refused)]
    assert {one["code"] for one in answer["errors"]} == {"document.duplicate"}
    assert database.imported.count_documents({}) == IMPORTED - refused
    assert grown < BOUND, f"{grown / MIB:.0f} MiB more"


def test_an_import_that_is_too_large(server: Running, database: Database[dict[str, Any]]) -> None:
    database.imported.delete_many({})
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    token = TokenIssuer(SECRET).issue("ada")
    connection.putrequest("POST", "/api/imported")
    connection.putheader("Content-Type", "application/x-ndjson")
    connection.putheader("Authorization", f"Bearer {token}")
    connection.putheader("Content-Length", str(40 * MIB + 1))
    connection.endheaders(b'{"a":1}\n')
    if "waitress" in server.process.args:
        # NOTE: it refuses by itself.
        connection.close()
        return
    response = connection.getresponse()
    assert response.status == 413
    assert json.loads(response.read())["code"] == "body.too_large"
    connection.close()
    assert database.imported.count_documents({}) == 0


def test_an_import_that_breaks_off(
    server: Running, database: Database[dict[str, Any]], tmp_path: Path
) -> None:
    """What has come is stored; waitress takes all of a body in before anybody sees it."""
    database.imported.delete_many({})
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        token = TokenIssuer(SECRET).issue("ada")
        connection.sendall(
            b"POST /api/imported HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
            b"Content-Type: application/x-ndjson\r\n"
            b"Authorization: Bearer %b\r\n\r\n" % token.encode()
        )
        connection.sendall(b'{"a":1}\n' * 20_000 + b'{"a":')
    if "waitress" in server.process.args:
        assert database.imported.count_documents({}) == 0
    else:
        assert eventually(lambda: database.imported.count_documents({}) >= 16_000)
        eventually(lambda: "an import broke off" in server.text)
        stored = database.imported.count_documents({})
        assert '"code":"body.malformed"' in server.text
        assert f'"inserted":{stored},' in server.text
    assert server.get("/api/engines/[int].5").status == 200
