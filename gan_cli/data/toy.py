"""Toy data sets with a known density, to study and test generative models.

Each is a table of points drawn once from a fixed seed, the same in every run and on every
machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.errors import ConfigError

SEED = 0x70
LARGEST = 1e12  # of a coordinate: squares of points and their sums stay float32 numbers
SMALLEST = 1e-12
RESOLVED = 1e-6  # of a coordinate: float32 resolves differences of about 1e-7 of it


class Mixture(Dataset):
    """Equally likely Gaussians with one standard deviation around several modes; abstract.

    Attributes:
        modes: their means, float32 [M, D].
        deviation: of every coordinate.
    """

    def __init__(
        self, name: str, modes: Tensor, deviation: float, points: int, labelled: bool
    ) -> None:
        least = max(SMALLEST, RESOLVED * modes.abs().max().item())
        fits = f"a number from {least:.3g} (below it, float32 blurs these modes) to {LARGEST:g}"
        _require("deviation", deviation, least <= deviation <= LARGEST, fits)
        _require("points", points, points >= 1, "at least 1")
        generator = torch.Generator().manual_seed(SEED)
        chosen = torch.randint(len(modes), (points,), generator=generator)
        noise = torch.randn(points, modes.shape[1], generator=generator)
        self.modes, self.deviation = modes, deviation
        super().__init__(
            name,
            modes[chosen] + deviation * noise,
            chosen if labelled else None,
            tuple(str(mode) for mode in range(len(modes))) if labelled else (),
        )

    def log_density(self, x: Tensor) -> Tensor:
        """The exact log p(x) [n] in nats of points [n, D], in the precision of `x`."""
        modes = self.modes.to(x)
        squared = (x.unsqueeze(1) - modes).square().sum(-1)  # [n, M]
        count, dim = modes.shape
        normaliser = dim * math.log(self.deviation * math.sqrt(2 * math.pi)) + math.log(count)
        return (squared / (-2 * self.deviation**2)).logsumexp(1) - normaliser


class Gaussian1D(Mixture):
    """Points of N(mean, deviation^2) on the line, without labels."""

    def __init__(self, mean: float = 4.0, deviation: float = 0.5, points: int = 131072) -> None:
        _require("mean", mean, abs(mean) <= LARGEST, f"a number from {-LARGEST:g} to {LARGEST:g}")
        modes = torch.tensor([[float(mean)]])
        super().__init__("gaussian_1d", modes, deviation, points, labelled=False)


class Mixture1D(Mixture):
    """Gaussians with one standard deviation on the line, labelled by mode."""

    def __init__(
        self, means: Sequence[float] = (-2.0, 2.0), deviation: float = 0.5, points: int = 131072
    ) -> None:
        shown = f"[{','.join(f'{mean:g}' for mean in means)}]"
        finite = all(abs(mean) <= LARGEST for mean in means)
        if not means or not finite or len(set(means)) < len(means):
            raise ConfigError(
                f"data.means = {shown}: one or more different numbers are needed, each from "
                f"{-LARGEST:g} to {LARGEST:g}"
            )
        modes = torch.tensor(means, dtype=torch.float32).view(-1, 1)
        super().__init__("mixture_1d", modes, deviation, points, labelled=True)


class Ring(Mixture):
    """Gaussians evenly spaced on a circle, labelled by mode (Metz et al. 2017 use 8)."""

    def __init__(
        self, modes: int = 8, radius: float = 1.0, deviation: float = 0.01, points: int = 131072
    ) -> None:
        _require("modes", modes, modes >= 1, "at least 1")
        _require("radius", radius, 0 < radius <= LARGEST, f"a positive number up to {LARGEST:g}")
        angles = torch.arange(modes, dtype=torch.float64) * (2 * math.pi / modes)
        circle = radius * torch.stack([angles.cos(), angles.sin()], dim=1)
        super().__init__("ring", circle.float(), deviation, points, labelled=True)


class Grid(Mixture):
    """Gaussians on a square lattice around 0, labelled by mode, row by row (25 by default)."""

    def __init__(
        self, side: int = 5, spacing: float = 2.0, deviation: float = 0.05, points: int = 131072
    ) -> None:
        _require("side", side, side >= 1, "at least 1")
        _require("spacing", spacing, 0 < spacing <= LARGEST, f"a positive number up to {LARGEST:g}")
        line = (torch.arange(side) - (side - 1) / 2) * spacing
        lattice = torch.cartesian_prod(line, line).view(-1, 2)
        super().__init__("grid", lattice, deviation, points, labelled=True)


def _require(key: str, value: float, holds: bool, needed: str) -> None:
    if not (holds and math.isfinite(value)):
        raise ConfigError(f"data.{key} = {value:g}: {needed} is needed")
