"""Translation of images with paired examples: pix2pix, SRGAN, context encoders."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from gan_cli.errors import ConfigError
from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Grid, Loss, Phase, View
from gan_cli.models.adversarial import DiscriminatorModel
from gan_cli.models.faults import below, refuse
from gan_cli.networks.layers import unrecorded
from gan_cli.networks.translation import PatchDiscriminator, TranslationFamily, resized
from gan_cli.penalties import Penalty

REMEMBERED = 256  # inputs that a model keeps, to have some to translate when samples are drawn
SHOWN = 24  # inputs in a picture


class InputMemory(nn.Module):
    """The first inputs that a model was trained on, so that a run folder is enough to draw from.

    Args:
        shape: of an input.
    """

    holds_samples = True
    images: Tensor  # uint8 [REMEMBERED + 1, *shape]; the last one is where others are dropped
    count: Tensor  # of those that are there

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(REMEMBERED + 1, *shape, dtype=torch.uint8))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def record(self, source: Tensor) -> None:
        """Keep inputs [n, *shape] while there is room."""
        if not self.training:
            return
        places = self.count + torch.arange(len(source), device=source.device)
        levels = ((source + 1) * 127.5).round().to(torch.uint8)
        self.images[places.clamp_max(REMEMBERED)] = levels
        self.count.add_(len(source)).clamp_(max=REMEMBERED)

    def draw(self, n: int) -> Tensor:
        """Inputs at random, [n, *shape] in [-1, 1]."""
        places = torch.rand(n, device=self.images.device) * self.count.clamp_min(1)
        return self.images[places.long()].float() / 127.5 - 1


class TranslationModel(DiscriminatorModel, ABC):
    """A model whose samples are translations of other images.

    Args:
        data: the targets, and the shape of the inputs.
        loss: what the discriminators minimise.
        penalty: what constrains them.
    """

    discriminator: PatchDiscriminator  # type: ignore[assignment]
    score = None  # type: ignore[assignment] - an image has as many outputs as patches

    def __init__(self, data: DataSpec, loss: AdversarialLoss, penalty: Penalty) -> None:
        if not data.source:
            raise ConfigError(
                f"data = {data.name}: has no inputs beside its images, and this model translates; "
                "use data=pairs, data=unpaired, or inputs that are made: data=derived, masked or "
                "low_resolution"
            )
        super().__init__(data, loss, penalty)
        self.memory = InputMemory(data.source)

    @abstractmethod
    def translate(self, source: Tensor, backwards: bool = False) -> Tensor:
        """Outputs [n, *shape] of inputs [n, *source]; of any size that the network can do.

        Args:
            source: the inputs.
            backwards: from targets to inputs, where the model learns that too.

        Raises:
            ConfigError: it does not.
        """

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        """Translations of inputs that the model was trained on."""
        return self.translate(self.memory.draw(n))


class Pix2Pix(TranslationModel):
    """A generator from inputs to targets, an error between the two, and a discriminator.

    G minimises adversarial * L_GAN(G, D) + l1 * E|y - G(x)| + l2 * E(y - G(x))^2 + cross_entropy *
    H(y, G(x)) + content * E(f(y) - f(G(x)))^2 with f the last hidden map of D (Isola et al. 2017,
    Eqs. 1 to 4; Ledig et al. 2017, Eqs. 3 to 6; Pathak et al. 2016, Eqs. 1 to 3). D sees inputs and
    targets (pix2pix) or targets alone.

    Args:
        data: the targets, and the shape of the inputs.
        network: builds the two players.
        loss: what they minimise.
        penalty: what constrains the discriminator.
        conditional_discriminator: D sees inputs too.
        adversarial: weight of the adversarial term; 0 is the control without a discriminator.
        l1: of the mean absolute error.
        l2: of the mean squared error.
        content: of the error in D's features.
        pretrain: steps at first with the error alone, with weight 1 (SRGAN).
        cross_entropy: of the mean cross-entropy per pixel, for images of two values: the error of
            outputs that are independent of each other.
    """

    def __init__(
        self,
        data: DataSpec,
        network: TranslationFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        conditional_discriminator: bool = True,
        adversarial: float = 1.0,
        l1: float = 100.0,
        l2: float = 0.0,
        content: float = 0.0,
        pretrain: int = 0,
        cross_entropy: float = 0.0,
    ) -> None:
        super().__init__(data, loss, penalty)
        self.sees_inputs, self.adversarial = conditional_discriminator, adversarial
        self.l1, self.l2, self.content, self.pretrain = l1, l2, content, pretrain
        self.cross_entropy = cross_entropy
        refuse(self._faults())
        self.warn_of_contradictions(network)
        self.generator = network.translator(data.source, data.shape)
        channels = data.shape[0] + (data.source[0] if conditional_discriminator else 0)
        seen = DataSpec(data.name, (channels, *data.shape[1:]), data.size)
        self.discriminator = self.constrained(network.discriminator(seen))
        self.whole_batch = self.whole_batch_terms()

    def _faults(self) -> Iterator[str]:
        if not self.data.paired:
            yield (
                f"data = {self.data.name}: has no pairs, which this model needs; use "
                "data=pairs, or model=cyclegan"
            )
        weights = ("adversarial", "l1", "l2", "cross_entropy", "content", "pretrain")
        yield from below({name: getattr(self, name) for name in weights}, 0)
        if not self.adversarial + self.l1 + self.l2 + self.cross_entropy + self.content:
            yield "model.l1 = 0: the generator has nothing to learn from; set model.l1=100"
        if self.pretrain and not self.l1 + self.l2:
            yield "model.pretrain: needs an error to begin with; set model.l1 or model.l2"
        if self.content and not self.adversarial:
            yield "model.content: is of the discriminator's features; set model.adversarial=0.001"

    def phases(self) -> list[Phase]:
        trained = (self.generator, self.memory)
        loss = self.regularised("generator", self.generator, self.generator_loss)
        found = [Phase("generator", loss, trained, start=self.pretrain)]
        if self.pretrain:
            first = Phase(
                "reconstruction",
                self.reconstruction_loss,
                trained,
                stop=self.pretrain,
                optimizer="generator",
            )
            found.append(first)
        if not self.adversarial:
            return found
        game = self.discriminator_phases(self.loss.player, (self.discriminator,))
        return [*(replace_start(phase, self.pretrain) for phase in game), *found]

    def _seen(self, source: Tensor, image: Tensor) -> Tensor:
        """An image, with its input where D sees that too."""
        if not self.sees_inputs:
            return image
        return torch.cat([resized(source, image), image], dim=1)

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        fake = self._seen(batch.source, self.generator(batch.source))
        return self._seen(batch.source, batch.real), fake

    def reconstruction_loss(self, batch: Batch) -> Loss:
        """The error alone."""
        self.memory.record(batch.source)
        fake = self.generator(batch.source)
        absolute, squared = errors(fake, batch.real)
        total = self.l1 * absolute + self.l2 * squared
        return Loss(total / (self.l1 + self.l2), self._logs(absolute, squared))

    def generator_loss(self, batch: Batch) -> Loss:
        """The error, and to make D take translations for targets."""
        self.memory.record(batch.source)
        fake = self.generator(batch.source)
        absolute, squared = errors(fake, batch.real)
        total, logs = self.l1 * absolute + self.l2 * squared, self._logs(absolute, squared)
        if self.cross_entropy:
            entropy = cross_entropy(fake, batch.real)
            logs["cross_entropy"] = entropy.detach()
            total = total + self.cross_entropy * entropy
        if self.adversarial:
            seen = self._seen(batch.source, fake)
            real = self._seen(batch.source, batch.real)
            against = self.discriminator(real) if self.loss.compares else None
            game = self.loss.generator(self.discriminator(seen), against)
            logs["game"] = game.detach()
            total = total + self.adversarial * game
            if self.content:
                ours, theirs = self.discriminator.features(seen), self.discriminator.features(real)
                gap = (ours - theirs).float().square().mean()
                logs["content"] = gap.detach()
                total = total + self.content * gap
        return Loss(total, logs)

    def _logs(self, absolute: Tensor, squared: Tensor) -> dict[str, Tensor]:
        # Of images whose values span 2: 10 log10(4 / MSE).
        psnr = 10 * (math.log10(4.0) - squared.detach().clamp_min(1e-12).log10())
        return {"l1": absolute.detach(), "psnr": psnr}

    def translate(self, source: Tensor, backwards: bool = False) -> Tensor:
        if backwards:
            raise ConfigError("--backwards: this model translates in one direction only")
        return self.generator(source)

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.generator,)

    def views(
        self, real: Batch, log_density: Callable[[Tensor], Tensor | None]
    ) -> Mapping[str, View]:
        """Inputs, outputs and truths, a row of each."""
        some = real.at(real.index[:SHOWN])
        rows = [some.source, self.translate(some.source), some.real]
        return {
            "samples/translation": rows_of(rows, some.real),
            "samples/random": Grid(self.sample(64), 8),
        }


class CycleGAN(TranslationModel):
    """Two generators between two sets of images, each with a discriminator (Zhu et al. 2017).

    G maps inputs to targets and F back. Both minimise their adversarial terms, cycle * (|F(G(x)) -
    x| + |G(F(y)) - y|) (Eq. 2) and identity * (|G(y) - y| + |F(x) - x|) (section 5.2). DiscoGAN
    (Kim et al. 2017) has squared errors and no identity, DualGAN (Yi et al. 2017) critics with
    clipped weights.

    Args:
        data: the targets, and the shape of the inputs.
        network: builds the four players.
        loss: what they minimise.
        penalty: what constrains the discriminators.
        cycle: weight of the cycles' error.
        cycle_error: "l1" or "l2".
        identity: weight of the identities' error; needs inputs and targets of one shape.
        pool: translations kept of earlier steps, from which half of those that the discriminators
            see are drawn (Shrivastava et al. 2017); 0 for none.
        d_steps: discriminator updates in a step, each with a fresh batch.
    """

    def __init__(
        self,
        data: DataSpec,
        network: TranslationFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        cycle: float = 5.0,
        cycle_error: Literal["l1", "l2"] = "l1",
        identity: float = 0.0,
        pool: int = 50,
        d_steps: int = 1,
    ) -> None:
        super().__init__(data, loss, penalty)
        self.cycle, self.cycle_error, self.identity = cycle, cycle_error, identity
        self.d_steps = d_steps
        refuse(self._faults(pool))
        self.warn_of_contradictions(network)
        there = DataSpec(data.name, data.shape, data.size)
        here = DataSpec(data.name, data.source, data.size)
        self.generator = network.translator(data.source, data.shape)
        self.inverse = network.translator(data.shape, data.source)
        self.discriminator = self.constrained(network.discriminator(there))
        self.input_discriminator = self.constrained(network.discriminator(here))
        self.pool = ImagePool(pool, data.shape)
        self.input_pool = ImagePool(pool, data.source)
        self.whole_batch = self.whole_batch_terms()

    def _faults(self, pool: int) -> Iterator[str]:
        yield from below({"cycle": self.cycle, "identity": self.identity, "pool": pool}, 0)
        yield from below({"d_steps": self.d_steps}, 1)
        if self.penalty.on_weights:
            yield (
                f"penalty = {self.penalty.name}: is on the weights of one network, and this model "
                "has two of each; set penalty=none or a penalty on gradients"
            )
        if self.identity and self.data.shape != self.data.source:
            yield (
                "model.identity: inputs and targets differ in shape, so none can stay unchanged; "
                "set model.identity=0"
            )

    def phases(self) -> list[Phase]:
        critics = (self.discriminator, self.input_discriminator, self.pool, self.input_pool)
        return [
            *self.discriminator_phases(self.loss.player, critics, self.d_steps),
            Phase("generator", self.generator_loss, (self.generator, self.inverse, self.memory)),
        ]

    def after_discriminator(self) -> None:
        self.penalty.constrain(self.input_discriminator)

    def discriminator_loss(self, batch: Batch) -> Loss:
        """Tell images of either set from translations into it."""
        there = self._one(self.discriminator, batch.real, self.pool(self.generator(batch.source)))
        here = self._one(
            self.input_discriminator, batch.source, self.input_pool(self.inverse(batch.real))
        )
        logs = {**there.logs, **{f"{name}_of_inputs": value for name, value in here.logs.items()}}
        return Loss(there.total + here.total, logs, there.outputs)

    def _one(self, discriminator: PatchDiscriminator, real: Tensor, fake: Tensor) -> Loss:
        outputs = discriminator(real), discriminator(fake)
        return self.compare((real, fake), outputs, discriminator)

    def penalty_loss(self, batch: Batch) -> Loss:
        """The penalties alone, for lazy regularisation."""
        there = self.lazy_penalty(self.discriminator, batch.real, self.generator(batch.source))
        here = self.lazy_penalty(self.input_discriminator, batch.source, self.inverse(batch.real))
        return there._replace(total=there.total + here.total)

    def generator_loss(self, batch: Batch) -> Loss:
        """Make both discriminators take translations for real, and come back where one began."""
        self.memory.record(batch.source)
        there, here = self.generator(batch.source), self.inverse(batch.real)
        games = (
            self._fooled(self.discriminator, there, batch.real),
            self._fooled(self.input_discriminator, here, batch.source),
        )
        with unrecorded(self):  # running statistics are of real inputs alone
            cycles = (
                self._error(self.inverse(there), batch.source),
                self._error(self.generator(here), batch.real),
            )
        total = games[0] + games[1] + self.cycle * (cycles[0] + cycles[1])
        logs = {"game": games[0], "game_of_inputs": games[1]}
        logs |= {"cycle_of_inputs": cycles[0], "cycle": cycles[1]}
        if self.identity:
            with unrecorded(self):
                same = self._error(self.generator(batch.real), batch.real)
                same = same + self._error(self.inverse(batch.source), batch.source)
            logs["identity"] = same
            total = total + self.identity * same
        return Loss(total, {name: value.detach() for name, value in logs.items()})

    def _fooled(self, discriminator: PatchDiscriminator, fake: Tensor, real: Tensor) -> Tensor:
        against = discriminator(real) if self.loss.compares else None
        return self.loss.generator(discriminator(fake), against)

    def _error(self, a: Tensor, b: Tensor) -> Tensor:
        absolute, squared = errors(a, b)
        return absolute if self.cycle_error == "l1" else squared

    def translate(self, source: Tensor, backwards: bool = False) -> Tensor:
        return (self.inverse if backwards else self.generator)(source)

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.generator, self.inverse)

    def views(
        self, real: Batch, log_density: Callable[[Tensor], Tensor | None]
    ) -> Mapping[str, View]:
        """Images, their translations and what comes back, from either side."""
        some = real.at(real.index[:SHOWN])
        there, here = self.translate(some.source), self.translate(some.real, backwards=True)
        forth = [some.source, there, self.translate(there, backwards=True)]
        back = [some.real, here, self.translate(here)]
        return {
            "samples/translation": rows_of(forth, some.real),
            "samples/backwards": rows_of(back, some.real),
            "samples/random": Grid(self.sample(64), 8),
        }


class ImagePool(nn.Module):
    """Translations of earlier steps (Shrivastava et al. 2017, section 2.3); part of a run's state.

    Once it is full, half of what comes in changes places with images of the pool.

    Args:
        size: how many; 0 hands on what comes.
        shape: of an image.
    """

    holds_samples = True
    images: Tensor  # [size + 1, *shape]; the last one is where others are dropped
    count: Tensor

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size + 1, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Images [n, *shape], some of them from the pool instead."""
        images = images.detach().float()
        if not self.size or not self.training:
            return images
        number = torch.arange(len(images), device=images.device)
        filling = self.count + number < self.size
        order = torch.rand(self.size, device=images.device).argsort()[number % self.size]
        places = torch.where(filling, self.count + number, order)
        exchanged = (torch.rand(len(images), device=images.device) < 0.5) & ~filling
        exchanged &= (number < self.size) & (order < self.count)  # no place twice, and none empty
        wide = exchanged.view(-1, *[1] * (images.dim() - 1))
        shown = torch.where(wide, self.images[places], images)
        self.images[torch.where(filling | exchanged, places, self.size)] = images
        self.count.add_(filling.sum())
        return shown


def errors(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute and mean squared difference of images, in fp32; scalars."""
    difference = (a - b).float()
    return difference.abs().mean(), difference.square().mean()


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy per pixel, in nats, of images in [-1, 1] as probabilities of white."""
    p, t = ((x.float() + 1) / 2 for x in (output, target))
    p = p.clamp(1e-6, 1 - 1e-6)
    return -(t * p.log() + (1 - t) * (-p).log1p()).mean()


def rows_of(rows: list[Tensor], like: Tensor) -> Grid:
    """Columns of images that belong together: each row [n, *shape], eight columns at a time.

    Grey images beside coloured ones become coloured, small ones large.
    """
    channels = max(row.shape[1] for row in rows)
    cells = [resized(row, like).expand(-1, channels, -1, -1) for row in rows]
    pieces = zip(*(cell.split(8) for cell in cells), strict=True)
    return Grid(torch.cat([image for piece in pieces for image in piece]), min(8, len(rows[0])))


def replace_start(phase: Phase, start: int) -> Phase:
    """The phase, from step `start` on at the earliest."""
    return replace(phase, start=max(phase.start, start))
