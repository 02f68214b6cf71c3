"""Two sets of images as what is evaluated: real ones, or their saved statistics, and fakes.

So images that other programs made are held to the same metrics and protocol as runs.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from gan_cli.config.instantiate import Trust
from gan_cli.console import progress_bar
from gan_cli.data.dataset import Dataset
from gan_cli.errors import ConfigError, DataError
from gan_cli.evaluation import features
from gan_cli.evaluation.features import Halves, merged
from gan_cli.evaluation.image_files import ImageArray, ImageFiles, arrays, mapped
from gan_cli.evaluation.inception_weights import without_last_layer
from gan_cli.evaluation.metric import Extractor, Features, Options, SampleBatch
from gan_cli.evaluation.registry import AUTO, Choice, inception_of
from gan_cli.evaluation.trained_model import Extractors
from gan_cli.files import replacing
from gan_cli.formatting import counted, user_path
from gan_cli.model import DataSpec, Model
from gan_cli.runs.folder import below, is_run
from gan_cli.seeding import mix

log = logging.getLogger(__name__)
CHOSEN = 0x5E75  # the random stream that orders images
HALF = ("count", "mean", "covariance", "kept")  # what a file of statistics keeps of each half
INCEPTION = "inception"
ONLY_FID = "holds no features of single images, so only fid can be computed"
BY_INCEPTION = ("fid", "kid", "prdc")
SCORE = "inception_score"  # where the weights allow it


def is_image_set(place: str) -> bool:
    """Whether a command's argument is a folder or file of images rather than a run."""
    path = user_path(place)
    if path.suffix.lower() == ".npz":
        return True
    return path.is_dir() and path.name != "checkpoints" and not is_run(path) and not below(path)


def open_images(place: str) -> Dataset:
    """The images of a folder or NPZ file.

    Raises:
        DataError: there are none, or they cannot be read or compared.
    """
    path = user_path(place)
    return ImageArray(path) if path.suffix.lower() == ".npz" else ImageFiles(path)


def open_real(place: str) -> Dataset | Statistics:
    """Real images, or their statistics where an NPZ file holds these and no images.

    Raises:
        DataError: as `open_images`.
    """
    path = user_path(place)
    if path.suffix.lower() == ".npz":
        names = arrays(path)
        if {"mu", "sigma"} <= set(names) and "arr_0" not in names:
            return Statistics(path)
    return open_images(place)


