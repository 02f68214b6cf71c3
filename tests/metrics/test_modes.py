import math

import pytest
import torch

from gan_cli.data.toy import Grid, Ring
from gan_cli.metrics.modes import coverage, kl_from_uniform, perfect_share

CORNERS = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])


def test_points_placed_by_hand() -> None:
    points = torch.tensor(
        [
            [0.0, 0.0],  # on the first mode
            [1.7, 2.4],  # 2.94 from it
            [9.0, 1.0],  # 1.41 from the second
            [3.01, 0.0],  # too far from the first
            [5.0, 5.0],  # far from all
        ]
    )
    found = coverage(points, CORNERS, deviation=1.0)
    assert found.counts.tolist() == [2, 1, 0, 0]
    assert found.captured == 2
    assert found.high_quality == pytest.approx(3 / 5)


def test_three_deviations_themselves_are_too_far() -> None:
    points = torch.tensor([[3.0, 0.0], [2.999, 0.0]])
    assert coverage(points, CORNERS, deviation=1.0).counts.tolist() == [1, 0, 0, 0]


def test_far_from_the_origin_narrow_modes_are_told_apart() -> None:
    modes = CORNERS / 1000 + 1000
    points = modes[[3]] + torch.tensor([[0.0, 0.002]])
    found = coverage(points.double(), modes.double(), deviation=0.001)
    assert found.counts.tolist() == [0, 0, 0, 1]


def test_a_perfect_sampler_in_the_plane_has_98_89_percent() -> None:
    assert perfect_share(2) == pytest.approx(1 - math.exp(-4.5), abs=1e-12)
    assert perfect_share(1) == pytest.approx(math.erf(3 / math.sqrt(2)), abs=1e-12)


@pytest.mark.parametrize("data", [Ring(points=20_000), Grid(points=20_000)], ids=["ring", "grid"])
def test_exact_draws_reach_every_mode_and_that_share(data) -> None:
    found = coverage(data.values, data.modes, data.deviation)
    assert found.captured == len(data.modes)
    share = perfect_share(2)
    error = math.sqrt(share * (1 - share) / 20_000)  # four of them
    assert found.high_quality == pytest.approx(share, abs=4 * error)
    # 2n KL is chi-squared with M - 1 degrees: mean M - 1, variance 2 (M - 1); five deviations.
    free = len(data.modes) - 1
    assert 2 * 20_000 * kl_from_uniform(found.counts) < free + 5 * math.sqrt(2 * free)


def test_pieces_add_up() -> None:
    points = Grid(points=9000).values
    whole = coverage(points, CORNERS, 1.0).counts
    parts = [coverage(some, CORNERS, 1.0).counts for some in points.split(1000)]
    assert torch.equal(whole, torch.stack(parts).sum(0))


def test_kl_from_uniform_by_hand() -> None:
    assert kl_from_uniform(torch.tensor([5, 5, 5, 5])) == pytest.approx(0, abs=1e-12)
    assert kl_from_uniform(torch.tensor([7, 0, 0, 0])) == pytest.approx(math.log(4))
    # Shares 3/4 and 1/4 of two modes in four: .75 log 3 + .25 log 1.
    assert kl_from_uniform(torch.tensor([3, 0, 1, 0])) == pytest.approx(0.75 * math.log(3))


def test_nothing_has_no_distribution() -> None:
    with pytest.raises(ValueError, match="counts = 0 everywhere"):
        kl_from_uniform(torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="points = none"):
        coverage(torch.empty(0, 2), CORNERS, 1.0)
