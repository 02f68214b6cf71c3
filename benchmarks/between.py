"""Interpolation between two digits of one class that slant to opposite sides, for trained encoders.

    python benchmarks/between.py RUN [RUN ...]

For each run of MNIST, 50 pairs of test images of each class: those that slant most to the left,
each with one that slants most to the right. At the ends and midway between their codes, and midway
between their pixels: the probability that the data's own classifier gives the pair's class, how
often it predicts that class, and the share of grey (the mean of 1 - x^2; 0 where all pixels are
black or white).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from gan_cli.data.mnist import MNIST
from gan_cli.evaluation.classifier import Classifier, trained_classifier
from gan_cli.evaluation.features import quantised
from gan_cli.models.autoencoder import Autoencoder
from gan_cli.models.pictures import opposites
from gan_cli.models.vae import VAE
from gan_cli.runs.load import load_model
from gan_cli.runs.lookup import find

PAIRS = 50  # of each class


def summary(classifier: Classifier, images: Tensor, labels: Tensor) -> str:
    """The values for images [n, 1, 28, 28] whose classes should be `labels` [n]."""
    logits = classifier.features(quantised(images))[1]
    assert logits is not None
    own = logits.softmax(1)[torch.arange(len(labels)), labels].mean()
    right = (logits.argmax(1) == labels).float().mean()
    grey = (1 - images.square()).mean()
    return f"probability {own:.3f}  class kept {right:.3f}  grey {grey:.3f}"


@torch.no_grad()
def main() -> None:
    """Print three lines for each run, and two of the pixels themselves."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    options = parser.parse_args()
    train, test = MNIST("train"), MNIST("test")
    classifier = trained_classifier(train, test, "cpu")
    everything = torch.arange(test.spec.size)
    x, y = test.real(everything), test.labels(everything)
    assert y is not None
    own = [(y == label).nonzero()[:, 0] for label in range(test.spec.classes)]
    pairs = torch.cat([some[opposites(x[some], None, PAIRS)] for some in own])  # [n, 2]
    left, right, labels = x[pairs[:, 0]], x[pairs[:, 1]], y[pairs[:, 0]]
    print(f"pixels, ends      {summary(classifier, torch.cat([left, right]), labels.repeat(2))}")
    print(f"pixels, midway    {summary(classifier, (left + right) / 2, labels)}")
    for path in options.runs:
        model = load_model(find(path), device="cpu").model
        assert isinstance(model, Autoencoder | VAE), f"{path}: encodes nothing"
        given = labels if model.conditional else None
        a, b = model.encode(left, given), model.encode(right, given)
        decoded = [model.decode(codes, given) for codes in (a, b, (a + b) / 2)]
        print(path)
        print(f"codes, ends       {summary(classifier, torch.cat(decoded[:2]), labels.repeat(2))}")
        print(f"codes, midway     {summary(classifier, decoded[2], labels)}")


if __name__ == "__main__":
    main()
