"""The base of two-player games, and of models that learn a discriminator alone."""

from __future__ import annotations

import warnings
from abc import ABC
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from gan_cli import labels
from gan_cli.errors import ConfigError
from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Grid, Loss, Model, Phase
from gan_cli.models.discriminator_view import DiscriminatorView
from gan_cli.models.faults import below, refuse
from gan_cli.models.pictures import grids
from gan_cli.networks.family import (
    Discriminator,
    Generator,
    MinibatchDiscrimination,
    NetworkFamily,
    Options,
)
from gan_cli.networks.layers import compares_samples
from gan_cli.penalties import Penalty, Score
from gan_cli.priors import Prior

D = TypeVar("D", bound=nn.Module)


class DiscriminatorModel(Model, ABC):
    """The base of models with a discriminator, with or without a generator.

    Args:
        data: what the samples are.
        loss: what the discriminator minimises.
        penalty: what constrains it.
    """

    discriminator: Discriminator

    def __init__(self, data: DataSpec, loss: AdversarialLoss, penalty: Penalty) -> None:
        super().__init__()
        self.data, self.loss, self.penalty = data, loss, penalty
        self.second_order = penalty.per_sample
        self.score_name = "D" if loss.player == "discriminator" else loss.player

    def constrained(self, discriminator: D) -> D:
        """The new `discriminator`; its weights are projected where the penalty does so at once."""
        if self.penalty.at_start:
            self.penalty.constrain(discriminator)
        return discriminator

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Real samples and others, each [n, *shape], as the discriminator sees them."""
        return batch.real, self.sample(len(batch))

    def discriminator_loss(self, batch: Batch) -> Loss:
        """Tell real samples from others."""
        samples = self.pair(batch)
        return self.compare(samples, self.outputs(samples))

    def outputs(
        self,
        samples: tuple[Tensor, Tensor],
        labels: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> tuple[Tensor, Tensor]:
        """The discriminator's outputs [n] on real and fake samples, in one pass where it can.

        Twice the rows in a product of matrices cost less than two products, and the gradients of
        the weights need no sum.
        """
        (real, fake), (y, wanted) = samples, labels
        if not self.discriminator.joint or (y is None) != (wanted is None):
            return self.discriminator(real, y), self.discriminator(fake, wanted)
        both = None if y is None or wanted is None else torch.cat([y, wanted])
        output = self.discriminator(torch.cat([real, fake]), both)
        return output[: len(real)], output[len(real) :]

    def penalty_loss(self, batch: Batch) -> Loss:
        """The penalty alone, for lazy regularisation."""
        return self.lazy_penalty(self.discriminator, *self.pair(batch))

    def score(self, x: Tensor, y: Tensor | None = None) -> Tensor | None:
        """The discriminator's output [n]; None where it compares samples."""
        return None if compares_samples(self.discriminator) else self.discriminator(x)

    def compare(
        self,
        samples: tuple[Tensor, Tensor],
        outputs: tuple[Tensor, Tensor],
        score: Score | None = None,
    ) -> Loss:
        """The discriminator's loss, with its penalty where every update has one.

        Args:
            samples: real and fake, each [n, *shape].
            outputs: the discriminator's on them, each [n].
            score: the discriminator as a function of samples, for the penalty; by default itself.
        """
        real, fake = outputs
        total, penalty = self.loss.discriminator(real, fake), self.penalty
        logs = self.statistics(real, fake)
        if penalty.name and penalty.every == 1 and not penalty.on_weights:
            term = penalty(score or self.discriminator, *samples)
            logs[f"penalty/{penalty.name}"] = term.detach()
            total = total + term
        return Loss(total, logs, {"output/real": real.detach(), "output/fake": fake.detach()})

    def statistics(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Statistics of the discriminator's outputs [n], such as its accuracy."""
        real, fake = real.detach().float(), fake.detach().float()
        mean_real, mean_fake = real.mean(), fake.mean()
        logs = {"output/real": mean_real, "output/fake": mean_fake}
        if self.loss.unbounded:
            # Up to the Lipschitz constant that the constraint allows.
            return logs | {"wasserstein_estimate": mean_real - mean_fake}
        if self.loss.boundary is None:  # share of pairs of a real and a fake in the right order
            return logs | {"accuracy/all": (real[:, None] > fake).float().mean()}
        hits_real = (real > self.loss.boundary).float().mean()
        hits_fake = (fake < self.loss.boundary).float().mean()
        logs |= {
            "accuracy/real": hits_real,
            "accuracy/fake": hits_fake,
            "accuracy/all": (hits_real + hits_fake) / 2,
        }
        if self.loss.probabilistic:
            logs |= {
                "probability/real": real.sigmoid().mean(),
                "probability/fake": fake.sigmoid().mean(),
            }
        return logs

    def lazy_penalty(self, score: Score, real: Tensor, fake: Tensor) -> Loss:
        """The penalty alone, n times as strong, for a phase that applies it every n updates."""
        term = self.penalty(score, real, fake)
        logs = {f"penalty/{self.penalty.name}": term.detach()}
        return Loss(self.penalty.every * term, logs)

    def after_discriminator(self) -> None:
        """Act after each update of the discriminator and its constraint."""

    def discriminator_phases(
        self,
        player: str,
        trains: tuple[nn.Module, ...],
        steps: int = 1,
        burst: int | None = None,
        shares: tuple[nn.Module, ...] = (),
        every: int = 1,
        offset: int = 0,
    ) -> list[Phase]:
        """The discriminator's phases under the name `player`: its updates, then a lazy penalty.

        The WGAN authors' code trains the critic 100 times (`burst`) in each of the first 25
        generator steps and in every 500th, so that the generator meets a critic near its optimum.

        Args:
            player: the name.
            trains: the modules that the updates train.
            steps: updates in a step, each with a fresh batch.
            burst: updates in those steps instead; None for no such steps.
            shares: as in `Phase`.
            every: as in `Phase`.
            offset: as in `Phase`.

        Raises:
            ConfigError: the penalty is on a generator, and there is none.
        """
        penalty = self.penalty
        if penalty.of != "discriminator" and not hasattr(self, "generator"):
            raise ConfigError(
                f"penalty.of = {penalty.of}: this model has no generator; "
                "set penalty.of=discriminator"
            )

        def constrain() -> None:
            penalty.constrain(self.discriminator)
            self.after_discriminator()

        loss = self.discriminator_loss
        if penalty.every == 1:
            loss = self.regularised("discriminator", self.discriminator, loss)
        loss = self.with_weight(loss)
        first = Phase(
            player,
            loss,
            trains,
            repeat=steps,
            every=every,
            offset=offset,
            after=constrain,
            shares=shares,
        )
        phases = [first]
        if burst:
            phases.append(replace(first, repeat=burst - steps, stop=25))
            phases.append(replace(first, repeat=burst - steps, start=25, every=500))
        if penalty.name and penalty.every > 1:
            phases.append(
                Phase(
                    f"{player}_penalty",
                    self.regularised(
                        "discriminator", self.discriminator, self.with_weight(self.penalty_loss)
                    ),
                    trains,
                    every=penalty.every,
                    follows=player,
                    rescales=penalty.rescale,
                    optimizer=player,
                    after=constrain,
                )
            )
        return phases

    def with_weight(self, loss: Callable[[Batch], Loss]) -> Callable[[Batch], Loss]:
        """A loss with the penalty's weight at its step, where that changes."""
        if not self.penalty.changes:
            return loss

        def at_step(batch: Batch) -> Loss:
            self.penalty.set_step(batch.step)
            return loss(batch)

        return at_step

    def regularised(
        self, of: str, network: nn.Module, loss: Callable[[Batch], Loss]
    ) -> Callable[[Batch], Loss]:
        """A player's loss with the penalty on the weights of its network, where there is one."""
        penalty = self.penalty
        if not penalty.on_weights or penalty.of not in (of, "both"):
            return loss

        def both(batch: Batch) -> Loss:
            found, term = loss(batch), penalty.regularise(network)
            logs = {**found.logs, f"penalty/{penalty.name}": term.detach()}
            return found._replace(total=found.total + penalty.every * term, logs=logs)

        return both

    def warn_of_contradictions(self, network: Options) -> None:
        """Warn of settings that run but contradict the theory."""
        penalty = self.penalty
        if self.loss.unbounded and not (penalty.lipschitz or network.lipschitz):
            warnings.warn(
                "loss = wasserstein with nothing that bounds the critic's slope: its loss has no "
                "lower bound and diverges (Arjovsky et al. 2017, section 3); use "
                "penalty=weight_clip or penalty=gradient_penalty",
                stacklevel=4,
            )
        if penalty.per_sample and network.mixes_samples:
            warnings.warn(
                f"penalty = {penalty.name} looks at the gradient of each sample, and batch norm or "
                "minibatch discrimination makes a sample's output depend on the others (Gulrajani "
                "et al. 2017, section 4); use network.discriminator_norm=layer or none and "
                "network.minibatch_discrimination=null",
                stacklevel=4,
            )

    def whole_batch_terms(self) -> tuple[str, ...]:
        """Terms of the loss, penalty and networks that are not means over samples."""
        terms = {
            f"loss={type(self.loss).__name__}": self.loss.whole_batch,
            f"penalty={self.penalty.name}": self.penalty.whole_batch,
            "minibatch discrimination": any(
                isinstance(module, MinibatchDiscrimination) for module in self.modules()
            ),
        }
        return tuple(name for name, found in terms.items() if found)


class AdversarialModel(DiscriminatorModel, ABC):
    """A generator against a discriminator or critic (Goodfellow et al. 2014).

    A new game is a constructor that ends with `build`, and the losses that differ from these. The
    discriminator's updates come first, unless `first` says otherwise; the generator plays against
    the updated discriminator.

    Args:
        data: what is to be generated.
        prior: of the latents.
        loss: what the players minimise.
        penalty: what constrains them.
        conditional: the generator gets labels.
        d_steps: discriminator updates in a step, each with a fresh batch.
        g_steps: generator updates in a step, each with fresh latents.
        d_burst: see `discriminator_phases`.
        share_fakes: the discriminator's fakes stay differentiable for the generator's loss.
        schedule: "together", or "alternate": the first player in the first, third, fifth ... step
            alone, and the other in those between; or "simultaneous": both in every step, by
            gradients at the weights that the step begins with.
        first: the player that moves first, "discriminator" or "generator".
        view: of samples, as the discriminator sees them; by default the samples themselves.
    """

    generator: Generator
    label_ends: Tensor  # where a conditional model's classes end in [0, 1), [classes - 1]

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        loss: AdversarialLoss,
        penalty: Penalty,
        *,
        conditional: bool = False,
        d_steps: int = 1,
        g_steps: int = 1,
        d_burst: int | None = None,
        share_fakes: bool = False,
        schedule: Literal["together", "alternate", "simultaneous"] = "together",
        first: Literal["discriminator", "generator"] = "discriminator",
        view: DiscriminatorView | None = None,
    ) -> None:
        super().__init__(data, loss, penalty)
        self.prior, self.conditional = prior, conditional
        self.d_steps, self.g_steps, self.d_burst = d_steps, g_steps, d_burst
        self.share_fakes, self.schedule, self.first = share_fakes, schedule, first
        self.simultaneous = schedule == "simultaneous"
        self.view = view or DiscriminatorView(data)

    def faults(self) -> Iterator[str]:
        """Faults of the settings, one line each."""
        yield from below({"d_steps": self.d_steps, "g_steps": self.g_steps}, 1)
        if self.d_burst is not None and self.d_burst <= self.d_steps:
            yield f"model.d_burst = {self.d_burst}: must exceed model.d_steps = {self.d_steps}"
        if self.share_fakes and (self.d_steps > 1 or self.d_burst):
            yield (
                "model.share_fakes = true: fakes can be shared only where the discriminator makes "
                "one update per step; set model.share_fakes=false, or d_steps=1 and d_burst=null"
            )
        if self.simultaneous:
            once = self.d_steps == self.g_steps == 1 and not self.d_burst
            if not once or (self.penalty.name and self.penalty.every > 1):
                yield (
                    "model.schedule = simultaneous: each player moves once, at the same weights; "
                    "set model.d_steps=1 model.g_steps=1 model.d_burst=null and penalty.every=1"
                )
        if self.first == "generator" and (self.share_fakes or self.simultaneous):
            why = (
                "the discriminator makes the fakes that are shared; set model.share_fakes=false"
                if self.share_fakes
                else "no player is first in model.schedule=simultaneous"
            )
            yield f"model.first = generator: {why}, or model.first=discriminator"
        if self.schedule == "alternate" and (self.share_fakes or self.d_burst):
            yield (
                "model.schedule = alternate: the players never move in one step, so nothing can be "
                "shared and no burst be counted; set model.share_fakes=false and model.d_burst=null"
            )

    def build(self, network: NetworkFamily, classes: int = 0) -> None:
        """Check the settings and build the two players.

        Args:
            network: builds them.
            classes: that the discriminator is given labels of; 0 where it sees none.

        Raises:
            ConfigError: lists every fault of the settings.
        """
        refuse(self.faults())
        self.warn_of_contradictions(network)
        if self.conditional:
            ends = labels.upper_ends(self.data.shares)
            self.register_buffer("label_ends", ends, persistent=False)
        known = self.data.classes if self.conditional else 0
        self.generator = network.generator(self.prior.dim, self.data, known)
        self.generator.set_reference(self.prior.sample, self.data.shares)
        self.discriminator = self.constrained(network.discriminator(self.view.data, classes))
        self.whole_batch = self.whole_batch_terms()

    def phases(self) -> list[Phase]:
        every = 2 if self.schedule == "alternate" else 1
        second = every - 1  # the offset of the player that moves second
        leads = self.first == "generator"
        discriminator = self.discriminator_phases(
            self.loss.player,
            self.discriminator_modules(),
            self.d_steps,
            self.d_burst,
            (self.generator,) if self.share_fakes else (),
            every,
            second if leads else 0,
        )
        generator = Phase(
            "generator",
            self.regularised("generator", self.generator, self.generator_loss),
            self.generator_modules(),
            repeat=self.g_steps,
            every=every,
            offset=0 if leads else second,
            after=self.after_generator,
        )
        return [generator, *discriminator] if leads else [*discriminator, generator]

    def discriminator_modules(self) -> tuple[nn.Module, ...]:
        """Modules that the discriminator's updates train."""
        return (self.discriminator,)

    def generator_modules(self) -> tuple[nn.Module, ...]:
        """Modules that the generator's updates train."""
        return (self.generator,)

    def after_generator(self) -> None:
        """Act after each update of the generator."""

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.view(batch.real, batch), self.view(self.sample(len(batch)), batch)

    def penalised(self, batch: Batch, y: Tensor | None = None) -> Score:
        """The discriminator as a function of what a penalty takes gradients by: `before_penalty`.

        With adaptive augmentation each penalty augments samples anew (Karras et al.'s code).
        """
        view = self.view
        if view.adaptive is None:
            return lambda x: self.discriminator(x, y)
        return lambda x: self.discriminator(view(view.unpack(x), batch), y)

    def before_penalty(self, x: Tensor, batch: Batch) -> Tensor:
        """The view of samples `x`, or with adaptive augmentation their packs before it."""
        return self.view(x, batch) if self.view.adaptive is None else self.view.pack(x)

    def generator_loss(self, batch: Batch) -> Loss:
        """Make the discriminator take fakes for real."""
        fake = self.view(self.sample(len(batch)), batch)
        return Loss(self.reply(self.discriminator(fake), batch), {})

    def reply(self, output: Tensor, batch: Batch) -> Tensor:
        """The loss's generator term on the discriminator's output [n] for fakes; a scalar."""
        if not self.loss.compares:
            return self.loss.generator(output)
        return self.loss.generator(output, self.discriminator(self.view(batch.real, batch)))

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.generator(z, y) if self.conditional else self.generator(z)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        if self.conditional and y is None:
            y = labels.drawn(self.label_ends, n)
        return self.generate(self.prior.sample(n, self.device), y)

    def sample_gradient(self, x: Tensor) -> Tensor | None:
        if self.loss.compares or self.loss.whole_batch:
            return None
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            output = self.score(x)
            if output is None:
                return None
            # The loss is a mean, and each sample's own is wanted.
            return torch.autograd.grad(-len(x) * self.loss.generator(output), x)[0]

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.generator,)

    def pictures(self, z: Tensor) -> dict[str, Grid]:
        return grids(self, z)
