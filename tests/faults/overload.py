"""Twice the load that falcorest can carry: it must go on serving, and refuse the rest cleanly.

::

    python -m tests.faults.overload

What bounds it is a database that takes its time for each command, so that neither the clients nor
the machine do. The exit code is 1 if something was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.faults.clients import SEEDS
from tests.faults.replicas import ReplicaSet
from tests.faults.trial import GRACE, place
from tests.faults.world import Options, world

#: How long the database takes for each command, in milliseconds.
SLOW_MS = 50

#: How many connections clients have when they wait for each answer, and at most.
CLOSED, MOST = 32, 512

#: How long it goes on, in seconds: to see what can be carried, twice that, and half of it.
MEASURING, OVERLOADED, AFTERWARDS = 5.0, 15.0, 10.0

#: What share of what it can carry it must serve at least while there is twice as much.
STEADY = 0.8

#: How soon all must be served again, and how quickly each, in seconds.
RECOVERED, QUICK = 5.0, 1.0

#: How long a client waits for an answer, in seconds.
_DEADLINE = 30.0


@dataclass(frozen=True)
class Told:
    """What came of a request.

    Attributes:
        at: When it was sent, in seconds from the beginning.
        took: How long it took.
        status: None without an answer.
        clean: Whether it was served, or refused in a way that says when to come again.
    """

    at: float
    took: float
    status: int | None
    clean: bool

    @property
    def good(self) -> bool:
        return self.status is not None and self.status < 300


@dataclass
class Phase:
    """What came of a load.

    Attributes:
        name: Its name in the table.
        seconds: How long it went on.
    """

    name: str
    seconds: float
    told: list[Told] = field(default_factory=list)

    @property
    def goodput(self) -> float:
        """How many requests were served in a second, while it went on."""
        return (
            sum(one.good and one.at + one.took < self.seconds for one in self.told) / self.seconds
        )

    @property
    def refused(self) -> int:
        return sum(one.clean and not one.good for one in self.told)

    @property
    def other(self) -> int:
        """How many were neither served nor refused cleanly."""
        return sum(not one.clean for one in self.told)

    @property
    def longest(self) -> float:
        return max((one.took for one in self.told), default=0.0)

    @property
    def p99(self) -> float:
        """How long all but the slowest hundredth of those that were served took."""
        took = sorted(one.took for one in self.told if one.good)
        return took[int(0.99 * len(took))] if took else 0.0

    @property
    def recovered(self) -> float:
        """When the last request was sent that wasn't served quickly."""
        return max((one.at for one in self.told if not one.good or one.took > QUICK), default=0.0)

    def __str__(self) -> str:
        return (
            f"{self.name:22} {self.seconds:>7.0f} {len(self.told) / self.seconds:>10.0f} "
            f"{self.goodput:>9.0f} {self.refused:>7,} {self.other:>6,} {self.p99:>6.2f} "
            f"{self.longest:>7.2f}"
        )


HEADER = (
    f"{'load':22} {'seconds':>7} {'offered/s':>10} {'served/s':>9} {'503':>7} {'other':>6} "
    f"{'p99':>6} {'longest':>7}"
)


