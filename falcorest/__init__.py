"""falcorest: give it a MongoDB, get a REST API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from falcorest import fields, methods, operators
from falcorest.api import FalcoRest
from falcorest.auth import AuthenticationBase
from falcorest.compression import Compression
from falcorest.errors import ConfigurationError, FalcorestError, Problem
from falcorest.limits import Limits
from falcorest.monitor import Monitor
from falcorest.query import Query
from falcorest.resource import Resource
from falcorest.schema import Schema
from falcorest.views import ResourceView

if TYPE_CHECKING:
    from falcorest.server import create_app

__all__ = [
    "AuthenticationBase",
    "Compression",
    "ConfigurationError",
    "FalcoRest",
    "FalcorestError",
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


def __getattr__(name: str) -> Any:
    # PERF: the zero-code server is imported when it is used.
    if name == "create_app":
        from falcorest.server import create_app

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
