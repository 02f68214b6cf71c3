"""The game of two networks (Goodfellow et al. 2014), with labels or without.

DCGAN, cGAN, WGAN, WGAN-GP and least-squares or hinge GANs are settings of it: see conf/model.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gan_cli.errors import ConfigError
from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Grid, Loss, Model, Phase
from gan_cli.models.adversarial import (
    fixed_labels,
    judged,
    lazy,
    phases_of,
    warn_of_contradictions,
)
from gan_cli.networks.family import NetworkFamily
from gan_cli.penalties import Penalty
from gan_cli.priors import Prior

ROWS = 20  # classes shown in the grid of classes


class GAN(Model):
    """A generator against a discriminator or critic.

    Args:
        data: what is to be generated.
        prior: of the latents.
        network: builds the two players.
        loss: what they minimise.
        penalty: what constrains the discriminator.
        conditional: labels into both networks (Mirza and Osindero 2014, Eq. 2).
        d_steps: discriminator updates for each of the generator's, with fresh batches.
        d_burst: as many instead in the first 25 steps and in every 500th (the WGAN authors' code).
        share_fakes: the generator learns from the very fakes that the discriminator has just seen,
            judged anew, and is run once a step instead of twice (the DCGAN authors' code). Needs
            one discriminator update a step.
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        conditional: bool = False,
        d_steps: int = 1,
        d_burst: int | None = None,
        share_fakes: bool = False,
    ) -> None:
        super().__init__()
        if conditional and not data.classes:
            raise ConfigError(f"model.conditional = true: data={data.name} has no labels")
        if d_steps < 1:
            raise ConfigError(f"model.d_steps = {d_steps}: must be at least 1")
        if d_burst is not None and d_burst <= d_steps:
            raise ConfigError(f"model.d_burst = {d_burst}: must exceed model.d_steps = {d_steps}")
        if share_fakes and (d_steps > 1 or d_burst):
            raise ConfigError(
                "model.share_fakes = true: fakes can be shared only where the discriminator makes "
                "one update per step; set model.share_fakes=false, or d_steps=1 and d_burst=null"
            )
        warn_of_contradictions(loss, penalty, network)
        self.data, self.prior, self.conditional = data, prior, conditional
        self.loss, self.penalty, self.second_order = loss, penalty, penalty.per_sample
        self.d_steps, self.d_burst, self.share_fakes = d_steps, d_burst, share_fakes
        classes = data.classes if conditional else 0
        self.generator = network.generator(prior.dim, data, classes)
        self.discriminator = network.discriminator(data, classes)

    def phases(self) -> list[Phase]:
        shares = (self.generator,) if self.share_fakes else ()
        return phases_of(self, (self.discriminator,), self.d_steps, self.d_burst, shares)

    def discriminator_loss(self, batch: Batch) -> Loss:
        """Tell real from fake."""
        y = self._labels(batch)
        fake = self._fakes(batch, y)
        if self.share_fakes:
            batch.kept["fake"] = fake
        outputs = self.discriminator(batch.real, y), self.discriminator(fake, y)
        samples = batch.real, fake
        return judged(self.loss, self.penalty, lambda x: self.discriminator(x, y), samples, outputs)

    def penalty_loss(self, batch: Batch) -> Loss:
        """The penalty alone, for lazy regularisation."""
        y = self._labels(batch)
        term = self.penalty(lambda x: self.discriminator(x, y), batch.real, self._fakes(batch, y))
        return lazy(self.penalty, term)

    def generator_loss(self, batch: Batch) -> Loss:
        """Make the discriminator take fakes for real."""
        y = self._labels(batch)
        fake = batch.kept.pop("fake", None)
        fake = self._fakes(batch, y) if fake is None else fake
        return Loss(self.loss.generator(self.discriminator(fake, y)), {})

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.generator(z, y)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        if self.conditional and y is None:
            y = torch.randint(self.data.classes, (n,), device=self.device)
        return self.generate(self.prior.sample(n, self.device), y)

    def score(self, x: Tensor) -> Tensor | None:
        return None if self.conditional else self.discriminator(x)

    def averaged(self) -> tuple[torch.nn.Module, ...]:
        return (self.generator,)

    def pictures(self, z: Tensor) -> dict[str, Grid]:
        if not self.conditional:
            return {
                "samples/fixed": Grid(self.generate(z), 8),
                "samples/random": Grid(self.sample(len(z)), 8),
            }
        rows = min(self.data.classes, ROWS)
        columns = z[:10]
        y = torch.arange(rows, device=z.device).repeat_interleave(len(columns))
        names = self.data.class_names[:rows]
        return {
            "samples/classes": Grid(
                self.generate(columns.repeat(rows, 1), y), len(columns), rows=names
            ),
            "samples/fixed": Grid(
                self.generate(z, fixed_labels(len(z), self.data.classes, z.device)), 8
            ),
            "samples/random": Grid(self.sample(len(z)), 8),
        }

    def _labels(self, batch: Batch) -> Tensor | None:
        return batch.labels if self.conditional else None

    def _fakes(self, batch: Batch, y: Tensor | None) -> Tensor:
        return self.generate(self.prior.sample(len(batch), self.device), y)
