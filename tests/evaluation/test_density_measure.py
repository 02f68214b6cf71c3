from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from painting import subject
from pretending import Pretender
from torch import Tensor
from torch.distributions import Normal

from gan_cli.data.toy import Gaussian1D, Ring
from gan_cli.evaluation.measures.toy import Density
from gan_cli.metrics.modes import distances, nodes_of
from gan_cli.model import Batch

LINE, RING = Gaussian1D(points=100), Ring(points=100)


class Knowing(Pretender):
    """Says that its density is a Gaussian's."""

    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__(LINE, lambda z, _: z, latents=1)
        self.law = Normal(mean, deviation)

    def likelihood(self, batch: Batch, samples: int) -> Mapping[str, Tensor]:
        return {"log_likelihood": self.law.log_prob(batch.real[:, 0])}


def judged(model: Pretender, data: str = "Gaussian1D") -> dict[str, float]:
    known = LINE if data == "Gaussian1D" else RING
    some = subject(model=model, node={"_target_": f"gan_cli.data.toy.{data}"}, known=known)
    assert Density().unfit(some) == ""
    return {figure.name: figure.value for figure in Density().measure(some).values}


def test_of_two_gaussians_by_their_closed_forms() -> None:
    """The truth is N(4, .5): a shift of one deviation has TV erf(1 / sqrt 8) and KL 1 / 2."""
    found = judged(Knowing(4.5, 0.5))
    assert found["density_total_variation"] == pytest.approx(math.erf(1 / math.sqrt(8)), abs=1e-4)
    assert found["density_kl"] == pytest.approx(0.5, abs=1e-5)
    wider = judged(Knowing(4.0, 1.0))
    assert wider["density_kl"] == pytest.approx(math.log(2) - 3 / 8, abs=1e-5)
    assert judged(Knowing(4.0, 0.5))["density_total_variation"] == pytest.approx(0, abs=1e-6)


def test_the_nodes_of_a_plane_give_moments() -> None:
    nodes = nodes_of(RING.modes, 0.3)
    assert nodes.weights.sum().item() == pytest.approx(1)
    squares = (nodes.weights * nodes.points.square().sum(1)).sum().item()
    assert squares == pytest.approx(1 + 2 * 0.3**2, abs=1e-6)


def test_where_a_model_has_no_mass_the_divergence_is_left_out() -> None:
    log_p, log_q = torch.zeros(2), torch.tensor([math.log(2), -math.inf])
    found = distances(log_p, log_q, torch.tensor([0.5, 0.5]))
    assert found.total_variation == pytest.approx(0.5)
    assert found.forward_kl == math.inf


def test_what_it_says_nothing_of() -> None:
    node = {"_target_": "gan_cli.data.toy.Gaussian1D"}
    plain = subject(model=Pretender(LINE, lambda z, _: z, latents=1), node=node, known=LINE)
    assert Density().unfit(plain) == "this model has no known density"
