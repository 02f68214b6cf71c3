"""StyleGAN2's game: mixing, path lengths, lazy penalties."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from playing import (
    advance,
    check_that_phases_move_only_what_they_train_or_share,
    check_that_resuming_is_exact,
)

from gan_cli.errors import ConfigError
from gan_cli.model import updates
from gan_cli.models.stylegan2 import StyleGAN2
from gan_cli.training.setup import Session

LINE = (
    *("model=stylegan2", "data.split=test", "data.size=8", "prior.dim=8", "network.most=8"),
    *("network.mapping=2", "penalty.every=2", "model.path_every=2"),
)


def stylegan(*overrides: str) -> tuple[Session, StyleGAN2]:
    session = session_of(*LINE, *overrides)
    assert isinstance(session.model, StyleGAN2)
    return session, session.model


def test_the_phases_and_what_they_move() -> None:
    session, game = stylegan()
    names = [phase.name for phase in game.phases()]
    assert names == [
        *("generator", "discriminator", "discriminator_penalty"),
        "generator_path_length",
    ]
    played = [phase.name for phase in updates(game.phases(), 0)]
    assert played == [names[0], names[3], names[1], names[2]]  # Gmain, Greg, Dmain, Dreg there
    check_that_phases_move_only_what_they_train_or_share(session)
    # Two updates for two and one more, of each player (Karras et al. 2020a, appendix B).
    assert session.players["generator"].rate == pytest.approx(2.5e-3 * 2 / 3)
    betas = session.players["discriminator"].optimizer.param_groups[0]["betas"]
    assert betas == pytest.approx((0, 0.99 ** (2 / 3)))


def test_path_lengths_by_hand() -> None:
    """|J^T y| by each style alone, root of the mean over layers; then the mean moves by .01."""
    session, game = stylegan("model.mixing=0")
    batch = session.stream.batch(0)
    torch.manual_seed(3)
    loss = game.path_loss(batch)
    length = float(loss.logs["path_length"])
    assert float(game.path.mean) == pytest.approx(0.01 * length, rel=1e-5)
    torch.manual_seed(3)
    styles = game._styles(4, None).detach().requires_grad_()
    images = game._own.synthesise(styles)
    noise = torch.randn_like(images) / 8  # images of 8x8
    (images * noise).sum().backward()
    assert styles.grad is not None
    lengths = styles.grad.square().sum(2).mean(1).sqrt()
    assert length == pytest.approx(float(lengths.mean()), rel=1e-4)
    gap = lengths - 0.01 * lengths.mean()  # the mean was 0
    wanted = 2 * 2.0 * float(gap.square().mean())  # every 2, weight 2
    assert loss.total.item() == pytest.approx(wanted, rel=1e-4)


def test_styles_are_mixed_from_a_random_layer_on() -> None:
    _session, game = stylegan("model.mixing=1")
    styles = game._styles(3, None)
    assert styles.shape[1] == game._own.inputs == 4
    changes = [(styles[:, k] != styles[:, k - 1]).any(1).tolist() for k in range(1, 4)]
    assert sorted(all(found) for found in changes) == [False, False, True]
    _session, game = stylegan("model.mixing=0")
    styles = game._styles(3, None)
    assert torch.equal(styles, styles[:, :1].expand_as(styles))


@pytest.mark.parametrize(
    "overrides",
    [("model.conditional=true",), ("model.ada_target=0.6", "model.ada_images=100")],
    ids=["labels", "ada"],
)
def test_resuming_is_exact(overrides: tuple[str, ...]) -> None:
    check_that_resuming_is_exact(2, *LINE, *overrides)


def test_it_learns_something() -> None:
    session, _ = stylegan()
    advance(session, 4)
    assert {"path_length", "penalty/r1"} < session.trainer.window.means().keys()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("network=dcgan",), "network = DCGAN: model=stylegan2 needs its own; set network=style"),
        (("model.mixing=2",), r"model.mixing = 2: must lie in \[0, 1\]"),
        (("model.path_every=0",), "model.path_every = 0: must be at least 1"),
        (("accumulate=2",), r"needs whole batches: minibatch deviation \(network.group\)"),
    ],
)
def test_faults_are_said(overrides: tuple[str, ...], message: str) -> None:
    line = [one for one in LINE if not (overrides[0] == "network=dcgan" and "network." in one)]
    with pytest.raises(ConfigError, match=message):
        session_of(*line, *overrides)
