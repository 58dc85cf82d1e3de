"""Clients that write, count, update, delete and read, and put down what they are told."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.faults.ledger import (
    BULK,
    CLEAR,
    COUNT,
    CREATE,
    FILL,
    LIST,
    NEAR,
    READ,
    Entry,
    Ledger,
    Said,
)

#: How long a client waits for an answer, in seconds; far more than falcorest should need.
DEADLINE = 40.0

#: How long a client with a key asks for what became of its write, in seconds.
PATIENCE = 90.0

#: How long a client rests between two requests, and after one that failed, in seconds.
PAUSE, REST = 0.02, 0.1

#: How long one rests that writes many documents at once, in seconds: each is a lot to replicate.
BULK_REST = 0.1

#: How many documents there are in a group, and in a batch.
GROUP_SIZE, BATCH_SIZE = 60, 20

COUNTERS = [f"counter-{number}" for number in range(2)]
GROUPS = [f"group-{number}" for number in range(2)]
SEEDS = [f"seed-{number}" for number in range(20)]

#: How many documents the list that a silent client asks for has, and how large each is.
LONG_SIZE, LONG_TEXT = 2000, 10_000


def seed(database: Any) -> None:
    """Put in what the clients start from; it has to be there whatever happens."""
    database.documents.insert_many({"_id": one, "seed": True} for one in SEEDS)
    database.documents.create_index("mark")
    database.counters.insert_many({"_id": one, "value": 0, "log": []} for one in COUNTERS)
    database.members.insert_many(
        {"_id": f"{group}-{number}", "group": group, "rounds": []}
        for group in GROUPS
        for number in range(GROUP_SIZE)
    )
    database.members.create_index("group")
    if "batches" not in database.list_collection_names():
        database.create_collection("batches")
    database.batches.create_index("batch")
    database.long.insert_many({"_id": n, "text": "x" * LONG_TEXT} for n in range(LONG_SIZE))


#: What is served, and as what.
COLLECTIONS = "documents:documents,counters:counters,members:members,batches:batches,long:long"


@dataclass(frozen=True)
class Load:
    """How many clients there are of each kind.

    Attributes:
        creators: They create a document each time, and never ask twice.
        keyed: They do so under an ``Idempotency-Key``, and ask until they know.
        counters: They increment what all of them increment, with ``If-Match``.
        groups: They update many documents at once, each those of its own group.
        batches: They create several documents at once, and delete most of them so.
        readers: They read documents and lists.
        near: They read from secondaries.
    """

    creators: int = 3
    keyed: int = 2
    counters: int = 3
    groups: int = len(GROUPS)
    batches: int = 1
    readers: int = 2
    near: int = 0


class Asking:
    """One client's connection, which puts down what it is told.

    Args:
        port: Where falcorest listens, or what stands before it.
        ledger: Gets an entry for each request.
    """

    def __init__(self, port: int, ledger: Ledger) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        self._ledger = ledger

    def ask(
        self,
        kind: str,
        what: Hashable,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str = "",
        match: str = "",
        given: Callable[[Any], Hashable] = lambda parsed: None,
    ) -> tuple[Entry, Any, str]:
        """Send a request; return its entry, its body, and its entity tag.

        Args:
            kind: For the ledger, as ``what``.
            key: Sent as ``Idempotency-Key``.
            match: Sent as ``If-Match``.
            given: Returns what the ledger keeps of a good answer's body.
        """
        headers = {"Content-Type": "application/json"} if body is not None else {}
        headers |= {"Idempotency-Key": key} if key else {}
        headers |= {"If-Match": match} if match else {}
        data = None if body is None else json.dumps(body).encode()
        entry = Entry(kind, what, time.monotonic(), keyed=bool(key))
        parsed, tag = None, ""
        try:
            if self._connection.sock is None:
                entry.reached = False
                self._connection.connect()
                entry.reached = True
            # NOTE: falcorest may answer, and hang up, before it has read the body.
            with suppress(BrokenPipeError, ConnectionResetError):
                self._connection.request(method, path, data, headers)
            with self._connection.getresponse() as response:
                text = response.read()
                parsed = json.loads(text) if text else None
                tag = response.headers.get("ETag", "")
                entry.retry_after = "Retry-After" in response.headers
                entry.replayed = "Idempotency-Replayed" in response.headers
                entry.status = response.status
            if entry.good:
                entry.given = given(parsed)
            else:
                entry.code = parsed.get("code") if isinstance(parsed, dict) else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            entry.trouble = f"{type(error).__name__}: {error}"
            self._connection.close()
        entry.answered = time.monotonic()
        self._ledger.add(entry)
        return entry, parsed, tag

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


class Clients:
    """All the clients, each a thread of its own.

    Args:
        port: Where they send their requests.
        ledger: What they put down.
        load: How many there are.
    """

    def __init__(self, port: int, ledger: Ledger, load: Load) -> None:
        self._port = port
        self._ledger = ledger
        self._stopping = threading.Event()
        self._numbers = itertools.count(1)
        kinds: list[tuple[int, Callable[[Asking, int], Iterator[Entry]]]] = [
            (load.creators, self._create),
            (load.keyed, self._create_keyed),
            (load.counters, self._count),
            (load.groups, self._update_group),
            (load.batches, self._fill_and_clear),
            (load.readers, self._read),
            (load.near, self._read_near),
        ]
        self._broken: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._go_on, args=(kind, number), daemon=True)
            for count, kind in kinds
            for number in range(count)
        ]

    def start(self) -> None:
        """Let them begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each end what it has begun, and wait for that."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE + 2 * DEADLINE)
            assert not thread.is_alive(), "a client hangs"
        if self._broken:
            raise self._broken[0]

    def _go_on(self, kind: Callable[[Asking, int], Iterator[Entry]], number: int) -> None:
        asking = Asking(self._port, self._ledger)
        try:
            while not self._stopping.is_set():
                for entry in kind(asking, number):
                    rest = BULK_REST if entry.kind == BULK else PAUSE
                    time.sleep(rest if entry.good else REST)
        except BaseException as error:
            self._broken.append(error)
        finally:
            asking.close()

    def _create(self, asking: Asking, number: int) -> Iterator[Entry]:
        mark = str(uuid.uuid4())
        body = {"_id": mark, "mark": mark}
        yield asking.ask(CREATE, mark, "POST", "/api/documents", body, given=_id_of)[0]

    def _create_keyed(self, asking: Asking, number: int) -> Iterator[Entry]:
        mark = str(uuid.uuid4())
        deadline = time.monotonic() + PATIENCE
        # NOTE: the id is the server's, so that nothing but the key keeps it from a second one.
        while time.monotonic() < deadline:
            entry, _, _ = asking.ask(
                CREATE, mark, "POST", "/api/documents", {"mark": mark}, key=mark, given=_id_of
            )
            yield entry
            if entry.good or entry.unclean:
                return

    def _count(self, asking: Asking, number: int) -> Iterator[Entry]:
        counter = random.choice(COUNTERS)
        path = f"/api/counters/{counter}"
        entry, found, tag = asking.ask(READ, counter, "GET", path)
        if not entry.good:
            yield entry
            return
        attempt = next(self._numbers)
        # NOTE: the value is the client's, so that nothing but If-Match saves it from another one.
        body = {"$set": {"value": found["value"] + 1}, "$push": {"log": attempt}}
        yield asking.ask(COUNT, (counter, attempt), "PATCH", path, body, match=tag)[0]

    def _update_group(self, asking: Asking, number: int) -> Iterator[Entry]:
        group = GROUPS[number]
        attempt = next(self._numbers)
        body = {"$push": {"rounds": attempt}}
        path = f"/api/members?group={group}"
        yield asking.ask(BULK, (group, attempt), "PATCH", path, body, given=_modified)[0]

    def _fill_and_clear(self, asking: Asking, number: int) -> Iterator[Entry]:
        batch = f"batch-{next(self._numbers)}"
        what = (batch, BATCH_SIZE)
        body = [{"batch": batch, "number": number} for number in range(BATCH_SIZE)]
        entry, _, _ = asking.ask(FILL, what, "POST", "/api/batches", body)
        yield entry
        if entry.said is not Said.NOT_DONE and random.random() < 0.8:
            path = f"/api/batches?batch={batch}"
            yield asking.ask(CLEAR, what, "DELETE", path, given=_deleted)[0]

    def _read(self, asking: Asking, number: int) -> Iterator[Entry]:
        one = random.choice(SEEDS)
        yield asking.ask(READ, one, "GET", f"/api/documents/{quote(one)}")[0]
        yield asking.ask(LIST, "documents", "GET", "/api/documents?_limit=50")[0]

    def _read_near(self, asking: Asking, number: int) -> Iterator[Entry]:
        one = random.choice(SEEDS)
        yield asking.ask(NEAR, one, "GET", f"/api/near/{quote(one)}")[0]


def _id_of(parsed: Any) -> str:
    """Return the id in an answer as text."""
    found = parsed["_id"]
    return str(found["$oid"] if isinstance(found, dict) else found)


def _modified(parsed: Any) -> int:
    return int(parsed["modified_items"])


def _deleted(parsed: Any) -> int:
    return int(parsed["items_deleted"])


@contextmanager
def clients(port: int, load: Load) -> Iterator[Ledger]:
    """Let clients ask until the block ends, and a little longer for what they have begun."""
    ledger = Ledger()
    all_of_them = Clients(port, ledger, load)
    all_of_them.start()
    try:
        yield ledger
    finally:
        ledger.close()
        all_of_them.stop()
