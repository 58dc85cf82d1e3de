"""The property of two databases at the other door: declared resources.

What is hidden there is what a schema doesn't load and show (``load_only``, fields that aren't
listed, what is stored beside the schema) and what ``has_read_permission`` keeps back, also where it
is reached through references, reverse relations, nested writes and kinds of documents.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar
from urllib.parse import quote

import bson
import falcon
import mongomock
from bson import ObjectId
from falcon.testing import Result
from marshmallow import fields as ma
from marshmallow import validate
from pymongo import MongoClient

from falcorest import Query, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from falcorest.auth import AuthenticationBase
from falcorest.dialects.base import COUNTS
from tests.attacks.conditions import (
    JSON_PATCH,
    MERGE,
    Headers,
    completed,
    conditions,
    json_patch,
    merge_patch,
)
from tests.attacks.cursors import some_cursor
from tests.attacks.trial import Episode, Side, Trial, in_some_format
from tests.declared import DeclaredApi
from tests.support import SECRET

Document = dict[str, Any]
Database = dict[str, list[Document]]

EPISODE = 40

# ------------------------------------------------------------------------------- what is served


class PartSchema(Schema):
    text = ma.String()
    hidden = ma.String(load_only=True)
    checked = ma.Boolean(dump_only=True)


class PartResource(Resource):
    schema = PartSchema


class UserSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    email = ma.String()
    password = ma.String(load_only=True)
    salary = ma.Integer()
    visible = ma.Boolean()
    friend = fields.Reference("users", allow_none=True)


class UserResource(Resource):
    collection = "users"
    schema = UserSchema
    fields: ClassVar[list[str]] = ["id", "email", "visible", "friend"]
    related_resources: ClassVar[dict[str, Any]] = {"friend": lambda: UserResource}
    filters: ClassVar[dict[str, Any]] = {"email": [ops.Exact, ops.Startswith]}
    allowed_ordering: ClassVar[list[str]] = ["email", "-email"]

    def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
        return query.where({"visible": {"$ne": False}})

    def has_add_permission(self, req: falcon.Request, document: Document) -> bool:
        return document.get("email") != "forbidden"

    def has_change_permission(self, req: falcon.Request, document: Document) -> bool:
        return document.get("email") != "locked"

    has_delete_permission = has_change_permission


class TaskSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String()
    closed = ma.Boolean()
    owner = ma.String(dump_only=True)
    secret = ma.String(load_only=True)


class TaskResource(Resource):
    """Documents that belong to somebody, by its policy."""

    collection = "tasks"
    schema = TaskSchema
    filters: ClassVar[dict[str, Any]] = {"title": [ops.Exact, ops.In], "owner": [ops.Exact]}
    allowed_ordering: ClassVar[list[str]] = ["title"]
    policy: ClassVar[dict[str, Any]] = {
        "owner": "owner",
        "read": ["authenticated"],
        "write": ["authenticated"],
        "rows": {"authenticated": {"closed": {"$ne": True}}},
    }


class PostSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String(required=True, validate=validate.Length(max=20))
    author = fields.Reference("users", allow_none=True)
    editors = ma.List(fields.Reference("users"))
    task = fields.Reference("tasks", allow_none=True)
    content = ma.Nested(PartSchema, allow_none=True)
    parts = ma.List(ma.Nested(PartSchema))
    number = ma.Integer(attribute="n")
    secret = ma.String(load_only=True)
    approved = ma.Boolean(dump_only=True)
    published = ma.Boolean()


_ALL = [ops.Exact, ops.Ne, ops.Lt, ops.Gte, ops.In(allow_negation=True), ops.Exists]


class PostResource(Resource):
    collection = "posts"
    schema = PostSchema
    related_resources: ClassVar[dict[str, Any]] = {
        "author": UserResource,
        "editors": UserResource,
        "task": TaskResource,
        "content": PartResource,
        "parts": PartResource,
    }
    save_related_fields: ClassVar[list[str]] = ["author", "editors", "task"]
    rename_fields: ClassVar[dict[str, str]] = {"author": "author_id"}
    filters: ClassVar[dict[str, Any]] = {
        "title": [*_ALL, ops.Contains(allow_negation=True)],
        "number": _ALL,
        "author_id": [ops.Exact, ops.In],
        "content__text": [ops.Exact, ops.Exists],
        "parts__text": [ops.Exact],
        "published": [ops.Boolean],
    }
    allowed_ordering: ClassVar[list[str]] = ["title", "-title", "number", "-content__text"]
    bulk_update_limit = 6

    def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
        return query.where({"published": {"$ne": False}})

    def has_change_permission(self, req: falcon.Request, document: Document) -> bool:
        return document.get("title") != "locked"

    has_delete_permission = has_change_permission


class AuthorResource(UserResource):
    """Users with what refers to them."""

    fields: ClassVar[list[str]] = ["id", "email", "posts"]
    related_resources: ClassVar[dict[str, Any]] = {"posts": PostResource}
    related_resources_hints: ClassVar[dict[str, str]] = {"posts": "author"}


class PersonSchema(Schema):
    id = ma.String(attribute="_id")
    name = ma.String(required=True)
    secret = ma.String(load_only=True)
    kind = ma.String(attribute="_cls")


class MaleSchema(PersonSchema):
    beard = ma.Boolean()


class FemaleSchema(PersonSchema):
    maiden = ma.String()
    inner = ma.Nested(PartSchema)


class MaleResource(Resource):
    schema = MaleSchema


class FemaleResource(Resource):
    schema = FemaleSchema

    def has_change_permission(self, req: falcon.Request, document: Document) -> bool:
        return document.get("maiden") != "locked"


class PersonResource(Resource):
    collection = "people"
    schema = PersonSchema
    child_document_resources: ClassVar[dict[str, Any]] = {
        "male": MaleResource,
        "female": FemaleResource,
    }
    type_field = "_cls"
    filters: ClassVar[dict[str, Any]] = {"name": [ops.Exact, ops.Startswith], "id": [ops.In]}
    allowed_ordering: ClassVar[list[str]] = ["name", "-name"]

    def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
        return query.where({"name": {"$ne": "unseen"}})


class ByHeader(AuthenticationBase):
    """Believes what a header says."""

    def authorized(self, req: falcon.Request) -> Any:
        return req.get_header("X-User")


_UPDATES = [
    *(methods.Create, methods.BulkCreate, methods.Update, methods.BulkUpdate),
    *(methods.Fetch, methods.List, methods.Delete, methods.BulkDelete),
]
_REPLACES = [*_UPDATES, methods.Replace]


def _view(resource: type[Resource], served: Sequence[Any], **more: Any) -> type[ResourceView]:
    attributes = {"resource": resource, "methods": list(served), **more}
    return type(f"{resource.__name__}View", (ResourceView,), attributes)


def open_declared(database: Any) -> DeclaredApi:
    """Serve everything from a database."""
    return DeclaredApi(database, secret=SECRET).register(
        posts=_view(PostResource, _UPDATES),
        whole_posts=_view(PostResource, _REPLACES),
        private_posts=_view(PostResource, _UPDATES, authentication_methods=[ByHeader]),
        users=_view(UserResource, _UPDATES),
        whole_users=_view(UserResource, _REPLACES),
        authors=_view(AuthorResource, [methods.Fetch, methods.List]),
        tasks=_view(TaskResource, _UPDATES, authentication_methods=[ByHeader]),
        whole_tasks=_view(TaskResource, _REPLACES, authentication_methods=[ByHeader]),
        people=_view(PersonResource, _UPDATES),
        whole_people=_view(PersonResource, _REPLACES),
    )


# ------------------------------------------------------------------------------------ documents

USERS = tuple(ObjectId(f"6195b0eb829a2784b4459b{n:02x}") for n in range(7))
POSTS = tuple(ObjectId(f"6195b0eb829a2784b4459c{n:02x}") for n in range(9))
TASKS = tuple(ObjectId(f"6195b0eb829a2784b4459e{n:02x}") for n in range(6))
NOBODY = ObjectId("6195b0eb829a2784b4459dff")
PEOPLE = tuple("abcdef")

#: What tells the documents that nobody sees.
UNSEEN: dict[str, Callable[[Document], bool]] = {
    "posts": lambda one: one.get("published") is False,
    "users": lambda one: one.get("visible") is False,
    "people": lambda one: one.get("name") == "unseen",
    "tasks": lambda one: one.get("owner") != "ann" or one.get("closed") is True,
}
#: Fields that no client can write: beside the schema, or read-only in it.
KEPT = ("unknown", "approved")

_SECRETS: tuple[Any, ...] = ("s", "a", "", None, 5, {"a": 1}, [1], ["a"], True)


def make_databases(random: Random) -> tuple[Database, Database]:
    """Return two databases that are the same to everybody."""
    sides: tuple[Database, Database] = ({}, {})
    for name, identities, make in (
        ("users", USERS, _user),
        ("posts", POSTS, _post),
        ("people", PEOPLE, _person),
        ("tasks", TASKS, _task),
    ):
        for side in sides:
            side[name] = []
        for identity in identities:
            if random.random() < 0.75:
                seen = make(random)
                for side in sides:
                    side[name].append(_secretly(random, name, {"_id": identity, **deepcopy(seen)}))
            else:
                for side in sides:
                    # NOTE: people choose their own ids, which would tell.
                    if name == "people" or random.random() < 0.6:
                        unseen = make(random) | _UNSEEN[name]
                        side[name].append(_secretly(random, name, {"_id": identity, **unseen}))
    return sides


_UNSEEN: dict[str, Document] = {
    "posts": {"published": False},
    "users": {"visible": False},
    "people": {"name": "unseen"},
    "tasks": {"owner": "bob"},
}


def _task(random: Random) -> Document:
    return {"title": random.choice("abc"), "owner": "ann", "closed": False}


def _user(random: Random) -> Document:
    return {
        "email": random.choice(("a", "ab", "locked", "c")),
        "friend": random.choice((*USERS, NOBODY, None)),
        "visible": True,
    }


def _post(random: Random) -> Document:
    def part() -> Document:
        return {"text": random.choice("xyz"), "checked": random.random() < 0.5}

    post = {
        "title": random.choice(("t1", "t2", "T3", "locked")),
        "author": random.choice((*USERS, NOBODY, None)),
        "editors": [random.choice((*USERS, NOBODY)) for _ in range(random.randrange(4))],
        "task": random.choice((*TASKS, NOBODY, None)),
        "content": random.choice((part(), part(), None, {})),
        "parts": [part() for _ in range(random.randrange(3))],
        "n": random.randrange(6),
        "approved": random.random() < 0.5,
        "published": True,
    }
    return {name: value for name, value in post.items() if random.random() < 0.9}


def _person(random: Random) -> Document:
    kind = random.choice(("male", "female", "female"))
    own: Document = {"beard": True}
    if kind == "female":
        own = {"maiden": random.choice(("m", "locked"))}
    if kind == "female" and random.random() < 0.6:
        own["inner"] = {"text": "x"}
    return {"name": random.choice("xyz"), "_cls": kind, **own}


def _secretly(random: Random, name: str, document: Document) -> Document:
    """Return a document with something in what nobody is shown."""
    secrets = {"users": ("password", "salary"), "posts": ("secret",)}.get(name, ("secret",))
    for secret in (*secrets, "unknown"):
        if random.random() < 0.7:
            document[secret] = deepcopy(random.choice(_SECRETS))
    inner = [document.get("content"), document.get("inner"), *document.get("parts", ())]
    for part in inner:
        if isinstance(part, dict) and random.random() < 0.7:
            part["hidden"] = random.choice(("h", "", "a"))
    items = list(document.items())[1:]
    random.shuffle(items)
    # NOTE: a document is shown in the order of its schema, so that of the stored one is hidden.
    return {"_id": document["_id"], **dict(items)}


# ------------------------------------------------------------------------------------- requests


@dataclass(frozen=True)
class DeclaredRequest:
    """A request to a declared resource."""

    method: str
    url: str
    body: bytes | None = None
    user: str = ""
    headers: Headers = ()

    def __str__(self) -> str:
        body = "" if self.body is None else f" {self.body[:500]!r}"
        headers = "".join(f" {name}: {value}" for name, value in self.headers)
        return f"{self.user or 'nobody'}: {self.method} {self.url[:400]}{headers}{body}"


class DeclaredGenerator:
    """Makes requests; the same ones for the same random numbers."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self._made = 0

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def one(self, choices: Sequence[Any]) -> Any:
        return self.random.choice(choices)

    def request(self) -> DeclaredRequest:
        """Return the next request."""
        place = self.one(
            (
                *("posts", "posts", "posts", "whole_posts", "whole_posts", "private_posts"),
                *("users", "whole_users", "authors", "people", "whole_people", "private_posts"),
                *("tasks", "tasks", "whole_tasks"),
            )
        )
        kind = place.rpartition("_")[2].replace("authors", "users")
        method = self.one(("GET", "GET", "GET", "POST", "PUT", "PUT", "PATCH", "PATCH", "DELETE"))
        if place == "authors":
            method = "GET"
        url, body = f"/{place}", None
        if method != "POST" and self.chance(0.7 if method != "DELETE" else 0.9):
            url += f"/{self.identity(kind)}"
            if method == "GET" and self.chance(0.3):
                url += f"?_fields={self.names(kind)}"
        elif method != "POST":
            asked = self.query(kind, bulk=method != "GET")
            url += f"?{asked}" if asked else ""
        if method in {"POST", "PUT", "PATCH"}:
            made: Any = self.body(kind, new=method != "PATCH", by_id=url.count("/") > 1)
            if method == "POST" and self.chance(0.2):
                made = [made, self.body(kind, new=True, by_id=False)]
            body = json.dumps(made).encode()
        user = "ann" if self.chance(0.9) else ""
        headers = conditions(self.random, method)
        if method == "PATCH" and url.count("/") > 1 and self.chance(0.5):
            media_type, made = self.patch(kind)
            body, headers = json.dumps(made).encode(), (*headers, ("Content-Type", media_type))
        return DeclaredRequest(method, url, body, user, headers)

    def patch(self, kind: str) -> tuple[str, Any]:
        """Return a media type and a patch that is of it."""
        written: dict[str, Sequence[Any]] = {
            "posts": {
                "author_id": self.references(),
                "editors": ([], [str(self.one(USERS))]),
                "content": ({"text": "x"}, {"text": "q", "hidden": "a"}, {}),
                "content.text": ("x", "q"),
                "parts": ([], [{"text": "x"}]),
                "parts.0.text": ("x", "y"),
                "number": (1, 2, 5),
                "published": (True, True, True, False),
                "title": ("t1", "t2", "new"),
            },
            "users": {"email": ("a", "b", "c"), "friend": self.references()},
            "people": {"name": tuple("xyz"), "maiden": ("n",), "inner.text": ("y",)},
            "tasks": {"title": ("a", "d"), "closed": (False, False, True)},
        }[kind]
        others = (
            *("secret", "password", "salary", "unknown", "approved", "visible", "id", "owner"),
            *("content.hidden", "parts.0.hidden", "author_id.email", "author_id.salary"),
        )
        if self.chance(0.5):
            return MERGE, merge_patch(self.random, written, others)
        return JSON_PATCH, json_patch(self.random, written, others)

    def identity(self, kind: str) -> Any:
        known = {"posts": POSTS, "users": USERS, "people": PEOPLE, "tasks": TASKS}[kind]
        return self.one((*known, *known, NOBODY if kind != "people" else "nobody"))

    def names(self, kind: str) -> str:
        known = {
            "posts": ("title", "author_id", "editors", "content", "parts", "number", "_all"),
            "users": ("email", "friend", "id", "_all"),
            "people": ("name", "id", "_all"),
            "tasks": ("title", "owner", "closed", "_all"),
        }[kind]
        hidden = ("secret", "password", "salary", "unknown", "content__hidden", "_id")
        names = [self.one(known) for _ in range(self.random.randint(1, 3))]
        return ",".join([*names, self.one(hidden)] if self.chance(0.1) else names)

    def query(self, kind: str, *, bulk: bool) -> str:
        conditions = {
            "posts": (
                *("title=t1", "title__gte=t2", "title__in=t1,t2", "title__not__in=t1", "number=3"),
                *("number__gte=2", "number__lt=4", "title__contains=t", "content__text=x"),
                *("parts__text=y", "published=true", f"author_id={self.one(USERS)}"),
                *("content__text__exists=true", "number__exists=false", "title__not__contains=1"),
            ),
            "users": ("email=a", "email__startswith=a", "email=locked"),
            "people": ("name=x", "name__startswith=y", "id__in=a,b,c", "name=unseen"),
            "tasks": ("title=a", "title__in=a,b", "owner=ann", "owner=bob"),
        }[kind]
        hostile = (
            *("secret=s", "password__startswith=p", "salary__gte=1", "unknown=a", "_limit=-1"),
            *("content__hidden=h", "author_id__email=a", "published=false", "$where=1", "a=%ff"),
            *(
                "friend__salary=5",
                "_order_by=secret",
                "_order_by=-salary",
                "editors__visible=false",
            ),
        )
        asked = [self.one(conditions) for _ in range(self.random.randint(1 if bulk else 0, 2))]
        if self.chance(0.12):
            asked.append(self.one(hostile))
        if not bulk and self.chance(0.3):
            asked.append(self.one(("_limit=2", "_limit=3&_skip=1", "_limit=0", "_skip=2")))
        order = ""
        if not bulk and self.chance(0.3):
            order = {"posts": "-title,number", "users": "email", "people": "-name"}.get(
                kind, "title"
            )
            asked.append(f"_order_by={order}")
        if not bulk and self.chance(0.2):
            stored = {"-title": ("title", -1), "number": ("n", 1), "-name": ("name", -1)}
            sort = [stored.get(one, (one, 1)) for one in order.split(",") if one]
            text = some_cursor(self.random, kind, sort, [*USERS, "a"])
            asked.append(self.one((f"_after={text}", f"_before={text}", "_after=", "_before=x")))
        if not bulk and self.chance(0.15):
            asked.append(f"_count={self.one((*COUNTS, 'all'))}")
        if not bulk and self.chance(0.2):
            asked.append(f"_fields={self.names(kind)}")
        return "&".join(quote(one, safe="=&%,$") for one in asked)

    def body(self, kind: str, *, new: bool, by_id: bool) -> Document:
        """Return a body that mostly is accepted."""
        body: Document
        if kind == "users":
            body = self.some({"email": ("a", "b", "c"), "friend": self.references()})
        elif kind == "people":
            body = {"name": self.one("xyz")}
            if new and not by_id:
                self._made += 1
                body |= {"kind": self.one(("male", "female")), "id": f"made-{self._made}"}
            if self.chance(0.3):
                body |= self.one(({"maiden": "n"}, {"inner": {"text": "y"}}, {"beard": False}))
        elif kind == "tasks":
            body = self.some({"title": ("a", "d"), "closed": (False, False, True)})
        else:
            choices: dict[str, Sequence[Any]] = {
                "author_id": (*self.references(), self.user()),
                "editors": ([], [self.user()], [self.user(), str(self.one(USERS))]),
                "content": ({"text": "x"}, {"text": "q", "hidden": "a"}, None, {}),
                "parts": ([], [{"text": "x"}], [{"text": "x"}, {"text": "z", "hidden": "h"}]),
                "task": (str(self.one(TASKS)), None, self.task(), self.task()),
                "number": (1, 2, 5),
                "published": (True, True, True, True, False),
            }
            body = self.some(choices)
            if new or self.chance(0.4):
                body["title"] = self.one(("t1", "t2", "new"))
        if self.chance(0.12):
            name = self.one(
                ("secret", "password", "salary", "unknown", "approved", "visible", "_id")
            )
            body[name] = self.one(("s", "a", 5, True, None))
        return body

    def some(self, choices: dict[str, Sequence[Any]]) -> Document:
        return {name: self.one(values) for name, values in choices.items() if self.chance(0.4)}

    def references(self) -> tuple[Any, ...]:
        return (*(str(one) for one in USERS), None)

    def user(self) -> Document:
        """Return an object in the place of a reference: it is written with what refers to it."""
        changes: Document = self.one(
            (
                *({}, {"email": "c"}, {"email": "a"}, {"password": "p"}, {"salary": 5}),
                *({"email": "b", "visible": False}, {"email": "forbidden"}, {"unknown": 1}),
            )
        )
        if self.chance(0.2):
            return {"email": "new", **changes}
        return {"id": str(self.one((*USERS, NOBODY))), **changes}

    def task(self) -> Document:
        """Return an object in the place of a reference to a task."""
        changes: Document = self.one(({}, {"title": "a"}, {"closed": True}, {"secret": "s"}))
        if self.chance(0.3):
            return {"title": "new", **changes}
        return {"id": str(self.one((*TASKS, NOBODY))), **changes}


