"""Shapes: what documents of declared resources look like, as they are shown and sent."""

from __future__ import annotations

from enum import Enum
from typing import Any

from apispec import APISpec
from marshmallow import fields as ma

from falcorest.caller import caller_of
from falcorest.declaration import Declaration, declaration_of
from falcorest.naming import EMBEDDED, REFERENCE, REVERSE, Relation
from falcorest.openapi.components import Components, Schema, title_of
from falcorest.openapi.fields import OBJECT_ID, Fields, ending, nullable
from falcorest.openapi.values import sent_json
from falcorest.reading import Reader
from falcorest.schema import leaf_of


class Shapes:
    """What documents look like to one caller.

    Args:
        spec: What the description is put together in.
        components: Where the shapes are put.
    """

    def __init__(self, spec: APISpec, components: Components) -> None:
        self._components = components
        self._shown_fields = Fields(spec, components, sent=False)
        self._sent_fields = Fields(spec, components, sent=True)

    # ---------------------------------------------------------------------------------- shown

    def shown(self, reader: Reader) -> Schema:
        """Return a reference to the shape of the documents that a reader shows."""
        kind = type(reader.resource)
        make = self._kinds if reader.declaration.children else self._object
        return self._components.schema(_title(kind), lambda: make(reader), (kind, "shown"))

    def _kinds(self, reader: Reader) -> Schema:
        declaration, ours = reader.declaration, reader.resource
        children: dict[str, Any] = declaration.children
        of_kinds = {
            key: self.shown(Reader(child(ours.req, ours.view_method, ours.service), None, 1))
            for key, child in children.items()
        }
        # NOTE: not oneOf, since _fields may leave out what tells them apart.
        schema: Schema = {"anyOf": list(of_kinds.values())}
        if ours.schema is not None:
            own = self._components.schema(
                f"Other{_title(type(ours))}", lambda: self._object(reader), (type(ours), "other")
            )
            schema["anyOf"].append(own)
        name = declaration.kind_name
        if all(name in self._names_of(child) for child in declaration.children.values()):
            schema["discriminator"] = _discriminator(name, of_kinds)
        return schema

    def _names_of(self, kind: Any) -> set[str]:
        declaration = declaration_of(kind)
        return {declaration.api.get(name, name) for name in declaration.shown}

    def _object(self, reader: Reader) -> Schema:
        declaration = reader.declaration
        properties: Schema = {}
        for api, name in reader.available().items():
            relation = declaration.relations.get(name)
            field = declaration.fields.get(name)
            if relation is not None:
                properties[api] = self._shown_relation(reader, relation, field)
            elif field is not None:
                properties[api] = self._shown_fields.property(field)
            else:
                properties[api] = _computed(getattr(reader.resource, name))
        return {"type": "object", "properties": properties}

    def _shown_relation(
        self, reader: Reader, relation: Relation, field: ma.Field[Any] | None
    ) -> Schema:
        related = reader.related(relation)
        if relation.kind == EMBEDDED:
            one = nullable(self.shown(related), leaf_of(field) if field else None)
        elif not related.service.policy.may_read(caller_of(reader.resource.req)):
            # APPSEC: what the caller may not read is null, and not told of here either.
            one = {"type": "null"}
        elif related.resource.uri_prefix is not None:
            one = {"type": "string", "format": "uri-reference"}
        else:
            one = {"anyOf": [self.shown(related), {"type": "string"}]}
        if relation.many:
            one = {"type": "array", "items": one}
            one = nullable(one, field)
        elif relation.kind == REFERENCE and one != {"type": "null"}:
            # NOTE: what it refers to may be gone.
            one = {"anyOf": [one, {"type": "null"}]}
        if relation.kind == REVERSE or (field is not None and field.dump_only):
            one = {**one, "readOnly": True}
        return one

    # ----------------------------------------------------------------------------------- sent

    def sent(self, kind: Any, way: Way) -> Schema:
        """Return a reference to the shape of a body.

        Args:
            kind: The resource.
            way: What the body is for.
        """
        make = self._sent_kinds if declaration_of(kind).children else self._sent_object
        return self._components.schema(way.called(kind), lambda: make(kind, way), (kind, way))

    def _sent_kinds(self, kind: Any, way: Way) -> Schema:
        declaration = declaration_of(kind)
        name, default = declaration.kind_name, kind.default_child_resource_document
        of_kinds = {}
        for key, child in declaration.children.items():

            def make(key: str = key, child: Any = child) -> Schema:
                schema = self._sent_object(child, way)
                schema["properties"] = {**schema["properties"], name: {"const": key}}
                required = schema.pop("required", [])
                required = required if way.partial or key == default else [name, *required]
                return schema | ({"required": required} if required else {})

            of_kinds[key] = self._components.schema(way.called(child), make, (child, kind, way))
        schema: Schema = {"anyOf" if way.partial else "oneOf": list(of_kinds.values())}
        if default is None and not way.partial:
            schema["discriminator"] = _discriminator(name, of_kinds)
        return schema

    def _sent_object(self, kind: Any, way: Way) -> Schema:
        declaration = declaration_of(kind)
        schema = declaration.load_schema
        assert schema is not None
        named = {
            field.data_key if field.data_key is not None else name: (
                field,
                self._sent_field(declaration, name, field, way),
            )
            for name, field in schema.load_fields.items()
        }
        described = self._sent_fields.object(named, partial=way.partial) | Fields.unknown(schema)
        if way is Way.INSIDE:
            described["properties"] = {declaration.id_name: OBJECT_ID, **described["properties"]}
        return described

    def _sent_field(
        self, declaration: Declaration, name: str, field: ma.Field[Any], way: Way
    ) -> Schema | None:
        own = self._sent_relation(declaration, name, field, way)
        if way is not Way.MERGE:
            return own
        return ending(self._sent_fields.merged(field) if own is None else own, field)

    def _sent_relation(
        self, declaration: Declaration, name: str, field: ma.Field[Any], way: Way
    ) -> Schema | None:
        relation = declaration.relations.get(name)
        if relation is None:
            return None
        if relation.kind == EMBEDDED:
            merged = way is Way.MERGE and not relation.many
            one = self.sent(relation.resource, Way.MERGE if merged else Way.NEW)
            one = nullable(one, leaf_of(field)) if relation.many else one
        else:
            saved = name in declaration.saved and way is not Way.MANY
            one = self._sent_reference(relation, saved=saved)
        if not relation.many:
            return nullable(one, field)
        around = self._sent_fields.property(field) if isinstance(field, ma.List) else {}
        return nullable({**around, "type": "array", "items": one}, field)

    def _sent_reference(self, relation: Relation, *, saved: bool) -> Schema:
        if saved:
            return {"anyOf": [OBJECT_ID, self.sent(relation.resource, Way.INSIDE)]}
        name = declaration_of(relation.resource).id_name
        known = {
            "type": "object",
            "properties": {name: OBJECT_ID},
            "required": [name],
            "additionalProperties": sent_json(self._components),
        }
        return {"anyOf": [OBJECT_ID, known]}


