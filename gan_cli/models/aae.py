"""The adversarial autoencoder (Makhzani et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor, nn

from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Loss, Phase
from gan_cli.models.adversarial import DiscriminatorModel
from gan_cli.models.encoder import EncoderModel
from gan_cli.models.faults import below, refuse
from gan_cli.models.latent_variables import APART, Centring, observation, whole
from gan_cli.networks.family import NetworkFamily
from gan_cli.networks.mlp import MLP
from gan_cli.penalties import Penalty
from gan_cli.priors import Prior


class AdversarialAutoencoder(EncoderModel, DiscriminatorModel):
    """An autoencoder whose codes a discriminator cannot tell from draws of the prior.

    Three phases in each step (Makhzani et al. 2016, section 2): encoder and decoder minimise the
    squared error of the reconstruction; the discriminator tells draws of the prior (real) from
    codes (fake); the encoder, as the generator of that game, makes codes that it takes for the
    prior's. Any prior that can be sampled will do; no density is needed.

    Args:
        data: what is to be encoded.
        prior: of the codes.
        network: builds encoder and decoder.
        loss: of the game between encoder and discriminator.
        penalty: what constrains the discriminator.
        latent_width: units of each hidden layer of the discriminator, a perceptron.
        latent_depth: its hidden layers.
        adversarial: weight of the encoder's term of the game.
    """

    indivisible = APART

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        latent_width: int = 1000,
        latent_depth: int = 2,
        adversarial: float = 1.0,
    ) -> None:
        super().__init__(data, loss, penalty)
        self.prior, self.adversarial = prior, adversarial
        self.latent_width, self.latent_depth = latent_width, latent_depth
        refuse(self._faults())
        latents = MLP(width=latent_width, depth=latent_depth, discriminator_activation="relu")
        self.warn_of_contradictions(latents)
        self.centring = Centring(data.shape)
        self.encoder = network.encoder(data, prior.dim)
        self.decoder = network.generator(prior.dim, data)
        self.decoder.set_reference(prior.sample)
        self.discriminator = self.constrained(
            latents.discriminator(replace(data, shape=(prior.dim,)))
        )
        self.observation = observation(data, "gaussian", 1.0)
        self.whole_batch = self.whole_batch_terms()

    def _faults(self) -> Iterator[str]:
        sizes = {"latent_width": self.latent_width, "latent_depth": self.latent_depth}
        yield from below(sizes, 1)
        yield from below({"adversarial": self.adversarial}, 0)

    def phases(self) -> list[Phase]:
        first = Phase("autoencoder", self.reconstruction_loss, self.averaged())
        game = self.discriminator_phases(self.loss.player, (self.discriminator,))
        return [first, *game, Phase("generator", self.generator_loss, (self.encoder,))]

    def reconstruction_loss(self, batch: Batch) -> Loss:
        """Mean squared error of the reconstruction, over all numbers of a sample."""
        codes = whole(self.encoder(self.centring(batch.real)))
        error = (self.decode(codes) - batch.real).square().mean()
        return Loss(error, {"squared_error": error.detach()})

    def generator_loss(self, batch: Batch) -> Loss:
        """Make codes that pass for draws of the prior."""
        drawn, codes = self.pair(batch)
        against = self.discriminator(drawn) if self.loss.compares else None
        total = self.loss.generator(self.discriminator(codes), against)
        # Equal where the codes are distributed as the prior.
        logs = {
            "codes/mean_square": codes.detach().square().mean(),
            "prior/mean_square": drawn.square().mean(),
        }
        return Loss(self.adversarial * total, logs)

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Draws of the prior and codes, each [n, prior.dim]."""
        return self.prior.sample(len(batch), self.device), self.encode(batch.real)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return whole(self.encoder(self.centring(x, record=False)))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.observation.mean(self.decoder.raw(z))

    def score(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The discriminator's output [n] on the samples' codes."""
        return self.discriminator(self.encode(x))

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.centring, self.encoder, self.decoder)
