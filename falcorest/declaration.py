"""Declaration: what a Resource class says, checked and compiled once.

Fields have three names. The *schema name* is that of the attribute on the schema. The *stored
name* is the field's ``attribute``, else the schema name; it may be a dotted path. The *API name* is
what clients see: the entry in ``rename_fields``, else the field's ``data_key``, else the schema
name.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import marshmallow
from marshmallow import fields as ma

from falcorest.attributes import Attributes, has_schema
from falcorest.dialects.suffix import CONTROLS, DeclaredFilter, Sort
from falcorest.errors import ConfigurationError
from falcorest.fields import Reference
from falcorest.hints import HINTS, format_id, parse_id
from falcorest.operators import Operator
from falcorest.query import Document, Filter
from falcorest.schema import Schema, to_bson
from falcorest.serializer import DumpPlan

EMBEDDED = "embedded"
REFERENCE = "reference"
REVERSE = "reverse"

#: What a Resource has methods for, and so no computed field can be called.
_HOOKS = frozenset(
    (
        *("get_fields", "get_optional_fields", "get_max_limit", "get_objects", "get_object"),
        *("validate_request", "create_object", "update_object", "delete_object", "serialize"),
        *("handle_serialization_error", "has_read_permission", "has_add_permission"),
        *("has_change_permission", "has_delete_permission", "policy"),
    )
)

#: How many selections of fields a resource keeps compiled.
MAX_SELECTIONS = 256


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


class Declaration:
    """What a Resource class says.

    Args:
        resource: The class.
        known: The declarations that are being made, by class; relations may run in circles.

    Raises:
        ConfigurationError: Something is wrong; every problem names the class and the attribute.
    """

    def __init__(
        self, resource: type[Attributes], known: dict[type[Attributes], Declaration]
    ) -> None:
        self.resource = resource
        self._known = known
        self._known[resource] = self
        self._problems: list[str] = []
        self._selections: dict[tuple[str, ...], Selection] = {}

        self.fields: dict[str, ma.Field[Any]] = {}
        self.stored: dict[str, str] = {}
        self.api: dict[str, str] = {}
        self.has_schema = has_schema(resource)
        self._read_names()
        self.relations: dict[str, Relation] = {}
        self.children: dict[str, type[Attributes]] = {}
        self._read_relations()
        self._read_children()
        self._require_unique_names()
        self.by_api = {api: name for name, api in self.api.items()}
        #: The schema names that are shown unless a request says otherwise.
        self.shown = self._read_shown()
        self.saved = self._read_saved()
        self._raise()

        self._dump_schema = self._derive_schema(dumping=True)
        self._load_schema = self._derive_schema(dumping=False)
        self.load_schema = None if self._load_schema is None else self._load_schema()
        #: The stored names of what a body may hold, and those of them that are dotted paths.
        loaded = {} if self.load_schema is None else self.load_schema.load_fields
        self.loaded = tuple(loaded)
        self.stored_loaded = tuple(self.stored[name] for name in loaded)
        self.paths = tuple(path for path in self.stored_loaded if "." in path)
        #: The API names of what a body may hold, and of what it may only send back.
        self.loaded_names = frozenset(self.api[name] for name in loaded)
        self.read_only = frozenset(self.by_api) - self.loaded_names
        #: The API name of the ``_id``.
        id_names = [name for name, path in self.stored.items() if path == "_id"]
        self.id_name = self.api[id_names[0]] if id_names else "id"
        self._id_field = self.fields[id_names[0]] if id_names else None
        self.filters: dict[str, DeclaredFilter] = {}
        self.ordering: dict[str, Sort] = {}
        self._read_filters()
        self._read_ordering()
        self._raise()

    # ------------------------------------------------------------------------------ problems

    def _wrong(self, attribute: str, problem: str) -> None:
        self._problems.append(f"{self.resource.__name__}.{attribute}: {problem}")

    def _raise(self) -> None:
        if self._problems:
            raise ConfigurationError(*self._problems)

    # --------------------------------------------------------------------------------- names

    def _read_names(self) -> None:
        resource = self.resource
        if resource.schema is not None:
            self.fields = dict(resource.schema().fields)
        for name, field in self.fields.items():
            self.stored[name] = field.attribute if field.attribute is not None else name
            self.api[name] = field.data_key if field.data_key is not None else name
        # NOTE: what isn't a field of the schema is computed, or a reverse relation.
        for name in (*(resource.fields or ()), *resource.related_resources_hints):
            if name not in self.api and name not in self.api.values():
                self.api[name] = name
        for name, api in resource.rename_fields.items():
            if name not in self.api:
                self._wrong("rename_fields", f"there is no field {name!r}.")
            else:
                self.api[name] = api

    def _require_unique_names(self) -> None:
        owners: dict[str, str] = {}
        for name, api in self.api.items():
            if api in owners:
                self._wrong(
                    "rename_fields", f"{owners[api]!r} and {name!r} both have the name {api!r}."
                )
            owners[api] = name

    def _read_shown(self) -> tuple[str, ...]:
        resource = self.resource
        if resource.fields is None:
            return (*self.fields, *resource.related_resources_hints)
        return tuple(self._in_order(self._named("fields", resource.fields)))

    def _named(self, attribute: str, names: Iterable[str]) -> Iterator[str]:
        for given in names:
            name = self.name_of(given)
            if name is None:
                self._wrong(
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
        computes = getattr(self.resource, name, None)
        if name.startswith("_") or not callable(computes) or name in _HOOKS:
            return None
        return name

    def require_name(self, given: str) -> str:
        """Return the schema name that a schema name or an API name means.

        Raises:
            ConfigurationError: There is none.
        """
        name = self.name_of(given)
        if name is None:
            self._wrong("get_fields", f"there is no field {given!r}.")
            self._raise()
        return str(name)

    def by_api_or(self, given: str) -> str:
        """Return the schema name of an API name, or the name itself."""
        return next((name for name, api in self.api.items() if api == given), given)

    def _in_order(self, names: Iterable[str]) -> list[str]:
        wanted = dict.fromkeys(names)
        return [
            *(name for name in self.fields if name in wanted),
            *(name for name in wanted if name not in self.fields),
        ]

    def _read_saved(self) -> frozenset[str]:
        names = self.resource.save_related_fields
        for name in names:
            relation = self.relations.get(name)
            if relation is None or relation.kind != REFERENCE:
                self._wrong(
                    "save_related_fields", f"{name!r} is no reference in related_resources."
                )
        return frozenset(names)

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
                self._wrong("related_resources", f"there is no field {name!r}.")
        for name in hints:
            if name in self.fields:
                self._wrong("related_resources_hints", f"{name!r} is a field of the schema.")
            elif name not in self.resource.related_resources:
                self._wrong("related_resources_hints", f"{name!r} isn't in related_resources.")

    def _resource(self, attribute: str, name: str, given: Any) -> type[Attributes] | None:
        """Return a resource that is named as a class, or by a function that returns it."""
        if not isinstance(given, type) and callable(given):
            given = given()
        if not isinstance(given, type) or not issubclass(given, Attributes):
            self._wrong(attribute, f"{name!r}: {given!r} is no Resource.")
            return None
        return given

    def _add_relation(self, name: str, related: type[Attributes]) -> None:
        field = self.fields[name]
        many = isinstance(field, ma.List)
        leaf = field.inner if isinstance(field, ma.List) else field
        if isinstance(leaf, ma.Nested):
            kind = EMBEDDED
            many = many or bool(leaf.many)
            if related.collection is not None:
                problem = f"{related.__name__} has a collection, and the field embeds documents."
                self._wrong("related_resources", f"{name!r}: {problem}")
            if "has_read_permission" in related.overridden:
                problem = f"{related.__name__} is embedded and can't have a read permission."
                self._wrong("related_resources", f"{name!r}: {problem}")
        elif isinstance(leaf, Reference):
            kind = REFERENCE
            if related.collection != leaf.collection:
                problem = (
                    f"{related.__name__} shows the collection {related.collection!r}, "
                    f"and the field refers to {leaf.collection!r}."
                )
                self._wrong("related_resources", f"{name!r}: {problem}")
        else:
            self._wrong(
                "related_resources", f"{name!r} is neither an embedded document nor a reference."
            )
            return
        if related.schema is None and not related.child_document_resources:
            self._wrong("related_resources", f"{name!r}: {related.__name__} has no schema.")
            return
        self.relations[name] = Relation(
            name, self.api[name], self.stored[name], kind, many, related
        )

    def _add_reverse(self, name: str, related: type[Attributes], hint: str) -> None:
        fields = related.schema().fields if related.schema is not None else {}
        if related.collection is None or hint not in fields:
            self._wrong(
                "related_resources_hints",
                f"{name!r}: {related.__name__} has no field {hint!r} that refers to this one.",
            )
            return
        stored = fields[hint].attribute or hint
        self.relations[name] = Relation(name, self.api[name], stored, REVERSE, True, related)

    def declaration_of(self, related: type[Attributes]) -> Declaration:
        """Return the declaration of another resource, made if need be."""
        if related not in self._known:
            Declaration(related, self._known)
        return self._known[related]

    # -------------------------------------------------------------------------- polymorphism

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
                self._wrong(
                    "child_document_resources",
                    f"{key!r}: {child.__name__} needs a schema, and no collection of its own.",
                )
            else:
                self.children[key] = child
        if given and resource.type_field is None:
            self._wrong("type_field", "child_document_resources need one.")
        default = resource.default_child_resource_document
        if default is not None and default not in resource.child_document_resources:
            self._wrong(
                "default_child_resource_document",
                f"{default!r} is none of child_document_resources.",
            )

    # ------------------------------------------------------------------------------- schemas

    def _derive_schema(self, *, dumping: bool) -> type[marshmallow.Schema] | None:
        """Return a schema with the API names, and the schemas of other resources inside."""
        own = self.resource.schema
        if own is None:
            return None
        bases = (own,) if issubclass(own, Schema) else (own, Schema)
        attributes: dict[str, Any] = {"Meta": type("Meta", (own.Meta,), {"register": False})}
        for name in self.fields:
            field = copy.copy(own._declared_fields[name])
            field.data_key = self.api[name]
            relation = self.relations.get(name)
            if relation is not None and relation.kind == EMBEDDED:
                field = self._derive_embedded(field, relation, dumping=dumping)
            elif relation is not None and not dumping:
                field = self._derive_reference(field, relation)
            attributes[name] = field
        return type(own.__name__, bases, attributes)

    def _is_plain_inside(self, name: str, inside: tuple[Declaration, ...]) -> bool:
        relation = self.relations[name]
        related = self.declaration_of(relation.resource)
        return relation.kind == EMBEDDED and related._is_plain((*inside, self))

    def _derive_reference(self, field: Any, relation: Relation) -> Any:
        related = self.declaration_of(relation.resource)

        def accept(leaf: Any) -> Any:
            leaf.id_name = related.id_name
            leaf.uri_prefix = relation.resource.uri_prefix
            return leaf

        return _on_leaf(field, accept)

    def _derive_embedded(self, field: Any, relation: Relation, *, dumping: bool) -> Any:
        related = self.declaration_of(relation.resource)
        if dumping and not self._is_folded(relation):
            return ma.Raw(attribute=field.attribute, data_key=field.data_key)

        def nest(leaf: Any) -> Any:
            leaf.only, leaf.exclude, leaf._schema = None, (), None
            if dumping:
                # NOTE: by a function, since relations may run in circles.
                leaf.nested = lambda: related._dumping(related.shown)
            else:
                leaf.nested = lambda: related._load_schema
            return leaf

        return _on_leaf(field, nest)

    def _is_folded(self, relation: Relation) -> bool:
        """Tell whether a relation needs no more than a schema inside of the schema."""
        return relation.kind == EMBEDDED and self.declaration_of(relation.resource)._is_plain(())

    def _is_plain(self, inside: tuple[Declaration, ...]) -> bool:
        """Tell whether the schema alone says how documents are shown."""
        changed = self.resource.overridden & {
            *("serialize", "handle_serialization_error", "get_fields", "get_optional_fields"),
        }
        if changed or self.children or self in inside:
            return False
        return all(
            name in self.fields
            and (name not in self.relations or self._is_plain_inside(name, inside))
            for name in self.shown
        )

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
        ordered = self._in_order(map(self.require_name, names))
        plan = None
        if self._dump_schema is not None:
            plan = DumpPlan(self._dumping(ordered))
        relations = tuple(
            self.relations[name]
            for name in ordered
            if name in self.relations and not self._is_folded(self.relations[name])
        )
        hints = self.resource.related_resources_hints
        computed = tuple(
            (self.api.get(name, name), name)
            for name in ordered
            if name not in self.fields and name not in hints
        )
        projection = None
        hooks = {"serialize", "handle_serialization_error", "get_objects", "get_object"}
        if plan is not None and not computed and not self.resource.overridden & hooks:
            projection = plan.stored
        if self.children:
            projection = None
        return Selection(plan, relations, computed, projection)

    def _dumping(self, names: Iterable[str]) -> marshmallow.Schema:
        assert self._dump_schema is not None
        shown = [name for name in names if name in self.fields and not self.fields[name].load_only]
        return self._dump_schema(only=shown)

    def convert_id(self, given: Any) -> Any:
        """Return the ``_id`` that is meant in a URL or a body.

        Raises:
            ValueError: It can't be one.
        """
        if self._id_field is not None:
            plain = given.removesuffix("/") if isinstance(given, str) else given
            return _field_converter(self._id_field)(plain)
        if not isinstance(given, str):
            raise ValueError
        return parse_id(given)

    def format_id(self, identity: Any) -> str | None:
        """Return the path segment that names an ``_id``; None if there is none."""
        if self._id_field is None:
            return format_id(identity)
        plan = self.select((self.by_api[self.id_name],)).plan
        assert plan is not None
        return quote(str(plan.dump({"_id": identity})[self.id_name]), safe="")

    # -------------------------------------------------------------------------------- kinds

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
        name = str(self.resource.type_field)
        if key == self.resource.default_child_resource_document:
            return {name: {"$nin": [other for other in self.children if other != key]}}
        return {name: key}

    @functools.cached_property
    def kind_name(self) -> str:
        """The API name of the discriminator."""
        for child in self.children.values():
            for name, path in declaration_of(child).stored.items():
                if path == self.resource.type_field:
                    return declaration_of(child).api[name]
        return str(self.resource.type_field)

    def key_of(self, child: type[Any]) -> str:
        """Return the discriminator of a child resource."""
        return next(key for key, kind in self.children.items() if kind is child)

    # -------------------------------------------------------------------- filters and ordering

    def _read_filters(self) -> None:
        for path, operators in self.resource.filters.items():
            found = self.resolve(path)
            if found is None:
                self._wrong("filters", f"there is no field {path!r}.")
                continue
            stored, field = found
            if isinstance(operators, type) or not isinstance(operators, (list, tuple)):
                self._wrong("filters", f"{path!r}: a list of operators is expected.")
                continue
            for given in operators:
                operator = given() if isinstance(given, type) else given
                if not isinstance(operator, Operator):
                    self._wrong("filters", f"{path!r}: {given!r} is no operator.")
                elif field.load_only:
                    self._wrong("filters", f"{path!r} is never shown, so no filter may tell it.")
                else:
                    self._add_filter(path, stored, field, operator)

    def _add_filter(self, path: str, stored: str, field: ma.Field[Any], operator: Operator) -> None:
        base = path.replace(".", "__")
        convert = _converter(field, operator)
        if convert is None:
            self._wrong("filters", f"{path!r}: {operator.op} takes a single value, not an object.")
            return
        names = [(f"{base}__{operator.op}", False)]
        if operator.bare:
            names.append((base, False))
        if operator.allow_negation:
            names.append((f"{base}__not__{operator.op}", True))
        for name, negate in names:
            other = self.filters.get(name)
            if name in CONTROLS or (other is not None and other.stored != stored):
                self._wrong("filters", f"{path!r}: the name {name!r} is taken.")
            elif other is None or name != base:
                self.filters[name] = DeclaredFilter(operator, stored, convert, negate)

    def _read_ordering(self) -> None:
        for entry in self.resource.allowed_ordering:
            sort: list[tuple[str, int]] = []
            for word in entry.split(","):
                found = self.resolve(word.removeprefix("-"))
                if found is None or found[1].load_only:
                    self._wrong("allowed_ordering", f"there is no field {word!r} to order by.")
                else:
                    sort.append((found[0], -1 if word.startswith("-") else 1))
            self.ordering[entry] = tuple(sort)

    def resolve(self, path: str) -> tuple[str, ma.Field[Any]] | None:
        """Return the stored path and the field behind a path of API names.

        Args:
            path: With ``__`` or dots between its parts; lists don't count.
        """
        path = path.replace(".", "__")
        for api in sorted(self.by_api, key=len, reverse=True):
            name = self.by_api[api]
            field = self.fields.get(name)
            if field is None or not (path == api or path.startswith(f"{api}__")):
                continue
            relation = self.relations.get(name)
            if relation is None or relation.kind != EMBEDDED:
                return _resolve_below(field, self.stored[name], path[len(api) :])
            if path == api:
                return self.stored[name], field
            below = self.declaration_of(relation.resource).resolve(path[len(api) + 2 :])
            return None if below is None else (f"{self.stored[name]}.{below[0]}", below[1])
        for child in self.children.values():
            found = self.declaration_of(child).resolve(path)
            if found is not None:
                return found
        return None


def _resolve_below(
    field: ma.Field[Any], stored: str, rest: str
) -> tuple[str, ma.Field[Any]] | None:
    """Resolve a path through the schemas that a field nests."""
    leaf = _leaf(field)
    if isinstance(leaf, (ma.Method, ma.Function, ma.Constant)):
        return None
    if not rest:
        return stored, leaf
    if not isinstance(leaf, ma.Nested):
        return None
    rest = rest.removeprefix("__")
    inner = leaf.schema.fields
    names = {field.data_key or name: name for name, field in inner.items()}
    for api in sorted(names, key=len, reverse=True):
        if rest == api or rest.startswith(f"{api}__"):
            field = inner[names[api]]
            below = f"{stored}.{field.attribute or names[api]}"
            return _resolve_below(field, below, rest[len(api) :])
    return None


def _leaf(field: ma.Field[Any]) -> ma.Field[Any]:
    while isinstance(field, ma.List):
        field = field.inner
    return field


def _on_leaf(field: Any, change: Callable[[Any], Any]) -> Any:
    """Change a copied field, or a copy of what is in it if it is a list."""
    if isinstance(field, ma.List):
        field.inner = change(copy.copy(field.inner))
        return field
    return change(field)


def _converter(field: ma.Field[Any], operator: Operator) -> Callable[[str], Any] | None:
    """Return what turns the text in a query string into a value to compare with."""
    if operator.takes == "str":
        return str
    if operator.takes == "bool":
        return _field_converter(field if isinstance(field, ma.Boolean) else ma.Boolean())
    if operator.takes in HINTS:
        return HINTS[operator.takes].parse
    return None if isinstance(field, (ma.Nested, ma.Mapping)) else _field_converter(field)


def _field_converter(field: ma.Field[Any]) -> Callable[[str], Any]:
    """Return what the field makes of a text. Its validators are for what is stored."""
    field = copy.copy(field)
    field.validators = []

    def convert(text: str) -> Any:
        try:
            return to_bson(field.deserialize(text))
        except marshmallow.ValidationError as error:
            raise ValueError(" ".join(map(str, error.messages))) from error

    return convert


def declare(resource: type[Attributes]) -> Declaration:
    """Check what a Resource class says, and the resources that it is related to.

    Raises:
        ConfigurationError: Something is wrong; every problem names the class and the attribute.
    """
    known: dict[type[Attributes], Declaration] = {}
    declaration = Declaration(resource, known)
    for one, said in known.items():
        one.declaration = said
    return declaration


def declaration_of(resource: type[Attributes]) -> Declaration:
    """Return what a Resource class says, checked and compiled."""
    declaration: Declaration | None = resource.declaration
    return declare(resource) if declaration is None else declaration
