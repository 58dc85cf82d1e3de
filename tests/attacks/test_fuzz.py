"""Some thousand broken inputs for each parser; ``python -m tests.attacks.fuzz`` tries more."""

from __future__ import annotations

import dataclasses
import time

import pytest

from falcorest.errors import ServerError
from falcorest.hints import HINTS
from tests.attacks.fuzz import SLOW, Target, attempt, fuzz, targets

INPUTS = {"JSON": 500, "operators": 500, "fields": 500}
TARGETS = targets()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target.name))
def test_broken_inputs(target: Target) -> None:
    result = fuzz(target, 1, inputs=INPUTS.get(target.name, 2000))
    assert not result.findings
    assert 0 < result.refused < result.inputs, "both shall come about"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target.name))
def test_good_inputs(target: Target) -> None:
    answers = [attempt(target, seed) for seed in target.seeds]
    assert [finding for _, finding in answers if finding] == []
    assert not all(refused for refused, _ in answers)


@pytest.mark.parametrize("hint", HINTS)
def test_long_literals_take_no_longer_than_they_are(hint: str) -> None:
    [target] = [target for target in TARGETS if target.name == "id"]
    for piece in ("1", "0", "-", ".", "1.", "e", "P", "1D", "T1", "10:", "2021-", " ", "N"):
        for end in ("x", ".5", ""):
            text = f"[{hint}].{piece * (20_000 // len(piece))}{end}"
            started = time.thread_time()
            attempt(target, text)
            assert time.thread_time() - started < SLOW, text[:40]


def test_what_a_finding_is() -> None:
    def fail(text: str) -> None:
        raise ZeroDivisionError

    def refuse(text: str) -> None:
        raise ServerError("server.error", "It broke.")

    for run, finding in ((fail, "ZeroDivisionError"), (refuse, "500")):
        result = fuzz(dataclasses.replace(TARGETS[0], run=run), 1, inputs=5)
        [found] = result.findings
        assert finding in found
