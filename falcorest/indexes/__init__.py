"""Indexes: which of them are declared, how they compare with those of a database, and building."""

from __future__ import annotations

from falcorest.indexes.build import Progress, build, build_in_memory, reason
from falcorest.indexes.comparison import (
    BUILDING,
    DIFFERENT,
    EXTRA,
    MISSING,
    PRESENT,
    Compared,
    compare,
    is_usually_named,
    look,
    text_keys,
)
from falcorest.indexes.index import OPTIONS, Index, merge, read_indexes

__all__ = [
    "BUILDING",
    "DIFFERENT",
    "EXTRA",
    "MISSING",
    "OPTIONS",
    "PRESENT",
    "Compared",
    "Index",
    "Progress",
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
