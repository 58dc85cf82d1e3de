"""Races for what the policy keeps: clients write while somebody else writes what is protected.

::

    python -m tests.attacks.races 300        # rounds; on a replica set
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from falcorest.embedded import engine, find_mongod
from tests.attacks.world import open_api, policy_settings
from tests.support import Api

POLICY = """
[resources.rockets]
collection = "rocket_engines"
hidden = ["cost", "supplier.contact", "parts.serial"]
read = ["public"]
write = ["authenticated"]
rows.public = { "$or" = [{ a = 1 }, { b = 1 }] }
"""

#: What a race may be answered with; a client that met another one is told to try again.
GOOD = frozenset({200, 204, 403, 409})


@contextmanager
def raced(uri: str, name: str) -> Iterator[Api]:
    """Serve a fresh database with a policy for races; it is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        api = open_api(policy_settings(Path(folder), uri, name, policy=POLICY))
        try:
            yield api
        finally:
            if not api.in_memory:
                api.database.client.drop_database(name)
            api.database.client.close()


def at_once(*works: Callable[[], Any]) -> None:
    """Run some work in threads, and wait for all of it."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def lose_nothing_hidden(api: Api, rounds: int) -> list[str]:
    """Clients write around hidden fields that are counted up meanwhile; none may be lost."""
    api.rockets.delete_many({})
    start = {"_id": "x", "a": 1, "cost": 0, "supplier": {"contact": 0}, "parts": [{"serial": 0}]}
    api.rockets.insert_one(start)
    over = threading.Event()
    statuses: Counter[int] = Counter()

    def count_up() -> None:
        counted = {"cost": 1, "supplier.contact": 1, "parts.0.serial": 1}
        for _ in range(rounds):
            api.rockets.update_one({"_id": "x"}, {"$inc": counted})
        over.set()

    def write(method: str, url: str, body: Callable[[int], Any]) -> Callable[[], None]:
        def work() -> None:
            number = 0
            while not over.is_set() or not number:
                number += 1
                statuses[api(method, url, body(number)).status_code] += 1

        return work

    at_once(
        count_up,
        write("PUT", "/api/rockets/x",
              lambda n: {"a": 1, "supplier": {"name": n}, "parts": [{"name": n}]}),
        write("PATCH", "/api/rockets/x", lambda n: {"supplier": {"name": -n}}),
        write("PATCH", "/api/rockets?_id=x", lambda n: {"$set": {"parts.0": {"name": -n}}}),
    )  # fmt: skip
    found = api.rockets.find_one({"_id": "x"})
    hidden = (found["cost"], found["supplier"]["contact"], found["parts"][0]["serial"])
    wrong = [] if hidden == (rounds,) * 3 else [f"{hidden} instead of {rounds} each"]
    return wrong + [f"{status}" for status in statuses if status not in GOOD]


def stay_in_sight(api: Api, rounds: int) -> list[str]:
    """Two clients each write what leaves a document in sight; both at once must not lose it."""
    wrong = []
    statuses: Counter[int] = Counter()
    for number in range(rounds):
        identity = f"both-{number}"
        api.rockets.insert_one({"_id": identity, "a": 1, "b": 1})
        url = f"/api/rockets/{identity}"
        methods: Sequence[tuple[str, str, Any]] = (
            ("PATCH", url, {"a": 0}),
            ("PATCH", f"/api/rockets?_id={identity}", {"$set": {"b": 0}}),
        )

        def write(method: str, url: str, body: Any) -> Callable[[], None]:
            def work() -> None:
                statuses[api(method, url, body).status_code] += 1

            return work

        at_once(*(write(*one) for one in methods))
        found = api.rockets.find_one({"_id": identity})
        if not (found["a"] or found["b"]):
            wrong.append(f"{identity} is out of sight: {found}")
    return wrong + [f"{status}" for status in statuses if status not in GOOD]


def main(rounds: int) -> int:
    """Run both on a replica set; return the exit code."""
    with (
        tempfile.TemporaryDirectory() as folder,
        engine(Path(folder), find_mongod(None), serving=True) as running,
        raced(running.uri, "raced") as api,
    ):
        wrong = [*lose_nothing_hidden(api, rounds), *stay_in_sight(api, rounds)]
    print(f"{2 * rounds} rounds, {len(wrong)} wrong", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
