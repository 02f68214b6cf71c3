"""Kernel Inception Distance: the squared maximum mean discrepancy under a cubic kernel."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

SUBSETS = 100
SUBSET_SIZE = 1000


class KernelDistance(NamedTuple):
    """The squared discrepancy over random subsets. A perfect generator's may be below 0."""

    value: float  # mean over the subsets
    deviation: float  # population deviation over the subsets, which torch-fidelity gives
    error: float | None  # standard error of `value`; None where subsets take every sample
    subset_size: int


def kernel_distance(
    first: Tensor,
    second: Tensor,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = 0,
) -> KernelDistance:
    """KID: mean of MMD^2 over random subsets (Binkowski et al. 2018, section 4).

    The deviation over subsets of s samples says how far one subset is off. It shrinks as they take
    up more of the n samples that there are: deviation^2 = v (1/s - 1/n) for some v. The mean over
    many subsets has the error (v / n)^1/2, to which drawing a finite number of them adds. Where
    the two sets are of one distribution the true error is smaller still.

    Args:
        first: features [n, width].
        second: features [m, width].
        subsets: how many are drawn, each without repetition and from both sets.
        subset_size: samples in each; fewer where a set is smaller.
        seed: of the drawing.

    Raises:
        ValueError: a set has fewer than two samples, or their widths differ.
    """
    if first.shape[1:] != second.shape[1:] or first.dim() != 2:
        raise ValueError(f"features {list(first.shape)} and {list(second.shape)}: must be alike")
    size = min(subset_size, len(first), len(second))
    if size < 2:
        raise ValueError(f"{len(first)} and {len(second)} samples: must be at least 2 each")
    random = torch.Generator().manual_seed(seed)
    everything = size == len(first) == len(second)
    found = torch.zeros(1 if everything else subsets, dtype=torch.float64)
    for i in range(len(found)):
        x, y = (_subset(features, size, random) for features in (first, second))
        found[i] = squared_discrepancy(x, y)
    value, deviation = found.mean().item(), found.std(correction=0).item()
    rest = min(len(first), len(second)) - size
    error = deviation * math.sqrt(size / rest + 1 / subsets) if rest else None
    return KernelDistance(value, deviation, error, size)


def squared_discrepancy(x: Tensor, y: Tensor) -> Tensor:
    """Unbiased MMD^2, a scalar, of features [n, width] and [m, width].

    (Gretton et al. 2012, Eq. 3), with the kernel k(a, b) = (<a, b> / width + 1)^3 of Binkowski et
    al. 2018, section 4. Averages of k leave a sample's kernel with itself out.
    """
    n, m = len(x), len(y)
    within_x, within_y, across = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    return (
        (within_x.sum() - within_x.trace()) / (n * (n - 1))
        + (within_y.sum() - within_y.trace()) / (m * (m - 1))
        - 2 * across.mean()
    )


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return ((a @ b.T).to(torch.float64) / a.shape[1] + 1) ** 3


def _subset(features: Tensor, size: int, random: torch.Generator) -> Tensor:
    chosen = torch.randperm(len(features), generator=random)[:size]
    return features[chosen.to(features.device)]
