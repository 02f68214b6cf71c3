"""Members stepped as one are what they would be alone."""

from __future__ import annotations

import copy

import pytest
import torch
from stacking import assert_close, sessions_of

from gan_cli.config.instantiate import Trust
from gan_cli.ensemble.ensemble import Ensemble, hindrance
from gan_cli.model import Batch, Loss
from gan_cli.models.gan import GAN
from gan_cli.priors import Gaussian
from gan_cli.training.setup import Session

STEPS = 3
# Adam divides a gradient by its own size at first, so rounding would show as a whole step.
SMOOTH = "optimizer.eps=1e-3"
POINTS = ("data=ring", "data.points=512", "network=mlp", "network.depth=2")
SPECTRAL = ("network.spectral_norm=true",)
IMAGES = ("data.split=test", SMOOTH)


def alone(sessions: list[Session], steps: int = STEPS) -> list[Session]:
    for session in sessions:
        for step in range(steps):
            session.trainer.advance(measure=step == steps - 1)
    return sessions


def together(sessions: list[Session], steps: int = STEPS) -> Ensemble:
    ensemble = Ensemble(sessions)
    for step in range(steps):
        ensemble.advance(measure=step == steps - 1)
    return ensemble


def assert_same(one: list[Session], other: list[Session]) -> None:
    for single, member in zip(one, other, strict=True):
        assert_close(single.trainer.state_dict(), member.trainer.state_dict())
        assert_close(single.trainer.read(), member.trainer.read(), 1e-3)
        assert_close(dict(single.trainer.window.outputs), dict(member.trainer.window.outputs), 1e-3)
        assert single.trainer.drawn == member.trainer.drawn
        assert member.trainer.whole


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("model=gan", *POINTS, SMOOTH),
        ("model=gan", *POINTS, "optimizer=sgd", "optimizer.momentum=0.5", "ema.decay=0"),
        ("model=gan", *POINTS, "optimizer=adamw", SMOOTH, "optimizer.clip_norm=0.01"),
        ("model=wgan", *POINTS),
        ("model=wgan_gp", *POINTS, SMOOTH),
        ("model=gan", *POINTS, "penalty=dragan", SMOOTH),
        (
            "model=gan",
            *POINTS,
            "penalty=r1",
            "penalty.every=2",
            "network.spectral_norm=true",
            SMOOTH,
        ),
        ("model=gan", *POINTS, "penalty=orthogonal", "loss=relativistic", SMOOTH),
        ("model=cgan", *POINTS, SMOOTH),
        ("model=unrolled", *POINTS, "model.unroll=2", SMOOTH),
        ("model=gan", *POINTS, "model.historical_averaging=0.1", SMOOTH),
        ("model=gan", *POINTS, "network.generator_norm=batch", SMOOTH),
        ("model=gan", *POINTS, "network.generator_norm=layer", "model.packing=2", SMOOTH),
        ("model=gan", *POINTS, "model.instance_noise=0.1", "model.instance_noise_steps=2", SMOOTH),
        ("model=dcgan", *IMAGES),
        ("model=dcgan", "network=resize", *IMAGES),
        ("model=infogan", *IMAGES, "network.width=4"),
        ("model=acgan", *IMAGES, "model.augment=[color,translation,cutout]"),
        (
            *("model=gan", "network=dcgan_gp", *IMAGES, "penalty=r1", "model.first=generator"),
            *("model.ada_p=0.8", "model.ada_p_steps=2", "model.ada_pipeline=bgcfnc"),
        ),
        ("model=projection_gan", *IMAGES, "model.d_steps=1"),
        ("model=wgan_gp", *IMAGES, "model.d_steps=1"),
    ],
    ids=lambda overrides: " ".join(overrides).replace(" ".join(POINTS), "points"),
)
def test_members_are_what_they_would_be_alone(overrides: tuple[str, ...]) -> None:
    """Weights, averages, moments of optimizers, sums of curves, norms, outputs."""
    steps = 2 if "data.split=test" in overrides else STEPS
    members = sessions_of(*overrides)
    together(members, steps)
    assert_same(alone(sessions_of(*overrides), steps), members)


