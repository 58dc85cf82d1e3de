"""A replica set of three, of which one member alone can be the primary; the others can lag."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from tests.live.processes import eventually
from tests.support import free_port

_OPTIONS = (
    *("--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"),
    *("--replSet", "trio", "--oplogSize", "64", "--setParameter", "enableTestCommands=1"),
    *("--setParameter", "diagnosticDataCollectionEnabled=false"),
)


@dataclass(frozen=True)
class Trio:
    """A replica set of three; its first member is the primary.

    Attributes:
        uri: Of all three.
        clients: Of each of them alone.
        processes: They.
    """

    uri: str
    clients: list[MongoClient[dict[str, Any]]]
    processes: list[subprocess.Popen[bytes]]

    @property
    def primary(self) -> tuple[str, int]:
        """The address of the primary."""
        address = self.clients[0].address
        assert address is not None
        return address

    @contextmanager
    def lagging(self) -> Iterator[None]:
        """Let the secondaries get nothing that is new until the block ends."""
        probe = self.clients[0]["probe"].get_collection("probe", write_concern=WriteConcern(1))
        before = probe.insert_one({}).inserted_id
        assert eventually(lambda: all(self._has(before)))
        self._configure("alwaysOn")
        try:
            # NOTE: what is under way already arrives nevertheless.
            time.sleep(0.1)
            later = probe.insert_one({}).inserted_id
            time.sleep(0.3)
            assert not any(self._has(later))
            yield
        finally:
            self._configure("off")
        assert eventually(lambda: all(self._has(later)))

    def _has(self, identity: Any) -> list[bool]:
        return [one["probe"]["probe"].find_one(identity) is not None for one in self.clients[1:]]

    def _configure(self, mode: str) -> None:
        for one in self.clients[1:]:
            one.admin.command("configureFailPoint", "stopReplProducer", mode=mode)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the primary where it stands until the block ends, its connections open."""
        process = self.processes[0]
        os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert eventually(self.is_whole)

    def is_whole(self) -> bool:
        """Tell whether there are a primary and two secondaries."""
        try:
            states = [one.admin.command("hello") for one in self.clients]
        except PyMongoError:
            return False
        writable = [state["isWritablePrimary"] for state in states]
        return writable == [True, False, False] and all(one["secondary"] for one in states[1:])


@contextmanager
def trio_in(folder: Path, mongod: Path) -> Iterator[Trio]:
    """Run a replica set of three with its files in a folder."""
    ports = [free_port() for _ in range(3)]
    with ExitStack() as stack:
        processes = []
        for port in ports:
            files = folder / str(port)
            files.mkdir()
            command = [str(mongod), "--dbpath", str(files), "--port", str(port), *_OPTIONS]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            stack.callback(process.wait, 30)
            stack.callback(process.kill)
            processes.append(process)
        clients: list[MongoClient[dict[str, Any]]] = [
            stack.enter_context(MongoClient(f"mongodb://127.0.0.1:{port}/?directConnection=true"))
            for port in ports
        ]
        for client in clients:
            client.admin.command("ping")
        members = [
            {"_id": number, "host": f"127.0.0.1:{port}", "priority": int(number == 0)}
            for number, port in enumerate(ports)
        ]
        settings = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 300}
        config = {"_id": "trio", "members": members, "settings": settings}
        clients[0].admin.command("replSetInitiate", config)
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        trio = Trio(f"mongodb://{hosts}/?replicaSet=trio", clients, processes)
        assert eventually(trio.is_whole)
        yield trio