# ------------------------------------------------------------------------------------ the trial


class DeclaredSide(Side[DeclaredRequest]):
    """One database behind declared resources."""

    def __init__(self, database: Any) -> None:
        super().__init__()
        self.api = open_declared(database)
        self.in_memory = self.api.in_memory

    def begin(self, content: Database) -> None:
        super().begin(content)
        for name, documents in content.items():
            collection = self.api.database[name]
            collection.delete_many({})
            if documents:
                collection.insert_many(deepcopy(documents))

    def send(self, request: DeclaredRequest) -> Result:
        caller = {"X-User": request.user} if request.user else {}
        document = request.url.partition("?")[0]
        given = completed(request.headers, lambda: self.api.get(document, headers=caller))
        body, formats = in_some_format(request.method, request.url, request.body)
        headers = {**caller, **formats, **given}
        return self.api(request.method, request.url, raw=body, headers=headers)

    def stored(self, name: str) -> dict[Any, Document]:
        """Return the documents of a collection."""
        return {one["_id"]: one for one in self.api.database[name].find()}

    def all_that_is_seen(self) -> list[tuple[Any, ...]]:
        """Return what everything shows."""
        urls = ("/posts", "/users", "/authors", "/people", "/private_posts?_fields=_all", "/tasks")
        return [self.seen(self.api.get(url, headers={"X-User": "ann"})) for url in urls]


