"""What is attacked: a policy with rules of every kind, callers, and two databases.

The two databases differ only in what no caller of an episode may see: hidden fields, in value, type
and presence, and documents that aren't there for any of the callers.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from bson import DBRef, Decimal128, ObjectId

from falcorest.memory.matching import matches
from falcorest.runner import prepare
from falcorest.server import build_app, open_database
from falcorest.settings import Settings, load_settings
from tests.support import SECRET, Api

Document = dict[str, Any]
Database = dict[str, list[Document]]

TOML = """
[resources.rockets]
collection = "rocket_engines"
hidden = ["cost", "supplier.contact", "parts.serial", "meta.deep.secret", "tenant"]
readonly = ["approved", "audit.by", "parts.checked"]
read = ["public"]
write = ["editor", "admin"]
rows.public = { draft = { "$ne" = true }, tenant = { "$ne" = "other" } }
rows.editor = { country = { "$in" = ["USA", "FR"] } }
unrestricted = ["admin"]
max_affected = 8

[resources.notes]
collection = "notes"
hidden = ["mood", "body.private"]
readonly = ["stars", "body.seal"]
owner = "created_by"
read = ["authenticated"]
write = ["authenticated"]
unrestricted = ["admin"]
max_limit = 4

[resources.board]
collection = "board_posts"
hidden = ["ip", "poster.mail", "replies.ip"]
readonly = ["votes", "replies.votes"]
read = ["public"]
write = ["public"]
rows.public = { blocked = { "$ne" = true } }
rows.authenticated = { level = { "$not" = { "$gt" = 5 } } }

[resources.crates]
collection = "crates"
hidden = ["box.key", "items.tag.code", "deep.a.b.c"]
readonly = ["box", "items.tag", "deep.a.x", "deep.a.b.y"]
read = ["authenticated"]
write = ["authenticated"]
rows.authenticated = { "$or" = [{ state = "open" }, { state = "new" }, { "box.size" = 9 }] }

