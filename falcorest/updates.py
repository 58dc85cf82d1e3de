"""Update operators: how the body of a PATCH becomes a MongoDB update.

Only the operators in :data:`UPDATE_OPERATORS` pass, each with the arguments that it takes and
nothing nested in them but what stands here. Field names are paths of plain names: positional
operators (``$``, ``$[]``) and pipelines aren't among them.

Source: https://www.mongodb.com/docs/manual/reference/operator/update/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bson import Decimal128, Regex

from falcorest.bson_json import MAX_DEPTH, decode, too_deep
from falcorest.errors import BodyError
from falcorest.query import Document, is_path

Update = dict[str, Any]

_COMPARISONS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin")


def is_update(body: dict[str, Any]) -> bool:
    """Tell whether the keys of a parsed body are operators.

    Raises:
        BodyError: Some are and some aren't.
    """
    operators = sum(key.startswith("$") for key in body)
    if operators and operators < len(body):
        raise _refuse("Plain fields and update operators can't stand side by side.")
    return operators > 0


def update_from_fields(fields: dict[str, Any]) -> Update:
    """Return the update that sets the fields of a parsed body; a key may be a dotted path."""
    if not fields:
        return {}
    return {"$set": {_path(path): _decode(value, path) for path, value in fields.items()}}


def update_from_operators(body: dict[str, Any]) -> Update:
    """Return the update that a parsed body of operators asks for.

    Raises:
        BodyError: An operator isn't allowed, or its argument is none that it takes.
    """
    update: Update = {}
    for operator, argument in body.items():
        convert = UPDATE_OPERATORS.get(operator)
        if convert is None:
            raise _refuse(
                f"There is no update operator {operator!r} here; "
                f"there are {', '.join(UPDATE_OPERATORS)}."
            )
        if type(argument) is not dict:
            raise _refuse(f"{operator} takes an object of paths and values.", operator)
        update[operator] = {
            _path(path): convert(operator, path, value) for path, value in argument.items()
        }
    return {operator: argument for operator, argument in update.items() if argument}


def _refuse(reason: str, *place: str) -> BodyError:
    return _error("body.invalid_update", reason, [reason], place)


def _error(code: str, reason: str, errors: Any, place: tuple[str, ...]) -> BodyError:
    for part in reversed(place):
        errors = {part: errors}
    return BodyError(code, reason, field_errors=errors if type(errors) is dict else None)


def _decode(value: Any, *place: str) -> Any:
    try:
        return decode(value)
    except BodyError as error:
        errors = error.field_errors or [error.detail]
        raise _error(error.code, error.detail, errors, place) from error


def _path(path: Any) -> str:
    if type(path) is not str or not is_path(path):
        raise BodyError(
            "body.invalid_key",
            f"{path!r} is not the path of a field: its parts may not be empty, start with a "
            "dollar sign or hold NUL.",
        )
    return path


def _value(operator: str, path: str, value: Any) -> Any:
    return _decode(value, operator, path)


def _unset(operator: str, path: str, value: Any) -> str:
    return ""


def _number(operator: str, path: str, value: Any) -> Any:
    number = _decode(value, operator, path)
    if isinstance(number, bool) or not isinstance(number, (int, float, Decimal128)):
        raise _refuse(f"{operator} takes a number for {path!r}.", operator, path)
    return number


def _rename(operator: str, path: str, value: Any) -> str:
    return _path(value)


def _current_date(operator: str, path: str, value: Any) -> Any:
    if value is True or value in ({"$type": "date"}, {"$type": "timestamp"}):
        return value
    raise _refuse(
        f'{operator} takes true, {{"$type": "date"}} or {{"$type": "timestamp"}} for {path!r}.',
        operator,
        path,
    )


def _push(operator: str, path: str, value: Any) -> Any:
    if type(value) is not dict or not any(key in _MODIFIERS for key in value):
        return _decode(value, operator, path)
    allowed = _MODIFIERS if operator == "$push" else {"$each": _is_list}
    for key, argument in value.items():
        if key not in allowed or not allowed[key](argument):
            raise _refuse(f"{operator} can't take {key!r} like this for {path!r}.", operator, path)
    if "$each" not in value:
        raise _refuse(f"{operator} needs $each beside its modifiers.", operator, path)
    return {**value, "$each": _decode(value["$each"], operator, path)}


def _is_list(value: Any) -> bool:
    return type(value) is list


def _is_whole(value: Any) -> bool:
    return type(value) is int


def _is_order(value: Any) -> bool:
    if type(value) is dict:
        return bool(value) and all(
            is_path(path) and _is_direction(order) for path, order in value.items()
        )
    return _is_direction(value)


def _is_direction(value: Any) -> bool:
    return type(value) is int and value in {1, -1}


_MODIFIERS: dict[str, Callable[[Any], bool]] = {
    "$each": _is_list,
    "$position": _is_whole,
    "$slice": _is_whole,
    "$sort": _is_order,
}


def _pull(operator: str, path: str, value: Any, depth: int = 1) -> Any:
    if depth > MAX_DEPTH:
        raise too_deep()
    if type(value) is dict:
        if any(key in _COMPARISONS for key in value):
            return _conditions(value, path)
        if value and not any(key.startswith("$") for key in value):
            # NOTE: MongoDB reads an object as a condition on the objects in the list.
            return {
                _path(part): _pull(operator, f"{path}.{part}", item, depth + 1)
                for part, item in value.items()
            }
    return _plain(_decode(value, operator, path), path)


def _conditions(conditions: Document, path: str) -> Document:
    result = {}
    for comparison, value in conditions.items():
        if comparison not in _COMPARISONS:
            raise _refuse(f"$pull knows no condition {comparison!r}.", "$pull", path)
        if comparison in {"$in", "$nin"} and type(value) is not list:
            raise _refuse(f"{comparison} takes a list.", "$pull", path)
        result[comparison] = _plain(_decode(value, "$pull", path), path)
    return result


def _plain(value: Any, path: str) -> Any:
    """Refuse a regular expression: $pull would not compare with it but match it."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Regex):
            raise _refuse("$pull can't take a regular expression.", "$pull", path)
        if isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return value


def _pull_all(operator: str, path: str, value: Any) -> Any:
    if type(value) is not list:
        raise _refuse(f"{operator} takes a list for {path!r}.", operator, path)
    return _decode(value, operator, path)


def _pop(operator: str, path: str, value: Any) -> int:
    if not _is_direction(value):
        raise _refuse(f"{operator} takes 1 or -1 for {path!r}.", operator, path)
    return int(value)


#: The update operators that a client may use, and how their arguments are read.
UPDATE_OPERATORS: dict[str, Callable[[str, str, Any], Any]] = {
    "$set": _value,
    "$unset": _unset,
    "$inc": _number,
    "$mul": _number,
    "$min": _value,
    "$max": _value,
    "$rename": _rename,
    "$currentDate": _current_date,
    "$push": _push,
    "$pull": _pull,
    "$pullAll": _pull_all,
    "$pop": _pop,
    "$addToSet": _push,
}
