"""The requests that are measured, and the bounds that each kind of them is held to."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from math import lcm
from typing import Any

from bson import json_util

from benchmarks.documents import BULK, SEED, authors_of, post, post_id, user_id

#: How many requests of one kind there are, which differ in what they ask for.
VARIANTS = 20


@dataclass(frozen=True)
class Workload:
    """One kind of request.

    Attributes:
        name: What it does.
        method: That of its requests.
        paths: What is asked for, by turns.
        bodies: Likewise.
        bound: What falcorest may cost, as a multiple of what the program by hand costs.
        share: How many of these requests are sent where others are sent once.
        creates: Whether it makes documents, whose ids nobody knows before.
    """

    name: str
    method: str
    paths: list[str]
    bodies: list[bytes]
    bound: float
    share: float = 1.0
    creates: bool = False

    def requests(self) -> list[bytes]:
        """Return the requests as they are sent: each path with each body, if there are several."""
        return [
            request(
                self.method, self.paths[at % len(self.paths)], self.bodies[at % len(self.bodies)]
            )
            for at in range(lcm(len(self.paths), len(self.bodies)))
        ]


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """Return a request as it is sent."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: */*"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def workloads(posts: int) -> dict[str, list[Workload]]:
    """Return the workloads of each door.

    Args:
        posts: How many there are.
    """
    chance = random.Random(SEED)
    some = [chance.randrange(posts) for _ in range(VARIANTS)]
    new = [post(number, authors_of(posts), chance) for number in range(100)]
    return {
        "zero-code": _zero_code(posts, some, new),
        "declared": _declared(posts, some, new),
    }


def _zero_code(posts: int, some: list[int], new: list[dict[str, Any]]) -> list[Workload]:
    relaxed = json_util.RELAXED_JSON_OPTIONS

    def body(value: Any) -> bytes:
        return json_util.dumps(value, json_options=relaxed).encode()

    narrow = "author=[oid].{}&rating=gte[int].2&_sort=(views:ascending)&_limit=20"
    return _workloads(
        posts,
        some,
        place="/api/posts",
        new_place="/api/new_posts",
        every="/api/posts",
        narrow=narrow,
        batch="batch=[int].{}",
        new=new,
        body=body,
        bulk=[b'{"$inc":{"views":1}}'],
        bounds=(1.15, 1.10, 1.20, 1.25, 1.30, 1.25, 2.0, 1.10),
    )


def _declared(posts: int, some: list[int], new: list[dict[str, Any]]) -> list[Workload]:
    def body(value: Any) -> bytes:
        return json.dumps(
            value, default=lambda one: one.isoformat() if hasattr(one, "isoformat") else str(one)
        ).encode()

    made = _workloads(
        posts,
        some,
        place="/posts",
        new_place="/new_posts",
        every="/all_posts",
        narrow="author={}&rating__gte=2&_order_by=views&_limit=20",
        batch="batch={}",
        new=new,
        body=body,
        bulk=[b'{"views":%d}' % number for number in range(1, VARIANTS)],
        bounds=(1.20, 1.25, 1.25, 1.30, 1.60, 1.30, 2.0, 1.35),
    )
    related = ["/posts_with_authors?_limit=20"]
    made.insert(3, Workload("list 20 with the author embedded", "GET", related, [b""], 1.25, 0.5))
    return made


def _workloads(
    posts: int,
    some: list[int],
    *,
    place: str,
    new_place: str,
    every: str,
    narrow: str,
    batch: str,
    new: list[dict[str, Any]],
    body: Callable[[Any], bytes],
    bulk: list[bytes],
    bounds: tuple[float, ...],
) -> list[Workload]:
    items = [f"{place}/{post_id(number)}" for number in some]
    narrowed = [narrow.format(user_id(number % authors_of(posts))) for number in some]
    batches = [batch.format(number % (posts // BULK)) for number in some]
    none = [b""]
    fetch, many, few, create, create_many, change, bulk_update, everything = bounds
    return [
        Workload("fetch one by id", "GET", items, none, fetch),
        Workload("list 100", "GET", [f"{place}?_limit=100"], none, many, 0.5),
        Workload(
            "list 20, filter on two fields, sorted",
            "GET",
            [f"{place}?{one}" for one in narrowed],
            none,
            few,
        ),
        Workload(
            "create one", "POST", [new_place], [body(one) for one in new], create, creates=True
        ),
        Workload(
            "create 100 in one request",
            "POST",
            [new_place],
            [body(new)],
            create_many,
            0.2,
            creates=True,
        ),
        Workload(
            "change one by id",
            "PATCH",
            items,
            [b'{"views":%d}' % number for number in range(1, VARIANTS)],
            change,
        ),
        Workload(
            f"bulk update by filter, {BULK} documents",
            "PATCH",
            [f"{place}?{one}" for one in batches],
            bulk,
            bulk_update,
            0.4,
        ),
        Workload(
            EVERYTHING.format(min(posts, MOST)),
            "GET",
            [f"{every}?_limit={MOST}"],
            none,
            everything,
            0.03,
        ),
    ]


#: The largest answer.
MOST = 10_000
EVERYTHING = "one answer of {:,}"
