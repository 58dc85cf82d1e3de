"""The same documents behind both doors, on each kind of database."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from falcon import testing
from marshmallow import fields as ma

from falcorest import Resource, ResourceView, Schema, methods
from falcorest import operators as ops
from falcorest.settings import ResourceSettings
from tests.conftest import MakeApi
from tests.declared import DeclaredApi

KINDS = ("mongod", "standalone", "mongomock")
ZERO_CODE = "zero-code"
DECLARED = "declared"

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


class PairSchema(Schema):
    a = ma.Integer()
    b = ma.Integer()


class ThingSchema(Schema):
    """What a schema says of the documents; ``cost`` isn't in it."""

    id = ma.String(attribute="_id")
    n = ma.Integer()
    name = ma.String()
    pair = ma.Nested(PairSchema)
    tags = ma.List(ma.String())
    made = ma.String(dump_only=True)


class Things(Resource):
    collection = "rocket_engines"
    schema = ThingSchema
    filters = {"n": [ops.Exact]}


#: What a thing is like. To the zero-code door as well, ``cost`` is hidden and ``made`` read-only
#: where the test says so.
THING: dict[str, Any] = {
    "_id": "x",
    "n": 0,
    "name": "a",
    "pair": {"a": 1, "b": 2},
    "tags": ["t"],
    "made": "then",
    "cost": 5,
}
RULES = {"hidden": ["cost"], "readonly": ["made"]}


@dataclass
class Door:
    """One of the doors, called in process as somebody who may write.

    Attributes:
        api: What is behind it.
        url: Of the collection.
        kind: Of the database, one of KINDS.
        is_declared: Which door it is.
    """

    api: Any
    url: str
    kind: str
    is_declared: bool

    def __call__(
        self,
        method: str,
        place: str = "/x",
        body: Any = ...,
        *,
        media_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> testing.Result:
        """Send a request; a header of the name ``match`` is ``If-Match``.

        Args:
            method: HTTP method.
            place: What follows the URL of the collection.
            body: Sent as JSON; nothing is sent unless given.
            media_type: That of the body, if it is another one.
            headers: Further ones.
            more: For the API.
        """
        sent = dict(headers or {})
        if body is not ...:
            sent["Content-Type"] = media_type or "application/json"
            more["raw"] = json.dumps(body).encode()
        result: testing.Result = self.api(method, self.url + place, headers=sent, **more)
        return result

    @property
    def things(self) -> Any:
        """The collection."""
        return self.api.database["rocket_engines"]

    @property
    def id_name(self) -> str:
        return "id" if self.is_declared else "_id"

    def put_thing(self, **values: Any) -> None:
        """Store a thing, past the API."""
        self.things.insert_one({**json.loads(json.dumps(THING)), **values})

    def stored(self, identity: Any = "x") -> Any:
        return self.things.find_one({"_id": identity})

    def tag(self, place: str = "/x") -> str:
        """Return the tag of a document."""
        result = self("GET", place)
        assert result.status_code == 200, result.text
        return str(result.headers["etag"])


MakeDoor = Callable[..., Door]


def _make(request: pytest.FixtureRequest, door: str, kind: str) -> MakeDoor:
    def make(rules: Mapping[str, Any] | None = None, **says: Any) -> Door:
        if door == DECLARED:
            resource = type("SomeThings", (Things,), says)
            view = type("View", (ResourceView,), {"resource": resource, "methods": methods.ALL})
            database = request.getfixturevalue("make_database")(kind)
            api = DeclaredApi(database).register(things=view)
            return Door(api, "/things", kind, is_declared=True)
        make_api: MakeApi = request.getfixturevalue("make_api")
        names = {"mongod": "mongo_uri", "standalone": "standalone_uri"}
        name = names.get(kind)
        uri = "mongomock://" if name is None else request.getfixturevalue(name)
        own = ResourceSettings(rules=RULES if rules is None else rules, **says)
        return Door(make_api(uri, resources={"rockets": own}), "/api/rockets", kind, False)

    return make


@pytest.fixture(
    params=[(door, kind) for door in (ZERO_CODE, DECLARED) for kind in KINDS], ids="-".join
)
def make_door(request: pytest.FixtureRequest) -> MakeDoor:
    """Open a door: ``make_door(version_field="v")``; what a resource says, and ``rules``."""
    return _make(request, *request.param)


@pytest.fixture
def door(make_door: MakeDoor) -> Door:
    """A door with one thing behind it."""
    made = make_door()
    made.put_thing()
    return made


@pytest.fixture(params=KINDS)
def zero_code(request: pytest.FixtureRequest) -> MakeDoor:
    """Open the zero-code door."""
    return _make(request, ZERO_CODE, request.param)


@pytest.fixture(params=KINDS)
def declared(request: pytest.FixtureRequest) -> MakeDoor:
    """Open the declared door."""
    return _make(request, DECLARED, request.param)
