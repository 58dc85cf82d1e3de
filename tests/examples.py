"""Which files of ``examples/`` the tests run."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

_run: set[str] = set()


def note(*names: str) -> None:
    """Note that a test runs some files."""
    _run.update(names)


def runs(*names: str) -> Callable[[Any], Any]:
    """Hand files to a test, as ``files``, and note that it runs them."""
    note(*names)
    return pytest.mark.parametrize("files", [[EXAMPLES / name for name in names]], ids=[names[0]])


def noted() -> set[str]:
    """Return the files that are run by ``tests/features/test_*examples.py``."""
    for module in (Path(__file__).parent / "features").glob("test_*examples.py"):
        importlib.import_module(f"tests.features.{module.stem}")
    return set(_run)
