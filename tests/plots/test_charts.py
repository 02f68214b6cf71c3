"""Charts of the pages: what their curves show of several seeds."""

from __future__ import annotations

from gan_cli.plots.charts import MOST_POINTS, over_seeds


def test_seeds_with_points_at_other_steps_have_one_mean() -> None:
    ones = dict.fromkeys(range(0, 71, 10), 1.0)
    twos = dict.fromkeys(range(0, 71, 7), 2.0)
    points = over_seeds([ones, twos])
    assert {point[1:] for point in points} == {(1.5, 1.0, 2.0)}
    assert [point.step for point in points] == sorted({*ones, *twos})


def test_a_curve_counts_where_it_reaches() -> None:
    points = over_seeds([{0: 0.0, 10: 10.0}, {5: 0.0, 20: float("nan")}, {0: 2.0, 10: 2.0}])
    assert points == [(0, 1, 0, 2), (5, 7 / 3, 0, 5), (10, 6, 2, 10)]
    assert over_seeds([{0: 1.0}, {}, {}]) == []


def test_a_curve_that_is_thinned_out_keeps_its_last_point() -> None:
    points = over_seeds([{step: float(step) for step in range(1000)}])
    assert len(points) <= MOST_POINTS + 1
    assert points[-1] == (999, 999, 999, 999)
