"""Distances of generated images from the nearest training images."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from numpy import ndarray
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.device import float64_device
from gan_cli.evaluation import real_baseline
from gan_cli.evaluation.features import quantised
from gan_cli.evaluation.metric import (
    Metric,
    MetricResult,
    MetricValue,
    Plot,
    Subject,
    not_images,
)
from gan_cli.evaluation.real_baseline import once
from gan_cli.evaluation.training_neighbours import nearest_in
from gan_cli.images import tile

MOST, LEAST = 512, 64  # images that are looked up
WORK = 60_000_000_000  # multiplications that a look-up takes, if `LEAST` allows; a few seconds
SHOWN, COLUMNS = 32, 8
NEAR = 0.01  # share of unseen real images that are as close as near-copies


class Memorisation(Metric):
    """Nearest training images, in pixels, beside those of real images that were not trained on."""

    order = 140
    higher_is_better: ClassVar = {"near_copy_share": None}  # 0 for noise, too

    def unfit(self, subject: Subject) -> str:
        """Why not: it is for images."""
        return not_images(subject.data)

    def measure(self, subject: Subject) -> MetricResult:
        """Distances to the nearest training image, and pictures of the pairs."""
        train = subject.real("train" if subject.has_test else "all")
        n = lookups(train)
        made = quantised(real_baseline.generated(subject, n).samples)
        device = float64_device(subject.device)
        distance, places = nearest_to(train, made, device)
        unseen = subject.real("test").fingerprint if subject.has_test else ""
        key = ("memorisation", train.fingerprint, train.flips, unseen, n)
        baseline = once(key, lambda: _baseline(subject, train, n, device))
        # Per pixel value, of 255 levels.
        distance, baseline = (x / math.sqrt(made[0].numel()) for x in (distance, baseline))
        theirs = quantised(real_baseline.real(train, places))
        closest = distance.argsort()[:SHOWN]
        return MetricResult(
            _values(subject, train, distance, baseline),
            [
                Plot("nearest_training_images", pairs(made[:SHOWN], theirs[:SHOWN])),
                Plot("closest_training_images", pairs(made[closest], theirs[closest])),
            ],
        )


def lookups(train: Dataset) -> int:
    """The number of images that are looked up: fewer where training images are many or large.

    It is small enough that leaving as many training images out of the look-up changes little.
    """
    affordable = WORK // (train.spec.size * math.prod(train.spec.shape))
    return max(1, min(max(LEAST, min(MOST, affordable)), train.spec.size // 20))


def _baseline(subject: Subject, train: Dataset, n: int, device: torch.device) -> Tensor:
    """Distances [n] of real images that the look-up does not hold.

    They are of the test part; where there is none, training images left out of the look-up.
    """
    if subject.has_test:
        test = subject.real("test")
        unseen = quantised(real_baseline.real(test, real_baseline.shuffled(test)[:n]))
        return nearest_to(train, unseen, device)[0]
    left_out = real_baseline.shuffled(train)[:n]
    return nearest_to(train, quantised(real_baseline.real(train, left_out)), device, left_out)[0]


def nearest_to(
    data: Dataset, queries: Tensor, device: torch.device, without: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Distance float64 [n] and place int64 [n] of each query's nearest image in all of `data`.

    Args:
        data: read piece by piece.
        queries: uint8 [n, C, H, W].
        device: where to compute.
        without: places [m] that are passed over.
    """
    kept = torch.ones(data.spec.size, dtype=torch.bool)
    if without is not None:
        kept[without] = False
    found = nearest_in(data, queries, device, kept.nonzero()[:, 0])
    return found.distance[:, 0], found.places[:, 0]


def _values(
    subject: Subject, train: Dataset, distance: Tensor, baseline: Tensor
) -> list[MetricValue]:
    """Of distances [n] of generated and [m] of unseen real images."""
    kind = "test images" if subject.has_test else "training images to all others"
    protocol = subject.protocol() | {
        "samples": len(distance),
        "looked_up_in": f"{train.spec.size} training images",
        "distance": "root mean square over pixels, in levels of 255",
        "floor": f"of {len(baseline)} {kind}",
        **({"mirrored": "too, as in training"} if train.flips else {}),
    }
    ours, real = distance.median().item(), baseline.median().item()
    near = baseline.quantile(NEAR)
    blur = "below 1 it is copying, or blur, as smooth images are close to everything"
    values = [
        MetricValue("nearest_training_distance", ours, real, None, protocol, "median"),
        MetricValue(
            "near_copy_share",
            (distance < near).double().mean().item(),
            (baseline < near).double().mean().item(),
            None,
            protocol,
            f"closer to a training image than {1 - NEAR:.0%} of real images not trained on",
        ),
    ]
    if real > 0:
        ratio = MetricValue("nearest_training_ratio", ours / real, 1.0, None, protocol, blur)
        values.insert(1, ratio)
    return values


def pairs(above: Tensor, below: Tensor) -> ndarray:
    """A table of images uint8 [n, C, H, W]: a row of `above`, then the row of their `below`."""
    columns = min(COLUMNS, len(above))
    whole = len(above) // columns * columns
    rows = zip(above[:whole].split(columns), below[:whole].split(columns), strict=True)
    return tile(torch.cat([x for pair in rows for x in pair]).float() / 127.5 - 1, columns)
