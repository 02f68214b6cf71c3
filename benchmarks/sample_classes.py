"""The predictions of a small classifier of real images on the samples of trained runs.

    python -m benchmarks.sample_classes RUN [RUN ...] [--root DIR] [--samples 2000]

For each run of MNIST-like data: the classifier's confidence in the samples (mean highest
probability, beside that on real test images), how evenly they spread over the classes (entropy of
the class histogram, at most ln 10 = 2.303), and for conditional models how often it predicts
the requested class. Not a metric to publish: the classifier is trained anew each time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gan_cli.config.instantiate import Trust, build
from gan_cli.data.dataset import Dataset
from gan_cli.data.stream import Stream
from gan_cli.runs.load import Loaded, load_model
from gan_cli.runs.lookup import find
from gan_cli.sampling.samples import draw

BATCH, EPOCHS = 128, 2


def classifier(data: Dataset) -> nn.Module:
    """A convolutional network, trained on `data`."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(data.spec.shape[0], 32, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(128),
        nn.ReLU(),
        nn.Linear(128, data.spec.classes),
    )
    network(data.real(torch.arange(1)))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    stream = Stream(data, BATCH, seed=0)
    for k in range(EPOCHS * data.spec.size // BATCH):
        batch = stream.batch(k)
        assert batch.labels is not None
        optimizer.zero_grad()
        cross_entropy(network(batch.real), batch.labels).backward()
        optimizer.step()
    return network.eval()


@torch.no_grad()
def probabilities(network: nn.Module, images: Tensor) -> Tensor:
    """The classifier's probabilities of images, [n, classes]."""
    return torch.cat([network(piece).softmax(1) for piece in images.split(500)])


def summary(network: nn.Module, run: Loaded, samples: int) -> str:
    """The values of one run, as text."""
    images = torch.cat(list(draw(run.model, samples)))
    sure, seen = probabilities(network, images).max(1)
    histogram = torch.bincount(seen, minlength=run.model.data.classes) / len(seen)
    entropy = torch.special.entr(histogram).sum().item()
    text = f"step {run.step:6,}  confidence {sure.mean():.3f}  entropy {entropy:.3f}"
    if run.model.conditional:
        asked = torch.arange(samples) % run.model.data.classes  # see gan_cli/sampling/samples.py
        text += f"  class as asked {(seen == asked).float().mean():.3f}"
    return text


def main() -> None:
    """Evaluate runs one after the other."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--root", help="data.root, where the data needs one")
    parser.add_argument("--samples", type=int, default=2000)
    options = parser.parse_args()
    classifiers: dict[str, nn.Module] = {}
    for path in options.runs:
        run = load_model(find(path), device="cpu")
        target = run.settings.data["_target_"]
        if target not in classifiers:
            root = {"root": options.root} if options.root and "root" in run.settings.data else {}
            real = {
                s: build({"_target_": target, "split": s, **root}, "data", Trust())
                for s in ("train", "test")
            }
            classifiers[target] = classifier(real["train"])
            places = torch.arange(real["test"].spec.size)
            predicted = probabilities(classifiers[target], real["test"].real(places))
            right = (predicted.argmax(1) == real["test"].labels(places)).float().mean()
            print(
                f"{real['test'].spec.name}: test accuracy {right:.4f}, "
                f"confidence on real test images {predicted.max(1).values.mean():.3f}"
            )
        print(f"{path}: {summary(classifiers[target], run, options.samples)}")


if __name__ == "__main__":
    main()
