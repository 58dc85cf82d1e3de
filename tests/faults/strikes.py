"""The faults: each strikes while clients ask, and ends."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil
from pymongo.errors import PyMongoError

from tests.faults.clients import LONG_SIZE
from tests.faults.ledger import Silence
from tests.faults.replicas import Member
from tests.faults.world import WORKERS, World
from tests.live.processes import eventually

#: How long the primary is frozen, in seconds.
FROZEN = 20.0

#: How long the majority is away, in seconds.
AWAY = 15.0

#: How long commands fail, in seconds, and what share of them.
FAILING, SHARE = 6.0, 0.3

#: How long falcorest may take to end, or to have its workers whole again, in seconds.
ENDING = 15.0

#: What falcorest sends MongoDB; none of it is what the driver or the members send for themselves.
_COMMANDS = ["insert", "update", "delete", "find", "getMore", "aggregate", "commitTransaction"]
_WRITES = ["insert", "update", "delete", "commitTransaction"]

#: What a member answers when it stops being the primary, shuts down, or loses the others.
_CODES = {
    "HostUnreachable": 6,
    "ShutdownInProgress": 91,
    "PrimarySteppedDown": 189,
    "NotWritablePrimary": 10107,
    "InterruptedDueToReplStateChange": 11602,
}

#: What a write is said not to have reached the majority for.
_CONCERN_CODES = {"WriteConcernFailed": 64, "ShutdownInProgress": 91, "NotEnoughNodes": 100}

#: How many clients stop reading.
SILENT = 16


@dataclass(frozen=True)
class Fault:
    """Something that breaks.

    Attributes:
        name: Its name in the table.
        strike: Breaks it, waits, and mends what no healing of the replica set does.
        silence: Which requests may stay without an answer.
        place: What it strikes: a replica set that is shared by the runs, one of which a member
            has a small disk, one that acknowledges early, or the embedded engine.
        begin: What is done before falcorest starts.
        proxied: Whether something stands between the clients and falcorest.
        control: Whether it must show a loss.
    """

    name: str
    strike: Callable[[World], None]
    silence: Silence = Silence.NEVER
    place: str = "set"
    begin: Callable[[World], None] = lambda world: None
    proxied: bool = False
    control: bool = False


def kill_primary(world: World) -> None:
    """Kill the primary; it comes back when another one has been elected."""
    primary = world.set.primary()
    primary.kill()
    world.set.wait_for_another(primary)
    time.sleep(2)


def step_down(world: World) -> None:
    """Let the primary hand over to another one."""
    primary = world.set.primary()
    # NOTE: it has happened, whatever becomes of the answer.
    with suppress(PyMongoError):
        primary.command_on("replSetStepDown", 20, secondaryCatchUpPeriodSecs=5, seconds=10)
    world.set.wait_for_another(primary)
    time.sleep(2)


def freeze_primary(world: World, seconds: float = FROZEN) -> None:
    """Stop the primary where it stands: its connections stay open, and nothing answers."""
    primary = world.set.primary()
    primary.freeze()
    time.sleep(seconds)
    primary.thaw()


def kill_secondary(world: World) -> None:
    """Kill one of the secondaries; two of three go on."""
    world.set.secondaries()[0].kill()
    time.sleep(8)


def kill_majority(world: World) -> None:
    """Kill both secondaries: nothing can be written until one is back."""
    for member in world.set.secondaries():
        member.kill()
    time.sleep(AWAY)


def freeze_majority(world: World) -> None:
    """Freeze both secondaries: what is written isn't known to be safe until one goes on."""
    secondaries = world.set.secondaries()
    for member in secondaries:
        member.freeze()
    time.sleep(AWAY)
    for member in secondaries:
        member.thaw()


@contextmanager
def failing(world: World, **how: Any) -> Iterator[None]:
    """Let a share of falcorest's commands fail on every member, until the block ends."""
    data = {"failCommands": _COMMANDS, "appName": "falcorest", **how}
    mode = {"activationProbability": SHARE}
    try:
        for member in world.set.members:
            member.command_on("configureFailPoint", "failCommand", mode=mode, data=data)
        yield
    finally:
        for member in world.set.members:
            member.command_on("configureFailPoint", "failCommand", mode="off", seconds=30)


def close_connections(world: World) -> None:
    """Let the members hang up on a share of the commands."""
    with failing(world, closeConnection=True):
        time.sleep(FAILING)


def answer_errors(world: World) -> None:
    """Let the members answer a share of the commands as they do when they stop being primary."""
    for code in _CODES.values():
        with failing(world, errorCode=code):
            time.sleep(FAILING / 3)


def block_commands(world: World) -> None:
    """Let a share of the commands wait for longer than falcorest does."""
    milliseconds = int(1000 * (world.options.limit + 2))
    with failing(world, blockConnection=True, blockTimeMS=milliseconds):
        time.sleep(FAILING)


