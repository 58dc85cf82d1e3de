"""A replica set of three on loopback whose members are killed, frozen and started again."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from falcorest.embedded import die_with_parent
from tests.live.processes import eventually
from tests.support import free_port

NAME = "faults"

#: How long the others wait for a primary that says nothing before they elect another one, and how
#: often they listen for it. MongoDB's own are 10 s and 2 s; with these, a run takes less time.
ELECTION_MS = 3000
HEARTBEAT_MS = 1000

#: How long a transaction that nobody ends holds its documents, in seconds. MongoDB's own is 60: a
#: worker that was killed in the middle of one leaves it open for as long.
TRANSACTION_SECONDS = 10

#: How often a member writes its files, in seconds; MongoDB's own is 60. What came later is done
#: again when one that was killed starts, which takes the longer the more there is of it.
CHECKPOINT_SECONDS = 5

#: How long the set may take to be whole again, in seconds.
HEALING = 60.0

_PRIMARY, _SECONDARY = 1, 2


@dataclass
class Member:
    """One ``mongod``, which leads a process group of its own.

    Attributes:
        command: The program, and what stands before it.
        folder: Its files and its log.
        options: Further ones of the command line.
    """

    number: int
    command: Sequence[str]
    folder: Path
    options: Sequence[str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    frozen: bool = False

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def files(self) -> Path:
        return self.folder / "db"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it on its files."""
        self.frozen = False
        # fmt: off
        command = [
            *self.command, "--dbpath", str(self.files), "--logpath", str(self.folder / "log"),
            "--logappend", "--port", str(self.port), "--bind_ip", "127.0.0.1", "--nounixsocket",
            "--replSet", NAME, "--oplogSize", "256", "--wiredTigerCacheSizeGB", "0.25",
            "--syncdelay", str(CHECKPOINT_SECONDS),
            "--setParameter", "enableTestCommands=1",
            "--setParameter", "diagnosticDataCollectionEnabled=false",
            "--setParameter", f"transactionLifetimeLimitSeconds={TRANSACTION_SECONDS}",
            *self.options,
        ]
        # fmt: on
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            # NOTE: with whoever runs this, however that ends.
            preexec_fn=functools.partial(die_with_parent, signal.SIGKILL),
        )

    def kill(self) -> None:
        """End it as a power cut does."""
        self._signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(30)

    def freeze(self) -> None:
        """Stop it where it stands: its connections stay open, and nothing answers."""
        self.frozen = True
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)
        self.frozen = False

    def _signal(self, signum: int) -> None:
        if self.running:
            assert self.process is not None
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signum)

    @contextmanager
    def client(self, seconds: float = 3) -> Iterator[MongoClient[dict[str, Any]]]:
        """Give a client of this member alone."""
        milliseconds = int(1000 * seconds)
        with MongoClient[dict[str, Any]](
            f"mongodb://{self.host}/?directConnection=true",
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            socketTimeoutMS=milliseconds,
        ) as client:
            yield client

    def command_on(self, *command: Any, seconds: float = 3, **more: Any) -> dict[str, Any]:
        """Run an administrator's command on this member."""
        with self.client(seconds) as client:
            return client.admin.command(*command, **more)

    def is_primary(self) -> bool:
        """Tell whether it says that it is the primary."""
        if not self.running or self.frozen:
            return False
        with suppress(PyMongoError):
            return bool(self.command_on("hello", seconds=1)["isWritablePrimary"])
        return False


