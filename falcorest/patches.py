"""Patches: changes of a document that depend on what is in it.

JSON Merge Patch (RFC 7396) and JSON Patch (RFC 6902), on plain JSON. An object of Extended JSON,
such as ``{"$oid": …}``, is a value like others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

from falcorest.bson_json import MAX_DEPTH, WRAPPER_KEYS, too_deep
from falcorest.errors import BodyError, Conflict
from falcorest.limits import Limits

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

#: The media types of patches, as ``Accept-Patch`` lists them (RFC 5789).
MEDIA_TYPES = (MERGE_PATCH, JSON_PATCH)

#: The operations of a JSON Patch, and what each of them needs.
OPERATIONS: dict[str, tuple[str, ...]] = {
    "add": ("path", "value"),
    "remove": ("path",),
    "replace": ("path", "value"),
    "move": ("from", "path"),
    "copy": ("from", "path"),
    "test": ("path", "value"),
}

_BAD_ESCAPE = re.compile(r"~(?![01])")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")

#: How many values one JSON Patch may write, move and copy, and how many characters of text, which
#: is what a document may have.
_MAX_COPIED = 100_000
_MAX_CHARACTERS = 16 * 1024 * 1024


class Patch(Protocol):
    """A change of a document."""

    def apply(self, document: dict[str, Any]) -> Any:
        """Return a document as it is after the change; JSON. The given one stays as it is.

        Raises:
            BodyError: The patch can't be read.
            Conflict: It doesn't fit the document.
        """

    def paths(self) -> Iterator[tuple[str, bool]]:
        """Yield the dotted paths that it names, and whether what is there is read."""


def read_patch(
    media_type: str, body: Any, limits: Limits, shown_as: Callable[[Any], Any] | None = None
) -> Patch:
    """Return the patch that a body says.

    Args:
        media_type: One of :data:`MEDIA_TYPES`.
        body: Parsed.
        limits: How much it may say.
        shown_as: Makes of a JSON value the one that clients are shown, if that is another one.

    Raises:
        BodyError: It says none.
    """
    if media_type == MERGE_PATCH:
        if type(body) is not dict:
            raise BodyError("body.wrong_type", "A merge patch of a document is an object.")
        given = MergePatch(body)
        require_few(sum(1 for _ in given.paths()), limits)
        return given
    if type(body) is not list:
        raise BodyError("body.wrong_type", "A JSON Patch is a list of operations.")
    if len(body) > limits.max_update_fields:
        raise BodyError(
            "body.too_complex",
            f"A JSON Patch may have {limits.max_update_fields} operations at the most.",
        )
    operations = [_Operation.read(index, one) for index, one in enumerate(body)]
    return JsonPatch(operations, shown_as)


def require_few(count: int, limits: Limits) -> None:
    """Refuse a patch that changes too many fields at once.

    Raises:
        BodyError: It does.
    """
    if count > limits.max_update_fields:
        raise BodyError(
            "body.too_complex", f"A patch may change {limits.max_update_fields} fields at the most."
        )


def is_object(value: Any) -> bool:
    """Tell whether a JSON value is an object with fields, and no value of Extended JSON."""
    # NOTE: other names with a dollar sign may be stored, and are names.
    return type(value) is dict and WRAPPER_KEYS.isdisjoint(value)


# --------------------------------------------------------------------------- JSON Merge Patch


@dataclass(frozen=True, slots=True)
class MergePatch:
    """A merge patch: fields to set, and null for those to take away (RFC 7396).

    Attributes:
        body: The patch.
    """

    body: dict[str, Any]

    @property
    def is_flat(self) -> bool:
        """Whether what it does depends on no document."""
        return "_id" not in self.body and not any(map(is_object, self.body.values()))

    def paths(self) -> Iterator[tuple[str, bool]]:
        """Yield the dotted paths that it names; none of them is read."""
        stack = [("", self.body)]
        while stack:
            place, patch = stack.pop()
            for key, value in patch.items():
                path = f"{place}.{key}" if place else key
                yield path, False
                if is_object(value):
                    stack.append((path, value))

    def apply(self, document: dict[str, Any]) -> Any:
        """Return a document as it is after the change."""
        # NOTE: what is made of it may be changed, and it may be applied again.
        return _merged_into(document, deepcopy(self.body))


def merge(value: Any, patch: Any) -> Any:
    """Return a JSON value as a merge patch makes it."""
    return _merged_into(value if is_object(value) else {}, patch) if is_object(patch) else patch


def _merged_into(value: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    merged = dict(value)
    for key, one in patch.items():
        if one is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), one)
    return merged


# --------------------------------------------------------------------------------- JSON Patch


@dataclass(frozen=True, slots=True)
class _Operation:
    """One operation of a JSON Patch."""

    index: int
    op: str
    path: list[str]
    source: list[str]
    value: Any

    @classmethod
    def read(cls, index: int, given: Any) -> _Operation:
        if type(given) is not dict:
            raise _malformed(index, "an operation is an object")
        op = given.get("op")
        if type(op) is not str or op not in OPERATIONS:
            raise _malformed(index, f"op is one of {', '.join(OPERATIONS)}")
        needed = OPERATIONS[op]
        if "value" in needed and "value" not in given:
            raise _malformed(index, f"{op} needs a value")
        source = _pointer(index, given, "from") if "from" in needed else []
        path = _pointer(index, given, "path")
        if op == "move" and len(path) > len(source) and path[: len(source)] == source:
            raise _malformed(index, "nothing can be moved into itself")
        return cls(index, op, path, source, given.get("value"))


def _pointer(index: int, given: dict[str, Any], name: str) -> list[str]:
    """Read a JSON Pointer (RFC 6901)."""
    text = given.get(name)
    if type(text) is not str or (text and not text.startswith("/")):
        raise _malformed(index, f"{name} is a JSON Pointer, such as /a/b")
    tokens = text.split("/")[1:]
    if _BAD_ESCAPE.search(text):
        raise _malformed(index, f"{name} has a ~ that is neither ~0 nor ~1")
    return [token.replace("~1", "/").replace("~0", "~") for token in tokens]


@dataclass(frozen=True, slots=True)
class JsonPatch:
    """A list of operations that are done in order, all or none (RFC 6902).

    Attributes:
        operations: What is done.
        shown_as: Makes of a value the one that clients are shown, if that is another one.
    """

    operations: list[_Operation]
    shown_as: Callable[[Any], Any] | None = None

    def paths(self) -> Iterator[tuple[str, bool]]:
        """Yield the dotted paths that it names, and whether what is there is read."""
        for one in self.operations:
            if one.path:
                yield ".".join(one.path), one.op == "test"
            if one.source:
                yield ".".join(one.source), True

    def apply(self, document: dict[str, Any]) -> Any:
        """Return a document as it is after the change."""
        return _Tree(document, self.shown_as).after(self.operations)


class _Tree:
    """A document while it is changed."""

    def __init__(
        self, document: dict[str, Any], shown_as: Callable[[Any], Any] | None = None
    ) -> None:
        self._shown_as = shown_as
        # NOTE: so that the whole of it has a place like every part.
        self._root: dict[str, Any] = {"": deepcopy(document)}
        self._values = _MAX_COPIED
        self._characters = _MAX_CHARACTERS

    def after(self, operations: list[_Operation]) -> Any:
        for one in operations:
            getattr(self, f"_{one.op}")(one)
        return self._root.get("")

    def _add(self, one: _Operation) -> None:
        self._put(one, one.value)

    def _remove(self, one: _Operation) -> None:
        self._take(one, one.path)

    def _replace(self, one: _Operation) -> None:
        around, key = self._find(one, one.path)
        around[key] = self._copied(one, one.value)

    def _move(self, one: _Operation) -> None:
        self._put(one, self._take(one, one.source))

    def _copy(self, one: _Operation) -> None:
        around, key = self._find(one, one.source)
        self._put(one, around[key])

    def _test(self, one: _Operation) -> None:
        around, key = self._find(one, one.path)
        value, shown_as = around[key], self._shown_as
        same = is_equal(value, one.value)
        if not same and (shown_as is None or not is_equal(shown_as(value), one.value)):
            raise _conflict(one, f"{_written(one.path)} has another value")

    def _put(self, one: _Operation, value: Any) -> None:
        value = self._copied(one, value)
        around, key = self._place(one, one.path)
        if type(around) is list:
            around.insert(key, value)
        else:
            around[key] = value

    def _take(self, one: _Operation, path: list[str]) -> Any:
        around, key = self._find(one, path)
        return around.pop(key)

    def _find(self, one: _Operation, path: list[str]) -> tuple[Any, Any]:
        """Return what holds the end of a path, and its key there.

        Raises:
            Conflict: There is no such place.
        """
        around, key = self._place(one, path)
        if not _has(around, key):
            raise _conflict(one, f"there is no {_written(path)}")
        return around, key

    def _place(self, one: _Operation, path: list[str]) -> tuple[Any, Any]:
        """Return what holds the end of a path, or could, and its key there."""
        around: Any = self._root
        *parents, last = ["", *path]
        for parent in parents:
            key = self._key(around, parent)
            if not _has(around, key):
                raise _conflict(one, f"there is no {_written(path)}")
            around = around[key]
        key = self._key(around, last)
        if key is None:
            raise _conflict(one, f"there can't be a {_written(path)}")
        return around, key

    def _key(self, around: Any, part: str) -> Any:
        """Return the key that a part of a pointer stands for; None for one that can't be."""
        if type(around) is list:
            if part == "-":
                return len(around)
            fits = _INDEX.fullmatch(part) is not None and int(part) <= len(around)
            return int(part) if fits else None
        # NOTE: a document may have a name with a dollar sign and be none of Extended JSON.
        is_document = around is self._root.get("") and type(around) is dict
        return part if is_document or is_object(around) else None

    def _copied(self, one: _Operation, value: Any) -> Any:
        """Return a copy of what is put into a place, unless it is too much."""
        level, values = len(one.path) + 1, [value]
        # NOTE: what is copied is counted before it is.
        while values:
            objects = [value for value in values if type(value) is dict]
            lists = [value for value in values if type(value) is list]
            texts = chain((text for text in values if type(text) is str), *objects)
            self._values -= len(values)
            self._characters -= sum(map(len, texts))
            if self._values < 0 or self._characters < 0:
                raise BodyError(
                    "body.too_complex",
                    f"A JSON Patch may write, move and copy {_MAX_COPIED} values, and "
                    f"{_MAX_CHARACTERS} characters, at the most.",
                )
            if (objects or lists) and level > MAX_DEPTH:
                raise too_deep()
            level += 1
            values = [*chain.from_iterable(one.values() for one in objects), *chain(*lists)]
        return deepcopy(value)


