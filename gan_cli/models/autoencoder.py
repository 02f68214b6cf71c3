"""An autoencoder that generates by a Gaussian fitted to its codes."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from gan_cli.model import Batch, DataSpec, Loss, Phase
from gan_cli.models.encoder import EncoderModel
from gan_cli.models.faults import not_normal, refuse
from gan_cli.models.latent_variables import (
    APART,
    BERNOULLI,
    GAUSSIAN,
    Centring,
    LatentFit,
    observation,
    whole,
)
from gan_cli.networks.family import NetworkFamily
from gan_cli.priors import Prior

SQUARED = "squared"


class Autoencoder(EncoderModel):
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
        yield from not_normal(self.prior, "a Gaussian is fitted to the codes of an autoencoder")
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
        return whole(self.encoder(self.centring(x)))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.observation.mean(self.decoder.raw(z))

    def latents_of(self, codes: Tensor) -> Tensor:
        """The z [n, dim] that `generate` turns into these codes."""
        return self.fit.inverse(codes)

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.decode(self.fit(z))

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.centring, self.encoder, self.decoder, self.fit)
