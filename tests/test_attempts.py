"""How often a login may fail, and from where it comes."""

from __future__ import annotations

import base64
import sys
import threading
from collections.abc import Callable
from typing import Any

import falcon
import pytest
from falcon import testing

from falcorest.auth import Attempts, BasicAuthentication
from falcorest.auth.attempts import MAX_ENTRIES, WINDOW_SECONDS
from falcorest.errors import ConfigurationError, TooManyRequests, Unauthorized

HERE = "203.0.113.7"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    return Attempts(3, clock=clock)


def request(address: str = HERE, forwarded: str | None = None, **headers: str) -> falcon.Request:
    environ = testing.create_environ(headers=headers)
    environ["REMOTE_ADDR"] = address
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    return falcon.Request(environ)


def fail(attempts: Attempts, name: str, address: str = HERE, forwarded: str | None = None) -> None:
    assert attempts.guard(request(address, forwarded), name, lambda: None) is None


def succeed(attempts: Attempts, name: str, address: str = HERE) -> None:
    assert attempts.guard(request(address), name, lambda: "somebody") == "somebody"


def wait(attempts: Attempts, name: str, address: str = HERE, forwarded: str | None = None) -> int:
    """Return for how many seconds an attempt is refused."""
    with pytest.raises(TooManyRequests) as caught:
        attempts.guard(request(address, forwarded), name, unreachable)
    assert caught.value.code == "auth.too_many_attempts"
    return int(caught.value.headers["Retry-After"])


def unreachable() -> None:
    raise AssertionError("the password is looked at")


def addresses(start: int = 0) -> Callable[[], str]:
    """Return what gives a new address at each call."""
    numbers = iter(range(start, 2**24))

    def new() -> str:
        number = next(numbers)
        return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    return new


# -------------------------------------------------------------------------- by account, by address


def test_an_account_may_fail_so_often_within_five_minutes(attempts: Attempts, clock: Clock) -> None:
    new = addresses()
    for _ in range(3):
        fail(attempts, "ada", new())
        clock.now += 10
    assert wait(attempts, "ada", new()) == WINDOW_SECONDS - 30
    fail(attempts, "bob", new())
    clock.now += WINDOW_SECONDS - 30 - 0.25
    assert wait(attempts, "ada", new()) == 1
    clock.now += 0.25
    fail(attempts, "ada", new())
    # NOTE: the second failure is still in the window.
    assert wait(attempts, "ada", new()) == 10


def test_who_waited_may_fail_as_often_again(attempts: Attempts, clock: Clock) -> None:
    for _ in range(2):
        for _ in range(3):
            fail(attempts, "ada", addresses()())
        wait(attempts, "ada")
        clock.now += WINDOW_SECONDS


def test_an_address_may_fail_three_times_as_often(attempts: Attempts, clock: Clock) -> None:
    for number in range(9):
        fail(attempts, f"user {number}")
    assert wait(attempts, "another") == WINDOW_SECONDS
    fail(attempts, "another", "203.0.113.8")
    clock.now += WINDOW_SECONDS
    fail(attempts, "another")


def test_what_is_refused_is_not_counted(attempts: Attempts, clock: Clock) -> None:
    for _ in range(3):
        fail(attempts, "ada")
    for _ in range(20):
        wait(attempts, "ada")
        clock.now += 1
    assert wait(attempts, "ada") == WINDOW_SECONDS - 20
    for _ in range(3):
        fail(attempts, "bob")


def test_success_clears_the_account_and_not_the_address(attempts: Attempts) -> None:
    for _ in range(4):
        for _ in range(2):
            fail(attempts, "ada")
        succeed(attempts, "ada")
    fail(attempts, "ada")
    wait(attempts, "ada")
    new = addresses()
    for _ in range(2):
        fail(attempts, "ada", new())
    wait(attempts, "ada", new())


def test_right_ones_are_not_counted(attempts: Attempts) -> None:
    for _ in range(50):
        succeed(attempts, "ada")


def test_what_breaks_is_no_failure(attempts: Attempts) -> None:
    for _ in range(50):
        with pytest.raises(ConnectionError):
            attempts.guard(request(), "ada", lambda: (_ for _ in ()).throw(ConnectionError))
    succeed(attempts, "ada")


@pytest.mark.parametrize("failures", [0, -1])
def test_failures_are_at_least_one(failures: int) -> None:
    with pytest.raises(ConfigurationError, match="failures"):
        Attempts(failures)


@pytest.mark.parametrize("name", ["", "a" * 10_000_000, "\ud800", "\0", "ünï"])
def test_any_text_may_be_a_name(attempts: Attempts, name: str) -> None:
    for _ in range(3):
        fail(attempts, name)
    wait(attempts, name)
    fail(attempts, f"{name}x")
    assert max(map(len, attempts._accounts._times)) <= 16


# --------------------------------------------------------------------------------- many of them


