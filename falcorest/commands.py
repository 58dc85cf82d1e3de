"""Commands: what is sent to MongoDB, timed and counted for each request, and logged when slow."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import falcon
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from falcorest.logs import log, logger

#: The longest shape of a filter that is logged, in characters.
MAX_SHAPE = 1000

_LOGIC = frozenset({"$and", "$or", "$nor"})


@dataclass(slots=True)
class Spent:
    """What a request has asked of the database so far.

    Attributes:
        request: The request.
        operations: How many commands were sent.
        seconds: How long they took.
        documents: How many documents came back, and how many were written.
    """

    request: falcon.Request
    operations: int = 0
    seconds: float = 0.0
    documents: int = 0


class Commands(CommandListener):
    """Listens to the commands of a client.

    Args:
        slow_ms: From how many milliseconds on a command is logged; 0 is never.
        observe: Is told of each command: its name, its seconds, whether it succeeded.
    """

    def __init__(self, slow_ms: int, observe: Callable[[str, float, bool], None] | None) -> None:
        self._slow_micros = slow_ms * 1000 or math.inf
        self._observe = observe
        self.spent: ContextVar[Spent | None] = ContextVar("spent", default=None)
        self._sent: ContextVar[Mapping[str, Any]] = ContextVar("sent")

    def started(self, event: CommandStartedEvent) -> None:
        """Remember the command, for the case that it is slow."""
        self._sent.set(event.command)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Count and time the command."""
        self._ended(event, event.reply, succeeded=True)

    def failed(self, event: CommandFailedEvent) -> None:
        """Count and time the command."""
        self._ended(event, {}, succeeded=False)

    def _ended(
        self,
        event: CommandSucceededEvent | CommandFailedEvent,
        reply: Mapping[str, Any],
        *,
        succeeded: bool,
    ) -> None:
        micros = event.duration_micros
        spent = self.spent.get()
        if spent is not None:
            spent.operations += 1
            spent.seconds += micros / 1e6
            spent.documents += _documents(reply)
        if self._observe is not None:
            self._observe(event.command_name, micros / 1e6, succeeded)
        if micros >= self._slow_micros:
            self._log_slow(event, reply, spent, succeeded)

    def _log_slow(
        self,
        event: CommandSucceededEvent | CommandFailedEvent,
        reply: Mapping[str, Any],
        spent: Spent | None,
        succeeded: bool,
    ) -> None:
        name = event.command_name
        sent = self._sent.get({})
        collection = sent.get("collection") if name == "getMore" else sent.get(name)
        request_id = None if spent is None else request_id_of(spent.request)
        fields = {
            "request_id": request_id,
            "command": name,
            "collection": collection if isinstance(collection, str) else None,
            "duration_ms": event.duration_micros / 1000,
            "documents": _documents(reply),
            "succeeded": succeeded,
            "shape": json.dumps(shape_of(sent))[:MAX_SHAPE],
        }
        message = f"slow {name} (request {request_id or '-'})"
        log(logger, logging.WARNING, message, fields)


def request_id_of(req: falcon.Request) -> str | None:
    """Return the id of a request, where it has one."""
    context = req.context
    found = context.get("request_id") if isinstance(context, dict) else None
    return found or getattr(context, "request_id", None)


def _documents(reply: Mapping[str, Any]) -> int:
    cursor = reply.get("cursor")
    if cursor is not None:
        batch = cursor.get("firstBatch")
        return len(cursor.get("nextBatch", ()) if batch is None else batch)
    count = reply.get("n", 0)
    return count if type(count) is int else 0


def shape_of(command: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names and operators in a command, with ``?`` for each value."""
    shape: dict[str, Any] = {}
    for name in ("filter", "query"):
        if name in command:
            shape[name] = _filter(command[name])
    if command.get("sort"):
        shape["sort"] = list(command["sort"])
    if "findAndModify" in command and "update" in command:
        shape["update"] = _update(command["update"])
    for name in ("updates", "deletes"):
        # PERF: where there are several, they are alike.
        for statement in command.get(name, ())[:1]:
            shape["filter"] = _filter(statement["q"])
            if "u" in statement:
                shape["update"] = _update(statement["u"])
    if "pipeline" in command:
        shape["pipeline"] = [
            {name: _filter(stage) if name == "$match" else "?" for name, stage in one.items()}
            for one in command["pipeline"]
        ]
    return shape


def _filter(filter: Any) -> Any:
    return {
        name: [_filter(one) for one in condition] if name in _LOGIC else _condition(condition)
        for name, condition in filter.items()
    }


def _condition(condition: Any) -> Any:
    # NOTE: names in an object that is a value are a part of that value.
    if not isinstance(condition, Mapping) or not next(iter(condition), "").startswith("$"):
        return "?"
    return {
        operator: _condition(argument) if operator == "$not" else "?"
        for operator, argument in condition.items()
    }


def _update(update: Any) -> Any:
    if not isinstance(update, Mapping) or not next(iter(update), "").startswith("$"):
        return "?"
    return {operator: dict.fromkeys(arguments, "?") for operator, arguments in update.items()}
