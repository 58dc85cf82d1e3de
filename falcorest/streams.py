"""Streams: the documents of a query, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pymongo
from pymongo.cursor import Cursor

from falcorest.database import Translation
from falcorest.query import Document

#: How many documents are fetched, and held in memory, at once.
BATCH = 500


class DocumentStream:
    """The documents of a query, a batch at a time. The first batch is there at once.

    Args:
        documents: All of them, or a cursor that has not been read from yet.
        time_limit: How long to wait for each further batch, in seconds.
    """

    def __init__(self, documents: Any, time_limit: float | None = None) -> None:
        self._cursor = documents
        self._time_limit = time_limit
        self._read = 0
        self.complete = type(documents) is list
        self.first: list[Document] = documents if self.complete else self._fetch(None)

    def batches(self) -> Iterator[list[Document]]:
        """Yield the documents, and let go of the cursor at the end.

        Raises:
            FalcorestError: The database failed under way.
        """
        try:
            yield self.first
            while not self.complete and (batch := self._fetch(self._time_limit)):
                yield batch
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the cursor."""
        if not self.complete:
            self._cursor.close()

    def __iter__(self) -> Iterator[Document]:
        for batch in self.batches():
            yield from batch

    def _fetch(self, time_limit: float | None) -> list[Document]:
        with Translation(), pymongo.timeout(time_limit):
            batch = next_batch(self._cursor, self._read)
        self._read += len(batch)
        return batch


def read_all(cursor: Any) -> list[Document]:
    """Return all documents of a cursor of pymongo, or of a database in memory."""
    # PERF: one call, where a loop would make one for each document.
    documents: list[Document] = cursor.to_list() if isinstance(cursor, Cursor) else list(cursor)
    return documents


def next_batch(cursor: Any, read: int) -> list[Document]:
    """Return the documents of the next answer of the database, which has 16 MiB at the most.

    PERF: so large documents, of which few fit into an answer, take no more memory than small
    ones.

    Args:
        cursor: Of pymongo, or of a database in memory.
        read: How many documents have been read from it before.
    """
    if not isinstance(cursor, Cursor):
        return list(islice(cursor, BATCH))
    batch: list[Document] = cursor.to_list(1)
    at_hand = cursor.retrieved - read - len(batch)
    return batch + cursor.to_list(at_hand) if at_hand else batch
