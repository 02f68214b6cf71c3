"""ACGAN (Odena et al. 2017, Eq. 2 and 3) and the projection discriminator's place in the game."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from torch.nn.functional import cross_entropy

from gan_cli.errors import ConfigError
from gan_cli.models.acgan import ACGAN
from gan_cli.models.gan import GAN


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
    wanted = torch.randint(8, (len(batch),))
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
