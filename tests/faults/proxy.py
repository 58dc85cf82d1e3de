"""What stands between clients and falcorest, and loses answers when it is told to."""

from __future__ import annotations

import random
import socket
import threading
from contextlib import suppress

_PIECE = 65_536


class Proxy:
    """Passes bytes on both ways, from a port of its own.

    Args:
        target: The port that it passes them on to.

    Attributes:
        losing: The share of answers that it swallows; the connection ends then.
        lost: How many it has swallowed.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self.port = int(self._listener.getsockname()[1])
        self.losing = 0.0
        self.lost = 0

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for pair in self._pairs:
                _close(*pair)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs.append((client, server))
            for target in (self._pass_requests, self._pass_answers):
                threading.Thread(target=target, args=(client, server), daemon=True).start()

    def _pass_requests(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := client.recv(_PIECE):
                server.sendall(piece)
        _shut(client, server)

    def _pass_answers(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := server.recv(_PIECE):
                if random.random() < self.losing:
                    self.lost += 1
                    break
                client.sendall(piece)
        _shut(client, server)


def _shut(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def _close(*sockets: socket.socket) -> None:
    _shut(*sockets)
    for one in sockets:
        one.close()
