"""Patches where clients are shown plain JSON: what they saw can be tested and sent back."""

from __future__ import annotations

from datetime import datetime

import pytest
from bson import Decimal128, ObjectId

from tests.conftest import MakeApi
from tests.support import assert_problem

ID, OTHER = ObjectId("5f" * 12), ObjectId("6a" * 12)
URL = f"/api/rockets/{ID}"
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
MERGE = {"Content-Type": "application/merge-patch+json"}


def test_what_is_shown_can_be_tested(make_api: MakeApi, any_uri: str) -> None:
    api = make_api(any_uri, json="plain")
    document = {"_id": ID, "refs": [OTHER], "at": datetime(2026, 1, 2), "cost": Decimal128("1.50")}
    api.rockets.insert_one(document)
    shown = api.get(URL).json
    tests = [{"op": "test", "path": f"/{name}", "value": value} for name, value in shown.items()]
    add = {"op": "add", "path": "/refs/-", "value": {"$oid": str(ID)}}
    assert api("PATCH", URL, [*tests, add], headers=JSON_PATCH).status_code == 204
    assert api.rockets.find_one() == {**document, "refs": [OTHER, ID]}
    wrong = {"op": "test", "path": "/cost", "value": "1.51"}
    assert_problem(api("PATCH", URL, [wrong], headers=JSON_PATCH), 409, "patch.conflict")


@pytest.mark.parametrize(("method", "headers"), [("PATCH", {}), ("PATCH", MERGE), ("PUT", {})])
def test_the_id_that_is_shown_can_be_sent_back(
    make_api: MakeApi, any_uri: str, method: str, headers: dict[str, str]
) -> None:
    api = make_api(any_uri, json="plain")
    api.rockets.insert_one({"_id": ID, "n": 1})
    body = {"_id": api.get(URL).json["_id"], "n": 2}
    assert api(method, URL, body, headers=headers).status_code == 204
    assert api.rockets.find_one() == {"_id": ID, "n": 2}
    other = api(method, URL, {"_id": str(OTHER), "n": 3}, headers=headers)
    assert_problem(other, 400, "body.invalid_update")
    assert api.rockets.find_one() == {"_id": ID, "n": 2}
