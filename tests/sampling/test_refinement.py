"""Refined samples: calibration, rejection and Langevin dynamics where the truth is known."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gan_cli.commands import sample, train
from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec, Model, Phase
from gan_cli.priors import Categorical, Gaussian, Prior, Product, Uniform
from gan_cli.sampling.refinement import (
    LogRatio,
    fitted,
    hardness,
    langevin,
    movable,
    refined,
    scores,
)
from gan_cli.sampling.samples import SampleRequest

MEAN, DEVIATION = 1.0, 0.5  # of the data; the model generates N(0, 1)


class Line(Model):
    """Generates its latents, with the exact log-ratio of the data's density as its score."""

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.data, self.prior = DataSpec("line", (prior.dim,), 10), prior
        self.register_parameter("unused", torch.nn.Parameter(torch.zeros(1)))

    def phases(self) -> list[Phase]:
        return []

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.prior.sample(n)

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return z

    def score(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        data = -((x - MEAN) / DEVIATION).square().sum(1) / 2 - x.shape[1] * math.log(DEVIATION)
        return data + x.square().sum(1) / 2


def exact(prior: Prior | None = None) -> LogRatio:
    return LogRatio(Line(prior or Gaussian(1)), 1.0, 0.0, 0.5)


def test_the_line_is_that_of_two_normals() -> None:
    generator = torch.Generator().manual_seed(0)
    n = 20_000
    real = 1 + torch.randn(n, generator=generator).double()
    fake = torch.randn(n, generator=generator).double()
    found = fitted(Line(Gaussian(1)), 3 * real + 5, 3 * fake + 5)
    # log N(s; 1, 1) / N(s; 0, 1) = s - 1/2, and the output is 3 s + 5.
    assert found.slope == pytest.approx(1 / 3, rel=0.05)
    assert found.offset == pytest.approx(-5 / 3 - 0.5, abs=0.1)
    assert found.accuracy == pytest.approx(0.5 * (1 + math.erf(0.5)), abs=0.01)


def test_a_discriminator_that_prefers_fakes_is_refused() -> None:
    up = torch.linspace(0, 1, 50).double()
    with pytest.raises(ConfigError, match=r"scores generated samples above real ones .AUC 0\.0"):
        fitted(Line(Gaussian(1)), up, up + 2)


def test_models_without_a_discriminator_are_refused() -> None:
    class Mute(Line):
        score = None  # type: ignore[assignment]

    with pytest.raises(ConfigError, match="Mute has no discriminator"):
        scores(Mute(Gaussian(1)), torch.zeros(2, 1))


def test_without_gamma_the_chance_is_the_density_ratio() -> None:
    d = torch.tensor([-3.0, -1.0, -0.2]).double()
    largest = torch.tensor(0.5).double()
    assert torch.allclose(hardness(d, largest).sigmoid(), (d - largest).exp())


def test_rejection_moves_samples_to_the_data_and_never_depends_on_their_number() -> None:
    ratio, wish = exact(), SampleRequest(3)
    z = refined(ratio, 400, wish, "drs")
    assert torch.equal(z[:100], refined(ratio, 100, wish, "drs"))
    # Where gamma is positive more is accepted than the ratio asks for, so between the two.
    assert MEAN / 2 < z.mean().item() < MEAN + 0.1
    assert DEVIATION - 0.1 < z.std().item() < 0.8


def test_langevin_samples_the_data_s_density() -> None:
    ratio, wish = exact(Gaussian(2)), SampleRequest(1)
    z = torch.cat([langevin(ratio, wish, number, 300, size=0.1) for number in range(8)])
    error = DEVIATION / math.sqrt(z.numel())
    assert z.mean().item() == pytest.approx(MEAN, abs=4 * error)
    assert z.std().item() == pytest.approx(DEVIATION, abs=4 * error)
    assert torch.equal(z[:64], langevin(ratio, wish, 0, 300, size=0.1))


def test_langevin_stays_where_the_prior_has_mass() -> None:
    z = langevin(exact(Uniform(2, -0.5, 0.5)), SampleRequest(), 0, 100, size=0.5)
    assert z.abs().max() <= 0.5
    assert z.mean() > 0.1  # uphill


def test_categories_do_not_move() -> None:
    prior = Product(category=Categorical(3), noise=Gaussian(2))
    assert movable(prior).tolist() == [0, 0, 0, 1, 1]
    z = langevin(exact(prior), SampleRequest(), 0, 5)
    assert torch.equal(z[:, :3].sum(1), torch.ones(64))
    assert set(z[:, :3].flatten().tolist()) == {0.0, 1.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "cgan"
    words = ["model=cgan", "data.split=test", "network.width=4", "runtime.precision=fp32"]
    words += ["steps=2", "sample_every=0", "batch_size=4", f"run.dir={place}"]
    assert train.run(words) == 0
    return place


def drawn(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        sample.main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.slow
def test_gan_sample_refines(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("--device", "cpu", "-n", 20, "--grid", "--out")
    for name, more in (("plain", ()), ("drs", ("drs",)), ("ddls", ("ddls", "--refine-steps", 2))):
        refine = ("--refine", *more) if more else ()
        assert drawn(folder, *options, tmp_path / f"{name}.png", *refine) == 0
    said = capfd.readouterr().err
    assert "the discriminator puts real above generated samples in" in said
    assert "accepted" in said
    pictures = {path.stem: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert len(set(pictures.values())) == 3
    assert drawn(folder, *options, tmp_path / "again.png", "--refine", "drs") == 0
    assert (tmp_path / "again.png").read_bytes() == pictures["drs"]


def test_what_refinement_cannot_do(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert drawn(folder, "--refine", "drs", "--truncation", "1") == 2
    assert "--refine drs: chooses latents of its own; omit --z" in capfd.readouterr().err
