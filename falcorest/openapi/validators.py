"""Validators: the ``$jsonSchema`` of a collection, as JSON Schema of what is sent and shown.

Source: https://www.mongodb.com/docs/manual/reference/operator/query/jsonSchema/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from falcorest import bson_json, plain_json
from falcorest.openapi.components import Components, Schema
from falcorest.openapi.values import of_type, sent_value
from falcorest.paths import Tree

#: What says the same in JSON Schema 2020-12.
_SAME = (
    *("title", "description", "minLength", "maxLength", "pattern", "multipleOf"),
    *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
)
_RANGES = {"minimum": "exclusiveMinimum", "maximum": "exclusiveMaximum"}
#: What limits how few there are, which doesn't hold for a part of a document.
_WHOLE_ONLY = frozenset({"minProperties", "maxProperties"})


class Validator:
    """Translates what a validator says.

    Args:
        components: Where the schemas of Extended JSON are put.
        sent: Whether it is for what clients send; else for what they see, of which a projection
            may leave out anything.
        plain: Whether what they see is plain JSON.
    """

    def __init__(self, components: Components, *, sent: bool, plain: bool = False) -> None:
        self._components = components
        self._sent = sent
        self._plain = plain and not sent

    def translate(self, said: Any, hidden: Tree, readonly: Tree) -> Schema:
        """Return what a validator says of a value.

        Args:
            said: The validator, or what it says of a field.
            hidden: The fields below that are neither shown nor taken.
            readonly: Those that are shown and not taken.
        """
        if not isinstance(said, Mapping):
            return sent_value(self._components) if self._sent else {}
        # APPSEC: what is said of a whole with something hidden in it may tell of that.
        whole = not hidden and not (self._sent and readonly)
        schema = {
            name: said[name]
            for name in _SAME
            if name in said and (whole or name not in ("title", "description"))
            if self._sent or name not in _WHOLE_ONLY
        }
        self._add_ranges(schema, said)
        self._add_fields(schema, said, hidden, readonly)
        self._add_items(schema, said, hidden, readonly)
        if whole and "enum" in said:
            schema["enum"] = orjson.loads(self._dumps(said["enum"]))
        for name in ("allOf", "anyOf", "oneOf"):
            members = said.get(name)
            if isinstance(members, list):
                schema[name if whole or name == "allOf" else "anyOf"] = [
                    self.translate(member, hidden, readonly) for member in members
                ]
        if whole and self._sent and "not" in said:
            schema["not"] = self.translate(said["not"], hidden, readonly)
        return self._typed(schema, said)

    @property
    def _dumps(self) -> Callable[[Any], bytes]:
        return plain_json.dumps if self._plain else bson_json.dumps

    def _typed(self, schema: Schema, said: Mapping[str, Any]) -> Schema:
        names = said.get("bsonType", said.get("type"))
        if names is None:
            return schema or (sent_value(self._components) if self._sent else {})
        names = [names] if isinstance(names, str) else list(names)
        kinds = [
            kind
            for name in names
            for kind in of_type(self._components, name, sent=self._sent, plain=self._plain)
        ]
        if len(kinds) == 1 and "$ref" not in kinds[0]:
            return {**kinds[0], **schema}
        if not schema and len(kinds) == 1:
            return kinds[0]
        if "anyOf" in schema:
            return {"allOf": [{"anyOf": kinds}, schema]}
        return {"anyOf": kinds, **schema}

    def _add_ranges(self, schema: Schema, said: Mapping[str, Any]) -> None:
        for name, exclusive in _RANGES.items():
            if isinstance(said.get(name), (int, float)):
                # NOTE: MongoDB follows draft 4, where it is a flag.
                schema[exclusive if said.get(exclusive) is True else name] = said[name]

    def _add_fields(
        self, schema: Schema, said: Mapping[str, Any], hidden: Tree, readonly: Tree
    ) -> None:
        fields = said.get("properties")
        left_out = {name for name, below in hidden.items() if not below}
        if self._sent:
            left_out |= {name for name, below in readonly.items() if not below}
        if isinstance(fields, Mapping):
            schema["properties"] = {
                name: self._field(name, one, hidden, readonly)
                for name, one in fields.items()
                if name not in left_out
            }
        required = said.get("required")
        if self._sent and isinstance(required, list):
            # NOTE: a document gets an _id where it has none.
            names = [name for name in required if name not in left_out and name != "_id"]
            schema |= {"required": names} if names else {}
        if hidden or readonly:
            return
        if isinstance(said.get("patternProperties"), Mapping):
            schema["patternProperties"] = {
                pattern: self.translate(one, {}, {})
                for pattern, one in said["patternProperties"].items()
            }
        others = said.get("additionalProperties")
        if others is not None:
            plain = isinstance(others, bool)
            schema["additionalProperties"] = others if plain else self.translate(others, {}, {})

    def _field(self, name: str, said: Any, hidden: Tree, readonly: Tree) -> Schema:
        below = readonly.get(name)
        schema = self.translate(said, hidden.get(name, {}), below or {})
        return {**schema, "readOnly": True} if below == {} else schema

    def _add_items(
        self, schema: Schema, said: Mapping[str, Any], hidden: Tree, readonly: Tree
    ) -> None:
        items = said.get("items")
        if isinstance(items, list):
            schema["prefixItems"] = [self.translate(one, hidden, readonly) for one in items]
            rest = said.get("additionalItems")
            if rest is not None:
                plain = isinstance(rest, bool)
                schema["items"] = rest if plain else self.translate(rest, hidden, readonly)
        elif items is not None:
            schema["items"] = self.translate(items, hidden, readonly)
