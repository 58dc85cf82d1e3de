"""Show what each stage of a request costs inside the process, without a server.

    python -m benchmarks.stages [--door zero-code] [--rounds N] [--rst FOLDER]

Each figure is the least of many rounds, in which all stages take turns: microseconds of CPU of the
thread, and of the clock, which has the database in it. "prepare" makes the resource of a request
and asks it what may be read; "find" goes from there to the documents.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns, thread_time_ns
from typing import Any
from unittest.mock import patch

import falcon
from falcon.testing import create_environ
from pymongo import MongoClient

from benchmarks import by_hand, by_hand_declared, declared, tables
from benchmarks.__main__ import PROGRAMS, conditions
from benchmarks.documents import DATABASE, post_id, seed
from benchmarks.servers import settings
from falcorest.embedded import engine
from falcorest.links import begin
from falcorest.methods import Fetch, List
from falcorest.query import EVERYTHING, Keyset
from falcorest.server import create_app
from falcorest.writing import Writer

Call = Callable[[], Any]

#: What makes the application of a door, and the one by hand.
APPLICATIONS = {
    "zero-code": (create_app, by_hand.create_app, "/api/posts"),
    "declared": (declared.create_app, by_hand_declared.create_app, "/posts"),
}

#: The stages of a request, in their order.
STAGES = ("parse", "prepare", "find", "dump", "encode")
#: What a stage has in it.
POLICY, DRIVER = "… of find: policy", "… of find: pymongo, alone"
#: The request as a whole.
WHOLE, WHOLE_BY_HAND = "whole", "whole, by hand"


def caller(app: Any, path: str, query: str, method: str = "GET", body: bytes = b"") -> Call:
    """Return what sends a request to a WSGI application, as a server does."""
    headers = {"Accept": "*/*"}
    if body:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    environ = create_environ(path, query, method=method, headers=headers)
    environ.pop("HTTP_USER_AGENT", None)
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        statuses[:] = [status]

    def call() -> bytes:
        pieces = app({**environ, "wsgi.input": io.BytesIO(body)}, start_response)
        return b"".join(pieces)

    call()
    if not statuses[0].startswith("2"):
        raise SystemExit(f"{method} {path}: {statuses[0]}")
    return call


def stages_of_list(app: Any, place: str, collection: Any) -> dict[str, Call]:
    """Return the stages of a list of 100."""
    text = "_limit=100"
    view = app._router.find(place)[0]
    req = falcon.Request(create_environ(place, text))

    def parse() -> Any:
        asked = view.dialect.parse_list(text)
        return begin(asked, asked.limit, view.cursors)

    def prepare() -> Any:
        work = Writer(view.resource(req, List, view.service), view)
        work.bounded_limit(query)
        return work, work.readable(work.select(query))

    query = parse()
    work, narrowed = prepare()
    service = work.service
    # NOTE: each time anew, because it keeps where the page began and ended.
    found = work.resource.get_objects(replace(narrowed, keyset=Keyset()))
    documents = getattr(found[0], "first", found[0])
    shown = work.shown(documents)
    return {
        "parse": parse,
        "prepare": prepare,
        "find": lambda: work.resource.get_objects(replace(narrowed, keyset=Keyset())),
        POLICY: lambda: (
            service._condition(narrowed),
            service._projection(narrowed),
            service._sort(narrowed),
        ),
        DRIVER: lambda: collection.find({}, limit=100).to_list(),
        "dump": lambda: work.shown(documents),
        "encode": lambda: work.json(shown),
    }


def stages_of_fetch(app: Any, place: str, collection: Any) -> dict[str, Call]:
    """Return the stages of a fetch by id."""
    view = app._router.find(f"{place}/1")[0]
    req = falcon.Request(create_environ(f"{place}/{post_id(5)}"))

    def parse() -> Any:
        return view.declaration.convert_id(str(identity)), view.dialect.parse_item("")

    def prepare() -> Any:
        work = Writer(view.resource(req, Fetch, view.service), view)
        return work, work.readable(work.select(EVERYTHING))

    identity = post_id(5)
    work, narrowed = prepare()
    service = work.service
    documents = [work.resource.get_object(identity, narrowed)]
    shown = work.shown(documents)
    return {
        "parse": parse,
        "prepare": prepare,
        "find": lambda: work.resource.get_object(identity, narrowed),
        POLICY: lambda: (service._identify(identity, narrowed), service._projection(narrowed)),
        DRIVER: lambda: collection.find_one({"_id": identity}),
        "dump": lambda: work.shown(documents),
        "encode": lambda: work.json(shown),
    }


def least(calls: dict[str, Call], rounds: int, times: int) -> dict[str, tuple[float, float]]:
    """Return the least that each call costs: microseconds of CPU, and of the clock."""
    found = dict.fromkeys(calls, (float("inf"), float("inf")))
    for _ in range(rounds):
        for name, call in calls.items():
            start, before = perf_counter_ns(), thread_time_ns()
            for _ in range(times):
                call()
            cpu, clock = thread_time_ns() - before, perf_counter_ns() - start
            best = found[name]
            found[name] = min(best[0], cpu / times / 1000), min(best[1], clock / times / 1000)
    return found


def measure(door: str, uri: str, rounds: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Return what the stages of a door cost, by request."""
    make, make_by_hand, place = APPLICATIONS[door]
    found = {}
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, settings(uri)))
        client = stack.enter_context(MongoClient[dict[str, Any]](uri))
        collection = client[DATABASE]["posts"]
        apps = [stack.enter_context(opened(make)), stack.enter_context(opened(make_by_hand))]
        for name, stages, path, query, times in (
            ("fetch one by id", stages_of_fetch, f"{place}/{post_id(5)}", "", 20),
            ("list 100", stages_of_list, place, "_limit=100", 10),
        ):
            calls = stages(apps[0], place, collection)
            for who, app in zip((WHOLE, WHOLE_BY_HAND), apps, strict=True):
                calls[who] = caller(app, path, query)
            found[name] = least(calls, rounds, times)
    return found


