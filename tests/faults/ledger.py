"""What each client was told: one entry for each request."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum

#: What a request of a client was about; all but the reads are writes.
CREATE, COUNT, BULK, FILL, CLEAR = "create", "count", "bulk", "fill", "clear"
READ, NEAR, LIST = "read", "near", "list"
WRITES = {CREATE, COUNT, BULK, FILL, CLEAR}

#: What a good request may be refused with while others write.
DESERVED = {"precondition.failed", "idempotency.running", "write.conflict"}


class Said(Enum):
    """What a client knows of a write."""

    DONE = "done"
    NOT_DONE = "not done"
    UNKNOWN = "unknown"


class Silence(Enum):
    """Which requests may stay without an answer, if a fault strikes what answers them."""

    NEVER = "none"
    UNDONE = "those that did nothing"
    ALLOWED = "any"


@dataclass(slots=True)
class Entry:
    """A request, and what came back.

    Attributes:
        kind: What it was about.
        what: What it was to write; attempts that shall be one write have the same.
        sent: When, in seconds of the monotonic clock.
        answered: When the answer was there, or was given up.
        reached: Whether a connection was made, without which nothing was sent.
        status: None without an answer.
        code: That of the problem.
        retry_after: Whether the answer has ``Retry-After``.
        replayed: Whether it says that it is an earlier one.
        given: What the answer is about: the id, the number of documents.
        keyed: Whether it had an ``Idempotency-Key``, so that its client asks until it knows.
        trouble: Why there is no answer.
    """

    kind: str
    what: Hashable
    sent: float
    answered: float = 0.0
    reached: bool = True
    status: int | None = None
    code: str | None = None
    retry_after: bool = False
    replayed: bool = False
    given: Hashable = None
    keyed: bool = False
    trouble: str = ""

    @property
    def took(self) -> float:
        return self.answered - self.sent

    @property
    def writes(self) -> bool:
        return self.kind in WRITES

    @property
    def good(self) -> bool:
        return self.status is not None and self.status < 300

    @property
    def said(self) -> Said:
        """What its client may believe of the write."""
        if self.good:
            return Said.DONE
        if self.reached and (self.status is None or self.code == "write.outcome_unknown"):
            return Said.UNKNOWN
        return Said.NOT_DONE

    @property
    def unclean(self) -> bool:
        """Whether it was answered in a way that says nothing of use to its client."""
        if self.status is None or self.good:
            return False
        if self.status == 503:
            return not self.retry_after
        return self.code not in DESERVED

    def __str__(self) -> str:
        answer = f"{self.status} {self.code or ''}".strip() if self.status else "no answer"
        if not self.reached:
            answer = "no connection"
        marks = " replayed" * self.replayed + f" ({self.trouble})" * bool(self.trouble)
        return f"{self.kind} {self.what}: {answer}{marks} after {self.took:.2f} s"


@dataclass
class Ledger:
    """The entries of all clients.

    Attributes:
        begun: When the clients began.
        ended: When they were told to end.
    """

    entries: list[Entry] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, entry: Entry) -> None:
        """Put an entry down once its outcome is known."""
        with self._lock:
            self.entries.append(entry)

    def close(self) -> None:
        """Note that nobody begins anything any more."""
        self.ended = time.monotonic()
