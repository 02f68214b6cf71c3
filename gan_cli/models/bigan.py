"""A GAN with an encoder: BiGAN (Donahue et al. 2017), ALI (Dumoulin et al. 2017) and their kin."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Loss, Phase
from gan_cli.models.adversarial import DiscriminatorModel
from gan_cli.models.encoder import EncoderModel
from gan_cli.models.faults import below, refuse
from gan_cli.models.latent_variables import Posterior, whole
from gan_cli.networks.family import NetworkFamily, joint
from gan_cli.networks.layers import unrecorded
from gan_cli.penalties import Penalty
from gan_cli.priors import Gaussian, Prior

CHAINS = 256  # that are run together at least, as they are normalised over their batch


class BiGAN(EncoderModel, DiscriminatorModel):
    """The discriminator tells pairs (x, E(x)) of real samples from pairs (G(z), z).

    V(D, E, G) = E_x log D(x, E(x)) + E_z log(1 - D(G(z), z)) (Donahue et al. 2017, Eq. 3). At its
    optimum E and G are each other's inverse (Theorem 2 there). Generator and encoder minimise the
    game with labels exchanged, which gives stronger gradients (the authors' code), for any loss:
    the generator's term of the loss on D(G(z), z), and that term mirrored on D(x, E(x)).

    In VEEGAN (Srivastava et al. 2017) the encoder does not play (`encoder_plays` false): it and the
    generator minimise -log q(z given G(z)), which for a fixed deviation is |z - E(G(z))|^2
    (`latent` 1; Algorithm 1). In GibbsNet (Lamb et al. 2017) the pair (G(z), z) is where a chain
    z -> G(z) -> E(G(z)) -> ... has come to after `chain` rounds; only the last round is
    differentiated, and samples are drawn by such chains too. No prior fixes the place and scale of
    latents then, and a chain contracts to a point or grows without end. So batch norm keeps E's
    outputs (its means) at mean 0 and deviation 1, in a chain over the chains of a batch, and the
    deviations of a stochastic E are below 1. The paper says nothing of the kind.

    Args:
        data: what is to be generated and encoded.
        prior: of the latents.
        network: builds generator, encoder and the discriminator of pairs.
        loss: what the players minimise.
        penalty: what constrains the discriminator, as a function of the pair.
        stochastic: the encoder gives a Gaussian's mean and deviation instead of a point (ALI).
        encoder_plays: the encoder learns from the game.
        latent: weight of the mean squared distance of z from E(G(z)); with a stochastic encoder, of
            -log q(z given G(z)), per number of z.
        chain: rounds of the chain before a pair of generator and latent is taken; 0 for none.
        d_steps: discriminator updates in a step, each with a fresh batch.
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        stochastic: bool = False,
        encoder_plays: bool = True,
        latent: float = 0.0,
        chain: int = 0,
        d_steps: int = 1,
    ) -> None:
        super().__init__(data, loss, penalty)
        self.prior, self.stochastic, self.d_steps = prior, stochastic, d_steps
        self.encoder_plays, self.latent, self.chain = encoder_plays, latent, chain
        refuse(self._faults())
        self.warn_of_contradictions(network)
        self.generator = network.generator(prior.dim, data)
        self.generator.set_reference(prior.sample)
        self.encoder = network.encoder(data, prior.dim * (2 if stochastic else 1))
        if chain:
            self.anchor = nn.BatchNorm1d(prior.dim, affine=False)
            # Averages over steps are too rough for the rounds of a chain, so there are none.
            self.chain_anchor = nn.BatchNorm1d(prior.dim, affine=False, track_running_stats=False)
        self.discriminator = self.constrained(network.joint_discriminator(data, prior.dim))
        self.whole_batch = self.whole_batch_terms()

    def _faults(self) -> Iterator[str]:
        yield from below({"d_steps": self.d_steps}, 1)
        yield from below({"latent": self.latent, "chain": self.chain}, 0)
        if not self.encoder_plays and not self.latent:
            yield "model.encoder_plays = false: the encoder learns nothing then; set model.latent=1"
        if self.stochastic and not isinstance(self.prior, Gaussian):
            yield (
                "model.stochastic = true: the encoder draws from Gaussians, and prior = "
                f"{type(self.prior).__name__.lower()}; set prior=gaussian or model.stochastic=false"
            )

    def phases(self) -> list[Phase]:
        players = self.discriminator_phases(self.loss.player, (self.discriminator,), self.d_steps)
        both = Phase(
            "generator",
            self.regularised("generator", self.generator, self.generator_loss),
            self.averaged(),
        )
        return [*players, both]

    def generator_loss(self, batch: Batch) -> Loss:
        """Exchange the two kinds of pairs in the discriminator's eyes."""
        real, fake = self.outputs(self.pair(batch))
        if not self.encoder_plays:
            real = real.detach()
        if self.loss.compares:
            total, logs = self.loss.generator(fake, real), {}
        else:
            total = self.loss.generator(fake)
            logs = {"generator_term": total.detach()}
            if self.encoder_plays:
                mirrored = self.loss.generator(2 * (self.loss.boundary or 0.0) - real)
                logs["encoder_term"] = mirrored.detach()
                total = total + mirrored
        if self.latent:
            z = self.prior.sample(len(batch), self.device)
            error = self._latent_error(self.generator(z), z)
            logs["latent_error"] = error.detach()
            total = total + self.latent * error
        return Loss(total, logs)

    def _latent_error(self, x: Tensor, z: Tensor) -> Tensor:
        """-log q(z given x) up to a constant, the mean over all numbers: squared for a point E."""
        with unrecorded(self):  # the encoder's running statistics are of real samples
            outputs = self._encoded(x)
        if self.stochastic:
            return -Posterior.of(outputs).log_prob(z[:, None]).mean() / z.shape[1]
        return (outputs - z).square().mean()

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(x, E(x)) and (G(z), z), each [n, size of a sample + prior.dim]."""
        z = self._chained(self.prior.sample(len(batch), self.device))
        return joint(batch.real, self._draw(batch.real)), joint(self.generator(z), z)

    @torch.no_grad()
    def _chained(self, z: Tensor) -> Tensor:
        """The latents [n, dim] where chains from `z` have come to; running statistics stay."""
        with unrecorded(self):
            for _ in range(self.chain):
                z = self._draw(self.generator(z), chained=True)
        return z

    def _draw(self, x: Tensor, chained: bool = False) -> Tensor:
        """E(x), or a draw of it."""
        outputs = self._encoded(x, chained)
        return Posterior.of(outputs).sample(1)[:, 0] if self.stochastic else outputs

    def _encoded(self, x: Tensor, chained: bool = False) -> Tensor:
        """E's outputs [n, dim or 2 dim], anchored where there is a chain."""
        outputs = whole(self.encoder(x))
        if not self.chain:
            return outputs
        mean, deviation = outputs[:, : self.prior.dim], outputs[:, self.prior.dim :]
        anchor = self.chain_anchor if chained else self.anchor
        return torch.cat([anchor(mean), F.logsigmoid(deviation)], dim=1)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The latents [n, prior.dim] of samples [n, *shape]; means, where they are drawn."""
        outputs = self._encoded(x)
        return Posterior.of(outputs).mean if self.stochastic else outputs

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.generator(z)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        chains = max(n, CHAINS) if self.chain else n
        return self.decode(self._chained(self.prior.sample(chains, self.device))[:n])

    def score(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The discriminator's output [n] on samples and their own codes."""
        return self.discriminator(joint(x, self.encode(x)))

    def averaged(self) -> tuple[nn.Module, ...]:
        anchors = (self.anchor,) if self.chain else ()
        return (self.generator, self.encoder, *anchors)
