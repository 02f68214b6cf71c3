"""Adversarial losses: one small class each, all minimised, all means over the batch of logits.

`discriminator(real, fake)` and `generator(fake, real)` take the discriminator's raw outputs [n]
(logits: before any sigmoid) and return a scalar. `real` is there for losses that compare.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus


class AdversarialLoss(ABC):
    """The losses that the two players of a game minimise."""

    player = "discriminator"  # name of the generator's opponent
    probabilistic = True  # sigmoid(output) estimates the probability of being real
    boundary: float | None = 0.0  # outputs above it mean "real"; None: only differences count
    unbounded = False  # needs a constraint on the critic to have a finite value
    whole_batch = False  # whether it is more than a mean over samples, or pairs of them
    compares = False  # whether the generator's loss needs the outputs for real samples too

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss on outputs [n] for real and fake samples."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The generator's loss on the discriminator's outputs [n] for fake samples.

        Raises:
            ValueError: the loss compares, and there are no outputs for real samples.
        """

    def best(self, log_ratio: Tensor) -> Tensor | None:
        """D's optimal output [n] where log p/q is `log_ratio` [n], with p the real density.

        None where the optimum is not defined point by point.
        """
        return None


class Comparing(AdversarialLoss, ABC):
    """A loss of differences between outputs for real and fake samples.

    Adding the same constant to all outputs does not change it.
    """

    probabilistic = False
    boundary = None
    compares = True

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        if real is None:
            raise ValueError(
                f"the {type(self).__name__} loss compares: generator(fake, real) needs the "
                "discriminator's outputs for real samples, and real is None"
            )
        return self.against(fake, real)

    @abstractmethod
    def against(self, fake: Tensor, real: Tensor) -> Tensor:
        """The generator's loss on outputs [n] for fake and real samples."""


