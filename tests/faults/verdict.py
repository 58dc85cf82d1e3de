"""The ledger held against the database: what was promised, and what is there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.ledger import (
    BULK,
    CLEAR,
    COUNT,
    CREATE,
    FILL,
    NEAR,
    Entry,
    Ledger,
    Said,
    Silence,
)

#: How many requests that went wrong are shown of each kind.
_SHOWN = 5


@dataclass
class Stored:
    """What the database holds when all is well again, read with majority concern.

    Attributes:
        documents: The ids of the documents that have a mark.
        counters: Of each counter, its value and the attempts that made it.
        groups: Of each group, the rounds that each of its documents has seen.
        batches: Of each batch, the number of its documents.
    """

    documents: Mapping[Hashable, Sequence[Hashable]] = field(default_factory=dict)
    counters: Mapping[str, tuple[int, Sequence[int]]] = field(default_factory=dict)
    groups: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    batches: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Verdict:
    """What came of a run, or of several.

    Attributes:
        acknowledged: Writes whose client was told that they are done.
        lost: Those of them that are not there.
        duplicated: Writes that are there more than once.
        half_applied: Writes of several documents that are there in part.
        lost_updates: Increments that another one has overwritten.
        plain_failures: Writes that are there though their client was told of a failure.
        unclean: Requests that got no answer, or one that says nothing of use.
        unknown: Writes of which their client knows nothing at the end.
        gap: The longest time in which no write succeeded, in seconds.
        reads_gap: The longest time in which no read from a secondary did; None without any.
        longest: The longest that a request took, in seconds.
        wrong: What is wrong, for people.
    """

    requests: int = 0
    acknowledged: int = 0
    lost: int = 0
    duplicated: int = 0
    half_applied: int = 0
    lost_updates: int = 0
    plain_failures: int = 0
    unclean: int = 0
    unknown: int = 0
    gap: float = 0.0
    reads_gap: float | None = None
    longest: float = 0.0
    runs: int = 1
    wrong: list[str] = field(default_factory=list)

    def __add__(self, other: Verdict) -> Verdict:
        gaps = [gap for gap in (self.reads_gap, other.reads_gap) if gap is not None]
        return Verdict(
            requests=self.requests + other.requests,
            acknowledged=self.acknowledged + other.acknowledged,
            lost=self.lost + other.lost,
            duplicated=self.duplicated + other.duplicated,
            half_applied=self.half_applied + other.half_applied,
            lost_updates=self.lost_updates + other.lost_updates,
            plain_failures=self.plain_failures + other.plain_failures,
            unclean=self.unclean + other.unclean,
            unknown=self.unknown + other.unknown,
            gap=max(self.gap, other.gap),
            reads_gap=max(gaps, default=None),
            longest=max(self.longest, other.longest),
            runs=self.runs + other.runs,
            wrong=self.wrong + other.wrong,
        )

    def note(self, what: str, entries: Iterable[Entry] = ()) -> None:
        """Say what is wrong, and what the client was told."""
        told = "; ".join(str(entry) for entry in entries)
        self.wrong.append(f"{what} [{told}]" if told else what)


def judge(ledger: Ledger, stored: Stored, silence: Silence = Silence.NEVER) -> Verdict:
    """Hold a ledger against what is stored.

    Args:
        ledger: All of it, closed.
        stored: Read when all was well again.
        silence: Which requests may stay without an answer.
    """
    entries = ledger.entries
    verdict = Verdict(requests=len(entries))
    attempts: defaultdict[tuple[str, Hashable], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.writes:
            attempts[entry.kind, entry.what].append(entry)
    said = {write: _said(its) for write, its in attempts.items()}
    verdict.acknowledged = sum(one is Said.DONE for one in said.values())
    verdict.unknown = sum(one is Said.UNKNOWN for one in said.values())
    for (kind, what), its in attempts.items():
        if kind == CREATE:
            _judge_document(verdict, its, stored.documents.get(what, ()))
        elif kind == COUNT:
            _judge_increment(verdict, its, what, stored)
        elif kind == BULK:
            _judge_bulk(verdict, its, what, stored)
        elif kind == FILL:
            _judge_batch(verdict, its, attempts.get((CLEAR, what), []), stored)
    for (_, what), its in attempts.items():
        if its[-1].keyed and said[CREATE, what] is not Said.DONE:
            verdict.unclean += 1
            verdict.note("unclean: its client never learnt what became of it", its[-_SHOWN:])
    _judge_counters(verdict, stored)
    _judge_groups(verdict, stored)
    _judge_answers(verdict, entries)
    if silence is not Silence.ALLOWED:
        silent = [entry for entry in entries if entry.reached and entry.status is None]
        if silence is Silence.UNDONE:
            silent = [one for one in silent if _is_there(one, attempts[one.kind, one.what], stored)]
        _judge_silence(verdict, silent)
    moments = [entry.answered for entry in entries if entry.writes and entry.good]
    verdict.gap = longest_gap(ledger, moments)
    near = [entry for entry in entries if entry.kind == NEAR]
    if near:
        verdict.reads_gap = longest_gap(ledger, [one.answered for one in near if one.good])
    verdict.longest = max((entry.took for entry in entries), default=0.0)
    return verdict


def _said(attempts: Collection[Entry]) -> Said:
    """Return what a client knows after all its attempts at one write."""
    all_said = {entry.said for entry in attempts}
    return next(one for one in (Said.DONE, Said.UNKNOWN, Said.NOT_DONE) if one in all_said)


def _judge_document(verdict: Verdict, attempts: list[Entry], ids: Sequence[Hashable]) -> None:
    """Judge the creation of one document."""
    said = _said(attempts)
    if len(ids) > 1:
        verdict.duplicated += len(ids) - 1
        verdict.note(f"duplicated: {len(ids)} documents", attempts)
    done = [entry for entry in attempts if entry.good]
    if any(entry.given is not None and entry.given not in ids for entry in done) or (
        said is Said.DONE and not ids
    ):
        verdict.lost += 1
        verdict.note(f"lost: there is {[*ids]}", attempts)
    if ids and said is Said.NOT_DONE:
        verdict.plain_failures += 1
        verdict.note("done, and said to have failed", attempts)
    if done and done[0].replayed:
        before = attempts[: attempts.index(done[0])]
        if not any(entry.said is Said.UNKNOWN for entry in before):
            verdict.plain_failures += 1
            verdict.note("said to have failed, and then that it was done before", attempts)


def _judge_increment(
    verdict: Verdict, attempts: list[Entry], what: Hashable, stored: Stored
) -> None:
    """Judge one increment of a counter."""
    assert isinstance(what, tuple)
    counter, attempt = what
    _, log = stored.counters.get(counter, (0, ()))
    _judge_trace(verdict, attempts, Counter(log)[attempt])


def _judge_bulk(verdict: Verdict, attempts: list[Entry], what: Hashable, stored: Stored) -> None:
    """Judge one update of a group. Whether it is there as a whole is seen in the group."""
    assert isinstance(what, tuple)
    group, number = what
    documents = stored.groups.get(group, ())
    _judge_trace(verdict, attempts, max((Counter(one)[number] for one in documents), default=0))
    for entry in attempts:
        if entry.good and entry.given != len(documents):
            verdict.half_applied += 1
            verdict.note(f"it has changed {entry.given} of {len(documents)}", [entry])


def _judge_trace(verdict: Verdict, attempts: list[Entry], times: int) -> None:
    """Judge a write that leaves its trace, by how often it is there."""
    said = _said(attempts)
    if times > 1:
        verdict.duplicated += times - 1
        verdict.note(f"done {times} times", attempts)
    if said is Said.DONE and not times:
        verdict.lost += 1
        verdict.note("lost", attempts)
    if said is Said.NOT_DONE and times:
        verdict.plain_failures += 1
        verdict.note("done, and said to have failed", attempts)


def _judge_batch(verdict: Verdict, fills: list[Entry], clears: list[Entry], stored: Stored) -> None:
    """Judge documents that were made by one request, and perhaps deleted by another one."""
    batch, size = fills[0].what  # type: ignore[misc]
    count = stored.batches.get(batch, 0)
    filled, cleared = _said(fills), _said(clears) if clears else None
    deleted = [entry.given for entry in clears if entry.good]
    if not {0, size}.issuperset(deleted):
        verdict.half_applied += 1
        verdict.note(f"{deleted} of {size} were deleted", [*fills, *clears])
    # NOTE: one that isn't known to be there may come after its deletion.
    if 0 in deleted and filled is Said.DONE:
        verdict.lost += 1
        verdict.note("the batch was lost before it was deleted", [*fills, *clears])
    if count not in {0, size}:
        verdict.half_applied += 1
        verdict.note(f"{count} of {size} are there", [*fills, *clears])
    elif count:
        if size in deleted:
            verdict.lost += 1
            verdict.note("the deletion is lost", [*fills, *clears])
        if filled is Said.NOT_DONE:
            verdict.plain_failures += 1
            verdict.note("made, and said to have failed", fills)
    elif filled is Said.DONE:
        if cleared is None:
            verdict.lost += 1
            verdict.note("the batch is lost", fills)
        if cleared is Said.NOT_DONE:
            verdict.plain_failures += 1
            verdict.note("deleted, and said to have failed", clears)


def _judge_counters(verdict: Verdict, stored: Stored) -> None:
    for counter, (value, log) in stored.counters.items():
        if value != len(log):
            verdict.lost_updates += max(len(log) - value, 1)
            verdict.note(f"{counter} is {value} after {len(log)} increments")


def _judge_groups(verdict: Verdict, stored: Stored) -> None:
    for group, documents in stored.groups.items():
        seen = [frozenset(rounds) for rounds in documents]
        halves = frozenset().union(*seen) - frozenset.intersection(*seen) if seen else frozenset()
        for number in sorted(halves):
            verdict.half_applied += 1
            count = sum(number in rounds for rounds in seen)
            verdict.note(f"round {number} has reached {count} of {len(seen)} in {group}")


def _judge_answers(verdict: Verdict, entries: Iterable[Entry]) -> None:
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.unclean:
            found[f"{entry.status} {entry.code}"].append(entry)
    for what, its in found.items():
        verdict.unclean += len(its)
        verdict.note(f"unclean: {len(its)} times {what}", its[:_SHOWN])


def _judge_silence(verdict: Verdict, silent: Sequence[Entry]) -> None:
    if silent:
        verdict.unclean += len(silent)
        verdict.note(f"unclean: {len(silent)} times no answer", silent[:_SHOWN])


def _is_there(entry: Entry, attempts: Iterable[Entry], stored: Stored) -> bool:
    """Tell whether a request has left a trace."""
    if not entry.writes:
        return False
    if entry.keyed:
        return any(one.good and one.replayed for one in attempts)
    if entry.kind == CREATE:
        return bool(stored.documents.get(entry.what))
    name, number = entry.what  # type: ignore[misc]
    if entry.kind == COUNT:
        return number in stored.counters.get(name, (0, ()))[1]
    if entry.kind == BULK:
        return any(number in rounds for rounds in stored.groups.get(name, ()))
    return (name in stored.batches) == (entry.kind == FILL)


def longest_gap(ledger: Ledger, moments: Iterable[float]) -> float:
    """Return the longest time between one of these moments and the next, or an end."""
    return max(_gaps(ledger, sorted(moments)))


def _gaps(ledger: Ledger, moments: Sequence[float]) -> Iterator[float]:
    last = ledger.begun
    for moment in (*(one for one in moments if one < ledger.ended), ledger.ended):
        yield moment - last
        last = moment
