"""The verdict, over ledgers that are made up: each kind of wrong is seen."""

from __future__ import annotations

from typing import Any

import pytest

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
    Silence,
)
from tests.faults.verdict import Stored, Verdict, judge, longest_gap


def entry(kind: str, what: Any, status: int | None, code: str | None = None, **more: Any) -> Entry:
    """An entry of a request that took a second."""
    at = more.pop("at", 1.0)
    more.setdefault("retry_after", status == 503)
    return Entry(kind, what, at, at + 1.0, status=status, code=code, **more)


def ledger(*entries: Entry) -> Ledger:
    return Ledger([*entries], begun=0.0, ended=10.0)


def created(status: int | None, code: str | None = None, **more: Any) -> Entry:
    more.setdefault("given", "a" if status == 201 else None)
    return entry(CREATE, "a", status, code, **more)


def unknown(kind: str, what: Any, **more: Any) -> Entry:
    return entry(kind, what, 503, "write.outcome_unknown", **more)


UNKNOWN = (503, "write.outcome_unknown")
UNAVAILABLE = (503, "database.unavailable")
FILLED = entry(FILL, ("b", 3), 201)
CLEARED = entry(CLEAR, ("b", 3), 200, given=3)
HERE, TWICE = Stored(documents={"a": ["a"]}), Stored(documents={"a": ["a", "x"]})
COUNTED = entry(COUNT, ("c", 1), 204)
CHANGED = entry(BULK, ("g", 1), 200, given=2)
GONE = Stored()

#: What was answered, what is there, and what of it is wrong.
CASES: dict[str, tuple[list[Entry], Stored, dict[str, int]]] = {
    "a document": ([created(201)], HERE, {}),
    "a document is lost": ([created(201)], GONE, {"lost": 1}),
    "another one is there": ([created(201)], Stored(documents={"a": ["x"]}), {"lost": 1}),
    "it is there twice": ([created(201)], TWICE, {"duplicated": 1}),
    "said to have failed": ([created(*UNAVAILABLE)], HERE, {"plain_failures": 1}),
    "it has failed": ([created(*UNAVAILABLE)], GONE, {}),
    "unknown and there": ([created(*UNKNOWN)], HERE, {"unknown": 1}),
    "unknown and not there": ([created(*UNKNOWN)], GONE, {"unknown": 1}),
    "never sent": ([created(None, reached=False)], GONE, {}),
    "with a key, known at last": (
        [created(*UNKNOWN, keyed=True), created(201, keyed=True, replayed=True)],
        HERE,
        {},
    ),
    "with a key, made twice": (
        [created(*UNKNOWN, keyed=True), created(201, keyed=True)],
        TWICE,
        {"duplicated": 1},
    ),
    "with a key, it had failed and is replayed": (
        [created(*UNAVAILABLE, keyed=True), created(201, keyed=True, replayed=True)],
        HERE,
        {"plain_failures": 1},
    ),
    "with a key, another one is told": (
        [created(201, keyed=True, given="x")],
        HERE,
        {"lost": 1},
    ),
    "with a key, never known": (
        [created(*UNKNOWN, keyed=True)],
        HERE,
        {"unknown": 1, "unclean": 1},
    ),
    "an increment": ([COUNTED], Stored(counters={"c": (1, [1])}), {}),
    "an increment is lost": ([COUNTED], Stored(counters={"c": (0, [])}), {"lost": 1}),
    "an increment is there twice": (
        [COUNTED],
        Stored(counters={"c": (2, [1, 1])}),
        {"duplicated": 1},
    ),
    "an increment is overwritten": (
        [COUNTED, entry(COUNT, ("c", 2), 204)],
        Stored(counters={"c": (1, [1, 2])}),
        {"lost_updates": 1},
    ),
    "an increment comes too late": (
        [entry(COUNT, ("c", 1), 412, "precondition.failed")],
        Stored(counters={"c": (0, [])}),
        {},
    ),
    "an increment comes too late, and is there": (
        [entry(COUNT, ("c", 1), 412, "precondition.failed")],
        Stored(counters={"c": (1, [1])}),
        {"plain_failures": 1},
    ),
    "a group": ([CHANGED], Stored(groups={"g": [[1], [1]]}), {}),
    "a group in part": (
        [unknown(BULK, ("g", 1))],
        Stored(groups={"g": [[1], []]}),
        {"half_applied": 1, "unknown": 1},
    ),
    "a group that is answered in part": (
        [entry(BULK, ("g", 1), 200, given=1)],
        Stored(groups={"g": [[1], [1]]}),
        {"half_applied": 1},
    ),
    "a group without": ([CHANGED], Stored(groups={"g": [[], []]}), {"lost": 1}),
    "a group twice": ([CHANGED], Stored(groups={"g": [[1, 1], [1, 1]]}), {"duplicated": 1}),
    "a group, said to have failed": (
        [entry(BULK, ("g", 1), 409, "write.conflict")],
        Stored(groups={"g": [[1], [1]]}),
        {"plain_failures": 1},
    ),
    "a batch": ([FILLED], Stored(batches={"b": 3}), {}),
    "a batch in part": ([FILLED], Stored(batches={"b": 2}), {"half_applied": 1}),
    "a batch is lost": ([FILLED], GONE, {"lost": 1}),
    "a batch, said to have failed": (
        [entry(FILL, ("b", 3), *UNAVAILABLE)],
        Stored(batches={"b": 3}),
        {"plain_failures": 1},
    ),
    "a batch is deleted": ([FILLED, CLEARED], GONE, {}),
    "a deletion is lost": ([FILLED, CLEARED], Stored(batches={"b": 3}), {"lost": 1}),
    "a deletion in part": (
        [FILLED, unknown(CLEAR, ("b", 3))],
        Stored(batches={"b": 1}),
        {"half_applied": 1, "unknown": 1},
    ),
    "a deletion that is answered in part": (
        [FILLED, entry(CLEAR, ("b", 3), 200, given=2)],
        GONE,
        {"half_applied": 1},
    ),
    "a deletion of what is lost": (
        [FILLED, entry(CLEAR, ("b", 3), 200, given=0)],
        GONE,
        {"lost": 1},
    ),
    "a deletion, said to have failed": (
        [FILLED, entry(CLEAR, ("b", 3), *UNAVAILABLE)],
        GONE,
        {"plain_failures": 1},
    ),
    "a deletion of what comes later": (
        [unknown(FILL, ("b", 3)), entry(CLEAR, ("b", 3), 200, given=0)],
        Stored(batches={"b": 3}),
        {"unknown": 1},
    ),
    "an error": ([entry(READ, "a", 500, "server.error")], GONE, {"unclean": 1}),
    "a refusal": ([entry(READ, "a", 404, "document.not_found")], GONE, {"unclean": 1}),
    "no Retry-After": ([created(*UNAVAILABLE, retry_after=False)], GONE, {"unclean": 1}),
    "no answer": ([created(None)], GONE, {"unknown": 1, "unclean": 1}),
    "no answer to a read": ([entry(LIST, "a", None)], GONE, {"unclean": 1}),
}

