"""Outage: whether requests are kept waiting for a primary that doesn't answer.

They would wait as long as they may, each in a thread of its own, until nothing else was served. So
while there is no primary, or no majority for writes, they leave one thread to what needs none; and
once several in a row have waited in vain, one waits for all of them.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import Any

from pymongo.errors import NetworkTimeout, ServerSelectionTimeoutError

from falcorest.errors import Unavailable

#: How many requests wait in vain, one after the other, before others are told at once.
PATIENCE = 2


class Outage:
    """Knows whether the primary of a database answers, as far as this process has seen.

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
        self._lock = threading.Lock()
        self._in_vain = 0
        self._answered = 0.0
        self._primary: Any = None
        self._asked = threading.Lock()

    def begin(self, *, write: bool) -> bool:
        """Begin to ask the primary.

        Args:
            write: Whether for a write.

        Returns:
            Whether this is done for all of them, to be handed to :meth:`end`.

        Raises:
            Unavailable: Enough others do, and nobody gets an answer.
        """
        for_all = self._in_vain >= PATIENCE and self._asks_for_all()
        with self._lock:
            asking, writing = self._asking, self._writing
            self._asking += 1
            self._writing += write
        if self.places is not None and asking >= self.places:
            found = self._client.topology_description
            if not found.has_writable_server() or (
                write and writing >= self.places and not _has_majority(found)
            ):
                self._leave(write=write, for_all=for_all)
                raise _refusal()
        return for_all

    def _asks_for_all(self) -> bool:
        primary = self._client.primary
        if primary is not None and primary != self._primary:
            return False
        if self._asked.acquire(blocking=False):
            return True
        raise _refusal()

    def _leave(self, *, write: bool, for_all: bool) -> None:
        with self._lock:
            self._asking -= 1
            self._writing -= write
        if for_all:
            self._asked.release()

    def end(self, error: BaseException | None, begun: float, *, write: bool, for_all: bool) -> None:
        """Learn from how it ended.

        Args:
            error: What was raised, if anything was.
            begun: When it began, by the monotonic clock.
            write: Whether it was for a write.
            for_all: What :meth:`begin` returned.
        """
        self._leave(write=write, for_all=for_all)
        if error is None or not _is_silence(error):
            self._in_vain = 0
            self._answered = monotonic()
        elif self._answered < begun:
            # NOTE: where others were answered meanwhile, it waited for one that was the primary.
            self._primary = self._client.primary
            self._in_vain += 1


def _refusal() -> Unavailable:
    detail = "The database doesn't answer just now."
    return Unavailable("database.unavailable", detail, headers={"Retry-After": "1"})


def _has_majority(found: Any) -> bool:
    """Tell whether more than half of the members are there, as far as the driver knows."""
    members = found.server_descriptions().values()
    known = sum(bool(one.is_server_type_known) for one in members)
    return 2 * known > len(members)


def _is_silence(error: BaseException | None) -> bool:
    """Tell whether an error comes of a server that could not be asked, or that said nothing."""
    while error is not None:
        if isinstance(error, (NetworkTimeout, ServerSelectionTimeoutError)):
            return True
        error = error.__cause__
    return False
