"""The benchmark runs and its answers are right. Nothing is timed here."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import run

pytestmark = pytest.mark.live


@pytest.mark.parametrize("server", ["granian"])
def test_a_short_run(server: str, mongod: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = run.main(["--posts", "200", "--requests", "3", "--rounds", "1", "--server", server])
    shown = capsys.readouterr().out
    for result in results:
        assert len(result.ratios()) == 1
        assert result.workload.name in shown
