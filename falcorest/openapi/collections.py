"""Collections: what documents without a schema look like, by a validator or by a sample."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Lock
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from pymongo.errors import PyMongoError

from falcorest.caller import caller_of
from falcorest.database import in_memory
from falcorest.openapi.components import Components, Schema
from falcorest.openapi.samples import DOCUMENTS, Sample
from falcorest.openapi.validators import Validator
from falcorest.openapi.values import KEY, sent_document, sent_id, sent_value, shown_document
from falcorest.query import EVERYTHING
from falcorest.views import ResourceView
from falcorest.writing import Writer

#: How long what has been found out about a collection is good for, in seconds.
KEPT_SECONDS = 60.0

_INFERRED = "What the documents that were looked at have in common; nothing is promised of others."


T = TypeVar("T")
_Kept: TypeAlias = WeakKeyDictionary[ResourceView, tuple[float, T]]


class Knowledge:
    """What has been found out about collections, for a while."""

    def __init__(self) -> None:
        self._validators: _Kept[Mapping[str, Any]] = WeakKeyDictionary()
        self._samples: _Kept[Sample] = WeakKeyDictionary()
        self._lock = Lock()

    def validator(self, view: ResourceView) -> Mapping[str, Any]:
        """Return the ``$jsonSchema`` of all that is written to a collection; empty for none."""
        return self._kept(self._validators, view, lambda: _read_validator(view))

    def sample(self, view: ResourceView, work: Writer) -> Sample:
        """Return what documents look like that a caller may see."""
        # APPSEC: what depends on the caller is found out for each of them.
        rows = view.policy.rows_of(caller_of(work.resource.req))
        if rows is not None or work.resource.overridden or view.overridden:
            return _take_sample(work)
        return self._kept(self._samples, view, lambda: _take_sample(work))

    def _kept(
        self,
        known: _Kept[T],
        view: ResourceView,
        find: Callable[[], T],
    ) -> T:
        with self._lock:
            until, found = known.get(view, (0.0, None))
        if found is None or until < time.monotonic():
            found = find()
            with self._lock:
                known[view] = (time.monotonic() + KEPT_SECONDS, found)
        return found


def _read_validator(view: ResourceView) -> Mapping[str, Any]:
    collection = view.service.collection
    if in_memory(collection.database):
        return {}
    try:
        (info,) = collection.database.list_collections(filter={"name": collection.name})
    except (PyMongoError, ValueError):
        # NOTE: a user of the database may read a collection and not the list of them.
        return {}
    options = info.get("options", {})
    # NOTE: otherwise, a document may be stored that doesn't follow it.
    if options.get("validationAction", "error") != "error":
        return {}
    if options.get("validationLevel", "strict") != "strict":
        return {}
    said = options.get("validator", {}).get("$jsonSchema")
    return said if isinstance(said, Mapping) else {}


def _take_sample(work: Writer) -> Sample:
    documents, _, _ = work.find(replace(EVERYTHING, limit=DOCUMENTS))
    batches = documents.batches() if hasattr(documents, "batches") else [documents]
    return Sample.of(shown for batch in batches for shown in work.dump(batch) if shown is not None)


class Documents:
    """The shapes of the documents of one collection.

    Args:
        components: Where they are put.
        view: Serves the collection.
        title: How they are called.
        knowledge: What has been found out about it.
        work: Finds documents as the caller sees them; None where the caller may not list them.
    """

    def __init__(
        self,
        components: Components,
        view: ResourceView,
        title: str,
        knowledge: Knowledge,
        work: Writer | None,
    ) -> None:
        self._components = components
        self._title = title
        self._plain = view.plain_json
        protection = view.policy.protection
        self._hidden, self._readonly = protection.hidden.tree, protection.readonly.tree
        self.validator = knowledge.validator(view)
        self.sample = None
        if not self.validator and work is not None:
            self.sample = knowledge.sample(view, work)

    @property
    def fields(self) -> dict[str, Schema]:
        """The fields that are known, as they are shown, by name."""
        found: dict[str, Schema] = self._described(sent=False).get("properties", {})
        return found

    def _described(self, *, sent: bool) -> Schema:
        if self.validator:
            validator = Validator(self._components, sent=sent, plain=self._plain)
            schema = validator.translate(self.validator, self._hidden, self._readonly)
            return {"type": "object", **schema}
        if self.sample is not None and self.sample.count:
            schema = self.sample.schema(self._components, sent=sent, plain=self._plain)
            left_out = {name for name, below in self._readonly.items() if not below}
            found = schema.get("properties", {})
            schema["properties"] = {
                name: {**one, "readOnly": True} if name in left_out else one
                for name, one in found.items()
                if not (sent and name in left_out)
            }
            if sent:
                schema["properties"]["_id"] = sent_id(self._components)
            return {**schema, "description": _INFERRED, "x-inferred": True}
        return {}

    def shown(self) -> Schema:
        """Return a reference to the shape of a document as it is shown."""
        described = self._described(sent=False)
        if not described:
            return shown_document(self._components, plain=self._plain)
        one = self._components.schema(self._title, lambda: described, (self._title, "shown"))
        if self.validator:
            return one
        return {"anyOf": [one, shown_document(self._components, plain=self._plain)]}

    def sent(self) -> Schema:
        """Return a reference to the shape of a new document, or a whole one."""
        if self.validator:
            described = self._described(sent=True)
            described.setdefault("propertyNames", {"pattern": KEY})
            named = described.setdefault("properties", {})
            plain = self.validator.get("properties", {}).get("_id", {}) == {}
            if described.get("additionalProperties", True) is not False or "_id" in named:
                named["_id"] = sent_id(self._components) if plain else named["_id"]
            described.setdefault("additionalProperties", sent_value(self._components))
            return self._components.schema(
                f"New{self._title}", lambda: described, (self._title, "sent")
            )
        inferred = self._described(sent=True)
        if not inferred:
            return sent_document(self._components)
        one = self._components.schema(f"New{self._title}", lambda: inferred, (self._title, "sent"))
        return {"anyOf": [one, sent_document(self._components)]}
