"""The table of all attacks, with sizes that are no attack."""

from __future__ import annotations

from tests.attacks.__main__ import (
    HEADER,
    IN_MEMORY,
    Row,
    try_declared,
    try_fuzz,
    try_hostile,
    try_model,
    try_two_databases,
)


def test_the_table() -> None:
    rows = [
        try_hostile(IN_MEMORY, "in memory"),
        try_two_databases(IN_MEMORY, "in memory", 40, 1),
        try_declared(None, "in memory", 40, 1),
        try_model(IN_MEMORY, "in memory", 2),
        *try_fuzz(0.1, 1),
    ]
    for row in rows:
        assert len(str(row)) == len(HEADER)
        assert row.tried > 0
        assert row.wrong == []
    assert {row.what for row in rows} >= {"hostile requests in memory", "broken inputs, JSON"}


def test_a_row_with_something_wrong() -> None:
    row = Row("requests", 10_000, 0.5, 61.2, ["a", "b"])
    assert str(row).split() == ["requests", "10,000", "50", "%", "61", "2"]
