"""Logs: what happened and what went wrong; nothing that a client has sent leaves its line.

They go through :mod:`logging`: ``falcorest`` says what went wrong and what was slow,
``falcorest.access`` has a line for each request. Each record carries its facts as ``fields``.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

AUTO = "auto"
HUMAN = "human"
JSON = "json"
STYLES = (AUTO, HUMAN, JSON)

logger = logging.getLogger("falcorest")

#: The facts that a message of ours has in it already.
_SAID = frozenset({"method", "route", "status", "request_id"})


def configure(style: str) -> None:
    """Write the log to standard error, unless the process has its own idea of logging.

    Args:
        style: One of :data:`STYLES`; AUTO is HUMAN on a terminal and JSON elsewhere.
    """
    if logging.getLogger().handlers:
        return
    if style == AUTO:
        style = HUMAN if sys.stderr.isatty() else JSON
    handler = logging.StreamHandler()
    handler.setFormatter(HumanFormatter() if style == HUMAN else JSONFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logger.setLevel(logging.INFO)


def log(
    to: logging.Logger,
    level: int,
    message: str,
    fields: Mapping[str, Any],
    error: BaseException | None = None,
) -> None:
    """Log a message with its facts.

    APPSEC: line breaks and escape sequences of a client are kept out of the log; what the
    database or somebody's own code says of its input repeats them.

    Args:
        to: Where to.
        level: As of :mod:`logging`.
        message: A text that is harmless.
        fields: Facts by name: texts, numbers, booleans, None.
        error: What was raised; its own text is escaped.
    """
    if not to.isEnabledFor(level):
        return
    cause = None if error is None else (type(error), error, error.__traceback__)
    record = to.makeRecord(to.name, level, __file__, 0, message, (), cause)
    record.fields = fields
    if error is not None:
        record.exc_text = _traceback(error)
    to.handle(record)


def log_exception(level: int, message: str, *arguments: object, error: BaseException) -> None:
    """Log a message and what led to it; see :func:`log`.

    Args:
        level: As of :mod:`logging`.
        message: With places for the arguments, as of :mod:`logging`.
        *arguments: Texts that are harmless.
        error: What was raised.
    """
    log(logger, level, message % arguments, {}, error)


class JSONFormatter(logging.Formatter):
    """Writes a record as one JSON object on one line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": f"{when[:-6]}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if said := _exception(record):
            line["exception"] = said
        try:
            written = orjson.dumps(line).decode()
        except orjson.JSONEncodeError:
            written = ""
        # PERF: mostly it is ASCII.
        if not written.isascii() or not written or "\x7f" in written:
            # APPSEC: line breaks that aren't ASCII, and what writes from right to left.
            written = json.dumps(line, default=str).replace("\x7f", "\\u007f")
        return written


class HumanFormatter(logging.Formatter):
    """Writes a record as a line of text, with a traceback below it where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = self.formatTime(record, "%H:%M:%S")
        facts = [
            f"{name}={_fact(value)}"
            for name, value in getattr(record, "fields", {}).items()
            if name not in _SAID and value is not None
        ]
        said = _printable(record.getMessage())
        line = " ".join([when, record.levelname, said, *facts])
        exception = _exception(record)
        return f"{line}\n{exception}" if exception else line


def _fact(value: Any) -> str:
    text = str(value)
    return text if text.isprintable() and not {" ", '"', "="} & set(text) else json.dumps(text)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _exception(record: logging.LogRecord) -> str:
    if record.exc_text is None and record.exc_info and record.exc_info[1] is not None:
        record.exc_text = _traceback(record.exc_info[1])
    return record.exc_text or ""


def _traceback(error: BaseException) -> str:
    """Return a traceback, and those of what led to it, with each message on one line."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    own = "".join(traceback.format_tb(error.__traceback__))
    own += f"{type(error).__name__}: {_printable(str(error))}"
    return own if before is None else f"{_traceback(before)}\n\nThat led to:\n\n{own}"
