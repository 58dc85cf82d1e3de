"""Compare falcorest with programs written by hand, in the same server on the same database.

    python -m benchmarks [--door zero-code] [--only "list 100"] [--rounds N] [--rst FOLDER]

A database is started and filled from a fixed seed. All programs of a door run at the same time,
each in one worker, and take turns at each workload, round by round. What is compared is the CPU
time that the processes of a server spend on a request: on a busy machine that is the steadier
figure. Answers are compared before anything is timed, and nothing is where they differ.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from pymongo import MongoClient

from benchmarks import tables
from benchmarks.documents import DATABASE, SEED, seed
from benchmarks.servers import COMMANDS, Target, command, running, settings
from benchmarks.workloads import EVERYTHING, MOST, VARIANTS, Workload, workloads
from falcorest.embedded import engine

OURS, BY_HAND, BY_SCHEMA = "falcorest", "by hand", "with a schema"

#: What is compared at each door.
PROGRAMS = {
    "zero-code": {OURS: "falcorest:create_app", BY_HAND: "benchmarks.by_hand:create_app"},
    "declared": {
        OURS: "benchmarks.declared:create_app",
        BY_HAND: "benchmarks.by_hand_declared:create_app",
        BY_SCHEMA: "benchmarks.by_hand_declared:create_app_with_schema",
    },
}

#: How many requests a program gets before it is the turn of the next one. What disturbs a machine
#: for longer than that disturbs all of them.
TURN = 10


@dataclass
class Costs:
    """What the requests of a workload have cost a program, round by round.

    Attributes:
        cpu: Milliseconds of CPU a request.
        clock: Milliseconds a request.
    """

    cpu: list[float] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """What a workload has cost, by program."""

    workload: Workload
    costs: dict[str, Costs]

    def ratios(self, program: str = OURS) -> list[float]:
        """Return the CPU time of a program divided by that of the one by hand, by round."""
        pairs = zip(self.costs[program].cpu, self.costs[BY_HAND].cpu, strict=True)
        return [one / hand for one, hand in pairs]

    def throughput(self) -> float:
        pairs = zip(self.costs[OURS].clock, self.costs[BY_HAND].clock, strict=True)
        return median(hand / ours for ours, hand in pairs)


@dataclass(frozen=True)
class Peak:
    """The most memory that the processes of a server have had, in MiB, run by run.

    Attributes:
        before: After a first, small answer.
        after: After a large one.
    """

    before: list[float]
    after: list[float]


# ------------------------------------------------------------------------------------- answers


def check(workload: Workload, targets: dict[str, Target], collection: Any) -> None:
    """Refuse to time answers that differ. The ids of new documents do."""
    for request in workload.requests()[:VARIANTS]:
        answers: dict[str, Any] = {}
        for name, target in targets.items():
            status, body = target.send(request)
            if not 200 <= status < 300:
                raise SystemExit(f"{workload.name}: {name} answers {status} {body[:500]!r}")
            shown = json.loads(body or b"null")
            stored = None
            if workload.creates:
                found = collection.find({}, {"_id": 1}, sort={"_id": 1}).to_list()
                shown = _without_ids(shown, {str(one["_id"]) for one in found})
                stored = collection.find({}, {"_id": 0}, sort={"_id": 1}).to_list()
                collection.delete_many({})
            answers[name] = (status, shown, stored)
        expected = answers[BY_HAND]
        for name, answer in answers.items():
            if answer != expected:
                raise SystemExit(
                    f"{workload.name}: {name} differs: {str(answer)[:500]} {str(expected)[:500]}"
                )


def _without_ids(shown: Any, identities: set[str]) -> Any:
    """Return an answer without the ids of some documents, which it must name."""
    text = json.dumps(shown)
    for identity in identities:
        if identity not in text:
            raise SystemExit(f"the answer doesn't name {identity}: {text[:500]}")
        text = text.replace(identity, "")
    return json.loads(text)


def take_turns(
    targets: dict[str, Target],
    requests: dict[str, list[bytes]],
    rounds: int,
    times: int,
    clean: Callable[[], Any] = lambda: None,
) -> dict[str, Costs]:
    """Send requests to all programs by turns, some at a time.

    Args:
        targets: The programs.
        requests: What each of them is sent, again and again.
        rounds: How often their costs are noted.
        times: How many requests each of them gets in a round.
        clean: Called after each turn.
    """
    costs = {name: Costs() for name in targets}
    sent = {name: cycle(some) for name, some in requests.items()}
    order = list(targets)
    chance = Random(SEED)
    for round_ in range(-1, rounds):
        for cost in costs.values():
            cost.cpu.append(0)
            cost.clock.append(0)
        for first in range(0, times, TURN):
            for name in order:
                target, cost = targets[name], costs[name]
                some = list(islice(sent[name], min(TURN, times - first)))
                before, start = target.cpu(), perf_counter()
                for request in some:
                    target.send(request)
                cost.clock[-1] += (perf_counter() - start) * 1000 / times
                cost.cpu[-1] += (target.cpu() - before) * 1000 / times
                clean()
            # NOTE: so that each of them follows each other one.
            chance.shuffle(order)
        if round_ < 0:
            # NOTE: the first one is to warm up.
            for cost in costs.values():
                cost.cpu.clear()
                cost.clock.clear()
    return costs


def measure(
    workload: Workload, targets: dict[str, Target], rounds: int, many: int, collection: Any
) -> Result:
    """Measure what a workload costs each program."""
    times = max(1, round(many * workload.share))
    requests = workload.requests()
    # NOTE: from different places on, so that a change isn't one that another program has made.
    starts = {name: 7 * number % len(requests) for number, name in enumerate(targets)}
    sent = {name: requests[start:] + requests[:start] for name, start in starts.items()}
    # NOTE: so that the collection doesn't grow from turn to turn.
    clean = (lambda: collection.delete_many({})) if workload.creates else (lambda: None)
    return Result(workload, take_turns(targets, sent, rounds, times, clean))


# ------------------------------------------------------------------------------------- programs


@contextmanager
def programs(
    door: str, names: list[str], uri: str, folder: Path, args: argparse.Namespace
) -> Iterator[dict[str, Target]]:
    """Run programs of a door at the same time."""
    environment = settings(uri, as_installed=args.as_installed)
    with ExitStack() as stack:
        targets = {
            name: stack.enter_context(
                running(command(args.server, PROGRAMS[door][name]), folder, environment)
            )
            for name in names
        }
        for target in targets.values():
            target.connect()
        yield targets


def compare(door: str, uri: str, folder: Path, args: argparse.Namespace) -> list[Result]:
    """Measure the workloads of a door."""
    chosen = [
        workload
        for workload in workloads(args.posts)[door]
        if not args.only or any(part in workload.name for part in args.only)
    ]
    results = []
    with (
        programs(door, [*PROGRAMS[door]], uri, folder, args) as targets,
        MongoClient[dict[str, Any]](uri) as client,
    ):
        collection = client[DATABASE]["new_posts"]
        for workload in chosen:
            check(workload, targets, collection)
        for target in targets.values():
            target.ready()
        for workload in chosen:
            results.append(measure(workload, targets, args.rounds, args.requests, collection))
    return results


def peaks(door: str, uri: str, folder: Path, args: argparse.Namespace) -> dict[str, Peak]:
    """Return what one large answer takes of the memory, of servers that were started for it."""
    small, *_, large = [one.requests()[0] for one in workloads(args.posts)[door]]
    found = {name: Peak([], []) for name in PROGRAMS[door]}
    for _ in range(args.memory):
        for name, peak in found.items():
            with programs(door, [name], uri, folder, args) as targets:
                target = targets[name]
                target.send(small)
                target.ready()
                target.forget_peak()
                peak.before.append(target.peak())
                target.send(large)
                peak.after.append(target.peak())
    return found


# --------------------------------------------------------------------------------------- figures


def cpu_table(door: str, results: list[Result]) -> tuple[list[str], list[list[str]]]:
    """Return the heading and the rows of what requests cost."""
    schema = BY_SCHEMA in PROGRAMS[door]
    heading = ["request", "by hand, ms", "÷ by hand: min", "median", "max", "bound"]
    heading.append("throughput ÷ by hand")
    if schema:
        heading.append("by hand with a schema ÷ by hand")
    rows = []
    for result in results:
        ratios = result.ratios()
        row = [result.workload.name, f"{median(result.costs[BY_HAND].cpu):.3f}"]
        row += [f"{one:.2f}" for one in (min(ratios), median(ratios), max(ratios))]
        row += [tables.bound(median(ratios), result.workload.bound), f"{result.throughput():.2f}"]
        if schema:
            row.append(f"{median(result.ratios(BY_SCHEMA)):.2f}")
        rows.append(row)
    return heading, rows


def memory_table(found: dict[str, dict[str, Peak]]) -> tuple[list[str], list[list[str]]]:
    """Return the heading and the rows of what one large answer takes."""
    heading = ["door", "program", "before, MiB", "peak, MiB", "more than by hand", "bound"]
    rows = []
    for door, by_program in found.items():
        hand = median(by_program[BY_HAND].after)
        for name, peak in by_program.items():
            after = median(peak.after)
            row = [door, name, f"{median(peak.before):.1f}", f"{after:.1f}"]
            more = [f"{after - hand:+.1f}", tables.bound(after - hand, 10, 0)]
            rows.append([*row, *(more if name == OURS else ["", ""])])
    return heading, rows


def conditions(*names: str) -> str:
    """Return what figures depend on.

    Args:
        names: Of packages, beside those that are always told.
    """
    shown = sorted({"falcon", "pymongo", "marshmallow", "orjson", *names})
    versions = ", ".join(f"{name} {version(name)}" for name in shown)
    return f"{date.today()}, Python {platform.python_version()}, {versions}"


def main(arguments: list[str] | None = None) -> dict[str, list[Result]]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--door", choices=PROGRAMS, nargs="+", default=[*PROGRAMS])
    parser.add_argument("--only", nargs="+", help="workloads whose names have this in them")
    parser.add_argument("--posts", type=int, default=50_000)
    parser.add_argument("--requests", type=int, default=200, help="a round; fewer of larger ones")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--memory", type=int, default=3, help="runs that measure memory")
    parser.add_argument("--server", choices=COMMANDS, default="granian")
    parser.add_argument(
        "--as-installed", action="store_true", help="let falcorest log and count requests"
    )
    parser.add_argument("--rst", type=Path, help="a folder for tables in reStructuredText")
    args = parser.parse_args(arguments)
    results: dict[str, list[Result]] = {}
    found: dict[str, dict[str, Peak]] = {}
    note = (
        f"{args.server}, {args.posts:,} posts, {args.rounds} rounds of {args.requests} requests; "
        f"{conditions(args.server)}."
    )
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        with engine(folder / "data", None, serving=True) as running:
            seed(running.uri, args.posts)
            for door in args.door:
                results[door] = compare(door, running.uri, folder, args)
                name = f"{door}-as-installed" if args.as_installed else door
                tables.write(args.rst, name, *cpu_table(door, results[door]), note)
            for door in args.door if args.memory and not args.only else ():
                found[door] = peaks(door, running.uri, folder, args)
    if found:
        name = EVERYTHING.format(min(args.posts, MOST))
        memory_note = f"{name}; {args.memory} runs, each in a server of its own; medians."
        tables.write(args.rst, "memory", *memory_table(found), memory_note)
    return results


if __name__ == "__main__":
    main()
