"""How well clusters without names agree with classes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


class Matching(NamedTuple):
    """The one-to-one naming of clusters after classes under which most samples are right."""

    accuracy: float  # share of samples in the cluster that is named after their class
    names: list[int]  # of each cluster: its class, or -1 where there are more clusters


def contingency(clusters: Tensor, classes: Tensor, shape: tuple[int, int]) -> Tensor:
    """How often each cluster and class come together, int64 [number of clusters, of classes].

    Args:
        clusters: of each sample, int64 [n].
        classes: of each sample, int64 [n].
        shape: how many clusters and classes there are.
    """
    both = clusters.cpu() * shape[1] + classes.cpu()
    return both.bincount(minlength=shape[0] * shape[1]).view(shape)


def best_matching(table: Tensor) -> Matching:
    """The optimal assignment (Kuhn 1955, the Hungarian method) for counts [clusters, classes].

    Samples of a cluster or class that finds no partner are wrong.

    Raises:
        ValueError: there are no samples.
    """
    total = int(table.sum())
    if not total:
        raise ValueError("no samples: a matching takes at least 1")
    rows, columns = linear_sum_assignment(table.numpy(), maximize=True)
    names = [-1] * len(table)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        names[row] = column
    right = int(table[torch.from_numpy(rows), torch.from_numpy(columns)].sum())
    return Matching(right / total, names)
