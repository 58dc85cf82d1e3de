"""One run: clients begin, a fault strikes, all heals, and the ledger is held against what is there."""

from __future__ import annotations

import time

from tests.faults.clients import clients
from tests.faults.ledger import WRITES, Ledger
from tests.faults.replicas import ReplicaSet
from tests.faults.strikes import Fault
from tests.faults.verdict import Verdict, judge
from tests.faults.world import Options, World, world

#: How long clients ask before the fault, and after all has healed, in seconds.
BEFORE, AFTER = 2.0, 5.0

#: How much longer than the limit a request may take: for what is not the database.
GRACE = 1.0


def run(fault: Fault, options: Options, replicas: ReplicaSet | None) -> Verdict:
    """Let a fault strike once, and return what came of it."""
    with world(options, replicas) as made:
        made.seed()
        made.start()
        with clients(made.address, fault.load) as ledger:
            time.sleep(BEFORE)
            fault.strike(made)
            if replicas is not None:
                replicas.heal()
            healed = time.monotonic()
            time.sleep(AFTER)
        if replicas is not None:
            replicas.heal()
        verdict = judge(ledger, made.stored(), fault.silence)
        _judge_time(verdict, ledger, options, healed)
        made.drop()
    return verdict


def _judge_time(verdict: Verdict, ledger: Ledger, options: Options, healed: float) -> None:
    """Note requests that took too long, and writes that fail when all is well again."""
    late = [entry for entry in ledger.entries if entry.took > options.limit + GRACE]
    if late:
        worst = sorted(late, key=lambda entry: -entry.took)[:5]
        verdict.note(f"{len(late)} requests took too long", worst)
    well = {entry.kind for entry in ledger.entries if entry.good and entry.sent > healed}
    for kind in WRITES & {entry.kind for entry in ledger.entries} - well:
        verdict.note(f"there is no good {kind} after all has healed")
