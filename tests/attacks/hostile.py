"""Hostile input, one of each kind: what must become a clear 4xx and change nothing.

Requests go to the policy of :mod:`tests.attacks.world`, from a caller to whom no row rule applies;
bytes go to servers over sockets.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from falcon.testing import Result

from falcorest.auth import TokenIssuer
from falcorest.errors import CODES
from tests.attacks.cursors import HOSTILE_VALUES, cursor
from tests.live.processes import Running, serving
from tests.support import SECRET, assert_problem, clean_environment
from tests.watching import MONITOR, snapshot


@dataclass(frozen=True)
class Attack:
    """A request that must be refused.

    Attributes:
        body: Sent as JSON; bytes are sent as they stand.
        code: That of the problem.
        reaches: Whether the database has to be asked before it can be refused.
    """

    name: str
    method: str
    url: str
    status: int
    code: str
    body: Any = None
    reaches: bool = False

    @property
    def raw(self) -> bytes | None:
        """The body as bytes."""
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()

    def __str__(self) -> str:
        return self.name


def _get(name: str, query: str, code: str, status: int = 400, *, reaches: bool = False) -> Attack:
    return Attack(name, "GET", f"/api/rockets?{query}", status, code, reaches=reaches)


def _post(name: str, body: Any, code: str, status: int = 400) -> Attack:
    return Attack(name, "POST", "/api/rockets", status, code, body)


def _patch(name: str, body: Any, code: str = "body.invalid_update", status: int = 400) -> Attack:
    return Attack(name, "PATCH", "/api/rockets/x", status, code, body)


def _deep(opening: str, middle: str, closing: str, depth: int) -> bytes:
    return (opening * depth + middle + closing * depth).encode()


_QUERIES = [
    _get("$where as a field", "$where=1", "query.invalid_field"),
    _get("$where percent-encoded", "%24where=sleep(1)", "query.invalid_field"),
    _get("$where deep in a path", "a.$where=1", "query.invalid_field"),
    _get("$where as an operator", "a=$where[str].1", "query.unknown_operator"),
    _get("$where in a group", "or=(a.$where[str].1)", "query.unknown_operator"),
    _get("$where as a member", "or=($where.eq[str].1)", "query.invalid_field"),
    _get("$expr", "$expr=[str].1", "query.invalid_field"),
    _get("expr", "a=expr[str].1", "query.unknown_operator"),
    _get("$function", "a=$function[str].1", "query.unknown_operator"),
    _get("jsonSchema", "a=jsonSchema[str].1", "query.unknown_operator"),
    _get("elemMatch", "a=elemMatch[str].1", "query.unknown_operator"),
    _get("a hint of code", "a=[javascript].1", "query.unknown_hint"),
    _get("$field in a projection", "_projection=$cost", "query.invalid_field"),
    _get("a field of $ in a projection", "_projection=a.$", "query.invalid_field"),
    _get("$field in a sort", "_sort=($cost:ascending)", "query.invalid_field"),
    _get("NUL in a field", "a%00b=1", "query.invalid_field"),
    _get("NUL in a projection", "_projection=a%00", "query.invalid_field"),
    _get("an empty field", "=1", "query.invalid_field"),
    _get("an empty part", "a..b=1", "query.invalid_field"),
    _get("%ff in a value", "a=%ff", "query.malformed"),
    _get("%ff in a field", "%ff=1", "query.malformed"),
    _get("a lone surrogate", "a=%ED%A0%80", "query.malformed"),
    _get("an overlong encoding", "a=%C0%AE", "query.malformed"),
    _get("64 bits overflown by _skip", f"_skip={2**63}", "query.invalid_skip"),
    _get("64 bits overflown by _limit", f"_limit={2**63}", "query.invalid_limit"),
    _get("a number of 10,000 digits", f"_limit={'9' * 10_000}", "query.invalid_limit"),
    _get("64 bits overflown by a value", f"a=[int].{2**63}", "query.invalid_value"),
    _get("64 bits overflown in a list", f"a=in[list-int].[{2**63}]", "query.invalid_value"),
    _get("NaN", "a=[float].NaN", "query.invalid_value"),
    _get("infinity", "a=[float].1e999", "query.invalid_value"),
    _get("digits of another script", "a=[int].%D9%A1", "query.invalid_value"),
    _get("10,000 parentheses", f"or={'(' * 10_000}", "query.invalid_group"),
    _get("10,000 groups", f"or={'(or' * 10_000}(", "query.too_complex"),
    _get("a pattern that can't be read", "a=regex[str].(", "query.refused", reaches=True),
    _get("a hidden field in a filter", "cost=gt[int].5", "policy.field", 403),
    _get("a hidden field in a group", "nor=(cost.gt[int].5)", "policy.field", 403),
    _get("a hidden field in a list", "parts.0.serial=5", "policy.field", 403),
    _get("a hidden field by a pattern", "cost=regex[str].^a", "policy.field", 403),
    _get("what is around a hidden field", "supplier=exists[bool].true", "policy.field", 403),
    _get("a hidden field in a sort", "_sort=(cost:ascending)", "policy.field", 403),
    _get("a hidden field in a projection", "_projection=name,cost", "policy.field", 403),
    _get(
        "a hidden field in a sort, by cursor", "_sort=(cost:ascending)&_after=", "policy.field", 403
    ),
    _get("a count of what is hidden", "cost=gt[int].5&_count=exact", "policy.field", 403),
    _get(
        "a cursor of a hidden field",
        f"_after={cursor('rockets', [('cost', 1)], [5, 'd1'])}",
        "query.invalid_cursor",
    ),
    _get(
        "a cursor of another resource",
        f"_after={cursor('notes', [], ['d1'])}",
        "query.invalid_cursor",
    ),
    _get("a cursor of 30,000 characters", f"_after={'A' * 30_000}", "query.invalid_cursor"),
    _get(
        "a cursor that is signed and too long",
        f"_before={cursor('rockets', [], ['x' * 3000])}",
        "query.invalid_cursor",
    ),
    _get("a cursor of NULs", "_after=%00%00%00", "query.invalid_cursor"),
    _get("a cursor and a number", "_after=&_skip=1", "query.invalid_cursor"),
    *(
        _get(
            f"a cursor that is signed, with {value!r} in it",
            f"_after={cursor('rockets', [], [value])}",
            "query.invalid_cursor",
        )
        for value in HOSTILE_VALUES
    ),
    _get("a count of $where", "_count=$where", "query.invalid_count"),
]

_WRITES = [
    _patch("$where as an update", {"$where": "1"}),
    _patch("$expr as an update", {"$expr": {}}),
    _patch("$function as an update", {"$function": {"body": "1"}}),
    _patch("$where in a value", {"$set": {"a": {"$where": "1"}}}, "body.invalid_key"),
    _patch("$function in a value", {"a": {"$function": {}}}, "body.invalid_key"),
    _patch("$where in $pull", {"$pull": {"a": {"$where": "1"}}}, "body.invalid_key"),
    _patch("a pattern in $pull", {"$pull": {"a": {"$in": [{"$regex": "x"}]}}}, "body.invalid_key"),
    _patch("a pipeline", [{"$set": {"name": "$cost"}}], "body.wrong_type"),
    _patch("an empty pipeline", [], "body.wrong_type"),
    _patch("a positional operator", {"$set": {"a.$.b": 1}}, "body.invalid_key"),
    _patch("all positions", {"$set": {"a.$[].b": 1}}, "body.invalid_key"),
    _patch("$rename to $", {"$rename": {"name": "$x"}}, "body.invalid_key"),
    _patch("$bit", {"$bit": {"thrust": {"and": 1}}}),
    _patch("$setOnInsert", {"$setOnInsert": {"a": 1}}),
    _patch("$rename from a hidden field", {"$rename": {"cost": "name"}}, "policy.field", 403),
    _patch("$rename onto a hidden field", {"$rename": {"name": "cost"}}, "policy.field", 403),
    _patch("$rename from around one", {"$rename": {"supplier": "name"}}, "policy.field", 403),
    _patch("$rename onto what is around one", {"$rename": {"name": "meta"}}, "policy.field", 403),
    _patch("$rename onto a read-only one", {"$rename": {"draft": "approved"}}, "policy.field", 403),
    _patch("$rename from a read-only one", {"$rename": {"approved": "a"}}, "policy.field", 403),
    _patch("$unset of a read-only field", {"$unset": {"approved": ""}}, "policy.field", 403),
    _patch("$unset of what is around one", {"$unset": {"audit": ""}}, "policy.field", 403),
    _patch("$max on a hidden field", {"$max": {"cost": 5}}, "policy.field", 403),
    _patch("$push of a hidden field", {"$push": {"parts": {"serial": 5}}}, "policy.field", 403),
    _patch("$pull by a hidden field", {"$pull": {"parts": {"serial": 5}}}, "policy.field", 403),
    _patch("$sort by a hidden field", {"$push": {"parts": {"$each": [], "$sort": {"serial": 1}}}},
           "policy.field", 403),
    _patch("a hidden field below a reference",
           {"$push": {"parts": {"$ref": "c", "$id": 1, "serial": 5}}}, "policy.field", 403),
    _patch("another _id", {"_id": "y"}),
    _post("an empty key", {"": 1}, "body.invalid_key"),
    _post("an empty key, deep", {"a": [{"b": {"": 1}}]}, "body.invalid_key"),
    _post("a dotted key", {"a.b": 1}, "body.invalid_key"),
    _post("a dotted key, deep", {"a": {"b.c": 1}}, "body.invalid_key"),
    _post("a $-led key", {"$set": {"a": 1}}, "body.invalid_key"),
    _post("a $-led key, deep", {"a": [{"$gt": ""}]}, "body.invalid_key"),
    _post("an operator as an _id", {"_id": {"$gt": ""}}, "body.invalid_key"),
    _post("NUL in a key", {"a\0b": 1}, "body.invalid_key"),
    _post("NUL in a pattern", {"a": {"$regularExpression": {"pattern": "\0", "options": ""}}},
          "body.invalid_value"),
    _post("a lone surrogate in a value", b'{"a": "\\ud800"}', "body.malformed"),
    _post("a lone surrogate in a key", b'{"\\udfff": 1}', "body.malformed"),
    _post("bytes that aren't UTF-8", b'{"a": "\xff"}', "body.malformed"),
    _post("surrogates in UTF-8", b'{"a": "\xed\xa0\x80"}', "body.malformed"),
    _post("UTF-16", '{"a": 1}'.encode("utf-16"), "body.malformed"),
    _post("a key twice", b'{"a": 1, "a": 2}', "body.duplicate_key"),
    _post("a key twice, once escaped", b'{"a": 1, "\\u0061": 2}', "body.duplicate_key"),
    _post("JSON, 100,000 deep", _deep("[", "", "]", 100_000), "body.too_deep"),
    _post("an object, 100,000 deep", _deep('{"a":', "1", "}", 100_000), "body.too_deep"),
    _post("an object, 101 deep", _deep('{"a":', "1", "}", 101), "body.too_deep"),
    _post("100,000 brackets that never close", b"[" * 100_000, "body.too_deep"),
    _post("64 bits overflown", b'{"a": 9223372036854775808}', "body.invalid_value"),
    _post("64 bits overflown, below", b'{"a": -9223372036854775809}', "body.invalid_value"),
    _post("an integer of 10,000 digits", b'{"a": 1%s}' % (b"0" * 10_000), "body.malformed"),
    _post("32 bits overflown", {"a": {"$numberInt": "2147483648"}}, "body.invalid_value"),
    _post("64 bits overflown in a text", {"a": {"$numberLong": str(2**63)}}, "body.invalid_value"),
    _post("a decimal of 35 digits", {"a": {"$numberDecimal": "1" * 35}}, "body.invalid_value"),
    _post("NaN in a body", b'{"a": NaN}', "body.malformed"),
    _post("infinity in a body", b'{"a": Infinity}', "body.malformed"),
    _post("1e400", b'{"a": 1e400}', "body.malformed"),
    _post("a body of more than 1 MiB", b'"%s"' % (b"x" * 2**20), "body.too_large", 413),
    _post("a hidden field", {"cost": 1}, "policy.field", 403),
    _post("a hidden field in an object", {"supplier": {"contact": 1}}, "policy.field", 403),
    _post("a hidden field in a list", {"parts": [[{"serial": 1}]]}, "policy.field", 403),
    _post("a read-only field", {"approved": True}, "policy.field", 403),
    Attack("a bulk write without a filter", "DELETE", "/api/rockets", 403, "bulk.unfiltered"),
    Attack("a bulk write with a filter that is always true", "DELETE",
           "/api/rockets?or=(a.nin[list-int].[],_id.exists[bool].true)", 403, "bulk.too_many",
           reaches=True),
    Attack("a bulk write that asks about a hidden field", "PATCH",
           "/api/rockets?cost=gt[int].5", 403, "policy.field", {"$set": {"name": "x"}}),
    Attack("a bulk $rename of a hidden field", "PATCH", "/api/rockets?name=x", 403,
           "policy.field", {"$rename": {"cost": "name"}}),
    Attack("%ff in an id", "GET", "/api/rockets/[int].%ff", 400, "id.invalid"),
    Attack("an id of 60,000 digits", "GET", f"/api/rockets/[float].{'1' * 60_000}x", 400,
           "id.invalid"),
    Attack("an id of 64 bits and more", "PUT", f"/api/rockets/[int].{2**63}", 400, "id.invalid",
           {"a": 1}),
]  # fmt: skip

ATTACKS: tuple[Attack, ...] = (*_QUERIES, *_WRITES)

#: The same for declared resources, those of :mod:`tests.attacks.declared`.
DECLARED_ATTACKS: tuple[Attack, ...] = (
    *(
        Attack(f"/posts?{query}", "GET", f"/posts?{query}", CODES[code][0], code)
        for query, code in (
            ("$where=1", "query.unknown_parameter"),
            ("title__regex=.*", "query.unknown_parameter"),
            ("title__where=1", "query.unknown_parameter"),
            ("title[$ne]=1", "query.unknown_parameter"),
            ("secret=s", "policy.field"),
            ("secret__startswith=s", "policy.field"),
            ("content__hidden=h", "policy.field"),
            ("author_id__password=p", "query.unknown_parameter"),
            ("_id=1", "query.unknown_parameter"),
            ("number=9223372036854775808", "query.invalid_value"),
            ("number=NaN", "query.invalid_value"),
            ("title=%ff", "query.malformed"),
            ("_fields=$secret", "query.unknown_field"),
            ("_fields=secret", "policy.field"),
            ("_order_by=secret", "policy.field"),
            ("_order_by=$title", "query.invalid_sort"),
            ("_skip=9223372036854775808", "query.invalid_skip"),
            ("_order_by=secret&_after=", "policy.field"),
            (f"_after={cursor('posts', [('secret', 1)], [5, 'd1'])}", "query.invalid_cursor"),
            (f"_before={cursor('posts', [], [{'$gt': 1}])}", "query.invalid_cursor"),
            ("_after=x", "query.invalid_cursor"),
            ("_count=$where", "query.invalid_count"),
        )
    ),
    *(
        Attack(f"a body, {str(body)[:60]}", "POST", "/posts", CODES[code][0], code, body)
        for body, code in (
            ({"title": {"$ne": 1}}, "body.invalid"),
            ({"title": "t", "$set": {"title": "u"}}, "body.invalid"),
            ({"title": "t", "content.hidden": "h"}, "body.invalid"),
            ({"title": "t", "content": {"$where": "1"}}, "body.invalid"),
            ({"title": "t", "approved": True}, "policy.field"),
            ({"title": "t", "unknown": 1}, "body.invalid"),
            ({"title": "t", "number": 2**63}, "body.invalid_value"),
            ({"title": "t", "number": {"$gt": 1}}, "body.invalid"),
            (b'{"title": "\\ud800"}', "body.malformed"),
            (b'{"title": "t", "title": "u"}', "body.duplicate_key"),
            (_deep('{"parts":', "1", "}", 50_000), "body.too_deep"),
            ([{"$set": {"title": "$secret"}}], "body.invalid"),
        )
    ),
    Attack("PATCH with operators", "PATCH", "/posts?title=t", 400, "body.invalid",
           {"$set": {"title": "u"}}),
    Attack("PATCH of everything", "PATCH", "/posts", 403, "bulk.unfiltered", {"title": "u"}),
    Attack("DELETE of everything", "DELETE", "/posts", 403, "bulk.unfiltered"),
)  # fmt: skip


class Called(Protocol):
    """An API that is called in process."""

    database: Any

    def __call__(self, method: str, url: str, *, raw: bytes | None) -> Result:
        """Send a request."""


def refusal(api: Called, attack: Attack) -> str | None:
    """Send an attack; say what is wrong with the answer or with what came of it, if anything is.

    Args:
        api: Where it goes to; nobody else does.
        attack: What must be refused.
    """
    before = snapshot(api.database)
    started = time.monotonic()
    with MONITOR.recording() as commands:
        result = api(attack.method, attack.url, raw=attack.raw)
    took = time.monotonic() - started
    try:
        assert_problem(result, attack.status, attack.code)
    except AssertionError:
        return f"{attack}: {result.status_code} {result.text[:300]}"
    if len(result.content) > 4096:
        return f"{attack}: an answer of {len(result.content)} bytes"
    if commands and not attack.reaches:
        return f"{attack}: it reached the database: {commands}"
    if snapshot(api.database) != before:
        return f"{attack}: something was changed"
    return f"{attack}: it took {took:.1f} s" if took > 5 else None


#: What is stored when the attacks come.
DOCUMENTS: list[dict[str, Any]] = [
    {
        "_id": "x",
        "name": "RD-180",
        "cost": 5,
        "approved": True,
        "thrust": 4152,
        "supplier": {"name": "acme", "contact": "z"},
        "parts": [{"name": "nozzle", "serial": 5}],
        "audit": {"by": "qa"},
    },
    *({"_id": number, "name": "x"} for number in range(9)),
]

#: Texts that would break a line of a log, or write to a terminal.
LOG_BREAKERS = (
    "\r\n[ERROR] falcorest: forged",
    "\n[ERROR] falcorest: forged",
    "\x1b[2J\x1b]0;title\x07",
    "\x85[ERROR] falcorest: forged",
    "\u2028[ERROR] falcorest: forged",
    "\u202e",
    "\x00",
)

# -------------------------------------------------------------------------------- over sockets


@dataclass(frozen=True)
class Bytes:
    """What is sent to a server as it stands; ``TOKEN`` in it is a good access token.

    Attributes:
        statuses: With which it may be answered. None of them: the connection may just be closed.
        answers: The most answers that there may be.
    """

    name: str
    data: bytes
    statuses: tuple[int, ...] = (400,)
    answers: int = 1

    def __str__(self) -> str:
        return self.name


def _request(line: str, *headers: str, body: bytes = b"") -> bytes:
    head = (line, "Host: x", "Authorization: Bearer TOKEN", *headers, "", "")
    return "\r\n".join(head).encode("latin-1") + body


_JSON = "Content-Type: application/json"
_POST = "POST /api/rockets HTTP/1.1"
_GET = "GET /api/rockets HTTP/1.1"
#: A request within a body: it must never be taken for one.
_SMUGGLED = _request("PUT /api/rockets/smuggled HTTP/1.1", "Content-Length: 2", body=b"{}")
_CHUNKED = b"0\r\n\r\n" + _SMUGGLED

_STORED = b'{"_id": "stored"}'
_HUGE = 2**40

SOCKET_ATTACKS: tuple[Bytes, ...] = (
    Bytes("Content-Length and chunked",
          _request(_POST, _JSON, f"Content-Length: {len(_CHUNKED)}", "Transfer-Encoding: chunked",
                   body=_CHUNKED)),
    Bytes("chunked and Content-Length",
          _request(_POST, _JSON, "Transfer-Encoding: chunked", "Content-Length: 5",
                   body=_CHUNKED)),
    Bytes("two lengths that differ",
          _request(_POST, _JSON, f"Content-Length: {len(_CHUNKED)}", "Content-Length: 5",
                   body=_CHUNKED)),
    Bytes("a list of lengths",
          _request(_POST, _JSON, "Content-Length: 5, 6", body=_CHUNKED)),
    Bytes("a negative length", _request(_POST, _JSON, "Content-Length: -1", body=_SMUGGLED)),
    Bytes("a length with a sign", _request(_POST, _JSON, "Content-Length: +5", body=_CHUNKED)),
    Bytes("a length that is no number", _request(_POST, _JSON, "Content-Length: x")),
    Bytes("a length beyond 64 bits",
          _request(_POST, _JSON, f"Content-Length: {2**64}"), (400, 413)),
    Bytes("a coding that nobody knows",
          _request(_POST, _JSON, "Transfer-Encoding: xchunked", body=_CHUNKED), (400, 501)),
    Bytes("chunked that isn't the last coding",
          _request(_POST, _JSON, "Transfer-Encoding: chunked, identity", body=_CHUNKED),
          (400, 501)),
    Bytes("a space before the colon",
          _request(_POST, _JSON, "Transfer-Encoding : chunked", "Content-Length: 5",
                   body=_CHUNKED)),
    Bytes("a folded header",
          _request(_POST, _JSON, "Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n")),
    Bytes("a chunk beyond 64 bits",
          _request(_POST, _JSON, "Transfer-Encoding: chunked", body=b"FFFFFFFFFFFFFFFFF\r\nx\r\n")),
    Bytes("a chunk size that is no number",
          _request(_POST, _JSON, "Transfer-Encoding: chunked", body=b"x\r\n\r\n")),
    Bytes("a body that is announced as huge",
          _request(_POST, _JSON, f"Content-Length: {_HUGE}", body=b"{}"), (413,)),
    Bytes("chunks of 2 MiB",
          _request(_POST, _JSON, "Transfer-Encoding: chunked",
                   body=b"100000\r\n" + b"x" * 2**20 + b"\r\n100000\r\n" + b"x" * 2**20 + b"\r\n"
                   b"0\r\n\r\n"), (400, 413)),
    Bytes("a header of 300 KB", _request(_GET, f"X-A: {'a' * 300_000}"), (200, 400, 431)),
    Bytes("3,000 headers",
          _request(_GET, *(f"X-{n}: {'a' * 90}" for n in range(3000))), (400, 431)),
    Bytes("an address of 300 KB", _request(f"GET /api/rockets?a={'a' * 300_000} HTTP/1.1"),
          (400, 414, 431)),
    Bytes("a method of 1,000 letters", _request(f"{'A' * 1000} /api/rockets HTTP/1.1"), (400, 405)),
    Bytes("NUL in the address", _request("GET /api/rockets/\0 HTTP/1.1"), (400, 404)),
    Bytes("NUL in a header", _request(_GET, "X-A: a\0b"), (200, 400)),
    Bytes("a lone CR in a header", _request(_GET, "X-A: a\rX-B: b"), (200, 400)),
    Bytes("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    Bytes("HTTP/9.9", _request("GET /api/rockets HTTP/9.9"), (200, 400, 505)),
)  # fmt: skip


SERVERS = ("granian", "gunicorn", "waitress")


@contextmanager
def attackable(folder: Path) -> Iterator[dict[str, Running]]:
    """Run ``falcorest serve`` under each server, on a database in memory."""
    environment = clean_environment(
        MONGODB_URI="mongomock://", COLLECTIONS="rockets:rocket_engines", JWT_SECRET_KEY=SECRET
    )
    with ExitStack() as stack, ThreadPoolExecutor() as pool:

        def start(name: str) -> Running:
            own = folder / name
            own.mkdir()
            options = ("--server", name, "--threads", "8")
            return stack.enter_context(serving(own, *options, environment=environment))

        yield dict(zip(SERVERS, pool.map(start, SERVERS), strict=True))


def attack_servers(servers: Mapping[str, Running]) -> dict[str, list[bytes]]:
    """Send all attacks to all servers at once; return what each says to each."""
    token = TokenIssuer(SECRET).issue("tester")
    with ThreadPoolExecutor() as pool:
        said = pool.map(lambda server: attack_server(server.port, token), servers.values())
        return dict(zip(servers, said, strict=True))


def attack_server(port: int, token: str) -> list[bytes]:
    """Send each attack on a connection of its own, all at once; return all that comes back."""
    with ThreadPoolExecutor(len(SOCKET_ATTACKS)) as pool:
        sent = [one.data.replace(b"TOKEN", token.encode()) for one in SOCKET_ATTACKS]
        return list(pool.map(lambda data: talk(port, data), sent))


def misled(answers: Sequence[bytes]) -> list[str]:
    """Say which of the attacks a server has answered as it shouldn't."""
    return [
        f"{attack}: {found}"
        for attack, answer in zip(SOCKET_ATTACKS, answers, strict=True)
        if len(found := statuses(answer)) > attack.answers or not set(found) <= set(attack.statuses)
    ]


def talk(port: int, data: bytes, patience: float = 1.0) -> bytes:
    """Send bytes and return what comes back, until nothing more does."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        try:
            connection.sendall(data)
            while piece := connection.recv(65536):
                answer += piece
        except OSError:
            # NOTE: the server has hung up in the middle, or says nothing more.
            pass
    return answer


def statuses(answer: bytes) -> list[int]:
    """Return the statuses of the answers on one connection."""
    lines = answer.split(b"\r\n")
    return [
        int(line[9:12]) for line in lines if line.startswith(b"HTTP/1.") and line[9:12].isdigit()
    ]
