"""The settings of GAN: who updates how often, what D sees, and what else G minimises."""

from __future__ import annotations

import copy

import pytest
import torch
from composing import session_of
from playing import (
    advance,
    check_that_phases_move_only_what_they_train_or_share,
    check_that_resuming_is_exact,
    snapshot,
)

from gan_cli.errors import ConfigError
from gan_cli.model import Batch, updates
from gan_cli.models.gan import GAN, feature_gap
from gan_cli.seeding import mix, seed_streams
from gan_cli.training.setup import Session

RING = ("model=gan", "data=ring", "data.points=64")


def ring(*overrides: str) -> tuple[Session, GAN]:
    session = session_of(*RING, *overrides)
    assert isinstance(session.model, GAN)
    return session, session.model


SETTINGS = {
    "packing": (*RING, "model.packing=2", "model.g_steps=2"),
    "alternate": (*RING, "model.schedule=alternate", "penalty=r1", "penalty.every=2"),
    "generator first": (
        *RING,
        "model.first=generator",
        "model.d_steps=2",
        "penalty=r1",
        "penalty.every=3",
    ),
    "annealed": (*RING, "model.instance_noise=0.5", "model.instance_noise_steps=7"),
    "history": (*RING, "model.historical_averaging=0.1", "penalty=r1", "penalty.every=2"),
    "augmented": (
        "model=dcgan",
        "data.split=test",
        "model.augment=[color,translation,cutout]",
        "model.g_steps=2",
    ),
    "matching": ("model=dcgan", "data.split=test", "model.feature_matching=1"),
}


GRADIENTS = {
    # minus the derivative of the generator's loss by D's output v
    "minimax": lambda v: v.sigmoid(),
    "non_saturating": lambda v: (-v).sigmoid(),
    "least_squares": lambda v: 1 - v,
    "wasserstein": torch.ones_like,
    "hinge": torch.ones_like,
}


@pytest.mark.filterwarnings("ignore:loss = wasserstein")
@pytest.mark.parametrize("loss", GRADIENTS)
def test_the_gradient_at_a_sample_is_the_slope_of_d_times_that_of_the_loss(
    loss: str,
) -> None:
    _, model = ring(f"loss={loss}")
    x = torch.randn(6, 2)
    points = x.clone().requires_grad_()
    output = model.score(points)
    assert output is not None
    (slope,) = torch.autograd.grad(output.sum(), points)
    with torch.no_grad():
        sample_gradient = model.sample_gradient(x)
    expected = GRADIENTS[loss](output.detach())[:, None] * slope
    torch.testing.assert_close(sample_gradient, expected)


def test_no_gradient_at_one_sample_where_the_loss_needs_several() -> None:
    assert ring("loss=relativistic")[1].sample_gradient(torch.randn(4, 2)) is None
    assert ring("model.packing=2")[1].sample_gradient(torch.randn(4, 2)) is None


def test_players_that_take_turns() -> None:
    """D in odd steps, counted from 1, and G in even ones; a lazy penalty in every k-th of D's."""
    lazy = ("penalty=r1", "penalty.every=3", "model.d_steps=2")
    session, model = ring("model.schedule=alternate", *lazy)
    names = {"discriminator": "d", "discriminator_penalty": "p", "generator": "g"}
    played = [
        "".join(names[phase.name] for phase in updates(model.phases(), step)) for step in range(8)
    ]
    assert played == ["dpd", "g", "ddp", "g", "dd", "g", "dpd", "g"]
    before = snapshot(model)
    session.trainer.advance()
    after = snapshot(model)
    moved = {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])}
    assert moved == {"discriminator"}
    session.trainer.advance()
    last = snapshot(model)
    moved = {name.split(".")[0] for name in last if not torch.equal(last[name], after[name])}
    assert moved == {"generator"}


@pytest.mark.parametrize(
    ("schedule", "played"),
    [("together", ["gdpd", "gddp", "gdd"]), ("alternate", ["g", "dpd", "g", "ddp", "g", "dd"])],
)
def test_the_generator_can_move_first(schedule: str, played: list[str]) -> None:
    lazy = ("penalty=r1", "penalty.every=3", "model.d_steps=2")
    _, model = ring(f"model.schedule={schedule}", "model.first=generator", *lazy)
    names = {"discriminator": "d", "discriminator_penalty": "p", "generator": "g"}
    steps = [updates(model.phases(), step) for step in range(len(played))]
    assert ["".join(names[phase.name] for phase in step) for step in steps] == played


