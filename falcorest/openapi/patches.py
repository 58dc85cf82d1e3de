"""Patches: the bodies that change one document by what is in it."""

from __future__ import annotations

from falcorest.openapi.components import Components, Schema
from falcorest.openapi.values import KEY, sent_json, sent_value
from falcorest.patches import OPERATIONS

_POINTER: Schema = {"type": "string", "pattern": "^(/([^~/]|~[01])*)*$"}
#: One that leads to what may be stored: no part is empty, begins with a dollar sign or has a dot.
_PLACE: Schema = {"type": "string", "pattern": r"^(/([^~/$.\u0000]|~[01])([^~/.\u0000]|~[01])*)+$"}


def merge_patch(components: Components, most: int) -> Schema:
    """Return a reference to the schema of a merge patch of a document without a schema.

    Args:
        components: Where it is put.
        most: The most fields that it may name, at all depths.
    """

    def make() -> Schema:
        return {
            "type": "object",
            "description": "A merge patch (RFC 7396): fields and their new values, null for those "
            "to take away. What is an object is merged with the one that is there.",
            "propertyNames": {"pattern": KEY},
            "additionalProperties": sent_value(components),
            "maxProperties": most,
        }

    return components.schema("MergePatch", make, ("MergePatch", most))


def json_patch(components: Components, most: int, *, free: bool) -> Schema:
    """Return a reference to the schema of a JSON Patch.

    Args:
        components: Where it is put.
        most: The most operations that it may have.
        free: Whether documents have no schema.
    """

    def make() -> Schema:
        value = sent_value(components) if free else sent_json(components)
        place = _PLACE if free else _POINTER
        properties = {"path": place, "value": value, "from": place}
        return {
            "type": "array",
            "description": "A JSON Patch (RFC 6902), done in order, all or nothing.",
            "maxItems": most,
            "items": {
                "oneOf": [
                    {
                        "type": "object",
                        "required": ["op", *needed],
                        "properties": {
                            "op": {"const": op},
                            **{name: properties[name] for name in needed},
                        },
                        "additionalProperties": sent_json(components),
                    }
                    for op, needed in OPERATIONS.items()
                ],
                "discriminator": {"propertyName": "op"},
            },
        }

    return components.schema("JSONPatch", make, ("JSONPatch", most, free))
