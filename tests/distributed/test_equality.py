"""Two ranks with half of each batch learn what one process learns from all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from composing import SMALL, session_of
from playing import advance
from together import ended, start
from torch import Tensor

from gan_cli.config.instantiate import Trust
from gan_cli.config.settings import settings_of
from gan_cli.distributed.join import joined
from gan_cli.distributed.ranks import ALONE
from gan_cli.training.setup import assemble

STEPS = 2
SYNC = "runtime.sync_batch_norm=true"
GAMES = {
    "points": ("model=gan", "data=ring"),
    "critic": ("model=wgan_gp", "model.d_steps=2", "network.generator_norm=none"),
    "second_order": ("model=dcgan", "penalty=gradient_penalty", SYNC),
    "draws": (
        *("model=gan", "network=dcgan_gp", "penalty=r1", "penalty.every=2", "model.packing=2"),
        *("model.augment=[color,translation,cutout]", "model.instance_noise=0.1", SYNC),
    ),
    "states": (  # that follow D's outputs: they are the same on all ranks
        *("model=gan", "network=dcgan_gp", "network.generator_norm=none", "penalty=r1"),
        *("model.ada_target=0.1", "model.ada_images=64", "model.lecam=0.3", "model.lecam_start=1"),
    ),
    "balance": (
        *("model=began", "network.generator_norm=none", "network.discriminator_norm=none"),
    ),
    "styles": (
        *("model=stylegan2", "~optimizer.betas", "network.group=null", "model.path_length=0"),
        *("network.mapping=1", "network.most=16", "penalty.every=2", "optimizer.lr=0.001"),
    ),
    "labels": ("model=acgan", SYNC),
    "codes": ("model=infogan", SYNC),
    "chains": ("model=bigan", "model.chain=2", "model.stochastic=true", "prior=gaussian", SYNC),
}


def line(game: str) -> tuple[str, ...]:
    # Adam's first updates are signs of gradients, of which some are zero but for rounding.
    return ("optimizer=sgd", "optimizer.lr=0.01", *GAMES[game])


def play(folder: Path) -> None:
    with joined("cpu") as ranks:
        assert ranks.agree(ranks.rank, ranks.rank == 1) == (1, True)
        for game in GAMES:
            session = assemble(settings_of(*SMALL, *line(game)), Trust(), ranks)
            advance(session, STEPS)
            session.trainer.window.average(ranks.average)
            ranks.require_equal(list(session.model.parameters()))
            if ranks.first:
                means = session.trainer.window.means()
                torch.save((session.trainer.state_dict(), means), folder / f"{game}.pt")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    assert ended(start(2, play, folder)) == [0, 0]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("game", GAMES)
def test_two_ranks_are_one_process_with_the_whole_batch(two: Path, game: str) -> None:
    state, means = torch.load(two / f"{game}.pt", weights_only=True)
    one = session_of(*line(game))
    advance(one, STEPS)
    weights: dict[str, Tensor] = one.model.state_dict()
    assert state["model"].keys() == weights.keys()
    for name, value in weights.items():
        torch.testing.assert_close(state["model"][name], value, rtol=1e-4, atol=1e-5, msg=name)
    for name, value in one.trainer.window.means().items():
        assert means[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


def test_a_process_by_itself_does_nothing_more() -> None:
    session = session_of("model=gan", "data=ring")
    assert session.ranks is ALONE
    assert session.trainer._gather is None
    assert ALONE.agree(15, True) == (15, True)
