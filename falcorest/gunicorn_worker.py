"""The worker that gunicorn runs: its own one with threads, without what holds it up."""

from __future__ import annotations

import functools
import selectors
import socket
import time
from typing import Any

from gunicorn.util import close
from gunicorn.workers.gthread import ThreadWorker

#: How long a client whose connection is closed has for hanging up, and how much it may still send.
LINGER_SECONDS = 2.0
LINGER_BYTES = 64 * 1024


class Worker(ThreadWorker):  # type: ignore[misc]
    """Serves requests in threads."""

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept connections, or don't."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            # NOTE: else clients would wait in line for a worker that doesn't come.
            for listener in self.sockets:
                listener.close()

    def enqueue_req(self, conn: Any) -> None:
        """Have a connection served by a thread."""
        conn.close = functools.partial(self._close, conn)
        super().enqueue_req(conn)

    def _close(self, conn: Any, graceful: bool = False) -> None:
        # APPSEC: gunicorn waits for each client to hang up, one after the other, and serves nobody
        # meanwhile; a dozen that don't get the worker killed. Here they are waited for beside
        # everything else, and count as connections as long.
        if not graceful:
            close(conn.sock)
            return
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            close(conn.sock)
            return
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + LINGER_SECONDS
        self.nr_conns += 1
        self.pending_conns.append(conn)
        drain = functools.partial(self._drain, conn, [LINGER_BYTES])
        self.poller.register(conn.sock, selectors.EVENT_READ, drain)

    def _drain(self, conn: Any, left: list[int], client: Any) -> None:
        try:
            read = len(client.recv(4096))
        except OSError:
            read = 0
        left[0] -= read
        if not read or left[0] <= 0:
            self.poller.unregister(client)
            self.pending_conns.remove(conn)
            self.nr_conns -= 1
            close(client)
