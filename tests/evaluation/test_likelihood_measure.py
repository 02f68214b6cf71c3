"""How probable real samples are: means, errors, baselines and what is said of them."""

from __future__ import annotations

import math

import pytest
import torch
from painting import SPEC, Painter, subject
from torch import Tensor

from gan_cli.data.toy import Gaussian1D
from gan_cli.evaluation.measures.likelihood import Likelihood
from gan_cli.evaluation.trained_model import NotFiniteError
from gan_cli.model import Batch
from gan_cli.priors import Gaussian

LINE = Gaussian1D(points=5000)
NODE = {"_target_": "gan_cli.data.toy.Gaussian1D"}


class Knowing(Painter):
    """Says what a function of samples says, with some noise that is drawn."""

    def __init__(self, say, spec=SPEC, of: str = "", noise: float = 0.0) -> None:
        super().__init__(conditional=False)
        self.say, self.data, self.density_of, self.noise = say, spec, of, noise
        self.asked: list[int] = []

    def likelihood(self, batch: Batch, samples: int) -> dict[str, Tensor]:
        self.asked.append(samples)
        drawn = self.noise * torch.randn(len(batch))
        return {name: value + drawn for name, value in self.say(batch.real).items()}


def figures(model, measure: Likelihood | None = None, **more) -> dict:
    found = (measure or Likelihood()).measure(subject(model=model, **more))
    return {figure.name: figure for figure in found.values}


def test_the_truth_is_at_its_baseline() -> None:
    """The mean of log p is minus the entropy; a shift by half a deviation costs 1/8."""
    exact = Knowing(lambda x: {"log_likelihood": LINE.log_density(x)}, LINE.spec)
    found = figures(exact, node=NODE, known=LINE)["log_likelihood"]
    assert found.value == pytest.approx(found.baseline)
    entropy = math.log(0.5 * math.sqrt(2 * math.pi * math.e))
    assert found.error == pytest.approx(math.sqrt(0.5 / 1000), rel=0.15)
    assert found.value == pytest.approx(-entropy, abs=4 * found.error)
    assert (found.protocol["samples"], found.protocol["unit"]) == (1000, "nats")
    shifted = Knowing(lambda x: {"log_likelihood": LINE.log_density(x + 0.25)}, LINE.spec)
    lost = found.value - figures(shifted, node=NODE, known=LINE)["log_likelihood"].value
    assert lost == pytest.approx(0.125, abs=0.07)


def test_bounds_say_how_many_samples_they_are_of() -> None:
    model = Knowing(lambda x: {"elbo": -x.sum((1, 2, 3)), "iwae": 1 - x.sum((1, 2, 3))})
    found = figures(model, Likelihood(importance=7, samples=50))
    assert list(found) == ["elbo", "iwae_7"]
    assert found["iwae_7"].value == pytest.approx(found["elbo"].value + 1)
    assert found["iwae_7"].protocol["importance_samples"] == 7
    assert found["iwae_7"].protocol["samples"] == 50
    assert set(model.asked) == {7}
    assert "no probability of an image of 8 bits" in found["elbo"].note


def test_pixels_also_have_bits() -> None:
    model = Knowing(lambda x: {"elbo": -11.0 + 0 * x.sum((1, 2, 3))}, of="binarised pixels")
    found = figures(model)
    assert found["elbo"].note == "of binarised pixels"
    assert found["bits_per_dimension"].value == pytest.approx(11 / math.log(2) / 16)


def test_what_is_drawn_depends_on_the_seed_alone() -> None:
    model = Knowing(lambda x: {"elbo": x.sum((1, 2, 3))}, noise=1.0)
    values = []
    for seed, batch_size in ((0, 256), (0, 3), (1, 256)):
        torch.rand(3)
        values.append(figures(model, seed=seed, batch_size=batch_size)["elbo"].value)
    assert values[0] == values[1] != values[2]


def test_who_it_is_for() -> None:
    assert "has no likelihood" in Likelihood().unfit(subject())
    exact = Knowing(lambda x: {"log_likelihood": x.sum((1, 2, 3))})
    many = Likelihood(5000, None, dear=True)
    assert Likelihood().unfit(subject(model=exact)) == ""
    assert "is exact" in many.unfit(subject(model=exact))
    assert many.unfit(subject(model=Knowing(lambda x: {"iwae": x.sum((1, 2, 3))}))) == ""


def test_what_is_not_finite_is_refused() -> None:
    model = Knowing(lambda x: {"elbo": x.sum((1, 2, 3)) / 0})
    model.prior = Gaussian(3)
    with pytest.raises(NotFiniteError, match="elbo at step 7 is not finite"):
        figures(model)
