"""Both doors do what their descriptions say, request by request."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from falcorest.auth import TokenIssuer, create_user
from tests.declared import MakeDeclared
from tests.described import VIEWS
from tests.exercise import exercise
from tests.features.test_declared_examples import served
from tests.support import SECRET, clean_environment, serve

VALIDATOR = {
    "bsonType": "object",
    "required": ["name", "n"],
    "properties": {
        "_id": {},
        "name": {"bsonType": "string", "minLength": 1, "maxLength": 20},
        "n": {"bsonType": "int", "minimum": 0, "exclusiveMinimum": True},
        "ratio": {"bsonType": ["double", "null"]},
        "far": {"bsonType": "long"},
        "made": {"bsonType": "date"},
        "price": {"bsonType": "decimal"},
        "tags": {"bsonType": "array", "items": {"bsonType": "string"}, "maxItems": 3},
        "size": {
            "bsonType": "object",
            "required": ["tall"],
            "properties": {"tall": {"bsonType": "bool"}},
            "additionalProperties": False,
        },
        "kind": {"enum": ["a", "b", None]},
    },
    "additionalProperties": False,
}


def cut(document: dict[str, Any]) -> dict[str, Any]:
    """Return a description in which a value may be anything, and patches are taken once.

    PERF: the coverage phase tries every kind of value at every place where there may be any, some
    50,000 requests. That the kinds are taken is fuzzed, and test_bson_json.py tries each of them.
    A patch that is the same as that of another operation has 500 requests as well.
    """
    document = copy.deepcopy(document)
    schemas = document["components"]["schemas"]
    for name in {"Value", "ValueToPull", "Id", "JSON"} & schemas.keys():
        schemas[name] = {}
    seen: list[Any] = []
    for one in document["paths"].values():
        body = one.get("patch", {}).get("requestBody", {"content": {}})["content"]
        for media_type in [*body][:0:-1]:
            if body[media_type] in seen:
                del body[media_type]
            else:
                seen.append(body[media_type])
    return document


COVERAGE = {"fuzzing": {"enabled": False}, "stateful": {"enabled": False}}
FUZZING = {
    "coverage": {"enabled": False},
    "examples": {"enabled": False},
    # NOTE: the links of the description say which part of an answer is the id.
    "stateful": {"inference": {"algorithms": []}},
}


def require_kept(document: dict[str, Any], url: str, headers: dict[str, str]) -> None:
    """Fail unless an API does what its description says."""
    few = {"max-examples": 4, "database": "none"}
    wrong, count = exercise(cut(document), url, headers, phases=COVERAGE)
    found, more = exercise(document, url, headers, phases=FUZZING, generation=few)
    if wrong or found:
        pytest.fail("\n\n".join([*wrong, *found]), pytrace=False)
    assert count > 100
    assert more > 50


@pytest.mark.long
@pytest.mark.live
def test_zero_code(tmp_path: Path, mongo_uri: str) -> None:
    with MongoClient[Any](mongo_uri) as client:
        database = client["schemathesis"]
        client.drop_database(database)
        database["plain"].insert_one({"name": "a", "n": 1, "tags": ["b"], "in": {"x": 1.5}})
        database.create_collection("strict", validator={"$jsonSchema": VALIDATOR})
        create_user(database["mangorest_users"], "ada", "correct horse")
        environment = clean_environment(
            MONGODB_URI=mongo_uri,
            DATABASE="schemathesis",
            COLLECTIONS="*",
            JWT_SECRET_KEY=SECRET,
            FALCOREST_REGISTRATION="open",
            FALCOREST_LOGIN_FAILURES="1000000",
            # NOTE: so that what is at a bound fits into a query string.
            FALCOREST_MAX_LIST_VALUES="20",
            FALCOREST_MAX_DOCUMENTS="20",
            FALCOREST_MAX_UPDATE_FIELDS="100",
            FALCOREST_MAX_VALUE_CHARACTERS="100",
        )
        token = TokenIssuer(SECRET).issue("ada", ["admin"])
        headers = {"Authorization": f"Bearer {token}"}
        with serve(tmp_path, "--threads", "2", environment=environment) as server:
            document = server.get("/openapi.json", headers=headers).json
            require_kept(document, server.url, headers)
        client.drop_database(database)


@pytest.mark.long
@pytest.mark.live
def test_declared(live_declared: MakeDeclared, tmp_path: Path) -> None:
    api = live_declared(**VIEWS)
    api.falcorest.describe(docs=None)
    document = api.get("/openapi.json").json
    with served(api.app) as url:
        require_kept(document, url, {})
