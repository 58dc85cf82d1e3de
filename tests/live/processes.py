"""Processes of the live tests: servers and commands, what they use, and what they leave."""

from __future__ import annotations

import http.client
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.support import (
    FALCOREST,
    Answer,
    Server,
    clean_environment,
    free_port,
    mongods_in,
    wait_for_port,
)

#: The servers that are held to the same, and how they are started.
SERVERS = {
    "granian": ["--server", "granian", "--workers", "2"],
    "gunicorn": ["--server", "gunicorn", "--workers", "2"],
    "waitress": ["--server", "waitress"],
}

#: How long anything may take on a machine that has other things to do.
PATIENCE = 40.0


def eventually(holds: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Ask again and again until the answer is true, and return it; the last one if time is up."""
    deadline = time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def program(name: str) -> str:
    """Return the path of a program that is installed beside this Python."""
    return str(Path(sys.executable).with_name(name))


def is_over(process: psutil.Process) -> bool:
    """Tell whether a process has ended; one that nobody has waited for has ended, too."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def all_over(processes: Sequence[psutil.Process]) -> bool:
    """Tell whether processes have ended, or do so within some seconds."""
    return bool(eventually(lambda: all(map(is_over, processes))))


@dataclass
class Running(Server):
    """A server that leads a process group of its own and writes into a file."""

    log: Path = Path()

    @property
    def text(self) -> str:
        return self.log.read_text()

    def banner(self) -> str:
        """Return what it says when it has started."""
        eventually(lambda: "Ctrl-C" in self.text)
        return self.text

    def below(self) -> list[psutil.Process]:
        """Return the processes below it: workers and, embedded, the database."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def mongod(self) -> psutil.Process:
        """Return the one embedded database that runs below it."""
        (mongod,) = (one for one in self.below() if "mongod" in Path(one.cmdline()[0]).name)
        return mongod

    def peak(self) -> int:
        """Return the peak memory of it and its workers together, in bytes."""
        everyone = [psutil.Process(self.process.pid), *self.below()]
        return sum(_peak(one.pid) for one in everyone)

    def end(
        self, signum: int = signal.SIGTERM, *, group: bool = False, within: float = PATIENCE
    ) -> int:
        """Send a signal, as Ctrl-C does to the whole group if asked to; return the exit code."""
        if group:
            os.killpg(self.process.pid, signum)
        else:
            self.process.send_signal(signum)
        return self.process.wait(within)


def _peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


@contextmanager
def running(
    command: Sequence[str], directory: Path, environment: Mapping[str, str], port: int
) -> Iterator[Running]:
    """Run a server until the block ends; it listens when the block begins."""
    log = directory / f"server-{port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Running(process, port, log=log)  # type: ignore[arg-type]
    try:
        try:
            wait_for_port(server, PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{server.text}") from None
        yield server
    finally:
        _finish(process)
        for one in _session(process.pid):
            one.kill()


def _session(leader: int) -> list[psutil.Process]:
    """Return what is left of the session of a process, which its workers are part of."""
    found = []
    for one in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(one.pid) == leader:
                found.append(one)
    return found


def _finish(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def serving(
    directory: Path,
    *options: str,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Run ``falcorest serve`` until the block ends; by default on the embedded engine."""
    port = port or free_port()
    command = [*FALCOREST, "serve", "--port", str(port), *options]
    with running(command, directory, environment or clean_environment(), port) as server:
        yield server


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    output: str
    errors: str


class Command:
    """A ``falcorest`` command that has been started, with something on its standard input."""

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        input: str = "",
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = FALCOREST,
    ) -> None:
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=directory,
            env=dict(environment or clean_environment()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        with suppress(BrokenPipeError), self.process.stdin as file:
            file.write(input)
        self.process.stdin = None

    def end(self, seconds: float = PATIENCE) -> Ended:
        """Wait for its end."""
        try:
            output, errors = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, errors = self.process.communicate()
            raise AssertionError(f"it is not over yet: {output}{errors}") from None
        return Ended(self.process.returncode, output, errors)


def run(directory: Path, *arguments: str, **options: Any) -> Ended:
    """Run a ``falcorest`` command to its end."""
    return Command(directory, *arguments, **options).end()


def create_user(directory: Path, username: str, password: str, *roles: str, **options: Any) -> None:
    """Make a user with ``falcorest createuser``."""
    given = [part for role in roles for part in ("--role", role)]
    ended = run(
        directory,
        *("createuser", username, "--password-stdin", *given),
        input=f"{password}\n",
        **options,
    )
    assert ended.code == 0, ended


def assert_refused(ended: Ended, *naming: str, lines: int = 1) -> None:
    """Hold an end against what is promised of bad settings: one line each, exit code 2."""
    assert ended.code == 2, ended
    assert ended.output == ""
    said = ended.errors.splitlines()
    assert len(said) == lines, ended.errors
    assert all(line.startswith("falcorest: ") for line in said)
    for name in naming:
        assert name in ended.errors


def nothing_left(directory: Path) -> bool:
    """Tell whether no mongod runs on a folder, now or in some seconds."""
    return bool(eventually(lambda: not mongods_in(directory)))


@contextmanager
def plain_mongod(
    program: Path, folder: Path, *options: str, port: int | None = None
) -> Iterator[psutil.Process]:
    """Run a mongod that has nothing to do with falcorest on a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    process = subprocess.Popen(
        [
            *(program, "--dbpath", folder, "--port", str(port), "--bind_ip", "127.0.0.1"),
            *("--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", *options),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for_port(Server(process, port), PATIENCE)  # type: ignore[arg-type]
        yield psutil.Process(process.pid)
    finally:
        _finish(process)


class Terminal:
    """A ``falcorest`` command that talks to a person: its standard streams are a terminal."""

    def __init__(self, directory: Path, *arguments: str, environment: Mapping[str, str]) -> None:
        self._handle, other = os.openpty()
        self.text = ""
        try:
            self._process = subprocess.Popen(
                [*FALCOREST, *arguments],
                cwd=directory,
                env=dict(environment),
                stdin=other,
                stdout=other,
                stderr=other,
                start_new_session=True,
            )
        finally:
            os.close(other)

    def answer(self, prompt: str, text: str) -> None:
        """Wait for a prompt behind all that was read so far, and answer it."""
        seen = len(self.text)
        assert eventually(lambda: self._read() and prompt in self.text[seen:]), self.text
        os.write(self._handle, f"{text}\n".encode())

    def end(self) -> int:
        """Wait for the end, with all that it says in ``text``; return the exit code."""
        code = self._process.wait(PATIENCE)
        while self._read():
            pass
        os.close(self._handle)
        return code

    def _read(self) -> bool:
        if not select.select([self._handle], [], [], 0.1)[0]:
            return False
        with suppress(OSError):
            piece = os.read(self._handle, 4096)
            self.text += piece.decode()
            return bool(piece)
        return False


def exchange(
    port: int,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    chunked: bool = False,
) -> Answer:
    """Send a request on a connection of its own, its target byte by byte as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        pieces = [body[at : at + 4096] for at in range(0, len(body), 4096)] if body else None
        with suppress(BrokenPipeError, ConnectionResetError):
            # NOTE: a server may answer, and hang up, before it has read all of a large body.
            connection.request(
                method,
                target,
                pieces if chunked else body,
                dict(headers or {}),
                encode_chunked=chunked,
            )
        with connection.getresponse() as response:
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
    finally:
        connection.close()
