"""The property of two databases: what a caller may not see makes no difference to any answer.

Two databases differ only in hidden fields and in documents that aren't there for the callers. Both
get the same requests. Their answers must be the same, byte by byte; and at the end nothing that is
hidden, read-only or unseen may have been changed, nor may what is seen differ::

    python -m tests.attacks.two_databases 10000        # requests at either door; prints figures
    python -m tests.attacks.two_databases 10000 7      # the same requests each time, for the seed 7

Excepted, as the documentation says, are an ``_id`` that a client chose for a new document and that
a document has which it doesn't see, unique indexes, and estimated counts. Ids and dates that the
server makes are numbered and left out.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from falcon.testing import Result

from falcorest import bson_json
from falcorest.auth import TokenIssuer
from falcorest.embedded import engine, find_mongod
from tests.attacks import declared
from tests.attacks.conditions import completed
from tests.attacks.requests import Generator, Request, edited
from tests.attacks.trial import Episode, Side, Trial, in_some_format
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
    values_at,
    without_hidden,
)
from tests.support import SECRET, Api

#: Requests between two beginnings with fresh databases.
EPISODE = 40

_CODEC: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


class PolicySide(Side[Request]):
    """One database behind the policy of :mod:`tests.attacks.world`.

    Attributes:
        created: What was created: resources, and ids as BSON.
        imported: Whether documents were created whose ids aren't told.
        has_transactions: Whether several documents are created together or not at all.
    """

    def __init__(self, api: Api, tokens: dict[str, str | None]) -> None:
        super().__init__()
        self.api = api
        self.in_memory = api.in_memory
        self.has_transactions = (
            not api.in_memory and "setName" in api.database.client.admin.command("hello")
        )
        self.created: set[tuple[str, bytes]] = set()
        self.imported = False
        self._tokens = tokens

    def begin(self, content: Database) -> None:
        super().begin(content)
        fill(self.api.database, content)
        self.created.clear()
        self.imported = False

    def content(self) -> Database:
        """Return all that is stored."""
        return content_of(self.api.database)

    def send(self, request: Request) -> Result:
        token = self._tokens[request.caller]
        body = request.body
        if request.edits is not None:
            read = self.api.get(request.url, token=token)
            found = read.json if read.status_code == 200 else {}
            body = json.dumps(edited(found, request.edits)).encode()
        body, formats = in_some_format(request.method, request.url, body)
        self.imported |= "Content-Type" in formats
        document = request.url.partition("?")[0]
        own = completed(request.headers, lambda: self.api.get(document, token=token))
        headers = {**formats, **own}
        result = self.api(request.method, request.url, raw=body, token=token, headers=headers)
        self.dated |= result.status_code < 300 and b"$currentDate" in (body or b"")
        if result.status_code == 201:
            resource = request.url.split("/")[2]
            made = bson_json.loads(result.content)
            for one in made if isinstance(made, list) else [made]:
                self.created.add((resource, bson.encode({"_id": one["_id"]})))
        return result


class PolicyTrial(Trial[Request]):
    """Tries the policy of :mod:`tests.attacks.world`.

    Args:
        apis: Of the two databases.
        seed: Of the first episode.
    """

    def __init__(self, apis: Sequence[Api], seed: int) -> None:
        issuer = TokenIssuer(SECRET)
        tokens = {
            name: None if roles is None else issuer.issue(name, roles)
            for name, roles in CALLERS.items()
        }
        self.policy_sides = [PolicySide(api, tokens) for api in apis]
        super().__init__(self.policy_sides, seed)

    def episode(self, seed: int) -> Episode[Request]:
        random = Random(seed)
        cast = make_cast(random, random.choice(CASTS))
        generator = Generator(random, cast)
        return Episode(cast.databases, [generator.request() for _ in range(EPISODE)], cast)

    def judge(self, episode: Episode[Request]) -> str | None:
        cast: Cast = episode.about
        contents = [side.content() for side in self.policy_sides]
        for side, before, after in zip(self.policy_sides, cast.databases, contents, strict=True):
            for resource in RULES:
                wrong = _changed(resource, cast, side, before[resource], after[resource])
                if wrong is not None:
                    return wrong
        for resource in RULES:
            visible = [
                [
                    side.neutral(bson_json.dumps(without_hidden(resource, one)).decode())
                    for one in content[resource]
                    if cast.sees(resource, one)
                ]
                for side, content in zip(self.policy_sides, contents, strict=True)
            ]
            if visible[0] != visible[1]:
                return f"what is seen differs: {visible[0]}\n    {visible[1]}"
        return None


def _changed(
    resource: str, cast: Cast, side: PolicySide, before: list[Document], after: list[Document]
) -> str | None:
    """Say what was changed that no client can change."""
    were = {bson.encode({"_id": one["_id"]}): one for one in before}
    are = {bson.encode({"_id": one["_id"]}): one for one in after}
    for key, one in were.items():
        if cast.sees(resource, one) and cast.writes(resource):
            continue
        if key not in are or bson.encode(one) != bson.encode(are[key], codec_options=_CODEC):
            return f"a document of {resource} was changed: {one} to {are.get(key)}"
    for key, one in are.items():
        was_unseen = key in were and not cast.sees(resource, were[key])
        # NOTE: without transactions, what comes before a document that is refused is there.
        untold = side.imported or not side.has_transactions
        made = (resource, key) in side.created or (key not in were and untold)
        sent_unseen = made and not cast.reads(resource)
        if not cast.sees(resource, one) and not was_unseen and not sent_unseen:
            return f"a document of {resource} was put where nobody sees it: {one}"
        if made and not cast.writes(resource):
            return f"a document of {resource} was created: {one}"
        stored = {} if made else were.get(key)
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


def _encoded(values: list[tuple[str, Any]]) -> list[bytes]:
    # NOTE: in any order, since the items of a list may be sent back in another one.
    return sorted(bson.encode({"": list(one)}, codec_options=_CODEC) for one in values)


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
    """Try so many requests at either door, on a real MongoDB; return the exit code."""
    with (
        tempfile.TemporaryDirectory() as folder,
        engine(Path(folder), find_mongod(None), serving=True) as running,
        two_apis(running.uri, "two") as apis,
        declared.two_databases(running.uri, "declared") as databases,
    ):
        reports = {
            "zero-code": PolicyTrial(apis, seed).run(requests),
            "declared": declared.DeclaredTrial(databases, seed).run(requests),
        }
    for door, report in reports.items():
        print(f"{door}:", *report.lines(), *report.differences, sep="\n    ")
    return 1 if any(report.differences for report in reports.values()) else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
