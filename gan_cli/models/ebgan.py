"""GANs whose discriminator is an autoencoder: EBGAN, BEGAN and MAGAN.

Its output on a sample is how badly it is reconstructed, which is low for real samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from gan_cli.model import Batch, DataSpec, Grid, Loss, Model, Phase
from gan_cli.models.faults import below, refuse
from gan_cli.models.latent_variables import whole
from gan_cli.models.pictures import grids
from gan_cli.networks.family import NetworkFamily
from gan_cli.networks.layers import unrecorded
from gan_cli.priors import Prior

ErrorKind = Literal["l1", "l2"]


class Autoencoding(nn.Module):
    """A network's encoder and generator, one after the other.

    Args:
        network: builds both.
        data: what is encoded.
        code: numbers of a code.
        error: "l1" or "l2".
    """

    def __init__(self, network: NetworkFamily, data: DataSpec, code: int, error: ErrorKind) -> None:
        super().__init__()
        self.error = error
        self.encoder = network.encoder(data, code)
        self.decoder = network.generator(code, data)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The energies [n] of samples [n, *shape], and their codes [n, code]."""
        codes = self.encoder(x)
        gap = (self.decoder(codes) - x).float().flatten(1)
        return (gap.abs() if self.error == "l1" else gap.square()).mean(1), whole(codes)


class AutoencoderGAN(Model, ABC):
    """A generator that wants low energies, and what its variants share.

    Args:
        data: what is to be generated.
        prior: of the latents.
        network: builds the generator, and the encoder and decoder of the discriminator.
        code: numbers of the discriminator's codes.
        error: of its reconstructions: "l1" or "l2", a mean over all numbers of a sample.
    """

    score_name = "-energy"

    def __init__(
        self, data: DataSpec, prior: Prior, network: NetworkFamily, code: int, error: ErrorKind
    ) -> None:
        super().__init__()
        self.data, self.prior = data, prior
        refuse([*below({"code": code}, 1), *self.faults()])
        self.generator = network.generator(prior.dim, data)
        self.generator.set_reference(prior.sample)
        self.discriminator = Autoencoding(network, data, code, error)

    def faults(self) -> Iterator[str]:
        """What is wrong with the settings, a line each."""
        yield from ()

    def phases(self) -> list[Phase]:
        return [
            Phase("discriminator", self.discriminator_loss, self.discriminator_modules()),
            Phase(
                "generator",
                self.generator_loss,
                self.generator_modules(),
                after=self.after_generator,
            ),
        ]

    def discriminator_modules(self) -> tuple[nn.Module, ...]:
        """What the discriminator's updates change."""
        return (self.discriminator,)

    def generator_modules(self) -> tuple[nn.Module, ...]:
        """What the generator's updates change."""
        return (self.generator,)

    def after_generator(self) -> None:
        """Run after each update of the generator."""
        return

    @abstractmethod
    def discriminator_loss(self, batch: Batch) -> Loss:
        """Give real samples low energies and fakes high ones."""

    def generator_loss(self, batch: Batch) -> Loss:
        """Make samples of low energy."""
        return Loss(self.energies(self.sample(len(batch))).mean(), {})

    def energies(self, x: Tensor) -> Tensor:
        """The discriminator's, [n]."""
        return self.discriminator(x)[0]

    def fake_energies(self, n: int) -> Tensor:
        """Those of as many new samples, [n]; running statistics are of real samples alone."""
        with unrecorded(self.discriminator):
            return self.energies(self.sample(n))

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.generator(z)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(self.prior.sample(n, self.device))

    def score(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Minus the energy, [n]: high for what is taken for real."""
        return -self.energies(x)

    def reconstruct(self, batch: Batch) -> Tensor:
        return self.discriminator.decoder(self.discriminator.encoder(batch.real))

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.generator,)

    def pictures(self, z: Tensor) -> dict[str, Grid]:
        return grids(self, z)


class EBGAN(AutoencoderGAN):
    """D(x) + max(0, m - D(G(z))) for the discriminator, D(G(z)) for the generator.

    Zhao et al. 2017, Eqs. 1 and 2; `pulling_away` adds Eq. 3 to the generator's loss: the mean
    squared cosine between the codes of different samples of a batch.

    Args:
        data: see `AutoencoderGAN`.
        prior: see there.
        network: see there.
        code: see there.
        margin: m, in the units of the energy.
        pulling_away: weight of that term, .1 in the paper.
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        code: int = 64,
        margin: float = 0.2,
        pulling_away: float = 0.1,
    ) -> None:
        self.margin, self.pulling_away = margin, pulling_away
        super().__init__(data, prior, network, code, "l2")
        self.whole_batch = ("pulling away",) if pulling_away else ()
        self.smallest_batch = 2 if pulling_away else 1

    def faults(self) -> Iterator[str]:
        yield from below({"margin": self.margin, "pulling_away": self.pulling_away}, 0)

    def discriminator_loss(self, batch: Batch) -> Loss:
        real = self.energies(batch.real).mean()
        fakes = self.fake_energies(len(batch))
        logs = {"energy/real": real.detach(), "energy/fake": fakes.mean().detach()}
        return Loss(real + relu(self.margin - fakes).mean(), logs)

    def generator_loss(self, batch: Batch) -> Loss:
        energies, codes = self.discriminator(self.sample(len(batch)))
        if not self.pulling_away:
            return Loss(energies.mean(), {})
        term = pulling_away(codes)
        total = energies.mean() + self.pulling_away * term
        return Loss(total, {"pulling_away": term.detach()})


