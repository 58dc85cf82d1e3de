"""Requests to the zero-code door: good ones, nearly good ones and hostile ones, from a seed.

They speak of the fields of :mod:`tests.attacks.world`, hidden ones, their parents and paths through
lists included; most of them are such as are accepted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote

from bson import ObjectId

from falcorest import bson_json
from falcorest.dialects.base import COUNTS
from falcorest.hints import format_id
from tests.attacks.conditions import (
    JSON_PATCH,
    MERGE,
    Headers,
    conditions,
    json_patch,
    merge_patch,
)
from tests.attacks.cursors import hostile_cursor, some_cursor
from tests.attacks.world import CALLERS, IDS, SECRETS, Cast, sees


class _Gone:
    def __repr__(self) -> str:
        return "GONE"


#: In the place of a value: the field is to go.
GONE = _Gone()

#: A change to what was read: a path in it, and the new value.
Edit = tuple[tuple[str | int, ...], Any]


@dataclass(frozen=True)
class Request:
    """A request.

    Attributes:
        url: Path and query string, as they go over the wire.
        caller: One of CALLERS.
        edits: If not None, the body is what a GET of the url gives, with these changes.
        headers: Further ones, with :data:`tests.attacks.conditions.TAG` for that of the document.
    """

    method: str
    url: str
    body: bytes | None = None
    caller: str = "nobody"
    edits: tuple[Edit, ...] | None = None
    headers: Headers = ()

    def __str__(self) -> str:
        body = "" if self.body is None else f" {self.body[:400]!r}"
        edits = "" if self.edits is None else f" what was read, with {self.edits!r}"
        headers = "".join(f" {name}: {value}" for name, value in self.headers)
        return f"{self.caller}: {self.method} {self.url[:400]}{headers}{body}{edits}"


@dataclass(frozen=True)
class Words:
    """What requests to one resource speak of.

    Attributes:
        seen: Fields by the kind of what is stored in them.
        readonly: Likewise.
        hidden: Paths of hidden fields, and below them.
        around: Paths of what holds hidden fields.
        written: Fields that a client may write: some values for each.
        lists: Lists that a client may write.
    """

    seen: dict[str, str]
    readonly: dict[str, str]
    hidden: tuple[str, ...]
    around: tuple[str, ...]
    written: dict[str, tuple[Any, ...]]
    lists: tuple[str, ...]


_PART: tuple[Any, ...] = (
    {"name": "a", "mass": 1},
    {"name": "new"},
    {"name": "b", "tools": ["x"]},
    {},
    "bolt",
)
_REPLY: tuple[Any, ...] = ({"text": "a"}, {"text": "new", "at": 1}, {}, "no")

WORDS = {
    "rockets": Words(
        seen={
            "name": "str",
            "country": "str",
            "thrust": "int",
            "tags": "strs",
            "_id": "id",
            "supplier.name": "str",
            "parts.name": "str",
            "parts.mass": "int",
            "note": "str",
            "parts.0.mass": "int",
            "meta.open": "int",
            "meta.deep.open": "int",
            "new": "int",
            "draft": "bool",
            "audit.at": "date",
            "costs": "int",
            "parts.1.name": "str",
        },
        readonly={"approved": "bool", "audit.by": "str", "parts.checked": "bool"},
        hidden=(
            *("cost", "cost.x", "cost.0", "supplier.contact", "supplier.contact.mail", "tenant"),
            *("supplier.0.contact", "parts.serial", "parts.0.serial", "parts.0.0.serial"),
            *("parts.0.serial.x", "meta.deep.secret", "meta.deep.secret.0", "parts.00.serial"),
        ),
        around=("supplier", "supplier.0", "parts", "parts.0", "parts.0.0", "meta", "meta.deep"),
        written={
            "name": ("engine-1", "engine-9", ""),
            "country": (*("USA", "FR") * 4, "RU"),
            "thrust": (0, 5, 12, 2.5),
            "tags": (["a"], ["a", "b"], []),
            "supplier": ({"name": "acme"}, {"name": "z", "site": 1}, {}, [{"name": "q"}], "-"),
            "supplier.name": ("acme", "new"),
            "parts": ([], list(_PART[:2]), [_PART[0]], [[_PART[0]]], "none"),
            "parts.0.mass": (1, 9),
            "parts.0": _PART,
            "parts.7.name": ("far",),
            "meta": ({"open": 1}, {"open": 2, "deep": {"open": 1}}, {"deep": {}}, 5),
            "meta.open": (1, 2),
            "meta.deep": ({"open": 3}, {}, "flat"),
            "meta.deep.open": (1, 2),
            "note": ("x", {"y": [1]}),
            "new.path.far": (1,),
            "draft": (*(False,) * 6, True),
        },
        lists=("tags", "tags", "parts", "supplier", "new.list"),
    ),
    "notes": Words(
        seen={
            "title": "str",
            "n": "int",
            "body.text": "str",
            "created_by": "str",
            "_id": "id",
            "body.0.text": "str",
            "new": "int",
        },
        readonly={"stars": "int", "body.seal": "int"},
        hidden=("mood", "mood.x", "body.private", "body.0.private", "body.private.x"),
        around=("body", "body.0"),
        written={
            "title": ("a", "q", ""),
            "n": (1, 7, -3),
            "body": ({"text": "x"}, {"text": "new"}, {}, [{"text": "z"}], "flat"),
            "body.text": ("x", "new"),
            "tags": (["a"], []),
            "created_by": ("ann", "ann", "bob", "ed"),
        },
        lists=("tags", "tags", "body"),
    ),
    "board": Words(
        seen={
            "text": "str",
            "level": "int",
            "blocked": "bool",
            "poster.name": "str",
            "replies.text": "str",
            "replies.0.text": "str",
            "_id": "id",
            "new": "int",
        },
        readonly={"votes": "int", "replies.votes": "int"},
        hidden=("ip", "ip.0", "poster.mail", "replies.ip", "replies.1.ip", "replies.ip.x"),
        around=("poster", "replies", "replies.0"),
        written={
            "text": ("a", "new"),
            "level": (0, 2, 3, 4, 5, 5, 6),
            "blocked": (*(False,) * 6, True),
            "poster": ({"name": "x"}, {"name": "y", "url": "z"}, {}),
            "poster.name": ("x", "q"),
            "replies": ([], [_REPLY[0]], list(_REPLY[:2])),
            "replies.0": _REPLY,
            "replies.0.text": ("a", "n"),
            "tags": (["a"], []),
        },
        lists=("tags", "replies"),
    ),
    "crates": Words(
        seen={
            "state": "str",
            "items.name": "str",
            "items.0.name": "str",
            "deep.w": "int",
            "deep.a.b.z": "int",
            "_id": "id",
            "new": "int",
        },
        readonly={"box.size": "int", "items.tag.text": "str", "deep.a.x": "int"},
        hidden=(
            *("box.key", "box.key.x", "box.0.key", "items.tag.code", "items.0.tag.code"),
            *("items.tag.0.code", "deep.a.b.c", "deep.a.b.c.0", "deep.0.a.b.c"),
        ),
        around=(
            "box",
            "items",
            "items.0",
            "items.tag",
            "items.0.tag",
            "deep",
            "deep.a",
            "deep.a.b",
        ),
        written={
            "state": ("open", "open", "new", "new", "shut"),
            "items": ([], [{"name": "a"}], [{"name": "a"}, {"name": "new"}], "none"),
            "items.0.name": ("a", "q"),
            "items.0": ({"name": "a"}, {"name": "q", "tag": {"text": "t"}}, "flat"),
            "items.5.name": ("far",),
            "deep": ({"w": 1}, {"a": {"x": 1, "b": {"y": 1, "z": 2}}, "w": 2}, {}),
            "deep.w": (1, 2),
            "deep.a": ({"b": {"z": 3}}, {"x": 1, "b": {"y": 0, "z": 3}}),
            "deep.a.b": ({"z": 4}, {"y": 1, "z": 4}, 5),
            "deep.a.b.z": (1, 5),
            "box": ({"size": 1}, {"size": 9}),
            "note": ("x",),
        },
        lists=("items", "tags", "tags"),
    ),
    "inbox": Words(
        seen={"text": "str", "_id": "id", "new": "int"},
        readonly={"read_at": "int"},
        hidden=("trace", "trace.0"),
        around=("tags",),
        written={"text": ("a", "new"), "tags": (["a"], []), "level": (1, 2)},
        lists=("tags",),
    ),
}

#: Names that are nearly those of hidden fields, and such as no path can be.
STRANGE = (
    *(
        "costs",
        "Cost",
        "cost ",
        " cost",
        "ip\u200b",
        "supplier.contacts",
        "parts.seria",
        "meta.dee",
    ),
    *("$cost", "cost.", ".cost", "supplier..contact", "parts.$.serial", "parts.$[].serial", "$"),
    *("$where", "a.$where", "cost\0", "", "..", "parts.-1.serial", "parts.+0.serial", "__proto__"),
    *("parts.\u0661.serial", "$$ROOT", "_id.x", "supplier.$id", "a" * 300, ".".join("a" * 120)),
)
_LITERALS = {
    "str": ("engine-1", "USA", "FR", "a", "b", "x", "acme", "qa", "ann", "open", "new", ""),
    "int": ("0", "1", "2", "3", "5", "9", "-1"),
    "bool": ("true", "false"),
    "date": ("2021-11-01", "2020-01-01"),
    "id": ("d1", "d5", "d8"),
}
#: Typed values of every hint, for guesses at what is hidden.
_GUESSES = (
    *("[int].0", "[int].5", "gte[int].1", "lt[float].2.6", "[bool].true", "[str].secret", "a"),
    *("[null].", "exists[bool].true", "exists[bool].false", "type[str].string", "type[str].array"),
    *("size[int].1", "in[list-int].[0,1,5,9]", "nin[list-str].[a,z]", "not.gte[int].5", "z"),
    *("all[list-str].[a]", "[decimal].1.5", f"[oid].{IDS[-1]}", "[datetime].2021-11-01T00:00:00Z"),
    *("regex[str].^s", "ne[int].5", "gt[str].engine", "not.exists[bool].true", "type[str].object"),
)
_HOSTILE_VALUES = (
    *("where[str].1", "[javascript].1", "eq[$int].1", "$eq[int].1", "expr[str].1", "gte[int].x"),
    *("[int].9223372036854775808", "[float].nan", "in[int].1", "[list-null].[]", "not.not.[int].1"),
    *("size[int].-1", "type[str].nothing", "exists[int].1", "in[list-int].[1", "[oid].x"),
)
_HOSTILE_BODIES: tuple[Any, ...] = (
    *({"$where": "1"}, {"$set": {"$where": 1}}, {"$set": 5}, {"$set": {}, "a": 1}, {"$bit": {}}),
    *({"$set": {"a.$[]": 1}}, {"$setOnInsert": {"a": 1}}, {"a": {"$gt": 1}}, {"": 1}, {"a..b": 1}),
    *({"$push": {"a": {"$each": 1}}}, {"$inc": {"a": "x"}}, {"$currentDate": {"a": {"$type": 1}}}),
    *({"$pull": {"a": {"$where": "1"}}}, {"a\0": 1}, {"$expr": {}}, {"$rename": {"name": "$x"}}),
    *([{"$set": {"name": "$cost"}}], [{"$unset": "cost"}], [], 5, None, "x", {"a": {"$date": "x"}}),
    *({"_id": {"$gt": 1}}, {"_id": [1]}, {"a": {"$numberLong": "9" * 20}}, {"_id": None}),
)
_RAW_BODIES = (
    *(b"", b"{", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":99999999999999999999}', b"\xff", b"{}"),
    *(
        b'{"a":"\\ud800"}',
        b"[" * 300,
        b'{"a":1e400}',
        b"null",
        b'{"a":"\\u0000"}',
        b"\xef\xbb\xbf{}",
    ),
)
_EXTENDED = (
    *({"$oid": str(IDS[-1])}, {"$date": "2021-11-01T10:00:00Z"}, {"$numberDecimal": "1.5"}),
    *(
        {"$numberLong": "5"},
        {"$numberDouble": "NaN"},
        {"$binary": {"base64": "AA==", "subType": "0"}},
    ),
    *({"$minKey": 1}, {"$regularExpression": {"pattern": "a", "options": ""}}, {"$code": "x"}),
    *({"$timestamp": {"t": 1, "i": 2}}, {"$ref": "c", "$id": 1}, {"$uuid": "0" * 32}),
)
#: References may have fields of their own, also such as are hidden where they stand.
_REFERENCES = (
    *({"$ref": "c", "$id": 1, "serial": 5}, {"$ref": "c", "$id": 1, "contact": "z"}),
    *({"$ref": "c", "$id": 1, "private": 1, "secret": 2}, {"$ref": "c", "$id": 1, "checked": True}),
)


class Generator:
    """Makes requests; the same ones for the same random numbers.

    Args:
        random: Where all choices come from.
        cast: Who calls, and what none of them may choose for a new document.
    """

    def __init__(self, random: Random, cast: Cast) -> None:
        self.random = random
        self.cast = cast
        self.resource = "rockets"
        self.caller = cast.callers[0]
        self._made = 0
        # NOTE: of what is there at first, so that most requests meet a document.
        self._seen = {
            (resource, caller): [one["_id"] for one in documents if sees(resource, caller, one)]
            for resource, documents in cast.databases[0].items()
            for caller in cast.callers
        }

    @property
    def words(self) -> Words:
        return WORDS[self.resource]

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def one(self, choices: Sequence[Any]) -> Any:
        return self.random.choice(choices)

    def request(self) -> Request:
        """Return the next request."""
        caller = self.caller = self.one(self.cast.callers)
        self.resource = self.one(_RESOURCES_OF[caller])
        make = self.random.choices(list(_KINDS), list(_KINDS.values()))[0]
        method, url, body, edits = make(self)
        headers = conditions(self.random, method)
        if make in _PATCHES:
            headers = (*headers, ("Content-Type", _PATCHES[make]))
        return Request(method, f"/api/{self.resource}{url}", body, caller, edits, headers)

    # --------------------------------------------------------------------------------- kinds

    def list_all(self) -> tuple[Any, ...]:
        method = "HEAD" if self.chance(0.05) else "GET"
        return method, self._asking(self.parameters()), None, None

    def fetch(self) -> tuple[Any, ...]:
        parameters = [("_projection", self.projection())] if self.chance(0.4) else []
        return "GET", self.item() + self._asking(parameters), None, None

    def create(self) -> tuple[Any, ...]:
        return "POST", "", self.json(self.new_document()), None

    def create_many(self) -> tuple[Any, ...]:
        documents = [self.new_document() for _ in range(self.random.randint(1, 3))]
        return "POST", "", self.json(documents), None

    def put(self) -> tuple[Any, ...]:
        identity = self.identity(choosing=True)
        body = self.document()
        if self.chance(0.1):
            body["_id"] = _extended(identity)
        return "PUT", f"/{format_id(identity)}", self.json(body), None

    def patch(self) -> tuple[Any, ...]:
        body = self.update() if self.chance(0.6) else self.fields()
        return "PATCH", self.item(), self.json(body), None

    def merge(self) -> tuple[Any, ...]:
        words = self.words
        unwritten = (*words.hidden, *words.around, *words.readonly)
        return (
            "PATCH",
            self.item(),
            self.json(merge_patch(self.random, words.written, unwritten)),
            None,
        )

    def patch_by_operations(self) -> tuple[Any, ...]:
        words = self.words
        unwritten = (*words.hidden, *words.around, *words.readonly)
        return (
            "PATCH",
            self.item(),
            self.json(json_patch(self.random, words.written, unwritten)),
            None,
        )

    def _unwritten(self) -> tuple[str, ...]:
        return (*self.words.hidden, *self.words.around, *self.words.readonly)

    def patch_many(self) -> tuple[Any, ...]:
        return "PATCH", self._asking(self.filters(2)), self.json(self.update()), None

    def delete(self) -> tuple[Any, ...]:
        return "DELETE", self.item(), None, None

    def delete_many(self) -> tuple[Any, ...]:
        # NOTE: few at once, so that there is something left.
        parameters = [("thrust", f"[int].{self.random.randrange(10)}"), *self.filters(1)]
        if self.chance(0.5):
            parameters[0] = ("_id", f"in[list-str].[{self.one(IDS[:9])},{self.one(IDS[:9])}]")
        return "DELETE", self._asking(parameters), None, None

    def send_back(self) -> tuple[Any, ...]:
        """What was read is sent back, changed or as it is."""
        identity = self.identity(choosing=True)
        edits = tuple(self.edit() for _ in range(self.one((0, 1, 1, 2))))
        return self.one(("PUT", "PUT", "PATCH")), f"/{format_id(identity)}", None, edits

    def probe(self) -> tuple[Any, ...]:
        """Ask for what is hidden, and for nothing else, so that it would show."""
        path = self.one((*self.words.hidden, *self.words.around))
        guess = self.one(_GUESSES)
        guess = guess if "[" in guess else f"[str].{guess}"
        member = f"{path}.{'eq' if guess.startswith('[') else ''}{guess}"
        asked = self.one(
            (
                *((path, guess), (path, guess), (self.one(("and", "or", "nor")), f"({member})")),
                *(("_sort", f"({path}:descending)"), ("_projection", f"{path},_id")),
            )
        )
        if asked[0].startswith("_") or self.chance(0.7):
            return "GET", self._asking([asked]), None, None
        if self.chance(0.5):
            return "DELETE", self._asking([asked]), None, None
        return "PATCH", self._asking([asked]), b'{"$set":{"found":1}}', None

    def move(self) -> tuple[Any, ...]:
        """Move what is seen to where it isn't."""
        moves: dict[str, tuple[Any, ...]] = {
            "rockets": ({"country": "RU"}, {"draft": True}, {"$unset": {"country": ""}}),
            "notes": ({"created_by": "carl"}, {"$rename": {"title": "created_by"}}),
            "board": ({"blocked": True}, {"$inc": {"level": 9}}, {"$max": {"level": 6.5}}),
            "crates": ({"state": "shut"}, {"$rename": {"state": "note"}}),
            "inbox": ({"text": "moved"},),
        }
        where, body = self.item(), self.one(moves[self.resource])
        if self.chance(0.3):
            where = self._asking([self.condition()])
            body = body if next(iter(body)).startswith("$") else {"$set": body}
        return "PATCH", where, self.json(body), None

    def hostile(self) -> tuple[Any, ...]:
        """What can't be accepted, whatever is stored."""
        kind = self.random.randrange(4)
        if kind == 0:
            name = self.one((*self.words.seen, *STRANGE))
            return "GET", self._asking([(name, self.one(_HOSTILE_VALUES))]), None, None
        if kind == 1:
            mine = f"/{format_id(self.identity(choosing=True))}"
            method, url = self.one((("POST", ""), ("PATCH", self.item()), ("PUT", mine)))
            return method, url, self.one(_RAW_BODIES), None
        if kind == 2:
            where = self.one((self.item(), self._asking(self.filters(1))))
            return "PATCH", where, self.json(self.one(_HOSTILE_BODIES)), None
        group = "(" * self.one((2, 30, 3000)) + "cost.eq[int].1"
        strange: list[tuple[str, str]] = [("or", group), ("_limit", "-1"), ("_sort", "(a:up)")]
        strange += [("_skip", str(2**63)), ("_projection", "$cost"), ("_count", "all")]
        parameter = self.one(("_after", "_before"))
        strange += [(parameter, hostile_cursor(self.random, self.resource))] * 3
        return self.one(("GET", "PATCH")), self._asking([self.one(strange)]), b"{}", None

    # ---------------------------------------------------------------------------- where and which

    def identity(self, *, choosing: bool = False) -> Any:
        """Return an id of a document that may be there.

        Args:
            choosing: Whether it may become the id of a new one.
        """
        if (seen := self._seen[self.resource, self.caller]) and self.chance(0.8):
            return self.one(seen)
        if choosing:
            mine = [one for one in IDS if one not in self.cast.ghosts[self.resource]]
            return self.one((*mine, *mine, *mine, f"new-{self.random.randrange(6)}"))
        return self.one((*IDS, *IDS, *IDS, f"new-{self.random.randrange(6)}", "nothing"))

    def item(self) -> str:
        return f"/{format_id(self.identity())}"

    def field(self, *, protected: float = 0.05) -> tuple[str, str]:
        """Return a path to ask for, and the kind of what is there; ``any`` if that is unknown."""
        if self.chance(protected):
            return self.one((*self.words.hidden, *self.words.around)), "any"
        if self.chance(0.015):
            return self.one(STRANGE), "any"
        known = self.words.readonly if self.chance(0.1) else self.words.seen
        return self.random.choice(list(known.items()))

    # ------------------------------------------------------------------------------ query strings

    def condition(self) -> tuple[str, str]:
        """Return a field, and what is asked of it, with a hint."""
        path, kind = self.field()
        if kind == "any" or self.chance(0.05):
            value = self.one(_GUESSES)
            return path, value if "[" in value else f"[str].{value}"
        if kind == "strs":
            return path, self.one(("all[list-str].[a]", "size[int].1", "in[list-str].[a,b]"))
        hint = "str" if kind == "id" else kind
        operators = ("eq", "ne", "gte", "lt", "in", "nin", "exists")
        operator = self.one(operators if kind != "bool" else ("eq", "ne", "exists"))
        negation = "not." if self.chance(0.1) else ""
        if operator == "exists":
            return path, f"{negation}exists[bool].{self.one(('true', 'false'))}"
        if operator in {"in", "nin"}:
            several = self.random.sample(_LITERALS[kind], 2)
            return path, f"{negation}{operator}[list-{hint}].[{','.join(several)}]"
        return path, f"{negation}{operator}[{hint}].{self.one(_LITERALS[kind])}"

    def filters(self, least: int = 0) -> list[tuple[str, str]]:
        filters = []
        for _ in range(self.random.randint(min(least, 1), 2)):
            if self.chance(0.2):
                filters.append((self.one(("and", "or", "nor")), self.group(1)))
            else:
                filters.append(self.condition())
        return filters

    def group(self, depth: int) -> str:
        members = []
        for _ in range(self.random.randint(1, 2)):
            if depth < 3 and self.chance(0.15):
                members.append(self.one(("and", "or", "nor")) + self.group(depth + 1))
            else:
                path, asked = self.condition()
                members.append(f"{path}.{'eq' if asked.startswith('[') else ''}{asked}")
        return f"({','.join(members)})"

    def parameters(self) -> list[tuple[str, str]]:
        parameters = self.filters() if self.chance(0.7) else []
        if self.chance(0.35):
            fields = {self.field()[0] for _ in range(self.random.randint(1, 2))}
            ways = ("ascending", "descending")
            sort = ",".join(f"({name}:{self.one(ways)})" for name in sorted(fields))
            parameters.append(("_sort", sort))
        if self.chance(0.35):
            parameters.append(("_projection", self.projection()))
        if self.chance(0.2):
            parameters.append(("_limit", self.one(("0", "1", "2", "3", "4", "50"))))
        if self.chance(0.15):
            parameters.append(("_skip", self.one(("0", "1", "2", "9"))))
        elif self.chance(0.25):
            parameters.append(self.cursor(dict(parameters).get("_sort", "")))
        if self.chance(0.15):
            parameters.append(("_count", self.one(COUNTS)))
        return parameters

    def cursor(self, sort: str) -> tuple[str, str]:
        """Return a parameter that says where a page begins or ends."""
        asked = [
            (path, 1 if direction == "ascending" else -1)
            for path, direction in re.findall(r"\(([^:]*):(\w+)\)", sort)
        ]
        text = some_cursor(self.random, self.resource, asked, IDS)
        return self.one(("_after", "_before")), text if self.chance(0.8) else ""

    def projection(self) -> str:
        names = [self.field()[0] for _ in range(self.random.randint(1, 3))]
        if self.chance(0.4):
            names.append(self.one(self.words.around))
        return ",".join(names)

    @staticmethod
    def _asking(parameters: Sequence[tuple[str, str]]) -> str:
        query = "&".join(f"{quote(name)}={quote(value)}" for name, value in parameters)
        return f"?{query}" if query else ""

    # ------------------------------------------------------------------------------------- bodies

    def json(self, body: Any) -> bytes:
        return json.dumps(body).encode()

    def new_document(self) -> dict[str, Any]:
        document = self.document()
        if self.chance(0.5):
            document = {"_id": _extended(self.new_identity()), **document}
        return document

    def new_identity(self) -> Any:
        if self.chance(0.15):
            return self.identity(choosing=True)
        self._made += 1
        return f"made-{self._made}"

    def document(self) -> dict[str, Any]:
        """Return a document that mostly may be stored."""
        names = [name for name in self.words.written if "." not in name]
        document = {
            name: deepcopy(self.one(self.words.written[name]))
            for name in names
            if self.chance(0.6) or name in {"country", "level"}
        }
        if "created_by" in document and self.chance(0.8):
            del document["created_by"]
        if self.chance(0.06):
            _set(document, self.one(self.words.hidden).split("."), _extended(self.one(SECRETS)))
        if self.chance(0.06):
            _set(
                document, self.one(list(self.words.readonly)).split("."), self.one((True, 1, "qa"))
            )
        if self.chance(0.15):
            document[self.one(("extra", "costs", "note"))] = self.value()
        if self.chance(0.02):
            document[self.one(STRANGE)] = 1
        return document

    def value(self) -> Any:
        choices = (1, 2.5, "x", None, True, [1], {"x": 1}, *_EXTENDED, *_REFERENCES)
        return deepcopy(self.one(choices))

    def written(self) -> tuple[str, Any]:
        """Return a path to write to, and a value for it."""
        if self.chance(0.08):
            path = self.one((*self.words.hidden, *self.words.readonly, *self.words.around))
            return path, _extended(self.one(SECRETS))
        if self.chance(0.02):
            return self.one(STRANGE), self.value()
        path = self.one(list(self.words.written))
        return path, self.value() if self.chance(0.05) else deepcopy(
            self.one(self.words.written[path])
        )

    def fields(self) -> dict[str, Any]:
        return dict(self.written() for _ in range(self.random.randint(1, 2)))

    def update(self) -> dict[str, Any]:
        update: dict[str, Any] = {}
        for _ in range(self.one((1, 1, 1, 2))):
            operator = self.random.choices(list(_OPERATORS), list(_OPERATORS.values()))[0]
            path, argument = self.argument(operator)
            update.setdefault(operator, {})[path] = argument
        return update

    def argument(self, operator: str) -> tuple[str, Any]:
        """Return a path and an argument for an update operator."""
        path, value = self.written()
        if operator in {"$set", "$min", "$max"}:
            return path, value
        if operator == "$unset":
            return path, ""
        if operator in {"$inc", "$mul"}:
            numbers = ("thrust", "n", "level", "meta.open", "parts.0.mass", "new.number")
            return self.one((*numbers, *numbers, path)), self.one((1, 2, 0.5, -1))
        if operator == "$rename":
            targets = ("note", "new.name", path, self.written()[0], self.field(protected=0.3)[0])
            return path, self.one(targets)
        if operator == "$currentDate":
            # NOTE: the two databases see other times, so it is nothing to sort by.
            protected = self.chance(0.15)
            where = self.one(self.words.hidden) if protected else "touched"
            return where, self.one((True, {"$type": "date"}, {"$type": "timestamp"}))
        return self.on_list(operator, path)

    def on_list(self, operator: str, path: str) -> tuple[str, Any]:
        path = path if self.chance(0.15) else self.one(self.words.lists)
        items: tuple[Any, ...] = ("a", "b", {"name": "a"}, {"text": "new"}, 1, *_REFERENCES[:2])
        if self.chance(0.12):
            items = ({"serial": 1}, {"contact": "z"}, {"ip": 1}, {"private": 0}, {"checked": True})
        item = deepcopy(self.one(items))
        if operator == "$pop":
            return path, self.one((1, -1))
        if operator == "$pullAll":
            return path, [item, "c"]
        if operator == "$pull":
            conditions = ({"$gte": 1}, {"$in": ["a", "b"]}, {"name": "a"}, {"mass": {"$lt": 2}})
            guesses = ({"serial": {"$gte": 1}}, {"ip": 1}, {"contact": {"$ne": 1}}, {"serial": 1})
            return path, self.one((item, item, *conditions, *guesses))
        if self.chance(0.5):
            return path, item
        each: dict[str, Any] = {"$each": [item, deepcopy(self.one(items))]}
        if operator == "$push":
            modifiers = {
                "$position": self.random.randrange(-2, 3),
                "$slice": self.random.randrange(-2, 4),
                "$sort": self.one((1, -1, {"name": 1}, {"serial": -1}, {"ip": 1})),
            }
            each |= {name: one for name, one in modifiers.items() if self.chance(0.25)}
        return path, each

    def edit(self) -> Edit:
        """Return a change to what was read."""
        edits: tuple[Edit, ...] = (
            *((("name",), "engine-2"), (("text",), "b"), (("title",), "c"), (("n",), 3)),
            *((("country",), "FR"), (("level",), 2), (("meta", "open"), 3), (("tags",), GONE)),
            *((("parts", -1), {"name": "added"}), (("replies", -1), {"text": "added"})),
            *((("parts", 0, "mass"), 7), (("replies", 0, "text"), "b"), (("parts", 0), GONE)),
            *((("replies", 0), GONE), (("supplier",), GONE), (("body",), GONE), (("meta",), GONE)),
            *((("parts", 0, "serial"), 5), (("cost",), 1), (("ip",), "a"), (("mood",), None)),
            *((("approved",), True), (("votes",), 3), (("stars",), GONE), (("parts",), GONE)),
            *((("body", "text"), "new"), (("supplier", "name"), "new"), (("poster", "name"), "n")),
            *((("meta", "deep"), GONE), (("audit", "by"), "qb"), (("audit",), {"at": 1})),
            *((("items", 0, "name"), "q"), (("items", -1), {"name": "n"}), (("items", 0), GONE)),
            *((("deep", "w"), 5), (("deep", "a", "b", "z"), 6), (("deep", "a", "b", "y"), 6)),
            *((("box", "size"), 3), (("box",), GONE), (("deep", "a"), GONE), (("state",), "new")),
            *((("items", 0, "tag", "code"), 1), (("items", 0, "tag"), GONE)),
            *((("replies", 0, "ip"), 1), (("created_by",), "bob"), (("created_by",), GONE)),
        )
        return self.random.choice([one for one in edits if self._is_known(one[0][0])])

    def _is_known(self, name: str | int) -> bool:
        words = self.words
        known = (*words.seen, *words.readonly, *words.hidden, *words.around, *words.written)
        return any(path.partition(".")[0] == name for path in known)


