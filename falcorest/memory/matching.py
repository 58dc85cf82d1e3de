"""Filters, sorts and projections on plain documents, as MongoDB evaluates them.

This is what the in-memory mode answers queries with, and what tests hold a real MongoDB
against. It knows the filters that falcorest can make and no others; anything else is a
NotImplementedError.

Source: https://www.mongodb.com/docs/manual/reference/operator/query/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import total_ordering
from typing import Any, TypeAlias

import bson
from bson import Code, DBRef, MaxKey, MinKey, Regex
from pymongo.errors import OperationFailure

from falcorest.memory.bson_order import MISSING, Order, as_object, is_nan, order, type_name
from falcorest.memory.patterns import searcher
from falcorest.query import Document, Filter

_Test: TypeAlias = Callable[[Any], bool]
_Parts: TypeAlias = tuple[str, ...]

_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")

#: What a list without items is sorted by: before everything but MinKey.
_EMPTY: Order = (0, 0)
_UNDEFINED: Any = object()

# -------------------------------------------------------------------------------- filters


def matches(document: Document, filter: Filter) -> bool:
    """Tell whether a filter matches a document.

    Raises:
        NotImplementedError: The filter has an operator that isn't known here.
        re.error: It has a pattern that can't be read.
    """
    return matcher(filter)(document)


def matcher(filter: Filter) -> Callable[[Document], bool]:
    """Return a function that tells whether a filter matches a document; see :func:`matches`."""
    tests = [_clause(name, argument) for name, argument in filter.items()]
    return lambda document: all(test(document) for test in tests)


def _clause(name: str, argument: Any) -> _Test:
    if not name.startswith("$"):
        return field_matcher(name, argument)
    if name == "$expr":
        return _same_as(argument)
    members = [matcher(member) for member in argument] if name in {"$and", "$or", "$nor"} else []
    if name == "$and":
        return lambda document: all(member(document) for member in members)
    if name == "$or":
        return lambda document: any(member(document) for member in members)
    if name == "$nor":
        return lambda document: not any(member(document) for member in members)
    raise NotImplementedError(name)


def _same_as(expression: Any) -> _Test:
    """Return a test whether a document is another one, to the byte: the one expression there is."""
    try:
        ((root, literal),) = expression.values()
        encoded = bson.encode(literal["$literal"])
    except (AttributeError, TypeError, ValueError, LookupError):
        raise NotImplementedError("$expr") from None
    if (*expression, root, *literal) != ("$eq", "$$ROOT", "$literal"):
        raise NotImplementedError("$expr")
    return lambda document: bson.encode(document) == encoded


def field_matcher(path: str, condition: Any) -> _Test:
    """Return a function that tells whether a condition holds of the field of a document.

    Args:
        path: Of the field.
        condition: An object of operators, or a value to be equal to.
    """
    if not is_condition(condition):
        condition = {"$eq": condition}
    parts = tuple(path.split("."))
    tests = [_condition(parts, operator, value) for operator, value in condition.items()]
    return lambda document: all(test(document) for test in tests)


def is_condition(value: Any) -> bool:
    """Tell whether a value in a filter is an object of operators."""
    return isinstance(value, dict) and next(iter(value), "").startswith("$")


def _condition(parts: _Parts, operator: str, value: Any) -> _Test:
    if operator in _NEGATIONS:
        return _negation(_condition(parts, _NEGATIONS[operator], value))
    if operator == "$not":
        return _negation(field_matcher(".".join(parts), value))
    if operator == "$exists" and not value:
        return _negation(_condition(parts, "$exists", True))
    if operator == "$all":
        tests = [_condition(parts, "$eq", item) for item in value]
        return lambda document: bool(tests) and all(test(document) for test in tests)
    if operator == "$size":
        return lambda document: any(
            isinstance(found, list) and len(found) == value
            for found in _values(document, parts, whole=True)
        )
    if operator not in _TESTS:
        raise NotImplementedError(operator)
    test = _TESTS[operator](value)
    return lambda document: any(test(found) for found in _values(document, parts))


def _negation(test: _Test) -> _Test:
    return lambda document: not test(document)


def _values(value: Any, parts: _Parts, whole: bool = False) -> Iterator[Any]:
    """Yield the values at a path, MISSING where an object lacks it.

    A path leads into all objects of a list, and by index to one item of it. A list that is
    the field of an object is yielded after its items, unless only whole lists are asked for.
    """
    value = as_object(value)
    if not parts:
        if isinstance(value, list) and not whole:
            yield from value
        yield value
    elif isinstance(value, dict):
        yield from _values(value.get(parts[0], MISSING), parts[1:], whole)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, (dict, DBRef)):
                yield from _values(item, parts, whole)
            if parts[0] == str(index):
                yield from _item_values(item, parts[1:], whole)
    else:
        yield MISSING


def _item_values(item: Any, parts: _Parts, whole: bool) -> Iterator[Any]:
    if not parts:
        yield item
    elif isinstance(item, (dict, DBRef, list)):
        yield from _values(item, parts, whole)


def _equal(value: Any) -> _Test:
    wanted = _wanted(value)
    return lambda found: (found is not MISSING or value is None) and order(found) == wanted


def _one_of(values: Sequence[Any]) -> _Test:
    wanted = set(map(_wanted, values))
    nothing = any(value is None for value in values)
    return lambda found: nothing if found is MISSING else order(found) in wanted


def _wanted(value: Any) -> Order:
    if isinstance(value, (Regex, re.Pattern)):
        raise NotImplementedError("a comparison with a pattern")
    return order(value)


def _comparison(or_equal: bool, sign: int) -> Callable[[Any], _Test]:
    """Return what makes tests for greater (sign 1) or less (sign -1) than a value.

    A value is compared with those of its own rank, NaN with nothing but itself, and the least
    and the greatest key with everything.
    """

    def make(value: Any) -> _Test:
        is_equal = _equal(value)
        wanted = order(value)
        compares_with_all = isinstance(value, (MinKey, MaxKey))

        def test(found: Any) -> bool:
            if is_equal(found):
                return or_equal
            key = order(found)
            if not compares_with_all and (found is MISSING or key[0] != wanted[0]):
                return False
            if is_nan(found) or is_nan(value):
                return False
            return key > wanted if sign > 0 else key < wanted

        return test

    return make


def _is_of_type(name: str | list[str]) -> _Test:
    names = {name} if isinstance(name, str) else set(name)
    if "number" in names:
        names |= {"int", "long", "double", "decimal"}
    return lambda found: found is not MISSING and type_name(found) in names


def _pattern(text: str) -> _Test:
    is_in = searcher(text)
    itself = order(Regex(text))

    def test(found: Any) -> bool:
        if isinstance(found, str) and not isinstance(found, Code):
            return is_in(found)
        return order(found) == itself

    return test


_NEGATIONS = {"$ne": "$eq", "$nin": "$in"}
_TESTS: dict[str, Callable[[Any], _Test]] = {
    "$eq": _equal,
    "$gt": _comparison(False, 1),
    "$gte": _comparison(True, 1),
    "$lt": _comparison(False, -1),
    "$lte": _comparison(True, -1),
    "$in": _one_of,
    "$exists": lambda value: lambda found: found is not MISSING,
    "$type": _is_of_type,
    "$regex": _pattern,
}

# ------------------------------------------------------------------------ sorts and projections


def sort_documents(
    documents: Iterable[Document], sort: Sequence[tuple[str, int]]
) -> list[Document]:
    """Return documents in order; those that are equal by it keep theirs.

    A list sorts by its least item, descending by its greatest.

    Args:
        documents: In any order.
        sort: Pairs of path and direction, 1 or -1.

    Raises:
        OperationFailure: The sort goes by two lists in one document.
    """
    paths = [path for path, _ in sort]

    def key(document: Document) -> tuple[Any, ...]:
        return min(
            tuple(
                part if direction > 0 else _Descending(part)
                for part, (_, direction) in zip(parts, sort, strict=True)
            )
            for parts in index_keys(document, paths)
        )

    return sorted(documents, key=key)


@total_ordering
class _Descending:
    def __init__(self, part: Order) -> None:
        self.part = part

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and self.part == other.part

    def __lt__(self, other: _Descending) -> bool:
        return other.part < self.part


def index_keys(document: Document, paths: Iterable[str]) -> set[tuple[Order, ...]]:
    """Return the keys that an index on some paths has for a document, one per item of a list.

    Raises:
        OperationFailure: The paths lead to two lists, or a number in one of them is both an
            index and a field of an item.
    """
    return set(_keys([_walk(document, tuple(path.split("."))) for path in paths]))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a path has led to: a value and, if that is a list, the parts that lead on.

    An item that was picked by index is not taken apart if it is a list, nor is a done value.
    """

    value: Any
    parts: _Parts = ()
    by_index: bool = False
    done: bool = False