def pulling_away(codes: Tensor) -> Tensor:
    """The mean squared cosine between different codes [n, dim] (Zhao et al. 2017, Eq. 3)."""
    n = len(codes)
    with torch.autocast(codes.device.type, enabled=False):
        cosines = normalize(codes) @ normalize(codes).T
    return (cosines.square().sum() - n) / (n * (n - 1))


class BEGAN(AutoencoderGAN):
    """D(x) - k D(G(z)), where k holds E D(G(z)) at gamma E D(x) (Berthelot et al. 2017, Eq. 3).

    After each step k <- k + rate (gamma D(x) - D(G(z))), in [0, 1]. The convergence measure is
    M = D(x) + |gamma D(x) - D(G(z))| (section 3.4.1 there).

    Args:
        data: see `AutoencoderGAN`.
        prior: see there.
        network: see there.
        code: see there.
        gamma: how much of the energy of real samples fakes have; more makes them more diverse.
        rate: of k, lambda in the paper.
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        code: int = 64,
        gamma: float = 0.5,
        rate: float = 0.001,
    ) -> None:
        self.gamma = gamma
        super().__init__(data, prior, network, code, "l1")
        self.balance = Balance(rate)

    def faults(self) -> Iterator[str]:
        if not 0 <= self.gamma <= 1:
            yield f"model.gamma = {self.gamma:g}: must lie in [0, 1]"

    def generator_modules(self) -> tuple[nn.Module, ...]:
        return (self.generator, self.balance)

    def discriminator_loss(self, batch: Batch) -> Loss:
        real = self.energies(batch.real).mean()
        fake = self.fake_energies(len(batch)).mean()
        return Loss(real - self.balance.k * fake, {})

    def generator_loss(self, batch: Batch) -> Loss:
        fake = self.energies(self.sample(len(batch))).mean()
        with torch.no_grad():
            real = self.energies(batch.real).mean()
            gap = self.gamma * real - fake
            self.balance.gap.copy_(gap)
        logs = {"energy/real": real, "energy/fake": fake.detach()}
        logs |= {"convergence": real + gap.abs(), "k": self.balance.k.clone()}
        return Loss(fake, logs)

    def after_generator(self) -> None:
        self.balance.move()


class Balance(nn.Module):
    """BEGAN's k, part of a run's state.

    Args:
        rate: of its moves.
    """

    of_samples = ("gap",)
    k: Tensor
    gap: Tensor  # of the last step

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("k", torch.zeros(()))
        self.register_buffer("gap", torch.zeros(()))

    @torch.no_grad()
    def move(self) -> None:
        """Move k by the last gap."""
        self.k.add_(self.rate * self.gap).clamp_(0, 1)


class MAGAN(AutoencoderGAN):
    """EBGAN with a margin that follows the energy of real samples (Wang et al. 2017, Algorithm 1).

    First the discriminator learns to reconstruct alone; the margin is then the mean energy of real
    samples. After each `interval` of steps, where the mean energy of real samples is below the
    margin and that of fakes above it and no lower than an interval ago, the first becomes the
    margin.

    Args:
        data: see `AutoencoderGAN`.
        prior: see there.
        network: see there.
        code: see there.
        pretrain: steps of the discriminator alone, two epochs in the paper.
        interval: steps over which energies are averaged, an epoch in the paper.
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        code: int = 64,
        pretrain: int = 1000,
        interval: int = 500,
    ) -> None:
        self.pretrain, self.interval = pretrain, interval
        super().__init__(data, prior, network, code, "l2")
        self.margin = Margin(interval)

    def faults(self) -> Iterator[str]:
        yield from below({"pretrain": self.pretrain}, 0)
        yield from below({"interval": self.interval}, 1)

    def phases(self) -> list[Phase]:
        trained = (self.discriminator, self.margin)
        alone = Phase(
            "reconstruction",
            self.reconstruction_loss,
            trained,
            stop=self.pretrain,
            optimizer="discriminator",
        )
        discriminator = Phase(
            "discriminator",
            self.discriminator_loss,
            trained,
            start=self.pretrain,
            after=self.margin.adapt,
        )
        generator = Phase("generator", self.generator_loss, (self.generator,), start=self.pretrain)
        return [*([alone] if self.pretrain else []), discriminator, generator]

    def reconstruction_loss(self, batch: Batch) -> Loss:
        """Reconstruct real samples."""
        energy = self.energies(batch.real).mean()
        self.margin.begin(energy.detach())
        return Loss(energy, {})

    def discriminator_loss(self, batch: Batch) -> Loss:
        real = self.energies(batch.real).mean()
        fakes = self.fake_energies(len(batch))
        self.margin.record(real.detach(), fakes.mean().detach())
        logs = {"energy/real": real.detach(), "energy/fake": fakes.mean().detach()}
        logs["margin"] = self.margin.value.clone()
        return Loss(real + relu(self.margin.value - fakes).mean(), logs)


