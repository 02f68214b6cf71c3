"""Penalties that keep a discriminator smooth: on its gradient, and limits on its weights.

A penalty is called with the discriminator as a function of samples and returns a scalar that is
added to its loss; `regularise` does so with its weights, and `constrain` runs after each of its
updates.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

Score = Callable[[Tensor], Tensor]


class Penalty(ABC):
    """A constraint on the discriminator.

    Args:
        weight: factor of the term in the loss.
        every: only after every n-th of the discriminator's updates, then n times as strong, as an
            update of its own (lazy regularisation, Karras et al. 2020, section 4.1, appendix B).
        rescale: where `every` > 1, the discriminator's learning rate is times c = n / (n + 1) and
            its Adam's betas are to the power c, as there, since n + 1 updates stand for n.
    """

    name = ""  # of the term, for its curve; empty where there is no term
    lipschitz = False  # whether it bounds the critic's slope, as the Wasserstein loss requires
    per_sample = False  # whether it uses the gradient of each sample, which batch norm mixes
    at_fakes = False  # whether it uses fakes too
    whole_batch = False  # whether it is more than a mean over samples
    at_start = False  # whether new weights are projected before the first update as well
    changes = False  # whether its weight depends on the run's step
    on_weights = False  # whether it has a term of the weights themselves ...
    of: Literal["generator", "discriminator", "both"] = "discriminator"  # ... and of whose

    def __init__(self, weight: float = 0.0, every: int = 1, rescale: bool = False) -> None:
        if weight < 0:
            raise ValueError(f"weight = {weight:g}: must not be negative")
        if every < 1:
            raise ValueError(f"every = {every}: must be at least 1")
        self.weight, self.every, self.rescale = weight, every, rescale

    @abstractmethod
    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        """The weighted term, a scalar; `real` and `fake` are samples [n, *shape]."""

    def regularise(self, network: nn.Module) -> Tensor:
        """The weighted term of the weights of `of`, a scalar; only where `on_weights`."""
        raise NotImplementedError(f"{type(self).__name__} has no term of the weights")

    def constrain(self, discriminator: nn.Module) -> None:
        """Project the weights, after an update."""
        return

    def set_step(self, step: int) -> None:
        """Set the weight to that of `step`, counted from 0; only where it `changes`."""
        return


class WeightPenalty(Penalty, ABC):
    """A constraint on the weights alone."""

    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        return real.new_zeros(())


class NoPenalty(WeightPenalty):
    """No constraint."""

    def __init__(self) -> None:
        super().__init__()


def constant(x: Tensor) -> Tensor:
    """Detached samples, in fp32 (float64 stays)."""
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

    Of the raw output; the authors' code takes the gradient of its sigmoid.
    """

    name = "zero_centred"
    lipschitz = True
    per_sample = True
    at_fakes = True

    def __init__(self, weight: float = 10.0, every: int = 1, rescale: bool = False) -> None:
        super().__init__(weight, every, rescale)

    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        return self.weight * squared_gradient_norm(score, between(real, fake)).mean()


