"""The contract: a model says who learns what, the trainer makes it happen.

Every system, whether two players (GAN), one (VAE, energy model) or three, is a `Model` that
declares its *phases*. A phase says: minimise this loss over these modules, this often. The
trainer alone owns zero_grad, backward, step, precision, clipping, freezing, averaging and resume.

Training needs `phases` and `sample`. Whatever else a model can do is an optional method; whoever
asks for it checks `isinstance(model, Scores)` and so on, and does without where it is missing:

| protocol            | method            | asked by                                        |
|---------------------|-------------------|-------------------------------------------------|
| `Scores`            | `score`           | plots of points: the discriminator's output     |
| `HasSampleGradient` | `sample_gradient` | plots of points: where samples are pulled       |
| `Draws`             | `pictures`        | training, every `sample_every` steps            |
| `HasViews`          | `views`           | the same                                        |
| `Reconstructs`      | `reconstruct`     | the same; the metric `reconstruction`           |
| `HasLikelihood`     | `likelihood`      | the metrics `likelihood`, `iwae` and `density`  |
| `Recognises`        | `recognise`       | the metric `infogan`                            |
| `Translates`        | `translate`       | `gan-translate`; the metric `translation`       |
| `Encodes`           | `encode`          | the metric `encoding`                           |

A method that depends on settings may still return None, or nothing by any name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.optim import Optimizer


@dataclass(frozen=True)
class DataSpec:
    """Properties of the data that networks are built for."""

    name: str
    shape: tuple[int, ...]  # (channels, height, width) of an image, (dimension,) of a point
    size: int  # number of samples
    classes: int = 0  # 0 where there are no labels
    class_names: tuple[str, ...] = ()
    # Samples of each class; empty where that is not known. No part of the data's fingerprint.
    class_counts: tuple[int, ...] = field(default=(), repr=False, compare=False)
    # (channels, height, width) of the input images of data for translation; empty for other data.
    source: tuple[int, ...] = field(default=(), repr=False)
    paired: bool = field(default=True, repr=False)  # each sample is the target of its input
    # Of sentences [length]: their symbols, the first of which fills them up, and what stands
    # between two when they are printed.
    vocabulary: tuple[str, ...] = field(default=(), repr=False)
    separator: str = field(default="", repr=False)

    @property
    def is_image(self) -> bool:
        """True for images [C, H, W], False for points [D] and sentences [length]."""
        return len(self.shape) == 3

    @property
    def is_text(self) -> bool:
        """True for sentences: int64 numbers of symbols, [length]."""
        return bool(self.vocabulary)

    @property
    def kind(self) -> str:
        """What the samples are: "images", "points" or "sentences"."""
        return "images" if self.is_image else "sentences" if self.is_text else "points"

    def sentences(self, x: Tensor) -> list[str]:
        """Rows [n, length] of numbers of symbols as text."""
        rows = x.long().tolist()
        return [
            self.separator.join(filter(None, (self.vocabulary[place] for place in row)))
            for row in rows
        ]

    @property
    def shares(self) -> tuple[int, ...]:
        """Weights of the classes: their counts, or all alike where these are not known."""
        return self.class_counts or (1,) * self.classes


class Batch:
    """A batch of the data. Real samples are gathered only when a loss asks for them.

    The i-th repetition of every player within one step shares the i-th batch of that step, so a
    module left differentiable by one phase (`Phase.shares`) can be continued in `kept` by the
    next. A batch lives no longer than its step.
    """

    def __init__(
        self,
        index: Tensor,
        real: Callable[[Tensor], Tensor],
        labels: Callable[[Tensor], Tensor | None],
        source: Callable[[Tensor], Tensor] | None = None,
        noise: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.index = index  # [batch], int64: the samples' places in the data set
        self.step_was_read = False  # what depends on the step cannot be played back by a CUDA graph
        self._step = 0
        self.kept: dict[str, Tensor] = {}
        self.whole = len(index)  # samples of the update's batch on all devices
        self._parts: list[Batch] = []
        self._real, self._labels, self._source, self._noise = real, labels, source, noise

    def __len__(self) -> int:
        return len(self.index)

    @property
    def step(self) -> int:
        """The run's, counted from 0; set by the trainer."""
        self.step_was_read = True
        return self._step

    @step.setter
    def step(self, step: int) -> None:
        self._step = step

    @property
    def noisy(self) -> bool:
        """Whether `real` draws random numbers, once for all that use this batch."""
        return self._noise is not None

    def at(self, index: Tensor) -> Batch:
        """A batch of the same data and step with the samples at other places."""
        other = Batch(index, self._real, self._labels, self._source, self._noise)
        other.step, other.whole = self._step, self.whole
        return other

    def parts(self, n: int) -> list[Batch]:
        """`n` equal parts, in order; always the same ones, so that each has a `kept` of its own."""
        if len(self._parts) != n:
            size = len(self) // n
            self._parts = [self._rows(slice(k * size, (k + 1) * size)) for k in range(n)]
        for part in self._parts:
            part.step = self._step
        return self._parts

    def _rows(self, rows: slice) -> Batch:
        def labels(_: Tensor) -> Tensor | None:
            return None if self.labels is None else self.labels[rows]

        source = self._source and (lambda _: self.source[rows])
        part = Batch(self.index[rows], lambda _: self._clean[rows], labels, source, self._noise)
        part.whole = self.whole
        return part

    @cached_property
    def real(self) -> Tensor:
        """Real samples, [batch, *shape], float32; images lie in [-1, 1]."""
        return self._clean if self._noise is None else self._noise(self._clean)

    @cached_property
    def _clean(self) -> Tensor:
        """Real samples before the noise that a data set may add."""
        return self._real(self.index)

    @cached_property
    def labels(self) -> Tensor | None:
        """Their classes, [batch], int64; None where the data has none."""
        return self._labels(self.index)

    @cached_property
    def source(self) -> Tensor:
        """The inputs of data for translation, [batch, *source], as `real` is.

        Raises:
            ValueError: this data has none.
        """
        if self._source is None:
            raise ValueError("this data has no inputs for its samples")
        return self._source(self.index)


