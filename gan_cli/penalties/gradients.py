"""Penalties on the discriminator's gradient, taken in fp32 whatever the precision of the rest."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_cli.penalties.base import Penalty, Score


def squared_gradient_norm(score: Score, x: Tensor) -> Tensor:
    """|grad_x score(x)|^2 of each sample, [n]; differentiable with respect to the weights."""
    with torch.autocast(x.device.type, enabled=False):
        x = x.detach().float().requires_grad_()
        (gradient,) = torch.autograd.grad(score(x).sum(), x, create_graph=True)
        return gradient.flatten(1).square().sum(1)


class GradientPenalty(Penalty):
    """weight * E[(|grad f(x^)| - target)^2] (Gulrajani et al. 2017, Eq. 3).

    x^ = e x + (1 - e) G(z) with one e from U[0, 1] for each pair.
    """

    name = "gradient_penalty"
    lipschitz = True
    per_sample = True

    def __init__(self, weight: float = 10.0, target: float = 1.0, every: int = 1) -> None:
        super().__init__(weight, every)
        if target < 0:
            raise ValueError(f"target = {target}: must not be negative")
        self.target = target

    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        e = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
        between = fake.detach().float() + e * (real.float() - fake.detach().float())
        # The root's slope is infinite at 0, where a gradient that is exactly 0 would give NaN.
        norm = (squared_gradient_norm(score, between) + 1e-12).sqrt()
        return self.weight * (norm - self.target).square().mean()


class R1(Penalty):
    """weight / 2 * E[|grad D(x)|^2] at real samples (Mescheder et al. 2018, Eq. 9)."""

    name = "r1"
    per_sample = True

    def __init__(self, weight: float = 10.0, every: int = 1) -> None:
        super().__init__(weight, every)

    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * self.weight * squared_gradient_norm(score, real).mean()