def test_a_generator_that_moves_first_meets_the_discriminator_of_the_step_before() -> None:
    """Two steps by hand: w - lr dL/dw, G's slope at the old D, then D's at the new G."""
    line = ("optimizer=sgd", "optimizer.lr=0.1", "optimizer.momentum=0", "model.first=generator")
    session, model = ring(*line)
    _, other = ring(*line)
    other.load_state_dict(model.state_dict())
    for step in range(2):
        seed_streams(mix(session.trainer.seed, step), torch.device("cpu"))
        batch = session.stream.batch(step)
        for loss, player in (
            (other.generator_loss, other.generator),
            (other.discriminator_loss, other.discriminator),
        ):
            weights = list(player.parameters())
            slopes = torch.autograd.grad(loss(batch).total, weights)
            with torch.no_grad():
                for weight, slope in zip(weights, slopes, strict=True):
                    weight -= 0.1 * slope
        session.trainer.advance()
        torch.testing.assert_close(model.state_dict(), other.state_dict())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "model.share_fakes=true",
            "the discriminator makes the fakes that are shared; set model.s",
        ),
        ("model.schedule=simultaneous", "no player is first in model.schedule=simultaneous, or m"),
    ],
)
def test_a_generator_cannot_move_first_where_that_means_nothing(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"model\.first = generator: {message}"):
        ring("model.first=generator", setting)


def test_turns_and_sharing_exclude_each_other() -> None:
    for settings in (("model.share_fakes=true",), ("model.d_burst=9",)):
        with pytest.raises(ConfigError, match=r"model\.schedule = alternate: the players never"):
            ring("model.schedule=alternate", *settings)
    with pytest.raises(ConfigError, match=r"model\.schedule = random: must be"):
        ring("model.schedule=random")


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_settings_resume_exactly(settings: tuple[str, ...]) -> None:
    check_that_resuming_is_exact(5, *settings)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_settings_move_only_what_is_trained(settings: tuple[str, ...]) -> None:
    check_that_phases_move_only_what_they_train_or_share(session_of(*settings))


