"""Dialects: how a query string is read, and how an answer is wrapped."""

from __future__ import annotations

from falcorest.dialects.base import Dialect
from falcorest.dialects.suffix import SuffixDialect
from falcorest.dialects.typed import TypedDialect

__all__ = ["Dialect", "SuffixDialect", "TypedDialect"]
