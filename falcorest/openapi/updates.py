"""Updates: the bodies that change documents without a schema."""

from __future__ import annotations

from collections.abc import Callable

from falcorest.bson_json import INT32
from falcorest.openapi.components import Components, Schema
from falcorest.openapi.values import extended, of_type, sent_value
from falcorest.updates import UPDATE_OPERATORS

#: The dotted path of a field.
PATH = r"^[^.$\u0000][^.\u0000]*(\.[^.$\u0000][^.\u0000]*)*$"

_INT32: Schema = {"type": "integer", "minimum": INT32.start, "maximum": INT32.stop - 1}
_DIRECTION: Schema = {"enum": [1, -1]}


def _value(components: Components) -> Schema:
    return sent_value(components)


def _anything(components: Components) -> Schema:
    return {}


def _number(components: Components) -> Schema:
    numbers = of_type(components, "number", sent=True)
    return {"anyOf": [*numbers, extended(components, "NumberLong")]}


def _path(components: Components) -> Schema:
    return {"type": "string", "pattern": PATH}


def _now(components: Components) -> Schema:
    kinds = [{"$type": "date"}, {"$type": "timestamp"}]
    return {"enum": [True, *kinds]}


def _list(components: Components) -> Schema:
    return {"type": "array", "items": sent_value(components)}


def _pushed(components: Components) -> Schema:
    modified = {
        "$each": _list(components),
        "$position": _INT32,
        "$slice": _INT32,
        "$sort": {
            "anyOf": [
                _DIRECTION,
                {
                    "type": "object",
                    "minProperties": 1,
                    "propertyNames": {"pattern": PATH},
                    "additionalProperties": _DIRECTION,
                },
            ]
        },
    }
    return {"anyOf": [sent_value(components), _modifiers(modified)]}


def _added(components: Components) -> Schema:
    return {"anyOf": [sent_value(components), _modifiers({"$each": _list(components)})]}


def _modifiers(properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": ["$each"],
        "additionalProperties": False,
    }


def _pulled(components: Components) -> Schema:
    value = sent_value(components, patterns=False)
    several: Schema = {"type": "array", "items": value}
    one = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")
    conditions: Schema = {
        "type": "object",
        "minProperties": 1,
        "properties": {
            **dict.fromkeys(one, value),
            **dict.fromkeys(("$in", "$nin"), several),
        },
        "additionalProperties": False,
    }
    return {"anyOf": [value, conditions]}


def _end(components: Components) -> Schema:
    return _DIRECTION


#: What each update operator takes for a field.
ARGUMENTS: dict[str, Callable[[Components], Schema]] = {
    "$set": _value,
    "$unset": _anything,
    "$inc": _number,
    "$mul": _number,
    "$min": _value,
    "$max": _value,
    "$rename": _path,
    "$currentDate": _now,
    "$push": _pushed,
    "$pull": _pulled,
    "$pullAll": _list,
    "$pop": _end,
    "$addToSet": _added,
}


def operators(components: Components, most: int) -> Schema:
    """Return a reference to the schema of a body of update operators.

    Args:
        components: Where it is put.
        most: The most fields that it may name.
    """

    def make() -> Schema:
        return {
            "type": "object",
            "description": "Update operators, each with the fields that it changes. A name may "
            f"be a dotted path. All of them together may name {most} fields.",
            "minProperties": 1,
            "properties": {
                name: {
                    "type": "object",
                    "propertyNames": {"pattern": PATH},
                    "additionalProperties": ARGUMENTS[name](components),
                    "maxProperties": most,
                }
                for name in UPDATE_OPERATORS
            },
            "additionalProperties": False,
        }

    return components.schema("UpdateOperators", make, ("UpdateOperators", most))


def fields(components: Components, most: int) -> Schema:
    """Return a reference to the schema of a body that names fields and their new values.

    Args:
        components: Where it is put.
        most: The most fields that it may name.
    """

    def make() -> Schema:
        return {
            "type": "object",
            "description": "Fields and their new values; the others stay as they are. A name may "
            "be a dotted path.",
            "propertyNames": {"pattern": PATH},
            "additionalProperties": sent_value(components),
            "maxProperties": most,
        }

    return components.schema("FieldsToSet", make, ("FieldsToSet", most))
