"""Each file of conf/loss and conf/penalty in a game, as a user would choose it."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from composing import session_of
from every import LOSSES, PENALTIES
from linear_networks import Linear, batch_of, points
from torch.nn.functional import softplus

from gan_cli.config import groups
from gan_cli.losses import Hinge, Relativistic, Wasserstein
from gan_cli.model import DataSpec
from gan_cli.models.gan import GAN
from gan_cli.networks.dcgan import DCGAN
from gan_cli.networks.family import NetworkFamily
from gan_cli.networks.mlp import MLP
from gan_cli.penalties import R1R2, Penalty
from gan_cli.priors import Gaussian
from gan_cli.training.setup import Session

GAME = ("model=gan", "data=ring", "data.points=64")


def scalars_after(session: Session, steps: int) -> dict[str, float]:
    for _ in range(steps):
        session.trainer.advance(measure=True)
    return dict(session.trainer.read())


@pytest.mark.parametrize("option", groups.options("loss"))
def test_every_loss_trains_both_players(option: str) -> None:
    bounds = ["penalty=gradient_penalty"] if option == "wasserstein" else []
    session = session_of(*GAME, f"loss={option}", *bounds)
    before = {name: p.clone() for name, p in session.model.named_parameters()}
    scalars = scalars_after(session, 3)
    assert all(math.isfinite(value) for value in scalars.values()), scalars
    moved = {n for n, p in session.model.named_parameters() if not torch.equal(p, before[n])}
    assert {name.partition(".")[0] for name in moved} == {"generator", "discriminator"}


@pytest.mark.parametrize(
    ("option", "settings"),
    [
        *((option, []) for option in groups.options("penalty")),
        ("orthogonal", ["penalty.of=discriminator", "penalty.every=2"]),
    ],
)
def test_every_penalty_trains_and_is_plotted(option: str, settings: list[str]) -> None:
    session = session_of(*GAME, "loss=hinge", f"penalty={option}", *settings)
    name = session.model.penalty.name  # type: ignore[union-attr]
    scalars = scalars_after(session, 3)
    assert all(math.isfinite(value) for value in scalars.values()), scalars
    plotted = {key for key in scalars if "penalty/" in key}
    assert len(plotted) == (1 if name else 0), scalars
    assert all(key.endswith(f"penalty/{name}") and scalars[key] >= 0 for key in plotted)


def test_every_class_can_be_chosen() -> None:
    """Each has a file, and a file names it by the room, not by the module within."""
    for group, kinds in (("loss", LOSSES), ("penalty", PENALTIES)):
        named = []
        for option in groups.options(group):
            text = (groups.CONF / group / f"{option}.yaml").read_text(encoding="utf-8")
            named.append(text.partition("_target_: ")[2].split()[0])
        room = {"loss": "gan_cli.losses", "penalty": "gan_cli.penalties"}[group]
        assert set(named) == {f"{room}.{kind.__name__}" for kind in kinds}


def warnings_of(loss: type, penalty: Penalty, network: NetworkFamily) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GAN(DataSpec("images", (1, 8, 8), 1), Gaussian(2), network, loss(), penalty)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("make", PENALTIES)
def test_contradictions_go_by_the_penaltys_own_flags(make: type[Penalty]) -> None:
    mlp, mixing = MLP(4, 1), DCGAN(4)
    assert warnings_of(Hinge, make(), mlp) == []
    slope = warnings_of(Wasserstein, make(), mlp)
    assert [text.startswith("loss = wasserstein with nothing") for text in slope] == (
        [] if make.lipschitz else [True]
    )
    mixed = warnings_of(Hinge, make(), mixing)
    assert [text.startswith(f"penalty = {make.name} looks at") for text in mixed] == (
        [True] if make.per_sample else []
    )


def test_no_other_loss_needs_a_bound_on_the_slope() -> None:
    assert [kind for kind in LOSSES if kind.unbounded] == [Wasserstein]


def test_r3gan_s_objective_is_the_authors() -> None:
    """RpGAN with R1 and R2 (Huang et al. 2024, Eqs. 2 to 4), as in the authors' trainer."""
    torch.manual_seed(0)
    model = GAN(points(3), Gaussian(2), Linear(), Relativistic(), R1R2(weight=0.3))
    real = torch.randn(4, 3)
    torch.manual_seed(1)
    fake = model.sample(4)
    logits, weight = model.discriminator, model.discriminator.head.weight
    pairs = softplus(logits(fake) - logits(real)).mean()
    gradient = weight.square().sum()  # of a linear discriminator, everywhere
    torch.manual_seed(1)
    found = model.discriminator_loss(batch_of(real)).total
    torch.testing.assert_close(found, pairs + 0.3 / 2 * 2 * gradient)
    torch.manual_seed(1)
    found = model.generator_loss(batch_of(real)).total
    torch.testing.assert_close(found, softplus(logits(real) - logits(fake)).mean())
