"""ACGAN (Odena et al. 2017, Eq. 2 and 3) and the projection discriminator's place in the game."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from torch.nn.functional import cross_entropy

from gan_cli.errors import ConfigError
from gan_cli.labels import drawn
from gan_cli.losses import NonSaturating
from gan_cli.model import Batch, DataSpec
from gan_cli.models.acgan import ACGAN
from gan_cli.models.gan import GAN
from gan_cli.networks.mlp import MLP
from gan_cli.penalties import NoPenalty
from gan_cli.priors import Gaussian


def model(*overrides: str) -> ACGAN:
    built = session_of("model=acgan", "data=ring", "network=mlp", "data.points=64", *overrides)
    assert isinstance(built.model, ACGAN)
    return built.model


def test_both_players_want_the_class_likelihood() -> None:
    """The term stands in both losses with its weight: L_C in full for D, of fakes for G."""
    session = session_of("model=acgan", "data=ring", "network=mlp", "data.points=64")
    game, batch = session.model, session.stream.batch(0)
    assert isinstance(game, ACGAN)
    assert batch.labels is not None

    def total(loss: str, weight: float) -> torch.Tensor:
        game.classification = weight
        torch.manual_seed(0)
        return getattr(game, loss)(batch).total

    torch.manual_seed(0)
    wanted = drawn(game.label_ends, len(batch))
    fake = game.generate(game.prior.sample(len(batch)), wanted)
    of_fake = cross_entropy(game.classifier(game.discriminator.features(fake)), wanted)
    of_real = cross_entropy(game.classifier(game.discriminator.features(batch.real)), batch.labels)
    for loss, expected in (("discriminator_loss", of_real + of_fake), ("generator_loss", of_fake)):
        torch.testing.assert_close(total(loss, 3.0) - total(loss, 0.0), 3 * expected)


def test_the_curves_show_how_well_classes_are_told() -> None:
    session = session_of("model=acgan", "data=ring", "network=mlp", "data.points=64")
    session.trainer.advance()
    means = session.trainer.window.means()
    assert {"class_accuracy/real", "class_accuracy/fake", "class_likelihood"} <= means.keys()
    assert means["class_likelihood"] < 0


def test_the_discriminator_sees_no_label_and_the_generator_does() -> None:
    game = model()
    assert game.conditional
    score = game.score(torch.zeros(3, 2))
    assert score is not None
    assert score.shape == (3,)
    z = game.prior.sample(4)
    assert not torch.equal(
        game.generate(z, torch.zeros(4).long()), game.generate(z, torch.ones(4).long())
    )


def test_data_without_labels_is_refused_with_all_other_faults() -> None:
    with pytest.raises(ConfigError) as error:
        session_of("model=acgan", "data=gaussian_1d", "network=mlp", "model.classification=-1")
    assert "data=gaussian_1d has no labels; use model=gan" in str(error.value)
    assert "model.classification = -1: must not be negative" in str(error.value)


def test_the_projection_is_the_inner_product_with_the_class() -> None:
    """Miyato and Koyama 2018, Eq. 3: D(x, y) - D(x, y') = <v_y - v_y', features(x)>."""
    session = session_of("model=projection_gan", "data.split=test")
    game = session.model.eval()
    assert isinstance(game, GAN)
    x = session.stream.batch(0).real
    zero, one = (torch.full((len(x),), y) for y in (0, 1))
    table = game.discriminator.projection
    assert table is not None
    features = game.discriminator.features(x)
    expected = features @ (table(zero[0]) - table(one[0]))
    gap = game.discriminator(x, zero) - game.discriminator(x, one)
    torch.testing.assert_close(gap, expected, rtol=1e-3, atol=1e-4)


def uneven(kind: type[ACGAN] | type[GAN], **settings) -> ACGAN | GAN:
    """A game on points, where class 0 is nine times as frequent as class 1, and 2 never comes."""
    data = DataSpec("uneven", (2,), 100, 3, ("a", "b", "c"), (90, 10, 0))
    return kind(data, Gaussian(3), MLP(6, 2), NonSaturating(), NoPenalty(), **settings)


def frequencies(labels: torch.Tensor) -> list[float]:
    return (labels.bincount(minlength=3).double() / len(labels)).tolist()


def test_fakes_are_of_classes_in_the_shares_of_the_data_or_all_alike() -> None:
    torch.manual_seed(0)
    even, shares = [1 / 3] * 3, [0.9, 0.1, 0.0]
    for fake_labels, wanted in (("data", shares), ("uniform", even)):
        game = uneven(ACGAN, fake_labels=fake_labels)
        assert isinstance(game, ACGAN)
        assert frequencies(game._wanted(20_000)) == pytest.approx(wanted, abs=0.014)  # 4 errors


def test_a_conditional_games_own_samples_have_the_shares_of_the_data() -> None:
    torch.manual_seed(0)
    for kind, settings in ((ACGAN, {}), (GAN, {"conditional": True})):
        game, seen = uneven(kind, **settings), []
        game.generate = lambda z, y=None, seen=seen: (seen.append(y), z)[1]  # type: ignore[method-assign]
        game.sample(20_000)
        assert frequencies(seen[0]) == pytest.approx([0.9, 0.1, 0.0], abs=0.009)  # 4 errors


@pytest.mark.parametrize("shared", [False, True])
def test_fakes_of_a_projection_gan_may_have_classes_of_their_own(shared: bool) -> None:
    """Each is compared with its wanted class, also where the generator learns from it."""
    torch.manual_seed(0)
    game = uneven(GAN, conditional=True, fake_labels="uniform", share_fakes=shared)
    asked: list[torch.Tensor] = []
    labels_seen: list[torch.Tensor] = []
    generate, forward = game.generate, game.discriminator.forward
    game.generate = lambda z, y=None: (asked.append(y), generate(z, y))[1]  # type: ignore
    game.discriminator.forward = lambda x, y=None: (labels_seen.append(y), forward(x, y))[1]  # type: ignore
    own = torch.zeros(64, dtype=torch.int64)
    batch = Batch(torch.arange(64), lambda i: torch.zeros(64, 2), lambda i: own)
    game.discriminator_loss(batch)
    game.generator_loss(batch)
    assert torch.equal(labels_seen[0], torch.cat([own, asked[0]]))  # in one pass
    assert torch.equal(labels_seen[1], asked[-1])
    assert len(asked) == (1 if shared else 2)
    assert frequencies(asked[0]) == pytest.approx([1 / 3] * 3, abs=0.24)


def test_classes_of_their_own_exclude_penalties_at_fakes_and_need_classes() -> None:
    points = ("data=ring", "data.points=64", "network=mlp", "model.fake_labels=uniform")
    with pytest.raises(ConfigError, match=r"uniform: penalty = r1_r2 looks at fakes with the cl"):
        session_of("model=cgan", *points, "penalty=r1_r2")
    session_of("model=cgan", *points, "penalty=r1")
    with pytest.raises(ConfigError, match=r"fake_labels = uniform: needs model.conditional=true"):
        session_of("model=gan", *points)
