"""f-GAN: the variational bound of an f-divergence as a game (Nowozin et al. 2016).

D_f(P || Q) = E_Q[f(p / q)] is at least E_P[T] - E_Q[f*(T)] for any function T of samples (Eq. 4),
and equal to it for T = f'(p / q) (Eq. 5). The discriminator maximises the bound with T = g_f(V),
where V is its output and g_f an increasing function into the domain of the conjugate f* (Table 2).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gan_cli.losses.base import AdversarialLoss

LIMIT = 20.0  # of |V| where g_f or f* raise e to it


def tame(v: Tensor) -> Tensor:
    """`v` up to LIMIT in size and logarithmic beyond, so that exp(tame(v)) goes on as a line.

    It is increasing and smooth, hence g_f(tame(v)) is as good an activation as g_f(v), and neither
    values nor gradients overflow. At least fp32, whatever the precision of the rest.
    """
    v = v.to(torch.promote_types(v.dtype, torch.float32))
    inside = v.clamp(-LIMIT, LIMIT)
    over = v - inside
    return inside + over.sign() * over.abs().log1p()


class FDivergence(AdversarialLoss, ABC):
    """E_Q[f*(T)] - E_P[T] against -E_Q[f*(T)] (Nowozin et al. 2016, Eq. 6).

    Args:
        alternative: G maximises E_Q[T] instead, what D says of real samples (section 3.2): the
            counterpart of the non-saturating loss.
    """

    probabilistic = False

    def __init__(self, alternative: bool = False) -> None:
        self.alternative = alternative

    @abstractmethod
    def activation(self, v: Tensor) -> Tensor:
        """T = g_f(v) of outputs [n]."""

    @abstractmethod
    def conjugate(self, v: Tensor) -> Tensor:
        """f*(g_f(v)) of outputs [n], in one formula, as exact as fp32 allows."""

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
        return tame(v)

    def conjugate(self, v: Tensor) -> Tensor:
        return (tame(v) - 1).exp()


class ReverseKL(FDivergence):
    """KL(Q || P): f(u) = -log u, g_f(v) = -exp(-v), f*(t) = -1 - log(-t).

    Nowozin et al. 2016, Table 2. At its best v = log(p / q). Infinite where P misses a part of Q.
    """

    probabilistic = True

    def best(self, log_ratio: Tensor) -> Tensor | None:
        return log_ratio

    def activation(self, v: Tensor) -> Tensor:
        return -(-tame(v)).exp()

    def conjugate(self, v: Tensor) -> Tensor:
        return tame(v) - 1


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

    Nowozin et al. 2016, Table 2. At its best v = log(p / q) / 2.
    """

    def best(self, log_ratio: Tensor) -> Tensor | None:
        return log_ratio / 2

    def activation(self, v: Tensor) -> Tensor:
        return -(-tame(v)).expm1()

    def conjugate(self, v: Tensor) -> Tensor:
        return tame(v).expm1()


class JensenShannon(FDivergence):
    """f(u) = u log u - (u + 1) log((u + 1) / 2), g_f(v) = log 2 - log(1 + exp(-v)).

    f*(t) = -log(2 - exp(t)) (Nowozin et al. 2016, Table 2). This f gives KL(P || M) + KL(Q || M)
    with M the mean of P and Q, which is twice the divergence that carries the name. At its best
    v = log(p / q): the original game less 2 log 2.
    """

    probabilistic = True

    def best(self, log_ratio: Tensor) -> Tensor | None:
        return log_ratio

    def activation(self, v: Tensor) -> Tensor:
        return math.log(2) - softplus(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        return softplus(v) - math.log(2)
