"""The same requests get the same answers under every server and in every place of the data."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from falcorest.auth import TokenIssuer
from tests.live.processes import Running, exchange, program, running, serving
from tests.support import SECRET, clean_environment, free_port

pytestmark = pytest.mark.live

# ---------------------------------------------------------------------------------- requests


@dataclass(frozen=True)
class Request:
    """A request and what it must be answered with.

    Attributes:
        body: Sent as JSON; bytes are sent as they stand.
        login: Whether a good token is sent.
        code: That of the problem, where it is one.
        differs: Whether the body depends on whether the database has transactions.
    """

    method: str
    target: str
    status: int
    code: str = ""
    body: Any = None
    login: bool = True
    chunked: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    differs: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.target[:80]}"


def get(target: str, status: int = 200, code: str = "", **rest: Any) -> Request:
    return Request("GET", target, status, code, login=False, **rest)


def post(body: Any, status: int = 201, code: str = "", **rest: Any) -> Request:
    return Request("POST", "/api/rockets", status, code, body, **rest)


def patch(target: str, body: Any, status: int = 204, code: str = "", **rest: Any) -> Request:
    return Request("PATCH", f"/api/rockets{target}", status, code, body, **rest)


OID = "6195b0eb829a2784b4459a01"
ENGINES = [
    {"_id": {"$oid": OID}, "name": "RD-180", "thrust": 4152, "cycle": "staged", "tags": ["a", "b"]},
    {"_id": "rs-25", "name": "RS-25", "thrust": 2279.5, "cycle": "staged", "engine": {"n": 3}},
    {"_id": "vinci", "name": "Vinci", "thrust": 180, "cycle": "expander", "tags": []},
    {"_id": "f-1", "name": "F-1", "thrust": 7770, "cycle": "gas generator", "retired": None},
    {"_id": 5, "name": "five", "price": {"$numberDecimal": "12.50"}},
    {"_id": "när/fjärran ö", "name": "Ångström ☄ 🚀", "first": {"$date": "2021-11-01T12:00:00Z"}},
    {
        "_id": "future",
        "first": {"$date": {"$numberLong": "999999999999999"}},
        "nan": {"$numberDouble": "NaN"},
    },
    {
        "_id": "binary",
        "data": {"$binary": {"base64": "AAEC", "subType": "00"}},
        "at": {"$timestamp": {"t": 5, "i": 1}},
    },
]
LONG = [{"_id": f"long-{n:04}", "n": n, "text": "x" * 560} for n in range(1500)]
assert 900_000 < len(json.dumps(LONG)) < 1_000_000

READS = [
    get("/api/rockets"),
    get("/api/rockets?"),
    get("/api/rockets/"),
    get("/api/rockets?name=RD-180"),
    get("/api/rockets?name=[str].RD-180"),
    get("/api/rockets?thrust=gte[int].180&thrust=lt[int].4152&_sort=(name:ascending)"),
    get("/api/rockets?thrust=%67te%5Bint%5D.4000&_sort=(thrust:descending)"),
    get("/api/rockets?thrust=eq[float].2279.5"),
    get("/api/rockets?cycle=in[list-str].[staged,expander]&_sort=(name:ascending)"),
    get("/api/rockets?name=in[list-str].[%22RS-25%22,F-1]&_sort=(name:ascending)"),
    get("/api/rockets?name=not.in[list-str].[RS-25]&_sort=(name:ascending)&_projection=name"),
    get("/api/rockets?tags=all[list-str].[a,b]"),
    get("/api/rockets?tags=size[int].0"),
    get("/api/rockets?tags=exists[bool].true&_projection=tags,name"),
    get("/api/rockets?retired=eq[null].&_limit=1&_sort=(name:ascending)"),
    get("/api/rockets?retired=type[str].null"),
    get("/api/rockets?engine.n=gt[int].2"),
    get("/api/rockets?first=gte[date].2021-11-01&first=lt[datetime].2021-11-02T00:00:00Z"),
    get("/api/rockets?price=eq[decimal].12.5"),
    get(f"/api/rockets?_id=[oid].{OID}"),
    get("/api/rockets?or=(thrust.gt[int].7000,and(cycle.eq[str].staged,thrust.lt[int].4000))&_sort=(name:ascending)"),
    get("/api/rockets?nor=(thrust.gt[int].0,name.eq[str].five)&_sort=(name:ascending)"),
    get("/api/rockets?name=%C3%85ngstr%C3%B6m+%E2%98%84+%F0%9F%9A%80"),
    get("/api/rockets?_sort=(thrust:descending),(name:ascending)&_skip=1&_limit=2&_projection=name"),
    get("/api/rockets?_limit=0&name=Vinci"),
    get(f"/api/rockets/{OID}"),
    get(f"/api/rockets/{OID}?_projection=name,tags"),
    get("/api/rockets/rs-25"),
    get("/api/rockets/rs-25/"),
    get("/api/rockets/[int].5"),
    get("/api/rockets/%5Bint%5D.5"),
    get("/api/rockets/n%C3%A4r/fj%C3%A4rran%20%C3%B6"),
    get("/api/rockets/n%C3%A4r%2Ffj%C3%A4rran%20%C3%B6"),
    get("/api/rockets/future"),
    get("/api/rockets/binary"),
    get("/api/rockets/rs-25", headers={"Accept": "*/*;q=0.1", "Accept-Encoding": "gzip"}),
    get("/api/rockets/rs-25", 406, "accept.unsupported", headers={"Accept": "text/html"}),
    Request("HEAD", "/api/rockets/rs-25", 200, login=False),
    Request("HEAD", "/api/rockets", 200, login=False),
]  # fmt: skip

WRITES = [
    post({"_id": "merlin", "name": "Merlin"}),
    post({"name": "without id"}),
    post([{"_id": "raptor"}, {"name": "none"}]),
    post(b'{"_id": "no type"}', headers={"Content-Type": ""}),
    post(b'{"_id": "with charset"}', headers={"Content-Type": "Application/JSON; charset=utf-8"}),
    post({"_id": "chunked", "text": "x" * 20_000}, chunked=True),
    post({"_id": {"$numberLong": "7"}, "price": {"$numberDecimal": "1.0"}}),
    post({"_id": "a/b c?%#"}),
    get("/api/rockets/a%2Fb%20c%3F%25%23"),
    patch("/merlin", {"name": "Merlin 1D", "engine.n": 9}),
    patch("/merlin", {"$inc": {"engine.n": 1}, "$push": {"list": {"$each": [1, 2]}}}),
    patch("/merlin", {}),
    patch("/[int].7", {"b": True}),
    get("/api/rockets/merlin"),
    Request("PUT", "/api/rockets/merlin", 204, body={"name": "anew"}),
    Request("PUT", "/api/rockets/new/one", 201, body={"name": "new"}),
    Request("PUT", f"/api/rockets/{OID[::-1]}", 201, body={}),
    get("/api/rockets/merlin"),
    patch("?name=in[list-str].[anew,new]&_limit=1", {"$set": {"seen": True}}, 200),
    patch("?seen=[bool].true", {"$set": {"seen": True}}, 200),
    Request("DELETE", "/api/rockets?seen=[bool].true&_sort=(x:ascending)", 200),
    Request("DELETE", "/api/rockets?seen=[bool].true", 200),
    Request("DELETE", "/api/rockets/chunked", 204),
    Request("POST", "/register", 201, body={"username": "ada", "password": "secret"}, login=False),
    Request("POST", "/login", 200, body={"username": "ada", "password": "secret"}, login=False),
    post(LONG),
    get("/api/rockets?n=gte[int].0&_projection=_id"),
    get("/api/rockets?n=gte[int].0"),
]  # fmt: skip

JSON = {"Content-Type": "application/json"}

ERRORS = [
    get("/api/rockets?thrust=gte[int].many", 400, "query.invalid_value"),
    get("/api/rockets?thrust=like[int].1", 400, "query.unknown_operator"),
    get("/api/rockets?thrust=gte[number].1", 400, "query.unknown_hint"),
    get("/api/rockets?thrust=in[int].1", 400, "query.operator_hint"),
    get("/api/rockets?$where=1", 400, "query.invalid_field"),
    get("/api/rockets?%24where=1", 400, "query.invalid_field"),
    get("/api/rockets?name=%ff", 400, "query.malformed"),
    get("/api/rockets?or=(a.eq[int].1", 400, "query.invalid_group"),
    get("/api/rockets?_limit=-1", 400, "query.invalid_limit"),
    get("/api/rockets?_sort=(a:upwards)", 400, "query.invalid_sort"),
    get("/api/rockets?name=regex[str].R", 400, "query.regex_disabled"),
    get("/api/rockets?_after=1", 400, "query.invalid_cursor"),
    get("/api/rockets?_fields=a", 400, "query.reserved_parameter"),
    get("/api/rockets/rs-25?name=x", 400, "query.unknown_parameter"),
    get("/api/rockets/%ff", 400, "id.invalid"),
    get("/api/rockets/[int].x", 400),
    post(b"{", 400, "body.malformed", headers=JSON),
    post(b"", 400, "body.malformed", headers=JSON),
    post(b'{"a": NaN}', 400, headers=JSON),
    post(b'{"a": 99999999999999999999}', 400, headers=JSON),
    post(b'{"a": 1, "a": 2}', 400, "body.duplicate_key", headers=JSON),
    post(b'{"a": "\xff"}', 400, headers=JSON),
    post({"$set": {"a": 1}}, 400, "body.invalid_key"),
    post([], 400, "body.wrong_type"),
    post("text", 400, "body.wrong_type"),
    patch("/rs-25", {"$where": 1}, 400, "body.invalid_update"),
    patch("/rs-25", {"a": 1, "$set": {"b": 1}}, 400, "body.invalid_update"),
    patch("/rs-25", {"_id": "other"}, 400, "body.invalid_update"),
    post({"a": 1}, 401, "auth.required", login=False),
    post({"a": 1}, 401, "auth.invalid", login=False, headers={"Authorization": "Bearer a.b.c"}),
    post({"a": 1}, 401, "auth.invalid", login=False, headers={"Authorization": "Basic YTpi"}),
    get("/me", 401, "auth.required"),
    Request("POST", "/login", 401, "auth.invalid", {"username": "x", "password": "y"}, login=False),
    Request("DELETE", "/api/rockets", 403, "bulk.unfiltered"),
    Request("DELETE", "/api/rockets?_limit=1", 403, "bulk.unfiltered"),
    Request("DELETE", "/api/rockets?_id=exists[bool].true", 403, "bulk.too_many"),
    patch("", {"$set": {"a": 1}}, 403, "bulk.unfiltered"),
    patch("?_id=exists[bool].true", {"$set": {"a": 1}}, 403, "bulk.too_many"),
    get("/api/rockets/nothing", 404, "document.not_found"),
    get("/api/nothing", 404, "route.not_found"),
    get("/", 404, "route.not_found"),
    patch("/nothing", {"a": 1}, 404, "document.not_found"),
    patch("/nothing", {}, 404, "document.not_found"),
    Request("DELETE", "/api/rockets/nothing", 404, "document.not_found"),
    Request("PUT", "/api/rockets", 405, "method.not_allowed", {}),
    Request("POST", "/api/rockets/rs-25", 405, "method.not_allowed", {}),
    Request("GET", "/login", 405, "method.not_allowed", login=False),
    Request("PROPFIND", "/api/rockets", 405, "method.not_allowed", login=False),
    post({"_id": "rs-25"}, 409, "document.duplicate"),
    post([{"_id": "first of two"}, {"_id": "rs-25"}], 409, "document.duplicate", differs=True),
    Request("POST", "/register", 409, body={"username": "ada", "password": "x"}, login=False),
    post(b'"' + b"x" * 1_200_000 + b'"', 413, "body.too_large", headers=JSON),
    post(b'"' + b"x" * 1_200_000 + b'"', 413, "body.too_large", headers=JSON, chunked=True),
    post(b"<a/>", 415, "body.unsupported_type", headers={"Content-Type": "application/xml"}),
    post(b"a=1", 415, headers={"Content-Type": "application/x-www-form-urlencoded"}),
    patch("/rs-25", {"$inc": {"name": 1}}, 422, "write.refused"),
    patch("/rs-25", {"$set": {"a": 1, "a.b": 2}}, 422, "write.refused"),
    patch("/rs-25", {"$push": {"name": 1}}, 422, "write.refused"),
    patch("/rs-25", {"$set": {"_id": "other"}}, 422, "write.refused"),
    get("/api/rockets/rs-25"),
]  # fmt: skip

REQUESTS = [post(ENGINES), *READS, *WRITES, *ERRORS]

# ----------------------------------------------------------------------------------- answers

#: A status, some headers, and the body, with ids and tokens made equal.
Seen = tuple[int, dict[str, str], str]

_COMPARED = ("content-type", "location", "allow", "www-authenticate", "link", "accept")


def send(server: Running, request: Request) -> Seen:
    headers = {"Content-Type": "application/json"} if request.body is not None else {}
    if request.login:
        headers["Authorization"] = f"Bearer {TokenIssuer(SECRET).issue('tester')}"
    headers |= request.headers
    headers = {name: value for name, value in headers.items() if value}
    body = request.body
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    answer = exchange(
        server.port, request.method, request.target, body, headers, chunked=request.chunked
    )
    assert "x-request-id" in answer.headers, answer
    found = {name: neutral(answer.headers[name]) for name in _COMPARED if name in answer.headers}
    return answer.status, found, neutral(answer.body.decode())


def neutral(text: str) -> str:
    """Take out of an answer what is another one each time."""
    text = re.sub(r'("access_token":)"[^"]+"', r'\1"…"', text)
    fixed = {OID, OID[::-1]}
    return re.sub("[0-9a-f]{24}", lambda found: found[0] if found[0] in fixed else "<id>", text)


def answers(server: Running) -> list[Seen]:
    return [send(server, request) for request in REQUESTS]


@pytest.fixture(scope="module")
def expected(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> list[Seen]:
    """What the other servers and places are compared with: granian on an external database."""
    with external(mongo_uri, tmp_path_factory.mktemp("expected"), serve("granian", 2)) as server:
        return answers(server)


@pytest.mark.parametrize("index", range(len(REQUESTS)), ids=map(str, REQUESTS))
def test_an_answer_is_as_promised(index: int, expected: list[Seen]) -> None:
    request, (status, headers, body) = REQUESTS[index], expected[index]
    assert status == request.status, body
    if status >= 400:
        problem = json.loads(body)
        assert headers["content-type"] == "application/problem+json"
        assert problem["status"] == status
        assert request.code in {"", problem["code"]}
    elif body:
        assert headers["content-type"] == "application/json"
        json.loads(body)
    else:
        assert status == 204 or request.method == "HEAD"


# ------------------------------------------------------------------------ servers and places

#: Starts a server in a folder with an environment.
Start = Callable[[Path, dict[str, str]], Any]

SETTINGS = {
    "JWT_SECRET_KEY": SECRET,
    "COLLECTIONS": "rockets:rocket_engines",
    "FALCOREST_REGISTRATION": "open",
    "FALCOREST_MAX_AFFECTED": "5",
}


def serve(name: str, workers: int) -> Start:
    def start(folder: Path, settings: dict[str, str]) -> Any:
        options = ("--server", name, "--workers", str(workers))
        return serving(folder, *options, environment=clean_environment(**settings))

    return start


def by_hand(command: str) -> Start:
    def start(folder: Path, settings: dict[str, str]) -> Any:
        port = free_port()
        first, *rest = command.format(port=port).split()
        return running([program(first), *rest], folder, clean_environment(**settings), port)

    return start


@contextmanager
def external(uri: str, folder: Path, start: Start) -> Iterator[Running]:
    name = f"servers_{uuid.uuid4().hex[:8]}"
    with MongoClient[dict[str, Any]](uri) as client:
        client[name].create_collection("rocket_engines")
        try:
            with start(folder, {**SETTINGS, "MONGODB_URI": uri, "DATABASE": name}) as server:
                yield server
        finally:
            client.drop_database(name)


ON_AN_EXTERNAL_DATABASE = {
    "gunicorn": serve("gunicorn", 2),
    "waitress": serve("waitress", 1),
    "gunicorn-by-hand": by_hand("gunicorn falcorest:create_app() -w 2 -b 127.0.0.1:{port}"),
    "waitress-by-hand": by_hand(
        "waitress-serve --host 127.0.0.1 --port {port} --call falcorest:create_app"
    ),
    "granian-by-hand": by_hand(
        "granian --interface wsgi --port {port} --workers 2 --factory falcorest:create_app"
    ),
}
ANYWHERE_ELSE = {
    "granian": serve("granian", 2),
    "gunicorn": serve("gunicorn", 2),
    "waitress": serve("waitress", 1),
}
IN_MEMORY = {
    "granian": serve("granian", 1),
    "gunicorn": serve("gunicorn", 1),
    "waitress": serve("waitress", 1),
}


def servers(starts: dict[str, Start]) -> Any:
    return pytest.mark.parametrize("start", starts.values(), ids=starts)


def differences(found: list[Seen], expected: list[Seen], *, transactions: bool = True) -> list[str]:
    """Compare answers; 501 is what a database in memory answers to what it can't do."""
    return [
        f"{request}: {one} instead of {other}"
        for request, one, other in zip(REQUESTS, found, expected, strict=True)
        if one != other
        and not (not transactions and one[0] == 501)
        and not (not transactions and request.differs and one[:2] == other[:2])
    ]