class WassersteinDivergence(Penalty):
    """weight * E[|grad f(x^)|^power] between the samples (WGAN-div, Wu et al. 2018, Eq. 6).

    With the Wasserstein loss it is a divergence, with no constraint on the critic's slope; 2 and 6
    in the paper.
    """

    name = "wgan_div"
    lipschitz = True
    per_sample = True
    at_fakes = True

    def __init__(
        self, weight: float = 2.0, power: float = 6.0, every: int = 1, rescale: bool = False
    ) -> None:
        super().__init__(weight, every, rescale)
        if power <= 1:
            raise ValueError(f"power = {power:g}: must be above 1")
        self.power = power

    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        squared = squared_gradient_norm(score, between(real, fake)) + 1e-12
        return self.weight * squared.pow(self.power / 2).mean()


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

    Args:
        weight: gamma in the paper.
        every: as in `Penalty`.
        rescale: as there.
        final_weight: that the weight reaches as half a cosine, as in the authors' code; None: it
            stays.
        weight_steps: the steps that this takes.
    """

    name = "r1_r2"
    per_sample = True
    at_fakes = True

    def __init__(
        self,
        weight: float = 10.0,
        every: int = 1,
        rescale: bool = False,
        final_weight: float | None = None,
        weight_steps: int = 10_000,
    ) -> None:
        super().__init__(weight, every, rescale)
        if final_weight is not None and final_weight < 0:
            raise ValueError(f"final_weight = {final_weight:g}: must not be negative")
        if weight_steps < 1:
            raise ValueError(f"weight_steps = {weight_steps}: must be at least 1")
        self.first, self.final, self.steps = weight, final_weight, weight_steps
        self.changes = final_weight is not None

    def set_step(self, step: int) -> None:
        if self.final is not None:
            left = 0.5 * (1 + math.cos(math.pi * min(step / self.steps, 1.0)))
            self.weight = self.final + (self.first - self.final) * left

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


class WeightClip(WeightPenalty):
    """Every parameter is kept in [-limit, limit] (Arjovsky et al. 2017, Algorithm 1, line 7).

    Args:
        limit: c in the paper.
        at_start: before the first update too, as in the authors' code. Without it the gradient of
            the first is hundreds of times as large as later ones, so that RMSprop's steps are small
            for hundreds of updates.
    """

    lipschitz = True

    def __init__(self, limit: float = 0.01, at_start: bool = False) -> None:
        super().__init__()
        self.at_start = at_start
        if limit <= 0:
            raise ValueError(f"limit = {limit:g}: must be greater than 0")
        self.limit = limit

    @torch.no_grad()
    def constrain(self, discriminator: nn.Module) -> None:
        for parameter in discriminator.parameters():
            parameter.clamp_(-self.limit, self.limit)


class Orthogonal(WeightPenalty):
    """weight * sum over layers of |W W^T o (1 - I)|_F^2 (Brock et al. 2019, Eq. 3).

    The rows of W are a layer's filters, flattened: different ones are to be orthogonal, and their
    norms stay free. It covers every parameter of two or more dimensions except embeddings of
    classes, as in the authors' code, which adds half of this term's gradient.

    Args:
        weight: beta in the paper.
        diagonal: I instead of its mask, |W W^T - I|_F^2, so that norms are to be 1 (Brock et al.
            2017; Eq. 2 in the paper of 2019).
        every: as in `Penalty`.
        rescale: as there.
        of: "generator", as in the paper, "discriminator" or "both".
    """

    name = "orthogonal"
    on_weights = True

    def __init__(
        self,
        weight: float = 1e-4,
        diagonal: bool = False,
        every: int = 1,
        rescale: bool = False,
        of: Literal["generator", "discriminator", "both"] = "discriminator",
    ) -> None:
        super().__init__(weight, every, rescale)
        if of != "discriminator" and every > 1:
            raise ValueError(
                f"every = {every}: must be 1 with penalty.of = {of}; set penalty.every=1, or "
                "penalty.of=discriminator"
            )
        self.diagonal, self.of = diagonal, of

    def regularise(self, network: nn.Module) -> Tensor:
        embeddings = [m for m in network.modules() if isinstance(m, nn.Embedding)]
        spared = {id(p) for module in embeddings for p in module.parameters()}
        weights = (p for p in network.parameters() if id(p) not in spared)
        tables = [p.flatten(1) for p in weights if p.dim() > 1]
        if not tables:
            owner = "network" if self.of == "both" else self.of
            raise ValueError(f"penalty = orthogonal: the {owner} has no weight matrices")
        return self.weight * torch.stack([self._skewness(table) for table in tables]).sum()

    def _skewness(self, table: Tensor) -> Tensor:
        with torch.autocast(table.device.type, enabled=False):
            products = table @ table.T
            wanted = torch.ones_like(table[:, 0]) if self.diagonal else products.diag()
            return (products - wanted.diag()).square().sum()
