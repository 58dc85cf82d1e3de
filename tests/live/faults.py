"""A MongoDB that fails when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pymongo import MongoClient

from tests.live.processes import PATIENCE


@dataclass(frozen=True)
class Faulty:
    """A replica set that fails when it is told to. What nobody ends there is undone soon."""

    uri: str
    client: MongoClient[dict[str, Any]]

    @contextmanager
    def failing(
        self, command: str, *, mode: Any = "alwaysOn", **how: Any
    ) -> Iterator[Callable[[], object]]:
        """Let a command of falcorest fail until the block ends; it must have failed by then.

        What it gives waits until the command fails.
        """
        data = {"failCommands": [command], "appName": "falcorest", **how}
        before = self._configure(mode, data=data)
        waiting = {"waitForFailPoint": "failCommand", "timesEntered": before + 1}
        try:
            yield lambda: self.client.admin.command({**waiting, "maxTimeMS": int(PATIENCE * 1000)})
        finally:
            after = self._configure("off")
        assert after > before

    def _configure(self, mode: Any, **more: Any) -> int:
        """Return how often a command has failed before."""
        admin = self.client.admin
        return int(admin.command("configureFailPoint", "failCommand", mode=mode, **more)["count"])
