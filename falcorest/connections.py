"""Connections: what Linux knows of those of a server's clients, and the end of the slow ones."""

from __future__ import annotations

import fcntl
import ipaddress
import logging
import os
import socket
import struct
import termios
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from falcorest.logs import logger

#: How many bytes in a second a client has to send or to read while it is its turn.
LEAST_RATE = 512

#: How many times a connection is looked at in the time that its client has.
_LOOKS = 4

_HANDLES = "/proc/self/fd"

# NOTE: see ``struct tcp_info`` in linux/tcp.h.
_INFO = struct.Struct("=B 23x I 16x I 4x I 64x Q Q 8x I")
_ESTABLISHED = 1


@dataclass(frozen=True)
class Connection:
    """A client's connection, as it is now.

    Attributes:
        handle: The socket, of which this is another handle.
        key: What no other socket of the process has.
        open: Whether both sides may still send.
        acknowledged: How many bytes of answers the client has taken.
        received: How many bytes it has sent.
        unsent: Whether some of an answer is still to be taken by the client.
        unread: How many bytes of the client the server has not read yet.
        since_sent: For how long nothing was sent, in seconds.
        since_received: For how long nothing came, in seconds.
    """

    handle: socket.socket
    key: int
    open: bool
    acknowledged: int
    received: int
    unsent: bool
    unread: int
    since_sent: float
    since_received: float

    @property
    def is_answered(self) -> bool:
        """Whether something was sent since the last that came."""
        return self.since_sent <= self.since_received

    @property
    def is_clients_turn(self) -> bool:
        """Whether it is the client who is to read or to send; it may be the server's as well."""
        return self.unsent or not self.unread

    @property
    def silence(self) -> float:
        """For how long nothing was sent and nothing came, in seconds."""
        return min(self.since_sent, self.since_received)

    @classmethod
    def of(cls, sock: socket.socket, key: int) -> Connection:
        """Ask the kernel about a socket."""
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        state, unacked, sent, came, acknowledged, received, waiting = _INFO.unpack(info)
        (unread,) = struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))
        return cls(
            sock,
            key,
            state == _ESTABLISHED,
            acknowledged,
            received,
            bool(unacked or waiting),
            unread,
            sent / 1000,
            came / 1000,
        )

    def cut(self) -> None:
        """End it; what is not sent yet is dropped."""
        with suppress(OSError):
            self.handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.handle.shutdown(socket.SHUT_RDWR)


def sockets() -> dict[str, str]:
    """Return the sockets of this process: what no other of them ever has, by file descriptor."""
    found = {}
    for handle in os.listdir(_HANDLES):
        # NOTE: a server may close any of them at any time.
        with suppress(OSError):
            name = os.readlink(f"{_HANDLES}/{handle}")
            if name.startswith("socket:"):
                found[handle] = name
    return found


def connections(port: int, among: Collection[str] | None = None) -> Iterator[Connection]:
    """Yield the connections of this process that its clients have made.

    Args:
        port: Where it listens.
        among: The sockets that are looked at; all of them unless given.
    """
    for handle, name in sockets().items():
        if among is not None and name not in among:
            continue
        with suppress(OSError), socket.socket(fileno=os.dup(int(handle))) as sock:
            if sock.family not in {socket.AF_INET, socket.AF_INET6}:
                continue
            if sock.getsockname()[1] == port and sock.getpeername():
                yield Connection.of(sock, os.fstat(sock.fileno()).st_ino)


def still_there(environ: dict[str, Any], size: int, among: Collection[str], seconds: float) -> bool:
    """Tell whether the client may still be there whose body has come to its end.

    Args:
        environ: Of the request.
        size: How many bytes the body has.
        among: The sockets that there were when it began.
        seconds: How long a client may be silent. Who has been for half of it has not just sent the
            end of a body.
    """
    client = _address(environ["REMOTE_ADDR"])
    return any(
        one.open
        and one.received >= size
        and one.silence < seconds / 2
        and _address(one.handle.getpeername()[0]) == client
        for one in connections(int(environ["SERVER_PORT"]), among)
    )


def _address(text: str) -> object:
    return ipaddress.ip_address(text.partition("%")[0])


class Watch:
    """Cuts the connections of clients that take too long over what is their turn to do.

    A client is to send its request, or to read its answer, at a modest rate at least. One that has
    neither a request nor an answer under way may be silent as long.

    PERF: it costs a request nothing, and works under every server.

    Args:
        port: Where the server listens.
        seconds: How long a client has.
    """

    def __init__(self, port: int, seconds: float) -> None:
        self._port = port
        self._seconds = seconds
        self._least = LEAST_RATE * seconds
        #: When each connection was last seen to be as it should, and what had moved until then.
        self._marks: dict[int, tuple[float, int, int]] = {}

    def start(self) -> None:
        """Look after the connections of this process as long as it lives."""
        threading.Thread(target=self._run, name="falcorest-connections", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(self._seconds / _LOOKS)
            if cut := self.look():
                logger.log(logging.WARNING, "%d connections of slow clients were closed", cut)

    def look(self) -> int:
        """Look at each connection once, and return how many were cut, silent ones aside."""
        now = time.monotonic()
        marks, cut = {}, 0
        for one in connections(self._port):
            mark = self._marks.get(one.key, (now, one.acknowledged, one.received))
            is_silent = one.is_clients_turn and one.silence >= self._seconds
            if self._is_well(one, mark) and not is_silent:
                mark = (now, one.acknowledged, one.received)
            elif is_silent or now - mark[0] >= self._seconds:
                one.cut()
                cut += one.unsent or not one.is_answered
            marks[one.key] = mark
        self._marks = marks
        return cut

    def _is_well(self, one: Connection, mark: tuple[float, int, int]) -> bool:
        _, acknowledged, received = mark
        taken, came = one.acknowledged - acknowledged, one.received - received
        if one.unsent:
            return taken >= self._least
        return not one.is_clients_turn or one.is_answered or taken > 0 or came >= self._least
