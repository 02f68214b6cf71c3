"""Whether a conditional model makes the classes that it is asked for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_cli.data.dataset import Dataset
from gan_cli.evaluation import real_baseline
from gan_cli.evaluation.classifier import Classifier
from gan_cli.evaluation.classifier_training import LONGEST, shrunk
from gan_cli.evaluation.features import quantised
from gan_cli.evaluation.measures.classifier import accuracy_of, no_classifier
from gan_cli.evaluation.metric import (
    Extractor,
    Features,
    Metric,
    MetricResult,
    MetricValue,
    Subject,
)
from gan_cli.metrics.neighbours import nearest
from gan_cli.seeding import mix

BANK = 5000  # samples among which neighbours are looked for
QUERIES = 2000  # real images that are classified by them
SHUFFLED = 0x5F1E  # the random stream of the control
Protocol = dict[str, str | int | float]


class Conditional(Metric):
    """GAN-test, and the error of a nearest-neighbour classifier whose examples are generated."""

    order = 50
    higher_is_better: ClassVar = {"gan_test": True, "nn_error*": False, "nn_error_shuffled": None}

    def unfit(self, subject: Subject) -> str:
        """Why not: classes must be asked for, and known."""
        return not_asked(subject)

    def measure(self, subject: Subject) -> MetricResult:
        """gan_test, nn_error in pixels and in features, and the control with shuffled labels."""
        extractor = subject.classifier()
        known = accuracy_of(extractor)
        figures = [gan_test(subject, extractor), *neighbour_errors(subject, extractor)]
        return MetricResult([replace(one, protocol={**one.protocol, **known}) for one in figures])


def not_asked(subject: Subject) -> str:
    """Why no classes can be asked for; empty where they can."""
    if not subject.model.conditional:
        return "the model is not conditional"
    return no_classifier(subject)


def gan_test(subject: Subject, extractor: Extractor) -> MetricValue:
    """The share of samples in which a classifier of real images sees the class asked for.

    (Shmelkov et al. 2018, section 3.2). Its baseline is the classifier's accuracy on real images.
    """
    features = subject.generated(extractor)
    value = _hits(features)
    baseline, of = _hits(subject.reference(extractor)), "the real samples of the split"
    if isinstance(extractor, Classifier) and extractor.test_accuracy is not None:
        baseline, of = extractor.test_accuracy, "real test images"
    return MetricValue(
        name="gan_test",
        value=value,
        baseline=baseline,
        error=share_error(value, features.count),
        protocol={**subject.protocol(extractor), "floor": f"the same of {of}"},
        note="rises with the samples' quality, and says nothing of their diversity",
    )


def share_error(share: float, count: int) -> float:
    """The standard error of a share of `count` independent trials."""
    return math.sqrt(share * (1 - share) / count)


def _hits(features: Features) -> float:
    assert features.hits is not None
    return features.hits / features.count


class Images(NamedTuple):
    """Some images, and what classes they are of or were asked to be of."""

    images: Tensor  # uint8 [n, C, H, W]
    labels: Tensor  # int64 [n]


def neighbour_errors(subject: Subject, extractor: Extractor) -> list[MetricValue]:
    """How often a real image's nearest generated one was asked to be of another class.

    In pixels and in the extractor's features, each beside the same with as many real training
    images; and a control, whose examples' labels are shuffled.
    """
    queries, real = _real(subject)
    made = _made(subject, len(real.labels))
    real = Images(*(x[: len(made.labels)] for x in real))
    spaces = {"": pixels, f"_{extractor.name}": lambda images: extractor.features(images)[0]}
    protocol: Protocol = {
        **subject.protocol(extractor),
        "samples": len(made.labels),
        "queries": len(queries.labels),
        "queries_from": "test" if subject.has_test else "training images that are no examples",
        "floor": f"the same with {len(real.labels)} real training images",
    }
    figures = []
    seen = {}
    for suffix, space in spaces.items():
        asked = space(queries.images)
        seen[suffix] = nearest(asked, space(made.images))[1]
        _, true = nearest(asked, space(real.images))
        value = error_of(made.labels[seen[suffix]], queries.labels)
        figures.append(
            MetricValue(
                name=f"nn_error{suffix}",
                value=value,
                baseline=error_of(real.labels[true], queries.labels),
                error=share_error(value, len(queries.labels)),
                protocol={**protocol, "distance": _distance(suffix, extractor)},
            )
        )
    figures.append(_control(made.labels, seen[""], queries.labels, protocol))
    return figures


def error_of(said: Tensor, true: Tensor) -> float:
    """The share of labels [n] that are wrong."""
    return (said != true).double().mean().item()


def pixels(images: Tensor) -> Tensor:
    """Images uint8 [n, C, H, W] as float32 of at most 32 pixels a side."""
    size = shrunk(*images.shape[-2:])
    found = images.float()
    return found if size == images.shape[-2:] else F.interpolate(found, size, mode="area")


def _distance(suffix: str, extractor: Extractor) -> str:
    if suffix:
        return f"Euclidean, in the features of {extractor.name}"
    return f"Euclidean, in pixels, images with a side above {LONGEST} shrunk to it by area"


def _control(examples: Tensor, index: Tensor, true: Tensor, protocol: Protocol) -> MetricValue:
    """The error in pixels once the examples' labels are shuffled, which is that of chance."""
    random = torch.Generator().manual_seed(mix(SHUFFLED))
    shuffled = examples[torch.randperm(len(examples), generator=random)]
    value = error_of(shuffled[index], true)
    chance = expected_error(examples, true)
    return MetricValue(
        name="nn_error_shuffled",
        value=value,
        error=share_error(chance, len(true)),
        protocol={**protocol, "distance": "as nn_error", "floor": "none", "chance": chance},
        note=f"a control: examples' labels are shuffled, so it is near {chance:.3f}",
    )


def expected_error(examples: Tensor, true: Tensor) -> float:
    """The error of labels [n] that were drawn blindly from `examples` [m]; 1 - 1/K if even."""
    classes = int(max(examples.max(), true.max())) + 1
    shares = [x.bincount(minlength=classes).double() / len(x) for x in (examples, true)]
    return 1 - (shares[0] * shares[1]).sum().item()


def _real(subject: Subject) -> tuple[Images, Images]:
    """Real images to classify, and others as examples."""
    train = subject.real("train" if subject.has_test else "all")
    places = real_baseline.shuffled(train)
    if subject.has_test:
        test = subject.real("test")
        return _taken(test, real_baseline.shuffled(test)[:QUERIES]), _taken(train, places[:BANK])
    queries = min(QUERIES, len(places) // 2)
    examples = places[queries : queries + BANK]
    return _taken(train, places[:queries]), _taken(train, examples)


def _taken(data: Dataset, places: Tensor) -> Images:
    labels = data.labels(places.to(data.device))
    assert labels is not None, "data with classes has labels"
    return Images(quantised(real_baseline.real(data, places)), labels.cpu())


def _made(subject: Subject, most: int) -> Images:
    drawn = real_baseline.generated(subject, min(most, subject.options.samples))
    assert drawn.labels is not None, "a conditional model is asked for classes"
    return Images(quantised(drawn.samples), drawn.labels)
