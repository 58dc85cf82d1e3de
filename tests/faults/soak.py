"""A long time at a moderate load: memory, files and connections must stay as they are.

::

    python -m tests.faults.soak                     # thirty minutes, on a replica set of three
    python -m tests.faults.soak --minutes 2

The exit code is 1 if something grew, or if a request failed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

from tests.faults.clients import GROUPS, SEEDS, Asking
from tests.faults.ledger import BULK, COUNT, CREATE, LIST, READ, Entry, Ledger
from tests.faults.replicas import ReplicaSet
from tests.faults.trial import place
from tests.faults.world import Options, World, world

#: How many clients there are, and how many requests each of them sends in a second.
CLIENTS, RATE = 8, 10

#: How often it is measured, in seconds, and what share of the time is to warm up.
INTERVAL, WARMING = 10.0, 0.2

#: How much each figure may grow from the first quarter to the last: what is kept for the next
#: request comes and goes.
MAY_GROW = {"memory": 4.0, "files": 4.0, "connections": 4.0, "to MongoDB": 4.0, "its": 8.0}

_MIB = 1 << 20


@dataclass
class Tally(Ledger):
    """A ledger that only counts.

    Attributes:
        answers: How often each status was answered.
        longest: The longest that a request took, in seconds.
    """

    answers: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0

    def add(self, entry: Entry) -> None:
        with self._lock:
            self.answers[str(entry.status or entry.trouble)] += 1
            self.longest = max(self.longest, entry.took)

    @property
    def bad(self) -> int:
        """How many requests weren't served."""
        return sum(count for status, count in self.answers.items() if status[0] not in "2")


@dataclass
class Figure:
    """Something that is measured again and again.

    Attributes:
        name: What it is.
        may_grow: By how much it may grow.
        values: What was measured after the warm-up, and when, in seconds.
    """

    name: str
    may_grow: float
    values: list[tuple[float, float]] = field(default_factory=list)

    @property
    def first(self) -> float:
        """The median of the first quarter."""
        return self._median(self.values[: self._quarter])

    @property
    def last(self) -> float:
        """The median of the last quarter."""
        return self._median(self.values[-self._quarter :])

    @property
    def slope(self) -> float:
        """How much it grows in an hour."""
        if len(self.values) < 2:
            return 0.0
        times, values = zip(*self.values, strict=True)
        return 3600 * statistics.linear_regression(times, values).slope

    @property
    def flat(self) -> bool:
        """Whether it is as it was."""
        return self.last - self.first <= self.may_grow

    @property
    def _quarter(self) -> int:
        return max(1, len(self.values) // 4)

    @staticmethod
    def _median(values: Sequence[tuple[float, float]]) -> float:
        return statistics.median(value for _, value in values)

    def __str__(self) -> str:
        peak = max(value for _, value in self.values)
        figures = " ".join(f"{value:>10.1f}" for value in (self.first, self.last, peak, self.slope))
        return f"{self.name:34} {figures} {'yes' if self.flat else 'NO':>5}"


HEADER = f"{'what':34} {'first':>10} {'last':>10} {'peak':>10} {'per hour':>10} {'flat':>5}"


def measured(made: World, replicas: ReplicaSet) -> Iterator[tuple[str, str, float]]:
    """Yield what there is to be measured: its name, its kind, and its value."""
    ports = {member.port for member in replicas.members}
    for number, worker in enumerate(sorted(made.workers(), key=lambda one: one.pid), start=1):
        there = [
            one
            for one in worker.net_connections("tcp")
            if one.status == psutil.CONN_ESTABLISHED and one.raddr
        ]
        to_mongod = sum(one.raddr.port in ports for one in there)
        name = f"worker {number}"
        yield f"{name}, memory of its own, MiB", "memory", worker.memory_full_info().uss / _MIB
        yield f"{name}, files", "files", worker.num_fds()
        yield f"{name}, connections of clients", "connections", len(there) - to_mongod
        yield f"{name}, connections to MongoDB", "to MongoDB", to_mongod
    current = sum(
        member.command_on("serverStatus")["connections"]["current"] for member in replicas.members
    )
    yield "MongoDB, connections", "its", current


def ask(asking: Asking, number: int, turn: int) -> None:
    """Send one request: of a document's life, and of what others do meanwhile."""
    mark = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{number} {turn // 10}"))
    path = f"/api/documents/{mark}"
    seed = f"/api/documents/{SEEDS[turn % len(SEEDS)]}"
    group = GROUPS[number % len(GROUPS)]
    update = {"$set": {"round": turn}}
    turns = (
        lambda: asking.ask(CREATE, mark, "POST", "/api/documents", {"_id": mark, "seed": False}),
        lambda: asking.ask(READ, mark, "GET", path),
        lambda: asking.ask(LIST, "", "GET", "/api/documents?_limit=50"),
        lambda: asking.ask(COUNT, mark, "PATCH", path, {"$inc": {"n": 1}}),
        lambda: asking.ask(READ, mark, "GET", seed),
        lambda: asking.ask(COUNT, mark, "PATCH", path, {"$inc": {"n": 1}}, key=mark),
        lambda: asking.ask(BULK, group, "PATCH", f"/api/members?group={group}", update),
        lambda: asking.ask(READ, mark, "GET", seed),
        lambda: asking.ask(LIST, "", "GET", "/api/members?_limit=100"),
        lambda: asking.ask(COUNT, mark, "DELETE", path),
    )
    turns[turn % len(turns)]()


@contextmanager
def load(port: int) -> Iterator[Tally]:
    """Let clients ask at their rate until the block ends."""
    tally = Tally()
    stopping = threading.Event()

    def go_on(number: int) -> None:
        asking = Asking(port, tally)
        turn = 0
        begun = time.monotonic() + number / CLIENTS / RATE
        while not stopping.wait(max(0.0, begun + turn / RATE - time.monotonic())):
            ask(asking, number, turn)
            turn += 1
        asking.close()

    threads = [threading.Thread(target=go_on, args=(one,), daemon=True) for one in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield tally
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def soak(options: Options, seconds: float) -> tuple[Tally, list[Figure]]:
    """Let clients ask for a time; return what they were told, and what was measured."""
    figures: dict[str, Figure] = {}
    with place("set") as replicas:
        assert replicas is not None
        with world(options, replicas) as made:
            made.seed()
            made.start()
            with load(made.address) as tally:
                begun = time.monotonic()
                time.sleep(WARMING * seconds)
                while (now := time.monotonic() - begun) < seconds:
                    for name, kind, value in measured(made, replicas):
                        figure = figures.setdefault(name, Figure(name, MAY_GROW[kind]))
                        figure.values.append((now, value))
                    time.sleep(min(INTERVAL, seconds / 50))
            made.drop()
    return tally, [*figures.values()]


def main(arguments: Sequence[str]) -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--server", default="granian", choices=["granian", "gunicorn"])
    given = parser.parse_args(arguments)
    tally, figures = soak(Options(given.server), 60 * given.minutes)
    answers = ", ".join(f"{status}: {count:,}" for status, count in sorted(tally.answers.items()))
    print(
        f"{given.minutes:g} minutes, {CLIENTS * RATE} requests a second; {answers}; "
        f"the longest took {tally.longest:.2f} s"
    )
    print(HEADER)
    for figure in figures:
        print(figure)
    return 1 if tally.bad or not all(figure.flat for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