[resources.inbox]
collection = "letters"
hidden = ["trace"]
readonly = ["read_at"]
read = ["admin"]
write = ["public"]
"""

RULES: dict[str, dict[str, Any]] = tomllib.loads(TOML)["resources"]

#: Roles of the callers by name; None is a caller who has not logged in.
CALLERS: dict[str, tuple[str, ...] | None] = {
    "nobody": None,
    "ann": (),
    "bob": (),
    "ed": ("editor",),
    "eve": ("editor", "reviewer"),
    "root": ("admin",),
}

#: Who calls in one episode. What none of them may see differs.
CASTS: tuple[tuple[str, ...], ...] = (
    *(("nobody",), ("ann",), ("ed",), ("root",), ("nobody", "ann"), ("ann", "bob")),
    *(("ed", "eve"), ("nobody", "ann", "ed"), ("ed", "root"), tuple(CALLERS)),
)


def _roles(caller: str) -> set[str]:
    own = CALLERS[caller]
    return {"public"} if own is None else {"public", "authenticated", *own}


def may_read(resource: str, caller: str) -> bool:
    """Tell whether a caller reads a resource at all."""
    return not _roles(caller).isdisjoint(RULES[resource]["read"])


def may_write(resource: str, caller: str) -> bool:
    """Tell whether a caller writes to a resource at all."""
    return not _roles(caller).isdisjoint(RULES[resource]["write"])


def sees(resource: str, caller: str, document: Document) -> bool:
    """Tell whether a document is there for a caller, by the words of the contract."""
    rules, roles = RULES[resource], _roles(caller)
    if not may_read(resource, caller):
        return False
    if roles & set(rules.get("unrestricted", ())):
        return True
    if "owner" in rules and document.get(rules["owner"]) != caller:
        return False
    rows = rules.get("rows", {})
    return all(matches(document, rows[role]) for role in roles & set(rows))


# ------------------------------------------------------------------------------------ documents

OIDS = tuple(ObjectId(f"6195b0eb829a2784b4459a{n:02x}") for n in range(3))
IDS: tuple[Any, ...] = (*(f"d{n}" for n in range(9)), 1, 2, *OIDS)

#: What is stored in hidden fields, and what clients guess that it is.
SECRETS: tuple[Any, ...] = (
    *(0, 1, 5, 9, 2.5, -1, True, False, None, "", "a", "z", "engine-1", "secret"),
    *([], [1], ["a"], [{"x": 1}], {}, {"x": 1}, {"0": 1}, {"mail": "a@b.c"}, [[1]], "0"),
    *(OIDS[0], datetime(2021, 11, 1), Decimal128("1.5"), b"x", 2**40),
)


def _rocket(random: Random) -> Document:
    def part() -> Any:
        if random.random() < 0.1:
            return [{"name": "nested", "mass": 1}]
        part: Document = {"name": random.choice("abc"), "mass": random.randrange(4)}
        return part | ({"checked": random.random() < 0.5} if random.random() < 0.5 else {})

    rocket: Document = {
        "name": f"engine-{random.randrange(4)}",
        "country": random.choice(("USA", "FR", "RU")),
        "thrust": random.randrange(10),
        "tags": random.sample(["a", "b", "c"], random.randrange(3)),
        "supplier": random.choice(
            ({"name": "acme"}, {"name": "x"}, [{"name": "acme"}], {}, "-", _reference())
        ),
        "parts": [part() for _ in range(random.randrange(4))],
        "meta": {"open": random.randrange(4), "deep": {"open": random.randrange(4)}},
        "approved": random.random() < 0.5,
        "audit": {"by": random.choice(("qa", "qc")), "at": datetime(2021, 11, 1)},
        "draft": random.random() < 0.2,
        "tenant": random.choice(("own", "own", "own", "other")),
    }
    return _without_some(rocket, random, 0.1)


def _reference() -> Document:
    return {"$ref": "c", "$id": 1, "name": "by reference"}


def _note(random: Random) -> Document:
    note: Document = {
        "created_by": random.choice(("ann", "bob", "ed", "eve", "carl")),
        "title": random.choice("abc"),
        "n": random.randrange(10),
        "body": random.choice(({"text": "x"}, {"text": "y", "seal": 1}, [{"text": "z"}], "text")),
        "stars": random.randrange(6),
    }
    return note if random.random() < 0.8 else _without_some(note, random, 0.2)


def _post(random: Random) -> Document:
    post: Document = {
        "text": random.choice("abc"),
        "level": random.randrange(9),
        "blocked": random.random() < 0.2,
        "poster": {"name": random.choice("xyz")},
        "replies": [
            {"text": random.choice("ab"), "votes": random.randrange(3)}
            for _ in range(random.randrange(4))
        ],
        "votes": random.randrange(9),
    }
    return _without_some(post, random, 0.1)


def _letter(random: Random) -> Document:
    return {"text": random.choice("abc"), "read_at": random.randrange(9), "trace": "t"}


def _crate(random: Random) -> Document:
    def item() -> Document:
        tag = random.choice(({"text": "t"}, {"text": "u", "at": 1}, {}, "t", [{"text": "t"}]))
        return {"name": random.choice("abc"), "tag": tag}

    crate: Document = {
        "state": random.choice(("open", "new", "shut")),
        "box": random.choice(({"size": 1}, {"size": 9}, [{"size": 2}], {}, "flat")),
        "items": [item() for _ in range(random.randrange(4))],
        "deep": {"a": {"x": 1, "b": {"y": random.randrange(3), "z": 1}}, "w": 1},
    }
    return _without_some(crate, random, 0.1)


def _without_some(document: Document, random: Random, share: float) -> Document:
    kept = ("draft", "tenant", "blocked", "level", "created_by", "state")
    return {
        name: value for name, value in document.items() if name in kept or random.random() >= share
    }


_MAKERS = {"rockets": _rocket, "notes": _note, "board": _post, "crates": _crate, "inbox": _letter}


@dataclass(frozen=True)
class Cast:
    """The callers of an episode, and the databases that are the same to all of them.

    Attributes:
        databases: The two.
        ghosts: By resource, ids of documents that none of them sees and that one of the databases
            may lack. A client who chose one for a new document would find out, as is stated.
    """

    callers: tuple[str, ...]
    databases: tuple[Database, Database]
    ghosts: dict[str, set[Any]]

    def sees(self, resource: str, document: Document) -> bool:
        """Tell whether any of them sees a document."""
        return any(sees(resource, caller, document) for caller in self.callers)

    def reads(self, resource: str) -> bool:
        """Tell whether any of them reads a resource at all."""
        return any(may_read(resource, caller) for caller in self.callers)

    def writes(self, resource: str) -> bool:
        """Tell whether any of them writes to a resource at all."""
        return any(may_write(resource, caller) for caller in self.callers)


def make_cast(random: Random, callers: tuple[str, ...]) -> Cast:
    """Return two databases that differ in what some callers don't see."""
    sides: tuple[Database, Database] = ({}, {})
    ghosts: dict[str, set[Any]] = {}
    for resource, make in _MAKERS.items():
        ghosts[resource] = set()
        for side in sides:
            side[resource] = []
        for identity in IDS:
            document = {"_id": identity, **make(random)}
            if any(sees(resource, caller, document) for caller in callers):
                for side in sides:
                    side[resource].append(with_secrets(resource, document, random))
            else:
                twins = random.random() < 0.5
                if not twins:
                    ghosts[resource].add(identity)
                for side in sides:
                    if twins or random.random() < 0.6:
                        side[resource].append(_unseen(resource, identity, random, callers))
    return Cast(callers, sides, ghosts)


