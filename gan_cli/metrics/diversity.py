"""How unlike each other the samples of one set are."""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 1024  # samples that are compared with all others at once


def mean_pairwise_distance(samples: Tensor) -> float:
    """Mean Euclidean distance over all pairs of different samples [n, *shape].

    Raises:
        ValueError: there are fewer than two.
    """
    if len(samples) < 2:
        raise ValueError(f"{len(samples)} samples: must be at least 2")
    flat = samples.flatten(1).to(torch.float64)
    flat = flat - flat.mean(0)
    lengths = flat.square().sum(1)
    total = 0.0
    for start in range(0, len(flat), ROWS):
        rows = flat[start : start + ROWS]
        squared = torch.addmm(lengths[start : start + ROWS, None] + lengths, rows, flat.T, alpha=-2)
        own = torch.arange(len(rows), device=flat.device)
        squared[own, own + start] = 0  # exactly, where rounding leaves 1e-16 whose root counts
        total += squared.clamp_(min=0).sqrt_().sum().item()
    return total / (len(flat) * (len(flat) - 1))
