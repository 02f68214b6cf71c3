"""Several Gaussians at once: exact log-densities, samples, and the steps of EM.

Below, K Gaussians live in D dimensions; x are n points [n, D].
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.linalg import solve_triangular

TINY = 1e-30  # avoids 0 / 0
NUMBERS = 2**20  # held at once where possible: 4 MB, the size of a cache
EMPTY = 1e-10  # a component with a smaller share of the data is not updated


class Moments(NamedTuple):
    """Moments of weighted points for every Gaussian: sufficient statistics of EM's M-step.

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
        floor: the least variance, of what depends on the covariance.
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
        """Raise variances below the floor to it."""
        self.log_deviation.clamp_(min=math.log(self.floor) / 2)

    @property
    def width(self) -> int:
        """Of the noise that `colour` takes."""
        return self.means.shape[1]

    def features(self, some: slice, x: Tensor) -> Tensor:
        """The features that moments are of, [k, n, F]: the points unless there are latents."""
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
        """Groups of Gaussians whose differences from these points fit into a cache."""
        count = max(1, NUMBERS // x.numel())
        return [slice(k, k + count) for k in range(0, len(self.means), count)]

    @torch.no_grad()
    def fit(self, moments: Moments) -> Moments:
        """Maximise the likelihood of points with these moments; Gaussians without mass stay.

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


class LowRank(Gaussians):
    """W W^T + s I with W [D, rank]: probabilistic principal components.

    x = W z + mean + noise of variance s, z standard normal (Tipping and Bishop 1999, Eq. 2); the
    floor bounds s. EM takes z for missing too, so its moments are those of x and z with z, and
    nothing of size D x D is made.
    """

    def __init__(self, components: int, dimension: int, floor: float, rank: int) -> None:
        super().__init__(components, dimension, floor)
        self.log_deviation = nn.Parameter(torch.full((components,), math.log(0.5)))
        self.loadings = nn.Parameter(0.1 * torch.randn(components, dimension, rank))

    @property
    def width(self) -> int:
        return sum(self.loadings.shape[1:])

    def root(self, some: slice) -> Tensor:
        """R [k, rank, rank], upper triangular, of M = R^T R = W^T W + s I.

        By a QR decomposition, since W^T W would square W's condition.
        """
        rank = self.loadings.shape[2]
        noise = torch.diag_embed(self.log_deviation[some].exp().unsqueeze(1).expand(-1, rank))
        return torch.linalg.qr(torch.cat([self.loadings[some], noise], dim=1)).R

    def latents(self, some: slice, deviations: Tensor, root: Tensor) -> Tensor:
        """E[z | x] = M^-1 W^T (x - mean) [k, n, rank] of x - mean [k, n, D]."""
        return torch.cholesky_solve((deviations @ self.loadings[some]).mT, root, upper=True).mT

    def log_prob_of(self, some: slice, x: Tensor) -> Tensor:
        """By Woodbury's identity and the determinant lemma.

        (x - mean)^T C^-1 (x - mean) is written |x - mean - W z|^2 / s + |z|^2 with z = E[z | x]: a
        sum of squares, which does not cancel.
        """
        rank, dim, root = self.loadings.shape[2], x.shape[1], self.root(some)
        log_deviation, deviations = self.log_deviation[some], x - self.means[some].unsqueeze(1)
        z = self.latents(some, deviations, root)
        rest = torch.baddbmm(deviations, z, self.loadings[some].mT, alpha=-1).square().sum(2)
        squared = rest * (-2 * log_deviation).exp().unsqueeze(1) + z.square().sum(2)
        log_root = root.diagonal(dim1=1, dim2=2).abs().log().sum(1)
        normaliser = log_root + (dim - rank) * log_deviation + dim * math.log(2 * math.pi) / 2
        return -0.5 * squared - normaliser.unsqueeze(1)

    def colour(self, noise: Tensor, which: int) -> Tensor:
        z, own = noise.split(self.loadings.shape[:0:-1], dim=1)
        return z @ self.loadings[which].mT + own * self.log_deviation[which].exp()

    def features(self, some: slice, x: Tensor) -> Tensor:
        """The points and the means of their latents, [k, n, D + rank]."""
        z = self.latents(some, x - self.means[some].unsqueeze(1), self.root(some))
        return torch.cat([super().features(some, x), z], dim=2)

    def moments_of(self, some: slice, x: Tensor, weights: Tensor) -> Moments:
        """With what the latents vary about their means, Cov[z | x] = s M^-1."""
        found = super().moments_of(some, x, weights)
        rank, variance = self.loadings.shape[2], (2 * self.log_deviation[some]).exp()
        spread = torch.cholesky_inverse(self.root(some), upper=True)
        found.seconds[0][:, -rank:] += (found.mass * variance).view(-1, 1, 1) * spread
        return found

    def square(self, deviations: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """Of x and z with z, [K, D + rank, rank], and the trace of that of x with x, [K]."""
        rank = self.loadings.shape[2]
        weighted = weights.unsqueeze(2) * deviations[:, :, -rank:]
        trace = (deviations[:, :, :-rank].square().sum(2) * weights).sum(1)
        return torch.bmm(deviations.mT, weighted), trace

    def solve(self, moments: Moments) -> tuple[dict[str, Tensor], Moments]:
        """The regression of x on z, with any mean and covariance of z; in float64, on the CPU.

        Which are then written into W and the mean (PX-EM, Liu et al. 1998): EM alone, with z held
        to be standard, takes hundreds of steps to find W's scale where the noise is small.
        """
        rank = self.loadings.shape[2]
        mass, mean_x = moments.mass.cpu().double(), _parts(moments.mean, rank, 1)[0]
        across, latent = _parts(moments.seconds[0], rank, 1)  # of x with z and of z with z
        trace = moments.seconds[1].cpu().double()
        share = mass.view(-1, 1, 1)
        scale = torch.linalg.cholesky(latent / share)  # of z; W times it is `loadings`
        loadings = solve_triangular(scale, across.mT / share, upper=False).mT
        variance = (trace / mass - loadings.square().sum((1, 2))) / mean_x.shape[1]
        found = {
            "means": mean_x,
            "loadings": loadings,
            "log_deviation": variance.clamp_min(self.floor).log() / 2,
        }
        standard = torch.eye(rank, dtype=share.dtype).expand_as(latent)
        second = share * torch.cat([loadings, standard], dim=1)  # now that z is standard
        mean = torch.cat([mean_x, mean_x.new_zeros(len(mean_x), rank)], dim=1)
        return found, Moments(moments.mass, mean, (second, moments.seconds[1]))

    def make_round(self, variance: Tensor) -> None:
        """Loadings of 0 would stay 0, so they are random."""
        self.log_deviation.fill_(variance.log() / 2)
        self.loadings.normal_().mul_(variance.sqrt() * self.loadings.shape[1] ** -0.5)


def _parts(values: Tensor, rank: int, dim: int) -> tuple[Tensor, Tensor]:
    """The parts of x and of z, in float64 on the CPU."""
    values = values.cpu().double()
    size = values.shape[dim]
    return values.narrow(dim, 0, size - rank), values.narrow(dim, size - rank, rank)


class GaussianMixture(nn.Module):
    """sum_k w_k N(x | mean_k, covariance_k), always in float32."""

    def __init__(self, gaussians: Gaussians) -> None:
        super().__init__()
        self.gaussians = gaussians
        self.logits = nn.Parameter(torch.zeros(len(gaussians.means)))  # of the weights w

    @property
    def weights(self) -> Tensor:
        """w, [K]."""
        return self.logits.softmax(0)

    def joint(self, x: Tensor) -> Tensor:
        """log(w_k N(x | k)) of points [n, D], [K, n]."""
        with _exactly(x):
            return self.logits.log_softmax(0).unsqueeze(1) + self.gaussians.log_prob(x)

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x) in nats of points [n, D], [n]."""
        return torch.cat([self.joint(some).logsumexp(0) for some in self._parts(x)])

    def expect(self, x: Tensor) -> tuple[Moments, Tensor]:
        """The E-step: moments weighted by p(k | x), and log p(x) [n]."""
        moments, found = None, list[Tensor]()
        for some in self._parts(x):
            joint = self.joint(some)
            found.append(joint.logsumexp(0))
            with _exactly(x):
                new = self.gaussians.moments(some, (joint - found[-1]).exp())
                seen = sum(map(len, found))
                share = len(some) / seen
                moments = new if moments is None else self.gaussians.merge(moments, new, share)
        assert moments is not None
        return moments, torch.cat(found)

    @torch.no_grad()
    def maximise(self, moments: Moments) -> Moments:
        """The M-step. A component without data keeps its mean, with almost no weight.

        Returns the same moments as the new parameters see them.
        """
        self.logits.copy_(moments.mass.clamp_min(TINY).log())
        return self.gaussians.fit(moments)

    def sample(self, n: int) -> Tensor:
        """Points [n, D]."""
        means = self.gaussians.means
        which = torch.multinomial(self.weights, n, replacement=True)
        width = self.gaussians.width
        noise = torch.randn(n, width, dtype=means.dtype, device=means.device)
        points = means[which]
        for k in which.unique().tolist():
            rows = which == k
            points[rows] += self.gaussians.colour(noise[rows], k)
        return points

    @torch.no_grad()
    def begin(self, x: Tensor) -> None:
        """Means at some of the points, by k-means++; one round covariance for all; even weights.

        Its variance is the mean square of a coordinate of the points less the nearest mean.
        """
        gaussians = self.gaussians
        means, squared = plus_plus(x, len(self.logits))
        gaussians.means.copy_(means)
        gaussians.make_round((squared.mean() / x.shape[1]).clamp_min(gaussians.floor))
        self.logits.zero_()

    def _parts(self, x: Tensor) -> Iterator[Tensor]:
        return iter(x.split(max(1, NUMBERS // x.shape[1])))


def plus_plus(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`count` of the points [n, D], far apart, and each point's squared distance to the nearest.

    k-means++ (Arthur and Vassilvitskii 2007, section 2.2): each next point with a probability
    proportional to its squared distance; all alike once every point is taken.
    """
    chosen: list[Tensor] = []
    squared = torch.ones(len(x), device=x.device)
    for place in range(count):
        odds = squared if squared.sum() > 0 else torch.ones_like(squared)
        chosen.append(x[torch.multinomial(odds, 1)])
        gaps = (x - chosen[-1]).square().sum(1)
        squared = torch.minimum(squared, gaps) if place else gaps
    return torch.cat(chosen), squared


def _exactly(x: Tensor) -> torch.autocast:
    """Turn autocast off: in bf16 densities of narrow Gaussians would be lost."""
    return torch.autocast(x.device.type, enabled=False)
