"""Test accuracy of the classifiers that evaluate samples, and the time to train them.

    python benchmarks/classifiers.py {mnist,fashion_mnist,kmnist,cifar10} ... [--root DIR] [--anew]
    python benchmarks/classifiers.py mnist --ship

Each is taken from the program or the cache, or trained and put there; `--anew` trains it in an
empty cache. `--ship` trains it, rounds it to 16 bits and puts it into the program. The exit status
is 1 where one is worse than it must be to be trusted.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

from gan_cli import files
from gan_cli.data.cifar10 import CIFAR10
from gan_cli.data.dataset import Dataset
from gan_cli.data.fashion_mnist import FashionMNIST
from gan_cli.data.kmnist import KMNIST
from gan_cli.data.mnist import MNIST
from gan_cli.evaluation import classifier
from gan_cli.evaluation.classifier import Classifier, place, trained_classifier
from gan_cli.evaluation.classifier_training import Recipe, accuracy, trained

REQUIRED = {"mnist": 0.993, "fashion_mnist": 0.92, "kmnist": 0.0, "cifar10": 0.0}
SOURCES = {"fashion_mnist": FashionMNIST, "kmnist": KMNIST, "cifar10": CIFAR10}


def part(name: str, split: str, root: str | None) -> Dataset:
    """One part of a data set; MNIST comes with the program."""
    return MNIST(split) if name == "mnist" else SOURCES[name](split, root)


def ship(train: Dataset, test: Dataset, device: torch.device) -> Classifier:
    """Train a classifier and ship it with the program, in half precision."""
    network, recipe = trained(train, Recipe(), device), Recipe()
    weights = {
        name: (x.half() if x.is_floating_point() else x).cpu().contiguous()
        for name, x in network.state_dict().items()
    }
    network.load_state_dict(weights)  # as loaded
    share = accuracy(network, test)
    path = classifier.SHIPPED / place(train, recipe).name
    path.parent.mkdir(exist_ok=True)
    with files.replacing(path) as file:
        torch.save({"network": weights, "accuracies": {test.fingerprint: share}}, file)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    return Classifier(network, share)


def main() -> int:
    """Print one line per data set."""
    parser = argparse.ArgumentParser(description="Train and test classifiers.")
    parser.add_argument("data", nargs="+", choices=list(REQUIRED))
    parser.add_argument("--root", help="folder of the files, for all but mnist")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--anew", action="store_true", help="whatever the cache holds")
    parser.add_argument("--ship", action="store_true", help="train it and put it into the program")
    options = parser.parse_args()
    if options.anew:
        os.environ["GAN_CLI_CACHE"] = tempfile.mkdtemp()
        classifier.SHIPPED = Path(os.environ["GAN_CLI_CACHE"])
    good = True
    print("data           test accuracy  CPU s  wall s  sha256")
    for name in options.data:
        train, test = (part(name, split, options.root) for split in ("train", "test"))
        cpu, wall = time.process_time(), time.perf_counter()
        if options.ship:
            found = ship(train, test, torch.device(options.device))
        else:
            found = trained_classifier(train, test, options.device)
        spent = time.process_time() - cpu, time.perf_counter() - wall
        accuracy = found.test_accuracy or 0.0
        good &= accuracy >= REQUIRED[name]
        print(
            f"{name:14} {accuracy:13.2%}  {spent[0]:5.0f}  {spent[1]:6.0f}  {found.identity[:16]}"
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
