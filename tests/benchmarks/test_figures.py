"""Numbers from what runs leave behind."""

from __future__ import annotations

import json
import math

import pytest

from benchmarks.published.figures import (
    NoValueError,
    figures_of,
    finite,
    met,
    rank_correlation,
    require,
    statistic,
)
from benchmarks.published.tables import Column, Correlation

REPORT = {"figures": [{"name": "fid", "value": 3.5, "floor": 1.0}, {"name": "kl", "value": "nan"}]}


def test_figures_have_the_checkpoint_in_their_name_unless_it_is_the_last() -> None:
    assert figures_of(REPORT, "last")["fid"] == (3.5, 1.0)
    assert figures_of(REPORT, "2000")["fid@2000"] == (3.5, 1.0)


def test_a_missing_figure_and_one_that_is_no_number_are_no_results() -> None:
    found = figures_of(REPORT, "last")
    require(found, ["fid"], "")
    with pytest.raises(NoValueError, match=r"no score \(why\)"):
        require(found, ["score"], "why")
    with pytest.raises(NoValueError, match="kl is nan"):
        require(found, ["kl"], "")


def test_figures_that_nobody_asked_for_are_kept_where_they_are_numbers() -> None:
    assert finite({"a": 1.0, "b": math.nan, "c": None, "d": -math.inf}) == {"a": 1.0}


def test_mean_deviation_and_standard_error() -> None:
    found = statistic([0.1, 0.2, 0.6], Column(figure="a", title="A", scale=10))
    assert (found.n, found.value) == (3, pytest.approx(3.0))
    assert found.deviation == pytest.approx(math.sqrt(7))  # (4 + 1 + 9) / 2
    assert found.error == pytest.approx(math.sqrt(7 / 3))


def test_one_run_has_no_deviation() -> None:
    found = statistic([2.0], Column(figure="a", title="A"))
    assert (found.value, found.deviation, found.error) == (2.0, None, None)


def test_runs_that_pass_are_counted() -> None:
    column = Column(figure="a", title="A", statistic="passing", above=5)
    found = statistic([4.0, 5.0, 6.0], column)
    assert (found.n, found.value) == (3, 1)


def test_no_run_is_no_statistic() -> None:
    with pytest.raises(NoValueError):
        statistic([], Column(figure="a", title="A"))


@pytest.mark.parametrize(
    ("bounds", "within"),
    [([1, 2], True), ([None, 1], False), ([1.5, None], True), ([1.6, None], False)],
    ids=["between", "above the most", "at the least", "below the least"],
)
def test_an_expectation_is_met_within_its_bounds(bounds: list[float | None], within: bool) -> None:
    assert met(1.5, bounds) is within


def test_rank_correlation_averages_between_the_points_it_is_compared_at() -> None:
    points = [
        {"step": 1, "loss": -8.0},
        {"step": 2, "loss": -4.0},
        {"step": 2, "fid": 60.0},
        {"step": 3, "loss": -5.0},
        {"step": 3, "fid": 40.0},
        {"step": 4, "loss": -1.0},
        {"step": 4, "fid": 50.0},
    ]
    lines = [json.dumps(point) for point in points]
    asked = Correlation(of="loss", against="fid", sign=-1)
    # Losses turned over 6, 5, 1 against 60, 40, 50: ranks 3, 2, 1 and 3, 1, 2.
    assert rank_correlation(lines, asked) == pytest.approx(0.5)
    assert rank_correlation(lines, Correlation(of="loss", against="fid")) == pytest.approx(-0.5)
    with pytest.raises(NoValueError, match="have 2 points"):
        rank_correlation(lines[:5], asked)
