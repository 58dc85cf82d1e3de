"""The ``find`` command of MongoDB, for documents that are one answer.

PERF: of what the driver does for a cursor, most is for those that give several answers.

Source: https://www.mongodb.com/docs/manual/reference/command/find/
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from bson.codec_options import TypeRegistry
from pymongo import ReadPreference
from pymongo.collection import Collection
from pymongo.errors import (
    AutoReconnect,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from falcorest.database import PASSING
from falcorest.query import Document
from falcorest.streams import BATCH


def takes_command(collection: Collection[Document]) -> bool:
    """Tell whether documents of a collection can be read by a command."""
    # NOTE: the answer to a command isn't read with somebody's own types. And a cursor can only be
    # let go where it is known which server has it.
    own_types = collection.codec_options.type_registry != TypeRegistry()
    return not own_types and collection.read_preference == ReadPreference.PRIMARY


def find_at_once(
    collection: Collection[Document], asked: Mapping[str, Any], limit: int
) -> list[Document] | None:
    """Return documents as one answer to one command, or None if a cursor has to be asked.

    Args:
        collection: Where they are.
        asked: What ``Collection.find()`` would be asked for.
        limit: How many documents, :data:`~falcorest.streams.BATCH` at the most; 0 is no limit.
    """
    database, session = collection.database, asked.get("session")
    try:
        reply = database.command(
            _command(collection, asked, limit),
            codec_options=collection.codec_options,
            session=session,
        )
    except (AutoReconnect, OperationFailure) as error:
        # NOTE: the driver sends a command once. It asks for a cursor again where that helps.
        passing = isinstance(error, AutoReconnect) or error.code in PASSING
        passing = passing and database.client.options.retry_reads
        if session or not passing or isinstance(error, ServerSelectionTimeoutError):
            raise
        return None
    if reply["cursor"]["id"]:
        # NOTE: an answer has 16 MiB at the most.
        kill = {"killCursors": collection.name, "cursors": [reply["cursor"]["id"]]}
        with suppress(PyMongoError):
            database.command(kill)
        return None
    documents: list[Document] = reply["cursor"]["firstBatch"]
    return documents


def _command(
    collection: Collection[Document], asked: Mapping[str, Any], limit: int
) -> dict[str, Any]:
    command: dict[str, Any] = {"find": collection.name, "filter": asked["filter"]}
    projection = asked["projection"]
    if projection is not None:
        named = isinstance(projection, dict)
        command["projection"] = projection if named else dict.fromkeys(projection, 1)
    if asked.get("sort"):
        command["sort"] = dict(asked["sort"])
    if asked.get("skip"):
        command["skip"] = asked["skip"]
    if limit:
        command["limit"] = limit
    # NOTE: larger than the limit, so that nothing is left to be asked for.
    command["batchSize"] = BATCH + 1
    for option in ("collation", "hint"):
        if option in asked:
            command[option] = asked[option]
    if "session" not in asked and collection.read_concern.level:
        command["readConcern"] = collection.read_concern.document
    return command
