"""A Gaussian fitted to the codes of an encoder: it turns standard normals into codes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RATE = 0.05  # weight of a new batch in the long run; averaging of weights smoothes further


class LatentFit(nn.Module):
    """Running mean and second moment of codes, kept as batch norm keeps its statistics.

    Until there are 1 / RATE batches all weigh the same. The second moment rather than the
    covariance is kept: then averages over time are again moments of a distribution, so the
    averaged model has a covariance without negative directions too.

    Args:
        dim: of the codes.
    """

    mean: Tensor  # [dim]
    square: Tensor  # [dim, dim], E[c c']
    count: Tensor  # batches seen

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("square", torch.eye(dim))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def record(self, codes: Tensor) -> None:
        """Take in the codes [n, dim] of a batch; in eval mode nothing changes."""
        if not self.training:
            return
        codes = codes.detach().to(self.mean)
        self.count.add_(1)
        rate = (1 / self.count.float()).clamp_min(RATE)
        self.mean.add_(rate * (codes.mean(0) - self.mean))
        self.square.add_(rate * (codes.T @ codes / len(codes) - self.square))

    def covariance(self) -> Tensor:
        """Of the codes, float64 [dim, dim] on the CPU."""
        mean = self.mean.cpu().double()
        return self.square.cpu().double() - torch.outer(mean, mean)

    def forward(self, z: Tensor) -> Tensor:
        """Standard normals [n, dim] as codes: mean + C^(1/2) z, with the symmetric root."""
        values, vectors = torch.linalg.eigh(self.covariance())
        root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
        return self.mean + z @ root.to(z)
