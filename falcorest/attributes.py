"""Attributes: what a Resource class can say."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import marshmallow

from falcorest.concerns import NAMES, Concerns, concerns_of
from falcorest.errors import ConfigurationError
from falcorest.indexes import Index, read_indexes
from falcorest.operators import Operator
from falcorest.policy import Policy
from falcorest.query import is_path

#: What a header may hold.
_HEADER = re.compile(r"[\x20-\x7e]+")


class Attributes:
    """What a Resource class says.

    Attributes:
        collection: The collection behind the resource; an embedded document has none.
        schema: Validates and converts what comes in, and dumps what goes out.
        fields: Names of what is shown: fields of the schema, reverse relations, and methods that
            compute a value from the stored document. All fields of the schema unless given.
        rename_fields: API names by schema names.
        filters: Operators by API names; sub-fields are written ``content__text``.
        allowed_ordering: What ``_order_by`` may say, such as ``title`` and ``-title``.
        paginate: Whether a list is a page, which knows if more documents follow; else all
            matching documents are streamed.
        default_limit: The size of a page when a list names no limit.
        max_limit: The most documents in one list, or None for any number.
        bulk_update_limit: The most documents that a bulk write may match.
        related_resources: By schema names, the resources (or functions that return them)
            through which embedded documents and references are shown.
        related_resources_hints: By the name of a reverse relation, the schema name of the
            reference in the related resource.
        save_related_fields: Schema names of references; objects in their place are written.
        max_depth: How many levels of references are shown as documents.
        child_document_resources: The resources of a collection with several kinds of documents,
            by what their discriminator says.
        default_child_resource_document: Which of these is meant without a discriminator.
        type_field: The stored name of the discriminator.
        uri_prefix: If given, references to this resource are shown as URLs that start so.
        transactional: Whether bulk writes run in a transaction where the database has them.
            MongoDB has none for capped and time-series collections.
        require_index: Whether a filter or a sort that no index serves is refused.
        require_if_match: Whether a write of one document must say by ``If-Match`` which version
            of it is meant.
        version_field: The stored name of a field that counts the changes of a document. Without
            one, documents are compared as a whole where a write must find one unchanged.
        cache_control: The ``Cache-Control`` of what is read; None sends none.
        policy: Who may do what with which fields and documents, by the names of
            :data:`falcorest.policy.RULES`; stored names. With a schema, ``hidden`` and
            ``readonly`` aren't said here, but by what is in it, ``load_only`` and ``dump_only``.
        indexes: What ``falcorest indexes`` compares with the database, and builds; stored names.
        read_preference: Which servers of a replica set answers are read from: ``"primary"``,
            ``"primaryPreferred"``, ``"secondary"``, ``"secondaryPreferred"`` or ``"nearest"``.
            This and the next two are as the database has them unless given.
        read_concern: How certain it is what they are read from: ``"local"``, ``"available"``,
            ``"majority"`` or ``"linearizable"``.
        write_concern: How many servers have a write before it is confirmed: ``"majority"``, a
            number, or a name that the replica set has for some. ``"majority"`` where nobody,
            the database included, says anything.
        timeout_ms: How long a request waits for the database, in milliseconds; as long as the
            database's client does unless given.
    """

    collection: ClassVar[str | None] = None
    schema: ClassVar[type[marshmallow.Schema] | None] = None
    fields: ClassVar[Sequence[str] | None] = None
    rename_fields: ClassVar[Mapping[str, str]] = {}
    filters: ClassVar[Mapping[str, Sequence[Operator | type[Operator]]]] = {}
    allowed_ordering: ClassVar[Sequence[str]] = ()
    paginate: ClassVar[bool] = True
    default_limit: ClassVar[int | None] = 100
    max_limit: ClassVar[int | None] = 100
    bulk_update_limit: ClassVar[int] = 1000
    related_resources: ClassVar[Mapping[str, Any]] = {}
    related_resources_hints: ClassVar[Mapping[str, str]] = {}
    save_related_fields: ClassVar[Sequence[str]] = ()
    max_depth: ClassVar[int] = 3
    child_document_resources: ClassVar[Mapping[str, Any]] = {}
    default_child_resource_document: ClassVar[str | None] = None
    type_field: ClassVar[str | None] = None
    uri_prefix: ClassVar[str | None] = None
    transactional: ClassVar[bool] = True
    require_index: ClassVar[bool] = False
    require_if_match: ClassVar[bool] = False
    version_field: ClassVar[str | None] = None
    cache_control: ClassVar[str | None] = "no-cache"
    policy: ClassVar[Mapping[str, Any]] = {}
    indexes: ClassVar[Sequence[Any]] = ()
    read_preference: ClassVar[str | None] = None
    read_concern: ClassVar[str | None] = None
    write_concern: ClassVar[int | str | None] = None
    timeout_ms: ClassVar[int | None] = None

    #: The hooks and permissions that are the author's own.
    overridden: ClassVar[frozenset[str]] = frozenset()
    #: What the class says, checked and compiled.
    declaration: ClassVar[Any] = None
    _policy: ClassVar[Policy | None] = None
    _concerns: ClassVar[Concerns | None] = None

    @classmethod
    def compiled_policy(cls) -> Policy:
        """Return the policy that the class declares.

        Raises:
            ConfigurationError: It is none; there is a line for each rule that is wrong.
        """
        made: Policy | None = vars(cls).get("_policy")
        if made is None:
            rules = cls.policy
            if cls.version_field is not None and not has_schema(cls):
                rules = {**rules, "readonly": [*rules.get("readonly", ()), cls.version_field]}
            made = cls._policy = Policy.of(rules, cls.bulk_update_limit)
        return made

    @classmethod
    def compiled_concerns(cls) -> Concerns:
        """Return how the class wants its collection to be used.

        Raises:
            ConfigurationError: It can't be; a line for each problem.
        """
        made: Concerns | None = vars(cls).get("_concerns")
        if made is None:
            made = cls._concerns = concerns_of({name: getattr(cls, name) for name in NAMES})
        return made

    @classmethod
    def compiled_indexes(cls) -> tuple[Index, ...]:
        """Return the indexes that the class declares.

        Raises:
            ConfigurationError: One of them is none; a line for each problem.
        """
        return read_indexes(cls.indexes)


_NAMES = ((list, tuple), "a list of names")
_NUMBER = ((int,), "a whole number")
_LIMIT = ((int, type(None)), "a whole number or None")
_TEXT = ((str, type(None)), "a string")
_DICT = ((Mapping,), "a dict")
_FLAG = ((bool,), "true or false")

#: What each attribute of a Resource holds.
ATTRIBUTES: dict[str, tuple[tuple[type, ...], str]] = {
    "collection": _TEXT,
    "schema": ((type, type(None)), "a class derived from Schema"),
    "fields": ((list, tuple, type(None)), "a list of names"),
    "rename_fields": _DICT,
    "filters": _DICT,
    "allowed_ordering": _NAMES,
    "paginate": _FLAG,
    "default_limit": _LIMIT,
    "max_limit": _LIMIT,
    "bulk_update_limit": _NUMBER,
    "related_resources": _DICT,
    "related_resources_hints": _DICT,
    "save_related_fields": _NAMES,
    "max_depth": _NUMBER,
    "child_document_resources": _DICT,
    "default_child_resource_document": _TEXT,
    "type_field": _TEXT,
    "uri_prefix": _TEXT,
    "transactional": _FLAG,
    "require_index": _FLAG,
    "require_if_match": _FLAG,
    "version_field": _TEXT,
    "cache_control": _TEXT,
    "policy": _DICT,
    "indexes": ((list, tuple), "a list of indexes"),
    "read_preference": _TEXT,
    "read_concern": _TEXT,
    "write_concern": ((int, str, type(None)), "a whole number or a string"),
    "timeout_ms": _LIMIT,
}


def check_attributes(resource: type[Any]) -> None:
    """Refuse attributes that a Resource class doesn't know, or that hold something else.

    Methods, and names with an underscore in front, are the author's own.

    Raises:
        ConfigurationError: Names the class and each attribute.
    """
    problems = []
    for name, value in vars(resource).items():
        if name in ATTRIBUTES:
            kinds, expected = ATTRIBUTES[name]
            right = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
            if name == "schema" and isinstance(value, type):
                right = issubclass(value, marshmallow.Schema)
            if expected == _NAMES[1] and isinstance(value, (list, tuple)):
                right = all(isinstance(item, str) for item in value)
            if isinstance(value, int) and value < 0:
                right = False
            if not right:
                problems.append(
                    f"{resource.__name__}.{name}: {expected} is expected, not {value!r}."
                )
        elif not name.startswith("_") and (
            isinstance(value, type) or not hasattr(type(value), "__get__")
        ):
            near = difflib.get_close_matches(name, ATTRIBUTES, 1)
            meant = f" Is {near[0]} meant?" if near else ""
            problems.append(f"{resource.__name__}.{name}: a Resource has no such attribute.{meant}")
    name = resource.version_field
    if name is not None and (not is_path(name) or "." in name or name == "_id"):
        problems.append(f"{resource.__name__}.version_field: {name!r} can't be one.")
    kept = resource.cache_control
    if isinstance(kept, str) and _HEADER.fullmatch(kept) is None:
        problems.append(f"{resource.__name__}.cache_control: {kept!r} can't be a header.")
    if problems:
        raise ConfigurationError(*problems)
    try:
        policy: Policy = resource.compiled_policy()
    except ConfigurationError as error:
        raise ConfigurationError(
            *(f"{resource.__name__}.policy: {problem}" for problem in error.problems)
        ) from error
    try:
        resource.compiled_concerns()
    except ConfigurationError as error:
        raise ConfigurationError(
            *(f"{resource.__name__}.{problem}" for problem in error.problems)
        ) from error
    try:
        resource.compiled_indexes()
    except ConfigurationError as error:
        raise ConfigurationError(
            *(f"{resource.__name__}.indexes{problem}" for problem in error.problems)
        ) from error
    if policy.protection.protected and has_schema(resource):
        raise ConfigurationError(
            f"{resource.__name__}.policy: hidden and readonly are for resources without a schema; "
            "with one, load_only and dump_only say it, and what isn't a field of it isn't there."
        )


def has_schema(resource: type[Attributes]) -> bool:
    """Tell whether documents are shown and stored by a schema, or as they are."""
    return resource.schema is not None or bool(resource.child_document_resources)
