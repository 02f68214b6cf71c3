"""Penalties on critics whose gradients are known."""

import pytest
import torch
from torch import Tensor, nn

from gan_cli.penalties import (
    DRAGAN,
    R1,
    R1R2,
    GradientPenalty,
    NoPenalty,
    OneSidedGradientPenalty,
    Orthogonal,
    Penalty,
    WeightClip,
    ZeroCentred,
    squared_gradient_norm,
)


def linear(slope: Tensor):
    """A critic f(x) = <slope, x>."""
    return lambda x: x.flatten(1) @ slope


X = torch.randn(16, 2, 3, 3, generator=torch.Generator().manual_seed(0))
Y = torch.randn(16, 2, 3, 3, generator=torch.Generator().manual_seed(1))
UNIT = torch.nn.functional.normalize(torch.arange(1.0, 19.0), dim=0)


def test_gradient_penalty_of_a_linear_critic_with_unit_slope_is_0() -> None:
    assert GradientPenalty()(linear(UNIT), X, Y).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("slope", [0.0, 0.5, 3.0])
def test_gradient_penalty_of_a_linear_critic(slope: float) -> None:
    value = GradientPenalty(weight=10.0)(linear(slope * UNIT), X, Y).item()
    assert value == pytest.approx(10 * (slope - 1) ** 2, rel=1e-4)


def test_gradient_penalty_with_another_target() -> None:
    value = GradientPenalty(weight=2.0, target=0.0)(linear(3 * UNIT), X, Y).item()
    assert value == pytest.approx(18.0, rel=1e-5)


def test_gradient_penalty_looks_between_the_pairs() -> None:
    seen = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    torch.manual_seed(0)
    GradientPenalty()(critic, X, Y)
    e = (seen[0] - Y) / (X - Y)
    each = e.flatten(1)
    torch.testing.assert_close(each, each[:, :1].expand_as(each), atol=1e-4, rtol=1e-3)
    assert each.min() >= 0
    assert each.max() <= 1
    assert each[:, 0].std() > 0.1  # one e for each pair, not one for all


def test_r1_of_a_quadratic_critic() -> None:
    # f(x) = |x|^2 / 2 has gradient x, so R1 = weight / 2 * mean |x|^2
    value = R1(weight=4.0)(lambda x: 0.5 * x.flatten(1).square().sum(1), X, Y).item()
    assert value == pytest.approx(2 * X.flatten(1).square().sum(1).mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("make", "flat", "low", "high"),
    [
        # weight 10 and slopes 0, .5 and 3
        (GradientPenalty, 10.0, 2.5, 40.0),
        (DRAGAN, 10.0, 2.5, 40.0),
        (OneSidedGradientPenalty, 0.0, 0.0, 40.0),
        (ZeroCentred, 0.0, 2.5, 90.0),
        (R1, 0.0, 1.25, 45.0),
        (R1R2, 0.0, 2.5, 90.0),
    ],
)
def test_golden_values_of_linear_critics(
    make: type[Penalty], flat: float, low: float, high: float
) -> None:
    for slope, expected in ((0.0, flat), (0.5, low), (3.0, high)):
        value = make(weight=10.0)(linear(slope * UNIT), X, Y).item()
        assert value == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_one_sided_penalty_leaves_gentle_samples_alone() -> None:
    """One steep sample does not make up for a gentle one: the mean is of what is cut at 0."""
    slopes = torch.tensor([0.2, 3.0])

    def critic(x: Tensor) -> Tensor:
        return slopes * x[:, 0]

    x = torch.ones(2, 3)
    value = OneSidedGradientPenalty(weight=1.0)(critic, x, x).item()
    assert value == pytest.approx((0 + 2**2) / 2)


def test_r1_r2_looks_at_both_kinds() -> None:
    def half_square(x: Tensor) -> Tensor:
        return 0.5 * x.flatten(1).square().sum(1)

    value = R1R2(weight=4.0)(half_square, X, 3 * Y).item()
    at = [x.flatten(1).square().sum(1).mean().item() for x in (X, 3 * Y)]
    assert value == pytest.approx(2 * (at[0] + at[1]), rel=1e-5)
    assert value == pytest.approx(
        R1(weight=4.0)(half_square, X, Y).item() + R1(weight=4.0)(half_square, 3 * Y, X).item()
    )


def test_dragan_looks_above_the_real_samples() -> None:
    """At x + e d with d from U[0, s / 2], s the deviation of all numbers, one e for each sample."""
    seen = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    torch.manual_seed(0)
    x = X.repeat(64, 1, 1, 1).double()
    DRAGAN()(critic, x, torch.full_like(x, torch.nan))  # fakes do not matter
    noise = ((seen[0] - x) / (0.5 * x.std(correction=0))).flatten(1)
    assert noise.min() >= 0
    assert noise.max() <= 1
    # Products of two independent U[0, 1] have mean 1/4; the share of e in a sample's mean is e / 2.
    spread = noise.mean(1)
    assert noise.mean().item() == pytest.approx(0.25, abs=4 * 0.15 / len(x) ** 0.5)
    assert spread.std() > 0.1  # one e for all would leave 0.07


def test_second_derivative_is_right() -> None:
    # |grad f|^2 for f(x) = a x^3 / 3 is a^2 x^4; its derivative by a is 2 a x^4.
    a = torch.tensor(1.5, requires_grad=True, dtype=torch.float32)
    x = torch.tensor([[2.0]])
    norm = squared_gradient_norm(lambda x: a * x[:, 0] ** 3 / 3, x)
    (slope,) = torch.autograd.grad(norm.sum(), a)
    assert norm.item() == pytest.approx(1.5**2 * 16)
    assert slope.item() == pytest.approx(2 * 1.5 * 16)


def test_weight_clip() -> None:
    critic = nn.Linear(3, 1)
    with torch.no_grad():
        critic.weight.copy_(torch.tensor([[-1.0, 0.005, 2.0]]))
    WeightClip(0.01).constrain(critic)
    torch.testing.assert_close(critic.weight.detach(), torch.tensor([[-0.01, 0.005, 0.01]]))
    assert critic.bias.abs().item() <= 0.01


def test_no_penalty() -> None:
    assert NoPenalty()(linear(UNIT), X, Y).item() == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WeightClip(0.0), "limit = 0: must be greater than 0"),
        (lambda: GradientPenalty(weight=-1.0), "weight = -1: must not be negative"),
        (lambda: GradientPenalty(target=-1.0), "target = -1: must not be negative"),
        (lambda: DRAGAN(target=-1.0), "target = -1: must not be negative"),
        (lambda: DRAGAN(spread=-1.0), "spread = -1: must not be negative"),
        (lambda: Orthogonal(weight=-1.0), "weight = -1: must not be negative"),
        (lambda: R1(every=0), "every = 0: must be at least 1"),
    ],
)
def test_absurd_values(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
