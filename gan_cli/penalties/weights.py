"""Limits on the discriminator's weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gan_cli.penalties.base import Penalty, Score


class WeightClip(Penalty):
    """Every parameter is kept in [-limit, limit] (Arjovsky et al. 2017, Algorithm 1, line 7)."""

    lipschitz = True

    def __init__(self, limit: float = 0.01) -> None:
        super().__init__()
        if limit <= 0:
            raise ValueError(f"limit = {limit}: must be greater than 0")
        self.limit = limit

    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        return real.new_zeros(())

    @torch.no_grad()
    def constrain(self, discriminator: nn.Module) -> None:
        for parameter in discriminator.parameters():
            parameter.clamp_(-self.limit, self.limit)
