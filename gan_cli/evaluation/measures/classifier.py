"""Figures in the eyes of the data set's own classifier, where Inception says little."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gan_cli.errors import DataError
from gan_cli.evaluation.classifier import Classifier
from gan_cli.evaluation.inception_weights import without_last_layer
from gan_cli.evaluation.measures.fid_kid_prdc import (
    NEIGHBOURS,
    frechet_figure,
    kernel_figure,
    neighbour_figures,
    no_classifier,
    no_picture,
    too_few,
)
from gan_cli.evaluation.metric import (
    Extractor,
    Features,
    Metric,
    MetricResult,
    MetricValue,
    Plot,
    Subject,
)
from gan_cli.evaluation.real_baseline import baseline
from gan_cli.metrics.classes import SPLITS, score, split_scores

MADE, REAL, INK = (31, 119, 180), (190, 190, 190), (64, 64, 64)  # blue, grey, dark
TALL, STRIP = 160, 16  # pixels of the longest bar, and of lines of text
NARROW, WIDE, PLOT = 2, 48, 480  # pixels of a class at least, at most, and of all together


def bars(made: Tensor, real: Tensor, names: tuple[str, ...]) -> ndarray:
    """Shares [classes] of generated images, in blue, and of real ones beside them, in grey.

    Args:
        made: of the generated images, summing to 1.
        real: of the real ones.
        names: one per class, shown where there is room.

    Returns:
        uint8 [height, width, 3].
    """
    cell = min(WIDE, max(NARROW, PLOT // len(names)))
    top = max(made.max().item(), real.max().item())
    bottom = TALL + 2 * STRIP - 1
    text = f"generated (blue) and real (grey); the longest bar is {top:.1%}"
    font = ImageFont.load_default(size=11)
    width = 2 * STRIP + max(cell * len(names), math.ceil(font.getlength(text)))
    image = Image.new("RGB", (width, TALL + 3 * STRIP), "white")
    pen = ImageDraw.Draw(image)
    pen.text((STRIP, 2), text, INK, font)
    room = max(1, (cell - cell // 8) // 2)  # pixels of one bar
    for i, name in enumerate(names):
        left = STRIP + i * cell
        for share, color in ((made[i].item(), MADE), (real[i].item(), REAL)):
            height = round(share / top * TALL)
            if height:
                pen.rectangle((left, bottom - height + 1, left + room - 1, bottom), color)
            left += room
        if pen.textlength(name, font) <= cell:
            pen.text((STRIP + i * cell, bottom + 3), name, INK, font)
    pen.line((STRIP, bottom + 1, STRIP + cell * len(names), bottom + 1), INK)
    return np.asarray(image)


Protocol = dict[str, str | int | float]


class ClassifierFigures(Metric):
    """fid_classifier and its siblings, score_classifier, and the histogram of classes."""

    order = 10
    higher_is_better: ClassVar = {
        "fid_*": False,
        "kid_*": False,
        "score_*": True,
        **NEIGHBOURS,
        "classes_missing": False,
        "classes_distance": False,
    }

    def unfit(self, subject: Subject) -> str:
        """Why not: a classifier learns from labelled images."""
        return no_classifier(subject)

    def measure(self, subject: Subject) -> MetricResult:
        """Distances between features, the score, and how often each class comes up."""
        extractor = subject.classifier()
        figures = [frechet_figure(subject, extractor), kernel_figure(subject, extractor)]
        if not too_few(subject):
            figures += neighbour_figures(subject, extractor)
        figures = [score_figure(subject, extractor), *figures]
        histogram, picture = _classes(subject, extractor)
        known = accuracy_of(extractor)
        told = [replace(one, protocol={**one.protocol, **known}) for one in [*figures, *histogram]]
        return MetricResult(told, [picture])


def accuracy_of(extractor: Extractor) -> Protocol:
    """What the protocol says of how well the classifier knows real images that it never saw."""
    if isinstance(extractor, Classifier) and extractor.test_accuracy is not None:
        return {"classifier_accuracy": extractor.test_accuracy}
    return {"classifier_accuracy": "unknown: the data has no test split"}


def score_figure(subject: Subject, extractor: Extractor) -> MetricValue:
    """score_<extractor's name>: the formula of the Inception Score on its probabilities.

    exp(E KL(p(y|x) || p(y))) (Salimans et al. 2016, section 4), over all samples at once.
    """
    return MetricValue(
        name=f"score_{extractor.name}",
        value=score_of(subject.generated(extractor)),
        baseline=baseline("score", subject, extractor, lambda first, _: score_of(first)),
        protocol={
            **subject.protocol(extractor),
            "splits": 1,
            "floor": "of a random half of these real samples",
        },
        note=f"at most {extractor.classes}, the number of classes",
    )


def score_of(features: Features) -> float:
    """The score of what an extractor with classes saw."""
    assert features.mean_probability is not None
    assert features.mean_entropy is not None
    return score(features.mean_probability, features.mean_entropy)


class InceptionScore(Metric):
    """inception_score: mean over ten splits, with their deviation (Salimans et al. 2016)."""

    order = 35
    higher_is_better = True
    dear_on_cpu = True
    extractor = "inception"

    def unfit(self, subject: Subject) -> str:
        """Why not: Inception cannot look at the data, or its file lacks the last layer."""
        if reason := no_picture(subject):
            return reason
        if subject.options.samples < SPLITS:
            return f"{SPLITS} splits take at least {SPLITS} samples"
        return without_last_layer(subject.options.inception)

    def measure(self, subject: Subject) -> MetricResult:
        """Of the generated samples in their order.

        Raises:
            DataError: Inception's weights lack the last layer.
        """
        extractor = subject.inception()
        if not extractor.classes:
            reason = without_last_layer(subject.options.inception)
            raise DataError(reason or "this network gives no class probabilities")
        splits = subject.generated(extractor).splits
        assert splits is not None
        deviation = splits.std(correction=0).item()
        real, floor = _real_score(subject, extractor)
        value = MetricValue(
            name="inception_score",
            value=splits.mean().item(),
            baseline=real,
            error=deviation / math.sqrt(SPLITS - 1),
            protocol={
                **subject.protocol(extractor),
                "splits": SPLITS,
                "deviation": deviation,
                "logits": "features times the last layer, without its bias",
                "floor": floor,
            },
            note=f"deviation {deviation:.2g} over the {SPLITS} splits",
        )
        return MetricResult([value])


def _real_score(subject: Subject, extractor: Extractor) -> tuple[float | None, str]:
    """The Inception Score of real samples and of how many, as many as were generated if kept."""
    try:
        count = min(subject.options.samples, len(subject.halves(extractor)[0].kept))
    except DataError:  # statistics of other programs are of the whole alone
        count = 0
    if count < SPLITS:
        return None, "unknown: features of real images are needed"

    def compute(first: Features, _: Features) -> float | None:
        logits = extractor.classify(first.kept[:count])
        return None if logits is None else split_scores(logits).mean().item()

    found = baseline(f"inception_score of {count}", subject, extractor, compute)
    return found, f"of {count:,} real samples; the score grows with their number"


def _classes(subject: Subject, extractor: Extractor) -> tuple[list[MetricValue], Plot]:
    """How evenly, how completely and how truly the classes come up, and a picture of it."""
    made, real = _shares(subject.generated(extractor)), _shares(subject.reference(extractor))
    half, other = subject.halves(extractor)
    count = min(subject.options.samples, half.count)
    first, second = _shares_of(half, count), _shares(other)
    protocol = {**subject.protocol(extractor), "floor": f"of {count:,} real samples"}
    figures = [
        MetricValue("classes_missing", _missing(made), _missing(first), None, protocol),
        MetricValue(
            "classes_entropy",
            _entropy(made),
            baseline=_entropy(first),
            protocol={**protocol, "unit": "nats"},
        ),
        MetricValue(
            "classes_distance",
            _distance(made, real),
            _distance(first, second),
            None,
            {**protocol, "distance": "total variation, from 0 to 1, of the shares of classes"},
        ),
    ]
    names = subject.data.class_names or tuple(map(str, range(extractor.classes)))
    return figures, Plot("classes", bars(made, real, names))


def _shares(features: Features) -> Tensor:
    assert features.histogram is not None
    return features.histogram.double() / features.count


def _shares_of(features: Features, count: int) -> Tensor:
    """The shares of classes among `count` of the samples, drawn at random by a fixed seed."""
    assert features.histogram is not None
    random = np.random.default_rng(0)
    drawn = random.multivariate_hypergeometric(
        features.histogram.numpy(), count, method="marginals"
    )
    return torch.from_numpy(drawn).double() / count


def _missing(shares: Tensor) -> int:
    return int((shares == 0).sum())


def _entropy(shares: Tensor) -> float:
    return torch.special.entr(shares).sum().item()


def _distance(shares: Tensor, others: Tensor) -> float:
    return (shares - others).abs().sum().item() / 2
