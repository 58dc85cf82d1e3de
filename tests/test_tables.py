"""Tables: whatever stands in a cell, a reader of CSV gets it back."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from falcorest import bson_json
from falcorest.tables import Column, Table

TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from('",\r\n;\t='), max_size=8)
VALUES = TEXTS | st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
JSON = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS, JSON), max_size=4), st.tuples(TEXTS, TEXTS, TEXTS))
def test_what_is_written_is_read_back(
    rows: list[tuple[str, str, Any]], names: tuple[str, str, str]
) -> None:
    columns = [Column(name, (str(number),)) for number, name in enumerate(names)]
    table = Table(columns, bson_json.dumps)
    shown = [dict(zip("012", row, strict=True)) for row in rows]
    text = (table.start + table.write(shown)).decode()
    found = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert found[0] == list(names)
    for row, cells in zip(rows, found[1:], strict=True):
        assert cells[:2] == list(row[:2])
        value = row[2]
        if isinstance(value, str):
            assert cells[2] == value
        elif value is None:
            assert cells[2] == ""
        else:
            assert json.loads(cells[2]) == value


def test_an_empty_text_is_not_null() -> None:
    table = Table([Column("a", ("a",)), Column("b", ("b",))], bson_json.dumps)
    assert table.write([{"a": "", "b": None}, {}]) == b'"",\r\n,\r\n'
