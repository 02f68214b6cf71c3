"""What codes leave in samples, by a model whose codes can be read exactly."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from painting import SPEC, Painter, Pictures, subject
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, OneHotCategorical
from torch.nn.functional import one_hot

from gan_cli.evaluation.measures.infogan import InfoGANFigures
from gan_cli.evaluation.metric import MetricValue
from gan_cli.evaluation.trained_model import TrainedModel
from gan_cli.priors import Categorical, Gaussian, Product, Uniform

SURE = 50.0  # logit of the category that is read
DEVIATION = 0.01


LEVELS = torch.tensor([40.0, 120, 200]) / 127.5 - 1  # of brightness, by class of `Pictures`


class Teller(Painter):
    """Paints its category as brightness, and two codes as pixels, the second at half strength.

    Args:
        order: the class whose brightness each category has.
        deaf: whether it reads the category alone, and knows nothing of it.
    """

    def __init__(self, order: tuple[int, ...] = (0, 1, 2), deaf: bool = False) -> None:
        super().__init__(conditional=False)
        self.order, self.deaf = torch.tensor(order), deaf
        self.prior = Product(noise=Gaussian(1), category=Categorical(3), codes=Uniform(2))

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        parts = self.prior.split(z)
        level = LEVELS[self.order][parts["category"].argmax(1)]
        images = level.view(-1, 1, 1, 1).repeat(1, 1, 4, 4)
        images[:, 0, 0, :2] = parts["codes"] * torch.tensor([1, 0.5])
        return images

    def recognise(self, x: Tensor) -> dict[str, Distribution]:
        if self.deaf:
            return {"category": OneHotCategorical(logits=torch.zeros(len(x), 3))}
        bright = x[:, 0, 2:].mean((1, 2))
        category = (bright[:, None] - LEVELS[self.order]).abs().argmin(1)
        codes = x[:, 0, 0, :2] * torch.tensor([1, 2])
        return {
            "category": OneHotCategorical(logits=SURE * one_hot(category, 3).float()),
            "codes": Independent(Normal(codes, torch.full_like(codes, DEVIATION)), 1),
        }


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path))


def given(model: Painter, **options) -> TrainedModel:
    made = subject(model=model, **options)
    made.truth._sets["test"] = Pictures("test")
    return made


def figures_of(model: Painter, **options) -> dict[str, MetricValue]:
    return {f.name: f for f in InfoGANFigures().measure(given(model, **options)).values}


def test_codes_that_are_read_exactly() -> None:
    found = figures_of(Teller())
    codes = 2 * (math.log(2) - math.log(DEVIATION * math.sqrt(2 * math.pi)))
    assert found["information_category"].value == pytest.approx(math.log(3), abs=1e-5)
    assert found["information_codes"].value == pytest.approx(codes, rel=1e-4)
    assert found["information"].value == pytest.approx(math.log(3) + codes, rel=1e-4)
    assert found["information"].error == pytest.approx(0, abs=1e-4)
    assert found["codes_1_correlation"].value == pytest.approx(1, abs=1e-4)
    assert found["category_accuracy"].value == 1
    assert found["category_nmi"].value == pytest.approx(1)
    assert found["category_accuracy"].protocol["naming"] == "0, 1, 2"
    assert found["category_accuracy"].protocol["samples"] == 300


def test_an_effect_is_relative_to_the_distance_of_random_samples() -> None:
    found = figures_of(Teller())
    first, second = (found[f"codes_{i}_effect"].value for i in (1, 2))
    assert first == pytest.approx(2 * second)  # the second is painted at half the strength
    # Of 14 pixels at 3 levels, a third of pairs is alike but for the codes: about 2.4 on average.
    assert 2 / first == pytest.approx(2.4, abs=0.3)


def test_categories_named_otherwise_are_matched() -> None:
    found = figures_of(Teller(order=(2, 0, 1)))
    assert found["category_accuracy"].value == 1
    assert found["category_accuracy"].protocol["naming"] == "2, 0, 1"
    assert found["category_nmi"].value == pytest.approx(1)


def test_a_reader_that_says_nothing() -> None:
    found = figures_of(Teller(deaf=True))
    assert found["information_category"].value == pytest.approx(0, abs=1e-6)
    assert found["category_accuracy"].value == pytest.approx(1 / 3)
    assert found["category_nmi"].value == 0


def test_without_labels_there_is_no_accuracy() -> None:
    data = Pictures()
    data.targets = None
    made = subject(model=Teller(), known=data)
    made.truth._sets["test"] = data
    names = {figure.name for figure in InfoGANFigures().measure(made).values}
    assert "category_accuracy" not in names
    assert "information_category" in names


class Mixed(Teller):
    """Reads codes through batch norm whose running statistics are of anything but its samples."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, affine=False)
        assert self.norm.running_mean is not None
        self.norm.running_mean.fill_(7)
        x = self.generate(self.prior.sample(4000))
        self.mean, self.deviation = x.mean(), x.var().add(self.norm.eps).sqrt()

    def recognise(self, x: Tensor) -> dict[str, Distribution]:
        return super().recognise(self.norm(x) * self.deviation + self.mean)


def test_batch_norm_knows_what_it_reads() -> None:
    model = Mixed()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = figures_of(model)
    assert found["information_category"].value == pytest.approx(math.log(3), abs=1e-3)
    assert found["category_accuracy"].value > 0.95
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("batch", [1, 1000])
def test_figures_do_not_depend_on_the_batch_size(batch: int) -> None:
    usual, other = (
        figures_of(Teller(), samples=100),
        figures_of(Teller(), batch_size=batch, samples=100),
    )
    assert {n: f.value for n, f in usual.items()} == {n: f.value for n, f in other.items()}


def test_it_says_why_not() -> None:
    assert "hold no codes" in InfoGANFigures().unfit(subject())
    silent = Painter()
    silent.data = replace(SPEC)
    silent.prior = Product(a=Gaussian(1), b=Gaussian(2))  # type: ignore[assignment]
    assert "does not infer codes" in InfoGANFigures().unfit(subject(model=silent))
    assert InfoGANFigures().unfit(given(Teller())) == ""
