"""Policy: the bounds of lists and bulk writes."""

from __future__ import annotations

import pytest

from falcorest.errors import Forbidden, QueryError
from falcorest.policy import Policy
from falcorest.query import EVERYTHING, Query


@pytest.mark.parametrize(
    ("max_limit", "default", "asked", "limit"),
    [
        (None, None, None, None),
        (None, None, 7, 7),
        (None, None, 0, 0),
        (None, 10, None, 10),
        (None, 10, 50, 50),
        (20, None, None, 20),
        (20, 20, None, 20),
        (20, 10, None, 10),
        (20, 50, None, 20),
        (20, 10, 0, 0),
        (20, 20, 20, 20),
        (20, 20, 1, 1),
    ],
)
def test_a_list_has_the_limit_that_is_asked_for_or_configured(
    max_limit: int | None, default: int | None, asked: int | None, limit: int | None
) -> None:
    assert Policy.bound_limit(asked, default, max_limit) == limit


def test_more_than_the_configured_limit_is_refused() -> None:
    with pytest.raises(QueryError, match="20") as caught:
        Policy.bound_limit(21, 20, 20)
    assert (caught.value.code, caught.value.parameter) == ("query.invalid_limit", "_limit")


@pytest.mark.parametrize("query", [EVERYTHING, Query(limit=5, sort=(("a", 1),), projection=("a",))])
def test_a_bulk_write_without_a_filter_is_refused(query: Query) -> None:
    with pytest.raises(Forbidden) as caught:
        Policy().require_filter(query)
    assert caught.value.code == "bulk.unfiltered"


def test_a_bulk_write_with_a_filter_may_go_on() -> None:
    Policy().require_filter(Query({"a": 1}))


def test_a_bulk_write_may_match_a_thousand_documents_unless_told_otherwise() -> None:
    Policy().bound_affected(1000)
    with pytest.raises(Forbidden, match="1000") as caught:
        Policy().bound_affected(1001)
    assert caught.value.code == "bulk.too_many"


def test_a_bulk_write_may_match_what_the_policy_says() -> None:
    Policy(max_affected=2).bound_affected(2)
    with pytest.raises(Forbidden):
        Policy(max_affected=2).bound_affected(3)
