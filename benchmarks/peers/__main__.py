"""Compare what a request costs falcorest with what it costs other frameworks.

    python -m venv PEERS && PEERS/bin/pip install -r benchmarks/peers/requirements.txt
    python -m benchmarks.peers --environment PEERS [--rounds N] [--rst FOLDER]

Each of them serves the same documents in the shape that is its own: one by id, and a list of 100.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import tables
from benchmarks.__main__ import Costs, conditions, take_turns
from benchmarks.documents import post_id, seed
from benchmarks.servers import COMMANDS, command, running, settings
from benchmarks.workloads import request
from falcorest.embedded import engine

ZERO_CODE, DECLARED = "falcorest, zero-code", "falcorest, declared"

#: How they are run: one worker each.
_UVICORN = (
    "uvicorn --factory --host 127.0.0.1 --port {port} --workers 1 --log-level error "
    "--no-access-log {app}"
)
_ASGI = COMMANDS["granian"].replace("wsgi", "asgi").replace("--blocking-threads 4 ", "")
_APPS = "benchmarks.peers.by_"

#: What is compared: how it is run, and where its posts are, one of them and 100.
PEERS = {
    "FastAPI + Beanie, uvicorn": (_UVICORN, f"{_APPS}fastapi", "/posts/{}", "/posts?limit=100"),
    "FastAPI + Beanie, granian": (_ASGI, f"{_APPS}fastapi", "/posts/{}", "/posts?limit=100"),
    "Eve, granian": (COMMANDS["granian"], f"{_APPS}eve", "/posts/{}", "/posts?max_results=100"),
    "Flask-MongoRest, granian": (
        COMMANDS["granian"],
        f"{_APPS}mongorest",
        "/api/posts/{}/",
        "/api/posts/?_limit=100",
    ),
}

#: The packages whose versions are told.
PACKAGES = ("fastapi", "beanie", "uvicorn", "granian", "eve", "flask-mongorest")


def programs(environment: Path) -> dict[str, tuple[list[str], str, str]]:
    """Return what runs each program, and the paths of one post and of 100."""
    found = {
        ZERO_CODE: (
            command("granian", "falcorest:create_app"),
            "/api/posts/{}",
            "/api/posts?_limit=100",
        ),
        DECLARED: (
            command("granian", "benchmarks.declared:create_app"),
            "/posts/{}",
            "/posts?_limit=100",
        ),
    }
    for name, (line, module, one, many) in PEERS.items():
        words = shlex.split(line.replace("{app}", f"{module}:create_app"))
        found[name] = ([str(environment / "bin" / words[0]), *words[1:]], one, many)
    return found


def check(name: str, status: int, body: bytes, count: int) -> None:
    """Refuse to time what doesn't answer with posts."""
    shown = json.loads(body) if status == 200 else None
    if isinstance(shown, dict):
        shown = shown.get("data", shown.get("_items", [shown]))
    if not shown or len(shown) != count or not all(_is_whole(one) for one in shown):
        raise SystemExit(f"{name} answers {status} {body[:500]!r}")


def _is_whole(post: dict[str, Any]) -> bool:
    return {"title", "author", "created", "tags"} <= {*post} and "words" in post["content"]


def versions(environment: Path) -> str:
    """Return the versions of what is compared."""
    code = (
        "import sys; from importlib.metadata import version; "
        "print(', '.join(f'{name} {version(name)}' for name in sys.argv[1:]))"
    )
    words = [str(environment / "bin" / "python"), "-c", code, *PACKAGES]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def table(costs: dict[str, list[Costs]]) -> tuple[list[str], list[list[str]]]:
    """Return the heading and the rows of what one post, and a list, cost each program."""
    heading = ["program", "fetch one by id: CPU, ms", "÷ declared", "list 100: CPU, ms"]
    heading.append("÷ declared")
    rows = []
    for name, of_program in costs.items():
        row = [name]
        for mine, ours in zip(of_program, costs[DECLARED], strict=True):
            ratios = [one / other for one, other in zip(mine.cpu, ours.cpu, strict=True)]
            row += [f"{median(mine.cpu):.2f}", f"{median(ratios):.2f}"]
        rows.append(row)
    return heading, rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--environment", type=Path, required=True, help="where they are installed")
    parser.add_argument("--posts", type=int, default=50_000)
    parser.add_argument("--requests", type=int, default=50, help="a round")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rst", type=Path, help="a folder for tables in reStructuredText")
    args = parser.parse_args(arguments)
    environment = args.environment.absolute()
    costs: dict[str, list[Costs]] = {}
    with TemporaryDirectory() as directory, ExitStack() as stack:
        folder = Path(directory)
        mongod = stack.enter_context(engine(folder / "data", None, serving=True))
        seed(mongod.uri, args.posts)
        found = programs(environment)
        targets = {
            name: stack.enter_context(running(words, folder, settings(mongod.uri)))
            for name, (words, _, _) in found.items()
        }
        for target in targets.values():
            target.connect()
        for at, count in ((1, 1), (2, 100)):
            sent = {
                name: [request("GET", one[at].format(post_id(5)))] for name, one in found.items()
            }
            for name, target in targets.items():
                check(name, *target.send(sent[name][0]), count)
                target.ready()
            for name, cost in take_turns(targets, sent, args.rounds, args.requests).items():
                costs.setdefault(name, []).append(cost)
    note = (
        f"{args.posts:,} posts, {args.rounds} rounds of {args.requests} requests; "
        f"{versions(environment)}; falcorest: {conditions('granian')}."
    )
    tables.write(args.rst, "peers", *table(costs), note)


if __name__ == "__main__":
    main()
