"""Indexes: which of them are declared, how they compare with those of a database, and building."""

from __future__ import annotations

from falcorest.indexes.index import Index, merge, read_indexes

# PERF: what compares and builds stands in rooms that serving doesn't enter.
__all__ = ["Index", "merge", "read_indexes"]
