"""The words for how long a run will take."""

from __future__ import annotations

import math

import pytest

from gan_cli.callbacks.progress import announce, remaining, stretches


def test_the_line() -> None:
    assert announce(20, 20_000, [(20_000, 3.3)]) == [
        "about 1 h 40 min for 20,000 steps (3.3 steps/s)"
    ]


def test_with_a_limit_of_time_it_says_how_far_the_run_will_come() -> None:
    assert announce(20, 20_000, [(20_000, 3.3)], seconds_left=294, max_seconds=300) == [
        "about 1 h 40 min for 20,000 steps (3.3 steps/s)",
        "max_time = 5 min stops it near step 990",
    ]


def test_a_limit_that_is_not_reached_is_not_mentioned() -> None:
    lines = announce(20, 1000, [(1000, 10)], seconds_left=290, max_seconds=300)
    assert lines == ["about 1 min 40 s for 1,000 steps (10 steps/s)"]


def test_a_resumed_run_speaks_of_what_remains() -> None:
    lines = announce(
        10_010, 20_000, [(20_000, 123.4)], seconds_left=20, max_seconds=30, resumed=True
    )
    assert lines == [
        "about 1 min 20 s for the remaining 9,990 steps (120 steps/s)",
        "max_time = 30 s stops it near step 12,000",
    ]


def test_a_run_that_changes_its_updates_is_told_to_there() -> None:
    paces = [(200, 4.0)]
    assert announce(20, 1000, paces, seconds_left=60, max_seconds=65) == [
        "about 50 s to step 200, where other updates begin (4.0 steps/s)"
    ]
    assert announce(20, 1000, paces, seconds_left=20, max_seconds=25)[1:] == [
        "max_time = 25 s stops it near step 100"
    ]


def test_paces_one_after_the_other() -> None:
    """50 s and 400 s for 1,000 steps; after 90 s, 40 s of the second."""
    paces = [(200, 4.0), (1000, 2.0)]
    assert announce(0, 1000, paces, seconds_left=90, max_seconds=90) == [
        "about 7 min 30 s for 1,000 steps (2.2 steps/s)",
        "max_time = 1 min 30 s stops it near step 280",
    ]
    assert announce(0, 1000, paces, seconds_left=450, max_seconds=450)[1:] == []
    assert stretches(paces) == [
        "steps 0 to 200: about 50 s (4.0 steps/s)",
        "steps 200 to 1,000: about 6 min 30 s (2.0 steps/s)",
    ]


def test_slow_steps_are_given_in_seconds() -> None:
    assert announce(2, 2000, [(2000, 0.15)]) == [
        "about 3 h 40 min for 2,000 steps (6.7 s per step)"
    ]


@pytest.mark.parametrize(
    ("steps", "words"),
    [(5, "about 1 s"), (130, "about 13 s"), (1234, "about 2 min"), (12_345, "about 21 min")],
)
def test_no_more_digits_than_the_measurement_has(steps: int, words: str) -> None:
    assert announce(1, steps, [(steps, 10)])[0].startswith(words + " for")


@pytest.mark.parametrize(
    ("rate", "words"), [(9.99999, "10 steps/s"), (9.94, "9.9 steps/s"), (1234, "1,200 steps/s")]
)
def test_rates_have_two_digits(rate: float, words: str) -> None:
    assert announce(1, 100, [(100, rate)])[0].endswith(f"({words})")


def test_the_step_of_an_early_stop_is_whole() -> None:
    assert announce(2, 20, [(20, 0.5)], 3.4, 7)[1] == "max_time = 7 s stops it near step 4"


def test_days() -> None:
    (line,) = announce(1, 10_000_000, [(10_000_000, 10)])
    assert line == "about 11 d 14 h for 10,000,000 steps (10 steps/s)"


def test_time_left_is_what_comes_first() -> None:
    assert remaining(100, 10) == 10
    assert remaining(100, 10, seconds=4) == 4
    assert remaining(100, 10, seconds=40) == 10
    assert remaining(100, 0) == math.inf
    assert remaining(100, 0, seconds=4) == 4
    assert remaining(100, 10, seconds=-1) == 0
