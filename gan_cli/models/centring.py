"""Samples minus their mean, which is what encoders learn from quickly (LeCun et al. 1998)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

APART = "each rank would centre what its encoder sees by a mean of its own"


class Centring(nn.Module):
    """Subtracts the mean of all samples that were seen in training, as Burda et al.'s code does.

    Where most pixels are black nearly all that a first layer is given is the same for all images,
    and its gradient too.

    Args:
        shape: of a sample.
    """

    mean: Tensor  # [*shape]
    count: Tensor  # batches seen

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """`x` [n, *shape] minus the mean; in training that takes them in first."""
        if self.training:
            with torch.no_grad():
                self.count.add_(1)
                self.mean.add_((x.detach().mean(0) - self.mean) / self.count)
        return x - self.mean
