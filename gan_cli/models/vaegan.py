"""A VAE that compares samples by a discriminator's features (Larsen et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Loss, Phase
from gan_cli.models.adversarial import DiscriminatorModel
from gan_cli.models.encoder import EncoderModel
from gan_cli.models.faults import below, not_normal, refuse
from gan_cli.models.latent_variables import Posterior
from gan_cli.networks.family import NetworkFamily
from gan_cli.penalties import Penalty
from gan_cli.priors import Prior


class VAEGAN(EncoderModel, DiscriminatorModel):
    """Encoder, decoder and discriminator, each with a loss of its own (Algorithm 1).

    L_prior = KL(q(z | x) || N(0, I)); L_like = -E_q[log N(f(x); f(x~), I)] of features f of the
    discriminator, up to a constant; L_GAN = log D(x) + log(1 - D(x~)) + log(1 - D(x_p)) with the
    reconstruction x~ and the decoded draw x_p of the prior (Eqs. 5 to 8). The encoder minimises
    L_prior + L_like, the decoder gamma L_like - L_GAN, the discriminator -L_GAN; the decoder's
    part of the game is the loss's own generator term. Any adversarial loss can take L_GAN's place:
    the discriminator plays it against either kind of fakes, so that log D(x) counts twice. Real
    samples then weigh as much as both kinds of fakes, as by default in the authors' code.

    Args:
        data: what is to be generated and encoded.
        prior: of the latents; a standard normal.
        network: builds the three networks.
        loss: of the game between decoder and discriminator.
        penalty: what constrains the discriminator.
        gamma: weight of L_like in the decoder's loss.
        beta: weight of the KL in the encoder's.
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        gamma: float = 0.01,
        beta: float = 1.0,
    ) -> None:
        super().__init__(data, loss, penalty)
        self.prior, self.gamma, self.beta = prior, gamma, beta
        refuse(self._faults())
        self.warn_of_contradictions(network)
        self.decoder = network.generator(prior.dim, data)
        self.decoder.set_reference(prior.sample)
        self.encoder = network.encoder(data, 2 * prior.dim)
        self.discriminator = self.constrained(network.discriminator(data))
        self.whole_batch = self.whole_batch_terms()

    def _faults(self) -> Iterator[str]:
        yield from not_normal(self.prior, "the KL of a VAE is that from a standard normal")
        yield from below({"gamma": self.gamma, "beta": self.beta}, 0)

    def phases(self) -> list[Phase]:
        game = self.discriminator_phases(self.loss.player, (self.discriminator,))
        encoder = Phase("encoder", self.encoder_loss, (self.encoder,))
        return [encoder, *game, Phase("decoder", self.decoder_loss, (self.decoder,))]

    def encoder_loss(self, batch: Batch) -> Loss:
        """L_prior + L_like in nats per sample."""
        posterior = self.posterior(batch.real)
        z = posterior.sample(1)[:, 0]
        kl, like = posterior.kl().mean(), self._distance(batch.real, self.decoder(z))
        logs = {"kl": kl.detach(), "feature_error": like.detach()}
        logs["active_units"] = posterior.active().detach()
        return Loss(self.beta * kl + like, logs)

    def discriminator_loss(self, batch: Batch) -> Loss:
        """Tell real samples from reconstructions and from decoded draws of the prior."""
        rebuilt, drawn = self._decoded(batch)
        real = self.discriminator(batch.real)
        game = self.compare((batch.real, drawn), (real, self.discriminator(drawn)))
        other = self.loss.discriminator(real, self.discriminator(rebuilt))
        return game._replace(total=game.total + other)

    def penalty_loss(self, batch: Batch) -> Loss:
        return self.lazy_penalty(self.discriminator, batch.real, self._decoded(batch)[1])

    def decoder_loss(self, batch: Batch) -> Loss:
        """gamma L_like and the generator's part of the game, on both kinds of fakes."""
        rebuilt, drawn = self._decoded(batch)
        theirs, mine = self.discriminator.features(batch.real), self.discriminator.features(rebuilt)
        like = half_squares(theirs - mine)
        against = self.discriminator.output_of(theirs) if self.loss.compares else None
        game = self.loss.generator(self.discriminator.output_of(mine), against)
        game = game + self.loss.generator(self.discriminator(drawn), against)
        logs = {"game": game.detach(), "squared_error": (rebuilt - batch.real).square().mean()}
        logs = {name: value.detach() for name, value in logs.items()}
        return Loss(self.gamma * like + game, logs)

    def _distance(self, x: Tensor, rebuilt: Tensor) -> Tensor:
        return half_squares(self.discriminator.features(x) - self.discriminator.features(rebuilt))

    def _decoded(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Reconstructions and decoded draws of the prior, each [n, *shape]."""
        codes = self.posterior(batch.real).sample(1)[:, 0]
        return self.decoder(codes), self.sample(len(batch))

    def posterior(self, x: Tensor) -> Posterior:
        """q(z | x) of samples [n, *shape]."""
        return Posterior.of(self.encoder(x))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.posterior(x).mean

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.decoder(z)

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.encoder, self.decoder)


def half_squares(difference: Tensor) -> Tensor:
    """|d|^2 / 2 of differences d [n, width], mean over samples."""
    return difference.float().square().sum(1).mean() / 2
