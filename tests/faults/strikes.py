"""The faults: each strikes while clients ask, and ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.clients import Load
from tests.faults.ledger import Silence
from tests.faults.world import World


@dataclass(frozen=True)
class Fault:
    """Something that breaks.

    Attributes:
        name: Its name in the table.
        strike: Breaks it, waits, and mends what no healing of the replica set does.
        silence: Which requests may stay without an answer.
        load: The clients.
    """

    name: str
    strike: Callable[[World], None]
    silence: Silence = Silence.NEVER
    load: Load = Load()


def kill_primary(world: World) -> None:
    """Kill the primary by SIGKILL; it comes back when another one has been elected."""
    primary = world.set.primary()
    primary.kill()
    world.set.wait_for_another(primary)
    time.sleep(2)


FAULTS = (Fault("primary killed", kill_primary),)
