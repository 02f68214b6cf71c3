"""An autoencoder that generates by a Gaussian fitted to its codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor, nn

from gan_cli.model import Batch, DataSpec, Grid, Loss, Model, Phase, View
from gan_cli.models.faults import refuse
from gan_cli.models.latent_variables import (
    APART,
    BERNOULLI,
    GAUSSIAN,
    Centring,
    LatentFit,
    observation,
    whole,
)
from gan_cli.models.pictures import grids, of_images
from gan_cli.networks.family import NetworkFamily
from gan_cli.priors import Gaussian, Prior

SQUARED = "squared"


class Autoencoder(Model):
    """An encoder and a decoder that reconstruct samples (Hinton and Salakhutdinov 2006).

    The loss puts no distribution on the codes, so there is none to sample from. A Gaussian fitted
    to the codes of training samples takes its place: `generate` decodes mean + C^(1/2) z.

    Args:
        data: what is to be encoded.
        prior: of the z that are turned into codes; a standard normal.
        network: builds the decoder and the encoder.
        error: "squared", the mean over all numbers, or "bernoulli", the cross-entropy of an
            image's pixels in nats.
    """

    indivisible = APART

    def __init__(
        self, data: DataSpec, prior: Prior, network: NetworkFamily, error: str = SQUARED
    ) -> None:
        super().__init__()
        self.data, self.prior, self.error = data, prior, error
        refuse(self._faults())
        self.centring = Centring(data.shape)
        self.encoder = network.encoder(data, prior.dim)
        self.decoder = network.generator(prior.dim, data)
        self.decoder.set_reference(prior.sample)
        self.fit = LatentFit(prior.dim)
        kind, deviation = (GAUSSIAN, 1.0) if error == SQUARED else (BERNOULLI, None)
        self.observation = observation(data, kind, deviation)

    def _faults(self) -> Iterator[str]:
        if not isinstance(self.prior, Gaussian):
            yield (
                f"prior = {type(self.prior).__name__.lower()}: a Gaussian is fitted to the codes "
                "of an autoencoder; set prior=gaussian"
            )
        if self.error not in (SQUARED, BERNOULLI):
            yield f"model.error = {self.error}: must be squared or bernoulli"
        elif self.error == BERNOULLI and not self.data.is_image:
            yield (
                f"model.error = bernoulli: is of pixels, and {self.data.name} holds points; "
                "set model.error=squared"
            )

    def phases(self) -> list[Phase]:
        return [Phase("autoencoder", self.loss, trains=self.averaged())]

    def loss(self, batch: Batch) -> Loss:
        """The error of reconstruction; also updates the Gaussian of the codes."""
        x = batch.real
        codes = self.encode(x)
        self.fit.record(codes)
        raw = whole(self.decoder.raw(codes))
        squared = (self.observation.mean(raw) - x).square().mean()
        logs = {"squared_error": squared.detach()}
        if self.error == SQUARED:
            return Loss(squared, logs)
        reconstruction = self.observation.log_prob(x, raw).mean()
        return Loss(-reconstruction, {**logs, "reconstruction": reconstruction.detach()})

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The codes [n, prior.dim] of samples [n, *shape]."""
        return whole(self.encoder(self.centring(x)))

    def decode(self, codes: Tensor, y: Tensor | None = None) -> Tensor:
        """Samples [n, *shape] from codes [n, prior.dim]."""
        return self.observation.mean(self.decoder.raw(codes))

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.decode(self.fit(z))

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(self.prior.sample(n, self.device))

    def reconstruct(self, batch: Batch) -> Tensor:
        return self.decode(self.encode(batch.real))

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.centring, self.encoder, self.decoder, self.fit)

    def pictures(self, z: Tensor) -> dict[str, Grid]:
        return grids(self, z)

    def views(
        self, real: Batch, log_density: Callable[[Tensor], Tensor | None]
    ) -> Mapping[str, View]:
        if not self.data.is_image:
            return {}
        latents = self.generate if self.prior.dim == 2 else None
        return of_images(real, self.encode, self.decode, False, latents)