class Way(Enum):
    """What a body is for, and how its shape is called.

    Attributes:
        NEW: A new document, or a whole one.
        CHANGE: Fields of one document.
        MERGE: A merge patch of one document, where null takes a field away.
        MANY: Fields of many documents, where references are ids.
        INSIDE: A document in the place of a reference to it, where it may name its id.
    """

    NEW = "New{}"
    CHANGE = "{}Changes"
    MERGE = "{}MergePatch"
    MANY = "{}ChangesOfMany"
    INSIDE = "New{}Inside"

    @property
    def partial(self) -> bool:
        """Whether it may lack required fields."""
        return self in {Way.CHANGE, Way.MERGE, Way.MANY}

    def called(self, kind: type[Any]) -> str:
        """Return how the shape of a resource's documents is called."""
        return self.value.format(_title(kind))


def _title(kind: Any) -> str:
    return title_of(kind.__name__.removesuffix("Resource") or kind.__name__)


def _discriminator(name: str, of_kinds: dict[str, Schema]) -> Schema:
    mapping = {key: reference["$ref"] for key, reference in of_kinds.items()}
    return {"propertyName": name, "mapping": mapping}


_ANNOTATIONS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def _computed(method: Any) -> Schema:
    """Return what is known of a computed field: by the annotation of its method."""
    given = method.__annotations__.get("return")
    kind = _ANNOTATIONS.get(given if isinstance(given, str) else getattr(given, "__name__", ""))
    schema: Schema = {"type": kind} if kind else {}
    return {**schema, "readOnly": True}
