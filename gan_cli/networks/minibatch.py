"""Minibatch discrimination: a sample is judged together with those beside it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MinibatchDiscrimination(nn.Module):
    """How close each sample of a batch is to the others (Salimans et al. 2016, section 3.2).

    With a learned tensor T, M_i = f(x_i) T has one row of `dim` numbers per kernel b, and
    o(x_i)_b = sum_j exp(-|M_ib - M_jb|_1) over the whole batch, i itself included, as in the paper.
    Real and fake samples must come in separate batches.

    Args:
        width: of the features f.
        kernels: B in the paper.
        dim: of each kernel's space, C in the paper.
    """

    def __init__(self, width: int, kernels: int, dim: int) -> None:
        super().__init__()
        self.kernels, self.dim = kernels, dim
        self.tensor = nn.Linear(width, kernels * dim, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features [n, width] with o beside them: [n, width + kernels]."""
        rows = self.tensor(features).float().view(-1, self.kernels, self.dim)
        distances = (rows[:, None] - rows[None]).abs().sum(3)  # [n, n, kernels]
        closeness = torch.exp(-distances).sum(1)
        return torch.cat([features, closeness.to(features.dtype)], dim=1)
