"""Concerns: which servers answers are read from, and what makes reads and writes certain.

Whatever is set, a write reads from the primary: what is compared with ``If-Match``, what its
policy looks at, what it refers to, and what its answer shows.

Source: https://www.mongodb.com/docs/manual/core/replica-set-write-concern/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference, make_read_preference
from pymongo.write_concern import WriteConcern

from falcorest.database import MongoDatabase, in_memory, time_limit
from falcorest.errors import ConfigurationError

#: What a read preference can be, in the order in which the driver counts them.
READ_PREFERENCES = ("primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest")

#: What a read concern can be.
READ_CONCERNS = ("local", "available", "majority", "linearizable")

#: What a write waits for unless something else is said.
MAJORITY = "majority"

#: The read concern that only the primary of a replica set answers.
LINEARIZABLE = "linearizable"

#: The most servers that MongoDB lets a write wait for.
MOST_SERVERS = 50

_MOST_MS = 2**31 - 1
_MODE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")

#: What MongoDB says of a write concern that can't be met, ever.
_IMPOSSIBLE = {2, 79, 100}
#: What a server says of a read concern for which it has to be in a replica set.
_STANDS_ALONE = 123


@dataclass(frozen=True)
class Concerns:
    """What is said of a collection. What is None is as its database has it.

    Attributes:
        read_preference: Which servers answers are read from, one of READ_PREFERENCES.
        read_concern: How certain it is what they are read from, one of READ_CONCERNS.
        write_concern: How many servers have a write before it is confirmed, or which of them, by
            the name that the replica set has for that.
        timeout_ms: How long a request waits for the database.

    Raises:
        ConfigurationError: One of them can't be; the line begins with its name.
    """

    read_preference: str | None = None
    read_concern: str | None = None
    write_concern: int | str | None = None
    timeout_ms: int | None = None

    def __post_init__(self) -> None:
        found = {name: check(getattr(self, name)) for name, check in _CHECKS.items()}
        problems = [f"{name}: {problem}" for name, problem in found.items() if problem]
        if problems:
            raise ConfigurationError(*problems)

    def limit(self, database: Any) -> float | None:
        """Return how long a request waits for a database, in seconds; None is no limit."""
        return time_limit(database) if self.timeout_ms is None else self.timeout_ms / 1000

    def of_writes(self, collection: Any) -> Any:
        """Return a collection as it is written to, and read from for that."""
        if in_memory(collection.database):
            return collection
        return collection.with_options(
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern(),
            write_concern=self._confirmed(collection),
        )

    def of_answers(self, collection: Any) -> Any:
        """Return a collection as it is read from for an answer that writes nothing."""
        if in_memory(collection.database):
            return collection
        preference, concern = collection.read_preference, collection.read_concern
        if self.read_preference is not None:
            # NOTE: tags, and how old it may be what is read, can be said of the database.
            tags, seconds = preference.tag_sets, preference.max_staleness
            mode = READ_PREFERENCES.index(self.read_preference)
            preference = (
                make_read_preference(mode, tags, seconds) if mode else ReadPreference.PRIMARY
            )
        if self.read_concern is not None:
            concern = ReadConcern(self.read_concern)
        return collection.with_options(
            read_preference=preference,
            read_concern=concern,
            write_concern=self._confirmed(collection),
        )

    def require_possible(self, place: str, collection: Any) -> None:
        """Refuse what no server could answer.

        Args:
            place: Where the read concern is said.
            collection: Of the database.

        Raises:
            ConfigurationError: It names the place.
        """
        bound = self.of_answers(collection)
        if in_memory(collection.database) or bound.read_concern.level != LINEARIZABLE:
            return
        if bound.read_preference.mode:
            chosen = READ_PREFERENCES[bound.read_preference.mode]
            raise ConfigurationError(
                f"{place}: {LINEARIZABLE} is read from the primary, and the read preference is "
                f"{chosen}."
            )

    def _confirmed(self, collection: Any) -> WriteConcern:
        said = collection.write_concern.document
        own = {} if self.write_concern is None else {"w": self.write_concern}
        if "w" in said and not own:
            return WriteConcern(**said)
        limit = self.limit(collection.database)
        # NOTE: where there is a time limit, the driver has the server keep it, and leaves this out.
        # It is for writes past it, as in somebody's own hook.
        bound = {} if limit is None else {"wtimeout": int(limit * 1000)}
        return WriteConcern(**{"w": MAJORITY, **bound, **said, **own})


def _chosen(value: Any, names: tuple[str, ...]) -> str:
    return "" if value is None or value in names else f"it is one of {', '.join(names)}."


def check_write_concern(value: Any) -> str:
    """Return what is wrong with a write concern; empty for nothing."""
    number = type(value) is int and 1 <= value <= MOST_SERVERS
    if value is None or number or (isinstance(value, str) and _MODE.fullmatch(value)):
        return ""
    return f"it is majority, a number from 1 to {MOST_SERVERS}, or a name of the replica set's own."


def _check_timeout(value: Any) -> str:
    right = value is None or (type(value) is int and 1 <= value <= _MOST_MS)
    return "" if right else f"a whole number from 1 to {_MOST_MS} is needed."


_CHECKS = {
    "read_preference": lambda value: _chosen(value, READ_PREFERENCES),
    "read_concern": lambda value: _chosen(value, READ_CONCERNS),
    "write_concern": check_write_concern,
    "timeout_ms": _check_timeout,
}

#: The names of what can be said.
NAMES = tuple(_CHECKS)

_NOTHING_SAID = Concerns()


def concerns_of(said: Mapping[str, Any]) -> Concerns:
    """Return what is said of a resource, among other things.

    Raises:
        ConfigurationError: One of them can't be; the line begins with its name.
    """
    found = {name: said[name] for name in NAMES if said.get(name) is not None}
    return Concerns(**found) if found else _NOTHING_SAID


def for_writes(collection: Any) -> Any:
    """Return a collection that is read from the primary, and whose writes are confirmed."""
    return _NOTHING_SAID.of_writes(collection)


def for_callers(collection: Any) -> Any:
    """Return a collection of users or keys as it is read from to know a caller.

    That is the primary, so that what was removed opens nothing any more; while there is none, it
    is another server, so that callers aren't locked out.
    """
    if in_memory(collection.database):
        return collection
    return collection.with_options(
        read_preference=ReadPreference.PRIMARY_PREFERRED, read_concern=ReadConcern()
    )


def require_confirmable(database: MongoDatabase, name: str, said: Mapping[str, int | str]) -> None:
    """Refuse write concerns that a database can't meet, such as of more servers than it has.

    Args:
        database: It is asked.
        name: A collection in it; nothing in there changes.
        said: The write concerns, by the places where they are said.

    Raises:
        ConfigurationError: A line for each.
    """
    problems = []
    for place, concern in said.items():
        if concern in {MAJORITY, 1}:
            continue
        confirmed = WriteConcern(concern, wtimeout=1)
        collection = database.get_collection(name, write_concern=confirmed)
        try:
            # NOTE: there is no such document, but its removal is to be confirmed nevertheless.
            collection.delete_one({"_id": ObjectId()})
        except PyMongoError as error:
            if isinstance(error, OperationFailure) and error.code in _IMPOSSIBLE:
                reason = (error.details or {}).get("errmsg", error)
                problems.append(f"{place}: the database can't confirm so: {reason}.")
    if problems:
        raise ConfigurationError(*problems)


def require_linearizable(database: MongoDatabase, name: str, places: Sequence[str]) -> None:
    """Refuse ``linearizable`` where a database has no such thing: a server that stands alone.

    Args:
        database: It is asked.
        name: A collection in it.
        places: Where it is said.

    Raises:
        ConfigurationError: A line for each.
    """
    if not places:
        return
    collection = database.get_collection(
        name, read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern(LINEARIZABLE)
    )
    try:
        collection.find_one({"_id": ObjectId()})
    except PyMongoError as error:
        if isinstance(error, OperationFailure) and error.code == _STANDS_ALONE:
            raise ConfigurationError(
                *(f"{place}: {LINEARIZABLE} needs a replica set." for place in places)
            ) from error
