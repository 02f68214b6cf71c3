"""f-GAN losses on hand-computed numbers and against the table of their paper."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gan_cli.losses import (
    FDivergence,
    ForwardKL,
    JensenShannon,
    Minimax,
    NonSaturating,
    Pearson,
    ReverseKL,
    SquaredHellinger,
    TotalVariation,
)

REAL = torch.tensor([2.0, -1.0])
FAKE = torch.tensor([0.5, -3.0])
CROSS_ENTROPY = (0.126928 + 1.313262) / 2 + (0.974077 + 0.048587) / 2
LOG2 = 0.693147


@pytest.mark.parametrize(
    ("make", "discriminator", "generator", "alternative"),
    [
        # tanh: .964028, -.761594; .462117, -.995055
        (TotalVariation, (-0.532938 - 0.202434) / 4, 0.532938 / 4, 0.532938 / 4),
        # e^-.5 = .606531, e^-4 = .018316
        (ForwardKL, 0.624847 / 2 - 0.5, -0.624847 / 2, 1.25),
        # e^-2 = .135335, e^1 = 2.718282; v - 1: -.5, -4; e^-.5 = .606531, e^3 = 20.085537
        (ReverseKL, -2.25 + 2.853617 / 2, 2.25, 20.692068 / 2),
        # .25/4 + .5 = .5625, 9/4 - 3 = -.75
        (Pearson, -0.1875 / 2 - 0.5, 0.1875 / 2, 1.25),
        # e^.5 - 1 = .648721, e^-3 - 1 = -.950213; 1 - e^-2 = .864665, 1 - e = -1.718282
        (SquaredHellinger, (-0.301492 + 0.853617) / 2, 0.301492 / 2, (20.692068 - 2) / 2),
        # the original game less log 2 for each term
        (
            JensenShannon,
            CROSS_ENTROPY - 2 * LOG2,
            LOG2 - (0.974077 + 0.048587) / 2,
            (0.474077 + 3.048587) / 2 - LOG2,
        ),
    ],
)
def test_golden_values(
    make: Callable[..., FDivergence], discriminator: float, generator: float, alternative: float
) -> None:
    assert make().discriminator(REAL, FAKE).item() == pytest.approx(discriminator, abs=2e-6)
    assert make().generator(FAKE, REAL).item() == pytest.approx(generator, abs=2e-6)
    other = make(alternative=True)
    assert other.discriminator(REAL, FAKE).item() == pytest.approx(discriminator, abs=2e-6)
    assert other.generator(FAKE, REAL).item() == pytest.approx(alternative, abs=5e-6)


# g_f and f* as Tables 2 and 6 of Nowozin et al. 2016 print them, and f' at 1.
TABLE: dict[type[FDivergence], tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], float]]
TABLE = {
    TotalVariation: (lambda v: 0.5 * torch.tanh(v), lambda t: t, 0.0),
    ForwardKL: (lambda v: v, lambda t: torch.exp(t - 1), 1.0),
    ReverseKL: (lambda v: -torch.exp(-v), lambda t: -1 - torch.log(-t), -1.0),
    Pearson: (lambda v: v, lambda t: 0.25 * t**2 + t, 0.0),
    SquaredHellinger: (lambda v: 1 - torch.exp(-v), lambda t: t / (1 - t), 0.0),
    JensenShannon: (
        lambda v: math.log(2) - torch.log(1 + torch.exp(-v)),
        lambda t: -torch.log(2 - torch.exp(t)),
        0.0,
    ),
}


@pytest.mark.parametrize("make", TABLE)
def test_the_papers_table_in_float64(make: type[FDivergence]) -> None:
    activation, conjugate, middle = TABLE[make]
    v = torch.linspace(-8, 8, 101, dtype=torch.float64)
    torch.testing.assert_close(make().activation(v), activation(v))
    torch.testing.assert_close(make().conjugate(v), conjugate(activation(v)), rtol=1e-6, atol=1e-9)
    # Outputs above the boundary say that p exceeds q (section 2.4: T = f'(1) is the threshold).
    boundary = torch.tensor(make.boundary, dtype=torch.float64)
    assert activation(boundary).item() == pytest.approx(middle, abs=1e-12)


@pytest.mark.parametrize("make", TABLE)
def test_activations_and_conjugates_rise(make: type[FDivergence]) -> None:
    v = torch.linspace(-60, 60, 241, dtype=torch.float64)
    if make is Pearson:  # below -2 its conjugate belongs to negative ratios
        v = v[v >= -2]
    if make in (TotalVariation, JensenShannon):  # flat to the last digit farther out
        v = v[v.abs() < 15]
    assert (make().activation(v).diff() > 0).all()
    assert (make().conjugate(v).diff() > 0).all()


@pytest.mark.parametrize("make", [ForwardKL, ReverseKL, SquaredHellinger])
def test_the_conjugate_fits_the_activation_where_both_are_tamed(make: type[FDivergence]) -> None:
    """Beyond |v| = 20 the activation is another one, and f* of it is still f* of it."""
    v = torch.tensor([-100.0, -30.0, -21.0, 21.0, 30.0], dtype=torch.float64)
    if make is SquaredHellinger:  # 1 - t has no digits left where t is 1 - e^-20
        v = v[v < 0]
    t = make().activation(v)
    torch.testing.assert_close(make().conjugate(v), TABLE[make][1](t), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("make", TABLE)
def test_gradients_are_those_of_finite_differences(make: type[FDivergence]) -> None:
    v = torch.tensor([-22.0, -0.4, 0.3, 5.0, 25.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(make().activation, (v,), rtol=1e-4)
    assert torch.autograd.gradcheck(make().conjugate, (v,), rtol=1e-4)
    near = v.detach()[1:4].requires_grad_()
    assert torch.autograd.gradcheck(make(alternative=True).generator, (near,))


@pytest.mark.parametrize("make", [ForwardKL, ReverseKL, SquaredHellinger, Pearson])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_powers_are_computed_in_fp32(make: type[FDivergence], dtype: torch.dtype) -> None:
    """e^15 is beyond what 16 bits hold, and so are squares of 300."""
    real, fake = torch.tensor([-15.0]).to(dtype), torch.tensor([15.0]).to(dtype)
    if make is Pearson:
        real, fake = 20 * real, 20 * fake
    total = make().discriminator(real, fake)
    assert total.isfinite()
    torch.testing.assert_close(
        total.float(), make().discriminator(real.float(), fake.float()), rtol=1e-3, atol=0
    )


def test_jensen_shannon_is_the_original_game_but_for_a_constant() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(50).double() * 3, torch.randn(50).double() * 3
    gap = 2 * math.log(2)
    loss = JensenShannon()
    expected = Minimax().discriminator(real, fake) - gap
    torch.testing.assert_close(loss.discriminator(real, fake), expected)
    torch.testing.assert_close(loss.generator(fake), Minimax().generator(fake) + gap / 2)
    torch.testing.assert_close(
        JensenShannon(alternative=True).generator(fake), NonSaturating().generator(fake) - gap / 2
    )
