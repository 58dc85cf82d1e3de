"""Idempotency keys: how they are read, and which responders they hold for."""

from __future__ import annotations

from typing import Any

import falcon
import mongomock
import pytest

from falcorest import FalcoRest, Resource, ResourceView, methods
from falcorest.errors import BadRequest
from falcorest.idempotency import read_key


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ('"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ('"a"', "a"),
        ("a", "a"),
        ('"a b, c"', "a b, c"),
        ("a b;c=1", "a b;c=1"),
        (r'"a\"b\\c"', r"a\"b\\c".replace('\\"', '"').replace("\\\\", "\\")),
        (r"a\b", r"a\b"),
        ("~!#", "~!#"),
        (f'"{"x" * 255}"', "x" * 255),
        ("x" * 255, "x" * 255),
        ('"' + r"\"" * 255 + '"', '"' * 255),
    ],
)
def test_a_key_stands_in_quotes_or_bare(header: str, key: str) -> None:
    assert read_key(header) == key


@pytest.mark.parametrize(
    "header",
    [
        "",
        '""',
        '"',
        '"a',
        'a"',
        '"a"b"',
        '"a";version=1',
        '"a", "b"',
        "a,b",
        r'"a\b"',
        '"a\\"',
        "a\tb",
        '"a\tb"',
        "a\x00",
        '"a\n"',
        "a\n",
        "\x7f",
        "å",
        '"å"',
        "x" * 256,
        f'"{"x" * 256}"',
    ],
)
def test_anything_else_is_refused(header: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_key(header)
    assert caught.value.code == "idempotency.invalid_key"


def test_an_asynchronous_responder_is_left_for_falcon_to_refuse() -> None:
    class Posts(Resource):
        collection = "posts"

    class PostView(ResourceView):
        resource = Posts
        methods = methods.ALL

        async def on_post(self, req: Any, resp: Any) -> None:  # type: ignore[override]
            """Would be never waited for."""

    api = FalcoRest(falcon.App(), mongomock.MongoClient()["blog"])
    with pytest.raises(TypeError, match="synchronous"):
        api.register(name="posts", url="/posts")(PostView)