class SmallDisk:
    """A disk of few megabytes in memory, which nobody sees but who is started in its namespace.

    It needs no privilege where users may have namespaces of their own.
    """

    def __init__(self, megabytes: int = 400) -> None:
        self._megabytes = megabytes
        self._holder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SmallDisk:
        return self

    def __exit__(self, *error: object) -> None:
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait()
            assert self._holder.stdout is not None
            self._holder.stdout.close()

    def mount(self, folder: Path) -> list[str]:
        """Put it in the place of a folder; return what starts a program that sees it."""
        mount = f"mount -t tmpfs -o size={self._megabytes}m tmpfs '{folder}'"
        own_user = ["--user", "--map-root-user"] if os.geteuid() else []
        self._holder = subprocess.Popen(
            [
                "unshare",
                "--mount",
                *own_user,
                "sh",
                "-c",
                f"{mount} && echo ready && exec sleep 1d",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            preexec_fn=functools.partial(die_with_parent, signal.SIGKILL),
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n", "there can be no small disk here"
        user = ["--user", "--preserve-credentials"] if own_user else []
        return ["nsenter", "--target", str(self._holder.pid), "--mount", *user, "--"]

    def seen(self, path: Path) -> Path:
        """Return where a file on it is seen from outside."""
        assert self._holder is not None
        return Path(f"/proc/{self._holder.pid}/root{path}")


class ReplicaSet:
    """Three members, of which each can become the primary.

    Args:
        folder: Where their files go.
        mongod: The program.
        options: Further ones of its command line.
        disk: That of the first member.
    """

    def __init__(
        self,
        folder: Path,
        mongod: Path,
        *options: str,
        disk: SmallDisk | None = None,
    ) -> None:
        self.members: list[Member] = []
        self._disk = disk
        for number in range(3):
            own = folder / f"member-{number}"
            (own / "db").mkdir(parents=True)
            before = disk.mount(own / "db") if disk is not None and not number else []
            self.members.append(Member(number, [*before, str(mongod)], own, options))

    def seen(self, path: Path) -> Path:
        """Return where files of the member with the small disk are seen from here."""
        assert self._disk is not None
        return self._disk.seen(path)

    @property
    def uri(self) -> str:
        hosts = ",".join(member.host for member in self.members)
        return f"mongodb://{hosts}/?replicaSet={NAME}"

    def __enter__(self) -> ReplicaSet:
        try:
            for member in self.members:
                member.start()
            self._initiate()
            self.heal()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all of it; nothing of it is needed any more."""
        for member in self.members:
            member.kill()

    def _initiate(self) -> None:
        settings = {"electionTimeoutMillis": ELECTION_MS, "heartbeatIntervalMillis": HEARTBEAT_MS}
        members = [{"_id": one.number, "host": one.host} for one in self.members]
        config = {"_id": NAME, "members": members, "settings": settings}
        for member in self.members:
            with member.client(30) as client:
                client.admin.command("ping")
        self.members[0].command_on("replSetInitiate", config, seconds=60)

    @contextmanager
    def client(self) -> Iterator[MongoClient[dict[str, Any]]]:
        """Give a client of the whole set."""
        with MongoClient[dict[str, Any]](self.uri, serverSelectionTimeoutMS=30_000) as client:
            yield client

    def primary(self, seconds: float = HEALING) -> Member:
        """Wait for a primary, and return it."""
        found = eventually(self._primary, seconds)
        assert found, "no primary was elected"
        return found  # type: ignore[no-any-return]

    def _primary(self) -> Member | None:
        # NOTE: for a moment, one that was frozen believes that it still is.
        found = [member for member in self.members if member.is_primary()]
        return found[0] if len(found) == 1 else None

    def secondaries(self) -> list[Member]:
        """Return those that aren't the primary."""
        primary = self.primary()
        return [member for member in self.members if member is not primary]

    def heal(self) -> None:
        """Thaw and start what needs it, and wait until all is well."""
        for member in self.members:
            if member.frozen:
                member.thaw()
            if not member.running:
                member.start()
        assert eventually(self.is_well, HEALING), f"the set doesn't heal: {self.states()}"

    def is_well(self) -> bool:
        """Tell whether there is one primary, and the others follow it closely."""
        primary = self._primary()
        if primary is None:
            return False
        with suppress(PyMongoError):
            members = primary.command_on("replSetGetStatus")["members"]
            states = sorted(member["state"] for member in members)
            dates = [member["optimeDate"] for member in members]
            close = max(dates) - min(dates) <= timedelta(seconds=2)
            return close and states == [_PRIMARY, _SECONDARY, _SECONDARY]
        return False

    def states(self) -> list[str]:
        """Return how each member sees itself, and the last that one that ended has said."""
        found = []
        for member in self.members:
            if member.process is not None and not member.running:
                last = (member.folder / "log").read_text().splitlines()[-20:]
                found.append("\n".join([f"ended with {member.process.returncode}", *last]))
                continue
            try:
                status = member.command_on("replSetGetStatus", seconds=1)
                own = next(one for one in status["members"] if one.get("self"))
                found.append(f"{own['stateStr']} at {own['optimeDate']}")
            except PyMongoError as error:
                found.append(repr(error))
        return found

    def wait_for_another(self, former: Member, seconds: float = HEALING) -> Member:
        """Wait until a member other than this one is the primary."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for member in self.members:
                if member is not former and member.is_primary():
                    return member
            time.sleep(0.05)
        raise AssertionError("no other primary was elected")
