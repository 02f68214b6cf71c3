"""Sliced Wasserstein distance: that of one-dimensional projections, which sorting solves."""

from __future__ import annotations

import torch
from torch import Tensor

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
