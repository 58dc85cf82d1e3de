"""What a caller may not see makes no difference: hundreds of requests to two databases.

``python -m tests.attacks.two_databases 10000`` tries more. A property is worth what it finds, so
holes are made on purpose here, each of which it must find.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from falcorest import bson_json
from falcorest.paging import Total
from falcorest.policy import Policy
from falcorest.protection import Protection
from falcorest.reading import Reader
from falcorest.rows import Rows
from falcorest.service import CollectionService
from falcorest.writing import Writer
from tests.attacks import declared
from tests.attacks.two_databases import PolicyTrial, two_apis
from tests.support import Api

SEED = 20261122


@pytest.fixture(scope="module")
def in_memory() -> Iterator[list[Api]]:
    with two_apis("mongomock://", "two") as apis:
        yield apis


@pytest.mark.live
def test_on_a_replica_set(mongo_uri: str) -> None:
    with two_apis(mongo_uri, f"two_{uuid.uuid4().hex[:8]}") as apis:
        report = PolicyTrial(apis, SEED).run(160)
    assert report.differences == []
    assert report.accepted > 0.4, "requests that are refused try nothing"


@pytest.mark.live
def test_on_a_standalone_server(standalone_uri: str) -> None:
    with two_apis(standalone_uri, f"two_{uuid.uuid4().hex[:8]}") as apis:
        report = PolicyTrial(apis, SEED + 1000).run(80)
    assert report.differences == []


def test_in_memory(in_memory: list[Api]) -> None:
    report = PolicyTrial(in_memory, SEED + 2000).run(320)
    assert report.differences == []
    assert {200, 201, 204, 400, 401, 403, 404, 409, 422} <= report.statuses.keys()


@pytest.mark.live
def test_declared_resources_on_a_replica_set(mongo_uri: str) -> None:
    with declared.two_databases(mongo_uri, f"two_{uuid.uuid4().hex[:8]}") as databases:
        report = declared.DeclaredTrial(databases, SEED).run(120)
    assert report.differences == []
    assert report.accepted > 0.4


def test_declared_resources_in_memory() -> None:
    with declared.two_databases(None, "two") as databases:
        report = declared.DeclaredTrial(databases, SEED + 1000).run(200)
    assert report.differences == []
    assert {200, 201, 204, 400, 401, 404} <= report.statuses.keys()


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


def _all_of_it(self: Writer, identity: Any, document: dict[str, Any]) -> Any:
    return bson_json.parse(bson_json.dumps(document))


#: What is left out of the policy: where, and what does something else in its place.
HOLES: dict[str, tuple[type, str, Any]] = {
    "counts what isn't there": (
        CollectionService,
        "_count",
        lambda self, query: Total(self.collection.count_documents({}), "exact"),
    ),
    "filters by what is hidden": (Protection, "check_query", _nothing),
    "shows what is hidden": (Protection, "shown", lambda self, documents: documents),
    "creates with what is hidden": (Protection, "check_new", _nothing),
    "updates what is protected": (Protection, "check_update", lambda *args, **kwargs: False),
    "sets what is around it": (Protection, "kept_in_update", lambda self, update, was: update),
    "replaces all": (Protection, "kept_in_replacement", lambda self, document, stored: document),
    "lets everybody read": (Policy, "may_read", lambda self, caller: True),
    "lets everybody write": (Policy, "may_write", lambda self, caller: True),
    "shows all rows": (Policy, "rows_of", _nothing),
    "moves documents out of sight": (Rows, "require", _nothing),
    "forgets what an update moves": (Rows, "touched_by", lambda self, update: False),
    "compares a tag of all": (Writer, "shown", lambda self, identity, one: bson_json.dumps(one)),
    "patches what is hidden": (Writer, "patched", _all_of_it),
}


#: PERF: how many episodes later it is known that some of them are found soon.
SOONER = {"lets everybody read": 8, "lets everybody write": 11}


@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_is_found(in_memory: list[Api], monkeypatch: pytest.MonkeyPatch, hole: str) -> None:
    kind, name, replacement = HOLES[hole]
    monkeypatch.setattr(kind, name, replacement)
    seed = SEED + SOONER.get(hole, 0)
    report = PolicyTrial(in_memory, seed).run(2000, most_differences=1)
    assert report.differences


@pytest.mark.parametrize(
    ("kind", "name", "replacement"),
    [
        (Reader, "readable", lambda self, query: query),
        (Writer, "permit", _nothing),
        (Policy, "rows_of", _nothing),
        (Rows, "require", _nothing),
    ],
    ids=["reads all documents", "permits all writes", "shows all rows", "moves out of sight"],
)
def test_a_hole_of_declared_resources_is_found(
    monkeypatch: pytest.MonkeyPatch, kind: type, name: str, replacement: Any
) -> None:
    monkeypatch.setattr(kind, name, replacement)
    with declared.two_databases(None, "two") as databases:
        report = declared.DeclaredTrial(databases, SEED).run(1000, most_differences=1)
    assert report.differences
