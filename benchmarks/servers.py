"""Servers that are measured: what answers, and what its processes cost."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.documents import DATABASE

#: How an application is run: one worker, four threads, no log of requests.
COMMANDS = {
    "granian": "granian --interface wsgi --factory --host 127.0.0.1 --port {port} --no-ws "
    "--workers 1 --blocking-threads 4 --log-level error {app}",
    "gunicorn": "gunicorn --worker-class gthread --workers 1 --threads 4 --log-level error "
    "--no-control-socket --bind 127.0.0.1:{port} {app}()",
    "waitress": "waitress-serve --listen 127.0.0.1:{port} --threads 4 --call {app}",
}

#: How long a server may take to start, and an answer to come, in seconds.
PATIENCE = 60


class Connection:
    """A connection that is kept alive. It reads answers and no more, to cost little itself."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a request as it stands, and return the status and the body of the answer."""
        self._socket.sendall(request)
        data = bytearray()
        while (end := data.find(b"\r\n\r\n")) < 0:
            self._more(data)
        head = data[:end].lower()
        del data[: end + 4]
        body = b"" if head[9:12] == b"204" else self._body(head, data)
        if b"\r\nconnection: close" in head:
            # NOTE: waitress hangs up after what it has streamed.
            self.close()
            self._open()
        return int(head[9:12]), body

    def _body(self, head: bytearray, data: bytearray) -> bytes:
        _, chunked, _ = head.partition(b"\r\ntransfer-encoding: chunked")
        if not chunked:
            length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
            while len(data) < length:
                self._more(data)
            return bytes(data)
        # NOTE: JSON has no such line ends in it.
        while not data.endswith(b"\r\n0\r\n\r\n"):
            self._more(data)
        return _joined(data)

    def close(self) -> None:
        self._socket.close()

    def _more(self, data: bytearray) -> None:
        piece = self._socket.recv(1 << 18)
        if not piece:
            raise ConnectionError(f"the server hung up: {bytes(data[:200])!r}")
        data += piece


def _joined(chunks: bytearray) -> bytes:
    """Return what is in chunks."""
    pieces: list[bytes] = []
    at = 0
    while True:
        end = chunks.index(b"\r\n", at)
        size = int(chunks[at:end], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(bytes(chunks[end + 2 : end + 2 + size]))
        at = end + 2 + size + 2


class Target:
    """A server, and a connection to it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def connect(self) -> None:
        """Wait until it listens."""
        self.connection = Connection(wait_for(self.process, self.port))
        self.send = self.connection.send

    def ready(self) -> None:
        """Note its processes, once it has answered and so has all of them."""
        parent = psutil.Process(self.process.pid)
        self.pids = [parent.pid, *(child.pid for child in parent.children(recursive=True))]

    def cpu(self) -> float:
        """Return the CPU seconds that its processes have used, those of ended threads included."""
        # NOTE: the CPU clock of another process, see clock_getcpuclockid(3); it has nanoseconds,
        # where /proc/PID/stat has hundredths of a second.
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.pids)

    def forget_peak(self) -> None:
        """Let the peak of the memory begin anew."""
        for pid in self.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak(self) -> float:
        """Return the most memory that its processes have had, in MiB."""
        return sum(_kib(pid, "VmHWM") for pid in self.pids) / 1024


def _kib(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    raise LookupError(name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(process: subprocess.Popen[bytes], port: int, pause: float = 0.05) -> int:
    """Wait until a server listens, and return its port."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return port
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{process.args!r} doesn't listen")
        time.sleep(pause)


def program(name: str) -> str:
    """Return where a program of this environment is."""
    return str(Path(sys.executable).parent / name)


@contextmanager
def running(words: list[str], folder: Path, environment: dict[str, str]) -> Iterator[Target]:
    """Run a server; it need not listen yet.

    Args:
        words: What starts it, with ``{port}`` where its port stands.
        folder: Where it runs.
        environment: What it has in its environment besides.
    """
    port = free_port()
    # NOTE: the settings of whoever runs the benchmark stay out of it.
    inherited = {name: value for name, value in os.environ.items() if "FALCOREST" not in name}
    process = subprocess.Popen(
        [word.format(port=port) for word in words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        # NOTE: where falcorest logs, it isn't to be read here.
        stderr=None if "FALCOREST_ACCESS_LOG" in environment else subprocess.DEVNULL,
        env={**inherited, "PYTHONPATH": str(Path(__file__).parents[1]), **environment},
    )
    target = Target(process, port)
    try:
        yield target
    finally:
        with suppress(AttributeError):
            target.connection.close()
        process.terminate()
        process.wait(PATIENCE)


def command(server: str, app: str) -> list[str]:
    """Return what runs an application, made by a function of a module, in a server."""
    name, *words = shlex.split(COMMANDS[server])
    return [program(name), *(word.replace("{app}", app) for word in words)]


def settings(uri: str, *, as_installed: bool = False) -> dict[str, str]:
    """Return what programs have in their environment.

    Args:
        uri: That of the database.
        as_installed: Whether falcorest logs and counts requests, as it does unless told otherwise.
    """
    # NOTE: the program written by hand logs and counts nothing.
    quiet = {
        "FALCOREST_ACCESS_LOG": "off",
        "FALCOREST_METRICS": "off",
        "FALCOREST_SLOW_MS": "0",
    }
    return {
        "MONGODB_URI": uri,
        "DATABASE": DATABASE,
        "COLLECTIONS": "posts:posts,new_posts:new_posts",
        "JWT_SECRET_KEY": "x" * 32,
        "FALCOREST_PUBLIC_METHODS": "GET,POST,PATCH",
        **({} if as_installed else quiet),
    }
