"""Names: what the fields of a resource are called, and what they lead to.

Fields have three names. The *schema name* is that of the attribute on the schema. The *stored
name* is the field's ``attribute``, else the schema name; it may be a dotted path. The *API name* is
what clients see: the entry in ``rename_fields``, else the field's ``data_key``, else the schema
name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from marshmallow import ValidationError
from marshmallow import fields as ma

from falcorest.attributes import Attributes, has_schema
from falcorest.errors import ConfigurationError
from falcorest.fields import Reference
from falcorest.query import Document, Filter

EMBEDDED = "embedded"
REFERENCE = "reference"
REVERSE = "reverse"

#: The hooks that matter where a resource shows embedded documents.
_EMBEDDED_HOOKS = (
    *("get_fields", "get_optional_fields", "serialize", "handle_serialization_error"),
)

#: What a Resource has methods for, and so no computed field can be called.
_HOOKS = frozenset(
    (
        *("get_fields", "get_optional_fields", "get_max_limit", "get_objects", "get_object"),
        *("validate_request", "create_object", "update_object", "delete_object", "serialize"),
        *("handle_serialization_error", "has_read_permission", "has_add_permission"),
        *("has_change_permission", "has_delete_permission", "compiled_policy"),
        "compiled_indexes",
    )
)


@dataclass(frozen=True, slots=True)
class Relation:
    """A field that is shown through another resource.

    Attributes:
        name: Schema name of the field, or the name of the reverse relation.
        api: API name.
        stored: Stored name of the field; of a reverse relation, that of the field in the
            related documents.
        kind: ``embedded``, ``reference`` or ``reverse``.
        many: Whether there is a list of them.
        resource: The other resource.
    """

    name: str
    api: str
    stored: str
    kind: str
    many: bool
    resource: type[Attributes]


class NotYet(ConfigurationError):
    """A function that returns a resource can't do so yet; when the view is registered, it can."""


