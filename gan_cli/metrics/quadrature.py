"""Distances of a density from equally likely Gaussians, by quadrature around each of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

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
