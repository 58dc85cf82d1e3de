"""The database in memory.

mongomock keeps the documents; code of our own reads and changes them as MongoDB does.
"""

from __future__ import annotations

from falcorest.memory.collection import MemoryCollection, open_collection

__all__ = ["MemoryCollection", "open_collection"]