_READ_BY_ALL = (*("board", "rockets") * 3, *("board",) * 3, "inbox")
_OWN_OF_ROLES = ("rockets",) * 6
_RESOURCES_OF = {
    name: _READ_BY_ALL
    if roles is None
    else (*_READ_BY_ALL, *("notes", "crates") * 3, *_OWN_OF_ROLES * len(roles))
    for name, roles in CALLERS.items()
}
_KINDS: dict[Callable[[Generator], tuple[Any, ...]], int] = {
    Generator.list_all: 26,
    Generator.fetch: 12,
    Generator.create: 7,
    Generator.create_many: 4,
    Generator.put: 5,
    Generator.patch: 16,
    Generator.merge: 8,
    Generator.patch_by_operations: 8,
    Generator.patch_many: 6,
    Generator.delete: 2,
    Generator.delete_many: 2,
    Generator.send_back: 14,
    Generator.hostile: 5,
    Generator.probe: 5,
    Generator.move: 3,
}
#: The media types of patches.
_PATCHES = {Generator.merge: MERGE, Generator.patch_by_operations: JSON_PATCH}
_OPERATORS = {
    "$set": 8,
    "$unset": 3,
    "$inc": 4,
    "$mul": 2,
    "$min": 2,
    "$max": 2,
    "$rename": 4,
    "$currentDate": 3,
    "$push": 6,
    "$pull": 3,
    "$pullAll": 2,
    "$pop": 2,
    "$addToSet": 4,
}