@pytest.mark.long
@servers(ON_AN_EXTERNAL_DATABASE)
def test_every_server_answers_the_same(
    start: Start, expected: list[Seen], mongo_uri: str, tmp_path: Path
) -> None:
    with external(mongo_uri, tmp_path, start) as server:
        assert differences(answers(server), expected) == []
        assert "Traceback" not in server.text


@pytest.mark.long
@servers(ANYWHERE_ELSE)
def test_the_embedded_database_answers_the_same(
    start: Start, expected: list[Seen], tmp_path: Path
) -> None:
    with start(tmp_path, SETTINGS) as server:
        assert differences(answers(server), expected) == []
        assert "Traceback" not in server.text


@pytest.mark.long
@servers(IN_MEMORY)
def test_memory_answers_the_same_or_that_it_cannot(
    start: Start, expected: list[Seen], tmp_path: Path
) -> None:
    with start(tmp_path, {**SETTINGS, "MONGODB_URI": "mongomock://"}) as server:
        assert differences(answers(server), expected, transactions=False) == []


def test_the_embedded_database_is_not_for_servers_by_hand(tmp_path: Path) -> None:
    start = by_hand("waitress-serve --host 127.0.0.1 --port {port} --call falcorest:create_app")
    with pytest.raises(AssertionError, match="MONGODB_URI"), start(tmp_path, SETTINGS):
        pass
    assert not (tmp_path / "falcorest-data").exists()
