"""Codes of images by the classes of their nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.device import float64_device
from gan_cli.evaluation import real_baseline
from gan_cli.evaluation.measures.conditional import share_error
from gan_cli.evaluation.metric import Metric, MetricResult, MetricValue, Subject
from gan_cli.metrics.neighbours import nearest
from gan_cli.model import Encodes

TRAINING, TEST = 60_000, 10_000  # images at most, all of MNIST
PIECE = 500


class Encoding(Metric):
    """Test accuracy of a 1-NN classifier on the model's codes (Donahue et al. 2017, section 4)."""

    order = 135
    higher_is_better = True
    aside = True

    def unfit(self, subject: Subject) -> str:
        """Why not: codes that no label was put into, and labelled test images."""
        if not isinstance(subject.model, Encodes):
            return "the model has no codes of images"
        if subject.model.conditional:
            return "the labels are an input of the codes"
        if not subject.data.is_image or subject.data.classes < 2:
            return "it needs labelled images"
        return "" if subject.has_test else "the data has no test split"

    def measure(self, subject: Subject) -> MetricResult:
        """The share of test images whose nearest training image in code space has their class."""
        train, labels = codes(subject, subject.real("train"), TRAINING)
        test, true = codes(subject, subject.real("test"), TEST)
        device = float64_device(subject.device)
        found = nearest(test.to(device), train.to(device))[1].cpu()
        value = (labels[found] == true).double().mean().item()
        protocol = {k: v for k, v in subject.protocol().items() if k not in ("samples", "seed")}
        protocol |= {
            "split": "test images among training images",
            "training_images": len(train),
            "test_images": len(test),
            "code": train.shape[1],
            "neighbours": 1,
            "distance": "Euclidean",
        }
        error = share_error(value, len(test))
        return MetricResult([MetricValue("encoding_accuracy", value, None, error, protocol)])


def codes(subject: Subject, data: Dataset, most: int) -> tuple[Tensor, Tensor]:
    """Codes float32 [n, dim] and classes int64 [n] of `most` images, on the CPU."""
    assert isinstance(subject.model, Encodes)
    places = real_baseline.shuffled(data)[:most]
    found = []
    with torch.no_grad():
        for some in places.split(PIECE):
            images = data.real(some.to(data.device)).to(subject.device)
            found.append(subject.model.encode(images).flatten(1).float().cpu())
    labels = data.labels(places.to(data.device))
    assert labels is not None, "data with classes has labels"
    return torch.cat(found), labels.cpu()
