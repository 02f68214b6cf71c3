"""Penalties on critics whose gradients are known."""

import pytest
import torch
from torch import Tensor, nn

from gan_cli.penalties import R1, GradientPenalty, NoPenalty, WeightClip, squared_gradient_norm


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


def test_penalties_reach_the_weights_and_not_the_samples() -> None:
    critic = nn.Sequential(nn.Flatten(), nn.Linear(18, 5), nn.Tanh(), nn.Linear(5, 1))
    real, fake = X.clone().requires_grad_(), Y.clone().requires_grad_()
    for penalty in (GradientPenalty(), R1()):
        critic.zero_grad()
        penalty(lambda x: critic(x).squeeze(1), real, fake).backward()
        assert critic[1].weight.grad.abs().sum() > 0  # type: ignore[union-attr]
        assert real.grad is None
        assert fake.grad is None


def test_second_derivative_is_right() -> None:
    # |grad f|^2 for f(x) = a x^3 / 3 is a^2 x^4; its derivative by a is 2 a x^4.
    a = torch.tensor(1.5, requires_grad=True, dtype=torch.float32)
    x = torch.tensor([[2.0]])
    norm = squared_gradient_norm(lambda x: a * x[:, 0] ** 3 / 3, x)
    (slope,) = torch.autograd.grad(norm.sum(), a)
    assert norm.item() == pytest.approx(1.5**2 * 16)
    assert slope.item() == pytest.approx(2 * 1.5 * 16)


def test_a_flat_critic_gives_a_finite_gradient() -> None:
    weight = torch.zeros(18, requires_grad=True)
    GradientPenalty()(linear(weight), X, Y).backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


def test_penalties_are_computed_in_fp32_under_autocast() -> None:
    seen = []

    def critic(x: Tensor) -> Tensor:
        value = x.flatten(1) @ UNIT[:, None]
        seen.append(value.dtype)
        return value.squeeze(1)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = GradientPenalty()(critic, X, Y)
        R1()(critic, X, Y)
    assert seen == [torch.float32, torch.float32]
    assert value.item() == pytest.approx(0, abs=1e-9)


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
        (lambda: R1(every=0), "every = 0: must be at least 1"),
    ],
)
def test_absurd_values(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
