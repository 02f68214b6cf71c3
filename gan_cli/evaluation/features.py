"""One pass of an extractor over samples: what is kept of it does not grow with their number."""

from __future__ import annotations

import hashlib
import logging
import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli import files
from gan_cli.console import progress_bar
from gan_cli.data.dataset import Dataset
from gan_cli.data.published import cache_folder
from gan_cli.errors import DataError, UserError
from gan_cli.evaluation.metric import MOST_KEPT, Extractor, Features
from gan_cli.images import to_uint8
from gan_cli.metrics.classes import SPLITS, score, split_starts
from gan_cli.metrics.frechet import Moments
from gan_cli.model import nothing
from gan_cli.seeding import mix

log = logging.getLogger(__name__)
CHUNK = 64  # images that an extractor sees at once, always, since rounding depends on it


@contextmanager
def exactly() -> Iterator[None]:
    """Within it, a GPU computes in whole fp32 and by the same algorithm each time."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        # What is left out here is not kept but set to its default, which for `enabled` is off.
        with torch.backends.cudnn.flags(
            enabled=torch.backends.cudnn.enabled,
            benchmark=False,
            deterministic=True,
            allow_tf32=False,
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def quantised(images: Tensor) -> Tensor:
    """Images [n, C, H, W] in [-1, 1] as uint8 [n, C, H, W], as they would be saved as PNGs."""
    return torch.from_numpy(to_uint8(images)).permute(0, 3, 1, 2).contiguous()


class Collector:
    """Gathers `Features` of images that come in pieces.

    Images are computed 64 by 64, counted from the first one, so how they are cut into pieces
    changes nothing at all.

    Args:
        extractor: what sees them.
        expected: how many there will be, for the score of each tenth of them; 0: unknown.
    """

    def __init__(self, extractor: Extractor, expected: int = 0) -> None:
        self.extractor = extractor
        self._tenths = Tenths(expected, extractor.classes) if extractor.classes else None
        self._moments = Moments(extractor.width)
        self._kept: list[Tensor] = []
        self._kept_labels: list[Tensor] = []
        self._room = MOST_KEPT
        classes = extractor.classes
        self._histogram = torch.zeros(classes, dtype=torch.int64)
        self._probability = torch.zeros(classes, dtype=torch.float64)
        self._entropy, self._hits, self._labelled = 0.0, 0, False
        self._waiting: list[tuple[Tensor, Tensor | None]] = []

    def add(self, images: Tensor, labels: Tensor | None = None) -> None:
        """Take in images uint8 [n, C, H, W] and, where there are any, their classes [n]."""
        self._waiting.append((images, labels))
        if sum(len(some) for some, _ in self._waiting) >= CHUNK:
            self._work(finish=False)

    def features(self) -> Features:
        """What came of all images, two or more."""
        self._work(finish=True)
        count = self._moments.count
        classes = bool(self.extractor.classes)
        return Features(
            count=count,
            mean=self._moments.mean,
            covariance=self._moments.covariance,
            kept=torch.cat(self._kept),
            kept_labels=torch.cat(self._kept_labels) if self._labelled else None,
            histogram=self._histogram if classes else None,
            mean_probability=self._probability / count if classes else None,
            mean_entropy=self._entropy / count if classes else None,
            hits=self._hits if classes and self._labelled else None,
            splits=self._tenths.scores() if self._tenths else None,
        )

    def _work(self, finish: bool) -> None:
        if not self._waiting:
            return
        images = torch.cat([some for some, _ in self._waiting])
        known = [labels for _, labels in self._waiting if labels is not None]
        labels = torch.cat(known).cpu() if known else None
        whole = len(images) if finish else len(images) // CHUNK * CHUNK
        for start in range(0, whole, CHUNK):
            end = min(start + CHUNK, whole)
            self._chunk(images[start:end], None if labels is None else labels[start:end])
        rest = None if labels is None else labels[whole:]
        self._waiting = [(images[whole:], rest)] if whole < len(images) else []

    def _chunk(self, images: Tensor, labels: Tensor | None) -> None:
        with torch.no_grad(), exactly():
            features, logits = self.extractor.features(images)
        self._moments.update(features)
        kept = features[: self._room].float().cpu()
        self._room -= len(kept)
        if len(kept):
            self._kept.append(kept)
        if labels is not None:
            self._labelled = True
            self._kept_labels.append(labels[: len(kept)])
        if logits is not None and self.extractor.classes:
            self._classify(logits.cpu(), labels)

    def _classify(self, logits: Tensor, labels: Tensor | None) -> None:
        probability = logits.double().softmax(1)
        seen = logits.argmax(1)
        self._histogram += seen.bincount(minlength=len(self._histogram))
        self._probability += probability.sum(0)
        entropy = torch.special.entr(probability).sum(1)
        self._entropy += float(entropy.sum())
        if self._tenths:
            self._tenths.add(probability, entropy)
        if labels is not None:
            self._hits += int((seen == labels).sum())


class Tenths:
    """Class probabilities of samples that come one after the other, by tenths of all of them.

    Args:
        expected: the number of all.
        classes: of the probabilities.
    """

    def __init__(self, expected: int, classes: int) -> None:
        self._expected, self._seen = expected, 0
        self._starts = split_starts(expected)
        self._probability = torch.zeros(SPLITS, classes, dtype=torch.float64)
        self._entropy = torch.zeros(SPLITS, dtype=torch.float64)

    def add(self, probability: Tensor, entropy: Tensor) -> None:
        """Take in the next ones, float64 [n, classes], with their entropies [n] in nats."""
        places = torch.arange(self._seen, self._seen + len(entropy))
        split = torch.bucketize(places, self._starts[1:-1], right=True)
        self._probability.index_add_(0, split, probability)
        self._entropy.index_add_(0, split, entropy)
        self._seen += len(entropy)

    def scores(self) -> Tensor | None:
        """The score of each tenth, float64 [10]; None of fewer samples, or of another number."""
        if self._seen != self._expected or self._seen < SPLITS:
            return None
        counts = self._starts.diff()
        mean = self._probability / counts[:, None]
        entropy = (self._entropy / counts).tolist()
        found = [score(some, of_each) for some, of_each in zip(mean, entropy, strict=True)]
        return torch.tensor(found, dtype=torch.float64)


def protocol(extractor: Extractor) -> dict[str, str | int | float]:
    """The part of a value's protocol that says how features come about."""
    return {
        "extractor": extractor.name,
        "extractor_sha256": extractor.identity,
        "resize": extractor.resize,
        "quantised": "to 8 bits, as in PNG files",
        "floor": "between two random halves of these real samples",
    }


