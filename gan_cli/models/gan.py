"""The game of two networks (Goodfellow et al. 2014), with labels or without.

DCGAN, cGAN, WGAN, WGAN-GP, PacGAN, projection, least-squares and hinge GANs are settings of it: see
conf/model and conf/experiment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from gan_cli import labels
from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Grid, Loss, Model, Phase
from gan_cli.models.adversarial import (
    Side,
    feature_gap,
    judged,
    lazy,
    phases_of,
    push,
    warn_of_contradictions,
    whole_batch_terms,
)
from gan_cli.models.drawing import grids
from gan_cli.models.faults import below, refuse
from gan_cli.models.history import History, looking_back
from gan_cli.models.view import View
from gan_cli.networks.family import NetworkFamily
from gan_cli.penalties import Penalty
from gan_cli.priors import Prior


class GAN(Model):
    """A generator against a discriminator or critic.

    Args:
        data: what is to be generated.
        prior: of the latents.
        network: builds the two players.
        loss: what they minimise.
        penalty: what constrains the discriminator.
        conditional: labels into both networks (Mirza and Osindero 2014, Eq. 2).
        fake_labels: classes of fakes of a conditional model: "batch", those of the real samples
            beside them, or "uniform", all equally likely (Miyato and Koyama's code).
        d_steps: discriminator updates in a step, each with a fresh batch.
        g_steps: generator updates in a step, each with fresh latents.
        d_burst: as many of the discriminator's instead in the first 25 steps and in every 500th
            (the WGAN authors' code).
        share_fakes: the generator learns from the very fakes that the discriminator has just seen,
            judged anew, and is run once less a step (the DCGAN authors' code); its further updates
            have fakes of their own. Needs one discriminator update a step.
        schedule: "together": both players move in every step; "alternate": the discriminator in odd
            steps (1, 3, 5 ...), the generator in even ones.
        packing: samples that the discriminator judges together (PacGAN, Lin et al. 2018). A batch
            is cut into batch_size / packing packs; the authors count a batch in packs. The
            generator makes the packs' first members together, then their second ones, so that its
            batch norm sees batches of batch_size / packing.
        instance_noise: deviation of the noise on all that the discriminator sees.
        instance_noise_steps: steps over which it falls linearly to 0; null: it never falls.
        augment: policies of differentiable augmentation (Zhao et al. 2020).
        adversarial: weight of the adversarial term in the generator's loss.
        feature_matching: weight of the distance between the mean features of real and fake samples
            in the generator's loss (Salimans et al. 2016, section 3.1).
        historical_averaging: weight, in both losses, of the squared distance of a player's
            parameters from the mean of their past (section 3.3 there).
    """

    label_ends: Tensor

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        conditional: bool = False,
        fake_labels: Literal["batch", "uniform"] = "batch",
        d_steps: int = 1,
        g_steps: int = 1,
        d_burst: int | None = None,
        share_fakes: bool = False,
        schedule: Literal["together", "alternate"] = "together",
        packing: int = 1,
        instance_noise: float = 0.0,
        instance_noise_steps: int | None = None,
        augment: Sequence[str] = (),
        adversarial: float = 1.0,
        feature_matching: float = 0.0,
        historical_averaging: float = 0.0,
    ) -> None:
        super().__init__()
        self.data, self.prior, self.conditional = data, prior, conditional
        self.loss, self.penalty, self.second_order = loss, penalty, penalty.per_sample
        self.d_steps, self.g_steps, self.d_burst = d_steps, g_steps, d_burst
        self.share_fakes, self.schedule, self.pack = share_fakes, schedule, packing
        self.adversarial, self.feature_matching = adversarial, feature_matching
        self.historical_averaging = historical_averaging
        self.fake_labels = fake_labels
        refuse(self._faults())
        if conditional:
            self.register_buffer("label_ends", labels.upper_ends(data.shares), persistent=False)
        self.view = View(data, packing, instance_noise, instance_noise_steps, augment)
        warn_of_contradictions(loss, penalty, network)
        classes = data.classes if conditional else 0
        self.generator = network.generator(prior.dim, data, classes)
        self.generator.refer_to(self.prior.sample, data.shares)
        self.discriminator = network.discriminator(self.view.data, classes)
        matching = ("feature matching",) if feature_matching else ()
        self.whole_batch = (*whole_batch_terms(self), *matching)
        self.generator_history = self._history(self.generator)
        self.discriminator_history = self._history(self.discriminator)

    def _faults(self) -> Iterator[str]:
        if self.conditional and not self.data.classes:
            yield f"model.conditional = true: data={self.data.name} has no labels"
        yield from below({"d_steps": self.d_steps, "g_steps": self.g_steps}, 1)
        if self.d_burst is not None and self.d_burst <= self.d_steps:
            yield f"model.d_burst = {self.d_burst}: must exceed model.d_steps = {self.d_steps}"
        if self.share_fakes and (self.d_steps > 1 or self.d_burst):
            yield (
                "model.share_fakes = true: fakes can be shared only where the discriminator makes "
                "one update per step; set model.share_fakes=false, or d_steps=1 and d_burst=null"
            )
        if self.schedule == "alternate" and (self.share_fakes or self.d_burst):
            yield (
                "model.schedule = alternate: the players never move in one step, so nothing can be "
                "shared and no burst be counted; set model.share_fakes=false and model.d_burst=null"
            )
        if self.conditional and self.pack > 1:
            yield (
                f"model.packing = {self.pack}: a pack has no one label; "
                "set model.conditional=false or packing=1"
            )
        if self.fake_labels == "uniform" and not self.conditional:
            yield "model.fake_labels = uniform: needs model.conditional=true; set it, or =batch"
        if self.fake_labels == "uniform" and self.penalty.at_fakes:
            yield (
                f"model.fake_labels = uniform: penalty = {self.penalty.name} looks at fakes with "
                "the classes of real samples; set penalty=r1 or none, or model.fake_labels=batch"
            )
        weights = ("adversarial", "feature_matching", "historical_averaging")
        yield from below({name: getattr(self, name) for name in weights}, 0)
        if not self.adversarial and not self.feature_matching:
            yield (
                "model.adversarial = 0: the generator has nothing else to learn from; "
                "set model.feature_matching=1, or adversarial=1"
            )

    def _history(self, network: nn.Module) -> History | None:
        weight = self.historical_averaging
        return History(network, weight) if weight else None

    def phases(self) -> list[Phase]:
        def side(network: nn.Module, history: History | None, steps: int) -> Side:
            if history is None:
                return Side((network,), steps)
            return Side((network, history), steps, lambda: history.record(network))

        return phases_of(
            self,
            side(self.discriminator, self.discriminator_history, self.d_steps),
            side(self.generator, self.generator_history, self.g_steps),
            self.d_burst,
            (self.generator,) if self.share_fakes else (),
            self.schedule == "alternate",
        )

    def discriminator_loss(self, batch: Batch) -> Loss:
        """Tell real from fake."""
        y, wanted = self._labels(batch), self._wanted(batch)
        fake = self._fakes(batch, wanted)
        if self.share_fakes:
            batch.kept["fake"] = fake
            if self.fake_labels == "uniform" and wanted is not None:
                batch.kept["wanted"] = wanted
        samples = self.view(batch.real, batch), self.view(fake, batch)
        outputs = self.discriminator(samples[0], y), self.discriminator(samples[1], wanted)
        game = judged(self.loss, self.penalty, lambda x: self.discriminator(x, y), samples, outputs)
        return looking_back(game, self.loss.player, self.discriminator, self.discriminator_history)

    def penalty_loss(self, batch: Batch) -> Loss:
        """The penalty alone, for lazy regularisation."""
        y = self._labels(batch)
        real = self.view(batch.real, batch)
        fake = self.view(self._fakes(batch, y), batch)
        return lazy(self.penalty, self.penalty(lambda x: self.discriminator(x, y), real, fake))

    def generator_loss(self, batch: Batch) -> Loss:
        """Make the discriminator take fakes for real."""
        y, wanted = self._labels(batch), batch.kept.pop("wanted", None)
        if wanted is None:
            wanted = self._wanted(batch)
        fake = batch.kept.pop("fake", None)
        fake = self.view(self._fakes(batch, wanted) if fake is None else fake, batch)
        if self.feature_matching:
            game = self._matched(self.view(batch.real, batch), fake, y, wanted)
        else:
            real = self.view(batch.real, batch) if self.loss.compares else None
            against = None if real is None else self.discriminator(real, y)
            total = self.loss.generator(self.discriminator(fake, wanted), against)
            game = Loss(self.adversarial * total, {})
        return looking_back(game, "generator", self.generator, self.generator_history)

    def _matched(self, real: Tensor, fake: Tensor, y: Tensor | None, wanted: Tensor | None) -> Loss:
        """The generator's loss where it also matches features, on what the discriminator sees."""
        theirs = self.discriminator.features(real, y)
        mine = self.discriminator.features(fake, wanted)
        gap = feature_gap(theirs, mine)
        total = self.feature_matching * gap
        if self.adversarial:
            against = self.discriminator.judge(theirs, y) if self.loss.compares else None
            game = self.loss.generator(self.discriminator.judge(mine, wanted), against)
            total = total + self.adversarial * game
        return Loss(total, {"feature_matching": gap.detach()})

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.generator(z, y)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        if self.conditional and y is None:
            y = labels.drawn(self.label_ends, n)
        return self.generate(self.prior.sample(n, self.device), y)

    def score(self, x: Tensor) -> Tensor | None:
        """The discriminator's output [n]; None with labels or packing, which need more than x.

        A pack of copies would be no answer: such packs are what a packing discriminator rejects.
        """
        return None if self.conditional or self.pack > 1 else self.discriminator(x)

    def push(self, x: Tensor) -> Tensor | None:
        return push(self.loss, self.score, x)

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.generator,)

    def pictures(self, z: Tensor) -> dict[str, Grid]:
        return grids(self, z)

    def _labels(self, batch: Batch) -> Tensor | None:
        return batch.labels if self.conditional else None

    def _wanted(self, batch: Batch) -> Tensor | None:
        """The classes of fakes; None for a model without."""
        if self.conditional and self.fake_labels == "uniform":
            return torch.randint(self.data.classes, (len(batch),), device=self.device)
        return self._labels(batch)

    def _fakes(self, batch: Batch, y: Tensor | None) -> Tensor:
        z = self.prior.sample(len(batch), self.device)
        if self.pack == 1:
            return self.generate(z, y)
        # As in the authors' code each member of the packs is a pass, and so a batch, of its own.
        members = [self.generate(z[place :: self.pack]) for place in range(self.pack)]
        return torch.stack(members, dim=1).flatten(0, 1)