def _unseen(resource: str, identity: Any, random: Random, callers: Sequence[str]) -> Document:
    while True:
        document = {"_id": identity, **_MAKERS[resource](random)}
        if not any(sees(resource, caller, document) for caller in callers):
            return with_secrets(resource, document, random)


def with_secrets(resource: str, document: Document, random: Random) -> Document:
    """Return a copy with something in its hidden fields, wherever there is room for one."""
    document = deepcopy(document)
    for path in RULES[resource]["hidden"]:
        *parents, name = path.split(".")
        for around in list(_objects(document, parents)):
            if path == "tenant":
                if around.get("tenant") != "other":
                    # NOTE: a rule goes by it, so it differs only where that makes none.
                    _put(around, name, random.choice(("own", 5, None)), random)
            elif random.random() < 0.75:
                _put(around, name, deepcopy(random.choice(SECRETS)), random)
    return document


def _objects(value: Any, parts: Sequence[str]) -> Iterator[Document]:
    """Yield the objects at a path, through all lists on the way."""
    if isinstance(value, list):
        for item in value:
            yield from _objects(item, parts)
    elif isinstance(value, dict):
        if not parts:
            yield value
        elif parts[0] in value:
            yield from _objects(value[parts[0]], parts[1:])


def _put(around: Document, name: str, value: Any, random: Random) -> None:
    """Put a field into an object, at any place in it but the first."""
    around.pop(name, None)
    items = list(around.items())
    first = 2 if "$ref" in around else min(1, len(items))
    items.insert(random.randint(first, len(items)), (name, value))
    around.clear()
    around.update(items)


def values_at(document: Document, paths: Sequence[str]) -> list[tuple[str, Any]]:
    """Return what is stored at some paths, through all lists, in order."""
    found = []
    for path in paths:
        *parents, name = path.split(".")
        found += [(path, around[name]) for around in _objects(document, parents) if name in around]
    return found


def without_hidden(resource: str, document: Document) -> Document:
    """Return a copy of what may be seen of a document."""
    document = deepcopy(document)
    for path in RULES[resource]["hidden"]:
        *parents, name = path.split(".")
        for around in _objects(document, parents):
            around.pop(name, None)
    return document


# --------------------------------------------------------------------------------------- the API


def policy_settings(
    directory: Path, uri: str, database: str, *, policy: str = TOML, **changes: Any
) -> Settings:
    """Return settings with the policy, as an operator would say them."""
    (directory / "falcorest.toml").write_text(policy)
    settings = load_settings(directory).replace(
        mongodb_uri=uri, database=database, jwt_secret_key=SECRET, **changes
    )
    return settings if policy else settings.replace(collections_text="rockets:rocket_engines")


def open_api(settings: Settings) -> Api:
    """Serve the world in process; the collections are made if they aren't there."""
    database = open_database(settings)
    if not str(settings.mongodb_uri).startswith("mongomock"):
        present = database.list_collection_names()
        for rules in RULES.values():
            if rules["collection"] not in present:
                database.create_collection(rules["collection"])
    served = prepare(settings, database, demo=False)
    return Api(build_app(settings, database, served), database, settings)


def fill(database: Any, content: Database) -> None:
    """Put documents into a database in the place of all that is there."""
    for resource, documents in content.items():
        collection = database[RULES[resource]["collection"]]
        collection.delete_many({})
        if documents:
            collection.insert_many([_with_references(document) for document in documents])


def _with_references(value: Any) -> Any:
    """Return a copy with references as the driver has them."""
    if isinstance(value, list):
        return [_with_references(item) for item in value]
    if not isinstance(value, dict):
        return value
    copied = {name: _with_references(item) for name, item in value.items()}
    if "$ref" not in copied:
        return copied
    return DBRef(copied.pop("$ref"), copied.pop("$id"), **copied)


def content_of(database: Any) -> Database:
    """Return what is in a database, in its stored order; references as the objects they are."""
    return {
        resource: [_plain(document) for document in database[rules["collection"]].find()]
        for resource, rules in RULES.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, DBRef):
        value = value.as_doc()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
