"""Distances of distributions on the line from samples, and the energy distance in any dimension."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 1 << 22  # distances that are held at once
HALVINGS = 80  # of an interval of some deviations: far below a double's digits


@dataclass(frozen=True)
class Gaussians:
    """Equally likely Gaussians of one deviation on the line: the truth that samples are held to.

    Attributes:
        means: float64 [M].
        deviation: of each.
    """

    means: Tensor
    deviation: float

    def _standard(self, x: Tensor) -> Tensor:
        return (x.unsqueeze(-1) - self.means) / self.deviation  # [..., M]

    def cdf(self, x: Tensor) -> Tensor:
        """F(x), of any shape."""
        return torch.special.ndtr(self._standard(x)).mean(-1)

    def cdf_integral(self, x: Tensor) -> Tensor:
        """The integral of F from -inf to x: the mean of deviation * (u Phi(u) + phi(u))."""
        u = self._standard(x)
        density = (u.square() / -2).exp() / math.sqrt(2 * math.pi)
        return self.deviation * (u * torch.special.ndtr(u) + density).mean(-1)

    def quantile(self, share: Tensor) -> Tensor:
        """The x with F(x) = share, by bisection; shares in (0, 1)."""
        reach = 40 * self.deviation  # beyond which a double's F is 0 or 1
        low = torch.full_like(share, self.means.min().item() - reach)
        high = torch.full_like(share, self.means.max().item() + reach)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            below = self.cdf(middle) < share
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def log_mass(self, low: Tensor, high: Tensor) -> Tensor:
        """log P(low < x < high) of intervals [n]; precise in both tails, -inf where empty."""
        a, b = self._standard(low), self._standard(high)
        # Right of a mode the mirrored tail keeps the digits.
        right = a > 0
        a, b = torch.where(right, -b, a), torch.where(right, -a, b)
        small, large = torch.special.log_ndtr(a), torch.special.log_ndtr(b)
        ratio = torch.where(b > a, small - large, torch.zeros_like(a))  # log of small / large
        return (large + torch.log(-torch.expm1(ratio))).logsumexp(-1) - math.log(len(self.means))


def wasserstein_1_to(x: Tensor, truth: Gaussians) -> float:
    """The exact Wasserstein-1 distance between numbers [n], equally weighted, and the truth.

    The area between the step function of `x` and F (Vallender 1974), from F's closed integral: no
    grid, no second sample.
    """
    x, n = _sorted(x), len(x)
    whole = truth.cdf_integral(x)
    if n > 1:
        steps = torch.arange(1, n, dtype=torch.float64) / n  # the sample's F between its points
        cross = torch.minimum(torch.maximum(truth.quantile(steps), x[:-1]), x[1:])
        at_cross = truth.cdf_integral(cross)
        below = steps * (cross - x[:-1]) - (at_cross - whole[:-1])  # where F < step
        above = (whole[1:] - at_cross) - steps * (x[1:] - cross)
        inner = float((below + above).sum())
    else:
        inner = 0.0
    left, right = whole[0], whole[-1] - x[-1] + truth.means.mean()
    return inner + float(left + right)


class Divergences(NamedTuple):
    """Of generated numbers q from the true density p, in nats."""

    forward_kl: float  # KL(p || q), which maximum likelihood minimises
    reverse_kl: float  # KL(q || p)
    js: float  # (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2; 0 ... log 2


def divergences(x: Tensor, truth: Gaussians, k: int | None = None) -> Divergences:
    """KL both ways and JS of the distribution behind numbers [n] from the truth.

    The samples themselves cut the line into cells of k spacings (Wang, Kulkarni and Verdu 2005);
    the truth's mass P of a cell is exact. Were both distributions the same, P would be
    Beta(k, n + 1 - k), so that the two KLs, with digamma in place of log, are right on average
    for a perfect sampler, and may come out slightly negative. JS has no such correction: a
    perfect sampler's is about 1 / (8k). What happens within a cell is lost, which lowers all
    three a little; KL(p || q) is finite even where q misses a part of p, and then grows with
    log n. Samples that lie on top of each other have KL(q || p) = inf, as they should.

    Args:
        x: the samples, [n].
        truth: the density p.
        k: spacings in a cell; the root of n if None.

    Raises:
        ValueError: n is below 2 or below k + 1.
    """
    x, n = _sorted(x), len(x)
    k = max(1, math.isqrt(n)) if k is None else k
    if n < max(2, k + 1) or k < 1:
        raise ValueError(f"{n} samples in cells of k = {k}: more than k are needed, and two")
    edges = x[::k]
    infinity = torch.full((1,), torch.inf, dtype=torch.float64)
    edges = torch.cat([-infinity, edges, infinity])
    spacings = torch.full((len(edges) - 1,), float(k), dtype=torch.float64)
    spacings[0], spacings[-1] = 1, n - (len(edges) - 3) * k
    log_p = truth.log_mass(edges[:-1], edges[1:])
    p, q = log_p.exp(), spacings / (n + 1)
    # What log P is on average, and under P's own weight, where both distributions are the same.
    size = torch.tensor(n + 1.0, dtype=torch.float64)
    log_q = torch.digamma(spacings) - torch.digamma(size)
    log_q_by_p = torch.digamma(spacings + 1) - torch.digamma(size + 1)
    middle = torch.log((p + q) / 2)
    shared = torch.xlogy(p, p) - p * middle + q * (q.log() - middle)
    return Divergences(
        forward_kl=float((torch.xlogy(p, p) - p * log_q_by_p).sum()),
        reverse_kl=float((q * (log_q - log_p)).sum()),
        js=float(shared.sum()) / 2,
    )


def energy_distance(a: Tensor, b: Tensor) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of samples [n, D] and [m, D] (Szekely and Rizzo 2013).

    Each mean leaves out pairs of a sample with itself, so it is unbiased: 0 on average where both
    sets are of one distribution, and then often negative. No root is taken.

    Raises:
        ValueError: a set has fewer than two samples.
    """
    a, b = a.double().flatten(1), b.double().flatten(1)
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise ValueError(f"{n} and {m} samples: at least two each are needed")
    across = _total(a, b) / (n * m)
    return 2 * across - _total(a, a) / (n * (n - 1)) - _total(b, b) / (m * (m - 1))


