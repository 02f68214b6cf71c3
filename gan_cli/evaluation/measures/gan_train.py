"""GAN-train: what can be learned of real images from generated ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gan_cli.console import progress_bar
from gan_cli.data.dataset import Dataset
from gan_cli.evaluation import real_baseline
from gan_cli.evaluation.classifier import trained_classifier
from gan_cli.evaluation.classifier_training import Recipe, accuracy, trained
from gan_cli.evaluation.features import quantised
from gan_cli.evaluation.measures.conditional import not_asked, share_error
from gan_cli.evaluation.metric import Metric, MetricResult, MetricValue, Subject

SHORT = Recipe(images=80_000)  # looked at in all, so that both trainings take a minute on one core
BYTES = 1 << 30  # of pixels that are learned from


class Table(Dataset):
    """Images uint8 [n, C, H, W] of any origin, and their classes [n]."""


class GANTrain(Metric):
    """Test accuracy of a classifier trained on generated samples alone (Shmelkov et al. 2018).

    Args:
        recipe: of both classifiers.
    """

    order = 60
    higher_is_better = True
    dear = True

    def __init__(self, recipe: Recipe = SHORT) -> None:
        self.recipe = recipe

    def unfit(self, subject: Subject) -> str:
        """Why not: classes must be asked for, and real images must be left for the test."""
        if reason := not_asked(subject):
            return reason
        return "" if subject.has_test else "the data has no test split"

    def measure(self, subject: Subject) -> MetricResult:
        """The accuracy on all real test images (section 3.1), beside that with real examples."""
        train, test = subject.real("train"), subject.real("test")
        affordable = BYTES // math.prod(train.spec.shape)
        n = min(subject.options.samples, train.spec.size, affordable)
        real = table("real", train, *_real(train, n))
        baseline = trained_classifier(real, test, subject.device, recipe=self.recipe).test_accuracy
        made = table("generated", train, *_made(subject, n))
        with progress_bar("classifier of generated samples", self.recipe.images) as advance:
            network = trained(made, self.recipe, subject.device, advance)
        value = accuracy(network, test)
        return MetricResult(
            [
                MetricValue(
                    name="gan_train",
                    value=value,
                    baseline=baseline,
                    error=share_error(value, test.spec.size),
                    protocol={
                        **subject.protocol(),
                        "samples": n,
                        "test_samples": test.spec.size,
                        "recipe": str(self.recipe),
                        "floor": f"the same recipe on {n} real training images",
                    },
                    note="falls with the samples' quality and with their diversity",
                )
            ]
        )


def table(kind: str, like: Dataset, images: Tensor, labels: Tensor) -> Table:
    """Images with the classes of another data set."""
    name = f"{like.spec.name}-{kind}-{len(images)}"
    return Table(name, images, labels, like.spec.class_names)


def _real(train: Dataset, n: int) -> tuple[Tensor, Tensor]:
    places = real_baseline.shuffled(train)[:n]
    pieces = [quantised(real_baseline.real(train, some)) for some in places.split(1024)]
    labels = train.labels(places.to(train.device))
    assert labels is not None, "data with classes has labels"
    return torch.cat(pieces), labels.cpu()


def _made(subject: Subject, n: int) -> tuple[Tensor, Tensor]:
    pieces = [(quantised(drawn.samples), drawn.labels) for drawn in subject.draw(n)]
    labels = [asked for _, asked in pieces if asked is not None]
    return torch.cat([images for images, _ in pieces]), torch.cat(labels)
