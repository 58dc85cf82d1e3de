"""Show what it takes to import falcorest, and to start its server.

    python -m benchmarks.startup [--rounds N] [--rst FOLDER]

Imports are measured in new interpreters by turns, without the start of the interpreter. A server
has started when it has answered a first request.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks import tables
from benchmarks.__main__ import conditions
from benchmarks.documents import seed
from benchmarks.servers import Connection, Target, command, program, running, settings
from falcorest.embedded import engine

#: What is imported.
IMPORTS = {
    "import falcorest": "falcorest",
    "import falcon, pymongo, marshmallow, orjson": "falcon, pymongo, marshmallow, orjson",
}

_MEASURED = (
    "import time; clock, cpu = time.perf_counter(), time.process_time(); import {}; "
    "print([time.process_time() - cpu, time.perf_counter() - clock])"
)

#: What is started.
SERVERS = {
    "falcorest serve": [program("falcorest"), "serve", "--port", "{port}"],
    "by hand, under granian": command("granian", "benchmarks.by_hand:create_app"),
}

_REQUEST = b"GET /api/posts?_limit=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

#: Milliseconds of CPU, and of the clock.
Cost = tuple[float, float]


def with_bytecode(folder: Path) -> dict[str, str]:
    """Return what lets programs keep their bytecode, which installed ones have beside them."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def importing(names: str, folder: Path) -> Cost:
    """Return what an import costs in a new interpreter."""
    shown = subprocess.run(
        [sys.executable, "-c", _MEASURED.format(names)],
        cwd=folder,
        env={**os.environ, **with_bytecode(folder)},
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    cpu, clock = json.loads(shown)
    return cpu * 1000, clock * 1000


def starting(words: list[str], uri: str, folder: Path) -> Cost:
    """Return what it costs to start a server, until its first answer."""
    start = time.perf_counter()
    with running(words, folder, settings(uri) | with_bytecode(folder)) as target:
        status = _first_answer(target)
        clock = time.perf_counter() - start
        if status != 200:
            raise SystemExit(f"{words[0]} answers {status}")
        target.ready()
        return target.cpu() * 1000, clock * 1000


def _first_answer(target: Target) -> int:
    deadline = time.monotonic() + 60
    while target.process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), closing(Connection(target.port)) as connection:
            return connection.send(_REQUEST)[0]
        time.sleep(0.002)
    raise SystemExit(f"{target.process.args!r} doesn't answer")


def table(
    found: dict[str, list[Cost]], bound: Callable[[float], float]
) -> tuple[list[str], list[list[str]]]:
    """Return the heading and the rows of two things that are compared.

    Args:
        found: What each of them costs.
        bound: The most milliseconds of the clock that the first may take, by those of the second.
    """
    heading = ["", "CPU, ms: min", "median", "clock, ms: min", "median", "bound of that"]
    rows = []
    for name, costs in found.items():
        row = [name]
        for one in zip(*costs, strict=True):
            row += [f"{min(one):.0f}", f"{median(one):.0f}"]
        rows.append([*row, ""])
    ours, other = ([float(cell) for cell in row[1:5]] for row in rows)
    ratios = [f"{one / two:.2f}" for one, two in zip(ours, other, strict=True)]
    rows[0][-1] = tables.bound(ours[-1], bound(other[-1]), 0)
    return heading, [*rows, ["ratio", *ratios, ""]]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rst", type=Path, help="a folder for tables in reStructuredText")
    args = parser.parse_args(arguments)
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        imports: dict[str, list[Cost]] = {name: [] for name in IMPORTS}
        for round_ in range(args.rounds + 1):
            for name, costs in imports.items():
                cost = importing(IMPORTS[name], folder)
                # NOTE: the first one may compile.
                if round_:
                    costs.append(cost)
        note = f"{args.rounds} new interpreters by turns; {conditions()}."
        tables.write(args.rst, "imports", *table(imports, lambda clock: 1.3 * clock), note)
        with engine(folder / "data", None, serving=True) as mongod:
            seed(mongod.uri, 100)
            starts: dict[str, list[Cost]] = {name: [] for name in SERVERS}
            for round_ in range(args.rounds + 1):
                for name, costs in starts.items():
                    cost = starting(SERVERS[name], mongod.uri, folder)
                    if round_:
                        costs.append(cost)
        note = f"{args.rounds} starts by turns, until the first answer; {conditions('granian')}."
        tables.write(args.rst, "startup", *table(starts, lambda clock: 2 * clock + 500), note)


if __name__ == "__main__":
    main()
