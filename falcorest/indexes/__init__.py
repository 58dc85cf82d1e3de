"""Indexes: which of them are declared, how they compare with those of a database, and building."""

from __future__ import annotations

from falcorest.indexes.build import Progress, build, build_in_memory, reason
from falcorest.indexes.comparison import (
    Compared,
    State,
    as_declared,
    compare,
    is_usually_named,
    look,
    text_keys,
)
from falcorest.indexes.index import Index, merge, read_indexes

__all__ = [
    "Compared",
    "Index",
    "Progress",
    "State",
    "as_declared",
    "build",
    "build_in_memory",
    "compare",
    "is_usually_named",
    "look",
    "merge",
    "read_indexes",
    "reason",
    "text_keys",
]
