"""Policy: what a caller may ask of a collection.

There is one for each resource, and the service holds every query against it: a path that
forgets it can't exist, because there is no other path to the collection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from falcorest.errors import Forbidden, QueryError
from falcorest.query import Query


@dataclass(frozen=True, slots=True)
class Policy:
    """The bounds of what is asked.

    Attributes:
        max_limit: The most documents in one list, or None for any number.
        max_affected: The most documents that a bulk write may match.
    """

    max_limit: int | None = None
    max_affected: int = 1000

    def bound_list(self, query: Query, default_limit: int | None) -> Query:
        """Return the query of a list with its limit in bounds.

        Args:
            query: What is asked.
            default_limit: The limit of a list that names none; None is no limit.

        Raises:
            QueryError: More is asked for than a list may give.
        """
        limit = query.limit
        if limit is None:
            limit = min(
                (one for one in (default_limit, self.max_limit) if one is not None), default=None
            )
        elif self.max_limit is not None and limit > self.max_limit:
            raise QueryError(
                "query.invalid_limit",
                f"_limit may be {self.max_limit} at the most.",
                parameter="_limit",
            )
        return query if limit == query.limit else replace(query, limit=limit)

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
