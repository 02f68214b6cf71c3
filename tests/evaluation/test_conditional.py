"""Whether classes come as they are asked for, by fakes whose answers are known."""

from __future__ import annotations

import math

import pytest
import torch
from painting import Painter, Pictures, Random, subject
from torch import Tensor

from gan_cli.evaluation.classifier import Classifier
from gan_cli.evaluation.classifier_training import ClassifierNetwork, Recipe
from gan_cli.evaluation.measures import conditional as measures
from gan_cli.evaluation.measures.conditional import Conditional, error_of, expected_error, pixels
from gan_cli.evaluation.measures.gan_train import GANTrain
from gan_cli.evaluation.metric import MetricValue, SampleBatch
from gan_cli.evaluation.trained_model import TrainedModel


class Copier(Painter):
    """Draws bright images of the class asked for, or of another."""

    def __init__(self, wrong: bool = False) -> None:
        super().__init__()
        self.wrong = wrong

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        y = (y + 1) % 3 if self.wrong else y
        level = torch.tensor([40.0, 120, 200])[y] / 127.5 - 1
        return level.view(-1, 1, 1, 1) + 0.1 * z[:, :1, None, None].clamp(-1, 1).expand(-1, 1, 4, 4)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path))


def given(wrong: bool = False, **options) -> TrainedModel:
    made = subject(model=Copier(wrong), **options)
    made.truth._sets["test"] = Pictures("test")  # another part, of other noise
    return made


def figures_of(some: TrainedModel) -> dict[str, MetricValue]:
    return {figure.name: figure for figure in Conditional().measure(some).values}


def test_a_model_that_obeys() -> None:
    found = figures_of(given())
    assert set(found) == {"gan_test", "nn_error", "nn_error_random", "nn_error_shuffled"}
    assert found["gan_test"].value == 1
    assert found["nn_error"].value == 0
    assert found["nn_error"].baseline == 0
    control = found["nn_error_shuffled"]
    assert control.error is not None
    # The three classes are as blocks to the examples, so the deviation is one of 200 labels.
    assert control.value == pytest.approx(2 / 3, abs=0.15)
    assert control.protocol["chance"] == pytest.approx(2 / 3, abs=1e-3)


def test_a_model_that_makes_other_classes() -> None:
    found = figures_of(given(wrong=True))
    assert found["gan_test"].value == 0
    assert found["nn_error"].value == found["nn_error_random"].value == 1
    assert found["nn_error"].baseline == 0
    assert found["gan_test"].baseline == given().reference(Random()).hits / 300  # type: ignore[operator]


def test_gan_test_counts_samples_and_knows_its_error() -> None:
    half = given()
    features = half.generated(Random())
    features.hits = 50
    figure = measures.gan_test(half, Random())
    assert figure.value == 0.25
    assert figure.error == pytest.approx(math.sqrt(0.25 * 0.75 / 200))


def test_gan_tests_baseline_is_the_test_accuracy() -> None:
    judge = Classifier(ClassifierNetwork((1, 4, 4), 3).eval(), 0.875)
    figure = measures.gan_test(given(), judge)
    assert figure.baseline == 0.875


def test_as_many_real_examples_as_generated_ones() -> None:
    found = figures_of(given(samples=60))["nn_error"]
    assert found.protocol["samples"] == 60
    assert found.protocol["queries"] == 300
    assert "60 real" in str(found.protocol["floor"])


def test_without_a_test_part_queries_are_no_examples(monkeypatch) -> None:
    whole = given()
    monkeypatch.setattr(type(whole), "has_test", False)
    monkeypatch.setattr(type(whole.truth), "part", lambda *_: Pictures())
    queries, examples = measures._real(whole)
    assert len(queries.images) == len(examples.images) == 150
    both = torch.cat([queries.images, examples.images]).flatten(1)
    assert len({tuple(row) for row in both.tolist()}) == 300


def test_errors_by_hand() -> None:
    assert error_of(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 1, 1])) == 0.5
    even = torch.arange(10)
    assert expected_error(even, even) == pytest.approx(0.9)
    assert expected_error(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 2])) == pytest.approx(0.625)


def test_large_images_are_shrunk_by_their_means() -> None:
    image = torch.arange(64, dtype=torch.uint8).repeat_interleave(64).view(1, 1, 64, 64)
    found = pixels(image)
    assert found.shape == (1, 1, 32, 32)
    assert found[0, 0, :, 0].tolist() == [2 * row + 0.5 for row in range(32)]
    assert torch.equal(pixels(image[..., :32, :32]), image[..., :32, :32].float())


def test_what_can_be_learned_from_samples() -> None:
    recipe = Recipe(images=300, batch=15)
    (right,) = GANTrain(recipe).measure(given(samples=90)).values
    assert right.baseline is not None
    assert min(right.value, right.baseline) > 0.8
    assert right.protocol["test_samples"] == 300
    (wrong,) = GANTrain(recipe).measure(given(wrong=True, samples=90)).values
    assert wrong.value < 0.2
    assert wrong.baseline == right.baseline


def test_samples_are_learned_from_as_asked_for(monkeypatch) -> None:
    some = given()
    pieces = [
        SampleBatch(torch.full((2, 1, 4, 4), -1.0), torch.tensor([0, 1])),
        SampleBatch(torch.full((1, 1, 4, 4), 1.0), torch.tensor([2])),
    ]
    monkeypatch.setattr(type(some), "draw", lambda *_: iter(pieces))
    from gan_cli.evaluation.measures import gan_train

    images, labels = gan_train._made(some, 3)
    assert images[:, 0, 0, 0].tolist() == [0, 0, 255]
    assert labels.tolist() == [0, 1, 2]


def test_they_say_why_not(monkeypatch) -> None:
    free = subject(model=Painter(conditional=False))
    assert "not conditional" in Conditional().unfit(free)
    assert "not conditional" in GANTrain().unfit(free)
    assert Conditional().unfit(given()) == GANTrain().unfit(given()) == ""
    monkeypatch.setattr(TrainedModel, "has_test", False)
    assert "no test split" in GANTrain().unfit(given())
    assert GANTrain.dear
