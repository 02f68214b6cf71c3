"""How unlike each other the samples of one set are."""

from __future__ import annotations

from typing import NamedTuple

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


class Components(NamedTuple):
    """An orthonormal frame around the mean."""

    mean: Tensor  # float64 [D]
    frame: Tensor  # float64 [D, size]

    def reconstruct(self, x: Tensor) -> Tensor:
        """The nearest points [n, D] of the plane that the frame spans, of samples [n, D]."""
        apart = x.double() - self.mean
        return self.mean + apart @ self.frame @ self.frame.T


def components(x: Tensor, size: int) -> Components:
    """The first `size` principal components of samples [n, D], by their covariance.

    No linear code of that size leaves a smaller squared error on them (Eckart and Young 1936).
    """
    mean = x.mean(0, dtype=torch.float64)
    scatter = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
    for some in x.split(4096):
        apart = some.double() - mean
        scatter += apart.T @ apart
    vectors = torch.linalg.eigh(scatter).eigenvectors  # the largest last
    return Components(mean, vectors[:, len(vectors) - size :])