def _total(a: Tensor, b: Tensor) -> float:
    """The sum of all distances between `a` and `b`."""
    rows = max(1, BLOCK // len(b))
    exact = "donot_use_mm_for_euclid_dist"
    return sum(float(torch.cdist(some, b, compute_mode=exact).sum()) for some in a.split(rows))


def _sorted(x: Tensor) -> Tensor:
    return x.detach().cpu().double().flatten().sort().values


DIRECTIONS = 512
AT_ONCE = 64  # directions


def sliced_wasserstein(
    first: Tensor, second: Tensor, directions: int = DIRECTIONS, seed: int = 0, p: int = 2
) -> float:
    """SW_p, the p-th root of the mean of W_p^p over random directions (Rabin et al. 2011).

    Of the two sets' projections on each direction, W_p^p is the integral over u in [0, 1] of
    |F^-1(u) - G^-1(u)|^p, which is taken exactly also where the sets' sizes differ.

    Args:
        first: points, images or features [n, *shape]; flattened.
        second: [m, *shape].
        directions: how many, uniform on the sphere.
        seed: of the directions.
        p: order of the distance.

    Raises:
        ValueError: a set is empty, or their shapes differ.
    """
    if first.shape[1:] != second.shape[1:] or not len(first) or not len(second):
        raise ValueError(f"sets {list(first.shape)} and {list(second.shape)}: must be alike")
    x, y = (a.flatten(1).float() for a in (first, second))
    random = torch.Generator().manual_seed(seed)
    axes = torch.randn(directions, x.shape[1], generator=random)
    axes = torch.nn.functional.normalize(axes, dim=1).to(x.device)
    total = 0.0
    for some in axes.split(AT_ONCE):
        total += wasserstein_power(x @ some.T, y @ some.T, p).sum().item()
    return (total / directions) ** (1 / p)


def wasserstein_power(first: Tensor, second: Tensor, p: int) -> Tensor:
    """W_p^p, float64 [k], between columns of numbers [n, k] and [m, k], each row of equal weight.

    Both quantile functions are constant between the multiples of 1/n and 1/m.
    """
    n, m = len(first), len(second)
    # In units of 1 / (n m) the steps lie at whole numbers, so none is lost to rounding.
    ends = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    weights = ((ends - starts).to(torch.float64) / (n * m)).to(first.device)
    rows_x, rows_y = (starts // m).to(first.device), (starts // n).to(first.device)
    x, y = first.sort(0).values[rows_x], second.sort(0).values[rows_y]
    return weights @ (x.to(torch.float64) - y.to(torch.float64)).abs().pow(p)
