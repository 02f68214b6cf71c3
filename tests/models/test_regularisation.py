"""LeCam, consistency, top-k and adaptive augmentation in a GAN."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from playing import advance, check_that_resuming_is_exact
from torch import Tensor

from gan_cli.adaptive_augmentation import AdaptiveAugmentation
from gan_cli.errors import ConfigError
from gan_cli.models.adversarial import AdversarialModel
from gan_cli.models.gan import GAN
from gan_cli.models.regularisation import Consistency, LeCam, top_share
from gan_cli.training.setup import Session

IMAGES = ("model=gan", "network=dcgan_gp", "data.split=test", "network.generator_norm=none")


def gan(*overrides: str) -> tuple[GAN, Session]:
    session = session_of(*IMAGES, *overrides)
    assert isinstance(session.model, GAN)
    return session.model, session


def test_lecam_by_hand() -> None:
    """Tseng et al. 2021, Eq. 4, with the rectifiers of the authors' code."""
    term = LeCam(weight=0.5, start=2)
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([-2.0, 0.0])
    assert [float(term(real, fake)) for _ in range(2)] == [0, 0]
    assert term.anchors.tolist() == [2, -1]
    # E[(D(x) + 1)^2] = (4 + 16) / 2; E[max(0, 2 - D(G(z)))^2] = (16 + 4) / 2
    assert float(term(real, fake)) == pytest.approx(0.5 * 20)
    assert float(term(real - 10, fake + 10)) == 0, "on the other side of the anchors"
    assert term.anchors.tolist() == pytest.approx([1.9, -0.9])


def test_consistency_by_hand() -> None:
    x = torch.arange(8.0).view(2, 1, 2, 2)
    score = lambda x: x[:, 0, 0, 0]  # noqa: E731
    torch.manual_seed(0)
    gap = float(Consistency(10.0, 0.0, ["flip"])(score, x, score(x)))
    assert gap in (0, 0.5, 1)  # none, one or both are mirrored, each by 1
    assert not Consistency(0.0, 0.0, [])


def test_the_share_of_fakes_falls_to_its_least() -> None:
    shares = [top_share(step, 0.75, 0.9, 100) for step in (0, 99, 100, 250, 100_000)]
    assert shares == pytest.approx([1, 1, 0.9, 0.81, 0.75])


def test_the_generator_learns_from_the_best_fakes_alone() -> None:
    game, session = gan("model.top_k=0.5", "model.top_k_decay=0.1", "model.top_k_every=1")
    outputs = torch.tensor([3.0, 1.0, 4.0, 1.5])
    batch = session.stream.batch(0)
    batch.step = 0
    assert game._best(outputs, batch).tolist() == outputs.topk(4).values.tolist()
    batch.step = 1
    assert game._best(outputs, batch).tolist() == [4, 3]


TERMS = {
    "lecam": ("model.lecam=0.3", "model.lecam_start=1"),
    "consistency/real": ("model.consistency=10",),
    "consistency/fake": ("model.consistency=10", "model.consistency_fake=10"),
    "ada/p": ("model.ada_target=-0.5", "model.ada_images=200", "model.ada_pipeline=bgcfnc"),
    "ada/p given": ("model.ada_p=0.5", "model.ada_p_steps=3", "model.ada_pipeline={blit: 1}"),
}


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_in_the_discriminator_s_loss_and_resumes(term: str) -> None:
    session = gan(*TERMS[term])[1]
    advance(session, 5)
    mean = session.trainer.window.means()[term.split(" ")[0]]
    assert mean > 0
    plain = gan()[1]
    advance(plain, 5)
    theirs, mine = (dict(s.model.named_parameters()) for s in (plain, session))
    assert any(not torch.equal(value, theirs[name]) for name, value in mine.items())
    check_that_resuming_is_exact(2, *IMAGES, *TERMS[term])


def test_the_probability_of_augmentation_is_that_of_the_run_s_step() -> None:
    game, session = gan(*TERMS["ada/p given"])
    assert game.adaptive is not None
    found = []
    for _ in range(5):
        advance(session, 1)
        found.append(float(game.adaptive.p))
    assert found == pytest.approx([0, 0.125, 0.375, 0.5, 0.5])


