"""Outage: whether requests are kept waiting for a primary that isn't there.

They would wait as long as they may, each in a thread of its own, until nothing else was served. So
while there is no primary, or no majority for writes, they leave one thread to what needs none; and
once several in a row have waited in vain, one waits for all of them.

What is there, the driver knows from its heartbeats. A request that takes long is no outage.
"""

from __future__ import annotations

import threading
from typing import Any

from pymongo.errors import NetworkTimeout, ServerSelectionTimeoutError

from falcorest.errors import Unavailable

#: How many requests wait in vain, one after the other, before others are told at once.
PATIENCE = 2


class Outage:
    """Knows whether there is a primary, and who waits for it.

    Attributes:
        places: How many may wait for a primary or a majority that isn't there; None is any number.

    Args:
        client: Of pymongo.
    """

    def __init__(self, client: Any) -> None:
        self.places: int | None = None
        self._client = client
        self._asking = 0
        self._writing = 0
        self._in_vain = 0
        self._lock = threading.Lock()
        self._asked = threading.Lock()

    def begin(self, *, write: bool) -> bool:
        """Begin to ask the primary.

        Args:
            write: Whether for a write.

        Returns:
            Whether this is done for all of them, to be handed to :meth:`end`.

        Raises:
            Unavailable: There is none, and enough others wait for it.
        """
        for_all = self._in_vain >= PATIENCE and not self._has_primary and self._asks_for_all()
        with self._lock:
            asking, writing = self._asking, self._writing
            self._asking += 1
            self._writing += write
        if self.places is not None and asking >= self.places:
            too_many_writes = write and writing >= self.places and not self._has_majority
            if too_many_writes or not self._has_primary:
                self._leave(write=write, for_all=for_all)
                raise _refusal()
        return for_all

    def _asks_for_all(self) -> bool:
        if self._asked.acquire(blocking=False):
            return True
        raise _refusal()

    @property
    def _has_primary(self) -> bool:
        return bool(self._client.topology_description.has_writable_server())

    @property
    def _has_majority(self) -> bool:
        members = self._client.topology_description.server_descriptions().values()
        known = sum(bool(one.is_server_type_known) for one in members)
        return 2 * known > len(members)

    def _leave(self, *, write: bool, for_all: bool) -> None:
        with self._lock:
            self._asking -= 1
            self._writing -= write
        if for_all:
            self._asked.release()

    def end(self, error: BaseException | None, *, write: bool, for_all: bool) -> None:
        """Learn from how it ended.

        Args:
            error: What was raised, if anything was.
            write: Whether it was for a write.
            for_all: What :meth:`begin` returned.
        """
        self._leave(write=write, for_all=for_all)
        if error is None or not _is_silence(error):
            self._in_vain = 0
        elif not self._has_primary:
            self._in_vain += 1


def _refusal() -> Unavailable:
    detail = "The database doesn't answer just now."
    return Unavailable("database.unavailable", detail, headers={"Retry-After": "1"})


def _is_silence(error: BaseException | None) -> bool:
    """Tell whether an error comes of a server that could not be asked, or that said nothing."""
    while error is not None:
        if isinstance(error, (NetworkTimeout, ServerSelectionTimeoutError)):
            return True
        error = error.__cause__
    return False
