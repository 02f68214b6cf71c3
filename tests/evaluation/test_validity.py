"""Shares of valid structures, of models of which they are known."""

from __future__ import annotations

import pytest
import torch
from painting import Painter, subject
from torch import Tensor

from gan_cli.data.paths import Paths
from gan_cli.evaluation.measures.validity import Validity
from gan_cli.evaluation.metric import MetricValue
from gan_cli.evaluation.trained_model import TrainedModel

PATHS = Paths("test", side=8, ends=2)
NODE = {"_target_": "gan_cli.data.paths.Paths", "side": 8, "ends": 2}


class Proposer(Painter):
    """Returns the same path for every input or class."""

    def __init__(self, conditional: bool, place: int = 0) -> None:
        super().__init__(conditional)
        self.data, self.proposed = PATHS.spec, PATHS.real(torch.tensor([place]))[0]

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.proposed.expand(len(z), -1, -1, -1)


class Translator(Proposer):
    """Returns it for every input, `scale` times as bright; with `blank`, only at its ends."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__(conditional=False)
        self.scale = scale

    def translate(self, source: Tensor, backwards: bool = False) -> Tensor:
        return self.scale * self.proposed.expand(len(source), -1, -1, -1)


def of(model: Painter) -> TrainedModel:
    found = subject(model=model, node=NODE, known=PATHS, samples=1000)
    found.truth._sets["test"] = PATHS
    return found


def values(model: Painter) -> dict[str, MetricValue]:
    assert Validity().unfit(of(model)) == ""
    return {f.name: f for f in Validity().measure(of(model)).values}


def test_one_path_for_all_is_valid_where_its_ends_are_asked_for() -> None:
    labels = PATHS.labels(torch.arange(5000))
    assert labels is not None
    share = (labels == labels[0]).double().mean().item()
    for model in (Translator(), Proposer(conditional=True)):
        found = values(model)
        assert found["validity"].value == pytest.approx(share, abs=0.05)
        assert found["validity"].protocol["ends"] == "those of the input or class"
        assert found["validity_distinct"].value == 0.001
        assert found["validity_grey"].value == 0


def test_without_a_condition_any_ends_will_do() -> None:
    found = values(Proposer(conditional=False))
    assert (found["validity"].value, found["validity"].error) == (1, 0)
    assert found["validity"].protocol["ends"] == "any"


def test_real_paths_are_the_baseline() -> None:
    found = values(Translator(scale=0.25))
    assert found["validity"].baseline == 1
    baseline = found["validity_distinct"].baseline
    assert baseline is not None
    assert 0.5 < baseline < 1
    assert (found["validity_grey"].value, found["validity_grey"].baseline) == (0.75, 0)


def test_what_it_does_not_apply_to() -> None:
    assert Validity().unfit(subject()) == "the data has no rule of validity"
