"""Losses on hand-computed numbers and against independent formulas."""

import math
from collections.abc import Callable

import pytest
import torch
from composing import settings_of
from every import LOSSES
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from gan_cli.losses import (
    AdversarialLoss,
    BoundarySeeking,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Relativistic,
    RelativisticAverage,
    Softmax,
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
        # one tenth of the mean of real is added
        (NonSaturating(smoothing=0.1), CROSS_ENTROPY + 0.05, (0.474077 + 3.048587) / 2),
        # differences 1.5 and 2: log(1 + e^-1.5) = .201413 and log(1 + e^-2) = .126928
        (Relativistic(), (0.201413 + 0.126928) / 2, (1.701413 + 2.126928) / 2),
        # means .5 and -1.25, so real lie 3.25 and .25 above the mean of fakes, and fakes 0 and 3.5
        # below that of real: log(1 + e^-3.25) = .038041, log(1 + e^-.25) = .575939, log 2 and
        # log(1 + e^-3.5) = .029750; for G each is more by its distance
        (
            RelativisticAverage(),
            (0.038041 + 0.575939 + 0.693147 + 0.029750) / 2,
            (3.288041 + 0.825939 + 0.693147 + 3.529750) / 2,
        ),
        # log(e^2 + e^-1 + e^.5 + e^-3) = log 9.455443 = 2.246590, means .5 and -.375
        (Softmax(), 1.746590, 2.621590),
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


def test_boundary_seeking_ends_at_the_boundary() -> None:
    """Hjelm et al. 2018: (log D - log(1 - D))^2 / 2, whose minimum is where D is undecided."""
    fake = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    loss = BoundarySeeking().generator(fake)
    d = fake.detach().sigmoid()
    expected = (d.log() - (1 - d).log()).square().mean() / 2
    torch.testing.assert_close(loss.detach(), expected)
    (slope,) = torch.autograd.grad(loss, fake)
    assert slope[0] < 0
    assert slope[1] == 0
    assert slope[2] > 0


@pytest.mark.parametrize("make", sorted(set(LOSSES) - {BoundarySeeking}, key=str))
def test_each_player_pushes_the_right_way(make: type[AdversarialLoss]) -> None:
    """From where D is half right about both, and a least-squares D too."""
    loss = make()
    real = torch.full((3,), 0.5, requires_grad=True)
    fake = torch.full((3,), 0.25, requires_grad=True)
    up, down = torch.autograd.grad(loss.discriminator(real, fake), (real, fake))
    assert (up < 0).all()
    assert (down > 0).all()
    (wish,) = torch.autograd.grad(loss.generator(fake, real), fake)
    assert (wish < 0).all()


@pytest.mark.parametrize("make", sorted(set(LOSSES) - {Softmax}, key=str))
def test_losses_are_means_over_the_batch(make: type[AdversarialLoss]) -> None:
    loss = make()

    def twice(x: Tensor) -> Tensor:
        return x.repeat(2)

    torch.testing.assert_close(
        loss.discriminator(twice(REAL), twice(FAKE)), loss.discriminator(REAL, FAKE)
    )
    torch.testing.assert_close(loss.generator(twice(FAKE), twice(REAL)), loss.generator(FAKE, REAL))


@pytest.mark.parametrize("make", LOSSES)
def test_extreme_logits_stay_finite(make: type[AdversarialLoss]) -> None:
    loss = make()
    real = torch.tensor([1e4, -1e4], requires_grad=True)
    fake = torch.tensor([-1e4, 1e4], requires_grad=True)
    for total in (
        loss.discriminator(real, fake),
        loss.discriminator(fake, real),
        loss.generator(fake, real),
    ):
        gradients = torch.autograd.grad(total, (real, fake), allow_unused=True)
        assert total.isfinite()
        assert all(g is None or g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("make", LOSSES)
def test_gradients_are_those_of_finite_differences(make: type[AdversarialLoss]) -> None:
    torch.manual_seed(0)
    loss = make()
    # Away from the corners of hinges, which lie at -1 and 1.
    outputs = [torch.tensor([0.3, -0.4, 2.5]), torch.tensor([-2.2, 0.6, 1.7])]
    real, fake = (x.double().requires_grad_() for x in outputs)
    assert torch.autograd.gradcheck(loss.discriminator, (real, fake))
    assert torch.autograd.gradcheck(loss.generator, (fake, real))


@pytest.mark.parametrize("make", LOSSES)
def test_a_loss_that_compares_names_the_missing_outputs(make: type[AdversarialLoss]) -> None:
    loss = make()
    if not loss.compares:
        torch.testing.assert_close(loss.generator(FAKE), loss.generator(FAKE, REAL))
        return
    with pytest.raises(ValueError, match=r"generator\(fake, real\) needs the discriminator's"):
        loss.generator(FAKE)


@pytest.mark.parametrize("make", LOSSES)
def test_comparing_losses_alone_ignore_a_constant(make: type[AdversarialLoss]) -> None:
    loss = make()
    moved = loss.discriminator(REAL + 3, FAKE + 3)
    same = torch.allclose(moved, loss.discriminator(REAL, FAKE), atol=1e-5)
    assert same == (loss.compares or make is Wasserstein)
    assert (loss.boundary is None) == loss.compares


def test_logistic_is_another_name_of_non_saturating() -> None:
    chosen = [settings_of(f"loss={name}").loss for name in ("logistic", "non_saturating")]
    assert chosen[0] == chosen[1]
    # What StyleGAN calls logistic (Karras et al. 2019): softplus of each output with its sign.
    loss, one = NonSaturating(), math.log1p
    expected = sum(one(math.exp(-x)) for x in (2.0, -1.0)) + sum(
        one(math.exp(x)) for x in (0.5, -3.0)
    )
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(expected / 2, rel=1e-6)


@pytest.mark.parametrize("make", [Minimax, NonSaturating])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.25])
def test_smoothing_moves_the_target_of_real_samples_alone(
    make: Callable[..., AdversarialLoss], smoothing: float
) -> None:
    loss = make(smoothing=smoothing)
    real, fake = REAL.double(), FAKE.double()
    target = torch.full_like(real, 1 - smoothing)
    expected = binary_cross_entropy_with_logits(real, target)
    expected = expected + binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    torch.testing.assert_close(loss.discriminator(real, fake), expected)
    torch.testing.assert_close(loss.generator(fake), make().generator(fake))
    assert loss.boundary is not None
    # Where p = q the best D outputs (1 - s) / 2.
    assert torch.tensor(loss.boundary).sigmoid().item() == pytest.approx((1 - smoothing) / 2)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_absurd_smoothing(smoothing: float) -> None:
    with pytest.raises(ValueError, match=f"smoothing = {smoothing:g}: must be at least 0 and less"):
        NonSaturating(smoothing)
