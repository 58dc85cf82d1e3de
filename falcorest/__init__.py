"""falcorest: give it a MongoDB, get a REST API."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from falcorest import fields, methods, operators
from falcorest.api import FalcoRest
from falcorest.auth import AuthenticationBase
from falcorest.errors import ConfigurationError, FalcorestError, Problem
from falcorest.limits import Limits
from falcorest.query import Query
from falcorest.resource import Resource
from falcorest.schema import Schema
from falcorest.views import ResourceView

if TYPE_CHECKING:
    from falcorest.compression import Compression
    from falcorest.in_flight import InFlight
    from falcorest.monitor import Monitor
    from falcorest.server import create_app

__all__ = [
    "AuthenticationBase",
    "Compression",
    "ConfigurationError",
    "FalcoRest",
    "FalcorestError",
    "InFlight",
    "Limits",
    "Monitor",
    "Problem",
    "Query",
    "Resource",
    "ResourceView",
    "Schema",
    "create_app",
    "fields",
    "methods",
    "operators",
]

__version__ = "0.1.0"

# PERF: what many programs don't use is loaded by those that do.
_LATER = {
    "Compression": "compression",
    "InFlight": "in_flight",
    "Monitor": "monitor",
    "create_app": "server",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
