"""Sending the same requests to two databases, and comparing what comes back."""

from __future__ import annotations

import json
import re
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from falcon.testing import Result

from tests.attacks.conditions import neutral_tag
from tests.attacks.cursors import values_in

_OID = re.compile(r"[0-9a-f]{24}")
# NOTE: in a cell of CSV, quotes are doubled, or a date stands alone.
_NOW = re.compile(
    r'(?:\{"+\$date"+:"+)?([0-9]{4}-[0-9T:.-]+)Z(?:"+\})?'
    r'|\{"+\$timestamp"+:\{"+t"+:([0-9]+),"+i"+:[0-9]+\}\}'
)
_CURSOR = re.compile(r"(?<=[?&]_after=)[\w-]+|(?<=[?&]_before=)[\w-]+")
_DAY = 24 * 3600


class Asked(Protocol):
    """A request, whatever it is made of; its text is what a person needs to send it again."""

    @property
    def method(self) -> str:
        """The HTTP method."""


R = TypeVar("R", bound=Asked)


@dataclass(frozen=True)
class Episode(Generic[R]):
    """What is tried from one beginning to the next.

    Attributes:
        databases: What the two databases hold at first.
        requests: What both are asked.
        about: What else is known of it.
    """

    databases: tuple[Any, Any]
    requests: Sequence[R]
    about: Any = None


def in_some_format(
    method: str, url: str, body: bytes | None
) -> tuple[bytes | None, dict[str, str]]:
    """Return a body, and headers, that now and then speak another format than JSON.

    They are the same for the same request.
    """
    choice = zlib.crc32(f"{method} {url}".encode() + (body or b"")) % 4
    if method == "GET" and choice < 2:
        # NOTE: where only JSON is served, it is JSON.
        kind = ("application/x-ndjson", "text/csv")[choice]
        return body, {"Accept": f"{kind}, application/json;q=0.5"}
    if method == "POST" and choice == 0 and body:
        with suppress(ValueError):
            parsed = json.loads(body)
            lines = [json.dumps(one) for one in (parsed if isinstance(parsed, list) else [parsed])]
            return "\n".join(lines).encode(), {"Content-Type": "application/x-ndjson"}
    return body, {}


class Side(Generic[R]):
    """One of the two databases, behind an API of its own.

    Attributes:
        in_memory: Whether it is in memory, which can't do everything.
        dated: Whether dates of the server's own are stored, which aren't all of one length.
    """

    in_memory = False
    dated = False

    def __init__(self) -> None:
        self._made: dict[str, str] = {}

    def begin(self, content: Any) -> None:
        """Put something into the database in the place of all that is there."""
        self._made.clear()
        self.dated = False

    def send(self, request: R) -> Result:
        """Send a request."""
        raise NotImplementedError

    def seen(self, result: Result) -> tuple[Any, ...]:
        """Return what there is to an answer, without what is another each time."""
        # NOTE: where there is a body, its length says nothing more.
        unsure = bool(result.content) or self.dated
        left_out = {"x-request-id", "content-length"} if unsure else {"x-request-id"}
        headers = {
            name: self.neutral(value)
            for name, value in result.headers.items()
            if name not in left_out
        }
        if "etag" in headers:
            headers["etag"] = neutral_tag(result, result.headers["etag"], self._made)
        return result.status_code, headers, self.neutral(result.text)

    def neutral(self, text: str) -> str:
        """Return a text with the ids that the server made numbered, and its dates left out."""
        text = _CURSOR.sub(lambda match: f"{values_in(match[0])}", text)
        return _NOW.sub(_neutral_date, _OID.sub(self._neutral_id, text))

    def _neutral_id(self, match: re.Match[str]) -> str:
        if abs(int(match[0][:8], 16) - time.time()) > _DAY:
            return match[0]
        return self._made.setdefault(match[0], f"<new {len(self._made)}>")


def _neutral_date(match: re.Match[str]) -> str:
    if match[2] is not None:
        return '"<now>"' if abs(int(match[2]) - time.time()) < _DAY else match[0]
    moment = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    return '"<now>"' if abs(moment.timestamp() - time.time()) < _DAY else match[0]


