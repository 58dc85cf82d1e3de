"""Three of the faults, once each and shorter, and the table that they are put into."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.__main__ import HEADER, line
from tests.faults.replicas import ReplicaSet
from tests.faults.strikes import FAULTS, SHORT, Fault
from tests.faults.trial import place, run
from tests.faults.verdict import Verdict
from tests.faults.world import Options

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def replicas() -> Iterator[ReplicaSet | None]:
    with place("set") as found:
        yield found


@pytest.mark.long
@pytest.mark.parametrize("fault", SHORT, ids=lambda fault: fault.name)
def test_nothing_that_was_promised_is_broken(fault: Fault, replicas: ReplicaSet) -> None:
    verdict = run(fault, Options(limit=3.0), replicas)
    assert verdict.wrong == []
    assert verdict.acknowledged > 100
    assert len(line(fault.name, verdict)) == len(HEADER)


def test_the_table() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        row = line(fault.name, Verdict(requests=12_345, acknowledged=10_000, reads_gap=1.25))
        assert len(row) == len(HEADER)
        assert row.split()[-13:] == [
            "1",
            "12,345",
            "10,000",
            "0",
            "0",
            "0",
            "0",
            "0",
            "0",
            "0",
            "0.0",
            "1.2",
            "0.0",
        ]
        assert fault.strike.__doc__