class Statistics:
    """Inception's statistics of real images in an NPZ file.

    `mu` and `sigma` are as pytorch-fid writes them, of all images; a file of `save_statistics`
    also holds those of two random halves, and features of single images.

    Args:
        path: the file.

    Raises:
        DataError: it cannot be read, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mean, self._covariance = (_tensor(path, name) for name in ("mu", "sigma"))
        width = len(self._mean) if self._mean.dim() == 1 else 0
        if self._covariance.shape != (width, width):
            shapes = [list(self._mean.shape), list(self._covariance.shape)]
            raise DataError(f"{path}: mu and sigma of shapes {shapes}: [w] and [w, w] are needed")
        self._halves: Halves | None = None
        about = {}
        if "about" in arrays(path):
            try:
                about = json.loads(str(mapped(path, "about")[()]))
                self._halves = _half(path, "first"), _half(path, "second")
                self.spec = DataSpec(str(about["data"]), tuple(about["shape"]), int(about["size"]))
                self.fingerprint, self._identity = about["data_sha256"], about["extractor_sha256"]
                self._resize = about["resize"]
            except (ValueError, KeyError, TypeError) as cause:
                raise DataError(f"{path}: damaged: {cause}") from cause
        else:
            self.spec = DataSpec(path.stem, (3, 299, 299), 0)
            self.fingerprint, self._identity = hashlib.sha256(_bytes(self._mean)).hexdigest(), ""
            self._resize = ""

    @property
    def has_features(self) -> bool:
        """Whether it holds features of single images, which all metrics but FID need."""
        return self._halves is not None

    def halves(self, extractor: Extractor) -> Halves:
        """Of two disjoint random halves.

        Raises:
            DataError: it holds none, or those of another extractor.
        """
        self._check(extractor)
        if self._halves is None:
            raise DataError(f"{self.path}: {ONLY_FID}")
        return self._halves

    def reference(self, extractor: Extractor) -> Features:
        """Of all images; of a file of pytorch-fid without their number and single features.

        Raises:
            DataError: it holds those of another extractor.
        """
        self._check(extractor)
        if self._halves is not None:
            return merged(*self._halves)
        return Features(0, self._mean, self._covariance, torch.empty(0, len(self._mean)))

    def _check(self, extractor: Extractor) -> None:
        if extractor.name != INCEPTION or len(self._mean) != extractor.width:
            raise DataError(
                f"{self.path}: holds Inception's statistics of {len(self._mean)} features; "
                f"{extractor.name} with {extractor.width} needs REAL's images"
            )
        if self._identity and self._identity != extractor.identity:
            raise DataError(
                f"{self.path}: its statistics are of the extractor {self._identity[:8]}, and this "
                f"is {extractor.identity[:8]}; save them again"
            )
        if self._resize and self._resize != extractor.resize:
            raise DataError(
                f"{self.path}: its statistics are of images resized by another rule "
                f"({self._resize}); give --resize as when it was saved, or save them again"
            )


def _tensor(path: Path, name: str) -> Tensor:
    found = mapped(path, name)
    if found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise DataError(f"{path}: {name} is not of finite numbers")
    return torch.from_numpy(found.astype(np.float32 if name.endswith("kept") else np.float64))


def _half(path: Path, name: str) -> Features:
    count, mean, covariance, kept = (_tensor(path, f"{name}_{key}") for key in HALF)
    return Features(int(count), mean, covariance, kept)


def _bytes(numbers: Tensor) -> bytes:
    return numbers.contiguous().numpy().tobytes()


def check_places(places: Sequence[str], saved: str | None) -> None:
    """Check which images are given, before any work is done.

    Raises:
        ConfigError: not REAL and FAKE (or REAL, to save its statistics), or a run is among them.
        DataError: there is no such folder or file.
    """
    for place in places:
        path = user_path(place)
        if not path.exists():
            raise DataError(
                f"{place}: no such folder or NPZ file of images; a run's are written by "
                "gan-sample RUN -n 10000 --out DIR"
            )
        if not is_image_set(place) and path.is_dir():
            raise ConfigError(
                f"{place} is or holds a run, and images are compared with images; "
                f"gan-sample {place} -n 10000 --out DIR writes a run's"
            )
    if len(places) != 2 and (saved is None or len(places) != 1):
        wanted = "REAL FAKE is required" if saved is None else "REAL or REAL FAKE is required"
        raise ConfigError(f"{counted(len(places), 'set')} of images given; {wanted}")


def extractors(
    truth: Dataset | Statistics, device: torch.device, chosen: Options, trust: Trust
) -> Extractors:
    """Inception, and the classifier of the real images' classes; made when first asked for."""

    def inception() -> Extractor:
        return inception_of(truth.spec, device, chosen, trust)

    def classifier() -> Extractor:
        from gan_cli.evaluation.classifier import trained_classifier

        return trained_classifier(images_of(truth), None, device)

    return Extractors(inception, classifier)


def metrics_for(
    truth: Dataset | Statistics, names: Sequence[str] | str, networks: Extractors, path: str | None
) -> Sequence[str] | str:
    """Names of metrics: in place of "auto", those by Inception that the real side allows.

    The Inception Score is among them where the weights have the last layer; else a line says why.

    Args:
        truth: the real side.
        names: as `registry.parse` returns them.
        networks: the fixed networks.
        path: of the weights' file, if the user named one.

    Raises:
        ConfigError: statistics of pytorch-fid allow fid alone, and others are named.
    """
    if isinstance(truth, Statistics) and not truth.has_features:
        if names not in (AUTO, ["fid"]):
            raise ConfigError(f"{truth.path}: {ONLY_FID}")
        return ["fid"]
    if names != AUTO:
        return names
    try:
        classes = networks.inception.classes
    except DataError:
        return list(BY_INCEPTION)  # `check_weights` reports it
    if not classes and (reason := without_last_layer(path)):
        log.info(f"{SCORE} was not computed: {reason}")
    return [*BY_INCEPTION, *([SCORE] if classes else [])]


def check_weights(subject: ImageSets, choice: Choice) -> None:
    """Load Inception where a metric needs it.

    Raises:
        DataError: its weights cannot be had; the message says what can be done.
    """
    if not any(metric.extractor == INCEPTION for metric in choice.taken):
        return
    try:
        subject.inception()
    except DataError as error:
        if subject.data.classes < 2:
            raise
        raise DataError(
            f"{error}; or use a classifier of the real images' classes: --metrics classifier"
        ) from error


def images_of(truth: Dataset | Statistics) -> Dataset:
    """The real images.

    Raises:
        DataError: only their statistics are known.
    """
    if isinstance(truth, Statistics):
        raise DataError(f"{truth.path}: holds statistics, and this needs the images")
    return truth


