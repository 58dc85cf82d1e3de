"""Fields: what marshmallow's fields say, as JSON Schema, by apispec."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Mapping
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow.common import make_schema_key, resolve_schema_instance
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import EXCLUDE, INCLUDE
from marshmallow import fields as ma

from falcorest import fields
from falcorest.openapi.components import Components, Schema, title_of
from falcorest.openapi.values import BASE64, INT64_BOUNDS, KEY, sent_value

OBJECT_ID: Schema = {"type": "string", "pattern": "^[0-9a-fA-F]{24}$"}
_DECIMAL: Schema = {
    "type": "string",
    "pattern": r"^-?([0-9]{1,34}|[0-9]{1,17}\.[0-9]{1,17})([eE][+-]?[0-9]{1,3})?$",
}
_TIME: Schema = {
    "type": "string",
    "pattern": r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?$",
}
_NUMBER: Schema = {"type": "number", **INT64_BOUNDS}

#: What apispec doesn't know of a field, or knows differently than falcorest stores and shows it:
#: as it is shown, and as it is sent. The first kind that fits counts.
KINDS: tuple[tuple[type[Any], Schema, Schema], ...] = (
    (fields.ObjectId, OBJECT_ID, OBJECT_ID),
    (fields.Decimal128, {"type": "string"}, {"anyOf": [_DECIMAL, _NUMBER]}),
    (fields.Binary, BASE64, BASE64),
    (ma.Decimal, {"type": "string"}, {"anyOf": [_DECIMAL, _NUMBER]}),
    (ma.Integer, {"type": "integer"}, {"type": "integer", **INT64_BOUNDS}),
    (ma.AwareDateTime, {}, {}),
    # NOTE: it is shown as it is stored, without an offset, which that format has to have.
    (ma.DateTime, {"format": None}, {}),
    (ma.Time, {}, _TIME),
    (ma.IPInterface, {"type": "string"}, {"type": "string"}),
)


class Fields(OpenAPIConverter):
    """Converts fields, for what is shown or for what is sent.

    Args:
        spec: What the description is put together in.
        components: Where nested schemas are put.
        sent: Whether it is what a client sends; else what is shown.
    """

    def __init__(self, spec: APISpec, components: Components, *, sent: bool) -> None:
        super().__init__("3.1.0", lambda schema: None, spec)
        self._components = components
        self._sent = sent

    def property(self, field: ma.Field[Any]) -> Schema:
        """Return what a field says."""
        schema: Schema = self.field2property(field)
        return schema

    def field2property(self, field: ma.Field[Any]) -> Schema:
        """Return what a field says; apispec calls this for what is inside of a field."""
        schema: Schema = super().field2property(field)
        for kind, shown, sent in KINDS:
            if isinstance(field, kind):
                own = dict(sent if self._sent else shown)
                if field.allow_none and "type" in own:
                    own["type"] = [own["type"], "null"]
                elif field.allow_none and "anyOf" in own:
                    own["anyOf"] = [*own["anyOf"], {"type": "null"}]
                if "anyOf" in own:
                    schema.pop("type", None)
                # NOTE: what the field itself says of a range is narrower.
                schema = {**own, **schema, **{name: own[name] for name in _OWN if name in own}}
                break
        if isinstance(field, ma.Tuple):
            schema["prefixItems"] = [self.field2property(one) for one in field.tuple_fields]
            schema |= {"type": "array", "items": False, "minItems": len(field.tuple_fields)}
        if self._sent and isinstance(field, ma.Mapping):
            schema["propertyNames"] = {"pattern": KEY}
            if not schema.get("additionalProperties"):
                schema["additionalProperties"] = sent_value(self._components)
        if self._sent and type(field) in {ma.Field, ma.Raw} and "type" not in schema:
            schema |= sent_value(self._components)
        return {name: _plain(one) for name, one in schema.items() if one is not None}

    def resolve_nested_schema(self, schema: Any) -> Schema:
        """Return a reference to what a nested schema says."""
        instance = resolve_schema_instance(schema)
        name = title_of(type(instance).__name__.removesuffix("Schema"))
        key = (make_schema_key(instance), self._sent)
        wanted = f"New{name}" if self._sent else name
        found = self._components.schema(wanted, lambda: self._object(instance), key)
        return {"type": "array", "items": found} if instance.many else found

    def merged(self, field: ma.Field[Any]) -> Schema:
        """Return what a field takes in a merge patch, null for its end aside."""
        if not isinstance(field, ma.Nested) or field.many or field.schema.many:
            return self.property(field)
        schema = field.schema
        name = f"{title_of(type(schema).__name__.removesuffix('Schema'))}MergePatch"

        def make() -> Schema:
            known = {
                name if one.data_key is None else one.data_key: (one, ending(self.merged(one), one))
                for name, one in schema.load_fields.items()
            }
            return self.object(known, partial=True) | self.unknown(schema)

        return self._components.schema(name, make, (make_schema_key(schema), "merge"))

    def _object(self, schema: Any) -> Schema:
        known = schema.load_fields if self._sent else schema.dump_fields
        described = self.object(
            {
                name if field.data_key is None else field.data_key: (field, None)
                for name, field in known.items()
            },
            partial=schema.partial is True,
        )
        return described | self.unknown(schema) if self._sent else described

    def object(
        self, named: Mapping[str, tuple[ma.Field[Any], Schema | None]], *, partial: bool
    ) -> Schema:
        """Return the schema of an object.

        Args:
            named: Its fields by API names, each with a schema if that isn't the field's own.
            partial: Whether anything may be missing.
        """
        described: Schema = {
            "type": "object",
            "properties": {
                name: self.property(field) if schema is None else schema
                for name, (field, schema) in named.items()
            },
        }
        required = [name for name, (field, _) in named.items() if field.required]
        if self._sent and required and not partial:
            described["required"] = required
        return described

    @staticmethod
    def unknown(schema: Any) -> Schema:
        """Return what becomes of fields that a schema doesn't know."""
        if schema.unknown == EXCLUDE:
            return {}
        return {"additionalProperties": schema.unknown == INCLUDE}


_OWN = ("type", "format", "pattern", "anyOf", "contentEncoding")

_PLAIN: dict[type, Callable[[Any], Any]] = {decimal.Decimal: float}


def _plain(value: Any) -> Any:
    return _PLAIN.get(type(value), lambda same: same)(value)


def ending(schema: Schema, field: ma.Field[Any]) -> Schema:
    """Return a schema that takes null as well, where a merge patch may take a field away."""
    takes = [schema, *schema.get("anyOf", ())]
    if field.required or any("null" in one.get("type", ()) for one in takes):
        return schema
    return {"anyOf": [schema, {"type": "null"}]}


def nullable(schema: Schema, field: ma.Field[Any] | None) -> Schema:
    """Return a schema that takes null as well, where a field does."""
    if field is None or not field.allow_none:
        return schema
    return {"anyOf": [schema, {"type": "null"}]}
