"""Several Gaussians at once: exact log-densities, samples, and what EM needs to fit them.

Below, K Gaussians live in D dimensions; x are n points [n, D].
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.linalg import solve_triangular

TINY = 1e-30  # keeps a share of nothing from being 0 / 0
NUMBERS = 2**20  # that are held at once, as far as can be: 4 MB, as caches do
EMPTY = 1e-10  # a component with no more of the data than this stays as it is


class Moments(NamedTuple):
    """Of weighted points, for every Gaussian: all that EM's M-step looks at.

    Second moments are taken about the mean, which float32 bears where the raw sums of squares of
    a narrow Gaussian far from 0 would cancel.
    """

    mass: Tensor  # [K], the mean weight of a point
    mean: Tensor  # [K, F], of the points' features
    seconds: tuple[Tensor, ...]  # each [K, ...], weighted means of squares of features less `mean`


class Gaussians(nn.Module, ABC):
    """K Gaussians in D dimensions; abstract in how their covariances are written.

    Args:
        components: K.
        dimension: D.
        floor: the least variance; what it bounds depends on the covariance.
    """

    log_deviation: nn.Parameter  # [K, ...], what the floor bounds

    def __init__(self, components: int, dimension: int, floor: float) -> None:
        super().__init__()
        self.floor = floor
        self.means = nn.Parameter(0.5 * torch.randn(components, dimension))

    @abstractmethod
    def log_prob_of(self, some: slice, x: Tensor) -> Tensor:
        """log N(x | mean, covariance) under some of them, [k, n], in nats."""

    @abstractmethod
    def colour(self, noise: Tensor, which: int) -> Tensor:
        """Standard normals [n, width] as deviations [n, D] from the mean of one Gaussian."""

    @abstractmethod
    def square(self, deviations: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """`Moments.seconds` of features less their mean [K, n, F] with weights [K, n]."""

    @abstractmethod
    def solve(self, moments: Moments) -> tuple[dict[str, Tensor], Moments]:
        """The parameters, by name, under which points with these moments are likeliest.

        No mass is 0, and there may be fewer than K Gaussians. Also the moments, as in `fit`.
        """

    @abstractmethod
    def make_round(self, variance: Tensor) -> None:
        """Give all of them the covariance `variance` (a scalar) times the identity, or nearly."""

    @torch.no_grad()
    def keep_above_floor(self) -> None:
        """Raise what fell below the floor to it."""
        self.log_deviation.clamp_(min=math.log(self.floor) / 2)

    @property
    def width(self) -> int:
        """Of the noise that `colour` takes."""
        return self.means.shape[1]

    def features(self, some: slice, x: Tensor) -> Tensor:
        """What moments are taken of, [k, n, F]: the points themselves unless there are latents."""
        return x.expand(len(self.means[some]), *x.shape)

    def log_prob(self, x: Tensor) -> Tensor:
        """log N(x | mean, covariance) under each, [K, n], in nats."""
        return torch.cat([self.log_prob_of(some, x) for some in self._groups(x)])

    def moments(self, x: Tensor, weights: Tensor) -> Moments:
        """Those of points with weights [K, n]."""
        weights = weights / len(x)
        found = [self._moments_in(some, x, weights[some]) for some in self._groups(x)]
        mass, mean, seconds = zip(*found, strict=True)
        return Moments(
            torch.cat(mass), torch.cat(mean), tuple(map(torch.cat, zip(*seconds, strict=True)))
        )

    def _moments_in(self, some: slice, x: Tensor, weights: Tensor) -> Moments:
        """Of some of them; far-off points, whose weight is 0 to the last bit, are left out."""
        near = (weights > 0).any(0)
        return self.moments_of(some, x[near], weights[:, near])

    def _groups(self, x: Tensor) -> list[slice]:
        """As many at a time as differences of these points from their means fit into a cache."""
        count = max(1, NUMBERS // x.numel())
        return [slice(k, k + count) for k in range(0, len(self.means), count)]

    @torch.no_grad()
    def fit(self, moments: Moments) -> Moments:
        """Maximise the likelihood of points with these moments; what has none of them stays.

        Returns the same moments as the new parameters see them.
        """
        rows = (moments.mass > EMPTY).nonzero().squeeze(1)
        mass, mean, seconds = moments
        some = Moments(mass[rows], mean[rows], tuple(second[rows] for second in seconds))
        found, seen = self.solve(some)
        for name, value in found.items():
            parameter = self.get_parameter(name)
            parameter[rows] = value.to(parameter)

        def put(old: Tensor, new: Tensor) -> Tensor:
            return old.index_copy(0, rows, new.to(old))

        return Moments(mass, put(mean, seen.mean), tuple(map(put, seconds, seen.seconds)))

    def moments_of(self, some: slice, x: Tensor, weights: Tensor) -> Moments:
        """Those of points with weights [k, n], for some of them; their sum is the mass."""
        features = self.features(some, x)
        mass = weights.sum(1)
        mean = torch.bmm(weights.unsqueeze(1), features).squeeze(1) / _column(mass.clamp_min(TINY))
        return Moments(mass, mean, self.square(features - mean.unsqueeze(1), weights))

    def merge(self, old: Moments, new: Moments, rate: float) -> Moments:
        """Those of a share 1 - `rate` of old points and `rate` of new ones.

        The mean of both raw moments, written about the means (Chan et al. 1983, Eq. 2.1).
        """
        kept, added = (1 - rate) * old.mass, rate * new.mass
        mass = kept + added
        share = added / mass.clamp_min(TINY)
        gap = new.mean - old.mean
        between = self.square(gap.unsqueeze(1), (kept * share).unsqueeze(1))
        within = zip(old.seconds, new.seconds, between, strict=True)
        seconds = tuple((1 - rate) * a + rate * b + c for a, b, c in within)
        return Moments(mass, old.mean + _column(share) * gap, seconds)


class Diagonal(Gaussians):
    """A variance for every coordinate; the floor bounds each."""

    def __init__(self, components: int, dimension: int, floor: float) -> None:
        super().__init__(components, dimension, floor)
        self.log_deviation = nn.Parameter(torch.full((components, dimension), math.log(0.5)))

    def log_prob_of(self, some: slice, x: Tensor) -> Tensor:
        log_deviation = self.log_deviation[some]
        scaled = (x - self.means[some].unsqueeze(1)) * (-log_deviation).exp().unsqueeze(1)
        normaliser = log_deviation.sum(1) + x.shape[1] * math.log(2 * math.pi) / 2
        return -0.5 * scaled.square().sum(2) - normaliser.unsqueeze(1)

    def colour(self, noise: Tensor, which: int) -> Tensor:
        return noise * self.log_deviation[which].exp()

    def square(self, deviations: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        return (torch.bmm(weights.unsqueeze(1), deviations.square()).squeeze(1),)

    def solve(self, moments: Moments) -> tuple[dict[str, Tensor], Moments]:
        variance = (moments.seconds[0] / _column(moments.mass)).clamp_min(self.floor)
        return {"means": moments.mean, "log_deviation": variance.log() / 2}, moments

    def make_round(self, variance: Tensor) -> None:
        self.log_deviation.fill_(variance.log() / 2)


class Full(Gaussians):
    """Any covariance, as its Cholesky factor.

    The floor bounds the variance of every coordinate given those before it, which are the squares
    on the factor's diagonal; `solve` bounds all eigenvalues, which implies it.
    """

    def __init__(self, components: int, dimension: int, floor: float) -> None:
        super().__init__(components, dimension, floor)
        self.log_deviation = nn.Parameter(torch.full((components, dimension), math.log(0.5)))
        self.below = nn.Parameter(torch.zeros(components, dimension, dimension))

    def factor(self, some: slice = slice(None)) -> Tensor:
        """L [k, D, D], lower triangular, of covariances L L^T."""
        return self.below[some].tril(-1) + torch.diag_embed(self.log_deviation[some].exp())

    def log_prob_of(self, some: slice, x: Tensor) -> Tensor:
        deviations = (x - self.means[some].unsqueeze(1)).mT
        white = solve_triangular(self.factor(some), deviations, upper=False)  # [k, D, n]
        normaliser = self.log_deviation[some].sum(1) + x.shape[1] * math.log(2 * math.pi) / 2
        return -0.5 * white.square().sum(1) - normaliser.unsqueeze(1)

    def colour(self, noise: Tensor, which: int) -> Tensor:
        return noise @ self.factor(slice(which, which + 1))[0].mT

    def square(self, deviations: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        return (torch.bmm((weights.unsqueeze(2) * deviations).mT, deviations),)

    def solve(self, moments: Moments) -> tuple[dict[str, Tensor], Moments]:
        """Of all covariances with eigenvalues above the floor; in float64, on the CPU."""
        covariance = moments.seconds[0].cpu().double() / moments.mass.cpu().view(-1, 1, 1)
        values, vectors = torch.linalg.eigh(covariance)
        root = values.clamp_min(self.floor).sqrt().unsqueeze(2) * vectors.mT
        upper = torch.linalg.qr(root).R  # R^T R is the covariance, and no rounding can undo that
        upper = upper * upper.diagonal(dim1=1, dim2=2).sign().unsqueeze(2)
        diagonal = {"log_deviation": upper.diagonal(dim1=1, dim2=2).log()}
        return diagonal | {"means": moments.mean, "below": upper.mT.tril(-1)}, moments

    def make_round(self, variance: Tensor) -> None:
        self.log_deviation.fill_(variance.log() / 2)
        self.below.zero_()


def _column(values: Tensor) -> Tensor:
    return values.unsqueeze(1)
