import math

import pytest
import torch
from painting import subject
from pretending import Pretender
from torch import Tensor

from gan_cli.data.toy import Gaussian1D, Ring
from gan_cli.evaluation.measures.modes import Modes

RING = Ring(points=5000)
NODE = {"_target_": "gan_cli.data.toy.Ring"}


def figures(decode, conditional: bool = False) -> dict:
    model = Pretender(RING, decode, conditional=conditional)
    found = Modes().measure(subject(model=model, node=NODE, known=RING))
    return {figure.name: figure for figure in found.values}


def truth(z: Tensor, y: Tensor | None) -> Tensor:
    """Exact draws: two latents choose the mode, two are the noise."""
    turns = torch.atan2(z[:, 0], z[:, 1]) / (2 * math.pi) % 1
    chosen = (turns * 8).long().clamp(max=7) if y is None else y
    return RING.modes[chosen] + RING.deviation * z[:, 2:]


def test_a_perfect_sampler_has_all_modes_and_its_share() -> None:
    found = figures(truth)
    assert found["modes_captured"].value == found["modes_captured"].baseline == 8
    share = found["high_quality_share"]
    assert share.value == pytest.approx(0.9889, abs=4 * share.error)
    assert share.baseline == pytest.approx(0.9889, abs=4 * share.error)
    assert "98.89 %" in share.note
    assert found["modes_reverse_kl"].value < 0.006  # 7 / 5000 on average
    assert share.protocol["samples"] == 2500


def test_one_mode_alone() -> None:
    found = figures(lambda z, _: RING.modes[:1] + RING.deviation * z[:, 2:])
    assert found["modes_captured"].value == 1
    assert found["modes_reverse_kl"].value == pytest.approx(math.log(8))


def test_nowhere_near_a_mode() -> None:
    found = figures(lambda z, _: z[:, 2:] * 0)
    assert found["modes_captured"].value == found["high_quality_share"].value == 0
    assert found["modes_reverse_kl"].value == pytest.approx(math.log(8))
    assert "no sample" in found["modes_reverse_kl"].note


def test_of_a_conditional_model_it_says_that_modes_were_asked_for() -> None:
    assert "requested" in figures(truth, conditional=True)["modes_captured"].note


def test_what_it_says_nothing_of() -> None:
    line = Gaussian1D(points=10)
    node = {"_target_": "gan_cli.data.toy.Gaussian1D"}
    one = subject(model=Pretender(line, truth), node=node, known=line)
    assert Modes().unfit(one) == "the data has one mode only"
    assert "images" in Modes().unfit(subject())
    assert Modes().unfit(subject(model=Pretender(RING, truth), node=NODE, known=RING)) == ""