def fail_concerns(world: World) -> None:
    """Let a share of the writes happen, and be answered as not having reached the majority."""
    for name, code in _CONCERN_CODES.items():
        error = {"code": code, "codeName": name, "errmsg": "waiting for replication failed"}
        with failing(world, failCommands=_WRITES, writeConcernError=error):
            time.sleep(FAILING / 3)


def lose_answers(world: World) -> None:
    """Pass requests on to falcorest, and drop a share of its answers."""
    assert world.proxy is not None
    world.proxy.losing = SHARE
    time.sleep(FAILING)
    world.proxy.losing = 0.0
    assert world.proxy.lost


def kill_worker(world: World) -> None:
    """Kill one of falcorest's workers; another one must take its place."""
    before = world.workers()
    assert len(before) == WORKERS, before
    before[0].kill()
    assert eventually(
        lambda: len(world.workers()) == WORKERS and before[0] not in world.workers(), ENDING
    ), "the worker isn't replaced"


def terminate(world: World) -> None:
    """End falcorest by SIGTERM, and start it again."""
    begun = time.monotonic()
    world.server.process.send_signal(signal.SIGTERM)
    world.server.process.wait(60)
    took = time.monotonic() - begun
    world.start()
    assert took < ENDING, f"it took {took:.0f} s to end"


def kill_everything(world: World) -> None:
    """Kill falcorest, its workers and the embedded engine at once, and start it again."""
    everything = [psutil.Process(world.server.process.pid), *world.server.below()]
    for one in everything:
        os.kill(one.pid, signal.SIGKILL)
    world.server.process.wait(30)
    world.start()


def stop_all(world: World) -> None:
    """Kill the whole replica set."""
    for member in world.set.members:
        member.kill()


def come_late(world: World) -> None:
    """Start the replica set, which was down when falcorest started."""
    time.sleep(3)
    for member in world.set.members:
        member.start()


def stop_reading(world: World, count: int = SILENT) -> None:
    """Ask for long lists, and read nothing of them."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(_silent(world.address))
        time.sleep(2 * world.options.limit + 2)


@contextmanager
def _silent(port: int) -> Iterator[None]:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", port))
        connection.sendall(
            f"GET /api/long?_limit={LONG_SIZE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        yield


def make_small_primary(world: World) -> None:
    """Make the member with the small disk the primary."""
    small = world.set.members[0]

    def is_primary() -> bool:
        if not small.is_primary():
            with suppress(PyMongoError):
                small.command_on("replSetStepUp", seconds=10)
        return small.is_primary()

    assert eventually(is_primary, 30)
    world.set.heal()


def fill_disk(world: World) -> None:
    """Fill the disk of the primary: it ends. When there is space again, it is started."""
    small: Member = world.set.members[0]
    ballast = world.set.seen(small.files) / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
    assert ballast.stat().st_size > 1 << 20
    assert eventually(lambda: not small.running, 30), "the primary lives without a disk"
    world.set.wait_for_another(small)
    time.sleep(2)
    ballast.unlink()


def lose_acknowledged(world: World) -> None:
    """Let the primary acknowledge what it alone has, and lose it.

    Both secondaries are frozen; the primary is killed before it notices, and comes back when
    another one has been elected, which takes back what only it has.
    """
    primary = world.set.primary()
    secondaries = world.set.secondaries()
    for member in secondaries:
        member.freeze()
    time.sleep(1.5)
    primary.kill()
    for member in secondaries:
        member.thaw()
    world.set.wait_for_another(primary)
    time.sleep(1)


FAULTS: Sequence[Fault] = (
    Fault("primary killed", kill_primary),
    Fault("primary steps down", step_down),
    Fault("primary frozen", freeze_primary),
    Fault("secondary killed", kill_secondary),
    Fault("majority killed", kill_majority),
    Fault("majority frozen", freeze_majority),
    Fault("connections closed", close_connections),
    Fault("error codes", answer_errors),
    Fault("commands blocked", block_commands),
    Fault("write concern errors", fail_concerns),
    Fault("answers lost", lose_answers, Silence.ALLOWED, proxied=True),
    Fault("worker killed", kill_worker, Silence.ALLOWED),
    Fault("SIGTERM", terminate, Silence.UNDONE),
    Fault("database down at start", come_late, begin=stop_all),
    Fault(f"{SILENT} clients stop reading", stop_reading),
    Fault("disk full", fill_disk, place="disk", begin=make_small_primary),
    Fault("embedded: all killed", kill_everything, Silence.ALLOWED, place="embedded"),
    Fault("control: w=1", lose_acknowledged, place="control", control=True),
)

#: What is as the first in the table, but shorter; for a machine that has other things to do.
SHORT: Sequence[Fault] = (
    Fault("primary killed", kill_primary),
    Fault("primary frozen", partial(freeze_primary, seconds=12)),
    Fault("worker killed", kill_worker, Silence.ALLOWED),
)
