"""Connections: which of them move, and which are cut."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from falcorest.connections import LEAST_RATE, Watch, connections, sockets, still_there
from tests.live.processes import eventually

HAS = 0.4
LEAST = int(LEAST_RATE * HAS)


@dataclass
class Pair:
    """A client and its server."""

    client: socket.socket
    server: socket.socket
    port: int

    def ends(self) -> bool:
        """Tell whether the server sees the end, whatever has come before."""
        self.server.setblocking(False)
        with suppress(BlockingIOError):
            while self.server.recv(1 << 16):
                pass
            return True
        return False


@pytest.fixture
def pair() -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        with listener.accept()[0] as server:
            yield Pair(client, server, listener.getsockname()[1])


def watched(pair: Pair, seconds: float, each: Callable[[], None] | None = None) -> int:
    """Look at a connection for some time, and return how often it was cut."""
    watch = Watch(pair.port, HAS)
    cut = 0
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and not cut:
        if each is not None:
            each()
        cut = watch.look()
        time.sleep(HAS / 8)
    return cut


def test_the_kernel_knows_what_has_moved(pair: Pair) -> None:
    # NOTE: the clock of the kernel has some milliseconds.
    time.sleep(0.02)
    pair.client.send(b"x" * 1000)
    assert eventually(lambda: next(connections(pair.port)).unread == 1000)
    (one,) = connections(pair.port)
    assert (one.open, one.received, one.unsent, one.is_answered) == (True, 1000, False, False)
    assert not one.is_clients_turn
    time.sleep(0.02)
    pair.server.recv(4096)
    pair.server.send(b"y" * 50)
    assert eventually(lambda: next(connections(pair.port)).acknowledged == 50)
    (one,) = connections(pair.port)
    assert one.is_answered
    assert one.is_clients_turn
    assert list(connections(pair.port + 1)) == []
    assert list(connections(pair.port, among=())) == []
    before = set(os.listdir("/proc/self/fd"))
    list(connections(pair.port))
    assert set(os.listdir("/proc/self/fd")) == before


def test_silence_is_cut(pair: Pair) -> None:
    assert watched(pair, 3 * HAS) == 0, "nothing was under way, so it isn't counted"
    assert pair.ends()


def test_drops_are_cut(pair: Pair) -> None:
    def drip() -> None:
        with suppress(OSError):
            pair.client.send(b"x")
        pair.server.recv(100)

    assert watched(pair, 3 * HAS, drip) == 1
    assert pair.ends()


def test_a_steady_client_is_not(pair: Pair) -> None:
    def flow() -> None:
        pair.client.send(b"x" * LEAST)
        pair.server.recv(LEAST)

    assert watched(pair, 3 * HAS, flow) == 0
    assert not pair.ends()


def test_what_the_server_has_not_read_is_waited_for(pair: Pair) -> None:
    pair.client.send(b"x")
    assert watched(pair, 3 * HAS) == 0
    assert not pair.ends()


def test_small_answers_now_and_then_are_fine(pair: Pair) -> None:
    def ask() -> None:
        pair.client.send(b"x")
        pair.server.recv(1)
        pair.server.send(b"y")
        pair.client.recv(1)

    assert watched(pair, 3 * HAS, ask) == 0
    assert not pair.ends()


def test_an_answer_that_is_not_read_is_cut(pair: Pair) -> None:
    pair.client.send(b"x" * 10)
    pair.server.setblocking(False)
    with suppress(BlockingIOError):
        while pair.server.send(b"y" * 65536):
            pass
    assert watched(pair, 3 * HAS) == 1
    with pytest.raises(BrokenPipeError):
        pair.server.send(b"y")


def test_who_may_still_be_there(pair: Pair) -> None:
    environ = {"REMOTE_ADDR": "127.0.0.1", "SERVER_PORT": str(pair.port)}
    among = set(sockets().values())
    pair.client.send(b"x" * 10)
    assert eventually(lambda: next(connections(pair.port)).received == 10)
    assert still_there(environ, 10, among, 10)
    assert not still_there(environ, 10, among, 0)
    assert not still_there(environ, 11, among, 10)
    assert not still_there(environ, 10, (), 10)
    assert not still_there({**environ, "REMOTE_ADDR": "127.0.0.2"}, 10, among, 10)
    pair.client.shutdown(socket.SHUT_WR)
    assert eventually(lambda: not still_there(environ, 10, among, 10))
