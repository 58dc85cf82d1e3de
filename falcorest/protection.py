"""Protection: the fields of a collection that clients don't see, or can't write.

What a client may not name is refused the same way whatever is stored, and what is stored there is
kept whatever the client writes around it. So no answer tells anything about a hidden field.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import bson

from falcorest.errors import Conflict, Forbidden
from falcorest.memory.bson_order import MISSING, as_object, order
from falcorest.memory.matching import holds, without
from falcorest.paths import Paths, Tree, value_at
from falcorest.query import Document, Filter, Query
from falcorest.updates import Update

#: What is read of documents: names, or names that are not read.
Projection = list[str] | dict[str, int] | None


@dataclass(frozen=True, slots=True)
class Protection:
    """Fields that clients don't see, and fields that they can't write.

    Attributes:
        hidden: Neither read nor written by a client, nor filtered or sorted by.
        readonly: Read, but not written.
        protected: Both.
    """

    hidden: Paths = field(default_factory=Paths)
    readonly: Paths = field(default_factory=Paths)
    protected: Paths = field(default_factory=Paths)

    @classmethod
    def of(cls, hidden: Iterable[str], readonly: Iterable[str]) -> Protection:
        """Return the protection of some fields; dotted paths."""
        hidden, readonly = list(hidden), list(readonly)
        return cls(Paths(hidden), Paths(readonly), Paths([*hidden, *readonly]))

    # ------------------------------------------------------------------------------- reading

    def check_query(self, query: Query) -> None:
        """Refuse a query whose filter or sort tells something about a hidden field.

        Raises:
            Forbidden: It names one, or what one is inside of.
        """
        for path in filter_paths(query.filter):
            if self.hidden.below(path) is not None:
                raise forbidden(path, "filtered by", path)
        for path, _ in query.sort:
            if self.hidden.below(path) is not None:
                raise forbidden(path, "sorted by", "_sort")

    def projection(self, names: Sequence[str] | None) -> Projection:
        """Return what is read of documents.

        What is named may have hidden fields in it, since MongoDB doesn't pick and leave out at
        once. They are taken out by :meth:`shown`, as from whatever else is shown.

        Args:
            names: What is asked for; None for all there is.

        Raises:
            Forbidden: A hidden field is asked for.
        """
        if names is None:
            return dict.fromkeys(self.hidden, 0)
        for name in names:
            if self.hidden.below(name) == {}:
                raise forbidden(name, "read", "_projection")
        return list(names)

    def shown(self, documents: Sequence[Document]) -> Sequence[Document]:
        """Return documents without the hidden fields."""
        tree = self.hidden.tree
        if not tree:
            return documents
        # PERF: mostly the database has left them out already.
        return [without(one, tree) if holds(one, tree) else one for one in documents]

    def unname(self, conflict: Conflict) -> None:
        """Take the names of hidden fields out of an error that names what is in the way."""
        names = conflict.field_errors or {}
        if any(self.hidden.below(name) is not None for name in names):
            conflict.detail = "Another document has the same value in a unique field."
            conflict.field_errors = None

    # ------------------------------------------------------------------------------- writing

    def check_new(self, document: Document) -> None:
        """Refuse a new document with a field that its client can't write.

        Raises:
            Forbidden: It has one.
        """
        _check_value(self.protected.tree, document, "")

    def check_update(self, update: Update, *, many: bool) -> bool:
        """Refuse an update that names what a client can't write.

        Args:
            update: As the client may say it.
            many: Whether it is meant for many documents.

        Returns:
            Whether it depends on what is stored, see :meth:`kept_in_update`.

        Raises:
            Forbidden: It names a protected field, or takes one away with what is around it.
        """
        depends = False
        for operator, arguments in update.items():
            for path, argument in arguments.items():
                for one in (path, argument) if operator == "$rename" else (path,):
                    below = self.protected.below(one)
                    if below is None:
                        continue
                    sent_back = not many and below == {} and self.hidden.below(one) != {}
                    if operator == "$set" and (below or sent_back):
                        depends = True
                    elif operator == "$push" and below and _only_adds(argument):
                        _check_value(below, argument, path)
                    else:
                        raise forbidden(one, "written")
        return depends

    def kept_in_update(self, update: Update, stored: Document) -> Update:
        """Return an update that keeps what is stored in protected fields.

        Args:
            update: One that :meth:`check_update` lets pass.
            stored: The whole document.

        Raises:
            Forbidden: It would write a read-only field, or take a protected one away.
        """
        kept: Document = {}
        for path, value in update.get("$set", {}).items():
            below = self.protected.below(path)
            if below is None:
                kept[path] = value
                continue
            was = _lookup(stored, path)
            hidden = self.hidden.below(path) or {}
            if below == {}:
                if was is MISSING or not is_same(without(was, hidden), value):
                    raise forbidden(path, "written")
            else:
                kept[path] = _kept(below, hidden, was, value, path)
        changed = {**update, "$set": kept}
        return changed if kept else {name: one for name, one in changed.items() if name != "$set"}

    def kept_in_replacement(self, document: Document, stored: Document) -> Document:
        """Return a document that keeps what is stored in protected fields.

        Args:
            document: What is to stand in the place of the other.
            stored: The whole other one.

        Raises:
            Forbidden: It would write a read-only field, or take a protected one away.
        """
        tree, hidden = self.protected.tree, self.hidden.tree
        kept: Document = _kept(tree, hidden, stored, document, "")
        return kept


def forbidden(path: str, verb: str, parameter: str | None = None) -> Forbidden:
    """Return the error for a field that a client may not use.

    Args:
        path: As the client named it.
        verb: What can't be done with it.
        parameter: The parameter of the query string that names it; None for one in a body.
    """
    errors = {path: [f"It can't be {verb}."]} if parameter is None else None
    detail = f"{path} can't be {verb}."
    return Forbidden("policy.field", detail, parameter=parameter, field_errors=errors)


def filter_paths(filter: Filter) -> Iterator[str]:
    """Yield the paths that a filter names."""
    for name, argument in filter.items():
        if name in {"$and", "$or", "$nor"}:
            for member in argument:
                yield from filter_paths(member)
        else:
            yield name


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same to MongoDB, but for the order of keys."""
    one, other = as_object(one), as_object(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return order(one) == order(other)


def _lookup(document: Document, path: str) -> Any:
    try:
        return value_at(document, path)
    except LookupError:
        return MISSING


def _only_adds(argument: Any) -> bool:
    """Tell whether the argument of ``$push`` leaves what is in the list as it is."""
    return not isinstance(argument, dict) or argument.keys().isdisjoint({"$slice", "$sort"})


def _check_value(tree: Tree, value: Any, place: str) -> None:
    """Refuse a value that has something in a protected place.

    Args:
        tree: What is protected, below the place.
        value: What is to be stored there.
        place: Its path.
    """
    value = as_object(value)
    if isinstance(value, dict):
        for name, item in value.items():
            path = f"{place}.{name}" if place else name
            if name == "$each":
                _check_value(tree, item, place)
            elif name in tree:
                if not tree[name]:
                    raise forbidden(path, "written")
                _check_value(tree[name], item, path)
    elif isinstance(value, list):
        for item in value:
            _check_value(tree, item, place)


def _kept(tree: Tree, hidden: Tree, stored: Any, sent: Any, place: str) -> Any:
    """Return what is to be stored in a place with protected fields inside.

    What is decided depends on what the client can see, never on what is hidden.

    Args:
        tree: What is protected below it.
        hidden: What of that is hidden.
        stored: What is stored in it, or MISSING.
        sent: What the client wants to be there.
        place: Its path.
    """
    stored = as_object(stored)
    if stored is MISSING or not _holds(tree, hidden, stored):
        _check_value(tree, sent, place)
        return sent
    if isinstance(stored, dict) and isinstance(as_object(sent), dict):
        return _kept_in_object(tree, hidden, stored, as_object(sent), place)
    if isinstance(stored, list) and isinstance(sent, list):
        return _kept_in_list(tree, hidden, stored, sent, place)
    raise forbidden(place, "written like this, since it holds what you can't write")


def _kept_in_object(
    tree: Tree, hidden: Tree, stored: Document, sent: Document, place: str
) -> Document:
    kept: Document = {}
    for name, value in sent.items():
        path = f"{place}.{name}" if place else name
        below, hidden_below = tree.get(name), hidden.get(name, {})
        was = stored.get(name, MISSING)
        if below is None:
            kept[name] = value
        elif below:
            kept[name] = _kept(below, hidden_below, was, value, path)
        elif (
            (name in hidden and not hidden[name])
            or was is MISSING
            or not is_same(without(was, hidden_below), value)
        ):
            raise forbidden(path, "written")
        else:
            kept[name] = was
    for name, was in stored.items():
        below = tree.get(name)
        if below is None or name in sent:
            continue
        if below and _holds(below, hidden.get(name, {}), was):
            path = f"{place}.{name}" if place else name
            raise forbidden(path, "left out, since it holds what you can't write")
        if not below:
            kept[name] = was
    # NOTE: the place of what is kept is not a change, which the answer would count.
    same = _is_identical(without(kept, hidden), without(stored, hidden))
    return stored if same else kept


def _kept_in_list(
    tree: Tree, hidden: Tree, stored: list[Any], sent: list[Any], place: str
) -> list[Any]:
    shown = [_key(index, without(item, hidden)) for index, item in enumerate(stored)]
    before = pair([_key(index, item) for index, item in enumerate(sent)], shown)
    gone = set(range(len(stored))) - set(before)
    if any(_holds(tree, hidden, stored[index]) for index in gone):
        raise forbidden(place, "made shorter, since it holds what you can't write")
    return [
        _kept(tree, hidden, MISSING if was is None else stored[was], item, f"{place}.{index}")
        for index, (item, was) in enumerate(zip(sent, before, strict=True))
    ]


def pair(sent: Sequence[Hashable], shown: Sequence[Hashable]) -> list[int | None]:
    """Return, for each item of a list that is sent back, the index that it had; None if it is new.

    That is the item which it equals, at the same place if possible; for one that was changed, the
    one at the same place, or else one that is left over, unless the list has become shorter.

    Args:
        sent: A key for each item, the same for equal ones.
        shown: The same of the list that was read.
    """
    before: list[int | None] = [
        index if shown[index : index + 1] == [key] else None for index, key in enumerate(sent)
    ]
    left = set(range(len(shown))).difference(before)
    places: dict[Hashable, deque[int]] = {}
    for index in sorted(left):
        places.setdefault(shown[index], deque()).append(index)
    for index, key in enumerate(sent):
        if before[index] is None and places.get(key):
            found = before[index] = places[key].popleft()
            left.remove(found)
    if len(sent) >= len(shown):
        for index in range(len(shown)):
            if before[index] is None and index in left:
                before[index] = index
                left.remove(index)
        # NOTE: nothing is lost of a list that isn't shorter.
        rest = iter(sorted(left))
        before = [next(rest, None) if found is None else found for found in before]
    return before


def _is_identical(one: Any, other: Any) -> bool:
    """Tell whether two values are stored as the same bytes."""
    return _encoded(one) == _encoded(other)


def _key(index: int, item: Any) -> Hashable:
    """Return what an item of a list is told from others by."""
    # PERF: a list in a list by its place, or all of it would be read again at each level.
    return index if isinstance(item, list) else _encoded(item)


def _encoded(value: Any) -> bytes:
    return bson.encode({"": value})


def _holds(tree: Tree, hidden: Tree, value: Any) -> bool:
    """Tell whether there is, or may be for all that a client knows, something protected in a value.

    Args:
        tree: What is protected.
        hidden: What of that is hidden.
        value: As it is stored.
    """
    value = as_object(value)
    if isinstance(value, list):
        return any(_holds(tree, hidden, item) for item in value)
    if not isinstance(value, Mapping):
        return False
    for name, below in tree.items():
        if not below:
            if name in value or (name in hidden and not hidden[name]):
                return True
        elif name in value and _holds(below, hidden.get(name, {}), value[name]):
            return True
    return False
