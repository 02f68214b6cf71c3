"""Losses on hand-computed numbers and against independent formulas."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gan_cli.losses import (
    AdversarialLoss,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Wasserstein,
)

REAL = torch.tensor([2.0, -1.0])
FAKE = torch.tensor([0.5, -3.0])
# -log sigmoid(2) = .126928, -log sigmoid(-1) = 1.313262
# -log(1 - sigmoid(.5)) = .974077, -log(1 - sigmoid(-3)) = .048587
CROSS_ENTROPY = (0.126928 + 1.313262) / 2 + (0.974077 + 0.048587) / 2


@pytest.mark.parametrize(
    ("loss", "discriminator", "generator"),
    [
        # log(1 - sigmoid(.5)) = -.974077 and log(1 - sigmoid(-3)) = -.048587
        (Minimax(), CROSS_ENTROPY, (-0.974077 - 0.048587) / 2),
        # -log sigmoid(.5) = .474077, -log sigmoid(-3) = 3.048587
        (NonSaturating(), CROSS_ENTROPY, (0.474077 + 3.048587) / 2),
        # D: ((2-1)^2 + (-1-1)^2)/4 + (.5^2 + 3^2)/4; G: ((.5-1)^2 + (-3-1)^2)/4
        (LeastSquares(), 5 / 4 + 9.25 / 4, 16.25 / 4),
        # b=1, a=-1, c=0: D: 5/4 + (1.5^2 + 2^2)/4; G: (.25 + 9)/4
        (LeastSquares(fake=-1.0, real=1.0, wanted=0.0), 5 / 4 + 6.25 / 4, 9.25 / 4),
        # D: (0 + 2)/2 + (1.5 + 0)/2; G: -(-2.5/2)
        (Hinge(), 1.0 + 0.75, 1.25),
        # D: -1.25 - .5; G: 1.25
        (Wasserstein(), -1.75, 1.25),
    ],
)
def test_golden_values(loss: AdversarialLoss, discriminator: float, generator: float) -> None:
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(discriminator, abs=2e-6)
    assert loss.generator(FAKE, REAL).item() == pytest.approx(generator, abs=2e-6)


def test_cross_entropy_is_eq_1_of_the_paper_in_float64() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(50).double() * 3, torch.randn(50).double() * 3
    expected = -(torch.log(torch.sigmoid(real)).mean() + torch.log(1 - torch.sigmoid(fake)).mean())
    for loss in (Minimax(), NonSaturating()):
        torch.testing.assert_close(loss.discriminator(real, fake), expected)
    torch.testing.assert_close(Minimax().generator(fake), torch.log(1 - torch.sigmoid(fake)).mean())
    torch.testing.assert_close(
        NonSaturating().generator(fake), -torch.log(torch.sigmoid(fake)).mean()
    )


def test_at_the_equilibrium_the_cross_entropy_is_2_log_2() -> None:
    zeros = torch.zeros(8)
    assert NonSaturating().discriminator(zeros, zeros).item() == pytest.approx(2 * math.log(2))


def test_minimax_saturates_where_non_saturating_does_not() -> None:
    fake = torch.full((4,), -20.0, requires_grad=True)  # D is sure
    (saturated,) = torch.autograd.grad(Minimax().generator(fake), fake)
    (alive,) = torch.autograd.grad(NonSaturating().generator(fake), fake)
    assert saturated.abs().sum().item() < 1e-8
    assert alive.sum().item() == pytest.approx(-1.0, abs=1e-6)


@pytest.mark.parametrize("make", [Minimax, NonSaturating, LeastSquares, Hinge, Wasserstein])
def test_each_player_pushes_the_right_way(make: Callable[[], AdversarialLoss]) -> None:
    loss = make()
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    if isinstance(loss, LeastSquares):  # at its target already
        fake = torch.full((3,), 0.5, requires_grad=True)
    up, down = torch.autograd.grad(loss.discriminator(real, fake), (real, fake))
    assert (up < 0).all()
    assert (down > 0).all()
    (wish,) = torch.autograd.grad(loss.generator(fake), fake)
    assert (wish < 0).all()


@pytest.mark.parametrize("make", [Minimax, NonSaturating, LeastSquares, Hinge, Wasserstein])
def test_losses_are_means_over_the_batch(make: Callable[[], AdversarialLoss]) -> None:
    loss = make()

    def twice(x: Tensor) -> Tensor:
        return x.repeat(2)

    torch.testing.assert_close(
        loss.discriminator(twice(REAL), twice(FAKE)), loss.discriminator(REAL, FAKE)
    )
    torch.testing.assert_close(loss.generator(twice(FAKE)), loss.generator(FAKE))


@pytest.mark.parametrize("make", [Minimax, NonSaturating, LeastSquares, Hinge, Wasserstein])
def test_extreme_logits_stay_finite(make: Callable[[], AdversarialLoss]) -> None:
    loss = make()
    big = torch.tensor([1e4, -1e4], requires_grad=True)
    total = loss.discriminator(big, big) + loss.generator(big)
    (gradient,) = torch.autograd.grad(total, big)
    assert total.isfinite()
    assert gradient.isfinite().all()
