"""Ticks are round, labels short, axes never without length."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gan_cli.plots.axis import Axis, label, spanning


def values(axis: Axis, most: int = 7) -> list[float]:
    return [tick.at for tick in axis.ticks(most)]


def test_ticks_are_round_numbers_within() -> None:
    assert values(Axis(-1.6, 1.6)) == [-1.5, -1, -0.5, 0, 0.5, 1, 1.5]
    assert values(Axis(0, 1)) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert values(Axis(0.1, 0.3), 2) == [0.1, 0.2, 0.3]
    for low, high in [(0, 7), (-3e-5, 1e-5), (1e6, 1e6 + 3), (-17, 123456)]:
        ticks = values(Axis(low, high))
        assert 2 <= len(ticks) <= 8
        assert low <= min(ticks)
        assert max(ticks) <= high
        assert len({label(tick) for tick in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.5, 2000, [1, 10, 100, 1000]),
        (0.9, 70, [1, 3, 10, 30]),
        (4, 60, [5, 10, 20, 50]),
        (1e-12, 1, [1e-12, 1e-9, 1e-6, 1e-3, 1]),
        (1, 1.2, [1, 1.05, 1.1, 1.15, 1.2]),
    ],
)
def test_ticks_of_a_logarithmic_axis(low: float, high: float, ticks: list[float]) -> None:
    assert values(Axis(low, high, log=True), 5) == pytest.approx(ticks)


def test_names_stand_in_for_numbers() -> None:
    assert Axis(-0.5, 1.5, names=["a", "b"]).ticks() == [(0, "a"), (1, "b")]


def test_places_are_shares_of_the_length() -> None:
    np.testing.assert_allclose(Axis(-1, 3).at(np.array([-1, 0, 3])), [0, 0.25, 1])
    assert Axis(1, 100, log=True).at(10) == pytest.approx(0.5)


def test_an_axis_spans_the_finite_values() -> None:
    found = spanning([math.nan, 1.0, 3.0, math.inf], margin=0.1)
    assert (found.low, found.high) == pytest.approx((0.8, 3.2))
    assert spanning([-1.0, 0.0, 1.0, 100.0], log=True, margin=0.1).low == 1
    assert spanning([]).length == 1
    assert not spanning([1e-320, 1e-310], log=True).log  # as good as 0
    assert spanning([1e308, 0.0, 1.0]).high == 1
    for flat in (0.0, 3.0, -1e9):
        assert spanning([flat, flat]).at(flat) == pytest.approx(0.5)


def test_labels_are_short() -> None:
    labels = [label(v) for v in (-0.5, 0.0, 1e-7, 2e9, 8000.0, 20_000, -1.5e6)]
    assert labels == ["-0.5", "0", "1e-7", "2e9", "8000", "20k", "-1.5M"]
