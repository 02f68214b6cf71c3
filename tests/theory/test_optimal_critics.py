"""The Wasserstein critic's optimum where the distance is known: points and parallel lines."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import Tensor

from gan_cli.losses import NonSaturating, Wasserstein
from gan_cli.penalties import GradientPenalty, OneSidedGradientPenalty, Penalty, ZeroCentred

HERE = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
THERE = torch.tensor([[-1.0, 0.0, 1.5]], dtype=torch.float64)  # 3 away
DISTANCE = 3.0


def estimate(slope: Tensor, real: Tensor, fake: Tensor) -> Tensor:
    """E f(x) - E f(G(z)) of the critic f(x) = <slope, x>."""
    return -Wasserstein().discriminator(real @ slope, fake @ slope)


def test_the_best_critic_of_two_points_finds_their_distance() -> None:
    """No critic of slope at most 1 does better than the one along the line between them."""
    best = (HERE - THERE)[0] / DISTANCE
    assert estimate(best, HERE, THERE).item() == pytest.approx(DISTANCE)
    generator = torch.Generator().manual_seed(0)
    others = torch.randn(200, 3, generator=generator, dtype=torch.float64)
    for slope in torch.nn.functional.normalize(others):
        assert estimate(slope, HERE, THERE).item() <= DISTANCE


def test_the_generator_is_pulled_straight_with_slope_1() -> None:
    best = (HERE - THERE)[0] / DISTANCE
    fake = THERE.clone().requires_grad_()
    (slope,) = torch.autograd.grad(Wasserstein().generator(fake @ best), fake)
    torch.testing.assert_close(-slope[0], best)


@pytest.mark.parametrize(
    ("penalty", "best"),
    [
        # -a d + w (a - 1)^2 is least at a = 1 + d / (2 w)
        (GradientPenalty(10.0), 1 + DISTANCE / 20),
        (OneSidedGradientPenalty(10.0), 1 + DISTANCE / 20),
        # -a d + w a^2 is least at a = d / (2 w)
        (ZeroCentred(10.0), DISTANCE / 20),
    ],
    ids=["two_sided", "one_sided", "zero_centred"],
)
def test_a_penalised_critic_of_two_points_stops_at_a_known_slope(
    penalty: Penalty, best: float
) -> None:
    """Near 1 with the penalties that want it: the weight decides how near."""
    direction = (HERE - THERE)[0] / DISTANCE

    def slope_of_the_loss(steepness: float) -> float:
        a = torch.tensor(steepness, dtype=torch.float64, requires_grad=True)
        total = Wasserstein().discriminator(HERE @ (a * direction), THERE @ (a * direction))
        total = total + penalty(lambda x: x @ (a * direction), HERE, THERE)
        (slope,) = torch.autograd.grad(total, a)
        return slope.item()

    assert slope_of_the_loss(best) == pytest.approx(0, abs=1e-6)
    assert slope_of_the_loss(best - 0.1) < 0 < slope_of_the_loss(best + 0.1)


def lines(theta: float) -> tuple[Tensor, Tensor]:
    """(0, z) and (theta, z) with z spread over [0, 1]."""
    z = torch.linspace(0, 1, 33, dtype=torch.float64)
    return torch.stack([0 * z, z], 1), torch.stack([0 * z + theta, z], 1)


@pytest.mark.parametrize("theta", [-1.5, -0.1, 0.0, 0.01, 2.0])
def test_parallel_lines_are_theta_apart(theta: float) -> None:
    """W = |theta| (Arjovsky et al. 2017, Example 1): by transport and by the critic -sign x."""
    real, fake = lines(theta)
    cost = cdist(real, fake)
    rows, columns = linear_sum_assignment(cost)
    assert cost[rows, columns].mean() == pytest.approx(abs(theta))
    slope = torch.tensor([-math.copysign(1.0, theta), 0.0], dtype=torch.float64)
    assert estimate(slope, real, fake).item() == pytest.approx(abs(theta))


@pytest.mark.parametrize("theta", [-1.5, -0.1, 0.0, 0.01, 2.0])
def test_the_js_of_parallel_lines_is_log_2_unless_they_meet(theta: float) -> None:
    """JS = log 2 for any theta but 0 (the same example), from the original game's value at the
    optimal discriminator, 2 JS - log 4.
    """
    real, fake = lines(theta)

    def optimal(x: Tensor) -> Tensor:
        """Sure where only one of the lines is, undecided where both are; flat at the samples."""
        on_fake = ((x[:, 0] - theta).abs() < 1e-9).double()
        on_real = (x[:, 0].abs() < 1e-9).double()
        return 50 * (on_real - on_fake)

    value = -NonSaturating().discriminator(optimal(real), optimal(fake))
    js = (value.item() + math.log(4)) / 2
    assert js == pytest.approx(0 if theta == 0 else math.log(2), abs=1e-12)
