"""A mixture of Gaussians fitted by maximum likelihood: no generator, no discriminator, no game.

By EM (Dempster et al. 1977), on batches stepwise (Cappe and Moulines 2009, Eq. 12; Liang and Klein
2009, section 3.2), or by gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from gan_cli.model import Batch, DataSpec, Grid, Loss, Model, Phase, View
from gan_cli.models.faults import below, one_of, refuse
from gan_cli.models.gaussians import Diagonal, Full, GaussianMixture, Gaussians, LowRank, Moments
from gan_cli.models.pictures import on_the_line, on_the_plane, table

COVARIANCES, FITS = ("full", "diagonal", "low_rank"), ("em", "gradient")
LARGEST = 10**8  # numbers in one table of full covariances: .4 GB, and fitting holds several
SHOWN = 100  # components drawn
LEAST = 1e-12  # floor: deviations of 1e-6, below which float32 cannot separate points


class Mixture(Model):
    """K Gaussians with weights, whose log-density is exact.

    Args:
        data: to be modelled.
        components: K.
        covariance: "full", "diagonal" or "low_rank" (probabilistic principal components).
        rank: of the latter.
        fit: "em" or "gradient".
        floor: the least variance, of a coordinate (diagonal), along any direction (full) or of
            the noise (low_rank).
        em_rate: alpha; the t-th step, counted from 0, takes a share (t + 2)^-alpha of its batch's
            moments into the running ones. The first batch, and one that is all the data, is taken
            whole; the latter is classic EM, whose likelihood never falls.
    """

    def __init__(
        self,
        data: DataSpec,
        components: int = 8,
        covariance: str = "diagonal",
        rank: int = 10,
        fit: str = "em",
        floor: float = 1e-6,
        em_rate: float = 0.7,
    ) -> None:
        super().__init__()
        self.data, self.components, self.smallest_batch = data, components, components
        self.covariance, self.rank, self.floor = covariance, rank, floor
        self.by_em, self.em_rate = fit == "em", em_rate
        self.dimension = math.prod(data.shape)
        refuse(self._faults(fit))
        self.mixture = GaussianMixture(self._gaussians())
        self.indivisible = "k-means++ begins with the samples of one part"
        if self.by_em:
            self.running = Running(self.mixture.gaussians)
            self.indivisible = "EM keeps moments of the samples of one part"

    def _faults(self, fit: str) -> Iterator[str]:
        size, dim, name = self.data.size, self.dimension, self.data.name
        yield from below({"components": self.components}, 1)
        if self.components > size:
            yield (
                f"model.components = {self.components}: must not exceed the {size} samples of "
                f"data={name}"
            )
        yield from one_of("covariance", self.covariance, COVARIANCES)
        yield from one_of("fit", fit, FITS)
        if self.covariance == "low_rank" and dim == 1:
            yield (
                f"model.covariance = low_rank: data={name} has one dimension; use "
                "model.covariance=diagonal"
            )
        elif self.covariance == "low_rank" and not 1 <= self.rank < dim:
            yield (
                f"model.rank = {self.rank}: must be at least 1 and below the {dim} dimensions of "
                f"data={name}"
            )
        numbers = self.components * dim**2
        if self.covariance == "full" and numbers > LARGEST:
            yield (
                f"model.covariance = full: {self.components} tables of {dim} x {dim} numbers are "
                f"{4e-9 * numbers:.1f} GB, and fitting needs several times that; use "
                "model.covariance=low_rank or diagonal, or fewer components"
            )
        if self.floor < LEAST:
            yield f"model.floor = {self.floor:g}: must be at least {LEAST:g}, or float32 is lost"
        if not 0.5 < self.em_rate <= 1:
            yield f"model.em_rate = {self.em_rate:g}: must lie above 0.5 and be at most 1"

    def _gaussians(self) -> Gaussians:
        shape = self.components, self.dimension, self.floor
        if self.covariance == "low_rank":
            return LowRank(*shape, self.rank)
        return Full(*shape) if self.covariance == "full" else Diagonal(*shape)

    def phases(self) -> list[Phase]:
        """One, that of the mixture."""
        if self.by_em:
            trains = (self.mixture, self.running)
            return [Phase("mixture", self.expect, trains, solved=True, after=self.maximise)]
        after = self.mixture.gaussians.keep_above_floor
        return [Phase("mixture", self.divergence, (self.mixture,), after=after)]

    def divergence(self, batch: Batch) -> Loss:
        """The mean of -log p(x): the Kullback-Leibler divergence but for the data's entropy."""
        x = self._points(batch)
        return self._loss(self.mixture.log_density(x))

    @torch.no_grad()
    def expect(self, batch: Batch) -> Loss:
        """EM's E-step, which takes the batch's moments into the running ones."""
        moments, log_density = self.mixture.expect(self._points(batch))
        step = batch.step
        whole = step == 0 or len(batch) == self.data.size
        rate = 1.0 if whole else (step + 2) ** -self.em_rate
        self.running.store(self.mixture.gaussians.merge(self.running.moments, moments, rate))
        return self._loss(log_density)

    def maximise(self) -> None:
        """EM's M-step."""
        self.running.store(self.mixture.maximise(self.running.moments))

    def _points(self, batch: Batch) -> Tensor:
        """The batch's samples as points [n, D]; the run's first ones initialise the means."""
        x = batch.real.flatten(1)
        if batch.step == 0:
            self.mixture.begin(x)
        return x

    def _loss(self, log_density: Tensor) -> Loss:
        mean = log_density.mean()
        entropy = torch.special.entr(self.mixture.weights.detach()).sum()
        return Loss(-mean, {"log_likelihood": mean.detach(), "components_used": entropy.exp()})

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        """Draw from the mixture; images are cut off at -1 and 1, where data end."""
        points = self.mixture.sample(n).view(n, *self.data.shape)
        return points.clamp(-1, 1) if self.data.is_image else points

    def likelihood(self, batch: Batch, samples: int) -> Mapping[str, Tensor]:
        return {"log_likelihood": self.mixture.log_density(batch.real.flatten(1))}

    def averaged(self) -> tuple[nn.Module, ...]:
        """Modules that gradients move; EM's running moments are averages already."""
        return () if self.by_em else (self.mixture,)

    def views(
        self, real: Batch, log_density: Callable[[Tensor], Tensor | None]
    ) -> Mapping[str, View]:
        """Images: the likeliest components' means, and samples. Points: truth and density."""
        if self.data.is_image:
            order = self.mixture.weights.argsort(descending=True)[:SHOWN]
            means = self.mixture.gaussians.means[order].view(-1, *self.data.shape).clamp(-1, 1)
            return {"samples/components": table(means), "samples/random": Grid(self.sample(64), 8)}
        densities = {"data": log_density, "mixture": self.mixture.log_density}
        if self.dimension == 1:
            return {"theory/density": on_the_line(real.real, densities)}
        if self.dimension == 2:
            return {"theory/log_density": on_the_plane(real.real, densities)}
        return {}


class Running(nn.Module):
    """EM's running moments, which a checkpoint holds."""

    @torch.no_grad()
    def __init__(self, gaussians: Gaussians) -> None:
        super().__init__()
        means = gaussians.means.detach()
        nothing = gaussians.moments(means[:1], means.new_zeros(len(means), 1))
        self.register_buffer("mass", nothing.mass)
        self.register_buffer("mean", nothing.mean)
        for place, second in enumerate(nothing.seconds):
            self.register_buffer(f"second_{place}", second)

    @property
    def moments(self) -> Moments:
        """The current moments."""
        mass, mean, *seconds = self.buffers()
        return Moments(mass, mean, tuple(seconds))

    def store(self, moments: Moments) -> None:
        """Replace them by these."""
        values = (moments.mass, moments.mean, *moments.seconds)
        for own, new in zip(self.buffers(), values, strict=True):
            own.copy_(new)
