"""Generator: Python source that is written for a schema, and the values that it has names for."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import CodeType
from typing import Any


class Generator:
    """Writes the source of a function, and keeps the values that the source has names for.

    Attributes:
        names: The globals of the function.

    Args:
        names: What every source may name.
    """

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = dict(names)

    def bind(self, value: Any) -> str:
        """Return an expression that gives a value."""
        if type(value) is str:
            return repr(value)
        name = f"value_{len(self.names)}"
        self.names[name] = value
        return name

    def run(self, source: str, name: str) -> Any:
        """Run a source, and return the function that it defines.

        Args:
            source: Defines the function.
            name: Its name.
        """
        # APPSEC: of what a schema holds, only literals of exact strings get into the source.
        exec(_code(source), self.names)  # noqa: S102  # nosec B102
        return self.names[name]


@functools.lru_cache(maxsize=1024)
def _code(source: str) -> CodeType:
    # PERF: schemas that differ in values alone have the same source. To marshmallow, each level
    # of a recursive schema is a schema of its own, and compiling is what takes time.
    return compile(source, "<plan>", "exec")
