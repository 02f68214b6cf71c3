"""Games with more than one pair of players: D2GAN, coupled GANs, parallel GANs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gan_cli.errors import ConfigError
from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Grid, Loss, Model, Phase
from gan_cli.models.adversarial import AdversarialModel, DiscriminatorModel
from gan_cli.models.faults import below, refuse
from gan_cli.models.pictures import grids
from gan_cli.networks.family import NetworkFamily
from gan_cli.networks.layers import compares_samples
from gan_cli.penalties import Penalty
from gan_cli.priors import Prior


class D2GAN(Model):
    """A generator against two discriminators of opposite tastes (Nguyen et al. 2017, Eq. 1).

    J = alpha E log D1(x) - E D1(G(z)) - E D2(x) + beta E log D2(G(z)), with positive D1 and D2,
    which maximise it, and G, which minimises it. At the optimum the generator minimises alpha
    KL(data || G) + beta KL(G || data), up to constants (Theorem 2).

    Args:
        data: what is to be generated.
        prior: of the latents.
        network: builds the three players; softplus makes the discriminators positive.
        alpha: see above; .2 in the paper's 2-D experiment.
        beta: see above; .1 there.
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        alpha: float = 0.2,
        beta: float = 0.1,
    ) -> None:
        super().__init__()
        self.data, self.prior, self.alpha, self.beta = data, prior, alpha, beta
        refuse(
            f"model.{name} = {value:g}: must be above 0"
            for name, value in (("alpha", alpha), ("beta", beta))
            if value <= 0
        )
        self.generator = network.generator(prior.dim, data)
        self.generator.set_reference(prior.sample)
        self.discriminator = network.discriminator(data)
        self.second_discriminator = network.discriminator(data)
        crowd = compares_samples(self.discriminator)
        self.whole_batch = ("minibatch discrimination",) if crowd else ()

    def phases(self) -> list[Phase]:
        both = (self.discriminator, self.second_discriminator)
        return [
            Phase("discriminator", self.discriminator_loss, both),
            Phase("generator", self.generator_loss, (self.generator,)),
        ]

    def _outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.discriminator(x), self.second_discriminator(x)

    def discriminator_loss(self, batch: Batch) -> Loss:
        """-J."""
        (one, two), (one_fake, two_fake) = map(self._outputs, (batch.real, self.sample(len(batch))))
        first = softplus(one_fake).mean() - self.alpha * log_softplus(one).mean()
        second = softplus(two).mean() - self.beta * log_softplus(two_fake).mean()
        logs = {"first": first.detach(), "second": second.detach()}
        return Loss(first + second, logs, {"output/real": softplus(one).detach()})

    def generator_loss(self, batch: Batch) -> Loss:
        """J, as far as it depends on the generator."""
        one, two = self._outputs(self.sample(len(batch)))
        return Loss(self.beta * log_softplus(two).mean() - softplus(one).mean(), {})

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.generator(z)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(self.prior.sample(n, self.device))

    def score(self, x: Tensor, y: Tensor | None = None) -> Tensor | None:
        """The first discriminator's output before softplus, [n]; None where it compares samples."""
        return None if compares_samples(self.discriminator) else self.discriminator(x)

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.generator,)

    def pictures(self, z: Tensor) -> dict[str, Grid]:
        return grids(self, z)


def log_softplus(x: Tensor) -> Tensor:
    """log log(1 + e^x), which is x far below 0."""
    return torch.where(x < -20, x, softplus(x.clamp_min(-20)).log())


class CoupledGAN(AdversarialModel):
    """Two GANs on two kinds of images that share all layers but the last and the first.

    Liu and Tuzel 2016: from unpaired images of both kinds, one latent comes to make two images that
    belong together. Both generators are one network with twice the channels, whose last layer has
    filters of its own for each kind; both discriminators are one that sees one kind and zeros in
    the other's place, so that its first layer has filters of its own for each.

    Args:
        data: targets and inputs of one shape; see gan_cli/data/pairs.py.
        prior: of the latents.
        network: builds the two players.
        loss: what they minimise.
        penalty: what constrains the discriminator.
        d_steps: discriminator updates in a step, each with a fresh batch.
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        d_steps: int = 1,
    ) -> None:
        if data.source != data.shape:
            raise ConfigError(
                f"model = cogan: needs inputs and targets of one shape, and data = {data.name} has "
                f"{'none' if not data.source else 'others'}; use data=derived or data=unpaired"
            )
        super().__init__(data, prior, loss, penalty, d_steps=d_steps)
        both = replace(data, shape=(2 * data.shape[0], *data.shape[1:]))
        self.view.data = both
        self.build(network)
        self.generator = network.generator(prior.dim, both)
        self.generator.set_reference(prior.sample)

    def discriminator_loss(self, batch: Batch) -> Loss:
        """Tell real from fake, of either kind."""
        fake = self.generator(self.prior.sample(len(batch), self.device))
        losses = []
        for place, real in enumerate((batch.real, batch.source)):
            samples = self._alone(real, place), self._alone(self._part(fake, place), place)
            losses.append(self.compare(samples, self.outputs(samples)))
        first, second = losses
        logs = {**first.logs, **{f"{name}_of_inputs": value for name, value in second.logs.items()}}
        return Loss(first.total + second.total, logs, first.outputs)

    def penalty_loss(self, batch: Batch) -> Loss:
        """The penalty alone, for lazy regularisation; on targets."""
        fake = self.generator(self.prior.sample(len(batch), self.device))
        real = self._alone(batch.real, 0)
        return self.lazy_penalty(self.discriminator, real, self._alone(self._part(fake, 0), 0))

    def generator_loss(self, batch: Batch) -> Loss:
        """Make the discriminator take fakes of either kind for real."""
        fake = self.generator(self.prior.sample(len(batch), self.device))
        total = fake.new_zeros(())
        for place, real in enumerate((batch.real, batch.source)):
            output = self.discriminator(self._alone(self._part(fake, place), place))
            against = self.discriminator(self._alone(real, place)) if self.loss.compares else None
            total = total + self.loss.generator(output, against)
        return Loss(total, {})

    def _part(self, both: Tensor, place: int) -> Tensor:
        channels = self.data.shape[0]
        return both[:, place * channels : (place + 1) * channels]

    @staticmethod
    def _alone(x: Tensor, place: int) -> Tensor:
        """Images beside zeros in the place of the other kind."""
        zeros = torch.zeros_like(x)
        return torch.cat([x, zeros] if place == 0 else [zeros, x], dim=1)

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Images of the targets' kind."""
        return self._part(self.generator(z), 0)

    def score(self, x: Tensor, y: Tensor | None = None) -> Tensor | None:
        return super().score(self._alone(x, 0))

    def pictures(self, z: Tensor) -> dict[str, Grid]:
        both = self.generator(z[:32])
        pairs = zip(*(self._part(both, place).split(8) for place in (0, 1)), strict=True)
        coupled = torch.cat([row for pair in pairs for row in pair])
        return {**grids(self, z), "samples/coupled": Grid(coupled, 8)}


