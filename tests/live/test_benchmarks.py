"""The benchmarks run and their answers are right. Nothing is timed here."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from benchmarks import __main__ as benchmarks
from benchmarks import documents, profiles, stages, startup
from benchmarks.workloads import Workload, workloads

pytestmark = pytest.mark.live

POSTS = 120
SHORT = ["--posts", str(POSTS), "--requests", "2", "--rounds", "1", "--memory", "0"]


@pytest.fixture(scope="module")
def seeded(mongo_uri: str) -> Iterator[str]:
    """The documents, in the database of all tests."""
    documents.seed(mongo_uri, POSTS)
    yield mongo_uri
    with MongoClient[dict[str, object]](mongo_uri) as client:
        client.drop_database(documents.DATABASE)


@pytest.mark.long
def test_a_short_run(mongod: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = benchmarks.main([*SHORT, "--rst", str(tmp_path)])
    shown = capsys.readouterr().out
    assert [*results] == ["zero-code", "declared"]
    for door, of_door in results.items():
        figures = (tmp_path / f"{door}.txt").read_text(encoding="utf-8")
        for result in of_door:
            assert len(result.ratios()) == 1
            assert result.workload.name in shown
            assert f"   * - {result.workload.name}\n" in figures


def test_the_peak_of_the_memory(seeded: str, tmp_path: Path) -> None:
    args = argparse.Namespace(posts=POSTS, memory=1, server="granian", as_installed=False)
    found = {"zero-code": benchmarks.peaks("zero-code", seeded, tmp_path, args)}
    for peak in found["zero-code"].values():
        assert 0 < peak.before[0] <= peak.after[0]
    _, rows = benchmarks.memory_table(found)
    assert [row[1] for row in rows] == [benchmarks.OURS, benchmarks.BY_HAND]


@pytest.mark.parametrize("door", benchmarks.PROGRAMS)
def test_stages(door: str, seeded: str) -> None:
    found = stages.measure(door, seeded, 1)
    heading, rows = stages.table(found)
    assert {len(row) for row in rows} == {len(heading)}
    assert [row[0] for row in rows[:2]] == ["parse", "prepare"]
    assert rows[-1][0] == "whole, less the stages"


def test_profiles(seeded: str) -> None:
    chosen = workloads(POSTS)["declared"][:1]
    ((workload, (ours, by_hand)),) = profiles.measure("declared", chosen, seeded, 1)
    assert workload is chosen[0]
    rows = profiles.rows(ours[1], by_hand[1], 1000)
    assert {len(row) for row in rows} == {len(profiles.HEADING)}
    assert any("on_get_item" in row[0] and row[1:3] == ["1", "0"] for row in rows)


@pytest.mark.long
def test_startup(seeded: str, tmp_path: Path) -> None:
    imports = {name: [startup.importing(some, tmp_path)] for name, some in startup.IMPORTS.items()}
    starts = {
        name: [startup.starting(words, seeded, tmp_path)] for name, words in startup.SERVERS.items()
    }
    for found in (imports, starts):
        heading, rows = startup.table(found, lambda clock: 1.3 * clock)
        assert [row[0] for row in rows] == [*found, "ratio"]
        assert {len(row) for row in rows} == {len(heading)}


class Answering:
    """Stands in for a server."""

    def __init__(self, status: int, body: bytes) -> None:
        self.answer = (status, body)

    def send(self, request: bytes) -> tuple[int, bytes]:
        return self.answer


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Answering(200, b'{"title":"b"}'), id="body"),
        pytest.param(Answering(201, b'{"title":"a"}'), id="status"),
        pytest.param(Answering(500, b""), id="failure"),
    ],
)
def test_answers_that_differ_are_not_timed(other: Answering) -> None:
    workload = Workload("fetch one by id", "GET", ["/posts/1"], [b""], 1.0)
    targets = {"falcorest": other, "by hand": Answering(200, b'{"title": "a"}')}
    with pytest.raises(SystemExit, match="fetch one by id: falcorest"):
        benchmarks.check(workload, targets, None)
    targets["falcorest"] = Answering(200, b'{ "title":"a"}')
    benchmarks.check(workload, targets, None)