def size(attempts: Attempts) -> tuple[int, int]:
    return len(attempts._accounts._times), len(attempts._addresses._times)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Make the tables small, which makes the tests fast; return how small."""
    monkeypatch.setattr("falcorest.auth.attempts.MAX_ENTRIES", 100)
    return 100


def test_tables_have_some_thousands_of_entries() -> None:
    assert 1000 < MAX_ENTRIES < 10_000


def test_made_up_names_and_addresses_push_out_no_account_under_attack(
    clock: Clock, small: int
) -> None:
    attempts, new = Attempts(clock=clock), addresses()
    for _ in range(20):
        fail(attempts, "ada", new())
    for _ in range(19):
        fail(attempts, "bob", new())
    for number in range(10 * small):
        fail(attempts, f"made up {number}", new())
    assert size(attempts) == (small, small)
    wait(attempts, "ada", new())
    fail(attempts, "bob", new())
    wait(attempts, "bob", new())
    fail(attempts, "somebody new", new())


def test_who_was_pushed_out_does_not_begin_anew(clock: Clock, small: int) -> None:
    attempts, new = Attempts(3, clock=clock), addresses()
    for _ in range(2):
        for number in range(small):
            fail(attempts, f"made up {number}", new())
    # NOTE: for one more guess at her, all the others would have to fail once more.
    for name in ("ada", "made up just now"):
        fail(attempts, name, new())
        wait(attempts, name, new())
    wait(attempts, "ada", new())


def test_what_is_over_makes_room_first(clock: Clock, small: int) -> None:
    attempts, new = Attempts(3, clock=clock), addresses()
    for _ in range(3):
        fail(attempts, "long ago", new())
    clock.now += WINDOW_SECONDS
    for number in range(small):
        fail(attempts, f"user {number}", new())
        fail(attempts, f"user {number}", new())
    assert size(attempts)[0] == small
    fail(attempts, "user 0", new())
    wait(attempts, "user 0", new())


def test_what_is_over_does_not_weigh(clock: Clock, small: int) -> None:
    attempts, new = Attempts(5, clock=clock), addresses()
    for times in (4, 1):
        for number in range(times * small):
            fail(attempts, f"kept alive {number % small}", new())
        clock.now += WINDOW_SECONDS - 1 if times == 1 else WINDOW_SECONDS
    for _ in range(3):
        fail(attempts, "ada", new())
    for number in range(2 * small):
        fail(attempts, f"made up {number}", new())
    fail(attempts, "ada", new())
    wait(attempts, "ada", new())


def test_threads_count_together() -> None:
    attempts = Attempts(1000)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work() -> None:
        for _ in range(100):
            fail(attempts, "ada")

    threads = [threading.Thread(target=work) for _ in range(10)]
    try:
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    finally:
        sys.setswitchinterval(before)
    wait(attempts, "ada")


# ------------------------------------------------------------------------------- which address


def same(attempts: Attempts, one: tuple[str, str | None], other: tuple[str, str | None]) -> bool:
    """Tell whether two requests come from one address: address, and X-Forwarded-For."""
    keys = [attempts._address(request(*sent)) for sent in (one, other)]
    assert all(len(key) in (0, 4, 8) for key in keys)
    return keys[0] == keys[1]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.8", False),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_addresses_that_count_together(one: str, other: str, expected: bool) -> None:
    assert same(Attempts(), (one, None), (other, None)) is expected


TRUSTING = Attempts(trusted_proxies=["10.0.0.0/8", "192.0.2.1", "2001:db8:ffff::/48"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        # NOTE: of one who isn't trusted, nothing is believed.
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
        ("203.0.113.7", "10.0.0.1", "203.0.113.7"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("192.0.2.1", " 198.51.100.1 ", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("2001:db8:ffff::1", "2001:db8::1", "2001:db8::1"),
        # NOTE: what a client wrote itself stands to the left.
        ("10.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.2.3.4,198.51.100.1,10.9.9.9,192.0.2.1", "198.51.100.1"),
        ("10.0.0.1", "garbage, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, ::ffff:10.0.0.2", "198.51.100.1"),
        # NOTE: garbage falls back to the peer.
        ("10.0.0.1", "garbage", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, garbage", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, garbage, 10.0.0.2", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1,", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "10.0.0.1"),
        ("10.0.0.1", ",,,", "10.0.0.1"),
        ("10.0.0.1", "\xa0", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        # NOTE: from inside, through proxies only.
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
    ],
)
def test_what_a_trusted_proxy_says_is_believed(
    peer: str, forwarded: str | None, client: str
) -> None:
    assert same(TRUSTING, (peer, forwarded), (client, None))


def test_nobody_is_trusted_unless_that_is_configured() -> None:
    assert same(Attempts(), ("10.0.0.1", "198.51.100.1"), ("10.0.0.1", None))


def test_a_very_long_chain_is_walked_at_once() -> None:
    chain = ",".join(["10.0.0.1"] * 5000)
    assert same(TRUSTING, ("10.0.0.1", f"198.51.100.1,{chain}"), ("198.51.100.1", None))


@pytest.mark.parametrize("peer", ["", "unix:", "localhost", "\xa0"])
def test_without_an_address_only_accounts_count(attempts: Attempts, peer: str) -> None:
    for number in range(30):
        fail(attempts, f"user {number}", peer)
    for _ in range(2):
        fail(attempts, "user 0", peer)
    wait(attempts, "user 0", peer)


@pytest.mark.parametrize("proxies", [["nonsense"], ["10.0.0.1/8"], [""], ["10.0.0.0/33"]])
def test_proxies_that_can_not_be(proxies: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="trusted_proxies"):
        Attempts(trusted_proxies=proxies)


# -------------------------------------------------------------------------------------- Basic


def test_basic_authentication_is_bounded_too(attempts: Attempts, clock: Clock) -> None:
    seen: list[Any] = []

    def check(username: str, password: str) -> str | None:
        seen.append(username)
        return username if password == "right" else None

    def ask(login: str) -> Any:
        encoded = base64.b64encode(login.encode()).decode()
        return method.authorized(request(Authorization=f"Basic {encoded}"))

    method = BasicAuthentication(check, attempts=attempts)
    for _ in range(3):
        with pytest.raises(Unauthorized):
            ask("ada:wrong")
    del seen[:]
    with pytest.raises(TooManyRequests) as caught:
        ask("ada:right")
    assert caught.value.headers == {"Retry-After": str(WINDOW_SECONDS)}
    assert seen == []
    assert ask("bob:right") == "bob"
    clock.now += WINDOW_SECONDS
    assert ask("ada:right") == "ada"