def _has(around: Any, key: Any) -> bool:
    """Tell whether an object or a list has something under a key that :func:`_key` returns."""
    if key is None:
        return False
    return bool(key < len(around)) if type(around) is list else key in around


def is_equal(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal: numbers by their value, objects in any order."""
    if type(one) is dict and type(other) is dict:
        return one.keys() == other.keys() and all(is_equal(one[key], other[key]) for key in one)
    if type(one) is list and type(other) is list:
        return len(one) == len(other) and all(map(is_equal, one, other))
    # NOTE: to Python, 1 and true are equal.
    return (type(one) is bool) == (type(other) is bool) and bool(one == other)


def _written(path: list[str]) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path) or "document"


def _malformed(index: int, reason: str) -> BodyError:
    detail = f"The operation at index {index}: {reason}."
    return BodyError("body.invalid_patch", detail, field_errors={str(index): [detail]})


def _conflict(one: _Operation, reason: str) -> Conflict:
    detail = f"The operation at index {one.index} ({one.op}): {reason}."
    return Conflict("patch.conflict", detail, field_errors={str(one.index): [detail]})


# ------------------------------------------------------------------------ what a patch changes


def changes(
    before: dict[str, Any], after: dict[str, Any], place: str = ""
) -> tuple[dict[str, Any], list[str]]:
    """Return what is to be set, by path, and the paths to be taken away.

    Args:
        before: JSON.
        after: JSON.
        place: The path of both.

    Raises:
        BodyError: What changes has a name that can't stand in a path.
    """
    found: dict[str, Any] = {}
    gone: list[str] = []
    for key in [*before, *(key for key in after if key not in before)]:
        if key in after and is_same(before, key, after[key]):
            continue
        path = f"{place}.{key}" if place else key
        if not key or "." in key or key.startswith("$"):
            raise BodyError("body.invalid_key", f"{path!r} can't be changed by a patch.")
        if key not in after:
            gone.append(path)
        elif key in before and is_object(before[key]) and is_object(after[key]):
            inner, lost = changes(before[key], after[key], path)
            found |= inner
            gone += lost
        else:
            found[path] = after[key]
    return found, gone


def is_same(before: dict[str, Any], name: str, value: Any) -> bool:
    """Tell whether a value is what stands under a name already, to the byte."""
    return name in before and json.dumps(before[name]) == json.dumps(value)