def save_statistics(path: Path, truth: Dataset | Statistics, extractor: Extractor) -> None:
    """Write Inception's statistics of real images, for `Statistics` and for pytorch-fid.

    Raises:
        UserError: they cannot be computed or written.
    """
    data = images_of(truth)
    halves = features.halves(data, extractor)
    whole = merged(*halves)
    about = {
        "data": data.spec.name,
        "shape": list(data.spec.shape),
        "size": data.spec.size,
        "data_sha256": data.fingerprint,
        "extractor": extractor.name,
        "extractor_sha256": extractor.identity,
        "resize": extractor.resize,
    }
    arrays: dict[str, ndarray] = {
        f"{name}_{one.name}": np.asarray(getattr(half, one.name))
        for name, half in zip(("first", "second"), halves, strict=True)
        for one in fields(half)
        if one.name in HALF
    }
    arrays |= {"mu": whole.mean.numpy(), "sigma": whole.covariance.numpy()}
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)


@dataclass
class ImageSets:
    """The `Subject` that two sets of images make.

    Args:
        truth: the real ones.
        made: the others.
        options: `samples` of the others are compared, a random choice of `seed`.
        device: where to compute.
        extractors: the fixed networks.

    Raises:
        DataError: there are fewer of the others.
    """

    truth: Dataset | Statistics
    made: Dataset
    options: Options
    device: torch.device
    extractors: Extractors
    step: int = 0
    weights: str = ""
    has_test: bool = False
    _generated: dict[str, Features] = field(default_factory=dict)
    _halves: dict[str, Halves] = field(default_factory=dict)

    def __post_init__(self) -> None:
        have, needed = self.made.spec.size, max(2, self.options.samples)
        if have < needed:
            raise DataError(f"{self.made.spec.name}: {have} images, and {needed} are needed")

    @property
    def model(self) -> Model:
        """None is here.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("it needs a model, and these are images")

    @property
    def data(self) -> DataSpec:
        """The description of the real images."""
        return self.truth.spec

    @property
    def trained_on(self) -> Dataset:
        """The real images."""
        return self.real("all")

    def real(self, split: str) -> Dataset:
        """The real images, which have no parts.

        Raises:
            DataError: only their statistics are known.
        """
        return images_of(self.truth)

    @property
    def _places(self) -> Tensor:
        """The images that are compared, in a random order."""
        generator = torch.Generator().manual_seed(mix(CHOSEN, self.options.seed))
        return torch.randperm(self.made.spec.size, generator=generator)[: self.options.samples]

    def draw(self, n: int, seed: int | None = None, even: bool = False) -> Iterator[SampleBatch]:
        """`n` of the images; see `Subject`.

        Raises:
            DataError: there are fewer, or others are asked for.
        """
        if n > self.options.samples or even or seed not in (None, self.options.seed):
            raise DataError(f"it needs a model: {self.options.samples} images are given")
        self._alike()
        known = self.made.spec.class_names == self.data.class_names
        for index in self._places[:n].split(self.options.batch_size):
            labels = self.made.labels(index) if known else None
            yield SampleBatch(self.made.real(index), labels)

    def _alike(self) -> None:
        real, made = self.data.shape, self.made.spec.shape
        if real != made:
            raise DataError(
                f"real images of shape {list(real)} and fakes of shape {list(made)}: must be alike"
            )

    def inception(self) -> Extractor:
        """See `Subject`."""
        return self.extractors.inception

    def classifier(self) -> Extractor:
        """See `Subject`."""
        return self.extractors.classifier

    def generated(self, extractor: Extractor) -> Features:
        """See `Subject`.

        Raises:
            DataError: the extractor resizes no images, and these have another shape than the real.
        """
        if extractor.name != INCEPTION:
            self._alike()
        if extractor.identity not in self._generated:
            n, name = self.options.samples, self.made.spec.name
            text = f"{n:,} images of {name} through {extractor.name}"
            with progress_bar(text, n, advice="fewer take less time (--samples)") as advance:
                found = features.of_data(self.made, self._places, extractor, advance)
            self._generated[extractor.identity] = found
        return self._generated[extractor.identity]

    def reference(self, extractor: Extractor) -> Features:
        """See `Subject`."""
        if isinstance(self.truth, Statistics):
            return self.truth.reference(extractor)
        return merged(*self.halves(extractor))

    def halves(self, extractor: Extractor) -> Halves:
        """See `Subject`."""
        if isinstance(self.truth, Statistics):
            return self.truth.halves(extractor)
        if extractor.identity not in self._halves:
            self._halves[extractor.identity] = features.halves(self.truth, extractor)
        return self._halves[extractor.identity]

    def protocol(self, extractor: Extractor | None = None) -> dict[str, str | int | float]:
        """See `Subject`."""
        told: dict[str, str | int | float] = {
            "samples": self.options.samples,
            "seed": self.options.seed,
            "fake": self.made.spec.name,
            "fake_shape": "x".join(map(str, self.made.spec.shape)),
            "fake_sha256": self.made.fingerprint,
            "data": self.data.name,
            "real_samples": self.data.size,
            "real_shape": "x".join(map(str, self.data.shape)),
            "data_sha256": self.truth.fingerprint,
        }
        if extractor is not None:
            told |= features.protocol(extractor)
        return told
