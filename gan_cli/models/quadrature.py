"""Integrals over a line or a plane by sums over equal cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_cli.losses import AdversarialLoss

PER_SIDE = {1: 2001, 2: 161}  # cells of each side, by the number of dimensions


@dataclass(frozen=True)
class Cells:
    """The cells of a line or a square, by their middles.

    Attributes:
        points: float32 [cells, D]; on the plane row by row, the row of largest y first.
        volume: of one cell.
        sides: how many cells in each direction, rows first.
    """

    points: Tensor
    volume: float
    sides: tuple[int, ...]

    @classmethod
    def of(cls, dimensions: int, low: float, high: float) -> Cells:
        """Cells of [low, high] in 1 or 2 dimensions."""
        n = PER_SIDE[dimensions]
        width = (high - low) / n
        line = low + width * (torch.arange(n, dtype=torch.float64) + 0.5)
        if dimensions == 1:
            return cls(line[:, None].float(), width, (n,))
        y, x = torch.meshgrid(line.flip(0), line, indexing="ij")
        points = torch.stack([x.flatten(), y.flatten()], dim=1)
        return cls(points.float(), width**2, (n, n))

    def masses(self, log_density: Tensor) -> Tensor:
        """What each cell holds of a density whose logarithm at the points is [cells]; float64."""
        return log_density.double().exp() * self.volume


def value(loss: AdversarialLoss, output: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """What D gains, minus its loss, by saying `output` [cells], under masses p and q [cells].

    For losses that are a mean over real samples plus a mean over fakes, A(real) + B(fake): these
    are read off by giving both one sample, the other one being 0.
    """
    zero = torch.zeros(1, dtype=output.dtype, device=output.device)
    of_real = torch.func.vmap(lambda v: loss.discriminator(v[None], zero))(output)
    of_fake = torch.func.vmap(lambda v: loss.discriminator(zero, v[None]))(output)
    return loss.discriminator(zero, zero) - (p * of_real).sum() - (q * of_fake).sum()


def steepest(score: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """The largest slope of a function of points [n, D] at any of them."""
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        (slopes,) = torch.autograd.grad(score(points).sum(), points)
    return slopes.norm(dim=1).max()


def wasserstein_1(p: Tensor, q: Tensor, width: float) -> Tensor:
    """The Wasserstein-1 distance of masses [cells] on the line: the area between both F."""
    return (p - q).cumsum(0).abs().sum() * width


def evenly(masses: Tensor, count: int) -> Tensor:
    """The places [count] of cells that stand for equal parts of masses [cells], in their order.

    Random ones would do too, but two draws of one law are .14 deviations apart with 1,000 points
    on the plane, and these are not apart at all.
    """
    shares = (torch.arange(count, dtype=masses.dtype) + 0.5) / count
    return torch.searchsorted(masses.cumsum(0) / masses.sum(), shares).clamp(max=len(masses) - 1)
