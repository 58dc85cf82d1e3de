"""Breaks things, and prints one table of what became of the promises.

::

    python -m tests.faults                                  # all faults, five runs each
    python -m tests.faults --runs 1 --only "primary killed"

The exit code is 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import groupby
from operator import add, attrgetter

from tests.faults.strikes import FAULTS, Fault
from tests.faults.trial import place, run
from tests.faults.verdict import Verdict
from tests.faults.world import Options

COLUMNS = (
    ("runs", 4),
    ("requests", 8),
    ("acknowledged", 12),
    ("lost", 4),
    ("duplicated", 10),
    ("half-applied", 12),
    ("lost updates", 12),
    ("plain failures", 14),
    ("unclean", 7),
    ("unknown", 7),
    ("gap", 5),
    ("reads gap", 9),
    ("longest", 7),
)
WIDTH = 28
HEADER = f"{'fault':{WIDTH}} " + " ".join(f"{name:>{width}}" for name, width in COLUMNS)


def line(name: str, verdict: Verdict) -> str:
    """Return a line of the table."""
    cells = [
        *(verdict.runs, verdict.requests, verdict.acknowledged, verdict.lost, verdict.duplicated),
        *(verdict.half_applied, verdict.lost_updates, verdict.plain_failures, verdict.unclean),
        verdict.unknown,
        *(_seconds(one) for one in (verdict.gap, verdict.reads_gap, verdict.longest)),
    ]
    values = (
        f"{cell:>{width},}" if isinstance(cell, int) else f"{cell:>{width}}"
        for cell, (_, width) in zip(cells, COLUMNS, strict=True)
    )
    return f"{name:{WIDTH}} " + " ".join(values)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def verdicts(
    faults: Sequence[Fault], runs: int, options: Options
) -> Iterator[tuple[Fault, Verdict]]:
    """Run faults, those of one place after another."""
    for name, its in groupby(faults, key=attrgetter("place")):
        with place(name) as replicas:
            for fault in its:
                found = [run(fault, options, replicas) for _ in range(runs)]
                yield fault, reduce(add, found)


def main(arguments: Sequence[str]) -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--runs", type=int, default=5, help="of each fault")
    parser.add_argument("--only", default="", help="names of faults, with commas between them")
    parser.add_argument("--server", default="granian", choices=["granian", "gunicorn"])
    parser.add_argument("--limit", type=float, default=5.0, help="of falcorest, in seconds")
    given = parser.parse_args(arguments)
    chosen = [name.strip() for name in given.only.split(",") if name.strip()]
    unknown = set(chosen) - {fault.name for fault in FAULTS}
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    faults = [fault for fault in FAULTS if not chosen or fault.name in chosen]
    print(HEADER, flush=True)
    wrong = []
    for fault, verdict in verdicts(faults, given.runs, Options(given.server, given.limit)):
        print(line(fault.name, verdict), flush=True)
        wrong += [f"{fault.name}: {one}" for one in verdict.wrong]
    for one in wrong:
        print(one)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
