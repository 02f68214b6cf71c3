"""Regularisation of a discriminator by its outputs: LeCam and consistency."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from gan_cli.augment import augment

DECAY = 0.99  # of LeCam's anchors, as in the authors' code


class LeCam(nn.Module):
    """weight * (E[max(0, D(x) - a_F)^2] + E[max(0, a_R - D(G(z)))^2]).

    Tseng et al. 2021, Eq. 4, with the rectifiers of their code. The anchors a_R and a_F are
    running means of D's outputs on real samples and fakes over the earlier updates; until `start`
    of these the term is 0, and the anchors are the outputs of the last update.

    Args:
        weight: lambda in the paper; .3 for BigGAN on CIFAR-10.
        start: updates of the discriminator before the term counts; 1,000 steps in their code.
    """

    of_samples = ("anchors",)
    anchors: Tensor  # of real samples and of fakes, [2]
    count: Tensor  # updates so far

    def __init__(self, weight: float, start: int) -> None:
        super().__init__()
        self.weight, self.start = weight, start
        self.register_buffer("anchors", torch.zeros(2))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """The weighted term on outputs [n], a scalar; then takes them in."""
        of_real, of_fake = self.anchors.clone()
        term = relu(real.float() - of_fake).square().mean()
        term = term + relu(of_real - fake.float()).square().mean()
        with torch.no_grad():
            started = self.count >= self.start
            means = torch.stack([real.detach().float().mean(), fake.detach().float().mean()])
            rate = torch.where(started, 1 - DECAY, 1.0)
            self.anchors.add_(rate * (means - self.anchors))
            self.count.add_(1)
        return self.weight * started * term


class Consistency:
    """E[(D(x) - D(T(x)))^2] for a random transformation T that keeps what an image shows.

    Zhang et al. 2020 (CR), Eq. 4, on real images; Zhao et al. 2021 (balanced CR), Algorithm 1, on
    fakes as well.

    Args:
        real: weight on real images; 10 in both papers.
        fake: on fakes; 10 in the second.
        policies: of `gan_cli.augment`, whose product is T.
    """

    def __init__(self, real: float, fake: float, policies: Sequence[str]) -> None:
        self.real, self.fake, self.policies = real, fake, tuple(policies)

    def __bool__(self) -> bool:
        return bool(self.real or self.fake)

    def __call__(self, score: Callable[[Tensor], Tensor], x: Tensor, output: Tensor) -> Tensor:
        """The mean square, a scalar.

        Args:
            score: the discriminator as a function of images.
            x: images [n, channels, height, width].
            output: its output on them, [n].
        """
        return (score(augment(x, self.policies)) - output).square().mean()


def top_share(step: int, least: float, decay: float, every: int) -> float:
    """The share of fakes that a generator learns from at `step` (Sinha et al. 2020, section 3.2).

    It begins at 1 and falls by the factor `decay` after `every` steps, down to `least`.
    """
    return max(least, decay ** (step // every))
