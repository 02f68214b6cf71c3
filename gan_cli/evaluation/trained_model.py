"""What metrics are given: a trained model beside its real data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from gan_cli.config.instantiate import Trust, build, resolve
from gan_cli.console import progress_bar
from gan_cli.data.dataset import Dataset
from gan_cli.errors import ConfigError, DataError, UserError
from gan_cli.evaluation import features
from gan_cli.evaluation.features import Collector, exactly, merged, quantised
from gan_cli.evaluation.metric import Extractor, Features, Options, SampleBatch
from gan_cli.model import DataSpec, Model, nothing
from gan_cli.sampling import samples as sampling
from gan_cli.sampling.samples import SampleRequest

WHOLE = "all"


class Real:
    """Real data as a run's settings describe it, read once and shared by all metrics.

    Args:
        node: the settings' `data`.
        split: of the values.
        trust: whose classes may be built.
        known: the part that is in memory already, where one is: the one to train on.
        pause: called now and then; may raise to break off.
        outputs: folders that the run's command wrote to, which are no data.

    Raises:
        ConfigError: the data does not come in parts, and `split` is one.
    """

    def __init__(
        self,
        node: Mapping[str, Any],
        split: str = "train",
        trust: Trust | None = None,
        known: Dataset | None = None,
        pause: Callable[[], None] = nothing,
        outputs: Sequence[str] = (),
    ) -> None:
        self.outputs = tuple(outputs)
        self.node, self.split, self.trust, self.pause = node, split, trust or Trust(), pause
        target = resolve(node.get("_target_"), self.trust, "data")
        takes = inspect.signature(target).parameters
        self.comes_in_parts = target.comes_in_parts({**node, "outputs": self.outputs})
        if split == "test" and not self.comes_in_parts:
            raise ConfigError(
                f"split = test: {target.__name__} has no test split; use split=train, which "
                "compares with the whole data"
            )
        self.trained_on = WHOLE
        if self.comes_in_parts:
            self.trained_on = node.get("split") or takes["split"].default or "train"
        self._sets = {} if known is None else {self.trained_on: known}
        self._halves: dict[str, features.Halves] = {}

    @property
    def has_test(self) -> bool:
        """Whether there is a part that training never sees."""
        return self.comes_in_parts and self.trained_on == "train"

    def part(self, split: str) -> Dataset:
        """The data of a part; the whole where it does not come in parts.

        Raises:
            DataError: it is "test", and there is none; or the data cannot be had.
        """
        if not self.comes_in_parts:
            if split == "test":
                raise DataError("split = test: this data has no test split")
            split = WHOLE
        if split not in self._sets:
            node = {**self.node, "split": split} if self.comes_in_parts else self.node
            found: Dataset = build(node, "data", self.trust, outputs=list(self.outputs))
            for other, known in self._sets.items():
                _check_alike(split, found, other, known)
            self._sets[split] = found
        return self._sets[split]

    def described(self) -> str:
        """What figures compare with, in words."""
        return self.split if self.comes_in_parts else "all (the data has no parts)"

    def reference(self, extractor: Extractor) -> Features:
        """Of the whole split; what is kept is a random choice."""
        return merged(*self.halves(extractor))

    def halves(self, extractor: Extractor) -> features.Halves:
        """Of two disjoint random halves of the split, from memory, from the cache, or computed.

        Raises:
            DataError: there are too few samples.
        """
        if extractor.identity not in self._halves:
            found = features.halves(self.part(self.split), extractor, self.pause)
            self._halves[extractor.identity] = found
        return self._halves[extractor.identity]


def _check_alike(split: str, data: Dataset, other: str, known: Dataset) -> None:
    """Refuse parts of one data set that cannot be compared, as parts of a folder may be.

    Raises:
        DataError: their shapes or classes differ.
    """
    for what, here, there in (
        ("shape", list(data.spec.shape), list(known.spec.shape)),
        ("classes", data.spec.class_names, known.spec.class_names),
    ):
        if here != there:
            raise DataError(
                f"{data.spec.name}: the {what} of its {split} samples, {_few(here)}, and of its "
                f"{other} samples, {_few(there)}, differ; they have to be the same"
            )


def _few(values: Sequence[object]) -> str:
    return ", ".join(map(str, values[:10])) + (" ..." if len(values) > 10 else "")


class NotFiniteError(UserError):
    """The model makes NaN or infinity, of which no figure can be had."""


@dataclass
class Extractors:
    """The two fixed networks, each made when it is first asked for.

    Args:
        make_inception: see `Subject.inception`.
        make_classifier: see `Subject.classifier`.
    """

    make_inception: Callable[[], Extractor]
    make_classifier: Callable[[], Extractor]

    @cached_property
    def inception(self) -> Extractor:
        """The Inception network of 2015-12-05."""
        return self.make_inception()

    @cached_property
    def classifier(self) -> Extractor:
        """The data set's own classifier."""
        return self.make_classifier()