class ParallelGAN(DiscriminatorModel):
    """Several GANs whose discriminators change places now and then (GAP, Im et al. 2016).

    After every `swap_every` steps each generator meets the next discriminator, in turn, so that no
    discriminator fits its generator alone.

    Args:
        data: what is to be generated.
        prior: of the latents.
        network: builds all players.
        loss: what they minimise.
        penalty: what constrains the discriminators.
        pairs: how many GANs.
        swap_every: steps between exchanges.
    """

    discriminator: nn.ModuleList  # type: ignore[assignment] - one of each pair

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        pairs: int = 2,
        swap_every: int = 100,
    ) -> None:
        super().__init__(data, loss, penalty)
        self.prior, self.pairs, self.swap_every = prior, pairs, swap_every
        refuse([*below({"pairs": pairs}, 2), *below({"swap_every": swap_every}, 1)])
        self.warn_of_contradictions(network)
        generators = [network.generator(prior.dim, data) for _ in range(pairs)]
        for generator in generators:
            generator.set_reference(prior.sample)
        self.generator = nn.ModuleList(generators)
        critics = [network.discriminator(data) for _ in range(pairs)]
        self.discriminator = self.constrained(nn.ModuleList(critics))  # type: ignore[assignment]
        self.whole_batch = self.whole_batch_terms()

    def phases(self) -> list[Phase]:
        loss = self.regularised("generator", self.generator, self.generator_loss)
        return [
            *self.discriminator_phases(self.loss.player, (self.discriminator,)),
            Phase("generator", loss, (self.generator,)),
        ]

    def _matches(self, batch: Batch) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Each generator with the discriminator that it meets at the batch's step."""
        shift = batch.step // self.swap_every
        for place, generator in enumerate(self.generator):
            yield generator, self.discriminator[(place + shift) % self.pairs]

    def discriminator_loss(self, batch: Batch) -> Loss:
        """The sum of all discriminators' losses."""
        losses = []
        for generator, discriminator in self._matches(batch):
            fake = generator(self.prior.sample(len(batch), self.device))
            outputs = discriminator(batch.real), discriminator(fake)
            losses.append(self.compare((batch.real, fake), outputs, discriminator))
        total = torch.stack([loss.total for loss in losses]).sum()
        return Loss(total, losses[0].logs, losses[0].outputs)

    def penalty_loss(self, batch: Batch) -> Loss:
        terms = []
        for generator, discriminator in self._matches(batch):
            fake = generator(self.prior.sample(len(batch), self.device))
            terms.append(self.lazy_penalty(discriminator, batch.real, fake))
        return Loss(torch.stack([term.total for term in terms]).sum(), terms[0].logs)

    def generator_loss(self, batch: Batch) -> Loss:
        """The sum of all generators' losses."""
        terms = []
        for generator, discriminator in self._matches(batch):
            fake = generator(self.prior.sample(len(batch), self.device))
            against = discriminator(batch.real) if self.loss.compares else None
            terms.append(self.loss.generator(discriminator(fake), against))
        logs = {f"generator_{place}": term.detach() for place, term in enumerate(terms)}
        return Loss(torch.stack(terms).sum(), logs)

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Samples of the first generator."""
        return self.generator[0](z)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(self.prior.sample(n, self.device))

    def score(self, x: Tensor, y: Tensor | None = None) -> Tensor | None:
        """The mean output of all discriminators, [n]; None where they compare samples."""
        if compares_samples(self.discriminator):
            return None
        return torch.stack([discriminator(x) for discriminator in self.discriminator]).mean(0)

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.generator,)

    def pictures(self, z: Tensor) -> dict[str, Grid]:
        rows = torch.cat([generator(z[:8]) for generator in self.generator])
        return {**grids(self, z), "samples/generators": Grid(rows, 8)}