def _walk(value: Any, parts: _Parts, by_index: bool = False) -> _Place:
    """Follow a path through objects, up to the first list."""
    value = as_object(value)
    while parts and isinstance(value, dict):
        value, parts = as_object(value.get(parts[0], MISSING)), parts[1:]
    if isinstance(value, list):
        return _Place(value, parts, by_index)
    return _Place(MISSING if parts else value, done=True)


def _keys(places: list[_Place]) -> Iterator[tuple[Order, ...]]:
    lists = [place.value for place in places if not place.done]
    if not lists:
        yield tuple(_EMPTY if p.value is _UNDEFINED else order(p.value) for p in places)
        return
    items = lists[0]
    if any(other is not items for other in lists):
        raise OperationFailure("cannot sort with keys that are parallel arrays", 2)
    for item in items or [_UNDEFINED]:
        yield from _keys([place if place.done else _enter(place, item) for place in places])


def _enter(place: _Place, item: Any) -> _Place:
    """Go on from a list, by way of one of its items."""
    items, parts = place.value, place.parts
    if not parts:
        return _Place(items if items and place.by_index else item, done=True)
    item = as_object(item)
    if not _INDEX.fullmatch(parts[0]) or int(parts[0]) >= len(items):
        return _walk(item, parts) if isinstance(item, dict) else _Place(MISSING, done=True)
    if isinstance(item, dict) and parts[0] in item:
        raise OperationFailure("a number is an index and a field in one list", 16746)
    picked = items[int(parts[0])]
    return _walk(picked, parts[1:], by_index=isinstance(picked, list))


