"""Compare falcorest with a program written by hand, in the same server on the same database.

    python -m benchmarks.run [--posts N] [--requests N] [--rounds N] [--server granian]

Both run at the same time, each in one worker, and take turns at each workload, round by round.
What is compared is the CPU time that the server process spends on a request: on a busy machine
that is the steadier figure. Answers are compared before anything is timed. The figures are
ratios, falcorest divided by hand: their minimum, median and maximum over the rounds.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from bson import ObjectId
from pymongo import MongoClient

from falcorest.embedded import engine

SEED = 20261121
DATABASE = "benchmark"
BULK = 60

COMMANDS = {
    "granian": "granian --interface wsgi --factory --port {port} --blocking-threads 4 "
    "--log-level error {app}",
    "gunicorn": "gunicorn --worker-class gthread --threads 4 --log-level error "
    "--no-control-socket --bind 127.0.0.1:{port} {app}()",
    "waitress": "waitress-serve --listen 127.0.0.1:{port} --threads 4 --call {app}",
}


@dataclass(frozen=True)
class Workload:
    """One kind of request."""

    name: str
    method: str
    path: str
    body: Any = None
    same: bool = True


@dataclass
class Target:
    """A server that is measured."""

    connection: http.client.HTTPConnection
    process: psutil.Process

    def send(self, workload: Workload) -> tuple[int, bytes]:
        body = None if workload.body is None else json.dumps(workload.body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        self.connection.request(workload.method, workload.path, body, headers)
        response = self.connection.getresponse()
        return response.status, response.read()

    def cpu(self) -> float:
        """Return the CPU seconds that the server and its workers have used."""
        processes = [self.process, *self.process.children(recursive=True)]
        times = [process.cpu_times() for process in processes]
        return sum(spent.user + spent.system for spent in times)


@dataclass(frozen=True)
class Result:
    """What a workload cost: milliseconds of CPU a request, and seconds, round by round."""

    workload: Workload
    ours: list[float]
    by_hand: list[float]
    ours_seconds: list[float]
    by_hand_seconds: list[float]

    def ratios(self) -> list[float]:
        return [ours / hand for ours, hand in zip(self.ours, self.by_hand, strict=True)]

    def throughput(self) -> float:
        pairs = zip(self.ours_seconds, self.by_hand_seconds, strict=True)
        return median(hand / ours for ours, hand in pairs)


def post(number: int, chance: random.Random) -> dict[str, Any]:
    """Return a document of ten fields beside its _id."""
    words = ["falcon", "rocket", "orbit", "stage", "thrust", "nozzle", "pad", "crew"]
    return {
        "_id": ObjectId(f"{number:024x}"),
        "title": " ".join(chance.choices(words, k=4)),
        "author": f"user{chance.randrange(1000)}",
        "rating": chance.randrange(10),
        "views": chance.randrange(100_000),
        "body": " ".join(chance.choices(words, k=20)),
        "is_published": chance.random() < 0.8,
        "tags": chance.sample(words, 3),
        "score": chance.random(),
        "batch": number // BULK,
        "content": {"language": "en", "words": chance.randrange(1000)},
    }


def workloads(chance: random.Random) -> list[Workload]:
    one = f"/api/posts/{5:024x}"
    fields = post(0, chance)
    del fields["_id"]
    narrow = "author=user7&rating=gte[int].2&_sort=(views:ascending)&_limit=20"
    return [
        Workload("fetch one by id", "GET", one),
        Workload("list 100", "GET", "/api/posts?_limit=100"),
        Workload("list 20, filter on two fields, sorted", "GET", f"/api/posts?{narrow}"),
        Workload("create one", "POST", "/api/posts", fields, same=False),
        Workload("create 100 in one request", "POST", "/api/posts", [fields] * 100, same=False),
        Workload("change one by id", "PATCH", one, {"views": 7}),
        Workload(
            f"bulk update by filter, {BULK} documents",
            "PATCH",
            "/api/posts?batch=[int].3",
            {"$inc": {"views": 1}},
        ),
    ]


def seed(uri: str, posts: int) -> None:
    chance = random.Random(SEED)
    with MongoClient(uri) as client:
        collection = client[DATABASE]["posts"]
        collection.insert_many(post(number, chance) for number in range(posts))
        collection.create_index([("author", 1), ("rating", 1)])
        collection.create_index("batch")


@contextmanager
def target(server: str, app: str, uri: str, folder: Path) -> Iterator[Target]:
    """Run an application in one worker of a server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = COMMANDS[server].format(port=port, app=app).split()
    program = Path(sys.executable).parent / words[0]
    process = subprocess.Popen(
        [str(program), *words[1:]],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "MONGODB_URI": uri,
            "DATABASE": DATABASE,
            "COLLECTIONS": "posts:posts",
            "JWT_SECRET_KEY": "x" * 32,
            "FALCOREST_PUBLIC_METHODS": "GET,POST,PATCH",
            # NOTE: the program written by hand logs and counts nothing.
            "FALCOREST_ACCESS_LOG": "off",
            "FALCOREST_METRICS": "off",
            "FALCOREST_SLOW_MS": "0",
        },
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        yield Target(connection, psutil.Process(process.pid))
        connection.close()
    finally:
        process.terminate()
        process.wait(30)


