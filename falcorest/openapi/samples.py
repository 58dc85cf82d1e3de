"""Samples: what documents look like, inferred from some of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from bson import (
    Code,
    DBRef,
    Decimal128,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from bson.datetime_ms import DatetimeMS

from falcorest.openapi.components import Components, Schema
from falcorest.openapi.values import INT64_BOUNDS, of_type

#: How many documents are looked at, and for how long at the most, in seconds.
DOCUMENTS = 100
SECONDS = 0.5
#: How many fields of one object are told, and how deep they are followed.
FIELDS = 200
DEPTH = 5

# NOTE: code is a text, and Binary bytes, to Python.
_TYPES: tuple[tuple[type, str], ...] = (
    *((Code, "javascript"), (bool, "bool"), (int, "long"), (float, "double"), (str, "string")),
    *((ObjectId, "objectId"), (datetime, "date"), (DatetimeMS, "date"), (bytes, "binData")),
    *((Decimal128, "decimal"), (Regex, "regex"), (Timestamp, "timestamp")),
    *((DBRef, "dbPointer"), (MinKey, "minKey"), (MaxKey, "maxKey")),
)
#: What they are in JSON; the first one is the wider.
_NUMBERS = {"double": "number", "long": "integer"}


class Sample:
    """What has been seen of values at one place.

    Attributes:
        count: How many there were.
        types: The names of their BSON types.
        fields: What was in them where they were objects, by name.
        items: What was in them where they were lists.
    """

    def __init__(self, depth: int = 0) -> None:
        self.count = 0
        self.types: dict[str, None] = {}
        self.fields: dict[str, Sample] = {}
        self.items: Sample | None = None
        self._depth = depth

    @classmethod
    def of(cls, documents: Iterable[Mapping[str, Any]]) -> Sample:
        """Return what some documents look like: the first ones, within a bound of time."""
        sample = cls()
        until = time.monotonic() + SECONDS
        for document in documents:
            sample.add(document)
            if sample.count >= DOCUMENTS or time.monotonic() > until:
                break
        return sample

    def add(self, value: Any) -> None:
        """Note a value."""
        self.count += 1
        if isinstance(value, Mapping):
            self.types["object"] = None
            for name, item in value.items() if self._depth < DEPTH else ():
                if name in self.fields or len(self.fields) < FIELDS:
                    self.fields.setdefault(name, Sample(self._depth + 1)).add(item)
        elif isinstance(value, list):
            self.types["array"] = None
            if self._depth < DEPTH:
                self.items = self.items or Sample(self._depth + 1)
                for item in value[:DOCUMENTS]:
                    self.items.add(item)
        else:
            self.types[_type_of(value)] = None

    def schema(self, components: Components, *, sent: bool = False, plain: bool = False) -> Schema:
        """Return a schema that the values follow.

        Args:
            components: Where the schemas of Extended JSON are put.
            sent: Whether it is for what a client sends; else for what is shown.
            plain: Whether what is shown is plain JSON.
        """
        numbers: list[Any] = [_NUMBERS[name] for name in _NUMBERS if name in self.types]
        if plain and not sent and "double" in self.types:
            # NOTE: an infinity is null there.
            numbers[0] = ["number", "null"]
        bounds = INT64_BOUNDS if sent else {}
        kinds: list[Schema] = [{"type": numbers[0], **bounds}] if numbers else []
        for name in self.types:
            if name in _NUMBERS:
                continue
            for kind in of_type(components, name, sent=sent, plain=plain):
                if name == "object" and self.fields:
                    kind["properties"] = {
                        field: one.schema(components, sent=sent, plain=plain)
                        for field, one in self.fields.items()
                    }
                if name == "array" and self.items is not None and self.items.types:
                    kind["items"] = self.items.schema(components, sent=sent, plain=plain)
                if kind not in kinds:
                    kinds.append(kind)
        return kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {}


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float) and not math.isfinite(value):
        return "number"
    # NOTE: a hook may show what isn't stored, such as a date; that is a text in JSON.
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "string")
