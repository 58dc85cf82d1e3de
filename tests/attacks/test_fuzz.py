"""Some thousand broken inputs for each parser; ``python -m tests.attacks.fuzz`` tries more."""

from __future__ import annotations

import dataclasses

import pytest

from falcorest.errors import ServerError
from tests.attacks.fuzz import Target, attempt, fuzz, targets

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


def test_what_a_finding_is() -> None:
    def fail(text: str) -> None:
        raise ZeroDivisionError

    def refuse(text: str) -> None:
        raise ServerError("server.error", "It broke.")

    for run, finding in ((fail, "ZeroDivisionError"), (refuse, "500")):
        result = fuzz(dataclasses.replace(TARGETS[0], run=run), 1, inputs=5)
        [found] = result.findings
        assert finding in found
