"""Penalties on the discriminator's gradient, taken in fp32 whatever the precision of the rest.

Norms are those of one sample's gradient over all its dimensions, and fakes are constants: none of
these terms reaches the generator.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import relu

from gan_cli.penalties.base import Penalty, Score


def constant(x: Tensor) -> Tensor:
    """Samples without their history, in fp32 (float64 stays)."""
    return x.detach().to(torch.promote_types(x.dtype, torch.float32))


def squared_gradient_norm(score: Score, x: Tensor) -> Tensor:
    """|grad_x score(x)|^2 of each sample, [n]; differentiable with respect to the weights."""
    with torch.autocast(x.device.type, enabled=False):
        x = constant(x).requires_grad_()
        (gradient,) = torch.autograd.grad(score(x).sum(), x, create_graph=True)
        return gradient.flatten(1).square().sum(1)


def gradient_norm(score: Score, x: Tensor) -> Tensor:
    """|grad_x score(x)| of each sample, [n]; differentiable with respect to the weights."""
    # The root's slope is infinite at 0, where a gradient that is exactly 0 would give NaN.
    return (squared_gradient_norm(score, x) + 1e-12).sqrt()


def between(real: Tensor, fake: Tensor) -> Tensor:
    """x^ = e x + (1 - e) G(z) with one e from U[0, 1] for each pair (Gulrajani et al. 2017)."""
    real, fake = constant(real), constant(fake)
    return fake + _uniform(real) * (real - fake)


def _uniform(x: Tensor) -> Tensor:
    """One number from U[0, 1] for each sample, [n, 1, ...]."""
    return torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device, dtype=x.dtype)


class GradientPenalty(Penalty):
    """weight * E[(|grad f(x^)| - target)^2] between the samples (Gulrajani et al. 2017, Eq. 3)."""

    name = "gradient_penalty"
    lipschitz = True
    per_sample = True
    at_fakes = True

    def __init__(
        self, weight: float = 10.0, target: float = 1.0, every: int = 1, rescale: bool = False
    ) -> None:
        super().__init__(weight, every, rescale)
        if target < 0:
            raise ValueError(f"target = {target:g}: must not be negative")
        self.target = target

    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        norm = gradient_norm(score, between(real, fake))
        return self.weight * (norm - self.target).square().mean()


class OneSidedGradientPenalty(Penalty):
    """weight * E[max(0, |grad f(x^)| - 1)^2] between the samples: slopes below 1 are free.

    Gulrajani et al. 2017, section 4, "two-sided penalty"; WGAN-LP in Petzka et al. 2018.
    """

    name = "one_sided_gradient_penalty"
    lipschitz = True
    per_sample = True
    at_fakes = True

    def __init__(self, weight: float = 10.0, every: int = 1, rescale: bool = False) -> None:
        super().__init__(weight, every, rescale)

    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        norm = gradient_norm(score, between(real, fake))
        return self.weight * relu(norm - 1).square().mean()


class ZeroCentred(Penalty):
    """weight * E[|grad D(x^)|^2] between the samples (0-GP, Thanh-Tung et al. 2019).

    Of the raw output; the authors take the gradient of its sigmoid.
    """

    name = "zero_centred"
    lipschitz = True
    per_sample = True
    at_fakes = True

    def __init__(self, weight: float = 10.0, every: int = 1, rescale: bool = False) -> None:
        super().__init__(weight, every, rescale)

    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        return self.weight * squared_gradient_norm(score, between(real, fake)).mean()


class R1(Penalty):
    """weight / 2 * E[|grad D(x)|^2] at real samples (Mescheder et al. 2018, Eq. 9)."""

    name = "r1"
    per_sample = True

    def __init__(self, weight: float = 10.0, every: int = 1, rescale: bool = False) -> None:
        super().__init__(weight, every, rescale)

    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * self.weight * squared_gradient_norm(score, real).mean()


class R1R2(Penalty):
    """weight / 2 * (E[|grad D(x)|^2] + E[|grad D(G(z))|^2]) at real and at fake samples.

    Mescheder et al. 2018, Eq. 9 and 10, together as in R3GAN (Huang et al. 2024); at first, with
    weights that depend on D's confidence, Roth et al. 2017.
    """

    name = "r1_r2"
    per_sample = True
    at_fakes = True

    def __init__(self, weight: float = 10.0, every: int = 1, rescale: bool = False) -> None:
        super().__init__(weight, every, rescale)

    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        at_real = squared_gradient_norm(score, real).mean()
        return 0.5 * self.weight * (at_real + squared_gradient_norm(score, fake).mean())


class DRAGAN(Penalty):
    """weight * E[(|grad D(x + e d)| - target)^2] around the real samples (Kodali et al. 2017).

    d is from U[0, spread * s] in each dimension, with s the deviation of all numbers of the batch,
    and e from U[0, 1] for each sample: the authors' code. Their paper has N(0, c I) instead, with a
    c that depends on the range of the data.

    Args:
        weight: lambda in the paper.
        target: k there.
        spread: of the noise, in deviations of the data.
        every: as in `Penalty`.
        rescale: as there.
    """

    name = "dragan"
    per_sample = True
    whole_batch = True  # the deviation s

    def __init__(
        self,
        weight: float = 10.0,
        target: float = 1.0,
        spread: float = 0.5,
        every: int = 1,
        rescale: bool = False,
    ) -> None:
        super().__init__(weight, every, rescale)
        if target < 0:
            raise ValueError(f"target = {target:g}: must not be negative")
        if spread < 0:
            raise ValueError(f"spread = {spread:g}: must not be negative")
        self.target, self.spread = target, spread

    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        x = constant(real)
        noise = self.spread * x.std(correction=0) * torch.rand_like(x)
        norm = gradient_norm(score, x + _uniform(x) * noise)
        return self.weight * (norm - self.target).square().mean()
