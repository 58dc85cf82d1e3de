"""Selecting: which fields are shown and loaded, and the schemas compiled for it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import marshmallow
from marshmallow import fields as ma

from falcorest.naming import EMBEDDED, Names, Relation
from falcorest.schema import KindField, derive
from falcorest.serializer import DumpPlan

#: The hooks that have a say in how a document is shown.
_SHOWING = ("serialize", "handle_serialization_error", "get_fields", "get_optional_fields")

#: How many selections of fields a resource keeps compiled.
MAX_SELECTIONS = 256


@dataclass(frozen=True, slots=True)
class Selection:
    """The fields that are shown to one request, and how.

    Attributes:
        plan: Dumps the fields of the schema.
        relations: What is then shown through other resources.
        computed: API names, and the methods of the resource that give the values.
        projection: The stored names that are read, or None for whole documents.
    """

    plan: DumpPlan | None
    relations: tuple[Relation, ...]
    computed: tuple[tuple[str, str], ...]
    projection: tuple[str, ...] | None


class Selector:
    """The schemas of a resource, and what is selected from them.

    Args:
        names: Those of the resource.
        of: Returns the selector of a related resource.
    """

    def __init__(self, names: Names, of: Callable[[type[Any]], Selector]) -> None:
        self._names = names
        self._of = of
        self._selections: dict[tuple[str, ...], Selection] = {}
        self._dump_schema = self._derive(dumping=True)
        self._load_schema = self._derive(dumping=False)
        #: What loads a body; None without a schema.
        self.load_schema = None if self._load_schema is None else self._load_schema()

    def _derive(self, *, dumping: bool) -> type[marshmallow.Schema] | None:
        """Return a schema with the API names, and the schemas of other resources inside."""
        own = self._names.resource.schema
        if own is None:
            return None
        fields: dict[str, Any] = {}
        for name in self._names.fields:
            field = copy.copy(own._declared_fields[name])
            field.data_key = self._names.api[name]
            relation = self._names.relations.get(name)
            if relation is not None and relation.kind == EMBEDDED:
                field = self._derive_embedded(field, relation, dumping=dumping)
            elif relation is not None and not dumping:
                field = self._derive_reference(field, relation)
            fields[name] = field
        schema: type[marshmallow.Schema] = derive(own, fields)
        return schema

    def _derive_reference(self, field: Any, relation: Relation) -> Any:
        related = self._names.of(relation.resource)

        def accept(leaf: Any) -> Any:
            leaf.id_name = related.id_name
            leaf.uri_prefix = relation.resource.uri_prefix
            return leaf

        return _on_leaf(field, accept)

    def _derive_embedded(self, field: Any, relation: Relation, *, dumping: bool) -> Any:
        if dumping and not _is_folded(self._names, relation):
            return ma.Raw(attribute=field.attribute, data_key=field.data_key)

        def load_kind(value: Any) -> Any:
            return self._of(relation.resource).load_kind(value)

        if not dumping and self._names.of(relation.resource).children:
            return _on_leaf(field, lambda leaf: KindField(leaf, load_kind))

        def nest(leaf: Any) -> Any:
            leaf.only, leaf.exclude, leaf._schema = None, (), None
            # NOTE: by a function, since relations may run in circles.
            leaf.nested = lambda: self._of(relation.resource)._nested(dumping=dumping)
            return leaf

        return _on_leaf(field, nest)

    def load_kind(self, value: Any) -> Any:
        """Load an embedded document by the schema of its kind."""
        if not isinstance(value, Mapping):
            raise marshmallow.ValidationError("Invalid type.")
        names = self._names
        key = names.pick_kind(value, None, new=True)
        assert key is not None
        schema = self._of(names.children[key]).load_schema
        assert schema is not None
        if names.kind_name not in {field.data_key for field in schema.load_fields.values()}:
            value = {api: item for api, item in value.items() if api != names.kind_name}
        return {**schema.load(value), str(names.resource.type_field): key}

    # ----------------------------------------------------------------------------- selection

    def select(self, names: tuple[str, ...]) -> Selection:
        """Return how to show some fields, compiled.

        Args:
            names: Schema names, or API names.

        Raises:
            ConfigurationError: One of them isn't there.
        """
        selection = self._selections.get(names)
        if selection is None:
            if len(self._selections) >= MAX_SELECTIONS:
                self._selections.clear()
            selection = self._selections[names] = self._compile(names)
        return selection

    def _compile(self, names: tuple[str, ...]) -> Selection:
        ordered = self._names.in_order(map(self._names.require_name, names))
        plan = None
        if self._dump_schema is not None:
            plan = DumpPlan(self._dumping(ordered))
        relations = tuple(
            self._names.relations[name]
            for name in ordered
            if name in self._names.relations
            and not _is_folded(self._names, self._names.relations[name])
        )
        hints = self._names.resource.related_resources_hints
        computed = tuple(
            (self._names.api.get(name, name), name)
            for name in ordered
            if name not in self._names.fields and name not in hints
        )
        projection = None
        hooks = {"serialize", "handle_serialization_error", "get_objects", "get_object"}
        if plan is not None and not computed and not self._names.resource.overridden & hooks:
            projection = plan.stored
        if self._names.children:
            projection = None
        elif projection is not None and not projection:
            projection = ("_id",)
        return Selection(plan, relations, computed, projection)

    def _nested(self, *, dumping: bool) -> Any:
        return self._dumping(self._names.shown) if dumping else self._load_schema

    def _dumping(self, names: Iterable[str]) -> marshmallow.Schema:
        assert self._dump_schema is not None
        shown = [
            name
            for name in names
            if name in self._names.fields and not self._names.fields[name].load_only
        ]
        return self._dump_schema(only=shown)


def _is_folded(names: Names, relation: Relation) -> bool:
    """Tell whether a relation needs no more than a schema inside of the schema."""
    return relation.kind == EMBEDDED and _is_plain(names.of(relation.resource), (names,))


def _is_plain(names: Names, around: tuple[Names, ...]) -> bool:
    """Tell whether the schema alone says how documents are shown."""
    if names in around or names.children or names.resource.overridden.intersection(_SHOWING):
        return False
    return all(
        name in names.fields
        and (
            name not in names.relations
            or (
                names.relations[name].kind == EMBEDDED
                and _is_plain(names.of(names.relations[name].resource), (*around, names))
            )
        )
        for name in names.shown
    )


def _on_leaf(field: Any, change: Callable[[Any], Any]) -> Any:
    """Change a copied field, or a copy of what is in it if it is a list."""
    if isinstance(field, ma.List):
        field.inner = change(copy.copy(field.inner))
        return field
    return change(field)
