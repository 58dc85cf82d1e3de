"""Declaration: what a Resource class says, checked and compiled once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from marshmallow import fields as ma

from falcorest.attributes import Attributes
from falcorest.dialects.suffix import DeclaredFilter, Sort
from falcorest.fields import ObjectId
from falcorest.filtering import field_converter, read_filters, read_ordering, resolve
from falcorest.hints import format_id, parse_id
from falcorest.loader import LoadPlan
from falcorest.naming import Names
from falcorest.schema import hides, leaf_of
from falcorest.selecting import Selection, Selector
from falcorest.stored import check_indexes

#: The hooks that have a say in what is shown of one document.
_SHOWING = frozenset(
    (
        *("get_object", "get_fields", "get_optional_fields"),
        *("serialize", "handle_serialization_error"),
    )
)


class Declaration(Names):
    """What a Resource class says.

    Attributes:
        filters: By the names of their parameters.
        ordering: What each word of ``_order_by`` sorts by.
        load_schema: Loads bodies; None without a schema.
        loaded: The schema names of what a body may hold.
        stored_loaded: Their stored names.
        paths: Those of them that are dotted paths.
        loaded_names: Their API names.
        read_only: The API names of what a body may only send back as it was read.
    """

    filters: dict[str, DeclaredFilter]
    ordering: dict[str, Sort]

    def compile(self) -> None:
        """Make what requests need. All resources that this one is related to are known now.

        Raises:
            ConfigurationError: Something is wrong with filters or ordering.
        """
        self.filters = read_filters(self)
        self.ordering = read_ordering(self)
        check_indexes(self)
        self.require_no_problems()
        self.selector = Selector(self, lambda related: self.of(related).selector)
        self.load_schema = self.selector.load_schema
        loaded = {} if self.load_schema is None else self.load_schema.load_fields
        self.loaded = tuple(loaded)
        self.stored_loaded = tuple(self.stored[name] for name in loaded)
        self.paths = tuple(path for path in self.stored_loaded if "." in path)
        self.loaded_names = frozenset(self.api[name] for name in loaded)
        self.read_only = frozenset(self.by_api) - self.loaded_names

    def check_version(self) -> None:
        """Check that no client can write the field that counts changes.

        Raises:
            ConfigurationError: One can.
        """
        kinds = [self, *map(self.of, self.children.values())]
        loaded = {path.partition(".")[0] for kind in kinds for path in kind.stored_loaded}
        if self.resource.version_field in loaded:
            self.wrong("version_field", "clients could write it; make the field dump_only.")
            self.require_no_problems()

    @functools.cached_property
    def load_plan(self) -> LoadPlan:
        """What loads a whole body."""
        assert self.load_schema is not None
        return LoadPlan(self.load_schema)

    @functools.cached_property
    def partial_load_plan(self) -> LoadPlan:
        """What loads a body that may lack required fields."""
        assert self.load_schema is not None
        return LoadPlan(self.load_schema, self.loaded)

    @functools.cached_property
    def is_shown_by_hooks(self) -> bool:
        """Whether an author's hook has a say in what is shown, which may differ by the method."""
        return any(not _SHOWING.isdisjoint(kind.overridden) for kind in self.known)

    @functools.cached_property
    def hiding(self) -> dict[str, ma.Field[Any]]:
        """The fields that embed a document with something hidden in it, by API name."""
        loaded = {} if self.load_schema is None else self.load_schema.load_fields
        return {self.api[name]: field for name, field in loaded.items() if hides(field)}

    @functools.cached_property
    def embedding(self) -> dict[str, ma.Nested]:
        """What is nested in the fields that clients write, by API name; in lists as well."""
        loaded = {} if self.load_schema is None else self.load_schema.load_fields
        leaves = {self.api[name]: leaf_of(field) for name, field in loaded.items()}
        return {api: leaf for api, leaf in leaves.items() if isinstance(leaf, ma.Nested)}

    @functools.cached_property
    def holding(self) -> frozenset[str]:
        """The API names under which a body may hold what can't be written, or isn't written so."""
        related = {relation.api for relation in self.relations.values()}
        return frozenset({*self.read_only, *self.hiding, *related})

    def hides(self, path: str) -> bool:
        """Tell whether a path of API names leads to what is written but never shown.

        Args:
            path: With ``__`` or dots between its parts; an operator may stand behind it.
        """
        parts = path.replace(".", "__").split("__")
        for end in range(len(parts), 0, -1):
            found = resolve(self, "__".join(parts[:end]))
            if found is not None:
                return found.hidden
        return False

    def select(self, names: tuple[str, ...]) -> Selection:
        """Return how to show some fields, compiled.

        Args:
            names: Schema names, or API names.

        Raises:
            ConfigurationError: One of them isn't there.
        """
        return self.selector.select(names)

    @property
    def has_slashes(self) -> bool:
        """Whether an ``_id`` may hold slashes, and so several segments of a path."""
        return not isinstance(self.id_field, (ObjectId, ma.Number, ma.UUID))

    @functools.cached_property
    def _id_converter(self) -> Callable[[Any], Any]:
        assert self.id_field is not None
        return field_converter(self.id_field)

    def convert_id(self, given: Any) -> Any:
        """Return the ``_id`` that is meant in a URL or a body.

        Raises:
            ValueError: It can't be one.
        """
        if self.id_field is not None:
            plain = given.removesuffix("/") if isinstance(given, str) else given
            return self._id_converter(plain)
        if not isinstance(given, str):
            raise ValueError
        return parse_id(given)

    def format_id(self, identity: Any) -> str | None:
        """Return the path segment that names an ``_id``; None if there is none."""
        if self.id_field is None:
            return format_id(identity)
        plan = self.select((self.by_api[self.id_name],)).plan
        assert plan is not None
        return quote(str(plan.dump({"_id": identity})[self.id_name]), safe="")


def declare(resource: type[Attributes]) -> Declaration:
    """Check what a Resource class says, and the resources that it is related to.

    Raises:
        ConfigurationError: Something is wrong; every problem names the class and the attribute.
    """
    known: dict[type[Attributes], Declaration] = {}
    declaration = Declaration(resource, known)
    for one in known.values():
        one.compile()
    for one in known.values():
        one.check_version()
    for kind, one in known.items():
        kind.declaration = one
    return declaration


def declaration_of(resource: type[Attributes]) -> Declaration:
    """Return what a Resource class says, checked and compiled."""
    declaration: Declaration | None = resource.declaration
    return declare(resource) if declaration is None else declaration
