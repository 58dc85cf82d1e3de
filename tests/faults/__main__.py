"""Breaks things, and prints one table of what became of the promises.

::

    python -m tests.faults                                  # all faults, five runs each
    python -m tests.faults --runs 1 --only "primary killed"

The exit code is 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from falcorest.embedded import find_mongod
from tests.faults.replicas import ReplicaSet
from tests.faults.strikes import FAULTS
from tests.faults.trial import run
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


def main(arguments: Sequence[str]) -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--runs", type=int, default=5, help="of each fault")
    parser.add_argument("--only", default="", help="names of faults, with commas between them")
    parser.add_argument("--server", default="granian", choices=["granian", "gunicorn"])
    parser.add_argument("--limit", type=float, default=5.0, help="of falcorest, in seconds")
    options = parser.parse_args(arguments)
    chosen = [name.strip() for name in options.only.split(",") if name.strip()]
    unknown = set(chosen) - {fault.name for fault in FAULTS}
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    print(HEADER, flush=True)
    wrong = []
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        with ReplicaSet(Path(folder), find_mongod(None)) as replicas:
            for fault in FAULTS:
                if chosen and fault.name not in chosen:
                    continue
                total = None
                for _ in range(options.runs):
                    verdict = run(fault, Options(options.server, options.limit), replicas)
                    total = verdict if total is None else total + verdict
                print(line(fault.name, total), flush=True)
                wrong += [f"{fault.name}: {one}" for one in total.wrong]
    for one in wrong:
        print(one)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
