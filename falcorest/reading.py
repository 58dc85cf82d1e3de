"""Reader: how documents are found for a caller, and shown, by what a resource says."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import falcon

from falcorest import bson_json, plain_json
from falcorest.caller import caller_of
from falcorest.declaration import Declaration, declaration_of
from falcorest.dialects.suffix import ALL_FIELDS
from falcorest.errors import NotFound, Problem, QueryError, ServerError
from falcorest.finding import not_found
from falcorest.naming import REVERSE, Relation
from falcorest.paging import Total
from falcorest.policy import Policy
from falcorest.protection import forbidden
from falcorest.query import EVERYTHING, WHOLE, Document, Filter, Query, conjunction
from falcorest.related import show_related, uri_of
from falcorest.selecting import Selection
from falcorest.service import CollectionService
from falcorest.streams import DocumentStream

if TYPE_CHECKING:
    from falcorest.resource import Resource


class Reader:
    """Finds documents and shows them.

    Args:
        resource: What the author says; asked for every decision that hooks can make.
        view: The view whose resource it is; it may have permissions of its own.
        depth: How many levels of references are shown as documents.
    """

    def __init__(self, resource: Resource, view: Any = None, depth: int | None = None) -> None:
        self.resource = resource
        if resource.service.policy.is_personal:
            resource.service = resource.service.for_caller(caller_of(resource.req))
        self.service = resource.service
        self.declaration = declaration_of(type(resource))
        self.depth = resource.max_depth if depth is None else depth
        #: How many documents the list has in all, where that is asked.
        self.total: Total | None = None
        self._view = view
        self._names: tuple[str, ...] | None = None
        self._asked: tuple[str, ...] | None = None
        self._children: dict[str, Self] = {}
        self._prepared: dict[Any, dict[str, Any]] = {}
        self._usual: dict[bool, Query] | None = None
        # PERF: in a circle, the two would wait for the garbage collector.
        resource._working = (weakref.ref(self), type(self), view, self.depth)

    # ------------------------------------------------------------------------ what is asked for

    def bounded_limit(self, query: Query) -> int | None:
        """Return the limit of a list, in bounds.

        Raises:
            QueryError: More is asked for than a list may give.
        """
        resource = self.resource
        if not resource.paginate:
            return query.limit
        return Policy.bound_limit(query.limit, resource.default_limit, resource.get_max_limit())

    def find(self, query: Query) -> tuple[Any, bool | None, Mapping[str, Any]]:
        """Return the documents of a list, whether more follow, and what else it says."""
        started = 0.0 if query.count is None else monotonic()
        query = self.readable(self.select(query))
        documents, has_more, *extra = self.resource.get_objects(query)
        if has_more not in (True, False, None) or isinstance(documents, Mapping):
            raise TypeError("get_objects must return documents, and whether more follow")
        if not isinstance(documents, (list, DocumentStream)):
            documents = list(documents)
        if query.count is not None:
            self.total = self.service.count(query, started)
        return documents, has_more, extra[0] if extra else {}

    def fetch(self, identity: Any, query: Query) -> Document:
        """Return one document to be shown.

        Raises:
            NotFound: There is none that the caller may see.
        """
        return self._found(self.resource.get_object(identity, self.readable(self.select(query))))

    def read(self, identity: Any) -> Document:
        """Return one document to be changed, whole.

        Raises:
            NotFound: There is none that the caller may see.
        """
        return self._found(self.resource.get_object(identity, self.readable(WHOLE)))

    def read_many(self, identities: Sequence[Any]) -> dict[Any, Document]:
        """Return documents to be changed, whole, by id; those that may not be seen are missing."""
        if "get_object" not in self.resource.overridden:
            found = self.service.find_by_ids(identities, self.readable(WHOLE))
            return {document["_id"]: document for document in found}
        documents = {}
        for identity in identities:
            with suppress(NotFound):
                documents[identity] = self.read(identity)
        return documents

    def select(self, query: Query) -> Query:
        """Note which fields are shown, and return the query that reads no others.

        Raises:
            QueryError: One is asked for that isn't there.
        """
        declaration = self.declaration
        if not declaration.has_schema:
            return query
        if query.fields is None:
            names = self._usual_names()
        else:
            available = self.available()
            everywhere = [available, *(child.available() for child in self._kinds())]
            for api in query.fields:
                if api != ALL_FIELDS and not any(api in one for one in everywhere):
                    if declaration.hides(api):
                        raise forbidden(api, "read", "_fields")
                    raise _unknown_field(api, dict.fromkeys(chain.from_iterable(everywhere)))
            asked = available if ALL_FIELDS in query.fields else query.fields
            # PERF: in the same order, however a client orders them, so that they are compiled once.
            names = tuple(name for api, name in available.items() if api in asked)
            self._asked = query.fields
            self._children.clear()
        self._names = names
        projection = None if declaration.children else declaration.select(names).projection
        return query if projection is None else query.reading(projection)

    def _usual_names(self) -> tuple[str, ...]:
        """Return the names that are shown unless ``_fields`` says otherwise."""
        names = self.resource.get_fields()
        if "get_optional_fields" not in self.resource.overridden:
            return tuple(names)
        optional = set(self._known(self.resource.get_optional_fields()))
        return tuple(name for name in self._known(names) if name not in optional)

    def selected(self) -> list[tuple[Declaration, tuple[str, ...]]]:
        """Return the names that are shown of each kind of documents."""
        kinds = [self, *self._kinds()] if self.resource.schema is not None else self._kinds()
        return [
            (kind.declaration, kind._usual_names() if kind._names is None else kind._names)
            for kind in kinds
        ]

    def available(self) -> dict[str, str]:
        """Return the names that ``_fields`` may name, by API name."""
        names = (*self.resource.get_fields(), *self.resource.get_optional_fields())
        fields = self.declaration.fields
        return {
            self.declaration.api.get(name, name): name
            for name in self._known(names)
            if name not in fields or not fields[name].load_only
        }

    def _known(self, names: Iterable[str]) -> Iterator[str]:
        for given in names:
            yield self.declaration.require_name(given)

    # ------------------------------------------------------------------------------- permissions

    def readable(self, query: Query) -> Query:
        """Return a query narrowed to what the caller may see.

        Raises:
            ServerError: A permission gives no narrowed query.
        """
        # PERF: mostly nobody narrows it.
        if not (
            "has_read_permission" in self.resource.overridden
            or (self._view is not None and "has_read_permission" in self._view.overridden)
            or self.declaration.children
        ):
            return query
        # PERF: a write may ask for each of many documents.
        usual = None
        if query is WHOLE or query is EVERYTHING:
            usual = self._usual = {} if self._usual is None else self._usual
            if query.whole in usual:
                return usual[query.whole]
        rules = [
            self._rule(permission, query) for permission in self._permissions("has_read_permission")
        ]
        rules.extend(self._rules_of_kinds(query))
        readable = replace(query, rule=conjunction([*rules, query.rule])) if rules else query
        if usual is not None:
            usual[query.whole] = readable
        return readable

    def _rule(self, permission: Callable[[falcon.Request, Query], Query], query: Query) -> Filter:
        plain = replace(query, rule={}) if query.rule else query
        narrowed = permission(self.resource.req, plain)
        # APPSEC: anything else, None and True included, must not pass for "all documents".
        if not isinstance(narrowed, Query) or narrowed.filter is not query.filter:
            raise ServerError(
                "server.error", "Something broke in the server; its log says what."
            ) from TypeError(
                f"{type(self.resource).__name__}: has_read_permission must return query.where(…), "
                f"query.none() or the query itself, not {narrowed!r}"
            )
        return narrowed.rule

    def _rules_of_kinds(self, query: Query) -> Iterator[Filter]:
        """Yield, for each kind of document with a read rule of its own, that it holds for those."""
        for key in self.declaration.children:
            child = self._child(key)
            if self._is_own("has_read_permission", child):
                rule = self._rule(child.resource.has_read_permission, query)
                yield {"$or": [{"$nor": [self.declaration.kind_condition(key)]}, rule]}

    def _permissions(self, name: str, kind: Reader | None = None) -> Iterator[Callable[..., Any]]:
        """Yield the permissions of a name that an author has written, wherever they stand."""
        if name in self.resource.overridden:
            yield getattr(self.resource, name)
        if kind is not None and self._is_own(name, kind):
            yield getattr(kind.resource, name)
        if self._view is not None and name in self._view.overridden:
            yield getattr(self._view, name)

    def _is_own(self, name: str, kind: Reader) -> bool:
        """Tell whether a kind of documents has a hook that isn't inherited from this resource."""
        return (
            kind is not self
            and name in kind.resource.overridden
            and getattr(type(kind.resource), name) is not getattr(type(self.resource), name)
        )

    # ------------------------------------------------------------------------ kinds of documents

    def _kinds(self) -> list[Self]:
        return [self._child(key) for key in self.declaration.children]

    def _child(self, key: str) -> Self:
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._of(self.declaration.children[key], self.depth)
            if self._asked is not None:
                available = child.available()
                asked = [api for api in self._asked if api in available or api == ALL_FIELDS]
                child.select(replace(EVERYTHING, fields=tuple(asked)))
        return child

    def _of(self, kind: Any, depth: int, service: CollectionService | None = None) -> Self:
        """Return what does the same for another resource in the same request."""
        ours = self.resource
        return type(self)(kind(ours.req, ours.view_method, service or self.service), None, depth)

    def _kind(self, document: Document) -> Self:
        """Return the one for a document: that of its kind, or this one."""
        key = self.declaration.kind_of(document)
        return self if key is None else self._child(key)

    @property
    def may_read(self) -> bool:
        """Whether the caller may read at all."""
        policy = self.service.policy
        return not policy.is_personal or policy.may_read(caller_of(self.resource.req))

    # ---------------------------------------------------------------------------------- showing

    def dump_json(self, documents: Sequence[Document]) -> bytes:
        """Return documents as JSON with commas between them, without brackets."""
        return self.json(self.shown(documents))[1:-1]

    def json(self, value: Any) -> bytes:
        """Return a value as JSON, of the kind that the view writes."""
        plain = self._view is not None and self._view.plain_json
        return plain_json.dumps(value) if plain else bson_json.dumps(value)

    def shown(self, documents: Sequence[Document]) -> Sequence[Any]:
        """Return documents as they are shown, but for those that are left out."""
        if not (self.declaration.children or self.changes_dump):
            # PERF: nothing is left out, so nothing is looked for.
            documents = self.service.policy.protection.shown(documents)
            return self._dump(documents) if self.declaration.has_schema else documents
        return [shown for shown in self.dump(documents) if shown is not None]

    @property
    def changes_dump(self) -> bool:
        """Whether a hook has a say in what is shown."""
        return not self.resource.overridden.isdisjoint(DUMPING)

    def dump(self, documents: Sequence[Document]) -> list[dict[str, Any] | None]:
        """Return documents as they are shown, in order; None is left out."""
        # NOTE: before a hook sees them, which may show all of what it is given.
        documents = self.service.policy.protection.shown(documents)
        if self.declaration.children:
            return self._dump_kinds(documents)
        if not self.changes_dump:
            return [*self._dump(documents)]
        relations = self._selection().relations
        if relations:
            self._prepare(relations, documents)
        return [self._serialize(document) for document in documents]

    def _prepare(self, relations: Sequence[Relation], documents: Sequence[Document]) -> None:
        """Fetch what documents are related to at once, before a hook shows each of them.

        What can't be dumped is left for later, when a hook says what becomes of it.
        """
        good: list[Document] = []
        shown: list[dict[str, Any]] = []
        for document in documents:
            try:
                shown += self._dump_own([document])
            except Exception:  # noqa: BLE001, S112 - it comes again when this one is shown
                continue
            good.append(document)
        try:
            show_related(self, relations, good, shown)
        except Problem:
            raise
        except Exception:  # noqa: BLE001 - it comes again when each of them is shown
            return
        self._prepared = {
            self._key(document): one for document, one in zip(good, shown, strict=True)
        }

    def _key(self, document: Document) -> Any:
        # NOTE: a hook may show a copy of a document, which has the same _id.
        identity = document.get("_id") if self.resource.collection is not None else None
        return id(document) if identity is None or identity.__hash__ is None else identity

    def show(self, document: Document) -> dict[str, Any]:
        """Return one document as it is shown, but for the hooks of the resource."""
        prepared = self._prepared.get(self._key(document))
        if prepared is None:
            return self._dump([document])[0]
        (shown,) = self._dump_own([document])
        for relation in self._selection().relations:
            if relation.api in shown or relation.kind == REVERSE:
                shown[relation.api] = prepared.get(relation.api)
        return shown

    def _serialize(self, document: Document) -> dict[str, Any] | None:
        try:
            return self.resource.serialize(document)
        except Problem:
            raise
        except Exception as error:  # noqa: BLE001 - the hook says what becomes of it
            return self.resource.handle_serialization_error(error, document)

    def _dump_kinds(self, documents: Sequence[Document]) -> list[dict[str, Any] | None]:
        kinds: dict[str | None, list[int]] = {}
        for index, document in enumerate(documents):
            kinds.setdefault(self.declaration.kind_of(document), []).append(index)
        dumped: list[dict[str, Any] | None] = [None] * len(documents)
        for key, indexes in kinds.items():
            own = [documents[index] for index in indexes]
            if key is not None:
                shown = self._child(key).dump(own)
            elif self.resource.schema is not None:
                shown = [*self._dump(own)]
            else:
                shown = [self._without_kind(document) for document in own]
            for index, one in zip(indexes, shown, strict=True):
                dumped[index] = one
        return dumped

    def _without_kind(self, document: Document) -> dict[str, Any] | None:
        kind = document.get(str(self.resource.type_field))
        error = LookupError(f"{type(self.resource).__name__} has no resource for the kind {kind!r}")
        return self.resource.handle_serialization_error(error, document)

    def _selection(self) -> Selection:
        if self._names is None:
            self._names = self._usual_names()
        return self.declaration.select(self._names)

    def _dump(self, documents: Sequence[Document]) -> list[dict[str, Any]]:
        shown = self._dump_own(documents)
        relations = self._selection().relations
        if relations:
            show_related(self, relations, documents, shown)
        return shown

    def _dump_own(self, documents: Sequence[Document]) -> list[dict[str, Any]]:
        """Return documents as they are shown, but for what they are related to."""
        selection = self._selection()
        if selection.plan is None:
            shown: list[dict[str, Any]] = [{**document} for document in documents]
        else:
            shown = selection.plan.dump_many(documents)
        for api, name in selection.computed:
            compute = getattr(self.resource, name)
            for document, one in zip(documents, shown, strict=True):
                one[api] = compute(document)
        return shown

    # ---------------------------------------------------------------------------------- related

    def related(self, relation: Relation) -> Self:
        """Return the one through which a relation is shown."""
        kind = relation.resource
        if kind.collection is None:
            return self._of(kind, self.depth)
        policy = kind.compiled_policy()
        concerns = kind.compiled_concerns()
        service = self.service.sibling(kind.collection, policy, kind.version_field, concerns)
        return self._of(kind, self.depth - 1, service)

    @property
    def has_rules(self) -> bool:
        """Whether there are documents that some callers may not see."""
        return self.service.policy.is_personal or any(
            "has_read_permission" in one.resource.overridden for one in (self, *self._kinds())
        )

    def show_by_ids(self, identities: Sequence[Any], *, ids_only: bool) -> dict[Any, Any]:
        """Return what is shown of some documents, by id; those that may not be seen are missing.

        Args:
            identities: Their ids.
            ids_only: Whether no more than their ids is shown.
        """
        if ids_only:
            query = self.readable(replace(EVERYTHING, projection=("_id",)))
            found = self.service.find_by_ids(identities, query)
            return {one["_id"]: str(one["_id"]) for one in found}
        return self._by_id(self.service.find_by_ids(identities, self.readable(self._selected())))

    def show_referring(
        self, owner: Self, identities: Sequence[Any], field: str
    ) -> dict[Any, list[Any]]:
        """Return what is shown of the documents that refer to some others, by what they refer to.

        Args:
            owner: Finds the others.
            identities: Their ids.
            field: The stored name of the reference.
        """
        query = self._selected()
        query = self.readable(replace(query, limit=self.bounded_limit(query)))
        found = self.service.find_referring(owner.service, identities, field, query)
        unique = {document["_id"]: document for some in found.values() for document in some}
        shown = self._by_id(list(unique.values()))
        return {
            identity: [shown[one["_id"]] for one in some if one["_id"] in shown]
            for identity, some in found.items()
        }

    def _selected(self) -> Query:
        if self.resource.uri_prefix is not None:
            return replace(EVERYTHING, projection=("_id",))
        return self.select(EVERYTHING)

    def _by_id(self, documents: Sequence[Document]) -> dict[Any, Any]:
        if self.resource.uri_prefix is not None:
            return {one["_id"]: uri_of(self.resource.uri_prefix, one["_id"]) for one in documents}
        return {
            document["_id"]: shown
            for document, shown in zip(documents, self.dump(documents), strict=True)
            if shown is not None
        }

    def _found(self, document: Document | None) -> Document:
        if document is None:
            raise not_found()
        return document


#: The hooks that have a say in what is shown.
DUMPING = ("serialize", "handle_serialization_error")


def _unknown_field(api: str, available: Iterable[str]) -> QueryError:
    known = ", ".join(available)
    return QueryError(
        "query.unknown_field",
        f"There is no field {api!r} to show; there are {known}.",
        parameter="_fields",
    )