@contextmanager
def opened(make: Callable[[], Any]) -> Iterator[Any]:
    """Make an application, and close the clients that it makes."""
    clients: list[Any] = []
    initialize = MongoClient.__init__

    def note(self: Any, *args: Any, **kwargs: Any) -> None:
        initialize(self, *args, **kwargs)
        clients.append(self)

    with patch.object(MongoClient, "__init__", note):
        app = make()
    try:
        yield app
    finally:
        for client in clients:
            client.close()


def table(
    found: dict[str, dict[str, tuple[float, float]]],
) -> tuple[list[str], list[list[str]]]:
    """Return the heading and the rows of what stages cost."""
    heading = ["stage"]
    for name in found:
        heading += [f"{name}: CPU, µs", "clock, µs"]
    costs = list(found.values())
    rows = []
    for stage in costs[0]:
        row = [stage]
        for one in costs:
            row += [f"{part:.1f}" for part in one[stage]]
        rows.append(row)
    rest = ["whole, less the stages"]
    for one in costs:
        rest += [f"{one[WHOLE][at] - sum(one[s][at] for s in STAGES):.1f}" for at in (0, 1)]
    return heading, [*rows, rest]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--door", choices=PROGRAMS, nargs="+", default=[*PROGRAMS])
    parser.add_argument("--posts", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--rst", type=Path, help="a folder for tables in reStructuredText")
    args = parser.parse_args(arguments)
    note = f"In one process, the least of {args.rounds} rounds; {conditions()}."
    with (
        TemporaryDirectory() as directory,
        engine(Path(directory) / "data", None, serving=True) as running,
    ):
        seed(running.uri, args.posts)
        for door in args.door:
            found = measure(door, running.uri, args.rounds)
            tables.write(args.rst, f"stages-{door}", *table(found), note)


if __name__ == "__main__":
    main()
