"""Updates applied to plain documents, as MongoDB applies them.

The in-memory mode changes documents with this. It knows the operators of
:data:`falcorest.updates.UPDATE_OPERATORS` and no others, and refuses what MongoDB refuses, with
MongoDB's error codes.

Source: https://www.mongodb.com/docs/manual/reference/operator/update/
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Context, Decimal, localcontext
from functools import partial
from typing import Any, NoReturn, TypeAlias

import bson
from bson import DBRef, Decimal128, Int64, Timestamp
from bson.decimal128 import create_decimal128_context
from pymongo.errors import WriteError

from falcorest.bson_json import INT64
from falcorest.memory.bson_order import MISSING, Order, as_object, order, type_name
from falcorest.memory.matching import field_matcher, is_condition, matcher
from falcorest.query import Document

_Parts: TypeAlias = tuple[str, ...]
_Update: TypeAlias = dict[str, Any]

_BAD_VALUE = 2
_TYPE_MISMATCH = 14
_PATH_NOT_VIABLE = 28
_CANNOT_BACKFILL = 34
_CONFLICTING_UPDATE = 40
_IMMUTABLE_FIELD = 66

_INDEX = re.compile(r"0*[0-9]{1,10}")
_MAX_PADDING = 1_500_000


def check_update(update: _Update) -> None:
    """Refuse an update that MongoDB applies to no document at all.

    Raises:
        WriteError: Two parts of it change the same path, or ``$rename`` leads nowhere else.
    """
    taken: list[_Parts] = []
    for operator, arguments in update.items():
        for path, argument in arguments.items():
            taken.append(_split(path))
            if operator == "$rename":
                if _overlap(_split(path), _split(argument)):
                    _require_apart(taken)
                    _refuse(_BAD_VALUE)
                taken.append(_split(argument))
    _require_apart(taken)


def _require_apart(paths: list[_Parts]) -> None:
    # PERF: in order, what a path leads on to stands right behind it.
    ordered = sorted(paths)
    if any(map(_overlap, ordered, ordered[1:])):
        _refuse(_CONFLICTING_UPDATE)


def apply_update(document: Document, update: _Update) -> Document:
    """Return a document as an update leaves it.

    Args:
        document: It isn't changed.
        update: One that :func:`check_update` lets pass.

    Raises:
        WriteError: MongoDB refuses to change the document like this.
        NotImplementedError: An operator isn't known here.
    """
    changed: Document = copy_value(document)
    for path, operator, argument in sorted(_changes(update), key=_place_in_order):
        _apply(changed, _split(path), operator, argument)
        if bson.encode({"": changed.get("_id")}) != bson.encode({"": document["_id"]}):
            _refuse(_IMMUTABLE_FIELD)
    return changed


def counts_as_change(update: _Update) -> bool:
    """Tell whether MongoDB counts a document as modified even if it stays the same.

    It does where something is pushed to a list or the list sorted.
    """
    pushed = update.get("$push", {}).values()
    return any("$sort" in argument or bool(argument["$each"]) for argument in map(_each, pushed))


def copy_value(value: Any) -> Any:
    """Return a copy of a value, down to the values that can't be changed.

    A DBRef is given as the object that it is stored as.
    """
    value = as_object(value)
    if isinstance(value, dict):
        return {name: copy_value(item) for name, item in value.items()}
    if isinstance(value, list):
        return [copy_value(item) for item in value]
    return value


def _refuse(code: int) -> NoReturn:
    raise WriteError("the update is refused", code)


def _changes(update: _Update) -> Iterator[tuple[str, str, Any]]:
    for operator, arguments in update.items():
        for path, argument in arguments.items():
            if operator == "$rename":
                yield argument, operator, path
            else:
                yield path, operator, argument


def _place_in_order(change: tuple[str, str, Any]) -> list[tuple[bool, int, str]]:
    """MongoDB goes by the names of the fields, and by number where these are numbers."""
    return [
        (False, int(part), "") if _is_index(part) else (True, 0, part) for part in _split(change[0])
    ]


# ---------------------------------------------------------------------------------------- paths


def _split(path: str) -> _Parts:
    return tuple(path.split("."))


def _overlap(one: _Parts, other: _Parts) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _is_index(part: str) -> bool:
    return _INDEX.fullmatch(part) is not None and int(part) < 2**32


def _reach(value: Any, parts: _Parts) -> tuple[Any, _Parts]:
    """Return the innermost value on a path that is there, and the parts beyond it."""
    for depth, part in enumerate(parts):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and _is_index(part) and int(part) < len(value):
            value = value[int(part)]
        else:
            return value, parts[depth:]
    return value, ()


def _require_viable(innermost: Any, rest: _Parts) -> None:
    """Refuse a path that leads on through what is neither an object nor, by index, a list."""
    by_index = isinstance(innermost, list) and _is_index(rest[0])
    if not isinstance(innermost, dict) and not by_index:
        _refuse(_PATH_NOT_VIABLE)


def _put(document: Document, parts: _Parts, value: Any) -> None:
    parent, rest = _reach(document, parts[:-1])
    first, *others = (*rest, parts[-1])
    for part in reversed(others):
        value = {part: value}
    if isinstance(parent, dict):
        parent[first] = value
        return
    padding = int(first) - len(parent)
    if padding > _MAX_PADDING:
        _refuse(_CANNOT_BACKFILL)
    parent.extend([None] * (padding + 1))
    parent[int(first)] = value


def _remove(document: Document, parts: _Parts) -> None:
    parent, _ = _reach(document, parts[:-1])
    if isinstance(parent, dict):
        del parent[parts[-1]]
    else:
        parent[int(parts[-1])] = None


# ------------------------------------------------------------------------------------ operators


def _apply(document: Document, parts: _Parts, operator: str, argument: Any) -> None:
    if operator == "$rename":
        _rename(document, _split(argument), parts)
        return
    if operator not in _CREATING and operator not in _CHANGING and operator != "$unset":
        raise NotImplementedError(operator)
    value, rest = _reach(document, parts)
    if operator == "$unset":
        if not rest:
            _remove(document, parts)
        return
    if rest:
        _require_viable(value, rest)
        value = MISSING
    if operator in _CREATING:
        _put(document, parts, _CREATING[operator](value, argument))
    elif not rest:
        _put(document, parts, _CHANGING[operator](value, argument))


def _rename(document: Document, source: _Parts, target: _Parts) -> None:
    value, rest = _reach(document, source)
    if rest:
        _require_viable(value, rest)
        return
    for parts in (source, target):
        if any(isinstance(_reach(document, parts[:end])[0], list) for end in range(1, len(parts))):
            _refuse(_BAD_VALUE)
    innermost, rest = _reach(document, target)
    if rest:
        _require_viable(innermost, rest)
    if target == ("_id",):
        _refuse(_IMMUTABLE_FIELD)
    _put(document, target, value)
    _remove(document, source)


def _set(value: Any, argument: Any) -> Any:
    return copy_value(argument)


def _current_date(value: Any, argument: Any) -> Any:
    if argument == {"$type": "timestamp"}:
        return Timestamp(int(time.time()), 1)
    return datetime.now(UTC).replace(tzinfo=None)


def _inc(value: Any, argument: Any) -> Any:
    return argument if value is MISSING else _calculate(value, argument, lambda a, b: a + b)


def _mul(value: Any, argument: Any) -> Any:
    return _calculate(0 if value is MISSING else value, argument, lambda a, b: a * b)


def _calculate(one: Any, other: Any, calculation: Callable[[Any, Any], Any]) -> Any:
    if isinstance(one, bool) or not isinstance(one, (int, float, Decimal128)):
        _refuse(_TYPE_MISMATCH)
    result = _in_wider_type(one, other, calculation)
    # NOTE: -0 isn't made 0, nor 1.0 into 1.00.
    unchanged = type_name(result) == type_name(one) and order(result) == order(one)
    return one if unchanged else result


def _in_wider_type(one: Any, other: Any, calculation: Callable[[Any, Any], Any]) -> Any:
    """Calculate with two numbers; from narrow to wide the types are int, long, double, decimal."""
    if isinstance(one, Decimal128) or isinstance(other, Decimal128):
        with localcontext(_DECIMAL128):
            return Decimal128(calculation(_as_decimal(one), _as_decimal(other)))
    if isinstance(one, float) or isinstance(other, float):
        return calculation(float(one), float(other))
    result = calculation(int(one), int(other))
    if result not in INT64:
        _refuse(_BAD_VALUE)
    return Int64(result) if isinstance(one, Int64) or isinstance(other, Int64) else result


_DECIMAL128: Context = create_decimal128_context()


def _as_decimal(number: Any) -> Decimal:
    if isinstance(number, Decimal128):
        return number.to_decimal()
    if isinstance(number, float):
        # NOTE: MongoDB takes 15 digits of a double into a calculation, but one of a zero.
        return Decimal(f"{number:.14e}" if number else f"{number:.0f}")
    return Decimal(int(number))


def _min(value: Any, argument: Any) -> Any:
    replaces = value is MISSING or order(argument) < order(value)
    return copy_value(argument) if replaces else value


def _max(value: Any, argument: Any) -> Any:
    replaces = value is MISSING or order(argument) > order(value)
    return copy_value(argument) if replaces else value


def _each(argument: Any) -> dict[str, Any]:
    """Return the argument of ``$push`` or ``$addToSet`` in its long form."""
    if isinstance(argument, dict) and "$each" in argument:
        return argument
    return {"$each": [argument]}


def _list(value: Any, code: int = _BAD_VALUE) -> list[Any]:
    if value is MISSING:
        return []
    if not isinstance(value, list):
        _refuse(code)
    return value


def _push(value: Any, argument: Any) -> Any:
    items = list(_list(value))
    modifiers = _each(argument)
    position = modifiers.get("$position", len(items))
    items[position:position] = copy_value(modifiers["$each"])
    if "$sort" in modifiers:
        items = _sorted(items, modifiers["$sort"])
    limit = modifiers.get("$slice", len(items))
    return items[:limit] if limit >= 0 else items[limit:]


def _sorted(items: list[Any], sort: Any) -> list[Any]:
    if not isinstance(sort, dict):
        return sorted(items, key=order, reverse=sort < 0)
    for path, direction in reversed(sort.items()):
        items = sorted(items, key=partial(_order_at, _split(path)), reverse=direction < 0)
    return items


def _order_at(parts: _Parts, item: Any) -> Order:
    value, rest = _reach(item, parts) if isinstance(item, dict) else (None, parts)
    return order(MISSING if rest else value)


def _add_to_set(value: Any, argument: Any) -> Any:
    items = list(_list(value))
    present = {order(item) for item in items}
    for item in _each(argument)["$each"]:
        if order(item) not in present:
            present.add(order(item))
            items.append(copy_value(item))
    return items


def _pull(value: Any, argument: Any) -> Any:
    pulled = _pulled(argument)
    return [item for item in _list(value) if not pulled(item)]


def _pulled(argument: Any) -> Callable[[Any], bool]:
    if isinstance(argument, DBRef) or not isinstance(argument, dict):
        return lambda item: order(item) == order(argument)
    if is_condition(argument):
        holds = field_matcher("item", argument)
        return lambda item: holds({"item": item})
    matches = matcher(argument)
    return lambda item: isinstance(item, dict) and matches(item)


def _pull_all(value: Any, argument: Any) -> Any:
    pulled = {order(item) for item in argument}
    return [item for item in _list(value) if order(item) not in pulled]


def _pop(value: Any, argument: Any) -> Any:
    items = _list(value, _TYPE_MISMATCH)
    return items[:-1] if argument > 0 else items[1:]


#: Operators that make a field where there is none.
_CREATING: dict[str, Callable[[Any, Any], Any]] = {
    "$set": _set,
    "$inc": _inc,
    "$mul": _mul,
    "$min": _min,
    "$max": _max,
    "$currentDate": _current_date,
    "$push": _push,
    "$addToSet": _add_to_set,
}
#: Operators that change only what is there.
_CHANGING: dict[str, Callable[[Any, Any], Any]] = {
    "$pull": _pull,
    "$pullAll": _pull_all,
    "$pop": _pop,
}
