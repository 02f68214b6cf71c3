"""What keeps a discriminator smooth: penalties on its gradient, limits on its weights.

A penalty is called with the discriminator as a function of samples and returns a scalar to be
added to its loss; `constrain` runs after each of its updates. Gradients are taken in fp32 whatever
the precision of the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

Score = Callable[[Tensor], Tensor]


def squared_gradient_norm(score: Score, x: Tensor) -> Tensor:
    """|grad_x score(x)|^2 of each sample, [n]; differentiable with respect to the weights."""
    with torch.autocast(x.device.type, enabled=False):
        x = x.detach().float().requires_grad_()
        (gradient,) = torch.autograd.grad(score(x).sum(), x, create_graph=True)
        return gradient.flatten(1).square().sum(1)


class Penalty(ABC):
    """A constraint on the discriminator.

    Args:
        weight: factor of the term in the loss.
        every: only on every n-th step, then n times as strong (lazy regularisation,
            Karras et al. 2020, section 4.1, appendix B).
    """

    name = ""  # of the term, for its curve; empty where there is no term
    lipschitz = False  # whether it bounds the critic's slope, as the Wasserstein loss requires
    per_sample = False  # whether it looks at one sample's gradient, which batch norm mixes

    def __init__(self, weight: float = 0.0, every: int = 1) -> None:
        if weight < 0:
            raise ValueError(f"weight = {weight}: must not be negative")
        if every < 1:
            raise ValueError(f"every = {every}: must be at least 1")
        self.weight, self.every = weight, every

    @abstractmethod
    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        """The weighted term, a scalar; `real` and `fake` are samples [n, *shape]."""

    def constrain(self, discriminator: nn.Module) -> None:
        """Project the weights, after an update."""
        return


class NoPenalty(Penalty):
    """No constraint at all."""

    def __init__(self) -> None:
        super().__init__()

    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        return real.new_zeros(())


class WeightClip(Penalty):
    """Every parameter is kept in [-limit, limit] (Arjovsky et al. 2017, Algorithm 1, line 7)."""

    lipschitz = True

    def __init__(self, limit: float = 0.01) -> None:
        super().__init__()
        if limit <= 0:
            raise ValueError(f"limit = {limit}: must be greater than 0")
        self.limit = limit

    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        return real.new_zeros(())

    @torch.no_grad()
    def constrain(self, discriminator: nn.Module) -> None:
        for parameter in discriminator.parameters():
            parameter.clamp_(-self.limit, self.limit)


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
