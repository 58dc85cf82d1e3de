"""Show what falcorest does more than the program written by hand, function by function.

    python -m benchmarks.profiles [--door zero-code] [--only "list 100"]

The applications run in this process, without a server. The profiler makes a request several times
as dear, and functions that are called often most of all; so its figures are scaled to the CPU time
that a request takes without it.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from time import thread_time_ns
from unittest.mock import patch

from benchmarks import tables
from benchmarks.__main__ import PROGRAMS
from benchmarks.documents import seed
from benchmarks.servers import settings
from benchmarks.stages import APPLICATIONS, Call, caller, opened
from benchmarks.workloads import Workload, workloads
from falcorest.embedded import engine

HEADING = ["function", "calls", "by hand", "its own, µs more", "with what it calls, µs"]

#: By function, how often a request calls it, and the microseconds of its own and in all.
Profile = dict[tuple[str, int, str], tuple[float, float, float]]


def profile(call: Call, times: int) -> tuple[float, Profile]:
    """Return the least CPU time of a request, in microseconds, and its profile."""
    least = float("inf")
    for _ in range(times):
        before = thread_time_ns()
        call()
        least = min(least, (thread_time_ns() - before) / 1000)
    # NOTE: of the CPU, since otherwise it is the database that is measured.
    profiler = cProfile.Profile(thread_time_ns, 1e-9)
    profiler.enable()
    for _ in range(times):
        call()
    profiler.disable()
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    scale = least / sum(own for _, _, own, _, _ in stats.values())
    return least, {
        function: (calls / times, own * scale, whole * scale)
        for function, (calls, _, own, whole, _) in stats.items()
    }


def rows(ours: Profile, by_hand: Profile, count: int) -> list[list[str]]:
    """Return the functions that cost falcorest most, beyond what they cost by hand."""
    nothing = (0.0, 0.0, 0.0)
    more = {
        function: cost[1] - by_hand.get(function, nothing)[1] for function, cost in ours.items()
    }
    return [
        [
            _name(function),
            f"{ours[function][0]:.0f}",
            f"{by_hand.get(function, nothing)[0]:.0f}",
            f"{more[function]:.1f}",
            f"{ours[function][2]:.0f}",
        ]
        for function in sorted(more, key=more.__getitem__, reverse=True)[:count]
    ]


def _name(function: tuple[str, int, str]) -> str:
    file, line, name = function
    path = Path(file)
    return f"{path.parent.name}/{path.name}:{line} {name}" if line else name


def measure(
    door: str, chosen: list[Workload], uri: str, times: int
) -> list[tuple[Workload, list[tuple[float, Profile]]]]:
    """Return the workloads, each with what it costs falcorest, and by hand."""
    make, make_by_hand, _ = APPLICATIONS[door]
    found = []
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, settings(uri)))
        apps = [stack.enter_context(opened(one)) for one in (make, make_by_hand)]
        for workload in chosen:
            path, _, query = workload.paths[0].partition("?")
            costs = []
            for app in apps:
                call = caller(app, path, query, workload.method, workload.bodies[0])
                costs.append(profile(call, max(1, round(times * workload.share))))
            found.append((workload, costs))
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--door", choices=PROGRAMS, nargs="+", default=[*PROGRAMS])
    parser.add_argument("--only", nargs="+", help="workloads whose names have this in them")
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--functions", type=int, default=20, help="how many are shown")
    args = parser.parse_args(arguments)
    with (
        TemporaryDirectory() as directory,
        engine(Path(directory) / "data", None, serving=True) as mongod,
    ):
        seed(mongod.uri, args.posts)
        for door in args.door:
            chosen = [
                workload
                for workload in workloads(args.posts)[door]
                if not args.only or any(part in workload.name for part in args.only)
            ]
            for workload, (ours, by_hand) in measure(door, chosen, mongod.uri, args.requests):
                note = (
                    f"{workload.name}, {ours[0]:.0f} µs of CPU at the least, "
                    f"{by_hand[0]:.0f} by hand"
                )
                found = rows(ours[1], by_hand[1], args.functions)
                tables.write(None, door, HEADING, found, note)


if __name__ == "__main__":
    main()
