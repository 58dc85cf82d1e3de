"""Rivals: clients that write one document at once, each as it has read it. Nothing may be lost.

::

    python -m tests.attacks.rivals 20 50        # runs of each, and threads in each run
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from falcorest import ResourceView, methods
from falcorest.embedded import engine, find_mongod
from tests.attacks.world import open_api, policy_settings
from tests.declared import DeclaredApi
from tests.doors import JSON_PATCH, MERGE, Door, Things

#: How often a client tries before it gives up.
ATTEMPTS = 10_000


def at_once(count: int, work: Callable[[int], Any]) -> Counter[Any]:
    """Do something in several threads that start together; return what came out how often."""
    ready, found, lock = threading.Barrier(count), Counter[Any](), threading.Lock()

    def run(number: int) -> None:
        ready.wait()
        try:
            outcome = work(number)
        except Exception as error:
            outcome = repr(error)
        with lock:
            found[outcome] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _until(done: Callable[[], int], again: int) -> int:
    status = again
    for _ in range(ATTEMPTS):
        status = done()
        if status != again:
            break
    return status


def _begin(door: Door) -> None:
    door.things.delete_many({})
    door.put_thing(pair={})


def _wrong(found: Counter[Any], expected: Mapping[Any, int], *rest: tuple[Any, Any]) -> list[str]:
    wrong = [] if found == expected else [f"{dict(found)} instead of {dict(expected)}"]
    return wrong + [f"{one!r} instead of {other!r}" for one, other in rest if one != other]


def count_with_if_match(door: Door, threads: int) -> list[str]:
    """Each reads, and patches with the tag, until it is done; the counter is exact."""
    _begin(door)

    def once() -> int:
        read = door("GET")
        body = {"n": read.json["n"] + 1}
        return door("PATCH", "/x", body, headers={"If-Match": read.headers["etag"]}).status_code

    found = at_once(threads, lambda number: _until(once, 412))
    good = 200 if door.is_declared else 204
    return _wrong(found, {good: threads}, (door.stored()["n"], threads))


def count_by_replacing(door: Door, threads: int) -> list[str]:
    """The same with PUT."""
    _begin(door)

    def once() -> int:
        read = door("GET")
        body = {**read.json, "n": read.json["n"] + 1}
        return door("PUT", "/x", body, headers={"If-Match": read.headers["etag"]}).status_code

    found = at_once(threads, lambda number: _until(once, 412))
    good = 200 if door.is_declared else 204
    return _wrong(found, {good: threads}, (door.stored()["n"], threads))


def delete_with_if_match(door: Door, threads: int) -> list[str]:
    """All delete what all have read; one does."""
    _begin(door)
    match = {"If-Match": door.tag()}
    found = at_once(threads, lambda number: door("DELETE", headers=match).status_code)
    return _wrong(found, {204: 1, 404: threads - 1}, (door.stored(), None))


def create_if_none_is_there(door: Door, threads: int) -> list[str]:
    """All put a document where none was; one does."""
    door.things.delete_many({})
    none = {"If-None-Match": "*"}
    found = at_once(
        threads, lambda number: door("PUT", "/x", {"n": number}, headers=none).status_code
    )
    return _wrong(found, {201: 1, 412: threads - 1}, (door.things.count_documents({}), 1))


def count_by_json_patch(door: Door, threads: int) -> list[str]:
    """Each tests the counter and replaces it in one patch, until it is done."""
    _begin(door)

    def once() -> int:
        count = door("GET").json["n"]
        body = [
            {"op": "test", "path": "/n", "value": count},
            {"op": "replace", "path": "/n", "value": count + 1},
        ]
        return door("PATCH", "/x", body, media_type=JSON_PATCH).status_code

    found = at_once(threads, lambda number: _until(once, 409))
    good = 200 if door.is_declared else 204
    return _wrong(found, {good: threads}, (door.stored()["n"], threads))


def append_by_json_patch(door: Door, threads: int) -> list[str]:
    """Each appends to a list, without a word of what is there."""
    _begin(door)

    def once(number: int) -> int:
        body = [{"op": "add", "path": "/tags/-", "value": f"{number}"}]
        return door("PATCH", "/x", body, media_type=JSON_PATCH).status_code

    found = at_once(threads, once)
    good = 200 if door.is_declared else 204
    expected = sorted(["t", *map(str, range(threads))])
    return _wrong(found, {good: threads}, (sorted(door.stored()["tags"]), expected))


def merge_into_one_object(door: Door, threads: int) -> list[str]:
    """Each merges a field of its own into one object, and reads none of it."""
    _begin(door)
    names = [f"f{number}" for number in range(threads)] if not door.is_declared else ["a", "b"]

    def once(number: int) -> int:
        body = {"pair": {names[number % len(names)]: number % len(names)}}
        return door("PATCH", "/x", body, media_type=MERGE).status_code

    found = at_once(threads, once)
    good = 200 if door.is_declared else 204
    expected = {name: number for number, name in enumerate(names)}
    return _wrong(found, {good: threads}, (door.stored()["pair"], expected))


RIVALRIES: tuple[Callable[[Door, int], list[str]], ...] = (
    count_with_if_match,
    count_by_replacing,
    delete_with_if_match,
    create_if_none_is_there,
    count_by_json_patch,
    append_by_json_patch,
    merge_into_one_object,
)


@contextmanager
def both_doors(uri: str, version_field: str | None = None) -> Iterator[list[Door]]:
    """Open both doors to a fresh database; it is gone afterwards."""
    name = f"rivals_{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as folder:
        policy = '[resources.rockets]\ncollection = "rocket_engines"\n'
        if version_field is not None:
            policy += f'version_field = "{version_field}"\n'
        api = open_api(policy_settings(Path(folder), uri, name, policy=policy))
        resource = type("Rivals", (Things,), {"version_field": version_field})
        view = type("View", (ResourceView,), {"resource": resource, "methods": methods.ALL})
        client: MongoClient[Any] = MongoClient(uri)
        declared = DeclaredApi(client[name]).register(things=view)
        try:
            yield [
                Door(api, "/api/rockets", "mongod", is_declared=False),
                Door(declared, "/things", "mongod", is_declared=True),
            ]
        finally:
            client.drop_database(name)
            client.close()
            api.database.client.close()


def results(uri: str, runs: int, threads: int) -> Iterator[tuple[str, int, float, list[str]]]:
    """Try each rivalry at both doors, with a version field and without.

    Yields:
        Its name, how many runs there were, the seconds that they took, and what is wrong.
    """
    with both_doors(uri) as plain, both_doors(uri, "v") as counting:
        for rivalry in RIVALRIES:
            started, count = time.monotonic(), 0
            wrong: list[str] = []
            for door in (*plain, *counting):
                # NOTE: at the declared door, PUT makes no document.
                if rivalry is create_if_none_is_there and door.is_declared:
                    continue
                count += runs
                wrong += [one for _ in range(runs) for one in rivalry(door, threads)]
            name = rivalry.__name__.replace("_", " ")
            yield name, count, time.monotonic() - started, wrong


def main(runs: int, threads: int) -> int:
    """Run all of them on a replica set; return the exit code."""
    bad = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        engine(Path(folder), find_mongod(None), serving=True) as running,
    ):
        for name, count, seconds, wrong in results(running.uri, runs, threads):
            print(f"{name:32} {count} runs {seconds:6.1f} s {len(wrong)} wrong", flush=True)
            print(*wrong, sep="\n", end="\n" if wrong else "")
            bad += len(wrong)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
