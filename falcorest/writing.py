"""Writing: how a resource stores, changed and removed for a caller, by what a resource says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import Any, NoReturn, Self, TypeVar

import falcon
import marshmallow

from falcorest import bson_json
from falcorest.bodies import (
    change,
    load,
    load_bulk_update,
    load_document,
    load_replacement,
    load_update,
    located,
    require_object,
    require_same_id,
)
from falcorest.caller import caller_of, challenge_of, user_of
from falcorest.errors import BodyError, Conflict, Forbidden, NotFound, Problem, Unauthorized
from falcorest.finding import Expected
from falcorest.methods import Fetch, Replace
from falcorest.naming import REFERENCE
from falcorest.nested import Write, holds_objects, take_objects
from falcorest.protection import forbidden
from falcorest.query import EVERYTHING, WHOLE, Document, Query
from falcorest.reading import Reader
from falcorest.references import referred
from falcorest.related import stored_value
from falcorest.resource import Resource
from falcorest.returned import holds_read_only, paired, require_writable, without_read_only
from falcorest.schema import keep_hidden, leaf_of, to_bson
from falcorest.service import Updated, with_id
from falcorest.updates import Update

T = TypeVar("T")

#: The hooks and permissions that have a say in a change.
_CHANGING = ("has_change_permission", "validate_request", "get_object", "update_object")


class Writer(Reader):
    """Stores, changes and removes documents.

    Where no hook and no permission is an author's own, a write is one statement; otherwise
    documents are read first, and every permission is asked before anything is written.
    """

    #: Whether the body of a create is what is stored already.
    is_decoded = False
    #: Whether a body has other documents in it that are written as well.
    saves_others: bool = False
    #: API names of the fields that a patch takes away.
    _absent: Sequence[str] = ()

    def create(self, body: Any) -> Document:
        """Store a new document and return it."""
        if self.is_decoded and type(body) is dict:
            return self.service.insert(body)
        if self._is_schema_alone:
            document = self._loaded(body)
            with self._naming():
                return self.service.insert(document)
        if self._holds_objects(body):
            return self.service.together(lambda: self.prepare_create(deepcopy(body)).run())
        return self.prepare_create(body).run()

    def create_many(self, bodies: list[Any]) -> list[Document]:
        """Store new documents, all or nothing where possible, and return them.

        Raises:
            BodyError: There are none, or one of them is wrong; its index is named.
        """
        if not bodies:
            raise BodyError("body.wrong_type", "The list is empty; there is nothing to store.")
        if self.is_decoded and all(type(body) is dict for body in bodies):
            return self.service.insert_many(bodies)
        simple = not self._overrides("create_object")
        if simple and not any(self._holds_objects(body) for body in bodies):
            if self.stores_as_sent:
                documents = list(_indexed(load_document, bodies))
            elif self._is_schema_alone:
                documents = self._loaded_many(bodies)
            else:
                documents = [write.data for write in _indexed(self.prepare_create, bodies)]
            with self._naming():
                return self.service.insert_many(documents)
        return self.service.together(
            lambda: [write.run() for write in list(_indexed(self.prepare_create, deepcopy(bodies)))]
        )

    @property
    def stores_as_sent(self) -> bool:
        """Whether new documents are stored as they come, without schemas and hooks."""
        return not self.declaration.has_schema and not self._overrides(
            "has_add_permission", "validate_request", "create_object"
        )

    def create_each(self, bodies: list[Any]) -> list[Problem | None]:
        """Store new documents, each by itself; tell of each what it was refused for.

        Raises:
            Problem: Something that is no fault of the documents, or needs a login.
        """
        if self._overrides("create_object") or any(map(self._holds_objects, bodies)):
            return [_tried(self.create, body)[1] for body in bodies]
        load = load_document if self.stores_as_sent else self._new_document
        if self._is_schema_alone:
            load = self._loaded
        outcome: list[Problem | None] = []
        documents: dict[int, Document] = {}
        for index, body in enumerate(bodies):
            document, refused = _tried(load, body)
            outcome.append(refused)
            if document is not None:
                documents[index] = document
        places = list(documents)
        for place, error in self.service.insert_each(list(documents.values())).items():
            outcome[places[place]] = _tried(self._raise_named, error)[1]
        return outcome

    @property
    def _is_schema_alone(self) -> bool:
        """Whether nothing but the schema has a say in new documents."""
        # PERF: then all that is asked of each of many documents is what it has to say.
        declaration = self.declaration
        return (
            declaration.has_schema
            and not declaration.children
            and not declaration.saved
            and not self.service.policy.is_personal
            and not self._overrides("has_add_permission", "validate_request", "create_object")
        )

    def _loaded(self, body: Any) -> Document:
        """Return what the schema makes of a new document."""
        declaration = self.declaration
        # PERF: what is as it should be needs nothing that names what isn't.
        if type(body) is dict and declaration.holding.isdisjoint(body):
            document: Document | None = declaration.load_plan.quick(body)
            if document is not None:
                return document
        require_writable(declaration, body)
        with located(api=declaration.api, body=body):
            return load(declaration, body, partial=False, changing=False)

    def _loaded_many(self, bodies: list[Any]) -> list[Document]:
        """Return what the schema makes of new documents."""
        holding = self.declaration.holding
        # PERF: what is as it should be needs nothing that names what isn't.
        if all(type(body) is dict and holding.isdisjoint(body) for body in bodies):
            documents = [*map(self.declaration.load_plan.quick, bodies)]
            if None not in documents:
                return documents
        return [*_indexed(self._loaded, bodies)]

    def _new_document(self, body: Any) -> Document:
        return self.prepare_create(body).data

    def _raise_named(self, error: Exception) -> NoReturn:
        with self._naming():
            raise error

    def update(
        self, identity: Any, body: Any, *, absent: Sequence[str] = (), returning: bool = False
    ) -> Document | None:
        """Change one document, or replace it.

        Where all hooks and permissions are the defaults, that is one statement, with the
        read rule in its filter.

        Args:
            identity: The ``_id``.
            body: What changes, or all of it.
            absent: API names of what is taken away, where there is a schema.
            returning: Whether the document is wanted.

        Returns:
            The document as it is then. Without a schema, None unless it is wanted, which spares
            reading it.
        """
        self._absent = absent
        data = None if absent else self._quickly_loaded(body)
        if data is None:
            self.saves_others = self._holds_objects(body)
            body = self._without_own_id(body, identity)
            if self._overrides(*_CHANGING) or self._kinds() or self._needs_reading(body):
                # NOTE: so that what has been read and permitted is what is changed.
                return self.service.together(lambda: self._update_read(identity, deepcopy(body)))
            if not self.declaration.has_schema:
                update = load_update(body, identity)
                if returning:
                    return self.service.modify(identity, update, self.readable(EVERYTHING))
                self.service.update(identity, update, self.readable(WHOLE))
                return None
            self._require_removable(absent)
            with located(api=self.declaration.api, body=body):
                data = load(self.declaration, body, partial=self._is_partial)
        data = self._own(data, identity)
        query = self.readable(self.select(EVERYTHING))
        with self._naming():
            return self.service.modify(identity, self._update(data), query)

    def _quickly_loaded(self, body: Any) -> Document | None:
        """Return what changes, where the schema alone decides; None if it doesn't."""
        declaration = self.declaration
        if (
            not declaration.has_schema
            or declaration.children
            or declaration.paths
            or type(body) is not dict
            or not declaration.holding.isdisjoint(body)
            or self._overrides(*_CHANGING)
        ):
            return None
        plan = declaration.partial_load_plan if self._is_partial else declaration.load_plan
        data: Document | None = plan.quick(body)
        return data

    def put(self, identity: Any, body: Any) -> bool:
        """Put a document at an ``_id`` as it stands, without a schema; tell whether it is new."""
        document = load_replacement(body, identity)
        query = self.readable(WHOLE)
        if self._overrides("has_add_permission", "has_change_permission"):
            return self.service.together(lambda: self._put_read(identity, document, query))
        return self.service.replace(identity, document, query)

    def _put_read(self, identity: Any, document: Document, query: Query) -> bool:
        try:
            stored = self.read(identity)
        except NotFound:
            new = self.service.stamped({"_id": identity, **document})
            self.permit("has_add_permission", new)
        else:
            self.permit("has_change_permission", stored)
        return self.service.replace(identity, document, query)

    def update_many(self, query: Query, body: Any) -> Updated:
        """Change the documents that a filter matches, all or nothing where possible."""
        query = self.readable(query)
        if not self.declaration.has_schema:
            update = load_bulk_update(body)
            if not self._overrides("has_change_permission", "update_object"):
                return self.service.update_many(query, update)
            return self.service.together(lambda: self._change_each(query, lambda document: update))
        require_writable(self.declaration, body)
        if self._holds_objects(body, beyond_ids=True):
            raise BodyError("body.invalid_update", "A bulk update takes references as ids only.")
        steps = ("has_change_permission", "validate_request", "update_object")
        if self._overrides(*steps) or self._kinds() or self._hides(body):
            return self.service.together(lambda: self._update_each(query, body))
        with located(api=self.declaration.api, body=body):
            data = self._own(load(self.declaration, body, partial=True))
        with self._naming():
            return self.service.update_many(query, self._update(data))

    def delete(self, identity: Any) -> None:
        """Remove one document."""
        if not self._overrides("has_delete_permission", "get_object", "delete_object"):
            self.service.delete(identity, self.readable(WHOLE))
        else:
            self.service.together(lambda: self._delete_read(identity))

    def delete_many(self, query: Query) -> int:
        """Remove the documents that a filter matches, all or nothing where possible."""
        query = self.readable(query)
        if not self._overrides("has_delete_permission", "delete_object"):
            return self.service.delete_many(query)
        return self.service.together(lambda: self._delete_each(query))

    # ---------------------------------------------------------------------- conditional writes

    def read_expecting(self, identity: Any) -> tuple[Document, Expected]:
        """Return one document to be changed, whole, and what a write then expects to find.

        Raises:
            NotFound: There is none that the caller may see.
        """
        if "get_object" in self.resource.overridden:
            # NOTE: it may refuse the document, or know it by something else than its _id.
            identity = self.read(identity)["_id"]
        return self.service.as_stored(identity, self.readable(WHOLE))

    def permit_write(self, name: str, document: Document) -> None:
        """Ask a permission about a document, where an author has written one."""
        if self._overrides(name):
            self.permit(name, document, self._kind(document))

    def as_fetched(self, identity: Any, document: Document) -> bytes:
        """Return a document that has been read whole as a ``GET`` shows it, as JSON."""
        kind = type(self.resource)
        reader = Reader(kind(self.resource.req, Fetch, self.service), self._view)
        query = reader.select(EVERYTHING)
        if "get_object" in kind.overridden:
            document = reader.fetch(identity, query)
        return reader.dump_json([document])

    def patched(self, identity: Any, document: Document) -> dict[str, Any]:
        """Return what a patch changes: a document as it is shown, in full; JSON."""
        if "get_object" in self.resource.overridden:
            document = self.read(identity)
        if self.declaration.has_schema:
            kind = self._kind(document)
            return kind._shown(document, kind.available())
        (seen,) = self.service.policy.protection.shown([document])
        return dict(bson_json.parse(bson_json.dumps(seen)))

    def has_references(self, body: dict[str, Any]) -> bool:
        """Tell whether a body has lists of references, some of which may not be seen."""
        return any(
            relation.many and relation.kind == REFERENCE and relation.api in body
            for kind in (self, *self._kinds())
            for relation in kind.declaration.relations.values()
        )

    def with_references(
        self, document: Document, before: dict[str, Any], after: dict[str, Any]
    ) -> dict[str, Any]:
        """Return what a patch makes of a document with ids for the references that it changes.

        A patch says which documents are referred to, and changes nothing in them. Those that the
        caller doesn't see stay where they are.

        Args:
            document: As it is stored.
            before: As it is shown; JSON.
            after: What the patch makes of that.

        Raises:
            BodyError: It changes something in another document.
        """
        if not self.declaration.has_schema:
            return after
        declaration, changed = self._kind(document).declaration, dict(after)
        for relation in declaration.relations.values():
            api = relation.api
            same = api not in after or (api in before and after[api] == before[api])
            if relation.kind == REFERENCE and not same:
                name = declaration.of(relation.resource).id_name
                stored = stored_value(document, relation.stored)
                changed[api] = referred(api, name, stored, before.get(api), after[api])
        return changed

    @contextmanager
    def expecting(self, expected: Expected) -> Iterator[None]:
        """Have writes expect something of a document until the block ends."""
        own = self.service
        bound = own.expecting(expected)
        for one in (self, *self._kinds()):
            one.service = one.resource.service = bound
        try:
            yield
        finally:
            for one in (self, *self._kinds()):
                one.service = one.resource.service = own

    # --------------------------------------------------------------------------- permissions

    def permit(self, name: str, document: Document, kind: Reader | None = None) -> None:
        """Ask a permission.

        Args:
            name: Which one.
            document: What it is about.
            kind: That of the document, if the collection has several kinds.

        Raises:
            Forbidden: It is refused (403).
            Unauthorized: It is, and nobody is logged in (401).
        """
        policy, req = self.service.policy, self.resource.req
        if policy.is_personal and not policy.may_write(caller_of(req)):
            raise refusal(req)
        for permission in self._permissions(name, kind):
            if not permission(req, document):
                raise refusal(req)

    def _overrides(self, *names: str) -> bool:
        """Tell whether an author has written one of these hooks or permissions."""
        if not self.resource.overridden.isdisjoint(names):
            return True
        if self._view is not None and not self._view.overridden.isdisjoint(names):
            return True
        if not self.declaration.children:
            return False
        return any(not kind.resource.overridden.isdisjoint(names) for kind in self._kinds())

    def _hook(self, name: str, kind: Reader) -> Callable[..., Any]:
        """Return a hook: that of the kind of document if it has its own."""
        own = kind if self._is_own(name, kind) else self
        hook: Callable[..., Any] = getattr(own.resource, name)
        return hook

    # ------------------------------------------------------------------------------ preparing

    def prepare_create(self, body: Any) -> Write:
        """Validate and permit a new document; nothing is written yet."""
        kind, body = self._kind_of_body(body)
        require_writable(kind.declaration, body)
        body, inside = take_objects(kind, body)
        data = kind.validate(body, None)
        if kind is not self:
            data = {
                **data,
                str(self.resource.type_field): self.declaration.key_of(type(kind.resource)),
            }
        data = with_id(self.as_stored(data))
        self.permit("has_add_permission", self.service.stamped(data), kind)
        create = self._hook("create_object", kind)
        return Write(data["_id"], data, lambda data: self._call(create, data["_id"], data), inside)

    def prepare_update(self, document: Document, body: Any) -> Write:
        """Validate and permit a change; nothing is written yet."""
        if not self.declaration.has_schema:
            self.permit("has_change_permission", document)
            data = load_update(body, document["_id"])
            return self._writing_update(document, data, self, [])
        kind, body = self._kind_of_body(body, document)
        self.permit("has_change_permission", document, kind)
        if self.declaration.children and self.declaration.kind_name in self._absent:
            raise _kind_refused(self.declaration.kind_name)
        kind._absent = self._absent
        kind._require_removable(self._absent)
        were = kind.embedded_before(body, document)
        body, inside = take_objects(kind, kind.without_read_only(body, document))
        data = kind.with_hidden(kind.validate(body, document), were)
        return self._writing_update(document, self._own(data, document["_id"]), kind, inside)

    def _writing_update(
        self, document: Document, data: Document, kind: Reader, inside: list[Write]
    ) -> Write:
        update, identity = self._hook("update_object", kind), document["_id"]
        return Write(
            identity, data, lambda data: self._call(update, identity, document, data), inside
        )

    def validate(self, body: Any, document: Document | None) -> Document:
        """Return what is stored, as the hook says; the schema is never passed by."""
        resource = self.resource
        resource._loaded = False
        with located(api=self.declaration.api, body=body):
            data = resource.validate_request(body, document)
            # NOTE: an author's hook may return a body, without asking the one that it overrides.
            if not resource._loaded:
                data = Resource.validate_request(resource, data, document)
        if not isinstance(data, dict):
            raise TypeError(f"{type(resource).__name__}.validate_request returns {data!r}, no dict")
        return data

    def _call(self, hook: Callable[..., Any], identity: Any, *arguments: Any) -> Document:
        """Call a hook that writes, and return the document."""
        with located(api=self.declaration.api), self._naming(), self.service.translation():
            document: Document | None = hook(*arguments)
        return self.service.get(identity) if document is None else document

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Name the fields of what is in the way as the client knows them."""
        try:
            yield
        except Conflict as error:
            if self.declaration.has_schema and error.field_errors:
                names = self.declaration.by_stored
                named = {names.get(name, name): one for name, one in error.field_errors.items()}
                error.detail = error.detail.replace(", ".join(error.field_errors), ", ".join(named))
                error.field_errors = named
            raise

    def _update_read(self, identity: Any, body: Any) -> Document:
        return self.prepare_update(self.read(identity), body).run()

    def _delete_read(self, identity: Any) -> None:
        document = self.read(identity)
        kind = self._kind(document)
        self.permit("has_delete_permission", document, kind)
        with located(api=self.declaration.api):
            self._hook("delete_object", kind)(document)

    def _update_each(self, query: Query, body: Any) -> Updated:
        documents = self.service.find_affected(query)
        if not documents and not self.declaration.children:
            with located(api=self.declaration.api):
                load(self.declaration, body, partial=True)
        # NOTE: a copy for each, since hooks may change it.
        writes = [self.prepare_update(document, deepcopy(body)) for document in documents]
        for write in writes:
            write.run()
        return Updated(len(writes), len(writes))

    def _change_each(self, query: Query, update_of: Callable[[Document], Update]) -> Updated:
        documents = self.service.find_affected(query)
        for document in documents:
            self.permit("has_change_permission", document)
        for document in documents:
            self._call(self.resource.update_object, document["_id"], document, update_of(document))
        return Updated(len(documents), len(documents))

    def _delete_each(self, query: Query) -> int:
        documents = self.service.find_affected(query)
        kinds = [self._kind(document) for document in documents]
        for document, kind in zip(documents, kinds, strict=True):
            self.permit("has_delete_permission", document, kind)
        for document, kind in zip(documents, kinds, strict=True):
            with located(api=self.declaration.api):
                self._hook("delete_object", kind)(document)
        return len(documents)

    # ----------------------------------------------------------------- what hooks do by default

    def modify(self, document: Document, data: Document) -> Document:
        """Change a document that has been read, and return it as it is then."""
        update = self._update(self.as_stored(data), document)
        return self.service.modify(document["_id"], update, self.readable(EVERYTHING))

    def as_stored(self, data: Document) -> Document:
        """Return data as it is stored, where an author's hook may have put other values in."""
        own = self._overrides("validate_request", "create_object", "update_object")
        return to_bson(data) if own and self.declaration.has_schema else data

    def remove(self, document: Document) -> None:
        """Remove a document that has been read."""
        self.service.delete(document["_id"], self.readable(WHOLE))

    # ---------------------------------------------------------------------------------- bodies

    @property
    def _is_partial(self) -> bool:
        return self.resource.view_method is not Replace

    def _update(self, data: Document, document: Document | None = None) -> Update:
        """Return the update that stores what has been loaded."""
        if not self.declaration.has_schema:
            return data
        kind = self if document is None else self._kind(document)
        if self._is_partial:
            return change(data, kind._paths_of(self._absent))
        # NOTE: what the client doesn't see, or can't write, isn't its own to take away.
        stored = kind.declaration.stored
        seen = (stored.get(name, "_id") for name in kind.available().values())
        kept = ("_id", self.resource.type_field)
        own = (path for path in seen if path in kind.declaration.stored_loaded and path not in kept)
        return change(data, [path for path in own if not any(_overlap(path, p) for p in data)])

    def _require_removable(self, absent: Sequence[str]) -> None:
        """Refuse to take away what a document must have, or what can't be written.

        Args:
            absent: API names.

        Raises:
            BodyError: A field is required, or there is none of that name.
            Forbidden: It can't be written.
        """
        declaration, errors = self.declaration, {}
        loaded = {} if declaration.load_schema is None else declaration.load_schema.load_fields
        for api in absent:
            if api in declaration.read_only:
                raise forbidden(api, "written")
            if api not in declaration.loaded_names:
                errors[api] = ["Unknown field."]
            elif loaded[declaration.by_api[api]].required:
                errors[api] = ["Missing data for required field."]
        if errors:
            with located():
                raise marshmallow.ValidationError(errors)

    def _paths_of(self, absent: Sequence[str]) -> list[str]:
        return [self.declaration.stored[self.declaration.by_api[api]] for api in absent]

    def _own(self, data: Document, identity: Any = None) -> Document:
        """Refuse another ``_id``, and leave the same one out."""
        if "_id" not in data:
            return data
        require_same_id(data["_id"], identity, self.declaration.id_name)
        return {name: value for name, value in data.items() if name != "_id"}

    def _without_own_id(self, body: Any, identity: Any) -> Any:
        """Take the id out of a body, where it can't be written and must be that of the address."""
        name = self.declaration.id_name
        if type(body) is dict and name in body and name in self.declaration.read_only:
            given = None
            with suppress(ValueError):
                given = self.declaration.convert_id(body[name])
            require_same_id(given, identity, name)
            return {api: value for api, value in body.items() if api != name}
        return body

    def _needs_reading(self, body: Any) -> bool:
        """Tell whether a body holds what can only be judged by what is stored."""
        if not self.declaration.has_schema:
            return False
        return (
            self._hides(body)
            or self._holds_objects(body)
            or holds_read_only(self.declaration, body)
        )

    def _hides(self, body: Any) -> bool:
        """Tell whether a body has an embedded document in the place of one that hides something."""
        return type(body) is dict and not self.declaration.hiding.keys().isdisjoint(body)

    def without_read_only(self, body: Any, document: Document) -> Any:
        """Take what can't be written out of a body, where it is what was read.

        Raises:
            BodyError: It is something else.
        """
        if not holds_read_only(self.declaration, body):
            return body
        shown = self._shown(document, body)
        return without_read_only(self.declaration, body, shown, document)

    def embedded_before(self, body: Any, document: Document) -> dict[str, Any]:
        """Return what is stored in the place of embedded documents in a body, by API name.

        Only where something is hidden in them. Of a list, it is a list of the same length.
        """
        if not self._hides(body):
            return {}
        declaration = self.declaration
        sent = declaration.hiding.keys() & body.keys()
        shown = self._shown(document, sent)
        were: dict[str, Any] = {}
        for api in sent:
            stored = stored_value(document, declaration.stored[declaration.by_api[api]])
            value, read = body[api], shown.get(api)
            if isinstance(value, list) and isinstance(read, list) and isinstance(stored, list):
                were[api] = [was for _, was in paired(value, read, stored)]
            elif not isinstance(value, list):
                were[api] = stored
        return were

    def with_hidden(self, data: Document, were: dict[str, Any]) -> Document:
        """Return data whose embedded documents keep what their clients can't send back.

        Args:
            data: What is to be stored.
            were: What :meth:`embedded_before` says of the body.
        """
        kept = dict(data)
        for api, was in were.items():
            path = self.declaration.stored[self.declaration.by_api[api]]
            value = data.get(path)
            if isinstance(value, list) and isinstance(was, list) and len(value) == len(was):
                pairs = zip(value, was, strict=True)
                kept[path] = [self._with_hidden_below(api, *pair) for pair in pairs]
            elif path in data:
                kept[path] = self._with_hidden_below(api, value, was)
        return kept

    def _with_hidden_below(self, api: str, value: Any, was: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(was, dict):
            return value
        declaration = self.declaration
        relation = declaration.relations.get(declaration.by_api[api])
        related = None if relation is None else declaration.of(relation.resource)
        if related is not None and related.children:
            key = related.kind_of(was)
            if key is None or key != related.kind_of(value):
                return value
            schema = related.of(related.children[key]).load_schema
        else:
            # NOTE: without kinds, what hides something is nested.
            schema = leaf_of(declaration.hiding[api]).schema  # type: ignore[attr-defined]
        return value if schema is None else keep_hidden(schema, value, was)

    def only_changed(self, body: dict[str, Any], document: Document) -> dict[str, Any]:
        """Return what of a body isn't what was read."""
        shown = self._shown(document, body)
        return {
            api: value for api, value in body.items() if api not in shown or shown[api] != value
        }

    def _shown(self, document: Document, names: Iterable[str]) -> dict[str, Any]:
        """Return what is shown of a document under some API names, as JSON."""
        # APPSEC: to compare with what the client doesn't see would tell what it is.
        available, own = self.available(), self._names
        self._names = tuple(available[api] for api in names if api in available)
        (shown,) = self.dump([document])
        self._names = own
        return {} if shown is None else dict(bson_json.parse(bson_json.dumps(shown)))

    def _holds_objects(self, body: Any, *, beyond_ids: bool = False) -> bool:
        if not self.declaration.children:
            return holds_objects(self.declaration, body, beyond_ids=beyond_ids)
        return any(
            holds_objects(kind.declaration, body, beyond_ids=beyond_ids)
            for kind in (self, *self._kinds())
        )

    def _kind_of_body(self, body: Any, document: Document | None = None) -> tuple[Self, Any]:
        """Return the one that a body is for, and the body without its discriminator.

        Raises:
            BodyError: There is none, or it isn't that of the document.
        """
        declaration = self.declaration
        if not declaration.children:
            return self, body
        stored = None if document is None else declaration.kind_of(document)
        with located():
            key = declaration.pick_kind(require_object(body), stored, new=document is None)
        if key is None:
            return self, body
        kind = self._child(key)
        name = declaration.kind_name
        if name not in kind.declaration.loaded_names:
            body = {api: value for api, value in body.items() if api != name}
        return kind, body


def refusal(req: falcon.Request) -> Problem:
    """Return the error for what a caller may not do; somebody else might, after a login."""
    if user_of(req):
        return Forbidden("permission.denied", "You may not do this.")
    headers = {"WWW-Authenticate": challenge_of(req)}
    return Unauthorized("auth.required", "This needs a login.", headers=headers)


def _tried(make: Callable[[Any], T], body: Any) -> tuple[T | None, Problem | None]:
    """Return what is made of a body, or what the body is refused for."""
    try:
        return make(body), None
    except Problem as error:
        if error.status >= 500 or isinstance(error, Unauthorized):
            raise
        return None, error


def _kind_refused(name: str) -> BodyError:
    reason = "It can't be changed."
    return BodyError(
        "body.invalid", f"The body doesn't fit: {name}: {reason}", field_errors={name: [reason]}
    )


def _indexed(load: Callable[[Any], T], bodies: list[Any]) -> Iterator[T]:
    """Yield what is made of several bodies; what is wrong names its index."""
    for index, body in enumerate(bodies):
        try:
            yield load(body)
        except BodyError as error:
            raise BodyError(
                error.code,
                f"The document at index {index}: {error.detail}",
                field_errors={str(index): error.field_errors or [error.detail]},
            ) from error


def _overlap(one: str, other: str) -> bool:
    """Tell whether a stored path is another one, or leads to it, or is led to by it."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")