WRONGS = (
    *("lost", "duplicated", "half_applied", "lost_updates", "plain_failures", "unclean"),
    "unknown",
)


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong(case: str) -> None:
    entries, stored, expected = CASES[case]
    verdict = judge(ledger(*entries), stored)
    assert {name: found for name in WRONGS if (found := getattr(verdict, name))} == expected
    assert bool(verdict.wrong) == bool(set(expected) - {"unknown"}), verdict.wrong
    assert verdict.requests == len(entries)


@pytest.mark.parametrize(
    ("silence", "stored", "unclean"),
    [
        (Silence.NEVER, GONE, 1),
        (Silence.UNDONE, GONE, 0),
        (Silence.UNDONE, HERE, 1),
        (Silence.ALLOWED, HERE, 0),
    ],
)
def test_who_may_stay_without_an_answer(silence: Silence, stored: Stored, unclean: int) -> None:
    assert judge(ledger(created(None)), stored, silence).unclean == unclean


@pytest.mark.parametrize(
    ("silent", "stored"),
    [
        (COUNTED, Stored(counters={"c": (1, [1])})),
        (CHANGED, Stored(groups={"g": [[1]]})),
        (FILLED, Stored(batches={"b": 3})),
        (CLEARED, GONE),
    ],
)
def test_what_was_done_without_an_answer(silent: Entry, stored: Stored) -> None:
    entries = [FILLED] if silent is CLEARED else []
    mute = entry(silent.kind, silent.what, None)
    assert judge(ledger(*entries, mute), stored, Silence.UNDONE).unclean == 1


@pytest.mark.parametrize("replayed", [False, True])
def test_what_was_done_under_a_key_without_an_answer(replayed: bool) -> None:
    entries = [created(None, keyed=True), created(201, keyed=True, replayed=replayed)]
    assert judge(ledger(*entries), HERE, Silence.UNDONE).unclean == replayed


def test_the_gaps() -> None:
    entries = [
        created(201, at=2.0),
        created(201, at=4.0),
        created(*UNAVAILABLE, at=8.0),
        entry(NEAR, "a", 200, at=0.5),
        entry(NEAR, "a", 200, at=7.0),
    ]
    verdict = judge(ledger(*entries), HERE)
    assert (verdict.gap, verdict.reads_gap, verdict.longest) == (5.0, 6.5, 1.0)
    assert judge(ledger(), GONE).reads_gap is None
    assert longest_gap(ledger(), []) == 10.0


def test_several_runs_are_one_line() -> None:
    one = Verdict(requests=3, acknowledged=2, lost=1, gap=1.0, longest=2.0, wrong=["a"])
    other = Verdict(requests=4, unknown=2, gap=3.0, reads_gap=0.5, longest=1.0, wrong=["b"])
    both = Verdict(
        *(7, 2, 1, 0, 0, 0, 0, 0, 2),
        gap=3.0,
        reads_gap=0.5,
        longest=2.0,
        runs=2,
        wrong=["a", "b"],
    )
    assert one + other == both


def test_an_entry_for_people() -> None:
    assert str(created(*UNAVAILABLE)) == "create a: 503 database.unavailable after 1.00 s"
    assert "no answer (reset)" in str(created(None, trouble="reset"))
    assert "no connection" in str(created(None, reached=False))
    assert created(None).said is Said.UNKNOWN
