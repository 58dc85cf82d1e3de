"""Comparison: the indexes that are declared beside those that a collection has.

Source: https://www.mongodb.com/docs/manual/core/indexes/create-index/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import bson
from pymongo.collection import Collection
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

from falcorest.errors import ConfigurationError
from falcorest.indexes.index import Index, default_name, read_indexes, word
from falcorest.query import Document

_NO_COLLECTION = 26
_A_VIEW = 166
_UNKNOWN_FIELD = 40415

#: What MongoDB knows an index by: another one differs in one of these, and in the name.
_IDENTITY = ("key", "unique", "sparse", "partialFilterExpression", "collation")
#: What makes no difference, and what says no more than is said already.
_ASIDE = frozenset(
    {
        *("v", "ns", "name", "background", "hidden", "prepareUnique", "clustered"),
        *("textIndexVersion", "2dsphereIndexVersion"),
    }
)
_USUAL = {"default_language": "english", "language_override": "language"}
_COLLATION = {
    "locale": None,
    "strength": 3,
    "caseLevel": False,
    "numericOrdering": False,
    "alternate": "non-ignorable",
}


class State(StrEnum):
    """How what is declared stands to what is there."""

    PRESENT = "present"
    MISSING = "missing"
    BUILDING = "building"
    DIFFERENT = "different"
    EXTRA = "extra"


@dataclass(frozen=True)
class Found:
    """An index that a collection has.

    Attributes:
        spec: What MongoDB tells of it.
        building: Whether it isn't there yet.
    """

    spec: Mapping[str, Any]
    building: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.spec["name"])


@dataclass(frozen=True)
class Seen:
    """The indexes of a collection.

    Attributes:
        indexes: All but that of the ``_id``.
        collation: That of the collection, which its indexes inherit.
    """

    indexes: tuple[Found, ...]
    collation: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Compared:
    """An index that is declared, or that the database has, or both.

    Attributes:
        state: How the one stands to the other.
        declared: As it is declared; None where it is extra.
        found: As it is in the database; None where it is missing.
    """

    state: State
    declared: Index | None
    found: Found | None

    @property
    def spec(self) -> Mapping[str, Any]:
        """What there is; where that isn't what is declared, what is declared."""
        if self.declared is not None and self.state in {State.MISSING, State.DIFFERENT}:
            return self.declared.spec()
        assert self.found is not None
        return self.found.spec

    @property
    def is_to_build(self) -> bool:
        """Whether building it is of use; one that is being built is waited for."""
        return self.state in {State.MISSING, State.BUILDING}


def look(collection: Collection[Document]) -> Seen:
    """Return the indexes that a collection has; none where there is no collection.

    Raises:
        ConfigurationError: It is a view, or the database can't be reached.
    """
    try:
        listed = _list(collection)
        options = collection.options()
    except ServerSelectionTimeoutError as error:
        reason = str(error).partition(", Timeout:")[0].partition(" (configured timeouts")[0]
        raise ConfigurationError(f"the database can't be reached: {reason}") from error
    return Seen(
        tuple(one for one in listed if not _is_of_id(one.spec)), options.get("collation") or None
    )


def _list(collection: Collection[Document]) -> list[Found]:
    try:
        # NOTE: without being asked, MongoDB lists an index that isn't built yet like the others.
        return _ask(collection, includeIndexBuildInfo=True)
    except OperationFailure as error:
        if error.code == _NO_COLLECTION:
            return []
        if error.code == _A_VIEW:
            raise ConfigurationError(
                f"{collection.name} is a view, which has no indexes; declare those of the "
                "collection behind it."
            ) from error
        if error.code != _UNKNOWN_FIELD:
            raise
    return _ask(collection)


def _ask(collection: Collection[Document], **options: Any) -> list[Found]:
    listed = collection.database.cursor_command("listIndexes", collection.name, **options)
    return [Found(one.get("spec", one), "indexBuildInfo" in one) for one in listed]


def _is_of_id(spec: Mapping[str, Any]) -> bool:
    return [*spec["key"].items()] == [("_id", 1)]


def compare(declared: Sequence[Index], seen: Seen) -> list[Compared]:
    """Compare the indexes that are declared with those that are there.

    What isn't as declared is different where MongoDB would refuse to build the declared one
    beside it; else the declared one is missing, and the other one is extra.
    """
    found = {one.name: (one, _traits(one.spec, None)) for one in seen.indexes}
    compared = [_compare(index, found, seen.collation) for index in declared]
    known = {one.found.name for one in compared if one.found is not None}
    extra = [Compared(State.EXTRA, None, one) for one in seen.indexes if one.name not in known]
    return [*compared, *extra]


