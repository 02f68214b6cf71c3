"""Schedules of rates, betas, penalties and averages: half cosines, as R3GAN's code has them."""

from __future__ import annotations

import math

import pytest
import torch
from composing import session_of
from playing import advance, check_that_resuming_is_exact
from torch import nn

from gan_cli.config.settings import settings_of
from gan_cli.ema import Average
from gan_cli.errors import ConfigError
from gan_cli.model import Model
from gan_cli.penalties import R1R2
from gan_cli.training.setup import Session

LINE = (
    *("model=gan", "data=ring", "data.points=100", "loss=relativistic", "penalty=r1_r2"),
    *("optimizer.schedule=cosine", "optimizer.schedule_steps=4", "optimizer.lr=2e-3"),
    *("optimizer.final_lr=1e-3", "optimizer.betas=[0,0.9]", "optimizer.final_betas=[0,0.98]"),
    *("penalty.weight=2", "penalty.final_weight=1", "penalty.weight_steps=4", "ema.warmup=4"),
)


def cosine(step: int, first: float, final: float, steps: int) -> float:
    """`cosine_decay_with_warmup` of brownvc/R3GAN's training_loop.py, without a warm-up."""
    decay = 0.5 * (1 + math.cos(math.pi * step / steps))
    return final if step > steps else first + (1 - decay) * (final - first)


def state(session: Session) -> tuple[float, float]:
    group = session.players["discriminator"].optimizer.param_groups[0]
    return group["lr"], group["betas"][1]


def test_rates_betas_and_weights_follow_half_a_cosine_and_stay() -> None:
    session = session_of(*LINE)
    penalty = session.model.penalty
    assert isinstance(penalty, R1R2)
    for step in range(7):
        advance(session, 1)
        lr, beta = state(session)
        assert lr == pytest.approx(cosine(step, 2e-3, 1e-3, 4))
        assert beta == pytest.approx(cosine(step, 0.9, 0.98, 4))
        assert penalty.weight == pytest.approx(cosine(step, 2, 1, 4))


def test_resuming_is_exact() -> None:
    check_that_resuming_is_exact(2, *LINE)


def test_the_half_life_of_averages_rises() -> None:
    class One(Model):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(1, 1)

        def phases(self) -> list:
            return []

        def sample(self, n: int, y: torch.Tensor | None = None) -> torch.Tensor:
            return torch.zeros(n, 1)

        def averaged(self) -> tuple[nn.Module, ...]:
            return (self.net,)

    model = One()
    average = Average(model, decay=0.5 ** (1 / 20), warmup=10)  # half in 20 steps
    before = (1, 5, 9, 10, 50)  # steps before the last, as in R3GAN's training_loop.py
    halves = [math.log(0.5) / math.log(average.decay_at(step + 1)) for step in before]
    assert halves == pytest.approx([cosine(step, 0, 20, 10) for step in before])
    assert average.decay_at(1) == 0
    assert average.decay_at(0) == average.decay  # nothing is averaged before the first step
    assert Average(model, decay=0.9).decay_at(0) == pytest.approx(0.1)
    # .5 ** (batch / min(ema_nimg, cur_nimg * .05)) in NVlabs/stylegan2-ada-pytorch's training loop.
    average = Average(model, decay=0.5 ** (1 / 20), ramp=0.05)
    wanted = [0.5 ** (64 / max(min(20 * 64, 64 * n * 0.05), 1e-8)) for n in (0, 1, 100, 400, 900)]
    found = [average.decay_at(n + 1) for n in (0, 1, 100, 400, 900)]
    assert found == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("optimizer.final_lr=-1",), "optimizer.final_lr = -1: must be at least 0"),
        (("optimizer.final_betas=[0,1]",), r"optimizer.final_betas\[1\] = 1: must be less than 1"),
        (
            ("optimizer=sgd", "+optimizer.final_betas=[0,0.9]", "optimizer.schedule=linear"),
            "SGD has no betas",
        ),
        (("penalty=r1_r2", "penalty.final_weight=-1"), "final_weight = -1: must not be negative"),
        (("penalty=r1_r2", "penalty.weight_steps=0"), "weight_steps = 0: must be at least 1"),
    ],
)
def test_faults_are_said(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        session_of("model=gan", "data=ring", "data.points=100", *overrides)


def test_0_means_no_warm_up_of_averages() -> None:
    ema = settings_of("model=gan", "ema.warmup=0", "ema.ramp=0").ema
    assert (ema.warmup, ema.ramp) == (None, None)