@dataclass
class Report:
    """What came of many requests.

    Attributes:
        differences: Requests that the two databases answered differently, and what else is wrong.
    """

    requests: int = 0
    episodes: int = 0
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    by_method: Counter[tuple[str, bool]] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def note(self, request: Asked, result: Result) -> None:
        """Count an answer."""
        self.requests += 1
        self.statuses[result.status_code] += 1
        self.by_method[request.method, result.status_code < 300] += 1

    @property
    def accepted(self) -> float:
        """The share of requests that were accepted."""
        return sum(n for status, n in self.statuses.items() if status < 300) / max(self.requests, 1)

    def lines(self) -> list[str]:
        """Return what is printed of it."""
        shares = " ".join(f"{status}:{n}" for status, n in sorted(self.statuses.items()))
        methods = " ".join(
            f"{method}:{self.by_method[method, True]}/{n + self.by_method[method, True]}"
            for method, n in sorted(
                (method, n) for (method, good), n in self.by_method.items() if not good
            )
        )
        return [
            f"requests      {self.requests} in {self.episodes} episodes, each to two databases",
            f"accepted      {100 * self.accepted:.0f} % (of each method: {methods})",
            f"by status     {shares}",
            f"differences   {len(self.differences)}",
            f"seconds       {self.seconds:.0f}",
        ]


class Trial(Generic[R]):
    """Sends requests to both databases, episode by episode.

    Args:
        sides: The two.
        seed: Of the first episode; the next has the next number.
    """

    def __init__(self, sides: Sequence[Side[R]], seed: int) -> None:
        self.sides = sides
        self.seed = seed
        self.report = Report()

    def episode(self, seed: int) -> Episode[R]:
        """Return what is tried; the same for the same seed."""
        raise NotImplementedError

    def judge(self, episode: Episode[R]) -> str | None:
        """Say what is wrong with what is stored, if anything is."""
        raise NotImplementedError

    def run(self, requests: int, most_differences: int = 10) -> Report:
        """Send at least so many requests, or stop after some differences."""
        started = time.monotonic()
        while self.report.requests < requests:
            self.report.differences += self._try(self.seed)
            self.seed += 1
            if len(self.report.differences) >= most_differences:
                break
        self.report.seconds = time.monotonic() - started
        return self.report

    def _try(self, seed: int) -> list[str]:
        episode = self.episode(seed)
        self.report.episodes += 1
        first = self._replay(episode, self.report)
        if first is None:
            return []
        # NOTE: once more, to see after which request things are wrong.
        index, wrong = self._replay(episode, Report(), check_each=True) or first
        request = episode.requests[index]
        alone = Episode(episode.databases, [request], episode.about)
        before = "" if self._replay(alone, Report()) else f", after {index} others"
        return [f"episode {seed}: {request}{before}\n    {wrong}"]

    def _replay(
        self, episode: Episode[R], report: Report, *, check_each: bool = False
    ) -> tuple[int, str] | None:
        """Send requests to fresh databases; return where it goes wrong first, and how."""
        for side, content in zip(self.sides, episode.databases, strict=True):
            side.begin(content)
        for index, request in enumerate(episode.requests):
            results = [side.send(request) for side in self.sides]
            report.note(request, results[0])
            wrong = self._compare(request, results)
            if wrong is None and check_each:
                wrong = self.judge(episode)
            if wrong is not None:
                return index, wrong
        wrong = self.judge(episode)
        return None if wrong is None else (len(episode.requests) - 1, wrong)

    def _compare(self, request: R, results: Sequence[Result]) -> str | None:
        seen = [side.seen(result) for side, result in zip(self.sides, results, strict=True)]
        if seen[0] != seen[1]:
            return f"{seen[0]}\n    {seen[1]}"
        status, text = results[0].status_code, results[0].text
        if status >= 500 and not (status == 501 and self.sides[0].in_memory):
            return f"{status} {text}"
        if status >= 400 and '"code":' not in text and request.method != "HEAD":
            return f"{status} without a code: {text}"
        if any(word in text for word in ("Traceback", "pymongo", "rocket_engines")):
            return f"an answer from inside: {text}"
        return None
