"""Distances of generated images from each other, beside those of real ones."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.evaluation.features import quantised
from gan_cli.evaluation.metric import Metric, MetricResult, MetricValue, Subject, not_images
from gan_cli.evaluation.real_baseline import generated, real, shuffled
from gan_cli.metrics.distances import DIRECTIONS, sliced_wasserstein
from gan_cli.metrics.diversity import mean_pairwise_distance
from gan_cli.metrics.images import SCALES, ms_ssim

Protocol = dict[str, str | int | float]
SAMPLES = 2000
PER_CLASS = 50
MOST_CLASSES = 100
DISTANCE = {"distance": "root mean square over pixels, in levels of 255"}
VALUES = 1 << 25  # pixel values of one kind at once: fewer samples of large images


class Diversity(Metric):
    """Pairwise distances in pixels, within classes too, and sliced Wasserstein distance."""

    order = 150
    higher_is_better: ClassVar = {"sliced_wasserstein": False}

    def unfit(self, subject: Subject) -> str:
        """Why not: it is for images."""
        return not_images(subject.data)

    def measure(self, subject: Subject) -> MetricResult:
        """Distances within samples, within their classes, and from real ones."""
        data = subject.real(subject.options.split)
        n = min(SAMPLES, subject.options.samples, data.spec.size // 2)
        n = max(2, min(n, VALUES // math.prod(data.spec.shape)))
        places = shuffled(data)
        first, second = (_levels(real(data, places[k * n : (k + 1) * n])) for k in range(2))
        made = _levels(generated(subject, n).samples)
        protocol = subject.protocol() | {
            "samples": n,
            "real_samples": n,
            "floor": f"of {n} and {n} other real samples",
        }
        values = _pairwise(made, first, second, protocol | DISTANCE)
        if subject.model.conditional and 1 < data.spec.classes <= MOST_CLASSES:
            values += _within_classes(subject, data, places, protocol | DISTANCE)
        sliced = MetricValue(
            "sliced_wasserstein",
            sliced_wasserstein(made / 255, first / 255),
            sliced_wasserstein(second / 255, first / 255),
            None,
            protocol | {"order": 2, "directions": DIRECTIONS, "values": "pixels from 0 to 1"},
        )
        return MetricResult([*values, sliced])


def _pairwise(made: Tensor, real: Tensor, other: Tensor, protocol: Protocol) -> list[MetricValue]:
    ours, theirs, again = (_spread(x) for x in (made, real, other))
    values = [MetricValue("pairwise_distance", ours, theirs, None, protocol)]
    if theirs > 0:
        note = "1 is as diverse as real images; noise makes it larger too"
        ratio = MetricValue("diversity_ratio", ours / theirs, again / theirs, None, protocol, note)
        values.append(ratio)
    return values


def _within_classes(
    subject: Subject, data: Dataset, places: Tensor, protocol: Protocol
) -> list[MetricValue]:
    """The ratio within each class that was asked for: its mean and its least."""
    classes = data.spec.classes
    drawn = generated(subject, PER_CLASS * classes, even=True)
    labels = data.labels(places.to(data.device))
    if drawn.labels is None or labels is None:
        return []
    labels = labels.cpu()
    ratios: dict[int, float] = {}
    baselines: list[float] = []
    for label in range(classes):
        of_class = places[labels == label][: 2 * PER_CLASS]
        if len(of_class) < 4:
            continue
        first, second = of_class.tensor_split(2)
        ours, other = (_spread(_levels(real(data, some))) for some in (first, second))
        if ours > 0:
            ratios[label] = _spread(_levels(drawn.samples[drawn.labels == label])) / ours
            baselines.append(other / ours)
    if not ratios:
        return []
    least = min(ratios, key=lambda label: ratios[label])
    protocol = protocol | {
        "samples": PER_CLASS * classes,
        "per_class": PER_CLASS,
        "labels": "as many of each class",
    }
    mean, baseline = sum(ratios.values()) / len(ratios), sum(baselines) / len(baselines)
    return [
        MetricValue("class_diversity_ratio", mean, baseline, None, protocol, "mean over classes"),
        MetricValue(
            "class_diversity_least",
            ratios[least],
            min(baselines),
            None,
            protocol,
            f"of the least diverse class, {data.spec.class_names[least]}",
        ),
    ]


PAIRS = 100  # of each class, as in the paper; of a model without classes, all together
PAIRS_ALONE = 1000
SMALLEST = 16  # pixels a side, of which five scales can be made


class MSSSIM(Metric):
    """ms_ssim: likeness of pairs of samples within a class (Odena et al. 2017, section 4.2)."""

    order = 155
    aside = True

    def unfit(self, subject: Subject) -> str:
        """Why not: it is for images of 16 pixels a side at least."""
        if reason := not_images(subject.data):
            return reason
        small = min(subject.data.shape[-2:]) < SMALLEST
        return f"it takes images of at least {SMALLEST} pixels a side" if small else ""

    def measure(self, subject: Subject) -> MetricResult:
        """The mean over pairs, of all and of the class in which they are most alike."""
        data = subject.real(subject.options.split)
        places = shuffled(data)
        labels = data.labels(places.to(data.device))
        within = subject.model.conditional and 1 < data.spec.classes <= MOST_CLASSES
        if not within or labels is None:
            pairs = max(1, min(PAIRS_ALONE, subject.options.samples // 2, len(places) // 2))
            made = _pairs_alike(generated(subject, 2 * pairs).samples)
            true = _pairs_alike(real(data, places[: 2 * pairs]))
            protocol = self._protocol(subject, pairs)
            note = "0 to 1; above the baseline: less diverse than real images"
            return MetricResult([MetricValue("ms_ssim", made, true, None, protocol, note)])
        classes, labels = data.spec.classes, labels.cpu()
        drawn = generated(subject, 2 * PAIRS * classes, even=True)
        assert drawn.labels is not None
        found: dict[int, tuple[float, float]] = {}
        for label in range(classes):
            of_class = places[labels == label][: 2 * PAIRS]
            if len(of_class) >= 2:
                made = _pairs_alike(drawn.samples[drawn.labels == label])
                found[label] = made, _pairs_alike(real(data, of_class))
        made, true = (sum(each) / len(found) for each in zip(*found.values(), strict=True))
        most = max(found, key=lambda label: found[label][0])
        protocol = self._protocol(subject, PAIRS) | {"labels": "pairs within each class"}
        names = data.spec.class_names
        note = f"of the least diverse class, {names[most] if names else most}"
        return MetricResult(
            [
                MetricValue("ms_ssim", made, true, None, protocol, "mean over classes"),
                MetricValue("ms_ssim_most", *found[most], None, protocol, note),
            ]
        )

    def _protocol(self, subject: Subject, pairs: int) -> Protocol:
        return subject.protocol() | {
            "pairs": pairs,
            "scales": len(SCALES),
            "floor": "the same of pairs of real images",
        }


def _pairs_alike(images: Tensor) -> float:
    """Mean MS-SSIM of the first and second image, the third and fourth, and so on."""
    images = images[: len(images) // 2 * 2]
    found = [
        ms_ssim(x, y) for x, y in zip(images[::2].split(64), images[1::2].split(64), strict=True)
    ]
    return torch.cat(found).mean().item()


def _levels(images: Tensor) -> Tensor:
    """Images in [-1, 1] as they would be saved, float32 in levels of 255."""
    return quantised(images).float()


def _spread(levels: Tensor) -> float:
    """Mean distance of pairs, root mean square over pixels."""
    return mean_pairwise_distance(levels) / math.sqrt(levels[0].numel())
