"""Commands: their shapes have names and operators, and no values."""

from __future__ import annotations

from typing import Any

import pytest

from falcorest.commands import shape_of

HUSH = "hush"


@pytest.mark.parametrize(
    ("command", "shape"),
    [
        ({"find": "a", "filter": {}}, {"filter": {}}),
        ({"find": "a", "filter": {"name": HUSH}}, {"filter": {"name": "?"}}),
        (
            {"find": "a", "filter": {"n": {"$gt": 1, "$in": [HUSH]}}, "sort": {"n": 1, "a.b": -1}},
            {"filter": {"n": {"$gt": "?", "$in": "?"}}, "sort": ["n", "a.b"]},
        ),
        ({"find": "a", "filter": {"a": {HUSH: 1}}}, {"filter": {"a": "?"}}),
        ({"find": "a", "filter": {"a": {"$eq": {HUSH: 1}}}}, {"filter": {"a": {"$eq": "?"}}}),
        (
            {"find": "a", "filter": {"$and": [{"a": 1}, {"$or": [{"b": {"$not": {"$lt": 1}}}]}]}},
            {"filter": {"$and": [{"a": "?"}, {"$or": [{"b": {"$not": {"$lt": "?"}}}]}]}},
        ),
        (
            {"find": "a", "filter": {"$expr": {"$eq": ["$$ROOT", HUSH]}}},
            {"filter": {"$expr": {"$eq": "?"}}},
        ),
        ({"getMore": 5, "collection": "a"}, {}),
        ({"insert": "a", "documents": [{HUSH: HUSH}]}, {}),
        (
            {"update": "a", "updates": [{"q": {"_id": 1}, "u": {"$set": {"a.b": {HUSH: 1}}}}] * 2},
            {"filter": {"_id": "?"}, "update": {"$set": {"a.b": "?"}}},
        ),
        (
            {"update": "a", "updates": [{"q": {"_id": 1}, "u": {"name": HUSH}}]},
            {"filter": {"_id": "?"}, "update": "?"},
        ),
        (
            {"update": "a", "updates": [{"q": {"_id": 1}, "u": [{"$set": {"name": HUSH}}]}]},
            {"filter": {"_id": "?"}, "update": "?"},
        ),
        ({"delete": "a", "deletes": [{"q": {"a": HUSH}, "limit": 0}]}, {"filter": {"a": "?"}}),
        (
            {"findAndModify": "a", "query": {"a": 1}, "update": {"$inc": {"n": 1}}},
            {"query": {"a": "?"}, "update": {"$inc": {"n": "?"}}},
        ),
        (
            {"aggregate": "a", "pipeline": [{"$match": {"a": HUSH}}, {"$group": {"_id": HUSH}}]},
            {"pipeline": [{"$match": {"a": "?"}}, {"$group": "?"}]},
        ),
        ({"ping": 1}, {}),
    ],
)
def test_a_shape_has_no_values(command: dict[str, Any], shape: dict[str, Any]) -> None:
    assert shape_of(command) == shape
    assert HUSH not in str(shape)