class Twice(AdaptiveAugmentation):
    """A pipeline that doubles each number."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


@pytest.mark.parametrize(
    "line",
    [
        (*IMAGES, "penalty=r1"),
        (*IMAGES, "penalty=r1", "penalty.every=2"),
        (*IMAGES, "penalty=r1", "model.packing=2"),
        (*IMAGES, "penalty=r1", "penalty.every=2", "model.packing=2"),
        ("model=stylegan2", "data.split=test", "data.size=8", "network.most=8", "penalty.every=2"),
    ],
    ids=["every update", "lazy", "packs", "packs, lazy", "stylegan2"],
)
def test_a_penalty_takes_gradients_before_adaptive_augmentation(line: tuple[str, ...]) -> None:
    """Of D(2x), 2 D'(2x); of a whole pack where samples are packed."""
    session = session_of(*line, "penalty.weight=1", "model.ada_p=0.5")
    game, batch = session.model, session.stream.batch(0)
    assert isinstance(game, AdversarialModel)
    game.view.adaptive = Twice(game.data.shape, {"blit": 1.0})
    every = game.penalty.every
    loss = game.penalty_loss(batch) if every > 1 else game.discriminator_loss(batch)
    doubled = (2 * game.view.pack(batch.real)).requires_grad_()
    (slope,) = torch.autograd.grad(game.discriminator(doubled).sum(), doubled)
    wanted = 0.5 * (2 * slope).flatten(1).square().sum(1).mean()
    torch.testing.assert_close(loss.logs["penalty/r1"], wanted)


def test_r1_trains_the_discriminator_through_the_augmentation() -> None:
    line = ("model.ada_p=1", "model.ada_pipeline=bgcf", "penalty=r1", "penalty.weight=100")
    game, session = gan(*line)
    total = game.discriminator_loss(session.stream.batch(0)).total
    slopes = torch.autograd.grad(total, list(game.discriminator.parameters()), allow_unused=True)
    assert all(slope is not None and slope.isfinite().all() for slope in slopes)


def test_consistency_is_the_mean_square_through_the_view() -> None:
    game, session = gan("model.consistency=10", "model.consistency_augment=[flip]")
    batch = session.stream.batch(0)
    flipped: list[Tensor] = []
    game.discriminator.register_forward_pre_hook(lambda _, inputs: flipped.append(inputs[0]))
    loss = game.discriminator_loss(batch)
    real, fake, other = flipped
    with torch.no_grad():
        gap = (game.discriminator(other) - game.discriminator(real)).square().mean()
    torch.testing.assert_close(loss.logs["consistency/real"], 10 * gap)
    turned = (other != real).flatten(1).any(1)
    assert torch.equal(other[turned], real[turned].flip(3))
    assert fake.shape == real.shape


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model.lecam=-1",), "model.lecam = -1: must not be negative"),
        (("model.consistency=-1",), "model.consistency = -1: must not be negative"),
        (
            ("model.consistency=1", "model.consistency_augment=[turn]"),
            r"model.consistency_augment = \[turn\]: must be a list of some of color,",
        ),
        (("model.top_k=0",), r"model.top_k = 0: must lie in \(0, 1\]"),
        (("model.top_k=0.5", "loss=relativistic"), "model.top_k = 0.5: chooses fakes one by one"),
        (("model.ada_target=2",), "model.ada_target = 2: must lie between -1 and 1"),
        (
            ("model.ada_target=0.6", "model.ada_pipeline=[turn]"),
            r"model.ada_pipeline = \[turn\]: must be some of blit, geometry, color",
        ),
        (("model.ada_p=0.5", "model.ada_pipeline=bcg"), "model.ada_pipeline = bcg: must be one of"),
        (("model.ada_p_steps=9",), "model.ada_p_steps = 9: is for model.ada_p; set that too"),
        (
            ("model.ada_target=0.6", "model.ada_p_steps=9"),
            "model.ada_p_steps = 9: is for model.ada_p; set it null",
        ),
        (("model.ada_target=0.6", "data=ring", "network=mlp"), "works on images, and ring holds"),
    ],
)
def test_faults_are_said(overrides: tuple[str, ...], message: str) -> None:
    line = ("model=gan", *overrides)
    if "data=ring" not in overrides:
        line = (*line, "network=dcgan_gp", "data.split=test")
    with pytest.raises(ConfigError, match=message):
        session_of(*line)
