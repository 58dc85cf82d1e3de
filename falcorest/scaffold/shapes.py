"""Shapes: what was seen at one place of the documents of a collection."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from bson import Binary, Decimal128, Int64, ObjectId

#: Objects and lists that are deeper than this are shown as they are.
MAX_DEPTH = 8
#: With so many different keys, of which most objects have few, an object is a map.
MAP_KEYS = 40
#: With so many, it is one in any case.
MAX_KEYS = 200
#: How many ObjectIds of one place are looked for in other collections.
MAX_IDS = 100

#: Up to here, a double holds every integer exactly.
_EXACT = 2**53

#: The kinds that fields are made for. Everything else is shown as it is.
SCALARS = ("string", "int", "double", "decimal", "bool", "date", "objectId", "uuid", "binary")
_KINDS: dict[type, str] = {
    str: "string",
    int: "int",
    Int64: "int",
    float: "double",
    Decimal128: "decimal",
    bool: "bool",
    datetime: "date",
    ObjectId: "objectId",
    uuid.UUID: "uuid",
    bytes: "binary",
}

#: What a validator's ``bsonType`` or ``type`` allows.
_TYPES: dict[str, tuple[str, ...]] = {
    "double": ("double",),
    "string": ("string",),
    "object": ("object",),
    "array": ("array",),
    "objectId": ("objectId",),
    "bool": ("bool",),
    "boolean": ("bool",),
    "date": ("date",),
    "null": ("null",),
    "int": ("int",),
    "long": ("int",),
    "decimal": ("decimal",),
    "number": ("int", "double"),
    "binData": ("binData",),
    "regex": ("Regex",),
    "timestamp": ("Timestamp",),
    "javascript": ("Code",),
    "minKey": ("MinKey",),
    "maxKey": ("MaxKey",),
}


def kind_of(value: Any) -> str:
    """Return the kind of a value."""
    kind = type(value)
    if value is None:
        return "null"
    if kind is Binary:
        if value.subtype == 4 and len(value) == 16:
            return "uuid"
        # NOTE: a field would forget the other subtypes when something is written.
        return "binary" if value.subtype == 0 else f"binary of subtype {value.subtype}"
    if isinstance(value, Mapping):
        return "object"
    if kind is list:
        return "array"
    return _KINDS.get(kind) or kind.__name__


class Shape:
    """What was seen at one place.

    Attributes:
        count: How many values were seen, null among them.
        kinds: Their kinds but for null.
        nullable: Whether null is one of them.
        inexact: Whether an integer is too large for a double.
        non_finite: Whether a double is no number.
        objects: How many of the values are objects.
        fields: What was seen in the objects, by key.
        required: The keys that a validator requires.
        values: What was seen in objects with too many different keys.
        items: What was seen in the lists.
        ids: Some of the ObjectIds.
        refers: The collection that the ObjectIds point into.
        limits: What a validator says of the values, by its keyword.
        bounded: Whether objects may be taken for maps.
        disputed: Whether documents don't do what the validator says.
    """

    def __init__(self, depth: int = 0, *, bounded: bool = True) -> None:
        self.depth = depth
        self.bounded = bounded
        self.count = 0
        self.kinds: set[str] = set()
        self.nullable = False
        self.inexact = False
        self.non_finite = False
        self.objects = 0
        self.fields: dict[str, Shape] = {}
        self.required: set[str] = set()
        self.values: Shape | None = None
        self.items: Shape | None = None
        self.ids: dict[ObjectId, None] = {}
        self.refers: str | None = None
        self.limits: dict[str, Any] = {}
        self.disputed = False

    # --------------------------------------------------------------------------- documents

    def add(self, value: Any) -> None:
        """Take note of a value."""
        self.count += 1
        kind = kind_of(value)
        if kind == "null":
            self.nullable = True
            return
        if kind in {"object", "array"} and self.depth >= MAX_DEPTH:
            kind = f"deep {kind}"
        self.kinds.add(kind)
        if kind == "object":
            self._add_object(value)
        elif kind == "array":
            for item in value:
                self._items().add(item)
        elif kind == "int":
            self.inexact = self.inexact or abs(value) > _EXACT
        elif kind == "double":
            self.non_finite = self.non_finite or not math.isfinite(value)
        elif kind == "objectId" and len(self.ids) < MAX_IDS:
            self.ids[value] = None

    def _add_object(self, value: Mapping[str, Any]) -> None:
        self.objects += 1
        if self.values is not None:
            for item in value.values():
                self.values.add(item)
            return
        for key, item in value.items():
            self._field(key).add(item)
        if self.bounded and len(self.fields) > MAX_KEYS:
            self._become_map()

    def _field(self, key: str) -> Shape:
        found = self.fields.get(key)
        if found is None:
            found = self.fields[key] = Shape(self.depth + 1)
        return found

    def _items(self) -> Shape:
        if self.items is None:
            self.items = Shape(self.depth + 1)
        return self.items

    # -------------------------------------------------------------------------------- maps

    def settle(self) -> None:
        """Decide what is a map, when all has been seen; the deepest places first."""
        for inner in self.children():
            inner.settle()
        if self.bounded and self.fields and self._looks_like_a_map():
            self._become_map()

    def _looks_like_a_map(self) -> bool:
        if not all(map(is_sayable, self.fields)):
            return True
        filled = sum(field.count for field in self.fields.values()) / len(self.fields)
        if len(self.fields) > MAP_KEYS and filled < self.objects / 4:
            return True
        return all(map(_is_data, self.fields))

    def _become_map(self) -> None:
        values = Shape(self.depth + 1)
        for field in self.fields.values():
            values.absorb(field)
        self.values = values
        self.fields = {}
        self.required = set()

    def absorb(self, other: Shape) -> None:
        """Take note of what another shape has seen."""
        self.count += other.count
        self.kinds |= other.kinds
        self.nullable = self.nullable or other.nullable
        self.inexact = self.inexact or other.inexact
        self.non_finite = self.non_finite or other.non_finite
        self.objects += other.objects
        for value in other.ids:
            if len(self.ids) < MAX_IDS:
                self.ids[value] = None
        if other.items is not None:
            self._items().absorb(other.items)
        if other.values is not None:
            if self.values is None:
                self._become_map()
            assert self.values is not None
            self.values.absorb(other.values)
        for key, field in other.fields.items():
            (self._field(key) if self.values is None else self.values).absorb(field)
        if len(self.fields) > MAX_KEYS:
            self._become_map()

    # --------------------------------------------------------------------------- validator

    def apply(self, rule: Any) -> None:
        """Let a ``$jsonSchema`` win over what was seen, as far as the documents allow.

        Source: https://www.mongodb.com/docs/manual/reference/operator/query/jsonSchema/
        """
        if not isinstance(rule, Mapping):
            return
        self._apply_types(rule.get("bsonType", rule.get("type")))
        if isinstance(rule.get("enum"), list):
            self.nullable = self.nullable or None in rule["enum"]
            if not self.kinds:
                self.kinds = {kind_of(value) for value in rule["enum"]} - {"null"}
        self.limits = {key: rule[key] for key in _LIMITS if key in rule}
        items = rule.get("items")
        if isinstance(items, Mapping) and "array" in self.kinds:
            self._items().apply(items)
        if "object" in self.kinds or not self.depth:
            self._apply_to_object(rule)

    def _apply_types(self, given: Any) -> None:
        names = given if isinstance(given, list) else [given]
        if not all(isinstance(name, str) for name in names):
            return
        allowed = {kind for name in names for kind in _TYPES.get(name, ("other",))}
        if "binData" in allowed:
            binary = {kind for kind in self.kinds if kind.startswith(("binary", "uuid"))}
            allowed = allowed - {"binData"} | (binary or {"binary"})
        if "number" in names and self.kinds <= {"int", "double", "decimal"}:
            allowed |= self.kinds
            if self.kinds == {"decimal"}:
                allowed -= {"int", "double"}
        if self.depth >= MAX_DEPTH:
            allowed = {f"deep {kind}" if kind in {"object", "array"} else kind for kind in allowed}
        nullable = "null" in allowed
        self.disputed = bool(self.kinds - allowed) or (self.nullable and not nullable)
        self.nullable = self.nullable or nullable
        self.kinds |= allowed - {"null"}

    def _apply_to_object(self, rule: Mapping[str, Any]) -> None:
        properties = rule.get("properties")
        if isinstance(properties, Mapping) and self.values is None:
            for key, inner in properties.items():
                self._field(key).apply(inner)
        required = rule.get("required")
        if isinstance(required, list):
            self.required |= {key for key in required if isinstance(key, str)}

    # ------------------------------------------------------------------------------ asking

    def children(self) -> Iterator[Shape]:
        """Yield the shapes right below this one."""
        yield from self.fields.values()
        if self.values is not None:
            yield self.values
        if self.items is not None:
            yield self.items

    def everything(self) -> Iterator[Shape]:
        """Yield this shape and all below it."""
        yield self
        for inner in self.children():
            yield from inner.everything()

    def requires(self, key: str) -> bool:
        """Tell whether every object has a key, or has to have it."""
        return key in self.required or 0 < self.fields[key].count == self.objects

    @property
    def kind(self) -> str:
        """The one kind of field that takes all of the values; empty for one that takes anything."""
        if len(self.kinds) == 1:
            (kind,) = self.kinds
            return kind if kind in SCALARS or kind in {"object", "array"} else ""
        # NOTE: a double would change large integers.
        return "double" if self.kinds == {"int", "double"} and not self.inexact else ""


_LIMITS = (
    *("enum", "minLength", "maxLength", "minimum", "maximum"),
    *("exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"),
)


def is_sayable(key: str) -> bool:
    """Tell whether a query can name a key: one with dots, or ``$`` in front, it can't."""
    return bool(key) and "." not in key and not key.startswith("$") and "\0" not in key


def _is_data(key: str) -> bool:
    """Tell whether a key is a number or an id rather than a name."""
    return key.isdecimal() or ObjectId.is_valid(key) or (len(key) == 36 and key.count("-") == 4)
