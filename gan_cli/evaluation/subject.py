"""What measures look at: a trained model beside its real data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch

from gan_cli.data.dataset import Dataset
from gan_cli.data.progress import progress_bar
from gan_cli.errors import UserError
from gan_cli.evaluation.collecting import Collector, exactly, quantised
from gan_cli.evaluation.measure import Drawn, Extractor, Features, Options
from gan_cli.evaluation.reference import Real
from gan_cli.model import DataSpec, Model
from gan_cli.sampling import drawing
from gan_cli.sampling.drawing import Wish


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
        model: in eval mode, with the weights that are judged.
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

    def draw(self, n: int, seed: int | None = None, even: bool = False) -> Iterator[Drawn]:
        """Samples 0 ... n-1; see `Subject`.

        Raises:
            NotFiniteError: some are NaN or infinite.
        """
        asked = self.options.seed if seed is None else seed
        wish = Wish(asked, shares=() if even else self._shares())
        first = 0
        pieces = drawing.draw(self.model, n, wish, self.options.batch_size)
        while True:
            self.truth.pause()
            with exactly():  # not around the yield: what others do meanwhile is theirs
                samples = next(pieces, None)
            if samples is None:
                return
            if not bool(samples.isfinite().all()):
                raise NotFiniteError(f"the model's samples at step {self.step} are not finite")
            yield Drawn(samples, drawing.labels(self.model, wish, first, len(samples)))
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
            collector = Collector(extractor)
            n = self.options.samples
            with progress_bar(f"samples through {extractor.name}", n) as advance:
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
            told |= {
                "extractor": extractor.name,
                "extractor_sha256": extractor.identity,
                "resize": extractor.resize,
                "quantised": "to 8 bits, as in PNG files",
                "floor": "between two random halves of these real samples",
            }
        return told
