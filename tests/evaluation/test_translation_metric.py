"""Translations beside their targets, on errors that are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from painting import Painter, subject
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.evaluation.measures.translation import Translation
from gan_cli.evaluation.trained_model import TrainedModel
from gan_cli.model import DataSpec

SPEC = DataSpec("pairs", (1, 12, 14), 60, source=(1, 12, 14))


class Inputs(Dataset):
    """Noise, whose inputs are its targets at half the contrast."""

    def __init__(self) -> None:
        images = torch.randint(0, 256, (60, 1, 12, 14), generator=torch.Generator().manual_seed(0))
        super().__init__("pairs", images.to(torch.uint8))

    def source(self, index: Tensor) -> Tensor:
        return self.real(index) / 2


class Translator(Painter):
    """Restores the contrast, and adds an error."""

    def __init__(self, scale: float = 2.0, error: float = 0.0) -> None:
        super().__init__(conditional=False)
        self.data, self.scale, self.error = SPEC, scale, error

    def translate(self, source: Tensor, backwards: bool = False) -> Tensor:
        return self.scale * source + self.error


def of(model: Painter) -> TrainedModel:
    return subject(model=model, node={"_target_": "gan_cli.data.toy.Ring"}, known=Inputs())


def values(model: Painter) -> dict[str, float]:
    assert Translation().unfit(of(model)) == ""
    return {f.name: f.value for f in Translation().measure(of(model)).values}


def test_a_constant_error_and_half_the_contrast() -> None:
    found = values(Translator(error=0.2))
    assert found["psnr"] == pytest.approx(20, abs=1e-4)
    assert found["sharpness"] == pytest.approx(1, abs=1e-5)
    assert 0.8 < found["ssim"] < 1
    assert values(Translator(scale=1.0))["sharpness"] == pytest.approx(0.5, abs=1e-5)


def test_the_targets_themselves() -> None:
    found = values(Translator())
    assert (found["psnr"], found["ssim"]) == (float("inf"), pytest.approx(1))


def test_what_it_does_not_apply_to() -> None:
    assert Translation().unfit(subject()) == "the model does not translate"
    unpaired = Translator()
    unpaired.data = replace(SPEC, paired=False)
    assert "not paired" in Translation().unfit(of(unpaired))