def test_a_member_goes_on_alone_from_what_it_saved() -> None:
    overrides = ("model=gan", *POINTS, SMOOTH)
    members = sessions_of(*overrides)
    together(members, 2)
    state = copy.deepcopy(members[1].trainer.state_dict())
    (single,) = sessions_of(*overrides, seeds=(2,))
    single.trainer.load_state_dict(state)
    single.trainer.advance(measure=True)
    (straight,) = alone(sessions_of(*overrides, seeds=(2,)), 3)
    assert_same([straight], [single])


def test_who_leaves_takes_its_own_and_the_rest_goes_on() -> None:
    overrides = ("model=gan", *POINTS, SMOOTH)
    members = sessions_of(*overrides)
    together(members, 2).dissolve()
    leaver, *rest = members
    left = copy.deepcopy(leaver.trainer.state_dict())
    ensemble = Ensemble(rest)
    ensemble.advance(measure=True)
    assert_close(left, leaver.trainer.state_dict(), 0.0)
    leaver.trainer.advance(measure=True)
    assert_same(alone(sessions_of(*overrides)), members)


def test_a_member_that_is_not_finite_harms_no_other() -> None:
    overrides = ("model=gan", *POINTS, SMOOTH)
    members = sessions_of(*overrides)
    ensemble = together(members, 1)
    with torch.no_grad():
        next(members[1].model.parameters()).fill_(torch.nan)
    for _ in range(2):
        ensemble.advance(measure=True)
    assert [m.trainer.not_finite() for m in members] == ["", "weights", ""]
    good = alone(sessions_of(*overrides))
    assert_same([good[0], good[2]], [members[0], members[2]])


def test_a_member_is_sampled_with_its_own_averages() -> None:
    overrides = ("model=gan", *POINTS, SMOOTH)
    members, singles = sessions_of(*overrides), alone(sessions_of(*overrides))
    together(members)
    z = torch.ones(4, 100)
    for member, single in zip(members, singles, strict=True):
        with member.trainer.sampling() as one, single.trainer.sampling() as other:
            torch.testing.assert_close(one.generate(z), other.generate(z), rtol=1e-4, atol=1e-5)
    assert_same(singles, members)


def test_curves_begin_anew_for_all() -> None:
    members = sessions_of("model=gan", *POINTS, SMOOTH)
    ensemble = together(members, 2)
    for member in members:
        member.trainer.clear()
        assert member.trainer.window.means() == {}
    ensemble.advance()
    single = alone(sessions_of("model=gan", *POINTS, SMOOTH), 2)
    for one, member in zip(single, members, strict=True):
        one.trainer.clear()
        one.trainer.advance()
        assert_close(one.trainer.window.means(), member.trainer.window.means(), 1e-4)


def reason(*overrides: str) -> str:
    sessions = sessions_of(*overrides, seeds=(1, 2))
    return hindrance([s.settings for s in sessions], Trust(), sessions[0].dataset)


def test_what_can_be_stacked_is_found_by_trying() -> None:
    assert reason("model=gan", *POINTS) == ""
    assert reason("model=wgan_gp", *POINTS) == ""


def test_an_optimizer_that_mixes_weights_cannot_be_stacked() -> None:
    said = reason(
        "model=gan", *POINTS, "optimizer._target_=torch.optim.Adafactor", "~optimizer.betas"
    )
    assert said == "optimizer.discriminator: Adafactor does not treat each weight by itself"


def test_an_unknown_random_function_is_refused_and_not_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        Gaussian,
        "sample",
        lambda self, n, device=None, generator=None: torch.normal(
            torch.zeros(n, self.dim), 1.0, generator=generator
        ),
    )
    assert "discriminator: RuntimeError: vmap: called random operation" in reason(
        "model=gan", *POINTS
    )


def test_what_would_come_out_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a loss that remembers something outside of weights and buffers."""
    plain, calls = GAN.generator_loss, []

    def loss(self: GAN, batch: Batch) -> Loss:
        calls.append(batch)
        found = plain(self, batch)
        return found._replace(total=found.total * len(calls))

    monkeypatch.setattr(GAN, "generator_loss", loss)
    assert reason("model=gan", *POINTS) == "generator: its loss would differ from training alone"
