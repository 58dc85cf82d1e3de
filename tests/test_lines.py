"""Lines: however a body is cut into pieces, its lines are the same."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from falcon import Request, testing
from hypothesis import given, settings
from hypothesis import strategies as st

from falcorest.errors import ContentTooLarge
from falcorest.lines import Body

MOST = 6


class Pieces:
    """A stream that gives pieces as they are."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def read(self, size: int = -1) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def body_of(pieces: Sequence[bytes], max_bytes: int = 1000) -> Body:
    environ = testing.create_environ("/", method="POST")
    environ |= {"wsgi.input": Pieces(pieces), "wsgi.input_terminated": True}
    return Body(Request(environ), max_bytes)


PIECES = st.lists(st.text("ab\n", max_size=12).map(str.encode), max_size=8)


@settings(deadline=None)
@given(PIECES)
def test_lines_dont_depend_on_pieces(pieces: list[bytes]) -> None:
    lines = b"".join(pieces).split(b"\n")
    if not lines[-1]:
        lines.pop()
    expected = [line if len(line) <= MOST else None for line in lines]
    assert list(body_of(pieces).lines(MOST)) == expected
    assert body_of(pieces).whole() == b"".join(pieces)


@settings(deadline=None)
@given(PIECES)
def test_no_more_is_read_than_there_may_be(pieces: list[bytes]) -> None:
    size = sum(map(len, pieces))
    assert body_of(pieces, size + 1).whole() == b"".join(pieces)
    if size > 1:
        with pytest.raises(ContentTooLarge):
            body_of(pieces, size - 1).whole()
        with pytest.raises(ContentTooLarge):
            list(body_of(pieces, size - 1).lines(MOST))
