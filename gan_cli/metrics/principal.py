"""Principal components of samples, the best that a linear code of some size can do."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


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
