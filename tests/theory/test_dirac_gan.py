"""The dynamics of the smallest GAN: one real point at 0, one fake at theta, D(x) = psi x.

Mescheder et al. 2018, sections 2 and 4: v is the field that both players follow, minus the gradient
of each one's loss by its own parameter. All of it comes from our losses and penalties by autograd.
"""

from __future__ import annotations

import cmath
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gan_cli.losses import (
    AdversarialLoss,
    Hinge,
    JensenShannon,
    LeastSquares,
    Minimax,
    NonSaturating,
    Pearson,
    Relativistic,
    RelativisticAverage,
    ReverseKL,
    SquaredHellinger,
    TotalVariation,
    Wasserstein,
)
from gan_cli.penalties import R1, R1R2, NoPenalty, Penalty, ZeroCentred


def field(loss: AdversarialLoss, penalty: Penalty) -> Callable[[Tensor], Tensor]:
    """v(theta, psi), differentiable."""

    def v(point: Tensor) -> Tensor:
        theta, psi = point
        zero = torch.zeros(1, 1, dtype=point.dtype)
        fake = theta.view(1, 1)

        def score(x: Tensor) -> Tensor:
            return psi * x[:, 0]

        critic = loss.discriminator(score(zero), score(fake)) + penalty(score, zero, fake)
        (down,) = torch.autograd.grad(critic, psi, create_graph=True)
        generator = loss.generator(score(fake), score(zero))
        (along,) = torch.autograd.grad(generator, theta, create_graph=True)
        return -torch.stack([along, down])

    return v


def eigenvalues(loss: AdversarialLoss, penalty: Penalty | None = None) -> list[complex]:
    """Of the Jacobian of v at the equilibrium (0, 0), by imaginary, then real part."""
    equilibrium = torch.zeros(2, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(field(loss, penalty or NoPenalty()), equilibrium)
    assert isinstance(jacobian, Tensor)
    found = torch.linalg.eigvals(jacobian).tolist()
    return sorted(found, key=lambda z: (round(z.imag, 9), z.real))


# f'(0), where f is what the loss makes of psi theta: f(t) = -log(1 + exp(-t)) in the paper, so 1/2.
SLOPES: list[tuple[AdversarialLoss, float]] = [
    (Minimax(), 0.5),
    (NonSaturating(), 0.5),
    (Wasserstein(), 1.0),
    (Hinge(), 1.0),
    (LeastSquares(fake=-1.0, real=1.0, wanted=1.0), 1.0),
    (Relativistic(), 0.5),
    (RelativisticAverage(), 1.0),  # twice the same term
    (TotalVariation(), 0.5),
    (ReverseKL(), 1.0),
    (Pearson(), 1.0),
    (SquaredHellinger(), 1.0),
    (JensenShannon(), 0.5),
]
NAMES = [type(loss).__name__ for loss, _ in SLOPES]


@pytest.mark.parametrize(("loss", "slope"), SLOPES, ids=NAMES)
def test_without_a_penalty_the_eigenvalues_are_purely_imaginary(
    loss: AdversarialLoss, slope: float
) -> None:
    """+-f'(0) i: the players run round the equilibrium."""
    assert eigenvalues(loss) == pytest.approx([-slope * 1j, slope * 1j], abs=1e-12)


@pytest.mark.parametrize("gamma", [0.1, 0.9, 4.0])
@pytest.mark.parametrize(("loss", "slope"), SLOPES[:3], ids=NAMES[:3])
@pytest.mark.parametrize(
    ("make", "times"), [(R1, 1), (R1R2, 2), (ZeroCentred, 2)], ids=["r1", "r1_r2", "zero_centred"]
)
def test_a_zero_centred_penalty_draws_them_to_the_left(
    make: Callable[[float], Penalty], times: int, loss: AdversarialLoss, slope: float, gamma: float
) -> None:
    """-gamma / 2 +- sqrt(gamma^2 / 4 - f'(0)^2) , all with negative real part.

    D's gradient is psi everywhere, so R1 and R2 together, and a penalty without the factor 1/2,
    are R1 of twice the weight.
    """
    found = eigenvalues(loss, make(gamma))
    half = times * gamma / 2
    root = cmath.sqrt(half**2 - slope**2)
    expected = sorted([-half - root, -half + root], key=lambda z: (round(z.imag, 9), z.real))
    assert found == pytest.approx(expected, abs=1e-9)
    assert all(z.real < 0 for z in found)


def norms(loss: AdversarialLoss, penalty: Penalty, start: float, h: float, steps: int) -> Tensor:
    """The distance from the equilibrium along simultaneous gradient descent, [steps + 1]."""
    v = field(loss, penalty)
    point = torch.tensor([start, 0.0], dtype=torch.float64)
    path = [point.norm()]
    for _ in range(steps):
        point = (point + h * v(point.requires_grad_())).detach()
        path.append(point.norm())
    return torch.stack(path)


@pytest.mark.parametrize("h", [0.1, 0.5])
@pytest.mark.parametrize(("loss", "slope"), SLOPES, ids=NAMES)
def test_simultaneous_descent_grows_by_a_known_factor(
    loss: AdversarialLoss, slope: float, h: float
) -> None:
    """sqrt(1 + h^2 f'(0)^2) in each step, measured where the field is linear."""
    found = norms(loss, NoPenalty(), 1e-6, h, 12)
    growth = found[1:] / found[:-1]
    expected = torch.full_like(growth, (1 + h**2 * slope**2) ** 0.5)
    torch.testing.assert_close(growth, expected, rtol=1e-4, atol=0)


def test_a_wasserstein_gan_runs_away_from_anywhere() -> None:
    """Its field is linear, so the factor holds far from the equilibrium too."""
    found = norms(Wasserstein(), NoPenalty(), 1.0, 0.3, 20)
    assert (found[-1] / found[0]).item() == pytest.approx((1 + 0.3**2) ** 10)


def test_r1_brings_it_home() -> None:
    """With the greater eigenvalue of 1 + h J as the factor: gamma 1 and f'(0) = 1/2 give both
    -1/2, so 1 - h / 2 a step but for a factor that is linear in the number of steps.
    """
    found = norms(NonSaturating(), R1(1.0), 0.01, 0.2, 200)
    assert found[-1] < 1e-6 * found[0]
    assert (found[-1] / found[-2]).item() == pytest.approx(0.9, abs=0.005)
