"""Logs: what went wrong, written so that nothing a client has sent leaves its line."""

from __future__ import annotations

import logging
import traceback

logger = logging.getLogger("falcorest")


def log_exception(level: int, message: str, *arguments: object, error: BaseException) -> None:
    """Log a message and what led to it.

    APPSEC: line breaks and escape sequences of a client are kept out of the log; what the
    database or somebody's own code says of its input repeats them.

    Args:
        level: As of :mod:`logging`.
        message: With places for the arguments, as of :mod:`logging`.
        *arguments: Texts that are harmless.
        error: What was raised; its own text is escaped.
    """
    if not logger.isEnabledFor(level):
        return
    cause = (type(error), error, error.__traceback__)
    record = logger.makeRecord(logger.name, level, __file__, 0, message, arguments, cause)
    record.exc_text = _traceback(error)
    logger.handle(record)


def _traceback(error: BaseException) -> str:
    """Return a traceback, and those of what led to it, with each message on one line."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    said = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(error))
    own = "".join(traceback.format_tb(error.__traceback__)) + f"{type(error).__name__}: {said}"
    return own if before is None else f"{_traceback(before)}\n\nThat led to:\n\n{own}"
