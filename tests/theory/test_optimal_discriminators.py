"""Losses at the discriminators that theory calls optimal, on distributions over a few points.

A batch holds each point as often as its distribution says, so means over it are expectations and
everything is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import xlogy
from torch import Tensor

from gan_cli.losses import (
    AdversarialLoss,
    FDivergence,
    ForwardKL,
    Hinge,
    JensenShannon,
    LeastSquares,
    Minimax,
    NonSaturating,
    Pearson,
    Relativistic,
    ReverseKL,
    Softmax,
    SquaredHellinger,
    TotalVariation,
)

P = torch.tensor([5, 3, 1, 1, 2])  # how often each point comes in twelve samples
Q = torch.tensor([1, 2, 6, 2, 1])
TOTAL = 12
p, q = P.double() / TOTAL, Q.double() / TOTAL
RATIO = p / q
PAIRS = [(P, Q), (P, P), (torch.tensor([6, 6, 0]), torch.tensor([0, 4, 8]))]


def batch(v: Tensor, counts: Tensor) -> Tensor:
    """The outputs `v` of the points, each as often as `counts` says."""
    return v.repeat_interleave(counts)


def value(loss: AdversarialLoss, v: Tensor) -> Tensor:
    """The discriminator's loss if it says `v` of the points."""
    return loss.discriminator(batch(v, P), batch(v, Q))


def assert_optimal(loss: AdversarialLoss, best: Tensor) -> None:
    """No slope at `best`, and nothing better around it."""
    best = best.clone().requires_grad_()
    at_best = value(loss, best)
    (slope,) = torch.autograd.grad(at_best, best)
    torch.testing.assert_close(slope, torch.zeros_like(best), atol=1e-12, rtol=0)
    generator = torch.Generator().manual_seed(0)
    for size in (0.01, 0.1, 1.0):
        away = size * torch.randn(20, len(best), generator=generator, dtype=torch.float64)
        assert all(value(loss, best + step) > at_best for step in away)


def js(p: Tensor, q: Tensor) -> float:
    """In nats: half of KL(P || M) + KL(Q || M), from another library."""
    return float(jensenshannon(p, q)) ** 2


@pytest.mark.parametrize(("real", "fake"), PAIRS, ids=["overlap", "same", "partial"])
def test_the_minimax_value_is_twice_js_less_log_4(real: Tensor, fake: Tensor) -> None:
    """Goodfellow et al. 2014, Proposition 1 and Theorem 1: D* = p / (p + q)."""
    p, q = real.double() / TOTAL, fake.double() / TOTAL
    v = (p / (p + q)).logit().clamp(-50, 50)  # infinite where only one of them is
    expected = 2 * js(p, q) - math.log(4)
    for loss in (Minimax(), NonSaturating()):
        value = -loss.discriminator(batch(v, real), batch(v, fake))
        assert value.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_optimal_discriminator_of_the_original_game(smoothing: float) -> None:
    """(1 - s) p / (p + q) with one-sided smoothing s (Salimans et al. 2016, section 3.4)."""
    best = ((1 - smoothing) * p / (p + q)).logit()
    assert_optimal(NonSaturating(smoothing), best)
    assert_optimal(Minimax(smoothing), best)


def test_minimax_gives_the_generator_its_part_of_the_value() -> None:
    """D's loss and G's sum up to what is left: -E_P[log D*], on which G has no influence."""
    v = RATIO.log()
    left = value(Minimax(), v) + Minimax().generator(batch(v, Q))
    torch.testing.assert_close(left, -(p * (p / (p + q)).log()).sum())


def test_the_optimal_discriminator_of_least_squares() -> None:
    """D* = (b p + a q) / (p + q), that is p / (p + q) for labels 1 and 0 (Mao et al. 2017)."""
    best = p / (p + q)
    assert_optimal(LeastSquares(), best)
    expected = 0.5 * (p * q / (p + q)).sum()
    torch.testing.assert_close(value(LeastSquares(), best), expected)


def test_least_squares_of_both_kinds_is_pearsons_divergence() -> None:
    """With b - c = 1 and b - a = 2 the sum of G's terms for real and fake samples at D* is half
    of chi^2(P + Q || 2 Q) (Mao et al. 2017, Theorem 1).
    """
    loss = LeastSquares(fake=-1.0, real=1.0, wanted=0.0)
    best = (p - q) / (p + q)
    assert_optimal(loss, best)
    both = loss.generator(batch(best, Q)) + loss.generator(batch(best, P))
    torch.testing.assert_close(2 * both, ((2 * q - (p + q)).square() / (p + q)).sum())


def test_the_optimum_of_hinge_is_total_variation() -> None:
    """2 sum min(p, q) = 2 - 2 TV at D* = sign(p - q) (Lim and Ye 2017)."""
    v = torch.where(p > q, 1.0, -1.0).double()
    best = value(Hinge(), v)
    assert best.item() == pytest.approx(2 - (p - q).abs().sum().item())
    generator = torch.Generator().manual_seed(0)
    away = 0.5 * torch.randn(50, 5, generator=generator, dtype=torch.float64)
    assert all(value(Hinge(), v + step) >= best - 1e-12 for step in away)


def test_the_optimum_of_softmax_is_the_divergence_from_the_mixture() -> None:
    """log(2 N) - KL(P || M) at v = log(p / (p + q)) and at that plus any constant."""
    best = (p / (p + q)).log()
    divergence = (p * (p / ((p + q) / 2)).log()).sum()
    for constant in (0.0, 3.0):
        torch.testing.assert_close(
            value(Softmax(), best + constant), math.log(2 * TOTAL) - divergence
        )
    v = best.clone().requires_grad_()
    (slope,) = torch.autograd.grad(value(Softmax(), v), v)
    torch.testing.assert_close(slope, torch.zeros_like(v), atol=1e-12, rtol=0)


