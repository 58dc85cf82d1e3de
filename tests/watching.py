"""What tests look at behind an API: the commands that are sent, and all that is stored."""

from __future__ import annotations

from typing import Any

from pymongo.monitoring import CommandListener, CommandStartedEvent

#: What belongs to sessions and connections, and so to no request in particular.
_ASIDE = frozenset({"endSessions", "hello", "ismaster", "ping"})


class Commands(CommandListener):
    """Notes the commands that a client sends, each as a dict with its ``name``."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name not in _ASIDE:
            self.sent.append({"name": event.command_name, **event.command})

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass

    def take(self) -> list[dict[str, Any]]:
        """Return what was sent since this was called last."""
        sent, self.sent = self.sent, []
        return sent

    def names(self) -> list[str]:
        """Return the names of what was sent since this was called last."""
        return [one["name"] for one in self.take()]


def snapshot(database: Any) -> dict[str, list[dict[str, Any]]]:
    """Return all that is in a database."""
    return {
        name: sorted(database[name].find(), key=lambda one: str(one["_id"]))
        for name in sorted(database.list_collection_names())
    }
