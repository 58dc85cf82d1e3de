"""Policy: what a caller may ask of a collection.

There is one for each resource, and the service holds every query and every write against it: a
path that forgets it can't exist, because there is no other path to the collection.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from falcorest.caller import PUBLIC, Caller
from falcorest.errors import ConfigurationError, Forbidden, QueryError
from falcorest.methods import Method
from falcorest.protection import Protection
from falcorest.query import NOTHING, Filter, Query, conjunction, is_path
from falcorest.rows import Rows, read_rule

#: What a policy says of who may do what with which fields and documents, and what it holds.
RULES: dict[str, str] = {
    "hidden": "Fields that clients don't see: neither filtered or sorted by nor projected or "
    "written, at any depth.",
    "readonly": "Fields that clients see and never write.",
    "read": "Who may read: ``public``, ``authenticated``, or roles.",
    "write": "Who may write: the same.",
    "rows": "By role, a filter that all documents follow which are there for it.",
    "owner": "The field that names the user to whom a document belongs. It is set when the "
    "document is made, and documents of others are not there.",
    "unrestricted": "Roles to which neither ``rows`` nor ``owner`` applies.",
}


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be asked of a collection, by whom.

    Attributes:
        max_affected: The most documents that a bulk write may match.
        protection: Fields that clients don't see, or can't write.
        read: The roles that may read; None for everybody.
        write: The roles that may write; None for everybody.
        rows: By role, a filter that documents must follow to be there for it.
        owner: The field that names to whom a document belongs.
        unrestricted: The roles to which neither rows nor owner applies.
    """

    max_affected: int = 1000
    protection: Protection = field(default_factory=Protection)
    read: frozenset[str] | None = None
    write: frozenset[str] | None = None
    rows: Mapping[str, Filter] = field(default_factory=dict)
    owner: str | None = None
    unrestricted: frozenset[str] = frozenset()

    @classmethod
    def of(cls, rules: Mapping[str, Any], max_affected: int = 1000) -> Policy:
        """Return the policy that some rules make.

        Args:
            rules: By the names of :data:`RULES`.
            max_affected: The most documents that a bulk write may match.

        Raises:
            ConfigurationError: One line for each rule that is wrong, which starts with its name.
        """
        problems: list[str] = []
        for name, value in rules.items():
            try:
                if name not in RULES:
                    raise ConfigurationError("there is no such rule.")
                _CHECKS[name](value)
            except ConfigurationError as error:
                problems.extend(f"{name}: {problem}" for problem in error.problems)
        rows: dict[str, Filter] = {}
        given = rules.get("rows") or {}
        for role, rule in given.items() if isinstance(given, Mapping) else ():
            try:
                rows[role] = read_rule(rule)
            except ConfigurationError as error:
                problems.extend(f"rows.{role}: {problem}" for problem in error.problems)
        if problems:
            raise ConfigurationError(*problems)
        return cls(
            max_affected,
            Protection.of(rules.get("hidden", ()), rules.get("readonly", ())),
            _roles(rules.get("read")),
            _roles(rules.get("write")),
            rows,
            rules.get("owner"),
            frozenset(rules.get("unrestricted") or ()),
        )

    # -------------------------------------------------------------------------------- callers

    @property
    def is_personal(self) -> bool:
        """Whether it depends on who is calling."""
        return bool(self.rows or self.owner) or not (self.read is None and self.write is None)

    def may_read(self, caller: Caller) -> bool:
        """Tell whether a caller may read at all."""
        return self.read is None or not self.read.isdisjoint(caller.roles)

    def may_write(self, caller: Caller) -> bool:
        """Tell whether a caller may write at all."""
        if self.owner is not None and caller.username is None and not self._is_free(caller):
            return False
        return self.write is None or not self.write.isdisjoint(caller.roles)

    def allows(self, method: type[Method], caller: Caller) -> bool:
        """Tell whether a caller may ask for a method at all."""
        return (not method.reads or self.may_read(caller)) and (
            not method.writes or self.may_write(caller)
        )

    def is_public(self, method: type[Method], verb: str, public: Container[str]) -> bool:
        """Tell whether a method needs no login.

        Args:
            method: What is asked for.
            verb: The HTTP method.
            public: The HTTP methods that need none where nothing is said of it here.
        """
        if self.read is None and self.write is None:
            return verb in public
        readable = "GET" in public if self.read is None else PUBLIC in self.read
        writable = verb in public if self.write is None else PUBLIC in self.write
        return (readable or not method.reads) and (writable or not method.writes)

    def rows_of(self, caller: Caller) -> Rows | None:
        """Return which documents are there for a caller; None for all of them."""
        seen = self.may_read(caller)
        rules: list[Filter] = []
        if not self._is_free(caller):
            rules += [self.rows[role] for role in sorted(caller.roles & self.rows.keys())]
            if self.owner is not None:
                known = caller.username is not None
                rules.append({self.owner: caller.username} if known else dict(NOTHING))
        if seen and not rules and self.owner is None:
            return None
        return Rows(conjunction(rules), self.owner, caller.username, seen)

    def _is_free(self, caller: Caller) -> bool:
        return not self.unrestricted.isdisjoint(caller.roles)

    # ---------------------------------------------------------------------------------- bounds

    @staticmethod
    def bound_limit(
        limit: int | None, default_limit: int | None, max_limit: int | None
    ) -> int | None:
        """Return the limit of a list, in bounds.

        Args:
            limit: What is asked; None is no limit.
            default_limit: The limit of a list that names none; None is no limit.
            max_limit: The most documents that the list gives; None is no bound.

        Raises:
            QueryError: More is asked for than a list may give.
        """
        if limit is None:
            if default_limit is None or max_limit is None:
                return max_limit if default_limit is None else default_limit
            return min(default_limit, max_limit)
        if max_limit is not None and limit > max_limit:
            raise QueryError(
                "query.invalid_limit",
                f"_limit may be {max_limit} at the most.",
                parameter="_limit",
            )
        return limit

    def require_filter(self, query: Query) -> None:
        """Refuse a bulk write that would touch everything.

        Raises:
            Forbidden: The query has no filter.
        """
        if not query.filter:
            raise Forbidden(
                "bulk.unfiltered",
                "A write to a whole collection is refused; narrow it with a filter.",
            )

    def bound_affected(self, matched: int) -> None:
        """Refuse a bulk write that matches too much.

        Raises:
            Forbidden: More documents match than a bulk write may touch.
        """
        if matched > self.max_affected:
            raise Forbidden(
                "bulk.too_many",
                f"The filter matches more than {self.max_affected} documents, which is the most "
                "that one write may touch. Nothing was changed.",
            )


def _roles(names: Sequence[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _check_paths(value: Any) -> None:
    if not isinstance(value, (list, tuple)):
        raise ConfigurationError("a list of fields is needed.")
    for path in value:
        if not isinstance(path, str) or not is_path(path):
            raise ConfigurationError(f"{path!r} is not the path of a field.")
        if path.partition(".")[0] == "_id":
            raise ConfigurationError("the _id is what a document is known by.")


def _check_roles(value: Any) -> None:
    if value is not None and not (
        isinstance(value, (list, tuple)) and all(isinstance(one, str) and one for one in value)
    ):
        raise ConfigurationError("a list of roles is needed.")


def _check_rows(value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(role, str) for role in value):
        raise ConfigurationError("a filter for each role is needed.")


def _check_owner(value: Any) -> None:
    if value is not None and (
        not isinstance(value, str) or not is_path(value) or "." in value or value == "_id"
    ):
        raise ConfigurationError("the name of a field is needed, no path and not the _id.")


_CHECKS = {
    "hidden": _check_paths,
    "readonly": _check_paths,
    "read": _check_roles,
    "write": _check_roles,
    "rows": _check_rows,
    "owner": _check_owner,
    "unrestricted": _check_roles,
}
