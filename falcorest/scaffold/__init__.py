"""Scaffold: a Python module that serves what a database holds, drawn up from a look at it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from falcorest.database import MongoDatabase
from falcorest.scaffold.looking import look
from falcorest.scaffold.writing import write
from falcorest.settings import Settings

__all__ = ["scaffold"]


def scaffold(
    settings: Settings,
    database: MongoDatabase,
    names: Sequence[str] = (),
    *,
    sample: int = 1000,
    say: Callable[[str], None] = lambda line: None,
) -> str:
    """Return a Python module that serves collections as declared resources, for reading.

    The database is only read. The same data gives the same text.

    Args:
        settings: They say what is never served.
        database: Where the collections are.
        names: The collections; all that can be served unless given.
        sample: How many documents of each collection are looked at.
        say: Is told how it goes, line by line.

    Raises:
        ConfigurationError: A collection isn't there or is never served, there is none at all, or
            the database is in memory.
    """
    return write(database.name, look(settings, database, names, sample, say), settings.embedded_uri)
