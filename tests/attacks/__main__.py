"""Runs all the attacks and prints one table of figures, which the security page shows.

::

    python -m tests.attacks                            # about ten minutes
    python -m tests.attacks --requests 1000 --fuzz 10 --examples 20 --rounds 50

The exit code is 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from pymongo import monitoring

from falcorest.embedded import engine, find_mongod
from tests.attacks import declared, fuzz, hostile, races, rivals
from tests.attacks.trial import Report
from tests.attacks.two_databases import PolicyTrial, two_apis
from tests.attacks.world import TOML, open_api, policy_settings
from tests.features.test_model import Crud
from tests.support import Api
from tests.watching import MONITOR

IN_MEMORY = "mongomock://"


@dataclass
class Row:
    """A line of the table.

    Attributes:
        what: What was tried.
        tried: How many of them.
        accepted: The share that was accepted; None where that says nothing.
        wrong: What went wrong.
    """

    what: str
    tried: int
    accepted: float | None
    seconds: float
    wrong: list[str]

    def __str__(self) -> str:
        share = "" if self.accepted is None else f"{100 * self.accepted:.0f} %"
        return (
            f"{self.what:44} {self.tried:>9,} {share:>9} {self.seconds:>8.0f} {len(self.wrong):>6}"
        )


HEADER = f"{'what':44} {'tried':>9} {'accepted':>9} {'seconds':>8} {'wrong':>6}"


def try_hostile(uri: str, where: str) -> Row:
    """Send every hostile request once."""
    started = time.monotonic()
    with one_api(uri) as api:
        api.rockets.insert_many(hostile.DOCUMENTS)
        wrong = [found for attack in hostile.ATTACKS if (found := hostile.refusal(api, attack))]
    took = time.monotonic() - started
    return Row(f"hostile requests {where}", len(hostile.ATTACKS), None, took, wrong)


def try_hostile_declared() -> Row:
    """Send every hostile request to declared resources once."""
    started = time.monotonic()
    with declared.two_databases(None, "hostile") as databases:
        api = declared.open_declared(databases[0])
        api.database["posts"].insert_one({"_id": declared.POSTS[0], "title": "t"})
        attacks = hostile.DECLARED_ATTACKS
        wrong = [found for attack in attacks if (found := hostile.refusal(api, attack))]
    took = time.monotonic() - started
    return Row("hostile requests, declared", len(attacks), None, took, wrong)


def try_sockets() -> list[Row]:
    """Send every malformed message once to each server."""
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        hostile.attackable(Path(folder)) as servers,
    ):
        started = time.monotonic()
        answers = hostile.attack_servers(servers)
        took = time.monotonic() - started
        for name, server in servers.items():
            wrong = hostile.misled(answers[name])
            if server.get("/api/rockets").json != []:
                wrong.append("a request within a body was served")
            rows.append(Row(f"malformed messages to {name}", len(answers[name]), None, took, wrong))
    return rows


def try_two_databases(uri: str, where: str, requests: int, seed: int) -> Row:
    """Send requests to two databases that differ in what the callers may not see."""
    with two_apis(uri, f"two_{uuid.uuid4().hex[:8]}") as apis:
        report = PolicyTrial(apis, seed).run(requests)
    return _row(f"zero-code, two databases {where}", report)


def try_declared(uri: str | None, where: str, requests: int, seed: int) -> Row:
    """Do the same with declared resources."""
    with declared.two_databases(uri, f"declared_{uuid.uuid4().hex[:8]}") as databases:
        report = declared.DeclaredTrial(databases, seed).run(requests)
    return _row(f"declared, two databases {where}", report)


def _row(what: str, report: Report) -> Row:
    return Row(what, report.requests, report.accepted, report.seconds, report.differences)


def try_races(uri: str, rounds: int) -> Iterator[Row]:
    """Write at once what others write."""
    for race in (races.lose_nothing_hidden, races.stay_in_sight):
        started = time.monotonic()
        with races.raced(uri, f"raced_{uuid.uuid4().hex[:8]}") as api:
            wrong = race(api, rounds)
        what = f"rounds of a race, {race.__name__.replace('_', ' ')}"
        yield Row(what, rounds, None, time.monotonic() - started, wrong)


def try_model(uri: str, where: str, examples: int) -> Row:
    """Compare the API with a dict."""
    sent = 0

    class Counting(Crud):
        def expect(self, *args: Any) -> Any:
            nonlocal sent
            sent += 1
            return super().expect(*args)

    started = time.monotonic()
    wrong = []
    with one_api(uri, "") as api:
        try:
            run_state_machine_as_test(
                lambda: Counting(api),  # type: ignore[arg-type]
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=40,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except AssertionError as error:
            wrong = [str(error)]
    return Row(
        f"zero-code, held against a dict {where}", sent, 1.0, time.monotonic() - started, wrong
    )


def try_fuzz(seconds: float, seed: int) -> Iterator[Row]:
    """Break good texts and give them to the parsers."""
    chosen = fuzz.targets()
    for target in chosen:
        started = time.monotonic()
        result = fuzz.fuzz(target, seed, seconds=seconds / len(chosen))
        yield Row(
            f"broken inputs, {target.name}",
            result.inputs,
            1 - result.refused / result.inputs,
            time.monotonic() - started,
            [f"{finding}: {fuzz.shown(text)}" for finding, text in result.findings.items()],
        )


@contextmanager
def one_api(uri: str, policy: str = TOML) -> Iterator[Api]:
    """Serve one fresh database, with a policy."""
    with tempfile.TemporaryDirectory() as folder:
        name = f"attacked_{uuid.uuid4().hex[:8]}"
        api = open_api(policy_settings(Path(folder), uri, name, policy=policy, regex=True))
        try:
            yield api
        finally:
            if not api.in_memory:
                api.database.client.drop_database(name)
            api.database.client.close()


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """Try everything."""
    with (
        tempfile.TemporaryDirectory() as folder,
        engine(Path(folder), find_mongod(None), serving=True) as running,
    ):
        places = (("on MongoDB", running.uri, 1), ("in memory", IN_MEMORY, 5))
        for where, uri, _ in places:
            yield try_hostile(uri, where)
        yield try_hostile_declared()
        yield from try_sockets()
        for where, uri, share in places:
            requests = options.requests // share
            yield try_two_databases(uri, where, requests, options.seed)
            own = None if uri == IN_MEMORY else uri
            yield try_declared(own, where, requests, options.seed)
        yield from try_races(running.uri, options.rounds)
        for name, runs, took, wrong in rivals.results(running.uri, options.runs, options.threads):
            what = f"runs of {options.threads} rivals, {name}"
            yield Row(what, runs, None, took, wrong)
        for where, uri, _ in places:
            yield try_model(uri, where, options.examples)
    yield from try_fuzz(options.fuzz, options.seed)
    unknown = [str(found) for found, _ in MONITOR.take()]
    yield Row("commands looked at for unknown operators", MONITOR.seen, None, 0, unknown)


def main(arguments: Sequence[str]) -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks")
    parser.add_argument("--requests", type=int, default=10_000, help="to two databases")
    parser.add_argument("--examples", type=int, default=100, help="of 40 steps against a dict")
    parser.add_argument("--rounds", type=int, default=300, help="of each race")
    parser.add_argument("--runs", type=int, default=20, help="of each rivalry, at each door")
    parser.add_argument("--threads", type=int, default=50, help="in each of these runs")
    parser.add_argument("--fuzz", type=float, default=60, help="seconds for all the parsers")
    parser.add_argument("--seed", type=int, default=1, help="of all but the model's")
    options = parser.parse_args(arguments)
    monitoring.register(MONITOR)
    print(HEADER)
    wrong = []
    for row in rows(options):
        print(row, flush=True)
        wrong += [f"{row.what}: {one}" for one in row.wrong]
    for one in wrong:
        print(one)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
