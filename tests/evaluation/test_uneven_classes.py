"""Conditional samples are compared with data in the shares of its classes."""

from __future__ import annotations

import pytest
import torch
from painting import Random, subject
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.data.mnist import MNIST
from gan_cli.evaluation.measures.classifier import ClassifierFigures
from gan_cli.evaluation.measures.diversity import Diversity
from gan_cli.evaluation.real_baseline import generated
from gan_cli.evaluation.trained_model import TrainedModel
from gan_cli.model import DataSpec, Model, Phase
from gan_cli.priors import Gaussian

RARE = 10  # times: as much rarer are the digits from 5 on


class Uneven(Dataset):
    """Digits of MNIST's test part: all that are below 5, and every tenth of the others."""

    def __init__(self, second: bool = False) -> None:
        digits = MNIST(split="test")
        assert digits.targets is not None
        places = torch.arange(int(second), len(digits), 2)  # one half of them
        labels = digits.targets[places]
        kept = (labels < 5) | (torch.arange(len(places)) % RARE == 0)
        images, labels = digits.values[places[kept]][:, :, ::4, ::4], labels[kept]
        super().__init__("uneven", images, labels, digits.spec.class_names)


class Perfect(Model):
    """Draws real images of the class that it is asked for, which training never saw."""

    conditional = True

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.data, self.prior = data, Gaussian(1)
        self.anchor = torch.nn.Parameter(torch.zeros(()))
        unseen = Uneven(second=True)
        assert unseen.targets is not None
        real = unseen.real(torch.arange(len(unseen)))
        self.of_class = [real[unseen.targets == label] for label in range(10)]

    def phases(self) -> list[Phase]:
        return []

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        # A latent is a place in the class, by its distribution function.
        shares = torch.special.ndtr(z[:, 0])
        return torch.stack(
            [
                self.of_class[label][int(share * (len(self.of_class[label]) - 1))]
                for label, share in zip(y.tolist(), shares.tolist(), strict=True)
            ]
        )

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(self.prior.sample(n), y)


class Projection(Random):
    """Sixteen random sums of pixels, and their signs' class; named as the data's classifier."""

    name, width, classes = "classifier", 16, 10

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.randn(49, 16, generator=torch.Generator().manual_seed(1))

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = images.flatten(1).float() / 255 @ self.table
        return features, features[:, :10]


@pytest.fixture
def judged(tmp_path, monkeypatch) -> TrainedModel:
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path))
    data = Uneven()
    return subject(Projection(), Perfect(data.spec), known=data, samples=2500)


def test_a_perfect_conditional_sampler_is_as_near_to_the_data_as_real_samples_are(judged) -> None:
    figures = {figure.name: figure for figure in ClassifierFigures().measure(judged).values}
    fid = figures["fid_classifier"]
    assert fid.baseline is not None
    # With as many samples of each class it is 1.37, four times the baseline.
    assert fid.value < 1.5 * fid.baseline
    assert "shares" in str(fid.protocol["labels"])


def test_classes_are_asked_for_in_the_shares_of_the_split(judged) -> None:
    drawn = generated(judged, 1000)
    assert drawn.labels is not None
    counts = drawn.labels.bincount(minlength=10)
    shares = torch.tensor(judged.real("train").spec.class_counts).double()
    assert (counts - 1000 * shares / shares.sum()).abs().max() <= 1
    even = generated(judged, 1000, even=True)
    assert even.labels is not None
    assert even.labels.bincount().tolist() == [100] * 10


def test_diversity_within_classes_looks_at_as_many_of_each(judged) -> None:
    figures = {figure.name: figure for figure in Diversity().measure(judged).values}
    assert figures["class_diversity_ratio"].protocol["labels"] == "as many of each class"
    assert figures["class_diversity_ratio"].value == pytest.approx(1.0, abs=0.1)
