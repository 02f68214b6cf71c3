"""Penalties on critics whose gradients are known."""

from collections.abc import Callable

import pytest
import torch
from every import PENALTIES
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


GRADIENTS = [kind for kind in PENALTIES if kind.per_sample]


def test_there_are_penalties_on_gradients() -> None:
    assert len(GRADIENTS) >= 6


EXPECTED: dict[type[Penalty], Callable[[float, float], float]] = {
    GradientPenalty: lambda real, fake: 10 * (real - 1) ** 2,
    OneSidedGradientPenalty: lambda real, fake: 10 * max(0.0, real - 1) ** 2,
    ZeroCentred: lambda real, fake: 10 * real**2,
    DRAGAN: lambda real, fake: 10 * (real - 1) ** 2,
    R1: lambda real, fake: 5 * real**2,
    R1R2: lambda real, fake: 5 * (real**2 + fake**2),
}


@pytest.mark.parametrize("make", GRADIENTS)
def test_the_norm_is_of_each_sample_over_all_its_dimensions(make: type[Penalty]) -> None:
    """f(x) = |x|^2 / 2 has the gradient x: norms of 0.1, 0.5, 2 and 4 at the four samples."""
    norms = [0.1, 0.5, 2.0, 4.0]
    x = nn.functional.normalize(X[:4].double().flatten(1)).view(4, 2, 3, 3)
    x = x * torch.tensor(norms).view(4, 1, 1, 1)
    penalty = make(spread=0.0) if make is DRAGAN else make()
    penalty.weight = 10.0
    # Where real and fake are the same, so is all between them.
    value = penalty(lambda x: 0.5 * x.flatten(1).square().sum(1), x, x.clone()).item()
    expected = sum(EXPECTED[make](norm, norm) for norm in norms) / 4
    assert value == pytest.approx(expected, rel=1e-6)


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


@pytest.mark.parametrize("make", PENALTIES)
def test_no_penalty_trains_the_generator(make: type[Penalty]) -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(18, 5), nn.Tanh(), nn.Linear(5, 1))
    generator = nn.Linear(4, 18)
    real = X.clone().requires_grad_()
    fake = generator(torch.randn(16, 4)).view(16, 2, 3, 3)
    penalty = make()
    term = penalty(lambda x: 20 * critic(x).squeeze(1), real, fake)  # steep, for all to mind
    if penalty.on_weights:
        term = term + penalty.regularise(critic)
    if penalty.name:
        term.backward()
        assert critic[1].weight.grad.abs().sum() > 0  # type: ignore[union-attr]
    else:
        assert not term.requires_grad
    assert real.grad is None
    assert generator.weight.grad is None


@pytest.mark.parametrize("make", GRADIENTS)
def test_gradients_by_the_weights_are_those_of_finite_differences(make: type[Penalty]) -> None:
    """That is, second derivatives of the critic, and their own gradients too."""
    real, fake = X[:3].double(), Y[:3].double()
    first = torch.randn(18, 3, generator=torch.Generator().manual_seed(2)).double() / 2
    second = torch.tensor([1.0, -2.0, 1.5], dtype=torch.float64)

    def term(first: Tensor, second: Tensor) -> Tensor:
        torch.manual_seed(0)
        return make()(lambda x: (x.flatten(1) @ first).tanh() @ second, real, fake)

    weights = (first.requires_grad_(), second.requires_grad_())
    assert torch.autograd.gradcheck(term, weights, fast_mode=True)
    assert torch.autograd.gradgradcheck(term, weights, fast_mode=True)


def test_second_derivative_is_right() -> None:
    # |grad f|^2 for f(x) = a x^3 / 3 is a^2 x^4; its derivative by a is 2 a x^4.
    a = torch.tensor(1.5, requires_grad=True, dtype=torch.float32)
    x = torch.tensor([[2.0]])
    norm = squared_gradient_norm(lambda x: a * x[:, 0] ** 3 / 3, x)
    (slope,) = torch.autograd.grad(norm.sum(), a)
    assert norm.item() == pytest.approx(1.5**2 * 16)
    assert slope.item() == pytest.approx(2 * 1.5 * 16)


@pytest.mark.parametrize("make", GRADIENTS)
def test_a_flat_critic_gives_a_finite_gradient(make: type[Penalty]) -> None:
    weight = torch.zeros(18, requires_grad=True)
    make()(linear(weight), X, Y).backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


@pytest.mark.parametrize("make", GRADIENTS)
def test_penalties_are_computed_in_fp32_under_autocast(make: type[Penalty]) -> None:
    seen = []

    def critic(x: Tensor) -> Tensor:
        value = x.flatten(1) @ UNIT[:, None]
        seen.append(value.dtype)
        return value.squeeze(1)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = make()(critic, X, Y.bfloat16())
    assert set(seen) == {torch.float32}
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(make()(linear(UNIT), X, Y).item(), abs=1e-5)


def test_who_bounds_the_slope_and_who_looks_at_single_samples() -> None:
    """The warnings about contradictions go by these.

    Between the samples a penalty bounds the difference of their outputs, as the slope integrates
    to it; at or around samples alone the critic may jump in between.
    """
    assert {kind for kind in PENALTIES if kind.lipschitz} == {
        GradientPenalty,
        OneSidedGradientPenalty,
        WeightClip,
        ZeroCentred,
    }
    assert set(PENALTIES) - set(GRADIENTS) == {NoPenalty, Orthogonal, WeightClip}
    assert [kind for kind in PENALTIES if kind.on_weights] == [Orthogonal]
    names = [kind.name for kind in PENALTIES if kind.name]
    assert len(names) == len(set(names))


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
        (lambda: WeightClip(0.0), "limit = 0.0: must be greater than 0"),
        (lambda: GradientPenalty(weight=-1.0), "weight = -1.0: must not be negative"),
        (lambda: GradientPenalty(target=-1.0), "target = -1.0: must not be negative"),
        (lambda: DRAGAN(target=-1.0), "target = -1.0: must not be negative"),
        (lambda: DRAGAN(spread=-1.0), "spread = -1.0: must not be negative"),
        (lambda: Orthogonal(weight=-1.0), "weight = -1.0: must not be negative"),
        (lambda: R1(every=0), "every = 0: must be at least 1"),
    ],
)
def test_absurd_values(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
