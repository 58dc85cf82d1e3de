"""Outage: whether requests are kept waiting for a primary that doesn't answer.

They would wait as long as they may, each in a thread of its own, until nothing else was served. So
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

    Args:
        client: Of pymongo.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._in_vain = 0
        self._answered = 0.0
        self._primary: Any = None
        self._asked = threading.Lock()

    def begin(self) -> bool:
        """Begin to ask the primary.

        Returns:
            Whether this is done for all of them, to be handed to :meth:`end`.

        Raises:
            Unavailable: Somebody else does.
        """
        if self._in_vain < PATIENCE:
            return False
        primary = self._client.primary
        if primary is not None and primary != self._primary:
            return False
        if self._asked.acquire(blocking=False):
            return True
        detail = "The database doesn't answer just now."
        raise Unavailable("database.unavailable", detail, headers={"Retry-After": "1"})

    def end(self, error: BaseException | None, begun: float, *, for_all: bool) -> None:
        """Learn from how it ended.

        Args:
            error: What was raised, if anything was.
            begun: When it began, by the monotonic clock.
            for_all: What :meth:`begin` returned.
        """
        if error is None or not _is_silence(error):
            self._in_vain = 0
            self._answered = monotonic()
        elif self._answered < begun:
            # NOTE: where others were answered meanwhile, it waited for one that was the primary.
            self._primary = self._client.primary
            self._in_vain += 1
        if for_all:
            self._asked.release()


def _is_silence(error: BaseException | None) -> bool:
    """Tell whether an error comes of a server that could not be asked, or that said nothing."""
    while error is not None:
        if isinstance(error, (NetworkTimeout, ServerSelectionTimeoutError)):
            return True
        error = error.__cause__
    return False
