"""Planning: whether an index serves what is asked, by the word of the database's own planner.

Source: https://www.mongodb.com/docs/manual/reference/explain-results/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from operator import attrgetter
from time import monotonic
from typing import Any, TypeAlias

from falcorest.database import MongoDatabase, Transactions, in_memory, operation
from falcorest.errors import ConfigurationError, QueryError
from falcorest.keyset import whole_order
from falcorest.memory.matching import is_condition
from falcorest.policy import Policy
from falcorest.query import Document, Filter, Page, Query
from falcorest.service import CollectionService, Updated
from falcorest.streams import DocumentStream
from falcorest.updates import Update

#: How long a verdict holds, in seconds, and how many of them are kept.
VERDICT_SECONDS = 10.0
VERDICTS = 1000

#: How many ranges of an index MongoDB reads side by side rather than to sort.
_SIDE_BY_SIDE = 200

Sort: TypeAlias = tuple[tuple[str, int], ...]


class IndexedService(CollectionService):
    """A service that refuses a list or a bulk write which no index serves.

    Args:
        database: Where the collection is.
        name: The collection.
        policy: What may be asked of it.
        transactions: Shared by the services of one database.

    Raises:
        ConfigurationError: The database is in memory, which plans no queries.
    """

    def __init__(
        self, database: MongoDatabase, name: str, policy: Policy, transactions: Transactions
    ) -> None:
        if in_memory(database):
            raise ConfigurationError(
                f"{name}: require_index: a database in memory plans no queries; it needs MongoDB."
            )
        super().__init__(database, name, policy, transactions)
        #: Until when it is known of a shape of queries whether an index serves it.
        self._verdicts: dict[Any, tuple[float, bool]] = {}

    def stream(self, query: Query) -> DocumentStream:
        self.require_index(query)
        return super().stream(query)

    def page(self, query: Query) -> Page:
        self.require_index(query)
        return super().page(query)

    def find_affected(self, query: Query) -> list[Document]:
        self.require_index(query)
        return super().find_affected(query)

    def update_many(self, query: Query, update: Update) -> Updated:
        self.require_index(query)
        return super().update_many(query, update)

    def delete_many(self, query: Query) -> int:
        self.require_index(query)
        return super().delete_many(query)

    def require_index(self, query: Query) -> None:
        """Refuse a query whose filter or sort no index serves.

        Raises:
            QueryError: It names an index that would, by the client's own fields.
            Forbidden: The query names a field that the caller doesn't see.
        """
        # NOTE: where a page begins makes no difference to what serves it.
        condition = self._condition(replace(query, keyset=None))
        sort = query.sort
        by_cursor = query.keyset is not None and query.keyset.parameter is not None
        # NOTE: where the policy adds the _id to a sort, no index of it is asked for.
        if by_cursor and len(self._sort(replace(query, keyset=None))) == len(sort):
            sort = whole_order(sort)
        if (query.filter or sort) and not self._is_served(query, condition, sort):
            raise QueryError("query.no_index", _refusal(query.filter, sort))

    def _is_served(self, query: Query, condition: Filter, sort: Sort) -> bool:
        # NOTE: what matters of a value is its type, but for an index that holds some documents
        # only. There, the verdict on one value holds for another one meanwhile.
        shape = (bool(query.filter), _shape(condition), sort)
        until, served = self._verdicts.get(shape, (0.0, False))
        if monotonic() > until:
            served = is_served(self._explain(condition, sort), bool(query.filter))
            # NOTE: what isn't served is looked at again, since an index may come for it.
            if served:
                if len(self._verdicts) >= VERDICTS:
                    self._verdicts.clear()
                self._verdicts[shape] = (monotonic() + VERDICT_SECONDS, served)
        return served

    @operation(attrgetter("time_limit"))
    def _explain(self, condition: Filter, sort: Sort) -> dict[str, Any]:
        find = {"find": self.collection.name, "filter": condition, "sort": dict(sort)}
        explained: dict[str, Any] = self._database.command(
            "explain",
            find,
            verbosity="queryPlanner",
            codec_options=self.collection.codec_options,
            read_preference=self.collection.read_preference,
        )
        return explained


def _shape(value: Any) -> Any:
    """Return what the planner looks at in a filter: paths, operators, and the types of values."""
    if isinstance(value, Mapping):
        return tuple((key, _shape(item)) for key, item in value.items())
    if isinstance(value, list):
        return len(value), frozenset(map(_shape, value))
    return value if value is None or isinstance(value, bool) else type(value)


# ----------------------------------------------------------------------------------- the plan

#: Where a stage, or the answer of a shard, holds what is below it.
_BELOW = (
    *("queryPlanner", "queryPlan", "inputStage", "inputStages", "outerStage", "innerStage"),
    *("thenStage", "elseStage", "shards", "stages", "$cursor"),
)


def is_served(plan: Any, filtered: bool) -> bool:
    """Tell whether indexes serve a plan, as ``explain`` gives it.

    It suffices that MongoDB could do it so, whichever way it finds better for what is stored
    today: the answer depends on the indexes, and not on the data.

    Args:
        plan: A part of the answer.
        filtered: Whether the client has a filter; without one, all documents may be read.
    """
    if isinstance(plan, list):
        return all(is_served(one, filtered) for one in plan)
    if "winningPlan" in plan:
        candidates = (plan["winningPlan"], *plan.get("rejectedPlans", ()))
        return any(is_served(one, filtered) for one in candidates)
    if plan.get("stage") == "SORT" or "$sort" in plan or (filtered and _reads_everything(plan)):
        return False
    below = [plan[name] for name in _BELOW if name in plan]
    if isinstance(plan.get("shards"), Mapping):
        # NOTE: of a view, explain gives the shards by their names.
        below = [*plan["shards"].values()]
    return all(is_served(one, filtered) for one in below)


def _reads_everything(stage: Mapping[str, Any]) -> bool:
    # NOTE: an index may be read from end to end for the sake of the order alone.
    return stage.get("stage") == "COLLSCAN" or (
        stage.get("stage") == "IXSCAN"
        and all(len(one) == 1 and one[0] in _WHOLE for one in stage["indexBounds"].values())
    )


_WHOLE = {"[MinKey, MaxKey]", "[MaxKey, MinKey]"}

# -------------------------------------------------------------------------------- the refusal


def _refusal(filter: Filter, sort: Sort) -> str:
    what = " and ".join(name for name, there in (("filter", filter), ("sort", sort)) if there)
    indexes = [_written(index) for index in serving_indexes(filter, sort)]
    if not indexes:
        return f"No index serves this {what}. Add a condition that one can, such as equality."
    return f"No index serves this {what}; one on {' and one on '.join(indexes)} would."


def _written(index: Mapping[str, int]) -> str:
    return "{" + ", ".join(f"{path}: {direction}" for path, direction in index.items()) + "}"


def serving_indexes(filter: Filter, sort: Sort) -> list[dict[str, int]]:
    """Return the indexes that would serve a filter and a sort; several for an ``$or``.

    In each, fields that are equal to something come first, those of the sort next, and those
    of a range last.

    Source: https://www.mongodb.com/docs/manual/tutorial/equality-sort-range-guideline/

    Returns:
        Directions by path. Empty where no index can serve the filter.
    """
    equal: list[str] = []
    others: list[str] = []
    groups: list[list[Filter]] = []
    ranges = 1
    for name, argument in _clauses(filter):
        if name == "$or":
            groups.append(argument)
        elif not name.startswith("$"):
            points = _points(argument)
            if points and not (sort and ranges * points > _SIDE_BY_SIDE):
                ranges *= points
                equal.append(name)
            elif points is not None:
                others.append(name)
    if filter and not equal and not others:
        for group in groups:
            branches = [serving_indexes(member, sort) for member in group]
            if all(branches):
                return [index for branch in branches for index in branch]
        return []
    directions = dict(sort)
    # NOTE: MongoDB reads an index from where its first field says, or else all of it.
    if filter and not equal and sort and sort[0][0] not in others:
        return []
    return [{path: directions.get(path, 1) for path in (*equal, *directions, *others)}]


def _clauses(filter: Filter) -> Iterator[tuple[str, Any]]:
    for name, argument in filter.items():
        if name == "$and":
            for member in argument:
                yield from _clauses(member)
        else:
            yield name, argument


def _points(condition: Any) -> int | None:
    """Count the values that a condition finds in an index; 0: it finds a range, None: nothing."""
    if not is_condition(condition):
        return 1
    found = [_POINTS.get(name, _nothing)(value) for name, value in condition.items()]
    return max((one for one in found if one is not None), default=None)


def _nothing(value: Any) -> int | None:
    return None


def _range(value: Any) -> int | None:
    return 0


def _negation(condition: Filter) -> int | None:
    # NOTE: MongoDB doesn't turn these around: not like a pattern, not
    # of a type, not unequal.
    found = _points(condition)
    return None if found is None or _NOT_TURNED & condition.keys() else 0


_NOT_TURNED = {"$ne", "$nin", "$regex", "$type", "$exists", "$not"}
_POINTS: dict[str, Callable[[Any], int | None]] = {
    "$eq": lambda value: 1,
    "$in": lambda values: len(values) or 1,
    "$all": lambda values: 1 if values else None,
    "$nin": lambda values: 0 if values else None,
    "$type": lambda name: None if name == "array" else 0,
    "$exists": lambda there: None if there else 0,
    "$not": _negation,
    **dict.fromkeys(("$gt", "$gte", "$lt", "$lte", "$ne", "$regex"), _range),
}
