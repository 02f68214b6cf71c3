"""Variational autoencoders, with labels or without (Kingma and Welling 2014)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from gan_cli import labels
from gan_cli.model import Batch, DataSpec, Loss, Phase, View
from gan_cli.models.encoder import EncoderModel
from gan_cli.models.faults import below, not_normal, refuse, without_classes
from gan_cli.models.latent_variables import (
    APART,
    NONE,
    Centring,
    Gaussian,
    Posterior,
    binarised,
    bounds,
    log_prior,
    not_binary,
    observation,
)
from gan_cli.models.pictures import on_the_line, on_the_plane
from gan_cli.networks.family import NetworkFamily
from gan_cli.priors import Gaussian as StandardNormal
from gan_cli.priors import Prior, Product

AT_ONCE = 1 << 23  # numbers that `likelihood` decodes at once: 32 MB for each copy

LATENTS = 512  # drawn to show the density of points


class VAE(EncoderModel):
    """An encoder q(z | x) and a decoder p(x | z) that together raise a lower bound of log p(x).

    The bound is ELBO = E_q[log p(x | z)] - KL(q(z | x) || N(0, I)), with the KL in closed form
    (Kingma and Welling 2014, Eq. 7 and appendix B), or with `importance` > 1 that of Burda et al.
    2016, Eq. 8. The decoder is a generator: `generate` gives the mean of p(x | z) for images. For
    points it gives a draw of p(x | z), since that is what is distributed as the data; the prior's
    latents then hold the noise of the draw beside the code.

    Args:
        data: what is to be modelled.
        prior: of the codes; a standard normal.
        network: builds the decoder and the encoder.
        conditional: labels into both: log p(x | y) is modelled (Sohn et al. 2015).
        likelihood: p(x | z): "bernoulli" (images), "gaussian", or "auto", which is the first for
            images and the second for points.
        deviation: of the Gaussian; None to learn it.
        binarise: "none", or pixels drawn black or white, "dynamic" anew at each use or "fixed"
            once for all.
        beta: weight of the KL, 1 in the paper (Higgins et al. 2017).
        warm_up: steps over which the KL's weight rises linearly from 0; 0 for none.
        importance: samples of q whose weighted mean is the bound; 1 for the ELBO.
        corruption: deviation of the noise on what the encoder sees in training (denoising VAE, Im
            et al. 2017): the bound is then that of a mixture of q over the noise.
    """

    indivisible = APART
    label_ends: Tensor

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        conditional: bool = False,
        likelihood: str = "auto",
        deviation: float | None = None,
        binarise: str = NONE,
        beta: float = 1.0,
        warm_up: int = 0,
        importance: int = 1,
        corruption: float = 0.0,
    ) -> None:
        super().__init__()
        self.data, self.conditional, self.binarise = data, conditional, binarise
        self.beta, self.warm_up, self.importance = beta, warm_up, importance
        self.corruption = corruption
        self.codes = prior.dim
        observed = observation(data, likelihood, deviation)
        refuse(self._faults(prior, isinstance(observed, Gaussian)))
        noise = {} if data.is_image else {"noise": StandardNormal(math.prod(data.shape))}
        self.prior = Product(code=prior, **noise) if noise else prior
        classes = data.classes if conditional else 0
        if conditional:
            self.register_buffer("label_ends", labels.upper_ends(data.shares), persistent=False)
        self.centring = Centring(data.shape)
        self.encoder = network.encoder(data, 2 * self.codes, classes)
        self.decoder = network.generator(self.codes, data, classes)
        self.decoder.set_reference(prior.sample, data.shares)
        self.observation = observed
        if not isinstance(observed, Gaussian):
            grey = "grey pixels as probabilities, which is a cross-entropy"
            self.density_of = grey if binarise == NONE else "binarised pixels"

    def _faults(self, prior: Prior, gaussian: bool) -> Iterator[str]:
        yield from not_normal(prior, "the KL of a VAE is that from a standard normal")
        if self.conditional:
            yield from without_classes("model.conditional = true", self.data, "model=vae")
        yield from not_binary(self.binarise, gaussian)
        weights = ("beta", "warm_up", "corruption")
        yield from below({name: getattr(self, name) for name in weights}, 0)
        yield from below({"importance": self.importance}, 1)

    def phases(self) -> list[Phase]:
        return [Phase("vae", self.loss, trains=self.averaged())]

    def loss(self, batch: Batch) -> Loss:
        """Minus the bound, in nats per sample."""
        x, y = self.observed(batch), self.labels(batch)
        q, beta = self.posterior(self._corrupted(x), y), self._beta(batch)
        z = q.sample(self.importance)
        reconstruction, kl = self._reconstruction(x, y, z), q.kl()
        mean = reconstruction.mean()
        logs = {
            "elbo": (mean - kl.mean()).detach(),
            "reconstruction": mean.detach(),
            "kl": kl.mean().detach(),
            "active_units": q.active().detach(),
        }
        if self.importance == 1:
            total = beta * kl.mean() - mean
        else:
            weights = reconstruction + beta * (log_prior(z) - q.log_prob(z))  # [n, importance]
            total = math.log(self.importance) - weights.logsumexp(1).mean()
            logs["importance_bound"] = -total.detach()
        if isinstance(self.observation, Gaussian):
            logs["deviation"] = self.observation.log_deviation.detach().exp().mean()
        return Loss(total, logs)

    def posterior(self, x: Tensor, y: Tensor | None = None) -> Posterior:
        """q(z | x) of samples [n, *shape]."""
        return Posterior.of(self.encoder(self.centring(x), y))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.posterior(x, y).mean

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.observation.mean(self.decoder.raw(z, y))

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        mean = self.decode(z[:, : self.codes], y)
        if self.data.is_image:
            return mean
        assert isinstance(self.observation, Gaussian), "points have no other"
        return self.observation.noisy(mean, z[:, self.codes :])

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        if y is None and self.conditional:
            y = labels.drawn(self.label_ends, n)
        return self.generate(self.prior.sample(n, self.device), y)

    @torch.no_grad()
    def likelihood(self, batch: Batch, samples: int) -> Mapping[str, Tensor]:
        """ELBO and importance-weighted bound."""
        x, y = self.observed(batch), self.labels(batch)
        q = self.posterior(x, y)
        return bounds(
            lambda count: self._weights(x, y, q, q.sample(count)), samples, AT_ONCE // x.numel()
        )

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.centring, self.encoder, self.decoder, self.observation)

    def views(
        self, real: Batch, log_density: Callable[[Tensor], Tensor | None]
    ) -> Mapping[str, View]:
        if not self.data.is_image:
            return {} if self.conditional else self._density(real.real, log_density)
        return super().views(real, log_density)

    def _density(
        self, real: Tensor, log_density: Callable[[Tensor], Tensor | None]
    ) -> Mapping[str, View]:
        """p(x) as the mean of p(x | z) over latents that are drawn once, beside the true one."""
        raw = self.decoder.raw(torch.randn(LATENTS, self.codes, device=self.device))

        def model(x: Tensor) -> Tensor:
            pieces = [self.observation.log_prob(some[:, None], raw) for some in x.split(1024)]
            return torch.cat([some.logsumexp(1) for some in pieces]) - math.log(LATENTS)

        shown = {"data": log_density, "model": model}
        dim = real.shape[1]
        if dim == 1:
            return {"theory/density": on_the_line(real, shown)}
        return {"theory/log_density": on_the_plane(real, shown)} if dim == 2 else {}

    def observed(self, batch: Batch) -> Tensor:
        return binarised(batch.real, batch.index, self.binarise)

    def _corrupted(self, x: Tensor) -> Tensor:
        return x + self.corruption * torch.randn_like(x) if self.corruption else x

    def _beta(self, batch: Batch) -> float:
        if not self.warm_up:  # what reads the step cannot be recorded
            return self.beta
        return self.beta * min(1.0, (batch.step + 1) / self.warm_up)

    def _weights(self, x: Tensor, y: Tensor | None, q: Posterior, z: Tensor) -> Tensor:
        """log p(x, z) / q(z | x) in nats, [n, count]."""
        return self._reconstruction(x, y, z) + log_prior(z) - q.log_prob(z)

    def _reconstruction(self, x: Tensor, y: Tensor | None, z: Tensor) -> Tensor:
        """log p(x | z) in nats, [n, count], of latents [n, count, codes]."""
        n, count = z.shape[:2]
        repeated = None if y is None else y.repeat_interleave(count)
        raw = self.decoder.raw(z.flatten(0, 1), repeated)
        return self.observation.log_prob(x[:, None], raw.view(n, count, *x.shape[1:]))
