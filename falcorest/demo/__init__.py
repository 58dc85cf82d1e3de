"""The sample data of ``--demo``: rocket engines and the vehicles that they lift."""

from __future__ import annotations

from importlib import resources
from typing import Any

from falcorest import bson_json
from falcorest.catalog import find_collections
from falcorest.database import MongoDatabase
from falcorest.settings import Settings

COLLECTIONS = ("rocket_engines", "launch_vehicles")


def documents(collection: str) -> list[dict[str, Any]]:
    """Return the documents of a sample collection."""
    text = resources.files(__name__).joinpath(f"{collection}.json").read_bytes()
    loaded: list[dict[str, Any]] = bson_json.loads(text)
    return loaded


def fill(settings: Settings, database: MongoDatabase) -> bool:
    """Put the sample into a database that holds no documents but users.

    Returns:
        Whether the sample was put in.
    """
    for name, found in find_collections(database).items():
        if found.sources or settings.never_served(name):
            continue
        if database[name].find_one({}, ["_id"]) is not None:
            return False
    for name in COLLECTIONS:
        database[name].insert_many(documents(name))
    return True
