"""Mean and covariance in one pass, and the Fréchet distance between two Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 1024  # samples that are turned to float64 at once


class Moments:
    """Mean and covariance of samples that come in pieces, in float64.

    Centred sums are merged pairwise (Chan, Golub and LeVeque 1983, Eq. 2.1), so that nothing large
    cancels; how samples are split into pieces changes only the rounding. Memory is that of a few
    [width, width] tables.
    """

    def __init__(self, width: int, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self.mean = torch.zeros(width, dtype=torch.float64, device=device)
        self._scatter = torch.zeros(width, width, dtype=torch.float64, device=device)

    def update(self, features: Tensor) -> None:
        """Add samples [n, width].

        Raises:
            ValueError: they have another width.
        """
        if features.dim() != 2 or features.shape[1] != len(self.mean):
            raise ValueError(f"features {list(features.shape)}: must be [n, {len(self.mean)}]")
        for piece in features.split(ROWS):
            if len(piece):
                self._add(piece.to(self.mean.device, torch.float64))

    def _add(self, piece: Tensor) -> None:
        mean = piece.mean(0)
        centred = piece - mean
        self._join(len(piece), mean)
        self._scatter.addmm_(centred.T, centred)

    def _join(self, count: int, mean: Tensor) -> None:
        """What `count` more samples around `mean` change, apart from their own scatter."""
        gap = mean - self.mean
        total = self.count + count
        self._scatter.addr_(gap, gap, alpha=self.count * count / total)
        self.mean = self.mean + gap * (count / total)
        self.count = total

    @property
    def covariance(self) -> Tensor:
        """Of all samples, divided by count - 1, [width, width].

        Raises:
            ValueError: there are fewer than two.
        """
        if self.count < 2:
            raise ValueError(f"count = {self.count}: a covariance takes at least 2 samples")
        # Products of rounded numbers are not quite symmetric.
        return (self._scatter + self._scatter.T) / (2 * (self.count - 1))


def frechet_distance(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> float:
    """The squared Fréchet distance of two Gaussians, which is FID on Inception's features.

    d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) (Dowson and Landau 1982, Eq. 4; Heusel et al.
    2017, Eq. 6). With Ci = Li Li^T, (C1 C2)^1/2 has the trace of (L1^T C2 L1)^1/2, which is the
    sum of the singular values of L1^T L2. Neither an inverse nor a complex number comes up, and
    covariances of few samples, which are singular, lose no digits.

    Args:
        mean1: [width].
        cov1: [width, width], symmetric, without negative eigenvalues.
        mean2: [width].
        cov2: [width, width], like `cov1`.

    Raises:
        ValueError: something is not finite, or a covariance is none, beyond rounding.
    """
    return _between(_rooted(mean1, cov1), _rooted(mean2, cov2))


def _rooted(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A mean, the trace of a covariance and its root."""
    mean, covariance = mean.to(torch.float64), covariance.to(torch.float64)
    if not all(bool(x.isfinite().all()) for x in (mean, covariance)):
        raise ValueError("a mean or covariance holds NaN or infinity")
    return mean, covariance.trace(), _root(covariance)


def _between(first: tuple[Tensor, Tensor, Tensor], second: tuple[Tensor, Tensor, Tensor]) -> float:
    (m1, trace1, root1), (m2, trace2, root2) = first, second
    shared = torch.linalg.svdvals(root1.T @ root2).sum()
    squared = (m1 - m2).square().sum() + trace1 + trace2 - 2 * shared
    return max(squared.item(), 0.0)  # identical Gaussians come out at +-1e-15 of their trace


POINTS, LEAST = 15, 5000  # of the line, and samples at its first, as in the authors' code


def extrapolated_distance(
    features: Tensor, mean: Tensor, covariance: Tensor, least: int = LEAST, seed: int = 0
) -> float:
    """FID-infinity: the distance at 1/N = 0 (Chong and Forsyth 2020, section 3.1, and their code).

    The bias of FID is near linear in 1/N. Of 15 numbers N, evenly from `least` to all samples, the
    distance of N random ones is computed, and a line in 1/N fitted by least squares. May be below
    0, where the truth is near 0.

    Args:
        features: of generated samples, [n, width].
        mean: of the real ones, [width].
        covariance: of the real ones, [width, width].
        least: samples at the first point, from 2 on and below n.
        seed: of the choices.

    Raises:
        ValueError: there are too few samples.
    """
    if not 2 <= least < len(features):
        raise ValueError(f"least = {least}: must be from 2 to below the {len(features)} samples")
    random = torch.Generator().manual_seed(seed)
    counts = torch.linspace(least, len(features), POINTS, dtype=torch.float64).long()
    found = torch.zeros(POINTS, dtype=torch.float64)
    real = _rooted(mean, covariance)
    for i, count in enumerate(counts.tolist()):
        moments = Moments(features.shape[1])
        moments.update(features[torch.randperm(len(features), generator=random)[:count]])
        found[i] = _between(_rooted(moments.mean, moments.covariance), real)
    inverse = 1 / counts.double()
    apart = inverse - inverse.mean()
    slope = (apart @ found) / (apart @ apart)
    return (found.mean() - slope * inverse.mean()).item()


def _root(covariance: Tensor) -> Tensor:
    """L [width, rank] with L L^T = covariance; eigenvalues within rounding of 0 are left out."""
    rounding = len(covariance) * torch.finfo(torch.float64).eps * covariance.abs().amax()
    if (covariance - covariance.T).abs().amax() > 10 * rounding:
        raise ValueError("a covariance is not symmetric")
    values, vectors = torch.linalg.eigh(covariance)
    noise = 10 * len(covariance) * torch.finfo(torch.float64).eps * values.abs().amax()
    if values[0] < -noise:
        raise ValueError(f"a covariance has the negative eigenvalue {values[0].item():.3g}")
    kept = values > noise
    return vectors[:, kept] * values[kept].sqrt()
