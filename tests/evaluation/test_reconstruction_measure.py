from __future__ import annotations

import pytest
import torch
from painting import SPEC, Painter, Pictures, subject
from torch import Tensor

from gan_cli.evaluation.measures.reconstruction import Reconstruction
from gan_cli.metrics.diversity import components
from gan_cli.model import Batch


class Copyist(Painter):
    """Gives each image back with `error` added; as one with a table, only in its place."""

    def __init__(self, error: float, by_place: bool = False) -> None:
        super().__init__()
        self.error, self.by_place, self.data = error, by_place, SPEC
        self.known = Pictures("train")

    def reconstruct(self, batch: Batch) -> Tensor | None:
        original = self.known.real(batch.index) if self.by_place else batch.real
        return original + self.error


def figures(model: Painter) -> dict[str, float]:
    some = subject(model=model, node={"_target_": "gan_cli.data.mnist.MNIST"})
    some.truth._sets["test"] = Pictures("test")
    assert Reconstruction().unfit(some) == ""
    return {figure.name: figure.value for figure in Reconstruction().measure(some).values}


def test_the_error_of_every_pixel_beside_that_of_pca() -> None:
    found = figures(Copyist(0.3))
    assert found["reconstruction"] == pytest.approx(0.09, abs=1e-6)
    assert found["reconstruction_test"] == pytest.approx(0.09, abs=1e-6)
    images = Pictures().real(torch.arange(300)).flatten(1).double()
    values = torch.linalg.svdvals(images - images.mean(0))
    left = values[3:].square().sum().item() / images.numel()  # the painter's prior has 3 dimensions
    assert found["reconstruction_pca"] == pytest.approx(left, rel=1e-6)
    # The linear code that is judged on test images has seen training images alone.
    assert found["reconstruction_test_pca"] > 0.9 * left


def test_a_model_with_a_table_knows_training_images_alone() -> None:
    found = figures(Copyist(0.1, by_place=True))
    assert found["reconstruction"] == pytest.approx(0.01, abs=1e-6)
    assert set(found) == {"reconstruction", "reconstruction_pca"}


def test_what_it_says_nothing_of() -> None:
    assert Reconstruction().unfit(subject(model=Painter())) == "the model does not reconstruct"


def test_components_that_hold_everything() -> None:
    x = torch.randn(20, 5, dtype=torch.float64)
    torch.testing.assert_close(components(x, 5).reconstruct(x), x)
    torch.testing.assert_close(components(x, 0).reconstruct(x), x.mean(0).expand(20, 5))