class Crowd:
    """Clients that ask on as many connections as they need.

    Args:
        port: Where falcorest listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._room = asyncio.Semaphore(MOST)
        self._turn = 0

    async def ask(self, begun: float) -> Told:
        """Read or write one document."""
        sent = time.monotonic()
        status, headers = None, b""
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            async with self._room, asyncio.timeout(_DEADLINE):
                status, headers = await self._exchange()
        took = time.monotonic() - sent
        good = status is not None and status < 300
        clean = good or (status == 503 and b"retry-after:" in headers)
        return Told(sent - begun, took, status, clean)

    async def _exchange(self) -> tuple[int, bytes]:
        # NOTE: what was idle for long, the server may have closed.
        while self._idle and self._idle[-1][0].at_eof():
            self._idle.pop()[1].close()
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        whole = False
        try:
            writer.write(self._request())
            headers = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = headers.partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            whole = b"connection: close" not in headers
        finally:
            if whole:
                self._idle.append((reader, writer))
            else:
                writer.close()
        return int(headers.split(maxsplit=2)[1]), headers

    def _request(self) -> bytes:
        self._turn += 1
        if self._turn % 2:
            line = f"GET /api/documents/{SEEDS[self._turn % len(SEEDS)]}"
            body = b""
        else:
            line = "POST /api/documents"
            body = json.dumps({"_id": str(uuid.uuid4())}).encode()
        headers = f"Host: localhost\r\nContent-Length: {len(body)}"
        kind = "Content-Type: application/json"
        return f"{line} HTTP/1.1\r\n{headers}\r\n{kind}\r\n\r\n".encode() + body

    async def closed(self, name: str, seconds: float) -> Phase:
        """Ask on some connections, each time as soon as there is an answer."""
        phase = Phase(name, seconds)
        begun = time.monotonic()

        async def go_on(number: int) -> None:
            # NOTE: of connections that come all at once, one worker may take all.
            await asyncio.sleep(number * seconds / CLOSED / 10)
            while time.monotonic() - begun < seconds:
                phase.told.append(await self.ask(begun))

        await asyncio.gather(*map(go_on, range(CLOSED)))
        return phase

    async def opened(self, name: str, seconds: float, rate: float) -> Phase:
        """Ask so many times in a second, whatever becomes of it."""
        phase = Phase(name, seconds)
        begun = time.monotonic()
        tasks = []
        for number in range(int(seconds * rate)):
            await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
            tasks.append(asyncio.create_task(self.ask(begun)))
        phase.told = await asyncio.gather(*tasks)
        return phase

    async def close(self) -> None:
        """Hang up."""
        for _, writer in self._idle:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _phases(port: int) -> list[Phase]:
    crowd = Crowd(port)
    carried = await crowd.closed("what it carries", MEASURING)
    twice = asyncio.create_task(crowd.opened("twice as much", OVERLOADED, 2 * carried.goodput))
    await asyncio.sleep(OVERLOADED)
    half = await crowd.opened("half of it, at once", AFTERWARDS, carried.goodput / 2)
    phases = [carried, await twice, half]
    await crowd.close()
    return phases


def judge(phases: Sequence[Phase], limit: float) -> list[str]:
    """Return what is wrong.

    Args:
        phases: What it carries, twice as much, and half of it thereafter.
        limit: How long a request may wait, in seconds.
    """
    carried, twice, half = phases
    wrong = [
        f"{phase.name}: {phase.other} neither served nor refused cleanly"
        for phase in phases
        if phase.other
    ]
    if twice.goodput < STEADY * carried.goodput:
        wrong.append(f"{twice.goodput:.0f} served in a second, of {carried.goodput:.0f} before")
    if twice.longest > limit + GRACE:
        wrong.append(f"a request took {twice.longest:.1f} s")
    if half.recovered > RECOVERED:
        wrong.append(f"it recovers after {half.recovered:.1f} s only")
    return wrong


def overload(options: Options) -> list[Phase]:
    """Run it on a database of its own."""
    with place("set") as replicas, ExitStack() as stack:
        assert replicas is not None
        made = stack.enter_context(world(options, replicas))
        made.seed()
        made.start()
        slow_down(replicas, SLOW_MS)
        phases = asyncio.run(_phases(made.address))
        slow_down(replicas, 0)
        made.drop()
    return phases


def slow_down(replicas: ReplicaSet, milliseconds: int) -> None:
    """Let each member take its time for what falcorest asks; 0 ends it."""
    data = {
        "failCommands": ["find", "insert"],
        "appName": "falcorest",
        "blockConnection": True,
        "blockTimeMS": milliseconds,
    }
    how: dict[str, Any] = {"mode": "alwaysOn", "data": data} if milliseconds else {"mode": "off"}
    for member in replicas.members:
        member.command_on("configureFailPoint", "failCommand", seconds=30, **how)


def main(arguments: Sequence[str]) -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.overload")
    parser.add_argument("--server", default="granian", choices=["granian", "gunicorn"])
    given = parser.parse_args(arguments)
    options = Options(given.server)
    phases = overload(options)
    print(HEADER)
    for phase in phases:
        print(phase)
    wrong = judge(phases, options.limit)
    print(f"all is served again {phases[-1].recovered:.1f} s after it")
    for one in wrong:
        print(one)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
