"""A mixture of Gaussians: its density, its samples, and where to begin."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gan_cli.models.gaussians import NUMBERS, TINY, Gaussians, Moments


class GaussianMixture(nn.Module):
    """sum_k w_k N(x | mean_k, covariance_k), in float32 whatever else is computed in."""

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
        """The M-step. A component without data keeps its place, with next to no weight.

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
    """Within it, nothing is rounded to bf16: densities of narrow Gaussians would be lost."""
    return torch.autocast(x.device.type, enabled=False)
