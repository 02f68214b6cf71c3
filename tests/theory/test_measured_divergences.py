"""A discriminator before a fixed generator: the truth it is held to, and that it gets there."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from composing import session_of
from every import LOSSES
from playing import advance
from scipy.integrate import quad
from scipy.stats import norm, wasserstein_distance
from torch import Tensor

from gan_cli.errors import ConfigError
from gan_cli.losses import (
    AdversarialLoss,
    ForwardKL,
    Hinge,
    JensenShannon,
    LeastSquares,
    Minimax,
    Pearson,
    ReverseKL,
    SquaredHellinger,
    TotalVariation,
)
from gan_cli.model import Fields, HasViews, Lines
from gan_cli.models.divergence import Cells, Divergence, steepest, value
from gan_cli.training.setup import Session

SHAPED = ("model=divergence", "data=gaussian_1d", "data.mean=1", "data.deviation=0.8")


def density_p(x: Any) -> Any:
    return norm.pdf(x, 1.0, 0.8)


def density_q(x: Any) -> Any:
    return norm.pdf(x, 0.0, 1.0)


def integral(function: Callable[[float, float], float]) -> float:
    return quad(lambda x: function(density_p(x), density_q(x)), -9, 9, limit=200)[0]


def kl(p: float, q: float) -> float:
    return p * math.log(p / q) if p > 0 and q > 0 else 0.0


TRUTHS = {
    Minimax: integral(lambda p, q: kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) - math.log(4),
    JensenShannon: integral(lambda p, q: kl(p, (p + q) / 2) + kl(q, (p + q) / 2)),
    TotalVariation: integral(lambda p, q: abs(p - q) / 2),
    # Two Gaussians: log(s2/s1) + (s1^2 + (m1 - m2)^2) / (2 s2^2) - 1/2.
    ForwardKL: math.log(1 / 0.8) + (0.64 + 1) / 2 - 0.5,
    ReverseKL: math.log(0.8) + (1 + 1) / (2 * 0.64) - 0.5,
    Pearson: integral(lambda p, q: (p - q) ** 2 / q),
    # 2 - 2 BC with BC = sqrt(2 s1 s2 / (s1^2 + s2^2)) exp(-(m1 - m2)^2 / (4 (s1^2 + s2^2))).
    SquaredHellinger: 2 - 2 * math.sqrt(1.6 / 1.64) * math.exp(-1 / (4 * 1.64)),
    LeastSquares: -integral(lambda p, q: 0.5 * p * q / (p + q)),
    Hinge: -integral(lambda p, q: 2 * min(p, q)),
}
NAMES = {
    Minimax: "minimax",
    JensenShannon: "f_jensen_shannon",
    TotalVariation: "f_total_variation",
    ForwardKL: "f_forward_kl",
    ReverseKL: "f_reverse_kl",
    Pearson: "f_pearson",
    SquaredHellinger: "f_squared_hellinger",
    LeastSquares: "least_squares",
    Hinge: "hinge",
}


def divergence(*overrides: str) -> tuple[Session, Divergence]:
    session = session_of(*SHAPED, "data.points=20000", *overrides)
    assert isinstance(session.model, Divergence)
    return session, session.model


@pytest.mark.parametrize("loss", TRUTHS, ids=lambda loss: loss.__name__)
def test_the_truth_is_the_divergence(loss: type[AdversarialLoss]) -> None:
    """Closed forms, or integrals by another library."""
    _, model = divergence(f"loss={NAMES[loss]}")
    assert model.best is not None
    assert model.best.item() == pytest.approx(TRUTHS[loss], rel=2e-5)


def test_every_loss_with_a_best_output_is_looked_at() -> None:
    ratio = torch.linspace(-2, 2, 5)
    have = {loss for loss in LOSSES if loss().best(ratio) is not None}
    same = {"NonSaturating", "BoundarySeeking"}  # Minimax's discriminator
    assert {loss for loss in have if loss.__name__ not in same} == set(TRUTHS)


@pytest.mark.parametrize("loss", TRUTHS, ids=lambda loss: loss.__name__)
def test_no_output_is_better_than_the_best(loss: type[AdversarialLoss]) -> None:
    cells = Cells.of(1, -8, 8)
    x = cells.points[:, 0].double()
    p, q = (torch.from_numpy(f(x.numpy())) * cells.volume for f in (density_p, density_q))
    best = loss().best((p / q).log())
    assert best is not None
    top = value(loss(), best, p, q)
    generator = torch.Generator().manual_seed(0)
    for size in (0.01, 0.1, 1.0):
        away = size * torch.randn(len(best), generator=generator, dtype=torch.float64)
        assert value(loss(), best + away, p, q) < top + 1e-12  # TV's best is a plateau


def test_smoothed_targets_have_their_own_best_output() -> None:
    """(1 - s) p / (p + q)."""
    ratio = torch.linspace(-30, 30, 61, dtype=torch.float64)
    best = Minimax(smoothing=0.1).best(ratio)
    assert best is not None
    torch.testing.assert_close(best.sigmoid(), 0.9 * ratio.sigmoid())


def test_the_value_is_the_loss_of_many_samples() -> None:
    """Masses of 3/8 and so on are as many samples."""
    output = torch.tensor([-1.0, 0.5, 2.0])
    p, q = torch.tensor([3, 4, 1]), torch.tensor([1, 1, 6])
    for loss in (Minimax(), LeastSquares(), Hinge(), Pearson()):
        many = -loss.discriminator(output.repeat_interleave(p), output.repeat_interleave(q))
        torch.testing.assert_close(value(loss, output, p / 8, q / 8), many)


def test_the_steepest_slope() -> None:
    points = torch.linspace(-1, 1, 50)[:, None]
    assert steepest(lambda x: (x[:, 0] - 1) ** 2, points).item() == pytest.approx(4)


def test_the_wasserstein_distance_on_the_line_and_the_plane() -> None:
    """Shifts: by 1 on the line, and by little and much on the plane."""
    _, model = divergence("loss=wasserstein", "penalty=gradient_penalty", "data.deviation=1")
    assert model.best is not None
    assert model.best.item() == pytest.approx(1, abs=1e-3)
    generator = torch.Generator().manual_seed(0)
    ours = 0.8 * torch.randn(200_000, generator=generator) + 1
    theirs = torch.randn(200_000, generator=generator)
    _, model = divergence("loss=wasserstein", "penalty=gradient_penalty")
    assert model.best is not None
    sampled = wasserstein_distance(ours.numpy(), theirs.numpy())
    assert model.best.item() == pytest.approx(sampled, abs=0.01)  # three standard errors
    for shift in (0.01, 0.3, 1.5):
        plane = session_of(
            *("model=divergence", "data=ring", "data.modes=1", "data.deviation=1"),
            *("data.points=99", f"data.radius={shift}"),
            *("loss=wasserstein", "penalty=gradient_penalty"),
        ).model
        assert isinstance(plane, Divergence)
        assert plane.best is not None
        # By 1,000 points of each, on cells of .1.
        assert plane.best.item() == pytest.approx(shift, abs=0.01)


TRAINED = ("network.width=32", "batch_size=256", "optimizer.lr=5e-3", "optimizer.betas=[0.9,0.999]")


@cache
def trained(steps: int, *overrides: str) -> tuple[Divergence, float, float]:
    session, model = divergence(*TRAINED, *overrides, "optimizer.schedule=linear", f"steps={steps}")
    advance(session, steps)
    logs = model.discriminator_loss(session.stream.batch(0)).logs
    return model, logs["divergence/estimate"].item(), logs["divergence/truth"].item()


@pytest.mark.parametrize("loss", ["minimax", "f_squared_hellinger", "least_squares"])
def test_a_trained_discriminator_gains_the_divergence(loss: str) -> None:
    """Never more, up to the rounding of float32; and nearly as much."""
    _, estimate, truth = trained(300, f"loss={loss}")
    assert estimate <= truth + 1e-5
    assert estimate == pytest.approx(truth, abs=0.02)


def test_its_output_is_the_share_of_p() -> None:
    model, _, _ = trained(300, "loss=minimax")
    assert model.p is not None
    share = model.p / (model.p + model.q)
    gap = (model.discriminator(model.points).sigmoid() - share).abs()
    assert ((model.p + model.q) / 2 * gap).sum() < 0.03


@pytest.mark.parametrize(
    ("constraint", "share"),
    [
        (("penalty=gradient_penalty",), 0.7),
        (("penalty=weight_clip", "penalty.limit=0.1"), 0.25),  # its slopes are far from even
        (("network.spectral_norm=true",), 0.8),
    ],
    ids=["gradient_penalty", "weight_clip", "spectral_norm"],
)
@pytest.mark.slow
def test_a_trained_critic_bounds_the_distance_from_below(
    constraint: tuple[str, ...], share: float
) -> None:
    """By its gain over its steepest slope, however it is held."""
    _, estimate, truth = trained(300, "loss=wasserstein", *constraint)
    assert estimate <= truth + 1e-3
    assert estimate > share * truth


def test_the_views_of_lines_and_planes() -> None:
    def views(*overrides: str) -> dict:
        session = session_of("model=divergence", "data.points=100", *overrides)
        with session.trainer.sampling() as model:
            assert isinstance(model, HasViews)
            return dict(model.views(session.stream.batch(0), session.dataset.log_density))

    line = views("loss=minimax")["theory/output"]
    assert isinstance(line, Lines)
    assert list(line.curves) == ["D", "p / (p + q)"]
    assert line.curves["p / (p + q)"].max() > 0.8
    critic = views("loss=wasserstein", "penalty=gradient_penalty")["theory/output"]
    assert isinstance(critic, Lines)
    slopes = critic.curves["best critic"].diff() / critic.x.diff()
    assert slopes.abs().max().item() == pytest.approx(1, abs=1e-2)
    plane = views("data=ring", "data.deviation=0.3", "loss=f_pearson")["theory/output"]
    assert isinstance(plane, Fields)
    best = plane.values["best output"]
    assert best.shape == (161, 161)
    assert best[80, 90] > best[80, 80]  # a mode lies to the right of the middle


def test_the_density_on_the_plane_is_the_right_way_up() -> None:
    cells = Cells.of(2, -1.0, 1.0)
    points = cells.points.view(*cells.sides, 2)
    assert points[0, 0].tolist() == pytest.approx([-0.99379, 0.99379], abs=1e-4)
    assert points[-1, -1].tolist() == pytest.approx([0.99379, -0.99379], abs=1e-4)
    mass: Tensor = cells.masses(torch.full((161 * 161,), math.log(0.25)))
    assert mass.sum().item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("loss=relativistic",), "loss: Relativistic looks at several samples at once"),
        (("loss=softmax",), "loss: Softmax looks at several samples at once"),
        (("model.deviation=0",), "model.deviation = 0: must be positive"),
        (("network.minibatch_discrimination=[4,2]",), "set network.minibatch_discrimination=null"),
        (("model.d_steps=0",), "model.d_steps = 0: must be at least 1"),
        (("model.region=[3,3]",), r"model.region = \[3,3\]: must be two numbers, the lower first"),
        (("model.region=[-8,1]",), "the data's density integrates to 0.500 in it, not 1"),
        (("model.mean=8",), "the generator's density integrates to 0.500"),
        (("data.deviation=1e-4",), "not 1; choose a larger region, or wider peaks"),
        (("model.deviation=0.2", "loss=f_pearson"), "Pearson's divergence .* has no bound"),
        (("model.truth=3",), "model.truth = 3: must be a Callable"),
    ],
)
def test_what_cannot_be_measured_is_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        divergence(*overrides)
