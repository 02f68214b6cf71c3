"""What holds for every penalty alike."""

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
    WassersteinDivergence,
    WeightClip,
    ZeroCentred,
)


def linear(slope: Tensor):
    """A critic f(x) = <slope, x>."""
    return lambda x: x.flatten(1) @ slope


X = torch.randn(16, 2, 3, 3, generator=torch.Generator().manual_seed(0))
Y = torch.randn(16, 2, 3, 3, generator=torch.Generator().manual_seed(1))
UNIT = nn.functional.normalize(torch.arange(1.0, 19.0), dim=0)


GRADIENTS = [kind for kind in PENALTIES if kind.per_sample]


def test_there_are_penalties_on_gradients() -> None:
    assert len(GRADIENTS) >= 6


EXPECTED: dict[type[Penalty], Callable[[float, float], float]] = {
    GradientPenalty: lambda real, fake: 10 * (real - 1) ** 2,
    OneSidedGradientPenalty: lambda real, fake: 10 * max(0.0, real - 1) ** 2,
    ZeroCentred: lambda real, fake: 10 * real**2,
    DRAGAN: lambda real, fake: 10 * (real - 1) ** 2,
    WassersteinDivergence: lambda real, fake: 10 * real**6,
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
        WassersteinDivergence,
        WeightClip,
        ZeroCentred,
    }
    assert set(PENALTIES) - set(GRADIENTS) == {NoPenalty, Orthogonal, WeightClip}
    assert [kind for kind in PENALTIES if kind.on_weights] == [Orthogonal]
    names = [kind.name for kind in PENALTIES if kind.name]
    assert len(names) == len(set(names))