def merged(a: Features, b: Features) -> Features:
    """The features of two disjoint sets of samples together (Chan et al. 1983, Eq. 2.1)."""
    n = a.count + b.count
    gap = b.mean - a.mean
    scatter = (a.count - 1) * a.covariance + (b.count - 1) * b.covariance
    scatter = scatter + a.count * b.count / n * gap.outer(gap)

    def weighted(first: Any, second: Any) -> Any:
        return None if first is None else (a.count * first + b.count * second) / n

    def added(first: Any, second: Any) -> Any:
        return None if first is None else first + second

    labels = None
    if a.kept_labels is not None and b.kept_labels is not None:
        labels = torch.cat([a.kept_labels, b.kept_labels])[:MOST_KEPT]
    return Features(
        count=n,
        mean=a.mean + gap * (b.count / n),
        covariance=scatter / (n - 1),
        kept=torch.cat([a.kept, b.kept])[:MOST_KEPT],
        kept_labels=labels,
        histogram=added(a.histogram, b.histogram),
        mean_probability=weighted(a.mean_probability, b.mean_probability),
        mean_entropy=weighted(a.mean_entropy, b.mean_entropy),
        hits=added(a.hits, b.hits),
    )


FORMAT = 1  # of the file, and of the way in which halves are drawn