def check(workload: Workload, ours: Target, by_hand: Target) -> None:
    """Refuse to time answers that differ; the ids of new documents do."""
    mine, theirs = ours.send(workload), by_hand.send(workload)
    if mine[0] != theirs[0] or (workload.same and mine[1] != theirs[1]):
        raise SystemExit(f"{workload.name}: the answers differ: {mine[:200]} {theirs[:200]}")
    if not 200 <= mine[0] < 300:
        raise SystemExit(f"{workload.name}: {mine}")


def measure(workload: Workload, ours: Target, by_hand: Target, args: Any) -> Result:
    """Send a workload to both by turns."""
    result = Result(workload, [], [], [], [])
    for round_ in range(args.rounds):
        sides = [(ours, result.ours, result.ours_seconds)]
        sides.append((by_hand, result.by_hand, result.by_hand_seconds))
        for side, costs, seconds in sides if round_ % 2 else reversed(sides):
            before, start = side.cpu(), time.perf_counter()
            for _ in range(args.requests):
                side.send(workload)
            seconds.append(time.perf_counter() - start)
            costs.append(max(side.cpu() - before, 1e-6) / args.requests * 1000)
    return result


def table(results: list[Result]) -> str:
    """Return the figures as a table."""
    width = max(len(result.workload.name) for result in results)
    heading = "by hand, ms    CPU ÷ by hand: min median max   throughput ÷ by hand"
    lines = [f"{'workload':{width}}  {heading}"]
    for result in results:
        ratios = result.ratios()
        lines.append(
            f"{result.workload.name:{width}}  {median(result.by_hand):11.3f}    "
            f"{min(ratios):19.2f} {median(ratios):6.2f} {max(ratios):4.2f}"
            f"{result.throughput():22.2f}"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> list[Result]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--posts", type=int, default=50_000)
    parser.add_argument("--requests", type=int, default=400, help="a round and side")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--server", choices=COMMANDS, default="granian")
    args = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        uri = stack.enter_context(engine(folder / "data", None, serving=True)).uri
        seed(uri, args.posts)
        ours, by_hand = (
            stack.enter_context(target(args.server, f"{app}:create_app", uri, folder))
            for app in ("falcorest", "benchmarks.by_hand")
        )
        results = []
        for workload in workloads(random.Random(SEED)):
            check(workload, ours, by_hand)
            measure(workload, ours, by_hand, argparse.Namespace(rounds=1, requests=20))
            results.append(measure(workload, ours, by_hand, args))
    print(
        f"{args.server}, {args.posts} documents, {args.rounds} rounds of {args.requests} requests"
    )
    print(table(results))
    return results


if __name__ == "__main__":
    main()
