"""What a request leaves behind: nothing that only the garbage collector finds."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from falcorest.streams import BATCH
from tests.doors import DECLARED, JSON_PATCH, ZERO_CODE, Door, MakeDoor, _make

NDJSON = "application/x-ndjson"
ROUNDS = 10

#: Method, place, body, and headers. What is missing here: when a transaction fails, the driver
#: keeps an error in a circle, and so does an import with its refused lines.
REQUESTS: dict[str, tuple[Any, ...]] = {
    "fetch": ("GET", "/x"),
    "fetch by tag": ("GET", "/x", ..., {"If-None-Match": '"other"'}),
    "list": ("GET", "?_limit=2"),
    "list all": ("GET", ""),
    "list all, zipped": ("GET", "", ..., {"Accept-Encoding": "gzip"}),
    "list all as lines": ("GET", "", ..., {"Accept": "application/x-ndjson"}),
    "list, filtered": ("GET", "?n=0&_limit=2"),
    "list, counted": ("GET", "?_count=exact&_limit=1"),
    "list, from a place": ("GET", "?_limit=1&_after="),
    "list as CSV": ("GET", "?_limit=2", ..., {"Accept": "text/csv"}),
    "head": ("HEAD", "/x"),
    "create": ("POST", "", {"n": 5}),
    "create many": ("POST", "", [{"n": 5}, {"n": 6}]),
    "patch": ("PATCH", "/x", {"n": 7}),
    "merge patch": ("PATCH", "/x", {"n": 8}, {"Content-Type": "application/merge-patch+json"}),
    "put": ("PUT", "/x", {"n": 9}),
    "delete": ("DELETE", "/y"),
    "nothing there": ("GET", "/nobody"),
    "nothing to patch": ("PATCH", "/nobody", {"n": 1}),
    "wrong body": ("POST", "", {"n": {"$oid": "x"}}),
    "no JSON": ("POST", "", "{"),
    "wrong query": ("GET", "?_limit=x"),
    "no such place": ("GET", "/x/y/z"),
    "no such method": ("POST", "/x", {}),
    "JSON patch": (
        *("PATCH", "/x", [{"op": "replace", "path": "/n", "value": 5}]),
        {"Content-Type": JSON_PATCH},
    ),
    "JSON patch that fails": (
        *("PATCH", "/x", [{"op": "test", "path": "/n", "value": "no"}]),
        {"Content-Type": JSON_PATCH},
    ),
    "wrong patch": ("PATCH", "/x", {"n": {"$oid": "x"}}),
    "change many": ("PATCH", "?n=77", {"n": 78}),
    "change all": ("PATCH", "", {"n": 78}),
    "remove many": ("DELETE", "?n=77"),
    "there already": ("POST", "", {"_id": "x", "id": "x"}),
    "many, of which one is wrong": ("POST", "", [{}, {"n": {"$oid": "x"}}]),
    "changed since": ("PATCH", "/x", {"n": 5}, {"If-Match": '"other"'}),
    "not modified": ("GET", "/x", ..., {"If-None-Match": "*"}),
    "too much": ("GET", "?_limit=100000000000000000000"),
    "wrong cursor": ("GET", "?_after=x&_limit=5"),
    "no such type": ("GET", "", ..., {"Accept": "image/png"}),
    "no such body": ("POST", "", {}, {"Content-Type": "image/png"}),
    "import": ("POST", "", '{"n": 5}\n{"n": 6}', {"Content-Type": NDJSON}),
    "key": ("POST", "", {"n": 5}, {"Idempotency-Key": ...}),
}


@pytest.fixture(params=[ZERO_CODE, DECLARED])
def live_door(request: pytest.FixtureRequest) -> MakeDoor:
    """Open a door on a replica set."""
    return _make(request, request.param, "mongod")


@pytest.fixture
def collected() -> Iterator[Callable[[], Counter[str]]]:
    """Give what counts the kinds of objects that only the collector has found in the block."""
    gc.collect()
    gc.disable()
    # PERF: what is there already isn't looked at each time.
    gc.freeze()
    found: Counter[str] = Counter()

    def count() -> Counter[str]:
        before = len(gc.garbage)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        found.clear()
        found.update(type(one).__qualname__ for one in gc.garbage[before:])
        del gc.garbage[before:]
        gc.collect()
        return found

    try:
        yield count
    finally:
        gc.unfreeze()
        gc.enable()


@pytest.mark.live
def test_requests_leave_no_circles(
    live_door: MakeDoor, collected: Callable[[], Counter[str]]
) -> None:
    """They would be kept until the collector comes, and it would have to look for them."""
    door: Door = live_door()
    door.put_thing()
    door.things.insert_many([{"_id": str(number)} for number in range(BATCH + 100)])
    left = {}
    for kind, (method, place, *more) in REQUESTS.items():
        body, headers = (*more, *(..., {})[len(more) :])

        def send(
            method: str = method, place: str = place, body: Any = body, headers: Any = headers
        ) -> None:
            if "Idempotency-Key" in headers:
                headers = {"Idempotency-Key": uuid4().hex}
            if type(body) is str:
                door(method, place, headers=headers, raw=body.encode())
            else:
                door(method, place, body, headers=headers)

        for _ in range(3):
            send()
        collected()
        for _ in range(ROUNDS):
            send()
        # NOTE: clients that were closed before leave something, too.
        left[kind] = [name for name, number in collected().items() if number >= ROUNDS]
    assert not {kind: names for kind, names in left.items() if names}