def test_two_generator_updates_for_each_of_the_discriminator_s() -> None:
    session, game = ring("model.g_steps=2", "model.share_fakes=true")
    heard: list[int] = []
    generate = game.generate

    def listening(z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        heard.append(len(z))
        return generate(z, y)

    game.generate = listening  # type: ignore[method-assign]
    advance(session, 3)
    # D makes fakes; G's first update takes them over, and its second makes its own.
    assert heard == [8] * 3 * 2
    optimizers = {name: player.optimizer for name, player in session.players.items()}
    steps = {
        name: {int(state["step"]) for state in optimizer.state.values()}
        for name, optimizer in optimizers.items()
    }
    assert steps == {"discriminator": {3}, "generator": {6}}


def test_noise_is_that_of_the_run_s_step() -> None:
    session, game = ring("model.instance_noise=1.0", "model.instance_noise_steps=4")
    asked: list[int] = []
    deviation = game.view.deviation

    def listening(batch: Batch) -> float:
        asked.append(batch.step)
        return deviation(batch)

    game.view.deviation = listening  # type: ignore[method-assign]
    advance(session, 3)
    # Real and fake for D, fake for G, at each step.
    assert asked == [0] * 3 + [1] * 3 + [2] * 3


def test_noise_that_has_gone_is_no_noise() -> None:
    plain, _ = ring()
    noisy, _ = ring("model.instance_noise=1.0", "model.instance_noise_steps=1")
    advance(plain, 1)
    noisy.trainer.load_state_dict(copy.deepcopy(plain.trainer.state_dict()))
    advance(plain, 2)
    advance(noisy, 2)
    found = snapshot(noisy.model)
    assert all(torch.equal(v, found[n]) for n, v in snapshot(plain.model).items())


@pytest.mark.parametrize(("data", "inputs"), [("ring", 2 * 2), ("grid", 2 * 2)])
def test_the_discriminator_is_built_for_packs_and_the_generator_is_not(
    data: str, inputs: int
) -> None:
    session = session_of("model=gan", f"data={data}", "data.points=64", "model.packing=2")
    game = session.model
    assert isinstance(game, GAN)
    assert game.discriminator.get_submodule("first").in_features == inputs
    loss = game.discriminator_loss(session.stream.batch(0))
    assert loss.outputs["output/real"].shape == (4,)
    assert game.sample(3).shape == (3, 2)
    assert game.score(torch.zeros(3, 2)) is None


def test_packs_of_images_lie_in_channels() -> None:
    game = session_of("model=dcgan", "data.split=test", "model.packing=4").model
    assert isinstance(game, GAN)
    assert game.discriminator.get_submodule("first").in_channels == 4
    assert game.sample(3).shape == (3, 1, 28, 28)


def sizes_seen(*overrides: str) -> dict[str, list[int]]:
    """Batches that the generator decodes in each phase of a step."""
    session = session_of("model=gan", "data=ring", "data.points=64", *overrides)
    game, seen = session.model, dict[str, list[int]]()
    assert isinstance(game, GAN)
    sizes: list[int] = []
    game.generator.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    for phase in game.phases():
        sizes.clear()
        phase.loss(session.stream.batch(0))
        seen[phase.name] = list(sizes)
    return seen


def test_members_of_packs_in_passes_of_their_own_or_in_one() -> None:
    assert sizes_seen("model.packing=4")["discriminator"] == [2, 2, 2, 2]
    assert sizes_seen("model.packing=4", "model.pack_passes=batch")["discriminator"] == [8]


def test_the_generator_s_own_batch() -> None:
    assert sizes_seen("model.generator_batch=2") == {"discriminator": [8], "generator": [16]}
    uniform = ("data=mnist", "model=cgan", "model.share_fakes=false", "data.split=test")
    for labels in ("batch", "uniform"):
        session = session_of(*uniform, "model.generator_batch=3", f"model.fake_labels={labels}")
        assert session.trainer.model.multiple == 3
        session.trainer.advance()


def test_feature_matching_by_hand() -> None:
    """Salimans et al. 2016, section 3.1: means (2, 0) and (0, 1), so 4 + 1."""
    real = torch.tensor([[1.0, 1.0], [3.0, -1.0]])
    fake = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    assert feature_gap(real, fake).item() == 5.0


def test_feature_matching_stands_beside_or_in_place_of_the_adversarial_term() -> None:
    session, game = ring("model.feature_matching=3")
    batch = session.stream.batch(0)

    def total(adversarial: float, matching: float) -> torch.Tensor:
        game.adversarial, game.feature_matching = adversarial, matching
        torch.manual_seed(0)
        return game.generator_loss(batch).total

    torch.manual_seed(0)
    fake = game.sample(len(batch))
    gap = feature_gap(game.discriminator.features(batch.real), game.discriminator.features(fake))
    torch.testing.assert_close(total(0, 3), 3 * gap)
    torch.testing.assert_close(total(1, 3), total(1, 0) + 3 * gap)
    torch.testing.assert_close(total(0.5, 0), 0.5 * total(1, 0))


def test_a_loss_that_compares_gets_the_outputs_on_real_samples() -> None:
    session, game = ring("loss=relativistic")
    batch = session.stream.batch(0)
    torch.manual_seed(0)
    fake = game.discriminator(game.sample(len(batch)))
    expected = game.loss.generator(fake, game.discriminator(batch.real))
    torch.manual_seed(0)
    assert torch.equal(game.generator_loss(batch).total, expected)


def test_historical_averaging_is_in_both_losses_and_begins_at_0() -> None:
    session, _ = ring("model.historical_averaging=0.5")
    session.trainer.advance()
    means = session.trainer.window.means()
    assert means["historical_averaging/discriminator"] == 0
    assert means["historical_averaging/generator"] == 0
    session.trainer.advance()
    means = session.trainer.window.means()
    assert means["historical_averaging/discriminator"] > 0
    assert means["historical_averaging/generator"] > 0


def test_faults_are_said_together() -> None:
    with pytest.raises(ConfigError) as error:
        ring("model.d_steps=0", "model.g_steps=0", "model.feature_matching=-1")
    assert str(error.value).count("\n") == 2
