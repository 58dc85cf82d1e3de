"""Attempts at logging in: how often they may fail, by account and by address."""

from __future__ import annotations

import hashlib
import ipaddress
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import falcon

from falcorest.errors import ConfigurationError, TooManyRequests

FAILURES = 20
WINDOW_SECONDS = 300
#: How many times more often than an account an address may fail.
PER_ADDRESS = 3
MAX_ENTRIES = 4096


class Attempts:
    """Bounds how often a password may be guessed.

    So many attempts at an account may fail within five minutes, and three times as many from
    an address, where those of one IPv6 network (/64) count together. After that, right ones are
    refused too. Success clears the account. An account that isn't there counts as one that is.

    It is kept in the memory of the process, one object for all views, and may be asked by many
    threads. Those that ask at the same moment all pass.

    Args:
        failures: How many attempts at an account may fail.
        trusted_proxies: Addresses and networks (``10.0.0.0/8``) of proxies: what they say in
            ``X-Forwarded-For`` is believed.
        clock: Tells the time in seconds.

    Raises:
        ConfigurationError: An argument can't be one.
    """

    def __init__(
        self,
        failures: int = FAILURES,
        *,
        trusted_proxies: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if failures < 1:
            raise ConfigurationError("Attempts: failures is 1 or more.")
        try:
            self._proxies = [ipaddress.ip_network(one) for one in trusted_proxies]
        except ValueError as error:
            raise ConfigurationError(f"Attempts: trusted_proxies: {error}.") from error
        self._accounts = _Failures(failures)
        self._addresses = _Failures(failures * PER_ADDRESS)
        self._clock = clock
        self._lock = threading.Lock()

    def guard(self, req: falcon.Request, username: str, check: Callable[[], Any]) -> Any:
        """Return what a check of credentials says, and count it when it fails.

        Args:
            req: Where they come from.
            username: Whose they are, as the client says.
            check: Returns the user, or anything false when the credentials are wrong.

        Raises:
            TooManyRequests: Too many have failed; ``check`` is not called.
        """
        account = _key(username)
        address = self._address(req)
        with self._lock:
            now = self._clock()
            wait = max(self._accounts.wait(account, now), self._addresses.wait(address, now))
        if wait > 0:
            raise TooManyRequests(
                "auth.too_many_attempts",
                "Too many logins have failed. Retry-After says when to try again.",
                headers={"Retry-After": str(math.ceil(wait))},
            )
        user = check()
        with self._lock:
            if user:
                self._accounts.forget(account)
            else:
                now = self._clock()
                self._accounts.add(account, now)
                # NOTE: behind a Unix socket there is no address, and all would be as one.
                if address:
                    self._addresses.add(address, now)
        return user

    def _address(self, req: falcon.Request) -> bytes:
        """Return what the address of a client counts as, b"" if there is none."""
        peer = _parse(req.remote_addr)
        client = peer
        forwarded = req.env.get("HTTP_X_FORWARDED_FOR", "") if self._proxies else ""
        # APPSEC: each proxy appends whom it heard from. What stands left of the first one that
        # isn't ours may have been written by anybody.
        while forwarded and client is not None and self._trusts(client):
            forwarded, _, last = forwarded.rpartition(",")
            client = _parse(last)
        client = client or peer
        if client is None:
            return b""
        return client.packed if client.version == 4 else client.packed[:8]

    def _trusts(self, address: Any) -> bool:
        return any(address in network for network in self._proxies)


class _Failures:
    """When attempts failed, by key: the last ``limit`` of each, of a bounded number of keys."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._times: dict[bytes, deque[float]] = {}

    def wait(self, key: bytes, now: float) -> float:
        """Return for how many seconds no attempt is allowed; zero or less is for none."""
        times = self._times.get(key)
        if times is None or len(times) < self._limit:
            return 0.0
        return times[0] + WINDOW_SECONDS - now

    def add(self, key: bytes, now: float) -> None:
        times = self._times.get(key)
        if times is None:
            times = self._times[key] = self._room(now)
        # NOTE: what is over shall not weigh, below.
        while times and times[0] <= now - WINDOW_SECONDS:
            times.popleft()
        times.append(now)

    def forget(self, key: bytes) -> None:
        self._times.pop(key, None)

    def _room(self, now: float) -> deque[float]:
        if len(self._times) < MAX_ENTRIES:
            return deque(maxlen=self._limit)

        def weight(entry: tuple[bytes, deque[float]]) -> tuple[bool, int]:
            return entry[1][-1] > now - WINDOW_SECONDS, len(entry[1])

        # APPSEC: a new key takes the place of the one that failed least, and its failures too.
        # So made-up keys push out each other, not the one that is under attack, and none that
        # was pushed out comes back with a clean slate. Looking at all of them takes half a
        # millisecond, where the password that was just hashed took 20.
        return self._times.pop(min(self._times.items(), key=weight)[0])


def _key(username: str) -> bytes:
    # NOTE: a name may be as long as a body.
    return hashlib.blake2b(username.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
