"""Load on a server: requests that come at a rate, whether or not those before are answered."""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Seen:
    """What became of the requests of some seconds.

    Attributes:
        sent: How many there were.
        statuses: How many were answered how; 0 is a connection that broke.
        slowest: The longest that an answer took, by status, in seconds.
        late: How many were answered after the last was sent.
    """

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    slowest: dict[int, float] = field(default_factory=dict)
    late: Counter[int] = field(default_factory=Counter)
    lacking: int = 0


class _Line:
    """A connection, and what has come on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.data = bytearray()
        self.sent = 0.0

    def send(self, request: bytes) -> None:
        self.sent = time.monotonic()
        self.socket.send(request)

    def answer(self) -> tuple[int, bytes] | None:
        """Return status and head of the answer, once all of it is there; 0 when it breaks."""
        try:
            piece = self.socket.recv(1 << 18)
        except OSError:
            piece = b""
        if not piece:
            return 0, b""
        self.data += piece
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self.data[:end]).lower()
        length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0)
        if len(self.data) < end + 4 + length:
            return None
        del self.data[: end + 4 + length]
        return int(head[9:12]), head


def load(port: int, request: bytes, rate: float, seconds: float, patience: float = 10) -> Seen:
    """Send requests at a rate, each on a connection that is free, and wait for the answers.

    Args:
        port: Where.
        request: The request, as it goes over the wire.
        rate: How many in a second.
        seconds: How long.
        patience: How long to wait for the last answers, in seconds.
    """
    seen = Seen()
    free: list[_Line] = []
    started = time.monotonic()
    ends = started + seconds
    with selectors.DefaultSelector() as selector:
        while (now := time.monotonic()) < ends or (
            sum(seen.statuses.values()) < seen.sent and now < ends + patience
        ):
            while now < ends and seen.sent < (now - started) * rate:
                if free:
                    line = free.pop()
                else:
                    line = _Line(port)
                    selector.register(line.socket, selectors.EVENT_READ, line)
                line.send(request)
                seen.sent += 1
            for key, _ in selector.select(0.002):
                line = key.data
                answer = line.answer()
                if answer is None:
                    continue
                status, head = answer
                if line.sent:
                    took = time.monotonic() - line.sent
                    seen.statuses[status] += 1
                    seen.late[status] += time.monotonic() > ends
                    seen.slowest[status] = max(seen.slowest.get(status, 0), took)
                    seen.lacking += status == 503 and b"\r\nretry-after: " not in head
                    line.sent = 0.0
                if status:
                    free.append(line)
                else:
                    selector.unregister(line.socket)
                    line.socket.close()
                    free = [one for one in free if one is not line]
        for key in list(selector.get_map().values()):
            key.data.socket.close()
    return seen