class Margin(nn.Module):
    """MAGAN's margin and the sums that move it, part of a run's state.

    Args:
        interval: updates between its moves.
    """

    of_samples = ("value", "sums")
    value: Tensor
    sums: Tensor  # of the energies of real samples and fakes since the last move, [2]
    before: Tensor  # the mean energy of fakes an interval ago; at first the largest number: no move
    count: Tensor

    def __init__(self, interval: int) -> None:
        super().__init__()
        self.interval = interval
        self.register_buffer("value", torch.ones(()))
        self.register_buffer("sums", torch.zeros(2))
        self.register_buffer("before", torch.full((), torch.finfo(torch.float32).max))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def begin(self, real: Tensor) -> None:
        """Follow the energy of real samples, a running mean of about a hundred updates."""
        self.value.lerp_(real.to(self.value), 0.02)

    @torch.no_grad()
    def record(self, real: Tensor, fake: Tensor) -> None:
        """Take in the mean energies of an update."""
        self.sums.add_(torch.stack([real, fake]).to(self.sums))
        self.count.add_(1)

    @torch.no_grad()
    def adapt(self) -> None:
        """Move the margin where an interval is full; without a look at the values on the host."""
        full = self.count >= self.interval
        real, fake = self.sums / self.count.clamp_min(1)
        lower = full & (real < self.value) & (real < fake) & (self.before <= fake)
        self.value.copy_(torch.where(lower, real, self.value))
        self.before.copy_(torch.where(full, fake, self.before))
        self.sums.mul_(~full)
        self.count.mul_(~full)
