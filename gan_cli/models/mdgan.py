"""The mode-regularised GAN (Che et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Loss
from gan_cli.models.adversarial import AdversarialModel
from gan_cli.models.encoder import EncoderModel
from gan_cli.models.faults import below
from gan_cli.models.latent_variables import whole
from gan_cli.networks.family import NetworkFamily
from gan_cli.networks.layers import unrecorded
from gan_cli.penalties import Penalty
from gan_cli.priors import Prior


class ModeRegularisedGAN(AdversarialModel, EncoderModel):
    """A GAN with an encoder that keeps the generator near every mode (section 3.1, Eqs. 1 and 2).

    The generator's loss is its term of the game plus E[distance |x - G(E(x))|^2 + modes * the
    game's generator term on D(G(E(x)))] over real samples; the encoder minimises the second sum.

    Args:
        data: what is to be generated.
        prior: of the latents.
        network: builds the three networks.
        loss: what the players minimise.
        penalty: what constrains the discriminator.
        distance: weight of the reconstruction's mean squared error, lambda 1 in the paper.
        modes: weight of the mode regulariser, lambda 2.
        d_steps: discriminator updates in a step, each with a fresh batch.
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        distance: float = 0.2,
        modes: float = 0.4,
        d_steps: int = 1,
    ) -> None:
        super().__init__(data, prior, loss, penalty, d_steps=d_steps)
        self.distance, self.modes = distance, modes
        self.build(network)
        self.encoder = network.encoder(data, prior.dim)

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        yield from below({"distance": self.distance, "modes": self.modes}, 0)

    def generator_modules(self) -> tuple[nn.Module, ...]:
        return (self.generator, self.encoder)

    def generator_loss(self, batch: Batch) -> Loss:
        game = super().generator_loss(batch)
        codes = self.encode(batch.real)
        with unrecorded(self.generator):  # whose running statistics are to fit the prior's draws
            rebuilt = self.generator(codes)
        error = (rebuilt - batch.real).float().square().mean()
        near = self.reply(self.discriminator(self.view(rebuilt, batch)), batch)
        total = game.total + self.distance * error + self.modes * near
        return Loss(total, {"squared_error": error.detach(), "near_modes": near.detach()})

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return whole(self.encoder(x))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.generator(z)

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.generator, self.encoder)