class Loss(NamedTuple):
    """What a phase returns."""

    total: Tensor  # scalar, minimised
    logs: Mapping[str, Tensor]  # scalars to plot, never read by the trainer
    outputs: Mapping[str, Tensor] = {}  # vectors whose distribution is plotted


def nothing() -> None:
    """The `after` of a phase that needs none."""


@dataclass(frozen=True)
class Phase:
    """Minimise `loss` over `trains`, `repeat` times on every `every`-th step in [start, stop)."""

    name: str  # "discriminator", "generator", "critic", "encoder" ...
    loss: Callable[[Batch], Loss]  # a bound method of the model
    trains: tuple[nn.Module, ...]  # everything else is a constant in this phase
    repeat: int = 1  # times per step, each with a fresh batch (n_critic)
    every: int = 1  # only on every n-th step ...
    offset: int = 0  # ... those with this remainder when divided by `every`
    follows: str = ""  # a player: `every` counts its updates instead, and this comes right after
    rescales: bool = False  # the optimizer makes up for these updates (see `build_players`)
    start: int = 0  # first step (pre-training schedules)
    stop: int | None = None  # first step without it
    optimizer: str = ""  # share another phase's optimizer; default: own
    after: Callable[[], None] = nothing  # weight clipping, projection; runs after each update
    shares: tuple[nn.Module, ...] = ()  # differentiable for a later phase of this step
    solved: bool = False  # no optimizer, no gradient: `after` moves what it trains (EM's M-step)

    @property
    def player(self) -> str:
        """The name of the optimizer that makes this phase's updates."""
        return self.optimizer or self.name

    def repeats(self, step: int) -> int:
        """The number of updates that this phase makes at `step` (counted from 0)."""
        return self.repeat if self.active(step) and step % self.every == self.offset else 0

    def active(self, step: int) -> bool:
        """Whether `step` lies in [start, stop)."""
        return step >= self.start and (self.stop is None or step < self.stop)

    def made_before(self, step: int) -> int:
        """The number of updates that this phase has made before `step`."""
        end = step if self.stop is None else min(step, self.stop)
        return self.repeat * max(0, self._turns(end) - self._turns(self.start))

    def _turns(self, step: int) -> int:
        """The number of steps before `step` with remainder `offset` modulo `every`."""
        return max(0, -((self.offset - step) // self.every))


def updates(phases: Sequence[Phase], step: int) -> Iterator[Phase]:
    """The phases that `step` plays, in order, each as often as it makes updates.

    A phase that follows a player comes after the player's updates number 0, `every`, 2 `every` ...,
    counted from the run's beginning, wherever in a step they are.
    """
    followers = [phase for phase in phases if phase.follows and phase.active(step)]
    made: Counter[str] = Counter()  # of the players that are followed, so far
    for player in {phase.follows for phase in followers}:
        own = (phase for phase in phases if phase.player == player and not phase.follows)
        made[player] = sum(phase.made_before(step) for phase in own)
    for phase in phases:
        if phase.follows:
            continue
        due = [other for other in followers if other.follows == phase.player]
        for _ in range(phase.repeats(step)):
            yield phase
            for other in due:
                if made[phase.player] % other.every == other.offset:
                    yield from [other] * other.repeat
            made[phase.player] += 1


@dataclass(frozen=True)
class Grid:
    """Images to be drawn as a table, row by row."""

    images: Tensor  # [rows * columns, channels, height, width], in [-1, 1]
    columns: int
    rows: tuple[str, ...] = field(default=())  # what each row shows, where that helps


@dataclass(frozen=True)
class Lines:
    """Functions on the line, to be drawn over one axis."""

    x: Tensor  # [n], rising
    curves: Mapping[str, Tensor]  # by name, each [n]
    x_name: str = "x"


@dataclass(frozen=True)
class Fields:
    """Functions on a rectangle of the plane, to be drawn side by side on one scale of colours."""

    low: tuple[float, float]  # the corner of the smallest x and y
    high: tuple[float, float]
    values: Mapping[str, Tensor]  # by name, each [rows, columns], the first row on top
    quantity: str = ""  # the functions' values, for the colour bar: "log p(x)"


View = Grid | Lines | Fields


class Model(nn.Module, ABC):
    """A system of networks and the game that they play."""

    data: DataSpec
    prior: Any = None  # the Prior of the latents that `generate` takes, where there is one
    conditional: bool = False  # whether `generate` needs labels
    second_order: bool = False  # whether a loss differentiates a gradient
    simultaneous: bool = False  # whether a step takes all gradients before any player moves
    pack: int = 1  # samples that the discriminator sees as one; batch_size must be a multiple of it
    multiple: int = 1  # fakes that an update draws for each sample, at most
    smallest_batch: int = 1  # samples that an update needs
    whole_batch: tuple[str, ...] = ()  # terms of the losses that are no means over samples
    by_place: bool = False  # whether it learns something of each sample's place in the data set
    sentences: bool = False  # whether its samples can be sentences
    indivisible: str = ""  # why no batch can be divided among devices, as half a sentence

    @abstractmethod
    def phases(self) -> list[Phase]:
        """Who learns what, in the order of play."""

    def use_optimizers(self, optimizers: Mapping[str, Optimizer]) -> None:
        """Receive the optimizers, by player, before training, for losses that depend on them.

        Raises:
            ConfigError: a loss does not support them.
        """
        return

    def rows(self, samples: int) -> frozenset[int]:
        """The possible first dimensions of what an update draws for a batch of `samples`."""
        return frozenset((samples, samples // self.pack, samples * self.multiple))

    @abstractmethod
    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        """Draw `n` samples, [n, *shape]; `y` [n] are their classes in a conditional model."""

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Decode latents `z` [n, prior.dim] into samples [n, *shape]."""
        raise NotImplementedError(f"{type(self).__name__} decodes no latents")

    def averaged(self) -> tuple[nn.Module, ...]:
        """The modules whose weights are averaged over time for sampling (EMA)."""
        return ()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device


class _ByClass(type(Protocol)):
    """Looks for the method in an object's class, never among a network's submodules or buffers."""

    def __instancecheck__(cls, instance: object) -> bool:
        return issubclass(type(instance), cls)


@runtime_checkable
class Scores(Protocol, metaclass=_ByClass):
    """A model with a discriminator, critic or energy.

    An attribute `score_name` is its name in plots, where it is not "D".
    """

    def score(self, x: Tensor, y: Tensor | None = None) -> Tensor | None:
        """Return its output [n] on `x`, higher for what it takes for real.

        Args:
            x: samples [n, *shape].
            y: their classes [n], for a discriminator of a conditional model that sees them.

        Returns:
            None where it needs more than these.
        """
        ...


@runtime_checkable
class HasSampleGradient(Protocol, metaclass=_ByClass):
    """A model whose generator learns from a gradient with respect to its samples."""

    def sample_gradient(self, x: Tensor) -> Tensor | None:
        """Return minus the gradient of the generator's loss at samples `x` [n, ...].

        As if each were the only sample; None where the loss needs several.
        """
        ...


@runtime_checkable
class Draws(Protocol, metaclass=_ByClass):
    """A model that draws what it decodes."""

    def pictures(self, z: Tensor) -> Mapping[str, Grid]:
        """Return image grids by name; `z` [n, prior.dim] is the same throughout a run."""
        ...


@runtime_checkable
class HasViews(Protocol, metaclass=_ByClass):
    """A model that draws more than samples."""

    def views(
        self, real: Batch, log_density: Callable[[Tensor], Tensor | None]
    ) -> Mapping[str, View]:
        """Return pictures by name.

        Args:
            real: samples that are the same throughout a run.
            log_density: the true log p(x) [n] of points [n, D]; None where it is unknown.
        """
        ...


@runtime_checkable
class Reconstructs(Protocol, metaclass=_ByClass):
    """A model that encodes samples.

    One that finds their codes in a table, by `batch.index` alone, has an attribute `by_place` that
    is True.
    """

    def reconstruct(self, batch: Batch) -> Tensor | None:
        """Return the batch's samples after encoding and decoding, [n, *shape]."""
        ...


@runtime_checkable
class HasLikelihood(Protocol, metaclass=_ByClass):
    """A model with a density, or with bounds of it.

    An attribute `density_of` names the pixels whose probability it is, where it is no density.
    """

    def likelihood(self, batch: Batch, samples: int) -> Mapping[str, Tensor]:
        """Return log p of each of the batch's samples, or lower bounds of it, in nats.

        By name, each [n]: "log_likelihood" where it is exact, "elbo", and "iwae" with this number
        of importance `samples`; empty where nothing is known.
        """
        ...


@runtime_checkable
class Recognises(Protocol, metaclass=_ByClass):
    """A model with a `Product` prior that reads parts of a latent off its sample."""

    def recognise(self, x: Tensor) -> Mapping[str, Distribution]:
        """Return Q(part | x) of samples `x` [n, ...] by part, each over [n, part.dim]."""
        ...


@runtime_checkable
class Translates(Protocol, metaclass=_ByClass):
    """A model whose samples are made of other images."""

    def translate(self, source: Tensor, backwards: bool = False) -> Tensor:
        """Outputs [n, *shape] of inputs [n, *source], of any size that the network can do.

        Args:
            source: the inputs.
            backwards: from targets to inputs, where the model learns that too.

        Raises:
            ConfigError: it does not.
        """
        ...


@runtime_checkable
class Encodes(Protocol, metaclass=_ByClass):
    """A model with codes of samples.

    One whose `generate` takes no codes has a method `latents_of` that turns codes into what it
    takes.
    """

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the codes [n, dim] of samples [n, *shape]; labels `y` [n] where it knows them."""
        ...
