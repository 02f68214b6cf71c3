"""Mutual information: of two labellings exactly, of codes and samples from below. In nats."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


class Bound(NamedTuple):
    """A lower bound of a mutual information, from samples."""

    value: float  # in nats
    error: float | None  # standard error; None of one sample


def information_bound(log_posterior: Tensor, log_prior: Tensor) -> Bound:
    """E[log Q(c|x)] + H(c), a lower bound of I(c; x) (Chen et al. 2016, Eq. 5).

    H(c) enters as -E[log p(c)], over the same samples.

    Args:
        log_posterior: log Q(c|x) of each sample's own code, [n].
        log_prior: log p(c), [n].
    """
    gained = log_posterior.double() - log_prior.double()
    error = gained.std().item() / math.sqrt(len(gained)) if len(gained) > 1 else None
    return Bound(gained.mean().item(), error)


def entropy(counts: Tensor) -> float:
    """Of the shares that counts of any shape stand for, in nats.

    Raises:
        ValueError: all counts are 0.
    """
    total = counts.sum()
    if not int(total):
        raise ValueError("all counts are 0: an entropy takes at least 1 sample")
    return torch.special.entr(counts.double() / total).sum().item()


def mutual_information(table: Tensor) -> float:
    """I of two labellings from how often each pair of labels comes up, [labels, labels], in nats.

    Raises:
        ValueError: all counts are 0.
    """
    told = entropy(table.sum(1)) + entropy(table.sum(0)) - entropy(table)
    return max(told, 0.0)  # independent labellings come out at +-1e-16


def normalised_mutual_information(table: Tensor) -> float:
    """I over the arithmetic mean of both entropies (Strehl and Ghosh 2002 take the geometric one).

    1 where either labelling tells the other, 0 where neither says anything of the other; also 0
    where one of them has a single label only, and 1 where both have.

    Raises:
        ValueError: all counts are 0.
    """
    mean = (entropy(table.sum(1)) + entropy(table.sum(0))) / 2
    return mutual_information(table) / mean if mean > 0 else 1.0


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


def score(mean_probability: Tensor, mean_entropy: float) -> float:
    """exp(E_x KL(p(y|x) || p(y))) (Salimans et al. 2016, section 4), from 1 to the classes' number.

    The mean divergence is the entropy of p(y) less the mean entropy of p(y|x). Over all samples
    at once: no splits.

    Args:
        mean_probability: p(y), the mean of p(y|x) over all samples, float64 [classes].
        mean_entropy: of p(y|x), over all samples, in nats.
    """
    total = torch.special.entr(mean_probability).sum().item()
    return math.exp(max(total - mean_entropy, 0.0))


SPLITS = 10  # of the Inception Score


def split_starts(n: int) -> Tensor:
    """Where each of ten consecutive parts of `n` samples begins, and the last one's end."""
    return torch.arange(SPLITS + 1) * n // SPLITS


def split_scores(logits: Tensor) -> Tensor:
    """The score of each of ten consecutive parts of the samples, float64 [10].

    Their mean and deviation are the Inception Score (Salimans et al. 2016, and its code).

    Args:
        logits: of p(y|x), [n, classes], n from 10 on.

    Raises:
        ValueError: there are fewer samples.
    """
    if len(logits) < SPLITS:
        raise ValueError(f"{len(logits)} samples: {SPLITS} splits take at least {SPLITS}")
    starts, found = split_starts(len(logits)).tolist(), []
    for start, end in pairwise(starts):
        p = logits[start:end].double().softmax(1)
        found.append(score(p.mean(0), torch.special.entr(p).sum(1).mean().item()))
    return torch.tensor(found, dtype=torch.float64)
