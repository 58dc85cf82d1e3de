"""What is said of an overload, and of a soak run, over figures that are made up."""

from __future__ import annotations

import pytest

from tests.faults import overload, soak
from tests.faults.overload import Phase, Told


def told(count: int, status: int | None = 200, *, at: float = 0.0, took: float = 0.1) -> list[Told]:
    return [Told(at, took, status, clean=status in {200, 503})] * count


def phases(twice: list[Told], half: list[Told]) -> list[Phase]:
    return [
        Phase("carried", 10, told(100)),
        Phase("twice", 10, twice),
        Phase("half", 10, half),
    ]


#: What twice the load and half of it are answered with, and what is said of it.
CASES: dict[str, tuple[list[Told], list[Told], str]] = {
    "as it should be": (told(90) + told(110, 503), told(50), ""),
    "too little": (told(70) + told(130, 503), told(50), "7 served in a second, of 10"),
    "too late": (told(200, at=5.0, took=5.5), told(50), "0 served in a second, of 10"),
    "too slow": (told(200) + told(1, took=7.0), told(50), "a request took 7.0 s"),
    "an error": (told(199) + told(1, 500), told(50), "twice: 1 neither"),
    "no answer": (told(199) + told(1, None), told(50), "twice: 1 neither"),
    "no recovery": (told(200), told(40) + told(10, 503, at=9.0), "it recovers after 9.0 s"),
    "a slow recovery": (told(200), told(40) + told(10, at=8.0, took=2.0), "after 8.0 s"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_overload(case: str) -> None:
    twice, half, expected = CASES[case]
    wrong = overload.judge(phases(twice, half), 5.0)
    assert len(wrong) == bool(expected)
    assert expected in "".join(wrong)


def test_the_line_of_a_load() -> None:
    phase = Phase("twice", 10, told(99) + told(1, took=2.0) + told(5, 503))
    assert len(str(phase)) == len(overload.HEADER)
    assert str(phase).split() == ["twice", "10", "10", "10", "5", "0", "2.00", "2.00"]


@pytest.mark.parametrize(("grows", "flat"), [(0.0, True), (0.001, True), (0.1, False)])
def test_what_grows_in_a_soak_run(grows: float, flat: bool) -> None:
    values = [(second, 20 + grows * second) for second in range(0, 600, 10)]
    figure = soak.Figure("memory", 4.0, [*values])
    assert figure.flat is flat
    assert figure.slope == pytest.approx(3600 * grows)
    assert len(str(figure)) == len(soak.HEADER)
    assert ("NO" in str(figure)) is not flat