class Names:
    """What a Resource class says of names and of other resources.

    Args:
        resource: The class.
        known: Those that are being made, by class; relations may run in circles.
    """

    def __init__(self, resource: type[Attributes], known: dict[type[Attributes], Any]) -> None:
        self.resource = resource
        self.known = known
        known[resource] = self
        self._problems: list[str] = []
        self.has_schema = has_schema(resource)
        #: The fields of the schema, their stored names, and the API names, by schema names.
        self.fields: dict[str, ma.Field[Any]] = {}
        self.stored: dict[str, str] = {}
        self.api: dict[str, str] = {}
        self._read_names()
        self.relations: dict[str, Relation] = {}
        #: The resources of kinds of documents, by discriminator.
        self.children: dict[str, type[Attributes]] = {}
        self._read_relations()
        self._read_children()
        self._require_unique_names()
        #: Schema names by API names, and API names by stored names.
        self.by_api = {api: name for name, api in self.api.items()}
        self.by_stored = {path: self.api[name] for name, path in self.stored.items()}
        #: The schema names that are shown unless a request says otherwise.
        self.shown = self._read_shown()
        #: The schema names of references in whose place objects are written.
        self.saved = self._read_saved()
        ids = [name for name, path in self.stored.items() if path == "_id"]
        #: The API name of the ``_id``, and its field if there is one.
        self.id_name = self.api[ids[0]] if ids else "id"
        self.id_field = self.fields[ids[0]] if ids else None
        self.require_no_problems()
        for related in self._resources():
            if related not in known:
                type(self)(related, known)

    def _resources(self) -> Iterator[type[Attributes]]:
        yield from self.children.values()
        for relation in self.relations.values():
            yield relation.resource

    def of(self, related: type[Attributes]) -> Self:
        """Return the names of a related resource."""
        names: Self = self.known[related]
        return names

    # ------------------------------------------------------------------------------ problems

    def wrong(self, attribute: str, problem: str) -> None:
        """Note a problem with what the class says."""
        self._problems.append(f"{self.resource.__name__}.{attribute}: {problem}")

    def require_no_problems(self) -> None:
        """Refuse the class if there are any problems.

        Raises:
            ConfigurationError: Every problem names the class and the attribute.
        """
        if self._problems:
            raise ConfigurationError(*self._problems)

    # --------------------------------------------------------------------------------- names

    def _read_names(self) -> None:
        resource = self.resource
        if resource.schema is not None:
            try:
                self.fields = dict(resource.schema().fields)
            except ValueError as error:
                self.wrong("schema", str(error))
        for name, field in self.fields.items():
            self.stored[name] = field.attribute if field.attribute is not None else name
            self.api[name] = field.data_key if field.data_key is not None else name
        # NOTE: what isn't a field of the schema is computed, or a reverse relation.
        for name in (*(resource.fields or ()), *resource.related_resources_hints):
            if name not in self.api and name not in self.api.values():
                self.api[name] = name
        for name, api in resource.rename_fields.items():
            if name not in self.api and not self._computes(name):
                self.wrong("rename_fields", f"there is no field {name!r}.")
            elif not isinstance(api, str) or not api:
                self.wrong("rename_fields", f"{name!r}: a name is expected, not {api!r}.")
            else:
                self.api[name] = api

    def _require_unique_names(self) -> None:
        owners: dict[str, str] = {}
        for name, api in self.api.items():
            if api in owners:
                self.wrong(
                    "rename_fields", f"{owners[api]!r} and {name!r} both have the name {api!r}."
                )
            owners[api] = name

    def _require_apart(self) -> None:
        paths = sorted(
            self.stored[name] for name, field in self.fields.items() if not field.dump_only
        )
        for one in paths:
            for other in paths:
                if other.startswith(f"{one}."):
                    self.wrong("schema", f"{other!r} is stored inside of {one!r}.")

    def _read_shown(self) -> tuple[str, ...]:
        resource = self.resource
        if resource.fields is None:
            return (*self.fields, *resource.related_resources_hints)
        return tuple(self.in_order(self._named("fields", resource.fields)))

    def _named(self, attribute: str, names: Iterable[str]) -> Iterator[str]:
        for given in names:
            name = self.name_of(given)
            if name is None:
                self.wrong(
                    attribute,
                    f"{given!r} is neither a field of the schema nor a method of the resource "
                    "that takes a document.",
                )
            else:
                yield name

    def name_of(self, given: str) -> str | None:
        """Return the schema name that a schema name or an API name means, None if there is none."""
        name = given if given in self.fields else self.by_api_or(given)
        if name in self.fields or name in self.resource.related_resources_hints:
            return name
        return name if self._computes(name) else None

    def _computes(self, name: str) -> bool:
        """Tell whether the resource has a method of that name which is the author's own."""
        own = not name.startswith("_") and name not in _HOOKS
        return own and callable(getattr(self.resource, name, None))

    def require_name(self, given: str) -> str:
        """Return the schema name that a schema name or an API name means.

        Raises:
            ConfigurationError: There is none.
        """
        name = self.name_of(given)
        if name is None:
            self.wrong("get_fields", f"there is no field {given!r}.")
            self.require_no_problems()
        return str(name)

    def by_api_or(self, given: str) -> str:
        """Return the schema name of an API name, or the name itself."""
        return next((name for name, api in self.api.items() if api == given), given)

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Return schema names in the order of the schema, and other names behind them."""
        wanted = dict.fromkeys(names)
        return [
            *(name for name in self.fields if name in wanted),
            *(name for name in wanted if name not in self.fields),
        ]

    def _read_saved(self) -> tuple[str, ...]:
        names = self.resource.save_related_fields
        for name in names:
            relation = self.relations.get(name)
            if relation is None or relation.kind != REFERENCE:
                self.wrong("save_related_fields", f"{name!r} is no reference in related_resources.")
        return tuple(dict.fromkeys(names))

    # ----------------------------------------------------------------------------- relations

    def _read_relations(self) -> None:
        hints = self.resource.related_resources_hints
        for name, given in self.resource.related_resources.items():
            related = self._resource("related_resources", name, given)
            if related is None:
                continue
            if name in hints:
                self._add_reverse(name, related, hints[name])
            elif name in self.fields:
                self._add_relation(name, related)
            else:
                self.wrong("related_resources", f"there is no field {name!r}.")
        for name in hints:
            if name in self.fields:
                self.wrong("related_resources_hints", f"{name!r} is a field of the schema.")
            elif name not in self.resource.related_resources:
                self.wrong("related_resources_hints", f"{name!r} isn't in related_resources.")

    def _resource(self, attribute: str, name: str, given: Any) -> type[Attributes] | None:
        """Return a resource that is named as a class, or by a function that returns it."""
        if not isinstance(given, type) and callable(given):
            try:
                given = given()
            except Exception as error:
                problem = f"{name!r}: the function fails: {error!r}."
                raise NotYet(f"{self.resource.__name__}.{attribute}: {problem}") from error
        if not isinstance(given, type) or not issubclass(given, Attributes):
            self.wrong(attribute, f"{name!r}: {given!r} is no Resource.")
            return None
        return given

    def _kinds_of(self, name: str, related: type[Attributes]) -> Iterator[type[Attributes]]:
        """Yield a related resource, and those of its kinds of documents."""
        yield related
        for given in related.child_document_resources.values():
            kind = self._resource("related_resources", name, given)
            if kind is not None:
                yield kind

    def _add_relation(self, name: str, related: type[Attributes]) -> None:
        field = self.fields[name]
        many = isinstance(field, ma.List)
        leaf = field.inner if isinstance(field, ma.List) else field
        if isinstance(leaf, ma.Nested):
            kind = EMBEDDED
            many = many or bool(leaf.many)
            if related.collection is not None:
                problem = f"{related.__name__} has a collection, and the field embeds documents."
                self.wrong("related_resources", f"{name!r}: {problem}")
            for one in self._kinds_of(name, related):
                unused = sorted(one.overridden.difference(_EMBEDDED_HOOKS))
                said = ("save_related_fields", "policy", "indexes")
                unused += [what for what in said if getattr(one, what)]
                for what in unused:
                    problem = f"{one.__name__} is embedded, where {what} has no effect."
                    self.wrong("related_resources", f"{name!r}: {problem}")
        elif isinstance(leaf, Reference):
            kind = REFERENCE
            if related.collection != leaf.collection:
                problem = (
                    f"{related.__name__} shows the collection {related.collection!r}, "
                    f"and the field refers to {leaf.collection!r}."
                )
                self.wrong("related_resources", f"{name!r}: {problem}")
        else:
            self.wrong(
                "related_resources", f"{name!r} is neither an embedded document nor a reference."
            )
            return
        if related.schema is None and not related.child_document_resources:
            self.wrong("related_resources", f"{name!r}: {related.__name__} has no schema.")
            return
        self.relations[name] = Relation(
            name, self.api[name], self.stored[name], kind, many, related
        )

    def _add_reverse(self, name: str, related: type[Attributes], hint: str) -> None:
        fields: dict[str, ma.Field[Any]] = {}
        for kind in self._kinds_of(name, related):
            fields |= {} if kind.schema is None else kind.schema().fields
        if related.collection is None or hint not in fields:
            self.wrong(
                "related_resources_hints",
                f"{name!r}: {related.__name__} has no field {hint!r} that refers to this one.",
            )
            return
        stored = fields[hint].attribute or hint
        self.relations[name] = Relation(name, self.api[name], stored, REVERSE, True, related)

    # -------------------------------------------------------------------- kinds of documents

    def _read_children(self) -> None:
        resource = self.resource
        given = {
            key: self._resource("child_document_resources", key, one)
            for key, one in resource.child_document_resources.items()
        }
        # NOTE: a child that inherits from its parent inherits the children as well.
        if resource in given.values():
            return
        for key, child in given.items():
            if child is None:
                continue
            if child.schema is None or child.collection not in (None, resource.collection):
                self.wrong(
                    "child_document_resources",
                    f"{key!r}: {child.__name__} needs a schema, and no collection of its own.",
                )
            elif child.policy not in ({}, resource.policy):
                problem = f"{child.__name__}.policy has no effect; that of the collection holds."
                self.wrong("child_document_resources", f"{key!r}: {problem}")
            elif child.indexes not in ((), resource.indexes):
                problem = f"{child.__name__}.indexes has no effect; those of the collection hold."
                self.wrong("child_document_resources", f"{key!r}: {problem}")
            else:
                self.children[key] = child
        if given and resource.type_field is None:
            self.wrong("type_field", "child_document_resources need one.")
        default = resource.default_child_resource_document
        if default is not None and default not in resource.child_document_resources:
            self.wrong(
                "default_child_resource_document",
                f"{default!r} is none of child_document_resources.",
            )

    def kind_of(self, document: Document) -> str | None:
        """Return the kind of a stored document; None is that of this resource itself."""
        if not self.children:
            return None
        key = document.get(str(self.resource.type_field))
        if isinstance(key, str) and key in self.children:
            return key
        return self.resource.default_child_resource_document

    def kind_condition(self, key: str) -> Filter:
        """Return the condition that documents are of a kind."""
        if key != self.resource.default_child_resource_document:
            return self._has_kind(key)
        others = [self._has_kind(other) for other in self.children if other != key]
        return {"$nor": others} if others else {}

    def _has_kind(self, key: str) -> Filter:
        # NOTE: a list that holds the text isn't the text.
        name = str(self.resource.type_field)
        return {"$and": [{name: key}, {name: {"$not": {"$type": "array"}}}]}

    @property
    def kind_name(self) -> str:
        """The API name of the discriminator."""
        for child in self.children.values():
            for name, path in self.of(child).stored.items():
                if path == self.resource.type_field:
                    return self.of(child).api[name]
        return str(self.resource.type_field)

    def pick_kind(self, body: Mapping[str, Any], stored: str | None, *, new: bool) -> str | None:
        """Return the kind of document that a body is for.

        Args:
            body: API names.
            stored: The kind of the document that it changes.
            new: Whether there is none that it changes.

        Raises:
            marshmallow.ValidationError: There is no such kind, or it isn't that of the document.
        """
        name = self.kind_name
        if name not in body:
            key = self.resource.default_child_resource_document if new else stored
            if key is None and new:
                raise ValidationError({name: ["Missing data for required field."]})
            return key
        key = body[name]
        if not new and key != stored:
            raise ValidationError({name: ["It can't be changed."]})
        if not isinstance(key, str) or key not in self.children:
            raise ValidationError({name: [f"Must be one of: {', '.join(self.children)}."]})
        return key

    def key_of(self, child: type[Any]) -> str:
        """Return the discriminator of a child resource."""
        return next(key for key, kind in self.children.items() if kind is child)
