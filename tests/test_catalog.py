"""Which collections are served, on a real database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from falcorest.catalog import Served, resolve_collections
from falcorest.database import connect
from falcorest.errors import ConfigurationError
from falcorest.settings import ResourceSettings, Settings

pytestmark = pytest.mark.live


@pytest.fixture
def database(mongo_uri: str) -> Iterator[Any]:
    opened = connect(mongo_uri, f"test_{uuid.uuid4().hex[:12]}", timeout_ms=5000)
    yield opened
    opened.client.drop_database(opened.name)
    opened.client.close()


def resolve(database: Any, collections: str | None) -> list[Served]:
    settings = Settings(mongodb_uri="mongodb://", collections_text=collections)
    return resolve_collections(settings, database)


def test_every_collection_that_may_be_served(database: Any) -> None:
    for name in ("rockets", "mangorest_users", "falcorest_x", "odd name", "übergröße"):
        database.create_collection(name)
    database.create_collection("fast", viewOn="rockets", pipeline=[])
    database.create_collection("log", capped=True, size=4096)
    database.create_collection("weather", timeseries={"timeField": "at"})
    assert resolve(database, "*") == [
        Served("fast", "fast", read_only=True),
        Served("log", "log", transactional=False),
        Served("rockets", "rockets"),
        Served("weather", "weather", transactional=False),
        Served("übergröße", "übergröße"),
    ]


@pytest.mark.parametrize(
    "pipeline",
    [
        [{"$lookup": {"from": "mangorest_users", "pipeline": [], "as": "u"}}],
        [{"$unionWith": "mangorest_users"}],
        [{"$unionWith": {"coll": "mangorest_users"}}],
        [{"$facet": {"a": [{"$lookup": {"from": "mangorest_users", "pipeline": [], "as": "u"}}]}}],
    ],
)
def test_a_view_that_shows_the_users_is_not_served(
    database: Any, pipeline: list[dict[str, Any]]
) -> None:
    database.create_collection("mangorest_users")
    database.create_collection("rockets")
    database.create_collection("joined", viewOn="rockets", pipeline=pipeline)
    database.create_collection("users", viewOn="mangorest_users", pipeline=[])
    database.create_collection("again", viewOn="users", pipeline=[])
    assert [one.name for one in resolve(database, "*")] == ["rockets"]
    for name in ("joined", "users", "again"):
        with pytest.raises(ConfigurationError, match="never served"):
            resolve(database, f"x:{name}")


def test_two_resources_may_share_a_collection_that_is_not_there_yet(database: Any) -> None:
    settings = Settings(collections_text="a:x,b:x")
    served = resolve_collections(settings, database)
    assert [one.collection for one in served] == ["x", "x"]
    assert database.list_collection_names() == ["x"]


def test_what_is_wrong_is_said_in_one_line_each(database: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(database, "a:nothing,b:mangorest_users,c:system.views")
    assert len(caught.value.problems) == 3
    with pytest.raises(ConfigurationError, match="COLLECTIONS: it isn't set"):
        resolve(database, None)


def test_what_the_file_rules_is_not_served_in_another_way(database: Any) -> None:
    for name in ("rocket_engines", "notes", "other"):
        database.create_collection(name)
    database.create_collection("fast", viewOn="rocket_engines", pipeline=[])
    database.create_collection("faster", viewOn="fast", pipeline=[])
    database.create_collection("noted", viewOn="notes", pipeline=[])
    ruled = {
        "rockets": ResourceSettings(collection="rocket_engines", rules={"hidden": ["cost"]}),
        "notes": ResourceSettings(rules={"owner": "by"}),
        "noted": ResourceSettings(),
    }
    settings = Settings(mongodb_uri="mongodb://", collections_text="*", resources=ruled)
    served = {one.name: one.collection for one in resolve_collections(settings, database)}
    assert served == {
        "rockets": "rocket_engines",
        "notes": "notes",
        "noted": "noted",
        "other": "other",
    }
    # Who names them means it.
    named = "all:rocket_engines,fast:fast,notes:notes,noted:noted"
    settings = settings.replace(collections_text=named)
    served = {one.name: one.collection for one in resolve_collections(settings, database)}
    assert served["all"] == "rocket_engines"
    assert served["fast"] == "fast"


@pytest.mark.parametrize("name", ["admin", "local", "config"])
def test_the_databases_of_mongodb_itself_are_not_served(mongo_uri: str, name: str) -> None:
    database = connect(mongo_uri, name, timeout_ms=5000)
    with pytest.raises(ConfigurationError, match=f"DATABASE: {name}"):
        resolve(database, "*")
    database.client.close()
