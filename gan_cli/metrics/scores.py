"""The score of Salimans et al. from statistics that can be streamed."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Probabilities:
    """Mean class probabilities and mean entropy of samples that come in pieces, in float64."""

    def __init__(self, classes: int) -> None:
        self.count = 0
        self._sum = torch.zeros(classes, dtype=torch.float64)
        self._entropies = 0.0

    def update(self, logits: Tensor) -> None:
        """Add samples by their logits [n, classes]."""
        logs = logits.to("cpu", torch.float64).log_softmax(1)
        probabilities = logs.exp()
        self.count += len(logits)
        self._sum += probabilities.sum(0)
        self._entropies -= torch.where(probabilities > 0, probabilities * logs, 0).sum().item()

    @property
    def mean(self) -> Tensor:
        """p(y), the mean over all samples, float64 [classes]."""
        return self._sum / self.count

    @property
    def entropy(self) -> float:
        """The mean over all samples of H(y | x), in nats."""
        return self._entropies / self.count


def score(mean_probability: Tensor, mean_entropy: float) -> float:
    """exp(E_x KL(p(y|x) || p(y))) (Salimans et al. 2016, section 4), from 1 to the classes' number.

    The mean divergence is the entropy of p(y) less the mean entropy of p(y|x), so two averages
    are enough. Over all samples at once: no splits.

    Args:
        mean_probability: p(y), float64 [classes].
        mean_entropy: of p(y|x) over all samples, in nats.
    """
    total = -torch.special.xlogy(mean_probability, mean_probability).sum().item()
    return math.exp(max(total - mean_entropy, 0.0))