def test_the_softmax_generator_is_content_where_the_distributions_agree() -> None:
    v = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    total = Softmax().generator(batch(v, P), batch(v, P))
    assert total.item() == pytest.approx(math.log(2 * TOTAL))


def test_the_optimum_of_relativistic_pairs_is_the_log_ratio() -> None:
    """Where each real point meets each fake one: C* = log(p / q), up to any constant."""
    real, fake = torch.cartesian_prod(torch.arange(5), torch.arange(5)).T
    times = (P[:, None] * Q).flatten()
    real, fake = real.repeat_interleave(times), fake.repeat_interleave(times)
    for constant in (0.0, -2.0):
        v = (RATIO.log() + constant).requires_grad_()
        (slope,) = torch.autograd.grad(Relativistic().discriminator(v[real], v[fake]), v)
        torch.testing.assert_close(slope, torch.zeros_like(v), atol=1e-12, rtol=0)


Curve = Callable[[Tensor], Tensor]
# f, and the output v at which g_f(v) is f'(u) (Nowozin et al. 2016, Eq. 5, Table 5).
F: dict[type[FDivergence], tuple[Curve, Curve]] = {
    ForwardKL: (lambda u: u * u.log(), lambda u: 1 + u.log()),
    ReverseKL: (lambda u: -u.log(), lambda u: u.log()),
    Pearson: (lambda u: (u - 1).square(), lambda u: 2 * (u - 1)),
    SquaredHellinger: (lambda u: (u.sqrt() - 1).square(), lambda u: u.log() / 2),
    JensenShannon: (
        lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log(),
        lambda u: u.log(),
    ),
}


def divergence(make: type[FDivergence], p: Tensor, q: Tensor) -> float:
    """From its own definition (Nowozin et al. 2016, Table 1), not by way of f."""
    a, b = p.numpy(), q.numpy()
    return {
        TotalVariation: lambda: 0.5 * np.abs(a - b).sum(),
        ForwardKL: lambda: (xlogy(a, a) - xlogy(a, b)).sum(),
        ReverseKL: lambda: (xlogy(b, b) - xlogy(b, a)).sum(),
        Pearson: lambda: ((a - b) ** 2 / b).sum(),
        SquaredHellinger: lambda: ((np.sqrt(a) - np.sqrt(b)) ** 2).sum(),
        JensenShannon: lambda: 2 * js(p, q),
    }[make]()


@pytest.mark.parametrize("make", F)
def test_each_f_gan_at_its_optimal_critic_is_its_divergence(make: type[FDivergence]) -> None:
    f, output = F[make]
    u = RATIO.clone().requires_grad_()
    (critic,) = torch.autograd.grad(f(u).sum(), u)  # T* = f'(p / q)
    v = output(RATIO)
    torch.testing.assert_close(make().activation(v), critic)
    assert -value(make(), v).item() == pytest.approx(divergence(make, p, q), rel=1e-12)
    assert_optimal(make(), v)


@pytest.mark.parametrize("make", F)
def test_an_optimal_output_lies_above_the_boundary_where_p_exceeds_q(
    make: type[FDivergence],
) -> None:
    v = F[make][1](RATIO)
    assert make.boundary is not None
    torch.testing.assert_close(v[RATIO == 1], torch.full_like(v[RATIO == 1], make.boundary))
    assert ((v > make.boundary) == (p > q)).all()
    if make.probabilistic:
        torch.testing.assert_close(v.sigmoid(), p / (p + q))


def test_total_variation_at_its_optimal_critic() -> None:
    """T* = sign(p - q) / 2, which tanh reaches to the last digit."""
    v = 40 * (p - q).sign()
    expected = divergence(TotalVariation, p, q)
    assert -value(TotalVariation(), v).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("make", [*F, TotalVariation])
def test_any_critic_gives_a_lower_bound(make: type[FDivergence]) -> None:
    """Nowozin et al. 2016, Eq. 4."""
    generator = torch.Generator().manual_seed(0)
    most = divergence(make, p, q) + 1e-12
    for v in 3 * torch.randn(100, 5, generator=generator, dtype=torch.float64):
        assert -value(make(), v).item() <= most


@pytest.mark.parametrize("make", F)
def test_the_conjugate_is_the_highest_line_over_f(make: type[FDivergence]) -> None:
    """f*(t) = sup over u of u t - f(u) (Nowozin et al. 2016, Eq. 2), by trying many u."""
    u = torch.logspace(-6, 4, 40001, dtype=torch.float64)
    v = torch.tensor([-1.5, -0.3, 0.0, 0.8, 1.7], dtype=torch.float64)
    t = make().activation(v)
    best = (u * t[:, None] - F[make][0](u)).amax(1)
    torch.testing.assert_close(make().conjugate(v), best, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", F)
def test_the_generators_slope_is_that_of_the_divergence(make: type[FDivergence]) -> None:
    """At T* the derivative of D_f(P || Q) by each q is -f*(T*): what G's loss says of each point,
    so that going down the loss goes down the divergence.
    """
    f, output = F[make]
    model = q.clone().requires_grad_()
    (slope,) = torch.autograd.grad((model * f(p / model)).sum(), model)
    v = output(RATIO)
    says = torch.stack([make().generator(one[None]) for one in v])
    torch.testing.assert_close(says, slope)