def cross_entropy(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """-E[log D(x)] - E[log(1 - D(G(z)))] with D = sigmoid (Goodfellow et al. 2014, Eq. 1).

    With `smoothing` s the target of real samples is 1 - s and that of fakes stays 0 (one-sided
    label smoothing, Salimans et al. 2016, section 3.4).
    """
    # -(1 - s) log D(x) - s log(1 - D(x)), since -log(1 - D) is -log D plus the logit.
    return softplus(-real).mean() + smoothing * real.mean() + softplus(fake).mean()


class CrossEntropy(AdversarialLoss, ABC):
    """The discriminator's loss of the original GAN.

    Args:
        smoothing: s, where the target of real samples is 1 - s.
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


class BoundarySeeking(CrossEntropy):
    """G minimises E[(log D(G(z)) - log(1 - D(G(z))))^2] / 2: it seeks D's decision boundary.

    Hjelm et al. 2018, for continuous samples. The two logarithms' difference is the logit.
    """

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return (fake - (self.boundary or 0.0)).square().mean() / 2


class NonSaturating(CrossEntropy):
    """G minimises -E[log D(G(z))], whose gradient does not vanish where D is confident.

    Goodfellow et al. 2014, section 3. Karras et al. 2019 call it logistic.
    """

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return softplus(-fake).mean()


class LeastSquares(AdversarialLoss):
    """Squared distances to the labels, halved (Mao et al. 2017, Eq. 2 and 9: a=0, b=1, c=1).

    Args:
        fake: D's target for fakes (a in the paper).
        real: D's target for real samples (b).
        wanted: G's target for D's outputs on fakes (c).
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


class Relativistic(Comparing):
    """-E[log sigmoid(C(x) - C(G(z)))] against -E[log sigmoid(C(G(z)) - C(x))], in pairs.

    The i-th real sample is paired with the i-th fake. Jolicoeur-Martineau 2018, section 4.1
    (RSGAN); RpGAN in Huang et al. 2024 (R3GAN), Eq. 2.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return _pairs(real, fake)

    def against(self, fake: Tensor, real: Tensor) -> Tensor:
        return _pairs(fake, real)


class RelativisticAverage(Comparing):
    """Each sample against the mean output for the other kind.

    -E[log sigmoid(C(x) - E C(G(z)))] - E[log(1 - sigmoid(C(G(z)) - E C(x)))]; the generator's is
    the same with real and fake exchanged. Jolicoeur-Martineau 2018, section 4.3 (RaSGAN), which
    adds the two terms; the author's code halves their sum.
    """

    whole_batch = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return _averages(real, fake)

    def against(self, fake: Tensor, real: Tensor) -> Tensor:
        return _averages(fake, real)


def _pairs(above: Tensor, below: Tensor) -> Tensor:
    if above.shape != below.shape:
        raise ValueError(
            f"the Relativistic loss compares pairs: {len(above)} outputs of one kind and "
            f"{len(below)} of the other do not match"
        )
    return softplus(below - above).mean()


def _averages(above: Tensor, below: Tensor) -> Tensor:
    return softplus(below.mean() - above).mean() + softplus(below - above.mean()).mean()


class Softmax(Comparing):
    """D puts all the probability of a batch on its real samples, G spreads it evenly (Lin 2017).

    With p = softmax of all outputs of the batch, real and fake, D minimises the cross-entropy
    -mean(log p) over the real samples, and G over all samples. Their minima are the
    logarithms of the number of real samples and of all. The paper's mu is minus our output.
    """

    whole_batch = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return torch.cat([real, fake]).logsumexp(0) - real.mean()

    def against(self, fake: Tensor, real: Tensor) -> Tensor:
        outputs = torch.cat([real, fake])
        return outputs.logsumexp(0) - outputs.mean()


LIMIT = 20.0  # of |V| where g_f or f* raise e to it


def soft_clamp(v: Tensor) -> Tensor:
    """`v` up to LIMIT in size and logarithmic beyond, so exp(soft_clamp(v)) continues linearly.

    It is increasing and smooth, hence g_f(soft_clamp(v)) is as good an activation as g_f(v), and
    neither values nor gradients overflow. At least fp32, whatever the precision of the rest.
    """
    v = v.to(torch.promote_types(v.dtype, torch.float32))
    inside = v.clamp(-LIMIT, LIMIT)
    over = v - inside
    return inside + over.sign() * over.abs().log1p()


class FDivergence(AdversarialLoss, ABC):
    """E_Q[f*(T)] - E_P[T] against -E_Q[f*(T)] (Nowozin et al. 2016, Eq. 6).

    Args:
        alternative: G maximises E_Q[T] instead (section 3.2), the counterpart of the non-saturating
            loss.
    """

    probabilistic = False

    def __init__(self, alternative: bool = False) -> None:
        self.alternative = alternative

    @abstractmethod
    def activation(self, v: Tensor) -> Tensor:
        """T = g_f(v) of outputs [n]."""

    @abstractmethod
    def conjugate(self, v: Tensor) -> Tensor:
        """f*(g_f(v)) of outputs [n], in one formula, to the precision of fp32."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.conjugate(fake).mean() - self.activation(real).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -(self.activation(fake) if self.alternative else self.conjugate(fake)).mean()


class TotalVariation(FDivergence):
    """f(u) = |u - 1| / 2, g_f(v) = tanh(v) / 2, f*(t) = t (Nowozin et al. 2016, Table 6)."""

    def best(self, log_ratio: Tensor) -> Tensor | None:
        return LIMIT * log_ratio.sign()  # where tanh is 1

    def activation(self, v: Tensor) -> Tensor:
        return v.tanh() / 2

    def conjugate(self, v: Tensor) -> Tensor:
        return v.tanh() / 2


class ForwardKL(FDivergence):
    """KL(P || Q): f(u) = u log u, g_f(v) = v, f*(t) = exp(t - 1) (Nowozin et al. 2016, Table 2).

    Infinite where Q misses a part of P.
    """

    boundary = 1.0  # f'(1)

    def best(self, log_ratio: Tensor) -> Tensor | None:
        return 1 + log_ratio

    def activation(self, v: Tensor) -> Tensor:
        return soft_clamp(v)

    def conjugate(self, v: Tensor) -> Tensor:
        return (soft_clamp(v) - 1).exp()


class ReverseKL(FDivergence):
    """KL(Q || P): f(u) = -log u, g_f(v) = -exp(-v), f*(t) = -1 - log(-t).

    Nowozin et al. 2016, Table 2. The optimal v is log(p / q). Infinite where P misses a part of Q.
    """

    probabilistic = True

    def best(self, log_ratio: Tensor) -> Tensor | None:
        return log_ratio

    def activation(self, v: Tensor) -> Tensor:
        return -(-soft_clamp(v)).exp()

    def conjugate(self, v: Tensor) -> Tensor:
        return soft_clamp(v) - 1


class Pearson(FDivergence):
    """chi^2: f(u) = (u - 1)^2, g_f(v) = v, f*(t) = t^2 / 4 + t (Nowozin et al. 2016, Table 2).

    Infinite where Q misses a part of P.
    """

    def best(self, log_ratio: Tensor) -> Tensor | None:
        return 2 * log_ratio.expm1()

    def activation(self, v: Tensor) -> Tensor:
        return v

    def conjugate(self, v: Tensor) -> Tensor:
        v = v.to(torch.promote_types(v.dtype, torch.float32))
        return v.square() / 4 + v


class SquaredHellinger(FDivergence):
    """f(u) = (sqrt(u) - 1)^2, g_f(v) = 1 - exp(-v), f*(t) = t / (1 - t).

    Nowozin et al. 2016, Table 2. The optimal v is log(p / q) / 2.
    """

    def best(self, log_ratio: Tensor) -> Tensor | None:
        return log_ratio / 2

    def activation(self, v: Tensor) -> Tensor:
        return -(-soft_clamp(v)).expm1()

    def conjugate(self, v: Tensor) -> Tensor:
        return soft_clamp(v).expm1()


class JensenShannon(FDivergence):
    """f(u) = u log u - (u + 1) log((u + 1) / 2), g_f(v) = log 2 - log(1 + exp(-v)).

    f*(t) = -log(2 - exp(t)) (Nowozin et al. 2016, Table 2). This f gives KL(P || M) + KL(Q || M)
    with M the mean of P and Q: twice the Jensen-Shannon divergence. The optimal v is log(p / q):
    the original GAN's loss minus 2 log 2.
    """

    probabilistic = True

    def best(self, log_ratio: Tensor) -> Tensor | None:
        return log_ratio

    def activation(self, v: Tensor) -> Tensor:
        return math.log(2) - softplus(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        return softplus(v) - math.log(2)
