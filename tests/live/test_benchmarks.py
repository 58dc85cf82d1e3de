"""The benchmarks run and their answers are right. Nothing is timed here."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.workloads import Workload

pytestmark = pytest.mark.live

SHORT = ["--posts", "120", "--requests", "2", "--rounds", "1", "--memory", "1"]


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
    assert "more than by hand" in (tmp_path / "memory.txt").read_text(encoding="utf-8")


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