def edited(document: Any, edits: Sequence[Edit]) -> Any:
    """Return what was read with some changes; one that has no place there is left out."""
    for path, value in edits:
        place = document
        for part in path[:-1]:
            place = _inside(place, part)
        last = path[-1]
        if isinstance(place, dict) and isinstance(last, str):
            if value is GONE:
                place.pop(last, None)
            else:
                place[last] = value
        elif isinstance(place, list) and isinstance(last, int):
            if last < 0:
                place.append(value)
            elif last < len(place):
                place[last : last + 1] = [] if value is GONE else [value]
    return document


def _inside(place: Any, part: str | int) -> Any:
    try:
        return place[part]
    except (LookupError, TypeError):
        return None


def _set(document: dict[str, Any], path: list[str], value: Any) -> None:
    """Put a value into a document at a path, with lists where a number stands in it."""
    first, *rest = path
    rest = [part for part in rest if not part.isdecimal()]
    for part in reversed(rest):
        value = {part: value}
    document[first] = value


def _extended(value: Any) -> Any:
    """Return a value as Extended JSON."""
    if isinstance(value, (str, int, ObjectId)) and not isinstance(value, bool):
        return {"$oid": str(value)} if isinstance(value, ObjectId) else value
    return json.loads(bson_json.dumps(value))
