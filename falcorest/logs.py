"""Logs: what happened and what went wrong; nothing that a client has sent leaves its line.

They go through :mod:`logging`: ``falcorest`` says what went wrong and what was slow,
``falcorest.access`` has a line for each request. Each record carries its facts as ``fields``.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import select
import sys
import traceback
from collections.abc import Callable, Mapping
from time import gmtime, localtime, strftime, time
from typing import Any, TypeAlias

import orjson

_STDERR = 2

AUTO = "auto"
HUMAN = "human"
JSON = "json"
STYLES = (AUTO, HUMAN, JSON)

logger = logging.getLogger("falcorest")
access_logger = logging.getLogger("falcorest.access")

#: Writes the line of a request: a message and its facts.
AccessLog: TypeAlias = Callable[[str, Mapping[str, Any]], None]

#: The facts that a message of ours has in it already.
_SAID = frozenset({"method", "route", "status", "request_id"})


def configure(style: str) -> AccessLog:
    """Write the log to standard error, unless the process has its own idea of logging.

    Args:
        style: One of :data:`STYLES`; AUTO is HUMAN on a terminal and JSON elsewhere.

    Returns:
        What writes the lines of requests.
    """
    root = logging.getLogger()
    if not root.handlers:
        if style == AUTO:
            style = HUMAN if sys.stderr.isatty() else JSON
        handler = logging.StreamHandler()
        handler.setFormatter(_Formatter(human_line if style == HUMAN else json_line))
        root.addHandler(handler)
        logger.setLevel(logging.INFO)
    formatter = root.handlers[0].formatter
    return formatter.write_access if isinstance(formatter, _Formatter) else log_access


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


def log_access(message: str, fields: Mapping[str, Any]) -> None:
    """Log the line of a request through :mod:`logging`."""
    log(access_logger, logging.INFO, message, fields)


class _Formatter(logging.Formatter):
    """Formats records as lines.

    Args:
        line: Makes one of them.
    """

    def __init__(self, line: Callable[[float, str, str, str, Mapping[str, Any]], str]) -> None:
        super().__init__()
        self._line = line
        self._left_out = 0

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, with what was raised."""
        fields = getattr(record, "fields", {})
        if record.exc_text is None and record.exc_info and record.exc_info[1] is not None:
            record.exc_text = _traceback(record.exc_info[1])
        if record.exc_text:
            fields = {**fields, "exception": record.exc_text}
        level = record.levelname.lower()
        return self._line(record.created, level, record.name, record.getMessage(), fields)

    def write_access(self, message: str, fields: Mapping[str, Any]) -> None:
        """Write the line of a request, unless it would have to wait for a reader.

        PERF: through logging, it takes a sixth of all that a request takes.
        """
        try:
            # NOTE: a pipe that nobody reads fills up, and must not stop the server.
            if not select.select((), (_STDERR,), (), 0)[1]:
                self._left_out += 1
                return
            left_out, self._left_out = self._left_out, 0
            if left_out:
                fields = {**fields, "left_out_before": left_out}
            line = self._line(time(), "info", "falcorest.access", message, fields)
            # NOTE: in one piece, so that the lines of several workers don't mix.
            os.write(_STDERR, line.encode() + b"\n")
        except OSError:
            # NOTE: nobody is there to read it, or to be told of that.
            return


def json_line(when: float, level: str, name: str, message: str, fields: Mapping[str, Any]) -> str:
    """Return one JSON object on one line, in ASCII."""
    second, rest = divmod(when, 1)
    line = {
        "time": f"{_utc(second)}.{int(rest * 1000):03}Z",
        "level": level,
        "logger": name,
        "message": message,
        **fields,
    }
    try:
        # PERF: mostly it is ASCII.
        written = orjson.dumps(line).decode()
        if written.isascii() and "\x7f" not in written:
            return written
    except orjson.JSONEncodeError:
        pass
    # APPSEC: with line breaks that aren't ASCII, and what writes from right to left, escaped.
    return json.dumps(line, default=str, separators=(",", ":")).replace("\x7f", "\\u007f")


@functools.lru_cache(maxsize=2)
def _utc(second: float) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))


def human_line(when: float, level: str, name: str, message: str, fields: Mapping[str, Any]) -> str:
    """Return a line of text; a traceback stands below it."""
    facts = [
        f"{fact}={_quoted(value)}"
        for fact, value in fields.items()
        if fact not in _SAID and fact != "exception" and value is not None
    ]
    line = " ".join(
        [strftime("%H:%M:%S", localtime(when)), level.upper(), _printable(message), *facts]
    )
    return f"{line}\n{fields['exception']}" if "exception" in fields else line


def _quoted(value: Any) -> str:
    text = str(value)
    plain = text.isprintable() and not {" ", '"', "="} & set(text)
    return text if plain else json.dumps(text).replace("\x7f", "\\u007f")


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _traceback(error: BaseException) -> str:
    """Return a traceback, and those of what led to it, with each message on one line."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    own = "".join(traceback.format_tb(error.__traceback__))
    own += f"{type(error).__name__}: {_printable(str(error))}"
    return own if before is None else f"{_traceback(before)}\n\nThat led to:\n\n{own}"
