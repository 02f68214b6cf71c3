"""Phases without an optimizer, phases that take turns, and models that ranks cannot share."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from torch import Tensor, nn

from gan_cli.config.settings import settings_of
from gan_cli.distributed.ranks import Ranks
from gan_cli.ema import Average
from gan_cli.errors import ConfigError
from gan_cli.model import Batch, DataSpec, Loss, Model, Phase
from gan_cli.training.optimizers import build_players, players_of
from gan_cli.training.runtime import prepare_for_ranks
from gan_cli.training.trainer import Trainer, batches_per_step

DATA = torch.arange(12.0)[:, None]


class Mean(Model):
    """Its one number becomes the mean of each batch; another one follows a gradient."""

    indivisible = "each would have a mean of its own"

    def __init__(self) -> None:
        super().__init__()
        self.data = DataSpec("test", (1,), 12)
        self.mean, self.other = nn.Linear(1, 1), nn.Linear(1, 1)
        self.graph: list[bool] = []
        self.found = torch.zeros(())

    def phases(self) -> list[Phase]:
        return [
            Phase("mean", self.look, (self.mean,), solved=True, after=self.take),
            Phase("other", self.descend, (self.other,)),
        ]

    def look(self, batch: Batch) -> Loss:
        error = (self.mean(batch.real) - batch.real).square().mean()
        self.graph.append(error.requires_grad)
        self.found = batch.real.mean()
        return Loss(error, {})

    def take(self) -> None:
        self.mean.bias.fill_(self.found)

    def descend(self, batch: Batch) -> Loss:
        return Loss((self.other(batch.real) - batch.real).square().mean(), {})

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.mean.bias.expand(n, 1)


def test_a_solved_phase_moves_what_it_trains_without_an_optimizer() -> None:
    model = Mean()
    assert list(players_of(model.phases())) == ["other"]
    players = build_players(
        model, {"other": {"lr": 0.1}}, lambda node, p: torch.optim.SGD(p, **node), total=2
    )

    def batch(k: int) -> Batch:
        return Batch(torch.arange(4 * k, 4 * k + 4), lambda i: DATA[i], lambda i: None)

    trainer = Trainer(model, players, batch, 0, Average(model, 0.0))
    slope = model.mean.weight.item()
    trainer.advance(measure=True)
    assert model.mean.bias.item() == 1.5
    trainer.advance(measure=True)
    assert model.mean.bias.item() == 5.5
    assert model.mean.weight.item() == slope
    assert model.graph == [False, False]
    curves = trainer.read()
    assert {"loss/mean", "loss/other", "gradient_norm/other"} <= curves.keys()
    assert "learning_rate/mean" not in curves


def test_phases_that_take_turns() -> None:
    def no(batch: Batch) -> Loss:
        raise AssertionError

    first = Phase("first", no, (), every=3)
    second = Phase("second", no, (), every=3, offset=2, repeat=4)
    assert [first.repeats(step) for step in range(6)] == [1, 0, 0, 1, 0, 0]
    assert [second.repeats(step) for step in range(6)] == [0, 0, 4, 0, 0, 4]
    counts = batches_per_step([first, second])
    assert [next(counts) for _ in range(6)] == [1, 0, 4, 1, 0, 4]


class Two(Ranks):
    """Stands for one of two ranks."""

    count = 2

    def check(self, batch_size: int, pack: int) -> None:
        pass


def test_what_ranks_cannot_share_is_refused() -> None:
    settings = settings_of("data.split=test")
    with pytest.raises(
        ConfigError,
        match="Mean cannot be trained by 2 ranks, which share a batch, since each would",
    ):
        prepare_for_ranks(Mean(), settings, Two())
    model = session_of("model=gan", "data=ring", "data.points=100", "network=mlp").model
    assert prepare_for_ranks(model, settings, Two()) == []


@pytest.mark.parametrize("model", ["vae", "autoencoder"])
def test_running_means_that_enter_a_loss_are_not_shared(model: str) -> None:
    """A checkpoint holds those of one rank, so the others could not go on exactly."""
    session = session_of(f"model={model}", "data=ring", "data.points=100")
    with pytest.raises(ConfigError, match=r"by 2 ranks, .* since each part of it would"):
        prepare_for_ranks(session.model, session.settings, Two())
