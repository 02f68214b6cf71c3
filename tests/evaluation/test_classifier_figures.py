"""Metrics by a classifier: their names, hand-computed values, baselines and protocols."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from painting import SPEC, Painter, Pictures, Random, subject

from gan_cli.errors import DataError
from gan_cli.evaluation.classifier import Classifier
from gan_cli.evaluation.classifier_training import ClassifierNetwork
from gan_cli.evaluation.measures import classifier as measures
from gan_cli.evaluation.measures.classifier import (
    MADE,
    REAL,
    STRIP,
    TALL,
    ClassifierFigures,
    InceptionScore,
    bars,
)
from gan_cli.evaluation.metric import MetricResult
from gan_cli.metrics.classes import split_scores


class Named(Random):
    """Tells the class by the brightness."""

    name = "classifier"


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> MetricResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_CLI_CACHE", str(tmp_path_factory.mktemp("cache")))
        return ClassifierFigures().measure(subject(Named()))


def test_nothing_is_called_as_inceptions(found) -> None:
    by_name = {figure.name: figure for figure in found.values}
    assert set(by_name) >= {
        *(f"{kind}_classifier" for kind in ("fid", "kid", "score")),
        *(f"{kind}_classifier" for kind in ("precision", "recall", "density", "coverage")),
        *("classes_missing", "classes_entropy", "classes_distance"),
    }
    assert all(name.endswith("_classifier") or name.startswith("classes_") for name in by_name)
    for figure in found.values:
        assert figure.baseline is not None
        assert figure.protocol["extractor"] == "classifier"
        assert str(figure.protocol["classifier_accuracy"]).startswith("unknown")


def test_the_score_of_real_images_is_that_of_their_probabilities(found) -> None:
    figure = next(figure for figure in found.values if figure.name == "score_classifier")
    first, _ = subject(Named()).halves(Named())
    assert first.mean_probability is not None
    assert first.mean_entropy is not None
    entropy = -(first.mean_probability * first.mean_probability.log()).sum().item()
    assert figure.baseline == pytest.approx(math.exp(entropy - first.mean_entropy))
    assert 1 < figure.value < 3


def test_classes_are_counted(monkeypatch) -> None:
    given = subject(Named())
    features = given.reference(Named())
    counts = {"made": torch.tensor([75, 25, 0]), "real": torch.tensor([50, 25, 25])}
    made = replace(features, count=100, histogram=counts["made"])
    real = replace(features, count=100, histogram=counts["real"])
    monkeypatch.setattr(type(given), "generated", lambda *_: made)
    monkeypatch.setattr(type(given), "reference", lambda *_: real)
    monkeypatch.setattr(type(given), "halves", lambda *_: (real, made))
    figures, picture = measures._classes(given, Named())
    missing, entropy, distance = figures
    assert (missing.value, missing.baseline) == (1, 0)
    assert entropy.value == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))
    assert entropy.baseline == pytest.approx(1.5 * math.log(2))
    assert (distance.value, distance.baseline) == (0.25, 0.25)
    assert picture.image.dtype == np.uint8


def test_the_classifiers_accuracy_is_in_the_protocol() -> None:
    network = ClassifierNetwork((1, 4, 4), 3).eval()
    assert measures.accuracy_of(Classifier(network, 0.75)) == {"classifier_accuracy": 0.75}
    finding = ClassifierFigures().measure(subject(Classifier(network, 0.5)))
    assert all(figure.protocol["classifier_accuracy"] == 0.5 for figure in finding.values)


def test_bars_are_as_long_as_the_shares() -> None:
    picture = bars(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]), ("a", "b"))
    picture = picture[2 * STRIP : 2 * STRIP + TALL]  # without any text
    blue, grey = ((picture == color).all(-1) for color in (MADE, REAL))
    lengths = [mask.any(1).sum() for mask in (blue, grey)]
    assert lengths == [TALL, TALL // 2]
    assert blue.sum() == grey.sum()  # one long bar, two of half its length


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_bars_of_many_classes_fit(classes) -> None:
    even = torch.full((classes,), 1 / classes)
    picture = bars(even, even, tuple(map(str, range(classes))))
    assert picture.shape[2] == 3
    assert picture.shape[1] < 2100


def test_data_without_labels_or_images_has_none() -> None:
    model = Painter()
    model.data = replace(SPEC, classes=0, class_names=())
    assert "no labels" in ClassifierFigures().unfit(subject(model=model))
    model.data = replace(SPEC, shape=(2,))
    assert "points" in ClassifierFigures().unfit(subject(model=model))
    model.data = replace(SPEC, classes=1000, class_names=tuple(map(str, range(1000))))
    assert "1000 classes are too many" in ClassifierFigures().unfit(subject(model=model))
    model.data = replace(SPEC, size=149)
    assert "149 images of 3 classes" in ClassifierFigures().unfit(subject(model=model))
    assert ClassifierFigures().unfit(subject()) == ""


def test_few_samples_have_no_neighbours() -> None:
    finding = ClassifierFigures().measure(subject(Named(), known=Pictures(), samples=8))
    assert not [figure for figure in finding.values if "recall" in figure.name]


class Scored(Named):
    """Logits that follow from the features alone."""

    name = "inception"

    def features(self, images):
        found = super().features(images)[0]
        return found, self.classify(found)

    def classify(self, features):
        return features[:, :3]


def test_the_inception_score_is_the_mean_over_ten_splits_in_the_order_of_samples() -> None:
    scored = Scored()
    given = subject(scored)
    (found,) = InceptionScore().measure(given).values
    generated, first = given.generated(scored).kept, given.halves(scored)[0].kept
    splits = split_scores(generated[:, :3])
    assert found.name == "inception_score"
    assert found.value == pytest.approx(splits.mean().item(), rel=1e-6)
    assert found.protocol["deviation"] == pytest.approx(splits.std(correction=0).item(), rel=1e-6)
    assert found.error == pytest.approx(splits.std().item() / math.sqrt(10), rel=1e-6)
    real = split_scores(first[:200, :3]).mean().item()  # 150 are in a half
    assert found.baseline == pytest.approx(real, rel=1e-6)
    assert "of 150 real samples" in str(found.protocol["floor"])
    (fewer,) = InceptionScore().measure(subject(scored, samples=50)).values
    assert fewer.baseline == pytest.approx(split_scores(first[:50, :3]).mean().item(), rel=1e-6)


def test_without_class_probabilities_there_is_no_inception_score(monkeypatch) -> None:
    bare = Named()
    bare.classes = 0
    with pytest.raises(DataError, match="gives no class probabilities"):
        InceptionScore().measure(subject(bare))
    assert "at least 10 samples" in InceptionScore().unfit(subject(samples=9))
    monkeypatch.setattr(measures, "without_last_layer", lambda path: f"{path} lacks it")
    assert InceptionScore().unfit(subject(inception="x.pth")) == "x.pth lacks it"


def test_the_baseline_of_classes_is_of_as_many_samples_as_were_generated(monkeypatch) -> None:
    """Few samples of ten even classes are further from even shares than many."""
    given = subject(Named())
    features = given.reference(Named())
    half = replace(features, count=30_000, histogram=torch.full((10,), 3_000))
    monkeypatch.setattr(type(given), "generated", lambda *_: half)
    monkeypatch.setattr(type(given), "reference", lambda *_: half)
    monkeypatch.setattr(type(given), "halves", lambda *_: (half, half))
    monkeypatch.setattr(measures, "bars", lambda *_: None)
    found = {}
    for samples in (1_000, 10_000, 100_000):
        given.options = replace(given.options, samples=samples)
        figures, _ = measures._classes(given, Named())
        found[samples] = figures[2].baseline
        assert figures[2].protocol["floor"] == f"of {min(samples, 30_000):,} real samples"
        assert figures[0].baseline == 0
    # Half the mean deviation of ten shares: 5 sqrt(2 * .1 * .9 / (pi n)).
    assert found[1_000] == pytest.approx(5 * math.sqrt(0.18 / math.pi / 1_000), rel=0.5)
    assert 0 < found[10_000] < found[1_000] / 2
    assert found[100_000] == 0
