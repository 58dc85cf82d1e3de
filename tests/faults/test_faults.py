"""Three of the faults, once each and shorter, and the table that they are put into."""

from __future__ import annotations

import pytest

from tests.faults.__main__ import HEADER, line
from tests.faults.strikes import FAULTS, SHORT
from tests.faults.trial import place, run
from tests.faults.verdict import Verdict
from tests.faults.world import Options


@pytest.mark.live
@pytest.mark.long
def test_nothing_that_was_promised_is_broken() -> None:
    with place("set") as replicas:
        verdicts = {fault.name: run(fault, Options(limit=3.0), replicas) for fault in SHORT}
    assert {name: verdict.wrong for name, verdict in verdicts.items() if verdict.wrong} == {}
    assert all(verdict.acknowledged > 100 for verdict in verdicts.values())


def test_the_table() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        row = line(fault.name, Verdict(requests=12_345, acknowledged=10_000, reads_gap=1.25))
        assert len(row) == len(HEADER)
        assert " ".join(row.split()).endswith(" 1 12,345 10,000 0 0 0 0 0 0 0 0.0 1.2 0.0")
        assert fault.strike.__doc__
