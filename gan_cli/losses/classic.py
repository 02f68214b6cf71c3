"""The losses of the first GANs, which look at one output at a time."""

from __future__ import annotations

import math
from abc import ABC

from torch import Tensor
from torch.nn.functional import relu, softplus

from gan_cli.losses.base import AdversarialLoss


def cross_entropy(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """-E[log D(x)] - E[log(1 - D(G(z)))] with D = sigmoid (Goodfellow et al. 2014, Eq. 1).

    With `smoothing` s the target of real samples is 1 - s and that of fakes stays 0 (one-sided
    label smoothing, Salimans et al. 2016, section 3.4).
    """
    # -(1 - s) log D(x) - s log(1 - D(x)), since -log(1 - D) is -log D plus the logit.
    return softplus(-real).mean() + smoothing * real.mean() + softplus(fake).mean()


class CrossEntropy(AdversarialLoss, ABC):
    """The discriminator of the original game.

    Args:
        smoothing: how much the target of real samples falls short of 1.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing = {smoothing:g}: must be at least 0 and less than 1")
        self.smoothing = smoothing
        # Where p = q, the best D is (1 - s) / 2 (Salimans et al. 2016, section 3.4).
        self.boundary = math.log1p(-smoothing) - math.log1p(smoothing)

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return cross_entropy(real, fake, self.smoothing)

    def best(self, log_ratio: Tensor) -> Tensor | None:
        """logit of (1 - s) p / (p + q), which without smoothing is log p/q."""
        if not self.smoothing:
            return log_ratio
        shifted = log_ratio + math.log(self.smoothing)
        return log_ratio + math.log1p(-self.smoothing) - softplus(shifted)


class Minimax(CrossEntropy):
    """The zero-sum game: G minimises E[log(1 - D(G(z)))] (Goodfellow et al. 2014, Eq. 1)."""

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -softplus(fake).mean()


class NonSaturating(CrossEntropy):
    """G minimises -E[log D(G(z))], whose gradient does not vanish when D wins.

    Goodfellow et al. 2014, section 3. Karras et al. 2019 call it logistic.
    """

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return softplus(-fake).mean()


class LeastSquares(AdversarialLoss):
    """Squared distances to the labels, halved (Mao et al. 2017, Eq. 2 and 9: a=0, b=1, c=1).

    Args:
        fake: what D should say of fakes (a in the paper).
        real: what D should say of real samples (b).
        wanted: what G wants D to say of fakes (c).
    """

    probabilistic = False

    def __init__(self, fake: float = 0.0, real: float = 1.0, wanted: float = 1.0) -> None:
        self.fake, self.real, self.wanted = fake, real, wanted
        self.boundary = (fake + real) / 2

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * ((real - self.real).square().mean() + (fake - self.fake).square().mean())

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return 0.5 * (fake - self.wanted).square().mean()

    def best(self, log_ratio: Tensor) -> Tensor | None:
        """(b p + a q) / (p + q)."""
        return self.fake + (self.real - self.fake) * log_ratio.sigmoid()


class Hinge(AdversarialLoss):
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))] against -E[D(G(z))].

    Lim and Ye 2017; Miyato et al. 2018, Eq. 16 and 17.
    """

    probabilistic = False

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(1 - real).mean() + relu(1 + fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()

    def best(self, log_ratio: Tensor) -> Tensor | None:
        return log_ratio.sign()


class Wasserstein(AdversarialLoss):
    """E[f(G(z))] - E[f(x)] against -E[f(G(z))] (Arjovsky et al. 2017, Eq. 2 and Algorithm 1)."""

    player = "critic"
    probabilistic = False
    unbounded = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()
