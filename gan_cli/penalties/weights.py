"""Limits and penalties on the discriminator's weights."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from gan_cli.penalties.base import WeightPenalty


class WeightClip(WeightPenalty):
    """Every parameter is kept in [-limit, limit] (Arjovsky et al. 2017, Algorithm 1, line 7)."""

    lipschitz = True

    def __init__(self, limit: float = 0.01) -> None:
        super().__init__()
        if limit <= 0:
            raise ValueError(f"limit = {limit:g}: must be greater than 0")
        self.limit = limit

    @torch.no_grad()
    def constrain(self, discriminator: nn.Module) -> None:
        for parameter in discriminator.parameters():
            parameter.clamp_(-self.limit, self.limit)


class Orthogonal(WeightPenalty):
    """weight * sum over layers of |W W^T o (1 - I)|_F^2 (Brock et al. 2019, Eq. 3).

    The rows of W are a layer's filters, flattened: different ones are to be orthogonal, and their
    norms stay free. Every parameter of two dimensions or more counts, but for embeddings of
    classes, as in the authors' code, which adds half of this term's gradient.

    Args:
        weight: beta in the paper.
        diagonal: I instead of its mask, |W W^T - I|_F^2, so that norms are to be 1 (Brock et al.
            2017; Eq. 2 in the paper of 2019).
        every: as in `Penalty`.
        rescale: as there.
        of: "generator", as in the paper, or "discriminator".
    """

    name = "orthogonal"
    on_weights = True

    def __init__(
        self,
        weight: float = 1e-4,
        diagonal: bool = False,
        every: int = 1,
        rescale: bool = False,
        of: Literal["generator", "discriminator"] = "discriminator",
    ) -> None:
        super().__init__(weight, every, rescale)
        if of == "generator" and every > 1:
            raise ValueError(
                f"every = {every}: must be 1 with penalty.of = generator; set penalty.every=1, or "
                "penalty.of=discriminator"
            )
        self.diagonal, self.of = diagonal, of

    def regularise(self, network: nn.Module) -> Tensor:
        embeddings = [m for m in network.modules() if isinstance(m, nn.Embedding)]
        spared = {id(p) for module in embeddings for p in module.parameters()}
        weights = (p for p in network.parameters() if id(p) not in spared)
        tables = [p.flatten(1) for p in weights if p.dim() > 1]
        if not tables:
            raise ValueError(f"penalty = orthogonal: the {self.of} has no weight matrices")
        return self.weight * torch.stack([self._skewness(table) for table in tables]).sum()

    def _skewness(self, table: Tensor) -> Tensor:
        with torch.autocast(table.device.type, enabled=False):
            products = table @ table.T
            wanted = torch.ones_like(table[:, 0]) if self.diagonal else products.diag()
            return (products - wanted.diag()).square().sum()
