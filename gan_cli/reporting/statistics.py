"""Intervals, and rank tests that are exact for up to about sixty seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from gan_cli.formatting import Interval

LEVEL = 0.95  # of the intervals
WORK = 1e8  # additions of an exact test; beyond, its distribution is taken for normal
ALPHA = 0.05  # below it, a difference is called clear


def interval(values: Sequence[float]) -> Interval:
    """The mean of `values` and its t-interval of `LEVEL` (Student 1908)."""
    n, mean = len(values), math.fsum(values) / len(values)
    if n < 2:
        return Interval(mean, None, None)
    from scipy.special import stdtrit

    deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (n - 1))
    half = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half)


def rank_sum(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p of the exact Mann-Whitney test (Mann and Whitney 1947), ties included.

    The distribution is that of the rank sum of `a` over all ways to deal the joint ranks out; for
    many values (60 against 60) it is the normal one of the same mean and variance.
    """
    if len(a) > len(b):
        a, b = b, a
    ranks = _doubled_ranks(np.array([*a, *b], dtype=float))
    observed = int(ranks[: len(a)].sum())
    total = int(ranks.sum())
    if (len(a) + 1) * len(ranks) ** 3 > WORK:
        variance = len(a) * len(b) / (len(ranks) - 1) * float(ranks.var())
        return _normal(observed - total * len(a) / len(ranks), variance)
    ways = np.zeros((len(a) + 1, total + 1))  # ways[k, s]: k of the ranks seen so far sum to s
    ways[0, 0] = 1
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, : total + 1 - rank].copy()
    return _two_sided(ways[len(a)], observed, total * len(a) / len(ranks))


def signed_rank(differences: Sequence[float]) -> float:
    """Two-sided p of the exact signed-rank test (Wilcoxon 1945); zeros are left out.

    For more than 460 differences the distribution is the normal one of the same mean and variance.
    """
    values = np.array([d for d in differences if d], dtype=float)
    if not len(values):
        return 1.0
    ranks = _doubled_ranks(np.abs(values))
    total = int(ranks.sum())
    if len(ranks) ** 3 > WORK:
        above = int(ranks[values > 0].sum())
        return _normal(above - total / 2, float((ranks.astype(float) ** 2).sum()) / 4)
    ways = np.zeros(total + 1)
    ways[0] = 1
    for rank in ranks:
        ways[rank:] += ways[: total + 1 - rank].copy()
    return _two_sided(ways, int(ranks[values > 0].sum()), total / 2)


def signed_ranks(differences: Sequence[float]) -> int:
    """Twice the sum of the ranks with their differences' signs, the test's statistic."""
    values = np.array([d for d in differences if d], dtype=float)
    return int((_doubled_ranks(np.abs(values)) * np.sign(values)).sum()) if len(values) else 0


def _doubled_ranks(values: ndarray) -> ndarray:
    """Twice the ranks from 1 on, so that the middle ranks of ties are whole."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (2 * last - counts + 1)[places]


def _two_sided(ways: ndarray, observed: int, middle: float) -> float:
    """The share of ways whose sum is at least as far from the middle."""
    away = np.abs(np.arange(len(ways)) - middle)
    share = ways[away >= abs(observed - middle) - 1e-9].sum() / ways.sum()
    return min(1.0, float(share))


def _normal(away: float, variance: float) -> float:
    """Two-sided p of a sum of doubled ranks, with half a rank as the correction of continuity."""
    if variance == 0:
        return 1.0
    return math.erfc(max(0.0, abs(away) - 1) / math.sqrt(2 * variance))


def least_rank_sum(n: int, m: int) -> float:
    """The smallest p that `rank_sum` can give for n and m values."""
    return min(1.0, 2 / math.comb(n + m, n))


def seeds_needed(comparisons: int) -> int:
    """Seeds of each of two configurations from which on a corrected p below `ALPHA` is possible."""
    n = 2
    while comparisons * least_rank_sum(n, n) >= ALPHA:
        n += 1
    return n


def holm(ps: Sequence[float]) -> list[float]:
    """The p values corrected for being many (Holm 1979), in their order."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    corrected, largest = [0.0] * len(ps), 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - place) * ps[i]))
        corrected[i] = largest
    return corrected
