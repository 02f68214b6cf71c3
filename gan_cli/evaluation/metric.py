"""The contract of a metric: what it is given, and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import ClassVar, NamedTuple, Protocol

import torch
from numpy import ndarray
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.model import DataSpec, Model

LOWER, HIGHER, NEITHER = "lower", "higher", ""


@dataclass(frozen=True)
class MetricValue:
    """One number, and all that must be known to trust it."""

    name: str  # "fid_inception"; its curve is metrics/<name>
    value: float
    baseline: float | None = None  # the same metric between real data and real data
    error: float | None = None  # standard error of `value`, where the metric knows it
    protocol: Mapping[str, str | int | float] = field(default_factory=dict)
    note: str = ""  # a caution, in a sentence
    better: str = NEITHER  # LOWER, HIGHER or NEITHER, from the metric's class by `evaluate`


@dataclass(frozen=True)
class Plot:
    """An image that belongs to a metric, such as nearest neighbours."""

    name: str
    image: ndarray  # uint8 [height, width, 1 or 3]


class MetricResult(NamedTuple):
    """The values and plots of a metric."""

    values: list[MetricValue]
    pictures: Sequence[Plot] = ()


def direction(higher_is_better: Mapping[str, bool | None], name: str) -> str:
    """LOWER, HIGHER or NEITHER for a value's name, by the longest pattern that fits."""
    fitting = [pattern for pattern in higher_is_better if fnmatchcase(name, pattern)]
    if not fitting:
        return NEITHER
    return {None: NEITHER, False: LOWER, True: HIGHER}[higher_is_better[max(fitting, key=len)]]


def not_images(data: DataSpec) -> str:
    """Why a metric of images does not apply to this data; empty where it does."""
    return "" if data.is_image else f"it is for images, and this data holds {data.kind}"


class SampleBatch(NamedTuple):
    """Some generated samples, on the CPU."""

    samples: Tensor  # float32 [n, *shape]; images in [-1, 1]
    labels: Tensor | None  # int64 [n]: the classes that were asked for, of a conditional model


class Extractor(ABC):
    """A fixed network that turns images into features; its sameness makes values comparable."""

    name: str  # "inception", "classifier"
    width: int  # of the features
    classes: int = 0  # of `logits`; 0 where it classifies nothing
    identity: str  # sha256 of its weights, hexadecimal
    resize: str  # the rule for the images' size, in words

    @abstractmethod
    def features(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features float32 [n, width] and logits [n, classes] (or None) of uint8 [n, C, H, W].

        Whatever the number of images in a call, each one's result is the same up to rounding.
        """

    def classify(self, features: Tensor) -> Tensor | None:
        """Logits [n, classes] of features [n, width]; None where these alone do not give them."""
        return None


@dataclass
class Features:
    """What one pass of an extractor over samples leaves. It does not grow with their number."""

    count: int
    mean: Tensor  # float64 [width], of all
    covariance: Tensor  # float64 [width, width], of all, divided by count - 1
    kept: Tensor  # float32 [at most MOST_KEPT, width], of the first
    kept_labels: Tensor | None = None  # int64: the classes that those have or were asked for
    histogram: Tensor | None = None  # int64 [classes]: how often each class was seen, of all
    mean_probability: Tensor | None = None  # float64 [classes], of all
    mean_entropy: float | None = None  # of the class probabilities, in nats, over all
    splits: Tensor | None = None  # float64 [10]: the score of each tenth, in the order of samples
    hits: int | None = None  # how often the class seen was the one asked for, of all


MOST_KEPT = 10_000  # features kept for metrics that compare samples with each other


@dataclass(frozen=True)
class Options:
    """What the user chose."""

    samples: int = 10_000
    seed: int = 0
    split: str = "train"  # of the real data that figures compare with
    batch_size: int = 256  # computed at once; changes no figure
    inception: str | None = None  # path of the weights' file
    resize: str = "bilinear"  # of images for Inception: as pytorch-fid; or "clean", as clean-fid
    extractor: str | None = None  # the user's own network in Inception's place, by its full name


class Subject(Protocol):
    """A trained model beside its real data. Samples and features are made once and shared."""

    options: Options
    weights: str  # "ema" or "raw"
    step: int

    @property
    def model(self) -> Model:
        """In eval mode, with the weights that are evaluated. UserError where there is none."""
        ...

    @property
    def data(self) -> DataSpec:
        """What the model was built for."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the model is, and where to compute."""
        ...

    def real(self, split: str) -> Dataset:
        """Real data: "train", "test", or "all". DataError where there is no such part."""
        ...

    @property
    def trained_on(self) -> Dataset:
        """The very samples that the model was trained on, in their places."""
        ...

    @property
    def has_test(self) -> bool:
        """Whether the data has a part that training never sees."""
        ...

    def draw(self, n: int, seed: int | None = None, even: bool = False) -> Iterator[SampleBatch]:
        """Samples 0 ... n-1, in pieces; sample i depends on the model, the seed and i alone.

        A conditional model is asked for classes in the shares that they have among the real
        samples of the split, or, `even`, for as many of each.
        """
        ...

    def inception(self) -> Extractor:
        """The Inception network of 2015-12-05. UserError where its weights cannot be had."""
        ...

    def classifier(self) -> Extractor:
        """The data set's own classifier, trained on its train split, or loaded from the cache."""
        ...

    def generated(self, extractor: Extractor) -> Features:
        """Of `options.samples` generated samples."""
        ...

    def reference(self, extractor: Extractor) -> Features:
        """Of all real samples of `options.split`; cached by the data's fingerprint."""
        ...

    def halves(self, extractor: Extractor) -> tuple[Features, Features]:
        """Of two disjoint random halves of `options.split`; cached too. For baselines."""
        ...

    def protocol(self, extractor: Extractor | None = None) -> dict[str, str | int | float]:
        """Samples, split, weights, seed, step; the extractor's name, hash and resize rule."""
        ...


class Metric(ABC):
    """One or several values of a model. Abstract or final; chosen by a file in conf/metric/."""

    name: str = ""  # that of its file, such as "fid" of conf/metric/fid.yaml; what --metrics takes
    order: int = 1000  # among the values shown; the first in it selects the best step. Ties by name
    # Of all its values, or by patterns of their names as in `fnmatch`, of which the longest that
    # fits counts; None, or no pattern, where neither direction is better.
    higher_is_better: ClassVar[bool | Mapping[str, bool | None]] = {}
    extractor: str = ""  # "inception" or "classifier", where it compares features of one alone
    dear: bool = False  # takes minutes, so not part of "auto"
    dear_on_cpu: bool = False  # so without a GPU
    aside: bool = False  # about something else than how good samples are, so not part of "auto"

    def takes_minutes(self, device: torch.device) -> bool:
        """Whether "auto" leaves it out on `device`."""
        return self.dear or (self.dear_on_cpu and device.type == "cpu")

    def directed(self, value: MetricValue) -> MetricValue:
        """One of its values with the direction that `higher_is_better` gives."""
        return replace(value, better=direction(self.patterns("*"), value.name))

    def patterns(self, every: str) -> Mapping[str, bool | None]:
        """`higher_is_better` by patterns; one for all values goes by the pattern `every`."""
        stated = self.higher_is_better
        return {every: stated} if isinstance(stated, bool) else stated

    @abstractmethod
    def unfit(self, subject: Subject) -> str:
        """Why it says nothing of this model and data, as half a sentence; empty where it does."""

    @abstractmethod
    def measure(self, subject: Subject) -> MetricResult:
        """The values, on a subject for which `unfit` is empty."""
