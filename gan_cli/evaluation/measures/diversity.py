"""Distances of generated images from each other, beside those of real ones."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.evaluation.features import quantised
from gan_cli.evaluation.metric import Metric, MetricResult, MetricValue, Subject, not_images
from gan_cli.evaluation.real_baseline import generated, real, shuffled
from gan_cli.metrics.distances import DIRECTIONS, sliced_wasserstein
from gan_cli.metrics.diversity import mean_pairwise_distance

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


def _levels(images: Tensor) -> Tensor:
    """Images in [-1, 1] as they would be saved, float32 in levels of 255."""
    return quantised(images).float()


def _spread(levels: Tensor) -> float:
    """Mean distance of pairs, root mean square over pixels."""
    return mean_pairwise_distance(levels) / math.sqrt(levels[0].numel())