class DeclaredTrial(Trial[DeclaredRequest]):
    """Tries declared resources.

    Args:
        databases: The two.
        seed: Of the first episode.
    """

    def __init__(self, databases: Sequence[Any], seed: int) -> None:
        self.declared_sides = [DeclaredSide(database) for database in databases]
        super().__init__(self.declared_sides, seed)

    def episode(self, seed: int) -> Episode[DeclaredRequest]:
        random = Random(seed)
        databases = make_databases(random)
        generator = DeclaredGenerator(random)
        return Episode(databases, [generator.request() for _ in range(EPISODE)])

    def judge(self, episode: Episode[DeclaredRequest]) -> str | None:
        for side, content in zip(self.declared_sides, episode.databases, strict=True):
            for name, documents in content.items():
                stored = side.stored(name)
                for before in documents:
                    wrong = _changed(name, before, stored.get(before["_id"]))
                    if wrong is not None:
                        return wrong
            for one in side.stored("tasks").values():
                if one["_id"] not in TASKS and (one.get("owner") != "ann" or one.get("closed")):
                    return f"a task was made that its maker doesn't see: {one}"
        seen = [side.all_that_is_seen() for side in self.declared_sides]
        return None if seen[0] == seen[1] else f"what is seen differs: {seen[0]}\n    {seen[1]}"


def _changed(name: str, before: Document, after: Document | None) -> str | None:
    locked = "locked" in (before.get("title"), before.get("email"), before.get("maiden"))
    if UNSEEN[name](before) or (locked and name != "people"):
        if after is None or bson.encode(after) != bson.encode(before):
            return f"{name}: {before} was changed to {after}"
    elif after is not None:
        for field in KEPT:
            if after.get(field) != before.get(field):
                return f"{name}: {field} of {before} was changed: {after}"
    return None


@contextmanager
def two_databases(uri: str | None, name: str) -> Iterator[list[Any]]:
    """Yield two databases, in memory without a URI; they are gone afterwards."""
    if uri is None:
        yield [mongomock.MongoClient()["declared"] for _ in range(2)]
        return
    with MongoClient[Any](uri) as client:
        databases = [client[f"{name}_{side}"] for side in "ab"]
        try:
            for database in databases:
                for collection in UNSEEN:
                    database.create_collection(collection)
            yield databases
        finally:
            for database in databases:
                client.drop_database(database.name)