def project(document: Document, projection: Sequence[str] | Mapping[str, int]) -> Document:
    """Return a document as a projection leaves it, fields in their stored order.

    Args:
        document: It isn't changed, and shares its values with what is returned.
        projection: The paths that are kept, beside the ``_id``; or a mapping of paths to 1, for
            those that are kept, or to 0, for those that are left out. None of them leads on from
            another.
    """
    tree: dict[str, Any] = {}
    for path in projection:
        branch = tree
        for part in path.split("."):
            branch = branch.setdefault(part, {})
    if isinstance(projection, Mapping) and 0 in projection.values():
        left: Document = without(document, tree)
        return left
    tree.setdefault("_id", {})
    kept: Document = _pick(document, tree)
    return kept


def without(value: Any, tree: dict[str, Any]) -> Any:
    """Return a value without some fields at any depth, inside of lists too.

    Args:
        value: It isn't changed, and shares its parts with what is returned.
        tree: Names, nested; what is at a leaf is left out.
    """
    value = as_object(value)
    if isinstance(value, dict):
        return {
            name: without(item, tree[name]) if tree.get(name) else item
            for name, item in value.items()
            if tree.get(name, True)
        }
    if isinstance(value, list):
        return [without(item, tree) for item in value]
    return value


def holds(value: Any, tree: dict[str, Any]) -> bool:
    """Tell whether a value has one of some fields, at any depth, inside of lists too.

    Args:
        value: Of a document, or a document.
        tree: Names, nested; what is at a leaf is looked for.
    """
    # PERF: a loop, since it looks at each document that is shown.
    value = as_object(value)
    if isinstance(value, dict):
        for name, below in tree.items():
            if name in value and (not below or holds(value[name], below)):
                return True
        return False
    return isinstance(value, list) and any(holds(item, tree) for item in value)


def _pick(value: Any, tree: dict[str, Any]) -> Any:
    if not tree:
        return value
    value = as_object(value)
    if isinstance(value, dict):
        picked = ((name, _pick(item, tree[name])) for name, item in value.items() if name in tree)
        return {name: item for name, item in picked if item is not MISSING}
    if isinstance(value, list):
        return [item for item in (_pick(item, tree) for item in value) if item is not MISSING]
    return MISSING
