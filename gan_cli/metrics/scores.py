"""The score of Salimans et al. from two averages, which can be streamed."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def score(mean_probability: Tensor, mean_entropy: float) -> float:
    """exp(E_x KL(p(y|x) || p(y))) (Salimans et al. 2016, section 4), from 1 to the classes' number.

    The mean divergence is the entropy of p(y) less the mean entropy of p(y|x). Over all samples
    at once: no splits.

    Args:
        mean_probability: p(y), the mean of p(y|x) over all samples, float64 [classes].
        mean_entropy: of p(y|x), over all samples, in nats.
    """
    total = torch.special.entr(mean_probability).sum().item()
    return math.exp(max(total - mean_entropy, 0.0))