Halves = tuple[Features, Features]
HALVES = 0x4A17  # the random stream that cuts real data in two; the same for everybody
READ = 1024  # samples of a data set that are read at once,
VALUES = 1 << 26  # and numbers in them


def of_data(
    data: Dataset,
    places: Tensor,
    extractor: Extractor,
    advance: Callable[[int], object],
    pause: Callable[[], None] = nothing,
) -> Features:
    """The features of the samples at `places`; `advance` gets the number of each piece."""
    collector = Collector(extractor, len(places))
    for some in places.split(max(1, min(READ, VALUES // math.prod(data.spec.shape)))):
        pause()
        index = some.to(data.device)
        labels = data.labels(index)
        images = quantised(data.real(index))
        collector.add(images, None if labels is None else labels.cpu())
        advance(len(some))
    return collector.features()


def halves(data: Dataset, extractor: Extractor, pause: Callable[[], None] = nothing) -> Halves:
    """Of two disjoint random halves of `data`, from the cache, or computed.

    Raises:
        DataError: there are too few samples.
    """
    path = place(data.fingerprint, extractor)
    if (found := load(path)) is not None:
        return found
    size = data.spec.size
    if size < 4:
        raise DataError(f"{data.spec.name}: {size} samples are too few to evaluate with")
    generator = torch.Generator().manual_seed(mix(HALVES))
    order = torch.randperm(size, generator=generator)
    text = f"{size:,} samples of {data.spec.name} through {extractor.name}"
    with progress_bar(text, size, advice="done once, then kept in the cache") as advance:
        first, second = (
            of_data(data, places, extractor, advance, pause) for places in order.tensor_split(2)
        )
    save(path, (first, second))
    return first, second


def place(fingerprint: str, extractor: Extractor) -> Path:
    """The file for the two halves of some data, as this extractor sees them."""
    what = f"{FORMAT} {fingerprint} {extractor.name} {extractor.identity} {extractor.resize}"
    key = hashlib.sha256(what.encode()).hexdigest()[:32]
    return cache_folder() / "features" / f"{extractor.name}-{key}.pt"


def load(path: Path) -> Halves | None:
    """What was kept there; None where nothing was, or where it is damaged, which is said."""
    if not path.is_file():
        return None
    try:
        state = read(path)
        if state["format"] != FORMAT:
            raise ValueError("another format")
        first, second = (_features(half) for half in state["halves"])
    except Exception as error:  # damaged bytes can fail in any way
        log.warning(f"{path}: damaged ({type(error).__name__}), so it is computed again")
        return None
    return first, second


def read(path: Path) -> Any:
    """What `torch.save` wrote there, on the CPU.

    Raises:
        Exception: of any kind, where it is damaged: foreign bytes can fail in any way.
    """
    with zipfile.ZipFile(path) as archive:
        # Torch does not check the sums that it writes.
        if bad := archive.testzip():
            raise ValueError(f"wrong sum of {bad}")
    return torch.load(path, map_location="cpu", weights_only=True)


def _features(half: dict[str, Any]) -> Features:
    made = Features(**half)
    tensors = (made.mean, made.covariance, made.kept)
    if not all(isinstance(x, Tensor) and bool(x.isfinite().all()) for x in tensors):
        raise ValueError("not finite")
    return made


def save(path: Path, halves: Halves) -> None:
    """Keep them, for all who come later; a cache that cannot be written is only a pity."""
    state = {
        "format": FORMAT,
        "halves": [{f.name: getattr(half, f.name) for f in fields(half)} for half in halves],
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path) as file:
            torch.save(state, file)
    except (OSError, RuntimeError, UserError) as error:  # torch hides a full disk in the second
        log.warning(f"{error}; statistics of real data are not kept")
