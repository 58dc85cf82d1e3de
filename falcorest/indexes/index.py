"""Index: what a Resource or ``falcorest.toml`` declares of one.

It is written as ``"name"``, as ``"-rating"`` for a descending one, as ``"location:2dsphere"`` for
another kind, as a list of these for a compound one, or as a table with ``keys`` and
:data:`OPTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from falcorest.errors import ConfigurationError
from falcorest.query import Filter, is_path
from falcorest.rows import read_rule

#: What an index can be beside ascending and descending.
KINDS = ("text", "2dsphere", "hashed")

#: What a table says beside its ``keys``.
OPTIONS: dict[str, str] = {
    "unique": "``true``: no two documents have the same values.",
    "sparse": "``true``: documents that have none of the fields are left out.",
    "expire_after_seconds": "MongoDB removes a document so many seconds after the date in the "
    "field, which is the only one.",
    "partial_filter": "A filter; documents that don't follow it are left out. It is made of "
    "equality, ``$eq``, ``$gt``, ``$gte``, ``$lt``, ``$lte``, ``$in``, ``$type``, ``$exists`` that "
    "is true, ``$and`` and ``$or``, which is what MongoDB takes there.",
    "collation": "How texts are compared: ``locale``, and ``strength`` from 1 to 5, where 2 "
    "passes over upper and lower case.",
    "name": "What MongoDB calls it, where that shall not be made of the keys.",
}

_MOST_KEYS = 32
#: The most seconds that MongoDB takes.
_MOST_SECONDS = 2**31 - 1
_GROUPS = ("$and", "$or")
_PARTIAL = ("$eq", "$gt", "$gte", "$lt", "$lte", "$in", "$type", "$exists")

Keys = tuple[tuple[str, int | str], ...]


@dataclass(frozen=True)
class Index:
    """An index that is declared.

    Attributes:
        keys: Stored names, paths perhaps, each with 1, -1, or one of ``text``,
            ``2dsphere`` and ``hashed``.
        unique: Whether no two documents have the same values.
        sparse: Whether documents that have none of the fields are left out.
        expire_after_seconds: How long after the date in its field a document is removed.
        partial_filter: What documents follow that aren't left out.
        collation: How texts are compared.
        name: Its name; None for the one that MongoDB makes of the keys.
    """

    keys: Keys
    unique: bool = False
    sparse: bool = False
    expire_after_seconds: int | None = None
    partial_filter: Filter | None = None
    collation: Mapping[str, Any] | None = None
    name: str | None = None

    @classmethod
    def of(cls, value: Any) -> Index:
        """Read an index as it is written.

        Raises:
            ConfigurationError: It is none, or none that MongoDB builds; a line for each reason.
        """
        if isinstance(value, Index):
            return value
        if not isinstance(value, Mapping):
            value = {"keys": value}
        problems = [
            f"{name!r} is none of keys, {', '.join(OPTIONS)}."
            for name in value
            if name not in {"keys", *OPTIONS}
        ]
        read: dict[str, Any] = {}
        for name, reader in _READERS.items():
            if name in value or name == "keys":
                try:
                    read[name] = reader(value.get(name))
                except ConfigurationError as error:
                    where = f"{name}: " if len(value) > 1 or "keys" not in value else ""
                    problems.extend(f"{where}{problem}" for problem in error.problems)
        if problems:
            raise ConfigurationError(*problems)
        index = cls(**read)
        if problems := [*_misfits(index)]:
            raise ConfigurationError(*problems)
        return index

    @property
    def paths(self) -> tuple[str, ...]:
        """The stored names."""
        return tuple(path for path, _ in self.keys)

    @property
    def words(self) -> tuple[str, ...]:
        """The keys as they are written."""
        return tuple(word(path, order) for path, order in self.keys)

    @property
    def kinds(self) -> frozenset[str]:
        """What it is beside ascending and descending."""
        return frozenset(order for _, order in self.keys if isinstance(order, str))

    def spec(self) -> dict[str, Any]:
        """Return it as ``createIndexes`` takes it."""
        collation = self.collation
        if "text" in self.kinds:
            # NOTE: it would inherit that of its collection, and MongoDB refuses it there.
            collation = {"locale": "simple"}
        options = {
            "unique": self.unique or None,
            "sparse": self.sparse or None,
            "expireAfterSeconds": self.expire_after_seconds,
            "partialFilterExpression": self.partial_filter,
            "collation": collation,
        }
        return {
            "key": dict(self.keys),
            "name": self.name or default_name(self.keys),
            **{name: value for name, value in options.items() if value is not None},
        }


def word(path: str, order: Any) -> str:
    """Return a key as it is written."""
    return f"{path}:{order}" if isinstance(order, str) else f"-{path}" if order == -1 else path


def default_name(keys: Sequence[tuple[str, Any]]) -> str:
    """Return the name that drivers and shells make of keys."""
    return "_".join(f"{path}_{order}" for path, order in keys)


def read_indexes(values: Any) -> tuple[Index, ...]:
    """Read a list of indexes.

    Raises:
        ConfigurationError: A line for each problem, which starts with the place, ``[1]: ``.
    """
    if not isinstance(values, (list, tuple)):
        raise ConfigurationError(": a list of indexes is needed.")
    indexes: list[Index] = []
    problems: list[str] = []
    for place, value in enumerate(values):
        try:
            index = Index.of(value)
        except ConfigurationError as error:
            problems.extend(f"[{place}]: {problem}" for problem in error.problems)
            continue
        rival = next((one for one in indexes if _rivals(one, index)), None)
        if rival is not None:
            problems.append(f"[{place}]: {_clash(rival, index)}")
        indexes.append(index)
    if problems:
        raise ConfigurationError(*problems)
    return tuple(indexes)


def merge(some: Sequence[Index], more: Sequence[Index]) -> tuple[Index, ...]:
    """Return the indexes that two resources declare for one collection.

    Raises:
        ConfigurationError: They declare two that can't be at once.
    """
    merged = list(some)
    for index in more:
        if index not in merged:
            for one in merged:
                if _rivals(one, index):
                    raise ConfigurationError(_clash(one, index))
            merged.append(index)
    return tuple(merged)


def _rivals(one: Index, other: Index) -> bool:
    """Tell whether MongoDB has but one of two indexes."""
    return (
        one.spec()["name"] == other.spec()["name"]
        or replace(one, name=None, expire_after_seconds=None)
        == replace(other, name=None, expire_after_seconds=None)
        or ("text" in one.kinds and "text" in other.kinds)
    )


def _clash(one: Index, other: Index) -> str:
    """Say why there can be but one of two indexes."""
    if one == other:
        return "it is the same as another one."
    name = other.spec()["name"]
    if one.spec()["name"] == name and one.keys != other.keys:
        return f"another one has the name {name!r}."
    if one.keys == other.keys:
        return "another one has the same keys; MongoDB tells them by other options and a name."
    return "a collection has one text index at the most, perhaps of several fields."


# ------------------------------------------------------------------------------------- reading


def _read_keys(value: Any) -> Keys:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)) or not words:
        raise ConfigurationError("the name of a field, or a list of names, is needed.")
    keys = tuple(_read_key(word) for word in words)
    problems = [
        f"{path!r} stands in it twice."
        for place, (path, _) in enumerate(keys)
        if path in {other for other, _ in keys[:place]}
    ]
    if len(keys) > _MOST_KEYS:
        problems.append(f"an index has {_MOST_KEYS} fields at the most.")
    if problems:
        raise ConfigurationError(*problems)
    return keys


def _read_key(word: Any) -> tuple[str, int | str]:
    if not isinstance(word, str):
        raise ConfigurationError(f"{word!r} is not the name of a field.")
    path, colon, kind = word.rpartition(":")
    if not colon:
        path = word.removeprefix("-")
    elif kind not in KINDS:
        raise ConfigurationError(f"{word!r}: {kind!r} is none of {', '.join(KINDS)}.")
    elif path.startswith("-"):
        raise ConfigurationError(f"{word!r}: {kind} has no direction.")
    if not is_path(path):
        raise ConfigurationError(f"{word!r} is not the name of a field.")
    return path, kind if colon else -1 if word.startswith("-") else 1


def _read_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(f"true or false is needed, not {value!r}.")
    return value


def _read_seconds(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MOST_SECONDS:
        raise ConfigurationError(f"a whole number from 0 to {_MOST_SECONDS} is needed.")
    return value


def _read_partial(value: Any) -> Filter:
    read = read_rule(value)
    for name, argument in _operators(read):
        if name not in {*_GROUPS, *_PARTIAL}:
            raise ConfigurationError(
                f"{name} is none of {', '.join((*_GROUPS, *_PARTIAL))}, which are all that "
                "MongoDB takes there."
            )
        if name == "$exists" and argument is not True:
            raise ConfigurationError("MongoDB takes no $exists there but true.")
    return read


def _operators(filter: Filter) -> Iterator[tuple[str, Any]]:
    """Yield the operators of a filter that has been read, with their arguments."""
    for name, argument in filter.items():
        if name.startswith("$"):
            yield name, argument
            for member in argument:
                yield from _operators(member)
        elif isinstance(argument, Mapping):
            yield from ((inner, one) for inner, one in argument.items() if inner[:1] == "$")


def _read_collation(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not isinstance(value.get("locale"), str):
        raise ConfigurationError('a table with a locale is needed, such as { locale = "en" }.')
    for name in value:
        if name not in {"locale", "strength"}:
            raise ConfigurationError(f"{name!r} is neither locale nor strength.")
    strength = value.get("strength", 3)
    if type(strength) is not int or not 1 <= strength <= 5:
        raise ConfigurationError("strength is a whole number from 1 to 5.")
    return dict(value)


def _read_name(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value or value in {"*", "_id_"}:
        raise ConfigurationError(f"{value!r} can't be the name of an index.")
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "keys": _read_keys,
    "unique": _read_flag,
    "sparse": _read_flag,
    "expire_after_seconds": _read_seconds,
    "partial_filter": _read_partial,
    "collation": _read_collation,
    "name": _read_name,
}


def _misfits(index: Index) -> Iterator[str]:
    """Yield why MongoDB would refuse an index, whatever is stored."""
    orders = [order for _, order in index.keys]
    if index.keys in {(("_id", 1),), (("_id", -1),)}:
        yield "the _id always has its index, which serves both directions."
    if index.expire_after_seconds is not None and (len(orders) > 1 or index.paths == ("_id",)):
        yield "expire_after_seconds: it needs a single field, which isn't the _id."
    if index.sparse and index.partial_filter is not None:
        yield "sparse: it can't go with partial_filter, which can say the same and more."
    if index.unique and "hashed" in orders:
        yield "unique: a hashed index can't be."
    if orders.count("hashed") > 1:
        yield "keys: one field can be hashed."
    if len(index.kinds) > 1:
        yield f"keys: {' and '.join(sorted(index.kinds))} don't go together."
    if "text" in orders:
        first, count = orders.index("text"), orders.count("text")
        if orders[first : first + count] != ["text"] * count:
            yield "keys: the text fields must stand side by side."
        if index.collation is not None:
            yield "collation: a text index has none."
