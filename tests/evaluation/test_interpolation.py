"""Samples midway between latents: how long their latents are, and how good they look."""

from __future__ import annotations

import math

import pytest
import torch
from painting import Painter, Random, subject
from torch import Tensor

from gan_cli.evaluation.measures.interpolation import Interpolation
from gan_cli.evaluation.metric import MetricValue
from gan_cli.evaluation.registry import ASIDE, choose
from gan_cli.evaluation.trained_model import TrainedModel
from gan_cli.priors import Gaussian, Uniform


class Shells(Painter):
    """Draws a class by the first latent's sign, but grey where the latent is unusually short."""

    conditional = False

    def __init__(self, uniform: bool = False) -> None:
        super().__init__()
        self.prior = Uniform(100) if uniform else Gaussian(100)

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        level = torch.where(z[:, 0] > 0, 200.0, 40.0)
        length = z.norm(dim=1) / (10 if isinstance(self.prior, Gaussian) else 10 / math.sqrt(3))
        level = torch.where(length < 0.8, 120.0, level) / 127.5 - 1
        return level.view(-1, 1, 1, 1).expand(-1, 1, 4, 4)


class Sure(Random):
    """Has no doubts."""

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = super().features(images)
        return features, 1000 * logits


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path))


def figures_of(some: TrainedModel) -> dict[str, MetricValue]:
    return {figure.name: figure for figure in Interpolation().measure(some).values}


@pytest.mark.parametrize("uniform", [False, True])
def test_short_latents_midway_are_found_out(uniform: bool) -> None:
    """Two classes at the ends: a score of 2. Midway by lerp all are alike: 1."""
    found = figures_of(subject(Sure(), Shells(uniform)))
    length = 10 / math.sqrt(3) if uniform else 10
    assert found["norm_ends"].value == pytest.approx(length, rel=0.02)
    assert found["norm_midway_lerp"].value == pytest.approx(length / math.sqrt(2), rel=0.02)
    assert found["norm_midway_matched"].value == pytest.approx(length, rel=0.02)
    assert found["score_ends"].value == pytest.approx(2, abs=0.25)
    assert found["score_midway_matched"].value == pytest.approx(2, abs=0.25)
    assert found["score_midway_lerp"].value == pytest.approx(1, abs=0.25)


def test_pictures_of_the_paths() -> None:
    pictures = {p.name: p.image for p in Interpolation().measure(subject(model=Shells())).pictures}
    assert set(pictures) == {"norms", "interpolations"}
    assert pictures["interpolations"].shape[:2] == (12 * 10 + 2, 9 * 10 + 2)


def test_only_by_name() -> None:
    some = subject(model=Shells())
    assert choose("auto", some).unfit["interpolation"] == ASIDE
    assert [measure.name for measure in choose(["interpolation"], some).taken] == ["interpolation"]


def test_a_model_without_latents_has_nothing_between() -> None:
    some = subject(model=Shells())
    some.model.prior = None
    assert "decodes no latents" in Interpolation().unfit(some)