def _compare(
    index: Index,
    found: Mapping[str, tuple[Found, Mapping[str, Any]]],
    collation: Mapping[str, Any] | None,
) -> Compared:
    spec = index.spec()
    wanted = _traits(spec, collation)
    for one, traits in found.values():
        if all(traits.get(name) == wanted.get(name) for name in _IDENTITY):
            if traits != wanted or index.name not in {None, one.name}:
                return Compared(State.DIFFERENT, index, one)
            return Compared(State.BUILDING if one.building else State.PRESENT, index, one)
    rivals = [one for one, _ in found.values() if one.name == spec["name"]]
    if "text" in index.kinds:
        rivals += [one for one, _ in found.values() if "text" in one.spec["key"].values()]
    return (
        Compared(State.DIFFERENT, index, rivals[0])
        if rivals
        else Compared(State.MISSING, index, None)
    )


def as_declared(seen: Seen) -> list[Index]:
    """Return the indexes of a collection as a Resource would declare them.

    Those that can't be said, or not in full, are left out.
    """
    declared: list[Index] = []
    for one in seen.indexes:
        spec = one.spec
        value = {
            "keys": [word(path, order) for path, order in text_keys(spec)],
            "unique": bool(spec.get("unique")),
            "sparse": bool(spec.get("sparse")),
            **({} if is_usually_named(spec) else {"name": one.name}),
        }
        if "expireAfterSeconds" in spec:
            value["expire_after_seconds"] = _plain(spec["expireAfterSeconds"])
        try:
            index = Index.of(value)
            read_indexes([*declared, index])
        except ConfigurationError:
            continue
        if compare([index], seen)[0].state == State.PRESENT:
            declared.append(index)
    return declared


def _traits(spec: Mapping[str, Any], inherited: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return all that matters of an index, in one form whoever made it.

    Args:
        spec: As ``createIndexes`` takes it, or as MongoDB tells it.
        inherited: The collation that it has if it says nothing of one.
    """
    traits = {
        name: _plain(value)
        for name, value in spec.items()
        if name not in _ASIDE and value is not False and _USUAL.get(name) != value
    }
    for name in traits.keys() & {"unique", "sparse"}:
        traits[name] = True
    keys = text_keys(spec)
    texts = sorted(path for path, order in keys if order == "text")
    if texts:
        # NOTE: they stand side by side, and their order makes no difference.
        start = next(place for place, (_, order) in enumerate(keys) if order == "text")
        keys[start : start + len(texts)] = [(path, "text") for path in texts]
        traits["weights"] = dict.fromkeys(texts, 1) | traits.get("weights", {})
    traits["key"] = [(path, _plain(order)) for path, order in keys]
    if "partialFilterExpression" in traits:
        traits["partialFilterExpression"] = _clauses(traits["partialFilterExpression"])
    collation = traits.pop("collation", inherited)
    if collation is not None and collation["locale"] != "simple":
        traits["collation"] = {name: collation.get(name, _COLLATION[name]) for name in _COLLATION}
    return traits


def text_keys(spec: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the keys of an index; those of a text index as they were declared."""
    keys: list[tuple[str, Any]] = []
    for path, order in spec["key"].items():
        if path == "_fts":
            keys += [(name, "text") for name in spec.get("weights", {})]
        elif path != "_ftsx":
            keys.append((path, order))
    return keys


def is_usually_named(spec: Mapping[str, Any]) -> bool:
    """Tell whether an index has the name that is made of its keys."""
    return bool(spec["name"] == default_name(text_keys(spec)))


def _plain(value: Any) -> Any:
    """Return a value whose numbers are of one kind, where they are whole."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _clauses(filter: Mapping[str, Any]) -> list[bytes]:
    """Return the conditions of a partial filter, in one form for what means the same."""
    clauses: set[bytes] = set()
    for name, argument in filter.items():
        if name == "$and":
            clauses.update(one for member in argument for one in _clauses(member))
        elif name == "$or":
            members = sorted(b"".join(_clauses(member)) for member in argument)
            clauses.add(bson.encode({name: members}))
        elif isinstance(argument, Mapping) and next(iter(argument), "").startswith("$"):
            for operator, one in argument.items():
                clauses.add(bson.encode({name: one if operator == "$eq" else {operator: one}}))
        else:
            clauses.add(bson.encode({name: argument}))
    return sorted(clauses)
