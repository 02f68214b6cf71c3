"""Mixtures of Gaussians in training: what they find, by EM and by gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from composing import session_of
from playing import advance, check_that_resuming_is_exact
from torch import Tensor

from gan_cli.errors import ConfigError
from gan_cli.metrics.modes import coverage
from gan_cli.model import Fields, Grid, Lines
from gan_cli.models.mixture import Mixture
from gan_cli.training.setup import Session

LINE = ("model=mixture", "data=mixture_1d", "model.components=2", "data.points=4000")


def mixture_of(session: Session) -> Mixture:
    assert isinstance(session.model, Mixture)
    return session.model


def course(session: Session, steps: int) -> list[float]:
    """The log-likelihood at every step."""
    found = []
    for _ in range(steps):
        session.trainer.clear()
        session.trainer.advance()
        found.append(session.trainer.read()["log_likelihood"])
    return found


def components(model: Mixture) -> Tensor:
    """Weight, mean and deviation of each on the line, by rising mean, [K, 3]."""
    gaussians = model.mixture.gaussians
    table = torch.stack(
        [model.mixture.weights, gaussians.means[:, 0], gaussians.log_deviation[:, 0].exp()], dim=1
    ).detach()
    return table[table[:, 1].argsort()]


@pytest.mark.parametrize("covariance", ["diagonal", "full", "low_rank"])
def test_em_on_all_the_data_never_lowers_the_likelihood(covariance: str) -> None:
    session = session_of(
        "model=mixture",
        "data=ring",
        "data.points=300",
        "batch_size=300",
        "data.deviation=0.3",
        "model.components=5",
        "model.rank=1",
        f"model.covariance={covariance}",
    )
    likelihoods = course(session, 25)
    assert np.diff(likelihoods).min() > -1e-5  # which float32 leaves of a mean of numbers near 1
    assert likelihoods[-1] > likelihoods[0] + 0.05


@pytest.mark.parametrize("fit", ["em", "gradient"])
def test_both_fits_end_at_one_optimum(fit: str) -> None:
    """Of 4000 points in two modes 8 deviations apart, as if it were known whose they are."""
    batch = ("batch_size=4000", f"model.fit={fit}", "ema.decay=0")
    session = session_of(
        *LINE, *batch, "optimizer.lr=0.05", "optimizer.schedule=cosine", "steps=200"
    )
    advance(session, 25 if fit == "em" else 200)
    data = session.dataset
    assert data.targets is not None
    for mode, found in enumerate(components(mixture_of(session))):
        own = data.values[data.targets == mode]
        best = [len(own) / 4000, own.mean().item(), own.std(correction=0).item()]
        # Half a point in a thousand lies nearer to the other mode.
        np.testing.assert_allclose(found.numpy(), best, atol=2e-3)


@pytest.mark.parametrize("fit", ["em", "gradient"])
def test_batches_find_the_truth_within_its_standard_error(fit: str) -> None:
    points = ("data.points=40000", "batch_size=400", f"model.fit={fit}")
    session = session_of(
        *LINE, *points, "optimizer.lr=0.03", "optimizer.schedule=linear", "steps=300"
    )
    advance(session, 300)
    with session.trainer.sampling():
        found = components(mixture_of(session)).numpy()
    # Three epochs of 40000 points, of which a mode has half; four standard errors, of the data and
    # as much again of the batches that come last.
    error = 8 * np.array([0.5, 0.5 * math.sqrt(2), 0.5]) / math.sqrt(40000)
    truth = np.array([[0.5, -2, 0.5], [0.5, 2, 0.5]])
    assert (np.abs(found - truth) < error).all(), found


@pytest.mark.parametrize("covariance", ["full", "diagonal", "low_rank"])
def test_eight_components_find_the_ring_s_eight_modes(covariance: str) -> None:
    chosen = (f"model.covariance={covariance}", "model.rank=1", "batch_size=1000")
    session = session_of("model=mixture", "data=ring", "data.points=8000", *chosen)
    advance(session, 20)
    data = session.dataset
    found = coverage(session.model.sample(2000), data.modes, data.deviation)  # type: ignore[attr-defined]
    assert found.captured == 8
    assert found.high_quality > 0.97  # .9889 for the truth, with a standard error of .0023
    density = mixture_of(session).likelihood(session.stream.batch(0), 1)["log_likelihood"]
    truth = data.log_density(session.stream.batch(0).real)
    assert truth is not None
    # A likelihood ratio of k parameters is about k / 2 nats for all 8000 points.
    assert abs((density - truth).mean().item()) < 0.02


@pytest.mark.parametrize(("fit", "covariance"), [("em", "low_rank"), ("gradient", "full")])
def test_resuming_is_exact(fit: str, covariance: str) -> None:
    chosen = (f"model.fit={fit}", f"model.covariance={covariance}", "model.rank=1")
    check_that_resuming_is_exact(5, "model=mixture", "data=ring", "data.points=100", *chosen)


def test_a_gradient_stays_above_the_floor() -> None:
    chosen = ("model.fit=gradient", "model.floor=0.04", "optimizer.lr=0.1", "model.components=4")
    session = session_of("model=mixture", "data=ring", "data.points=4", "batch_size=4", *chosen)
    advance(session, 30)
    lowest = mixture_of(session).mixture.gaussians.log_deviation.min().item()
    assert lowest == pytest.approx(math.log(0.2))


def test_a_component_for_every_point() -> None:
    session = session_of("model=mixture", "data=ring", "data.points=8", "model.components=8")
    advance(session, 5)
    means = mixture_of(session).mixture.gaussians.means
    assert torch.cdist(session.dataset.values, means).min(1).values.max() < 1e-3


def test_what_is_drawn() -> None:
    def views(*overrides: str) -> dict:
        session = session_of("model=mixture", *overrides)
        batch = session.stream.batch(0)
        advance(session, 1)
        with session.trainer.sampling() as model:
            assert isinstance(model, Mixture)
            return dict(model.views(batch, session.dataset.log_density))

    line = views("data=mixture_1d", "batch_size=2000")["theory/density"]
    assert isinstance(line, Lines)
    step = line.x[1] - line.x[0]
    for curve in line.curves.values():
        assert (curve.sum() * step).item() == pytest.approx(1, abs=1e-2)
    assert list(line.curves) == ["data", "mixture"]

    plane = views("data=grid", "batch_size=500")["theory/log_density"]
    assert isinstance(plane, Fields)
    truth, found = plane.values["data"], plane.values["mixture"]
    assert truth.max() - truth.min() == pytest.approx(14, abs=1e-4)
    assert found.shape == truth.shape
    # Most of the grid is empty, and the first row's lattice points are as high as the last one's.
    cells = (truth > truth.min()).nonzero()
    assert 0.01 < len(cells) / truth.numel() < 0.2

    images = views("data.split=test", "model.components=5")
    assert images["samples/components"].images.shape == (6, 1, 28, 28)
    assert images["samples/components"].columns == 3
    assert all(isinstance(view, Grid) for view in images.values())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model.components=0",), "model.components = 0: must be at least 1"),
        (
            ("data=ring", "data.points=100", "model.components=101"),
            "model.components = 101: must not exceed the 100 samples of data=ring",
        ),
        (
            ("model.components=9",),
            "batch_size = 8: Mixture needs at least 9 samples at a time; set batch_size=9",
        ),
        (
            ("model.covariance=tied",),
            "model.covariance = tied: must be full, diagonal or low_rank",
        ),
        (("model.fit=mcmc",), "model.fit = mcmc: must be em or gradient"),
        (
            ("data=ring", "model.covariance=low_rank", "model.rank=2"),
            "model.rank = 2: must be at least 1 and below the 2 dimensions of data=ring",
        ),
        (
            ("model.covariance=low_rank", "model.rank=0"),
            "model.rank = 0: must be at least 1 and below the 784 dimensions of data=mnist",
        ),
        (
            ("data=mixture_1d", "model.covariance=low_rank", "model.rank=1"),
            "model.covariance = low_rank: data=mixture_1d has one dimension; use model.covariance=",
        ),
        (
            ("model.covariance=full", "data.size=[64,64]"),
            "model.covariance = full: 8 tables of 4096 x 4096 numbers are 0.5 GB",
        ),
        (("model.floor=0",), "model.floor = 0: must be at least 1e-12, or float32 is lost"),
        (("model.floor=1e-50",), "model.floor = 1e-50: must be at least 1e-12"),
        (("model.em_rate=0.5",), "model.em_rate = 0.5: must lie above 0.5 and be at most 1"),
        (("model.em_rate=1.1",), "model.em_rate = 1.1: must lie above 0.5 and be at most 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        session_of("model=mixture", *overrides)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
