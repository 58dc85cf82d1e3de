"""The worker that gunicorn runs: its own one with threads, without what holds it up."""

from __future__ import annotations

import functools
import selectors
import socket
import time
from typing import Any

from gunicorn.http import get_parser
from gunicorn.util import close
from gunicorn.workers.gthread import ThreadWorker

#: How long a client whose connection is closed has for hanging up, and how much it may still send.
LINGER_SECONDS = 2.0
LINGER_BYTES = 64 * 1024

#: How long the head of a request may take to come, and how much of it is waited for.
HEAD_SECONDS = 30.0
HEAD_BYTES = 64 * 1024

#: How long a thread waits for the rest of a body that nobody has read.
REST_SECONDS = 0.1


class Worker(ThreadWorker):  # type: ignore[misc]
    """Serves requests in threads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Connections on which a head has not come yet, the oldest first, and what has come of it.
        self._heads: dict[Any, bytearray] = {}

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept connections, or don't."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            # NOTE: else clients would wait in line for a worker that doesn't come.
            for listener in self.sockets:
                listener.close()
            for conn in self._heads:
                conn.timeout = min(conn.timeout, time.monotonic() + LINGER_SECONDS)

    def enqueue_req(self, conn: Any) -> None:
        """Have a connection served by a thread, once there is something to serve."""
        conn.close = functools.partial(self._close, conn)
        # APPSEC: in gunicorn a thread waits for the head, so a few clients that send it slowly keep
        # all others out.
        if self._has_head(conn):
            self._heads.pop(conn, None)
            super().enqueue_req(conn)
        else:
            come = functools.partial(self._come, conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, come)

    def _has_head(self, conn: Any) -> bool:
        """Read what has come, and tell whether a thread can do something with it."""
        if conn.parser is None:
            conn.parser = get_parser(self.cfg, conn.sock, conn.client)
        head = self._heads.get(conn)
        if head is None:
            head = self._heads[conn] = bytearray(conn.parser.unreader.take_buffered())
            conn.timeout = time.monotonic() + HEAD_SECONDS
        conn.sock.setblocking(False)
        try:
            while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES:
                piece = conn.sock.recv(8192)
                if not piece:
                    break
                head += piece
        except BlockingIOError:
            return False
        except OSError:
            pass
        conn.parser.unreader.unread(bytes(head))
        conn.data_ready = True
        return True

    def _come(self, conn: Any, client: Any) -> None:
        self.poller.unregister(client)
        self.enqueue_req(conn)

    def murder_pending(self) -> None:
        """Close connections on which nothing came in time."""
        super().murder_pending()
        now = time.monotonic()
        while self._heads and (conn := next(iter(self._heads))).timeout <= now:
            del self._heads[conn]
            self.poller.unregister(conn.sock)
            self.nr_conns -= 1
            conn.close()

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        # APPSEC: gunicorn waits five seconds.
        ends = time.monotonic() + REST_SECONDS
        return bool(keepalive and conn.parser.finish_body(deadline=ends))

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
