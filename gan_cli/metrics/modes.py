"""How many of a distribution's known modes are generated, and how evenly."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

WITHIN = 3.0  # deviations from the nearest mode, as in VEEGAN and PacGAN
ROWS = 4096  # points that are compared with all modes at once


class Coverage(NamedTuple):
    """What samples show of the modes."""

    counts: Tensor  # int64 [modes]: samples of high quality in each
    high_quality: float  # share of the samples that are close enough to a mode

    @property
    def captured(self) -> int:
        """Modes that hold at least one sample of high quality."""
        return int((self.counts > 0).sum())


def coverage(points: Tensor, modes: Tensor, deviation: float, within: float = WITHIN) -> Coverage:
    """Which modes `points` lie in: VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018).

    A sample is of high quality if it is closer to the nearest mode than three deviations; it then
    counts for that mode, and one such sample captures it, as in the code that PacGAN published.
    Exact draws of a Gaussian in the plane are of high quality with probability
    1 - exp(-9/2) = 98.89 %, see `perfect_share`.

    Args:
        points: [n, D].
        modes: the means, [M, D].
        deviation: of every coordinate around its mode.
        within: how many deviations are close enough.

    Raises:
        ValueError: there is no point.
    """
    if not len(points):
        raise ValueError("points = none: at least 1 is needed")
    counts = torch.zeros(len(modes), dtype=torch.int64)
    means = modes.cpu().double()
    for some in points.cpu().double().split(ROWS):
        # By differences: a deviation may be far below the digits that |x|^2 - 2xm + |m|^2 keeps.
        nearest, place = (some.unsqueeze(1) - means).norm(dim=2).min(1)
        counts += place[nearest < within * deviation].bincount(minlength=len(modes))
    return Coverage(counts, int(counts.sum()) / len(points))


def perfect_share(dimension: int, within: float = WITHIN) -> float:
    """The share of exact draws that are of high quality, where modes are far apart.

    P(|x| < t) of a standard Gaussian in D dimensions, the regularised gamma P(D/2, t^2/2).
    """
    half = torch.tensor([dimension / 2, within**2 / 2], dtype=torch.float64)
    return torch.special.gammainc(half[0], half[1]).item()


def kl_from_uniform(counts: Tensor) -> float:
    """KL(p || uniform) in nats, of the shares p that `counts` [M] make; 0 ... log M.

    PacGAN's reverse KL, and its KL on stacked MNIST: the generated distribution over modes comes
    first, the true one, in which all M are equally likely, second. So does the code it published
    (in the plane as the entropy, which is log M less this). n samples of the uniform distribution
    itself give (M - 1) / (2n) on average.

    Raises:
        ValueError: all counts are 0.
    """
    total = int(counts.sum())
    if not total:
        raise ValueError("counts = 0 everywhere: no distribution follows from them")
    shares = counts.double() / total
    return math.log(len(counts)) - float(torch.special.entr(shares).sum())


REACH = 6.0  # deviations from a mode that the nodes go; 2e-9 of the mass lies beyond
NODES = {1: 481, 2: 61}  # a side of the lattice around each mode, by dimension


class Nodes(NamedTuple):
    """Points and weights whose weighted sums are means over the Gaussians."""

    points: Tensor  # float64 [n, D]
    weights: Tensor  # float64 [n], with sum 1


def nodes_of(modes: Tensor, deviation: float) -> Nodes:
    """Those of Gaussians of one deviation around `modes` [M, D], for D of 1 or 2.

    The trapezoid rule, which for smooth functions times a Gaussian is exact to many digits.
    """
    dim = modes.shape[1]
    line = torch.linspace(-REACH, REACH, NODES[dim], dtype=torch.float64)
    lattice = torch.cartesian_prod(*[line] * dim).view(-1, dim)
    weights = (lattice.square().sum(1) / -2).exp().repeat(len(modes))
    points = modes.double()[:, None] + deviation * lattice
    return Nodes(points.flatten(0, 1), weights / weights.sum())


class Distances(NamedTuple):
    """Of a density q from the true p."""

    total_variation: float  # in [0, 1]
    forward_kl: float  # KL(p || q), in nats; infinite where q has no mass and p has


def distances(log_p: Tensor, log_q: Tensor, weights: Tensor) -> Distances:
    """From log-densities [n] at the nodes of p, with their weights [n].

    The total variation is 1 - E_p[min(1, q / p)], which needs no point where p has no mass.
    """
    log_ratio = log_q.double() - log_p.double()
    shared = (weights * log_ratio.clamp(max=0).exp()).sum().item()
    kl = -(weights * log_ratio).sum().item()
    return Distances(1 - shared, kl if math.isfinite(kl) else math.inf)