@dataclass
class TrainedModel:
    """The `Subject` that a run offers.

    Args:
        model: in eval mode, with the weights that are evaluated.
        step: completed steps.
        weights: "ema" or "raw".
        options: what the user chose.
        truth: the real side, which several subjects may share.
        extractors: the fixed networks, which they share as well.
    """

    model: Model
    step: int
    weights: str
    options: Options
    truth: Real
    extractors: Extractors
    _generated: dict[str, Features] = field(default_factory=dict)

    @property
    def data(self) -> DataSpec:
        """What the model was built for."""
        return self.model.data

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def trained_on(self) -> Dataset:
        """See `Subject`."""
        return self.truth.part(self.truth.trained_on)

    @property
    def has_test(self) -> bool:
        """Whether the data has a part that training never sees."""
        return self.truth.has_test

    def real(self, split: str) -> Dataset:
        """Real data; see `Subject`."""
        return self.truth.part(split)

    def draw(self, n: int, seed: int | None = None, even: bool = False) -> Iterator[SampleBatch]:
        """Samples 0 ... n-1; see `Subject`.

        Raises:
            NotFiniteError: some are NaN or infinite.
        """
        asked = self.options.seed if seed is None else seed
        wish = SampleRequest(asked, shares=() if even else self._shares())
        first = 0
        pieces = sampling.draw(self.model, n, wish, self.options.batch_size)
        while True:
            self.truth.pause()
            with exactly():  # not around the yield: what others do meanwhile is theirs
                samples = next(pieces, None)
            if samples is None:
                return
            if not bool(samples.isfinite().all()):
                raise NotFiniteError(f"the model's samples at step {self.step} are not finite")
            yield SampleBatch(samples, sampling.labels(self.model, wish, first, len(samples)))
            first += len(samples)

    def _shares(self) -> tuple[int, ...]:
        """Weights of the classes that samples are asked to be of: those of the real samples."""
        if not self.model.conditional:
            return ()
        real = self.truth.part(self.options.split).spec
        return real.shares if real.classes == self.data.classes else ()

    def inception(self) -> Extractor:
        """See `Subject`."""
        return self.extractors.inception

    def classifier(self) -> Extractor:
        """See `Subject`."""
        return self.extractors.classifier

    def generated(self, extractor: Extractor) -> Features:
        """See `Subject`."""
        if extractor.identity not in self._generated:
            n = self.options.samples
            collector = Collector(extractor, n)
            fewer = "fewer take less time (--samples, or evaluation.samples)"
            with progress_bar(
                f"{n:,} samples through {extractor.name}", n, advice=fewer
            ) as advance:
                for drawn in self.draw(n):
                    collector.add(quantised(drawn.samples), drawn.labels)
                    advance(len(drawn.samples))
            self._generated[extractor.identity] = collector.features()
        return self._generated[extractor.identity]

    def reference(self, extractor: Extractor) -> Features:
        """See `Subject`."""
        return self.truth.reference(extractor)

    def halves(self, extractor: Extractor) -> tuple[Features, Features]:
        """See `Subject`."""
        return self.truth.halves(extractor)

    def protocol(self, extractor: Extractor | None = None) -> dict[str, str | int | float]:
        """How figures come about, for everything that this subject decides."""
        real = self.truth.part(self.options.split)
        told: dict[str, str | int | float] = {
            "samples": self.options.samples,
            "seed": self.options.seed,
            "weights": self.weights,
            "step": self.step,
            "data": real.spec.name,
            "split": self.truth.described(),
            "real_samples": real.spec.size,
            "data_sha256": real.fingerprint,
        }
        if self.model.conditional:
            told["labels"] = "in the shares of the classes in these real samples"
        if extractor is not None:
            told |= features.protocol(extractor)
        return told
