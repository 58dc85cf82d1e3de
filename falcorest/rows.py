"""Rows: which documents of a collection are there for a caller.

The rules are the operator's own words, MongoDB filters. Whether what a write leaves behind still
follows them is judged here, so a rule is made of operators that falcorest evaluates itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cached_property
from typing import Any

import bson
from bson.errors import BSONError

from falcorest.bson_json import decode
from falcorest.errors import BodyError, ConfigurationError, Forbidden
from falcorest.memory.matching import matcher
from falcorest.operators import OPERATORS
from falcorest.protection import filter_paths
from falcorest.query import NOTHING, Document, Filter, is_path
from falcorest.updates import Update

_GROUPS = ("$and", "$or", "$nor")
#: The operators that a rule may have on a field.
RULE_OPERATORS = (*(f"${name}" for name in OPERATORS), "$not")

#: The regular expressions that mean the same to MongoDB and to Python: texts, with punctuation
#: behind backslashes, and perhaps ``^`` in front and ``$`` behind.
_TEXT_PATTERN = re.compile(r"\^?(?:[^\\^$.|?*+()\[\]{}\0\r\n]|\\[!-/:-@\[-`{-~])*\$?")


@dataclass(frozen=True)
class Rows:
    """The documents that are there for one caller.

    Attributes:
        rule: A filter that they follow, and what the caller leaves behind does; empty for all.
        owner: The field that names the owner of a document, or None.
        username: What that field holds in the caller's new documents.
        seen: Whether the caller may see any.
    """

    rule: Filter
    owner: str | None = None
    username: str | None = None
    seen: bool = True

    @property
    def condition(self) -> Filter:
        """A filter for what the caller may see; empty for all documents."""
        return self.rule if self.seen else dict(NOTHING)

    @cached_property
    def _matches(self) -> Callable[[Document], bool]:
        return matcher(self.rule)

    @cached_property
    def names(self) -> frozenset[str]:
        """The fields of documents on which the rule depends."""
        return frozenset(path.partition(".")[0] for path in filter_paths(self.rule))

    def stamp(self, document: Document) -> Document:
        """Return a new document with its owner in it, if it names none."""
        if self.owner is None or self.username is None or self.owner in document:
            return document
        return {**document, self.owner: self.username}

    def touched_by(self, update: Update) -> bool:
        """Tell whether an update may move a document out of the rule."""
        if not self.rule:
            return False
        return any(
            one.partition(".")[0] in self.names
            for operator, arguments in update.items()
            for path, argument in arguments.items()
            for one in ((path, argument) if operator == "$rename" else (path,))
        )

    def require(self, document: Document) -> None:
        """Refuse to leave a document behind that would not be there for the caller.

        Raises:
            Forbidden: It doesn't follow the rule.
        """
        # NOTE: as a filter, a name would also match a list that holds it.
        own = self.owner is None or document.get(self.owner) == self.username
        if self.rule and not (own and self._matches(document)):
            raise Forbidden(
                "policy.row", "The document would be none of those that you may see and write."
            )


def read_rule(rule: Any) -> Filter:
    """Read a row rule: Extended JSON, as in a MongoDB shell, dates as TOML has them too.

    Raises:
        ConfigurationError: It is no filter that falcorest can judge by; the text says why.
    """
    if not isinstance(rule, Mapping) or not rule:
        raise ConfigurationError('a filter is needed, such as { country = "FR" }.')
    read = {name: _read_clause(name, argument) for name, argument in rule.items()}
    try:
        matcher(read)({})
        bson.encode(read)
    except (BSONError, OverflowError) as error:
        raise ConfigurationError(f"it can't be read: {error}") from error
    return read


def _read_clause(name: str, argument: Any) -> Any:
    if name in _GROUPS:
        if not isinstance(argument, list) or not argument:
            raise ConfigurationError(f"{name} takes a list of filters.")
        return [read_rule(member) for member in argument]
    if not is_path(name):
        raise ConfigurationError(
            f"{name!r} is neither a field nor one of {', '.join(_GROUPS)}, which is all that "
            "falcorest can judge by."
        )
    return _read_condition(name, argument)


def _read_condition(field: str, condition: Any) -> Any:
    if not _is_condition(condition):
        return _read_value(field, condition)
    for name, argument in condition.items():
        if name not in RULE_OPERATORS:
            raise ConfigurationError(
                f"{field}: {name!r} is none of {', '.join(RULE_OPERATORS)}, which are all that "
                "falcorest can judge by."
            )
        if name in {"$in", "$nin", "$all"} and not isinstance(argument, list):
            raise ConfigurationError(f"{field}: {name} takes a list.")
        if name == "$not" and not _is_condition(argument):
            raise ConfigurationError(f"{field}: $not takes an object of operators.")
    return {name: _read_argument(field, name, condition[name]) for name in condition}


def _read_argument(field: str, name: str, argument: Any) -> Any:
    if name == "$not":
        return _read_condition(field, argument)
    value = _read_value(field, argument)
    if name == "$regex" and not (isinstance(value, str) and _TEXT_PATTERN.fullmatch(value)):
        raise ConfigurationError(
            f"{field}: in a rule, $regex takes a text with perhaps ^ in front and $ behind; "
            f"{argument!r} may mean one thing to MongoDB and another to falcorest."
        )
    try:
        OPERATORS[name.removeprefix("$")].expression(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{field}: {name} can't take {argument!r}: {error}.") from error
    return value


def _is_condition(value: Any) -> bool:
    return isinstance(value, Mapping) and any(name in RULE_OPERATORS for name in value)


def _read_value(field: str, value: Any) -> Any:
    try:
        return decode(_plain(value))
    except BodyError as error:
        raise ConfigurationError(
            f"{field}: {error.detail} Operators are {', '.join(RULE_OPERATORS)}."
        ) from error


def _plain(value: Any) -> Any:
    """Return a value of TOML's as one of JSON's and BSON's."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time.min)
    if isinstance(value, time):
        return value.isoformat()
    return value
