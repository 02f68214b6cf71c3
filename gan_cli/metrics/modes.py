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
