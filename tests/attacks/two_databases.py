"""The property of two databases: what a caller may not see makes no difference to any answer.

Two databases differ only in hidden fields and in documents that aren't there for the callers. Both
get the same requests. Their answers must be the same, byte by byte; and at the end nothing that is
hidden, read-only or unseen may have been changed, nor may what is seen differ::

    python -m tests.attacks.two_databases 10000        # requests; prints figures
    python -m tests.attacks.two_databases 10000 7      # the same requests each time, for the seed 7

Excepted, as the documentation says, are an ``_id`` that a client chose for a new document and that
a document has which it doesn't see, unique indexes, and estimated counts. Ids and dates that the
server makes are numbered and left out.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from falcon.testing import Result

from falcorest import bson_json
from falcorest.embedded import engine, find_mongod
from tests.attacks.requests import Generator, Request, edited
from tests.attacks.world import (
    CALLERS,
    CASTS,
    RULES,
    Cast,
    Database,
    Document,
    content_of,
    fill,
    make_cast,
    open_api,
    policy_settings,
    sees,
    values_at,
    without_hidden,
)
from tests.support import Api

#: Requests between two beginnings with fresh databases.
EPISODE = 40

_CODEC: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_OID = re.compile(r"[0-9a-f]{24}")
_NOW = re.compile(r'\{"\$date":"([0-9T:.-]+)Z"\}|\{"\$timestamp":\{"t":([0-9]+),"i":[0-9]+\}\}')
_DAY = 24 * 3600


class Side:
    """One of the two databases, behind an API of its own."""

    def __init__(self, api: Api, tokens: dict[str, str | None]) -> None:
        self.api = api
        self.created: set[tuple[str, bytes]] = set()
        self._tokens = tokens
        self._made: dict[str, str] = {}

    def fill(self, content: Database) -> None:
        """Begin anew."""
        fill(self.api.database, content)
        self.created.clear()
        self._made.clear()

    def content(self) -> Database:
        return content_of(self.api.database)

    def send(self, request: Request) -> Result:
        token = self._tokens[request.caller]
        body = request.body
        if request.edits is not None:
            read = self.api.get(request.url, token=token)
            found = read.json if read.status_code == 200 else {}
            body = json.dumps(edited(found, request.edits)).encode()
        result = self.api(request.method, request.url, raw=body, token=token)
        self._note(request, result)
        return result

    def _note(self, request: Request, result: Result) -> None:
        if result.status_code == 201:
            resource = request.url.split("/")[2]
            made = bson_json.loads(result.content)
            for one in made if isinstance(made, list) else [made]:
                self.created.add((resource, bson.encode({"_id": one["_id"]})))

    def seen(self, result: Result) -> tuple[Any, ...]:
        """Return what there is to an answer, without what is another each time."""
        headers = {
            name: self.neutral(value)
            for name, value in result.headers.items()
            if name != "x-request-id"
        }
        return result.status_code, headers, self.neutral(result.text)

    def neutral(self, text: str) -> str:
        """Return a text with the ids that the server made numbered, and its dates left out."""
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


class Trial:
    """Sends requests to both databases, episode by episode.

    Args:
        apis: Of the two.
        seed: Of the first episode; the next has the next number.
    """

    def __init__(self, apis: Sequence[Api], seed: int) -> None:
        issuer_tokens = {
            name: None if roles is None else issue_token(apis[0], name, roles)
            for name, roles in CALLERS.items()
        }
        self.sides = [Side(api, issuer_tokens) for api in apis]
        self.seed = seed
        self.report = Report()

    def run(self, requests: int, most_differences: int = 10) -> Report:
        """Send at least so many requests, or stop after some differences."""
        started = time.monotonic()
        while self.report.requests < requests:
            self.report.differences += self._episode(self.seed)
            self.seed += 1
            if len(self.report.differences) >= most_differences:
                break
        self.report.seconds = time.monotonic() - started
        return self.report

    def _episode(self, seed: int) -> list[str]:
        cast, requests = episode(seed)
        self.report.episodes += 1
        if self._replay(cast, requests, self.report) is None:
            return []
        # NOTE: once more, to see after which request things are wrong.
        found = self._replay(cast, requests, Report(), check_each=True)
        if found is None:
            return [f"episode {seed}: differs, but not the second time"]
        index, wrong = found
        alone = self._replay(cast, requests[index : index + 1], Report(), check_each=True)
        before = "" if alone else f", after {index} others"
        return [f"episode {seed}: {requests[index]}{before}\n    {wrong}"]

    def _replay(
        self, cast: Cast, requests: Sequence[Request], report: Report, *, check_each: bool = False
    ) -> tuple[int, str] | None:
        """Send requests to fresh databases; return what goes wrong first, and where."""
        for side, content in zip(self.sides, cast.databases, strict=True):
            side.fill(content)
        for index, request in enumerate(requests):
            results = [side.send(request) for side in self.sides]
            report.requests += 1
            report.statuses[results[0].status_code] += 1
            report.by_method[request.method, results[0].status_code < 300] += 1
            wrong = self._compare(request, results)
            if wrong is None and check_each:
                wrong = self._judge(cast)
            if wrong is not None:
                return index, wrong
        wrong = self._judge(cast)
        return None if wrong is None else (len(requests) - 1, wrong)

    def _compare(self, request: Request, results: Sequence[Result]) -> str | None:
        seen = [side.seen(result) for side, result in zip(self.sides, results, strict=True)]
        if seen[0] != seen[1]:
            return f"{seen[0]}\n    {seen[1]}"
        status, text = results[0].status_code, results[0].text
        if status >= 500 and not (status == 501 and self.sides[0].api.in_memory):
            return f"{status} {text}"
        if status >= 400 and '"code":' not in text and request.method != "HEAD":
            return f"{status} without a code: {text}"
        if any(word in text for word in ("Traceback", "pymongo", "rocket_engines")):
            return f"an answer from inside: {text}"
        return None

    def _judge(self, cast: Cast) -> str | None:
        """Say what is wrong with what is stored, if anything is."""
        contents = [side.content() for side in self.sides]
        for side, before, after in zip(self.sides, cast.databases, contents, strict=True):
            for resource in RULES:
                wrong = _changed(resource, cast, side, before[resource], after[resource])
                if wrong is not None:
                    return wrong
        for resource in RULES:
            visible = [
                [
                    side.neutral(bson_json.dumps(without_hidden(resource, one)).decode())
                    for one in content[resource]
                    if any(sees(resource, caller, one) for caller in cast.callers)
                ]
                for side, content in zip(self.sides, contents, strict=True)
            ]
            if visible[0] != visible[1]:
                return f"what is seen differs: {visible[0]}\n    {visible[1]}"
        return None


def _changed(
    resource: str, cast: Cast, side: Side, before: list[Document], after: list[Document]
) -> str | None:
    """Say what was changed that no client can change."""
    were = {bson.encode({"_id": one["_id"]}): one for one in before}
    are = {bson.encode({"_id": one["_id"]}): one for one in after}
    for key, one in were.items():
        if any(sees(resource, caller, one) for caller in cast.callers):
            continue
        if key not in are or bson.encode(one) != bson.encode(are[key], codec_options=_CODEC):
            return f"an unseen document of {resource} was changed: {one} to {are.get(key)}"
    for key, one in are.items():
        unseen = not any(sees(resource, caller, one) for caller in cast.callers)
        if unseen and (key not in were or _is_seen(resource, cast, were[key])):
            return f"a document of {resource} was put where nobody sees it: {one}"
        made = (resource, key) in side.created
        stored = {} if made else were.get(key)
        # NOTE: without transactions, what comes before a document that is refused is there.
        if stored is None and side.api.in_memory:
            stored = {}
        if stored is None:
            return f"a document of {resource} that was never created: {one}"
        for name in ("hidden", "readonly"):
            paths = RULES[resource][name]
            if _encoded(values_at(one, paths)) != _encoded(values_at(stored, paths)):
                return f"{name} fields of {resource} were changed: {stored} to {one}"
        owner = RULES[resource].get("owner")
        free = "root" in cast.callers
        if made and owner is not None and not free and one.get(owner) not in cast.callers:
            return f"a document of {resource} whose owner didn't make it: {one}"
    return None


def _is_seen(resource: str, cast: Cast, document: Document) -> bool:
    return any(sees(resource, caller, document) for caller in cast.callers)


def _encoded(values: list[tuple[str, Any]]) -> bytes:
    return bson.encode({"": [list(one) for one in values]}, codec_options=_CODEC)


def episode(seed: int) -> tuple[Cast, list[Request]]:
    """Return databases and requests; the same ones for the same seed."""
    random = Random(seed)
    cast = make_cast(random, random.choice(CASTS))
    generator = Generator(random, cast)
    return cast, [generator.request() for _ in range(EPISODE)]


def issue_token(api: Api, name: str, roles: Sequence[str]) -> str:
    """Return an access token for a caller."""
    from falcorest.auth import TokenIssuer
    from tests.support import SECRET

    return TokenIssuer(SECRET).issue(name, list(roles))


@contextmanager
def two_apis(uri: str, name: str) -> Iterator[list[Api]]:
    """Serve two databases with the same policy; they are gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        apis = [
            open_api(policy_settings(Path(folder), uri, f"{name}_{side}", regex=True))
            for side in "ab"
        ]
        try:
            yield apis
        finally:
            for api in apis:
                if not api.in_memory:
                    api.database.client.drop_database(api.database.name)
                api.database.client.close()


def main(requests: int, seed: int) -> int:
    """Try so many requests on a real MongoDB; return the exit code."""
    with (
        tempfile.TemporaryDirectory() as folder,
        engine(Path(folder), find_mongod(None), serving=True) as running,
        two_apis(running.uri, "two") as apis,
    ):
        report = Trial(apis, seed).run(requests)
    print(*report.lines(), sep="\n")
    for one in report.differences:
        print("DIFFERENCE", one)
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
