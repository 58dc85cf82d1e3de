"""Outage: whether requests are kept waiting for a primary that isn't there.

They would wait as long as they may, each in a thread of its own, until nothing else was served. So
once several in a row have waited in vain, one waits for all of them. And where some of what is
served needs no primary, a thread is left to that.

What is there, the driver knows from its heartbeats. A request that takes long is no outage.
"""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic
from typing import Any

from pymongo.errors import NetworkTimeout, ServerSelectionTimeoutError

from falcorest.errors import Unavailable

#: How many requests wait in vain, one after the other, before others are told at once.
PATIENCE = 2

#: How often it is looked whether there still is a primary, in seconds.
_LOOK_SECONDS = 0.05

#: How many causes of an error are looked at.
_CAUSES = 8


class Outage:
    """Knows whether there is a primary, and who waits for it.

    Args:
        client: Of pymongo.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._in_vain = 0
        self._asked = threading.Lock()
        self._places: _Places | None = None

    def bound(self, places: int) -> None:
        """Let no more requests ask the primary at once; others wait while it is there.

        Args:
            places: Fewer than there are threads, so that one is left to what needs no primary.
        """
        self._places = _Places(places)

    def begin(self, seconds: float) -> bool:
        """Begin to ask the primary.

        Args:
            seconds: How long it may take until it can.

        Returns:
            Whether this is done for all of them, to be handed to :meth:`end`.

        Raises:
            Unavailable: There is none, and enough others wait for it.
        """
        for_all = self._in_vain >= PATIENCE and not self._has_primary
        if for_all and not self._asked.acquire(blocking=False):
            raise _refusal()
        if self._places is not None and not self._take_place(self._places, seconds):
            if for_all:
                self._asked.release()
            raise _refusal()
        return for_all

    def _take_place(self, places: _Places, seconds: float) -> bool:
        turn = places.take()
        # PERF: mostly there is one.
        if turn is None:
            return True
        late = monotonic() + seconds
        while self._has_primary and self._has_majority and monotonic() < late:
            if turn.acquire(timeout=_LOOK_SECONDS):
                return True
        # NOTE: it may have come at the last moment.
        return not places.leave(turn)

    def end(self, error: BaseException | None, *, for_all: bool) -> None:
        """Learn from how it ended.

        Args:
            error: What was raised, if anything was.
            for_all: What :meth:`begin` returned.
        """
        if self._places is not None:
            self._places.release()
        if error is None or not _is_silence(error):
            self._in_vain = 0
        elif not self._has_primary:
            self._in_vain += 1
        if for_all:
            self._asked.release()

    @property
    def _has_primary(self) -> bool:
        return bool(self._client.topology_description.has_writable_server())

    @property
    def _has_majority(self) -> bool:
        members = self._client.topology_description.server_descriptions().values()
        known = sum(bool(one.is_server_type_known) for one in members)
        return 2 * known > len(members)


class _Places:
    """So many places, each given to who has waited longest."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._waiting: deque[Any] = deque()
        self._lock = threading.Lock()

    def take(self) -> Any:
        """Take a place and return None, or return a lock that is released when there is one."""
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
            return turn

    def leave(self, turn: Any) -> bool:
        """Wait no more; tell whether there still was no place."""
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return True
            return False

    def release(self) -> None:
        """Give a place back."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


def _refusal() -> Unavailable:
    detail = "The database doesn't answer just now."
    return Unavailable("database.unavailable", detail, headers={"Retry-After": "1"})


def _is_silence(error: BaseException | None) -> bool:
    """Tell whether an error comes of a server that could not be asked, or that said nothing."""
    # NOTE: what refuses one operation of a transaction is raised by all that follow, and may so be
    # its own cause. And deeper than this there is nothing of the driver's.
    for _ in range(_CAUSES):
        if error is None or isinstance(error, (NetworkTimeout, ServerSelectionTimeoutError)):
            return error is not None
        error = error.__cause__
    return False
