"""Precision and recall of one distribution against another, as a curve (Sajjadi et al. 2018)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

CLUSTERS, ANGLES, RUNS = 20, 1001, 10  # as in the authors' code
BETA = 8
EPSILON = 1e-10
ITERATIONS = 100  # of k-means at most


class Curve(NamedTuple):
    """Precision and recall at each angle, from most recall to most precision; float64 [angles]."""

    precision: Tensor
    recall: Tensor

    def f_score(self, beta: float) -> float:
        """The largest F_beta on the curve: above 1, beta weights recall (section 4.1)."""
        weight = beta**2
        bottom = weight * self.precision + self.recall + EPSILON
        return ((1 + weight) * self.precision * self.recall / bottom).max().item()


def curve_of_shares(made: Tensor, real: Tensor) -> Curve:
    """The curve of two discrete distributions (Sajjadi et al. 2018, Algorithm 1 and Eq. 4).

    At each slope s = tan(angle): precision is the sum of min(s real, made), recall that over s.

    Args:
        made: shares of the states under the distribution that is judged, [states].
        real: under the true one, [states].
    """
    angles = torch.linspace(EPSILON, math.pi / 2 - EPSILON, ANGLES, dtype=torch.float64)
    slopes = angles.tan()
    precision = torch.minimum(slopes[:, None] * real.double(), made.double()).sum(1)
    return Curve(precision.clamp(0, 1), (precision / slopes).clamp(0, 1))


def precision_recall_curve(made: Tensor, real: Tensor, seed: int = 0) -> Curve:
    """The mean curve of ten clusterings of both sets together into 20 (section 4, their code).

    The authors cluster by mini batches; here it is Lloyd's algorithm from k-means++.

    Args:
        made: features [n, width].
        real: features [n, width], as many.
        seed: of the clusterings.

    Raises:
        ValueError: the sets are not equally many, or fewer together than there are clusters.
    """
    if made.shape != real.shape or 2 * len(made) < CLUSTERS:
        raise ValueError(f"{list(made.shape)} and {list(real.shape)}: must be alike, and not fewer")
    both = torch.cat([made, real])
    random = torch.Generator().manual_seed(seed)
    curves = []
    for _ in range(RUNS):
        labels = k_means(both, CLUSTERS, random)
        shares = [some.bincount(minlength=CLUSTERS) / len(some) for some in labels.split(len(made))]
        curves.append(curve_of_shares(*shares))
    precision, recall = (torch.stack(each).mean(0) for each in zip(*curves, strict=True))
    return Curve(precision, recall)


def k_means(points: Tensor, clusters: int, random: torch.Generator) -> Tensor:
    """The cluster of each point, int64 [n], by Lloyd's algorithm until nothing changes.

    Centres begin at points, each drawn by its squared distance from those before (Arthur and
    Vassilvitskii 2007); one that no point is nearest to stays where it is.
    """
    x = points - points.mean(0)
    chosen = [int(torch.randint(len(x), (1,), generator=random))]
    gap = torch.full((len(x),), math.inf, dtype=x.dtype)
    while len(chosen) < clusters:
        gap = torch.minimum(gap, (x - x[chosen[-1]]).square().sum(1))
        weights = gap if bool(gap.sum() > 0) else torch.ones_like(gap)
        chosen.append(int(torch.multinomial(weights, 1, generator=random)))
    centres = x[chosen]
    labels = torch.full((len(x),), -1)
    for _ in range(ITERATIONS):
        distances = torch.addmm(centres.square().sum(1), x, centres.T, alpha=-2)
        found = distances.argmin(1)
        if torch.equal(found, labels):
            break
        labels = found
        counts = labels.bincount(minlength=clusters)
        sums = torch.zeros_like(centres).index_add_(0, labels, x)
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centres)
    return labels
