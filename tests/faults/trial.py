"""One run: clients ask, a fault strikes, all heals, and the ledger is held against the database."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from falcorest.embedded import find_mongod
from tests.faults.clients import Load, clients
from tests.faults.ledger import WRITES, Ledger
from tests.faults.replicas import ReplicaSet, SmallDisk
from tests.faults.strikes import Fault
from tests.faults.verdict import Verdict, judge
from tests.faults.world import NEAR, Options, World, world
from tests.live.processes import eventually

#: How long clients ask before the fault, and after all has healed, in seconds.
BEFORE, AFTER = 2.0, 5.0

#: How long clients go on at most until each kind of write succeeds again, in seconds. A driver that
#: was told by a failing member that it is no primary may believe so for as long as 10 s.
RECOVERY = 20.0

#: How much longer than the limit a request may take: for what is not the database.
GRACE = 1.0

LOAD = Load(near=2 if NEAR else 0)


@contextmanager
def place(name: str) -> Iterator[ReplicaSet | None]:
    """Give the database that faults of a place strike."""
    if name == "embedded":
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, ExitStack() as stack:
        options: tuple[str, ...] = ()
        disk = None
        if name == "disk":
            disk = stack.enter_context(SmallDisk())
        elif name == "control":
            # NOTE: else what the frozen ones have not read yet would be sent ahead, and be kept.
            options = ("--setParameter", "oplogFetcherUsesExhaust=false")
        yield stack.enter_context(ReplicaSet(Path(folder), find_mongod(None), *options, disk=disk))


def run(fault: Fault, options: Options, replicas: ReplicaSet | None) -> Verdict:
    """Let a fault strike once, and return what came of it."""
    concern = "&w=1" if fault.control else ""
    with world(options, replicas, concern=concern, proxied=fault.proxied) as made:
        if replicas is None:
            made.start()
            made.seed()
        else:
            replicas.heal()
            made.seed()
            fault.begin(made)
            try:
                made.start()
            except AssertionError as error:
                replicas.heal()
                return Verdict(unclean=1, wrong=[f"falcorest doesn't start: {error}"])
        verdict = _struck(fault, made)
        made.drop()
    return _controlled(verdict) if fault.control else verdict


def _struck(fault: Fault, made: World) -> Verdict:
    heal: Callable[[], None] = made.replicas.heal if made.replicas else lambda: None
    trouble = ""
    with clients(made.address, LOAD) as ledger:
        time.sleep(BEFORE)
        try:
            fault.strike(made)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            trouble = str(error)
        heal()
        healed = time.monotonic()
        time.sleep(AFTER)
        eventually(lambda: not _missing(ledger, healed), RECOVERY - AFTER)
    heal()
    verdict = judge(ledger, made.stored(), fault.silence)
    _judge_time(verdict, ledger, made.options, healed)
    if trouble:
        verdict.note(trouble)
    return verdict


def _judge_time(verdict: Verdict, ledger: Ledger, options: Options, healed: float) -> None:
    """Note requests that took too long, and writes that fail when all is well again."""
    late = [entry for entry in ledger.entries if entry.took > options.limit + GRACE]
    if late:
        worst = sorted(late, key=lambda entry: -entry.took)[:5]
        verdict.note(f"{len(late)} requests took too long", worst)
    for kind in sorted(_missing(ledger, healed)):
        verdict.note(f"there is no good {kind} after all has healed")


def _missing(ledger: Ledger, healed: float) -> set[str]:
    """Return the kinds of writes that haven't succeeded since all has healed."""
    return WRITES - {one.kind for one in [*ledger.entries] if one.good and one.sent > healed}


def _controlled(verdict: Verdict) -> Verdict:
    """Return the verdict of a run in which something must be lost, or the harness is blind."""
    verdict.wrong = [one for one in verdict.wrong if one.startswith("unclean")]
    if not verdict.lost:
        verdict.note("nothing is lost where something must be")
    return verdict
