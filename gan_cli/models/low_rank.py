"""Gaussians whose covariance is of low rank, but for noise: probabilistic principal components."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.linalg import solve_triangular

from gan_cli.models.gaussians import Gaussians, Moments


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
    """What belongs to x, and to z, in float64 on the CPU."""
    values = values.cpu().double()
    size = values.shape[dim]
    return values.narrow(dim, 0, size - rank), values.narrow(dim, size - rank, rank)
